//! Evidence for the canary: proof that it is better than a limit.
//!
//! Owns: a running bet against "the canary is at least as bad as the limit", and the limit that the
//! traffic of the next step asks for. Must not: be carried over to another step.

use serde::{Deserialize, Serialize};

use super::{
    bet::{FRACTION, SafeGains},
    logarithm::log_sum,
};

/// Probability of calling a canary proven that is as bad as the limit, for each step.
pub const BETA: f64 = 0.05;

/// Failed requests that are accepted when the next step turns out bad.
pub const AT_RISK: f64 = 10.0;

/// Seconds from the first bad request to the traffic back on stable.
pub const REACTION: f64 = 20.0;

/// Canary requests that are enough to go on where the next step, or an hour at the limit, puts so few at risk: that
/// there are any, and that they are answered.
pub const FEW: u64 = 3;

/// Seconds of the hour for which a service is asked how many requests it would fail at its limit.
const HOUR: f64 = 3600.0;

/// Prior weight of each fraction; they sum to 1.
const WEIGHT: [f64; FRACTION.len()] = [0.30, 0.20, 0.20, 0.15, 0.15];

/// The running bet of one check at one step.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Proof([f64; FRACTION.len()]);

impl Proof {
    /// Takes in the gains of one look.
    pub fn update(&mut self, gains: &SafeGains) {
        for (log, gain) in self.0.iter_mut().zip(gains) {
            if !gain.is_nan() {
                *log = (*log + gain).clamp(f64::MIN, f64::MAX);
            }
        }
    }

    /// Returns the natural logarithm of the bet's value; 0 before any look.
    pub fn log_value(&self) -> f64 {
        log_sum(self.0.iter().zip(WEIGHT).map(|(log, w)| w.ln() + log))
    }

    /// Returns whether the canary is better than the limit, with at most `beta` in (0, 1) of error.
    pub fn holds(&self, beta: f64) -> bool {
        self.log_value() >= (1.0 / beta).ln()
    }
}

/// Returns the rate of bad requests that has to be excluded before a step is left, between `limit` and
/// 1 (where nothing has to be proven). A canary that fails at this rate hurts `at_risk` requests
/// within `reaction` seconds at the next step, whose share of the traffic gets `next` requests/s;
/// `None` before full promotion, where it is the limit itself.
pub fn rate_to_exclude(limit: f64, next: Option<f64>, at_risk: f64, reaction: f64) -> f64 {
    let Some(requests) = next.map(|rps| reaction * rps) else {
        return limit.min(1.0);
    };
    let rate = at_risk / requests;
    if rate.is_finite() && rate >= 0.0 {
        rate.max(limit).min(1.0)
    } else {
        1.0
    }
}

/// Returns whether a service of `rate` requests/s is so small that an hour at `limit`, a share of failed requests, fails
/// fewer than [`AT_RISK`]: then the last step ends by time where not one request fails.
pub fn is_small(limit: f64, rate: f64) -> bool {
    rate * HOUR * limit < AT_RISK
}

/// Returns how many canary requests a step needs of the `asked` ones, where the next step gets `next` requests/s, or
/// nothing but the promotion comes, of a service that is `small` or not: no more than [`FEW`] where fewer than
/// [`AT_RISK`] are at risk.
pub fn least_requests(asked: u64, next: Option<f64>, small: bool) -> u64 {
    let few = next.map_or(small, |rate| rate * REACTION < AT_RISK);
    if few { asked.min(FEW) } else { asked }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_excluded_follows_the_traffic() {
        let rate = |next| rate_to_exclude(0.01, next, AT_RISK, REACTION);
        assert_eq!(rate(Some(5.0)), 0.1);
        assert_eq!(rate(Some(1e6)), 0.01);
        assert_eq!(rate(Some(0.01)), 1.0);
        assert_eq!(rate(Some(0.0)), 1.0);
        assert_eq!(rate(Some(f64::NAN)), 1.0);
        assert_eq!(rate(None), 0.01);
    }

    #[test]
    fn few_requests_are_enough_where_few_are_at_risk() {
        assert_eq!(least_requests(20, Some(0.4), false), FEW);
        assert_eq!(least_requests(20, Some(0.6), true), 20);
        assert_eq!(least_requests(2, Some(0.1), false), 2);
        assert_eq!(least_requests(20, None, false), 20);
        assert_eq!(least_requests(20, None, true), FEW);
        assert!(is_small(0.05, 0.05) && !is_small(0.05, 0.06) && is_small(0.01, 0.27));
    }
}
