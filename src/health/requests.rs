//! Checks of the requests that a metrics provider counts: errors, latency, the canary's share.
//!
//! Owns: their options and defaults. Must not: count, or judge.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Binding, HealthError, Look, Probe, ProbeKind, http::Limit, source::Source};
use crate::{
    analysis::{
        share::{Dependence, FLOOR},
        threshold,
    },
    domain::{
        check::{CheckSpec, Limits, Mode, Reading, Rule, Severity},
        plan::OnTrouble,
    },
};

/// Canary requests at a step before anything is said for the canary, unless configured.
const MIN_REQUESTS: u64 = 20;

/// Share of errors that is tolerated, unless configured.
const MAX_ERRORS: f64 = 0.05;

/// Multiple of stable's errors that is tolerated, unless configured.
const MAX_ERRORS_RATIO: f64 = 2.0;

/// Tolerated 95th percentile in seconds, unless configured.
const MAX_P95: f64 = 0.5;

/// Tolerated 99th percentile in seconds, unless configured.
const MAX_P99: f64 = 1.0;

/// Multiple of stable's 99th percentile that is tolerated, unless configured.
const MAX_P99_RATIO: f64 = 1.5;

/// Difference between the asked share of the traffic and the real one, unless configured.
const TOLERANCE: f64 = 0.05;

/// Time between two measurements, unless configured.
const INTERVAL: Duration = Duration::from_secs(60);

/// The check of errors.
pub struct ErrorRate;

/// The check of latencies.
pub struct Latency;

/// The check of the canary's share of the requests.
pub struct Traffic;

/// Options of `errorRate`. Without `max` and `maxRatio`: at most 5 %, and twice stable's
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ErrorOptions {
    /// Name of the check.
    name: Option<String>,
    /// Highest tolerated share of failed requests, such as `1%`.
    max: Option<Limit>,
    /// Highest tolerated multiple of stable's share, such as `2`.
    max_ratio: Option<f64>,
    /// Share below which the multiple does not matter; default: 0.1%.
    floor: Option<Limit>,
    /// Canary requests at a step before anything is said for the canary; default: 20.
    min_requests: Option<u64>,
    /// How it is judged.
    mode: ModeOption,
    /// How far requests may depend on each other: in any way within an evaluation, or hardly (`request`).
    #[schemars(with = "Option<String>")]
    dependence: Dependence,
    /// What an unhealthy verdict does.
    severity: Severity,
    /// What happens when a step ends and the check does not know; default: as the plan says.
    on_unknown: Option<OnTrouble>,
}

/// Options of `latency`. Without `max` and `maxRatio`: p95 at most 500 ms; p99 at most 1 s and 1.5 times
/// stable's
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct LatencyOptions {
    /// Name of the check.
    name: Option<String>,
    /// The quantile, such as `0.99`; default: 0.95.
    quantile: Option<f64>,
    /// Longest tolerated time at the quantile, such as `500ms`.
    max: Option<String>,
    /// Highest tolerated multiple of stable's latencies, such as `1.5`.
    max_ratio: Option<f64>,
    /// Canary requests at a step before anything is said for the canary; default: 20.
    min_requests: Option<u64>,
    /// How it is judged.
    mode: ModeOption,
    /// How far requests may depend on each other: in any way within an evaluation, or hardly (`request`).
    #[schemars(with = "Option<String>")]
    dependence: Dependence,
    /// What an unhealthy verdict does.
    severity: Severity,
    /// What happens when a step ends and the check does not know; default: as the plan says.
    on_unknown: Option<OnTrouble>,
}

/// Options of `traffic`
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct TrafficOptions {
    /// Name of the check.
    name: Option<String>,
    /// Difference that is tolerated, such as `5%` of all requests.
    tolerance: Option<Limit>,
    /// Requests of both sides at a step before it means anything; default: 100.
    min_requests: Option<u64>,
    /// What an unhealthy verdict does; default: hold.
    severity: Option<Severity>,
    /// What happens when a step ends and the check does not know; default: as the plan says.
    on_unknown: Option<OnTrouble>,
}

/// How a check is judged: by a sequential test (`sequential`), or by counting failed
/// measurements (`threshold`) as the controllers do
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum ModeOption {
    /// By a sequential test.
    #[default]
    Sequential,
    /// By counting failed measurements.
    Threshold(ThresholdOptions),
}

/// Counting failed measurements
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ThresholdOptions {
    /// Time between two measurements, such as `60s` (the default).
    pub(super) interval: Option<String>,
    /// Measurements at a step after which the check has passed; default: as long as the step lasts.
    pub(super) count: Option<u32>,
    /// Failed measurements that are tolerated during the whole run; default: 0.
    pub(super) failure_limit: Option<u32>,
    /// Failed measurements in a row from which the check has failed; default: only `failureLimit`
    /// counts.
    pub(super) consecutive: Option<u32>,
}

impl ModeOption {
    /// Returns the mode; an error names the option.
    pub(super) fn mode(&self) -> Result<Mode, String> {
        let options = match self {
            Self::Sequential => return Ok(Mode::Sequential),
            Self::Threshold(options) => options,
        };
        if options.count == Some(0) || options.consecutive == Some(0) {
            return Err("mode.threshold: count and consecutive must be at least 1".to_owned());
        }
        let interval = whole_seconds(
            "mode.threshold.interval",
            options.interval.as_deref(),
            INTERVAL,
        )?;
        let in_a_row = options.consecutive.is_some();
        Ok(Mode::Threshold(threshold::Threshold {
            interval,
            count: options.count,
            failure_limit: options
                .failure_limit
                .unwrap_or(if in_a_row { u32::MAX } else { 0 }),
            consecutive: options.consecutive,
        }))
    }
}

/// Returns a time in whole seconds, from 1 s to 1 h; an error names the option.
pub(super) fn whole_seconds(
    key: &str,
    text: Option<&str>,
    otherwise: Duration,
) -> Result<u32, String> {
    let duration = match text {
        None => otherwise,
        Some(text) => humantime::parse_duration(text)
            .map_err(|_| format!("{key}: '{text}' is not a time such as 60s"))?,
    };
    let seconds = u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    if duration.subsec_nanos() != 0 || !(1..=3600).contains(&seconds) {
        return Err(format!("{key} must be between 1s and 1h, in whole seconds"));
    }
    Ok(seconds)
}

fn ratio(value: Option<f64>) -> Result<Option<f64>, String> {
    match value {
        Some(ratio) if !(ratio.is_finite() && ratio > 0.0) => {
            Err("maxRatio must be above 0, such as 2".to_owned())
        }
        _ => Ok(value),
    }
}

fn share(key: &str, value: Option<Limit>) -> Result<Option<f64>, String> {
    match value.map(|limit| limit.0) {
        Some(share) if !(share > 0.0 && share < 1.0) => {
            Err(format!("{key} must be between 0% and 100%, such as 1%"))
        }
        share => Ok(share),
    }
}

fn error_limits(options: &ErrorOptions) -> Result<Limits, String> {
    let (max, max_ratio) = (share("max", options.max)?, ratio(options.max_ratio)?);
    let none = max.is_none() && max_ratio.is_none();
    Ok(Limits {
        max: max.or(none.then_some(MAX_ERRORS)),
        max_ratio: max_ratio.or(none.then_some(MAX_ERRORS_RATIO)),
        floor: share("floor", options.floor)?.unwrap_or(FLOOR),
        min_requests: options.min_requests.unwrap_or(MIN_REQUESTS),
        mode: options.mode.mode()?,
        dependence: options.dependence,
    })
}

fn latency_limits(options: &LatencyOptions) -> Result<(f64, Limits), String> {
    let quantile = options.quantile.unwrap_or(0.95);
    if !(quantile > 0.0 && quantile < 1.0) {
        return Err("quantile must be between 0 and 1, such as 0.95".to_owned());
    }
    let max = options.max.as_deref().map(|text| {
        humantime::parse_duration(text)
            .ok()
            .filter(|d| !d.is_zero())
            .map(|d| d.as_secs_f64())
            .ok_or_else(|| format!("max: '{text}' is not a time such as 500ms"))
    });
    let (max, max_ratio) = (max.transpose()?, ratio(options.max_ratio)?);
    let none = max.is_none() && max_ratio.is_none();
    let slowest = quantile >= 0.99;
    let default = if slowest { MAX_P99 } else { MAX_P95 };
    Ok((
        quantile,
        Limits {
            max: max.or(none.then_some(default)),
            max_ratio: max_ratio.or((none && slowest).then_some(MAX_P99_RATIO)),
            floor: FLOOR,
            min_requests: options.min_requests.unwrap_or(MIN_REQUESTS),
            mode: options.mode.mode()?,
            dependence: options.dependence,
        },
    ))
}

/// Returns the name of a quantile, such as `p99.9`.
fn quantile_name(quantile: f64) -> String {
    let percent = format!("{:.3}", quantile * 100.0);
    format!("p{}", percent.trim_end_matches('0').trim_end_matches('.'))
}

impl ErrorOptions {
    fn check(&self) -> Result<CheckSpec, String> {
        Ok(CheckSpec {
            name: self.name.clone().unwrap_or_else(|| "error rate".to_owned()),
            probe: ErrorRate.name().to_owned(),
            rule: Rule::Errors(error_limits(self)?),
            severity: self.severity,
            on_unknown: self.on_unknown,
            pre: false,
            options: serde_json::to_value(self).map_err(|e| e.to_string())?,
        })
    }
}

impl LatencyOptions {
    fn check(&self) -> Result<CheckSpec, String> {
        let (quantile, limits) = latency_limits(self)?;
        let name = || format!("{} latency", quantile_name(quantile));
        Ok(CheckSpec {
            name: self.name.clone().unwrap_or_else(name),
            probe: Latency.name().to_owned(),
            rule: Rule::Latency { quantile, limits },
            severity: self.severity,
            on_unknown: self.on_unknown,
            pre: false,
            options: serde_json::to_value(self).map_err(|e| e.to_string())?,
        })
    }
}

impl TrafficOptions {
    fn check(&self) -> Result<CheckSpec, String> {
        let tolerance = share("tolerance", self.tolerance)?.unwrap_or(TOLERANCE);
        Ok(CheckSpec {
            name: self.name.clone().unwrap_or_else(|| "traffic".to_owned()),
            probe: Traffic.name().to_owned(),
            rule: Rule::Traffic {
                tolerance,
                min_requests: self.min_requests.unwrap_or(100),
            },
            severity: self.severity.unwrap_or(Severity::Hold),
            on_unknown: self.on_unknown,
            pre: false,
            options: serde_json::to_value(self).map_err(|e| e.to_string())?,
        })
    }
}

/// Returns the checks that are on where requests are counted, unless others are configured: at most 5 %
/// errors and twice stable's; p95 up to 500 ms; p99 up to 1 s and 1.5 times stable's.
pub fn default_checks() -> Vec<CheckSpec> {
    let latency = |quantile| LatencyOptions {
        quantile: Some(quantile),
        ..LatencyOptions::default()
    };
    let all = [
        ErrorOptions::default().check(),
        latency(0.95).check(),
        latency(0.99).check(),
    ];
    all.into_iter().flatten().collect()
}

fn read<T: DeserializeOwned>(
    from: &mut dyn erased_serde::Deserializer<'_>,
    check: fn(&T) -> Result<CheckSpec, String>,
) -> Result<CheckSpec, erased_serde::Error> {
    let options: T = erased_serde::deserialize(from)?;
    check(&options).map_err(serde::de::Error::custom)
}

/// A probe that counts one side.
struct Counter {
    source: Option<Arc<dyn Source>>,
    latency: bool,
}

#[async_trait]
impl Probe for Counter {
    async fn look(&self, look: &Look<'_>) -> Vec<Reading> {
        match &self.source {
            Some(source) => source.count(look, self.latency).await,
            None => Vec::new(),
        }
    }
}

fn bind(binding: &Binding<'_>, latency: bool) -> Box<dyn Probe> {
    Box::new(Counter {
        source: binding.source.cloned(),
        latency,
    })
}

impl ProbeKind for ErrorRate {
    fn name(&self) -> &'static str {
        "errorRate"
    }

    fn about(&self) -> &'static str {
        "the share of failed requests, against a limit and against stable's"
    }

    fn check(
        &self,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<CheckSpec, erased_serde::Error> {
        read(from, ErrorOptions::check)
    }

    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<ErrorOptions>()
    }

    fn asks_only_the_release(&self, _: &serde_json::Value) -> bool {
        true
    }

    fn bind(&self, _: &CheckSpec, binding: &Binding<'_>) -> Result<Box<dyn Probe>, HealthError> {
        Ok(bind(binding, false))
    }
}

impl ProbeKind for Latency {
    fn name(&self) -> &'static str {
        "latency"
    }

    fn about(&self) -> &'static str {
        "how long requests take at a quantile, against a limit and against stable's"
    }

    fn check(
        &self,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<CheckSpec, erased_serde::Error> {
        read(from, LatencyOptions::check)
    }

    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<LatencyOptions>()
    }

    fn asks_only_the_release(&self, _: &serde_json::Value) -> bool {
        true
    }

    fn bind(&self, _: &CheckSpec, binding: &Binding<'_>) -> Result<Box<dyn Probe>, HealthError> {
        Ok(bind(binding, true))
    }
}

impl ProbeKind for Traffic {
    fn name(&self) -> &'static str {
        "traffic"
    }

    fn about(&self) -> &'static str {
        "the canary's real share of the requests, against the one that is asked"
    }

    fn check(
        &self,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<CheckSpec, erased_serde::Error> {
        read(from, TrafficOptions::check)
    }

    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<TrafficOptions>()
    }

    fn asks_only_the_release(&self, _: &serde_json::Value) -> bool {
        true
    }

    fn bind(&self, _: &CheckSpec, binding: &Binding<'_>) -> Result<Box<dyn Probe>, HealthError> {
        Ok(bind(binding, false))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(kind: &dyn ProbeKind, options: serde_json::Value) -> Result<CheckSpec, String> {
        let mut from = <dyn erased_serde::Deserializer<'_>>::erase(options);
        kind.check(&mut from).map_err(|error| error.to_string())
    }

    #[test]
    fn limits_by_default_are_those_of_the_usual_scripts() {
        let texts: Vec<String> = default_checks()
            .iter()
            .map(|spec| format!("{}: {}", spec.name, crate::domain::judge::limit(spec.rule)))
            .collect();
        assert_eq!(
            texts,
            [
                "error rate: ≤ 5%, ≤ 2× stable",
                "p95 latency: ≤ 500 ms",
                "p99 latency: ≤ 1 s, ≤ 1.5× stable"
            ]
        );
    }

    #[test]
    fn a_limit_that_is_given_is_the_only_one() {
        let spec = parsed(&ErrorRate, json!({"max": "1%"})).unwrap();
        assert_eq!(crate::domain::judge::limit(spec.rule), "≤ 1%");
        let spec = parsed(&Latency, json!({"maxRatio": 1.2})).unwrap();
        assert_eq!(crate::domain::judge::limit(spec.rule), "≤ 1.2× stable");
    }

    #[test]
    fn limits_that_make_no_sense_are_refused() {
        for (kind, options) in [
            (&ErrorRate as &dyn ProbeKind, json!({"max": 5})),
            (&ErrorRate, json!({"max": "0%"})),
            (&ErrorRate, json!({"maxRatio": 0})),
            (&ErrorRate, json!({"maximum": "1%"})),
            (&Latency, json!({"quantile": 95})),
            (&Latency, json!({"max": "500"})),
            (&Latency, json!({"mode": {"threshold": {"interval": "0s"}}})),
            (&Latency, json!({"mode": {"threshold": {"count": 0}}})),
            (&Traffic, json!({"tolerance": 1})),
        ] {
            assert!(parsed(kind, options.clone()).is_err(), "{options}");
        }
    }

    #[test]
    fn the_controllers_rules_can_be_asked_for() {
        let flagger =
            json!({"max": "1%", "mode": {"threshold": {"interval": "30s", "failureLimit": 4}}});
        let spec = parsed(&ErrorRate, flagger).unwrap();
        let Rule::Errors(limits) = spec.rule else {
            panic!("{spec:?}");
        };
        let expected = threshold::Threshold::flagger(30, 5);
        assert_eq!(limits.mode, Mode::Threshold(expected));
    }
}
