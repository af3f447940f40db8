//! Pod templates: what makes two of them the same version.
//!
//! Owns: track labels, digests, images, and carrying a template from one side to the other. Must
//! not: talk to the cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::domain::workload::{Track, Tracks};

/// What the keys of our own labels begin with.
const OWN: &str = "canaryctl.dev/";

/// Label keys by which teams tell the two sides apart.
const USUAL_KEYS: [&str; 6] = ["track", "version", "deployment", "role", "tier", "color"];

impl Tracks {
    /// Returns what tells the two given Deployments apart: labels that one of them selects by and in
    /// which they differ, or any that says `canary` of the canary, or `stable` or `primary` of stable.
    pub fn between(stable: &Value, canary: &Value) -> Self {
        let label = |d: &Value, key: &str| {
            let labels = &d["spec"]["template"]["metadata"]["labels"];
            labels[key].as_str().map(str::to_owned)
        };
        let selected = |d: &Value| keys(&d["spec"]["selector"]["matchLabels"]);
        let of_pods = |d: &Value| keys(&d["spec"]["template"]["metadata"]["labels"]);
        let says_side = |key: &String| {
            label(canary, key).as_deref() == Some("canary")
                || matches!(label(stable, key).as_deref(), Some("stable" | "primary"))
        };
        let mut candidates: BTreeSet<String> = selected(stable);
        candidates.extend(selected(canary));
        let all = of_pods(stable).into_iter().chain(of_pods(canary));
        candidates.extend(all.filter(says_side));
        let labels: BTreeMap<_, _> = candidates
            .into_iter()
            .map(|key| {
                let pair = (label(stable, &key), label(canary, &key));
                (key, pair)
            })
            .filter(|(_, (s, c))| s != c)
            .collect();
        let env = mirrored(stable, canary, &labels);
        Self { labels, env }
    }

    /// Returns what will tell a canary apart that is made from `stable`: its track label turned to
    /// `canary`, or a new label `track`.
    pub fn invented(stable: &Value) -> Self {
        let labels = &stable["spec"]["template"]["metadata"]["labels"];
        let is_track = |key: &&str| {
            matches!(
                labels[*key].as_str(),
                Some("stable" | "production" | "primary")
            )
        };
        let mut tracks: BTreeMap<_, _> = USUAL_KEYS
            .iter()
            .filter(|key| is_track(key))
            .map(|key| {
                let value = labels[*key].as_str().map(str::to_owned);
                ((*key).to_owned(), (value, Some("canary".to_owned())))
            })
            .collect();
        if tracks.is_empty() {
            let value = labels["track"].as_str().map(str::to_owned);
            tracks.insert("track".to_owned(), (value, Some("canary".to_owned())));
        }
        let mut env = Vec::new();
        let values: Vec<&str> = tracks.values().filter_map(|(s, _)| s.as_deref()).collect();
        for (container, name, value) in variables(&stable["spec"]["template"]) {
            if values.contains(&value) && name.to_ascii_uppercase().contains("TRACK") {
                let value = value.to_owned();
                env.push((
                    container.to_owned(),
                    name.to_owned(),
                    value,
                    "canary".to_owned(),
                ));
            }
        }
        Self {
            labels: tracks,
            env,
        }
    }

    /// Returns a digest of the version in a pod template of one side; equal for both sides when they
    /// run the same.
    pub fn digest(&self, template: &Value, side: Track) -> String {
        let mut neutral = template.clone();
        self.rewrite(&mut neutral, side, None);
        let mut hasher = Sha256::new();
        canonical(&neutral, &mut |bytes| hasher.update(bytes));
        let digest = hasher.finalize();
        digest.iter().take(8).fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Returns the template of one side as the other side would have it.
    pub fn carry(&self, template: &Value, from: Track) -> Value {
        let mut carried = template.clone();
        self.rewrite(&mut carried, from, Some(from.other()));
        carried
    }

    /// Returns the Deployment of a canary named `name`, made from stable: no pods yet, its own
    /// labels, the given images, nothing else changed.
    pub fn canary_of(
        &self,
        stable: &Value,
        name: &str,
        images: &BTreeMap<String, String>,
    ) -> Value {
        let mut template = self.carry(&stable["spec"]["template"], Track::Stable);
        set_images(&mut template, images);
        let mut spec = stable["spec"].clone();
        let mut labels = stable["metadata"]["labels"].clone();
        for (key, (_, canary)) in &self.labels {
            if let Some(value) = canary {
                spec["selector"]["matchLabels"][key] = json!(value);
                if !labels[key].is_null() {
                    labels[key] = json!(value);
                }
            }
        }
        spec["replicas"] = json!(0);
        spec["template"] = template;
        let mut metadata = json!({"name": name, "namespace": stable["metadata"]["namespace"]});
        if let Some(labels) = labels.as_object_mut() {
            // What marks stable as the side of a run is not the canary's.
            labels.retain(|key, _| !key.starts_with(OWN));
        }
        if labels.is_object() {
            metadata["labels"] = labels;
        }
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
    }

    /// Rewrites track labels and mirrored variables of `side` to those of `to`, or removes them.
    fn rewrite(&self, template: &mut Value, side: Track, to: Option<Track>) {
        let labels = template["metadata"]["labels"].as_object_mut();
        if let Some(labels) = labels {
            for (key, pair) in &self.labels {
                let value = to.and_then(|to| pick(pair, to));
                match value {
                    Some(value) => drop(labels.insert(key.clone(), json!(value))),
                    None => drop(labels.remove(key)),
                }
            }
        }
        for (container, name, stable, canary) in &self.env {
            let (own, other) = match side {
                Track::Stable => (stable, canary),
                Track::Canary => (canary, stable),
            };
            let variable = find_variable(template, container, name);
            if let Some(value) = variable.filter(|v| v.as_str() == Some(own)) {
                *value = match to {
                    Some(to) if to != side => json!(other),
                    Some(_) => json!(own),
                    None => Value::Null,
                };
            }
        }
    }
}

/// Returns container name → image of a pod template.
pub fn images(template: &Value) -> BTreeMap<String, String> {
    let containers = template["spec"]["containers"].as_array();
    containers
        .into_iter()
        .flatten()
        .filter_map(|c| {
            Some((
                c["name"].as_str()?.to_owned(),
                c["image"].as_str()?.to_owned(),
            ))
        })
        .collect()
}

/// Sets images in a pod template: container → image.
pub fn set_images(template: &mut Value, images: &BTreeMap<String, String>) {
    let containers = template["spec"]["containers"].as_array_mut();
    for container in containers.into_iter().flatten() {
        let image = container["name"].as_str().and_then(|name| images.get(name));
        if let Some(image) = image {
            container["image"] = json!(image);
        }
    }
}

/// Returns the JSON patch operations that set images, guarded by the containers' names.
pub fn image_patch(template: &Value, images: &BTreeMap<String, String>) -> Vec<Value> {
    let containers = template["spec"]["containers"].as_array();
    let mut operations = Vec::new();
    for (i, container) in containers.into_iter().flatten().enumerate() {
        let Some(name) = container["name"].as_str() else {
            continue;
        };
        if let Some(image) = images.get(name) {
            let at = format!("/spec/template/spec/containers/{i}");
            operations.push(json!({"op": "test", "path": format!("{at}/name"), "value": name}));
            operations
                .push(json!({"op": "replace", "path": format!("{at}/image"), "value": image}));
        }
    }
    operations
}

fn pick(pair: &(Option<String>, Option<String>), side: Track) -> Option<String> {
    match side {
        Track::Stable => pair.0.clone(),
        Track::Canary => pair.1.clone(),
    }
}

fn keys(map: &Value) -> BTreeSet<String> {
    let map = map.as_object();
    map.into_iter().flat_map(|m| m.keys().cloned()).collect()
}

/// Returns the variables that repeat a track label on both sides.
fn mirrored(
    stable: &Value,
    canary: &Value,
    labels: &BTreeMap<String, (Option<String>, Option<String>)>,
) -> Vec<(String, String, String, String)> {
    let theirs: BTreeMap<(&str, &str), &str> = variables(&canary["spec"]["template"])
        .map(|(container, name, value)| ((container, name), value))
        .collect();
    variables(&stable["spec"]["template"])
        .filter_map(|(container, name, value)| {
            let other = theirs.get(&(container, name))?;
            let repeats = labels
                .values()
                .any(|(s, c)| s.as_deref() == Some(value) && c.as_deref() == Some(other));
            let own = |s: &str| s.to_owned();
            repeats.then(|| (own(container), own(name), own(value), own(other)))
        })
        .collect()
}

/// Returns `(container, variable, value)` of all plain variables of a pod template.
fn variables(template: &Value) -> impl Iterator<Item = (&str, &str, &str)> {
    let containers = template["spec"]["containers"].as_array();
    containers.into_iter().flatten().flat_map(|container| {
        let name = container["name"].as_str().unwrap_or_default();
        let env = container["env"].as_array();
        env.into_iter()
            .flatten()
            .filter_map(move |v| Some((name, v["name"].as_str()?, v["value"].as_str()?)))
    })
}

fn find_variable<'t>(
    template: &'t mut Value,
    container: &str,
    name: &str,
) -> Option<&'t mut Value> {
    let containers = template["spec"]["containers"].as_array_mut()?;
    let container = containers
        .iter_mut()
        .find(|c| c["name"].as_str() == Some(container))?;
    let env = container["env"].as_array_mut()?;
    let variable = env.iter_mut().find(|v| v["name"].as_str() == Some(name))?;
    variable.get_mut("value")
}

/// Feeds a value to `sink` in an order that does not depend on how it was written.
fn canonical(value: &Value, sink: &mut dyn FnMut(&[u8])) {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().filter(|(_, v)| !v.is_null()).collect();
            sink(b"{");
            for (key, value) in sorted {
                sink(key.as_bytes());
                sink(b":");
                canonical(value, sink);
                sink(b",");
            }
            sink(b"}");
        }
        Value::Array(items) => {
            sink(b"[");
            for item in items {
                canonical(item, sink);
                sink(b",");
            }
            sink(b"]");
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            sink(value.to_string().as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(labels: &Value) -> Value {
        json!({"spec": {
            "selector": {"matchLabels": {"app": "web", "version": labels["version"]}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": []}},
        }})
    }

    #[test]
    fn labels_that_name_a_side_are_tracks_whatever_their_key() {
        let stable = deployment(&json!({
            "app": "web", "version": "v1", "deployment-type": "stable", "team": "payments",
        }));
        let canary = deployment(&json!({
            "app": "web", "version": "v2", "deployment-type": "canary", "team": "payments",
            "preview": "canary", "build": "77",
        }));
        let tracks = Tracks::between(&stable, &canary);
        let keys: Vec<&str> = tracks.labels.keys().map(String::as_str).collect();
        assert_eq!(keys, ["deployment-type", "preview", "version"]);
        // What is promoted is the version, with stable's own labels.
        let carried = tracks.carry(&canary["spec"]["template"], Track::Canary);
        let labels = &carried["metadata"]["labels"];
        assert_eq!(labels["deployment-type"], "stable");
        assert_eq!(labels["version"], "v1");
        assert_eq!(labels["build"], "77");
        assert!(labels["preview"].is_null(), "{labels}");
    }
}
