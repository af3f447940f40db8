//! The loop: observe → decide → journal → act → verify → report → wait.
//!
//! Owns: the order of these, resuming, and waiting. Must not: decide (that is `domain::decide`),
//! print, or read the environment. Intent is saved before each change; what a change achieved is
//! found by looking, never assumed.

mod act;
mod attended;
mod bind;
pub mod group;
mod keep;
mod observe;
mod patience;
mod route;
pub mod start;
pub mod status;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use tokio::sync::watch;
use tracing::{Instrument as _, debug, debug_span};

use crate::{
    cluster::{Cluster, ClusterError, audit::AuditEvent, wake::Wake},
    domain::{
        decide::{Action, Decision, Goal, Looks, Observation, Request, decide, elapsed, looks},
        event::{Event, EventKind},
        look::{Looked, next},
        release::{Cause, Entry, Left, Outcome, Phase, Process, Release},
        route::Standing,
        verdict::CheckResult,
        weight::Percent,
        workload::Track,
    },
    health::{HealthError, Probes, load::Runner},
    journal::{HEARTBEAT, Journal, JournalError, Saved},
    traffic::{Router, TrafficError},
};
use attended::Attended;
use group::{Seat, news_of};
use keep::Keeping;
use observe::{Before, First, Sight};
pub use patience::{API_PATIENCE, REFUSAL_PATIENCE};
use patience::{Noticed, Patience, Then};

/// Pause after a round that failed.
const PAUSE: Duration = Duration::from_secs(2);

/// Pause after a field was written again, whatever happens meanwhile.
const AGAIN: Duration = Duration::from_secs(1);

/// What takes less is not told as waiting.
const MOMENT: Duration = Duration::from_secs(1);

/// Longest time a Kubernetes Event may take, with all tries: it is a courtesy.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(3);

/// Pause after a Kubernetes Event that could not be written.
const AUDIT_PAUSE: Duration = Duration::from_secs(60);

/// Shortest wait: a wait always lets time pass.
const SHORTEST: Duration = Duration::from_millis(200);

/// Longest wait while pods come and go, should the watch be lost.
const MOVING: Duration = Duration::from_secs(5);

/// More events than one round can have.
const MOST_EVENTS: usize = 20;

/// Receives every event of a run.
pub type Sink = Box<dyn FnMut(&Event) + Send>;

/// How one sitting ended.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// How.
    pub outcome: Outcome,
    /// Why the release was ended before its plan, if it was.
    pub cause: Option<Cause>,
    /// The same as a sentence.
    pub text: String,
    /// The record at the end.
    pub release: Release,
    /// Whether the API server kept the run from what it was to do next.
    pub stranded: bool,
}

/// Indicates that a run cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The journal could not be read or written, or another driver has the run.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The API server refuses or does not answer.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Traffic could not be read or moved.
    #[error(transparent)]
    Traffic(#[from] TrafficError),
    /// A check cannot be used as configured.
    #[error(transparent)]
    Health(#[from] HealthError),
    /// The release cannot start as things are.
    #[error("{text}")]
    Refused {
        /// Why.
        text: String,
        /// The next thing to try.
        hint: String,
    },
}

/// How a sitting is driven.
pub struct Drive {
    /// How far to go.
    pub goal: Goal,
    /// One evaluation and at most one change.
    pub once: bool,
    /// What is asked of the run while it goes; `None` is nothing.
    pub requests: watch::Receiver<Option<Request>>,
}

/// A run being driven.
pub struct Engine {
    cluster: Cluster,
    journal: Option<Journal>,
    router: Box<dyn Router>,
    /// How the pieces of the run's own route stood when the router was bound.
    bound_at: Vec<Standing>,
    probes: Probes,
    service: Option<Service>,
    labels: BTreeMap<String, String>,
    /// What was seen last, so that only what changed is taken apart again.
    before: Before,
    /// What was read before the first round, until that uses it.
    first: Option<First>,
    /// The next save makes this process the driver; the value says whether it overtakes others.
    claim: Option<bool>,
    saved: Saved,
    /// What belongs to keeping the record.
    keeping: Keeping,
    /// The record as the cluster has it.
    persisted: Option<Release>,
    persisted_at: Timestamp,
    results: Results,
    load: Option<Runner>,
    waiting_for: String,
    /// Fields written in this phase, with when it began: writing one again waits a little.
    written: BTreeSet<((Phase, Timestamp), String)>,
    /// The latest change.
    wrote: Option<Timestamp>,
    audit_warned: bool,
    /// No Kubernetes Events are tried until then.
    audit_off: Option<Timestamp>,
    /// Until when pods are not asked again in place of a source that is behind.
    pods_silent_until: Option<Timestamp>,
    /// Ready pods of the canary at the last look.
    canary_pods: u32,
    unaudited: Vec<Event>,
    untold: Vec<Event>,
    canary_uid: Option<String>,
    attended: Attended,
    /// Its place at the board of its group, where it has one.
    seat: Option<Seat>,
    process: Option<Process>,
    /// Whether the run was begun before this sitting, or is a rollback: then it is not given up lightly.
    begun: bool,
    /// The split as it was seen last.
    noticed: Option<Noticed>,
    /// A weight that was written, or may have been, since the split was seen.
    aimed: Percent,
    /// The change on the way up that was refused for good.
    refused: Option<String>,
    holder: String,
    who: String,
    sink: Sink,
}

/// Latest results of the checks, valid for one phase.
#[derive(Default)]
struct Results {
    phase: Option<(Phase, Timestamp)>,
    looked: Looked,
    canary: Vec<CheckResult>,
    stable: Vec<CheckResult>,
}

// === impl Engine ===

impl Engine {
    /// Drives the run until it ends, stops, or cannot go on.
    pub async fn run(&mut self, mut drive: Drive) -> Result<End, EngineError> {
        let wake = self.cluster.wake(&self.labels);
        let mut patience = Patience::default();
        let mut rounds = 0_u64;
        loop {
            rounds += 1;
            let span = debug_span!("round", run = %self.saved.release.id, number = rounds);
            let asked = *drive.requests.borrow_and_update();
            let request = Box::pin(self.with_approval(asked)).await;
            match Box::pin(self.round(&drive, request)).instrument(span).await {
                Ok(Next::Again) => {}
                Ok(Next::Wait { until, moving }) => {
                    patience = Patience::default();
                    if drive.once && self.may_have_news() {
                        self.await_news().await;
                        continue;
                    }
                    if drive.once {
                        return self.rest().await;
                    }
                    let until = self.next_look().map_or(until, |look| until.min(look));
                    self.wait(until, moving, &wake, &mut drive.requests).await;
                }
                Ok(Next::Acted) if drive.once => return self.rest().await,
                Ok(Next::Acted) => patience = Patience::default(),
                Ok(Next::End(end)) => return Ok(*end),
                Err(error) => match self.stand(&error, &mut patience) {
                    Then::Again(pause) => self.cluster.clock().sleep(pause).await,
                    Then::GiveUp(left) => return self.give_up(error, left).await,
                },
            }
        }
    }

    /// Returns the record as it is meant now.
    pub fn release(&self) -> &Release {
        &self.saved.release
    }

    /// Sends an event to the sink without a trace in the journal.
    pub fn tell(&mut self, kind: EventKind) {
        let at = self.cluster.clock().now();
        (self.sink)(&Event { at, kind });
    }

    async fn round(
        &mut self,
        drive: &Drive,
        request: Option<Request>,
    ) -> Result<Next, EngineError> {
        let (sight, mut seen) = self.observe(drive.goal, request).await?;
        let sides = &sight.sides;
        self.note_anchor(sides.live(Track::Stable), sides.live(Track::Canary));
        self.note_start(seen.split.actual);
        seen.group = self.seat.as_mut().map(Seat::read);
        self.skip_unattended(&mut seen);
        let undecided = (self.saved.release.clone(), self.untold.len());
        let (action, events) = self.decide(&sight, &mut seen)?;
        self.set_gate()?;
        let acts = !matches!(action, Action::Look | Action::Wait { .. });
        let release = &self.saved.release;
        let (phase, target) = (release.phase.words(), release.target);
        debug!(phase, %target, actual = %seen.split.actual, acts, "decided");
        // Told only when it is recorded, and not forgotten when recording takes another try.
        self.untold.extend(events);
        match Box::pin(self.save(acts)).await {
            // What was decided is overruled: nothing of it is done.
            Ok(Recorded::Saved) if self.is_asked_back() => return Ok(Next::Again),
            Ok(Recorded::Saved) => {}
            Ok(Recorded::Overtaken) => return Ok(Next::Again),
            Err(error) => {
                self.undecide(undecided);
                return Err(error);
            }
        }
        self.publish(&seen);
        Box::pin(self.open_gate()).await;
        let events = std::mem::take(&mut self.untold);
        for event in &events {
            (self.sink)(event);
        }
        self.steer_load(&sight.sides, &seen);
        let next = match action {
            Action::Wait { until, what } => {
                self.say_waiting(&what, self.saved.release.since);
                Ok(Next::Wait {
                    until,
                    moving: false,
                })
            }
            Action::Look => Ok(Next::Again),
            Action::Stop(outcome, text) => self.stop(outcome, text, false).await.map(Next::End),
            action @ (Action::CreateCanary
            | Action::SetImages
            | Action::Shift(_)
            | Action::Scale(..)
            | Action::UpdateStable
            | Action::RestoreStable
            | Action::DeleteCanary
            | Action::MakeRoute(_)
            | Action::TakeRoute(_)
            | Action::Unpin) => self.carry_out(action, &sight, &seen).await,
        };
        // The trail on the Deployment comes when there is time: nothing delays moving traffic.
        self.unaudited.extend(events);
        if matches!(next, Ok(Next::Wait { .. } | Next::End(_))) {
            self.audit_all().await;
        }
        next
    }

    /// Decides what to do. Where that is a phase that waits for no look of its own, such as a rollback,
    /// its first action is decided on the same sight: what is urgent does not wait for a second one.
    fn decide(
        &mut self,
        sight: &Sight,
        seen: &mut Observation,
    ) -> Result<(Action, Vec<Event>), EngineError> {
        let mut all = Vec::new();
        loop {
            let before = self.saved.release.phase;
            let Decision {
                release,
                action,
                events,
            } = decide(&self.saved.release, seen);
            self.saved.release = release;
            for event in &events {
                self.record(event);
            }
            all.extend(events);
            let release = &self.saved.release;
            let entered = release.phase != before
                && (release.phase.is_retreat() || waits_for_no_look(release));
            if action != Action::Look || !entered || all.len() > MOST_EVENTS {
                return Ok((action, all));
            }
            seen.split = self.router.read(release.target, &sight.scene())?;
            seen.canary_checks.clear();
            seen.stable_checks.clear();
        }
    }

    /// Adds what was live to the announcement of a run that has just begun.
    fn note_start(&mut self, actual: Percent) {
        for event in &mut self.untold {
            if let EventKind::Started { live, .. } = &mut event.kind {
                live.get_or_insert(actual);
            }
        }
    }

    /// Takes back what was decided and could not be recorded, where it leads further up: when recording
    /// succeeds at last, what it was decided on may be old, and it is decided again.
    fn undecide(&mut self, (before, untold): (Release, usize)) {
        let now = &self.saved.release;
        if now.ending.is_some() || now.phase == before.phase && now.step == before.step {
            return;
        }
        self.saved.release = before;
        self.untold.truncate(untold);
    }

    /// Acts. A field that was written before in the same phase did not keep its value, or goes on
    /// step by step: then there is a pause before the next look, so that nothing is repeated without
    /// time passing.
    async fn carry_out(
        &mut self,
        action: Action,
        sight: &Sight,
        seen: &Observation,
    ) -> Result<Next, EngineError> {
        if let Action::Shift(weight) = action {
            self.aimed = weight;
        }
        let fields = self.act(&action, sight).await?;
        let phase = (self.saved.release.phase, self.saved.release.since);
        self.written.retain(|(then, _)| *then == phase);
        let now = self.cluster.clock().now();
        if fields.is_empty() {
            // What follows a change within a moment is no waiting.
            if self.wrote.is_none_or(|at| elapsed(at, now) >= MOMENT) {
                let what = seen.split.waits_for.clone().unwrap_or_default();
                self.say_waiting(&what, self.saved.release.since);
            }
        } else {
            self.wrote = Some(now);
            let before = self.written.len() + fields.len();
            let fields = fields.into_iter().map(|field| (phase, field));
            self.written.extend(fields);
            if self.written.len() == before {
                return Ok(Next::Acted);
            }
            self.cluster.clock().sleep(AGAIN).await;
        }
        Ok(Next::Wait {
            until: seen.now,
            moving: true,
        })
    }

    /// Ends the sitting: lets go of the run and says how it went.
    async fn stop(
        &mut self,
        outcome: Outcome,
        text: String,
        tick: bool,
    ) -> Result<Box<End>, EngineError> {
        self.load = None;
        self.saved.release.holder = None;
        let at = self.cluster.clock().now();
        let over = self.saved.release.is_over();
        self.saved.release.left = (!over).then_some(Left { at, tick });
        // A run that was never claimed is not ours to let go of.
        if self.claim.is_none() {
            Box::pin(self.save(false)).await?;
            self.settle_anchor().await;
        }
        Ok(Box::new(End {
            outcome,
            cause: self.saved.release.cause,
            text,
            release: self.saved.release.clone(),
            stranded: false,
        }))
    }

    /// Ends a single tick: the run goes on with the next one.
    async fn rest(&mut self) -> Result<End, EngineError> {
        let text = self.waiting_for.clone();
        self.audit_all().await;
        self.stop(Outcome::AtWeight, text, true)
            .await
            .map(|end| *end)
    }

    /// Adds an event to the trail, where it belongs there.
    fn record(&mut self, event: &Event) {
        if event.kind.is_transition() {
            self.saved.release.note(Entry {
                at: event.at,
                who: self.who.clone(),
                what: event.kind.word().to_owned(),
                text: event.kind.sentence(),
            });
        }
    }

    /// Writes what has not been written yet as Kubernetes Events.
    async fn audit_all(&mut self) {
        for event in std::mem::take(&mut self.unaudited) {
            let now = self.cluster.clock().now();
            let off = self.audit_off.is_some_and(|until| now < until);
            if event.kind.is_transition() && !off {
                self.audit(&event).await;
            }
        }
    }

    /// Writes a Kubernetes Event; a failure is a warning, said once, and the next tries pause.
    async fn audit(&mut self, event: &Event) {
        let note = event.kind.sentence();
        let event = AuditEvent {
            deployment: &self.saved.release.canary,
            uid: self.canary_uid.as_deref(),
            at: event.at,
            reason: event.kind.word(),
            note: &note,
            who: &self.who,
            warning: event.kind.is_warning(),
        };
        let writing = self.cluster.audit(&event);
        let error = match self.cluster.clock().timeout(AUDIT_TIMEOUT, writing).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(elapsed) => elapsed.to_string(),
        };
        let until = self.cluster.clock().now().checked_add(AUDIT_PAUSE);
        self.audit_off = until.ok();
        if !self.audit_warned {
            self.audit_warned = true;
            let text = format!("no Kubernetes Events are written: {error}");
            self.tell(EventKind::Warning { text });
        }
    }

    /// Returns when checks are due next, where there are any.
    fn next_look(&self) -> Option<Timestamp> {
        let release = &self.saved.release;
        if waits_for_no_look(release) {
            return None;
        }
        let moment = (self.cluster.clock().now(), self.sees_at_once());
        next(release, self.results.looked, moment)
    }

    fn say_waiting(&mut self, what: &str, since: Timestamp) {
        if self.waiting_for != what && !what.is_empty() {
            what.clone_into(&mut self.waiting_for);
            let what = what.to_owned();
            self.tell(EventKind::Waiting { what, since });
        }
    }

    async fn wait(
        &mut self,
        until: Timestamp,
        moving: bool,
        wake: &Wake,
        requests: &mut watch::Receiver<Option<Request>>,
    ) {
        let clock = self.cluster.clock().clone();
        let now = clock.now();
        let longest = if moving { MOVING } else { HEARTBEAT };
        let asked = if moving { longest } else { elapsed(now, until) };
        let pause = asked.clamp(SHORTEST, longest);
        self.attended.plan(pause);
        tokio::select! {
            biased;
            Ok(()) = requests.changed() => {}
            () = wake.changed() => {}
            () = news_of(&mut self.seat) => {}
            () = clock.sleep(pause) => {}
        }
    }
}

/// What became of a save.
#[derive(Debug, PartialEq, Eq)]
enum Recorded {
    /// The record is as it is meant.
    Saved,
    /// Another driver had saved: what is meant has to be decided again.
    Overtaken,
}

/// What follows a round.
enum Next {
    /// Look again at once.
    Again,
    /// Something was changed; look again at once.
    Acted,
    /// Nothing to do until then.
    Wait {
        /// When to look again at the latest.
        until: Timestamp,
        /// Whether pods are expected to come and go.
        moving: bool,
    },
    /// The sitting is over.
    End(Box<End>),
}

/// Returns whether no check is looked at in the present phase, whatever the weight is.
fn waits_for_no_look(release: &Release) -> bool {
    looks(release, release.since, Percent::ZERO) == Looks::Nothing
}

/// Returns the share of requests each side gets, for a load.
fn shares(actual: Percent) -> (f64, f64) {
    (actual.rest().fraction(), actual.fraction())
}
