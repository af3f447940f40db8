//! Several apps released as one: what each member has to know of the others.
//!
//! Owns: the membership in a record, the board with every member's standing, and what the others' standings
//! mean for one of them. Must not: move a release through its phases; `decide` asks the board.
//!
//! A release passes *gates*: the first before its first step, one after each step, and one before its traffic
//! returns to stable at the end of a promotion. Nobody goes through a gate before all have come to it. What a
//! member has passed is in its record, so the board is the same again after the process is killed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    decide::pods_needed,
    release::{Cause, Outcome, Phase, Release},
    split::{Grain, Split},
    weight::Percent,
    workload::Workload,
};

/// To which run of which group a release belongs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Name of the group.
    pub name: String,
    /// Name of the run, the same in the records of all members.
    pub run: String,
    /// The apps, in the order of the file.
    pub members: Vec<String>,
    /// The file that says so, as it was given, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// How many gates a release has passed beyond what its phase says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Passed {
    /// The number of the last gate: 0 is the one before the first step.
    pub gate: usize,
    /// When it was passed.
    pub at: Timestamp,
}

/// Where one member is, as far as the others have to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The app.
    pub app: String,
    /// Whether it goes on, and if not, why.
    pub state: State,
    /// The last gate that it has passed.
    pub passed: Option<usize>,
    /// The weight for which its canary has the pods.
    pub room: Percent,
    /// Its phase.
    pub phase: Phase,
    /// Whether it was looked at since this process drives it.
    pub looked: bool,
}

/// Whether a member goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It has no part in this run, or none yet.
    Absent,
    /// It is on its way up, or being promoted.
    Up,
    /// Its canary's version is the stable one.
    Promoted,
    /// It is on its way back, or rolled back.
    Back {
        /// Why.
        reason: String,
        /// Whether it only follows another member.
        follows: bool,
    },
    /// Its sitting ended before its run did.
    Stopped(String),
}

/// Another member that keeps one waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// What is waited for, in words.
    pub what: String,
    /// Whether nobody drives that member any more.
    pub stopped: bool,
}

/// The standings of all members.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Board {
    standings: Vec<Standing>,
}

// === impl Standing ===

impl Standing {
    /// Returns the standing of a member without a record of this run.
    pub fn absent(app: &str) -> Self {
        Self {
            app: app.to_owned(),
            state: State::Absent,
            passed: None,
            room: Percent::ZERO,
            phase: Phase::Preparing,
            looked: false,
        }
    }

    /// Returns the standing that a record tells.
    pub fn of(release: &Release) -> Self {
        let reason = release.reason.clone().unwrap_or_default();
        let follows = release.cause == Some(Cause::Member);
        let state = match release.ending {
            Some(Outcome::Promoted) => State::Promoted,
            Some(
                Outcome::RolledBack
                | Outcome::Incomplete
                | Outcome::AtWeight
                | Outcome::Paused
                | Outcome::Conflict,
            ) => State::Back { reason, follows },
            None if release.is_over() => State::Back { reason, follows },
            None => State::Up,
        };
        Self {
            state,
            passed: passed(release),
            phase: release.phase,
            ..Self::absent(&release.app)
        }
    }

    /// Returns it with the weight for which its canary has the pods, as they are seen at `now`.
    #[must_use]
    pub fn seen(
        self,
        release: &Release,
        (split, grain): (&Split, Grain),
        canary: Option<&Workload>,
        now: Timestamp,
    ) -> Self {
        let target = release.target.max(split.wanted);
        let room = match (grain, canary) {
            (Grain::Pods { .. }, _) => target,
            (Grain::Weight(_), Some(canary)) => {
                let need = pods_needed(target, release.origin.total);
                let ready = canary.ready_pods().min(canary.steady_pods(now));
                if ready >= need { target } else { Percent::ZERO }
            }
            (Grain::Weight(_), None) => Percent::ZERO,
        };
        Self {
            room,
            looked: true,
            ..self
        }
    }

    /// Returns it as that of a member whose sitting has ended, unless its run has as well.
    #[must_use]
    pub fn stopped(self, text: &str) -> Self {
        match self.state {
            State::Up | State::Absent => Self {
                state: State::Stopped(text.to_owned()),
                ..self
            },
            State::Promoted | State::Back { .. } | State::Stopped(_) => self,
        }
    }

    /// Returns what keeps it from the gate, in words.
    fn lacks(&self, gate: usize) -> String {
        let app = &self.app;
        match (&self.state, self.phase) {
            (State::Stopped(text), _) => format!("{app}, which stopped: {text}"),
            (_, Phase::Preparing | Phase::Testing) => format!("{app}: its canary is not ready yet"),
            (_, Phase::Approving) => format!("{app}: its step {gate} is not approved yet"),
            (_, Phase::Resting) => {
                format!("{app}: its step {gate} is without traffic, in case it is a burst")
            }
            (_, phase) if phase >= Phase::PromoteShift => {
                format!("{app}: its promotion is not proven yet")
            }
            _ => format!("{app}: its step {gate} is not proven yet"),
        }
    }
}

/// Returns the last gate that a release has passed: what its phase says, or its record beyond it.
fn passed(release: &Release) -> Option<usize> {
    let steps = release.plan.steps.len();
    let by_phase = match release.phase {
        // Where pods are the traffic it is tested at the weight of its first one.
        Phase::Testing if release.target > Percent::ZERO => Some(release.step),
        Phase::Preparing
        | Phase::Testing
        | Phase::UndoShift
        | Phase::UndoTemplate
        | Phase::RollingBack => None,
        Phase::Shifting | Phase::Holding | Phase::Resting | Phase::Approving => Some(release.step),
        Phase::PromoteShift
        | Phase::PromoteTemplate
        | Phase::PromoteScale
        | Phase::PromoteCheck => Some(steps),
        Phase::PromoteReturn => Some(steps + 1),
        Phase::Draining | Phase::Cleaning | Phase::Ended => {
            (release.ending == Some(Outcome::Promoted)).then_some(steps + 1)
        }
    };
    by_phase.max(release.passed.map(|passed| passed.gate))
}

// === impl Board ===

impl Board {
    /// Returns the board with these standings.
    pub fn new(standings: Vec<Standing>) -> Self {
        Self { standings }
    }

    /// Takes in a standing; returns whether it says anything new.
    pub fn take(&mut self, standing: Standing) -> bool {
        let known = self.standings.iter_mut().find(|s| s.app == standing.app);
        match known {
            Some(known) if *known == standing => false,
            Some(known) => {
                *known = standing;
                true
            }
            None => {
                self.standings.push(standing);
                true
            }
        }
    }

    /// Returns the standing of a member.
    pub fn of(&self, app: &str) -> Option<&Standing> {
        self.standings.iter().find(|standing| standing.app == app)
    }

    /// Returns all standings.
    pub fn standings(&self) -> &[Standing] {
        &self.standings
    }

    fn others<'b>(&'b self, app: &'b str) -> impl Iterator<Item = &'b Standing> {
        let all = self.standings.iter();
        all.filter(move |standing| standing.app != app)
    }

    /// Returns the other members that keep one waiting; one that nobody drives any more comes first.
    fn first<'b>(
        &'b self,
        app: &'b str,
        lags: impl Fn(&Standing) -> bool,
    ) -> Option<(&'b Standing, bool)> {
        let stopped = |other: &Standing| matches!(other.state, State::Stopped(_));
        let lagging: Vec<&Standing> = self.others(app).filter(|other| lags(other)).collect();
        let found = lagging.iter().find(|other| stopped(other));
        let other = found.or(lagging.first())?;
        Some((other, stopped(other)))
    }

    /// Returns why a member has to go back because another one did; the one that began it says why.
    pub fn back(&self, app: &str) -> Option<String> {
        let mut first: Option<(&str, &str, bool)> = None;
        for other in self.others(app) {
            if let State::Back { reason, follows } = &other.state
                && first.is_none_or(|(_, _, followed)| followed && !follows)
            {
                first = Some((&other.app, reason, *follows));
            }
        }
        let (other, reason, follows) = first?;
        Some(if follows {
            reason.to_owned()
        } else {
            format!("{other} was rolled back: {reason}")
        })
    }

    /// Returns another member that has not passed a gate yet.
    pub fn behind(&self, app: &str, gate: usize) -> Option<Behind> {
        let lags = |other: &Standing| match &other.state {
            State::Promoted | State::Back { .. } => false,
            State::Absent | State::Up | State::Stopped(_) => {
                other.passed.is_none_or(|passed| passed < gate)
            }
        };
        let (other, stopped) = self.first(app, lags)?;
        let what = other.lacks(gate);
        Some(Behind { what, stopped })
    }

    /// Returns another member whose canary has not the pods for a weight yet: one weight may move the users
    /// of several members.
    pub fn without_room(&self, app: &str, weight: Percent) -> Option<Behind> {
        let lags = |other: &Standing| match &other.state {
            State::Promoted | State::Back { .. } => false,
            State::Absent | State::Up | State::Stopped(_) => other.room < weight,
        };
        let (other, stopped) = self.first(app, lags)?;
        let what = match &other.state {
            State::Stopped(text) => format!("{}, which stopped: {text}", other.app),
            State::Absent | State::Up | State::Promoted | State::Back { .. } => {
                format!("{}: to be ready for {weight}", other.app)
            }
        };
        Some(Behind { what, stopped })
    }

    /// Returns another member that still proves the step which this one is to be approved at.
    pub fn unapproved(&self, app: &str, gate: usize) -> Option<Behind> {
        let proves = |other: &Standing| match &other.state {
            State::Promoted | State::Back { .. } | State::Stopped(_) => false,
            State::Absent | State::Up => {
                let here = other.phase == Phase::Approving
                    && other.passed.is_some_and(|passed| passed + 1 == gate);
                !here && other.passed.is_none_or(|passed| passed < gate)
            }
        };
        let (other, stopped) = self.first(app, proves)?;
        let what = other.lacks(gate);
        Some(Behind { what, stopped })
    }

    /// Returns whether every other member that goes on was looked at since this process drives it.
    pub fn has_looked_beside(&self, app: &str) -> bool {
        self.others(app)
            .all(|other| other.looked || other.state != State::Up)
    }
}

/// Returns the run that the records of a group's members are in, to be gone on with; `None` where there is
/// none under way. The error says why they cannot be driven together.
pub fn under_way(
    members: &[String],
    records: &[(&str, Option<&Release>)],
) -> Result<Option<String>, String> {
    let active = records.iter().filter_map(|(app, release)| {
        let release = release.filter(|release| !release.is_over())?;
        Some((*app, release.group.as_ref()))
    });
    let mut run: Option<(&str, &Group)> = None;
    let mut alone: Option<&str> = None;
    for (app, group) in active {
        match (group, run) {
            (None, _) => alone = Some(app),
            (Some(group), Some((before, known))) if known.run != group.run => {
                return Err(format!(
                    "{before} and {app} are under way in different runs: {} of group {} and {} of group {}",
                    known.run, known.name, group.run, group.name
                ));
            }
            (Some(group), _) => run = Some((app, group)),
        }
    }
    let Some((app, group)) = run else {
        return Ok(None);
    };
    if let Some(alone) = alone {
        return Err(format!(
            "{alone} is under way by itself, and {app} in run {} of group {}",
            group.run, group.name
        ));
    }
    let same = group.members.len() == members.len()
        && group.members.iter().all(|member| members.contains(member));
    if !same {
        return Err(format!(
            "run {} of group {} has the members {}, and the file names {}",
            group.run,
            group.name,
            group.members.join(", "),
            members.join(", ")
        ));
    }
    Ok(Some(group.run.clone()))
}

/// How one member ended its part of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// The app.
    pub app: String,
    /// How; `None`: it had no part in it, or nobody can tell.
    pub outcome: Option<Outcome>,
    /// Why it ended before its plan, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The same as a sentence.
    pub text: String,
}

/// How a group ended its run, or one sitting of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// How.
    pub outcome: Outcome,
    /// Why the first that went back did, if one did.
    pub cause: Option<Cause>,
    /// The same as a sentence.
    pub text: String,
}

/// Returns how a group ended, from how its members did. Members that end on both sides of a promotion run
/// versions that were not released together, which a person has to see.
pub fn ending(parts: &[Part]) -> Ending {
    let of = |outcome: Outcome| -> Vec<&Part> {
        let all = parts.iter();
        all.filter(|part| part.outcome == Some(outcome)).collect()
    };
    let names = |parts: &[&Part]| {
        let names: Vec<&str> = parts.iter().map(|part| part.app.as_str()).collect();
        names.join(", ")
    };
    let back = of(Outcome::RolledBack);
    let first = back.iter().find(|part| part.cause != Some(Cause::Member));
    let first = first.or(back.first());
    let cause = first.and_then(|part| part.cause);
    let promoted = of(Outcome::Promoted);
    if !promoted.is_empty() && !back.is_empty() {
        let text = format!(
            "the versions differ: promoted is {}, rolled back is {}",
            names(&promoted),
            names(&back)
        );
        let outcome = Outcome::Incomplete;
        return Ending {
            outcome,
            cause,
            text,
        };
    }
    for outcome in [Outcome::Incomplete, Outcome::Conflict, Outcome::Paused] {
        let parts = of(outcome);
        if let Some(part) = parts.first() {
            let text = match outcome {
                Outcome::Paused => part.text.clone(),
                Outcome::Incomplete
                | Outcome::Conflict
                | Outcome::Promoted
                | Outcome::RolledBack
                | Outcome::AtWeight => format!("{}: {}", part.app, part.text),
            };
            return Ending {
                outcome,
                cause: part.cause,
                text,
            };
        }
    }
    if let Some(first) = first {
        let said = first.text.strip_prefix("rolled back, ");
        let said = said.unwrap_or(&first.text);
        let text = match first.cause {
            Some(Cause::Operator | Cause::Interrupt) => said.to_owned(),
            Some(
                Cause::Unhealthy
                | Cause::Unknown
                | Cause::Promotion
                | Cause::Refused
                | Cause::Member,
            )
            | None => format!("{} went back, {said}", first.app),
        };
        return Ending {
            outcome: Outcome::RolledBack,
            cause,
            text,
        };
    }
    let at = of(Outcome::AtWeight);
    let (outcome, text) = match at.first() {
        Some(part) if promoted.is_empty() => (Outcome::AtWeight, part.text.clone()),
        Some(_) | None => (
            Outcome::Promoted,
            format!("{} run their new versions", names(&promoted)),
        ),
    };
    Ending {
        outcome,
        cause: None,
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(app: &str, state: State, passed: Option<usize>) -> Standing {
        Standing {
            state,
            passed,
            ..Standing::absent(app)
        }
    }

    fn back(reason: &str, follows: bool) -> State {
        State::Back {
            reason: reason.to_owned(),
            follows,
        }
    }

    fn board(standings: &[(&str, State, Option<usize>)]) -> Board {
        let standings = standings.iter().cloned();
        Board::new(
            standings
                .map(|(app, state, passed)| standing(app, state, passed))
                .collect(),
        )
    }

    fn waits(behind: Option<Behind>) -> Option<(String, bool)> {
        behind.map(|behind| (behind.what, behind.stopped))
    }

    #[test]
    fn nobody_goes_through_a_gate_before_all_have_come_to_it() {
        let board = board(&[
            ("a", State::Up, Some(2)),
            ("b", State::Up, Some(1)),
            ("c", State::Up, None),
        ]);
        let first = |gate| waits(board.behind("a", gate));
        assert_eq!(
            first(0),
            Some(("c: its canary is not ready yet".to_owned(), false))
        );
        assert!(first(1).unwrap().0.starts_with("c: "));
        assert!(first(2).unwrap().0.starts_with("b: "));
        assert_eq!(board.behind("c", 1), None);
    }

    #[test]
    fn who_is_gone_is_told_before_who_is_late() {
        let board = board(&[
            ("a", State::Up, Some(1)),
            ("b", State::Up, Some(0)),
            (
                "c",
                State::Stopped("held by an operator".to_owned()),
                Some(0),
            ),
        ]);
        let (what, stopped) = waits(board.behind("a", 1)).unwrap();
        assert_eq!(what, "c, which stopped: held by an operator");
        assert!(stopped);
    }

    /// A member that is promoted or goes back keeps nobody at a gate: the one is past it, and the other is
    /// followed.
    #[test]
    fn who_is_not_on_the_way_up_keeps_nobody_waiting() {
        for state in [State::Promoted, back("errors", false)] {
            let board = board(&[("a", State::Up, Some(1)), ("b", state, None)]);
            assert_eq!(board.behind("a", 1), None);
            assert_eq!(board.without_room("a", Percent::FULL), None);
        }
    }

    #[test]
    fn who_went_back_first_says_why() {
        let board = board(&[
            ("a", State::Up, Some(1)),
            ("b", back("c was rolled back: errors", true), None),
            ("c", back("errors", false), None),
        ]);
        let reason = Some("c was rolled back: errors".to_owned());
        assert_eq!(board.back("a"), reason);
        assert_eq!(board.back("b"), reason);
        // A follower alone still knows it.
        let board = Board::new(board.standings()[..2].to_vec());
        assert_eq!(board.back("a"), reason);
        assert_eq!(board.back("b"), None);
    }

    #[test]
    fn a_weight_waits_for_the_pods_of_all() {
        let mut ready = standing("b", State::Up, Some(1));
        ready.room = Percent::whole(25);
        let board = Board::new(vec![standing("a", State::Up, Some(1)), ready]);
        assert_eq!(board.without_room("a", Percent::whole(25)), None);
        assert!(board.without_room("a", Percent::whole(50)).is_some());
    }

    #[test]
    fn only_what_is_new_is_news() {
        let mut board = board(&[("a", State::Up, None)]);
        assert!(!board.take(standing("a", State::Up, None)));
        assert!(board.take(standing("a", State::Up, Some(0))));
        assert!(board.take(standing("b", State::Up, None)));
        assert_eq!(board.standings().len(), 2);
    }

    #[test]
    fn a_run_that_ended_keeps_its_end_when_its_sitting_stops() {
        for state in [State::Promoted, back("errors", false)] {
            let over = standing("a", state.clone(), None).stopped("done");
            assert_eq!(over.state, state);
        }
        let left = standing("a", State::Up, None).stopped("left");
        assert_eq!(left.state, State::Stopped("left".to_owned()));
    }

    fn part(app: &str, outcome: Outcome, cause: Option<Cause>) -> Part {
        Part {
            app: app.to_owned(),
            outcome: Some(outcome),
            cause,
            text: format!("text of {app}"),
        }
    }

    #[test]
    fn versions_that_differ_at_the_end_are_for_a_person() {
        let parts = [
            part("a", Outcome::Promoted, None),
            part("b", Outcome::RolledBack, Some(Cause::Promotion)),
        ];
        let end = ending(&parts);
        assert_eq!(end.outcome, Outcome::Incomplete);
        assert_eq!(
            end.text,
            "the versions differ: promoted is a, rolled back is b"
        );
    }

    #[test]
    fn the_group_ends_as_the_worst_of_its_members() {
        let all = |outcomes: [Outcome; 2]| {
            let [a, b] = outcomes;
            ending(&[part("a", a, None), part("b", b, None)]).outcome
        };
        assert_eq!(all([Outcome::Promoted; 2]), Outcome::Promoted);
        assert_eq!(all([Outcome::AtWeight; 2]), Outcome::AtWeight);
        assert_eq!(all([Outcome::Paused, Outcome::AtWeight]), Outcome::Paused);
        assert_eq!(all([Outcome::Paused, Outcome::Conflict]), Outcome::Conflict);
        assert_eq!(
            all([Outcome::Conflict, Outcome::Incomplete]),
            Outcome::Incomplete
        );
        let parts = [
            part("a", Outcome::RolledBack, Some(Cause::Member)),
            part("b", Outcome::RolledBack, Some(Cause::Unhealthy)),
        ];
        let end = ending(&parts);
        assert_eq!(
            (end.outcome, end.cause),
            (Outcome::RolledBack, Some(Cause::Unhealthy))
        );
        assert_eq!(end.text, "b went back, text of b");
    }
}
