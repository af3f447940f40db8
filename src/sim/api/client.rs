//! The door for code in the same process: a `kube::Client` over in-memory pipes.
//!
//! Owns: one pipe per request, with real HTTP/1.1 on it, upgrades included. Must not: open sockets,
//! so that tokio's paused time works; keep idle connections, so that none can leak.

use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, header};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use kube::client::Body;
use tower::{BoxError, Service};

use super::Server;

/// Bytes a pipe holds before the writer waits.
const PIPE: usize = 64 * 1024;

/// A connection to the simulated API server, as a tower service.
#[derive(Debug, Clone)]
pub struct Wire {
    server: Server,
}

impl Server {
    /// Returns the wire of this server, to put layers in front of.
    pub fn wire(&self) -> Wire {
        Wire {
            server: self.clone(),
        }
    }

    /// Returns a client in the same process whose default namespace is `namespace`.
    pub fn client(&self, namespace: &str) -> kube::Client {
        kube::Client::new(self.wire(), namespace)
    }
}

impl Service<Request<Body>> for Wire {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let server = self.server.clone();
        Box::pin(async move {
            let (ours, theirs) = tokio::io::duplex(PIPE);
            // Both tasks end with the pipe, which ends when the client lets go of the answer.
            let meter = server.store().meter().clone();
            tokio::spawn(meter.watch(server.converse(theirs)));
            let (mut sender, connection) = http1::handshake(TokioIo::new(ours)).await?;
            tokio::spawn(connection.with_upgrades());
            let host = HeaderValue::from_static("simulated");
            request.headers_mut().entry(header::HOST).or_insert(host);
            Ok(sender.send_request(request).await?)
        })
    }
}
