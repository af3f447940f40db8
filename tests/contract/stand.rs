//! A simulated cluster with the objects of a fixture, and a router bound to them.
//!
//! Owns: driving a router as the engine does: look, shift, look again. Must not: know what any router
//! writes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use canaryctl::{
    clock::Clock,
    cluster::{
        Cluster,
        objects::Survey,
        routing::Knowledge,
        workloads::{Sides, common_labels},
    },
    domain::{
        release::RouterSpec,
        split::Split,
        weight::Percent,
        workload::{Track, Tracks, Workload},
    },
    sim::{
        SimCluster,
        fault::{Attempt, Fault, Plan},
        scenario::{Scenario, parse_objects},
        store::Key,
    },
    traffic::{self, Objects, Provider, Router, Scene, Target, TrafficError},
};
use http::Method;
use serde_json::Value;

use super::fixtures::Fixture;
use crate::support::edit;

pub(super) const NAMESPACE: &str = "shop";

/// Looks after which a move counts as endless.
const ENDLESS: u32 = 120;

/// A cluster on which one router is tried.
pub(super) struct Stand {
    pub(super) fixture: &'static Fixture,
    pub(super) sim: SimCluster,
    clock: Clock,
    pub(super) target: Target,
}

/// Both sides and the router's objects at one moment.
pub(super) struct Look {
    sides: Sides,
    stable: Workload,
    canary: Option<Workload>,
    objects: Objects,
}

impl Look {
    pub(super) fn scene(&self) -> Scene<'_> {
        Scene {
            at: jiff::Timestamp::MAX,
            stable: &self.stable,
            canary: self.canary.as_ref(),
            sides: &self.sides,
            objects: &self.objects,
        }
    }
}

impl Stand {
    /// Returns the fixture's objects with the canary at so many percent, and all pods ready.
    pub(super) fn at(fixture: &'static Fixture, percent: u32) -> Self {
        Self::with(fixture, &fixture.at(percent))
    }

    /// Returns a cluster with these objects in the place of the fixture's.
    pub(super) fn with(fixture: &'static Fixture, objects: &str) -> Self {
        let clock = Clock::simulated("2026-01-05T09:00:00Z".parse().unwrap(), 1.0);
        let objects = parse_objects(objects).unwrap_or_else(|e| panic!("{}: {e}", fixture.title()));
        let sim = SimCluster::start(Scenario::default(), Some(objects), clock.clone()).unwrap();
        let total = if fixture.router == "replicas" { 20 } else { 4 };
        Self {
            fixture,
            sim,
            clock,
            target: Target {
                stable: "web-stable".into(),
                canary: "web-canary".into(),
                service: Some("web".into()),
                total,
            },
        }
    }

    // --- the router -----------------------------------------------------------------------------

    pub(super) fn provider(&self) -> &'static dyn Provider {
        traffic::provider(self.fixture.router).unwrap()
    }

    /// Returns the fixture's options as configuration would hand them on.
    pub(super) fn options(&self) -> Value {
        let given: Value = serde_json::from_str(self.fixture.options).unwrap();
        if given.is_null() {
            return given;
        }
        let mut from = <dyn erased_serde::Deserializer<'_>>::erase(&given);
        let read = self.provider().options(&mut from);
        read.unwrap_or_else(|e| panic!("{}: {e}", self.fixture.title()))
    }

    pub(super) fn cluster(&self) -> Cluster {
        Cluster::new(self.sim.client(NAMESPACE), NAMESPACE, self.clock.clone())
    }

    /// A connection with a plan in front, and the plan with its log.
    pub(super) fn watched(
        &self,
        decide: impl Fn(&Attempt<'_>) -> Fault + Send + Sync + 'static,
    ) -> (Cluster, Plan) {
        let plan = Plan::new(self.clock.clone(), decide);
        let client = self.sim.server().faulty_client(NAMESPACE, &plan);
        (Cluster::new(client, NAMESPACE, self.clock.clone()), plan)
    }

    /// A connection on which every patch is answered with this code.
    pub(super) fn refusing(&self, code: u16) -> Cluster {
        let refuse = move |call: &Attempt<'_>| match *call.method {
            Method::PATCH => Fault::Status(code, None),
            _ => Fault::None,
        };
        self.watched(refuse).0
    }

    pub(super) async fn survey(&self, options: &Value) -> Survey {
        let router = RouterSpec {
            name: self.fixture.router.to_owned(),
            options: options.clone(),
        };
        let (wanted, knowledge) = traffic::wanted(Some(&router));
        let survey = self.cluster().survey("record", &wanted, knowledge).await;
        survey.unwrap_or_else(|e| panic!("{}: {e}", self.fixture.title()))
    }

    /// Reads the namespace without a router in mind, as when one is to be found.
    pub(super) async fn survey_of_all(&self) -> Survey {
        let (wanted, _) = traffic::wanted(None);
        let cluster = self.cluster();
        cluster
            .survey("record", &wanted, Knowledge::Any)
            .await
            .unwrap()
    }

    pub(super) async fn try_bind(
        &self,
        cluster: &Cluster,
    ) -> Result<Box<dyn Router>, TrafficError> {
        let options = self.options();
        let survey = self.survey(&options).await;
        self.provider()
            .bind(cluster, &self.target, &options, &survey)
    }

    pub(super) async fn bind_on(&self, cluster: &Cluster) -> Box<dyn Router> {
        let bound = self.try_bind(cluster).await;
        bound.unwrap_or_else(|e| panic!("{}: {e}", self.fixture.title()))
    }

    pub(super) async fn bind(&self) -> Box<dyn Router> {
        self.bind_on(&self.cluster()).await
    }

    // --- driving --------------------------------------------------------------------------------

    pub(super) async fn look(&self, router: &dyn Router) -> Look {
        let cluster = self.cluster();
        let (stable, canary) = (&self.target.stable, &self.target.canary);
        let both = cluster
            .sides(stable, canary, &BTreeMap::new(), &Sides::default())
            .await;
        let both = both.unwrap();
        let labels = common_labels(both.stable.as_ref().unwrap(), both.canary.as_ref());
        let sides = cluster
            .sides(stable, canary, &labels, &Sides::default())
            .await
            .unwrap();
        let tracks = Tracks::default();
        Look {
            stable: sides.workload(Track::Stable, &tracks).unwrap(),
            canary: sides.workload(Track::Canary, &tracks),
            objects: router.fetch().await.unwrap(),
            sides,
        }
    }

    /// Looks and shifts until the split is settled.
    pub(super) async fn settle(&self, router: &dyn Router, percent: u32) -> Split {
        let to = Percent::whole(percent);
        let mut last = String::new();
        for _ in 0..ENDLESS {
            let look = self.look(router).await;
            let split = router.read(to, &look.scene()).unwrap();
            if split.settled {
                return split;
            }
            last = format!("{split:?}");
            let moved = router.shift(to, &look.scene()).await;
            moved.unwrap_or_else(|e| panic!("{} to {to}: {e}", self.fixture.title()));
            self.wait(1).await;
        }
        panic!("{} never came to {to}: {last}", self.fixture.title());
    }

    pub(super) async fn wait(&self, seconds: u64) {
        self.clock.sleep(Duration::from_secs(seconds)).await;
    }

    // --- objects --------------------------------------------------------------------------------

    /// Returns the keys of the fixture's objects.
    pub(super) fn keys(&self) -> Vec<Key> {
        let store = self.sim.world().store();
        let listed = self.fixture.resources.iter().flat_map(|(group, resource)| {
            let (objects, _) = store.list(group, resource, NAMESPACE);
            let key = |o: &Arc<Value>| {
                let name = o["metadata"]["name"].as_str().unwrap();
                Key::new(group, resource, NAMESPACE, name)
            };
            objects.iter().map(key).collect::<Vec<_>>()
        });
        listed.collect()
    }

    /// Returns the fixture's objects as text, without what the API server and controllers book.
    pub(super) fn objects(&self) -> BTreeMap<String, String> {
        let store = self.sim.world().store();
        let text = |key: Key| {
            let mut object = (*store.get(&key).unwrap()).clone();
            object.as_object_mut().unwrap().shift_remove("status");
            let meta = object["metadata"].as_object_mut().unwrap();
            for field in [
                "managedFields",
                "resourceVersion",
                "generation",
                "uid",
                "creationTimestamp",
            ] {
                meta.shift_remove(field);
            }
            (format!("{} {}", key.resource, key.name), object.to_string())
        };
        self.keys().into_iter().map(text).collect()
    }

    pub(super) fn edit(&self, key: &Key, change: impl FnOnce(&mut Value)) {
        edit(self.sim.world().store(), key, change).unwrap();
    }

    /// Sets the number of pods of a side and waits until it is so.
    pub(super) async fn scale(&self, name: &str, replicas: u32) {
        let key = Key::new("apps", "deployments", NAMESPACE, name);
        self.edit(&key, |d| d["spec"]["replicas"] = replicas.into());
        self.wait(60).await;
    }
}

/// Returns the calls of a log that change something.
pub(super) fn writes(plan: &Plan) -> Vec<String> {
    let log = plan.log().into_iter();
    log.filter(|line| !line.contains(" GET ")).collect()
}
