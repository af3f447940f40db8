//! Sentences of checks.
//!
//! Owns: how a limit, a value beside stable's, proof and evidence are said. Must not: judge.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    analysis::{
        counts::Counts,
        histogram::{Histogram, bracket},
        interval::{self, Interval},
        share::Rules,
        words::{self, Confidence},
    },
    domain::{
        braking::{Braking, Stage},
        check::{Limits, Requests, Rule},
        meters::seconds,
    },
};

/// What a check of requests is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Subject {
    /// Failed requests.
    Errors(Limits),
    /// Slow requests: limits in seconds.
    Latency {
        /// The quantile, in (0, 1).
        quantile: f64,
        /// The limits.
        limits: Limits,
    },
    /// Good requests: at least this share of them.
    Good(f64),
}

/// The numbers of a check, and in words.
pub(super) struct Said {
    pub(super) value: Option<f64>,
    pub(super) stable: Option<f64>,
    pub(super) interval: Option<(f64, f64)>,
    pub(super) text: String,
}

/// Which requests of a check are said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    /// Those of the present step.
    Step,
    /// Those of the whole run: a canary may be condemned by what came at earlier steps.
    Run,
}

/// Returns the limit of a rule in words.
pub fn limit(rule: Rule) -> String {
    let both = |max: Option<String>, ratio: Option<f64>| {
        let ratio = ratio.map(|ratio| format!("≤ {ratio}× stable"));
        let limits: Vec<String> = max.into_iter().chain(ratio).collect();
        limits.join(", ")
    };
    match rule {
        Rule::Condition { .. } => "holds".to_owned(),
        Rule::Number(number) => {
            let say = |limit| number.unit.say(limit);
            let range = match (number.min, number.max) {
                (Some(min), Some(max)) => Some(format!("{} to {}", say(min), say(max))),
                (Some(min), None) => Some(format!("≥ {}", say(min))),
                (None, Some(max)) => Some(format!("≤ {}", say(max))),
                (None, None) if number.max_ratio.is_some() => None,
                (None, None) => Some("is a number".to_owned()),
            };
            both(range, number.max_ratio)
        }
        Rule::Share { min, .. } => format!("≥ {}", percent(min)),
        Rule::Errors(limits) => both(
            limits.max.map(|max| format!("≤ {}", percent(max))),
            limits.max_ratio,
        ),
        Rule::Latency { limits, .. } => both(
            limits.max.map(|max| format!("≤ {}", span(max))),
            limits.max_ratio,
        ),
        Rule::Traffic { tolerance, .. } => format!("as asked, ± {}", points(tolerance)),
        Rule::Pods { max_restarts } => format!("ready, ≤ {max_restarts} restarts"),
    }
}

/// Returns a fraction as a percentage with at most two decimals.
pub fn percent(fraction: f64) -> String {
    let text = format!("{:.2}", fraction * 100.0);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}%")
}

/// Returns seconds as people write them: `320 ms`, `1.5 s`.
pub fn span(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "beyond the histogram".to_owned();
    }
    let trimmed = |number: f64, decimals: usize| {
        let text = format!("{number:.decimals$}");
        if text.contains('.') {
            return text.trim_end_matches('0').trim_end_matches('.').to_owned();
        }
        text
    };
    match seconds {
        s if s >= 10.0 => format!("{} s", trimmed(s, 0)),
        s if s >= 1.0 => format!("{} s", trimmed(s, 2)),
        s if s >= 0.01 => format!("{} ms", trimmed(s * 1e3, 0)),
        s => format!("{} ms", trimmed(s * 1e3, 2)),
    }
}

/// Returns a difference of shares in percentage points.
pub(super) fn points(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} points")
}

/// What is said of numbers that requests of the plan's own are among.
pub(super) const WITH_LOAD: &str = ", counting `load`";

/// Returns a number of requests in words.
pub(super) fn requests(number: u64) -> String {
    if number == 1 {
        return "1 request".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "limits are small")]
    let number = number as f64;
    format!("{} requests", words::count(number))
}

/// Returns a count without its fraction.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are finite, not negative and far below 2^53"
)]
pub(super) fn rounded(count: f64) -> u64 {
    count.round() as u64
}

/// Returns both sides' numbers and the limits: *what, limit, stable*.
pub(super) fn sides(subject: &Subject, rules: &Rules, requests: &Requests, span: Span) -> Said {
    let (canary, stable) = match span {
        Span::Step => (requests.share.canary(), requests.share.stable()),
        Span::Run => (requests.canary_run, requests.stable_run),
    };
    let mut said = match subject {
        Subject::Errors(limits) => errors(canary, stable, (limits, rules)),
        Subject::Good(min) => good(canary, *min),
        Subject::Latency { quantile, limits } => latency(*quantile, limits, (canary, requests)),
    };
    if span == Span::Run {
        said.text += " (whole run)";
    }
    said
}

fn ends(interval: Interval) -> (f64, f64) {
    (interval.low, interval.high)
}

/// Returns `bad of all`.
fn of(counts: Counts) -> String {
    let (bad, all) = (words::count(counts.bad()), words::count(counts.all()));
    format!("{bad} of {all}")
}

fn in_requests(counts: Counts) -> String {
    requests(rounded(counts.all()))
}

fn errors(canary: Counts, stable: Counts, (limits, rules): (&Limits, &Rules)) -> Said {
    let fails = match canary.share() {
        None => "no requests yet".to_owned(),
        Some(_) if canary.bad() <= 0.0 => format!("no errors in {}", in_requests(canary)),
        Some(share) => format!("{} fail ({})", words::percent(share), of(canary)),
    };
    let theirs = stable.share();
    let compared = rules.ratio.map(|ratio| match theirs {
        Some(share) if ratio * share >= rules.floor => {
            format!("{ratio}× stable's {}", words::percent(share))
        }
        Some(share) => format!(
            "{ratio}× stable's {}, at least {}",
            words::percent(share),
            percent(rules.floor)
        ),
        None => format!("{ratio}× stable"),
    });
    let beside = theirs.filter(|_| compared.is_none());
    let beside = beside.map(|share| format!(", stable {}", words::percent(share)));
    let limit = limits.max.map(percent).into_iter().chain(compared);
    let limit: Vec<String> = limit.collect();
    Said {
        value: canary.share(),
        stable: theirs,
        interval: canary
            .share()
            .map(|_| ends(interval::rate(canary, interval::DOUBT))),
        text: format!("{fails}{}{}", limited(&limit), beside.unwrap_or_default()),
    }
}

/// Returns the limits of a check after its value.
fn limited(limits: &[String]) -> String {
    if limits.is_empty() {
        return String::new();
    }
    format!(", limit {}", limits.join(" and "))
}

fn good(canary: Counts, min: f64) -> Said {
    let limit = percent(min);
    let Some(bad) = canary.share() else {
        return Said {
            value: None,
            stable: None,
            interval: None,
            text: format!("no requests yet, minimum {limit} good"),
        };
    };
    let of_bad = interval::rate(canary, interval::DOUBT);
    let of_good = Interval {
        low: 1.0 - of_bad.high,
        high: 1.0 - of_bad.low,
    };
    let share = words::percent(1.0 - bad);
    let (well, all) = (
        words::count(canary.all() - canary.bad()),
        words::count(canary.all()),
    );
    Said {
        value: Some(1.0 - bad),
        stable: None,
        interval: Some(ends(of_good)),
        text: format!("{share} good ({well} of {all}), minimum {limit}"),
    }
}

fn latency(quantile: f64, limits: &Limits, (canary, requests): (Counts, &Requests)) -> Said {
    let side = |cumulative| Histogram::new(&requests.bounds, cumulative);
    let at = |side: Option<Histogram<'_>>| side.and_then(|side| side.quantile(quantile));
    let (ours, theirs) = (side(&requests.canary), side(&requests.stable));
    let finite = |value: Option<f64>| value.filter(|v| v.is_finite());
    let stable = finite(at(theirs));
    let compared = limits.max_ratio.map(|ratio| match stable {
        Some(stable) => format!("{ratio}× stable's {}", span(stable)),
        None => format!("{ratio}× stable"),
    });
    let beside = stable.filter(|_| compared.is_none());
    let beside = beside.map(|stable| format!(", stable {}", span(stable)));
    let limit: Vec<String> = limits.max.map(span).into_iter().chain(compared).collect();
    let limit = limited(&limit);
    let Some(value) = at(ours) else {
        return Said {
            value: None,
            stable,
            interval: None,
            text: format!("no requests yet{limit}"),
        };
    };
    let between = ours.map(|ours| ours.quantile_interval(quantile, interval::DOUBT));
    let slower = if limits.max.is_some() {
        format!(", {} slower", of(canary))
    } else {
        format!(", {}", in_requests(canary))
    };
    let blurred = limits
        .max
        .filter(|max| !bracket(&requests.bounds, *max).is_exact());
    let blurred = blurred.map(|max| format!("; no bucket ends at {}", span(max)));
    let shown = if value.is_finite() {
        span(value)
    } else {
        let last = requests.bounds.last().copied().unwrap_or_default();
        format!("more than {}", span(last))
    };
    Said {
        value: finite(Some(value)),
        stable,
        interval: between
            .filter(|b| b.high.is_finite())
            .map(|b| (b.low, b.high)),
        text: format!(
            "{shown}{limit}{slower}{}{}",
            beside.unwrap_or_default(),
            blurred.unwrap_or_default()
        ),
    }
}

/// Returns the canary's share of all requests beside the one that is meant.
pub(super) fn traffic(both: Counts, asked: f64) -> String {
    let asked = percent(asked);
    match both.share() {
        Some(share) => format!(
            "{} of the requests ({}), asked {asked}",
            words::percent(share),
            of(both)
        ),
        None => format!("no requests on either side, {asked} asked"),
    }
}

/// Returns how sure it is that the canary is worse than tolerated.
pub(super) fn confidence(log_value: f64) -> String {
    Confidence::of(log_value).to_string()
}

/// Returns for how long nothing was counted.
pub(super) fn nothing_since(at: Timestamp, now: Timestamp) -> String {
    let silent = Duration::from_secs(Duration::from_secs_f64(seconds(at, now)).as_secs());
    format!(
        "nothing counted for {}: ",
        humantime::format_duration(silent)
    )
}

/// Odds from which a canary is called nearly sure to be worse than its limits.
pub(super) const NEARLY: f64 = 20.0;

/// Returns what follows from evidence that is not enough yet: the rollback, and in how many seconds, where that can be
/// told.
pub(super) fn suspected(log_value: f64, seconds: Option<f64>) -> String {
    let sure = if log_value >= NEARLY.ln() {
        "nearly sure, "
    } else {
        "not sure yet, "
    };
    let when = seconds.map(|seconds| format!(" in about {}", duration(round(seconds))));
    let when = when.unwrap_or_default();
    format!(": {sure}rollback{when} if it continues")
}

/// Returns which pod of several is bad, while the others are not.
pub(super) fn one_pod(pod: &str, own: Counts, others: usize) -> String {
    let share = own.share().unwrap_or(0.0);
    let others = match others {
        1 => "the other one is".to_owned(),
        others => format!("the other {others} are"),
    };
    let bad = if own.bad() > 0.0 {
        format!("fails {}", percent(share))
    } else {
        "failed earlier".to_owned()
    };
    format!(": pod {pod} alone {bad}, {others} fine; delete it to continue")
}

/// Returns seconds as an estimate deserves it: to 5 s, from a minute on to 10 s.
fn round(seconds: f64) -> f64 {
    let to = if seconds < 60.0 { 5.0 } else { 10.0 };
    (seconds / to).ceil().max(1.0) * to
}

/// Returns why the traffic is taken off, or lowered where the canary was never calm, where this check is `blamed` for
/// it.
pub(super) fn rests(blamed: bool, stage: Stage) -> String {
    let rest = duration(Braking::rest().as_secs_f64());
    match (blamed, stage) {
        (true, Stage::Probing) => ": traffic lowered to evaluate it again".to_owned(),
        (false, Stage::Probing) => "; traffic lowered".to_owned(),
        (true, Stage::Resting | Stage::Ordinary) => {
            format!(": traffic paused for {rest} to see whether it is a burst")
        }
        (false, Stage::Resting | Stage::Ordinary) => "; traffic paused".to_owned(),
    }
}

/// Returns for what a canary is good that has proven enough, where it had something to prove.
pub(super) fn good_for(next: Option<f64>, excluded: f64) -> String {
    match next {
        _ if excluded >= 1.0 => String::new(),
        Some(weight) => format!(": enough for {}", percent(weight)),
        None => ": enough to promote".to_owned(),
    }
}

/// Returns that a step is proven anew, where it is.
pub(super) fn anew(anew: bool) -> &'static str {
    if anew {
        "; counts restarted after a burst"
    } else {
        ""
    }
}

/// Returns what a small service leaves open that has not failed a request.
pub(super) fn not_excluded(subject: &Subject, canary: Counts) -> String {
    let open = percent_up(interval::rate(canary, interval::DOUBT).high);
    let what = match subject {
        Subject::Errors(_) | Subject::Good(_) => "error rates",
        Subject::Latency { .. } => "shares of slow requests",
    };
    format!(": enough for so little traffic; {what} up to {open} are not excluded")
}

/// Returns a share in whole percents, rounded up.
fn percent_up(share: f64) -> String {
    format!("{:.0}%", (share * 100.0).ceil())
}

/// What is said where nobody can tell how many requests are enough.
pub(super) const TOO_NEAR: &str = "; too close to the limit to say how long it takes";

/// Returns what has to come before the next weight, or the promotion; `more` in requests and seconds. Of few bad
/// requests nobody can tell how many more there will be.
pub(super) fn unproven(next: Option<f64>, canary: Counts, more: Option<(f64, f64)>) -> String {
    let before = match next {
        Some(weight) => format!("before {}", percent(weight)),
        None => "to promote".to_owned(),
    };
    match more {
        Some((requests, seconds)) if canary.bad() <= 0.0 || canary.bad() >= FORESEEABLE => {
            let (requests, seconds) = (words::count(requests.ceil()), duration(seconds));
            let noun = if requests == "1" {
                "request"
            } else {
                "requests"
            };
            format!("; about {requests} more {noun} ({seconds}) {before}")
        }
        Some((_, seconds)) => {
            let (least, most) = (
                duration(round(seconds / 2.0)),
                duration(round(seconds * 2.0)),
            );
            format!("; more requests needed {before}, {least} to {most}")
        }
        None => format!("; more requests needed {before}"),
    }
}

/// Bad requests from which a forecast is more than noise.
const FORESEEABLE: f64 = 5.0;

/// Returns what is waited for while the source shows nothing of the present step; it is behind by `lag` seconds.
pub(super) fn first_samples(weight: f64, lag: f64) -> String {
    let weight = percent(weight);
    if lag > 0.0 {
        let lag = duration(lag);
        format!("waiting for the first samples at {weight} (up to {lag})")
    } else {
        format!("waiting for the first requests at {weight}")
    }
}

/// Returns what is said while new pods warm up, for so many seconds more.
pub(super) fn warms(seconds: f64) -> String {
    let left = duration(seconds);
    format!("new pods warm up, their requests count in {left}")
}

/// Returns how many requests a check waits for; `rate` is the canary's, in requests/s.
pub(super) fn wanted(least: u64, canary: Counts, rate: Option<f64>) -> String {
    #[expect(clippy::cast_precision_loss, reason = "limits are small")]
    let missing = (least as f64 - canary.all()).max(1.0);
    let rate = rate.filter(|rate| *rate > 0.0);
    let Some(seconds) = rate.map(|rate| missing / rate) else {
        return format!("; {} needed", requests(least));
    };
    let slow = rate.filter(|_| seconds >= SLOW);
    let sooner = slow.map(|rate| format!(" at {}/s (shorter with `load`)", words::decimal(rate)));
    let time = duration(seconds);
    format!(
        "; {least} needed, about {time} more{}",
        sooner.unwrap_or_default()
    )
}

/// Seconds of waiting for requests from which it is said what makes it shorter.
const SLOW: f64 = 120.0;

/// Returns seconds as an estimate: `45s`, `16m`, `1h10m`.
pub fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).ceil();
    match seconds {
        s if s < 60.0 => format!("{:.0}s", s.ceil()),
        s if s < 90.0 => "1m".to_owned(),
        s if s < 5400.0 => format!("{minutes:.0}m"),
        s if s < 36_000.0 => {
            let tens = (minutes / 10.0).round() * 10.0;
            let (hours, rest) = ((tens / 60.0).floor(), tens % 60.0);
            if rest > 0.0 {
                format!("{hours:.0}h{rest:.0}m")
            } else {
                format!("{hours:.0}h")
            }
        }
        s if s < 1e6 => format!("{:.0}h", (s / 3600.0).ceil()),
        _ => "more than a week".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_people_write_them() {
        for (seconds, text) in [
            (0.5, "500 ms"),
            (1.0, "1 s"),
            (1.25, "1.25 s"),
            (0.0025, "2.5 ms"),
            (42.0, "42 s"),
            (f64::INFINITY, "beyond the histogram"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
