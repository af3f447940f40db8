//! The ways in which scripts that drive canaries call a bad version good, each as a test that this tool
//! does not. Every test also asserts that the check was looked at, and what it said.
//!
//! | class | what goes wrong there | here |
//! | --- | --- | --- |
//! | A1 | an answer that is missing, null, NaN, a page or an error counts as a small number | `unanswered` |
//! | A2 | between the steps there is nothing but time | this file |
//! | A3 | the number that decides is made up, or a report says "passed" of what nobody looked at | this file |
//! | A4 | the query also counts other workloads, or other ones only | `aimed` |
//! | A5 | characters of the query are lost on the way, and the refusal reads as a zero | `aimed` |
//! | A6 | the arithmetic is wrong: resets, restarts of long ago, units, nothing to compare with | `arithmetic` |
//! | A7 | the comparison is wrong, one sample decides, or the given limit is not used | `decisions` |
//! | A8 | lines of a log with the word ERROR in them are counted | this file |

mod aimed;
mod arithmetic;
mod decisions;
mod unanswered;

use std::time::Duration;

use canaryctl::{
    cli::{CheckEntry, MetricsEntry, RouterEntry},
    config::{File, Overrides, Settings},
    domain::{
        check::{CheckSpec, Rule},
        plan::{MetricsSpec, Plan, Presence},
        release::Outcome,
        verdict::{CheckResult, Verdict},
    },
    engine::End,
    health,
};
use serde_json::{Value, json};

use crate::{
    cli::{Console, RELEASE},
    support::{Bench, auto, check, plan},
};

/// The pages of the simulated apps.
const PAGES: &str = "/prometheus-metrics";

/// The Prometheus of the scenarios, through the API server.
pub(crate) fn prometheus() -> MetricsSpec {
    let options = json!({"url": "http://prometheus.monitoring.svc:9090", "via": "port-forward"});
    metrics("prometheus", &options)
}

fn scrape(path: &str) -> MetricsSpec {
    metrics("scrape", &json!({"path": path}))
}

/// Reads a metrics provider as a file would give it.
fn metrics(name: &str, options: &Value) -> MetricsSpec {
    let kind = health::source::kind(name).unwrap();
    let mut from = <dyn erased_serde::Deserializer<'_>>::erase(options);
    MetricsSpec {
        name: name.to_owned(),
        options: kind.options(&mut from).unwrap(),
    }
}

/// A plan of two steps with these checks alone, which gives up early.
fn asking(metrics: Option<MetricsSpec>, checks: Vec<CheckSpec>) -> Plan {
    let mut plan = plan(&[10, 50], 60);
    for step in &mut plan.steps {
        step.deadline = Duration::from_secs(150);
    }
    Plan {
        checks,
        metrics,
        ..plan
    }
}

/// Runs a release and returns how it ended and all that a check said; it must have said something.
async fn release(bench: &Bench, plan: Plan, name: &str) -> (End, Vec<CheckResult>) {
    let end = bench.drive(auto(), plan).await;
    let end = end.unwrap_or_else(|e| panic!("{e}\n{}", bench.told()));
    let results = bench.results(name);
    assert!(results.len() >= 2, "{name}: {}", bench.told());
    (end, results)
}

fn read(text: &str) -> Result<Settings<RouterEntry, CheckEntry, MetricsEntry>, String> {
    let file = File::<RouterEntry, CheckEntry, MetricsEntry>::parse("canary.yaml", text);
    let file = file.map_err(|e| e.to_string())?;
    let settings = Settings::resolve(None, Overrides::default(), Overrides::default(), Some(file));
    settings.map_err(|e| e.to_string())
}

// === A2: no check at all ===

#[tokio::test(start_paused = true)]
async fn a2_a_plan_without_checks_does_not_advance() {
    let bench = Bench::new("healthy");
    let end = bench.drive(auto(), asking(None, Vec::new())).await.unwrap();
    assert_eq!(end.outcome, Outcome::Paused, "{}", bench.told());
    assert_eq!(end.release.step, 0, "{}", bench.told());
}

#[test]
fn a2_a_file_without_checks_has_the_pods_checked() {
    for text in ["app: shop\n", "app: shop\nchecks: []\n"] {
        let checks = read(text).unwrap().checks;
        let [only] = checks.as_slice() else {
            panic!("{text}: {checks:?}");
        };
        assert!(matches!(only.0.rule, Rule::Pods { .. }), "{only:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a2_a_release_that_only_warns_is_not_begun_in_silence() {
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/warns-only.yaml");
    let text = "app: payment-api\nchecks:\n  - pods: {severity: warn}\n";
    std::fs::write(file, text).unwrap();
    let console = Console::on("healthy").await;
    let line = format!("auto {RELEASE} -f {file} --steps 10 --hold 1m");
    let ran = console.run(&line).await;
    let warning = "warning: nothing is checked (plan of payment-api)";
    let begun = ran.err.find("step 1 of 1").unwrap();
    let warned = ran
        .err
        .find(warning)
        .unwrap_or_else(|| panic!("{}", ran.err));
    assert!(warned < begun, "{}", ran.err);
}

// === A3: invented values ===

#[test]
fn a3_no_check_invents_its_value() {
    for name in [
        "mock",
        "random",
        "fake",
        "simulated",
        "constant",
        "sleep",
        "manual",
    ] {
        assert!(health::probe(name).is_none(), "{name}");
        assert!(health::source::kind(name).is_none(), "{name}");
        let error = read(&format!("app: shop\nchecks: [{name}: {{}}]\n")).unwrap_err();
        assert!(
            error.contains(name) && error.contains("unknown key"),
            "{error}"
        );
    }
    assert!(health::PROBES.len() >= 10);
}

#[tokio::test(start_paused = true)]
async fn a3_only_what_is_configured_is_reported() {
    let bench = Bench::new("healthy");
    let http = check("http", &json!({"name": "health", "path": "/health"}));
    let plan = asking(None, vec![health::pods::default_check(), http]);
    bench.ends(auto(), plan, Outcome::Promoted).await;
    for (name, least) in [("pods", 6), ("health", 6)] {
        assert!(bench.results(name).len() >= least, "{}", bench.told());
    }
    for name in [
        "error rate",
        "p95 latency",
        "p99 latency",
        "traffic",
        "memory",
        "alerts",
    ] {
        assert!(bench.results(name).is_empty(), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a3_a_check_that_cannot_be_made_is_never_left_out() {
    let bench = Bench::new("healthy");
    let plan = asking(None, vec![check("errorRate", &json!({}))]);
    let (end, results) = release(&bench, plan, "error rate").await;
    assert_eq!((end.outcome, end.release.step), (Outcome::Paused, 0));
    for result in results {
        assert_eq!(result.verdict, Verdict::Unknown, "{result:?}");
        assert!(
            result.text.contains("no metrics provider"),
            "{}",
            result.text
        );
    }
    let unknown = CheckSpec {
        probe: "mock".to_owned(),
        ..health::pods::default_check()
    };
    let bench = Bench::new("healthy");
    let refused = bench.drive(auto(), asking(None, vec![unknown])).await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("no probe 'mock'"), "{error}");
    assert!(bench.kinds().is_empty(), "{}", bench.told());
}

#[test]
fn a3_two_checks_of_one_name_are_refused() {
    let text = "app: shop\nchecks:\n  - http: {name: a, path: /x}\n  - http: {name: a, path: /y}\n";
    let settings = read(text).unwrap();
    let checks = settings.checks.iter().map(|c| c.0.clone()).collect();
    let error = settings
        .plan(checks, None, Presence::Unattended)
        .unwrap_err();
    assert!(
        error.to_string().contains("two checks are called 'a'"),
        "{error}"
    );
}

// === A8: logs ===

#[test]
fn a8_there_is_no_check_of_logs_and_the_refusal_says_what_there_is() {
    for checks in ["[logs: {pattern: ERROR}]", "\n  - log: {}", "[logs]"] {
        let error = read(&format!("app: shop\nchecks: {checks}\n")).unwrap_err();
        assert!(error.contains("there is no 'log"), "{error}");
        assert!(error.contains("`command` or `webhook`"), "{error}");
        assert!(error.starts_with("canary.yaml:"), "{error}");
    }
}
