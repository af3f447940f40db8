//! How a version behaves at one moment.
//!
//! Owns: turning a scenario's description into a chance and a time. Must not: count.

use std::time::Duration;

use fastrand::Rng;

use super::{draws::lognormal, object};
use crate::sim::scenario::Version;

/// Returns the chance that a request fails on a pod of this age and share of the traffic.
pub(super) fn error_rate(version: &Version, uid: &str, lived: Duration, share: f64) -> f64 {
    let errors = &version.errors;
    let in_turn = match (errors.every, errors.lasts) {
        (Some(every), Some(lasts)) if !every.0.is_zero() => {
            lived.as_secs_f64() % every.0.as_secs_f64() < lasts.0.as_secs_f64()
        }
        _ => true,
    };
    let bad = errors.rate.0 > 0.0
        && lived >= errors.after.0
        && errors.above.is_none_or(|above| share > above.0)
        && errors.pods.is_none_or(|part| lot(uid) < part.0)
        && in_turn;
    if bad {
        errors.rate.0.max(errors.base.0)
    } else {
        errors.base.0
    }
}

/// Returns how long one request takes on a container of this age.
pub(super) fn latency(rng: &mut Rng, version: &Version, lived: Duration, warm: bool) -> Duration {
    let latency = &version.latency;
    let took = lognormal(rng, latency.p50.0, latency.p99.0);
    if !warm && lived < latency.warm_after.0 {
        took.mul_f64(latency.cold.clamp(0.0, 1000.0))
    } else {
        took
    }
}

/// Returns a number between 0 and 1 that belongs to a pod.
fn lot(uid: &str) -> f64 {
    let top = u32::try_from(object::fingerprint(uid) >> 32).unwrap_or(0);
    f64::from(top) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::scenario::{Errors, Ratio, Span};

    fn with(errors: Errors) -> Version {
        Version {
            errors,
            ..Version::default()
        }
    }

    fn rate(version: &Version, seconds: u64, share: f64) -> f64 {
        error_rate(version, "u", Duration::from_secs(seconds), share)
    }

    #[test]
    fn errors_begin_above_a_share() {
        let version = with(Errors {
            base: Ratio(0.01),
            rate: Ratio(0.25),
            above: Some(Ratio(0.2)),
            ..Errors::default()
        });
        assert!((rate(&version, 5, 0.1) - 0.01).abs() < 1e-9);
        assert!((rate(&version, 5, 0.25) - 0.25).abs() < 1e-9);
    }

    #[test]
    fn errors_come_and_go() {
        let version = with(Errors {
            rate: Ratio(0.5),
            every: Some(Span(Duration::from_secs(100))),
            lasts: Some(Span(Duration::from_secs(30))),
            ..Errors::default()
        });
        let bad = |seconds| rate(&version, seconds, 0.1) > 0.0;
        assert!(bad(10) && !bad(40) && bad(110) && !bad(199));
    }

    #[test]
    fn errors_may_hit_some_pods_only() {
        let version = with(Errors {
            rate: Ratio(1.0),
            pods: Some(Ratio(0.5)),
            ..Errors::default()
        });
        let hit = (0..200)
            .filter(|i| error_rate(&version, &format!("uid-{i}"), Duration::ZERO, 0.1) > 0.0)
            .count();
        assert!((60..140).contains(&hit), "{hit}");
    }
}
