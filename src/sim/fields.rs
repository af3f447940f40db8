//! Who last changed which field: `metadata.managedFields`.
//!
//! Owns: the fields a write changed, and moving their ownership to the writer, as the API server
//! does it for updates. Must not: resolve conflicts between appliers; server-side apply is not
//! served.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// Metadata that the server itself keeps; nobody owns it.
const SERVER_OWNED: [&str; 8] = [
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "managedFields",
    "selfLink",
];

/// What the server allocates for a Service after it has noted who set what.
const ALLOCATED: [&str; 4] = ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"];

/// The part of a writer's identity that ends up in `managedFields`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// The field manager, such as `kubectl-client-side-apply`.
    pub manager: String,
    /// The API version the writer spoke.
    pub api_version: String,
    /// The subresource written through; empty for the object itself.
    pub subresource: String,
}

/// Steps from an object to a field, in the notation of `fieldsV1`.
type Path = Vec<String>;

/// Where two objects differ.
#[derive(Default)]
struct Differences {
    /// Fields that were not there, or had another value.
    gained: BTreeSet<Path>,
    /// Fields that are not there any more.
    lost: BTreeSet<Path>,
}

/// How the API server compares a field.
enum Shape {
    /// As one value.
    Atomic,
    /// A list whose items are told apart by these fields.
    Keyed(&'static [&'static str]),
    /// A list of plain values without order.
    Set,
    /// By its members.
    Members,
}

/// Moves every field that differs between `old` and `new` to `writer`, at `time`.
///
/// Without `old` the object is being created: it is compared with an empty one of its kind.
pub fn stamp(old: Option<&Value>, new: &mut Value, writer: &Writer, time: &str) {
    let empty = old
        .is_none()
        .then(|| blank(new["kind"].as_str().unwrap_or_default()));
    let before = old.or(empty.as_ref()).unwrap_or(&Value::Null);
    let mut differences = Differences::default();
    differences.between(&mut Vec::new(), (Some(before), Some(new)));
    let Differences { mut gained, lost } = differences;
    if new["kind"] == "Pod" {
        // It is always there, as null: it is not kept, but set.
        let conditions: Vec<Path> = gained
            .iter()
            .filter(|path| path.len() == 3 && path[1] == "f:conditions")
            .map(|path| [path.as_slice(), &["f:lastProbeTime".to_owned()]].concat())
            .collect();
        gained.extend(conditions);
    }

    // A writer who sets again what is his already keeps the fields he has, as they are noted.
    let mut kept: Option<Value> = None;
    let mut mine: BTreeSet<Path> = BTreeSet::new();
    let mut entries: Vec<Value> = Vec::new();
    let recorded = new["metadata"]["managedFields"].as_array();
    for entry in recorded.into_iter().flatten() {
        let fields = &entry["fieldsV1"];
        let by_writer = is_by(entry, writer);
        let loses = |paths: &BTreeSet<Path>| paths.iter().any(|path| owns(fields, path));
        if by_writer && !loses(&lost) && gained.iter().all(|path| owns(fields, path)) {
            kept = Some(fields.clone());
        } else if !by_writer && !loses(&lost) && !loses(&gained) {
            entries.push(entry.clone());
        } else {
            let mut owned: BTreeSet<Path> = BTreeSet::new();
            paths_of(fields, &mut Vec::new(), &mut owned);
            owned.retain(|path| !lost.contains(path) && !gained.contains(path));
            if by_writer {
                mine.extend(owned);
            } else if !owned.is_empty() {
                let mut kept = entry.clone();
                kept["fieldsV1"] = tree(&owned);
                entries.push(kept);
            }
        }
    }
    let scaling = writer.subresource == "scale";
    // A scale of zero says nothing, so nobody owns it.
    let nothing = scaling && new["spec"]["replicas"] == 0;
    let mine = kept.or_else(|| {
        mine.extend(gained);
        (!mine.is_empty()).then(|| tree(&mine))
    });
    if let Some(mine) = mine.filter(|_| !nothing) {
        let mut entry = json!({
            "manager": writer.manager,
            "operation": "Update",
            "apiVersion": writer.api_version,
            "time": time,
            "fieldsType": "FieldsV1",
            "fieldsV1": mine,
        });
        if !writer.subresource.is_empty() {
            entry["subresource"] = json!(writer.subresource);
        }
        if scaling && let Some(entry) = entry.as_object_mut() {
            // The real server notes no time for them.
            entry.shift_remove("time");
        }
        entries.push(entry);
    }
    // No owner is left of an object that was emptied.
    new["metadata"]["managedFields"] = Value::Array(entries);
    if new["metadata"]["managedFields"] == json!([])
        && let Some(meta) = new["metadata"].as_object_mut()
    {
        meta.shift_remove("managedFields");
    }
}

fn is_by(entry: &Value, writer: &Writer) -> bool {
    entry["manager"] == writer.manager.as_str()
        && entry["operation"] == "Update"
        && entry["apiVersion"] == writer.api_version.as_str()
        && entry["subresource"].as_str().unwrap_or_default() == writer.subresource
}

impl Differences {
    /// Adds the differences at and below a place; `None` where there is nothing.
    fn between(&mut self, at: &mut Path, both: (Option<&Value>, Option<&Value>)) {
        let (old, new) = (both.0, both.1.filter(|new| !new.is_null()));
        let both = (old, new);
        if old == new || unowned(at) {
            return;
        }
        match shape(at, old, new) {
            Shape::Atomic => {}
            Shape::Members => self.members(at, both),
            Shape::Keyed(keys) => self.items(at, both, |item| key_of(item, keys)),
            Shape::Set => self.items(at, both, |item| format!("v:{item}")),
        }
        if at.is_empty() {
            return;
        }
        let whole = matches!(shape(at, old, new), Shape::Atomic);
        match (old, new) {
            (_, None) => drop(self.lost.insert(at.clone())),
            (None, Some(_)) => drop(self.gained.insert(at.clone())),
            (Some(_), Some(_)) if whole => drop(self.gained.insert(at.clone())),
            (Some(_), Some(_)) => {}
        }
    }

    fn members(&mut self, at: &mut Path, (old, new): (Option<&Value>, Option<&Value>)) {
        let (old, new) = (
            old.and_then(Value::as_object),
            new.and_then(Value::as_object),
        );
        let added = new.into_iter().flatten();
        let added = added.filter(|(field, _)| old.is_none_or(|old| !old.contains_key(*field)));
        for (field, _) in old.into_iter().flatten().chain(added) {
            let (old, new) = (
                old.and_then(|o| o.get(field)),
                new.and_then(|n| n.get(field)),
            );
            if old != new {
                at.push(format!("f:{field}"));
                self.between(at, (old, new));
                at.pop();
            }
        }
    }

    fn items(
        &mut self,
        at: &mut Path,
        (old, new): (Option<&Value>, Option<&Value>),
        key: impl Fn(&Value) -> String,
    ) {
        let (old, new) = (keyed(old, &key), keyed(new, &key));
        for key in old
            .keys()
            .chain(new.keys().filter(|k| !old.contains_key(*k)))
        {
            at.push(key.clone());
            self.between(at, (old.get(key).copied(), new.get(key).copied()));
            at.pop();
        }
    }
}

fn keyed(list: Option<&Value>, key: impl Fn(&Value) -> String) -> BTreeMap<String, &Value> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.map(|item| (key(item), item)).collect()
}

/// Returns whether nobody owns what is at a place.
fn unowned(at: &[String]) -> bool {
    match at {
        [field] => matches!(field.as_str(), "f:apiVersion" | "f:kind"),
        [meta, field] if meta == "f:metadata" => SERVER_OWNED.contains(&&field[2..]),
        [spec, field] if spec == "f:spec" => ALLOCATED.contains(&&field[2..]),
        _ => false,
    }
}

/// Returns how the API server compares what is at a place.
fn shape(at: &[String], old: Option<&Value>, new: Option<&Value>) -> Shape {
    let field = at.last().map_or("", String::as_str);
    let parent = at.iter().rev().skip(1).find(|step| step.starts_with("f:"));
    let parent = parent.map_or("", String::as_str);
    let is = |kind: fn(&Value) -> bool| old.is_some_and(kind) || new.is_some_and(kind);
    if field.starts_with("k:") {
        return if parent == "f:ownerReferences" {
            Shape::Atomic
        } else {
            Shape::Members
        };
    }
    if is(Value::is_array) {
        return match field {
            "f:containers"
            | "f:initContainers"
            | "f:ephemeralContainers"
            | "f:env"
            | "f:volumes"
            | "f:imagePullSecrets" => Shape::Keyed(&["name"]),
            "f:ports" if parent.ends_with("ontainers") => {
                Shape::Keyed(&["containerPort", "protocol"])
            }
            "f:ports" if parent == "f:spec" => Shape::Keyed(&["port", "protocol"]),
            "f:volumeMounts" => Shape::Keyed(&["mountPath"]),
            "f:volumeDevices" => Shape::Keyed(&["devicePath"]),
            "f:ownerReferences" => Shape::Keyed(&["uid"]),
            "f:conditions" => Shape::Keyed(&["type"]),
            "f:podIPs" | "f:hostAliases" => Shape::Keyed(&["ip"]),
            "f:topologySpreadConstraints" => Shape::Keyed(&["topologyKey", "whenUnsatisfiable"]),
            "f:finalizers" if parent == "f:metadata" => Shape::Set,
            _ => Shape::Atomic,
        };
    }
    let empty = |side: Option<&Value>| side.is_none_or(|v| *v == json!({}) || v.is_null());
    let atomic = matches!(
        field,
        "f:selector"
            | "f:labelSelector"
            | "f:nodeSelector"
            | "f:configMapKeyRef"
            | "f:secretKeyRef"
            | "f:fieldRef"
            | "f:resourceFieldRef"
            | "f:involvedObject"
            | "f:regarding"
            | "f:related"
    );
    if !is(Value::is_object) || atomic || (empty(old) && empty(new)) {
        return Shape::Atomic;
    }
    Shape::Members
}

/// Returns the step to an item of a list, by the fields that tell items apart.
fn key_of(item: &Value, keys: &[&str]) -> String {
    let parts: Map<String, Value> = keys
        .iter()
        .map(|key| ((*key).to_owned(), item[*key].clone()))
        .filter(|(_, value)| !value.is_null())
        .collect();
    format!("k:{}", Value::Object(parts))
}

/// Returns an object of a kind before anything is set: its fields that are always there.
///
/// What is there already is not set by whoever creates the object, only what is below.
fn blank(kind: &str) -> Value {
    let template = json!({"metadata": {}, "spec": {"containers": null}});
    let mut object = match kind {
        "Deployment" => {
            json!({"spec": {"selector": null, "template": template, "strategy": {}}, "status": {}})
        }
        "ReplicaSet" => {
            json!({"spec": {"selector": null, "template": template}, "status": {"replicas": 0}})
        }
        "StatefulSet" | "DaemonSet" => {
            json!({"spec": {"selector": null, "template": template, "updateStrategy": {}}, "status": {}})
        }
        "Job" => json!({"spec": {"template": template}, "status": {}}),
        "Pod" => json!({"spec": {"containers": null}, "status": {}}),
        "Service" | "Ingress" => json!({"spec": {}, "status": {"loadBalancer": {}}}),
        "HorizontalPodAutoscaler" => json!({
            "spec": {"scaleTargetRef": {"kind": "", "name": ""}, "maxReplicas": 0},
            "status": {"desiredReplicas": 0, "currentMetrics": null},
        }),
        "Namespace"
        | "Node"
        | "ResourceQuota"
        | "PodDisruptionBudget"
        | "Lease"
        | "PersistentVolumeClaim"
        | "SelfSubjectAccessReview"
        | "SelfSubjectRulesReview" => {
            json!({"spec": {}, "status": {}})
        }
        "Role" => json!({"rules": null}),
        "RoleBinding" => json!({"roleRef": {}}),
        "EndpointSlice" => json!({"addressType": "", "endpoints": null, "ports": null}),
        "Event" => json!({
            "involvedObject": {}, "source": {}, "firstTimestamp": null, "lastTimestamp": null,
            "eventTime": null, "reportingComponent": "", "reportingInstance": "",
            "regarding": {}, "deprecatedSource": {}, "deprecatedFirstTimestamp": null,
            "deprecatedLastTimestamp": null,
        }),
        _ => json!({}),
    };
    object["metadata"] = json!({});
    object
}

/// Returns whether a path is among `fieldsV1`.
fn owns(fields: &Value, path: &[String]) -> bool {
    let at = path.iter().try_fold(fields, |at, step| at.get(step));
    at.and_then(Value::as_object)
        .is_some_and(|map| map.is_empty() || map.contains_key("."))
}

fn paths_of(fields: &Value, at: &mut Path, found: &mut BTreeSet<Path>) {
    let Some(map) = fields.as_object() else {
        return;
    };
    if !at.is_empty() && (map.is_empty() || map.contains_key(".")) {
        found.insert(at.clone());
    }
    for (step, deeper) in map.iter().filter(|(step, _)| *step != ".") {
        at.push(step.clone());
        paths_of(deeper, at, found);
        at.pop();
    }
}

/// Returns paths as `fieldsV1`: `.` marks a field that is owned itself, besides what is below it.
fn tree(paths: &BTreeSet<Path>) -> Value {
    let mut root = Value::Object(Map::new());
    // A path comes before those below it, so that the mark is set when the first of them comes.
    let mut owned: BTreeSet<&[String]> = BTreeSet::new();
    for path in paths {
        let mut at = &mut root;
        for depth in 0..path.len() {
            if depth > 0 && owned.contains(&path[..depth]) {
                at["."] = json!({});
            }
            at = &mut at[path[depth].as_str()];
            if at.is_null() {
                *at = Value::Object(Map::new());
            }
        }
        owned.insert(path);
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(manager: &str) -> Writer {
        Writer {
            manager: manager.to_owned(),
            api_version: "apps/v1".to_owned(),
            subresource: String::new(),
        }
    }

    fn managers_of(object: &Value, pointer: &str) -> Vec<String> {
        object["metadata"]["managedFields"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|e| e["fieldsV1"].pointer(pointer).is_some())
            .map(|e| e["manager"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn ownership_moves_to_who_changed_the_field() {
        let mut first =
            json!({"metadata": {"name": "x", "labels": {"a": "1"}}, "spec": {"replicas": 1}});
        stamp(None, &mut first, &writer("kubectl"), "t");
        let mut second = first.clone();
        second["spec"]["replicas"] = json!(3);
        stamp(Some(&first), &mut second, &writer("canaryctl"), "u");
        assert_eq!(managers_of(&second, "/f:spec/f:replicas"), ["canaryctl"]);
        assert_eq!(
            managers_of(&second, "/f:metadata/f:labels/f:a"),
            ["kubectl"]
        );
        assert!(managers_of(&second, "/f:metadata/f:name").is_empty());
    }

    #[test]
    fn a_removed_field_has_no_owner() {
        let mut first = json!({"data": {"a": "1", "b": "2"}});
        stamp(None, &mut first, &writer("one"), "t");
        let mut second = first.clone();
        second["data"].as_object_mut().unwrap().remove("a");
        stamp(Some(&first), &mut second, &writer("two"), "u");
        assert!(managers_of(&second, "/f:data/f:a").is_empty());
        assert_eq!(managers_of(&second, "/f:data/f:b"), ["one"]);
    }

    #[test]
    fn containers_are_told_apart_by_name() {
        let mut first = json!({"spec": {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:1"}]}});
        stamp(None, &mut first, &writer("one"), "t");
        let mut second = first.clone();
        second["spec"]["containers"][1]["image"] = json!("y:2");
        stamp(Some(&first), &mut second, &writer("two"), "u");
        let image = "/f:spec/f:containers/k:{\"name\":\"b\"}/f:image";
        assert_eq!(managers_of(&second, image), ["two"]);
        let other = "/f:spec/f:containers/k:{\"name\":\"a\"}/f:image";
        assert_eq!(managers_of(&second, other), ["one"]);
    }
}
