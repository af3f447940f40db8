//! Finding which preset and selector have data: what `check` proposes where those configured count
//! nothing, on the simulated cluster and its Prometheus.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use canaryctl::{
    cli::{CheckEntry, MetricsEntry, RouterEntry},
    cluster::{Cluster, discover, routing::Knowledge},
    config::{File, Overrides, Settings},
    domain::{
        plan::{MetricsSpec, Plan},
        release::RouterSpec,
        view::{Finding, Severity},
    },
    health::{self, source::fitted},
    preflight::{Subject, findings},
    sim::{
        fault::{Attempt, Fault, Plan as Faults},
        scenario::Scenario,
    },
};
use serde_json::{Value, json};

use crate::support::{APP, Bench, NAMESPACE, plan};

const URL: &str = "http://prometheus.monitoring:9090";

/// Returns the first look at a release that is judged by these metrics.
async fn look(cluster: &Cluster, metrics: MetricsSpec) -> Vec<Finding> {
    let survey = cluster.survey("canaryctl-payment-api", &[], Knowledge::Named);
    let survey = survey.await.unwrap();
    let names = discover::names(&survey, NAMESPACE, APP, None, None, None).unwrap();
    let router = RouterSpec {
        name: "replicas".into(),
        options: Value::Null,
    };
    let plan = Plan {
        checks: fitted(health::requests::default_checks(), Some(&metrics)).unwrap(),
        metrics: Some(metrics),
        ..plan(&[10, 50, 100], 60)
    };
    let subject = Subject {
        app: APP,
        names: &names,
        router: &router,
        plan: &plan,
        route: None,
        create: true,
        images: &BTreeMap::new(),
    };
    findings(cluster, &survey, &subject).await.unwrap()
}

fn prometheus(options: &Value) -> MetricsSpec {
    let mut options = options.clone();
    options["url"] = json!(URL);
    MetricsSpec {
        name: "prometheus".to_owned(),
        options,
    }
}

fn scrape(options: Value) -> MetricsSpec {
    MetricsSpec {
        name: "scrape".to_owned(),
        options,
    }
}

/// Looks at a simulated cluster that has run for a while.
async fn seen(bench: &Bench, metrics: MetricsSpec) -> Vec<Finding> {
    bench.wait(120).await;
    look(&bench.cluster(), metrics).await
}

/// Returns what was found of the source itself.
fn of_metrics(all: &[Finding]) -> Vec<&Finding> {
    all.iter().filter(|f| f.place == "metrics").collect()
}

#[track_caller]
fn only(all: &[Finding]) -> &Finding {
    let found = of_metrics(all);
    let [one] = found[..] else {
        panic!("{found:#?}");
    };
    one
}

/// Returns the metrics of the first line that is proposed, as `canary.yaml` gives them.
fn proposed(finding: &Finding) -> MetricsSpec {
    let line = finding.fix.split('`').nth(1).unwrap();
    let text = format!("app: shop\n{line}\n");
    let file = File::<RouterEntry, CheckEntry, MetricsEntry>::parse("canary.yaml", &text);
    let file = file.unwrap_or_else(|error| panic!("{error}\n{line}"));
    let settings = Settings::resolve(None, Overrides::default(), Overrides::default(), Some(file));
    settings.unwrap().metrics.unwrap().0
}

/// Asserts that the first proposal works.
async fn works(bench: &Bench, finding: &Finding) -> String {
    let found = look(&bench.cluster(), proposed(finding)).await;
    let sound = only(&found);
    assert_eq!(sound.severity, Severity::Ok, "{sound:#?}");
    let empty = |f: &&Finding| f.what.contains("no data");
    assert_eq!(found.iter().find(empty), None);
    sound.what.clone()
}

/// Returns a connection, and how often it forwards a port of each pod.
fn forwards(bench: &Bench) -> (Cluster, Arc<Mutex<BTreeMap<String, u32>>>) {
    let asked: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
    let seen = asked.clone();
    let faults = Faults::new(bench.clock.clone(), move |call: &Attempt<'_>| {
        let pod = call.path.split("/pods/").nth(1);
        if let Some((pod, _)) = pod.and_then(|rest| rest.split_once("/portforward")) {
            *seen.lock().unwrap().entry(pod.to_owned()).or_default() += 1;
        }
        Fault::None
    });
    (bench.faulty(&faults), asked)
}

// === the source counts ===

#[tokio::test(start_paused = true)]
async fn what_is_counted_is_said_where_all_is_well() {
    let bench = Bench::new("metrics");
    let found = seen(&bench, prometheus(&json!({}))).await;
    let sound = only(&found);
    assert_eq!(sound.severity, Severity::Ok, "{sound:#?}");
    assert!(
        sound.what.starts_with("preset http with its own selector counts ")
            && sound.what.ends_with(
                " requests on 9 of 9 ready pods, with a histogram on stable; the canary is told apart"
            ),
        "{}",
        sound.what
    );
}

#[tokio::test(start_paused = true)]
async fn all_checks_of_requests_share_one_question() {
    let bench = Bench::new("metrics");
    bench.wait(120).await;
    let (cluster, asked) = forwards(&bench);
    let found = look(&cluster, scrape(json!({"path": "/prometheus-metrics"}))).await;
    assert_eq!(only(&found).severity, Severity::Ok, "{found:#?}");
    let checks = found.iter().filter(|f| f.place.ends_with("latency"));
    assert_eq!(checks.count(), 2, "{found:#?}");
    // Nine pods of stable and one of the canary, each once.
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 10, "{asked:?}");
    assert!(asked.values().all(|times| *times == 1), "{asked:?}");
}

// === it counts nothing ===

#[tokio::test(start_paused = true)]
async fn a_wrong_preset_leads_to_the_right_one() {
    let bench = Bench::new("metrics");
    let found = seen(&bench, prometheus(&json!({"preset": "istio"}))).await;
    let finding = only(&found);
    assert_eq!(finding.severity, Severity::Error);
    assert!(
        finding.what.starts_with(
            "preset istio with its own selector counts nothing for stable; preset http does: "
        ),
        "{}",
        finding.what
    );
    let line = format!("`metrics: {{prometheus: {{url: {URL}, preset: http}}}}` (");
    assert!(
        finding
            .fix
            .starts_with(&format!("write in canary.yaml {line}")),
        "{}",
        finding.fix
    );
    // The labels of the simulated pods let words select the sides as well.
    assert!(
        finding.fix.contains("preset: http, selector: track}}`"),
        "{}",
        finding.fix
    );
    works(&bench, finding).await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_selector_leads_to_the_right_one() {
    let bench = Bench::new("metrics");
    let wrong = json!({"selector": "job=\"{{app}}-{{track}}\"", "timeout": "5s"});
    let found = seen(&bench, prometheus(&wrong)).await;
    let finding = only(&found);
    let line = format!("`metrics: {{prometheus: {{url: {URL}, preset: http}}}}` (");
    assert!(finding.fix.contains(&line), "{}", finding.fix);
    assert!(
        finding.fix.ends_with("; keep timeout as given"),
        "{}",
        finding.fix
    );
    works(&bench, finding).await;
}

#[tokio::test(start_paused = true)]
async fn rules_that_record_nothing_lead_to_counters() {
    let bench = Bench::new("metrics");
    let found = seen(&bench, prometheus(&json!({"preset": "recording-rules"}))).await;
    let finding = only(&found);
    assert!(
        finding.what.starts_with(
            "preset recording-rules with its own selector counts nothing for stable; preset http does: "
        ),
        "{}",
        finding.what
    );
    works(&bench, finding).await;
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_is_not_there_yet_is_no_obstacle() {
    let mut scenario = Scenario::builtin("metrics").unwrap();
    let edit = json!({
        "kind": "Deployment", "name": "payment-api-canary",
        "patch": [{"op": "replace", "path": "/spec/replicas", "value": 0}],
    });
    scenario.edits.push(serde_json::from_value(edit).unwrap());
    let bench = Bench::with(scenario);
    let found = seen(&bench, prometheus(&json!({"preset": "spring"}))).await;
    let finding = only(&found);
    assert!(finding.what.contains("preset http does"), "{finding:#?}");
    let sound = works(&bench, finding).await;
    assert!(sound.ends_with("with a histogram on stable"), "{sound}");
}

#[tokio::test(start_paused = true)]
async fn nothing_anywhere_is_said_plainly() {
    let mut scenario = Scenario::builtin("metrics").unwrap();
    for name in ["payment-api-stable", "payment-api-canary"] {
        let path = "/spec/template/metadata/annotations/prometheus.io~1scrape";
        let edit = json!({
            "kind": "Deployment", "name": name,
            "patch": [{"op": "replace", "path": path, "value": "false"}],
        });
        scenario.edits.push(serde_json::from_value(edit).unwrap());
    }
    let bench = Bench::with(scenario);
    let found = seen(&bench, prometheus(&json!({}))).await;
    let finding = only(&found);
    assert_eq!(finding.severity, Severity::Error);
    assert_eq!(
        finding.what,
        "none of the 8 presets (http, istio, linkerd, nginx, traefik, envoy, spring, recording-rules) has data for stable"
    );
    assert!(!finding.fix.contains("write in"), "{}", finding.fix);
}

#[tokio::test(start_paused = true)]
async fn a_selector_of_both_sides_is_an_error_and_never_proposed() {
    let bench = Bench::new("metrics");
    let both = "app=\"{{app}}\",job!=\"{{deployment}}\"";
    let found = seen(&bench, prometheus(&json!({"selector": both}))).await;
    let finding = only(&found);
    assert_eq!(finding.severity, Severity::Error);
    assert!(
        finding
            .what
            .contains("does not tell the sides apart: 30 series are counted for both"),
        "{}",
        finding.what
    );
    assert!(!finding.fix.contains("job!="), "{}", finding.fix);
    works(&bench, finding).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_is_not_asked_further() {
    for (fault, down) in [
        ("down", true),
        ("{error: 401}", true),
        ("{error: 503}", true),
        ("html", true),
        ("\"null\"", true),
        ("empty", false),
    ] {
        let fault = format!("faults:\n  - {{at: 1m, do: {{prometheus: {fault}}}}}\n");
        let bench = Bench::edited(
            "metrics",
            &[("metrics_server:", &format!("{fault}metrics_server:"))],
        );
        bench.wait(120).await;
        let (cluster, asked) = forwards(&bench);
        let found = look(&cluster, prometheus(&json!({"preset": "istio"}))).await;
        if fault.contains(": down}") {
            // Two queries, of requests and of latencies, each tried on a second connection at most.
            let asked: u32 = asked.lock().unwrap().values().sum();
            assert!((2..=4).contains(&asked), "{asked}");
        }
        let of_source = of_metrics(&found);
        // Silence is a warning where nothing is compared with stable.
        let names = if down {
            "check error rate, check p95 latency, check p99 latency"
        } else {
            "check error rate, check p99 latency"
        };
        let unknown = found.iter().find(|f| f.place == names);
        let unknown = unknown.unwrap_or_else(|| panic!("{fault}: {found:#?}"));
        assert!(
            unknown
                .what
                .starts_with("the check gives no data on stable: "),
            "{unknown:#?}"
        );
        assert_eq!(of_source.is_empty(), down, "{fault}: {of_source:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn pages_with_other_counters_name_their_preset() {
    let bench = Bench::new("metrics");
    let wrong = json!({"path": "/prometheus-metrics", "preset": "linkerd"});
    let found = seen(&bench, scrape(wrong)).await;
    let finding = only(&found);
    assert_eq!(finding.severity, Severity::Error);
    assert!(
        finding
            .what
            .starts_with("preset linkerd counts nothing for stable; preset http does: "),
        "{}",
        finding.what
    );
    let line = "`metrics: {scrape: {path: /prometheus-metrics, preset: http}}`";
    assert!(finding.fix.contains(line), "{}", finding.fix);
    works(&bench, finding).await;
}

#[tokio::test(start_paused = true)]
async fn pages_that_are_none_have_no_preset() {
    for path in ["/nowhere", "/metrics"] {
        let bench = Bench::new("metrics");
        let wrong = json!({"path": path, "preset": "linkerd"});
        let found = seen(&bench, scrape(wrong)).await;
        assert!(of_metrics(&found).is_empty(), "{path}: {found:#?}");
    }
}
