//! Who last changed which field: `metadata.managedFields`.
//!
//! Owns: the fields a write changed, and moving their ownership to the writer. Must not: resolve
//! conflicts between appliers; server-side apply is not served.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// Metadata that the server itself keeps; nobody owns it.
const SERVER_OWNED: [&str; 10] = [
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
];

/// The part of a writer's identity that ends up in `managedFields`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// The field manager, such as `kubectl-client-side-apply`.
    pub manager: String,
    /// The API version the writer spoke.
    pub api_version: String,
    /// The subresource written through; empty for the object itself.
    pub subresource: String,
}

/// One step from an object to a field, in the notation of `fieldsV1`.
type Path = Vec<String>;

/// Moves every field that differs between `old` and `new` to `writer`, at `time`.
pub fn stamp(old: Option<&Value>, new: &mut Value, writer: &Writer, time: &str) {
    let before = old.map(leaves).unwrap_or_default();
    let after = leaves(new);
    let known: BTreeSet<&(Path, String)> = before.iter().collect();
    let changed: BTreeSet<Path> = after
        .iter()
        .filter(|leaf| !known.contains(leaf))
        .map(|(path, _)| path.clone())
        .collect();
    let alive: BTreeSet<Path> = after.into_iter().map(|(path, _)| path).collect();

    let mut entries: Vec<Value> = Vec::new();
    let mut mine = changed.clone();
    let recorded = new["metadata"]["managedFields"].as_array();
    for entry in recorded.into_iter().flatten() {
        let mut owned: BTreeSet<Path> = BTreeSet::new();
        paths_of(&entry["fieldsV1"], &mut Vec::new(), &mut owned);
        owned.retain(|path| alive.contains(path) && !changed.contains(path));
        if is_by(entry, writer) {
            mine.extend(owned);
        } else if !owned.is_empty() {
            let mut kept = entry.clone();
            kept["fieldsV1"] = tree(&owned);
            entries.push(kept);
        }
    }
    if !mine.is_empty() {
        let mut entry = json!({
            "manager": writer.manager,
            "operation": "Update",
            "apiVersion": writer.api_version,
            "time": time,
            "fieldsType": "FieldsV1",
            "fieldsV1": tree(&mine),
        });
        if !writer.subresource.is_empty() {
            entry["subresource"] = json!(writer.subresource);
        }
        entries.push(entry);
    }
    if !entries.is_empty() {
        new["metadata"]["managedFields"] = Value::Array(entries);
    }
}

fn is_by(entry: &Value, writer: &Writer) -> bool {
    entry["manager"] == writer.manager.as_str()
        && entry["operation"] == "Update"
        && entry["apiVersion"] == writer.api_version.as_str()
        && entry["subresource"].as_str().unwrap_or_default() == writer.subresource
}

/// Returns every leaf of an object with its value, as text.
fn leaves(object: &Value) -> Vec<(Path, String)> {
    let mut found = Vec::new();
    for (field, value) in object.as_object().into_iter().flatten() {
        match field.as_str() {
            "apiVersion" | "kind" => {}
            "metadata" => {
                for (field, value) in value.as_object().into_iter().flatten() {
                    if !SERVER_OWNED.contains(&field.as_str()) {
                        let at = vec!["f:metadata".to_owned(), format!("f:{field}")];
                        collect(value, at, &mut found);
                    }
                }
            }
            field => collect(value, vec![format!("f:{field}")], &mut found),
        }
    }
    found
}

fn collect(value: &Value, at: Path, found: &mut Vec<(Path, String)>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (field, value) in map {
                let mut deeper = at.clone();
                deeper.push(format!("f:{field}"));
                collect(value, deeper, found);
            }
        }
        Value::Array(items) => {
            let keys: Option<Vec<String>> = items.iter().map(key_of).collect();
            let Some(keys) = keys.filter(|keys| !keys.is_empty()) else {
                found.push((at, value.to_string()));
                return;
            };
            for (key, item) in keys.into_iter().zip(items) {
                let mut deeper = at.clone();
                deeper.push(format!("k:{key}"));
                collect(item, deeper, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            found.push((at, value.to_string()));
        }
    }
}

/// Returns what identifies an item of a list with a merge key; `None` makes the list one field.
fn key_of(item: &Value) -> Option<String> {
    let map = item.as_object()?;
    if let (Some(port), protocol) = (map.get("containerPort"), map.get("protocol")) {
        return Some(json!({"containerPort": port, "protocol": protocol}).to_string());
    }
    if map.contains_key("image") || map.contains_key("value") || map.contains_key("valueFrom") {
        return map
            .get("name")
            .map(|name| json!({"name": name}).to_string());
    }
    if map.contains_key("status") && map.contains_key("type") {
        return Some(json!({"type": map["type"]}).to_string());
    }
    map.get("mountPath")
        .map(|path| json!({"mountPath": path}).to_string())
}

fn paths_of(fields: &Value, at: &mut Path, found: &mut BTreeSet<Path>) {
    let Some(map) = fields.as_object().filter(|map| !map.is_empty()) else {
        if !at.is_empty() {
            found.insert(at.clone());
        }
        return;
    };
    for (step, deeper) in map {
        if step == "." {
            continue;
        }
        at.push(step.clone());
        paths_of(deeper, at, found);
        at.pop();
    }
}

fn tree(paths: &BTreeSet<Path>) -> Value {
    let mut root = Value::Object(Map::new());
    for path in paths {
        let mut at = &mut root;
        for step in path {
            at = &mut at[step.as_str()];
            if at.is_null() {
                *at = Value::Object(Map::new());
            }
        }
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(manager: &str) -> Writer {
        Writer {
            manager: manager.to_owned(),
            api_version: "apps/v1".to_owned(),
            subresource: String::new(),
        }
    }

    fn managers_of(object: &Value, pointer: &str) -> Vec<String> {
        object["metadata"]["managedFields"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|e| e["fieldsV1"].pointer(pointer).is_some())
            .map(|e| e["manager"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn ownership_moves_to_who_changed_the_field() {
        let mut first =
            json!({"metadata": {"name": "x", "labels": {"a": "1"}}, "spec": {"replicas": 1}});
        stamp(None, &mut first, &writer("kubectl"), "t");
        let mut second = first.clone();
        second["spec"]["replicas"] = json!(3);
        stamp(Some(&first), &mut second, &writer("canaryctl"), "u");
        assert_eq!(managers_of(&second, "/f:spec/f:replicas"), ["canaryctl"]);
        assert_eq!(
            managers_of(&second, "/f:metadata/f:labels/f:a"),
            ["kubectl"]
        );
        assert!(managers_of(&second, "/f:metadata/f:name").is_empty());
    }

    #[test]
    fn a_removed_field_has_no_owner() {
        let mut first = json!({"data": {"a": "1", "b": "2"}});
        stamp(None, &mut first, &writer("one"), "t");
        let mut second = first.clone();
        second["data"].as_object_mut().unwrap().remove("a");
        stamp(Some(&first), &mut second, &writer("two"), "u");
        assert!(managers_of(&second, "/f:data/f:a").is_empty());
        assert_eq!(managers_of(&second, "/f:data/f:b"), ["one"]);
    }

    #[test]
    fn containers_are_told_apart_by_name() {
        let mut first = json!({"spec": {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:1"}]}});
        stamp(None, &mut first, &writer("one"), "t");
        let mut second = first.clone();
        second["spec"]["containers"][1]["image"] = json!("y:2");
        stamp(Some(&first), &mut second, &writer("two"), "u");
        let image = "/f:spec/f:containers/k:{\"name\":\"b\"}/f:image";
        assert_eq!(managers_of(&second, image), ["two"]);
        let other = "/f:spec/f:containers/k:{\"name\":\"a\"}/f:image";
        assert_eq!(managers_of(&second, other), ["one"]);
    }
}
