//! Whoever else decides about numbers of pods.
//!
//! Owns: what an autoscaler will do to a release and the release to it. Must not: pin anything.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::ResourceExt;

use super::{
    fine, found,
    ground::{Ground, fits},
    quota::most_pods,
};
use crate::{
    cluster::objects::scales,
    domain::{
        view::{Finding, Severity},
        workload::Track,
    },
    traffic::autoscaler::PINNED,
};

/// Annotation that the admission webhook of the `VerticalPodAutoscaler` leaves on pods.
const RESIZED: &str = "vpaUpdates";

pub(super) fn findings(ground: &Ground<'_>) -> Vec<Finding> {
    let mut all = Vec::new();
    let namespace = format!("namespace {}", ground.cluster.namespace());
    if !ground.survey.autoscalers_known {
        all.push(found(
            Severity::Warning,
            &namespace,
            "HorizontalPodAutoscalers cannot be read",
            "an autoscaler would change the replica counts during the release, and it could not be read",
            format!(
                "grant get, list and patch on horizontalpodautoscalers.autoscaling; `{} auth can-i list hpa` tells",
                ground.kubectl()
            ),
        ));
    }
    let names = ground.subject.names;
    let sides = [
        (Track::Stable, &names.stable),
        (Track::Canary, &names.canary),
    ];
    let mut none = true;
    for (track, name) in sides {
        for hpa in &ground.survey.autoscalers {
            if scales(hpa, name) {
                none = false;
                all.extend(autoscaler(ground, hpa, track));
            }
        }
    }
    if none && ground.survey.autoscalers_known {
        all.push(fine(&namespace, "no autoscaler scales either side"));
    }
    all.extend(vertical(ground));
    all.extend(budgets(ground));
    all
}

fn autoscaler(ground: &Ground<'_>, hpa: &HorizontalPodAutoscaler, track: Track) -> Vec<Finding> {
    let place = ground.place("HorizontalPodAutoscaler", &hpa.name_any());
    let side = track.word();
    let spec = hpa.spec.as_ref();
    let min = spec.and_then(|s| s.min_replicas).unwrap_or(1);
    let max = spec.map_or(1, |s| s.max_replicas);
    if !ground.by_pods() {
        let what = format!("an autoscaler scales {side} between {min} and {max}");
        let why = "the router divides by weight, so the replica counts may change; the release keeps it from going below what the canary's share needs";
        return vec![found(Severity::Note, place, what, why, "")];
    }
    if ground.subject.router.options["hpa"] == "refuse" {
        return vec![found(
            Severity::Error,
            place,
            format!("an autoscaler scales {side}, and `hpa: refuse` is set"),
            "router `replicas` refuses to start: the autoscaler would undo its scaling",
            "set `router: {replicas: {hpa: pin}}`, or take the autoscaler away during the release",
        )];
    }
    let mut all = vec![found(
        Severity::Note,
        &place,
        format!("an autoscaler scales {side} between {min} and {max}"),
        "the release pins it at the wanted number of pods and restores it at the end; until then it does not follow the load",
        "release at a time of steady load",
    )];
    let (stable, canary) = most_pods(ground);
    let most = match track {
        Track::Stable => stable,
        Track::Canary => canary,
    };
    if i64::from(most) > i64::from(max) {
        all.push(found(
            Severity::Warning,
            &place,
            format!("the plan needs {most} pods of {side}, maxReplicas is {max}"),
            "the release pins it above its configured maximum",
            format!(
                "{} patch hpa {} -p '{{\"spec\":{{\"maxReplicas\":{most}}}}}', or scale down before",
                ground.kubectl(),
                hpa.name_any()
            ),
        ));
    }
    if hpa.annotations().contains_key(PINNED) {
        all.push(found(
            Severity::Warning,
            &place,
            "the autoscaler is pinned by a release",
            "unless one runs now, an interrupted one left it so: it does not follow the load",
            format!("canaryctl rollback {}", ground.subject.app),
        ));
    }
    let keda = hpa
        .owner_references()
        .iter()
        .find(|o| o.kind == "ScaledObject");
    if let Some(owner) = keda {
        all.push(found(
            Severity::Warning,
            &place,
            format!("KEDA's ScaledObject {} owns the autoscaler", owner.name),
            "KEDA would undo the pinning during the release",
            format!(
                "{} annotate scaledobject {} autoscaling.keda.sh/paused=true during the release",
                ground.kubectl(),
                owner.name
            ),
        ));
    }
    all
}

fn vertical(ground: &Ground<'_>) -> Option<Finding> {
    let resized = ground
        .pods
        .iter()
        .any(|p| p.metadata.annotations.contains_key(RESIZED));
    resized.then(|| {
        found(
            Severity::Note,
            ground.stable_place(),
            "a VerticalPodAutoscaler sets the resources of the pods",
            "the two sides may run with different requests and limits, and pods may be evicted during the release",
            "check that both Deployments have one, with the same mode",
        )
    })
}

fn budgets(ground: &Ground<'_>) -> Option<Finding> {
    let (stable, canary) = (ground.labels(Track::Stable), ground.labels(Track::Canary));
    let ours = ground.budgets.iter().flatten().filter(|budget| {
        let selector = budget.spec.as_ref().and_then(|s| s.selector.as_ref());
        selector.is_some_and(|s| fits(s, &stable) || fits(s, &canary))
    });
    let names: Vec<String> = ours.map(ResourceExt::name_any).collect();
    let first = names.first()?;
    Some(found(
        Severity::Note,
        ground.place("PodDisruptionBudget", first),
        format!("disruption budgets fit the pods: {}", names.join(", ")),
        "they hold back evictions, such as the drain of a node; they do not limit the scaling of a release",
        "",
    ))
}
