//! Requests counted between two looks.
//!
//! Owns: numbers that are known to be usable. Must not: guess what is missing.

use serde::{Deserialize, Serialize};

/// Counts beyond this are cut to it; whole numbers are exact up to about here.
const MOST: f64 = 1e15;

/// Requests and bad ones among them, between two looks. Fractions are allowed.
///
/// "Bad" is whatever a check counts: errors, or requests slower than its limit.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Counts {
    all: f64,
    bad: f64,
}

impl Counts {
    /// No requests.
    pub const NONE: Self = Self { all: 0.0, bad: 0.0 };

    /// Returns the counts, or `None` where one is negative, infinite or not a number. Counters are
    /// not read at one instant: more bad requests than requests are taken as so many requests.
    pub fn new(all: f64, bad: f64) -> Option<Self> {
        let usable = |count: f64| count.is_finite() && count >= 0.0;
        (usable(all) && usable(bad)).then(|| Self {
            all: all.max(bad).min(MOST),
            bad: bad.min(MOST),
        })
    }

    /// Returns all requests, between 0 and 1e15.
    pub fn all(self) -> f64 {
        self.all
    }

    /// Returns the bad requests, between 0 and [`Counts::all`].
    pub fn bad(self) -> f64 {
        self.bad
    }

    /// Returns the share of bad requests between 0 and 1; `None` without requests.
    pub fn share(self) -> Option<f64> {
        (self.all > 0.0).then(|| self.bad / self.all)
    }

    /// Returns what is left without others that are part of it.
    pub fn minus(self, part: Self) -> Self {
        let all = (self.all - part.all).max(0.0);
        Self {
            all,
            bad: (self.bad - part.bad).clamp(0.0, all),
        }
    }

    /// Returns the sum of both.
    pub fn plus(self, other: Self) -> Self {
        Self {
            all: (self.all + other.all).min(MOST),
            bad: (self.bad + other.bad).min(MOST),
        }
    }
}

/// What one look brought, of both sides.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Look {
    /// Seconds since the look before that brought new samples.
    pub seconds: f64,
    /// The canary's requests; the bad ones are certainly bad.
    pub canary: Counts,
    /// The same with every request as bad that may be bad. Equal to `canary` but for a latency limit
    /// that is not the bound of a bucket.
    pub doubtful: Counts,
    /// Stable's requests.
    pub stable: Counts,
}

impl Look {
    /// Returns a look at counts without doubt, `seconds` after the one before.
    pub fn new(seconds: f64, canary: Counts, stable: Counts) -> Self {
        Self {
            seconds,
            canary,
            doubtful: canary,
            stable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_counts_are_none() {
        for (all, bad) in [
            (f64::NAN, 0.0),
            (1.0, f64::NAN),
            (-1.0, 0.0),
            (1.0, -0.5),
            (f64::INFINITY, 0.0),
        ] {
            assert_eq!(Counts::new(all, bad), None, "{bad} of {all}");
        }
        assert_eq!(Counts::new(3.0, 5.0), Counts::new(5.0, 5.0));
        assert_eq!(Counts::new(0.0, 0.0).and_then(Counts::share), None);
    }
}
