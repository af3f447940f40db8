//! Objects that lead to the app's pods and do not divide traffic between both sides: nothing is released
//! by numbers of pods beside them.

use std::{sync::Arc, time::Duration};

use canaryctl::{
    clock::Clock,
    sim::{
        SimCluster,
        fault::{Attempt, Fault},
        scenario::{Scenario, parse_objects},
    },
};
use insta::assert_snapshot;

use super::{Console, NOW, RELEASE, refusals::Folder};

/// The default route goes to stable only.
const TO_STABLE: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: payment-api, namespace: canary-release}
spec:
  hosts: [payment-api-service]
  http:
  - match: [{headers: {x-canary: {exact: 'true'}}}]
    route: [{destination: {host: payment-api-service, subset: canary}}]
  - route: [{destination: {host: payment-api-service, subset: stable}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: payment-api, namespace: canary-release}
spec:
  host: payment-api-service
  subsets: [{name: stable, labels: {version: stable}}, {name: canary, labels: {version: canary}}]
";

/// Stable's Service selects pods that are not there.
const STALE_SELECTOR: &str = "
apiVersion: v1
kind: Service
metadata: {name: payment-api-old, namespace: canary-release}
spec: {selector: {app: payment-api, version: v1}, ports: [{port: 80}]}
---
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata: {name: payment-api, namespace: canary-release}
spec:
  routes:
  - kind: Rule
    match: Host(`pay.example`)
    services:
    - {name: payment-api-old, port: 80, weight: 90}
    - {name: payment-api-canary-service, port: 80, weight: 10}
";

/// The canary Ingress leads where the main one does.
const SAME_SERVICE: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: payment-api, namespace: canary-release}
spec: {rules: [{host: pay.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: payment-api-service, port: {number: 80}}}}]}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: payment-api-canary
  namespace: canary-release
  annotations: {nginx.ingress.kubernetes.io/canary: 'true', nginx.ingress.kubernetes.io/canary-weight: '10'}
spec: {rules: [{host: pay.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: payment-api-service, port: {number: 80}}}}]}}]}
";

/// The only Ingress leads to stable's own Service.
const MAIN_TO_STABLE: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: payment-api, namespace: canary-release}
spec: {rules: [{host: pay.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: payment-api-stable-service, port: {number: 80}}}}]}}]}
";

/// Returns a console next to the payment API behind these objects.
async fn behind(objects: &str) -> Console {
    let clock = Clock::simulated(NOW.parse().unwrap(), 1.0);
    let mut scenario = Scenario::builtin("healthy").unwrap();
    scenario.objects.extend(parse_objects(objects).unwrap());
    let sim = SimCluster::start(scenario, None, clock.clone()).unwrap();
    clock.sleep(Duration::from_secs(60)).await;
    Console {
        sim: Some(Arc::new(sim)),
        ..Console::new()
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_moved_by_pods_beside_a_route_that_does_not_divide() {
    for (objects, named, why) in [
        (
            TO_STABLE,
            "VirtualService payment-api",
            "http route 2 leads to stable alone",
        ),
        (
            STALE_SELECTOR,
            "IngressRoute payment-api",
            "payment-api-old, which does not lead to stable's pods alone",
        ),
        (
            SAME_SERVICE,
            "Ingress payment-api-canary",
            "leads to Service payment-api-service, as the main Ingress does",
        ),
        (
            MAIN_TO_STABLE,
            "Ingress payment-api",
            "pay.example/ leads to stable alone",
        ),
    ] {
        let console = behind(objects).await;
        for verb in ["auto", "set", "promote", "rollback"] {
            let rest = match verb {
                "set" => " 25",
                "promote" => " --yes",
                _ => "",
            };
            let line = format!("{verb} {RELEASE}{rest}");
            let said = console.refuses(&line).await;
            assert!(
                said.starts_with(&format!("$ canaryctl {line}\nexit 2\n")),
                "{said}"
            );
            // Lines are broken where the terminal ends.
            let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(flat.contains(named) && flat.contains(why), "{said}");
        }
        let status = console.run(&format!("status {RELEASE}")).await;
        assert_eq!(status.code, 0, "{}", status.text());
        assert!(status.err.contains(named), "{}", status.text());
        let check = console.run(&format!("check {RELEASE}")).await;
        assert_eq!(check.code, 2, "{}", check.text());
        assert!(check.out.contains(named), "{}", check.text());
        // Whoever knows that it does not matter says so.
        let by_pods = console
            .run(&format!("set {RELEASE} 25 --router replicas"))
            .await;
        assert_eq!(by_pods.code, 0, "{}", by_pods.text());
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_that_does_not_divide_is_named_with_what_to_change() {
    let console = behind(TO_STABLE).await;
    assert_snapshot!(console.refuses(&format!("auto {RELEASE}")).await, @r"
    $ canaryctl auto payment-api -n canary-release
    exit 2
    --- stderr
    warning: nothing but the pods is checked (plan of payment-api)
    error: VirtualService payment-api: http route 2 leads to stable alone: its traffic does not follow the replica counts of payment-api-stable and payment-api-canary: at 100% it may reach none, at 0% still the canary
    hint: give its route both sides as destinations, the canary's with weight 0, or say --router replicas where its traffic does not matter
    ");
}

/// A route to both sides' Service, or to the canary alone behind a header, leaves it to the pods.
#[tokio::test(start_paused = true)]
async fn routes_that_leave_it_to_the_pods_are_no_obstacle() {
    let both = MAIN_TO_STABLE.replace("payment-api-stable-service", "payment-api-service");
    let by_header = TO_STABLE.replace("subset: stable}}]", "subset: v2}}]");
    let by_header = by_header.replace(
        "host: payment-api-service, subset: v2",
        "host: payment-api-service",
    );
    for objects in [both, by_header] {
        let console = behind(&objects).await;
        let ran = console.run(&format!("set {RELEASE} 25")).await;
        assert_eq!(ran.code, 0, "{}", ran.text());
        assert!(ran.err.contains("found router replicas"), "{}", ran.text());
    }
}

/// One weight of a canary Ingress holds for all its paths.
const WITH_A_NEIGHBOUR: &str = "
apiVersion: v1
kind: Service
metadata: {name: ledger, namespace: canary-release}
spec: {selector: {app: ledger}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: ledger-canary, namespace: canary-release}
spec: {selector: {app: ledger, version: canary}, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, namespace: canary-release}
spec:
  rules:
  - host: pay.example
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: payment-api-stable-service, port: {number: 80}}}}
      - {path: /ledger, pathType: Prefix, backend: {service: {name: ledger, port: {number: 80}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop-canary
  namespace: canary-release
  annotations: {nginx.ingress.kubernetes.io/canary: 'true', nginx.ingress.kubernetes.io/canary-weight: '30'}
spec:
  rules:
  - host: pay.example
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: payment-api-canary-service, port: {number: 80}}}}
      - {path: /ledger, pathType: Prefix, backend: {service: {name: ledger-canary, port: {number: 80}}}}
";

#[tokio::test(start_paused = true)]
async fn a_weight_that_moves_a_neighbour_as_well_is_not_raised() {
    let console = behind(WITH_A_NEIGHBOUR).await;
    for (verb, rest) in [("auto", ""), ("set", " 50"), ("promote", " --yes")] {
        let said = console.refuses(&format!("{verb} {RELEASE}{rest}")).await;
        assert!(said.contains("\nexit 2\n"), "{said}");
        let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            flat.contains(
                "Ingress canary-release/shop-canary: its weight holds for pay.example/ledger as well, \
                 which leads to ledger-canary and ledger"
            ),
            "{said}"
        );
    }
    let check = console.run(&format!("check {RELEASE}")).await;
    assert_eq!(check.code, 2, "{}", check.text());
    assert!(check.out.contains("pay.example/ledger"), "{}", check.text());
    // To take the canary out is right for everybody.
    let back = console.run(&format!("rollback {RELEASE}")).await;
    assert_eq!(back.code, 0, "{}", back.text());
}

const ELSEWHERE: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: edge}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: pay, namespace: edge}
spec:
  rules:
  - backendRefs:
    - {name: payment-api-stable-service, namespace: canary-release, port: 80, weight: 90}
    - {name: payment-api-canary-service, namespace: canary-release, port: 80, weight: 10}
";

#[tokio::test(start_paused = true)]
async fn a_route_in_another_namespace_is_seen_where_it_may_be() {
    let to_stable = ELSEWHERE.replace(
        "    - {name: payment-api-canary-service, namespace: canary-release, port: 80, weight: 10}\n",
        "",
    );
    for (objects, why) in [
        (
            ELSEWHERE,
            "it divides the traffic between payment-api-stable and payment-api-canary from another namespace",
        ),
        (&to_stable, "rule 1 leads to stable alone"),
    ] {
        let console = behind(objects).await;
        for (verb, rest) in [("auto", ""), ("set", " 50"), ("rollback", "")] {
            let said = console.refuses(&format!("{verb} {RELEASE}{rest}")).await;
            assert!(said.contains("\nexit 2\n"), "{said}");
            let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(
                flat.contains("HTTPRoute edge/pay") && flat.contains(why),
                "{said}"
            );
        }
    }
    // Named, it is the router.
    let console = behind(ELSEWHERE).await;
    let file = "app: payment-api\nrouter: {gateway: {route: edge/pay}}\nsteps: [25]\nhold: 10s\n";
    let folder = Folder::new("edge");
    let file = folder.file("canary.yaml", file);
    let ran = console.run(&format!("set {RELEASE} 25 -f {file}")).await;
    assert_eq!(ran.code, 0, "{}", ran.text());
}

/// Returns a fault for lists of HTTPRoutes of all namespaces.
fn of_all(fault: Fault) -> impl Fn(&Attempt<'_>) -> Fault {
    move |call| {
        let path = "/apis/gateway.networking.k8s.io/v1/httproutes";
        if call.path == path {
            fault
        } else {
            Fault::None
        }
    }
}

#[tokio::test(start_paused = true)]
async fn routes_of_other_namespaces_that_cannot_be_read_hold_up_all_but_a_rollback() {
    for fault in [
        Fault::Status(503, None),
        Fault::LoginPage,
        Fault::RequestLost,
        Fault::Hang,
    ] {
        let console = behind(ELSEWHERE).await.behind(of_all(fault));
        for (verb, rest) in [("auto", ""), ("set", " 50"), ("promote", " --yes")] {
            let said = console.refuses(&format!("{verb} {RELEASE}{rest}")).await;
            assert!(said.contains("\nexit 1\n"), "{fault}: {said}");
            let what = "cannot read HTTPRoutes of all namespaces";
            assert!(said.contains(what), "{fault}: {said}");
        }
        let clock = console.sim().world().store().clock().clone();
        let began = clock.now();
        let back = console.run(&format!("rollback {RELEASE}")).await.text();
        let flat = back.split_whitespace().collect::<Vec<_>>().join(" ");
        let unknown =
            "whether a route of another namespace gives payment-api-canary traffic is not known";
        assert!(flat.contains(unknown), "{fault}: {back}");
        assert!(flat.contains("exit 0"), "{fault}: {back}");
        let took = clock.now().duration_since(began);
        assert!(took.as_secs() < 60, "{fault}: took {took:?}");
    }
    // Whoever may not list them, as most may not, goes on.
    let console = behind(ELSEWHERE)
        .await
        .behind(of_all(Fault::Status(403, None)));
    let ran = console.run(&format!("set {RELEASE} 50")).await;
    assert_eq!(ran.code, 0, "{}", ran.text());
}
