//! The verbs on objects: get, create, replace, patch.
//!
//! Owns: what each verb checks, and in which order. Must not: know how the request arrived.

use http::Response;
use serde_json::{Value, json};

use super::{
    Server, convert, defaults,
    options::{self, FieldValidation},
    patch::Change,
    quota,
    reply::{self, Out},
    request::{Call, Shape, bad_request},
    resources::Target,
    schema, table,
    validate::{self, Cause},
};
use crate::sim::{
    fields::{self, Writer},
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
    pub(crate) fn of(
        call: &Call,
        target: &Target,
        warnings: &mut Vec<String>,
    ) -> Result<Self, Refusal> {
        if call.method == http::Method::PUT {
            let (sent, found) = decode(target, call)?;
            *warnings = found;
            Ok(Self::Replace(sent))
        } else {
            Change::of(call, &target.resource).map(Self::Patch)
        }
    }

    /// Returns whether it changes what is there, instead of putting something in its place.
    pub(crate) fn is_patch(&self) -> bool {
        matches!(self, Self::Patch(_))
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
    Ok(match call.shape() {
        Shape::Object => {
            let text = server.written().alone(target, &object);
            reply::bytes(200, reply::JSON, text)
        }
        Shape::Metadata | Shape::Table => show(server, target, call, 200, &object),
    })
}

/// Answers a POST to a collection.
pub(crate) fn create(
    server: &Server,
    target: &Target,
    call: &Call,
) -> Result<Response<Out>, Refusal> {
    options::check(call)?;
    let (mut sent, warnings) = decode(target, call)?;
    agree(target, &mut sent)?;
    let mut key = target.key();
    text(&sent["metadata"]["name"]).clone_into(&mut key.name);
    server.check_namespace(target, &key.name)?;
    if target.resource.namespaced {
        sent["metadata"]["namespace"] = json!(target.namespace);
    }
    if target.resource.status
        && let Some(map) = sent.as_object_mut()
    {
        map.remove("status");
    }
    validate::event(target, &sent)?;
    sent["kind"] = json!(target.resource.kind);
    let writer = writer(target, call);
    // Whoever speaks another version owns the fields of that version.
    let foreign = target.resource.group == "events.k8s.io";
    if foreign {
        defaults::fill(&target.resource, &mut sent, true);
        fields::stamp(None, &mut sent, &writer, &server.store().stamp());
    }
    let mut object = convert::inward(target, sent, None);
    defaults::fill(&target.resource, &mut object, true);
    validate::object(&target.resource, &object, None)?;
    if !text(&object["metadata"]["resourceVersion"]).is_empty() {
        return Err(Refusal::new(
            500,
            "",
            "resourceVersion should not be set on objects to be created",
        ));
    }
    if !foreign {
        fields::stamp(None, &mut object, &writer, &server.store().stamp());
    }
    if target.resource.builtin {
        defaults::admit(&target.resource.plural, &mut object);
    }
    server.admit(target, &mut object, None)?;
    quota::check(server.store(), &key)?;
    let stored = server.store().create(key, object, call.dry_run())?;
    Ok(reply::warned(
        show(server, target, call, 201, &stored),
        &warnings,
    ))
}

/// Reads the object in a body, with warnings about fields that are unknown or given twice.
fn decode(target: &Target, call: &Call) -> Result<(Value, Vec<String>), Refusal> {
    let mut sent = call.object(target)?;
    let kind = &target.resource.kind;
    let broken = |why: &str| {
        bad_request(format!(
            "{kind} in version \"{}\" cannot be handled as a {kind}: {why}",
            target.version
        ))
    };
    same_kind(target, &sent)?;
    let mut found: Vec<String> = call
        .duplicates()
        .iter()
        .map(|p| format!("duplicate field \"{p}\""))
        .collect();
    let unknown = schema::check(target, &sent).map_err(|why| broken(&why))?;
    found.extend(unknown.iter().map(|p| format!("unknown field \"{p}\"")));
    let strictness = options::field_validation(call);
    if strictness == FieldValidation::Strict && !found.is_empty() {
        return Err(broken(&format!(
            "strict decoding error: {}",
            found.join(", ")
        )));
    }
    if strictness == FieldValidation::Ignore {
        found.clear();
    }
    schema::drop_unknown(&mut sent, &unknown);
    Ok((sent, found))
}

/// Answers a PUT or PATCH of an object or of its status.
pub(crate) fn update(
    server: &Server,
    target: &Target,
    call: &Call,
) -> Result<Response<Out>, Refusal> {
    options::check(call)?;
    let mut warnings = Vec::new();
    let edit = Edit::of(call, target, &mut warnings)?;
    let key = target.key();
    let door = match target.sub.first() {
        Some(_) => Door::Status,
        None => Door::Main,
    };
    let writer = writer(target, call);
    let dry_run = call.dry_run();
    let stored = server
        .store()
        .update_as(Some(&writer), &key, door, dry_run, |object| {
            let mut new = edit.apply(convert::outward(target, object))?;
            match &edit {
                Edit::Replace(_) => {
                    validate::replacement(&target.resource, &key, &new)?;
                    if target.resource.plural == "services" && target.resource.builtin {
                        keep_addresses(&mut new, object);
                    }
                }
                Edit::Patch(change) => warnings = patched(target, call, change, &mut new)?,
            }
            agree(target, &mut new)?;
            let version = text(&new["metadata"]["resourceVersion"]);
            if target.resource.builtin && !version.is_empty() && version.parse::<u64>().is_err() {
                let why = format!("strconv.ParseUint: parsing \"{version}\": invalid syntax");
                return Err(Refusal::new(500, "", why));
            }
            let forget = forgets_owners(&new);
            let changed = edit.is_patch();
            same_object(target, &key, (object, &new), changed)?;
            if let Edit::Patch(_) = edit {
                fresh(&key, object, &new)?;
            }
            if door == Door::Status && !target.resource.builtin {
                let version = new["metadata"]["resourceVersion"].clone();
                new["metadata"] = object["metadata"].clone();
                new["metadata"]["resourceVersion"] = version;
            }
            let mut new = convert::inward(target, new, Some(object));
            if door == Door::Main {
                if target.resource.status {
                    new["status"] = object["status"].clone();
                }
                // What a controller made without defaults stays so until it is changed.
                if differs(&new, object) {
                    defaults::fill(&target.resource, &mut new, false);
                }
                server.admit(target, &mut new, Some(object))?;
                validate::object(&target.resource, &new, Some(object))?;
            }
            if forget {
                new["metadata"]["managedFields"] = json!([]);
            }
            *object = new;
            Ok(())
        })?;
    Ok(reply::warned(
        show(server, target, call, 200, &stored),
        &warnings,
    ))
}

/// Returns whether a write takes away who owns what: a list with nothing in it.
fn forgets_owners(new: &Value) -> bool {
    let entries = &new["metadata"]["managedFields"];
    *entries == json!([]) || *entries == json!([{}])
}

/// Checks the fields of a patched object; returns warnings about unknown ones.
fn patched(
    target: &Target,
    call: &Call,
    change: &Change,
    new: &mut Value,
) -> Result<Vec<String>, Refusal> {
    let refuse = |shown: &str, why: &str| {
        let cause = Cause::invalid("patch", &json!(shown), why);
        validate::invalid("", ("", ""), "", &[cause])
    };
    let unknown = schema::check(target, new).map_err(|why| refuse(&new.to_string(), &why))?;
    let mut unknown = unknown;
    unknown.sort();
    let found: Vec<String> = unknown
        .iter()
        .map(|p| format!("unknown field \"{p}\""))
        .collect();
    match options::field_validation(call) {
        FieldValidation::Strict if !found.is_empty() => {
            let shown = match change {
                Change::Strategic(patch) => validate::go_map(patch),
                Change::Merge(_) | Change::Json(_) => new.to_string(),
            };
            Err(refuse(
                &shown,
                &format!("strict decoding error: {}", found.join(", ")),
            ))
        }
        FieldValidation::Ignore => {
            schema::drop_unknown(new, &unknown);
            Ok(Vec::new())
        }
        FieldValidation::Warn | FieldValidation::Strict => {
            schema::drop_unknown(new, &unknown);
            Ok(found)
        }
    }
}

/// Refuses a patch that names an old version, before anything else is said of it.
fn fresh(key: &Key, old: &Value, new: &Value) -> Result<(), Refusal> {
    let (asked, is) = (
        &new["metadata"]["resourceVersion"],
        &old["metadata"]["resourceVersion"],
    );
    if asked.is_null() || asked == "" || asked == is {
        Ok(())
    } else {
        Err(Refusal::conflict(key))
    }
}

/// Keeps the addresses of a Service that a replacement does not name.
fn keep_addresses(new: &mut Value, old: &Value) {
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if new["spec"][field].is_null() || new["spec"][field] == "" {
            new["spec"][field] = old["spec"][field].clone();
        }
    }
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
pub(crate) fn show(
    server: &Server,
    target: &Target,
    call: &Call,
    code: u16,
    kept: &Value,
) -> Response<Out> {
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
pub(crate) fn listed(target: &Target, mut item: Value) -> Value {
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
    same_kind(target, sent)?;
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

/// Refuses a body that is of another kind or version than its path.
fn same_kind(target: &Target, sent: &Value) -> Result<(), Refusal> {
    let wanted = &target.resource.kind;
    let api_version = match text(&sent["apiVersion"]) {
        "" => target.api_version(),
        version => version.to_owned(),
    };
    let kind = match text(&sent["kind"]) {
        "" => wanted.as_str(),
        kind => kind,
    };
    if api_version == target.api_version() && kind == wanted {
        return Ok(());
    }
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
    let why = if target.resource.knows(group, version, kind) {
        let own = match target.resource.group.split('.').next() {
            Some("") | None => "core",
            Some(word) => word,
        };
        format!("converting ({version}.{kind}) to ({own}.{wanted}): unknown conversion")
    } else {
        format!(
            "no kind \"{kind}\" is registered for version \"{api_version}\" in scheme \"pkg/runtime/scheme.go:111\""
        )
    };
    Err(bad_request(format!(
        "{kind} in version \"{version}\" cannot be handled as a {wanted}: {why}"
    )))
}

/// Refuses an update that was meant for an object of the same name that is gone.
fn same_object(
    target: &Target,
    key: &Key,
    (old, new): (&Value, &Value),
    patched: bool,
) -> Result<(), Refusal> {
    let (is, meant) = (&old["metadata"]["uid"], &new["metadata"]["uid"]);
    if meant.is_null() || meant == is || meant == "" {
        return Ok(());
    }
    if patched {
        let cause = || Cause::invalid("metadata.uid", meant, "field is immutable");
        let kind = (
            target.resource.group.as_str(),
            target.resource.kind.as_str(),
        );
        let qualified = target.resource.qualified_kind();
        return Err(validate::invalid(
            &qualified,
            kind,
            &key.name,
            &[cause(), cause()],
        ));
    }
    Err(Refusal {
        message: format!(
            "Operation cannot be fulfilled on {} \"{}\": StorageError: invalid object, Code: 4, Key: /registry/{}/{}/{}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {}, UID in object meta: {}",
            key.qualified(),
            key.name,
            key.resource,
            key.namespace,
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

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
