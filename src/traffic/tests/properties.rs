//! Whatever stands in an object: only the two sides' weights change, their sum is kept, and what is
//! read back is what was asked for, as near as the weights can say it.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{NAMESPACE, backends};
use crate::{
    domain::weight::Percent,
    traffic::{
        alb::Alb,
        gateway::Gateway,
        istio::Istio,
        nginx::Nginx,
        place::patch,
        pointer::Pointer,
        route::weights,
        smi::Smi,
        traefik::Traefik,
        weighted::{Shape, routes_of},
    },
};

/// What is drawn of an object.
#[derive(Debug, Clone)]
struct Drawn {
    /// Weights of stable and of the canary; `None` is not written.
    sides: [Option<u64>; 2],
    /// Weights of others' destinations.
    others: Vec<Option<u64>>,
    /// Where the canary stands among the destinations, beside stable.
    canary_first: bool,
    /// Fields beside the weights.
    beside: Value,
    /// Rules before the one with both sides, each with the canary alone.
    before: usize,
}

impl Drawn {
    /// Returns the destinations as `destination` writes name and weight, and the places of stable and
    /// the canary among them.
    fn destinations(
        &self,
        destination: impl Fn(&str, Option<u64>, &Value) -> Value,
    ) -> (Value, [usize; 2]) {
        let stable = destination("stable", self.sides[0], &self.beside);
        let canary = destination("canary", self.sides[1], &self.beside);
        let others = self.others.iter();
        let mut all: Vec<Value> = others
            .map(|weight| destination("other", *weight, &self.beside))
            .collect();
        // The sides stand around the others.
        let (first, last) = if self.canary_first {
            (canary, stable)
        } else {
            (stable, canary)
        };
        all.insert(0, first);
        all.push(last);
        let last = all.len() - 1;
        let places = if self.canary_first {
            [last, 0]
        } else {
            [0, last]
        };
        (Value::from(all), places)
    }

    fn shared(&self, absent: u64) -> bool {
        self.others.iter().any(|w| w.unwrap_or(absent) > 0)
    }

    /// The same with every weight written.
    fn written(&self) -> Self {
        let fill = |weight: &Option<u64>| Some(weight.unwrap_or(3));
        Self {
            sides: [fill(&self.sides[0]), fill(&self.sides[1])],
            others: self.others.iter().map(fill).collect(),
            ..self.clone()
        }
    }
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let weight = || {
        prop_oneof![
            1 => Just(None),
            2 => (0u64..=3).prop_map(Some),
            4 => (0u64..=100).prop_map(Some),
            1 => (0u64..=1000).prop_map(Some),
        ]
    };
    let beside = ("[ -~]{0,6}", -5i64..5, any::<bool>()).prop_map(
        |(text, number, flag)| json!({"text": text, "list": [number, {"weights": flag}], "": null}),
    );
    (
        [weight(), weight()],
        proptest::collection::vec(weight(), 0..4),
        any::<bool>(),
        beside,
        0usize..3,
    )
        .prop_map(|(sides, others, canary_first, beside, before)| Drawn {
            sides,
            others,
            canary_first,
            beside,
            before,
        })
}

/// Weights from 0 % to 100 % in tenths.
fn asked() -> impl Strategy<Value = Percent> {
    (0u32..=1000).prop_map(|tenths| Percent::share(tenths, 1000))
}

fn entry(name: &str, weight: Option<u64>, beside: &Value, key: &str) -> Value {
    let mut entry = json!({key: name, "beside": beside});
    if let Some(weight) = weight {
        entry["weight"] = json!(weight);
    }
    entry
}

fn object(api_version: &str, kind: &str, spec: &Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "web", "namespace": NAMESPACE}, "spec": spec})
}

/// Puts rules with the canary alone before the one with both sides.
fn rules(drawn: &Drawn, alone: &Value, both: Value) -> Value {
    let mut all = vec![alone.clone(); drawn.before];
    all.push(both);
    Value::from(all)
}

/// What must hold of an object with these pointers to stable's and the canary's weight.
struct Claim {
    object: Value,
    sides: [String; 2],
    /// Whether the sum must stay exactly as it is.
    keeps: bool,
    /// What an absent weight counts.
    absent: u64,
}

impl Claim {
    fn pair(&self, object: &Value) -> (u64, u64) {
        let read = |pointer: &String| {
            let there = object.pointer(pointer);
            there.map_or(self.absent, |weight| weight.as_u64().unwrap())
        };
        (read(&self.sides[0]), read(&self.sides[1]))
    }

    /// Moves the object and asserts everything that must hold.
    fn check<S: Shape>(&self, options: &S::Options, to: Percent) -> Result<(), TestCaseError> {
        let routes = |object: &Value| routes_of::<S>(object, &backends(), &[], options);
        let before = self.pair(&self.object);
        let Ok(written) = weights(&routes(&self.object), to) else {
            // Refused only where others stand beside weights too coarse to say it.
            prop_assert!(self.keeps, "refused: {} {to}", self.object);
            prop_assert!(before.0 + before.1 < 50, "refused: {} {to}", self.object);
            return Ok(());
        };
        let operations = patch(&self.object, &written).unwrap();
        let mut moved = self.object.clone();
        let operations: json_patch::Patch =
            serde_json::from_value(Value::from(operations)).unwrap();
        json_patch::patch(&mut moved, &operations).unwrap();

        // The canary's part is as asked, to the nearest that the sum can say; neither side gets
        // nothing unless that is asked for.
        let (stable, canary) = self.pair(&moved);
        let sum = stable + canary;
        if sum == 0 {
            // Others have all of the route, and it is left so: nobody reaches the canary.
            prop_assert!(
                self.keeps && before == (0, 0) && to == Percent::ZERO,
                "{moved}"
            );
            return Ok(());
        }
        let got = Percent::share(u32::try_from(canary).unwrap(), u32::try_from(sum).unwrap());
        let grain = Percent::share(1, u32::try_from(sum).unwrap());
        prop_assert!(got.distance(to) <= grain, "{got} for {to} of {sum}");
        prop_assert_eq!(canary == 0, to == Percent::ZERO, "{}", moved);
        prop_assert_eq!(stable == 0, to == Percent::FULL, "{}", moved);
        if self.keeps || before.0 + before.1 == sum {
            prop_assert_eq!(sum, before.0 + before.1);
        } else {
            // Nobody else shares it: it is a hundred, or larger where the weight needs it.
            prop_assert!(sum >= 100 && sum >= before.0 + before.1, "{moved}");
        }

        // The router reads what it wrote, and has nothing more to write.
        let after = routes(&moved);
        for route in after.iter().filter(|route| route.divides()) {
            prop_assert_eq!(route.share(), Some(got));
            prop_assert!(route.is_at(to));
        }
        prop_assert_eq!(weights(&after, to).unwrap(), vec![]);

        // Everything else is as it was, to the byte.
        let mut restored = moved;
        for pointer in &self.sides {
            let (parent, _) = pointer.rsplit_once('/').unwrap();
            let members = restored.pointer_mut(parent).unwrap();
            match self.object.pointer(pointer) {
                Some(weight) => members["weight"] = weight.clone(),
                None => drop(members.as_object_mut().unwrap().shift_remove("weight")),
            }
        }
        prop_assert_eq!(restored.to_string(), self.object.to_string());
        Ok(())
    }
}

/// Returns the options of a router that was not configured.
fn plain<S: Shape>() -> S::Options {
    S::Options::default()
}

fn at(list: &str, places: [usize; 2]) -> [String; 2] {
    places.map(|place| format!("{list}/{place}/weight"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_virtual_service_changes_only_so(drawn in drawn(), to in asked(), protocol in prop_oneof![Just("http"), Just("tls"), Just("tcp")]) {
        let (route, places) = drawn.destinations(|name, weight, beside| {
            let mut entry = json!({"destination": {"host": name, "port": {"number": 80}}, "headers": beside});
            if let Some(weight) = weight {
                entry["weight"] = json!(weight);
            }
            entry
        });
        let alone = json!({"match": [drawn.beside], "route": [{"destination": {"host": "canary"}}]});
        let both = json!({"match": [], "timeout": drawn.beside, "route": route});
        let spec = json!({protocol: rules(&drawn, &alone, both)});
        let claim = Claim {
            object: object("networking.istio.io/v1", "VirtualService", &spec),
            sides: at(&format!("/spec/{protocol}/{}/route", drawn.before), places),
            keeps: drawn.shared(0),
            absent: 0,
        };
        claim.check::<Istio>(&plain::<Istio>(), to)?;
    }

    #[test]
    fn a_gateway_route_changes_only_so(drawn in drawn(), to in asked()) {
        let (refs, places) =
            drawn.destinations(|name, weight, beside| entry(name, weight, beside, "name"));
        let alone = json!({"matches": [drawn.beside], "backendRefs": [{"name": "canary"}]});
        let both = json!({"filters": [drawn.beside], "backendRefs": refs});
        let spec = json!({"rules": rules(&drawn, &alone, both)});
        let claim = Claim {
            object: object("gateway.networking.k8s.io/v1", "HTTPRoute", &spec),
            sides: at(&format!("/spec/rules/{}/backendRefs", drawn.before), places),
            keeps: drawn.shared(1),
            absent: 1,
        };
        claim.check::<Gateway>(&plain::<Gateway>(), to)?;
    }

    #[test]
    fn a_traefik_service_changes_only_so(drawn in drawn(), to in asked()) {
        let (services, places) =
            drawn.destinations(|name, weight, beside| entry(name, weight, beside, "name"));
        let spec = json!({"weighted": {"sticky": drawn.beside, "services": services}});
        let claim = Claim {
            object: object("traefik.io/v1alpha1", "TraefikService", &spec),
            sides: at("/spec/weighted/services", places),
            keeps: drawn.shared(1),
            absent: 1,
        };
        claim.check::<Traefik>(&plain::<Traefik>(), to)?;
    }

    #[test]
    fn an_ingress_route_changes_only_so(drawn in drawn(), to in asked()) {
        let (services, places) =
            drawn.destinations(|name, weight, beside| entry(name, weight, beside, "name"));
        let alone = json!({"match": "Host(`a`)", "services": [{"name": "canary"}]});
        let both = json!({"match": drawn.beside, "services": services, "middlewares": [drawn.beside]});
        let spec = json!({"routes": rules(&drawn, &alone, both)});
        let claim = Claim {
            object: object("traefik.containo.us/v1alpha1", "IngressRoute", &spec),
            sides: at(&format!("/spec/routes/{}/services", drawn.before), places),
            keeps: drawn.shared(1),
            absent: 1,
        };
        claim.check::<Traefik>(&plain::<Traefik>(), to)?;
    }

    #[test]
    fn a_traffic_split_changes_only_so(drawn in drawn(), to in asked()) {
        let drawn = drawn.written();
        let (backends, places) =
            drawn.destinations(|name, weight, beside| entry(name, weight, beside, "service"));
        let spec = json!({"service": "both", "matches": [drawn.beside], "backends": backends});
        let claim = Claim {
            object: object("split.smi-spec.io/v1alpha4", "TrafficSplit", &spec),
            sides: at("/spec/backends", places),
            keeps: drawn.shared(0),
            absent: 0,
        };
        claim.check::<Smi>(&plain::<Smi>(), to)?;
    }

    #[test]
    fn any_object_changes_only_so_by_pointers(drawn in drawn(), to in asked()) {
        let drawn = drawn.written();
        let (services, places) =
            drawn.destinations(|name, weight, beside| entry(name, weight, beside, "name"));
        let spec = json!({"routes": [{"services": services, "beside": drawn.beside}]});
        let sides = at("/spec/routes/0/services", places);
        let options = json!({
            "apiVersion": "projectcontour.io/v1", "kind": "HTTPProxy", "name": "web",
            "stable": sides[0], "canary": sides[1],
        });
        let claim = Claim {
            object: object("projectcontour.io/v1", "HTTPProxy", &spec),
            sides,
            // Who else is in the route is not known: both keep the sum that they have.
            keeps: false,
            absent: 0,
        };
        claim.check::<Pointer>(&serde_json::from_value(options).unwrap(), to)?;
    }

    /// The action stands in an annotation: it is compared as text, with the weights taken out.
    #[test]
    fn an_action_of_a_load_balancer_changes_only_so(drawn in drawn(), to in asked(), pretty: bool, pascal: bool) {
        let drawn = drawn.written();
        let (groups, places) =
            drawn.destinations(|name, weight, beside| entry(name, weight, beside, "serviceName"));
        let action = json!({"type": "forward", "forwardConfig": {"targetGroups": groups}, "x": drawn.beside});
        let text = if pretty { serde_json::to_string_pretty(&action) } else { serde_json::to_string(&action) };
        let mut text = text.unwrap();
        if pascal {
            for (camel, large) in [("forwardConfig", "ForwardConfig"), ("targetGroups", "TargetGroups"), ("serviceName", "ServiceName"), ("\"weight\"", "\"Weight\"")] {
                text = text.replace(camel, large);
            }
        }
        let pointer = "/metadata/annotations/alb.ingress.kubernetes.io~1actions.web";
        let mut ingress = object("networking.k8s.io/v1", "Ingress", &json!({}));
        ingress["metadata"]["annotations"] = json!({"alb.ingress.kubernetes.io/actions.web": text});
        let routes = |object: &Value| routes_of::<Alb>(object, &backends(), &[], &plain::<Alb>());
        let sum = drawn.sides[0].unwrap() + drawn.sides[1].unwrap();
        let Ok(written) = weights(&routes(&ingress), to) else {
            prop_assert!(drawn.shared(0) && sum < 50);
            return Ok(());
        };
        let mut moved = ingress.clone();
        let operations = Value::from(patch(&ingress, &written).unwrap());
        json_patch::patch(&mut moved, &serde_json::from_value::<json_patch::Patch>(operations).unwrap()).unwrap();
        let after = moved.pointer(pointer).unwrap().as_str().unwrap();
        prop_assert_eq!(without_numbers(after), without_numbers(&text));
        let lower = after.replace("ForwardConfig", "forwardConfig").replace("TargetGroups", "targetGroups").replace("\"Weight\"", "\"weight\"");
        let read: Value = serde_json::from_str(&lower).unwrap();
        let groups = read["forwardConfig"]["targetGroups"].as_array().unwrap();
        for (i, group) in groups.iter().enumerate() {
            let original = &action["forwardConfig"]["targetGroups"][i]["weight"];
            prop_assert!(places.contains(&i) || group["weight"] == *original, "{}", after);
        }
        let weight = |side: usize| groups[places[side]]["weight"].as_u64().unwrap();
        let expected = if drawn.shared(0) || sum >= 100 { sum } else { 100 };
        if !written.is_empty() {
            prop_assert_eq!(weight(0) + weight(1), expected);
        }
        prop_assert!(routes(&moved).iter().all(|route| route.is_at(to)));
    }

    /// A canary Ingress holds one weight, of its total.
    #[test]
    fn a_canary_ingress_changes_only_so(weight in 0u32..300, total in proptest::option::of(0u32..2000), to in asked(), text in "[ -~]{0,6}") {
        let path = |service: &str| json!([{"host": "a", "http": {"paths": [{"path": "/", "backend": {"service": {"name": service}}}]}}]);
        let main = object("networking.k8s.io/v1", "Ingress", &json!({"rules": path("stable")}));
        let mut canary = object("networking.k8s.io/v1", "Ingress", &json!({"rules": path("canary")}));
        let key = "nginx.ingress.kubernetes.io/canary-weight";
        canary["metadata"]["annotations"] = json!({
            "nginx.ingress.kubernetes.io/canary": "true", key: weight.to_string(),
            "nginx.ingress.kubernetes.io/canary-by-header": text,
        });
        if let Some(total) = total {
            canary["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight-total"] = json!(total.to_string());
        }
        let total = total.unwrap_or(100).max(100);
        let routes = |object: &Value| routes_of::<Nginx>(object, &backends(), std::slice::from_ref(&main), &plain::<Nginx>());
        let written = weights(&routes(&canary), to).unwrap();
        let mut moved = canary.clone();
        let operations = Value::from(patch(&canary, &written).unwrap());
        json_patch::patch(&mut moved, &serde_json::from_value::<json_patch::Patch>(operations).unwrap()).unwrap();
        let now: u32 = moved["metadata"]["annotations"][key].as_str().unwrap().parse().unwrap();
        let got = Percent::share(now.min(total), total);
        prop_assert!(got.distance(to) <= Percent::share(1, total));
        prop_assert_eq!(now == 0, to == Percent::ZERO);
        prop_assert!(routes(&moved).iter().all(|route| route.is_at(to)));
        moved["metadata"]["annotations"][key] = canary["metadata"]["annotations"][key].clone();
        prop_assert_eq!(moved.to_string(), canary.to_string());
    }
}

/// Returns a text without the digits of its weights.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split("eight\"");
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| {
        let end = part.find([',', '}', '\n']).unwrap_or(part.len());
        let blanks = part[..end].replace(|c: char| c.is_ascii_digit(), "");
        format!("{blanks}{}", &part[end..])
    });
    first + &rest.collect::<String>()
}
