//! What users get: real HTTP, sent on as each kind of routing object says, while releases go on.
//!
//! Owns: one set of cases for every router that has a data plane here. Must not: believe a weight
//! that was written or read back; only what the data plane counted.
//!
//! By default a step gets 600 requests where the data plane deals its weights out in turn, so that
//! the share is that of the weights to less than a point, and 2,000 where it draws lots: there the
//! share may be off by four standard deviations of a draw of that size, or one point if that is more.
//! `CANARYCTL_LIVE_DATAPLANE_REQUESTS` is for how many requests a healthy release of each kind is to
//! last; with 100,000 even lots are within 1.1 points.

use std::{fs, panic::AssertUnwindSafe};

use canaryctl::sim::scenario::parse_objects;
use futures::FutureExt;
use serde_json::json;

use super::{
    ground::{pause, variable, within},
    shop::{NEW, OLD, STABLE, Shop, on},
    users::{Plane, RATE, Row, Users, asked, failures, of_side, sum},
};

/// Apps that end as they should: they answer for a while after they are told to stop.
const WELL: &str = "versions: [{stop: 30s}]";
/// The new version answers every second request with an error.
const BAD: &str = "
versions:
  - {match: {image: 'payment-api:2.'}, errors: {base: 50%}, stop: 30s}
  - {stop: 30s}
";
/// The new version is not ready any more.
const AWAY: &str = "
versions:
  - {match: {image: 'payment-api:2.'}, ready: never, stop: 30s}
  - {stop: 30s}
";
/// Apps that end as soon as they are told to.
const ABRUPT: &str = "versions: [{stop: 0s}]";

/// A router, and the way in that divides as its objects say.
struct Kind {
    router: &'static str,
    way: &'static str,
    /// What users ask for; HOST in the objects.
    host: &'static str,
    /// Whether weights are dealt out in turn; else lots are drawn.
    in_turn: bool,
    objects: &'static str,
    /// The object with the weights, below `/apis/`, and where they are in it; stable's first.
    at: (&'static str, &'static str),
    weights: [&'static str; 2],
    /// When a release is killed: ten moments over all kinds, by what it says last.
    kills: [&'static str; 2],
}

const GATEWAY: Kind = Kind {
    router: "gateway",
    way: "gateway",
    host: "pay.NAMESPACE.example",
    in_turn: true,
    objects: "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  gatewayClassName: edge
  listeners: [{name: web, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: payment-api}
spec:
  parentRefs: [{name: edge}]
  hostnames: [HOST]
  rules:
    - backendRefs:
        - {name: payment-api-stable-service, port: 80, weight: 100}
        - {name: payment-api-canary-service, port: 80, weight: 0}
",
    at: ("gateway.networking.k8s.io/v1", "httproutes/payment-api"),
    weights: [
        "/spec/rules/0/backendRefs/0/weight",
        "/spec/rules/0/backendRefs/1/weight",
    ],
    kills: ["watching at 10%", "updating stable"],
};

const TRAEFIK: Kind = Kind {
    router: "traefik",
    way: "traefik",
    host: "pay.NAMESPACE.example",
    in_turn: true,
    objects: "
apiVersion: traefik.io/v1alpha1
kind: TraefikService
metadata: {name: payment-api}
spec:
  weighted:
    services:
      - {name: payment-api-stable-service, port: 80, weight: 100}
      - {name: payment-api-canary-service, port: 80, weight: 0}
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: payment-api}
spec:
  routes:
    - match: Host(`HOST`)
      kind: Rule
      services: [{kind: TraefikService, name: payment-api}]
",
    at: ("traefik.io/v1alpha1", "traefikservices/payment-api"),
    weights: [
        "/spec/weighted/services/0/weight",
        "/spec/weighted/services/1/weight",
    ],
    kills: ["moving traffic to 50%", "checking stable"],
};

const NGINX: Kind = Kind {
    router: "nginx",
    way: "nginx",
    host: "pay.NAMESPACE.example",
    in_turn: true,
    objects: "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: payment-api}
spec:
  ingressClassName: nginx
  rules:
    - host: HOST
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
    - host: HOST
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: payment-api-canary-service, port: {number: 80}}}}]}
",
    at: ("networking.k8s.io/v1", "ingresses/payment-api-canary"),
    weights: ["", "/metadata/annotations/nginx.ingress.kubernetes.io~1canary-weight"],
    kills: ["watching at 50%", "moving traffic to 100%"],
};

const ISTIO: Kind = Kind {
    router: "istio",
    way: "istio",
    host: "payment-api-service.NAMESPACE",
    in_turn: false,
    objects: "
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {name: payment-api}
spec:
  host: payment-api-service
  subsets:
    - {name: stable, labels: {version: stable}}
    - {name: canary, labels: {version: canary}}
---
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: {name: payment-api}
spec:
  hosts: [payment-api-service]
  http:
    - match: [{headers: {x-canary: {exact: 'true'}}}]
      route: [{destination: {host: payment-api-service, subset: canary}, weight: 100}]
    - route:
        - {destination: {host: payment-api-service, subset: stable, port: {number: 80}}, weight: 100}
        - {destination: {host: payment-api-service, subset: canary, port: {number: 80}}, weight: 0}
",
    at: ("networking.istio.io/v1beta1", "virtualservices/payment-api"),
    weights: ["/spec/http/1/route/0/weight", "/spec/http/1/route/1/weight"],
    kills: ["moving traffic to 10%", "watching at 100%"],
};

const REPLICAS: Kind = Kind {
    router: "replicas",
    way: "service",
    host: "payment-api-service.NAMESPACE",
    in_turn: false,
    objects: "",
    at: ("", ""),
    weights: ["", ""],
    kills: ["scale payment-api-canary from 1 to 5", "updating stable"],
};

/// One test for each kind.
macro_rules! of_every_kind {
    ($($case:ident: $($kind:ident => $name:ident),+;)+) => { $($(
        #[tokio::test]
        async fn $name() {
            $case(&$kind).await;
        }
    )+)+ };
}

of_every_kind! {
    healthy:
        GATEWAY => gateway_gives_users_what_was_asked,
        TRAEFIK => traefik_gives_users_what_was_asked,
        NGINX => nginx_gives_users_what_was_asked,
        ISTIO => istio_gives_users_what_was_asked,
        REPLICAS => replicas_give_users_what_was_asked;
    bad:
        GATEWAY => gateway_takes_users_away_from_a_bad_canary,
        TRAEFIK => traefik_takes_users_away_from_a_bad_canary,
        NGINX => nginx_takes_users_away_from_a_bad_canary,
        ISTIO => istio_takes_users_away_from_a_bad_canary,
        REPLICAS => replicas_take_users_away_from_a_bad_canary;
    killed:
        GATEWAY => gateway_gives_nobody_the_canary_after_a_kill_and_a_rollback,
        TRAEFIK => traefik_gives_nobody_the_canary_after_a_kill_and_a_rollback,
        NGINX => nginx_gives_nobody_the_canary_after_a_kill_and_a_rollback,
        ISTIO => istio_gives_nobody_the_canary_after_a_kill_and_a_rollback,
        REPLICAS => replicas_give_nobody_the_canary_after_a_kill_and_a_rollback;
    drift:
        GATEWAY => gateway_drift_is_what_users_get_for_a_moment,
        TRAEFIK => traefik_drift_is_what_users_get_for_a_moment,
        NGINX => nginx_drift_is_what_users_get_for_a_moment,
        ISTIO => istio_drift_is_what_users_get_for_a_moment;
    vanished:
        GATEWAY => gateway_leaves_no_weight_without_endpoints,
        TRAEFIK => traefik_leaves_no_weight_without_endpoints,
        NGINX => nginx_leaves_no_weight_without_endpoints,
        ISTIO => istio_leaves_no_weight_without_endpoints,
        REPLICAS => replicas_that_vanish_cost_nobody_a_request;
}

/// Every request is answered well, and each step gives the canary its share.
async fn healthy(kind: &Kind) {
    with_users(kind, WELL, async |shop, users| {
        let hold = requests_of_a_step(kind).div_ceil(u64::from(RATE));
        let mut run = shop.start(&format!("auto --yes --hold {hold}s"));
        for step in [10, 50, 100] {
            run.until(&format!("watching at {step}%")).await;
        }
        run.ended().await.ends(0).says("PROMOTED");
        let after = {
            let rows = users.got().await;
            nobody_failed(&rows);
            for step in [10, 50, 100] {
                had_its_share(kind, &rows, step);
            }
            if kind.router != "replicas" {
                let unasked = |row: &&Row| !["0.0", "10.0", "50.0", "100.0"].contains(&&*row.asked);
                assert!(!rows.iter().any(|row| unasked(&row)), "{rows:#?}");
            }
            users.next(300).await
        };
        nobody_failed(&after);
        assert!(
            after
                .iter()
                .all(|row| row.image == NEW && row.side == "stable"),
            "{after:#?}"
        );
        everybody_saw_it(users).await;
    })
    .await;
}

/// Users are hurt by the canary alone, and not for long.
async fn bad(kind: &Kind) {
    with_users(kind, BAD, async |shop, users| {
        shop.run("auto --yes").await.ends(3).says("ROLLED BACK");
        let rows = users.got().await;
        let hurt = failures(&of_side(&rows, "canary"));
        assert!(hurt > 0, "nobody met the canary: {rows:#?}");
        assert_eq!(failures(&rows), hurt, "stable failed: {rows:#?}");
        assert!(hurt <= MOST_HURT, "{hurt} users were hurt: {rows:#?}");
        say(kind, "a bad canary", &rows);
        nobody_has_the_canary(users).await;
    })
    .await;
}

/// What was killed in the middle is taken back by a rollback; on the way nobody is failed.
async fn killed(kind: &Kind) {
    with_users(kind, WELL, async |shop, users| {
        for moment in kind.kills {
            let mut run = shop.start("auto --yes --hold 1s --restart");
            run.until(moment).await;
            run.signal("KILL").await;
            run.ended().await;
            shop.run("rollback").await.ends(0).says("ROLLED BACK");
            nobody_has_the_canary(users).await;
        }
        everybody_saw_it(users).await;
    })
    .await;
}

/// What somebody sets is what users get, until it is re-applied.
async fn drift(kind: &Kind) {
    with_users(kind, WELL, async |shop, users| {
        let mut run = shop.start("auto --yes --hold 5s");
        run.until("watching at 10%").await;
        set_weights(shop, kind, 70).await;
        run.until("another client changed the split").await;
        run.until("watching at 50%").await;
        let rows = users.got().await;
        nobody_failed(&rows);
        let drifted = sum(&asked(&rows, "70.0"));
        say(kind, "drift", &rows);
        assert!(drifted > 0, "the data plane never saw it: {rows:#?}");
        assert!(drifted <= MOST_DRIFTED, "{drifted} users: {rows:#?}");
        let later = users.next(500).await;
        had_its_share(kind, &later, 50);
    })
    .await;
}

/// A canary whose pods are all gone from the endpoints loses its weight at once.
async fn vanished(kind: &Kind) {
    with_users(kind, WELL, async |shop, users| {
        let mut run = shop.start("auto --yes --hold 20s --steps 50%,100%");
        run.until("watching at 50%").await;
        let before = users.next(200).await;
        nobody_failed(&before);
        shop.scenario(AWAY).await;
        let ran = run.ended().await.ends(3).says("ROLLED BACK");
        if kind.router != "replicas" {
            ran.says("no pod of payment-api-canary is ready");
        }
        let rows = users.got().await;
        say(kind, "endpoints that vanish", &rows);
        assert_eq!(failures(&of_side(&rows, "stable")), 0, "{rows:#?}");
        let most = if kind.router == "replicas" {
            0
        } else {
            MOST_UNSERVED
        };
        assert!(failures(&rows) <= most, "{rows:#?}");
        let alone: u64 = rows
            .iter()
            .filter_map(|row| row.ends.get("no server"))
            .sum();
        assert_eq!(
            failures(&rows),
            alone,
            "not all for want of a server: {rows:#?}"
        );
        nobody_has_the_canary(users).await;
    })
    .await;
}

/// The ground of all of it: pods that end as they should cost nobody a request, by any way in, and
/// those that end at once do, so that it would be seen.
#[tokio::test]
async fn pods_that_end_gracefully_cost_nobody_a_request() {
    let plane = Plane::shared().await;
    let _seat = plane.seat().await;
    on(&plane.ground, WELL, async |shop| {
        let mut all = Vec::new();
        for kind in [&GATEWAY, &TRAEFIK, &NGINX, &ISTIO, &REPLICAS] {
            // A VirtualService and a Service have one name, and two ways in.
            if kind.way != "service" {
                create(shop, kind).await;
            }
            let host = host(shop, kind);
            all.push(plane.users(shop, kind.way, &host, RATE / 5).await);
        }
        restart(shop, "once").await;
        let mut graceful = Vec::new();
        for users in &all {
            graceful.push(users.forget().await);
        }
        shop.scenario(ABRUPT).await;
        restart(shop, "twice").await;
        let mut failed = 0;
        for users in &all {
            failed += failures(&users.got().await);
            users.go().await;
        }
        for rows in &graceful {
            nobody_failed(rows);
        }
        assert!(failed > 0, "nobody saw pods that end at once");
    })
    .await;
}

/// Most requests that a bad canary may fail.
const MOST_HURT: u64 = 300;
/// Most requests that may be divided as somebody else wanted.
const MOST_DRIFTED: u64 = 600;
/// Most requests that may find nobody behind the canary's weight.
const MOST_UNSERVED: u64 = 500;

/// Runs a test in a shop with the objects of a kind, while users come.
async fn with_users(kind: &Kind, scenario: &str, test: impl AsyncFnOnce(&Shop<'_>, &Users<'_>)) {
    let plane = Plane::shared().await;
    let _seat = plane.seat().await;
    on(&plane.ground, scenario, async |shop| {
        create(shop, kind).await;
        let file = shop.folder.join("canary.yaml");
        let plan = fs::read_to_string(&file).unwrap();
        fs::write(
            &file,
            format!("{plan}router: {}\nbrake: false\n", kind.router),
        )
        .unwrap();
        let users = plane.users(shop, kind.way, &host(shop, kind), RATE).await;
        let outcome = AssertUnwindSafe(test(shop, &users)).catch_unwind().await;
        users.go().await;
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    })
    .await;
}

fn host(shop: &Shop<'_>, kind: &Kind) -> String {
    kind.host.replace("NAMESPACE", &shop.namespace)
}

async fn create(shop: &Shop<'_>, kind: &Kind) {
    let text = kind.objects.replace("HOST", &host(shop, kind));
    for mut object in parse_objects(&text).unwrap() {
        object["metadata"]["namespace"] = json!(shop.namespace);
        let version = object["apiVersion"].as_str().unwrap();
        let plural = match object["kind"].as_str().unwrap() {
            "Ingress" => "ingresses".to_owned(),
            kind => format!("{}s", kind.to_lowercase()),
        };
        let all = format!("/apis/{version}/namespaces/{}/{plural}", shop.namespace);
        shop.send("POST", &all, Some(&object)).await;
    }
}

/// Sets the weights as somebody else would.
async fn set_weights(shop: &Shop<'_>, kind: &Kind, canary: u64) {
    let (version, name) = kind.at;
    let at = format!("/apis/{version}/namespaces/{}/{name}", shop.namespace);
    let mut object = shop.send("GET", &at, None).await;
    for (pointer, weight) in kind.weights.iter().zip([100 - canary, canary]) {
        if let Some(place) = object.pointer_mut(pointer).filter(|_| !pointer.is_empty()) {
            *place = if place.is_string() {
                json!(weight.to_string())
            } else {
                json!(weight)
            };
        }
    }
    shop.send("PUT", &at, Some(&object)).await;
}

/// Gives all pods of stable a new template, and waits until the old ones are gone.
async fn restart(shop: &Shop<'_>, when: &str) {
    let template = json!({"metadata": {"annotations": {"restarted": when}}});
    let patch = json!({"spec": {"template": template}});
    let object = shop.patch("deployments", STABLE, &patch).await;
    let generation = object["metadata"]["generation"].clone();
    within(60, "the new pods", async || {
        let object = shop.get("deployments", STABLE).await?;
        let status = &object["status"];
        let done = status["observedGeneration"] == generation && status["updatedReplicas"] == 9;
        (done && status["replicas"] == 9 && status["availableReplicas"] == 9).then_some(())
    })
    .await;
    // Until the last has ended.
    pause(2000).await;
}

/// Returns how many requests a step of a healthy release is to get.
fn requests_of_a_step(kind: &Kind) -> u64 {
    match variable("CANARYCTL_LIVE_DATAPLANE_REQUESTS") {
        Some(all) => {
            all.parse::<u64>()
                .expect("CANARYCTL_LIVE_DATAPLANE_REQUESTS")
                / 3
        }
        None if kind.in_turn => 600,
        None => 2000,
    }
}

/// Panics unless the users say the same: all were answered, none with an error.
async fn everybody_saw_it(users: &Users<'_>) {
    let seen = users.saw().await;
    let well = seen.ends.get("200 OK").copied().unwrap_or(0);
    assert!(seen.failures == 0 && well == seen.answered, "{seen:?}");
}

fn nobody_failed(rows: &[Row]) {
    assert_eq!(failures(rows), 0, "{rows:#?}");
    assert!(sum(rows) > 0, "nobody came");
}

/// Panics unless the canary had its share of those who were to be divided so.
fn had_its_share(kind: &Kind, rows: &[Row], step: u32) {
    let rows = asked(rows, &format!("{step}.0"));
    let all = sum(&rows);
    let canary = sum(&of_side(&rows, "canary"));
    #[expect(clippy::cast_precision_loss, reason = "counts of requests")]
    let (got, wanted, size) = (
        100.0 * canary as f64 / all as f64,
        f64::from(step),
        all as f64,
    );
    let bound = if kind.in_turn {
        1.0
    } else {
        (4.0 * (wanted * (100.0 - wanted) / size).sqrt()).max(1.0)
    };
    assert!(all >= 400, "{step}%: only {all} requests: {rows:#?}");
    assert!(
        (got - wanted).abs() <= bound,
        "{step}%: users got {got:.2}% of {all}: {rows:#?}"
    );
}

/// Panics unless everybody gets the old version of stable, and an answer.
async fn nobody_has_the_canary(users: &Users<'_>) {
    let rows = users.next(300).await;
    nobody_failed(&rows);
    assert!(
        rows.iter()
            .all(|row| row.image == OLD && row.side == "stable"),
        "{rows:#?}"
    );
}

/// Tells what was counted: numbers for whoever reads the log.
#[expect(clippy::print_stderr, reason = "measured, not asserted")]
fn say(kind: &Kind, what: &str, rows: &[Row]) {
    eprintln!(
        "{}, {what}: {} of {} failed",
        kind.router,
        failures(rows),
        sum(rows)
    );
    for row in rows {
        eprintln!("  {row:?}");
    }
}
