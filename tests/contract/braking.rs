//! The brake of whole releases: bursts are outlasted, bad versions are taken back, whatever happens
//! meanwhile.

use std::time::Duration;

use canaryctl::{
    domain::{
        event::EventKind,
        plan::{MetricsSpec, Plan},
        release::{Outcome, Phase},
    },
    health,
    sim::scenario::{Scenario, Span, parse_objects},
};
use serde_json::json;

use crate::support::{Bench, auto, plan, virtually, weights::ISTIO};

/// A step at 10 % of the traffic, watched by metrics; nothing is promoted.
fn watched(brake: bool) -> Plan {
    let mut plan = plan(&[10], 420);
    plan.checks.extend(health::requests::default_checks());
    plan.metrics = Some(MetricsSpec {
        name: "scrape".to_owned(),
        options: json!({"path": "/prometheus-metrics"}),
    });
    plan.promote.auto = false;
    plan.brake = brake;
    plan
}

/// A canary that fails 60 % of its requests from the age of two minutes on, for so many seconds.
fn failing(seconds: u64) -> Bench {
    let mut scenario = scenario(seconds);
    let routes = parse_objects(ISTIO.objects).unwrap();
    scenario.objects.extend(routes);
    let mut bench = Bench::with(scenario);
    bench.by = "istio";
    bench
}

fn scenario(seconds: u64) -> Scenario {
    let mut scenario = Scenario::builtin("healthy").unwrap();
    let span = |seconds| Span(Duration::from_secs(seconds));
    for version in &mut scenario.versions {
        if version.matches.image.as_deref() == Some("payment-api") {
            version.errors.rate = serde_json::from_value(json!("60%")).unwrap();
            version.errors.after = span(120);
            version.errors.every = Some(span(86_400));
            version.errors.lasts = Some(span(120 + seconds));
        }
    }
    scenario
}

fn brakes(bench: &Bench) -> usize {
    let braked = |kind: &EventKind| matches!(kind, EventKind::TrafficPaused { .. });
    let kinds = bench.kinds();
    kinds.iter().filter(|(_, kind)| braked(kind)).count()
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_one_pod_is_outlasted() {
    let bench = failing(40);
    let end = bench.ends(auto(), watched(true), Outcome::Paused).await;
    assert!(end.text.contains("all steps passed"), "{}", end.text);
    assert_eq!(ISTIO.story(&bench), [0, 10, 0, 1, 10], "{}", bench.told());
    assert_eq!(brakes(&bench), 1, "{}", bench.told());
    let calm = |r: &canaryctl::domain::verdict::CheckResult| r.text.contains("a burst");
    assert!(bench.results("error rate").iter().any(calm));
    // A minute without traffic, and all the hold afterwards.
    let ended = bench.kinds().last().unwrap().0;
    assert!(ended.duration_since(end.release.started).as_secs() >= 420 + 60 + 30);
}

#[tokio::test(start_paused = true)]
async fn without_the_brake_the_same_burst_ends_the_release() {
    let bench = failing(60);
    bench
        .ends(auto(), watched(false), Outcome::RolledBack)
        .await;
    assert_eq!(brakes(&bench), 0);
    let bench = failing(60);
    bench.ends(auto(), watched(true), Outcome::Paused).await;
}

#[tokio::test(start_paused = true)]
async fn a_version_that_stays_bad_is_taken_back() {
    let hurt = |brake: bool| async move {
        let bench = failing(86_000);
        let end = bench
            .ends(auto(), watched(brake), Outcome::RolledBack)
            .await;
        assert!(end.text.contains("% fail ("), "{}", end.text);
        assert_eq!(brakes(&bench), usize::from(brake), "{}", bench.told());
        let story: &[u64] = if brake {
            &[0, 10, 0, 1, 0]
        } else {
            &[0, 10, 0]
        };
        assert_eq!(ISTIO.story(&bench), story, "{}", bench.told());
    };
    hurt(true).await;
    hurt(false).await;
}

/// Who is killed while the canary rests leaves a run that goes on with the rest.
#[test]
fn a_kill_changes_no_rest() {
    for phase in [Phase::Resting, Phase::Holding] {
        let (snapshot, from, told) = virtually(async {
            let bench = failing(40);
            let killed = async {
                bench
                    .until(|kind| matches!(kind, EventKind::TrafficPaused { .. }))
                    .await;
                bench.until_phase(Phase::Resting).await;
                if phase == Phase::Holding {
                    // Well into the probe.
                    bench.wait(75).await;
                } else {
                    bench.wait(20).await;
                }
            };
            tokio::select! {
                biased;
                end = bench.drive(auto(), watched(true)) => panic!("{:?}", end.map(|e| e.text)),
                () = killed => {}
            }
            let told = bench.events.lock().unwrap().clone();
            (bench.sim.snapshot(), bench.from, told)
        });
        virtually(async {
            let mut bench = Bench::resumed(&snapshot, from, told);
            bench.by = "istio";
            bench.wait(95).await;
            let mut heir = bench.sitting(auto(), watched(true));
            heir.holder = "holder-2".into();
            let end = bench.run(heir).await.unwrap();
            assert_eq!(end.outcome, Outcome::Paused, "{}", bench.told());
            assert_eq!(ISTIO.story(&bench), [0, 10, 0, 1, 10], "{}", bench.told());
            assert_eq!(bench.users().refused, 0);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_and_a_sick_pod_do_not_wait_for_the_rest() {
    let bench = failing(40);
    let operator = async {
        bench.until_phase(Phase::Resting).await;
        bench
            .requests
            .send_replace(Some(canaryctl::domain::decide::Request::Rollback));
        std::future::pending::<()>().await;
    };
    let end = tokio::select! {
        end = bench.drive(auto(), watched(true)) => end.unwrap(),
        () = operator => unreachable!(),
    };
    assert_eq!(end.outcome, Outcome::RolledBack);
    assert_eq!(ISTIO.story(&bench), [0, 10, 0], "{}", bench.told());
}

/// Pods are the traffic there: a rest would take them away and start others.
#[tokio::test(start_paused = true)]
async fn traffic_that_is_pods_is_never_taken_off() {
    let bench = Bench::with(scenario(86_000));
    let end = bench.drive(auto(), watched(true)).await.unwrap();
    assert_eq!(end.outcome, Outcome::RolledBack, "{}", bench.told());
    assert_eq!(brakes(&bench), 0);
}

#[tokio::test(start_paused = true)]
async fn ticks_know_the_rest() {
    let bench = failing(40);
    for tick in 1..60 {
        let mut sitting = bench.sitting(auto(), watched(true));
        sitting.once = true;
        sitting.holder = format!("tick-{tick}");
        let end = bench.run(sitting).await.unwrap();
        if end.outcome == Outcome::Paused {
            assert_eq!(ISTIO.story(&bench), [0, 10, 0, 1, 10], "{}", bench.told());
            return;
        }
        bench.wait(15).await;
    }
    panic!("never over:\n{}", bench.told());
}
