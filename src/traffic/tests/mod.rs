//! What other tools' tests say of each kind of routing object, replayed as tables, and what differs on
//! purpose: destinations, rules, labels and annotations of somebody else are never removed or taken
//! over.
//!
//! Owns: a namespace with both sides, and moving the weights of an object in it without a server.

mod alb;
mod blueprint;
mod gateway;
mod istio;
mod nginx;
mod pointer;
mod properties;
mod smi;
mod traefik;

use serde_json::{Value, json};

use crate::{
    cluster::{objects::Survey, workloads::Live},
    sim::scenario::parse_objects,
    traffic::{
        Target,
        backend::Backends,
        place,
        route::{self, Route},
        weighted::{Common, Shape, routes_of},
    },
};

const NAMESPACE: &str = "shop";

/// Returns the two sides of namespace `shop`: the Deployments and Services `stable` and `canary`. Of
/// the other Services `both` selects the pods of both, `other` of neither, and `external` has no
/// selector.
fn backends() -> Backends {
    let survey = Survey {
        deployments: vec![deployment("stable"), deployment("canary")],
        services: [
            ("stable", json!({"app": "web", "track": "stable"})),
            ("canary", json!({"app": "web", "track": "canary"})),
            ("both", json!({"app": "web"})),
            ("other", json!({"app": "other"})),
            ("external", json!(null)),
        ]
        .map(|(name, selector)| {
            let service = json!({
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {"selector": selector},
            });
            serde_json::from_value(service).unwrap()
        })
        .to_vec(),
        ..Survey::default()
    };
    Backends::of(&survey, NAMESPACE, &target())
}

fn target() -> Target {
    Target {
        stable: "stable".into(),
        canary: "canary".into(),
        service: Some("both".into()),
        total: 4,
    }
}

fn deployment(track: &str) -> Live {
    let labels = json!({"app": "web", "track": track});
    let object = json!({
        "metadata": {"name": track, "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}},
    });
    Live::new(object).unwrap()
}

/// One routing object, and those that are read beside it.
struct Case<S: Shape> {
    object: Value,
    context: Vec<Value>,
    options: S::Options,
    backends: Backends,
}

impl<S: Shape> Case<S> {
    /// Reads the object, and after it those beside it, from YAML; the options from JSON.
    fn new(yaml: &str, options: &str) -> Self {
        let mut objects = parse_objects(yaml).unwrap_or_else(|e| panic!("{e}: {yaml}"));
        for object in &mut objects {
            let meta = &mut object["metadata"];
            if meta["namespace"].is_null() {
                meta["namespace"] = json!(NAMESPACE);
            }
        }
        let options: S::Options = serde_json::from_str(options).unwrap();
        let (stable, canary) = options.services();
        Self {
            object: objects.remove(0),
            context: objects,
            backends: backends().with_given(stable, canary),
            options,
        }
    }

    fn routes(&self) -> Vec<Route> {
        routes_of::<S>(&self.object, &self.backends, &self.context, &self.options)
    }

    /// Returns each route's name with the canary's share, or why it is left alone.
    fn told(&self) -> Vec<String> {
        let tell = |route: &Route| {
            let share = match (route.why_left_alone(), route.share()) {
                (Some(why), _) => why,
                (None, Some(share)) => share.to_string(),
                (None, None) => "nothing".to_owned(),
            };
            format!("{}: {share}", route.name)
        };
        self.routes().iter().map(tell).collect()
    }

    /// Returns the object with the canary at a weight such as `25` or `0.5`.
    fn at(&self, weight: &str) -> Result<Value, String> {
        let weights = route::weights(&self.routes(), weight.parse().unwrap())?;
        let operations = Value::Array(place::patch(&self.object, &weights)?);
        let patch: json_patch::Patch = serde_json::from_value(operations).unwrap();
        let mut object = self.object.clone();
        json_patch::patch(&mut object, &patch).unwrap();
        Ok(object)
    }

    /// Returns all weights in the object at a weight, in order; `nothing` when no write is needed.
    fn weights_at(&self, weight: &str) -> String {
        match self.at(weight) {
            Ok(object) if object == self.object => "nothing".to_owned(),
            Ok(object) => weights(&object),
            Err(reason) => reason,
        }
    }

    fn unfit(&self) -> Option<String> {
        S::unfit(&self.object, &self.backends, &self.context, &self.options)
    }
}

/// Returns every member `weight` of an object, in order, in either spelling.
fn weights(object: &Value) -> String {
    fn walk(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    if key.eq_ignore_ascii_case("weight") {
                        found.push(value.to_string().replace('"', ""));
                    } else {
                        walk(value, found);
                    }
                }
            }
            Value::Array(elements) => elements.iter().for_each(|value| walk(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    walk(object, &mut found);
    found.join(" ")
}
