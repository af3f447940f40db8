//! The judgement of all checks after one look.
//!
//! Owns: readings + memory → verdicts and sentences. Must not: fetch, or decide about the release.
//! Missing, odd or scarce data is *unknown*, never healthy.
//!
//! Checks that count requests share one probability of error: what each has against the canary is
//! pooled first ([`rollout::pooled`]), then each says its verdict.

mod pods;
mod requests;
mod state;
#[cfg(test)]
mod tests;
mod windows;
mod words;

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    check::{CheckSpec, Memory, Number, Reading, Rule, Severity},
    meters::Counted,
    verdict::{CheckResult, Unknown, Verdict},
};
use crate::analysis::{
    evidence::{ALPHA, SUSPICION},
    rollout::{self, Weighed},
};
pub use words::{limit, percent, span};

/// Checks are blamed whose part of the evidence is at least this share of the greatest part.
const BLAME: f64 = 1.0 / 3.0;

/// What one look yields before it is dressed as a [`CheckResult`].
#[derive(Debug, Clone, PartialEq)]
struct Finding {
    verdict: Verdict,
    unknown: Option<Unknown>,
    value: Option<f64>,
    stable: Option<f64>,
    interval: Option<(f64, f64)>,
    evidence: Option<f64>,
    confidence: Option<String>,
    samples: u64,
    hopeless: bool,
    proven: Option<bool>,
    text: String,
}

impl Finding {
    fn new(verdict: Verdict, samples: usize, text: impl Into<String>) -> Self {
        Self {
            verdict,
            unknown: None,
            value: None,
            stable: None,
            interval: None,
            evidence: None,
            confidence: None,
            samples: samples as u64,
            hopeless: false,
            proven: None,
            text: text.into(),
        }
    }

    fn unknown(why: Unknown, samples: usize, text: impl Into<String>) -> Self {
        Self {
            unknown: Some(why),
            ..Self::new(Verdict::Unknown, samples, text)
        }
    }
}

/// Under which circumstances a look is judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Circumstances {
    /// Number of steps of the plan.
    pub steps: usize,
    /// Whether pods are meant to come and go now: then a pod that is not ready yet is no evidence,
    /// and the phase's own deadline decides.
    pub moving: bool,
    /// Whether the split is meant to stay as it is: at a step, and not during a promotion.
    pub steady: bool,
    /// The moment of the look.
    pub now: Timestamp,
    /// When the run began.
    pub started: Timestamp,
    /// Index of the step.
    pub step: usize,
    /// The canary's share of the traffic, between 0 and 1.
    pub weight: f64,
    /// The share it gets at the next step; `None` where full promotion comes next.
    pub next: Option<f64>,
    /// Seconds at the step.
    pub elapsed: f64,
    /// Seconds that the source of metrics may lag behind.
    pub lag: f64,
    /// Seconds at the step until what was seen, but not proven, holds the release no more.
    pub patience: f64,
}

/// A check after its look was taken in, and before the evidence of all is known.
enum Half {
    /// It stands by itself.
    Done(Finding),
    /// It has a part in the pool.
    Open(Box<dyn Open>),
}

/// What a check says once the evidence of all checks is known.
trait Open {
    /// Returns what the check has against the canary: shares of the stake and logarithms of evidence.
    fn parts(&self) -> &[Weighed];

    /// Returns the finding.
    fn close(&self, memory: &Memory, pool: Pool) -> Finding;
}

/// The evidence of all checks, as one of them sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pool {
    /// Logarithm of the evidence of all checks together.
    log_value: f64,
    /// Whether this check has a great part in it.
    blamed: bool,
}

impl Pool {
    /// Returns whether the canary is condemned, and for this check.
    fn condemns(self) -> bool {
        self.blamed && self.log_value >= (1.0 / ALPHA).ln()
    }

    /// Returns whether evidence builds up, and in this check.
    fn suspects(self) -> bool {
        self.blamed && self.log_value >= SUSPICION.ln()
    }
}

/// Judges one look at all checks and remembers, under the name that `name` gives each, what the next
/// look needs. `counted` is what the source of metrics counted, where it was asked.
pub fn judge_all(
    looked: &[(CheckSpec, Vec<Reading>)],
    counted: Option<&Counted>,
    memories: &mut BTreeMap<String, Memory>,
    name: &dyn Fn(&CheckSpec) -> String,
    circumstances: Circumstances,
) -> Vec<CheckResult> {
    let halves: Vec<(&CheckSpec, Half)> = looked
        .iter()
        .map(|(spec, readings)| {
            let memory = memories.entry(name(spec)).or_default();
            (
                spec,
                take_in(spec, readings, counted, memory, circumstances),
            )
        })
        .collect();
    let pools = pools(&halves);
    let finish = |((spec, half), pool): (&(&CheckSpec, Half), Pool)| {
        let finding = match half {
            Half::Done(finding) => finding.clone(),
            Half::Open(open) => {
                let nothing = Memory::default();
                open.close(memories.get(&name(spec)).unwrap_or(&nothing), pool)
            }
        };
        dress(spec, finding)
    };
    halves.iter().zip(pools).map(finish).collect()
}

/// Judges one look at one check; see [`judge_all`].
pub fn judge(
    spec: &CheckSpec,
    memory: &mut Memory,
    readings: &[Reading],
    circumstances: Circumstances,
) -> CheckResult {
    let half = take_in(spec, readings, None, memory, circumstances);
    let halves = [(spec, half)];
    let pool = pools(&halves).remove(0);
    let [(_, half)] = halves;
    let finding = match half {
        Half::Done(finding) => finding,
        Half::Open(open) => open.close(memory, pool),
    };
    dress(spec, finding)
}

fn take_in(
    spec: &CheckSpec,
    readings: &[Reading],
    counted: Option<&Counted>,
    memory: &mut Memory,
    circumstances: Circumstances,
) -> Half {
    if !circumstances.moving {
        memory.looks = memory.looks.saturating_add(1);
    }
    match spec.rule {
        Rule::Condition { consecutive } => {
            let any = Number::default();
            Half::Done(state::state(memory, readings, consecutive, &any))
        }
        Rule::Number(number) => match number.mode {
            None => {
                let consecutive = number.consecutive;
                Half::Done(state::state(memory, readings, consecutive, &number))
            }
            Some(mode) => windows::number(memory, readings, (number, mode), circumstances),
        },
        Rule::Share { min, min_requests } => {
            requests::share(memory, readings, (min, min_requests), circumstances)
        }
        Rule::Errors(limits) => requests::errors(memory, counted, limits, circumstances),
        Rule::Latency { quantile, limits } => {
            requests::latency(memory, counted, (quantile, limits), circumstances)
        }
        Rule::Traffic {
            tolerance,
            min_requests,
        } => Half::Done(requests::traffic(
            memory,
            counted,
            (tolerance, min_requests),
            circumstances,
        )),
        Rule::Pods { max_restarts } => Half::Done(pods::pods(
            memory,
            readings,
            max_restarts,
            circumstances.moving,
        )),
    }
}

/// Returns the pool as each check sees it. Checks that only warn have one for themselves.
fn pools(halves: &[(&CheckSpec, Half)]) -> Vec<Pool> {
    let parts = |half: &Half| -> Vec<Weighed> {
        match half {
            Half::Done(_) => Vec::new(),
            Half::Open(open) => open.parts().to_vec(),
        }
    };
    let counts = |spec: &CheckSpec| spec.severity != Severity::Warn;
    let common: Vec<Weighed> = halves
        .iter()
        .filter(|(spec, _)| counts(spec))
        .flat_map(|(_, half)| parts(half))
        .collect();
    let greatest = most(&common);
    let log_value = rollout::pooled(&scaled(common));
    let pool = |(spec, half): &(&CheckSpec, Half)| {
        let own = parts(half);
        if counts(spec) {
            Pool {
                log_value,
                blamed: !own.is_empty() && most(&own) >= greatest + BLAME.ln(),
            }
        } else {
            Pool {
                log_value: rollout::pooled(&scaled(own.clone())),
                blamed: !own.is_empty(),
            }
        }
    };
    halves.iter().map(pool).collect()
}

/// Returns the parts with shares that sum to 1.
fn scaled(parts: Vec<Weighed>) -> Vec<Weighed> {
    let sum: f64 = parts.iter().map(|part| part.share).sum();
    let scale = |part: Weighed| Weighed {
        share: part.share / sum,
        ..part
    };
    parts.into_iter().map(scale).collect()
}

/// Returns the logarithm of the greatest part.
fn most(parts: &[Weighed]) -> f64 {
    let logs = parts.iter().map(|part| part.share.ln() + part.log_value);
    logs.fold(f64::NEG_INFINITY, f64::max)
}

fn dress(spec: &CheckSpec, finding: Finding) -> CheckResult {
    CheckResult {
        name: spec.name.clone(),
        probe: spec.probe.clone(),
        verdict: finding.verdict,
        unknown: finding.unknown,
        unit: spec.rule.unit(),
        value: finding.value,
        stable: finding.stable,
        interval: finding.interval,
        evidence: finding.evidence,
        confidence: finding.confidence,
        limit: limit(spec.rule),
        samples: finding.samples,
        hopeless: finding.hopeless,
        proven: finding.proven,
        severity: spec.severity,
        text: format!("{}: {}", spec.name, finding.text),
    }
}
