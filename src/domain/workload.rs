//! The two workloads of a release as seen at one moment.
//!
//! Owns: the facts and the roll-out rule. Must not: know how they were read.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Seconds that the canary's pods must have been ready before users are sent to them for the first time.
pub const SETTLED: Duration = Duration::from_secs(5);

/// Seconds that a pod which was started again must have been ready before it stands in for another: one
/// that crashes every quarter of a minute is ready most of the time.
pub const STEADY: Duration = Duration::from_secs(60);

/// One of the two sides of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Track {
    /// The version users trust.
    Stable,
    /// The version being released.
    Canary,
}

impl Track {
    /// Returns the word for the track.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Canary => "canary",
        }
    }

    /// Returns the other side.
    pub fn other(self) -> Self {
        match self {
            Self::Stable => Self::Canary,
            Self::Canary => Self::Stable,
        }
    }
}

/// What tells the two sides apart without being part of the version: labels, and environment
/// variables that repeat such a label.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tracks {
    /// Label key → value on stable (absent: no label) and on the canary.
    pub labels: BTreeMap<String, (Option<String>, Option<String>)>,
    /// Environment variables `(container, name)` → value on stable and on the canary.
    pub env: Vec<(String, String, String, String)>,
}

/// A Deployment and its pods at one moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Name of the Deployment.
    pub name: String,
    /// Replicas asked for.
    pub replicas: u32,
    /// Pods that exist, of any revision.
    pub existing: u32,
    /// Pods of the present template.
    pub updated: u32,
    /// Ready pods.
    pub ready: u32,
    /// Ready pods that have been ready for `minReadySeconds`.
    pub available: u32,
    /// Whether the controller has seen the latest specification.
    pub observed: bool,
    /// Container name → image.
    pub images: BTreeMap<String, String>,
    /// Digest of the pod template without track labels.
    pub revision: String,
    /// Name of the ReplicaSet that holds the present template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica_set: Option<String>,
    /// The controller gave up waiting for the roll-out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stalled: Option<String>,
    /// Field manager that set the number of replicas last, unless it was this tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaled_by: Option<String>,
    /// Field manager that changed the pod template last, unless it was this tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_by: Option<String>,
    /// Whether this tool is known to have changed the pod template last.
    #[serde(skip)]
    pub template_ours: bool,
    /// Why pods cannot be created, such as a quota.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Since when they cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused_since: Option<Timestamp>,
    /// The pods, by name.
    pub pods: Vec<Pod>,
}

/// A pod at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Whether it is ready and not being deleted.
    pub ready: bool,
    /// Since when it is ready, where the server says so.
    #[serde(skip)]
    pub ready_since: Option<Timestamp>,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Whether it is of the Deployment's present template.
    pub current: bool,
    /// When it was created.
    pub created: Timestamp,
    /// Restarts of its containers since it was created.
    pub restarts: u32,
    /// Why containers do not run: `(container, reason, message)`.
    pub waiting: Vec<(String, String, String)>,
    /// Reason of the latest container end, such as `OOMKilled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_end: Option<String>,
    /// Why it has no node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unschedulable: Option<String>,
    /// The readiness probe of a container that runs and is not ready, such as `GET /health on port 8080`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probed: Option<String>,
}

impl Pod {
    /// Returns whether it is ready `now` and, where a container of it was started again, has been so for
    /// [`STEADY`].
    pub fn is_steady(&self, now: Timestamp) -> bool {
        let steady = self.ready_since.and_then(|since| after(since, STEADY));
        self.ready && (self.restarts == 0 || steady.is_none_or(|steady| steady <= now))
    }
}

fn after(moment: Timestamp, wait: Duration) -> Option<Timestamp> {
    let wait = jiff::SignedDuration::try_from(wait).ok()?;
    moment.checked_add(wait).ok()
}

impl Workload {
    /// Returns the number of pods that are ready.
    pub fn ready_pods(&self) -> u32 {
        let ready = self.pods.iter().filter(|pod| pod.ready).count();
        u32::try_from(ready).unwrap_or(u32::MAX)
    }

    /// Returns the number of pods that may stand in for those of the other side `now`: ready, and not just
    /// started again.
    pub fn steady_pods(&self, now: Timestamp) -> u32 {
        let steady = self.pods.iter().filter(|pod| pod.is_steady(now)).count();
        u32::try_from(steady).unwrap_or(u32::MAX)
    }

    /// Returns when that of its ready pods became ready that did so last.
    pub fn youngest(&self) -> Option<Timestamp> {
        let ready = self.pods.iter().filter(|pod| pod.ready);
        ready.filter_map(|pod| pod.ready_since).max()
    }

    /// Returns when the last of its ready pods will have been ready for [`SETTLED`], where that is after
    /// `now`.
    pub fn settles_at(&self, now: Timestamp) -> Option<Timestamp> {
        let ready = self.pods.iter().filter(|pod| pod.ready);
        let settled = ready
            .filter_map(|pod| after(pod.ready_since?, SETTLED))
            .max();
        settled.filter(|settled| *settled > now)
    }

    /// Returns why its pods are not ready, as an addition to a sentence such as `: ImagePullBackOff`; empty where that is
    /// not known.
    pub fn why_unready(&self) -> String {
        let waiting = self.unready().flat_map(|pod| &pod.waiting);
        let waiting = waiting.map(|(_, reason, _)| reason.clone());
        let waiting = waiting.filter(|reason| !reason.is_empty());
        addition(waiting.chain(self.probes()))
    }

    /// Returns which readiness probes fail, as an addition to a sentence such as
    /// `: the readiness probe fails: GET /health on port 8080`; empty where none does.
    pub fn failing_probes(&self) -> String {
        addition(self.probes())
    }

    fn unready(&self) -> impl Iterator<Item = &Pod> {
        let pods = self.pods.iter();
        pods.filter(|pod| !pod.ready && !pod.terminating)
    }

    fn probes(&self) -> impl Iterator<Item = String> {
        let probed = self.unready().filter_map(|pod| pod.probed.as_ref());
        probed.map(|probe| format!("the readiness probe fails: {probe}"))
    }

    /// Returns what the roll-out still waits for, by the rule of `kubectl rollout status`.
    ///
    /// The status counts only when the controller has observed the latest generation: right after a
    /// change it still describes the roll-out before it.
    pub fn roll_out_waits_for(&self) -> Option<String> {
        if !self.observed {
            return Some(format!("{}: observedGeneration to catch up", self.name));
        }
        if self.updated < self.replicas {
            return Some(format!(
                "{}: {}/{} new pods created",
                self.name, self.updated, self.replicas
            ));
        }
        if self.existing > self.updated {
            let old = self.existing - self.updated;
            let s = if old == 1 { "" } else { "s" };
            return Some(format!("{}: {old} old pod{s} terminating", self.name));
        }
        if self.available < self.updated {
            return Some(format!(
                "{}: {}/{} pods available",
                self.name, self.available, self.updated
            ));
        }
        None
    }
}

/// Returns reasons, each once, after a colon; nothing without any.
fn addition(reasons: impl Iterator<Item = String>) -> String {
    let reasons: BTreeSet<String> = reasons.collect();
    if reasons.is_empty() {
        return String::new();
    }
    let reasons: Vec<String> = reasons.into_iter().collect();
    format!(": {}", reasons.join(", "))
}
