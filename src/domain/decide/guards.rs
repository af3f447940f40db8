//! What stops the way up: a sick canary, a changed version, a missing Deployment.
//!
//! Owns: the guards that every phase on the way up asks first. Must not: do I/O or read a clock.

use super::{Action, REASSERTIONS, Round, Turn, by, images_text, unhealthy_text};
use crate::domain::{
    event::EventKind,
    release::{Cause, Outcome, Phase},
    verdict::{Verdict, overall},
};

impl Round<'_> {
    /// Returns what stops the way up: a sick canary, a changed version, a missing Deployment.
    ///
    /// A promotion by `force` passes a sick canary, but never another version than the pinned one.
    pub(super) fn guards(&mut self, forced: bool) -> Option<Turn> {
        if self.seen.canary.is_none() {
            return Some(self.canary_gone());
        }
        if let Some(action) = self.superseded() {
            return Some(Some(action));
        }
        let stable = self.seen.stable.as_ref()?;
        if stable.revision != self.release.origin.stable_revision {
            let text = format!(
                "{} was changed during the release (now {}){}",
                stable.name,
                images_text(stable),
                by(stable.template_by.as_deref())
            );
            return Some(Some(Action::Stop(Outcome::Conflict, text)));
        }
        if !forced && overall(self.canary_checks()) == Verdict::Unhealthy {
            let text = unhealthy_text(self.canary_checks());
            return Some(self.fail(text));
        }
        None
    }

    pub(super) fn canary_gone(&mut self) -> Turn {
        let text = format!("the canary Deployment {} is gone", self.release.canary);
        self.retreat(Cause::Unhealthy, text);
        None
    }

    pub(super) fn superseded(&self) -> Option<Action> {
        let canary = self.seen.canary.as_ref()?;
        if canary.revision == self.release.revision {
            return None;
        }
        let text = format!(
            "{} got another version during the release ({}){}: what was checked is not what runs",
            canary.name,
            images_text(canary),
            by(canary.template_by.as_deref())
        );
        Some(Action::Stop(Outcome::Conflict, text))
    }

    pub(super) fn drift(&mut self) -> Option<Turn> {
        let split = &self.seen.split;
        if split.matches {
            return None;
        }
        let reasserted = self.release.reasserted < REASSERTIONS;
        let sides = [self.seen.stable.as_ref(), self.seen.canary.as_ref()];
        let scaled: Vec<String> = sides
            .into_iter()
            .flatten()
            .filter_map(|side| {
                Some(format!(
                    "{} scaled by {}",
                    side.name,
                    side.scaled_by.as_ref()?
                ))
            })
            .collect();
        let who = if scaled.is_empty() {
            "somebody else changed the split".to_owned()
        } else {
            format!("somebody else changed the split, {}", scaled.join(", "))
        };
        let text = format!(
            "{who}: it is {} ({}), wanted {}",
            split.set, split.detail, split.wanted
        );
        self.emit(EventKind::Drift {
            text: text.clone(),
            reasserted,
        });
        if !reasserted {
            let text = format!("{text}; put right {REASSERTIONS} times, giving up");
            return Some(Some(Action::Stop(Outcome::Conflict, text)));
        }
        self.release.reasserted += 1;
        if self.release.phase == Phase::Approving {
            self.release.gate_spent += self.since();
        }
        self.enter(Phase::Shifting);
        Some(None)
    }
}
