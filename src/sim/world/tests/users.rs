//! Endpoints, traffic, what the users see, what the apps answer.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::Request;

use super::*;

/// Healthy pods that never fail a request.
const FLAWLESS: &str = "
traffic: {rate: 100, service: canary-release/payment-api-service}
versions: [{match: {image: payment-api}, fraud: 2%}]
";

fn addresses(bench: &Bench, service: &str) -> usize {
    let key = Key::new("", "endpoints", NAMESPACE, service);
    let endpoints = bench.store.get(&key).unwrap();
    endpoints["subsets"][0]["addresses"]
        .as_array()
        .map_or(0, Vec::len)
}

async fn ask(bench: &Bench, pod: &str, path: &str) -> Result<(u16, String), String> {
    let request = Request::get(path).body(Bytes::new()).unwrap();
    let response = bench
        .world
        .apps()
        .answer(NAMESPACE, pod, 3000, request)
        .await?;
    let body = String::from_utf8(response.body().to_vec()).unwrap();
    Ok((response.status().as_u16(), body))
}

#[tokio::test(start_paused = true)]
async fn endpoints_follow_readiness() {
    let bench = Bench::builtin("healthy");
    assert_eq!(addresses(&bench, "payment-api-service"), 10);
    assert_eq!(addresses(&bench, "payment-api-canary-service"), 1);
    bench.scale("payment-api-canary", 3);
    bench.wait(5).await;
    assert_eq!(addresses(&bench, "payment-api-canary-service"), 1);
    bench.wait(20).await;
    assert_eq!(addresses(&bench, "payment-api-canary-service"), 3);
    bench.scale("payment-api-canary", 0);
    bench.wait(1).await;
    // Still stopping, but out of the endpoints at once.
    assert_eq!(addresses(&bench, "payment-api-canary-service"), 0);
    assert_eq!(bench.pods("payment-api-canary").len(), 3);
    bench.wait(5).await;
    assert!(bench.pods("payment-api-canary").is_empty());
    assert_eq!(addresses(&bench, "payment-api-service"), 9);
}

#[tokio::test(start_paused = true)]
async fn traffic_splits_by_ready_pods() {
    let bench = Bench::with(FLAWLESS);
    bench.scale("payment-api-canary", 3);
    bench.scale("payment-api-stable", 7);
    bench.wait(60).await;
    let before = bench.world.users();
    bench.wait(600).await;
    let after = bench.world.users();
    let of = |users: &Users, track: &str| users.tracks[track].requests;
    let canary = of(&after, "canary") - of(&before, "canary");
    let all = after.total.requests - before.total.requests;
    assert!((55_000..65_000).contains(&all), "{all}");
    assert!((canary * 100 / all).abs_diff(30) <= 2, "{canary} of {all}");
}

#[tokio::test(start_paused = true)]
async fn users_see_no_failure_while_pods_come_and_go() {
    let bench = Bench::with(FLAWLESS);
    for (stable, canary) in [(9, 3), (7, 3), (7, 10), (0, 10), (9, 10), (9, 0)] {
        bench.scale("payment-api-stable", stable);
        bench.scale("payment-api-canary", canary);
        bench.wait(40).await;
    }
    bench.set_image("payment-api-stable", "registry.example/payment-api:2.0.0");
    bench.wait(300).await;
    let users = bench.world.users();
    assert!(users.total.requests > 40_000);
    assert_eq!((users.total.failed, users.refused), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn requests_are_refused_when_nobody_is_ready() {
    let bench = Bench::with(FLAWLESS);
    bench.scale("payment-api-stable", 0);
    bench.scale("payment-api-canary", 0);
    bench.wait(30).await;
    let users = bench.world.users();
    assert!(users.refused > 2_500, "{}", users.refused);
    assert!(users.timeline.last().unwrap().refused > 0);
}

#[tokio::test(start_paused = true)]
async fn errors_begin_when_the_canary_gets_a_quarter() {
    let bench = Bench::builtin("errors-at-25");
    bench.wait(120).await;
    let few = bench.world.users().tracks["canary"];
    assert!(few.failed * 50 < few.requests, "{few:?}");
    bench.scale("payment-api-canary", 3);
    bench.wait(120).await;
    let many = bench.world.users().tracks["canary"];
    assert!(
        (many.failed - few.failed) * 6 > many.requests - few.requests,
        "{few:?} {many:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn counters_begin_again_when_the_container_restarts() {
    let bench = Bench::builtin("crash-loop");
    let pod = object::name(&bench.pods("payment-api-canary")[0]).to_owned();
    let mut last = 0;
    let mut fell = false;
    for _ in 0..60 {
        bench.wait(1).await;
        if let Ok((_, body)) = ask(&bench, &pod, "/metrics").await {
            let metrics: Value = serde_json::from_str(&body).unwrap();
            let total = metrics["totalTransactions"].as_u64().unwrap();
            fell |= total < last;
            last = total;
        }
    }
    assert!(fell);
}

#[tokio::test(start_paused = true)]
async fn the_payment_api_answers_like_its_script() {
    let bench = Bench::builtin("healthy");
    bench.wait(60).await;
    let pod = object::name(&bench.pods("payment-api-canary")[0]).to_owned();
    let (status, body) = ask(&bench, &pod, "/health").await.unwrap();
    let health: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &health["status"]), (200, &json!("healthy")));
    assert_eq!(health["version"], "canary-v2.0.0");
    assert_eq!(health["track"], "canary");
    let (_, body) = ask(&bench, &pod, "/metrics").await.unwrap();
    let metrics: Value = serde_json::from_str(&body).unwrap();
    let number = |field: &str| metrics[field].as_u64().unwrap();
    assert!(number("totalTransactions") > 100);
    let parts = [
        "successfulTransactions",
        "failedTransactions",
        "fraudDetected",
    ];
    assert_eq!(
        parts.into_iter().map(number).sum::<u64>(),
        number("totalTransactions")
    );
    let (_, text) = ask(&bench, &pod, "/prometheus-metrics").await.unwrap();
    assert!(
        text.contains("http_requests_total{version=\"canary-v2.0.0\""),
        "{text}"
    );
    for path in ["/ready", "/", "/api/analytics"] {
        assert_eq!(ask(&bench, &pod, path).await.unwrap().0, 200, "{path}");
    }
    assert_eq!(ask(&bench, &pod, "/nothing").await.unwrap().0, 404);
}

#[tokio::test(start_paused = true)]
async fn payments_are_checked_and_take_their_time() {
    let bench = Bench::with("versions: [{latency: {p50: 200ms, p99: 200ms}}]");
    let pod = object::name(&bench.pods("payment-api-stable")[0]).to_owned();
    let pay = |body: &'static str| {
        let request = Request::post("/api/payments")
            .body(Bytes::from(body))
            .unwrap();
        let apps = bench.world.apps();
        let pod = pod.clone();
        async move { apps.answer(NAMESPACE, &pod, 3000, request).await.unwrap() }
    };
    assert_eq!(pay("{\"amount\": 5}").await.status(), 400);
    assert_eq!(pay("not json").await.status(), 400);
    let start = bench.store.clock().now();
    let response = pay("{\"amount\": 5, \"merchant\": \"m\", \"cardNumber\": \"1\"}").await;
    assert_eq!(response.status(), 200);
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(
        (&body["status"], &body["track"]),
        (&json!("approved"), &json!("stable"))
    );
    let took = bench.store.clock().now().duration_since(start).as_millis();
    assert!((195..=210).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn only_listening_ports_of_running_pods_answer() {
    let bench = Bench::builtin("image-missing");
    let dead = object::name(&bench.pods("payment-api-canary")[0]).to_owned();
    assert_eq!(
        ask(&bench, &dead, "/health").await,
        Err("connection refused".into())
    );
    let alive = object::name(&bench.pods("payment-api-stable")[0]).to_owned();
    let request = Request::get("/health").body(Bytes::new()).unwrap();
    let apps = bench.world.apps();
    assert!(apps.answer(NAMESPACE, &alive, 8080, request).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_metrics_endpoint_can_say_nothing() {
    let bench = Bench::builtin("no-data");
    let pod = object::name(&bench.pods("payment-api-canary")[0]).to_owned();
    assert_eq!(
        ask(&bench, &pod, "/metrics").await,
        Ok((200, "null".into()))
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_history() {
    async fn history(seed: u64) -> (Vec<String>, Users) {
        let mut scenario = Scenario::builtin("crash-loop").unwrap();
        scenario.seed = seed;
        let bench = Bench::new(scenario);
        bench.scale("payment-api-canary", 4);
        bench.wait(300).await;
        let log = bench
            .changes()
            .iter()
            .map(|c| format!("{:?} {:?} {}", c.kind, c.key, c.object))
            .collect();
        (log, bench.world.users())
    }
    let (one, two, other) = (history(5).await, history(5).await, history(6).await);
    assert!(one == two);
    assert!(one.1 != other.1);
}

#[tokio::test(start_paused = true)]
async fn half_an_hour_of_release_writes_little() {
    let bench = Bench::builtin("healthy");
    let start = bench.store.version();
    for canary in [1, 3, 5, 10] {
        bench.scale("payment-api-canary", canary);
        bench.wait(60).await;
        bench.scale("payment-api-stable", 10 - canary);
        bench.wait(390).await;
    }
    let writes = bench.store.version() - start;
    assert!(writes < 1500, "{writes}");
    // An idle cluster is silent.
    let quiet = bench.store.version();
    bench.wait(600).await;
    assert_eq!(bench.store.version(), quiet);
    let seconds: BTreeSet<_> = bench.world.users().timeline.iter().map(|s| s.at).collect();
    assert!(seconds.len() > 2_300);
}

#[tokio::test(start_paused = true)]
async fn a_weighted_route_beats_the_number_of_pods() {
    let text = "
traffic: {rate: 100, service: canary-release/payment-api-service}
objects:
  - apiVersion: gateway.networking.k8s.io/v1
    kind: HTTPRoute
    metadata: {name: payments, namespace: canary-release}
    spec:
      rules:
        - backendRefs:
            - {name: payment-api-stable-service, port: 80, weight: 50}
            - {name: payment-api-canary-service, port: 80, weight: 50}
";
    let bench = Bench::with(text);
    bench.wait(300).await;
    let users = bench.world.users();
    let share = users.tracks["canary"].requests * 100 / users.total.requests;
    assert!(share.abs_diff(50) <= 2, "{share}");
    // Weight on a side without pods is refused: pods must not go before traffic.
    bench.scale("payment-api-canary", 0);
    bench.wait(60).await;
    let refused = bench.world.users().refused;
    assert!((2_500..3_500).contains(&refused), "{refused}");
}
