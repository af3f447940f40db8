//! What happens to a release: signals, kills, other people, other controllers.

use std::fs;

use serde_json::json;

use super::{
    ground::pause,
    shop::{CANARY, HEALTHY, NEW, OLD, STABLE, Shop, in_a_shop},
};

/// A release that stays at half of the traffic until something happens.
const STAYS: &str = "auto --yes --steps 10:1s,50:10m,100:1s";

/// What it says when it is there.
const THERE: &str = "watching at 50%";

/// Panics unless the tool told of this on the canary Deployment.
async fn told(shop: &Shop<'_>, reason: &str) {
    let events = shop.events().await;
    assert!(events.iter().any(|e| e == reason), "{events:?}");
}

// === signals and kills ===

#[tokio::test]
async fn sigterm_in_mid_step_rolls_back() {
    in_a_shop(HEALTHY, async |shop| {
        let mut run = shop.start(STAYS);
        run.until(THERE).await;
        run.signal("TERM").await;
        run.ended().await.ends(143).says("ROLLED BACK");
        shop.is_rolled_back().await;
        shop.never_fell().await;
        told(shop, "RollingBack").await;
    })
    .await;
}

#[tokio::test]
async fn sigint_while_pods_start_rolls_back() {
    in_a_shop(HEALTHY, async |shop| {
        let mut run = shop.start("auto --yes --steps 10:1s,50:10m,100:1s");
        run.until("moving traffic to 50%").await;
        run.signal("INT").await;
        run.ended().await.ends(130).says("ROLLED BACK");
        shop.is_rolled_back().await;
        shop.never_fell().await;
    })
    .await;
}

#[tokio::test]
async fn sigterm_leaves_the_split_where_asked_and_the_release_goes_on_later() {
    in_a_shop(HEALTHY, async |shop| {
        let mut run = shop.start(&format!("{STAYS} --on-interrupt hold"));
        run.until(THERE).await;
        run.signal("TERM").await;
        run.ended().await.ends(143).says("PAUSED");
        shop.is_at(OLD, 5, 5).await;
        shop.run("rollback").await.ends(0).says("ROLLED BACK");
        shop.is_rolled_back().await;
        shop.never_fell().await;
    })
    .await;
}

#[tokio::test]
async fn a_killed_release_goes_on_where_it_was() {
    in_a_shop(HEALTHY, async |shop| {
        let mut run = shop.start("auto --yes");
        run.until("moving traffic to 50%").await;
        run.signal("KILL").await;
        assert_eq!(run.ended().await.code, None);
        // Whoever was killed could not let go, but its process is gone from this machine: nobody waits.
        let ran = shop.run("auto --yes").await.ends(0);
        let ran = ran.says("resumed").says("PROMOTED");
        assert!(!ran.text().contains("the lock of"), "{}", ran.text());
        shop.is_promoted().await;
        shop.never_fell().await;
        told(shop, "Resumed").await;
    })
    .await;
}

#[tokio::test]
async fn a_rollback_does_not_wait_for_a_killed_release_to_be_forgotten() {
    in_a_shop(HEALTHY, async |shop| {
        let mut run = shop.start(STAYS);
        run.until(THERE).await;
        run.signal("KILL").await;
        run.ended().await;
        let begin = std::time::Instant::now();
        shop.run("rollback").await.ends(0).says("ROLLED BACK");
        assert!(begin.elapsed().as_secs() < 60, "it waited");
        shop.is_rolled_back().await;
        shop.never_fell().await;
    })
    .await;
}

// === other people ===

#[tokio::test]
async fn of_two_runs_the_second_is_told_who_was_first() {
    in_a_shop(HEALTHY, async |shop| {
        let mut first = shop.start("auto --yes --hold 6s");
        first.until("watching at 10%").await;
        shop.run("auto --yes").await.ends(4).says("ana@laptop");
        shop.run("set payment-api 25").await.ends(4);
        first.ended().await.ends(0);
        shop.is_promoted().await;
        shop.never_fell().await;
    })
    .await;
}

#[tokio::test]
async fn a_rollback_takes_a_release_away_from_its_driver() {
    in_a_shop(HEALTHY, async |shop| {
        let mut first = shop.start(STAYS);
        first.until(THERE).await;
        shop.run("rollback").await.ends(0).says("ROLLED BACK");
        first.ended().await.ends(4);
        shop.is_rolled_back().await;
        shop.never_fell().await;
    })
    .await;
}

#[tokio::test]
async fn a_canary_scaled_by_hand_is_put_right() {
    in_a_shop(HEALTHY, async |shop| {
        let mut run = shop.start("auto --yes --steps 10:1s,50:12s,100:1s");
        run.until(THERE).await;
        shop.kubectl("scale deployment/payment-api-canary --replicas=7")
            .await;
        let ran = run.ended().await.ends(0).says("PROMOTED");
        // Before 1.22 a server does not note who scales: then nobody is named.
        if shop.ground.minor().await >= 22 {
            ran.says("payment-api-canary scaled by kubectl");
        } else {
            let text = ran.says("another client changed the split: ").text();
            assert!(!text.contains("scaled by"), "{text}");
        }
        shop.is_promoted().await;
        shop.never_fell().await;
        told(shop, "Drift").await;
    })
    .await;
}

#[tokio::test]
async fn a_new_image_in_mid_run_is_never_promoted() {
    in_a_shop(HEALTHY, async |shop| {
        let mut run = shop.start(STAYS);
        run.until(THERE).await;
        let newer = "registry.example/payment-api:2.0.1";
        shop.kubectl(&format!(
            "set image deployment/{CANARY} payment-api={newer}"
        ))
        .await;
        run.ended().await.ends(4).says(newer);
        assert_eq!(shop.image(STABLE).await, OLD);
        assert_eq!(shop.image(CANARY).await, newer);
        shop.run("rollback").await.ends(0);
        shop.is_at(OLD, 9, 0).await;
    })
    .await;
}

// === other controllers ===

#[tokio::test]
async fn an_autoscaler_is_held_still_and_let_go() {
    in_a_shop(HEALTHY, async |shop| {
        shop.autoscale(9, 15).await;
        shop.run("auto --yes")
            .await
            .ends(0)
            .says("pin payment-api-stable");
        shop.is_promoted().await;
        shop.never_fell().await;
        let after = shop.get("horizontalpodautoscalers", STABLE).await.unwrap();
        let bounds = (&after["spec"]["minReplicas"], &after["spec"]["maxReplicas"]);
        assert_eq!(bounds, (&json!(9), &json!(15)));
        // In its first version an autoscaler has its conditions there.
        let notes = after["metadata"]["annotations"].as_object();
        let mut notes = notes.into_iter().flatten().map(|(key, _)| key);
        let left = notes.find(|key| !key.starts_with("autoscaling.alpha.kubernetes.io/"));
        assert_eq!(left, None, "{after:#}");
    })
    .await;
}

#[tokio::test]
async fn a_quota_that_refuses_pods_ends_in_a_rollback() {
    in_a_shop(HEALTHY, async |shop| {
        // Room for the pods of both sides as they are, and for none of those that are to come before
        // others go.
        let quota = json!({
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "pods"},
            "spec": {"hard": {"pods": "10"}},
        });
        shop.create(&quota).await;
        shop.run("auto --yes").await.ends(2).says("pods");
        shop.is_at(OLD, 9, 1).await;
        let run = "auto --yes --skip-preflight --steps 10:1s,50:1s,100:1s";
        shop.run(run).await.ends(3).says("exceeded quota");
        shop.is_rolled_back().await;
        // The one exception: without room for stable's tenth pod, one of the canary's goes first.
        assert!(shop.floor.least().await.all >= 9);
    })
    .await;
}

#[tokio::test]
async fn a_namespace_that_goes_ends_the_run() {
    in_a_shop(HEALTHY, async |shop| {
        let mut run = shop.start(STAYS);
        run.until(THERE).await;
        let path = format!("/api/v1/namespaces/{}", shop.namespace);
        let begin = std::time::Instant::now();
        shop.send("DELETE", &path, None).await;
        let ran = run.ended().await;
        // Which of the two it sees first is up to the cluster: a Deployment that is gone, or a
        // namespace in which no record can be written.
        assert!(matches!(ran.code, Some(1 | 4)), "{}", ran.text());
        assert!(begin.elapsed().as_secs() < 90, "{}", ran.text());
    })
    .await;
}

// === bad canaries ===

#[tokio::test]
async fn a_crash_loop_rolls_back() {
    in_a_shop(HEALTHY, async |shop| {
        let mut run = shop.start(STAYS);
        run.until(THERE).await;
        shop.scenario(
            "
traffic: {service: x/payment-api-service, rate: 200}
versions:
  - {match: {image: 'payment-api:2.'}, crash: {after: 3s}}
",
        )
        .await;
        run.ended()
            .await
            .ends(3)
            .says("restarts")
            .says("ROLLED BACK");
        shop.is_rolled_back().await;
        told(shop, "RolledBack").await;
    })
    .await;
}

/// Pods that are started again now and then are nobody that stable's pods could be given up for.
#[tokio::test]
async fn stable_keeps_its_pods_beside_a_canary_that_restarts() {
    in_a_shop(HEALTHY, async |shop| {
        let file = shop.folder.join("canary.yaml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("maxRestarts: 1", "maxRestarts: 1000")).unwrap();
        let mut run = shop.start("auto --yes --steps 50:15s,100:1s");
        run.until(THERE).await;
        shop.scenario(
            "
traffic: {service: x/payment-api-service, rate: 200}
versions:
  - {match: {image: 'payment-api:2.'}, crash: {after: 12s}}
",
        )
        .await;
        run.ended()
            .await
            .ends(3)
            .says("ROLLED BACK")
            .says("restart");
        assert!(
            shop.floor.least().await.stable >= 5,
            "{:?}",
            shop.floor.least().await
        );
        shop.is_rolled_back().await;
    })
    .await;
}

/// Looks that fail now and then count, although never three of them come in a row.
#[tokio::test]
async fn a_health_that_comes_and_goes_rolls_back() {
    in_a_shop(HEALTHY, async |shop| {
        let run = shop.start("auto --yes --steps 10:90s,100:1s");
        let flaps = async {
            loop {
                shop.scenario(&format!(
                    "{HEALTHY}\nversions: [{{match: {{image: 'payment-api:2.'}}, health: '{{\"status\": \"degraded\"}}'}}]"
                ))
                .await;
                pause(1000).await;
                shop.scenario(HEALTHY).await;
                pause(2500).await;
            }
        };
        let ran = tokio::select! {
            ran = run.ended() => ran,
            () = flaps => unreachable!("it never ends"),
        };
        ran.ends(3).says("evaluations failed").says("ROLLED BACK");
        shop.scenario(HEALTHY).await;
        shop.is_rolled_back().await;
    })
    .await;
}

#[tokio::test]
async fn an_image_that_is_missing_rolls_back_and_costs_nothing() {
    let scenario = "
traffic: {service: x/payment-api-service, rate: 200}
versions:
  - {match: {image: 'payment-api:3.'}, image_missing: true}
";
    in_a_shop(scenario, async |shop| {
        let image = "registry.example/payment-api:3.0.0";
        let run = format!("auto --yes --image {image}");
        shop.run(&run).await.ends(3).says("ImagePull");
        shop.is_rolled_back().await;
        assert!(shop.floor.least().await.stable >= 9);
        assert_ne!(shop.image(STABLE).await, NEW);
    })
    .await;
}
