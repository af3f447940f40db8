//! The door for kubectl: the simulated API server on a TCP listener.
//!
//! Owns: connections and the kubeconfig that leads to them. Must not: be used with paused time;
//! the in-process client is for that.

use std::{convert::Infallible, io};

use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinSet,
};

use super::Server;

impl Server {
    /// Serves every connection of a listener until the future is dropped.
    ///
    /// Dropping it closes all connections.
    pub async fn serve(&self, listener: TcpListener) -> io::Result<Infallible> {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _) = accepted?;
                    let server = self.clone();
                    connections.spawn(async move { server.converse(stream).await });
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// Speaks HTTP on one connection until either side ends it.
    pub(crate) async fn converse(
        self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) {
        let service = service_fn(move |request: Request<Incoming>| {
            let server = self.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        let connection = http1::Builder::new()
            // The machine's date: an answer brings the simulated cluster's.
            .auto_date_header(false)
            .serve_connection(TokioIo::new(stream), service);
        // A client that goes away in the middle is its own business.
        connection.with_upgrades().await.ok();
    }
}

/// Returns a kubeconfig for the server at `url`; JSON is valid YAML.
pub fn kubeconfig(url: &str, token: &str, namespace: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sandbox", "cluster": {"server": url}}],
        "users": [{"name": "dev", "user": {"token": token}}],
        "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": "dev", "namespace": namespace}}],
        "current-context": "sandbox",
    })
}
