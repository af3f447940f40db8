//! A real Prometheus beside the cluster.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;

use super::{
    ground::within,
    shop::{HEALTHY, Shop, in_a_shop},
};

/// A Prometheus that scrapes once a second unless told otherwise; it ends with the value.
pub(crate) struct Prometheus {
    folder: PathBuf,
    pub(crate) address: String,
}

fn script(words: &[&str], variables: &[(&str, &str)]) -> String {
    let output = Command::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/live/prometheus"
    ))
    .args(words)
    .envs(variables.iter().copied())
    .output()
    .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "prometheus {words:?}: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Prometheus {
    /// Starts one that scrapes every pod of the shop.
    pub(crate) fn start(shop: &Shop<'_>) -> Self {
        Self::every(shop, "1s")
    }

    /// Starts one that scrapes every pod of the shop so often, each at a moment of its own.
    pub(crate) fn every(shop: &Shop<'_>, interval: &str) -> Self {
        let targets = shop.ground.setting("CANARYCTL_LIVE_TARGETS");
        let targets = format!("{targets}?namespace={}", shop.namespace);
        Self::up(&shop.folder.join("prometheus"), &targets, interval)
    }

    /// Starts one with its state in `folder` that scrapes what this service discovery tells.
    pub(crate) fn scraping(folder: &Path, targets: &str) -> Self {
        Self::up(folder, targets, "1s")
    }

    fn up(folder: &Path, targets: &str, interval: &str) -> Self {
        let words = ["up", folder.to_str().unwrap()];
        let variables = [
            ("CANARYCTL_LIVE_TARGETS", targets),
            ("CANARYCTL_LIVE_SCRAPE", interval),
        ];
        let address = script(&words, &variables);
        let folder = folder.to_owned();
        Self { folder, address }
    }

    /// Returns the samples of an instant query.
    pub(crate) async fn query(&self, query: &str) -> Vec<Value> {
        let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let uri = format!("{}/api/v1/query?query={query}", self.address);
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<&[u8]>>();
        let answer = client.get(uri.parse().unwrap()).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(answer["status"], "success", "{answer}");
        answer["data"]["result"].as_array().unwrap().clone()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        script(&["down", self.folder.to_str().unwrap()], &[]);
    }
}

#[tokio::test]
async fn prometheus_counts_the_requests_of_both_tracks() {
    in_a_shop(HEALTHY, async |shop| {
        let prometheus = Prometheus::start(shop);
        let up = "count by (label_track) (up == 1)";
        within(60, "a scrape of every pod", async || {
            let samples = prometheus.query(up).await;
            let of = |track| value(&samples, "label_track", track);
            (of("stable")? > 8.5 && of("canary")? > 0.5).then_some(())
        })
        .await;
        // Nine pods of ten have nine tenths of the users, once the window is of all of them.
        let rate = "sum by (track) (rate(http_requests_total[10s]))";
        within(60, "the requests of both tracks", async || {
            let samples = prometheus.query(rate).await;
            let of = |track| value(&samples, "track", track);
            let (stable, canary) = (of("stable")?, of("canary")?);
            (canary > 0.0 && stable > 3.0 * canary).then_some(())
        })
        .await;
    })
    .await;
}

/// Returns the value of the sample with a track in this label.
fn value(samples: &[Value], label: &str, track: &str) -> Option<f64> {
    let sample = samples.iter().find(|s| s["metric"][label] == track)?;
    sample["value"][1].as_str()?.parse().ok()
}
