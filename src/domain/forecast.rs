//! How long a plan takes at a service's traffic.
//!
//! Owns: how many requests each step needs, and when they have come. Must not: judge, or promise: what a step needs
//! is known, how a version behaves is not.

use std::time::Duration;

use super::{
    check::{CheckSpec, Limits, Mode, Rule, Severity},
    plan::Plan,
};
use crate::analysis::{
    forecast::{requests_to_prove, seconds},
    proof::{AT_RISK, REACTION, is_small, least_requests, rate_to_exclude},
};

/// Longest deadline that a step gets for want of traffic, where none was given: who needs longer says so.
const LONGEST: Duration = Duration::from_secs(6 * 3600);

/// How many times the forecast a step may take.
const MARGIN: f64 = 2.0;

/// Part over the holds from which traffic and not time decides how long a plan takes.
const MORE: f64 = 1.2;

/// How long each step takes at least, in seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// By step.
    pub steps: Vec<f64>,
    /// The holds together.
    pub holds: f64,
}

impl Forecast {
    /// Returns how long the whole plan takes.
    pub fn whole(&self) -> f64 {
        self.steps.iter().sum()
    }

    /// Returns the index of the longest step.
    pub fn longest(&self) -> usize {
        let steps = self.steps.iter().enumerate();
        let longest = steps.fold((0, 0.0), |most, (at, seconds)| {
            if *seconds > most.1 {
                (at, *seconds)
            } else {
                most
            }
        });
        longest.0
    }

    /// Returns whether the traffic and not the holds decide.
    pub fn waits_for_traffic(&self) -> bool {
        self.whole() > MORE * self.holds
    }
}

/// Returns how long each step of a plan takes where the service gets `rate` requests/s, a share `bad` of which
/// fails; `None` without traffic.
pub fn forecast(plan: &Plan, rate: f64, bad: f64) -> Option<Forecast> {
    let steps = (0..plan.steps.len()).map(|at| step(plan, at, rate, bad));
    Some(Forecast {
        steps: steps.collect::<Option<_>>()?,
        holds: plan.steps.iter().map(|step| step.hold.as_secs_f64()).sum(),
    })
}

/// Returns the deadline of a step: the one that was given, or at least the time that it takes at `rate` requests/s,
/// if that is known, twice. A share `bad` of stable's requests fails.
pub fn deadline(plan: &Plan, at: usize, (rate, bad): (Option<f64>, f64)) -> Duration {
    let given = plan
        .steps
        .get(at)
        .map_or(Duration::ZERO, |step| step.deadline);
    if !plan.patient {
        return given;
    }
    let takes = rate.and_then(|rate| step(plan, at, rate, bad));
    let longest = LONGEST.as_secs_f64();
    let takes =
        takes.map(|seconds| Duration::from_secs_f64((MARGIN * seconds).min(longest).ceil()));
    takes.map_or(given, |takes| takes.max(given))
}

/// Returns how many seconds a step takes.
fn step(plan: &Plan, at: usize, rate: f64, bad: f64) -> Option<f64> {
    let step = plan.steps.get(at)?;
    let next = plan.steps.get(at + 1).map(|step| step.weight.fraction());
    let weight = step.weight.fraction();
    let counting = plan
        .at_steps()
        .filter(|check| check.severity != Severity::Warn);
    let needed = counting
        .filter_map(|check| needed(check, next, (rate, bad)))
        .fold(0.0, f64::max);
    let takes = if needed > 0.0 {
        seconds(needed, rate, weight)?
    } else {
        0.0
    };
    Some(takes.max(step.hold.as_secs_f64()))
}

/// Returns the canary requests that a check needs at a step whose next one has the share `next` of the traffic.
fn needed(check: &CheckSpec, next: Option<f64>, (rate, bad): (f64, f64)) -> Option<f64> {
    let (limit, least) = match check.rule {
        Rule::Share { min, min_requests } => (Some(1.0 - min), min_requests),
        Rule::Errors(limits) if limits.mode == Mode::Sequential => {
            (limits.max, limits.min_requests)
        }
        Rule::Latency { quantile, limits } if limits.mode == Mode::Sequential => {
            let Limits {
                max, min_requests, ..
            } = limits;
            (max.map(|_| 1.0 - quantile), min_requests)
        }
        Rule::Errors(_)
        | Rule::Latency { .. }
        | Rule::Condition { .. }
        | Rule::Number(_)
        | Rule::Traffic { .. }
        | Rule::Pods { .. } => return None,
    };
    // Slow requests are measured by another check than failed ones.
    let bad = if matches!(check.rule, Rule::Latency { .. }) {
        0.0
    } else {
        bad
    };
    let small = limit.is_none_or(|limit| is_small(limit, rate));
    let least = least_requests(least, next.map(|next| next * rate), small);
    #[expect(clippy::cast_precision_loss, reason = "limits are small")]
    let least = least as f64;
    let excluded = limit.map_or(1.0, |limit| {
        rate_to_exclude(limit, next.map(|next| next * rate), AT_RISK, REACTION)
    });
    let by_time = next.is_none() && small;
    let proof = (excluded < 1.0 && !by_time)
        .then(|| requests_to_prove(bad, excluded))
        .flatten();
    Some(least.max(proof.unwrap_or(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        analysis::share::Dependence,
        domain::{
            plan::{Cleanup, OnTrouble, Promotion, Step, Strategy},
            weight::Percent,
        },
    };

    const MINUTES: Duration = Duration::from_secs(300);

    /// A plan of four steps with a limit on errors.
    fn plan(max: f64) -> Plan {
        let errors = Limits {
            max: Some(max),
            max_ratio: None,
            floor: 0.001,
            min_requests: 20,
            mode: Mode::Sequential,
            dependence: Dependence::Look,
        };
        let step = |weight| Step {
            weight: Percent::whole(weight),
            hold: MINUTES,
            early: None,
            approve: false,
            deadline: MINUTES * 3,
        };
        Plan {
            steps: [10, 25, 50, 100].map(step).to_vec(),
            checks: vec![CheckSpec {
                name: "error rate".into(),
                probe: "errorRate".into(),
                options: serde_json::Value::Null,
                rule: Rule::Errors(errors),
                severity: Severity::Rollback,
                on_unknown: None,
                pre: false,
            }],
            metrics: None,
            load: None,
            interval: Duration::from_secs(10),
            brake: true,
            warmup: Duration::ZERO,
            patient: true,
            on_unknown: OnTrouble::Hold,
            on_unknown_unset: false,
            on_failure: OnTrouble::Rollback,
            on_interrupt: OnTrouble::Rollback,
            promote: Promotion {
                strategy: Strategy::Template,
                canary: Cleanup::ScaleDown,
                auto: true,
            },
            drain: Duration::ZERO,
            ready_timeout: MINUTES,
            promote_timeout: MINUTES,
        }
    }

    #[test]
    fn a_busy_service_takes_its_holds() {
        let plan = plan(0.05);
        let forecast = forecast(&plan, 50.0, 0.001).unwrap();
        assert_eq!(forecast.steps, [300.0; 4]);
        assert!(!forecast.waits_for_traffic());
        assert_eq!(
            deadline(&plan, 0, (Some(50.0), 0.0)),
            Duration::from_secs(900)
        );
    }

    /// Of a service that fails nearly as often as it may, it takes many requests to tell that the canary keeps the limit.
    #[test]
    fn the_deadline_follows_what_stable_fails_anyway() {
        let plan = plan(0.05);
        let last = |bad| deadline(&plan, 3, (Some(5.0), bad));
        assert_eq!(last(0.001), Duration::from_secs(900));
        // 1.2·ln 20 / KL(4 %, 5 %): some 3,200 requests, twice.
        assert!(
            (1_200..1_400).contains(&last(0.04).as_secs()),
            "{:?}",
            last(0.04)
        );
    }

    #[test]
    fn a_quiet_service_waits_for_requests_and_its_deadline_follows() {
        let plan = plan(0.01);
        let quiet = forecast(&plan, 0.3, 0.0).unwrap();
        assert!(quiet.waits_for_traffic(), "{quiet:?}");
        assert_eq!(quiet.longest(), 3, "{quiet:?}");
        // 1 % has to be excluded before the promotion: 358 requests without a failed one.
        assert!((1_100.0..1_300.0).contains(&quiet.steps[3]), "{quiet:?}");
        let given = Plan {
            patient: false,
            ..plan.clone()
        };
        assert_eq!(
            deadline(&given, 3, (Some(0.3), 0.0)),
            Duration::from_secs(900)
        );
        assert!(deadline(&plan, 3, (Some(0.3), 0.0)) > Duration::from_secs(2_200));
        assert_eq!(deadline(&plan, 3, (None, 0.0)), Duration::from_secs(900));
        assert_eq!(
            forecast_of(&plan, 0.0),
            None,
            "without traffic nothing is known"
        );
        let rare = deadline(&plan, 0, (Some(1e-6), 0.0));
        assert_eq!(rare, LONGEST);
    }

    fn forecast_of(plan: &Plan, rate: f64) -> Option<Forecast> {
        forecast(plan, rate, 0.0)
    }

    #[test]
    fn a_service_so_small_that_an_hour_at_the_limit_fails_few_users_ends_by_time() {
        let plan = plan(0.05);
        // 0.05/s are 180 requests an hour, 9 of which fail at the limit.
        let small = forecast(&plan, 0.05, 0.0).unwrap();
        assert!((small.steps[3] - 300.0).abs() < 1e-9, "{small:?}");
        let more = forecast(&plan, 0.06, 0.0).unwrap();
        assert!(more.steps[3] > 900.0, "{more:?}");
    }
}
