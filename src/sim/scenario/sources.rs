//! What a scenario says of the sources of metrics: memory of the pods, Prometheus and its alerts.
//!
//! Owns: their format and defaults. Must not: know how they are served.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use super::{Bytes, Growth, Span};

/// Memory of a container.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Memory {
    /// What it needs from its start on.
    pub base: Bytes,
    /// By how much it grows; at its limit the container is killed.
    ///
    /// Where a crash for memory is given, growth follows from that and this does not count.
    pub leak: Growth,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            base: Bytes(120 << 20),
            leak: Growth::default(),
        }
    }
}

/// The simulated Prometheus: what runs in each pod with an image `prom/prometheus`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prometheus {
    /// Time between two scrapes, and between two looks at the alerts.
    pub every: Span,
    /// Alerts that fire, whatever the metrics say.
    pub alerts: Vec<Alert>,
}

impl Default for Prometheus {
    fn default() -> Self {
        Self {
            every: Span(Duration::from_secs(15)),
            alerts: Vec::new(),
        }
    }
}

impl Prometheus {
    /// Returns what is wrong with it.
    pub(super) fn validate(&self) -> Result<(), &'static str> {
        if self.every.0 < Duration::from_secs(1) {
            return Err("prometheus: every must be 1s or more");
        }
        let ends_early = |a: &Alert| a.until.is_some_and(|until| until <= a.from);
        if self.alerts.iter().any(ends_early) {
            return Err("prometheus: until of an alert must be later than its from");
        }
        Ok(())
    }
}

/// An alert that fires for a time.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    /// Its name.
    pub name: String,
    /// Its labels besides the name.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// When it begins to fire, from the start of the scenario.
    #[serde(default)]
    pub from: Span,
    /// When it ends; never when left out.
    pub until: Option<Span>,
}

/// How a Prometheus answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answering {
    /// As it should.
    #[default]
    Well,
    /// Not at all: connections are refused, and nothing is scraped.
    Down,
    /// With this status and a line of text.
    Error(u16),
    /// Rightly, after this time.
    Slow(Span),
    /// Successfully, with no series.
    Empty,
    /// With NaN in place of each number.
    Nan,
    /// With the JSON value null.
    Null,
    /// With the page of a proxy that wants a login.
    Html,
    /// With a redirect to such a page.
    Redirect,
    /// With far more series than anybody asks for: tens of megabytes.
    Huge,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::scenario::{Action, Scenario};

    #[test]
    fn each_way_to_answer_has_its_word() {
        for (text, wanted) in [
            ("well", Answering::Well),
            ("down", Answering::Down),
            ("{error: 503}", Answering::Error(503)),
            (
                "{slow: 20s}",
                Answering::Slow(Span(Duration::from_secs(20))),
            ),
            ("empty", Answering::Empty),
            ("nan", Answering::Nan),
            ("\"null\"", Answering::Null),
            ("html", Answering::Html),
            ("redirect", Answering::Redirect),
            ("huge", Answering::Huge),
        ] {
            let text = format!("faults: [{{at: 1m, do: {{prometheus: {text}}}}}]");
            let scenario = Scenario::parse(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(scenario.faults[0].action, Action::Prometheus(wanted));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (text, wanted) in [
            ("prometheus: {every: 500ms}", "every must be 1s or more"),
            (
                "prometheus: {alerts: [{name: a, from: 5m, until: 5m}]}",
                "until of an alert must be later",
            ),
            (
                "faults: [{at: 1m, do: {prometheus: {error: 200}}}]",
                "a status from 400 to 599",
            ),
            ("versions: [{memory: {base: lots}}]", "such as 120Mi"),
        ] {
            let error = Scenario::parse(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
