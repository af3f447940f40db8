//! Lists: whole ones, and parts of one as of a moment.
//!
//! Owns: limits, continue tokens, versions of lists. Must not: select; `select` does.

use std::{collections::BTreeMap, sync::Arc};

use base64::{
    Engine as _,
    alphabet::URL_SAFE,
    engine::{
        DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::URL_SAFE_NO_PAD,
    },
};
use http::Response;
use serde_json::{Value, json};

use super::{
    Server, convert,
    objects::metadata_of,
    options,
    reply::{self, Out},
    request::{Call, Shape, bad_request},
    resources::Target,
    select::Selector,
    table,
    validate::Cause,
};
use crate::sim::store::{Key, Refusal, Store};

/// Where the next part of a list begins.
#[derive(Debug)]
struct Token {
    version: u64,
    after: (String, String),
}

/// Answers a GET of a collection.
pub(crate) fn answer(
    server: &Server,
    target: &Target,
    call: &Call,
) -> Result<Response<Out>, Refusal> {
    let limit = match call.query("limit").filter(|l| !l.is_empty()) {
        None => 0,
        Some(text) => text.parse::<usize>().map_err(|_| {
            bad_request(format!(
                "strconv.ParseInt: parsing \"{text}\": invalid syntax"
            ))
        })?,
    };
    let wanted = version(call)?;
    let token = token(call)?;
    let selector = Selector::of(call, &target.resource)?;
    let exact = call.query("resourceVersionMatch") == Some("Exact");
    let at = match &token {
        Some(token) => Some(token.version),
        None => wanted.filter(|_| exact),
    };
    let now = server.store().version();
    if let Some(version) = at.or(wanted).filter(|version| *version > now) {
        return Err(Refusal {
            details: json!({"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}], "retryAfterSeconds": 1}),
            ..Refusal::new(
                504,
                "Timeout",
                format!("Timeout: Too large resource version: {version}, current: {now}"),
            )
        });
    }
    let (objects, version) = objects_at(server.store(), &target.key(), at)?;
    let mut chosen: Vec<&Arc<Value>> = objects.iter().filter(|o| selector.matches(o)).collect();
    if let Some(token) = &token {
        chosen.retain(|object| place_of(object) > token.after);
    }
    let mut meta = json!({"resourceVersion": version.to_string()});
    if limit > 0 && chosen.len() > limit {
        let left = chosen.len() - limit;
        chosen.truncate(limit);
        let last = chosen.last().map(|o| place_of(o)).unwrap_or_default();
        let text = json!({"v": "meta.k8s.io/v1", "rv": version, "start": format!("{}/{}\u{0}", last.0, last.1)});
        meta["continue"] = json!(URL_SAFE_NO_PAD.encode(text.to_string()));
        // With a selector nobody counts what is left.
        if selector == Selector::default() {
            meta["remainingItemCount"] = json!(left);
        }
    }
    let items = || chosen.iter().map(|o| convert::outward(target, o));
    Ok(match call.shape() {
        Shape::Table => {
            let items: Vec<Value> = items().collect();
            let now = server.store().clock().now();
            reply::json(200, &table::render(target, &items, call, now, &meta))
        }
        Shape::Metadata => {
            let items: Vec<Value> = items().map(|item| metadata_of(&item)).collect();
            let list = json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "items": items});
            reply::json(200, &list)
        }
        Shape::Object => {
            let head = json!({"kind": target.resource.list_kind, "apiVersion": target.api_version(), "metadata": meta});
            let items = server.written().in_list(target, &chosen);
            reply::json_list(&head, &items)
        }
    })
}

/// Reads the version a list is wanted of; `None` for the newest, or any.
fn version(call: &Call) -> Result<Option<u64>, Refusal> {
    let text = call.query("resourceVersion").unwrap_or_default();
    let matching = call.query("resourceVersionMatch").unwrap_or_default();
    if text.is_empty() {
        if !matching.is_empty() && !call.flag("sendInitialEvents") {
            return Err(options::refuse_list(Cause::forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            )));
        }
        return Ok(None);
    }
    let version = text.parse::<u64>().map_err(|_| {
        bad_request(format!("invalid resource version: resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax"))
    })?;
    Ok(Some(version).filter(|version| *version > 0))
}

fn token(call: &Call) -> Result<Option<Token>, Refusal> {
    let Some(text) = call.query("continue").filter(|t| !t.is_empty()) else {
        return Ok(None);
    };
    if call
        .query("resourceVersion")
        .is_some_and(|v| !v.is_empty() && v != "0")
    {
        return Err(bad_request(
            "specifying resource version is not allowed when using continue",
        ));
    }
    let broken = |why: &str| {
        bad_request(format!(
            "invalid continue token: continue key is not valid: {why}"
        ))
    };
    let bytes = plain(text).ok_or_else(|| broken("illegal base64 data"))?;
    let scanned = super::gojson::scan(&bytes);
    scanned.map_err(|why| broken(&why))?;
    let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let start = value["start"]
        .as_str()
        .and_then(|s| s.strip_suffix('\u{0}'));
    let after = start.and_then(|s| s.split_once('/'));
    match (value["rv"].as_u64(), after) {
        (Some(version), Some((namespace, name))) => Ok(Some(Token {
            version,
            after: (namespace.to_owned(), name.to_owned()),
        })),
        _ => Err(broken("incorrect encoded start resourceVersion")),
    }
}

fn plain(text: &str) -> Option<Vec<u8>> {
    let lenient = GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(&URL_SAFE, lenient).decode(text).ok()
}

fn place_of(object: &Value) -> (String, String) {
    let text = |field: &str| {
        object["metadata"][field]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    (text("namespace"), text("name"))
}

/// Returns the objects of a place as they were at a version, with that version; all newer changes
/// are taken back.
fn objects_at(
    store: &Store,
    place: &Key,
    version: Option<u64>,
) -> Result<(Vec<Arc<Value>>, u64), Refusal> {
    let (objects, now) = store.list(&place.group, &place.resource, &place.namespace);
    let Some(version) = version else {
        return Ok((objects, now));
    };
    let changes = store.changes_after(version).map_err(|_| {
        Refusal::new(
            410,
            "Expired",
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
        )
    })?;
    let mut then: BTreeMap<(String, String), Arc<Value>> =
        objects.into_iter().map(|o| (place_of(&o), o)).collect();
    for change in changes.into_iter().rev() {
        let here = change.key.group == place.group
            && change.key.resource == place.resource
            && (place.namespace.is_empty() || change.key.namespace == place.namespace);
        if here {
            let at = (change.key.namespace, change.key.name);
            match change.before {
                Some(before) => drop(then.insert(at, before)),
                None => drop(then.remove(&at)),
            }
        }
    }
    Ok((then.into_values().collect(), version))
}
