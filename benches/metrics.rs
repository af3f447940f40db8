//! What judging by metrics costs: one evaluation of eight checks, and a scrape of 1,000 pods.
//!
//! `cargo bench --bench metrics` prints both beside their goals. The evaluation is CPU alone, without any
//! request. The scrape goes over TCP on loopback to a simulated API server in the same process; beside it
//! the same pages are fetched and thrown away, so that what reading them costs is told apart.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use canaryctl::{
    analysis::meter::Totals,
    clock::Clock,
    cluster::{Cluster, forward::AppRequest, workloads::Sides},
    domain::{
        braking::{Braking, Stage},
        check::{CheckSpec, Memory, Reading, Sample},
        judge::{Circumstances, judge_all},
        meters::{Counting, Meters, Moment, Witness},
        plan::MetricsSpec,
        workload::{Track, Tracks},
    },
    health::{self, Facts, Look},
    sim::{SimCluster, scenario::Scenario},
};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

/// Looks whose mean is printed.
const LOOKS: u32 = 2000;

/// Pods that are scraped.
const PODS: u32 = 1000;

/// Scrapes of which the quickest is printed.
const ROUNDS: usize = 5;

fn main() {
    evaluation();
    let (send, receive) = mpsc::channel();
    // The cluster has a thread of its own, as a real one has machines of its own.
    drop(thread::spawn(move || runtime().block_on(serve(&send))));
    let address = receive.recv().expect("an address");
    runtime().block_on(scrape(address));
}

fn runtime() -> Runtime {
    let builder = Builder::new_current_thread().enable_all().build();
    builder.expect("a runtime")
}

// === eight checks ===

/// Bounds of the histograms, as client libraries have them.
const BOUNDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

fn check(kind: &str, options: &Value) -> CheckSpec {
    let probe = health::probe(kind).expect("a check");
    let mut options = <dyn erased_serde::Deserializer<'_>>::erase(options);
    probe.check(&mut options).expect("its options")
}

fn eight_checks() -> Vec<CheckSpec> {
    let mut checks = health::requests::default_checks();
    let by_threshold = json!({
        "name": "errors, counted", "max": "1%", "mode": {"threshold": {"interval": "30s"}},
    });
    checks.extend([
        check("latency", &json!({"quantile": 0.5, "maxRatio": 1.2})),
        check("traffic", &json!({})),
        check("errorRate", &by_threshold),
        check("value", &json!({"name": "a", "query": "q", "max": 5})),
        check("value", &json!({"name": "b", "query": "q", "maxRatio": 2})),
    ]);
    checks
}

/// Counters of one pod after so many seconds at 20 requests per second.
fn pod(name: String, seconds: f64) -> Reading {
    let all = 20.0 * seconds;
    let quick = |bound: f64| (all * (1.0 - (-bound / 0.08).exp())).floor();
    let bounds = BOUNDS.iter().map(|bound| (*bound, quick(*bound)));
    Reading {
        subject: name,
        sample: Sample::Totals {
            totals: Totals {
                all: Some(all),
                bad: Some((all * 0.003).floor()),
                buckets: bounds.chain([(f64::INFINITY, all)]).collect(),
            },
            born: false,
        },
    }
}

fn side(track: &str, seconds: f64) -> Vec<Reading> {
    let name = |n: u32| format!("payment-api-{track}-5d8f7c9b6d-{n:05}");
    (0..10).map(|n| pod(name(n), seconds)).collect()
}

fn evaluation() {
    let checks = eight_checks();
    let number = |canary, stable| {
        vec![Reading {
            subject: "payment-api-canary".to_owned(),
            sample: Sample::Numbers {
                canary,
                stable: Some(stable),
            },
        }]
    };
    let looked: Vec<(CheckSpec, Vec<Reading>)> = checks
        .into_iter()
        .map(|check| {
            let readings = if check.rule.counts() {
                Vec::new()
            } else {
                number(1.5, 1.2)
            };
            (check, readings)
        })
        .collect();
    let (mut meters, mut memories) = (Meters::default(), BTreeMap::<String, Memory>::new());
    let mut braking = Braking::default();
    let started = Clock::System.now();
    let mut spent = Duration::ZERO;
    for look in 1..=LOOKS {
        let seconds = f64::from(look) * 10.0;
        let now = started + Duration::from_secs_f64(seconds);
        let seen = Counting {
            canary: side("canary", seconds),
            stable: side("stable", seconds),
            asked: String::new(),
            witness: Witness::Source,
        };
        let circumstances = Circumstances {
            steps: 5,
            moving: false,
            steady: true,
            now,
            started,
            step: 2,
            later: true,
            // As it costs most: the evidence of the brake is kept, too.
            brake: Some(Stage::Ordinary),
            weight: 0.5,
            next: Some(0.75),
            elapsed: seconds,
            lag: 0.0,
            patience: 600.0,
            warming: 0.0,
            witness: Witness::Source,
            load: None,
        };
        let moment = Moment {
            now,
            started,
            weight: 0.5,
            lag: 0.0,
        };
        let start = Instant::now();
        let counted = meters.count(&seen, moment);
        let name = |check: &CheckSpec| check.name.clone();
        let results = judge_all(
            &looked,
            Some(&counted),
            (&mut memories, &mut braking),
            &name,
            circumstances,
        );
        spent += start.elapsed();
        assert_eq!(results.len(), 8);
    }
    let each = spent.as_secs_f64() * 1e6 / f64::from(LOOKS);
    say(&format!(
        "{each:8.0} us  one evaluation of 8 checks, 10 pods on both sides (goal: < 1000 us)"
    ));
}

// === a thousand pods ===

/// Serves a cluster for ever; its address goes to `told`.
async fn serve(told: &mpsc::Sender<SocketAddr>) {
    let mut scenario = Scenario::builtin("metrics").expect("a scenario");
    scenario.traffic.rate = 500.0;
    let mut objects = scenario.objects().expect("its objects");
    for object in &mut objects {
        if object["metadata"]["name"] == "payment-api-stable" && object["kind"] == "Deployment" {
            object["spec"]["replicas"] = json!(PODS);
        }
    }
    let clock = Clock::simulated(Clock::System.now(), 1.0);
    let sim = SimCluster::start(scenario, Some(objects), clock).expect("a cluster");
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)));
    let listener = listener.await.expect("a port");
    let address = listener.local_addr().expect("an address");
    told.send(address).expect("somebody who waits for it");
    drop(sim.server().serve(listener).await);
}

fn connect(address: SocketAddr) -> Cluster {
    let url = format!("http://{address}").parse().expect("a URL");
    let mut config = kube::Config::new(url);
    "canary-release".clone_into(&mut config.default_namespace);
    let client = kube::Client::try_from(config).expect("a client");
    Cluster::new(client, "canary-release", Clock::System)
}

async fn sides(cluster: &Cluster) -> Sides {
    loop {
        let labels = BTreeMap::from([("app".to_owned(), "payment-api".to_owned())]);
        let (stable, canary) = ("payment-api-stable", "payment-api-canary");
        let before = Sides::default();
        let sides = cluster.sides(stable, canary, &labels, &before).await;
        let sides = sides.expect("the Deployments");
        let workload = sides.workload(Track::Stable, &Tracks::default());
        if workload.is_some_and(|stable| stable.ready >= PODS) {
            return sides;
        }
        cluster.clock().sleep(Duration::from_millis(500)).await;
    }
}

async fn scrape(address: SocketAddr) {
    let cluster = connect(address);
    let sides = sides(&cluster).await;
    let workload = sides.workload(Track::Stable, &Tracks::default());
    let workload = workload.expect("stable");
    let look = Look {
        workload: &workload,
        pods: &sides.pods,
        service: None,
        started: Clock::System.now(),
        at: Clock::System.now(),
        facts: Facts {
            app: "payment-api",
            stable: "payment-api-stable",
            canary: "payment-api-canary",
            service: None,
            track: Track::Stable,
            weight: None,
        },
    };
    let metrics = MetricsSpec {
        name: "scrape".to_owned(),
        options: json!({}),
    };
    let source = health::source::bind(&metrics, &cluster).expect("a source");
    let mut quickest = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let readings = source.count(&look, true).await;
        quickest = quickest.min(start.elapsed());
        let counted = |reading: &&Reading| matches!(reading.sample, Sample::Totals { .. });
        let counted = readings.iter().filter(counted).count();
        assert_eq!(counted, PODS as usize, "{:?}", readings.first());
    }
    let mut bare = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        fetch(&cluster, &look).await;
        bare = bare.min(start.elapsed());
    }
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    say(&format!(
        "{:8.0} ms  {PODS} pods scraped over loopback, the simulated server included (goal: < 2000 ms)",
        ms(quickest)
    ));
    say(&format!(
        "{:8.0} ms  the same pages fetched and thrown away",
        ms(bare)
    ));
}

async fn fetch(cluster: &Cluster, look: &Look<'_>) {
    let request = AppRequest {
        method: http::Method::GET,
        path: "/prometheus-metrics".to_owned(),
        headers: BTreeMap::new(),
        body: bytes::Bytes::new(),
    };
    let names = look.workload.pods.iter().map(|pod| pod.name.clone());
    let answers = names.map(|name| {
        let (cluster, request) = (cluster, &request);
        async move {
            let limit = Duration::from_secs(5);
            let answer = cluster.ask_pod(&name, 3000, request, limit).await;
            assert_eq!(answer.expect("an answer").status, 200);
        }
    });
    let answers: Vec<_> = answers.map(futures::FutureExt::boxed).collect();
    stream::iter(answers)
        .buffer_unordered(64)
        .collect::<()>()
        .await;
}

#[expect(clippy::print_stdout, reason = "a benchmark prints")]
fn say(line: &str) {
    println!("{line}");
}
