//! An object that the router makes and removes: ingress-nginx's canary Ingress.

use canaryctl::{
    cluster::Reason,
    domain::weight::Percent,
    sim::{fault::Fault, store::Key},
    traffic::{Router, TrafficError},
};
use http::Method;
use serde_json::{Value, json};

use super::{
    fixtures::Fixture,
    stand::{NAMESPACE, Stand},
};

/// A main Ingress alone, with another app's path, and the order to make the canary's.
const MAIN: Fixture = Fixture {
    router: "nginx",
    about: "makes its canary Ingress",
    objects: r"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  namespace: shop
  labels: {team: checkout}
  annotations:
    kubernetes.io/ingress.class: nginx-foo
    nginx.ingress.kubernetes.io/rewrite-target: /
spec:
  ingressClassName: nginx
  tls: [{hosts: [shop.example], secretName: tls}]
  rules:
  - host: shop.example
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web-stable, port: {number: 80}}}}
      - {path: /other, pathType: Prefix, backend: {service: {name: other, port: {number: 80}}}}
  - host: other.example
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: other, port: {number: 80}}}}]}
",
    options: r#"{"createCanaryIngress": true}"#,
    sum: 100,
    resources: &[("networking.k8s.io", "ingresses")],
    kind: None,
};

fn canary(stand: &Stand) -> Option<Value> {
    let key = Key::new("networking.k8s.io", "ingresses", NAMESPACE, "web-canary");
    let object = stand.sim.world().store().get(&key)?;
    Some((*object).clone())
}

#[tokio::test(start_paused = true)]
async fn the_canary_ingress_is_made_moved_and_removed() {
    static FIXTURE: Fixture = MAIN;
    let stand = Stand::at(&FIXTURE, 0);
    let main = stand.objects();
    let router = stand.bind().await;
    // At 0 nothing is missing: without it nobody reaches the canary.
    stand.settle(router.as_ref(), 0).await;
    assert_eq!(canary(&stand), None);
    let split = stand.settle(router.as_ref(), 25).await;
    assert_eq!(split.set, Percent::whole(25));
    assert_eq!(split.pinned, ["Ingress shop/web-canary"]);
    let made = canary(&stand).unwrap();
    let rules = json!([{
        "host": "shop.example",
        "http": {"paths": [{
            "path": "/", "pathType": "Prefix",
            "backend": {"service": {"name": "web-canary", "port": {"number": 80}}},
        }]},
    }]);
    assert_eq!(made["spec"]["rules"], rules);
    assert_eq!(made["spec"]["ingressClassName"], "nginx");
    let notes = json!({
        "kubernetes.io/ingress.class": "nginx-foo",
        "nginx.ingress.kubernetes.io/canary": "true",
        "nginx.ingress.kubernetes.io/canary-weight": "25",
        "canaryctl.dev/created": "true",
    });
    assert_eq!(made["metadata"]["annotations"], notes);
    stand.settle(router.as_ref(), 0).await;
    let notes = &canary(&stand).unwrap()["metadata"]["annotations"];
    // Never "false", and never without it: the controller's admission refuses either.
    assert_eq!(notes["nginx.ingress.kubernetes.io/canary"], "true");
    assert_eq!(notes["nginx.ingress.kubernetes.io/canary-weight"], "0");
    router.unpin().await.unwrap();
    assert_eq!(stand.objects(), main, "only what was made is removed");
    router.unpin().await.unwrap();
}

/// One that was there before is moved, and stays.
#[tokio::test(start_paused = true)]
async fn a_canary_ingress_of_somebody_else_is_used_and_not_removed() {
    static FIXTURE: Fixture = MAIN;
    let theirs = r#"---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web-canary
  namespace: shop
  annotations: {nginx.ingress.kubernetes.io/canary: "true", nginx.ingress.kubernetes.io/canary-weight: "0"}
spec:
  rules: [{host: shop.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web-canary, port: {number: 80}}}}]}}]
"#;
    let stand = Stand::with(&FIXTURE, &format!("{}{theirs}", FIXTURE.at(0)));
    let before = stand.objects();
    let router = stand.bind().await;
    let split = stand.settle(router.as_ref(), 25).await;
    assert_eq!(split.pinned, Vec::<String>::new());
    stand.settle(router.as_ref(), 0).await;
    router.unpin().await.unwrap();
    assert_eq!(stand.objects(), before);
}

/// Somebody makes one at the same moment: theirs stays, and the next round goes on with it.
#[tokio::test(start_paused = true)]
async fn one_that_appears_meanwhile_is_not_replaced() {
    static FIXTURE: Fixture = MAIN;
    let stand = Stand::at(&FIXTURE, 0);
    let router = stand.bind().await;
    let look = stand.look(router.as_ref()).await;
    let other = stand.bind().await;
    other.shift(Percent::whole(5), &look.scene()).await.unwrap();
    let made = canary(&stand).unwrap();
    let error = router.shift(Percent::whole(25), &look.scene()).await;
    let Err(TrafficError::Cluster(error)) = error else {
        panic!("{error:?}");
    };
    assert_eq!(error.reason, Reason::Exists);
    assert_eq!(canary(&stand).unwrap(), made);
    stand.settle(router.as_ref(), 25).await;
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_made_is_told() {
    static FIXTURE: Fixture = MAIN;
    let stand = Stand::at(&FIXTURE, 0);
    let (cluster, _) = stand.watched(|call| match *call.method {
        Method::POST => Fault::Status(403, None),
        _ => Fault::None,
    });
    let router: Box<dyn Router> = stand.bind_on(&cluster).await;
    let look = stand.look(router.as_ref()).await;
    let error = router.shift(Percent::whole(5), &look.scene()).await;
    let text = error.unwrap_err().to_string();
    assert!(text.contains("create Ingress shop/web-canary"), "{text}");
    assert_eq!(canary(&stand), None);
}
