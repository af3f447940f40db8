//! The payment API in a namespace of its own, and what a test does to it.
//!
//! Owns: the namespace, its objects, the canary.yaml of the tests, reading and writing objects. Must
//! not: assert more than that the cluster does as it is told.

use std::{
    fs,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use canaryctl::sim::scenario::parse_objects;
use futures::FutureExt;
use http::Request;
use kube::Client;
use serde_json::{Value, json};

use super::{
    floor::Floor,
    ground::{Ground, kubectl, pause, within},
    tool::{self, Ran, Running},
};

pub(crate) const STABLE: &str = "payment-api-stable";
pub(crate) const CANARY: &str = "payment-api-canary";
pub(crate) const JOURNAL: &str = "canaryctl-payment-api";
pub(crate) const OLD: &str = "registry.example/payment-api:1.5.0";
pub(crate) const NEW: &str = "registry.example/payment-api:2.0.0";

/// Enough users to judge within seconds, and pods that do well.
pub(crate) const HEALTHY: &str = "traffic: {service: x/payment-api-service, rate: 200}";

/// What the kubelets' waits are divided by.
const SPEED: &str = "20";

/// The release of the tests: that of the example with short times.
const RELEASE: &str = r#"
app: payment-api
steps: [10%, 50%, 100%]
hold: 3s
interval: 1s
drain: 1s
warmup: 0s
readyTimeout: 60s
promoteTimeout: 60s
checks:
  - pods: { maxRestarts: 1 }
  - http: { name: health, path: /health, expect: body.status == "healthy" }
  - http:
      name: success rate
      path: /metrics
      good: body.successfulTransactions
      total: body.totalTransactions
      min: 95%
      minRequests: 50
"#;

/// The same release with its router named: to detect it takes more rights.
pub(crate) const NAMED: &str = "named.yaml";

/// A namespace with the payment API.
pub(crate) struct Shop<'a> {
    /// The cluster.
    pub(crate) ground: &'a Ground,
    /// A client of the administrator.
    pub(crate) client: Client,
    pub(crate) namespace: String,
    /// A folder of the test's own; `canary.yaml` is in it.
    pub(crate) folder: PathBuf,
    /// The fewest ready pods since the release was possible.
    pub(crate) floor: Floor,
    /// Group and version in which the server has autoscalers.
    autoscaling: &'static str,
    /// How many scenarios there were.
    scenarios: AtomicU32,
}

/// Runs a test in a namespace of the shared cluster: nine pods of stable, one of the canary, ready.
pub(crate) async fn in_a_shop(scenario: &str, test: impl AsyncFnOnce(&Shop<'_>)) {
    on(Ground::shared(), scenario, test).await;
}

/// Runs a test in a namespace of `ground`. When it fails, what is there is shown; in any case the
/// namespace goes.
pub(crate) async fn on(ground: &Ground, scenario: &str, test: impl AsyncFnOnce(&Shop<'_>)) {
    let shop = Shop::open(ground, scenario).await;
    let outcome = AssertUnwindSafe(test(&shop)).catch_unwind().await;
    if outcome.is_err() {
        shop.dump().await;
    }
    let gone = format!("/api/v1/namespaces/{}", shop.namespace);
    drop(shop.try_send("DELETE", &gone, None).await);
    drop(fs::remove_dir_all(&shop.folder));
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl<'a> Shop<'a> {
    async fn open(ground: &'a Ground, scenario: &str) -> Self {
        let namespace = format!("live-{:08x}", fastrand::u32(..));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&namespace);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("canary.yaml"), RELEASE).unwrap();
        fs::write(folder.join(NAMED), format!("{RELEASE}router: replicas\n")).unwrap();
        let client = ground.client().await;
        let floor = Floor::watch(client.clone(), &namespace).await;
        // autoscaling/v2 came with 1.23.
        let autoscaling = match ground.minor().await {
            ..23 => "autoscaling/v1",
            23.. => "autoscaling/v2",
        };
        let mut shop = Self {
            ground,
            client,
            namespace,
            folder,
            floor,
            autoscaling,
            scenarios: AtomicU32::new(0),
        };
        shop.create_namespace().await;
        shop.scenario(scenario).await;
        for file in ["base", "deployments", "services"] {
            shop.apply_example(file).await;
        }
        shop.ready(STABLE, 9).await;
        shop.ready(CANARY, 1).await;
        // From here on nobody may take anything away.
        shop.floor = Floor::watch(shop.client.clone(), &shop.namespace).await;
        shop
    }

    async fn create_namespace(&self) {
        let object = json!({"metadata": {"name": self.namespace}});
        self.send("POST", "/api/v1/namespaces", Some(&object)).await;
    }

    async fn apply_example(&self, file: &str) {
        let path = format!(
            "{}/examples/payment-api/{file}.yaml",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = fs::read_to_string(path).unwrap();
        for mut object in parse_objects(&text).unwrap() {
            if object["kind"] == "Namespace" {
                continue;
            }
            object["metadata"]["namespace"] = json!(self.namespace);
            self.create(&object).await;
        }
    }

    // --- the cluster ----------------------------------------------------------------------------

    /// Says how pods and users behave, and waits until it counts.
    pub(crate) async fn scenario(&self, scenario: &str) {
        // The nodes take over what differs only, and the same again has to be waited for too.
        let number = self.scenarios.fetch_add(1, Ordering::Relaxed);
        let scenario = format!("# {number}\n{scenario}");
        let path = self.path("configmaps", "sim-scenario");
        let data = json!({"data": {"scenario.yaml": scenario, "speed": SPEED}});
        let object = if self.get("configmaps", "sim-scenario").await.is_some() {
            self.send("PATCH", &path, Some(&data)).await
        } else {
            let mut object = data;
            object["metadata"] = json!({"name": "sim-scenario"});
            let all = self.path("configmaps", "");
            self.send("POST", all.trim_end_matches('/'), Some(&object))
                .await
        };
        let version = |value: &Value| value.as_str().and_then(|v| v.parse::<u64>().ok());
        let wanted = version(&object["metadata"]["resourceVersion"]);
        let what = "the nodes to take the scenario (are they those of tests/live/up?)";
        within(30, what, async || {
            let object = self.get("configmaps", "sim-scenario").await?;
            let annotations = &object["metadata"]["annotations"];
            let refused = &annotations["sim.canaryctl.dev/refused"];
            assert!(refused.is_null(), "the scenario is refused: {refused}");
            (version(&annotations["sim.canaryctl.dev/taken"]) >= wanted).then_some(())
        })
        .await;
    }

    /// Waits until a Deployment has exactly so many ready pods, and no others.
    pub(crate) async fn ready(&self, deployment: &str, replicas: u64) {
        let what = format!("{deployment} to have {replicas} ready pods");
        within(90, &what, async || {
            let object = self.get("deployments", deployment).await?;
            let count = |field: &str| object["status"][field].as_u64().unwrap_or(0);
            (count("readyReplicas") == replicas && count("replicas") == replicas).then_some(())
        })
        .await;
    }

    /// Returns an object; `None` when there is none. Asks again while the server is away.
    pub(crate) async fn get(&self, resource: &str, name: &str) -> Option<Value> {
        match self.steadily("GET", &self.path(resource, name), None).await {
            Ok(object) => Some(object),
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            Err(error) => panic!("get {resource}/{name}: {error}"),
        }
    }

    /// Returns all objects of a resource in the namespace.
    pub(crate) async fn list(&self, resource: &str) -> Vec<Value> {
        let path = self.path(resource, "");
        let list = self.send("GET", path.trim_end_matches('/'), None).await;
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// Creates an object.
    pub(crate) async fn create(&self, object: &Value) -> Value {
        let resource = match object["kind"].as_str().unwrap() {
            "HorizontalPodAutoscaler" => "horizontalpodautoscalers".to_owned(),
            kind => format!("{}s", kind.to_lowercase()),
        };
        let path = self.path(&resource, "");
        self.send("POST", path.trim_end_matches('/'), Some(object))
            .await
    }

    /// Makes an autoscaler of stable.
    pub(crate) async fn autoscale(&self, least: u32, most: u32) {
        let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": STABLE});
        let mut spec =
            json!({"scaleTargetRef": reference, "minReplicas": least, "maxReplicas": most});
        if self.autoscaling == "autoscaling/v1" {
            spec["targetCPUUtilizationPercentage"] = json!(60);
        } else {
            spec["metrics"] = json!([{"type": "Resource", "resource": {
                "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}]);
        }
        self.create(&json!({
            "apiVersion": self.autoscaling,
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": STABLE},
            "spec": spec,
        }))
        .await;
    }

    /// Merges into an object.
    pub(crate) async fn patch(&self, resource: &str, name: &str, patch: &Value) -> Value {
        let at = self.path(resource, name);
        self.send("PATCH", &at, Some(patch)).await
    }

    /// Deletes an object, with what it owns.
    pub(crate) async fn delete(&self, resource: &str, name: &str) {
        let options = json!({"propagationPolicy": "Background"});
        self.send("DELETE", &self.path(resource, name), Some(&options))
            .await;
    }

    /// Waits until no pod has these labels any more.
    pub(crate) async fn gone(&self, labels: &str) {
        let path = format!("{}?labelSelector={labels}", self.path("pods", ""));
        let path = path.replace("/?", "?");
        within(60, "the pods to go", async || {
            let list = self.send("GET", &path, None).await;
            list["items"].as_array()?.is_empty().then_some(())
        })
        .await;
    }

    /// Sends a request that must succeed; a server that is away is asked again.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let answer = self.steadily(method, path, body).await;
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Sends a request once.
    pub(crate) async fn try_send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, kube::Error> {
        let kind = if method == "PATCH" {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let bytes = body.map(|b| serde_json::to_vec(b).unwrap());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind)
            .body(bytes.unwrap_or_default())
            .unwrap();
        self.client.request(request).await
    }

    async fn steadily(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, kube::Error> {
        let begin = std::time::Instant::now();
        loop {
            let answer = self.try_send(method, path, body).await;
            let away = match &answer {
                Ok(_) => false,
                Err(kube::Error::Api(status)) => status.code == 429 || status.code >= 500,
                Err(_) => true,
            };
            if !away || begin.elapsed().as_secs() > 60 {
                return answer;
            }
            pause(300).await;
        }
    }

    fn path(&self, resource: &str, name: &str) -> String {
        let group = match resource {
            "deployments" | "replicasets" => "/apis/apps/v1".to_owned(),
            "horizontalpodautoscalers" => format!("/apis/{}", self.autoscaling),
            "roles" | "rolebindings" => "/apis/rbac.authorization.k8s.io/v1".to_owned(),
            _ => "/api/v1".to_owned(),
        };
        format!("{group}/namespaces/{}/{resource}/{name}", self.namespace)
    }

    // --- what is there --------------------------------------------------------------------------

    /// Returns the replicas asked for.
    pub(crate) async fn replicas(&self, deployment: &str) -> u64 {
        let object = self.get("deployments", deployment).await.unwrap();
        object["spec"]["replicas"].as_u64().unwrap()
    }

    /// Returns the image of a Deployment's first container.
    pub(crate) async fn image(&self, deployment: &str) -> String {
        let object = self.get("deployments", deployment).await.unwrap();
        let container = &object["spec"]["template"]["spec"]["containers"][0];
        container["image"].as_str().unwrap().to_owned()
    }

    /// Returns the record of the latest run.
    pub(crate) async fn journal(&self) -> Value {
        let map = self.get("configmaps", JOURNAL).await.expect("no journal");
        serde_json::from_str(map["data"]["release.json"].as_str().unwrap()).unwrap()
    }

    /// Returns the reasons of the tool's Kubernetes Events on the canary Deployment, oldest first.
    pub(crate) async fn events(&self) -> Vec<String> {
        let mut events = self.list("events").await;
        events.retain(|event| {
            event["reportingComponent"] == "canaryctl.dev/cli"
                && event["involvedObject"]["kind"] == "Deployment"
                && event["involvedObject"]["name"] == CANARY
        });
        events.sort_by_key(|event| event["eventTime"].as_str().unwrap().to_owned());
        let reason = |event: &Value| event["reason"].as_str().unwrap().to_owned();
        events.iter().map(reason).collect()
    }

    /// Panics unless the old version has its own nine pods, and the run is closed.
    pub(crate) async fn is_rolled_back(&self) {
        self.is_at(OLD, 9, 0).await;
        self.is_closed("rolled-back").await;
    }

    /// Panics unless the new version is stable's and has its own nine pods, and the run is closed.
    pub(crate) async fn is_promoted(&self) {
        self.is_at(NEW, 9, 0).await;
        self.is_closed("promoted").await;
    }

    /// Panics unless stable has that image, and both sides are at these sizes.
    pub(crate) async fn is_at(&self, image: &str, stable: u64, canary: u64) {
        assert_eq!(self.image(STABLE).await, image);
        let sizes = (self.replicas(STABLE).await, self.replicas(CANARY).await);
        assert_eq!(sizes, (stable, canary));
        self.ready(STABLE, stable).await;
        self.ready(CANARY, canary).await;
    }

    /// Panics unless the run has ended so, and nobody holds it.
    pub(crate) async fn is_closed(&self, outcome: &str) {
        let journal = self.journal().await;
        let ending = (&journal["phase"], &journal["ending"], &journal["holder"]);
        let wanted = (&json!("ended"), &json!(outcome), &Value::Null);
        assert_eq!(ending, wanted, "{journal:#}");
    }

    /// Panics when fewer pods were ready than at the start.
    pub(crate) async fn never_fell(&self) {
        assert!(
            self.floor.least().await.all >= 10,
            "{:?}",
            self.floor.least().await
        );
    }

    // --- commands -------------------------------------------------------------------------------

    /// Runs the tool with the release of the tests; words are split at spaces.
    pub(crate) async fn run(&self, line: &str) -> Ran {
        self.start(line).ended().await
    }

    /// Starts the tool with the release of the tests.
    pub(crate) fn start(&self, line: &str) -> Running {
        self.start_with(&self.ground.kubeconfig, "canary.yaml", line)
    }

    /// Starts the tool as somebody who may do little.
    pub(crate) fn start_as(&self, kubeconfig: &Path, line: &str) -> Running {
        self.start_with(kubeconfig, NAMED, line)
    }

    /// Starts the tool as somebody, with a file of the test's folder.
    pub(crate) fn start_with(&self, kubeconfig: &Path, file: &str, line: &str) -> Running {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        words.extend(["-n", &self.namespace, "-f", file]);
        let program = env!("CARGO_BIN_EXE_canaryctl");
        tool::start(program, &words, &self.folder, kubeconfig, &[])
    }

    /// Runs the tool without a file: what it believes comes from the cluster.
    pub(crate) async fn run_without_file(&self, line: &str) -> Ran {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        words.extend(["-n", &self.namespace]);
        let program = env!("CARGO_BIN_EXE_canaryctl");
        let kubeconfig = &self.ground.kubeconfig;
        tool::start(program, &words, &self.folder, kubeconfig, &[])
            .ended()
            .await
    }

    /// Runs kubectl in the namespace; it must succeed. Returns what it says.
    pub(crate) async fn kubectl(&self, line: &str) -> String {
        let mut words = vec!["-n", self.namespace.as_str()];
        words.extend(line.split_whitespace());
        let kubeconfig = &self.ground.kubeconfig;
        let running = tool::start(&kubectl(), &words, &self.folder, kubeconfig, &[]);
        running.ended().await.ends(0).out
    }

    #[expect(clippy::print_stderr, reason = "what a test that failed has to say")]
    async fn dump(&self) {
        let mut text = format!("=== namespace {} ===\n", self.namespace);
        let lines = [
            "get deployments,replicasets,pods,hpa,resourcequotas -o wide",
            "get events --sort-by=.metadata.creationTimestamp",
            "get configmap canaryctl-payment-api -o yaml",
        ];
        for line in lines {
            let mut words = vec!["-n", self.namespace.as_str(), "--request-timeout=10s"];
            words.extend(line.split_whitespace());
            let kubeconfig = &self.ground.kubeconfig;
            let running = tool::start(&kubectl(), &words, &self.folder, kubeconfig, &[]);
            let said = running.ended().await.text();
            text += &["$ kubectl ", line, "\n", &said, "\n"].concat();
        }
        eprint!("{text}");
    }
}
