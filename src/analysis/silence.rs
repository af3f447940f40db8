//! No requests at the canary, no metrics at all.
//!
//! Owns: how long silence can be chance, and when waiting ends. Must not: take silence as health.

use serde::{Deserialize, Serialize};

/// Requests that were expected of the canary while none came: by chance once in 160,000 times.
pub const EXPECTED: f64 = 12.0;

/// Seconds of such silence after which the release is inconclusive.
pub const PATIENCE: f64 = 120.0;

/// Seconds without any sample after which the release is inconclusive.
pub const SOURCE_PATIENCE: f64 = 300.0;

/// Seconds without a request at either side, beyond twice what the source lags behind, that are no pause
/// between two requests where [`EXPECTED`] of them were due.
pub const STILL: f64 = 60.0;

/// What is known of the silence; part of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Silence {
    /// Requests expected of the canary since it was last seen with one.
    expected: f64,
    /// Seconds since that was too much for chance.
    silent: f64,
    /// Seconds with samples since the canary was last seen with a request.
    waited: f64,
    /// Seconds without samples.
    without_samples: f64,
    /// Requests of both sides in the run.
    came: f64,
    /// Seconds in which they came.
    lasted: f64,
    /// Seconds with samples that showed no request at either side.
    still: f64,
}

/// What the silence means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quiet {
    /// Requests come, or too few are expected to miss them.
    No,
    /// No traffic reaches the canary, or its metrics are missing: hold.
    NoTraffic,
    /// No request at either side, though many were due: the traffic has stopped, or the metrics stand
    /// still. Hold; it says nothing of the version.
    Still,
    /// The metrics provider brings no samples: hold.
    NoSamples,
    /// Either of both has lasted too long: inconclusive.
    TooLong,
}

impl Silence {
    /// Takes in `seconds` with samples of a source that may be `lag` seconds behind: how many requests stable
    /// and canary had together per second (`total`), the canary's `weight` in [0, 1], and its requests. What is
    /// due within two lags may only not be shown yet.
    pub fn observe(
        &mut self,
        (seconds, lag): (f64, f64),
        total: f64,
        weight: f64,
        canary: f64,
    ) -> Quiet {
        self.without_samples = 0.0;
        self.hear(seconds, total * seconds);
        if canary > 0.0 {
            (self.expected, self.silent, self.waited) = (0.0, 0.0, 0.0);
            return Quiet::No;
        }
        if seconds > 0.0 {
            self.waited += seconds;
        }
        let more = total * weight * seconds;
        if more.is_finite() && more > 0.0 && self.waited > 2.0 * lag {
            self.expected += more;
        }
        if self.expected >= EXPECTED && seconds > 0.0 {
            self.silent += seconds;
        }
        self.state()
    }

    fn hear(&mut self, seconds: f64, requests: f64) {
        if seconds > 0.0 && requests.is_finite() {
            self.lasted += seconds;
            self.came += requests;
            self.still += seconds;
        }
        if requests > 0.0 {
            self.still = 0.0;
        }
    }

    /// Returns whether requests were due and neither side had one, for longer than chance and a source
    /// that is `lag` seconds behind explain.
    pub fn is_still(&self, lag: f64) -> bool {
        let due = self.came / self.lasted * self.still;
        self.still > STILL + 2.0 * lag && due >= EXPECTED
    }

    /// Takes in `seconds` without any sample.
    pub fn miss(&mut self, seconds: f64) -> Quiet {
        if seconds > 0.0 {
            self.without_samples += seconds;
        }
        self.state()
    }

    fn state(&self) -> Quiet {
        if self.silent > PATIENCE || self.without_samples > SOURCE_PATIENCE {
            Quiet::TooLong
        } else if self.without_samples > 0.0 {
            Quiet::NoSamples
        } else if self.expected >= EXPECTED {
            Quiet::NoTraffic
        } else {
            Quiet::No
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_no_chance_after_twelve_expected_requests() {
        let mut silence = Silence::default();
        let look = |silence: &mut Silence| silence.observe((5.0, 0.0), 10.0, 0.1, 0.0);
        assert_eq!(look(&mut silence), Quiet::No);
        assert_eq!(look(&mut silence), Quiet::No);
        assert_eq!(look(&mut silence), Quiet::NoTraffic);
        for _ in 0..23 {
            assert_eq!(look(&mut silence), Quiet::NoTraffic);
        }
        assert_eq!(look(&mut silence), Quiet::TooLong);
        assert_eq!(silence.observe((5.0, 0.0), 10.0, 0.1, 1.0), Quiet::No);
        assert_eq!(look(&mut silence), Quiet::No);
    }

    #[test]
    fn between_two_scrapes_nothing_is_missed() {
        let mut silence = Silence::default();
        // Scraped every 60 s, looked at every 10 s: five looks of six show nothing new of a single pod.
        for look in 1..=60 {
            let canary = if look % 6 == 0 { 60.0 } else { 0.0 };
            let quiet = silence.observe((10.0, 60.0), 10.0, 0.1, canary);
            assert_eq!(quiet, Quiet::No, "{look}");
        }
        // One scrape may be missed; what stays away is told.
        let quiet: Vec<Quiet> = (1..=15)
            .map(|_| silence.observe((10.0, 60.0), 10.0, 0.1, 0.0))
            .collect();
        assert_eq!(quiet[12], Quiet::No);
        assert_eq!(quiet[14], Quiet::NoTraffic);
    }

    #[test]
    fn a_service_without_traffic_is_never_silent() {
        let mut silence = Silence::default();
        for _ in 0..10_000 {
            assert_eq!(silence.observe((5.0, 0.0), 0.0, 0.1, 0.0), Quiet::No);
        }
    }

    #[test]
    fn both_sides_are_still_only_after_requests_were_due() {
        let mut silence = Silence::default();
        for _ in 0..12 {
            silence.observe((10.0, 0.0), 10.0, 0.1, 10.0);
        }
        for at in 1..=20 {
            assert_eq!(silence.observe((10.0, 0.0), 0.0, 0.1, 0.0), Quiet::No);
            assert_eq!(silence.is_still(0.0), at > 6, "{at}");
            assert_eq!(silence.is_still(15.0), at > 9, "{at}");
        }
        silence.observe((10.0, 0.0), 0.1, 0.1, 0.0);
        assert!(!silence.is_still(0.0), "one request came");
    }

    #[test]
    fn where_little_came_stillness_is_chance() {
        let mut silence = Silence::default();
        silence.observe((600.0, 0.0), 0.01, 0.5, 1.0);
        for _ in 0..60 {
            silence.observe((10.0, 0.0), 0.0, 0.5, 0.0);
            assert!(!silence.is_still(0.0));
        }
    }

    #[test]
    fn a_source_that_is_down_is_waited_for() {
        let mut silence = Silence::default();
        assert_eq!(silence.miss(300.0), Quiet::NoSamples);
        assert_eq!(silence.miss(1.0), Quiet::TooLong);
        assert_eq!(silence.observe((5.0, 0.0), 10.0, 0.1, 1.0), Quiet::No);
    }
}
