//! Putting given objects into the store.
//!
//! Owns: kind → resource, cleaning objects that come from another cluster, the defaults the
//! controllers' clients rely on. Must not: run controllers.

use serde_json::{Value, json};

use super::object;
use crate::sim::{
    api::complete,
    store::{Key, Refusal, Store},
};

/// What the API server knows about a kind.
pub(super) struct Kind {
    /// API group; empty for the core group and for unknown kinds without apiVersion.
    pub(super) group: &'static str,
    /// Plural resource name.
    pub(super) resource: String,
    /// Whether objects of it have no namespace.
    pub(super) cluster: bool,
}

/// Returns what is known about a kind; the group is only right for built-in kinds.
pub(super) fn kind(kind: &str) -> Kind {
    let group = match kind {
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => "apps",
        "HorizontalPodAutoscaler" => "autoscaling",
        "Ingress" | "NetworkPolicy" | "IngressClass" => "networking.k8s.io",
        "PodDisruptionBudget" => "policy",
        "EndpointSlice" => "discovery.k8s.io",
        _ => "",
    };
    let cluster = matches!(
        kind,
        "Namespace"
            | "Node"
            | "ClusterRole"
            | "ClusterRoleBinding"
            | "CustomResourceDefinition"
            | "StorageClass"
            | "PersistentVolume"
            | "PriorityClass"
            | "GatewayClass"
            | "IngressClass"
    );
    Kind {
        group,
        resource: plural(kind),
        cluster,
    }
}

fn plural(kind: &str) -> String {
    let lower = kind.to_lowercase();
    if kind == "Endpoints" {
        return lower;
    }
    if lower.ends_with('s') || lower.ends_with('x') || lower.ends_with("ch") {
        return format!("{lower}es");
    }
    match lower.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        Some(_) | None => format!("{lower}s"),
    }
}

/// Puts objects into the store as a new cluster would have them: identity and status that another
/// cluster gave them are left out, and so is everything a controller makes.
pub(super) fn put(store: &Store, objects: Vec<Value>) -> Result<(), Refusal> {
    for mut object in objects {
        let name = object["kind"].as_str().unwrap_or_default().to_owned();
        let made = matches!(name.as_str(), "Endpoints" | "EndpointSlice" | "Event");
        if made || object::owner(&object).is_some() {
            continue;
        }
        let known = kind(&name);
        let version = object["apiVersion"].as_str().unwrap_or_default().to_owned();
        let group = version
            .split_once('/')
            .map_or("", |(group, _)| group)
            .to_owned();
        if let Some(meta) = object["metadata"].as_object_mut() {
            for field in [
                "uid",
                "resourceVersion",
                "creationTimestamp",
                "generation",
                "managedFields",
                "selfLink",
                "deletionTimestamp",
            ] {
                meta.remove(field);
            }
        }
        let controlled = matches!(
            name.as_str(),
            "Deployment" | "HorizontalPodAutoscaler" | "Pod" | "ResourceQuota"
        );
        if controlled && let Some(members) = object.as_object_mut() {
            members.remove("status");
        }
        complete(store, &group, &known.resource, &mut object);
        let namespace = match object::namespace(&object) {
            _ if known.cluster => "",
            "" => "default",
            given => given,
        };
        let key = Key::new(&group, &known.resource, namespace, object::name(&object));
        if key.resource == "namespaces" {
            if object["status"].is_null() {
                object["status"] = json!({"phase": "Active"});
            }
            if store.get(&key).is_some() {
                continue;
            }
        }
        store.create(key, object, false)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_plural_of_the_api() {
        let cases = [
            ("Deployment", "deployments"),
            ("Ingress", "ingresses"),
            ("NetworkPolicy", "networkpolicies"),
            ("Gateway", "gateways"),
            ("GatewayClass", "gatewayclasses"),
            ("Endpoints", "endpoints"),
            ("HTTPRoute", "httproutes"),
            ("VirtualService", "virtualservices"),
            ("TrafficSplit", "trafficsplits"),
            ("DestinationRule", "destinationrules"),
        ];
        for (name, wanted) in cases {
            assert_eq!(kind(name).resource, wanted);
        }
    }
}
