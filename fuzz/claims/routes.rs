//! Whatever stands in routing objects, they are read or refused; what is written is the weights alone, and
//! there is nothing more to write after it.
//!
//! An input is a line with the router, the weight in tenths of a percent and the router's options, and after
//! it objects in JSON, one a line.

use std::{
    cell::RefCell,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use canaryctl::{
    clock::Clock,
    cluster::{
        Cluster,
        objects::Survey,
        routing::{Family, Wanted},
        workloads::{Live, Sides},
    },
    domain::{
        release::RouterSpec,
        weight::Percent,
        workload::{Pod, Workload},
    },
    traffic::{PROVIDERS, Provider, Router, Scene, Target, Written, provider, wanted},
};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use jiff::Timestamp;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

const NAMESPACE: &str = "shop";

/// Method, path and body of what was sent.
type Sent = Arc<Mutex<Vec<(String, String, Value)>>>;

/// Panics unless it is so of this input.
pub(crate) fn holds(input: &[u8]) {
    thread_local! {
        static RUNTIME: RefCell<Runtime> =
            RefCell::new(Builder::new_current_thread().enable_all().build().expect("a runtime"));
    }
    let text = String::from_utf8_lossy(input);
    let (order, objects) = text.split_once('\n').unwrap_or((&text, ""));
    let mut words = order.splitn(3, ' ');
    let [name, weight, options] = [(); 3].map(|()| words.next().unwrap_or_default());
    let to = Percent::share(weight.parse::<u32>().unwrap_or(250).min(1000), 1000);
    let options: Value = serde_json::from_str(options).unwrap_or_default();
    let objects = objects
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let objects: Vec<Value> = objects.filter(Value::is_object).collect();
    let all = all_moved(name, &options, &objects, to);
    RUNTIME.with(|runtime| runtime.borrow_mut().block_on(all));
}

/// Moves the objects with every router that detects them, and with the one that is named.
async fn all_moved(name: &str, options: &Value, objects: &[Value], to: Percent) {
    for found in PROVIDERS {
        let survey = survey(wanted(None).0, objects);
        drop(found.blind(&survey, NAMESPACE));
        if let Some((_, options)) = found.detect(&survey, NAMESPACE, &target()) {
            moved(*found, &options, objects, to).await;
        }
    }
    if let Some(named) = provider(name) {
        moved(named, options, objects, to).await;
    }
}

/// Reads the objects with a router, moves them, and compares.
async fn moved(provider: &dyn Provider, options: &Value, objects: &[Value], to: Percent) {
    let sent = Sent::default();
    let cluster = cluster(&sent);
    let spec = RouterSpec {
        name: provider.name().to_owned(),
        options: options.clone(),
    };
    let (kinds, _) = wanted(Some(&spec));
    let survey = survey(kinds.clone(), objects);
    drop(provider.rights(options));
    for finding in provider.findings(&cluster, &target(), options, &survey) {
        assert!(!finding.what.is_empty());
    }
    let Ok(router) = provider.bind(&cluster, &target(), options, &survey) else {
        return;
    };
    if spec.name == "replicas" || options.to_string().contains("replicas") {
        // It scales Deployments.
        return;
    }
    let mut objects = router.pick(&survey);
    let written = router.written(&objects);
    if shifted(&*router, &objects, to).await.is_none() {
        assert!(
            sent.lock().expect("the lock").is_empty(),
            "refused and written all the same"
        );
        return;
    }
    for (method, path, body) in sent.lock().expect("the lock").drain(..) {
        if method == "POST" {
            // An object of its own.
            assert!(
                written
                    .iter()
                    .all(|w| w.object["metadata"]["name"] != body["metadata"]["name"])
            );
            return;
        }
        assert_eq!(method, "PATCH", "{path}");
        let ours = |object: &&mut Value| is_at(&path, object, &kinds);
        let object = objects
            .iter_mut()
            .find(ours)
            .expect("a known object is written");
        let before = object.clone();
        changed(object, &body);
        let known = written
            .iter()
            .find(|w| w.object == before)
            .expect("it is said to be written");
        only_weights(known, object);
    }
    // Said again, it is so already.
    if shifted(&*router, &objects, to).await.is_some() {
        let again = sent.lock().expect("the lock");
        assert!(again.is_empty(), "{again:?} after {objects:?}");
    }
}

/// Makes the next change towards a weight; `None` where it is refused.
async fn shifted(router: &dyn Router, objects: &Vec<Value>, to: Percent) -> Option<()> {
    let (stable, canary) = (workload("stable"), workload("canary"));
    let sides = Sides {
        stable: Some(deployment("stable")),
        canary: Some(deployment("canary")),
        ..Sides::default()
    };
    let scene = Scene {
        stable: &stable,
        canary: Some(&canary),
        sides: &sides,
        objects,
    };
    let split = router.read(to, &scene).ok()?;
    assert!(!split.detail.is_empty());
    router.shift(to, &scene).await.ok().map(drop)
}

/// Whether a request is about an object of one of these kinds.
fn is_at(path: &str, object: &Value, kinds: &[Wanted]) -> bool {
    let meta = &object["metadata"];
    let mut kinds = kinds.iter().filter(|wanted| wanted.kind.is(object));
    kinds.any(|Wanted { kind, .. }| {
        let place =
            [&meta["namespace"], &meta["name"]].map(|part| part.as_str().unwrap_or_default());
        path.ends_with(&format!(
            "/namespaces/{}/{}/{}",
            place[0], kind.plural, place[1]
        )) && path.contains(&kind.group)
    })
}

/// Makes the changes of a JSON patch, but for the version that guards it.
fn changed(object: &mut Value, patch: &Value) {
    let mut operations = patch.as_array().cloned().expect("a patch is a list");
    assert_eq!(
        operations[0]["path"], "/metadata/resourceVersion",
        "{patch}"
    );
    operations.remove(0);
    let patch: json_patch::Patch =
        serde_json::from_value(Value::Array(operations)).expect("a patch");
    json_patch::patch(object, &patch).expect("a patch fits its object");
}

/// Panics where more than the weights of an object has changed.
fn only_weights(written: &Written, after: &Value) {
    let mut expected = written.object.clone();
    for pointer in &written.pointers {
        let Some(new) = after.pointer(pointer) else {
            continue;
        };
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        if let (Some(before), Some(new)) = (text(expected.pointer(pointer)), text(Some(new))) {
            within_text(&before, &new);
        }
        if let Some(there) = expected.pointer_mut(pointer) {
            *there = new.clone();
            continue;
        }
        let add = json!([{"op": "add", "path": pointer, "value": new}]);
        let add: json_patch::Patch = serde_json::from_value(add).expect("a patch");
        json_patch::patch(&mut expected, &add).expect("a weight can be added");
    }
    assert_eq!(expected, *after);
}

/// Panics where more than digits has changed in a text.
fn within_text(before: &str, after: &str) {
    let rest = |text: &str| {
        text.chars()
            .filter(|c| !c.is_ascii_digit())
            .collect::<String>()
    };
    let number =
        before.trim().parse::<f64>().is_ok() || before.trim().strip_suffix(['m', 'k']).is_some();
    assert!(
        number || rest(before) == rest(after),
        "{before:?} {after:?}"
    );
}

/// Returns a survey that has read the objects of the wanted kinds.
fn survey(asked: Vec<Wanted>, objects: &[Value]) -> Survey {
    let family = |wanted: &Wanted| {
        let objects = objects.iter().filter(|object| wanted.kind.is(object));
        let objects: Vec<Value> = objects.cloned().collect();
        let version = objects.first()?["apiVersion"]
            .as_str()?
            .rsplit('/')
            .next()?
            .to_owned();
        Some(Family {
            kind: wanted.kind.clone(),
            namespace: wanted
                .namespace
                .clone()
                .unwrap_or_else(|| NAMESPACE.to_owned()),
            version,
            objects: Ok(objects),
        })
    };
    let services = [
        ("web", json!({"app": "web"})),
        ("web-stable", json!({"app": "web", "track": "stable"})),
        ("web-canary", json!({"app": "web", "track": "canary"})),
        ("other", json!({"app": "other"})),
    ];
    let service = |(name, selector): (&str, Value)| {
        let meta = json!({"name": name, "namespace": NAMESPACE});
        serde_json::from_value(json!({"metadata": meta, "spec": {"selector": selector}}))
    };
    Survey {
        deployments: vec![deployment("stable"), deployment("canary")],
        services: services.map(|s| service(s).expect("a Service")).to_vec(),
        routing: asked.iter().filter_map(family).collect(),
        asked,
        ..Survey::default()
    }
}

fn target() -> Target {
    Target {
        stable: "web-stable".into(),
        canary: "web-canary".into(),
        service: Some("web".into()),
        total: 4,
    }
}

fn deployment(track: &str) -> Live {
    let labels = json!({"app": "web", "track": track});
    let object = json!({
        "metadata": {"name": format!("web-{track}"), "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}},
    });
    Live::new(object).expect("a Deployment")
}

/// Returns one side with all its pods ready.
fn workload(track: &str) -> Workload {
    let pod = |number: u32| Pod {
        name: format!("web-{track}-{number}"),
        ready: true,
        terminating: false,
        current: true,
        created: Timestamp::UNIX_EPOCH,
        restarts: 0,
        waiting: Vec::new(),
        last_end: None,
        unschedulable: None,
    };
    Workload {
        name: format!("web-{track}"),
        replicas: 4,
        existing: 4,
        updated: 4,
        ready: 4,
        available: 4,
        observed: true,
        pods: (0..4).map(pod).collect(),
        ..Workload::default()
    }
}

/// Returns a connection that takes down what is sent, and to which every write is fine.
fn cluster(sent: &Sent) -> Cluster {
    let sent = Arc::clone(sent);
    let answer = tower::service_fn(move |request: Request<Body>| {
        let sent = Arc::clone(&sent);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.expect("a body").to_bytes();
            let body = serde_json::from_slice(&body).unwrap_or_default();
            let path = head.uri.path().to_owned();
            sent.lock()
                .expect("the lock")
                .push((head.method.to_string(), path, body));
            let object = json!({"apiVersion": "v1", "kind": "Any", "metadata": {"name": "any"}});
            let answer = Response::new(Full::new(Bytes::from(object.to_string())));
            Ok::<_, tower::BoxError>(answer)
        }
    });
    let client = kube::Client::new(answer, NAMESPACE);
    Cluster::new(client, NAMESPACE, Clock::System)
}
