//! What no test can beat.
//!
//! Owns: Wald's bound on requests, time and harm. Must not: be reached.
//!
//! Any test that rolls a good canary back with probability α at most needs, on average,
//! `ln(1/α) / divergence` observations to roll a bad one back.

use canaryctl::analysis::{evidence::ALPHA, forecast::divergence};

use crate::{ours::Course, world::World};

/// Points at which stable's unknown rate is tried.
const GRID: u32 = 400;

/// Nats that one request of the service brings against the nearest acceptable pair of rates.
fn nats(course: &Course, world: &World, weight: f64) -> f64 {
    let limit = course.rules.limit.unwrap_or(1.0);
    let ratio = course.rules.ratio.unwrap_or(f64::INFINITY);
    let (canary, stable) = (world.canary, world.stable);
    let acceptable = |rate: f64| (ratio * rate).max(course.rules.floor).min(limit);
    let (low, high) = ((stable * 0.5).ln(), canary.max(stable * 2.0).ln());
    (0..=GRID)
        .map(|at| {
            (low + (high - low) * f64::from(at) / f64::from(GRID))
                .exp()
                .min(0.999)
        })
        .chain([stable])
        .map(|rate| {
            let nearest = acceptable(rate);
            let of_canary = if canary > nearest {
                divergence(canary, nearest)
            } else {
                0.0
            };
            weight * of_canary + (1.0 - weight) * divergence(stable, rate)
        })
        .fold(f64::INFINITY, f64::min)
}

/// Least average seconds from onset to rollback along the steps, one look at least.
pub fn seconds(course: &Course, world: &World) -> f64 {
    let mut missing = (1.0 / ALPHA).ln();
    let mut elapsed = 0.0;
    let last = course.weights.len() - 1;
    for (step, weight) in course.weights.iter().enumerate() {
        // Steps before the onset are over.
        let begins = course.least * step as f64;
        let ends = if step == last {
            f64::INFINITY
        } else {
            begins + course.least
        };
        if ends <= world.onset {
            continue;
        }
        let speed = world.rps * nats(course, world, *weight);
        let here = ends - begins.max(world.onset);
        if missing <= speed * here {
            return (elapsed + missing / speed).max(course.look);
        }
        missing -= speed * here;
        elapsed += here;
    }
    elapsed
}

/// Least average number of failed requests until rollback; at least those of one look at the first
/// step.
pub fn hurt(course: &Course, world: &World) -> f64 {
    let per_nat = course
        .weights
        .iter()
        .map(|weight| weight * world.canary / nats(course, world, *weight))
        .fold(f64::INFINITY, f64::min);
    let one_look = world.rps * course.look * course.weights[0] * world.canary;
    (per_nat * (1.0 / ALPHA).ln()).max(one_look)
}
