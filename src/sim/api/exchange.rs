//! A byte stream to an app in a pod, with HTTP spoken at its far end.
//!
//! Owns: serving the far end through `Apps`, and the words for a port that refuses. Must not: know
//! how the stream reaches the client.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;

use super::apps::Apps;
use crate::clock::Clock;

/// Bytes on the way to or from an app.
const PIPE: usize = 64 * 1024;

/// The pod a client forwards to.
#[derive(Clone)]
pub(crate) struct Exchange {
    pub(crate) apps: Arc<dyn Apps>,
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) uid: String,
    pub(crate) running: bool,
    pub(crate) clock: Clock,
}

/// Indicates that nothing answers on a port.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

impl Exchange {
    /// Opens a stream to a port.
    ///
    /// The future serves it until the stream ends; its outcome is what the kubelet would report on
    /// the error channel. What a real kubelet finds when it connects is found here at the first
    /// request.
    pub(crate) fn open(&self, port: u16) -> (DuplexStream, BoxFuture<'static, Option<String>>) {
        let (near, far) = tokio::io::duplex(PIPE);
        let this = self.clone();
        (near, Box::pin(async move { this.serve(far, port).await }))
    }

    async fn serve(self, far: DuplexStream, port: u16) -> Option<String> {
        if !self.running {
            let uid = &self.uid;
            return Some(format!(
                "error forwarding port {port} to pod {uid}, uid : container not running ({uid})"
            ));
        }
        let refusal: Arc<Mutex<Option<String>>> = Arc::default();
        let service = service_fn(|request: Request<Incoming>| {
            let (this, refusal) = (self.clone(), refusal.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.map_err(|e| Refused(e.to_string()))?;
                let request = Request::from_parts(parts, body.to_bytes());
                let answer = this.apps.answer(&this.namespace, &this.pod, port, request);
                match answer.await {
                    Ok(response) => Ok::<_, Refused>(response.map(Full::<Bytes>::new)),
                    Err(why) => {
                        let mut slot = refusal.lock().unwrap_or_else(PoisonError::into_inner);
                        *slot = Some(this.unreachable(port, &why));
                        Err(Refused(why))
                    }
                }
            }
        });
        let connection = http1::Builder::new()
            .half_close(true)
            .auto_date_header(false)
            .serve_connection(TokioIo::new(far), service);
        // How it ended matters only when the port refused, and that is noted above.
        connection.await.ok();
        refusal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Returns the words of a kubelet with containerd.
    fn unreachable(&self, port: u16, why: &str) -> String {
        let uid = &self.uid;
        let place = format!("/var/run/netns/cni-{uid}");
        format!(
            "error forwarding port {port} to pod {uid}, uid : failed to execute portforward in network namespace \"{place}\": failed to connect to localhost:{port} inside namespace \"{uid}\", IPv4: dial tcp4 127.0.0.1:{port}: connect: {why} IPv6 dial tcp6 [::1]:{port}: connect: {why} "
        )
    }
}
