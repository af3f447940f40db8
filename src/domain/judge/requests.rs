//! Checks that count requests: errors, slow requests, good requests, the canary's share.
//!
//! Owns: what a look brings to such a check, when a step begins, what is at stake. Must not: know where
//! the counts came from, or how the verdict is said.

use super::{
    Circumstances, Finding, Half, Open, Pool, windows,
    words::{self, Subject},
};
use crate::{
    analysis::{
        counts::{Counts, Look},
        evidence::ALPHA,
        forecast,
        histogram::{self, Histogram},
        interval,
        latency::{Slowdown, slow_requests},
        meter::places,
        proof::{AT_RISK, BETA, REACTION, rate_to_exclude},
        rollout::{ERRORS_RATIO_SHARE, ERRORS_SHARE, LATENCY_SHARE, SLOWDOWN_SHARE, Weighed},
        share::Rules,
        silence::Quiet,
        split::{Agreement, agreement},
    },
    domain::{
        check::{Limits, Memory, Mode, Rate, Reading, Requests, Sample, SubjectMemory},
        meters::{Counted, seconds},
        verdict::{Unknown, Verdict},
    },
};

/// What one look brings to one check.
pub(super) struct Brought {
    /// Requests of both sides; those are bad that the check counts as bad.
    pub(super) look: Look,
    /// Bounds of the histograms, and what came in both.
    pub(super) histograms: Option<(Vec<f64>, Vec<f64>, Vec<f64>)>,
    /// Why the canary could not be counted.
    pub(super) missing: Option<(Unknown, String)>,
    /// Why stable could not be counted.
    pub(super) stable_missing: Option<String>,
    /// What silence means.
    pub(super) quiet: Quiet,
}

/// A check of requests whose look was taken in.
struct Case {
    subject: Subject,
    rules: Rules,
    min_requests: u64,
    parts: Vec<Weighed>,
    missing: Option<(Unknown, String)>,
    stable_missing: Option<String>,
    quiet: Quiet,
    circumstances: Circumstances,
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
    let brought = Brought {
        look,
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
    let now = circumstances.now;
    let before = memory.requests.as_ref().and_then(|requests| requests.at);
    let canary = Counts::new(all, all - good).unwrap_or(Counts::NONE);
    let brought = Brought {
        look: Look::new(
            seconds(before.unwrap_or(circumstances.started), now),
            canary,
            Counts::NONE,
        ),
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

/// Judges the canary's share of the requests.
pub(super) fn traffic(
    memory: &mut Memory,
    counted: Option<&Counted>,
    (tolerance, min_requests): (f64, u64),
    circumstances: Circumstances,
) -> Finding {
    let Some(counted) = counted else {
        return Finding::unknown(Unknown::Query, 0, NO_SOURCE);
    };
    let requests = memory.requests.get_or_insert_default();
    let (canary, stable) = (counted.canary.counts, counted.stable.counts);
    if !requests.begun || !circumstances.steady {
        // While the split moves there is nothing to compare with.
        requests.begun = circumstances.elapsed >= circumstances.lag && circumstances.steady;
        (requests.canary_run, requests.stable_run) = (Counts::NONE, Counts::NONE);
    } else {
        requests.canary_run = requests.canary_run.plus(canary);
        requests.stable_run = requests.stable_run.plus(stable);
    }
    let (ours, theirs) = (requests.canary_run.all(), requests.stable_run.all());
    let both = Counts::new(ours + theirs, ours).unwrap_or(Counts::NONE);
    let asked = circumstances.weight;
    let samples = words::rounded(both.all());
    let said = words::traffic(both, asked);
    let finding = |verdict, unknown, text: String| Finding {
        verdict,
        unknown,
        value: both.share(),
        interval: interval_of(both),
        samples,
        ..Finding::new(verdict, 0, text)
    };
    if let Some((why, text)) = &counted.missing {
        return finding(Verdict::Unknown, Some(*why), format!("{said}; {text}"));
    }
    if let Some(text) = &counted.stable_missing {
        let text = format!("{said}; {text}");
        return finding(Verdict::Unknown, Some(Unknown::NoData), text);
    }
    if counted.quiet == Quiet::Still {
        let text = format!("{said}; {STILL}");
        return finding(Verdict::Unknown, Some(Unknown::NoTraffic), text);
    }
    if !requests.begun {
        let text = "the split is moving".to_owned();
        return finding(Verdict::Unknown, Some(Unknown::Pending), text);
    }
    if both.all() <= 0.0 {
        return finding(Verdict::Unknown, Some(Unknown::NoTraffic), said);
    }
    match agreement(ours, theirs, asked, tolerance) {
        Agreement::Differs => {
            let text = format!("{said}: surely more than {} off", words::points(tolerance));
            finding(Verdict::Unhealthy, None, text)
        }
        Agreement::Agrees if samples >= min_requests => finding(Verdict::Healthy, None, said),
        Agreement::Agrees | Agreement::TooFew => {
            // Nothing speaks against it once there are enough requests to see a gross error.
            let close = both
                .share()
                .is_some_and(|seen| (seen - asked).abs() <= tolerance);
            if close && samples >= min_requests {
                finding(Verdict::Healthy, None, said)
            } else {
                let text = format!("{said}; {min_requests} requests wanted");
                finding(Verdict::Unknown, Some(Unknown::TooFew), text)
            }
        }
    }
}

/// What a check says while requests are due and nothing is counted.
const STILL: &str = "neither side has counted a request for a while, though many were due: the traffic \
                     has stopped, or the metrics stand still";

/// What a check says that needs metrics, where there is no source of them.
pub(super) const NO_SOURCE: &str = "no source of metrics: give the plan `metrics`";

fn nothing() -> Half {
    Half::Done(Finding::unknown(Unknown::Query, 0, NO_SOURCE))
}

fn brought(counted: &Counted) -> Brought {
    Brought {
        look: Look::default(),
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
    let requests = memory.requests.get_or_insert_default();
    let look = &brought.look;
    let news = look.canary.all() + look.stable.all() > 0.0;
    if news {
        observe(requests, &brought, (&subject, &rules), circumstances);
    }
    if !requests.begun {
        if circumstances.elapsed >= circumstances.lag {
            begin_step(requests, (&subject, &rules), circumstances);
        }
    } else if news
        && requests.rate.known.is_none()
        && let Some(rate) = requests.rate.average(circumstances.weight)
    {
        requests.rate.known = Some(rate);
        let demanded = to_exclude(&rules, Some(rate), circumstances);
        requests.share.demand(demanded);
    }
    if news || requests.at.is_none() {
        requests.at = Some(circumstances.now);
    }
    Half::Open(Box::new(Case {
        parts: parts(requests, &subject, &rules),
        subject,
        rules,
        min_requests,
        missing: brought.missing,
        stable_missing: brought.stable_missing,
        quiet: brought.quiet,
        circumstances,
    }))
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
    requests.share.observe(&rules, look, circumstances.steps);
    requests.canary_run = requests.canary_run.plus(look.canary);
    requests.stable_run = requests.stable_run.plus(look.stable);
    if requests.at.is_some() {
        requests.rate.requests += look.canary.all() + look.stable.all();
        requests.rate.canary += look.canary.all();
        requests.rate.seconds += look.seconds;
    }
    let (Some((bounds, canary, stable)), Subject::Latency { limits, .. }) =
        (&brought.histograms, subject)
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
    }
}

fn begin_step(
    requests: &mut Requests,
    (subject, rules): (&Subject, &Rules),
    circumstances: Circumstances,
) {
    let Circumstances { weight, step, .. } = circumstances;
    let measured = requests.rate.average(weight);
    requests.rate = Rate {
        known: measured.or(requests.rate.known),
        ..Rate::default()
    };
    let demanded = to_exclude(rules, requests.rate.known, circumstances);
    requests.share.begin_step(weight, demanded, step > 0);
    if let (Subject::Latency { limits, .. }, Some(bounds)) = (
        subject,
        (!requests.bounds.is_empty()).then_some(&requests.bounds),
    ) && let Some(factor) = limits.max_ratio
    {
        requests
            .slowdown
            .get_or_insert_with(|| Slowdown::new(bounds, factor, limits.dependence))
            .begin_step(weight, step > 0);
    }
    requests.canary.clear();
    requests.stable.clear();
    requests.begun = true;
}

/// Goes on with histograms over other bounds.
fn rebase(requests: &mut Requests, bounds: &[f64]) {
    if requests.bounds != bounds {
        let kept = places(&requests.bounds, bounds);
        for side in [&mut requests.canary, &mut requests.stable] {
            *side = match &kept {
                Some(kept) if side.len() == requests.bounds.len() + 1 => {
                    kept.iter().map(|at| side[*at]).collect()
                }
                Some(_) | None => Vec::new(),
            };
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

impl Rate {
    /// Returns requests per second of both sides; where stable is not counted, from the canary's
    /// `weight`. `None` without requests.
    fn average(&self, weight: f64) -> Option<f64> {
        let all = if self.requests > self.canary {
            self.requests
        } else if weight > 0.0 {
            self.canary / weight
        } else {
            0.0
        };
        let rate = all / self.seconds;
        (rate.is_finite() && rate > 0.0).then_some(rate)
    }
}

fn parts(requests: &Requests, subject: &Subject, rules: &Rules) -> Vec<Weighed> {
    let share = &requests.share;
    let (of_limit, of_ratio) = match subject {
        Subject::Errors(_) | Subject::Good(_) => (ERRORS_SHARE, ERRORS_RATIO_SHARE),
        Subject::Latency { .. } => (LATENCY_SHARE, SLOWDOWN_SHARE),
    };
    let weighed = |share, log_value| Weighed { share, log_value };
    let limit = rules
        .limit
        .map(|_| weighed(of_limit, share.absolute_value()));
    let ratio = match subject {
        Subject::Errors(_) | Subject::Good(_) => rules
            .ratio
            .map(|_| weighed(of_ratio, share.relative_value())),
        Subject::Latency { limits, .. } => limits.max_ratio.map(|_| {
            let slowdown = requests.slowdown.as_ref();
            weighed(of_ratio, slowdown.map_or(0.0, Slowdown::log_value))
        }),
    };
    limit.into_iter().chain(ratio).collect()
}

fn interval_of(counts: Counts) -> Option<(f64, f64)> {
    let interval = interval::rate(counts, interval::DOUBT);
    (counts.all() > 0.0).then_some((interval.low, interval.high))
}

impl Open for Case {
    fn parts(&self) -> &[Weighed] {
        &self.parts
    }

    fn close(&self, memory: &Memory, pool: Pool) -> Finding {
        let nothing = Requests::default();
        let requests = memory.requests.as_deref().unwrap_or(&nothing);
        let said = words::sides(&self.subject, requests, pool.condemns());
        let (verdict, unknown, more) = self.verdict(requests, pool);
        let text = match &self.stable_missing {
            Some(why) if verdict == Verdict::Healthy && self.compares() => {
                format!("{}; not compared with stable: {why}", said.text)
            }
            Some(_) | None => said.text,
        };
        Finding {
            unknown,
            value: said.value,
            stable: said.stable,
            interval: said.interval,
            evidence: Some(pool.log_value.exp().min(1e9)),
            confidence: Some(words::confidence(pool.log_value)),
            samples: words::rounded(requests.share.canary().all()),
            hopeless: verdict == Verdict::Unknown && self.quiet == Quiet::TooLong,
            // Where nothing has to be excluded, nothing is proven either.
            proven: self.rules.limit.map(|_| {
                let share = &requests.share;
                verdict == Verdict::Healthy && share.to_exclude() < 1.0 && share.is_proven(BETA)
            }),
            ..Finding::new(verdict, 0, format!("{text}{more}"))
        }
    }
}

impl Case {
    fn compares(&self) -> bool {
        self.rules.ratio.is_some()
            || matches!(self.subject, Subject::Latency { limits, .. } if limits.max_ratio.is_some())
    }

    /// Returns why nothing is asked of the canary at all: the comparison with stable is the only limit, and
    /// stable, which has a share of the traffic, is not counted.
    fn nothing_compared(&self) -> Option<&str> {
        let asked = self.rules.limit.is_some() || self.circumstances.weight >= 1.0;
        self.stable_missing.as_deref().filter(|_| !asked)
    }

    /// Returns the verdict, why it is unknown, and what follows the numbers in the sentence.
    fn verdict(&self, requests: &Requests, pool: Pool) -> (Verdict, Option<Unknown>, String) {
        let share = &requests.share;
        let all = share.canary().all();
        let unknown = |why, text| (Verdict::Unknown, Some(why), text);
        if pool.condemns() {
            let text = words::worse(&self.subject, &self.parts, pool.log_value);
            return (Verdict::Unhealthy, None, text);
        }
        if let Some((why, text)) = &self.missing {
            return unknown(*why, format!("; {text}"));
        }
        if !requests.begun {
            let text = "; what the metrics show now was counted before this step";
            return unknown(Unknown::Pending, text.to_owned());
        }
        if self.quiet == Quiet::NoTraffic || (self.quiet == Quiet::TooLong && all <= 0.0) {
            let text = "; stable has requests and the canary none: no traffic reaches it, or its \
                        metrics are missing";
            return unknown(Unknown::NoTraffic, text.to_owned());
        }
        if self.quiet == Quiet::Still {
            return unknown(Unknown::NoTraffic, format!("; {STILL}"));
        }
        if let Some(why) = self.nothing_compared() {
            return unknown(
                Unknown::NoData,
                format!("; not compared with stable: {why}"),
            );
        }
        if share.stable_fails() {
            let text = "; stable itself is beyond the limit: the version is not to blame";
            return unknown(Unknown::Pending, text.to_owned());
        }
        if all <= 0.0 {
            let text = format!("; {} wanted", words::requests(self.min_requests));
            return unknown(Unknown::NoTraffic, text);
        }
        if pool.suspects() {
            return unknown(Unknown::Pending, words::evidence(pool.log_value));
        }
        let patient = self.circumstances.elapsed < self.circumstances.patience;
        let last = self.circumstances.next.is_none();
        if share.breaks(&self.rules) && (last || patient) {
            let text = words::breaks(&self.subject, &self.rules, share, pool.log_value);
            return unknown(Unknown::Pending, text);
        }
        if words::rounded(all) < self.min_requests {
            let text = format!("; {} wanted", words::requests(self.min_requests));
            return unknown(Unknown::TooFew, text);
        }
        if !share.is_proven(BETA) {
            return unknown(Unknown::TooFew, self.unproven(requests));
        }
        (
            Verdict::Healthy,
            None,
            words::proven(&self.subject, share.to_exclude()),
        )
    }

    /// Returns what is not proven yet, and how long it will take.
    fn unproven(&self, requests: &Requests) -> String {
        let share = &requests.share;
        let (canary, wanted) = (share.canary(), share.to_exclude());
        let likely = (canary.bad() + 0.5) / (canary.all() + 1.0);
        let done = share.proof().log_value() / (1.0 / BETA).ln();
        let more = forecast::requests_to_prove(likely, wanted)
            .map(|needed| (needed * (1.0 - done)).max(1.0));
        let weight = self.circumstances.weight;
        let rate = requests.rate.average(weight).or(requests.rate.known);
        let time = more
            .zip(rate)
            .and_then(|(more, rate)| forecast::seconds(more, rate, weight));
        words::unproven(&self.subject, canary, wanted, more.zip(time))
    }
}

/// Returns the evidence from which the canary is condemned, as odds to 1.
pub(super) fn needed() -> f64 {
    1.0 / ALPHA
}
