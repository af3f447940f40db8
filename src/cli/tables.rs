//! Routers and probes as configuration sees them.
//!
//! Owns: handing the tables of `traffic` and `health` to `config`, which names neither. Must not:
//! name a router or a probe itself.

use schemars::{Schema, SchemaGenerator};

use crate::{
    config::Keyed,
    domain::{check::CheckSpec, plan::MetricsSpec, release::RouterSpec},
    health, traffic,
};

/// A router with its options, as the file gives it.
#[derive(Debug, Clone, PartialEq)]
pub struct RouterEntry(pub RouterSpec);

/// A metrics provider with its options, as the file gives it.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsEntry(pub MetricsSpec);

/// A check, as the file gives it.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckEntry(pub CheckSpec);

impl Keyed for RouterEntry {
    fn parse(
        key: &str,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<Self, erased_serde::Error> {
        let provider = traffic::provider(key).ok_or_else(|| unknown("router", key))?;
        let options = provider.options(from)?;
        Ok(Self(RouterSpec {
            name: key.to_owned(),
            options,
        }))
    }

    fn keys() -> Vec<(&'static str, &'static str)> {
        let entry = |p: &&dyn traffic::Provider| (p.name(), p.about());
        traffic::PROVIDERS.iter().map(entry).collect()
    }

    fn together(entries: Vec<Self>) -> Option<Self> {
        let specs: Vec<RouterSpec> = entries.into_iter().map(|entry| entry.0).collect();
        traffic::together(&specs).map(Self)
    }

    fn schema(key: &str, generator: &mut SchemaGenerator) -> Schema {
        traffic::provider(key).map_or_else(Schema::default, |p| p.schema(generator))
    }
}

impl Keyed for CheckEntry {
    fn parse(
        key: &str,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<Self, erased_serde::Error> {
        let kind = health::probe(key).ok_or_else(|| unknown("check", key))?;
        kind.check(from).map(Self)
    }

    fn keys() -> Vec<(&'static str, &'static str)> {
        let entry = |p: &&dyn health::ProbeKind| (p.name(), p.about());
        health::PROBES.iter().map(entry).collect()
    }

    fn schema(key: &str, generator: &mut SchemaGenerator) -> Schema {
        health::probe(key).map_or_else(Schema::default, |p| p.schema(generator))
    }

    fn absent(key: &str) -> Option<&'static str> {
        let of_logs = ["log", "logs", "logErrors", "loki", "elasticsearch"];
        of_logs.contains(&key).then_some(
            "what a line of a log means is known to who writes it; \
             `command` or `webhook` can search logs, as docs/checks.md shows",
        )
    }

    fn defaults(given: &[Self], counted: bool) -> Vec<Self> {
        let default = health::pods::default_check();
        let replaced = given.iter().any(|check| check.0.probe == default.probe);
        let mut defaults = if replaced { Vec::new() } else { vec![default] };
        // Whoever says what is counted of the requests, or what is asked of the source, says it all.
        let says = |check: &Self| check.0.rule.counts() || check.0.probe == "value";
        if counted && !given.iter().any(says) {
            defaults.extend(health::requests::default_checks());
        }
        defaults.into_iter().map(Self).collect()
    }
}

impl Keyed for MetricsEntry {
    fn parse(
        key: &str,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<Self, erased_serde::Error> {
        let kind = health::source::kind(key).ok_or_else(|| unknown("metrics provider", key))?;
        let options = kind.options(from)?;
        Ok(Self(MetricsSpec {
            name: key.to_owned(),
            options,
        }))
    }

    fn keys() -> Vec<(&'static str, &'static str)> {
        let entry = |s: &&dyn health::source::SourceKind| (s.name(), s.about());
        health::source::SOURCES.iter().map(entry).collect()
    }

    fn schema(key: &str, generator: &mut SchemaGenerator) -> Schema {
        health::source::kind(key).map_or_else(Schema::default, |s| s.schema(generator))
    }
}

fn unknown(what: &str, key: &str) -> erased_serde::Error {
    serde::de::Error::custom(format!("no {what} '{key}'"))
}
