//! The controller behind Gateway API routes: it accepts what the parents of a route can serve.
//!
//! Owns: the status of routes, some time after each change. Must not: route traffic; `routes` does.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    object,
    pass::{Pass, later},
};
use crate::sim::store::Key;

/// Time from a change of a route to its status.
const DELAY: Duration = Duration::from_millis(500);

/// The kinds that have parents.
const ROUTES: [(&str, &str); 5] = [
    ("gateway.networking.k8s.io", "httproutes"),
    ("gateway.networking.k8s.io", "grpcroutes"),
    ("gateway.networking.k8s.io", "tcproutes"),
    ("gateway.networking.k8s.io", "tlsroutes"),
    ("policy.linkerd.io", "httproutes"),
];

/// Annotation on a Gateway whose controller says nothing more, though traffic follows its routes.
const SILENT: &str = "sim.canaryctl.dev/silent";

/// Says of every route whether its parents accept it.
pub(super) fn sync(pass: &mut Pass<'_>) {
    for (group, resource) in ROUTES {
        for route in pass.list(group, resource) {
            if is_silent(pass, &route) {
                continue;
            }
            let generation = &route["metadata"]["generation"];
            let parents = route["spec"]["parentRefs"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let known = route["status"]["parents"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let is_seen = |parent: &Value| {
                let mut conditions = parent["conditions"].as_array().into_iter().flatten();
                conditions.all(|c| c["observedGeneration"] == *generation)
            };
            if known.len() == parents.len() && known.iter().all(is_seen) {
                continue;
            }
            if !pass.settling && !known.is_empty() && fresh(pass, &route) {
                let at = later(pass.now, DELAY);
                pass.wake(at);
                continue;
            }
            let resolved = resolves(pass, &route);
            let status = parents.iter().map(|parent| {
                json!({
                    "parentRef": parent,
                    "controllerName": "canaryctl.dev/simulated",
                    "conditions": [
                        condition(pass, "Accepted", true, generation),
                        condition(pass, "ResolvedRefs", resolved, generation),
                    ],
                })
            });
            let status: Vec<Value> = status.collect();
            let key = object::key(group, resource, &route);
            pass.set_status(&key, &route, json!({"parents": status}));
        }
    }
}

/// Returns whether a Gateway that the route hangs on says nothing more.
fn is_silent(pass: &Pass<'_>, route: &Value) -> bool {
    let parents = route["spec"]["parentRefs"].as_array();
    parents.into_iter().flatten().any(|parent| {
        let namespace = parent["namespace"].as_str();
        let namespace = namespace.unwrap_or(object::namespace(route));
        let name = parent["name"].as_str().unwrap_or_default();
        let key = Key::new("gateway.networking.k8s.io", "gateways", namespace, name);
        let gateway = pass.store.get(&key);
        gateway.is_some_and(|gateway| gateway["metadata"]["annotations"][SILENT] == "true")
    })
}

/// Returns whether the latest change is too young to be seen.
fn fresh(pass: &Pass<'_>, route: &Value) -> bool {
    let entries = route["metadata"]["managedFields"].as_array();
    let times = entries
        .into_iter()
        .flatten()
        .filter(|entry| entry["subresource"] != "status");
    let latest = times.filter_map(|entry| entry["time"].as_str()).max();
    let latest = latest.and_then(|time| time.parse::<jiff::Timestamp>().ok());
    latest.is_some_and(|latest| pass.now < later(latest, DELAY))
}

/// Returns whether every Service of a route exists.
fn resolves(pass: &Pass<'_>, route: &Value) -> bool {
    let rules = route["spec"]["rules"].as_array().into_iter().flatten();
    let mut refs = rules.flat_map(|rule| rule["backendRefs"].as_array().into_iter().flatten());
    refs.all(|to| {
        let namespace = to["namespace"].as_str().unwrap_or(object::namespace(route));
        let name = to["name"].as_str().unwrap_or_default();
        let is_service = to["kind"].as_str().unwrap_or("Service") == "Service";
        !is_service
            || pass
                .store
                .get(&Key::new("", "services", namespace, name))
                .is_some()
    })
}

fn condition(pass: &Pass<'_>, kind: &str, holds: bool, generation: &Value) -> Value {
    let (status, reason) = match (kind, holds) {
        (_, true) => ("True", kind),
        (_, false) => ("False", "BackendNotFound"),
    };
    json!({
        "type": kind,
        "status": status,
        "reason": reason,
        "message": "",
        "observedGeneration": generation,
        "lastTransitionTime": object::stamp(pass.now),
    })
}
