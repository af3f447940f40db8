//! Behaviour of the whole world, in virtual time.

use serde_json::{Value, json};

use super::*;
use crate::{
    clock::Clock,
    sim::store::{Change, Door, Key},
};

mod faults;
mod prometheus;
mod rollout;
mod usage;
mod users;

const NAMESPACE: &str = "canary-release";

/// A world that runs beside the test.
struct Bench {
    world: World,
    store: Store,
    runner: tokio::task::JoinHandle<()>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.runner.abort();
    }
}

impl Bench {
    fn new(scenario: Scenario) -> Self {
        let epoch = "2026-01-05T09:00:00Z".parse().unwrap();
        let store = Store::new(Clock::simulated(epoch, 1.0));
        let objects = scenario.objects().unwrap();
        let seed = scenario.seed;
        let world = World::new(store.clone(), scenario, seed);
        world.load(objects).unwrap();
        let running = world.clone();
        let runner = tokio::spawn(async move { running.run().await });
        Self {
            world,
            store,
            runner,
        }
    }

    fn builtin(name: &str) -> Self {
        Self::new(Scenario::builtin(name).unwrap())
    }

    /// A healthy payment API with further lines of YAML.
    fn with(text: &str) -> Self {
        Self::new(Scenario::parse(text).unwrap())
    }

    async fn wait(&self, seconds: u64) {
        self.store.clock().sleep(Duration::from_secs(seconds)).await;
    }

    fn deployment(&self, name: &str) -> Arc<Value> {
        self.store
            .get(&Key::new("apps", "deployments", NAMESPACE, name))
            .unwrap()
    }

    fn edit(&self, name: &str, change: impl FnOnce(&mut Value)) -> Value {
        let key = Key::new("apps", "deployments", NAMESPACE, name);
        let edit = |object: &mut Value| {
            change(object);
            Ok(())
        };
        self.store.update(&key, Door::Main, false, edit).unwrap()
    }

    fn scale(&self, name: &str, replicas: u32) -> Value {
        self.edit(name, |d| d["spec"]["replicas"] = json!(replicas))
    }

    fn set_image(&self, name: &str, image: &str) {
        self.edit(name, |d| {
            d["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        });
    }

    /// Pods whose name begins with the Deployment's.
    fn pods(&self, deployment: &str) -> Vec<Arc<Value>> {
        let (pods, _) = self.store.list("", "pods", NAMESPACE);
        let mine = |p: &Arc<Value>| object::name(p).starts_with(&format!("{deployment}-"));
        pods.into_iter().filter(mine).collect()
    }

    fn events(&self, reason: &str) -> Vec<Arc<Value>> {
        let (events, _) = self.store.list("", "events", NAMESPACE);
        events
            .into_iter()
            .filter(|e| e["reason"] == reason)
            .collect()
    }

    fn changes(&self) -> Vec<Change> {
        self.store.changes_after(100).unwrap()
    }
}

fn status(object: &Value, field: &str) -> i64 {
    object["status"][field].as_i64().unwrap_or(0)
}

fn waiting(pod: &Value) -> &str {
    pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]
        .as_str()
        .unwrap_or_default()
}

fn restarts(pod: &Value) -> i64 {
    pod["status"]["containerStatuses"][0]["restartCount"]
        .as_i64()
        .unwrap_or(0)
}
