//! Traefik: weights of the services of a `TraefikService` or an `IngressRoute`.
//!
//! Owns: both API groups. Must not: touch middlewares, TLS, sticky sessions or other services.
//!
//! A weight that is not written is 1; one of 0 gets nothing. A service's share is its weight out of
//! the sum.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    backend::Backends,
    place::{Place, whole},
    route::{Part, Route, Scale},
    weighted::{Shape, named_by},
};
use crate::cluster::routing::Kind;

/// The group today, and the one before version 3.
const GROUPS: [&str; 2] = ["traefik.io", "traefik.containo.us"];

/// Largest sum a scale may grow to where a weight needs it.
const MOST: u64 = 100_000;

/// The router by Traefik's own objects.
pub(super) struct Traefik;

/// Options of the router.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(rename = "TraefikOptions")]
pub(super) struct Options {
    /// Name of the `TraefikService` or `IngressRoute`, or `namespace/name`. Default: every one in the
    /// namespace that divides traffic between both sides.
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    /// Stable's Service, where selectors do not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    stable_service: Option<String>,
    /// The canary's Service, where selectors do not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    canary_service: Option<String>,
}

named_by!(Options, object);

impl Shape for Traefik {
    type Options = Options;

    const NAME: &'static str = "traefik";
    const ABOUT: &'static str = "weights of a TraefikService or an IngressRoute";

    fn kinds(_: &Options) -> Vec<Kind> {
        let kinds = [
            ("TraefikService", "traefikservices"),
            ("IngressRoute", "ingressroutes"),
        ];
        let of_group =
            |group| kinds.map(|(kind, plural)| Kind::new(group, &["v1alpha1"], kind, plural));
        GROUPS.into_iter().flat_map(of_group).collect()
    }

    fn routes(object: &Value, backends: &Backends, _: &[Value], _: &Options) -> Vec<Route> {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let route = |name: String, at: &str| Route {
            name,
            parts: parts(object, at, backends, namespace),
            scale: Scale::Relative { most: MOST },
            left_alone: None,
        };
        if object["kind"] == "TraefikService" {
            return vec![route(
                "weighted services".to_owned(),
                "/spec/weighted/services",
            )];
        }
        let routes = object["spec"]["routes"].as_array().map_or(0, Vec::len);
        (0..routes)
            .map(|i| {
                route(
                    format!("route {}", i + 1),
                    &format!("/spec/routes/{i}/services"),
                )
            })
            .collect()
    }
}

fn parts(object: &Value, at: &str, backends: &Backends, namespace: &str) -> Vec<Part> {
    let services = object.pointer(at).and_then(Value::as_array);
    let part = |(i, to): (usize, &Value)| {
        let is_service = to["kind"].as_str().unwrap_or("Service") == "Service";
        let name = to["name"].as_str().unwrap_or_default();
        let there = to["namespace"].as_str().unwrap_or(namespace);
        Part {
            trouble: backends.trouble(there, name).filter(|_| is_service),
            side: backends.service(there, name).side().filter(|_| is_service),
            name: name.to_owned(),
            weight: whole(&to["weight"]).unwrap_or(1),
            place: Some(Place::number(format!("{at}/{i}/weight"))),
        }
    };
    services
        .into_iter()
        .flatten()
        .enumerate()
        .map(part)
        .collect()
}
