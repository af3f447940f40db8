//! What the API server refuses with 422.
//!
//! Owns: the rules clients run into and their wording. Must not: change objects. Schemas of custom
//! resources are not enforced.

mod kinds;

use serde_json::{Value, json};

use self::kinds::{autoscaler, config, pod, pod_spec, service, workload};
use super::resources::{Resource, Target};
use crate::sim::store::{Key, Refusal};

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
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

    /// A text is longer than it may be.
    pub(crate) fn too_long(field: impl Into<String>, bytes: usize) -> Self {
        Self {
            reason: "FieldValueTooLong",
            field: field.into(),
            message: format!("Too long: may not be more than {bytes} bytes"),
        }
    }

    fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self {
            reason: "FieldValueDuplicate",
            field: field.into(),
            message: format!("Duplicate value: {value}"),
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

    pub(crate) fn forbidden(field: impl Into<String>, why: &str) -> Self {
        Self {
            reason: "FieldValueForbidden",
            field: field.into(),
            message: format!("Forbidden: {why}"),
        }
    }

    pub(crate) fn unsupported(field: impl Into<String>, value: &Value, known: &[&str]) -> Self {
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
    let mut lines: Vec<String> = Vec::new();
    for cause in causes {
        let line = format!("{}: {}", cause.field, cause.message);
        // What is found twice is a cause twice, and said once.
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
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

/// Returns an object as Go prints a map.
pub(crate) fn go_map(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut members: Vec<String> = map
                .iter()
                .map(|(k, v)| format!("{k}:{}", go_map(v)))
                .collect();
            members.sort();
            format!("map[{}]", members.join(" "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(go_map).collect();
            format!("[{}]", items.join(" "))
        }
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// Checks an event in the form of `events.k8s.io`, which asks more of it than the core group.
pub(crate) fn event(target: &Target, sent: &Value) -> Result<(), Refusal> {
    if target.resource.group != "events.k8s.io" {
        return Ok(());
    }
    let mut causes = Vec::new();
    let empty = |field: &str| sent[field].as_str().unwrap_or_default().is_empty();
    if empty("eventTime") {
        causes.push(Cause::required("eventTime", ""));
    } else {
        if empty("reportingController") {
            causes.push(Cause::required("reportingController", ""));
            for why in ["name part must be non-empty", NAME_PART] {
                causes.push(Cause::invalid("reportingController", &json!(""), why));
            }
        }
        for field in ["reportingInstance", "action", "reason"] {
            if empty(field) {
                causes.push(Cause::required(field, ""));
            }
        }
        let kind = sent["type"].as_str().unwrap_or_default();
        if kind != "Normal" && kind != "Warning" {
            causes.push(Cause::invalid(
                "type",
                &json!(""),
                &format!("has invalid value: {kind}"),
            ));
        }
    }
    if causes.is_empty() {
        return Ok(());
    }
    let name = sent["metadata"]["name"].as_str().unwrap_or_default();
    Err(invalid("Event", ("", "Event"), name, &causes))
}

/// Checks an object that is about to be created, or that is about to replace `old`.
pub(crate) fn object(resource: &Resource, new: &Value, old: Option<&Value>) -> Result<(), Refusal> {
    let mut causes = Vec::new();
    metadata(resource, new, old.is_none(), &mut causes);
    if let Some(old) = old {
        finalizers(new, old, &mut causes);
    }
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
            "events" if resource.group.is_empty() => {
                let place = &new["involvedObject"]["namespace"];
                if !place.is_null() && *place != new["metadata"]["namespace"] {
                    causes.push(Cause::invalid(
                        "involvedObject.namespace",
                        place,
                        "does not match event.namespace",
                    ));
                }
            }
            "configmaps" => config(new, old, &mut causes),
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
        message: "Invalid value: 0: must be specified for an update".to_owned(),
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

/// Refuses new finalizers on an object that is being deleted.
fn finalizers(new: &Value, old: &Value, causes: &mut Vec<Cause>) {
    if !old["metadata"]["deletionTimestamp"].is_string() {
        return;
    }
    let list = |object: &Value| {
        object["metadata"]["finalizers"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    let known = list(old);
    let added: Vec<String> = list(new)
        .iter()
        .filter(|f| !known.contains(f))
        .map(ToString::to_string)
        .collect();
    if added.is_empty() {
        return;
    }
    let why = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        added.join(", ")
    );
    // The real server checks twice.
    for _ in 0..2 {
        causes.push(Cause::forbidden("metadata.finalizers", &why));
    }
}

fn is_label(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !text.is_empty()
        && text.chars().all(|c| edge(c) || c == '-')
        && text.starts_with(edge)
        && text.ends_with(edge)
}

/// Returns why a name is not one.
fn bad_name(resource: &Resource, name: &str) -> Option<&'static str> {
    match resource.plural.as_str() {
        "roles" | "rolebindings" if resource.builtin => None,
        "services" | "namespaces" if resource.builtin => {
            (!is_label(name) || name.len() > 63).then_some(LABEL)
        }
        _ => (!name.split('.').all(is_label) || name.len() > 253).then_some(SUBDOMAIN),
    }
}

fn labels(labels: &Value, field: &str, causes: &mut Vec<Cause>) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        let name = key.rsplit('/').next().unwrap_or_default();
        let edge = |c: char| c.is_ascii_alphanumeric();
        let inner = |c: char| edge(c) || "-_.".contains(c);
        if !(name.chars().all(inner) && name.starts_with(edge) && name.ends_with(edge)) {
            causes.push(Cause::invalid(field, &json!(key), NAME_PART));
        }
        let text = value.as_str().unwrap_or("/");
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
