//! Releases whose evidence stops: what becomes of the canary with a person at a terminal, and with nobody.

use std::time::Duration;

use canaryctl::{
    domain::{
        decide::Request,
        event::EventKind,
        plan::{OnTrouble, Plan, Presence},
        release::{Cause, Outcome, Phase},
        verdict::{Unknown, Verdict},
    },
    engine::End,
};
use serde_json::json;

use crate::{
    fail_open::prometheus,
    support::{Bench, CANARY, OWN, auto, check, checked, plan},
};

const OLD: &str = "registry.example/payment-api:1.5.0";
const UNWATCHED: &str = "no terminal, so the canary is rolled back (onUnknown: hold keeps it)";

/// The same plan where nothing was said of what happens without evidence.
fn left_to(presence: Presence, plan: Plan) -> Plan {
    Plan {
        on_unknown: presence.on_unknown(),
        on_unknown_unset: true,
        ..plan
    }
}

/// A plan that is at 20 % when Prometheus goes away in the third minute, for six minutes.
fn measured(deadline: u64) -> Plan {
    let mut plan = plan(&[20, 50], 240);
    plan.checks.push(check("errorRate", &json!({"max": "5%"})));
    plan.metrics = Some(prometheus());
    for step in &mut plan.steps {
        step.deadline = Duration::from_secs(deadline);
    }
    plan
}

async fn is_taken_out(bench: &Bench, end: &End) {
    assert_eq!(
        end.outcome,
        Outcome::RolledBack,
        "{}\n{}",
        end.text,
        bench.told()
    );
    assert!(end.release.phase == Phase::Ended && end.release.step == 0);
    bench.wait(5).await;
    bench.is_back(OLD, OWN);
    bench.users_are_fine(0.02);
}

#[tokio::test(start_paused = true)]
async fn metrics_that_stay_away_take_an_unwatched_canary_out() {
    // Nothing comes for five minutes, or the deadline of the step is over before.
    for (deadline, silent) in [(1200, 300..400), (300, 100..200)] {
        let bench = Bench::new("prometheus-down");
        let plan = left_to(Presence::Unattended, measured(deadline));
        let end = bench.drive(auto(), plan).await.unwrap();
        is_taken_out(&bench, &end).await;
        assert_eq!(end.cause, Some(Cause::Unknown), "{}", end.text);
        assert!(end.text.contains(UNWATCHED), "{}", end.text);
        assert!(end.text.contains("connection refused"), "{}", end.text);
        let told = bench.kinds();
        let left = told
            .iter()
            .find(|(_, kind)| matches!(kind, EventKind::RollingBack { .. }));
        let (left, _) = left.unwrap();
        let known = told.iter().rev().find(|(_, kind)| match kind {
            EventKind::Checked { results, .. } => results
                .iter()
                .any(|r| r.name == "error rate" && r.unknown != Some(Unknown::SourceDown)),
            _ => false,
        });
        let (known, _) = known.unwrap();
        let waited = left.duration_since(*known).as_secs();
        assert!(
            silent.contains(&waited),
            "{waited} s without metrics\n{}",
            bench.told()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn metrics_that_stay_away_leave_a_watched_canary_to_its_watcher() {
    let bench = Bench::new("prometheus-down");
    let plan = left_to(Presence::Attended, measured(1200));
    let end = bench.ends(auto(), plan, Outcome::Paused).await;
    assert!(end.text.starts_with("not enough data: "), "{}", end.text);
    assert!(end.text.contains("nothing counted for 5m"), "{}", end.text);
    assert!(!end.text.contains("no terminal"), "{}", end.text);
    assert_eq!(bench.replicas(CANARY), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_for_holds_though_nobody_is_there() {
    let bench = Bench::new("prometheus-down");
    // As `onUnknown: hold` in the file gives it.
    let plan = measured(1200);
    assert!(plan.on_unknown == OnTrouble::Hold && !plan.on_unknown_unset);
    bench.ends(auto(), plan, Outcome::Paused).await;
    assert_eq!(bench.replicas(CANARY), 2);
}

#[tokio::test(start_paused = true)]
async fn metrics_that_come_back_in_time_end_nothing() {
    // They are away for four minutes.
    let bench = Bench::edited("prometheus-down", &[("at: 9m", "at: 7m")]);
    let plan = left_to(Presence::Unattended, measured(1200));
    bench.ends(auto(), plan, Outcome::Promoted).await;
    let errors = bench.results("error rate");
    let down = errors
        .iter()
        .filter(|r| r.unknown == Some(Unknown::SourceDown));
    assert!(down.count() > 15, "{}", bench.told());
}

/// Ticks as cron does, once a minute, until the run is over.
async fn ticked(bench: &Bench, plan: &Plan) -> End {
    for tick in 1..60 {
        let mut sitting = bench.sitting(auto(), plan.clone());
        sitting.once = true;
        sitting.holder = format!("tick-{tick}");
        let end = bench.run(sitting).await.unwrap();
        if end.release.is_over() || end.outcome != Outcome::AtWeight {
            return end;
        }
        bench.wait(60).await;
    }
    panic!("never over:\n{}", bench.told());
}

#[tokio::test(start_paused = true)]
async fn ticks_take_the_canary_out_as_well() {
    let bench = Bench::edited("prometheus-down", &[("at: 9m", "at: 90m")]);
    let end = ticked(&bench, &left_to(Presence::Unattended, measured(1200))).await;
    is_taken_out(&bench, &end).await;
    assert_eq!(end.cause, Some(Cause::Unknown), "{}", end.text);
    assert!(end.text.contains(UNWATCHED), "{}", end.text);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_a_person_left_is_taken_out_by_who_goes_on_with_it() {
    let bench = Bench::new("no-data");
    let begun = left_to(Presence::Attended, checked(&[10, 50], 60));
    let leaves = async {
        bench.until_step(1).await;
        bench.requests.send_replace(Some(Request::Hold));
    };
    let (end, ()) = tokio::join!(bench.drive(auto(), begun), leaves);
    assert_eq!(end.unwrap().outcome, Outcome::Paused, "{}", bench.told());
    bench.requests.send_replace(None);
    let mut next = bench.sitting(
        auto(),
        left_to(Presence::Unattended, checked(&[10, 50], 60)),
    );
    next.holder = "a-pipeline".to_owned();
    let end = bench.run(next).await.unwrap();
    is_taken_out(&bench, &end).await;
    assert_eq!(end.cause, Some(Cause::Unknown));
    assert!(end.text.contains(UNWATCHED), "{}", end.text);
}

// === evidence against the canary, and not sure ===

/// A canary that fails 3 %, with a limit that is a little lower: evidence grows slowly.
fn nearly(limit: &str, deadline: u64) -> Plan {
    let mut plan = plan(&[50], 120);
    plan.checks.push(check("errorRate", &json!({"max": limit})));
    plan.metrics = Some(prometheus());
    plan.steps[0].deadline = Duration::from_secs(deadline);
    plan
}

#[tokio::test(start_paused = true)]
async fn a_canary_beyond_its_limit_goes_out_at_the_deadline_with_or_without_a_person() {
    for presence in [Presence::Attended, Presence::Unattended] {
        let bench = Bench::new("metrics-bad");
        let plan = left_to(presence, nearly("2.7%", 600));
        let end = bench.drive(auto(), plan).await.unwrap();
        is_taken_out_with_its_errors(&bench, &end).await;
        assert!(
            end.text.contains(", at the deadline of 10m"),
            "{}",
            end.text
        );
    }
}

async fn is_taken_out_with_its_errors(bench: &Bench, end: &End) {
    assert_eq!(
        end.outcome,
        Outcome::RolledBack,
        "{}\n{}",
        end.text,
        bench.told()
    );
    assert_eq!(end.cause, Some(Cause::Unhealthy), "{}", end.text);
    let said = ["error rate: ", "% fail (", ", limit 2.7%,"];
    assert!(
        said.iter().all(|said| end.text.contains(said)),
        "{}",
        end.text
    );
    assert!(!end.text.contains("not enough data"), "{}", end.text);
    let errors = bench.results("error rate");
    assert!(
        errors.iter().all(|r| r.verdict != Verdict::Unhealthy),
        "it was never sure"
    );
    bench.wait(5).await;
    bench.is_back(OLD, OWN);
}

#[tokio::test(start_paused = true)]
async fn ticks_see_a_canary_beyond_its_limit_at_the_deadline() {
    let bench = Bench::new("metrics-bad");
    let end = ticked(&bench, &left_to(Presence::Unattended, nearly("2.7%", 600))).await;
    is_taken_out_with_its_errors(&bench, &end).await;
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_was_beyond_its_limit_when_the_metrics_went_away_goes_out() {
    let down = "faults: [{at: 6m, do: {prometheus: down}}]\nprometheus:\n";
    let bench = Bench::edited("metrics-bad", &[("prometheus:\n", down)]);
    let plan = left_to(Presence::Attended, nearly("2.7%", 3600));
    let end = bench.drive(auto(), plan).await.unwrap();
    is_taken_out_with_its_errors(&bench, &end).await;
    assert!(
        end.text.contains(", and waiting brings no answer"),
        "{}",
        end.text
    );
}

#[tokio::test(start_paused = true)]
async fn a_canary_within_its_limit_that_is_not_proven_stays_with_a_person() {
    let bench = Bench::new("metrics-bad");
    let plan = left_to(Presence::Attended, nearly("3.3%", 600));
    let end = bench.ends(auto(), plan, Outcome::Paused).await;
    assert!(
        end.text.starts_with("not enough data: error rate: "),
        "{}",
        end.text
    );
}
