//! Gateway API: weights of the `backendRefs` of a route.
//!
//! Owns: `HTTPRoute`, `GRPCRoute`, `TCPRoute`, `TLSRoute`, and Linkerd's own `HTTPRoute`. Must not:
//! touch matches, filters, other backends, or the order of anything.
//!
//! A weight that is not written is 1; a backend's share is its weight out of the rule's sum, each
//! from 0 to 1,000,000. A change is done when every parent has accepted it.

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

const GROUP: &str = "gateway.networking.k8s.io";
const LINKERD: &str = "policy.linkerd.io";

/// Largest weight the API accepts.
const MOST: u64 = 1_000_000;

/// The router by routes of the Gateway API.
pub(super) struct Gateway;

/// Options of the router.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(rename = "GatewayOptions")]
pub(super) struct Options {
    /// Name of the route, or `namespace/name`. Default: every one in the namespace that divides
    /// traffic between both sides.
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    /// Kind of the route: `HTTPRoute`, `GRPCRoute`, `TCPRoute` or `TLSRoute`. Default: whichever there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    /// Names of the rules that change. Default: every rule with backends of both sides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rules: Vec<String>,
    /// Stable's Service, where it cannot be told from selectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    stable_service: Option<String>,
    /// The canary's Service, where it cannot be told from selectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    canary_service: Option<String>,
}

named_by!(Options, route, rules);

impl Shape for Gateway {
    type Options = Options;

    const NAME: &'static str = "gateway";
    const ABOUT: &'static str = "weights of a Gateway API route";

    fn kinds(options: &Options) -> Vec<Kind> {
        let mut all = vec![
            Kind::new(GROUP, &["v1", "v1beta1"], "HTTPRoute", "httproutes"),
            Kind::new(GROUP, &["v1", "v1alpha2"], "GRPCRoute", "grpcroutes"),
            Kind::new(GROUP, &["v1", "v1alpha2"], "TCPRoute", "tcproutes"),
            Kind::new(
                GROUP,
                &["v1", "v1alpha3", "v1alpha2"],
                "TLSRoute",
                "tlsroutes",
            ),
            Kind::new(
                LINKERD,
                &["v1beta3", "v1beta2", "v1beta1"],
                "HTTPRoute",
                "httproutes",
            ),
        ];
        if let Some(kind) = &options.kind {
            all.retain(|known| known.kind == *kind);
        }
        all
    }

    fn routes(object: &Value, backends: &Backends, _: &[Value], _: &Options) -> Vec<Route> {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let rules = object["spec"]["rules"].as_array().into_iter().flatten();
        let route = |(i, rule): (usize, &Value)| {
            let refs = rule["backendRefs"].as_array().into_iter().flatten();
            let part = |(j, to): (usize, &Value)| {
                let is_service = to["group"].as_str().unwrap_or_default().is_empty()
                    && to["kind"].as_str().unwrap_or("Service") == "Service";
                let name = to["name"].as_str().unwrap_or_default();
                let there = to["namespace"].as_str().unwrap_or(namespace);
                let whose = backends.service(there, name);
                Part {
                    trouble: backends.trouble(there, name).filter(|_| is_service),
                    side: whose.side().filter(|_| is_service),
                    name: name.to_owned(),
                    weight: whole(&to["weight"]).unwrap_or(1),
                    place: Some(Place::number(format!(
                        "/spec/rules/{i}/backendRefs/{j}/weight"
                    ))),
                }
            };
            Route {
                name: match rule["name"].as_str() {
                    Some(name) => name.to_owned(),
                    None => format!("rule {}", i + 1),
                },
                parts: refs.enumerate().map(part).collect(),
                scale: Scale::Relative { most: MOST },
                left_alone: None,
            }
        };
        rules.enumerate().map(route).collect()
    }

    fn waits_for(object: &Value, _: &Options) -> Option<String> {
        let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
        let wanted = object["spec"]["parentRefs"].as_array();
        let known = object["status"]["parents"].as_array();
        let known = known.map_or(&[][..], Vec::as_slice);
        if known.is_empty() && wanted.is_some_and(|wanted| !wanted.is_empty()) {
            return Some("a gateway to accept it".to_owned());
        }
        let told = |kinds: &Value, name: &Value| {
            let name = name.as_str().unwrap_or_default();
            let mut conditions = ["Accepted", "ResolvedRefs"].into_iter();
            let missing = conditions.find_map(|kind| condition(kinds, kind, generation));
            missing.map(|what| format!("parent {name}: {what}"))
        };
        // A parent whose controller has said nothing yet has accepted nothing.
        let silent = wanted.into_iter().flatten().filter(|parent| {
            let is = |at: &Value, key: &str| at["parentRef"][key] == parent[key];
            let mut known = known.iter();
            !known.any(|at| {
                ["name", "sectionName", "port"]
                    .iter()
                    .all(|key| is(at, key))
            })
        });
        known
            .iter()
            .find_map(|parent| told(&parent["conditions"], &parent["parentRef"]["name"]))
            .or_else(|| {
                silent
                    .into_iter()
                    .find_map(|parent| told(&Value::Null, &parent["name"]))
            })
    }
}

/// Returns what is missing for a condition to hold at a generation.
pub(super) fn condition(conditions: &Value, kind: &str, generation: i64) -> Option<String> {
    let mut all = conditions.as_array().into_iter().flatten();
    let Some(found) = all.find(|c| c["type"] == kind) else {
        return Some(format!("condition {kind}"));
    };
    let seen = found["observedGeneration"].as_i64();
    if seen.is_some_and(|seen| seen < generation) {
        return Some(format!("condition {kind} for the latest change"));
    }
    if found["status"] != "True" {
        let reason = found["reason"].as_str().unwrap_or("no reason given");
        let message = found["message"].as_str().unwrap_or_default();
        let colon = if message.is_empty() { "" } else { ": " };
        return Some(format!("condition {kind}, now {reason}{colon}{message}"));
    }
    None
}
