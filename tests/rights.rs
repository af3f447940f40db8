//! The Roles of `examples/rbac.yaml` are enough, and not more than is used; `check` asks for the same.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use canaryctl::{
    cluster::Cluster,
    domain::{
        release::{Outcome, RouterSpec},
        right::Verb,
    },
    engine::start::{Begun, Intent},
    preflight::rights::of_verb,
    sim::{
        fault::{Attempt, Fault, Plan},
        scenario::parse_objects,
    },
};
use serde_json::Value;

use crate::support::{Bench, NAMESPACE, Sitting, auto, checked, plan};

/// Verb, API group, resource.
type Right = (String, String, String);

#[tokio::test(start_paused = true)]
async fn looking_needs_only_the_role_to_look() {
    let bench = Bench::new("healthy");
    let (cluster, used) = watched(&bench);
    let sitting = bench.sitting(Intent::Look, checked(&[10, 100], 60));
    let begun = bench.begin(&Sitting { cluster, ..sitting }).await.unwrap();
    let Begun::Run(mut engine) = begun else {
        panic!("nothing to look at");
    };
    engine
        .view((Vec::new(), None), true, &|verb| verb.to_owned())
        .await
        .unwrap();
    assert_within(&used, &["canaryctl-view"]);
}

#[tokio::test(start_paused = true)]
async fn a_release_needs_only_the_roles_to_look_and_to_release() {
    let bench = Bench::new("hpa-fights");
    let (cluster, used) = watched(&bench);
    let sitting = bench.sitting(auto(), checked(&[10, 100], 60));
    let end = bench.run(Sitting { cluster, ..sitting }).await.unwrap();
    assert_eq!(end.outcome, Outcome::Promoted, "{}", end.text);
    assert_within(&used, &["canaryctl-view", "canaryctl-release"]);
}

/// Each right to write is used by a release; what only some releases need is named here.
#[tokio::test(start_paused = true)]
async fn the_role_to_release_has_no_right_that_is_not_used() {
    let bench = Bench::new("hpa-fights");
    let (cluster, used) = watched(&bench);
    let sitting = bench.sitting(auto(), plan(&[10, 100], 60));
    bench.run(Sitting { cluster, ..sitting }).await.unwrap();
    let used = used.lock().unwrap();
    let unused: Vec<_> = role("canaryctl-release")
        .into_iter()
        .filter(|r| !used.contains(r))
        .collect();
    let sometimes = [
        right("create", "apps", "deployments"),
        right("delete", "apps", "deployments"),
        right("get", "apps", "replicasets"),
    ];
    assert_eq!(unused, sometimes);
}

#[test]
fn the_roles_are_what_check_asks_for() {
    let asked = |verbs: &[Verb]| -> BTreeSet<Right> {
        let by_pods = RouterSpec {
            name: "replicas".to_owned(),
            options: Value::Null,
        };
        let rights = verbs.iter().flat_map(|verb| of_verb(*verb, &by_pods));
        rights
            .map(|r| match r.subresource {
                "" => right(r.verb, &r.group, &r.resource),
                sub => right(r.verb, &r.group, &format!("{}/{sub}", r.resource)),
            })
            .collect()
    };
    let look = asked(&[Verb::Status, Verb::Monitor, Verb::Check, Verb::History]);
    let write = asked(&[Verb::Set, Verb::Rollback, Verb::Promote, Verb::Auto]);
    assert_eq!(role("canaryctl-view"), look);
    let more: BTreeSet<Right> = write.difference(&look).cloned().collect();
    assert_eq!(role("canaryctl-release"), more);
}

// === What is used, what is allowed ===

/// Returns a connection that notes which rights its requests need.
fn watched(bench: &Bench) -> (Cluster, Arc<Mutex<BTreeSet<Right>>>) {
    let used: Arc<Mutex<BTreeSet<Right>>> = Arc::default();
    let notes = used.clone();
    let plan = Plan::new(bench.clock.clone(), move |attempt| {
        notes.lock().unwrap().extend(needed(attempt));
        Fault::None
    });
    (bench.faulty(&plan), used)
}

/// Returns the rights a request needs; a port-forward needs two, one for each way to ask for it.
fn needed(attempt: &Attempt<'_>) -> Vec<Right> {
    let parts: Vec<&str> = attempt.path.trim_matches('/').split('/').collect();
    let (group, rest) = match parts.as_slice() {
        ["api", _version, rest @ ..] => ("", rest),
        ["apis", group, _version, rest @ ..] => (*group, rest),
        _ => return Vec::new(),
    };
    let rest = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => {
            assert_eq!(*namespace, NAMESPACE, "{}", attempt.path);
            rest
        }
        rest => panic!("{rest:?} is outside the namespace"),
    };
    let (resource, named) = match rest {
        [resource] => ((*resource).to_owned(), false),
        [resource, _name] => ((*resource).to_owned(), true),
        [resource, _name, sub] => (format!("{resource}/{sub}"), true),
        _ => panic!("{}", attempt.path),
    };
    if resource == "pods/portforward" {
        return vec![
            right("get", group, &resource),
            right("create", group, &resource),
        ];
    }
    let verb = match (attempt.method.as_str(), named) {
        ("GET", _) if attempt.watch => "watch",
        ("GET", true) => "get",
        ("GET", false) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", _) => "delete",
        (other, _) => panic!("{other}"),
    };
    vec![right(verb, group, &resource)]
}

fn assert_within(used: &Mutex<BTreeSet<Right>>, roles: &[&str]) {
    let allowed: BTreeSet<Right> = roles.iter().flat_map(|name| role(name)).collect();
    let used = used.lock().unwrap();
    let missing: Vec<_> = used.difference(&allowed).collect();
    assert!(!used.is_empty(), "no request was seen");
    assert!(missing.is_empty(), "{roles:?} do not allow {missing:?}");
}

/// Returns what a Role of the example allows.
fn role(name: &str) -> BTreeSet<Right> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/rbac.yaml");
    let roles = parse_objects(&fs::read_to_string(path).unwrap()).unwrap();
    let role = roles
        .iter()
        .find(|role| role["metadata"]["name"] == name)
        .unwrap();
    let words = |list: &Value| -> Vec<String> {
        let list = list.as_array().unwrap();
        list.iter()
            .map(|word| word.as_str().unwrap().to_owned())
            .collect()
    };
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in words(&rule["apiGroups"]) {
            for resource in words(&rule["resources"]) {
                for verb in words(&rule["verbs"]) {
                    rights.insert(right(&verb, &group, &resource));
                }
            }
        }
    }
    rights
}

fn right(verb: &str, group: &str, resource: &str) -> Right {
    (verb.to_owned(), group.to_owned(), resource.to_owned())
}
