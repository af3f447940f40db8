//! Through the API server to a pod behind a Service.

use serde_json::json;

use super::*;
use crate::sim::api::Rules;

const SERVICE: &str = "payment-api-service.canary-release.svc";

async fn ask(cluster: &Cluster, url: &str, via: &str) -> Result<Answer, WebError> {
    let options = json!({"url": url, "via": via});
    web(cluster, options).send(&Request::default()).await
}

/// A cluster whose pods are ready, in virtual time.
async fn ready(objects: &[Value]) -> (SimCluster, Cluster) {
    let (sim, cluster) = cluster(&[]);
    sim.world().load(objects.to_vec()).unwrap();
    cluster.clock().sleep(Duration::from_secs(60)).await;
    (sim, cluster)
}

fn service(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "canary-release"},
        "spec": spec
    })
}

#[tokio::test(start_paused = true)]
async fn a_name_without_an_address_here_is_a_service() {
    let (_sim, cluster) = ready(&[]).await;
    for host in [
        "payment-api-service.canary-release",
        SERVICE,
        "payment-api-service.canary-release.svc.cluster.local",
    ] {
        let url = format!("http://{host}/health");
        let answer = ask(&cluster, &url, "auto").await.unwrap();
        assert_eq!(answer.status, 200, "{host}");
        assert!(!answer.body.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_elsewhere_reaches_the_same_service() {
    let (_sim, cluster) = ready(&[]).await;
    let elsewhere = cluster.in_namespace("default");
    let answer = ask(
        &elsewhere,
        &format!("http://{SERVICE}/health"),
        "port-forward",
    )
    .await;
    assert_eq!(answer.unwrap().status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_way_that_breaks_is_looked_for_anew() {
    let (sim, cluster) = ready(&[]).await;
    let url = format!("http://{SERVICE}/health");
    let web = web(&cluster, json!({"url": url, "via": "port-forward"}));
    web.send(&Request::default()).await.unwrap();
    let name = crate::cluster::services::ServiceName::of_host(SERVICE).unwrap();
    let (pod, _) = cluster.pod_behind(&name, 80).await.unwrap();
    let api = cluster.api::<k8s_openapi::api::core::v1::Pod>();
    let now = kube::api::DeleteParams::default().grace_period(0);
    api.delete(&pod, &now).await.unwrap();
    cluster.clock().sleep(Duration::from_secs(60)).await;
    assert_ne!(cluster.pod_behind(&name, 80).await.unwrap().0, pod);
    let answer = web.send(&Request::default()).await.unwrap();
    assert_eq!(answer.status, 200);
    drop(sim);
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_service_leads_to_a_pod() {
    let selector = json!({"app": "payment-api"});
    let (sim, cluster) = ready(&[
        service("headless", &json!({"clusterIP": "None", "selector": selector, "ports": [{"port": 9999, "targetPort": 1}]})),
        service("numbered", &json!({"selector": selector, "ports": [{"port": 80, "targetPort": 3000}]})),
        service("plain", &json!({"ports": [{"name": "web", "port": 80, "targetPort": 3000}]})),
    ])
    .await;
    let answer = ask(
        &cluster,
        "http://headless.canary-release.svc:3000/health",
        "auto",
    )
    .await;
    assert_eq!(answer.unwrap().status, 200);
    let answer = ask(
        &cluster,
        "http://numbered.canary-release.svc/health",
        "auto",
    )
    .await;
    assert_eq!(answer.unwrap().status, 200);
    let pod = cluster
        .pod_behind(
            &crate::cluster::services::ServiceName::of_host(SERVICE).unwrap(),
            80,
        )
        .await
        .unwrap();
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": "plain-1", "namespace": "canary-release",
            "labels": {"kubernetes.io/service-name": "plain"}
        },
        "addressType": "IPv4",
        "endpoints": [{
            "addresses": ["10.0.0.1"], "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "name": pod.0, "namespace": "canary-release"}
        }],
        "ports": [{"name": "web", "port": 3000, "protocol": "TCP"}]
    });
    let api: kube::Api<k8s_openapi::api::discovery::v1::EndpointSlice> = cluster.api();
    let slice = serde_json::from_value(slice).unwrap();
    api.create(&kube::api::PostParams::default(), &slice)
        .await
        .unwrap();
    let answer = ask(&cluster, "http://plain.canary-release.svc/health", "auto").await;
    assert_eq!(answer.unwrap().status, 200);
    drop(sim);
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_the_way_is_named() {
    let (sim, cluster) = ready(&[
        service("nobody", &json!({"selector": {"app": "none"}, "ports": [{"port": 80}]})),
        service("bare", &json!({"ports": [{"port": 80}]})),
        service("other", &json!({"type": "ExternalName", "externalName": "x.example"})),
        service("closed", &json!({"selector": {"app": "payment-api"}, "ports": [{"port": 80, "targetPort": 4000}]})),
    ])
    .await;
    let none = "http://none.canary-release.svc/";
    for (url, via, said) in [
        (
            none,
            "auto",
            "none.canary-release.svc has no address here, and by port-forward: there is no Service canary-release/none",
        ),
        (none, "direct", "straight from here: "),
        (
            "http://nobody.canary-release.svc/",
            "auto",
            "Service canary-release/nobody has no ready pod (0 with its labels)",
        ),
        (
            "http://bare.canary-release.svc/",
            "auto",
            "neither a selector nor an endpoint",
        ),
        (
            "http://other.canary-release.svc/",
            "auto",
            "is of type ExternalName, another name of x.example",
        ),
        (
            "http://payment-api-service.canary-release.svc:8080/",
            "auto",
            "has no port 8080; it has: 80",
        ),
        (
            "http://closed.canary-release.svc/",
            "auto",
            "(by port-forward to pod canary-release/payment-api",
        ),
        (
            "http://127.0.0.1/",
            "port-forward",
            "needs a host such as SERVICE.NAMESPACE.svc",
        ),
    ] {
        let error = ask(&cluster, url, via).await.unwrap_err();
        assert_eq!(error.kind, Kind::Unreachable, "{error}");
        assert!(error.to_string().contains(said), "{error}");
        assert!(matches!(
            error.missing(),
            Sample::Missing(Unknown::SourceDown, _)
        ));
    }
    for (verb, resource, said) in [
        (
            "get",
            "services",
            "permission to get services in namespace canary-release is missing",
        ),
        (
            "list",
            "pods",
            "permission to list pods in namespace canary-release is missing",
        ),
        (
            "create",
            "pods/portforward",
            "create pods/portforward in namespace canary-release",
        ),
    ] {
        sim.server()
            .set_rules(Rules::default().deny(verb, "", resource));
        let error = ask(&cluster, &format!("http://{SERVICE}/health"), "auto")
            .await
            .unwrap_err();
        assert_eq!(error.kind, Kind::Forbidden, "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
}
