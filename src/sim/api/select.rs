//! Label and field selectors.
//!
//! Owns: parsing and matching both. Must not: fetch objects.

use serde_json::Value;

use super::{
    request::{Call, bad_request},
    resources::Resource,
};
use crate::sim::store::Refusal;

/// What a list or watch is narrowed to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<Field>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    pointer: String,
    value: String,
    equal: bool,
}

impl Selector {
    /// Returns the selector of a request, or the 400 of one that cannot be understood.
    pub(crate) fn of(call: &Call, resource: &Resource) -> Result<Self, Refusal> {
        let labels = match call.query("labelSelector") {
            None => Vec::new(),
            Some(text) => split(text)
                .into_iter()
                .map(requirement)
                .collect::<Result<_, _>>()?,
        };
        let mut fields = Vec::new();
        let terms = call.query("fieldSelector").unwrap_or_default().split(',');
        for term in terms.filter(|t| !t.is_empty()) {
            fields.push(field(term, resource)?);
        }
        Ok(Self { labels, fields })
    }

    /// Returns whether an object is selected.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        let label = |key: &str| labels.get(key).and_then(Value::as_str);
        self.labels.iter().all(|r| match r {
            Requirement::In(key, values) => {
                label(key).is_some_and(|v| values.iter().any(|w| w == v))
            }
            Requirement::NotIn(key, values) => {
                label(key).is_none_or(|v| values.iter().all(|w| w != v))
            }
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::Absent(key) => label(key).is_none(),
        }) && self.fields.iter().all(|f| {
            let value = match object.pointer(&f.pointer) {
                Some(Value::String(text)) => text.clone(),
                None | Some(Value::Null) => String::new(),
                Some(other) => other.to_string(),
            };
            (value == f.value) == f.equal
        })
    }
}

/// Splits at the commas outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut depth, mut start) = (0usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    let trimmed = terms.into_iter().map(str::trim);
    trimmed.filter(|term| !term.is_empty()).collect()
}

fn requirement(term: &str) -> Result<Requirement, Refusal> {
    let broken = |why: &str| bad_request(format!("unable to parse requirement: {why}"));
    let key = |text: &str| {
        let text = text.trim();
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if let Some((_, second)) = text.split_once(' ') {
            let word = second.split_whitespace().next().unwrap_or_default();
            return Err(broken(&format!(
                "found '{word}', expected: in, notin, =, ==, !=, gt, lt"
            )));
        }
        if text.is_empty() || !text.chars().all(legal) {
            Err(broken(&format!(
                "<nil>: Invalid value: \"{text}\": name part must consist of alphanumeric characters, '-', '_' or '.'"
            )))
        } else {
            Ok(text.to_owned())
        }
    };
    let set = |text: &str| -> Option<Vec<String>> {
        let inner = text.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(inner.split(',').map(|v| v.trim().to_owned()).collect())
    };
    let words = |operator: &str| -> Option<(&str, &str)> {
        let (left, right) = term.split_once(operator)?;
        right.trim_start().starts_with('(').then_some((left, right))
    };
    let missing = || broken("found '', expected: ',' or ')'");
    if let Some((left, right)) = words(" notin ").or_else(|| words(" notin(")) {
        let values = set(right).or_else(|| set(&format!("({right}")));
        return Ok(Requirement::NotIn(key(left)?, values.ok_or_else(missing)?));
    }
    if let Some((left, right)) = words(" in ").or_else(|| words(" in(")) {
        let values = set(right).or_else(|| set(&format!("({right}")));
        return Ok(Requirement::In(key(left)?, values.ok_or_else(missing)?));
    }
    let one = |value: &str| vec![value.trim().to_owned()];
    if let Some((left, right)) = term.split_once("!=") {
        return Ok(Requirement::NotIn(key(left)?, one(right)));
    }
    if let Some((left, right)) = term.split_once('=') {
        let value = right.strip_prefix('=').unwrap_or(right);
        return Ok(Requirement::In(key(left)?, one(value)));
    }
    match term.strip_prefix('!') {
        Some(name) => Ok(Requirement::Absent(key(name)?)),
        None => Ok(Requirement::Exists(key(term)?)),
    }
}

fn field(term: &str, resource: &Resource) -> Result<Field, Refusal> {
    let (name, value, equal) = if let Some((name, value)) = term.split_once("!=") {
        (name, value, false)
    } else if let Some((name, value)) = term.split_once('=') {
        (name, value.strip_prefix('=').unwrap_or(value), true)
    } else {
        return Err(bad_request(format!(
            "invalid selector: '{term}'; can't understand '{term}'"
        )));
    };
    let known = matches!(name, "metadata.name" | "metadata.namespace")
        || match resource.plural.as_str() {
            "pods" => matches!(
                name,
                "spec.nodeName"
                    | "spec.restartPolicy"
                    | "spec.schedulerName"
                    | "spec.serviceAccountName"
                    | "spec.hostNetwork"
                    | "status.phase"
                    | "status.podIP"
                    | "status.nominatedNodeName"
            ),
            "events" => {
                name.starts_with("involvedObject.")
                    || name.starts_with("regarding.")
                    || matches!(
                        name,
                        "reason" | "reportingComponent" | "reportingController" | "source" | "type"
                    )
            }
            "namespaces" => name == "status.phase",
            "secrets" => name == "type",
            "nodes" => name == "spec.unschedulable",
            "replicasets" | "replicationcontrollers" => name == "status.replicas",
            "jobs" => name == "status.successful",
            "services" => matches!(name, "spec.clusterIP" | "spec.type"),
            _ => false,
        };
    if !known {
        let own = matches!(
            resource.plural.as_str(),
            "pods"
                | "events"
                | "namespaces"
                | "secrets"
                | "nodes"
                | "replicasets"
                | "jobs"
                | "services"
                | "replicationcontrollers"
        );
        if own {
            return Err(bad_request(format!("field label not supported: {name}")));
        }
        return Err(bad_request(format!(
            "\"{name}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        )));
    }
    // Events are kept in the shape of the core group.
    let kept = match name {
        "source" => "source.component".to_owned(),
        "reportingController" => "reportingComponent".to_owned(),
        other => other.replacen("regarding.", "involvedObject.", 1),
    };
    Ok(Field {
        pointer: format!("/{}", kept.replace('.', "/")),
        value: value.to_owned(),
        equal,
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::{
        clock::Clock,
        sim::{api::resources, store::Store},
    };

    fn parse(query: &str, plural: &str) -> Result<Selector, Refusal> {
        let request = http::Request::get(format!("/?{query}")).body(()).unwrap();
        let call = Call::new(request.into_parts().0, Bytes::new());
        let store = Store::new(Clock::System);
        let resource = resources::find(&store, "", "v1", plural).unwrap();
        Selector::of(&call, &resource)
    }

    fn matches(query: &str, object: &Value) -> bool {
        parse(query, "pods").unwrap().matches(object)
    }

    #[test]
    fn every_form_of_label_requirement_is_understood() {
        let pod = json!({"metadata": {"labels": {"app": "shop", "tier": "web"}}});
        for (query, expected) in [
            ("app=shop", true),
            ("app==shop,tier=web", true),
            ("app!=shop", false),
            ("gone!=x", true),
            ("app%20in%20(shop,cart),tier", true),
            ("app%20notin%20(shop)", false),
            ("!gone", true),
            ("!app", false),
        ] {
            let query = format!("labelSelector={query}");
            assert_eq!(matches(&query, &pod), expected, "{query}");
        }
    }

    #[test]
    fn fields_are_compared_as_text() {
        let pod = json!({"metadata": {"name": "a"}, "status": {"phase": "Running"}});
        assert!(matches(
            "fieldSelector=metadata.name=a,status.phase!=Pending",
            &pod
        ));
        assert!(!matches("fieldSelector=spec.nodeName=n1", &pod));
    }

    #[test]
    fn an_unknown_field_or_a_broken_selector_is_refused() {
        assert_eq!(
            parse("fieldSelector=spec.x=1", "pods").unwrap_err().code,
            400
        );
        assert_eq!(
            parse("labelSelector=a%20in%20(b", "pods").unwrap_err().code,
            400
        );
        assert_eq!(parse("labelSelector=a%20b", "pods").unwrap_err().code, 400);
    }
}
