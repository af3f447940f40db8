//! Requests, credentials, and what is no answer.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn get() -> Request<'static> {
    Request::default()
}

#[tokio::test]
async fn path_query_form_and_headers_are_sent() {
    let server = Server::answering(200, "{}").await;
    let (_sim, cluster) = cluster(&[]);
    let options = json!({
        "url": server.url("/prefix/?tenant=a"),
        "headers": {"X-Scope-OrgID": "team-a"}
    });
    let request = Request {
        method: Method::POST,
        path: Some("/api/v1/query"),
        query: vec![("time", "1+2".into())],
        form: vec![("query", "up{a=\"b\"} & 1".into())],
        ..get()
    };
    let answer = web(&cluster, options).send(&request).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.request,
        format!("POST {}", server.url("/prefix/api/v1/query"))
    );
    let seen = &server.seen()[0];
    assert_eq!(seen.uri, "/prefix/api/v1/query?tenant=a&time=1%2B2");
    assert_eq!(seen.body, "query=up%7Ba%3D%22b%22%7D+%26+1");
    assert_eq!(
        seen.headers["content-type"],
        "application/x-www-form-urlencoded"
    );
    assert_eq!(seen.headers["x-scope-orgid"], "team-a");
    assert_eq!(seen.headers["host"], format!("127.0.0.1:{}", server.port));
}

#[tokio::test]
async fn connections_are_kept() {
    let server = Server::answering(200, "{}").await;
    let (_sim, cluster) = cluster(&[]);
    let web = web(&cluster, json!({"url": server.url("/")}));
    for _ in 0..5 {
        web.send(&get()).await.unwrap();
    }
    assert_eq!((server.seen().len(), server.connections()), (5, 1));
}

#[tokio::test]
async fn kept_connections_that_broke_are_not_the_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    // Every connection gives one answer, and breaks at the second request.
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut seen = [0; 4096];
                drop(stream.read(&mut seen).await);
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                drop(stream.write_all(answer).await);
                drop(stream.read(&mut seen).await);
            });
        }
    });
    let (_sim, cluster) = cluster(&[]);
    let web = web(&cluster, json!({"url": url}));
    let ask = async |method: Method| {
        let request = Request {
            method,
            ..Request::default()
        };
        web.send(&request).await.map(|answer| answer.status)
    };
    // Two at once leave two connections behind.
    let both = futures::join!(ask(Method::GET), ask(Method::GET));
    assert_eq!(both, (Ok(200), Ok(200)));
    assert_eq!(ask(Method::GET).await, Ok(200));
    // What may change something is not sent twice.
    let sent = ask(Method::POST).await.unwrap_err();
    assert_eq!(sent.kind, Kind::Unreachable, "{sent}");
}

#[tokio::test]
async fn credentials_come_from_where_they_are_kept() {
    let server = Server::answering(200, "{}").await;
    let (sim, cluster) = cluster(&[("TOKEN", "t0p"), ("EMPTY", "")]);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "mimir", "namespace": "canary-release"},
        "data": {"password": "aHVudGVyMgo="}
    });
    sim.world().load(vec![secret]).unwrap();
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/rustfmt.toml");
    for (auth, wanted) in [
        (json!({"bearer": {"env": "TOKEN"}}), "Bearer t0p".to_owned()),
        (
            json!({"basic": {"username": "u", "password": {"secret": {"name": "mimir", "key": "password"}}}}),
            "Basic dTpodW50ZXIy".to_owned(),
        ),
    ] {
        let web = web(&cluster, json!({"url": server.url("/"), "auth": auth}));
        web.send(&get()).await.unwrap();
        let seen = server.seen().pop().unwrap();
        assert_eq!(seen.headers["authorization"], wanted.as_str());
    }
    let before = server.seen().len();
    for (reference, said) in [
        (json!({"env": "EMPTY"}), "variable EMPTY: it is not set"),
        (json!({"env": "NONE"}), "variable NONE: it is not set"),
        (
            json!({"file": "/no/such/file"}),
            "file /no/such/file: No such file",
        ),
        (json!({"file": manifest}), "cannot be sent in a header"),
        (
            json!({"secret": {"name": "none", "key": "k"}}),
            "key k of Secret canary-release/none: there is no such Secret",
        ),
        (
            json!({"secret": {"name": "mimir", "key": "k"}}),
            "key k of Secret canary-release/mimir: the Secret has no such key",
        ),
    ] {
        let web = web(
            &cluster,
            json!({"url": server.url("/"), "headers": {"X-Token": reference}}),
        );
        let error = web.send(&get()).await.unwrap_err();
        assert_eq!(error.kind, Kind::Secret);
        assert!(error.to_string().contains(said), "{error}");
        assert!(matches!(
            error.missing(),
            Sample::Missing(Unknown::Query, _)
        ));
    }
    assert_eq!(
        server.seen().len(),
        before,
        "nothing is sent without its credentials"
    );
    sim.server()
        .set_rules(crate::sim::api::Rules::default().deny("get", "", "secrets"));
    let reference = json!({"secret": {"name": "mimir", "key": "password"}});
    let web = web(
        &cluster,
        json!({"url": server.url("/"), "auth": {"bearer": reference}}),
    );
    let error = web.send(&get()).await.unwrap_err().to_string();
    assert!(
        error.contains("permission to get secrets in namespace canary-release is missing"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_no_answer_says_what_was_seen() {
    let (_sim, cluster) = cluster(&[]);
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let error = web(
        &cluster,
        json!({"url": format!("http://127.0.0.1:{port}/x?y=z")}),
    )
    .send(&get())
    .await
    .unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable);
    let text = error.to_string();
    assert!(
        text.starts_with(&format!(
            "GET http://127.0.0.1:{port}/x: straight from here: "
        )),
        "{text}"
    );
    assert!(text.contains("refused"), "{text}");

    // It takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let error = web(&cluster, json!({"url": url, "timeout": "50ms"}))
        .send(&get())
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::Timeout);
    assert!(
        error.to_string().contains("no answer within 50ms"),
        "{error}"
    );

    let server = Server::start(|_| (200, Vec::new(), "x".repeat((8 << 20) + 1))).await;
    let error = web(&cluster, json!({"url": server.url("/")}))
        .send(&get())
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::TooLarge);
    assert!(
        error.to_string().contains("answer larger than 8 MiB"),
        "{error}"
    );
}

#[tokio::test]
async fn a_redirect_is_returned_and_not_followed() {
    let server = Server::start(|_| (307, vec![("location", "/elsewhere")], String::new())).await;
    let (_sim, cluster) = cluster(&[]);
    let answer = web(&cluster, json!({"url": server.url("/")}))
        .send(&get())
        .await
        .unwrap();
    assert_eq!(
        (answer.status, answer.location.as_deref()),
        (307, Some("/elsewhere"))
    );
    assert_eq!(server.seen().len(), 1);
    let Some(Sample::Missing(Unknown::Query, text)) = answer.refusal() else {
        panic!("{answer:?}");
    };
    assert!(text.contains("redirects are not followed"), "{text}");
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_used_but_not_for_this_machine() {
    let proxy = Server::answering(200, "from the proxy").await;
    let server = Server::answering(200, "from here").await;
    let (_sim, cluster) = cluster(&[("HTTP_PROXY", &proxy.url("")), ("no_proxy", "192.0.2.1")]);
    let answer = web(&cluster, json!({"url": "http://metrics.example/api?x=1"}))
        .send(&get())
        .await
        .unwrap();
    assert_eq!(answer.body, "from the proxy");
    assert_eq!(proxy.seen()[0].uri, "http://metrics.example/api?x=1");
    let answer = web(&cluster, json!({"url": server.url("/")}))
        .send(&get())
        .await
        .unwrap();
    assert_eq!(answer.body, "from here");
    let past = web(
        &cluster,
        json!({"url": "http://192.0.2.1/", "timeout": "50ms"}),
    )
    .send(&get())
    .await;
    assert!(past.is_err() && proxy.seen().len() == 1, "{past:?}");
}
