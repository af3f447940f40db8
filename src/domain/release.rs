//! The record of a release: what the journal holds.
//!
//! Owns: the record, its phases and outcomes. Must not: know where it is stored. The record says
//! what is meant; the cluster says what is; `decide` closes the gap.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::take,
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    braking::Braking,
    check::Memory,
    group::{Group, Passed},
    meters::Meters,
    plan::{Plan, Step, seconds},
    route::OwnRoute,
    stored::Stored,
    weight::Percent,
    workload::{Track, Tracks},
};

/// Version of the record's format. Readers accept newer additive fields; writers refuse a newer one.
pub const FORMAT: u32 = 1;

/// Entries kept in the trail of one release.
pub const TRAIL_LENGTH: usize = 100;

/// Longest text of one entry, in bytes: with many pods a sentence about all of them is long.
const TRAIL_TEXT: usize = 1000;

/// One release, from start to end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Format of this record.
    pub version: u32,
    /// Name of the run, unique for the app.
    pub id: String,
    /// The app.
    pub app: String,
    /// Its namespace.
    pub namespace: String,
    /// Name of the stable Deployment.
    pub stable: String,
    /// Name of the canary Deployment.
    pub canary: String,
    /// Name of the Service both sides stand behind, where known.
    pub service: Option<String>,
    /// The group that it is released with, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// The router and its options, so that a rollback needs no file.
    pub router: RouterSpec,
    /// What is to be done.
    pub plan: Plan,
    /// Digest of the canary's pod template: the version that is checked and promoted, and no other.
    pub revision: String,
    /// Images of the version that is released.
    pub canary_images: BTreeMap<String, String>,
    /// What tells the two sides apart without being part of the version.
    pub tracks: Tracks,
    /// Images the canary must have first: container → image. Empty when it has them already.
    pub images: BTreeMap<String, String>,
    /// Whether the canary Deployment is created by this run.
    pub create: bool,
    /// How things were before the run.
    pub origin: Origin,
    /// Where the run is.
    pub phase: Phase,
    /// Index of the present step.
    pub step: usize,
    /// The weight that is meant now.
    pub target: Percent,
    /// When the present phase began: every wait is measured from here.
    pub since: Timestamp,
    /// When the present step began.
    pub step_since: Timestamp,
    /// Seconds of the present step spent at an approval; they do not count against its deadline.
    #[serde(with = "seconds")]
    pub gate_spent: Duration,
    /// Whether the present step was approved.
    pub approved: bool,
    /// The gate that it has passed and at which it waits for the other members of its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<Passed>,
    /// When what must hold before any user meets the canary was seen to hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested: Option<Timestamp>,
    /// The gate at which a step waits, or waited, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// What the checks remember, by name; names of checks on stable begin with `stable/`.
    pub checks: BTreeMap<String, Memory>,
    /// What the metrics provider counted last, of both sides.
    #[serde(default, skip_serializing_if = "Meters::is_empty")]
    pub meters: Meters,
    /// The brake.
    #[serde(default, skip_serializing_if = "Braking::is_unused")]
    pub braking: Braking,
    /// Why the release is being ended, if it is.
    pub cause: Option<Cause>,
    /// The same in a sentence.
    pub reason: Option<String>,
    /// What the present ending leads to.
    pub ending: Option<Outcome>,
    /// Whether a rollback walks the steps back.
    #[serde(default)]
    pub gradual: bool,
    /// Times that a change by somebody else was re-applied.
    pub reasserted: u32,
    /// What admission made of the templates that the run wrote.
    #[serde(default, skip_serializing_if = "Stored::is_empty")]
    pub stored: Stored,
    /// What was held for the run when it was last seen, until it is let go of.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub pinned: BTreeSet<String>,
    /// The route that the run makes for itself, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<OwnRoute>,
    /// When the run began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Who drives the run now.
    pub holder: Option<Holder>,
    /// How the last sitting left the run, when nobody drives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Left>,
    /// What happened, oldest first, at most [`TRAIL_LENGTH`] entries.
    pub trail: Vec<Entry>,
}

/// A router by name, with its options.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RouterSpec {
    /// Name in the table of routers.
    pub name: String,
    /// Its options.
    pub options: Value,
}

/// Where a step waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gate {
    /// Index of the step.
    pub step: usize,
    /// What an approval has to bring back: nobody could know it before the step waited.
    pub token: String,
}

/// How things were before the run; what a rollback returns to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// Replicas of stable.
    pub stable_replicas: u32,
    /// Replicas of the canary; `None` when there was no canary.
    pub canary_replicas: Option<u32>,
    /// Pods of both sides together: the capacity that is never undercut.
    pub total: u32,
    /// Replicas that stable has at the end where pods are the traffic; `None`: [`Origin::total`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_replicas: Option<u32>,
    /// Digest of stable's pod template.
    pub stable_revision: String,
    /// ReplicaSet that holds stable's pod template.
    pub stable_replica_set: Option<String>,
    /// Images of stable.
    pub stable_images: BTreeMap<String, String>,
}

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The canary is created, or gets its image.
    Preparing,
    /// The canary is tested before any user meets it.
    Testing,
    /// Traffic moves to the step's weight.
    Shifting,
    /// The canary proves itself at the weight.
    Holding,
    /// The canary has no traffic: what was seen may be a burst.
    Resting,
    /// A person must approve.
    Approving,
    /// Promotion: all traffic goes to the canary.
    PromoteShift,
    /// Promotion: stable gets the version.
    PromoteTemplate,
    /// Promotion: stable gets its pods back.
    PromoteScale,
    /// Promotion: stable is checked.
    PromoteCheck,
    /// Promotion: traffic returns to stable.
    PromoteReturn,
    /// Undoing a promotion: all traffic goes to the canary while stable is mended.
    UndoShift,
    /// Undoing a promotion: stable gets its recorded template back.
    UndoTemplate,
    /// Traffic leaves the canary.
    RollingBack,
    /// The last requests to the canary end.
    Draining,
    /// The canary's pods and what was pinned are put away.
    Cleaning,
    /// Over.
    Ended,
}

impl Origin {
    /// Takes stable's own size from the run that this one is begun in the middle of: pods that the canary
    /// has in the meantime are stable's. Where there are others than it knew, all stay.
    pub fn go_on_from(&mut self, before: &Self) {
        self.own_replicas = before.own_replicas.filter(|_| self.total == before.total);
    }
}

impl Phase {
    /// Returns the phase in words for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Preparing => "preparing the canary",
            Self::Testing => "testing the canary",
            Self::Shifting => "moving traffic",
            Self::Holding => "watching",
            Self::Resting => "canary traffic paused",
            Self::Approving => "waiting for approval",
            Self::PromoteShift => "promoting: moving all traffic to the canary",
            Self::PromoteTemplate => "promoting: updating stable",
            Self::PromoteScale => "promoting: starting stable's pods",
            Self::PromoteCheck => "promoting: checking stable",
            Self::PromoteReturn => "promoting: returning traffic to stable",
            Self::UndoShift => "undoing the promotion: moving all traffic to the canary",
            Self::UndoTemplate => "undoing the promotion: restoring stable",
            Self::RollingBack => "rolling back",
            Self::Draining => "draining",
            Self::Cleaning => "cleaning up",
            Self::Ended => "ended",
        }
    }

    /// Returns whether the run is on its way back to stable's old version.
    pub fn is_retreat(self) -> bool {
        matches!(
            self,
            Self::UndoShift | Self::UndoTemplate | Self::RollingBack
        )
    }
}

/// How a run, or one sitting of it, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The canary's version is the stable one.
    Promoted,
    /// The canary is out of the traffic, verified.
    RolledBack,
    /// The weight that was asked for is reached.
    AtWeight,
    /// Not finished, the split is live, a person is needed.
    Paused,
    /// Somebody else changed what this run owns, or holds it.
    Conflict,
    /// A rollback or promotion could not be completed or verified.
    Incomplete,
}

/// Why a release is ended before its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A check is unhealthy, or the canary's pods do not come up.
    Unhealthy,
    /// The evidence ran out.
    Unknown,
    /// An operator asked.
    Operator,
    /// The process was told to end.
    Interrupt,
    /// The promotion of stable failed.
    Promotion,
    /// The server refused a change on the way up.
    Refused,
    /// Another member of its group went back.
    Member,
}

/// Who drives a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Unique for the process.
    pub id: String,
    /// User and host, or the URL of the CI job.
    pub who: String,
    /// When it took the run.
    pub since: Timestamp,
    /// When it last showed that it lives, by its own clock: for people to read.
    pub heartbeat: Timestamp,
    /// The process, where it can be found again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
}

/// A process on a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// What no other machine and no other container has, since it was started.
    pub machine: String,
    /// Its number there.
    pub pid: u32,
    /// When it began, in ticks of that machine: numbers are given again.
    pub began: u64,
}

/// The end of a sitting that did not end the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Left {
    /// When.
    pub at: Timestamp,
    /// Whether it was a single tick, after which another is expected soon.
    pub tick: bool,
}

/// One line of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub who: String,
    /// What, as one word for machines.
    pub what: String,
    /// What and why, with the measurements, as one sentence.
    pub text: String,
}

impl Release {
    /// Returns the present step; the last one when the index is past the end.
    pub fn present_step(&self) -> Option<&Step> {
        self.plan.steps.get(self.step).or(self.plan.steps.last())
    }

    /// Returns the number of the present step, counted from 1, whatever stands in the record.
    pub fn step_number(&self) -> usize {
        self.step.saturating_add(1)
    }

    /// Returns the name of the Deployment of a track.
    pub fn deployment(&self, track: Track) -> &str {
        match track {
            Track::Stable => &self.stable,
            Track::Canary => &self.canary,
        }
    }

    /// Returns from which images to which the release goes, in one line.
    pub fn change(&self) -> String {
        let list = |images: &BTreeMap<String, String>| {
            images.values().cloned().collect::<Vec<_>>().join(", ")
        };
        let (from, to) = (list(&self.origin.stable_images), list(&self.canary_images));
        if from == to {
            format!("{to} (same image, another template)")
        } else {
            format!("{from} → {to}")
        }
    }

    /// Returns whether the run is over.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Returns the latest moment the record speaks of while the run goes: no driver has written anything
    /// later.
    pub fn last_sign(&self) -> Timestamp {
        let holder = self.holder.as_ref().map(|holder| holder.heartbeat);
        let left = self.left.map(|left| left.at);
        let begun = [self.started, self.since, self.step_since];
        let latest = begun.into_iter().chain(holder).chain(left).max();
        latest.unwrap_or(self.started)
    }

    /// Returns whether nothing has happened since `before` but looks that found all in order.
    pub fn only_looked_since(&mut self, before: &mut Self) -> bool {
        // Set aside for the comparison of all the rest.
        let (ours, theirs) = (take(&mut self.checks), take(&mut before.checks));
        let good = |(name, memory): (&String, &Memory)| {
            let known = theirs.get(name);
            known.is_some_and(|known| memory.adds_only_good_looks(known))
        };
        let quiet = ours.len() == theirs.len() && ours.iter().all(good) && *self == *before;
        (self.checks, before.checks) = (ours, theirs);
        quiet
    }

    /// Adds a line to the trail and drops the oldest beyond [`TRAIL_LENGTH`].
    pub fn note(&mut self, mut entry: Entry) {
        if entry.text.len() > TRAIL_TEXT {
            let end = (0..=TRAIL_TEXT).rfind(|at| entry.text.is_char_boundary(*at));
            entry.text.truncate(end.unwrap_or(0));
            entry.text.push('…');
        }
        self.trail.push(entry);
        let excess = self.trail.len().saturating_sub(TRAIL_LENGTH);
        self.trail.drain(..excess);
    }
}
