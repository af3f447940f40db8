//! Where requests are counted: the seam, and the table of sources.
//!
//! Owns: what a metrics provider must be able to do, and which there are. Must not: judge, or turn
//! counters into rates. A new source is one file and one line in [`SOURCES`]. What cannot be counted is
//! reported as missing, with the reason.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::Value;

use super::{
    HealthError, Look,
    prometheus::Prometheus,
    requests,
    scrape::{self, Scrape},
    suggestion::Search,
    web::Target,
};
use crate::{
    cluster::{Cluster, pods::LivePod},
    domain::{
        check::{CheckSpec, Reading, Rule, Sample},
        plan::MetricsSpec,
        verdict::Unknown,
    },
};

/// Every source.
pub const SOURCES: &[&dyn SourceKind] = &[&Prometheus, &Scrape];

/// Returns a kind of source by name.
pub fn kind(name: &str) -> Option<&'static dyn SourceKind> {
    SOURCES.iter().find(|s| s.name() == name).copied()
}

/// A kind of source: an entry of [`SOURCES`].
pub trait SourceKind: Sync {
    /// Returns its name in configuration.
    fn name(&self) -> &'static str;

    /// Returns one line for `--help`.
    fn about(&self) -> &'static str;

    /// Reads and checks its options; unknown keys are errors.
    fn options(
        &self,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<Value, erased_serde::Error>;

    /// Returns the JSON Schema of its options.
    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema;

    /// Returns the check as this source can answer it; usually as it is. The error says why it cannot.
    fn fit(&self, options: &Value, check: CheckSpec) -> Result<CheckSpec, String> {
        let _ = options;
        Ok(check)
    }

    /// Returns what is asked outside the pods with these options.
    fn targets(&self, options: &Value) -> Vec<Target> {
        let _ = options;
        Vec::new()
    }

    /// Returns whether nothing but the release's own pods is asked with these options, so that a record in
    /// the cluster may say them. Not unless the kind says so.
    fn asks_only_the_release(&self, options: &Value) -> bool {
        let _ = options;
        false
    }

    /// Returns whether the release's pods may be asked beside the source with these options.
    fn asks_pods(&self, options: &Value) -> bool {
        let _ = options;
        false
    }

    /// Makes the source; nothing is asked yet. The error names the option that cannot be used.
    fn bind(&self, options: &Value, cluster: &Cluster) -> Result<Arc<dyn Source>, String>;
}

/// Both sides of a release, looked at together.
#[derive(Clone, Copy)]
pub struct Sides<'a> {
    /// Stable.
    pub stable: Look<'a>,
    /// The canary; without pods where there is none yet.
    pub canary: Look<'a>,
}

/// A metrics provider.
#[async_trait]
pub trait Source: Send + Sync {
    /// Counts the requests to one side: totals of each pod (or of all, without a name), since the pods
    /// began; with histograms where `latency` is asked.
    async fn count(&self, look: &Look<'_>, latency: bool) -> Vec<Reading>;

    /// Returns the number that a query gives for one side, in the source's own language.
    async fn value(&self, query: &str, look: &Look<'_>) -> Sample {
        let _ = (query, look);
        let text = "this metrics provider answers no queries; use `metrics: {prometheus: …}`";
        Sample::Missing(Unknown::Query, text.to_owned())
    }

    /// Returns how long what happens may take to be seen.
    fn lag(&self) -> Duration {
        Duration::ZERO
    }

    /// Returns the same counters as the pods themselves show them at this moment, where this source shows them later;
    /// only of pods that say they have a page of metrics.
    fn at_pods(&self) -> Option<&dyn Source> {
        None
    }

    /// Returns where it is asked, for people; without credentials.
    fn place(&self) -> String;

    /// Returns what people should know of it though it works.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns how it counts with its options, in words such as `preset http with selector pod`.
    fn manner(&self) -> String;

    /// Returns whether what a check asks follows from the source's options, so that others may fix it.
    fn shapes(&self, check: &CheckSpec) -> bool {
        check.rule.counts()
    }

    /// Returns how many series are counted for both sides at once, which must be none. The error says
    /// why that is not known.
    async fn shared(&self, sides: &Sides<'_>) -> Result<u64, String> {
        let _ = sides;
        Ok(0)
    }

    /// Looks for other options with which stable's requests are counted, within some seconds; `None`
    /// where there are no others. Is to be asked only where the source answers, but counts nothing.
    async fn search(&self, sides: &Sides<'_>) -> Option<Search> {
        let _ = sides;
        None
    }
}

/// What was found to count requests with, though nobody said so.
#[derive(Debug, Clone, PartialEq)]
pub struct Discovered {
    /// The source.
    pub metrics: MetricsSpec,
    /// The checks that it has data for, with their usual limits.
    pub checks: Vec<CheckSpec>,
}

/// Asks one pod of `look` that says it has a page of metrics; `None` where no pod says so, or the page
/// counts no requests.
pub async fn discover(cluster: &Cluster, look: &Look<'_>) -> Option<Discovered> {
    let announced = |pod: &&LivePod| pod.is_ready() && scrape::is_announced(pod);
    let belongs = |pod: &&LivePod| look.workload.pods.iter().any(|p| p.name == pod.name());
    let pod = look.pods.iter().filter(announced).find(belongs)?;
    let one = Look {
        pods: std::slice::from_ref(pod),
        ..*look
    };
    let metrics = scrape::default_source();
    let source = bind(&metrics, cluster).ok()?;
    let readings = source.count(&one, true).await;
    let Sample::Totals { totals, .. } = &readings.first()?.sample else {
        return None;
    };
    let has_data = |check: &CheckSpec| {
        !matches!(check.rule, Rule::Latency { .. }) || !totals.buckets.is_empty()
    };
    let mut checks = requests::default_checks();
    checks.retain(has_data);
    Some(Discovered { metrics, checks })
}

/// Returns the checks of a plan as its metrics provider can answer them. The error names the check.
pub fn fitted(
    checks: Vec<CheckSpec>,
    metrics: Option<&MetricsSpec>,
) -> Result<Vec<CheckSpec>, HealthError> {
    let Some((spec, kind)) = metrics.and_then(|spec| Some((spec, kind(&spec.name)?))) else {
        return Ok(checks);
    };
    let fit = |check: CheckSpec| {
        let name = check.name.clone();
        kind.fit(&spec.options, check)
            .map_err(|reason| HealthError::Options {
                check: name,
                reason,
            })
    };
    checks.into_iter().map(fit).collect()
}

/// Makes the source of a plan.
pub fn bind(spec: &MetricsSpec, cluster: &Cluster) -> Result<Arc<dyn Source>, HealthError> {
    let fail = |reason: String| HealthError::Metrics {
        source_name: spec.name.clone(),
        reason,
    };
    let kind = kind(&spec.name).ok_or_else(|| {
        let known: Vec<&str> = SOURCES.iter().map(|s| s.name()).collect();
        fail(format!("no such source; there are: {}", known.join(", ")))
    })?;
    kind.bind(&spec.options, cluster).map_err(fail)
}
