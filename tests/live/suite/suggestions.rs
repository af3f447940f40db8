//! What is proposed where the configured preset has no series: on a real Prometheus that scrapes pages as
//! exporters write them.
//!
//! Owns: pages with two presets, and some that look like them. What is proposed is asked in turn.

use std::fs;

use canaryctl::{
    domain::{
        check::{Reading, Sample},
        workload::Track,
    },
    health::source::Sides,
};
use futures::FutureExt;
use serde_json::{Value, json};

use super::{
    ground::within,
    loopback::{NAMESPACE, answered, folder, look, serve, side, source},
    prometheus::Prometheus,
};

const STABLE: [&str; 2] = ["payment-api-7d9c5b6f8-x2k4m", "payment-api-7d9c5b6f8-p9wqz"];
const CANARY: &str = "payment-api-canary-5f4d8c9b7-b6n2t";
const DOCS: &str = "payment-api-docs-6c8f7b9d5-q4rtw";
const PROXY: &str = "proxy-6b7f9d8c4-2zxkq";

/// Returns the page of a target: the pods have linkerd's counters, the proxy envoy's, and the pods' own
/// counters do not tell how requests end.
fn page(target: &str) -> String {
    if target == PROXY {
        let of = |service: &str, requests: u32| {
            format!(
                "envoy_cluster_upstream_rq{{envoy_cluster_name=\"shop_{service}_80\",envoy_response_code=\"200\"}} {requests}\n"
            )
        };
        return of("payment-api", 90)
            + &of("payment-api-canary", 10)
            + &of("payment-api-docs", 7777);
    }
    let inbound = "direction=\"inbound\",classification=\"success\",status_code=\"200\"";
    format!(
        "http_requests_total{{route=\"/api/payments\"}} 40\n\
         response_total{{{inbound}}} 40\n\
         response_total{{direction=\"inbound\",classification=\"failure\",status_code=\"500\"}} 2\n\
         response_latency_ms_bucket{{direction=\"inbound\",le=\"100\"}} 30\n\
         response_latency_ms_bucket{{direction=\"inbound\",le=\"+Inf\"}} 42\n"
    )
}

/// Returns the targets as service discovery tells them; there are no labels by which linkerd's own
/// selector finds them, but those that words select by.
fn targets(host: &str) -> Value {
    let of = |pod: &str, job: &str| {
        let labels = json!({
            "__metrics_path__": format!("/pages/{pod}"), "pod": pod, "namespace": NAMESPACE,
            "job": job, "instance": format!("{pod}:8080"),
        });
        json!({"targets": [host], "labels": labels})
    };
    json!([
        of(STABLE[0], "payment-api"),
        of(STABLE[1], "payment-api"),
        of(CANARY, "payment-api-canary"),
        of(DOCS, "payment-api-docs"),
        of(PROXY, "proxies"),
    ])
}

/// Returns the requests of readings that count, and panics where one does not.
fn requests(readings: &[Reading]) -> f64 {
    let all = readings.iter().map(|reading| match &reading.sample {
        Sample::Totals { totals, .. } => totals.all.unwrap(),
        _ => panic!("{reading:?}"),
    });
    all.sum()
}

/// Serves the page of every target, and the list of targets; returns its address.
async fn pages() -> String {
    serve(move |uri, _| {
        let answer = if let Some(target) = uri.strip_prefix("/pages/") {
            answered(200, "text/plain; version=0.0.4", page(target))
        } else {
            let host = uri.trim_start_matches("/targets?");
            answered(200, "application/json", targets(host).to_string())
        };
        async { answer }.boxed()
    })
    .await
}

#[tokio::test]
async fn a_wrong_preset_leads_to_what_a_real_prometheus_has() {
    let address = pages().await;
    let folder = folder();
    fs::create_dir_all(&folder).unwrap();
    let host = address.trim_start_matches("http://");
    let prometheus = Prometheus::scraping(&folder, &format!("{address}/targets?{host}"));
    within(30, "a scrape of every target", async || {
        let samples = prometheus.query("count(up == 1)").await;
        (samples.first()?["value"][1].as_str()? == "5").then_some(())
    })
    .await;
    let url = prometheus.address.trim_end_matches('/');
    let wrong = source(json!({"url": url, "preset": "istio"}), "");
    let (stable, canary) = (side(Track::Stable, &STABLE), side(Track::Canary, &[CANARY]));
    let sides = Sides {
        stable: look(Track::Stable, &stable),
        canary: look(Track::Canary, &canary),
    };
    let counted = wrong.count(&sides.stable, true).await;
    assert!(
        matches!(&counted[0].sample, Sample::Missing(..)),
        "{counted:?}"
    );
    let search = wrong.search(&sides).await.unwrap();
    assert_eq!(search.unfinished, None);
    let found: Vec<(&str, Option<&str>)> = search
        .suggestions
        .iter()
        .map(|s| (s.preset, s.selector.as_deref()))
        .collect();
    assert_eq!(
        found,
        [
            ("linkerd", Some("job")),
            ("linkerd", Some("pod")),
            ("envoy", None)
        ]
    );
    // The app's own counters are there, but tell no outcome.
    assert_eq!(search.untold, ["http"]);
    assert_eq!(search.unselected, [""; 0]);
    let best = &search.suggestions[0];
    assert_eq!(best.seen.requests, Some(84.0));
    assert_eq!(best.seen.pods, Some(2));
    assert!(best.seen.histogram && best.seen.canary == Some(true));
    assert_eq!(
        best.line,
        format!("metrics: {{prometheus: {{url: {url}, preset: linkerd, selector: job}}}}")
    );
    let by_hand = [(84.0, 42.0), (84.0, 42.0), (90.0, 10.0)];
    for (suggestion, (of_stable, of_canary)) in search.suggestions.iter().zip(by_hand) {
        let mut options = json!({"url": url, "preset": suggestion.preset});
        if let Some(selector) = &suggestion.selector {
            options["selector"] = json!(selector);
        }
        let right = source(options, "");
        let stable = right.count(&sides.stable, true).await;
        assert!(
            (requests(&stable) - of_stable).abs() < 1e-9,
            "{suggestion:?}"
        );
        let canary = right.count(&sides.canary, true).await;
        assert!(
            (requests(&canary) - of_canary).abs() < 1e-9,
            "{suggestion:?}"
        );
        assert_eq!(right.shared(&sides).await, Ok(0), "{suggestion:?}");
    }
    // On the real server, too, what selects both sides is found out.
    let both = source(
        json!({"url": url, "preset": "linkerd", "selector": "job=~\"payment-api.*\",job!=\"{{track}}\""}),
        "",
    );
    assert_eq!(both.shared(&sides).await, Ok(8));
    drop(prometheus);
    drop(fs::remove_dir_all(&folder));
}
