//! What to do next.
//!
//! Owns: the one function that moves a release through its phases. Must not: do I/O, read a clock,
//! or panic. It compares what is meant with what is seen, so it can be asked again at any moment:
//! after a crash, after somebody else's change, twice in a row.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    check::Severity,
    event::{Event, EventKind},
    plan::{Cleanup, OnTrouble, Strategy},
    release::{Cause, Outcome, Phase, Release},
    split::{Grain, Split},
    verdict::{CheckResult, Verdict, overall},
    weight::Percent,
    workload::{Track, Workload},
};

/// Times that somebody else's change of the split is put right before the run gives up.
pub const REASSERTIONS: u32 = 3;

/// Intervals within which the first look at a step must have come.
const FIRST_LOOK: u32 = 3;

/// Transitions within one call; more would mean a cycle, and ends the call with a wait.
const TURNS: usize = 32;

/// Everything seen in one round.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The moment.
    pub now: Timestamp,
    /// The division of traffic, read for the release's target.
    pub split: Split,
    /// How finely the router divides.
    pub grain: Grain,
    /// The stable Deployment, if it exists.
    pub stable: Option<Workload>,
    /// The canary Deployment, if it exists.
    pub canary: Option<Workload>,
    /// Latest results of the checks on the canary since the phase began; empty before the first look.
    pub canary_checks: Vec<CheckResult>,
    /// The same on stable, while a promotion is checked.
    pub stable_checks: Vec<CheckResult>,
    /// What the operator or the system asks for.
    pub request: Option<Request>,
    /// How far this sitting is to go.
    pub goal: Goal,
}

/// What an operator or the system asks of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Take the canary out of the traffic.
    Rollback,
    /// Take the canary out of the traffic step by step.
    StepBack,
    /// Promote now: skip the remaining steps.
    Promote {
        /// Even without healthy checks.
        force: bool,
    },
    /// Let the step that waits for approval go on.
    Approve,
    /// The process is told to end.
    Interrupt,
    /// Leave the split and stop.
    Hold,
}

/// How far one sitting is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// To the end, waiting for approvals.
    End,
    /// To the end, or to the first approval.
    Approval,
    /// Until this step, counted from 1, has proven itself.
    Step(usize),
    /// Until the target weight is reached.
    Weight,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Create the canary Deployment from stable's template.
    CreateCanary,
    /// Give the canary its images.
    SetImages,
    /// Move traffic one safe change towards this weight.
    Shift(Percent),
    /// Set the number of replicas of one side.
    Scale(Track, u32),
    /// Give stable the canary's version.
    UpdateStable,
    /// Give stable its recorded template back.
    RestoreStable,
    /// Delete the canary Deployment.
    DeleteCanary,
    /// Let go of what was pinned.
    Unpin,
    /// Look again at once: the target has moved, and the split was read for the old one.
    Look,
    /// Do nothing until then, or until something changes.
    Wait {
        /// When to look again at the latest.
        until: Timestamp,
        /// What is waited for.
        what: String,
    },
    /// End this sitting.
    Stop(Outcome, String),
}

/// What follows from one round.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The record with the intent; saved before the action.
    pub release: Release,
    /// The action.
    pub action: Action,
    /// What happened.
    pub events: Vec<Event>,
}

/// Which checks the next round should look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looks {
    /// None.
    Nothing,
    /// The canary's pods alone: it has no say in the traffic yet.
    CanaryPods,
    /// All checks on the canary.
    Canary,
    /// State checks on stable.
    Stable,
}

/// Returns which checks matter in the phase.
pub fn looks(phase: Phase) -> Looks {
    match phase {
        Phase::Preparing | Phase::Shifting => Looks::CanaryPods,
        Phase::Holding | Phase::Approving | Phase::PromoteShift => Looks::Canary,
        Phase::PromoteScale | Phase::PromoteCheck => Looks::Stable,
        Phase::PromoteTemplate
        | Phase::PromoteReturn
        | Phase::UndoShift
        | Phase::UndoTemplate
        | Phase::RollingBack
        | Phase::Draining
        | Phase::Cleaning
        | Phase::Ended => Looks::Nothing,
    }
}

/// Returns the pods a side needs before it may carry `weight` of the traffic that `total` pods
/// carried at the start: never fewer than its share of them, never none.
pub fn pods_needed(weight: Percent, total: u32) -> u32 {
    if weight == Percent::ZERO {
        return 0;
    }
    let rounded = weight.of(total);
    let short = Percent::share(rounded, total) < weight;
    (rounded + u32::from(short)).max(1)
}

/// Decides what to do next with `release`, given what is `seen`.
pub fn decide(release: &Release, seen: &Observation) -> Decision {
    let mut round = Round {
        release: release.clone(),
        seen,
        events: Vec::new(),
        moved: false,
    };
    let action = round.take_request().unwrap_or_else(|| {
        (0..TURNS)
            .find_map(|_| round.turn())
            .unwrap_or_else(|| round.wait("the next round"))
    });
    if let Action::Stop(outcome, text) = &action {
        round.emit(EventKind::Ended {
            outcome: *outcome,
            text: text.clone(),
        });
    }
    Decision {
        release: round.release,
        action,
        events: round.events,
    }
}

struct Round<'a> {
    release: Release,
    seen: &'a Observation,
    events: Vec<Event>,
    /// Whether the phase has changed in this call: results of checks belong to the one before.
    moved: bool,
}

/// `None`: the phase changed, take another turn.
type Turn = Option<Action>;

// === impl Round ===

impl Round<'_> {
    fn turn(&mut self) -> Turn {
        if self.seen.stable.is_none() && !self.release.is_over() {
            let text = format!("the stable Deployment {} is gone", self.release.stable);
            return Some(Action::Stop(Outcome::Conflict, text));
        }
        if self.release.target != self.seen.split.wanted && !self.release.is_over() {
            return Some(Action::Look);
        }
        match self.release.phase {
            Phase::Preparing => self.prepare(),
            Phase::Shifting => self.shift(),
            Phase::Holding => self.hold(),
            Phase::Approving => self.approval(),
            Phase::PromoteShift => self.promote_shift(),
            Phase::PromoteTemplate => self.promote_template(),
            Phase::PromoteScale => self.promote_scale(),
            Phase::PromoteCheck => self.promote_check(),
            Phase::PromoteReturn => self.promote_return(),
            Phase::UndoShift => self.undo_shift(),
            Phase::UndoTemplate => self.undo_template(),
            Phase::RollingBack => self.roll_back(),
            Phase::Draining => self.drain(),
            Phase::Cleaning => self.clean(),
            Phase::Ended => {
                let outcome = self.release.ending.unwrap_or(Outcome::RolledBack);
                Some(Action::Stop(outcome, self.ending_text(outcome)))
            }
        }
    }

    // --- requests -------------------------------------------------------------------------------

    fn take_request(&mut self) -> Option<Action> {
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
                    self.retreat(Cause::Interrupt, "the process was told to end".to_owned());
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

    fn wants_promotion(&self) -> bool {
        matches!(self.seen.request, Some(Request::Promote { .. }))
    }

    // --- the way up -----------------------------------------------------------------------------

    fn prepare(&mut self) -> Turn {
        let Some(canary) = &self.seen.canary else {
            if self.release.create {
                return self.act_or_fail(Action::CreateCanary, "the canary Deployment to exist");
            }
            return self.canary_gone();
        };
        let lacks_image =
            |(name, image): (&String, &String)| canary.images.get(name) != Some(image);
        if self.release.images.iter().any(lacks_image) {
            return self.act_or_fail(Action::SetImages, "the canary to take its image");
        }
        if let Some(action) = self.superseded() {
            return Some(action);
        }
        let weight = self
            .release
            .plan
            .steps
            .first()
            .map_or(Percent::ZERO, |s| s.weight);
        if let Some(action) = self.scale_for(Track::Canary, weight) {
            return self.act_or_fail(action, "the canary to take its size");
        }
        if let Some(what) = canary.roll_out_waits_for() {
            return self.wait_or_fail(&what);
        }
        self.begin_step(0);
        None
    }

    fn shift(&mut self) -> Turn {
        if let Some(action) = self.guards(false) {
            return action;
        }
        if self.seen.split.settled {
            self.reached();
            if self.seen.goal == Goal::Weight {
                let text = self.reached_text();
                return Some(Action::Stop(Outcome::AtWeight, text));
            }
            self.enter(Phase::Holding);
            return None;
        }
        self.shift_or_fail(self.release.target)
    }

    fn hold(&mut self) -> Turn {
        if let Some(action) = self.guards(false) {
            return action;
        }
        if let Some(action) = self.drift() {
            return action;
        }
        if self.moved {
            return Some(Action::Look);
        }
        let Some(step) = self.release.present_step().cloned() else {
            return Some(self.pause("the plan has no steps"));
        };
        let verdict = overall(self.canary_checks());
        let looked = !self.canary_checks().is_empty();
        let held = self.since() >= step.hold || self.wants_promotion();
        let present = self.release.step + 1;
        let goal_step = matches!(self.seen.goal, Goal::Step(wanted) if wanted <= present);
        let healthy = looked && verdict == Verdict::Healthy;
        if healthy && held {
            if goal_step && !self.wants_promotion() {
                return Some(Action::Stop(Outcome::AtWeight, self.reached_text()));
            }
            if step.approve && !self.release.approved && !self.wants_promotion() {
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
        if !healthy && patient && spent >= step.deadline.saturating_add(self.release.gate_spent) {
            let text = self.unsure_text();
            return match self.release.plan.on_unknown {
                OnTrouble::Hold => Some(self.pause(&text)),
                OnTrouble::Rollback => {
                    self.retreat(Cause::Unknown, text);
                    None
                }
            };
        }
        let what = if healthy {
            let left = step.hold.saturating_sub(self.since());
            let left = Duration::from_secs(left.as_secs().max(1));
            format!(
                "{} more at {}",
                humantime::format_duration(left),
                step.weight
            )
        } else {
            self.unsure_text()
        };
        Some(self.wait(&what))
    }

    fn approval(&mut self) -> Turn {
        if let Some(action) = self.guards(false) {
            return action;
        }
        if let Some(action) = self.drift() {
            return action;
        }
        if self.release.approved || self.wants_promotion() {
            let checks = self.canary_checks();
            if checks.is_empty() {
                return Some(self.wait("the first look at the checks"));
            }
            if overall(checks) != Verdict::Healthy {
                // What was proven before the gate holds no more: the step proves itself again.
                self.release.approved = true;
                self.release.gate_spent += self.since();
                self.enter(Phase::Holding);
                return None;
            }
            self.release.gate_spent += self.since();
            self.next_step();
            return self.after_steps();
        }
        let what = format!("approval of step {}", self.release.step + 1);
        match self.seen.goal {
            Goal::End => Some(self.wait(&what)),
            Goal::Approval | Goal::Step(_) | Goal::Weight => {
                Some(self.pause(&format!("waits for {what}")))
            }
        }
    }

    /// Goes to the next step; past the last one the phase stays and `after_steps` finishes.
    fn next_step(&mut self) {
        let more = self.release.step + 1 < self.release.plan.steps.len();
        if more && !self.wants_promotion() {
            self.begin_step(self.release.step + 1);
        } else {
            self.finish_steps();
        }
    }

    fn finish_steps(&mut self) {
        if self.release.plan.promote.auto || self.wants_promotion() {
            self.promote();
        }
    }

    /// Returns the pause of a run that has proven all its steps but may not promote by itself.
    fn after_steps(&mut self) -> Turn {
        let proven = self.release.phase == Phase::Holding || self.release.approved;
        let waits = matches!(self.release.phase, Phase::Holding | Phase::Approving);
        if waits && proven && self.release.step + 1 >= self.release.plan.steps.len() {
            return Some(self.pause("all steps are proven; promotion is left to a person"));
        }
        None
    }

    // --- promotion ------------------------------------------------------------------------------

    fn promote(&mut self) {
        match self.release.plan.promote.strategy {
            Strategy::None => {
                self.release.ending = Some(Outcome::Promoted);
                self.end();
            }
            Strategy::Template | Strategy::Image | Strategy::Swap => {
                self.release.target = Percent::FULL;
                self.enter(Phase::PromoteShift);
            }
        }
    }

    fn promote_shift(&mut self) -> Turn {
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
        self.shift_or_fail(Percent::FULL)
    }

    fn promote_template(&mut self) -> Turn {
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
        if let Some(what) = stable.roll_out_waits_for() {
            return self.wait_or_undo(&what);
        }
        self.enter(Phase::PromoteScale);
        None
    }

    fn promote_scale(&mut self) -> Turn {
        if let Some(turn) = self.undo_if_unhealthy() {
            return turn;
        }
        if let Some(action) = self.scale_for(Track::Stable, Percent::FULL) {
            if self.overdue(self.release.plan.promote_timeout) {
                return self.wait_or_undo("stable to take its size");
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

    fn promote_check(&mut self) -> Turn {
        if let Some(turn) = self.undo_if_unhealthy() {
            return turn;
        }
        let stable = self.seen.stable.as_ref()?;
        let complete = stable.roll_out_waits_for().is_none();
        // Checks of counters say nothing of pods without traffic: then the roll-out must do.
        let askable = self.release.plan.checks.iter();
        let nothing_to_ask = !askable.into_iter().any(|c| c.rule.judges_state());
        let looked = nothing_to_ask || !self.stable_checks().is_empty();
        let healthy = looked && complete && overall(self.stable_checks()) == Verdict::Healthy;
        if healthy && self.since() >= self.release.plan.interval {
            self.release.target = Percent::ZERO;
            self.enter(Phase::PromoteReturn);
            return None;
        }
        self.wait_or_undo("stable to prove itself healthy")
    }

    fn promote_return(&mut self) -> Turn {
        if let Some(action) = self.stable_changed() {
            return Some(action);
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

    fn stable_has_version(&self, stable: &Workload) -> bool {
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
    fn stable_changed(&self) -> Option<Action> {
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

    fn undo_if_unhealthy(&mut self) -> Option<Turn> {
        if let Some(action) = self.stable_changed() {
            return Some(Some(action));
        }
        if overall(self.stable_checks()) == Verdict::Unhealthy {
            let text = unhealthy_text(self.stable_checks());
            return Some(self.undo(format!("stable with the new version: {text}")));
        }
        None
    }

    // --- the way back ---------------------------------------------------------------------------

    /// Takes the canary out, by way of mending stable where a promotion has touched it.
    fn retreat(&mut self, cause: Cause, reason: String) {
        self.release.ending = Some(Outcome::RolledBack);
        self.leave(cause, reason);
    }

    /// Gives up a promotion: stable gets its old template back, traffic stays with the canary.
    fn undo(&mut self, reason: String) -> Turn {
        self.release.ending = Some(Outcome::Incomplete);
        self.leave(Cause::Promotion, reason);
        None
    }

    fn leave(&mut self, cause: Cause, reason: String) {
        self.emit(EventKind::RollingBack {
            cause,
            reason: reason.clone(),
        });
        self.release.cause = Some(cause);
        self.release.reason = Some(reason);
        let stable = self.seen.stable.as_ref();
        // A stable that is not there now may be half-updated when it is back.
        let touched = stable.is_none_or(|s| s.revision != self.release.origin.stable_revision);
        let promoting = self.release.phase >= Phase::PromoteTemplate;
        let abandoned = self.release.ending == Some(Outcome::Incomplete);
        if abandoned || (promoting && touched) {
            self.release.target = Percent::FULL;
            self.enter(Phase::UndoShift);
        } else {
            self.release.target = self.way_down();
            self.enter(Phase::RollingBack);
        }
    }

    /// Returns the next weight on the way down: 0 %, or the step below when that was asked for.
    fn way_down(&self) -> Percent {
        if !self.release.gradual {
            return Percent::ZERO;
        }
        let weights = self.release.plan.steps.iter().map(|s| s.weight);
        let below = weights.filter(|weight| *weight < self.release.target);
        below.max().unwrap_or(Percent::ZERO)
    }

    fn undo_shift(&mut self) -> Turn {
        let late = self.overdue(self.release.plan.ready_timeout);
        if self.seen.split.settled || self.seen.canary.is_none() || late {
            if late && !self.seen.split.settled {
                let text =
                    "the canary cannot carry all traffic; stable is mended under load".to_owned();
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

    fn undo_template(&mut self) -> Turn {
        let stable = self.seen.stable.as_ref()?;
        let mended = stable.revision == self.release.origin.stable_revision;
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

    fn roll_back(&mut self) -> Turn {
        let target = self.release.target;
        if self.seen.split.settled && target > Percent::ZERO {
            // A rollback by steps rests at each, so that stable takes the load bit by bit.
            if self.since() < self.release.plan.interval {
                return Some(self.wait(&format!("a moment at {target} on the way down")));
            }
            self.reached();
            self.release.target = self.way_down();
            self.enter(Phase::RollingBack);
            return None;
        }
        if self.seen.split.settled {
            self.reached();
            self.enter(Phase::Draining);
            let asked = self.release.cause == Some(Cause::Operator);
            if asked && self.seen.goal == Goal::Weight {
                let text = "no traffic reaches the canary; another `rollback` cleans up";
                return Some(Action::Stop(Outcome::AtWeight, text.to_owned()));
            }
            return None;
        }
        if self.overdue(self.release.plan.ready_timeout) {
            let text = format!("the rollback is not complete: {}", self.waits_for());
            return Some(Action::Stop(Outcome::Incomplete, text));
        }
        if let Some(action) = self.scale_for(Track::Stable, Percent::FULL) {
            return Some(action);
        }
        Some(Action::Shift(target))
    }

    fn drain(&mut self) -> Turn {
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

    fn clean(&mut self) -> Turn {
        if self.overdue(self.release.plan.ready_timeout) {
            let text = "traffic is safe, but what the release leaves behind could not be put away";
            return Some(Action::Stop(Outcome::Incomplete, text.to_owned()));
        }
        let swapped = self.release.plan.promote.strategy == Strategy::Swap
            && self.release.ending == Some(Outcome::Promoted);
        let (track, retired) = if swapped {
            (Track::Stable, self.seen.stable.as_ref())
        } else {
            (Track::Canary, self.seen.canary.as_ref())
        };
        if let Some(retired) = retired {
            match self.release.plan.promote.canary {
                Cleanup::Delete if !swapped => return Some(Action::DeleteCanary),
                Cleanup::Delete | Cleanup::ScaleDown => {
                    let kept = self.retired_size(swapped);
                    if retired.replicas > kept {
                        return Some(Action::Scale(track, kept));
                    }
                }
            }
        }
        if !self.seen.split.pinned.is_empty() {
            return Some(Action::Unpin);
        }
        self.end();
        None
    }

    /// Returns the size of the side that is no longer needed: what it had, unless its pods are traffic.
    fn retired_size(&self, swapped: bool) -> u32 {
        match self.seen.grain {
            Grain::Pods { .. } => 0,
            Grain::Weight(_) if swapped => 0,
            Grain::Weight(_) => self.release.origin.canary_replicas.unwrap_or(0),
        }
    }

    fn end(&mut self) {
        if self.release.ending == Some(Outcome::Promoted)
            && self.release.plan.promote.strategy == Strategy::Swap
        {
            std::mem::swap(&mut self.release.stable, &mut self.release.canary);
        }
        self.release.ended = Some(self.seen.now);
        self.enter(Phase::Ended);
    }

    // --- guards ---------------------------------------------------------------------------------

    /// Returns what stops the way up: a sick canary, a changed version, a missing Deployment.
    ///
    /// A promotion by `force` passes a sick canary, but never another version than the pinned one.
    fn guards(&mut self, forced: bool) -> Option<Turn> {
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

    fn canary_gone(&mut self) -> Turn {
        let text = format!("the canary Deployment {} is gone", self.release.canary);
        self.retreat(Cause::Unhealthy, text);
        None
    }

    fn superseded(&self) -> Option<Action> {
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

    fn drift(&mut self) -> Option<Turn> {
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

    // --- helpers of the phases ------------------------------------------------------------------

    /// Returns the scaling a side needs before it may carry `weight`; routers by pods scale themselves.
    fn scale_for(&self, track: Track, weight: Percent) -> Option<Action> {
        let (side, total) = match track {
            Track::Stable => (self.seen.stable.as_ref()?, self.release.origin.total),
            Track::Canary => (self.seen.canary.as_ref()?, self.release.origin.total),
        };
        let by_pods = matches!(self.seen.grain, Grain::Pods { .. });
        // While stable is checked for promotion it must have its pods, whatever routes the traffic.
        let promoting = self.release.phase == Phase::PromoteScale;
        if by_pods && !promoting {
            return None;
        }
        let need = pods_needed(weight, total);
        (side.replicas < need).then_some(Action::Scale(track, need))
    }

    /// Returns an action that should be over in a moment, or gives up when it never takes effect.
    fn act_or_fail(&mut self, action: Action, what: &str) -> Turn {
        if self.overdue(self.release.plan.ready_timeout) {
            let limit = humantime::format_duration(self.release.plan.ready_timeout);
            return self.fail(format!("still waiting after {limit} for {what}"));
        }
        Some(action)
    }

    fn shift_or_fail(&mut self, weight: Percent) -> Turn {
        if self.overdue(self.release.plan.ready_timeout) {
            let limit = humantime::format_duration(self.release.plan.ready_timeout);
            let text = format!(
                "{} not reached within {limit}: {}",
                self.release.target,
                self.waits_for()
            );
            return self.fail(text);
        }
        if let Some(action) = self.scale_for(Track::Canary, weight) {
            return Some(action);
        }
        Some(Action::Shift(weight))
    }

    fn wait_or_fail(&mut self, what: &str) -> Turn {
        if overall(self.canary_checks()) == Verdict::Unhealthy {
            let text = unhealthy_text(self.canary_checks());
            return self.fail(text);
        }
        if self.overdue(self.release.plan.ready_timeout) {
            let limit = humantime::format_duration(self.release.plan.ready_timeout);
            return self.fail(format!("still waiting after {limit} for {what}"));
        }
        Some(self.wait(what))
    }

    fn wait_or_undo(&mut self, what: &str) -> Turn {
        if self.overdue(self.release.plan.promote_timeout) {
            let limit = humantime::format_duration(self.release.plan.promote_timeout);
            return self.undo(format!("still waiting after {limit} for {what}"));
        }
        Some(self.wait(what))
    }

    fn fail(&mut self, reason: String) -> Turn {
        let broken = |r: &&CheckResult| r.verdict == Verdict::Unhealthy;
        let severities = self
            .canary_checks()
            .iter()
            .filter(broken)
            .map(|r| r.severity);
        let only_holds = severities.clone().count() > 0
            && severities.into_iter().all(|s| s != Severity::Rollback);
        if only_holds || self.release.plan.on_failure == OnTrouble::Hold {
            self.release.cause = Some(Cause::Unhealthy);
            return Some(self.pause(&reason));
        }
        self.retreat(Cause::Unhealthy, reason);
        None
    }

    fn begin_step(&mut self, index: usize) {
        self.release.step = index;
        self.release.step_since = self.seen.now;
        self.release.gate_spent = Duration::ZERO;
        self.release.approved = false;
        if let Some(step) = self.release.plan.steps.get(index) {
            self.release.target = step.weight;
        }
        self.enter(Phase::Shifting);
    }

    fn enter(&mut self, phase: Phase) {
        if phase == Phase::Holding {
            let later = self.release.step > 0;
            self.release
                .checks
                .values_mut()
                .for_each(|m| m.begin_step(later));
        }
        self.moved = true;
        self.release.phase = phase;
        self.release.since = self.seen.now;
        let weight = self.release.target;
        let (step, steps) = (self.release.step + 1, self.release.plan.steps.len());
        self.emit(EventKind::Entered {
            phase,
            step,
            steps,
            weight,
        });
    }

    fn reached(&mut self) {
        let split = self.seen.split.clone();
        self.emit(EventKind::Reached { split });
    }

    fn pause(&mut self, text: &str) -> Action {
        self.release.reason = Some(text.to_owned());
        Action::Stop(Outcome::Paused, text.to_owned())
    }

    fn wait(&self, what: &str) -> Action {
        let until = self
            .seen
            .now
            .checked_add(signed(self.release.plan.interval));
        Action::Wait {
            until: until.unwrap_or(self.seen.now),
            what: what.to_owned(),
        }
    }

    fn emit(&mut self, kind: EventKind) {
        let at = self.seen.now;
        self.events.push(Event { at, kind });
    }

    fn canary_checks(&self) -> &[CheckResult] {
        if self.moved {
            &[]
        } else {
            &self.seen.canary_checks
        }
    }

    fn stable_checks(&self) -> &[CheckResult] {
        if self.moved {
            &[]
        } else {
            &self.seen.stable_checks
        }
    }

    fn since(&self) -> Duration {
        elapsed(self.release.since, self.seen.now)
    }

    fn overdue(&self, limit: Duration) -> bool {
        self.since() >= limit
    }

    fn waits_for(&self) -> String {
        let split = &self.seen.split;
        split.waits_for.clone().unwrap_or_else(|| {
            format!(
                "the split is {} ({}), wanted {}",
                split.actual, split.detail, split.wanted
            )
        })
    }

    fn reached_text(&self) -> String {
        let split = &self.seen.split;
        format!(
            "canary at {} (wanted {}, {})",
            split.actual, split.wanted, split.detail
        )
    }

    fn unsure_text(&self) -> String {
        let unsure = self
            .canary_checks()
            .iter()
            .filter(|r| r.verdict != Verdict::Healthy);
        let texts: Vec<&str> = unsure.map(|r| r.text.as_str()).collect();
        if texts.is_empty() && self.release.plan.checks.is_empty() {
            return "the plan has no checks, so nothing can prove the canary healthy".to_owned();
        }
        if texts.is_empty() {
            return "the first look at the checks".to_owned();
        }
        format!("not enough evidence: {}", texts.join("; "))
    }

    fn ending_text(&self, outcome: Outcome) -> String {
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

/// Returns the images of a workload in one line.
pub fn images_text(workload: &Workload) -> String {
    let images: Vec<&str> = workload.images.values().map(String::as_str).collect();
    images.join(", ")
}

fn by(manager: Option<&str>) -> String {
    manager.map(|m| format!(" by {m}")).unwrap_or_default()
}

fn unhealthy_text(results: &[CheckResult]) -> String {
    let broken = results.iter().filter(|r| r.verdict == Verdict::Unhealthy);
    let texts: Vec<&str> = broken.map(|r| r.text.as_str()).collect();
    texts.join("; ")
}

/// Returns the time from `from` to `to`; zero when it is negative.
pub fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
