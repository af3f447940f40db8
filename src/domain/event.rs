//! What happens in a run, for people and machines.
//!
//! Owns: the events and their sentences. Must not: render or send them. The JSON form is a contract:
//! fields are added, never renamed or removed.

use jiff::Timestamp;
use serde::Serialize;

use super::{
    change::Change,
    release::{Cause, Outcome, Phase},
    split::Split,
    verdict::CheckResult,
    weight::Percent,
    workload::Track,
};

/// Something that happened, with its moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(
    tag = "event",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum EventKind {
    /// A run began.
    Started {
        /// Name of the run.
        id: String,
        /// The steps.
        steps: Vec<Percent>,
        /// From which images to which.
        change: String,
        /// The canary's share of the traffic when the run began; missing where it was not read.
        #[serde(skip_serializing_if = "Option::is_none")]
        live: Option<Percent>,
    },
    /// A run goes on that another process began.
    Resumed {
        /// Name of the run.
        id: String,
        /// Where it is.
        phase: Phase,
        /// Who drove it before.
        from: Option<String>,
    },
    /// The run enters a phase.
    PhaseChanged {
        /// The phase.
        phase: Phase,
        /// The step, counted from 1.
        step: usize,
        /// All steps.
        steps: usize,
        /// The weight that is meant.
        weight: Percent,
    },
    /// A change to the cluster is about to be made.
    Acting {
        /// What, in words.
        what: String,
        /// The fields that change; empty for a write of a whole object.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        changes: Vec<Change>,
    },
    /// The wanted weight is reached and read back.
    Reached {
        /// The split as read.
        split: Split,
    },
    /// The checks were looked at.
    Checked {
        /// Which side was looked at.
        track: Track,
        /// What each says.
        results: Vec<CheckResult>,
    },
    /// The run waits; sent when what it waits for changes.
    Waiting {
        /// What for.
        what: String,
        /// Since when.
        since: Timestamp,
    },
    /// Somebody else changed what the run owns.
    Drift {
        /// What was found.
        text: String,
        /// Whether it is re-applied.
        reasserted: bool,
    },
    /// The traffic is taken off the canary for a moment: what was seen may be a burst.
    TrafficPaused {
        /// The weight that is left.
        from: Percent,
        /// What was seen.
        text: String,
    },
    /// The canary is calm after it was braked: it returns to the step that it left.
    TrafficResumed {
        /// The weight that it returns to.
        to: Percent,
    },
    /// The release is being ended before its plan.
    RollingBack {
        /// Why.
        cause: Cause,
        /// Why, with the measurements.
        reason: String,
    },
    /// Something worth knowing that changes nothing.
    Warning {
        /// What.
        text: String,
    },
    /// The run, or this sitting of it, ended.
    Ended {
        /// How.
        outcome: Outcome,
        /// Why, in a sentence.
        text: String,
        /// The split as read last, where that is what is live.
        #[serde(skip_serializing_if = "Option::is_none")]
        split: Option<Split>,
    },
}

impl EventKind {
    /// Returns the event as one word for machines, also the reason of the Kubernetes Event.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Started { .. } => "Started",
            Self::Resumed { .. } => "Resumed",
            Self::PhaseChanged { .. } => "PhaseChanged",
            Self::Acting { .. } => "Acting",
            Self::Reached { .. } => "WeightReached",
            Self::Checked { .. } => "Checked",
            Self::Waiting { .. } => "Waiting",
            Self::Drift { .. } => "Drift",
            Self::TrafficPaused { .. } => "TrafficPaused",
            Self::TrafficResumed { .. } => "TrafficResumed",
            Self::RollingBack { .. } => "RollingBack",
            Self::Warning { .. } => "Warning",
            Self::Ended { outcome, .. } => match outcome {
                Outcome::Promoted => "Promoted",
                Outcome::RolledBack => "RolledBack",
                Outcome::AtWeight => "WeightHeld",
                Outcome::Paused => "Paused",
                Outcome::Conflict => "Conflict",
                Outcome::Incomplete => "Incomplete",
            },
        }
    }

    /// Returns whether the event belongs in the audit trail and on the Deployment.
    pub fn is_transition(&self) -> bool {
        match self {
            // A tick that goes on is no news; somebody who takes over is.
            Self::Resumed { from, .. } => from.is_some(),
            Self::Started { .. }
            | Self::PhaseChanged { .. }
            | Self::Reached { .. }
            | Self::Drift { .. }
            | Self::TrafficPaused { .. }
            | Self::TrafficResumed { .. }
            | Self::RollingBack { .. }
            | Self::Ended { .. } => true,
            Self::Acting { .. }
            | Self::Checked { .. }
            | Self::Waiting { .. }
            | Self::Warning { .. } => false,
        }
    }

    /// Returns whether the event should alarm: a Kubernetes Event of type Warning.
    pub fn is_warning(&self) -> bool {
        match self {
            Self::Drift { .. }
            | Self::TrafficPaused { .. }
            | Self::RollingBack { .. }
            | Self::Warning { .. } => true,
            Self::Ended { outcome, .. } => match outcome {
                Outcome::Promoted | Outcome::AtWeight => false,
                Outcome::RolledBack | Outcome::Paused | Outcome::Conflict | Outcome::Incomplete => {
                    true
                }
            },
            Self::Started { .. }
            | Self::Resumed { .. }
            | Self::PhaseChanged { .. }
            | Self::Acting { .. }
            | Self::Reached { .. }
            | Self::Checked { .. }
            | Self::TrafficResumed { .. }
            | Self::Waiting { .. } => false,
        }
    }

    /// Returns the event as one sentence.
    pub fn sentence(&self) -> String {
        match self {
            Self::Started {
                id, steps, change, ..
            } => {
                let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
                format!(
                    "release {id} started: {change}, steps {}",
                    steps.join(" → ")
                )
            }
            Self::Resumed { id, phase, from } => {
                let from = from
                    .as_ref()
                    .map(|f| format!(", after {f}"))
                    .unwrap_or_default();
                format!("release {id} resumed{from}: {}", phase.words())
            }
            Self::PhaseChanged {
                phase,
                step,
                steps,
                weight,
            } => match phase {
                Phase::Shifting => format!("step {step} of {steps}: moving to {weight}"),
                Phase::Holding => format!("step {step} of {steps}: watching at {weight}"),
                Phase::Resting => format!("step {step} of {steps}: canary traffic paused"),
                Phase::Approving => format!("step {step} of {steps}: waiting for approval"),
                Phase::Preparing
                | Phase::Testing
                | Phase::PromoteShift
                | Phase::PromoteTemplate
                | Phase::PromoteScale
                | Phase::PromoteCheck
                | Phase::PromoteReturn
                | Phase::UndoShift
                | Phase::UndoTemplate
                | Phase::RollingBack
                | Phase::Draining
                | Phase::Cleaning
                | Phase::Ended => phase.words().to_owned(),
            },
            Self::Acting { what, .. } | Self::Waiting { what, .. } => what.clone(),
            Self::Reached { split } => format!(
                "canary at {} (wanted {}, {})",
                split.actual, split.wanted, split.detail
            ),
            Self::Checked { results, .. } => {
                let texts: Vec<&str> = results.iter().map(|r| r.text.as_str()).collect();
                texts.join("; ")
            }
            Self::Drift { text, reasserted } if *reasserted => format!("{text}: re-applied"),
            Self::Drift { text, .. } | Self::Warning { text } | Self::Ended { text, .. } => {
                text.clone()
            }
            Self::TrafficPaused { from, text } => {
                format!("traffic paused at {from}: {text}")
            }
            Self::TrafficResumed { to } => {
                format!("recovered after the traffic pause: restarting the {to} step")
            }
            Self::RollingBack { reason, .. } => format!("rolling back: {reason}"),
        }
    }
}
