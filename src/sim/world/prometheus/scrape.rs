//! Whom a Prometheus scrapes, and under which labels.
//!
//! Owns: the pods annotated for it, their labels, reading their answers. Must not: keep anything.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::Value;

use super::storage::{Labels, NAME, Samples};
use crate::sim::{
    hash::hash_of,
    store::Store,
    world::{
        answer::Answer,
        kubelet::{Kubelet, PodName, name_of},
        object,
    },
};

/// Labels of a pod that its series have as well.
const COPIED: [&str; 3] = ["app", "version", "track"];

/// A pod to scrape.
pub(super) struct Target {
    /// Namespace and name.
    pub(super) pod: PodName,
    /// Port to ask.
    pub(super) port: u16,
    /// What to ask.
    pub(super) request: Request<Bytes>,
    /// Labels of all its series.
    pub(super) labels: Labels,
}

impl Target {
    /// Returns a number of seconds that belongs to the target, the same in every run.
    pub(super) fn offset(&self) -> u32 {
        let (namespace, name) = &self.pod;
        hash_of([namespace.as_str(), name].into_iter())
    }
}

/// Returns the pods that are annotated with `prometheus.io/scrape: "true"` and have an address.
pub(super) fn targets(store: &Store, kubelet: &Kubelet) -> Vec<Target> {
    let (pods, _) = store.list("", "pods", "");
    let (services, _) = store.list("", "services", "");
    let target = |pod: &Value| {
        let note = |name: &str| pod["metadata"]["annotations"][name].as_str();
        if note("prometheus.io/scrape") != Some("true") {
            return None;
        }
        let name = name_of(pod);
        let known = kubelet.pods.get(&name)?;
        let port = match note("prometheus.io/port") {
            Some(port) => port.parse().ok()?,
            None => *known.ports.first()?,
        };
        let path = note("prometheus.io/path").unwrap_or("/metrics");
        let request = Request::get(path).body(Bytes::new()).ok()?;
        let labels = labels(pod, &services, &format!("{}:{port}", known.address));
        Some(Target {
            pod: name,
            port,
            request,
            labels,
        })
    };
    pods.iter().filter_map(|pod| target(pod)).collect()
}

fn labels(pod: &Value, services: &[Arc<Value>], instance: &str) -> Labels {
    let service = service(pod, services);
    let own = &pod["metadata"]["labels"];
    let app = own["app"].as_str().unwrap_or("kubernetes-pods");
    let mut labels = Labels::new();
    let mut put = |name: &str, value: &str| {
        labels.insert(name.to_owned(), value.to_owned());
    };
    put("job", service.unwrap_or(app));
    put("instance", instance);
    put("namespace", object::namespace(pod));
    put("pod", object::name(pod));
    if let Some(service) = service {
        put("service", service);
    }
    for name in COPIED {
        if let Some(value) = own[name].as_str() {
            put(name, value);
        }
    }
    labels
}

/// Returns the Service that selects a pod by most labels, the first by name of several.
fn service<'a>(pod: &Value, services: &'a [Arc<Value>]) -> Option<&'a str> {
    let selects = |service: &&Arc<Value>| {
        object::namespace(service) == object::namespace(pod)
            && object::selects(&service["spec"]["selector"], &pod["metadata"]["labels"])
    };
    let narrow = |service: &&Arc<Value>| {
        let selector = service["spec"]["selector"].as_object();
        std::cmp::Reverse(selector.map_or(0, serde_json::Map::len))
    };
    let best = services.iter().filter(selects).min_by_key(narrow)?;
    Some(object::name(best))
}

/// Returns the samples in an answer; none when it is not one of a page of metrics.
pub(super) fn scraped(answer: &Answer) -> Option<Samples> {
    let page = answer.status == StatusCode::OK && answer.kind.starts_with("text/plain");
    page.then(|| super::text::parse(&answer.body).ok())
        .flatten()
}

/// Returns the labels of a series: where a program gives itself a label of its target, it is kept
/// as `exported_…`.
pub(super) fn joined(target: &Labels, own: &Labels) -> Labels {
    let mut labels = target.clone();
    for (name, value) in own {
        let taken = target.contains_key(name) && name != NAME;
        let name = if taken {
            format!("exported_{name}")
        } else {
            name.clone()
        };
        labels.insert(name, value.clone());
    }
    labels
}
