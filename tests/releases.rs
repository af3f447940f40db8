//! Whole releases on the simulated cluster, in virtual time: every scenario's ending, every strategy
//! of promotion, every way to drive one.

use canaryctl::domain::release::Outcome;

use crate::support::{Bench, TOTAL, auto, plan};

#[tokio::test(start_paused = true)]
async fn a_healthy_release_is_promoted() {
    let bench = Bench::new("healthy");
    bench
        .ends(auto(), plan(&[10, 25, 50, 100], 60), Outcome::Promoted)
        .await;
    assert!(bench.least_ready() >= TOTAL as usize);
}
