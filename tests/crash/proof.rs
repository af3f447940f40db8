//! What must be true of a release, whoever drove it and however often it was interrupted.

use std::{
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use canaryctl::{
    domain::{
        event::EventKind,
        release::{Outcome, Phase, Release},
        verdict::{Verdict, overall},
    },
    journal::{Journal, PastRun},
    sim::store::ChangeKind,
};
use jiff::Timestamp;
use serde_json::Value;

use super::{HOLD, TOTAL, WEIGHTS, explain};
use crate::support::{APP, Bench, CANARY, STABLE, is_ready};

const OLD: &str = "registry.example/payment-api:1.5.0";
const NEW: &str = "registry.example/payment-api:2.0.0";

/// How a release went.
pub(super) struct Story {
    pub(super) bench: Bench,
    release: Release,
    past: Vec<PastRun>,
    /// Exit code of the process that ended it; none if it found nothing left to do.
    code: Option<u8>,
    /// From when to when nobody drove it.
    absent: Option<(Timestamp, Timestamp)>,
}

/// What is left in the cluster when all is over.
#[derive(Debug, PartialEq)]
pub(super) struct Remains {
    phase: Phase,
    ending: Option<Outcome>,
    held: bool,
    deployments: Vec<Value>,
    autoscaler: Value,
    ready: usize,
}

/// What is demanded.
pub(super) struct Proof {
    code: u8,
    outcome: Outcome,
    story: fn(&Story),
}

pub(super) const PROMOTED: Proof = Proof {
    code: 0,
    outcome: Outcome::Promoted,
    story: promoted,
};

pub(super) const ROLLED_BACK: Proof = Proof {
    code: 3,
    outcome: Outcome::RolledBack,
    story: rolled_back,
};

/// Ready pods at one moment, and where the release was.
#[derive(Clone, Copy, PartialEq)]
struct Share {
    phase: Option<Phase>,
    new: u32,
    all: u32,
}

impl Share {
    /// Returns the new version's share of the pods, in thousandths.
    fn thousandths(self) -> u32 {
        1000 * self.new / self.all
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.new, self.all)?;
        self.phase.map_or(Ok(()), |phase| write!(f, " {phase:?}"))
    }
}

/// Returns the ready pods after every change of them or of the journal, since all were ready.
fn shares(bench: &Bench) -> Vec<Share> {
    let mut pods: BTreeMap<String, bool> = BTreeMap::new();
    let mut phase = None;
    let mut shares = Vec::new();
    for change in bench.sim.world().store().changes_after(100).unwrap() {
        let object = &change.object;
        match change.key.resource.as_str() {
            "pods" if change.kind != ChangeKind::Deleted && is_ready(object) => {
                let image = &object["spec"]["containers"][0]["image"];
                pods.insert(change.key.name, image == NEW);
            }
            "pods" => drop(pods.remove(&change.key.name)),
            "configmaps" => {
                let record = object["data"]["release.json"].as_str();
                let record = record.map(|text| serde_json::from_str::<Release>(text).unwrap());
                phase = record.map(|release| release.phase).or(phase);
            }
            _ => {}
        }
        if change.version <= bench.from {
            continue;
        }
        let count = |count: usize| u32::try_from(count).unwrap();
        let share = Share {
            phase,
            new: count(pods.values().filter(|new| **new).count()),
            all: count(pods.len()),
        };
        if shares.last() != Some(&share) {
            shares.push(share);
        }
    }
    shares
}

/// Returns annotations without what the Deployment controller counts.
fn without_revision(annotations: &Value) -> Value {
    let mut annotations = annotations.clone();
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.remove("deployment.kubernetes.io/revision");
    }
    annotations
}

// === impl Story ===

impl Story {
    pub(super) async fn new(
        bench: Bench,
        code: Option<u8>,
        absent: Option<(Timestamp, Timestamp)>,
    ) -> Self {
        // The last pods vanish.
        bench.wait(3).await;
        let saved = Journal::new(bench.cluster(), APP).load().await;
        let saved = saved.unwrap().unwrap();
        Self {
            bench,
            release: saved.release,
            past: saved.past,
            code,
            absent,
        }
    }

    pub(super) fn remains(&self) -> Remains {
        let deployment = |name: &str| {
            let object = self.bench.deployment(name);
            let annotations = &object["metadata"]["annotations"];
            serde_json::json!({
                "spec": object["spec"],
                "ready": object["status"]["readyReplicas"],
                "annotations": without_revision(annotations),
            })
        };
        let autoscaler = self
            .bench
            .object("horizontalpodautoscalers", STABLE)
            .unwrap();
        Remains {
            phase: self.release.phase,
            ending: self.release.ending,
            held: self.release.holder.is_some(),
            deployments: vec![deployment(STABLE), deployment(CANARY)],
            autoscaler: serde_json::json!({
                "spec": autoscaler["spec"],
                "annotations": autoscaler["metadata"]["annotations"],
            }),
            ready: shares(&self.bench).last().map_or(0, |s| s.all as usize),
        }
    }

    /// Returns how many seconds of a time the release was driven.
    fn driven(&self, from: Timestamp, to: Timestamp) -> i64 {
        let seconds = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs().max(0);
        let absent = self
            .absent
            .map_or(0, |(gone, back)| seconds(gone.max(from), back.min(to)));
        seconds(from, to) - absent
    }

    /// Returns when each step was held, from the trail in the journal.
    fn held(&self) -> Vec<(&str, Timestamp, Timestamp)> {
        let entered = |word: &str| matches!(word, "PhaseChanged" | "RollingBack");
        let entered: Vec<_> = self
            .release
            .trail
            .iter()
            .filter(|e| entered(&e.what))
            .collect();
        entered
            .windows(2)
            .filter(|pair| pair[0].text.contains(": watching at"))
            .map(|pair| (pair[0].text.as_str(), pair[0].at, pair[1].at))
            .collect()
    }

    /// Returns the looks at all checks of the canary, and what they said together.
    fn looks(&self) -> Vec<(Timestamp, Verdict)> {
        let look = |(at, kind): (Timestamp, EventKind)| match kind {
            EventKind::Checked { results, .. } if results.len() == 2 => {
                Some((at, overall(&results)))
            }
            _ => None,
        };
        self.bench.kinds().into_iter().filter_map(look).collect()
    }

    /// Asserts that each step but a last one that failed had its time, and that it was left for the
    /// next one because of a look that found all well.
    fn no_check_was_skipped(&self, passed: usize) {
        let (held, looks) = (self.held(), self.looks());
        assert!(held.len() >= passed, "{:?}", self.release.trail);
        for (step, from, to) in &held[..passed] {
            let driven = self.driven(*from, *to);
            assert!(
                driven >= i64::try_from(HOLD).unwrap(),
                "{step}: held for {driven} s"
            );
            let looks: Vec<_> = looks
                .iter()
                .filter(|(at, _)| at >= from && at <= to)
                .collect();
            assert!(looks.len() >= 2, "{step}: {} looks", looks.len());
            let (last, verdict) = looks.last().unwrap();
            let old = to.duration_since(*last).as_millis();
            assert!(old <= 500, "{step}: left on a look {old} ms old");
            assert_eq!(*verdict, Verdict::Healthy, "{step}: left");
        }
    }

    /// Asserts that there never were fewer ready pods than at the start.
    fn capacity_was_kept(&self) {
        let least = self.bench.least_ready();
        assert!(least >= TOTAL as usize, "{least} ready pods");
        assert_eq!(self.bench.users().refused, 0, "requests found nobody");
    }
}

// === impl Proof ===

impl Proof {
    /// Checks a story; panics with all that was told.
    pub(super) fn check(&self, story: &Story, remains: Option<&Remains>) {
        let checked = catch_unwind(AssertUnwindSafe(|| {
            assert!(story.release.is_over());
            assert_eq!(story.release.ending, Some(self.outcome));
            // Taken up, never begun anew.
            assert_eq!(story.past, []);
            assert!(
                story.code.is_none_or(|code| code == self.code),
                "{:?}",
                story.code
            );
            story.capacity_was_kept();
            (self.story)(story);
            if let Some(remains) = remains {
                assert_eq!(story.remains(), *remains);
            }
        }));
        if let Err(panic) = checked {
            explain(&story.bench.told());
            resume_unwind(panic);
        }
    }
}

fn promoted(story: &Story) {
    let bench = &story.bench;
    // Up: every step, none twice, none back.
    let sizes = bench.sizes(CANARY);
    assert!(sizes.starts_with(&[0, 1, 2, 4]), "{sizes:?}");
    assert!(
        sizes[3..].is_sorted_by(|a, b| a >= b) && sizes.ends_with(&[0]),
        "{sizes:?}"
    );
    let stable = bench.sizes(STABLE);
    let empty = stable.iter().position(|n| *n == 0).unwrap();
    assert!(
        stable[..empty].is_sorted_by(|a, b| a > b) && stable[empty..] == [0, 4],
        "{stable:?}"
    );
    // From the first step to the last pod the new version only gains.
    let shares = shares(bench);
    assert!(
        shares.is_sorted_by_key(|share| share.thousandths()),
        "{shares:?}"
    );
    assert_eq!(shares.last().unwrap().thousandths(), 1000);
    story.no_check_was_skipped(WEIGHTS.len());
    bench.users_are_fine(0.02);
    assert_eq!(
        (bench.image(STABLE), bench.replicas(STABLE)),
        (NEW.into(), TOTAL)
    );
    assert_eq!(bench.replicas(CANARY), 0);
}

fn rolled_back(story: &Story) {
    let bench = &story.bench;
    bench.is_back(OLD, TOTAL);
    // Up to the step that failed, then down.
    let sizes = bench.sizes(CANARY);
    assert!(sizes.starts_with(&[0, 1, 2]), "{sizes:?}");
    assert!(
        sizes[2..].is_sorted_by(|a, b| a > b) && sizes.ends_with(&[0]),
        "{sizes:?}"
    );
    let shares = shares(bench);
    let retreats = |share: &Share| share.phase.is_some_and(Phase::is_retreat);
    let decided = shares.iter().position(retreats).unwrap();
    let (up, down) = shares.split_at(decided);
    assert!(up.is_sorted_by_key(|share| share.thousandths()), "{up:?}");
    assert!(
        down.is_sorted_by_key(|share| std::cmp::Reverse(share.thousandths())),
        "{down:?}"
    );
    assert_eq!(down.last().unwrap().thousandths(), 0);
    story.no_check_was_skipped(1);
    // The second step failed on a look at its weight.
    let (step, from, to) = *story.held().last().unwrap();
    assert!(step.contains("step 2 of 3"), "{step}");
    let bad = |(at, verdict): &(Timestamp, Verdict)| {
        *verdict == Verdict::Unhealthy && *at >= from && *at <= to
    };
    assert!(story.looks().iter().any(bad), "no look says why");
}
