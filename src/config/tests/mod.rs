//! Tests of the whole layer, with fake tables of routers and checks.

mod errors;
mod groups;
mod precedence;
mod random;
mod schema;
mod variables;
mod yaml;

use std::{borrow::Cow, fmt::Write as _};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{ConfigError, File, Keyed};
use crate::domain::{
    check::{CheckSpec, Rule, Severity},
    plan::MetricsSpec,
    release::RouterSpec,
};

/// A table of two routers: one without options, one with a required one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Router(pub(super) RouterSpec);

/// A table of two checks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Check(pub(super) CheckSpec);

/// A table of one metrics provider.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Metrics(pub(super) MetricsSpec);

pub(super) type TestFile = File<Router, Check, Metrics>;

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Replicas {}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Scrape {
    /// Path of the page
    path: Option<String>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Istio {
    /// Name of the VirtualService
    virtual_service: String,
    /// Names of routes
    routes: Option<Vec<String>>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Pods {
    /// Restarts allowed
    #[serde(default)]
    max_restarts: u32,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Latency {
    /// Quantile between 0 and 1
    quantile: f64,
    /// What is done
    #[serde(default)]
    severity: Severity,
    /// Where it is measured
    #[serde(default)]
    source: Source,
}

/// Where it is measured
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
enum Source {
    /// At the pods
    #[default]
    Pods,
    /// At a URL
    Url {
        /// The URL
        #[serde(rename = "at")]
        address: String,
    },
}

impl Keyed for Router {
    fn parse(
        key: &str,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<Self, erased_serde::Error> {
        let options = match key {
            "replicas" => json!(Replicas::deserialize(from)?),
            _ => json!(Istio::deserialize(from)?),
        };
        let name = key.to_owned();
        Ok(Self(RouterSpec { name, options }))
    }

    fn keys() -> Vec<(&'static str, &'static str)> {
        vec![
            ("replicas", "two Deployments behind one Service"),
            ("istio", "a VirtualService"),
        ]
    }

    fn together(entries: Vec<Self>) -> Option<Self> {
        let options = json!(entries.iter().map(|r| &r.0.options).collect::<Vec<_>>());
        let name = entries.iter().map(|r| r.0.name.clone());
        let name = name.collect::<Vec<_>>().join("+");
        (entries.len() > 1).then_some(Self(RouterSpec { name, options }))
    }

    fn schema(key: &str, generator: &mut SchemaGenerator) -> Schema {
        match key {
            "replicas" => generator.subschema_for::<Replicas>(),
            _ => generator.subschema_for::<Istio>(),
        }
    }
}

impl Keyed for Metrics {
    fn parse(
        key: &str,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<Self, erased_serde::Error> {
        let options = json!(Scrape::deserialize(from)?);
        let name = key.to_owned();
        Ok(Self(MetricsSpec { name, options }))
    }

    fn keys() -> Vec<(&'static str, &'static str)> {
        vec![("scrape", "the pages of the pods")]
    }

    fn schema(_: &str, generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Scrape>()
    }
}

impl Keyed for Check {
    fn parse(
        key: &str,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<Self, erased_serde::Error> {
        let options = if key == "pods" {
            json!(Pods::deserialize(from)?)
        } else {
            let latency = Latency::deserialize(from)?;
            if !(0.0..=1.0).contains(&latency.quantile) {
                return Err(serde::de::Error::custom("quantile is not between 0 and 1"));
            }
            json!(latency)
        };
        Ok(Self(check(key, options)))
    }

    fn keys() -> Vec<(&'static str, &'static str)> {
        vec![("pods", "state of the pods"), ("latency", "response times")]
    }

    fn schema(key: &str, generator: &mut SchemaGenerator) -> Schema {
        match key {
            "pods" => generator.subschema_for::<Pods>(),
            _ => generator.subschema_for::<Latency>(),
        }
    }

    fn defaults(given: &[Self], _: bool) -> Vec<Self> {
        if given.iter().any(|check| check.0.name == "pods") {
            return Vec::new();
        }
        vec![Self(check("pods", json!({"maxRestarts": 0})))]
    }
}

pub(super) fn check(name: &str, options: serde_json::Value) -> CheckSpec {
    CheckSpec {
        name: name.to_owned(),
        probe: name.to_owned(),
        options,
        rule: Rule::Pods { max_restarts: 0 },
        severity: Severity::Rollback,
        on_unknown: None,
        pre: false,
    }
}

pub(super) fn parse(text: &str) -> Result<TestFile, ConfigError> {
    File::parse("canary.yaml", text)
}

/// Compares a table of bad inputs with their errors, and shows every difference at once.
pub(super) fn assert_errors(cases: &[(&str, &str)]) {
    let mut wrong = String::new();
    for (text, expected) in cases {
        let actual = match parse(text) {
            Ok(_) => Cow::Borrowed("accepted"),
            Err(error) => Cow::Owned(error.to_string()),
        };
        if actual != *expected {
            writeln!(wrong, "{text}\n  is   {actual}\n  not  {expected}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// A file that uses every key.
pub(super) const FULL: &str = r#"
app: shop
namespace: orion
stable: shop-stable
canary: shop-canary
service: shop
router:
  istio: { virtualService: shop, routes: [primary] }
createRoute: true
steps:
  - 5%
  - 25
  - weight: 50
    hold: 10m
    early: 3m
    approve: true
    deadline: 1h
  - 100
hold: 2m
early: 5m
deadline: 20m
interval: 15s
brake: false
readyTimeout: 4m
promoteTimeout: 9m
drain: 45s
warmup: 20s
checks:
  - pods: { maxRestarts: 3 }
  - latency: { quantile: 0.95, severity: warn, source: { url: { at: http://shop } } }
pre:
  - pods: { maxRestarts: 0 }
  - latency: { quantile: 0.5, severity: hold, source: { url: { at: http://test } } }
metrics: { scrape: { path: /metrics } }
onUnknown: rollback
onFailure: hold
onInterrupt: hold
promote: { strategy: swap, canary: delete, auto: false }
load:
  rate: 10/s
  requests:
    - path: /health
    - { method: POST, path: /pay, body: { amount: 1.50, to: "012" }, contentType: application/json }
"#;
