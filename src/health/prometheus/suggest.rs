//! Looking for the preset and the selector that have series of stable, where those configured have none.
//!
//! Owns: which combinations are tried, with few queries and one deadline for all, and which of them may
//! be proposed. Must not: propose what selects series of both sides, or go on asking a server that does
//! not answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
    time::Duration,
};

use futures::future::join_all;
use jiff::Timestamp;
use regex::Regex;
use tokio::sync::Semaphore;

use super::{
    Server,
    answer::Series,
    selection::{SELECTORS, Selection},
};
use crate::{
    domain::{
        check::{Reading, Sample},
        verdict::Unknown,
    },
    health::{
        Look, facts,
        presets::{Gathered, PRESETS, Preset, RECORDING_RULES},
        source::Sides,
        suggestion::{Search, Seen, Suggestion, rank},
    },
};

/// Longest time for all queries together.
const LIMIT: Duration = Duration::from_secs(10);

/// Longest time of it for the first query, which passes over all series of the presets' metrics.
const FIRST: Duration = Duration::from_secs(4);

/// Queries at the same time.
const AT_ONCE: usize = 4;

/// Most combinations that are looked at closely.
const CLOSELY: usize = 8;

/// Tries the presets that have series at all, each with its own selector, the words for selectors and
/// the selector that is configured.
pub(super) async fn search(server: &Server, sides: &Sides<'_>) -> Search {
    let asking = Asking::new(server);
    let all: Vec<&Preset> = PRESETS.iter().chain([&RECORDING_RULES]).collect();
    let mut search = Search {
        tried: all.iter().map(|preset| preset.name).collect(),
        kept: server.kept.clone(),
        ..Search::default()
    };
    let known = asking.present(&all, sides).await;
    let present = known.as_deref().unwrap_or(&all);
    let candidates = candidates(&server.selection, present, sides, &server.namespace);
    let looked = join_all(candidates.iter().map(|s| asking.look(s, sides))).await;
    let mut found: Vec<(&Selection, Suggestion)> = Vec::new();
    let mut troubles: Vec<(&str, Looked)> = Vec::new();
    for (selection, looked) in candidates.iter().zip(looked) {
        if let Looked::Seen(seen) = looked {
            found.push((selection, suggestion(server, selection, seen)));
        } else {
            troubles.push((selection.preset.name, looked));
        }
    }
    let configured = server.selection.preset.name;
    found.sort_by_key(|(_, suggestion)| suggestion.order(configured));
    found.truncate(CLOSELY);
    let closely = found
        .iter()
        .map(|(selection, suggestion)| asking.closely(selection, &suggestion.seen, sides));
    let closely = join_all(closely).await;
    for ((selection, suggestion), looked) in found.into_iter().zip(closely) {
        if let Looked::Seen(seen) = looked {
            search.suggestions.push(Suggestion { seen, ..suggestion });
        } else {
            troubles.push((selection.preset.name, looked));
        }
    }
    rank(&mut search.suggestions, configured);
    search.unfinished = asking.stopped.get().cloned();
    for name in present.iter().map(|preset| preset.name) {
        if !search.suggestions.iter().any(|s| s.preset == name) {
            let of = troubles.iter().filter(|(preset, _)| *preset == name);
            let worst = of
                .map(|(_, looked)| looked)
                .max_by_key(|looked| looked.rank());
            match worst {
                Some(Looked::Mixed) => search.mixed.push(name),
                Some(Looked::Untold) => search.untold.push(name),
                Some(Looked::Nothing | Looked::Seen(_)) | None if known.is_some() => {
                    search.unselected.push(name);
                }
                Some(Looked::Nothing | Looked::Seen(_)) | None => {}
            }
        }
    }
    search
}

/// What came of trying a combination.
enum Looked {
    /// No series of stable, or no answer.
    Nothing,
    /// Series that do not tell how requests ended.
    Untold,
    /// Series of other pods as well, so that it tells no sides.
    Mixed,
    /// This.
    Seen(Seen),
}

impl Looked {
    /// Returns how much it says; most is told of a preset.
    fn rank(&self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::Untold => 1,
            Self::Mixed => 2,
            Self::Seen(_) => 3,
        }
    }
}

/// A round of questions to one server.
struct Asking<'a> {
    server: &'a Server,
    until: Timestamp,
    permits: Semaphore,
    /// Why nothing more is asked.
    stopped: OnceLock<String>,
}

impl<'a> Asking<'a> {
    fn new(server: &'a Server) -> Self {
        let now = server.clock.now();
        Self {
            server,
            until: now.checked_add(LIMIT).unwrap_or(now),
            permits: Semaphore::new(AT_ONCE),
            stopped: OnceLock::new(),
        }
    }

    /// Returns the series of a query; `None` where there is no answer in time, or the query is refused.
    /// A server that does not answer is not asked again.
    async fn ask(&self, query: &str, limit: Duration) -> Option<Vec<Series>> {
        let _permit = self.permits.acquire().await.ok()?;
        if self.stopped.get().is_some() {
            return None;
        }
        let clock = &self.server.clock;
        let left = Duration::try_from(self.until.duration_since(clock.now())).unwrap_or_default();
        let within = clock.timeout(left.min(limit), self.server.query(query, clock.now()));
        let why = match within.await {
            Ok(Ok(series)) => return Some(series),
            // So it is with this query; another may be answered.
            Ok(Err((Unknown::Query, _))) => return None,
            Ok(Err((_, text))) => text,
            Err(_) if left > limit => return None,
            Err(_) => format!(
                "the search ended after {}",
                humantime::format_duration(LIMIT)
            ),
        };
        // The first reason is the one that is told.
        self.stopped.get_or_init(|| why);
        None
    }

    /// Returns which presets have series of anybody; `None` where that is not known.
    async fn present(&self, all: &[&'static Preset], sides: &Sides<'_>) -> Option<Vec<&'a Preset>> {
        let metrics: Vec<String> = all.iter().map(|preset| metric(preset, sides)).collect();
        let pattern = metrics.join("|");
        let query = format!("count by (__name__) ({{__name__=~\"{pattern}\"}})");
        let series = self.ask(&query, FIRST).await?;
        let counted: BTreeSet<&String> = series
            .iter()
            .filter_map(|series| series.labels.get("__name__"))
            .collect();
        let both = all.iter().zip(&metrics);
        let present = both.filter(|(_, metric)| counted.contains(metric));
        Some(present.map(|(preset, _)| *preset).collect())
    }

    /// Tries a combination on stable.
    async fn look(&self, selection: &Selection, sides: &Sides<'_>) -> Looked {
        if selection.is_recorded() {
            let (errors, _) = selection.recorded(&sides.stable, &self.server.namespace);
            return match self.value(&errors).await {
                Some(_) => Looked::Seen(Seen::default()),
                None => Looked::Nothing,
            };
        }
        let Some(gathered) = self.counted(selection, &sides.stable).await else {
            return Looked::Nothing;
        };
        let subjects: Vec<&str> = gathered.keys().map(String::as_str).collect();
        if is_mixed(&subjects, selection.preset, sides) {
            return Looked::Mixed;
        }
        let reading = |(subject, gathered): (String, Gathered)| {
            let totals = gathered.totals(selection.preset).ok()?;
            let sample = Sample::Totals {
                totals,
                born: false,
            };
            Some(Reading { subject, sample })
        };
        // What is not told of some requests makes the whole unknown.
        let readings: Option<Vec<Reading>> = gathered.into_iter().map(reading).collect();
        let seen = readings.and_then(|readings| Seen::of(&readings, &sides.stable));
        seen.map_or(Looked::Untold, Looked::Seen)
    }

    /// Looks whether a combination that sees stable tells the canary apart, and what else it has.
    async fn closely(&self, selection: &Selection, seen: &Seen, sides: &Sides<'_>) -> Looked {
        let namespace = &self.server.namespace;
        let shared = async {
            match selection.shared(sides, namespace) {
                None => Some(0),
                Some(query) => number_of(&self.ask(&query, LIMIT).await?).ok(),
            }
        };
        let histogram = async {
            if selection.is_recorded() {
                let (_, latency) = selection.recorded(&sides.stable, namespace);
                return self.value(&latency).await.is_some();
            }
            let query = selection.histogram(&sides.stable, namespace);
            let series = self.ask(&query, LIMIT).await;
            series.is_some_and(|series| number_of(&series).is_ok_and(|buckets| buckets > 0))
        };
        let canary = async {
            let ready = sides.canary.workload.pods.iter().any(|pod| pod.ready);
            if !ready {
                return None;
            }
            if selection.is_recorded() {
                let (errors, _) = selection.recorded(&sides.canary, namespace);
                return Some(self.value(&errors).await.is_some());
            }
            Some(self.counted(selection, &sides.canary).await.is_some())
        };
        let (shared, histogram, canary) = futures::join!(shared, histogram, canary);
        match shared {
            None => Looked::Nothing,
            Some(0) => Looked::Seen(Seen {
                histogram,
                canary,
                ..seen.clone()
            }),
            Some(_) => Looked::Mixed,
        }
    }

    /// Returns what is counted for a side; `None` where there are no series.
    async fn counted(
        &self,
        selection: &Selection,
        look: &Look<'_>,
    ) -> Option<BTreeMap<String, Gathered>> {
        let (requests, _) = selection.queries(look, &self.server.namespace);
        let series = self.ask(&requests, LIMIT).await?;
        let gathered = selection.gather(&series, &[]);
        (!gathered.is_empty()).then_some(gathered)
    }

    /// Returns the one number of a query.
    async fn value(&self, query: &str) -> Option<f64> {
        match self.ask(query, LIMIT).await?.as_slice() {
            [one] => Some(one.value).filter(|value| value.is_finite()),
            _ => None,
        }
    }
}

/// Returns the name of the metric that a preset has for stable.
fn metric(preset: &Preset, sides: &Sides<'_>) -> String {
    if preset.name == RECORDING_RULES.name {
        format!("{}:error_rate:5m", sides.stable.facts.track.word())
    } else {
        preset.requests.to_owned()
    }
}

/// Returns what is to be tried: each preset with each selector, without what asks the same as another.
/// What is configured is among it, so that it is known what is wrong with that.
fn candidates(
    configured: &Selection,
    presets: &[&Preset],
    sides: &Sides<'_>,
    namespace: &str,
) -> Vec<Selection> {
    let question = |selection: &Selection| {
        if selection.is_recorded() {
            selection.recorded(&sides.stable, namespace).0
        } else {
            selection.queries(&sides.stable, namespace).0
        }
    };
    let mut asked = BTreeSet::new();
    let words = SELECTORS.iter().map(|(word, _)| Some(*word));
    let selectors: Vec<Option<&str>> = std::iter::once(None)
        .chain(words)
        .chain(configured.written.as_deref().map(Some))
        .collect();
    let mut all = Vec::new();
    for preset in presets {
        for selector in &selectors {
            // What is written for one preset may not tell the sides of another.
            let read = Selection::read(preset.name, *selector).ok();
            all.extend(read.filter(|selection| asked.insert(question(selection))));
        }
    }
    all
}

/// Returns whether series of stable's name pods that are not its own: the canary's, or, beside stable's
/// pods, those of another app or namespace.
fn is_mixed(subjects: &[&str], preset: &Preset, sides: &Sides<'_>) -> bool {
    let of = |look: &Look<'_>, name: &str| look.workload.pods.iter().any(|pod| pod.name == name);
    if subjects.iter().any(|name| of(&sides.canary, name)) {
        return true;
    }
    if !preset.in_pods || !subjects.iter().any(|name| of(&sides.stable, name)) {
        return false;
    }
    // Pods that were stable's a moment ago may still have series.
    let former = Regex::new(&format!(
        "^(?:{})$",
        facts::pods(&sides.stable.workload.name)
    ));
    let is_former = |name: &str| former.as_ref().is_ok_and(|names| names.is_match(name));
    let mut strangers = subjects.iter().filter(|name| !of(&sides.stable, name));
    strangers.any(|name| !is_former(name))
}

/// Returns the number that `count` gives: none where there are no series.
pub(super) fn number_of(series: &[Series]) -> Result<u64, String> {
    match series {
        [] => Ok(0),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of series is small and not negative"
        )]
        [one] if one.value.is_finite() && one.value >= 0.0 => Ok(one.value.round() as u64),
        _ => Err("the number of series is not a number".to_owned()),
    }
}

fn suggestion(server: &Server, selection: &Selection, seen: Seen) -> Suggestion {
    let preset = selection.preset.name;
    let selector = selection.written.clone();
    Suggestion {
        line: line(&server.place, preset, selector.as_deref()),
        preset,
        selector,
        seen,
    }
}

/// Returns the line of `canary.yaml`; `place` is a URL without credentials.
fn line(place: &str, preset: &str, selector: Option<&str>) -> String {
    let mut fields = vec![
        format!("url: {}", text(place)),
        format!("preset: {}", text(preset)),
    ];
    fields.extend(selector.map(|selector| format!("selector: {}", text(selector))));
    format!("metrics: {{prometheus: {{{}}}}}", fields.join(", "))
}

/// Returns a text as YAML has it within braces.
fn text(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ":/.-_+".contains(c);
    if text.chars().all(is_plain) && !text.ends_with(':') {
        return text.to_owned();
    }
    if text.chars().any(char::is_control) {
        return serde_json::Value::from(text).to_string();
    }
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests;
