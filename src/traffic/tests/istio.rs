//! `VirtualService`: routes by name, port and SNI, hosts in every form, subsets, delegates.

use super::{Case, weights};
use crate::traffic::istio::Istio;

/// A `VirtualService` with this spec.
fn case(spec: &str, options: &str) -> Case<Istio> {
    let head =
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: web}, spec: ";
    Case::new(&format!("{head}{spec}}}"), options)
}

/// Two http routes, two tls routes and two tcp routes, each with both sides.
const ALL: &str = "{
  http: [
    {name: primary, route: [{destination: {host: stable}, weight: 100}, {destination: {host: canary}, weight: 0}]},
    {name: secondary, route: [{destination: {host: stable}, weight: 100}, {destination: {host: canary}, weight: 0}]}],
  tls: [
    {match: [{port: 3000, sniHosts: [foo.bar.com, bar.foo.com]}, {sniHosts: [localhost]}], route: [{destination: {host: stable}, weight: 100}, {destination: {host: canary}, weight: 0}]},
    {match: [{port: 3001, sniHosts: [localhost]}], route: [{destination: {host: stable}, weight: 100}, {destination: {host: canary}, weight: 0}]}],
  tcp: [
    {match: [{port: 3000}], route: [{destination: {host: stable}, weight: 100}, {destination: {host: canary}, weight: 0}]},
    {match: [{port: 3001}], route: [{destination: {host: stable}, weight: 100}, {destination: {host: canary}, weight: 0}]}]}";

#[test]
fn the_named_routes_change_and_no_others() {
    let rest = "100 0 100 0";
    for (routes, weight, expected) in [
        (r#"["primary"]"#, "10", format!("90 10 100 0 {rest} {rest}")),
        (
            r#"["secondary"]"#,
            "10",
            format!("100 0 90 10 {rest} {rest}"),
        ),
        // Routes of tls and tcp have no name in the API. Peers pick them by port, or by the exact set
        // of SNI hosts; here they are told by their place, as `status` names them.
        (
            r#"["tls route 1"]"#,
            "30",
            format!("{rest} 70 30 100 0 {rest}"),
        ),
        (
            r#"["tls route 2"]"#,
            "30",
            format!("{rest} 100 0 70 30 {rest}"),
        ),
        (
            r#"["tcp route 1"]"#,
            "30",
            format!("{rest} {rest} 70 30 100 0"),
        ),
        // Of a mix each addressed kind changes, and tls and tcp that are not addressed do not: there
        // need not be exactly one of them.
        (
            r#"["primary", "tls route 1", "tcp route 2"]"#,
            "10",
            "90 10 100 0 90 10 100 0 100 0 90 10".to_owned(),
        ),
        // Without names peers refuse two routes; here every route with both sides changes.
        ("[]", "10", ["90 10"; 6].join(" ")),
    ] {
        let case = case(ALL, &format!(r#"{{"routes": {routes}}}"#));
        assert_eq!(case.weights_at(weight), expected, "{routes}");
    }
}

#[test]
fn a_route_that_is_not_chosen_is_told_as_left_alone() {
    let case = case(ALL, r#"{"routes": ["primary"]}"#);
    let told = case.told();
    assert_eq!(told[0], "primary: 0%");
    let others = told[1..].iter();
    assert!(
        others
            .clone()
            .all(|t| t.ends_with("not among the routes of the configuration")),
        "{told:?}"
    );
}

#[test]
fn an_unnamed_route_beside_a_named_one_is_found() {
    let spec = "{http: [
      {name: foo, route: [{destination: {host: other}}]},
      {route: [{destination: {host: stable}, weight: 100}, {destination: {host: canary}, weight: 0}]}]}";
    assert_eq!(case(spec, "{}").weights_at("10"), "90 10");
    assert_eq!(
        case(spec, "{}").told(),
        ["foo: leads elsewhere", "http route 2: 0%"]
    );
}

#[test]
fn a_weight_that_is_there_already_is_not_written() {
    let case = case(ALL, "{}");
    assert_eq!(case.weights_at("0"), "nothing");
}

#[test]
fn hosts_are_compared_as_full_names() {
    let spec = |stable: &str, canary: &str| {
        format!(
            "{{http: [{{route: [{{destination: {{host: {stable}}}, weight: 100}}, {{destination: {{host: {canary}}}, weight: 0}}]}}]}}"
        )
    };
    for (stable, canary) in [
        ("stable", "canary"),
        ("stable.shop", "canary.shop"),
        ("stable.shop.svc", "canary"),
        (
            "stable.shop.svc.cluster.local",
            "canary.shop.svc.cluster.local",
        ),
        ("stable", "canary.shop.svc.example.internal"),
    ] {
        let case = case(&spec(stable, canary), "{}");
        assert_eq!(case.weights_at("10"), "90 10", "{stable} {canary}");
    }
    // Peers compare what stands before the first dot, so that another namespace's Service passes for
    // this one. It is not.
    for (stable, canary, told) in [
        ("stable.elsewhere", "canary", "leads to the canary alone"),
        ("stable", "canary.elsewhere", "leads to stable alone"),
        (
            "stable.elsewhere.svc.cluster.local",
            "canary.elsewhere",
            "leads elsewhere",
        ),
        ("stable.example.com", "canary", "leads to the canary alone"),
        ("stable", "canary.shop.example.com", "leads to stable alone"),
        ("both", "canary", "leads to the canary alone"),
        ("stable", "other", "leads to stable alone"),
    ] {
        let case = case(&spec(stable, canary), "{}");
        assert_eq!(
            case.told(),
            [format!("http route 1: {told}")],
            "{stable} {canary}"
        );
        assert_eq!(case.weights_at("10"), "nothing", "{stable} {canary}");
    }
}

/// A short host is of the namespace of the `VirtualService`, which need not be the app's.
#[test]
fn a_short_host_is_of_the_objects_own_namespace() {
    let text = |stable: &str| {
        format!(
            "{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: web, namespace: mesh}}, spec: {{http: [{{route: [{{destination: {{host: {stable}}}, weight: 100}}, {{destination: {{host: canary.shop}}, weight: 0}}]}}]}}}}"
        )
    };
    let near = Case::<Istio>::new(&text("stable"), "{}");
    assert_eq!(near.told(), ["http route 1: leads to the canary alone"]);
    let far = Case::<Istio>::new(&text("stable.shop"), "{}");
    assert_eq!(far.weights_at("10"), "90 10");
}

#[test]
fn a_service_without_a_selector_is_taken_by_its_name_or_by_configuration() {
    let spec = "{http: [{route: [{destination: {host: external}, weight: 100}, {destination: {host: canary}, weight: 0}]}]}";
    assert_eq!(
        case(spec, "{}").told(),
        ["http route 1: leads to the canary alone"]
    );
    let given = case(spec, r#"{"stableService": "external"}"#);
    assert_eq!(given.weights_at("10"), "90 10");
    let spec = "{http: [{route: [{destination: {host: web-primary}, weight: 100}, {destination: {host: canary}, weight: 0}]}]}";
    assert_eq!(case(spec, "{}").weights_at("40"), "60 40");
}

/// Peers' experiments and additional destinations. Theirs are declared, or removed; here nobody
/// else's destination is ever removed or given another weight, and both sides share the rest.
#[test]
fn other_destinations_keep_their_weight() {
    let spec = |stable: u32, canary: u32, others: &[u32]| {
        let others = others
            .iter()
            .map(|w| format!(", {{destination: {{host: other, subset: s}}, weight: {w}}}"));
        let others = others.collect::<Vec<_>>().concat();
        format!(
            "{{http: [{{route: [{{destination: {{host: stable}}, weight: {stable}}}, {{destination: {{host: canary}}, weight: {canary}}}{others}]}}]}}"
        )
    };
    for (stable, canary, others, weight, expected) in [
        // 10 % of the 80 that both have.
        (80, 0, &[20][..], "10", "72 8 20"),
        (72, 8, &[20], "0", "80 0 20"),
        (60, 0, &[20, 20], "50", "30 30 20 20"),
        // Declared beside a full hundred: the sum stays what it was.
        (100, 0, &[20], "10", "90 10 20"),
        (100, 0, &[25], "10", "90 10 25"),
    ] {
        let case = case(&spec(stable, canary, others), "{}");
        assert_eq!(case.weights_at(weight), expected);
    }
    // Where the others leave too little to say the weight in, nothing is written.
    let coarse = case(&spec(1, 1, &[98]), "{}");
    assert!(
        coarse
            .weights_at("25")
            .contains("cannot be represented in http route 1"),
        "{}",
        coarse.weights_at("25")
    );
}

#[test]
fn one_side_alone_is_no_weight_route() {
    for (destinations, told) in [
        (
            "{destination: {host: stable}, weight: 100}",
            "leads to stable alone",
        ),
        ("{destination: {host: canary}}", "leads to the canary alone"),
        (
            "{destination: {host: stable}}, {destination: {host: other}, weight: 0}",
            "leads to stable alone",
        ),
    ] {
        let case = case(&format!("{{http: [{{route: [{destinations}]}}]}}"), "{}");
        assert_eq!(case.told(), [format!("http route 1: {told}")]);
        assert_eq!(case.weights_at("10"), "nothing");
    }
}

#[test]
fn a_side_that_is_there_twice_is_refused() {
    let spec = "{http: [{route: [{destination: {host: stable}, weight: 50}, {destination: {host: stable, port: {number: 81}}, weight: 50}, {destination: {host: canary}, weight: 0}]}]}";
    assert_eq!(
        case(spec, "{}").weights_at("10"),
        "http route 1 leads to stable by several destinations"
    );
}

#[test]
fn weights_that_are_absent_or_all_zero_are_written_out() {
    for (spec, expected) in [
        // An absent weight among several is none.
        (
            "{http: [{route: [{destination: {host: stable}, weight: 100}, {destination: {host: canary}}]}]}",
            "90 10",
        ),
        // Both at 0 is invalid; a peer calls that an error, here it is made right.
        (
            "{http: [{route: [{destination: {host: stable}, weight: 0}, {destination: {host: canary}, weight: 0}]}]}",
            "90 10",
        ),
    ] {
        assert_eq!(case(spec, "{}").weights_at("10"), expected);
    }
}

const SUBSETS: &str = "
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: web}, spec: {http: [
  {match: [{headers: {agent: {exact: firefox}}}], route: [{destination: {host: both, subset: v2}, weight: 100}]},
  {retries: {attempts: 3}, corsPolicy: {maxAge: 24h}, route: [{destination: {host: both, subset: v1, port: {number: 8443}}, weight: 100}, {destination: {host: both.shop.svc.cluster.local, subset: v2}, weight: 0}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: web}, spec: {host: RULE, subsets: [
  {name: v1, labels: {track: stable}}, {name: v2, labels: {track: canary}}]}}";

#[test]
fn subsets_are_whose_pods_they_select() {
    for host in ["both", "both.shop", "both.shop.svc.cluster.local"] {
        let case = Case::<Istio>::new(&SUBSETS.replace("RULE", host), "{}");
        // The route behind a header comes first, and stays what it is.
        assert_eq!(
            case.told(),
            [
                "http route 1: leads to the canary alone",
                "http route 2: 0%"
            ]
        );
        assert_eq!(case.weights_at("20"), "100 80 20", "{host}");
    }
}

/// The rule of another host says nothing about this one's subsets, and one that may not be read, or
/// is in another namespace, leaves only the names.
#[test]
fn subsets_without_a_rule_are_taken_by_name() {
    let unknown = Case::<Istio>::new(&SUBSETS.replace("RULE", "other"), "{}");
    assert_eq!(
        unknown.told(),
        [
            "http route 1: leads elsewhere",
            "http route 2: leads elsewhere"
        ]
    );
    let named = SUBSETS
        .replace("RULE", "other")
        .replace("subset: v1", "subset: stable")
        .replace("subset: v2", "subset: canary");
    let named = Case::<Istio>::new(&named, "{}");
    assert_eq!(named.weights_at("20"), "100 80 20");
    let given = Case::<Istio>::new(
        &SUBSETS.replace("RULE", "other"),
        r#"{"stableService": "v1", "canaryService": "v2"}"#,
    );
    assert_eq!(given.weights_at("20"), "100 80 20");
    // A rule in another namespace counts when it names this namespace's host.
    let far = SUBSETS.replace(
        "kind: DestinationRule, metadata: {name: web}",
        "kind: DestinationRule, metadata: {name: web, namespace: mesh}",
    );
    for (host, expected) in [("both.shop", "100 80 20"), ("both", "nothing")] {
        let case = Case::<Istio>::new(&far.replace("RULE", host), "{}");
        assert_eq!(case.weights_at("20"), expected, "{host}");
    }
}

/// A subset is never given other labels; a peer writes its own into the rule.
#[test]
fn a_subset_that_selects_neither_side_is_left_alone() {
    let text = SUBSETS
        .replace("RULE", "both")
        .replace("labels: {track: canary}", "labels: {track: old}");
    let case = Case::<Istio>::new(&text, "{}");
    assert_eq!(case.told()[1], "http route 2: leads to stable alone");
}

#[test]
fn a_root_that_delegates_is_left_alone_and_the_delegate_moves() {
    let root = case(
        "{hosts: [web], http: [{match: [{uri: {prefix: /}}], delegate: {name: web-routes, namespace: shop}}, {redirect: {uri: /}}, {directResponse: {status: 503}}]}",
        "{}",
    );
    assert_eq!(
        root.told(),
        [
            "http route 1: delegates to VirtualService web-routes",
            "http route 2: answers by itself",
            "http route 3: answers by itself",
        ]
    );
    let delegate = case(
        "{http: [{route: [{destination: {host: stable}, weight: 100}, {destination: {host: canary}, weight: 0}]}]}",
        r#"{"virtualService": "shop/web"}"#,
    );
    assert_eq!(delegate.weights_at("30"), "70 30");
}

/// The object whose script patched the first route, which has one destination, and so failed.
#[test]
fn the_weighted_route_may_be_the_second() {
    let text = r#"
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: {name: auth-service}
spec:
  hosts: [auth-service, auth-service.orion.svc.cluster.local]
  http:
  - match: [{headers: {x-canary: {exact: "true"}}}]
    route: [{destination: {host: both, subset: canary}, weight: 100}]
  - route:
    - {destination: {host: both, subset: stable}, weight: 95}
    - {destination: {host: both, subset: canary}, weight: 5}
"#;
    let case = Case::<Istio>::new(text, "{}");
    assert_eq!(weights(&case.object), "100 95 5");
    for (weight, expected) in [
        ("25", "100 75 25"),
        ("0", "100 100 0"),
        ("100", "100 0 100"),
    ] {
        assert_eq!(case.weights_at(weight), expected);
    }
}

/// A peer needs the canary's destination to be there, too; another adds it. Ours are the weights
/// alone: what is not there is told, not made.
#[test]
fn a_mirror_is_no_destination() {
    let case = case(
        "{http: [{mirror: {host: canary}, mirrorPercentage: {value: 100}, route: [{destination: {host: stable}, weight: 100}]}]}",
        "{}",
    );
    assert_eq!(case.told(), ["http route 1: leads to stable alone"]);
    assert_eq!(case.weights_at("10"), "nothing");
}
