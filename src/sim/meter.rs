//! How long a simulated cluster has been computing.
//!
//! Owns: telling its time apart from that of the program that uses it, when both share a thread, as
//! in benchmarks. Must not: be read by anything that decides.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

/// A sum of time spent; every clone is the same sum.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    nanos: Arc<AtomicU64>,
}

impl Meter {
    /// Returns the time spent so far.
    pub fn spent(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }

    /// Adds the time that a future takes whenever it is polled, waiting excluded.
    pub async fn watch<F: Future>(self, work: F) -> F::Output {
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            let start = Instant::now();
            let poll: Poll<F::Output> = Pin::as_mut(&mut work).poll(context);
            let spent = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.nanos.fetch_add(spent, Ordering::Relaxed);
            poll
        })
        .await
    }
}
