//! Sentences of checks.
//!
//! Owns: how a limit, a value beside stable's, proof and evidence are said. Must not: judge.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    analysis::{
        counts::Counts,
        evidence::ALPHA,
        histogram::{Histogram, bracket},
        interval::{self, Interval},
        rollout::Weighed,
        share::{Rules, Share},
        words::{self, Confidence},
    },
    domain::{
        check::{Limits, Requests, Rule},
        meters::seconds,
    },
};

use super::{BLAME, Signals};

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
    format!("{text} %")
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

/// Returns both sides' numbers at this step; where it has none yet and the canary is `condemned` all the
/// same, those of the run.
pub(super) fn sides(subject: &Subject, requests: &Requests, condemned: bool) -> Said {
    let share = &requests.share;
    let (mut canary, mut stable) = (share.canary(), share.stable());
    if condemned && canary.all() <= 0.0 {
        (canary, stable) = (requests.canary_run, requests.stable_run);
    }
    match subject {
        Subject::Errors(_) => errors(canary, stable),
        Subject::Good(_) => good(canary),
        Subject::Latency { quantile, limits } => latency(*quantile, limits.max, (canary, requests)),
    }
}

fn ends(interval: Interval) -> (f64, f64) {
    (interval.low, interval.high)
}

fn errors(canary: Counts, stable: Counts) -> Said {
    let against = stable
        .share()
        .map(|share| format!(" against {} on stable", words::percent(share)));
    Said {
        value: canary.share(),
        stable: stable.share(),
        interval: canary
            .share()
            .map(|_| ends(interval::rate(canary, interval::DOUBT))),
        text: format!("{}{}", rate(canary), against.unwrap_or_default()),
    }
}

/// Returns a share of bad requests with its interval and counts.
fn rate(counts: Counts) -> String {
    match counts.share() {
        Some(_) => words::rate(counts).replacen(')', " requests)", 1),
        None => "no requests yet".to_owned(),
    }
}

fn good(canary: Counts) -> Said {
    let Some(bad) = canary.share() else {
        return Said {
            value: None,
            stable: None,
            interval: None,
            text: "no requests yet".to_owned(),
        };
    };
    let of_bad = interval::rate(canary, interval::DOUBT);
    let of_good = Interval {
        low: 1.0 - of_bad.high,
        high: 1.0 - of_bad.low,
    };
    let (good, all) = (
        words::count(canary.all() - canary.bad()),
        words::count(canary.all()),
    );
    let between = words::percent_interval(of_good);
    Said {
        value: Some(1.0 - bad),
        stable: None,
        interval: Some(ends(of_good)),
        text: format!(
            "{} ({between}; {good} of {all} requests)",
            words::percent(1.0 - bad)
        ),
    }
}

fn latency(quantile: f64, max: Option<f64>, (canary, requests): (Counts, &Requests)) -> Said {
    let side = |cumulative| Histogram::new(&requests.bounds, cumulative);
    let at = |side: Option<Histogram<'_>>| side.and_then(|side| side.quantile(quantile));
    let (ours, theirs) = (side(&requests.canary), side(&requests.stable));
    let finite = |value: Option<f64>| value.filter(|v| v.is_finite());
    let Some(value) = at(ours) else {
        return Said {
            value: None,
            stable: finite(at(theirs)),
            interval: None,
            text: "no requests yet".to_owned(),
        };
    };
    let between = ours.map(|ours| ours.quantile_interval(quantile, interval::DOUBT));
    let ends = between.map(|b| match (b.low > 0.0, b.high.is_finite()) {
        (true, true) => format!("{}–{}", span(b.low), span(b.high)),
        (true, false) => format!("above {}", span(b.low)),
        (false, true) => format!("below {}", span(b.high)),
        (false, false) => "not known".to_owned(),
    });
    let slower = max.map(|max| {
        let (bad, all) = (words::count(canary.bad()), words::count(canary.all()));
        format!("; {bad} of {all} requests slower than {}", span(max))
    });
    let between_bounds = max.filter(|max| !bracket(&requests.bounds, *max).is_exact());
    let blurred = between_bounds.map(|max| format!("; {} is no bound of the histogram", span(max)));
    let shown = if value.is_finite() {
        span(value)
    } else {
        let last = requests.bounds.last().copied().unwrap_or_default();
        format!("more than {}", span(last))
    };
    let against = at(theirs).map(|theirs| format!(" against {} on stable", span(theirs)));
    Said {
        value: finite(Some(value)),
        stable: finite(at(theirs)),
        interval: between
            .filter(|b| b.high.is_finite())
            .map(|b| (b.low, b.high)),
        text: format!(
            "{shown} ({}{}{}){}",
            ends.unwrap_or_default(),
            slower.unwrap_or_default(),
            blurred.unwrap_or_default(),
            against.unwrap_or_default()
        ),
    }
}

/// Returns the canary's share of all requests beside the one that is meant.
pub(super) fn traffic(both: Counts, asked: f64) -> String {
    let asked = percent(asked);
    if both.all() <= 0.0 {
        return format!("no requests on either side, {asked} asked");
    }
    format!("{}, asked {asked}", rate(both))
}

/// Returns how sure it is that the canary is worse than tolerated.
pub(super) fn confidence(log_value: f64) -> String {
    Confidence::of(log_value).to_string()
}

/// Returns what the canary is condemned for.
pub(super) fn worse(subject: &Subject, parts: &[Weighed], log_value: f64) -> String {
    let weight = |part: &Weighed| part.share.ln() + part.log_value;
    let most = parts.iter().map(weight).fold(f64::NEG_INFINITY, f64::max);
    let (limit, ratio) = match subject {
        Subject::Errors(limits) | Subject::Latency { limits, .. } => (limits.max, limits.max_ratio),
        Subject::Good(_) => (Some(0.0), None),
    };
    let beyond = limit.map(|_| beyond(subject));
    let ratio = ratio.map(|ratio| match subject {
        Subject::Latency { .. } => format!("more than {ratio}× slower"),
        Subject::Errors(_) | Subject::Good(_) => format!("more than {ratio}× worse"),
    });
    let named = beyond.into_iter().chain(ratio).zip(parts);
    let guilty: Vec<String> = named
        .filter(|(_, part)| weight(part) >= most + BLAME.ln())
        .map(|(text, _)| text)
        .collect();
    format!(": {}, {}", guilty.join(" and "), Confidence::of(log_value))
}

/// Returns how a limit is broken.
fn beyond(subject: &Subject) -> String {
    match subject {
        Subject::Errors(limits) => {
            format!("above {}", percent(limits.max.unwrap_or_default()))
        }
        Subject::Latency { limits, .. } => {
            format!("above {}", span(limits.max.unwrap_or_default()))
        }
        Subject::Good(min) => format!("below {}", percent(*min)),
    }
}

/// Returns for how long nothing was counted.
pub(super) fn nothing_since(at: Timestamp, now: Timestamp) -> String {
    let silent = Duration::from_secs(Duration::from_secs_f64(seconds(at, now)).as_secs());
    format!(
        "nothing counted for {}: ",
        humantime::format_duration(silent)
    )
}

/// Returns the evidence that holds a release.
pub(super) fn evidence(log_value: f64) -> String {
    let needed = words::count(1.0 / ALPHA);
    format!(
        ": evidence {}, {needed}:1 rolls back",
        words::odds(log_value)
    )
}

/// Returns why the traffic is taken off, where this check is `blamed` for it.
pub(super) fn rests(blamed: bool, signals: Signals) -> String {
    if blamed && signals.most() > 0.0 {
        let odds = words::odds(signals.most());
        format!("; no traffic for a moment, to see whether it is a burst (evidence {odds})")
    } else {
        "; no traffic for a moment".to_owned()
    }
}

/// Returns what is known of a canary that is looked at again.
pub(super) fn probes(signals: Signals) -> String {
    format!(
        "; looked at again after a moment without traffic (evidence {} since, {} in the run)",
        words::odds(signals.fresh),
        words::odds(signals.total)
    )
}

/// Returns what was seen of both sides but not proven: beyond the limit, or else beyond the multiple of
/// stable's.
pub(super) fn breaks(subject: &Subject, rules: &Rules, share: &Share, log_value: f64) -> String {
    let canary = share.canary().share().unwrap_or_default();
    let above = rules.limit.is_some_and(|limit| canary > limit);
    let what = match rules.ratio.filter(|_| !above) {
        Some(ratio) => format!("more than {ratio}× stable's"),
        None => beyond(subject),
    };
    let odds = words::odds(log_value);
    format!("; {what} so far, which may be chance (evidence {odds})")
}

/// Returns what is proven.
pub(super) fn proven(subject: &Subject, excluded: f64) -> String {
    if excluded >= 1.0 {
        return ", no sign of harm".to_owned();
    }
    match subject {
        Subject::Errors(_) => format!(", proven below {}", percent(excluded)),
        Subject::Good(_) => format!(", proven above {}", percent(1.0 - excluded)),
        Subject::Latency { limits, .. } => {
            let max = span(limits.max.unwrap_or_default());
            let quick = percent(1.0 - excluded);
            format!(", proven: {quick} take {max} at most")
        }
    }
}

/// Returns what is not proven yet, and what it takes.
pub(super) fn unproven(
    subject: &Subject,
    canary: Counts,
    wanted: f64,
    more: Option<(f64, f64)>,
) -> String {
    let seen = interval::rate(canary, interval::DOUBT).high;
    let (excluded, goal) = match subject {
        Subject::Good(_) => (
            format!("below {}", words::percent(1.0 - seen)),
            format!("below {}", percent(1.0 - wanted)),
        ),
        Subject::Errors(_) => (
            format!("above {}", words::percent(seen)),
            format!("above {}", percent(wanted)),
        ),
        Subject::Latency { .. } => (
            format!("more than {} slower", words::percent(seen)),
            format!("more than {}", percent(wanted)),
        ),
    };
    let more = match more {
        Some((requests, seconds)) => format!(
            ": about {} more requests ({})",
            words::count(requests.ceil()),
            duration(seconds)
        ),
        None => String::new(),
    };
    format!("; {excluded} is excluded, {goal} must be{more}")
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{:.0} s", s.ceil()),
        s if s < 5400.0 => format!("{:.0} min", (s / 60.0).ceil()),
        s => format!("{:.0} h", (s / 3600.0).ceil()),
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
