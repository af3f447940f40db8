//! What metrics-server knows of CPU and memory.

use super::*;
use crate::sim::api::PodUsage;

fn used(bench: &Bench, deployment: &str) -> Vec<PodUsage> {
    let mut usage = bench.world.apps().usage();
    usage.retain(|u| u.pod.starts_with(&format!("{deployment}-")));
    usage
}

fn mebibytes(usage: &PodUsage) -> u64 {
    usage.containers[0].memory >> 20
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_known_some_seconds_after_its_start() {
    let bench = Bench::builtin("healthy");
    assert_eq!(used(&bench, "payment-api-canary").len(), 1);
    // Rounds are at 15 s, 30 s, …; the new pod starts in the 4th second.
    bench.wait(2).await;
    bench.scale("payment-api-canary", 2);
    bench.wait(12).await;
    assert_eq!(used(&bench, "payment-api-canary").len(), 1);
    bench.wait(2).await;
    // It is young, but old enough to be compared with its start.
    let usage = used(&bench, "payment-api-canary");
    assert_eq!(usage.len(), 2, "{usage:?}");
    let mut windows: Vec<u64> = usage.iter().map(|u| u.window.as_secs()).collect();
    windows.sort_unstable();
    assert!(
        (10..15).contains(&windows[0]) && windows[1] == 15,
        "{windows:?}"
    );
    // One that is too young at a round waits for the next.
    bench.wait(10).await;
    bench.scale("payment-api-canary", 3);
    bench.wait(17).await;
    assert_eq!(used(&bench, "payment-api-canary").len(), 2);
    bench.wait(3).await;
    assert_eq!(used(&bench, "payment-api-canary").len(), 3);
    bench.scale("payment-api-canary", 0);
    bench.wait(20).await;
    assert!(used(&bench, "payment-api-canary").is_empty());
}

#[tokio::test(start_paused = true)]
async fn cpu_is_that_of_the_requests() {
    let text = "metrics_server: true\ntraffic: {rate: 100, cpu_per_request: 20, service: canary-release/payment-api-service}";
    let bench = Bench::with(text);
    assert_eq!(
        used(&bench, "payment-api-stable")[0].containers[0].cpu,
        5_000_000
    );
    bench.wait(120).await;
    let usage = bench.world.apps().usage();
    let cores: u64 = usage.iter().map(|u| u.containers[0].cpu).sum();
    // 100 requests a second of 20 ms are two cores; ten idle pods take 50 thousandths.
    let wanted = 2_050_000_000_u64;
    assert!(cores.abs_diff(wanted) < wanted / 10, "{cores}");
}

#[tokio::test(start_paused = true)]
async fn memory_grows_to_the_limit_until_the_container_is_killed() {
    let bench = Bench::builtin("oom");
    let restarts = |bench: &Bench| {
        let pod = &bench.pods("payment-api-canary")[0];
        pod["status"]["containerStatuses"][0]["restartCount"]
            .as_i64()
            .unwrap()
    };
    let (mut highest, mut last) = (0, 0);
    for _ in 0..15 {
        for usage in used(&bench, "payment-api-canary") {
            let now = mebibytes(&usage);
            assert!(now >= last, "{now} after {last}");
            last = now;
            highest = highest.max(now);
        }
        if restarts(&bench) > 0 {
            break;
        }
        bench.wait(15).await;
    }
    // 160Mi to 512Mi; the last round before the end is up to 15 s of 150 s early.
    assert!((450..=512).contains(&highest), "{highest}");
    let pod = &bench.pods("payment-api-canary")[0];
    let ended = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!(ended["reason"], "OOMKilled");
    assert_eq!(mebibytes(&used(&bench, "payment-api-stable")[0]), 120);
}

#[tokio::test(start_paused = true)]
async fn a_leak_is_killed_at_the_limit_and_not_before() {
    // 512Mi are reached after 196 s.
    let text = "metrics_server: true\nversions: [{match: {image: 'payment-api:2'}, memory: {base: 120Mi, leak: 2Mi/s}}]";
    let bench = Bench::with(text);
    bench.wait(121).await;
    assert_eq!(mebibytes(&used(&bench, "payment-api-canary")[0]), 360);
    let last = |bench: &Bench| {
        bench.pods("payment-api-canary")[0]["status"]["containerStatuses"][0].clone()
    };
    bench.wait(74).await;
    assert_eq!(last(&bench)["restartCount"], 0);
    bench.wait(5).await;
    assert_eq!(last(&bench)["restartCount"], 1);
    assert_eq!(
        last(&bench)["lastState"]["terminated"]["reason"],
        "OOMKilled"
    );
    // It begins again where it began.
    bench.wait(35).await;
    assert!(mebibytes(&used(&bench, "payment-api-canary")[0]) < 200);
}
