//! Whole releases on the simulated cluster, in virtual time.

use canaryctl::domain::release::Outcome;

use crate::support::{Bench, auto, plan};

#[tokio::test(start_paused = true)]
async fn a_healthy_release_is_promoted() {
    let bench = Bench::new("healthy");
    let end = bench.drive(auto(), plan(&[10, 25, 50, 100], 60)).await;
    println!("{}", bench.story().join("\n"));
    let end = end.unwrap();
    assert_eq!(end.outcome, Outcome::Promoted, "{}", end.text);
}
