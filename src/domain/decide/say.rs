//! What the phases share: entering them, waiting, failing, and the sentences.
//!
//! Owns: the moves and the words of a round. Must not: do I/O or read a clock.

use std::time::Duration;

use super::{Action, Round, Turn, elapsed, pods_needed, signed, unhealthy_text};
use crate::domain::{
    check::{Memory, Rule, Severity},
    event::{Event, EventKind},
    plan::{OnTrouble, Strategy},
    release::{Cause, Outcome, Phase},
    split::Grain,
    verdict::{CheckResult, Verdict, overall},
    weight::Percent,
    workload::{Track, Workload},
};

impl Round<'_> {
    /// Returns the scaling a side needs before it may carry `weight`; routers by pods scale themselves.
    pub(super) fn scale_for(&self, track: Track, weight: Percent) -> Option<Action> {
        let by_pods = matches!(self.seen.grain, Grain::Pods { .. });
        let origin = &self.release.origin;
        let (side, total) = match track {
            // Where pods are not the traffic, stable returns to its own recorded size.
            Track::Stable if !by_pods => (self.seen.stable.as_ref()?, origin.stable_replicas),
            Track::Stable => (self.seen.stable.as_ref()?, origin.total),
            Track::Canary => (self.seen.canary.as_ref()?, origin.total),
        };
        // While stable is checked for promotion it must have its pods, whatever routes the traffic.
        let promoting = self.release.phase == Phase::PromoteScale;
        if by_pods && !promoting {
            return None;
        }
        let need = pods_needed(weight, total);
        (side.replicas < need).then_some(Action::Scale(track, need))
    }

    /// Returns an action that should be over in a moment, or gives up when it never takes effect.
    pub(super) fn act_or_fail(&mut self, action: Action, what: &str) -> Turn {
        if self.overdue(self.release.plan.ready_timeout) {
            let limit = humantime::format_duration(self.release.plan.ready_timeout);
            return self.fail(format!("still waiting after {limit} for {what}"));
        }
        Some(action)
    }

    pub(super) fn shift_or_fail(&mut self, weight: Percent) -> Turn {
        if self.overdue(self.release.plan.ready_timeout) {
            let limit = humantime::format_duration(self.release.plan.ready_timeout);
            let text = format!(
                "{} not reached within {limit}: {}{}",
                self.release.target,
                self.waits_for(),
                // Why containers wait is said by who waits for them.
                self.side(Track::Canary, Workload::failing_probes)
            );
            return self.fail(text);
        }
        if let Some(action) = self.repair_route() {
            return Some(action);
        }
        if let Some(action) = self.scale_for(Track::Canary, weight) {
            return Some(action);
        }
        Some(Action::Shift(weight))
    }

    /// Returns what is said of a side; nothing where it is not there.
    fn side(&self, track: Track, say: fn(&Workload) -> String) -> String {
        let side = match track {
            Track::Stable => &self.seen.stable,
            Track::Canary => &self.seen.canary,
        };
        side.as_ref().map(say).unwrap_or_default()
    }

    pub(super) fn wait_or_fail(&mut self, what: &str) -> Turn {
        if overall(self.canary_checks()) == Verdict::Unhealthy {
            let text = unhealthy_text(self.canary_checks());
            return self.fail(text);
        }
        if self.overdue(self.release.plan.ready_timeout) {
            let limit = humantime::format_duration(self.release.plan.ready_timeout);
            let why = self.side(Track::Canary, Workload::why_unready);
            return self.fail(format!("still waiting after {limit} for {what}{why}"));
        }
        Some(self.wait(what))
    }

    pub(super) fn wait_or_undo(&mut self, what: &str) -> Turn {
        if self.overdue(self.release.plan.promote_timeout) {
            let limit = humantime::format_duration(self.release.plan.promote_timeout);
            let why = self.side(Track::Stable, Workload::why_unready);
            return self.undo(format!("still waiting after {limit} for {what}{why}"));
        }
        Some(self.wait(what))
    }

    pub(super) fn fail(&mut self, reason: String) -> Turn {
        let broken = |r: &&CheckResult| r.verdict == Verdict::Unhealthy;
        let severities = self.canary_checks().iter().filter(broken);
        let severities: Vec<Severity> = severities.map(|r| r.severity).collect();
        self.fail_for(&severities, reason)
    }

    /// Does what the plan says of an unhealthy canary, for checks of those severities; none: for a reason
    /// that no check gives.
    pub(super) fn fail_for(&mut self, severities: &[Severity], reason: String) -> Turn {
        let only_holds =
            !severities.is_empty() && severities.iter().all(|s| *s != Severity::Rollback);
        if only_holds || self.release.plan.on_failure == OnTrouble::Hold {
            self.release.cause = Some(Cause::Unhealthy);
            return Some(self.pause(&reason));
        }
        self.retreat(Cause::Unhealthy, reason);
        None
    }

    pub(super) fn begin_step(&mut self, index: usize) {
        self.release.step = index;
        self.release.step_since = self.seen.now;
        self.release.gate_spent = Duration::ZERO;
        self.release.approved = false;
        self.release.passed = None;
        if let Some(step) = self.release.plan.steps.get(index) {
            self.release.target = step.weight;
        }
        self.enter(Phase::Shifting);
    }

    pub(super) fn enter(&mut self, phase: Phase) {
        if phase == Phase::Holding {
            self.release
                .checks
                .values_mut()
                .for_each(Memory::begin_step);
        }
        if phase == Phase::PromoteTemplate {
            // The canary now stands for itself: pods that are not ready count from here.
            self.release
                .checks
                .values_mut()
                .for_each(Memory::begin_watch);
        }
        if matches!(phase, Phase::Shifting | Phase::Resting | Phase::Approving) {
            self.unpass();
        }
        self.moved = true;
        self.release.phase = phase;
        self.release.since = self.seen.now;
        let weight = self.release.target;
        let (step, steps) = (self.release.step + 1, self.release.plan.steps.len());
        self.emit(EventKind::PhaseChanged {
            phase,
            step,
            steps,
            weight,
        });
    }

    pub(super) fn reached(&mut self) {
        let split = self.seen.split.clone();
        self.emit(EventKind::Reached { split });
    }

    pub(super) fn pause(&mut self, text: &str) -> Action {
        self.release.reason = Some(text.to_owned());
        Action::Stop(Outcome::Paused, text.to_owned())
    }

    pub(super) fn wait(&self, what: &str) -> Action {
        let until = self
            .seen
            .now
            .checked_add(signed(self.release.plan.interval));
        Action::Wait {
            until: until.unwrap_or(self.seen.now),
            what: what.to_owned(),
        }
    }

    pub(super) fn emit(&mut self, kind: EventKind) {
        let at = self.seen.now;
        self.events.push(Event { at, kind });
    }

    pub(super) fn canary_checks(&self) -> &[CheckResult] {
        if self.moved {
            &[]
        } else {
            &self.seen.canary_checks
        }
    }

    pub(super) fn stable_checks(&self) -> &[CheckResult] {
        if self.moved {
            &[]
        } else {
            &self.seen.stable_checks
        }
    }

    pub(super) fn since(&self) -> Duration {
        elapsed(self.release.since, self.seen.now)
    }

    pub(super) fn overdue(&self, limit: Duration) -> bool {
        self.since() >= limit
    }

    pub(super) fn waits_for(&self) -> String {
        let split = &self.seen.split;
        split.waits_for.clone().unwrap_or_else(|| {
            format!(
                "the split is {} ({}), wanted {}",
                split.actual, split.detail, split.wanted
            )
        })
    }

    pub(super) fn reached_text(&self) -> String {
        let split = &self.seen.split;
        format!(
            "canary at {} (wanted {}, {})",
            split.actual, split.wanted, split.detail
        )
    }

    /// Returns the requests per second of the service, as the check that counted most saw them at a weight; `None`
    /// where none has.
    pub(super) fn rate(&self, weight: Percent) -> Option<f64> {
        let checks = self.release.checks.values();
        let requests = checks.filter_map(|memory| memory.requests.as_ref());
        let rates = requests.filter_map(|requests| requests.rate.latest(weight.fraction()));
        rates.reduce(f64::max)
    }

    /// Returns the share of stable's requests that failed in this run; 0 where that is not known.
    pub(super) fn usual(&self) -> f64 {
        let checks = self.release.plan.checks.iter();
        let errors = checks.filter(|check| matches!(check.rule, Rule::Errors(_)));
        let memories = errors.filter_map(|check| self.release.checks.get(&check.name));
        let requests = memories.filter_map(|memory| memory.requests.as_ref());
        let shares = requests.filter_map(|requests| requests.stable_run.share());
        shares.fold(0.0, f64::max)
    }

    pub(super) fn unsure_text(&self) -> String {
        let unsure = self
            .canary_checks()
            .iter()
            .filter(|r| r.verdict != Verdict::Healthy);
        let texts: Vec<&str> = unsure.map(|r| r.text.as_str()).collect();
        if texts.is_empty() && self.release.plan.at_steps().next().is_none() {
            return "the plan has no checks, so nothing can prove the canary healthy".to_owned();
        }
        if texts.is_empty() {
            return "the first evaluation of the checks".to_owned();
        }
        format!("not enough data: {}", joined(&texts))
    }

    pub(super) fn ending_text(&self, outcome: Outcome) -> String {
        let reason = self.release.reason.clone().unwrap_or_default();
        match outcome {
            Outcome::Promoted => match self.release.plan.promote.strategy {
                Strategy::None => format!(
                    "done: {} keeps {} of the traffic, stable is unchanged",
                    self.release.canary, self.release.target
                ),
                Strategy::Swap => format!("promoted: {} is stable now", self.release.stable),
                Strategy::Template | Strategy::Image => {
                    format!("promoted: {} runs the new version", self.release.stable)
                }
            },
            Outcome::RolledBack => format!("rolled back, verified at 0%: {reason}"),
            Outcome::Incomplete => format!(
                "the promotion failed: {reason}; all traffic is on {}, {} has its old template",
                self.release.canary, self.release.stable
            ),
            Outcome::AtWeight | Outcome::Paused | Outcome::Conflict => reason,
        }
    }
}

/// Shortest reason that is not told twice.
const LONG: usize = 60;

/// Returns the sentences of checks in one; a long reason that several of them give is told once.
fn joined(texts: &[&str]) -> String {
    let mut told: Vec<&str> = Vec::new();
    let shortened = texts.iter().map(|text| match text.split_once("; ") {
        Some((head, reason)) if reason.len() >= LONG && told.contains(&reason) => {
            format!("{head}; the same")
        }
        Some((_, reason)) => {
            told.push(reason);
            (*text).to_owned()
        }
        None => (*text).to_owned(),
    });
    let shortened: Vec<String> = shortened.collect();
    shortened.join("; ")
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn a_long_reason_is_told_once() {
        let reason = "POST http://prometheus.monitoring:9090/api/v1/query: no answer within 10s";
        let (first, second) = (
            format!("error rate: no requests yet; {reason}"),
            format!("p95 latency: no requests yet; {reason}"),
        );
        assert_eq!(
            joined(&[&first, &second, "queue: 5; short", "size: 6; short"]),
            format!(
                "{first}; p95 latency: no requests yet; the same; queue: 5; short; size: 6; short"
            )
        );
    }
}
