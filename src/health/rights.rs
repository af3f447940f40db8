//! What the sources of a plan need in the cluster.
//!
//! Owns: which rights a way through the API server and a Kubernetes Secret take. Must not: ask whether
//! they are there, or know the rights of releases.

use super::{
    facts, probe, source,
    web::{Auth, HeaderText, Target, Via},
};
use crate::{
    cluster::{secrets::SecretRef, services::ServiceName},
    domain::{
        check::CheckSpec,
        plan::MetricsSpec,
        right::{LOOKERS, Need, Right},
    },
};

/// Stands for the namespace of the release where that is not known: a name that nobody gives to one.
const OWN: &str = "the-namespace-of-the-release-itself";

/// Returns the rights that checks and a metrics provider need beside those of every release; in the
/// release's namespace, `own` where known, and in others.
pub fn rights(
    checks: &[CheckSpec],
    metrics: Option<&MetricsSpec>,
    own: Option<&str>,
) -> Vec<Right> {
    let asked = checks
        .iter()
        .filter_map(|check| probe(&check.probe).map(|kind| kind.targets(&check.options)));
    let counted =
        metrics.and_then(|spec| source::kind(&spec.name).map(|kind| kind.targets(&spec.options)));
    let pods = metrics
        .filter(|spec| source::kind(&spec.name).is_some_and(|kind| kind.asks_pods(&spec.options)));
    let soon = "ask the pods themselves in the first seconds at a weight (port-forward needs get and create)";
    let mut all: Vec<Right> = Vec::new();
    for verb in pods.map_or(&[][..], |_| &["get", "create"]) {
        all.push(right((verb, "", "pods", "portforward"), Need::Better, soon));
    }
    for target in asked.chain(counted).flatten() {
        for right in of_target(&target, own.unwrap_or(OWN)) {
            if !all.contains(&right) {
                all.push(right);
            }
        }
    }
    all
}

fn of_target(target: &Target, own: &str) -> Vec<Right> {
    let mut all = Vec::new();
    let url = facts::blank_but(&target.url, own);
    let host = facts::host(&url);
    let host = host.rsplit('@').next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    let service = ServiceName::of_host(host).filter(|_| target.via != Via::Direct);
    if let Some(service) = service {
        let namespace = (service.namespace != own).then_some(service.namespace);
        let need = match target.via {
            Via::PortForward => Need::Always,
            Via::Auto | Via::Direct => Need::Forwarded,
        };
        all.extend(through(need).map(|right| Right {
            namespace: namespace.clone(),
            ..right
        }));
    }
    for secret in secrets(target) {
        if let SecretRef::Secret(key) = secret {
            let elsewhere = key.namespace.clone().filter(|namespace| namespace != own);
            let why = "read the secrets that the plan refers to";
            all.push(Right {
                namespace: elsewhere,
                names: vec![key.name.clone()],
                ..right(("get", "", "secrets", ""), Need::Always, why)
            });
        }
    }
    all
}

/// Returns what it takes to reach a pod behind a Service through the API server.
fn through(need: Need) -> [Right; 5] {
    let forward = "ask a source behind a Service (port-forward needs get and create)";
    [
        right(
            ("get", "", "services", ""),
            need,
            "find the port of a source's Service",
        ),
        right(
            ("list", "", "pods", ""),
            need,
            "find a ready pod behind a source's Service",
        ),
        right(("get", "", "pods", "portforward"), need, forward),
        right(("create", "", "pods", "portforward"), need, forward),
        right(
            ("list", "discovery.k8s.io", "endpointslices", ""),
            Need::Better,
            "find the pod behind a source's Service that has no selector",
        ),
    ]
}

fn right(
    what: (&'static str, &'static str, &'static str, &'static str),
    need: Need,
    why: &'static str,
) -> Right {
    Right::new(what, need, why, LOOKERS)
}

/// Returns the secrets that a target refers to.
fn secrets(target: &Target) -> Vec<&SecretRef> {
    let proof = match &target.auth {
        Some(Auth::Bearer(secret)) => vec![secret],
        Some(Auth::Basic(basic)) => vec![&basic.password],
        None => Vec::new(),
    };
    let headers = target.headers.values().filter_map(|header| match header {
        HeaderText::Secret(secret) => Some(secret),
        HeaderText::Plain(_) => None,
    });
    proof.into_iter().chain(headers).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Returns namespace, verb, resource, names and need of each right.
    fn needed(options: Value, own: Option<&str>) -> Vec<String> {
        let mut options = options;
        if let Some(options) = options.as_object_mut() {
            options.entry("askPods").or_insert(json!(false));
        }
        let spec = MetricsSpec {
            name: "prometheus".to_owned(),
            options,
        };
        let told = |right: Right| {
            let namespace = right.namespace.as_deref().unwrap_or("-");
            let names = right.names.join(",");
            let what = right.in_role();
            format!("{namespace} {} {what} {names} {:?}", right.verb, right.need)
        };
        rights(&[], Some(&spec), own)
            .into_iter()
            .map(told)
            .collect()
    }

    #[test]
    fn a_service_of_another_namespace_is_reached_by_its_pods() {
        assert_eq!(
            needed(
                json!({"url": "http://prometheus.monitoring:9090"}),
                Some("shop")
            ),
            [
                "monitoring get services  Forwarded",
                "monitoring list pods  Forwarded",
                "monitoring get pods/portforward  Forwarded",
                "monitoring create pods/portforward  Forwarded",
                "monitoring list endpointslices  Better",
            ]
        );
        let forced = json!({"url": "http://p.monitoring.svc:9090/x", "via": "port-forward"});
        assert_eq!(needed(forced, None)[0], "monitoring get services  Always");
    }

    #[test]
    fn its_own_namespace_is_told_from_others() {
        for (url, own) in [
            ("http://prometheus.{{namespace}}.svc:9090", None),
            ("http://prometheus.{{ namespace }}", Some("shop")),
            ("http://prometheus.shop", Some("shop")),
        ] {
            let first = needed(json!({"url": url}), own).remove(0);
            assert_eq!(first, "- get services  Forwarded", "{url}");
        }
    }

    #[test]
    fn what_is_outside_needs_nothing() {
        for options in [
            json!({"url": "https://prometheus.example.com"}),
            json!({"url": "http://127.0.0.1:9090"}),
            json!({"url": "http://prometheus.monitoring:9090", "via": "direct"}),
            json!({"url": "https://x.example.com", "auth": {"bearer": {"env": "TOKEN"}}}),
        ] {
            assert!(needed(options.clone(), None).is_empty(), "{options}");
        }
    }

    #[test]
    fn pods_are_asked_beside_the_server_where_they_can_be() {
        let asked = |options| needed(options, Some("shop"));
        let url = "https://prometheus.example.com";
        assert_eq!(
            asked(json!({"url": url, "askPods": true, "selector": "job"})),
            [
                "- get pods/portforward  Better",
                "- create pods/portforward  Better",
            ]
        );
        for other in [
            json!({"url": url, "askPods": true, "preset": "nginx"}),
            json!({"url": url, "askPods": true, "selector": "x=\"{{track}}\",path=\"/pay\""}),
        ] {
            assert!(asked(other.clone()).is_empty(), "{other}");
        }
    }

    #[test]
    fn secrets_are_read_by_name() {
        let options = json!({
            "url": "https://mimir.example.com",
            "auth": {"basic": {"username": "u", "password": {"secret": {"name": "mimir", "key": "p"}}}},
            "headers": {
                "X-Scope-OrgID": {"secret": {"name": "tenant", "key": "id", "namespace": "monitoring"}},
                "X-Again": {"secret": {"name": "mimir", "key": "q"}}
            }
        });
        assert_eq!(
            needed(options, Some("shop")),
            [
                "- get secrets mimir Always",
                "monitoring get secrets tenant Always",
            ]
        );
    }
}
