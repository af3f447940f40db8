//! Versions of the same object: how it is kept, and how the client sees it.
//!
//! Owns: `apiVersion` and `kind`, v1 autoscalers over v2 ones, `events.k8s.io` over core events.
//! Must not: default or validate.

use serde_json::{Map, Value, json};

use super::resources::Target;

/// Fields of `events.k8s.io` and what the core group calls them.
const EVENT_FIELDS: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

/// Returns a kept object as the client of `target` sees it.
pub(crate) fn outward(target: &Target, kept: &Value) -> Value {
    let mut seen = Map::new();
    seen.insert("apiVersion".to_owned(), json!(target.api_version()));
    seen.insert("kind".to_owned(), json!(target.resource.kind));
    for field in ["metadata", "spec"] {
        if let Some(value) = kept.get(field) {
            seen.insert(field.to_owned(), value.clone());
        }
    }
    for (field, value) in kept.as_object().into_iter().flatten() {
        if !seen.contains_key(field) {
            seen.insert(field.clone(), value.clone());
        }
    }
    let mut seen = Value::Object(seen);
    if is_event(target) {
        for (theirs, core) in EVENT_FIELDS {
            rename(&mut seen, core, theirs);
        }
    }
    if is_old_autoscaler(target) {
        let cpu = cpu_target(&seen)
            .and_then(|m| m.pointer("/resource/target/averageUtilization").cloned());
        let spec = &mut seen["spec"];
        remove(spec, "metrics");
        remove(spec, "behavior");
        if let Some(percent) = cpu {
            spec["targetCPUUtilizationPercentage"] = percent;
        }
        let status = &mut seen["status"];
        if status.is_object() {
            remove(status, "currentMetrics");
            remove(status, "conditions");
        }
    }
    show_absence(target, &mut seen);
    seen
}

/// Adds the members that are shown as null where there is nothing.
fn show_absence(target: &Target, seen: &mut Value) {
    let absent: &[&str] = match target.resource.plural.as_str() {
        "events" if is_event(target) => &[
            "eventTime",
            "deprecatedFirstTimestamp",
            "deprecatedLastTimestamp",
        ],
        "events" => &["eventTime", "firstTimestamp", "lastTimestamp"],
        "endpointslices" => &["endpoints", "ports"],
        "pods" => {
            let conditions = seen
                .pointer_mut("/status/conditions")
                .and_then(Value::as_array_mut);
            for condition in conditions.into_iter().flatten() {
                if condition.get("lastProbeTime").is_none() {
                    condition["lastProbeTime"] = Value::Null;
                }
            }
            &[]
        }
        "horizontalpodautoscalers" if target.version == "v2" => {
            if seen["status"].is_object() && seen["status"].get("currentMetrics").is_none() {
                seen["status"]["currentMetrics"] = Value::Null;
            }
            &[]
        }
        _ => &[],
    };
    if target.resource.plural == "events" {
        let core = !is_event(target);
        let source = if core { "source" } else { "deprecatedSource" };
        if seen.get(source).is_none() {
            seen[source] = json!({});
        }
        for field in ["reportingComponent", "reportingInstance"]
            .iter()
            .filter(|_| core)
        {
            if seen.get(*field).is_none() {
                seen[*field] = json!("");
            }
        }
    }
    for field in absent {
        if seen.get(*field).is_none() {
            seen[*field] = Value::Null;
        }
    }
}

/// Returns what a client of `target` sent in the form in which it is kept.
///
/// `kept` is the object being replaced: what an older version cannot say stays as it was.
pub(crate) fn inward(target: &Target, mut sent: Value, kept: Option<&Value>) -> Value {
    if is_event(target) {
        for (theirs, core) in EVENT_FIELDS {
            rename(&mut sent, theirs, core);
        }
    }
    if is_old_autoscaler(target) {
        let percent = sent["spec"]["targetCPUUtilizationPercentage"].take();
        remove(&mut sent["spec"], "targetCPUUtilizationPercentage");
        let known = kept.map(|k| &k["spec"]);
        for field in ["metrics", "behavior"] {
            if let Some(value) = known.and_then(|s| s.get(field)) {
                sent["spec"][field] = value.clone();
            }
        }
        if !percent.is_null() {
            set_cpu_target(&mut sent, &percent);
        }
    }
    if target.resource.plural == "events" && kept.is_some() {
        // Shown where there is nothing, and sent back.
        let shown = [
            ("source", json!({})),
            ("reportingComponent", json!("")),
            ("reportingInstance", json!("")),
        ];
        for (field, empty) in shown {
            if sent[field] == empty && kept.is_some_and(|k| k.get(field).is_none()) {
                remove(&mut sent, field);
            }
        }
    }
    // An object a controller made may lack both; a write through another version keeps them.
    for (field, value) in [
        ("apiVersion", target.resource.stored_version()),
        ("kind", target.resource.kind.clone()),
    ] {
        match kept.map(|k| k.get(field)) {
            None => sent[field] = json!(value),
            Some(Some(known)) => sent[field] = known.clone(),
            Some(None) => remove(&mut sent, field),
        }
    }
    if is_event(target) && kept.is_none() {
        sent["apiVersion"] = json!("v1");
    }
    sent
}

fn is_event(target: &Target) -> bool {
    target.resource.group == "events.k8s.io"
}

fn is_old_autoscaler(target: &Target) -> bool {
    target.resource.plural == "horizontalpodautoscalers" && target.version == "v1"
}

fn cpu_target(autoscaler: &Value) -> Option<&Value> {
    let metrics = autoscaler["spec"]["metrics"].as_array()?;
    metrics.iter().find(|m| m["resource"]["name"] == "cpu")
}

fn set_cpu_target(autoscaler: &mut Value, percent: &Value) {
    let target = json!({"type": "Utilization", "averageUtilization": percent});
    let metrics = &mut autoscaler["spec"]["metrics"];
    if !metrics.is_array() {
        *metrics = json!([]);
    }
    if let Some(list) = metrics.as_array_mut() {
        match list.iter_mut().find(|m| m["resource"]["name"] == "cpu") {
            Some(known) => known["resource"]["target"] = target,
            None => list
                .push(json!({"type": "Resource", "resource": {"name": "cpu", "target": target}})),
        }
    }
}

fn rename(object: &mut Value, from: &str, to: &str) {
    if let Some(map) = object.as_object_mut()
        && let Some(value) = map.remove(from)
    {
        map.insert(to.to_owned(), value);
    }
}

fn remove(object: &mut Value, field: &str) {
    if let Some(map) = object.as_object_mut() {
        map.remove(field);
    }
}
