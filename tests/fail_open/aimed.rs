//! A4, A5: what is asked is about the canary alone, and arrives as it was written.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use canaryctl::{
    cluster::{Cluster, forward::AppRequest},
    domain::{
        plan::MetricsSpec,
        release::Outcome,
        verdict::{CheckResult, Unknown, Verdict},
    },
    sim::scenario::Scenario,
};
use http::Method;
use serde_json::{Value, json};

use super::{PAGES, asking, prometheus, release, scrape};
use crate::support::{Bench, CANARY, NAMESPACE, STABLE, auto, check};

// === A4: the canary, and nobody else ===

/// A namespace in which somebody runs a release of the same names.
const ELSEWHERE: &str = "staging";

/// A Deployment of one pod that runs the app, and is scraped.
fn stranger(namespace: &str, name: &str, labels: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels, "annotations": {
                "prometheus.io/scrape": "true", "prometheus.io/port": "3000", "prometheus.io/path": PAGES,
            }},
            "spec": {"containers": [{
                "name": "payment-api", "image": "registry.example/payment-api:1.5.0",
                "ports": [{"containerPort": 3000}],
            }]},
        }},
    })
}

/// The scenario of a healthy release, beside strangers whose names begin as the canary's or are the
/// same in another namespace.
fn crowded() -> (Bench, Vec<(&'static str, &'static str)>) {
    let same = json!({"app": "payment-api", "version": "canary", "track": "canary"});
    let other = json!({"app": "payment-api-canary", "track": "canary"});
    let strangers = vec![
        (ELSEWHERE, CANARY),
        (NAMESPACE, "payment-api-canary-7b"),
        (NAMESPACE, "payment-api-canary2"),
    ];
    let mut scenario = Scenario::builtin("metrics").unwrap();
    scenario
        .objects
        .push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ELSEWHERE}}));
    for (namespace, name) in &strangers {
        let mut labels = if *namespace == ELSEWHERE {
            same.clone()
        } else {
            other.clone()
        };
        if *name == "payment-api-canary2" {
            labels["version"] = json!("2");
        } else if *namespace == NAMESPACE {
            labels["version"] = json!("1");
        }
        scenario.objects.push(stranger(namespace, name, &labels));
    }
    (Bench::with(scenario), strangers)
}

fn request(method: Method, path: &str) -> AppRequest {
    AppRequest {
        method,
        path: path.to_owned(),
        headers: BTreeMap::new(),
        body: Bytes::from_static(b"{}"),
    }
}

/// Returns the pods of the strangers.
fn pods(bench: &Bench, strangers: &[(&str, &str)]) -> Vec<(Cluster, String)> {
    let store = bench.sim.world().store();
    let mut found = Vec::new();
    for (namespace, name) in strangers {
        let (all, _) = store.list("", "pods", namespace);
        let names = all
            .iter()
            .filter_map(|pod| pod["metadata"]["name"].as_str());
        let prefix = format!("{name}-");
        let of = |pod: &&str| {
            pod.strip_prefix(&prefix)
                .is_some_and(|rest| rest.matches('-').count() == 1)
        };
        let cluster = bench.cluster().in_namespace(*namespace);
        found.extend(
            names
                .filter(of)
                .map(|pod| (cluster.clone(), pod.to_owned())),
        );
    }
    assert_eq!(found.len(), strangers.len(), "{strangers:?}");
    found
}

/// Has the strangers fail requests, a hundred every ten seconds each, as long as the release runs.
async fn failing(bench: &Bench, pods: &[(Cluster, String)]) {
    let wrong = request(Method::POST, "/api/payments");
    loop {
        for (cluster, pod) in pods {
            for _ in 0..100 {
                let answer = cluster
                    .ask_pod(pod, 3000, &wrong, Duration::from_secs(1))
                    .await;
                assert_eq!(answer.unwrap().status, 400);
            }
        }
        bench.wait(10).await;
    }
}

/// Returns the failed requests on the page of a pod.
async fn failed(cluster: &Cluster, pod: &str) -> f64 {
    let page = request(Method::GET, PAGES);
    let answer = cluster
        .ask_pod(pod, 3000, &page, Duration::from_secs(1))
        .await;
    let page = String::from_utf8(answer.unwrap().body.to_vec()).unwrap();
    let line = page.lines().find(|line| line.contains("status=\"500\""));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

/// Runs a release among strangers that fail all the time; none of that is the canary's.
async fn among_strangers(metrics: MetricsSpec) -> (Bench, Vec<CheckResult>) {
    let (bench, strangers) = crowded();
    bench.wait(30).await;
    let pods = pods(&bench, &strangers);
    let mut checks = vec![check("errorRate", &json!({"max": "2%"}))];
    if metrics.name == "prometheus" {
        checks.push(check("value", &json!({
            "name": "failed a second", "max": 0.5, "window": "15s",
            "query": "sum(rate(http_requests_total{namespace=\"{{namespace}}\",pod=~\"{{pods}}\",status=\"500\"}[1m]))",
        })));
    }
    checks.push(check(
        "saturation",
        &json!({"resource": "cpu", "max": "390m"}),
    ));
    let mut plan = asking(Some(metrics), checks);
    for step in &mut plan.steps {
        step.hold = Duration::from_secs(120);
        step.deadline = Duration::from_secs(900);
    }
    let errors = {
        let run = release(&bench, plan, "error rate");
        let fails = failing(&bench, &pods);
        tokio::select! {
            (end, errors) = run => {
                assert_eq!(end.outcome, Outcome::Promoted, "{}", bench.told());
                errors
            }
            () = fails => unreachable!("it goes on for ever"),
        }
    };
    for (cluster, pod) in &pods {
        let failed = failed(cluster, pod).await;
        assert!(failed > 1000.0, "{pod} failed only {failed} requests");
    }
    let judged = errors.iter().filter(|r| r.value.is_some());
    let worst = judged.clone().filter_map(|r| r.value).fold(0.0, f64::max);
    assert!(judged.count() > 5 && worst < 0.05, "{worst}: {errors:?}");
    (bench, errors)
}

#[tokio::test(start_paused = true)]
async fn a4_strangers_with_like_names_do_not_count_by_prometheus() {
    let (bench, errors) = among_strangers(prometheus()).await;
    assert!(
        errors
            .iter()
            .any(|r| r.text.contains("limit 2%") && r.text.ends_with(": enough for 50%")),
        "{errors:?}"
    );
    let own = bench.results("failed a second");
    let healthy = own.iter().filter(|r| r.verdict == Verdict::Healthy);
    assert!(healthy.count() > 3, "{own:?}");
}

#[tokio::test(start_paused = true)]
async fn a4_strangers_with_like_names_do_not_count_by_their_pages() {
    let (bench, errors) = among_strangers(scrape(PAGES)).await;
    assert!(
        errors
            .iter()
            .any(|r| r.text.contains("limit 2%") && r.text.ends_with(": enough for 50%")),
        "{errors:?}"
    );
    // The canary's pods alone are asked for what they use.
    let cpu = bench.results("cpu");
    let at_five = cpu
        .iter()
        .filter(|r| r.text.contains("on 5 of 5 pods"))
        .count();
    assert!(at_five > 3, "{cpu:?}");
}

#[tokio::test(start_paused = true)]
async fn a4_a_query_of_the_strangers_sees_their_errors() {
    // The same query without the names is what scripts ask: it condemns a good canary.
    let (bench, strangers) = crowded();
    bench.wait(30).await;
    let pods = pods(&bench, &strangers);
    let query = "sum(rate(http_requests_total{pod=~\"payment-api-canary.*\",status=\"500\"}[1m]))";
    let options = json!({"name": "everybody", "max": 0.5, "window": "15s", "query": query});
    let plan = asking(Some(prometheus()), vec![check("value", &options)]);
    tokio::select! {
        (end, _) = release(&bench, plan, "everybody") => {
            assert_eq!(end.outcome, Outcome::RolledBack, "{}", bench.told());
        }
        () = failing(&bench, &pods) => unreachable!("it goes on for ever"),
    }
}

#[tokio::test(start_paused = true)]
async fn a4_the_errors_of_stable_are_not_the_canarys() {
    for metrics in [prometheus(), scrape(PAGES)] {
        let edit = (
            "payment-api:1.5.\"}\n    errors: {base: 0.2%}",
            "payment-api:1.5.\"}\n    errors: {base: 3%}",
        );
        let bench = Bench::edited("metrics", &[edit]);
        let mut plan = asking(
            Some(metrics),
            vec![check("errorRate", &json!({"max": "5%"}))],
        );
        plan.steps[0].deadline = Duration::from_secs(900);
        plan.steps[1].deadline = Duration::from_secs(900);
        let (end, errors) = release(&bench, plan, "error rate").await;
        assert_eq!(end.outcome, Outcome::Promoted, "{}", bench.told());
        let both = errors.iter().filter_map(|r| r.value.zip(r.stable));
        let seen = both.filter(|(canary, stable)| *canary < 0.015 && (0.02..0.04).contains(stable));
        assert!(seen.count() > 3, "{errors:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a4_the_goodness_of_stable_does_not_hide_the_canary() {
    // 3 % of one in ten requests: 0.5 % of all.
    for metrics in [prometheus(), scrape(PAGES)] {
        let bench = Bench::new("metrics-bad");
        let mut plan = asking(
            Some(metrics),
            vec![check("errorRate", &json!({"max": "1%"}))],
        );
        plan.steps[0].deadline = Duration::from_secs(3600);
        let (end, errors) = release(&bench, plan, "error rate").await;
        assert_eq!(end.outcome, Outcome::RolledBack, "{}", bench.told());
        assert_eq!(end.release.step, 0);
        let last = errors.last().unwrap();
        assert!(
            last.value.unwrap() > 0.015 && last.stable.unwrap() < 0.01,
            "{last:?}"
        );
    }
    assert_ne!(STABLE, CANARY);
}

// === A5: the query arrives as it was written ===

/// Text in which everything is that gets lost on the way.
const TEXT: &str = "a+b & \"c\" {d}=e;f%20g#h é 日 \\ 100%?x=1";

#[tokio::test(start_paused = true)]
async fn a5_a_query_arrives_as_it_was_written() {
    let text = json!(TEXT).to_string();
    let alert = format!("prometheus:\n  alerts:\n    - {{name: Odd, labels: {{text: {text}}}}}\n");
    for (query, said) in [
        (
            format!("count(ALERTS{{alertname=\"Odd\",text={text}}})"),
            "1",
        ),
        (
            format!("sum(vector(7)) + count(ALERTS{{text={text}}})"),
            "8",
        ),
    ] {
        let bench = Bench::edited("metrics", &[("prometheus:\n  alerts:\n", &alert)]);
        let number: f64 = said.parse().unwrap();
        let options =
            json!({"name": "odd", "query": query, "min": number, "max": number, "window": "10s"});
        let plan = asking(Some(prometheus()), vec![check("value", &options)]);
        let (end, results) = release(&bench, plan, "odd").await;
        assert_eq!(end.outcome, Outcome::Promoted, "{}", bench.told());
        let seen = results.iter().filter(|r| r.value == Some(number)).count();
        assert!(seen > 3, "{results:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a5_another_text_finds_nothing_and_is_unknown() {
    let text = json!(TEXT).to_string();
    let alert = format!("prometheus:\n  alerts:\n    - {{name: Odd, labels: {{text: {text}}}}}\n");
    let lost = json!(TEXT.replace('+', " ")).to_string();
    let bench = Bench::edited("metrics", &[("prometheus:\n  alerts:\n", &alert)]);
    let query = format!("count(ALERTS{{text={lost}}})");
    let options = json!({"name": "odd", "query": query, "max": 1, "window": "10s"});
    let plan = asking(Some(prometheus()), vec![check("value", &options)]);
    let (end, results) = release(&bench, plan, "odd").await;
    assert_eq!(end.outcome, Outcome::Paused, "{}", bench.told());
    assert!(
        results.iter().all(|r| r.unknown == Some(Unknown::NoData)),
        "{results:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a5_a_query_that_is_refused_is_a_wrong_question() {
    for query in [
        "sum(rate(http_requests_total{job=payment}[1m]))",
        "sum(rate(http_requests_total[1m])",
        "histogram_quantile(0.95, http_request_duration_seconds_bucket[5m])",
        "100 * {}",
    ] {
        let bench = Bench::new("metrics");
        let options = json!({"name": "wrong", "query": query, "min": -1e300, "window": "10s"});
        let plan = asking(Some(prometheus()), vec![check("value", &options)]);
        let end = bench.drive(auto(), plan).await.unwrap();
        assert_eq!(
            (end.outcome, end.release.step),
            (Outcome::Paused, 0),
            "{}",
            bench.told()
        );
        let results = bench.results("wrong");
        assert!(results.len() > 3);
        for result in results {
            assert_eq!(result.unknown, Some(Unknown::Query), "{result:?}");
            assert!(result.text.contains("rejects the query"), "{}", result.text);
        }
    }
}
