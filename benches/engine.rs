//! CPU of a whole release of 30 simulated minutes, next to the same simulated cluster without one.
//!
//! Prints milliseconds of CPU; the difference is the engine's own work with its client, journal and
//! checks. Run it with `cargo bench --bench engine`.

use std::{sync::Arc, time::Duration};

use canaryctl::{
    cli::{self, Environment, Signals, Terminal},
    clock::Clock,
    sim::{SimCluster, scenario::Scenario},
};
use tokio::sync::mpsc;

/// Rounds of each kind; the least is printed, as the one least disturbed.
const ROUNDS: usize = 5;

/// Steps whose holds add up to about 30 minutes with the moves between them.
const HOLD: &str = "6m30s";

fn main() {
    let release = least(|| in_virtual_time(release()));
    let idle = least(|| in_virtual_time(idle()));
    let pods_only = least(|| in_virtual_time(pods_only()));
    report("simulated cluster alone, 30 simulated minutes", idle);
    report("the same with a release, pods checked", pods_only);
    report(
        "the same with a release, pods, 2 HTTP checks and 10 requests/s of load",
        release,
    );
    report(
        "engine, pods checked (goal: < 50 ms)",
        pods_only.saturating_sub(idle),
    );
    report(
        "engine, everything (the HTTP is spoken by both sides here)",
        release.saturating_sub(idle),
    );
}

fn in_virtual_time<F: Future<Output = ()>>(work: F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(work);
}

async fn release() {
    auto(&[]).await;
}

async fn pods_only() {
    let folder = tempfile();
    std::fs::write(
        &folder,
        "app: payment-api\nnamespace: canary-release\nsteps: [10, 25, 50, 100]\n",
    )
    .expect("a file");
    auto(&["-f", folder.to_str().expect("a path")]).await;
    drop(std::fs::remove_file(folder));
}

fn tempfile() -> std::path::PathBuf {
    std::env::temp_dir().join(format!("canaryctl-bench-{}.yaml", std::process::id()))
}

async fn auto(more: &[&str]) {
    let mut args = vec![
        "canaryctl",
        "auto",
        "payment-api",
        "--sandbox",
        "--speed",
        "1",
        "--hold",
        HOLD,
    ];
    args.extend(more);
    let args = args.into_iter().map(Into::into).collect();
    let sink = || Box::new(std::io::sink());
    let terminal = Terminal::of(sink(), sink(), (false, false), 80, None);
    let (_keep, signals) = mpsc::unbounded_channel();
    let code = cli::run(
        args,
        Environment::default(),
        terminal,
        Signals::from_channel(signals),
    )
    .await;
    assert_eq!(code.number(), 0, "the release was not promoted");
}

async fn idle() {
    let clock = Clock::simulated(Clock::System.now(), 1.0);
    let scenario = Scenario::builtin("healthy").expect("a scenario");
    let sim = SimCluster::start(scenario, None, clock.clone()).expect("a cluster");
    let sim = Arc::new(sim);
    clock.sleep(Duration::from_secs(30 * 60)).await;
    drop(sim);
}

fn least(work: impl Fn()) -> Duration {
    let cost = || {
        let before = cpu();
        work();
        cpu().saturating_sub(before)
    };
    (0..ROUNDS).map(|_| cost()).min().unwrap_or_default()
}

/// CPU time of this process, from the kernel's scheduler.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").expect("Linux");
    let nanos = text.split_whitespace().next().and_then(|n| n.parse().ok());
    Duration::from_nanos(nanos.expect("a number"))
}

#[expect(clippy::print_stdout, reason = "a benchmark prints")]
fn report(what: &str, cpu: Duration) {
    println!("{:8.1} ms CPU  {what}", cpu.as_secs_f64() * 1000.0);
}
