//! How many requests and how much time a verdict will take.
//!
//! Owns: rough, honest estimates from the speed at which bets grow. Must not: promise.

use super::{evidence::ALPHA, proof::BETA};

/// Nats beyond the bound that onset, mixture and the last look cost.
const OVERHEAD: f64 = 2.0;

/// What a proof needs over the least possible.
const PROOF_OVERHEAD: f64 = 1.2;

/// Returns the nats that one request brings on average for telling rate `p` from rate `q`, both in
/// [0, 1]; infinite where one request can settle it, 0 where they are equal.
pub fn divergence(p: f64, q: f64) -> f64 {
    let part = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    (part(p, q) + part(1.0 - p, 1.0 - q)).max(0.0)
}

/// Returns the canary requests, on average, until a canary that fails at `rate` is rolled back for
/// being above `limit`, where the check has `share` of the whole [`ALPHA`]. `None` where the rate is not
/// above the limit.
pub fn requests_to_condemn(rate: f64, limit: f64, share: f64) -> Option<f64> {
    let needed = (1.0 / (ALPHA * share)).ln() + OVERHEAD;
    quotient(needed, divergence(rate, limit)).filter(|_| rate > limit)
}

/// Returns the canary requests, on average, until a canary that fails at `rate` is proven to be below
/// `limit`. `None` where it is not below.
pub fn requests_to_prove(rate: f64, limit: f64) -> Option<f64> {
    let needed = PROOF_OVERHEAD * (1.0 / BETA).ln();
    quotient(needed, divergence(rate, limit)).filter(|_| rate < limit)
}

/// Returns the seconds until so many canary requests have come, at `total` requests/s of the service
/// and the canary's `weight` in (0, 1]. `None` without traffic.
pub fn seconds(requests: f64, total: f64, weight: f64) -> Option<f64> {
    quotient(requests, total * weight)
}

fn quotient(needed: f64, rate: f64) -> Option<f64> {
    Some(needed / rate).filter(|x| x.is_finite() && *x >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_told_has_no_forecast() {
        assert_eq!(requests_to_condemn(0.01, 0.01, 0.3), None);
        assert_eq!(requests_to_condemn(0.001, 0.01, 0.3), None);
        assert_eq!(requests_to_prove(0.02, 0.01), None);
        assert_eq!(seconds(100.0, 0.0, 0.5), None);
        assert_eq!(seconds(100.0, 10.0, 0.1), Some(100.0));
        assert!(requests_to_condemn(1.0, 0.01, 1.0).unwrap() < 2.0);
    }
}
