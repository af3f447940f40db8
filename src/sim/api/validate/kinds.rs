//! What is refused of the kinds that releases use.
//!
//! Owns: the rules of each kind. Must not: check metadata.

use serde_json::{Map, Value, json};

use super::{Cause, LABEL, is_label, labels};
use crate::sim::api::{defaults, resources::Resource};

const NEGATIVE: &str = "must be greater than or equal to 0";
const IMMUTABLE: &str = "field is immutable";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
const PORT: &str = "must be between 1 and 65535, inclusive";

pub(super) fn workload(
    resource: &Resource,
    new: &Value,
    old: Option<&Value>,
    causes: &mut Vec<Cause>,
) {
    let spec = &new["spec"];
    whole(spec, "replicas", "spec", causes);
    let selector = &spec["selector"];
    let wanted = selector["matchLabels"].as_object();
    let expressions = selector["matchExpressions"].as_array();
    let empty = wanted.is_none_or(Map::is_empty) && expressions.is_none_or(Vec::is_empty);
    if selector.is_null() {
        causes.push(Cause::required("spec.selector", ""));
    } else if empty {
        let why = "empty selector is invalid for deployment";
        causes.push(Cause::invalid("spec.selector", selector, why));
    }
    let template = &spec["template"]["metadata"]["labels"];
    let fits = |(key, value): (&String, &Value)| template.get(key) == Some(value);
    if selector.is_null() || wanted.is_some_and(|wanted| !wanted.iter().all(fits)) {
        let why = "`selector` does not match template `labels`";
        causes.push(Cause::invalid(
            "spec.template.metadata.labels",
            template,
            why,
        ));
    }
    labels(template, "spec.template.metadata.labels", causes);
    let pod = &spec["template"]["spec"];
    pod_spec(pod, "spec.template.spec", causes);
    if pod["restartPolicy"].is_string() && pod["restartPolicy"] != "Always" {
        let field = "spec.template.spec.restartPolicy";
        causes.push(Cause::unsupported(
            field,
            &pod["restartPolicy"],
            &["Always"],
        ));
    }
    if resource.plural == "deployments" {
        strategy(spec, causes);
    }
    whole(spec, "minReadySeconds", "spec", causes);
    let deadline = spec["progressDeadlineSeconds"].as_i64();
    if let Some(deadline) = deadline.filter(|d| *d <= spec["minReadySeconds"].as_i64().unwrap_or(0))
    {
        let why = "must be greater than minReadySeconds";
        causes.push(Cause::invalid(
            "spec.progressDeadlineSeconds",
            &json!(deadline),
            why,
        ));
    }
    if let Some(old) = old
        && old["spec"]["selector"] != *selector
    {
        causes.push(Cause::invalid("spec.selector", selector, IMMUTABLE));
    }
}

fn strategy(spec: &Value, causes: &mut Vec<Cause>) {
    let strategy = &spec["strategy"];
    let rolling = &strategy["rollingUpdate"];
    match strategy["type"].as_str() {
        Some("Recreate") if !rolling.is_null() => causes.push(Cause::forbidden(
            "spec.strategy.rollingUpdate",
            "may not be specified when strategy `type` is 'Recreate'",
        )),
        Some("Recreate") | None => {}
        Some("RollingUpdate") => self::rolling(rolling, causes),
        Some(other) => causes.push(Cause {
            reason: "FieldValueNotSupported",
            field: "spec.strategy".to_owned(),
            message: format!(
                "Unsupported value: {{\"Type\":\"{other}\",\"RollingUpdate\":{}}}: supported values: \"Recreate\", \"RollingUpdate\"",
                if rolling.is_null() { "null" } else { "{}" }
            ),
        }),
    }
}

fn rolling(rolling: &Value, causes: &mut Vec<Cause>) {
    for field in ["maxUnavailable", "maxSurge"] {
        let value = &rolling[field];
        let path = format!("spec.strategy.rollingUpdate.{field}");
        match value {
            Value::String(text) => {
                let digits = text.strip_suffix('%').filter(|d| !d.is_empty());
                match digits.and_then(|d| d.parse::<u32>().ok()) {
                    None => causes.push(Cause::invalid(path, value, PERCENT)),
                    Some(percent) if percent > 100 && field == "maxUnavailable" => {
                        causes.push(Cause::invalid(path, value, "must not be greater than 100%"));
                    }
                    Some(_) => {}
                }
            }
            other if other.as_i64().is_some_and(|n| n < 0) => {
                causes.push(Cause::invalid(path, other, NEGATIVE));
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => {}
        }
    }
    let zero = |value: &Value| *value == 0 || *value == "0%";
    if zero(&rolling["maxUnavailable"]) && zero(&rolling["maxSurge"]) {
        causes.push(Cause::invalid(
            "spec.strategy.rollingUpdate.maxUnavailable",
            &rolling["maxUnavailable"],
            "may not be 0 when `maxSurge` is 0",
        ));
    }
}

pub(super) fn pod(resource: &Resource, new: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    pod_spec(&new["spec"], "spec", causes);
    // A pod without defaults is compared as if it had them: the write fills them in.
    let (mut old, mut new) = match old {
        Some(old) if old["spec"] != new["spec"] => (old.clone(), new.clone()),
        Some(_) | None => return,
    };
    defaults::fill(resource, &mut old, false);
    defaults::fill(resource, &mut new, false);
    // Of a pod's spec only images, tolerations and two deadlines may change.
    let frozen = |pod: &Value| {
        let mut spec = pod["spec"].clone();
        for list in ["containers", "initContainers"] {
            let containers = spec.get_mut(list).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                container["image"] = Value::Null;
            }
        }
        for field in [
            "activeDeadlineSeconds",
            "tolerations",
            "terminationGracePeriodSeconds",
        ] {
            if let Some(map) = spec.as_object_mut() {
                map.shift_remove(field);
            }
        }
        spec
    };
    if frozen(&new) != frozen(&old) {
        causes.push(Cause::forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        ));
    }
}

pub(super) fn pod_spec(spec: &Value, field: &str, causes: &mut Vec<Cause>) {
    let containers = spec["containers"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if containers.is_empty() {
        causes.push(Cause::required(format!("{field}.containers"), ""));
    }
    let mut names = Vec::new();
    for (at, container) in containers.iter().enumerate() {
        let field = format!("{field}.containers[{at}]");
        let name = container["name"].as_str().unwrap_or_default();
        let duplicate = names.contains(&name);
        if name.is_empty() {
            causes.push(Cause::required(format!("{field}.name"), ""));
        } else if !is_label(name) || name.len() > 63 {
            causes.push(Cause::invalid(format!("{field}.name"), &json!(name), LABEL));
        } else if duplicate {
            causes.push(Cause::duplicate(format!("{field}.name"), &json!(name)));
        }
        names.push(name);
        if container["image"].as_str().unwrap_or_default().is_empty() {
            causes.push(Cause::required(format!("{field}.image"), ""));
        }
        for (at, port) in container["ports"]
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
        {
            let number = &port["containerPort"];
            if !(1..=65535).contains(&number.as_i64().unwrap_or(0)) {
                let field = format!("{field}.ports[{at}].containerPort");
                causes.push(Cause::invalid(
                    field,
                    number,
                    "must be between 1 and 65535, inclusive",
                ));
            }
        }
    }
}

pub(super) fn service(new: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let spec = &new["spec"];
    let ports = spec["ports"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let bare = spec["type"] == "ExternalName" || spec["clusterIP"] == "None";
    if ports.is_empty() && !bare {
        causes.push(Cause::required("spec.ports", ""));
    }
    for (at, port) in ports.iter().enumerate() {
        let name = port["name"].as_str().unwrap_or_default();
        let earlier = &ports[..at];
        if ports.len() > 1 && name.is_empty() {
            causes.push(Cause::required(format!("spec.ports[{at}].name"), ""));
        } else if !name.is_empty() && earlier.iter().any(|p| p["name"] == name) {
            causes.push(Cause::duplicate(
                format!("spec.ports[{at}].name"),
                &json!(name),
            ));
        }
        for field in ["port", "targetPort"] {
            let number = &port[field];
            if !number.is_string() && !(1..=65535).contains(&number.as_i64().unwrap_or(0)) {
                causes.push(Cause::invalid(
                    format!("spec.ports[{at}].{field}"),
                    number,
                    PORT,
                ));
            }
        }
        let same = |p: &&Value| p["port"] == port["port"] && p["protocol"] == port["protocol"];
        if earlier.iter().any(|p| same(&p)) {
            let shown = format!(
                "{{\"Name\":\"\",\"Protocol\":{},\"AppProtocol\":null,\"Port\":{},\"TargetPort\":0,\"NodePort\":0}}",
                port["protocol"], port["port"]
            );
            causes.push(Cause {
                reason: "FieldValueDuplicate",
                field: format!("spec.ports[{at}]"),
                message: format!("Duplicate value: {shown}"),
            });
        }
    }
    if let Some(old) = old
        && old["spec"]["clusterIP"].is_string()
        && old["spec"]["clusterIP"] != spec["clusterIP"]
        && old["spec"]["type"] == spec["type"]
    {
        causes.push(Cause::invalid(
            "spec.clusterIPs[0]",
            &json!([spec["clusterIP"]]),
            "may not change once set",
        ));
    }
}

pub(super) fn autoscaler(new: &Value, causes: &mut Vec<Cause>) {
    let spec = &new["spec"];
    let least = spec["minReplicas"].as_i64().unwrap_or(1);
    let most = spec["maxReplicas"].as_i64().unwrap_or(0);
    if least < 1 {
        causes.push(Cause::invalid(
            "spec.minReplicas",
            &spec["minReplicas"],
            "must be greater than or equal to 1",
        ));
    }
    if spec["maxReplicas"].is_null() || most == 0 {
        let why = "must be set and greater than 0";
        causes.push(Cause::required("spec.maxReplicas", why));
    } else if most < 1 {
        causes.push(Cause::invalid(
            "spec.maxReplicas",
            &json!(most),
            "must be greater than 0",
        ));
    }
    if most >= 1 && most < least {
        causes.push(Cause::invalid(
            "spec.maxReplicas",
            &json!(most),
            "must be greater than or equal to `minReplicas`",
        ));
    }
    let target = &spec["scaleTargetRef"];
    let text = |field: &str| target[field].as_str().unwrap_or_default();
    for field in ["kind", "name"] {
        if text(field).is_empty() {
            causes.push(Cause::required(format!("spec.scaleTargetRef.{field}"), ""));
        }
    }
    if !text("apiVersion").contains('/') && text("kind") != "ReplicationController" {
        let field = "spec.scaleTargetRef.apiVersion";
        let why = "apiVersion must specify API group";
        causes.push(Cause::invalid(field, &json!(text("apiVersion")), why));
    }
    let metrics = spec["metrics"].as_array().into_iter().flatten();
    let outside = |m: &Value| m["type"] == "Object" || m["type"] == "External";
    if spec["minReplicas"] == 0 && !metrics.into_iter().any(outside) {
        causes.push(Cause::forbidden(
            "spec.metrics",
            "must specify at least one Object or External metric to support scaling to zero replicas",
        ));
    }
}

pub(super) fn config(new: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    for field in ["data", "binaryData"] {
        for (key, _) in new[field].as_object().into_iter().flatten() {
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if key.is_empty() || !key.chars().all(fits) {
                causes.push(Cause::invalid(
                    format!("{field}[{key}]"),
                    &json!(key),
                    CONFIG_KEY,
                ));
            }
        }
    }
    let Some(old) = old.filter(|old| old["immutable"] == true) else {
        return;
    };
    if new["immutable"] != true {
        causes.push(Cause::forbidden(
            "immutable",
            "field is immutable when `immutable` is set",
        ));
    }
    for field in ["data", "binaryData"] {
        if new[field] != old[field] {
            causes.push(Cause::forbidden(
                field,
                "field is immutable when `immutable` is set",
            ));
        }
    }
}

fn whole(parent: &Value, field: &str, path: &str, causes: &mut Vec<Cause>) {
    let value = &parent[field];
    if value.as_i64().is_some_and(|number| number < 0) {
        causes.push(Cause::invalid(format!("{path}.{field}"), value, NEGATIVE));
    } else if !value.is_null() && value.as_i64().is_none() {
        causes.push(Cause::invalid(
            format!("{path}.{field}"),
            value,
            "must be an integer",
        ));
    }
}
