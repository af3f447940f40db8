//! What stands in a cell of a table.
//!
//! Owns: kubectl's way to say ages, pod states, ports, targets. Must not: know columns.

use jiff::Timestamp;
use serde_json::Value;

/// Returns the value at a pointer; null when it is not there.
pub(crate) fn at<'a>(object: &'a Value, pointer: &str) -> &'a Value {
    object.pointer(pointer).unwrap_or(&Value::Null)
}

/// Returns a value as text; empty when it is not text.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Returns text, or another word where there is none.
fn text_or<'a>(value: &'a Value, word: &'a str) -> &'a str {
    match text(value) {
        "" => word,
        text => text,
    }
}

/// Returns the first of some fields that is there.
pub(crate) fn first<'a>(object: &'a Value, fields: &[&str]) -> &'a Value {
    let found = fields.iter().find_map(|f| object.get(f));
    found.unwrap_or(&Value::Null)
}

/// Returns the number at a pointer; 0 when it is not there.
pub(crate) fn count(object: &Value, pointer: &str) -> i64 {
    at(object, pointer).as_i64().unwrap_or(0)
}

/// Returns text, or `<none>`.
pub(crate) fn or_none(value: &Value) -> Value {
    match text(value) {
        "" => "<none>".into(),
        text => text.into(),
    }
}

/// Returns how long ago a moment was, as kubectl says it.
pub(crate) fn since(moment: &str, now: Timestamp) -> String {
    match moment.parse::<Timestamp>() {
        Ok(moment) => span(now.duration_since(moment).as_secs()),
        Err(_) => "<unknown>".to_owned(),
    }
}

/// Returns a span as kubectl says it: `HumanDuration` of apimachinery.
fn span(seconds: i64) -> String {
    let two = |a: i64, unit: &str, b: i64, small: &str| {
        if b == 0 {
            format!("{a}{unit}")
        } else {
            format!("{a}{unit}{b}{small}")
        }
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        _ if seconds < 120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => two(days, "d", hours % 24, "h"),
        _ if days < 730 => format!("{days}d"),
        _ if years < 8 => two(years, "y", days % 365, "d"),
        _ => format!("{years}y"),
    }
}

/// Returns items of a list with commas, and how many more there are past `most`.
pub(crate) fn joined(list: &Value, show: impl Fn(&Value) -> String, most: usize) -> String {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    if items.is_empty() {
        return "<unset>".to_owned();
    }
    let shown: Vec<String> = items.iter().take(most).map(show).collect();
    let more = items.len().saturating_sub(most);
    let tail = if more > 0 {
        format!(" + {more} more...")
    } else {
        String::new()
    };
    format!("{}{tail}", shown.join(","))
}

/// Returns one field of the containers of a workload's template.
pub(crate) fn of_containers(object: &Value, field: &str) -> String {
    let list = at(object, "/spec/template/spec/containers").as_array();
    let items = list.into_iter().flatten().map(|c| text(&c[field]));
    items.collect::<Vec<_>>().join(",")
}

/// Returns how many containers of a pod are ready.
pub(crate) fn pod_ready(pod: &Value) -> String {
    let all = at(pod, "/spec/containers").as_array().map_or(0, Vec::len);
    let statuses = at(pod, "/status/containerStatuses").as_array();
    let ready = statuses.into_iter().flatten();
    format!("{}/{all}", ready.filter(|s| s["ready"] == true).count())
}

/// Returns the state of a pod in one word.
pub(crate) fn pod_status(pod: &Value) -> String {
    let status = at(pod, "/status");
    let mut word = match text(&status["reason"]) {
        "" => text(&status["phase"]),
        reason => reason,
    };
    for container in status["containerStatuses"].as_array().into_iter().flatten() {
        let state = &container["state"];
        for held in ["waiting", "terminated"] {
            let reason = text(&state[held]["reason"]);
            if !reason.is_empty() {
                word = reason;
            }
        }
    }
    if pod["metadata"]["deletionTimestamp"].is_string() {
        word = "Terminating";
    }
    if word.is_empty() { "Unknown" } else { word }.to_owned()
}

/// Returns how often the containers of a pod restarted, and when last.
pub(crate) fn pod_restarts(pod: &Value, now: Timestamp) -> String {
    let statuses = at(pod, "/status/containerStatuses").as_array();
    let statuses = statuses.map(Vec::as_slice).unwrap_or_default();
    let total: i64 = statuses
        .iter()
        .map(|s| s["restartCount"].as_i64().unwrap_or(0))
        .sum();
    let last = statuses
        .iter()
        .map(|s| text(at(s, "/lastState/terminated/finishedAt")))
        .max()
        .unwrap_or_default();
    if total > 0 && !last.is_empty() {
        format!("{total} ({} ago)", since(last, now))
    } else {
        total.to_string()
    }
}

/// Returns the external address of a service.
pub(crate) fn external_address(service: &Value) -> String {
    match text(at(service, "/spec/type")) {
        "ExternalName" => text(at(service, "/spec/externalName")).to_owned(),
        "LoadBalancer" => match balancer(service) {
            address if address.is_empty() => "<pending>".to_owned(),
            address => address,
        },
        _ => "<none>".to_owned(),
    }
}

/// Returns the addresses a load balancer gave.
pub(crate) fn balancer(object: &Value) -> String {
    let list = at(object, "/status/loadBalancer/ingress").as_array();
    let items = list.into_iter().flatten();
    items
        .map(|i| text(first(i, &["ip", "hostname"])))
        .collect::<Vec<_>>()
        .join(",")
}

/// Returns the ports of a service.
pub(crate) fn service_ports(service: &Value) -> String {
    let ports = at(service, "/spec/ports").as_array().into_iter().flatten();
    let shown: Vec<String> = ports
        .map(|p| {
            let node = p["nodePort"].as_i64().map(|n| format!(":{n}"));
            let node = node.unwrap_or_default();
            format!("{}{node}/{}", p["port"], text(&p["protocol"]))
        })
        .collect();
    if shown.is_empty() {
        "<none>".to_owned()
    } else {
        shown.join(",")
    }
}

/// Returns the addresses with ports of an `Endpoints`.
pub(crate) fn endpoints(object: &Value) -> String {
    let mut all: Vec<String> = Vec::new();
    for subset in object["subsets"].as_array().into_iter().flatten() {
        let ports = subset["ports"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for address in subset["addresses"].as_array().into_iter().flatten() {
            let ip = text(&address["ip"]);
            if ports.is_empty() {
                all.push(ip.to_owned());
            }
            all.extend(ports.iter().map(|p| format!("{ip}:{}", p["port"])));
        }
    }
    match all.len() {
        0 => "<none>".to_owned(),
        1..=3 => all.join(","),
        many => format!("{} + {} more...", all[..3].join(","), many - 3),
    }
}

/// Returns when an event was seen.
pub(crate) fn event_seen(event: &Value, field: &str, now: Timestamp) -> String {
    let old = match field {
        "lastTimestamp" => "deprecatedLastTimestamp",
        _ => "deprecatedFirstTimestamp",
    };
    let moments = [
        text(first(event, &[field, old])),
        text(&event["eventTime"]),
        text(at(event, "/metadata/creationTimestamp")),
    ];
    let moment = moments.into_iter().find(|m| !m.is_empty());
    since(moment.unwrap_or_default(), now)
}

/// Returns who reported an event.
pub(crate) fn event_source(event: &Value) -> String {
    let source = first(event, &["source", "deprecatedSource"]);
    let component = match text(&source["component"]) {
        "" => text(first(event, &["reportingComponent", "reportingController"])),
        component => component,
    };
    match text(&source["host"]) {
        "" => component.to_owned(),
        host => format!("{component}, {host}"),
    }
}

/// Returns current and wanted values of an autoscaler's metrics.
pub(crate) fn autoscaler_targets(autoscaler: &Value) -> String {
    if let Some(wanted) = at(autoscaler, "/spec/targetCPUUtilizationPercentage").as_i64() {
        let now = at(autoscaler, "/status/currentCPUUtilizationPercentage").as_i64();
        let now = now.map_or_else(|| "<unknown>".to_owned(), |n| format!("{n}%"));
        return format!("cpu: {now}/{wanted}%");
    }
    let specs = at(autoscaler, "/spec/metrics").as_array();
    let specs = specs.map(Vec::as_slice).unwrap_or_default();
    if specs.is_empty() {
        return "<none>".to_owned();
    }
    let shown: Vec<String> = specs
        .iter()
        .enumerate()
        .map(|(i, spec)| {
            let now = at(autoscaler, &format!("/status/currentMetrics/{i}"));
            let name = text(at(spec, "/resource/name"));
            if let Some(wanted) = at(spec, "/resource/target/averageUtilization").as_i64() {
                let now = at(now, "/resource/current/averageUtilization").as_i64();
                let now = now.map_or_else(|| "<unknown>".to_owned(), |n| format!("{n}%"));
                return format!("{name}: {now}/{wanted}%");
            }

            let wanted = text_or(at(spec, "/resource/target/averageValue"), "<auto>");
            let now = text_or(at(now, "/resource/current/averageValue"), "<unknown>");
            format!("{now}/{wanted}")
        })
        .collect();
    shown.join(", ")
}

/// Returns the state of a job in one word.
pub(crate) fn job_status(job: &Value) -> &'static str {
    let holds = |kind: &str| is_true(job, kind);
    if holds("Complete") {
        "Complete"
    } else if holds("Failed") {
        "Failed"
    } else if job["metadata"]["deletionTimestamp"].is_string() {
        "Terminating"
    } else {
        "Running"
    }
}

/// Returns the state of a node in one word.
pub(crate) fn node_status(node: &Value) -> String {
    let ready = if is_true(node, "Ready") {
        "Ready"
    } else {
        "NotReady"
    };
    if *at(node, "/spec/unschedulable") == true {
        format!("{ready},SchedulingDisabled")
    } else {
        ready.to_owned()
    }
}

fn is_true(object: &Value, kind: &str) -> bool {
    let conditions = at(object, "/status/conditions").as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|c| c["type"] == kind && c["status"] == "True")
}

/// Returns what the JSON path of a printer column finds.
///
/// Understands what printer columns use: fields, `[0]`, `[*]` and `[?(@.type=="Ready")]`.
pub(crate) fn json_path(object: &Value, path: &str) -> Option<Value> {
    let mut found = vec![object];
    let mut many = false;
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (step, after) = inner.split_once(']')?;
            rest = after;
            found = match step.trim_matches(['\'', '"']) {
                "*" => {
                    many = true;
                    let lists = found.into_iter().filter_map(Value::as_array);
                    lists.flatten().collect()
                }
                filter if filter.starts_with('?') => {
                    let (field, value) = filter
                        .trim_start_matches("?(@.")
                        .trim_end_matches(')')
                        .split_once("==")?;
                    let value = value.trim().trim_matches(['\'', '"']);
                    let lists = found.into_iter().filter_map(Value::as_array);
                    lists
                        .flatten()
                        .filter(|item| item[field.trim()] == value)
                        .collect()
                }
                step => found
                    .into_iter()
                    .filter_map(|v| match step.parse::<usize>() {
                        Ok(at) => v.get(at),
                        Err(_) => v.get(step),
                    })
                    .collect(),
            };
        } else {
            rest = rest.trim_start_matches('.');
            let end = step_end(rest);
            let field = rest[..end].replace("\\.", ".");
            rest = &rest[end..];
            found = found.into_iter().filter_map(|v| v.get(&field)).collect();
        }
    }
    if many {
        let shown = found
            .iter()
            .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
        let shown: Vec<String> = shown.collect();
        return (!shown.is_empty()).then(|| shown.join(",").into());
    }
    match found.first()? {
        Value::Array(_) | Value::Object(_) => Some(found[0].to_string().into()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Some(found[0].clone())
        }
    }
}

/// Returns where a field name of a JSON path ends; `\.` belongs to it.
fn step_end(path: &str) -> usize {
    let bytes = path.as_bytes();
    let stops = |i: usize| match bytes[i] {
        b'[' => true,
        b'.' => i == 0 || bytes[i - 1] != b'\\',
        _ => false,
    };
    (0..bytes.len()).find(|&i| stops(i)).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn spans_read_as_kubectl_prints_them() {
        for (seconds, shown) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (150, "2m30s"),
            (3600, "60m"),
            (4 * 3600 + 120, "4h2m"),
            (47 * 3600, "47h"),
            (3 * 86400 + 3600, "3d1h"),
            (400 * 86400, "400d"),
            (3 * 365 * 86400 + 86400, "3y1d"),
        ] {
            assert_eq!(span(seconds), shown);
        }
    }

    #[test]
    fn printer_columns_find_conditions() {
        let object = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}, "spec": {"hosts": ["a", "b"], "a.b": 1}});
        let ready = r#".status.conditions[?(@.type=="Ready")].status"#;
        assert_eq!(json_path(&object, ready), Some(json!("True")));
        assert_eq!(json_path(&object, ".spec.hosts[*]"), Some(json!("a,b")));
        assert_eq!(json_path(&object, ".spec.hosts[1]"), Some(json!("b")));
        assert_eq!(json_path(&object, r".spec.a\.b"), Some(json!(1)));
        assert_eq!(json_path(&object, ".spec.none"), None);
    }

    #[test]
    fn a_pod_that_waits_says_why() {
        let pod = json!({"metadata": {}, "status": {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}});
        assert_eq!(pod_status(&pod), "ImagePullBackOff");
    }
}
