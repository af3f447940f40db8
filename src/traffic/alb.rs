//! AWS Load Balancer Controller: weights of a forward action in an annotation of an Ingress.
//!
//! Owns: `alb.ingress.kubernetes.io/actions.NAME`, keys in either spelling. Must not: touch
//! conditions, stickiness, target groups of others, or a byte of the annotation beside the weights.
//!
//! With several target groups each needs a weight, so that 0 is written out. Weights are from 0 to
//! 999; a group's share is its weight out of the sum.

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

const PREFIX: &str = "alb.ingress.kubernetes.io/actions.";

/// The router by forward actions.
pub(super) struct Alb;

/// Options of the router.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(rename = "AlbOptions")]
pub(super) struct Options {
    /// Name of the Ingress. Default: every one in the namespace with an action that divides traffic
    /// between both sides; all are kept in step.
    #[serde(skip_serializing_if = "Option::is_none")]
    ingress: Option<String>,
    /// Names of the actions that change. Default: every action with target groups of both sides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<String>,
    /// Stable's Service, where selectors do not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    stable_service: Option<String>,
    /// The canary's Service, where selectors do not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    canary_service: Option<String>,
}

named_by!(Options, ingress, actions);

impl Shape for Alb {
    type Options = Options;

    const NAME: &'static str = "alb";
    const ABOUT: &'static str = "weights of an action of the AWS Load Balancer Controller";

    fn kinds(_: &Options) -> Vec<Kind> {
        vec![ingresses()]
    }

    fn routes(object: &Value, backends: &Backends, _: &[Value], _: &Options) -> Vec<Route> {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let notes = object["metadata"]["annotations"].as_object();
        let actions = notes.into_iter().flatten().filter_map(|(key, text)| {
            let name = key.strip_prefix(PREFIX)?;
            let action: Value = serde_json::from_str(text.as_str()?).ok()?;
            Some((name, key, action))
        });
        actions
            .filter_map(|(name, key, action)| action_route(name, key, &action, backends, namespace))
            .collect()
    }
}

/// Returns the kind that holds the annotations.
pub(super) fn ingresses() -> Kind {
    Kind::new(
        "networking.k8s.io",
        &["v1", "v1beta1"],
        "Ingress",
        "ingresses",
    )
}

fn action_route(
    name: &str,
    key: &str,
    action: &Value,
    backends: &Backends,
    namespace: &str,
) -> Option<Route> {
    let (config_key, config) = member(action, "forwardConfig")?;
    let (groups_key, groups) = member(config, "targetGroups")?;
    let groups = groups.as_array()?;
    let pointer = format!("/metadata/annotations/{}", escaped(key));
    let parts: Vec<Part> = groups
        .iter()
        .enumerate()
        .map(|(i, group)| {
            let text = |key: &str| member(group, key).and_then(|(_, v)| v.as_str());
            let service = text("serviceName");
            let weight_key = member(group, "weight").map_or("weight", |(key, _)| key);
            let named = service
                .or_else(|| text("targetGroupName"))
                .or_else(|| text("targetGroupARN"));
            Part {
                trouble: service.and_then(|service| backends.trouble(namespace, service)),
                side: service.and_then(|service| backends.service(namespace, service).side()),
                name: named.unwrap_or_default().to_owned(),
                weight: member(group, "weight")
                    .and_then(|(_, weight)| whole(weight))
                    .unwrap_or(0),
                place: Some(Place {
                    pointer: pointer.clone(),
                    inner: Some(format!("/{config_key}/{groups_key}/{i}/{weight_key}")),
                    form: Form::Number,
                }),
            }
        })
        .collect();
    let weightless = groups.len() > 1 && groups.iter().any(|g| member(g, "weight").is_none());
    Some(Route {
        name: name.to_owned(),
        parts,
        scale: Scale::Kept,
        left_alone: weightless
            .then(|| "a target group has no weight; the controller refuses that".to_owned()),
    })
}

/// Returns a member by its name, whose first letter may be large, with the name in use.
fn member<'v>(object: &'v Value, name: &str) -> Option<(&'v str, &'v Value)> {
    let mut members = object.as_object()?.iter();
    let found = members.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some((found.0.as_str(), found.1))
}

/// Returns a key as a step of a JSON pointer.
pub(super) fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
