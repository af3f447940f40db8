//! Room for the pods that a release needs on top.
//!
//! Owns: the most pods that stand at the same time, and what quotas allow. Must not: guess what the
//! nodes have room for.

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1::ResourceQuota, apimachinery::pkg::api::resource::Quantity};
use kube::ResourceExt;
use serde_json::Value;

use super::{fine, found, ground::Ground};
use crate::{
    cluster::{quantity, workloads::Live},
    domain::{
        plan::{Plan, Strategy},
        view::{Finding, Severity},
        weight::Percent,
    },
    traffic::replicas::Goals,
};

/// Pods of stable and of the canary.
type Pods = (u32, u32);

/// The most pods at the same time, and where in the release.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Peak {
    pods: Pods,
    at: String,
}

pub(super) fn findings(ground: &Ground<'_>) -> Vec<Finding> {
    if !ground.by_pods() {
        return Vec::new();
    }
    let Some(quotas) = &ground.quotas else {
        return vec![found(
            Severity::Note,
            format!("namespace {}", ground.cluster.namespace()),
            "ResourceQuotas cannot be read",
            "could not check whether the quota has room for the extra pods of the release",
            "grant list on resourcequotas",
        )];
    };
    let mut all = Vec::new();
    for quota in quotas.iter().filter(|q| counts_our_pods(q)) {
        all.extend(limits(ground, quota));
    }
    all
}

/// Returns the most pods either side ever has.
pub(super) fn most_pods(ground: &Ground<'_>) -> Pods {
    let way = way(ground.subject.plan, ground.goals(), present(ground));
    let most = |side: fn(&Pods) -> u32| way.iter().map(|(pods, _)| side(pods)).max().unwrap_or(0);
    (most(|p| p.0), most(|p| p.1))
}

fn present(ground: &Ground<'_>) -> Pods {
    let canary = ground.canary.as_ref().map_or(0, Live::replicas);
    (ground.stable.replicas(), canary)
}

/// Returns the replica counts that the release goes through, each with its name.
fn way(plan: &Plan, goals: Goals, present: Pods) -> Vec<(Pods, String)> {
    let total = goals.total;
    let mut way = vec![(present, "now".to_owned())];
    for step in &plan.steps {
        way.push((
            goals.at(step.weight),
            format!("at the step {}", step.weight),
        ));
    }
    if promotes(plan) {
        way.push((goals.at(Percent::FULL), "at the promotion".to_owned()));
        if plan.promote.strategy != Strategy::Swap {
            way.push(((total, total), "at the promotion".to_owned()));
        }
    }
    way
}

fn promotes(plan: &Plan) -> bool {
    plan.promote.auto && plan.promote.strategy != Strategy::None
}

/// Returns the moment that needs most of what a pod of stable and one of the canary cost: on the way
/// from one number to the next the growing side grows first.
fn peak(way: &[(Pods, String)], cost: (f64, f64)) -> Option<(Peak, f64)> {
    let price = |(stable, canary): Pods| f64::from(stable) * cost.0 + f64::from(canary) * cost.1;
    let moves = way.windows(2).filter_map(|pair| match pair {
        [(from, _), (to, at)] => {
            let pods = (from.0.max(to.0), from.1.max(to.1));
            let at = at.clone();
            Some((Peak { pods, at }, price(pods)))
        }
        _ => None,
    });
    // The first of several equal peaks is where the release would stop.
    moves.reduce(|best, next| if next.1 > best.1 { next } else { best })
}

/// Returns whether a quota is about ordinary, long-running pods.
fn counts_our_pods(quota: &ResourceQuota) -> bool {
    let spec = quota.spec.as_ref();
    let scopes = spec.and_then(|s| s.scopes.as_ref());
    let scopes = scopes.is_none_or(|s| s.iter().all(|scope| scope == "NotTerminating"));
    scopes && spec.is_none_or(|s| s.scope_selector.is_none())
}

fn limits(ground: &Ground<'_>, quota: &ResourceQuota) -> Vec<Finding> {
    let place = ground.place("ResourceQuota", &quota.name_any());
    let spec_hard = quota.spec.as_ref().and_then(|s| s.hard.clone());
    let status = quota.status.clone().unwrap_or_default();
    let hard = status.hard.or(spec_hard).unwrap_or_default();
    let used = status.used.unwrap_or_default();
    let now = present(ground);
    let way = way(ground.subject.plan, ground.goals(), now);
    let mut all = Vec::new();
    let mut looked_at = 0;
    for (resource, limit) in &hard {
        let templates = (ground.stable.template(), ground.canary_template());
        let cost = (
            per_pod(templates.0, resource),
            per_pod(templates.1, resource),
        );
        let (Some(stable), Some(canary), Some(limit)) = (cost.0, cost.1, quantity::of(limit))
        else {
            continue;
        };
        let Some((peak, most)) = peak(&way, (stable, canary)) else {
            continue;
        };
        looked_at += 1;
        let ours = f64::from(now.0) * stable + f64::from(now.1) * canary;
        let used = known(&used, resource).unwrap_or(ours);
        let (more, room) = (most - ours, limit - used);
        if more <= room {
            continue;
        }
        let shown = |amount: f64| quantity::shown(resource, amount.max(0.0));
        all.push(found(
            Severity::Error,
            &place,
            format!(
                "the release needs {} {resource} more {}, the quota has room for {} ({} of {} used)",
                shown(more),
                peak.at,
                shown(room),
                shown(used),
                shown(limit)
            ),
            format!(
                "the peak is {} pods of stable and {} of the canary, over the quota: new pods would be rejected",
                peak.pods.0, peak.pods.1
            ),
            format!("raise {resource} of the quota to {}, or scale stable down before", shown(used + more)),
        ));
    }
    if all.is_empty() && looked_at > 0 {
        all.push(fine(place, "the quota has room for the whole release"));
    }
    all
}

fn known(used: &BTreeMap<String, Quantity>, resource: &str) -> Option<f64> {
    used.get(resource).and_then(quantity::of)
}

/// Returns what one pod of a template uses of a resource of quotas; `None` for other resources, and
/// where a container does not say.
fn per_pod(template: &Value, resource: &str) -> Option<f64> {
    let (kind, name) = match resource {
        "pods" | "count/pods" => return Some(1.0),
        "cpu" | "memory" => ("requests", resource),
        other => other.split_once('.')?,
    };
    if !matches!(kind, "requests" | "limits") || !matches!(name, "cpu" | "memory") {
        return None;
    }
    let containers = template["spec"]["containers"].as_array()?;
    let each = containers.iter().map(|container| {
        let resources = &container["resources"];
        // Without a request, the limit is the request.
        let said = &resources[kind][name];
        let said = if said.is_null() && kind == "requests" {
            &resources["limits"][name]
        } else {
            said
        };
        match said {
            Value::String(text) => quantity::amount(text),
            Value::Number(number) => number.as_f64(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    });
    each.sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn named(pods: &[Pods]) -> Vec<(Pods, String)> {
        pods.iter()
            .enumerate()
            .map(|(i, p)| (*p, i.to_string()))
            .collect()
    }

    #[test]
    fn the_growing_side_grows_first() {
        let way = named(&[(10, 0), (9, 1), (0, 10), (10, 10)]);
        let (peak, most) = peak(&way, (1.0, 1.0)).unwrap();
        // From 9 + 1 to 0 + 10 all 9 and all 10 stand for a moment.
        assert_eq!((peak.pods, most), ((10, 10), 20.0));
        assert_eq!(peak.at, "3");
    }

    #[test]
    fn the_dearer_side_counts() {
        let way = named(&[(4, 0), (2, 2)]);
        let (peak, most) = peak(&way, (1.0, 3.0)).unwrap();
        assert_eq!((peak.pods, most), ((4, 2), 10.0));
    }

    #[test]
    fn a_pod_costs_what_its_containers_ask_for() {
        let template = json!({"spec": {"containers": [
            {"resources": {"requests": {"cpu": "200m"}, "limits": {"memory": "1Gi"}}},
            {"resources": {"requests": {"cpu": 1}, "limits": {"memory": "1Gi"}}},
        ]}});
        assert_eq!(per_pod(&template, "pods"), Some(1.0));
        assert_eq!(per_pod(&template, "requests.cpu"), Some(1.2));
        assert_eq!(
            per_pod(&template, "requests.memory"),
            Some(2.0 * 1_073_741_824.0)
        );
        assert_eq!(per_pod(&template, "limits.cpu"), None);
        assert_eq!(per_pod(&template, "services"), None);
        assert_eq!(per_pod(&template, "requests.storage"), None);
    }
}
