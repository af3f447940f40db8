//! Deployments: rolling updates, scaling, status, revisions.

use super::*;
use crate::sim::store::ChangeKind;

#[tokio::test(start_paused = true)]
async fn a_loaded_cluster_is_ready_without_waiting() {
    let bench = Bench::builtin("healthy");
    for (name, replicas) in [("payment-api-stable", 9), ("payment-api-canary", 1)] {
        let deployment = bench.deployment(name);
        assert_eq!(status(&deployment, "readyReplicas"), replicas);
        assert_eq!(status(&deployment, "availableReplicas"), replicas);
        assert_eq!(
            deployment["status"]["observedGeneration"],
            deployment["metadata"]["generation"]
        );
        let progressing = object::condition(&deployment, "Progressing").unwrap();
        assert_eq!(progressing["reason"], "NewReplicaSetAvailable");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_stays_within_surge_and_availability() {
    let bench = Bench::builtin("healthy");
    let from = bench.store.version();
    bench.set_image("payment-api-stable", "registry.example/payment-api:1.5.1");
    bench.wait(300).await;
    let deployment = bench.deployment("payment-api-stable");
    assert_eq!(status(&deployment, "updatedReplicas"), 9);
    assert_eq!(status(&deployment, "availableReplicas"), 9);
    assert_eq!(status(&deployment, "replicas"), 9);
    let history = bench.store.changes_after(from).unwrap();
    let mine = |c: &&Change| c.key.resource == "deployments" && c.key.name == "payment-api-stable";
    let mut steps = 0;
    for change in history.iter().filter(mine) {
        // 25 % of 9: two may be missing, three may be too many.
        assert!(status(&change.object, "availableReplicas") >= 7);
        assert!(status(&change.object, "replicas") <= 12);
        steps += 1;
    }
    assert!(steps > 5, "{steps}");
    assert_eq!(
        deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "2"
    );
}

#[tokio::test(start_paused = true)]
async fn the_observed_generation_lags_behind_a_write() {
    let bench = Bench::builtin("healthy");
    // Between two ticks: a write on a tick may be seen at once.
    bench.store.clock().sleep(Duration::from_millis(1100)).await;
    let written = bench.scale("payment-api-canary", 2);
    let generation = written["metadata"]["generation"].as_i64().unwrap();
    assert_eq!(status(&written, "observedGeneration"), generation - 1);
    tokio::task::yield_now().await;
    let soon = bench.deployment("payment-api-canary");
    assert_eq!(status(&soon, "observedGeneration"), generation - 1);
    bench.wait(2).await;
    let later = bench.deployment("payment-api-canary");
    assert_eq!(status(&later, "observedGeneration"), generation);
    assert_eq!(status(&later, "readyReplicas"), 1);
    bench.wait(20).await;
    assert_eq!(
        status(&bench.deployment("payment-api-canary"), "readyReplicas"),
        2
    );
}

#[tokio::test(start_paused = true)]
async fn an_old_template_gives_the_old_replica_set_again() {
    let bench = Bench::builtin("healthy");
    let sets = || {
        let (sets, _) = bench.store.list("apps", "replicasets", NAMESPACE);
        sets.iter()
            .filter(|s| object::name(s).starts_with("payment-api-stable"))
            .count()
    };
    bench.set_image("payment-api-stable", "registry.example/payment-api:1.5.1");
    bench.wait(300).await;
    assert_eq!(sets(), 2);
    bench.set_image("payment-api-stable", "registry.example/payment-api:1.5.0");
    bench.wait(300).await;
    assert_eq!(sets(), 2);
    let deployment = bench.deployment("payment-api-stable");
    assert_eq!(
        deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "3"
    );
    assert_eq!(status(&deployment, "updatedReplicas"), 9);
}

#[tokio::test(start_paused = true)]
async fn old_replica_sets_beyond_the_history_limit_are_deleted_after_the_update() {
    let bench = Bench::builtin("healthy");
    bench.edit("payment-api-canary", |d| {
        d["spec"]["revisionHistoryLimit"] = json!(1);
    });
    for patch in 1..=3 {
        bench.set_image(
            "payment-api-canary",
            &format!("registry.example/payment-api:2.0.{patch}"),
        );
        bench.wait(120).await;
    }
    let (sets, _) = bench.store.list("apps", "replicasets", NAMESPACE);
    let mine = sets
        .iter()
        .filter(|s| object::name(s).starts_with("payment-api-canary"));
    assert_eq!(mine.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_paused_deployment_scales_but_does_not_update() {
    let bench = Bench::builtin("healthy");
    bench.edit("payment-api-canary", |d| d["spec"]["paused"] = json!(true));
    bench.set_image("payment-api-canary", "registry.example/payment-api:2.0.1");
    bench.scale("payment-api-canary", 3);
    bench.wait(60).await;
    let deployment = bench.deployment("payment-api-canary");
    assert_eq!(status(&deployment, "readyReplicas"), 3);
    assert_eq!(status(&deployment, "updatedReplicas"), 0);
    bench.edit("payment-api-canary", |d| d["spec"]["paused"] = json!(false));
    bench.wait(120).await;
    assert_eq!(
        status(&bench.deployment("payment-api-canary"), "updatedReplicas"),
        3
    );
}

#[tokio::test(start_paused = true)]
async fn recreate_never_runs_two_versions_side_by_side() {
    let bench = Bench::builtin("healthy");
    bench.edit("payment-api-stable", |d| {
        d["spec"]["strategy"] = json!({"type": "Recreate"});
    });
    let from = bench.store.version();
    bench.set_image("payment-api-stable", "registry.example/payment-api:1.5.1");
    bench.wait(120).await;
    let mut images = std::collections::BTreeMap::new();
    for change in bench.store.changes_after(from).unwrap() {
        if change.key.resource != "pods" || !change.key.name.starts_with("payment-api-stable") {
            continue;
        }
        let image = change.object["spec"]["containers"][0]["image"].to_string();
        match change.kind {
            ChangeKind::Deleted => images.remove(&change.key.name),
            ChangeKind::Added | ChangeKind::Modified => {
                images.insert(change.key.name.clone(), image)
            }
        };
        let kinds: std::collections::BTreeSet<&String> = images.values().collect();
        assert!(kinds.len() <= 1, "{kinds:?}");
    }
    assert_eq!(
        status(&bench.deployment("payment-api-stable"), "availableReplicas"),
        9
    );
}

#[tokio::test(start_paused = true)]
async fn scaling_down_keeps_ready_and_older_pods() {
    let bench = Bench::builtin("healthy");
    let old = object::name(&bench.pods("payment-api-canary")[0]).to_owned();
    bench.scale("payment-api-canary", 4);
    bench.wait(5).await;
    bench.scale("payment-api-canary", 1);
    bench.wait(10).await;
    let left = bench.pods("payment-api-canary");
    assert_eq!(left.len(), 1);
    assert_eq!(object::name(&left[0]), old);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_deployment_takes_its_pods_along() {
    let bench = Bench::builtin("healthy");
    let key = Key::new("apps", "deployments", NAMESPACE, "payment-api-canary");
    bench.store.delete(&key, false).unwrap();
    bench.wait(10).await;
    assert!(bench.pods("payment-api-canary").is_empty());
    assert_eq!(bench.pods("payment-api-stable").len(), 9);
}

#[tokio::test(start_paused = true)]
async fn min_ready_seconds_delay_availability() {
    let bench = Bench::builtin("healthy");
    bench.wait(70).await;
    bench.edit("payment-api-canary", |d| {
        d["spec"]["minReadySeconds"] = json!(60);
    });
    bench.scale("payment-api-canary", 2);
    bench.wait(30).await;
    let deployment = bench.deployment("payment-api-canary");
    assert_eq!(status(&deployment, "readyReplicas"), 2);
    assert_eq!(status(&deployment, "availableReplicas"), 1);
    bench.wait(60).await;
    assert_eq!(
        status(&bench.deployment("payment-api-canary"), "availableReplicas"),
        2
    );
}

#[tokio::test(start_paused = true)]
async fn a_stopping_pod_carries_its_deletion_time() {
    let bench = Bench::builtin("healthy");
    let from = bench.store.version();
    bench.scale("payment-api-stable", 8);
    bench.wait(10).await;
    let history = bench.store.changes_after(from).unwrap();
    let stopping: Vec<&Change> = history
        .iter()
        .filter(|c| c.key.resource == "pods" && c.kind != ChangeKind::Deleted)
        .filter(|c| c.object["metadata"]["deletionTimestamp"].is_string())
        .collect();
    assert!(!stopping.is_empty());
    let last = stopping.last().unwrap();
    assert_eq!(last.object["metadata"]["deletionGracePeriodSeconds"], 30);
    // It serves until it ends; whoever reads it has to look at the deletion time.
    assert!(object::holds(&last.object, "Ready"), "{}", last.object);
    assert!(
        history
            .iter()
            .any(|c| c.key == last.key && c.kind == ChangeKind::Deleted)
    );
    assert_eq!(bench.pods("payment-api-stable").len(), 8);
}
