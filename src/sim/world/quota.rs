//! The quota controller: how much of each quota is used.
//!
//! Owns: the status of `ResourceQuota`s. Must not: refuse anything; the API server does.

use serde_json::{Map, Value, json};

use super::{object, pass::Pass};
use crate::sim::api::quota;

/// Brings the status of every quota up to date.
pub(super) fn sync(pass: &Pass<'_>) {
    for object in pass.list("", "resourcequotas") {
        let hard = &object["spec"]["hard"];
        let mut used = Map::new();
        for (name, _) in hard.as_object().into_iter().flatten() {
            if let Some(count) = quota::used(pass.store, object::namespace(&object), name) {
                used.insert(name.clone(), json!(count.to_string()));
            }
        }
        let key = object::key("", "resourcequotas", &object);
        let status = json!({"hard": hard, "used": Value::Object(used)});
        pass.set_status(&key, &object, status);
    }
}
