//! The way back: undoing a promotion, rolling back, putting away.
//!
//! Owns: the phases that end a run. Must not: do I/O or read a clock.

use super::{Action, Goal, Round, Turn, signed, unhealthy_text};
use crate::domain::{
    event::EventKind,
    plan::{Cleanup, Strategy},
    release::{Cause, Outcome, Phase},
    split::Grain,
    verdict::{Verdict, overall},
    weight::Percent,
    workload::Track,
};

impl Round<'_> {
    /// Takes the canary out, by way of mending stable where a promotion has touched it.
    pub(super) fn retreat(&mut self, cause: Cause, reason: String) {
        self.release.ending = Some(Outcome::RolledBack);
        self.leave(cause, reason);
    }

    /// Gives up a promotion: stable gets its old template back, traffic stays with the canary.
    /// In a group it goes to stable's old version with that of the others: versions that were not released
    /// together are not to meet.
    pub(super) fn undo(&mut self, reason: String) -> Turn {
        if self.is_member() {
            self.retreat(Cause::Promotion, reason);
            return None;
        }
        self.release.ending = Some(Outcome::Incomplete);
        self.leave(Cause::Promotion, reason);
        None
    }

    pub(super) fn leave(&mut self, cause: Cause, reason: String) {
        self.release.braking.let_go();
        self.emit(EventKind::RollingBack {
            cause,
            reason: reason.clone(),
        });
        self.release.cause = Some(cause);
        self.release.reason = Some(reason);
        let stable = self.seen.stable.as_ref();
        // A stable that is not there now may be half-updated when it is back.
        let touched = stable.is_none_or(|s| !self.release.is_old(&s.revision));
        let promoting = self.release.phase >= Phase::PromoteTemplate;
        let abandoned = self.release.ending == Some(Outcome::Incomplete);
        let stays = cause == Cause::Unhealthy || self.is_member();
        if !abandoned && promoting && touched && stays {
            // A canary that fails is given no more traffic, and none that another member may have lost its
            // pods for: stable is mended under what it has.
            self.enter(Phase::UndoTemplate);
        } else if abandoned || (promoting && touched) {
            self.release.target = Percent::FULL;
            self.enter(Phase::UndoShift);
        } else {
            self.release.target = self.way_down();
            self.enter(Phase::RollingBack);
        }
    }

    /// Returns the next weight on the way down: 0 %, or the step below when that was asked for.
    pub(super) fn way_down(&self) -> Percent {
        if !self.release.gradual {
            return Percent::ZERO;
        }
        let weights = self.release.plan.steps.iter().map(|s| s.weight);
        let below = weights.filter(|weight| *weight < self.release.target);
        below.max().unwrap_or(Percent::ZERO)
    }

    /// Notes that the canary, which was to keep the traffic of a failed promotion, fails as well:
    /// then stable is to have it, with its old version. Returns whether the canary fails.
    fn abandons_canary(&mut self) -> bool {
        if overall(self.canary_checks()) != Verdict::Unhealthy {
            return false;
        }
        if self.release.ending == Some(Outcome::Incomplete) {
            let text = unhealthy_text(self.canary_checks());
            let before = self.release.reason.clone().unwrap_or_default();
            self.retreat_again(format!("{before}; then the canary failed: {text}"));
        }
        true
    }

    fn retreat_again(&mut self, reason: String) {
        self.release.ending = Some(Outcome::RolledBack);
        self.release.cause = Some(Cause::Unhealthy);
        self.emit(EventKind::RollingBack {
            cause: Cause::Unhealthy,
            reason: reason.clone(),
        });
        self.release.reason = Some(reason);
    }

    pub(super) fn undo_shift(&mut self) -> Turn {
        if self.abandons_canary() {
            self.enter(Phase::UndoTemplate);
            return None;
        }
        let late = self.overdue(self.release.plan.ready_timeout);
        if self.seen.split.settled || self.seen.canary.is_none() || late {
            if late && !self.seen.split.settled {
                let text =
                    "the canary cannot take 100%; rolling stable back while it serves traffic"
                        .to_owned();
                self.emit(EventKind::Warning { text });
            }
            self.enter(Phase::UndoTemplate);
            return None;
        }
        if let Some(action) = self.scale_for(Track::Canary, Percent::FULL) {
            return Some(action);
        }
        Some(Action::Shift(Percent::FULL))
    }

    pub(super) fn undo_template(&mut self) -> Turn {
        self.abandons_canary();
        let stable = self.seen.stable.as_ref()?;
        let mended = self.release.is_old(&stable.revision);
        let waits = stable.roll_out_waits_for();
        if mended && waits.is_none() {
            if self.release.ending == Some(Outcome::Incomplete) && self.seen.canary.is_some() {
                self.end();
            } else {
                self.release.ending = Some(Outcome::RolledBack);
                self.release.target = Percent::ZERO;
                self.enter(Phase::RollingBack);
            }
            return None;
        }
        if self.overdue(self.release.plan.promote_timeout) {
            let text = format!("{} could not be given its old template back", stable.name);
            return Some(Action::Stop(Outcome::Incomplete, text));
        }
        if mended {
            Some(self.wait(&waits.unwrap_or_default()))
        } else {
            Some(Action::RestoreStable)
        }
    }

    pub(super) fn roll_back(&mut self) -> Turn {
        let target = self.release.target;
        if self.seen.split.settled && target > Percent::ZERO {
            // A rollback by steps rests at each, so that stable takes the load bit by bit.
            if self.since() < self.release.plan.interval {
                return Some(self.wait(&format!("soaking at {target} (gradual rollback)")));
            }
            self.reached();
            self.release.target = self.way_down();
            self.enter(Phase::RollingBack);
            return None;
        }
        let hurries = self.release.cause == Some(Cause::Operator) && self.seen.goal == Goal::Weight;
        if self.seen.split.settled {
            self.reached();
            self.enter(Phase::Draining);
            if hurries {
                let text = "the canary is at 0%; run `rollback` again to clean up";
                return Some(Action::Stop(Outcome::AtWeight, text.to_owned()));
            }
            return None;
        }
        if hurries && let Some(action) = self.at_once() {
            return Some(action);
        }
        if self.overdue(self.release.plan.ready_timeout) {
            let text = format!("the rollback is not complete: {}", self.waits_for());
            return Some(Action::Stop(Outcome::Incomplete, text));
        }
        if let Some(action) = self.repair_route_in_retreat() {
            return Some(action);
        }
        if let Some(action) = self.scale_for(Track::Stable, Percent::FULL) {
            return Some(action);
        }
        Some(Action::Shift(target))
    }

    /// Returns what takes the canary's pods away before stable has its own, where pods are the traffic, somebody
    /// is in a hurry, and half of stable's are there; says what it costs.
    fn at_once(&mut self) -> Option<Action> {
        let Grain::Pods { total } = self.seen.grain else {
            return None;
        };
        let (stable, canary) = (self.seen.stable.as_ref()?, self.seen.canary.as_ref()?);
        let ready = self.seen.split.stable_ready;
        if ready.saturating_mul(2) < total {
            return None;
        }
        if stable.replicas < total {
            return Some(Action::Scale(Track::Stable, total));
        }
        let left = format!("{ready} of {total} pods of {}", stable.name);
        if canary.replicas > 0 {
            let text = format!("{left} carry all traffic until the others are ready");
            self.emit(EventKind::Warning { text });
            return Some(Action::Scale(Track::Canary, 0));
        }
        if self.seen.split.canary_ready > 0 {
            return None;
        }
        self.reached();
        let text = format!(
            "no traffic reaches the canary; {left} are ready, the others are coming; another `rollback` cleans up"
        );
        Some(Action::Stop(Outcome::AtWeight, text))
    }

    pub(super) fn drain(&mut self) -> Turn {
        if let Some(turn) = self.drift_at_end() {
            return turn;
        }
        let drained = match self.seen.grain {
            // Pods that are gone have ended their requests by themselves.
            Grain::Pods { .. } => true,
            Grain::Weight(_) => self.since() >= self.release.plan.drain,
        };
        if drained {
            self.enter(Phase::Cleaning);
            return None;
        }
        let until = self
            .release
            .since
            .checked_add(signed(self.release.plan.drain));
        Some(Action::Wait {
            until: until.unwrap_or(self.seen.now),
            what: "the last requests to end".to_owned(),
        })
    }

    pub(super) fn clean(&mut self) -> Turn {
        if let Some(turn) = self.drift_at_end() {
            return turn;
        }
        if self.overdue(self.release.plan.ready_timeout) {
            let text = "traffic is back on stable, but cleanup did not finish in time";
            return Some(Action::Stop(Outcome::Incomplete, text.to_owned()));
        }
        let swapped = self.release.plan.promote.strategy == Strategy::Swap
            && self.release.ending == Some(Outcome::Promoted);
        if let Some(action) = self.take_route() {
            return Some(action);
        }
        let (track, retired) = if swapped {
            (Track::Stable, self.seen.stable.as_ref())
        } else {
            (Track::Canary, self.seen.canary.as_ref())
        };
        if let Some(retired) = retired {
            match self.cleanup() {
                Cleanup::Delete if !swapped => return Some(Action::DeleteCanary),
                Cleanup::Delete | Cleanup::ScaleDown => {
                    let kept = self.retired_size(swapped);
                    if retired.replicas > kept {
                        return Some(Action::Scale(track, kept));
                    }
                }
            }
        }
        if let Some(action) = self.own_size(swapped) {
            return Some(action);
        }
        let pinned = std::mem::take(&mut self.release.pinned);
        if !self.seen.split.pinned.is_empty() {
            return Some(Action::Unpin);
        }
        if !pinned.is_empty() {
            let names: Vec<String> = pinned.into_iter().collect();
            let text = format!(
                "pinned by this run and no longer readable: {}; if it exists, run `rollback` again once \
                 `get` is allowed",
                names.join(", ")
            );
            self.emit(EventKind::Warning { text });
        }
        self.end();
        None
    }

    /// Returns what becomes of the canary.
    fn cleanup(&self) -> Cleanup {
        let route = self.release.route.as_ref();
        if route.is_some_and(|route| route.with_canary) {
            Cleanup::Delete
        } else {
            self.release.plan.promote.canary
        }
    }

    /// Returns the size of the side that is no longer needed. After a promotion by weights it is what it had;
    /// a canary that was taken out has no pods: a route by header would go on serving what was condemned.
    pub(super) fn retired_size(&self, swapped: bool) -> u32 {
        let promoted = self.release.ending == Some(Outcome::Promoted);
        match self.seen.grain {
            Grain::Weight(_) if promoted && !swapped => {
                self.release.origin.canary_replicas.unwrap_or(0)
            }
            Grain::Weight(_) | Grain::Pods { .. } => 0,
        }
    }

    /// Returns what gives the side that has the traffic the size that stable had for itself: where pods are
    /// the traffic, it carried the canary's share as well.
    fn own_size(&self, swapped: bool) -> Option<Action> {
        let Grain::Pods { .. } = self.seen.grain else {
            return None;
        };
        let (track, heir) = if swapped {
            (Track::Canary, self.seen.canary.as_ref()?)
        } else {
            (Track::Stable, self.seen.stable.as_ref()?)
        };
        let own = self.release.origin.own_replicas?.max(1);
        if heir.replicas > own {
            return Some(Action::Scale(track, own));
        }
        // The next command is to find it as it stays; a moment of that is not told.
        (!heir.observed).then(|| self.wait(""))
    }

    pub(super) fn end(&mut self) {
        if self.release.ending == Some(Outcome::Promoted)
            && self.release.plan.promote.strategy == Strategy::Swap
        {
            std::mem::swap(&mut self.release.stable, &mut self.release.canary);
        }
        self.release.ended = Some(self.seen.now);
        self.enter(Phase::Ended);
    }
}
