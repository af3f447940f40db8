//! Releases on a server that is older than the versions this tool asks for first.

use std::sync::{Arc, Mutex};

use canaryctl::{
    cluster::{Cluster, Reason, objects::Survey, routing::Knowledge},
    domain::{decide::Request, release::Outcome},
    engine::start::Intent,
    sim::fault::{Attempt, Fault, Plan},
};
use k8s_openapi::api::{discovery::v1::EndpointSlice, policy::v1::PodDisruptionBudget};
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::support::{Bench, CANARY, STABLE, auto, plan, set};

/// What was asked, as `METHOD path`.
type Asked = Arc<Mutex<Vec<String>>>;

/// A connection to a server that does not serve some versions, and what is asked on it.
fn without(bench: &Bench, versions: &'static [&'static str]) -> (Cluster, Asked) {
    let asked = Asked::default();
    let seen = asked.clone();
    let plan = Plan::new(bench.clock.clone(), move |call: &Attempt<'_>| {
        let line = format!("{} {}", call.method, call.path);
        seen.lock().unwrap().push(line);
        let missing = |version: &&str| call.path.starts_with(&format!("/apis/{version}/"));
        if versions.iter().any(missing) {
            // In the words of a server whose group has no such version.
            return Fault::Status(404, None);
        }
        Fault::None
    });
    (bench.faulty(&plan), asked)
}

fn count(asked: &Asked, part: &str) -> usize {
    let asked = asked.lock().unwrap();
    asked.iter().filter(|line| line.contains(part)).count()
}

/// The bounds of stable's autoscaler, and whether a release holds it.
fn bounds(bench: &Bench) -> (Value, Value, bool) {
    let hpa = bench.object("horizontalpodautoscalers", STABLE).unwrap();
    let pinned = !hpa["metadata"]["annotations"]["canaryctl.dev/pinned"].is_null();
    let spec = &hpa["spec"];
    (
        spec["minReplicas"].clone(),
        spec["maxReplicas"].clone(),
        pinned,
    )
}

async fn survey(cluster: &Cluster) -> Survey {
    let survey = cluster.survey("canaryctl-payment-api", &[], Knowledge::Named);
    survey.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_of_an_older_version_is_held_and_let_go() {
    let bench = Bench::new("hpa-fights");
    let metrics = |bench: &Bench| {
        let hpa = bench.object("horizontalpodautoscalers", STABLE).unwrap();
        hpa["spec"]["metrics"].clone()
    };
    let before = metrics(&bench);
    let (cluster, asked) = without(&bench, &["autoscaling/v2"]);
    let mut sitting = bench.sitting(auto(), plan(&[10, 50, 100], 120));
    sitting.cluster = cluster;
    let held = async {
        bench.until_step(2).await;
        assert!(bounds(&bench).2, "not held:\n{}", bench.told());
    };
    let (end, ()) = tokio::join!(bench.run(sitting), held);
    assert_eq!(end.unwrap().outcome, Outcome::Promoted, "{}", bench.told());
    assert_eq!(bounds(&bench), (json!(5), json!(15), false));
    assert_eq!(metrics(&bench), before);
    // The connection remembers what the server has.
    assert_eq!(count(&asked, "/apis/autoscaling/v2/"), 1, "{asked:?}");
    assert!(count(&asked, "PATCH /apis/autoscaling/v1/") > 1);
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_of_an_older_version_is_let_go_by_a_rollback() {
    let bench = Bench::new("hpa-fights");
    let (cluster, _) = without(&bench, &["autoscaling/v2"]);
    let mut sitting = bench.sitting(auto(), plan(&[10, 50, 100], 300));
    sitting.cluster = cluster;
    let operator = async {
        bench.until_step(2).await;
        assert!(bounds(&bench).2, "not held:\n{}", bench.told());
        bench.requests.send_replace(Some(Request::Rollback));
    };
    let (end, ()) = tokio::join!(bench.run(sitting), operator);
    assert_eq!(
        end.unwrap().outcome,
        Outcome::RolledBack,
        "{}",
        bench.told()
    );
    assert_eq!(bounds(&bench), (json!(5), json!(15), false));
    assert_eq!(bench.replicas(CANARY), 0);
}

#[tokio::test(start_paused = true)]
async fn another_process_lets_go_what_was_held_in_an_older_version() {
    let bench = Bench::new("hpa-fights");
    let mut first = bench.sitting(set("50"), plan(&[50], 20));
    first.cluster = without(&bench, &["autoscaling/v2"]).0;
    assert_eq!(bench.run(first).await.unwrap().outcome, Outcome::AtWeight);
    assert!(bounds(&bench).2, "not held");
    let mut second = bench.sitting(Intent::Rollback, plan(&[50], 20));
    second.cluster = without(&bench, &["autoscaling/v2"]).0;
    let end = bench.run(second).await.unwrap();
    assert_eq!(end.outcome, Outcome::RolledBack);
    assert_eq!(bounds(&bench), (json!(5), json!(15), false));
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_missing_is_not_an_autoscaler_that_is() {
    let bench = Bench::new("hpa-fights");
    let (older, _) = without(&bench, &["autoscaling/v2"]);
    let seen = survey(&older).await;
    assert!(seen.autoscalers_known);
    assert!(seen.autoscaler(STABLE).is_some());
    let (neither, _) = without(&bench, &["autoscaling/v2", "autoscaling/v1"]);
    let seen = survey(&neither).await;
    assert!(!seen.autoscalers_known, "taken for none");
}

#[tokio::test(start_paused = true)]
async fn the_present_versions_are_asked_for_alone_where_they_are_served() {
    let bench = Bench::new("hpa-fights");
    let (cluster, asked) = without(&bench, &[]);
    survey(&cluster).await;
    assert_eq!(count(&asked, "/apis/autoscaling/v2/"), 1);
    assert_eq!(count(&asked, "/apis/autoscaling/v1/"), 0);
}

#[tokio::test(start_paused = true)]
async fn slices_and_budgets_are_asked_for_in_the_older_version_next() {
    let bench = Bench::new("healthy");
    let (cluster, asked) = without(&bench, &["discovery.k8s.io/v1", "policy/v1"]);
    let all = ListParams::default();
    let slices = cluster.list_grown::<EndpointSlice>("slices", &all).await;
    // The simulated server is of today: it has not got the older ones either.
    assert_eq!(slices.unwrap_err().reason, Reason::NotServed);
    let budgets = cluster.list_grown::<PodDisruptionBudget>("budgets", &all);
    assert_eq!(budgets.await.unwrap_err().reason, Reason::NotServed);
    assert_eq!(count(&asked, "/apis/discovery.k8s.io/v1beta1/"), 1);
    assert_eq!(count(&asked, "/apis/policy/v1beta1/"), 1);
}
