//! Scenarios: what happens on the simulated cluster, as data.
//!
//! Owns: the format of a scenario, its parsing, the built-in ones, the objects of the payment API.
//! Must not: run anything, read files (callers pass text).

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::Value;

use crate::document::{self, Failure, Hints};

mod objects;
mod sources;
mod timeline;
mod units;

pub use objects::parse_objects;
use objects::{PAYMENT_API, monitored};
pub use sources::{Alert, Answering, Memory, Prometheus};
pub use timeline::{Action, Fault};
pub use units::{Bytes, Growth, Ratio, Span};

/// What to try with a text that is no scenario.
const HINTS: Hints = Hints {
    empty: "the least it needs is '{}'",
    second: "write the scenario as one document; objects belong into files beside it",
};

/// Names, one-line descriptions and texts of the built-in scenarios, in one place.
macro_rules! builtins {
    ($($name:literal: $about:literal,)*) => {
        const NAMES: &[(&str, &str)] = &[$(($name, $about)),*];
        const TEXTS: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("scenarios/", $name, ".yaml")))),*];
    };
}

builtins! {
    "healthy": "both versions work; the release should be promoted",
    "errors-at-25": "the canary fails a quarter of its requests once it gets more than 20 % of them",
    "slow": "the canary answers four times slower than stable",
    "crash-loop": "the canary's container exits 20 s after each start",
    "never-ready": "the canary's pods start but never pass their readiness probe",
    "image-missing": "new canary pods cannot pull their image",
    "config-missing": "the canary refers to a ConfigMap key that does not exist",
    "no-data": "the canary's metrics endpoint answers null",
    "flapping": "the canary fails for 40 s of every 3 minutes",
    "hpa-fights": "an autoscaler keeps changing the size of stable during the release",
    "oom": "the canary is killed for memory two to three minutes after each start",
    "late-errors": "the canary turns bad six minutes after its start",
    "quota": "the namespace's pod quota is full: new pods are refused",
    "low-traffic": "one request every five seconds: evidence is scarce",
    "metrics": "a Prometheus scrapes the pods; both versions work",
    "metrics-bad": "the same, but the canary is slower, fails more, leaks memory and raises an alert",
    "prometheus-down": "both versions work; Prometheus is gone from the third minute to the ninth",
}

/// Indicates that a scenario or its objects cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// The text is not a scenario.
    #[error("cannot read the scenario: {0}")]
    Text(Failure),
    /// The objects are not YAML documents of Kubernetes objects.
    #[error("cannot read the objects: {0}")]
    Objects(String),
    /// A value is outside its range or two values contradict each other.
    #[error("cannot use the scenario: {0}")]
    Value(String),
    /// An edit names an object that is not there, or does not apply to it.
    #[error("cannot apply the edit of {object}: {why}")]
    Edit {
        /// Kind and name of the object.
        object: String,
        /// What is wrong.
        why: String,
    },
    /// There is no built-in scenario of this name.
    #[error("no scenario is called \"{name}\"; there are {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// All names.
        known: String,
    },
}

/// A scenario: the objects, their users, how the versions behave, what happens when.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// What it shows, in a sentence.
    pub description: String,
    /// Seed of everything random, unless the caller gives another.
    pub seed: u64,
    /// Which objects it starts from.
    pub base: Base,
    /// Changes to the base objects.
    pub edits: Vec<Edit>,
    /// Further objects.
    pub objects: Vec<Value>,
    /// The users.
    pub traffic: Traffic,
    /// How the versions of the app behave; the first match counts, no match means healthy.
    pub versions: Vec<Version>,
    /// What happens when, measured from the start.
    pub faults: Vec<Fault>,
    /// Whether a metrics-server answers `metrics.k8s.io`.
    pub metrics_server: bool,
    /// What the pods with the image of Prometheus do.
    pub prometheus: Prometheus,
}

/// The objects a scenario starts from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Base {
    /// The built-in payment API.
    #[default]
    PaymentApi,
    /// The same, annotated to be scraped, and a Prometheus in the namespace `monitoring`.
    MonitoredPaymentApi,
    /// Nothing: the caller or `objects` provides them.
    None,
}

/// A JSON patch of one base object.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// Kind of the object.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// Operations of RFC 6902.
    pub patch: Value,
}

/// How the users behave.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Traffic {
    /// The Service they call, as `namespace/name`; by default the one that selects most pods.
    pub service: Option<String>,
    /// Requests per second, on average.
    pub rate: f64,
    /// A slow swing of the rate.
    pub wave: Option<Wave>,
    /// Short times of more requests.
    pub bursts: Vec<Burst>,
    /// CPU milliseconds a request costs its pod; drives autoscalers.
    pub cpu_per_request: f64,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            service: None,
            rate: 50.0,
            wave: None,
            bursts: Vec::new(),
            cpu_per_request: 15.0,
        }
    }
}

/// A sine on the request rate.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wave {
    /// Part of the rate by which it swings up and down.
    pub amplitude: Ratio,
    /// Length of one swing.
    pub period: Span,
}

/// A time of more requests.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Burst {
    /// Start, from the start of the scenario.
    pub at: Span,
    /// Length.
    pub lasts: Span,
    /// Factor on the rate.
    pub times: f64,
}

/// How one version of the app behaves.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Version {
    /// Whom this describes; all given parts must match.
    #[serde(rename = "match")]
    pub matches: Match,
    /// Requests it fails.
    pub errors: Errors,
    /// How long it takes.
    pub latency: Latency,
    /// Share of payments it calls fraud.
    pub fraud: Ratio,
    /// Time after the start of the container before it answers.
    pub start_delay: Span,
    /// Its readiness.
    pub ready: Readiness,
    /// How its container ends by itself.
    pub crash: Option<Crash>,
    /// Age of the container at which it hangs, so that its liveness probe fails.
    pub hang_after: Option<Span>,
    /// Time from SIGTERM until it has ended; 2 s by default, and the pod's grace period at most.
    pub stop: Option<Span>,
    /// Its image cannot be pulled.
    pub image_missing: bool,
    /// No node has room for it.
    pub unschedulable: bool,
    /// What GET /health answers instead of its usual body.
    pub health: Option<String>,
    /// What GET /metrics answers.
    pub metrics: Metrics,
    /// Memory of each container.
    pub memory: Memory,
}

/// Which pods a version describes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// Part of the image of a container.
    pub image: Option<String>,
    /// Labels of the pod.
    pub labels: BTreeMap<String, String>,
    /// Value of the variable `API_VERSION`.
    pub env: Option<String>,
}

/// Which requests fail with status 500.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Errors {
    /// Share that always fails.
    pub base: Ratio,
    /// Share that fails while all conditions below hold.
    pub rate: Ratio,
    /// Age of the container from which `rate` holds.
    pub after: Span,
    /// Share of the traffic above which `rate` holds.
    pub above: Option<Ratio>,
    /// With `lasts`: `rate` holds for the first part of each such period.
    pub every: Option<Span>,
    /// See `every`.
    pub lasts: Option<Span>,
    /// Share of the pods for which `rate` holds.
    pub pods: Option<Ratio>,
}

/// A lognormal distribution of response times.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Latency {
    /// Median.
    pub p50: Span,
    /// 99th percentile.
    pub p99: Span,
    /// Factor while the container is cold.
    pub cold: f64,
    /// Age until which it is cold.
    pub warm_after: Span,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            p50: Span(Duration::from_millis(80)),
            p99: Span(Duration::from_millis(300)),
            cold: 1.0,
            warm_after: Span::default(),
        }
    }
}

/// Whether the readiness probe passes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Readiness {
    /// It passes.
    #[default]
    Passes,
    /// It never passes.
    Never,
    /// It passes and fails by turns, a minute each.
    Flaps,
}

/// How a container ends by itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crash {
    /// Age at which it ends; varies by 20 % each way.
    pub after: Span,
    /// Share of the starts that end so.
    #[serde(default = "Ratio::whole")]
    pub chance: Ratio,
    /// Killed for memory (137) instead of exiting with 1.
    #[serde(default)]
    pub oom: bool,
}

/// What GET /metrics answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metrics {
    /// The counters, as JSON.
    #[default]
    Json,
    /// The counters, in Prometheus' text format.
    Prometheus,
    /// 404.
    Missing,
    /// The JSON value null.
    Null,
    /// Counters that are the bare word NaN, which is not JSON.
    Nan,
    /// An empty body.
    Empty,
}

impl Scenario {
    /// Returns the names of the built-in scenarios with one line about each.
    pub fn names() -> &'static [(&'static str, &'static str)] {
        NAMES
    }

    /// Returns a built-in scenario.
    pub fn builtin(name: &str) -> Result<Self, ScenarioError> {
        match TEXTS.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Self::parse(text),
            None => Err(ScenarioError::Unknown {
                name: name.to_owned(),
                known: NAMES.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// Returns the scenario written in a YAML text.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let tree = document::parse(text, HINTS).map_err(ScenarioError::Text)?;
        let scenario: Self = document::read(&tree).map_err(ScenarioError::Text)?;
        scenario.validate()?;
        Ok(scenario)
    }

    /// Returns the objects the scenario starts with: base, edits applied, further objects.
    pub fn objects(&self) -> Result<Vec<Value>, ScenarioError> {
        let mut objects = match self.base {
            Base::PaymentApi => parse_objects(PAYMENT_API)?,
            Base::MonitoredPaymentApi => monitored(parse_objects(PAYMENT_API)?)?,
            Base::None => Vec::new(),
        };
        objects.extend(self.objects.iter().cloned());
        self.edit(&mut objects)?;
        Ok(objects)
    }

    /// Applies the edits to objects that came from elsewhere.
    pub fn edit(&self, objects: &mut [Value]) -> Result<(), ScenarioError> {
        for edit in &self.edits {
            let fail = |why: String| ScenarioError::Edit {
                object: format!("{} {}", edit.kind, edit.name),
                why,
            };
            let target = objects
                .iter_mut()
                .find(|o| {
                    o["kind"] == edit.kind.as_str() && o["metadata"]["name"] == edit.name.as_str()
                })
                .ok_or_else(|| fail("there is no such object".to_owned()))?;
            let patch: json_patch::Patch =
                serde_json::from_value(edit.patch.clone()).map_err(|e| fail(e.to_string()))?;
            json_patch::patch(target, &patch).map_err(|e| fail(e.to_string()))?;
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), ScenarioError> {
        let refuse = |why: &str| Err(ScenarioError::Value(why.to_owned()));
        if !self.traffic.rate.is_finite() || self.traffic.rate < 0.0 {
            return refuse("traffic.rate must be a number of requests per second, 0 or more");
        }
        if self
            .traffic
            .bursts
            .iter()
            .any(|b| !b.times.is_finite() || b.times < 0.0)
        {
            return refuse("traffic.bursts: times must be 0 or more");
        }
        for version in &self.versions {
            if version.latency.p50.0.is_zero() || version.latency.p99 < version.latency.p50 {
                return refuse("latency: p50 must be more than 0 and p99 at least p50");
            }
            if version.errors.every.is_some() != version.errors.lasts.is_some() {
                return refuse("errors: every and lasts belong together");
            }
            if version.errors.every.is_some_and(|e| e.0.is_zero()) {
                return refuse("errors: every must be more than 0");
            }
        }
        self.prometheus.validate().or_else(refuse)?;
        let refuses = |fault: &Fault| matches!(fault.action, Action::Prometheus(Answering::Error(code)) if !(400..600).contains(&code));
        if self.faults.iter().any(refuses) {
            return refuse("faults: prometheus: error must be a status from 400 to 599");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_builtin_scenario_parses_and_has_objects() {
        for (name, about) in Scenario::names() {
            let scenario = Scenario::builtin(name).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(
                !about.is_empty() && !scenario.description.is_empty(),
                "{name}"
            );
            let objects = scenario.objects().unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(objects.len() >= 7, "{name}");
        }
    }

    #[test]
    fn an_unknown_scenario_lists_the_known_ones() {
        let error = Scenario::builtin("chaos").unwrap_err().to_string();
        assert!(error.contains("healthy, errors-at-25"), "{error}");
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_its_place() {
        for (text, wanted) in [
            (
                "descripton: x",
                "line 1: unknown key 'descripton'; did you mean 'description'?",
            ),
            (
                "seed: 1\nversions:\n  - errors: {rat: 5%}",
                "line 3: unknown key 'rat' in versions[0].errors; did you mean 'rate'?",
            ),
            (
                "versions:\n  - ready: maybe",
                "line 2: versions[0].ready: unknown value 'maybe'",
            ),
            (
                "faults:\n  - {at: 1m, do: {hpa-wants: {name: web, replicas: many}}}",
                "line 2: faults[0].do.hpa-wants.replicas: ",
            ),
            ("seed: [", "line 1: not valid YAML: "),
        ] {
            let error = Scenario::parse(text).unwrap_err().to_string();
            let wanted = format!("cannot read the scenario: {wanted}");
            assert!(error.starts_with(&wanted), "{text}: {error}");
        }
    }

    #[test]
    fn a_mistake_moves_no_cursor() {
        let text = r#"versions: [{latency: {p50: "\e[2J\nfine"}}]"#;
        let error = Scenario::parse(text).unwrap_err().to_string();
        assert!(error.contains("versions[0].latency.p50: "), "{error}");
        assert!(!error.contains(char::is_control), "{error:?}");
    }

    #[test]
    fn an_autoscaler_stops_wanting_a_size_where_that_is_null() {
        let read = |replicas: &str| {
            let text = format!("faults: [{{at: 1m, do: {{hpa-wants: {{name: web{replicas}}}}}}}]");
            Scenario::parse(&text).map(|scenario| scenario.faults[0].action.clone())
        };
        let wants = |replicas| {
            Ok(Action::HpaWants {
                name: "web".into(),
                replicas,
            })
        };
        assert_eq!(read(", replicas: 7"), wants(Some(7)));
        assert_eq!(read(", replicas: null"), wants(None));
        assert!(read("").is_err());
    }

    #[test]
    fn a_latency_whose_tail_is_below_its_median_is_refused() {
        let text = "versions: [{latency: {p50: 100ms, p99: 50ms}}]";
        assert!(matches!(
            Scenario::parse(text),
            Err(ScenarioError::Value(_))
        ));
    }

    #[test]
    fn a_fault_reads_like_a_sentence() {
        let text = "faults: [{at: 2m, do: {scale: {deployment: web, replicas: 3}}, by: argocd-controller}]";
        let scenario = Scenario::parse(text).unwrap();
        assert_eq!(scenario.faults[0].at.0, Duration::from_secs(120));
        assert_eq!(
            scenario.faults[0].action,
            Action::Scale {
                deployment: "web".into(),
                replicas: 3
            }
        );
    }

    #[test]
    fn an_edit_of_a_missing_object_says_which() {
        let scenario =
            Scenario::parse("edits: [{kind: Deployment, name: ghost, patch: []}]").unwrap();
        let error = scenario.objects().unwrap_err().to_string();
        assert!(error.contains("Deployment ghost"), "{error}");
    }
}
