//! CPU and memory of every pod, against its limits and against stable.
//!
//! Owns: the options of such a check, and what a measurement of `metrics.k8s.io` means for a pod. Must
//! not: take a pod that is not measured, or a container without a limit, for one in order; judge.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Binding, HealthError, Look, Probe, ProbeKind};
use crate::{
    cluster::{
        Cluster, ClusterError, Reason,
        pods::LivePod,
        quantity,
        usage::{ContainerUsage, PodUsage},
    },
    domain::{
        check::{CheckSpec, Number, Reading, Rule, Sample, Severity},
        options,
        plan::OnTrouble,
        unit::Unit,
        verdict::Unknown,
    },
};

/// Failing evaluations in a row before the verdict is unhealthy, unless configured: at the usual interval
/// they span more than one measurement of a metrics-server, which takes one every 15 s.
const CONSECUTIVE: u32 = 3;

/// Seconds after which a measurement says nothing of now.
const STALE: f64 = 300.0;

/// The check.
pub struct Saturation;

/// Options of `saturation`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "SaturationOptions")]
struct Options {
    /// Name of the check; the resource unless given.
    #[serde(default)]
    name: Option<String>,
    /// What is measured.
    resource: Resource,
    /// Highest good use: a share of the limit such as `90%` (of a pod's containers the fullest counts), or
    /// an amount for the whole pod such as `400Mi` or `500m`.
    #[serde(default)]
    max: Option<String>,
    /// Highest good multiple of the mean of stable's pods, such as `1.5`; of the share where `max` is one.
    #[serde(default)]
    max_ratio: Option<f64>,
    /// Failing evaluations in a row before the verdict is unhealthy; default: 3.
    #[serde(default)]
    consecutive: Option<u32>,
    /// What an unhealthy verdict does.
    #[serde(default)]
    severity: Severity,
    /// What happens when a step ends and the check does not know; default: as the plan says.
    #[serde(default)]
    on_unknown: Option<OnTrouble>,
}

/// What a container uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Resource {
    /// Memory that cannot be taken back (the working set).
    Memory,
    /// CPU, on average over the window of the measurement.
    Cpu,
}

/// A highest good use.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Most {
    /// Of the limit; in (0, 1).
    Share(f64),
    /// Of the pod, in bytes or cores; above 0.
    Amount(f64),
}

impl ProbeKind for Saturation {
    fn name(&self) -> &'static str {
        "saturation"
    }

    fn about(&self) -> &'static str {
        "CPU or memory of every pod, against its limits and stable's; needs metrics-server"
    }

    fn check(
        &self,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<CheckSpec, erased_serde::Error> {
        use serde::de::Error as _;
        let options: Options = erased_serde::deserialize(from)?;
        let rule = options.rule().map_err(erased_serde::Error::custom)?;
        Ok(CheckSpec {
            name: options
                .name
                .clone()
                .unwrap_or_else(|| options.resource.word().to_owned()),
            probe: self.name().to_owned(),
            rule: Rule::Number(rule),
            severity: options.severity,
            on_unknown: options.on_unknown,
            pre: false,
            options: serde_json::to_value(options).map_err(erased_serde::Error::custom)?,
        })
    }

    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<Options>()
    }

    fn asks_only_the_release(&self, _: &serde_json::Value) -> bool {
        true
    }

    fn bind(&self, spec: &CheckSpec, binding: &Binding<'_>) -> Result<Box<dyn Probe>, HealthError> {
        let measure = || -> Result<Measure, String> {
            let options: Options = options::read(&spec.options)?;
            Ok(Measure {
                resource: options.resource,
                of_limit: matches!(options.most()?, Some(Most::Share(_))),
            })
        };
        let measure = measure().map_err(|reason| HealthError::Options {
            check: spec.name.clone(),
            reason,
        })?;
        Ok(Box::new(Meter {
            cluster: binding.cluster.clone(),
            measure,
        }))
    }
}

// === impl Options ===

impl Options {
    fn most(&self) -> Result<Option<Most>, String> {
        self.max
            .as_deref()
            .map(|text| self.resource.most(text))
            .transpose()
    }

    /// Returns how the numbers are judged; an error names the option.
    fn rule(&self) -> Result<Number, String> {
        let most = self.most()?;
        if most.is_none() && self.max_ratio.is_none() {
            return Err("give a limit: max or maxRatio".to_owned());
        }
        if self
            .max_ratio
            .is_some_and(|ratio| !(ratio.is_finite() && ratio > 0.0))
        {
            return Err("maxRatio must be above 0, such as 1.5".to_owned());
        }
        let (max, unit) = match most {
            Some(Most::Share(share)) => (Some(share), Unit::Share),
            Some(Most::Amount(amount)) => (Some(amount), self.resource.unit()),
            None => (None, self.resource.unit()),
        };
        Ok(Number {
            max,
            max_ratio: self.max_ratio,
            consecutive: self.consecutive.unwrap_or(CONSECUTIVE).max(1),
            unit,
            ..Number::default()
        })
    }
}

// === impl Resource ===

impl Resource {
    fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
        }
    }

    fn unit(self) -> Unit {
        match self {
            Self::Memory => Unit::Bytes,
            Self::Cpu => Unit::Cores,
        }
    }

    /// Returns an amount that could be meant, for people.
    fn example(self) -> &'static str {
        match self {
            Self::Memory => "400Mi",
            Self::Cpu => "500m",
        }
    }

    /// Reads a highest good use. A bare number is refused: `0.9` may be meant as a share or as cores.
    fn most(self, text: &str) -> Result<Most, String> {
        let wrong = |why: &str| {
            let example = self.example();
            Err(format!(
                "max: '{text}' {why}: write a share of the limit such as 90%, or an amount such as {example}"
            ))
        };
        let text = text.trim();
        if let Some(percent) = text.strip_suffix('%') {
            return match percent.trim().parse::<f64>() {
                Ok(percent) if percent > 0.0 && percent < 100.0 => Ok(Most::Share(percent / 100.0)),
                Ok(_) => wrong("is not between 0% and 100%"),
                Err(_) => wrong("is not a number"),
            };
        }
        match quantity::amount(text) {
            Some(_) if text.parse::<f64>().is_ok() => wrong("has no unit"),
            Some(amount) if amount > 0.0 => Ok(Most::Amount(amount)),
            Some(_) => wrong("is not above 0"),
            None => wrong("is not an amount"),
        }
    }
}

// === looking ===

struct Meter {
    cluster: Cluster,
    measure: Measure,
}

/// What is asked of a pod.
#[derive(Debug, Clone, Copy)]
struct Measure {
    resource: Resource,
    /// Whether it is a share of the limit.
    of_limit: bool,
}

#[async_trait]
impl Probe for Meter {
    async fn look(&self, look: &Look<'_>) -> Vec<Reading> {
        let ready = |pod: &&LivePod| {
            let name = pod.name();
            look.workload.pods.iter().any(|p| p.name == name && p.ready)
        };
        let pods: Vec<&LivePod> = look.pods.iter().filter(ready).collect();
        if pods.is_empty() {
            return Vec::new();
        }
        let measured = self.cluster.pod_usage(&shared_labels(&pods)).await;
        let now = self.cluster.clock().now();
        let reading = |pod: &&LivePod| Reading {
            subject: pod.name().to_owned(),
            sample: match &measured {
                Ok(measured) => self.measure.sample(pod, measured.get(pod.name()), now),
                Err(error) => refused(error),
            },
        };
        pods.iter().map(reading).collect()
    }
}

/// Returns the labels that all of the pods have with the same values.
fn shared_labels<'a>(pods: &[&'a LivePod]) -> BTreeMap<&'a str, &'a str> {
    let Some((first, others)) = pods.split_first() else {
        return BTreeMap::new();
    };
    let all = first.metadata.labels.iter();
    let shared = |(key, value): &(&String, &String)| {
        others
            .iter()
            .all(|pod| pod.metadata.labels.get(*key) == Some(*value))
    };
    all.filter(shared)
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

/// Says why nothing could be read.
fn refused(error: &ClusterError) -> Sample {
    let text = match error.reason {
        Reason::NotServed | Reason::NotFound => {
            "the cluster does not serve metrics.k8s.io: metrics-server is missing".to_owned()
        }
        Reason::Forbidden => {
            format!(
                "permission to list pods.metrics.k8s.io is missing: {}",
                error.detail
            )
        }
        Reason::Unavailable => {
            format!("metrics-server does not answer: {}", error.detail)
        }
        Reason::Unauthorized
        | Reason::Conflict
        | Reason::Exists
        | Reason::Invalid
        | Reason::Throttled
        | Reason::Transport
        | Reason::Timeout
        | Reason::Garbled => error.to_string(),
    };
    Sample::Missing(Unknown::SourceDown, text)
}

impl Measure {
    fn sample(self, pod: &LivePod, measured: Option<&PodUsage>, now: Timestamp) -> Sample {
        match self.number(pod, measured, now) {
            Ok(number) => Sample::Number(number),
            Err((why, text)) => Sample::Missing(why, text),
        }
    }

    fn number(
        self,
        pod: &LivePod,
        measured: Option<&PodUsage>,
        now: Timestamp,
    ) -> Result<f64, (Unknown, String)> {
        let no_data = |text: String| (Unknown::NoData, text);
        let measured = measured.ok_or_else(|| {
            no_data("not measured yet; that takes up to a minute from its start on".to_owned())
        })?;
        let age = measured
            .timestamp
            .map(|at| now.duration_since(at).as_secs_f64());
        match age {
            None => {
                return Err(no_data("PodMetrics has no timestamp".to_owned()));
            }
            Some(age) if age > STALE => {
                return Err(no_data(format!(
                    "measured {age:.0} s ago for the last time"
                )));
            }
            Some(_) => {}
        }
        let mut sum = 0.0;
        let mut fullest = 0.0_f64;
        for container in pod.running() {
            let name = &container.name;
            let found = measured.containers.iter().find(|c| c.name == *name);
            let used = found.and_then(|c| self.used(c)).ok_or_else(|| {
                let word = self.resource.word();
                no_data(format!("{word} of container {name} is not measured"))
            })?;
            sum += used;
            if self.of_limit {
                let limit = container.resources.limits.get(self.resource.word());
                let limit = limit.and_then(quantity::of).filter(|limit| *limit > 0.0);
                fullest = fullest.max(used / limit.ok_or_else(|| self.unlimited(name))?);
            }
        }
        Ok(if self.of_limit { fullest } else { sum })
    }

    fn used(self, container: &ContainerUsage) -> Option<f64> {
        let text = container.usage.get(self.resource.word())?;
        quantity::amount(text).filter(|amount| *amount >= 0.0)
    }

    fn unlimited(self, container: &str) -> (Unknown, String) {
        let (word, example) = (self.resource.word(), self.resource.example());
        let text = format!(
            "container {container} has no {word} limit to be a share of; give it one, or the check a max such as {example}"
        );
        (Unknown::Query, text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parsed(options: Value) -> Result<CheckSpec, String> {
        let mut from = <dyn erased_serde::Deserializer<'_>>::erase(options);
        Saturation
            .check(&mut from)
            .map_err(|error| error.to_string())
    }

    fn number(options: Value) -> Number {
        let Rule::Number(number) = parsed(options).unwrap().rule else {
            panic!("not a number");
        };
        number
    }

    #[test]
    fn a_limit_is_a_share_or_an_amount_with_its_unit() {
        let share = number(json!({"resource": "memory", "max": "90%"}));
        assert_eq!(
            (share.max, share.unit, share.consecutive),
            (Some(0.9), Unit::Share, 3)
        );
        let memory = number(json!({"resource": "memory", "max": "400Mi", "consecutive": 0}));
        assert_eq!(
            (memory.max, memory.unit),
            (Some(419_430_400.0), Unit::Bytes)
        );
        assert_eq!(memory.consecutive, 1);
        let cpu = number(json!({"resource": "cpu", "max": "500m", "maxRatio": 1.5}));
        assert_eq!(
            (cpu.max, cpu.max_ratio, cpu.unit),
            (Some(0.5), Some(1.5), Unit::Cores)
        );
        let spec = parsed(json!({"resource": "cpu", "maxRatio": 2})).unwrap();
        assert_eq!(
            (spec.name.as_str(), spec.rule.judges_state()),
            ("cpu", false)
        );
    }

    #[test]
    fn what_may_be_meant_in_two_ways_is_refused() {
        for (options, said) in [
            (json!({"resource": "cpu", "max": "0.9"}), "has no unit"),
            (json!({"resource": "memory", "max": "400"}), "has no unit"),
            (json!({"resource": "memory", "max": "1e9"}), "has no unit"),
            (
                json!({"resource": "memory", "max": "100%"}),
                "between 0% and 100%",
            ),
            (
                json!({"resource": "memory", "max": "-5%"}),
                "between 0% and 100%",
            ),
            (
                json!({"resource": "memory", "max": "NaN%"}),
                "between 0% and 100%",
            ),
            (
                json!({"resource": "memory", "max": "much%"}),
                "not a number",
            ),
            (
                json!({"resource": "memory", "max": "400MB"}),
                "not an amount",
            ),
            (json!({"resource": "cpu", "max": "-5m"}), "not above 0"),
            (json!({"resource": "cpu"}), "max or maxRatio"),
            (json!({"resource": "cpu", "maxRatio": 0}), "above 0"),
            (json!({"resource": "disk", "max": "9%"}), "disk"),
            (json!({"max": "9%"}), "resource"),
        ] {
            let error = parsed(options.clone()).unwrap_err();
            assert!(error.contains(said), "{options}: {error}");
        }
    }

    fn pod(containers: &Value) -> LivePod {
        let spec = json!({
            "containers": containers,
            "initContainers": [
                {"name": "setup"},
                {"name": "proxy", "restartPolicy": "Always", "resources": {"limits": {"memory": "100Mi", "cpu": "1"}}},
            ],
        });
        serde_json::from_value(json!({"metadata": {"name": "web-1"}, "spec": spec})).unwrap()
    }

    fn seen(measure: Measure, pod: &LivePod, containers: &Value) -> Result<f64, (Unknown, String)> {
        let measured = json!({"timestamp": "2026-01-05T09:00:00Z", "containers": containers});
        let measured: PodUsage = serde_json::from_value(measured).unwrap();
        let now = "2026-01-05T09:00:20Z".parse().unwrap();
        measure.number(pod, Some(&measured), now)
    }

    const OF_LIMIT: Measure = Measure {
        resource: Resource::Memory,
        of_limit: true,
    };
    const OF_POD: Measure = Measure {
        of_limit: false,
        ..OF_LIMIT
    };

    #[test]
    fn the_fullest_container_counts_of_a_share_and_the_sum_of_an_amount() {
        let pod = pod(&json!([
            {"name": "web", "resources": {"limits": {"memory": "200Mi"}, "requests": {"memory": "1Mi"}}},
        ]));
        let used = json!([
            {"name": "web", "usage": {"memory": "100Mi", "cpu": "100m"}},
            {"name": "proxy", "usage": {"memory": "76800Ki", "cpu": "50000000n"}},
        ]);
        assert_eq!(seen(OF_LIMIT, &pod, &used), Ok(0.75));
        assert_eq!(seen(OF_POD, &pod, &used), Ok(175.0 * 1_048_576.0));
        let cpu = Measure {
            resource: Resource::Cpu,
            of_limit: false,
        };
        let cores = seen(cpu, &pod, &used).unwrap();
        assert!((cores - 0.15).abs() < 1e-9, "{cores}");
    }

    #[test]
    fn what_is_not_measured_or_not_limited_is_unknown() {
        let limited = pod(&json!([{"name": "web", "resources": {"limits": {"memory": "200Mi"}}}]));
        let full = |memory: Value| -> Value {
            json!([
                {"name": "web", "usage": {"memory": memory}},
                {"name": "proxy", "usage": {"memory": "1Mi"}},
            ])
        };
        for (containers, said) in [
            (json!([]), "container web is not measured"),
            (json!(null), "container web is not measured"),
            (
                json!([{"name": "web", "usage": {"memory": "1Mi"}}]),
                "container proxy is not",
            ),
            (
                json!([{"name": "web", "usage": {"cpu": "1"}}]),
                "container web is not",
            ),
            (full(json!("NaN")), "container web is not"),
            (full(json!("")), "container web is not"),
            (full(json!("-1Mi")), "container web is not"),
        ] {
            let (why, text) = seen(OF_LIMIT, &limited, &containers).unwrap_err();
            assert_eq!(why, Unknown::NoData, "{containers}");
            assert!(text.contains(said), "{containers}: {text}");
        }
        let now = "2026-01-05T09:00:20Z".parse().unwrap();
        let (why, text) = OF_POD.number(&limited, None, now).unwrap_err();
        assert_eq!(why, Unknown::NoData);
        assert!(text.contains("not measured yet"), "{text}");
        for limits in [
            json!({}),
            json!(null),
            json!({"memory": "0"}),
            json!({"cpu": "1"}),
        ] {
            let unlimited = pod(&json!([{"name": "web", "resources": {"limits": limits}}]));
            let (why, text) = seen(OF_LIMIT, &unlimited, &full(json!("1Mi"))).unwrap_err();
            assert_eq!(why, Unknown::Query, "{text}");
            assert!(text.contains("container web has no memory limit"), "{text}");
            assert!(seen(OF_POD, &unlimited, &full(json!("1Mi"))).is_ok());
        }
    }

    #[test]
    fn an_old_measurement_says_nothing_of_now() {
        let pod = pod(&json!([{"name": "web"}]));
        for (at, said) in [
            (json!("2026-01-05T08:00:00Z"), "3600 s ago"),
            (json!(null), "no timestamp"),
        ] {
            let measured = json!({"timestamp": at, "containers": []});
            let measured: PodUsage = serde_json::from_value(measured).unwrap();
            let now = "2026-01-05T09:00:00Z".parse().unwrap();
            let (why, text) = OF_POD.number(&pod, Some(&measured), now).unwrap_err();
            assert_eq!(why, Unknown::NoData);
            assert!(text.contains(said), "{text}");
        }
    }

    #[test]
    fn pods_are_asked_by_the_labels_they_share() {
        let pod = |hash: &str| -> LivePod {
            let labels = json!({"app": "web", "track": "canary", "pod-template-hash": hash});
            serde_json::from_value(json!({"metadata": {"labels": labels}})).unwrap()
        };
        let (a, b) = (pod("a"), pod("b"));
        let shared = shared_labels(&[&a, &b]);
        assert_eq!(
            shared,
            BTreeMap::from([("app", "web"), ("track", "canary")])
        );
        assert_eq!(shared_labels(&[&a]).len(), 3);
    }
}
