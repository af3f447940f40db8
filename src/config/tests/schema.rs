use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Check, FULL, Metrics, Router, parse};
use crate::config::{Document, schema};

/// What a file may hold instead of what [`FULL`] does.
const SEVERAL: &str = "
app: a
routers:
  - istio: { virtualService: a, routes: [primary] }
  - replicas: {}
";

/// Returns a group whose first member uses every key of its own that [`FULL`] has, and the second those of
/// [`SEVERAL`].
fn group() -> Value {
    let own = |text: &str, app: &str| {
        let mut file: Value = serde_saphyr::from_str(text).unwrap();
        let keys = [
            "app", "stable", "canary", "service", "router", "routers", "checks", "pre", "metrics",
            "load",
        ];
        let map = file.as_object_mut().unwrap();
        map.retain(|key, _| keys.contains(&key.as_str()));
        map.insert("app".to_owned(), app.into());
        file
    };
    serde_json::json!({"group": "shop", "apps": [own(FULL, "a"), own(SEVERAL, "b")]})
}

fn whole() -> Value {
    schema::<Router, Check, Metrics>()
}

fn follow<'a>(root: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(to) => root.pointer(to.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

/// Every object schema below `value`, with a name for messages.
fn objects<'a>(root: &'a Value, value: &'a Value, name: &str, to: &mut Vec<(String, &'a Value)>) {
    let value = follow(root, value);
    if let Some(properties) = value.get("properties").and_then(Value::as_object) {
        to.push((name.to_owned(), value));
        for (key, below) in properties {
            objects(root, below, &format!("{name}.{key}"), to);
        }
    }
    for word in ["anyOf", "oneOf", "allOf"] {
        for form in value
            .get(word)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            objects(root, form, name, to);
        }
    }
    if let Some(items) = value.get("items") {
        objects(root, items, &format!("{name}[]"), to);
    }
}

/// Every key of the file [`FULL`] as a path such as `steps[].weight`.
fn used(value: &Value, name: &str, to: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, below) in map {
                let path = format!("{name}.{key}");
                to.insert(path.clone());
                if key != "body" {
                    used(below, &path, to);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                used(item, &format!("{name}[]"), to);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_schema_has_exactly_the_keys_that_the_parser_accepts() {
    let root = whole();
    let mut found = Vec::new();
    objects(&root, &root, "", &mut found);
    let in_schema: BTreeSet<_> = found
        .iter()
        .flat_map(|(name, object)| {
            let properties: &Map<_, _> = object["properties"].as_object().unwrap();
            properties.keys().map(move |key| format!("{name}.{key}"))
        })
        .collect();
    let mut in_file = BTreeSet::new();
    for text in [FULL, SEVERAL] {
        parse(text).unwrap();
        used(
            &serde_saphyr::from_str::<Value>(text).unwrap(),
            "",
            &mut in_file,
        );
    }
    let group = group();
    Document::<Router, Check, Metrics>::parse("canary.yaml", &group.to_string()).unwrap();
    used(&group, "", &mut in_file);
    // `FULL` names one router; the other has no keys of its own.
    for at in ["", ".apps[]"] {
        in_file.insert(format!("{at}.router.replicas"));
    }
    assert_eq!(in_schema, in_file);
}

#[test]
fn keys_that_the_parser_knows_are_all_in_the_schema() {
    let root = whole();
    let properties: Vec<_> = root["properties"].as_object().unwrap().keys().collect();
    let error = parse("app: a\nzzzzzz: 1\n").unwrap_err();
    let known = error.hint().unwrap().trim_start_matches("known: ");
    assert_eq!(known.split(", ").collect::<Vec<_>>(), properties);
}

#[test]
fn every_object_is_closed_and_every_key_described() {
    let root = whole();
    let mut found = Vec::new();
    objects(&root, &root, "", &mut found);
    for (name, object) in found {
        assert_eq!(object["additionalProperties"], Value::Bool(false), "{name}");
        for (key, value) in object["properties"].as_object().unwrap() {
            let described = value.get("description").is_some()
                || follow(&root, value).get("description").is_some();
            assert!(described, "{name}.{key}");
        }
    }
}

#[test]
fn the_schema_is_of_the_right_draft_and_offers_the_known_words() {
    let root = whole();
    assert_eq!(
        root["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    assert_eq!(root.get("$id"), None);
    let one_of = serde_json::json!([{"required": ["app"]}, {"required": ["apps"]}]);
    assert_eq!(root["oneOf"], one_of);
    let text = root.to_string();
    for word in [
        "\"scale-down\"",
        "\"template\"",
        "\"none\"",
        "\"rollback\"",
        "\"POST\"",
        "\"warn\"",
    ] {
        assert!(text.contains(word), "{word}");
    }
    assert!(!text.contains("\"null\""), "{text}");
    let alone = &root["properties"]["router"]["oneOf"][2]["enum"];
    assert_eq!(*alone, serde_json::json!(["replicas"]));
}
