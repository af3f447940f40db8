//! Checks that count requests: errors, slow requests, good requests, the canary's share.
//!
//! Owns: what a look brings to such a check, when a step begins, what is at stake. Must not: know where
//! the counts came from, or how the verdict is said.

use std::collections::BTreeMap;

use super::{
    Circumstances, Finding, Half,
    case::{self, Case, parts},
    early, episode, windows, without,
    words::Subject,
};
use crate::{
    analysis::{
        counts::{Counts, Look},
        histogram::{self, Histogram},
        latency::{Slowdown, slow_requests},
        meter::rebased,
        proof::{AT_RISK, REACTION, rate_to_exclude},
        share::Rules,
        silence::Quiet,
    },
    domain::{
        braking::Stage,
        check::{Limits, Memory, Mode, Rate, Reading, Requests, Sample, SubjectMemory},
        meters::{Counted, Witness, seconds},
        verdict::Unknown,
    },
};

/// What one look brings to one check.
pub(super) struct Brought {
    /// Requests of both sides; those are bad that the check counts as bad.
    pub(super) look: Look,
    /// The same without each pod of the canary; `None` where none is to be left out.
    pub(super) without: Option<Vec<(String, Look)>>,
    /// Bounds of the histograms, and what came in both.
    pub(super) histograms: Option<(Vec<f64>, Vec<f64>, Vec<f64>)>,
    /// Why the canary could not be counted.
    pub(super) missing: Option<(Unknown, String)>,
    /// Why stable could not be counted.
    pub(super) stable_missing: Option<String>,
    /// What silence means.
    pub(super) quiet: Quiet,
}

/// Takes in a look at the errors of both sides.
pub(super) fn errors(
    memory: &mut Memory,
    counted: Option<&Counted>,
    limits: Limits,
    circumstances: Circumstances,
) -> Half {
    let Some(counted) = counted else {
        return nothing();
    };
    let look = Look::new(
        counted.seconds,
        counted.canary.counts,
        counted.stable.counts,
    );
    let without = without::each_of(&counted.pods, circumstances, |own| {
        let canary = counted.canary.counts.minus(own.counts);
        Some(Look::new(counted.seconds, canary, counted.stable.counts))
    });
    let brought = Brought {
        look,
        without,
        histograms: None,
        ..brought(counted)
    };
    if let Mode::Threshold(rule) = limits.mode {
        return windows::errors(memory, &brought, (limits, rule), circumstances);
    }
    let rules = rules(limits, limits.max);
    take_in(
        memory,
        brought,
        (Subject::Errors(limits), rules, limits.min_requests),
        circumstances,
    )
}

/// Takes in a look at the latencies of both sides.
pub(super) fn latency(
    memory: &mut Memory,
    counted: Option<&Counted>,
    (quantile, limits): (f64, Limits),
    circumstances: Circumstances,
) -> Half {
    let Some(counted) = counted else {
        return nothing();
    };
    let mut brought = brought(counted);
    let width = counted.bounds.len() + 1;
    let filled = |side: &[f64]| -> Vec<f64> {
        let mut side = side.to_vec();
        side.resize(width, 0.0);
        side
    };
    let (canary, stable) = (
        filled(&counted.canary.buckets),
        filled(&counted.stable.buckets),
    );
    let sides =
        Histogram::new(&counted.bounds, &canary).zip(Histogram::new(&counted.bounds, &stable));
    match sides {
        Some((ours, theirs)) => {
            let all = |side: Histogram<'_>| Counts::new(side.all(), 0.0).unwrap_or(Counts::NONE);
            let lasted = counted.seconds;
            brought.look = match limits.max {
                Some(max) => slow_requests(lasted, ours, theirs, &counted.bounds, max),
                None => Look::new(lasted, all(ours), all(theirs)),
            };
            brought.without = without::each_of(&counted.pods, circumstances, |own| {
                let (bounds, max) = (&counted.bounds, limits.max?);
                let left = filled(&counted.canary.minus(own).buckets);
                let ours = Histogram::new(bounds, &left)?;
                Some(slow_requests(lasted, ours, theirs, bounds, max))
            });
            brought.histograms = Some((counted.bounds.clone(), canary, stable));
        }
        None if brought.missing.is_none() => {
            let text = format!("no histogram of latencies ({})", counted.asked);
            brought.missing = Some((Unknown::NoData, text));
        }
        None => {}
    }
    if let Mode::Threshold(rule) = limits.mode {
        return windows::latency(memory, &brought, (quantile, limits, rule), circumstances);
    }
    let rules = Rules {
        ratio: None,
        ..rules(limits, limits.max.map(|_| 1.0 - quantile))
    };
    let subject = Subject::Latency { quantile, limits };
    take_in(
        memory,
        brought,
        (subject, rules, limits.min_requests),
        circumstances,
    )
}

/// Takes in a look at the good requests of every canary pod.
pub(super) fn share(
    memory: &mut Memory,
    readings: &[Reading],
    (min, min_requests): (f64, u64),
    circumstances: Circumstances,
) -> Half {
    let mut missing = None;
    let (mut good, mut all) = (0.0, 0.0);
    let mut pods = BTreeMap::new();
    for Reading { subject, sample } in readings {
        match sample {
            Sample::Counters {
                good: g,
                total: t,
                born,
            } if counts(*g, *t) => {
                let (more_good, more) = increment(memory, subject, (*g, *t), *born);
                good += more_good;
                all += more;
                pods.insert(subject.clone(), (more_good, more));
            }
            Sample::Missing(why, text) => missing = Some((*why, format!("{subject}: {text}"))),
            Sample::Counters {
                good: g, total: t, ..
            } => {
                let text = format!("{subject}: {g} of {t} are not counts");
                missing = Some((Unknown::NoData, text));
            }
            Sample::Fatal(text)
            | Sample::Troubled(text)
            | Sample::Pending(text)
            | Sample::Holds(_, text) => {
                missing = Some((Unknown::Query, format!("{subject}: {text}")));
            }
            Sample::Number(_)
            | Sample::Numbers { .. }
            | Sample::Totals { .. }
            | Sample::Pod { .. } => {
                missing = Some((Unknown::Query, format!("{subject}: not counters")));
            }
        }
    }
    if readings.is_empty() {
        missing = Some((Unknown::NoData, "no pods to ask".to_owned()));
    }
    // They are asked themselves in any case.
    let circumstances = Circumstances {
        witness: Witness::Source,
        ..circumstances
    };
    let now = circumstances.now;
    let before = memory.requests.as_ref().and_then(|requests| requests.at);
    let counts = |all: f64, good: f64| Counts::new(all, all - good).unwrap_or(Counts::NONE);
    let canary = counts(all, good);
    let lasted = seconds(before.unwrap_or(circumstances.started), now);
    let without = without::each_of(&pods, circumstances, |(own_good, own)| {
        let left = canary.minus(counts(*own, *own_good));
        Some(Look::new(lasted, left, Counts::NONE))
    });
    let brought = Brought {
        look: Look::new(lasted, canary, Counts::NONE),
        without,
        histograms: None,
        missing,
        stable_missing: None,
        quiet: Quiet::No,
    };
    take_in(
        memory,
        brought,
        (Subject::Good(min), Rules::limit(1.0 - min), min_requests),
        circumstances,
    )
}

/// What a check says that needs metrics, where there is no source of them.
pub(super) const NO_SOURCE: &str = "no metrics provider: set `metrics` in the plan";

fn nothing() -> Half {
    Half::Done(Finding::unknown(Unknown::Query, 0, NO_SOURCE))
}

fn brought(counted: &Counted) -> Brought {
    Brought {
        look: Look::default(),
        without: Some(Vec::new()),
        histograms: None,
        missing: counted.missing.clone(),
        stable_missing: counted.stable_missing.clone(),
        quiet: counted.quiet,
    }
}

fn rules(limits: Limits, limit: Option<f64>) -> Rules {
    Rules {
        limit,
        ratio: limits.max_ratio,
        floor: limits.floor,
        dependence: limits.dependence,
        ..Rules::limit(1.0)
    }
}

fn counts(good: f64, total: f64) -> bool {
    good.is_finite() && total.is_finite() && good >= 0.0 && total >= 0.0
}

/// Returns how far a pod's counters of good and all requests moved since the last look; a counter that
/// fell was reset, and what it shows now is what came since.
fn increment(
    memory: &mut Memory,
    subject: &str,
    (good, total): (f64, f64),
    born: bool,
) -> (f64, f64) {
    let before = memory.subjects.get(subject).copied();
    let pod = memory.subjects.entry(subject.to_owned()).or_default();
    (pod.good, pod.total) = (good, total);
    let Some(before) = before.or(born.then(SubjectMemory::default)) else {
        return (0.0, 0.0);
    };
    let (more_good, more) = if total < before.total || good < before.good {
        (good, total)
    } else {
        (good - before.good, total - before.total)
    };
    (more_good.min(more), more)
}

/// Remembers a look. What the first look at a step finds (and later ones, as far as the source lags
/// behind) came before it, at another weight: it is evidence against the version, but it proves nothing
/// at this step.
fn take_in(
    memory: &mut Memory,
    brought: Brought,
    (subject, rules, min_requests): (Subject, Rules, u64),
    circumstances: Circumstances,
) -> Half {
    let stake = case::stake(memory, circumstances);
    let others = early::others(memory, &subject, &rules, circumstances);
    let requests = memory.counted(circumstances.witness);
    early::prepare(requests, circumstances);
    let look = &brought.look;
    // What comes in while the canary is to have no traffic says nothing of a split.
    let resting = circumstances.brake == Some(Stage::Resting);
    let news = look.canary.all() + look.stable.all() > 0.0 && !resting;
    if news {
        observe(requests, &brought, (&subject, &rules), circumstances);
    }
    if !requests.begun {
        if circumstances.elapsed >= circumstances.lag && !resting {
            begin_step(requests, (&subject, &rules), circumstances);
        }
    } else if news
        && requests.rate.known.is_none()
        && let Some(rate) = requests.rate.average(circumstances.weight)
    {
        requests.rate.known = Some(rate);
        let demanded = to_exclude(&rules, Some(rate), circumstances);
        requests.share.demand(demanded);
        without::demand(requests, demanded);
        early::demand(requests, demanded);
    }
    if news || requests.at.is_none() {
        requests.at = Some(circumstances.now);
    }
    let sides = (&requests.share, requests.slowdown.as_ref());
    let all = case::staked(parts(sides, &subject, &rules), stake);
    let mut case = Case {
        sure: case::without_one(&all, without::least(requests), &rules),
        parts: all,
        signs: early::signs(requests, (&others, stake), &subject, &rules),
        subject,
        rules,
        min_requests,
        missing: brought.missing,
        stable_missing: brought.stable_missing,
        quiet: brought.quiet,
        pause: brought.look.seconds,
        circumstances,
    };
    let heard = brought.look.canary.all() > 0.0;
    let settled = early::is_settled(&case, requests);
    if let Some(signs) = &mut case.signs {
        signs.settled = settled;
        signs.heard = heard;
    }
    Half::Open(Box::new(case))
}

fn observe(
    requests: &mut Requests,
    brought: &Brought,
    (subject, rules): (&Subject, &Rules),
    circumstances: Circumstances,
) {
    let look = &brought.look;
    // Before there is a first look at stable, nothing can be compared with it.
    let comparable = requests.at.is_some() && brought.stable_missing.is_none();
    let rules = if comparable {
        *rules
    } else {
        Rules {
            ratio: None,
            ..*rules
        }
    };
    let warm = circumstances.warming <= 0.0;
    if warm {
        without::observe(
            requests,
            &rules,
            (look, brought.without.as_deref()),
            circumstances,
        );
        requests.share.observe(&rules, look, circumstances.steps);
        requests.canary_run = requests.canary_run.plus(look.canary);
        requests.stable_run = requests.stable_run.plus(look.stable);
        if requests.begun && !requests.share.stable_fails() {
            episode::observe(requests, &rules, look, circumstances);
        }
    }
    early::observe(requests, &rules, look, circumstances);
    if requests.at.is_some() {
        requests.rate.requests += look.canary.all() + look.stable.all();
        requests.rate.canary += look.canary.all();
        requests.rate.seconds += look.seconds;
    }
    let (Some((bounds, canary, stable)), Subject::Latency { limits, .. }) =
        (brought.histograms.as_ref().filter(|_| warm), subject)
    else {
        return;
    };
    rebase(requests, bounds);
    add(&mut requests.canary, canary);
    add(&mut requests.stable, stable);
    if let Some(factor) = limits.max_ratio.filter(|_| comparable) {
        let dispersion = requests.share.dispersion();
        let slowdown = requests
            .slowdown
            .get_or_insert_with(|| Slowdown::new(bounds, factor, limits.dependence));
        slowdown.rebase(bounds);
        slowdown.observe(
            look.seconds,
            canary,
            stable,
            dispersion,
            circumstances.steps,
        );
        early::compare(
            requests,
            (bounds, canary, stable),
            (factor, limits.dependence),
            look.seconds,
            circumstances,
        );
    }
}

fn begin_step(
    requests: &mut Requests,
    (subject, rules): (&Subject, &Rules),
    circumstances: Circumstances,
) {
    let Circumstances { weight, later, .. } = circumstances;
    let measured = requests.rate.average(weight);
    requests.rate = Rate {
        known: measured.or(requests.rate.known),
        ..Rate::default()
    };
    let demanded = to_exclude(rules, requests.rate.known, circumstances);
    requests.share.begin_step(weight, demanded, later);
    early::begin_step(requests, demanded, circumstances);
    without::begin_step(requests, demanded, circumstances);
    requests.episode.begin_step();
    if let (Subject::Latency { limits, .. }, Some(bounds)) = (
        subject,
        (!requests.bounds.is_empty()).then_some(&requests.bounds),
    ) && let Some(factor) = limits.max_ratio
    {
        requests
            .slowdown
            .get_or_insert_with(|| Slowdown::new(bounds, factor, limits.dependence))
            .begin_step(weight, later);
    }
    requests.canary.clear();
    requests.stable.clear();
    requests.begun = true;
}

/// Goes on with histograms over other bounds.
fn rebase(requests: &mut Requests, bounds: &[f64]) {
    if requests.bounds != bounds {
        for side in [&mut requests.canary, &mut requests.stable] {
            *side = rebased(side, &requests.bounds, bounds).unwrap_or_default();
        }
        requests.bounds = bounds.to_vec();
    }
}

/// Adds what came in to a cumulative histogram over the same bounds.
pub(super) fn add(sum: &mut Vec<f64>, more: &[f64]) {
    sum.resize(more.len(), 0.0);
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
    histogram::tidy(sum);
}

/// Returns the share of bad requests that the step has to exclude. What is at stake is what the next
/// step's traffic could lose before it is taken back; as long as the traffic is not known, and before
/// full promotion, the limit itself has to be kept.
fn to_exclude(rules: &Rules, known: Option<f64>, circumstances: Circumstances) -> f64 {
    let Some(limit) = rules.limit else {
        return 1.0;
    };
    let next = circumstances.next.zip(known);
    let next = next.map(|(weight, rate)| rate * weight);
    rate_to_exclude(limit, next, AT_RISK, REACTION)
}
