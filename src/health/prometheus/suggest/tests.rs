//! Searches on servers that answer as a test says.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::{
    clock::Clock,
    cluster::Cluster,
    domain::workload::{Pod, Track, Workload},
    health::{
        Facts,
        prometheus::Prometheus,
        source::{Source, SourceKind},
        web::tests::{Said, Server as Loopback},
    },
    sim::{SimCluster, scenario::Scenario},
};

const STABLE: &str = "pay-7d9c5b6f8-x2k4m";
const CANARY: &str = "pay-canary-5f4d8c9b7-b6n2t";

/// Answers a query with these series.
fn vector(series: &[(Value, u32)]) -> Said {
    let result: Vec<Value> = series
        .iter()
        .map(|(labels, value)| json!({"metric": labels, "value": [0, value.to_string()]}))
        .collect();
    let body = json!({"status": "success", "data": {"resultType": "vector", "result": result}});
    (
        200,
        vec![("content-type", "application/json")],
        body.to_string(),
    )
}

/// Starts a server that answers queries.
async fn serving(answer: impl Fn(&str) -> Said + Send + Sync + 'static) -> Loopback {
    Loopback::start(move |seen| {
        let form = form_urlencoded::parse(seen.body.as_bytes());
        let query = form.into_iter().find(|(name, _)| name == "query");
        answer(&query.unwrap().1)
    })
    .await
}

fn queries(server: &Loopback) -> Vec<String> {
    let query = |body: &str| {
        let mut form = form_urlencoded::parse(body.as_bytes());
        form.find(|(name, _)| name == "query")
            .unwrap()
            .1
            .into_owned()
    };
    server.seen().iter().map(|seen| query(&seen.body)).collect()
}

fn side(name: &str, pod: &str) -> Workload {
    let pod = Pod {
        name: pod.to_owned(),
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
        name: name.to_owned(),
        pods: vec![pod],
        ..Workload::default()
    }
}

fn cluster(clock: Clock) -> Cluster {
    let sim = SimCluster::start(Scenario::parse("{}").unwrap(), None, clock.clone()).unwrap();
    Cluster::new(sim.client("shop"), "shop", clock)
}

/// Searches where these options count nothing.
async fn searched(clock: Clock, options: Value) -> Search {
    let mut from = <dyn erased_serde::Deserializer<'_>>::erase(options);
    let options = Prometheus.options(&mut from).unwrap();
    let source: Arc<dyn Source> = Prometheus.bind(&options, &cluster(clock)).unwrap();
    let sides = [side("pay", STABLE), side("pay-canary", CANARY)];
    let look = |track, workload| Look {
        workload,
        pods: &[],
        service: None,
        started: Timestamp::UNIX_EPOCH,
        at: Timestamp::UNIX_EPOCH,
        facts: Facts {
            app: "pay",
            stable: "pay",
            canary: "pay-canary",
            service: None,
            track,
            weight: None,
        },
    };
    let sides = Sides {
        stable: look(Track::Stable, &sides[0]),
        canary: look(Track::Canary, &sides[1]),
    };
    source.search(&sides).await.unwrap()
}

fn is_first(query: &str) -> bool {
    query.starts_with("count by (__name__)")
}

fn present(metrics: &[&str]) -> Said {
    let series: Vec<(Value, u32)> = metrics
        .iter()
        .map(|name| (json!({"__name__": name}), 3))
        .collect();
    vector(&series)
}

fn chosen(search: &Search) -> Vec<(&str, Option<&str>)> {
    let all = search.suggestions.iter();
    all.map(|s| (s.preset, s.selector.as_deref())).collect()
}

/// Good requests that a pod counted.
fn requests(pod: &str) -> (Value, u32) {
    (
        json!({"pod": pod, "status": "200", "response_code": "200"}),
        40,
    )
}

/// Answers as a server with istio's metrics, selected by `deployment` of its pods.
fn istio(query: &str) -> Said {
    let of_stable = query.contains("deployment=\"pay\"");
    let of_canary = query.contains("deployment=\"pay-canary\"");
    let is_word = query.contains("namespace=\"shop\",deployment=");
    match query {
        _ if is_first(query) => present(&["istio_requests_total"]),
        _ if query.contains(" and ") || !is_word || !query.contains("istio_") => vector(&[]),
        _ if query.starts_with("count(") => vector(&[(json!({}), 12)]),
        _ if of_stable => vector(&[requests(STABLE)]),
        _ if of_canary => vector(&[requests(CANARY)]),
        _ => vector(&[]),
    }
}

#[tokio::test]
async fn the_one_combination_with_data_is_found_with_few_queries() {
    let server = serving(istio).await;
    let url = server.url("/");
    let search = searched(Clock::System, json!({"url": url})).await;
    assert_eq!(chosen(&search), [("istio", Some("deployment"))]);
    let seen = Seen {
        requests: Some(40.0),
        pods: Some(1),
        ready: 1,
        histogram: true,
        canary: Some(true),
    };
    assert_eq!(search.suggestions[0].seen, seen);
    assert_eq!(search.unfinished, None);
    // One for the presets, one for each selector of istio's, three closer ones.
    let asked = queries(&server);
    assert_eq!(asked.len(), 1 + 8 + 3, "{asked:#?}");
}

#[tokio::test]
async fn what_selects_both_sides_is_never_proposed() {
    let server = serving(|query| match query {
        _ if is_first(query) => present(&["http_requests_total"]),
        _ if query.contains(" and ") => vector(&[(json!({}), 5)]),
        _ => vector(&[requests(STABLE)]),
    })
    .await;
    let search = searched(
        Clock::System,
        json!({"url": server.url("/"), "preset": "spring"}),
    )
    .await;
    assert_eq!(chosen(&search), []);
    assert_eq!(search.mixed, ["http"]);
    assert_eq!(search.unselected, [""; 0]);
}

#[tokio::test]
async fn pods_of_others_among_stables_are_not_proposed() {
    for (others, proposed) in [
        (&[STABLE][..], true),
        // One that stable had a moment ago.
        (&[STABLE, "pay-7d9c5b6f8-p9wqz"], true),
        (&[STABLE, "pay-docs-6c8f7b9d5-q4rtw"], false),
        (&[STABLE, CANARY], false),
        (&[CANARY], false),
        // A collector that counts for all tells no pods.
        (&["collector-6b7f9d8c4-2zxkq"], true),
    ] {
        let series: Vec<(Value, u32)> = others.iter().map(|pod| requests(pod)).collect();
        let server = serving(move |query| match query {
            _ if is_first(query) => present(&["http_requests_total"]),
            _ if query.contains(" and ") => vector(&[]),
            _ => vector(&series),
        })
        .await;
        let options = json!({"url": server.url("/"), "preset": "spring"});
        let search = searched(Clock::System, options).await;
        assert_eq!(!search.suggestions.is_empty(), proposed, "{others:?}");
        assert_eq!(search.mixed.is_empty(), proposed, "{others:?}");
    }
}

#[tokio::test]
async fn requests_whose_end_is_not_told_are_not_proposed() {
    let server = serving(|query| match query {
        _ if is_first(query) => present(&["http_requests_total"]),
        _ if query.contains(" and ") => vector(&[]),
        _ => vector(&[requests(STABLE), (json!({"pod": STABLE}), 3)]),
    })
    .await;
    let search = searched(
        Clock::System,
        json!({"url": server.url("/"), "preset": "spring"}),
    )
    .await;
    assert_eq!(chosen(&search), []);
    assert_eq!(search.untold, ["http"]);
    assert_eq!(search.unselected, [""; 0]);
}

#[tokio::test]
async fn recorded_values_are_proposed_where_there_is_one() {
    let server = serving(|query| match query {
        _ if is_first(query) => present(&["stable:error_rate:5m"]),
        "stable:error_rate:5m <= 1" => vector(&[
            (json!({"service": "pay"}), 0),
            (json!({"service": "docs"}), 0),
        ]),
        _ if query.contains(":5m{service=\"pay\"") => vector(&[(json!({}), 0)]),
        _ => vector(&[]),
    })
    .await;
    let search = searched(Clock::System, json!({"url": server.url("/")})).await;
    assert_eq!(chosen(&search), [("recording-rules", Some("service"))]);
    let seen = &search.suggestions[0].seen;
    assert_eq!((seen.requests, seen.histogram), (None, true));
}

#[tokio::test]
async fn a_refused_first_query_leaves_all_presets_to_be_tried() {
    let server = serving(|query| {
        if is_first(query) {
            let body = r#"{"status":"error","errorType":"execution","error":"query processing would load too many samples"}"#;
            return (422, vec![("content-type", "application/json")], body.to_owned());
        }
        istio(query)
    })
    .await;
    let search = searched(Clock::System, json!({"url": server.url("/")})).await;
    assert_eq!(chosen(&search), [("istio", Some("deployment"))]);
    assert_eq!(search.unselected, [""; 0]);
}

#[tokio::test]
async fn a_server_that_fails_meanwhile_is_left_alone() {
    let server = serving(|query| {
        if is_first(query) {
            return present(&["http_requests_total", "istio_requests_total"]);
        }
        (503, Vec::new(), "overload".to_owned())
    })
    .await;
    let search = searched(Clock::System, json!({"url": server.url("/")})).await;
    assert_eq!(chosen(&search), []);
    let reason = search.unfinished.unwrap();
    assert!(reason.contains("HTTP 503"), "{reason}");
    let asked = queries(&server).len();
    assert!(asked <= 1 + AT_ONCE, "{asked} queries");
}

#[tokio::test]
async fn one_deadline_ends_all() {
    // Nobody accepts: connections wait.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let clock = Clock::simulated(Timestamp::UNIX_EPOCH, 100.0);
    let start = clock.now();
    let search = searched(clock.clone(), json!({"url": url, "timeout": "60s"})).await;
    assert_eq!(
        search.unfinished.as_deref(),
        Some("the search ended after 10s")
    );
    let took = clock.now().duration_since(start).as_secs();
    assert!((10..60).contains(&took), "{took} s");
}

#[tokio::test]
async fn a_line_has_no_credentials() {
    let server = serving(|query| match query {
        _ if is_first(query) => present(&["http_requests_total"]),
        _ if query.contains(" and ") => vector(&[]),
        _ => vector(&[requests(STABLE)]),
    })
    .await;
    let options = json!({
        "url": server.url("/?tenant=hunter2"),
        "preset": "spring",
        "headers": {"X-Scope-OrgID": "hunter2"},
    });
    let search = searched(Clock::System, options).await;
    assert_eq!(search.kept, ["headers", "the query of url"]);
    let line = &search.suggestions[0].line;
    let expected = format!(
        "metrics: {{prometheus: {{url: {}, preset: http}}}}",
        server.url("/")
    );
    assert_eq!(*line, expected);
}

#[test]
fn a_line_is_yaml_whatever_the_selector() {
    for (selector, expected) in [
        (None, ""),
        (Some("app+version"), ", selector: app+version"),
        (
            Some("job=\"it's-{{track}}\""),
            ", selector: 'job=\"it''s-{{track}}\"'",
        ),
        (
            Some("a=\"1\",\nb=\"2\""),
            r#", selector: "a=\"1\",\nb=\"2\"""#,
        ),
    ] {
        let url = "http://p.m:9090";
        assert_eq!(
            line(url, "http", selector),
            format!("metrics: {{prometheus: {{url: {url}, preset: http{expected}}}}}")
        );
    }
}
