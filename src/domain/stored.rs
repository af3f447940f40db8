//! What the server stored where a run asked for something else.
//!
//! Owns: the record of it, and taking what was stored for what was asked. Must not: find out what was
//! stored. Admission rewrites pod templates: image mirrors, sidecars. What was stored is what runs, so it
//! is what is checked, pinned and compared.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::release::Release;

/// What admission made of the pod templates that a run wrote; empty where it changed nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stored {
    /// The images that were asked for on the canary, where other ones were stored.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub asked: BTreeMap<String, String>,
    /// Stable with the released version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promoted: Option<Version>,
    /// Stable with its old version, given back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored: Option<Version>,
}

/// A pod template as it was stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// Its digest.
    pub revision: String,
    /// Container → image.
    pub images: BTreeMap<String, String>,
}

impl Stored {
    /// Returns whether admission changed nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Release {
    /// Takes the canary's template as it was stored for the one that was asked for; returns what
    /// admission changed, in words.
    pub fn adopt(&mut self, stored: Version) -> String {
        let text = rewriting(&self.canary, &self.canary_images, &stored.images);
        for (container, image) in &mut self.images {
            if let Some(kept) = stored.images.get(container).filter(|kept| *kept != image) {
                let asked = std::mem::replace(image, kept.clone());
                self.stored.asked.entry(container.clone()).or_insert(asked);
            }
        }
        self.revision = stored.revision;
        self.canary_images = stored.images;
        text
    }

    /// Returns whether stable's template is its old one, as it was or as it was stored when it was given
    /// back.
    pub fn is_old(&self, revision: &str) -> bool {
        let restored = self.stored.restored.as_ref();
        revision == self.origin.stable_revision || restored.is_some_and(|r| r.revision == revision)
    }
}

/// Returns in words what admission changed from the images `asked` for to those it stored.
pub fn rewriting(
    deployment: &str,
    asked: &BTreeMap<String, String>,
    stored: &BTreeMap<String, String>,
) -> String {
    let changed = asked.iter().filter_map(|(container, image)| {
        let kept = stored.get(container)?;
        (kept != image).then(|| {
            format!("admission changed the image of container {container} from {image} to {kept}")
        })
    });
    let added = stored.iter().filter(|(c, _)| !asked.contains_key(*c));
    let added = added.map(|(container, image)| {
        format!("admission added container {container} with image {image}")
    });
    let gone = asked.keys().filter(|c| !stored.contains_key(*c));
    let gone = gone.map(|container| format!("admission removed container {container}"));
    let told: Vec<String> = changed.chain(added).chain(gone).collect();
    if told.is_empty() {
        return format!("admission changed the pod template of {deployment}");
    }
    format!("{} ({deployment})", told.join("; "))
}
