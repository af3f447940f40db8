//! How many round trips to the API server lie between a command and its effect. Every call takes a
//! second here, so the virtual time at which a call is made counts the round trips before it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use canaryctl::{
    clock::Clock,
    cluster::Cluster,
    domain::release::Outcome,
    engine::start::{Begun, Intent},
    sim::fault::{Attempt, Fault, Plan},
};

use crate::support::{Bench, auto, checked};

const ROUND_TRIP: Duration = Duration::from_secs(1);

/// Calls with the number of round trips that came before each.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<(u64, String)>>>);

impl Calls {
    /// A connection on which every call takes a round trip, and what is called on it.
    fn on(bench: &Bench) -> (Cluster, Self) {
        let calls = Self::default();
        let (seen, clock) = (calls.clone(), bench.clock.clone());
        let start = clock.now();
        let plan = Plan::new(bench.clock.clone(), move |call: &Attempt<'_>| {
            let trips = since(&clock, start);
            let line = format!("{} {}", call.method, call.path);
            seen.0.lock().unwrap().push((trips, line));
            Fault::Delay(ROUND_TRIP)
        });
        (bench.faulty(&plan), calls)
    }

    fn first(&self, what: impl Fn(&str) -> bool) -> u64 {
        let calls = self.0.lock().unwrap();
        let found = calls.iter().find(|(_, line)| what(line));
        found
            .unwrap_or_else(|| panic!("no such call: {calls:#?}"))
            .0
    }
}

fn since(clock: &Clock, start: jiff::Timestamp) -> u64 {
    let elapsed = clock.now().duration_since(start);
    u64::try_from(elapsed.as_secs()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_look_reads_everything_in_one_parallel_round() {
    let bench = Bench::new("healthy");
    let (cluster, calls) = Calls::on(&bench);
    let mut sitting = bench.sitting(Intent::Look, checked(&[10, 50], 60));
    sitting.cluster = cluster;
    let Begun::Run(mut engine) = bench.begin(&sitting).await.unwrap() else {
        panic!("nothing to look at");
    };
    let view = engine
        .view((Vec::new(), None), false, &str::to_owned)
        .await
        .unwrap();
    assert!(view.stable.is_some_and(|s| !s.pods.is_empty()));
    let calls = calls.0.lock().unwrap();
    assert!(calls.iter().all(|(trips, _)| *trips == 0), "{calls:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_rollback_moves_traffic_after_two_round_trips() {
    let bench = Bench::new("healthy");
    let mut sitting = bench.sitting(auto(), checked(&[10, 50], 60));
    sitting.goal = canaryctl::domain::decide::Goal::Step(2);
    bench.run(sitting).await.unwrap();
    let (cluster, calls) = Calls::on(&bench);
    let mut sitting = bench.sitting(Intent::Rollback, checked(&[10, 50], 60));
    sitting.cluster = cluster;
    let end = bench.run(sitting).await.unwrap();
    assert_eq!(end.outcome, Outcome::RolledBack);
    let recorded = calls.first(|line| line.starts_with("PUT") && line.contains("configmaps"));
    let moved = calls.first(|line| line.starts_with("PATCH") && line.contains("scale"));
    assert_eq!((recorded, moved), (1, 2), "{:#?}", calls.0.lock().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_rollback_without_a_run_moves_traffic_after_two_round_trips() {
    let bench = Bench::new("healthy");
    bench.scale("payment-api-canary", 3);
    bench.wait(60).await;
    let (cluster, calls) = Calls::on(&bench);
    let mut sitting = bench.sitting(Intent::Rollback, checked(&[10, 50], 60));
    sitting.cluster = cluster;
    let end = bench.run(sitting).await.unwrap();
    assert_eq!(end.outcome, Outcome::RolledBack);
    let moved = calls.first(|line| line.starts_with("PATCH") && line.contains("scale"));
    assert_eq!(moved, 2, "{:#?}", calls.0.lock().unwrap());
}
