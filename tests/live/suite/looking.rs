//! What only looks: status, monitor, check, history, and every `--dry-run`.

use std::{collections::BTreeMap, fs};

use serde_json::Value;

use super::{
    ground::within,
    shop::{CANARY, HEALTHY, Shop, in_a_shop},
};

#[tokio::test]
async fn status_shows_the_split_as_it_is() {
    in_a_shop(HEALTHY, async |shop| {
        let ran = shop.run("status -o json").await.ends(0);
        let document: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(document["split"]["actual"], 10.0);
        assert_eq!(document["stable"]["ready"], 9);
        assert_eq!(document["canary"]["ready"], 1);
        assert_eq!(document["canary"]["pods"][0]["restarts"], 0);
        let checks = document["checks"].as_array().unwrap();
        let healthy = |check: &&Value| check["verdict"] == "healthy";
        assert!(checks.iter().any(|c| c["name"] == "health" && healthy(&c)));
        shop.kubectl("scale deployment/payment-api-canary --replicas=3")
            .await;
        shop.ready(CANARY, 3).await;
        shop.run("status").await.ends(0).says("canary 25%");
        shop.run("status --quick").await.ends(0).says("3/3");
    })
    .await;
}

#[tokio::test]
async fn status_of_what_is_not_there_says_so() {
    in_a_shop(HEALTHY, async |shop| {
        shop.delete("deployments", "payment-api-stable").await;
        shop.run("status").await.ends(2).says("no Deployment");
    })
    .await;
}

#[tokio::test]
async fn monitor_ends_in_time_and_exports_every_look() {
    in_a_shop(HEALTHY, async |shop| {
        let line = "monitor --interval 1s --duration 3s --export looks.csv";
        let ran = shop.run(line).await.ends(0);
        let looks = ran.out.lines().count();
        assert!((2..=4).contains(&looks), "{}", ran.text());
        let csv = fs::read_to_string(shop.folder.join("looks.csv")).unwrap();
        let mut lines = csv.lines();
        assert_eq!(lines.next(), Some("timestamp,version,metric,value"));
        let weights = |track: &str| {
            let part = format!(",{track},\"weight\",");
            let values = csv.lines().filter_map(|line| line.split_once(&part));
            values
                .map(|(_, value)| value.to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(weights("canary"), vec!["10"; looks], "{csv}");
        assert_eq!(weights("stable"), vec!["90"; looks], "{csv}");
    })
    .await;
}

#[tokio::test]
async fn monitor_waits_for_the_end_of_a_release() {
    in_a_shop(HEALTHY, async |shop| {
        let mut run = shop.start("auto --yes");
        run.until("watching at 10%").await;
        let line =
            "monitor --interval 1s --duration 120s --until promoted -o json --export looks.jsonl";
        let ran = shop.run(line).await.ends(0);
        run.ended().await.ends(0);
        let read = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        let shown: Vec<Value> = ran.out.lines().map(read).collect();
        assert_eq!(shown.last().unwrap()["run"]["outcome"], "promoted");
        let file = fs::read_to_string(shop.folder.join("looks.jsonl")).unwrap();
        let phase = |look: &Value| look["run"]["phase"].clone();
        let kept: Vec<Value> = file.lines().map(|line| phase(&read(line))).collect();
        assert_eq!(kept, shown.iter().map(phase).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn check_finds_a_good_release_good_and_a_bad_one_bad() {
    in_a_shop(HEALTHY, async |shop| {
        shop.run("check").await.ends(0).says("all permissions");
        let quota = serde_json::json!({
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "small"},
            "spec": {"hard": {"pods": "11"}},
        });
        shop.create(&quota).await;
        within(20, "the quota to be counted", async || {
            let quota = shop.get("resourcequotas", "small").await?;
            quota["status"]["used"]["pods"].as_str().map(drop)
        })
        .await;
        shop.run("check").await.ends(2).says("small").says("fix");
        let selector = serde_json::json!({"spec": {"selector": {"version": "stable"}}});
        shop.patch("services", "payment-api-service", &selector)
            .await;
        shop.run("check").await.ends(2).says("no Service selects");
    })
    .await;
}

#[tokio::test]
async fn history_tells_of_every_run() {
    in_a_shop(HEALTHY, async |shop| {
        shop.run("history").await.ends(0);
        shop.run("auto --yes --steps 50:1s --until step=1")
            .await
            .ends(0);
        shop.run("rollback").await.ends(0);
        shop.run("history")
            .await
            .ends(0)
            .says("rolled back")
            .says("ana@laptop");
        let ran = shop.run("history -o json").await.ends(0);
        let document: Value = serde_json::from_str(&ran.out).unwrap();
        assert!(ran.out.contains("\"WeightReached\""), "{document:#}");
    })
    .await;
}

// === --dry-run ===

/// The version of every object of the namespace that a release could touch.
async fn versions(shop: &Shop<'_>) -> BTreeMap<String, String> {
    let mut versions = BTreeMap::new();
    for resource in [
        "deployments",
        "replicasets",
        "pods",
        "services",
        "configmaps",
        "horizontalpodautoscalers",
        "events",
    ] {
        for object in shop.list(resource).await {
            // Kubelets tell of their pods when they find the time.
            let ours = object["reportingComponent"]
                .as_str()
                .is_some_and(|who| who.starts_with("canaryctl"));
            if resource == "events" && !ours {
                continue;
            }
            let meta = &object["metadata"];
            let name = format!("{resource}/{}", meta["name"].as_str().unwrap());
            versions.insert(name, meta["resourceVersion"].as_str().unwrap().to_owned());
        }
    }
    versions
}

/// The same, once nothing moves any more.
async fn settled(shop: &Shop<'_>) -> BTreeMap<String, String> {
    within(60, "the namespace to come to rest", async || {
        let before = versions(shop).await;
        super::ground::pause(1500).await;
        (versions(shop).await == before).then_some(before)
    })
    .await
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    in_a_shop(HEALTHY, async |shop| {
        let before = settled(shop).await;
        shop.run("set payment-api 50 --dry-run")
            .await
            .ends(0)
            .says("would scale payment-api-canary from 1 to 5");
        shop.run("auto --yes --dry-run").await.ends(0);
        let image = "auto --yes --dry-run --image registry.example/payment-api:3.0.0";
        shop.run(image).await.ends(0).says("would set image");
        shop.run("rollback --dry-run")
            .await
            .ends(0)
            .says("would scale");
        shop.run("promote --yes --force --dry-run").await.ends(0);
        for looks in ["status", "check", "history", "monitor --duration 1s"] {
            shop.run(looks).await.ends(0);
        }
        assert_eq!(settled(shop).await, before);
    })
    .await;
}
