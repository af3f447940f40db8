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

#[tokio::test(start_paused = true)]
async fn dbg() {
    use canaryctl::domain::workload::*;
    let bench = Bench::new("healthy");
    let c = bench.cluster();
    let s = c.deployment("payment-api-stable").await.unwrap().unwrap();
    let k = c.deployment("payment-api-canary").await.unwrap().unwrap();
    let t = Tracks::between(&s.object, &k.object);
    println!("{t:?}");
    println!("{}", serde_json::to_string_pretty(k.template()).unwrap());
    let carried = t.carry(k.template(), Track::Canary);
    println!(
        "{} {} {}",
        t.digest(k.template(), Track::Canary),
        t.digest(&carried, Track::Stable),
        t.digest(s.template(), Track::Stable)
    );
    c.set_template(&s, &carried, false).await.unwrap();
    let s = c.deployment("payment-api-stable").await.unwrap().unwrap();
    println!("{}", t.digest(s.template(), Track::Stable));
    println!("{}", serde_json::to_string_pretty(s.template()).unwrap());
}
