//! The route that a run makes for itself: what it creates and changes so that weights can divide the
//! traffic, and takes away at the end.
//!
//! Owns: the pieces, and how each of them stands in the cluster. Must not: know kinds of objects, read or
//! write them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Annotation on every object that a run created: the run. One without it, or with another, is not ours.
pub const RUN: &str = "canaryctl.dev/run";

/// A route of a run's own. It is in the record before anything of it is in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnRoute {
    /// The run that made it, which its objects are marked with.
    pub mark: String,
    /// Its pieces in the order in which they are made; the last is the object with the weights. They are
    /// taken away in the reverse order.
    pub pieces: Vec<Piece>,
    /// Whether the app's Service selects the canary's pods once the route is gone: then the canary has none
    /// before that.
    #[serde(default)]
    pub rejoins: bool,
    /// Whether the canary Deployment is made beside it, and goes with it: its labels are of use to no other route.
    #[serde(default)]
    pub with_canary: bool,
    /// Whether it was taken away.
    #[serde(default)]
    pub gone: bool,
}

/// One piece of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Piece {
    /// The object.
    pub at: Spot,
    /// What is made of it.
    pub make: Make,
    /// The same in words, such as `create Service shop/web-canary`.
    pub words: String,
}

/// An object of any kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spot {
    /// API group; empty for core.
    pub group: String,
    /// Version that is served.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Plural of the resource.
    pub plural: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// What is made of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Make {
    /// It is created, and deleted at the end.
    Create(Value),
    /// Fields of it are changed, and get back what they were at the end.
    Change(Vec<Field>),
}

/// One field that is changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// JSON pointer.
    pub pointer: String,
    /// What it was; `None` where there was none.
    pub before: Option<Value>,
    /// What it is during the run; weights within it move.
    pub during: Value,
}

/// How a piece stands in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is not made, or taken away again.
    Missing,
    /// It is as this run made it.
    Made,
    /// The object whose fields are to change is not there.
    Gone,
    /// Somebody else made or changed it: what is said of it.
    Foreign(String),
}

impl Spot {
    /// Returns the object as messages name it: `Ingress shop/web-canary`.
    pub fn named(&self) -> String {
        format!("{} {}/{}", self.kind, self.namespace, self.name)
    }
}

impl Piece {
    /// Returns how it stands where the object is as it was read; `None` where there is none.
    pub fn standing(&self, object: Option<&Value>, mark: &str) -> Standing {
        let being_deleted = |object: &&Value| !object["metadata"]["deletionTimestamp"].is_null();
        match (&self.make, object) {
            (Make::Create(_), None) => Standing::Missing,
            (Make::Create(_), Some(object)) if being_deleted(&object) => Standing::Missing,
            (Make::Create(_), Some(object)) if object["metadata"]["annotations"][RUN] == mark => {
                Standing::Made
            }
            (Make::Create(_), Some(_)) => Standing::Foreign(format!(
                "{} is there and was not created by this run",
                self.at.named()
            )),
            (Make::Change(_), None) => Standing::Gone,
            (Make::Change(fields), Some(object)) => self.compare(fields, object),
        }
    }

    fn compare(&self, fields: &[Field], object: &Value) -> Standing {
        let is = |field: &Field, wanted: Option<&Value>| {
            let now = object.pointer(&field.pointer);
            now.map(unweighted) == wanted.map(unweighted)
        };
        if fields.iter().all(|field| is(field, Some(&field.during))) {
            return Standing::Made;
        }
        if fields.iter().all(|field| is(field, field.before.as_ref())) {
            return Standing::Missing;
        }
        let other = fields.iter().find(|field| !is(field, Some(&field.during)));
        Standing::Foreign(format!(
            "{} was changed by another client at {}",
            self.at.named(),
            other.map_or("", |field| &field.pointer)
        ))
    }
}

impl OwnRoute {
    /// Returns how every piece stands; `find` returns an object as it was read.
    pub fn standings<'o>(&self, find: impl Fn(&Spot) -> Option<&'o Value>) -> Vec<Standing> {
        let pieces = self.pieces.iter();
        pieces
            .map(|piece| piece.standing(find(&piece.at), &self.mark))
            .collect()
    }
}

/// Returns a value without the weights in it: they move during a run.
fn unweighted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(unweighted).collect(),
        Value::Object(members) => {
            let members = members.iter().filter(|(key, _)| *key != "weight");
            let members = members.map(|(key, value)| (key.clone(), unweighted(value)));
            Value::Object(members.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn piece(make: Make) -> Piece {
        Piece {
            at: Spot {
                group: String::new(),
                version: "v1".to_owned(),
                kind: "Service".to_owned(),
                plural: "services".to_owned(),
                namespace: "shop".to_owned(),
                name: "web".to_owned(),
            },
            make,
            words: String::new(),
        }
    }

    #[test]
    fn a_created_object_is_ours_by_the_mark_of_the_run_alone() {
        let piece = piece(Make::Create(json!({})));
        let marked = |mark: &str| json!({"metadata": {"annotations": {RUN: mark}}});
        assert_eq!(piece.standing(None, "r1"), Standing::Missing);
        assert_eq!(piece.standing(Some(&marked("r1")), "r1"), Standing::Made);
        for other in [marked("r0"), json!({"metadata": {}})] {
            let standing = piece.standing(Some(&other), "r1");
            assert!(matches!(standing, Standing::Foreign(_)), "{standing:?}");
        }
        let mut ending = marked("r1");
        ending["metadata"]["deletionTimestamp"] = json!("2026-01-05T09:00:00Z");
        assert_eq!(piece.standing(Some(&ending), "r1"), Standing::Missing);
    }

    #[test]
    fn a_changed_field_is_ours_while_it_says_what_the_run_wrote() {
        let refs = |names: &[&str], weight: u32| -> Value {
            let refs = names
                .iter()
                .map(|name| json!({"name": name, "weight": weight}));
            refs.collect()
        };
        let piece = piece(Make::Change(vec![
            Field {
                pointer: "/spec/selector/track".to_owned(),
                before: None,
                during: json!("stable"),
            },
            Field {
                pointer: "/spec/refs".to_owned(),
                before: Some(refs(&["web"], 1)),
                during: refs(&["web", "web-canary"], 0),
            },
        ]));
        let object = |track: Value, refs: Value| json!({"spec": {"selector": {"track": track}, "refs": refs}});
        let during = object(json!("stable"), refs(&["web", "web-canary"], 40));
        assert_eq!(piece.standing(Some(&during), ""), Standing::Made);
        let mut before = object(Value::Null, refs(&["web"], 7));
        before["spec"]["selector"] = json!({});
        assert_eq!(piece.standing(Some(&before), ""), Standing::Missing);
        for other in [
            object(json!("blue"), refs(&["web", "web-canary"], 0)),
            object(json!("stable"), refs(&["web", "other"], 0)),
            object(json!("stable"), refs(&["web"], 1)),
        ] {
            let standing = piece.standing(Some(&other), "");
            assert!(matches!(standing, Standing::Foreign(_)), "{standing:?}");
        }
        assert_eq!(piece.standing(None, ""), Standing::Gone);
    }
}
