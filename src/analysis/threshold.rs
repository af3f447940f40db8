//! Counting failed measurements, as the controllers do, for people who come from there.
//!
//! Owns: `interval`, `count`, `failureLimit` and `consecutive`. Must not: be the default; at 1 request/s
//! such counting rolls back one healthy release in four.
//!
//! A peer's rule in these words: Flagger's `threshold: N` is `failureLimit: N-1`, with a count that
//! passing measurements never reset and no end of its own; Argo's `failureLimit` and `count` are these.
//! Both take missing data as failed at times. Here it is neither passed nor failed.

use serde::{Deserialize, Serialize};

/// Measurements in a row without data after which nothing can be said.
pub const UNKNOWN_LIMIT: u32 = 4;

/// The rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Threshold {
    /// Seconds between two measurements.
    pub interval: u32,
    /// Measurements (with data) after which the check has passed; `None`: it goes on while the step
    /// lasts.
    pub count: Option<u32>,
    /// Failed measurements that are tolerated during the whole run.
    pub failure_limit: u32,
    /// Failed measurements in a row from which the check has failed, at least 1; `None`: only
    /// `failure_limit` counts.
    pub consecutive: Option<u32>,
}

/// What a measurement said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measured {
    /// Within the limit.
    Passed,
    /// Beyond the limit.
    Failed,
    /// No data, or nothing that can be compared.
    Unknown,
}

/// What the measurements say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// More measurements are wanted.
    Measuring,
    /// As many as asked, and not too many failed.
    Passed,
    /// Too many failed.
    Failed,
    /// Too many in a row without data.
    Inconclusive,
}

/// What is remembered of the measurements; part of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Tally {
    measured: u32,
    failed: u32,
    failed_in_a_row: u32,
    unknown_in_a_row: u32,
}

impl Threshold {
    /// Returns Flagger's rule: roll back when `threshold` checks failed, one each `interval` seconds.
    pub fn flagger(interval: u32, threshold: u32) -> Self {
        Self {
            interval,
            count: None,
            failure_limit: threshold.saturating_sub(1),
            consecutive: None,
        }
    }

    /// Returns Argo Rollouts' rule: `count` measurements, and more than `failure_limit` failed ones
    /// abort.
    pub fn argo(interval: u32, count: u32, failure_limit: u32) -> Self {
        Self {
            interval,
            count: (count > 0).then_some(count),
            failure_limit,
            consecutive: None,
        }
    }

    /// Returns whether the next measurement is due, `seconds` after the one before.
    pub fn is_due(self, seconds: f64) -> bool {
        seconds >= f64::from(self.interval)
    }
}

impl Tally {
    /// Begins a step: measurements are counted anew, failures of the run stay.
    pub fn begin_step(&mut self) {
        self.measured = 0;
        self.failed_in_a_row = 0;
        self.unknown_in_a_row = 0;
    }

    /// Takes in one measurement and returns what all of them say.
    pub fn observe(&mut self, rule: Threshold, measured: Measured) -> Outcome {
        match measured {
            Measured::Unknown => {
                self.unknown_in_a_row = self.unknown_in_a_row.saturating_add(1);
                return self.outcome(rule);
            }
            Measured::Passed => self.failed_in_a_row = 0,
            Measured::Failed => {
                self.failed = self.failed.saturating_add(1);
                self.failed_in_a_row = self.failed_in_a_row.saturating_add(1);
            }
        }
        self.unknown_in_a_row = 0;
        self.measured = self.measured.saturating_add(1);
        self.outcome(rule)
    }

    /// Returns what the measurements so far say.
    pub fn outcome(&self, rule: Threshold) -> Outcome {
        let in_a_row = rule
            .consecutive
            .is_some_and(|most| self.failed_in_a_row >= most.max(1));
        if in_a_row || self.failed > rule.failure_limit {
            Outcome::Failed
        } else if self.unknown_in_a_row > UNKNOWN_LIMIT {
            Outcome::Inconclusive
        } else if rule.count.is_some_and(|count| self.measured >= count) {
            Outcome::Passed
        } else {
            Outcome::Measuring
        }
    }

    /// Returns how many measurements failed during the run.
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// Returns how many measurements in a row brought no data.
    pub fn unknown_in_a_row(&self) -> u32 {
        self.unknown_in_a_row
    }

    /// Returns how many measurements in a row failed.
    pub fn failed_in_a_row(&self) -> u32 {
        self.failed_in_a_row
    }

    /// Returns how many measurements brought data at this step.
    pub fn measured(&self) -> u32 {
        self.measured
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `+` passed, `-` failed, `?` unknown.
    fn outcomes(rule: Threshold, measured: &str) -> Vec<Outcome> {
        let mut tally = Tally::default();
        let observe = |sign| {
            tally.observe(
                rule,
                match sign {
                    '+' => Measured::Passed,
                    '-' => Measured::Failed,
                    _ => Measured::Unknown,
                },
            )
        };
        measured.chars().map(observe).collect()
    }

    fn last(rule: Threshold, measured: &str) -> Outcome {
        *outcomes(rule, measured).last().unwrap()
    }

    #[test]
    fn passing_measurements_do_not_make_up_for_failed_ones() {
        let rule = Threshold::flagger(60, 3);
        assert_eq!(last(rule, "-++++-+++"), Outcome::Measuring);
        assert_eq!(last(rule, "-++++-+++-"), Outcome::Failed);
    }

    #[test]
    fn a_count_ends_the_measuring() {
        let rule = Threshold::argo(60, 5, 1);
        assert_eq!(last(rule, "++-+"), Outcome::Measuring);
        assert_eq!(last(rule, "++-++"), Outcome::Passed);
        assert_eq!(last(rule, "+--"), Outcome::Failed);
        assert_eq!(
            last(Threshold::argo(60, 0, 1), &"+".repeat(100)),
            Outcome::Measuring
        );
    }

    #[test]
    fn consecutive_failures_fail_before_the_limit() {
        let rule = Threshold {
            consecutive: Some(2),
            ..Threshold::argo(60, 9, 5)
        };
        assert_eq!(last(rule, "-+-+"), Outcome::Measuring);
        assert_eq!(last(rule, "-+-?-"), Outcome::Failed);
    }

    #[test]
    fn missing_data_is_neither_passed_nor_failed() {
        let rule = Threshold::argo(60, 3, 0);
        assert_eq!(last(rule, "++????"), Outcome::Measuring);
        assert_eq!(last(rule, "++?????"), Outcome::Inconclusive);
        assert_eq!(last(rule, "++?????+"), Outcome::Passed);
    }

    #[test]
    fn a_step_begins_the_count_but_not_the_failures() {
        let rule = Threshold::argo(60, 2, 1);
        let mut tally = Tally::default();
        tally.observe(rule, Measured::Failed);
        assert_eq!(tally.observe(rule, Measured::Passed), Outcome::Passed);
        tally.begin_step();
        assert_eq!(tally.outcome(rule), Outcome::Measuring);
        assert_eq!(tally.observe(rule, Measured::Failed), Outcome::Failed);
        assert!(rule.is_due(60.0) && !rule.is_due(59.0));
    }
}
