//! Several routers at once: each holds the same split, and they move in order.
//!
//! Owns: the order, and putting back what was moved when one cannot follow. Must not: know what the
//! routers do.

use async_trait::async_trait;
use serde::{Deserialize, de::Error as _};
use serde_json::{Value, json};

use super::{
    Objects, Provider, Router, Scene, Sibling, Target, TrafficError, Written, each_once, provider,
};
use crate::{
    cluster::{Cluster, objects::Survey, routing::Wanted},
    domain::{
        change::Act,
        release::RouterSpec,
        right::Right,
        split::{Grain, Split},
        view::Finding,
        weight::Percent,
    },
};

/// Several routers as one.
pub(super) struct Several;

/// One of the routers: its name and options.
type Entry = RouterSpec;

/// Name of the router in records.
const NAME: &str = "several";

/// Returns several routers as one.
pub(super) fn spec(routers: &[RouterSpec]) -> RouterSpec {
    let entries = routers
        .iter()
        .map(|entry| json!({"name": entry.name, "options": entry.options}));
    RouterSpec {
        name: NAME.to_owned(),
        options: entries.collect(),
    }
}

impl Provider for Several {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        "several routers in step"
    }

    /// Read only of records: in configuration the routers stand in a list of their own.
    fn options(
        &self,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<Value, erased_serde::Error> {
        let entries: Vec<Entry> = erased_serde::deserialize(from)?;
        serde_json::to_value(entries).map_err(erased_serde::Error::custom)
    }

    fn schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<Vec<Value>>()
    }

    fn rights(&self, options: &Value) -> Vec<Right> {
        let entries = entries(options).into_iter();
        each_once(entries.flat_map(|(provider, options)| provider.rights(&options)))
    }

    fn wanted(&self, options: &Value) -> Vec<Wanted> {
        let entries = entries(options).into_iter();
        each_once(entries.flat_map(|(provider, options)| provider.wanted(&options)))
    }

    /// That several routers are in use is for a person to say: one of two may be left from before.
    fn detect(&self, _: &Survey, _: &str, _: &Target) -> Option<(String, Value)> {
        None
    }

    fn strays(
        &self,
        cluster: &Cluster,
        target: &Target,
        options: &Value,
        survey: &Survey,
        siblings: &[Sibling],
    ) -> Option<Finding> {
        let all = entries(options);
        let mut all = all.iter();
        all.find_map(|(provider, options)| {
            provider.strays(cluster, target, options, survey, siblings)
        })
    }

    fn findings(
        &self,
        cluster: &Cluster,
        target: &Target,
        options: &Value,
        survey: &Survey,
    ) -> Vec<Finding> {
        let entries = entries(options).into_iter();
        entries
            .flat_map(|(provider, options)| provider.findings(cluster, target, &options, survey))
            .collect()
    }

    fn bind(
        &self,
        cluster: &Cluster,
        target: &Target,
        options: &Value,
        survey: &Survey,
    ) -> Result<Box<dyn Router>, TrafficError> {
        let mut routers = Vec::new();
        for (provider, options) in entries(options) {
            let router = provider.bind(cluster, target, &options, survey)?;
            routers.push((provider.name(), router));
        }
        if routers.is_empty() {
            return Err(TrafficError::Options {
                router: NAME,
                reason: "name two routers at least".to_owned(),
            });
        }
        Ok(Box::new(InStep { routers }))
    }
}

/// Returns the routers of options that were read before.
fn entries(options: &Value) -> Vec<(&'static dyn Provider, Value)> {
    let entries: Vec<Entry> = Vec::deserialize(options).unwrap_or_default();
    let known = entries.into_iter().filter(|entry| entry.name != NAME);
    known
        .filter_map(|entry| Some((provider(&entry.name)?, entry.options)))
        .collect()
}

struct InStep {
    routers: Vec<(&'static str, Box<dyn Router>)>,
}

#[async_trait]
impl Router for InStep {
    fn grain(&self) -> Grain {
        // Where one of them divides by pods, pods are the traffic.
        let mut grains = self.routers.iter().map(|(_, router)| router.grain());
        let by_pods = grains.find(|grain| matches!(grain, Grain::Pods { .. }));
        by_pods.unwrap_or(Grain::Weight(Percent::whole(1)))
    }

    fn pick(&self, survey: &Survey) -> Objects {
        self.routers
            .iter()
            .flat_map(|(_, router)| router.pick(survey))
            .collect()
    }

    fn written(&self, objects: &Objects) -> Vec<Written> {
        let routers = self.routers.iter();
        routers
            .flat_map(|(_, router)| router.written(objects))
            .collect()
    }

    async fn fetch(&self) -> Result<Objects, TrafficError> {
        let all = self.routers.iter().map(|(_, router)| router.fetch());
        let all = futures::future::try_join_all(all).await?;
        Ok(all.into_iter().flatten().collect())
    }

    /// The split of all is settled when each is, and has the canary where any sends traffic to it.
    fn read(&self, wanted: Percent, scene: &Scene<'_>) -> Result<Split, TrafficError> {
        let mut all: Option<Split> = None;
        for (name, router) in &self.routers {
            let mut split = router.read(wanted, scene)?;
            split.detail = format!("{name}: {}", split.detail);
            split.waits_for = split.waits_for.map(|what| format!("{name}: {what}"));
            all = Some(match all {
                None => split,
                Some(before) => joined(before, split),
            });
        }
        all.ok_or_else(|| TrafficError::Refused("no router is bound".to_owned()))
    }

    async fn shift(&self, to: Percent, scene: &Scene<'_>) -> Result<Vec<Act>, TrafficError> {
        let mut before = Vec::new();
        for (_, router) in &self.routers {
            before.push(router.read(to, scene)?.set);
        }
        if before.iter().all(|set| *set <= to) {
            return self.raise(to, &before, scene).await;
        }
        self.lower(to, scene).await
    }

    async fn preview(&self, to: Percent, scene: &Scene<'_>) -> Result<Vec<Act>, TrafficError> {
        let mut all = Vec::new();
        for (_, router) in &self.routers {
            all.extend(router.preview(to, scene).await?);
        }
        Ok(all)
    }

    async fn pin(&self, deployment: &str, replicas: u32) -> Result<(), TrafficError> {
        for (_, router) in &self.routers {
            router.pin(deployment, replicas).await?;
        }
        Ok(())
    }

    async fn unpin(&self) -> Result<(), TrafficError> {
        for (_, router) in &self.routers {
            router.unpin().await?;
        }
        Ok(())
    }
}

impl InStep {
    /// Takes back what was raised when one of the routers cannot follow. The error that led here is
    /// what is told; what cannot be taken back shows as a drift at the next look.
    async fn put_back(&self, moved: &[usize], before: &[Percent], scene: &Scene<'_>) {
        for at in moved.iter().rev() {
            let router = &self.routers[*at].1;
            let Ok(objects) = router.fetch().await else {
                continue;
            };
            let scene = Scene {
                objects: &objects,
                ..*scene
            };
            drop(router.shift(before[*at], &scene).await);
        }
    }

    /// Raises one after the other, each when the one before is there.
    async fn raise(
        &self,
        to: Percent,
        before: &[Percent],
        scene: &Scene<'_>,
    ) -> Result<Vec<Act>, TrafficError> {
        let mut done: Vec<Act> = Vec::new();
        let mut moved: Vec<usize> = Vec::new();
        for (at, (_, router)) in self.routers.iter().enumerate() {
            match router.shift(to, scene).await {
                Ok(acts) if acts.is_empty() => {
                    if !router.read(to, scene)?.matches {
                        break;
                    }
                }
                Ok(acts) => {
                    moved.push(at);
                    done.extend(acts);
                }
                Err(error) => {
                    self.put_back(&moved, before, scene).await;
                    return Err(error);
                }
            }
        }
        Ok(done)
    }

    /// Lowers all in the reverse order. One that fails keeps none of the others from it.
    async fn lower(&self, to: Percent, scene: &Scene<'_>) -> Result<Vec<Act>, TrafficError> {
        let mut done = Vec::new();
        let mut trouble = None;
        for (_, router) in self.routers.iter().rev() {
            match router.shift(to, scene).await {
                Ok(acts) => done.extend(acts),
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        trouble.map_or(Ok(done), Err)
    }
}

/// Returns the split of two routers together.
fn joined(first: Split, second: Split) -> Split {
    Split {
        set: first.set.max(second.set),
        actual: first.actual.max(second.actual),
        matches: first.matches && second.matches,
        settled: first.settled && second.settled,
        detail: format!("{}; {}", first.detail, second.detail),
        pinned: first.pinned.into_iter().chain(second.pinned).collect(),
        waits_for: first.waits_for.or(second.waits_for),
        routes: first.routes.into_iter().chain(second.routes).collect(),
        ..first
    }
}
