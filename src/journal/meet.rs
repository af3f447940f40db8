//! What is found in the place of our record when a save is refused.
//!
//! Owns: telling another driver from an edit, a forgery, and our own save whose answer was lost. Must not:
//! write anything.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use kube::{Api, ResourceExt, api::ListParams, core::PartialObjectMeta};

use super::{
    Journal, JournalError, Kept, PAUSE, RELEASE, Saved,
    anchor::{Doubt, Labels, Place},
    parse, text, verdict,
};
use crate::{
    cluster::{Cluster, ClusterError},
    domain::release::{Outcome, Release},
};

/// What is in the place of our record.
pub(super) enum Met {
    /// What we meant to save.
    Ours,
    /// What we saved last; at most labels and annotations differ. With its version.
    Touched(Option<String>),
    /// Nothing that a driver of the run wrote. With its version.
    Mended(Option<String>, Kept),
    /// The record of another driver, with who it is.
    Another(Option<String>),
}

/// What a Deployment, read as metadata alone, says of whose records count.
#[derive(Debug, Clone)]
pub(super) struct Anchored {
    pub(super) namespace: String,
    name: String,
    uid: String,
    labels: BTreeMap<String, String>,
}

impl Anchored {
    fn of(meta: &PartialObjectMeta<Deployment>) -> Self {
        Self {
            namespace: meta.namespace().unwrap_or_default(),
            name: meta.name_any(),
            uid: meta.uid().unwrap_or_default(),
            labels: meta.labels().clone(),
        }
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place {
            name: &self.name,
            uid: &self.uid,
            labels: Labels::Map(&self.labels),
        }
    }
}

/// Reads what the Deployments of a namespace, or of all, say of whose records count.
pub(super) async fn anchors(
    cluster: &Cluster,
    everywhere: bool,
) -> Result<Vec<Anchored>, ClusterError> {
    let api = if everywhere {
        Api::<Deployment>::all(cluster.client().clone())
    } else {
        cluster.api::<Deployment>()
    };
    let params = ListParams::default();
    let list = cluster.read("the Deployments", || api.list_metadata(&params));
    Ok(list.await?.items.iter().map(Anchored::of).collect())
}

/// Returns when the driver of a record showed itself last.
fn sign_of(release: &Release) -> Option<Timestamp> {
    release.holder.as_ref().map(|holder| holder.heartbeat)
}

/// Returns whether a record is an earlier one of the driver that wrote what was read of it.
fn is_older(other: &Release, read: &str) -> bool {
    let Ok(read) = serde_json::from_str::<Release>(read) else {
        return false;
    };
    let id = |release: &Release| release.holder.as_ref().map(|holder| holder.id.clone());
    id(other).is_some() && id(other) == id(&read) && sign_of(other) < sign_of(&read)
}

/// The same of a record as a text.
fn sign_in(text: &str) -> Option<Timestamp> {
    sign_of(&serde_json::from_str(text).ok()?)
}

impl Journal {
    /// Returns what was met in the place of `saved`, where `meant` could not be saved.
    pub(super) async fn meet(
        &self,
        saved: &Saved,
        there: &ConfigMap,
        meant: &ConfigMap,
    ) -> Result<Met, JournalError> {
        let version = there.resource_version();
        // Compared as text: numbers need not survive reading bit by bit.
        let found = text(there, RELEASE);
        if found == text(meant, RELEASE) {
            return Ok(Met::Ours);
        }
        if version == saved.version || found.is_some() && found == saved.text.as_ref() {
            return Ok(Met::Touched(version));
        }
        let other = match parse(there) {
            Ok(other) => other.release,
            Err(error) => {
                let mended = Some(format!("another client changed it: {error}"));
                let kept = Kept {
                    mended,
                    ..Kept::default()
                };
                return Ok(Met::Mended(version, kept));
            }
        };
        let mut trust = self.trust(there, &other, &saved.release).await;
        if trust.is_err() {
            // Who takes a run over for a rollback does not wait for the key to be there first.
            self.cluster.clock().sleep(PAUSE).await;
            trust = self.trust(there, &other, &saved.release).await;
        }
        let who = other.holder.as_ref().map(|holder| holder.who.clone());
        let own = saved.release.holder.as_ref().map(|holder| &holder.id);
        let same = own.is_some() && other.holder.as_ref().map(|holder| &holder.id) == own;
        let replayed = saved
            .text
            .as_deref()
            .is_some_and(|read| is_older(&other, read));
        Ok(match trust {
            Ok(_) if !same && !replayed => Met::Another(who),
            // A save of ours whose answer was lost.
            Ok(_) if same && sign_of(&other) > saved.text.as_deref().and_then(sign_in) => {
                Met::Touched(version)
            }
            Ok(_) => {
                let mended = "another client restored an old record of this run".to_owned();
                let kept = Kept {
                    mended: Some(mended),
                    ..Kept::default()
                };
                Met::Mended(version, kept)
            }
            // Two take the run over at once, and the other one's key had its place for a moment only:
            // whoever has not driven it yet gives way.
            Err(_) if !saved.ours => Met::Another(who),
            Err(doubt) => {
                let mended = Some(format!("another client wrote it: {doubt}"));
                let back = other.phase.is_retreat() || other.ending == Some(Outcome::RolledBack);
                let asks = other.id == saved.release.id && !same && back;
                let asked_back = asks.then(|| who.unwrap_or_else(|| "somebody".to_owned()));
                Met::Mended(version, Kept { mended, asked_back })
            }
        })
    }

    /// Returns by whose key a record is authentic, or why it is not, by the Deployments of the release
    /// that `known` names.
    pub(super) async fn trust(
        &self,
        map: &ConfigMap,
        release: &Release,
        known: &Release,
    ) -> Result<Option<String>, Doubt> {
        let mut anchored = Vec::new();
        let api = self.cluster.api::<Deployment>();
        for name in [&known.stable, &known.canary] {
            let what = self.cluster.named("Deployment", name);
            let read = self
                .cluster
                .read_opt(&what, || api.get_metadata(name))
                .await;
            let read = read.map_err(|error| Doubt::Unread(error.detail))?;
            anchored.extend(read.as_ref().map(Anchored::of));
        }
        let places: Vec<Place<'_>> = anchored.iter().map(Anchored::place).collect();
        verdict(map, release, (self.cluster.namespace(), &self.app), &places)
    }
}
