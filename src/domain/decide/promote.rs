//! Promotion: stable gets the version and its traffic back.
//!
//! Owns: the phases of a promotion. Must not: do I/O or read a clock.
//!
//! While stable is renewed the canary has all the traffic. What fails decides what is safe:
//!
//! | fails | while | then |
//! | --- | --- | --- |
//! | the canary | stable is renewed | the version is bad on both sides: stable gets its old template back where it stands, without first moving more traffic to the canary, then the traffic; exit 3. With `onFailure: hold` the run stops for a person. |
//! | stable | it is renewed, or gets its traffic back | stable gets its old template back, the canary has the traffic; exit 6 |
//! | the canary | that is being undone | the canary no longer deserves the traffic: it goes to stable as soon as that has its old template; exit 3 |
//!
//! In a group all members' stables are proven before any gets its traffic back. Until then a promotion that
//! fails takes the whole group to its old versions, and the traffic with it, so that no two versions meet that
//! were not released together: exit 3 where another row says 6.
//!
//! When traffic returns to stable only stable is checked: the canary's pods end then, by our own
//! doing. *Unknown* about the canary does not stop a promotion here; its way out is stable, which must
//! be healthy. A promotion by force passes a canary that fails, as it does before.

use super::{Action, Request, Round, Turn, by, images_text, unhealthy_text};
use crate::domain::{
    plan::Strategy,
    release::{Outcome, Phase},
    verdict::{Verdict, overall},
    weight::Percent,
    workload::{Track, Workload},
};

impl Round<'_> {
    pub(super) fn promote(&mut self) {
        let left = self.release.braking.let_go();
        match (self.release.plan.promote.strategy, left) {
            // What stays is the weight of the step, not that of a rest.
            (Strategy::None, Some(left)) => {
                self.release.target = left;
                self.enter(Phase::Shifting);
            }
            (Strategy::None, None) if self.release.phase == Phase::Shifting => {
                // Ends when the weight is reached.
                if self.seen.split.settled && self.seen.split.wanted == self.release.target {
                    self.release.ending = Some(Outcome::Promoted);
                    self.end();
                }
            }
            (Strategy::None, None) => {
                self.release.ending = Some(Outcome::Promoted);
                self.end();
            }
            (Strategy::Template | Strategy::Image | Strategy::Swap, _) => {
                self.release.target = Percent::FULL;
                self.enter(Phase::PromoteShift);
            }
        }
    }

    pub(super) fn promote_shift(&mut self) -> Turn {
        let forced = self.seen.request == Some(Request::Promote { force: true });
        if let Some(action) = self.guards(forced) {
            return action;
        }
        if self.seen.split.settled {
            self.reached();
            if self.release.plan.promote.strategy == Strategy::Swap {
                self.release.ending = Some(Outcome::Promoted);
                self.enter(Phase::Draining);
            } else {
                self.enter(Phase::PromoteTemplate);
            }
            return None;
        }
        if let Some(turn) = self.without_room() {
            return turn;
        }
        self.shift_or_fail(Percent::FULL)
    }

    pub(super) fn promote_template(&mut self) -> Turn {
        if let Some(turn) = self.retreat_if_canary_fails() {
            return turn;
        }
        let stable = self.seen.stable.as_ref()?;
        if !self.stable_has_version(stable) {
            // Stable gets what the canary runs: nothing but what was checked.
            if self.seen.canary.is_none() {
                return self.canary_gone();
            }
            if let Some(action) = self.superseded() {
                return Some(action);
            }
            if self.overdue(self.release.plan.promote_timeout) {
                return self.undo(format!("{} does not take the new template", stable.name));
            }
            return Some(Action::UpdateStable);
        }
        let waits = stable.roll_out_waits_for();
        if let Some(turn) = self.drift_at_full() {
            return turn;
        }
        if let Some(what) = waits {
            return self.wait_or_undo(&what);
        }
        self.enter(Phase::PromoteScale);
        None
    }

    pub(super) fn promote_scale(&mut self) -> Turn {
        if let Some(turn) = self.retreat_if_canary_fails() {
            return turn;
        }
        if let Some(turn) = self.undo_if_unhealthy() {
            return turn;
        }
        if let Some(turn) = self.drift_at_full() {
            return turn;
        }
        if let Some(action) = self.scale_for(Track::Stable, Percent::FULL) {
            if self.overdue(self.release.plan.promote_timeout) {
                return self.wait_or_undo("stable: scale to be applied");
            }
            return Some(action);
        }
        let stable = self.seen.stable.as_ref()?;
        if let Some(what) = stable.roll_out_waits_for() {
            return self.wait_or_undo(&what);
        }
        self.enter(Phase::PromoteCheck);
        None
    }

    pub(super) fn promote_check(&mut self) -> Turn {
        if let Some(turn) = self.retreat_if_canary_fails() {
            return turn;
        }
        if let Some(turn) = self.undo_if_unhealthy() {
            return turn;
        }
        let last = self.release.plan.steps.len() + 1;
        if self.is_open(last) {
            // All members are proven: another one may have returned the traffic already.
            self.release.target = Percent::ZERO;
            self.enter(Phase::PromoteReturn);
            return None;
        }
        if let Some(turn) = self.drift_at_full() {
            return turn;
        }
        let stable = self.seen.stable.as_ref()?;
        let complete = stable.roll_out_waits_for().is_none();
        // Checks of counters say nothing of pods without traffic: then the roll-out must do.
        let plan = &self.release.plan;
        let nothing_to_ask = !plan.at_steps().any(|check| check.rule.judges_state());
        let looked = nothing_to_ask || !self.stable_checks().is_empty();
        // Nor does traffic return before a look at who has it: it tells how the version fares.
        let unasked = plan.at_steps().next().is_none() || self.seen.canary.is_none();
        let looked = looked && (unasked || !self.canary_checks().is_empty());
        let healthy = looked && complete && overall(self.stable_checks()) == Verdict::Healthy;
        if healthy && self.since() >= self.release.plan.interval {
            if let Some(turn) = self.gate(last) {
                return turn;
            }
            self.release.target = Percent::ZERO;
            self.enter(Phase::PromoteReturn);
            return None;
        }
        self.wait_or_undo("stable: checks to pass")
    }

    pub(super) fn promote_return(&mut self) -> Turn {
        if let Some(turn) = self.undo_if_unhealthy() {
            return turn;
        }
        if self.seen.split.settled {
            self.reached();
            self.release.ending = Some(Outcome::Promoted);
            self.enter(Phase::Draining);
            return None;
        }
        if self.overdue(self.release.plan.promote_timeout) {
            let text = format!(
                "stable has the new version, but traffic does not return to it: {}",
                self.waits_for()
            );
            return Some(Action::Stop(Outcome::Incomplete, text));
        }
        Some(Action::Shift(Percent::ZERO))
    }

    pub(super) fn stable_has_version(&self, stable: &Workload) -> bool {
        let stored = self.release.stored.promoted.as_ref();
        if stored.is_some_and(|stored| stored.revision == stable.revision) {
            return true;
        }
        match self.release.plan.promote.strategy {
            Strategy::Template => stable.revision == self.release.revision,
            Strategy::Image | Strategy::Swap | Strategy::None => {
                // A sidecar that only one side has is none of the promotion's business.
                let pairs = self.release.canary_images.iter();
                let mut common = pairs
                    .filter_map(|(name, image)| Some((stable.images.get(name)?, image)))
                    .peekable();
                common.peek().is_some() && common.all(|(is, wanted)| is == wanted)
            }
        }
    }

    /// Returns the stop of a promotion whose result somebody else has replaced: what stable runs
    /// then was never checked.
    pub(super) fn stable_changed(&self) -> Option<Action> {
        let stable = self.seen.stable.as_ref()?;
        if self.stable_has_version(stable) {
            return None;
        }
        let text = format!(
            "{} was changed during its promotion (now {}){}",
            stable.name,
            images_text(stable),
            by(stable.template_by.as_deref())
        );
        Some(Action::Stop(Outcome::Conflict, text))
    }

    /// Gives up a promotion whose canary fails while it carries the traffic. What fails is the version
    /// that stable is being given, so neither side is safe with it: stable gets its old one back, and
    /// then the traffic. A promotion by `force` goes on.
    ///
    /// Another version on the canary is none of the promotion's business any more once stable has
    /// the pinned one: traffic is about to leave it.
    pub(super) fn retreat_if_canary_fails(&mut self) -> Option<Turn> {
        let forced = self.seen.request == Some(Request::Promote { force: true });
        let canary = self.seen.canary.as_ref()?;
        let pinned = canary.revision == self.release.revision;
        let empty = self.has_no_pods();
        let fails = overall(self.canary_checks()) == Verdict::Unhealthy;
        if !empty && (forced || !pinned || !fails) {
            return None;
        }
        if let Some(action) = self.stable_replaced() {
            return Some(Some(action));
        }
        let text = if empty {
            format!("no pod of {} is ready", self.release.canary)
        } else {
            unhealthy_text(self.canary_checks())
        };
        Some(self.fail(format!("the canary failed during the promotion: {text}")))
    }

    /// Returns the stop where stable runs neither its old version nor the new one.
    fn stable_replaced(&self) -> Option<Action> {
        let stable = self.seen.stable.as_ref()?;
        if self.release.is_old(&stable.revision) {
            None
        } else {
            self.stable_changed()
        }
    }

    /// Returns the undoing of a promotion whose stable is unhealthy with the new version.
    pub(super) fn undo_if_unhealthy(&mut self) -> Option<Turn> {
        if let Some(action) = self.stable_changed() {
            return Some(Some(action));
        }
        if overall(self.stable_checks()) == Verdict::Unhealthy {
            let text = unhealthy_text(self.stable_checks());
            return Some(self.undo(format!("stable with the new version: {text}")));
        }
        None
    }
}
