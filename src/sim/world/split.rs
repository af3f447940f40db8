//! Who gets which share of the users' requests.
//!
//! Owns: the way from a Service, and the objects that route it, to pods. Must not: draw numbers.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{endpoints::SERVICE_NAME, kubelet::PodName, object};
use crate::sim::store::{Key, Store};

/// A weighted target of a route: a Service, narrowed to pods with these labels (a subset).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Target {
    /// The Service.
    pub(super) service: Key,
    /// Labels its pods must have besides; null for none.
    pub(super) labels: Value,
    /// Weight, on any scale.
    pub(super) weight: f64,
}

/// Reads the objects of one kind of router: the targets of a Service's requests, or none when it
/// has nothing to say about the Service.
pub(super) type Route = fn(&Store, &Key) -> Option<Vec<Target>>;

/// The routers the traffic obeys; the first that knows the Service counts.
pub(super) const ROUTES: &[Route] = &super::routes::ALL;

/// Returns the share of each pod in the requests to a Service; empty when no endpoint is ready.
///
/// Shares add up to 1, or to less when a weighted target has no ready endpoint: the rest is
/// refused, as a mesh or a gateway would.
pub(super) fn split(store: &Store, service: &Key) -> Vec<(PodName, f64)> {
    let routed = ROUTES.iter().find_map(|route| route(store, service));
    let targets = routed.unwrap_or_else(|| {
        vec![Target {
            service: service.clone(),
            labels: Value::Null,
            weight: 1.0,
        }]
    });
    let total: f64 = targets.iter().map(|t| t.weight).sum();
    let mut shares: BTreeMap<PodName, f64> = BTreeMap::new();
    for target in targets.iter().filter(|t| t.weight > 0.0) {
        let pods = ready(store, target);
        let each = target.weight / total / f64::from(u32::try_from(pods.len()).unwrap_or(1).max(1));
        for pod in pods {
            *shares.entry(pod).or_default() += each;
        }
    }
    shares.into_iter().collect()
}

/// Returns the pods behind the ready endpoints of a target.
fn ready(store: &Store, target: &Target) -> Vec<PodName> {
    let namespace = &target.service.namespace;
    let (slices, _) = store.list("discovery.k8s.io", "endpointslices", namespace);
    let endpoints = slices
        .iter()
        .filter(|s| s["metadata"]["labels"][SERVICE_NAME] == target.service.name.as_str())
        .flat_map(|s| s["endpoints"].as_array().into_iter().flatten());
    endpoints
        .filter(|e| e["conditions"]["ready"] == true)
        .filter_map(|e| e["targetRef"]["name"].as_str())
        .filter(|pod| {
            target.labels.is_null()
                || store
                    .get(&Key::new("", "pods", namespace, pod))
                    .is_some_and(|p| object::selects(&target.labels, &p["metadata"]["labels"]))
        })
        .map(|pod| (namespace.clone(), pod.to_owned()))
        .collect()
}
