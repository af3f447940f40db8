//! What stops the way up: a sick canary, a changed version, a missing Deployment.
//!
//! Owns: the guards that every phase on the way up asks first. Must not: do I/O or read a clock.

use super::{Action, REASSERTIONS, Round, Turn, by, images_text, pods_needed, unhealthy_text};
use crate::domain::{
    event::EventKind,
    plan::Strategy,
    release::{Cause, Outcome, Phase},
    split::Grain,
    verdict::{Verdict, overall},
    weight::Percent,
    workload::Track,
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
        self.without_pods()
    }

    /// Returns what ends a wait at a weight: what stops the way up, or that somebody changed the split.
    pub(super) fn disturbed(&mut self) -> Option<Turn> {
        self.guards(false).or_else(|| self.drift())
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
            "{} was changed to another revision during the release ({}){}: the checks no longer apply",
            canary.name,
            images_text(canary),
            by(canary.template_by.as_deref())
        );
        Some(Action::Stop(Outcome::Conflict, text))
    }

    /// Returns what ends the weight of a canary that has no pod to answer: at once, whatever the checks say,
    /// and also where a sick canary is left to a person. Nobody is served by waiting.
    pub(super) fn without_pods(&mut self) -> Option<Turn> {
        if !self.has_no_pods() {
            return None;
        }
        let text = format!(
            "no pod of {} is ready while it has {} of the traffic",
            self.release.canary, self.seen.split.set
        );
        self.retreat(Cause::Unhealthy, text);
        Some(None)
    }

    /// Returns whether a route sends traffic to a canary that has no ready pod.
    pub(super) fn has_no_pods(&self) -> bool {
        let split = &self.seen.split;
        let empty = split.set > Percent::ZERO && split.canary_ready == 0;
        empty && matches!(self.seen.grain, Grain::Weight(_))
    }

    /// Returns what puts somebody else's change right by another way to the step's weight.
    pub(super) fn drift(&mut self) -> Option<Turn> {
        let scaled = self.scale_for(Track::Canary, self.release.target);
        if self.seen.split.matches && scaled.is_none() && self.has_its_route() {
            return None;
        }
        if let Some(action) = self.strayed() {
            return Some(Some(action));
        }
        if self.release.phase == Phase::Approving {
            self.release.gate_spent += self.since();
        }
        self.enter(Phase::Shifting);
        Some(None)
    }

    /// Returns what puts somebody else's change right where it stands: the canary is to keep all traffic,
    /// and the pods for it, while stable is renewed.
    pub(super) fn drift_at_full(&mut self) -> Option<Turn> {
        let split = &self.seen.split;
        let by_pods = matches!(self.seen.grain, Grain::Pods { .. });
        let canary = self.seen.canary.as_ref()?;
        let need = pods_needed(Percent::FULL, self.release.origin.total);
        let action = if canary.replicas < need {
            Action::Scale(Track::Canary, need)
        } else if let Some(action) = self.repair_route() {
            action
        } else if !by_pods && !split.matches && split.wanted == Percent::FULL {
            Action::Shift(Percent::FULL)
        } else {
            return None;
        };
        Some(Some(self.strayed().unwrap_or(action)))
    }

    /// Returns what puts right that traffic goes to the side that was taken out of it: back to the phase
    /// that takes it out.
    pub(super) fn drift_at_end(&mut self) -> Option<Turn> {
        if self.seen.split.matches || !matches!(self.seen.grain, Grain::Weight(_)) {
            return None;
        }
        if let Some(action) = self.strayed() {
            return Some(Some(action));
        }
        let promoted = self.release.ending == Some(Outcome::Promoted);
        let swapped = self.release.plan.promote.strategy == Strategy::Swap;
        self.enter(match (promoted, swapped) {
            (true, true) => Phase::PromoteShift,
            (true, false) => Phase::PromoteReturn,
            (false, _) => Phase::RollingBack,
        });
        Some(None)
    }

    /// Says what another client changed, and counts it; returns the stop where it was re-applied too often.
    fn strayed(&mut self) -> Option<Action> {
        let split = &self.seen.split;
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
        let who = if let Some(undone) = self.undone() {
            format!("another client undid what this run made ({undone})")
        } else if scaled.is_empty() {
            "another client changed the split".to_owned()
        } else {
            format!("another client changed the split, {}", scaled.join(", "))
        };
        let pods = self.seen.canary.as_ref().map(|canary| canary.replicas);
        let pods = pods.filter(|_| split.matches);
        let pods = pods.map(|pods| format!(", and the canary is to have {pods} pods"));
        let text = format!(
            "{who}: it is {} ({}), wanted {}{}",
            split.set,
            split.detail,
            split.wanted,
            pods.unwrap_or_default()
        );
        self.emit(EventKind::Drift {
            text: text.clone(),
            reasserted,
        });
        if !reasserted {
            let text = format!("{text}; re-applied {REASSERTIONS} times, giving up");
            return Some(Action::Stop(Outcome::Conflict, text));
        }
        self.release.reasserted += 1;
        None
    }
}
