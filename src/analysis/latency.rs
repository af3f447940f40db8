//! Latency, from cumulative buckets of both sides.
//!
//! Owns: how a limit on a quantile becomes a share of slow requests, and the comparison of the whole
//! distribution with stable's. Must not: average quantiles.
//!
//! "95 % of the requests take 500 ms at most" is "at most 5 % are slower than 500 ms": a
//! [`Share`](super::share::Share) with the limit 0.05. "The canary takes at most 1.5 times as long as
//! stable" is, at each bound, "at most as many canary requests are slower than the bound as stable
//! requests are slower than two thirds of it".

use serde::{Deserialize, Serialize};

use super::{
    background::Background,
    bet,
    counts::{Counts, Look},
    evidence::{ALPHA, Evidence},
    histogram::{Histogram, bracket},
    logarithm::log_sum,
    meter,
    share::Dependence,
    split::Split,
};

/// Quantiles of stable's latency at which the sides are compared.
const QUANTILES: [f64; 3] = [0.50, 0.90, 0.99];

/// What each comparison's evidence counts; they sum to 1.
const WEIGHT: [f64; 3] = [0.3, 0.3, 0.4];

/// Slack for reading stable's latencies between bounds.
const SLACK: f64 = 1.25;

/// Seconds of failure that evidence by request needs at least to become complete.
const BURST_SECONDS: f64 = 5.0;

/// Returns a look at the requests slower than `limit`, the bounds' unit. Where the limit is no bound,
/// those slower than the next bound are surely too slow (evidence), those slower than the bound before
/// may be (proof). Without a bound above nothing is surely slow; without one below everything may be.
pub fn slow_requests(
    seconds: f64,
    canary: Histogram<'_>,
    stable: Histogram<'_>,
    bounds: &[f64],
    limit: f64,
) -> Look {
    let around = bracket(bounds, limit);
    let slow = |side: Histogram<'_>, bound: Option<usize>, otherwise: f64| {
        let slower = bound.map_or(otherwise, |index| side.slower_than_bound(index));
        Counts::new(side.all(), slower).unwrap_or(Counts::NONE)
    };
    let fault = around.above.or(around.below);
    Look {
        seconds,
        canary: slow(canary, around.above, 0.0),
        doubtful: slow(canary, around.below, canary.all()),
        stable: slow(stable, fault, 0.0),
    }
}

/// The comparison of the canary's latency with stable's; part of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slowdown {
    bounds: Vec<f64>,
    factor: f64,
    dependence: Dependence,
    evidence: [Evidence; QUANTILES.len()],
    background: [Background; QUANTILES.len()],
    /// Stable's cumulative buckets, of past looks only.
    past: Vec<f64>,
    split: Split,
}

impl Slowdown {
    /// Returns a comparison over histograms with these `bounds`; tolerated is `factor` times stable's
    /// latency, above 0.
    pub fn new(bounds: &[f64], factor: f64, dependence: Dependence) -> Self {
        Self {
            bounds: bounds.to_vec(),
            factor,
            dependence,
            evidence: Default::default(),
            background: Default::default(),
            past: vec![0.0; bounds.len() + 1],
            split: Split::default(),
        }
    }

    /// Begins a step with the canary's `weight` in (0, 1]; `later` is false at the first step.
    pub fn begin_step(&mut self, weight: f64, later: bool) {
        self.split = Split::of(weight);
        if later {
            self.evidence.iter_mut().for_each(Evidence::begin_step);
        }
    }

    /// Takes in what came in both histograms within `seconds`, in a plan of `steps` steps. `dispersion`
    /// (≥ 1) is used by [`Dependence::Request`] only. Histograms of other bounds change nothing.
    pub fn observe(
        &mut self,
        seconds: f64,
        canary: &[f64],
        stable: &[f64],
        dispersion: f64,
        steps: usize,
    ) {
        let usable = |cumulative| Histogram::new(&self.bounds, cumulative);
        let (Some(ours), Some(theirs)) = (usable(canary), usable(stable)) else {
            return;
        };
        let all = |side: Histogram<'_>| Counts::new(side.all(), 0.0).unwrap_or(Counts::NONE);
        let look = Look::new(seconds, all(ours), all(theirs));
        self.split.observe(&look);
        if ours.all() > 0.0 || theirs.all() > 0.0 {
            let past = Histogram::new(&self.bounds, &self.past);
            for (at, q) in QUANTILES.into_iter().enumerate() {
                let bound = past.and_then(|past| past.comparable_bound(q, self.factor));
                let gains = bound.map_or(bet::NO_GAIN, |index| {
                    let slow = (
                        ours.slower_than_bound(index),
                        theirs.slower_than(self.bounds[index] / self.factor),
                    );
                    let background = &mut self.background[at];
                    let ratio = background.corrected(SLACK, ours.all(), theirs.all());
                    background.observe(Counts::new(theirs.all(), slow.1).unwrap_or(Counts::NONE));
                    match self.dependence {
                        Dependence::Look => bet::relative(slow.0, slow.1, self.split, ratio),
                        Dependence::Request => {
                            let most = (1.0 / ALPHA).ln() * seconds / BURST_SECONDS;
                            let gains = bet::relative_by_request(
                                slow.0, slow.1, self.split, SLACK, dispersion,
                            );
                            bet::at_most(gains, most)
                        }
                    }
                });
                self.evidence[at].update(&gains, steps);
            }
        }
        for (sum, more) in self.past.iter_mut().zip(stable) {
            *sum += more;
        }
    }

    /// Goes on with other bounds. Evidence stays; what is known of stable's past too, where no bound is
    /// new.
    pub fn rebase(&mut self, bounds: &[f64]) {
        if self.bounds == bounds {
            return;
        }
        self.past = meter::rebased(&self.past, &self.bounds, bounds)
            .unwrap_or_else(|| vec![0.0; bounds.len() + 1]);
        self.bounds = bounds.to_vec();
    }

    /// Takes back the evidence that was won since `earlier`, a state of the same comparison in this run;
    /// see [`Evidence::forgive`].
    pub fn forgive(&mut self, earlier: &Self) {
        for (now, then) in self.evidence.iter_mut().zip(&earlier.evidence) {
            now.forgive(then);
        }
    }

    /// Returns the logarithm of the evidence that the canary is slower than tolerated.
    pub fn log_value(&self) -> f64 {
        let weighted = self.evidence.iter().zip(WEIGHT);
        log_sum(weighted.map(|(evidence, weight)| weight.ln() + evidence.log_value()))
    }
}
