//! What a release is to do: steps, policies, promotion.
//!
//! Owns: the plan and its validity. Must not: know how it is written down in a file.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{check::CheckSpec, weight::Percent};

/// The whole plan of a release, recorded in the journal when the run starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The steps, rising in weight; never empty.
    pub steps: Vec<Step>,
    /// What must hold at every step.
    pub checks: Vec<CheckSpec>,
    /// Where requests are counted, if anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricsSpec>,
    /// Requests sent while a step is watched, if any.
    pub load: Option<Load>,
    /// Seconds between two looks at the checks.
    #[serde(with = "seconds")]
    pub interval: Duration,
    /// Whether early evidence takes the traffic off for a moment, before it is sure; where the checks and
    /// the router allow it ([`Plan::can_brake`]).
    #[serde(default)]
    pub brake: bool,
    /// Seconds for which requests of pods that are new at a step are shown and not judged: caches are empty,
    /// code is not compiled yet. Early evidence may still pause the traffic.
    #[serde(default, with = "seconds", skip_serializing_if = "Duration::is_zero")]
    pub warmup: Duration,
    /// Whether no deadline was given, so that those of the steps follow the traffic
    /// ([`forecast::deadline`](super::forecast::deadline)).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub patient: bool,
    /// What happens when a step ends without enough evidence.
    pub on_unknown: OnTrouble,
    /// Whether nothing was said of it, so that [`Plan::on_unknown`] follows from who drives the run
    /// ([`Presence`]).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_unknown_unset: bool,
    /// What happens when a check is unhealthy.
    pub on_failure: OnTrouble,
    /// What happens when the process is told to end.
    pub on_interrupt: OnTrouble,
    /// How the canary's version becomes the stable one.
    pub promote: Promotion,
    /// Seconds between the last request sent to a side and the removal of its pods.
    #[serde(with = "seconds")]
    pub drain: Duration,
    /// Seconds that pods may take to become ready whenever the split changes.
    #[serde(with = "seconds")]
    pub ready_timeout: Duration,
    /// Seconds that stable may take to roll out the promoted version.
    #[serde(with = "seconds")]
    pub promote_timeout: Duration,
}

/// A metrics provider by name, with its options; secrets appear by reference only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricsSpec {
    /// Name in the table of sources.
    pub name: String,
    /// Its options.
    pub options: Value,
}

/// One step: a weight, and how long it must prove itself there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The canary's share of traffic.
    pub weight: Percent,
    /// Seconds at the weight before the next step.
    #[serde(with = "seconds")]
    pub hold: Duration,
    /// Seconds after which the step may end before its hold is over, once what its requests must show is
    /// proven; `None`: never.
    #[serde(
        default,
        with = "maybe_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub early: Option<Duration>,
    /// Whether a person must approve before the next step.
    pub approve: bool,
    /// Seconds from the start of the step until missing evidence ends it; time at an approval does not count.
    #[serde(with = "seconds")]
    pub deadline: Duration,
}

/// Highest rate of a load, in requests per second: it is a probe, not a benchmark.
pub const HIGHEST_LOAD: f64 = 200.0;

/// Requests that are sent to both sides while a step is watched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    /// Requests per second, above 0 and up to [`HIGHEST_LOAD`].
    pub rate: f64,
    /// The requests, sent in turn.
    pub requests: Vec<LoadRequest>,
}

/// One kind of request of a load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadRequest {
    /// Method.
    pub method: String,
    /// Path with query, beginning with `/`.
    pub path: String,
    /// Body and its content type; none for most methods.
    pub body: Option<(String, String)>,
}

/// What to do when a release cannot continue by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnTrouble {
    /// Take the canary out of the traffic.
    Rollback,
    /// Leave the split as it is and stop; a person decides.
    Hold,
}

/// Whether a person follows the run and can decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Somebody is at a terminal.
    Attended,
    /// A pipeline, a timer, a process without a terminal: nobody watches a split that is left live.
    Unattended,
}

impl Presence {
    /// Returns what happens without enough evidence where nothing was said of it.
    pub fn on_unknown(self) -> OnTrouble {
        match self {
            Self::Attended => OnTrouble::Hold,
            Self::Unattended => OnTrouble::Rollback,
        }
    }
}

/// How the canary's version becomes the stable one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// The canary's whole pod template, minus track labels, goes to stable.
    Template,
    /// Only the images go to stable.
    Image,
    /// The two Deployments change places.
    Swap,
    /// The canary keeps all the traffic; stable stays what it was.
    None,
}

/// What becomes of the canary's pods at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cleanup {
    /// Scale the Deployment to zero.
    ScaleDown,
    /// Delete the Deployment.
    Delete,
}

/// The end of a release that went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Promotion {
    /// How the version gets into stable.
    pub strategy: Strategy,
    /// What becomes of the canary, also after a rollback.
    pub canary: Cleanup,
    /// Whether the last step promotes by itself; otherwise the run ends at the last weight.
    pub auto: bool,
}

/// Indicates a plan that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The list of steps is empty.
    #[error("the list of steps is empty")]
    Empty,
    /// A step is not above the one before.
    #[error("steps must rise: {0} comes after {1}")]
    NotRising(Percent, Percent),
    /// A step has weight 0.
    #[error("a step of 0% does nothing")]
    Zero,
    /// A hold does not fit into its deadline.
    #[error("the step at {weight} holds for {hold} but has a deadline of {deadline}", hold = humantime::format_duration(*hold), deadline = humantime::format_duration(*deadline))]
    Deadline {
        /// Weight of the step.
        weight: Percent,
        /// Its hold.
        hold: Duration,
        /// Its deadline.
        deadline: Duration,
    },
    /// An early end comes after the hold.
    #[error("the step at {weight} may end early after {early} but holds for {hold}", early = humantime::format_duration(*early), hold = humantime::format_duration(*hold))]
    Early {
        /// Weight of the step.
        weight: Percent,
        /// After which time it may end early.
        early: Duration,
        /// Its hold.
        hold: Duration,
    },
}

impl Plan {
    /// Takes over who drives the run: what happens without evidence follows from it, unless it was given.
    pub fn attend(&mut self, presence: Presence) {
        if self.on_unknown_unset {
            self.on_unknown = presence.on_unknown();
        }
    }

    /// Takes over what happens without evidence from the plan of who goes on with the run, unless it was
    /// given when the run began.
    pub fn hand_over(&mut self, to: &Self) {
        if self.on_unknown_unset {
            self.on_unknown = to.on_unknown;
            self.on_unknown_unset = to.on_unknown_unset;
        }
    }

    /// Returns the checks that are asked at the steps: those before the first user are asked once.
    pub fn at_steps(&self) -> impl Iterator<Item = &CheckSpec> {
        self.checks.iter().filter(|check| !check.pre)
    }

    /// Returns whether its checks let the traffic be taken off for a moment: there is one that counts
    /// requests, and none that measures windows, which a rest would leave empty.
    pub fn can_brake(&self) -> bool {
        let mut counts = self.checks.iter();
        let mut windows = self.checks.iter();
        self.brake
            && counts.any(|check| check.rule.is_sequential())
            && !windows.any(|check| check.rule.measures_windows())
    }

    /// Returns an error unless the steps rise from above 0 %, each hold fits its deadline and each early end
    /// its hold.
    pub fn validate(&self) -> Result<(), PlanError> {
        let mut last = Percent::ZERO;
        if self.steps.is_empty() {
            return Err(PlanError::Empty);
        }
        for step in &self.steps {
            if step.weight == Percent::ZERO {
                return Err(PlanError::Zero);
            }
            if step.weight <= last {
                return Err(PlanError::NotRising(step.weight, last));
            }
            if step.hold > step.deadline {
                return Err(PlanError::Deadline {
                    weight: step.weight,
                    hold: step.hold,
                    deadline: step.deadline,
                });
            }
            if let Some(early) = step.early.filter(|early| *early > step.hold) {
                return Err(PlanError::Early {
                    weight: step.weight,
                    early,
                    hold: step.hold,
                });
            }
            last = step.weight;
        }
        Ok(())
    }
}

/// Durations as seconds with decimals, in the journal and in JSON output.
pub mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes a duration as seconds.
    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(duration.as_secs_f64())
    }

    /// Reads seconds; negative and infinite numbers are errors.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// The same, where there may be none.
pub mod maybe_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes a duration, if there is one, as seconds.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => to.serialize_some(&duration.as_secs_f64()),
            None => to.serialize_none(),
        }
    }

    /// Reads seconds, if there are any; negative and infinite numbers are errors.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<f64>::deserialize(from)?;
        let duration = |seconds| Duration::try_from_secs_f64(seconds).map_err(D::Error::custom);
        seconds.map(duration).transpose()
    }
}
