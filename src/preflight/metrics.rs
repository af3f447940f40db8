//! The metrics provider: asked once for all checks of requests, and what else it could be asked.
//!
//! Owns: the one question to the source, and saying what it counts, whether it tells the sides apart,
//! and which options would count. Must not: judge stable, or know any source.

use std::sync::Arc;

use super::{checks, count, fine, found, ground::Ground};
use crate::{
    analysis::words,
    domain::{
        check::{CheckSpec, Reading, Rule, Sample},
        verdict::Unknown,
        view::{Finding, Severity},
        workload::{Track, Workload},
    },
    health::{
        Facts, Look,
        source::{Sides, Source},
        suggestion::{Search, Seen, Suggestion},
    },
};

/// Most suggestions that are written out.
const SHOWN: usize = 3;

/// Where the findings are.
const PLACE: &str = "metrics";

/// Returns a look at a side.
pub(super) fn look<'g>(ground: &'g Ground<'_>, track: Track, workload: &'g Workload) -> Look<'g> {
    let names = ground.subject.names;
    let service = names.service.as_deref();
    Look {
        workload,
        pods: &ground.pods,
        service: service.and_then(|name| ground.survey.service(name)),
        started: ground.cluster.clock().now(),
        at: ground.cluster.clock().now(),
        facts: Facts {
            app: ground.subject.app,
            stable: &names.stable,
            canary: &names.canary,
            service,
            track,
            weight: None,
        },
    }
}

/// Counts stable's requests for all checks of requests at once.
pub(super) async fn counted(ground: &Ground<'_>, source: Arc<dyn Source>) -> Vec<Reading> {
    let checks = &ground.subject.plan.checks;
    let latency = checks
        .iter()
        .any(|check| matches!(check.rule, Rule::Latency { .. }));
    let look = look(ground, Track::Stable, &ground.stable_facts);
    source.count(&look, latency).await
}

/// Returns what there is to say of the source, from what the checks that depend on its options read of
/// stable; those that were not tried say nothing.
pub(super) async fn findings(
    ground: &Ground<'_>,
    source: &dyn Source,
    read: &[(&CheckSpec, Vec<Reading>)],
) -> Vec<Finding> {
    let shaped = read.iter().filter(|(check, _)| source.shapes(check));
    let shaped: Vec<_> = shaped
        .filter(|(_, readings)| !readings.is_empty())
        .collect();
    let all = || shaped.iter().flat_map(|(_, readings)| readings);
    let is_down = |r: &Reading| matches!(r.sample, Sample::Missing(Unknown::SourceDown, _));
    if shaped.is_empty() || all().any(is_down) {
        return Vec::new();
    }
    let absent = Workload {
        name: ground.subject.names.canary.clone(),
        ..Workload::default()
    };
    let canary = ground.canary_facts.as_ref().unwrap_or(&absent);
    let sides = Sides {
        stable: look(ground, Track::Stable, &ground.stable_facts),
        canary: look(ground, Track::Canary, canary),
    };
    let weights = shaped
        .iter()
        .map(|(check, _)| checks::weight_of_silence(check));
    let weight = weights.min().unwrap_or(Severity::Error);
    let counting = shaped.iter().find(|(check, _)| check.rule.counts());
    let seen = counting.and_then(|(_, readings)| Seen::of(readings, &sides.stable));
    if let (Some((_, readings)), Some(seen)) = (counting, seen) {
        return sound(source, &sides, readings, seen).await;
    }
    if all().any(|r| !matches!(r.sample, Sample::Missing(..))) {
        return Vec::new();
    }
    let search = source.search(&sides).await;
    let finding = search.map(|search| nothing(weight, &source.manner(), &search));
    finding.into_iter().collect()
}

/// Says what is counted, and whether the sides are told apart.
async fn sound(
    source: &dyn Source,
    sides: &Sides<'_>,
    stable: &[Reading],
    mut seen: Seen,
) -> Vec<Finding> {
    let manner = source.manner();
    let ready = sides.canary.workload.pods.iter().any(|pod| pod.ready);
    let canary = async {
        if ready {
            Some(source.count(&sides.canary, false).await)
        } else {
            None
        }
    };
    let (canary, shared) = futures::join!(canary, source.shared(sides));
    let canarys = |r: &&Reading| {
        let mut pods = sides.canary.workload.pods.iter();
        pods.any(|pod| pod.name == r.subject)
    };
    let strays = stable.iter().filter(canarys).count();
    let both = match &shared {
        Ok(0) | Err(_) if strays > 0 => Some(format!(
            "stable's counters are also those of {strays} pods of the canary"
        )),
        Ok(0) | Err(_) => None,
        Ok(1) => Some("1 series is counted for both sides".to_owned()),
        Ok(series) => Some(format!("{series} series are counted for both sides")),
    };
    if let Some(both) = both {
        let what = format!("{manner} does not tell the sides apart: {both}");
        let search = source.search(sides).await;
        let search = search.filter(|search| !search.suggestions.is_empty());
        let one_side = || "give a `selector` of the series of one side alone".to_owned();
        let fix = search.as_ref().map_or_else(one_side, fix);
        return vec![found(Severity::Error, PLACE, what, MIXES, fix)];
    }
    if let Err(reason) = shared {
        let what = format!("whether {manner} tells the sides apart is not known: {reason}");
        return vec![found(Severity::Warning, PLACE, what, MIXES, "")];
    }
    let what = format!("{manner} counts {} on stable", amount(&seen));
    let Some(canary) = canary else {
        return vec![fine(PLACE, what)];
    };
    seen.canary = Some(Seen::of(&canary, &sides.canary).is_some());
    if seen.canary == Some(true) {
        return vec![fine(PLACE, format!("{what}; the canary is told apart"))];
    }
    let reason = canary.iter().find_map(|reading| {
        if let Sample::Missing(_, text) = &reading.sample {
            Some(text.as_str())
        } else {
            None
        }
    });
    let unseen = found(
        Severity::Note,
        PLACE,
        format!(
            "the canary has ready pods, and nothing is counted for them: {}",
            reason.unwrap_or("no answer")
        ),
        "it may be so before the first request; if it stays so, the checks do not know, and the release does not go beyond its first step",
        "make sure canary and stable use the same metric and label names",
    );
    vec![fine(PLACE, what), unseen]
}

/// What follows from counters of both sides in one.
const MIXES: &str = "the errors of a bad canary would be counted as stable's, too, and the canary would look no worse than stable";

/// Says that nothing is counted, and which options would count.
fn nothing(weight: Severity, manner: &str, search: &Search) -> Finding {
    let what = match (search.suggestions.first(), &search.unfinished) {
        (Some(best), _) => format!(
            "{manner} counts nothing for stable; {} does: {}",
            words(best),
            amount(&best.seen)
        ),
        (None, Some(reason)) => format!(
            "{manner} counts nothing for stable; whether another preset would is not known: {reason}"
        ),
        (None, None) => format!(
            "none of the {} presets ({}) has data for stable{}",
            search.tried.len(),
            search.tried.join(", "),
            present(search)
        ),
    };
    let why = "without data the checks of requests do not know, and unknown never advances: the release would stop at its first step";
    found(weight, PLACE, what, why, fix(search))
}

/// Says of which presets there are series all the same.
fn present(search: &Search) -> String {
    let unselected = search.unselected.join(", ");
    let untold = search.untold.join(", ");
    let mixed = search.mixed.join(", ");
    let told = [
        (
            &unselected,
            format!(
                "; there are series of {unselected}, none of them stable's by any selector that was tried"
            ),
        ),
        (
            &untold,
            format!("; stable's of {untold} do not tell how requests ended"),
        ),
        (
            &mixed,
            format!("; those of {mixed} are selected for other pods at the same time"),
        ),
    ];
    let told = told.into_iter().filter(|(names, _)| !names.is_empty());
    told.map(|(_, text)| text).collect()
}

/// Says what to write.
fn fix(search: &Search) -> String {
    if search.suggestions.is_empty() {
        let there = [search.unselected.as_slice(), &search.mixed].concat();
        if !there.is_empty() {
            return format!(
                "give a `selector` of stable's series of {} with {{{{track}}}}, {{{{deployment}}}} or {{{{pods}}}}",
                there.join(" or ")
            );
        }
        if !search.untold.is_empty() {
            return format!(
                "give the counters of {} a label that says how a request ended, such as its status",
                search.untold.join(" or ")
            );
        }
        if search.unfinished.is_some() {
            return "look again when the source answers".to_owned();
        }
        return "see that the pods' requests are counted, and that one came since they began; or check with `value` and a query of your own".to_owned();
    }
    let shown = search.suggestions.iter().take(SHOWN);
    let lines: Vec<String> = shown
        .map(|s| format!("`{}` ({})", s.line, amount(&s.seen)))
        .collect();
    let mut parts = vec![format!("write in canary.yaml {}", lines.join(", or "))];
    let more = search.suggestions.len().saturating_sub(SHOWN);
    if more > 0 {
        parts.push(format!("{more} more would do"));
    }
    if !search.kept.is_empty() {
        parts.push(format!("keep {} as given", search.kept.join(", ")));
    }
    if let Some(reason) = &search.unfinished {
        parts.push(format!("not all was tried: {reason}"));
    }
    parts.join("; ")
}

fn words(suggestion: &Suggestion) -> String {
    match &suggestion.selector {
        Some(selector) => format!("preset {} with selector {selector}", suggestion.preset),
        None => format!("preset {}", suggestion.preset),
    }
}

/// Returns what is seen, such as `2,345 requests on 9 of 9 pods, with a histogram`.
fn amount(seen: &Seen) -> String {
    let requests = match seen.requests {
        None => "a recorded share of errors".to_owned(),
        Some(1.0) => "1 request".to_owned(),
        Some(requests) => format!("{} requests", words::count(requests)),
    };
    let ready = count(u32::try_from(seen.ready).unwrap_or(u32::MAX), "ready pod");
    let pods = seen.pods.map(|pods| format!(" on {pods} of {ready}"));
    let latencies = match (seen.histogram, seen.requests) {
        (true, Some(_)) => ", with a histogram",
        (true, None) => ", and latencies",
        (false, Some(_)) => ", without a histogram",
        (false, None) => ", without latencies",
    };
    let canary = match seen.canary {
        Some(false) => ", none of the canary yet",
        Some(true) | None => "",
    };
    let pods = pods.unwrap_or_default();
    format!("{requests}{pods}{latencies}{canary}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggestion(preset: &'static str, selector: Option<&str>, seen: Seen) -> Suggestion {
        Suggestion {
            preset,
            selector: selector.map(str::to_owned),
            line: format!("metrics: {{prometheus: {{preset: {preset}}}}}"),
            seen,
        }
    }

    fn counted(requests: f64) -> Seen {
        Seen {
            requests: Some(requests),
            pods: Some(9),
            ready: 9,
            histogram: true,
            canary: Some(true),
        }
    }

    #[test]
    fn the_best_is_named_and_its_line_written_out() {
        let idle = Seen {
            canary: Some(false),
            histogram: false,
            ..counted(1.0)
        };
        let recorded = Seen::default();
        let search = Search {
            suggestions: vec![
                suggestion("istio", Some("pod"), counted(2345.0)),
                suggestion("http", None, idle),
                suggestion("recording-rules", None, recorded.clone()),
                suggestion("recording-rules", Some("job"), recorded),
            ],
            kept: vec!["auth", "tls"],
            ..Search::default()
        };
        let said = nothing(
            Severity::Error,
            "preset spring with its own selector",
            &search,
        );
        assert_eq!(
            said.what,
            "preset spring with its own selector counts nothing for stable; preset istio with selector pod does: 2,345 requests on 9 of 9 ready pods, with a histogram"
        );
        assert_eq!(
            said.fix,
            "write in canary.yaml `metrics: {prometheus: {preset: istio}}` (2,345 requests on 9 of 9 ready pods, with a histogram), or `metrics: {prometheus: {preset: http}}` (1 request on 9 of 9 ready pods, without a histogram, none of the canary yet), or `metrics: {prometheus: {preset: recording-rules}}` (a recorded share of errors, without latencies); 1 more would do; keep auth, tls as given"
        );
    }

    #[test]
    fn a_search_without_a_find_says_so_plainly() {
        let tried = vec!["http", "istio"];
        let search = Search {
            tried: tried.clone(),
            ..Search::default()
        };
        let said = nothing(Severity::Error, "preset http", &search);
        assert_eq!(
            said.what,
            "none of the 2 presets (http, istio) has data for stable"
        );
        let search = Search {
            tried: tried.clone(),
            unselected: vec!["istio"],
            untold: vec!["spring"],
            mixed: vec!["http"],
            ..Search::default()
        };
        let said = nothing(Severity::Error, "preset http", &search);
        assert_eq!(
            said.what,
            "none of the 2 presets (http, istio) has data for stable; there are series of istio, none of them stable's by any selector that was tried; stable's of spring do not tell how requests ended; those of http are selected for other pods at the same time"
        );
        assert!(
            said.fix.contains("istio or http with {{track}}"),
            "{}",
            said.fix
        );
        let search = Search {
            tried: tried.clone(),
            untold: vec!["http"],
            ..Search::default()
        };
        let said = nothing(Severity::Error, "preset http", &search);
        assert!(
            said.fix.starts_with("give the counters of http a label"),
            "{}",
            said.fix
        );
        let search = Search {
            tried,
            unfinished: Some("the search ended after 10s".to_owned()),
            ..Search::default()
        };
        let said = nothing(Severity::Error, "preset http", &search);
        assert_eq!(
            said.what,
            "preset http counts nothing for stable; whether another preset would is not known: the search ended after 10s"
        );
    }
}
