//! The check of a number that a query returns, one for each window of time.
//!
//! Owns: evidence from values where no counts exist. Must not: be asked for overlapping windows; more
//! than one value for each window says nothing more. It is weaker than counts: of a value nobody knows
//! how many requests are behind it.

use serde::{Deserialize, Serialize};

use super::{bet, counts::Counts, evidence::Evidence};

/// Share of the windows that may break the limit.
pub const TOLERATED: f64 = 0.2;

/// What is asked of the values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// The values are shares in [0, 1], and their mean is at most this.
    Share(f64),
    /// At most `tolerated`, in (0, 1), of the values are above `most`.
    Most {
        /// Highest good value.
        most: f64,
        /// Share of values that may be above it.
        tolerated: f64,
    },
    /// At most `tolerated`, in (0, 1), of the values are below `least`.
    Least {
        /// Lowest good value.
        least: f64,
        /// Share of values that may be below it.
        tolerated: f64,
    },
}

/// What the check remembers; part of the journal.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Values {
    evidence: Evidence,
}

impl Values {
    /// Notes that a later step began.
    pub fn begin_step(&mut self) {
        self.evidence.begin_step();
    }

    /// Takes in the value of one window, in a plan of `steps` steps, and returns whether it said
    /// anything: a value that is missing or no number does not.
    pub fn observe(&mut self, limit: Limit, value: Option<f64>, steps: usize) -> bool {
        let Some(value) = value.filter(|v| !v.is_nan()) else {
            return false;
        };
        let (bad, limit) = match limit {
            Limit::Share(limit) => (value.clamp(0.0, 1.0), limit),
            Limit::Most { most, tolerated } => (f64::from(value > most), tolerated),
            Limit::Least { least, tolerated } => (f64::from(value < least), tolerated),
        };
        let counts = Counts::new(1.0, bad).unwrap_or(Counts::NONE);
        self.evidence.update(&bet::absolute(counts, limit), steps);
        true
    }

    /// Takes in one window's value of both sides; broken when the canary's is above `ratio` times
    /// stable's. See [`Values::observe`].
    pub fn compare(
        &mut self,
        ratio: f64,
        canary: Option<f64>,
        stable: Option<f64>,
        steps: usize,
    ) -> bool {
        let above = canary
            .zip(stable)
            .map(|(canary, stable)| canary - ratio * stable);
        let limit = Limit::Most {
            most: 0.0,
            tolerated: TOLERATED,
        };
        self.observe(limit, above, steps)
    }

    /// Returns the logarithm of the evidence that the limit is broken.
    pub fn log_value(&self) -> f64 {
        self.evidence.log_value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: usize = 5;
    const BELOW_ONE_SECOND: Limit = Limit::Most {
        most: 1.0,
        tolerated: TOLERATED,
    };

    fn windows_until_condemned(good_before: u32) -> u32 {
        let mut values = Values::default();
        for _ in 0..good_before {
            values.observe(BELOW_ONE_SECOND, Some(0.5), STEPS);
        }
        let mut windows = 0;
        // The share of alpha that one of several checks has.
        while values.log_value() < (100.0_f64 / 0.3).ln() {
            values.observe(BELOW_ONE_SECOND, Some(2.0), STEPS);
            windows += 1;
        }
        windows
    }

    #[test]
    fn bad_windows_in_a_row_condemn_later_after_a_good_past() {
        let (new, late) = (windows_until_condemned(0), windows_until_condemned(60));
        assert!((5..=6).contains(&new), "{new}");
        assert!(late > new && late <= 10, "{late}");
    }

    #[test]
    fn no_number_says_nothing() {
        let mut values = Values::default();
        assert!(!values.observe(BELOW_ONE_SECOND, None, STEPS));
        assert!(!values.observe(BELOW_ONE_SECOND, Some(f64::NAN), STEPS));
        assert!(!values.compare(1.5, Some(1.0), None, STEPS));
        assert_eq!(values, Values::default());
        assert!(values.observe(BELOW_ONE_SECOND, Some(f64::INFINITY), STEPS));
        assert!(values.log_value() > 0.0);
    }
}
