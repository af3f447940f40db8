//! The safety rules of DESIGN.md section 4, one by one, and under every fault of the wire.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use canaryctl::{
    domain::{
        decide::{Goal, Request},
        event::EventKind,
        plan::{OnTrouble, Plan},
        release::{Cause, Outcome, Phase},
    },
    engine::{EngineError, start::Intent},
    journal::{JournalError, STALE},
    sim::fault::{self, Fault},
};
use serde_json::{Value, json};

use crate::support::{Bench, CANARY, OWN, STABLE, TOTAL, auto, check, checked, plan, set};

const OLD: &str = "registry.example/payment-api:1.5.0";
const NEW: &str = "registry.example/payment-api:2.0.0";
const JOURNAL: &str = "canaryctl-payment-api";

// === rule 1 ===

#[tokio::test(start_paused = true)]
async fn r1_capacity_never_falls_on_the_way_up_and_through_the_promotion() {
    let bench = Bench::new("healthy");
    bench
        .ends(auto(), plan(&[10, 33, 66, 100], 20), Outcome::Promoted)
        .await;
    assert!(bench.least_ready() >= TOTAL as usize);
    bench.users_are_fine(0.01);
}

#[tokio::test(start_paused = true)]
async fn r1_capacity_never_falls_on_the_way_back() {
    let bench = Bench::new("healthy");
    bench
        .ends(set("80%"), plan(&[80], 20), Outcome::AtWeight)
        .await;
    bench
        .ends(Intent::Rollback, plan(&[80], 20), Outcome::RolledBack)
        .await;
    assert!(bench.least_ready() >= TOTAL as usize);
    bench.users_are_fine(0.01);
    bench.wait(5).await;
    bench.is_back(OLD, OWN);
}

#[tokio::test(start_paused = true)]
async fn r1_traffic_never_goes_to_a_side_without_ready_pods() {
    let bench = Bench::new("never-ready");
    let end = bench
        .ends(auto(), plan(&[50, 100], 20), Outcome::RolledBack)
        .await;
    assert_eq!(end.cause, Some(Cause::Unhealthy));
    // Stable never gave up a pod for canary pods that do not answer.
    assert!(
        bench.sizes(STABLE).iter().all(|n| *n >= 9),
        "{:?}",
        bench.sizes(STABLE)
    );
    bench.users_are_fine(0.01);
}

// === rule 3 ===

#[tokio::test(start_paused = true)]
async fn r3_whatever_is_no_number_is_unknown() {
    let bodies = [
        ("'null'", "null"),
        (r#"'{"rate": null}'"#, "null in a field"),
        (r#"'{"rate": NaN}'"#, "NaN"),
        (r#"'{"rate": Infinity}'"#, "Infinity"),
        (r#"'{"rate": "NaN"}'"#, "NaN as text"),
        (r#"'{"rate": "0.1"}'"#, "a number as text"),
        (r#"'{"rate": "ok"}'"#, "text"),
        (r#"'{"rate": {}}'"#, "an object"),
        (r#"'{"rate": true}'"#, "a boolean"),
        (r#"'{"rate": 1e999}'"#, "a number beyond all numbers"),
        ("'{}'", "a missing field"),
        ("''", "an empty body"),
        ("'<html>'", "no JSON"),
    ];
    for (body, what) in bodies {
        let bench = Bench::edited(
            "healthy",
            &[(
                "  - match: {image: payment-api}\n",
                &format!("  - match: {{image: payment-api}}\n    health: {body}\n"),
            )],
        );
        let rate = json!({"name": "rate", "path": "/health", "value": "body.rate", "max": 5});
        let mut plan = plan(&[10, 50], 30);
        plan.checks.push(check("http", &rate));
        plan.steps[0].deadline = Duration::from_secs(60);
        let end = bench.drive(auto(), plan).await.unwrap();
        assert_eq!(
            (end.outcome, end.release.step),
            (Outcome::Paused, 0),
            "{what}: {}",
            end.text
        );
        assert!(end.text.contains("rate"), "{what}: {}", end.text);
    }
}

#[tokio::test(start_paused = true)]
async fn r3_a_number_in_any_notation_is_a_number() {
    for (body, outcome) in [
        (r#"'{"rate": 1e-05}'"#, Outcome::Promoted),
        (r#"'{"rate": 4}'"#, Outcome::Promoted),
        (r#"'{"rate": 5.5e0}'"#, Outcome::RolledBack),
        (r#"'{"rate": 1e300}'"#, Outcome::RolledBack),
    ] {
        let bench = Bench::edited(
            "healthy",
            &[(
                "  - match: {image: payment-api}\n",
                &format!("  - match: {{image: payment-api}}\n    health: {body}\n"),
            )],
        );
        let rate = json!({"name": "rate", "path": "/health", "value": "body.rate", "max": 5});
        let mut plan = plan(&[50], 30);
        plan.checks.push(check("http", &rate));
        bench.ends(auto(), plan, outcome).await;
    }
}

#[tokio::test(start_paused = true)]
async fn r3_metrics_that_say_nothing_never_advance() {
    for metrics in ["missing", "\"null\"", "nan", "empty", "prometheus"] {
        let bench = Bench::edited(
            "no-data",
            &[("metrics: \"null\"", &format!("metrics: {metrics}"))],
        );
        let mut plan = checked(&[10, 50], 30);
        plan.steps[0].deadline = Duration::from_secs(60);
        let end = bench.drive(auto(), plan).await.unwrap();
        assert_eq!(
            (end.outcome, end.release.step),
            (Outcome::Paused, 0),
            "{metrics}: {}",
            end.text
        );
    }
}

#[tokio::test(start_paused = true)]
async fn r3_counters_beyond_all_counts_do_not_damage_the_journal() {
    let bench = Bench::edited(
        "healthy",
        &[(
            "  - match: {image: payment-api}\n",
            "  - match: {image: payment-api}\n    health: '{\"good\": 1e308, \"all\": 1e308}'\n",
        )],
    );
    let share = json!({"name": "share", "path": "/health", "good": "body.good", "total": "body.all", "min": "95%"});
    let mut plan = plan(&[10, 50], 30);
    plan.checks.push(check("http", &share));
    plan.steps[0].deadline = Duration::from_secs(60);
    let end = bench.drive(auto(), plan).await.unwrap();
    assert_eq!(
        (end.outcome, end.release.step),
        (Outcome::Paused, 0),
        "{}",
        end.text
    );
    bench.record().await;
}

// === rule 4 ===

#[tokio::test(start_paused = true)]
async fn r4_pods_go_only_when_the_other_side_has_taken_over() {
    let bench = Bench::new("healthy");
    bench.ends(auto(), plan(&[50], 20), Outcome::Promoted).await;
    // At every write: pods that are ready plus pods asked for never promise less than the total.
    let (stable, canary) = (bench.sizes(STABLE), bench.sizes(CANARY));
    assert_eq!(stable.last(), Some(&OWN));
    assert_eq!(canary.last(), Some(&0));
    assert!(bench.least_ready() >= TOTAL as usize);
    let kinds = bench.kinds();
    let reached = kinds
        .iter()
        .rposition(|(_, k)| matches!(k, EventKind::Reached { split } if split.canary_ready == 0));
    let cleaned = kinds.iter().position(|(_, k)| {
        matches!(
            k,
            EventKind::PhaseChanged {
                phase: Phase::Cleaning,
                ..
            }
        )
    });
    assert!(reached < cleaned, "{}", bench.told());
}

// === rule 5: tests/crash.rs ===

#[tokio::test(start_paused = true)]
async fn r5_every_change_is_announced_in_the_journal_first() {
    let bench = Bench::new("healthy");
    bench.ends(auto(), plan(&[50], 20), Outcome::Promoted).await;
    let mut target = None;
    for change in bench.sim.world().store().changes_after(bench.from).unwrap() {
        match change.key.resource.as_str() {
            "configmaps" if change.key.name == JOURNAL => {
                let text = change.object["data"]["release.json"].as_str().unwrap();
                let release: Value = serde_json::from_str(text).unwrap();
                target = Some(release["phase"].as_str().unwrap().to_owned());
            }
            "deployments" => {
                let before = change.before.as_ref();
                let moved = before.is_some_and(|b| b["spec"] != change.object["spec"]);
                if moved {
                    let phase = target.clone().expect("a change before the journal");
                    let acting = [
                        "shifting",
                        "promote-shift",
                        "promote-template",
                        "promote-scale",
                        "promote-return",
                        // Stable's own number.
                        "cleaning",
                    ];
                    assert!(acting.contains(&phase.as_str()), "changed in {phase}");
                }
            }
            _ => {}
        }
    }
}

// === rule 6 ===

#[tokio::test(start_paused = true)]
async fn r6_a_second_run_is_told_who_and_since_when() {
    let bench = Bench::new("healthy");
    let second = async {
        bench.until_step(1).await;
        bench.wait(15).await;
        let mut sitting = bench.sitting(auto(), plan(&[10, 50], 300));
        sitting.holder = "holder-2".into();
        let began = bench.clock.now();
        let end = bench.run(sitting).await;
        (end, bench.clock.now().duration_since(began).as_secs())
    };
    let (first, second) = tokio::join!(bench.drive(auto(), plan(&[10, 50], 300)), second);
    assert_eq!(first.unwrap().outcome, Outcome::Promoted);
    // Told as soon as the first run shows that it lives.
    let (second, waited) = second;
    assert!(waited <= 32, "{waited} s");
    let Err(EngineError::Journal(JournalError::Held { who, since })) = second else {
        panic!("{second:?}");
    };
    assert_eq!(who, "holder-1@host");
    assert_eq!(since.to_string(), "2026-01-05T09:00:00Z");
}

#[tokio::test(start_paused = true)]
async fn r6_a_rollback_takes_over_and_the_first_run_stops_without_a_fight() {
    let bench = Bench::new("healthy");
    let first = bench.drive(auto(), plan(&[10, 50], 600));
    let second = async {
        bench.until_step(2).await;
        let mut sitting = bench.sitting(Intent::Rollback, plan(&[10, 50], 600));
        sitting.holder = "holder-2".into();
        // The request goes to the second run alone.
        let canaryctl::engine::start::Begun::Run(mut engine) = bench.begin(&sitting).await.unwrap()
        else {
            panic!("nothing to roll back");
        };
        let requests = tokio::sync::watch::Sender::new(Some(Request::Rollback));
        let drive = canaryctl::engine::Drive {
            goal: Goal::End,
            once: false,
            requests: requests.subscribe(),
        };
        engine.run(drive).await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(second.unwrap().outcome, Outcome::RolledBack);
    let Err(EngineError::Journal(JournalError::Lost(who))) = first else {
        panic!("{first:?}");
    };
    assert!(who.is_none_or(|who| who == "holder-2@host"));
    bench.wait(60).await;
    bench.is_back(OLD, OWN);
}

#[tokio::test(start_paused = true)]
async fn r6_a_driver_shows_itself_though_its_looks_find_nothing_new() {
    for interval in [4, 7, 10, 12, 15, 25, 60] {
        let bench = Bench::new("healthy");
        let mut order = plan(&[50], 300);
        order.interval = Duration::from_secs(interval);
        let mut longest = 0;
        let watcher = async {
            bench.until_step(1).await;
            for _ in 0..280 {
                bench.wait(1).await;
                let holder = bench.record().await.holder.unwrap();
                let silent = bench.clock.now().duration_since(holder.heartbeat);
                longest = longest.max(silent.as_secs());
            }
        };
        let (end, ()) = tokio::join!(bench.drive(auto(), order), watcher);
        assert_eq!(end.unwrap().outcome, Outcome::Promoted);
        assert!(
            longest <= 30,
            "silent for {longest} s with looks every {interval} s"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn r6_a_driver_that_lives_shows_itself_through_a_long_wait() {
    let bench = Bench::new("healthy");
    let mut plan = plan(&[10], 30);
    plan.steps[0].approve = true;
    let watcher = async {
        bench.until_phase(Phase::Approving).await;
        for _ in 0..40 {
            bench.wait(30).await;
            let holder = bench.record().await.holder.unwrap();
            let silent = bench.clock.now().duration_since(holder.heartbeat).as_secs();
            assert!(silent < 60, "silent for {silent} s");
            assert!(Duration::from_secs(60) < STALE);
        }
        bench.requests.send_replace(Some(Request::Approve));
    };
    let (end, ()) = tokio::join!(bench.drive(auto(), plan), watcher);
    assert_eq!(end.unwrap().outcome, Outcome::Promoted);
}

// === rule 7 ===

#[tokio::test(start_paused = true)]
async fn r7_a_new_version_in_mid_run_is_a_conflict_that_names_who() {
    let bench = Bench::new("healthy");
    let meddler = async {
        bench.until_step(1).await;
        bench.set_image(CANARY, "registry.example/payment-api:2.0.1");
    };
    let (end, ()) = tokio::join!(bench.drive(auto(), plan(&[10, 50], 60)), meddler);
    let end = end.unwrap();
    assert_eq!(end.outcome, Outcome::Conflict);
    assert!(
        end.text.contains("2.0.1") && end.text.contains("kubectl-edit"),
        "{}",
        end.text
    );
    assert_eq!(bench.image(STABLE), OLD);
}

#[tokio::test(start_paused = true)]
async fn r7_a_version_that_comes_during_the_promotion_does_not_reach_stable() {
    for phase in [
        Phase::PromoteTemplate,
        Phase::PromoteScale,
        Phase::PromoteCheck,
    ] {
        let bench = Bench::new("healthy");
        let meddler = async {
            bench.until_phase(phase).await;
            bench.set_image(CANARY, "registry.example/payment-api:6.6.6");
            if phase != Phase::PromoteTemplate {
                bench.set_image(STABLE, "registry.example/payment-api:6.6.6");
            }
        };
        let (end, ()) = tokio::join!(bench.drive(auto(), plan(&[50], 20)), meddler);
        let end = end.unwrap();
        // A version that comes to the canary after stable has its template changes nothing.
        let allowed = [Outcome::Conflict, Outcome::Promoted];
        assert!(allowed.contains(&end.outcome), "{phase:?}: {}", end.text);
        if phase != Phase::PromoteTemplate {
            assert_eq!(end.outcome, Outcome::Conflict, "{phase:?}: {}", end.text);
        }
        let ours = bench.image(STABLE) != "registry.example/payment-api:6.6.6";
        assert!(ours || phase != Phase::PromoteTemplate);
    }
}

#[tokio::test(start_paused = true)]
async fn r7_a_change_of_stable_is_a_conflict() {
    let bench = Bench::new("healthy");
    let meddler = async {
        bench.until_step(1).await;
        bench.set_image(STABLE, "registry.example/payment-api:1.5.1");
    };
    let (end, ()) = tokio::join!(bench.drive(auto(), plan(&[10, 50], 60)), meddler);
    let end = end.unwrap();
    assert_eq!(end.outcome, Outcome::Conflict);
    assert!(end.text.contains("1.5.1"), "{}", end.text);
}

// === rule 8 ===

#[tokio::test(start_paused = true)]
async fn r8_drift_is_put_right_three_times_and_names_who() {
    let bench = Bench::new("healthy");
    let meddler = async {
        bench.until_step(2).await;
        for _ in 0..4 {
            while bench.replicas(CANARY) != 5 {
                bench.wait(1).await;
            }
            bench.wait(30).await;
            bench.scale(CANARY, 2);
            bench.wait(5).await;
        }
    };
    let (end, ()) = tokio::join!(bench.drive(auto(), plan(&[10, 50], 900)), meddler);
    let end = end.unwrap();
    assert_eq!(end.outcome, Outcome::Conflict, "{}", bench.told());
    assert!(
        end.text
            .contains("payment-api-canary scaled by kubectl-edit"),
        "{}",
        end.text
    );
    assert!(end.text.contains("re-applied 3 times"), "{}", end.text);
    let drifts = bench
        .kinds()
        .iter()
        .filter(|(_, k)| {
            matches!(
                k,
                EventKind::Drift {
                    reasserted: true,
                    ..
                }
            )
        })
        .count();
    assert_eq!(drifts, 3);
}

#[tokio::test(start_paused = true)]
async fn r8_drift_makes_the_step_prove_itself_again() {
    let bench = Bench::new("healthy");
    let meddler = async {
        bench.until_step(1).await;
        bench.wait(50).await;
        bench.scale(STABLE, 8);
    };
    let (end, ()) = tokio::join!(bench.drive(auto(), plan(&[10], 60)), meddler);
    let end = end.unwrap();
    assert_eq!(end.outcome, Outcome::Promoted);
    let kinds = bench.kinds();
    let holds: Vec<_> = kinds
        .iter()
        .filter(|(_, k)| {
            matches!(
                k,
                EventKind::PhaseChanged {
                    phase: Phase::Holding,
                    ..
                }
            )
        })
        .collect();
    assert_eq!(holds.len(), 2, "{}", bench.told());
    let left = kinds
        .iter()
        .find(|(_, k)| {
            matches!(
                k,
                EventKind::PhaseChanged {
                    phase: Phase::PromoteShift,
                    ..
                }
            )
        })
        .unwrap();
    assert!(left.0.duration_since(holds[1].0).as_secs() >= 60);
}

// === rule 9 ===

#[tokio::test(start_paused = true)]
async fn r9_a_crash_loop_does_not_extend_the_wait() {
    // Its pods turn ready for a moment each time, which resets the Deployment's own deadline.
    let bench = Bench::edited("crash-loop", &[("after: 20s", "after: 3s")]);
    let mut plan = plan(&[50], 600);
    plan.checks.clear();
    plan.ready_timeout = Duration::from_secs(120);
    let end = bench.drive(auto(), plan).await.unwrap();
    assert_eq!(end.outcome, Outcome::RolledBack, "{}", bench.told());
    let shifting = bench
        .kinds()
        .iter()
        .find(|(_, k)| {
            matches!(
                k,
                EventKind::PhaseChanged {
                    phase: Phase::Shifting,
                    ..
                }
            )
        })
        .map(|(at, _)| *at);
    let given_up = bench
        .kinds()
        .iter()
        .find(|(_, k)| matches!(k, EventKind::RollingBack { .. }))
        .map(|(at, _)| *at);
    let began = shifting.unwrap_or(end.release.started);
    let lasted = given_up.unwrap().duration_since(began).as_secs();
    assert!(
        (110..=140).contains(&lasted),
        "{lasted} s\n{}",
        bench.told()
    );
}

#[tokio::test(start_paused = true)]
async fn r9_every_wait_says_what_it_waits_for() {
    let bench = Bench::new("never-ready");
    bench.drive(auto(), plan(&[50], 60)).await.unwrap();
    assert!(bench.was_told("pods available"), "{}", bench.told());
}

#[tokio::test(start_paused = true)]
async fn r9_an_api_server_that_is_gone_ends_the_sitting_after_its_patience() {
    let bench = Bench::new("healthy");
    let faults = fault::Plan::new(bench.clock.clone(), |call| {
        if call.number > 60 {
            Fault::RequestLost
        } else {
            Fault::None
        }
    });
    let mut sitting = bench.sitting(auto(), plan(&[10, 50], 60));
    sitting.cluster = bench.faulty(&faults);
    let before = bench.clock.now();
    let end = bench.run(sitting).await.unwrap();
    assert_eq!(end.outcome, Outcome::Paused, "{}", end.text);
    assert!(end.text.contains("of the traffic at"), "{}", end.text);
    let lasted = bench.clock.now().duration_since(before).as_secs();
    assert!(lasted < 500, "{lasted} s");
    // Whoever comes next goes on.
    bench.wait(95).await;
    let mut sitting = bench.sitting(auto(), plan(&[10, 50], 60));
    sitting.holder = "holder-2".into();
    assert_eq!(bench.run(sitting).await.unwrap().outcome, Outcome::Promoted);
}

// === rule 10 ===

#[tokio::test(start_paused = true)]
async fn r10_a_rollback_works_from_every_phase_and_twice() {
    for phase in [
        Phase::Shifting,
        Phase::Holding,
        Phase::PromoteShift,
        Phase::PromoteTemplate,
        Phase::PromoteScale,
        Phase::PromoteCheck,
        Phase::PromoteReturn,
    ] {
        let bench = Bench::new("healthy");
        let operator = async {
            bench.until_phase(phase).await;
            bench.requests.send_replace(Some(Request::Rollback));
        };
        let (end, ()) = tokio::join!(bench.drive(auto(), plan(&[50], 20)), operator);
        let end = end.unwrap();
        assert_eq!(
            end.outcome,
            Outcome::RolledBack,
            "{phase:?}: {}\n{}",
            end.text,
            bench.told()
        );
        assert_eq!(end.cause, Some(Cause::Operator));
        assert!(end.text.contains("verified at 0%"), "{}", end.text);
        bench.wait(30).await;
        bench.is_back(OLD, OWN);
        bench.users_are_fine(0.02);
        assert!(
            bench.least_ready() >= TOTAL as usize,
            "{phase:?}: {}",
            bench.least_ready()
        );
        let again = bench
            .begin(&bench.sitting(Intent::Rollback, plan(&[50], 20)))
            .await
            .unwrap();
        assert!(
            matches!(again, canaryctl::engine::start::Begun::Nothing(_)),
            "{phase:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn r10_a_rollback_needs_no_readable_journal() {
    for damage in ["not json", "{}"] {
        let bench = Bench::new("healthy");
        bench
            .ends(set("50"), plan(&[50], 20), Outcome::AtWeight)
            .await;
        bench.edit("configmaps", JOURNAL, |map| {
            map["data"]["release.json"] = json!(damage);
        });
        bench
            .ends(Intent::Rollback, plan(&[50], 20), Outcome::RolledBack)
            .await;
        bench.wait(5).await;
        bench.is_back(OLD, TOTAL);
    }
}

#[tokio::test(start_paused = true)]
async fn r10_a_rollback_passes_over_the_journal_of_a_newer_version_without_touching_it() {
    let bench = Bench::new("healthy");
    bench
        .ends(set("50"), plan(&[50], 20), Outcome::AtWeight)
        .await;
    bench.edit("configmaps", JOURNAL, |map| {
        let text = map["data"]["release.json"]
            .as_str()
            .unwrap()
            .replace("\"version\":1", "\"version\":99");
        map["data"]["release.json"] = json!(text);
    });
    let refused = bench.drive(auto(), plan(&[50], 20)).await;
    assert!(
        matches!(refused, Err(EngineError::Journal(JournalError::Newer(99)))),
        "{refused:?}"
    );
    bench
        .ends(Intent::Rollback, plan(&[50], 20), Outcome::RolledBack)
        .await;
    let kept = bench.object("configmaps", JOURNAL).unwrap();
    assert!(
        kept["data"]["release.json"]
            .as_str()
            .unwrap()
            .contains("\"version\":99")
    );
    bench.wait(5).await;
    bench.is_back(OLD, TOTAL);
}

#[tokio::test(start_paused = true)]
async fn r10_a_rollback_works_where_the_journal_and_events_are_forbidden() {
    let bench = Bench::new("healthy");
    bench
        .ends(set("50"), plan(&[50], 20), Outcome::AtWeight)
        .await;
    let faults = fault::Plan::new(bench.clock.clone(), |call| {
        let closed = call.path.contains("/configmaps") || call.path.contains("/events");
        if closed {
            Fault::Status(403, None)
        } else {
            Fault::None
        }
    });
    let mut sitting = bench.sitting(Intent::Rollback, plan(&[50], 20));
    sitting.cluster = bench.faulty(&faults);
    let end = bench.run(sitting).await.unwrap();
    assert_eq!(end.outcome, Outcome::RolledBack, "{}", bench.told());
    bench.wait(5).await;
    bench.is_back(OLD, TOTAL);
}

#[tokio::test(start_paused = true)]
async fn r10_a_rollback_that_was_given_up_can_be_tried_again() {
    // Stable cannot grow for a while: its pods are refused.
    let bench = Bench::new("healthy");
    bench
        .ends(set("50"), plan(&[50], 20), Outcome::AtWeight)
        .await;
    let old = bench.template(STABLE)["spec"]["containers"][0]["image"].clone();
    bench.edit("deployments", STABLE, |d| {
        d["spec"]["minReadySeconds"] = json!(0);
    });
    let faults = fault::Plan::new(bench.clock.clone(), |call| {
        if call.path.ends_with("/scale") {
            Fault::Status(500, None)
        } else {
            Fault::None
        }
    });
    let mut sitting = bench.sitting(Intent::Rollback, plan(&[50], 20));
    sitting.cluster = bench.faulty(&faults);
    let first = bench.run(sitting).await;
    let failed = first.map_or(true, |end| end.outcome == Outcome::Incomplete);
    assert!(failed, "{}", bench.told());
    bench.wait(3600).await;
    bench
        .ends(Intent::Rollback, plan(&[50], 20), Outcome::RolledBack)
        .await;
    bench.wait(5).await;
    assert_eq!(old, OLD);
    bench.is_back(OLD, OWN);
}

// === the wire ===

/// A release in both directions with a fault at every n-th call still ends right, and no user
/// notices.
async fn disturbed(n: u64, fault: Fault) {
    for (scenario, outcome) in [
        ("healthy", Outcome::Promoted),
        ("errors-at-25", Outcome::RolledBack),
    ] {
        let bench = Bench::new(scenario);
        let (cluster, faults) = bench.every(n, fault);
        let mut sitting = bench.sitting(auto(), checked(&[10, 50], 90));
        sitting.cluster = cluster;
        let end = bench.run(sitting).await;
        let end = end.unwrap_or_else(|e| {
            panic!(
                "{fault}: {e}\n{}\n{}",
                bench.told(),
                faults.log().join("\n")
            )
        });
        assert_eq!(
            end.outcome,
            outcome,
            "{fault}: {}\n{}",
            end.text,
            bench.told()
        );
        bench.wait(10).await;
        assert_eq!(bench.users().refused, 0);
        assert!(bench.least_ready() >= TOTAL as usize, "{fault}");
        match outcome {
            Outcome::Promoted => {
                bench.users_are_fine(0.01);
                assert_eq!((bench.replicas(STABLE), bench.replicas(CANARY)), (OWN, 0));
                assert_eq!(bench.image(STABLE), NEW);
            }
            _ => bench.is_back(OLD, OWN),
        }
        assert!(
            faults.log().iter().any(|l| !l.ends_with(" none")),
            "{fault} never came"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_survives_server_errors() {
    disturbed(4, Fault::Status(500, None)).await;
}

#[tokio::test(start_paused = true)]
async fn a_release_survives_conflicts() {
    disturbed(7, Fault::Status(409, None)).await;
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_write_delays_a_rollback_by_a_moment() {
    let bench = Bench::new("healthy");
    bench
        .ends(set("50"), plan(&[50], 20), Outcome::AtWeight)
        .await;
    let met = AtomicBool::new(false);
    let faults = fault::Plan::new(bench.clock.clone(), move |call| {
        if call.path.ends_with("/scale") && !met.swap(true, Ordering::Relaxed) {
            Fault::Status(409, None)
        } else {
            Fault::None
        }
    });
    let mut sitting = bench.sitting(Intent::Rollback, plan(&[50], 20));
    sitting.cluster = bench.faulty(&faults);
    let start = bench.clock.now();
    let end = bench.run(sitting).await.unwrap();
    assert_eq!(end.outcome, Outcome::RolledBack, "{}", bench.told());
    assert!(bench.was_told("has been modified"), "{}", bench.told());
    let events = bench.events.lock().unwrap().clone();
    let scaled = events
        .iter()
        .find(|e| e.at >= start && matches!(e.kind, EventKind::Acting { .. }));
    let late = scaled.unwrap().at.duration_since(start).as_millis();
    assert!((200..1000).contains(&late), "{late} ms\n{}", bench.told());
}

#[tokio::test(start_paused = true)]
async fn a_release_survives_an_overloaded_server() {
    disturbed(4, Fault::Status(429, Some(3))).await;
}

#[tokio::test(start_paused = true)]
async fn a_release_survives_tokens_that_end() {
    disturbed(4, Fault::Status(401, None)).await;
}

#[tokio::test(start_paused = true)]
async fn a_release_survives_login_pages() {
    disturbed(4, Fault::LoginPage).await;
}

#[tokio::test(start_paused = true)]
async fn a_release_survives_refusals_that_pass() {
    disturbed(7, Fault::Status(403, None)).await;
}

#[tokio::test(start_paused = true)]
async fn a_release_survives_answers_that_end_in_the_middle() {
    disturbed(5, Fault::Truncated).await;
}

#[tokio::test(start_paused = true)]
async fn a_release_survives_what_was_there_and_is_not_found() {
    disturbed(7, Fault::Status(404, None)).await;
}

#[tokio::test(start_paused = true)]
async fn a_release_survives_answers_from_before() {
    disturbed(4, Fault::Stale).await;
}

#[tokio::test(start_paused = true)]
async fn a_release_survives_calls_that_are_never_answered() {
    disturbed(31, Fault::Hang).await;
}

#[tokio::test(start_paused = true)]
async fn a_release_survives_lost_requests() {
    disturbed(4, Fault::RequestLost).await;
}

#[tokio::test(start_paused = true)]
async fn a_release_survives_lost_replies() {
    disturbed(5, Fault::ReplyLost).await;
}

#[tokio::test(start_paused = true)]
async fn a_release_survives_broken_replies() {
    disturbed(5, Fault::Reset).await;
}

#[tokio::test(start_paused = true)]
async fn a_release_survives_a_slow_server() {
    disturbed(3, Fault::Delay(Duration::from_secs(4))).await;
}

#[tokio::test(start_paused = true)]
async fn a_release_survives_lost_watches() {
    let bench = Bench::new("healthy");
    let faults = fault::Plan::new(bench.clock.clone(), |call| {
        if call.watch {
            Fault::LostWatch(Duration::from_secs(3))
        } else {
            Fault::None
        }
    });
    let mut sitting = bench.sitting(auto(), plan(&[10, 50], 60));
    sitting.cluster = bench.faulty(&faults);
    assert_eq!(bench.run(sitting).await.unwrap().outcome, Outcome::Promoted);
    assert!(bench.least_ready() >= TOTAL as usize);
}

#[tokio::test(start_paused = true)]
async fn a_release_needs_no_watch_at_all() {
    let bench = Bench::new("healthy");
    let faults = fault::Plan::new(bench.clock.clone(), |call| {
        if call.watch {
            Fault::Status(403, None)
        } else {
            Fault::None
        }
    });
    let mut sitting = bench.sitting(auto(), plan(&[10, 50], 60));
    sitting.cluster = bench.faulty(&faults);
    assert_eq!(bench.run(sitting).await.unwrap().outcome, Outcome::Promoted);
}

#[tokio::test(start_paused = true)]
async fn events_that_cannot_be_written_are_said_once_and_delay_nothing() {
    let bench = Bench::new("errors-at-25");
    let faults = fault::Plan::new(bench.clock.clone(), |call| {
        if call.path.contains("/events") {
            Fault::Hang
        } else {
            Fault::None
        }
    });
    let mut sitting = bench.sitting(auto(), checked(&[10, 50], 60));
    sitting.cluster = bench.faulty(&faults);
    assert_eq!(
        bench.run(sitting).await.unwrap().outcome,
        Outcome::RolledBack
    );
    let warnings = bench
        .kinds()
        .iter()
        .filter(|(_, k)| matches!(k, EventKind::Warning { .. }))
        .count();
    assert_eq!(warnings, 1, "{}", bench.told());
    let kinds = bench.kinds();
    let decided = kinds
        .iter()
        .find(|(_, k)| matches!(k, EventKind::RollingBack { .. }))
        .unwrap()
        .0;
    let acted = kinds
        .iter()
        .find(|(at, k)| *at >= decided && matches!(k, EventKind::Acting { .. }))
        .unwrap()
        .0;
    assert!(
        acted.duration_since(decided).as_secs() < 5,
        "{}",
        bench.told()
    );
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_takes_the_canary_out_and_lets_the_run_go() {
    let bench = Bench::new("healthy");
    let faults = fault::Plan::new(bench.clock.clone(), |call| {
        if call.path.ends_with("/scale") {
            Fault::Status(403, None)
        } else {
            Fault::None
        }
    });
    let mut sitting = bench.sitting(auto(), plan(&[50], 60));
    sitting.cluster = bench.faulty(&faults);
    let end = bench.run(sitting).await.unwrap();
    // The way back needs the same right here.
    assert_eq!(end.outcome, Outcome::Incomplete, "{}", bench.told());
    assert_eq!(bench.record().await.holder, None);
    let mut sitting = bench.sitting(auto(), plan(&[50], 60));
    sitting.holder = "holder-2".into();
    assert_eq!(
        bench.run(sitting).await.unwrap().outcome,
        Outcome::RolledBack
    );
}

#[tokio::test(start_paused = true)]
async fn the_journal_stays_small() {
    let bench = Bench::new("healthy");
    let order = Plan {
        on_interrupt: OnTrouble::Hold,
        ..plan(&[10, 50], 5)
    };
    for round in 0..40 {
        let weight = if round % 2 == 0 { "50" } else { "0" };
        bench
            .ends(set(weight), order.clone(), Outcome::AtWeight)
            .await;
        bench.requests.send_replace(None);
        if round % 2 == 1 {
            bench.edit("configmaps", JOURNAL, |map| {
                let text = map["data"]["release.json"].as_str().unwrap();
                let mut release: Value = serde_json::from_str(text).unwrap();
                release["phase"] = json!("ended");
                // Sentences of a large release are long.
                for entry in release["trail"].as_array_mut().unwrap() {
                    entry["text"] = json!("x".repeat(20_000));
                }
                map["data"]["release.json"] = json!(release.to_string());
            });
        }
    }
    let map = bench.object("configmaps", JOURNAL).unwrap();
    let size: usize = map["data"]
        .as_object()
        .unwrap()
        .values()
        .map(|v| v.as_str().unwrap().len())
        .sum();
    assert!(size < 600_000, "{size} bytes");
    let past: Vec<Value> =
        serde_json::from_str(map["data"]["history.json"].as_str().unwrap()).unwrap();
    assert!(past.len() >= 10, "{}", past.len());
}
