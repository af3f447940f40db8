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
use serde_json::{Value, json};

use super::{
    backend::{Backends, Labels, Whose},
    blueprint::{Blueprint, Gap, Site, doubled},
    place::{Place, whole},
    route::{Part, Route, Scale},
    weighted::{Common as _, Shape, named_by, spec_of},
    words::titled,
};
use crate::{
    cluster::routing::{Family, Kind},
    domain::{
        route::{Make, Piece},
        view::Severity,
        workload::Track,
    },
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
    /// Stable's Service or subset, where selectors do not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    stable_service: Option<String>,
    /// The canary's Service or subset, where selectors do not tell.
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
        vec![destination_rules()]
    }

    fn creates() -> Option<Vec<Kind>> {
        Some(vec![virtual_services(), destination_rules()])
    }

    fn blueprint(site: Site<'_>, options: &Options) -> Result<Blueprint, Gap> {
        let app = site.service_name();
        let namespace = format!("namespace {}", site.namespace);
        let Some(family) = site.survey.family(&virtual_services(), site.namespace) else {
            let why = "the cluster serves no VirtualService".to_owned();
            return Err(Gap::NoRoute(namespace, why));
        };
        let (wanted, _) = options.object();
        let known = family.objects.iter().flatten();
        let known = known.filter(|o| wanted.is_none_or(|name| o["metadata"]["name"] == name));
        let concerned: Vec<&Value> = known
            .filter(|o| concerns(o, &app, site.namespace))
            .collect();
        match concerned.as_slice() {
            [] if wanted.is_none() && (site.named || has_sidecar(&site)) => {
                from_nothing(site, options, family)
            }
            [] => {
                let why = format!("no VirtualService is about Service {app}");
                Err(Gap::NoRoute(namespace, why))
            }
            [only] => beside(site, options, (family, only)),
            several => {
                let names: Vec<String> = several.iter().map(|object| titled(object)).collect();
                let why = format!("{} are about Service {app}", names.join(" and "));
                Err(Gap::Several(namespace, why))
            }
        }
    }

    fn findings(object: &Value, all: &[Value]) -> Vec<(Severity, String, String, String)> {
        let mut found = Vec::new();
        let spec = &object["spec"];
        let gateways: Vec<&str> = list(&spec["gateways"]).collect();
        if !gateways.is_empty() && !gateways.contains(&"mesh") {
            found.push((
                Severity::Warning,
                format!("it holds at the gateways {} alone", gateways.join(", ")),
                "in-mesh clients bypass it: they reach the pods of both sides whatever the weights"
                    .to_owned(),
                "add `mesh` to spec.gateways where callers within the mesh are to be divided, too"
                    .to_owned(),
            ));
        }
        for other in all.iter().filter(|other| is_rival(object, other)) {
            let name = text(&other["metadata"]["name"]);
            found.push((
                Severity::Warning,
                format!("VirtualService {name} is about a host of it, too"),
                "which of the two a proxy obeys is not defined: the weights may not take effect"
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

/// Returns whether a `VirtualService` has to do with a Service: it is for its host, or leads there.
fn concerns(object: &Value, app: &str, namespace: &str) -> bool {
    let is = |host: &str| is_host(host, app, namespace);
    let routes = ["http", "tls", "tcp"].into_iter().flat_map(|protocol| {
        let entries = object["spec"][protocol].as_array().into_iter().flatten();
        entries.flat_map(|entry| entry["route"].as_array().into_iter().flatten())
    });
    let mut hosts = routes.map(|route| text(&route["destination"]["host"]));
    list(&object["spec"]["hosts"]).any(is) || hosts.any(is)
}

/// Returns whether a host is a Service of a namespace.
fn is_host(host: &str, service: &str, namespace: &str) -> bool {
    let mut parts = host.splitn(3, '.');
    parts.next() == Some(service)
        && parts.next().is_none_or(|there| there == namespace)
        && parts
            .next()
            .is_none_or(|rest| rest == "svc" || rest.starts_with("svc."))
}

/// Returns whether pods of stable have the proxy of the mesh beside them.
fn has_sidecar(site: &Site<'_>) -> bool {
    let proxy = |containers: &Value| {
        let containers = containers.as_array();
        containers.is_some_and(|all| all.iter().any(|c| c["name"] == "istio-proxy"))
    };
    let pods = site.survey.pods.as_ref().ok().and_then(Option::as_ref);
    let mut pods = pods.into_iter().flatten();
    let stable = site.survey.deployment(&site.target.stable);
    let labels = stable.map(crate::cluster::workloads::Live::pod_labels);
    let labels = labels.unwrap_or_default();
    let template = stable.is_some_and(|live| proxy(&live.template()["spec"]["containers"]));
    template
        || pods.any(|pod| {
            pod.metadata.carries(&labels) && pod.running().any(|c| c.name == "istio-proxy")
        })
}

/// Makes a `VirtualService` where there is none. By subsets where labels tell both sides apart; where stable's
/// pods have no label of their own, or the host has a rule already, by two Services.
fn from_nothing(mut site: Site<'_>, options: &Options, family: &Family) -> Result<Blueprint, Gap> {
    let app = site.service_name();
    let rules = site.survey.family(&destination_rules(), site.namespace);
    let is_of_app = |rule: &Value| is_host(text(&rule["spec"]["host"]), &app, site.namespace);
    let known = |name: &str, family: Option<&Family>| {
        let mut objects = family
            .into_iter()
            .flat_map(|family| family.objects.iter().flatten());
        objects.any(|object| object["metadata"]["name"] == name)
    };
    let taken = |kind: &str| Err(Gap::Taken(site.named(kind, &app)));
    if known(&app, Some(family)) {
        return taken("VirtualService");
    }
    let has_rule = rules.is_some_and(|rules| rules.objects.iter().flatten().any(is_of_app));
    let subsets = site
        .labels_of_both()
        .filter(|_| site.is_shared() && !has_rule);
    let (pieces, routes, sides) = if let (Some(both), Some(rules)) = (subsets, rules) {
        if known(&app, Some(rules)) {
            return taken("DestinationRule");
        }
        site.no_users_yet()?;
        let to = |subset: &str| json!({"host": app, "subset": subset});
        let sides = ("stable".to_owned(), "canary".to_owned());
        let rule = subsets_of(&site, &rules.version, &both);
        (vec![rule], (to("stable"), to("canary")), sides)
    } else {
        let narrowed = site.part()?;
        let (canary, made) = site.canary_service()?;
        let pieces = narrowed.into_iter().chain(made).collect();
        let routes = (json!({"host": app}), json!({"host": canary}));
        (pieces, routes, (app.clone(), canary))
    };
    let spec = json!({
        "hosts": [app],
        "http": [{"route": [
            {"destination": routes.0, "weight": 100},
            {"destination": routes.1, "weight": 0},
        ]}],
    });
    let version = format!("{GROUP}/{}", family.version);
    let object = site.object(&version, "VirtualService", &app, &spec);
    let words = format!("create VirtualService {app} with weights 100 and 0");
    let weighted = site.create(&virtual_services(), &family.version, object, words);
    let notes = (!has_sidecar(&site)).then(|| {
        (
            Severity::Warning,
            "no pod of stable has the sidecar istio-proxy".to_owned(),
            "a VirtualService moves the requests of clients in the mesh alone: without it the weights change nothing".to_owned(),
            "make sure that the app's clients have the sidecar, or use another router".to_owned(),
        )
    });
    let place = site.named("Service", &app);
    let moved_by = spec_of::<Istio>(options, &app, (&sides.0, &sides.1));
    let why = format!("the mesh routes the requests to Service {app}");
    let blueprint = site.blueprint(moved_by, pieces.into_iter().chain([weighted]), why);
    let blueprint = Blueprint {
        last_resort: true,
        ..blueprint
    };
    Ok(blueprint.with_notes(&place, notes.into_iter().collect()))
}

/// Returns what creates the `DestinationRule` of the app's Service, with a subset for each side.
fn subsets_of(site: &Site<'_>, version: &str, (stable, canary): &(Labels, Labels)) -> Piece {
    let app = site.service_name();
    let subset = |name: &str, labels: &Labels| json!({"name": name, "labels": labels});
    let spec = json!({
        "host": app,
        "subsets": [subset("stable", stable), subset("canary", canary)],
    });
    let of_group = format!("{GROUP}/{version}");
    let object = site.object(&of_group, "DestinationRule", &app, &spec);
    let words = format!("create DestinationRule {app} with subsets stable and canary");
    site.create(&destination_rules(), version, object, words)
}

/// Adds a second destination to a `VirtualService` that has one.
fn beside(
    mut site: Site<'_>,
    options: &Options,
    (family, object): (&Family, &Value),
) -> Result<Blueprint, Gap> {
    let app = site.service_name();
    let name = text(&object["metadata"]["name"]).to_owned();
    let place = site.named("VirtualService", &name);
    let unfit = |why: String| Gap::Unfit(place.clone(), why);
    let namespace = site.namespace;
    let leads = |route: &Value| is_host(text(&route["destination"]["host"]), &app, namespace);
    for protocol in ["tls", "tcp"] {
        if lists_of(object, protocol)
            .iter()
            .any(|(_, to)| to.iter().any(leads))
        {
            return Err(unfit(format!(
                "its {protocol} routes lead to Service {app} as well"
            )));
        }
    }
    let lists = lists_of(object, "http");
    let mut all = lists.iter().flat_map(|(_, to)| to);
    if let Some(route) = all.find(|to| leads(to) && to["destination"]["subset"].is_string()) {
        let subset = text(&route["destination"]["subset"]);
        return Err(unfit(format!("it leads to subset {subset} of {app}")));
    }
    let narrowed = site.part()?;
    let (canary, made) = site.canary_service()?;
    let to_canary = |route: &mut Value| {
        let host = text(&route["destination"]["host"]);
        let rest = host
            .split_once('.')
            .map_or(String::new(), |(_, rest)| format!(".{rest}"));
        route["destination"]["host"] = json!(format!("{canary}{rest}"));
    };
    let fields = doubled(&lists, leads, to_canary).map_err(unfit)?;
    if fields.is_empty() {
        return Err(unfit(format!("no http route of it leads to Service {app}")));
    }
    let weighted = Piece {
        at: site.spot(&virtual_services(), &family.version, &name),
        make: Make::Change(fields),
        words: format!("add Service {canary} with weight 0 to VirtualService {name}"),
    };
    let router = spec_of::<Istio>(options, &name, (&app, &canary));
    let why = format!("VirtualService {name} leads to Service {app}");
    let pieces = narrowed.into_iter().chain(made).chain([weighted]);
    Ok(site.blueprint(router, pieces, why))
}

/// Returns the destinations of every route of a protocol, each with its pointer.
fn lists_of(object: &Value, protocol: &str) -> Vec<(String, Vec<Value>)> {
    let entries = object["spec"][protocol].as_array().into_iter().flatten();
    let list = |(i, entry): (usize, &Value)| {
        let routes = entry["route"].as_array().cloned();
        (
            format!("/spec/{protocol}/{i}/route"),
            routes.unwrap_or_default(),
        )
    };
    entries.enumerate().map(list).collect()
}

fn destination_rules() -> Kind {
    Kind::new(GROUP, VERSIONS, "DestinationRule", "destinationrules")
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
