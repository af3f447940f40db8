//! Rollouts judged by the product's own statistics.
//!
//! Owns: the loop of looks and steps around `canaryctl::analysis`. Must not: know how the traffic was
//! made.

use canaryctl::analysis::{
    counts::Counts,
    proof::{AT_RISK, BETA, REACTION, rate_to_exclude},
    rollout::{self, Decision, Pace, Standing, Weighed},
    share::{Dependence, Rules, Share},
};

use crate::world::Traffic;

/// How a rollout goes.
#[derive(Clone)]
pub struct Course {
    pub weights: Vec<f64>,
    pub rules: Rules,
    /// Seconds between looks.
    pub look: f64,
    /// Least and most seconds at a step.
    pub least: f64,
    pub most: f64,
    /// Every step lasts `least`, whatever is known; only a rollback ends it.
    pub forced: bool,
    /// Whether what was observed but not proven holds a step.
    pub hold: bool,
    /// Whether the last step has to prove the ratio.
    pub prove_ratio: bool,
    /// Shares of the whole probability of error: of the limit, of the ratio.
    pub shares: (f64, f64),
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Promoted,
    RolledBack,
    Inconclusive,
}

/// What it cost.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub end: End,
    pub seconds: f64,
    /// Requests to the canary.
    pub requests: f64,
    /// Failed ones among them.
    pub hurt: f64,
}

impl Course {
    /// The defaults, with this limit on errors.
    pub fn with_limit(limit: f64) -> Self {
        Self {
            weights: vec![0.01, 0.05, 0.10, 0.25, 0.50],
            rules: Rules::limit(limit).with_ratio(2.0, 0.001),
            look: 5.0,
            least: 60.0,
            most: 1800.0,
            forced: false,
            hold: true,
            prove_ratio: false,
            shares: (rollout::ERRORS_SHARE, rollout::ERRORS_RATIO_SHARE),
        }
    }

    pub fn by_request(mut self) -> Self {
        self.rules.dependence = Dependence::Request;
        self
    }

    /// The absolute limit blames nobody from so many recent bad requests of stable on.
    pub fn doubting(mut self, doubt: f64) -> Self {
        self.rules.doubt = doubt;
        self
    }

    /// Every step lasts so many seconds.
    pub fn forced(self, seconds: f64) -> Self {
        Self {
            least: seconds,
            forced: true,
            ..self
        }
    }

    pub fn with_weights(self, weights: &[f64]) -> Self {
        Self {
            weights: weights.to_vec(),
            ..self
        }
    }

    /// Runs a release.
    pub fn run(&self, traffic: &mut Traffic<'_>, rps: f64) -> Run {
        let mut share = Share::default();
        let mut seen = Counts::NONE;
        let mut end = End::Promoted;
        'steps: for (step, weight) in self.weights.iter().enumerate() {
            share.begin_step(*weight, self.to_exclude(step, rps), step > 0);
            let mut elapsed = 0.0;
            loop {
                let look = traffic.look(self.look, *weight);
                elapsed += self.look;
                seen = seen.plus(look.canary);
                share.observe(&self.rules, &look, self.weights.len());
                let pace = self.pace(step, elapsed);
                match self.decide(&share, pace) {
                    Decision::Continue => {}
                    Decision::Advance => break,
                    Decision::Rollback => {
                        end = End::RolledBack;
                        break 'steps;
                    }
                    Decision::Inconclusive => {
                        end = End::Inconclusive;
                        break 'steps;
                    }
                }
            }
        }
        Run {
            end,
            seconds: traffic.now(),
            requests: seen.all(),
            hurt: seen.bad(),
        }
    }

    pub fn to_exclude(&self, step: usize, rps: f64) -> f64 {
        let next = self.weights.get(step + 1).map(|weight| rps * weight);
        rate_to_exclude(self.rules.limit.unwrap_or(1.0), next, AT_RISK, REACTION)
    }

    pub fn pace(&self, step: usize, elapsed: f64) -> Pace {
        Pace {
            elapsed,
            least: self.least,
            most: self.most,
            last: step + 1 == self.weights.len(),
        }
    }

    pub fn pooled(&self, share: &Share) -> f64 {
        let weighed = |share, log_value| Weighed { share, log_value };
        rollout::pooled(&[
            weighed(self.shares.0, share.absolute_value()),
            weighed(self.shares.1, share.relative_value()),
        ])
    }

    pub fn decide(&self, share: &Share, pace: Pace) -> Decision {
        let prove_ratio = self.prove_ratio && pace.last;
        let standing = Standing {
            log_value: self.pooled(share),
            proven: self.forced
                || (share.is_proven(BETA) && (!prove_ratio || share.is_ratio_proven(BETA))),
            stable_fails: !self.forced && share.stable_fails(),
            breaks: !self.forced && self.hold && share.breaks(&self.rules),
        };
        let decision = rollout::decide(standing, pace);
        // Suspicion holds nothing where only a rollback ends a step.
        if decision == Decision::Continue && self.forced && pace.elapsed >= pace.least {
            Decision::Advance
        } else {
            decision
        }
    }
}
