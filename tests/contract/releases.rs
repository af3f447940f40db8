//! Whole releases by weights: promoted, taken back, killed and gone on with, disturbed, in ticks.

use std::time::Duration;

use canaryctl::{
    domain::{
        decide::Request,
        event::EventKind,
        plan::Plan,
        release::{Cause, Outcome, Phase},
        weight::Percent,
    },
    engine::{
        EngineError,
        start::{Begun, Intent},
    },
    journal::{Journal, JournalError},
    sim::{
        Snapshot,
        fault::{self, Fault},
        store::Key,
    },
};
use k8s_openapi::api::events::v1::Event;
use kube::{Api, api::ListParams};
use serde_json::json;

use crate::support::{
    Bench, CANARY, NAMESPACE, STABLE, auto, checked, edit, plan, set, steps, virtually,
    weights::{ByWeights, GATEWAY, ISTIO, NGINX},
};

const OLD: &str = "registry.example/payment-api:1.5.0";
const NEW: &str = "registry.example/payment-api:2.0.0";

/// Pods of stable in the built-in scenarios, which a router by weights leaves as they are.
const STABLE_PODS: u32 = 9;

/// Pods of the canary before a release, which it has again after a promotion: without weight they cost no
/// request.
const CANARY_PODS: u32 = 1;

const BOTH: [&ByWeights; 2] = [&ISTIO, &NGINX];

fn is_back(by: &ByWeights, bench: &Bench) {
    assert_eq!(by.weight(bench), 0, "{}", bench.told());
    assert_eq!(bench.image(STABLE), OLD);
    assert_eq!(bench.sizes(STABLE), [STABLE_PODS], "{}", bench.told());
    // A route by header would go on serving what was condemned.
    assert_eq!(bench.replicas(CANARY), 0, "{}", bench.told());
}

#[tokio::test(start_paused = true)]
async fn a_healthy_release_is_promoted() {
    for by in BOTH {
        let bench = by.bench("healthy");
        bench
            .ends(auto(), checked(&[10, 25, 50, 100], 60), Outcome::Promoted)
            .await;
        assert_eq!(bench.image(STABLE), NEW, "{}", by.name);
        assert_eq!(
            by.story(&bench),
            [0, 10, 25, 50, 100, 0],
            "{}",
            bench.told()
        );
        assert_eq!(bench.replicas(STABLE), STABLE_PODS, "{}", bench.told());
        assert_eq!(bench.replicas(CANARY), CANARY_PODS);
        assert!(bench.least_ready() >= STABLE_PODS as usize);
        bench.users_are_fine(0.01);
    }
}

/// Stable keeps its pods until the promotion: a rollback needs no new ones.
#[tokio::test(start_paused = true)]
async fn stable_keeps_its_pods_and_the_canary_gets_those_of_its_share() {
    for by in BOTH {
        let bench = by.bench("healthy");
        let end = bench
            .ends(set("50%"), plan(&[50], 20), Outcome::AtWeight)
            .await;
        assert_eq!(by.weight(&bench), 50, "{}", end.text);
        assert_eq!(bench.sizes(STABLE), [STABLE_PODS], "{}", bench.told());
        assert_eq!(bench.replicas(CANARY), 5, "{}", bench.told());
        bench
            .ends(Intent::Rollback, plan(&[50], 20), Outcome::RolledBack)
            .await;
        assert_eq!(by.story(&bench), [0, 50, 0], "{}", bench.told());
        bench.users_are_fine(0.01);
    }
}

#[tokio::test(start_paused = true)]
async fn errors_at_a_quarter_of_the_traffic_are_taken_back() {
    for by in BOTH {
        let bench = by.bench("errors-at-25");
        let end = bench
            .ends(
                auto(),
                checked(&[10, 25, 50, 100], 180),
                Outcome::RolledBack,
            )
            .await;
        assert_eq!(end.cause, Some(Cause::Unhealthy), "{}", end.text);
        assert_eq!(end.release.step, 1);
        assert!(end.text.contains("success rate"), "{}", end.text);
        // Braked at 25 %, calm at less, as bad as before at 25 %: it fails under load.
        let mut story = by.story(&bench);
        assert_eq!(story[..4], [0, 10, 25, 0], "{}", bench.told());
        story.retain(|weight| *weight == 0 || *weight >= 25);
        assert_eq!(story, [0, 25, 0, 25, 0, 25, 0], "{}", bench.told());
        bench.wait(5).await;
        is_back(by, &bench);
        assert_eq!(bench.users().refused, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_brake_errors_are_taken_back_straight_away() {
    for by in BOTH {
        let bench = by.bench("errors-at-25");
        let mut plan = checked(&[10, 25, 50, 100], 180);
        plan.brake = false;
        let end = bench.ends(auto(), plan, Outcome::RolledBack).await;
        assert_eq!(end.release.step, 1);
        assert_eq!(by.story(&bench), [0, 10, 25, 0], "{}", bench.told());
    }
}

/// Whoever asks for a rollback has the last word: the driver finds that the run is not its own any more,
/// and does not take the weight that is gone for a mistake of somebody else.
#[tokio::test(start_paused = true)]
async fn a_rollback_beside_a_driver_that_lives_is_not_undone() {
    for by in BOTH {
        let bench = by.bench("healthy");
        let somebody = async {
            bench.until_step(1).await;
            bench.wait(27).await;
            let other = bench.somebody();
            let mut sitting = other.sitting(Intent::Rollback, plan(&[25], 60));
            sitting.holder = "holder-2".into();
            let back = other.run(sitting).await.unwrap();
            assert_eq!(back.outcome, Outcome::RolledBack, "{}", other.told());
            bench.wait(60).await;
        };
        let (driver, ()) = tokio::join!(bench.drive(auto(), plan(&[25, 50], 60)), somebody);
        let lost = matches!(driver, Err(EngineError::Journal(JournalError::Lost(_))));
        assert!(lost, "{driver:?}\n{}", bench.told());
        assert_eq!(by.story(&bench), [0, 25, 0], "{}", bench.told());
        assert_eq!(bench.users().refused, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn pods_that_never_turn_ready_get_no_traffic() {
    for by in BOTH {
        let bench = by.bench("never-ready");
        bench
            .ends(auto(), plan(&[25, 50], 30), Outcome::RolledBack)
            .await;
        assert_eq!(by.story(&bench), [0], "{}", bench.told());
        is_back(by, &bench);
        assert_eq!(bench.users().refused, 0);
    }
}

/// Drives a release until the process dies at a call, and returns what it leaves behind.
async fn killed(bench: &Bench, plan: &Plan, call: u64, fault: Fault) -> Snapshot {
    let faults = fault::Plan::at(bench.clock.clone(), call, fault);
    let mut sitting = bench.sitting(auto(), plan.clone());
    sitting.cluster = bench.faulty(&faults);
    tokio::select! {
        biased;
        () = faults.crash() => bench.sim.snapshot(),
        end = bench.run(sitting) => panic!("{call}: no crash: {:?}", end.map(|e| e.text)),
    }
}

/// The process dies before or after every twenty-ninth call; another goes on after it, to the same end.
fn a_kill_changes_no_ending(by: &ByWeights, scenario: &str, outcome: Outcome, weights: &[u64]) {
    let mut plan = checked(&[25, 100], 60);
    plan.interval = Duration::from_secs(20);
    let calls = virtually(async {
        let bench = by.bench(scenario);
        let quiet = fault::Plan::quiet(bench.clock.clone());
        let mut sitting = bench.sitting(auto(), plan.clone());
        sitting.cluster = bench.faulty(&quiet);
        assert_eq!(bench.run(sitting).await.unwrap().outcome, outcome);
        quiet.calls()
    });
    let ways = [Fault::CrashBefore, Fault::CrashAfter];
    for (call, fault) in (12..calls).step_by(29).zip(ways.into_iter().cycle()) {
        let what = format!("{} {scenario}, {fault} at {call} of {calls}", by.name);
        // Whoever is killed leaves nothing running: each life has a runtime of its own.
        let (snapshot, from, told) = virtually(async {
            let bench = by.bench(scenario);
            let snapshot = killed(&bench, &plan, call, fault).await;
            let told = bench.events.lock().unwrap().clone();
            (snapshot, bench.from, told)
        });
        virtually(async {
            let mut bench = Bench::resumed(&snapshot, from, told);
            bench.by = by.name;
            bench.wait(95).await;
            let mut heir = bench.sitting(auto(), plan.clone());
            heir.holder = "holder-2".into();
            match bench.begin(&heir).await {
                Ok(Begun::Run(mut engine)) => {
                    let end = bench.steer(&mut engine, heir.goal, false).await.unwrap();
                    assert_eq!(end.outcome, outcome, "{what}\n{}", bench.told());
                }
                // Only when all was done and written down.
                Ok(Begun::Nothing(_)) | Err(_) => {
                    let record = bench.record().await;
                    let ended = (record.phase, record.ending);
                    assert_eq!(
                        ended,
                        (Phase::Ended, Some(outcome)),
                        "{what}\n{}",
                        bench.told()
                    );
                }
            }
            // The least weight follows the requests that were counted: it may be two percent as well.
            let story = by.story(&bench).into_iter();
            let story: Vec<u64> = story.map(|w| if w == 2 { 1 } else { w }).collect();
            assert_eq!(story, weights, "{what}\n{}", bench.told());
            assert_eq!(bench.users().refused, 0, "{what}");
        });
    }
}

#[test]
fn a_kill_changes_no_promotion() {
    for by in BOTH {
        a_kill_changes_no_ending(by, "healthy", Outcome::Promoted, &[0, 25, 100, 0]);
    }
}

#[test]
fn a_kill_changes_no_rollback() {
    for by in BOTH {
        a_kill_changes_no_ending(by, "errors-at-25", Outcome::RolledBack, &[0, 25, 1, 25, 0]);
    }
}

/// The pause after a field that did not keep its value is for that alone: every step writes the
/// weight, and none waits for it.
#[tokio::test(start_paused = true)]
async fn a_weight_that_is_written_at_every_step_is_read_back_at_once() {
    for by in BOTH {
        let bench = by.bench("healthy");
        bench
            .ends(auto(), plan(&[10, 25, 50], 20), Outcome::Promoted)
            .await;
        let mut wrote = None;
        let mut waits = Vec::new();
        for (at, kind) in bench.kinds() {
            if matches!(kind, EventKind::Acting { .. }) {
                wrote = Some(at);
            } else if matches!(kind, EventKind::Reached { .. }) {
                waits.extend(wrote.take().map(|then| at.duration_since(then)));
            }
        }
        assert!(waits.len() >= 3, "{}", bench.told());
        let longest = waits.iter().max().unwrap();
        assert!(longest.as_secs() < 1, "{longest:#}\n{}", bench.told());
    }
}

#[tokio::test(start_paused = true)]
async fn a_weight_that_somebody_changes_is_put_right_three_times() {
    for by in BOTH {
        let bench = by.bench("healthy");
        let meddler = async {
            bench.until_step(2).await;
            loop {
                while by.weight(&bench) != 50 {
                    bench.wait(1).await;
                }
                bench.wait(30).await;
                by.meddle(&bench, 80);
                bench.wait(5).await;
            }
        };
        let end = tokio::select! {
            biased;
            end = bench.drive(auto(), plan(&[10, 50], 900)) => end.unwrap(),
            () = meddler => unreachable!(),
        };
        assert_eq!(end.outcome, Outcome::Conflict, "{}", bench.told());
        assert!(end.text.contains("re-applied 3 times"), "{}", end.text);
        assert!(end.text.contains("kubectl-edit"), "who? {}", end.text);
        let drifts = bench.kinds().into_iter().filter(|(_, kind)| {
            matches!(
                kind,
                EventKind::Drift {
                    reasserted: true,
                    ..
                }
            )
        });
        assert_eq!(drifts.count(), 3, "{}", bench.told());
        // Never fought over: their weight is what stands.
        assert_eq!(by.weight(&bench), 80);
    }
}

/// Waits until a phase is entered and a second has passed, as long as it takes somebody to interfere.
async fn soon_after(bench: &Bench, phase: Phase) {
    bench.until_phase(phase).await;
    bench.wait(1).await;
}

#[tokio::test(start_paused = true)]
async fn traffic_given_back_to_a_rolled_back_canary_is_taken_again() {
    for by in BOTH {
        for phase in [Phase::Draining, Phase::Cleaning] {
            let bench = by.bench("healthy");
            let somebody = async {
                bench.until_step(1).await;
                bench.wait(5).await;
                bench.requests.send_replace(Some(Request::Rollback));
                bench.until_phase(phase).await;
                by.meddle(&bench, 50);
            };
            let (end, ()) = tokio::join!(bench.drive(auto(), plan(&[25, 50], 60)), somebody);
            let end = end.unwrap();
            assert_eq!(end.outcome, Outcome::RolledBack, "{}", bench.told());
            bench.wait(60).await;
            assert_eq!(by.story(&bench), [0, 25, 0, 50, 0], "{}", bench.told());
            assert!(bench.was_told("another client changed the split"));
            assert_eq!(bench.users().refused, 0, "{}", bench.told());
            is_back(by, &bench);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn traffic_given_back_again_and_again_is_never_called_rolled_back() {
    for by in BOTH {
        let bench = by.bench("healthy");
        let somebody = async {
            bench.until_step(1).await;
            bench.requests.send_replace(Some(Request::Rollback));
            bench.until_phase(Phase::Draining).await;
            loop {
                by.meddle(&bench, 50);
                bench.wait(3).await;
            }
        };
        let end = tokio::select! {
            biased;
            end = bench.drive(auto(), plan(&[25, 50], 60)) => end.unwrap(),
            () = somebody => unreachable!(),
        };
        assert_eq!(end.outcome, Outcome::Conflict, "{}", bench.told());
        assert!(end.text.contains("re-applied 3 times"), "{}", end.text);
        // Their weight stands, and so do the pods that answer for it.
        by.story(&bench);
        assert_eq!(bench.users().refused, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn traffic_taken_from_the_canary_while_stable_is_renewed_is_given_back() {
    for by in BOTH {
        for phase in [Phase::PromoteTemplate, Phase::PromoteCheck] {
            let bench = by.bench("healthy");
            let somebody = async {
                soon_after(&bench, phase).await;
                by.meddle(&bench, 0);
            };
            let (end, ()) = tokio::join!(bench.drive(auto(), plan(&[50], 20)), somebody);
            assert_eq!(end.unwrap().outcome, Outcome::Promoted, "{}", bench.told());
            let story = by.story(&bench);
            assert_eq!(story, [0, 50, 100, 0, 100, 0], "{phase:?} {}", bench.told());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_carries_all_traffic_keeps_its_pods() {
    for by in BOTH {
        for phase in [
            Phase::PromoteTemplate,
            Phase::PromoteScale,
            Phase::PromoteCheck,
        ] {
            let bench = by.bench("healthy");
            let somebody = async {
                bench.until_phase(phase).await;
                bench.scale(CANARY, 1);
            };
            let (end, ()) = tokio::join!(bench.drive(auto(), plan(&[50], 20)), somebody);
            assert_eq!(end.unwrap().outcome, Outcome::Promoted, "{}", bench.told());
            let sizes = bench.sizes(CANARY);
            assert!(
                sizes.ends_with(&[10, 1, 10, 1]),
                "{phase:?} {sizes:?}\n{}",
                bench.told()
            );
            assert!(bench.was_told("scaled by kubectl-edit"), "{}", bench.told());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_is_scaled_down_at_a_step_gets_its_pods_again() {
    for by in BOTH {
        let bench = by.bench("healthy");
        let somebody = async {
            bench.until_step(1).await;
            bench.wait(5).await;
            bench.scale(CANARY, 1);
        };
        let (end, ()) = tokio::join!(bench.drive(auto(), plan(&[50], 60)), somebody);
        assert_eq!(end.unwrap().outcome, Outcome::Promoted, "{}", bench.told());
        let sizes = bench.sizes(CANARY);
        assert!(
            sizes.starts_with(&[1, 5, 1, 5]),
            "{sizes:?}\n{}",
            bench.told()
        );
        assert!(bench.was_told("scaled by kubectl-edit"), "{}", bench.told());
    }
}

/// A weight without a pod behind it is an error for each of its users.
#[tokio::test(start_paused = true)]
async fn a_weight_ends_at_once_where_no_pod_is_left() {
    for by in BOTH {
        let bench = by.bench("crash-loop");
        let without_pods = async {
            let mut since = None;
            let mut longest = Duration::ZERO;
            loop {
                let ready = bench.deployment(CANARY)["status"]["readyReplicas"].as_u64();
                let empty = ready.unwrap_or(0) == 0 && by.weight(&bench) > 0;
                let now = bench.clock.uptime();
                since = empty.then(|| since.unwrap_or(now));
                longest =
                    longest.max(since.map_or(Duration::ZERO, |since| now.saturating_sub(since)));
                if bench.was_told("rolled back, verified") {
                    return longest;
                }
                bench.clock.sleep(Duration::from_millis(100)).await;
            }
        };
        let run = bench.drive(auto(), plan(&[25, 50], 120));
        let (end, longest) = tokio::join!(run, without_pods);
        let end = end.unwrap();
        assert_eq!(end.outcome, Outcome::RolledBack, "{}", bench.told());
        assert!(
            longest <= Duration::from_secs(1),
            "{longest:?}\n{}",
            bench.told()
        );
        assert!(
            end.text.contains("is ready while it has 25%"),
            "{}",
            bench.told()
        );
    }
}

/// A weight that was written may be live although nobody says so.
#[tokio::test(start_paused = true)]
async fn checks_go_on_while_a_gateway_says_nothing() {
    let bench = GATEWAY.bench("errors-at-25");
    let silence = async {
        bench.until_step(1).await;
        let gateway = Key::new(GATEWAY.group, "gateways", NAMESPACE, "public");
        let store = bench.sim.world().store();
        edit(store, &gateway, |gateway| {
            gateway["metadata"]["annotations"] = json!({"sim.canaryctl.dev/silent": "true"});
        })
        .unwrap();
        while GATEWAY.weight(&bench) < 25 {
            bench.wait(1).await;
        }
        let live = bench.clock.now();
        while GATEWAY.weight(&bench) > 0 {
            bench.wait(1).await;
        }
        bench.clock.now().duration_since(live)
    };
    let plan = checked(&[10, 25], 30);
    let (end, failing) = tokio::join!(bench.drive(auto(), plan), silence);
    let end = end.unwrap();
    assert!(
        failing <= jiff::SignedDuration::from_secs(60),
        "{failing}\n{}",
        bench.told()
    );
    assert_eq!(end.cause, Some(Cause::Unhealthy), "{}", bench.told());
}

#[tokio::test(start_paused = true)]
async fn ticks_drive_a_release_and_take_one_back() {
    for by in BOTH {
        for (scenario, outcome) in [
            ("healthy", Outcome::Promoted),
            ("errors-at-25", Outcome::RolledBack),
        ] {
            let bench = by.bench(scenario);
            let plan = checked(&[10, 50, 100], 120);
            let end = ticked(&bench, &plan).await;
            assert_eq!(end, outcome, "{}", bench.told());
            assert_eq!(by.weight(&bench), 0);
            by.story(&bench);
            assert_eq!(bench.users().refused, 0);
        }
    }
}

/// One tick a minute until the run is over.
async fn ticked(bench: &Bench, plan: &Plan) -> Outcome {
    for tick in 1..200 {
        let mut sitting = bench.sitting(auto(), plan.clone());
        sitting.once = true;
        sitting.holder = format!("tick-{tick}");
        let end = bench.run(sitting).await.unwrap();
        if end.release.is_over() || end.outcome != Outcome::AtWeight {
            return end.outcome;
        }
        bench.wait(60).await;
    }
    panic!("never over:\n{}", bench.told());
}

/// Kubernetes Events tell each move of the weight, and the journal names the router.
#[tokio::test(start_paused = true)]
async fn events_and_journal_tell_of_the_weights() {
    for by in BOTH {
        let bench = by.bench("healthy");
        bench
            .ends(auto(), plan(&[25, 100], 30), Outcome::Promoted)
            .await;
        let journal = Journal::new(bench.cluster(), "payment-api");
        let release = journal.load().await.unwrap().unwrap().release;
        assert_eq!(release.router.name, by.name);
        let api: Api<Event> = Api::namespaced(bench.sim.client(NAMESPACE), NAMESPACE);
        let events = api.list(&ListParams::default()).await.unwrap().items;
        let notes = events.into_iter().filter_map(|event| event.note);
        let notes: Vec<String> = notes.collect();
        for weight in ["25%", "100%", "0%"] {
            let told = notes.iter().any(|note| note.contains(weight));
            assert!(told, "{weight} in {notes:#?}");
        }
    }
}

/// Where the route goes mid-run nothing is moved, and the end says which object is missing.
#[tokio::test(start_paused = true)]
async fn a_route_that_is_deleted_in_mid_run_ends_with_its_name() {
    for by in BOTH {
        let bench = by.bench("healthy");
        let meddler = async {
            bench.until_step(1).await;
            bench.wait(20).await;
            bench.sim.world().store().delete(&by.key(), false).unwrap();
        };
        let (end, ()) = tokio::join!(bench.drive(auto(), plan(&[25, 50], 300)), meddler);
        let text = match end {
            Ok(end) => {
                assert_ne!(end.outcome, Outcome::Promoted, "{}", bench.told());
                format!("{}\n{}", end.text, bench.told())
            }
            Err(error) => format!("{error}\n{}", bench.told()),
        };
        assert!(text.contains(by.object), "{text}");
        assert!(text.contains("to exist"), "{text}");
        assert_eq!(bench.image(STABLE), OLD);
    }
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_ends_the_run_with_nothing_moved() {
    for by in BOTH {
        let bench = by.bench("healthy");
        let mut sitting = bench.sitting(auto(), plan(&[25], 30));
        let resource = by.resource;
        let plan = fault::Plan::new(bench.clock.clone(), move |call| {
            let ours = *call.method == http::Method::PATCH && call.path.contains(resource);
            if ours {
                Fault::Status(403, None)
            } else {
                Fault::None
            }
        });
        sitting.cluster = bench.faulty(&plan);
        let end = bench.run(sitting).await.unwrap();
        assert_eq!(end.cause, Some(Cause::Refused), "{}", bench.told());
        assert!(end.text.contains("forbidden"), "{}", end.text);
        assert_eq!(by.story(&bench), [0]);
    }
}

/// A step finer than a pod is exact.
#[tokio::test(start_paused = true)]
async fn a_weight_is_finer_than_a_pod() {
    let bench = ISTIO.bench("healthy");
    let mut plan = plan(&[1], 20);
    plan.steps.extend(steps(&[3], 20));
    bench.ends(auto(), plan, Outcome::Promoted).await;
    assert_eq!(ISTIO.story(&bench)[..3], [0, 1, 3]);
    let reached = bench.kinds().into_iter().find_map(|(_, kind)| match kind {
        EventKind::Reached { split } => Some(split.set),
        _ => None,
    });
    assert_eq!(reached, Some(Percent::whole(1)));
}
