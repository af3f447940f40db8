//! Quotas: how many objects a namespace may have.
//!
//! Owns: counting, and the 403 of an object too many. Must not: count CPU or memory.

use serde_json::Value;

use super::resources;
use crate::sim::store::{Key, Refusal, Store};

/// Returns how many objects of a quota's field (`pods`, `count/deployments.apps`) a namespace has;
/// `None` for fields that are not counts of objects.
pub fn used(store: &Store, namespace: &str, field: &str) -> Option<u64> {
    let counted = field.strip_prefix("count/").unwrap_or(field);
    let (plural, group) = counted.split_once('.').unwrap_or((counted, ""));
    let known = resources::catalog(store);
    known
        .iter()
        .find(|r| r.plural == plural && r.group == group && r.namespaced)?;
    let (objects, _) = store.list(group, plural, namespace);
    let ended = |object: &Value| {
        plural == "pods"
            && matches!(
                object["status"]["phase"].as_str(),
                Some("Succeeded" | "Failed")
            )
    };
    u64::try_from(objects.iter().filter(|o| !ended(o)).count()).ok()
}

/// Refuses one more object of a kind when a quota of its namespace has no room for it.
pub fn check(store: &Store, key: &Key) -> Result<(), Refusal> {
    if key.namespace.is_empty() {
        return Ok(());
    }
    let (quotas, _) = store.list("", "resourcequotas", &key.namespace);
    for quota in &quotas {
        let fields = [key.resource.clone(), format!("count/{}", key.qualified())];
        for field in fields
            .iter()
            .filter(|f| key.group.is_empty() || f.starts_with("count/"))
        {
            let limit = &quota["spec"]["hard"][field.as_str()];
            let limit = limit.as_u64().or_else(|| limit.as_str()?.parse().ok());
            let (Some(limit), Some(used)) = (limit, used(store, &key.namespace, field)) else {
                continue;
            };
            if used >= limit {
                let name = quota["metadata"]["name"].as_str().unwrap_or_default();
                return Err(Refusal::forbidden(
                    key,
                    &format!(
                        "exceeded quota: {name}, requested: {field}=1, used: {field}={used}, limited: {field}={limit}"
                    ),
                ));
            }
        }
    }
    Ok(())
}
