//! The apps in the pods: what they answer over HTTP.
//!
//! Owns: the endpoints of the payment API. Must not: know how a request reached the pod.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    State, World,
    answer::Answer,
    behaviour,
    counters::{BOUNDS, Counters},
    kubelet,
    pass::age,
    pod::{Identity, Pod, Program},
};
use crate::sim::{
    api::{Listener, PodUsage},
    scenario::{Metrics, Version},
};

/// How long Prometheus keeps an idle connection, unless configured.
const PROMETHEUS_PATIENCE: Duration = Duration::from_secs(300);

/// All apps of the cluster: cheap to clone.
#[derive(Clone)]
pub struct Apps {
    world: World,
}

impl Apps {
    pub(super) fn new(world: World) -> Self {
        Self { world }
    }

    /// Returns what metrics-server knows the pods use.
    pub fn usage(&self) -> Vec<PodUsage> {
        self.world.lock().usage.known()
    }

    /// Returns who listens on a port of a pod.
    pub fn listener(&self, namespace: &str, pod: &str, port: u16) -> Option<Listener> {
        self.world.lock().listener(namespace, pod, port)
    }

    /// Sends a request to a port of a pod; the error is that of the connection.
    pub fn answer<'a>(
        &'a self,
        namespace: &'a str,
        pod: &'a str,
        port: u16,
        request: Request<Bytes>,
    ) -> BoxFuture<'a, Result<Response<Bytes>, String>> {
        async move {
            let now = self.world.store.clock().now();
            let answer = self
                .world
                .lock()
                .ask(namespace, pod, port, (&request, now))?;
            if !answer.wait.is_zero() {
                self.world.store.clock().sleep(answer.wait).await;
            }
            answer.response()
        }
        .boxed()
    }
}

impl State {
    /// Returns the process that listens on a port of a pod.
    fn listener(&self, namespace: &str, name: &str, port: u16) -> Option<Listener> {
        let name = (namespace.to_owned(), name.to_owned());
        let pod = self.kubelet.pods.get(&name)?;
        let since = pod.app()?.running_since()?;
        let mut process = DefaultHasher::new();
        (&pod.uid, since).hash(&mut process);
        let listener = Listener {
            process: process.finish(),
            ..Listener::default()
        };
        pod.ports.contains(&port).then_some(match pod.program {
            Program::PaymentApi => listener,
            Program::Prometheus => Listener {
                patience: PROMETHEUS_PATIENCE,
                ..listener
            },
        })
    }

    /// Lets a program in a pod answer a request; the error is that of the connection.
    pub(super) fn ask(
        &mut self,
        namespace: &str,
        name: &str,
        port: u16,
        (request, now): (&Request<Bytes>, Timestamp),
    ) -> Result<Answer, String> {
        let name = (namespace.to_owned(), name.to_owned());
        let version = self.kubelet.pods.get(&name).and_then(|p| p.version);
        let share = self.traffic.share_of(&self.kubelet, version);
        let version = kubelet::behaviour(&self.scenario, version);
        let Some(pod) = self.kubelet.pods.get_mut(&name) else {
            return Err(format!("pod {namespace}/{} does not run", name.1));
        };
        if pod.unreachable {
            return Err("i/o timeout".to_owned());
        }
        let since = pod
            .app()
            .and_then(super::container::Container::running_since);
        let Some(since) = since.filter(|_| pod.ports.contains(&port)) else {
            return Err("connection refused".to_owned());
        };
        let lived = age(now, since);
        if lived < version.start_delay.0 {
            return Err("connection refused".to_owned());
        }
        if version.hang_after.is_some_and(|hang| lived >= hang.0) {
            return Err("i/o timeout".to_owned());
        }
        if pod.program == Program::Prometheus {
            return self.prometheus.answer(&name, request, now);
        }
        let chance = behaviour::error_rate(version, &pod.uid, lived, share);
        let mut app = App {
            version,
            pod,
            now,
            lived,
            chance,
            rng: &mut self.rng,
        };
        Ok(app.route(request))
    }
}

/// The app of one pod while it answers one request.
struct App<'a> {
    version: &'a Version,
    pod: &'a mut Pod,
    now: Timestamp,
    lived: Duration,
    chance: f64,
    rng: &'a mut fastrand::Rng,
}

impl App<'_> {
    fn route(&mut self, request: &Request<Bytes>) -> Answer {
        let path = request.uri().path();
        match (request.method(), path) {
            (&Method::GET, "/health") => self.health(),
            (&Method::GET, "/ready") => self.ready(),
            (&Method::GET, "/") => Answer::json(StatusCode::OK, &self.about()),
            (&Method::GET, "/metrics") => self.metrics(),
            (&Method::GET, "/prometheus-metrics") => self.prometheus(),
            (&Method::GET, "/api/analytics") => Answer::json(StatusCode::OK, &self.analytics()),
            (&Method::POST, "/api/payments") => self.pay(request.body()),
            (method, path) => Answer::not_found(method, path),
        }
    }

    fn stamp(&self) -> String {
        self.now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
    }

    /// Puts the names every answer of the app carries into a body.
    fn signed(&self, mut body: Value) -> Value {
        let Identity { version, track, .. } = &self.pod.identity;
        body["version"] = json!(version);
        body["track"] = json!(track);
        body
    }

    fn health(&self) -> Answer {
        if let Some(body) = &self.version.health {
            return Answer::text("application/json; charset=utf-8", body.clone());
        }
        let counters = &self.pod.counters;
        let body = self.signed(json!({
            "status": "healthy",
            "timestamp": self.stamp(),
            "uptime": millis(self.lived),
            "metrics": {
                "totalTransactions": counters.total,
                "successRate": percent(counters.successful, counters.total),
                "fraudDetectionRate": percent(counters.fraud, counters.total),
            },
        }));
        Answer::json(StatusCode::OK, &body)
    }

    fn ready(&self) -> Answer {
        let ready = self.pod.app().is_some_and(|c| c.ready)
            || self.version.ready == crate::sim::scenario::Readiness::Passes;
        let (status, word) = if ready {
            (StatusCode::OK, "ready")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready")
        };
        let body = self.signed(json!({"status": word, "timestamp": self.stamp()}));
        Answer::json(status, &body)
    }

    fn about(&self) -> Value {
        self.signed(json!({
            "service": "Payment API",
            "environment": self.pod.identity.environment,
            "timestamp": self.stamp(),
        }))
    }

    fn analytics(&self) -> Value {
        let counters = &self.pod.counters;
        self.signed(json!({
            "fraudPrevention": {"totalBlocked": counters.fraud},
            "performance": {
                "avgResponseTime": format!("{}ms", counters.average),
                "successRate": percent(counters.successful, counters.total),
            },
        }))
    }

    fn metrics(&self) -> Answer {
        let kind = "application/json; charset=utf-8";
        match self.version.metrics {
            Metrics::Json => Answer::json(StatusCode::OK, &self.counted()),
            Metrics::Prometheus => self.prometheus(),
            Metrics::Missing => Answer::not_found(&Method::GET, "/metrics"),
            Metrics::Null => Answer::text(kind, "null"),
            Metrics::Nan => Answer::text(
                kind,
                "{\"totalTransactions\":NaN,\"successfulTransactions\":NaN,\"failedTransactions\":NaN,\"fraudDetected\":NaN,\"avgResponseTime\":NaN}",
            ),
            Metrics::Empty => Answer::text(kind, ""),
        }
    }

    fn counted(&self) -> Value {
        let Counters {
            total,
            successful,
            failed,
            fraud,
            average,
            ..
        } = &self.pod.counters;
        // The app's "uptime" is the moment it started, in milliseconds.
        let started = self.now.as_millisecond() - i64::try_from(millis(self.lived)).unwrap_or(0);
        self.signed(json!({
            "totalTransactions": total,
            "successfulTransactions": successful,
            "failedTransactions": failed,
            "fraudDetected": fraud,
            "avgResponseTime": average,
            "uptime": started,
            "timestamp": self.stamp(),
        }))
    }

    fn prometheus(&self) -> Answer {
        use std::fmt::Write as _;
        let Identity { version, track, .. } = &self.pod.identity;
        let labels = format!("version=\"{version}\",track=\"{track}\"");
        let counters = &self.pod.counters;
        let mut out = String::from("# TYPE http_requests_total counter\n");
        let rows = [
            ("200", counters.successful),
            ("403", counters.fraud),
            ("500", counters.failed),
        ];
        for (status, count) in rows {
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "http_requests_total{{{labels},status=\"{status}\"}} {count}"
            );
        }
        out.push_str("# TYPE http_request_duration_seconds histogram\n");
        let mut sum = 0;
        for (i, count) in counters.buckets.iter().enumerate() {
            sum += count;
            let bound = BOUNDS.get(i).map_or("+Inf".to_owned(), ToString::to_string);
            let _ = writeln!(
                out,
                "http_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {sum}"
            );
        }
        let _ = writeln!(
            out,
            "http_request_duration_seconds_sum{{{labels}}} {}",
            counters.seconds
        );
        let _ = writeln!(out, "http_request_duration_seconds_count{{{labels}}} {sum}");
        Answer::text("text/plain; version=0.0.4; charset=utf-8", out)
    }

    fn pay(&mut self, body: &Bytes) -> Answer {
        self.pod.counters.total += 1;
        let payment: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let given = |field: &str| match &payment[field] {
            Value::Null | Value::Bool(false) => false,
            Value::Number(n) => n.as_f64() != Some(0.0),
            Value::String(s) => !s.is_empty(),
            Value::Bool(true) | Value::Array(_) | Value::Object(_) => true,
        };
        if !["amount", "merchant", "cardNumber"].into_iter().all(given) {
            self.pod.counters.failed += 1;
            let body = self.signed(json!({"error": "Invalid transaction data"}));
            return Answer::json(StatusCode::BAD_REQUEST, &body);
        }
        if self.rng.f64() < self.version.fraud.0 {
            self.pod.counters.fraud += 1;
            let score = 0.7 + 0.3 * self.rng.f64();
            let body = self.signed(json!({
                "error": "Transaction blocked - fraud detected",
                "riskScore": score,
                "riskFactors": [],
            }));
            return Answer::json(StatusCode::FORBIDDEN, &body);
        }
        let wait = behaviour::latency(self.rng, self.version, self.lived, self.pod.warm);
        if self.rng.f64() < self.chance {
            self.pod.counters.failed += 1;
            let body = self.signed(json!({"error": "Payment processing failed"}));
            return Answer {
                wait,
                ..Answer::json(StatusCode::INTERNAL_SERVER_ERROR, &body)
            };
        }
        self.pod.counters.successful += 1;
        self.pod.counters.observe(wait, 1);
        let (high, low) = (self.rng.u64(..), self.rng.u64(..));
        let risk = 0.3 * self.rng.f64();
        let id = format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            low >> 52,
            low & 0xffff_ffff_ffff
        );
        let body = self.signed(json!({
            "transactionId": id,
            "status": "approved",
            "amount": payment["amount"],
            "merchant": payment["merchant"],
            "processedAt": self.stamp(),
            "fraudCheck": {"riskScore": risk},
            "responseTime": format!("{}ms", millis(wait)),
        }));
        Answer {
            wait,
            ..Answer::json(StatusCode::OK, &body)
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Returns a share as the app writes it: `96.12%`, and `0%` of nothing.
fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0%".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let share = 100.0 * part as f64 / whole as f64;
    format!("{share:.2}%")
}
