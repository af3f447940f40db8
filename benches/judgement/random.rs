//! Draws from the distributions that traffic is made of.
//!
//! Owns: exact sampling on top of a seeded generator. Must not: be used outside benchmarks and the tests of worlds.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "what tests need of it is not what benchmarks need"
)]

use fastrand::Rng;

/// Mean from which a Poisson number is drawn by rejection.
const LARGE: f64 = 30.0;

/// Returns a generator for one rollout of one cell of a table, the same on every machine.
pub fn seeded(cell: &str, rollout: u64) -> Rng {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in cell.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    Rng::with_seed(hash ^ rollout.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Returns a Poisson number. Large means by transformed rejection (Hörmann 1993).
pub fn poisson(rng: &mut Rng, mean: f64) -> f64 {
    if mean <= 0.0 {
        return 0.0;
    }
    if mean < LARGE {
        let floor = (-mean).exp();
        let (mut product, mut count) = (rng.f64(), 0.0);
        while product > floor {
            product *= rng.f64();
            count += 1.0;
        }
        return count;
    }
    let b = 0.931 + 2.53 * mean.sqrt();
    let a = -0.059 + 0.02483 * b;
    let inverse = 1.1239 + 1.1328 / (b - 3.4);
    let ratio = 0.9277 - 3.6224 / (b - 2.0);
    loop {
        let u = rng.f64() - 0.5;
        let v = rng.f64();
        let us = 0.5 - u.abs();
        let count = ((2.0 * a / us + b) * u + mean + 0.43).floor();
        if us >= 0.07 && v <= ratio {
            return count;
        }
        if count < 0.0 || (us < 0.013 && v > us) {
            continue;
        }
        let accept = (v * inverse / (a / (us * us) + b)).ln();
        if accept <= count * mean.ln() - mean - log_factorial(count) {
            return count;
        }
    }
}

/// Returns a number of trials until success, at least 1, with this mean.
pub fn geometric(rng: &mut Rng, mean: f64) -> f64 {
    if mean <= 1.0 {
        return 1.0;
    }
    let u = 1.0 - rng.f64();
    (u.ln() / (-1.0 / mean).ln_1p()).floor() + 1.0
}

/// Returns a whole Pareto number with this exponent, from 1 to `most`.
pub fn pareto(rng: &mut Rng, exponent: f64, most: f64) -> f64 {
    (1.0 - rng.f64()).powf(-1.0 / exponent).floor().min(most)
}

/// Returns a standard normal number.
pub fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

fn log_factorial(n: f64) -> f64 {
    if n < 10.0 {
        let mut product = 1.0;
        let mut factor = 2.0;
        while factor <= n {
            product *= factor;
            factor += 1.0;
        }
        return product.ln();
    }
    let z = n + 1.0;
    (z - 0.5) * z.ln() - z + 0.5 * std::f64::consts::TAU.ln() + 1.0 / (12.0 * z)
        - 1.0 / (360.0 * z.powi(3))
}
