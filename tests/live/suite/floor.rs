//! How many pods were ready at the worst moment.
//!
//! Owns: a watch over the pods of a namespace in the background. Must not: judge.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, WatchEvent, WatchParams},
};
use tokio::task::JoinHandle;

use super::ground::{pause, within};

/// The pods of the app.
const PODS: &str = "app=payment-api";

/// Pods of stable itself.
const OWN: usize = 9;

/// The fewest pods that were ready and not ending, since the watch began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Least {
    /// Of both tracks together, while the canary had pods.
    pub(crate) all: usize,
    /// Of stable alone.
    pub(crate) stable: usize,
}

/// A pod as far as it is counted: its version, whether it is ready, whether it is there to stay, whether it
/// is stable's.
type Known = BTreeMap<String, (String, bool, bool, bool)>;

/// The watch; it ends with the value.
pub(crate) struct Floor {
    api: Api<Pod>,
    seen: Arc<Mutex<(Known, Option<Least>)>>,
    task: JoinHandle<()>,
}

impl Floor {
    /// Begins to watch.
    pub(crate) async fn watch(client: Client, namespace: &str) -> Self {
        let api = Api::namespaced(client, namespace);
        let seen = Arc::default();
        let task = tokio::spawn(follow(api.clone(), Arc::clone(&seen)));
        let floor = Self { api, seen, task };
        floor.least().await;
        floor
    }

    /// Returns the worst moment until now.
    pub(crate) async fn least(&self) -> Least {
        within(30, "the watch of the pods to catch up", async || {
            let list = self.api.list(&ListParams::default().labels(PODS)).await;
            let now: Known = list.ok()?.items.iter().map(counted).collect();
            let (known, least) = &*self.seen.lock().unwrap();
            least.filter(|_| *known == now)
        })
        .await
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(api: Api<Pod>, seen: Arc<Mutex<(Known, Option<Least>)>>) {
    loop {
        if let Ok(list) = api.list(&ListParams::default().labels(PODS)).await {
            let version = list.metadata.resource_version.clone().unwrap_or_default();
            note(&seen, |known| {
                *known = list.items.iter().map(counted).collect();
            });
            let params = WatchParams::default().labels(PODS);
            if let Ok(stream) = api.watch(&params, &version).await {
                let mut stream = stream.boxed();
                while let Some(Ok(event)) = stream.next().await {
                    match event {
                        WatchEvent::Added(pod) | WatchEvent::Modified(pod) => {
                            let (name, facts) = counted(&pod);
                            note(&seen, |known| drop(known.insert(name, facts)));
                        }
                        WatchEvent::Deleted(pod) => {
                            note(&seen, |known| drop(known.remove(&pod.name_any())));
                        }
                        WatchEvent::Bookmark(_) => {}
                        WatchEvent::Error(_) => break,
                    }
                }
            }
        }
        pause(100).await;
    }
}

fn note(seen: &Mutex<(Known, Option<Least>)>, change: impl FnOnce(&mut Known)) {
    let (known, least) = &mut *seen.lock().unwrap();
    change(known);
    let now = Least {
        all: known.values().filter(|(_, ready, ..)| *ready).count(),
        stable: known
            .values()
            .filter(|(_, ready, _, s)| *ready && *s)
            .count(),
    };
    let before = least.unwrap_or(now);
    // Alone, stable needs no more than its own.
    let canary = known
        .values()
        .any(|(_, _, stays, stable)| *stays && !stable);
    *least = Some(Least {
        all: if canary || now.all < OWN {
            before.all.min(now.all)
        } else {
            before.all
        },
        stable: before.stable.min(now.stable),
    });
}

fn counted(pod: &Pod) -> (String, (String, bool, bool, bool)) {
    let status = pod.status.as_ref();
    let mut conditions = status.iter().flat_map(|s| s.conditions.iter().flatten());
    let ready = conditions.any(|c| c.type_ == "Ready" && c.status == "True");
    let stays = pod.metadata.deletion_timestamp.is_none();
    let ready = ready && stays;
    let stable = pod.labels().get("track").is_some_and(|t| t == "stable");
    let version = pod.resource_version().unwrap_or_default();
    (pod.name_any(), (version, ready, stays, stable))
}
