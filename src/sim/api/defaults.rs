//! Fields the API server fills in, as far as clients see them.
//!
//! Owns: the defaults of built-in kinds, and what admission and allocation add after them. Must
//! not: overwrite what the client said.

use serde_json::{Value, json};

use super::resources::Resource;
use crate::sim::hash::hash_of;

/// Fills in what is missing; `creating` adds the first status as well.
pub(crate) fn fill(resource: &Resource, object: &mut Value, creating: bool) {
    if !resource.builtin {
        return;
    }
    match resource.plural.as_str() {
        "deployments" => deployment(object),
        "replicasets" => {
            let spec = &mut object["spec"];
            default(spec, "replicas", json!(1));
            pod_spec(&mut spec["template"]["spec"]);
        }
        "statefulsets" | "daemonsets" => set(object, &resource.plural),
        "pods" => {
            let spec = &mut object["spec"];
            pod_spec(spec);
            default(spec, "enableServiceLinks", json!(true));
            requests(spec);
            if spec["nodeName"] == "" {
                spec["nodeName"] = Value::Null;
            }
        }
        "services" => service(object),
        "horizontalpodautoscalers" => autoscaler(&mut object["spec"]),
        "resourcequotas" => {
            let hard = object["spec"]["hard"].as_object_mut();
            for (_, limit) in hard.into_iter().flatten().filter(|(_, l)| l.is_number()) {
                *limit = json!(limit.to_string());
            }
        }
        "namespaces" => {
            let name = object["metadata"]["name"].clone();
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
        }
        "secrets" => {
            default(object, "type", json!("Opaque"));
            plain_to_encoded(object);
        }
        "customresourcedefinitions" if creating => established(object),
        "persistentvolumeclaims" if creating => object["status"] = json!({"phase": "Pending"}),
        "jobs" => {
            let spec = &mut object["spec"];
            default(spec, "backoffLimit", json!(6));
            default(spec, "completions", json!(1));
            default(spec, "parallelism", json!(1));
            pod_spec(&mut spec["template"]["spec"]);
        }
        "events" => {
            default(object, "type", json!("Normal"));
        }
        _ => {}
    }
}

/// Adds what nobody owns: what admission and the storage of a resource put into a new object.
pub(crate) fn admit(plural: &str, object: &mut Value) {
    match plural {
        "pods" => pod(object),
        "services" => allocate(object),
        "namespaces" => {
            default(&mut object["spec"], "finalizers", json!(["kubernetes"]));
            default(object, "status", json!({"phase": "Active"}));
        }
        "deployments" | "jobs" | "resourcequotas" => default(object, "status", json!({})),
        "replicasets" => default(object, "status", json!({"replicas": 0})),
        "statefulsets" => default(
            object,
            "status",
            json!({"replicas": 0, "availableReplicas": 0}),
        ),
        "horizontalpodautoscalers" => {
            default(
                object,
                "status",
                json!({"desiredReplicas": 0, "currentMetrics": null}),
            );
        }
        _ => {}
    }
}

fn deployment(object: &mut Value) {
    let spec = &mut object["spec"];
    default(spec, "replicas", json!(1));
    default(spec, "revisionHistoryLimit", json!(10));
    default(spec, "progressDeadlineSeconds", json!(600));
    let strategy = &mut spec["strategy"];
    default(strategy, "type", json!("RollingUpdate"));
    if strategy["type"] == "RollingUpdate" {
        let rolling = &mut strategy["rollingUpdate"];
        default(rolling, "maxUnavailable", json!("25%"));
        default(rolling, "maxSurge", json!("25%"));
    }
    pod_spec(&mut spec["template"]["spec"]);
}

fn autoscaler(spec: &mut Value) {
    default(spec, "minReplicas", json!(1));
    default(
        spec,
        "metrics",
        json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]),
    );
    if !spec["behavior"].is_object() {
        return;
    }
    let pace = |kind: &str, value: i64| json!({"type": kind, "value": value, "periodSeconds": 15});
    let behavior = &mut spec["behavior"];
    default(
        &mut behavior["scaleUp"],
        "stabilizationWindowSeconds",
        json!(0),
    );
    let both = json!([pace("Pods", 4), pace("Percent", 100)]);
    default(&mut behavior["scaleUp"], "policies", both);
    default(
        &mut behavior["scaleDown"],
        "policies",
        json!([pace("Percent", 100)]),
    );
    for way in ["scaleUp", "scaleDown"] {
        default(&mut behavior[way], "selectPolicy", json!("Max"));
    }
}

fn set(object: &mut Value, plural: &str) {
    let spec = &mut object["spec"];
    default(spec, "revisionHistoryLimit", json!(10));
    let strategy = &mut spec["updateStrategy"];
    default(strategy, "type", json!("RollingUpdate"));
    if plural == "statefulsets" {
        if strategy["type"] == "RollingUpdate" {
            default(&mut strategy["rollingUpdate"], "partition", json!(0));
        }
        default(spec, "replicas", json!(1));
        default(spec, "podManagementPolicy", json!("OrderedReady"));
        let keep = &mut spec["persistentVolumeClaimRetentionPolicy"];
        default(keep, "whenDeleted", json!("Retain"));
        default(keep, "whenScaled", json!("Retain"));
    } else if strategy["type"] == "RollingUpdate" {
        let rolling = &mut strategy["rollingUpdate"];
        default(rolling, "maxUnavailable", json!(1));
        default(rolling, "maxSurge", json!(0));
    }
    pod_spec(&mut spec["template"]["spec"]);
}

fn pod(object: &mut Value) {
    let names = [
        &object["metadata"]["namespace"],
        &object["metadata"]["generateName"],
        &object["metadata"]["name"],
    ];
    let hash = hash_of(names.into_iter().filter_map(Value::as_str));
    let quality = quality(&object["spec"]);
    let spec = &mut object["spec"];
    default(spec, "serviceAccountName", json!("default"));
    let account = spec["serviceAccountName"].clone();
    default(spec, "serviceAccount", account);
    default(spec, "preemptionPolicy", json!("PreemptLowerPriority"));
    default(spec, "priority", json!(0));
    for trouble in ["not-ready", "unreachable"] {
        let key = format!("node.kubernetes.io/{trouble}");
        let known = spec["tolerations"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        if !known.iter().any(|t| t["key"] == key.as_str()) {
            push(
                spec,
                "tolerations",
                json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}),
            );
        }
    }
    if spec["automountServiceAccountToken"] != false {
        mount_token(spec, hash);
    }
    object["status"] = json!({"phase": "Pending", "qosClass": quality});
}

/// Gives every container the token of the pod's account.
fn mount_token(spec: &mut Value, mut hash: u32) {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut name = String::from("kube-api-access-");
    for _ in 0..5 {
        let digit = usize::try_from(hash % 27).unwrap_or(0);
        name.push(char::from(ALPHABET[digit]));
        hash /= 27;
    }
    push(
        spec,
        "volumes",
        json!({"name": name, "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ]}}),
    );
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter(|c| c.is_object()) {
            push(
                container,
                "volumeMounts",
                json!({"name": name, "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}),
            );
        }
    }
}

fn push(parent: &mut Value, list: &str, item: Value) {
    if !parent[list].is_array() {
        parent[list] = json!([]);
    }
    if let Some(list) = parent[list].as_array_mut() {
        list.push(item);
    }
}

/// Returns the quality-of-service class of a pod.
fn quality(spec: &Value) -> &'static str {
    let containers = spec["containers"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let asks = |c: &Value, list: &str| {
        c["resources"][list]
            .as_object()
            .is_some_and(|m| !m.is_empty())
    };
    let full = |c: &Value| {
        let limits = &c["resources"]["limits"];
        limits.get("cpu").is_some()
            && limits.get("memory").is_some()
            && (!asks(c, "requests") || c["resources"]["requests"] == *limits)
    };
    if containers.iter().all(full) {
        "Guaranteed"
    } else if containers
        .iter()
        .any(|c| asks(c, "requests") || asks(c, "limits"))
    {
        "Burstable"
    } else {
        "BestEffort"
    }
}

fn pod_spec(spec: &mut Value) {
    if !spec.is_object() {
        return;
    }
    default(spec, "restartPolicy", json!("Always"));
    default(spec, "terminationGracePeriodSeconds", json!(30));
    default(spec, "dnsPolicy", json!("ClusterFirst"));
    default(spec, "securityContext", json!({}));
    default(spec, "schedulerName", json!("default-scheduler"));
    if spec["serviceAccountName"].is_string() {
        let account = spec["serviceAccountName"].clone();
        default(spec, "serviceAccount", account);
    }
    for volume in spec
        .get_mut("volumes")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        for source in ["configMap", "secret", "projected", "downwardAPI"] {
            if volume[source].is_object() {
                default(&mut volume[source], "defaultMode", json!(420));
            }
        }
        if volume["hostPath"].is_object() {
            default(&mut volume["hostPath"], "type", json!(""));
        }
    }
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter(|c| c.is_object()) {
            self::container(container);
        }
    }
}

/// Asks for what the containers of a pod are limited to.
fn requests(spec: &mut Value) {
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let limits = container["resources"]["limits"].clone();
            for (name, limit) in limits.as_object().into_iter().flatten() {
                default(&mut container["resources"]["requests"], name, limit.clone());
            }
        }
    }
}

fn container(container: &mut Value) {
    for port in container
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        default(port, "protocol", json!("TCP"));
    }
    for variable in container
        .get_mut("env")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if variable["valueFrom"]["fieldRef"].is_object() {
            default(
                &mut variable["valueFrom"]["fieldRef"],
                "apiVersion",
                json!("v1"),
            );
        }
    }
    default(container, "resources", json!({}));
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(probe).filter(|p| p.is_object()) {
            if let Some(get) = probe.get_mut("httpGet").filter(|g| g.is_object()) {
                default(get, "path", json!("/"));
                default(get, "scheme", json!("HTTP"));
            }
            if probe["grpc"].is_object() {
                default(&mut probe["grpc"], "service", json!(""));
            }
            default(probe, "timeoutSeconds", json!(1));
            default(probe, "periodSeconds", json!(10));
            default(probe, "successThreshold", json!(1));
            default(probe, "failureThreshold", json!(3));
        }
    }
    default(
        container,
        "terminationMessagePath",
        json!("/dev/termination-log"),
    );
    default(container, "terminationMessagePolicy", json!("File"));
    let image = container["image"].as_str().unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    let tag = last
        .split('@')
        .next()
        .and_then(|n| n.split_once(':'))
        .map(|(_, tag)| tag);
    let floating = tag == Some("latest") || (tag.is_none() && !last.contains('@'));
    let policy = if floating { "Always" } else { "IfNotPresent" };
    default(container, "imagePullPolicy", json!(policy));
}

fn service(object: &mut Value) {
    let spec = &mut object["spec"];
    default(spec, "type", json!("ClusterIP"));
    default(spec, "sessionAffinity", json!("None"));
    for port in spec
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        default(port, "protocol", json!("TCP"));
        let number = port["port"].clone();
        default(port, "targetPort", number);
    }
    if spec["type"] == "ExternalName" {
        return;
    }
    default(spec, "internalTrafficPolicy", json!("Cluster"));
    if spec["type"] == "NodePort" || spec["type"] == "LoadBalancer" {
        default(spec, "externalTrafficPolicy", json!("Cluster"));
    }
}

/// Gives a Service its addresses and ports.
fn allocate(object: &mut Value) {
    let place = object["metadata"]["namespace"].as_str();
    let name = object["metadata"]["name"].as_str();
    let hash = hash_of(place.into_iter().chain(name));
    let spec = &mut object["spec"];
    if spec["type"] != "ExternalName" {
        let address = format!("10.96.{}.{}", (hash >> 8) % 256, 1 + hash % 254);
        default(spec, "clusterIP", json!(address));
        let address = spec["clusterIP"].clone();
        default(spec, "clusterIPs", json!([address]));
        default(spec, "ipFamilies", json!(["IPv4"]));
        default(spec, "ipFamilyPolicy", json!("SingleStack"));
        if spec["type"] == "NodePort" || spec["type"] == "LoadBalancer" {
            for port in spec["ports"].as_array_mut().into_iter().flatten() {
                let number = port["port"].as_i64().unwrap_or(0);
                default(port, "nodePort", json!(30000 + number % 2768));
            }
        }
    }
    default(&mut object["status"], "loadBalancer", json!({}));
}

/// Moves `stringData` into `data`.
fn plain_to_encoded(secret: &mut Value) {
    let Some(plain) = secret
        .as_object_mut()
        .and_then(|m| m.shift_remove("stringData"))
    else {
        return;
    };
    for (key, value) in plain.as_object().into_iter().flatten() {
        let text = value.as_str().unwrap_or_default();
        secret["data"][key.as_str()] = json!(base64(text.as_bytes()));
    }
}

/// Returns bytes in base64.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            let digit = usize::try_from(word >> (18 - 6 * i) & 63).unwrap_or(0);
            text.push(if i <= chunk.len() {
                char::from(ALPHABET[digit])
            } else {
                '='
            });
        }
    }
    text
}

fn established(object: &mut Value) {
    let spec = &object["spec"];
    let versions = spec["versions"].as_array().into_iter().flatten();
    let stored: Vec<Value> = versions
        .filter(|v| v["storage"] == true)
        .map(|v| v["name"].clone())
        .collect();
    let condition = |kind: &str, reason: &str| json!({"type": kind, "status": "True", "reason": reason, "message": ""});
    object["status"] = json!({
        "acceptedNames": spec["names"],
        "storedVersions": stored,
        "conditions": [condition("NamesAccepted", "NoConflicts"), condition("Established", "InitialNamesAccepted")],
    });
}

fn default(parent: &mut Value, field: &str, value: Value) {
    if parent.is_null() {
        *parent = json!({});
    }
    if let Some(map) = parent.as_object_mut() {
        let missing = map.get(field).is_none_or(Value::is_null);
        if missing {
            map.insert(field.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pull_policy_follows_the_tag() {
        for (image, policy) in [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1.2", "IfNotPresent"),
            ("reg:5000/nginx", "Always"),
            ("reg:5000/nginx@sha256:00", "IfNotPresent"),
        ] {
            let mut it = json!({"image": image});
            container(&mut it);
            assert_eq!(it["imagePullPolicy"], policy, "{image}");
        }
    }

    #[test]
    fn secrets_are_encoded() {
        for (plain, encoded) in [("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj")] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }
}
