//! Patches: JSON merge patch, JSON patch, strategic merge patch.
//!
//! Owns: which media types are accepted and how each is applied. Must not: validate the result.

use json_patch::{AddOperation, PatchOperation, TestOperation, jsonptr::PointerBuf};
use serde_json::Value;

use super::{
    gojson,
    reply::nowhere,
    request::{Call, bad_request},
    resources::Resource,
    strategic,
};
use crate::sim::store::Refusal;

const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// A patch that has been read and can be applied.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// RFC 7386.
    Merge(Value),
    /// RFC 6902.
    Json(json_patch::Patch),
    /// Kubernetes' own: lists with merge keys.
    Strategic(Value),
}

impl Change {
    /// Reads the patch of a request; 415 for a format the resource does not take.
    pub(crate) fn of(call: &Call, resource: &Resource) -> Result<Self, Refusal> {
        match call.media_type() {
            "application/merge-patch+json" => match undecoded(call.patch())? {
                patch @ Value::Object(_) => Ok(Self::Merge(patch)),
                other @ (Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)) => Err(bad_request(format!(
                    "error decoding patch: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                    gojson::word_of(&other)
                ))),
            },
            "application/json-patch+json" => {
                let operations = undecoded(call.patch())?;
                if !operations.is_array() {
                    return Err(bad_request(format!(
                        "error decoding patch: json: cannot unmarshal {} into Go value of type []handlers.jsonPatchOp",
                        gojson::word_of(&operations)
                    )));
                }
                // What is no operation is found out when it is applied.
                serde_json::from_value(operations)
                    .map(Self::Json)
                    .map_err(|_| failed())
            }
            STRATEGIC if resource.builtin => {
                let patch = call.patch().map_err(bad_request)?;
                Ok(Self::Strategic(patch))
            }
            "application/apply-patch+yaml" | "application/apply-patch+cbor" => Err(unsupported(
                "server-side apply is not served by the simulated API server; use a merge, JSON or strategic merge patch (kubectl apply without --server-side)",
            )),
            STRATEGIC => Err(Refusal::new(
                415,
                "UnsupportedMediaType",
                "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
            )),
            _ => Err(unsupported("415: Unsupported Media Type")),
        }
    }

    /// Applies the patch.
    pub(crate) fn apply(&self, object: &mut Value) -> Result<(), Refusal> {
        match self {
            Self::Merge(patch) => {
                json_patch::merge(object, patch);
                Ok(())
            }
            Self::Json(patch) => patch.0.iter().try_for_each(|operation| {
                let one = json_patch::Patch(vec![as_served(operation, object)]);
                json_patch::patch(object, &one).map_err(|_| failed())
            }),
            Self::Strategic(patch) => strategic::merge(object, patch),
        }?;
        if object["metadata"].is_object() {
            Ok(())
        } else {
            Err(bad_request("metadata must be an object"))
        }
    }
}

/// Returns an operation as the API server carries it out: it replaces what is not there, and finds
/// null there.
fn as_served(operation: &PatchOperation, object: &Value) -> PatchOperation {
    let absent = |path: &str| {
        let (above, _) = path.rsplit_once('/').unwrap_or_default();
        object.pointer(path).is_none() && object.pointer(above).is_some_and(Value::is_object)
    };
    match operation {
        PatchOperation::Replace(replace) if absent(&replace.path.to_string()) => {
            PatchOperation::Add(AddOperation {
                path: replace.path.clone(),
                value: replace.value.clone(),
            })
        }
        PatchOperation::Test(test) if test.value.is_null() && absent(&test.path.to_string()) => {
            // Whatever else is true of the object.
            PatchOperation::Test(TestOperation {
                path: PointerBuf::default(),
                value: object.clone(),
            })
        }
        PatchOperation::Add(_)
        | PatchOperation::Remove(_)
        | PatchOperation::Replace(_)
        | PatchOperation::Move(_)
        | PatchOperation::Copy(_)
        | PatchOperation::Test(_) => operation.clone(),
    }
}

fn undecoded(patch: Result<Value, String>) -> Result<Value, Refusal> {
    patch.map_err(|why| bad_request(format!("error decoding patch: {why}")))
}

/// The 422 of a JSON patch whose `test` failed or whose path does not exist; it never says which.
fn failed() -> Refusal {
    Refusal {
        code: 422,
        reason: "Invalid",
        message: "the server rejected our request due to an error in our request".to_owned(),
        ..nowhere()
    }
}

fn unsupported(message: &str) -> Refusal {
    Refusal {
        code: 415,
        reason: "UnsupportedMediaType",
        message: message.to_owned(),
        ..nowhere()
    }
}
