//! The only `now` and the only `sleep` of the product.
//!
//! Owns: reading the time, waiting, and putting a deadline on a future. Must not: know what is
//! waited for. A simulated clock runs N times faster than the wall clock, so that a release on the
//! simulated cluster takes seconds; under tokio's paused time it costs no real time at all.
//!
//! `now` is the process's *timeline*: the machine's clock is read once, and from then on time is what a
//! counter says that nobody can set. A machine whose clock is set in the middle of a run changes nothing
//! in it.

use std::{
    future::Future,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

/// Indicates that a deadline passed before the awaited thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no answer within {}", humantime::format_duration(*.0))]
pub struct Elapsed(pub Duration);

/// The source of time: the system's, or a simulated one that runs faster.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's time, on the timeline of this process.
    System,
    /// Simulated time, `speed` simulated seconds per second of tokio time, starting at `epoch`.
    Simulated(Arc<Simulated>),
}

/// State of a simulated clock: where it started, how fast it runs, and the machine it stands on.
#[derive(Debug)]
pub struct Simulated {
    epoch: Timestamp,
    started: tokio::time::Instant,
    speed: f64,
    timeline: Shift,
    /// How far the machine's clock is off.
    wall: Shift,
}

/// Nanoseconds that a clock is ahead; whoever has the clock may move it.
#[derive(Debug, Default)]
struct Shift(AtomicI64);

/// The timeline of the process.
struct Timeline {
    began: Timestamp,
    /// What the counter said then.
    counter: Duration,
    shift: Shift,
}

/// There is one process, and it has one time.
static TIMELINE: OnceLock<Timeline> = OnceLock::new();

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
            timeline: Shift::default(),
            wall: Shift::default(),
        }))
    }

    /// Returns the clock of another machine in the same simulated world, whose own clock is `off`: ahead
    /// where it is positive. The system's clock has no other machine: it is returned as it is.
    pub fn elsewhere(&self, off: SignedDuration) -> Self {
        match self {
            Self::System => Self::System,
            Self::Simulated(s) => Self::Simulated(Arc::new(Simulated {
                epoch: s.epoch,
                started: s.started,
                speed: s.speed,
                timeline: Shift::of(off),
                wall: Shift::of(off),
            })),
        }
    }

    /// Sets the clock of a simulated machine, as somebody does with `date`: `off` is how far it is ahead
    /// of the world's time from then on. Nobody sets the system's.
    pub fn set_wall(&self, off: SignedDuration) {
        if let Self::Simulated(s) = self {
            s.wall.set(off);
        }
    }

    /// Returns the present moment on the timeline of this process.
    pub fn now(&self) -> Timestamp {
        let (began, shift) = match self {
            Self::System => (timeline().began, &timeline().shift),
            Self::Simulated(s) => (s.epoch, &s.timeline),
        };
        later(later(began, self.uptime()), shift.get())
    }

    /// Returns what the machine's clock says, which anybody may set: to tell how far it is off, and for
    /// nothing that is measured.
    pub fn wall(&self) -> Timestamp {
        match self {
            #[expect(
                clippy::disallowed_methods,
                reason = "the one place that reads the clock"
            )]
            Self::System => Timestamp::now(),
            Self::Simulated(s) => later(later(s.epoch, self.uptime()), s.wall.get()),
        }
    }

    /// Returns the time since the clock began: it never jumps, whatever is done to the timeline or to
    /// the machine's clock. Time in which the process was stopped or the machine suspended counts.
    pub fn uptime(&self) -> Duration {
        match self {
            Self::System => counter().saturating_sub(timeline().counter),
            Self::Simulated(s) => s.started.elapsed().mul_f64(s.speed),
        }
    }

    /// Has the timeline go on from `moment`, whatever it said before: for a run that has not begun.
    pub fn go_by(&self, moment: Timestamp) {
        let shift = match self {
            Self::System => &timeline().shift,
            Self::Simulated(s) => &s.timeline,
        };
        let by = moment.duration_since(self.now());
        shift.set(shift.get().saturating_add(by));
    }

    /// Has the timeline go on from `moment` where it is progressing: what was written down with a clock
    /// that is ahead lies in no future.
    pub fn advance_to(&self, moment: Timestamp) {
        if moment > self.now() {
            self.go_by(moment);
        }
    }

    /// Returns the least time of this clock that the machine can be held to: a simulated second may be
    /// over before a processor has done anything.
    pub fn at_least(&self, duration: Duration) -> Duration {
        match self {
            Self::System => duration,
            Self::Simulated(s) => duration.max(SCHEDULING.mul_f64(s.speed)),
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

/// How long a machine may keep a process from running before that is worth noticing.
const SCHEDULING: Duration = Duration::from_secs(1);

// === impl Shift ===

impl Shift {
    fn of(by: SignedDuration) -> Self {
        let this = Self::default();
        this.set(by);
        this
    }

    fn get(&self) -> SignedDuration {
        SignedDuration::from_nanos(self.0.load(Ordering::Relaxed))
    }

    fn set(&self, by: SignedDuration) {
        // Three centuries in either direction.
        let nanos = by.as_nanos().clamp(i64::MIN.into(), i64::MAX.into());
        let nanos = i64::try_from(nanos).unwrap_or_default();
        self.0.store(nanos, Ordering::Relaxed);
    }
}

fn timeline() -> &'static Timeline {
    TIMELINE.get_or_init(|| Timeline {
        began: Clock::System.wall(),
        counter: counter(),
        shift: Shift::default(),
    })
}

/// Returns what a counter says that runs on while the machine is suspended, and that nobody sets.
#[cfg(target_os = "linux")]
fn counter() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::Boottime);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), nanos)
}

/// Returns what a counter says that nobody sets.
#[cfg(not(target_os = "linux"))]
fn counter() -> Duration {
    static BEGAN: OnceLock<std::time::Instant> = OnceLock::new();
    BEGAN.get_or_init(std::time::Instant::now).elapsed()
}

fn later(moment: Timestamp, by: impl TryInto<SignedDuration>) -> Timestamp {
    let by = by.try_into().unwrap_or(SignedDuration::MAX);
    let least = if by.is_negative() {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    moment.checked_add(by).unwrap_or(least)
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

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_moves_no_timeline() {
        let clock = Clock::simulated(epoch(), 1.0);
        for off in [HOUR, -HOUR, SignedDuration::from_mins(31)] {
            clock.set_wall(off);
            clock.sleep(Duration::from_secs(1)).await;
            assert_eq!(clock.wall().duration_since(clock.now()), off);
        }
        assert_eq!(clock.now().duration_since(epoch()).as_secs(), 3);
        assert_eq!(clock.uptime(), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeline_never_lies_before_what_it_is_told() {
        let clock = Clock::simulated(epoch(), 1.0).elsewhere(-HOUR);
        assert_eq!(epoch().duration_since(clock.now()), HOUR);
        clock.advance_to(epoch());
        assert_eq!(clock.now(), epoch());
        clock.advance_to(epoch() - HOUR);
        clock.sleep(Duration::from_secs(5)).await;
        assert_eq!(clock.now().duration_since(epoch()).as_secs(), 5);
        // Its own clock is as wrong as before, and nothing was waited for.
        assert_eq!(clock.now().duration_since(clock.wall()), HOUR);
        assert_eq!(clock.uptime(), Duration::from_secs(5));
        clock.go_by(epoch());
        assert_eq!(clock.now(), epoch());
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_of_the_far_future_is_no_trouble() {
        let clock = Clock::simulated(epoch(), 1.0);
        clock.advance_to(Timestamp::MAX);
        assert!(clock.now() > epoch());
        clock.advance_to(Timestamp::MIN);
        clock.go_by(Timestamp::MIN);
        assert!(clock.now() < epoch());
    }

    #[test]
    fn the_systems_time_goes_on_by_itself() {
        let (now, wall) = (Clock::System.now(), Clock::System.wall());
        assert!(wall.duration_since(now).abs() < SignedDuration::from_secs(5));
        assert!(Clock::System.now() >= now);
        assert_eq!(
            Clock::System.at_least(Duration::from_millis(1)),
            Duration::from_millis(1)
        );
    }
}
