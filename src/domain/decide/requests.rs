//! What operators and signals ask of a run.
//!
//! Owns: taking a request, or a refusal of the server, into the record. Must not: do I/O or read a clock.

use super::{Action, Request, Round};
use crate::domain::{
    plan::OnTrouble,
    release::{Cause, Outcome, Phase},
    weight::Percent,
};

impl Round<'_> {
    pub(super) fn take_request(&mut self) -> Option<Action> {
        let finishing = matches!(self.release.phase, Phase::Draining | Phase::Cleaning);
        let retreating =
            self.release.phase.is_retreat() || finishing || self.release.phase == Phase::Ended;
        // A rollback beats a promotion that is not over yet.
        let promoted = finishing && self.release.ending == Some(Outcome::Promoted);
        match self.seen.request? {
            Request::Rollback if !retreating || promoted => {
                self.retreat(Cause::Operator, "an operator asked for it".to_owned());
                None
            }
            // A plain rollback, or the end of the process, cuts a rollback by steps short.
            Request::Rollback | Request::Interrupt
                if self.release.phase == Phase::RollingBack && self.release.gradual =>
            {
                self.release.gradual = false;
                self.release.target = Percent::ZERO;
                self.enter(Phase::RollingBack);
                None
            }
            Request::StepBack if !retreating => {
                self.release.gradual = true;
                self.retreat(Cause::Operator, "an operator asked for it".to_owned());
                None
            }
            Request::Interrupt if !retreating => match self.release.plan.on_interrupt {
                OnTrouble::Rollback => {
                    self.retreat(Cause::Interrupt, "the process was interrupted".to_owned());
                    None
                }
                OnTrouble::Hold => {
                    self.release.cause = Some(Cause::Interrupt);
                    Some(self.pause("interrupted; the split stays as it is"))
                }
            },
            Request::Hold if !retreating => Some(self.pause("held by an operator")),
            Request::Approve if self.release.phase == Phase::Approving => {
                self.release.approved = true;
                None
            }
            Request::Promote { force: true } if self.release.phase < Phase::PromoteShift => {
                self.promote();
                None
            }
            Request::Rollback
            | Request::StepBack
            | Request::Interrupt
            | Request::Hold
            | Request::Approve
            | Request::Promote { .. } => None,
        }
    }

    /// Takes the canary out where the way up is refused: nothing but time would pass on it.
    pub(super) fn take_refusal(&mut self) {
        let Some(refused) = &self.seen.refused else {
            return;
        };
        let upwards = self.release.phase < Phase::PromoteTemplate;
        if upwards && self.release.plan.on_failure == OnTrouble::Rollback {
            self.retreat(Cause::Refused, refused.clone());
        }
    }

    pub(super) fn wants_promotion(&self) -> bool {
        matches!(self.seen.request, Some(Request::Promote { .. }))
    }
}
