//! How bursty stable's bad requests are.
//!
//! Owns: the index of dispersion (variance by mean of the bad requests of a look), used one look late.
//! Must not: look at the canary.

use serde::{Deserialize, Serialize};

use super::counts::Counts;

/// What is kept of the past at each look.
const KEEP: f64 = 0.995;
/// Bad requests, independent ones, that the estimate starts with.
const PRIOR: f64 = 5.0;
/// Largest index that is believed.
const MOST: f64 = 50.0;
/// Looks in a row beyond the limit that are an incident and no burst.
const INCIDENT_LOOKS: u32 = 3;

/// Running estimate of the index of dispersion.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Dispersion {
    now: Estimate,
    /// Looks in a row during which stable was failing.
    run: u32,
    /// The estimate before they began.
    before: Estimate,
}

/// The sums of the estimate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Estimate {
    squares: f64,
    sum: f64,
    bad: f64,
    all: f64,
    looks: f64,
    index: f64,
}

impl Default for Estimate {
    fn default() -> Self {
        Self {
            squares: PRIOR,
            sum: PRIOR,
            bad: 0.0,
            all: 0.0,
            looks: 0.0,
            index: 1.0,
        }
    }
}

impl Dispersion {
    /// Returns the index for the next look, between 1 and 50.
    pub fn index(self) -> f64 {
        self.now.index
    }

    /// Takes in stable's part of a look. Where stable keeps `failing`, what it showed since then is
    /// taken out again: an incident is no burstiness.
    pub fn observe(&mut self, stable: Counts, failing: bool) {
        if failing {
            self.run = self.run.saturating_add(1);
            if self.run == 1 {
                self.before = self.now;
            } else if self.run >= INCIDENT_LOOKS {
                self.now = self.before;
                return;
            }
        } else {
            self.run = 0;
        }
        if stable.all() > 0.0 {
            self.now.observe(stable);
        }
    }
}

impl Estimate {
    fn observe(&mut self, stable: Counts) {
        if self.all > 0.0 {
            let off = stable.bad() - stable.all() * self.bad / self.all;
            self.squares = KEEP * self.squares + off * off + (1.0 - KEEP) * PRIOR;
            self.sum = KEEP * self.sum + stable.bad() + (1.0 - KEEP) * PRIOR;
            self.looks = KEEP * self.looks + 1.0;
            self.index = self.estimate();
        }
        self.bad = KEEP * self.bad + stable.bad();
        self.all = KEEP * self.all + stable.all();
    }

    /// Returns the quotient of the sums where it is clearly above 1.
    fn estimate(&self) -> f64 {
        let mean = (self.sum - PRIOR).max(0.0) / self.looks;
        let quotient = self.squares / self.sum;
        let rarity = if mean > 0.0 { 1.0 / mean } else { 1e9 };
        let noise = 2.0 * ((2.0 + rarity) / self.looks).sqrt();
        if quotient > 1.0 + noise.min(2.0) {
            quotient.min(MOST)
        } else {
            1.0
        }
    }
}
