//! What is made where no route leads to the canary: per router, and why it cannot be had.

use serde_json::{Value, json};

use crate::{
    cluster::{
        objects::Survey,
        routing::{Family, Kind},
        workloads::Live,
    },
    domain::route::{Make, Piece},
    sim::scenario::parse_objects,
    traffic::{Given, Target, blueprint::Blueprint, blueprint::Gap, provider, wanted},
};

const NAMESPACE: &str = "shop";

/// An app without track labels, and its Service.
const PLAIN: &str = "
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 2, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web, team: a}}}}}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http, nodePort: 30080}]}}
";

/// The same with both Deployments, told apart by a label, behind one Service.
const TRACKED: &str = "
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 2, selector: {matchLabels: {app: web, version: stable}}, template: {metadata: {labels: {app: web, version: stable}}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web-canary}, spec: {replicas: CANARY, selector: {matchLabels: {app: web, version: canary}}, template: {metadata: {labels: {app: web, version: canary}}}}}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80}]}}
";

const INGRESS: &str = "
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: web, annotations: {nginx.ingress.kubernetes.io/rewrite-target: /}}, spec: {ingressClassName: nginx, rules: [
  {host: shop.example, http: {paths: [
    {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}},
    {path: /other, pathType: Prefix, backend: {service: {name: other, port: {number: 80}}}}]}},
  {host: other.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: other, port: {number: 80}}}}]}}]}}
";

const ROUTE: &str = "
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web}, spec: {rules: [
  {matches: [{path: {value: /}}], backendRefs: [{name: web, port: 80, filters: [{type: RequestMirror}]}]},
  {matches: [{path: {value: /other}}], backendRefs: [{name: other, port: 80}, {name: third, port: 80}]}]}}
";

/// What a router would make of these objects.
fn drawn(router: &str, named: bool, objects: &[&str]) -> Result<Blueprint, Gap> {
    let text = objects.join("\n---\n");
    let mut survey = Survey::default();
    let kinds = [
        ("networking.k8s.io", "Ingress", "ingresses"),
        ("gateway.networking.k8s.io", "HTTPRoute", "httproutes"),
        ("networking.istio.io", "VirtualService", "virtualservices"),
        ("networking.istio.io", "DestinationRule", "destinationrules"),
    ];
    let known = wanted(None).0;
    for (group, kind, plural) in kinds {
        let is = |k: &&Kind| (k.group.as_str(), k.plural.as_str()) == (group, plural);
        let kind_of = known.iter().map(|wanted| &wanted.kind).find(is);
        survey.routing.push(Family {
            kind: kind_of.unwrap_or_else(|| panic!("{kind}")).clone(),
            namespace: NAMESPACE.to_owned(),
            version: "v1".to_owned(),
            objects: Ok(Vec::new()),
        });
    }
    for mut object in parse_objects(&text).unwrap() {
        object["metadata"]["namespace"] = json!(NAMESPACE);
        match object["kind"].as_str().unwrap() {
            "Deployment" => survey.deployments.push(Live::new(object).unwrap()),
            "Service" => survey
                .services
                .push(serde_json::from_value(object).unwrap()),
            kind => {
                let mut families = survey.routing.iter_mut();
                let family = families.find(|family| family.kind.kind == kind).unwrap();
                family.objects.as_mut().unwrap().push(object);
            }
        }
    }
    let target = Target {
        stable: "web".to_owned(),
        canary: "web-canary".to_owned(),
        service: Some("web".to_owned()),
        total: 2,
    };
    let options = &Value::Null;
    let given = Given { options, named };
    let router = provider(router).unwrap();
    router
        .blueprint(&survey, NAMESPACE, &target, given)
        .unwrap()
}

fn words(blueprint: &Blueprint) -> Vec<&str> {
    let pieces = blueprint.route.pieces.iter();
    pieces.map(|piece| piece.words.as_str()).collect()
}

fn created(piece: &Piece) -> &Value {
    let Make::Create(object) = &piece.make else {
        panic!("{piece:?}");
    };
    object
}

fn changed(piece: &Piece) -> Vec<(&str, Value, Value)> {
    let Make::Change(fields) = &piece.make else {
        panic!("{piece:?}");
    };
    let fields = fields.iter();
    let field = fields.map(|field| {
        let before = field.before.clone().unwrap_or_default();
        (field.pointer.as_str(), before, field.during.clone())
    });
    field.collect()
}

#[test]
fn nginx_gets_a_service_and_a_canary_ingress_and_nothing_of_the_app_changes() {
    let drawn = drawn("nginx", false, &[PLAIN, INGRESS]).unwrap();
    let made = [
        "create Service web-canary that selects app=web-canary,track=canary",
        "create canary Ingress web-canary to Service web-canary with weight 0",
    ];
    assert_eq!(words(&drawn), made);
    let service = created(&drawn.route.pieces[0]);
    let selector = json!({"app": "web-canary", "track": "canary"});
    assert_eq!(service["spec"]["selector"], selector);
    // The port of the nodes is the app's own.
    let ports = json!([{"name": "http", "port": 80, "targetPort": "http"}]);
    assert_eq!(service["spec"]["ports"], ports);
    let ingress = created(&drawn.route.pieces[1]);
    let rules = json!([{"host": "shop.example", "http": {"paths": [
        {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web-canary", "port": {"number": 80}}}},
    ]}}]);
    assert_eq!(ingress["spec"]["rules"], rules);
    assert_eq!(ingress["spec"]["ingressClassName"], "nginx");
    let notes = json!({
        "nginx.ingress.kubernetes.io/canary": "true",
        "nginx.ingress.kubernetes.io/canary-weight": "0",
    });
    assert_eq!(ingress["metadata"]["annotations"], notes);
    let label = (Some("web".to_owned()), Some("web-canary".to_owned()));
    assert_eq!(drawn.labels["app"], label);
    let options = json!({
        "ingress": "web-canary", "stableService": "web", "canaryService": "web-canary",
    });
    assert_eq!(drawn.router.options, options);
    assert!(!drawn.route.rejoins);
    assert_eq!(
        drawn.notes[0].what,
        "ingress-nginx is retired since March 2026"
    );
    // Only in a run are they somebody's.
    let own = drawn.of_run("r1");
    let mark = &created(&own.pieces[1])["metadata"]["annotations"]["canaryctl.dev/run"];
    assert_eq!((mark, own.mark.as_str()), (&json!("r1"), "r1"));
}

#[test]
fn a_service_of_both_sides_gets_stables_label_for_the_time_of_the_release() {
    let app = TRACKED.replace("CANARY", "0");
    let drawn = drawn("nginx", false, &[&app, INGRESS]).unwrap();
    let narrowed = ("/spec/selector/version", Value::Null, json!("stable"));
    assert_eq!(changed(&drawn.route.pieces[0]), [narrowed]);
    let service = created(&drawn.route.pieces[1]);
    let selector = json!({"app": "web", "version": "canary"});
    assert_eq!(service["spec"]["selector"], selector);
    assert!(drawn.route.rejoins && drawn.labels.is_empty());
}

#[test]
fn a_route_gets_a_second_backend_in_the_rules_that_lead_to_the_app() {
    let drawn = drawn("gateway", false, &[PLAIN, ROUTE]).unwrap();
    let one = json!({"name": "web", "port": 80, "filters": [{"type": "RequestMirror"}]});
    let (mut stable, mut canary) = (one.clone(), one.clone());
    stable["weight"] = json!(100);
    canary["weight"] = json!(0);
    canary["name"] = json!("web-canary");
    let second = (
        "/spec/rules/0/backendRefs",
        json!([one]),
        json!([stable, canary]),
    );
    assert_eq!(changed(&drawn.route.pieces[1]), [second]);
    let options = json!({
        "route": "web", "kind": "HTTPRoute", "stableService": "web", "canaryService": "web-canary",
    });
    assert_eq!(drawn.router.options, options);
}

#[test]
fn a_mesh_without_a_route_gets_one_by_services_or_by_subsets() {
    let plain = drawn("istio", true, &[PLAIN]).unwrap();
    let [_, route] = plain.route.pieces.as_slice() else {
        panic!("{plain:?}");
    };
    let routes = json!([
        {"destination": {"host": "web"}, "weight": 100},
        {"destination": {"host": "web-canary"}, "weight": 0},
    ]);
    assert_eq!(created(route)["spec"]["http"][0]["route"], routes);
    assert!(plain.last_resort && plain.notes[0].what.contains("istio-proxy"));
    let app = TRACKED.replace("CANARY", "0");
    let tracked = drawn("istio", true, &[&app]).unwrap();
    let [rule, route] = tracked.route.pieces.as_slice() else {
        panic!("{tracked:?}");
    };
    let subsets = json!([
        {"name": "stable", "labels": {"version": "stable"}},
        {"name": "canary", "labels": {"version": "canary"}},
    ]);
    assert_eq!(created(rule)["spec"]["subsets"], subsets);
    let first = json!({"host": "web", "subset": "stable"});
    assert_eq!(
        created(route)["spec"]["http"][0]["route"][0]["destination"],
        first
    );
    assert!(tracked.route.rejoins);
}

#[test]
fn a_virtual_service_with_one_destination_gets_a_second_one() {
    let route = "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: shop}, spec: {hosts: [shop.example], http: [{timeout: 3s, route: [{destination: {host: web.shop.svc.cluster.local, port: {number: 80}}}]}]}}";
    let drawn = drawn("istio", false, &[PLAIN, route]).unwrap();
    let [(pointer, _, during)] = &changed(&drawn.route.pieces[1])[..] else {
        panic!("{drawn:?}");
    };
    assert_eq!(*pointer, "/spec/http/0/route");
    let canary = json!({"destination": {"host": "web-canary.shop.svc.cluster.local", "port": {"number": 80}}, "weight": 0});
    assert_eq!(during[1], canary);
    assert!(!drawn.last_resort);
}

#[expect(clippy::too_many_lines, reason = "a table of cases")]
#[test]
fn what_cannot_be_had_is_told_with_the_object() {
    let two = format!(
        "{INGRESS}---{}",
        INGRESS.replace("metadata: {name: web,", "metadata: {name: web2,")
    );
    let taken = "{apiVersion: v1, kind: Service, metadata: {name: web-canary}, spec: {selector: {app: other}}}";
    let there =
        "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: web-canary}, spec: {}}";
    let rival = INGRESS.replace(
        "{name: web, annotations: {",
        "{name: beta, annotations: {nginx.ingress.kubernetes.io/canary: 'true', ",
    );
    let foreign = INGRESS
        .replace("ingressClassName: nginx", "ingressClassName: traefik")
        .replace(
            "annotations: {nginx.ingress.kubernetes.io/rewrite-target: /}",
            "labels: {}",
        );
    let serving = TRACKED.replace("CANARY", "1");
    // Made by hand with the label that this tool invents: stable has none.
    let untold = format!(
        "{PLAIN}---\n{}",
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web-canary}, spec: {replicas: 0, selector: {matchLabels: {app: web, track: canary}}, template: {metadata: {labels: {app: web, track: canary}}}}}"
    );
    let shared = ROUTE.replace(
        "backendRefs: [{name: web,",
        "backendRefs: [{name: third}, {name: web,",
    );
    let subset = "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: web}, spec: {hosts: [web], http: [{route: [{destination: {host: web, subset: v1}}]}]}}";
    for (router, objects, place, why) in [
        (
            "nginx",
            vec![PLAIN],
            "namespace shop",
            "no Ingress of class nginx leads to Service web",
        ),
        (
            "nginx",
            vec![PLAIN, &foreign],
            "namespace shop",
            "no Ingress of class nginx leads to Service web",
        ),
        (
            "nginx",
            vec![PLAIN, &two],
            "namespace shop",
            "Ingress web and Ingress web2 lead to Service web",
        ),
        (
            "nginx",
            vec![PLAIN, INGRESS, taken],
            "Service shop/web-canary",
            "it exists already, and is not what the release needs",
        ),
        (
            "nginx",
            vec![PLAIN, INGRESS, there],
            "Ingress shop/web-canary",
            "it exists already, and is not what the release needs",
        ),
        (
            "nginx",
            vec![PLAIN, INGRESS, &rival],
            "Ingress shop/beta",
            "it exists already, and is not what the release needs",
        ),
        (
            "nginx",
            vec![&serving, INGRESS],
            "Service shop/web",
            "it sends users to web-canary now, by its pod",
        ),
        (
            "nginx",
            vec![&untold, INGRESS],
            "Service shop/web",
            "Service web selects the pods of both sides, and stable's have no label that those of web-canary lack",
        ),
        (
            "gateway",
            vec![PLAIN, &shared],
            "HTTPRoute shop/web",
            "/spec/rules/0/backendRefs has 2 destinations already",
        ),
        (
            "istio",
            vec![PLAIN],
            "namespace shop",
            "no VirtualService is about Service web",
        ),
        (
            "istio",
            vec![PLAIN, subset],
            "VirtualService shop/web",
            "it leads to subset v1 of web",
        ),
    ] {
        let gap = drawn(router, false, &objects).unwrap_err();
        assert_eq!((gap.place(), gap.to_string().as_str()), (place, why));
        assert!(!gap.fix().is_empty());
    }
}
