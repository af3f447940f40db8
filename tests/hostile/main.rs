//! A hostile world: seeded releases under faults at any call, jumps of the clock, edits of the record,
//! kills, and people who interfere, all at once.
//!
//! Each release is driven by the command line itself and judged by the cluster's own history. The same
//! seed is the same release: what breaks is found again with `CANARYCTL_HOSTILE_FROM`.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests fail like tests, and match what they look for"
)]

mod draw;
mod proof;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/mod.rs"]
mod support;
mod world;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::Value;

use self::{
    draw::Story,
    world::{Role, Tale},
};

/// Releases of a test run: without optimisation one takes half a second.
const RELEASES: u64 = if cfg!(debug_assertions) { 60 } else { 2_000 };

/// Breaks that are shown in full.
const SHOWN: usize = 5;

/// What many releases came to.
#[derive(Default)]
struct Sum {
    broken: Vec<(u64, Vec<String>)>,
    codes: BTreeMap<u8, u64>,
}

/// Returns what a release broke, and the code of its last driver.
fn release(seed: u64, shown: bool) -> (Vec<String>, Option<u8>) {
    let story = Story::of(seed);
    let told = catch_unwind(AssertUnwindSafe(|| {
        world::told(&story, |tale| {
            let broken = proof::broken(&story, &tale);
            let drivers = tale
                .ran
                .iter()
                .filter(|ran| matches!(ran.role, Role::Auto(_)));
            let code = drivers.map(|ran| ran.code).next_back();
            if shown {
                history(&tale);
                for ran in &tale.ran {
                    say(&format!(
                        "--- {:?} {} to {}: exit {}, {:?}\n{}",
                        ran.role,
                        ran.began.strftime("%H:%M:%S"),
                        ran.ended.strftime("%H:%M:%S"),
                        ran.code,
                        ran.after,
                        ran.text()
                    ));
                }
            }
            (broken, code)
        })
    }));
    told.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        (vec![format!("panic: {}", text.unwrap_or_default())], None)
    })
}

/// Shows what was written to Deployments and to the record.
fn history(tale: &Tale) {
    let changes = tale.sim.world().store().changes_after(tale.from).unwrap();
    for change in changes {
        let object = &change.object;
        let name = &change.key.name;
        match change.key.resource.as_str() {
            "configmaps" => {
                let text = object["data"]["release.json"].as_str().unwrap_or_default();
                let record = serde_json::from_str::<Value>(text).unwrap_or_default();
                let (phase, who) = (&record["phase"], &record["holder"]["who"]);
                say(&format!(
                    "{:6} {name}: {phase}, driven by {who}",
                    change.version
                ));
            }
            "deployments" => {
                let replicas = &object["spec"]["replicas"];
                let labels = &object["metadata"]["labels"];
                say(&format!(
                    "{:6} {name}: {replicas} pods, {labels}",
                    change.version
                ));
            }
            _ => {}
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "what broke, and how often, is read by people"
)]
fn say(text: &str) {
    eprintln!("{text}");
}

#[expect(
    clippy::disallowed_methods,
    reason = "how many releases there are is said to the test, not to the product"
)]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Drives releases on all processors.
fn releases(from: u64, count: u64) -> Sum {
    let next = AtomicU64::new(from);
    let sum = Mutex::new(Sum::default());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        return;
                    }
                    let (broken, code) = release(seed, count == 1);
                    let sum = &mut *sum.lock().unwrap();
                    if !broken.is_empty() {
                        sum.broken.push((seed, broken));
                    }
                    *sum.codes.entry(code.unwrap_or(u8::MAX)).or_default() += 1;
                }
            });
        }
    });
    let mut sum = sum.into_inner().unwrap();
    sum.broken.sort();
    sum
}

#[test]
fn no_rule_breaks_in_a_hostile_world() {
    let count = number("CANARYCTL_HOSTILE").unwrap_or(RELEASES);
    let from = number("CANARYCTL_HOSTILE_FROM").unwrap_or(0);
    let sum = releases(from, count);
    let codes: Vec<String> = sum
        .codes
        .iter()
        .map(|(c, n)| format!("{n} end with {c}"))
        .collect();
    let breaks = u64::try_from(sum.broken.len()).unwrap();
    say(&format!(
        "{count} releases from seed {from}: {breaks} break a rule, {} per million; {}",
        breaks * 1_000_000 / count.max(1),
        codes.join(", ")
    ));
    for (seed, broken) in sum.broken.iter().take(SHOWN) {
        say(&format!(
            "\n{}\n  {}\nagain: CANARYCTL_HOSTILE=1 CANARYCTL_HOSTILE_FROM={seed}",
            proof::words(&Story::of(*seed)).join("\n"),
            broken.join("\n  ")
        ));
    }
    let seeds: Vec<u64> = sum.broken.iter().map(|(seed, _)| *seed).collect();
    assert!(seeds.is_empty(), "rules break with the seeds {seeds:?}");
    // Every way to end is met, or the world is not hostile.
    for code in [0, 3, 4, 5] {
        assert!(count < 60 || sum.codes.contains_key(&code), "no {code}");
    }
}
