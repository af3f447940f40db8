//! A generated Role is enough for its verbs, and every rule of it is needed: without one, a verb says
//! which right is missing.

use canaryctl::sim::{api::Rules, scenario::parse_objects};
use insta::assert_snapshot;
use serde_json::Value;

use super::{Console, refusals::Folder};

const CONFIG: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/examples/payment-api/canary.yaml"
);

/// Cases of releases that the verbs below are not tried in.
const NOT_TRIED: &str = "--without usage,autoscaler,create,delete,restore";

/// Has a console's user do what the Role for a verb allows.
fn bind(console: &Console, role: &Value) {
    let rules = Rules::of_role("ci", role).unwrap();
    console.sim().server().set_rules(rules);
}

async fn role(verb: &str) -> Value {
    let line = format!("generate rbac payment-api --verb {verb} --strict {NOT_TRIED}");
    let text = Console::new().run(&line).await.out;
    parse_objects(&text).unwrap().remove(0)
}

/// A cluster where the commands before a verb have been run by somebody who may do everything.
async fn prepared(before: &[&str]) -> Console {
    let console = Console::on("healthy").await;
    for line in before {
        let ran = console.run(line).await;
        assert!(ran.code == 0 || ran.code == 5, "{ran:?}");
    }
    console
}

/// Runs a verb with its Role, and without each of its rules.
async fn tried(verb: &str, before: &[&str], line: &str) {
    let role = role(verb).await;
    let console = prepared(before).await;
    bind(&console, &role);
    let ran = console.run(line).await;
    // `check` speaks of the rights that other verbs lack, too.
    let fine = [0, 5].contains(&ran.code) || verb == "check" && ran.code == 2;
    assert!(fine, "{verb} with its Role: {ran:?}");
    let rules = role["rules"].as_array().unwrap();
    assert!(!rules.is_empty());
    for (i, rule) in rules.iter().enumerate() {
        let mut less = role.clone();
        less["rules"].as_array_mut().unwrap().remove(i);
        let console = prepared(before).await;
        bind(&console, &less);
        let ran = console.run(line).await;
        let said = format!("{}{}", ran.out, ran.err);
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let verbs = rule["verbs"].as_array().unwrap();
        let resource = rule["resources"][0].as_str().unwrap();
        let named = verbs.iter().any(|v| {
            let verb = v.as_str().unwrap();
            said.contains(&format!("cannot {verb} resource \"{resource}\""))
                || said.contains(&format!("you may not {verb} "))
                || said.contains(&format!("it needs both get and create on {resource}"))
        });
        assert!(named, "{verb} without {rule}: {}\n{said}", ran.code);
    }
}

#[tokio::test(start_paused = true)]
async fn every_rule_to_look_is_needed() {
    for verb in ["status", "check"] {
        let line = format!("{verb} payment-api -f {CONFIG}");
        tried(verb, &[], &line).await;
    }
    let set = "set payment-api -n canary-release --router replicas 20";
    tried("history", &[set], "history payment-api -n canary-release").await;
}

#[tokio::test(start_paused = true)]
async fn every_rule_to_set_a_weight_is_needed() {
    tried(
        "set",
        &[],
        "set payment-api -n canary-release --router replicas 20",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn every_rule_to_roll_back_is_needed_or_missed() {
    tried(
        "rollback",
        &[],
        "rollback payment-api -n canary-release --router replicas",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn every_rule_to_release_is_needed() {
    let line = format!("auto payment-api -f {CONFIG} --steps 10,50 --hold 30s --skip-preflight");
    tried("auto", &[], &line).await;
}

#[tokio::test(start_paused = true)]
async fn who_may_hold_an_autoscaler_still_may_see_it() {
    let line = "generate rbac payment-api --verb set --strict";
    let verbs = async |line: &str| {
        let text = Console::new().run(line).await.out;
        let role = parse_objects(&text).unwrap().remove(0);
        let rules = role["rules"].as_array().unwrap().clone().into_iter();
        let rules = rules.filter(|rule| rule["resources"][0] == "horizontalpodautoscalers");
        rules
            .map(|rule| rule["verbs"][0].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(verbs(line).await, ["patch", "list"]);
    let without = format!("{line} --without autoscaler");
    assert!(verbs(&without).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_role_says_what_each_rule_is_for() {
    let console = Console::new();
    assert_snapshot!(console.shows("generate rbac payment-api -n canary-release").await, @r#"
    $ canaryctl generate rbac payment-api -n canary-release
    exit 0
    --- stdout
    apiVersion: rbac.authorization.k8s.io/v1
    kind: Role
    metadata:
      name: canaryctl-payment-api-auto
      namespace: canary-release
    rules:
      # find the Deployments of an app; read both sides; set images and promote the template
      - apiGroups: [apps]
        resources: [deployments]
        verbs: [get, list, patch]
      # tell new pods from old ones
      - apiGroups: [apps]
        resources: [replicasets]
        verbs: [list]
      # read the state of the pods
      - apiGroups: [""]
        resources: [pods]
        verbs: [list]
      # find the Service of an app and its ports
      - apiGroups: [""]
        resources: [services]
        verbs: [list]
      # read the journal; keep the journal
      - apiGroups: [""]
        resources: [configmaps]
        resourceNames: [canaryctl-payment-api, canaryctl-payment-api-approval]
        verbs: [get, update]
      # change replica counts
      - apiGroups: [apps]
        resources: [deployments/scale]
        verbs: [patch]
      # begin a journal
      - apiGroups: [""]
        resources: [configmaps]
        verbs: [create]
      # only with HTTP checks, `scrape` or a load: ask pods over HTTP (port-forward needs get and create)
      - apiGroups: [""]
        resources: [pods/portforward]
        verbs: [create, get]
      # only with checks of CPU or memory: read what pods use of CPU and memory
      - apiGroups: [metrics.k8s.io]
        resources: [pods]
        verbs: [list]
      # only where an autoscaler scales either Deployment: pin autoscalers and restore them
      - apiGroups: [autoscaling]
        resources: [horizontalpodautoscalers]
        verbs: [patch]
      # only when the release creates the canary Deployment: create the canary
      - apiGroups: [apps]
        resources: [deployments]
        verbs: [create]
      # only when the plan deletes the canary at the end: delete the canary at the end
      - apiGroups: [apps]
        resources: [deployments]
        verbs: [delete]
      # only when a promotion fails: restore stable's old template when a promotion fails
      - apiGroups: [apps]
        resources: [replicasets]
        verbs: [get]
      # not needed, but better: see autoscalers
      - apiGroups: [autoscaling]
        resources: [horizontalpodautoscalers]
        verbs: [list]
      # not needed, but better: find the router where none is named
      - apiGroups: [networking.k8s.io]
        resources: [ingresses]
        verbs: [list]
      # not needed, but better: react at once instead of at the next look
      - apiGroups: [apps]
        resources: [deployments]
        verbs: [watch]
      # not needed, but better: react at once instead of at the next look
      - apiGroups: [""]
        resources: [pods]
        verbs: [watch]
      # not needed, but better: leave a trail for `kubectl get events`
      - apiGroups: [events.k8s.io]
        resources: [events]
        verbs: [create]
    "#);
    assert_snapshot!(console.shows("generate rbac --verb status,history --strict -A").await, @r#"
    $ canaryctl generate rbac --verb status,history --strict -A
    exit 0
    --- stdout
    apiVersion: rbac.authorization.k8s.io/v1
    kind: ClusterRole
    metadata:
      name: canaryctl-status-history
    rules:
      # find the Deployments of an app
      - apiGroups: [apps]
        resources: [deployments]
        verbs: [list]
      # tell new pods from old ones
      - apiGroups: [apps]
        resources: [replicasets]
        verbs: [list]
      # read the state of the pods
      - apiGroups: [""]
        resources: [pods]
        verbs: [list]
      # find the Service of an app and its ports
      - apiGroups: [""]
        resources: [services]
        verbs: [list]
      # read the journal
      - apiGroups: [""]
        resources: [configmaps]
        verbs: [get]
      # only with HTTP checks, `scrape` or a load: ask pods over HTTP (port-forward needs get and create)
      - apiGroups: [""]
        resources: [pods/portforward]
        verbs: [create, get]
      # only with checks of CPU or memory: read what pods use of CPU and memory
      - apiGroups: [metrics.k8s.io]
        resources: [pods]
        verbs: [list]
    "#);
    assert_snapshot!(console.refuses("generate rbac --verb launch").await, @r#"
    $ canaryctl generate rbac --verb launch
    exit 2
    --- stderr
    error: --verb 'launch': the verbs are status, set, monitor, rollback, promote, auto, check, approve, history
    hint: `canaryctl generate -h` shows how it is used
    "#);
    assert_snapshot!(console.refuses("generate rbac --router carrier-pigeon").await, @r#"
    $ canaryctl generate rbac --router carrier-pigeon
    exit 2
    --- stderr
    error: no router 'carrier-pigeon'; there are: replicas, istio, gateway, nginx, smi, alb, traefik, pointer
    hint: leave --router out to have it detected
    "#);
}

/// Namespace, resource, names and verbs of every rule about what a plan asks outside its pods.
async fn rules_of_sources(plan: &str, flags: &str) -> Vec<String> {
    let folder = Folder::new("sources");
    let file = folder.file("canary.yaml", plan);
    let line = format!("generate rbac payment-api --verb monitor -n shop -f {file} {flags}");
    let text = Console::new().run(&line).await.out;
    let mut all = Vec::new();
    for role in parse_objects(&text).unwrap() {
        for rule in role["rules"].as_array().unwrap() {
            let text = |value: &Value| value.to_string().replace('"', "");
            let resource = text(&rule["resources"][0]);
            let namespace = text(&role["metadata"]["namespace"]);
            let own = ["secrets", "pods/portforward"].contains(&resource.as_str());
            if own || namespace != "shop" {
                let (names, verbs) = (text(&rule["resourceNames"]), text(&rule["verbs"]));
                all.push(format!("{namespace} {resource} {names} {verbs}"));
            }
        }
    }
    all
}

#[tokio::test(start_paused = true)]
async fn the_sources_of_a_plan_have_their_rights() {
    let plan = |more: &str| format!("app: payment-api\nsteps: [10%, 100%]\nchecks: []\n{more}\n");
    let none: [&str; 0] = [];
    assert_eq!(rules_of_sources(&plan(""), "").await, none);
    let scraped = plan("metrics: {scrape: {}}");
    let forward = "shop pods/portforward null [create,get]";
    assert_eq!(rules_of_sources(&scraped, "").await, [forward]);
    let inside = plan(
        "metrics:
  prometheus:
    url: http://prometheus.monitoring:9090
    auth: {bearer: {secret: {name: token, key: t}}}
    headers: {X-Scope-OrgID: {secret: {name: tenant, key: t, namespace: mimir}}}",
    );
    assert_eq!(
        rules_of_sources(&inside, "--strict").await,
        [
            "shop secrets [token] [get]",
            "mimir secrets [tenant] [get]",
            "monitoring services null [get]",
            "monitoring pods null [list]",
            "monitoring pods/portforward null [create,get]",
        ]
    );
    assert_eq!(
        rules_of_sources(&inside, "--strict --without forward").await,
        ["shop secrets [token] [get]", "mimir secrets [tenant] [get]"]
    );
}
