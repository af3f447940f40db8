//! Counters of one pod, and what came in between two readings.
//!
//! Owns: resets, gaps, series that appear late. Must not: guess; a reading that says nothing is `None`.

use serde::{Deserialize, Serialize};

use super::counts::Counts;

/// Returns how far a counter moved: `None` where there is no number now or was none before. A counter
/// that fell was reset, and what it shows now came in since (a lower bound).
pub fn delta(before: Option<f64>, now: Option<f64>) -> Option<f64> {
    let now = number(now)?;
    let before = number(before)?;
    Some(if now >= before { now - before } else { now })
}

/// What is remembered of one pod's counters; part of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counter {
    all: Option<f64>,
    bad: Option<f64>,
}

impl Counter {
    /// Returns the counters of a pod that was created during the run: they began at 0, so that its
    /// first requests count. Of an older pod ([`Counter::default`]) the first reading is the start.
    pub fn born_in_run() -> Self {
        Self {
            all: Some(0.0),
            bad: Some(0.0),
        }
    }

    /// Takes in a reading and returns what came in since the one before; `None` where that is not
    /// known. A series of bad requests that is missing beside one of all requests is 0: it appears
    /// with the first bad request, which then counts.
    pub fn advance(&mut self, all: Option<f64>, bad: Option<f64>) -> Option<Counts> {
        let now = number(all)?;
        let before = self.all.replace(now);
        let was_reset = before.is_some_and(|before| now < before);
        let bad_before = if was_reset { None } else { self.bad };
        let bad_now = number(bad);
        self.bad = bad_now.or(bad_before);
        let more = delta(before, all)?;
        let more_bad = delta(Some(bad_before.unwrap_or(0.0)), bad_now).unwrap_or(0.0);
        Counts::new(more, more_bad)
    }

    /// Takes in a reading of a counter that was summed over pods. Where it fell, some pod went or was
    /// reset and the difference means nothing: `None`, and a new start.
    pub fn advance_sum(&mut self, all: Option<f64>, bad: Option<f64>) -> Option<Counts> {
        let fell = |before: Option<f64>, now: Option<f64>| {
            before.zip(number(now)).is_some_and(|(b, n)| n < b)
        };
        if fell(self.all, all) || fell(self.bad, bad) {
            *self = Self {
                all: number(all),
                bad: number(bad),
            };
            return None;
        }
        self.advance(all, bad)
    }
}

fn number(reading: Option<f64>) -> Option<f64> {
    reading.filter(|n| n.is_finite() && *n >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advance(readings: &[(Option<f64>, Option<f64>)]) -> Vec<Option<(f64, f64)>> {
        let mut counter = Counter::default();
        let mut seen = |(all, bad)| counter.advance(all, bad).map(|c| (c.all(), c.bad()));
        readings.iter().map(|reading| seen(*reading)).collect()
    }

    #[test]
    fn the_first_reading_is_only_a_start() {
        assert_eq!(advance(&[(Some(50.0), Some(4.0))]), [None]);
        let mut counter = Counter::born_in_run();
        assert_eq!(counter.advance(Some(5.0), Some(4.0)), Counts::new(5.0, 4.0));
    }

    #[test]
    fn the_first_bad_request_of_a_pod_counts() {
        let seen = advance(&[(Some(9.0), None), (Some(12.0), Some(2.0))]);
        assert_eq!(seen[1], Some((3.0, 2.0)));
    }

    #[test]
    fn a_series_that_was_away_for_a_moment_does_not_count_twice() {
        let seen = advance(&[
            (Some(9.0), Some(7.0)),
            (Some(12.0), None),
            (Some(15.0), Some(8.0)),
        ]);
        assert_eq!(seen[1..], [Some((3.0, 0.0)), Some((3.0, 1.0))]);
    }

    #[test]
    fn a_restarted_pod_lost_both_counters() {
        let seen = advance(&[(Some(90.0), Some(2.0)), (Some(20.0), Some(3.0))]);
        assert_eq!(seen[1], Some((20.0, 3.0)));
    }

    #[test]
    fn a_reading_that_says_nothing_changes_nothing() {
        let seen = advance(&[
            (Some(9.0), Some(1.0)),
            (None, Some(5.0)),
            (Some(f64::NAN), None),
            (Some(-3.0), None),
            (Some(10.0), Some(1.0)),
        ]);
        assert_eq!(seen[1..], [None, None, None, Some((1.0, 0.0))]);
    }

    #[test]
    fn a_sum_that_fell_is_a_new_start() {
        let mut counter = Counter::default();
        counter.advance_sum(Some(100.0), Some(4.0));
        assert_eq!(counter.advance_sum(Some(80.0), Some(4.0)), None);
        assert_eq!(
            counter.advance_sum(Some(90.0), Some(5.0)),
            Counts::new(10.0, 1.0)
        );
    }
}
