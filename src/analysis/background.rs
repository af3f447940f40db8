//! Stable's recent rate of bad requests, for the comparison of small looks.
//!
//! Owns: the correction of a ratio. Must not: judge anything.
//!
//! The canary's *average share* of the bad requests of a look is a little above what the ratio of the
//! rates says when errors are frequent and looks are small, because the share is taken of a number that
//! is itself random. The corrected ratio makes up for it; for rare errors it equals the given one.

use serde::{Deserialize, Serialize};

use super::counts::Counts;

/// What is kept of the past at each look.
const KEEP: f64 = 0.9;

/// Stable's requests in the recent past, the present look not among them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Background {
    bad: f64,
    all: f64,
}

impl Default for Background {
    fn default() -> Self {
        Self {
            bad: 0.0,
            all: 100.0,
        }
    }
}

impl Background {
    /// Returns the ratio to bet on for a look of `canary` and `stable` requests; at least `ratio`.
    pub fn corrected(self, ratio: f64, canary: f64, stable: f64) -> f64 {
        if !(ratio > 0.0 && ratio.is_finite()) {
            return ratio;
        }
        let weighted = ratio * canary + stable;
        let mut share = ((self.bad + 1.0) / (self.all + 1.0)).min(0.8 / ratio);
        if weighted > 0.0 {
            share = share.min(1.5 / weighted);
        }
        ratio * (1.0 - share) / (1.0 - ratio * share)
    }

    /// Takes in stable's part of a look, after it was used.
    pub fn observe(&mut self, stable: Counts) {
        self.bad = KEEP * self.bad + stable.bad();
        self.all = KEEP * self.all + stable.all();
    }
}
