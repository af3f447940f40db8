//! What `check` finds on the simulated cluster, healthy and changed.

use std::{collections::BTreeMap, time::Duration};

use canaryctl::{
    clock::Clock,
    cluster::{Cluster, discover, routing::Knowledge},
    domain::{
        check::CheckSpec,
        plan::{Cleanup, Load, LoadRequest, Plan, Strategy},
        release::RouterSpec,
        view::{Finding, Severity},
    },
    health,
    preflight::{Subject, findings, worst},
    sim::{SimCluster, api::Rules, scenario::Scenario},
};
use serde_json::{Value, json};

use crate::support::{APP, Bench, NAMESPACE, auto, check, payment_checks, plan};

const STABLE: &str = "payment-api-stable";
const CANARY: &str = "payment-api-canary";
const SERVICE: &str = "payment-api-service";

/// A cluster to look at, and what would be released on it.
struct Case {
    scenario: Scenario,
    plan: Plan,
    options: Value,
    images: BTreeMap<String, String>,
    rules: Rules,
}

impl Case {
    fn new() -> Self {
        let plan = Plan {
            checks: payment_checks(),
            ..plan(&[10, 50, 100], 60)
        };
        Self {
            scenario: Scenario::builtin("healthy").unwrap(),
            plan,
            options: Value::Null,
            images: BTreeMap::new(),
            rules: Rules::default(),
        }
    }

    /// Changes an object: JSON patch operations.
    fn edit(mut self, kind: &str, name: &str, patch: impl Into<Value>) -> Self {
        let edit = json!({"kind": kind, "name": name, "patch": patch.into()});
        self.scenario
            .edits
            .push(serde_json::from_value(edit).unwrap());
        self
    }

    fn stable(self, path: &str, value: Value) -> Self {
        self.edit("Deployment", STABLE, set(path, value))
    }

    fn canary(self, path: &str, value: Value) -> Self {
        self.edit("Deployment", CANARY, set(path, value))
    }

    fn object(mut self, object: Value) -> Self {
        self.scenario.objects.push(object);
        self
    }

    fn deny(mut self, verb: &str, group: &str, resource: &str) -> Self {
        self.rules = self.rules.deny(verb, group, resource);
        self
    }

    fn planned(mut self, change: impl FnOnce(&mut Plan)) -> Self {
        change(&mut self.plan);
        self
    }

    fn checked(self, checks: Vec<CheckSpec>) -> Self {
        self.planned(|plan| plan.checks = checks)
    }

    async fn look(self) -> Found {
        let epoch = "2026-01-05T09:00:00Z".parse().unwrap();
        let clock = Clock::simulated(epoch, 1.0);
        let objects = self.scenario.objects().unwrap();
        // The edits are in the objects now; a second time they may not apply.
        let scenario = Scenario {
            edits: Vec::new(),
            ..self.scenario
        };
        let sim = SimCluster::start(scenario, Some(objects), clock.clone()).unwrap();
        clock.sleep(Duration::from_secs(90)).await;
        sim.server().set_rules(self.rules);
        let cluster = Cluster::new(sim.client(NAMESPACE), NAMESPACE, clock);
        look(&cluster, &self.plan, &self.options, &self.images).await
    }
}

async fn look(
    cluster: &Cluster,
    plan: &Plan,
    options: &Value,
    images: &BTreeMap<String, String>,
) -> Found {
    let survey = cluster
        .survey("canaryctl-payment-api", &[], Knowledge::Named)
        .await
        .unwrap();
    let names = discover::names(&survey, NAMESPACE, APP, None, None, None).unwrap();
    let router = RouterSpec {
        name: "replicas".into(),
        options: options.clone(),
    };
    let subject = Subject {
        app: APP,
        names: &names,
        router: &router,
        plan,
        route: None,
        create: true,
        images,
    };
    Found(findings(cluster, &survey, &subject).await.unwrap())
}

/// Returns the patch that sets one field.
fn set(path: &str, value: Value) -> Value {
    json!([{"op": "add", "path": path, "value": value}])
}

struct Found(Vec<Finding>);

impl Found {
    /// Asserts that something was found, that bad.
    #[track_caller]
    fn has(&self, severity: Severity, what: &str) {
        let mut all = self.0.iter();
        let hit = all.any(|f| f.severity == severity && f.what.contains(what));
        assert!(hit, "no {severity:?} '{what}' among:\n{}", self.text());
    }

    #[track_caller]
    fn lacks(&self, severity: Severity) {
        let bad = self.0.iter().any(|f| f.severity == severity);
        assert!(!bad, "{}", self.text());
    }

    fn text(&self) -> String {
        let line = |f: &Finding| {
            format!(
                "{:?} {} [{}] {} — {}",
                f.severity, f.what, f.place, f.why, f.fix
            )
        };
        self.0.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

// === all is well ===

#[tokio::test(start_paused = true)]
async fn a_healthy_payment_api_is_ready_to_release() {
    let found = Case::new().look().await;
    found.lacks(Severity::Error);
    found.lacks(Severity::Warning);
    for what in [
        "stable is rolled out: 9 pods ready",
        "another version",
        "the Service selects the pods of both sides",
        "10 endpoints ready",
        "every step is reached exactly",
        "no autoscaler scales either side",
        "not managed by GitOps",
        "you have all permissions for status",
        "no run before this one",
        "the check works on stable",
    ] {
        found.has(Severity::Ok, what);
    }
    found.has(Severity::Note, "Services that select one side only");
}

#[tokio::test(start_paused = true)]
async fn errors_come_first() {
    let found = Case::new()
        .stable("/spec/paused", json!(true))
        .planned(|plan| plan.steps = crate::support::steps(&[2, 100], 60))
        .look()
        .await;
    let severities: Vec<Severity> = found.0.iter().map(|f| f.severity).collect();
    assert!(severities.is_sorted(), "{}", found.text());
    assert_eq!(worst(&found.0), Severity::Error);
}

#[tokio::test(start_paused = true)]
async fn a_look_changes_nothing() {
    let bench = Bench::new("healthy");
    bench.clock.sleep(Duration::from_secs(90)).await;
    let objects = |bench: &Bench| {
        let store = bench.sim.server().store();
        let list = |group: &str, plural: &str| store.list(group, plural, NAMESPACE).0;
        let kinds = [
            ("apps", "deployments"),
            ("", "configmaps"),
            ("", "services"),
        ];
        kinds.map(|(group, plural)| list(group, plural))
    };
    let before = objects(&bench);
    let plan = Plan {
        checks: payment_checks(),
        ..plan(&[10, 100], 60)
    };
    look(&bench.cluster(), &plan, &Value::Null, &BTreeMap::new()).await;
    assert_eq!(before, objects(&bench));
}

// === workloads ===

#[tokio::test(start_paused = true)]
async fn a_paused_stable_is_an_error() {
    let found = Case::new().stable("/spec/paused", json!(true)).look().await;
    found.has(Severity::Error, "payment-api-stable is paused");
}

#[tokio::test(start_paused = true)]
async fn a_stable_without_pods_is_an_error() {
    let found = Case::new().stable("/spec/replicas", json!(0)).look().await;
    found.has(Severity::Error, "stable is scaled to 0");
}

#[tokio::test(start_paused = true)]
async fn a_stable_that_is_not_all_there_is_a_warning() {
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "pods", "namespace": NAMESPACE}, "spec": {"hard": {"pods": "10"}},
    });
    let case = Case::new()
        .object(quota)
        .stable("/spec/replicas", json!(14));
    let found = case.look().await;
    found.has(Severity::Warning, "stable is still progressing");
}

#[tokio::test(start_paused = true)]
async fn the_same_version_on_both_sides_is_an_error() {
    let found = Case::new()
        .canary(
            "/spec/template/spec/containers/0/image",
            json!("registry.example/payment-api:1.5.0"),
        )
        .canary(
            "/spec/template/spec/containers/0/env/2/value",
            json!("stable-v1.5.0"),
        )
        .look()
        .await;
    found.has(Severity::Error, "the same version");
}

#[tokio::test(start_paused = true)]
async fn equal_images_with_another_template_are_noted() {
    let found = Case::new()
        .canary(
            "/spec/template/spec/containers/0/image",
            json!("registry.example/payment-api:1.5.0"),
        )
        .look()
        .await;
    found.has(Severity::Note, "the images are equal");
    let note = found
        .0
        .iter()
        .find(|f| f.what.contains("the images are equal"))
        .unwrap();
    assert_eq!(
        note.why,
        "the release is about spec.containers[0].env[2].value"
    );
}

#[tokio::test(start_paused = true)]
async fn an_absent_canary_is_noted_and_its_image_compared() {
    let mut case = Case::new();
    case.scenario.base = canaryctl::sim::scenario::Base::None;
    let mut objects = Scenario::builtin("healthy").unwrap().objects().unwrap();
    objects.retain(|o| o["metadata"]["name"] != CANARY);
    case.scenario.objects = objects;
    case.images = BTreeMap::from([(
        "payment-api".into(),
        "registry.example/payment-api:2.0.0".into(),
    )]);
    let found = case.look().await;
    found.has(Severity::Note, "there is no canary Deployment yet");
    found.has(
        Severity::Ok,
        "payment-api:1.5.0 → registry.example/payment-api:2.0.0",
    );
    found.lacks(Severity::Error);
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_crashes_already_is_an_error() {
    let mut case = Case::new();
    case.scenario = Scenario::builtin("image-missing").unwrap();
    let found = case.look().await;
    found.has(
        Severity::Warning,
        "pods of the canary are in trouble already",
    );
}

#[tokio::test(start_paused = true)]
async fn a_stable_without_history_cannot_be_restored() {
    let found = Case::new()
        .stable("/spec/revisionHistoryLimit", json!(0))
        .look()
        .await;
    found.has(Severity::Error, "revisionHistoryLimit is 0");
    let found = Case::new()
        .stable("/spec/revisionHistoryLimit", json!(0))
        .planned(|plan| plan.promote.strategy = Strategy::None)
        .look()
        .await;
    found.has(Severity::Note, "revisionHistoryLimit is 0");
}

#[tokio::test(start_paused = true)]
async fn a_stable_that_recreates_is_noted() {
    let found = Case::new()
        .stable("/spec/strategy", json!({"type": "Recreate"}))
        .look()
        .await;
    found.has(Severity::Note, "Recreate");
}

#[tokio::test(start_paused = true)]
async fn times_that_do_not_fit_the_plan_are_errors() {
    let found = Case::new()
        .canary("/spec/progressDeadlineSeconds", json!(1000))
        .canary("/spec/minReadySeconds", json!(400))
        .canary(
            "/spec/template/spec/containers/0/readinessProbe/initialDelaySeconds",
            json!(300),
        )
        .look()
        .await;
    found.has(
        Severity::Error,
        "minReadySeconds is 6m 40s, readyTimeout is 5m",
    );
    found.has(Severity::Error, "the first readiness probe comes after 5m");
    found.has(Severity::Note, "progressDeadlineSeconds (16m 40s)");
}

#[tokio::test(start_paused = true)]
async fn a_missing_readiness_probe_and_a_loose_image_are_warnings() {
    let remove =
        json!([{"op": "remove", "path": "/spec/template/spec/containers/0/readinessProbe"}]);
    let found = Case::new()
        .edit("Deployment", CANARY, remove)
        .canary(
            "/spec/template/spec/containers/0/image",
            json!("registry.example/payment-api:latest"),
        )
        .look()
        .await;
    found.has(Severity::Warning, "no readiness probe: payment-api");
    found.has(Severity::Warning, "the version is not pinned");
}

// === Services ===

#[tokio::test(start_paused = true)]
async fn a_service_that_selects_one_side_only_is_an_error() {
    let found = Case::new()
        .edit(
            "Service",
            SERVICE,
            set("/spec/selector/version", json!("stable")),
        )
        .edit("Service", SERVICE, set("/metadata/name", json!(APP)))
        .look()
        .await;
    found.has(
        Severity::Error,
        "does not select the pods of canary: they lack version=stable",
    );
}

#[tokio::test(start_paused = true)]
async fn no_service_of_both_sides_is_an_error() {
    let found = Case::new()
        .edit(
            "Service",
            SERVICE,
            set("/spec/selector/version", json!("stable")),
        )
        .look()
        .await;
    found.has(
        Severity::Error,
        "no Service selects the pods of both Deployments",
    );
}

#[tokio::test(start_paused = true)]
async fn a_named_port_that_pods_lack_is_an_error() {
    let found = Case::new()
        .edit(
            "Service",
            SERVICE,
            set("/spec/ports/0/targetPort", json!("http")),
        )
        .stable(
            "/spec/template/spec/containers/0/ports/0/name",
            json!("http"),
        )
        .checked(vec![health::pods::default_check()])
        .look()
        .await;
    found.has(
        Severity::Error,
        "the pods of canary have no port named http",
    );
}

#[tokio::test(start_paused = true)]
async fn a_stable_service_that_selects_canary_pods_is_a_warning() {
    let remove = json!([{"op": "remove", "path": "/spec/selector/version"}]);
    let found = Case::new()
        .edit("Service", "payment-api-stable-service", remove)
        .look()
        .await;
    found.has(
        Severity::Warning,
        "is called stable and selects pods of canary too",
    );
    found.has(Severity::Note, "several Services select both sides");
}

#[tokio::test(start_paused = true)]
async fn a_canary_service_that_selects_nobody_is_a_warning() {
    let found = Case::new()
        .edit(
            "Service",
            "payment-api-canary-service",
            set("/spec/selector/version", json!("v2")),
        )
        .look()
        .await;
    found.has(Severity::Warning, "does not select the pods of canary");
}

#[tokio::test(start_paused = true)]
async fn services_that_do_not_divide_by_pods_are_told() {
    let found = Case::new()
        .edit(
            "Service",
            SERVICE,
            set("/spec/sessionAffinity", json!("ClientIP")),
        )
        .look()
        .await;
    found.has(Severity::Warning, "keeps clients at one pod");
    let external = json!([
        {"op": "add", "path": "/metadata/name", "value": APP},
        {"op": "replace", "path": "/spec", "value": {"type": "ExternalName", "externalName": "x.example"}},
    ]);
    let found = Case::new().edit("Service", SERVICE, external).look().await;
    found.has(Severity::Error, "ExternalName");
}

#[tokio::test(start_paused = true)]
async fn a_service_without_ready_endpoints_is_an_error() {
    let mut case = Case::new();
    let never = "versions: [{match: {image: payment-api}, ready: never}]";
    case.scenario.versions = Scenario::parse(never).unwrap().versions;
    let found = case.look().await;
    found.has(Severity::Error, "the Service has no ready endpoint");
    found.has(Severity::Error, "no pod of stable is ready");
}

#[tokio::test(start_paused = true)]
async fn a_selector_that_fits_the_other_side_is_a_warning() {
    let other = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "reports", "namespace": NAMESPACE},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "payment-api", "version": "stable", "job": "reports"}},
            "template": {
                "metadata": {"labels": {"app": "payment-api", "version": "stable", "job": "reports"}},
                "spec": {"containers": [{"name": "app", "image": "registry.example/reports:1.0"}]},
            },
        },
    });
    let found = Case::new().object(other).look().await;
    found.has(
        Severity::Warning,
        "the selector of stable also fits the pods of reports",
    );
}

#[tokio::test(start_paused = true)]
async fn a_network_policy_of_one_side_is_a_warning() {
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "db", "namespace": NAMESPACE},
        "spec": {"podSelector": {"matchLabels": {"version": "stable"}}},
    });
    let found = Case::new().object(policy).look().await;
    found.has(
        Severity::Warning,
        "the policy holds for the pods of stable only",
    );
}

// === shares ===

#[tokio::test(start_paused = true)]
async fn nobody_is_told_to_take_pods_away_for_a_share() {
    let found = Case::new()
        .stable("/spec/replicas", json!(8))
        .planned(|plan| plan.steps = crate::support::steps(&[50, 100], 60))
        .look()
        .await;
    let step = found.0.iter().find(|f| f.what.contains("the step 50%"));
    let fix = &step.unwrap().fix;
    assert!(fix.contains("--replicas=9 (10 pods in all)"), "{fix}");
}

#[tokio::test(start_paused = true)]
async fn steps_that_pods_cannot_do_are_warnings() {
    let case = Case::new().planned(|plan| plan.steps = crate::support::steps(&[1, 3, 100], 60));
    let found = case.look().await;
    found.has(Severity::Warning, "the step 1% really is 10%: 1 of 10 pods");
    found.has(Severity::Warning, "the steps 1% and 3% are the same pods");
    let first = found
        .0
        .iter()
        .find(|f| f.what.contains("the step 1%"))
        .unwrap();
    assert!(
        first.fix.contains("--replicas=99 (100 pods in all)"),
        "{}",
        first.fix
    );
}

// === autoscaling and quotas ===

fn autoscaler(min: u32, max: u32) -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": STABLE, "namespace": NAMESPACE},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": STABLE},
            "minReplicas": min, "maxReplicas": max,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}],
        },
    })
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_is_noted_and_its_maximum_compared() {
    let found = Case::new().object(autoscaler(9, 9)).look().await;
    found.has(
        Severity::Note,
        "an autoscaler scales stable between 9 and 9",
    );
    found.has(
        Severity::Warning,
        "the plan needs 10 pods of stable, maxReplicas is 9",
    );
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_is_an_error_where_it_is_refused() {
    let mut case = Case::new().object(autoscaler(9, 20));
    case.options = json!({"hpa": "refuse"});
    let found = case.look().await;
    found.has(Severity::Error, "`hpa: refuse` is set");
}

#[tokio::test(start_paused = true)]
async fn unreadable_autoscalers_are_a_warning() {
    let case = Case::new().deny("list", "autoscaling", "horizontalpodautoscalers");
    let found = case.look().await;
    found.has(Severity::Warning, "HorizontalPodAutoscalers cannot be read");
    found.has(
        Severity::Warning,
        "you may not list horizontalpodautoscalers.autoscaling",
    );
    found.lacks(Severity::Error);
}

#[tokio::test(start_paused = true)]
async fn a_full_quota_is_an_error_with_numbers() {
    let mut case = Case::new();
    case.scenario = Scenario::builtin("quota").unwrap();
    let found = case.look().await;
    found.has(
        Severity::Error,
        "the release needs 10 pods more at the promotion, the quota has room for 0 (10 of 10 used)",
    );
}

#[tokio::test(start_paused = true)]
async fn a_roomy_quota_is_fine_and_memory_counts() {
    let quota = |hard: Value| {
        json!({
            "apiVersion": "v1", "kind": "ResourceQuota",
            "metadata": {"name": "all", "namespace": NAMESPACE}, "spec": {"hard": hard},
        })
    };
    let found = Case::new()
        .object(quota(json!({"pods": "20"})))
        .look()
        .await;
    found.has(Severity::Ok, "the quota has room for the whole release");
    let found = Case::new()
        .object(quota(json!({"limits.memory": "9Gi"})))
        .look()
        .await;
    found.has(
        Severity::Error,
        "the release needs 5120 Mi limits.memory more",
    );
}

#[tokio::test(start_paused = true)]
async fn a_disruption_budget_is_noted() {
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "payments", "namespace": NAMESPACE},
        "spec": {"minAvailable": 5, "selector": {"matchLabels": {"app": "payment-api"}}},
    });
    let found = Case::new().object(budget).look().await;
    found.has(Severity::Note, "disruption budgets fit the pods: payments");
}

// === owners ===

#[tokio::test(start_paused = true)]
async fn owners_are_told_with_what_they_would_undo() {
    let argo = json!({"argocd.argoproj.io/tracking-id": "pay:apps/Deployment:a/b"});
    let found = Case::new()
        .stable("/metadata/annotations", argo)
        .look()
        .await;
    found.has(
        Severity::Warning,
        "Deployment payment-api-stable is synced by Argo CD (pay)",
    );
    let helm = json!({"meta.helm.sh/release-name": "pay"});
    let found = Case::new()
        .stable("/metadata/annotations", helm.clone())
        .canary("/metadata/annotations", helm)
        .look()
        .await;
    found.has(
        Severity::Warning,
        "Deployment payment-api-stable, Deployment payment-api-canary are installed by Helm (pay)",
    );
    let flux = "/metadata/labels/kustomize.toolkit.fluxcd.io~1name";
    let found = Case::new().canary(flux, json!("apps")).look().await;
    found.has(
        Severity::Warning,
        "Deployment payment-api-canary is applied by Flux (apps)",
    );
}

#[tokio::test(start_paused = true)]
async fn another_release_tool_is_an_error() {
    let service = json!({"argo-rollouts.argoproj.io/managed-by-rollouts": "payment-api"});
    let found = Case::new()
        .edit("Service", SERVICE, set("/metadata/annotations", service))
        .look()
        .await;
    found.has(Severity::Error, "released by Argo Rollouts (payment-api)");
}

// === rights ===

#[tokio::test(start_paused = true)]
async fn a_missing_right_of_auto_is_an_error() {
    let case = Case::new().deny("patch", "apps", "deployments/scale");
    let found = case.look().await;
    found.has(Severity::Error, "you may not patch deployments.apps/scale");
    found.has(
        Severity::Ok,
        "you have all permissions for status, monitor, check, approve, history",
    );
}

#[tokio::test(start_paused = true)]
async fn port_forward_without_create_is_an_error_and_so_is_the_check_that_needs_it() {
    let case =
        Case::new()
            .deny("create", "", "pods/portforward")
            .deny("get", "", "pods/portforward");
    let found = case.look().await;
    found.has(Severity::Error, "you may not create pods/portforward");
    found.has(Severity::Error, "the check gives no data on stable");
}

#[tokio::test(start_paused = true)]
async fn rights_are_told_even_when_pods_cannot_be_read() {
    let found = Case::new().deny("list", "", "pods").look().await;
    found.has(Severity::Error, "you may not list pods");
    found.has(Severity::Error, "cannot read Pods of namespace");
}

#[tokio::test(start_paused = true)]
async fn rights_that_only_some_plans_need_are_asked_for_those_plans_only() {
    let found = Case::new()
        .deny("delete", "apps", "deployments")
        .look()
        .await;
    found.lacks(Severity::Error);
    let found = Case::new()
        .deny("delete", "apps", "deployments")
        .planned(|plan| plan.promote.canary = Cleanup::Delete)
        .look()
        .await;
    found.has(Severity::Error, "you may not delete deployments.apps");
}

// === checks ===

#[tokio::test(start_paused = true)]
async fn a_plan_that_checks_only_pods_is_a_warning() {
    let found = Case::new()
        .checked(vec![health::pods::default_check()])
        .look()
        .await;
    found.has(Severity::Warning, "nothing but the pods is checked");
}

#[tokio::test(start_paused = true)]
async fn a_check_without_data_on_stable_is_an_error() {
    let wrong = json!({"path": "/metrics", "good": "body.ok", "total": "body.all", "min": "95%"});
    let found = Case::new()
        .checked(vec![check("http", &wrong)])
        .look()
        .await;
    found.has(Severity::Error, "the check gives no data on stable");
}

#[tokio::test(start_paused = true)]
async fn a_check_that_stable_breaks_is_an_error() {
    let wrong = json!({"path": "/health", "expect": "body.status == \"splendid\""});
    let found = Case::new()
        .checked(vec![check("http", &wrong)])
        .look()
        .await;
    found.has(Severity::Error, "stable itself breaks the check");
    let mild = json!({"path": "/health", "expect": "body.status == \"x\"", "severity": "warn"});
    let mut checks = payment_checks();
    checks.push(check("http", &mild));
    let found = Case::new().checked(checks).look().await;
    found.has(Severity::Warning, "stable itself breaks the check");
    found.lacks(Severity::Error);
}

#[tokio::test(start_paused = true)]
async fn the_paths_of_the_load_are_tried_but_for_writes() {
    let request = |method: &str, path: &str| LoadRequest {
        method: method.into(),
        path: path.into(),
        body: None,
    };
    let requests = vec![
        request("GET", "/health"),
        request("GET", "/nowhere"),
        request("POST", "/pay"),
        request("POST", "/pay"),
    ];
    let found = Case::new()
        .planned(|plan| {
            plan.load = Some(Load {
                rate: 1.0,
                requests,
            });
        })
        .look()
        .await;
    found.has(Severity::Ok, "stable answers with status 200");
    found.has(Severity::Note, "stable answers with status 404");
    let untried = "not tried, because it sends POST";
    found.has(Severity::Note, untried);
    assert_eq!(found.text().matches(untried).count(), 1);
}

// === journal ===

#[tokio::test(start_paused = true)]
async fn a_version_that_was_rolled_back_is_a_warning() {
    let bench = Bench::new("crash-loop");
    let plan = plan(&[50, 100], 60);
    bench.drive(auto(), plan.clone()).await.unwrap();
    let found = look(&bench.cluster(), &plan, &Value::Null, &BTreeMap::new()).await;
    found.has(
        Severity::Warning,
        "this very version was rolled back by run",
    );
    found.has(Severity::Ok, "is over: rolled back");
}

/// Returns a cluster on which a release has begun and then lost its driver, and what it is like
/// `later`.
async fn abandoned(later: u64) -> Found {
    let bench = Bench::new("healthy");
    let plan = plan(&[10, 100], 600);
    let limit = Duration::from_secs(240);
    let driven = bench
        .clock
        .timeout(limit, bench.drive(auto(), plan.clone()))
        .await;
    assert!(driven.is_err());
    bench.clock.sleep(Duration::from_secs(later)).await;
    look(&bench.cluster(), &plan, &Value::Null, &BTreeMap::new()).await
}

#[tokio::test(start_paused = true)]
async fn a_run_that_lives_is_an_error() {
    let found = abandoned(0).await;
    found.has(Severity::Error, "holder-1@host drives a release since");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_left_is_a_warning() {
    let found = abandoned(600).await;
    found.has(
        Severity::Warning,
        "is not finished: watching, left by holder-1@host",
    );
    found.lacks(Severity::Error);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_or_newer_journal_is_an_error() {
    let map = |release: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "canaryctl-payment-api", "namespace": NAMESPACE},
            "data": {"release.json": release},
        })
    };
    let found = Case::new().object(map("{")).look().await;
    found.has(Severity::Error, "cannot be read");
    let bench = Bench::new("crash-loop");
    bench.drive(auto(), plan(&[50, 100], 60)).await.unwrap();
    let store = bench.sim.server().store();
    let maps = store.list("", "configmaps", NAMESPACE).0;
    let text = maps
        .iter()
        .find_map(|m| m["data"]["release.json"].as_str())
        .unwrap();
    let newer = text.replacen("\"version\":1", "\"version\":2", 1);
    let found = Case::new().object(map(&newer)).look().await;
    found.has(Severity::Error, "the journal has format 2");
}

#[tokio::test(start_paused = true)]
async fn a_stable_without_pods_in_the_middle_of_a_run_is_no_error() {
    let bench = Bench::new("healthy");
    let plan = plan(&[100], 3600);
    let limit = Duration::from_secs(400);
    let driven = bench.drive(auto(), plan.clone());
    assert!(bench.clock.timeout(limit, driven).await.is_err());
    bench.clock.sleep(Duration::from_secs(600)).await;
    let found = look(&bench.cluster(), &plan, &Value::Null, &BTreeMap::new()).await;
    found.has(Severity::Note, "stable is scaled to 0 by the run");
}
