//! The timeline of a scenario: who does what when.
//!
//! Owns: carrying out faults, in order, once. Must not: invent any.

use serde_json::json;

use super::{
    hpa::Autoscalers,
    kubelet::Kubelet,
    load::{self, Kind},
    object,
    pass::{Pass, later},
    prometheus::Prometheus,
};
use crate::sim::{
    scenario::{Action, Fault, Scenario},
    store::Key,
};

/// What a fault may change besides the objects.
pub(super) struct Others<'a> {
    /// The nodes and what runs on them.
    pub(super) kubelet: &'a mut Kubelet,
    /// The autoscalers.
    pub(super) scalers: &'a mut Autoscalers,
    /// Every Prometheus.
    pub(super) prometheus: &'a mut Prometheus,
}

/// Carries out what is due; `done` counts what has been.
pub(super) fn sync(
    pass: &mut Pass<'_>,
    scenario: &Scenario,
    began: jiff::Timestamp,
    done: &mut usize,
    mut others: Others<'_>,
) {
    let mut faults: Vec<&Fault> = scenario.faults.iter().collect();
    faults.sort_by_key(|f| f.at);
    for fault in faults.into_iter().skip(*done) {
        let at = later(began, fault.at.0);
        if at > pass.now {
            pass.wake(at);
            return;
        }
        *done += 1;
        carry_out(pass, fault, &mut others);
    }
}

fn carry_out(pass: &mut Pass<'_>, fault: &Fault, others: &mut Others<'_>) {
    let Others {
        kubelet,
        scalers,
        prometheus,
    } = others;
    match &fault.action {
        Action::Scale {
            deployment,
            replicas,
        } => {
            let Some(key) = find(pass, "apps", "deployments", deployment) else {
                return;
            };
            pass.edit_as((&fault.by, "scale"), &key, |object| {
                object["spec"]["replicas"] = json!(replicas);
            });
        }
        Action::Image { deployment, image } => {
            let Some(key) = find(pass, "apps", "deployments", deployment) else {
                return;
            };
            pass.edit_as((&fault.by, ""), &key, |object| {
                object["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
            });
        }
        Action::HpaWants { name, replicas } => match replicas {
            Some(replicas) => {
                scalers.forced.insert(name.clone(), i64::from(*replicas));
            }
            None => {
                scalers.forced.remove(name);
            }
        },
        Action::DeletePod { deployment } => {
            let Some(key) = find(pass, "apps", "deployments", deployment) else {
                return;
            };
            let Some(owner) = pass.store.get(&key) else {
                return;
            };
            let selector = &owner["spec"]["selector"]["matchLabels"];
            let (pods, _) = pass.store.list("", "pods", &key.namespace);
            let victim = pods.iter().find(|p| {
                kubelet.is_active(p) && object::selects(selector, &p["metadata"]["labels"])
            });
            if let Some(pod) = victim {
                kubelet.terminate(pass, pod);
            }
        }
        Action::Delete { kind, name } => {
            let Kind {
                group, resource, ..
            } = load::kind(kind);
            if let Some(key) = find(pass, group, &resource, name) {
                drop(pass.store.delete(&key, false));
            }
        }
        Action::NodeLost { node } => kubelet.cut(pass, node, true),
        Action::NodeBack { node } => kubelet.cut(pass, node, false),
        Action::Prometheus(answering) => prometheus.answering = *answering,
    }
}

/// Returns the first object of this name, in any namespace.
fn find(pass: &Pass<'_>, group: &str, resource: &str, name: &str) -> Option<Key> {
    let objects = pass.list(group, resource);
    let object = objects.iter().find(|o| object::name(o) == name)?;
    Some(object::key(group, resource, object))
}
