//! Istio: weights of the routes of a `VirtualService`.
//!
//! Owns: http, tls and tcp routes; destinations by host and by subset. Must not: touch matches,
//! order, mirrors or destination rules. A route to one side alone, such as one behind a header, is
//! left as it is.
//!
//! A destination's share is its weight out of the sum of the route's weights; meshes from before
//! June 2022 insist on a sum of 100, so that the sum in use is kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    backend::{Backends, Labels, Whose},
    place::{Place, whole},
    route::{Part, Route, Scale},
    weighted::{Common as _, Shape, named_by},
};
use crate::{
    cluster::routing::Kind,
    domain::{view::Severity, workload::Track},
};

const GROUP: &str = "networking.istio.io";
const VERSIONS: &[&str] = &["v1", "v1beta1", "v1alpha3"];

/// The router by `VirtualService`.
pub(super) struct Istio;

/// Options of the router.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(rename = "IstioOptions")]
pub(super) struct Options {
    /// Name of the `VirtualService`, or `namespace/name`; of a delegate where the root delegates.
    /// Default: every one in the namespace that divides traffic between both sides.
    #[serde(skip_serializing_if = "Option::is_none")]
    virtual_service: Option<String>,
    /// Names of the routes that change. Default: every route with destinations of both sides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<String>,
    /// Stable's Service or subset, where it cannot be told from selectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    stable_service: Option<String>,
    /// The canary's Service or subset, where it cannot be told from selectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    canary_service: Option<String>,
}

named_by!(Options, virtual_service, routes);

impl Shape for Istio {
    type Options = Options;

    const NAME: &'static str = "istio";
    const ABOUT: &'static str = "weights of an Istio VirtualService";

    fn kinds(_: &Options) -> Vec<Kind> {
        vec![virtual_services()]
    }

    fn context() -> Vec<Kind> {
        vec![Kind::new(
            GROUP,
            VERSIONS,
            "DestinationRule",
            "destinationrules",
        )]
    }

    fn findings(object: &Value, all: &[Value]) -> Vec<(Severity, String, String, String)> {
        let mut found = Vec::new();
        let spec = &object["spec"];
        let gateways: Vec<&str> = list(&spec["gateways"]).collect();
        if !gateways.is_empty() && !gateways.contains(&"mesh") {
            found.push((
                Severity::Warning,
                format!("it holds at the gateways {} alone", gateways.join(", ")),
                "callers within the mesh pass it by: they reach the pods of both sides whatever the weights".to_owned(),
                "add `mesh` to spec.gateways where callers within the mesh are to be divided, too".to_owned(),
            ));
        }
        for other in all.iter().filter(|other| is_rival(object, other)) {
            let name = text(&other["metadata"]["name"]);
            found.push((
                Severity::Warning,
                format!("VirtualService {name} is about a host of it, too"),
                "which of the two a proxy obeys is not defined: the weights may count for nobody"
                    .to_owned(),
                format!("bring the routes of both into one, or take the host out of {name}"),
            ));
        }
        found
    }

    fn routes(
        object: &Value,
        backends: &Backends,
        context: &[Value],
        options: &Options,
    ) -> Vec<Route> {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let reader = Reader {
            namespace,
            backends,
            rules: context,
            given: options.services(),
        };
        let protocols = ["http", "tls", "tcp"].into_iter();
        let routes = protocols.flat_map(|protocol| {
            let entries = object["spec"][protocol].as_array().into_iter().flatten();
            entries
                .enumerate()
                .map(move |(i, entry)| (protocol, i, entry))
        });
        routes
            .map(|(protocol, i, entry)| reader.route(protocol, i, entry))
            .collect()
    }
}

/// Returns the kind that holds the weights.
pub(super) fn virtual_services() -> Kind {
    Kind::new(GROUP, VERSIONS, "VirtualService", "virtualservices")
}

/// Reads the routes of one `VirtualService`.
struct Reader<'a> {
    namespace: &'a str,
    backends: &'a Backends,
    rules: &'a [Value],
    given: (Option<&'a str>, Option<&'a str>),
}

impl Reader<'_> {
    fn route(&self, protocol: &str, index: usize, entry: &Value) -> Route {
        let destinations = entry["route"].as_array().map_or(&[][..], Vec::as_slice);
        let alone = destinations.len() == 1;
        let parts = destinations.iter().enumerate().map(|(j, route)| {
            let to = &route["destination"];
            let (host, subset) = (text(&to["host"]), to["subset"].as_str());
            // One destination alone gets everything, whatever its weight.
            let weight = if alone {
                100
            } else {
                whole(&route["weight"]).unwrap_or(0)
            };
            Part {
                trouble: self.trouble(host, subset),
                side: self.side(host, subset),
                name: subset.map_or_else(|| host.to_owned(), |subset| format!("{host}/{subset}")),
                weight,
                place: Some(Place::number(format!(
                    "/spec/{protocol}/{index}/route/{j}/weight"
                ))),
            }
        });
        let delegate = text(&entry["delegate"]["name"]);
        let left_alone = if !delegate.is_empty() {
            Some(format!("delegates to VirtualService {delegate}"))
        } else if entry["redirect"].is_object() || entry["directResponse"].is_object() {
            Some("answers by itself".to_owned())
        } else {
            None
        };
        Route {
            name: match entry["name"].as_str() {
                Some(name) if !name.is_empty() => name.to_owned(),
                _ => format!("{protocol} route {}", index + 1),
            },
            parts: parts.collect(),
            scale: Scale::Kept,
            left_alone,
        }
    }

    fn side(&self, host: &str, subset: Option<&str>) -> Option<Track> {
        let (namespace, service) = self.service(host)?;
        let named = subset.unwrap_or(service);
        let given = [(self.given.0, Track::Stable), (self.given.1, Track::Canary)];
        if let Some((_, track)) = given.iter().find(|(name, _)| *name == Some(named)) {
            return Some(*track);
        }
        let Some(subset) = subset else {
            return match self.backends.service(namespace, service) {
                Whose::Unknown => self.backends.promised(service),
                whose @ (Whose::Side(_) | Whose::Both | Whose::Neither) => whose.side(),
            };
        };
        match self.labels(namespace, service, subset) {
            Some(labels) => self.backends.subset(namespace, service, &labels).side(),
            // Its rule is elsewhere, or may not be read: the name must do, as long as the Service
            // reaches the pods at all.
            None => match self.backends.service(namespace, service) {
                Whose::Neither => None,
                Whose::Side(_) | Whose::Both | Whose::Unknown => self.backends.promised(subset),
            },
        }
    }

    /// Returns what is wrong with a destination.
    fn trouble(&self, host: &str, subset: Option<&str>) -> Option<String> {
        let (namespace, service) = self.service(host)?;
        if self.backends.namespace() != namespace {
            return None;
        }
        let Some(subset) = subset else {
            return self.backends.trouble(namespace, service);
        };
        if self.backends.service(namespace, service) == Whose::Unknown {
            return self.backends.trouble(namespace, service);
        }
        match self.labels(namespace, service, subset) {
            None => Some(format!(
                "no DestinationRule of host {host} has the subset {subset}"
            )),
            Some(labels) => match self.backends.subset(namespace, service, &labels) {
                Whose::Both => Some(format!("subset {subset} selects the pods of both sides")),
                Whose::Neither => Some(format!("subset {subset} selects the pods of neither side")),
                Whose::Side(_) | Whose::Unknown => None,
            },
        }
    }

    /// Returns namespace and name of the Service behind a host: `svc`, `svc.ns`, `svc.ns.svc…`. A
    /// short name is of the `VirtualService`'s own namespace. `None` for a host that is no Service.
    fn service<'h>(&'h self, host: &'h str) -> Option<(&'h str, &'h str)> {
        let mut parts = host.splitn(3, '.');
        let name = parts.next()?;
        let namespace = parts.next().unwrap_or(self.namespace);
        match parts.next() {
            None => Some((namespace, name)),
            Some(rest) => (rest == "svc" || rest.starts_with("svc.")).then_some((namespace, name)),
        }
    }

    /// Returns the labels of a subset, as the `DestinationRule` of the host has them.
    fn labels(&self, namespace: &str, service: &str, subset: &str) -> Option<Labels> {
        let same = |rule: &&Value| {
            let host = text(&rule["spec"]["host"]);
            let own = rule["metadata"]["namespace"]
                .as_str()
                .unwrap_or(self.namespace);
            let reader = Reader {
                namespace: own,
                ..*self
            };
            reader.service(host) == Some((namespace, service))
        };
        let rules = self.rules.iter().filter(same);
        let mut subsets =
            rules.flat_map(|rule| rule["spec"]["subsets"].as_array().into_iter().flatten());
        let found = subsets.find(|candidate| candidate["name"] == subset)?;
        let labels = found["labels"].as_object()?.iter();
        Some(
            labels
                .map(|(k, v)| (k.clone(), text(v).to_owned()))
                .collect(),
        )
    }
}

/// Returns whether another `VirtualService` holds for a host of this one at the same gateways.
fn is_rival(object: &Value, other: &Value) -> bool {
    if object["metadata"]["uid"] == other["metadata"]["uid"] {
        return false;
    }
    let names = |object: &Value, key: &str| -> Vec<String> {
        let namespace = text(&object["metadata"]["namespace"]);
        let full = |name: &str| {
            if key == "hosts" && !name.contains('.') && name != "*" {
                return format!("{name}.{namespace}.svc.cluster.local");
            }
            name.to_owned()
        };
        list(&object["spec"][key]).map(full).collect()
    };
    let shared = |key: &str, or: &str| {
        let (mut mine, mut theirs) = (names(object, key), names(other, key));
        for names in [&mut mine, &mut theirs] {
            if names.is_empty() && !or.is_empty() {
                names.push(or.to_owned());
            }
        }
        mine.iter().any(|name| theirs.contains(name))
    };
    shared("hosts", "") && shared("gateways", "mesh")
}

fn list(value: &Value) -> impl Iterator<Item = &str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
