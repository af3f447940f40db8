//! Being told that something changed, instead of asking again and again.
//!
//! Owns: one watch on the Deployments and one on the pods of a release. Must not: interpret changes;
//! a change is only a reason to look. A watch that cannot be had is no error: the loop looks at
//! every interval anyway.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::TryStreamExt;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    api::{ListParams, WatchEvent, WatchParams},
    core::{NamespaceResourceScope, Request, Resource},
};
use serde::Deserialize;
use tokio::{sync::Notify, task::JoinHandle};

use super::{Cluster, workloads::selector_text};

/// Pause before a lost watch is set up again.
const PAUSE: Duration = Duration::from_secs(2);

/// Seconds after which the server ends a watch and a new one begins.
const WATCH_SECONDS: u32 = 280;

/// Longest time of one watch: a server that does not end it is not waited for.
const LONGEST: Duration = Duration::from_secs(300);

/// Changes that come together wake the loop once.
const GATHER: Duration = Duration::from_millis(200);

/// An object of which nothing counts but that it changed.
#[derive(Debug, Clone, Deserialize)]
struct Changed {}

/// Wakes whoever waits when a watched object changes; the watches end with it.
pub struct Wake {
    changed: Arc<Notify>,
    tasks: Vec<JoinHandle<()>>,
    cluster: Cluster,
}

impl Cluster {
    /// Watches the Deployments and pods with these labels.
    pub fn wake(&self, labels: &BTreeMap<String, String>) -> Wake {
        let changed = Arc::new(Notify::new());
        let selector = selector_text(labels);
        let tasks = vec![
            tokio::spawn(follow::<Deployment>(
                self.clone(),
                String::new(),
                changed.clone(),
            )),
            tokio::spawn(follow::<Pod>(self.clone(), selector, changed.clone())),
        ];
        Wake {
            changed,
            tasks,
            cluster: self.clone(),
        }
    }
}

impl Wake {
    /// Returns when something has changed since the last call returned.
    pub async fn changed(&self) {
        self.changed.notified().await;
        self.cluster.clock().sleep(GATHER).await;
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn follow<K>(cluster: Cluster, selector: String, changed: Arc<Notify>)
where
    K: Resource<Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + 'static,
    K::DynamicType: Default,
{
    loop {
        let watching = watch_once::<K>(&cluster, &selector, &changed);
        let watched = cluster.clock().timeout(LONGEST, watching).await;
        if !matches!(watched, Ok(Ok(()))) {
            cluster.clock().sleep(PAUSE).await;
        }
        cluster.clock().sleep(GATHER).await;
    }
}

async fn watch_once<K>(
    cluster: &Cluster,
    selector: &str,
    changed: &Notify,
) -> Result<(), kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + 'static,
    K::DynamicType: Default,
{
    let api = cluster.api::<K>();
    let list = ListParams::default().labels(selector).limit(1);
    let list = api.list_metadata(&list).await?;
    let version = list.metadata.resource_version.unwrap_or_default();
    let params = WatchParams::default()
        .labels(selector)
        .timeout(WATCH_SECONDS);
    let url = K::url_path(&K::DynamicType::default(), Some(cluster.namespace()));
    let request = Request::new(url).watch_metadata(&params, &version);
    let request = request.map_err(kube::Error::BuildRequest)?;
    let events = cluster.client().request_events::<Changed>(request).await?;
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.try_next().await? {
        match event {
            WatchEvent::Added(_) | WatchEvent::Modified(_) | WatchEvent::Deleted(_) => {
                changed.notify_one();
            }
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(_) => return Ok(()),
        }
    }
    Ok(())
}
