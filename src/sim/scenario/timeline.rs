//! What happens at a time of a scenario.
//!
//! Owns: the format of a scenario's faults. Must not: carry them out.

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use super::{Answering, Span};

/// Something that happens at a time.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When, from the start.
    pub at: Span,
    /// What.
    #[serde(rename = "do")]
    pub action: Action,
    /// The field manager that appears to have done it.
    #[serde(default = "default_manager")]
    pub by: String,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// Sets the replicas of a Deployment.
    Scale {
        /// Its name.
        deployment: String,
        /// Wanted replicas.
        replicas: u32,
    },
    /// Sets the image of the first container of a Deployment.
    Image {
        /// Its name.
        deployment: String,
        /// Wanted image.
        image: String,
    },
    /// Makes an autoscaler want a size whatever the load; null ends it.
    HpaWants {
        /// Its name.
        name: String,
        /// Wanted replicas.
        #[serde(deserialize_with = "nullable")]
        replicas: Option<u32>,
    },
    /// Deletes the first running pod of a Deployment.
    DeletePod {
        /// The Deployment's name.
        deployment: String,
    },
    /// Deletes an object.
    Delete {
        /// Kind of the object.
        kind: String,
        /// Name of the object.
        name: String,
    },
    /// Cuts a node off.
    NodeLost {
        /// Its name.
        node: String,
    },
    /// Brings a node back.
    NodeBack {
        /// Its name.
        node: String,
    },
    /// Changes how every Prometheus answers from now on.
    Prometheus(Answering),
}

/// Reads a value that may be written as null, which is never the same as leaving it out.
fn nullable<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    let value = Value::deserialize(from)?;
    let number = |value| u32::deserialize(value).map_err(de::Error::custom);
    Some(value).filter(|v| !v.is_null()).map(number).transpose()
}

fn default_manager() -> String {
    "kubectl-edit".to_owned()
}
