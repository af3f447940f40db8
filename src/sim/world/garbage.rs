//! The garbage collector: what is left when an owner has gone.
//!
//! Owns: deleting ReplicaSets, pods and slices without owner. Must not: delete anything that nobody
//! owned.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{kubelet::Kubelet, object, pass::Pass};
use crate::sim::{api::FOREGROUND, store::Door};

/// Deletes objects whose controlling owner is of a known kind and no longer there.
pub(super) fn sync(pass: &mut Pass<'_>, kubelet: &mut Kubelet) {
    let kinds = [
        (
            ("apps", "deployments"),
            "Deployment",
            ("apps", "replicasets"),
        ),
        (("apps", "replicasets"), "ReplicaSet", ("", "pods")),
        (
            ("", "services"),
            "Service",
            ("discovery.k8s.io", "endpointslices"),
        ),
    ];
    for (owners, kind, owned) in kinds {
        let alive = pass.list(owners.0, owners.1);
        let alive: BTreeSet<&str> = alive.iter().map(|o| object::uid(o)).collect();
        for orphan in pass.list(owned.0, owned.1) {
            let gone = object::owner(&orphan).is_some_and(|owner| {
                owner["kind"] == kind
                    && !owner["uid"].as_str().is_some_and(|uid| alive.contains(uid))
            });
            if !gone {
                continue;
            }
            if owned.1 == "pods" {
                if kubelet.is_active(&orphan) {
                    kubelet.terminate(pass, &orphan);
                }
            } else {
                let key = object::key(owned.0, owned.1, &orphan);
                drop(pass.store.delete(&key, false));
            }
        }
    }
    for kind in ["deployments", "replicasets"] {
        for owner in pass.list("apps", kind) {
            foreground(pass, kubelet, kind, &owner);
        }
    }
    for endpoints in pass.list("", "endpoints") {
        let service = object::key("", "services", &endpoints);
        if pass.store.get(&service).is_none() {
            drop(
                pass.store
                    .delete(&object::key("", "endpoints", &endpoints), false),
            );
        }
    }
}

/// Deletes what an object owns that waits for it, and lets it go when nothing is left.
fn foreground(pass: &mut Pass<'_>, kubelet: &mut Kubelet, kind: &str, owner: &Value) {
    let finalizers = owner["metadata"]["finalizers"].as_array();
    if !object::is_terminating(owner) || !finalizers.is_some_and(|f| f.contains(&json!(FOREGROUND)))
    {
        return;
    }
    let parts = if kind == "deployments" {
        ("apps", "replicasets")
    } else {
        ("", "pods")
    };
    let mut left = pass.list(parts.0, parts.1);
    left.retain(|o| object::owned_by(o, object::uid(owner)));
    for object in &left {
        let key = object::key(parts.0, parts.1, object);
        if parts.1 == "pods" {
            if kubelet.is_active(object) {
                kubelet.terminate(pass, object);
            }
        } else if !object::is_terminating(object) {
            pass.bind(&key, |object| {
                object["metadata"]["finalizers"] = json!([FOREGROUND]);
            });
            drop(pass.store.terminate(&key, 0, false));
        }
    }
    if left.is_empty() {
        let key = object::key("apps", kind, owner);
        let freed = pass.store.update(&key, Door::Server, false, |object| {
            if let Some(held) = object["metadata"]["finalizers"].as_array_mut() {
                held.retain(|f| f != FOREGROUND);
            }
            Ok(())
        });
        // Gone meanwhile: as wanted.
        freed.ok();
    }
}
