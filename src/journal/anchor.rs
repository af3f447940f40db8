//! What makes a record authentic: the anchor on the Deployment.
//!
//! Owns: the annotation that names the run under way and the keys of its drivers, and whether a record
//! is what such a driver wrote. Must not: decide what follows.
//!
//! Many may write ConfigMaps in a namespace. Who may change the Deployments of a release may release
//! anyway, so the stable Deployment says whose records count: it carries the public keys of the processes
//! that drove the run last. A record counts only when one of them signed it, for this namespace, app and
//! run, and when it is not older than what the anchor knows of the run.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::seal::Sealed;
use crate::domain::release::{Outcome, Phase, Release};

/// Annotation of the stable Deployment that holds the anchor.
pub const ANNOTATION: &str = "canaryctl.dev/run";

/// Longest anchor that is read, in bytes: ours have less than 500.
const LONGEST: usize = 4096;

/// The run under way on a Deployment, or the last one, and who may say what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Anchor {
    /// The app.
    pub app: String,
    /// Name of the run.
    pub run: String,
    /// The Deployment, so that a copy of the annotation says nothing about another one.
    pub uid: String,
    /// How far the run has come.
    pub stage: Stage,
    /// Public keys of its last drivers, in base64.
    pub keys: Vec<String>,
}

/// How far a run has come, as far as the anchor knows; a run never returns to an earlier stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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
    /// The Deployment that it names carries no anchor of this app.
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
    /// The text of the annotation.
    pub text: Option<&'a str>,
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
                write!(f, "Deployment {name} has no valid annotation {ANNOTATION}")
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

impl Anchor {
    /// Reads the anchor of a Deployment; `None` where there is none that counts there.
    pub fn read(place: &Place<'_>) -> Option<Self> {
        let text = place.text.filter(|text| text.len() <= LONGEST)?;
        let anchor: Self = serde_json::from_str(text).ok()?;
        (anchor.uid == place.uid).then_some(anchor)
    }

    /// Returns the text of the annotation.
    pub fn text(&self) -> String {
        // Strings and one word: this cannot fail, and an empty text is no anchor.
        serde_json::to_string(self).unwrap_or_default()
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
    let anchors: Vec<Anchor> = anchors.filter(|a| a.app == sealed.app).collect();
    let mut doubt = Doubt::Unanchored(first.name.to_owned());
    for anchor in anchors {
        if anchor.run != release.id {
            doubt = Doubt::OtherRun(anchor.run);
            continue;
        }
        let signed = |key: &&String| sealed.is_signed(key, signature);
        match anchor.keys.iter().find(signed) {
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
        text: meta["annotations"][ANNOTATION].as_str(),
    }
}
