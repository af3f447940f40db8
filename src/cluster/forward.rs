//! HTTP to a port of a pod, through the API server.
//!
//! Owns: the port-forward stream, HTTP/1.1 over it, size and time limits. Must not: judge answers.
//! No local port is opened and nothing is left behind. The kubelet connects to localhost inside the
//! pod: this proves the app answers, not that traffic reaches it.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Portforwarder;

use super::Cluster;

/// Largest answer that is read.
pub const LARGEST_BODY: usize = 8 << 20;

/// How long the reason of a broken stream is waited for: it comes on a channel of its own.
const REASON_PATIENCE: Duration = Duration::from_millis(500);

/// A request to an app.
#[derive(Debug, Clone)]
pub struct AppRequest {
    /// Method.
    pub method: Method,
    /// Path with query, beginning with `/`.
    pub path: String,
    /// Further headers.
    pub headers: BTreeMap<String, String>,
    /// Body; empty for none.
    pub body: Bytes,
}

/// An app's answer.
#[derive(Debug, Clone)]
pub struct AppAnswer {
    /// HTTP status code.
    pub status: u16,
    /// Body.
    pub body: Bytes,
}

/// Indicates that an app gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// The API server refuses the port-forward.
    #[error("port-forward to {pod}: {reason}")]
    Refused {
        /// The pod.
        pod: String,
        /// Why, with the missing right where that is it.
        reason: String,
    },
    /// Nothing listens at the port, or the app hung up.
    #[error("{pod}:{port}: {reason}")]
    Broken {
        /// The pod.
        pod: String,
        /// The port.
        port: u16,
        /// What was seen.
        reason: String,
    },
    /// No answer in time.
    #[error("{pod}:{port}: no answer within {limit}", limit = humantime::format_duration(*limit))]
    Timeout {
        /// The pod.
        pod: String,
        /// The port.
        port: u16,
        /// The limit.
        limit: Duration,
    },
}

impl Cluster {
    /// Sends one request to `port` of `pod` and returns the answer, within `limit` once the way to
    /// the pod is open. A way that cannot be opened is the API server's trouble, not the app's: it
    /// is tried twice, and its error says so.
    pub async fn ask_pod(
        &self,
        pod: &str,
        port: u16,
        request: &AppRequest,
        limit: Duration,
    ) -> Result<AppAnswer, ForwardError> {
        let forwarder = match self.open(pod, port, limit).await {
            Err((_, true)) => self.open(pod, port, limit).await,
            first => first,
        };
        let forwarder = forwarder.map_err(|(error, _)| error)?;
        let exchange = self.exchange(pod, port, request, forwarder);
        match self.clock().timeout(limit, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ForwardError::Timeout {
                pod: pod.to_owned(),
                port,
                limit,
            }),
        }
    }

    /// Opens the way to a pod; an error comes with whether another try may help.
    async fn open(
        &self,
        pod: &str,
        port: u16,
        limit: Duration,
    ) -> Result<Portforwarder, (ForwardError, bool)> {
        let api = self.api::<Pod>();
        let ports = [port];
        let open = api.portforward(pod, &ports);
        match self.clock().timeout(limit, open).await {
            Ok(Ok(forwarder)) => Ok(forwarder),
            Ok(Err(error)) => {
                let why = super::ClusterError::new("forward", pod, &error);
                // A token that ended is a new one with the next request.
                let passing = why.is_passing() || why.reason == super::Reason::Unauthorized;
                Err((refused(pod, &error), passing))
            }
            Err(elapsed) => {
                let error = ForwardError::Refused {
                    pod: pod.to_owned(),
                    reason: elapsed.to_string(),
                };
                Err((error, true))
            }
        }
    }

    async fn exchange(
        &self,
        pod: &str,
        port: u16,
        request: &AppRequest,
        mut forwarder: Portforwarder,
    ) -> Result<AppAnswer, ForwardError> {
        let broken = |reason: String| ForwardError::Broken {
            pod: pod.to_owned(),
            port,
            reason,
        };
        let (Some(stream), Some(reason)) =
            (forwarder.take_stream(port), forwarder.take_error(port))
        else {
            return Err(broken("the port-forward has no stream".to_owned()));
        };
        let talk = talk(pod, port, request, TokioIo::new(stream));
        tokio::pin!(talk, reason);
        let outcome = tokio::select! {
            biased;
            answer = &mut talk => match answer {
                Ok(answer) => Ok(answer),
                // The stream ends a moment before or after its reason arrives.
                Err(error) => {
                    let said = self.clock().timeout(REASON_PATIENCE, &mut reason).await;
                    Err(said.ok().flatten().unwrap_or(error))
                }
            },
            Some(said) = &mut reason => Err(said),
        };
        forwarder.abort();
        outcome.map_err(|text| broken(text.trim().to_owned()))
    }
}

async fn talk(
    pod: &str,
    port: u16,
    request: &AppRequest,
    io: TokioIo<impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static>,
) -> Result<AppAnswer, String> {
    let text = |e: hyper::Error| e.to_string();
    let (mut sender, connection) = http1::handshake(io).await.map_err(text)?;
    let connection = tokio::spawn(connection);
    let mut builder = Request::builder()
        .method(request.method.clone())
        .uri(&request.path)
        .header(header::HOST, format!("{pod}:{port}"))
        .header(header::CONNECTION, "close")
        .header(
            header::USER_AGENT,
            concat!("canaryctl/", env!("CARGO_PKG_VERSION")),
        );
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    let request = builder
        .body(Full::new(request.body.clone()))
        .map_err(|e| e.to_string())?;
    let outcome = async {
        let response = sender.send_request(request).await.map_err(text)?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), LARGEST_BODY);
        let body = body.collect().await.map_err(|e| e.to_string())?.to_bytes();
        Ok(AppAnswer { status, body })
    };
    let outcome = outcome.await;
    connection.abort();
    outcome
}

fn refused(pod: &str, error: &kube::Error) -> ForwardError {
    let reason = match super::ClusterError::new("forward", pod, error).reason {
        super::Reason::Forbidden => {
            "forbidden: it needs both get and create on pods/portforward".to_owned()
        }
        super::Reason::NotFound => "the pod is gone".to_owned(),
        super::Reason::NotServed
        | super::Reason::Unauthorized
        | super::Reason::Conflict
        | super::Reason::Exists
        | super::Reason::Invalid
        | super::Reason::Throttled
        | super::Reason::Unavailable
        | super::Reason::Transport
        | super::Reason::Timeout
        | super::Reason::Garbled => super::ClusterError::new("forward", pod, error).detail,
    };
    ForwardError::Refused {
        pod: pod.to_owned(),
        reason,
    }
}
