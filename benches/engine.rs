//! CPU of a whole release of 30 simulated minutes, told apart from the simulated cluster's.
//!
//! Client and cluster share a thread here; the cluster counts its own time, and the rest is the
//! product's: command line, engine, client, HTTP, journal, checks, load. What the same minutes cost
//! the runtime and its clock without a release is measured in the same run, printed first, and taken
//! off the rest. `cargo bench --profile release --bench engine` prints milliseconds of what is shipped;
//! a word after `--` runs only the releases that have it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use canaryctl::{
    cli::{self, Environment, Signals, Terminal},
    clock::Clock,
    sim::{Machine, SimCluster, scenario::Scenario},
};
use tokio::sync::mpsc;

/// Rounds of each kind; the least is printed, as the one least disturbed.
const ROUNDS: usize = 5;

/// Steps whose holds add up to about 30 minutes with the moves between them.
const HOLD: &str = "6m30s";

/// Only the pods are checked.
const PODS: &str = "app: payment-api\nnamespace: canary-release\nsteps: [10, 25, 50, 100]\n";

/// What a run cost.
#[derive(Clone, Copy)]
struct Cost {
    cluster: Duration,
    product: Duration,
}

fn main() {
    let only = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let alone = least(|| in_virtual_time(idle));
    report(
        "30 simulated minutes without a release",
        "the runtime",
        alone,
    );
    let line = |what: &str, work: &dyn Fn() -> Duration| {
        if only.as_deref().is_none_or(|only| what.contains(only)) {
            let cost = least(work);
            let product = cost.product.saturating_sub(alone.product);
            report(what, "canaryctl", Cost { product, ..cost });
        }
    };
    line(
        "a release, pods checked every 10 s (goal: < 50 ms)",
        &|| in_virtual_time(|sim| auto(sim, Some(PODS))),
    );
    line(
        "a release, pods, 2 HTTP checks, 10 requests/s of load",
        &|| in_virtual_time(|sim| auto(sim, None)),
    );
}

/// Runs some work on a cluster of its own, in virtual time.
fn in_virtual_time<F: Future<Output = ()>>(work: impl Fn(Arc<SimCluster>) -> F) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let start = Instant::now();
        let clock = Clock::simulated(Clock::System.now(), 1.0);
        let scenario = Scenario::builtin("healthy").expect("a scenario");
        let sim = Arc::new(SimCluster::start(scenario, None, clock).expect("a cluster"));
        let started = start.elapsed();
        work(sim.clone()).await;
        started + sim.world().store().meter().spent()
    })
}

async fn idle(sim: Arc<SimCluster>) {
    let clock = sim.world().store().clock().clone();
    clock.sleep(Duration::from_secs(30 * 60)).await;
}

async fn auto(sim: Arc<SimCluster>, config: Option<&str>) {
    let path = std::env::temp_dir().join(format!("canaryctl-bench-{}.yaml", std::process::id()));
    let example = include_str!("../examples/payment-api/canary.yaml");
    std::fs::write(&path, config.unwrap_or(example)).expect("a file");
    let file = path.to_str().expect("a path");
    let line = [
        "canaryctl",
        "auto",
        "payment-api",
        "--hold",
        HOLD,
        "-f",
        file,
    ];
    let args = line.into_iter().map(Into::into).collect();
    let sink = || Box::new(std::io::sink());
    let terminal = Terminal::of(sink(), sink(), (false, false), 80, None);
    let (_keep, signals) = mpsc::unbounded_channel();
    let signals = Signals::from_channel(signals);
    let environment = Environment::default();
    let code = cli::run_on(
        Some(Machine::beside(sim)),
        args,
        environment,
        terminal,
        signals,
    )
    .await;
    assert_eq!(code.number(), 0, "the release was not promoted");
    drop(std::fs::remove_file(path));
}

/// Returns the least cost of some rounds; `work` returns what the cluster spent.
fn least(work: impl Fn() -> Duration) -> Cost {
    let cost = || {
        let (start, cpu) = (Instant::now(), cpu());
        let cluster = work();
        let (wall, cpu) = (start.elapsed(), self::cpu().saturating_sub(cpu));
        // The cluster counts wall time; where the machine is shared, its share of the CPU is the same.
        let busy = cpu.as_secs_f64() / wall.as_secs_f64().max(f64::MIN_POSITIVE);
        let cluster = cluster.mul_f64(busy.min(1.0));
        Cost {
            cluster,
            product: cpu.saturating_sub(cluster),
        }
    };
    let rounds = (0..ROUNDS).map(|_| cost());
    rounds.min_by_key(|c| c.product).expect("a round")
}

/// CPU time of this process, from the kernel's scheduler.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").expect("Linux");
    let nanos = text.split_whitespace().next().and_then(|n| n.parse().ok());
    Duration::from_nanos(nanos.expect("a number"))
}

#[expect(clippy::print_stdout, reason = "a benchmark prints")]
fn report(what: &str, who: &str, cost: Cost) {
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let (product, cluster) = (ms(cost.product), ms(cost.cluster));
    println!("{product:8.1} ms {who:<11} {cluster:8.1} ms simulated cluster  {what}");
}
