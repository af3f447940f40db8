//! The verbs on objects: get, list, create, replace, patch, delete.
//!
//! Owns: what each verb checks, and in which order. Must not: know how the request arrived.

use http::Response;
use serde_json::{Value, json};

use super::{
    Server, convert, defaults,
    patch::Change,
    reply::{self, Out},
    request::{Call, Shape, bad_request},
    resources::Target,
    select::Selector,
    table, validate,
};
use crate::sim::{
    fields::Writer,
    store::{Door, Key, Refusal},
};

/// What a write puts in place of the object.
pub(crate) enum Edit {
    /// The whole object, as sent.
    Replace(Value),
    /// A patch over what is there.
    Patch(Change),
}

impl Edit {
    /// Reads the body of a PUT or PATCH.
    pub(crate) fn of(call: &Call, target: &Target) -> Result<Self, Refusal> {
        if call.method == http::Method::PUT {
            call.object().map(Self::Replace)
        } else {
            Change::of(call, &target.resource).map(Self::Patch)
        }
    }

    /// Returns `view` after the edit.
    pub(crate) fn apply(&self, mut view: Value) -> Result<Value, Refusal> {
        match self {
            Self::Replace(new) => Ok(new.clone()),
            Self::Patch(change) => change.apply(&mut view).map(|()| view),
        }
    }
}

/// Answers a GET of one object.
pub(crate) fn get(server: &Server, target: &Target, call: &Call) -> Result<Response<Out>, Refusal> {
    let key = target.key();
    let object = server.store().get(&key);
    let object = object.ok_or_else(|| Refusal::not_found(&key))?;
    Ok(show(server, target, call, 200, &object))
}

/// Answers a GET of a collection.
pub(crate) fn list(
    server: &Server,
    target: &Target,
    call: &Call,
) -> Result<Response<Out>, Refusal> {
    let selector = Selector::of(call, &target.resource)?;
    let key = target.key();
    let (objects, version) = server
        .store()
        .list(&key.group, &key.resource, &key.namespace);
    let chosen = objects.iter().filter(|o| selector.matches(o));
    let items: Vec<Value> = chosen.map(|o| convert::outward(target, o)).collect();
    let version = json!({"resourceVersion": version.to_string()});
    let body = match call.shape() {
        Shape::Table => table::render(target, &items, call, server.store().clock().now(), &version),
        Shape::Metadata => {
            let items: Vec<Value> = items.iter().map(metadata_of).collect();
            json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": version, "items": items})
        }
        Shape::Object => {
            let items: Vec<Value> = items.into_iter().map(|i| listed(target, i)).collect();
            json!({"kind": target.resource.list_kind, "apiVersion": target.api_version(), "metadata": version, "items": items})
        }
    };
    Ok(reply::json(200, &body))
}

/// Answers a POST to a collection.
pub(crate) fn create(
    server: &Server,
    target: &Target,
    call: &Call,
) -> Result<Response<Out>, Refusal> {
    let mut sent = call.object()?;
    agree(target, &mut sent)?;
    let mut key = target.key();
    text(&sent["metadata"]["name"]).clone_into(&mut key.name);
    server.check_namespace(target, &key.name)?;
    if target.resource.namespaced {
        sent["metadata"]["namespace"] = json!(target.namespace);
    }
    let mut object = convert::inward(target, sent, None);
    if target.resource.status
        && let Some(map) = object.as_object_mut()
    {
        map.remove("status");
    }
    defaults::fill(&target.resource, &mut object, true);
    validate::object(&target.resource, &object, None)?;
    let writer = writer(target, call);
    let stored = server
        .store()
        .create_as(Some(&writer), key, object, call.dry_run()?)?;
    Ok(show(server, target, call, 201, &stored))
}

/// Answers a PUT or PATCH of an object or of its status.
pub(crate) fn update(
    server: &Server,
    target: &Target,
    call: &Call,
) -> Result<Response<Out>, Refusal> {
    let edit = Edit::of(call, target)?;
    let key = target.key();
    let door = match target.sub.first() {
        Some(_) => Door::Status,
        None => Door::Main,
    };
    let writer = writer(target, call);
    let dry_run = call.dry_run()?;
    let stored = server
        .store()
        .update_as(Some(&writer), &key, door, dry_run, |object| {
            let mut new = edit.apply(convert::outward(target, object))?;
            if let Edit::Replace(_) = edit {
                validate::replacement(&target.resource, &key, &new)?;
            }
            agree(target, &mut new)?;
            same_object(&key, object, &new)?;
            let mut new = convert::inward(target, new, Some(object));
            if door == Door::Main {
                if target.resource.status {
                    new["status"] = object["status"].clone();
                }
                // What a controller made without defaults stays so until it is changed.
                if differs(&new, object) {
                    defaults::fill(&target.resource, &mut new, false);
                }
                validate::object(&target.resource, &new, Some(object))?;
            }
            *object = new;
            Ok(())
        })?;
    Ok(show(server, target, call, 200, &stored))
}

/// Answers a DELETE of one object.
pub(crate) fn delete(
    server: &Server,
    target: &Target,
    call: &Call,
) -> Result<Response<Out>, Refusal> {
    let options = call.delete_options()?;
    let key = target.key();
    let object = server.store().get(&key);
    let object = object.ok_or_else(|| Refusal::not_found(&key))?;
    for (field, word) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
        let (wanted, is) = (&options["preconditions"][field], &object["metadata"][field]);
        if !wanted.is_null() && wanted != is {
            let message = format!(
                "Operation cannot be fulfilled on {} \"{}\": Precondition failed: {word} in precondition: {}, {word} in object meta: {}",
                key.qualified(),
                key.name,
                text(wanted),
                text(is)
            );
            return Err(Refusal {
                message,
                ..Refusal::conflict(&key)
            });
        }
    }
    let dry_run = call.dry_run()? || options["dryRun"][0] == "All";
    let gone = server.remove(&key, &object, &options, dry_run)?;
    // A pod, and whatever is not gone yet, is answered with itself; the rest with a Status.
    if key.resource == "pods" || gone["metadata"]["deletionTimestamp"].is_string() {
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

/// Answers a DELETE of a collection.
pub(crate) fn delete_collection(
    server: &Server,
    target: &Target,
    call: &Call,
) -> Result<Response<Out>, Refusal> {
    let options = call.delete_options()?;
    let selector = Selector::of(call, &target.resource)?;
    let dry_run = call.dry_run()? || options["dryRun"][0] == "All";
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
        let gone = server.remove(&key, object, &options, dry_run)?;
        items.push(listed(target, convert::outward(target, &gone)));
    }
    let body = json!({"kind": target.resource.list_kind, "apiVersion": target.api_version(), "metadata": {"resourceVersion": version.to_string()}, "items": items});
    Ok(reply::json(200, &body))
}

/// Returns who a write is booked to in `managedFields`.
pub(crate) fn writer(target: &Target, call: &Call) -> Writer {
    Writer {
        manager: call.manager(),
        api_version: target.api_version(),
        subresource: target.sub.first().cloned().unwrap_or_default(),
    }
}

/// Returns one object in the shape the client asked for.
fn show(server: &Server, target: &Target, call: &Call, code: u16, kept: &Value) -> Response<Out> {
    let seen = convert::outward(target, kept);
    let body = match call.shape() {
        Shape::Object => seen,
        Shape::Metadata => metadata_of(&seen),
        Shape::Table => {
            let meta = json!({"resourceVersion": seen["metadata"]["resourceVersion"]});
            let now = server.store().clock().now();
            table::render(target, &[seen], call, now, &meta)
        }
    };
    reply::json(code, &body)
}

/// Returns an object without everything but its metadata.
pub(crate) fn metadata_of(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// Returns an item as lists carry it: those of built-in kinds do not repeat kind and version.
fn listed(target: &Target, mut item: Value) -> Value {
    if target.resource.builtin
        && let Some(map) = item.as_object_mut()
    {
        map.shift_remove("apiVersion");
        map.shift_remove("kind");
    }
    item
}

/// Checks that a body says what the path says, and completes it.
fn agree(target: &Target, sent: &mut Value) -> Result<(), Refusal> {
    let (version, kind) = (text(&sent["apiVersion"]), text(&sent["kind"]));
    let expected = target.api_version();
    if !version.is_empty() && version != expected {
        return Err(bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({expected})"
        )));
    }
    if !kind.is_empty() && kind != target.resource.kind {
        return Err(bad_request(format!(
            "{kind} in version \"{}\" cannot be handled as a {}: no kind \"{kind}\" is registered for the resource",
            target.version, target.resource.kind
        )));
    }
    if sent["metadata"].is_null() {
        sent["metadata"] = json!({});
    }
    if !sent["metadata"].is_object() {
        return Err(bad_request(format!(
            "{} in version \"{}\" cannot be handled as a {}: json: cannot unmarshal into Go struct field .metadata of type v1.ObjectMeta",
            target.resource.kind, target.version, target.resource.kind
        )));
    }
    let name = text(&sent["metadata"]["name"]);
    if !target.name.is_empty() && !name.is_empty() && name != target.name {
        return Err(bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            target.name
        )));
    }
    let namespace = text(&sent["metadata"]["namespace"]);
    if target.resource.namespaced && !namespace.is_empty() && namespace != target.namespace {
        return Err(bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}

/// Refuses an update that was meant for an object of the same name that is gone.
fn same_object(key: &Key, old: &Value, new: &Value) -> Result<(), Refusal> {
    let (is, meant) = (&old["metadata"]["uid"], &new["metadata"]["uid"]);
    if meant.is_null() || meant == is || meant == "" {
        return Ok(());
    }
    Err(Refusal {
        message: format!(
            "Operation cannot be fulfilled on {} \"{}\": Precondition failed: UID in precondition: {}, UID in object meta: {}",
            key.qualified(),
            key.name,
            text(meant),
            text(is)
        ),
        ..Refusal::conflict(key)
    })
}

/// Returns whether two objects differ in more than their metadata.
fn differs(one: &Value, other: &Value) -> bool {
    let fields = |object: &Value| -> Vec<(String, Value)> {
        let fields = object.as_object().into_iter().flatten();
        let fields = fields.filter(|(field, value)| *field != "metadata" && !value.is_null());
        fields.map(|(f, v)| (f.clone(), v.clone())).collect()
    };
    let (one, mut other) = (fields(one), fields(other));
    one.len() != other.len()
        || one.into_iter().any(|field| {
            let hit = other.iter().position(|known| *known == field);
            hit.map(|at| other.remove(at)).is_none()
        })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
