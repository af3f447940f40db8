//! Checks: what is asked of the canary, and what is remembered between looks.
//!
//! Owns: the specification, the samples probes bring, the memory kept in the journal. Must not:
//! fetch anything; the judgement itself is in `judge`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::verdict::Unknown;
use crate::analysis::evidence::Evidence;

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
        /// Failing looks in a row before the verdict is unhealthy; at least 1.
        consecutive: u32,
    },
    /// Every subject's number must be within the limits.
    Number {
        /// Lowest good value.
        min: Option<f64>,
        /// Highest good value.
        max: Option<f64>,
        /// Breaking looks in a row before the verdict is unhealthy; at least 1.
        consecutive: u32,
    },
    /// The share of good requests, from counters of every pod.
    Share {
        /// Lowest good share, between 0 and 1.
        min: f64,
        /// Requests at a step before the share means anything.
        min_requests: u64,
    },
    /// The state of the pods themselves.
    Pods {
        /// Restarts allowed over all canary pods since the run began.
        max_restarts: u32,
    },
}

impl Rule {
    /// Returns whether the rule judges a state (rather than counts of requests), so that it can be
    /// asked of any pod at any moment, also of stable before traffic returns to it.
    pub fn judges_state(self) -> bool {
        match self {
            Self::Condition { .. } | Self::Number { .. } | Self::Pods { .. } => true,
            Self::Share { .. } => false,
        }
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
    /// Counters since the subject started: good requests and all requests.
    Counters {
        /// Good requests.
        good: f64,
        /// All requests.
        total: f64,
    },
    /// State of a pod.
    Pod {
        /// Whether it is ready.
        ready: bool,
        /// Restarts of its containers since it was created.
        restarts: u32,
        /// When it was created.
        created: Timestamp,
    },
    /// A state that will not mend by itself; unhealthy at once.
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
    /// Good requests counted at this step.
    pub good: f64,
    /// Requests counted at this step.
    pub total: f64,
    /// Evidence against the canary over the whole run.
    pub evidence: Evidence,
    /// What is known of each subject.
    pub subjects: BTreeMap<String, SubjectMemory>,
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
    /// Whether it was ever ready.
    pub was_ready: bool,
}

impl Memory {
    /// Returns whether nothing but good looks was added since `before`, which whoever goes on from
    /// there makes again.
    pub fn adds_only_good_looks(&self, before: &Self) -> bool {
        let (looks, good_looks) = (before.looks, before.good_looks);
        let new = self.looks.checked_sub(looks);
        let rest = |memory: &Self| (memory.streak, memory.good, memory.total);
        new == self.good_looks.checked_sub(good_looks)
            && new.is_some()
            && rest(self) == rest(before)
            && self.evidence == before.evidence
            && self.subjects == before.subjects
    }

    /// Counts looks anew, where pods begin to be watched under another light; all else stays.
    pub fn begin_watch(&mut self) {
        self.looks = 0;
        self.good_looks = 0;
    }

    /// Forgets what belongs to one step; evidence and subjects stay. `later` is false at the first.
    pub fn begin_step(&mut self, later: bool) {
        if later {
            self.evidence.begin_step();
        }
        self.streak = 0;
        self.looks = 0;
        self.good_looks = 0;
        self.good = 0.0;
        self.total = 0.0;
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
            total: 7.0,
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
