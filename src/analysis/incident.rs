//! Whether stable itself is beyond the absolute limit.
//!
//! Owns: the rule of fault. While stable fails too, an absolute limit says nothing about the version.
//! Must not: look at the canary.

use serde::{Deserialize, Serialize};

use super::counts::Counts;

/// What is kept of the past at each look.
const KEEP: f64 = 0.9;

/// Stable's recent requests.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Incident {
    bad: f64,
    all: f64,
}

impl Incident {
    /// Takes in stable's part of a look and returns whether stable is failing, now or lately.
    pub fn observe(&mut self, stable: Counts, limit: f64) -> bool {
        self.bad = KEEP * self.bad + stable.bad();
        self.all = KEEP * self.all + stable.all();
        let expected = limit * stable.all();
        let now = stable.bad() >= 2.0 && stable.bad() > expected + 2.0 * expected.sqrt();
        let lately = self.bad >= 3.0 && self.bad > limit * self.all;
        now || lately
    }
}
