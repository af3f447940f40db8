//! Faults between a client and its API server.
//!
//! Owns: deciding per call what goes wrong, making it so, and the log of all calls. Must not: know
//! what the calls are for. Works in front of the simulated server and of a real one.

use std::{
    error::Error,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture, stream};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, BodyStream, Full, StreamBody, combinators::UnsyncBoxBody};
use kube::client::Body;
use serde_json::json;
use tokio::sync::Notify;
use tower::{BoxError, Layer, Service};

use super::Server;
use crate::clock::Clock;

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The request waits before it is sent.
    Delay(Duration),
    /// The server answers this code and does nothing; with a `Retry-After` in seconds if given.
    Status(u16, Option<u32>),
    /// The connection breaks before the request is sent: nothing happens on the server.
    RequestLost,
    /// The request is carried out, but the connection breaks before the reply.
    ReplyLost,
    /// The request is carried out, and the connection breaks in the middle of the reply.
    Reset,
    /// The request is never sent and no answer comes, ever.
    Hang,
    /// The process dies before it sends the request.
    CrashBefore,
    /// The process dies after the request is carried out, before it sees the reply.
    CrashAfter,
    /// The body of the reply ends after this time, as a watch does whose connection is lost.
    LostWatch(Duration),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Delay(time) => write!(f, "delay {}", humantime::format_duration(*time)),
            Self::Status(code, None) => write!(f, "status {code}"),
            Self::Status(code, Some(after)) => write!(f, "status {code} retry-after {after}"),
            Self::RequestLost => f.write_str("request-lost"),
            Self::ReplyLost => f.write_str("reply-lost"),
            Self::Reset => f.write_str("reset"),
            Self::Hang => f.write_str("hang"),
            Self::CrashBefore => f.write_str("crash-before"),
            Self::CrashAfter => f.write_str("crash-after"),
            Self::LostWatch(time) => {
                write!(f, "lost-watch {}", humantime::format_duration(*time))
            }
        }
    }
}

/// Indicates that the simulated process died at a call.
///
/// Whoever drives the engine drops it when it sees this, and starts another with no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the process crashed at call {0}")]
pub struct Crash(pub u64);

impl Crash {
    /// Returns the crash that caused an error, however deep it is wrapped.
    pub fn behind(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut at = Some(error);
        while let Some(error) = at {
            if let Some(crash) = error.downcast_ref::<Self>() {
                return Some(*crash);
            }
            at = error.source();
        }
        None
    }
}

/// One call, as a plan sees it.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// Number of the call, from 0.
    pub number: u64,
    /// HTTP method.
    pub method: &'a Method,
    /// Path without query.
    pub path: &'a str,
    /// Whether it opens a watch.
    pub watch: bool,
}

type Decide = dyn Fn(&Attempt<'_>) -> Fault + Send + Sync;
type Done = dyn Fn(u64) + Send + Sync;

/// Decides the fault of each call and remembers them all; every clone is the same plan.
#[derive(Clone)]
pub struct Plan {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    decide: Box<Decide>,
    done: Box<Done>,
    calls: AtomicU64,
    crashed: AtomicBool,
    died: Notify,
    log: Mutex<Vec<String>>,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("calls", &self.calls())
            .finish_non_exhaustive()
    }
}

impl Plan {
    /// Returns a plan that asks `decide` about every call; delays run on `clock`.
    pub fn new(
        clock: Clock,
        decide: impl Fn(&Attempt<'_>) -> Fault + Send + Sync + 'static,
    ) -> Self {
        Self::with(clock, Box::new(decide), Box::new(|_| {}))
    }

    /// Returns a plan without faults that tells of each call twice: before it is sent, and with its
    /// number once it is carried out, before the client sees the reply.
    pub fn watching(
        clock: Clock,
        before: impl Fn(&Attempt<'_>) + Send + Sync + 'static,
        after: impl Fn(u64) + Send + Sync + 'static,
    ) -> Self {
        let decide = move |attempt: &Attempt<'_>| {
            before(attempt);
            Fault::None
        };
        Self::with(clock, Box::new(decide), Box::new(after))
    }

    fn with(clock: Clock, decide: Box<Decide>, done: Box<Done>) -> Self {
        let inner = Inner {
            clock,
            decide,
            done,
            calls: AtomicU64::new(0),
            crashed: AtomicBool::new(false),
            died: Notify::new(),
            log: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Returns a plan without faults: it only logs.
    pub fn quiet(clock: Clock) -> Self {
        Self::new(clock, |_| Fault::None)
    }

    /// Returns a plan with one fault, at the call with this number.
    pub fn at(clock: Clock, number: u64, fault: Fault) -> Self {
        Self::new(clock, move |attempt| {
            if attempt.number == number {
                fault
            } else {
                Fault::None
            }
        })
    }

    /// Returns how many calls were made.
    pub fn calls(&self) -> u64 {
        self.inner.calls.load(Ordering::Relaxed)
    }

    /// Returns the log: one `NUMBER METHOD PATH FAULT` per call.
    pub fn log(&self) -> Vec<String> {
        let log = self.inner.log.lock();
        log.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns whether the process is dead: after a crash every call fails with it.
    pub fn crashed(&self) -> bool {
        self.inner.crashed.load(Ordering::Relaxed)
    }

    /// Returns once the process is dead, for whoever has to drop what it leaves behind.
    pub async fn crash(&self) {
        loop {
            let died = self.inner.died.notified();
            if self.crashed() {
                return;
            }
            died.await;
        }
    }

    /// Lets a new process make calls after a crash; numbers and log go on.
    pub fn restart(&self) {
        self.inner.crashed.store(false, Ordering::Relaxed);
    }

    /// Decides about the next call.
    fn next(&self, request: &Request<Body>) -> (u64, Fault) {
        let inner = &self.inner;
        let number = inner.calls.fetch_add(1, Ordering::Relaxed);
        let uri = request.uri();
        let query = uri.query().unwrap_or_default();
        let attempt = Attempt {
            number,
            method: request.method(),
            path: uri.path(),
            watch: query
                .split('&')
                .any(|p| p == "watch=true" || p == "watch=1"),
        };
        let fault = if self.crashed() {
            Fault::CrashBefore
        } else {
            (inner.decide)(&attempt)
        };
        if matches!(fault, Fault::CrashBefore | Fault::CrashAfter) {
            inner.crashed.store(true, Ordering::Relaxed);
            inner.died.notify_waiters();
        }
        let line = format!("{number} {} {} {fault}", attempt.method, attempt.path);
        let mut log = inner.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.push(line);
        (number, fault)
    }
}

impl Server {
    /// Returns a client in the same process with the faults of a plan in front of the server.
    pub fn faulty_client(&self, namespace: &str, plan: &Plan) -> kube::Client {
        let service = FaultLayer::new(plan.clone()).layer(self.wire());
        kube::Client::new(service, namespace)
    }
}

/// Puts a plan in front of a service.
#[derive(Debug, Clone)]
pub struct FaultLayer {
    plan: Plan,
}

impl FaultLayer {
    /// Returns the layer of a plan.
    pub fn new(plan: Plan) -> Self {
        Self { plan }
    }
}

impl<S> Layer<S> for FaultLayer {
    type Service = Faulty<S>;

    fn layer(&self, inner: S) -> Faulty<S> {
        Faulty {
            inner,
            plan: self.plan.clone(),
        }
    }
}

/// A service with a plan in front.
#[derive(Debug, Clone)]
pub struct Faulty<S> {
    inner: S,
    plan: Plan,
}

/// The body of a reply that may break.
pub type Reply = UnsyncBoxBody<Bytes, BoxError>;

impl<S, B> Service<Request<Body>> for Faulty<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Reply>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (number, fault) = self.plan.next(&request);
        // The service that is ready makes the call; its clone waits for the next one.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let plan = self.plan.inner.clone();
        let clock = plan.clock.clone();
        Box::pin(async move {
            match fault {
                Fault::None => {
                    let reply = plain(inner.call(request).await);
                    (plan.done)(number);
                    reply
                }
                Fault::Delay(time) => {
                    clock.sleep(time).await;
                    plain(inner.call(request).await)
                }
                Fault::Status(code, after) => Ok(refusal(code, after)),
                Fault::RequestLost => Err(broken("request lost")),
                Fault::ReplyLost => {
                    plain(inner.call(request).await)?;
                    Err(broken("reply lost"))
                }
                Fault::Reset => {
                    let reply = plain(inner.call(request).await)?;
                    Ok(reply.map(|_| torn()))
                }
                Fault::Hang => std::future::pending().await,
                Fault::CrashBefore => Err(Crash(number).into()),
                Fault::CrashAfter => {
                    plain(inner.call(request).await)?;
                    Err(Crash(number).into())
                }
                Fault::LostWatch(time) => {
                    let reply = plain(inner.call(request).await)?;
                    Ok(reply.map(|body| cut(body, clock, time)))
                }
            }
        })
    }
}

fn plain<B, E>(reply: Result<Response<B>, E>) -> Result<Response<Reply>, BoxError>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    E: Into<BoxError>,
{
    let reply = reply.map_err(Into::into)?;
    Ok(reply.map(|body| body.map_err(Into::into).boxed_unsync()))
}

fn broken(what: &str) -> BoxError {
    let message = format!("injected fault: {what}");
    std::io::Error::new(std::io::ErrorKind::ConnectionReset, message).into()
}

/// Returns a body that breaks before its first byte.
fn torn() -> Reply {
    let frames = stream::once(async { Err(broken("connection reset")) });
    StreamBody::new(frames).boxed_unsync()
}

/// Returns a body that ends after some time.
fn cut(body: Reply, clock: Clock, time: Duration) -> Reply {
    let end = Box::pin(async move { clock.sleep(time).await });
    StreamBody::new(BodyStream::new(body).take_until(end)).boxed_unsync()
}

/// Returns what the API server, or something in front of it, answers with this code.
fn refusal(code: u16, after: Option<u32>) -> Response<Reply> {
    let (reason, message) = match code {
        400 => (
            "BadRequest",
            "the server rejected our request for an unknown reason",
        ),
        401 => ("Unauthorized", "Unauthorized"),
        403 => ("Forbidden", "forbidden: injected fault"),
        404 => (
            "NotFound",
            "the server could not find the requested resource",
        ),
        409 => (
            "Conflict",
            "Operation cannot be fulfilled: the object has been modified; please apply your changes to the latest version and try again",
        ),
        410 => ("Expired", "too old resource version"),
        422 => (
            "Invalid",
            "the server rejected our request due to an error in our request",
        ),
        429 => (
            "TooManyRequests",
            "the server has received too many requests and has asked us to try again later",
        ),
        503 => (
            "ServiceUnavailable",
            "the server is currently unable to handle the request",
        ),
        504 => (
            "Timeout",
            "the server was unable to return a response in the time allotted, but may still be processing the request",
        ),
        _ => (
            "InternalError",
            "an error on the server has prevented the request from succeeding",
        ),
    };
    let mut status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": {},
        "code": code,
    });
    if let Some(seconds) = after {
        status["details"]["retryAfterSeconds"] = json!(seconds);
    }
    let body = Full::<Bytes>::from(status.to_string());
    let mut reply = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    *reply.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = reply.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    if let Some(seconds) = after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    reply
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::TryStreamExt;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{
        Api,
        api::{ListParams, PostParams, WatchEvent, WatchParams},
    };

    use super::*;
    use crate::sim::{api::NoApps, store::Store};

    fn clock() -> Clock {
        Clock::simulated("2026-01-05T09:00:00Z".parse().unwrap(), 1.0)
    }

    fn server() -> Server {
        Server::new(Store::new(clock()), Arc::new(NoApps))
    }

    fn map(name: &str) -> ConfigMap {
        serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
    }

    async fn create(fault: Fault) -> (Result<ConfigMap, kube::Error>, bool, Plan) {
        let server = server();
        let plan = Plan::at(clock(), 0, fault);
        let maps: Api<ConfigMap> = Api::default_namespaced(server.faulty_client("default", &plan));
        let outcome = maps.create(&PostParams::default(), &map("a")).await;
        let kept = maps.get_opt("a").await.ok().flatten().is_some();
        (outcome, kept, plan)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_reply_has_happened_and_a_lost_request_has_not() {
        for (fault, happened) in [
            (Fault::RequestLost, false),
            (Fault::ReplyLost, true),
            (Fault::Reset, true),
            (Fault::Status(503, None), false),
        ] {
            let (outcome, kept, _) = create(fault).await;
            assert!(outcome.is_err(), "{fault}");
            assert_eq!(kept, happened, "{fault}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_status_is_one_a_client_understands() {
        let (outcome, _, plan) = create(Fault::Status(429, Some(7))).await;
        let Err(kube::Error::Api(status)) = outcome else {
            panic!("not a status");
        };
        assert_eq!(
            (status.code, status.reason.as_str()),
            (429, "TooManyRequests")
        );
        assert_eq!(status.details.unwrap().retry_after_seconds, 7);
        assert_eq!(
            plan.log(),
            [
                "0 POST /api/v1/namespaces/default/configmaps status 429 retry-after 7",
                "1 GET /api/v1/namespaces/default/configmaps/a none",
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_crash_is_recognised_and_nothing_is_sent_until_the_restart() {
        let server = server();
        let plan = Plan::at(clock(), 0, Fault::CrashAfter);
        let maps: Api<ConfigMap> = Api::default_namespaced(server.faulty_client("default", &plan));
        let error = maps
            .create(&PostParams::default(), &map("a"))
            .await
            .unwrap_err();
        assert_eq!(Crash::behind(&error), Some(Crash(0)));
        let error = maps.get("a").await.unwrap_err();
        assert_eq!(Crash::behind(&error), Some(Crash(1)));
        plan.restart();
        assert!(maps.get("a").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_watched_call_is_told_before_it_is_sent_and_when_it_is_carried_out() {
        let server = server();
        let from = server.store().version();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let note = |when: &'static str| {
            let (seen, store) = (seen.clone(), server.store().clone());
            move |number: u64| {
                let written = store.version() - from;
                let line = format!("{when} {number}, {written} written");
                seen.lock().unwrap().push(line);
            }
        };
        let (before, after) = (note("before"), note("after"));
        let plan = Plan::watching(clock(), move |call| before(call.number), after);
        let maps: Api<ConfigMap> = Api::default_namespaced(server.faulty_client("default", &plan));
        maps.create(&PostParams::default(), &map("a"))
            .await
            .unwrap();
        maps.get("a").await.unwrap();
        let wanted = [
            "before 0, 0 written",
            "after 0, 1 written",
            "before 1, 1 written",
            "after 1, 1 written",
        ];
        assert_eq!(*seen.lock().unwrap(), wanted);
    }

    #[tokio::test(start_paused = true)]
    async fn delays_and_hangs_cost_virtual_time_only() {
        let begin = tokio::time::Instant::now();
        let (outcome, _, _) = create(Fault::Delay(Duration::from_secs(30))).await;
        assert!(outcome.is_ok());
        assert_eq!(begin.elapsed().as_secs(), 30);
        let limit = clock()
            .timeout(Duration::from_secs(5), create(Fault::Hang))
            .await;
        assert!(limit.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_watch_ends_without_an_error() {
        let server = server();
        let plan = Plan::new(clock(), |attempt| {
            if attempt.watch {
                Fault::LostWatch(Duration::from_secs(3))
            } else {
                Fault::None
            }
        });
        let maps: Api<ConfigMap> = Api::default_namespaced(server.faulty_client("default", &plan));
        let version = maps
            .list(&ListParams::default())
            .await
            .unwrap()
            .metadata
            .resource_version;
        let events = maps
            .watch(&WatchParams::default(), &version.unwrap())
            .await
            .unwrap();
        maps.create(&PostParams::default(), &map("a"))
            .await
            .unwrap();
        let seen: Vec<WatchEvent<ConfigMap>> = events.try_collect().await.unwrap();
        assert!(matches!(seen.as_slice(), [WatchEvent::Added(_)]));
    }
}
