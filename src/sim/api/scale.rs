//! The `/scale` subresource.
//!
//! Owns: the `Scale` of an object and writing it back. Must not: scale anything itself.

use http::Response;
use serde_json::{Value, json};

use super::{
    Server, gojson,
    objects::{Edit, writer},
    options,
    patch::Change,
    reply::{self, Out},
    request::{Call, bad_request},
    resources::{ScalePaths, Target},
    validate::{Cause, invalid},
};
use crate::sim::store::{Door, Refusal};

/// Answers GET, PUT and PATCH of `/scale`.
pub(crate) fn answer(
    server: &Server,
    target: &Target,
    call: &Call,
) -> Result<Response<Out>, Refusal> {
    let paths = target.resource.scale.as_ref().ok_or_else(reply::nowhere)?;
    let key = target.key();
    if call.method == http::Method::GET {
        let object = server.store().get(&key);
        let object = object.ok_or_else(|| Refusal::not_found(&key))?;
        return Ok(reply::json(200, &scale_of(&object, paths)));
    }
    options::check(call)?;
    let edit = if call.method == http::Method::PUT {
        let scale = call.object(target)?;
        kind_of(&scale)?;
        Edit::Replace(scale)
    } else {
        Edit::of(call, target, &mut Vec::new())?
    };
    if let Edit::Patch(Change::Strategic(_)) = edit
        && !target.resource.builtin
    {
        return Err(reply::not_allowed());
    }
    let writer = writer(target, call);
    let dry_run = call.dry_run();
    let stored = server
        .store()
        .update_as(Some(&writer), &key, Door::Main, dry_run, |object| {
            let scale = edit.apply(scale_of(object, paths))?;
            let replicas = replicas_of(&scale, &key.name, edit.is_patch())?;
            let version = &scale["metadata"]["resourceVersion"];
            if !version.is_null() {
                object["metadata"]["resourceVersion"] = version.clone();
            }
            set(object, &paths.spec, json!(replicas));
            Ok(())
        })?;
    Ok(reply::json(200, &scale_of(&stored, paths)))
}

fn replicas_of(scale: &Value, name: &str, patched: bool) -> Result<i64, Refusal> {
    let replicas = &scale["spec"]["replicas"];
    let number = if replicas.is_null() {
        Some(0)
    } else {
        replicas.as_i64()
    };
    match number {
        Some(number) if number >= 0 => Ok(number),
        Some(_) => Err(invalid(
            "Scale.autoscaling",
            ("autoscaling", "Scale"),
            name,
            &[Cause::invalid(
                "spec.replicas",
                replicas,
                "must be greater than or equal to 0",
            )],
        )),
        None => {
            let word = gojson::word_of(replicas);
            let why = format!(
                "json: cannot unmarshal {word} into Go struct field ScaleSpec.spec.replicas of type int32"
            );
            if patched {
                let cause = Cause::invalid("patch", &json!(scale.to_string()), &why);
                return Err(invalid("", ("", ""), "", &[cause]));
            }
            Err(bad_request(format!(
                "Scale in version \"v1\" cannot be handled as a Scale: {why}"
            )))
        }
    }
}

/// Refuses a body that is no `Scale`.
fn kind_of(scale: &Value) -> Result<(), Refusal> {
    match scale["kind"].as_str() {
        None | Some("" | "Scale") => Ok(()),
        Some(kind) => Err(bad_request(format!(
            "{kind} in version \"v1\" cannot be handled as a Scale: converting (v1.{kind}) to (autoscaling.Scale): unknown conversion"
        ))),
    }
}

/// Returns the `Scale` of an object.
fn scale_of(object: &Value, paths: &ScalePaths) -> Value {
    let meta = &object["metadata"];
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    let selector = match &paths.selector {
        Some(pointer) => {
            let text = object.pointer(pointer).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        }
        None => selector_text(&object["spec"]["selector"]),
    };
    let mut status = json!({"replicas": number(&paths.status)});
    if !selector.is_empty() {
        status["selector"] = json!(selector);
    }
    let replicas = number(&paths.spec);
    let spec = if replicas == 0 {
        json!({})
    } else {
        json!({"replicas": replicas})
    };
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"],
            "creationTimestamp": meta["creationTimestamp"],
        },
        "spec": spec,
        "status": status,
    })
}

/// Returns a label selector as text, as `Scale` carries it.
pub(crate) fn selector_text(selector: &Value) -> String {
    let labels = match selector.get("matchLabels") {
        Some(labels) => labels.as_object(),
        None if selector.get("matchExpressions").is_some() => None,
        None => selector.as_object(),
    };
    let mut terms: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    let expressions = selector["matchExpressions"].as_array();
    for e in expressions.into_iter().flatten() {
        let key = e["key"].as_str().unwrap_or_default();
        let values = e["values"].as_array().into_iter().flatten();
        let values: Vec<&str> = values.filter_map(Value::as_str).collect();
        let values = values.join(",");
        terms.push(match e["operator"].as_str().unwrap_or_default() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    terms.sort();
    terms.join(",")
}

fn set(object: &mut Value, pointer: &str, value: Value) {
    let mut at = object;
    for step in pointer.split('/').filter(|s| !s.is_empty()) {
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[step];
    }
    *at = value;
}
