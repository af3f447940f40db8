//! What to do next.
//!
//! Owns: the one function that moves a release through its phases. Must not: do I/O, read a clock,
//! or panic. It compares what is meant with what is seen, so it can be asked again at any moment:
//! after a crash, after somebody else's change, twice in a row.

mod back;
mod brake;
mod guards;
mod member;
mod promote;
mod requests;
mod route;
mod say;
mod unsure;
mod up;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    event::{Event, EventKind},
    group::Board,
    release::{Outcome, Phase, Release},
    route::Standing,
    split::{Grain, Split},
    verdict::{CheckResult, Verdict},
    weight::Percent,
    workload::{Track, Workload},
};

/// Times that somebody else's change of the split is re-applied before the run gives up.
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
    /// The change on the way up that the server refused until patience was over, with its reason.
    pub refused: Option<String>,
    /// How the pieces of the run's own route stand; empty where it makes none.
    pub route: Vec<Standing>,
    /// How far this sitting is to go.
    pub goal: Goal,
    /// Where the members of its group are, where it has one. Read after the split: whatever another member
    /// did to it was agreed on the board before.
    pub group: Option<Board>,
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
    /// Make a piece of the run's own route, by its index.
    MakeRoute(usize),
    /// Take a piece of the run's own route away, by its index.
    TakeRoute(usize),
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
    /// The canary's pods, and what must hold before any user meets it.
    Tests,
    /// All checks on the canary.
    Canary,
    /// State checks on stable.
    Stable,
    /// All checks on the canary, and state checks on stable.
    Both,
}

/// Returns which checks matter `now`, where the canary has `weight`: those on whichever side carries traffic
/// that it may lose.
///
/// A weight that was written may be live although its route, or the pods for it, are waited for: who waits
/// longer than one look looks at everything.
pub fn looks(release: &Release, now: Timestamp, weight: Percent) -> Looks {
    match release.phase {
        // A canary that is calmed down has its traffic taken, or is given little of it, whatever is seen.
        Phase::Shifting
            if weight > Percent::ZERO
                && elapsed(release.since, now) >= release.plan.interval
                && release.braking.from().is_none() =>
        {
            Looks::Canary
        }
        // Traffic is to stay with the canary: it has to deserve it.
        Phase::UndoShift | Phase::UndoTemplate if release.ending == Some(Outcome::Incomplete) => {
            Looks::Canary
        }
        Phase::Preparing | Phase::Shifting | Phase::UndoShift => Looks::CanaryPods,
        Phase::Testing => Looks::Tests,
        Phase::Holding
        | Phase::Resting
        | Phase::Approving
        | Phase::PromoteShift
        | Phase::PromoteTemplate => Looks::Canary,
        Phase::PromoteScale | Phase::PromoteCheck => Looks::Both,
        Phase::PromoteReturn => Looks::Stable,
        Phase::UndoTemplate
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
    if !seen.split.pinned.is_empty() {
        round.release.pinned = seen.split.pinned.iter().cloned().collect();
    }
    round.take_refusal();
    round.follow();
    let action = round.take_request().unwrap_or_else(|| {
        (0..TURNS)
            .find_map(|_| round.turn())
            .unwrap_or_else(|| round.wait("the next round"))
    });
    if let Action::Stop(outcome, text) = &action {
        round.emit(EventKind::Ended {
            outcome: *outcome,
            text: text.clone(),
            split: Some(seen.split.clone()),
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
            Phase::Testing => self.test(),
            Phase::Shifting => self.shift(),
            Phase::Holding => self.hold(),
            Phase::Resting => self.rest(),
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
