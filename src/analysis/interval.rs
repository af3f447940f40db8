//! Intervals for people.
//!
//! Owns: confidence sequences of a rate and of a ratio of rates, right at every peek. Must not: decide;
//! decisions are made by bets, which are sharper.
//!
//! A rate outside the interval would have made the data less likely, by the factor 1/doubt, than they
//! are under a Beta(½, ½) mixture of rates.

use std::f64::consts::TAU;

use super::counts::Counts;

/// Probability that the true value is ever outside, for intervals that are shown.
pub const DOUBT: f64 = 0.05;

/// Halvings after which an interval's end is known to the last bit.
const HALVINGS: usize = 200;

/// From here on Stirling's series is exact to the last digits.
const LARGE: f64 = 10.0;

/// An interval, both ends included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end; infinite where nothing bounds a ratio.
    pub high: f64,
}

impl Interval {
    /// Returns whether the value lies inside.
    pub fn contains(self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// Returns the interval of the rate of bad requests, within [0, 1]; all of it without requests. The
/// true rate is ever outside with probability `doubt` in (0, 1) at most.
pub fn rate(counts: Counts, doubt: f64) -> Interval {
    let Some(seen) = counts.share() else {
        return Interval {
            low: 0.0,
            high: 1.0,
        };
    };
    let (bad, good) = (counts.bad(), counts.all() - counts.bad());
    let mixture = log_beta(bad + 0.5, good + 0.5) - log_beta(0.5, 0.5);
    let bound = (1.0 / doubt).ln();
    let outside = |rate: f64| {
        let of_bad = if bad > 0.0 { bad * rate.ln() } else { 0.0 };
        let of_good = if good > 0.0 {
            good * (-rate).ln_1p()
        } else {
            0.0
        };
        mixture - of_bad - of_good >= bound
    };
    Interval {
        low: if bad <= 0.0 {
            0.0
        } else {
            border(seen, 0.0, outside)
        },
        high: if good <= 0.0 {
            1.0
        } else {
            border(seen, 1.0, outside)
        },
    }
}

/// Returns the interval of the canary's rate divided by stable's, within [0, ∞]; right at every peek
/// while the split is constant.
pub fn ratio(canary: Counts, stable: Counts, doubt: f64) -> Interval {
    let both = Counts::new(canary.bad() + stable.bad(), canary.bad());
    let Some(both) = both.filter(|b| canary.all() > 0.0 && stable.all() > 0.0 && b.all() > 0.0)
    else {
        return Interval {
            low: 0.0,
            high: f64::INFINITY,
        };
    };
    let share = rate(both, doubt);
    let odds = |p: f64| {
        if p < 1.0 {
            p / (1.0 - p) * stable.all() / canary.all()
        } else {
            f64::INFINITY
        }
    };
    Interval {
        low: odds(share.low),
        high: odds(share.high),
    }
}

/// Returns where `outside` begins between `inside`, where it does not hold, and `out`.
fn border(mut inside: f64, mut out: f64, outside: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(inside, out);
        if outside(middle) {
            out = middle;
        } else {
            inside = middle;
        }
    }
    f64::midpoint(inside, out)
}

// === The Beta function ===

/// Returns `ln B(a, b)` for positive arguments. For large ones three values of `ln Γ` would cancel, so
/// that only what Stirling's formula leaves over is subtracted.
fn log_beta(a: f64, b: f64) -> f64 {
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    let sum = low + high;
    if low >= LARGE {
        (low - 0.5) * (low / sum).ln() + (high - 0.5) * (high / sum).ln() - 0.5 * sum.ln()
            + 0.5 * TAU.ln()
            + stirling_rest(low)
            + stirling_rest(high)
            - stirling_rest(sum)
    } else if high >= LARGE {
        log_gamma(low) - (high - 0.5) * (low / high).ln_1p() - low * sum.ln()
            + low
            + stirling_rest(high)
            - stirling_rest(sum)
    } else {
        log_gamma(low) + log_gamma(high) - log_gamma(sum)
    }
}

/// Returns `ln Γ(z)` for positive `z`.
fn log_gamma(mut z: f64) -> f64 {
    let mut below = 0.0;
    while z < LARGE {
        below -= z.ln();
        z += 1.0;
    }
    below + (z - 0.5) * z.ln() - z + 0.5 * TAU.ln() + stirling_rest(z)
}

/// Returns what Stirling's formula leaves over of `ln Γ(z)`, for `z` ≥ 10.
fn stirling_rest(z: f64) -> f64 {
    let i = 1.0 / z;
    let j = i * i;
    i * (1.0 / 12.0 - j * (1.0 / 360.0 - j * (1.0 / 1260.0 - j * (1.0 / 1680.0 - j / 1188.0))))
}
