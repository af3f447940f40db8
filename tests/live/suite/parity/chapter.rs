//! The form of a chapter: a YAML file with steps.
//!
//! Owns: what a step may say. Must not: send anything.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A sequence of steps in a namespace of its own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Chapter {
    /// What it is about, in a sentence.
    #[serde(rename = "about")]
    pub(crate) _about: String,
    /// How its pods behave, in the format of `src/sim/scenario.rs`.
    #[serde(default)]
    pub(crate) scenario: Option<Value>,
    /// The steps, in order.
    pub(crate) steps: Vec<Step>,
}

/// One step: a call, or one of `watch`, `take`, `forward` and `pause`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Step {
    /// What the step shows, in a few words.
    pub(crate) say: String,
    /// Method and path with query; `$ns` and what `keep` kept are filled in, here and in the body.
    pub(crate) call: Option<String>,
    /// What is sent, as JSON.
    pub(crate) body: Option<Value>,
    /// What is sent, as it is.
    pub(crate) text: Option<String>,
    /// Content type: `json` (default), `yaml`, `merge`, `patch`, `strategic`, or a media type.
    #[serde(rename = "type")]
    pub(crate) media: Option<String>,
    /// Accepted type: `json` (default), `table`, `partial`, or a media type.
    pub(crate) accept: Option<String>,
    /// Further headers.
    pub(crate) headers: BTreeMap<String, String>,
    /// The user agent, and so the field manager; `parity` unless given.
    pub(crate) agent: Option<String>,
    /// Sent by somebody without any right.
    pub(crate) stranger: bool,
    /// Repeats the call until these pointers have these values (null: absent) ...
    pub(crate) until: BTreeMap<String, Value>,
    /// ... or until it is answered with this status code ...
    pub(crate) until_status: Option<u16>,
    /// ... or until the table of `rows` has so many.
    pub(crate) until_rows: Option<usize>,
    /// Values kept for later steps, by pointer into the answer.
    pub(crate) keep: BTreeMap<String, String>,
    /// Leaves the step out of the transcript: it only prepares.
    pub(crate) silent: bool,
    /// The parts of the answer that are compared; all when empty.
    pub(crate) only: Vec<String>,
    /// Compares a table made of the answer instead of it.
    pub(crate) rows: Option<Rows>,
    /// Why not everything is compared.
    pub(crate) because: Option<String>,
    /// Opens a watch under a name; `call` says on what.
    pub(crate) watch: Option<String>,
    /// Takes events from the watch of this name ...
    pub(crate) take: Option<String>,
    /// ... so many, or up to its end when not given; `until` ends it as well.
    pub(crate) count: Option<usize>,
    /// Asks for a port-forward to `POD:PORT` and shows what refuses it.
    pub(crate) forward: Option<String>,
    /// Lets seconds pass.
    pub(crate) pause: Option<f64>,
}

/// A table made of a list.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rows {
    /// Pointer to the list.
    #[serde(default = "items")]
    pub(crate) of: String,
    /// Pointers into each item.
    pub(crate) columns: Vec<String>,
    /// Leaves out rows that are equal to another, and sorts the rest.
    #[serde(default)]
    pub(crate) set: bool,
    /// Leaves out rows that are equal to the one before.
    #[serde(default)]
    pub(crate) changes: bool,
}

fn items() -> String {
    "/items".to_owned()
}

impl Chapter {
    /// Reads a chapter; the error says where it is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        serde_saphyr::from_str(text).map_err(|e| e.to_string())
    }
}
