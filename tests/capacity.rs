//! Who carries the users: which pods count, how many there are in the end, and who meets a new image first.

use std::time::Duration;

use canaryctl::domain::{
    plan::Plan,
    release::{Cause, Outcome, Phase},
};
use serde_json::{Value, json};

use crate::support::{
    Bench, CANARY, FOUR_PODS, OWN, STABLE, auto, auto_image, check, plan, restart, set,
    weights::{GATEWAY, ISTIO},
};

const OLD: &str = "registry.example/payment-api:1.5.0";
const NEW: &str = "registry.example/payment-api:2.0.0";
const NEXT: &str = "registry.example/payment-api:2.1.0";

/// A bench of four pods of stable and none of the canary.
fn four(scenario: &str, edits: &[(&str, &str)]) -> Bench {
    let seed = format!("seed: 7\n{FOUR_PODS}");
    let all: Vec<(&str, &str)> = [("seed: 7", seed.as_str())]
        .into_iter()
        .chain(edits.iter().copied())
        .collect();
    Bench::edited(scenario, &all)
}

// === pods that restart ===

#[tokio::test(start_paused = true)]
async fn stable_is_not_scaled_down_beside_pods_that_restart() {
    let bench = four("crash-loop", &[("after: 20s", "after: 14s")]);
    let end = bench
        .ends(auto(), plan(&[25, 50, 75, 100], 40), Outcome::RolledBack)
        .await;
    assert_eq!(end.cause, Some(Cause::Unhealthy), "{}", end.text);
    // One pod of the first step had not crashed yet.
    let least = bench.sizes(STABLE).into_iter().min();
    assert_eq!(least, Some(3), "{}", bench.told());
    assert!(!bench.told().contains("step 2 of 4"), "{}", bench.told());
}

#[tokio::test(start_paused = true)]
async fn the_first_users_come_when_pods_have_been_ready_for_seconds() {
    let bench = ISTIO.bench("healthy");
    let waited = async {
        let ready = || {
            let canary = bench.deployment(CANARY);
            let image = &canary["spec"]["template"]["spec"]["containers"][0]["image"];
            image == NEXT
                && canary["status"]["updatedReplicas"] == 1
                && canary["status"]["replicas"] == 1
                && canary["status"]["readyReplicas"] == 1
        };
        while !ready() {
            bench.clock.sleep(Duration::from_millis(100)).await;
        }
        let since = bench.clock.now();
        while ISTIO.weight(&bench) == 0 {
            bench.clock.sleep(Duration::from_millis(100)).await;
        }
        bench.clock.now().duration_since(since)
    };
    let (end, waited) = tokio::join!(bench.drive(auto_image(NEXT), plan(&[10], 20)), waited);
    assert_eq!(end.unwrap().outcome, Outcome::Promoted, "{}", bench.told());
    assert!(waited.as_secs() >= 4, "{waited}\n{}", bench.told());
}

// === stable's own number ===

#[tokio::test(start_paused = true)]
async fn stable_gets_its_own_number_of_pods_back_release_after_release() {
    let bench = Bench::new("healthy");
    for image in [NEW, NEXT] {
        // Each release begins with a canary of one pod, as its manifest says.
        bench.scale(CANARY, 1);
        bench.wait(30).await;
        bench
            .ends(
                auto_image(image),
                plan(&[10, 50, 100], 20),
                Outcome::Promoted,
            )
            .await;
        assert_eq!(bench.image(STABLE), image);
        let sizes = (bench.replicas(STABLE), bench.replicas(CANARY));
        assert_eq!(sizes, (OWN, 0), "{}", bench.told());
    }
    bench.users_are_fine(0.01);
}

#[tokio::test(start_paused = true)]
async fn pods_that_somebody_divided_by_hand_are_all_stables_in_the_end() {
    let bench = Bench::new("healthy");
    bench.scale(STABLE, 6);
    bench.scale(CANARY, 4);
    bench.wait(60).await;
    bench
        .ends(auto(), plan(&[50, 100], 20), Outcome::Promoted)
        .await;
    assert_eq!(bench.replicas(STABLE), 10, "{}", bench.told());
}

#[tokio::test(start_paused = true)]
async fn a_release_that_begins_anew_in_the_middle_of_one_knows_stables_own_number() {
    let bench = Bench::new("healthy");
    bench
        .ends(set("30%"), plan(&[30], 10), Outcome::AtWeight)
        .await;
    assert_eq!(bench.replicas(STABLE), 7);
    bench
        .ends(restart(), plan(&[50, 100], 20), Outcome::Promoted)
        .await;
    assert_eq!(bench.replicas(STABLE), OWN, "{}", bench.told());
}

// === pods on top ===

#[tokio::test(start_paused = true)]
async fn with_surge_stable_keeps_its_pods_up_to_half_of_the_traffic() {
    let bench = four("healthy", &[]);
    let mut sitting = bench.sitting(auto(), plan(&[20, 50, 100], 20));
    sitting.router = json!({"surge": true});
    let end = bench.run(sitting).await.unwrap();
    assert_eq!(end.outcome, Outcome::Promoted, "{}", bench.told());
    let stable = bench.sizes(STABLE);
    assert_eq!(stable, [4, 0, 4], "{}", bench.told());
    let canary = bench.sizes(CANARY);
    assert_eq!(canary, [0, 1, 4, 0], "{}", bench.told());
    bench.users_are_fine(0.01);
}

// === the new image ===

/// Returns the weight at the moment when the canary got its image.
fn weight_at_image(bench: &Bench, image: &str) -> u64 {
    let store = bench.sim.world().store();
    let changes = store.changes_after(0);
    let changes = changes.or_else(|first| store.changes_after(first)).unwrap();
    let mut weight = 0;
    for change in changes {
        if change.key == ISTIO.key() {
            weight = ISTIO.of(&change.object);
        }
        let has = &change.object["spec"]["template"]["spec"]["containers"][0]["image"];
        if change.key.name == CANARY && change.key.resource == "deployments" && has == image {
            return weight;
        }
    }
    panic!("{CANARY} never had {image}");
}

#[tokio::test(start_paused = true)]
async fn a_new_image_comes_in_without_users() {
    let bench = ISTIO.bench("healthy");
    bench.scale(CANARY, 4);
    bench.wait(60).await;
    ISTIO.meddle(&bench, 40);
    bench.wait(10).await;
    bench
        .ends(auto_image(NEXT), plan(&[10, 50], 20), Outcome::Promoted)
        .await;
    assert_eq!(weight_at_image(&bench, NEXT), 0, "{}", bench.told());
    assert_eq!(
        ISTIO.story(&bench),
        [0, 40, 0, 10, 50, 100, 0],
        "{}",
        bench.told()
    );
}

#[tokio::test(start_paused = true)]
async fn a_new_image_comes_in_on_one_pod_where_pods_are_the_traffic() {
    let bench = Bench::new("healthy");
    bench.scale(STABLE, 6);
    bench.scale(CANARY, 4);
    bench.wait(60).await;
    bench
        .ends(auto_image(NEXT), plan(&[10, 50], 20), Outcome::Promoted)
        .await;
    let store = bench.sim.world().store();
    let changes = store.changes_after(0);
    let changes = changes.or_else(|first| store.changes_after(first)).unwrap();
    let has = |object: &Value| object["spec"]["template"]["spec"]["containers"][0]["image"] == NEXT;
    let first = changes
        .into_iter()
        .find(|change| {
            change.key.name == CANARY && change.key.resource == "deployments" && has(&change.object)
        })
        .unwrap();
    assert_eq!(first.object["spec"]["replicas"], 1, "{}", bench.told());
    bench.users_are_fine(0.01);
}

// === tests before any user ===

fn tested(expect: &str) -> Plan {
    let mut plan = plan(&[10, 50], 20);
    let mut test = check(
        "http",
        &json!({"name": "acceptance", "path": "/health", "expect": expect}),
    );
    test.pre = true;
    plan.checks.push(test);
    plan
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_fails_its_test_meets_no_user() {
    for by in [&ISTIO, &GATEWAY] {
        let bench = by.bench("healthy");
        let plan = tested("body.status == \"no such word\"");
        let end = bench.ends(auto(), plan, Outcome::RolledBack).await;
        assert_eq!(end.cause, Some(Cause::Unhealthy), "{}", end.text);
        assert!(end.text.contains("acceptance"), "{}", end.text);
        assert_eq!(by.story(&bench), [0], "{}", bench.told());
        assert_eq!(bench.image(STABLE), OLD);
    }
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_passes_its_test_goes_on_and_is_not_asked_again() {
    let bench = ISTIO.bench("healthy");
    let plan = tested("body.status == \"healthy\"");
    let end = bench.ends(auto(), plan, Outcome::Promoted).await;
    assert!(end.release.tested.is_some());
    assert_eq!(ISTIO.story(&bench), [0, 10, 50, 100, 0], "{}", bench.told());
    assert_eq!(bench.results("acceptance").len(), 1, "{}", bench.told());
}

#[tokio::test(start_paused = true)]
async fn somebody_who_gives_users_to_a_canary_under_test_is_put_right() {
    let bench = ISTIO.bench("healthy");
    let plan = tested("body.status == \"no such word\"");
    let somebody = async {
        bench.until_phase(Phase::Testing).await;
        bench.wait(1).await;
        ISTIO.meddle(&bench, 30);
    };
    let (end, ()) = tokio::join!(bench.drive(auto(), plan), somebody);
    assert_eq!(
        end.unwrap().outcome,
        Outcome::RolledBack,
        "{}",
        bench.told()
    );
    assert_eq!(ISTIO.story(&bench), [0, 30, 0], "{}", bench.told());
    assert!(bench.was_told("another client changed the split"));
}

#[tokio::test(start_paused = true)]
async fn where_pods_are_the_traffic_the_first_pod_is_tested() {
    let bench = four("healthy", &[]);
    let plan = tested("body.status == \"no such word\"");
    let end = bench.ends(auto(), plan, Outcome::RolledBack).await;
    assert!(end.text.contains("acceptance"), "{}", end.text);
    assert_eq!(bench.sizes(CANARY), [0, 1, 0], "{}", bench.told());
}

#[tokio::test(start_paused = true)]
async fn a_test_holds_across_a_kill() {
    let bench = ISTIO.bench("healthy");
    let plan = tested("body.status == \"healthy\"");
    let mut steps = 0;
    loop {
        let mut sitting = bench.sitting(auto(), plan.clone());
        sitting.once = true;
        let end = bench.run(sitting).await.unwrap();
        if end.release.is_over() {
            assert_eq!(end.outcome, Outcome::Promoted, "{}", bench.told());
            break;
        }
        steps += 1;
        assert!(steps < 200, "{}", bench.told());
        bench.wait(10).await;
    }
    assert_eq!(ISTIO.story(&bench), [0, 10, 50, 100, 0], "{}", bench.told());
}
