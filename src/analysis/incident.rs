//! Whether stable itself is beyond the absolute limit.
//!
//! Owns: the rule of fault. While stable fails too, an absolute limit says nothing about the version.
//! Must not: look at the canary.

use serde::{Deserialize, Serialize};

use super::counts::Counts;

/// What is kept of the past at each look.
const KEEP: f64 = 0.9;

/// Recent bad requests of stable, of which each look keeps nine tenths, from which it is failing.
pub const FAILING: f64 = 3.0;

/// The same, from which it may be failing, so that the absolute limit blames nobody. One within the
/// last five looks is enough: a side that has few requests left cannot show more.
pub const DOUBT: f64 = 0.6;

/// Stable's recent requests.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Incident {
    bad: f64,
    all: f64,
    /// Whether the last look by itself was beyond the limit.
    now: bool,
}

impl Incident {
    /// Takes in stable's part of a look.
    pub fn observe(&mut self, stable: Counts, limit: f64) {
        self.bad = KEEP * self.bad + stable.bad();
        self.all = KEEP * self.all + stable.all();
        let expected = limit * stable.all();
        self.now = stable.bad() >= 2.0 && stable.bad() > expected + 2.0 * expected.sqrt();
    }

    /// Returns whether stable is beyond the limit, now or lately; lately from so many recent bad
    /// requests on ([`FAILING`], [`DOUBT`]).
    pub fn is_beyond(self, limit: f64, least: f64) -> bool {
        self.now || (self.bad >= least && self.bad > limit * self.all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beyond(looks: &[(f64, f64)], least: f64) -> Vec<bool> {
        let mut incident = Incident::default();
        let mut observe = |&(all, bad)| {
            incident.observe(Counts::new(all, bad).unwrap(), 0.01);
            incident.is_beyond(0.01, least)
        };
        looks.iter().map(&mut observe).collect()
    }

    #[test]
    fn one_bad_request_of_few_is_a_doubt_for_a_moment() {
        let mut looks = vec![(10.0, 0.0), (10.0, 1.0)];
        looks.extend([(10.0, 0.0); 6]);
        let seen = beyond(&looks, DOUBT);
        assert_eq!(seen, [false, true, true, true, true, true, false, false]);
        assert!(!beyond(&looks, FAILING).contains(&true));
    }

    #[test]
    fn one_bad_request_of_many_is_none() {
        assert_eq!(beyond(&[(500.0, 0.0), (500.0, 1.0)], DOUBT), [false; 2]);
        assert_eq!(beyond(&[(500.0, 60.0), (500.0, 0.0)], FAILING), [true; 2]);
    }
}
