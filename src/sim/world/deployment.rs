//! The Deployment controller: which ReplicaSets there are and how large each may be.
//!
//! Owns: rolling updates, scaling, pausing, revisions, clean-up. Must not: touch pods; write the
//! Deployment's status (`progress.rs` does).

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    object::{self, int, part_of},
    pass::{Pass, Report},
    progress,
};
use crate::sim::store::{Door, Key};

const FROM: &str = "deployment-controller";
const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAXIMUM: &str = "deployment.kubernetes.io/max-replicas";

/// What a Deployment asks for, with the API server's defaults.
pub(super) struct Wanted {
    /// Number of pods.
    pub(super) replicas: i64,
    /// Pods allowed above that during an update.
    pub(super) surge: i64,
    /// Pods that may be missing during an update.
    pub(super) unavailable: i64,
    /// Whether old pods go before new ones come.
    pub(super) recreate: bool,
    /// Whether updates wait.
    pub(super) paused: bool,
}

/// A ReplicaSet of the Deployment, with its size as of this pass.
pub(super) struct Set {
    /// Where it lives.
    pub(super) key: Key,
    /// The object at the start of the pass.
    pub(super) object: Arc<Value>,
    /// Wanted pods.
    pub(super) replicas: i64,
    /// Whether this pass created it.
    pub(super) created: bool,
}

impl Wanted {
    /// Reads a Deployment's spec.
    pub(super) fn of(deployment: &Value) -> Self {
        let spec = &deployment["spec"];
        let replicas = int(deployment, "/spec/replicas", 1);
        let rolling = &spec["strategy"]["rollingUpdate"];
        let recreate = spec["strategy"]["type"] == "Recreate";
        let surge = part_of(&rolling["maxSurge"], "25%", replicas, true);
        let missing = part_of(&rolling["maxUnavailable"], "25%", replicas, false);
        // Both zero would never move: Kubernetes then allows one pod to be missing.
        let unavailable = if surge == 0 && missing == 0 {
            1
        } else {
            missing.min(replicas)
        };
        Self {
            replicas,
            surge: if recreate { 0 } else { surge },
            unavailable: if recreate { replicas } else { unavailable },
            recreate,
            paused: spec["paused"] == true,
        }
    }

    fn maximum(&self) -> i64 {
        if self.replicas > 0 {
            self.replicas + self.surge
        } else {
            0
        }
    }
}

impl Set {
    /// Returns a count from the status.
    pub(super) fn count(&self, field: &str) -> i64 {
        self.object["status"][field].as_i64().unwrap_or(0)
    }

    fn annotation(&self, name: &str) -> Option<i64> {
        self.object["metadata"]["annotations"][name]
            .as_str()?
            .parse()
            .ok()
    }

    fn revision(&self) -> i64 {
        self.annotation(REVISION).unwrap_or(0)
    }
}

/// Brings every Deployment one move closer to what it asks for.
pub(super) fn sync(pass: &mut Pass<'_>) {
    let deployments = pass.list("apps", "deployments");
    if deployments.is_empty() {
        return;
    }
    let sets = pass.list("apps", "replicasets");
    for deployment in deployments.iter().filter(|d| !object::is_terminating(d)) {
        adopt(pass, deployment, &sets);
        let sets = pass.list("apps", "replicasets");
        let mut owned: Vec<Set> = sets
            .iter()
            .filter(|set| object::owned_by(set, object::uid(deployment)))
            .map(|set| Set {
                key: object::key("apps", "replicasets", set),
                object: set.clone(),
                replicas: int(set, "/spec/replicas", 0),
                created: false,
            })
            .collect();
        // Uids count up, so this is the order of creation.
        owned.sort_by(|a, b| object::uid(&a.object).cmp(object::uid(&b.object)));
        let wanted = Wanted::of(deployment);
        let mut work = Work {
            pass,
            deployment,
            wanted,
            sets: owned,
        };
        let new = work.roll();
        let Work { wanted, sets, .. } = work;
        progress::sync(pass, deployment, &wanted, &sets, new);
    }
}

/// Takes over ReplicaSets without owner that the selector of a Deployment fits.
fn adopt(pass: &Pass<'_>, deployment: &Value, sets: &[Arc<Value>]) {
    for set in sets {
        let lost = object::owner(set).is_none()
            && object::namespace(set) == object::namespace(deployment)
            && !object::is_terminating(set)
            && object::selects(
                &deployment["spec"]["selector"]["matchLabels"],
                &set["metadata"]["labels"],
            );
        if lost {
            let key = object::key("apps", "replicasets", set);
            pass.edit(&key, Door::Main, |set| {
                set["metadata"]["ownerReferences"] = json!([{
                    "apiVersion": "apps/v1", "kind": "Deployment", "name": object::name(deployment),
                    "uid": object::uid(deployment), "controller": true, "blockOwnerDeletion": true,
                }]);
            });
        }
    }
}

/// One Deployment during one pass.
struct Work<'w, 'p> {
    pass: &'w mut Pass<'p>,
    deployment: &'w Value,
    wanted: Wanted,
    sets: Vec<Set>,
}

impl Work<'_, '_> {
    /// Makes the moves of this pass; returns the position of the set of the present template.
    fn roll(&mut self) -> Option<usize> {
        let template = &self.deployment["spec"]["template"];
        let new = self
            .sets
            .iter()
            .position(|s| same_template(&s.object["spec"]["template"], template));
        let resized =
            |s: &Set| s.replicas > 0 && s.annotation(DESIRED) != Some(self.wanted.replicas);
        let scaling = self.sets.iter().any(resized);
        if self.wanted.paused || scaling {
            let new = new.inspect(|&at| self.revise(at));
            self.scale_all(new);
            return new;
        }
        if self.wanted.recreate {
            return self.recreate(new);
        }
        let new = self.ensure_new(new)?;
        if !self.grow_new(new) {
            self.shrink_old(new);
        }
        self.clean_up(new);
        Some(new)
    }

    fn recreate(&mut self, new: Option<usize>) -> Option<usize> {
        let old: Vec<usize> = (0..self.sets.len()).filter(|&i| Some(i) != new).collect();
        for &at in &old {
            self.resize(at, 0);
        }
        // Pods that still terminate count: Recreate never runs two versions side by side.
        let uids: Vec<&str> = old
            .iter()
            .map(|&i| object::uid(&self.sets[i].object))
            .collect();
        let pods = self.pass.list("", "pods");
        if pods
            .iter()
            .any(|pod| uids.iter().any(|uid| object::owned_by(pod, uid)))
        {
            return new;
        }
        let new = self.ensure_new(new)?;
        self.resize(new, self.wanted.replicas);
        self.clean_up(new);
        Some(new)
    }

    /// Creates the set of the present template if it is missing and gives it the highest revision.
    fn ensure_new(&mut self, new: Option<usize>) -> Option<usize> {
        if let Some(at) = new {
            self.revise(at);
            return Some(at);
        }
        let d = self.deployment;
        let mut template = d["spec"]["template"].clone();
        let hash = object::template_hash(&template);
        let name = format!("{}-{hash}", object::name(d));
        template["metadata"]["labels"]["pod-template-hash"] = json!(hash);
        let mut selector = d["spec"]["selector"].clone();
        selector["matchLabels"]["pod-template-hash"] = json!(hash);
        let mut annotations = d["metadata"]["annotations"].clone();
        if !annotations.is_object() {
            annotations = json!({});
        }
        if let Some(map) = annotations.as_object_mut() {
            map.remove(LAST_APPLIED);
        }
        let replicas = self.room_for_new(0);
        annotations[REVISION] = json!(self.next_revision(None).to_string());
        annotations[DESIRED] = json!(self.wanted.replicas.to_string());
        annotations[MAXIMUM] = json!(self.wanted.maximum().to_string());
        let key = Key::new("apps", "replicasets", object::namespace(d), &name);
        let set = json!({
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "labels": template["metadata"]["labels"],
                "annotations": annotations,
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "Deployment", "name": object::name(d),
                    "uid": object::uid(d), "controller": true, "blockOwnerDeletion": true,
                }],
            },
            "spec": {
                "replicas": replicas,
                "minReadySeconds": d["spec"]["minReadySeconds"],
                "selector": selector,
                "template": template,
            },
        });
        let created = self.pass.create(key.clone(), set).ok()?;
        if replicas > 0 {
            let message = format!("Scaled up replica set {name} from 0 to {replicas}");
            self.report("ScalingReplicaSet", message);
        }
        self.sets.push(Set {
            key,
            object: Arc::new(created),
            replicas,
            created: true,
        });
        let at = self.sets.len() - 1;
        self.revise(at);
        Some(at)
    }

    /// Keeps the revision of the present set the highest, and shows it on the Deployment.
    fn revise(&mut self, at: usize) {
        let revision = self.next_revision(Some(at)).max(self.sets[at].revision());
        let text = revision.to_string();
        let patience = &self.deployment["spec"]["minReadySeconds"];
        let set = &self.sets[at];
        let noted = self.noted(set, &text);
        if set.object["metadata"]["annotations"] != noted
            || set.object["spec"]["minReadySeconds"] != *patience
        {
            let key = set.key.clone();
            self.pass.edit(&key, Door::Main, |set| {
                set["metadata"]["annotations"] = noted;
                set["spec"]["minReadySeconds"] = patience.clone();
            });
        }
        let created = self.sets[at]
            .created
            .then(|| self.sets[at].key.name.clone());
        if created.is_some()
            || self.deployment["metadata"]["annotations"][REVISION] != text.as_str()
        {
            let now = self.pass.now;
            let key = object::key("apps", "deployments", self.deployment);
            // Written together with the status: the generation stays.
            self.pass.edit(&key, Door::Status, |deployment| {
                deployment["metadata"]["annotations"][REVISION] = json!(text);
                if let Some(name) = created {
                    progress::note_new_set(deployment, &name, now);
                }
            });
        }
    }

    /// Returns the annotations of the present set: those of the Deployment, its revision, and the
    /// revisions it had before.
    fn noted(&self, set: &Set, revision: &str) -> Value {
        let mut noted = set.object["metadata"]["annotations"].clone();
        let own = self.deployment["metadata"]["annotations"].as_object();
        for (name, value) in own.into_iter().flatten() {
            if ![LAST_APPLIED, REVISION, HISTORY, DESIRED, MAXIMUM].contains(&name.as_str()) {
                noted[name.as_str()] = value.clone();
            }
        }
        let before = noted[REVISION].as_str().unwrap_or_default().to_owned();
        if !before.is_empty() && before != revision {
            let history = match noted[HISTORY].as_str() {
                Some(history) => format!("{history},{before}"),
                None => before,
            };
            noted[HISTORY] = json!(history);
        }
        noted[REVISION] = json!(revision);
        noted
    }

    /// Returns the revision after that of all other sets.
    fn next_revision(&self, except: Option<usize>) -> i64 {
        let others = self
            .sets
            .iter()
            .enumerate()
            .filter(|(i, _)| Some(*i) != except);
        others.map(|(_, s)| s.revision()).max().unwrap_or(0) + 1
    }

    fn total(&self) -> i64 {
        self.sets.iter().map(|s| s.replicas).sum()
    }

    /// Returns the size the new set may have, given its present one.
    fn room_for_new(&self, present: i64) -> i64 {
        if self.wanted.recreate {
            return self.wanted.replicas;
        }
        let room = self.wanted.replicas + self.wanted.surge - self.total();
        present + room.min(self.wanted.replicas - present).max(0)
    }

    fn grow_new(&mut self, new: usize) -> bool {
        let present = self.sets[new].replicas;
        let target = if present > self.wanted.replicas {
            self.wanted.replicas
        } else {
            self.room_for_new(present)
        };
        self.resize(new, target)
    }

    /// Takes old pods away: first those that do not work, then as many as availability allows.
    fn shrink_old(&mut self, new: usize) {
        let least = self.wanted.replicas - self.wanted.unavailable;
        let fresh = &self.sets[new];
        let coming = fresh.replicas - fresh.count("availableReplicas");
        let mut spare = self.total() - least - coming;
        for at in (0..self.sets.len()).filter(|&i| i != new) {
            let set = &self.sets[at];
            let broken = (set.replicas - set.count("availableReplicas")).clamp(0, spare.max(0));
            if broken > 0 {
                spare -= broken;
                self.resize(at, set.replicas - broken);
            }
        }
        let available: i64 = self.sets.iter().map(|s| s.count("availableReplicas")).sum();
        let mut rest = (available - least).max(0).min(spare.max(0));
        for at in (0..self.sets.len()).filter(|&i| i != new) {
            let take = self.sets[at].replicas.min(rest);
            rest -= take;
            self.resize(at, self.sets[at].replicas - take);
        }
    }

    /// Spreads a new number of replicas over the sets, as `kubectl scale` during an update asks.
    fn scale_all(&mut self, new: Option<usize>) {
        let active: Vec<usize> = (0..self.sets.len())
            .filter(|&i| self.sets[i].replicas > 0)
            .collect();
        let wanted = self.wanted.replicas;
        match active.as_slice() {
            [] => {
                let latest =
                    new.or_else(|| (0..self.sets.len()).max_by_key(|&i| self.sets[i].revision()));
                if let Some(at) = latest {
                    self.resize(at, wanted);
                }
                return;
            }
            [one] => {
                self.resize(*one, wanted);
                return;
            }
            [_, _, ..] => {}
        }
        let saturated = |at: usize| {
            let set = &self.sets[at];
            set.replicas == wanted && set.count("availableReplicas") == wanted
        };
        if new.is_some_and(saturated) {
            for at in active.into_iter().filter(|&i| Some(i) != new) {
                self.resize(at, 0);
            }
            return;
        }
        if self.wanted.recreate {
            return;
        }
        self.scale_in_proportion(active);
    }

    fn scale_in_proportion(&mut self, mut active: Vec<usize>) {
        let mut left = self.wanted.maximum() - self.total();
        active.sort_by_key(|&i| (-self.sets[i].replicas, i));
        if left > 0 {
            // Of two equal sets the newer one grows first.
            active.sort_by_key(|&i| (-self.sets[i].replicas, std::cmp::Reverse(i)));
        }
        let mut targets: Vec<(usize, i64)> = Vec::new();
        for &at in &active {
            let set = &self.sets[at];
            let before = set
                .annotation(MAXIMUM)
                .unwrap_or(self.wanted.replicas)
                .max(1);
            let share =
                (2 * set.replicas * self.wanted.maximum() + before) / (2 * before) - set.replicas;
            let share = if left > 0 {
                share.clamp(0, left)
            } else {
                share.clamp(left, 0)
            };
            left -= share;
            targets.push((at, set.replicas + share));
        }
        if let Some(first) = targets.first_mut() {
            first.1 = (first.1 + left).max(0);
        }
        for (at, target) in targets {
            self.resize(at, target);
        }
    }

    /// Sets the size of one set and the annotations that go with it; returns whether it changed.
    fn resize(&mut self, at: usize, target: i64) -> bool {
        let (desired, maximum) = (self.wanted.replicas, self.wanted.maximum());
        let set = &self.sets[at];
        let before = set.replicas;
        let noted =
            set.annotation(DESIRED) == Some(desired) && set.annotation(MAXIMUM) == Some(maximum);
        if before == target && (noted || target == 0) {
            return false;
        }
        let key = set.key.clone();
        self.pass.edit(&key, Door::Main, |set| {
            set["spec"]["replicas"] = json!(target);
            set["metadata"]["annotations"][DESIRED] = json!(desired.to_string());
            set["metadata"]["annotations"][MAXIMUM] = json!(maximum.to_string());
        });
        self.sets[at].replicas = target;
        if before != target {
            let way = if target > before { "up" } else { "down" };
            let message = format!(
                "Scaled {way} replica set {} from {before} to {target}",
                key.name
            );
            self.report("ScalingReplicaSet", message);
        }
        before != target
    }

    /// Deletes old empty sets beyond the history limit, once the update is complete.
    fn clean_up(&mut self, new: usize) {
        let limit = int(self.deployment, "/spec/revisionHistoryLimit", 10);
        let complete = self.sets[new].count("availableReplicas") == self.wanted.replicas
            && self
                .sets
                .iter()
                .enumerate()
                .all(|(i, s)| i == new || s.count("replicas") == 0);
        if !complete {
            return;
        }
        let mut old: Vec<(i64, Key)> = self
            .sets
            .iter()
            .enumerate()
            .filter(|(i, s)| *i != new && s.replicas == 0)
            .map(|(_, s)| (s.revision(), s.key.clone()))
            .collect();
        old.sort();
        let excess = i64::try_from(old.len()).unwrap_or(0) - limit;
        for (_, key) in old.into_iter().take(usize::try_from(excess).unwrap_or(0)) {
            self.sets.retain(|s| s.key != key);
            drop(self.pass.store.delete(&key, false));
        }
    }

    fn report(&mut self, reason: &str, message: String) {
        self.pass.report(
            "Deployment",
            self.deployment,
            &Report::normal(FROM, reason, message),
        );
    }
}

/// Returns whether a set's template is the Deployment's, apart from the hash label.
fn same_template(of_set: &Value, of_deployment: &Value) -> bool {
    let mut bare = of_set.clone();
    if let Some(labels) = bare
        .pointer_mut("/metadata/labels")
        .and_then(Value::as_object_mut)
    {
        labels.remove("pod-template-hash");
    }
    bare == *of_deployment
}
