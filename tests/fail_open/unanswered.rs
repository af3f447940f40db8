//! A1: no answer is never a good answer, whichever way there is none and whoever was asked.

use canaryctl::domain::{
    check::CheckSpec,
    plan::MetricsSpec,
    release::Outcome,
    verdict::{CheckResult, Unknown, Verdict},
};
use serde_json::{Value, json};

use super::{PAGES, asking, prometheus, scrape};
use crate::support::{Bench, auto, check};

/// Runs a release none of whose checks can know: none is ever healthy, and the release stays at its
/// first step. Returns the last word of each check.
async fn never_healthy(
    bench: &Bench,
    metrics: Option<MetricsSpec>,
    checks: Vec<CheckSpec>,
) -> Vec<CheckResult> {
    let names: Vec<String> = checks.iter().map(|c| c.name.clone()).collect();
    let end = bench.drive(auto(), asking(metrics, checks)).await.unwrap();
    assert_eq!(end.outcome, Outcome::Paused, "{}", bench.told());
    assert_eq!(end.release.step, 0, "{}", bench.told());
    let last = |name: &String| {
        let results = bench.results(name);
        assert!(
            results.len() >= 5,
            "{name} was hardly looked at: {}",
            bench.told()
        );
        for result in &results {
            assert_eq!(result.verdict, Verdict::Unknown, "{result:?}");
        }
        results.last().unwrap().clone()
    };
    names.iter().map(last).collect()
}

fn says(result: &CheckResult, why: Unknown, text: &str) {
    assert_eq!(result.unknown, Some(why), "{result:?}");
    assert!(result.text.contains(text), "{text}: {}", result.text);
}

/// Checks of Prometheus whose limits any number keeps.
fn of_prometheus() -> Vec<CheckSpec> {
    vec![
        check("errorRate", &json!({"max": "99%"})),
        check("latency", &json!({"max": "1h"})),
        check(
            "value",
            &json!({
                "name": "value", "window": "10s", "max": 1e300,
                "query": "sum(rate(http_requests_total{namespace=\"{{namespace}}\",pod=~\"{{pods}}\"}[1m]))",
            }),
        ),
    ]
}

fn answering(how: &str) -> Bench {
    let fault = format!("faults: [{{at: 0s, do: {{prometheus: {how}}}}}]\nprometheus:\n");
    Bench::edited("metrics", &[("prometheus:\n", &fault)])
}

#[tokio::test(start_paused = true)]
async fn a1_a_prometheus_that_is_well_lets_the_same_checks_pass() {
    let bench = answering("well");
    let plan = asking(Some(prometheus()), of_prometheus());
    bench.ends(auto(), plan, Outcome::Promoted).await;
    for name in ["error rate", "p95 latency", "value"] {
        let healthy = bench.results(name).into_iter();
        let healthy = healthy.filter(|r| r.verdict == Verdict::Healthy).count();
        assert!(healthy > 3, "{name}: {}", bench.told());
    }
}

#[tokio::test(start_paused = true)]
async fn a1_a_prometheus_without_an_answer_is_never_healthy() {
    use Unknown::{NoData, Query, SourceDown};
    for (how, counted, value, said) in [
        ("down", SourceDown, SourceDown, ""),
        ("{error: 500}", SourceDown, SourceDown, "HTTP 500"),
        ("{error: 503}", SourceDown, SourceDown, "HTTP 503"),
        ("{error: 404}", SourceDown, SourceDown, "HTTP 404"),
        ("{slow: 20s}", SourceDown, SourceDown, ""),
        ("empty", NoData, NoData, "no time series"),
        ("nan", Query, NoData, ""),
        (
            "\"null\"",
            SourceDown,
            SourceDown,
            "no answer of a Prometheus",
        ),
        ("html", SourceDown, SourceDown, "web page"),
        ("redirect", SourceDown, SourceDown, "redirects"),
    ] {
        let bench = answering(how);
        let last = never_healthy(&bench, Some(prometheus()), of_prometheus()).await;
        says(&last[0], counted, said);
        says(&last[1], counted, said);
        says(&last[2], value, said);
    }
}

#[tokio::test(start_paused = true)]
async fn a1_an_answer_that_is_too_long_is_never_healthy() {
    let bench = answering("huge");
    let mut checks = of_prometheus();
    checks.truncate(1);
    let last = never_healthy(&bench, Some(prometheus()), checks).await;
    says(&last[0], Unknown::SourceDown, "");
}

#[tokio::test(start_paused = true)]
async fn a1_queries_without_a_number_are_never_healthy() {
    for (query, why, said) in [
        ("nothing_of_this_name", Unknown::NoData, "no time series"),
        (
            "sum(rate(http_requests_total{status=\"999\"}[1m]))",
            Unknown::NoData,
            "no time series",
        ),
        ("vector(0) / vector(0)", Unknown::NoData, "the value is NaN"),
        ("vector(1) / vector(0)", Unknown::NoData, "the value is inf"),
        ("sum(rate(up))", Unknown::Query, "rejects the query"),
        ("sum(", Unknown::Query, "rejects the query"),
    ] {
        let bench = Bench::new("metrics");
        let options =
            json!({"name": "value", "query": query, "min": -1e300, "max": 1e300, "window": "10s"});
        let checks = vec![check("value", &options)];
        let last = never_healthy(&bench, Some(prometheus()), checks).await;
        says(&last[0], why, said);
        says(&last[0], why, query);
    }
}

#[tokio::test(start_paused = true)]
async fn a1_a_prometheus_that_goes_away_stops_the_release_until_it_is_back() {
    // It is gone from the third minute to the ninth.
    let bench = Bench::new("prometheus-down");
    let mut plan = asking(Some(prometheus()), of_prometheus());
    plan.steps[0].hold = std::time::Duration::from_secs(240);
    plan.steps[0].deadline = std::time::Duration::from_secs(1200);
    let end = bench.drive(auto(), plan).await.unwrap();
    assert_eq!(end.outcome, Outcome::Paused, "{}", bench.told());
    assert_eq!(end.release.step, 0);
    let errors = bench.results("error rate");
    assert!(
        errors.iter().any(|r| r.verdict == Verdict::Healthy),
        "{}",
        bench.told()
    );
    let last = errors.last().unwrap();
    assert!(
        last.verdict == Verdict::Unknown && last.hopeless,
        "{last:?}"
    );
    says(last, Unknown::SourceDown, "");
}

/// A scenario whose canary answers `GET /metrics` in its own way; stable gives Prometheus' text.
fn canary_says(metrics: &str) -> Bench {
    let stable = "  - match: {image: \"payment-api:1.5.\"}\n";
    let canary = "  - match: {image: payment-api}\n";
    let with = |line: &str, metrics: &str| format!("{line}    metrics: {metrics}\n");
    Bench::edited(
        "healthy",
        &[
            (stable, &with(stable, "prometheus")),
            (canary, &with(canary, metrics)),
        ],
    )
}

#[tokio::test(start_paused = true)]
async fn a1_a_page_that_is_scraped_in_vain_is_never_healthy() {
    use Unknown::{NoData, Query};
    for (metrics, whys) in [
        ("missing", &[Query][..]),
        ("\"null\"", &[Query, NoData]),
        ("nan", &[Query]),
        ("empty", &[NoData, Query]),
        ("json", &[Query]),
    ] {
        let bench = canary_says(metrics);
        let checks = vec![
            check("errorRate", &json!({"max": "99%"})),
            check("latency", &json!({"max": "1h"})),
        ];
        for last in never_healthy(&bench, Some(scrape("/metrics")), checks).await {
            assert!(whys.contains(&last.unknown.unwrap()), "{metrics}: {last:?}");
            assert!(
                last.text.contains(":3000/metrics: "),
                "{metrics}: {}",
                last.text
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a1_the_same_page_with_counters_is_healthy() {
    let bench = canary_says("prometheus");
    let checks = vec![check("errorRate", &json!({"max": "99%"}))];
    let plan = asking(Some(scrape("/metrics")), checks);
    bench.ends(auto(), plan, Outcome::Promoted).await;
    let errors = bench.results("error rate");
    assert!(
        errors.iter().any(|r| r.verdict == Verdict::Healthy),
        "{errors:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a1_pages_that_nobody_serves_are_never_healthy() {
    for (path, port, why) in [
        (PAGES, 9, Unknown::SourceDown),
        ("/nowhere", 3000, Unknown::Query),
    ] {
        let bench = Bench::new("healthy");
        let metrics = super::metrics("scrape", &json!({"path": path, "port": port}));
        let checks = vec![check("errorRate", &json!({"max": "99%"}))];
        let last = never_healthy(&bench, Some(metrics), checks).await;
        says(&last[0], why, "");
    }
}

/// Numbers and conditions of `GET /metrics` that any counter fulfils, of the pods and by a URL.
fn of_the_body() -> Vec<CheckSpec> {
    let url = "http://payment-api-{{track}}-service.{{namespace}}.svc/metrics";
    let any = "body.totalTransactions >= 0 || body.totalTransactions < 0";
    let number = |options: Value| {
        let mut options = options;
        options["value"] = json!("body.totalTransactions");
        options["min"] = json!(0);
        options
    };
    vec![
        check(
            "http",
            &number(json!({"name": "http number", "path": "/metrics"})),
        ),
        check(
            "http",
            &json!({
                "name": "http share", "path": "/metrics", "min": "1%",
                "good": "body.successfulTransactions", "total": "body.totalTransactions",
            }),
        ),
        check("json", &number(json!({"name": "json number", "url": url}))),
        check(
            "json",
            &json!({"name": "json condition", "url": url, "expect": any}),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn a1_a_body_without_the_number_is_never_healthy() {
    for (metrics, said) in [
        ("\"null\"", "the body is null"),
        ("nan", "not JSON"),
        ("empty", "the body is empty"),
        ("missing", "status 404"),
    ] {
        let bench = canary_says(metrics);
        for last in never_healthy(&bench, None, of_the_body()).await {
            assert!(last.text.contains(said), "{metrics}: {}", last.text);
        }
    }
    let bench = canary_says("json");
    let plan = asking(None, of_the_body());
    bench.drive(auto(), plan).await.unwrap();
    for name in ["http number", "json number", "json condition"] {
        let results = bench.results(name);
        assert!(
            results.iter().any(|r| r.verdict == Verdict::Healthy),
            "{name}: {results:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a1_a_number_that_nobody_answers_is_never_healthy() {
    let bench = Bench::new("healthy");
    let checks = vec![
        check(
            "http",
            &json!({"name": "pods", "path": "/metrics", "port": 9, "value": "body.totalTransactions", "min": 0}),
        ),
        check(
            "json",
            &json!({"name": "url", "url": "http://none.canary-release.svc/x", "via": "port-forward", "expect": "status > 0"}),
        ),
        check("saturation", &json!({"resource": "memory", "max": "99%"})),
    ];
    bench
        .sim
        .server()
        .set_rules(canaryctl::sim::api::Rules::new("dev").deny("list", "metrics.k8s.io", "pods"));
    let last = never_healthy(&bench, None, checks).await;
    says(&last[0], Unknown::SourceDown, ":9: ");
    assert!(last[1].text.contains("none"), "{}", last[1].text);
    says(&last[2], Unknown::SourceDown, "permission to list");
}
