//! What never ends costs no memory and ends no run.

use canaryctl::{
    cluster::bounded::{LARGEST_ANSWER, LARGEST_EVENT},
    domain::release::Outcome,
    sim::fault::{self, Fault},
};
use http::Method;

use crate::support::{Bench, auto, plan};

/// Bytes on their way when a limit is met.
const SLACK: u64 = 1 << 20;

fn bytes(limit: usize) -> u64 {
    u64::try_from(limit).unwrap()
}

/// Runs a release whose first `most` calls that fit get an answer without end.
async fn poured(method: Method, part: &'static str, watch: bool, most: u64) -> (Bench, u64) {
    let bench = Bench::new("healthy");
    let met = std::sync::atomic::AtomicU64::new(0);
    let faults = fault::Plan::new(bench.clock.clone(), move |call| {
        let fits = *call.method == method && call.path.contains(part) && call.watch == watch;
        let fits = fits && (watch || call.number > 20);
        if fits && met.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < most {
            Fault::Endless
        } else {
            Fault::None
        }
    });
    let mut sitting = bench.sitting(auto(), plan(&[50], 20));
    sitting.cluster = bench.faulty(&faults);
    let end = bench.run(sitting).await.unwrap();
    assert_eq!(
        end.outcome,
        Outcome::Promoted,
        "{}\n{}",
        end.text,
        bench.told()
    );
    (bench, faults.poured())
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_end_is_read_up_to_its_limit_and_asked_for_again() {
    let limit = bytes(LARGEST_ANSWER);
    for (method, part) in [
        (Method::GET, "/deployments/"),
        (Method::GET, "/pods"),
        (Method::PUT, "/configmaps/"),
    ] {
        let (_, poured) = poured(method, part, false, 1).await;
        assert!((limit..limit + SLACK).contains(&poured), "{part}: {poured}");
    }
    // As often as one read is tried, and once more.
    let (bench, _) = poured(Method::GET, "/deployments/payment-api-canary", false, 4).await;
    assert!(
        bench.was_told("the answer is larger than the limit of 64 MiB"),
        "{}",
        bench.told()
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_without_an_end_of_line_is_read_up_to_its_limit() {
    let (_, poured) = poured(Method::GET, "/pods", true, 2).await;
    let limit = bytes(LARGEST_EVENT);
    assert!((limit..2 * limit + SLACK).contains(&poured), "{poured}");
}
