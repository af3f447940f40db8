//! Keeping autoscalers still while the numbers of pods are the traffic.
//!
//! Owns: holding them at a number, noting what they were, and letting go. Must not: choose numbers.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::{ResourceExt, api::Patch};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ByPods, Objects, TrafficError, pods_at};
use crate::{
    cluster::{Reason, objects::scales},
    domain::weight::Percent,
};

/// Annotation on a pinned autoscaler: what it was before, so that even a rollback without a journal
/// can restore it.
pub const PINNED: &str = "canaryctl.dev/pinned";

// === impl ByPods ===

impl ByPods {
    /// Reads the autoscalers of both sides.
    pub(super) async fn autoscalers(&self) -> Result<Vec<HorizontalPodAutoscaler>, TrafficError> {
        if !self.watched {
            return Ok(Vec::new());
        }
        let known = self.cluster.autoscalers().await?.unwrap_or_default();
        let ours = known.into_iter().filter(|hpa| self.is_ours(hpa));
        Ok(ours.collect())
    }

    /// Returns whether an autoscaler has a say in either side.
    pub(super) fn is_ours(&self, hpa: &HorizontalPodAutoscaler) -> bool {
        scales(hpa, &self.target.stable) || scales(hpa, &self.target.canary)
    }

    /// Returns the autoscaler that may still move a side away from its number at `wanted`.
    pub(super) fn loose(
        &self,
        wanted: Percent,
        autoscalers: &[HorizontalPodAutoscaler],
    ) -> Option<String> {
        // At 0 % the release is about to let go of what it pinned.
        if wanted == Percent::ZERO {
            return None;
        }
        let (stable, canary) = pods_at(wanted, self.target.total);
        let sides = [(&self.target.stable, stable), (&self.target.canary, canary)];
        sides.into_iter().find_map(|(name, goal)| {
            let hpa = autoscalers.iter().find(|hpa| scales(hpa, name))?;
            let held = is_pinned(hpa) && bounds(hpa) == (i64::from(goal), i64::from(goal));
            let what = format!(
                "HorizontalPodAutoscaler {} to be held at {goal}",
                hpa.name_any()
            );
            (goal > 0 && !held).then_some(what)
        })
    }

    /// Holds an autoscaler at `replicas`, and notes on it what it was; returns whether it was not.
    pub(super) async fn hold(
        &self,
        hpa: &HorizontalPodAutoscaler,
        replicas: u32,
    ) -> Result<bool, TrafficError> {
        let (min, max) = bounds(hpa);
        let before = match hpa.annotations().get(PINNED) {
            Some(noted) => noted.clone(),
            None => json!({"minReplicas": min, "maxReplicas": max}).to_string(),
        };
        let pinned = i64::from(replicas);
        if is_pinned(hpa) && (min, max) == (pinned, pinned) {
            return Ok(false);
        }
        let spec = json!({"minReplicas": replicas, "maxReplicas": replicas});
        self.patch(hpa, &json!(before), &spec).await?;
        Ok(true)
    }

    /// Gives an autoscaler back what was noted on it.
    pub(super) async fn let_go(&self, hpa: &HorizontalPodAutoscaler) -> Result<(), TrafficError> {
        let Some(before) = hpa.annotations().get(PINNED) else {
            return Ok(());
        };
        let spec: Value = serde_json::from_str(before).map_err(|_| {
            TrafficError::Refused(format!(
                "annotation {PINNED} of HorizontalPodAutoscaler {}/{} is damaged; restore its minReplicas and maxReplicas by hand",
                self.cluster.namespace(),
                hpa.name_any()
            ))
        })?;
        self.patch(hpa, &Value::Null, &spec).await
    }

    async fn patch(
        &self,
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
        let api = self.cluster.api::<HorizontalPodAutoscaler>();
        let params = self.cluster.patch_params();
        let what = self.cluster.named("HorizontalPodAutoscaler", &name);
        let outcome = self
            .cluster
            .write("pin", &what, || api.patch(&name, &params, &patch))
            .await;
        match outcome {
            Ok(_) => Ok(()),
            Err(error) if error.reason == Reason::NotFound => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Returns the autoscalers among what was read.
pub(super) fn typed(objects: &Objects) -> Vec<HorizontalPodAutoscaler> {
    let typed = |object| HorizontalPodAutoscaler::deserialize(object).ok();
    objects.iter().filter_map(typed).collect()
}

/// Returns the smallest and largest size an autoscaler may set.
fn bounds(hpa: &HorizontalPodAutoscaler) -> (i64, i64) {
    let spec = hpa.spec.as_ref();
    let min = spec.and_then(|s| s.min_replicas).unwrap_or(1);
    let max = spec.map_or(1, |s| s.max_replicas);
    (min.into(), max.into())
}

/// Returns whether an autoscaler is held by a release.
pub(super) fn is_pinned(hpa: &HorizontalPodAutoscaler) -> bool {
    hpa.annotations().contains_key(PINNED)
}
