//! Users of a shop, and what they got, as the data plane counts it.
//!
//! Owns: the cluster with a data plane, its control API, the counts. Must not: know what a release is.

use std::{collections::BTreeMap, process::Stdio};

use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::{
    process::Command,
    sync::{OnceCell, Semaphore, SemaphorePermit},
};

use super::{
    ground::{Ground, pause, within},
    routers::{define, send},
    shop::Shop,
};

/// Requests a second.
pub(super) const RATE: u32 = 200;

/// How many tests may have users at once: 200 requests a second are a good third of a core, from the
/// users to the pods, and a machine that is too slow fails requests of its own.
static SEATS: Semaphore = Semaphore::const_new(2);

/// What is in the cluster once: who serves Gateways, who serves Ingresses of the class `nginx`.
const CLASSES: [(&str, &str); 2] = [
    (
        "/apis/gateway.networking.k8s.io/v1/gatewayclasses",
        r#"{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "edge"},
            "spec": {"controllerName": "traefik.io/gateway-controller"}}"#,
    ),
    (
        "/apis/networking.k8s.io/v1/ingressclasses",
        r#"{"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "nginx"},
            "spec": {"controller": "k8s.io/ingress-nginx"}}"#,
    ),
];

/// A cluster with a data plane; both end with the process.
pub(super) struct Plane {
    pub(super) ground: Ground,
    /// Address of the control API.
    control: String,
}

/// Users who come at a steady rate until they are told to go.
pub(super) struct Users<'a> {
    plane: &'a Plane,
    way: &'static str,
    host: String,
    id: String,
}

/// What some users got: those for whom the canary was to have one share, whom one side answered.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Row {
    /// Per cent of the canary by the objects of that moment, with one decimal.
    pub(super) asked: String,
    /// Track of the pod; empty when nobody could answer.
    pub(super) side: String,
    pub(super) image: String,
    pub(super) requests: u64,
    pub(super) failures: u64,
    /// How they ended: by status, or why there was none.
    pub(super) ends: BTreeMap<String, u64>,
}

/// What the users saw themselves.
#[derive(Debug, Deserialize)]
pub(super) struct Seen {
    pub(super) answered: u64,
    pub(super) failures: u64,
    /// How they ended.
    pub(super) ends: BTreeMap<String, u64>,
}

impl Plane {
    /// Returns the one that all these tests share.
    pub(super) async fn shared() -> &'static Self {
        static SHARED: OnceCell<Plane> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    async fn start() -> Self {
        // Definitions are the whole cluster's, and the other tests are to run where there are none.
        let ground = Ground::start();
        let client = ground.client().await;
        define(&client, include_str!("../../data/crds.yaml")).await;
        define(&client, include_str!("../../data/dataplane-crds.yaml")).await;
        for (at, class) in CLASSES {
            let class: Value = serde_json::from_str(class).unwrap();
            send(&client, "POST", at, Some(&class)).await.unwrap();
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/cluster");
        let output = Command::new(script)
            .arg("dataplane")
            .arg(ground.state())
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "dataplane: {}", output.status);
        let control = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        Self { ground, control }
    }

    /// Waits until users may come; as long as the value lives.
    pub(super) async fn seat(&self) -> SemaphorePermit<'static> {
        SEATS.acquire().await.unwrap()
    }

    /// Lets users come to a host by one of the ways in, once it serves them.
    pub(super) async fn users(
        &self,
        shop: &Shop<'_>,
        way: &'static str,
        host: &str,
        rate: u32,
    ) -> Users<'_> {
        let id = format!("{}-{way}", shop.namespace);
        let users = Users {
            plane: self,
            way,
            host: host.to_owned(),
            id,
        };
        within(30, "the data plane to serve", async || {
            users.come(50).await;
            pause(300).await;
            let seen: Seen = users.go().await;
            (seen.answered > 0 && seen.failures == 0).then_some(())
        })
        .await;
        users.forget().await;
        users.come(rate).await;
        users
    }

    async fn ask<T: DeserializeOwned>(&self, method: &str, path: &str, body: Option<&Value>) -> T {
        let bytes = body.map(|body| serde_json::to_vec(body).unwrap());
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.control))
            .body(Full::new(Bytes::from(bytes.unwrap_or_default())))
            .unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let answer = client.request(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body);
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}: {text}"))
    }
}

impl Users<'_> {
    async fn come(&self, rate: u32) {
        let payment = json!({"amount": 10, "merchant": "test", "cardNumber": "4111"});
        let load = json!({
            "plane": self.way, "host": self.host, "rate": rate, "method": "POST", "path": "/api/payments",
            "body": payment.to_string(),
        });
        let at = format!("/loads/{}", self.id);
        drop::<Value>(self.plane.ask("POST", &at, Some(&load)).await);
    }

    /// Returns what they saw themselves until now.
    pub(super) async fn saw(&self) -> Seen {
        let at = format!("/loads/{}", self.id);
        self.plane.ask("GET", &at, None).await
    }

    /// Ends them; returns what they saw. Nobody else does: who forgets it lets them come for ever.
    pub(super) async fn go(&self) -> Seen {
        let at = format!("/loads/{}", self.id);
        self.plane.ask("DELETE", &at, None).await
    }

    /// Returns what they got since they came, or since it was forgotten.
    pub(super) async fn got(&self) -> Vec<Row> {
        let at = format!("/counts/{}/{}", self.way, self.host);
        self.plane.ask("GET", &at, None).await
    }

    /// Begins to count anew; returns what they had got.
    pub(super) async fn forget(&self) -> Vec<Row> {
        let at = format!("/counts/{}/{}", self.way, self.host);
        self.plane.ask("DELETE", &at, None).await
    }

    /// Returns what at least so many get from now on.
    pub(super) async fn next(&self, requests: u64) -> Vec<Row> {
        pause(500).await;
        self.forget().await;
        within(60, "more users", async || {
            let rows = self.got().await;
            (sum(&rows) >= requests).then_some(rows)
        })
        .await
    }
}

/// Returns how many there are.
pub(super) fn sum(rows: &[Row]) -> u64 {
    rows.iter().map(|row| row.requests).sum()
}

/// Returns how many failed.
pub(super) fn failures(rows: &[Row]) -> u64 {
    rows.iter().map(|row| row.failures).sum()
}

/// Returns the rows of one side.
pub(super) fn of_side(rows: &[Row], side: &str) -> Vec<Row> {
    rows.iter()
        .filter(|row| row.side == side)
        .cloned()
        .collect()
}

/// Returns the rows with one share asked for.
pub(super) fn asked(rows: &[Row], share: &str) -> Vec<Row> {
    rows.iter()
        .filter(|row| row.asked == share)
        .cloned()
        .collect()
}
