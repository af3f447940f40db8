//! Everything that moves in the simulated cluster: controllers, kubelets, users, apps.
//!
//! Owns: one deterministic pass over the objects (same clock, same objects, same seed: same
//! writes), and the loop that repeats it. Must not: speak HTTP to clients of the API server.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fastrand::Rng;
use jiff::Timestamp;
use serde_json::Value;

use self::{
    hpa::Autoscalers,
    kubelet::Kubelet,
    pass::{Events, Pass},
    prometheus::Prometheus,
    replicaset::Retries,
    traffic::Traffic,
    usage::Usage,
};
use super::{
    api::serve_metrics,
    scenario::Scenario,
    store::{ChangeKind, Refusal, Store},
};
use crate::clock::Clock;

pub use self::{
    apps::Apps,
    users::{Count, Second, Users},
};

mod answer;
mod apps;
mod behaviour;
mod container;
mod counters;
mod definitions;
mod deployment;
mod draws;
mod endpoints;
mod fault;
mod garbage;
mod gateways;
mod hpa;
mod kubelet;
mod load;
mod namespaces;
mod object;
mod pass;
mod pod;
mod progress;
mod prometheus;
mod quota;
mod replicaset;
mod routes;
mod split;
mod traffic;
mod usage;
mod users;

#[cfg(test)]
mod tests;

/// How long the controllers take to notice a change: the grid their passes lie on.
const TICK_MS: i64 = 250;
/// Passes after which settling gives up; a rolling update of hundreds of pods needs fewer.
const SETTLE_LIMIT: usize = 400;

/// The world: cheap to clone, every clone is the same world.
#[derive(Clone)]
pub struct World {
    store: Store,
    state: Arc<Mutex<State>>,
}

/// What the controllers remember between passes.
#[derive(Debug, Clone)]
struct State {
    scenario: Scenario,
    rng: Rng,
    events: Events,
    kubelet: Kubelet,
    retries: Retries,
    scalers: Autoscalers,
    traffic: Traffic,
    usage: Usage,
    prometheus: Prometheus,
    faults_done: usize,
    /// The store's version up to which changes have been looked at.
    seen: u64,
    /// The next moment something happens without a change.
    due: Option<Timestamp>,
}

impl World {
    /// Returns a world over a store; everything random follows from the seed.
    pub fn new(store: Store, scenario: Scenario, seed: u64) -> Self {
        Kubelet::ensure_nodes(&store);
        let now = store.clock().now();
        let state = State {
            scenario,
            rng: Rng::with_seed(seed),
            events: Events::default(),
            kubelet: Kubelet::default(),
            retries: Retries::default(),
            scalers: Autoscalers::default(),
            traffic: Traffic::new(seed, now),
            usage: Usage::default(),
            prometheus: Prometheus::default(),
            faults_done: 0,
            seen: 0,
            due: None,
        };
        Self {
            store,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Puts objects into the store and settles the cluster without letting time pass: pods that
    /// can run are ready, and the users begin now.
    pub fn load(&self, objects: Vec<Value>) -> Result<(), Refusal> {
        load::put(&self.store, definitions::missing(&self.store, &objects))?;
        load::put(&self.store, objects)?;
        let mut state = self.lock();
        for _ in 0..SETTLE_LIMIT {
            let before = self.store.version();
            state.pass(&self.store, true);
            if self.store.version() == before {
                break;
            }
        }
        let now = self.store.clock().now();
        state.traffic.begin(now);
        if state.scenario.metrics_server {
            serve_metrics(&self.store);
            let State { usage, kubelet, .. } = &mut *state;
            usage.begin(now, kubelet);
        }
        state.due = Some(now);
        Ok(())
    }

    /// Lets everything happen that is due now: one pass of all controllers.
    pub fn step(&self) {
        let mut state = self.lock();
        let now = self.store.clock().now();
        let State {
            traffic,
            scenario,
            kubelet,
            usage,
            ..
        } = &mut *state;
        traffic.advance(now, scenario, kubelet);
        usage.advance(now, kubelet);
        state.scrape(&self.store, now);
        let due = state.due.is_some_and(|due| due <= now);
        if state.has_news(&self.store) || due {
            state.pass(&self.store, false);
        }
    }

    /// Steps for ever: at the next tick after a change, when something is due, once a second for
    /// the users. Ends when dropped.
    pub async fn run(&self) {
        let mut changes = self.store.subscribe();
        loop {
            self.step();
            let clock = self.store.clock();
            let now = clock.now();
            let due = self.lock().due.unwrap_or(Timestamp::MAX);
            let news = self.lock().seen < self.store.version();
            changes.mark_unchanged();
            let idle = due.max(tick_after(now)).min(traffic::next(now));
            if news {
                clock.sleep_until(tick_after(now)).await;
                continue;
            }
            tokio::select! {
                biased;
                notice = changes.changed() => {
                    if notice.is_err() {
                        return;
                    }
                    clock.sleep_until(tick_after(clock.now()).min(idle)).await;
                }
                () = clock.sleep_until(idle) => {}
            }
        }
    }

    /// Like [`World::run`], for a world that was running before: its next pass lies on the grid.
    pub(super) async fn go_on(&self) {
        let clock = self.store.clock();
        clock.sleep_until(tick_after(clock.now())).await;
        self.run().await;
    }

    /// Returns a copy of the world and of its store, whose time goes on with `clock`.
    pub(super) fn fork(&self, clock: Clock) -> Self {
        Self {
            store: self.store.fork(clock),
            state: Arc::new(Mutex::new(self.lock().clone())),
        }
    }

    /// Returns everything the controllers, kubelets, users and apps remember, as text.
    pub(super) fn memory(&self) -> String {
        format!("{:?}", *self.lock())
    }

    /// Returns what the users saw so far.
    pub fn users(&self) -> Users {
        self.lock().traffic.users.clone()
    }

    /// Returns the apps, for whoever carries requests to pods.
    pub fn apps(&self) -> Apps {
        Apps::new(self.clone())
    }

    /// Returns the store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns whether anything a controller cares for has changed since the last look.
    fn has_news(&mut self, store: &Store) -> bool {
        let version = store.version();
        if version == self.seen {
            return false;
        }
        let news = match store.changes_after(self.seen) {
            Ok(changes) => changes.iter().any(|c| {
                // Journals, leases and events are written often and move nothing.
                c.kind == ChangeKind::Deleted
                    || !matches!(c.key.resource.as_str(), "events" | "configmaps" | "leases")
            }),
            Err(_) => true,
        };
        self.seen = version;
        news
    }

    fn pass(&mut self, store: &Store, settling: bool) {
        self.seen = store.version();
        self.due = None;
        let began = self.traffic.began;
        let mut pass = Pass {
            store,
            now: store.clock().now(),
            settling,
            rng: &mut self.rng,
            events: &mut self.events,
            due: &mut self.due,
        };
        if !settling {
            let others = fault::Others {
                kubelet: &mut self.kubelet,
                scalers: &mut self.scalers,
                prometheus: &mut self.prometheus,
            };
            fault::sync(
                &mut pass,
                &self.scenario,
                began,
                &mut self.faults_done,
                others,
            );
        }
        namespaces::sync(&pass);
        garbage::sync(&mut pass, &mut self.kubelet);
        deployment::sync(&mut pass);
        replicaset::sync(&mut pass, &mut self.kubelet, &mut self.retries);
        self.kubelet.sync(&mut pass, &self.scenario);
        endpoints::sync(&pass, &self.kubelet);
        quota::sync(&pass);
        gateways::sync(&mut pass);
        hpa::sync(&mut pass, &mut self.scalers, &mut self.kubelet);
        self.traffic.reroute(store, &self.scenario);
    }
}

/// Returns the first tick after a moment.
fn tick_after(moment: Timestamp) -> Timestamp {
    let next = (moment.as_millisecond().div_euclid(TICK_MS) + 1) * TICK_MS;
    Timestamp::from_millisecond(next)
        .unwrap_or_else(|_| pass::later(moment, Duration::from_millis(250)))
}
