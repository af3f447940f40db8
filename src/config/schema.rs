//! JSON Schema of the file, for editors.
//!
//! Owns: putting the tables into the schema of the keys. Must not: know any router or probe.

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value, json};

use super::{Keyed, file::Keys};

/// Returns the JSON Schema (draft 2020-12) of the file with the tables of routers, checks and sources of
/// metrics.
pub fn schema<R: Keyed, C: Keyed, M: Keyed>() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let router = keyed::<R>(&mut generator);
    let check = keyed::<C>(&mut generator);
    let metrics = keyed::<M>(&mut generator);
    let mut root = Keys::json_schema(&mut generator);
    root.insert("title".to_owned(), json!("canary.yaml"));
    if let Some(meta) = generator.settings().meta_schema.clone() {
        root.insert("$schema".to_owned(), json!(meta));
    }
    let tables = |schema: &mut Schema| {
        let routers = json!({"type": "array", "minItems": 2, "items": router});
        put(schema, "routers", routers);
        put(schema, "router", router.clone().to_value());
        put(schema, "metrics", metrics.clone().to_value());
        for key in ["checks", "pre"] {
            let checks = json!({"type": "array", "items": check.clone()});
            put(schema, key, checks);
        }
    };
    tables(&mut root);
    root.insert(
        "oneOf".to_owned(),
        json!([{"required": ["app"]}, {"required": ["apps"]}]),
    );
    let mut definitions = generator.take_definitions(true);
    if let Some(member) = definitions.get_mut("Member")
        && let Ok(schema) = <&mut Schema>::try_from(&mut *member)
    {
        tables(schema);
    }
    root.insert("$defs".to_owned(), Value::Object(definitions));
    let mut value = root.to_value();
    polish(&mut value);
    value
}

/// Puts a schema under a key and keeps the key's description.
fn put(root: &mut Schema, key: &str, mut schema: Value) {
    if let Some(slot) = root.pointer_mut(&format!("/properties/{key}")) {
        schema["description"] = slot["description"].take();
        *slot = schema;
    }
}

/// A map with exactly one key of the table, or the key alone where no option is required.
fn keyed<T: Keyed>(generator: &mut SchemaGenerator) -> Schema {
    let mut alone = Vec::new();
    let mut forms = Vec::new();
    for (key, about) in T::keys() {
        let mut options = T::schema(key, generator);
        if !requires_options(&options, generator) {
            alone.push(key);
        }
        if options.get("description").is_none() {
            options.insert("description".to_owned(), json!(about));
        }
        let mut properties = Map::new();
        properties.insert(key.to_owned(), options.to_value());
        forms.push(json!({
            "description": about,
            "type": "object",
            "properties": properties,
            "required": [key],
            "additionalProperties": false
        }));
    }
    if !alone.is_empty() {
        forms.push(json!({"description": "Shorthand: the name only", "enum": alone}));
    }
    json_schema!({"oneOf": forms})
}

fn requires_options(options: &Schema, generator: &SchemaGenerator) -> bool {
    let is_required = |value: &Value| {
        let required = value.get("required").and_then(Value::as_array);
        required.is_some_and(|keys| !keys.is_empty())
    };
    let target = options.get("$ref").and_then(Value::as_str).and_then(|to| {
        let name = to.rsplit('/').next()?;
        generator.definitions().get(name)
    });
    is_required(options.as_value()) || target.is_some_and(is_required)
}

/// Takes `null` out of optional keys, since a key without a value is an error, and describes the
/// key of a variant like the variant.
fn polish(value: &mut Value) {
    match value {
        Value::Object(map) => {
            describe_variant(map);
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            let is_null = |form: &Value| form == &json!({"type": "null"});
            if let Some(Value::Array(forms)) = map.get_mut("anyOf") {
                let before = forms.len();
                forms.retain(|form| !is_null(form));
                if forms.len() < before
                    && forms.len() == 1
                    && let Some(Value::Object(only)) = forms.pop()
                {
                    map.remove("anyOf");
                    for (word, value) in only {
                        map.entry(word).or_insert(value);
                    }
                }
            }
            map.values_mut().for_each(polish);
        }
        Value::Array(items) => items.iter_mut().for_each(polish),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn describe_variant(map: &mut Map<String, Value>) {
    let about = map.get("description").cloned();
    if let (Some(about), Some(Value::Object(properties))) = (about, map.get_mut("properties"))
        && properties.len() == 1
        && let Some(Value::Object(only)) = properties.values_mut().next()
        && !only.contains_key("$ref")
    {
        only.entry("description").or_insert(about);
    }
}
