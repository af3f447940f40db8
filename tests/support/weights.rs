//! Routers by weights in front of the payment API: their objects, and what can be read off them.

use std::collections::BTreeMap;

use canaryctl::sim::{
    scenario::{Scenario, parse_objects},
    store::{Change, ChangeKind, Key, Store},
};
use serde_json::{Value, json};

use super::{Bench, CANARY, NAMESPACE, edit, is_ready};

/// A router by weights in front of the payment API.
pub(crate) struct ByWeights {
    pub(crate) name: &'static str,
    pub(crate) objects: &'static str,
    pub(crate) group: &'static str,
    pub(crate) resource: &'static str,
    /// The object that holds the weight, and where.
    pub(crate) object: &'static str,
    pub(crate) weight: &'static str,
    /// Where stable's weight stands, if it has one.
    pub(crate) rest: Option<&'static str>,
}

pub(crate) const ISTIO: ByWeights = ByWeights {
    name: "istio",
    objects: "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: payment-api, namespace: canary-release}
spec:
  hosts: [payment-api-service]
  http:
  - match: [{headers: {x-canary: {exact: 'true'}}}]
    route: [{destination: {host: payment-api-service, subset: canary}}]
  - route:
    - {destination: {host: payment-api-service, subset: stable}, weight: 100}
    - {destination: {host: payment-api-service, subset: canary}, weight: 0}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: payment-api, namespace: canary-release}
spec:
  host: payment-api-service
  subsets: [{name: stable, labels: {version: stable}}, {name: canary, labels: {version: canary}}]
",
    group: "networking.istio.io",
    resource: "virtualservices",
    object: "payment-api",
    weight: "/spec/http/1/route/1/weight",
    rest: Some("/spec/http/1/route/0/weight"),
};

pub(crate) const NGINX: ByWeights = ByWeights {
    name: "nginx",
    objects: "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: payment-api, namespace: canary-release}
spec: {rules: [{host: pay.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: payment-api-stable-service, port: {number: 80}}}}]}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: payment-api-canary
  namespace: canary-release
  annotations: {nginx.ingress.kubernetes.io/canary: 'true', nginx.ingress.kubernetes.io/canary-weight: '0'}
spec: {rules: [{host: pay.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: payment-api-canary-service, port: {number: 80}}}}]}}]}
",
    group: "networking.k8s.io",
    resource: "ingresses",
    object: "payment-api-canary",
    weight: "/metadata/annotations/nginx.ingress.kubernetes.io~1canary-weight",
    rest: None,
};

pub(crate) const GATEWAY: ByWeights = ByWeights {
    name: "gateway",
    objects: "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public, namespace: canary-release}
spec: {gatewayClassName: edge, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: payment-api, namespace: canary-release}
spec:
  parentRefs: [{name: public}]
  rules:
  - backendRefs:
    - {name: payment-api-stable-service, port: 80, weight: 100}
    - {name: payment-api-canary-service, port: 80, weight: 0}
",
    group: "gateway.networking.k8s.io",
    resource: "httproutes",
    object: "payment-api",
    weight: "/spec/rules/0/backendRefs/1/weight",
    rest: Some("/spec/rules/0/backendRefs/0/weight"),
};

impl ByWeights {
    pub(crate) fn bench(&self, scenario: &str) -> Bench {
        let mut scenario = Scenario::builtin(scenario).unwrap();
        scenario
            .objects
            .extend(parse_objects(self.objects).unwrap());
        let mut bench = Bench::with(scenario);
        bench.by = self.name;
        bench
    }

    pub(crate) fn key(&self) -> Key {
        Key::new(self.group, self.resource, NAMESPACE, self.object)
    }

    pub(crate) fn of(&self, object: &Value) -> u64 {
        let weight = object.pointer(self.weight).unwrap();
        let text = weight.as_str().and_then(|text| text.parse().ok());
        weight.as_u64().or(text).unwrap()
    }

    pub(crate) fn weight(&self, bench: &Bench) -> u64 {
        self.weight_in(bench.sim.world().store())
    }

    pub(crate) fn weight_in(&self, store: &Store) -> u64 {
        self.of(&store.get(&self.key()).unwrap())
    }

    pub(crate) fn meddle(&self, bench: &Bench, weight: u32) {
        self.meddle_in(bench.sim.world().store(), weight);
    }

    /// Somebody else writes a weight.
    pub(crate) fn meddle_in(&self, store: &Store, weight: u32) {
        let change = |object: &mut Value| {
            let place = object.pointer_mut(self.weight).unwrap();
            *place = if place.is_string() {
                json!(weight.to_string())
            } else {
                json!(weight)
            };
            if let Some(rest) = self.rest {
                *object.pointer_mut(rest).unwrap() = json!(100 - weight);
            }
        };
        edit(store, &self.key(), change).unwrap();
    }

    /// Returns every weight the canary ever had, in order, and asserts at each moment that it had
    /// ready pods for it: whoever gets traffic can serve it.
    pub(crate) fn story(&self, bench: &Bench) -> Vec<u64> {
        let mut weights = Vec::new();
        let mut pods = BTreeMap::new();
        let store = bench.sim.world().store();
        let changes = store.changes_after(0);
        let changes = changes.or_else(|first| store.changes_after(first)).unwrap();
        for Change {
            key,
            kind,
            object,
            version,
            ..
        } in changes
        {
            if key.resource == "pods" && key.namespace == NAMESPACE {
                let ready = kind != ChangeKind::Deleted && is_ready(&object);
                pods.insert(key.name.clone(), ready);
            }
            if key == self.key() {
                let weight = self.of(&object);
                if weights.last() != Some(&weight) {
                    weights.push(weight);
                }
            }
            let now = weights.last().copied().unwrap_or(0);
            if version > bench.from && now > 0 {
                let ready = pods
                    .iter()
                    .filter(|(name, ready)| name.starts_with(CANARY) && **ready);
                assert!(
                    ready.count() > 0,
                    "{now} % of the traffic and no ready canary pod"
                );
            }
        }
        weights
    }
}
