//! The rules of other tools, idealised: no delay of metrics, exact windows.
//!
//! Owns: what each would have done with the same traffic. Must not: be kinder or harsher than they are.

use canaryctl::analysis::{
    counts::{Counts, Look},
    threshold::{Measured, Outcome, Tally, Threshold},
};

use crate::{
    ours::{End, Run},
    world::Traffic,
};

/// A rule of another tool.
#[derive(Clone, Copy)]
pub enum Peer {
    /// Success rate for each interval, threshold 5; missing data counts as failed; one interval for
    /// each step; rolls back one interval after the threshold.
    Flagger(f64),
    /// Five measurements of a minute for each step, failure limit 3; missing data counts as failed.
    Argo,
    /// Rolls back when 30 seconds show more than twice stable's rate; two minutes for each step.
    Naive,
    /// Ten points of a minute for each step, Mann-Whitney at the end of it.
    Kayenta,
}

/// Longest a rollout is followed.
const PATIENCE: f64 = 4.0 * 3600.0;

/// Position, from either end, of the 98 % interval's ends among 100 differences of 10 and 10 points.
const CRITICAL: usize = 19;

struct Progress<'a, 'b> {
    traffic: &'a mut Traffic<'b>,
    seen: Counts,
}

impl Progress<'_, '_> {
    fn look(&mut self, seconds: f64, weight: f64) -> Look {
        let look = self.traffic.look(seconds, weight);
        self.seen = self.seen.plus(look.canary);
        look
    }

    fn end(self, end: End) -> Run {
        Run {
            end,
            seconds: self.traffic.now(),
            requests: self.seen.all(),
            hurt: self.seen.bad(),
        }
    }
}

impl Peer {
    /// Runs a release over these weights; `limit` is the highest share of errors.
    pub fn run(self, traffic: &mut Traffic<'_>, weights: &[f64], limit: f64) -> Run {
        let progress = Progress {
            traffic,
            seen: Counts::NONE,
        };
        match self {
            Self::Flagger(interval) => flagger(progress, weights, limit, interval),
            Self::Argo => argo(progress, weights, limit),
            Self::Naive => naive(progress, weights),
            Self::Kayenta => kayenta(progress, weights),
        }
    }
}

fn measured(canary: Counts, limit: f64) -> Measured {
    match canary.share() {
        Some(share) if share <= limit => Measured::Passed,
        Some(_) | None => Measured::Failed,
    }
}

fn flagger(mut progress: Progress<'_, '_>, weights: &[f64], limit: f64, interval: f64) -> Run {
    let rule = Threshold::flagger(interval as u32, 5);
    let mut tally = Tally::default();
    let mut step = 0;
    while step < weights.len() && progress.traffic.now() < PATIENCE {
        let look = progress.look(interval, weights[step]);
        if tally.outcome(rule) == Outcome::Failed {
            return progress.end(End::RolledBack);
        }
        let measured = measured(look.canary, limit);
        tally.observe(rule, measured);
        step += usize::from(measured == Measured::Passed);
    }
    let end = if step == weights.len() {
        End::Promoted
    } else {
        End::Inconclusive
    };
    progress.end(end)
}

fn argo(mut progress: Progress<'_, '_>, weights: &[f64], limit: f64) -> Run {
    let rule = Threshold::argo(60, 5, 3);
    for weight in weights {
        let mut tally = Tally::default();
        loop {
            let look = progress.look(60.0, *weight);
            match tally.observe(rule, measured(look.canary, limit)) {
                Outcome::Measuring | Outcome::Inconclusive => {}
                Outcome::Passed => break,
                Outcome::Failed => return progress.end(End::RolledBack),
            }
        }
    }
    progress.end(End::Promoted)
}

fn naive(mut progress: Progress<'_, '_>, weights: &[f64]) -> Run {
    for weight in weights {
        for _ in 0..4 {
            let look = progress.look(30.0, *weight);
            let rate = |side: Counts| side.share().unwrap_or(0.0);
            if rate(look.canary) > 2.0 * rate(look.stable) {
                return progress.end(End::RolledBack);
            }
        }
    }
    progress.end(End::Promoted)
}

fn kayenta(mut progress: Progress<'_, '_>, weights: &[f64]) -> Run {
    for weight in weights {
        let (mut canary, mut stable) = (Vec::new(), Vec::new());
        for _ in 0..10 {
            let look = progress.look(60.0, *weight);
            canary.extend(look.canary.share());
            stable.extend(look.stable.share());
        }
        if is_high(&canary, &stable) {
            return progress.end(End::RolledBack);
        }
    }
    progress.end(End::Promoted)
}

/// Whether the interval of the shift between both lies above a quarter of the shift.
fn is_high(canary: &[f64], stable: &[f64]) -> bool {
    let mut shifts: Vec<f64> = canary
        .iter()
        .flat_map(|c| stable.iter().map(move |s| c - s))
        .collect();
    if shifts.len() < 100 {
        return false;
    }
    shifts.sort_by(f64::total_cmp);
    let middle = f64::midpoint(shifts[49], shifts[50]);
    middle > 0.0 && shifts[CRITICAL] > 0.25 * middle
}
