//! The fields of built-in kinds: which there are and of which type.
//!
//! Owns: unknown fields and wrong types of the kinds releases are made of, in the words of the API
//! server. Must not: judge values of the right type; `validate` does. Other kinds are not checked.

use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet},
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, Pod, Secret, Service},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{gojson, resources::Target};

/// Reads a value as a type and writes it again.
type Round = fn(&Value) -> Result<Value, serde_json::Error>;

fn round<T: DeserializeOwned + Serialize>(value: &Value) -> Result<Value, serde_json::Error> {
    T::deserialize(value).and_then(serde_json::to_value)
}

fn round_of(target: &Target) -> Option<Round> {
    Some(
        match (
            target.resource.group.as_str(),
            target.resource.kind.as_str(),
        ) {
            ("", "ConfigMap") => round::<ConfigMap>,
            ("", "Secret") => round::<Secret>,
            ("", "Service") => round::<Service>,
            ("", "Pod") => round::<Pod>,
            ("apps", "Deployment") => round::<Deployment>,
            ("apps", "ReplicaSet") => round::<ReplicaSet>,
            ("apps", "StatefulSet") => round::<StatefulSet>,
            ("apps", "DaemonSet") => round::<DaemonSet>,
            ("autoscaling", "HorizontalPodAutoscaler") if target.version == "v2" => {
                round::<HorizontalPodAutoscaler>
            }
            _ => return None,
        },
    )
}

/// Returns the paths of the fields that are unknown, or what is wrong with a type.
pub(crate) fn check(target: &Target, object: &Value) -> Result<Vec<String>, String> {
    let Some(round) = round_of(target) else {
        return Ok(Vec::new());
    };
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        // What the server itself writes there may be newer than the types.
        map.shift_remove("status");
        map.insert("apiVersion".to_owned(), target.api_version().into());
        map.insert("kind".to_owned(), target.resource.kind.clone().into());
    }
    if let Some(meta) = object["metadata"].as_object_mut() {
        meta.shift_remove("managedFields");
    }
    quantities(&mut object, "");
    match round(&object) {
        Ok(known) => {
            let mut unknown = Vec::new();
            compare(&object, &known, "", &mut unknown);
            Ok(unknown)
        }
        Err(error) => match culprit(round, &object, &error) {
            Some(path) => Err(words(target, &object, &path, &error)),
            None => Ok(Vec::new()),
        },
    }
}

/// Takes away the fields at these paths, as the API server does not keep what it does not know.
pub(crate) fn drop_unknown(object: &mut Value, paths: &[String]) {
    for path in paths {
        let pointer = format!(
            "/{}",
            path.replace('[', "/").replace(']', "").replace('.', "/")
        );
        let Some((above, last)) = pointer.rsplit_once('/') else {
            continue;
        };
        if let Some(map) = object.pointer_mut(above).and_then(Value::as_object_mut) {
            map.shift_remove(last);
        }
    }
}

/// Writes quantities as text, which they may also be numbers.
fn quantities(value: &mut Value, key: &str) {
    match value {
        Value::Object(map) => {
            let amounts = matches!(key, "requests" | "limits" | "hard" | "capacity");
            for (field, member) in map.iter_mut() {
                if amounts && member.is_number() {
                    *member = member.to_string().into();
                }
                quantities(member, field);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| quantities(item, key)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn compare(sent: &Value, known: &Value, path: &str, unknown: &mut Vec<String>) {
    match (sent, known) {
        (Value::Object(sent), Value::Object(known)) => {
            for (field, value) in sent {
                let dot = if path.is_empty() { "" } else { "." };
                let path = format!("{path}{dot}{field}");
                match known.get(field) {
                    Some(known) => compare(value, known, &path, unknown),
                    None if value.is_null() => {}
                    None => unknown.push(path),
                }
            }
        }
        (Value::Array(sent), Value::Array(known)) => {
            for (at, (sent, known)) in sent.iter().zip(known).enumerate() {
                compare(sent, known, &format!("{path}[{at}]"), unknown);
            }
        }
        _ => {}
    }
}

/// Finds the deepest place without which the error is gone.
fn culprit(round: Round, object: &Value, error: &serde_json::Error) -> Option<Vec<String>> {
    let mut places = Vec::new();
    collect(object, &mut Vec::new(), &mut places);
    places.sort_by_key(|place| std::cmp::Reverse(place.len()));
    let said = error.to_string();
    places.into_iter().find(|place| {
        let mut without = object.clone();
        let Some((last, above)) = place.split_last() else {
            return false;
        };
        let parent = above.iter().try_fold(&mut without, |at, step| match at {
            Value::Array(items) => items.get_mut(step.parse::<usize>().ok()?),
            Value::Object(map) => map.get_mut(step.as_str()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        });
        match parent {
            Some(Value::Object(map)) => drop(map.shift_remove(last)),
            _ => return false,
        }
        round(&without)
            .err()
            .is_none_or(|other| other.to_string() != said)
    })
}

fn collect(value: &Value, at: &mut Vec<String>, places: &mut Vec<Vec<String>>) {
    if !at.is_empty() {
        places.push(at.clone());
    }
    let members: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), v)).collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(i, v)| (i.to_string(), v))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for (step, member) in members {
        at.push(step);
        collect(member, at, places);
        at.pop();
    }
}

/// Returns what the API server's decoder says of a value of a wrong type.
fn words(target: &Target, object: &Value, path: &[String], error: &serde_json::Error) -> String {
    let value = path.iter().fold(object, |at, step| match at {
        Value::Array(items) => step
            .parse()
            .ok()
            .and_then(|i: usize| items.get(i))
            .unwrap_or(&Value::Null),
        Value::Object(map) => map.get(step.as_str()).unwrap_or(&Value::Null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => &Value::Null,
    });
    let mut names: Vec<&str> = path
        .iter()
        .map(String::as_str)
        .filter(|s| s.parse::<usize>().is_err())
        .collect();
    let maps = [
        "labels",
        "annotations",
        "data",
        "stringData",
        "matchLabels",
        "nodeSelector",
    ];
    if names.len() > 1 && maps.contains(&names[names.len() - 2]) {
        names.pop();
    }
    let parent = names.len().checked_sub(2).map_or("", |at| names[at]);
    let said = error.to_string();
    let said = said.split_once("expected ").map_or("", |(_, rest)| rest);
    let kind = match said {
        s if s.starts_with("i32") => "int32",
        s if s.starts_with("i64") => "int64",
        s if s.starts_with("a string") => "string",
        s if s.starts_with("a boolean") => "bool",
        s if s.starts_with("a map") => "map[string]string",
        s if s.starts_with("ObjectMeta") => "v1.ObjectMeta",
        _ => "struct",
    };
    let word = match value {
        Value::Number(number) if number.is_f64() => format!("number {number}"),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => gojson::word_of(value).to_owned(),
    };
    format!(
        "json: cannot unmarshal {word} into Go struct field {}.{} of type {kind}",
        struct_of(&target.resource.kind, &names, parent),
        names.join(".")
    )
}

/// Returns the name of the Go type that has the last of these fields.
fn struct_of(kind: &str, names: &[&str], parent: &str) -> String {
    match parent {
        "" => kind.to_owned(),
        "metadata" => "ObjectMeta".to_owned(),
        "template" => "PodTemplateSpec".to_owned(),
        "spec" if names.contains(&"template") => "PodSpec".to_owned(),
        "spec" => format!("{kind}Spec"),
        "containers" | "initContainers" => "Container".to_owned(),
        "ports" if names.contains(&"containers") => "ContainerPort".to_owned(),
        "ports" => "ServicePort".to_owned(),
        "env" => "EnvVar".to_owned(),
        "strategy" => "DeploymentStrategy".to_owned(),
        "rollingUpdate" => "RollingUpdateDeployment".to_owned(),
        "scaleTargetRef" => "CrossVersionObjectReference".to_owned(),
        other => {
            let mut letters = other.chars();
            let first = letters.next().map(|c| c.to_ascii_uppercase());
            first.into_iter().chain(letters).collect()
        }
    }
}
