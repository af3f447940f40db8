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
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use tokio::sync::Notify;
use tower::{BoxError, Layer, Service};

pub use super::replies::Reply;
use super::{
    Server,
    replies::{Past, broken, cut, endless, half, login_page, refusal, torn},
};
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
    /// Something in front of the server answers 200 with a page of HTML; the server does nothing.
    LoginPage,
    /// The request is carried out, and the reply ends in the middle as if that were all.
    Truncated,
    /// The server does nothing and answers 200 with a body that never ends.
    Endless,
    /// A read is answered as it was before the latest change; everything else as usual.
    Stale,
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
            Self::LoginPage => f.write_str("login-page"),
            Self::Truncated => f.write_str("truncated"),
            Self::Endless => f.write_str("endless"),
            Self::Stale => f.write_str("stale"),
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
    past: Past,
    poured: Arc<AtomicU64>,
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
            past: Past::default(),
            poured: Arc::default(),
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

    /// Returns how many bytes were read of bodies without end.
    pub fn poured(&self) -> u64 {
        self.inner.poured.load(Ordering::Relaxed)
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
        let attempt = Attempt {
            number,
            method: request.method(),
            path: uri.path(),
            watch: watches(request),
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

fn watches(request: &Request<Body>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    let mut pairs = query.split('&');
    pairs.any(|p| p == "watch=true" || p == "watch=1")
}

/// Returns what is asked, where it is a read that ends.
fn question(request: &Request<Body>) -> Option<String> {
    let streams = watches(request) || request.headers().contains_key(http::header::UPGRADE);
    let read = request.method() == Method::GET && !streams;
    read.then(|| request.uri().to_string())
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
        let read = question(&request);
        Box::pin(async move {
            match fault {
                Fault::None | Fault::Stale => {
                    let reply = plain(inner.call(request).await);
                    (plan.done)(number);
                    match read {
                        Some(asked) => plan.past.answer(asked, fault == Fault::Stale, reply?).await,
                        None => reply,
                    }
                }
                Fault::LoginPage => Ok(login_page()),
                Fault::Truncated => half(plain(inner.call(request).await)?).await,
                Fault::Endless => Ok(endless(&plan.poured)),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::TryStreamExt;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{
        Api,
        api::{ListParams, PostParams, WatchEvent, WatchParams},
    };
    use serde_json::json;

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
    async fn an_answer_that_is_none_is_an_error_whether_it_happened_or_not() {
        for (fault, happened) in [(Fault::LoginPage, false), (Fault::Truncated, true)] {
            let (outcome, kept, _) = create(fault).await;
            assert!(
                matches!(outcome, Err(kube::Error::SerdeError(_))),
                "{fault}: {outcome:?}"
            );
            assert_eq!(kept, happened, "{fault}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stale_read_is_what_was_before_the_latest_change() {
        let server = server();
        let plan = Plan::new(clock(), |attempt| {
            if attempt.number == 5 {
                Fault::Stale
            } else {
                Fault::None
            }
        });
        let maps: Api<ConfigMap> = Api::default_namespaced(server.faulty_client("default", &plan));
        let mut told = Vec::new();
        let params = PostParams::default();
        let mut map = maps.create(&params, &map("a")).await.unwrap();
        for value in ["one", "two"] {
            map.data = Some([("k".to_owned(), value.to_owned())].into());
            map = maps.replace("a", &params, &map).await.unwrap();
            told.push(maps.get("a").await.unwrap().data.unwrap()["k"].clone());
        }
        for _ in 0..2 {
            told.push(maps.get("a").await.unwrap().data.unwrap()["k"].clone());
        }
        assert_eq!(told, ["one", "two", "one", "two"]);
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
