//! DELETE: preconditions, propagation, and what waits before it is gone.
//!
//! Owns: the verbs delete and deletecollection, for every kind. Must not: stop pods; their kubelets
//! do.

use http::Response;
use serde_json::{Value, json};

use super::{
    Server, convert,
    objects::{listed, show, text},
    options,
    reply::{self, Out},
    request::Call,
    resources::{self, Target},
    select::Selector,
};
use crate::sim::store::{Door, Key, Refusal, Store};

/// Held by an owner that waits for what it owns.
pub const FOREGROUND: &str = "foregroundDeletion";

/// Answers a DELETE of one object.
pub(crate) fn one(server: &Server, target: &Target, call: &Call) -> Result<Response<Out>, Refusal> {
    let options = call.delete_options()?;
    options::check_delete(call, &options)?;
    let key = target.key();
    let object = server.store().get(&key);
    let object = object.ok_or_else(|| Refusal::not_found(&key))?;
    preconditions(target, &key, &object, &options)?;
    let dry_run = call.dry_run() || options["dryRun"][0] == "All";
    let gone = remove(server, &key, &object, (&options, dry_run))?;
    // A pod, and whatever is not gone yet, is answered with itself; the rest with a Status.
    let waits = gone["metadata"]["deletionTimestamp"].is_string();
    if matches!(key.resource.as_str(), "pods" | "namespaces") || waits || call.wants_shape() {
        return Ok(show(server, target, call, 200, &gone));
    }
    let mut details = json!({"name": key.name, "group": key.group, "kind": key.resource, "uid": object["metadata"]["uid"]});
    if key.group.is_empty()
        && let Some(map) = details.as_object_mut()
    {
        map.remove("group");
    }
    Ok(reply::json(
        200,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}),
    ))
}

fn preconditions(
    target: &Target,
    key: &Key,
    object: &Value,
    options: &Value,
) -> Result<(), Refusal> {
    let wanted = &options["preconditions"];
    let meta = &object["metadata"];
    let differs = |field: &str| !wanted[field].is_null() && wanted[field] != meta[field];
    let why = if differs("uid") {
        format!(
            "the UID in the precondition ({}) does not match the UID in record ({}). The object might have been deleted and then recreated",
            text(&wanted["uid"]),
            text(&meta["uid"])
        )
    } else if differs("resourceVersion") {
        format!(
            "the ResourceVersion in the precondition ({}) does not match the ResourceVersion in record ({}). The object might have been modified",
            text(&wanted["resourceVersion"]),
            text(&meta["resourceVersion"])
        )
    } else {
        return Ok(());
    };
    let (kind, name) = (&target.resource.kind, &key.name);
    let qualified = target.resource.qualified_kind();
    Err(Refusal {
        details: json!({"name": name, "group": key.group, "kind": kind}),
        ..Refusal::new(
            409,
            "Conflict",
            format!("Operation cannot be fulfilled on {qualified} \"{name}\": {why}"),
        )
    })
}

/// Answers a DELETE of a collection.
pub(crate) fn many(
    server: &Server,
    target: &Target,
    call: &Call,
) -> Result<Response<Out>, Refusal> {
    let options = call.delete_options()?;
    options::check_delete(call, &options)?;
    let selector = Selector::of(call, &target.resource)?;
    let dry_run = call.dry_run() || options["dryRun"][0] == "All";
    let place = target.key();
    let (objects, version) = server
        .store()
        .list(&place.group, &place.resource, &place.namespace);
    let mut items = Vec::new();
    for object in objects.iter().filter(|o| selector.matches(o)) {
        let meta = &object["metadata"];
        let key = Key {
            namespace: text(&meta["namespace"]).to_owned(),
            name: text(&meta["name"]).to_owned(),
            ..place.clone()
        };
        let gone = remove(server, &key, object, (&options, dry_run))?;
        items.push(listed(target, convert::outward(target, &gone)));
    }
    let body = json!({"kind": target.resource.list_kind, "apiVersion": target.api_version(), "metadata": {"resourceVersion": version.to_string()}, "items": items});
    Ok(reply::json(200, &body))
}

/// Deletes an object in the way its kind is deleted.
fn remove(
    server: &Server,
    key: &Key,
    object: &Value,
    (options, dry_run): (&Value, bool),
) -> Result<Value, Refusal> {
    let store = server.store();
    let meta = &object["metadata"];
    let grace = options["gracePeriodSeconds"].as_i64();
    let foreground = options["propagationPolicy"] == "Foreground" && key.resource != "namespaces";
    if foreground && owns_any(server, &meta["uid"]) {
        if !dry_run {
            store.update(key, Door::Server, false, |object| {
                let held = object["metadata"]["finalizers"].as_array().cloned();
                let mut held = held.unwrap_or_default();
                if !held.iter().any(|f| f == FOREGROUND) {
                    held.push(json!(FOREGROUND));
                }
                object["metadata"]["finalizers"] = json!(held);
                Ok(())
            })?;
        }
        return store.terminate(key, 0, dry_run);
    }
    if key.group.is_empty() && key.resource == "namespaces" {
        return namespace(server, key, dry_run);
    }
    if meta["finalizers"].as_array().is_some_and(|f| !f.is_empty()) {
        return store.terminate(key, 0, dry_run);
    }
    if key.group.is_empty() && key.resource == "pods" {
        return pod(server, key, object, (grace, dry_run));
    }
    if options["propagationPolicy"] == "Orphan" && !dry_run {
        orphan(server, &meta["uid"]);
        store.update(key, Door::Server, false, |object| {
            object["metadata"]["finalizers"] = json!(["orphan"]);
            Ok(())
        })?;
        let going = store.terminate(key, 0, false)?;
        store.delete(key, false)?;
        return Ok(going);
    }
    store.delete(key, dry_run)
}

/// Deletes a pod: a scheduled one waits for its kubelet, unless no time is given.
fn pod(
    server: &Server,
    key: &Key,
    object: &Value,
    (grace, dry_run): (Option<i64>, bool),
) -> Result<Value, Refusal> {
    let usual = object["spec"]["terminationGracePeriodSeconds"].as_i64();
    let grace = grace.or(usual).unwrap_or(30);
    let scheduled = object["spec"]["nodeName"].is_string();
    if server.inner.graceful && scheduled && grace > 0 {
        return server.store().terminate(key, grace, dry_run);
    }
    let mut gone = server.store().delete(key, dry_run)?;
    gone["metadata"]["deletionTimestamp"] = json!(server.store().stamp());
    gone["metadata"]["deletionGracePeriodSeconds"] = json!(0);
    Ok(gone)
}

/// Deletes a namespace and everything in it; it stays while something in it does.
fn namespace(server: &Server, key: &Key, dry_run: bool) -> Result<Value, Refusal> {
    let store = server.store();
    let mut going = store.terminate(key, 0, dry_run)?;
    if let Some(meta) = going["metadata"].as_object_mut() {
        meta.shift_remove("deletionGracePeriodSeconds");
    }
    going["status"]["phase"] = json!("Terminating");
    if dry_run {
        return Ok(going);
    }
    let going = store.update(key, Door::Server, false, |object| {
        object["status"]["phase"] = json!("Terminating");
        Ok(())
    })?;
    finish_namespace(store, &key.name);
    Ok(going)
}

/// Deletes what is in a namespace that goes away, and then the namespace.
pub fn finish_namespace(store: &Store, name: &str) {
    let mut left = false;
    each(store, |key, object| {
        if key.namespace != name {
            return;
        }
        let held = object["metadata"]["finalizers"].as_array();
        if held.is_some_and(|f| !f.is_empty() && f.iter().any(|f| f != FOREGROUND)) {
            // It waits, and so does the namespace.
            store.terminate(key, 0, false).ok();
        } else {
            // Gone in the meantime: as wanted.
            store.delete(key, false).ok();
        }
    });
    each(store, |key, _| left |= key.namespace == name);
    if !left {
        let key = Key::new("", "namespaces", "", name);
        store.delete(&key, false).ok();
    }
}

/// Lets go of everything an object owns.
fn orphan(server: &Server, owner: &Value) {
    each(server.store(), |key, object| {
        if !is_owned(object, owner) {
            return;
        }
        let freed = server.store().update(key, Door::Server, false, |object| {
            let owners = object["metadata"]["ownerReferences"].as_array_mut();
            let left = owners.is_some_and(|owners| {
                owners.retain(|o| o["uid"] != *owner);
                !owners.is_empty()
            });
            if !left {
                object["metadata"]["ownerReferences"] = Value::Null;
            }
            Ok(())
        });
        // Gone in the meantime: nothing is left to let go of.
        freed.ok();
    });
}

fn is_owned(object: &Value, owner: &Value) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners.is_some_and(|o| o.iter().any(|o| o["uid"] == *owner))
}

fn owns_any(server: &Server, owner: &Value) -> bool {
    let mut any = false;
    each(server.store(), |_, object| any |= is_owned(object, owner));
    any
}

/// Calls `visit` with every object of every served resource.
fn each(store: &Store, mut visit: impl FnMut(&Key, &Value)) {
    for resource in resources::catalog(store) {
        let (group, plural) = (resource.stored_group(), &resource.plural);
        for object in store.list(group, plural, "").0 {
            let field = |field: &str| text(&object["metadata"][field]).to_owned();
            let key = Key::new(group, plural, &field("namespace"), &field("name"));
            visit(&key, &object);
        }
    }
}
