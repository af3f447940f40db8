//! How the requests were split between the canary and stable.
//!
//! Owns: the split the comparison with stable conditions on. Must not: steer traffic.

use serde::{Deserialize, Serialize};

use super::{
    counts::{Counts, Look},
    interval,
};

/// Canary requests over which the split is averaged.
const MEMORY: f64 = 20.0;

/// Lowest weight that a split starts from.
const LEAST_WEIGHT: f64 = 1e-9;

/// Requests of the canary and of stable that a look is compared under.
///
/// With at least 20 canary requests these are the look's own; with fewer, earlier looks of the step
/// are blended in, and before them the configured weight, so that the verdict does not depend on how
/// often one looks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Split {
    canary: f64,
    stable: f64,
}

impl Default for Split {
    /// An even split.
    fn default() -> Self {
        Self::of(0.5)
    }
}

impl Split {
    /// Returns the split at the start of a step with the canary's `weight` in (0, 1].
    pub fn of(weight: f64) -> Self {
        let weight = if weight.is_finite() {
            weight.clamp(LEAST_WEIGHT, 1.0)
        } else {
            0.5
        };
        Self {
            canary: MEMORY,
            stable: MEMORY * (1.0 - weight) / weight,
        }
    }

    /// Takes in one look.
    pub fn observe(&mut self, look: &Look) {
        let keep = (1.0 - look.canary.all() / MEMORY).max(0.0);
        self.canary = keep * self.canary + look.canary.all();
        self.stable = keep * self.stable + look.stable.all();
    }

    /// Returns the canary's part, in requests.
    pub fn canary(self) -> f64 {
        self.canary
    }

    /// Returns stable's part, in requests.
    pub fn stable(self) -> f64 {
        self.stable
    }
}

/// Whether the canary gets the share of the traffic it should get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// The asked share, give or take the tolerance, is what was seen.
    Agrees,
    /// The share is surely another one.
    Differs,
    /// There were not enough requests to say.
    TooFew,
}

/// Compares the canary's share of all requests with the `asked` one in [0, 1], `tolerance` apart at
/// most, with 95 % confidence at every peek.
pub fn agreement(canary: f64, stable: f64, asked: f64, tolerance: f64) -> Agreement {
    let Some(counts) = Counts::new(canary + stable, canary) else {
        return Agreement::TooFew;
    };
    let seen = interval::rate(counts, interval::DOUBT);
    let (low, high) = (asked - tolerance.max(0.0), asked + tolerance.max(0.0));
    if seen.high < low || seen.low > high {
        Agreement::Differs
    } else if seen.low >= low && seen.high <= high {
        Agreement::Agrees
    } else {
        Agreement::TooFew
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_share_is_told_from_too_few_requests() {
        assert_eq!(agreement(1.0, 3.0, 0.10, 0.02), Agreement::TooFew);
        assert_eq!(agreement(1e4, 9e4, 0.10, 0.02), Agreement::Agrees);
        assert_eq!(agreement(5e3, 5e3, 0.10, 0.02), Agreement::Differs);
        assert_eq!(agreement(0.0, 1e3, 0.10, 0.02), Agreement::Differs);
        assert_eq!(agreement(0.0, 0.0, 0.10, 0.02), Agreement::TooFew);
        assert_eq!(agreement(f64::NAN, 1.0, 0.10, 0.02), Agreement::TooFew);
    }

    #[test]
    fn the_whole_traffic_leaves_nothing_to_compare_with() {
        assert_eq!(Split::of(1.0).stable(), 0.0);
        for weight in [f64::NAN, 0.0, -1.0, 7.0] {
            let split = Split::of(weight);
            assert!(split.canary() > 0.0 && split.stable().is_finite());
        }
    }
}
