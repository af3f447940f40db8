//! Outages and odd answers are met with another try; a refusal for good takes the canary out.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use canaryctl::{
    cli::Code,
    cluster::Reason,
    domain::{
        event::EventKind,
        plan::{OnTrouble, Plan},
        release::{Cause, Outcome, Phase},
    },
    engine::{End, EngineError},
    sim::fault::{self, Attempt, Fault},
};
use http::Method;

use crate::support::{Bench, CANARY, OWN, STABLE, TOTAL, auto, plan};

const OLD: &str = "registry.example/payment-api:1.5.0";
const NEW: &str = "registry.example/payment-api:2.0.0";

/// What a server or a proxy may answer once, out of order.
const ODD: [Fault; 9] = [
    Fault::LoginPage,
    Fault::Truncated,
    Fault::Stale,
    Fault::Status(400, None),
    Fault::Status(401, None),
    Fault::Status(403, None),
    Fault::Status(404, None),
    Fault::Status(410, None),
    Fault::Status(422, None),
];

fn short() -> Plan {
    plan(&[50], 10)
}

fn code(end: &End) -> u8 {
    Code::of(end, None).number()
}

/// Returns what kind of call it is: the method and the path without the names of pods.
fn kind(method: &str, path: &str) -> String {
    let path = path.split("/pods/").next().unwrap_or(path);
    format!("{method} {path}")
}

/// Runs a release with faults and expects an end.
async fn ended(bench: &Bench, plan: Plan, faults: &fault::Plan) -> End {
    let mut sitting = bench.sitting(auto(), plan);
    sitting.cluster = bench.faulty(faults);
    let end = bench.run(sitting).await;
    end.unwrap_or_else(|e| panic!("{e}\n{}\n{}", bench.told(), faults.log().join("\n")))
}

/// Returns faults that come with every call `hit` says, once the first step is watched.
fn from_the_first_step(
    bench: &Bench,
    fault: Fault,
    hit: impl Fn(&Attempt<'_>) -> bool + Send + Sync + 'static,
) -> fault::Plan {
    let events = bench.events.clone();
    fault::Plan::new(bench.clock.clone(), move |call| {
        let watches = |e: &canaryctl::domain::event::Event| {
            matches!(
                e.kind,
                EventKind::PhaseChanged {
                    phase: Phase::Holding,
                    ..
                }
            )
        };
        let first_step = events.lock().unwrap().iter().any(watches);
        if first_step && hit(call) {
            fault
        } else {
            Fault::None
        }
    })
}

#[tokio::test(start_paused = true)]
async fn one_odd_answer_at_any_kind_of_call_does_not_end_a_run() {
    let bench = Bench::new("healthy");
    let quiet = fault::Plan::quiet(bench.clock.clone());
    assert_eq!(
        ended(&bench, short(), &quiet).await.outcome,
        Outcome::Promoted
    );
    // Every kind of call after the run was begun, with the number of its last one.
    let log = quiet.log();
    let calls = log.iter().enumerate().map(|(number, line)| {
        let words: Vec<&str> = line.split(' ').collect();
        (number, kind(words[1], words[2]))
    });
    // The first such call only asks whether the record would be taken.
    let begun = log
        .iter()
        .rposition(|line| line.contains("POST") && line.ends_with("/configmaps none"));
    let begun = begun.unwrap() + 1;
    let mut known = BTreeSet::new();
    let mut points: Vec<(usize, String)> = Vec::new();
    for (number, kind) in calls.filter(|(number, _)| *number > begun) {
        if known.insert(kind.clone()) {
            points.push((number, kind));
        }
    }
    assert!(points.len() > 8, "{points:?}");
    for (at, (number, kind)) in points.iter().enumerate() {
        // By turns: three of them meet every kind of call, and each meets every third kind.
        for fault in ODD.iter().copied().skip(at % 3).step_by(3) {
            let bench = Bench::new("healthy");
            let number = u64::try_from(*number).unwrap();
            let faults = fault::Plan::at(bench.clock.clone(), number, fault);
            let end = ended(&bench, short(), &faults).await;
            let told = bench.told();
            assert_eq!(
                end.outcome,
                Outcome::Promoted,
                "{fault} at {kind}: {}\n{told}",
                end.text
            );
            assert_eq!(bench.image(STABLE), NEW);
            assert!(bench.least_ready() >= TOTAL as usize, "{fault} at {kind}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ten_seconds_without_a_session_are_said_once_and_waited_for() {
    for fault in [
        Fault::Status(401, None),
        Fault::Status(403, None),
        Fault::LoginPage,
        Fault::Truncated,
    ] {
        let bench = Bench::new("healthy");
        let (clock, began) = (bench.clock.clone(), bench.clock.now());
        let faults = fault::Plan::new(bench.clock.clone(), move |_| {
            let age = clock.now().duration_since(began).as_secs();
            if (60..70).contains(&age) {
                fault
            } else {
                Fault::None
            }
        });
        let end = ended(&bench, plan(&[10, 50], 60), &faults).await;
        assert_eq!(
            end.outcome,
            Outcome::Promoted,
            "{fault}: {}\n{}",
            end.text,
            bench.told()
        );
        let waits = bench
            .kinds()
            .into_iter()
            .filter_map(|(_, kind)| match kind {
                EventKind::Waiting { what, .. } if what.contains("tries again until") => Some(what),
                _ => None,
            });
        let waits: Vec<String> = waits.collect();
        let limit = if fault == Fault::Status(403, None) {
            "until 1m of the same refusal are over"
        } else {
            "until 5m are over"
        };
        assert!(!waits.is_empty() && waits.len() <= 3, "{fault}: {waits:#?}");
        assert!(waits.iter().all(|w| w.ends_with(limit)), "{waits:#?}");
        assert!(waits[0].starts_with("cannot "), "{waits:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_gone_for_good_ends_the_sitting_with_the_live_split_and_code_5() {
    for fault in [
        Fault::LoginPage,
        Fault::RequestLost,
        Fault::Status(401, None),
        Fault::Status(404, None),
        Fault::Status(500, None),
    ] {
        let bench = Bench::new("healthy");
        let faults = from_the_first_step(&bench, fault, |_| true);
        let before = bench.clock.now();
        let end = ended(&bench, plan(&[10, 50], 60), &faults).await;
        assert_eq!(end.outcome, Outcome::Paused, "{fault}: {}", bench.told());
        assert_eq!(code(&end), 5);
        let lasted = bench.clock.now().duration_since(before).as_secs();
        assert!((300..500).contains(&lasted), "{fault}: {lasted} s");
        let live = format!("{CANARY} had 10% of the traffic at 09:0");
        assert!(end.text.contains(&live), "{}", end.text);
        assert!(end.text.contains("tried again for 5m"), "{}", end.text);
        assert!(bench.told().ends_with(&end.text) || bench.was_told(&end.text));
    }
}

#[tokio::test(start_paused = true)]
async fn reads_that_are_refused_for_good_end_the_sitting_after_a_minute() {
    let bench = Bench::new("healthy");
    let faults = from_the_first_step(&bench, Fault::Status(403, None), |call| {
        call.path.contains("/deployments/")
    });
    let end = ended(&bench, plan(&[10, 50], 60), &faults).await;
    assert_eq!((end.outcome, code(&end)), (Outcome::Paused, 5));
    assert!(
        end.text.contains("tried again for 1m of the same refusal"),
        "{}",
        end.text
    );
    // The run was let go of: the next one goes on at once.
    let mut sitting = bench.sitting(auto(), plan(&[10, 50], 60));
    sitting.holder = "holder-2".into();
    assert_eq!(bench.run(sitting).await.unwrap().outcome, Outcome::Promoted);
}

/// What moves traffic up: the canary grows.
fn grows(call: &Attempt<'_>) -> bool {
    *call.method == Method::PATCH && call.path.ends_with("canary/scale")
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_refused_for_good_takes_the_canary_out() {
    for fault in [Fault::Status(403, None), Fault::Status(400, None)] {
        let bench = Bench::new("healthy");
        let retreats = AtomicBool::new(false);
        let events = bench.events.clone();
        let faults = from_the_first_step(&bench, fault, move |call| {
            // The way down is free.
            let back = |e: &canaryctl::domain::event::Event| {
                matches!(e.kind, EventKind::RollingBack { .. })
            };
            let back = events.lock().unwrap().iter().any(back);
            retreats.fetch_or(back, Ordering::Relaxed);
            grows(call) && !retreats.load(Ordering::Relaxed)
        });
        let before = bench.clock.now();
        let end = ended(&bench, plan(&[10, 50], 30), &faults).await;
        assert_eq!(
            end.outcome,
            Outcome::RolledBack,
            "{}\n{}",
            end.text,
            bench.told()
        );
        assert_eq!((end.cause, code(&end)), (Some(Cause::Refused), 3));
        assert!(
            end.text.contains("refused for 1m of the same refusal"),
            "{}",
            end.text
        );
        let lasted = bench.clock.now().duration_since(before).as_secs();
        assert!(lasted < 300, "{lasted} s\n{}", bench.told());
        bench.wait(5).await;
        bench.is_back(OLD, OWN);
        // What was refused is no judgement on the version: it may be released again.
        let again = bench.drive(auto(), plan(&[10, 50], 30)).await.unwrap();
        assert_eq!(again.outcome, Outcome::Promoted);
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_way_back_is_refused_too_somebody_is_called() {
    let bench = Bench::new("healthy");
    let faults = from_the_first_step(&bench, Fault::Status(403, None), |call| {
        call.path.ends_with("/scale") && *call.method == Method::PATCH
    });
    let end = ended(&bench, plan(&[10, 50], 30), &faults).await;
    assert_eq!(
        end.outcome,
        Outcome::Incomplete,
        "{}\n{}",
        end.text,
        bench.told()
    );
    assert_eq!(code(&end), 6);
    assert!(end.text.contains("had 10% of the traffic"), "{}", end.text);
    assert!(bench.was_told("rolling back"), "{}", bench.told());
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_holds_on_failure_leaves_a_refused_split_to_a_person() {
    let bench = Bench::new("healthy");
    let order = Plan {
        on_failure: OnTrouble::Hold,
        ..plan(&[10, 50], 30)
    };
    let faults = from_the_first_step(&bench, Fault::Status(403, None), grows);
    let end = ended(&bench, order, &faults).await;
    assert_eq!(
        (end.outcome, code(&end)),
        (Outcome::Paused, 5),
        "{}",
        end.text
    );
    assert_eq!(bench.replicas(CANARY), 1);
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_is_refused_in_mid_run_takes_the_canary_out() {
    let bench = Bench::new("healthy");
    let faults = from_the_first_step(&bench, Fault::Status(403, None), |call| {
        *call.method != Method::GET && call.path.contains("/configmaps")
    });
    let end = ended(&bench, plan(&[10, 50], 30), &faults).await;
    assert_eq!(
        end.outcome,
        Outcome::RolledBack,
        "{}\n{}",
        end.text,
        bench.told()
    );
    bench.wait(5).await;
    bench.is_back(OLD, OWN);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_before_anything_was_done_is_an_error() {
    let bench = Bench::new("healthy");
    let faults = fault::Plan::new(bench.clock.clone(), |call| {
        if *call.method != Method::GET && call.path.contains("/configmaps") {
            Fault::Status(403, None)
        } else {
            Fault::None
        }
    });
    let mut sitting = bench.sitting(auto(), short());
    sitting.cluster = bench.faulty(&faults);
    let before = bench.clock.now();
    let end = bench.run(sitting).await;
    let Err(EngineError::Journal(canaryctl::journal::JournalError::Cluster(error))) = end else {
        panic!("{end:?}");
    };
    assert_eq!(error.reason, Reason::Forbidden);
    let lasted = bench.clock.now().duration_since(before).as_secs();
    assert!(lasted < 5, "{lasted} s");
}

#[tokio::test(start_paused = true)]
async fn a_rollback_goes_on_through_odd_answers() {
    let bench = Bench::new("healthy");
    let set = crate::support::set("50");
    bench.ends(set, short(), Outcome::AtWeight).await;
    let (clock, began) = (bench.clock.clone(), bench.clock.now());
    let faults = fault::Plan::new(bench.clock.clone(), move |call| {
        let age = clock.now().duration_since(began);
        let early = age.as_secs() < 20 && call.number > 8;
        if early { Fault::LoginPage } else { Fault::None }
    });
    let mut sitting = bench.sitting(canaryctl::engine::start::Intent::Rollback, short());
    sitting.cluster = bench.faulty(&faults);
    let end = bench.run(sitting).await.unwrap();
    assert_eq!(end.outcome, Outcome::RolledBack, "{}", bench.told());
    bench.wait(5).await;
    bench.is_back(OLD, OWN);
    assert!(
        Duration::try_from(bench.clock.now().duration_since(began)).unwrap()
            < Duration::from_secs(120)
    );
}
