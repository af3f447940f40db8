//! Verbs, patches, refusals.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_deployment_gets_the_defaults_clients_see() {
    let (_server, client) = with_shop().await;
    let (_, shop) = raw(&client, "GET", SHOP, JSON, &Value::Null).await;
    let spec = &shop["spec"];
    assert_eq!(spec["replicas"], 1);
    assert_eq!(spec["progressDeadlineSeconds"], 600);
    assert_eq!(spec["strategy"]["rollingUpdate"]["maxSurge"], "25%");
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["containers"][0]["imagePullPolicy"], "IfNotPresent");
    assert_eq!(pod["containers"][1]["imagePullPolicy"], "Always");
    assert_eq!(pod["terminationGracePeriodSeconds"], 30);
    assert_eq!(shop["metadata"]["generation"], 1);
}

#[tokio::test(start_paused = true)]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn refusals_are_worded_as_the_real_server_words_them() {
    let (_server, client) = with_shop().await;
    let other = |name: &str| format!("{DEPLOYMENTS}/{name}");
    let wrong_labels = json!({"spec": {"template": {"metadata": {"labels": {"app": "y"}}}}});
    let cases = [
        (
            "GET",
            other("x"),
            JSON,
            Value::Null,
            404,
            "deployments.apps \"x\" not found",
        ),
        (
            "POST",
            DEPLOYMENTS.to_owned(),
            JSON,
            shop(),
            409,
            "deployments.apps \"shop\" already exists",
        ),
        (
            "PATCH",
            SHOP.to_owned(),
            MERGE,
            json!({"spec": {"replicas": -1}}),
            422,
            "Deployment.apps \"shop\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            "PATCH",
            SHOP.to_owned(),
            MERGE,
            wrong_labels,
            422,
            "Deployment.apps \"shop\" is invalid: spec.template.metadata.labels: Invalid value: {\"app\":\"y\"}: `selector` does not match template `labels`",
        ),
        (
            "PATCH",
            SHOP.to_owned(),
            MERGE,
            json!({"metadata": {"resourceVersion": "1"}}),
            409,
            "Operation cannot be fulfilled on deployments.apps \"shop\": the object has been modified; please apply your changes to the latest version and try again",
        ),
        (
            "PATCH",
            SHOP.to_owned(),
            JSON_PATCH,
            json!([{"op": "test", "path": "/spec/replicas", "value": 9}]),
            422,
            "the server rejected our request due to an error in our request",
        ),
        (
            "PATCH",
            SHOP.to_owned(),
            "application/apply-patch+yaml",
            json!({}),
            415,
            "server-side apply is not served by the simulated API server; use a merge, JSON or strategic merge patch (kubectl apply without --server-side)",
        ),
        (
            "POST",
            SHOP.to_owned(),
            JSON,
            json!({}),
            405,
            "the server does not allow this method on the requested resource",
        ),
        (
            "GET",
            "/apis/apps/v9/things".to_owned(),
            JSON,
            Value::Null,
            404,
            "the server could not find the requested resource",
        ),
        (
            "POST",
            "/api/v1/namespaces/gone/configmaps".to_owned(),
            JSON,
            json!({"metadata": {"name": "a"}}),
            404,
            "namespaces \"gone\" not found",
        ),
    ];
    for (method, path, media, body, code, text) in cases {
        let (got, status) = raw(&client, method, &path, media, &body).await;
        assert_eq!(
            (got, message(&status)),
            (code, text),
            "{method} {path} {body}"
        );
        assert_eq!(status["kind"], "Status");
    }
}

#[tokio::test(start_paused = true)]
async fn the_causes_of_an_invalid_object_name_their_fields() {
    let server = server();
    let client = server.client("default");
    let mut bad = shop();
    bad["metadata"]["name"] = json!("Bad_Name");
    bad["spec"]["template"]["spec"]["containers"] = json!([]);
    let (code, status) = raw(&client, "POST", DEPLOYMENTS, JSON, &bad).await;
    assert_eq!(code, 422);
    let causes = status["details"]["causes"].as_array().unwrap();
    let fields: Vec<&str> = causes
        .iter()
        .map(|c| c["field"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["metadata.name", "spec.template.spec.containers"]);
}

#[tokio::test(start_paused = true)]
async fn the_selector_of_a_deployment_is_immutable() {
    let (_server, client) = with_shop().await;
    let change = json!({"spec": {"selector": {"matchLabels": {"app": "y"}}, "template": {"metadata": {"labels": {"app": "y"}}}}});
    let (code, status) = raw(&client, "PATCH", SHOP, MERGE, &change).await;
    assert_eq!(code, 422);
    assert!(message(&status).ends_with("field is immutable"), "{status}");
}

#[tokio::test(start_paused = true)]
async fn scale_is_a_door_of_its_own() {
    let (_server, client) = with_shop().await;
    let shops: Api<Deployment> = Api::default_namespaced(client.clone());
    let params = PatchParams::apply("canaryctl");
    let merge = Patch::Merge(json!({"spec": {"replicas": 3}}));
    let scale = shops.patch_scale("shop", &params, &merge).await.unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(3));
    assert_eq!(scale.status.unwrap().selector.as_deref(), Some("app=shop"));
    let shop = shops.get("shop").await.unwrap();
    assert_eq!(shop.metadata.generation, Some(2));
    let scaler = shop
        .managed_fields()
        .iter()
        .find(|f| f.subresource.as_deref() == Some("scale"));
    assert_eq!(scaler.unwrap().manager.as_deref(), Some("canaryctl"));
    let path = format!("{SHOP}/scale");
    let outdated = json!({"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 4}});
    let (code, _) = raw(&client, "PATCH", &path, MERGE, &outdated).await;
    assert_eq!(code, 409);
    let negative = json!({"spec": {"replicas": -1}});
    let (code, status) = raw(&client, "PATCH", &path, MERGE, &negative).await;
    assert_eq!(code, 422);
    assert!(message(&status).starts_with("Scale.autoscaling \"shop\" is invalid"));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_changes_nothing_keeps_the_version() {
    let (_server, client) = with_shop().await;
    let (_, before) = raw(&client, "GET", SHOP, JSON, &Value::Null).await;
    let same = json!({"metadata": {"labels": {"app": "shop"}}, "status": {"replicas": 7}});
    let path = format!("{SHOP}?fieldManager=somebody-else");
    let (_, after) = raw(&client, "PATCH", &path, MERGE, &same).await;
    assert_eq!(before, after);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_answers_and_keeps_nothing() {
    let (_server, client) = with_shop().await;
    let path = format!("{SHOP}?dryRun=All");
    let (code, seen) = raw(
        &client,
        "PATCH",
        &path,
        MERGE,
        &json!({"spec": {"replicas": 9}}),
    )
    .await;
    assert_eq!((code, &seen["spec"]["replicas"]), (200, &json!(9)));
    let (_, kept) = raw(&client, "GET", SHOP, JSON, &Value::Null).await;
    assert_eq!(kept["spec"]["replicas"], 1);
}

#[tokio::test(start_paused = true)]
async fn annotations_bump_the_generation_of_deployments_only() {
    let (_server, client) = with_shop().await;
    let note = json!({"metadata": {"annotations": {"a": "b"}}});
    let (_, shop) = raw(&client, "PATCH", SHOP, MERGE, &note).await;
    assert_eq!(shop["metadata"]["generation"], 2);
}

#[tokio::test(start_paused = true)]
async fn leases_are_compared_and_swapped() {
    let server = server();
    let leases: Api<Lease> = Api::default_namespaced(server.client("default"));
    let params = PostParams::default();
    let lease: Lease =
        typed(json!({"metadata": {"name": "lock"}, "spec": {"holderIdentity": "a"}}));
    let held = leases.create(&params, &lease).await.unwrap();
    let code = |result: Result<Lease, kube::Error>| match result {
        Ok(_) => 200,
        Err(kube::Error::Api(status)) => status.code,
        Err(other) => panic!("{other}"),
    };
    assert_eq!(code(leases.replace("lock", &params, &lease).await), 422);
    let mut mine = held.clone();
    mine.spec.as_mut().unwrap().holder_identity = Some("b".to_owned());
    assert_eq!(code(leases.replace("lock", &params, &mine).await), 200);
    assert_eq!(code(leases.replace("lock", &params, &mine).await), 409);
}

#[tokio::test(start_paused = true)]
async fn denied_verbs_are_forbidden_and_the_reviews_say_so() {
    let (server, client) = with_shop().await;
    server.set_rules(Rules::new("dev").deny("patch", "apps", "deployments/scale"));
    let path = format!("{SHOP}/scale");
    let (code, status) = raw(
        &client,
        "PATCH",
        &path,
        MERGE,
        &json!({"spec": {"replicas": 2}}),
    )
    .await;
    assert_eq!(code, 403);
    assert_eq!(
        message(&status),
        "deployments.apps \"shop\" is forbidden: User \"dev\" cannot patch resource \"deployments/scale\" in API group \"apps\" in the namespace \"default\""
    );
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let mut review = json!({"spec": {"resourceAttributes": {"namespace": "default", "verb": "patch", "group": "apps", "resource": "deployments", "subresource": "scale"}}});
    let (code, answer) = raw(&client, "POST", reviews, JSON, &review).await;
    assert_eq!((code, &answer["status"]["allowed"]), (201, &json!(false)));
    review["spec"]["resourceAttributes"]["subresource"] = json!("");
    let (_, answer) = raw(&client, "POST", reviews, JSON, &review).await;
    assert_eq!(answer["status"]["allowed"], true);
}

#[tokio::test(start_paused = true)]
async fn a_definition_makes_its_custom_resources_served() {
    let server = server();
    let client = server.client("default");
    let definition = json!({
        "metadata": {"name": "virtualservices.networking.istio.io"},
        "spec": {
            "group": "networking.istio.io",
            "scope": "Namespaced",
            "names": {"plural": "virtualservices", "kind": "VirtualService", "shortNames": ["vs"]},
            "versions": [{"name": "v1", "served": true, "storage": true}, {"name": "v1beta1", "served": true, "storage": false}],
        },
    });
    let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    assert_eq!(raw(&client, "POST", crds, JSON, &definition).await.0, 201);
    let kind = GroupVersionKind::gvk("networking.istio.io", "v1", "VirtualService");
    let resource = ApiResource::from_gvk(&kind);
    let services: Api<DynamicObject> = Api::default_namespaced_with(client.clone(), &resource);
    let service =
        DynamicObject::new("shop", &resource).data(json!({"spec": {"http": [{"weight": 1}]}}));
    services
        .create(&PostParams::default(), &service)
        .await
        .unwrap();
    let old = "/apis/networking.istio.io/v1beta1/namespaces/default/virtualservices/shop";
    let (code, seen) = raw(&client, "GET", old, JSON, &Value::Null).await;
    assert_eq!(
        (code, &seen["apiVersion"]),
        (200, &json!("networking.istio.io/v1beta1"))
    );
    let (code, _) = raw(&client, "PATCH", old, STRATEGIC, &json!({"spec": {}})).await;
    assert_eq!(code, 415);
    let list = "/apis/networking.istio.io/v1";
    let (_, list) = raw(&client, "GET", list, JSON, &Value::Null).await;
    assert_eq!(list["resources"][0]["shortNames"], json!(["vs"]));
}

#[tokio::test(start_paused = true)]
async fn events_are_the_same_objects_in_both_groups() {
    let server = server();
    let client = server.client("default");
    let event = json!({"metadata": {"name": "e"}, "regarding": {"kind": "Pod", "name": "p", "namespace": "default"}, "note": "hello", "reason": "R", "type": "Normal", "eventTime": "2026-01-05T09:00:00.000000Z", "action": "A", "reportingController": "me", "reportingInstance": "me"});
    let new = "/apis/events.k8s.io/v1/namespaces/default/events";
    assert_eq!(raw(&client, "POST", new, JSON, &event).await.0, 201);
    let old = "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dp";
    let (_, list) = raw(&client, "GET", old, JSON, &Value::Null).await;
    assert_eq!(list["items"][0]["message"], "hello");
    assert_eq!(list["items"][0]["involvedObject"]["kind"], "Pod");
}

#[tokio::test(start_paused = true)]
async fn an_old_autoscaler_is_a_view_of_the_new_one() {
    let server = server();
    let client = server.client("default");
    let old = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
    let new = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers/h";
    let scaler = json!({"metadata": {"name": "h"}, "spec": {"maxReplicas": 5, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"}, "targetCPUUtilizationPercentage": 70}});
    assert_eq!(raw(&client, "POST", old, JSON, &scaler).await.0, 201);
    let (_, seen) = raw(&client, "GET", new, JSON, &Value::Null).await;
    assert_eq!(seen["spec"]["minReplicas"], 1);
    assert_eq!(
        seen["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"],
        70
    );
    let (_, seen) = raw(&client, "GET", &format!("{old}/h"), JSON, &Value::Null).await;
    assert_eq!(seen["spec"]["targetCPUUtilizationPercentage"], 70);
}

#[tokio::test(start_paused = true)]
async fn finalizers_hold_an_object_until_they_are_gone() {
    let server = server();
    let maps: Api<ConfigMap> = Api::default_namespaced(server.client("default"));
    let map: ConfigMap = typed(json!({"metadata": {"name": "a", "finalizers": ["x.io/y"]}}));
    maps.create(&PostParams::default(), &map).await.unwrap();
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    let held = maps.get("a").await.unwrap();
    assert!(held.metadata.deletion_timestamp.is_some());
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("a", &PatchParams::default(), &free)
        .await
        .unwrap();
    assert!(maps.get_opt("a").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn pods_wait_for_their_kubelet_when_there_is_one() {
    let plain = with_pod(server(), "Running");
    let pods: Api<Pod> = Api::default_namespaced(plain.client("default"));
    pods.delete("web", &DeleteParams::default()).await.unwrap();
    assert!(pods.get_opt("web").await.unwrap().is_none());
    let kubelets = with_pod(server().with_kubelets(), "Running");
    let pods: Api<Pod> = Api::default_namespaced(kubelets.client("default"));
    pods.delete("web", &DeleteParams::default()).await.unwrap();
    assert!(
        pods.get("web")
            .await
            .unwrap()
            .metadata
            .deletion_timestamp
            .is_some()
    );
    pods.delete("web", &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    assert!(pods.get_opt("web").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_goes_away_takes_nothing_new() {
    let server = server();
    let client = server.client("default");
    let key = Key::new("", "namespaces", "", "default");
    server
        .store()
        .update(&key, Door::Status, false, |ns| {
            ns["status"]["phase"] = json!("Terminating");
            Ok(())
        })
        .unwrap();
    let path = "/api/v1/namespaces/default/configmaps";
    let (code, status) = raw(
        &client,
        "POST",
        path,
        JSON,
        &json!({"metadata": {"name": "a"}}),
    )
    .await;
    assert_eq!(code, 403);
    assert_eq!(
        message(&status),
        "configmaps \"a\" is forbidden: unable to create new content in namespace default because it is being terminated"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pod_a_controller_made_can_be_labelled_and_gets_another_image() {
    let server = with_pod(server(), "Running");
    let client = server.client("default");
    let path = "/api/v1/namespaces/default/pods/web";
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    let (code, pod) = raw(&client, "PATCH", path, MERGE, &label).await;
    assert_eq!((code, &pod["spec"]["dnsPolicy"]), (200, &Value::Null));
    let image = json!({"spec": {"containers": [{"name": "a", "image": "x:2"}]}});
    let (code, _) = raw(&client, "PATCH", path, STRATEGIC, &image).await;
    assert_eq!(code, 200);
    let node = json!({"spec": {"nodeName": "n2"}});
    let (code, _) = raw(&client, "PATCH", path, MERGE, &node).await;
    assert_eq!(code, 422);
}

#[tokio::test(start_paused = true)]
async fn orphans_survive_their_owner_and_lose_its_name() {
    let (server, client) = with_shop().await;
    let (_, shop) = raw(&client, "GET", SHOP, JSON, &Value::Null).await;
    let key = Key::new("apps", "replicasets", "default", "shop-1");
    let owner = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop", "uid": shop["metadata"]["uid"]});
    let set = json!({"metadata": {"ownerReferences": [owner]}, "spec": {}});
    server.store().create(key.clone(), set, false).unwrap();
    let options = json!({"propagationPolicy": "Orphan"});
    let (code, _) = raw(&client, "DELETE", SHOP, JSON, &options).await;
    assert_eq!(code, 200);
    let set = server.store().get(&key).unwrap();
    assert_eq!(set["metadata"]["ownerReferences"], Value::Null);
}
