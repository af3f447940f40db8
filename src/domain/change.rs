//! What is changed in the cluster, field by field.
//!
//! Owns: the words for a change, for people and machines. Must not: make it.

use serde::Serialize;
use serde_json::Value;

/// One field of an object that gets another value.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The object, such as `VirtualService shop/web`.
    pub object: String,
    /// JSON pointer to the field.
    pub path: String,
    /// What it was; `null` where there was none.
    pub from: Value,
    /// What it becomes; `null` where it is removed.
    pub to: Value,
}

/// One write: what it does in words, and the fields it changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    /// In words, such as `scale web-canary from 0 to 1`.
    pub what: String,
    /// The fields; empty for a write of a whole object.
    pub changes: Vec<Change>,
}

impl Act {
    /// Returns a write that is told in words alone.
    pub fn in_words(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            changes: Vec::new(),
        }
    }

    /// Returns a name for each field that is written; a whole object goes by its words.
    pub fn fields(&self) -> Vec<String> {
        if self.changes.is_empty() {
            return vec![self.what.clone()];
        }
        let field = |change: &Change| format!("{} {}", change.object, change.path);
        self.changes.iter().map(field).collect()
    }

    /// Returns the scaling of a Deployment.
    pub fn scaling(namespace: &str, name: &str, from: u32, to: u32) -> Self {
        Self {
            what: format!("scale {name} from {from} to {to}"),
            changes: vec![Change {
                object: format!("Deployment {namespace}/{name}"),
                path: "/spec/replicas".to_owned(),
                from: from.into(),
                to: to.into(),
            }],
        }
    }
}
