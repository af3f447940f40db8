//! Traffic by weights: each router on the kind it writes, with the bounds its project publishes.
//!
//! One cluster of its own: definitions of resources are the whole cluster's, and the other tests
//! are to run where there are none.

use std::{fs, time::Instant};

use canaryctl::sim::scenario::parse_objects;
use kube::Client;
use regex::Regex;
use serde_json::{Value, json};

use super::{
    ground::{Ground, pause, within},
    shop::{HEALTHY, NEW, OLD, Shop, on},
};

/// A canary that fails from the start.
const FAILING: &str = "
traffic: {service: x/payment-api-service, rate: 200}
versions:
  - {match: {image: 'payment-api:2.'}, errors: {base: 60%}}
";

/// A router with the object it moves weights in.
struct Case {
    router: &'static str,
    /// Options, where the router needs any.
    options: &'static str,
    /// Collection of the object, after `/apis/`, with the namespace left out.
    at: (&'static str, &'static str),
    object: &'static str,
    /// JSON pointers of stable's and the canary's weight; within JSON in text after `#`.
    weights: (&'static str, &'static str),
    /// What both sum to; `None` where stable's follows.
    sum: u64,
}

const CASES: &[Case] = &[
    Case {
        router: "istio",
        options: "",
        at: ("networking.istio.io/v1beta1", "virtualservices"),
        object: "
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: {name: payment-api}
spec:
  hosts: [payment-api-service]
  http:
    - match: [{headers: {x-canary: {exact: 'true'}}}]
      route: [{destination: {host: payment-api-canary-service}, weight: 100}]
    - timeout: 3s
      route:
        - {destination: {host: payment-api-stable-service, port: {number: 80}}, weight: 100}
        - {destination: {host: payment-api-canary-service, port: {number: 80}}, weight: 0}
",
        weights: ("/spec/http/1/route/0/weight", "/spec/http/1/route/1/weight"),
        sum: 100,
    },
    Case {
        router: "gateway",
        options: "",
        at: ("gateway.networking.k8s.io/v1", "httproutes"),
        object: "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: payment-api}
spec:
  parentRefs: [{name: edge}]
  rules:
    - backendRefs:
        - {name: payment-api-stable-service, port: 80, weight: 100}
        - {name: payment-api-canary-service, port: 80, weight: 0}
",
        weights: ("/spec/rules/0/backendRefs/0/weight", "/spec/rules/0/backendRefs/1/weight"),
        sum: 100,
    },
    Case {
        router: "nginx",
        options: "",
        at: ("networking.k8s.io/v1", "ingresses"),
        object: "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: payment-api}
spec:
  ingressClassName: nginx
  rules:
    - host: pay.example
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: payment-api-stable-service, port: {number: 80}}}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: payment-api-canary
  annotations:
    nginx.ingress.kubernetes.io/canary: 'true'
    nginx.ingress.kubernetes.io/canary-weight: '0'
spec:
  ingressClassName: nginx
  rules:
    - host: pay.example
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: payment-api-canary-service, port: {number: 80}}}}]}
",
        weights: ("", "/metadata/annotations/nginx.ingress.kubernetes.io~1canary-weight"),
        sum: 100,
    },
    Case {
        router: "smi",
        options: "",
        at: ("split.smi-spec.io/v1alpha2", "trafficsplits"),
        object: "
apiVersion: split.smi-spec.io/v1alpha2
kind: TrafficSplit
metadata: {name: payment-api}
spec:
  service: payment-api-service
  backends:
    - {service: payment-api-stable-service, weight: 1000}
    - {service: payment-api-canary-service, weight: 0}
",
        weights: ("/spec/backends/0/weight", "/spec/backends/1/weight"),
        sum: 1000,
    },
    Case {
        router: "alb",
        options: "",
        at: ("networking.k8s.io/v1", "ingresses"),
        object: r#"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: payment-api
  annotations:
    alb.ingress.kubernetes.io/actions.pay: >-
      { "type": "forward", "forwardConfig": { "targetGroups": [
      { "serviceName": "payment-api-stable-service", "servicePort": "80", "weight": 100 },
      { "serviceName": "payment-api-canary-service", "servicePort": "80", "weight": 0 } ],
      "targetGroupStickinessConfig": { "enabled": true, "durationSeconds": 200 } } }
spec:
  ingressClassName: alb
  rules:
    - http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: pay, port: {name: use-annotation}}}}]}
"#,
        weights: (
            "/metadata/annotations/alb.ingress.kubernetes.io~1actions.pay#/forwardConfig/targetGroups/0/weight",
            "/metadata/annotations/alb.ingress.kubernetes.io~1actions.pay#/forwardConfig/targetGroups/1/weight",
        ),
        sum: 100,
    },
    Case {
        router: "traefik",
        options: "",
        at: ("traefik.io/v1alpha1", "traefikservices"),
        object: "
apiVersion: traefik.io/v1alpha1
kind: TraefikService
metadata: {name: payment-api}
spec:
  weighted:
    sticky: {cookie: {name: pay}}
    services:
      - {name: payment-api-stable-service, port: 80, weight: 100}
      - {name: payment-api-canary-service, port: 80, weight: 0}
",
        weights: ("/spec/weighted/services/0/weight", "/spec/weighted/services/1/weight"),
        sum: 100,
    },
    Case {
        router: "pointer",
        options: "
    apiVersion: projectcontour.io/v1
    kind: HTTPProxy
    name: payment-api
    stable: /spec/routes/0/services/0/weight
    canary: /spec/routes/0/services/1/weight
    expect: {/spec/routes/0/services/1/name: payment-api-canary-service}
",
        at: ("projectcontour.io/v1", "httpproxies"),
        object: "
apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata: {name: payment-api}
spec:
  virtualhost: {fqdn: pay.example}
  routes:
    - conditions: [{prefix: /}]
      services:
        - {name: payment-api-stable-service, port: 80, weight: 100}
        - {name: payment-api-canary-service, port: 80, weight: 0}
",
        weights: ("/spec/routes/0/services/0/weight", "/spec/routes/0/services/1/weight"),
        sum: 100,
    },
];

#[tokio::test]
async fn weights_move_in_every_kind_of_object() {
    let ground = Ground::start();
    let client = ground.client().await;
    define(&client, include_str!("../../data/crds.yaml")).await;
    for case in CASES {
        on(&ground, HEALTHY, async |shop| moves(shop, case).await).await;
    }
    futures::join!(
        on(&ground, HEALTHY, async |shop| releases(shop).await),
        on(&ground, FAILING, async |shop| brakes(shop).await),
        on(&ground, HEALTHY, async |shop| taken_again(shop).await),
        on(&ground, HEALTHY, async |shop| silent(shop).await),
        on(&ground, HEALTHY, async |shop| pinned(shop).await),
        on(&ground, HEALTHY, async |shop| neighbour(shop).await),
        on(&ground, HEALTHY, async |shop| elsewhere(shop).await),
        on(&ground, HEALTHY, async |shop| tested(shop).await),
        on(&ground, HEALTHY, async |shop| made_for_an_ingress(shop)
            .await),
        on(&ground, HEALTHY, async |shop| made_for_a_route(shop).await),
    );
}

/// Installs definitions, and waits until they are served.
pub(super) async fn define(client: &Client, text: &str) {
    for object in parse_objects(text).unwrap() {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let all = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        send(client, "POST", all, Some(&object)).await.unwrap();
        within(30, &name, async || {
            let at = format!("{all}/{name}");
            let object = send(client, "GET", &at, None).await.ok()?;
            let conditions = object["status"]["conditions"].as_array()?.clone();
            let is = |kind: &str| {
                let mut all = conditions.iter();
                all.any(|c| c["type"] == kind && c["status"] == "True")
            };
            assert!(!is("NonStructuralSchema"), "{object:#}");
            is("Established").then_some(())
        })
        .await;
    }
}

pub(super) async fn send(
    client: &Client,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, kube::Error> {
    let bytes = body.map(|body| serde_json::to_vec(body).unwrap());
    let kind = if method == "PATCH" {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", kind)
        .body(bytes.unwrap_or_default());
    client.request(request.unwrap()).await
}

/// Up, seen, and back, with nothing but the weights changed.
async fn moves(shop: &Shop<'_>, case: &Case) {
    let accepted = set_up(shop, case).await;
    let before = read(shop, case).await;
    let dry = shop.run("set payment-api 25 --dry-run").await;
    dry.ends(0).says("(accepted by the API server)");
    let untouched = read(shop, case).await;
    assert_eq!(masked(&untouched), masked(&before), "{}", case.router);
    let set = shop.run("set payment-api 25").await;
    set.ends(0).says("25%");
    assert_weights(&read(shop, case).await, case, case.sum / 4);
    shop.run("status").await.ends(0).says("canary 25%");
    let back = shop.run("rollback").await;
    back.ends(0).says("ROLLED BACK");
    let after = read(shop, case).await;
    assert_weights(&after, case, 0);
    assert_eq!(masked(&after), masked(&before), "{}", case.router);
    // Pods are not the traffic here: stable keeps its own.
    assert_eq!(shop.replicas("payment-api-stable").await, 9);
    accepted.abort();
}

/// The whole release, by the weights of a VirtualService.
async fn releases(shop: &Shop<'_>) {
    let case = &CASES[0];
    let accepted = set_up(shop, case).await;
    shop.run("auto --yes").await.ends(0).says("PROMOTED");
    assert_eq!(shop.image("payment-api-stable").await, NEW);
    assert_ne!(OLD, NEW);
    assert_weights(&read(shop, case).await, case, 0);
    shop.is_closed("promoted").await;
    shop.never_fell().await;
    accepted.abort();
}

/// A canary that fails from the start is looked at again at a low weight, and taken back.
async fn brakes(shop: &Shop<'_>) {
    let case = &CASES[0];
    let accepted = set_up(shop, case).await;
    let mut run = shop.start("auto --yes");
    run.until("TRAFFIC OFF").await;
    within(20, "a low weight", async || {
        let route = read(shop, case).await;
        let weight = route.pointer(case.weights.1).and_then(Value::as_u64);
        weight.filter(|weight| *weight < 10).map(drop)
    })
    .await;
    let ran = run.ended().await.ends(3).says("ROLLED BACK");
    let story = Regex::new("weights  0% → 10% → [1-9]% → 0%").unwrap();
    assert!(story.is_match(&ran.text()), "{}", ran.text());
    assert_weights(&read(shop, case).await, case, 0);
    assert_eq!(shop.image("payment-api-stable").await, OLD);
    shop.is_closed("rolled-back").await;
    accepted.abort();
}

/// Whoever gives the traffic back while a rollback drains is not taken for the end of it.
async fn taken_again(shop: &Shop<'_>) {
    let case = &CASES[0];
    let accepted = set_up(shop, case).await;
    let file = shop.folder.join("canary.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("drain: 1s", "drain: 20s")).unwrap();
    shop.run("set payment-api 25").await.ends(0);
    let run = shop.start("rollback");
    within(20, "the drain", async || {
        (shop.journal().await["phase"] == "draining").then_some(())
    })
    .await;
    let mut route = read(shop, case).await;
    *route.pointer_mut(case.weights.0).unwrap() = json!(50);
    *route.pointer_mut(case.weights.1).unwrap() = json!(50);
    let at = format!("{}/payment-api", collection(shop, case));
    shop.send("PUT", &at, Some(&route)).await;
    let ran = run
        .ended()
        .await
        .ends(0)
        .says("another client changed the split");
    ran.says("ROLLED BACK");
    assert_weights(&read(shop, case).await, case, 0);
    accepted.abort();
}

/// A weight that a gateway has not accepted may be live: what fails behind it is found at once.
async fn silent(shop: &Shop<'_>) {
    let case = &CASES[1];
    let accepted = set_up(shop, case).await;
    let mut run = shop.start("auto --yes");
    run.until("watching at 10%").await;
    accepted.abort();
    let weight = async |what: &str, is: fn(u64) -> bool| {
        within(60, what, async || {
            let route = read(shop, case).await;
            let weight = route.pointer(case.weights.1).and_then(Value::as_u64);
            weight.filter(|weight| is(*weight)).map(drop)
        })
        .await;
    };
    weight("half of the traffic", |weight| weight == 50).await;
    shop.scenario(FAILING).await;
    let begin = Instant::now();
    // To the least, from where it is taken back, or to none at once.
    weight("hardly any traffic", |weight| weight < 10).await;
    assert!(begin.elapsed().as_secs() < 45, "nobody looked");
    let accepted = accepts(shop, case);
    run.ended().await.ends(3).says("ROLLED BACK");
    assert_weights(&read(shop, case).await, case, 0);
    accepted.abort();
}

/// A route to stable alone is no traffic that follows numbers of pods.
async fn pinned(shop: &Shop<'_>) {
    let route = json!({
        "apiVersion": "networking.istio.io/v1beta1",
        "kind": "VirtualService",
        "metadata": {"name": "payment-api"},
        "spec": {
            "hosts": ["payment-api-service"],
            "http": [{"route": [{"destination": {"host": "payment-api-stable-service"}}]}],
        },
    });
    let all = collection(shop, &CASES[0]);
    shop.send("POST", &all, Some(&route)).await;
    let why = "VirtualService payment-api: http route 1 leads to stable alone";
    for line in [
        "auto payment-api --yes",
        "set payment-api 25",
        "promote payment-api --yes",
        "rollback payment-api",
    ] {
        shop.run_without_file(line).await.ends(2).says(why);
    }
    shop.run_without_file("check payment-api").await.ends(2);
    let status = shop.run_without_file("status payment-api").await;
    status.ends(0).says(why);
    let sizes = (
        shop.replicas("payment-api-stable").await,
        shop.replicas("payment-api-canary").await,
    );
    assert_eq!(sizes, (9, 1));
    let line = "set payment-api 20 --router replicas";
    shop.run_without_file(line).await.ends(0);
}

/// One weight of a canary Ingress holds for all its paths, also for those of another app.
async fn neighbour(shop: &Shop<'_>) {
    for (name, labels) in [
        ("ledger", json!({"app": "ledger"})),
        (
            "ledger-canary",
            json!({"app": "ledger", "version": "canary"}),
        ),
    ] {
        let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"selector": labels, "ports": [{"port": 80}]},
        });
        shop.create(&service).await;
    }
    let path = |at: &str, service: &str| {
        let backend = json!({"service": {"name": service, "port": {"number": 80}}});
        json!({"path": at, "pathType": "Prefix", "backend": backend})
    };
    let ingress = |name: &str, notes: Value, paths: [Value; 2]| {
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": name, "annotations": notes},
            "spec": {"rules": [{"host": "pay.example", "http": {"paths": paths}}]},
        })
    };
    let main = [
        path("/", "payment-api-stable-service"),
        path("/ledger", "ledger"),
    ];
    let canary = [
        path("/", "payment-api-canary-service"),
        path("/ledger", "ledger-canary"),
    ];
    let notes = json!({
        "nginx.ingress.kubernetes.io/canary": "true",
        "nginx.ingress.kubernetes.io/canary-weight": "30",
    });
    let all = format!(
        "/apis/networking.k8s.io/v1/namespaces/{}/ingresses",
        shop.namespace
    );
    for object in [
        ingress("shop", json!({}), main),
        ingress("shop-canary", notes, canary),
    ] {
        shop.send("POST", &all, Some(&object)).await;
    }
    let why = "its weight holds for pay.example/ledger as well";
    for line in ["auto payment-api --yes", "set payment-api 50"] {
        shop.run_without_file(line).await.ends(2).says(why);
    }
    shop.run_without_file("check payment-api")
        .await
        .ends(2)
        .says(why);
    // To take the canary out is right for both.
    shop.run_without_file("rollback payment-api").await.ends(0);
    let after = shop.send("GET", &format!("{all}/shop-canary"), None).await;
    let weight = &after["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"];
    assert_eq!(weight, "0");
}

/// A route of another namespace divides the traffic, too.
async fn elsewhere(shop: &Shop<'_>) {
    let name = &shop.namespace;
    let side = |service: &str, weight: u32| json!({"name": service, "namespace": name, "port": 80, "weight": weight});
    let route = json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name},
        "spec": {"rules": [{"backendRefs": [
            side("payment-api-stable-service", 90),
            side("payment-api-canary-service", 10),
        ]}]},
    });
    let all = "/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes";
    shop.send("POST", all, Some(&route)).await;
    let why = format!("HTTPRoute default/{name}: it divides the traffic");
    for line in [
        "auto payment-api --yes",
        "set payment-api 50",
        "rollback payment-api",
    ] {
        shop.run_without_file(line).await.ends(2).says(&why);
    }
    shop.send("DELETE", &format!("{all}/{name}"), None).await;
    shop.run_without_file("set payment-api 20").await.ends(0);
}

/// An app with one Ingress and no canary: Deployment, Service and canary Ingress are made, and are gone at the end.
async fn made_for_an_ingress(shop: &Shop<'_>) {
    without_users(shop);
    shop.delete("deployments", "payment-api-canary").await;
    shop.gone("version=canary").await;
    shop.delete("services", "payment-api-canary-service").await;
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "payment-api"},
        "spec": {"ingressClassName": "nginx", "rules": [{"host": "pay.example", "http": {"paths": [{
            "path": "/", "pathType": "Prefix",
            "backend": {"service": {"name": "payment-api-service", "port": {"number": 80}}},
        }]}}]},
    });
    let all = format!(
        "/apis/networking.k8s.io/v1/namespaces/{}/ingresses",
        shop.namespace
    );
    shop.send("POST", &all, Some(&ingress)).await;
    let services = names(shop, "/api/v1", "services").await;
    let check = shop.run("check").await;
    check.says("auto --create-route").says("kind: Ingress");
    let dry = shop
        .run(&format!(
            "auto --yes --image {NEW} --create-route --dry-run"
        ))
        .await;
    dry.ends(0)
        .says("would create canary Ingress payment-api-canary");
    let run = shop
        .run(&format!("auto --yes --image {NEW} --create-route"))
        .await;
    run.ends(0)
        .says("PROMOTED")
        .says("weights  0% → 10% → 50% → 100% → 0%");
    assert_eq!(shop.image("payment-api-stable").await, NEW);
    assert!(
        shop.get("deployments", "payment-api-canary")
            .await
            .is_none()
    );
    assert_eq!(names(shop, "/api/v1", "services").await, services);
    assert_eq!(
        names(shop, "/apis/networking.k8s.io/v1", "ingresses").await,
        ["payment-api"]
    );
    shop.is_closed("promoted").await;
    // Its pods have another label than those that the floor counts.
}

/// Both Deployments behind one Service, and a route to it: it gets a second backend and the Service stable's label,
/// and both are as before at the end. Once the run is killed, and taken back.
async fn made_for_a_route(shop: &Shop<'_>) {
    without_users(shop);
    let case = &CASES[1];
    shop.run("rollback").await.ends(0);
    shop.gone("version=canary").await;
    let route = json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "payment-api"},
        "spec": {
            "parentRefs": [{"name": "edge"}],
            "rules": [{"timeouts": {"request": "3s"}, "backendRefs": [{"name": "payment-api-service", "port": 80}]}],
        },
    });
    let all = collection(shop, case);
    shop.send("POST", &all, Some(&route)).await;
    let (client, at) = (shop.client.clone(), format!("{all}/payment-api"));
    let accepted = tokio::spawn(async move {
        loop {
            accept(&client, &at).await;
            pause(200).await;
        }
    });
    let stand = async || {
        let route = shop.send("GET", &format!("{all}/payment-api"), None).await;
        let service = shop.get("services", "payment-api-service").await.unwrap();
        (route["spec"].clone(), service["spec"]["selector"].clone())
    };
    let before = stand().await;
    let mut run = shop.start("auto --yes --create-route");
    run.until("watching at 10%").await;
    let during = stand().await;
    assert_ne!(during.1, before.1, "the Service is stable's alone");
    assert_eq!(
        during.0.pointer("/rules/0/backendRefs/1/weight"),
        Some(&json!(10)),
        "{during:?}"
    );
    run.signal("KILL").await;
    shop.run("rollback").await.ends(0).says("ROLLED BACK");
    assert_eq!(stand().await, before);
    let run = shop.run("auto --yes --create-route").await;
    run.ends(0).says("PROMOTED");
    assert_eq!(stand().await, before);
    assert_eq!(shop.image("payment-api-stable").await, NEW);
    accepted.abort();
}

/// Returns the names of all objects of a resource.
/// Users here follow the app's Service, not routes: one that no longer leads to the canary brings it no requests to
/// judge.
fn without_users(shop: &Shop<'_>) {
    let file = shop.folder.join("canary.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let (before, _) = text
        .split_once("  - http:\n      name: success rate")
        .unwrap();
    fs::write(&file, before).unwrap();
}

async fn names(shop: &Shop<'_>, group: &str, resource: &str) -> Vec<String> {
    let all = format!("{group}/namespaces/{}/{resource}", shop.namespace);
    let list = shop.send("GET", &all, None).await;
    let names = list["items"].as_array().unwrap().iter();
    let names = names.map(|object| object["metadata"]["name"].as_str().unwrap().to_owned());
    names.collect()
}

/// A test before the first user ends a release that no user has met.
async fn tested(shop: &Shop<'_>) {
    let case = &CASES[0];
    let accepted = set_up(shop, case).await;
    let file = shop.folder.join("canary.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let before = "pre:\n  - http: {name: acceptance, path: /health, expect: 'body.status == \"no such word\"'}\n";
    fs::write(&file, format!("{text}{before}")).unwrap();
    let most = std::cell::Cell::new(0);
    let watched = async {
        loop {
            let route = read(shop, case).await;
            let weight = route.pointer(case.weights.1).and_then(Value::as_u64);
            most.set(most.get().max(weight.unwrap_or(0)));
            pause(200).await;
        }
    };
    let ran = tokio::select! {
        ran = shop.run("auto --yes") => ran,
        () = watched => unreachable!("it never ends"),
    };
    ran.ends(3).says("acceptance");
    assert_eq!(most.get(), 0, "some users met it");
    // Nothing of it is left behind a route by header either.
    assert_eq!(shop.replicas("payment-api-canary").await, 0);
    accepted.abort();
}

/// Creates the objects, names the router, and accepts what a gateway would.
async fn set_up(shop: &Shop<'_>, case: &Case) -> tokio::task::JoinHandle<()> {
    for mut object in parse_objects(case.object).unwrap() {
        object["metadata"]["namespace"] = json!(shop.namespace);
        let all = collection(shop, case);
        shop.send("POST", &all, Some(&object)).await;
    }
    let file = shop.folder.join("canary.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let router = if case.options.is_empty() {
        format!("router: {}\n", case.router)
    } else {
        format!("router:\n  {}:{}", case.router, case.options)
    };
    fs::write(&file, format!("{text}{router}")).unwrap();
    accepts(shop, case)
}

/// Begins to accept what a gateway would; nothing where there is none.
fn accepts(shop: &Shop<'_>, case: &Case) -> tokio::task::JoinHandle<()> {
    let (client, at) = (
        shop.client.clone(),
        format!("{}/payment-api", collection(shop, case)),
    );
    let is_gateway = case.router == "gateway";
    tokio::spawn(async move {
        if is_gateway {
            loop {
                accept(&client, &at).await;
                pause(200).await;
            }
        }
    })
}

/// Writes the status that a gateway writes once it serves the latest change.
async fn accept(client: &Client, at: &str) {
    let Ok(route) = send(client, "GET", at, None).await else {
        return;
    };
    let generation = &route["metadata"]["generation"];
    let seen = &route["status"]["parents"][0]["conditions"][0]["observedGeneration"];
    if seen == generation {
        return;
    }
    let condition = |kind: &str| {
        json!({
            "type": kind, "status": "True", "reason": kind, "message": "",
            "observedGeneration": generation, "lastTransitionTime": "2026-01-05T09:00:00Z",
        })
    };
    let status = json!({"status": {"parents": [{
        "parentRef": {"name": "edge"},
        "controllerName": "canaryctl.dev/test",
        "conditions": [condition("Accepted"), condition("ResolvedRefs")],
    }]}});
    drop(send(client, "PATCH", &format!("{at}/status"), Some(&status)).await);
}

fn collection(shop: &Shop<'_>, case: &Case) -> String {
    let (group, plural) = case.at;
    format!("/apis/{group}/namespaces/{}/{plural}", shop.namespace)
}

/// Returns the object whose weights move.
async fn read(shop: &Shop<'_>, case: &Case) -> Value {
    let name = if case.router == "nginx" {
        "payment-api-canary"
    } else {
        "payment-api"
    };
    shop.send("GET", &format!("{}/{name}", collection(shop, case)), None)
        .await
}

fn assert_weights(object: &Value, case: &Case, canary: u64) {
    let number = |pointer: &str| {
        let (outer, inner) = pointer.split_once('#').unwrap_or((pointer, ""));
        let outer = object.pointer(outer).cloned().unwrap_or_default();
        let document = outer.as_str().map(serde_json::from_str::<Value>);
        let document = document.and_then(Result::ok).filter(|_| !inner.is_empty());
        let value = match &document {
            Some(document) => document.pointer(inner).cloned().unwrap_or_default(),
            None => outer,
        };
        let text = value.as_str().and_then(|text| text.parse().ok());
        value.as_u64().or(text)
    };
    assert_eq!(
        number(case.weights.1),
        Some(canary),
        "{}: {object:#}",
        case.router
    );
    if !case.weights.0.is_empty() {
        let stable = number(case.weights.0);
        assert_eq!(
            stable,
            Some(case.sum - canary),
            "{}: {object:#}",
            case.router
        );
    }
}

/// Returns an object without what changes with every write.
fn masked(object: &Value) -> Value {
    let mut object = object.clone();
    for field in ["resourceVersion", "generation", "managedFields"] {
        object["metadata"][field] = Value::Null;
    }
    object["status"] = Value::Null;
    object
}
