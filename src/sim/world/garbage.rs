//! The garbage collector: what is left when an owner has gone.
//!
//! Owns: deleting ReplicaSets, pods and slices without owner. Must not: delete anything that nobody
//! owned.

use std::collections::BTreeSet;

use super::{kubelet::Kubelet, object, pass::Pass};

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
