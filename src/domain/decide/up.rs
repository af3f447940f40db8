//! The way up: preparing, shifting, holding, approving.
//!
//! Owns: the phases before a promotion. Must not: do I/O or read a clock.

use std::time::Duration;

use super::{Action, FIRST_LOOK, Goal, Round, Turn, elapsed, unsure::TimeOver};
use crate::domain::{
    braking::Stage,
    check::Severity,
    event::EventKind,
    forecast,
    release::{Outcome, Phase},
    split::Grain,
    stored::Version,
    verdict::{CheckResult, Verdict, overall},
    weight::Percent,
    workload::{SETTLED, Track},
};

impl Round<'_> {
    pub(super) fn prepare(&mut self) -> Turn {
        let Some(canary) = &self.seen.canary else {
            if self.release.create {
                return self.act_or_fail(Action::CreateCanary, "the canary Deployment to exist");
            }
            return self.canary_gone();
        };
        if let Some(turn) = self.make_route() {
            return turn;
        }
        let lacks_image =
            |(name, image): (&String, &String)| canary.images.get(name) != Some(image);
        if self.release.images.iter().any(lacks_image) {
            if let Some(action) = self.clears_the_way() {
                return self.act_or_fail(action, "the canary to have no traffic for its new image");
            }
            return self.act_or_fail(Action::SetImages, "canary: image update to be applied");
        }
        self.adopt_stored();
        if let Some(action) = self.superseded() {
            return Some(action);
        }
        if self.release.revision == self.release.origin.stable_revision {
            let text = format!(
                "admission left {} with the version that {} runs",
                self.release.canary, self.release.stable
            );
            return self.fail(text);
        }
        let weight = self
            .release
            .plan
            .steps
            .first()
            .map_or(Percent::ZERO, |s| s.weight);
        if let Some(action) = self.scale_for(Track::Canary, weight) {
            return self.act_or_fail(action, "canary: scale to be applied");
        }
        if let Some(what) = canary.roll_out_waits_for() {
            return self.wait_or_fail(&what);
        }
        // A pod that is ready for a moment may be one that fails its first requests.
        if let Some(until) = canary.settles_at(self.seen.now) {
            let what = format!(
                "{}: pods to stay ready for {}",
                canary.name,
                humantime::format_duration(SETTLED)
            );
            let turn = self.wait_or_fail(&what);
            if let Some(Action::Wait { what, .. }) = turn {
                return Some(Action::Wait { until, what });
            }
            return turn;
        }
        if self.is_untested() && matches!(self.seen.grain, Grain::Weight(_)) {
            self.enter(Phase::Testing);
            return None;
        }
        if let Some(turn) = self.sick_at_gate().or_else(|| self.gate(0)) {
            return turn;
        }
        self.begin_step(0);
        None
    }

    /// Returns what takes the users from a canary that is about to get another image: nobody has seen yet
    /// that it works. Where pods are the traffic, one is left.
    fn clears_the_way(&mut self) -> Option<Action> {
        let canary = self.seen.canary.as_ref()?;
        let split = &self.seen.split;
        let (carries, lowest) = match self.seen.grain {
            Grain::Pods { .. } => (canary.replicas > 1, Percent::LEAST),
            Grain::Weight(_) => (split.set > Percent::ZERO, Percent::ZERO),
        };
        if !carries {
            return None;
        }
        if self.release.target != lowest {
            self.release.target = lowest;
            return Some(Action::Look);
        }
        let scaled = self.scale_for(Track::Stable, Percent::FULL);
        Some(scaled.unwrap_or(Action::Shift(lowest)))
    }

    /// Returns whether something must hold before any user meets the canary that was not seen to hold yet.
    pub(super) fn is_untested(&self) -> bool {
        let mut checks = self.release.plan.checks.iter();
        self.release.tested.is_none() && checks.any(|check| check.pre)
    }

    /// Tests the canary at the weight it has: none, or that of its first pod where pods are the traffic.
    pub(super) fn test(&mut self) -> Turn {
        if let Some(turn) = self.disturbed() {
            return turn;
        }
        if self.moved {
            return Some(Action::Look);
        }
        let looked = !self.canary_checks().is_empty();
        if looked && overall(self.canary_checks()) == Verdict::Healthy {
            self.release.tested.get_or_insert(self.seen.now);
            if self.release.target == Percent::ZERO {
                if let Some(turn) = self.gate(0) {
                    return turn;
                }
                self.begin_step(0);
            } else {
                self.enter(Phase::Holding);
            }
            return None;
        }
        let limit = self.release.plan.ready_timeout;
        if looked && self.overdue(limit) {
            return self.give_up(TimeOver::Deadline(limit));
        }
        let what = self.unsure_text();
        Some(self.wait(&what))
    }

    /// Takes the canary's template for the released version where our own write of it was the last one:
    /// then admission made it what it is, and the answer that said so was lost.
    fn adopt_stored(&mut self) {
        let Some(canary) = &self.seen.canary else {
            return;
        };
        let written = self.release.create || !self.release.images.is_empty();
        if !written || !canary.template_ours || canary.revision == self.release.revision {
            return;
        }
        let text = self.release.adopt(Version {
            revision: canary.revision.clone(),
            images: canary.images.clone(),
        });
        self.emit(EventKind::Warning { text });
    }

    pub(super) fn shift(&mut self) -> Turn {
        if let Some(action) = self.guards(false) {
            return action;
        }
        // The brake has said something that was not followed yet: the split was re-applied first.
        let braking = &self.release.braking;
        if (braking.stage() == Stage::Ordinary) == braking.from().is_some()
            && let Some(turn) = self.brakes()
        {
            return turn;
        }
        let sized = self.scale_for(Track::Canary, self.release.target).is_none();
        if self.seen.split.settled && sized && self.has_its_route() {
            self.reached();
            if self.seen.goal == Goal::Weight {
                let text = self.reached_text();
                return Some(Action::Stop(Outcome::AtWeight, text));
            }
            let braking = &self.release.braking;
            let resting = braking.stage() == Stage::Resting && braking.from().is_some();
            self.enter(if resting {
                Phase::Resting
            } else if self.is_untested() {
                Phase::Testing
            } else {
                Phase::Holding
            });
            return None;
        }
        if self.release.target == Percent::ZERO
            && let Some(action) = self.scale_for(Track::Stable, Percent::FULL)
        {
            return Some(action);
        }
        if let Some(turn) = self.without_room() {
            return turn;
        }
        self.shift_or_fail(self.release.target)
    }

    pub(super) fn hold(&mut self) -> Turn {
        if let Some(turn) = self.disturbed() {
            return turn;
        }
        if self.moved {
            return Some(Action::Look);
        }
        if let Some(turn) = self.brakes() {
            return turn;
        }
        let Some(step) = self.release.present_step().cloned() else {
            return Some(self.pause("the plan has no steps"));
        };
        let verdict = overall(self.canary_checks());
        let looked = !self.canary_checks().is_empty();
        let early = step.early.is_some_and(|early| self.since() >= early) && self.is_proven();
        let held = self.since() >= step.hold || early || self.wants_promotion();
        let present = self.release.step + 1;
        let goal_step = matches!(self.seen.goal, Goal::Step(wanted) if wanted <= present);
        let healthy = looked && verdict == Verdict::Healthy;
        if !healthy {
            self.unpass();
        }
        if healthy && held {
            let approve = step.approve && !self.release.approved && !self.wants_promotion();
            if (goal_step || !approve)
                && let Some(turn) = self.gate(self.next_gate())
            {
                return turn;
            }
            if goal_step && !self.wants_promotion() {
                return Some(Action::Stop(Outcome::AtWeight, self.reached_text()));
            }
            if approve {
                self.enter(Phase::Approving);
            } else {
                self.next_step();
            }
            return self.after_steps();
        }
        // The deadline ends the wait for evidence. A healthy canary waits for its hold alone, which
        // ends by itself; and nobody gives up before the first look.
        let spent = elapsed(self.release.step_since, self.seen.now);
        let patient = looked || self.since() >= self.release.plan.interval * FIRST_LOOK;
        let deadline = self.deadline();
        let late = patient && spent >= deadline.saturating_add(self.release.gate_spent);
        if !healthy && late {
            return self.give_up(TimeOver::Deadline(deadline));
        }
        if !healthy && self.is_hopeless() {
            return self.give_up(TimeOver::Hopeless);
        }
        let what = if healthy {
            let left = step.hold.saturating_sub(self.since());
            let left = Duration::from_secs(left.as_secs().max(1));
            let left = humantime::format_duration(left);
            let sooner = if step.early.is_some() {
                ", or less once it is proven"
            } else {
                ""
            };
            format!("{left} more at {}{sooner}", step.weight)
        } else {
            self.unsure_text()
        };
        Some(self.wait(&what))
    }

    /// Returns how long the step may take: what was said of it, or what it needs at the traffic that was seen.
    fn deadline(&self) -> Duration {
        let rate = self.rate(self.release.target);
        forecast::deadline(&self.release.plan, self.release.step, (rate, self.usual()))
    }

    pub(super) fn approval(&mut self) -> Turn {
        if let Some(turn) = self.disturbed() {
            return turn;
        }
        if let Some(turn) = self.brakes() {
            return turn;
        }
        if self.release.approved || self.wants_promotion() {
            let checks = self.canary_checks();
            if checks.is_empty() {
                return Some(self.wait("the first evaluation of the checks"));
            }
            if overall(checks) != Verdict::Healthy {
                // What was proven before the gate holds no more: the step proves itself again.
                self.release.approved = true;
                self.release.gate_spent += self.since();
                self.enter(Phase::Holding);
                return None;
            }
            if let Some(turn) = self.gate(self.next_gate()) {
                return turn;
            }
            self.release.gate_spent += self.since();
            self.next_step();
            return self.after_steps();
        }
        if let Some(turn) = self.unapproved() {
            return turn;
        }
        let what = format!("approval of step {}", self.release.step + 1);
        match self.seen.goal {
            Goal::End => Some(self.wait(&what)),
            Goal::Approval | Goal::Step(_) | Goal::Weight => {
                Some(self.pause(&format!("waits for {what}")))
            }
        }
    }

    /// Returns whether requests prove the step: every check that can prove something has, and there is one.
    fn is_proven(&self) -> bool {
        let counts = |result: &&CheckResult| result.severity != Severity::Warn;
        let results = self.canary_checks().iter().filter(counts);
        let mut proofs = results.filter_map(|result| result.proven).peekable();
        proofs.peek().is_some() && proofs.all(|proven| proven)
    }

    /// Returns the gate after the present step; before a promotion the last one.
    fn next_gate(&self) -> usize {
        if self.wants_promotion() {
            self.release.plan.steps.len()
        } else {
            self.release.step + 1
        }
    }

    /// Goes to the next step; past the last one the phase stays and `after_steps` finishes.
    pub(super) fn next_step(&mut self) {
        let more = self.release.step + 1 < self.release.plan.steps.len();
        if more && !self.wants_promotion() {
            self.begin_step(self.release.step + 1);
        } else {
            self.finish_steps();
        }
    }

    pub(super) fn finish_steps(&mut self) {
        if self.release.plan.promote.auto || self.wants_promotion() {
            self.promote();
        }
    }

    /// Returns the pause of a run that has proven all its steps but may not promote by itself.
    pub(super) fn after_steps(&mut self) -> Turn {
        let proven = self.release.phase == Phase::Holding || self.release.approved;
        let waits = matches!(self.release.phase, Phase::Holding | Phase::Approving);
        if waits && proven && self.release.step + 1 >= self.release.plan.steps.len() {
            return Some(self.pause("all steps passed; promotion needs manual approval"));
        }
        None
    }
}
