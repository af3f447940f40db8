//! The objects a scenario starts with.
//!
//! Owns: those of the payment API and of its Prometheus, and taking YAML texts apart into objects. Must
//! not: know what happens to them.

use serde_json::{Value, json};

use super::ScenarioError;
use crate::document;

/// The objects of the payment API, as YAML documents: those of the example, so that what it shows
/// is what runs.
pub(super) const PAYMENT_API: &str = concat!(
    include_str!("../../../examples/payment-api/base.yaml"),
    "---\n",
    include_str!("../../../examples/payment-api/deployments.yaml"),
    "---\n",
    include_str!("../../../examples/payment-api/services.yaml"),
);

/// The objects of a Prometheus, as YAML documents.
const PROMETHEUS: &str = include_str!("../scenarios/objects/prometheus.yaml");

/// Has the pods of all Deployments scraped by a Prometheus that is added.
pub(super) fn monitored(mut objects: Vec<Value>) -> Result<Vec<Value>, ScenarioError> {
    let deployments = objects.iter_mut().filter(|o| o["kind"] == "Deployment");
    for deployment in deployments {
        deployment["spec"]["template"]["metadata"]["annotations"] = json!({
            "prometheus.io/scrape": "true",
            "prometheus.io/port": "3000",
            "prometheus.io/path": "/prometheus-metrics",
        });
    }
    objects.extend(parse_objects(PROMETHEUS)?);
    Ok(objects)
}

/// Returns the objects in a text of YAML documents; a `List` is taken apart, empty documents are
/// left out.
pub fn parse_objects(text: &str) -> Result<Vec<Value>, ScenarioError> {
    let documents = document::documents(text).map_err(|e| ScenarioError::Objects(e.to_string()))?;
    let mut objects = Vec::new();
    for document in documents {
        if document.is_null() {
            continue;
        }
        if document["kind"]
            .as_str()
            .is_some_and(|k| k.ends_with("List"))
        {
            objects.extend(document["items"].as_array().into_iter().flatten().cloned());
        } else {
            objects.push(document);
        }
    }
    for object in &objects {
        for field in ["/apiVersion", "/kind", "/metadata/name"] {
            if object.pointer(field).and_then(Value::as_str).is_none() {
                let at = field.trim_start_matches('/').replace('/', ".");
                return Err(ScenarioError::Objects(format!("an object has no {at}")));
            }
        }
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_that_are_no_yaml_are_told_on_one_line() {
        let error = parse_objects("kind: Pod\n---\nkind: {a: 1\nb: c\n").unwrap_err();
        let text = error.to_string();
        let wanted = "cannot read the objects: line 4: not valid YAML: ";
        assert!(text.starts_with(wanted) && !text.contains('\n'), "{text}");
    }

    #[test]
    fn the_payment_api_has_the_sizes_of_its_script() {
        let objects = parse_objects(PAYMENT_API).unwrap();
        let replicas = |name: &str| {
            objects
                .iter()
                .find(|o| o["kind"] == "Deployment" && o["metadata"]["name"] == name)
                .map(|o| o["spec"]["replicas"].clone())
        };
        assert_eq!(replicas("payment-api-stable"), Some(Value::from(9)));
        assert_eq!(replicas("payment-api-canary"), Some(Value::from(1)));
    }
}
