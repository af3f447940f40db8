//! A whole simulated cluster in one handle.
//!
//! Owns: putting store, world and API server together. Must not: add behaviour of its own.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::{
    api::{Apps, Server},
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

impl Drop for SimCluster {
    fn drop(&mut self) {
        self.controllers.abort();
    }
}
