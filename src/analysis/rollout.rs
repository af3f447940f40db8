//! All checks of a run together: advance, roll back, or wait.
//!
//! Owns: one probability of error for the whole run, and the rule of advance. Must not: change traffic.

use super::{
    evidence::{ALPHA, SUSPICION},
    logarithm::log_sum,
};

/// Share of [`ALPHA`] of the absolute limit of errors, where all checks are on.
pub const ERRORS_SHARE: f64 = 0.3;
/// The same of errors against stable.
pub const ERRORS_RATIO_SHARE: f64 = 0.3;
/// The same of each limit of a latency.
pub const LATENCY_SHARE: f64 = 0.1;
/// The same of latency against stable.
pub const SLOWDOWN_SHARE: f64 = 0.2;

/// Multiple of the least time that a step is held for what was observed but not proven.
const HOLD: f64 = 5.0;

/// The evidence of one check.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weighed {
    /// What it counts; above 0. All checks that are on sum to 1 at most.
    pub share: f64,
    /// Logarithm of its value.
    pub log_value: f64,
}

/// Returns the logarithm of the evidence of all checks: the weighted mean of their values, right under
/// any dependence between them. Shares not given away count as evidence 1; shares that sum to more
/// than 1 are scaled down.
pub fn pooled(checks: &[Weighed]) -> f64 {
    let usable = |check: &&Weighed| check.share > 0.0 && check.share.is_finite();
    let sum: f64 = checks.iter().filter(usable).map(|check| check.share).sum();
    let scale = sum.max(1.0);
    let rest = (1.0 - sum).max(0.0);
    let rest = if rest > 1e-12 {
        rest.ln()
    } else {
        f64::NEG_INFINITY
    };
    let values = checks.iter().filter(usable);
    log_sum(
        values
            .map(|check| (check.share / scale).ln() + check.log_value)
            .chain([rest]),
    )
}

/// What all checks say at a look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// Logarithm of the evidence against the canary, of all checks.
    pub log_value: f64,
    /// Whether every check is proven as far as this step demands.
    pub proven: bool,
    /// Whether stable fails too.
    pub stable_fails: bool,
    /// Whether what was observed breaks a rule, proven or not.
    pub breaks: bool,
}

/// Where in a step a look is, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Since the step began.
    pub elapsed: f64,
    /// Least time at a step.
    pub least: f64,
    /// Most time at a step.
    pub most: f64,
    /// Whether it is the last step before full promotion.
    pub last: bool,
}

/// What to do after a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Look again.
    Continue,
    /// Begin the next step, or promote.
    Advance,
    /// The canary is worse than tolerated.
    Rollback,
    /// The time is up, and neither is known.
    Inconclusive,
}

/// Decides after a look. A canary that keeps its limits is rolled back with probability
/// [`ALPHA`] at most during the whole run.
pub fn decide(standing: Standing, pace: Pace) -> Decision {
    if standing.log_value >= (1.0 / ALPHA).ln() {
        Decision::Rollback
    } else if pace.elapsed >= pace.least && standing.proven && !is_suspicious(standing, pace) {
        Decision::Advance
    } else if pace.elapsed >= pace.most {
        Decision::Inconclusive
    } else {
        Decision::Continue
    }
}

/// Returns whether the step must not be left upwards: evidence builds up, stable fails, or what was
/// observed breaks a rule, which holds a step that is not the last one for a limited time.
pub fn is_suspicious(standing: Standing, pace: Pace) -> bool {
    let holds = pace.last || pace.elapsed < HOLD * pace.least;
    standing.stable_fails || standing.log_value >= SUSPICION.ln() || (standing.breaks && holds)
}
