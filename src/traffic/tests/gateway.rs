//! Routes of the Gateway API: backends by group, kind, namespace and name; filters; parents.

use serde_json::json;

use super::{Case, weights};
use crate::traffic::{gateway::Gateway, weighted::Shape};

/// An `HTTPRoute` whose only rule has these backends.
fn case(backends: &str) -> Case<Gateway> {
    rules(&format!("[{{backendRefs: [{backends}]}}]"), "{}")
}

fn rules(rules: &str, options: &str) -> Case<Gateway> {
    let head = "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web}";
    Case::new(&format!("{head}, spec: {{rules: {rules}}}}}"), options)
}

const BOTH: &str = "{name: stable, port: 80, weight: 100}, {name: canary, port: 80, weight: 0}";

#[test]
fn both_sides_change_and_other_backends_keep_their_weight() {
    for (backends, weight, expected) in [
        (BOTH.to_owned(), "30", "70 30"),
        (
            format!("{BOTH}, {{name: other, port: 80, weight: 1}}"),
            "30",
            "70 30 1",
        ),
        (
            format!("{BOTH}, {{name: other, weight: 1}}, {{name: external, weight: 2}}"),
            "80",
            "20 80 1 2",
        ),
        (
            "{name: stable, weight: 70}, {name: canary, weight: 30}, {name: other, weight: 1}"
                .to_owned(),
            "0",
            "100 0 1",
        ),
        (
            "{name: canary, weight: 30}, {name: stable, weight: 70}".to_owned(),
            "60",
            "60 40",
        ),
        // A finer weight than a hundredth makes the sum larger, as nobody else shares it.
        (BOTH.to_owned(), "0.5", "995 5"),
        (
            format!("{BOTH}, {{name: other, weight: 1}}"),
            "0.5",
            "99 1 1",
        ),
    ] {
        assert_eq!(case(&backends).weights_at(weight), expected, "{backends}");
    }
}

#[test]
fn an_absent_weight_is_one() {
    let absent = case("{name: stable, port: 80}, {name: canary, port: 80}");
    assert_eq!(absent.told(), ["rule 1: 50%"]);
    assert_eq!(absent.weights_at("50"), "nothing");
    assert_eq!(absent.weights_at("25"), "75 25");
    // Beside somebody else's absent weight the sum of both must stay 2: a quarter cannot be said.
    let beside = case("{name: stable}, {name: canary}, {name: other}");
    assert!(
        beside
            .weights_at("25")
            .contains("cannot be represented in rule 1"),
        "{}",
        beside.weights_at("25")
    );
    assert_eq!(beside.weights_at("0"), "2 0");
    assert_eq!(beside.weights_at("100"), "0 2");
}

#[test]
fn backends_are_told_by_group_kind_namespace_and_name() {
    for (canary, told) in [
        ("{name: canary, weight: 0}", "0%"),
        (
            "{group: '', kind: Service, name: canary, namespace: shop, weight: 0}",
            "0%",
        ),
        (
            "{group: multicluster.x-k8s.io, kind: ServiceImport, name: canary, weight: 0}",
            "leads to stable alone",
        ),
        (
            "{kind: ServiceImport, name: canary, weight: 0}",
            "leads to stable alone",
        ),
        (
            "{name: canary, namespace: elsewhere, weight: 0}",
            "leads to stable alone",
        ),
        ("{name: both, weight: 0}", "leads to stable alone"),
        ("{name: missing, weight: 0}", "leads to stable alone"),
    ] {
        let case = case(&format!("{{name: stable, weight: 100}}, {canary}"));
        assert_eq!(case.told(), [format!("rule 1: {told}")], "{canary}");
    }
    // A core group is written as such for mesh parents; a peer insists on `kind: Service`.
    let two_ports = case(
        "{name: stable, port: 80, weight: 50}, {name: stable, port: 81, weight: 50}, {name: canary, weight: 0}",
    );
    assert_eq!(
        two_ports.weights_at("10"),
        "rule 1 leads to stable by several destinations"
    );
}

/// Header rules are made and removed by peers; here they stay as they are, and never get a weight.
#[test]
fn only_rules_with_both_sides_change() {
    let text = format!(
        "[{{matches: [{{headers: [{{name: X-Test, value: test}}]}}], backendRefs: [{{name: canary, port: 80}}]}}, {{backendRefs: [{BOTH}]}}, {{backendRefs: [{{name: other}}]}}, {{name: last, backendRefs: [{BOTH}]}}]"
    );
    let all = rules(&text, "{}");
    assert_eq!(
        all.told(),
        [
            "rule 1: leads to the canary alone",
            "rule 2: 0%",
            "rule 3: leads elsewhere",
            "last: 0%",
        ]
    );
    for (weight, expected) in [
        ("30", "70 30 70 30"),
        ("60", "40 60 40 60"),
        ("90", "10 90 10 90"),
        ("0", "nothing"),
    ] {
        assert_eq!(all.weights_at(weight), expected);
    }
    let one = rules(&text, r#"{"rules": ["last"]}"#);
    assert_eq!(one.weights_at("30"), "100 0 70 30");
    // Where no rule has both, a peer says that the backend was not found; binding says so here.
    let none = rules(
        "[{backendRefs: [{name: stable}]}, {backendRefs: [{name: canary}]}]",
        "{}",
    );
    assert_eq!(none.weights_at("30"), "nothing");
    assert!(none.routes().iter().all(|route| !route.divides()));
}

#[test]
fn filters_and_labels_are_kept() {
    let text = "
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web, labels: {a: b}}, spec: {rules: [{
  matches: [{path: {type: PathPrefix, value: /}}],
  filters: [{type: URLRewrite, urlRewrite: {hostname: a.example}}, {type: RequestMirror, requestMirror: {backendRef: {name: canary, port: 80}}}],
  backendRefs: [
    {name: stable, port: 80, weight: 100, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: a, value: b}]}}]},
    {name: canary, port: 80, weight: 0, filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [c]}}]}]}]}}";
    let case = Case::<Gateway>::new(text, "{}");
    let mut moved = case.at("30").unwrap();
    assert_eq!(weights(&moved), "70 30");
    // A peer labels the route while the canary has weight; nothing but the weights changes here.
    moved["spec"]["rules"][0]["backendRefs"][0]["weight"] = json!(100);
    moved["spec"]["rules"][0]["backendRefs"][1]["weight"] = json!(0);
    assert_eq!(moved.to_string(), case.object.to_string());
}

#[test]
fn every_kind_of_route_is_read_alike() {
    for (version, kind) in [
        ("gateway.networking.k8s.io/v1", "GRPCRoute"),
        ("gateway.networking.k8s.io/v1alpha2", "TCPRoute"),
        ("gateway.networking.k8s.io/v1alpha3", "TLSRoute"),
        ("gateway.networking.k8s.io/v1beta1", "HTTPRoute"),
        ("policy.linkerd.io/v1beta3", "HTTPRoute"),
    ] {
        let text = format!(
            "{{apiVersion: {version}, kind: {kind}, metadata: {{name: web}}, spec: {{rules: [{{backendRefs: [{BOTH}]}}]}}}}"
        );
        let case = Case::<Gateway>::new(&text, "{}");
        assert_eq!(case.weights_at("30"), "70 30", "{kind}");
        let kinds = Gateway::kinds(&case.options);
        assert!(kinds.iter().any(|known| known.is(&case.object)), "{kind}");
    }
}

/// A change is done when every parent accepts it at the new generation.
#[test]
fn every_parent_must_have_accepted_the_latest_change() {
    let condition = |kind: &str, status: &str, seen: u32| json!({"type": kind, "status": status, "reason": "Because", "message": "of it", "observedGeneration": seen});
    let parent = |name: &str, conditions: Vec<serde_json::Value>| json!({"parentRef": {"name": name}, "conditions": conditions});
    let good = |name: &str| {
        parent(
            name,
            vec![
                condition("Accepted", "True", 3),
                condition("ResolvedRefs", "True", 3),
            ],
        )
    };
    let parents = json!([{"name": "a"}, {"name": "b"}]);
    for (status, expected) in [
        (json!([]), Some("a gateway to accept it")),
        (json!([good("a"), good("b")]), None),
        (
            json!([
                good("a"),
                parent("b", vec![condition("Accepted", "True", 3)])
            ]),
            Some("parent b: condition ResolvedRefs"),
        ),
        (
            json!([
                good("a"),
                parent(
                    "b",
                    vec![
                        condition("Accepted", "True", 2),
                        condition("ResolvedRefs", "True", 3)
                    ]
                )
            ]),
            Some("parent b: condition Accepted for the latest change"),
        ),
        (
            json!([
                good("a"),
                parent(
                    "b",
                    vec![
                        condition("Accepted", "True", 3),
                        condition("ResolvedRefs", "False", 3)
                    ]
                )
            ]),
            Some("parent b: condition ResolvedRefs, now Because: of it"),
        ),
        (json!([good("a")]), Some("parent b: condition Accepted")),
    ] {
        let route = json!({
            "metadata": {"generation": 3}, "spec": {"parentRefs": parents}, "status": {"parents": status},
        });
        let options = <Gateway as Shape>::Options::default();
        assert_eq!(
            Gateway::waits_for(&route, &options).as_deref(),
            expected,
            "{status}"
        );
    }
}
