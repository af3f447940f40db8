//! Numbers and evidence in plain words.
//!
//! Owns: how a rate, an interval, a count and a confidence read. Must not: say "healthy" where evidence
//! is absent; the words are "proven", "excluded" and "not enough".

use std::fmt;

use super::{
    counts::Counts,
    interval::{self, Interval},
};

/// Odds beyond this are not told apart.
const MOST_ODDS: f64 = 1e6;

/// How sure it is that something is worse than tolerated, right at every peek.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Chance explains what was seen.
    None,
    /// p < 0.2: enough to hold, not to act.
    Suspected,
    /// p < 0.05.
    Likely,
    /// p < 0.01: enough to act.
    AlmostSurely,
    /// p < 0.001.
    Surely,
}

impl Confidence {
    /// Returns the confidence of evidence with this logarithm; `1/evidence` is a p-value that is right
    /// at every peek.
    pub fn of(log_value: f64) -> Self {
        let p = |p: f64| log_value > (1.0 / p).ln();
        match () {
            () if p(0.001) => Self::Surely,
            () if p(0.01) => Self::AlmostSurely,
            () if p(0.05) => Self::Likely,
            () if p(0.2) => Self::Suspected,
            () => Self::None,
        }
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "not more than chance",
            Self::Suspected => "suspected (p < 0.2)",
            Self::Likely => "likely (p < 0.05)",
            Self::AlmostSurely => "almost surely (p < 0.01)",
            Self::Surely => "surely (p < 0.001)",
        })
    }
}

/// Returns evidence as odds, such as `14:1`.
pub fn odds(log_value: f64) -> String {
    let value = log_value.exp();
    if value >= MOST_ODDS {
        format!("more than {}:1", count(MOST_ODDS))
    } else if value >= 10.0 {
        format!("{}:1", count(value.floor()))
    } else {
        format!("{value:.1}:1")
    }
}

/// Returns a count with separators, such as `1,240`; fractions are rounded.
pub fn count(number: f64) -> String {
    let digits = format!(
        "{:.0}",
        if number.is_finite() {
            number.max(0.0)
        } else {
            0.0
        }
    );
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a number above 0 with one significant digit below 1, such as `0.02`, else with none or one decimal.
pub fn decimal(number: f64) -> String {
    let text = match number {
        n if n >= 10.0 => return count(n),
        n if n >= 0.1 => format!("{n:.1}"),
        n if n >= 0.01 => format!("{n:.2}"),
        n => format!("{n:.3}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Returns a rate in [0, 1] with two significant digits, such as `2.1%`. A rate short of 1 is never
/// shown as 100%, one above 0 never as 0%, down to a millionth.
pub fn percent(rate: f64) -> String {
    format!("{}%", plain(rate, decimals(rate)))
}

/// Returns an interval of rates, such as `1.4–3.0%`.
pub fn percent_interval(interval: Interval) -> String {
    let places = if interval.low > 0.0 {
        decimals(interval.low).min(decimals(interval.high).saturating_add(1))
    } else {
        decimals(interval.high)
    };
    let low = plain(interval.low, places);
    format!("{low}–{}%", plain(interval.high, places))
}

/// Returns a quotient, such as `6.9×`.
pub fn times(ratio: f64) -> String {
    match ratio {
        r if !r.is_finite() => "infinitely many ×".to_owned(),
        r if r >= 10.0 => format!("{}×", count(r)),
        r => format!("{r:.1}×"),
    }
}

/// Returns an interval of quotients, such as `3.1–14×`.
pub fn times_interval(interval: Interval) -> String {
    let low = times(interval.low);
    let low = low.trim_end_matches('×');
    if interval.high.is_finite() {
        format!("{low}–{}", times(interval.high))
    } else {
        format!("at least {low}×")
    }
}

/// Returns a rate with its interval and counts, such as `2.1% (1.4–3.0%; 26 of 1,240)`; `no requests`
/// without any.
pub fn rate(counts: Counts) -> String {
    let Some(share) = counts.share() else {
        return "no requests".to_owned();
    };
    let interval = percent_interval(interval::rate(counts, interval::DOUBT));
    let (bad, all) = (count(counts.bad()), count(counts.all()));
    format!("{} ({interval}; {bad} of {all})", percent(share))
}

/// Returns the comparison of both sides in words, such as `more than 2× worse, surely (p < 0.001)`,
/// from the logarithm of the evidence that the canary is above `tolerated` times stable.
pub fn comparison(tolerated: f64, log_value: f64) -> String {
    let tolerated = tolerated.to_string();
    let sure = Confidence::of(log_value);
    if sure == Confidence::None {
        format!("no evidence of more than {tolerated}×")
    } else {
        format!("more than {tolerated}× worse, {sure}")
    }
}

/// Returns how many decimals of a percentage show two significant digits.
fn decimals(rate: f64) -> usize {
    let percent = rate.abs() * 100.0;
    let shown = if percent > 50.0 && percent < 100.0 {
        100.0 - percent
    } else {
        percent
    };
    match shown {
        s if !s.is_finite() || s <= 0.0 => 0,
        s if s >= 10.0 => 0,
        s if s >= 1.0 => 1,
        s if s >= 0.1 => 2,
        s if s >= 0.01 => 3,
        _ => 4,
    }
}

fn plain(rate: f64, decimals: usize) -> String {
    let percent = rate * 100.0;
    let text = format!("{percent:.decimals$}");
    let rounded_away = (percent > 0.0 && text.trim_matches(['0', '.']).is_empty())
        || (percent < 100.0 && text.starts_with("100"));
    if rounded_away && decimals < 4 {
        return plain(rate, decimals + 1);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_short_and_never_lie_at_the_ends() {
        let cases = [
            (0.0, "0%"),
            (1.0, "100%"),
            (0.021, "2.1%"),
            (0.003, "0.30%"),
            (0.125, "12%"),
            (0.5, "50%"),
            (0.9996, "99.960%"),
            (0.000_02, "0.0020%"),
            (0.995, "99.50%"),
        ];
        for (rate, text) in cases {
            assert_eq!(percent(rate), text);
        }
    }

    #[test]
    fn what_a_user_reads() {
        let counts = |all, bad| Counts::new(all, bad).unwrap();
        assert_eq!(rate(counts(1240., 26.)), "2.1% (0.93–3.96%; 26 of 1,240)");
        assert_eq!(rate(counts(300., 0.)), "0% (0.0–2.1%; 0 of 300)");
        assert_eq!(rate(Counts::NONE), "no requests");
        let ratio = interval::ratio(counts(1240., 26.), counts(20000., 60.), interval::DOUBT);
        assert_eq!(times_interval(ratio), "3.1–15×");
        assert_eq!(
            comparison(2.0, 8.0),
            "more than 2× worse, surely (p < 0.001)"
        );
        assert_eq!(comparison(1.5, 0.3), "no evidence of more than 1.5×");
        assert_eq!(odds(14.3_f64.ln()), "14:1");
        assert_eq!(odds(1.84_f64.ln()), "1.8:1");
        assert_eq!(odds(1e9), "more than 1,000,000:1");
        assert_eq!(count(1_234_567.4), "1,234,567");
        assert_eq!(count(12.0), "12");
        assert_eq!(times(6.93), "6.9×");
        assert_eq!(times(f64::INFINITY), "infinitely many ×");
    }

    #[test]
    fn confidence_grows_with_evidence() {
        let of = |p: f64| Confidence::of(-p.ln());
        assert_eq!(of(0.3), Confidence::None);
        assert_eq!(of(0.1), Confidence::Suspected);
        assert_eq!(of(0.02), Confidence::Likely);
        assert_eq!(of(0.005), Confidence::AlmostSurely);
        assert_eq!(of(0.0001), Confidence::Surely);
        assert!(of(0.0001) > of(0.3));
    }
}
