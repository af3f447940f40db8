//! Random numbers of the distributions that traffic needs.
//!
//! Owns: Poisson, binomial, lognormal. Must not: keep state.

use std::time::Duration;

use fastrand::Rng;

/// Up to this many trials are drawn one by one; above, the normal approximation is close enough.
const EXACT: u64 = 60;
/// The 99th percentile of the standard normal distribution.
const Z99: f64 = 2.326_347_874_040_841;

/// Returns how many of the events expected `mean` times happen.
pub(super) fn poisson(rng: &mut Rng, mean: f64) -> u64 {
    if mean <= 0.0 {
        return 0;
    }
    if mean > 30.0 {
        return whole(mean + mean.sqrt() * normal(rng));
    }
    let limit = (-mean).exp();
    let mut product = rng.f64();
    let mut count = 0;
    while product > limit {
        product *= rng.f64();
        count += 1;
    }
    count
}

/// Returns how many of `trials` succeed.
pub(super) fn binomial(rng: &mut Rng, trials: u64, chance: f64) -> u64 {
    if trials == 0 || chance <= 0.0 {
        return 0;
    }
    if chance >= 1.0 {
        return trials;
    }
    if trials <= EXACT {
        return (0..trials).map(|_| u64::from(rng.f64() < chance)).sum();
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "a count of requests in one step is small"
    )]
    let n = trials as f64;
    if n * chance < 10.0 {
        return poisson(rng, n * chance).min(trials);
    }
    whole(n * chance + (n * chance * (1.0 - chance)).sqrt() * normal(rng)).min(trials)
}

/// Returns a lognormal time with this median and 99th percentile.
pub(super) fn lognormal(rng: &mut Rng, p50: Duration, p99: Duration) -> Duration {
    let sigma = (p99.as_secs_f64() / p50.as_secs_f64()).ln() / Z99;
    let factor = (sigma * normal(rng)).exp();
    p50.mul_f64(factor.min(1000.0))
}

/// Returns a standard normal number.
fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

fn whole(value: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to a small positive range first"
    )]
    let count = value.round().clamp(0.0, 1e12) as u64;
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_of(draw: impl Fn(&mut Rng) -> f64) -> f64 {
        let mut rng = Rng::with_seed(1);
        (0..20_000).map(|_| draw(&mut rng)).sum::<f64>() / 20_000.0
    }

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "test counts are small")]
    fn draws_have_the_mean_they_are_asked_for() {
        for mean in [0.3, 7.0, 90.0] {
            let got = mean_of(|rng| poisson(rng, mean) as f64);
            assert!((got - mean).abs() < 0.03 * mean.max(1.0), "{mean}: {got}");
        }
        for (n, p) in [(10, 0.2), (500, 0.01), (500, 0.4)] {
            let got = mean_of(|rng| binomial(rng, n, p) as f64);
            let mean = n as f64 * p;
            assert!((got - mean).abs() < 0.03 * mean, "{n} {p}: {got}");
        }
    }

    #[test]
    fn one_in_a_hundred_is_slower_than_the_99th_percentile() {
        let (p50, p99) = (Duration::from_millis(80), Duration::from_millis(300));
        let slow = mean_of(|rng| f64::from(u8::from(lognormal(rng, p50, p99) > p99)));
        assert!((slow - 0.01).abs() < 0.003, "{slow}");
        let half = mean_of(|rng| f64::from(u8::from(lognormal(rng, p50, p99) > p50)));
        assert!((half - 0.5).abs() < 0.02, "{half}");
    }
}
