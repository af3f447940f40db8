//! Exit codes: part of the contract.
//!
//! Owns: the numbers and what they mean. A number is never reused.

use crate::{
    domain::release::{Cause, Outcome},
    engine::End,
};

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// 0: done as asked.
    Done,
    /// 1: unexpected; the environment or the API failed.
    Failed,
    /// 2: usage, configuration, or preflight refused.
    Refused,
    /// 3: the canary was unhealthy; the rollback is verified.
    RolledBack,
    /// 4: another run holds the release, drift, or a superseded revision.
    Conflict,
    /// 5: not finished, the split is live; a person, a window or evidence is waited for.
    Unfinished,
    /// 6: a rollback or promotion could not be completed or verified: page on-call.
    Incomplete,
    /// 130: interrupted; the policy was carried out.
    Interrupted,
    /// 143: told to end; the policy was carried out.
    Terminated,
}

/// Every code with its meaning, for help and man page.
pub(super) const CODES: &[(Code, &str)] = &[
    (Code::Done, "done as asked"),
    (Code::Failed, "unexpected, environment or API failure"),
    (Code::Refused, "usage, configuration or preflight refused"),
    (Code::RolledBack, "canary unhealthy, rollback verified"),
    (
        Code::Conflict,
        "another run holds the release, drift, or superseded revision",
    ),
    (
        Code::Unfinished,
        "not finished, split still live: waiting for a person, a window, or more requests",
    ),
    (
        Code::Incomplete,
        "a rollback or promotion could not be completed or verified: page on-call",
    ),
    (
        Code::Interrupted,
        "interrupted, after the on-interrupt policy was carried out",
    ),
    (
        Code::Terminated,
        "terminated, after the on-interrupt policy was carried out",
    ),
];

impl Code {
    /// Returns the number.
    pub fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Refused => 2,
            Self::RolledBack => 3,
            Self::Conflict => 4,
            Self::Unfinished => 5,
            Self::Incomplete => 6,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// Returns the code of a sitting that ended; `interrupted` is the code of the signal that came.
    pub fn of(end: &End, interrupted: Option<Self>) -> Self {
        // Whoever waits for the release must not take an interrupted one for a finished one.
        let by_signal = interrupted;
        match end.outcome {
            Outcome::Promoted | Outcome::AtWeight => Self::Done,
            Outcome::RolledBack => match end.cause {
                Some(Cause::Operator) => by_signal.unwrap_or(Self::Done),
                Some(Cause::Interrupt) => by_signal.unwrap_or(Self::RolledBack),
                Some(
                    Cause::Unhealthy
                    | Cause::Unknown
                    | Cause::Promotion
                    | Cause::Refused
                    | Cause::Member,
                )
                | None => Self::RolledBack,
            },
            // Told to end, and kept from doing what is to be done then.
            Outcome::Paused if end.stranded => Self::Unfinished,
            Outcome::Paused => by_signal.unwrap_or(Self::Unfinished),
            Outcome::Conflict => Self::Conflict,
            Outcome::Incomplete => Self::Incomplete,
        }
    }
}
