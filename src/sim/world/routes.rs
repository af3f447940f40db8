//! The routing objects that the simulated traffic obeys.
//!
//! Owns: reading weights out of each kind of object, one function per kind. Must not: pick pods;
//! follow header or cookie routes (users send plain requests).

use std::sync::Arc;

use serde_json::Value;

use super::{
    object,
    split::{Route, Target},
};
use crate::sim::store::{Key, Store};

/// All readers, in the order they are asked.
pub(super) const ALL: [Route; 6] = [
    virtual_service,
    gateway_route,
    traffic_split,
    nginx_canary,
    alb_action,
    traefik_service,
];

const NGINX: &str = "nginx.ingress.kubernetes.io/";

/// Returns the key of a Service named as hosts are: `svc`, `svc.ns`, `svc.ns.svc.cluster.local`.
fn service(host: &str, namespace: &str) -> Key {
    let mut parts = host.split('.');
    let name = parts.next().unwrap_or_default();
    Key::new("", "services", parts.next().unwrap_or(namespace), name)
}

/// Returns whether a Service is the users' one or reaches some of the same pods.
fn is_part_of(store: &Store, part: &Key, whole: &Key) -> bool {
    if part == whole {
        return true;
    }
    let selector = |key: &Key| store.get(key).map(|s| s["spec"]["selector"].clone());
    match (selector(part), selector(whole)) {
        (Some(part_of), Some(all)) => {
            part.namespace == whole.namespace && object::selects(&all, &part_of)
        }
        _ => false,
    }
}

/// Returns the targets if they have to do with the users' Service.
fn relevant(store: &Store, targets: Vec<Target>, users: &Key) -> Option<Vec<Target>> {
    let any = targets.iter().any(|t| is_part_of(store, &t.service, users));
    (any && targets.iter().any(|t| t.weight > 0.0)).then_some(targets)
}

fn objects(store: &Store, group: &str, resource: &str, users: &Key) -> Vec<Arc<Value>> {
    store.list(group, resource, &users.namespace).0
}

fn each(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn plain(service: Key, weight: f64) -> Target {
    Target {
        service,
        labels: Value::Null,
        weight,
    }
}

/// Returns whether a request without special headers, methods or parameters can match.
fn takes_plain_requests(matches: &Value, special: &[&str]) -> bool {
    match matches.as_array() {
        None => true,
        Some(all) => all.is_empty() || all.iter().any(|m| special.iter().all(|s| m[*s].is_null())),
    }
}

/// Istio: the first http, then tls, then tcp entry for plain requests.
fn virtual_service(store: &Store, users: &Key) -> Option<Vec<Target>> {
    let special = ["headers", "queryParams", "withoutHeaders", "sourceLabels"];
    for object in objects(store, "networking.istio.io", "virtualservices", users) {
        let namespace = object::namespace(&object);
        let entries = ["http", "tls", "tcp"]
            .into_iter()
            .flat_map(|kind| each(&object["spec"][kind]));
        let fit = entries.filter(|e| takes_plain_requests(&e["match"], &special));
        for entry in fit {
            let routes: Vec<&Value> = each(&entry["route"]).collect();
            let alone = routes.len() == 1;
            let targets: Vec<Target> = routes
                .into_iter()
                .filter_map(|route| {
                    let to = &route["destination"];
                    let host = to["host"].as_str()?;
                    let service = service(host, namespace);
                    let labels = match to["subset"].as_str() {
                        Some(subset) => subset_labels(store, &service, subset)?,
                        None => Value::Null,
                    };
                    let weight = if alone {
                        1.0
                    } else {
                        route["weight"].as_f64().unwrap_or(0.0)
                    };
                    Some(Target {
                        service,
                        labels,
                        weight,
                    })
                })
                .collect();
            if let Some(targets) = relevant(store, targets, users) {
                return Some(targets);
            }
        }
    }
    None
}

fn subset_labels(store: &Store, wanted: &Key, subset: &str) -> Option<Value> {
    let (rules, _) = store.list("networking.istio.io", "destinationrules", &wanted.namespace);
    let rule = rules.iter().find(|r| {
        let host = r["spec"]["host"].as_str().unwrap_or_default();
        service(host, object::namespace(r)) == *wanted
    })?;
    let subset = each(&rule["spec"]["subsets"]).find(|s| s["name"] == subset)?;
    Some(subset["labels"].clone())
}

/// Gateway API: the first rule for plain requests of an `HTTPRoute` or its siblings.
fn gateway_route(store: &Store, users: &Key) -> Option<Vec<Target>> {
    for resource in ["httproutes", "grpcroutes", "tcproutes", "tlsroutes"] {
        for object in objects(store, "gateway.networking.k8s.io", resource, users) {
            let rules = each(&object["spec"]["rules"])
                .filter(|r| takes_plain_requests(&r["matches"], &["headers", "queryParams"]));
            for rule in rules {
                let targets = each(&rule["backendRefs"])
                    .filter(|r| r["kind"].as_str().unwrap_or("Service") == "Service")
                    .filter_map(|r| {
                        let namespace = r["namespace"].as_str().unwrap_or(&users.namespace);
                        let key = Key::new("", "services", namespace, r["name"].as_str()?);
                        Some(plain(key, r["weight"].as_f64().unwrap_or(1.0)))
                    });
                if let Some(targets) = relevant(store, targets.collect(), users) {
                    return Some(targets);
                }
            }
        }
    }
    None
}

/// SMI: the `TrafficSplit` of the Service; weights are numbers or quantities such as `500m`.
fn traffic_split(store: &Store, users: &Key) -> Option<Vec<Target>> {
    let weight = |value: &Value| -> f64 {
        let text = value.as_str().unwrap_or_default();
        let milli = text.strip_suffix('m').and_then(|t| t.parse::<f64>().ok());
        let quantity = milli.map(|m| m / 1000.0).or_else(|| text.parse().ok());
        value.as_f64().or(quantity).unwrap_or(0.0)
    };
    let all = objects(store, "split.smi-spec.io", "trafficsplits", users);
    all.iter().find_map(|object| {
        let root = object["spec"]["service"].as_str()?;
        if service(root, &users.namespace) != *users {
            return None;
        }
        let targets = each(&object["spec"]["backends"]).filter_map(|b| {
            let name = service(b["service"].as_str()?, &users.namespace);
            Some(plain(name, weight(&b["weight"])))
        });
        relevant(store, targets.collect(), users)
    })
}

/// Returns host, path and Service of every path of an Ingress.
fn paths(ingress: &Value) -> Vec<(String, String, String)> {
    each(&ingress["spec"]["rules"])
        .flat_map(|rule| {
            let host = rule["host"].as_str().unwrap_or_default().to_owned();
            each(&rule["http"]["paths"]).filter_map(move |path| {
                let name = path["backend"]["service"]["name"].as_str()?.to_owned();
                let at = path["path"].as_str().unwrap_or("/").to_owned();
                Some((host.clone(), at, name))
            })
        })
        .collect()
}

/// ingress-nginx: a canary Ingress beside a main one with the same host and path.
fn nginx_canary(store: &Store, users: &Key) -> Option<Vec<Target>> {
    let all = objects(store, "networking.k8s.io", "ingresses", users);
    let note = |ingress: &Value, name: &str| {
        let value = &ingress["metadata"]["annotations"][format!("{NGINX}{name}").as_str()];
        value.as_str().map(str::to_owned)
    };
    let is_canary = |i: &Value| note(i, "canary").as_deref() == Some("true");
    let number = |text: Option<String>| text.and_then(|t| t.parse::<f64>().ok());
    for canary in all.iter().filter(|i| is_canary(i)) {
        for (host, path, name) in paths(canary) {
            let same = |p: &(String, String, String)| p.0 == host && p.1 == path;
            let mains = all.iter().filter(|i| !is_canary(i)).flat_map(|i| paths(i));
            let Some((_, _, main)) = mains.into_iter().find(same) else {
                continue;
            };
            // A total below 100 counts as 100, a weight above the total as all of it.
            let total = number(note(canary, "canary-weight-total"))
                .unwrap_or(100.0)
                .max(100.0);
            let weight = number(note(canary, "canary-weight"))
                .unwrap_or(0.0)
                .clamp(0.0, total);
            let key = |name: &str| Key::new("", "services", &users.namespace, name);
            let targets = vec![plain(key(&main), total - weight), plain(key(&name), weight)];
            if let Some(targets) = relevant(store, targets, users) {
                return Some(targets);
            }
        }
    }
    None
}

/// AWS Load Balancer Controller: a forward action in an annotation, keys in either spelling.
fn alb_action(store: &Store, users: &Key) -> Option<Vec<Target>> {
    let member = |object: &Value, name: &str| -> Value {
        let found = object.as_object().and_then(|m| {
            let pair = m.iter().find(|(k, _)| k.eq_ignore_ascii_case(name));
            pair.map(|(_, v)| v.clone())
        });
        found.unwrap_or(Value::Null)
    };
    for ingress in objects(store, "networking.k8s.io", "ingresses", users) {
        let notes = ingress["metadata"]["annotations"].as_object();
        for (name, text) in notes.into_iter().flatten() {
            let action = name.starts_with("alb.ingress.kubernetes.io/actions.");
            let Some(text) = text.as_str().filter(|_| action) else {
                continue;
            };
            let action: Value = serde_json::from_str(text).unwrap_or(Value::Null);
            let groups = member(&member(&action, "forwardConfig"), "targetGroups");
            let targets = each(&groups).filter_map(|group| {
                let name = member(group, "serviceName");
                let key = Key::new("", "services", &users.namespace, name.as_str()?);
                Some(plain(key, member(group, "weight").as_f64().unwrap_or(1.0)))
            });
            if let Some(targets) = relevant(store, targets.collect(), users) {
                return Some(targets);
            }
        }
    }
    None
}

/// Traefik: a weighted `TraefikService`, or the services of an `IngressRoute`.
fn traefik_service(store: &Store, users: &Key) -> Option<Vec<Target>> {
    let read = |services: &Value| {
        let targets = each(services)
            .filter(|s| s["kind"].as_str().unwrap_or("Service") == "Service")
            .filter_map(|s| {
                let namespace = s["namespace"].as_str().unwrap_or(&users.namespace);
                let key = Key::new("", "services", namespace, s["name"].as_str()?);
                Some(plain(key, s["weight"].as_f64().unwrap_or(1.0)))
            });
        relevant(store, targets.collect(), users)
    };
    ["traefik.io", "traefik.containo.us"]
        .iter()
        .find_map(|group| {
            let weighted = objects(store, group, "traefikservices", users);
            let weighted = weighted
                .iter()
                .find_map(|o| read(&o["spec"]["weighted"]["services"]));
            weighted.or_else(|| {
                let routes = objects(store, group, "ingressroutes", users);
                routes
                    .iter()
                    .find_map(|o| each(&o["spec"]["routes"]).find_map(|r| read(&r["services"])))
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        sim::{scenario::parse_objects, world::load},
    };

    const SERVICES: &str = "
{apiVersion: v1, kind: Service, metadata: {name: app, namespace: shop}, spec: {selector: {app: a}}}
---
{apiVersion: v1, kind: Service, metadata: {name: app-stable, namespace: shop}, spec: {selector: {app: a, version: stable}}}
---
{apiVersion: v1, kind: Service, metadata: {name: app-canary, namespace: shop}, spec: {selector: {app: a, version: canary}}}
---
{apiVersion: v1, kind: Service, metadata: {name: other, namespace: shop}, spec: {selector: {app: o}}}
---
";

    /// Returns `service=share` of every target that gets something, under the routes in a text.
    fn shares(text: &str) -> Option<String> {
        let store = Store::new(Clock::System);
        load::put(&store, parse_objects(&format!("{SERVICES}{text}")).unwrap()).unwrap();
        let users = Key::new("", "services", "shop", "app");
        let targets = ALL.iter().find_map(|route| route(&store, &users))?;
        let total: f64 = targets.iter().map(|t| t.weight).sum();
        let list: Vec<String> = targets
            .iter()
            .map(|t| {
                let labels = if t.labels.is_null() {
                    String::new()
                } else {
                    t.labels.to_string()
                };
                format!("{}{labels}={:.0}", t.service.name, 100.0 * t.weight / total)
            })
            .collect();
        Some(list.join(" "))
    }

    #[test]
    fn every_kind_of_route_is_obeyed() {
        let cases = [
            (
                "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r, namespace: shop}, spec: {rules: [
                  {matches: [{headers: [{name: x, value: y}]}], backendRefs: [{name: app-canary}]},
                  {backendRefs: [{name: app-stable, weight: 90}, {name: app-canary, weight: 10}]}]}}",
                "app-stable=90 app-canary=10",
            ),
            (
                "{apiVersion: networking.istio.io/v1beta1, kind: VirtualService, metadata: {name: v, namespace: shop}, spec: {hosts: [app], http: [
                  {match: [{headers: {x: {exact: y}}}], route: [{destination: {host: app, subset: canary}}]},
                  {route: [{destination: {host: app, subset: stable}, weight: 75}, {destination: {host: app.shop.svc.cluster.local, subset: canary}, weight: 25}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: d, namespace: shop}, spec: {host: app, subsets: [{name: stable, labels: {version: stable}}, {name: canary, labels: {version: canary}}]}}",
                "app{\"version\":\"stable\"}=75 app{\"version\":\"canary\"}=25",
            ),
            (
                "{apiVersion: split.smi-spec.io/v1alpha2, kind: TrafficSplit, metadata: {name: t, namespace: shop}, spec: {service: app, backends: [{service: app-stable, weight: 950}, {service: app-canary, weight: 50}]}}",
                "app-stable=95 app-canary=5",
            ),
            (
                "{apiVersion: split.smi-spec.io/v1alpha1, kind: TrafficSplit, metadata: {name: t, namespace: shop}, spec: {service: app, backends: [{service: app-stable, weight: 900m}, {service: app-canary, weight: 100m}]}}",
                "app-stable=90 app-canary=10",
            ),
            (
                "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: m, namespace: shop}, spec: {rules: [{host: h, http: {paths: [{path: /, backend: {service: {name: app-stable}}}]}}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: c, namespace: shop, annotations: {nginx.ingress.kubernetes.io/canary: 'true', nginx.ingress.kubernetes.io/canary-weight: '30'}}, spec: {rules: [{host: h, http: {paths: [{path: /, backend: {service: {name: app-canary}}}]}}]}}",
                "app-stable=70 app-canary=30",
            ),
            (
                "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: i, namespace: shop, annotations: {alb.ingress.kubernetes.io/actions.app: '{\"Type\":\"forward\",\"ForwardConfig\":{\"TargetGroups\":[{\"ServiceName\":\"app-stable\",\"Weight\":80},{\"ServiceName\":\"app-canary\",\"Weight\":20}]}}'}}, spec: {}}",
                "app-stable=80 app-canary=20",
            ),
            (
                "{apiVersion: traefik.io/v1alpha1, kind: TraefikService, metadata: {name: t, namespace: shop}, spec: {weighted: {services: [{name: app-stable, weight: 3}, {name: app-canary, weight: 1}]}}}",
                "app-stable=75 app-canary=25",
            ),
        ];
        for (text, wanted) in cases {
            assert_eq!(shares(text).as_deref(), Some(wanted), "{text}");
        }
    }

    #[test]
    fn routes_of_other_services_say_nothing() {
        let text = "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r, namespace: shop}, spec: {rules: [{backendRefs: [{name: other, weight: 1}]}]}}";
        assert_eq!(shares(text), None);
    }
}
