//! A byte stream to an app in a pod, with HTTP spoken at its far end.
//!
//! Owns: serving the far end through `Apps`, ending it as apps do, and the words for a port that
//! refuses. Must not: know how the stream reaches the client.

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, Version, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::{io::DuplexStream, sync::watch};

use super::apps::{Apps, Listener};
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
    /// Tells that something in the cluster is different.
    pub(crate) changes: watch::Receiver<u64>,
}

/// What happens on a connection.
#[derive(Default)]
struct Talk {
    /// Since when nothing is asked; `None` during a request, and before the first one.
    idle: Mutex<Option<Timestamp>>,
    /// Why the port refused.
    refusal: Mutex<Option<String>>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds a lock.
    of.lock().unwrap_or_else(PoisonError::into_inner)
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
        if let Some(speak) = self.apps.speaker(&self.namespace, &self.pod, port) {
            speak(far).await;
            return None;
        }
        let talk = Arc::new(Talk::default());
        let service = service_fn(|request: Request<Incoming>| {
            let (this, talk) = (self.clone(), talk.clone());
            async move {
                *lock(&talk.idle) = None;
                let answer = this.answer(port, request).await;
                *lock(&talk.idle) = Some(this.clock.now());
                if let Err(Refused(why)) = &answer {
                    *lock(&talk.refusal) = Some(this.unreachable(port, why));
                }
                answer
            }
        });
        let connection = http1::Builder::new()
            .half_close(true)
            .auto_date_header(false)
            .serve_connection(TokioIo::new(far), service);
        self.attend(port, connection, &talk.idle).await;
        lock(&talk.refusal).take()
    }

    /// Serves a connection until either side ends it, or it has been idle for too long, or the process
    /// that took it is gone.
    async fn attend<S>(
        &self,
        port: u16,
        connection: http1::Connection<TokioIo<DuplexStream>, S>,
        idle: &Mutex<Option<Timestamp>>,
    ) where
        S: hyper::service::HttpService<Incoming, ResBody = Full<Bytes>>,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let listener = || self.apps.listener(&self.namespace, &self.pod, port);
        let Listener { patience, .. } = listener().unwrap_or_default();
        let first = listener().map(|listener| listener.process);
        let mut changes = self.changes.clone();
        let mut connection = pin!(connection);
        let mut ending = false;
        loop {
            let now = self.clock.now();
            let spent = lock(idle).map_or(Ok(Duration::ZERO), |since| {
                now.duration_since(since).try_into()
            });
            let left = patience.saturating_sub(spent.unwrap_or_default());
            if left.is_zero() && !ending {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
            tokio::select! {
                biased;
                // How it ended matters only when the port refused, and that is noted.
                _ = connection.as_mut() => return,
                told = changes.changed() => {
                    let gone = first.is_some() && listener().map(|l| l.process) != first;
                    if gone || told.is_err() {
                        return;
                    }
                }
                () = self.clock.sleep(left), if !ending => {}
            }
        }
    }

    async fn answer(
        &self,
        port: u16,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Refused> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|e| Refused(e.to_string()))?;
        let asked = parts.headers.get(header::CONNECTION);
        let closes = asked.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
        let kept = parts.version == Version::HTTP_11 && !closes;
        let request = Request::from_parts(parts, body.to_bytes());
        let (namespace, pod) = (&self.namespace, &self.pod);
        let answer = self.apps.answer(namespace, pod, port, request).await;
        let mut response = answer.map_err(Refused)?.map(Full::new);
        let listener = self.apps.listener(namespace, pod, port);
        if let Some(listener) = listener.filter(|_| kept) {
            let said = format!("timeout={}", listener.patience.as_secs());
            let said = HeaderValue::try_from(said).map_err(|e| Refused(e.to_string()))?;
            response.headers_mut().insert("keep-alive", said);
        }
        Ok(response)
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
