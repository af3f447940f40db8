//! The objects of the simulated cluster and every version they ever had.
//!
//! Owns: storage, resource versions, generations, optimistic locking, the change log that watches
//! read. Must not: know HTTP, patch formats, or what a controller would do.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    fields::{self, Writer},
    meter::Meter,
};
use crate::clock::Clock;

/// Changes kept for watches; older versions answer 410 Gone, as after an etcd compaction.
const LOG_LENGTH: usize = 50_000;

/// Where an object lives. The API version is a matter of presentation, not of identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// API group; empty for the core group.
    pub group: String,
    /// Plural resource name, such as `deployments`.
    pub resource: String,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Object name.
    pub name: String,
}

impl Key {
    /// Returns the key of one object.
    pub fn new(group: &str, resource: &str, namespace: &str, name: &str) -> Self {
        Self {
            group: group.to_owned(),
            resource: resource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Returns the resource as messages of the API server name it: `deployments.apps`, `pods`.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.resource.clone()
        } else {
            format!("{}.{}", self.resource, self.group)
        }
    }
}

/// Indicates that the API server refuses a request; becomes a `Status` body.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason of the `Status`, such as `NotFound`.
    pub reason: &'static str,
    /// Sentence for people.
    pub message: String,
    /// The `details` of the `Status`; null when there are none.
    pub details: Value,
}

impl Refusal {
    /// Returns a refusal without details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Value::Null,
        }
    }

    /// Returns the 404 of a missing object.
    pub fn not_found(key: &Key) -> Self {
        let message = format!("{} \"{}\" not found", key.qualified(), key.name);
        Self {
            details: json!({"name": key.name, "group": key.group, "kind": key.resource}),
            ..Self::new(404, "NotFound", message)
        }
    }

    /// Returns the 403 of what an object must not be or do.
    pub fn forbidden(key: &Key, why: &str) -> Self {
        let message = format!("{} \"{}\" is forbidden: {why}", key.qualified(), key.name);
        Self {
            details: json!({"name": key.name, "group": key.group, "kind": key.resource}),
            ..Self::new(403, "Forbidden", message)
        }
    }

    /// Returns the 409 of a write based on an old resource version.
    pub fn conflict(key: &Key) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{}\": the object has been modified; please apply your changes to the latest version and try again",
            key.qualified(),
            key.name
        );
        Self {
            details: json!({"name": key.name, "group": key.group, "kind": key.resource}),
            ..Self::new(409, "Conflict", message)
        }
    }
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was created.
    Added,
    /// It was modified.
    Modified,
    /// It was deleted.
    Deleted,
}

/// One entry of the change log.
#[derive(Debug, Clone)]
pub struct Change {
    /// Resource version of this change.
    pub version: u64,
    /// What happened.
    pub kind: ChangeKind,
    /// Whose it is.
    pub key: Key,
    /// The object after the change (before it, when deleted).
    pub object: Arc<Value>,
    /// The object before the change, if it existed.
    pub before: Option<Arc<Value>>,
}

/// Which part of an object a write may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Everything but the status.
    Main,
    /// The status, and metadata without labels.
    Status,
    /// Everything, as the server itself writes: the generation stays.
    Server,
}

#[derive(Clone)]
struct Inner {
    version: u64,
    uid: u64,
    floor: u64,
    objects: BTreeMap<Key, Arc<Value>>,
    log: VecDeque<Change>,
}

/// The store: cheap to clone, every clone is the same store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Mutex<Inner>>,
    changed: watch::Sender<u64>,
    clock: Clock,
    meter: Meter,
}

impl Store {
    /// Returns an empty store whose time stamps come from `clock`.
    pub fn new(clock: Clock) -> Self {
        let inner = Inner {
            version: 100,
            uid: 0,
            // Nothing is known of the time before.
            floor: 100,
            objects: BTreeMap::new(),
            log: VecDeque::new(),
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            changed: watch::Sender::new(100),
            clock,
            meter: Meter::default(),
        }
    }

    /// Returns the sum of time the simulated cluster has spent.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Returns a copy of everything, the change log included, whose time goes on with `clock`.
    pub(super) fn fork(&self, clock: Clock) -> Self {
        let inner = self.lock().clone();
        Self {
            changed: watch::Sender::new(inner.version),
            inner: Arc::new(Mutex::new(inner)),
            clock,
            meter: Meter::default(),
        }
    }

    /// Returns the clock of the simulated cluster.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Returns one object.
    pub fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.lock().objects.get(key).cloned()
    }

    /// Returns all objects of a resource in key order, in one namespace or (`""`) in all, with the
    /// resource version of the moment.
    pub fn list(&self, group: &str, resource: &str, namespace: &str) -> (Vec<Arc<Value>>, u64) {
        let inner = self.lock();
        let first = Key::new(group, resource, namespace, "");
        let items = inner
            .objects
            .range(first..)
            .take_while(|(key, _)| {
                key.group == group
                    && key.resource == resource
                    && (namespace.is_empty() || key.namespace == namespace)
            })
            .map(|(_, object)| object.clone())
            .collect();
        (items, inner.version)
    }

    /// Returns the present resource version.
    pub fn version(&self) -> u64 {
        self.lock().version
    }

    /// Returns a receiver that is notified of every change.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Returns the changes after `version`, or `Err(floor)` when they are no longer kept.
    pub fn changes_after(&self, version: u64) -> Result<Vec<Change>, u64> {
        let inner = self.lock();
        if version < inner.floor {
            return Err(inner.floor);
        }
        let fresh = inner.log.iter().rev().take_while(|c| c.version > version);
        let mut changes: Vec<Change> = fresh.cloned().collect();
        changes.reverse();
        Ok(changes)
    }

    /// Forgets the change log: the next watch from an old version answers 410 Gone.
    pub fn compact(&self) {
        let mut inner = self.lock();
        inner.floor = inner.version;
        inner.log.clear();
    }

    /// Creates an object, with uid, creation time and generation filled in.
    ///
    /// `metadata.generateName` is completed when the key has no name. With `dry_run` nothing is kept.
    pub fn create(&self, key: Key, object: Value, dry_run: bool) -> Result<Value, Refusal> {
        self.create_as(None, key, object, dry_run)
    }

    /// Like [`Store::create`], and notes in `metadata.managedFields` what `writer` set.
    pub fn create_as(
        &self,
        writer: Option<&Writer>,
        mut key: Key,
        mut object: Value,
        dry_run: bool,
    ) -> Result<Value, Refusal> {
        let mut inner = self.lock();
        if key.name.is_empty() {
            let prefix = object["metadata"]["generateName"]
                .as_str()
                .unwrap_or_default();
            if prefix.is_empty() {
                return Err(Refusal::new(
                    422,
                    "Invalid",
                    "metadata.name: Required value: name or generateName is required",
                ));
            }
            key.name = format!("{prefix}{}", suffix(inner.uid));
        }
        if inner.objects.contains_key(&key) {
            let message = format!("{} \"{}\" already exists", key.qualified(), key.name);
            return Err(Refusal {
                details: json!({"name": key.name, "group": key.group, "kind": key.resource}),
                ..Refusal::new(409, "AlreadyExists", message)
            });
        }
        if !version_of(&object).is_empty() {
            return Err(Refusal::new(
                400,
                "BadRequest",
                "resourceVersion should not be set on objects to be created",
            ));
        }
        inner.uid += 1;
        let uid = format!("00000000-0000-4000-8000-{:012x}", inner.uid);
        let created = self.stamp();
        let meta = &mut object["metadata"];
        meta["name"] = json!(key.name);
        if !key.namespace.is_empty() {
            meta["namespace"] = json!(key.namespace);
        }
        meta["uid"] = json!(uid);
        meta["creationTimestamp"] = json!(created);
        if has_generation(&key) {
            meta["generation"] = json!(1);
        }
        strip_nulls(&mut object);
        if let Some(writer) = writer {
            fields::stamp(None, &mut object, writer, &created);
        }
        Ok(self.commit(&mut inner, key, object, ChangeKind::Added, dry_run))
    }

    /// Reads, modifies and writes one object in one go.
    ///
    /// A `metadata.resourceVersion` that `modify` leaves behind and that differs from the stored one
    /// is a precondition: the write answers 409. A write that changes nothing keeps the version.
    pub fn update(
        &self,
        key: &Key,
        door: Door,
        dry_run: bool,
        modify: impl FnOnce(&mut Value) -> Result<(), Refusal>,
    ) -> Result<Value, Refusal> {
        self.update_as(None, key, door, dry_run, modify)
    }

    /// Like [`Store::update`], and notes in `metadata.managedFields` what `writer` changed.
    pub fn update_as(
        &self,
        writer: Option<&Writer>,
        key: &Key,
        door: Door,
        dry_run: bool,
        modify: impl FnOnce(&mut Value) -> Result<(), Refusal>,
    ) -> Result<Value, Refusal> {
        let mut inner = self.lock();
        let old = inner
            .objects
            .get(key)
            .cloned()
            .ok_or_else(|| Refusal::not_found(key))?;
        let mut new = Value::clone(&old);
        modify(&mut new)?;
        let asked = version_of(&new);
        if !asked.is_empty() && asked != version_of(&old) {
            return Err(Refusal::conflict(key));
        }
        let forgotten = new["metadata"]["managedFields"] == json!([]);
        for field in [
            "name",
            "namespace",
            "uid",
            "creationTimestamp",
            "generation",
            "resourceVersion",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "managedFields",
        ] {
            match old["metadata"].get(field) {
                Some(kept) => new["metadata"][field] = kept.clone(),
                None => drop(
                    new["metadata"]
                        .as_object_mut()
                        .and_then(|m| m.remove(field)),
                ),
            }
        }
        match door {
            Door::Status => {
                let (meta, status) = (new["metadata"].take(), new["status"].take());
                new = Value::clone(&old);
                new["metadata"] = meta;
                new["metadata"]["labels"] = old["metadata"]["labels"].clone();
                new["status"] = status;
            }
            Door::Main if has_status(key) => new["status"] = old["status"].clone(),
            Door::Main | Door::Server => {}
        }
        strip_nulls(&mut new);
        if forgotten && let Some(meta) = new["metadata"].as_object_mut() {
            meta.remove("managedFields");
        }
        if new == *old {
            return Ok(new);
        }
        if is_finalized(&old, &new) {
            if let Some(writer) = writer {
                fields::stamp(Some(&old), &mut new, writer, &self.stamp());
            }
            let version = old["metadata"]["resourceVersion"].clone();
            let mut gone = self.commit(&mut inner, key.clone(), new, ChangeKind::Deleted, dry_run);
            // Nothing was written before it went: the writer sees the version it had.
            gone["metadata"]["resourceVersion"] = version;
            return Ok(gone);
        }
        // The API server bumps a Deployment's generation for annotations too, and for no other kind.
        let annotated = door == Door::Main
            && key.resource == "deployments"
            && new["metadata"]["annotations"] != old["metadata"]["annotations"];
        let respecified = door == Door::Main && new["spec"] != old["spec"];
        if has_generation(key) && (respecified || annotated) {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
            new["metadata"]["generation"] = json!(generation + 1);
        }
        if let Some(writer) = writer.filter(|_| !forgotten) {
            fields::stamp(Some(&old), &mut new, writer, &self.stamp());
        }
        Ok(self.commit(&mut inner, key.clone(), new, ChangeKind::Modified, dry_run))
    }

    /// Marks an object as being deleted in `grace` seconds; whoever owns it deletes it for good.
    ///
    /// A second request may only shorten the grace. The object itself stays, as it does on a real
    /// cluster until its finalizers are gone or the kubelet has stopped the pod.
    pub fn terminate(&self, key: &Key, grace: i64, dry_run: bool) -> Result<Value, Refusal> {
        let mut inner = self.lock();
        let old = inner
            .objects
            .get(key)
            .cloned()
            .ok_or_else(|| Refusal::not_found(key))?;
        let known = old["metadata"]["deletionGracePeriodSeconds"].as_i64();
        if old["metadata"]["deletionTimestamp"].is_string() && known.is_none_or(|k| k <= grace) {
            return Ok(Value::clone(&old));
        }
        let mut new = Value::clone(&old);
        let end = self.clock.now() + SignedDuration::from_secs(grace);
        new["metadata"]["deletionTimestamp"] =
            json!(end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        new["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        if has_generation(key) {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
            new["metadata"]["generation"] = json!(generation + 1);
        }
        Ok(self.commit(&mut inner, key.clone(), new, ChangeKind::Modified, dry_run))
    }

    /// Returns the present moment as objects carry it.
    pub fn stamp(&self) -> String {
        self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// Deletes one object and returns what it was.
    pub fn delete(&self, key: &Key, dry_run: bool) -> Result<Value, Refusal> {
        let mut inner = self.lock();
        let object = inner
            .objects
            .get(key)
            .cloned()
            .ok_or_else(|| Refusal::not_found(key))?;
        let object = Value::clone(&object);
        Ok(self.commit(
            &mut inner,
            key.clone(),
            object,
            ChangeKind::Deleted,
            dry_run,
        ))
    }

    fn commit(
        &self,
        inner: &mut Inner,
        key: Key,
        mut object: Value,
        kind: ChangeKind,
        dry_run: bool,
    ) -> Value {
        strip_nulls(&mut object);
        if dry_run {
            return object;
        }
        inner.version += 1;
        object["metadata"]["resourceVersion"] = json!(inner.version.to_string());
        let stored = Arc::new(object);
        let before = if kind == ChangeKind::Deleted {
            inner.objects.remove(&key)
        } else {
            inner.objects.insert(key.clone(), stored.clone())
        };
        inner.log.push_back(Change {
            version: inner.version,
            kind,
            key,
            object: stored.clone(),
            before,
        });
        if inner.log.len() > LOG_LENGTH
            && let Some(dropped) = inner.log.pop_front()
        {
            inner.floor = dropped.version;
        }
        self.changed.send_replace(inner.version);
        Value::clone(&stored)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the five characters that follow a `generateName`, from the alphabet Kubernetes uses.
fn suffix(mut n: u64) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    n = n.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(n);
    (0..5)
        .map(|i| {
            let digit = (n >> (i * 11)) % 27;
            char::from(ALPHABET[usize::try_from(digit).unwrap_or(0)])
        })
        .collect()
}

fn version_of(object: &Value) -> &str {
    object["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default()
}

/// Returns whether the last finalizer of an object that waits for its deletion is gone.
fn is_finalized(old: &Value, new: &Value) -> bool {
    let held = |object: &Value| {
        let finalizers = object["metadata"]["finalizers"].as_array();
        finalizers.is_some_and(|f| !f.is_empty())
    };
    old["metadata"]["deletionTimestamp"].is_string() && held(old) && !held(new)
}

/// Returns whether the API server counts generations for this resource.
fn has_generation(key: &Key) -> bool {
    !matches!(
        (key.group.as_str(), key.resource.as_str()),
        (
            "",
            "configmaps"
                | "services"
                | "events"
                | "namespaces"
                | "secrets"
                | "endpoints"
                | "nodes"
                | "serviceaccounts"
                | "persistentvolumeclaims"
                | "resourcequotas"
                | "limitranges"
        ) | (
            "events.k8s.io" | "coordination.k8s.io" | "autoscaling" | "rbac.authorization.k8s.io",
            _
        ) | ("apps", "controllerrevisions")
    )
}

/// Returns whether status is a door of its own for this resource.
fn has_status(key: &Key) -> bool {
    matches!(
        (key.group.as_str(), key.resource.as_str()),
        (
            "apps"
                | "autoscaling"
                | "batch"
                | "policy"
                | "gateway.networking.k8s.io"
                | "apiextensions.k8s.io",
            _
        ) | (
            "",
            "pods"
                | "services"
                | "namespaces"
                | "nodes"
                | "replicationcontrollers"
                | "persistentvolumeclaims"
                | "resourcequotas"
        ) | ("networking.k8s.io", "ingresses")
    )
}

/// Removes null members, which mean absence in a Kubernetes object.
fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(strip_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
