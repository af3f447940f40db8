//! `Table` answers: what `kubectl get` prints.
//!
//! Owns: the table around the rows. Must not: know kinds; `columns` does.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{columns, objects::metadata_of, request::Call, resources::Target};

/// Returns the table of some objects, as the client of `target` sees them.
pub(crate) fn render(
    target: &Target,
    objects: &[Value],
    call: &Call,
    now: Timestamp,
    meta: &Value,
) -> Value {
    let columns = columns::of(&target.resource);
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let cells: Vec<Value> = columns.iter().map(|c| c.cell(object, now)).collect();
            let mut row = json!({"cells": cells});
            match call.query("includeObject") {
                Some("None") => row["object"] = Value::Null,
                Some("Object") => row["object"] = object.clone(),
                _ => row["object"] = metadata_of(object),
            }
            row
        })
        .collect();
    let definitions: Vec<Value> = columns.iter().map(columns::Column::definition).collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": definitions,
        "rows": rows,
    })
}
