//! Any object with two weights in it, named by JSON pointers.
//!
//! Owns: reading and writing them as configured. Must not: guess: whatever is not as configured is
//! refused.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    backend::Backends,
    gateway::condition,
    place::{Form, Place},
    route::{Part, Route, Scale},
    weighted::{Common, Shape, split_name},
};
use crate::{cluster::routing::Kind, domain::workload::Track};

/// The router by JSON pointers.
pub(super) struct Pointer;

/// Options of the router.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "PointerOptions")]
pub(super) struct Options {
    /// apiVersion of the object, such as `projectcontour.io/v1`.
    api_version: String,
    /// Kind of the object, such as `HTTPProxy`.
    kind: String,
    /// Name of the object, or `namespace/name`.
    name: String,
    /// Plural of the kind, where it is not the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    /// JSON pointers to stable's weights. Where a field holds JSON in text, the pointer within
    /// follows after `#`. Left out where stable gets what the canary leaves of `total`.
    #[serde(default, skip_serializing_if = "Pointers::is_empty")]
    stable: Pointers,
    /// JSON pointers to the canary's weights.
    canary: Pointers,
    /// Sum of both weights. Default: the sum in use, or 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    /// What else must stand in the object, by JSON pointer, such as the names of the two services
    /// beside the weights: where it is something else, nothing is changed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    expect: BTreeMap<String, Value>,
    /// Condition of the object's status that must be true after a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    condition: Option<String>,
    /// What must stand in the object's status after a change, by JSON pointer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    status: BTreeMap<String, Value>,
}

/// One JSON pointer, or several that are kept in step.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Pointers {
    One(String),
    Several(Vec<String>),
}

impl Default for Pointers {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Pointers {
    fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }

    fn is_empty(&self) -> bool {
        self.all().is_empty()
    }
}

impl Common for Options {
    fn object(&self) -> (Option<&str>, Option<&str>) {
        split_name(Some(&self.name))
    }

    fn with_object(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    fn services(&self) -> (Option<&str>, Option<&str>) {
        (None, None)
    }

    fn refuse(&self) -> Option<String> {
        let missing = [
            (self.api_version.is_empty(), "apiVersion"),
            (self.kind.is_empty(), "kind"),
            (self.name.is_empty(), "name"),
            (self.canary.is_empty(), "canary"),
        ];
        if let Some((_, key)) = missing.iter().find(|(missing, _)| *missing) {
            return Some(format!("`{key}` is missing"));
        }
        let (stable, canary) = (self.stable.all(), self.canary.all());
        if let Some(bad) = stable.iter().chain(canary).find(|p| !p.starts_with('/')) {
            return Some(format!("'{bad}' is no JSON pointer: it begins with `/`"));
        }
        if stable.is_empty() && self.total.is_none() {
            return Some(
                "without `stable`, `total` must say what both sides have together".to_owned(),
            );
        }
        if !stable.is_empty() && stable.len() != canary.len() {
            return Some("`stable` and `canary` must name as many weights".to_owned());
        }
        (self.total == Some(0)).then(|| "`total` must be above 0".to_owned())
    }
}

impl Shape for Pointer {
    type Options = Options;

    const NAME: &'static str = "pointer";
    const ABOUT: &'static str = "two weights in any object, by JSON pointers";

    fn kinds(options: &Options) -> Vec<Kind> {
        if options.kind.is_empty() {
            return Vec::new();
        }
        let plural = options.resource.as_deref();
        vec![Kind::named(&options.api_version, &options.kind, plural)]
    }

    fn routes(object: &Value, _: &Backends, _: &[Value], options: &Options) -> Vec<Route> {
        let canary = options.canary.all();
        let route = |(i, pointer): (usize, &String)| {
            let stable = options.stable.all().get(i);
            let canary = part(object, Track::Canary, pointer);
            let stable = stable.map_or_else(
                || Part {
                    side: Some(Track::Stable),
                    name: "the rest".to_owned(),
                    weight: options.total.unwrap_or(0).saturating_sub(canary.weight),
                    place: None,
                    trouble: None,
                },
                |pointer| part(object, Track::Stable, pointer),
            );
            Route {
                name: pointer.clone(),
                parts: vec![stable, canary],
                scale: options.total.map_or(Scale::Kept, Scale::Sum),
                left_alone: None,
            }
        };
        canary.iter().enumerate().map(route).collect()
    }

    fn unfit(object: &Value, _: &Backends, _: &[Value], options: &Options) -> Option<String> {
        options.expect.iter().find_map(|(pointer, wanted)| {
            let there = object.pointer(pointer).unwrap_or(&Value::Null);
            (there != wanted).then(|| format!("{pointer} is {there}, not {wanted}"))
        })
    }

    fn waits_for(object: &Value, options: &Options) -> Option<String> {
        let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
        let kind = options.condition.as_deref();
        let missing =
            kind.and_then(|kind| condition(&object["status"]["conditions"], kind, generation));
        missing.or_else(|| {
            options.status.iter().find_map(|(pointer, wanted)| {
                let there = object.pointer(pointer).unwrap_or(&Value::Null);
                (there != wanted).then(|| format!("{pointer} to be {wanted}, now {there}"))
            })
        })
    }
}

/// Returns the destination whose weight stands at a pointer. A weight in text stays in text.
fn part(object: &Value, side: Track, pointer: &str) -> Part {
    let (outer, inner) = match pointer.split_once('#') {
        Some((outer, inner)) => (outer, Some(inner.to_owned())),
        None => (pointer, None),
    };
    let there = object.pointer(outer);
    let form = match (&inner, there) {
        (None, Some(Value::String(_))) => Form::Text,
        (_, _) => Form::Number,
    };
    let place = Place {
        pointer: outer.to_owned(),
        inner,
        form,
    };
    Part {
        side: Some(side),
        name: side.word().to_owned(),
        weight: place.read(object).unwrap_or(0),
        trouble: place
            .read(object)
            .is_none()
            .then(|| format!("there is no whole number at {pointer}")),
        place: Some(place),
    }
}
