//! Which series are those of one side: a preset with a selector.
//!
//! Owns: the words for selectors, reading what is configured, the queries for one side, and what their
//! answers count. Must not: ask.

use std::{borrow::Cow, collections::BTreeMap};

use super::answer::Series;
use crate::{
    domain::{check::CheckSpec, workload::Track},
    health::{
        Look, exposition,
        facts::{self, Filling, Place},
        presets::{
            Gathered, PRESETS, Preset, RECORDING_RULES, preset, recorded_errors, recorded_latency,
        },
        source::Sides,
    },
};

/// Words for usual selectors, with their matchers.
pub(super) const SELECTORS: [(&str, &str); 7] = [
    ("job", "job=\"{{deployment}}\",namespace=\"{{namespace}}\""),
    (
        "service",
        "service=\"{{deployment}}\",namespace=\"{{namespace}}\"",
    ),
    (
        "version",
        "version=\"{{track}}\",app=\"{{app}}\",namespace=\"{{namespace}}\"",
    ),
    (
        "track",
        "track=\"{{track}}\",app=\"{{app}}\",namespace=\"{{namespace}}\"",
    ),
    ("app+version", "app=\"{{app}}\",version=\"{{track}}\""),
    (
        "deployment",
        "namespace=\"{{namespace}}\",deployment=\"{{deployment}}\"",
    ),
    ("pod", "namespace=\"{{namespace}}\",pod=~\"{{pods}}\""),
];

/// Placeholders of which a selector needs one to tell the sides.
const TELLS: [&str; 3] = ["{{track}}", "{{deployment}}", "{{pods}}"];

/// A preset, and how one side of it is selected.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    /// What the metrics are called.
    pub(super) preset: &'static Preset,
    /// Matchers with placeholders, without braces.
    pub(super) matchers: String,
    /// The selector as it is written in configuration; `None` for the preset's own.
    pub(super) written: Option<String>,
}

impl Selection {
    /// Reads what is configured; the error names the option and what there is instead.
    pub(super) fn read(name: &str, selector: Option<&str>) -> Result<Self, String> {
        let recorded = Some(&RECORDING_RULES).filter(|preset| preset.name == name);
        let preset = preset(name).or(recorded).ok_or_else(|| {
            let all = PRESETS.iter().chain([&RECORDING_RULES]);
            let known: Vec<&str> = all.map(|preset| preset.name).collect();
            format!("preset: no '{name}'; there are: {}", known.join(", "))
        })?;
        let written = selector.map(str::trim);
        let matchers = written.map_or_else(|| preset.selector.to_owned(), matchers);
        facts::check(&matchers).map_err(|error| format!("selector: {error}"))?;
        // Names of recorded values name the side; matchers are needed where there are several apps.
        let side_is_named = recorded.is_some();
        let nothing_to_select = side_is_named && matchers.is_empty();
        if !nothing_to_select && !matchers.contains('=') {
            let words: Vec<&str> = SELECTORS.iter().map(|(name, _)| *name).collect();
            return Err(format!(
                "selector: '{matchers}' is neither one of {} nor matchers such as job=\"{{{{deployment}}}}\"",
                words.join(", ")
            ));
        }
        let told = side_is_named || preset.sides.is_some();
        if !told && !TELLS.iter().any(|name| matchers.contains(name)) {
            let known = TELLS.join(", ");
            return Err(format!(
                "selector: it selects both sides alike; use one of {known}"
            ));
        }
        Ok(Self {
            preset,
            matchers,
            written: written.map(str::to_owned),
        })
    }

    /// Returns it in words, such as `preset http with selector pod`.
    pub(super) fn words(&self) -> String {
        let name = self.preset.name;
        match &self.written {
            Some(written) => format!("preset {name} with selector {written}"),
            None => format!("preset {name} with its own selector"),
        }
    }

    /// Returns its preset where it selects the pods' own counters, so that the pods show the same.
    pub(super) fn of_pods(&self) -> Option<&'static Preset> {
        let words = |written: &String| SELECTORS.iter().any(|(word, _)| word == written);
        let usual = self.written.as_ref().is_none_or(words);
        (self.preset.in_pods && usual).then_some(self.preset)
    }

    /// Returns whether its values are recorded, in place of counters.
    pub(super) fn is_recorded(&self) -> bool {
        self.preset.name == RECORDING_RULES.name
    }

    /// Returns whether a check asks for a value that is recorded under these names.
    pub(super) fn records(&self, check: &CheckSpec) -> bool {
        let asked = check.options["query"].as_str().unwrap_or_default();
        let latencies = recorded_latency(0.0, "");
        let latencies = latencies.split("p0").next().unwrap_or_default();
        self.is_recorded()
            && (asked == recorded_errors(&self.matchers) || asked.starts_with(latencies))
    }

    /// Returns the queries of requests and of histograms for one side.
    pub(super) fn queries(&self, look: &Look<'_>, namespace: &str) -> (String, String) {
        let matchers = self.all_matchers(look, namespace);
        let preset = self.preset;
        let unserved = match preset.unserved {
            "" => String::new(),
            unserved => {
                let matchers = self.matchers_with(unserved, look, namespace);
                format!(" or {}{{{matchers}}}", preset.requests)
            }
        };
        let labels: Vec<&str> = preset.outcome.iter().copied().chain(preset.grpc).collect();
        let labels = labels.join(",");
        let Preset {
            requests, buckets, ..
        } = preset;
        (
            format!("sum by (pod,instance,{labels}) ({requests}{{{matchers}}}{unserved})"),
            format!("sum by (pod,instance,le) ({buckets}{{{matchers}}})"),
        )
    }

    /// Returns the query of the number of buckets of one side.
    pub(super) fn histogram(&self, look: &Look<'_>, namespace: &str) -> String {
        let matchers = self.all_matchers(look, namespace);
        format!("count({}{{{matchers}}})", self.preset.buckets)
    }

    /// Returns the queries of the recorded share of errors, and of a latency, of one side.
    pub(super) fn recorded(&self, look: &Look<'_>, namespace: &str) -> (String, String) {
        let fill = |query: &str| {
            Filling::new(&look.facts, namespace, look.workload).fill(query, Place::Text)
        };
        let latency = recorded_latency(0.95, &self.matchers);
        (fill(&recorded_errors(&self.matchers)), fill(&latency))
    }

    /// Returns the query of the number of series that are counted for both sides; `None` where there
    /// can be none.
    pub(super) fn shared(&self, sides: &Sides<'_>, namespace: &str) -> Option<String> {
        if self.is_recorded() || self.preset.sides.is_some() {
            return None;
        }
        let requests = self.preset.requests;
        let series = |look| format!("{requests}{{{}}}", self.all_matchers(look, namespace));
        let (stable, canary) = (series(&sides.stable), series(&sides.canary));
        Some(format!("count({stable} and {canary})"))
    }

    fn all_matchers(&self, look: &Look<'_>, namespace: &str) -> String {
        self.matchers_with(self.preset.matchers, look, namespace)
    }

    /// Returns the matchers of one side, with these in place of the preset's own.
    fn matchers_with(&self, own: &str, look: &Look<'_>, namespace: &str) -> String {
        let filling = Filling::new(&look.facts, namespace, look.workload);
        let selected = filling.fill(&self.matchers, Place::Text);
        let side = match (self.preset.sides, look.facts.track) {
            (None, _) => "",
            (Some([stable, _]), Track::Stable) => stable,
            (Some([_, canary]), Track::Canary) => canary,
        };
        let all = [own, side, &selected];
        let all: Vec<&str> = all.into_iter().filter(|text| !text.is_empty()).collect();
        all.join(",")
    }

    /// Returns what was counted, by pod; by target where the series name no pods, and all together,
    /// without a name, where they name neither.
    pub(super) fn gather(
        &self,
        requests: &[Series],
        buckets: &[Series],
    ) -> BTreeMap<String, Gathered> {
        let preset = self.preset;
        let subject = |series: &Series| {
            let named = |label: &str| series.labels.get(label).filter(|text| !text.is_empty());
            let found = named("pod").or_else(|| named("instance"));
            found.cloned().unwrap_or_default()
        };
        let mut all: BTreeMap<String, Gathered> = BTreeMap::new();
        for series in requests {
            let label = |name: &str| series.labels.get(name).map(|v| Cow::Borrowed(v.as_str()));
            let gathered = all.entry(subject(series)).or_default();
            gathered.requests(preset.outcome(&label), series.value);
        }
        for series in buckets {
            let bound = series.labels.get("le");
            let bound = bound.and_then(|le| exposition::number(le));
            let gathered = all.entry(subject(series)).or_default();
            gathered.bucket(bound.unwrap_or(f64::NAN) * preset.unit, series.value);
        }
        all
    }
}

/// Returns the matchers that a selector means: those of a word, or its own without braces.
fn matchers(written: &str) -> String {
    if let Some((_, matchers)) = SELECTORS.iter().find(|(word, _)| *word == written) {
        return (*matchers).to_owned();
    }
    let text = written
        .trim_start_matches('{')
        .trim_end_matches([',', ' '])
        .to_owned();
    // A closing brace of matchers written with braces; those of a placeholder come in twos.
    match text.strip_suffix('}') {
        Some(inner) if !inner.ends_with('}') && written.starts_with('{') => inner.to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_may_be_words_or_matchers() {
        let selector = |text: &str| Selection::read("http", Some(text)).map(|s| s.matchers);
        assert_eq!(
            selector("job").unwrap(),
            "job=\"{{deployment}}\",namespace=\"{{namespace}}\""
        );
        for text in [
            "job=\"auth-service-{{track}}\"",
            "{job=\"auth-service-{{track}}\"}",
            " job=\"auth-service-{{track}}\", ",
        ] {
            assert_eq!(selector(text).unwrap(), "job=\"auth-service-{{track}}\"");
        }
        assert_eq!(selector("x=~\"{{pods}}\"").unwrap(), "x=~\"{{pods}}\"");
        assert!(selector("jobs").unwrap_err().contains("neither one of job"));
        assert!(selector("job=\"auth\"").unwrap_err().contains("both sides"));
        assert!(selector("job=\"{{trak}}\"").unwrap_err().contains("trak"));
    }

    #[test]
    fn every_word_selects_something_for_every_preset() {
        for (word, _) in SELECTORS {
            for preset in PRESETS.iter().chain([&RECORDING_RULES]) {
                let read = Selection::read(preset.name, Some(word));
                assert!(read.is_ok(), "{word} {}: {read:?}", preset.name);
            }
        }
    }
}
