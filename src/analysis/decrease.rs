//! The check of something of which more is better: orders, payments, conversions.
//!
//! Owns: evidence that the canary has fewer of them than stable. Must not: be fed amounts of money; a
//! few large ones would decide ([`Values`](super::value::Values) are for those).

use serde::{Deserialize, Serialize};

use super::{bet, counts::Look, dispersion::Dispersion, evidence::Evidence, split::Split};

/// What the check remembers; part of the journal. In its looks "bad" requests are the good events.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Decrease {
    evidence: Evidence,
    split: Split,
    dispersion: Dispersion,
}

impl Decrease {
    /// Begins a step with the canary's `weight` in (0, 1]; `later` is false at the first step.
    pub fn begin_step(&mut self, weight: f64, later: bool) {
        self.split = Split::of(weight);
        if later {
            self.evidence.begin_step();
        }
    }

    /// Takes in one look, in a plan of `steps` steps; at least `ratio` (in (0, 1]) times stable's rate
    /// of events is demanded.
    pub fn observe(&mut self, ratio: f64, look: &Look, steps: usize) {
        self.split.observe(look);
        if look.canary.all() > 0.0 || look.stable.bad() > 0.0 {
            let (canary, stable) = (look.canary.bad(), look.stable.bad());
            let index = self.dispersion.index();
            let gains = bet::decrease_by_request(canary, stable, self.split, ratio, index);
            self.evidence.update(&gains, steps);
        }
        self.dispersion.observe(look.stable, false);
    }

    /// Returns the logarithm of the evidence that there are fewer events than demanded.
    pub fn log_value(&self) -> f64 {
        self.evidence.log_value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::counts::Counts;

    fn value_after(looks: u32, canary_events: f64) -> f64 {
        let mut check = Decrease::default();
        check.begin_step(0.1, false);
        let counts = |all, events| Counts::new(all, events).unwrap();
        let look = Look::new(5.0, counts(50.0, canary_events), counts(450.0, 45.0));
        for _ in 0..looks {
            check.observe(0.8, &look, 5);
        }
        check.log_value()
    }

    #[test]
    fn orders_that_fail_to_come_are_evidence() {
        assert!(value_after(40, 1.0) > (100.0_f64).ln());
        assert!(value_after(40, 5.0) < 0.0);
    }
}
