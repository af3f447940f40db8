//! Whole releases judged by metrics, on the simulated cluster: errors, latency and traffic of both sides.

use std::time::Duration;

use canaryctl::{
    domain::{
        check::Severity,
        plan::{MetricsSpec, OnTrouble, Plan},
        release::{Cause, Outcome},
        verdict::{CheckResult, Unknown, Verdict},
    },
    engine::End,
    health,
};
use serde_json::{Value, json};

use crate::support::{Bench, auto, check, plan};

/// The pages of the simulated apps.
const PAGES: &str = "/prometheus-metrics";

fn scraped(weights: &[u32], hold: u64) -> Plan {
    let mut plan = plan(weights, hold);
    plan.checks.extend(health::requests::default_checks());
    plan.metrics = Some(MetricsSpec {
        name: "scrape".to_owned(),
        options: json!({"path": PAGES}),
    });
    plan
}

fn with(mut plan: Plan, name: &str, options: &Value) -> Plan {
    plan.checks.push(check(name, options));
    plan
}

async fn drive(scenario: &str, plan: Plan) -> (Bench, End) {
    let bench = Bench::new(scenario);
    let end = bench.drive(auto(), plan).await.unwrap();
    (bench, end)
}

#[tokio::test(start_paused = true)]
async fn a_healthy_release_is_promoted_by_its_metrics() {
    let (bench, end) = drive("healthy", scraped(&[10, 50], 120)).await;
    assert_eq!(end.outcome, Outcome::Promoted, "{}", bench.told());
    let errors = bench.results("error rate");
    let proven =
        |r: &&CheckResult| r.text.contains("stable's") && r.text.contains(": enough for 50%");
    let proven = errors
        .iter()
        .find(proven)
        .unwrap_or_else(|| panic!("{}", bench.told()));
    assert_eq!(proven.verdict, Verdict::Healthy);
    assert!(proven.interval.is_some() && proven.stable.is_some());
    let latency = bench.results("p95 latency");
    assert!(
        latency
            .iter()
            .any(|r| r.text.contains("limit 500 ms") && r.text.contains(": enough for 50%")),
        "{latency:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_step_may_end_early_once_its_requests_prove_it() {
    let held = |early: Option<u64>| async move {
        let mut plan = scraped(&[10, 50], 1800);
        for step in &mut plan.steps {
            step.early = early.map(Duration::from_secs);
        }
        let (bench, end) = drive("healthy", plan).await;
        assert_eq!(end.outcome, Outcome::Promoted, "{}", bench.told());
        let early = |r: &CheckResult| r.proven == Some(true);
        assert!(bench.results("error rate").iter().any(early));
        let ended = end.release.ended.unwrap();
        ended.duration_since(end.release.started).as_secs()
    };
    let (whole, early) = (held(None).await, held(Some(60)).await);
    assert!(whole >= 3600, "{whole} s");
    assert!((120..1200).contains(&early), "{early} s");
}

#[tokio::test(start_paused = true)]
async fn a_step_without_proof_does_not_end_early() {
    let mut plan = plan(&[10, 50], 600);
    for step in &mut plan.steps {
        step.early = Some(Duration::from_secs(30));
    }
    let (bench, end) = drive("healthy", plan).await;
    assert_eq!(end.outcome, Outcome::Promoted, "{}", bench.told());
    let ended = end.release.ended.unwrap();
    assert!(ended.duration_since(end.release.started).as_secs() >= 1200);
}

#[tokio::test(start_paused = true)]
async fn errors_are_found_beside_stable() {
    let (bench, end) = drive("errors-at-25", scraped(&[10, 25, 50], 120)).await;
    assert_eq!(end.outcome, Outcome::RolledBack, "{}", bench.told());
    assert_eq!(end.cause, Some(Cause::Unhealthy));
    assert_eq!(end.release.step, 1);
    assert!(end.text.contains("error rate: "), "{}", end.text);
    assert!(
        end.text.contains("% fail (") && end.text.contains("limit 5% and 2× stable's"),
        "{}",
        end.text
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_canary_is_found_by_its_histogram() {
    let (bench, end) = drive("slow", scraped(&[10, 50], 120)).await;
    assert_eq!(end.outcome, Outcome::RolledBack, "{}", bench.told());
    assert!(end.text.contains("latency: "), "{}", end.text);
    assert!(!end.text.contains("error rate"), "{}", end.text);
}

#[tokio::test(start_paused = true)]
async fn errors_that_come_late_are_found_late() {
    let (bench, end) = drive("late-errors", scraped(&[10, 25, 50], 240)).await;
    assert_eq!(end.outcome, Outcome::RolledBack, "{}", bench.told());
    assert!(end.text.contains("error rate"), "{}", end.text);
}

#[tokio::test(start_paused = true)]
async fn a_small_service_is_promoted_and_says_what_that_leaves_open() {
    let (bench, end) = drive("low-traffic", scraped(&[10, 50], 120)).await;
    assert_eq!(end.outcome, Outcome::Promoted, "{}", bench.told());
    let open = |r: &CheckResult| r.text.ends_with("are not excluded") && r.proven == Some(false);
    assert!(
        bench.results("p99 latency").iter().any(open),
        "{}",
        bench.told()
    );
}

#[tokio::test(start_paused = true)]
async fn the_share_of_the_requests_is_compared_with_the_asked_one() {
    let plan = with(scraped(&[20, 50], 120), "traffic", &json!({}));
    let (bench, end) = drive("healthy", plan).await;
    assert_eq!(end.outcome, Outcome::Promoted, "{}", bench.told());
    let traffic = bench.results("traffic");
    assert!(traffic.iter().any(|r| r.verdict == Verdict::Healthy));
    assert!(traffic.iter().all(|r| r.severity == Severity::Hold));
}

#[tokio::test(start_paused = true)]
async fn the_controllers_rule_can_be_asked_for() {
    let threshold = json!({
        "max": "5%",
        "mode": {"threshold": {"interval": "30s", "failureLimit": 2}},
    });
    let mut plan = scraped(&[10, 50], 180);
    plan.checks.truncate(1);
    let plan = with(plan, "errorRate", &threshold);
    let (bench, end) = drive("errors-at-25", plan).await;
    assert_eq!(end.outcome, Outcome::RolledBack, "{}", bench.told());
    assert!(end.text.contains("3 failed in the run"), "{}", end.text);
}

// === what is missing is unknown ===

/// Drives a release whose metrics say nothing; it must neither advance nor be taken back.
async fn says_nothing(scenario: &str, options: Value) -> (Bench, End, Vec<CheckResult>) {
    let mut plan = scraped(&[10, 50], 60);
    if let Some(metrics) = &mut plan.metrics {
        metrics.options = options;
    }
    let (bench, end) = drive(scenario, plan).await;
    assert_eq!(end.outcome, Outcome::Paused, "{}", bench.told());
    assert_eq!(end.release.step, 0);
    let errors = bench.results("error rate");
    assert!(!errors.is_empty());
    assert!(errors.iter().all(|r| r.verdict == Verdict::Unknown));
    (bench, end, errors)
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_not_there_is_unknown_and_says_where() {
    let (_, end, errors) = says_nothing("healthy", json!({"path": "/nowhere"})).await;
    assert_eq!(errors[0].unknown, Some(Unknown::Query));
    assert!(end.text.contains("/nowhere: status 404"), "{}", end.text);
}

#[tokio::test(start_paused = true)]
async fn a_page_of_something_else_is_unknown() {
    let (_, end, errors) = says_nothing("healthy", json!({"path": "/metrics"})).await;
    assert_eq!(errors[0].unknown, Some(Unknown::Query));
    assert!(end.text.contains("not Prometheus text"), "{}", end.text);
}

#[tokio::test(start_paused = true)]
async fn a_port_where_nobody_answers_is_unknown() {
    let (_, _, errors) = says_nothing("healthy", json!({"path": PAGES, "port": 9})).await;
    assert_eq!(errors[0].unknown, Some(Unknown::SourceDown));
}

#[tokio::test(start_paused = true)]
async fn metrics_that_never_come_end_the_wait_before_the_deadline() {
    let (bench, end, errors) = says_nothing("healthy", json!({"path": PAGES, "port": 9})).await;
    assert!(errors.last().unwrap().hopeless);
    let ended = bench.kinds().last().unwrap().0;
    let waited = ended.duration_since(end.release.step_since).as_secs();
    assert!((300..400).contains(&waited), "{waited} s");
}

#[tokio::test(start_paused = true)]
async fn a_check_may_say_by_itself_what_follows_when_it_does_not_know() {
    let mut plan = scraped(&[10, 50], 60);
    plan.metrics.as_mut().unwrap().options = json!({"path": "/nowhere"});
    plan.checks.truncate(1);
    let plan = with(plan, "errorRate", &json!({"onUnknown": "rollback"}));
    assert_eq!(plan.on_unknown, OnTrouble::Hold);
    let (bench, end) = drive("healthy", plan).await;
    assert_eq!(end.outcome, Outcome::RolledBack, "{}", bench.told());
    assert_eq!(end.cause, Some(Cause::Unknown));
}
