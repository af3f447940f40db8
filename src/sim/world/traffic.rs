//! The users: requests arrive, are split over pods, succeed or fail.
//!
//! Owns: arrivals, outcomes, what users and apps count. Must not: write objects.

use std::time::Duration;

use fastrand::Rng;
use jiff::Timestamp;

use super::{
    behaviour,
    container::Container,
    counters::Counters,
    draws::{binomial, poisson},
    kubelet::{self, Kubelet, PodName},
    object,
    pass::{age, later},
    pod::Pod,
    split::split,
    users::{Count, Users},
};
use crate::sim::{
    scenario::{Scenario, Version},
    store::{Key, Store},
};

/// Latencies drawn per pod and step; more requests share them.
const SAMPLES: u64 = 16;

/// The users and their memory.
#[derive(Debug, Clone)]
pub(super) struct Traffic {
    /// When they began.
    pub(super) began: Timestamp,
    /// What they saw.
    pub(super) users: Users,
    rng: Rng,
    last: Timestamp,
    target: Option<Key>,
    shares: Vec<(PodName, f64)>,
}

impl Traffic {
    /// Returns users that begin now.
    pub(super) fn new(seed: u64, now: Timestamp) -> Self {
        Self {
            began: now,
            users: Users::default(),
            rng: Rng::with_seed(seed ^ 0x7261_6666_6963),
            last: now,
            target: None,
            shares: Vec::new(),
        }
    }

    /// Forgets the time until now: users begin here.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.began = now;
        self.last = now;
    }

    /// Reads anew who gets which share.
    pub(super) fn reroute(&mut self, store: &Store, scenario: &Scenario) {
        if self.target.is_none() {
            self.target = target(store, scenario);
        }
        self.shares = self
            .target
            .as_ref()
            .map_or_else(Vec::new, |t| split(store, t));
    }

    /// Returns the share of all requests that goes to a version of the scenario.
    pub(super) fn share_of(&self, kubelet: &Kubelet, version: Option<usize>) -> f64 {
        let mine = |name: &PodName| kubelet.pods.get(name).is_some_and(|p| p.version == version);
        self.shares
            .iter()
            .filter(|(name, _)| mine(name))
            .map(|(_, share)| share)
            .sum()
    }

    /// Lets the requests since the last call arrive.
    pub(super) fn advance(&mut self, now: Timestamp, scenario: &Scenario, kubelet: &mut Kubelet) {
        if self.target.is_none() {
            self.last = now;
            return;
        }
        while self.last < now {
            // Whole seconds, so that the timeline's buckets are exact.
            let next = Timestamp::from_second(self.last.as_second() + 1)
                .unwrap_or(now)
                .min(now);
            let length = age(next, self.last);
            let mean = rate(scenario, age(self.last, self.began)) * length.as_secs_f64();
            let requests = poisson(&mut self.rng, mean);
            self.spread(requests, scenario, kubelet);
            self.last = next;
        }
    }

    fn spread(&mut self, requests: u64, scenario: &Scenario, kubelet: &mut Kubelet) {
        let at = self.last;
        let shares = std::mem::take(&mut self.shares);
        let (mut left, mut rest) = (requests, 1.0);
        let versions: Vec<f64> = (0..scenario.versions.len())
            .map(|v| {
                let of =
                    |name: &PodName| kubelet.pods.get(name).is_some_and(|p| p.version == Some(v));
                shares
                    .iter()
                    .filter(|(name, _)| of(name))
                    .map(|(_, share)| share)
                    .sum()
            })
            .collect();
        for (name, share) in &shares {
            let chance = if rest > 0.0 {
                (share / rest).min(1.0)
            } else {
                0.0
            };
            let got = if chance > 1.0 - 1e-9 {
                left
            } else {
                binomial(&mut self.rng, left, chance)
            };
            left -= got;
            rest -= share;
            if got == 0 {
                continue;
            }
            let Some(pod) = kubelet.pods.get_mut(name) else {
                self.users.refuse(at, got);
                continue;
            };
            let version = kubelet::behaviour(scenario, pod.version);
            let share = pod
                .version
                .and_then(|v| versions.get(v))
                .copied()
                .unwrap_or(0.0);
            let failed = serve(&mut self.rng, version, pod, got, (at, share));
            let work = f64::from(u32::try_from(got).unwrap_or(u32::MAX))
                * scenario.traffic.cpu_per_request;
            pod.work += work;
            pod.used += work;
            self.users.served(
                at,
                &pod.identity.track,
                Count {
                    requests: got,
                    failed,
                },
            );
        }
        self.users.refuse(at, left);
        self.shares = shares;
    }
}

/// Lets a pod answer some requests; returns how many failed for the user.
fn serve(
    rng: &mut Rng,
    version: &Version,
    pod: &mut Pod,
    requests: u64,
    (now, share): (Timestamp, f64),
) -> u64 {
    let Some(since) = pod
        .app()
        .filter(|c| c.answers(now, version))
        .and_then(Container::running_since)
    else {
        return requests;
    };
    if pod.unreachable {
        return requests;
    }
    let lived = age(now, since);
    let fraud = binomial(rng, requests, version.fraud.0);
    let chance = behaviour::error_rate(version, &pod.uid, lived, share);
    let failed = binomial(rng, requests - fraud, chance);
    let paid = requests - fraud - failed;
    let warm = pod.warm;
    let counters: &mut Counters = &mut pod.counters;
    counters.total += requests;
    counters.fraud += fraud;
    counters.failed += failed;
    counters.successful += paid;
    let draws = paid.min(SAMPLES);
    for i in 0..draws {
        let took = behaviour::latency(rng, version, lived, warm);
        let times = paid / draws + u64::from(i < paid % draws);
        counters.observe(took, times);
    }
    failed
}

/// Returns requests per second at a time since the beginning.
fn rate(scenario: &Scenario, at: Duration) -> f64 {
    let traffic = &scenario.traffic;
    let mut rate = traffic.rate;
    if let Some(wave) = &traffic.wave
        && !wave.period.0.is_zero()
    {
        let turn = at.as_secs_f64() / wave.period.0.as_secs_f64();
        rate *= 1.0 + wave.amplitude.0 * (std::f64::consts::TAU * turn).sin();
    }
    for burst in &traffic.bursts {
        if at >= burst.at.0 && at < burst.at.0 + burst.lasts.0 {
            rate *= burst.times;
        }
    }
    rate
}

/// Returns the Service the users call: the one named, or the one that selects most pods.
fn target(store: &Store, scenario: &Scenario) -> Option<Key> {
    if let Some(named) = &scenario.traffic.service {
        let (namespace, name) = named.split_once('/').unwrap_or(("default", named.as_str()));
        let key = Key::new("", "services", namespace, name);
        return store.get(&key).map(|_| key);
    }
    let (services, _) = store.list("", "services", "");
    let (pods, _) = store.list("", "pods", "");
    let count = |service: &serde_json::Value| {
        pods.iter()
            .filter(|p| object::namespace(p) == object::namespace(service))
            .filter(|p| object::selects(&service["spec"]["selector"], &p["metadata"]["labels"]))
            .count()
    };
    let counted = services
        .iter()
        .map(|s| (count(s), s))
        .filter(|(n, _)| *n > 0);
    // The first by name of those with most pods.
    let best = counted.min_by_key(|(n, _)| std::cmp::Reverse(*n))?;
    Some(object::key("", "services", best.1))
}

/// Returns the next moment at which arrivals should be counted.
pub(super) fn next(now: Timestamp) -> Timestamp {
    later(now, Duration::from_secs(1))
}
