//! What the API server refuses with 422.
//!
//! Owns: the rules clients run into and their wording. Must not: change objects. Schemas of custom
//! resources are not enforced.

use serde_json::{Map, Value, json};

use super::{defaults, resources::Resource};
use crate::sim::store::{Key, Refusal};

const NEGATIVE: &str = "must be greater than or equal to 0";
const IMMUTABLE: &str = "field is immutable";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const OLD_LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// One thing wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    reason: &'static str,
    field: String,
    message: String,
}

impl Cause {
    /// A field has a value it must not have.
    pub(crate) fn invalid(field: impl Into<String>, value: &Value, why: &str) -> Self {
        Self {
            reason: "FieldValueInvalid",
            field: field.into(),
            message: format!("Invalid value: {value}: {why}"),
        }
    }

    fn required(field: impl Into<String>, why: &str) -> Self {
        let colon = if why.is_empty() { "" } else { ": " };
        Self {
            reason: "FieldValueRequired",
            field: field.into(),
            message: format!("Required value{colon}{why}"),
        }
    }

    fn forbidden(field: impl Into<String>, why: &str) -> Self {
        Self {
            reason: "FieldValueForbidden",
            field: field.into(),
            message: format!("Forbidden: {why}"),
        }
    }

    fn unsupported(field: impl Into<String>, value: &Value, known: &[&str]) -> Self {
        let known: Vec<String> = known.iter().map(|k| format!("\"{k}\"")).collect();
        Self {
            reason: "FieldValueNotSupported",
            field: field.into(),
            message: format!(
                "Unsupported value: {value}: supported values: {}",
                known.join(", ")
            ),
        }
    }
}

/// Returns the 422 for an object called `name`; `kind` is its group and kind.
pub(crate) fn invalid(
    qualified_kind: &str,
    kind: (&str, &str),
    name: &str,
    causes: &[Cause],
) -> Refusal {
    let lines: Vec<String> = causes
        .iter()
        .map(|c| format!("{}: {}", c.field, c.message))
        .collect();
    let text = match lines.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    };
    let causes: Vec<Value> = causes
        .iter()
        .map(|c| json!({"reason": c.reason, "message": c.message, "field": c.field}))
        .collect();
    Refusal {
        details: json!({"name": name, "group": kind.0, "kind": kind.1, "causes": causes}),
        ..Refusal::new(
            422,
            "Invalid",
            format!("{qualified_kind} \"{name}\" is invalid: {text}"),
        )
    }
}

/// Checks an object that is about to be created, or that is about to replace `old`.
pub(crate) fn object(resource: &Resource, new: &Value, old: Option<&Value>) -> Result<(), Refusal> {
    let mut causes = Vec::new();
    metadata(resource, new, old.is_none(), &mut causes);
    if resource.builtin {
        match resource.plural.as_str() {
            "deployments" | "replicasets" | "statefulsets" | "daemonsets" => {
                workload(resource, new, old, &mut causes);
            }
            "pods" => pod(resource, new, old, &mut causes),
            "jobs" => pod_spec(
                &new["spec"]["template"]["spec"],
                "spec.template.spec",
                &mut causes,
            ),
            "services" => service(new, old, &mut causes),
            "horizontalpodautoscalers" => autoscaler(new, &mut causes),
            "events" => {
                let place = &new["involvedObject"]["namespace"];
                if !place.is_null() && *place != new["metadata"]["namespace"] {
                    causes.push(Cause::invalid(
                        "involvedObject.namespace",
                        place,
                        "does not match event.namespace",
                    ));
                }
            }
            "configmaps" => text_values(new, "data", &mut causes),
            _ => {}
        }
    }
    if causes.is_empty() {
        return Ok(());
    }
    let name = new["metadata"]["name"].as_str().unwrap_or_default();
    Err(invalid(
        &resource.qualified_kind(),
        (&resource.group, &resource.kind),
        name,
        &causes,
    ))
}

/// Checks a PUT: some kinds must name the version they replace.
pub(crate) fn replacement(resource: &Resource, key: &Key, new: &Value) -> Result<(), Refusal> {
    let strict = !resource.builtin
        || matches!(
            resource.plural.as_str(),
            "leases" | "customresourcedefinitions" | "poddisruptionbudgets"
        );
    let version = new["metadata"]["resourceVersion"].as_str();
    if !strict || version.is_some_and(|v| !v.is_empty()) {
        return Ok(());
    }
    let cause = Cause {
        reason: "FieldValueInvalid",
        field: "metadata.resourceVersion".to_owned(),
        message: "Invalid value: 0x0: must be specified for an update".to_owned(),
    };
    Err(invalid(
        &key.qualified(),
        (&key.group, &key.resource),
        &key.name,
        &[cause],
    ))
}

fn metadata(resource: &Resource, new: &Value, creating: bool, causes: &mut Vec<Cause>) {
    let meta = &new["metadata"];
    let name = meta["name"].as_str().unwrap_or_default();
    let prefix = meta["generateName"].as_str().unwrap_or_default();
    if creating && name.is_empty() {
        if prefix.is_empty() {
            causes.push(Cause::required(
                "metadata.name",
                "name or generateName is required",
            ));
        } else if let Some(why) = bad_name(resource, &format!("{prefix}x")) {
            causes.push(Cause::invalid("metadata.generateName", &json!(prefix), why));
        }
    } else if let Some(why) = bad_name(resource, name) {
        causes.push(Cause::invalid("metadata.name", &json!(name), why));
    }
    labels(&meta["labels"], "metadata.labels", causes);
    for (key, value) in meta["annotations"].as_object().into_iter().flatten() {
        if !value.is_string() {
            causes.push(Cause::invalid(
                format!("metadata.annotations.{key}"),
                value,
                "must be a string",
            ));
        }
    }
}

/// Returns why a name is not one.
fn bad_name(resource: &Resource, name: &str) -> Option<&'static str> {
    let label = |text: &str| {
        let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        !text.is_empty()
            && text.chars().all(|c| edge(c) || c == '-')
            && text.starts_with(edge)
            && text.ends_with(edge)
    };
    match resource.plural.as_str() {
        "roles" | "rolebindings" if resource.builtin => None,
        "services" if resource.builtin => {
            let fits = label(name)
                && name.len() < 64
                && name.starts_with(|c: char| c.is_ascii_lowercase());
            (!fits).then_some(OLD_LABEL)
        }
        "namespaces" if resource.builtin => (!label(name) || name.len() > 63).then_some(LABEL),
        _ => (!name.split('.').all(label) || name.len() > 253).then_some(SUBDOMAIN),
    }
}

fn labels(labels: &Value, field: &str, causes: &mut Vec<Cause>) {
    for value in labels.as_object().into_iter().flatten().map(|(_, v)| v) {
        let text = value.as_str().unwrap_or("/");
        let edge = |c: char| c.is_ascii_alphanumeric();
        let inner = |c: char| edge(c) || "-_.".contains(c);
        let fits = text.is_empty()
            || (text.chars().all(inner) && text.starts_with(edge) && text.ends_with(edge));
        if !fits {
            causes.push(Cause::invalid(field, value, LABEL_VALUE));
        } else if text.len() > 63 {
            causes.push(Cause::invalid(
                field,
                value,
                "must be no more than 63 characters",
            ));
        }
    }
}

fn workload(resource: &Resource, new: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let spec = &new["spec"];
    whole(spec, "replicas", "spec", causes);
    whole(spec, "minReadySeconds", "spec", causes);
    let selector = &spec["selector"];
    let wanted = selector["matchLabels"].as_object();
    let expressions = selector["matchExpressions"].as_array();
    if wanted.is_none_or(Map::is_empty) && expressions.is_none_or(Vec::is_empty) {
        if selector.is_null() {
            causes.push(Cause::required("spec.selector", ""));
        } else {
            causes.push(Cause::invalid(
                "spec.selector",
                selector,
                "empty selector is invalid for deployment",
            ));
        }
    }
    let template = &spec["template"]["metadata"]["labels"];
    labels(template, "spec.template.metadata.labels", causes);
    if let Some(wanted) = wanted
        && !wanted.iter().all(|(k, v)| template.get(k) == Some(v))
    {
        let shown = if template.is_null() {
            json!({})
        } else {
            template.clone()
        };
        causes.push(Cause::invalid(
            "spec.template.metadata.labels",
            &shown,
            "`selector` does not match template `labels`",
        ));
    }
    if let Some(old) = old
        && old["spec"]["selector"] != *selector
    {
        causes.push(Cause::invalid("spec.selector", selector, IMMUTABLE));
    }
    if resource.plural == "deployments" {
        strategy(spec, causes);
    }
    pod_spec(&spec["template"]["spec"], "spec.template.spec", causes);
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
        Some("RollingUpdate") => {
            let zero = |v: &Value| *v == 0 || *v == "0%";
            if zero(&rolling["maxUnavailable"]) && zero(&rolling["maxSurge"]) {
                causes.push(Cause::invalid(
                    "spec.strategy.rollingUpdate.maxUnavailable",
                    &rolling["maxUnavailable"],
                    "may not be 0 when `maxSurge` is 0",
                ));
            }
        }
        Some(_) => causes.push(Cause::unsupported(
            "spec.strategy.type",
            &strategy["type"],
            &["Recreate", "RollingUpdate"],
        )),
    }
}

fn pod(resource: &Resource, new: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
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

fn pod_spec(spec: &Value, field: &str, causes: &mut Vec<Cause>) {
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
        if name.is_empty() {
            causes.push(Cause::required(format!("{field}.name"), ""));
        } else if names.contains(&name) {
            causes.push(Cause {
                reason: "FieldValueDuplicate",
                field: format!("{field}.name"),
                message: format!("Duplicate value: \"{name}\""),
            });
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

fn service(new: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
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
        if !(1..=65535).contains(&port["port"].as_i64().unwrap_or(0)) {
            let field = format!("spec.ports[{at}].port");
            causes.push(Cause::invalid(
                field,
                &port["port"],
                "must be between 1 and 65535, inclusive",
            ));
        }
        if ports.len() > 1 && port["name"].as_str().unwrap_or_default().is_empty() {
            causes.push(Cause::required(format!("spec.ports[{at}].name"), ""));
        }
    }
    if let Some(old) = old
        && old["spec"]["clusterIP"].is_string()
        && old["spec"]["clusterIP"] != spec["clusterIP"]
        && old["spec"]["type"] == spec["type"]
    {
        causes.push(Cause::invalid(
            "spec.clusterIPs[0]",
            &spec["clusterIP"],
            "may not change once set",
        ));
    }
}

fn autoscaler(new: &Value, causes: &mut Vec<Cause>) {
    let spec = &new["spec"];
    for field in ["kind", "name"] {
        if spec["scaleTargetRef"][field]
            .as_str()
            .unwrap_or_default()
            .is_empty()
        {
            causes.push(Cause::required(format!("spec.scaleTargetRef.{field}"), ""));
        }
    }
    let (least, most) = (
        spec["minReplicas"].as_i64().unwrap_or(1),
        spec["maxReplicas"].as_i64().unwrap_or(0),
    );
    if least < 1 {
        causes.push(Cause::invalid(
            "spec.minReplicas",
            &spec["minReplicas"],
            "must be greater than or equal to 1",
        ));
    }
    if most < 1 {
        causes.push(Cause::invalid(
            "spec.maxReplicas",
            &json!(most),
            "must be greater than 0",
        ));
    } else if most < least {
        causes.push(Cause::invalid(
            "spec.maxReplicas",
            &json!(most),
            "must be greater than or equal to `minReplicas`",
        ));
    }
}

fn text_values(new: &Value, field: &str, causes: &mut Vec<Cause>) {
    for (key, value) in new[field].as_object().into_iter().flatten() {
        if !value.is_string() {
            causes.push(Cause::invalid(
                format!("{field}[{key}]"),
                value,
                "must be a string",
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
