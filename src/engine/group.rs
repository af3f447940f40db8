//! A run as a member of a group: its seat at the board that all members share.
//!
//! Owns: reading the board, and writing the run's own standing on it. Must not: decide what the others'
//! standings mean; `domain::group` does. A standing is on the board once its record is saved, and before
//! anything is done by it.

use std::sync::Arc;

use tokio::sync::watch;

use super::{End, Engine, EngineError};
use crate::{
    domain::{
        decide::Observation,
        group::{Board, Standing, State},
        release::Release,
    },
    journal::{Journal, JournalError},
};

/// A board that several runs of one process share.
pub type Shared = Arc<watch::Sender<Board>>;

/// The place of one run at the board.
pub(super) struct Seat {
    board: Shared,
    news: watch::Receiver<Board>,
}

impl Seat {
    /// Returns the board as it is now; what is written on it later is news.
    pub(super) fn read(&mut self) -> Board {
        self.news.borrow_and_update().clone()
    }

    /// Waits until the board says something new.
    pub(super) async fn news(&mut self) {
        if self.news.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Waits for news of a board, for ever where there is none.
pub(super) async fn news_of(seat: &mut Option<Seat>) {
    match seat {
        Some(seat) => seat.news().await,
        None => std::future::pending().await,
    }
}

impl Engine {
    /// Gives the run its place at a board, on which its standing is already.
    pub fn sit(&mut self, board: &Shared) {
        self.seat = Some(Seat {
            board: board.clone(),
            news: board.subscribe(),
        });
    }

    /// Writes on the board where the run is.
    pub(super) fn publish(&self, seen: &Observation) {
        let Some(seat) = &self.seat else {
            return;
        };
        let release = &self.saved.release;
        let split = (&seen.split, seen.grain);
        let standing = Standing::of(release).seen(release, split, seen.canary.as_ref(), seen.now);
        seat.board.send_if_modified(|board| board.take(standing));
    }

    /// Returns whether a tick that waits for another member may find it further on at once: that member has
    /// not been looked at in this tick.
    pub(super) fn may_have_news(&self) -> bool {
        let seat = self.seat.as_ref();
        seat.is_some_and(|seat| {
            let app = &self.saved.release.app;
            !seat.board.borrow().has_looked_beside(app)
        })
    }

    /// Waits until another member has written on the board.
    pub(super) async fn await_news(&mut self) {
        news_of(&mut self.seat).await;
    }

    /// Writes on the board how the sitting ended, and returns the run as it is recorded then: whoever took it
    /// over may have taken it back.
    pub async fn leave(&mut self, outcome: &Result<End, EngineError>, once: bool) -> Release {
        let mut release = self.saved.release.clone();
        if let Err(EngineError::Journal(JournalError::Lost(_) | JournalError::Held { .. })) =
            outcome
            && let Some(theirs) = self.by_others().await
        {
            release = theirs;
        }
        let Some(seat) = &self.seat else {
            return release;
        };
        let text = match outcome {
            Ok(end) => end.text.clone(),
            Err(error) => error.to_string(),
        };
        seat.board.send_if_modified(|board| {
            let mut standing = Standing::of(&release);
            if let Some(before) = board.of(&release.app) {
                (standing.room, standing.looked) = (before.room, before.looked);
            }
            let rests = once && outcome.is_ok() && standing.state == State::Up;
            board.take(if rests {
                standing
            } else {
                standing.stopped(&text)
            })
        });
        release
    }

    /// Returns the record that somebody else keeps of this run.
    async fn by_others(&self) -> Option<Release> {
        let app = &self.saved.release.app;
        let journal = Journal::new(self.cluster.clone(), app);
        let theirs = journal.load().await.ok().flatten()?.authentic()?;
        (theirs.release.id == self.saved.release.id).then_some(theirs.release)
    }
}
