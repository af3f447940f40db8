//! Keeping the record: saving it, making it count, and the gate of a step that waits.
//!
//! Owns: when the record is saved, what follows when it cannot be, and the anchor of its key. Must not:
//! decide where the run goes. On the way back no trouble with the record holds the traffic up.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::{Engine, EngineError, Recorded, start::Intent};
use crate::{
    cluster::{Reason, workloads::Live},
    domain::{
        decide::{Request, elapsed},
        event::EventKind,
        release::{Outcome, Phase, Release},
    },
    journal::{
        HEARTBEAT, Journal, JournalError, Kept,
        anchor::{Anchor, Stage, place},
        approve::{self, Answer},
    },
};

/// Longest time that a rollback waits for its record before it moves traffic all the same.
const PATIENCE: Duration = Duration::from_secs(5);

/// What belongs to keeping the record.
pub(super) struct Keeping {
    /// The stable Deployment as it was seen last.
    stable: Option<Live>,
    /// The canary Deployment as it was seen last.
    canary: Option<Live>,
    /// What it says of whose records count, as it was seen or written last.
    anchored: Option<Anchor>,
    /// The anchor that is being made beside all else.
    anchoring: Option<JoinHandle<Result<Anchor, JournalError>>>,
    need: Need,
    /// The token of the gate that is known to be open.
    open: Option<String>,
    /// Somebody asked for a rollback in the place of our record.
    asked_back: bool,
    /// It was said that there is no journal on the way back.
    without_said: bool,
    /// The journal that is refused on the way back: the record of the way up stays there.
    refused: Option<Journal>,
}

/// Whether records of this process have to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// A run whose records do not count must not begin: others could never take it up.
    Must,
    /// It is better so.
    Better,
    /// It was refused, and said.
    None,
}

impl Keeping {
    /// Returns what a sitting with this intent begins with.
    pub(super) fn of(intent: &Intent) -> Self {
        let must = matches!(intent, Intent::Auto { .. } | Intent::Promote);
        Self {
            stable: None,
            canary: None,
            anchored: None,
            anchoring: None,
            need: if must { Need::Must } else { Need::Better },
            open: None,
            asked_back: false,
            without_said: false,
            refused: None,
        }
    }
}

impl Engine {
    /// Notes what the stable Deployment says of whose records count, and the other one, which may have been
    /// stable before.
    pub(super) fn note_anchor(&mut self, stable: Option<&Live>, canary: Option<&Live>) {
        self.keeping.canary = canary.cloned();
        self.keeping.anchored = stable.and_then(|live| Anchor::read(&place(&live.object)));
        self.keeping.stable = stable.cloned();
    }

    /// Saves the record when it changed, when a change to the cluster follows, or as a heartbeat.
    /// Looks that found all in order wait for the heartbeat: should they be lost, they are made again.
    pub(super) async fn save(&mut self, acts: bool) -> Result<Recorded, EngineError> {
        let Some(journal) = self.journal.clone() else {
            self.claim = None;
            if let Some(journal) = self.keeping.refused.clone() {
                Box::pin(self.raise_stage(&journal)).await;
            }
            return Ok(Recorded::Saved);
        };
        let now = self.cluster.clock().now();
        if self.saved.release.is_over() {
            // Nobody drives what is over. Let go in the same write: a kill after it changes nothing.
            self.saved.release.holder = None;
        }
        let release = &mut self.saved.release;
        let persisted = self.persisted.as_mut();
        let changed = persisted.is_none_or(|persisted| !release.only_looked_since(persisted));
        // Now or half a look too late: the sign of life is not worth a round of its own.
        let late = (release.plan.interval / 2).min(HEARTBEAT / 2);
        let due = elapsed(self.persisted_at, now) + late >= HEARTBEAT;
        if !changed && !acts && !due {
            return Ok(Recorded::Saved);
        }
        if let Some(holder) = &mut self.saved.release.holder {
            holder.heartbeat = now;
        }
        let outcome = if is_on_the_way_back(&self.saved.release) {
            Box::pin(self.save_in_retreat(&journal)).await
        } else {
            if !self.may_be_superseded() {
                Box::pin(self.add_key(&journal)).await?;
            }
            Box::pin(journal.save(&mut self.saved)).await.map(Some)
        };
        match outcome {
            Ok(None) => {
                Box::pin(self.raise_stage(&journal)).await;
                return Ok(Recorded::Saved);
            }
            Ok(Some(kept)) => self.tell_of(kept),
            // The driver before saved between our reading and our saving: it does so all the time,
            // and must not keep a rollback out by it.
            Err(JournalError::Lost(_)) if self.claim == Some(true) => {
                return Box::pin(self.overtake(&journal)).await;
            }
            Err(error) => return Err(error.into()),
        }
        self.claim = None;
        self.persisted = Some(self.saved.release.clone());
        self.persisted_at = now;
        // The record that is there is ours, whatever became of the key.
        if is_on_the_way_back(&self.saved.release) {
            self.add_key_beside(&journal);
        } else {
            Box::pin(self.add_key(&journal)).await?;
        }
        Box::pin(self.raise_stage(&journal)).await;
        Ok(Recorded::Saved)
    }

    /// Saves the record of a run that takes the canary out of the traffic. `None`: it could not be saved,
    /// and the traffic is moved all the same.
    async fn save_in_retreat(&mut self, journal: &Journal) -> Result<Option<Kept>, JournalError> {
        let clock = self.cluster.clock().clone();
        if !self.may_be_superseded() {
            self.add_key_beside(journal);
        }
        let saving = Box::pin(journal.save(&mut self.saved));
        let saved = match clock.timeout(PATIENCE, saving).await {
            Ok(saved) => saved,
            Err(late) => {
                self.warn_without(&late.to_string());
                return Ok(None);
            }
        };
        match saved {
            Ok(kept) => Ok(Some(kept)),
            Err(JournalError::Lost(who)) if self.claim == Some(true) => {
                Err(JournalError::Lost(who))
            }
            Err(error) => {
                let passing = matches!(&error, JournalError::Cluster(e) if e.reason.is_outage());
                if !passing {
                    // It will be refused the next time, too; or somebody else keeps it now.
                    let ours = matches!(error, JournalError::Cluster(_));
                    self.keeping.refused = self.journal.take().filter(|_| ours);
                    self.claim = None;
                }
                self.warn_without(&error.to_string());
                Ok(None)
            }
        }
    }

    fn warn_without(&mut self, why: &str) {
        if !self.keeping.without_said {
            self.keeping.without_said = true;
            let text = format!("rolling back without the journal: {why}");
            self.tell(EventKind::Warning { text });
        }
    }

    fn warn_unanchored(&mut self, error: &JournalError) {
        if self.keeping.need != Need::None {
            self.keeping.need = Need::None;
            let text = format!("the record of this run cannot be verified by others: {error}");
            self.tell(EventKind::Warning { text });
        }
    }

    /// Says what became of a record that somebody else had changed.
    fn tell_of(&mut self, kept: Kept) {
        if let Some(how) = kept.mended {
            let what = self.journal.as_ref().map(Journal::what);
            let what = what.unwrap_or_default();
            let text = format!("{what} is no record of this run and is rewritten: {how}");
            self.tell(EventKind::Warning { text });
        }
        if let Some(who) = kept.asked_back {
            self.keeping.asked_back = true;
            let text = format!("{who} asks for a rollback in the journal: rolling back");
            self.tell(EventKind::Warning { text });
        }
    }

    /// Takes up the record as another driver left it; what was decided on ours is decided again.
    async fn overtake(&mut self, journal: &Journal) -> Result<Recorded, EngineError> {
        if let Some(there) = journal.load().await? {
            there.refuse_newer()?;
            if let Some(there) = there.authentic() {
                self.saved = there;
            }
            self.saved.release.holder = Some(self.as_holder());
            self.untold
                .retain(|event| matches!(event.kind, EventKind::Resumed { .. }));
            for event in self.untold.clone() {
                self.record(&event);
            }
        }
        Ok(Recorded::Overtaken)
    }

    // --- the anchor -----------------------------------------------------------------------------

    /// Returns whether records of this process do not count yet.
    fn needs_key(&self, journal: &Journal) -> bool {
        let Ok(own) = journal.key() else {
            return false;
        };
        let counts = |anchor: &Anchor| anchor.knows(own);
        self.keeping.anchoring.is_none()
            && self.keeping.need != Need::None
            && !self.of_this_run().is_some_and(counts)
    }

    /// Returns the anchor, where it is about this run.
    fn of_this_run(&self) -> Option<&Anchor> {
        let run = &self.saved.release.id;
        let anchored = self.keeping.anchored.as_ref();
        anchored.filter(|anchor| anchor.run == *run)
    }

    /// Returns whether somebody else's key took the place of ours while we drive: then somebody takes the
    /// run over, and its record is met before ours is made to count again.
    fn may_be_superseded(&self) -> bool {
        self.claim.is_none() && self.of_this_run().is_some()
    }

    /// Returns the stage of this run, as far as the anchor knows it.
    fn stage_seen(&self) -> Stage {
        self.of_this_run()
            .map_or(Stage::Forward, |anchor| anchor.stage)
    }

    /// Has the records of this process count before the first is saved: in the other order a kill in
    /// between would leave a record that nobody believes.
    async fn add_key(&mut self, journal: &Journal) -> Result<(), EngineError> {
        let Some(stable) = self
            .keeping
            .stable
            .clone()
            .filter(|_| self.needs_key(journal))
        else {
            return Ok(());
        };
        // Where the record is refused nothing is changed at all.
        journal.try_save(&mut self.saved).await?;
        match journal
            .anchor(&stable, &self.saved, self.stage_seen())
            .await
        {
            Ok(anchor) => self.keeping.anchored = Some(anchor),
            Err(JournalError::Cluster(error))
                if error.reason == Reason::Garbled
                    || self.keeping.need != Need::Must
                        && matches!(error.reason, Reason::Forbidden | Reason::Invalid) =>
            {
                self.warn_unanchored(&error.into());
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// The same on the way back, beside all else: traffic does not wait for it.
    fn add_key_beside(&mut self, journal: &Journal) {
        let stable = self.keeping.stable.clone();
        let Some(stable) = stable.filter(|_| self.needs_key(journal)) else {
            return;
        };
        let (journal, saved, stage) = (journal.clone(), self.saved.clone(), self.stage_seen());
        let anchoring = async move { journal.anchor(&stable, &saved, stage).await };
        self.keeping.anchoring = Some(tokio::spawn(anchoring));
    }

    /// Returns whether somebody asked for a rollback in the place of our record, and the run is not on its
    /// way back yet.
    pub(super) fn is_asked_back(&self) -> bool {
        self.keeping.asked_back && !is_on_the_way_back(&self.saved.release)
    }

    /// Waits for the anchor that is being made beside all else.
    pub(super) async fn settle_anchor(&mut self) {
        let Some(anchoring) = self.keeping.anchoring.take() else {
            return;
        };
        let settled = self.cluster.clock().timeout(PATIENCE, anchoring).await;
        match settled {
            Ok(Ok(Ok(anchor))) => self.keeping.anchored = Some(anchor),
            Ok(Ok(Err(error))) => self.warn_unanchored(&error),
            // It takes too long, or its task is gone: the record counts for nobody else until then.
            Ok(Err(_)) | Err(_) => {}
        }
    }

    /// Notes at the Deployment how far the run has come, so that no older record counts any more. The
    /// traffic comes first, and a record that counts a little longer is no reason to stop.
    async fn raise_stage(&mut self, journal: &Journal) {
        if self.saved.release.phase.is_retreat() {
            return;
        }
        self.settle_anchor().await;
        let stage = Stage::of(&self.saved.release);
        if self.keeping.need == Need::None || stage <= self.stage_seen() {
            return;
        }
        if self.needs_key(journal) {
            return;
        }
        let run = self.saved.release.id.clone();
        let is_marked =
            |live: &Live| Anchor::read(&place(&live.object)).is_some_and(|a| a.run == run);
        // Where the sides have changed places the mark may be on the other one.
        let other = self.keeping.canary.clone().filter(is_marked);
        for side in self.keeping.stable.clone().into_iter().chain(other) {
            if let Ok(anchor) = journal.anchor(&side, &self.saved, stage).await {
                self.keeping.anchored = Some(anchor);
            }
        }
    }

    // --- the gate -------------------------------------------------------------------------------

    /// Returns what is asked of the run, or an approval where one was given to the waiting step.
    pub(super) async fn with_approval(&mut self, asked: Option<Request>) -> Option<Request> {
        if self.keeping.asked_back {
            return Some(Request::Rollback);
        }
        let release = &self.saved.release;
        let gate = release.gate.as_ref();
        let waits = release.phase == Phase::Approving && self.journal.is_some();
        let Some(gate) = gate.filter(|_| waits && asked.is_none()) else {
            return asked;
        };
        // Without an answer nothing is approved; the next round asks again.
        let answer = approve::answer(&self.cluster, &release.app, gate).await;
        let (open, approved) = match answer.ok()? {
            Answer::Approved(_) => (true, true),
            Answer::Waiting => (true, false),
            Answer::Closed => (false, false),
        };
        self.keeping.open = open.then(|| gate.token.clone());
        approved.then_some(Request::Approve)
    }

    /// Gives a step that begins to wait its gate; it keeps it until the next step.
    pub(super) fn set_gate(&mut self) -> Result<(), EngineError> {
        let release = &mut self.saved.release;
        let step = release.step;
        if release.gate.as_ref().is_some_and(|gate| gate.step != step) {
            release.gate = None;
        }
        if release.phase == Phase::Approving && release.gate.is_none() && self.journal.is_some() {
            release.gate = Some(approve::gate(step)?);
        }
        Ok(())
    }

    /// Lets people approve the step that waits; a failure is a warning, and the next round tries again.
    pub(super) async fn open_gate(&mut self) {
        let release = &self.saved.release;
        let waits = release.phase == Phase::Approving && !release.approved;
        let Some(gate) = release.gate.clone().filter(|_| waits) else {
            return;
        };
        if self.journal.is_none() || self.keeping.open.as_ref() == Some(&gate.token) {
            return;
        }
        match approve::open(&self.cluster, release, &gate).await {
            Ok(()) => self.keeping.open = Some(gate.token),
            Err(error) => {
                let text = format!("step {} cannot be approved: {error}", gate.step + 1);
                self.tell(EventKind::Warning { text });
            }
        }
    }
}

/// Returns whether the canary leaves the traffic, or has left it.
fn is_on_the_way_back(release: &Release) -> bool {
    let clearing = matches!(
        release.phase,
        Phase::Draining | Phase::Cleaning | Phase::Ended
    );
    release.phase.is_retreat() || clearing && release.ending == Some(Outcome::RolledBack)
}
