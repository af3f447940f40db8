//! The router by weights: reading the split of its objects, and moving it.
//!
//! Owns: when a weight may change, and the one way in which it is written. Must not: know any kind
//! of object. A write changes weights of routes that hold both sides, and nothing else.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::ResourceExt;
use serde_json::Value;

use super::{
    Objects, Router, Scene, Target, TrafficError, Written,
    autoscaler::{hold_above, is_pinned, let_go, of_sides, surveyed, typed},
    findings,
    place::patch,
    route::{Route, moved_along, weights},
    view::View,
    weighted::CREATED,
    words::{not_called, titled, unsteady},
};
use crate::{
    cluster::{
        Cluster,
        objects::{Survey, scales},
        routing::{Kind, Place},
    },
    domain::{
        change::{Act, Change},
        decide::pods_needed,
        split::{Grain, Split},
        view::{Finding, Severity},
        weight::Percent,
        workload::{Track, Workload},
    },
};

/// What the router has to know of its kind of object.
pub(super) trait Form: Send + Sync {
    /// Returns the kinds that hold weights.
    fn kinds(&self) -> Vec<Kind>;

    /// Returns the names of routes that alone are to change; empty for all.
    fn chosen(&self) -> &[String];

    /// Returns every route of an object.
    fn routes(&self, object: &Value) -> Vec<Route>;

    /// Returns what the object's status still waits for.
    fn waits_for(&self, object: &Value) -> Option<String>;

    /// Returns why an object must not be used, if so.
    fn unfit(&self, object: &Value) -> Option<String>;

    /// Returns why an object must not get this weight now, if so.
    fn refuse(&self, object: &Value, to: Percent, scene: &Scene<'_>) -> Option<String>;

    /// Returns how many pods of a side are ready; `None` where they were not read.
    fn ready(&self, survey: &Survey, track: Track) -> Option<usize>;

    /// Returns what else is wrong with an object of `all`.
    fn findings(&self, object: &Value, all: &[Value]) -> Vec<(Severity, String, String, String)>;
}

/// The router by the weights of some objects.
pub(super) struct ByWeights {
    pub(super) cluster: Cluster,
    pub(super) target: Target,
    pub(super) form: Box<dyn Form>,
    pub(super) places: Vec<Place>,
    /// Whether an autoscaler has a say in either Deployment.
    pub(super) watched: bool,
    /// The object this router makes where it is missing.
    pub(super) made: Option<Value>,
    /// What the server has stored of the own writes, for reads that are older.
    pub(super) stored: Stored,
}

/// Objects as the server had them after the latest own write, by name.
#[derive(Default)]
pub(super) struct Stored(Mutex<BTreeMap<String, Value>>);

impl Stored {
    fn keep(&self, place: &Place, object: Value) {
        let mut stored = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stored.insert(place.named(), object);
    }

    /// Returns an object that was read; or what an own write left, where the read is older than that: a server that
    /// is behind would show a weight that users do not get.
    fn newer(&self, place: &Place, read: Value) -> Value {
        let stored = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = stored.get(&place.named());
        let own = own.filter(|own| is_newer(own, &read));
        own.cloned().unwrap_or(read)
    }
}

/// Returns whether `own` is a later state of the object that was read, where their versions say so.
fn is_newer(own: &Value, read: &Value) -> bool {
    let versions = version(own).zip(version(read));
    uid(own) == uid(read) && versions.is_some_and(|(own, read)| own > read)
}

/// Returns an object's version as a number, where it is one: etcd counts its changes.
fn version(object: &Value) -> Option<u64> {
    object["metadata"]["resourceVersion"].as_str()?.parse().ok()
}

fn uid(object: &Value) -> Option<&str> {
    object["metadata"]["uid"].as_str()
}

#[async_trait]
impl Router for ByWeights {
    fn grain(&self) -> Grain {
        Grain::Weight(Percent::whole(1))
    }

    fn pick(&self, survey: &Survey) -> Objects {
        let families = survey.routing.iter();
        let all = families.flat_map(|family| family.objects.iter().flatten());
        let ours = all.filter(|object| self.places.iter().any(|place| place.holds(object)));
        let autoscalers = surveyed(survey, &self.target);
        ours.cloned().chain(autoscalers).collect()
    }

    fn written(&self, objects: &Objects) -> Vec<Written> {
        let ours = objects
            .iter()
            .filter(|object| self.places.iter().any(|p| p.holds(object)));
        let written = ours.map(|object| {
            let routes = self.form.routes(object);
            let parts = routes.iter().filter(|route| route.divides());
            let parts = parts
                .flat_map(|route| &route.parts)
                .filter(|part| part.side.is_some());
            let places = parts.filter_map(|part| part.place.as_ref());
            let mut pointers: Vec<String> = places.map(|place| place.pointer.clone()).collect();
            pointers.dedup();
            Written {
                object: object.clone(),
                pointers,
            }
        });
        written.collect()
    }

    async fn fetch(&self) -> Result<Objects, TrafficError> {
        let (objects, autoscalers) = futures::try_join!(
            async { Ok(self.cluster.objects_at(&self.places).await?) },
            self.autoscalers(),
        )?;
        let autoscalers = autoscalers
            .iter()
            .filter_map(|hpa| serde_json::to_value(hpa).ok());
        let newer = |object| match self.places.iter().find(|place| place.holds(&object)) {
            Some(place) => self.stored.newer(place, object),
            None => object,
        };
        let objects = objects.into_iter().map(newer);
        Ok(objects.chain(autoscalers).collect())
    }

    fn read(&self, wanted: Percent, scene: &Scene<'_>) -> Result<Split, TrafficError> {
        let mut view = View::default();
        for place in &self.places {
            let Some(object) = scene.objects.iter().find(|o| place.holds(o)) else {
                view.miss(place, wanted, self.made.is_some());
                continue;
            };
            if is_created(object) {
                view.pinned.push(place.named());
            }
            let waits = self.form.waits_for(object);
            let routes = self.form.routes(object);
            view.take((place, object), wanted, &routes, waits);
        }
        view.all_of(self.form.chosen(), wanted);
        let held = typed(scene.objects);
        let held = held.iter().filter(|hpa| is_pinned(hpa));
        view.pinned.extend(held.map(ResourceExt::name_any));
        let mut split = view.split(wanted, scene);
        // What it waits for first is what the change waits for.
        let pods = self.not_ready_for(wanted, split.set, scene);
        split.waits_for = pods.filter(|_| !split.settled).or(split.waits_for);
        Ok(split)
    }

    async fn shift(&self, to: Percent, scene: &Scene<'_>) -> Result<Vec<Act>, TrafficError> {
        let present = self.read(to, scene)?.set;
        if self.not_ready_for(to, present, scene).is_some() {
            return Ok(Vec::new());
        }
        self.write_all(to, scene).await
    }

    async fn preview(&self, to: Percent, scene: &Scene<'_>) -> Result<Vec<Act>, TrafficError> {
        self.write_all(to, scene).await
    }

    /// An autoscaler follows the load, but not below what the canary's share needs.
    async fn pin(&self, deployment: &str, replicas: u32) -> Result<(), TrafficError> {
        let autoscalers = self.autoscalers().await?;
        match autoscalers.iter().find(|hpa| scales(hpa, deployment)) {
            Some(hpa) if replicas > 0 => {
                hold_above(&self.cluster, hpa, replicas).await?;
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn unpin(&self) -> Result<(), TrafficError> {
        for hpa in self
            .autoscalers()
            .await?
            .iter()
            .filter(|hpa| is_pinned(hpa))
        {
            let_go(&self.cluster, hpa).await?;
        }
        for object in self
            .fetch()
            .await?
            .iter()
            .filter(|object| is_created(object))
        {
            if let Some(place) = self.places.iter().find(|place| place.holds(object)) {
                self.cluster.delete_at(place, object).await?;
            }
        }
        Ok(())
    }
}

/// Returns whether this tool made the object.
fn is_created(object: &Value) -> bool {
    object["metadata"]["annotations"][CREATED] == "true"
}

/// A write: where, at which version, by which operations, and in words.
type Write<'p> = (&'p Place, String, Vec<Value>, Act);

impl ByWeights {
    /// Returns what is good and bad about the objects.
    pub(super) fn findings(&self, survey: &Survey) -> Vec<Finding> {
        let kinds = self.form.kinds();
        let families = survey
            .routing
            .iter()
            .filter(|family| kinds.contains(&family.kind));
        let all: Vec<Value> = families
            .flat_map(|family| family.objects.iter().flatten())
            .cloned()
            .collect();
        let mut found = Vec::new();
        for place in &self.places {
            let Some(object) = all.iter().find(|object| place.holds(object)) else {
                continue;
            };
            let named = place.named();
            let routes = self.form.routes(object);
            found.extend(findings::about(&named, &routes));
            found.extend(
                [Track::Stable, Track::Canary]
                    .into_iter()
                    .filter_map(|track| {
                        let none = self.form.ready(survey, track) == Some(0);
                        findings::without_pods(&named, &routes, track).filter(|_| none)
                    }),
            );
            if let Some(what) = self.form.waits_for(object) {
                found.push(Finding {
                    severity: Severity::Warning,
                    place: named.clone(),
                    what: format!("its status is not as it should be: it waits for {what}"),
                    why: "a weight change counts only when the status confirms it".to_owned(),
                    fix: "check the status of the object and its controller".to_owned(),
                });
            }
            let own = self.form.findings(object, &all).into_iter();
            found.extend(own.map(|(severity, what, why, fix)| Finding {
                severity,
                place: named.clone(),
                what,
                why,
                fix,
            }));
        }
        found
    }

    /// Returns what a weight would move that is no part of the release, nor of one of its `siblings`.
    pub(super) fn strays(&self, survey: &Survey, siblings: &[Self]) -> Option<Finding> {
        let families = survey.routing.iter();
        let mut objects = families.flat_map(|family| family.objects.iter().flatten());
        objects.find_map(|object| {
            let place = self.places.iter().find(|place| place.holds(object))?;
            let routes = self.form.routes(object);
            let theirs = |route: &&Route| {
                siblings.iter().any(|sibling| {
                    let named = sibling.form.routes(object).into_iter();
                    let mut same = named.filter(|theirs| theirs.name == route.name);
                    same.any(|theirs| theirs.divides())
                })
            };
            let stray = moved_along(&routes).find(|route| !theirs(route))?;
            Some(findings::stray(&place.named(), stray))
        })
    }

    /// Writes the weights for `to` in every object that has not got them.
    async fn write_all(&self, to: Percent, scene: &Scene<'_>) -> Result<Vec<Act>, TrafficError> {
        let mut planned = Vec::new();
        // What is refused in one object leaves the others as they are.
        for place in &self.places {
            let Some(object) = scene.objects.iter().find(|o| place.holds(o)) else {
                if let Some(made) = self.made.as_ref().filter(|_| to > Percent::ZERO) {
                    self.cluster.create_at(place, made).await?;
                    return Ok(vec![Act::in_words(format!("create {}", place.named()))]);
                }
                continue;
            };
            let unfit = self.form.unfit(object);
            if let Some(reason) = unfit.or_else(|| self.form.refuse(object, to, scene)) {
                return Err(TrafficError::Refused(format!(
                    "{}: {reason}",
                    place.named()
                )));
            }
            if let Some(write) = self.write(place, object, to)? {
                planned.push(write);
            }
        }
        let mut done: Vec<Act> = Vec::new();
        for (place, version, operations, act) in planned {
            let stored = self
                .cluster
                .change_fields(place, &version, operations)
                .await?;
            if !self.cluster.is_dry() {
                self.stored.keep(place, stored);
            }
            done.push(act);
        }
        Ok(done)
    }

    /// Returns why the objects must not be used, or cannot be as configured.
    pub(super) fn unfit(&self, survey: &Survey) -> Option<String> {
        let mut there = Vec::new();
        let families = survey.routing.iter();
        let objects = families.flat_map(|family| family.objects.iter().flatten());
        for object in objects.filter(|object| self.places.iter().any(|place| place.holds(object))) {
            let routes = self.form.routes(object).into_iter();
            there.extend(routes.filter(Route::holds_both).map(|route| route.name));
            if let Some(reason) = self.form.unfit(object) {
                return Some(format!("{}: {reason}", titled(object)));
            }
        }
        let chosen = self.form.chosen();
        let known = chosen.is_empty() || chosen.iter().any(|name| there.contains(name));
        (!known).then(|| not_called(&self.form.kinds(), chosen, &there))
    }

    async fn autoscalers(&self) -> Result<Vec<HorizontalPodAutoscaler>, TrafficError> {
        if !self.watched {
            return Ok(Vec::new());
        }
        of_sides(&self.cluster, &self.target).await
    }

    fn write<'p>(
        &self,
        place: &'p Place,
        object: &Value,
        to: Percent,
    ) -> Result<Option<Write<'p>>, TrafficError> {
        let named = place.named();
        let refused = |reason: String| TrafficError::Refused(format!("{named}: {reason}"));
        let routes = self.form.routes(object);
        let dividing = routes.iter().filter(|route| route.divides());
        let from = dividing.filter_map(Route::share).max();
        let weights = weights(&routes, to).map_err(refused)?;
        let operations = patch(object, &weights).map_err(refused)?;
        if operations.is_empty() {
            return Ok(None);
        }
        let changed = weights.iter().map(|(at, weight)| Change {
            object: named.clone(),
            path: at.shown(),
            from: at
                .read(object)
                .map_or(Value::Null, |now| at.form.write(now)),
            to: at.form.write(*weight),
        });
        let act = Act {
            what: format!(
                "set the canary's weight in {named} from {} to {to}",
                from.unwrap_or_default()
            ),
            changes: changed.filter(|change| change.from != change.to).collect(),
        };
        let version = object["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default();
        Ok(Some((place, version.to_owned(), operations, act)))
    }

    /// Returns what must be ready before traffic may move to `to`: no weight goes to a side that
    /// has not the pods for it.
    fn not_ready_for(&self, to: Percent, present: Percent, scene: &Scene<'_>) -> Option<String> {
        let (stable, canary) = (
            scene.stable.ready_pods(),
            scene.canary.map_or(0, Workload::ready_pods),
        );
        if to > present {
            let need = pods_needed(to, self.target.total);
            if canary < need {
                let name = &self.target.canary;
                return Some(format!("{name}: {canary}/{need} pods ready"));
            }
            return scene.canary.and_then(|side| unsteady(side, need, scene.at));
        }
        // A canary without ready pods serves nobody: nothing is lost by leaving it.
        let text = format!("{}: no pod ready", self.target.stable);
        (to < present && stable == 0 && canary > 0).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_read_is_older_than_a_write_only_where_versions_say_so() {
        let object = |uid: &str, version: &str| json!({"metadata": {"uid": uid, "resourceVersion": version}});
        let own = object("a", "1000");
        for (read, older) in [
            (object("a", "999"), true),
            (object("a", "1000"), false),
            (object("a", "1001"), false),
            // It was deleted and made again, or its version is no number.
            (object("b", "999"), false),
            (object("a", "x9"), false),
            (json!({}), false),
        ] {
            assert_eq!(is_newer(&own, &read), older, "{read}");
        }
    }
}
