//! What stands in the way of a round: how long the run tries again, and how it ends when it may not.
//!
//! Owns: telling an outage or an odd answer from a refusal, both patiences, and the end of a run that
//! cannot go on. Must not: move traffic; the way back is decided like any other.
//!
//! One odd answer proves nothing: a proxy shows its login page, a token is renewed, a webhook restarts.
//! So nothing but another driver ends a run at once.

use std::{fmt, time::Duration};

use jiff::Timestamp;

use super::{Engine, EngineError, PAUSE, SHORTEST};
use crate::{
    cluster::{ClusterError, Reason},
    domain::{
        decide::elapsed,
        event::{Event, EventKind},
        plan::OnTrouble,
        release::{Outcome, Phase},
        split::Split,
        weight::Percent,
    },
    journal::JournalError,
    traffic::TrafficError,
};

/// How long outages and odd answers are met with another try: a control plane that is upgraded is away
/// for a few minutes.
pub const API_PATIENCE: Duration = Duration::from_secs(300);

/// How long the same refusal is. A refusal is an answer: the server was reached and has decided. Roles,
/// quotas and policies are read from caches and changed object by object, so that a single one proves
/// nothing; after a minute only a person changes it, and users had better not wait for that on a split.
pub const REFUSAL_PATIENCE: Duration = Duration::from_secs(60);

/// Longest time to let go of a run that cannot go on.
const LAST_SAVE: Duration = Duration::from_secs(20);

/// What a trouble says about the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// The next look may find it gone.
    Passing,
    /// The server has decided against it.
    Refusal,
    /// Another driver has the run, or it never began.
    Final,
}

/// Since when rounds fail.
#[derive(Debug, Default)]
pub(super) struct Patience {
    since: Option<Timestamp>,
    /// The refusal that came last, and since when it is the same one.
    refusal: Option<(RefusedCall, Timestamp)>,
}

/// What was refused: action, object and reason.
type RefusedCall = (&'static str, String, Reason);

/// How much patience is left with a trouble.
pub(super) struct Remaining {
    /// Since when.
    since: Timestamp,
    limit: Duration,
    refusal: bool,
    over: bool,
    /// Whether the next try is worth making at once.
    soon: bool,
}

/// The division of traffic as it was seen last.
pub(super) struct Noticed {
    pub(super) at: Timestamp,
    pub(super) split: Split,
}

/// What follows a round that failed.
pub(super) enum Then {
    /// Another one, after a pause.
    Again(Duration),
    /// The end of the sitting.
    GiveUp(Option<Remaining>),
}

// === impl EngineError ===

impl EngineError {
    /// Returns what the API server answered, or that it did not.
    fn answer(&self) -> Option<&ClusterError> {
        match self {
            Self::Cluster(error)
            | Self::Traffic(TrafficError::Cluster(error))
            | Self::Journal(JournalError::Cluster(error)) => Some(error),
            Self::Journal(_) | Self::Traffic(_) | Self::Health(_) | Self::Refused { .. } => None,
        }
    }

    fn trouble(&self) -> Trouble {
        match self {
            Self::Journal(JournalError::Held { .. } | JournalError::Lost(_))
            | Self::Health(_)
            | Self::Refused { .. } => Trouble::Final,
            Self::Journal(_) | Self::Cluster(_) | Self::Traffic(_) => match self.answer() {
                Some(error) if is_refusal(error) => Trouble::Refusal,
                Some(_) | None => Trouble::Passing,
            },
        }
    }

    /// Returns whether a change to the cluster was refused, and the cluster is there.
    fn refuses_change(&self) -> bool {
        self.answer().is_some_and(|error| {
            error.action != "read" && matches!(error.reason, Reason::Forbidden | Reason::Invalid)
        })
    }

    /// Returns whether another client changed the object at the same moment.
    fn is_conflict(&self) -> bool {
        self.answer()
            .is_some_and(|error| error.reason == Reason::Conflict)
    }
}

fn is_refusal(error: &ClusterError) -> bool {
    match error.reason {
        Reason::Forbidden => true,
        Reason::Invalid => error.action != "read",
        // What a creation does not find is the namespace, and there nothing comes back.
        Reason::NotFound => error.action == "create",
        Reason::NotServed
        | Reason::Unauthorized
        | Reason::Conflict
        | Reason::Exists
        | Reason::Throttled
        | Reason::Unavailable
        | Reason::Transport
        | Reason::Timeout
        | Reason::Garbled => false,
    }
}

// === impl Patience ===

impl Patience {
    /// Takes in a trouble that came `now`; the same refusal is met with other tries for `limit`.
    fn with(&mut self, error: &EngineError, now: Timestamp, limit: Duration) -> Remaining {
        let soon = error.is_conflict() && self.since.is_none();
        let since = *self.since.get_or_insert(now);
        let refused = error.answer().filter(|error| is_refusal(error));
        let refused = refused.map(|e| (e.action, e.what.clone(), e.reason));
        self.refusal = refused.map(|refused| match self.refusal.take() {
            Some((same, since)) if same == refused => (same, since),
            Some(_) | None => (refused, now),
        });
        let late = elapsed(since, now) >= API_PATIENCE;
        match &self.refusal {
            Some((_, since)) => Remaining {
                since: *since,
                limit,
                refusal: true,
                over: late || elapsed(*since, now) >= limit,
                soon,
            },
            None => Remaining {
                since,
                limit: API_PATIENCE,
                refusal: false,
                over: late,
                soon,
            },
        }
    }
}

impl fmt::Display for Remaining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = humantime::format_duration(self.limit);
        let of = if self.refusal {
            " of the same refusal"
        } else {
            ""
        };
        write!(f, "{limit}{of}")
    }
}

// === impl Engine ===

impl Engine {
    /// Returns what follows a round that failed, and says what is waited for.
    pub(super) fn stand(&mut self, error: &EngineError, patience: &mut Patience) -> Then {
        let trouble = error.trouble();
        if trouble == Trouble::Final {
            return Then::GiveUp(None);
        }
        let now = self.cluster.clock().now();
        // What is refused must not be taken for a version that does not come up in time.
        let ready = self.saved.release.plan.ready_timeout * 3 / 4;
        let left = patience.with(error, now, REFUSAL_PATIENCE.min(ready));
        // Before anything was done a refusal, or an answer that is none, is for whoever asked.
        let outage = error.answer().is_some_and(ClusterError::is_passing);
        if !self.is_begun() && !outage {
            return Then::GiveUp(None);
        }
        // Another member of the group may have moved the weight that both move.
        if left.soon && self.seat.is_some() {
            return Then::Again(SHORTEST);
        }
        if !left.over {
            self.say_waiting(
                &format!("{error}; tries again until {left} are over"),
                left.since,
            );
            return Then::Again(if left.soon { SHORTEST } else { PAUSE });
        }
        if trouble == Trouble::Refusal && error.refuses_change() && self.turns_back() {
            // The way back has a patience of its own, and a driver.
            *patience = Patience::default();
            if self.saved.release.holder.is_none() {
                self.saved.release.holder = Some(self.as_holder());
                self.saved.release.left = None;
            }
            self.refused = Some(format!("refused for {left}: {error}"));
            return Then::Again(SHORTEST);
        }
        Then::GiveUp(Some(left))
    }

    /// Returns whether the run was begun in the cluster; a dry one never is.
    fn is_begun(&self) -> bool {
        !self.cluster.is_dry() && (self.begun || self.claim.is_none())
    }

    /// Returns whether a refusal for good takes the canary out: once, on the way up, where the plan
    /// does not leave that to a person.
    fn turns_back(&self) -> bool {
        let release = &self.saved.release;
        release.plan.on_failure == OnTrouble::Rollback
            && release.phase < Phase::PromoteTemplate
            && self.refused.is_none()
    }

    /// Ends a sitting that cannot go on. Where the journal still is ours it is let go, so that the
    /// next sitting need not wait for us to be forgotten.
    pub(super) async fn give_up(
        &mut self,
        error: EngineError,
        left: Option<Remaining>,
    ) -> Result<super::End, EngineError> {
        let unsaved = matches!(error, EngineError::Journal(_));
        let outcome = left.as_ref().and_then(|_| self.stranded());
        let (Some(left), Some(outcome)) = (left, outcome) else {
            if !unsaved {
                let text = error.to_string();
                self.last_save(Outcome::Incomplete, text).await;
            }
            return Err(error);
        };
        let text = format!("{error}; tried again for {left}; {}", self.live_text());
        if outcome == Outcome::Paused {
            self.saved.release.reason = Some(text.clone());
        }
        let at = self.cluster.clock().now();
        let kind = EventKind::Ended {
            outcome,
            text: text.clone(),
            split: None,
        };
        let event = Event { at, kind };
        self.record(&event);
        if !unsaved {
            self.last_save(outcome, text.clone()).await;
        }
        (self.sink)(&event);
        self.saved.release.holder = None;
        Ok(super::End {
            outcome,
            cause: self.saved.release.cause,
            text,
            release: self.saved.release.clone(),
            stranded: true,
        })
    }

    /// Lets go of the run; whoever comes next waits a little longer where that fails.
    async fn last_save(&mut self, outcome: Outcome, text: String) {
        let clock = self.cluster.clock().clone();
        let saving = self.stop(outcome, text, false);
        drop(clock.timeout(LAST_SAVE, saving).await);
    }

    /// Returns how a run ends that can neither go on nor back; `None` where no traffic is or may be on
    /// the canary, and nothing is half done.
    fn stranded(&self) -> Option<Outcome> {
        if !self.is_begun() {
            return None;
        }
        let phase = self.saved.release.phase;
        if phase.is_retreat() || phase >= Phase::PromoteTemplate {
            return Some(Outcome::Incomplete);
        }
        self.may_be_live().then_some(Outcome::Paused)
    }

    /// Returns whether traffic is on the canary, as far as it was seen or is on its way.
    fn may_be_live(&self) -> bool {
        let aimed = self.aimed > Percent::ZERO;
        aimed
            || match &self.noticed {
                Some(seen) => seen.split.set.max(seen.split.actual) > Percent::ZERO,
                None => self.saved.release.target > Percent::ZERO,
            }
    }

    /// Returns which split a run leaves behind that was begun; `None` where none was.
    pub fn left_behind(&self) -> Option<String> {
        self.is_begun().then(|| self.live_text())
    }

    /// Returns which split is live, as far as is known.
    fn live_text(&self) -> String {
        let canary = &self.saved.release.canary;
        let Some(Noticed { at, split }) = &self.noticed else {
            let target = self.saved.release.target;
            return format!("the split was not read; {canary} was meant to have {target}");
        };
        let seen = format!(
            "{canary} had {} of the traffic at {}",
            split.actual,
            at.strftime("%H:%M:%SZ")
        );
        if self.aimed > split.actual {
            format!("{seen}, and may have {} since", self.aimed)
        } else {
            seen
        }
    }
}
