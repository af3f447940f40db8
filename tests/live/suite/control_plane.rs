//! A control plane in trouble. Each test has one of its own.

use super::{
    ground::{Ground, pause},
    shop::{HEALTHY, on},
};
#[tokio::test]
async fn an_api_server_that_restarts_in_mid_step_is_waited_for() {
    let ground = Ground::start();
    on(&ground, HEALTHY, async |shop| {
        let mut run = shop.start("auto --yes");
        run.until("moving traffic to 50%").await;
        shop.ground.ctl(&["restart", "apiserver"]).await;
        run.ended().await.ends(0).says("PROMOTED");
        shop.is_promoted().await;
        shop.never_fell().await;
    })
    .await;
}

#[tokio::test]
async fn an_etcd_that_stands_still_for_ten_seconds_is_waited_for() {
    let ground = Ground::start();
    on(&ground, HEALTHY, async |shop| {
        let mut run = shop.start("auto --yes");
        run.until("watching at 10%").await;
        shop.ground.ctl(&["pause", "etcd"]).await;
        pause(10_000).await;
        shop.ground.ctl(&["resume", "etcd"]).await;
        run.ended().await.ends(0).says("PROMOTED");
        shop.is_promoted().await;
        shop.never_fell().await;
    })
    .await;
}
