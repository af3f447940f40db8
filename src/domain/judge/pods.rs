//! The pods themselves: ready, few restarts, nothing that does not pass by itself.
//!
//! Owns: what a look at the pods means. Must not: know why a state is fatal; probes say so.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Circumstances, Finding};
use crate::domain::{
    check::{Memory, Reading, Sample},
    meters::seconds,
    verdict::{Unknown, Verdict},
    workload::STEADY,
};

/// Looks that a passing trouble (an image pull error, say) may last before it is unhealthy.
const TROUBLE_LOOKS: u32 = 3;

/// Looks at the pods before the share of good ones counts.
const LEAST_LOOKS: u32 = 6;

/// Memory of vanished pods is dropped beyond this many subjects.
const SUBJECTS: usize = 200;

/// Judges the pods themselves.
pub(super) fn pods(
    memory: &mut Memory,
    readings: &[Reading],
    max_restarts: u32,
    Circumstances { moving, now, .. }: Circumstances,
) -> Finding {
    let mut fatal = Vec::new();
    let mut troubled = Vec::new();
    let mut pending = Vec::new();
    let (mut ready, mut all) = (0_usize, 0_usize);
    let mut ends = BTreeSet::new();
    for Reading { subject, sample } in readings {
        match sample {
            Sample::Pod {
                ready: is_ready,
                restarts,
                ended,
                ..
            } => {
                if *restarts > 0 {
                    ends.extend(ended.as_deref());
                }
                all += 1;
                ready += usize::from(*is_ready);
                remember_restarts(memory, subject, (*restarts, *is_ready), now);
            }
            Sample::Fatal(text) => fatal.push(format!("{subject}: {text}")),
            Sample::Troubled(text) => troubled.push(format!("{subject}: {text}")),
            Sample::Pending(text) => pending.push(format!("{subject}: {text}")),
            Sample::Missing(why, text) => {
                return Finding::unknown(*why, all, format!("{subject}: {text}"));
            }
            Sample::Holds(..)
            | Sample::Number(_)
            | Sample::Numbers { .. }
            | Sample::Totals { .. }
            | Sample::Counters { .. } => {
                return Finding::unknown(Unknown::Query, all, "not the state of a pod");
            }
        }
    }
    let restarts: u32 = memory
        .subjects
        .values()
        .map(|s| s.restarts.saturating_sub(s.restarts_before))
        .sum();
    let why: Vec<&str> = ends.into_iter().filter(|_| restarts > 0).collect();
    let why = if why.is_empty() {
        String::new()
    } else {
        format!(" ({})", why.join(", "))
    };
    let facts = format!("{ready} of {all} ready, {restarts} restarts{why}");
    if !fatal.is_empty() {
        return Finding::new(
            Verdict::Unhealthy,
            all,
            format!("{} ({facts})", fatal.join(", ")),
        );
    }
    if restarts > max_restarts {
        let text = format!("{facts} since the run began, limit {max_restarts}");
        return Finding::new(Verdict::Unhealthy, all, text);
    }
    if !troubled.is_empty() {
        memory.streak = memory.streak.saturating_add(1);
        let text = format!("{} ({facts})", troubled.join(", "));
        return if memory.streak >= TROUBLE_LOOKS {
            Finding::new(Verdict::Unhealthy, all, text)
        } else {
            Finding::unknown(Unknown::Pending, all, text)
        };
    }
    memory.streak = 0;
    if all == 0 {
        return Finding::unknown(Unknown::NoData, 0, "no pods");
    }
    if moving && ready < all || !pending.is_empty() {
        let mut texts = pending;
        texts.push(facts);
        return Finding::unknown(Unknown::Pending, all, texts.join("; "));
    }
    readiness(memory, (ready, all), facts, now)
}

/// Judges how many pods are ready, where nothing else is wrong with them.
fn readiness(
    memory: &mut Memory,
    (ready, all): (usize, usize),
    facts: String,
    now: Timestamp,
) -> Finding {
    if ready == all
        && let Some(since) = since_restart(memory, now)
    {
        let steady = STEADY.as_secs();
        let text = format!("{facts}, the last {since:.0}s ago: waiting for {steady}s without");
        return Finding::unknown(Unknown::Pending, all, text);
    }
    if ready == all {
        memory.good_looks = memory.good_looks.saturating_add(1);
        return Finding::new(Verdict::Healthy, all, facts);
    }
    let text = format!(
        "{facts}, all ready in {} of {} evaluations",
        memory.good_looks, memory.looks
    );
    if memory.looks >= LEAST_LOOKS && memory.good_looks * 2 < memory.looks {
        Finding::new(Verdict::Unhealthy, all, text)
    } else {
        Finding::unknown(Unknown::Pending, all, text)
    }
}

/// Returns the seconds since the last restart that counts, where pods are not steady yet.
fn since_restart(memory: &Memory, now: Timestamp) -> Option<f64> {
    let latest = memory.subjects.values().filter_map(|pod| pod.restarted);
    let since = seconds(latest.max()?, now);
    (since < STEADY.as_secs_f64()).then_some(since)
}

/// Notes a pod's restarts. Those before the run, and those before the pod was first ready, do not
/// count: a pod that waits for its database is not a sick version.
fn remember_restarts(
    memory: &mut Memory,
    subject: &str,
    (restarts, ready): (u32, bool),
    now: Timestamp,
) {
    let known = memory.subjects.contains_key(subject);
    let pod = memory.subjects.entry(subject.to_owned()).or_default();
    if !known || !pod.was_ready {
        pod.restarts_before = restarts;
    }
    if restarts > pod.restarts && restarts > pod.restarts_before {
        pod.restarted = Some(now);
    }
    pod.was_ready |= ready;
    pod.restarts = restarts;
    while memory.subjects.len() > SUBJECTS && memory.subjects.pop_first().is_some() {}
}
