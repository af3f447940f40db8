//! A bounded stream of requests to both sides, for apps that nobody uses at night.
//!
//! Owns: sending at a rate, spreading by the present split, counting answers. Must not: judge, or
//! send more than was asked: a request that finds too many unanswered ones is left out and counted.
//! Streams to pods are kept from one request to the next, as the connections of users' clients are.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Method;
use tokio::task::JoinHandle;

use crate::{
    cluster::{
        Cluster,
        forward::AppRequest,
        streams::{Place, Streams},
    },
    domain::plan::{HIGHEST_LOAD, Load},
};

/// Requests without an answer at any time, at most.
const IN_FLIGHT: usize = 32;

/// Longest time a request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A pod that may receive requests, and its share of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Destination {
    /// The pod and its port.
    pub place: Place,
    /// Its share of all requests, between 0 and 1.
    pub share: f64,
}

/// What a load has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoadCounts {
    /// Requests sent.
    pub sent: u64,
    /// Answers with a status below 500.
    pub answered: u64,
    /// Answers with a status of 500 or more, and requests without an answer.
    pub failed: u64,
    /// Requests left out because too many were unanswered.
    pub left_out: u64,
}

/// Destinations, each with what it has saved up of its share.
#[derive(Default)]
struct Turns(Vec<(Destination, f64)>);

struct Shared {
    streams: Streams,
    turns: Mutex<Turns>,
    in_flight: AtomicUsize,
    sent: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    left_out: AtomicU64,
}

/// A running load; it ends when dropped.
pub struct Runner {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl Runner ===

impl Runner {
    /// Starts sending; nothing is sent until there are destinations.
    pub fn start(cluster: &Cluster, load: &Load) -> Self {
        let shared = Arc::new(Shared::new(cluster));
        let requests: Vec<Arc<AppRequest>> = load
            .requests
            .iter()
            .map(|r| {
                let method = Method::from_bytes(r.method.to_ascii_uppercase().as_bytes());
                let (body, kind) = r.body.clone().unwrap_or_default();
                let headers = (!kind.is_empty()).then(|| ("content-type".to_owned(), kind));
                Arc::new(AppRequest {
                    method: method.unwrap_or(Method::GET),
                    path: r.path.clone(),
                    headers: headers.into_iter().collect(),
                    body: Bytes::from(body),
                })
            })
            .collect();
        let pause = Duration::from_secs_f64(1.0 / load.rate.clamp(0.001, HIGHEST_LOAD));
        let task = tokio::spawn(send(cluster.clone(), shared.clone(), requests, pause));
        Self { shared, task }
    }

    /// Says where requests go from now on.
    pub fn aim(&self, destinations: Vec<Destination>) {
        let mut turns = self.shared.lock();
        if turns.are(&destinations) {
            return;
        }
        let places = destinations.iter().map(|destination| &destination.place);
        self.shared.streams.only(places);
        turns.0 = destinations.into_iter().map(|d| (d, 0.0)).collect();
    }

    /// Returns what was done so far.
    pub fn counts(&self) -> LoadCounts {
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        LoadCounts {
            sent: get(&self.shared.sent),
            answered: get(&self.shared.answered),
            failed: get(&self.shared.failed),
            left_out: get(&self.shared.left_out),
        }
    }
}

impl Shared {
    fn new(cluster: &Cluster) -> Self {
        Self {
            streams: Streams::new(cluster.clone()),
            turns: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Turns> {
        // Nothing panics while it holds the lock.
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turns {
    fn are(&self, destinations: &[Destination]) -> bool {
        self.0
            .iter()
            .map(|(destination, _)| destination)
            .eq(destinations)
    }

    /// Returns the destination whose turn it is: each saves up its share and pays with 1.
    fn next(&mut self) -> Option<Destination> {
        for (destination, credit) in &mut self.0 {
            *credit += destination.share;
        }
        let turns = self.0.iter_mut();
        let (destination, credit) = turns.max_by(|(_, a), (_, b)| a.total_cmp(b))?;
        *credit -= 1.0;
        Some(destination.clone())
    }
}

async fn send(
    cluster: Cluster,
    shared: Arc<Shared>,
    requests: Vec<Arc<AppRequest>>,
    pause: Duration,
) {
    // Requests end with the load: dropping the set aborts what is unanswered.
    let mut flying = tokio::task::JoinSet::new();
    for request in requests.iter().cycle() {
        cluster.clock().sleep(pause).await;
        while flying.try_join_next().is_some() {}
        let Some(to) = shared.lock().next() else {
            continue;
        };
        if shared.in_flight.load(Ordering::Relaxed) >= IN_FLIGHT {
            shared.left_out.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        shared.in_flight.fetch_add(1, Ordering::Relaxed);
        shared.sent.fetch_add(1, Ordering::Relaxed);
        let (shared, request) = (shared.clone(), request.clone());
        flying.spawn(async move {
            let answer = shared.streams.ask(&to.place, &request, TIMEOUT).await;
            let fine = answer.is_ok_and(|a| a.status < 500);
            let counter = if fine {
                &shared.answered
            } else {
                &shared.failed
            };
            counter.fetch_add(1, Ordering::Relaxed);
            shared.in_flight.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_follow_the_shares() {
        let to = |pod: &str, share| {
            let place = Place {
                pod: pod.into(),
                uid: "1".into(),
                port: 80,
            };
            (Destination { place, share }, 0.0)
        };
        let mut turns = Turns(vec![to("a", 0.75), to("b", 0.25)]);
        let sent: String = (0..8)
            .filter_map(|_| turns.next())
            .map(|d| d.place.pod)
            .collect();
        assert_eq!(sent.matches('b').count(), 2);
        assert_eq!(sent.len(), 8);
    }

    #[test]
    fn without_destinations_nothing_is_sent() {
        assert_eq!(Turns::default().next(), None);
    }
}
