//! Strategic merge patch: lists of built-in kinds merge by the key of their field.
//!
//! Owns: the merge keys and the `$` directives. Must not: serve custom resources.

use serde_json::{Map, Value};

use super::{request::bad_request, validate::go_map};
use crate::sim::store::Refusal;

/// Applies a strategic merge patch to an object of a built-in kind.
pub(crate) fn merge(object: &mut Value, patch: &Value) -> Result<(), Refusal> {
    merge_value(object, patch, &mut Vec::new())
}

fn merge_value<'p>(
    at: &mut Value,
    patch: &'p Value,
    trail: &mut Vec<&'p str>,
) -> Result<(), Refusal> {
    match patch {
        Value::Object(patch) => {
            if !at.is_object() {
                *at = Value::Object(Map::new());
            }
            if let Some(map) = at.as_object_mut() {
                merge_map(map, patch, trail)?;
            }
        }
        Value::Array(items) => match merge_key(trail) {
            Some(key) => merge_list(at, items, key, trail)?,
            None if merges_as_set(trail) => merge_set(at, items),
            None => *at = Value::Array(items.clone()),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => *at = patch.clone(),
    }
    Ok(())
}

fn merge_map<'p>(
    map: &mut Map<String, Value>,
    patch: &'p Map<String, Value>,
    trail: &mut Vec<&'p str>,
) -> Result<(), Refusal> {
    match patch.get("$patch").and_then(Value::as_str) {
        Some("replace") => {
            *map = without_directives(patch);
            return Ok(());
        }
        Some("delete") => {
            map.clear();
            return Ok(());
        }
        Some("merge") | None => {}
        Some(other) => {
            return Err(bad_request(format!("Unknown patch type: {other}")));
        }
    }
    if let Some(kept) = patch.get("$retainKeys").and_then(Value::as_array) {
        map.retain(|field, _| kept.iter().any(|k| k == field.as_str()));
    }
    for (field, value) in patch {
        if let Some(list) = field.strip_prefix("$deleteFromPrimitiveList/") {
            remove_from_set(map.get_mut(list), value);
        } else if field.starts_with('$') {
            // `$patch` and `$retainKeys` are done; `$setElementOrder/*` only orders the result.
        } else if value.is_null() || value["$patch"] == "delete" {
            map.remove(field);
        } else {
            trail.push(field);
            merge_value(
                map.entry(field.as_str()).or_insert(Value::Null),
                value,
                trail,
            )?;
            trail.pop();
        }
    }
    Ok(())
}

fn merge_list<'p>(
    at: &mut Value,
    items: &'p [Value],
    key: &str,
    trail: &mut Vec<&'p str>,
) -> Result<(), Refusal> {
    let replaces = items
        .iter()
        .any(|i| i["$patch"] == "replace" && i.get(key).is_none());
    if !at.is_array() || replaces {
        *at = Value::Array(Vec::new());
    }
    let Some(list) = at.as_array_mut() else {
        return Ok(());
    };
    for item in items {
        let Some(wanted) = item.get(key) else {
            if item.get("$patch").is_some() {
                continue;
            }
            let shown = go_map(item);
            let message = format!("map: {shown} does not contain declared merge key: {key}");
            return Err(Refusal::new(500, "", message));
        };
        let hit = list.iter().position(|known| known.get(key) == Some(wanted));
        let deletes = item["$patch"] == "delete";
        match hit {
            Some(hit) if deletes => drop(list.remove(hit)),
            Some(hit) => merge_value(&mut list[hit], item, trail)?,
            None if deletes => {}
            None => {
                let mut fresh = Value::Null;
                merge_value(&mut fresh, item, trail)?;
                list.push(fresh);
            }
        }
    }
    Ok(())
}

fn merge_set(at: &mut Value, items: &[Value]) {
    if !at.is_array() {
        *at = Value::Array(Vec::new());
    }
    for item in items {
        if let Some(list) = at.as_array_mut().filter(|list| !list.contains(item)) {
            list.push(item.clone());
        }
    }
}

fn remove_from_set(list: Option<&mut Value>, gone: &Value) {
    let gone = gone.as_array().map(Vec::as_slice).unwrap_or_default();
    if let Some(list) = list.and_then(Value::as_array_mut) {
        list.retain(|item| !gone.contains(item));
    }
}

fn without_directives(patch: &Map<String, Value>) -> Map<String, Value> {
    let plain = patch.iter().filter(|(field, _)| !field.starts_with('$'));
    plain.map(|(f, v)| (f.clone(), v.clone())).collect()
}

/// Returns the merge key of the list at `trail`, from the `patchMergeKey` tags of the Go types.
fn merge_key(trail: &[&str]) -> Option<&'static str> {
    let (&field, above) = trail.split_last()?;
    let parent = above.last().copied().unwrap_or_default();
    let in_container = matches!(
        parent,
        "containers" | "initContainers" | "ephemeralContainers"
    );
    match (parent, field) {
        (_, "ports") if in_container => Some("containerPort"),
        (_, "env") if in_container => Some("name"),
        (_, "containers" | "initContainers" | "ephemeralContainers" | "imagePullSecrets")
        | ("spec", "volumes" | "resourceClaims")
        | ("", "secrets") => Some("name"),
        (_, "volumeMounts") => Some("mountPath"),
        (_, "volumeDevices") => Some("devicePath"),
        ("spec", "hostAliases") | ("status", "podIPs" | "hostIPs") => Some("ip"),
        ("spec", "topologySpreadConstraints") => Some("topologyKey"),
        ("spec", "ports") => Some("port"),
        ("metadata", "ownerReferences") => Some("uid"),
        ("status", "conditions" | "addresses") => Some("type"),
        _ => None,
    }
}

/// Returns whether the list at `trail` holds plain values that merge as a set.
fn merges_as_set(trail: &[&str]) -> bool {
    matches!(
        trail,
        ["metadata", "finalizers"] | [.., "metadata", "finalizers"]
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(mut object: Value, patch: &Value) -> Value {
        merge(&mut object, patch).unwrap();
        object
    }

    #[test]
    fn containers_merge_by_name_and_keep_their_other_fields() {
        let before = json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:1"}]}}}});
        let patch = json!({"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "b", "image": "y:2"}, {"name": "c", "image": "z"}]}}}});
        let after = merged(before, &patch);
        assert_eq!(
            after["spec"]["template"]["spec"],
            json!({"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:2"}, {"name": "c", "image": "z"}]})
        );
    }

    #[test]
    fn ports_merge_by_the_key_of_their_place() {
        let service = json!({"spec": {"ports": [{"port": 80, "name": "a"}]}});
        let patch = json!({"spec": {"ports": [{"port": 80, "targetPort": 1}, {"port": 81}]}});
        assert_eq!(
            merged(service, &patch)["spec"]["ports"],
            json!([{"port": 80, "name": "a", "targetPort": 1}, {"port": 81}])
        );
        let pod =
            json!({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 80}]}]}});
        let patch = json!({"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 80, "name": "http"}]}]}});
        assert_eq!(
            merged(pod, &patch)["spec"]["containers"][0]["ports"],
            json!([{"containerPort": 80, "name": "http"}])
        );
    }

    #[test]
    fn tolerations_are_replaced_as_a_whole() {
        let before = json!({"spec": {"tolerations": [{"key": "a"}]}});
        let after = merged(before, &json!({"spec": {"tolerations": [{"key": "b"}]}}));
        assert_eq!(after["spec"]["tolerations"], json!([{"key": "b"}]));
    }

    #[test]
    fn directives_delete_replace_and_retain() {
        let before = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}], "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}, "data": {"x": 1, "y": 2}});
        let patch = json!({"spec": {"containers": [{"name": "a", "$patch": "delete"}], "strategy": {"$retainKeys": ["type"], "type": "Recreate"}}, "data": {"$patch": "replace", "z": 3}});
        assert_eq!(
            merged(before, &patch),
            json!({"spec": {"containers": [{"name": "b"}], "strategy": {"type": "Recreate"}}, "data": {"z": 3}})
        );
    }

    #[test]
    fn null_deletes_a_field() {
        let before = json!({"metadata": {"annotations": {"a": "1", "b": "2"}}});
        let after = merged(before, &json!({"metadata": {"annotations": {"a": null}}}));
        assert_eq!(after["metadata"]["annotations"], json!({"b": "2"}));
    }

    #[test]
    fn an_item_without_its_key_is_refused() {
        let patch = json!({"spec": {"containers": [{"image": "x"}]}});
        assert_eq!(merge(&mut json!({}), &patch).unwrap_err().code, 500);
    }
}
