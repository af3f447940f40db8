//! The ReplicaSet controller: as many pods as asked.
//!
//! Owns: creating and choosing pods to delete, quota, status of ReplicaSets. Must not: know
//! Deployments, run containers.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    kubelet::Kubelet,
    object::{self, Condition, int, moment, set_condition},
    pass::{Pass, Report, age, later},
};
use crate::sim::{api::quota, store::Key};

const FROM: &str = "replicaset-controller";
/// Longest wait between two attempts to create a refused pod.
const PATIENCE: Duration = Duration::from_secs(300);

/// Waits after refused creations, by set.
pub(super) type Retries = BTreeMap<Key, Retry>;

/// When a refused creation is tried again.
#[derive(Debug, Clone)]
pub(super) struct Retry {
    at: Timestamp,
    wait: Duration,
    why: String,
}

/// Brings every ReplicaSet to its size and writes its status.
pub(super) fn sync(pass: &mut Pass<'_>, kubelet: &mut Kubelet, retries: &mut Retries) {
    let sets = pass.list("apps", "replicasets");
    if sets.is_empty() {
        return;
    }
    let pods = pass.list("", "pods");
    for set in &sets {
        let mut mine: Vec<Arc<Value>> = pods
            .iter()
            .filter(|p| object::owned_by(p, object::uid(set)) && kubelet.is_active(p))
            .cloned()
            .collect();
        let wanted = usize::try_from(int(set, "/spec/replicas", 1)).unwrap_or(0);
        let key = object::key("apps", "replicasets", set);
        if object::is_terminating(set) {
            // What it owns is deleted by the garbage collector.
        } else if mine.len() < wanted {
            mine.extend(create(pass, set, wanted - mine.len(), retries));
        } else {
            retries.remove(&key);
            mine.sort_by_key(|pod| keep_rank(pod));
            for pod in mine.split_off(wanted) {
                kubelet.terminate(pass, &pod);
                let message = format!("Deleted pod: {}", object::name(&pod));
                pass.report(
                    "ReplicaSet",
                    set,
                    &Report::normal(FROM, "SuccessfulDelete", message),
                );
            }
        }
        let leaving = pods.iter().filter(|p| {
            object::owned_by(p, object::uid(set)) && object::is_terminating(p) && !is_over(p)
        });
        let leaving = leaving.count();
        write_status(pass, set, (&mine, leaving), retries.get(&key));
    }
}

/// Returns how much a pod is worth keeping, best first, as the real controller ranks them.
fn keep_rank(pod: &Value) -> (bool, bool, bool, i64, Option<Timestamp>, i64, String) {
    let cost = &pod["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"];
    let cost: i64 = cost.as_str().and_then(|c| c.parse().ok()).unwrap_or(0);
    let ready = object::holds(pod, "Ready");
    let since = object::condition(pod, "Ready")
        .filter(|_| ready)
        .and_then(|c| moment(&c["lastTransitionTime"]));
    (
        pod["spec"]["nodeName"].is_null(),
        pod["status"]["phase"] != "Running",
        !ready,
        -cost,
        since,
        restarts(pod),
        // Uids count up: the older pod stays.
        object::uid(pod).to_owned(),
    )
}

fn restarts(pod: &Value) -> i64 {
    let all = pod["status"]["containerStatuses"].as_array();
    all.into_iter()
        .flatten()
        .filter_map(|c| c["restartCount"].as_i64())
        .max()
        .unwrap_or(0)
}

fn create(
    pass: &mut Pass<'_>,
    set: &Value,
    missing: usize,
    retries: &mut Retries,
) -> Vec<Arc<Value>> {
    let key = object::key("apps", "replicasets", set);
    let now = pass.now;
    let mut wait = Duration::from_secs(1);
    if let Some(retry) = retries.get(&key) {
        if retry.at > now && !pass.settling {
            let at = retry.at;
            pass.wake(at);
            return Vec::new();
        }
        wait = (retry.wait * 2).min(PATIENCE);
    }
    let namespace = object::namespace(set);
    let template = &set["spec"]["template"];
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": format!("{}-", object::name(set)),
            "labels": template["metadata"]["labels"],
            "annotations": template["metadata"]["annotations"],
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": object::name(set),
                "uid": object::uid(set), "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": template["spec"],
    });
    let mut made = Vec::new();
    for _ in 0..missing {
        let like = format!(
            "{}-{}",
            object::name(set),
            object::short_hash(object::name(set), 5)
        );
        let full = quota::check(pass.store, &Key::new("", "pods", namespace, &like));
        if let Some(why) = full.err().map(|refusal| refusal.message) {
            let report = Report::warning(FROM, "FailedCreate", format!("Error creating: {why}"));
            pass.report("ReplicaSet", set, &report);
            let at = later(now, wait);
            pass.wake(at);
            retries.insert(key, Retry { at, wait, why });
            return made;
        }
        let prefix = format!("{}-", object::name(set));
        if let Ok(pod) = pass.create_named(("", "pods", namespace), &prefix, &pod) {
            let message = format!("Created pod: {}", object::name(&pod));
            pass.report(
                "ReplicaSet",
                set,
                &Report::normal(FROM, "SuccessfulCreate", message),
            );
            made.push(Arc::new(pod));
        }
    }
    retries.remove(&key);
    made
}

/// Returns whether a pod has ended for good.
pub(super) fn is_over(pod: &Value) -> bool {
    pod["status"]["phase"] == "Succeeded" || pod["status"]["phase"] == "Failed"
}

fn write_status(
    pass: &mut Pass<'_>,
    set: &Value,
    (pods, leaving): (&[Arc<Value>], usize),
    retry: Option<&Retry>,
) {
    let patience =
        Duration::from_secs(u64::try_from(int(set, "/spec/minReadySeconds", 0)).unwrap_or(0));
    let (mut ready, mut available) = (0_i64, 0_i64);
    for pod in pods {
        let Some(condition) = object::condition(pod, "Ready").filter(|c| c["status"] == "True")
        else {
            continue;
        };
        ready += 1;
        let since = moment(&condition["lastTransitionTime"]).unwrap_or(pass.now);
        if pass.settling || age(pass.now, since) >= patience {
            available += 1;
        } else {
            pass.wake(later(since, patience));
        }
    }
    let mut conditions = set["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    match retry {
        Some(retry) => {
            let condition = Condition {
                kind: "ReplicaFailure",
                status: "True",
                reason: "FailedCreate",
                message: retry.why.clone(),
            };
            set_condition(&mut conditions, &condition, pass.now);
        }
        None => conditions.retain(|c| c["type"] != "ReplicaFailure"),
    }
    let nonzero = |count: i64| (count > 0).then_some(count);
    let status = json!({
        "observedGeneration": set["metadata"]["generation"],
        "replicas": pods.len(),
        "fullyLabeledReplicas": nonzero(i64::try_from(pods.len()).unwrap_or(0)),
        "readyReplicas": nonzero(ready),
        "availableReplicas": nonzero(available),
        "terminatingReplicas": leaving,
        "conditions": (!conditions.is_empty()).then_some(conditions),
    });
    let key = object::key("apps", "replicasets", set);
    pass.set_status(&key, set, status);
}
