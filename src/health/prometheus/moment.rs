//! At which moment of the server the queries of one look are evaluated.
//!
//! Owns: how far the server's clock is from ours. Must not: send queries.
//!
//! Two queries of one look that are evaluated at two moments count different requests: the errors of one
//! moment would stand beside the total of another. So all of them name one moment, by the server's clock: it
//! is told by the first answer, and again after a while.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Mutex, MutexGuard};

use crate::{clock::Clock, domain::meters::seconds};

/// How long what was learned of the server's clock is used.
const KEPT: SignedDuration = SignedDuration::from_secs(600);

/// How long a query waits for another one to learn the server's clock: a server may answer none.
const PATIENCE: Duration = Duration::from_secs(1);

/// The clock of a server.
#[derive(Default)]
pub(super) struct ServerTime(Mutex<Option<Learned>>);

struct Learned {
    /// Seconds that the server is ahead of us.
    ahead: f64,
    at: Timestamp,
}

/// A query that names no moment, whose answer tells the server's clock; others wait for it.
pub(super) struct Learning<'t>(MutexGuard<'t, Option<Learned>>);

/// When a query is evaluated.
pub(super) enum Evaluated<'t> {
    /// At these seconds since 1970.
    At(f64),
    /// Now, whenever that is.
    Now(Option<Learning<'t>>),
}

impl ServerTime {
    /// Returns when the queries of a look that began at `look` are evaluated.
    pub(super) async fn of(&self, look: Timestamp, clock: &Clock) -> Evaluated<'_> {
        let Ok(known) = clock.timeout(PATIENCE, self.0.lock()).await else {
            return Evaluated::Now(None);
        };
        match known.as_ref() {
            Some(learned) if look.duration_since(learned.at).abs() < KEPT => {
                Evaluated::At(since_1970(look) + learned.ahead)
            }
            Some(_) | None => Evaluated::Now(Some(Learning(known))),
        }
    }
}

impl Learning<'_> {
    /// Takes the moment `at` of an answer, in seconds since 1970, for that at which it was `asked`.
    pub(super) fn told(mut self, asked: Timestamp, at: Option<f64>) {
        let at = at.filter(|at| at.is_finite());
        *self.0 = at.map(|at| Learned {
            ahead: at - since_1970(asked),
            at: asked,
        });
    }
}

/// Returns the seconds since 1970, as Prometheus counts.
fn since_1970(moment: Timestamp) -> f64 {
    seconds(Timestamp::UNIX_EPOCH, moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(time: &Evaluated<'_>, asked: Timestamp) -> Option<f64> {
        match time {
            Evaluated::At(at) => Some(at - since_1970(asked)),
            Evaluated::Now(_) => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_learned_of_a_clock_holds_for_a_while() {
        let (time, clock) = (ServerTime::default(), Clock::System);
        let asked: Timestamp = "2026-01-05T09:00:00Z".parse().unwrap();
        let Evaluated::Now(Some(learning)) = time.of(asked, &clock).await else {
            panic!("known before any answer");
        };
        learning.told(asked, Some(since_1970(asked) + 7.5));
        for (later, expected) in [
            (0, Some(7.5)),
            (599, Some(606.5)),
            (600, None),
            (-600, None),
        ] {
            let look = asked + SignedDuration::from_secs(later);
            let at = time.of(look, &clock).await;
            assert_eq!(seen(&at, asked), expected, "{later}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_long_for_a_server_that_does_not_answer() {
        let (time, clock) = (ServerTime::default(), Clock::System);
        let asked: Timestamp = "2026-01-05T09:00:00Z".parse().unwrap();
        let first = time.of(asked, &clock).await;
        assert!(matches!(first, Evaluated::Now(Some(_))));
        let second = time.of(asked, &clock).await;
        assert!(matches!(second, Evaluated::Now(None)));
    }

    #[tokio::test]
    async fn an_answer_without_series_teaches_nothing() {
        let (time, clock) = (ServerTime::default(), Clock::System);
        let asked: Timestamp = "2026-01-05T09:00:00Z".parse().unwrap();
        for told in [None, Some(f64::NAN)] {
            let Evaluated::Now(Some(learning)) = time.of(asked, &clock).await else {
                panic!("learned from nothing");
            };
            learning.told(asked, told);
        }
    }
}
