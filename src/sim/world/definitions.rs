//! What a folder of objects takes for granted: namespaces, and definitions of custom resources.
//!
//! Owns: making such a folder complete: a cluster that holds a `VirtualService` serves its kind. Must
//! not: define a kind that the API server knows, or anything that is in the folder.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::load;
use crate::sim::{
    api::serves,
    store::{Key, Store},
};

/// Returns the namespaces of the objects, and the definitions of their kinds, as far as they are
/// missing.
pub(super) fn missing(store: &Store, objects: &[Value]) -> Vec<Value> {
    let mut all = namespaces(store, objects);
    all.extend(kinds(store, objects));
    all
}

fn namespaces(store: &Store, objects: &[Value]) -> Vec<Value> {
    let given = objects
        .iter()
        .filter(|object| object["kind"] == "Namespace");
    let given: BTreeSet<&str> = given
        .map(|object| text(&object["metadata"]["name"]))
        .collect();
    let used: BTreeSet<&str> = objects
        .iter()
        .map(|object| text(&object["metadata"]["namespace"]))
        .filter(|name| !name.is_empty() && !given.contains(name))
        .filter(|name| store.get(&Key::new("", "namespaces", "", name)).is_none())
        .collect();
    let namespace =
        |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    used.into_iter().map(namespace).collect()
}

/// Returns a definition for every custom kind among the objects that has none: the versions in use
/// are served, anything is accepted.
fn kinds(store: &Store, objects: &[Value]) -> Vec<Value> {
    let defined: BTreeSet<(&str, &str)> = objects
        .iter()
        .filter(|object| object["kind"] == "CustomResourceDefinition")
        .map(|object| {
            (
                text(&object["spec"]["group"]),
                text(&object["spec"]["names"]["kind"]),
            )
        })
        .collect();
    let mut kinds: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for object in objects {
        let kind = text(&object["kind"]);
        let Some((group, version)) = text(&object["apiVersion"]).split_once('/') else {
            continue;
        };
        let plural = load::kind(kind).resource;
        if !defined.contains(&(group, kind)) && !serves(store, group, version, &plural) {
            kinds.entry((group, kind)).or_default().insert(version);
        }
    }
    let definitions = kinds.into_iter().map(|((group, kind), versions)| {
        let plural = load::kind(kind).resource;
        let versions: Vec<Value> = versions
            .into_iter()
            .rev()
            .enumerate()
            .map(version)
            .collect();
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {
                    "kind": kind,
                    "listKind": format!("{kind}List"),
                    "plural": plural,
                    "singular": kind.to_lowercase(),
                },
                "versions": versions,
            },
        })
    });
    definitions.collect()
}

fn version((i, name): (usize, &str)) -> Value {
    json!({
        "name": name,
        "served": true,
        "storage": i == 0,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
        "subresources": {"status": {}},
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
