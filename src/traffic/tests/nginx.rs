//! ingress-nginx: totals, annotations that stay, Ingresses that must not be used, one that is made.

use serde_json::{Value, json};

use super::{Case, backends, target};
use crate::{
    cluster::workloads::Sides,
    domain::{
        weight::Percent,
        workload::{Pod, Workload},
    },
    traffic::{Scene, nginx::Nginx, weighted::Shape},
};

const MAIN: &str = "
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: web, annotations: {kubernetes.io/ingress.class: nginx-foo, nginx.ingress.kubernetes.io/rewrite-target: /}}, spec: {
  ingressClassName: nginx,
  tls: [{hosts: [shop.example], secretName: tls}],
  rules: [{host: shop.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: stable, port: {number: 80}}}}]}}]}}";

/// A canary Ingress with further annotations, to a Service at host and path.
fn canary(notes: &str, host: &str, path: &str, service: &str) -> String {
    format!(
        "{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: web-canary, annotations: {{annotation-prefix.some.group/some-key: some-value, {notes}}}}}, spec: {{
  ingressClassName: nginx, tls: [{{hosts: [shop.example], secretName: tls}}],
  rules: [{{host: {host}, http: {{paths: [{{path: {path}, pathType: Prefix, backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}]}}}}]}}}}"
    )
}

fn case(notes: &str) -> Case<Nginx> {
    let canary = canary(notes, "shop.example", "/", "canary");
    Case::new(&format!("{canary}\n---{MAIN}"), "{}")
}

const ON: &str =
    "nginx.ingress.kubernetes.io/canary: 'true', nginx.ingress.kubernetes.io/canary-weight";

fn note<'o>(object: &'o Value, name: &str) -> &'o Value {
    &object["metadata"]["annotations"][format!("nginx.ingress.kubernetes.io/{name}").as_str()]
}

#[test]
fn the_weight_is_of_the_total() {
    let total = |weight: &str, total: &str| {
        format!("{ON}: '{weight}', nginx.ingress.kubernetes.io/canary-weight-total: '{total}'")
    };
    for (notes, share, to, expected) in [
        (format!("{ON}: '10'"), "10%", "15", "15"),
        (format!("{ON}: '0'"), "0%", "50", "50"),
        (format!("{ON}: '50'"), "50%", "0", "0"),
        (total("100", "1000"), "10%", "15", "150"),
        (total("0", "1000"), "0%", "0.5", "5"),
        // The controller takes a total below 100, or one that is no number, for 100.
        (total("10", "50"), "10%", "15", "15"),
        (total("10", "many"), "10%", "15", "15"),
        // And a weight above the total for all of it; one that is no number for none.
        (format!("{ON}: '150'"), "100%", "15", "15"),
        (format!("{ON}: some"), "0%", "15", "15"),
        // A weight that is not there is none.
        (
            "nginx.ingress.kubernetes.io/canary: 'true'".to_owned(),
            "0%",
            "15",
            "15",
        ),
    ] {
        let case = case(&notes);
        assert_eq!(case.told(), [format!("shop.example/: {share}")], "{notes}");
        let moved = case.at(to).unwrap();
        assert_eq!(note(&moved, "canary-weight"), &json!(expected), "{notes}");
        assert_eq!(note(&moved, "canary"), &json!("true"));
        assert_eq!(case.unfit(), None);
    }
}

/// Class, TLS, header and cookie annotations and those of others stay. A peer drops every annotation
/// with `canary` in its name when it resets the weight, another removes header and cookie when it
/// sets one.
#[test]
fn nothing_but_the_weight_changes() {
    let header = "nginx.ingress.kubernetes.io/canary-by-header: X-Foo, nginx.ingress.kubernetes.io/canary-by-header-value: DoCanary, nginx.ingress.kubernetes.io/canary-by-header-pattern: '123*', nginx.ingress.kubernetes.io/canary-by-cookie: demo, kubernetes.io/ingress.class: nginx-foo, canary-of-somebody: yes-please";
    let case = case(&format!("{ON}: '10', {header}"));
    for weight in ["15", "0", "100"] {
        let mut moved = case.at(weight).unwrap();
        assert_eq!(note(&moved, "canary-weight"), &json!(weight));
        moved["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"] = json!("10");
        assert_eq!(moved.to_string(), case.object.to_string());
    }
}

/// Several paths have one weight between them.
#[test]
fn several_paths_are_one_write() {
    let text = canary(&format!("{ON}: '0'"), "shop.example", "/", "canary");
    let more =
        "{path: /api, pathType: Prefix, backend: {service: {name: canary, port: {number: 80}}}}";
    let main = MAIN.replace(
        "paths: [",
        &format!("paths: [{}, ", more.replace("name: canary", "name: stable")),
    );
    let text = text.replace("paths: [", &format!("paths: [{more}, "));
    let case = Case::<Nginx>::new(&format!("{text}\n---{main}"), "{}");
    assert_eq!(case.told(), ["shop.example/api: 0%", "shop.example/: 0%"]);
    let weights = crate::traffic::route::weights(&case.routes(), Percent::whole(25)).unwrap();
    assert_eq!(weights.len(), 1, "{weights:?}");
    assert_eq!(note(&case.at("25").unwrap(), "canary-weight"), &json!("25"));
}

#[test]
fn another_prefix_of_the_annotations_is_used() {
    let text = canary(
        "example.com/canary: 'true', example.com/canary-weight: '10'",
        "shop.example",
        "/",
        "canary",
    );
    let case = Case::<Nginx>::new(
        &format!("{text}\n---{MAIN}"),
        r#"{"annotationPrefix": "example.com"}"#,
    );
    let moved = case.at("15").unwrap();
    assert_eq!(
        moved["metadata"]["annotations"]["example.com/canary-weight"],
        "15"
    );
}

#[test]
fn an_ingress_that_is_no_fit_canary_is_refused() {
    let on = format!("{ON}: '10'");
    for (text, reason) in [
        (MAIN.to_owned(), "never on the main one"),
        (
            canary(
                "nginx.ingress.kubernetes.io/canary: 'false'",
                "shop.example",
                "/",
                "canary",
            ),
            "has no annotation",
        ),
        (
            canary("a: b", "shop.example", "/", "canary"),
            "has no annotation",
        ),
        (
            canary(&on, "other.example", "/", "canary"),
            "no other Ingress has other.example/",
        ),
        (
            canary(&on, "shop.example", "/api", "canary"),
            "no other Ingress has shop.example/api",
        ),
        (
            canary(&on, "shop.example", "/", "stable"),
            "it leads to Service stable, as the main Ingress does",
        ),
    ] {
        let case = Case::<Nginx>::new(&format!("{text}\n---{MAIN}"), "{}");
        let unfit = case.unfit().unwrap_or_default();
        assert!(unfit.contains(reason), "{reason:?} in {unfit:?}");
    }
    let both = MAIN.replace("name: stable", "name: both");
    let text = canary(&on, "shop.example", "/", "canary");
    let case = Case::<Nginx>::new(&format!("{text}\n---{both}"), "{}");
    let unfit = case.unfit().unwrap_or_default();
    assert!(unfit.contains("selects pods of both sides"), "{unfit}");
}

/// A canary Ingress of another app is none of ours.
#[test]
fn a_canary_of_another_app_is_left_alone() {
    let text = canary(&format!("{ON}: '10'"), "shop.example", "/", "other");
    let case = Case::<Nginx>::new(&format!("{text}\n---{MAIN}"), "{}");
    assert!(case.routes().iter().all(|route| !route.divides()));
    assert_eq!(case.weights_at("50"), "nothing");
}

/// The controller answers 503 at weight 100 when the main Service has nobody.
#[test]
fn all_of_the_traffic_needs_somebody_behind_the_main_service() {
    let pod = |ready: bool| Pod {
        name: "p".to_owned(),
        ready,
        ready_since: None,
        terminating: false,
        current: true,
        created: jiff::Timestamp::UNIX_EPOCH,
        restarts: 0,
        waiting: Vec::new(),
        last_end: None,
        probed: None,
        unschedulable: None,
    };
    let with = |pods: Vec<Pod>| Workload {
        pods,
        ..Workload::default()
    };
    let options = <Nginx as Shape>::Options::default();
    for (stable, weight, refused) in [
        (with(vec![pod(true)]), 100, false),
        (with(vec![pod(false)]), 100, true),
        (with(vec![]), 100, true),
        (with(vec![]), 99, false),
    ] {
        let scene = Scene {
            at: jiff::Timestamp::MAX,
            stable: &stable,
            canary: None,
            sides: &Sides::default(),
            objects: &Vec::new(),
        };
        let refusal = Nginx::refuse(&Value::Null, Percent::whole(weight), &scene, &options);
        assert_eq!(refusal.is_some(), refused, "{weight}: {refusal:?}");
    }
}

#[test]
fn the_canary_ingress_is_made_of_the_paths_to_stable() {
    let main = MAIN.replace(
        "rules: [",
        "rules: [{host: other.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: other, port: {number: 80}}}}]}}, ",
    );
    let case = Case::<Nginx>::new(&main, r#"{"createCanaryIngress": true}"#);
    let made = Nginx::made(
        &case.options,
        &backends(),
        std::slice::from_ref(&case.object),
        &target(),
    )
    .unwrap();
    assert_eq!(made["metadata"]["name"], "web-canary");
    assert_eq!(
        made["metadata"]["annotations"],
        json!({
            "nginx.ingress.kubernetes.io/canary": "true",
            "nginx.ingress.kubernetes.io/canary-weight": "0",
            "canaryctl.dev/created": "true",
            "kubernetes.io/ingress.class": "nginx-foo",
        })
    );
    assert_eq!(
        made["spec"]["rules"],
        json!([{"host": "shop.example", "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "canary", "port": {"number": 80}}}},
        ]}}])
    );
    // Without a main Ingress, or with two, nothing is made.
    for (context, reason) in [
        (vec![], "no Ingress leads to stable's Service"),
        (
            vec![case.object.clone(), case.object.clone()],
            "several Ingresses lead to stable's Service",
        ),
    ] {
        let made = Nginx::made(&case.options, &backends(), &context, &target());
        assert_eq!(made, Err(reason.to_owned()));
    }
}
