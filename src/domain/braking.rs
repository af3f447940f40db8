//! The brake of a run: early evidence takes the traffic off for a moment.
//!
//! Owns: where a run is with it, and the weight it left. Must not: judge ([`brake`](crate::analysis::brake)
//! says when), or change traffic.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    meters::{LONGEST_SILENCE, seconds},
    weight::Percent,
};
use crate::analysis::brake::{Brake, Order, Settings, Signal};

/// Where a run is with the brake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The ordinary rule alone decides.
    Ordinary,
    /// The canary is to have no traffic.
    Resting,
    /// The canary is looked at again, at a low weight.
    Probing,
}

/// The brake of a run; part of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Braking {
    brake: Brake,
    /// When it was looked last.
    #[serde(skip_serializing_if = "Option::is_none")]
    looked: Option<Timestamp>,
    /// The weight that was left, until it is returned to.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Percent>,
}

/// Evidence of all checks together, as logarithms.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Signals {
    /// Whether the canary had requests.
    pub heard: bool,
    /// By request.
    pub quick: f64,
    /// By look, of the whole run.
    pub total: f64,
    /// By look, since the last rest.
    pub fresh: f64,
    /// By look, at a step that was returned to, with what was forgiven; `None` elsewhere.
    pub whole: Option<f64>,
    /// Whether everything is proven since the last rest, and nothing suspected.
    pub settled: bool,
}

impl Signals {
    /// Returns the greatest evidence of the run.
    pub fn most(&self) -> f64 {
        self.quick.max(self.total).max(self.whole.unwrap_or(0.0))
    }
}

impl Braking {
    /// Returns whether there is nothing to remember.
    pub fn is_unused(&self) -> bool {
        *self == Self::default()
    }

    /// Takes in what a look said.
    pub fn observe(&mut self, now: Timestamp, signals: &Signals) -> Order {
        let signal = Signal {
            // Nobody looked in between; that is neither calm nor a probe.
            seconds: self
                .looked
                .map_or(0.0, |looked| seconds(looked, now).min(LONGEST_SILENCE)),
            heard: signals.heard,
            quick: signals.quick,
            total: signals.total,
            fresh: signals.fresh,
            whole: signals.whole,
            settled: signals.settled,
        };
        self.looked = Some(now);
        self.brake.observe(&Settings::default(), &signal)
    }

    /// Returns whether the look just taken in found the canary calm.
    pub fn is_calm(&self) -> bool {
        self.brake.is_calm()
    }

    /// Returns where the run is.
    pub fn stage(&self) -> Stage {
        if self.brake.is_resting() {
            Stage::Resting
        } else if self.brake.is_probing() {
            Stage::Probing
        } else {
            Stage::Ordinary
        }
    }

    /// Returns whether it was used in this run.
    pub fn was_used(&self) -> bool {
        self.brake.used() > 0
    }

    /// Returns the weight that was left, while it is.
    pub fn from(&self) -> Option<Percent> {
        self.from
    }

    /// Notes the weight that is left.
    pub fn leave(&mut self, weight: Percent) {
        self.from = Some(weight);
    }

    /// Ends the rest.
    pub fn begin_probe(&mut self, now: Timestamp) {
        self.looked = Some(now);
        self.brake.begin_probe();
    }

    /// Lets go of the traffic; returns the weight that was left.
    pub fn let_go(&mut self) -> Option<Percent> {
        self.brake.let_go();
        self.from.take()
    }

    /// Returns how long the canary has no traffic.
    pub fn rest() -> Duration {
        Duration::from_secs_f64(Settings::default().rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_between_two_sittings_ends_no_probe() {
        let second = |s| Timestamp::from_second(s).unwrap();
        let mut braking = Braking::default();
        let calm = Signals {
            heard: true,
            ..Signals::default()
        };
        for at in 0..=3 {
            let order = braking.observe(second(10 * at - 30), &calm);
            assert_eq!(order, Order::Ordinary);
        }
        let bad = Signals {
            quick: 1e3_f64.ln(),
            ..Signals::default()
        };
        assert_eq!(braking.observe(second(10), &bad), Order::Rest);
        braking.leave(Percent::whole(25));
        braking.begin_probe(second(70));
        assert_eq!(braking.observe(second(80), &bad), Order::Probe);
        let later = braking.observe(second(80 + 86_400), &bad);
        assert_eq!(later, Order::Probe, "a day in which nobody looked");
        assert_eq!(braking.let_go(), Some(Percent::whole(25)));
        assert!(braking.was_used() && !braking.is_unused());
        assert_eq!(braking.stage(), Stage::Ordinary);
    }
}
