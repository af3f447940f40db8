//! Whatever stands in routing objects, they are read or refused; what is written is the weights alone, and
//! there is nothing more to write after it.
//!
//! An input is a line with the router, the weight in tenths of a percent and the router's options, and after
//! it objects in JSON, one a line.

use std::sync::{Arc, Mutex};

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

/// What all inputs share: a namespace with both sides, and a connection that takes down what is sent.
struct Stand {
    runtime: Runtime,
    cluster: Cluster,
    sent: Sent,
    namespace: Survey,
    pods: [Workload; 2],
}

/// A router by name with its options, and the weight that is asked of it.
struct Order<'a> {
    provider: &'a dyn Provider,
    options: &'a Value,
    to: Percent,
}

/// Panics unless it is so of this input.
pub(crate) fn holds(input: &[u8]) {
    thread_local! {
        static STAND: Stand = Stand::new();
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
    let mut objects: Vec<Value> = objects.filter(Value::is_object).collect();
    each_once(&mut objects);
    STAND.with(|stand| {
        let all = stand.survey(wanted(None).0, &objects);
        for provider in PROVIDERS.iter().copied() {
            drop(provider.blind(&all, NAMESPACE));
            if let Some((_, options)) = provider.detect(&all, NAMESPACE, &target()) {
                let options = &options;
                let order = Order {
                    provider,
                    options,
                    to,
                };
                stand.moves(&order, &objects);
            }
        }
        if let Some(provider) = provider(name) {
            let options = &options;
            let order = Order {
                provider,
                options,
                to,
            };
            stand.moves(&order, &objects);
        }
    });
}

/// Drops objects of one name: no server has two.
fn each_once(objects: &mut Vec<Value>) {
    let mut seen = Vec::new();
    objects.retain(|object| {
        let meta = &object["metadata"];
        let name = [&object["kind"], &meta["namespace"], &meta["name"]].map(Value::to_string);
        let new = !seen.contains(&name);
        seen.push(name);
        new
    });
}

impl Stand {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let sent = Sent::default();
        let inside = runtime.enter();
        let cluster = cluster(&sent);
        drop(inside);
        Self {
            runtime,
            cluster,
            sent,
            namespace: namespace(),
            pods: [workload("stable"), workload("canary")],
        }
    }

    /// Returns a survey that has read the objects of the wanted kinds.
    fn survey(&self, asked: Vec<Wanted>, objects: &[Value]) -> Survey {
        let family = |wanted: &Wanted| {
            let objects = objects.iter().filter(|object| wanted.kind.is(object));
            let objects: Vec<Value> = objects.cloned().collect();
            let version = objects.first()?["apiVersion"].as_str()?;
            let version = version.rsplit('/').next()?.to_owned();
            let namespace = wanted.namespace.clone();
            Some(Family {
                kind: wanted.kind.clone(),
                namespace: namespace.unwrap_or_else(|| NAMESPACE.to_owned()),
                version,
                objects: Ok(objects),
            })
        };
        Survey {
            routing: asked.iter().filter_map(family).collect(),
            asked,
            ..self.namespace.clone()
        }
    }

    /// Reads the objects with a router, moves them, and compares.
    fn moves(&self, order: &Order<'_>, objects: &[Value]) {
        let (provider, options) = (order.provider, order.options);
        let spec = RouterSpec {
            name: provider.name().to_owned(),
            options: options.clone(),
        };
        let (kinds, _) = wanted(Some(&spec));
        let survey = self.survey(kinds.clone(), objects);
        drop(provider.rights(options));
        for finding in provider.findings(&self.cluster, &target(), options, &survey) {
            assert!(!finding.what.is_empty());
        }
        let Ok(router) = provider.bind(&self.cluster, &target(), options, &survey) else {
            return;
        };
        if spec.name == "replicas" || options.to_string().contains("replicas") {
            // It scales Deployments.
            return;
        }
        let mut objects = router.pick(&survey);
        let written = router.written(&objects);
        let (done, sent) = self.shifted(&*router, &objects, order.to);
        assert!(done || sent.is_empty(), "refused and written all the same");
        for (method, path, body) in sent {
            if method == "POST" {
                // An object of its own.
                let name = &body["metadata"]["name"];
                assert!(
                    written
                        .iter()
                        .all(|w| w.object["metadata"]["name"] != *name)
                );
                return;
            }
            assert_eq!(method, "PATCH", "{path}");
            let ours = |object: &&mut Value| is_at(&path, object, &kinds);
            let object = objects.iter_mut().find(ours);
            let object = object.expect("a known object is written");
            let before = object.clone();
            changed(object, &body);
            let known = written.iter().find(|w| w.object == before);
            only_weights(known.expect("it is said to be written"), object);
        }
        // Said again, it is so already.
        if done {
            let (_, again) = self.shifted(&*router, &objects, order.to);
            assert!(again.is_empty(), "{again:?} after {objects:?}");
        }
    }

    /// Makes the next change towards a weight; returns whether it was not refused, and what was sent.
    fn shifted(
        &self,
        router: &dyn Router,
        objects: &Vec<Value>,
        to: Percent,
    ) -> (bool, Vec<(String, String, Value)>) {
        let [stable, canary] = &self.pods;
        let [live, other] = self.namespace.deployments.as_slice() else {
            panic!("two Deployments");
        };
        let sides = Sides {
            stable: Some(live.clone()),
            canary: Some(other.clone()),
            ..Sides::default()
        };
        let scene = Scene {
            at: Timestamp::MAX,
            stable,
            canary: Some(canary),
            sides: &sides,
            objects,
        };
        let Ok(split) = router.read(to, &scene) else {
            return (false, Vec::new());
        };
        assert!(!split.detail.is_empty());
        let done = self.runtime.block_on(router.shift(to, &scene)).is_ok();
        let sent = std::mem::take(&mut *self.sent.lock().expect("the lock"));
        (done, sent)
    }
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

/// Returns the namespace: both Deployments, and their Services.
fn namespace() -> Survey {
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
        ready_since: None,
        terminating: false,
        current: true,
        created: Timestamp::UNIX_EPOCH,
        restarts: 0,
        waiting: Vec::new(),
        last_end: None,
        probed: None,
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
