//! Checks that ask something outside the pods, in whole releases and in the first look.

use std::time::Duration;

use canaryctl::{
    cli::{CheckEntry, MetricsEntry, RouterEntry},
    cluster::{discover, routing::Knowledge},
    config::{File, Overrides, Settings},
    domain::{
        check::CheckSpec,
        plan::Plan,
        release::{Cause, Outcome, RouterSpec},
        view::{Finding, Severity},
    },
    preflight::{Subject, findings},
};
use serde_json::{Value, json};

use crate::support::{APP, Bench, NAMESPACE, auto, check, plan};

/// A plan whose only telling check is this one.
fn asking(probe: &str, options: &Value) -> Plan {
    Plan {
        checks: vec![check(probe, options)],
        ..plan(&[10, 50, 100], 60)
    }
}

/// The app's own answer, reached through the Service of the side that is looked at.
fn own_answer(expect: &str) -> Value {
    json!({
        "name": "own answer",
        "url": "http://payment-api-{{track}}-service.{{namespace}}.svc/health?of={{image}}",
        "expect": expect
    })
}

#[tokio::test(start_paused = true)]
async fn a_source_inside_the_cluster_lets_a_release_go_on() {
    let bench = Bench::new("healthy");
    let plan = asking("json", &own_answer("body.status == 'healthy'"));
    bench.ends(auto(), plan, Outcome::Promoted).await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_says_no_takes_the_release_back() {
    let bench = Bench::new("healthy");
    let plan = asking("json", &own_answer("body.status == 'perfect'"));
    let end = bench.ends(auto(), plan, Outcome::RolledBack).await;
    assert_eq!(end.cause, Some(Cause::Unhealthy), "{}", end.text);
    assert!(end.text.contains("own answer"), "{}", end.text);
}

#[tokio::test(start_paused = true)]
async fn a_source_without_an_answer_stops_at_the_first_step() {
    for (probe, options) in [
        ("json", own_answer("body.nothing == 1")),
        (
            "alerts",
            json!({
                "prometheus": {"url": "http://none.canary-release.svc:9090"},
                "matchers": ["namespace=\"{{namespace}}\""]
            }),
        ),
        (
            "webhook",
            json!({"url": "http://none.canary-release.svc/gate"}),
        ),
        ("command", json!({"run": ["/no/such/program"]})),
    ] {
        let bench = Bench::new("healthy");
        let mut plan = asking(probe, &options);
        for step in &mut plan.steps {
            step.deadline = Duration::from_secs(120);
        }
        let end = bench.drive(auto(), plan).await.unwrap();
        assert_ne!(end.outcome, Outcome::Promoted, "{probe}: {}", end.text);
        let record = bench.record().await;
        assert_eq!(record.step, 0, "{probe}: {}", end.text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_look_has_no_effect() {
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/canaryctl-was-run");
    drop(std::fs::remove_file(file));
    let bench = Bench::new("healthy");
    bench.wait(60).await;
    let checks = vec![
        check("command", &json!({"run": ["touch", file]})),
        check(
            "webhook",
            &json!({"url": "http://payment-api-service.canary-release.svc/"}),
        ),
        check(
            "http",
            &json!({"name": "post", "path": "/", "method": "POST"}),
        ),
        check("json", &own_answer("body.status == 'healthy'")),
        check(
            "json",
            &json!({
                "name": "blind",
                "url": "https://localhost:1/",
                "tls": {"insecureSkipVerify": true},
                "expect": "true",
                "severity": "warn"
            }),
        ),
    ];
    let said = first_look(&bench, checks).await;
    let of = |place: &str| -> Vec<&Finding> {
        said.iter()
            .filter(|f| f.place == format!("check {place}"))
            .collect()
    };
    for (place, why) in [
        ("touch", "it runs touch"),
        (
            "payment-api-service.canary-release.svc",
            "it sends POST to a webhook",
        ),
        ("post", "it sends POST"),
    ] {
        let [only] = of(place)[..] else {
            panic!("{place}: {:?}", of(place));
        };
        assert_eq!(only.severity, Severity::Note, "{only:?}");
        assert_eq!(only.what, format!("not tried, because {why}"));
    }
    assert!(!std::fs::exists(file).unwrap(), "the command was run");
    let [works] = of("own answer")[..] else {
        panic!("{said:?}");
    };
    assert_eq!(works.severity, Severity::Ok, "{works:?}");
    // The worst comes first.
    let [down, note] = of("blind")[..] else {
        panic!("{:?}", of("blind"));
    };
    assert_eq!(down.severity, Severity::Warning, "{down:?}");
    assert_eq!(note.severity, Severity::Note, "{note:?}");
    assert!(
        note.what.contains("is not checked (insecureSkipVerify)"),
        "{note:?}"
    );
}

async fn first_look(bench: &Bench, checks: Vec<CheckSpec>) -> Vec<Finding> {
    let cluster = bench.cluster();
    let survey = cluster.survey("canaryctl-payment-api", &[], Knowledge::Named);
    let survey = survey.await.unwrap();
    let names = discover::names(&survey, NAMESPACE, APP, None, None, None).unwrap();
    let router = RouterSpec {
        name: "replicas".into(),
        options: Value::Null,
    };
    let plan = Plan {
        checks,
        ..plan(&[10, 50, 100], 60)
    };
    let subject = Subject {
        app: APP,
        names: &names,
        router: &router,
        plan: &plan,
        route: None,
        create: true,
        images: &std::collections::BTreeMap::new(),
    };
    findings(&cluster, &survey, &subject).await.unwrap()
}

// === configuration ===

fn read(checks: &str) -> Result<Vec<CheckSpec>, String> {
    let text = format!("app: shop\nchecks:\n{checks}");
    let file = File::<RouterEntry, CheckEntry, MetricsEntry>::parse("canary.yaml", &text);
    let file = file.map_err(|e| e.to_string())?;
    let settings = Settings::resolve(None, Overrides::default(), Overrides::default(), Some(file));
    let settings = settings.map_err(|e| e.to_string())?;
    Ok(settings.checks.into_iter().map(|c| c.0).collect())
}

#[test]
fn the_examples_of_the_documentation_are_read() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/checks.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut count = 0;
    for block in text.split("```yaml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        if let Some(checks) = block.strip_prefix("checks:\n") {
            read(checks).unwrap_or_else(|error| panic!("{error}\n{block}"));
            count += 1;
        }
    }
    assert!(count >= 6, "only {count} examples were found");
}

#[test]
fn a_mistake_has_its_place_and_a_secret_is_not_repeated() {
    for (checks, said) in [
        (
            "  - json: { url: https://x, expect: 'true', auth: { bearer: hunter2 } }\n",
            "a secret is not written here",
        ),
        (
            "  - json: { url: https://x, expect: 'true', auth: hunter2 }\n",
            "auth is {bearer",
        ),
        (
            "  - json: { url: 'https://u:hunter2@x', expect: 'true' }\n",
            "put them under auth",
        ),
        (
            "  - webhook: { url: https://x, headers: { X-Api-Key: hunter2 } }\n",
            "its value is a secret",
        ),
        (
            "  - alerts: { alertmanager: { url: https://x, auth: { basic: { username: u, password: hunter2 } } }, matchers: ['a=\"b\"'] }\n",
            "a secret is not written here",
        ),
        ("  - webhook: { ulr: https://x }\n", "did you mean 'url'"),
    ] {
        let error = read(checks).unwrap_err();
        assert!(error.starts_with("canary.yaml:3:"), "{error}");
        assert!(error.contains(said), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn what_is_recorded_is_the_reference() {
    let checks = read(
        "  - json:\n      url: https://x\n      expect: 'true'\n      auth: { bearer: { env: TOKEN } }\n      headers: { X-Api-Key: { secret: { name: a, key: b } } }\n",
    )
    .unwrap();
    let spec = checks.iter().find(|c| c.probe == "json").unwrap();
    assert_eq!(spec.options["auth"], json!({"bearer": {"env": "TOKEN"}}));
    assert_eq!(
        spec.options["headers"],
        json!({"X-Api-Key": {"secret": {"name": "a", "key": "b"}}})
    );
}
