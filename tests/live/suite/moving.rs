//! What moves traffic by one command: set, approve, rollback, promote.

use std::time::Instant;

use super::{
    ground::pause,
    shop::{CANARY, HEALTHY, NEW, OLD, STABLE, in_a_shop},
};

#[tokio::test]
async fn set_moves_up_and_down_and_off() {
    in_a_shop(HEALTHY, async |shop| {
        shop.run("set payment-api 50").await.ends(0).says("50%");
        shop.is_at(OLD, 5, 5).await;
        shop.run("set payment-api -20").await.ends(0).says("30%");
        shop.is_at(OLD, 7, 3).await;
        shop.run("set payment-api 100").await.ends(0);
        shop.is_at(OLD, 0, 10).await;
        shop.run("set payment-api 0").await.ends(0);
        shop.is_at(OLD, 10, 0).await;
        shop.run("set payment-api 25").await.ends(0);
        shop.is_at(OLD, 7, 3).await;
        shop.never_fell().await;
    })
    .await;
}

#[tokio::test]
async fn a_step_waits_for_its_approval() {
    in_a_shop(HEALTHY, async |shop| {
        shop.run("approve").await.ends(2).says("no step waits");
        let steps = "--steps 10:1s:approve,100:1s";
        let paused = format!("auto --yes {steps} --until paused");
        shop.run(&paused).await.ends(0).says("canaryctl approve");
        shop.is_at(OLD, 9, 1).await;
        shop.run("approve").await.ends(0);
        shop.run(&format!("auto --yes {steps}")).await.ends(0);
        shop.is_promoted().await;
        shop.never_fell().await;
    })
    .await;
}

#[tokio::test]
async fn a_rollback_works_without_a_record_and_twice() {
    in_a_shop(HEALTHY, async |shop| {
        shop.run("set payment-api 100 --no-journal").await.ends(0);
        assert!(
            shop.get("configmaps", "canaryctl-payment-api")
                .await
                .is_none()
        );
        shop.run("rollback").await.ends(0);
        shop.is_at(OLD, 10, 0).await;
        shop.run("rollback")
            .await
            .ends(0)
            .says("nothing to roll back");
        shop.never_fell().await;
    })
    .await;
}

#[tokio::test]
async fn a_rollback_deletes_the_canary_where_asked() {
    in_a_shop(HEALTHY, async |shop| {
        shop.run("set payment-api 30").await.ends(0);
        shop.run("rollback --now").await.ends(0);
        shop.run("rollback --delete").await.ends(0);
        assert!(shop.get("deployments", CANARY).await.is_none());
        assert_eq!(shop.replicas("payment-api-stable").await, 9);
    })
    .await;
}

#[tokio::test]
async fn a_gradual_rollback_walks_back() {
    in_a_shop(HEALTHY, async |shop| {
        let go = "auto --yes --steps 10:1s,30:1s,50:1s --until step=3";
        shop.run(go).await.ends(0);
        shop.is_at(OLD, 5, 5).await;
        shop.run("rollback --gradual").await.ends(0).says("30%");
        shop.is_rolled_back().await;
        shop.never_fell().await;
    })
    .await;
}

#[tokio::test]
async fn promote_gives_stable_the_canarys_version() {
    in_a_shop(HEALTHY, async |shop| {
        shop.run("set payment-api 50").await.ends(0);
        shop.run("promote --yes").await.ends(0).says("PROMOTED");
        shop.is_at(NEW, 9, 0).await;
        shop.is_closed("promoted").await;
        shop.never_fell().await;
    })
    .await;
}

#[tokio::test]
async fn a_canary_that_is_not_there_is_created_and_promoted() {
    in_a_shop(HEALTHY, async |shop| {
        shop.delete("deployments", CANARY).await;
        shop.gone("track=canary").await;
        shop.run(&format!("auto --yes --image {NEW}"))
            .await
            .ends(0)
            .says("create Deployment payment-api-canary")
            .says("PROMOTED");
        assert_eq!(shop.image("payment-api-stable").await, NEW);
        shop.is_closed("promoted").await;
    })
    .await;
}

/// Where pods are the traffic, `--now` does not wait for stable's missing ones, and says what that costs.
#[tokio::test]
async fn a_rollback_in_a_hurry_takes_the_users_away_first() {
    let slow = format!("{HEALTHY}\nversions: [{{start_delay: 3s}}]");
    in_a_shop(HEALTHY, async |shop| {
        shop.run("set payment-api 50").await.ends(0);
        shop.is_at(OLD, 5, 5).await;
        // Those that run already are older than the delay; new ones are not ready for a while.
        pause(4000).await;
        shop.scenario(&slow).await;
        let begin = Instant::now();
        let ran = shop.run("rollback --now").await.ends(0);
        ran.says("5 of 10 pods of payment-api-stable carry all traffic until the others are");
        assert!(
            begin.elapsed().as_secs() < 20,
            "it waited for stable's pods"
        );
        assert_eq!(
            (shop.replicas(STABLE).await, shop.replicas(CANARY).await),
            (10, 0)
        );
        shop.scenario(HEALTHY).await;
        shop.run("rollback").await.ends(0).says("ROLLED BACK");
        shop.is_at(OLD, 9, 0).await;
    })
    .await;
}
