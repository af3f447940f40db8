//! Gateway API: weights of the `backendRefs` of a route.
//!
//! Owns: `HTTPRoute`, `GRPCRoute`, `TCPRoute`, `TLSRoute`, and Linkerd's own `HTTPRoute`. Must not:
//! touch matches, filters, other backends, or the order of anything.
//!
//! A weight that is not written is 1; a backend's share is its weight out of the rule's sum, each
//! from 0 to 1,000,000. A change is done when every parent has accepted it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    backend::Backends,
    blueprint::{Blueprint, Gap, Site, doubled},
    place::{Place, whole},
    route::{Part, Route, Scale},
    weighted::{Common as _, Shape, named_by, spec_of},
    words::titled,
};
use crate::{
    cluster::routing::Kind,
    domain::route::{Make, Piece},
};

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
    /// Stable's Service, where selectors do not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    stable_service: Option<String>,
    /// The canary's Service, where selectors do not tell.
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

    /// Nothing but the canary's Service: the route is the app's own, with one more backendRef.
    fn creates() -> Option<Vec<Kind>> {
        Some(Vec::new())
    }

    fn blueprint(mut site: Site<'_>, options: &Options) -> Result<Blueprint, Gap> {
        let app = site.service_name();
        let namespace = format!("namespace {}", site.namespace);
        let leads = |to: &Value| is_service(to, site.namespace) && to["name"] == app.as_str();
        let kinds = Self::kinds(options);
        let requests = |kind: &&Kind| {
            kind.group == GROUP && matches!(kind.kind.as_str(), "HTTPRoute" | "GRPCRoute")
        };
        let families = kinds.iter().filter(requests);
        let families = families.filter_map(|kind| site.survey.family(kind, site.namespace));
        let objects = families.flat_map(|family| {
            let objects = family.objects.iter().flatten();
            objects.map(move |object| (family, object))
        });
        let (wanted, _) = options.object();
        let leading: Vec<_> = objects
            .filter(|(_, object)| wanted.is_none_or(|name| object["metadata"]["name"] == name))
            .filter(|(_, object)| lists(object).iter().any(|(_, refs)| refs.iter().any(leads)))
            .collect();
        let (family, route) = match leading.as_slice() {
            [only] => *only,
            [] => {
                let why = format!("no HTTPRoute or GRPCRoute leads to Service {app}");
                return Err(Gap::NoRoute(namespace, why));
            }
            several => {
                let names = several.iter().map(|(_, object)| titled(object));
                let names: Vec<String> = names.collect();
                let why = format!("{} lead to Service {app}", names.join(" and "));
                return Err(Gap::Several(namespace, why));
            }
        };
        let name = route["metadata"]["name"].as_str().unwrap_or_default();
        let place = site.named(&family.kind.kind, name);
        let narrowed = site.part()?;
        let (canary, made) = site.canary_service()?;
        let leads = |to: &Value| is_service(to, site.namespace) && to["name"] == app.as_str();
        let to_canary = |to: &mut Value| to["name"] = json!(canary);
        let fields = doubled(&lists(route), leads, to_canary);
        let fields = fields.map_err(|why| Gap::Unfit(place, why))?;
        let weighted = Piece {
            at: site.spot(&family.kind, &family.version, name),
            make: Make::Change(fields),
            words: format!("add Service {canary} with weight 0 to {}", titled(route)),
        };
        let options = Options {
            kind: Some(family.kind.kind.clone()),
            ..options.clone()
        };
        let router = spec_of::<Self>(&options, name, (&app, &canary));
        let why = format!("{} leads to Service {app}", titled(route));
        let pieces = narrowed.into_iter().chain(made).chain([weighted]);
        Ok(site.blueprint(router, pieces, why))
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

/// Returns whether a backendRef is a Service of a namespace.
fn is_service(to: &Value, namespace: &str) -> bool {
    to["group"].as_str().unwrap_or_default().is_empty()
        && to["kind"].as_str().unwrap_or("Service") == "Service"
        && to["namespace"].as_str().unwrap_or(namespace) == namespace
}

/// Returns the backendRefs of every rule, each with its pointer.
fn lists(route: &Value) -> Vec<(String, Vec<Value>)> {
    let rules = route["spec"]["rules"].as_array().into_iter().flatten();
    let list = |(i, rule): (usize, &Value)| {
        let refs = rule["backendRefs"].as_array().cloned();
        (
            format!("/spec/rules/{i}/backendRefs"),
            refs.unwrap_or_default(),
        )
    };
    rules.enumerate().map(list).collect()
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
