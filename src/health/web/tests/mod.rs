//! The client against servers on loopback and against the simulated cluster, and what the tests of
//! the probes share. The certificates here are for these tests alone.

mod answers;
mod forward;
mod tls;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use secrecy::SecretString;
use serde_json::Value;
use tokio::net::TcpListener;

use super::*;
use crate::{
    clock::Clock,
    cluster::secrets::Variables,
    health::{Look, Probe, facts::tests as facts, probe},
    sim::{SimCluster, scenario::Scenario},
};

/// A request that was received.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) uri: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// Status, headers and body of an answer.
pub(crate) type Said = (u16, Vec<(&'static str, &'static str)>, String);

/// A server on loopback; it ends with the test's runtime.
pub(crate) struct Server {
    pub(super) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<u32>>,
}

impl Server {
    /// Starts one that gives every request the same answer.
    pub(crate) async fn answering(status: u16, body: &str) -> Self {
        let body = body.to_owned();
        Self::start(move |_| (status, Vec::new(), body.clone())).await
    }

    /// Starts one that answers as `answer` says.
    pub(crate) async fn start(answer: impl Fn(&Seen) -> Said + Send + Sync + 'static) -> Self {
        Self::secured(None, answer).await
    }

    /// Starts one that speaks TLS where `tls` is given.
    pub(super) async fn secured(
        tls: Option<tokio_rustls::TlsAcceptor>,
        answer: impl Fn(&Seen) -> Said + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            seen: Arc::default(),
            connections: Arc::default(),
        };
        let (seen, connections) = (server.seen.clone(), server.connections.clone());
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *connections.lock().unwrap() += 1;
                let (seen, answer, tls) = (seen.clone(), answer.clone(), tls.clone());
                let service = service_fn(move |request: http::Request<Incoming>| {
                    let (seen, answer) = (seen.clone(), answer.clone());
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        let one = Seen {
                            method: parts.method,
                            uri: parts.uri.to_string(),
                            headers: parts.headers,
                            body: String::from_utf8(body.to_vec()).unwrap(),
                        };
                        seen.lock().unwrap().push(one.clone());
                        let (status, headers, body) = answer(&one);
                        let mut response = Response::builder().status(status);
                        for (name, value) in headers {
                            response = response.header(name, value);
                        }
                        response.body(Full::new(Bytes::from(body)))
                    }
                });
                tokio::spawn(async move {
                    let builder = http1::Builder::new();
                    // How a connection ends is the client's matter.
                    match tls {
                        None => {
                            drop(
                                builder
                                    .serve_connection(TokioIo::new(stream), service)
                                    .await,
                            );
                        }
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                drop(
                                    builder
                                        .serve_connection(TokioIo::new(stream), service)
                                        .await,
                                );
                            }
                        }
                    }
                });
            }
        });
        server
    }

    /// Returns a URL of this server.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Returns the requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> u32 {
        *self.connections.lock().unwrap()
    }
}

/// A simulated cluster, by the clock on the wall, with these variables handed in.
pub(super) fn cluster(variables: &[(&str, &str)]) -> (SimCluster, Cluster) {
    let clock = Clock::simulated("2026-01-05T09:00:00Z".parse().unwrap(), 1.0);
    let sim = SimCluster::start(Scenario::builtin("healthy").unwrap(), None, clock.clone());
    let sim = sim.unwrap();
    let variables: BTreeMap<String, String> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let cluster = Cluster::new(sim.client("canary-release"), "canary-release", clock);
    let get = move |name: &str| variables.get(name).map(|v| SecretString::from(v.as_str()));
    (sim, cluster.with_variables(Variables::new(get)))
}

/// A client of a target given as its options.
pub(super) fn web(cluster: &Cluster, options: Value) -> Web {
    let target: Target = serde_json::from_value(options).unwrap();
    target.connect(cluster).unwrap()
}

/// Makes a check of a probe as configuration does, and binds it.
pub(crate) fn bound(kind: &str, options: Value) -> Box<dyn Probe> {
    let (_sim, cluster) = cluster(&[]);
    let mut options = <dyn erased_serde::Deserializer<'_>>::erase(options);
    let spec = probe(kind).unwrap().check(&mut options).unwrap();
    // What is recorded is what is bound.
    let spec = serde_json::from_str(&serde_json::to_string(&spec).unwrap()).unwrap();
    let binding = crate::health::Binding {
        cluster: &cluster,
        source: None,
    };
    crate::health::bind(&spec, &binding).unwrap()
}

/// Returns the error of a check that cannot be made.
pub(crate) fn option_error(kind: &str, options: Value) -> String {
    let mut options = <dyn erased_serde::Deserializer<'_>>::erase(options);
    probe(kind)
        .unwrap()
        .check(&mut options)
        .unwrap_err()
        .to_string()
}

/// Looks once at the canary, and returns the one reading about its Deployment.
pub(crate) async fn look(probe: &dyn Probe) -> Sample {
    let workload = facts::workload();
    let look = Look {
        workload: &workload,
        pods: &[],
        service: None,
        started: "2026-01-05T09:00:00Z".parse().unwrap(),
        at: "2026-01-05T09:00:00Z".parse().unwrap(),
        facts: facts::FACTS,
    };
    let mut readings = probe.look(&look).await;
    assert_eq!(readings.len(), 1);
    let reading = readings.remove(0);
    assert_eq!(reading.subject, workload.name);
    reading.sample
}
