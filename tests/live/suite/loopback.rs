//! Servers on loopback, and looks at sides that stand in no cluster.
//!
//! Owns: answering as a test says, a connection to no cluster, hand-made sides of a release. Must not:
//! assert.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use canaryctl::{
    clock::Clock,
    cluster::{Cluster, secrets::Variables},
    domain::{
        plan::MetricsSpec,
        workload::{Pod, Track, Workload},
    },
    health::{
        Facts, Look,
        source::{Source, bind},
    },
};
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use kube::{Client, Config};
use secrecy::SecretString;
use serde_json::Value;
use tokio::net::TcpListener;

/// Namespace of the sides.
pub(crate) const NAMESPACE: &str = "shop";

/// Deployments of the sides; the canary's name begins with stable's, as it often does.
pub(crate) const STABLE: &str = "payment-api";
pub(crate) const CANARY: &str = "payment-api-canary";

/// What a server answers.
pub(crate) type Answer = Response<Full<Bytes>>;

/// Starts a server that answers as `answer` says to path and query, and body; returns its address. It ends with the
/// test's runtime.
pub(crate) async fn serve(
    answer: impl Fn(String, String) -> BoxFuture<'static, Answer> + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = answer.clone();
                async move {
                    let uri = request.uri().to_string();
                    let body = request.into_body().collect().await?.to_bytes();
                    let body = String::from_utf8_lossy(&body).into_owned();
                    Ok::<_, hyper::Error>(answer(uri, body).await)
                }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // How a connection ends is the client's matter.
            tokio::spawn(async move { drop(connection.await) });
        }
    });
    address
}

/// Returns an answer with a body of this type.
pub(crate) fn answered(status: u16, kind: &str, body: impl Into<Bytes>) -> Answer {
    let answer = Response::builder()
        .status(status)
        .header("content-type", kind);
    answer.body(Full::new(body.into())).unwrap()
}

/// Returns a folder of a test's own.
pub(crate) fn folder() -> PathBuf {
    let name = format!("loopback-{:08x}", fastrand::u32(..));
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Makes a metrics provider; there is no cluster for it, and one variable of the environment.
pub(crate) fn source(options: Value, secret: &'static str) -> Arc<dyn Source> {
    // A second call in the same process is refused, which is fine.
    drop(rustls::crypto::ring::default_provider().install_default());
    let nowhere = Config::new("http://127.0.0.1:1".parse().unwrap());
    let client = Client::try_from(nowhere).unwrap();
    let variables =
        Variables::new(move |name| (name == "SECRET").then(|| SecretString::from(secret)));
    let cluster = Cluster::new(client, NAMESPACE, Clock::System).with_variables(variables);
    let spec = MetricsSpec {
        name: "prometheus".to_owned(),
        options,
    };
    bind(&spec, &cluster).unwrap()
}

/// Returns a side with pods of these names, which were there before the run.
pub(crate) fn side(track: Track, pods: &[&str]) -> Workload {
    let pod = |name: &&str| Pod {
        name: (*name).to_owned(),
        ready: true,
        ready_since: None,
        terminating: false,
        current: true,
        created: Timestamp::UNIX_EPOCH,
        restarts: 0,
        waiting: Vec::new(),
        last_end: None,
        probed: None,
        unschedulable: None,
    };
    Workload {
        name: match track {
            Track::Stable => STABLE.to_owned(),
            Track::Canary => CANARY.to_owned(),
        },
        pods: pods.iter().map(pod).collect(),
        ..Workload::default()
    }
}

/// Returns a look at a side.
pub(crate) fn look(track: Track, workload: &Workload) -> Look<'_> {
    Look {
        workload,
        pods: &[],
        service: None,
        started: Timestamp::from_second(1).unwrap(),
        at: Clock::System.now(),
        facts: Facts {
            app: "payment-api",
            stable: STABLE,
            canary: CANARY,
            service: None,
            track,
            weight: None,
        },
    }
}
