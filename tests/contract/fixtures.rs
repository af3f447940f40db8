//! Objects for each router, with the two sides' weights left open.
//!
//! Owns: what a user of each router may have in the cluster, with as much around the weights as such
//! objects carry. Must not: know how a weight is moved.

/// Objects that one router moves.
#[derive(Clone, Copy)]
pub(super) struct Fixture {
    /// The router's name.
    pub(super) router: &'static str,
    /// What is special about these objects.
    pub(super) about: &'static str,
    /// The objects; `S!` and `C!` stand for the weights of stable and of the canary.
    pub(super) objects: &'static str,
    /// The router's options, as JSON.
    pub(super) options: &'static str,
    /// Sum of both weights.
    pub(super) sum: u32,
    /// Group and plural of what is written, and further kinds of the objects.
    pub(super) resources: &'static [(&'static str, &'static str)],
    /// The kind in messages, where a cluster may not serve it.
    pub(super) kind: Option<&'static str>,
}

impl Fixture {
    /// Returns the name for messages.
    pub(super) fn title(&self) -> String {
        format!("{} ({})", self.router, self.about)
    }

    /// Returns the canary's weight at so many percent: the nearest, but neither nothing nor all
    /// unless that is what is asked for.
    pub(super) fn canary(&self, percent: u32) -> u32 {
        match percent {
            0 => 0,
            100 => self.sum,
            _ => ((percent * self.sum + 50) / 100).clamp(1, self.sum - 1),
        }
    }

    /// Returns its objects, with weights that give the canary so many percent.
    pub(super) fn weighted(&self, percent: u32) -> String {
        let canary = self.canary(percent);
        let stable = (self.sum - canary).to_string();
        let objects = self.objects.replace("S!", &stable);
        objects.replace("C!", &canary.to_string())
    }

    /// Returns the same after the app's own objects.
    pub(super) fn at(&self, percent: u32) -> String {
        let canary = self.canary(percent);
        let pods = match self.router {
            "replicas" => (self.sum - canary, canary),
            _ => (4, 4),
        };
        format!("{}---\n{}", app(pods), self.weighted(percent))
    }
}

/// Returns both Deployments, with so many pods, and their Services.
pub(super) fn app((stable, canary): (u32, u32)) -> String {
    let side = |track: &str, replicas: u32| {
        format!(
            "
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web-{track}, namespace: shop}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web, track: {track}}}}}
  template:
    metadata: {{labels: {{app: web, track: {track}}}}}
    spec: {{containers: [{{name: web, image: 'registry.example/web:{track}', ports: [{{containerPort: 80}}]}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: web-{track}, namespace: shop}}
spec: {{selector: {{app: web, track: {track}}}, ports: [{{port: 80}}]}}
---
"
        )
    };
    let both = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: other, namespace: shop}
spec: {selector: {app: other}, ports: [{port: 80}]}
";
    format!("{}{}{both}", side("stable", stable), side("canary", canary))
}

const ISTIO: &[(&str, &str)] = &[
    ("networking.istio.io", "virtualservices"),
    ("networking.istio.io", "destinationrules"),
];
const HTTP_ROUTES: &[(&str, &str)] = &[("gateway.networking.k8s.io", "httproutes")];
const INGRESSES: &[(&str, &str)] = &[("networking.k8s.io", "ingresses")];
const SPLITS: &[(&str, &str)] = &[("split.smi-spec.io", "trafficsplits")];

/// Every fixture.
pub(super) const FIXTURES: &[Fixture] = &[
    Fixture {
        router: "replicas",
        about: "twenty pods behind one Service",
        objects: "{apiVersion: v1, kind: ConfigMap, metadata: {name: beside, namespace: shop}, data: {a: b}}",
        options: "null",
        sum: 20,
        resources: &[("apps", "deployments"), ("apps", "deployments/scale")],
        kind: None,
    },
    Fixture {
        router: "istio",
        about: "two hosts, short and full, over http, tls and tcp",
        objects: r#"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: web
  namespace: shop
  labels: {team: checkout}
  annotations: {example.com/note: "kept"}
spec:
  hosts: [web, web.shop.svc.cluster.local]
  gateways: [mesh, istio-system/public]
  http:
  - name: by-header
    match: [{headers: {x-canary: {exact: "true"}}}]
    route: [{destination: {host: web-canary}, weight: 100}]
  - name: primary
    match: [{uri: {prefix: /}}]
    timeout: 3s
    retries: {attempts: 3, perTryTimeout: 1s, retryOn: "5xx"}
    corsPolicy: {allowOrigins: [{exact: "https://shop.example"}], maxAge: 24h}
    mirror: {host: other}
    mirrorPercentage: {value: 12.5}
    headers: {response: {add: {x-a: b}}}
    route:
    - destination: {host: web-stable, port: {number: 80}}
      weight: S!
    - destination: {host: web-canary.shop.svc.cluster.local, port: {number: 80}}
      weight: C!
      headers: {response: {set: {x-track: canary}}}
  tls:
  - match: [{port: 443, sniHosts: [shop.example]}]
    route:
    - {destination: {host: web-canary.shop}, weight: C!}
    - {destination: {host: web-stable.shop}, weight: S!}
  tcp:
  - match: [{port: 3306}]
    route: [{destination: {host: other}}]
  - match: [{port: 3307}]
    route:
    - {destination: {host: web-stable}, weight: S!}
    - {destination: {host: web-canary}, weight: C!}
"#,
        options: "{}",
        sum: 100,
        resources: ISTIO,
        kind: Some("VirtualService"),
    },
    Fixture {
        router: "istio",
        about: "two subsets of one host, beside somebody else's destination",
        objects: r#"
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [web]
  http:
  - match: [{headers: {x-canary: {exact: "true"}}}]
    route: [{destination: {host: web, subset: canary}, weight: 100}]
  - route:
    - {destination: {host: web, subset: v1}, weight: S!}
    - {destination: {host: web, subset: v2}, weight: C!}
    - {destination: {host: other}, weight: 20}
---
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {name: web, namespace: shop}
spec:
  host: web.shop.svc.cluster.local
  subsets:
  - {name: v1, labels: {track: stable}}
  - {name: v2, labels: {track: canary}}
  - {name: canary, labels: {track: canary}}
"#,
        options: r#"{"virtualService": "web"}"#,
        sum: 80,
        resources: ISTIO,
        kind: Some("VirtualService"),
    },
    Fixture {
        router: "gateway",
        about: "an HTTPRoute with filters and another backend",
        objects: r#"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop, labels: {team: checkout}}
spec:
  parentRefs: [{name: public, sectionName: https}]
  hostnames: [shop.example]
  rules:
  - matches: [{path: {type: PathPrefix, value: /}, headers: [{name: x-canary, value: "true"}]}]
    backendRefs: [{name: web-canary, port: 80}]
  - name: main
    matches: [{path: {type: PathPrefix, value: /}}]
    timeouts: {request: 10s}
    filters:
    - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: b}]}}
    - {type: RequestMirror, requestMirror: {backendRef: {name: other, port: 80}}}
    backendRefs:
    - {group: "", kind: Service, name: web-stable, port: 80, weight: S!}
    - name: web-canary
      port: 80
      weight: C!
      filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: c, value: d}]}}]
    - {name: other, port: 80, weight: 7}
"#,
        options: "{}",
        sum: 100,
        resources: HTTP_ROUTES,
        kind: Some("HTTPRoute, GRPCRoute, TCPRoute or TLSRoute"),
    },
    Fixture {
        router: "gateway",
        about: "a GRPCRoute of 1000",
        objects: r"
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{name: public}]
  rules:
  - matches: [{method: {service: shop.Cart, method: Add}}]
    backendRefs:
    - {name: web-stable, port: 80, weight: S!}
    - {name: web-canary, port: 80, weight: C!}
",
        options: r#"{"kind": "GRPCRoute", "route": "web"}"#,
        sum: 1000,
        resources: &[("gateway.networking.k8s.io", "grpcroutes")],
        kind: Some("GRPCRoute"),
    },
    Fixture {
        router: "gateway",
        about: "a TCPRoute and a TLSRoute of older versions, in step",
        objects: r"
apiVersion: gateway.networking.k8s.io/v1alpha2
kind: TCPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{name: public}]
  rules:
  - backendRefs:
    - {name: web-stable, port: 80, weight: S!}
    - {name: web-canary, port: 80, weight: C!}
---
apiVersion: gateway.networking.k8s.io/v1alpha3
kind: TLSRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{name: public}]
  hostnames: [shop.example]
  rules:
  - backendRefs:
    - {name: web-canary, port: 80, weight: C!}
    - {name: web-stable, port: 80, weight: S!}
",
        options: "{}",
        sum: 100,
        resources: &[
            ("gateway.networking.k8s.io", "tcproutes"),
            ("gateway.networking.k8s.io", "tlsroutes"),
        ],
        kind: Some("HTTPRoute, GRPCRoute, TCPRoute or TLSRoute"),
    },
    Fixture {
        router: "gateway",
        about: "Linkerd's own HTTPRoute, on a Service",
        objects: r"
apiVersion: policy.linkerd.io/v1beta3
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{group: core, kind: Service, name: web, port: 80}]
  rules:
  - backendRefs:
    - {name: web-stable, port: 80, weight: S!}
    - {name: web-canary, port: 80, weight: C!}
",
        options: "{}",
        sum: 100,
        resources: &[("policy.linkerd.io", "httproutes")],
        kind: Some("HTTPRoute, GRPCRoute, TCPRoute or TLSRoute"),
    },
    Fixture {
        router: "nginx",
        about: "a canary Ingress with header and cookie annotations",
        objects: r#"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop}
spec:
  ingressClassName: nginx
  tls: [{hosts: [shop.example], secretName: tls}]
  rules:
  - host: shop.example
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web-stable, port: {number: 80}}}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web-canary
  namespace: shop
  annotations:
    kubernetes.io/ingress.class: nginx-foo
    annotation-prefix.some.group/some-key: some-value
    nginx.ingress.kubernetes.io/canary: "true"
    nginx.ingress.kubernetes.io/canary-by-header: X-Foo
    nginx.ingress.kubernetes.io/canary-by-header-value: DoCanary
    nginx.ingress.kubernetes.io/canary-by-cookie: pilot
    nginx.ingress.kubernetes.io/canary-weight-total: "1000"
    nginx.ingress.kubernetes.io/canary-weight: "C!"
spec:
  ingressClassName: nginx
  tls: [{hosts: [shop.example], secretName: tls}]
  rules:
  - host: shop.example
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web-canary, port: {number: 80}}}}]}
"#,
        options: "{}",
        sum: 1000,
        resources: INGRESSES,
        kind: None,
    },
    Fixture {
        router: "smi",
        about: "v1alpha1, in thousandths",
        objects: r#"
apiVersion: split.smi-spec.io/v1alpha1
kind: TrafficSplit
metadata: {name: web, namespace: shop}
spec:
  service: web
  backends:
  - {service: web-canary, weight: "C!m"}
  - {service: web-stable, weight: "S!m"}
"#,
        options: "{}",
        sum: 1000,
        resources: SPLITS,
        kind: Some("TrafficSplit"),
    },
    Fixture {
        router: "smi",
        about: "v1alpha2, of 1000",
        objects: r"
apiVersion: split.smi-spec.io/v1alpha2
kind: TrafficSplit
metadata: {name: web, namespace: shop}
spec: {service: web, backends: [{service: web-stable, weight: S!}, {service: web-canary, weight: C!}]}
",
        options: "{}",
        sum: 1000,
        resources: SPLITS,
        kind: Some("TrafficSplit"),
    },
    Fixture {
        router: "smi",
        about: "v1alpha4, with matches",
        objects: r"
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: web, namespace: shop}
spec:
  service: web
  matches: [{kind: HTTPRouteGroup, name: firefox, apiGroup: specs.smi-spec.io}]
  backends: [{service: web-stable, weight: S!}, {service: web-canary, weight: C!}]
",
        options: r#"{"trafficSplit": "web"}"#,
        sum: 100,
        resources: SPLITS,
        kind: Some("TrafficSplit"),
    },
    Fixture {
        router: "alb",
        about: "two Ingresses, one in each spelling",
        objects: r#"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: inside
  namespace: shop
  annotations:
    alb.ingress.kubernetes.io/scheme: internal
    alb.ingress.kubernetes.io/conditions.web: '[{"field":"http-header","httpHeaderConfig":{"httpHeaderName":"X","values":["v"]}}]'
    alb.ingress.kubernetes.io/actions.web: >-
      {"type":"forward", "forwardConfig":{ "targetGroups":[{"serviceName":"web-canary","servicePort":"80","weight":C!},
      {"serviceName":"web-stable","servicePort":"80","weight": S! },{"targetGroupARN":"arn:aws:elasticloadbalancing:eu:1:targetgroup/x","weight":5}],
      "targetGroupStickinessConfig":{"enabled":true,"durationSeconds":200}}}
    alb.ingress.kubernetes.io/actions.answer: '{"type":"fixed-response","fixedResponseConfig":{"statusCode":"200"}}'
spec:
  ingressClassName: alb
  rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {name: use-annotation}}}}]}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: outside
  namespace: shop
  annotations:
    alb.ingress.kubernetes.io/actions.web: '{"Type":"forward","ForwardConfig":{"TargetGroups":[{"ServiceName":"web-stable","ServicePort":"80","Weight":S!},{"ServiceName":"web-canary","ServicePort":"80","Weight":C!}]}}'
spec:
  ingressClassName: alb
  rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {name: use-annotation}}}}]}}]
"#,
        options: "{}",
        sum: 100,
        resources: INGRESSES,
        kind: None,
    },
    Fixture {
        router: "traefik",
        about: "a weighted TraefikService with a sticky cookie",
        objects: r"
apiVersion: traefik.io/v1alpha1
kind: TraefikService
metadata: {name: web, namespace: shop}
spec:
  weighted:
    sticky: {cookie: {name: lvl, secure: true}}
    services:
    - {name: web-stable, port: 80, weight: S!, kind: Service}
    - {name: web-canary, port: 80, weight: C!}
    - {name: nested, kind: TraefikService, weight: 3}
",
        options: "{}",
        sum: 100,
        resources: &[("traefik.io", "traefikservices")],
        kind: Some("TraefikService"),
    },
    Fixture {
        router: "traefik",
        about: "an IngressRoute of the older group, with middlewares and tls",
        objects: r"
apiVersion: traefik.containo.us/v1alpha1
kind: IngressRoute
metadata: {name: web, namespace: shop}
spec:
  entryPoints: [websecure]
  tls: {secretName: tls}
  routes:
  - match: Host(`shop.example`) && PathPrefix(`/admin`)
    kind: Rule
    services: [{name: other, port: 80}]
  - match: Host(`shop.example`)
    kind: Rule
    middlewares: [{name: auth}]
    services:
    - {name: web-stable, port: 80, weight: S!, sticky: {cookie: {name: c}}}
    - {name: web-canary, port: 80, weight: C!}
",
        options: r#"{"object": "web"}"#,
        sum: 100,
        resources: &[("traefik.containo.us", "ingressroutes")],
        kind: Some("TraefikService or IngressRoute"),
    },
    Fixture {
        router: "pointer",
        about: "a Contour HTTPProxy with two routes in step",
        objects: r"
apiVersion: projectcontour.io/v1
kind: HTTPProxy
metadata: {name: web, namespace: shop}
spec:
  virtualhost: {fqdn: shop.example, tls: {secretName: tls}}
  routes:
  - conditions: [{prefix: /}]
    services:
    - {name: web-stable, port: 80, weight: S!}
    - {name: web-canary, port: 80, weight: C!}
    - {name: other, port: 80, mirror: true}
  - conditions: [{prefix: /api}]
    services:
    - {name: web-canary, port: 80, weight: C!}
    - {name: web-stable, port: 80, weight: S!}
",
        options: r#"{
            "apiVersion": "projectcontour.io/v1", "kind": "HTTPProxy", "name": "web",
            "stable": ["/spec/routes/0/services/0/weight", "/spec/routes/1/services/1/weight"],
            "canary": ["/spec/routes/0/services/1/weight", "/spec/routes/1/services/0/weight"],
            "expect": {"/spec/routes/0/services/0/name": "web-stable"}
        }"#,
        sum: 100,
        resources: &[("projectcontour.io", "httpproxies")],
        kind: Some("HTTPProxy"),
    },
    Fixture {
        router: "pointer",
        about: "JSON in an annotation",
        objects: r#"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  namespace: shop
  annotations: {zalando.org/backend-weights: '{"web-stable": S!, "web-canary":C!, "x":[1, 2]}'}
spec:
  rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
"#,
        options: r#"{
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "web", "resource": "ingresses",
            "stable": "/metadata/annotations/zalando.org~1backend-weights#/web-stable",
            "canary": "/metadata/annotations/zalando.org~1backend-weights#/web-canary",
            "total": 100
        }"#,
        sum: 100,
        resources: INGRESSES,
        kind: None,
    },
    Fixture {
        router: "several",
        about: "a VirtualService within and a TraefikService before it",
        objects: r"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [web]
  http:
  - route:
    - {destination: {host: web-stable}, weight: S!}
    - {destination: {host: web-canary}, weight: C!}
---
apiVersion: traefik.io/v1alpha1
kind: TraefikService
metadata: {name: web, namespace: shop}
spec: {weighted: {services: [{name: web-stable, port: 80, weight: S!}, {name: web-canary, port: 80, weight: C!}]}}
",
        options: r#"[{"name": "istio", "options": {}}, {"name": "traefik", "options": {}}]"#,
        sum: 100,
        resources: &[
            ("networking.istio.io", "virtualservices"),
            ("traefik.io", "traefikservices"),
        ],
        kind: Some("VirtualService"),
    },
];
