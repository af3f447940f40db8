//! The judgement of all checks after one look.
//!
//! Owns: readings + memory → verdicts and sentences. Must not: fetch, or decide about the release.
//! Missing, odd or scarce data is *unknown*, never healthy.
//!
//! Checks that count requests share one probability of error: what each has against the canary is
//! pooled first ([`rollout::pooled`]), then each says its verdict.

mod case;
mod early;
mod episode;
mod leaning;
mod pods;
mod requests;
mod state;
#[cfg(test)]
mod tests;
mod traffic;
mod windows;
mod without;
mod words;

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    braking::{Braking, Signals, Stage},
    check::{CheckSpec, Memory, Number, Reading, Requests, Rule, Severity},
    meters::{Counted, Witness},
    verdict::{CheckResult, Unknown, Verdict},
};
use crate::analysis::{
    brake::Order,
    evidence::{ALPHA, SUSPICION},
    rollout::{self, Weighed},
};
use early::Signs;
pub use without::LEFT_OUT;
pub use words::{duration, limit, percent, span};

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
    against: Option<String>,
    blamed: bool,
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
            against: None,
            blamed: false,
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
    /// Whether it is not the first time that a step begins.
    pub later: bool,
    /// Where the run is with the brake; `None` where the ordinary rule alone decides.
    pub brake: Option<Stage>,
    /// The canary's share of the traffic, between 0 and 1.
    pub weight: f64,
    /// The share it gets at the next step; `None` where full promotion comes next.
    pub next: Option<f64>,
    /// Seconds at the step.
    pub elapsed: f64,
    /// Seconds that the metrics provider may lag behind.
    pub lag: f64,
    /// Seconds at the step until what was seen, but not proven, holds the release no more.
    pub patience: f64,
    /// Seconds for which what is counted still comes from pods that warm up: it is shown and not judged.
    pub warming: f64,
    /// Who tells of requests.
    pub witness: Witness,
    /// Requests per second that the plan's load sends to both sides, where it has one.
    pub load: Option<f64>,
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

    /// Returns the same as far as it does not rest on a single pod of several.
    fn sure(&self) -> &[Weighed] {
        self.parts()
    }

    /// Returns what the brake goes by, where it is on.
    fn signs(&self) -> Option<&Signs> {
        None
    }

    /// Returns the finding.
    fn close(&self, memory: &Memory, pool: Pool) -> Finding;
}

/// The evidence of all checks, as one of them sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pool {
    /// Logarithm of the evidence of all checks together.
    log_value: f64,
    /// The same as far as it does not rest on a single pod.
    sure: f64,
    /// Whether this check has a great part in it.
    blamed: bool,
    /// What the brake says.
    order: Order,
    /// Where the run goes with it.
    stage: Stage,
}

impl Pool {
    /// Returns whether the canary is condemned, and for this check.
    fn condemns(self) -> bool {
        let decides = matches!(self.order, Order::Ordinary | Order::Rollback);
        decides && self.blamed && self.sure >= (1.0 / ALPHA).ln()
    }

    /// Returns whether the canary would be condemned, were it not for a single pod of several, without which nothing is
    /// suspected.
    fn is_of_one_pod(self) -> bool {
        self.order == Order::Ordinary
            && self.blamed
            && self.log_value >= (1.0 / ALPHA).ln()
            && self.sure < SUSPICION.ln()
    }

    /// Returns whether evidence builds up, and in this check.
    fn suspects(self) -> bool {
        self.blamed && self.log_value >= SUSPICION.ln()
    }
}

/// Judges one look at all checks and remembers, under the name that `name` gives each, what the next
/// look needs. `counted` is what the metrics provider counted, where it was asked. Where the circumstances
/// say that the brake is on, it takes in the look as well.
pub fn judge_all(
    looked: &[(CheckSpec, Vec<Reading>)],
    counted: Option<&Counted>,
    (memories, braking): (&mut BTreeMap<String, Memory>, &mut Braking),
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
    let signals = signals(&halves);
    let at_a_step = circumstances.brake == Some(Stage::Ordinary);
    let mut order = order(braking, signals, circumstances);
    if order == Order::Probe && at_a_step {
        // Whether it rests first or not: it leaves the step on evidence by request.
        order = Order::Rest;
    }
    let pools = pools(&halves, (order, signals), braking.stage());
    let all = memories.values_mut();
    if order == Order::Resume {
        all.flat_map(Memory::all_requests)
            .for_each(Requests::forgive);
    } else if order == Order::Rest && at_a_step {
        let requests = all.flat_map(Memory::all_requests);
        requests.for_each(|requests| requests.keep_apart(circumstances.step));
    } else if signals.is_some() && braking.is_calm() {
        all.for_each(Memory::calm);
    }
    let restless = halves.iter().any(|(spec, half)| {
        let pods = matches!(spec.rule, Rule::Pods { .. });
        pods && matches!(half, Half::Done(finding) if finding.verdict != Verdict::Healthy)
    });
    let finish = |((spec, half), pool): (&(&CheckSpec, Half), Pool)| {
        let finding = match half {
            Half::Done(finding) if restless && matches!(spec.rule, Rule::Traffic { .. }) => {
                traffic::excused(finding.clone())
            }
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
    let pool = pools(&halves, (Order::Ordinary, None), Stage::Ordinary).remove(0);
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
        } => Half::Done(traffic::traffic(
            memory,
            counted,
            (tolerance, min_requests),
            circumstances,
        )),
        Rule::Pods { max_restarts } => {
            Half::Done(pods::pods(memory, readings, max_restarts, circumstances))
        }
    }
}

/// Returns whether a check may do more than warn.
fn counts(spec: &CheckSpec) -> bool {
    spec.severity != Severity::Warn
}

fn parts(half: &Half) -> Vec<Weighed> {
    match half {
        Half::Done(_) => Vec::new(),
        Half::Open(open) => open.parts().to_vec(),
    }
}

/// Returns what an order was given for: evidence by request where it takes the traffic off.
fn reasons(half: &Half, order: Order) -> Vec<Weighed> {
    let signs = match half {
        Half::Open(open) if order == Order::Rest => open.signs(),
        Half::Open(_) | Half::Done(_) => None,
    };
    signs.map_or_else(|| parts(half), |signs| signs.quick.clone())
}

/// Returns the evidence of all checks that may do more than warn.
fn common(halves: &[(&CheckSpec, Half)]) -> Vec<Weighed> {
    let counting = halves.iter().filter(|(spec, _)| counts(spec));
    counting.flat_map(|(_, half)| parts(half)).collect()
}

/// The same as far as it does not rest on a single pod of several.
fn surely(halves: &[(&CheckSpec, Half)]) -> Vec<Weighed> {
    let counting = halves.iter().filter(|(spec, _)| counts(spec));
    let sure = counting.map(|(_, half)| match half {
        Half::Done(_) => Vec::new(),
        Half::Open(open) => open.sure().to_vec(),
    });
    sure.flatten().collect()
}

/// Returns what the brake goes by; `None` where no check has anything for it.
fn signals(halves: &[(&CheckSpec, Half)]) -> Option<Signals> {
    let counting = halves.iter().filter(|(spec, _)| counts(spec));
    let signs: Vec<&Signs> = counting
        .filter_map(|(_, half)| match half {
            Half::Done(_) => None,
            Half::Open(open) => open.signs(),
        })
        .collect();
    let pooled = |parts: fn(&Signs) -> &[Weighed]| {
        let all: Vec<Weighed> = signs.iter().flat_map(|s| parts(s).to_vec()).collect();
        (!all.is_empty()).then(|| rollout::pooled(&scaled(all)))
    };
    let fresh = pooled(|signs| &signs.fresh).unwrap_or(0.0);
    (!signs.is_empty()).then(|| Signals {
        heard: signs.iter().any(|signs| signs.heard),
        quick: pooled(|signs| &signs.quick).unwrap_or(0.0),
        total: rollout::pooled(&scaled(common(halves))),
        fresh,
        whole: pooled(|signs| signs.whole.as_deref().unwrap_or_default()),
        settled: signs.iter().all(|signs| signs.settled) && fresh < SUSPICION.ln(),
    })
}

/// Returns what the brake says after a look.
fn order(braking: &mut Braking, signals: Option<Signals>, circumstances: Circumstances) -> Order {
    match (circumstances.brake, signals) {
        (Some(Stage::Resting), _) => Order::Rest,
        (Some(Stage::Ordinary | Stage::Probing), Some(signals)) => {
            braking.observe(circumstances.now, &signals)
        }
        (Some(Stage::Ordinary | Stage::Probing), None) | (None, _) => Order::Ordinary,
    }
}

/// Returns the pool as each check sees it. Checks that only warn have one for themselves.
fn pools(
    halves: &[(&CheckSpec, Half)],
    (order, early): (Order, Option<Signals>),
    stage: Stage,
) -> Vec<Pool> {
    let common = common(halves);
    let all = halves.iter().filter(|(spec, _)| counts(spec));
    let greatest = all.map(|(_, half)| most(&reasons(half, order)));
    let greatest = greatest.fold(f64::NEG_INFINITY, f64::max);
    let forgiven = early.filter(|_| order == Order::Rollback);
    let forgiven = forgiven.and_then(|signals| signals.whole);
    // Who is taken back although forgiven is condemned by all that was ever seen.
    let forgiven = forgiven.unwrap_or(f64::NEG_INFINITY);
    let log_value = rollout::pooled(&scaled(common)).max(forgiven);
    let sure = rollout::pooled(&scaled(surely(halves))).max(forgiven);
    let pool = |(spec, half): &(&CheckSpec, Half)| {
        let own = parts(half);
        if counts(spec) {
            let own = reasons(half, order);
            Pool {
                log_value,
                sure,
                blamed: !own.is_empty() && most(&own) >= greatest + BLAME.ln(),
                order,
                stage,
            }
        } else {
            let alone = match half {
                Half::Done(_) => Vec::new(),
                Half::Open(open) => open.sure().to_vec(),
            };
            Pool {
                log_value: rollout::pooled(&scaled(own.clone())),
                sure: rollout::pooled(&scaled(alone)),
                blamed: !own.is_empty(),
                order: Order::Ordinary,
                stage: Stage::Ordinary,
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
        against: leaning::named(spec, finding.verdict, finding.against),
        blamed: finding.blamed,
        proven: finding.proven,
        severity: spec.severity,
        text: format!("{}: {}", spec.name, finding.text),
    }
}
