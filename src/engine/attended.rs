//! Time in which nobody looked.
//!
//! Owns: how much of the time between two rounds counts for a hold and against a wait. Must not: decide
//! anything. A process that was stopped, a machine that was suspended, an API server that did not answer:
//! what nobody could look at proved nothing, and nobody is late for it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::pin;

use super::Engine;
use crate::{
    clock::Clock,
    domain::{
        decide::Observation,
        event::{Event, EventKind},
    },
};

/// How much longer than it waited for and looked a round may take; the rest of its time is dead.
const SLACK: Duration = Duration::from_secs(10);

/// How often is noticed, during a look, that the process runs.
const PULSE: Duration = Duration::from_secs(1);

/// How long a pulse may be late.
const LATE: Duration = Duration::from_secs(4);

/// Dead time that is worth a word.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// What is known of the time since the last round.
#[derive(Debug)]
pub(super) struct Attended {
    /// When the last round had seen what it decided on, on a clock that never jumps.
    seen: Duration,
    /// How long it was to be waited since.
    planned: Duration,
    /// How long the checks of this round were looked at, where they were.
    looked: Option<Duration>,
}

impl Attended {
    /// Begins now.
    pub(super) fn new(clock: &Clock) -> Self {
        Self {
            seen: clock.uptime(),
            planned: Duration::ZERO,
            looked: None,
        }
    }

    /// Notes a wait that is meant.
    pub(super) fn plan(&mut self, pause: Duration) {
        self.planned += pause;
    }

    /// Ends a round at `now`, of which `slack` is nobody's fault; returns its dead time, and whether its
    /// checks were looked at.
    fn round(&mut self, now: Duration, slack: Duration) -> (Duration, bool) {
        let looked = self.looked.take();
        let counts = self.planned + looked.unwrap_or_default() + slack;
        let spent = now.saturating_sub(self.seen);
        (self.seen, self.planned) = (now, Duration::ZERO);
        (spent.saturating_sub(counts), looked.is_some())
    }
}

/// Runs a look; returns with what it saw how long it took, without the time in which this process did
/// not run.
pub(super) async fn attend<F: Future>(clock: &Clock, look: F) -> (F::Output, Duration) {
    let begun = clock.uptime();
    let late = clock.at_least(LATE);
    let mut before = begun;
    let mut stopped = Duration::ZERO;
    let mut beat = |now: Duration| {
        let gap = now.saturating_sub(before).saturating_sub(PULSE);
        if gap > late {
            stopped += gap;
        }
        before = now;
    };
    pin!(look);
    let output = loop {
        tokio::select! {
            biased;
            output = &mut look => break output,
            () = clock.sleep(PULSE) => beat(clock.uptime()),
        }
    };
    beat(clock.uptime());
    let took = clock.uptime().saturating_sub(begun);
    (output, took.saturating_sub(stopped))
}

/// Moves the beginning of a wait behind dead time.
pub(super) fn later(at: Timestamp, dead: Duration, now: Timestamp) -> Timestamp {
    let dead = SignedDuration::try_from(dead).unwrap_or(SignedDuration::MAX);
    at.checked_add(dead).unwrap_or(now).min(now)
}

impl Engine {
    /// Notes how long the checks of this round were looked at.
    pub(super) fn note_attended(&mut self, took: Duration) {
        self.attended.looked = Some(took);
    }

    /// Leaves out of every wait the time in which nobody looked. What was seen before it proves nothing
    /// about now.
    pub(super) fn skip_unattended(&mut self, seen: &mut Observation) {
        let clock = self.cluster.clock();
        let slack = clock.at_least(SLACK);
        let (dead, looked) = self.attended.round(clock.uptime(), slack);
        let release = &mut self.saved.release;
        if dead.is_zero() || release.is_over() {
            return;
        }
        release.since = later(release.since, dead, seen.now);
        release.step_since = later(release.step_since, dead, seen.now);
        if looked {
            self.results.phase = Some((release.phase, release.since));
        } else {
            seen.canary_checks.clear();
            seen.stable_checks.clear();
        }
        if dead >= WORTH_TELLING {
            let dead = humantime::format_duration(Duration::from_secs(dead.as_secs()));
            let text = format!(
                "no evaluation for {dead}: this process or the API server was stopped; that time does not count for holds and deadlines"
            );
            self.untold.push(Event {
                at: seen.now,
                kind: EventKind::Warning { text },
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn at(second: u64) -> Attended {
        Attended {
            seen: seconds(second),
            planned: Duration::ZERO,
            looked: None,
        }
    }

    #[test]
    fn a_round_counts_what_it_waited_and_looked() {
        for (planned, looked, spent, dead) in [
            (5, 0, 6, 0),
            (5, 0, 15, 0),
            (5, 0, 67, 52),
            (0, 0, 300, 290),
            (20, 40, 70, 0),
            (20, 40, 71, 1),
        ] {
            let mut attended = at(100);
            attended.plan(seconds(planned));
            attended.looked = (looked > 0).then(|| seconds(looked));
            let told = attended.round(seconds(100 + spent), SLACK);
            assert_eq!(told, (seconds(dead), looked > 0));
            // The next round begins anew.
            assert_eq!(
                attended.round(seconds(100 + spent + 1), SLACK).0,
                seconds(0)
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_look_is_a_look_and_a_stop_in_it_is_none() {
        let clock = Clock::simulated(Timestamp::UNIX_EPOCH, 1.0);
        let ((), took) = attend(&clock, clock.sleep(seconds(40))).await;
        assert_eq!(took, seconds(40));
        let looking = attend(&clock, clock.sleep(seconds(40)));
        pin!(looking);
        let first = clock.timeout(seconds(3), &mut looking).await;
        assert!(first.is_err());
        // Nobody runs it meanwhile.
        clock.sleep(seconds(62)).await;
        let ((), took) = looking.await;
        assert!(took <= seconds(8), "{took:?}");
    }

    #[test]
    fn a_wait_never_begins_in_the_future() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(later(now, seconds(5), now), now);
        assert_eq!(later(Timestamp::MIN, Duration::MAX, now), now);
    }
}
