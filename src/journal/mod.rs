//! The record of a release in the cluster: one ConfigMap per app.
//!
//! Owns: loading and saving by compare-and-swap, who holds a run, past runs. Must not: decide. The
//! record is saved before each change it announces; a save that fails because somebody else saved
//! first means that another driver has the run.

pub mod approve;

use std::{collections::BTreeMap, time::Duration};

use http::{HeaderValue, header};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    ResourceExt,
    api::{ListParams, ObjectMeta, PostParams},
    core::{Request, Resource},
};
use serde::{Deserialize, Serialize};

use crate::{
    cluster::{Cluster, ClusterError, FIELD_MANAGER, Reason, objects::Survey},
    domain::release::{Entry, FORMAT, Outcome, Release},
};

/// A driver that has not shown itself for so long is taken over.
pub const STALE: Duration = Duration::from_secs(90);

/// A driver shows itself about this often, and at least every one and a half times as long.
pub const HEARTBEAT: Duration = Duration::from_secs(20);

/// Past runs kept.
const PAST_RUNS: usize = 20;

/// Size of the history, roughly.
const PAST_BYTES: usize = 300_000;

/// Times a save is tried while the server is at fault.
const ATTEMPTS: u32 = 5;

/// Pause between two tries of a save.
const PAUSE: Duration = Duration::from_secs(1);

/// Label of all journals.
const APP_LABEL: &str = "canaryctl.dev/app";

/// Keys of the ConfigMap.
const RELEASE: &str = "release.json";
const PAST: &str = "history.json";

/// Representation of an answer that says no more than it must; the other where that is not served.
const METADATA_ALONE: &str =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

/// A finished run, as `history` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PastRun {
    /// Name of the run.
    pub id: String,
    /// The version it released.
    pub revision: String,
    /// From which images to which.
    pub change: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// What happened.
    pub trail: Vec<Entry>,
}

/// A record as it was loaded or saved last.
#[derive(Debug, Clone)]
pub struct Saved {
    /// The latest run.
    pub release: Release,
    /// Earlier runs, oldest first.
    pub past: Vec<PastRun>,
    /// Those as the cluster has them, or is to: they do not change while a run lasts.
    past_text: Option<String>,
    version: Option<String>,
}

/// Indicates that the journal could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// Another driver has the run.
    #[error("{who} holds the release since {since}")]
    Held {
        /// User and host, or the URL of the CI job.
        who: String,
        /// Since when.
        since: Timestamp,
    },
    /// Somebody else saved in between.
    #[error("another run took over the release{}", .0.as_ref().map(|w| format!(": {w}")).unwrap_or_default())]
    Lost(Option<String>),
    /// The record was written by a newer version of this tool.
    #[error("the journal has format {0}, written by a newer canaryctl; update this one")]
    Newer(u32),
    /// The record cannot be understood.
    #[error("the journal {name} cannot be read: {reason}")]
    Damaged {
        /// Its ConfigMap.
        name: String,
        /// Why.
        reason: String,
    },
    /// The API server does not serve it.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

/// What counts of the answer to a save.
#[derive(Deserialize)]
struct Put {
    metadata: PutMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PutMeta {
    resource_version: Option<String>,
}

/// The journal of one app.
#[derive(Clone)]
pub struct Journal {
    cluster: Cluster,
    app: String,
}

/// Returns the name of an app's ConfigMap.
pub fn config_map(app: &str) -> String {
    format!("{FIELD_MANAGER}-{app}")
}

/// Loads the journals of all apps of a namespace, or of all namespaces.
pub async fn all(cluster: &Cluster, everywhere: bool) -> Result<Vec<Saved>, JournalError> {
    let params = ListParams::default().labels(APP_LABEL);
    let api = if everywhere {
        kube::Api::<ConfigMap>::all(cluster.client().clone())
    } else {
        cluster.api::<ConfigMap>()
    };
    let what = if everywhere {
        "the journals of all namespaces".to_owned()
    } else {
        format!("the journals of namespace {}", cluster.namespace())
    };
    let maps = cluster.read(&what, || api.list(&params)).await?;
    maps.items.iter().map(parse).collect()
}

impl Saved {
    /// Returns whether the record is in the cluster.
    pub fn is_recorded(&self) -> bool {
        self.version.is_some()
    }

    /// Returns the record in what was read of the namespace; `None` when there never was a run.
    pub fn of(survey: &Survey) -> Result<Option<Self>, JournalError> {
        let record = survey.record.as_ref().map_err(Clone::clone)?;
        record.as_ref().map(parse).transpose()
    }

    /// Returns the record of a new run, not saved yet: the one before becomes history.
    pub fn after(before: Option<Self>, release: Release) -> Result<Self, JournalError> {
        let Some(before) = before else {
            return Ok(Self {
                release,
                past: Vec::new(),
                past_text: None,
                version: None,
            });
        };
        before.refuse_newer()?;
        let mut past = before.past;
        past.push(past_run(&before.release));
        let excess = past.len().saturating_sub(PAST_RUNS);
        past.drain(..excess);
        keep_small(&mut past);
        Ok(Self {
            release,
            past,
            past_text: None,
            version: before.version,
        })
    }

    /// Refuses a record that this version must not write to.
    pub fn refuse_newer(&self) -> Result<(), JournalError> {
        if self.release.version > FORMAT {
            return Err(JournalError::Newer(self.release.version));
        }
        Ok(())
    }
}

// === impl Journal ===

impl Journal {
    /// Returns the journal of `app`.
    pub fn new(cluster: Cluster, app: impl Into<String>) -> Self {
        Self {
            cluster,
            app: app.into(),
        }
    }

    /// Returns the name of the object, as messages name it.
    pub fn what(&self) -> String {
        self.cluster.named("ConfigMap", &config_map(&self.app))
    }

    /// Loads the record; `None` when there never was a run.
    pub async fn load(&self) -> Result<Option<Saved>, JournalError> {
        let api = self.cluster.api::<ConfigMap>();
        let name = config_map(&self.app);
        let map = self
            .cluster
            .read_opt(&self.what(), || api.get(&name))
            .await?;
        map.as_ref().map(parse).transpose()
    }

    /// Saves the record; fails when somebody else saved since.
    pub async fn save(&self, saved: &mut Saved) -> Result<(), JournalError> {
        self.put(saved).await
    }

    async fn put(&self, saved: &mut Saved) -> Result<(), JournalError> {
        let api = self.cluster.api::<ConfigMap>();
        let name = config_map(&self.app);
        let mut attempt = 1;
        loop {
            let map = self.object(saved)?;
            let what = self.what();
            let error = match self.send(&name, &what, &map).await {
                Ok(version) => {
                    saved.version = version;
                    return Ok(());
                }
                Err(error) => error,
            };
            let meant = map.data.as_ref().and_then(|d| d.get(RELEASE));
            // An answer that cannot be read says nothing of what was saved either.
            let unclear = error.reason.is_outage() || error.reason == Reason::Garbled;
            // Not found: somebody deleted the journal. The run goes on and writes it again.
            let beaten = matches!(
                error.reason,
                Reason::Conflict | Reason::Exists | Reason::NotFound
            );
            if !unclear && !beaten || attempt == ATTEMPTS {
                return Err(error.into());
            }
            if unclear {
                self.cluster.clock().sleep(PAUSE).await;
            }
            // The answer to our own save may have been lost: then the cluster has what we meant.
            let read = || api.get(&name);
            match self.cluster.read_opt(&what, read).await? {
                // Compared as text: numbers need not survive reading bit by bit.
                Some(there) if there.data.as_ref().and_then(|d| d.get(RELEASE)) == meant => {
                    saved.version = there.resource_version();
                    return Ok(());
                }
                Some(there) if there.resource_version() == saved.version => {}
                // An earlier save of ours whose answer was lost, or somebody touched what is ours.
                Some(there) if is_held_alike(&there, &saved.release) => {
                    saved.version = there.resource_version();
                }
                Some(there) => {
                    let who = parse(&there)?.release.holder.map(|h| h.who);
                    return Err(JournalError::Lost(who));
                }
                None => saved.version = None,
            }
            attempt += 1;
        }
    }

    /// Replaces or creates the ConfigMap, and returns its new version. A server that can sends its
    /// metadata alone back, not all of it.
    async fn send(
        &self,
        name: &str,
        what: &str,
        map: &ConfigMap,
    ) -> Result<Option<String>, ClusterError> {
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let here = Request::new(ConfigMap::url_path(&(), Some(self.cluster.namespace())));
        let recorded = map.metadata.resource_version.is_some();
        let put = || async {
            let body = serde_json::to_vec(map).map_err(kube::Error::SerdeError)?;
            let request = if recorded {
                here.replace(name, &params, body)
            } else {
                here.create(&params, body)
            };
            let mut request = request.map_err(kube::Error::BuildRequest)?;
            let wanted = HeaderValue::from_static(METADATA_ALONE);
            request.headers_mut().insert(header::ACCEPT, wanted);
            let sent = self.cluster.client().request::<Put>(request);
            sent.await
        };
        let action = if recorded { "save" } else { "create" };
        let saved = self.cluster.write(action, what, put).await?;
        Ok(saved.metadata.resource_version)
    }

    fn object(&self, saved: &mut Saved) -> Result<ConfigMap, JournalError> {
        let name = config_map(&self.app);
        let damaged = |e: serde_json::Error| JournalError::Damaged {
            name: name.clone(),
            reason: e.to_string(),
        };
        let release = serde_json::to_string(&saved.release).map_err(damaged)?;
        let past = match &saved.past_text {
            Some(text) => text.clone(),
            None => serde_json::to_string(&saved.past).map_err(damaged)?,
        };
        saved.past_text = Some(past.clone());
        let labels = [
            (APP_LABEL, self.app.as_str()),
            ("app.kubernetes.io/managed-by", FIELD_MANAGER),
        ];
        let owned = |(k, v): (&str, &str)| (k.to_owned(), v.to_owned());
        Ok(ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(self.cluster.namespace().to_owned()),
                labels: Some(labels.map(owned).into_iter().collect()),
                resource_version: saved.version.clone(),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([
                (RELEASE.to_owned(), release),
                (PAST.to_owned(), past),
            ])),
            ..ConfigMap::default()
        })
    }
}

/// Returns whether the record that is there is held by whoever holds this one.
fn is_held_alike(there: &ConfigMap, release: &Release) -> bool {
    let holder = |release: &Release| release.holder.as_ref().map(|holder| holder.id.clone());
    let theirs = parse(there).ok();
    let theirs = theirs.filter(|theirs| theirs.release.id == release.id);
    theirs.is_some_and(|theirs| {
        holder(&theirs.release).is_some() && holder(&theirs.release) == holder(release)
    })
}

/// Drops the oldest details, then the oldest runs, until the history has its size: a ConfigMap holds
/// 1 MiB and no more.
fn keep_small(past: &mut Vec<PastRun>) {
    let size = |run: &PastRun| -> usize {
        let trail = run.trail.iter();
        let texts = trail.map(|e| e.text.len() + e.who.len() + 100);
        texts.sum::<usize>() + run.change.len() + 300
    };
    let mut sum: usize = past.iter().map(size).sum();
    for run in past.iter_mut() {
        if sum <= PAST_BYTES {
            return;
        }
        sum -= size(run);
        run.trail.clear();
        sum += size(run);
    }
    while sum > PAST_BYTES && !past.is_empty() {
        sum -= size(&past.remove(0));
    }
}

/// Returns the run as a line of history.
pub fn past_run(release: &Release) -> PastRun {
    PastRun {
        id: release.id.clone(),
        revision: release.revision.clone(),
        change: release.change(),
        started: release.started,
        ended: release.ended,
        outcome: release.ending.filter(|_| release.is_over()),
        trail: release.trail.clone(),
    }
}

fn parse(map: &ConfigMap) -> Result<Saved, JournalError> {
    let name = map.name_any();
    let damaged = |reason: String| JournalError::Damaged {
        name: name.clone(),
        reason,
    };
    let data = map.data.as_ref();
    let text = |key: &str| data.and_then(|d| d.get(key));
    let release = text(RELEASE).ok_or_else(|| damaged(format!("it has no {RELEASE}")))?;
    let release = serde_json::from_str(release).map_err(|e| damaged(e.to_string()))?;
    let past = text(PAST).map(|past| serde_json::from_str(past));
    let past = past.transpose().map_err(|e| damaged(e.to_string()))?;
    Ok(Saved {
        release,
        past: past.unwrap_or_default(),
        past_text: text(PAST).cloned(),
        version: map.resource_version(),
    })
}
