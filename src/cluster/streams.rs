//! Streams to pods that carry more than one request.
//!
//! Owns: keeping a stream while the app keeps it, and which requests may be sent again. Must not: be
//! used for checks. A kept stream proves nothing about the next user's connection: an app whose
//! listener is closed, or that has run out of file descriptors, still answers on it. So checks open a
//! stream for each request, as kubelets do for their probes; what only sends requests need not.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use super::{
    Cluster,
    forward::{AppAnswer, AppRequest, Conversation, ForwardError, Reached},
};

/// Longest time a stream is used: an app of several processes is to be asked on all of them.
const LIFE: Duration = Duration::from_secs(30);

/// How long a stream waits for its next request where the app does not say. Servers end idle
/// connections after five seconds and more, as a rule; no request is to meet that end.
const IDLE: Duration = Duration::from_secs(4);

/// How much earlier than the app says an idle stream is given up.
const MARGIN: Duration = Duration::from_secs(1);

/// Streams kept for each port of a pod, at most.
const MOST: usize = 4;

/// A port of one certain pod: another pod with its name is another place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The pod.
    pub pod: String,
    /// Its identity.
    pub uid: String,
    /// The port.
    pub port: u16,
}

/// A stream that waits for its next request.
struct Kept {
    conversation: Conversation,
    opened: Timestamp,
    /// When it is given up.
    until: Timestamp,
}

/// Streams to pods that are kept from one request to the next; all end with it.
pub struct Streams {
    cluster: Cluster,
    kept: Mutex<BTreeMap<Place, Vec<Kept>>>,
}

impl Streams {
    /// Returns none yet, to pods of `cluster`'s namespace.
    pub fn new(cluster: Cluster) -> Self {
        Self {
            cluster,
            kept: Mutex::default(),
        }
    }

    /// Sends one request and returns the answer, within `limit` once a way to the pod is open. A kept
    /// stream that has ended meanwhile is replaced once, unless the app may have got a request that is
    /// not idempotent.
    pub async fn ask(
        &self,
        to: &Place,
        request: &AppRequest,
        limit: Duration,
    ) -> Result<AppAnswer, ForwardError> {
        let clock = self.cluster.clock();
        let mut left = limit;
        if let Some(kept) = self.take(to) {
            let begun = clock.now();
            let asked = kept.conversation.ask(request, true);
            let Ok(outcome) = clock.timeout(limit, asked).await else {
                return Err(timeout(to, limit));
            };
            match outcome {
                Ok((answer, conversation)) => {
                    self.keep(to, conversation, kept.opened);
                    return Ok(answer);
                }
                Err((reached, reason)) => {
                    let again = match reached {
                        Reached::No => true,
                        Reached::Perhaps => request.method.is_idempotent(),
                        Reached::Yes => false,
                    };
                    if !again {
                        return Err(broken(to, reason));
                    }
                }
            }
            let spent = Duration::try_from(clock.now().duration_since(begun)).unwrap_or_default();
            left = limit.saturating_sub(spent);
        }
        let stream = self.cluster.pod_stream(&to.pod, to.port, limit).await?;
        let opened = clock.now();
        let asked = async {
            let conversation = Conversation::begin(&to.pod, to.port, stream).await?;
            conversation.ask(request, true).await
        };
        match clock.timeout(left, asked).await {
            Ok(Ok((answer, conversation))) => {
                self.keep(to, conversation, opened);
                Ok(answer)
            }
            Ok(Err((_, reason))) => Err(broken(to, reason)),
            Err(_) => Err(timeout(to, limit)),
        }
    }

    /// Ends the streams to all other places: those pods are gone, or get no more requests.
    pub fn only<'a>(&self, places: impl Iterator<Item = &'a Place>) {
        let places: Vec<&Place> = places.collect();
        self.lock().retain(|place, _| places.contains(&place));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Vec<Kept>>> {
        // Nothing panics while it holds the lock.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a stream that can carry a request now, and ends all whose time is over.
    fn take(&self, to: &Place) -> Option<Kept> {
        let now = self.cluster.clock().now();
        let mut kept = self.lock();
        kept.retain(|_, streams| {
            streams.retain(|kept| kept.until > now && kept.conversation.is_open());
            !streams.is_empty()
        });
        let streams = kept.get_mut(to)?;
        // The latest one: what there is too much of grows old.
        let ready = streams.iter().rposition(|k| k.conversation.is_ready())?;
        Some(streams.remove(ready))
    }

    /// Keeps a stream for the next request, for as long as the app keeps it.
    fn keep(&self, to: &Place, conversation: Option<Conversation>, opened: Timestamp) {
        let Some(conversation) = conversation else {
            return;
        };
        let now = self.cluster.clock().now();
        let idle = match conversation.patience() {
            Some(said) => said.saturating_sub(MARGIN),
            None => IDLE,
        };
        let until = |from: Timestamp, time| from.checked_add(time).unwrap_or(Timestamp::MIN);
        let until = until(now, idle).min(until(opened, LIFE));
        let mut kept = self.lock();
        let streams = kept.entry(to.clone()).or_default();
        if until > now && streams.len() < MOST {
            streams.push(Kept {
                conversation,
                opened,
                until,
            });
        }
    }
}

fn broken(to: &Place, reason: String) -> ForwardError {
    ForwardError::Broken {
        pod: to.pod.clone(),
        port: to.port,
        reason,
    }
}

fn timeout(to: &Place, limit: Duration) -> ForwardError {
    ForwardError::Timeout {
        pod: to.pod.clone(),
        port: to.port,
        limit,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use bytes::Bytes;
    use futures::future::BoxFuture;
    use http::{Method, Response};
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;
    use crate::{
        clock::Clock,
        sim::{
            SimCluster,
            api::{Apps, Server, Speaker},
            scenario::Scenario,
            store::{Key, Store},
        },
    };

    const LIMIT: Duration = Duration::from_secs(10);

    const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n";

    /// What an app does with a request.
    #[derive(Debug, Clone, Copy)]
    enum Does {
        /// Answers, and keeps the stream.
        Answers,
        /// The same, and says for how many seconds it keeps it.
        Keeps(u64),
        /// Answers, says that it closes, and leaves that to the client.
        SaysClose,
        /// Answers as if it kept the stream, and ends it.
        AnswersAndEnds,
        /// Ends the stream without an answer.
        Ends,
        /// Answers in half, and then nothing.
        AnswersInHalf,
        /// Answers after some seconds.
        Waits(u64),
    }

    /// An app that does what its script says, request by request, and counts.
    #[derive(Default)]
    struct Scripted {
        script: Mutex<VecDeque<Does>>,
        heard: Mutex<Vec<String>>,
        opened: AtomicUsize,
        open: AtomicUsize,
    }

    struct App(Arc<Scripted>);

    struct Open(Arc<Scripted>);

    impl Drop for Open {
        fn drop(&mut self) {
            self.0.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    impl Apps for App {
        fn answer<'a>(
            &'a self,
            _: &'a str,
            _: &'a str,
            _: u16,
            _: http::Request<Bytes>,
        ) -> BoxFuture<'a, Result<Response<Bytes>, String>> {
            unreachable!("it speaks for itself")
        }

        fn speaker(&self, _: &str, _: &str, _: u16) -> Option<Speaker> {
            let app = self.0.clone();
            app.opened.fetch_add(1, Ordering::Relaxed);
            app.open.fetch_add(1, Ordering::Relaxed);
            let open = Open(app);
            Some(Box::new(|stream| Box::pin(speak(open, stream))))
        }
    }

    async fn speak(app: Open, mut stream: DuplexStream) {
        let mut bytes = Vec::new();
        let mut buffer = [0; 1024];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            bytes.extend_from_slice(&buffer[..length]);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let Some((head, _)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let first = head.lines().next().unwrap_or_default();
            app.0.heard.lock().unwrap().push(first.to_owned());
            bytes.clear();
            let does = app.0.script.lock().unwrap().pop_front();
            let answer = match does.unwrap_or(Does::Answers) {
                Does::Answers | Does::AnswersAndEnds => format!("{FINE}\r\nok"),
                Does::Keeps(seconds) => {
                    format!("{FINE}Keep-Alive: max=9, timeout={seconds}\r\n\r\nok")
                }
                Does::SaysClose => format!("{FINE}Connection: Close\r\n\r\nok"),
                Does::Ends => return,
                Does::AnswersInHalf => format!("{FINE}\r\no"),
                Does::Waits(seconds) => {
                    tokio::time::timeout(
                        Duration::from_secs(seconds),
                        std::future::pending::<()>(),
                    )
                    .await
                    .ok();
                    format!("{FINE}\r\nok")
                }
            };
            stream.write_all(answer.as_bytes()).await.ok();
            if matches!(does, Some(Does::AnswersAndEnds)) {
                return;
            }
        }
    }

    struct Stand {
        app: Arc<Scripted>,
        streams: Streams,
        to: Place,
        clock: Clock,
    }

    impl Stand {
        fn new(script: &[Does]) -> Self {
            let clock = Clock::simulated("2026-01-05T09:00:00Z".parse().unwrap(), 1.0);
            let app = Arc::new(Scripted {
                script: Mutex::new(script.iter().copied().collect()),
                ..Scripted::default()
            });
            let server = Server::new(Store::new(clock.clone()), Arc::new(App(app.clone())));
            let pod = json!({
                "metadata": {"name": "web"},
                "spec": {"nodeName": "n1", "containers": [{"name": "a", "image": "x:1"}]},
                "status": {"phase": "Running", "podIP": "10.0.0.7"},
            });
            let key = Key::new("", "pods", "default", "web");
            server.store().create(key, pod, false).unwrap();
            let client = server.client("default");
            Self {
                app,
                streams: Streams::new(Cluster::new(client, "default", clock.clone())),
                to: place("web", "1", 8080),
                clock,
            }
        }

        /// Asks by some method, and lets everything settle.
        async fn ask(&self, method: Method) -> Result<u16, ForwardError> {
            let answer = self.streams.ask(&self.to, &request(method), LIMIT).await;
            self.pass(Duration::from_millis(50)).await;
            answer.map(|answer| answer.status)
        }

        async fn pass(&self, time: Duration) {
            self.clock.sleep(time).await;
        }

        /// Returns how many streams were opened, and how many are open.
        fn streams(&self) -> (usize, usize) {
            let read = |n: &AtomicUsize| n.load(Ordering::Relaxed);
            (read(&self.app.opened), read(&self.app.open))
        }

        fn heard(&self) -> Vec<String> {
            self.app.heard.lock().unwrap().clone()
        }
    }

    fn place(pod: &str, uid: &str, port: u16) -> Place {
        Place {
            pod: pod.to_owned(),
            uid: uid.to_owned(),
            port,
        }
    }

    fn request(method: Method) -> AppRequest {
        AppRequest {
            path: "/".to_owned(),
            headers: BTreeMap::new(),
            body: Bytes::new(),
            method,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_carries_one_request_after_another_and_ends_with_them() {
        let stand = Stand::new(&[]);
        for _ in 0..3 {
            assert_eq!(stand.ask(Method::POST).await, Ok(200));
            assert_eq!(stand.streams(), (1, 1));
        }
        let Stand {
            app,
            streams,
            clock,
            ..
        } = stand;
        drop(streams);
        clock.sleep(Duration::from_millis(50)).await;
        assert_eq!(app.open.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_asks_a_pod_alone_opens_a_stream_and_ends_it() {
        let stand = Stand::new(&[Does::Answers, Does::AnswersInHalf]);
        let cluster = &stand.streams.cluster;
        for count in 1..3 {
            let get = request(Method::GET);
            let answer = cluster.ask_pod("web", 8080, &get, LIMIT).await;
            assert_eq!(answer.is_ok(), count == 1);
            stand.pass(Duration::from_millis(50)).await;
            assert_eq!(stand.streams(), (count, 0));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_the_app_closes_is_not_used_again() {
        for does in [Does::SaysClose, Does::AnswersAndEnds] {
            let stand = Stand::new(&[does, does]);
            for count in 1..3 {
                assert_eq!(stand.ask(Method::POST).await, Ok(200));
                assert_eq!(stand.streams(), (count, 0), "{does:?}");
            }
            assert_eq!(
                stand.heard(),
                ["POST / HTTP/1.1"; 2],
                "nothing is sent twice"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_may_have_arrived_is_sent_again_only_if_that_does_no_harm() {
        let stand = Stand::new(&[Does::Answers, Does::Ends]);
        assert_eq!(stand.ask(Method::GET).await, Ok(200));
        assert_eq!(stand.ask(Method::GET).await, Ok(200));
        assert_eq!(stand.heard().len(), 3);
        assert_eq!(stand.streams(), (2, 1));

        let stand = Stand::new(&[Does::Answers, Does::Ends]);
        assert_eq!(stand.ask(Method::GET).await, Ok(200));
        let lost = stand.ask(Method::POST).await;
        assert!(matches!(lost, Err(ForwardError::Broken { .. })), "{lost:?}");
        assert_eq!(stand.heard(), ["GET / HTTP/1.1", "POST / HTTP/1.1"]);
        assert_eq!(stand.streams(), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn an_app_that_ends_every_stream_is_asked_again_once() {
        let stand = Stand::new(&[Does::Answers, Does::Ends, Does::Ends, Does::Answers]);
        assert_eq!(stand.ask(Method::GET).await, Ok(200));
        let lost = stand.ask(Method::GET).await;
        assert!(matches!(lost, Err(ForwardError::Broken { .. })), "{lost:?}");
        assert_eq!(stand.heard().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn half_an_answer_ends_with_the_requests_own_limit() {
        for before in [0, 1] {
            let mut script = vec![Does::Answers; before];
            script.push(Does::AnswersInHalf);
            let stand = Stand::new(&script);
            for _ in 0..before {
                assert_eq!(stand.ask(Method::GET).await, Ok(200));
            }
            let begun = stand.clock.now();
            let get = request(Method::GET);
            let lost = stand.streams.ask(&stand.to, &get, LIMIT).await;
            assert!(
                matches!(lost, Err(ForwardError::Timeout { .. })),
                "{lost:?}"
            );
            let spent = stand.clock.now().duration_since(begun);
            assert_eq!(spent, jiff::SignedDuration::try_from(LIMIT).unwrap());
            stand.pass(Duration::from_millis(50)).await;
            assert_eq!(stand.streams(), (1, 0));
            assert_eq!(stand.heard().len(), before + 1, "it is not asked again");
            assert_eq!(stand.ask(Method::GET).await, Ok(200));
            assert_eq!(stand.streams(), (2, 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_at_once_have_a_stream_each() {
        let stand = Stand::new(&[Does::Waits(1), Does::Waits(1)]);
        let both = futures::join!(stand.ask(Method::GET), stand.ask(Method::GET));
        assert_eq!(both, (Ok(200), Ok(200)));
        assert_eq!(stand.streams(), (2, 2));
        assert_eq!(stand.ask(Method::GET).await, Ok(200));
        assert_eq!(stand.streams(), (2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn another_pod_with_the_name_has_its_own_stream() {
        let mut stand = Stand::new(&[]);
        assert_eq!(stand.ask(Method::GET).await, Ok(200));
        for other in [place("web", "2", 8080), place("web", "1", 8081)] {
            let before = stand.streams().0;
            stand.to = other;
            assert_eq!(stand.ask(Method::GET).await, Ok(200));
            assert_eq!(stand.streams().0, before + 1);
        }
        stand.streams.only([&stand.to].into_iter());
        stand.pass(Duration::from_millis(50)).await;
        assert_eq!(stand.streams(), (3, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_given_up_before_the_app_ends_it_and_never_grows_old() {
        for (does, idle, kept) in [
            (Does::Answers, 3900, true),
            (Does::Answers, 4000, false),
            (Does::Keeps(3), 1900, true),
            (Does::Keeps(3), 2000, false),
            (Does::Keeps(20), 18_000, true),
            (Does::Keeps(1), 0, false),
            (Does::Keeps(100), 31_000, false),
        ] {
            let stand = Stand::new(&[does]);
            assert_eq!(stand.ask(Method::GET).await, Ok(200));
            stand.pass(Duration::from_millis(idle)).await;
            assert_eq!(stand.ask(Method::GET).await, Ok(200));
            let opened = if kept { 1 } else { 2 };
            assert_eq!(stand.streams(), (opened, 1), "{does:?} after {idle} ms");
        }
        let stand = Stand::new(&[]);
        for _ in 0..40 {
            assert_eq!(stand.ask(Method::GET).await, Ok(200));
            stand.pass(Duration::from_secs(1)).await;
        }
        assert_eq!(stand.streams(), (2, 1));
    }

    /// A pod of stable in a simulated cluster, and streams to it.
    fn simulated() -> (SimCluster, Streams, Place, Clock) {
        let clock = Clock::simulated("2026-01-05T09:00:00Z".parse().unwrap(), 1.0);
        let scenario = Scenario::builtin("healthy").unwrap();
        let sim = SimCluster::start(scenario, None, clock.clone()).unwrap();
        let cluster = Cluster::new(
            sim.client("canary-release"),
            "canary-release",
            clock.clone(),
        );
        let (pods, _) = sim.world().store().list("", "pods", "canary-release");
        let meta = &pods[0]["metadata"];
        let text = |field: &str| meta[field].as_str().unwrap();
        let to = place(text("name"), text("uid"), 3000);
        (sim, Streams::new(cluster), to, clock)
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_dies_between_two_requests_does_not_answer() {
        let (sim, streams, to, clock) = simulated();
        let health = AppRequest {
            path: "/health".to_owned(),
            ..request(Method::GET)
        };
        let answer = streams.ask(&to, &health, LIMIT).await;
        assert_eq!(answer.unwrap().status, 200);
        let key = Key::new("", "pods", "canary-release", &to.pod);
        sim.world().store().delete(&key, false).unwrap();
        clock.sleep(Duration::from_secs(1)).await;
        let gone = streams.ask(&to, &health, LIMIT).await;
        assert!(
            matches!(gone, Err(ForwardError::Refused { .. })),
            "{gone:?}"
        );
    }
}
