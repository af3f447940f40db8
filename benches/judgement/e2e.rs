//! Whole releases by the whole program, in virtual time: simulated cluster, Prometheus, engine, command line.
//!
//! Owns: the scenarios and what they come to. Must not: know what is inside; it reads exit codes and what is printed.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use canaryctl::{
    cli::{Environment, Signals, Terminal, run_on},
    clock::Clock,
    sim::{Machine, SimCluster, scenario::Scenario},
};
use tokio::sync::mpsc;

use crate::table::{heading, number, percent, quantile, row};

const NOW: &str = "2026-01-05T09:00:00Z";

/// The default plan of 25 minutes and the checks by default, by Prometheus.
const PLAN: &str = "
app: payment-api
namespace: canary-release
router: replicas
steps: [10%, 25%, 50%, 75%, 100%]
hold: 5m
metrics: {prometheus: {url: 'http://prometheus.monitoring:9090'}}
";

/// Text that was printed.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Printed {
    fn text(&self) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&all).into_owned()
    }
}

/// How a release ended: the exit code, and seconds from its first line to its last.
struct Ended {
    code: u8,
    seconds: f64,
}

/// A world: requests per second, errors of stable and of the canary, seconds between two scrapes, and the exit code
/// that is right.
const WORLDS: [(f64, &str, &str, u32, u8); 6] = [
    (50.0, "0.05%", "0.05%", 15, 0),
    (50.0, "0.2%", "0.2%", 15, 0),
    (50.0, "0.7%", "0.7%", 15, 0),
    (50.0, "0.2%", "0.2%", 30, 0),
    (5.0, "0.2%", "0.2%", 15, 0),
    (50.0, "0.7%", "10%", 15, 3),
];

fn scenario(world: (f64, &str, &str, u32, u8), seed: u64) -> String {
    let (rate, stable, canary, every, _) = world;
    format!(
        "description: for a benchmark
seed: {seed}
base: monitored-payment-api
traffic: {{service: canary-release/payment-api-service, rate: {rate}}}
versions:
  - {{match: {{image: 'payment-api:1.5.'}}, errors: {{base: {stable}}}, latency: {{p50: 90ms, p99: 350ms}}}}
  - {{match: {{image: payment-api}}, errors: {{base: {canary}}}, latency: {{p50: 90ms, p99: 350ms}}}}
prometheus: {{every: {every}s}}
"
    )
}

/// Runs one release until the program ends.
fn release(scenario: &str, plan: &Path) -> Ended {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let clock = Clock::simulated(NOW.parse().expect("a moment"), 1.0);
        let scenario: Scenario = Scenario::parse(scenario).expect("a scenario");
        let sim = SimCluster::start(scenario, None, clock.clone()).expect("a cluster");
        clock.sleep(Duration::from_secs(120)).await;
        let before = clock.now();
        let err = Printed::default();
        let terminal = Terminal::of(
            Box::new(io::sink()),
            Box::new(err.clone()),
            (false, false),
            100,
            None,
        );
        let variables = [
            ("CANARYCTL_NOW", NOW),
            ("USER", "bench"),
            ("HOSTNAME", "bench"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (sender, signals) = mpsc::unbounded_channel();
        let plan = plan.display().to_string();
        let line = ["canaryctl", "auto", "-f", &plan, "--yes"];
        let code = run_on(
            Some(Machine::beside(Arc::new(sim))),
            line.map(Into::into).to_vec(),
            Environment::of(variables.to_vec()),
            terminal,
            Signals::from_channel(signals),
        )
        .await;
        drop(sender);
        let code = code.number();
        assert!(code != 2, "{}", err.text());
        Ended {
            code,
            seconds: clock.now().duration_since(before).as_secs_f64(),
        }
    })
}

/// Prints how many releases end as they should, and when.
pub fn print(times: u64) {
    heading(
        &format!(
            "e2e. The whole program in virtual time, by pods and a simulated Prometheus ({times} each)"
        ),
        &[
            "world",
            "right",
            "promoted",
            "rolled back",
            "p50 s",
            "p95 s",
        ],
    );
    let plan = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e-canary.yaml");
    fs::write(&plan, PLAN).expect("a file");
    for world in WORLDS {
        let (rate, stable, canary, every, right) = world;
        let ended = (0..times).map(|seed| release(&scenario(world, seed), &plan));
        let ended: Vec<Ended> = ended.collect();
        let share =
            |code: u8| ended.iter().filter(|e| e.code == code).count() as f64 / ended.len() as f64;
        let mut seconds: Vec<f64> = ended.iter().map(|e| e.seconds).collect();
        row(&[
            format!("{stable} → {canary} errors, {rate} rps, scraped every {every} s"),
            percent(share(right)),
            percent(share(0)),
            percent(share(3)),
            number(quantile(&mut seconds, 0.5)),
            number(quantile(&mut seconds, 0.95)),
        ]);
    }
}
