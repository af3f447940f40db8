//! A number that a query gives, in the language of the metrics provider.
//!
//! Owns: the options of such a check. Must not: know the language, or judge.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Binding, HealthError, Look, Probe, ProbeKind,
    http::Limit,
    presets::RECORDED,
    requests::{ModeOption, ThresholdOptions, whole_seconds},
    source::Source,
};
use crate::{
    analysis::threshold::Threshold,
    domain::{
        check::{CheckSpec, Limits, Mode, Number, Reading, Rule, Severity},
        options,
        plan::OnTrouble,
        unit::Unit,
    },
};

/// Values in a row that break a limit before the verdict is unhealthy, unless configured.
const CONSECUTIVE: u32 = 3;

/// The same of values that are recorded over minutes.
const RECORDED_IN_A_ROW: u32 = 2;

/// Time that a value is about, unless configured.
const WINDOW: Duration = Duration::from_secs(60);

/// The check.
pub struct Value;

/// Options of `value`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    /// Name of the check.
    name: String,
    /// The query; must give one number. {{track}}, {{deployment}}, {{pods}}, {{namespace}}, {{app}},
    /// {{stable}}, {{canary}}, {{service}} and {{window}} are filled in.
    query: String,
    /// Lowest good value.
    #[serde(default)]
    min: Option<Limit>,
    /// Highest good value.
    #[serde(default)]
    max: Option<Limit>,
    /// Highest good multiple of the value of stable, for which the same query is asked.
    #[serde(default)]
    max_ratio: Option<f64>,
    /// Time that a value is about, {{window}} of the query: one value is taken in each; default: 60s.
    #[serde(default)]
    window: Option<String>,
    /// Values in a row that break a limit before the verdict is unhealthy; default: 3.
    #[serde(default)]
    consecutive: Option<u32>,
    /// How it is judged where that is not by values in a row.
    #[serde(default)]
    mode: Option<ModeOption>,
    /// What an unhealthy verdict does.
    #[serde(default)]
    severity: Severity,
    /// What happens when a step ends and the check does not know; default: as the plan says.
    #[serde(default)]
    on_unknown: Option<OnTrouble>,
}

/// Returns how the values are judged; an error names the option.
fn rule(options: &Options) -> Result<Number, String> {
    let window = whole_seconds("window", options.window.as_deref(), WINDOW)?;
    let (min, max) = (options.min.map(|l| l.0), options.max.map(|l| l.0));
    if min.is_none() && max.is_none() && options.max_ratio.is_none() {
        return Err("give a limit: min, max or maxRatio".to_owned());
    }
    if options
        .max_ratio
        .is_some_and(|ratio| !(ratio.is_finite() && ratio > 0.0))
    {
        return Err("maxRatio must be above 0, such as 1.5".to_owned());
    }
    if options.mode.is_some() && options.consecutive.is_some() {
        return Err("give consecutive or mode, not both".to_owned());
    }
    let in_a_row = options.consecutive.unwrap_or(CONSECUTIVE).max(1);
    let mode = match &options.mode {
        Some(ModeOption::Threshold(threshold)) if threshold.interval.is_none() => {
            let options = ThresholdOptions {
                interval: Some(format!("{window}s")),
                ..threshold.clone()
            };
            ModeOption::Threshold(options).mode()?
        }
        Some(mode) => mode.mode()?,
        None => Mode::Threshold(Threshold {
            interval: window,
            count: None,
            failure_limit: u32::MAX,
            consecutive: Some(in_a_row),
        }),
    };
    Ok(Number {
        min,
        max,
        max_ratio: options.max_ratio,
        consecutive: in_a_row,
        mode: Some(mode),
        window,
        unit: Unit::Plain,
    })
}

/// Returns a check of requests as one of a recorded value: taken once in the time it is about.
pub(super) fn recorded(
    check: &CheckSpec,
    query: &str,
    limits: Limits,
) -> Result<CheckSpec, String> {
    let mode = match limits.mode {
        Mode::Sequential => None,
        Mode::Threshold(rule) => Some(ModeOption::Threshold(ThresholdOptions {
            interval: Some(format!("{}s", rule.interval)),
            count: rule.count,
            failure_limit: Some(rule.failure_limit),
            consecutive: rule.consecutive,
        })),
    };
    let options = Options {
        name: check.name.clone(),
        query: query.to_owned(),
        min: None,
        max: limits.max.map(Limit),
        max_ratio: limits.max_ratio,
        window: Some(format!("{RECORDED}s")),
        consecutive: mode.is_none().then_some(RECORDED_IN_A_ROW),
        mode,
        severity: check.severity,
        on_unknown: check.on_unknown,
    };
    spec(options)
}

fn spec(options: Options) -> Result<CheckSpec, String> {
    Ok(CheckSpec {
        name: options.name.clone(),
        probe: Value.name().to_owned(),
        rule: Rule::Number(rule(&options)?),
        severity: options.severity,
        on_unknown: options.on_unknown,
        pre: false,
        options: serde_json::to_value(options).map_err(|e| e.to_string())?,
    })
}

impl ProbeKind for Value {
    fn name(&self) -> &'static str {
        "value"
    }

    fn about(&self) -> &'static str {
        "a number from a query to the metrics provider, compared with limits and stable"
    }

    fn check(
        &self,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<CheckSpec, erased_serde::Error> {
        let options: Options = erased_serde::deserialize(from)?;
        spec(options).map_err(serde::de::Error::custom)
    }

    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<Options>()
    }

    fn bind(&self, spec: &CheckSpec, binding: &Binding<'_>) -> Result<Box<dyn Probe>, HealthError> {
        let fail = |reason: String| HealthError::Options {
            check: spec.name.clone(),
            reason,
        };
        let options: Options = options::read(&spec.options).map_err(fail)?;
        let window = rule(&options).map_err(fail)?.window;
        let source = binding.source.cloned();
        let nowhere = || fail("it needs a metrics provider: set `metrics` in the plan".to_owned());
        Ok(Box::new(Asked {
            source: source.ok_or_else(nowhere)?,
            query: options.query.replace("{{window}}", &format!("{window}s")),
        }))
    }
}

struct Asked {
    source: Arc<dyn Source>,
    query: String,
}

#[async_trait]
impl Probe for Asked {
    async fn look(&self, look: &Look<'_>) -> Vec<Reading> {
        vec![Reading {
            subject: look.workload.name.clone(),
            sample: self.source.value(&self.query, look).await,
        }]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(options: serde_json::Value) -> Result<CheckSpec, String> {
        let mut from = <dyn erased_serde::Deserializer<'_>>::erase(options);
        Value.check(&mut from).map_err(|error| error.to_string())
    }

    #[test]
    fn a_value_is_taken_once_in_each_window() {
        let spec = parsed(json!({"name": "queue", "query": "q", "max": 5, "window": "30s"}));
        let Rule::Number(number) = spec.unwrap().rule else {
            panic!("not a number");
        };
        let Some(Mode::Threshold(rule)) = number.mode else {
            panic!("{number:?}");
        };
        assert_eq!((rule.interval, rule.consecutive), (30, Some(3)));
    }

    #[test]
    fn a_value_without_a_limit_is_refused() {
        for options in [
            json!({"name": "a", "query": "q"}),
            json!({"query": "q", "max": 1}),
            json!({"name": "a", "query": "q", "max": 1, "window": "10ms"}),
            json!({"name": "a", "query": "q", "max": 1, "mode": "sequential", "consecutive": 2}),
            json!({"name": "a", "query": "q", "maxRatio": -1}),
        ] {
            assert!(parsed(options.clone()).is_err(), "{options}");
        }
    }
}
