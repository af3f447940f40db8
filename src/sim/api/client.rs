//! The door for code in the same process: a `kube::Client` over in-memory pipes.
//!
//! Owns: pipes with real HTTP/1.1 on them, upgrades included, kept for the next request as a client's
//! connections are. Must not: open sockets, so that tokio's paused time works; keep a pipe beyond the
//! client, so that none can leak.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, header};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
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
    /// Connections that were used before, whether their latest answer is read or not.
    kept: Arc<Mutex<Vec<SendRequest<Body>>>>,
}

impl Server {
    /// Returns the wire of this server, to put layers in front of.
    pub fn wire(&self) -> Wire {
        Wire {
            server: self.clone(),
            kept: Arc::default(),
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
        let wire = self.clone();
        Box::pin(async move {
            let mut sender = match wire.idle() {
                Some(sender) => sender,
                None => wire.connect().await?,
            };
            let host = HeaderValue::from_static("simulated");
            request.headers_mut().entry(header::HOST).or_insert(host);
            let answer = sender.send_request(request).await?;
            wire.lock().push(sender);
            Ok(answer)
        })
    }
}

// === impl Wire ===

impl Wire {
    fn lock(&self) -> MutexGuard<'_, Vec<SendRequest<Body>>> {
        // Nothing panics while it holds the lock.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection whose last answer has been read, and forgets those that ended.
    fn idle(&self) -> Option<SendRequest<Body>> {
        let mut kept = self.lock();
        kept.retain(|sender| !sender.is_closed());
        let ready = kept.iter().position(SendRequest::is_ready)?;
        Some(kept.swap_remove(ready))
    }

    async fn connect(&self) -> Result<SendRequest<Body>, hyper::Error> {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        // Both tasks end with the pipe, which ends with the client and the last answer.
        let server = self.server.clone();
        let meter = server.store().meter().clone();
        tokio::spawn(meter.watch(server.converse(theirs)));
        let (sender, connection) = http1::handshake(TokioIo::new(ours)).await?;
        tokio::spawn(connection.with_upgrades());
        Ok(sender)
    }
}
