//! Kills: before and after every call to the API server, at every event, and every five seconds.
//! Whoever comes next ends the release as if nothing had happened.
//!
//! A release is driven once. At each of these moments a snapshot of the cluster is taken, with what
//! was told so far; what the process knew and did not write is lost. From every snapshot that
//! differs from the others the release is taken up, by turns: at once by the same holder, or by
//! another one, which watches the lock until the first is stale.

mod proof;

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Mutex, PoisonError},
};

use canaryctl::{
    cli::Code,
    domain::{event::Event, plan::Plan},
    engine::start::Begun,
    sim::{
        SimCluster, Snapshot,
        fault::{self, Attempt},
    },
};
use http::Method;

use self::proof::{Proof, Story};
use crate::support::{Bench, FOUR_PODS, auto, checked, virtually};

const WEIGHTS: [u32; 3] = [25, 50, 100];

/// How long each step is held, in seconds.
const HOLD: u64 = 20;

/// Pods of both sides together: few, because a release is driven hundreds of times here.
const TOTAL: u32 = 4;

/// An autoscaler that would fill stable up again.
const AUTOSCALER: &str = "objects:
  - apiVersion: autoscaling/v2
    kind: HorizontalPodAutoscaler
    metadata: {name: payment-api-stable, namespace: canary-release}
    spec:
      scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: payment-api-stable}
      minReplicas: 4
      maxReplicas: 8
      metrics:
        - type: Resource
          resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}";

/// Who goes on.
#[derive(Debug, Clone, Copy)]
enum Heir {
    /// The same holder, at once.
    Same,
    /// Another one, which finds out that the first is dead.
    Other,
}

/// A moment at which the first process may die.
struct Point {
    /// What it was doing; several things, when they make no difference to anybody else.
    when: Vec<String>,
    world: Snapshot,
    told: Vec<Event>,
}

/// All such moments of one release.
#[derive(Default)]
struct Film {
    points: Vec<Point>,
    known: HashMap<u64, usize>,
    /// How many moments there were of each kind.
    kinds: BTreeMap<String, usize>,
    /// The calls by number.
    calls: Vec<&'static str>,
}

/// Takes the snapshots.
#[derive(Clone)]
struct Camera {
    sim: Arc<SimCluster>,
    events: Arc<Mutex<Vec<Event>>>,
    film: Arc<Mutex<Film>>,
}

// === the first process ===

/// Returns what kind of call it is.
fn kind(call: &Attempt<'_>) -> &'static str {
    match *call.method {
        _ if call.watch => "watch",
        _ if call.path.ends_with("/portforward") => "port-forward",
        Method::GET => "read",
        _ => "write",
    }
}

impl Camera {
    fn new(bench: &Bench) -> Self {
        Self {
            sim: bench.sim.clone(),
            events: bench.events.clone(),
            film: Arc::default(),
        }
    }

    fn take(&self, kind: &str, when: String) {
        let world = self.sim.snapshot();
        let told = self.events.lock().unwrap().clone();
        let film = &mut *self.film.lock().unwrap();
        *film.kinds.entry(kind.to_owned()).or_default() += 1;
        let next = film.points.len();
        let at = *film.known.entry(world.fingerprint()).or_insert(next);
        match film.points.get_mut(at) {
            Some(same) => same.when.push(when),
            None => film.points.push(Point {
                when: vec![when],
                world,
                told,
            }),
        }
    }

    /// Returns faults that are none: every call is a moment before and one after.
    fn faults(&self, bench: &Bench) -> fault::Plan {
        let (one, other) = (self.clone(), self.clone());
        let before = move |call: &Attempt<'_>| {
            one.film.lock().unwrap().calls.push(kind(call));
            let when = format!("before call {}: {} {}", call.number, call.method, call.path);
            one.take(&format!("before a {}", kind(call)), when);
        };
        let after = move |number: u64| {
            let kind = other.film.lock().unwrap().calls[usize::try_from(number).unwrap()];
            let when = format!("after call {number}, a {kind}");
            other.take(&format!("after a {kind}"), when);
        };
        fault::Plan::watching(bench.clock.clone(), before, after)
    }

    /// Takes a snapshot every five seconds, for ever.
    async fn by_the_clock(&self, bench: &Bench) -> Infallible {
        let mut second = 0;
        loop {
            bench.wait(5).await;
            second += 5;
            self.take("time", format!("in second {second}"));
        }
    }
}

fn order() -> Plan {
    let plan = checked(&WEIGHTS, HOLD);
    let checks = plan.checks.iter().filter(|c| c.name != "health").cloned();
    Plan {
        checks: checks.collect(),
        ..plan
    }
}

/// Drives a release to its end and returns the moments on the way, and how it ended.
async fn filmed(scenario: &str) -> (Film, Story) {
    let small = format!("seed: 7\n{FOUR_PODS}{AUTOSCALER}");
    let edits = [
        ("seed: 7", small.as_str()),
        // The fault shows at the second step, and clearly.
        ("above: 20%", "above: 40%"),
        ("rate: 25%", "rate: 80%"),
        ("rate: 50", "rate: 20"),
        // Fraud counts as a payment that failed: without it chance has no say.
        ("fraud: 1.5%", "fraud: 0%"),
        ("fraud: 2%", "fraud: 0%"),
    ];
    let mut bench = Bench::edited(scenario, &edits);
    let camera = Camera::new(&bench);
    let tap = camera.clone();
    bench.tap = Arc::new(move |event| tap.take("event", format!("at: {}", event.kind.sentence())));
    let mut sitting = bench.sitting(auto(), order());
    sitting.cluster = bench.faulty(&camera.faults(&bench));
    let end = tokio::select! {
        biased;
        end = bench.run(sitting) => end.unwrap(),
        never = camera.by_the_clock(&bench) => match never {},
    };
    let told = bench.events.lock().unwrap().len();
    let film = std::mem::take(&mut *camera.film.lock().unwrap());
    assert_eq!(film.kinds["event"], told, "{:?}", film.kinds);
    for kind in ["read", "write", "watch", "port-forward"] {
        let (before, after) = (format!("before a {kind}"), format!("after a {kind}"));
        assert_eq!(film.kinds[&before], film.kinds[&after], "{:?}", film.kinds);
    }
    assert!(film.kinds.len() > 9, "{:?}", film.kinds);
    let code = Some(Code::of(&end, None).number());
    (film, Story::new(bench, code, None).await)
}

// === the second process ===

/// Goes on from a point and returns how it ended.
async fn inherited(point: &Point, from: u64, heir: Heir) -> Story {
    let bench = Bench::resumed(&point.world, from, point.told.clone());
    let mut sitting = bench.sitting(auto(), order());
    if let Heir::Other = heir {
        sitting.holder = "holder-2".into();
    }
    let begun = bench.begin(&sitting).await;
    // It waits by itself until it is sure that the first one is gone.
    let absent = Some((point.world.at(), bench.clock.now()));
    let code = match begun {
        Ok(Begun::Run(mut engine)) => {
            let end = bench.steer(&mut engine, sitting.goal, false).await.unwrap();
            Some(Code::of(&end, None).number())
        }
        // Only when all was done: promoted, or this version was rolled back.
        Ok(Begun::Nothing(_)) | Err(_) => None,
    };
    Story::new(bench, code, absent).await
}

#[expect(
    clippy::print_stderr,
    reason = "a failure is shown with what led to it"
)]
fn explain(text: &str) {
    eprintln!("{text}");
}

/// Kills a release at every point and lets others end it, on all processors.
fn killed_everywhere(scenario: &str, proof: &Proof) {
    let (film, from, remains) = virtually(async {
        let (film, story) = filmed(scenario).await;
        proof.check(&story, None);
        (film, story.bench.from, story.remains())
    });
    let by_turns = [Heir::Same, Heir::Other].into_iter().cycle();
    let left = Mutex::new(film.points.iter().zip(by_turns));
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((point, heir)) = next() {
                    let run = async {
                        let story = inherited(point, from, heir).await;
                        proof.check(&story, Some(&remains));
                    };
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| virtually(run))) {
                        explain(&format!("killed {:?}, {heir:?} goes on", point.when));
                        resume_unwind(panic);
                    }
                }
            });
        }
    });
}

#[test]
fn a_promotion_survives_a_kill_at_any_point() {
    killed_everywhere("healthy", &proof::PROMOTED);
}

#[test]
fn a_rollback_survives_a_kill_at_any_point() {
    killed_everywhere("errors-at-25", &proof::ROLLED_BACK);
}
