//! The end of a step that nothing proves: who waits longer gets no answer.
//!
//! Owns: what follows then: evidence against the canary, or none at all. Must not: do I/O or read a clock.

use std::time::Duration;

use super::{Round, Turn};
use crate::domain::{
    check::Severity,
    plan::OnTrouble,
    release::Cause,
    verdict::{CheckResult, Verdict},
};

/// Why a step waits no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeOver {
    /// Its deadline came.
    Deadline(Duration),
    /// What is missing does not come any more.
    Hopeless,
}

/// What follows where nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unsure {
    /// The split stays, for a person.
    Hold,
    /// The canary goes out, as it was asked for.
    Rollback,
    /// The canary goes out, for nobody watches it and nothing else was asked for.
    Unwatched,
}

impl TimeOver {
    fn words(self) -> String {
        match self {
            Self::Deadline(deadline) => {
                let deadline = humantime::format_duration(deadline);
                format!("at the deadline of {deadline}")
            }
            Self::Hopeless => "and waiting brings no answer".to_owned(),
        }
    }
}

impl Round<'_> {
    /// Ends a step that is not proven. Evidence against the canary counts now, though it is not sure: the
    /// canary had its time. Where there is none, the plan says what follows.
    pub(super) fn give_up(&mut self, why: TimeOver) -> Turn {
        let against: Vec<&CheckResult> = self
            .unknown_checks()
            .filter(|result| result.against.is_some())
            .collect();
        if !against.is_empty() {
            let severities: Vec<Severity> = against.iter().map(|r| r.severity).collect();
            let texts = against.iter().filter_map(|r| r.against.as_deref());
            let texts: Vec<&str> = texts.collect();
            let text = format!("{}, {}", texts.join("; "), why.words());
            return self.fail_for(&severities, text);
        }
        let text = self.unsure_text();
        match self.unsure() {
            Unsure::Hold => Some(self.pause(&text)),
            Unsure::Rollback => {
                self.retreat(Cause::Unknown, text);
                None
            }
            Unsure::Unwatched => {
                let text = format!(
                    "{text}; no terminal, so the canary is rolled back (onUnknown: hold keeps it)"
                );
                self.retreat(Cause::Unknown, text);
                None
            }
        }
    }

    /// Returns whether waiting will not bring what is missing.
    pub(super) fn is_hopeless(&self) -> bool {
        let mut unknown = self.unknown_checks();
        unknown.any(|result| result.hopeless)
    }

    /// Returns what happens when the step ends without enough evidence: what the checks say that do not
    /// know, or else the plan.
    fn unsure(&self) -> Unsure {
        let plan = &self.release.plan;
        let by_plan = match (plan.on_unknown, plan.on_unknown_unset) {
            (OnTrouble::Hold, _) => Unsure::Hold,
            (OnTrouble::Rollback, false) => Unsure::Rollback,
            (OnTrouble::Rollback, true) => Unsure::Unwatched,
        };
        let of = |result: &CheckResult| {
            let spec = plan.checks.iter().find(|spec| spec.name == result.name);
            match spec.and_then(|spec| spec.on_unknown) {
                Some(OnTrouble::Hold) => Unsure::Hold,
                Some(OnTrouble::Rollback) => Unsure::Rollback,
                None => by_plan,
            }
        };
        let said: Vec<Unsure> = self.unknown_checks().map(of).collect();
        if said.is_empty() {
            by_plan
        } else if said.contains(&Unsure::Rollback) {
            Unsure::Rollback
        } else if said.contains(&Unsure::Unwatched) {
            Unsure::Unwatched
        } else {
            Unsure::Hold
        }
    }

    fn unknown_checks(&self) -> impl Iterator<Item = &CheckResult> {
        let counts = |result: &&CheckResult| {
            result.verdict == Verdict::Unknown && result.severity != Severity::Warn
        };
        self.canary_checks().iter().filter(counts)
    }
}
