//! Whole releases judged by the requests of both sides, as a real Prometheus or the pods count them.

use std::{
    fs,
    time::{Duration, Instant},
};

use regex::Regex;
use serde_json::{Value, json};

use super::{
    ground::within,
    prometheus::Prometheus,
    shop::{CANARY, HEALTHY, STABLE, Shop, in_a_shop},
    tool::Ran,
};

/// The plan of a release by metrics; `metrics:` is put in front.
const PLAN: &str = "
app: payment-api
router: replicas
steps: [10%, 50%, 100%]
hold: 3s
deadline: 40s
interval: 1s
drain: 1s
warmup: 0s
readyTimeout: 60s
promoteTimeout: 60s
checks:
  - pods: { maxRestarts: 1 }
  - errorRate: { max: 5% }
  - latency: { max: 1s }
";

/// The canary fails above a fifth of the traffic.
const FAILING: &str = "
traffic: {service: x/payment-api-service, rate: 200}
versions:
  - {match: {image: 'payment-api:2.'}, errors: {rate: 25%, above: 20%}}
";

/// Runs a release with this metrics provider from now on.
pub(super) fn count_by(shop: &Shop<'_>, metrics: &Value) {
    let plan = format!("metrics: {metrics}\n{PLAN}");
    fs::write(shop.folder.join("canary.yaml"), plan).unwrap();
}

/// Waits until a Prometheus has seen requests to both sides.
pub(super) async fn seen(prometheus: &Prometheus) {
    within(60, "requests of both tracks", async || {
        let samples = prometheus
            .query("count by (track) (http_requests_total > 0)")
            .await;
        (samples.len() == 2).then_some(())
    })
    .await;
}

/// Panics unless a release ends well, and says what it was judged by.
async fn is_promoted(shop: &Shop<'_>) {
    let ran = shop.run("auto --yes").await.ends(0).says("PROMOTED");
    ran.says("✓ healthy    error rate, p95 latency");
    shop.is_promoted().await;
    shop.never_fell().await;
}

/// Panics unless a release is rolled back for its errors, with the numbers of both sides.
async fn is_rolled_back(shop: &Shop<'_>) {
    let ran = shop.run("auto --yes").await.ends(3).says("ROLLED BACK");
    let words: Vec<&str> = ran.out.split_whitespace().collect();
    let told = "ROLLED BACK after .*: error rate: [0-9.]+% fail \\([0-9,]+ of [0-9,]+\\), limit 5%.* stable";
    let told = Regex::new(told).unwrap();
    assert!(told.is_match(&words.join(" ")), "{}", ran.text());
    shop.is_rolled_back().await;
    shop.never_fell().await;
}

#[tokio::test]
async fn a_prometheus_promotes() {
    in_a_shop(HEALTHY, async |shop| {
        let prometheus = Prometheus::start(shop);
        let options = json!({"url": prometheus.address, "scrapeInterval": "1s"});
        count_by(shop, &json!({"prometheus": options}));
        seen(&prometheus).await;
        is_promoted(shop).await;
    })
    .await;
}

#[tokio::test]
async fn a_prometheus_takes_back_what_fails_more_often_than_stable() {
    in_a_shop(FAILING, async |shop| {
        let prometheus = Prometheus::start(shop);
        let selector = r#"track="{{track}}",namespace="{{namespace}}""#;
        let options =
            json!({"url": prometheus.address, "selector": selector, "scrapeInterval": "1s"});
        count_by(shop, &json!({"prometheus": options}));
        seen(&prometheus).await;
        is_rolled_back(shop).await;
    })
    .await;
}

/// A plan like the default one, shorter, with the defaults of looks and warm-up.
const SLOW: &str = "
app: payment-api
router: replicas
steps: [20%, 50%, 100%]
hold: 60s
drain: 1s
checks:
  - pods
  - errorRate: { max: 5%, maxRatio: 2 }
";

/// Runs a release by a Prometheus that scrapes each pod every 15 s, where stable fails 0.7 % of its requests and the
/// canary so many.
async fn at_fifteen_seconds(canary: &str, test: impl AsyncFnOnce(&Shop<'_>, Ran)) {
    let scenario = format!(
        "
traffic: {{service: x/payment-api-service, rate: 200}}
versions:
  - {{match: {{image: 'payment-api:2.'}}, errors: {{base: {canary}}}}}
  - {{errors: {{base: 0.7%}}}}
"
    );
    in_a_shop(&scenario, async |shop| {
        let prometheus = Prometheus::every(shop, "15s");
        let source = json!({"prometheus": {"url": prometheus.address}});
        fs::write(
            shop.folder.join("canary.yaml"),
            format!("metrics: {source}\n{SLOW}"),
        )
        .unwrap();
        seen(&prometheus).await;
        // Looks count, not requests: at 15 s each, what is five times as much is sure after some twenty.
        let run = shop.start("auto --yes");
        let ran = run.ended_within(Duration::from_secs(600)).await;
        test(shop, ran).await;
    })
    .await;
}

#[tokio::test]
async fn a_service_with_errors_is_promoted_whatever_the_scrapes() {
    at_fifteen_seconds("0.7%", async |shop, ran| {
        ran.ends(0).says("PROMOTED");
        shop.is_promoted().await;
    })
    .await;
}

#[tokio::test]
async fn five_times_the_errors_of_stable_are_taken_back_whatever_the_scrapes() {
    at_fifteen_seconds("3.5%", async |shop, ran| {
        ran.ends(3).says("ROLLED BACK").says("limit 5%");
        shop.is_rolled_back().await;
    })
    .await;
}

/// W9: pods that say they have a page are read themselves beside a Prometheus, so that what fails at once is out
/// before two scrapes could show it.
#[tokio::test]
async fn what_fails_at_once_is_out_before_the_scrapes_show_it() {
    let scenario = "
traffic: {service: x/payment-api-service, rate: 200}
versions:
  - {match: {image: 'payment-api:2.'}, errors: {base: 50%}}
";
    in_a_shop(scenario, async |shop| {
        let page = json!({
            "prometheus.io/scrape": "true",
            "prometheus.io/port": "3000",
            "prometheus.io/path": "/prometheus-metrics",
        });
        let template = json!({"spec": {"template": {"metadata": {"annotations": page}}}});
        for deployment in [STABLE, CANARY] {
            shop.patch("deployments", deployment, &template).await;
        }
        within(90, "pods that say where their page is", async || {
            let pods = shop.list("pods").await;
            let says =
                |pod: &Value| !pod["metadata"]["annotations"]["prometheus.io/port"].is_null();
            pods.iter().all(says).then_some(())
        })
        .await;
        shop.ready(STABLE, 9).await;
        shop.ready(CANARY, 1).await;
        let prometheus = Prometheus::every(shop, "15s");
        let source = json!({"prometheus": {"url": prometheus.address}});
        // Three looks are enough for a limit of 1 %; ten seconds are the warm-up.
        let limit = SLOW.replace("max: 5%", "max: 1%");
        let plan = format!("metrics: {source}\n{limit}");
        fs::write(shop.folder.join("canary.yaml"), plan).unwrap();
        seen(&prometheus).await;
        let mut run = shop.start("auto --yes");
        run.until("watching at 20%").await;
        let begin = Instant::now();
        run.until("ROLLING BACK").await;
        let took = begin.elapsed();
        let ran = run.ended().await.ends(3).says("ROLLED BACK");
        assert!(took < Duration::from_secs(25), "{took:?}: {}", ran.text());
        shop.is_rolled_back().await;
    })
    .await;
}

#[tokio::test]
async fn the_pages_of_the_pods_promote() {
    in_a_shop(HEALTHY, async |shop| {
        count_by(shop, &json!({"scrape": {"path": "/prometheus-metrics"}}));
        is_promoted(shop).await;
    })
    .await;
}

/// Three holds of two minutes are more than a test is given.
#[tokio::test]
async fn steps_end_early_once_their_requests_prove_them() {
    in_a_shop(HEALTHY, async |shop| {
        count_by(shop, &json!({"scrape": {"path": "/prometheus-metrics"}}));
        let path = shop.folder.join("canary.yaml");
        let plan = fs::read_to_string(&path).unwrap();
        let plan = plan.replace("hold: 3s", "hold: 2m\nearly: 3s");
        fs::write(&path, plan.replace("deadline: 40s", "deadline: 4m")).unwrap();
        is_promoted(shop).await;
    })
    .await;
}

#[tokio::test]
async fn the_pages_of_the_pods_take_back_what_fails_more_often_than_stable() {
    in_a_shop(FAILING, async |shop| {
        count_by(shop, &json!({"scrape": {"path": "/prometheus-metrics"}}));
        is_rolled_back(shop).await;
    })
    .await;
}

/// Has a Prometheus end at the second step of a release that is begun like this, and returns how it ends.
async fn without_its_prometheus(shop: &Shop<'_>, line: &str) -> (Ran, String) {
    let prometheus = Prometheus::start(shop);
    let asked = format!("POST {}/api/v1/query", prometheus.address);
    let options = json!({"url": prometheus.address, "scrapeInterval": "1s"});
    count_by(shop, &json!({"prometheus": options}));
    let path = shop.folder.join("canary.yaml");
    let plan = fs::read_to_string(&path).unwrap();
    fs::write(&path, plan.replace("deadline: 40s", "deadline: 10s")).unwrap();
    seen(&prometheus).await;
    let mut run = shop.start(line);
    run.until("step 2 of 3  watching").await;
    drop(prometheus);
    let ran = run.ended().await;
    assert!(!ran.text().contains("step 3 of 3"), "{}", ran.text());
    (ran, asked)
}

#[tokio::test]
async fn without_its_prometheus_a_release_stays_where_it_is_told_to() {
    in_a_shop(HEALTHY, async |shop| {
        let line = "auto --yes --on-unknown hold";
        let (ran, asked) = without_its_prometheus(shop, line).await;
        ran.ends(5).says(&asked);
        assert_eq!(shop.journal().await["step"], 1);
        assert_eq!(shop.replicas(CANARY).await, 5);
    })
    .await;
}

#[tokio::test]
async fn without_its_prometheus_a_release_that_nobody_watches_is_taken_back() {
    in_a_shop(HEALTHY, async |shop| {
        let (ran, _) = without_its_prometheus(shop, "auto --yes").await;
        ran.ends(3).says("no terminal, so");
        shop.is_rolled_back().await;
    })
    .await;
}

/// A namespace beside the shop's, with a Service `prometheus` behind which a Prometheus stands.
pub(super) struct Monitoring {
    pub(super) namespace: String,
}

impl Monitoring {
    /// Makes one, and waits until its pod is ready.
    pub(super) async fn open(shop: &Shop<'_>, prometheus: &Prometheus) -> Self {
        let namespace = format!("{}-monitoring", shop.namespace);
        let object = json!({"metadata": {"name": namespace}});
        shop.send("POST", "/api/v1/namespaces", Some(&object)).await;
        let labels = json!({"app": "prometheus"});
        let address = prometheus.address.trim_start_matches("http://");
        let container = json!({
            "name": "prometheus",
            "image": "prom/prometheus:v3",
            "ports": [{"containerPort": 9090}],
        });
        let deployment = json!({
            "metadata": {"name": "prometheus"},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {
                        "labels": labels,
                        "annotations": {"sim.canaryctl.dev/elsewhere": address},
                    },
                    "spec": {"containers": [container]},
                },
            },
        });
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
        shop.send("POST", &path, Some(&deployment)).await;
        let service = json!({
            "metadata": {"name": "prometheus"},
            "spec": {"selector": labels, "ports": [{"port": 9090}]},
        });
        let services = format!("/api/v1/namespaces/{namespace}/services");
        shop.send("POST", &services, Some(&service)).await;
        let path = format!("{path}/prometheus");
        within(60, "the pod of the Prometheus", async || {
            let object = shop.send("GET", &path, None).await;
            (object["status"]["readyReplicas"] == 1).then_some(())
        })
        .await;
        Self { namespace }
    }

    /// Returns the address that pods of the cluster would use.
    pub(super) fn url(&self) -> String {
        format!("http://prometheus.{}:9090", self.namespace)
    }

    pub(super) async fn close(self, shop: &Shop<'_>) {
        let path = format!("/api/v1/namespaces/{}", self.namespace);
        shop.send("DELETE", &path, None).await;
    }
}

#[tokio::test]
async fn a_prometheus_inside_the_cluster_is_asked_through_the_api_server() {
    in_a_shop(HEALTHY, async |shop| {
        let prometheus = Prometheus::start(shop);
        let monitoring = Monitoring::open(shop, &prometheus).await;
        let options = json!({"url": monitoring.url(), "scrapeInterval": "1s"});
        count_by(shop, &json!({"prometheus": options}));
        seen(&prometheus).await;
        is_promoted(shop).await;
        monitoring.close(shop).await;
    })
    .await;
}
