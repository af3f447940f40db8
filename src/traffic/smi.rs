//! SMI: weights of the backends of a `TrafficSplit`.
//!
//! Owns: v1alpha1 to v1alpha4, weights as whole numbers and as quantities. Must not: touch the root
//! Service, matches or other backends.
//!
//! A backend's share is its weight out of the sum; whatever scale is in use (100, 1000, 1000m) is
//! kept. The first version writes quantities, the later ones whole numbers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    backend::Backends,
    place::{Form, Place, whole},
    route::{Part, Route, Scale},
    weighted::{Shape, named_by},
};
use crate::cluster::routing::Kind;

const GROUP: &str = "split.smi-spec.io";
const VERSIONS: &[&str] = &["v1alpha4", "v1alpha3", "v1alpha2", "v1alpha1"];

/// Largest sum a scale may grow to where a weight needs it.
const MOST: u64 = 100_000;

/// The router by `TrafficSplit`.
pub(super) struct Smi;

/// Options of the router.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(rename = "SmiOptions")]
pub(super) struct Options {
    /// Name of the `TrafficSplit`, or `namespace/name`. Default: every one in the namespace that
    /// divides traffic between both sides.
    #[serde(skip_serializing_if = "Option::is_none")]
    traffic_split: Option<String>,
    /// Stable's Service, where selectors do not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    stable_service: Option<String>,
    /// The canary's Service, where selectors do not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    canary_service: Option<String>,
}

named_by!(Options, traffic_split);

impl Shape for Smi {
    type Options = Options;

    const NAME: &'static str = "smi";
    const ABOUT: &'static str = "weights of an SMI TrafficSplit";

    fn kinds(_: &Options) -> Vec<Kind> {
        vec![Kind::new(GROUP, VERSIONS, "TrafficSplit", "trafficsplits")]
    }

    fn routes(object: &Value, backends: &Backends, _: &[Value], _: &Options) -> Vec<Route> {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let all = object["spec"]["backends"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let form = form(all);
        let parts = all.iter().enumerate().map(|(i, backend)| {
            let name = backend["service"].as_str().unwrap_or_default();
            let place = Place {
                form,
                ..Place::number(format!("/spec/backends/{i}/weight"))
            };
            Part {
                trouble: backends.trouble(namespace, name),
                side: backends.service(namespace, name).side(),
                name: name.to_owned(),
                weight: place.read(object).unwrap_or(0),
                place: Some(place),
            }
        });
        let root = object["spec"]["service"].as_str().unwrap_or_default();
        vec![Route {
            name: format!("split of {root}"),
            parts: parts.collect(),
            scale: Scale::Relative { most: MOST },
            left_alone: None,
        }]
    }
}

/// Returns how the weights of all backends are written: the finest form that one of them has.
fn form(backends: &[Value]) -> Form {
    let weights = || backends.iter().map(|backend| &backend["weight"]);
    let is_fraction = |weight: &Value| match weight {
        Value::String(text) => text.parse::<u64>().is_err(),
        Value::Number(_) => whole(weight).is_none(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
    };
    if weights().any(is_fraction) {
        Form::Milli
    } else if weights().any(Value::is_string) {
        Form::Text
    } else {
        Form::Number
    }
}
