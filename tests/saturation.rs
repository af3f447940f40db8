//! Whole releases judged by CPU and memory, on the simulated cluster.

use canaryctl::{
    cluster::{discover, routing::Knowledge},
    domain::{
        plan::Plan,
        release::{Cause, Outcome, RouterSpec},
        verdict::{Unknown, Verdict},
        view::{Finding, Severity},
    },
    preflight::{Subject, findings},
    sim::{api::Rules, scenario::Scenario},
};
use serde_json::{Value, json};

use crate::support::{APP, Bench, NAMESPACE, auto, check, plan};

fn measured(options: &Value, hold: u64) -> Plan {
    let mut plan = plan(&[10, 50], hold);
    plan.checks = vec![check("saturation", options)];
    plan
}

#[tokio::test(start_paused = true)]
async fn a_canary_within_its_limit_is_promoted() {
    let bench = Bench::new("metrics");
    let mut plan = measured(
        &json!({"resource": "memory", "max": "90%", "maxRatio": 1.5}),
        60,
    );
    plan.checks.push(check(
        "saturation",
        &json!({"resource": "cpu", "max": "390m"}),
    ));
    let end = bench.ends(auto(), plan, Outcome::Promoted).await;
    assert_eq!(end.cause, None, "{}", end.text);
    let memory = bench.results("memory");
    let healthy = memory.iter().find(|r| r.verdict == Verdict::Healthy);
    let healthy = healthy.unwrap_or_else(|| panic!("{memory:?}"));
    // 160 Mi and 150 Mi of 512 Mi.
    assert_eq!(
        healthy.text,
        "memory: 31.25% against 29.3% on stable on 1 of 1 pods"
    );
    assert_eq!(healthy.limit, "≤ 90%, ≤ 1.5× stable");
    let cpu = bench.results("cpu");
    assert!(
        cpu.iter()
            .any(|r| r.verdict == Verdict::Healthy && r.text.contains(" cores on 1 of 1 pods")),
        "{cpu:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn memory_that_leaks_is_found_before_the_limit_kills() {
    let bench = Bench::new("metrics-bad");
    // 190 Mi, and 4 Mi more each minute.
    let end = bench
        .ends(
            auto(),
            measured(&json!({"resource": "memory", "max": "45%"}), 600),
            Outcome::RolledBack,
        )
        .await;
    assert_eq!(end.cause, Some(Cause::Unhealthy));
    assert!(
        end.text.contains(" is above 45% (3 evaluations in a row)"),
        "{}",
        end.text
    );
    let first = &bench.results("memory")[3];
    assert_eq!(first.verdict, Verdict::Healthy, "{first:?}");
}

#[tokio::test(start_paused = true)]
async fn memory_is_compared_with_stables() {
    let bench = Bench::new("metrics-bad");
    let options = json!({"name": "heap", "resource": "memory", "maxRatio": 1.2});
    let end = bench
        .ends(auto(), measured(&options, 60), Outcome::RolledBack)
        .await;
    assert!(end.text.contains("heap: "), "{}", end.text);
    assert!(
        end.text.contains(" Mi is more than 1.2× stable's 150 Mi"),
        "{}",
        end.text
    );
}

#[tokio::test(start_paused = true)]
async fn a_container_that_is_killed_for_memory_does_not_pass_as_empty() {
    let bench = Bench::new("oom");
    let options = json!({"resource": "memory", "max": "60%"});
    let end = bench
        .ends(auto(), measured(&options, 300), Outcome::RolledBack)
        .await;
    assert_eq!(end.cause, Some(Cause::Unhealthy), "{}", bench.told());
    assert!(end.text.contains("is above 60%"), "{}", end.text);
}

// === what is not measured is unknown ===

async fn knows_nothing(bench: &Bench, options: &Value, why: Unknown, said: &str) {
    let end = bench.drive(auto(), measured(options, 30)).await.unwrap();
    assert_eq!(end.outcome, Outcome::Paused, "{}", bench.told());
    assert_eq!(end.release.step, 0);
    let memory = bench.results("memory");
    assert!(!memory.is_empty());
    for result in &memory {
        assert_eq!(result.verdict, Verdict::Unknown, "{result:?}");
        assert_eq!(result.unknown, Some(why), "{result:?}");
        assert!(result.text.contains(said), "{}", result.text);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_metrics_server_nothing_is_known() {
    let bench = Bench::edited("healthy", &[("metrics_server: true\n", "")]);
    let options = json!({"resource": "memory", "max": "90%"});
    let said = "metrics-server is missing";
    knows_nothing(&bench, &options, Unknown::SourceDown, said).await;
}

#[tokio::test(start_paused = true)]
async fn without_the_right_it_says_which() {
    let bench = Bench::new("healthy");
    bench
        .sim
        .server()
        .set_rules(Rules::new("dev").deny("list", "metrics.k8s.io", "pods"));
    let options = json!({"resource": "memory", "max": "90%"});
    let said = "list pods.metrics.k8s.io";
    knows_nothing(&bench, &options, Unknown::SourceDown, said).await;
    let said = first_look(&bench, &options).await;
    let lacks = |f: &Finding| f.what == "you may not list pods.metrics.k8s.io";
    let lacks = said.iter().find(|f| lacks(f));
    assert_eq!(lacks.map(|f| f.severity), Some(Severity::Error), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_share_of_no_limit_is_a_wrong_question() {
    let unlimited = |name: &str| {
        let patch =
            json!([{"op": "remove", "path": "/spec/template/spec/containers/0/resources/limits"}]);
        json!({"kind": "Deployment", "name": name, "patch": patch})
    };
    let mut scenario = Scenario::builtin("healthy").unwrap();
    scenario.edits = ["payment-api-stable", "payment-api-canary"]
        .map(|name| serde_json::from_value(unlimited(name)).unwrap())
        .to_vec();
    let bench = Bench::with(scenario.clone());
    bench.wait(60).await;
    let options = json!({"resource": "memory", "max": "90%"});
    let said = "container payment-api has no memory limit";
    knows_nothing(&bench, &options, Unknown::Query, said).await;
    let bench = Bench::with(scenario);
    let options = json!({"resource": "memory", "max": "400Mi"});
    bench
        .ends(auto(), measured(&options, 30), Outcome::Promoted)
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_first_look_says_what_stable_uses() {
    let bench = Bench::new("healthy");
    bench.wait(60).await;
    let of = |said: &[Finding]| {
        let found = said.iter().find(|f| f.place == "check memory").cloned();
        found.unwrap_or_else(|| panic!("{said:?}"))
    };
    let fine = of(&first_look(&bench, &json!({"resource": "memory", "max": "90%"})).await);
    assert_eq!(fine.severity, Severity::Ok, "{fine:?}");
    assert_eq!(fine.what, "the check works on stable: 23.44%, 9 asked");
    let tight = of(&first_look(&bench, &json!({"resource": "memory", "max": "100Mi"})).await);
    assert_eq!(tight.severity, Severity::Error, "{tight:?}");
    assert!(tight.what.contains("120 Mi (9 of 9 answers)"), "{tight:?}");
    assert!(tight.why.contains("≤ 100 Mi"), "{tight:?}");
}

async fn first_look(bench: &Bench, options: &Value) -> Vec<Finding> {
    let cluster = bench.cluster();
    let survey = cluster.survey("canaryctl-payment-api", &[], Knowledge::Named);
    let survey = survey.await.unwrap();
    let names = discover::names(&survey, NAMESPACE, APP, None, None, None).unwrap();
    let router = RouterSpec {
        name: "replicas".into(),
        options: Value::Null,
    };
    let plan = measured(options, 60);
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
