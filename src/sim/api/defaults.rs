//! Fields the API server fills in, as far as clients see them.
//!
//! Owns: the defaults of built-in kinds. Must not: overwrite what the client said.

use serde_json::{Value, json};

use super::resources::Resource;

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
        "pods" => pod(object, creating),
        "services" => service(object, creating),
        "horizontalpodautoscalers" => {
            default(&mut object["spec"], "minReplicas", json!(1));
            if object["spec"].get("metrics").is_none() {
                object["spec"]["metrics"] = json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]);
            }
        }
        "namespaces" => {
            let name = object["metadata"]["name"].clone();
            default(&mut object["spec"], "finalizers", json!(["kubernetes"]));
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
            if creating {
                object["status"] = json!({"phase": "Active"});
            }
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
    } else if strategy["type"] == "RollingUpdate" {
        let rolling = &mut strategy["rollingUpdate"];
        default(rolling, "maxUnavailable", json!(1));
        default(rolling, "maxSurge", json!(0));
    }
    pod_spec(&mut spec["template"]["spec"]);
}

fn pod(object: &mut Value, creating: bool) {
    let spec = &mut object["spec"];
    pod_spec(spec);
    default(spec, "enableServiceLinks", json!(true));
    default(spec, "serviceAccountName", json!("default"));
    default(spec, "preemptionPolicy", json!("PreemptLowerPriority"));
    default(spec, "priority", json!(0));
    default(
        spec,
        "tolerations",
        json!([
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
        ]),
    );
    if creating {
        object["status"] = json!({"phase": "Pending", "qosClass": quality(&object["spec"])});
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
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter(|c| c.is_object()) {
            self::container(container);
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
    default(container, "resources", json!({}));
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(probe).filter(|p| p.is_object()) {
            if let Some(get) = probe.get_mut("httpGet").filter(|g| g.is_object()) {
                default(get, "path", json!("/"));
                default(get, "scheme", json!("HTTP"));
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

fn service(object: &mut Value, creating: bool) {
    let name = object["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let place = object["metadata"]["namespace"].as_str().unwrap_or_default();
    let address = address_of(place, &name);
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
    default(spec, "clusterIP", json!(address));
    let address = spec["clusterIP"].clone();
    default(spec, "clusterIPs", json!([address]));
    default(spec, "ipFamilies", json!(["IPv4"]));
    default(spec, "ipFamilyPolicy", json!("SingleStack"));
    default(spec, "internalTrafficPolicy", json!("Cluster"));
    if spec["type"] == "NodePort" || spec["type"] == "LoadBalancer" {
        default(spec, "externalTrafficPolicy", json!("Cluster"));
        for port in spec["ports"].as_array_mut().into_iter().flatten() {
            let number = port["port"].as_i64().unwrap_or(0);
            default(port, "nodePort", json!(30000 + number % 2768));
        }
    }
    if creating {
        object["status"] = json!({"loadBalancer": {}});
    }
}

/// Returns the cluster IP of a service: the same name has the same address in every run.
fn address_of(namespace: &str, name: &str) -> String {
    let mut hash: u32 = 2_166_136_261;
    for byte in namespace.bytes().chain([b'/']).chain(name.bytes()) {
        hash = (hash ^ u32::from(byte)).wrapping_mul(16_777_619);
    }
    format!("10.96.{}.{}", (hash >> 8) % 256, 1 + hash % 254)
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
