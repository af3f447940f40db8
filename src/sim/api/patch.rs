//! Patches: JSON merge patch, JSON patch, strategic merge patch.
//!
//! Owns: which media types are accepted and how each is applied. Must not: validate the result.

use serde_json::Value;

use super::{
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
            "application/merge-patch+json" => Ok(Self::Merge(call.object()?)),
            "application/json-patch+json" => {
                let operations = call.json()?;
                let patch = serde_json::from_value(operations)
                    .map_err(|e| bad_request(format!("error decoding patch: {e}")))?;
                Ok(Self::Json(patch))
            }
            STRATEGIC if resource.builtin => Ok(Self::Strategic(call.object()?)),
            "application/apply-patch+yaml" | "application/apply-patch+cbor" => Err(unsupported(
                "server-side apply is not served by the simulated API server; use a merge, JSON or strategic merge patch (kubectl apply without --server-side)",
            )),
            _ => Err(unsupported(&format!(
                "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json{}",
                if resource.builtin {
                    format!(", {STRATEGIC}")
                } else {
                    String::new()
                }
            ))),
        }
    }

    /// Applies the patch.
    pub(crate) fn apply(&self, object: &mut Value) -> Result<(), Refusal> {
        match self {
            Self::Merge(patch) => {
                json_patch::merge(object, patch);
                Ok(())
            }
            Self::Json(patch) => json_patch::patch(object, patch).map_err(|_| failed()),
            Self::Strategic(patch) => strategic::merge(object, patch),
        }?;
        if object["metadata"].is_object() {
            Ok(())
        } else {
            Err(bad_request("metadata must be an object"))
        }
    }
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
