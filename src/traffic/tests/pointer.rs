//! Objects of many kinds by JSON pointers: those that peers have a router each for.

use serde_json::{Value, json};

use super::Case;
use crate::traffic::{
    pointer::Pointer,
    weighted::{Common, Shape},
};

/// An object, the pointers to both weights, and what stands there at 25 %.
struct Known {
    object: &'static str,
    options: &'static str,
    stable: (&'static str, Value),
    canary: (&'static str, Value),
}

fn known() -> Vec<Known> {
    vec![
        Known {
            object: "{apiVersion: projectcontour.io/v1, kind: HTTPProxy, metadata: {name: web}, spec: {routes: [{services: [{name: stable, port: 80, weight: 100}, {name: canary, port: 80, weight: 0}, {name: other, port: 80, mirror: true}]}]}}",
            options: r#"{"apiVersion": "projectcontour.io/v1", "kind": "HTTPProxy", "name": "web",
                "stable": "/spec/routes/0/services/0/weight", "canary": "/spec/routes/0/services/1/weight",
                "status": {"/status/currentStatus": "valid"}}"#,
            stable: ("/spec/routes/0/services/0/weight", json!(75)),
            canary: ("/spec/routes/0/services/1/weight", json!(25)),
        },
        Known {
            object: "{apiVersion: apisix.apache.org/v2, kind: ApisixRoute, metadata: {name: web}, spec: {http: [{name: main, match: {hosts: [a], paths: [/*]}, backends: [{serviceName: stable, servicePort: 80, weight: 100}, {serviceName: canary, servicePort: 80, weight: 0}]}]}}",
            options: r#"{"apiVersion": "apisix.apache.org/v2", "kind": "ApisixRoute", "name": "web",
                "stable": "/spec/http/0/backends/0/weight", "canary": "/spec/http/0/backends/1/weight"}"#,
            stable: ("/spec/http/0/backends/0/weight", json!(75)),
            canary: ("/spec/http/0/backends/1/weight", json!(25)),
        },
        Known {
            object: "{apiVersion: kuma.io/v1alpha1, kind: MeshHTTPRoute, metadata: {name: web}, spec: {targetRef: {kind: Mesh}, to: [{targetRef: {kind: MeshService, name: both}, rules: [{matches: [{path: {type: PathPrefix, value: /}}], default: {backendRefs: [{kind: MeshService, name: stable, port: 80, weight: 100}, {kind: MeshService, name: canary, port: 80, weight: 0}]}}]}]}}",
            options: r#"{"apiVersion": "kuma.io/v1alpha1", "kind": "MeshHTTPRoute", "name": "web",
                "stable": "/spec/to/0/rules/0/default/backendRefs/0/weight", "canary": "/spec/to/0/rules/0/default/backendRefs/1/weight"}"#,
            stable: ("/spec/to/0/rules/0/default/backendRefs/0/weight", json!(75)),
            canary: ("/spec/to/0/rules/0/default/backendRefs/1/weight", json!(25)),
        },
        Known {
            object: "{apiVersion: route.openshift.io/v1, kind: Route, metadata: {name: web}, spec: {host: a, to: {kind: Service, name: stable, weight: 100}, alternateBackends: [{kind: Service, name: canary, weight: 0}]}}",
            options: r#"{"apiVersion": "route.openshift.io/v1", "kind": "Route", "name": "web",
                "stable": "/spec/to/weight", "canary": "/spec/alternateBackends/0/weight"}"#,
            stable: ("/spec/to/weight", json!(75)),
            canary: ("/spec/alternateBackends/0/weight", json!(25)),
        },
        Known {
            object: "{apiVersion: consul.hashicorp.com/v1alpha1, kind: ServiceSplitter, metadata: {name: web}, spec: {splits: [{weight: 100, service: stable}, {weight: 0, service: canary}]}}",
            options: r#"{"apiVersion": "consul.hashicorp.com/v1alpha1", "kind": "ServiceSplitter", "name": "web",
                "stable": "/spec/splits/0/weight", "canary": "/spec/splits/1/weight", "total": 100, "condition": "Synced"}"#,
            stable: ("/spec/splits/0/weight", json!(75)),
            canary: ("/spec/splits/1/weight", json!(25)),
        },
        Known {
            object: "{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: web}, spec: {template: {}, traffic: [{revisionName: web-00001, percent: 100}, {latestRevision: true, percent: 0}]}}",
            options: r#"{"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "web",
                "stable": "/spec/traffic/0/percent", "canary": "/spec/traffic/1/percent", "total": 100, "condition": "Ready"}"#,
            stable: ("/spec/traffic/0/percent", json!(75)),
            canary: ("/spec/traffic/1/percent", json!(25)),
        },
        // A Mapping of its own for the canary, with the share alone; stable has what is left.
        Known {
            object: "{apiVersion: getambassador.io/v3alpha1, kind: Mapping, metadata: {name: web}, spec: {prefix: /, service: canary, weight: 0}}",
            options: r#"{"apiVersion": "getambassador.io/v3alpha1", "kind": "Mapping", "name": "web", "canary": "/spec/weight", "total": 100}"#,
            stable: ("/spec/prefix", json!("/")),
            canary: ("/spec/weight", json!(25)),
        },
        Known {
            object: "{apiVersion: appmesh.k8s.aws/v1beta2, kind: VirtualRouter, metadata: {name: web}, spec: {routes: [{name: main, httpRoute: {match: {prefix: /}, action: {weightedTargets: [{virtualNodeRef: {name: stable}, weight: 100}, {virtualNodeRef: {name: canary}, weight: 0}]}}}]}}",
            options: r#"{"apiVersion": "appmesh.k8s.aws/v1beta2", "kind": "VirtualRouter", "name": "web",
                "stable": "/spec/routes/0/httpRoute/action/weightedTargets/0/weight", "canary": "/spec/routes/0/httpRoute/action/weightedTargets/1/weight"}"#,
            stable: (
                "/spec/routes/0/httpRoute/action/weightedTargets/0/weight",
                json!(75),
            ),
            canary: (
                "/spec/routes/0/httpRoute/action/weightedTargets/1/weight",
                json!(25),
            ),
        },
        Known {
            object: "{apiVersion: v1, kind: ConfigMap, metadata: {name: web}, data: {weight: '0'}}",
            options: r#"{"apiVersion": "v1", "kind": "ConfigMap", "name": "web", "canary": "/data/weight", "total": 100}"#,
            stable: ("/metadata/name", json!("web")),
            canary: ("/data/weight", json!("25")),
        },
    ]
}

#[test]
fn objects_of_many_kinds_are_moved() {
    for Known {
        object,
        options,
        stable,
        canary,
    } in known()
    {
        let case = Case::<Pointer>::new(object, options);
        assert_eq!(Common::refuse(&case.options), None, "{options}");
        let mut moved = case.at("25").unwrap();
        for (pointer, expected) in [stable, canary] {
            assert_eq!(moved.pointer(pointer), Some(&expected), "{object}");
            *moved.pointer_mut(pointer).unwrap() = case.object.pointer(pointer).unwrap().clone();
        }
        assert_eq!(
            moved.to_string(),
            case.object.to_string(),
            "only both weights"
        );
        let kinds = Pointer::kinds(&case.options);
        assert!(kinds[0].is(&case.object));
    }
}

/// Skipper has the weights in an annotation, as JSON. A peer's table of values.
#[test]
fn weights_in_json_in_an_annotation_are_moved() {
    let key = "/metadata/annotations/zalando.org~1backend-weights";
    let options = format!(
        r#"{{"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "web", "resource": "ingresses",
            "stable": "{key}#/podinfo-primary", "canary": "{key}#/podinfo-canary"}}"#
    );
    let mut case = Case::<Pointer>::new(
        r#"{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: web, annotations: {zalando.org/backend-weights: '{"podinfo-primary":100,"podinfo-canary":0}'}}}"#,
        &options,
    );
    for canary in [10, 20, 30, 85, 100, 0] {
        case.object = case.at(&canary.to_string()).unwrap();
        let expected = format!(
            r#"{{"podinfo-primary":{},"podinfo-canary":{canary}}}"#,
            100 - canary
        );
        assert_eq!(case.object.pointer(key), Some(&json!(expected)));
    }
}

#[test]
fn what_is_not_as_configured_is_refused() {
    let case = |object: &str| {
        Case::<Pointer>::new(
            object,
            r#"{"apiVersion": "a.io/v1", "kind": "Route", "name": "web", "stable": "/spec/a/weight", "canary": "/spec/b/weight",
                "expect": {"/spec/a/name": "stable", "/spec/b/name": "canary"}}"#,
        )
    };
    let head = "apiVersion: a.io/v1, kind: Route, metadata: {name: web}, spec";
    let good = case(&format!(
        "{{{head}: {{a: {{name: stable, weight: 100}}, b: {{name: canary, weight: 0}}}}}}"
    ));
    assert_eq!(good.unfit(), None);
    let swapped = case(&format!(
        "{{{head}: {{a: {{name: canary, weight: 100}}, b: {{name: stable, weight: 0}}}}}}"
    ));
    assert_eq!(
        swapped.unfit().as_deref(),
        Some(r#"/spec/a/name is "canary", not "stable""#)
    );
    let gone = case(&format!("{{{head}: {{a: {{name: stable, weight: 100}}}}}}"));
    assert_eq!(
        gone.unfit().as_deref(),
        Some(r#"/spec/b/name is null, not "canary""#)
    );
}

#[test]
fn options_that_say_too_little_are_refused() {
    for (options, reason) in [
        (
            r#"{"apiVersion": "", "kind": "R", "name": "w", "canary": "/a", "total": 100}"#,
            "`apiVersion` is missing",
        ),
        (
            r#"{"apiVersion": "a/v1", "kind": "", "name": "w", "canary": "/a", "total": 100}"#,
            "`kind` is missing",
        ),
        (
            r#"{"apiVersion": "a/v1", "kind": "R", "name": "", "canary": "/a", "total": 100}"#,
            "`name` is missing",
        ),
        (
            r#"{"apiVersion": "a/v1", "kind": "R", "name": "w", "canary": [], "total": 100}"#,
            "`canary` is missing",
        ),
        (
            r#"{"apiVersion": "a/v1", "kind": "R", "name": "w", "canary": "a", "total": 100}"#,
            "'a' is no JSON pointer: it begins with `/`",
        ),
        (
            r#"{"apiVersion": "a/v1", "kind": "R", "name": "w", "canary": "/a"}"#,
            "without `stable`, `total` must say what both sides have together",
        ),
        (
            r#"{"apiVersion": "a/v1", "kind": "R", "name": "w", "canary": ["/a", "/b"], "stable": "/c"}"#,
            "`stable` and `canary` must name as many weights",
        ),
        (
            r#"{"apiVersion": "a/v1", "kind": "R", "name": "w", "canary": "/a", "total": 0}"#,
            "`total` must be above 0",
        ),
    ] {
        let options: <Pointer as Shape>::Options = serde_json::from_str(options).unwrap();
        assert_eq!(Common::refuse(&options).as_deref(), Some(reason));
    }
}

/// The object's status must confirm the latest change, where the configuration says how it does.
#[test]
fn the_status_that_was_asked_for_is_waited_for() {
    let options: <Pointer as Shape>::Options = serde_json::from_value(json!({
        "apiVersion": "a.io/v1", "kind": "Route", "name": "web", "canary": "/spec/weight", "total": 100,
        "condition": "Synced", "status": {"/status/currentStatus": "valid"},
    }))
    .unwrap();
    let object = |status: &str, seen: u32, current: &str| {
        json!({
            "metadata": {"generation": 2},
            "status": {
                "currentStatus": current,
                "conditions": [{"type": "Synced", "status": status, "observedGeneration": seen, "reason": "Why"}],
            },
        })
    };
    for (object, expected) in [
        (object("True", 2, "valid"), None),
        (
            object("True", 1, "valid"),
            Some("condition Synced for the latest change"),
        ),
        (
            object("False", 2, "valid"),
            Some("condition Synced, now Why"),
        ),
        (
            object("True", 2, "invalid"),
            Some(r#"/status/currentStatus to be "valid", now "invalid""#),
        ),
        (json!({}), Some("condition Synced")),
    ] {
        assert_eq!(Pointer::waits_for(&object, &options).as_deref(), expected);
    }
}
