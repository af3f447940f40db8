//! Several apps as one release: one weight on a real API server, and one way back.

use std::fs;

use canaryctl::sim::scenario::parse_objects;
use serde_json::{Value, json};

use super::shop::{HEALTHY, Shop, in_a_shop};

/// The group of the example with short times.
const GROUP: &str = r#"
group: shop
apps:
  - app: frontend
  - app: backend
    checks:
      - http: { name: health, path: /health, expect: body.status == "healthy" }
steps: [10%, 50%, 100%]
hold: 3s
interval: 1s
drain: 1s
warmup: 0s
readyTimeout: 60s
promoteTimeout: 60s
"#;

/// The new backend says of itself that it is not well.
const SICK: &str = r#"
traffic: {service: x/payment-api-service, rate: 200}
versions:
  - {match: {image: 'backend:2'}, health: '{"status": "down"}'}
"#;

/// Puts the example's apps and its Ingresses into the namespace.
async fn set_up(shop: &Shop<'_>) {
    for file in ["apps", "ingress"] {
        let path = format!("{}/examples/shop/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
        let text = fs::read_to_string(path).unwrap();
        for mut object in parse_objects(&text).unwrap() {
            object["metadata"]["namespace"] = json!(shop.namespace);
            if object["kind"] == "Ingress" {
                let all = ingresses(shop);
                shop.send("POST", &all, Some(&object)).await;
            } else {
                shop.create(&object).await;
            }
        }
    }
    for app in ["frontend", "backend"] {
        shop.ready(&format!("{app}-stable"), 4).await;
        shop.ready(&format!("{app}-canary"), 1).await;
    }
    fs::write(shop.folder.join("group.yaml"), GROUP).unwrap();
}

fn ingresses(shop: &Shop<'_>) -> String {
    format!(
        "/apis/networking.k8s.io/v1/namespaces/{}/ingresses",
        shop.namespace
    )
}

async fn weight(shop: &Shop<'_>) -> Value {
    let at = format!("{}/shop-canary", ingresses(shop));
    let ingress = shop.send("GET", &at, None).await;
    ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"].clone()
}

async fn images(shop: &Shop<'_>) -> [String; 2] {
    [
        shop.image("frontend-stable").await,
        shop.image("backend-stable").await,
    ]
}

#[tokio::test]
async fn a_group_is_promoted_as_one() {
    in_a_shop(HEALTHY, async |shop| {
        set_up(shop).await;
        let run = |line: &str| shop.start_with(&shop.ground.kubeconfig, "group.yaml", line);
        run("set 50").ended().await.ends(0);
        assert_eq!(weight(shop).await, "50");
        run("status").ended().await.ends(0).says("group shop");
        run("rollback").ended().await.ends(0).says("ROLLED BACK");
        assert_eq!(weight(shop).await, "0");
        run("auto --yes").ended().await.ends(0).says("PROMOTED");
        assert_eq!(weight(shop).await, "0");
        for image in images(shop).await {
            assert!(image.ends_with(":2.0.0"), "{image}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_sick_member_takes_its_group_back() {
    in_a_shop(SICK, async |shop| {
        set_up(shop).await;
        let run = shop.start_with(&shop.ground.kubeconfig, "group.yaml", "auto --yes");
        let ran = run.ended().await;
        ran.ends(3).says("backend was rolled back");
        assert_eq!(weight(shop).await, "0");
        for image in images(shop).await {
            assert!(image.ends_with(":1.0.0"), "{image}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_group_goes_on_after_a_kill() {
    in_a_shop(HEALTHY, async |shop| {
        set_up(shop).await;
        let run = |line: &str| shop.start_with(&shop.ground.kubeconfig, "group.yaml", line);
        let mut first = run("auto --yes");
        first.until("step 2 of 3  watching").await;
        first.signal("KILL").await;
        drop(first.ended().await);
        run("auto --yes").ended().await.ends(0).says("PROMOTED");
        for image in images(shop).await {
            assert!(image.ends_with(":2.0.0"), "{image}");
        }
    })
    .await;
}
