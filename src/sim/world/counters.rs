//! What an app counts about its own requests.
//!
//! Owns: the counters of the payment API and a latency histogram. Must not: know who asks.

use std::time::Duration;

/// Upper bounds of the latency histogram, in seconds.
pub(super) const BOUNDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Counters of one container; a restart begins with zero.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Counters {
    /// Payments asked for.
    pub(super) total: u64,
    /// Payments made.
    pub(super) successful: u64,
    /// Payments that failed.
    pub(super) failed: u64,
    /// Payments refused as fraud.
    pub(super) fraud: u64,
    /// Mean response time in milliseconds; the app halves the weight of the past at each payment.
    pub(super) average: f64,
    /// Requests by latency, not cumulative; the last entry is everything slower.
    pub(super) buckets: [u64; BOUNDS.len() + 1],
    /// Sum of all response times in seconds.
    pub(super) seconds: f64,
}

impl Counters {
    /// Counts `times` payments that took about this long.
    pub(super) fn observe(&mut self, took: Duration, times: u64) {
        let seconds = took.as_secs_f64();
        self.average = f64::midpoint(self.average, seconds * 1000.0);
        let bucket = BOUNDS
            .iter()
            .position(|b| seconds <= *b)
            .unwrap_or(BOUNDS.len());
        self.buckets[bucket] += times;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a count of requests in one step is small"
        )]
        let times = times as f64;
        self.seconds += seconds * times;
    }
}
