//! What makes a record authentic: the anchor on the Deployment.
//!
//! Owns: the labels that name the run under way and the keys of its drivers, and whether a record
//! is what such a driver wrote. Must not: decide what follows.
//!
//! Many may write ConfigMaps in a namespace. Who may change the Deployments of a release may release
//! anyway, so the stable Deployment says whose records count: it carries the public keys of the processes
//! that drove the run last. A record counts only when one of them signed it, for this namespace, app and
//! run, and when it is not older than what the anchor knows of the run.
//!
//! Labels, not annotations: the Deployment controller copies annotations to ReplicaSets, and a change of
//! them is a new generation, for which every wait of the release would wait.

use std::{collections::BTreeMap, fmt};

use serde_json::{Value, json};

use super::seal::Sealed;
use crate::domain::release::{Outcome, Phase, Release};

/// Label of the stable Deployment with the name of the run and its stage.
pub const RUN: &str = "canaryctl.dev/run";

/// Label with the uid of the Deployment, so that a copy of the labels says nothing about another one.
const UID: &str = "canaryctl.dev/run-uid";

/// Label with the public key of the driver.
const KEY: &str = "canaryctl.dev/run-key";

/// Label with the key of the driver before, whose record is still there when the next one begins.
const KEY_BEFORE: &str = "canaryctl.dev/run-key-before";

/// The run under way on a Deployment, or the last one, and who may say what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// Name of the run.
    pub run: String,
    /// Uid of the Deployment.
    pub uid: String,
    /// How far the run has come.
    pub stage: Stage,
    /// Public key of the driver.
    pub key: String,
    /// That of the driver before.
    pub key_before: Option<String>,
}

/// How far a run has come, as far as the anchor knows; a run never returns to an earlier stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// On its way to a promotion.
    Forward,
    /// On its way back to stable's old version.
    Back,
    /// Over.
    Over,
}

/// Why a record is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// It carries no signature: another program or an earlier version wrote it.
    Unsigned,
    /// The Deployment that it names does not exist.
    Gone(String),
    /// The Deployment that it names carries no valid anchor.
    Unanchored(String),
    /// It is about another app or namespace.
    Misplaced,
    /// The anchor is about another run.
    OtherRun(String),
    /// The anchor knows more of the run than the record: somebody put an old record back.
    Replayed,
    /// None of the anchored keys has signed it.
    Forged,
    /// The Deployments may not be read.
    Unread(String),
}

/// What of a Deployment says whose records count.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
    /// Its labels.
    pub labels: Labels<'a>,
}

/// Labels of an object, however it was read.
#[derive(Debug, Clone, Copy)]
pub enum Labels<'a> {
    /// As JSON.
    Json(&'a Value),
    /// As metadata alone.
    Map(&'a BTreeMap<String, String>),
}

/// A record with its signature, as it was read.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// Its texts.
    pub sealed: Sealed<'a>,
    /// The latest run in it.
    pub release: &'a Release,
    /// The signature in base64, if there is one.
    pub signature: Option<&'a str>,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned => f.write_str("it is not signed"),
            Self::Gone(name) => write!(f, "it names Deployment {name}, which does not exist"),
            Self::Unanchored(name) => {
                write!(f, "Deployment {name} has no valid label {RUN}")
            }
            Self::Misplaced => f.write_str("it belongs to another app or namespace"),
            Self::OtherRun(run) => write!(f, "the Deployment belongs to run {run}"),
            Self::Replayed => f.write_str("it is an old record of this run"),
            Self::Forged => f.write_str("its signature is not by a driver of this run"),
            Self::Unread(why) => write!(f, "it cannot be verified: {why}"),
        }
    }
}

impl Stage {
    /// Returns the stage of a run.
    pub fn of(release: &Release) -> Self {
        let clearing = matches!(release.phase, Phase::Draining | Phase::Cleaning);
        if release.phase == Phase::Ended {
            Self::Over
        } else if release.phase.is_retreat()
            || clearing && release.ending != Some(Outcome::Promoted)
        {
            Self::Back
        } else {
            Self::Forward
        }
    }
}

impl Labels<'_> {
    fn get(&self, key: &str) -> Option<String> {
        match self {
            Self::Json(labels) => labels[key].as_str().map(str::to_owned),
            Self::Map(labels) => labels.get(key).cloned(),
        }
    }
}

impl Anchor {
    /// Reads the anchor of a Deployment; `None` where there is none that counts there.
    pub fn read(place: &Place<'_>) -> Option<Self> {
        let label = |key: &str| place.labels.get(key);
        let named = label(RUN)?;
        let (run, stage) = named.rsplit_once('.')?;
        let stage = match stage {
            "forward" => Stage::Forward,
            "back" => Stage::Back,
            "over" => Stage::Over,
            _ => return None,
        };
        let uid = label(UID).filter(|uid| !uid.is_empty() && uid == place.uid)?;
        Some(Self {
            run: run.to_owned(),
            uid,
            stage,
            key: label(KEY)?,
            key_before: label(KEY_BEFORE),
        })
    }

    /// Returns the labels; null for one that is not to be there.
    pub fn labels(&self) -> Value {
        let stage = match self.stage {
            Stage::Forward => "forward",
            Stage::Back => "back",
            Stage::Over => "over",
        };
        json!({
            RUN: format!("{}.{stage}", self.run),
            UID: self.uid,
            KEY: self.key,
            KEY_BEFORE: self.key_before,
        })
    }

    /// Returns whether records with this key count.
    pub fn knows(&self, key: &str) -> bool {
        self.key == key || self.key_before.as_deref() == Some(key)
    }
}

/// Returns by whose key a record is authentic, or why it is not. `places` are the Deployments that it
/// names, as far as they exist: where roles were swapped the anchor may be on either.
pub fn verify(record: &Signed<'_>, places: &[Place<'_>]) -> Result<String, Doubt> {
    let (release, sealed) = (record.release, &record.sealed);
    if release.app != sealed.app || release.namespace != sealed.namespace {
        return Err(Doubt::Misplaced);
    }
    let signature = record.signature.ok_or(Doubt::Unsigned)?;
    let named = |place: &&Place<'_>| place.name == release.stable || place.name == release.canary;
    let named: Vec<&Place<'_>> = places.iter().filter(named).collect();
    let Some(first) = named.first() else {
        return Err(Doubt::Gone(release.stable.clone()));
    };
    let anchors = named.iter().filter_map(|place| Anchor::read(place));
    let mut doubt = Doubt::Unanchored(first.name.to_owned());
    for anchor in anchors {
        if anchor.run != release.id {
            doubt = Doubt::OtherRun(anchor.run);
            continue;
        }
        let signed = |key: &&String| sealed.is_signed(key, signature);
        let keys = [Some(&anchor.key), anchor.key_before.as_ref()];
        match keys.into_iter().flatten().find(signed) {
            Some(_) if Stage::of(release) < anchor.stage => doubt = Doubt::Replayed,
            Some(key) => return Ok(key.clone()),
            None => doubt = Doubt::Forged,
        }
    }
    Err(doubt)
}

/// Returns what of a Deployment, as an object, says whose records count.
pub fn place(object: &Value) -> Place<'_> {
    let meta = &object["metadata"];
    Place {
        name: meta["name"].as_str().unwrap_or_default(),
        uid: meta["uid"].as_str().unwrap_or_default(),
        labels: Labels::Json(&meta["labels"]),
    }
}
