//! A whole simulated cluster in one handle.
//!
//! Owns: putting store, world and API server together. Must not: add behaviour of its own.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use jiff::Timestamp;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::{
    api::{Admission, Apps, Listener, PodUsage, Rules, Server},
    fault,
    scenario::{Scenario, ScenarioError},
    store::{Refusal, Store},
    world::{self, World},
};
use crate::clock::Clock;

/// A running simulated cluster; its controllers end when it is dropped.
pub struct SimCluster {
    server: Server,
    world: World,
    controllers: JoinHandle<()>,
}

/// A simulated cluster at one moment: it can be gone on with from there, any number of times.
///
/// Connections are not part of it: who was talking to the cluster is gone.
pub struct Snapshot {
    world: World,
    rules: Rules,
    admission: Option<Admission>,
    at: Timestamp,
}

/// A machine from which a simulated cluster is used: what stands in between, and its own clock.
#[derive(Clone)]
pub struct Machine {
    sim: Arc<SimCluster>,
    clock: Clock,
    faults: Option<fault::Plan>,
}

/// Indicates that a simulated cluster cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The scenario or its objects cannot be understood.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The simulated API server refuses an object.
    #[error("object refused: {0}")]
    Object(#[from] Refusal),
}

impl Apps for world::Apps {
    fn answer<'a>(
        &'a self,
        namespace: &'a str,
        pod: &'a str,
        port: u16,
        request: Request<Bytes>,
    ) -> BoxFuture<'a, Result<Response<Bytes>, String>> {
        Self::answer(self, namespace, pod, port, request)
    }

    fn listener(&self, namespace: &str, pod: &str, port: u16) -> Option<Listener> {
        Self::listener(self, namespace, pod, port)
    }

    fn usage(&self) -> Vec<PodUsage> {
        Self::usage(self)
    }
}

impl SimCluster {
    /// Starts a cluster with the scenario's own objects, or with `objects` where given.
    ///
    /// Must be called inside a tokio runtime.
    pub fn start(
        scenario: Scenario,
        objects: Option<Vec<Value>>,
        clock: Clock,
    ) -> Result<Self, SimError> {
        let objects = match objects {
            Some(mut objects) => {
                scenario.edit(&mut objects)?;
                objects
            }
            // The scenario has edited its own already.
            None => scenario.objects()?,
        };
        let store = Store::new(clock);
        let seed = scenario.seed;
        let world = World::new(store.clone(), scenario, seed);
        let server = Server::new(store, Arc::new(world.apps())).with_kubelets();
        world.load(objects)?;
        let moving = world.clone();
        let meter = moving.store().meter().clone();
        let controllers = tokio::spawn(meter.watch(async move { moving.run().await }));
        Ok(Self {
            server,
            world,
            controllers,
        })
    }

    /// Goes on from a snapshot; `clock` shows the snapshot's moment now.
    ///
    /// Must be called inside a tokio runtime, which need not be that of the first cluster.
    pub fn resume(snapshot: &Snapshot, clock: Clock) -> Self {
        let world = snapshot.world.fork(clock);
        let server = Server::new(world.store().clone(), Arc::new(world.apps())).with_kubelets();
        server.set_rules(snapshot.rules.clone());
        server.set_admission(snapshot.admission.clone());
        let moving = world.clone();
        let meter = moving.store().meter().clone();
        let controllers = tokio::spawn(meter.watch(async move { moving.go_on().await }));
        Self {
            server,
            world,
            controllers,
        }
    }

    /// Returns the cluster as it is now.
    pub fn snapshot(&self) -> Snapshot {
        let clock = self.world.store().clock().clone();
        Snapshot {
            at: clock.now(),
            world: self.world.fork(clock),
            rules: self.server.rules(),
            admission: self.server.admission(),
        }
    }

    /// Returns a client of the cluster; no socket is involved.
    pub fn client(&self, namespace: &str) -> kube::Client {
        self.server.client(namespace)
    }

    /// Returns the API server.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Returns the world behind it.
    pub fn world(&self) -> &World {
        &self.world
    }
}

// === impl Machine ===

impl Machine {
    /// Returns a machine beside the cluster: nothing is in between, and it has the world's clock.
    pub fn beside(sim: Arc<SimCluster>) -> Self {
        let clock = sim.world().store().clock().clone();
        Self {
            sim,
            clock,
            faults: None,
        }
    }

    /// Returns a machine with another clock of the same world.
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Returns a machine that reaches the cluster through the faults of a plan.
    pub fn behind(self, faults: fault::Plan) -> Self {
        let faults = Some(faults);
        Self { faults, ..self }
    }

    /// Returns a client of the cluster; no socket is involved.
    pub fn client(&self, namespace: &str) -> kube::Client {
        match &self.faults {
            Some(faults) => self.sim.server().faulty_client(namespace, faults),
            None => self.sim.client(namespace),
        }
    }

    /// Returns the machine's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// Returns its moment.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Returns a number that two snapshots of one run share only when nothing was different: the
    /// moment, the objects, what controllers, kubelets, users and apps remember.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        // Within one run a version of the store says what is in it.
        (self.at, self.world.store().version()).hash(&mut hasher);
        self.world.memory().hash(&mut hasher);
        hasher.finish()
    }
}

impl Drop for SimCluster {
    fn drop(&mut self) {
        self.controllers.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sim::store::{Door, Key};

    fn stable() -> Key {
        Key::new(
            "apps",
            "deployments",
            "canary-release",
            "payment-api-stable",
        )
    }

    fn clock(at: Timestamp) -> Clock {
        Clock::simulated(at, 1.0)
    }

    fn start() -> SimCluster {
        let scenario = Scenario::builtin("healthy").unwrap();
        let clock = clock("2026-01-05T09:00:00Z".parse().unwrap());
        SimCluster::start(scenario, None, clock).unwrap()
    }

    fn ready(cluster: &SimCluster) -> Value {
        cluster.world().store().get(&stable()).unwrap()["status"]["readyReplicas"].clone()
    }

    async fn pass(cluster: &SimCluster, seconds: u64) {
        let clock = cluster.world().store().clock();
        clock.sleep(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_on_from_a_snapshot_does_so_alike_and_apart() {
        let first = start();
        pass(&first, 1).await;
        let scale = |object: &mut Value| {
            object["spec"]["replicas"] = 12.into();
            Ok(())
        };
        let store = first.world().store();
        store.update(&stable(), Door::Main, false, scale).unwrap();
        // In the middle of a rollout: pods are being made.
        pass(&first, 2).await;
        let snapshot = first.snapshot();
        assert_eq!(snapshot.fingerprint(), first.snapshot().fingerprint());
        let one = SimCluster::resume(&snapshot, clock(snapshot.at()));
        let other = SimCluster::resume(&snapshot, clock(snapshot.at()));
        pass(&one, 60).await;
        assert_eq!((ready(&one), ready(&other)), (12.into(), 12.into()));
        assert_eq!(one.snapshot().fingerprint(), other.snapshot().fingerprint());
        one.world().store().delete(&stable(), false).unwrap();
        assert_eq!(ready(&other), 12);
        assert_eq!(
            ready(&SimCluster::resume(&snapshot, clock(snapshot.at()))),
            9
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_fingerprint_sees_time_and_what_users_and_apps_count() {
        let cluster = start();
        let before = cluster.snapshot();
        pass(&cluster, 5).await;
        let after = cluster.snapshot();
        let version = |snapshot: &Snapshot| snapshot.world.store().version();
        assert_eq!(version(&before), version(&after));
        assert_ne!(before.world.memory(), after.world.memory());
        assert_ne!(before.fingerprint(), after.fingerprint());
    }
}
