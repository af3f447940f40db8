//! What a controller has at hand during one pass.
//!
//! Owns: the moment of the pass, the next wake-up, events. Must not: decide anything.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use fastrand::Rng;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::object;
use crate::sim::{
    api::compose,
    fields::{self, Writer},
    store::{Door, Key, Refusal, Store},
};

/// The one reporter that writes `events.k8s.io`.
const SCHEDULER: &str = "default-scheduler";

/// The field manager of every controller.
pub(super) const CONTROLLERS: &str = "kube-controller-manager";

/// One pass of the controllers over the cluster.
pub(super) struct Pass<'a> {
    /// The objects.
    pub(super) store: &'a Store,
    /// The moment of the pass.
    pub(super) now: Timestamp,
    /// Whether time is left out: everything that would happen soon happens at once.
    pub(super) settling: bool,
    /// Source of names and jitter.
    pub(super) rng: &'a mut Rng,
    /// Events written so far.
    pub(super) events: &'a mut Events,
    /// The earliest moment at which something happens without a change of the objects.
    pub(super) due: &'a mut Option<Timestamp>,
}

/// An event as a controller reports it.
pub(super) struct Report<'a> {
    /// The component, such as `kubelet`.
    pub(super) from: &'static str,
    /// `Normal` or `Warning`.
    pub(super) kind: &'static str,
    /// Reason in one word.
    pub(super) reason: &'a str,
    /// Sentence for people.
    pub(super) message: String,
    /// The part of the object it is about; empty for all of it.
    pub(super) part: String,
}

impl<'a> Report<'a> {
    /// Returns an event of type Normal.
    pub(super) fn normal(from: &'static str, reason: &'a str, message: String) -> Self {
        Self {
            from,
            kind: "Normal",
            reason,
            message,
            part: String::new(),
        }
    }

    /// Returns an event of type Warning.
    pub(super) fn warning(from: &'static str, reason: &'a str, message: String) -> Self {
        Self {
            from,
            kind: "Warning",
            reason,
            message,
            part: String::new(),
        }
    }
}

/// Events that may be counted up instead of written again.
#[derive(Debug, Clone, Default)]
pub(super) struct Events {
    seen: BTreeMap<String, (Key, u32)>,
}

impl Pass<'_> {
    /// Asks for another pass at a moment.
    pub(super) fn wake(&mut self, at: Timestamp) {
        if self.due.is_none_or(|due| at < due) {
            *self.due = Some(at);
        }
    }

    /// Returns all objects of a resource.
    pub(super) fn list(&self, group: &str, resource: &str) -> Vec<Arc<Value>> {
        self.store.list(group, resource, "").0
    }

    /// Edits an object; one that is gone meanwhile, or a refused write, is left to the next pass.
    pub(super) fn edit(&self, key: &Key, door: Door, change: impl FnOnce(&mut Value)) -> bool {
        let writer = writer(key, door);
        let written = self
            .store
            .update_as(Some(&writer), key, door, false, |object| {
                change(object);
                Ok(())
            });
        written.is_ok()
    }

    /// Edits an object as the scheduler binds a pod: nobody owns what it sets.
    pub(super) fn bind(&self, key: &Key, change: impl FnOnce(&mut Value)) {
        let written = self.store.update(key, Door::Server, false, |object| {
            change(object);
            Ok(())
        });
        // Gone meanwhile: nothing is left to bind.
        written.ok();
    }

    /// Creates an object, complete and signed.
    pub(super) fn create(&self, key: Key, mut object: Value) -> Result<Value, Refusal> {
        let writer = writer(&key, Door::Main);
        object["metadata"]["namespace"] = json!(key.namespace);
        compose(self.store, &writer, &key.group, &key.resource, &mut object);
        self.store.create(key, object, false)
    }

    /// Edits an object as a client with this field manager does, through a subresource (`""`: none).
    pub(super) fn edit_as(
        &self,
        (manager, part): (&str, &str),
        key: &Key,
        change: impl FnOnce(&mut Value),
    ) -> bool {
        let writer = Writer {
            manager: manager.to_owned(),
            api_version: "apps/v1".to_owned(),
            subresource: part.to_owned(),
        };
        let written = self
            .store
            .update_as(Some(&writer), key, Door::Main, false, |object| {
                change(object);
                Ok(())
            });
        written.is_ok()
    }

    /// Writes a status if it differs from that of the object as read; null members mean absence.
    pub(super) fn set_status(&self, key: &Key, object: &Value, mut status: Value) {
        if let Some(members) = status.as_object_mut() {
            members.retain(|_, v| !v.is_null());
        }
        if object["status"] != status {
            self.edit(key, Door::Status, |object| object["status"] = status);
        }
    }

    /// Creates an object under a name of its own: `prefix` and five characters.
    pub(super) fn create_named(
        &mut self,
        (group, resource, namespace): (&str, &str, &str),
        prefix: &str,
        object: &Value,
    ) -> Result<Value, Refusal> {
        loop {
            let name = format!("{prefix}{}", self.suffix());
            let key = Key::new(group, resource, namespace, &name);
            if self.store.get(&key).is_none() {
                return self.create(key, object.clone());
            }
        }
    }

    /// Reports an event about an object: the same one again is counted.
    pub(super) fn report(&mut self, kind: &str, about: &Value, report: &Report<'_>) {
        if self.settling && report.kind == "Normal" {
            return;
        }
        let same = format!(
            "{}/{}/{}/{}",
            object::uid(about),
            report.from,
            report.reason,
            report.message
        );
        let now = object::stamp(self.now);
        if let Some((key, count)) = self.events.seen.get_mut(&same) {
            *count += 1;
            let key = key.clone();
            let count = *count;
            let counted = self.edit(&key, Door::Main, |event| {
                event["count"] = json!(count);
                event["lastTimestamp"] = json!(now);
            });
            if counted {
                return;
            }
        }
        let version = about["apiVersion"].as_str();
        let (api, namespace) = match kind {
            "Deployment" | "ReplicaSet" => ("apps/v1", object::namespace(about)),
            "Node" => ("v1", "default"),
            _ => (version.unwrap_or("v1"), object::namespace(about)),
        };
        let mut event = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {},
            "involvedObject": {
                "apiVersion": api,
                "kind": kind,
                "name": object::name(about),
                "namespace": object::namespace(about),
                "uid": object::uid(about),
                "resourceVersion": about["metadata"]["resourceVersion"],
            },
            "type": report.kind,
            "reason": report.reason,
            "message": report.message,
            "source": {"component": report.from},
            "reportingComponent": report.from,
            "reportingInstance": "",
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        });
        if !report.part.is_empty() {
            event["involvedObject"]["fieldPath"] = json!(report.part);
        }
        let mut writer = writer(&Key::new("", "events", namespace, ""), Door::Main);
        report.from.clone_into(&mut writer.manager);
        if report.from == SCHEDULER {
            as_scheduler(&mut event, &mut writer, &object::micro_stamp(self.now));
        } else if report.from != "kubelet" {
            CONTROLLERS.clone_into(&mut writer.manager);
        }
        // Names count nanoseconds, as those of the real recorder do.
        let spread = object::fingerprint(&self.suffix()) % 1_000_000;
        let moment = self.now.as_nanosecond() + i128::from(spread);
        let name = format!("{}.{moment:x}", object::name(about));
        let key = Key::new("", "events", namespace, &name);
        fields::stamp(None, &mut event, &writer, &now);
        if writer.api_version != "v1" {
            as_core(&mut event);
        }
        if self.store.create(key.clone(), event, false).is_ok() {
            self.events.seen.insert(same, (key, 1));
        }
    }

    /// Returns a moment some time after now.
    pub(super) fn after(&self, wait: Duration) -> Timestamp {
        later(self.now, wait)
    }

    fn suffix(&mut self) -> String {
        const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
        (0..5)
            .map(|_| char::from(ALPHABET[self.rng.usize(..ALPHABET.len())]))
            .collect()
    }
}

/// Brings an event into the form of `events.k8s.io`, in which the scheduler writes.
fn as_scheduler(event: &mut Value, writer: &mut Writer, now: &str) {
    "events.k8s.io/v1".clone_into(&mut writer.api_version);
    "kube-scheduler".clone_into(&mut writer.manager);
    *event = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {},
        "regarding": event["involvedObject"],
        "type": event["type"],
        "reason": event["reason"],
        "note": event["message"],
        "action": "Binding",
        "eventTime": now,
        "reportingController": SCHEDULER,
        "reportingInstance": "default-scheduler-simulated",
    });
}

/// Brings an event of `events.k8s.io` into the form in which events are kept.
fn as_core(event: &mut Value) {
    for (theirs, ours) in [
        ("regarding", "involvedObject"),
        ("note", "message"),
        ("reportingController", "reportingComponent"),
    ] {
        event[ours] = event[theirs].take();
    }
    event["source"] = json!({});
}

/// Returns who writes an object of a kind when no client does.
fn writer(key: &Key, door: Door) -> Writer {
    let manager = match (key.resource.as_str(), door) {
        ("pods", Door::Status) | ("nodes", _) => "kubelet",
        _ => CONTROLLERS,
    };
    let version = if key.group == "autoscaling" {
        "v2"
    } else {
        "v1"
    };
    Writer {
        manager: manager.to_owned(),
        api_version: if key.group.is_empty() {
            version.to_owned()
        } else {
            format!("{}/{version}", key.group)
        },
        subresource: if door == Door::Status { "status" } else { "" }.to_owned(),
    }
}

/// Returns the moment `wait` after another.
pub(super) fn later(moment: Timestamp, wait: Duration) -> Timestamp {
    moment.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// Returns how long ago a moment was; zero when it is still to come.
pub(super) fn age(now: Timestamp, moment: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(moment)).unwrap_or_default()
}
