//! The only `now` and the only `sleep` of the product.
//!
//! Owns: reading the time, waiting, and putting a deadline on a future. Must not: know what is
//! waited for. A simulated clock runs N times faster than the wall clock, so that a release on the
//! simulated cluster takes seconds; under tokio's paused time it costs no real time at all.

use std::{future::Future, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

/// Indicates that a deadline passed before the awaited thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no answer within {}", humantime::format_duration(*.0))]
pub struct Elapsed(pub Duration);

/// The source of time: the system's, or a simulated one that runs faster.
#[derive(Debug, Clone)]
pub enum Clock {
    /// Wall-clock time.
    System,
    /// Simulated time, `speed` simulated seconds per second of tokio time, starting at `epoch`.
    Simulated(Arc<Simulated>),
}

/// State of a simulated clock: where it started and how fast it runs.
#[derive(Debug)]
pub struct Simulated {
    epoch: Timestamp,
    started: tokio::time::Instant,
    speed: f64,
}

impl Clock {
    /// Returns a clock that starts at `epoch` now and runs `speed` times (> 0) as fast as tokio's.
    ///
    /// Must be called inside a tokio runtime.
    pub fn simulated(epoch: Timestamp, speed: f64) -> Self {
        let started = tokio::time::Instant::now();
        Self::Simulated(Arc::new(Simulated {
            epoch,
            started,
            speed,
        }))
    }

    /// Returns the present moment.
    pub fn now(&self) -> Timestamp {
        match self {
            #[expect(
                clippy::disallowed_methods,
                reason = "the one place that reads the clock"
            )]
            Self::System => Timestamp::now(),
            Self::Simulated(s) => {
                let elapsed = s.started.elapsed().mul_f64(s.speed);
                SignedDuration::try_from(elapsed)
                    .ok()
                    .and_then(|d| s.epoch.checked_add(d).ok())
                    .unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// Waits for `duration` of this clock's time.
    pub async fn sleep(&self, duration: Duration) {
        #[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
        tokio::time::sleep(self.real(duration)).await;
    }

    /// Waits until `moment`; returns at once if it has passed.
    pub async fn sleep_until(&self, moment: Timestamp) {
        let left = moment.duration_since(self.now());
        if let Ok(left) = Duration::try_from(left) {
            self.sleep(left).await;
        }
    }

    /// Runs `future` for at most `limit` of this clock's time.
    pub async fn timeout<F: Future>(
        &self,
        limit: Duration,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        tokio::time::timeout(self.real(limit), future)
            .await
            .map_err(|_| Elapsed(limit))
    }

    /// Returns how long `duration` of this clock lasts in tokio's time.
    fn real(&self, duration: Duration) -> Duration {
        match self {
            Self::System => duration,
            Self::Simulated(s) => duration.div_f64(s.speed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch() -> Timestamp {
        "2026-01-05T09:00:00Z".parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn simulated_time_runs_at_its_speed() {
        let clock = Clock::simulated(epoch(), 60.0);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(clock.now().duration_since(epoch()).as_secs(), 120);
    }

    #[tokio::test(start_paused = true)]
    async fn thirty_simulated_minutes_pass_without_waiting() {
        let clock = Clock::simulated(epoch(), 1.0);
        clock.sleep(Duration::from_secs(1800)).await;
        assert_eq!(clock.now().duration_since(epoch()).as_secs(), 1800);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_is_measured_on_the_same_clock() {
        let clock = Clock::simulated(epoch(), 10.0);
        let outcome = clock
            .timeout(Duration::from_secs(5), clock.sleep(Duration::from_secs(6)))
            .await;
        assert_eq!(outcome, Err(Elapsed(Duration::from_secs(5))));
        assert!(clock.now().duration_since(epoch()).as_secs() < 6);
    }
}
