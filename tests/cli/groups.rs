//! Several apps of one file, released as one: gates, the way back, kills, one weight for several apps.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use canaryctl::{
    cli::Signal,
    clock::Clock,
    sim::{
        SimCluster,
        fields::Writer,
        scenario::{Scenario, parse_objects},
        store::{Door, Key},
    },
};
use serde_json::{Value, json};

use super::{Console, NOW, Ran};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/shop");

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/shop/canary.yaml");

/// The new backend's container ends once it has lived for so long.
fn sick_backend(after: &str) -> String {
    format!("versions: [{{match: {{image: 'backend:2'}}, crash: {{after: {after}}}}}]")
}

/// What is done to the objects of the example first.
type Change = fn(&mut Vec<Value>);

/// Each app has an Ingress of its own, and a canary Ingress.
fn apart(objects: &mut Vec<Value>) {
    let paths = |object: &Value| object["spec"]["rules"][0]["http"]["paths"].clone();
    let (ingresses, others): (Vec<Value>, Vec<Value>) = std::mem::take(objects)
        .into_iter()
        .partition(|object| object["kind"] == "Ingress");
    *objects = others;
    for ingress in ingresses {
        for (index, app) in ["frontend", "backend"].into_iter().enumerate() {
            let mut own = ingress.clone();
            let name = own["metadata"]["name"].as_str().unwrap();
            own["metadata"]["name"] = name.replace("shop", app).into();
            own["spec"]["rules"][0]["http"]["paths"] = json!([paths(&ingress)[index]]);
            objects.push(own);
        }
    }
}

/// Both apps share the canary Ingress, as in the example.
fn shared(_: &mut Vec<Value>) {}

async fn shop(scenario: &str, change: impl Fn(&mut Vec<Value>)) -> Console {
    let clock = Clock::simulated(NOW.parse().unwrap(), 1.0);
    let mut objects = Vec::new();
    for file in ["apps.yaml", "ingress.yaml"] {
        let text = std::fs::read_to_string(format!("{FOLDER}/{file}")).unwrap();
        objects.extend(parse_objects(&text).unwrap());
    }
    change(&mut objects);
    let scenario = Scenario::parse(scenario).unwrap();
    let sim = SimCluster::start(scenario, Some(objects), clock.clone()).unwrap();
    clock.sleep(Duration::from_secs(60)).await;
    Console {
        sim: Some(Arc::new(sim)),
        ..Console::new()
    }
}

impl Console {
    async fn group(&self, line: &str) -> Ran {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let mut all = words;
        all.extend(["-f", FILE]);
        self.run_words(&all).await
    }

    /// Runs `auto` and kills the process after some seconds.
    async fn killed_after(&self, line: &str, seconds: u64) {
        let running = self.group(line);
        let clock = self.sim().world().store().clock().clone();
        tokio::select! {
            ran = running => panic!("it ended before:\n{}", ran.text()),
            () = clock.sleep(Duration::from_secs(seconds)) => {}
        }
    }

    fn weight(&self, ingress: &str) -> u64 {
        let key = Key::new("networking.k8s.io", "ingresses", "shop", ingress);
        let object = self.sim().world().store().get(&key).unwrap();
        weight_of(&object)
    }

    /// Every weight that some Ingress had, in order.
    fn weights(&self) -> Vec<(String, u64)> {
        let changes = self.sim().world().store().changes_after(100).unwrap();
        let ours = changes.into_iter().filter(|change| {
            change.key.resource == "ingresses" && change.key.name.ends_with("-canary")
        });
        let mut all: Vec<(String, u64)> = Vec::new();
        for change in ours {
            let now = (change.key.name.clone(), weight_of(&change.object));
            let before = all.iter().rev().find(|(name, _)| *name == now.0);
            if before != Some(&now) {
                all.push(now);
            }
        }
        all
    }

    fn image(&self, deployment: &str) -> String {
        let key = Key::new("apps", "deployments", "shop", deployment);
        let object = self.sim().world().store().get(&key).unwrap();
        let image = &object["spec"]["template"]["spec"]["containers"][0]["image"];
        image.as_str().unwrap().to_owned()
    }

    fn record(&self, app: &str) -> Value {
        let key = Key::new("", "configmaps", "shop", &format!("canaryctl-{app}"));
        let map = self.sim().world().store().get(&key).unwrap();
        let data = map["data"].as_object().unwrap();
        let texts = data.values().filter_map(Value::as_str);
        let mut records = texts.filter_map(|text| serde_json::from_str::<Value>(text).ok());
        records.find(|record| record["phase"].is_string()).unwrap()
    }

    fn edit_weight(&self, ingress: &str, weight: &str) {
        let key = Key::new("networking.k8s.io", "ingresses", "shop", ingress);
        let writer = Writer {
            manager: "kubectl-edit".into(),
            api_version: "v1".into(),
            subresource: String::new(),
        };
        let store = self.sim().world().store();
        let change = |object: &mut Value| {
            object["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"] =
                weight.into();
            Ok(())
        };
        store
            .update_as(Some(&writer), &key, Door::Main, false, change)
            .unwrap();
    }

    /// Asserts that both stables run the old version, and no canary has traffic.
    fn is_all_back(&self, ran: &Ran) {
        for app in ["frontend", "backend"] {
            let image = self.image(&format!("{app}-stable"));
            assert!(image.ends_with(":1.0.0"), "{image}\n{}", ran.text());
            assert_eq!(self.record(app)["phase"], "ended", "{}", ran.text());
            assert_eq!(self.record(app)["ending"], "rolled-back", "{}", ran.text());
        }
        let last: Vec<(String, u64)> = self.weights();
        for name in ["frontend-canary", "backend-canary", "shop-canary"] {
            if let Some((_, weight)) = last.iter().rev().find(|(known, _)| known == name) {
                assert_eq!(*weight, 0, "{name}\n{}", ran.text());
            }
        }
    }

    fn is_all_promoted(&self, ran: &Ran) {
        for app in ["frontend", "backend"] {
            let image = self.image(&format!("{app}-stable"));
            assert!(image.ends_with(":2.0.0"), "{image}\n{}", ran.text());
            assert_eq!(self.record(app)["ending"], "promoted", "{}", ran.text());
        }
    }
}

fn weight_of(ingress: &Value) -> u64 {
    let note = &ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"];
    note.as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// Asserts that the weights of both apps are never more than one step apart on the way up.
fn in_lockstep(weights: &[(String, u64)]) {
    const STEPS: [u64; 4] = [0, 10, 50, 100];
    let step = |weight: u64| STEPS.iter().position(|step| *step == weight).unwrap();
    let mut told = String::new();
    let (mut frontend, mut backend) = (0, 0);
    for (name, weight) in weights {
        if name == "frontend-canary" {
            frontend = *weight;
        } else {
            backend = *weight;
        }
        writeln!(told, "{frontend} {backend}").unwrap();
        let returns = *weight == 0;
        assert!(
            returns || step(frontend).abs_diff(step(backend)) <= 1,
            "{told}"
        );
    }
}

// === the way up ===

#[tokio::test(start_paused = true)]
async fn a_group_is_promoted_in_lockstep() {
    let console = shop("{}", apart).await;
    let ran = console.group("auto").await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    console.is_all_promoted(&ran);
    let weights = console.weights();
    assert_eq!(weights.len(), 10, "{weights:?}");
    in_lockstep(&weights);
    let text = ran.text();
    assert!(
        text.contains("group shop: frontend, backend; steps 10% → 50% → 100%"),
        "{text}"
    );
    assert!(text.contains("PROMOTED after"), "{text}");
    // Both were in one run.
    let run = |app: &str| console.record(app)["group"]["run"].clone();
    assert_eq!(run("frontend"), run("backend"));
}

/// One that is slower keeps the other at the gate.
#[tokio::test(start_paused = true)]
async fn who_is_proven_waits_for_who_is_not() {
    let scenario = "versions: [{match: {image: 'backend:2'}, start_delay: 40s}]";
    let console = shop(scenario, apart).await;
    let ran = console.group("auto").await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    let text = ran.text();
    assert!(
        text.contains("backend: its canary is not ready yet") || text.contains("backend: its step"),
        "{text}"
    );
    in_lockstep(&console.weights());
}

#[tokio::test(start_paused = true)]
async fn one_weight_that_moves_both_apps_is_moved_once_for_each_step() {
    let console = shop("{}", shared).await;
    let ran = console.group("auto").await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    console.is_all_promoted(&ran);
    let weights: Vec<u64> = console
        .weights()
        .into_iter()
        .map(|(_, weight)| weight)
        .collect();
    assert_eq!(weights, [0, 10, 50, 100, 0], "{}", ran.text());
    assert!(!ran.text().contains("drift"), "{}", ran.text());
    // Alone neither app may move it.
    for app in ["frontend", "backend"] {
        let alone = console.run(&format!("auto {app} -n shop")).await;
        assert_eq!(alone.code, 2, "{}", alone.text());
    }
}

/// Somebody else's change of the weight that both share is re-applied, not taken for the sibling's.
#[tokio::test(start_paused = true)]
async fn drift_of_a_shared_weight_is_still_seen() {
    let console = shop("{}", shared).await;
    let clock = console.sim().world().store().clock().clone();
    let (ran, ()) = tokio::join!(console.group("auto"), async {
        clock.sleep(Duration::from_secs(30)).await;
        console.edit_weight("shop-canary", "70");
    });
    assert_eq!(ran.code, 0, "{}", ran.text());
    assert!(
        ran.text().contains("another client changed the split"),
        "{}",
        ran.text()
    );
    console.is_all_promoted(&ran);
}

// === the way back ===

#[tokio::test(start_paused = true)]
async fn one_that_is_sick_takes_the_others_back() {
    for change in [apart as Change, shared] {
        let console = shop(&sick_backend("120s"), change).await;
        let ran = console.group("auto").await;
        assert_eq!(ran.code, 3, "{}", ran.text());
        console.is_all_back(&ran);
        let reason = console.record("frontend")["reason"].clone();
        let reason = reason.as_str().unwrap().to_owned();
        assert!(reason.starts_with("backend was rolled back: "), "{reason}");
        assert!(!ran.text().contains("drift"), "{}", ran.text());
    }
}

/// A stable that does not come up with the new version takes the whole group to its old versions.
#[tokio::test(start_paused = true)]
async fn a_promotion_that_fails_takes_the_others_back() {
    let scenario =
        "versions: [{match: {image: 'backend:2', labels: {track: stable}}, ready: never}]";
    for change in [apart as Change, shared] {
        let console = shop(scenario, change).await;
        let ran = console.group("auto").await;
        assert_eq!(ran.code, 3, "{}", ran.text());
        console.is_all_back(&ran);
        let reason = console.record("frontend")["reason"].clone();
        let reason = reason.as_str().unwrap().to_owned();
        assert!(reason.starts_with("backend was rolled back: "), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_member_taken_back_by_hand_takes_the_others_back() {
    let console = shop("{}", apart).await;
    let clock = console.sim().world().store().clock().clone();
    let (ran, back) = tokio::join!(console.group("auto"), async {
        clock.sleep(Duration::from_secs(100)).await;
        console.run("rollback backend -n shop").await
    });
    assert_eq!(back.code, 0, "{}", back.text());
    assert!(
        back.err.contains("backend is a member of group shop"),
        "{}",
        back.text()
    );
    assert_eq!(ran.code, 3, "{}", ran.text());
    console.is_all_back(&ran);
}

#[tokio::test(start_paused = true)]
async fn one_interrupt_is_for_all() {
    let console = shop("{}", shared).await.signal(100, Signal::Terminate);
    let ran = console.group("auto").await;
    assert_eq!(ran.code, 143, "{}", ran.text());
    console.is_all_back(&ran);
    assert_eq!(
        ran.err.matches("interrupted: rolling back").count(),
        1,
        "{}",
        ran.text()
    );
}

// === kills ===

#[tokio::test(start_paused = true)]
async fn a_group_goes_on_after_a_kill_at_any_moment() {
    let moments = [
        1, 12, 61, 63, 75, 124, 150, 182, 184, 186, 188, 190, 192, 194, 196, 198, 200, 204, 206,
    ];
    for (seconds, change) in moments
        .into_iter()
        .zip([apart as Change, shared].into_iter().cycle())
    {
        let console = shop("{}", change).await;
        console.killed_after("auto", seconds).await;
        let ran = console.group("auto").await;
        assert_eq!(ran.code, 0, "killed after {seconds}\n{}", ran.text());
        console.is_all_promoted(&ran);
        let drifts = ran.text().contains("drift");
        assert!(!drifts, "killed after {seconds}\n{}", ran.text());
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_is_taken_back_after_a_kill_at_any_moment() {
    let moments = [20, 61, 75, 130, 182, 190, 197, 198, 202, 203];
    for (seconds, change) in moments
        .into_iter()
        .zip([apart as Change, shared].into_iter().cycle())
    {
        let console = shop("{}", change).await;
        console.killed_after("auto", seconds).await;
        let ran = console.group("rollback").await;
        assert_eq!(ran.code, 0, "killed after {seconds}\n{}", ran.text());
        for app in ["frontend", "backend"] {
            let image = console.image(&format!("{app}-stable"));
            assert!(
                image.ends_with(":1.0.0"),
                "{seconds}: {image}\n{}",
                ran.text()
            );
        }
        assert_eq!(console.weights().last().unwrap().1, 0, "{}", ran.text());
    }
}

/// What was rolled back while nobody drove the others is followed by them.
#[tokio::test(start_paused = true)]
async fn a_resumed_group_follows_who_went_back_meanwhile() {
    let console = shop("{}", apart).await;
    console.killed_after("auto", 100).await;
    let back = console.run("rollback backend -n shop").await;
    assert_eq!(back.code, 0, "{}", back.text());
    assert_ne!(console.weight("frontend-canary"), 0);
    let ran = console.group("auto").await;
    assert_eq!(ran.code, 3, "{}", ran.text());
    console.is_all_back(&ran);
}

#[tokio::test(start_paused = true)]
async fn a_member_under_way_is_not_driven_alone() {
    let console = shop("{}", apart).await;
    console.killed_after("auto", 100).await;
    for line in [
        "auto backend -n shop",
        "set backend 50 -n shop",
        "promote backend -n shop --yes",
    ] {
        let alone = console.run(line).await;
        assert_eq!(alone.code, 2, "{}", alone.text());
        let text = "backend is under way as a member of group shop (frontend, backend)";
        assert!(alone.err.contains(text), "{}", alone.text());
        assert!(
            alone.err.contains("canaryctl auto -n shop -f "),
            "{}",
            alone.text()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn ticks_bring_a_group_to_its_end() {
    let console = shop("{}", shared).await;
    for tick in 0.. {
        let ran = console.group("auto --once").await;
        if ran.text().contains("PROMOTED") {
            console.is_all_promoted(&ran);
            break;
        }
        assert_eq!(ran.code, 0, "{}", ran.text());
        assert!(tick < 60, "{}", ran.text());
        console.wait(30).await;
    }
}

// === the other verbs ===

#[tokio::test(start_paused = true)]
async fn set_promote_and_rollback_are_for_all() {
    let console = shop("{}", shared).await;
    let ran = console.group("set 50").await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    assert_eq!(console.weight("shop-canary"), 50, "{}", ran.text());
    let ran = console.group("rollback --now").await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    assert_eq!(console.weight("shop-canary"), 0, "{}", ran.text());
    let ran = console.group("rollback").await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    let ran = console.group("rollback").await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    assert!(
        ran.out.contains("frontend: nothing to roll back"),
        "{}",
        ran.text()
    );
    let asks = console.group("promote").await;
    assert_eq!(asks.code, 2, "{}", asks.text());
    let ran = console.group("promote --yes").await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    console.is_all_promoted(&ran);
}

#[tokio::test(start_paused = true)]
async fn a_group_is_approved_once_all_wait() {
    let console = shop("{}", shared).await;
    let early = console.group("approve").await;
    assert_eq!(early.code, 2, "{}", early.text());
    let ran = console.group("auto --steps 10:60s:approve,100").await;
    assert_eq!(ran.code, 5, "{}", ran.text());
    assert!(
        ran.out.contains("canaryctl approve -n shop -f "),
        "{}",
        ran.text()
    );
    let status = console.group("status").await;
    assert!(
        status.out.contains("waiting for approval"),
        "{}",
        status.text()
    );
    let approved = console.group("approve").await;
    assert_eq!(approved.code, 0, "{}", approved.text());
    assert!(
        approved.out.contains("step 1 of group shop is approved"),
        "{}",
        approved.text()
    );
    let ran = console.group("auto").await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    console.is_all_promoted(&ran);
}

/// One approval alone does not let the other go on.
#[tokio::test(start_paused = true)]
async fn approving_one_member_approves_that_one_alone() {
    let console = shop("{}", apart).await;
    let ran = console.group("auto --steps 10:60s:approve,100").await;
    assert_eq!(ran.code, 5, "{}", ran.text());
    let one = console.run("approve backend -n shop").await;
    assert_eq!(one.code, 0, "{}", one.text());
    let ran = console.group("auto").await;
    assert_eq!(ran.code, 5, "{}", ran.text());
    assert_eq!(console.weight("backend-canary"), 10, "{}", ran.text());
}

#[tokio::test(start_paused = true)]
async fn status_and_monitor_show_all_members() {
    let console = shop("{}", apart).await;
    console.killed_after("auto", 100).await;
    let status = console.group("status").await;
    assert_eq!(status.code, 0, "{}", status.text());
    for text in [
        "group shop",
        "frontend",
        "backend",
        "2/3",
        "canaryctl rollback -n shop -f ",
    ] {
        assert!(status.out.contains(text), "{text}\n{}", status.text());
    }
    let json = console.group("status -o json").await;
    let document: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(document["members"][1]["app"], "backend");
    assert_eq!(document["members"][1]["run"]["group"]["name"], "shop");
    let one = console.run("status backend -n shop").await;
    assert!(
        one.out.contains("group   shop: frontend, backend"),
        "{}",
        one.text()
    );
    let (ran, seen) = tokio::join!(
        console.group("auto"),
        console.group("monitor --until promoted")
    );
    assert_eq!(ran.code, 0, "{}", ran.text());
    assert_eq!(seen.code, 0, "{}", seen.text());
    for app in ["frontend  ", "backend   "] {
        assert!(
            seen.out.lines().any(|line| line.starts_with(app)),
            "{}",
            seen.text()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn events_say_whose_they_are() {
    let console = shop(&sick_backend("120s"), shared).await;
    let ran = console.group("auto -o json").await;
    assert_eq!(ran.code, 3, "{}", ran.text());
    let lines: Vec<Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (last, events) = lines.split_last().unwrap();
    for event in events {
        assert_eq!(event["group"], "shop", "{event}");
        assert!(event["app"].is_string(), "{event}");
    }
    assert_eq!(last["event"], "group-ended");
    assert_eq!(last["outcome"], "rolled-back");
    assert_eq!(last["members"][0]["cause"], "member");
}

#[tokio::test(start_paused = true)]
async fn check_finds_for_each_member() {
    let console = shop("{}", shared).await;
    let ran = console.group("check").await;
    assert!([0, 2].contains(&ran.code), "{}", ran.text());
    assert!(
        !ran.text().contains("its weight holds for"),
        "{}",
        ran.text()
    );
    let json = console.group("check -o json").await;
    let document: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(document["members"][0]["app"], "frontend");
    assert_eq!(document["members"][1]["app"], "backend");
}

#[tokio::test(start_paused = true)]
async fn images_are_given_by_app() {
    let console = shop("{}", shared).await;
    for (image, text) in [
        ("x:1", "it does not say for which app"),
        ("shop=x:1", "there is no app shop in the group"),
        (
            "frontend:sidecar=x:1",
            "frontend-canary has no container sidecar",
        ),
    ] {
        let ran = console.group(&format!("auto --image {image}")).await;
        assert_eq!(ran.code, 2, "{}", ran.text());
        assert!(ran.err.contains(text), "{}", ran.text());
    }
    let image = "auto --image frontend=registry.example/frontend:2.1.0 --image backend:app=registry.example/backend:2.1.0";
    let ran = console.group(image).await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    assert_eq!(
        console.image("backend-stable"),
        "registry.example/backend:2.1.0"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_about_one_app_is_refused_beside_a_group() {
    let console = shop("{}", shared).await;
    for (line, text) in [
        (
            "auto frontend",
            "the command line names the app 'frontend' but",
        ),
        (
            "status frontend",
            "the command line names the app 'frontend' but",
        ),
        (
            "rollback frontend",
            "the command line names the app 'frontend' but",
        ),
        (
            "approve frontend",
            "the command line names the app 'frontend' but",
        ),
        (
            "set frontend 10",
            "the command line names the app 'frontend' but",
        ),
        ("auto --stable x", "--stable is about one app"),
        ("rollback --gradual", "--gradual: a group goes back at once"),
        (
            "history",
            "is for the group shop, and this is about one app",
        ),
    ] {
        let words: Vec<&str> = line.split(' ').chain(["-f", FILE]).collect();
        let ran = console.run_words(&words).await;
        assert_eq!(ran.code, 2, "{}", ran.text());
        assert!(ran.err.contains(text), "{}", ran.text());
        assert!(ran.err.contains("hint: "), "{}", ran.text());
    }
}

/// A rollback needs no more than what is there: one member whose objects are gone keeps none of the others.
#[tokio::test(start_paused = true)]
async fn one_that_is_gone_does_not_keep_the_others_from_going_back() {
    let console = shop("{}", apart).await;
    console.killed_after("auto", 100).await;
    for side in ["stable", "canary"] {
        let key = Key::new("apps", "deployments", "shop", &format!("backend-{side}"));
        console.sim().world().store().delete(&key, false).unwrap();
    }
    let ran = console.group("rollback").await;
    assert_ne!(ran.code, 0, "{}", ran.text());
    assert_eq!(console.weight("frontend-canary"), 0, "{}", ran.text());
}
