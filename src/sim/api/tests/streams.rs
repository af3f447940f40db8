//! Watches, port-forward, proxy, tables.

use super::*;

/// Asks an app through a port-forward, as `health` does.
async fn forwarded(pods: &Api<Pod>, port: u16) -> Result<String, String> {
    let mut forward = pods
        .portforward("web", &[port])
        .await
        .map_err(|e| e.to_string())?;
    let stream = forward.take_stream(port).unwrap();
    let error = forward.take_error(port).unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::get("/healthz")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let work = async {
        let response = sender.send_request(request).await?;
        response.into_body().collect().await
    };
    tokio::pin!(error);
    tokio::select! {
        biased;
        Some(error) = &mut error => Err(error),
        answer = work => match answer {
            Ok(body) => Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned()),
            // The data stream may break before the reason arrives.
            Err(broken) => Err(error.await.unwrap_or_else(|| broken.to_string())),
        },
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_shows_what_walks_in_and_out_of_its_selector() {
    let server = server();
    let maps: Api<ConfigMap> = Api::default_namespaced(server.client("default"));
    let map = |name: &str, label: &str| -> ConfigMap {
        typed(json!({"metadata": {"name": name, "labels": {"w": label}}}))
    };
    let params = PostParams::default();
    maps.create(&params, &map("one", "yes")).await.unwrap();
    let version = maps
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version;
    let watch = WatchParams::default().labels("w=yes").timeout(20);
    let events = maps.watch(&watch, &version.unwrap()).await.unwrap();
    maps.create(&params, &map("two", "yes")).await.unwrap();
    maps.create(&params, &map("three", "no")).await.unwrap();
    let label = |value: &str| Patch::Merge(json!({"metadata": {"labels": {"w": value}}}));
    let patch = PatchParams::default();
    maps.patch("one", &patch, &label("no")).await.unwrap();
    maps.patch("three", &patch, &label("yes")).await.unwrap();
    maps.delete("two", &DeleteParams::default()).await.unwrap();
    let seen: Vec<String> = events
        .map_ok(|event| match event {
            WatchEvent::Added(o) => format!("added {}", o.name_any()),
            WatchEvent::Modified(o) => format!("modified {}", o.name_any()),
            WatchEvent::Deleted(o) => format!("deleted {}", o.name_any()),
            WatchEvent::Bookmark(_) | WatchEvent::Error(_) => "other".to_owned(),
        })
        .try_collect()
        .await
        .unwrap();
    assert_eq!(
        seen,
        [
            "added two",
            "deleted one",
            "added three",
            "deleted two",
            // Two seconds before the end comes a bookmark.
            "other"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_watch_gets_bookmarks_and_an_old_one_is_expired() {
    let server = server();
    let maps: Api<ConfigMap> = Api::default_namespaced(server.client("default"));
    let version = server.store().version().to_string();
    let watch = WatchParams::default().timeout(200);
    let mut events = Box::pin(maps.watch(&watch, &version).await.unwrap());
    assert!(matches!(
        events.next().await,
        Some(Ok(WatchEvent::Bookmark(_)))
    ));
    server.store().compact();
    let mut events = Box::pin(maps.watch(&watch, "1").await.unwrap());
    let Some(Ok(WatchEvent::Error(status))) = events.next().await else {
        panic!("not an error");
    };
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    assert!(events.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_table_is_what_kubectl_prints() {
    let (_server, client) = with_shop().await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let (_, table) = raw(&client, "GET", DEPLOYMENTS, accept, &Value::Null).await;
    assert_eq!(table["kind"], "Table");
    assert_eq!(
        table["rows"][0]["cells"],
        json!(["shop", "0/1", 0, 0, "0s", "a,b", "x:1,y", "app=shop"])
    );
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
}

#[tokio::test(start_paused = true)]
async fn a_port_is_forwarded_in_virtual_time() {
    let server = with_pod(server(), "Running");
    let pods: Api<Pod> = Api::default_namespaced(server.client("default"));
    let begin = tokio::time::Instant::now();
    let answer = forwarded(&pods, 8080).await;
    assert_eq!(answer.as_deref(), Ok("default/web GET /healthz"));
    assert_eq!(begin.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_refused_port_is_reported_on_the_error_channel() {
    let server = with_pod(server(), "Running");
    let pods: Api<Pod> = Api::default_namespaced(server.client("default"));
    let error = forwarded(&pods, 9999).await.unwrap_err();
    assert!(
        error.contains("dial tcp4 127.0.0.1:9999: connect: connection refused"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn forwarding_needs_a_pod_that_runs_and_both_verbs() {
    let server = with_pod(server(), "Succeeded");
    let pods: Api<Pod> = Api::default_namespaced(server.client("default"));
    let error = forwarded(&pods, 8080).await.unwrap_err();
    assert!(error.contains("container not running"), "{error}");
    server.set_rules(Rules::new("dev").deny("create", "", "pods/portforward"));
    assert!(pods.portforward("web", &[8080]).await.is_err());
    server.set_rules(Rules::default());
    assert!(pods.portforward("gone", &[8080]).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_proxy_reaches_the_app_or_says_why_not() {
    let server = with_pod(server(), "Running");
    let client = server.client("default");
    let get = async |path: &str| {
        let request = Request::get(path).body(Vec::new()).unwrap();
        client.request_text(request).await
    };
    let base = "/api/v1/namespaces/default/pods";
    let answer = get(&format!("{base}/web:8080/proxy/a/b?c=d"))
        .await
        .unwrap();
    assert_eq!(answer, "default/web GET /a/b?c=d");
    let Err(kube::Error::Api(status)) = get(&format!("{base}/web:1/proxy/")).await else {
        panic!("no status");
    };
    assert_eq!(status.code, 503);
    assert_eq!(
        status.message,
        "error trying to reach service: dial tcp 10.0.0.7:1: connect: connection refused"
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_behind_when_clients_go_away() {
    let server = Server::new(Store::new(clock()), Arc::new(NoApps));
    let before = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    let client = server.client("default");
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let version = server.store().version().to_string();
    let events = maps.watch(&WatchParams::default(), &version).await.unwrap();
    maps.list(&ListParams::default()).await.unwrap();
    drop(events);
    drop(maps);
    tokio::time::advance(Duration::from_secs(1)).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let after = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    assert_eq!(before, after);
}
