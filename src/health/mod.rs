//! Observing health: the seam, and the table of probes.
//!
//! Owns: what a probe must be able to do, and which there are. Must not: judge (that is
//! `domain::judge`) or act. A new probe is one file here and one line in [`PROBES`]. What cannot be
//! observed is reported as missing, with the reason; it is never left out.

pub mod cel;
pub mod http;
pub mod load;
pub mod pods;

use async_trait::async_trait;
use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;

use crate::{
    cluster::{Cluster, pods::LivePod},
    domain::{
        check::{CheckSpec, Reading},
        workload::Workload,
    },
};

/// Every probe.
pub const PROBES: &[&dyn ProbeKind] = &[&pods::Pods, &http::Http];

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
    /// The options cannot be used.
    #[error("check {check}: {reason}")]
    Options {
        /// The check.
        check: String,
        /// What is wrong.
        reason: String,
    },
}

/// Whom to look at.
pub struct Look<'a> {
    /// Facts about the side.
    pub workload: &'a Workload,
    /// Its pods as objects.
    pub pods: &'a [LivePod],
    /// The Service of both sides, where known.
    pub service: Option<&'a core::Service>,
    /// When the run began.
    pub started: Timestamp,
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

    /// Makes the probe of a check.
    fn bind(&self, spec: &CheckSpec, cluster: &Cluster) -> Result<Box<dyn Probe>, HealthError>;
}

/// A probe of one check.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Looks at every pod of a side; one reading at least for each.
    async fn look(&self, look: &Look<'_>) -> Vec<Reading>;
}

/// Makes the probe of a check, by its name.
pub fn bind(spec: &CheckSpec, cluster: &Cluster) -> Result<Box<dyn Probe>, HealthError> {
    let kind = probe(&spec.probe).ok_or_else(|| {
        let known: Vec<&str> = PROBES.iter().map(|p| p.name()).collect();
        HealthError::Unknown {
            name: spec.probe.clone(),
            known: known.join(", "),
        }
    })?;
    kind.bind(spec, cluster)
}
