//! What goes wrong: crashes, images, configuration, quota, autoscalers, nodes.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_crash_loop_backs_off_longer_each_time() {
    let bench = Bench::builtin("crash-loop");
    bench.wait(1200).await;
    let pod = bench.pods("payment-api-canary").remove(0);
    assert!((5..=9).contains(&restarts(&pod)), "{}", restarts(&pod));
    let last = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!(last["exitCode"], 1);
    assert_eq!(last["reason"], "Error");
    let mut waits: Vec<(String, Timestamp)> = Vec::new();
    for change in bench.changes() {
        if change.key.resource == "pods" && change.key.name == object::name(&pod) {
            let now = waiting(&change.object).to_owned();
            let at = change.object["status"]["containerStatuses"][0]["lastState"]["terminated"]["finishedAt"].clone();
            if now == "CrashLoopBackOff" {
                waits.push((now, at.as_str().unwrap().parse().unwrap()));
            }
        }
    }
    let gaps: Vec<i64> = waits
        .windows(2)
        .map(|w| w[1].1.duration_since(w[0].1).as_secs())
        .collect();
    // Up to the longest wait of five minutes.
    let grows = |g: &[i64]| g[1] > g[0] || g[0] > 300;
    assert!(gaps.windows(2).all(grows), "{gaps:?}");
    assert!(!bench.events("BackOff").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_restarts_the_progress_deadline() {
    let bench = Bench::builtin("crash-loop");
    bench.edit("payment-api-canary", |d| {
        d["spec"]["progressDeadlineSeconds"] = json!(60);
    });
    bench.set_image("payment-api-canary", "registry.example/payment-api:2.0.1");
    bench.scale("payment-api-canary", 3);
    bench.wait(90).await;
    let deployment = bench.deployment("payment-api-canary");
    let progressing = object::condition(&deployment, "Progressing").unwrap();
    // Older than the deadline, yet each turn of the loop looked like progress.
    assert_eq!(progressing["status"], "True", "{progressing}");
}

#[tokio::test(start_paused = true)]
async fn memory_kills_are_told_from_exits() {
    let bench = Bench::builtin("oom");
    bench.wait(400).await;
    let pod = bench.pods("payment-api-canary").remove(0);
    let last = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!(
        (&last["exitCode"], &last["reason"]),
        (&json!(137), &json!("OOMKilled"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_missing_image_alternates_between_two_reasons() {
    let bench = Bench::builtin("image-missing");
    bench.scale("payment-api-canary", 2);
    bench.wait(200).await;
    let mut seen = std::collections::BTreeSet::new();
    for change in bench.changes() {
        if change.key.resource == "pods" && change.key.name.starts_with("payment-api-canary") {
            seen.insert(waiting(&change.object).to_owned());
        }
    }
    assert!(
        seen.contains("ErrImagePull") && seen.contains("ImagePullBackOff"),
        "{seen:?}"
    );
    assert!(seen.contains("ContainerCreating"), "{seen:?}");
    let failed = bench.events("Failed");
    assert!(
        failed.iter().any(|e| e["count"].as_i64() > Some(1)),
        "{failed:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_missing_key_stops_the_container_until_it_is_there() {
    let bench = Bench::builtin("config-missing");
    let pod = bench.pods("payment-api-canary").remove(0);
    assert_eq!(waiting(&pod), "CreateContainerConfigError");
    let message = &pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"];
    assert_eq!(
        message,
        "couldn't find key FRAUD_MODEL_URL in ConfigMap canary-release/app-config"
    );
    let key = Key::new("", "configmaps", NAMESPACE, "app-config");
    let fix = |map: &mut Value| {
        map["data"]["FRAUD_MODEL_URL"] = json!("http://fraud-model");
        Ok(())
    };
    bench.store.update(&key, Door::Main, false, fix).unwrap();
    bench.wait(40).await;
    assert_eq!(
        status(&bench.deployment("payment-api-canary"), "readyReplicas"),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn pods_that_never_turn_ready_exceed_the_progress_deadline() {
    let bench = Bench::builtin("never-ready");
    bench.set_image("payment-api-canary", "registry.example/payment-api:2.0.1");
    bench.wait(590).await;
    let reason = |bench: &Bench| {
        let deployment = bench.deployment("payment-api-canary");
        object::condition(&deployment, "Progressing").unwrap()["reason"].clone()
    };
    assert_eq!(reason(&bench), "ReplicaSetUpdated");
    bench.wait(30).await;
    assert_eq!(reason(&bench), "ProgressDeadlineExceeded");
    assert!(!bench.events("Unhealthy").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_full_quota_refuses_pods_and_says_so() {
    let bench = Bench::builtin("quota");
    bench.scale("payment-api-canary", 2);
    bench.wait(30).await;
    let deployment = bench.deployment("payment-api-canary");
    assert_eq!(status(&deployment, "replicas"), 1);
    let failure = object::condition(&deployment, "ReplicaFailure").unwrap();
    assert_eq!(failure["reason"], "FailedCreate");
    assert!(
        failure["message"]
            .as_str()
            .unwrap()
            .contains("exceeded quota: pods")
    );
    assert!(bench.events("FailedCreate")[0]["count"].as_i64() > Some(1));
    bench.scale("payment-api-stable", 8);
    bench.wait(90).await;
    assert_eq!(
        status(&bench.deployment("payment-api-canary"), "readyReplicas"),
        2
    );
    let deployment = bench.deployment("payment-api-canary");
    assert!(object::condition(&deployment, "ReplicaFailure").is_none());
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_overrules_a_scale() {
    let bench = Bench::builtin("hpa-fights");
    bench.wait(60).await;
    let stable = bench.deployment("payment-api-stable");
    assert_eq!(stable["spec"]["replicas"], 12);
    let managers = stable["metadata"]["managedFields"].to_string();
    assert!(managers.contains("kube-controller-manager"), "{managers}");
    bench.scale("payment-api-stable", 7);
    bench.wait(20).await;
    assert_eq!(
        bench.deployment("payment-api-stable")["spec"]["replicas"],
        12
    );
    bench.scale("payment-api-stable", 0);
    bench.wait(60).await;
    assert_eq!(
        bench.deployment("payment-api-stable")["spec"]["replicas"],
        0
    );
    let key = Key::new(
        "autoscaling",
        "horizontalpodautoscalers",
        NAMESPACE,
        "payment-api-stable",
    );
    let hpa = bench.store.get(&key).unwrap();
    assert_eq!(
        object::condition(&hpa, "ScalingActive").unwrap()["reason"],
        "ScalingDisabled"
    );
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_follows_the_load() {
    let text = "
traffic: {rate: 400, service: canary-release/payment-api-service}
objects:
  - apiVersion: autoscaling/v2
    kind: HorizontalPodAutoscaler
    metadata: {name: web, namespace: canary-release}
    spec:
      scaleTargetRef: {kind: Deployment, name: payment-api-stable}
      minReplicas: 2
      maxReplicas: 40
      metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}}]
";
    let bench = Bench::with(text);
    bench.wait(600).await;
    // 400 requests a second of 15 ms are 6000 millicores: 50 pods of 120; the bound holds.
    let replicas = bench.deployment("payment-api-stable")["spec"]["replicas"]
        .as_i64()
        .unwrap();
    assert!((30..=40).contains(&replicas), "{replicas}");
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_lost_node_leave_the_endpoints_and_come_back_elsewhere() {
    let text = "
traffic: {rate: 50, service: canary-release/payment-api-service}
faults: [{at: 10s, do: {node-lost: {node: node-1}}}]
";
    let bench = Bench::with(text);
    bench.wait(60).await;
    let stable = status(&bench.deployment("payment-api-stable"), "readyReplicas");
    assert!((4..=7).contains(&stable), "{stable}");
    assert!(bench.world.users().total.failed > 100);
    bench.wait(400).await;
    assert_eq!(
        status(&bench.deployment("payment-api-stable"), "readyReplicas"),
        9
    );
}

#[tokio::test(start_paused = true)]
async fn a_pod_without_a_node_says_why() {
    let bench = Bench::with("versions: [{match: {image: ':2.'}, unschedulable: true}]");
    let pod = bench.pods("payment-api-canary").remove(0);
    assert_eq!(pod["status"]["phase"], "Pending");
    let condition = object::condition(&pod, "PodScheduled").unwrap();
    assert_eq!(condition["reason"], "Unschedulable");
    assert_eq!(bench.events("FailedScheduling").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_container_is_restarted_by_its_liveness_probe() {
    let bench = Bench::with("versions: [{match: {image: ':2.'}, hang_after: 60s}]");
    bench.wait(110).await;
    let pod = bench.pods("payment-api-canary").remove(0);
    assert_eq!(restarts(&pod), 1);
    let events = bench.events("Unhealthy");
    assert!(
        events
            .iter()
            .any(|e| e["message"].as_str().unwrap().starts_with("Liveness"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_pod_takes_its_time_to_stop_but_not_more_than_its_grace_period() {
    // Two seconds unless the scenario says otherwise; the grace period is 30 s.
    for (stop, there, gone) in [("", 1, 3), ("stop: 12s", 11, 13), ("stop: 5m", 29, 31)] {
        let bench = Bench::with(&format!("versions: [{{match: {{image: ':2.'}}, {stop}}}]"));
        bench.wait(30).await;
        bench.scale("payment-api-canary", 0);
        bench.wait(there).await;
        let pods = bench.pods("payment-api-canary");
        assert_eq!(pods.len(), 1, "{stop}");
        assert!(object::is_terminating(&pods[0]));
        bench.wait(gone - there).await;
        assert!(bench.pods("payment-api-canary").is_empty(), "{stop}");
    }
}
