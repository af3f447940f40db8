//! Observing health: the seam, and the table of probes.
//!
//! Owns: what a probe must be able to do, and which there are. Must not: judge (that is
//! `domain::judge`) or act. A new probe is one file here and one line in [`PROBES`]. What cannot be
//! observed is reported as missing, with the reason; it is never left out.

pub mod alerts;
pub mod cel;
pub mod command;
pub mod exposition;
pub mod facts;
pub mod http;
pub mod json;
pub mod load;
pub mod pods;
pub mod presets;
pub mod prometheus;
pub mod requests;
pub mod rights;
pub mod saturation;
pub mod scrape;
pub mod source;
pub mod suggestion;
pub mod value;
pub mod web;
pub mod webhook;
mod withheld;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;

use crate::{
    cluster::{Cluster, pods::LivePod},
    domain::{
        check::{CheckSpec, Reading, Sample},
        workload::Workload,
    },
};
pub use facts::{Facts, plain};
use source::Source;
pub use withheld::bind_all;

/// Every probe.
pub const PROBES: &[&dyn ProbeKind] = &[
    &pods::Pods,
    &http::Http,
    &requests::ErrorRate,
    &requests::Latency,
    &requests::Traffic,
    &value::Value,
    &saturation::Saturation,
    &json::Json,
    &webhook::Webhook,
    &command::Command,
    &alerts::Alerts,
];

/// Returns a probe by name.
pub fn probe(name: &str) -> Option<&'static dyn ProbeKind> {
    PROBES.iter().find(|p| p.name() == name).copied()
}

/// Indicates that a probe cannot be used as configured.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HealthError {
    /// No probe has this name.
    #[error("no probe '{name}'; there are: {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// All names.
        known: String,
    },
    /// The metrics provider cannot be used as configured.
    #[error("metrics {source_name}: {reason}")]
    Metrics {
        /// Name of the source.
        source_name: String,
        /// What is wrong.
        reason: String,
    },
    /// The options cannot be used.
    #[error("check {check}: {reason}")]
    Options {
        /// The check.
        check: String,
        /// What is wrong.
        reason: String,
    },
}

/// What a probe is made with.
#[derive(Clone, Copy)]
pub struct Binding<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// Where requests are counted, if anywhere.
    pub source: Option<&'a Arc<dyn Source>>,
}

/// Whom to look at.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    /// Facts about the side.
    pub workload: &'a Workload,
    /// Its pods as objects.
    pub pods: &'a [LivePod],
    /// The Service of both sides, where known.
    pub service: Option<&'a core::Service>,
    /// When the run began.
    pub started: Timestamp,
    /// The moment of the look: what is asked of one server is asked for it.
    pub at: Timestamp,
    /// The names of the release, and which side this is.
    pub facts: Facts<'a>,
}

/// A kind of probe: an entry of [`PROBES`].
pub trait ProbeKind: Sync {
    /// Returns its name in configuration.
    fn name(&self) -> &'static str;

    /// Returns one line for `--help`.
    fn about(&self) -> &'static str;

    /// Reads a check from configuration; unknown keys are errors.
    fn check(
        &self,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<CheckSpec, erased_serde::Error>;

    /// Returns the JSON Schema of its options.
    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema;

    /// Returns what a check with these options asks outside the pods, by addresses as they are written.
    fn targets(&self, options: &serde_json::Value) -> Vec<web::Target> {
        let _ = options;
        Vec::new()
    }

    /// Returns whether a check with these options asks nothing but the release's own objects, so that a
    /// record in the cluster may say what it asks. Not unless the kind says so.
    fn asks_only_the_release(&self, options: &serde_json::Value) -> bool {
        let _ = options;
        false
    }

    /// Makes the probe of a check.
    fn bind(&self, spec: &CheckSpec, binding: &Binding<'_>) -> Result<Box<dyn Probe>, HealthError>;
}

/// A probe of one check.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Looks at every pod of a side; one reading at least for each.
    async fn look(&self, look: &Look<'_>) -> Vec<Reading>;

    /// Returns what a look does besides looking, such as `it sends POST`; `None` when a look changes
    /// nothing, so that it can be tried at any time.
    fn effect(&self) -> Option<String> {
        None
    }

    /// Returns what people should know of the check though it works.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What the checks of a plan observe with.
#[derive(Default)]
pub struct Probes {
    /// A probe for each check, by the check's name.
    pub probes: BTreeMap<String, Box<dyn Probe>>,
    /// Where requests are counted.
    pub source: Option<Arc<dyn Source>>,
    /// What is not evaluated here, by name: this process was not given what it asks.
    pub withheld: Vec<String>,
}

impl Probes {
    /// Returns the probe of a check; where none was made of it, one without an answer.
    pub fn of(&self, check: &CheckSpec) -> &dyn Probe {
        let made = self.probes.get(&check.name);
        made.map_or(&withheld::Withheld, |probe| probe.as_ref())
    }
}

/// Returns the canary's numbers beside the mean of stable's.
pub fn beside(canary: Vec<Reading>, stable: &[Reading]) -> Vec<Reading> {
    let number = |reading: &Reading| {
        if let Sample::Number(number) = reading.sample {
            Some(number).filter(|number| number.is_finite())
        } else {
            None
        }
    };
    let all: Vec<f64> = stable.iter().filter_map(number).collect();
    #[expect(clippy::cast_precision_loss, reason = "pods are few")]
    let mean = (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64);
    let pair = |reading: Reading| match number(&reading) {
        Some(canary) => Reading {
            sample: Sample::Numbers {
                canary,
                stable: mean,
            },
            ..reading
        },
        None => reading,
    };
    canary.into_iter().map(pair).collect()
}

/// Makes the probe of a check, by its name.
pub fn bind(spec: &CheckSpec, binding: &Binding<'_>) -> Result<Box<dyn Probe>, HealthError> {
    let kind = probe(&spec.probe).ok_or_else(|| {
        let known: Vec<&str> = PROBES.iter().map(|p| p.name()).collect();
        HealthError::Unknown {
            name: spec.probe.clone(),
            known: known.join(", "),
        }
    })?;
    kind.bind(spec, binding)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::domain::plan::{Cleanup, OnTrouble, Plan, Promotion, Strategy};

    /// A plan without steps and checks.
    pub(super) fn plan() -> Plan {
        Plan {
            steps: Vec::new(),
            checks: Vec::new(),
            metrics: None,
            load: None,
            interval: Duration::from_secs(10),
            brake: false,
            warmup: Duration::ZERO,
            patient: false,
            on_unknown: OnTrouble::Hold,
            on_unknown_unset: false,
            on_failure: OnTrouble::Rollback,
            on_interrupt: OnTrouble::Rollback,
            promote: Promotion {
                strategy: Strategy::Template,
                canary: Cleanup::ScaleDown,
                auto: true,
            },
            drain: Duration::ZERO,
            ready_timeout: Duration::ZERO,
            promote_timeout: Duration::ZERO,
        }
    }
}
