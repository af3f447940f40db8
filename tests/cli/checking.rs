//! `check`, and what `monitor --export` writes.

use std::path::PathBuf;

use insta::assert_snapshot;

use super::Console;

/// A file that does not exist yet, and is gone afterwards.
struct Fresh(PathBuf);

impl Fresh {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("canaryctl-{}-{name}", std::process::id()));
        drop(std::fs::remove_file(&path));
        Self(path)
    }

    /// Monitors for 10 s into the file, twice, and returns what is in it.
    async fn exported(&self) -> String {
        let console = Console::on("healthy").await;
        let path = self.0.to_str().unwrap();
        let line =
            format!("monitor payment-api -n canary-release --duration 10s -q --export {path}");
        for _ in 0..2 {
            let ran = console.run(&line).await;
            assert_eq!(ran.code, 0, "{}", ran.text());
        }
        std::fs::read_to_string(&self.0).unwrap()
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

#[tokio::test(start_paused = true)]
async fn monitor_appends_rows_to_a_table() {
    let file = Fresh::new("looks.csv");
    assert_snapshot!(file.exported().await, @r#"
    timestamp,version,metric,value
    2026-01-05T09:01:00Z,stable,"weight",90
    2026-01-05T09:01:00Z,canary,"weight",10
    2026-01-05T09:01:00Z,stable,"replicas",9
    2026-01-05T09:01:00Z,stable,"ready",9
    2026-01-05T09:01:00Z,stable,"restarts",0
    2026-01-05T09:01:00Z,canary,"replicas",1
    2026-01-05T09:01:00Z,canary,"ready",1
    2026-01-05T09:01:00Z,canary,"restarts",0
    2026-01-05T09:01:00Z,canary,"pods verdict",healthy
    2026-01-05T09:01:10Z,stable,"weight",90
    2026-01-05T09:01:10Z,canary,"weight",10
    2026-01-05T09:01:10Z,stable,"replicas",9
    2026-01-05T09:01:10Z,stable,"ready",9
    2026-01-05T09:01:10Z,stable,"restarts",0
    2026-01-05T09:01:10Z,canary,"replicas",1
    2026-01-05T09:01:10Z,canary,"ready",1
    2026-01-05T09:01:10Z,canary,"restarts",0
    2026-01-05T09:01:10Z,canary,"pods verdict",healthy
    2026-01-05T09:01:10Z,stable,"weight",90
    2026-01-05T09:01:10Z,canary,"weight",10
    2026-01-05T09:01:10Z,stable,"replicas",9
    2026-01-05T09:01:10Z,stable,"ready",9
    2026-01-05T09:01:10Z,stable,"restarts",0
    2026-01-05T09:01:10Z,canary,"replicas",1
    2026-01-05T09:01:10Z,canary,"ready",1
    2026-01-05T09:01:10Z,canary,"restarts",0
    2026-01-05T09:01:10Z,canary,"pods verdict",healthy
    2026-01-05T09:01:20Z,stable,"weight",90
    2026-01-05T09:01:20Z,canary,"weight",10
    2026-01-05T09:01:20Z,stable,"replicas",9
    2026-01-05T09:01:20Z,stable,"ready",9
    2026-01-05T09:01:20Z,stable,"restarts",0
    2026-01-05T09:01:20Z,canary,"replicas",1
    2026-01-05T09:01:20Z,canary,"ready",1
    2026-01-05T09:01:20Z,canary,"restarts",0
    2026-01-05T09:01:20Z,canary,"pods verdict",healthy
    "#);
}

#[tokio::test(start_paused = true)]
async fn monitor_appends_an_object_per_look() {
    let file = Fresh::new("looks.jsonl");
    let text = file.exported().await;
    let looks: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let short = |look: &serde_json::Value| {
        format!(
            "{} version {}, canary {} ready, {} checks",
            look["at"],
            look["version"],
            look["canary"]["ready"],
            look["checks"].as_array().unwrap().len()
        )
    };
    let looks: Vec<String> = looks.iter().map(short).collect();
    assert_snapshot!(looks.join("\n"), @r#"
    "2026-01-05T09:01:00Z" version 1, canary 1 ready, 1 checks
    "2026-01-05T09:01:10Z" version 1, canary 1 ready, 1 checks
    "2026-01-05T09:01:10Z" version 1, canary 1 ready, 1 checks
    "2026-01-05T09:01:20Z" version 1, canary 1 ready, 1 checks
    "#);
}

#[tokio::test(start_paused = true)]
async fn monitor_says_where_it_cannot_write() {
    let console = Console::on("healthy").await;
    let line = "monitor payment-api -n canary-release --duration 0s -q --export /nowhere/looks.csv";
    assert_snapshot!(console.shows(line).await, @r#"
    $ canaryctl monitor payment-api -n canary-release --duration 0s -q --export /nowhere/looks.csv
    exit 1
    --- stdout
    09:01:00Z  canary 10%  stable 9/9  canary 1/1  ✓ 1 healthy
    --- stderr
    error: /nowhere/looks.csv: No such file or directory (os error 2)
    hint: check the path given with --export
    "#);
}

#[tokio::test(start_paused = true)]
async fn check_finds_nothing_that_would_break() {
    let console = Console::on("healthy").await;
    assert_snapshot!(console.shows("check payment-api -n canary-release").await, @r"
    $ canaryctl check payment-api -n canary-release
    exit 0
    --- stdout
    ! warning  nothing but the pods is checked
               where  plan of payment-api
               why    a version that runs and answers every request with an error would be promoted
               fix    add a check to canary.yaml, such as `- http: {path: /health}` or one of the
                      success rate

    - note     Services that select one side only: payment-api-canary-service (canary),
               payment-api-stable-service (stable)
               where  namespace canary-release
               why    their clients bypass the division of traffic; a side with no pods leaves them
                      without an answer

    - note     real shares with 10 pods: 10% → 1 of 10, 25% → 3 of 10 = 30%, 50% → 5 of 10, 75% → 8 of
               10 = 80%, 100% → 10 of 10
               where  Deployment canary-release/payment-api-stable
               why    whole pods divide traffic: the real share is shown next to the one asked for

    ✓ ok       stable is rolled out: 9 pods ready (Deployment canary-release/payment-api-stable)
    ✓ ok       the canary is there with 1 replica (Deployment canary-release/payment-api-canary)
    ✓ ok       another version: registry.example/payment-api:1.5.0 → registry.example/payment-api:2.0.0
               (Deployment canary-release/payment-api-canary)
    ✓ ok       the Service selects the pods of both sides (Service canary-release/payment-api-service)
    ✓ ok       10 endpoints ready (Service canary-release/payment-api-service)
    ✓ ok       no autoscaler scales either side (namespace canary-release)
    ✓ ok       Deployments are not managed by GitOps, Helm or an operator (Deployment
               canary-release/payment-api-stable)
    ✓ ok       the check works on stable: pods ready, 9 asked (check pods)
    ✓ ok       you have all permissions for status, set, monitor, rollback, promote, auto, check,
               approve, history (namespace canary-release)
    ✓ ok       no run before this one (ConfigMap canary-release/canaryctl-payment-api)
    ✓ ok       its clock agrees with ours (API server)

    ready, with warnings (0 errors, 1 warning, 2 notes, 11 ok)
    ");
}

#[tokio::test(start_paused = true)]
async fn check_finds_what_would_break_and_how_to_mend_it() {
    let console = Console::on("quota").await;
    assert_snapshot!(console.shows("check payment-api -n canary-release").await, @r"
    $ canaryctl check payment-api -n canary-release
    exit 2
    --- stdout
    ✗ error    the release needs 10 pods more at the promotion, the quota has room for 0 (10 of 10 used)
               where  ResourceQuota canary-release/pods
               why    the peak is 10 pods of stable and 10 of the canary, over the quota: new pods would
                      be rejected
               fix    raise pods of the quota to 20, or scale stable down before

    ! warning  nothing but the pods is checked
               where  plan of payment-api
               why    a version that runs and answers every request with an error would be promoted
               fix    add a check to canary.yaml, such as `- http: {path: /health}` or one of the
                      success rate

    - note     Services that select one side only: payment-api-canary-service (canary),
               payment-api-stable-service (stable)
               where  namespace canary-release
               why    their clients bypass the division of traffic; a side with no pods leaves them
                      without an answer

    - note     real shares with 10 pods: 10% → 1 of 10, 25% → 3 of 10 = 30%, 50% → 5 of 10, 75% → 8 of
               10 = 80%, 100% → 10 of 10
               where  Deployment canary-release/payment-api-stable
               why    whole pods divide traffic: the real share is shown next to the one asked for

    ✓ ok       stable is rolled out: 9 pods ready (Deployment canary-release/payment-api-stable)
    ✓ ok       the canary is there with 1 replica (Deployment canary-release/payment-api-canary)
    ✓ ok       another version: registry.example/payment-api:1.5.0 → registry.example/payment-api:2.0.0
               (Deployment canary-release/payment-api-canary)
    ✓ ok       the Service selects the pods of both sides (Service canary-release/payment-api-service)
    ✓ ok       10 endpoints ready (Service canary-release/payment-api-service)
    ✓ ok       no autoscaler scales either side (namespace canary-release)
    ✓ ok       Deployments are not managed by GitOps, Helm or an operator (Deployment
               canary-release/payment-api-stable)
    ✓ ok       the check works on stable: pods ready, 9 asked (check pods)
    ✓ ok       you have all permissions for status, set, monitor, rollback, promote, auto, check,
               approve, history (namespace canary-release)
    ✓ ok       no run before this one (ConfigMap canary-release/canaryctl-payment-api)
    ✓ ok       its clock agrees with ours (API server)

    not ready: fix the errors above (1 error, 1 warning, 2 notes, 11 ok)
    ");
    let json = console
        .shows("check payment-api -n canary-release -o json")
        .await;
    let first: Vec<&str> = json.lines().take(15).collect();
    assert_snapshot!(first.join("\n"), @r#"
    $ canaryctl check payment-api -n canary-release -o json
    exit 2
    --- stdout
    {
      "version": 1,
      "app": "payment-api",
      "namespace": "canary-release",
      "findings": [
        {
          "severity": "error",
          "what": "the release needs 10 pods more at the promotion, the quota has room for 0 (10 of 10 used)",
          "place": "ResourceQuota canary-release/pods",
          "why": "the peak is 10 pods of stable and 10 of the canary, over the quota: new pods would be rejected",
          "fix": "raise pods of the quota to 20, or scale stable down before"
        },
    "#);
}
