//! The state of the pods themselves, from what Kubernetes says of them.
//!
//! Owns: which states are fatal, which are trouble that often passes. Must not: ask the pods.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Binding, HealthError, Look, Probe, ProbeKind};
use crate::domain::{
    check::{CheckSpec, Reading, Rule, Sample, Severity},
    workload::Pod,
};

/// Restarts of canary pods allowed during a run, unless configured.
const MAX_RESTARTS: u32 = 3;

/// Reasons that do not pass by themselves.
const FATAL: [&str; 5] = [
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerError",
    "RunContainerError",
];

/// Reasons that often pass: a registry that hiccups, a Secret that arrives a moment later.
const TROUBLE: [&str; 3] = [
    "ErrImagePull",
    "CreateContainerConfigError",
    "ErrImageNeverPull",
];

/// The probe of pods.
pub struct Pods;

/// Options of the check.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Options {
    /// Name of the check.
    name: String,
    /// Restarts of all canary pods together that are still fine; counted from the start of the run,
    /// and for a new pod from when it was first ready.
    max_restarts: u32,
    /// What an unhealthy verdict does.
    severity: Severity,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "pods".to_owned(),
            max_restarts: MAX_RESTARTS,
            severity: Severity::Rollback,
        }
    }
}

/// Returns the check that is on unless configured otherwise.
pub fn default_check() -> CheckSpec {
    spec(Options::default())
}

fn spec(options: Options) -> CheckSpec {
    CheckSpec {
        name: options.name.clone(),
        probe: "pods".to_owned(),
        rule: Rule::Pods {
            max_restarts: options.max_restarts,
        },
        severity: options.severity,
        on_unknown: None,
        pre: false,
        options: serde_json::to_value(options).unwrap_or_default(),
    }
}

impl ProbeKind for Pods {
    fn name(&self) -> &'static str {
        "pods"
    }

    fn about(&self) -> &'static str {
        "pods ready, few restarts, nothing crashing or failing to start"
    }

    fn check(
        &self,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<CheckSpec, erased_serde::Error> {
        erased_serde::deserialize(from).map(spec)
    }

    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<Options>()
    }

    fn asks_only_the_release(&self, _: &serde_json::Value) -> bool {
        true
    }

    fn bind(&self, _: &CheckSpec, _: &Binding<'_>) -> Result<Box<dyn Probe>, HealthError> {
        Ok(Box::new(Self))
    }
}

#[async_trait]
impl Probe for Pods {
    async fn look(&self, look: &Look<'_>) -> Vec<Reading> {
        let workload = look.workload;
        let about = |subject: &str, sample| Reading {
            subject: subject.to_owned(),
            sample,
        };
        let mut readings: Vec<Reading> = workload
            .pods
            .iter()
            .filter(|pod| pod.current && !pod.terminating)
            .flat_map(|pod| {
                samples(pod)
                    .into_iter()
                    .map(|sample| about(&pod.name, sample))
            })
            .collect();
        if let Some(stalled) = &workload.stalled {
            let text = format!("progress deadline exceeded: {stalled}");
            readings.push(about(&workload.name, Sample::Fatal(text)));
        }
        if let Some(refused) = &workload.refused {
            let text = format!("pods refused: {refused}");
            readings.push(about(&workload.name, Sample::Troubled(text)));
        }
        readings
    }
}

fn samples(pod: &Pod) -> Vec<Sample> {
    let mut samples = vec![Sample::Pod {
        ready: pod.ready,
        restarts: pod.restarts,
        created: pod.created,
        ended: pod.last_end.clone(),
    }];
    for (container, reason, message) in &pod.waiting {
        let why = match pod.last_end.as_deref() {
            Some("OOMKilled") => "OOMKilled, out of memory",
            _ => message.as_str(),
        };
        let text = format!(
            "{container} {reason}{}{why}",
            if why.is_empty() { "" } else { ": " }
        );
        if FATAL.contains(&reason.as_str()) {
            samples.push(Sample::Fatal(text));
        } else if TROUBLE.contains(&reason.as_str()) {
            samples.push(Sample::Troubled(text));
        }
    }
    if let Some(why) = &pod.unschedulable {
        samples.push(Sample::Pending(format!("unschedulable: {why}")));
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(reason: &str) -> Pod {
        Pod {
            name: "p".into(),
            ready: false,
            ready_since: None,
            terminating: false,
            current: true,
            created: jiff::Timestamp::UNIX_EPOCH,
            restarts: 2,
            waiting: vec![("app".into(), reason.into(), "why".into())],
            last_end: None,
            probed: None,
            unschedulable: None,
        }
    }

    #[test]
    fn a_crash_loop_and_a_missing_image_are_fatal() {
        for reason in ["CrashLoopBackOff", "ImagePullBackOff"] {
            let samples = samples(&pod(reason));
            assert_eq!(samples[1], Sample::Fatal(format!("app {reason}: why")));
        }
    }

    #[test]
    fn a_failed_pull_may_pass() {
        for reason in ["ErrImagePull", "CreateContainerConfigError"] {
            assert_eq!(
                samples(&pod(reason))[1],
                Sample::Troubled(format!("app {reason}: why"))
            );
        }
    }

    #[test]
    fn a_container_that_is_being_created_is_no_trouble() {
        assert_eq!(samples(&pod("ContainerCreating")).len(), 1);
    }

    #[test]
    fn out_of_memory_is_named() {
        let mut killed = pod("CrashLoopBackOff");
        killed.last_end = Some("OOMKilled".into());
        let samples = samples(&killed);
        assert!(matches!(&samples[1], Sample::Fatal(text) if text.contains("OOMKilled")));
    }
}
