//! Traffic by numbers of pods: two Deployments behind one Service.
//!
//! Owns: the router and its options. Must not: re-read the total from the Deployments it has scaled;
//! it is fixed when the run starts.

mod numbers;

use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::ResourceExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Objects, Provider, Router, Scene, Target, TrafficError,
    autoscaler::{bounds, hold, is_pinned, let_go, of_sides, right, surveyed, typed},
};
use crate::{
    cluster::{
        Cluster,
        objects::{Survey, scales, selects},
        workloads::Live,
    },
    domain::{
        change::Act,
        right::Right,
        split::{Grain, Split},
        weight::Percent,
        workload::{Track, Workload},
    },
};
pub use numbers::{Goals, pods_at};
use numbers::{next, split};

/// The router by numbers of pods.
pub struct Replicas;

/// Options of the router.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(rename = "ReplicasOptions")]
struct Options {
    /// What to do about a `HorizontalPodAutoscaler` of either Deployment.
    hpa: Hpa,
    /// Whether the canary's pods come on top of stable's, up to half of the traffic: one canary pod and
    /// four, instead of one of four.
    surge: bool,
}

/// What to do about an autoscaler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Hpa {
    /// Set its minimum and maximum to the wanted number, and restore them at the end.
    #[default]
    Pin,
    /// Refuse to start.
    Refuse,
}

impl Provider for Replicas {
    fn name(&self) -> &'static str {
        "replicas"
    }

    fn about(&self) -> &'static str {
        "replica counts of two Deployments behind one Service"
    }

    fn options(
        &self,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<Value, erased_serde::Error> {
        let options: Options = erased_serde::deserialize(from)?;
        serde_json::to_value(options).map_err(serde::de::Error::custom)
    }

    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<Options>()
    }

    fn rights(&self, _: &Value) -> Vec<Right> {
        vec![right("pin autoscalers and restore them")]
    }

    fn yields(&self) -> bool {
        true
    }

    fn adds_pods(&self, options: &Value) -> bool {
        super::recorded("replicas", options).is_ok_and(|options: Options| options.surge)
    }

    fn detect(&self, survey: &Survey, _: &str, target: &Target) -> Option<(String, Value)> {
        let stable = survey.deployment(&target.stable)?.pod_labels();
        let canary = survey.deployment(&target.canary).map(Live::pod_labels);
        let both = |service: &&k8s_openapi::api::core::v1::Service| {
            let canary = canary.as_ref();
            selects(service, &stable) && canary.is_none_or(|labels| selects(service, labels))
        };
        let service = survey.services.iter().find(both)?;
        let name = service.name_any();
        let why = format!("Service {name} selects the pods of both Deployments");
        Some((why, Value::Null))
    }

    fn bind(
        &self,
        cluster: &Cluster,
        target: &Target,
        options: &Value,
        survey: &Survey,
    ) -> Result<Box<dyn Router>, TrafficError> {
        let options: Options = super::recorded("replicas", options)?;
        let autoscaler = [&target.stable, &target.canary]
            .into_iter()
            .find_map(|name| survey.autoscaler(name));
        if let (Hpa::Refuse, Some(hpa)) = (options.hpa, autoscaler) {
            return Err(TrafficError::Refused(format!(
                "HorizontalPodAutoscaler {}/{} would fight the release, and `hpa: refuse` is set",
                cluster.namespace(),
                hpa.name_any()
            )));
        }
        Ok(Box::new(ByPods {
            cluster: cluster.clone(),
            goals: Goals {
                total: target.total,
                surge: options.surge,
            },
            target: target.clone(),
            watched: autoscaler.is_some(),
        }))
    }
}

struct ByPods {
    cluster: Cluster,
    target: Target,
    goals: Goals,
    /// Whether an autoscaler has a say in either Deployment.
    watched: bool,
}

#[async_trait]
impl Router for ByPods {
    fn grain(&self) -> Grain {
        Grain::Pods {
            total: self.target.total,
        }
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
        let autoscalers = typed(scene.objects);
        let pinned = autoscalers.iter().filter(|hpa| is_pinned(hpa));
        let pinned = pinned.map(ResourceExt::name_any).collect();
        let mut split = split(
            (wanted, self.goals),
            (scene.stable, scene.canary),
            scene.at,
            pinned,
        );
        // The numbers last only when whoever else sets them is held at them.
        if let Some(loose) = self.loose(wanted, &autoscalers)
            && split.settled
        {
            split.settled = false;
            split.waits_for = Some(loose);
        }
        Ok(split)
    }

    async fn shift(&self, to: Percent, scene: &Scene<'_>) -> Result<Vec<Act>, TrafficError> {
        let mut done = Vec::new();
        let autoscalers = typed(scene.objects);
        let sides = (scene.stable, scene.canary);
        let changes = next((to, self.goals), sides, scene.at);
        // An autoscaler of a side whose number is right already is held, too, before it has its say.
        for track in [Track::Stable, Track::Canary] {
            let unchanged = changes.iter().all(|(changed, _)| *changed != track);
            let Some(live) = scene.sides.live(track).filter(|_| unchanged) else {
                continue;
            };
            let (name, replicas) = (live.name(), live.replicas());
            let hpa = autoscalers.iter().find(|hpa| scales(hpa, &name));
            if let Some(hpa) = hpa.filter(|_| replicas > 0)
                && hold(&self.cluster, hpa, replicas).await?
            {
                let what = format!("pin {} at {replicas}", hpa.name_any());
                done.push(Act::in_words(what));
            }
        }
        for (track, replicas) in changes {
            let Some(live) = scene.sides.live(track) else {
                continue;
            };
            let name = live.name();
            let hpa = autoscalers.iter().find(|hpa| scales(hpa, &name));
            if let Some(hpa) = hpa.filter(|_| replicas > 0) {
                hold(&self.cluster, hpa, replicas).await?;
            }
            self.cluster.scale(live, replicas).await?;
            let namespace = self.cluster.namespace();
            done.push(Act::scaling(namespace, &name, live.replicas(), replicas));
        }
        if done.is_empty()
            && to == Percent::ZERO
            && let Some(live) = scene.sides.live(Track::Stable)
            && let Some(there) = self.stuck(scene.stable)
        {
            // Between two refused tries the controller waits up to minutes; a new number of replicas
            // ends the wait. No pod is lost: there are no more than that. The next look asks for all.
            self.cluster.scale(live, there).await?;
            let (namespace, name) = (self.cluster.namespace(), live.name());
            done.push(Act::scaling(namespace, &name, live.replicas(), there));
        }
        Ok(done)
    }

    async fn pin(&self, deployment: &str, replicas: u32) -> Result<(), TrafficError> {
        // An autoscaler is still while there are no replicas.
        if replicas == 0 {
            return Ok(());
        }
        let autoscalers = self.autoscalers().await?;
        match autoscalers.iter().find(|hpa| scales(hpa, deployment)) {
            Some(hpa) => hold(&self.cluster, hpa, replicas).await.map(drop),
            None => Ok(()),
        }
    }

    async fn unpin(&self) -> Result<(), TrafficError> {
        for hpa in self.autoscalers().await?.iter().filter(|h| is_pinned(h)) {
            let_go(&self.cluster, hpa).await?;
        }
        Ok(())
    }
}

// === impl ByPods ===

/// Time after which a creation of pods that was refused is tried again with our help.
const STUCK: Duration = Duration::from_secs(10);

impl ByPods {
    async fn autoscalers(&self) -> Result<Vec<HorizontalPodAutoscaler>, TrafficError> {
        if !self.watched {
            return Ok(Vec::new());
        }
        of_sides(&self.cluster, &self.target).await
    }

    /// Returns how many pods stable has when others were refused for a while.
    fn stuck(&self, stable: &Workload) -> Option<u32> {
        let since = stable.refused_since?;
        let waited = self.cluster.clock().now().duration_since(since);
        let there = stable.pods.iter().filter(|pod| !pod.terminating).count();
        let there = u32::try_from(there).ok()?;
        (waited.unsigned_abs() >= STUCK && there > 0 && there < stable.replicas).then_some(there)
    }

    /// Returns the autoscaler that may still move a side away from its number at `wanted`.
    fn loose(&self, wanted: Percent, autoscalers: &[HorizontalPodAutoscaler]) -> Option<String> {
        // At 0 % the release is about to let go of what it pinned.
        if wanted == Percent::ZERO {
            return None;
        }
        let (stable, canary) = self.goals.at(wanted);
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
}
