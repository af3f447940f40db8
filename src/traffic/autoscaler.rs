//! Keeping autoscalers from working against a release.
//!
//! Owns: holding them at a number, or above one, noting what they were, and letting go. Must not:
//! choose numbers.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::{ResourceExt, api::Patch};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Objects, Target, TrafficError};
use crate::{
    cluster::{
        Cluster, Reason,
        objects::{Survey, scales},
    },
    domain::right::{Need, Right, WRITERS},
};

/// Annotation on a pinned autoscaler: what it was before, so that even a rollback without a journal
/// can restore it.
pub const PINNED: &str = "canaryctl.dev/pinned";

/// Returns the right to hold autoscalers.
pub(super) fn right(why: &'static str) -> Right {
    let what = ("patch", "autoscaling", "horizontalpodautoscalers", "");
    Right::new(what, Need::Autoscaler, why, WRITERS)
}

/// Reads the autoscalers of both sides.
pub(super) async fn of_sides(
    cluster: &Cluster,
    target: &Target,
) -> Result<Vec<HorizontalPodAutoscaler>, TrafficError> {
    let known = cluster.autoscalers().await?.unwrap_or_default();
    let ours = known.into_iter().filter(|hpa| is_of(hpa, target));
    Ok(ours.collect())
}

/// Returns the autoscalers of both sides as surveyed.
pub(super) fn surveyed(survey: &Survey, target: &Target) -> Objects {
    let all = survey.autoscalers.iter();
    let ours = all.filter(|hpa| is_of(hpa, target));
    ours.filter_map(|hpa| serde_json::to_value(hpa).ok())
        .collect()
}

/// Returns whether an autoscaler has a say in either side.
pub(super) fn is_of(hpa: &HorizontalPodAutoscaler, target: &Target) -> bool {
    scales(hpa, &target.stable) || scales(hpa, &target.canary)
}

/// Holds an autoscaler at `replicas`, and notes on it what it was; returns whether it was not.
pub(super) async fn hold(
    cluster: &Cluster,
    hpa: &HorizontalPodAutoscaler,
    replicas: u32,
) -> Result<bool, TrafficError> {
    let wanted = (i64::from(replicas), i64::from(replicas));
    if is_pinned(hpa) && bounds(hpa) == wanted {
        return Ok(false);
    }
    set_bounds(cluster, hpa, wanted).await?;
    Ok(true)
}

/// Keeps an autoscaler from going below `replicas`, and notes on it what it was; it may still go
/// above. Returns whether it could go below.
pub(super) async fn hold_above(
    cluster: &Cluster,
    hpa: &HorizontalPodAutoscaler,
    replicas: u32,
) -> Result<bool, TrafficError> {
    let (min, max) = bounds(hpa);
    let floor = i64::from(replicas);
    if min >= floor {
        return Ok(false);
    }
    set_bounds(cluster, hpa, (floor, max.max(floor))).await?;
    Ok(true)
}

async fn set_bounds(
    cluster: &Cluster,
    hpa: &HorizontalPodAutoscaler,
    (least, most): (i64, i64),
) -> Result<(), TrafficError> {
    let (min, max) = bounds(hpa);
    let before = match hpa.annotations().get(PINNED) {
        Some(noted) => noted.clone(),
        None => json!({"minReplicas": min, "maxReplicas": max}).to_string(),
    };
    let spec = json!({"minReplicas": least, "maxReplicas": most});
    patch(cluster, hpa, &json!(before), &spec).await
}

/// Gives an autoscaler back what was noted on it.
pub(super) async fn let_go(
    cluster: &Cluster,
    hpa: &HorizontalPodAutoscaler,
) -> Result<(), TrafficError> {
    let Some(before) = hpa.annotations().get(PINNED) else {
        return Ok(());
    };
    let spec: Value = serde_json::from_str(before).map_err(|_| {
        TrafficError::Refused(format!(
            "annotation {PINNED} of HorizontalPodAutoscaler {}/{} is damaged; restore its minReplicas and maxReplicas by hand",
            cluster.namespace(),
            hpa.name_any()
        ))
    })?;
    patch(cluster, hpa, &Value::Null, &spec).await
}

async fn patch(
    cluster: &Cluster,
    hpa: &HorizontalPodAutoscaler,
    annotation: &Value,
    spec: &Value,
) -> Result<(), TrafficError> {
    let name = hpa.name_any();
    let patch = Patch::Merge(json!({
        "metadata": {
            "resourceVersion": hpa.resource_version(),
            "annotations": {PINNED: annotation},
        },
        "spec": spec,
    }));
    let what = cluster.named("HorizontalPodAutoscaler", &name);
    let outcome = cluster
        .patch_grown::<HorizontalPodAutoscaler>("pin", &what, &name, &patch)
        .await;
    match outcome {
        Ok(()) => Ok(()),
        Err(error) if error.reason == Reason::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Returns the autoscalers among what was read.
pub(super) fn typed(objects: &Objects) -> Vec<HorizontalPodAutoscaler> {
    let typed = |object| HorizontalPodAutoscaler::deserialize(object).ok();
    objects.iter().filter_map(typed).collect()
}

/// Returns the smallest and largest size an autoscaler may set.
pub(super) fn bounds(hpa: &HorizontalPodAutoscaler) -> (i64, i64) {
    let spec = hpa.spec.as_ref();
    let min = spec.and_then(|s| s.min_replicas).unwrap_or(1);
    let max = spec.map_or(1, |s| s.max_replicas);
    (min.into(), max.into())
}

/// Returns whether an autoscaler is held by a release.
pub(super) fn is_pinned(hpa: &HorizontalPodAutoscaler) -> bool {
    hpa.annotations().contains_key(PINNED)
}
