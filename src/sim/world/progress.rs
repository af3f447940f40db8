//! The status of a Deployment: counts, availability, progress, and its deadline.
//!
//! Owns: `status` of Deployments, with the rules of the real controller. Must not: scale anything.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    deployment::{Set, Wanted},
    object::{self, Condition, int, moment, set_condition},
    pass::{Pass, later},
};

/// Pods of a Deployment, counted from its ReplicaSets.
struct Counts {
    replicas: i64,
    updated: i64,
    ready: i64,
    available: i64,
    wanted_by_sets: i64,
}

/// Writes the status of a Deployment as seen at the start of the pass.
///
/// The generation is that of the object the controller read, so a client sees it one pass late.
pub(super) fn sync(
    pass: &mut Pass<'_>,
    deployment: &Value,
    wanted: &Wanted,
    sets: &[Set],
    new: Option<usize>,
) {
    let sum = |field: &str| sets.iter().map(|s| s.count(field)).sum::<i64>();
    let counts = Counts {
        replicas: sum("replicas"),
        updated: new.map_or(0, |at| sets[at].count("replicas")),
        ready: sum("readyReplicas"),
        available: sum("availableReplicas"),
        wanted_by_sets: sets.iter().map(|s| s.replicas).sum(),
    };
    let key = object::key("apps", "deployments", deployment);
    // This pass may have written already.
    let Some(present) = pass.store.get(&key) else {
        return;
    };
    let old = &present["status"];
    let mut conditions = old["conditions"].as_array().cloned().unwrap_or_default();
    pausing(&mut conditions, wanted, pass.now);
    availability(&mut conditions, &counts, wanted, pass.now);
    if !wanted.paused {
        progress(
            pass,
            &mut conditions,
            deployment,
            wanted,
            &counts,
            new.map(|at| &sets[at]),
        );
        failure(&mut conditions, sets, new, pass.now);
    }
    let nonzero = |count: i64| (count > 0).then_some(count);
    let status = json!({
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": nonzero(counts.replicas),
        "updatedReplicas": nonzero(counts.updated),
        "readyReplicas": nonzero(counts.ready),
        "availableReplicas": nonzero(counts.available),
        "terminatingReplicas": sum("terminatingReplicas"),
        "unavailableReplicas": nonzero(counts.wanted_by_sets - counts.available),
        "conditions": conditions,
    });
    pass.set_status(&key, &present, status);
}

/// Notes on a Deployment that a ReplicaSet was made for its present template.
pub(super) fn note_new_set(deployment: &mut Value, name: &str, now: Timestamp) {
    let old = deployment["status"]["conditions"].as_array();
    let mut conditions = old.cloned().unwrap_or_default();
    let message = format!("Created new replica set \"{name}\"");
    put(
        &mut conditions,
        now,
        ("True", "NewReplicaSetCreated"),
        &message,
    );
    deployment["status"]["conditions"] = json!(conditions);
}

/// Says in the condition Progressing that the Deployment was paused or resumed.
fn pausing(conditions: &mut Vec<Value>, wanted: &Wanted, now: Timestamp) {
    let current = conditions.iter().find(|c| c["type"] == "Progressing");
    let reason = current
        .and_then(|c| c["reason"].as_str())
        .unwrap_or_default();
    let paused = reason == "DeploymentPaused";
    if wanted.paused && !paused && reason != "ProgressDeadlineExceeded" {
        put(
            conditions,
            now,
            ("Unknown", "DeploymentPaused"),
            "Deployment is paused",
        );
    } else if !wanted.paused && paused {
        put(
            conditions,
            now,
            ("Unknown", "DeploymentResumed"),
            "Deployment is resumed",
        );
    }
}

fn availability(conditions: &mut Vec<Value>, counts: &Counts, wanted: &Wanted, now: Timestamp) {
    let enough = counts.available >= wanted.replicas - wanted.unavailable;
    let condition = if enough {
        Condition {
            kind: "Available",
            status: "True",
            reason: "MinimumReplicasAvailable",
            message: "Deployment has minimum availability.".into(),
        }
    } else {
        Condition {
            kind: "Available",
            status: "False",
            reason: "MinimumReplicasUnavailable",
            message: "Deployment does not have minimum availability.".into(),
        }
    };
    set_condition(conditions, &condition, now);
}

/// Copies the failure of a ReplicaSet to create pods: that of the new one first.
fn failure(conditions: &mut Vec<Value>, sets: &[Set], new: Option<usize>, now: Timestamp) {
    let new = new.map(|at| &sets[at]);
    let failed = new
        .into_iter()
        .chain(sets)
        .find_map(|s| object::condition(&s.object, "ReplicaFailure"));
    match failed {
        Some(c) => {
            let condition = Condition {
                kind: "ReplicaFailure",
                status: "True",
                reason: c["reason"].as_str().unwrap_or("FailedCreate"),
                message: c["message"].as_str().unwrap_or_default().to_owned(),
            };
            set_condition(conditions, &condition, now);
        }
        None => conditions.retain(|c| c["type"] != "ReplicaFailure"),
    }
}

/// Sets the condition Progressing.
fn put(conditions: &mut Vec<Value>, now: Timestamp, (status, reason): (&str, &str), message: &str) {
    let condition = Condition {
        kind: "Progressing",
        status,
        reason,
        message: message.to_owned(),
    };
    set_condition(conditions, &condition, now);
}

fn progress(
    pass: &mut Pass<'_>,
    conditions: &mut Vec<Value>,
    deployment: &Value,
    wanted: &Wanted,
    counts: &Counts,
    new: Option<&Set>,
) {
    let now = pass.now;
    let current = conditions
        .iter()
        .find(|c| c["type"] == "Progressing")
        .cloned();
    let reason = current
        .as_ref()
        .and_then(|c| c["reason"].as_str())
        .unwrap_or_default();
    let created = new.is_some_and(|set| set.created);
    if !created && reason == "NewReplicaSetAvailable" && counts.replicas == counts.updated {
        return;
    }
    let name = new.map_or("", |s| s.key.name.as_str());
    let deadline = int(deployment, "/spec/progressDeadlineSeconds", 600);
    let deadline = Duration::from_secs(u64::try_from(deadline).unwrap_or(600));
    let since = current.as_ref().and_then(|c| moment(&c["lastUpdateTime"]));
    if created || current.is_none() {
        let message = format!("Created new replica set \"{name}\"");
        put(conditions, now, ("True", "NewReplicaSetCreated"), &message);
        pass.wake(later(now, deadline + Duration::from_secs(1)));
    } else if is_complete(wanted, counts) {
        let message = format!("ReplicaSet \"{name}\" has successfully progressed.");
        put(
            conditions,
            now,
            ("True", "NewReplicaSetAvailable"),
            &message,
        );
    } else if has_moved(deployment, counts) {
        let message = format!("ReplicaSet \"{name}\" is progressing.");
        // Any progress restarts the deadline, so a crash loop that turns ready for a moment does.
        conditions.retain(|c| c["type"] != "Progressing");
        put(conditions, now, ("True", "ReplicaSetUpdated"), &message);
        if let Some(current) = current.filter(|c| c["status"] == "True")
            && let Some(fresh) = conditions.last_mut()
        {
            fresh["lastTransitionTime"] = current["lastTransitionTime"].clone();
        }
        pass.wake(later(now, deadline + Duration::from_secs(1)));
    } else if let Some(since) = since
        && reason != "ProgressDeadlineExceeded"
        && reason != "NewReplicaSetAvailable"
    {
        let end = later(since, deadline);
        if end < now {
            let message = format!("ReplicaSet \"{name}\" has timed out progressing.");
            put(
                conditions,
                now,
                ("False", "ProgressDeadlineExceeded"),
                &message,
            );
        } else {
            pass.wake(later(end, Duration::from_secs(1)));
        }
    }
}

fn is_complete(wanted: &Wanted, counts: &Counts) -> bool {
    counts.updated == wanted.replicas
        && counts.replicas == wanted.replicas
        && counts.available == wanted.replicas
}

/// Returns whether the counts are nearer to the goal than those of the status before.
fn has_moved(deployment: &Value, counts: &Counts) -> bool {
    let old = |field: &str| int(deployment, &format!("/status/{field}"), 0);
    counts.updated > old("updatedReplicas")
        || counts.replicas - counts.updated < old("replicas") - old("updatedReplicas")
        || counts.ready > old("readyReplicas")
        || counts.available > old("availableReplicas")
}
