//! The record of a release in the cluster: one ConfigMap per app.
//!
//! Owns: loading and saving by compare-and-swap, who holds a run, past runs. Must not: decide. The
//! record is saved before each change it announces; a save that fails because another driver saved
//! first means that it has the run. Whatever anybody else wrote there is no record (`anchor`).

pub mod anchor;
pub mod approve;
mod meet;
pub mod name;
mod seal;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

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
    cluster::{Cluster, ClusterError, FIELD_MANAGER, Reason, objects::Survey, workloads::Live},
    domain::release::{Entry, FORMAT, Outcome, Release},
};
use anchor::{Anchor, Doubt, Place, Signed, Stage};
use meet::Met;
pub use name::config_map;
use seal::{Sealed, Signer};

/// A driver whose record did not change for so long, as whoever waits for it sees it, is taken over.
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
const SIGNATURE: &str = "signature";

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
    /// Whether nothing proves that it was so: it comes from a record that was not authentic.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unproven: bool,
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
    /// The run as the cluster has it.
    text: Option<String>,
    version: Option<String>,
    /// By whose key it is authentic, or why it is not; a record that is not in the cluster yet is ours.
    trust: Result<Option<String>, Doubt>,
    /// When it was written, by the API server's clock.
    written: Option<Timestamp>,
    /// Whether this process has saved it.
    ours: bool,
}

/// What a save found besides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// What somebody else had made of the record, which was written anew.
    pub mended: Option<String>,
    /// Who asked for a rollback in a record that was not authentic: the safe side needs no proof.
    pub asked_back: Option<String>,
}

/// Indicates that the journal could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// Another driver has the run.
    #[error("the release is locked by {who} since {since}")]
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
    /// It cannot be signed.
    #[error("the journal cannot be signed: {0}")]
    Unsigned(String),
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
    /// Made when something is written first.
    signer: Arc<OnceLock<Result<Signer, String>>>,
}

/// The journals of several apps.
#[derive(Debug, Default)]
pub struct Journals {
    /// Those that can be read.
    pub saved: Vec<Saved>,
    /// Those that cannot, with the namespace of each.
    pub damaged: Vec<(String, JournalError)>,
}

/// Loads the journals of all apps of a namespace, or of all namespaces.
pub async fn all(cluster: &Cluster, everywhere: bool) -> Result<Journals, JournalError> {
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
    let (maps, anchors) = futures::join!(
        cluster.read(&what, || api.list(&params)),
        meet::anchors(cluster, everywhere),
    );
    let mut journals = Journals::default();
    for map in &maps?.items {
        let namespace = map.namespace().unwrap_or_default();
        let read = parse(map).and_then(|saved| {
            // One that says to be another app's is none.
            let own = config_map(&saved.release.app) == map.name_any();
            if own && saved.release.namespace == namespace {
                return Ok(saved);
            }
            let reason = "it belongs to another app or namespace".to_owned();
            let name = map.name_any();
            Err(JournalError::Damaged { name, reason })
        });
        match read {
            Ok(mut saved) => {
                let app = saved.release.app.clone();
                saved.trust = match &anchors {
                    Ok(anchors) => {
                        let here = anchors.iter().filter(|a| a.namespace == namespace);
                        let places: Vec<Place<'_>> = here.map(meet::Anchored::place).collect();
                        verdict(map, &saved.release, (&namespace, &app), &places)
                    }
                    Err(error) => Err(Doubt::Unread(error.detail.clone())),
                };
                journals.saved.push(saved);
            }
            Err(error) => journals.damaged.push((namespace, error)),
        }
    }
    Ok(journals)
}

impl Saved {
    /// Returns whether the record is in the cluster.
    pub fn is_recorded(&self) -> bool {
        self.version.is_some()
    }

    /// Returns the record of `app` in what was read of the namespace; `None` when there never was a run.
    pub fn of(survey: &Survey, namespace: &str, app: &str) -> Result<Option<Self>, JournalError> {
        let record = survey.record.as_ref().map_err(Clone::clone)?;
        let Some(map) = record else {
            return Ok(None);
        };
        let mut saved = parse(map)?;
        let deployments = survey.deployments.iter();
        let places: Vec<Place<'_>> = deployments.map(|d| anchor::place(&d.object)).collect();
        saved.trust = verdict(map, &saved.release, (namespace, app), &places);
        Ok(Some(saved))
    }

    /// Returns why the record is not believed; `None` where a driver of the run signed it.
    pub fn doubt(&self) -> Option<&Doubt> {
        self.trust.as_ref().err()
    }

    /// Returns the record, if a driver of its run signed it.
    pub fn authentic(self) -> Option<Self> {
        self.trust.is_ok().then_some(self)
    }

    /// Returns the record of a new run, not saved yet: the one before becomes history.
    pub fn after(before: Option<Self>, release: Release) -> Result<Self, JournalError> {
        let Some(before) = before else {
            return Ok(Self {
                release,
                past: Vec::new(),
                past_text: None,
                text: None,
                version: None,
                trust: Ok(None),
                written: None,
                ours: false,
            });
        };
        before.refuse_newer()?;
        let mut past = before.past;
        past.push(past_run(&before.release));
        if before.trust.is_err() {
            for run in &mut past {
                run.unproven = true;
            }
        }
        let excess = past.len().saturating_sub(PAST_RUNS);
        past.drain(..excess);
        keep_small(&mut past);
        Ok(Self {
            release,
            past,
            past_text: None,
            text: before.text,
            version: before.version,
            trust: Ok(None),
            written: None,
            ours: false,
        })
    }

    /// Returns how long the record was not written, by the API server's clock alone; `None` where that
    /// is not known. Two machines' clocks are compared nowhere.
    pub fn silent_for(&self, cluster: &Cluster) -> Option<Duration> {
        let silent = cluster.server_now()?.duration_since(self.written?);
        Some(Duration::try_from(silent).unwrap_or_default())
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
            signer: Arc::default(),
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
        let Some(map) = map else {
            return Ok(None);
        };
        let mut saved = parse(&map)?;
        saved.trust = self.trust(&map, &saved.release, &saved.release).await;
        Ok(Some(saved))
    }

    /// Saves the record; fails when another driver of the run saved since. What anybody else wrote there
    /// is written over.
    pub async fn save(&self, saved: &mut Saved) -> Result<Kept, JournalError> {
        let api = self.cluster.api::<ConfigMap>();
        let name = config_map(&self.app);
        let mut kept = Kept::default();
        let mut attempt = 1;
        loop {
            let map = self.object(saved)?;
            let what = self.what();
            let error = match self.send(&name, &what, &map).await {
                Ok(version) => {
                    self.note_saved(saved, version, &map);
                    return Ok(kept);
                }
                Err(error) => error,
            };
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
            let read = || api.get(&name);
            match self.cluster.read_opt(&what, read).await? {
                Some(there) => match Box::pin(self.meet(saved, &there, &map)).await? {
                    // The answer to our own save was lost: the cluster has what we meant.
                    Met::Ours => {
                        self.note_saved(saved, there.resource_version(), &map);
                        return Ok(kept);
                    }
                    Met::Touched(version) => saved.version = version,
                    Met::Mended(version, how) => {
                        saved.version = version;
                        kept = how;
                    }
                    Met::Another(who) => return Err(JournalError::Lost(who)),
                },
                None => saved.version = None,
            }
            attempt += 1;
        }
    }

    /// Asks the server whether it would take the record, and changes nothing. That somebody saved first is
    /// no refusal: what follows from it shows when it is saved.
    pub async fn try_save(&self, saved: &mut Saved) -> Result<(), JournalError> {
        let map = self.object(saved)?;
        let name = config_map(&self.app);
        let trial = Self {
            cluster: self.cluster.clone().dry(),
            ..self.clone()
        };
        match trial.send(&name, &self.what(), &map).await {
            Err(error)
                if !matches!(
                    error.reason,
                    Reason::Conflict | Reason::Exists | Reason::NotFound
                ) =>
            {
                Err(error.into())
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn note_saved(&self, saved: &mut Saved, version: Option<String>, map: &ConfigMap) {
        saved.version = version;
        saved.text = text(map, RELEASE).cloned();
        saved.trust = Ok(self.key().ok().map(str::to_owned));
        saved.ours = true;
    }

    /// Makes the records of this process count: its key goes to the Deployment, beside that of the driver
    /// before, whose record is still there.
    pub async fn anchor(
        &self,
        stable: &Live,
        saved: &Saved,
        stage: Stage,
    ) -> Result<Anchor, JournalError> {
        let own = self.key()?.to_owned();
        let signed = saved.trust.clone().ok().flatten();
        // Where the record is ours, whoever put a key there may be about to save.
        let there = Anchor::read(&anchor::place(&stable.object));
        let there = there.filter(|there| there.run == saved.release.id);
        let mut before = signed.into_iter().chain(there.map(|there| there.key));
        let before = before.find(|key| *key != own);
        let anchor = Anchor {
            run: saved.release.id.clone(),
            uid: stable.typed.metadata.uid.clone().unwrap_or_default(),
            stage,
            key: own,
            key_before: before,
        };
        self.cluster.label(stable, &anchor.labels()).await?;
        Ok(anchor)
    }

    /// Returns the public key with which this process signs.
    pub fn key(&self) -> Result<&str, JournalError> {
        self.signer().map(Signer::key)
    }

    fn signer(&self) -> Result<&Signer, JournalError> {
        let signer = self.signer.get_or_init(Signer::new).as_ref();
        signer.map_err(|error| JournalError::Unsigned(error.clone()))
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
            dry_run: self.cluster.is_dry(),
            field_manager: Some(FIELD_MANAGER.to_owned()),
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
        let signature = self.signer()?.sign(&Sealed {
            namespace: self.cluster.namespace(),
            app: &self.app,
            release: &release,
            past: &past,
        });
        let label = name::label(&self.app);
        let labels = [
            (APP_LABEL, label.as_str()),
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
                (SIGNATURE.to_owned(), signature),
            ])),
            ..ConfigMap::default()
        })
    }
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
        unproven: false,
    }
}

/// Returns a text of the ConfigMap.
fn text<'m>(map: &'m ConfigMap, key: &str) -> Option<&'m String> {
    map.data.as_ref().and_then(|data| data.get(key))
}

/// Returns by whose key the record of an app in a namespace is authentic, or why it is not.
fn verdict(
    map: &ConfigMap,
    release: &Release,
    (namespace, app): (&str, &str),
    places: &[Place<'_>],
) -> Result<Option<String>, Doubt> {
    let plain = |key: &str| text(map, key).map(String::as_str);
    let signed = Signed {
        sealed: Sealed {
            namespace,
            app,
            release: plain(RELEASE).unwrap_or_default(),
            past: plain(PAST).unwrap_or_default(),
        },
        release,
        signature: plain(SIGNATURE),
    };
    anchor::verify(&signed, places).map(Some)
}

fn parse(map: &ConfigMap) -> Result<Saved, JournalError> {
    let name = map.name_any();
    let damaged = |reason: String| JournalError::Damaged {
        name: name.clone(),
        reason,
    };
    let release = text(map, RELEASE).ok_or_else(|| damaged(format!("it has no {RELEASE}")))?;
    let release = serde_json::from_str(release).map_err(|e| damaged(e.to_string()))?;
    let past = text(map, PAST).map(|past| serde_json::from_str(past));
    let past = past.transpose().map_err(|e| damaged(e.to_string()))?;
    Ok(Saved {
        release,
        past: past.unwrap_or_default(),
        past_text: text(map, PAST).cloned(),
        text: text(map, RELEASE).cloned(),
        version: map.resource_version(),
        trust: Err(Doubt::Unsigned),
        written: written(map),
        ours: false,
    })
}

/// Returns when a driver wrote the record, as the API server booked it.
fn written(map: &ConfigMap) -> Option<Timestamp> {
    let entries = map.metadata.managed_fields.iter().flatten();
    let ours = entries.filter(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER));
    ours.filter_map(|entry| Some(entry.time.as_ref()?.0)).max()
}
