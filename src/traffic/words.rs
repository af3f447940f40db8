//! What is said of routing objects that are there, or are not.
//!
//! Owns: the sentences. Must not: look for objects.

use serde_json::Value;

use jiff::Timestamp;

use super::Target;
use crate::{
    cluster::routing::Kind,
    domain::workload::{STEADY, Workload},
};

/// Says what a side with `need` ready pods still waits for at a moment, where some of them were started
/// again and do not count yet.
pub(super) fn unsteady(side: &Workload, need: u32, at: Timestamp) -> Option<String> {
    let steady = humantime::format_duration(STEADY);
    (side.steady_pods(at) < need).then(|| {
        let name = &side.name;
        format!("{name}: restarted pods to stay ready for {steady}")
    })
}

/// Returns an object as messages name it.
pub(super) fn titled(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let meta = &object["metadata"];
    format!("{} {}", text(&object["kind"]), text(&meta["name"]))
}

/// Returns kinds as messages list them, each once: `TraefikService or IngressRoute`.
fn in_words(kinds: &[Kind]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for kind in kinds {
        if !names.contains(&kind.kind.as_str()) {
            names.push(&kind.kind);
        }
    }
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// Says that a cluster knows none of the kinds, and what to do about it.
pub(super) fn not_served(kinds: &[Kind]) -> String {
    let mut groups: Vec<&str> = kinds.iter().map(|kind| kind.group.as_str()).collect();
    groups.dedup();
    format!(
        "the cluster serves no {}; install the custom resource definitions of {}, or name another router",
        in_words(kinds),
        groups.join(" or ")
    )
}

/// Says that no object of the kinds fits, and which there are.
pub(super) fn nothing_fits(
    kinds: &[Kind],
    name: Option<&str>,
    namespace: &str,
    seen: &[String],
    target: &Target,
) -> String {
    let kinds = in_words(kinds);
    if let Some(name) = name {
        return format!("there is no {kinds} {namespace}/{name}");
    }
    let there = if seen.is_empty() {
        format!("there is none in namespace {namespace}")
    } else {
        format!("there are {}", seen.join(", "))
    };
    format!(
        "no {kinds} has a route with destinations of both {} and {}; {there}",
        target.stable, target.canary
    )
}

/// Says that none of the routes that were chosen is there, and which there are.
pub(super) fn not_called(kinds: &[Kind], chosen: &[String], there: &[String]) -> String {
    format!(
        "no route of {} with destinations of both sides is called {}; there are: {}",
        in_words(kinds),
        chosen.join(" or "),
        there.join(", ")
    )
}
