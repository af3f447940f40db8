//! A release that makes its own route: seed 004's objects and others, unchanged, with nothing left behind.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use canaryctl::{
    clock::Clock,
    sim::{
        SimCluster,
        fault::{Fault, Plan},
        scenario::{Scenario, parse_objects},
        store::{ChangeKind, Key},
    },
};
use http::Method;
use serde_json::{Value, json};

use super::{Console, NOW, refusals::Folder};
use crate::support::edit;

/// Seed 004's application and its Ingress, as they are.
const PODINFO: &str = include_str!("../../examples/podinfo/stable.yaml");

const USERS: &str = "traffic: {service: test/podinfo, rate: 50}";

const SICK: &str = "
traffic: {service: test/podinfo, rate: 50}
versions:
  - {match: {image: 'podinfo:6.5.4'}, crash: {after: 40s}}
";

const AUTO: &str = "auto podinfo -n test --image ghcr.io/stefanprodan/podinfo:6.5.4 --steps 10,20,30,40,50 --hold 20s --create-route";

const HTTP_ROUTE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: podinfo, namespace: test}
spec:
  hostnames: [podinfo.local]
  rules:
  - matches: [{headers: [{name: x-debug, value: 'on'}]}]
    backendRefs: [{name: debug, port: 80}]
  - {timeouts: {request: 3s}, backendRefs: [{name: podinfo, port: 80}]}
";

/// Both Deployments told apart by a label, behind one Service; the canary has no pods.
const TRACKED: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: podinfo, namespace: test}
spec:
  replicas: 3
  selector: {matchLabels: {app: podinfo, version: stable}}
  template:
    metadata: {labels: {app: podinfo, version: stable}}
    spec: {containers: [{name: podinfod, image: 'ghcr.io/stefanprodan/podinfo:6.5.3', ports: [{name: http, containerPort: 9898}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: podinfo-canary, namespace: test}
spec:
  replicas: 0
  selector: {matchLabels: {app: podinfo, version: canary}}
  template:
    metadata: {labels: {app: podinfo, version: canary}}
    spec: {containers: [{name: podinfod, image: 'ghcr.io/stefanprodan/podinfo:6.5.3', ports: [{name: http, containerPort: 9898}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: podinfo, namespace: test}
spec: {selector: {app: podinfo}, ports: [{name: http, port: 80, targetPort: http}]}
";

/// Another app in the mesh: then its kinds are served.
const MESH: &str = "
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: other, namespace: test}, spec: {hosts: [other], http: [{route: [{destination: {host: other}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: other, namespace: test}, spec: {host: other}}
";

/// A short release, to be killed often.
const SHORT: &str = "auto podinfo -n test --image ghcr.io/stefanprodan/podinfo:6.5.4 --steps 50 --hold 5s --create-route";

/// Returns what stands before the Ingress of seed 004, and the Ingress.
fn parts() -> (&'static str, &'static str) {
    let at = PODINFO.rfind("---").unwrap();
    (&PODINFO[..at], &PODINFO[at..])
}

async fn beside(objects: &str, scenario: &str) -> Console {
    let clock = Clock::simulated(NOW.parse().unwrap(), 1.0);
    let objects = parse_objects(objects).unwrap();
    let scenario = Scenario::parse(scenario).unwrap();
    let sim = SimCluster::start(scenario, Some(objects), clock.clone()).unwrap();
    clock.sleep(Duration::from_secs(60)).await;
    Console {
        sim: Some(Arc::new(sim)),
        ..Console::new()
    }
}

/// Returns everything that routes traffic, as it was written, and the names of the Deployments.
fn standing(console: &Console) -> BTreeMap<String, Value> {
    let store = console.sim().world().store();
    let mut all = BTreeMap::new();
    for (group, resource) in [
        ("", "services"),
        ("networking.k8s.io", "ingresses"),
        ("gateway.networking.k8s.io", "httproutes"),
        ("networking.istio.io", "virtualservices"),
        ("networking.istio.io", "destinationrules"),
        ("apps", "deployments"),
    ] {
        for object in store.list(group, resource, "test").0 {
            let name = object["metadata"]["name"].as_str().unwrap();
            let meta = &object["metadata"];
            let kept = if resource == "deployments" {
                Value::Null
            } else {
                json!([meta["labels"], meta["annotations"], object["spec"]])
            };
            all.insert(format!("{resource}/{name}"), kept);
        }
    }
    all
}

/// Returns the values that a field of an object ever had, in order, each once in a row.
fn history(console: &Console, key: &Key, pointer: &str) -> Vec<Value> {
    let changes = console.sim().world().store().changes_after(100).unwrap();
    let mut values: Vec<Value> = Vec::new();
    for change in changes.iter().filter(|change| change.key == *key) {
        let value = change.object.pointer(pointer).cloned().unwrap_or_default();
        if values.last() != Some(&value) {
            values.push(value);
        }
    }
    values
}

fn users_are_fine(console: &Console) {
    let users = console.sim().world().users();
    assert_eq!(users.refused, 0, "requests found nobody");
    assert_eq!(users.total.failed, 0, "of {:?}", users.total);
}

fn ingress(name: &str) -> Key {
    Key::new("networking.k8s.io", "ingresses", "test", name)
}

fn service(name: &str) -> Key {
    Key::new("", "services", "test", name)
}

const WEIGHT: &str = "/metadata/annotations/nginx.ingress.kubernetes.io~1canary-weight";

/// Releases with these objects; users meet no failure, and all is as before.
async fn released(objects: &str, more: &str) -> Console {
    let console = beside(objects, USERS).await;
    let before = standing(&console);
    let ran = console.run(&format!("{AUTO}{more}")).await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    assert!(ran.out.contains("PROMOTED"), "{}", ran.text());
    assert_eq!(standing(&console), before, "{}", ran.text());
    console.wait(60).await;
    users_are_fine(&console);
    console
}

#[tokio::test(start_paused = true)]
async fn seed_004_is_released_through_nginx_in_steps_of_ten() {
    let console = released(PODINFO, "").await;
    let weights = history(&console, &ingress("podinfo-canary"), WEIGHT);
    assert_eq!(weights, ["0", "10", "20", "30", "40", "50", "100", "0"]);
    // What was there before was not even touched for a moment.
    for key in [ingress("podinfo"), service("podinfo")] {
        assert_eq!(history(&console, &key, "/spec").len(), 1, "{}", key.name);
    }
    let again = console.run("rollback podinfo -n test").await;
    assert_eq!(again.code, 0, "{}", again.text());
    let status = console.run("status podinfo -n test").await;
    assert_eq!(status.code, 0, "{}", status.text());
}

#[tokio::test(start_paused = true)]
async fn a_second_release_makes_its_route_anew() {
    let console = released(PODINFO, "").await;
    let before = standing(&console);
    let line = AUTO.replace("6.5.4", "6.5.5");
    let ran = console.run(&line).await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    assert_eq!(standing(&console), before);
    users_are_fine(&console);
}

#[tokio::test(start_paused = true)]
async fn a_route_of_the_gateway_api_gets_a_second_backend_for_the_release() {
    let objects = format!("{}---{HTTP_ROUTE}", parts().0);
    let console = released(&objects, "").await;
    let route = Key::new("gateway.networking.k8s.io", "httproutes", "test", "podinfo");
    let weights: Vec<Value> = history(&console, &route, "/spec/rules/1/backendRefs/1/weight");
    let expected = json!([null, 0, 10, 20, 30, 40, 50, 100, 0, null]);
    assert_eq!(Value::from(weights), expected);
    let debug = history(&console, &route, "/spec/rules/0");
    assert_eq!(debug.len(), 1, "{debug:?}");
}

#[tokio::test(start_paused = true)]
async fn a_mesh_gets_a_virtual_service_for_the_release() {
    let objects = format!("{}---{MESH}", parts().0);
    let console = released(&objects, " --router istio").await;
    let key = Key::new("networking.istio.io", "virtualservices", "test", "podinfo");
    let weights = history(&console, &key, "/spec/http/0/route/1/weight");
    assert_eq!(Value::from(weights), json!([0, 10, 20, 30, 40, 50, 100, 0]));
}

/// Returns how many pods of the canary there were each time that a Service selected by its old labels again,
/// or a route by subsets went.
fn pods_when_rejoined(console: &Console) -> Vec<usize> {
    let mut pods: BTreeSet<String> = BTreeSet::new();
    let mut found = Vec::new();
    let mut narrowed = false;
    for change in console.sim().world().store().changes_after(100).unwrap() {
        let deleted = change.kind == ChangeKind::Deleted;
        let object = &change.object;
        match change.key.resource.as_str() {
            "pods" if object["metadata"]["labels"]["version"] == "canary" => {
                if deleted {
                    pods.remove(&change.key.name);
                } else {
                    pods.insert(change.key.name.clone());
                }
            }
            "services" if change.key.name == "podinfo" => {
                let now = !object["spec"]["selector"]["version"].is_null();
                if narrowed && !now {
                    found.push(pods.len());
                }
                narrowed = now;
            }
            "virtualservices" if deleted => found.push(pods.len()),
            _ => {}
        }
    }
    found
}

#[tokio::test(start_paused = true)]
async fn a_service_of_both_sides_is_stables_for_the_release() {
    let objects = format!("{TRACKED}{}", parts().1);
    let console = released(&objects, "").await;
    let selectors = history(&console, &service("podinfo"), "/spec/selector");
    let (both, one) = (
        json!({"app": "podinfo"}),
        json!({"app": "podinfo", "version": "stable"}),
    );
    assert_eq!(selectors, [both.clone(), one, both]);
    assert_eq!(pods_when_rejoined(&console), [0]);
}

#[tokio::test(start_paused = true)]
async fn subsets_are_made_where_labels_tell_both_sides_apart() {
    let objects = format!("{TRACKED}---{MESH}");
    let console = released(&objects, " --router istio").await;
    assert_eq!(pods_when_rejoined(&console), [0]);
    let key = Key::new("networking.istio.io", "destinationrules", "test", "podinfo");
    let subsets = history(&console, &key, "/spec/subsets/0/labels");
    assert_eq!(subsets, [json!({"version": "stable"})]);
}

#[tokio::test(start_paused = true)]
async fn a_sick_canary_leaves_nothing() {
    for objects in [
        PODINFO.to_owned(),
        format!("{}---{HTTP_ROUTE}", parts().0),
        format!("{TRACKED}{}", parts().1),
    ] {
        let console = beside(&objects, SICK).await;
        let before = standing(&console);
        let ran = console.run(AUTO).await;
        assert_eq!(ran.code, 3, "{}", ran.text());
        assert!(ran.err.contains("to 10%"), "{}", ran.text());
        assert_eq!(standing(&console), before, "{}", ran.text());
    }
}

/// Runs until the process dies at a write, and returns whether it did.
async fn killed(console: &Console, line: &str, at: u64) -> bool {
    let writes = AtomicU64::new(0);
    let clock = console.sim().world().store().clock().clone();
    let plan = Plan::new(clock, move |call| {
        let kinds = ["/services", "/ingresses", "/httproutes", "/deployments"];
        let counts = kinds.iter().any(|kind| call.path.contains(kind));
        if *call.method == Method::GET || !counts {
            return Fault::None;
        }
        // Before each, and after each.
        match writes.fetch_add(1, Ordering::Relaxed) {
            n if n == at / 2 && at.is_multiple_of(2) => Fault::CrashBefore,
            n if n == at / 2 => Fault::CrashAfter,
            _ => Fault::None,
        }
    });
    let dying = Console {
        faults: Some(plan.clone()),
        ..console.clone()
    };
    tokio::select! {
        biased;
        () = plan.crash() => true,
        ran = dying.run(line) => {
            assert_eq!(ran.code, 0, "{}", ran.text());
            false
        }
    }
}

/// Kills the run at every write, and has the command end it.
async fn ended_after_kills(objects: &str, command: &str) {
    let mut at = 0;
    loop {
        let console = beside(objects, USERS).await;
        let before = standing(&console);
        let died = killed(&console, SHORT, at).await;
        let mut ran = console.run(command).await;
        if ran.code == 4 {
            // The one that is dead still holds the lock.
            console.wait(120).await;
            ran = console.run(command).await;
        }
        // One that was over has nothing left to do.
        let over = ran.err.contains("are the same version");
        assert!(ran.code == 0 || over, "write {at}: {}", ran.text());
        assert_eq!(standing(&console), before, "write {at}: {}", ran.text());
        console.wait(60).await;
        users_are_fine(&console);
        if !died {
            break;
        }
        at += 1;
    }
    assert!(at > 20, "only {at} writes");
}

#[tokio::test(start_paused = true)]
async fn a_rollback_after_a_kill_anywhere_leaves_nothing() {
    ended_after_kills(PODINFO, "rollback podinfo -n test").await;
}

#[tokio::test(start_paused = true)]
async fn a_rollback_after_a_kill_anywhere_gives_back_what_was_changed() {
    let objects = format!("{TRACKED}---{HTTP_ROUTE}");
    ended_after_kills(&objects, "rollback podinfo -n test").await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_resumed_after_a_kill_anywhere_leaves_nothing() {
    let objects = format!("{TRACKED}{}", parts().1);
    ended_after_kills(&objects, SHORT).await;
}

#[tokio::test(start_paused = true)]
async fn what_another_client_undoes_is_made_again() {
    let console = beside(PODINFO, USERS).await;
    let before = standing(&console);
    let ran = console.run(&format!("{AUTO} --until step=1")).await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    let store = console.sim().world().store();
    store.delete(&ingress("podinfo-canary"), false).unwrap();
    let ran = console.run("auto podinfo -n test").await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    let told = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
    let why = "another client undid what this run made (create canary Ingress podinfo-canary";
    assert!(told.contains(why), "{}", ran.text());
    assert_eq!(standing(&console), before);
    users_are_fine(&console);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_does_without_a_route_that_another_client_deleted() {
    let console = beside(PODINFO, USERS).await;
    let before = standing(&console);
    let ran = console.run(&format!("{AUTO} --until step=1")).await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    let store = console.sim().world().store();
    store.delete(&ingress("podinfo-canary"), false).unwrap();
    let ran = console.run("rollback podinfo -n test").await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    assert_eq!(standing(&console), before);
}

/// What somebody has changed meanwhile is theirs: it stays, and is told.
#[tokio::test(start_paused = true)]
async fn a_field_that_another_client_changed_is_left() {
    let objects = format!("{TRACKED}{}", parts().1);
    let console = beside(&objects, USERS).await;
    let ran = console.run(&format!("{AUTO} --until step=1")).await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    let store = console.sim().world().store();
    edit(store, &service("podinfo"), |service| {
        service["spec"]["selector"]["version"] = json!("blue");
    })
    .unwrap();
    let ran = console.run("rollback podinfo -n test").await;
    let told = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
    let why = "left in place: Service test/podinfo was changed by another client at /spec/selector/version";
    assert!(told.contains(why), "{}", ran.text());
    let after = standing(&console);
    assert_eq!(after["services/podinfo"][2]["selector"]["version"], "blue");
    assert!(!after.contains_key("services/podinfo-canary"), "{after:?}");
    assert!(!after.contains_key("ingresses/podinfo-canary"), "{after:?}");
}

/// The object of the weights was replaced: it is not deleted, nor what it leads to.
#[tokio::test(start_paused = true)]
async fn an_object_that_another_client_made_is_not_deleted() {
    let console = beside(PODINFO, USERS).await;
    let ran = console.run(&format!("{AUTO} --until step=1")).await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    let store = console.sim().world().store();
    edit(store, &ingress("podinfo-canary"), |ingress| {
        let notes = ingress["metadata"]["annotations"].as_object_mut().unwrap();
        notes.remove("canaryctl.dev/run");
    })
    .unwrap();
    let ran = console.run("rollback podinfo -n test").await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    let told = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
    let why = "left in place: Ingress test/podinfo-canary is there and was not created by this run; not undone because of it: create Service podinfo-canary";
    assert!(told.contains(why), "{}", ran.text());
    let after = standing(&console);
    assert!(after.contains_key("services/podinfo-canary"), "{after:?}");
    let weights = history(&console, &ingress("podinfo-canary"), WEIGHT);
    assert_eq!(weights.last(), Some(&json!("0")));
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_ends_the_run_with_nothing_left() {
    let console = beside(PODINFO, USERS).await;
    let before = standing(&console);
    let clock = console.sim().world().store().clock().clone();
    let plan = Plan::new(clock, |call| {
        let creates = *call.method == Method::POST && call.path.ends_with("/ingresses");
        if creates {
            Fault::Status(403, None)
        } else {
            Fault::None
        }
    });
    let refused = Console {
        faults: Some(plan),
        ..console.clone()
    };
    let ran = refused.run(AUTO).await;
    assert_eq!(ran.code, 3, "{}", ran.text());
    assert!(
        ran.err.contains("create Ingress test/podinfo-canary"),
        "{}",
        ran.text()
    );
    assert_eq!(standing(&console), before, "{}", ran.text());
    users_are_fine(&console);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_made_is_refused_with_the_object() {
    let second = parts()
        .1
        .replace("name: podinfo\n  namespace", "name: second\n  namespace");
    let taken = "---
{apiVersion: v1, kind: Service, metadata: {name: podinfo-canary, namespace: test}, spec: {selector: {app: other}, ports: [{port: 80}]}}
";
    let both = format!("{PODINFO}---{HTTP_ROUTE}");
    for (objects, more, why) in [
        (
            format!("{PODINFO}{second}"),
            "",
            "Ingress podinfo and Ingress second lead to Service podinfo",
        ),
        (
            format!("{PODINFO}{taken}"),
            "",
            "Service test/podinfo-canary: it exists already",
        ),
        (
            both.clone(),
            "",
            "a route can be created for several routers: gateway (HTTPRoute podinfo leads to Service podinfo), nginx (Ingress podinfo leads to Service podinfo)",
        ),
        (
            parts().0.to_owned(),
            "",
            "no Ingress of class nginx leads to Service podinfo",
        ),
        (
            PODINFO.to_owned(),
            " --strategy swap",
            "with strategy swap the canary Deployment becomes stable",
        ),
        (
            PODINFO.to_owned(),
            " --strategy none",
            "with strategy none the canary keeps the traffic",
        ),
        (
            PODINFO.to_owned(),
            " --router replicas",
            "router replicas needs no route",
        ),
        (PODINFO.to_owned(), " --router smi", "smi creates no routes"),
    ] {
        let console = beside(&objects, USERS).await;
        let said = console.refuses(&format!("{AUTO}{more}")).await;
        let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains("exit 2 ") && flat.contains(why), "{said}");
    }
    let console = beside(&both, USERS).await;
    let dry = console
        .run(&format!("{AUTO} --router nginx --dry-run"))
        .await;
    assert_eq!(dry.code, 0, "{}", dry.text());
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_what_would_be_made() {
    let console = beside(&format!("{TRACKED}---{HTTP_ROUTE}"), USERS).await;
    let before = standing(&console);
    let ran = console.run(&format!("{AUTO} --dry-run")).await;
    assert_eq!(standing(&console), before);
    insta::assert_snapshot!(ran.out, @r#"
    would narrow the selector of Service podinfo to version=stable (accepted by the API server)
      Service test/podinfo
        /spec/selector/version  null → "stable"
    would create Service podinfo-canary that selects app=podinfo,version=canary (accepted by the API server)
    would add Service podinfo-canary with weight 0 to HTTPRoute podinfo (accepted by the API server)
      HTTPRoute test/podinfo
        /spec/rules/1/backendRefs  [{"name":"podinfo","port":80}] → [{"name":"podinfo","port":80,"weight":100},{"name":"podinfo-canary","port":80,"weight":0}]
    "#);
}

/// Without the flag nothing of it is made, and `check` prints what would be.
#[tokio::test(start_paused = true)]
async fn without_the_flag_check_prints_the_objects() {
    let objects = format!("{TRACKED}{}", parts().1);
    let console = beside(&objects, USERS).await;
    let check = console.run("check podinfo -n test").await;
    let at = check.out.find("route      ").unwrap();
    let end = check.out.rfind("\nnot ready").unwrap();
    insta::assert_snapshot!(&check.out[at..end], @r#"
    route      a release by weights (nginx, as Ingress podinfo leads to Service podinfo) needs a route
               to the canary; `auto --create-route` makes it for the release and undoes it at the end:
    ---
    apiVersion: v1
    kind: Service
    metadata:
      name: podinfo-canary
      namespace: test
      labels:
        app.kubernetes.io/managed-by: canaryctl
    spec:
      selector:
        app: podinfo
        version: canary
      ports:
        - name: http
          port: 80
          protocol: TCP
          targetPort: http
    ---
    apiVersion: networking.k8s.io/v1
    kind: Ingress
    metadata:
      name: podinfo-canary
      namespace: test
      annotations:
        nginx.ingress.kubernetes.io/canary: "true"
        nginx.ingress.kubernetes.io/canary-weight: "0"
        kubernetes.io/ingress.class: nginx
      labels:
        app.kubernetes.io/managed-by: canaryctl
    spec:
      rules:
        - host: podinfo.local
          http:
            paths:
              - path: /
                pathType: Prefix
                backend:
                  service:
                    name: podinfo-canary
                    port:
                      number: 80

    change     Service test/podinfo /spec/selector/version
               from   (not set)
               to     "stable"
    "#);
    let json = console.run("check podinfo -n test -o json").await;
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["route"]["router"], "nginx");
    assert_eq!(json["route"]["creates"][1]["kind"], "Ingress");
    assert_eq!(
        json["route"]["changes"][0]["path"],
        "/spec/selector/version"
    );
    let before = standing(&console);
    let line = AUTO.replace(" --create-route", "");
    let ran = console.run(&line).await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    assert!(!ran.err.contains("create "), "{}", ran.text());
    assert_eq!(standing(&console), before);
}

#[tokio::test(start_paused = true)]
async fn the_file_can_ask_for_it_and_hints_name_it() {
    let folder = Folder::new("own-route");
    let file = folder.file(
        "canary.yaml",
        "app: podinfo\nsteps: [50%]\nhold: 5s\ncreateRoute: true\n",
    );
    let console = beside(PODINFO, USERS).await;
    let line = format!("auto -n test -f {file} --image ghcr.io/stefanprodan/podinfo:6.5.4");
    let ran = console.run(&line).await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    assert!(
        ran.err.contains("create canary Ingress podinfo-canary"),
        "{}",
        ran.text()
    );
    // A canary that the Service does not reach: without a route nothing leads there.
    let canary = include_str!("../../examples/podinfo/canary-objects.yaml");
    let canary = &canary[..canary.find("---").unwrap()];
    let console = beside(&format!("{PODINFO}---\n{canary}"), USERS).await;
    let ran = console.run("set podinfo 10 -n test").await;
    assert_eq!(ran.code, 2, "{}", ran.text());
    let ran = console.run("auto podinfo -n test").await;
    assert_eq!(ran.code, 2, "{}", ran.text());
    assert!(
        ran.err
            .contains("canaryctl auto podinfo -n test --create-route"),
        "{}",
        ran.text()
    );
}

/// The role of `generate rbac` has what a release with its own route uses.
#[tokio::test(start_paused = true)]
async fn the_role_allows_what_is_used() {
    let console = beside(&format!("{TRACKED}{}", parts().1), USERS).await;
    let clock = console.sim().world().store().clock().clone();
    let plan = Plan::quiet(clock);
    let watched = Console {
        faults: Some(plan.clone()),
        ..console.clone()
    };
    let ran = watched.run(AUTO).await;
    assert_eq!(ran.code, 0, "{}", ran.text());
    let role = |more: &'static str| async move {
        let line = format!("generate rbac --router nginx{more}");
        let ran = Console::new().run(&line).await;
        assert_eq!(ran.code, 0, "{}", ran.text());
        let role = parse_objects(&ran.out).unwrap().remove(0);
        let mut allowed = BTreeSet::new();
        for rule in role["rules"].as_array().unwrap() {
            for verb in rule["verbs"].as_array().unwrap() {
                let resource = rule["resources"][0].as_str().unwrap();
                allowed.insert(format!("{} {resource}", verb.as_str().unwrap()));
            }
        }
        allowed
    };
    let (with, without) = (role(" --create-route").await, role("").await);
    let mut used = BTreeSet::new();
    for line in plan.log() {
        let words: Vec<&str> = line.split(' ').collect();
        let parts: Vec<&str> = words[2].split('/').collect();
        let Some(at) = parts.iter().position(|part| *part == "test") else {
            continue;
        };
        let (resource, named) = (parts[at + 1], parts.len() > at + 2);
        let verb = match (words[1], named) {
            ("GET", true) => "get",
            ("POST", _) => "create",
            ("PATCH", _) => "patch",
            ("DELETE", _) => "delete",
            _ => continue,
        };
        if ["services", "ingresses"].contains(&resource) {
            used.insert(format!("{verb} {resource}"));
        }
    }
    assert!(used.len() >= 7, "{used:?}");
    assert!(used.is_subset(&with), "{used:?} of {with:?}");
    assert!(!without.contains("create services"), "{without:?}");
    let ran = Console::new().run("generate rbac --create-route").await;
    assert_eq!(ran.code, 2, "{}", ran.text());
}
