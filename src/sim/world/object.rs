//! Reading and editing Kubernetes objects kept as JSON.
//!
//! Owns: the accessors that every controller shares. Must not: write to the store.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::sim::store::Key;

/// Returns the name of an object.
pub(super) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// Returns the namespace of an object; empty for cluster-scoped ones.
pub(super) fn namespace(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or_default()
}

/// Returns the uid of an object.
pub(super) fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

/// Returns whether an object is on its way out.
pub(super) fn is_terminating(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
        || object["status"]["phase"] == "Terminating"
}

/// Returns the key of an object of a known resource.
pub(super) fn key(group: &str, resource: &str, object: &Value) -> Key {
    Key::new(group, resource, namespace(object), name(object))
}

/// Returns the reference to the controller that owns an object.
pub(super) fn owner(object: &Value) -> Option<&Value> {
    object["metadata"]["ownerReferences"]
        .as_array()?
        .iter()
        .find(|owner| owner["controller"] == true)
}

/// Returns whether the controller of an object has this uid.
pub(super) fn owned_by(object: &Value, uid: &str) -> bool {
    owner(object).is_some_and(|owner| owner["uid"] == uid)
}

/// Returns the number at a JSON pointer, or `default`.
pub(super) fn int(object: &Value, pointer: &str, default: i64) -> i64 {
    object
        .pointer(pointer)
        .and_then(Value::as_i64)
        .unwrap_or(default)
}

/// Returns a moment as the API server writes it, to the second.
pub(super) fn stamp(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Returns a moment as the API server writes it, to the microsecond.
pub(super) fn micro_stamp(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Returns the moment written in a field.
pub(super) fn moment(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// Returns whether a plain map of labels (a Service's selector) selects these labels.
pub(super) fn selects(selector: &Value, labels: &Value) -> bool {
    selector.as_object().is_some_and(|wanted| {
        !wanted.is_empty() && wanted.iter().all(|(k, v)| labels.get(k) == Some(v))
    })
}

/// Returns the condition of a type from a status.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|c| c["type"] == kind)
}

/// Returns whether a condition is true.
pub(super) fn holds(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|c| c["status"] == "True")
}

/// A condition as a controller wants it.
pub(super) struct Condition<'a> {
    /// Its type, such as `Available`.
    pub(super) kind: &'a str,
    /// `True`, `False` or `Unknown`.
    pub(super) status: &'a str,
    /// Reason in one word.
    pub(super) reason: &'a str,
    /// Sentence for people.
    pub(super) message: String,
}

/// Puts a condition into a list: nothing changes when status and reason are the same, and the
/// transition time is kept while the status is.
pub(super) fn set_condition(list: &mut Vec<Value>, wanted: &Condition<'_>, now: Timestamp) {
    let old = list.iter().position(|c| c["type"] == wanted.kind);
    let stamp = stamp(now);
    let mut transition = json!(stamp);
    if let Some(at) = old {
        let old = &list[at];
        if old["status"] == wanted.status {
            if old["reason"] == wanted.reason {
                return;
            }
            transition = old["lastTransitionTime"].clone();
        }
        list.remove(at);
    }
    list.push(json!({
        "type": wanted.kind,
        "status": wanted.status,
        "lastUpdateTime": stamp,
        "lastTransitionTime": transition,
        "reason": wanted.reason,
        "message": wanted.message,
    }));
}

/// Returns an int-or-percent field resolved against `total`.
pub(super) fn part_of(value: &Value, default: &str, total: i64, up: bool) -> i64 {
    if let Some(count) = value.as_i64() {
        return count;
    }
    let text = value.as_str().unwrap_or(default);
    match text.strip_suffix('%').map(str::parse::<i64>) {
        Some(Ok(percent)) if up => (total * percent + 99) / 100,
        Some(Ok(percent)) => total * percent / 100,
        Some(Err(_)) | None => text.parse().unwrap_or(0),
    }
}

/// Returns the hash of a pod template, in the alphabet of Kubernetes' own.
pub(super) fn template_hash(template: &Value) -> String {
    let mut text = String::new();
    canonical(template, &mut text);
    short_hash(&text, 10)
}

/// Returns `length` characters that depend on `text` alone.
pub(super) fn short_hash(text: &str, length: usize) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut hash = fingerprint(text);
    (0..length)
        .map(|_| {
            let digit = usize::try_from(hash % 27).unwrap_or(0);
            hash = (hash / 27).wrapping_add(hash << 40);
            char::from(ALPHABET[digit])
        })
        .collect()
}

/// Returns a number that depends on `text` alone, with all bits well mixed.
pub(super) fn fingerprint(text: &str) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// Writes JSON with sorted keys, so that equal values give equal text.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            out.push('{');
            for (key, value) in sorted {
                out.push_str(key);
                out.push(':');
                canonical(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surge_rounds_up_and_unavailable_rounds_down() {
        assert_eq!(part_of(&json!("25%"), "0", 9, true), 3);
        assert_eq!(part_of(&json!("25%"), "0", 9, false), 2);
        assert_eq!(part_of(&json!(4), "0", 9, false), 4);
        assert_eq!(part_of(&Value::Null, "25%", 4, true), 1);
    }

    #[test]
    fn the_template_hash_ignores_the_order_of_keys() {
        let one = json!({"a": 1, "b": [{"c": 2, "d": 3}]});
        let two = json!({"b": [{"d": 3, "c": 2}], "a": 1});
        assert_eq!(template_hash(&one), template_hash(&two));
        assert_ne!(template_hash(&one), template_hash(&json!({"a": 2})));
        assert_eq!(template_hash(&one).len(), 10);
    }

    #[test]
    fn a_condition_keeps_its_transition_time_while_its_status_stays() {
        let early: Timestamp = "2026-01-05T09:00:00Z".parse().unwrap();
        let late: Timestamp = "2026-01-05T09:05:00Z".parse().unwrap();
        let wanted = |reason: &'static str| Condition {
            kind: "Progressing",
            status: "True",
            reason,
            message: String::new(),
        };
        let mut list = Vec::new();
        set_condition(&mut list, &wanted("ReplicaSetUpdated"), early);
        set_condition(&mut list, &wanted("NewReplicaSetAvailable"), late);
        assert_eq!(list.len(), 1);
        assert_eq!(list[0]["lastTransitionTime"], stamp(early));
        assert_eq!(list[0]["lastUpdateTime"], stamp(late));
    }
}
