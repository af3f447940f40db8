//! What a release does as a member of a group: it waits at gates, and goes back with the others.
//!
//! Owns: passing a gate, waiting for the others' pods, following one that went back. Must not: do I/O or
//! read a clock.

use super::{Action, Request, Round, Turn, elapsed};
use crate::domain::{
    group::{Behind, Passed},
    release::{Cause, Phase},
    split::Grain,
    verdict::{Verdict, overall},
    weight::Percent,
    workload::Track,
};

impl Round<'_> {
    /// Returns whether the release is a member of a group.
    pub(super) fn is_member(&self) -> bool {
        self.seen.group.is_some()
    }

    /// Takes the canary out where another member went back, unless somebody asks for it anyway, or the
    /// promotion has come too far.
    pub(super) fn follow(&mut self) {
        let asked = matches!(
            self.seen.request,
            Some(Request::Rollback | Request::StepBack | Request::Interrupt)
        );
        if asked || self.release.ending.is_some() || self.release.is_over() {
            return;
        }
        let board = self.seen.group.as_ref();
        if let Some(reason) = board.and_then(|board| board.back(&self.release.app)) {
            self.retreat(Cause::Member, reason);
        }
    }

    /// Passes a gate, and returns what keeps the release there until all members have passed it. `None`:
    /// nothing does.
    pub(super) fn gate(&mut self, gate: usize) -> Option<Turn> {
        let board = self.seen.group.as_ref()?;
        if self.passed_since(gate).is_none() {
            let at = self.seen.now;
            self.release.passed = Some(Passed { gate, at });
        }
        let mut behind = board.behind(&self.release.app, gate)?;
        if !behind.stopped && !board.has_looked_beside(&self.release.app) {
            // What was not looked at yet is no news.
            behind.what.clear();
        }
        Some(Some(self.await_member(&behind)))
    }

    /// Returns whether the release and all other members have passed a gate.
    pub(super) fn is_open(&self, gate: usize) -> bool {
        let board = self.seen.group.as_ref();
        self.passed_since(gate).is_some()
            && board.is_some_and(|board| board.behind(&self.release.app, gate).is_none())
    }

    /// Forgets that the present step's gate was passed: what was proven holds no more. The time at it counts
    /// against no deadline.
    pub(super) fn unpass(&mut self) {
        let Some(passed) = self.release.passed.take() else {
            return;
        };
        if passed.gate > self.release.step && self.release.phase == Phase::Holding {
            self.release.gate_spent += elapsed(passed.at, self.seen.now);
        }
    }

    /// Returns what keeps the weight from rising before every member has the pods for it: in some objects
    /// one weight moves the users of several apps.
    pub(super) fn without_room(&mut self) -> Option<Turn> {
        let board = self.seen.group.as_ref()?;
        let target = self.release.target;
        if target <= self.seen.split.set {
            return None;
        }
        let behind = board.without_room(&self.release.app, target)?;
        if let Some(action) = self.scale_for(Track::Canary, target) {
            return Some(self.act_or_fail(action, "canary: scale to be applied"));
        }
        if !self.has_room(target) && self.overdue(self.release.plan.ready_timeout) {
            // Its own pods are what is missing.
            return Some(self.shift_or_fail(target));
        }
        Some(Some(self.await_member(&behind)))
    }

    /// Returns what a member that waits for approval waits for before: the others' proofs.
    pub(super) fn unapproved(&mut self) -> Option<Turn> {
        let board = self.seen.group.as_ref()?;
        let behind = board.unapproved(&self.release.app, self.release.step + 1)?;
        Some(Some(self.await_member(&behind)))
    }

    /// Returns what fails a canary that waits at the first gate and is not well.
    pub(super) fn sick_at_gate(&mut self) -> Option<Turn> {
        if !self.is_member() || overall(self.canary_checks()) != Verdict::Unhealthy {
            return None;
        }
        let text = super::unhealthy_text(self.canary_checks());
        Some(self.fail(text))
    }

    fn has_room(&self, weight: Percent) -> bool {
        let total = self.release.origin.total;
        match (self.seen.grain, &self.seen.canary) {
            (Grain::Pods { .. }, _) => true,
            (Grain::Weight(_), Some(canary)) => {
                canary.ready_pods() >= super::pods_needed(weight, total)
            }
            (Grain::Weight(_), None) => false,
        }
    }

    fn passed_since(&self, gate: usize) -> Option<jiff::Timestamp> {
        let passed = self.release.passed.as_ref();
        passed.filter(|passed| passed.gate >= gate).map(|p| p.at)
    }

    fn await_member(&mut self, behind: &Behind) -> Action {
        let text = format!("waiting for {}", behind.what);
        if behind.stopped {
            return self.pause(&text);
        }
        self.wait(&behind.what)
    }
}
