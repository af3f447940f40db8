//! Endpoints and EndpointSlices: which pods a Service reaches.
//!
//! Owns: both kinds of object, for every Service with a selector. Must not: decide who is ready;
//! split traffic. All endpoints of a set of ports share one slice, however many there are.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{
    kubelet::{Kubelet, name_of},
    object::{self, selects},
    pass::Pass,
    pod::Pod,
};
use crate::sim::store::{Door, Key};

/// Label that ties a slice to its Service.
pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const CONTROLLER: &str = "endpointslice-controller.k8s.io";

/// Name, number and protocol of a port.
type Port = (String, u16, String);

/// A pod as an endpoint.
struct Member<'a> {
    object: Arc<Value>,
    pod: &'a Pod,
}

/// Brings the endpoints of all Services up to date.
pub(super) fn sync(pass: &Pass<'_>, kubelet: &Kubelet) {
    let services = pass.list("", "services");
    if services.is_empty() {
        return;
    }
    let pods = pass.list("", "pods");
    let mut stale: BTreeMap<Key, Arc<Value>> = pass
        .list("discovery.k8s.io", "endpointslices")
        .into_iter()
        .filter(|s| s["metadata"]["labels"][MANAGED_BY] == CONTROLLER)
        .map(|s| (object::key("discovery.k8s.io", "endpointslices", &s), s))
        .collect();
    for service in &services {
        let selector = &service["spec"]["selector"];
        if !selector.is_object() || service["spec"]["type"] == "ExternalName" {
            continue;
        }
        let mut groups: BTreeMap<Vec<Port>, Vec<Member<'_>>> = BTreeMap::new();
        for pod in &pods {
            if object::namespace(pod) != object::namespace(service)
                || !selects(selector, &pod["metadata"]["labels"])
            {
                continue;
            }
            if let Some(known) = kubelet.pods.get(&name_of(pod)) {
                let member = Member {
                    object: pod.clone(),
                    pod: known,
                };
                groups
                    .entry(resolve(service, pod))
                    .or_default()
                    .push(member);
            }
        }
        if groups.is_empty() {
            groups.insert(Vec::new(), Vec::new());
        }
        for (ports, members) in &groups {
            let slice = slice(service, ports, members);
            let hash = object::short_hash(&format!("{}{ports:?}", object::uid(service)), 5);
            let name = format!("{}-{hash}", object::name(service));
            let key = Key::new(
                "discovery.k8s.io",
                "endpointslices",
                object::namespace(service),
                &name,
            );
            stale.remove(&key);
            put(pass, key, slice, &["endpoints", "ports"]);
        }
        let key = object::key("", "endpoints", service);
        put(pass, key, endpoints(service, &groups), &["subsets"]);
    }
    for key in stale.into_keys() {
        drop(pass.store.delete(&key, false));
    }
}

/// Returns the ports of a Service as one pod has them; named target ports differ between pods.
fn resolve(service: &Value, pod: &Value) -> Vec<Port> {
    let ports = service["spec"]["ports"].as_array();
    let number = |port: &Value| -> Option<u16> {
        let target = &port["targetPort"];
        if let Some(name) = target.as_str() {
            let containers = pod["spec"]["containers"].as_array()?;
            let mut all = containers
                .iter()
                .flat_map(|c| c["ports"].as_array().into_iter().flatten());
            let found = all.find(|p| p["name"] == name)?;
            return u16::try_from(found["containerPort"].as_u64()?).ok();
        }
        let wanted = target.as_u64().or_else(|| port["port"].as_u64())?;
        u16::try_from(wanted).ok()
    };
    ports
        .into_iter()
        .flatten()
        .filter_map(|port| {
            let text = |field: &str, or: &str| port[field].as_str().unwrap_or(or).to_owned();
            Some((text("name", ""), number(port)?, text("protocol", "TCP")))
        })
        .collect()
}

fn reference(pod: &Value) -> Value {
    json!({
        "kind": "Pod",
        "name": object::name(pod),
        "namespace": object::namespace(pod),
        "uid": object::uid(pod),
    })
}

fn slice(service: &Value, ports: &[Port], members: &[Member<'_>]) -> Value {
    let some = |list: Vec<Value>| {
        if list.is_empty() {
            Value::Null
        } else {
            json!(list)
        }
    };
    let endpoints: Vec<Value> = members
        .iter()
        .filter(|m| m.pod.app().is_some())
        .map(|m| {
            let stopping = m.pod.stopping.is_some();
            let serving = stopping && m.pod.containers.iter().all(|c| c.ready);
            let ready = m.pod.is_ready();
            json!({
                "addresses": [m.pod.address],
                "conditions": {"ready": ready, "serving": ready || serving, "terminating": stopping},
                "nodeName": m.pod.node,
                "targetRef": reference(&m.object),
            })
        })
        .collect();
    let ports: Vec<Value> = ports
        .iter()
        .map(|(name, port, protocol)| json!({"name": name, "port": port, "protocol": protocol}))
        .collect();
    let mut labels = service["metadata"]["labels"].clone();
    labels[SERVICE_NAME] = json!(object::name(service));
    labels[MANAGED_BY] = json!(CONTROLLER);
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": format!("{}-", object::name(service)),
            "labels": labels,
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Service", "name": object::name(service),
                "uid": object::uid(service), "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "addressType": "IPv4",
        "endpoints": some(endpoints),
        "ports": some(ports),
    })
}

fn endpoints(service: &Value, groups: &BTreeMap<Vec<Port>, Vec<Member<'_>>>) -> Value {
    let mut labels = service["metadata"]["labels"].clone();
    labels["endpoints.kubernetes.io/managed-by"] = json!("endpoint-controller");
    let subsets: Vec<Value> = groups
        .iter()
        .filter_map(|(ports, members)| {
            let part = |ready: bool| {
                let some: Vec<Value> = members
                    .iter()
                    .filter(|m| m.pod.stopping.is_none() && m.pod.is_ready() == ready)
                    .map(|m| json!({"ip": m.pod.address, "nodeName": m.pod.node, "targetRef": reference(&m.object)}))
                    .collect();
                (!some.is_empty()).then_some(some)
            };
            let (ready, waiting) = (part(true), part(false));
            if ready.is_none() && waiting.is_none() {
                return None;
            }
            let ports: Vec<Value> = ports
                .iter()
                .map(|(name, port, protocol)| {
                    let name = (!name.is_empty()).then_some(name);
                    json!({"name": name, "port": port, "protocol": protocol})
                })
                .collect();
            Some(json!({"addresses": ready, "notReadyAddresses": waiting, "ports": ports}))
        })
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"labels": labels},
        "subsets": (!subsets.is_empty()).then_some(subsets),
    })
}

/// Creates an object or replaces the named members of the one there is.
fn put(pass: &Pass<'_>, key: Key, mut object: Value, members: &[&str]) {
    strip(&mut object);
    let Some(old) = pass.store.get(&key) else {
        drop(pass.create(key, object));
        return;
    };
    if members.iter().all(|m| old[*m] == object[*m]) {
        return;
    }
    pass.edit(&key, Door::Main, |stored| {
        for member in members {
            stored[*member] = object[*member].take();
        }
    });
}

/// Removes null members, as the store does, so that objects can be compared.
fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
