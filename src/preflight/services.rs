//! The Services in front of the two Deployments.
//!
//! Owns: whether the app's Service reaches both sides, its ports, and Services that say one thing
//! and select another. Must not: know routes of other routers.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{core::v1::Service, discovery::v1::EndpointSlice},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::ResourceExt;
use serde_json::Value;

use super::{
    count, fine, found,
    ground::{Ground, fits},
    workloads::strangers,
};
use crate::{
    cluster::{objects::selects, workloads::selector_text},
    domain::{
        view::{Finding, Severity},
        workload::Track,
    },
};

/// Label by which an `EndpointSlice` names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Words in the name of a Service that promise one side only.
const STABLE_WORDS: [&str; 3] = ["stable", "production", "primary"];

pub(super) fn findings(ground: &Ground<'_>) -> Vec<Finding> {
    let mut all = apex(ground);
    all.extend(named_after_a_side(ground));
    all.extend(bypasses(ground));
    all.extend(rivals(ground));
    all.extend(overlaps(ground));
    all.extend(policies(ground));
    all
}

/// Looks at the Service of both sides.
fn apex(ground: &Ground<'_>) -> Vec<Finding> {
    // Routes that divide by weight lead to Services of one side.
    if !ground.by_pods() {
        return Vec::new();
    }
    let needed = Severity::Error;
    let Some(name) = &ground.subject.names.service else {
        let common =
            crate::cluster::workloads::common_labels(&ground.stable, ground.canary.as_ref());
        return vec![found(
            needed,
            format!("namespace {}", ground.cluster.namespace()),
            "no Service selects the pods of both Deployments",
            "without one Service in front of both sides the number of pods does not divide traffic",
            format!(
                "make a Service with the selector {} (and no track label), or name it with --service",
                selector_text(&common)
            ),
        )];
    };
    let place = ground.place("Service", name);
    let Some(service) = ground.survey.service(name) else {
        return vec![found(
            needed,
            place,
            "there is no such Service",
            "clients of the app reach neither side through it",
            "create it, or name another with --service",
        )];
    };
    if let Some(finding) = without_selector(service, &place, needed) {
        return vec![finding];
    }
    let mut all = reaches_both(ground, service, &place, needed);
    all.extend(ports(ground, service, &place));
    all.extend(stickiness(ground, service, &place));
    all.extend(endpoints(ground, service, &place));
    all
}

fn without_selector(service: &Service, place: &str, needed: Severity) -> Option<Finding> {
    let spec = service.spec.as_ref();
    if spec.and_then(|s| s.type_.as_deref()) == Some("ExternalName") {
        return Some(found(
            needed,
            place,
            "the Service is an ExternalName",
            "it is a DNS alias: it selects no pods, so no number of pods divides its traffic",
            "name the Service that selects the pods with --service",
        ));
    }
    let selector = spec.and_then(|s| s.selector.as_ref());
    if selector.is_none_or(BTreeMap::is_empty) {
        return Some(found(
            needed,
            place,
            "the Service has no selector",
            "its endpoints are kept by hand: new pods do not join it by themselves",
            "give it a selector that both Deployments' pods carry",
        ));
    }
    None
}

fn reaches_both(
    ground: &Ground<'_>,
    service: &Service,
    place: &str,
    needed: Severity,
) -> Vec<Finding> {
    let mut all = Vec::new();
    let selector = service.spec.as_ref().and_then(|s| s.selector.clone());
    let selector = selector.unwrap_or_default();
    for track in [Track::Stable, Track::Canary] {
        let labels = ground.labels(track);
        if selects(service, &labels) {
            continue;
        }
        let lacking = selector.iter().filter(|(k, v)| labels.get(*k) != Some(v));
        let lacking: BTreeMap<_, _> = lacking.map(|(k, v)| (k.clone(), v.clone())).collect();
        let side = track.word();
        all.push(found(
            needed,
            place,
            format!("the Service does not select the pods of {side}: they lack {}", selector_text(&lacking)),
            format!("{side} gets no traffic through it, however many pods it has"),
            "take the track label out of the Service's selector, or name another Service with --service",
        ));
    }
    if all.is_empty() {
        all.push(fine(place, "the Service selects the pods of both sides"));
    }
    all
}

/// Looks whether named target ports are there in both templates.
fn ports(ground: &Ground<'_>, service: &Service, place: &str) -> Vec<Finding> {
    let ports = service.spec.as_ref().and_then(|s| s.ports.as_ref());
    let mut all = Vec::new();
    for port in ports.into_iter().flatten() {
        let Some(IntOrString::String(name)) = &port.target_port else {
            continue;
        };
        for track in [Track::Stable, Track::Canary] {
            let template = match track {
                Track::Stable => ground.stable.template(),
                Track::Canary => ground.canary_template(),
            };
            if has_port(template, name) {
                continue;
            }
            all.push(found(
                Severity::Error,
                place,
                format!("the pods of {} have no port named {name}", track.word()),
                format!("port {} of the Service leads nowhere on that side: its requests fail", port.port),
                format!("name the container port {name} in the pod template, or give the Service a number as targetPort"),
            ));
        }
    }
    all
}

fn has_port(template: &Value, name: &str) -> bool {
    let spec = &template["spec"];
    let lists = [&spec["containers"], &spec["initContainers"]];
    let containers = lists.into_iter().filter_map(Value::as_array).flatten();
    let mut ports = containers.filter_map(|c| c["ports"].as_array()).flatten();
    ports.any(|p| p["name"].as_str() == Some(name))
}

fn stickiness(ground: &Ground<'_>, service: &Service, place: &str) -> Vec<Finding> {
    let mut all = Vec::new();
    if !ground.by_pods() {
        return all;
    }
    let Some(spec) = service.spec.as_ref() else {
        return all;
    };
    if spec.session_affinity.as_deref() == Some("ClientIP") {
        all.push(found(
            Severity::Warning,
            place,
            "the Service keeps clients at one pod (sessionAffinity ClientIP)",
            "a few busy clients decide what the canary gets: the share of requests is not the share of pods",
            format!(
                "{} patch service {} -p '{{\"spec\":{{\"sessionAffinity\":\"None\"}}}}'",
                ground.kubectl(),
                service.name_any()
            ),
        ));
    }
    if spec.cluster_ip.as_deref() == Some("None") {
        all.push(found(
            Severity::Warning,
            place,
            "the Service is headless",
            "clients choose among the pods themselves and may keep old addresses: the share of requests is not the share of pods",
            "check how clients balance, or send them through a Service with a cluster IP",
        ));
    }
    all
}

/// Compares the endpoints that are ready with the pods that are.
fn endpoints(ground: &Ground<'_>, service: &Service, place: &str) -> Option<Finding> {
    let slices = ground.slices.as_ref()?;
    let ready = ready_endpoints(slices, &service.name_any());
    let sides = [Some(&ground.stable_facts), ground.canary_facts.as_ref()];
    let pods = sides.into_iter().flatten().flat_map(|side| &side.pods);
    let selected = |name: &str| {
        let mut pods = ground.pods.iter();
        pods.any(|p| p.name() == name && selects(service, &p.metadata.labels))
    };
    let pods = pods.filter(|p| p.ready && selected(&p.name)).count();
    let pods = u32::try_from(pods).unwrap_or(u32::MAX);
    let look = format!(
        "{} get endpointslices -l {SERVICE_NAME}={}",
        ground.kubectl(),
        service.name_any()
    );
    if ready == 0 {
        return Some(found(
            Severity::Error,
            place,
            "the Service has no ready endpoint",
            "every request to the app fails now",
            look,
        ));
    }
    if ready < pods {
        return Some(found(
            Severity::Warning,
            place,
            format!(
                "{} of {} are endpoints of the Service",
                ready,
                count(pods, "ready pod")
            ),
            "pods that are no endpoints receive no traffic",
            look,
        ));
    }
    Some(fine(place, format!("{} ready", count(ready, "endpoint"))))
}

fn ready_endpoints(slices: &[EndpointSlice], service: &str) -> u32 {
    let own = slices
        .iter()
        .filter(|s| s.labels().get(SERVICE_NAME).map(String::as_str) == Some(service));
    let ready = own.flat_map(|s| &s.endpoints).filter(|e| {
        let ready = e.conditions.as_ref().and_then(|c| c.ready);
        ready.unwrap_or(true)
    });
    // A pod with two addresses is in two slices.
    let mut pods: Vec<String> = ready
        .map(
            |e| match e.target_ref.as_ref().and_then(|t| t.name.clone()) {
                Some(name) => name,
                None => e.addresses.join(","),
            },
        )
        .collect();
    pods.sort_unstable();
    pods.dedup();
    u32::try_from(pods.len()).unwrap_or(u32::MAX)
}

/// Returns which side the name of a Service promises.
fn promised(name: &str) -> Option<Track> {
    let says = |word: &str| name.split(['-', '.']).any(|part| part == word);
    if says("canary") {
        Some(Track::Canary)
    } else if STABLE_WORDS.iter().any(|word| says(word)) {
        Some(Track::Stable)
    } else {
        None
    }
}

/// Looks at Services whose name says `stable` or `canary`.
fn named_after_a_side(ground: &Ground<'_>) -> Vec<Finding> {
    let names = ground.subject.names;
    let apex = names.service.as_deref();
    let mut all = Vec::new();
    for service in &ground.survey.services {
        let name = service.name_any();
        let Some(side) = promised(&name).filter(|_| apex != Some(name.as_str())) else {
            continue;
        };
        let (own, other) = (ground.labels(side), ground.labels(side.other()));
        let has_selector = service.spec.as_ref().is_some_and(|s| s.selector.is_some());
        let ours = name.starts_with(ground.subject.app) && has_selector;
        let place = ground.place("Service", &name);
        let (word, wrong) = (side.word(), side.other().word());
        if selects(service, &other) {
            all.push(found(
                Severity::Warning,
                place,
                format!("the Service is called {word} and selects pods of {wrong} too"),
                "comparing the sides, or routing weights, through it gives a mixture",
                format!("add the track label of {word} to its selector"),
            ));
        } else if ours && !selects(service, &own) {
            all.push(found(
                Severity::Warning,
                place,
                format!("the Service is called {word} and does not select the pods of {word}"),
                "requests to it fail or reach another app",
                format!("its selector must be among {}", selector_text(&own)),
            ));
        }
    }
    all
}

/// Tells Services through which clients reach one side only, past the division.
fn bypasses(ground: &Ground<'_>) -> Option<Finding> {
    let (stable, canary) = (ground.labels(Track::Stable), ground.labels(Track::Canary));
    let one_sided: Vec<String> = ground
        .survey
        .services
        .iter()
        .filter_map(|service| {
            let side = match (selects(service, &stable), selects(service, &canary)) {
                (true, false) => Track::Stable,
                (false, true) => Track::Canary,
                _ => return None,
            };
            Some(format!("{} ({})", service.name_any(), side.word()))
        })
        .collect();
    if one_sided.is_empty() || !ground.by_pods() {
        return None;
    }
    Some(found(
        Severity::Note,
        format!("namespace {}", ground.cluster.namespace()),
        format!(
            "Services that select one side only: {}",
            one_sided.join(", ")
        ),
        "their clients bypass the division of traffic; a side with no pods leaves them without an answer",
        "",
    ))
}

/// Tells several Services that could each be the app's.
fn rivals(ground: &Ground<'_>) -> Option<Finding> {
    let (stable, canary) = (ground.labels(Track::Stable), ground.labels(Track::Canary));
    let both = |s: &&Service| selects(s, &stable) && selects(s, &canary);
    let services = ground.survey.services.iter().filter(both);
    let fitting: Vec<String> = services.map(ResourceExt::name_any).collect();
    if fitting.len() < 2 {
        return None;
    }
    let chosen = ground.subject.names.service.as_deref().unwrap_or("none");
    Some(found(
        Severity::Note,
        format!("namespace {}", ground.cluster.namespace()),
        format!("several Services select both sides: {}", fitting.join(", ")),
        format!(
            "the traffic of all of them is divided; ports and endpoints are taken from {chosen}"
        ),
        "name the right one with --service if that is wrong",
    ))
}

/// Tells Deployments whose selectors fit each other's pods.
fn overlaps(ground: &Ground<'_>) -> Vec<Finding> {
    let mut all = Vec::new();
    let report = |place: String, whose: &str, others: &str| {
        found(
            Severity::Warning,
            place,
            format!("the selector of {whose} also fits the pods of {others}"),
            "autoscalers, disruption budgets and `kubectl logs` count the other's pods as its own, and two Deployments may fight over them",
            "selectors cannot be changed: recreate the Deployment with a track label in its selector",
        )
    };
    for track in [Track::Stable, Track::Canary] {
        let selector = ground.selector(track);
        let other = ground.labels(track.other());
        let fits = !selector.is_empty() && selector.iter().all(|(k, v)| other.get(k) == Some(v));
        if fits {
            let place = match track {
                Track::Stable => ground.stable_place(),
                Track::Canary => ground.canary_place(),
            };
            all.push(report(place, track.word(), track.other().word()));
        }
    }
    for (track, stranger) in strangers(ground) {
        let place = ground.place("Deployment", &stranger);
        all.push(report(place, track.word(), &stranger));
    }
    all
}

/// Tells network policies that hold for one side only.
fn policies(ground: &Ground<'_>) -> Vec<Finding> {
    let (stable, canary) = (ground.labels(Track::Stable), ground.labels(Track::Canary));
    let mut all = Vec::new();
    for policy in ground.policies.iter().flatten() {
        let selector = policy.spec.as_ref().and_then(|s| s.pod_selector.clone());
        let selector = selector.unwrap_or_default();
        let side = match (fits(&selector, &stable), fits(&selector, &canary)) {
            (true, false) => Track::Stable,
            (false, true) => Track::Canary,
            _ => continue,
        };
        all.push(found(
            Severity::Warning,
            ground.place("NetworkPolicy", &policy.name_any()),
            format!("the policy holds for the pods of {} only", side.word()),
            "the two sides may reach, and be reached by, different things: the canary would be judged under other conditions",
            "select the pods of both sides by a label they share",
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_promises_a_side_by_whole_words() {
        assert_eq!(promised("web-stable"), Some(Track::Stable));
        assert_eq!(promised("web-canary-service"), Some(Track::Canary));
        assert_eq!(promised("web"), None);
        assert_eq!(promised("establish"), None);
    }

    #[test]
    fn ports_are_found_in_sidecars_too() {
        let template = json!({"spec": {
            "containers": [{"ports": [{"name": "http", "containerPort": 80}]}],
            "initContainers": [{"ports": [{"name": "proxy", "containerPort": 81}]}],
        }});
        assert!(has_port(&template, "http"));
        assert!(has_port(&template, "proxy"));
        assert!(!has_port(&template, "grpc"));
    }

    #[test]
    fn a_pod_in_two_slices_counts_once() {
        let slice = |ready: bool| -> EndpointSlice {
            serde_json::from_value(json!({
                "metadata": {"labels": {SERVICE_NAME: "web"}},
                "addressType": "IPv4",
                "endpoints": [
                    {"addresses": ["10.0.0.1"], "conditions": {"ready": true}, "targetRef": {"name": "a"}},
                    {"addresses": ["10.0.0.2"], "conditions": {"ready": ready}, "targetRef": {"name": "b"}},
                ],
            }))
            .unwrap()
        };
        assert_eq!(ready_endpoints(&[slice(true), slice(true)], "web"), 2);
        assert_eq!(ready_endpoints(&[slice(false)], "web"), 1);
        assert_eq!(ready_endpoints(&[slice(true)], "other"), 0);
    }
}
