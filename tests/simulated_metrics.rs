//! The sources of metrics of the simulated cluster, as a client reaches them: port-forward to its
//! Prometheus, `metrics.k8s.io` of its metrics-server.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use canaryctl::{
    clock::Clock,
    sim::{SimCluster, api::Rules, scenario::Scenario},
};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ListParams, PostParams},
};
use serde_json::{Value, json};

use crate::support::NAMESPACE;

const METRICS: &str = "/apis/metrics.k8s.io/v1beta1";

struct Stand {
    sim: Arc<SimCluster>,
    clock: Clock,
    client: Client,
}

impl Stand {
    fn new(scenario: Scenario) -> Self {
        let clock = Clock::simulated("2026-01-05T09:00:00Z".parse().unwrap(), 1.0);
        let sim = Arc::new(SimCluster::start(scenario, None, clock.clone()).unwrap());
        let client = sim.client(NAMESPACE);
        Self { sim, clock, client }
    }

    fn builtin(name: &str) -> Self {
        Self::new(Scenario::builtin(name).unwrap())
    }

    async fn wait(&self, seconds: u64) {
        self.clock.sleep(Duration::from_secs(seconds)).await;
    }

    async fn get(&self, path: &str) -> Result<Value, kube::Error> {
        let request = Request::get(path).body(Vec::new()).unwrap();
        self.client.request(request).await
    }

    /// Posts a query through a port-forward to the first pod of the Service `prometheus`.
    async fn query(&self, query: &str) -> Result<Value, String> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), "monitoring");
        let found = pods
            .list(&ListParams::default().labels("app=prometheus"))
            .await;
        let name = found.unwrap().items[0].metadata.name.clone().unwrap();
        let mut forward = pods.portforward(&name, &[9090]).await.unwrap();
        let stream = forward.take_stream(9090).unwrap();
        let error = forward.take_error(9090).unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("query", query)
            .finish();
        let request = Request::post("/api/v1/query")
            .header("host", "localhost")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::<Bytes>::from(form))
            .unwrap();
        let Ok(response) = sender.send_request(request).await else {
            return Err(error.await.unwrap_or_default());
        };
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Ok(serde_json::from_slice(&body).unwrap())
    }
}

fn status(error: kube::Error) -> (u16, String) {
    match error {
        kube::Error::Api(status) => (status.code, status.message),
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_query_reaches_prometheus_through_a_port_forward() {
    let stand = Stand::builtin("metrics-bad");
    stand.wait(400).await;
    let share = |track: &str| {
        let of = |more: &str| {
            format!(
                "sum(rate(http_requests_total{{namespace=\"canary-release\",track=\"{track}\"{more}}}[5m]))"
            )
        };
        format!("{} / {}", of(",status=~\"5..\""), of(""))
    };
    let mut shares = Vec::new();
    for track in ["canary", "stable"] {
        let body = stand.query(&share(track)).await.unwrap();
        assert_eq!(body["status"], "success", "{body}");
        let value = body["data"]["result"][0]["value"][1].as_str().unwrap();
        shares.push(value.parse::<f64>().unwrap());
    }
    // 3 % and 0.2 % fail.
    assert!((0.015..0.045).contains(&shares[0]), "{shares:?}");
    assert!(shares[1] < 0.006, "{shares:?}");
    let firing = stand
        .query("ALERTS{alertstate=\"firing\",track=\"canary\"}")
        .await
        .unwrap();
    assert_eq!(
        firing["data"]["result"][0]["metric"]["alertname"],
        "PaymentErrorsHigh"
    );
    let wrong = stand.query("sum(rate(up))").await.unwrap();
    assert_eq!(wrong["errorType"], "bad_data");
}

#[tokio::test(start_paused = true)]
async fn prometheus_is_gone_for_a_while() {
    let stand = Stand::builtin("prometheus-down");
    let up = async || stand.query("count(up)").await;
    stand.wait(170).await;
    assert_eq!(up().await.unwrap()["data"]["result"][0]["value"][1], "10");
    stand.wait(20).await;
    let refused = up().await.unwrap_err();
    assert!(refused.contains("connect: connection refused"), "{refused}");
    // It is back, and what it knew is too old until it has scraped again, each pod at its own moment.
    stand.wait(354).await;
    let some = up().await.unwrap()["data"]["result"][0]["value"][1].clone();
    assert_ne!(some, "10");
    stand.wait(16).await;
    assert_eq!(up().await.unwrap()["data"]["result"][0]["value"][1], "10");
}

#[tokio::test(start_paused = true)]
async fn metrics_of_pods_are_listed_by_label_and_read_by_name() {
    let stand = Stand::builtin("healthy");
    stand.wait(31).await;
    let group = kube::discovery::pinned_group(
        &stand.client,
        &kube::core::GroupVersion::gv("metrics.k8s.io", "v1beta1"),
    )
    .await
    .unwrap();
    let kinds: Vec<String> = group
        .versioned_resources("v1beta1")
        .iter()
        .map(|r| r.0.plural.clone())
        .collect();
    assert_eq!(kinds, ["nodes", "pods"]);
    let of = |gvk: (&str, &str)| ApiResource {
        group: "metrics.k8s.io".into(),
        version: "v1beta1".into(),
        api_version: "metrics.k8s.io/v1beta1".into(),
        kind: gvk.0.into(),
        plural: gvk.1.into(),
    };
    let pods: Api<DynamicObject> =
        Api::namespaced_with(stand.client.clone(), NAMESPACE, &of(("PodMetrics", "pods")));
    let canary = ListParams::default().labels("track=canary");
    let list = pods.list(&canary).await.unwrap();
    let [pod] = list.items.as_slice() else {
        panic!("{} pods", list.items.len());
    };
    assert_eq!(pod.metadata.labels.as_ref().unwrap()["app"], "payment-api");
    assert_eq!(pod.data["timestamp"], "2026-01-05T09:00:30Z");
    assert_eq!(pod.data["window"], "15s");
    let container = &pod.data["containers"][0];
    assert_eq!(container["name"], "payment-api");
    assert_eq!(container["usage"]["memory"], "120Mi");
    let cpu = container["usage"]["cpu"].as_str().unwrap();
    // Five requests a second of 15 ms, and 5 m of an idle process.
    let unit = [("n", 1e-6), ("u", 1e-3), ("m", 1.0)];
    let cores = unit
        .iter()
        .find_map(|(suffix, milli)| Some(cpu.strip_suffix(suffix)?.parse::<f64>().ok()? * milli))
        .unwrap();
    assert!((40.0..130.0).contains(&cores), "{cpu}");
    let name = pod.metadata.name.as_deref().unwrap();
    assert_eq!(
        pods.get(name).await.unwrap().data["containers"],
        pod.data["containers"]
    );
    assert_eq!(
        stand
            .get(&format!("{METRICS}/namespaces/{NAMESPACE}/pods"))
            .await
            .unwrap()["items"]
            .as_array()
            .unwrap()
            .len(),
        10
    );
    assert_eq!(
        stand.get(&format!("{METRICS}/pods")).await.unwrap()["items"]
            .as_array()
            .unwrap()
            .len(),
        10
    );
    assert_eq!(
        stand
            .get(&format!("{METRICS}/namespaces/default/pods"))
            .await
            .unwrap()["items"],
        json!([])
    );
    let nodes = stand.get(&format!("{METRICS}/nodes")).await.unwrap();
    assert_eq!(
        (
            nodes["kind"].as_str(),
            nodes["items"].as_array().map(Vec::len)
        ),
        (Some("NodeMetricsList"), Some(3))
    );
}

#[tokio::test(start_paused = true)]
async fn metrics_say_what_they_do_not_know() {
    let stand = Stand::builtin("healthy");
    let place = format!("{METRICS}/namespaces/{NAMESPACE}/pods");
    let missing = status(stand.get(&format!("{place}/ghost")).await.unwrap_err());
    assert_eq!(missing, (404, "pods \"ghost\" not found".to_owned()));
    // A pod that has not started yet.
    let pods: Api<Pod> = Api::default_namespaced(stand.client.clone());
    let pod = json!({"metadata": {"name": "young"}, "spec": {"containers": [{"name": "a", "image": "x:1"}]}});
    pods.create(
        &PostParams::default(),
        &serde_json::from_value(pod).unwrap(),
    )
    .await
    .unwrap();
    let unknown = status(stand.get(&format!("{place}/young")).await.unwrap_err());
    assert_eq!(
        unknown,
        (
            404,
            format!("podmetrics.metrics.k8s.io \"{NAMESPACE}/young\" not found")
        )
    );
    let delete = Request::delete(format!("{place}/young"))
        .body(Vec::new())
        .unwrap();
    let refused = stand.client.request::<Value>(delete).await.unwrap_err();
    assert_eq!(status(refused).0, 405);
    stand
        .sim
        .server()
        .set_rules(Rules::new("dev").deny("list", "metrics.k8s.io", "pods"));
    let denied = status(stand.get(&place).await.unwrap_err());
    assert_eq!(
        denied,
        (
            403,
            format!(
                "pods.metrics.k8s.io is forbidden: User \"dev\" cannot list resource \"pods\" in API group \"metrics.k8s.io\" in the namespace \"{NAMESPACE}\""
            )
        )
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_metrics_server_nobody_serves_its_group() {
    let stand = Stand::new(Scenario::parse("{}").unwrap());
    let missing = stand
        .get(&format!("{METRICS}/namespaces/{NAMESPACE}/pods"))
        .await;
    assert_eq!(status(missing.unwrap_err()).0, 404);
    let groups = stand.get("/apis").await.unwrap();
    assert!(!groups.to_string().contains("metrics.k8s.io"), "{groups}");
    let served = Stand::builtin("healthy").get("/apis").await.unwrap();
    assert!(
        served.to_string().contains("metrics.k8s.io/v1beta1"),
        "{served}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_table_of_metrics_is_what_kubectl_prints() {
    let stand = Stand::builtin("healthy");
    let request = Request::get(format!(
        "{METRICS}/namespaces/{NAMESPACE}/pods?labelSelector=track%3Dcanary"
    ))
    .header(
        "accept",
        "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    )
    .body(Vec::new())
    .unwrap();
    let table: Value = stand.client.request(request).await.unwrap();
    let columns: Vec<&str> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    assert_eq!(columns, ["Name", "cpu", "memory", "Window"]);
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(cells[1..], [json!("5m"), json!("120Mi"), json!("15s")]);
}
