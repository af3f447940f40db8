//! What the brake makes of the way up: a rest without traffic, another look at a low weight, and the
//! return to the step.
//!
//! Owns: the moves. Must not: do I/O, read a clock, or judge: the checks say when.

use std::time::Duration;

use super::{Round, Turn, unsure::TimeOver};
use crate::{
    analysis::brake::probe_weight,
    domain::{
        braking::{Braking, Stage},
        event::EventKind,
        release::Phase,
        weight::Percent,
    },
};

/// How long the least weight may settle nothing before more users are asked: some looks of a source that is half
/// a minute behind.
const CLOSER: Duration = Duration::from_secs(90);

impl Round<'_> {
    /// Returns what the brake asks for at a step; `None` when it asks for nothing.
    pub(super) fn brakes(&mut self) -> Option<Turn> {
        let now = self.seen.now;
        match (self.release.braking.stage(), self.release.braking.from()) {
            (stage @ (Stage::Resting | Stage::Probing), None) => {
                let from = self.release.target;
                let text = self.blamed_text();
                self.emit(EventKind::TrafficPaused { from, text });
                self.release.braking.leave(from);
                if self.release.phase == Phase::Approving {
                    self.release.gate_spent += self.since();
                }
                self.release.target = match stage {
                    // Who was never calm is looked at again without a rest.
                    Stage::Probing => self.probe_weight(),
                    Stage::Resting | Stage::Ordinary => Percent::ZERO,
                };
                self.enter(Phase::Shifting);
                Some(None)
            }
            (Stage::Ordinary, Some(from)) => {
                self.release.braking.let_go();
                self.emit(EventKind::TrafficResumed { to: from });
                self.release.target = from;
                self.release.step_since = now;
                self.release.gate_spent = Duration::ZERO;
                self.enter(Phase::Shifting);
                Some(None)
            }
            (Stage::Probing, Some(_)) if self.is_hopeless() => {
                Some(self.give_up(TimeOver::Hopeless))
            }
            (Stage::Probing, Some(_)) if self.looks_closer() => {
                self.release.target = self.closer_weight();
                self.enter(Phase::Shifting);
                Some(None)
            }
            (Stage::Probing, Some(_)) => {
                let what = self.unsure_text();
                Some(Some(self.wait(&what)))
            }
            (Stage::Resting, Some(_)) => {
                // Somebody drove the run on that knows no rest: the traffic is taken off again.
                self.release.target = Percent::ZERO;
                self.enter(Phase::Shifting);
                Some(None)
            }
            (Stage::Ordinary, None) => None,
        }
    }

    /// Returns what the checks say that are to blame.
    fn blamed_text(&self) -> String {
        let blamed = self.canary_checks().iter().filter(|result| result.blamed);
        let texts: Vec<&str> = blamed.map(|result| result.text.as_str()).collect();
        texts.join("; ")
    }

    /// Waits without traffic, then looks again at the lowest weight that brings some requests.
    pub(super) fn rest(&mut self) -> Turn {
        if let Some(turn) = self.disturbed() {
            return turn;
        }
        let left = Braking::rest().saturating_sub(self.since());
        if left > Duration::ZERO {
            let left = Duration::from_secs(left.as_secs().max(1));
            let left = humantime::format_duration(left);
            return Some(self.wait(&format!("canary traffic paused for {left} more")));
        }
        self.release.braking.begin_probe(self.seen.now);
        self.release.target = self.probe_weight();
        self.enter(Phase::Shifting);
        None
    }

    /// Returns whether the least weight has settled nothing for a while, and there is a greater one below what
    /// was left.
    fn looks_closer(&self) -> bool {
        self.since() >= CLOSER && self.closer_weight() > self.release.target
    }

    /// Returns the lowest weight of the plan's steps that brings some requests, up to the one that was left.
    fn closer_weight(&self) -> Percent {
        let left = self.release.braking.from().unwrap_or(self.release.target);
        let steps = self.release.plan.steps.iter().map(|step| step.weight);
        let weights: Vec<Percent> = steps.filter(|w| *w < left).chain([left]).collect();
        self.least_of(&weights, left)
    }

    /// Returns the lowest weight that brings some requests, in whole percents, as every router can.
    fn probe_weight(&self) -> Percent {
        let left = self.release.braking.from().unwrap_or(self.release.target);
        let weights: Vec<Percent> = (1..100).map(Percent::whole).filter(|w| *w < left).collect();
        self.least_of(&weights, left)
    }

    fn least_of(&self, weights: &[Percent], left: Percent) -> Percent {
        // What was counted came at the present weight; during a pause at the one that was left.
        let at = Some(self.release.target).filter(|target| *target > Percent::ZERO);
        let rate = self.rate(at.unwrap_or(left)).unwrap_or(0.0);
        let seconds = self.release.plan.interval.as_secs_f64();
        let fractions: Vec<f64> = weights.iter().map(|w| w.fraction()).collect();
        let weight = probe_weight(&fractions, rate, seconds);
        let found = fractions.iter().position(|fraction| *fraction >= weight);
        let found = found.filter(|_| rate > 0.0);
        let found = match found {
            _ if rate <= 0.0 => weights.first(),
            Some(at) => weights.get(at),
            None => None,
        };
        found.copied().unwrap_or(left)
    }
}
