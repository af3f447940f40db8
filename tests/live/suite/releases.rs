//! Whole releases: to promotion and to rollback.

use std::fs;

use super::shop::{HEALTHY, in_a_shop};

#[tokio::test]
async fn a_healthy_release_is_promoted() {
    in_a_shop(HEALTHY, async |shop| {
        shop.run("auto --yes")
            .await
            .ends(0)
            .says("PROMOTED")
            .says("stable 100% on 9 ready pods");
        shop.is_promoted().await;
        shop.never_fell().await;
        let events = shop.events().await;
        assert_eq!(events.first().map(String::as_str), Some("Started"));
        assert!(events.contains(&"Promoted".to_owned()), "{events:?}");
    })
    .await;
}

#[tokio::test]
async fn a_load_of_our_own_gives_the_evidence_where_there_are_no_users() {
    let scenario = "traffic: {service: x/payment-api-service, rate: 0}";
    in_a_shop(scenario, async |shop| {
        let plan = fs::read_to_string(shop.folder.join("canary.yaml")).unwrap();
        let load = r#"
load:
  rate: 100/s
  requests:
    - method: POST
      path: /api/payments
      body: { amount: 120, merchant: test_merchant_1, cardNumber: "****1234" }
"#;
        fs::write(shop.folder.join("load.yaml"), format!("{plan}{load}")).unwrap();
        shop.start_with(&shop.ground.kubeconfig, "load.yaml", "auto --yes")
            .ended()
            .await
            .ends(0)
            .says("success rate")
            .says("PROMOTED");
        shop.is_promoted().await;
    })
    .await;
}

#[tokio::test]
async fn errors_above_a_quarter_of_the_traffic_roll_back() {
    let scenario = "
traffic: {service: x/payment-api-service, rate: 200}
versions:
  - {match: {image: 'payment-api:2.'}, errors: {rate: 25%, above: 20%}}
";
    in_a_shop(scenario, async |shop| {
        shop.run("auto --yes")
            .await
            .ends(3)
            .says("success rate")
            .says("ROLLED BACK");
        shop.is_rolled_back().await;
        shop.never_fell().await;
        let events = shop.events().await;
        assert!(events.contains(&"RolledBack".to_owned()), "{events:?}");
    })
    .await;
}
