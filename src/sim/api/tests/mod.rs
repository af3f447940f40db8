//! The wire through a real client: kube-rs over in-memory pipes, in virtual time.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future::BoxFuture};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::{
    apps::v1::Deployment,
    coordination::v1::Lease,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Api, Client, ResourceExt,
    api::{
        ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
        PostParams, WatchEvent, WatchParams,
    },
};
use serde_json::{Value, json};

mod objects;
mod streams;

use super::{Apps, NoApps, Rules, Server};
use crate::{
    clock::Clock,
    sim::store::{Door, Key, Store},
};

/// Apps that echo; port 8080 listens, and takes half a minute.
struct Echo(Clock);

impl Apps for Echo {
    fn answer<'a>(
        &'a self,
        namespace: &'a str,
        pod: &'a str,
        port: u16,
        request: Request<Bytes>,
    ) -> BoxFuture<'a, Result<Response<Bytes>, String>> {
        Box::pin(async move {
            if port != 8080 {
                return Err("connection refused".to_owned());
            }
            self.0.sleep(Duration::from_secs(30)).await;
            let line = format!("{namespace}/{pod} {} {}", request.method(), request.uri());
            Ok(Response::new(line.into()))
        })
    }
}

fn clock() -> Clock {
    Clock::simulated("2026-01-05T09:00:00Z".parse().unwrap(), 1.0)
}

fn server() -> Server {
    let clock = clock();
    Server::new(Store::new(clock.clone()), Arc::new(Echo(clock)))
}

fn shop() -> Value {
    json!({
        "metadata": {"name": "shop", "labels": {"app": "shop"}},
        "spec": {
            "selector": {"matchLabels": {"app": "shop"}},
            "template": {
                "metadata": {"labels": {"app": "shop"}},
                "spec": {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y"}]},
            },
        },
    })
}

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// Sends a raw request; returns code and body.
async fn raw(client: &Client, method: &str, path: &str, media: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", media)
        .header("accept", if method == "GET" { media } else { JSON })
        .body(body.into_bytes().into())
        .unwrap();
    let response = client.send(request).await.unwrap();
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const SHOP: &str = "/apis/apps/v1/namespaces/default/deployments/shop";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

async fn with_shop() -> (Server, Client) {
    let server = server();
    let client = server.client("default");
    let (code, _) = raw(&client, "POST", DEPLOYMENTS, JSON, &shop()).await;
    assert_eq!(code, 201);
    (server, client)
}

fn message(body: &Value) -> &str {
    body["message"].as_str().unwrap_or_default()
}

fn with_pod(server: Server, phase: &str) -> Server {
    let key = Key::new("", "pods", "default", "web");
    let pod = json!({"metadata": {"name": "web"}, "spec": {"nodeName": "n1", "containers": [{"name": "a", "image": "x:1"}]}, "status": {"phase": phase, "podIP": "10.0.0.7"}});
    server.store().create(key, pod, false).unwrap();
    server
}
