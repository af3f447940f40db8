//! Traffic by numbers of pods: two Deployments behind one Service.
//!
//! Owns: how many pods each side gets, the order of scaling, and keeping autoscalers still. Must
//! not: re-read the total from the Deployments it has scaled; it is fixed when the run starts.

use async_trait::async_trait;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::{ResourceExt, api::Patch};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Objects, Provider, Router, Scene, Target, TrafficError};
use crate::{
    cluster::{
        Cluster, Reason,
        objects::{Survey, scales, selects},
        workloads::Live,
    },
    domain::{
        right::{Need, Right, WRITERS},
        split::{Grain, Split},
        weight::Percent,
        workload::{Track, Workload},
    },
};

/// Annotation on a pinned autoscaler: what it was before, so that even a rollback without a journal
/// can restore it.
pub const PINNED: &str = "canaryctl.dev/pinned";

/// The router by numbers of pods.
pub struct Replicas;

/// Options of the router.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Options {
    /// What to do about a `HorizontalPodAutoscaler` of either Deployment.
    hpa: Hpa,
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
        "numbers of pods of two Deployments behind one Service"
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

    fn rights(&self) -> &'static [Right] {
        &[Right {
            verb: "patch",
            group: "autoscaling",
            resource: "horizontalpodautoscalers",
            subresource: "",
            need: Need::Autoscaler,
            why: "pin autoscalers and restore them",
            verbs: WRITERS,
        }]
    }

    fn detect(&self, survey: &Survey, target: &Target) -> Option<String> {
        let stable = survey.deployment(&target.stable)?.pod_labels();
        let canary = survey.deployment(&target.canary).map(Live::pod_labels);
        let both = |service: &&k8s_openapi::api::core::v1::Service| {
            let canary = canary.as_ref();
            selects(service, &stable) && canary.is_none_or(|labels| selects(service, labels))
        };
        let service = survey.services.iter().find(both)?;
        let name = service.name_any();
        Some(format!(
            "Service {name} selects the pods of both Deployments"
        ))
    }

    fn bind(
        &self,
        cluster: &Cluster,
        target: &Target,
        options: &Value,
        survey: &Survey,
    ) -> Result<Box<dyn Router>, TrafficError> {
        let options: Options = if options.is_null() {
            Options::default()
        } else {
            serde_json::from_value(options.clone()).map_err(|e| TrafficError::Options {
                router: "replicas",
                reason: e.to_string(),
            })?
        };
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
            target: target.clone(),
            watched: autoscaler.is_some(),
        }))
    }
}

struct ByPods {
    cluster: Cluster,
    target: Target,
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
        let ours = survey.autoscalers.iter().filter(|hpa| self.is_ours(hpa));
        ours.filter_map(|hpa| serde_json::to_value(hpa).ok())
            .collect()
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
            wanted,
            self.target.total,
            scene.stable,
            scene.canary,
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

    async fn shift(&self, to: Percent, scene: &Scene<'_>) -> Result<Vec<String>, TrafficError> {
        let mut done = Vec::new();
        let autoscalers = typed(scene.objects);
        let changes = next(to, self.target.total, scene.stable, scene.canary);
        // An autoscaler of a side whose number is right already is held, too, before it has its say.
        for track in [Track::Stable, Track::Canary] {
            let unchanged = changes.iter().all(|(changed, _)| *changed != track);
            let Some(live) = scene.sides.live(track).filter(|_| unchanged) else {
                continue;
            };
            let (name, replicas) = (live.name(), live.replicas());
            let hpa = autoscalers.iter().find(|hpa| scales(hpa, &name));
            if let Some(hpa) = hpa.filter(|_| replicas > 0)
                && self.hold(hpa, replicas).await?
            {
                done.push(format!("pin {} at {replicas}", hpa.name_any()));
            }
        }
        for (track, replicas) in changes {
            let Some(live) = scene.sides.live(track) else {
                continue;
            };
            let name = live.name();
            let hpa = autoscalers.iter().find(|hpa| scales(hpa, &name));
            if let Some(hpa) = hpa.filter(|_| replicas > 0) {
                self.hold(hpa, replicas).await?;
            }
            self.cluster.scale(live, replicas).await?;
            done.push(format!(
                "scale {name} from {} to {replicas}",
                live.replicas()
            ));
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
            Some(hpa) => self.hold(hpa, replicas).await.map(drop),
            None => Ok(()),
        }
    }

    async fn unpin(&self) -> Result<(), TrafficError> {
        for hpa in self.autoscalers().await?.iter().filter(|h| is_pinned(h)) {
            let Some(before) = hpa.annotations().get(PINNED) else {
                continue;
            };
            let spec: Value = serde_json::from_str(before).map_err(|_| {
                TrafficError::Refused(format!(
                    "annotation {PINNED} of HorizontalPodAutoscaler {}/{} is damaged; restore its minReplicas and maxReplicas by hand",
                    self.cluster.namespace(),
                    hpa.name_any()
                ))
            })?;
            self.patch(hpa, &Value::Null, &spec).await?;
        }
        Ok(())
    }
}

// === impl ByPods ===

impl ByPods {
    async fn autoscalers(&self) -> Result<Vec<HorizontalPodAutoscaler>, TrafficError> {
        if !self.watched {
            return Ok(Vec::new());
        }
        let known = self.cluster.autoscalers().await?.unwrap_or_default();
        let ours = known.into_iter().filter(|hpa| self.is_ours(hpa));
        Ok(ours.collect())
    }

    fn is_ours(&self, hpa: &HorizontalPodAutoscaler) -> bool {
        scales(hpa, &self.target.stable) || scales(hpa, &self.target.canary)
    }

    /// Returns the autoscaler that may still move a side away from its number at `wanted`.
    fn loose(&self, wanted: Percent, autoscalers: &[HorizontalPodAutoscaler]) -> Option<String> {
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
    async fn hold(
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

fn typed(objects: &Objects) -> Vec<HorizontalPodAutoscaler> {
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

fn is_pinned(hpa: &HorizontalPodAutoscaler) -> bool {
    hpa.annotations().contains_key(PINNED)
}

/// Returns how many pods stable and the canary have at a weight, of `total` together.
///
/// A weight above 0 % gives the canary at least one pod, one below 100 % leaves stable at least one;
/// with a single pod in all there are then two.
pub fn pods_at(weight: Percent, total: u32) -> (u32, u32) {
    let total = total.max(1);
    if weight == Percent::ZERO {
        return (total, 0);
    }
    if weight == Percent::FULL {
        return (0, total);
    }
    let canary = weight.of(total).clamp(1, total.saturating_sub(1).max(1));
    ((total - canary).max(1), canary)
}

/// Returns the share the canary really gets when `weight` is asked of `total` pods.
pub fn reachable(weight: Percent, total: u32) -> Percent {
    let (stable, canary) = pods_at(weight, total);
    Percent::share(canary, stable + canary)
}

/// Returns the scalings that are safe now on the way to `to`.
///
/// The side that grows goes to its number at once. The side that shrinks keeps as many pods as are
/// needed for `total` ready ones together with what the other side has ready.
///
/// One exception: where the cluster has no room for another stable pod (a quota, full nodes), a
/// rollback would wait for ever. It then gives up one pod at a time to make room.
fn next(
    to: Percent,
    total: u32,
    stable: &Workload,
    canary: Option<&Workload>,
) -> Vec<(Track, u32)> {
    let (stable_goal, canary_goal) = pods_at(to, total);
    let canary_now = canary.map_or(0, |c| c.replicas);
    let canary_ready = canary.map_or(0, ready);
    let safe = |goal: u32, now: u32, others_ready: u32| {
        if goal >= now {
            return goal;
        }
        goal.max(total.saturating_sub(others_ready)).min(now)
    };
    let room = u32::from(to == Percent::ZERO && has_no_room(stable));
    let stable_next = safe(stable_goal, stable.replicas, canary_ready);
    let canary_next = safe(canary_goal, canary_now, ready(stable) + room);
    let mut changes = Vec::new();
    if stable_next != stable.replicas {
        changes.push((Track::Stable, stable_next));
    }
    if canary.is_some() && canary_next != canary_now {
        changes.push((Track::Canary, canary_next));
    }
    // The growing side first: should the second write fail, there is more capacity, not less.
    changes.sort_by_key(|(track, replicas)| match track {
        Track::Stable => *replicas <= stable.replicas,
        Track::Canary => *replicas <= canary_now,
    });
    changes
}

fn split(
    wanted: Percent,
    total: u32,
    stable: &Workload,
    canary: Option<&Workload>,
    pinned: Vec<String>,
) -> Split {
    let (stable_goal, canary_goal) = pods_at(wanted, total);
    let canary_now = canary.map_or(0, |c| c.replicas);
    let (stable_ready, canary_ready) = (ready(stable), canary.map_or(0, ready));
    let all = stable_ready + canary_ready;
    let matches = stable.replicas == stable_goal && canary_now == canary_goal;
    let unsettled = |side: &Workload, goal: u32| {
        let present = side.pods.iter().filter(|p| !p.terminating).count();
        let present = u32::try_from(present).unwrap_or(u32::MAX);
        if side.replicas != goal {
            Some(format!(
                "{}: to be scaled from {} to {goal}",
                side.name, side.replicas
            ))
        } else if !side.observed {
            Some(format!("{}: the controller to see the change", side.name))
        } else if ready(side) < goal {
            Some(format!(
                "{}: {} of {goal} pods to be ready{}",
                side.name,
                ready(side),
                troubles(side)
            ))
        } else if present > goal {
            let more = present - goal;
            let s = if more == 1 { "" } else { "s" };
            Some(format!("{}: {more} pod{s} to end", side.name))
        } else {
            None
        }
    };
    let waits_for = canary
        .and_then(|c| unsettled(c, canary_goal))
        .or_else(|| unsettled(stable, stable_goal))
        .or_else(|| {
            (canary.is_none() && canary_goal > 0).then(|| "a canary Deployment".to_owned())
        });
    Split {
        wanted,
        set: Percent::share(canary_now, stable.replicas + canary_now),
        actual: Percent::share(canary_ready, all),
        matches,
        settled: waits_for.is_none(),
        stable_ready,
        canary_ready,
        detail: format!("{canary_ready} of {all} pods"),
        pinned,
        waits_for,
    }
}

/// Returns whether pods of a side are refused, or find no node.
fn has_no_room(side: &Workload) -> bool {
    side.refused.is_some() || side.pods.iter().any(|p| p.unschedulable.is_some())
}

fn ready(side: &Workload) -> u32 {
    let ready = side.pods.iter().filter(|p| p.ready).count();
    u32::try_from(ready).unwrap_or(u32::MAX)
}

/// Returns why pods do not come up, for the sentence about waiting.
fn troubles(side: &Workload) -> String {
    let waiting = side.pods.iter().flat_map(|p| p.waiting.iter());
    let mut reasons: Vec<&str> = waiting.map(|(_, reason, _)| reason.as_str()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    let mut reasons: Vec<String> = reasons.into_iter().map(str::to_owned).collect();
    reasons.extend(side.refused.clone());
    if reasons.is_empty() {
        return String::new();
    }
    format!(" ({})", reasons.join(", "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::workload::Pod;

    fn side(name: &str, replicas: u32, ready: u32) -> Workload {
        let pod = |i: u32| Pod {
            name: format!("{name}-{i}"),
            ready: i < ready,
            terminating: false,
            current: true,
            created: jiff::Timestamp::UNIX_EPOCH,
            restarts: 0,
            waiting: Vec::new(),
            last_end: None,
            unschedulable: None,
        };
        Workload {
            name: name.to_owned(),
            replicas,
            observed: true,
            pods: (0..replicas.max(ready)).map(pod).collect(),
            ..Workload::default()
        }
    }

    #[test]
    fn weights_become_pods() {
        for (percent, total, expected) in [
            (0, 10, (10, 0)),
            (10, 10, (9, 1)),
            (25, 10, (7, 3)),
            (50, 10, (5, 5)),
            (100, 10, (0, 10)),
            (5, 4, (3, 1)),
            (99, 4, (1, 3)),
            (50, 1, (1, 1)),
            (50, 0, (1, 1)),
        ] {
            assert_eq!(
                pods_at(Percent::whole(percent), total),
                expected,
                "{percent} of {total}"
            );
        }
    }

    #[test]
    fn the_real_share_is_said_next_to_the_asked_one() {
        let split = split(
            Percent::whole(5),
            4,
            &side("s", 3, 3),
            Some(&side("c", 1, 1)),
            vec![],
        );
        assert!(split.settled);
        assert_eq!(split.actual, Percent::whole(25));
        assert_eq!(split.detail, "1 of 4 pods");
    }

    #[test]
    fn up_comes_before_down() {
        let (stable, canary) = (side("s", 10, 10), side("c", 0, 0));
        let first = next(Percent::whole(10), 10, &stable, Some(&canary));
        assert_eq!(first, [(Track::Canary, 1)]);
        let waiting = next(Percent::whole(10), 10, &stable, Some(&side("c", 1, 0)));
        assert_eq!(waiting, []);
        let second = next(Percent::whole(10), 10, &stable, Some(&side("c", 1, 1)));
        assert_eq!(second, [(Track::Stable, 9)]);
    }

    #[test]
    fn a_rollback_takes_pods_from_the_canary_as_stable_gets_them() {
        let canary = side("c", 5, 5);
        let first = next(Percent::ZERO, 10, &side("s", 5, 5), Some(&canary));
        assert_eq!(first, [(Track::Stable, 10)]);
        let then = next(Percent::ZERO, 10, &side("s", 10, 8), Some(&canary));
        assert_eq!(then, [(Track::Canary, 2)]);
    }

    #[test]
    fn a_rollback_of_a_dead_canary_does_not_wait_for_it() {
        let first = next(Percent::ZERO, 10, &side("s", 9, 9), Some(&side("c", 1, 0)));
        assert_eq!(first[0], (Track::Stable, 10));
    }

    #[test]
    fn a_rollback_without_room_gives_up_one_pod_at_a_time() {
        let full = |replicas, ready| Workload {
            refused: Some("exceeded quota: pods".to_owned()),
            ..side("s", replicas, ready)
        };
        let canary = side("c", 5, 5);
        let first = next(Percent::ZERO, 10, &full(10, 5), Some(&canary));
        assert_eq!(first, [(Track::Canary, 4)]);
        // Not the next one before stable has its pod.
        let then = next(Percent::ZERO, 10, &full(10, 5), Some(&side("c", 4, 4)));
        assert_eq!(then, []);
        // On the way up there is no such haste.
        let up = next(Percent::whole(80), 10, &side("s", 5, 5), Some(&full(8, 5)));
        assert_eq!(up, []);
    }

    #[test]
    fn a_rollback_with_nothing_running_leaves_stable_as_it_is() {
        assert_eq!(next(Percent::ZERO, 10, &side("s", 10, 10), None), []);
        assert_eq!(
            next(
                Percent::ZERO,
                10,
                &side("s", 10, 10),
                Some(&side("c", 0, 0))
            ),
            []
        );
        assert_eq!(
            next(Percent::ZERO, 10, &side("s", 10, 0), Some(&side("c", 0, 0))),
            []
        );
    }

    proptest! {
        /// Whatever the state, the scalings never take away ready pods below the total, never
        /// overshoot the goal of a growing side, and end at the goal.
        #[test]
        fn capacity_is_kept(
            total in 1u32..30,
            milli in 0u32..=100,
            stable in 0u32..30,
            canary in 0u32..30,
            unready_stable in 0u32..4,
            unready_canary in 0u32..4,
        ) {
            let to = Percent::whole(milli);
            let (goal_s, goal_c) = pods_at(to, total);
            let s = side("s", stable, stable.saturating_sub(unready_stable));
            let c = side("c", canary, canary.saturating_sub(unready_canary));
            let before = ready(&s) + ready(&c);
            let (mut after_s, mut after_c) = (s.replicas, c.replicas);
            for (track, replicas) in next(to, total, &s, Some(&c)) {
                match track {
                    Track::Stable => after_s = replicas,
                    Track::Canary => after_c = replicas,
                }
            }
            prop_assert!(after_s <= goal_s.max(stable));
            prop_assert!(after_c <= goal_c.max(canary));
            // Kubernetes removes pods that are not ready first.
            let left = ready(&s).min(after_s) + ready(&c).min(after_c);
            prop_assert!(left >= before.min(total), "{before} ready, {left} left");
        }
    }
}
