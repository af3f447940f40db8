//! `metrics.k8s.io`: what metrics-server says pods and nodes use.
//!
//! Owns: whether the group is served, its two resources, their objects. Must not: measure; `Apps`
//! knows what was measured.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use http::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    PodUsage, Server,
    objects::{listed, metadata_of},
    reply::{self, Out},
    request::{Call, Shape},
    resources::{Resource, Target},
    select::Selector,
    table,
};
use crate::sim::store::{Key, Refusal, Store};

/// The group, and its one version.
pub(crate) const GROUP: &str = "metrics.k8s.io";
const VERSION: &str = "v1beta1";

static REGISTRATION: LazyLock<Key> = LazyLock::new(|| {
    let name = format!("{VERSION}.{GROUP}");
    Key::new("apiregistration.k8s.io", "apiservices", "", &name)
});

static RESOURCES: LazyLock<Vec<Arc<Resource>>> = LazyLock::new(|| {
    let resource = |kind: &str, plural: &str, namespaced: bool| {
        Arc::new(Resource {
            group: GROUP.to_owned(),
            versions: vec![VERSION.to_owned()],
            kind: kind.to_owned(),
            list_kind: format!("{kind}List"),
            plural: plural.to_owned(),
            // metrics-server gives no singular names.
            singular: String::new(),
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced,
            status: false,
            scale: None,
            builtin: true,
            columns: Vec::new(),
        })
    };
    vec![
        resource("NodeMetrics", "nodes", false),
        resource("PodMetrics", "pods", true),
    ]
});

/// Has the API server serve the group from now on, as the `APIService` of metrics-server does.
pub fn serve_metrics(store: &Store) {
    let service = json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"labels": {"k8s-app": "metrics-server"}},
        "spec": {
            "group": GROUP, "version": VERSION, "groupPriorityMinimum": 100, "versionPriority": 100,
            "service": {"name": "metrics-server", "namespace": "kube-system"},
        },
    });
    // It is there already: the group is served.
    store.create(REGISTRATION.clone(), service, false).ok();
}

/// Returns the resources of the group; none when nothing serves it.
pub(crate) fn resources(store: &Store) -> &'static [Arc<Resource>] {
    if store.get(&REGISTRATION).is_some() {
        &RESOURCES
    } else {
        &[]
    }
}

/// Answers a GET of one object.
pub(crate) fn get(server: &Server, target: &Target, call: &Call) -> Result<Response<Out>, Refusal> {
    let (namespace, name) = (target.namespace.as_str(), target.name.as_str());
    let plain = Key::new("", &target.resource.plural, namespace, name);
    if server.store().get(&plain).is_none() {
        return Err(Refusal::not_found(&plain));
    }
    let fits = |o: &Value| o["metadata"]["name"] == name;
    let found = objects(server, target).into_iter().find(fits);
    let found = found.ok_or_else(|| {
        let (plural, shown) = match namespace {
            "" => ("nodemetrics", name.to_owned()),
            _ => ("podmetrics", format!("{namespace}/{name}")),
        };
        Refusal::not_found(&Key::new(GROUP, plural, namespace, &shown))
    })?;
    let body = match call.shape() {
        Shape::Object => found,
        Shape::Metadata => metadata_of(&found),
        Shape::Table => {
            let now = server.store().clock().now();
            table::render(target, &[found], call, now, &json!({}))
        }
    };
    Ok(reply::json(200, &body))
}

/// Answers a GET of a collection: there is no version, no limit and nothing to continue.
pub(crate) fn list(
    server: &Server,
    target: &Target,
    call: &Call,
) -> Result<Response<Out>, Refusal> {
    let selector = Selector::of(call, &target.resource)?;
    let mut items = objects(server, target);
    items.retain(|item| selector.matches(item));
    let meta = json!({});
    let body = match call.shape() {
        Shape::Table => {
            let now = server.store().clock().now();
            table::render(target, &items, call, now, &meta)
        }
        Shape::Metadata => {
            let items: Vec<Value> = items.iter().map(metadata_of).collect();
            json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "items": items})
        }
        Shape::Object => {
            let items: Vec<Value> = items.into_iter().map(|i| listed(target, i)).collect();
            json!({"kind": target.resource.list_kind, "apiVersion": target.api_version(), "metadata": meta, "items": items})
        }
    };
    Ok(reply::json(200, &body))
}

/// Returns all objects of the resource in the target's namespace, by namespace and name.
fn objects(server: &Server, target: &Target) -> Vec<Value> {
    let mut usage = server.inner.apps.usage();
    usage.sort_by(|a, b| (&a.namespace, &a.pod).cmp(&(&b.namespace, &b.pod)));
    if target.resource.namespaced {
        usage.retain(|u| target.namespace.is_empty() || u.namespace == target.namespace);
        let pods = usage.iter().filter_map(|u| pod(server, target, u));
        pods.collect()
    } else {
        nodes(server, target, &usage)
    }
}

/// Returns the metrics of a pod; none when it is no longer there.
fn pod(server: &Server, target: &Target, usage: &PodUsage) -> Option<Value> {
    let key = Key::new("", "pods", &usage.namespace, &usage.pod);
    let labels = server.store().get(&key)?["metadata"]["labels"].clone();
    let containers: Vec<Value> = usage
        .containers
        .iter()
        .map(|c| json!({"name": c.name, "usage": used(c.cpu, c.memory)}))
        .collect();
    let mut object = measured(
        server,
        target,
        (&usage.pod, labels),
        (usage.at, usage.window),
    );
    object["metadata"]["namespace"] = json!(usage.namespace);
    object["containers"] = json!(containers);
    Some(object)
}

/// Returns the metrics of the nodes: those of their pods together.
fn nodes(server: &Server, target: &Target, usage: &[PodUsage]) -> Vec<Value> {
    let mut by_node: BTreeMap<&str, Vec<&PodUsage>> = BTreeMap::new();
    for pod in usage {
        by_node.entry(&pod.node).or_default().push(pod);
    }
    let of = |(node, pods): (&str, Vec<&PodUsage>)| {
        let labels = server.store().get(&Key::new("", "nodes", "", node))?;
        let labels = labels["metadata"]["labels"].clone();
        let latest = pods.iter().max_by_key(|p| p.at)?;
        let all = || pods.iter().flat_map(|p| &p.containers);
        let mut object = measured(server, target, (node, labels), (latest.at, latest.window));
        object["usage"] = used(all().map(|c| c.cpu).sum(), all().map(|c| c.memory).sum());
        Some(object)
    };
    by_node.into_iter().filter_map(of).collect()
}

fn measured(
    server: &Server,
    target: &Target,
    (name, labels): (&str, Value),
    (at, window): (Timestamp, Duration),
) -> Value {
    let mut object = json!({
        "kind": target.resource.kind,
        "apiVersion": target.api_version(),
        // The moment of the answer, as metrics-server has it.
        "metadata": {"name": name, "creationTimestamp": server.store().stamp()},
        "timestamp": at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "window": go_duration(window),
    });
    if labels.is_object() {
        object["metadata"]["labels"] = labels;
    }
    object
}

/// Suffixes of a quantity from its smallest unit on, and the step from one to the next.
type Scale = (&'static [&'static str], u64);

const CPU: Scale = (&["n", "u", "m", ""], 1000);
const MEMORY: Scale = (&["", "Ki", "Mi", "Gi"], 1024);

fn used(cpu: u64, memory: u64) -> Value {
    json!({"cpu": suffixed(cpu, CPU), "memory": suffixed(memory, MEMORY)})
}

/// Returns the sum of what the containers of an object use, or what a node uses, of `cpu` or
/// `memory`.
pub(crate) fn total(object: &Value, name: &str) -> String {
    let scale = if name == "cpu" { CPU } else { MEMORY };
    let containers = object["containers"].as_array();
    let each = containers.into_iter().flatten().map(|c| &c["usage"][name]);
    let amounts = each.chain([&object["usage"][name]]);
    let amounts = amounts.filter_map(|text| amount(text.as_str()?, scale));
    suffixed(amounts.sum(), scale)
}

/// Returns what [`suffixed`] made a text of.
fn amount(text: &str, (suffixes, step): Scale) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let power = suffixes.iter().position(|s| *s == &text[digits.len()..])?;
    let unit = step.checked_pow(u32::try_from(power).ok()?)?;
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// Returns a quantity in its shortest whole form, as the API server writes it.
fn suffixed(mut amount: u64, (suffixes, step): Scale) -> String {
    let mut at = 0;
    if amount == 0 {
        return "0".to_owned();
    }
    while at + 1 < suffixes.len() && amount.is_multiple_of(step) {
        amount /= step;
        at += 1;
    }
    format!("{amount}{}", suffixes[at])
}

/// Returns a duration as Go writes it: `15.25s`, `1m3s`.
fn go_duration(duration: Duration) -> String {
    let minutes = duration.as_secs() / 60;
    let millis = duration.as_millis() - u128::from(minutes) * 60_000;
    let mut text = format!("{}.{:03}", millis / 1000, millis % 1000);
    text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    if minutes > 0 {
        format!("{minutes}m{text}s")
    } else {
        format!("{text}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_in_their_shortest_whole_form() {
        let shown = |cpu, memory| {
            let usage = used(cpu, memory);
            let text = |field: &str| usage[field].as_str().unwrap().to_owned();
            (text("cpu"), text("memory"))
        };
        let pair = |cpu: &str, memory: &str| (cpu.to_owned(), memory.to_owned());
        assert_eq!(shown(12_345_678, 46_774_272), pair("12345678n", "45678Ki"));
        assert_eq!(shown(5_000_000, 125_829_120), pair("5m", "120Mi"));
        assert_eq!(shown(12_345_000, 4097), pair("12345u", "4097"));
        assert_eq!(shown(2_000_000_000, 0), pair("2", "0"));
        let of = |cpu, memory| json!({"usage": used(cpu, memory)});
        let pod = json!({"containers": [of(999_000_000, 3 << 20), of(1_000_000, 1024)]});
        assert_eq!(total(&pod, "cpu"), "1");
        assert_eq!(total(&pod, "memory"), "3073Ki");
    }

    #[test]
    fn durations_are_those_of_go() {
        let shown = |millis| go_duration(Duration::from_millis(millis));
        assert_eq!(
            [15_000, 14_250, 63_000, 60_000, 10_001].map(shown),
            ["15s", "14.25s", "1m3s", "1m0s", "10.001s"]
        );
    }
}
