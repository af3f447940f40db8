//! `TraefikService` and `IngressRoute`, of both API groups.

use super::{Case, weights};
use crate::traffic::{traefik::Traefik, weighted::Shape};

const GROUPS: [&str; 2] = ["traefik.io/v1alpha1", "traefik.containo.us/v1alpha1"];

fn service(group: &str, services: &str) -> Case<Traefik> {
    let text = format!(
        "{{apiVersion: {group}, kind: TraefikService, metadata: {{name: web}}, spec: {{weighted: {{sticky: {{cookie: {{name: lvl}}}}, services: [{services}]}}}}}}"
    );
    Case::new(&text, "{}")
}

/// A peer's table of weights. It removes the canary's entry at 0 and rebuilds the list; here both
/// entries stay, with 0 written out, which Traefik takes for none.
#[test]
fn both_entries_stay_at_every_weight() {
    let both = "{name: stable, port: 80, weight: 100}, {name: canary, port: 80, weight: 0}";
    for group in GROUPS {
        let mut case = service(group, both);
        for (weight, expected) in [
            ("20", "80 20"),
            ("40", "60 40"),
            ("60", "40 60"),
            ("80", "20 80"),
            ("100", "0 100"),
            ("0", "100 0"),
        ] {
            case.object = case.at(weight).unwrap();
            assert_eq!(weights(&case.object), expected, "{group}");
            let services = &case.object["spec"]["weighted"]["services"];
            assert_eq!(services.as_array().unwrap().len(), 2);
        }
        let kinds = Traefik::kinds(&case.options);
        assert!(kinds.iter().any(|kind| kind.is(&case.object)), "{group}");
    }
}

#[test]
fn an_absent_weight_is_one() {
    let absent = service(
        GROUPS[0],
        "{name: stable, port: 80}, {name: canary, port: 80}",
    );
    assert_eq!(absent.told(), ["weighted services: 50%"]);
    assert_eq!(absent.weights_at("25"), "75 25");
    // A peer's primary at 0 was left without a weight, and so got the default.
    let zero = service(GROUPS[0], "{name: stable}, {name: canary, weight: 9}");
    assert_eq!(zero.told(), ["weighted services: 90%"]);
    assert_eq!(zero.weights_at("100"), "0 100");
}

#[test]
fn services_of_others_and_other_kinds_are_left_alone() {
    for (other, told) in [
        (
            "{name: canary, kind: TraefikService, weight: 0}",
            "leads to stable alone",
        ),
        (
            "{name: canary, namespace: elsewhere, weight: 0}",
            "leads to stable alone",
        ),
        (
            "{name: canary, namespace: shop, kind: Service, weight: 0}",
            "0%",
        ),
    ] {
        let case = service(
            GROUPS[0],
            &format!("{{name: stable, weight: 100}}, {other}"),
        );
        assert_eq!(case.told(), [format!("weighted services: {told}")]);
    }
    let third = service(
        GROUPS[0],
        "{name: stable, weight: 80}, {name: canary, weight: 0}, {name: nested, kind: TraefikService, weight: 20}",
    );
    assert_eq!(third.weights_at("25"), "60 20 20");
    let mirrored: Case<Traefik> = Case::new(
        "{apiVersion: traefik.io/v1alpha1, kind: TraefikService, metadata: {name: web}, spec: {mirroring: {name: stable, mirrors: [{name: canary, percent: 10}]}}}",
        "{}",
    );
    assert_eq!(mirrored.weights_at("25"), "nothing");
}

#[test]
fn sticky_middlewares_and_tls_are_kept() {
    for group in GROUPS {
        let text = format!(
            "{{apiVersion: {group}, kind: IngressRoute, metadata: {{name: web}}, spec: {{entryPoints: [web], tls: {{secretName: tls}}, routes: [
  {{match: 'Host(`a`) && Header(`x`, `y`)', kind: Rule, services: [{{name: canary, port: 80}}]}},
  {{match: Host(`a`), kind: Rule, middlewares: [{{name: auth}}], services: [{{name: stable, port: 80, weight: 100, sticky: {{cookie: {{name: c}}}}}}, {{name: canary, port: 80, weight: 0}}]}}]}}}}"
        );
        let case = Case::<Traefik>::new(&text, "{}");
        assert_eq!(
            case.told(),
            ["route 1: leads to the canary alone", "route 2: 0%"]
        );
        let moved = case.at("25").unwrap();
        assert_eq!(weights(&moved), "75 25");
        let back = Case::<Traefik> {
            object: moved,
            ..case
        };
        let back = back.at("0").unwrap().to_string();
        let original = Case::<Traefik>::new(&text, "{}").object.to_string();
        assert_eq!(back, original);
    }
}
