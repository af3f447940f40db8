//! What metrics-server knows of CPU and memory.
//!
//! Owns: its rounds over the kubelets, the two last readings of each container, which of them make
//! a sample. Must not: write objects; decide what a request costs.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::{
    hpa::IDLE,
    kubelet::{Kubelet, PodName},
    pass::{age, later},
    pod::Pod,
};
use crate::sim::api::{ContainerUsage, PodUsage};

/// Time between two rounds: metrics-server's default resolution.
const ROUND: Duration = Duration::from_secs(15);
/// A container younger than a round needs no second reading once it is this old.
const FRESH: Duration = Duration::from_secs(10);

/// What metrics-server remembers.
#[derive(Debug, Clone, Default)]
pub(super) struct Usage {
    next: Option<Timestamp>,
    last: BTreeMap<PodName, BTreeMap<String, Reading>>,
    known: Vec<PodUsage>,
}

/// What a kubelet says of a container.
#[derive(Debug, Clone, Copy)]
struct Reading {
    /// When the container started.
    started: Timestamp,
    at: Timestamp,
    /// CPU milliseconds since the start.
    cpu: f64,
    memory: u64,
}

impl Usage {
    /// Takes the first readings; pods that run already were idle before.
    pub(super) fn begin(&mut self, now: Timestamp, kubelet: &Kubelet) {
        self.round(now, kubelet);
        for (name, readings) in &self.last {
            let idle = |(name, reading): (&String, &Reading)| ContainerUsage {
                name: name.clone(),
                cpu: nanocores(IDLE),
                memory: reading.memory,
            };
            if let Some(pod) = kubelet.pods.get(name) {
                let containers = readings.iter().map(idle).collect();
                self.known.push(shown(name, pod, (now, ROUND), containers));
            }
        }
    }

    /// Takes new readings if it is time.
    pub(super) fn advance(&mut self, now: Timestamp, kubelet: &Kubelet) {
        if self.next.is_some_and(|next| next <= now) {
            self.round(now, kubelet);
        }
    }

    /// Returns the samples of the latest round.
    pub(super) fn known(&self) -> Vec<PodUsage> {
        self.known.clone()
    }

    fn round(&mut self, now: Timestamp, kubelet: &Kubelet) {
        let mut next = self.next.unwrap_or(now);
        while next <= now {
            next = later(next, ROUND);
        }
        self.next = Some(next);
        self.known.clear();
        let reachable = kubelet.pods.iter().filter(|(_, pod)| !pod.unreachable);
        let fresh: BTreeMap<_, _> = reachable
            .map(|(name, pod)| (name.clone(), readings(pod, now)))
            .filter(|(_, readings)| !readings.is_empty())
            .collect();
        for (name, readings) in &fresh {
            let before = self.last.get(name);
            let sample = |(container, reading): (&String, &Reading)| {
                let earlier = before.and_then(|b| b.get(container));
                sample(container, reading, earlier)
            };
            let samples: Option<Vec<_>> = readings.iter().map(sample).collect();
            // A pod is shown when all its containers can be.
            let (Some(samples), Some(pod)) = (samples, kubelet.pods.get(name)) else {
                continue;
            };
            let window = samples.iter().map(|(window, _)| *window).max();
            let time = (now, window.unwrap_or_default());
            let containers = samples.into_iter().map(|(_, usage)| usage).collect();
            self.known.push(shown(name, pod, time, containers));
        }
        self.last = fresh;
    }
}

/// Returns what the kubelet says of the running containers of a pod.
fn readings(pod: &Pod, now: Timestamp) -> BTreeMap<String, Reading> {
    let containers = pod.containers.iter().enumerate();
    let running = containers.filter_map(|(at, c)| Some((at, c, c.running_since()?)));
    running
        .map(|(at, container, started)| {
            let requests = if at == pod.main { pod.used } else { 0.0 };
            let reading = Reading {
                started,
                at: now,
                cpu: requests + IDLE * age(now, started).as_secs_f64(),
                memory: container.memory(now),
            };
            (container.name.clone(), reading)
        })
        .collect()
}

/// Returns the mean use since the reading before, or since the start of a young container; none
/// when there is nothing to compare with.
fn sample(
    name: &str,
    reading: &Reading,
    before: Option<&Reading>,
) -> Option<(Duration, ContainerUsage)> {
    let lived = age(reading.at, reading.started);
    let (window, cpu) = if lived >= FRESH && lived < ROUND {
        (lived, reading.cpu)
    } else {
        let before = before.filter(|b| reading.started <= b.at)?;
        (age(reading.at, before.at), reading.cpu - before.cpu)
    };
    if window.is_zero() {
        return None;
    }
    let usage = ContainerUsage {
        name: name.to_owned(),
        // Milliseconds per second are thousandths of a core.
        cpu: nanocores(cpu / window.as_secs_f64()),
        memory: reading.memory,
    };
    Some((window, usage))
}

fn shown(
    (namespace, name): &PodName,
    pod: &Pod,
    (at, window): (Timestamp, Duration),
    containers: Vec<ContainerUsage>,
) -> PodUsage {
    PodUsage {
        namespace: namespace.clone(),
        pod: name.clone(),
        node: pod.node.clone(),
        at,
        window,
        containers,
    }
}

fn nanocores(millicores: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and far below 2^52"
    )]
    let nanocores = (millicores * 1e6).max(0.0) as u64;
    nanocores
}
