//! HTTP to a port of a pod, through the API server.
//!
//! Owns: the port-forward stream, HTTP/1.1 over it, size and time limits. Must not: judge answers.
//! No local port is opened and nothing is left behind. The kubelet connects to localhost inside the
//! pod: this proves the app answers, not that traffic reaches it.

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Portforwarder;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    task::JoinSet,
};

use super::Cluster;
use crate::clock::Clock;

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
    /// Content type; empty where it is not told.
    pub content_type: String,
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
        let stream = self.pod_stream(pod, port, limit).await?;
        let exchange = async {
            let conversation = Conversation::begin(pod, port, stream).await?;
            conversation.ask(request, false).await
        };
        match self.clock().timeout(limit, exchange).await {
            Ok(Ok((answer, _))) => Ok(answer),
            Ok(Err((_, reason))) => Err(ForwardError::Broken {
                pod: pod.to_owned(),
                port,
                reason,
            }),
            Err(_) => Err(ForwardError::Timeout {
                pod: pod.to_owned(),
                port,
                limit,
            }),
        }
    }

    /// Opens a stream to `port` of `pod` within `limit`, trying twice where that may help.
    pub async fn pod_stream(
        &self,
        pod: &str,
        port: u16,
        limit: Duration,
    ) -> Result<PodStream, ForwardError> {
        let forwarder = match self.open(pod, port, limit).await {
            Err((_, true)) => self.open(pod, port, limit).await,
            first => first,
        };
        let forwarder = forwarder.map_err(|(error, _)| error)?;
        let stream = PodStream::of(forwarder, port, self.clock());
        stream.ok_or_else(|| ForwardError::Broken {
            pod: pod.to_owned(),
            port,
            reason: "the port-forward has no stream".to_owned(),
        })
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
}

// === the stream ===

/// A stream to a port of a pod. Where it breaks, reading gives the kubelet's reason as the error.
pub struct PodStream {
    stream: DuplexStream,
    forwarder: Portforwarder,
    clock: Clock,
    reason: Option<BoxFuture<'static, Option<String>>>,
    /// The stream has ended and its reason is still waited for.
    ended: Option<BoxFuture<'static, Option<String>>>,
    /// Whether it has come to its end, as whoever keeps it wants to know at once.
    over: Arc<AtomicBool>,
}

/// Indicates what the kubelet said of a stream that broke.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Said(String);

/// Returns what a kubelet says of a port without its sandboxes and namespaces; as it is where it is put
/// otherwise.
fn short(said: &str) -> String {
    let after = |text: &'static str| said.split_once(text).map(|(_, rest)| rest);
    let place = after("failed to connect to ").and_then(|rest| rest.split([' ', ',']).next());
    let why = after("dial tcp4 ").and_then(|rest| rest.split_once(": "));
    let why = why.and_then(|(_, rest)| rest.split(" IPv6").next());
    match place.zip(why) {
        Some((place, why)) => format!("{place} in the pod: {}", why.trim()),
        None => said.to_owned(),
    }
}

impl Drop for PodStream {
    fn drop(&mut self) {
        self.forwarder.abort();
    }
}

impl PodStream {
    fn of(mut forwarder: Portforwarder, port: u16, clock: &Clock) -> Option<Self> {
        let stream = forwarder.take_stream(port)?;
        let reason = forwarder.take_error(port)?;
        Some(Self {
            stream,
            forwarder,
            clock: clock.clone(),
            reason: Some(Box::pin(reason)),
            ended: None,
            over: Arc::default(),
        })
    }

    /// Returns the outcome of a stream that came to its end: its reason arrives a moment before or
    /// after.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.over.store(true, Ordering::Relaxed);
        if let Some(reason) = self.reason.take() {
            let clock = self.clock.clone();
            let wait = async move { clock.timeout(REASON_PATIENCE, reason).await.ok().flatten() };
            self.ended = Some(Box::pin(wait));
        }
        let Some(wait) = &mut self.ended else {
            return Poll::Ready(Ok(()));
        };
        let said = std::task::ready!(wait.as_mut().poll(cx));
        self.ended = None;
        Poll::Ready(said.map_or(Ok(()), |said| Err(io::Error::other(Said(short(&said))))))
    }
}

impl AsyncRead for PodStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ended.is_some() {
            return self.poll_end(cx);
        }
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) if buffer.filled().len() > before || buffer.remaining() == 0 => {
                Poll::Ready(Ok(()))
            }
            Poll::Ready(_) => self.poll_end(cx),
            Poll::Pending => {
                let Some(reason) = &mut self.reason else {
                    return Poll::Pending;
                };
                let Poll::Ready(said) = reason.as_mut().poll(cx) else {
                    return Poll::Pending;
                };
                self.reason = None;
                self.over.store(said.is_some(), Ordering::Relaxed);
                match said {
                    Some(said) => Poll::Ready(Err(io::Error::other(Said(short(&said))))),
                    None => Poll::Pending,
                }
            }
        }
    }
}

impl AsyncWrite for PodStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Returns what the kubelet said of a stream, where that is at the bottom of an error.
pub fn said(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut at = Some(error);
    while let Some(error) = at {
        let within = error.downcast_ref::<io::Error>().and_then(|e| e.get_ref());
        if let Some(Said(text)) = within.and_then(|e| e.downcast_ref::<Said>()) {
            return Some(text.trim().to_owned());
        }
        at = error.source();
    }
    None
}

// === HTTP on it ===

/// How far a request came that has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    /// Nothing of it was written.
    No,
    /// It was written, whole or in part, and nothing came back.
    Perhaps,
    /// The app began to answer.
    Yes,
}

/// Why a request has no answer.
type Unanswered = (Reached, String);

/// HTTP/1.1 with an app, one request at a time; the stream ends with it.
pub(super) struct Conversation {
    sender: http1::SendRequest<Full<Bytes>>,
    host: HeaderValue,
    /// How long the app said that it keeps the stream for the next request.
    patience: Option<Duration>,
    /// Whether the stream has come to its end.
    over: Arc<AtomicBool>,
    /// Ends with the conversation.
    _driver: JoinSet<()>,
}

impl Conversation {
    pub(super) async fn begin(pod: &str, port: u16, stream: PodStream) -> Result<Self, Unanswered> {
        let host = HeaderValue::try_from(format!("{pod}:{port}"));
        let host = host.map_err(|e| (Reached::No, e.to_string()))?;
        let over = stream.over.clone();
        let opened = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = opened.map_err(|e| (Reached::No, text(&e)))?;
        let mut driver = JoinSet::new();
        // How it ended is told to the request that waits.
        driver.spawn(connection.map(drop));
        Ok(Self {
            sender,
            host,
            patience: None,
            over,
            _driver: driver,
        })
    }

    /// Sends a request and reads the whole answer; returns itself where the app keeps the stream, and
    /// `keep` wants that.
    pub(super) async fn ask(
        mut self,
        request: &AppRequest,
        keep: bool,
    ) -> Result<(AppAnswer, Option<Self>), Unanswered> {
        let request = self.message(request, keep);
        let request = request.map_err(|e| (Reached::No, e.to_string()))?;
        let sent = self.sender.try_send_request(request).await;
        let response = sent.map_err(|error| {
            let reached = match error.message() {
                Some(_) => Reached::No,
                None if error.error().is_parse() => Reached::Yes,
                None => Reached::Perhaps,
            };
            (reached, text(error.error()))
        })?;
        let (head, body) = response.into_parts();
        let kind = head.headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|value| value.to_str().ok());
        let content_type = kind.unwrap_or_default().to_owned();
        let body = Limited::new(body, LARGEST_BODY).collect().await;
        let body = body.map_err(|e| (Reached::Yes, text(e.as_ref())))?;
        let answer = AppAnswer {
            status: head.status.as_u16(),
            content_type,
            body: body.to_bytes(),
        };
        let kept = keep && is_kept(head.version, &head.headers);
        self.patience = patience(&head.headers);
        Ok((answer, kept.then_some(self)))
    }

    /// Returns whether neither side has ended it, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed() && !self.over.load(Ordering::Relaxed)
    }

    /// Returns whether it can carry a request now.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Returns how long the app said that it keeps the stream, if it did.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.patience
    }

    fn message(&self, request: &AppRequest, keep: bool) -> http::Result<Request<Full<Bytes>>> {
        let agent = concat!("canaryctl/", env!("CARGO_PKG_VERSION"));
        let connection = if keep { "keep-alive" } else { "close" };
        let mut builder = Request::builder()
            .method(request.method.clone())
            .uri(&request.path)
            .header(header::HOST, self.host.clone())
            .header(header::CONNECTION, connection)
            .header(header::USER_AGENT, agent);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        builder.body(Full::new(request.body.clone()))
    }
}

/// Returns whether an app keeps the stream after an answer.
fn is_kept(version: Version, headers: &HeaderMap) -> bool {
    let mut said = words(headers, header::CONNECTION);
    version == Version::HTTP_11 && !said.any(|word| word.eq_ignore_ascii_case("close"))
}

/// Returns how long an app keeps an idle stream, where it says so (`Keep-Alive: timeout=5`).
fn patience(headers: &HeaderMap) -> Option<Duration> {
    let mut said = words(headers, HeaderName::from_static("keep-alive"));
    said.find_map(|word| {
        let (name, value) = word.split_once('=')?;
        let seconds = value.trim().parse().ok()?;
        let timeout = name.trim().eq_ignore_ascii_case("timeout");
        timeout.then_some(Duration::from_secs(seconds))
    })
}

fn words(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim)
}

/// Returns what the kubelet said, or else what the error says.
fn text(error: &(dyn std::error::Error + 'static)) -> String {
    let text = said(error).unwrap_or_else(|| error.to_string());
    text.trim().to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kubelet_says_is_told_in_short() {
        let said = "error forwarding port 9090 to pod 1b2c, uid : failed to execute portforward in \
                    network namespace \"/var/run/netns/cni-7\": failed to connect to localhost:9090 \
                    inside namespace \"1b2c\", IPv4: dial tcp4 127.0.0.1:9090: connect: connection \
                    refused IPv6 dial tcp6 [::1]:9090: connect: connection refused";
        assert_eq!(
            short(said),
            "localhost:9090 in the pod: connect: connection refused"
        );
        assert_eq!(short("lost connection to pod"), "lost connection to pod");
    }
}
