//! An app whose route is not there: before a run has made it, and after it was taken away.
//!
//! Owns: saying that the canary has no traffic, and letting go of autoscalers. Must not: be used where any
//! object may give the canary traffic.

use async_trait::async_trait;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::ResourceExt;

use super::{
    Objects, Router, Scene, Target, TrafficError,
    autoscaler::{hold_above, is_of, is_pinned, let_go, of_sides, surveyed, typed},
};
use crate::{
    cluster::{
        Cluster,
        objects::{Survey, scales},
    },
    domain::{
        change::Act,
        split::{Grain, Split},
        weight::Percent,
        workload::Workload,
    },
};

/// Returns a router for an app without a route, for the reason `why`.
pub fn without(
    cluster: &Cluster,
    target: &Target,
    survey: &Survey,
    why: String,
) -> Box<dyn Router> {
    let mut autoscalers = survey.autoscalers.iter();
    Box::new(Without {
        cluster: cluster.clone(),
        target: target.clone(),
        watched: autoscalers.any(|hpa| is_of(hpa, target)),
        why,
    })
}

struct Without {
    cluster: Cluster,
    target: Target,
    /// Whether an autoscaler has a say in either Deployment.
    watched: bool,
    why: String,
}

#[async_trait]
impl Router for Without {
    fn grain(&self) -> Grain {
        Grain::Weight(Percent::whole(1))
    }

    fn pick(&self, survey: &Survey) -> Objects {
        surveyed(survey, &self.target)
    }

    async fn fetch(&self) -> Result<Objects, TrafficError> {
        let all = self.autoscalers().await?;
        let objects = all.iter().filter_map(|hpa| serde_json::to_value(hpa).ok());
        Ok(objects.collect())
    }

    fn read(&self, wanted: Percent, scene: &Scene<'_>) -> Result<Split, TrafficError> {
        let held = typed(scene.objects);
        let held = held.iter().filter(|hpa| is_pinned(hpa));
        let there = wanted == Percent::ZERO;
        Ok(Split {
            wanted,
            set: Percent::ZERO,
            actual: Percent::ZERO,
            matches: there,
            settled: there,
            stable_ready: scene.stable.ready_pods(),
            canary_ready: scene.canary.map_or(0, Workload::ready_pods),
            detail: "no route leads to the canary".to_owned(),
            pinned: held.map(ResourceExt::name_any).collect(),
            waits_for: (!there).then(|| self.why.clone()),
            routes: Vec::new(),
        })
    }

    async fn shift(&self, _: Percent, _: &Scene<'_>) -> Result<Vec<Act>, TrafficError> {
        Ok(Vec::new())
    }

    async fn pin(&self, deployment: &str, replicas: u32) -> Result<(), TrafficError> {
        let autoscalers = self.autoscalers().await?;
        let hpa = autoscalers.iter().find(|hpa| scales(hpa, deployment));
        if let Some(hpa) = hpa.filter(|_| replicas > 0) {
            hold_above(&self.cluster, hpa, replicas).await?;
        }
        Ok(())
    }

    async fn unpin(&self) -> Result<(), TrafficError> {
        let autoscalers = self.autoscalers().await?;
        for hpa in autoscalers.iter().filter(|hpa| is_pinned(hpa)) {
            let_go(&self.cluster, hpa).await?;
        }
        Ok(())
    }
}

impl Without {
    async fn autoscalers(&self) -> Result<Vec<HorizontalPodAutoscaler>, TrafficError> {
        if !self.watched {
            return Ok(Vec::new());
        }
        of_sides(&self.cluster, &self.target).await
    }
}
