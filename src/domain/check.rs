//! Checks: what is asked of the canary, and what is remembered between looks.
//!
//! Owns: the specification, the samples probes bring, the memory kept in the journal. Must not:
//! fetch anything; the judgement itself is in `judge`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{meters::Witness, plan::OnTrouble, unit::Unit, verdict::Unknown};
use crate::analysis::{
    brake::Settings,
    counts::Counts,
    latency::Slowdown,
    meter::Totals,
    share::{Dependence, Share},
    threshold::{Tally, Threshold},
    value::Values,
};

/// One check of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckSpec {
    /// Unique name, shown to people.
    pub name: String,
    /// Name of the probe that observes.
    pub probe: String,
    /// The probe's own options; secrets appear here by reference only.
    pub options: Value,
    /// How the observations are judged.
    pub rule: Rule,
    /// What an unhealthy verdict does.
    pub severity: Severity,
    /// What happens when a step ends and this check does not know; `None`: as the plan says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_unknown: Option<OnTrouble>,
    /// Whether it is asked once, of the canary that no user has met yet, and not at the steps.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pre: bool,
}

/// What an unhealthy verdict of a check does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It rolls the release back (or holds, where the plan says so).
    #[default]
    Rollback,
    /// It stops the release and leaves the split.
    Hold,
    /// It is printed and does nothing.
    Warn,
}

/// How observations become a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Rule {
    /// Every subject must hold; failing looks in a row make it unhealthy.
    Condition {
        /// Failing evaluations in a row before the verdict is unhealthy; at least 1.
        consecutive: u32,
    },
    /// Every subject's number must be within the limits.
    Number(Number),
    /// The share of good requests, from counters of every canary pod.
    Share {
        /// Lowest good share, between 0 and 1.
        min: f64,
        /// Requests at a step before the share means anything.
        min_requests: u64,
    },
    /// The share of requests that fail, from the metrics of both sides.
    Errors(Limits),
    /// The share of requests that are slow, from histograms of both sides.
    Latency {
        /// The quantile, in (0, 1): so large a share of the requests must take `max` seconds at most.
        quantile: f64,
        /// The limits; `max` in seconds.
        limits: Limits,
    },
    /// The canary's share of the requests, against the one that is meant.
    Traffic {
        /// Difference that is tolerated, as a share between 0 and 1.
        tolerance: f64,
        /// Requests of both sides at a step before it means anything.
        min_requests: u64,
    },
    /// The state of the pods themselves.
    Pods {
        /// Restarts allowed over all canary pods since the run began.
        max_restarts: u32,
    },
}

/// Limits of a share of bad requests, or of a latency.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Highest value: a share between 0 and 1, or seconds.
    pub max: Option<f64>,
    /// Highest quotient of the canary's value and stable's; above 0.
    pub max_ratio: Option<f64>,
    /// Share of errors below which the quotient does not matter.
    pub floor: f64,
    /// Canary requests at a step before anything is said for the canary.
    pub min_requests: u64,
    /// How it is judged.
    pub mode: Mode,
    /// How far requests may depend on each other.
    pub dependence: Dependence,
}

/// Limits of a number.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Number {
    /// Lowest good value.
    pub min: Option<f64>,
    /// Highest good value.
    pub max: Option<f64>,
    /// Highest quotient of the canary's value and stable's; above 0.
    pub max_ratio: Option<f64>,
    /// Failing evaluations in a row before the verdict is unhealthy; at least 1. It counts unless a mode is
    /// given.
    pub consecutive: u32,
    /// How it is judged, where that is not by looks in a row.
    pub mode: Option<Mode>,
    /// Seconds that a value is about: with a mode, one value is taken in each such window.
    pub window: u32,
    /// What it counts.
    #[serde(skip_serializing_if = "Unit::is_plain")]
    pub unit: Unit,
}

/// How measurements become a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// By a sequential test.
    #[default]
    Sequential,
    /// By counting failed measurements, as the controllers do.
    Threshold(Threshold),
}

impl Rule {
    /// Returns whether the rule judges a state (rather than counts of requests), so that it can be
    /// asked of any pod at any moment, also of stable before traffic returns to it.
    pub fn judges_state(self) -> bool {
        match self {
            Self::Condition { .. } | Self::Pods { .. } => true,
            Self::Number(number) => number.mode.is_none() && number.max_ratio.is_none(),
            Self::Share { .. } | Self::Errors(_) | Self::Latency { .. } | Self::Traffic { .. } => {
                false
            }
        }
    }

    /// Returns whether it compares the canary with stable.
    pub fn needs_stable(self) -> bool {
        match self {
            Self::Condition { .. } | Self::Pods { .. } | Self::Share { .. } => false,
            Self::Number(number) => number.max_ratio.is_some(),
            Self::Errors(limits) | Self::Latency { limits, .. } => limits.max_ratio.is_some(),
            Self::Traffic { .. } => true,
        }
    }

    /// Returns whether requests are evidence in it, one look after the other.
    pub fn is_sequential(self) -> bool {
        match self {
            Self::Share { .. } => true,
            Self::Errors(limits) | Self::Latency { limits, .. } => limits.mode == Mode::Sequential,
            Self::Condition { .. } | Self::Number(_) | Self::Traffic { .. } | Self::Pods { .. } => {
                false
            }
        }
    }

    /// Returns whether it takes one value in each window.
    pub fn measures_windows(self) -> bool {
        match self {
            Self::Errors(limits) | Self::Latency { limits, .. } => limits.mode != Mode::Sequential,
            Self::Number(number) => number.mode.is_some(),
            Self::Share { .. }
            | Self::Condition { .. }
            | Self::Traffic { .. }
            | Self::Pods { .. } => false,
        }
    }

    /// Returns what the value of the check counts.
    pub fn unit(self) -> Unit {
        match self {
            Self::Share { .. } | Self::Errors(_) | Self::Traffic { .. } => Unit::Share,
            Self::Latency { .. } => Unit::Seconds,
            Self::Number(number) => number.unit,
            Self::Condition { .. } | Self::Pods { .. } => Unit::Plain,
        }
    }

    /// Returns whether it is judged by what the metrics provider counts on both sides.
    pub fn counts(self) -> bool {
        matches!(
            self,
            Self::Errors(_) | Self::Latency { .. } | Self::Traffic { .. }
        )
    }
}

/// One observation of one subject (usually a pod).
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Whom it is about: a pod's name, or the Deployment's.
    pub subject: String,
    /// What was observed.
    pub sample: Sample,
}

/// What was observed.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    /// A condition holds or not, with what was seen.
    Holds(bool, String),
    /// A number; never NaN or infinite (those are `Missing`).
    Number(f64),
    /// The canary's number beside stable's, where there is one.
    Numbers {
        /// The canary's.
        canary: f64,
        /// Stable's.
        stable: Option<f64>,
    },
    /// Counters of requests since the subject started, with a histogram of their latencies.
    Totals {
        /// The counters.
        totals: Totals,
        /// Whether the subject came into being during the run: then the counters began at 0.
        born: bool,
    },
    /// Counters since the subject started: good requests and all requests.
    Counters {
        /// Good requests.
        good: f64,
        /// All requests.
        total: f64,
        /// Whether the subject came into being during the run: then the counters began at 0.
        born: bool,
    },
    /// State of a pod.
    Pod {
        /// Whether it is ready.
        ready: bool,
        /// Restarts of its containers since it was created.
        restarts: u32,
        /// When it was created.
        created: Timestamp,
        /// Why a container of it ended last, such as `OOMKilled`.
        ended: Option<String>,
    },
    /// A state that does not pass by itself; unhealthy at once.
    Fatal(String),
    /// A state that is bad but often passes; unhealthy when it lasts.
    Troubled(String),
    /// A state that other waits bound, such as a pod without a node while nodes are added.
    Pending(String),
    /// Nothing to go by.
    Missing(Unknown, String),
}

/// What a check remembers between two looks; part of the journal.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// Failing looks in a row.
    pub streak: u32,
    /// Looks at this step.
    pub looks: u32,
    /// Looks at this step that found everything in order.
    pub good_looks: u32,
    /// Looks at this step that found something out of order.
    #[serde(skip_serializing_if = "is_none")]
    pub bad_looks: u32,
    /// What requests have shown; none for checks that count none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<Box<Requests>>,
    /// What the pods themselves have shown sooner than the metrics provider does: the same requests, so that both
    /// are never added up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direct: Option<Box<Requests>>,
    /// What values of windows have shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<Box<Windows>>,
    /// What is known of each subject.
    pub subjects: BTreeMap<String, SubjectMemory>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_none(looks: &u32) -> bool {
    *looks == 0
}

/// What a check that counts requests remembers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Requests {
    /// Evidence about the share of bad requests, over the whole run.
    pub share: Share,
    /// Evidence about the canary's latency against stable's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slowdown: Option<Slowdown>,
    /// The traffic at stake.
    pub rate: Rate,
    /// The canary's requests over the whole run.
    pub canary_run: Counts,
    /// Stable's requests over the whole run.
    pub stable_run: Counts,
    /// Bounds of the latencies below, in seconds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<f64>,
    /// Latencies of the canary at this step, cumulative over the bounds, then all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub canary: Vec<f64>,
    /// The same of stable.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stable: Vec<f64>,
    /// When something was counted last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Whether what is counted now came at the present step.
    pub begun: bool,
    /// What the brake goes by, where it is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early: Option<Box<Early>>,
    /// Evidence without one pod of the canary, by its name, where there are several and no brake: one bad pod of
    /// several is no bad version.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub without: BTreeMap<String, Others>,
    /// Failures that may be past.
    #[serde(skip_serializing_if = "Episode::is_none")]
    pub episode: Episode,
}

/// What is left without one pod of the canary.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Others {
    /// The evidence of the other pods.
    pub share: Share,
    /// Stable's requests that wait for theirs: a source that is behind shows pods at different moments, and a look
    /// that brings only the pod left out is half a comparison.
    pub stable: Counts,
    /// Seconds in which they came.
    pub seconds: f64,
}

/// A time of failures, and how often one was passed over; part of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Episode {
    /// When the present one began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
    /// When failures were seen last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// Whether the step is proven anew since one was passed over.
    pub anew: bool,
    /// How many were passed over in the run.
    pub passed: u32,
}

impl Episode {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Forgets what was of the step before.
    pub fn begin_step(&mut self) {
        *self = Self {
            passed: self.passed,
            ..Self::default()
        };
    }
}

/// What the brake goes by in one check.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Early {
    /// Evidence by request, and without a limit to its speed.
    pub quick: Share,
    /// The evidence by look when the canary was calm last.
    pub calm: Share,
    /// The same about its latency against stable's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calm_slowdown: Option<Slowdown>,
    /// Evidence by look since the last rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fresh: Option<Apart>,
    /// Evidence by look at a step that was left, without what is forgiven and without the probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole: Option<Apart>,
    /// The index of that step.
    pub whole_step: usize,
}

/// Evidence that is kept apart from that which decides.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Apart {
    /// Evidence about the share of bad requests.
    pub share: Share,
    /// Evidence about the canary's latency against stable's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slowdown: Option<Slowdown>,
}

impl Requests {
    /// Notes that the canary is calm: what is won from here on may be forgiven.
    pub fn calm(&mut self) {
        if let Some(early) = &mut self.early {
            early.calm = self.share.clone();
            early.calm_slowdown.clone_from(&self.slowdown);
        }
    }

    /// Keeps the evidence apart when the step with the index `step` is left, for when it is returned to.
    pub fn keep_apart(&mut self, step: usize) {
        let Some(early) = &mut self.early else {
            return;
        };
        if early.whole_step != step {
            early.whole = None;
        }
        early.whole_step = step;
        early.whole.get_or_insert_with(|| Apart {
            share: self.share.clone(),
            slowdown: self.slowdown.clone(),
        });
    }

    /// Takes back what was won since the canary was calm.
    pub fn forgive(&mut self) {
        let Some(early) = &mut self.early else {
            return;
        };
        self.share.forgive(&early.calm);
        if let (Some(slowdown), Some(calm)) = (&mut self.slowdown, &early.calm_slowdown) {
            slowdown.forgive(calm);
        }
        early.quick = self.share.clone();
        early.fresh = None;
    }
}

/// Requests per second of both sides together.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rate {
    /// Requests at this step.
    pub requests: f64,
    /// The canary's among them.
    pub canary: f64,
    /// Seconds in which they came.
    pub seconds: f64,
    /// Requests per second of the step before, or of this one where it is the first.
    pub known: Option<f64>,
}

impl Rate {
    /// Returns requests per second of both sides; where stable is not counted, from the canary's
    /// `weight`. `None` without requests.
    pub fn average(&self, weight: f64) -> Option<f64> {
        let all = if self.requests > self.canary {
            self.requests
        } else if weight > 0.0 {
            self.canary / weight
        } else {
            0.0
        };
        let rate = all / self.seconds;
        (rate.is_finite() && rate > 0.0).then_some(rate)
    }

    /// Returns the same of this step, or else of the one before; `None` where neither is known.
    pub fn latest(&self, weight: f64) -> Option<f64> {
        self.average(weight).or(self.known)
    }
}

/// What a check that takes one value in each window remembers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Windows {
    /// Evidence from the values, against a limit.
    pub values: Values,
    /// Evidence from the values, against stable's.
    pub compared: Values,
    /// Counted measurements.
    pub tally: Tally,
    /// When the present window began.
    pub since: Option<Timestamp>,
    /// Requests of the canary in the present window.
    pub canary: Counts,
    /// The same of stable.
    pub stable: Counts,
    /// Latencies of the canary in the present window.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub canary_buckets: Vec<f64>,
    /// The same of stable.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stable_buckets: Vec<f64>,
    /// The last measurement, in words.
    pub last: String,
}

/// What is remembered of one subject.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubjectMemory {
    /// Counter of good requests at the last look.
    pub good: f64,
    /// Counter of all requests at the last look.
    pub total: f64,
    /// Restarts that do not count against the canary.
    pub restarts_before: u32,
    /// Restarts at the last look.
    pub restarts: u32,
    /// When a restart that counts was seen last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarted: Option<Timestamp>,
    /// Whether it was ever ready.
    pub was_ready: bool,
}

impl Memory {
    /// Returns whether nothing but good looks was added since `before`, which whoever goes on from
    /// there makes again.
    pub fn adds_only_good_looks(&self, before: &Self) -> bool {
        let (looks, good_looks) = (before.looks, before.good_looks);
        let new = self.looks.checked_sub(looks);
        new == self.good_looks.checked_sub(good_looks)
            && new.is_some()
            && self.streak == before.streak
            && self.bad_looks == before.bad_looks
            && self.requests == before.requests
            && self.direct == before.direct
            && self.windows == before.windows
            && self.subjects == before.subjects
    }

    /// Counts looks anew, where pods begin to be watched under another light; all else stays.
    pub fn begin_watch(&mut self) {
        self.looks = 0;
        self.good_looks = 0;
        self.bad_looks = 0;
    }

    /// Forgets what belongs to one step; subjects stay. What was counted is divided by the first look:
    /// what it finds came before the step.
    pub fn begin_step(&mut self) {
        self.streak = 0;
        self.begin_watch();
        for requests in self.all_requests() {
            requests.begun = false;
        }
    }

    /// Returns what requests have shown so far, as one of both tells it.
    pub fn told(&self, witness: Witness) -> Option<&Requests> {
        match witness {
            Witness::Source => self.requests.as_deref(),
            Witness::Pods => self.direct.as_deref(),
        }
    }

    /// Returns the same to be gone on with.
    pub fn counted(&mut self, witness: Witness) -> &mut Requests {
        let requests = match witness {
            Witness::Source => &mut self.requests,
            Witness::Pods => &mut self.direct,
        };
        requests.get_or_insert_default()
    }

    /// Keeps the evidence as it is for when what came later is forgiven; what the pods themselves showed only where it
    /// is calm, too.
    pub fn calm(&mut self) {
        let calm = |requests: &Requests| {
            let early = requests.early.as_ref();
            early.is_none_or(|early| {
                let quick = &early.quick;
                quick.absolute_value().max(quick.relative_value()) < Settings::default().calm.ln()
            })
        };
        if let Some(direct) = self.direct.as_mut().filter(|direct| calm(direct)) {
            direct.calm();
        }
        if let Some(requests) = &mut self.requests {
            requests.calm();
        }
    }

    /// Returns what requests have shown, by either way.
    pub fn all_requests(&mut self) -> impl Iterator<Item = &mut Requests> {
        let both = self.requests.iter_mut().chain(&mut self.direct);
        both.map(AsMut::as_mut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_good_looks_can_be_made_again() {
        let before = Memory {
            looks: 4,
            good_looks: 3,
            ..Memory::default()
        };
        let with = |looks, good_looks| Memory {
            looks,
            good_looks,
            ..before.clone()
        };
        assert!(before.adds_only_good_looks(&before));
        assert!(with(6, 5).adds_only_good_looks(&before));
        assert!(!with(5, 3).adds_only_good_looks(&before), "a bad look");
        assert!(!with(0, 0).adds_only_good_looks(&before), "a new step");
        let mut restarted = with(5, 4);
        restarted
            .subjects
            .insert("web-1".into(), SubjectMemory::default());
        assert!(!restarted.adds_only_good_looks(&before), "a new pod");
        let counted = Memory {
            requests: Some(Box::default()),
            ..with(5, 4)
        };
        assert!(!counted.adds_only_good_looks(&before), "requests");
        let failed = Memory {
            streak: 1,
            ..with(5, 4)
        };
        assert!(!failed.adds_only_good_looks(&before), "a failing look");
    }
}
