//! Kills: at any call to the API server, and between any two events. Whoever comes next ends the
//! release as if nothing had happened.

use std::{collections::BTreeSet, sync::Mutex, time::Duration};

use canaryctl::{
    domain::{
        event::EventKind,
        plan::Plan,
        release::{Outcome, Release},
        verdict::{Verdict, overall},
    },
    engine::start::Begun,
    sim::fault::{self, Fault},
};
use jiff::Timestamp;

use crate::support::{Bench, CANARY, STABLE, auto, checked};

const WEIGHTS: [u32; 3] = [25, 50, 100];

/// Pods of both sides together: few, because a release is driven hundreds of times here.
const TOTAL: u32 = 4;
const FEW: &str = "seed: 7
edits:
  - {kind: Deployment, name: payment-api-stable, patch: [{op: replace, path: /spec/replicas, value: 3}]}";

/// When the first process dies.
#[derive(Debug, Clone, Copy)]
enum Kill {
    Never,
    /// At a call to the API server.
    Call(u64, Fault),
    /// As soon as so many events were told.
    Event(usize),
}

/// Who goes on.
#[derive(Debug, Clone, Copy)]
enum Heir {
    /// The same holder, at once.
    Same,
    /// Another one, once the first is stale.
    Other,
}

/// Runs a future in a runtime of its own, in virtual time.
fn virtually<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(future)
}

fn few(scenario: &str) -> Bench {
    // The fault shows at the second step.
    Bench::edited(
        scenario,
        &[
            ("seed: 7", FEW),
            ("above: 20%", "above: 40%"),
            ("rate: 50", "rate: 20"),
        ],
    )
}

fn order() -> Plan {
    let plan = checked(&WEIGHTS, 20);
    let checks = plan.checks.iter().filter(|c| c.name != "health").cloned();
    Plan {
        checks: checks.collect(),
        ..plan
    }
}

/// Drives a release to its end in spite of a kill; returns the cluster, the record at the end and
/// the log of the calls the first process made.
async fn survive(scenario: &str, kill: Kill, heir: Heir) -> (Bench, Release, Vec<String>) {
    let bench = few(scenario);
    let faults = match kill {
        Kill::Call(number, fault) => fault::Plan::at(bench.clock.clone(), number, fault),
        Kill::Never | Kill::Event(_) => fault::Plan::quiet(bench.clock.clone()),
    };
    let mut sitting = bench.sitting(auto(), order());
    sitting.cluster = bench.faulty(&faults);
    let dead = async {
        match kill {
            Kill::Never => std::future::pending().await,
            Kill::Call(..) => {
                faults.crash().await;
                // What was sent is carried out, whoever still listens.
                bench.clock.sleep(Duration::from_millis(20)).await;
            }
            Kill::Event(count) => {
                while bench.events.lock().unwrap().len() < count {
                    bench.clock.sleep(Duration::from_millis(100)).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        end = bench.run(sitting) => {
            if !faults.crashed() {
                let release = end.unwrap().release;
                return (bench, release, faults.log());
            }
        }
        () = dead => {}
    }
    let mut sitting = bench.sitting(auto(), order());
    if let Heir::Other = heir {
        bench.wait(95).await;
        sitting.holder = "holder-2".into();
    }
    match bench.begin(&sitting).await {
        Ok(Begun::Run(mut engine)) => {
            let end = bench.steer(&mut engine, sitting.goal, false).await.unwrap();
            (bench, end.release, faults.log())
        }
        // It was over already: promoted, or this version was rolled back.
        Ok(Begun::Nothing(_)) | Err(_) => {
            let release = bench.record().await;
            (bench, release, faults.log())
        }
    }
}

/// Returns when each step was held, from the trail in the journal.
fn held(release: &Release) -> Vec<(Timestamp, Timestamp)> {
    let entered: Vec<(Timestamp, &str)> = release
        .trail
        .iter()
        .filter(|e| e.what == "Entered" || e.what == "RollingBack")
        .map(|e| (e.at, e.text.as_str()))
        .collect();
    entered
        .windows(2)
        .filter(|pair| pair[0].1.contains(": watching at"))
        .map(|pair| (pair[0].0, pair[1].0))
        .collect()
}

/// Looks at all checks of the canary, and whether they found it healthy.
fn looks(bench: &Bench) -> Vec<(Timestamp, bool)> {
    let look = |(at, kind): (Timestamp, EventKind)| match kind {
        EventKind::Checked { results, .. } if results.len() == 2 => {
            Some((at, overall(&results) == Verdict::Healthy))
        }
        _ => None,
    };
    bench.kinds().into_iter().filter_map(look).collect()
}

fn promoted_in_order(bench: &Bench, release: &Release) {
    let story = bench.told();
    assert_eq!(release.ending, Some(Outcome::Promoted), "{story}");
    assert!(release.is_over(), "{story}");
    // Up: every step, none twice, none back.
    let sizes = bench.sizes(CANARY);
    assert!(sizes.starts_with(&[1, 2, 4]), "{sizes:?}\n{story}");
    assert!(
        sizes[2..].is_sorted_by(|a, b| a >= b) && sizes.ends_with(&[0]),
        "{sizes:?}\n{story}"
    );
    let stable = bench.sizes(STABLE);
    let empty = stable.iter().position(|n| *n == 0).unwrap();
    assert!(
        stable[..empty].is_sorted_by(|a, b| a > b) && stable[empty..] == [0, 4],
        "{stable:?}\n{story}"
    );
    let held = held(release);
    assert_eq!(held.len(), WEIGHTS.len(), "{:?}\n{story}", release.trail);
    let looks = looks(bench);
    for (from, to) in held {
        let lasted = to.duration_since(from).as_secs();
        assert!(lasted >= 20, "held for {lasted} s\n{story}");
        let proven = looks
            .iter()
            .any(|(at, good)| *good && *at >= from && *at <= to);
        assert!(proven, "no healthy look from {from} to {to}\n{story}");
    }
    assert!(
        bench.least_ready() >= TOTAL as usize,
        "{}\n{story}",
        bench.least_ready()
    );
    bench.users_are_fine(0.02);
    assert_eq!(bench.image(STABLE), "registry.example/payment-api:2.0.0");
}

fn rolled_back(bench: &Bench, release: &Release) {
    let story = bench.told();
    assert_eq!(release.ending, Some(Outcome::RolledBack), "{story}");
    assert!(release.is_over(), "{story}");
    bench.is_back("registry.example/payment-api:1.5.0", TOTAL);
    let mut sizes = bench.sizes(CANARY);
    let highest = sizes
        .iter()
        .position(|s| s == sizes.iter().max().unwrap())
        .unwrap();
    let down = sizes.split_off(highest);
    assert!(
        sizes.is_sorted() && down.is_sorted_by(|a, b| a >= b),
        "{story}"
    );
    assert!(!down.contains(&TOTAL), "{story}");
    assert!(
        bench.least_ready() >= TOTAL as usize,
        "{}\n{story}",
        bench.least_ready()
    );
    assert_eq!(bench.users().refused, 0);
}

/// Carries out all kills on all processors.
fn all(scenario: &str, kills: Vec<(Kill, Heir)>, check: fn(&Bench, &Release)) {
    let left = Mutex::new(kills.into_iter());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let Some((kill, heir)) = left.lock().unwrap().next() else {
                        return;
                    };
                    let outcome = std::panic::catch_unwind(|| {
                        virtually(async {
                            let (bench, release, _) = survive(scenario, kill, heir).await;
                            bench.wait(2).await;
                            check(&bench, &release);
                        });
                    });
                    assert!(outcome.is_ok(), "{scenario}: {kill:?}, {heir:?}");
                }
            });
        }
    });
}

/// Kills after every writing call was carried out, before every fourth of them was sent, and at
/// some of the reading ones, which are many and change nothing.
fn calls(log: &[String]) -> Vec<(Kill, Heir)> {
    let heir = |n: u64| if n % 2 == 0 { Heir::Same } else { Heir::Other };
    let (reads, writes): (Vec<u64>, Vec<u64>) =
        (0..log.len() as u64).partition(|n| log[usize::try_from(*n).unwrap()].contains(" GET "));
    let after = writes.iter().map(|n| (*n, Fault::CrashAfter));
    let before = writes.iter().step_by(4).map(|n| (*n, Fault::CrashBefore));
    let looking = reads.iter().step_by(61).map(|n| (*n, Fault::CrashAfter));
    after
        .chain(before)
        .chain(looking)
        .map(|(n, fault)| (Kill::Call(n, fault), heir(n)))
        .collect()
}

fn clean(scenario: &str, check: fn(&Bench, &Release)) -> (Vec<String>, usize) {
    virtually(async {
        let (bench, release, log) = survive(scenario, Kill::Never, Heir::Same).await;
        bench.wait(2).await;
        check(&bench, &release);
        let events = bench.events.lock().unwrap().len();
        (log, events)
    })
}

#[test]
fn a_promotion_survives_a_kill_at_any_call() {
    let (log, _) = clean("healthy", promoted_in_order);
    all("healthy", calls(&log), promoted_in_order);
}

#[test]
fn a_rollback_survives_a_kill_at_any_call() {
    let (log, _) = clean("errors-at-25", rolled_back);
    all("errors-at-25", calls(&log), rolled_back);
}

#[test]
fn a_kill_between_two_events_changes_nothing() {
    for (scenario, check) in [
        ("healthy", promoted_in_order as fn(&Bench, &Release)),
        ("errors-at-25", rolled_back),
    ] {
        let (_, events) = clean(scenario, check);
        let heir = |n: usize| if n % 2 == 0 { Heir::Other } else { Heir::Same };
        let kills: BTreeSet<usize> = (1..=events).step_by(4).collect();
        let kills = kills
            .into_iter()
            .map(|n| (Kill::Event(n), heir(n)))
            .collect();
        all(scenario, kills, check);
    }
}
