//! A generated Role is enough for its verbs, and every rule of it is needed: without one, a verb says
//! which right is missing.
//!
//! Owns: people who have a Role and nothing else, and what is needed for each rule to matter.

use std::{
    fs,
    path::{Path, PathBuf},
};

use canaryctl::sim::scenario::parse_objects;
use http::Request;
use kube::Client;
use regex::Regex;
use serde_json::{Value, json};

use super::{
    ground::{client_of, within},
    metrics::{Monitoring, count_by, seen},
    prometheus::Prometheus,
    shop::{CANARY, HEALTHY, JOURNAL, NAMED, NEW, OLD, STABLE, Shop, in_a_shop},
    tool::Ran,
};

/// Cases of a release in which the trial of a verb is not.
const PLAIN: &str = "--without usage,autoscaler,create,delete,restore";

/// Returns the Role that the tool prints for a verb.
async fn role(shop: &Shop<'_>, verb: &str, flags: &str) -> Value {
    let line =
        format!("generate rbac payment-api --verb {verb} --router replicas --strict {flags}");
    let ran = shop.run(&line).await.ends(0);
    let role = parse_objects(&ran.out).unwrap().remove(0);
    assert_eq!(role["kind"], "Role");
    assert!(!rules(&role).is_empty());
    role
}

fn rules(role: &Value) -> &Vec<Value> {
    role["rules"].as_array().unwrap()
}

/// Returns a Role for each rule of this one: all but that rule, and the rule.
fn each_without_one(role: &Value) -> Vec<(Value, Value)> {
    let less = |at: usize| {
        let mut less = role.clone();
        let lost = less["rules"].as_array_mut().unwrap().remove(at);
        (less, lost)
    };
    (0..rules(role).len()).map(less).collect()
}

/// Makes a service account that has a Role and nothing else; returns the path of a kubeconfig with
/// its token once the API server knows.
pub(crate) async fn bearer(shop: &Shop<'_>, role: &Value) -> PathBuf {
    bearer_of(shop, std::slice::from_ref(role)).await
}

/// Makes a service account that has these Roles, each in its namespace, and nothing else.
async fn bearer_of(shop: &Shop<'_>, roles: &[Value]) -> PathBuf {
    let name = format!("bearer-{:08x}", fastrand::u32(..));
    let meta = json!({"name": name});
    shop.create(&json!({"kind": "ServiceAccount", "metadata": meta}))
        .await;
    for (number, role) in roles.iter().enumerate() {
        let namespace = role["metadata"]["namespace"].as_str().unwrap();
        let group = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}");
        let role_name = format!("{name}-{number}");
        let meta = json!({"name": role_name});
        let role = json!({"metadata": meta, "rules": role["rules"]});
        shop.send("POST", &format!("{group}/roles"), Some(&role))
            .await;
        let binding = json!({
            "metadata": meta,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role_name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": shop.namespace}],
        });
        shop.send("POST", &format!("{group}/rolebindings"), Some(&binding))
            .await;
    }
    let path = format!(
        "/api/v1/namespaces/{}/serviceaccounts/{name}/token",
        shop.namespace
    );
    let token = shop.send("POST", &path, Some(&json!({"spec": {}}))).await;
    let text = fs::read_to_string(&shop.ground.kubeconfig).unwrap();
    let mut config: Value = serde_saphyr::from_str(&text).unwrap();
    config["users"][0]["user"] = json!({"token": token["status"]["token"]});
    let kubeconfig = shop.folder.join(name);
    fs::write(&kubeconfig, config.to_string()).unwrap();
    for role in roles {
        knows(&kubeconfig, role).await;
    }
    kubeconfig
}

/// Waits until somebody may do what a Role says.
async fn knows(kubeconfig: &Path, role: &Value) {
    let client = client_of(kubeconfig).await;
    let namespace = &role["metadata"]["namespace"];
    let question = json!({"spec": {"namespace": namespace}}).to_string();
    within(30, "the API server to know of a Role", async || {
        let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
        let request = Request::post(path)
            .header("content-type", "application/json")
            .body(question.clone().into_bytes());
        let answer = client.request::<Value>(request.unwrap()).await.ok()?;
        let known = answer["status"]["resourceRules"].as_array()?;
        let is_known = |rule: &Value| {
            let same = |field: &str, other: &Value| rule[field] == other[field];
            let mut all = known.iter();
            all.any(|k| same("verbs", k) && same("resources", k) && same("resourceNames", k))
        };
        rules(role).iter().all(is_known).then_some(())
    })
    .await;
}

/// Panics unless a run says that it lacks a rule: a verb of it, and the resource.
fn names(ran: &Ran, rule: &Value, what: &str) {
    let said = format!("{}{}", ran.out, ran.err);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let resource = rule["resources"][0].as_str().unwrap();
    let plain = resource.split('/').next().unwrap();
    let named = rule["verbs"].as_array().unwrap().iter().any(|verb| {
        let verb = verb.as_str().unwrap();
        said.contains(&format!("cannot {verb} resource \"{resource}\""))
            || said.contains(&format!("you may not {verb} {plain}"))
            || said.contains(&format!("it needs both get and create on {resource}"))
    });
    // A look without HTTP checks and a rollback without a record are better than none.
    let goes_on = match what {
        "status" | "monitor" => resource == "pods/portforward",
        "rollback" => resource == "configmaps",
        _ => false,
    };
    assert_eq!(
        ran.code == Some(0),
        goes_on,
        "{what} without {rule}:\n{}",
        ran.text()
    );
    assert!(named, "{what} without {rule}:\n{}", ran.text());
}

/// Runs a command that changes nothing with the Role for its verb, and without each of its rules:
/// all at once.
async fn tried_at_once(shop: &Shop<'_>, verb: &str, line: &str) {
    let role = role(shop, verb, PLAIN).await;
    let whole = async {
        let ran = shop
            .start_as(&bearer(shop, &role).await, line)
            .ended()
            .await;
        // `check` speaks of the rights that other verbs lack, too.
        let fine = ran.code == Some(0) || verb == "check" && ran.code == Some(2);
        assert!(fine, "{verb} with its Role: {}", ran.text());
    };
    let less = each_without_one(&role).into_iter();
    let parts = less.map(|(less, rule)| async move {
        let ran = shop
            .start_as(&bearer(shop, &less).await, line)
            .ended()
            .await;
        names(&ran, &rule, verb);
    });
    futures::future::join(whole, futures::future::join_all(parts)).await;
}

/// Runs a command without each of the rules of its verb's Role, and with all of them at last. What it
/// has done is undone by `again` every time.
async fn tried(shop: &Shop<'_>, verb: &str, line: &str, again: impl AsyncFn()) {
    let role = role(shop, verb, PLAIN).await;
    for (less, rule) in each_without_one(&role) {
        let mut run = shop.start_as(&bearer(shop, &less).await, line);
        if rule["resources"][0] == "pods/portforward" {
            // Nothing fails: without evidence traffic stays where it is.
            run.until("? unknown").await;
            assert_eq!(shop.replicas(CANARY).await, 1);
            run.signal("TERM").await;
        }
        names(&run.ended().await, &rule, verb);
        again().await;
    }
    let bearer = bearer(shop, &role).await;
    shop.start_as(&bearer, line).ended().await.ends(0);
}

/// Runs a command with the Role of its verb without a case, which then says that it lacks a right,
/// and with the case.
async fn tried_case(
    shop: &Shop<'_>,
    (verb, case, line): (&str, &str, &str),
    lacks: &Value,
    again: impl AsyncFn(),
) -> Ran {
    let less = role(shop, verb, &format!("--without {case}")).await;
    let ran = shop
        .start_as(&bearer(shop, &less).await, line)
        .ended()
        .await;
    names(&ran, lacks, &format!("{verb} --without {case}"));
    again().await;
    let whole = bearer(shop, &role(shop, verb, "").await).await;
    shop.start_as(&whole, line).ended().await
}

fn one(verb: &str, resource: &str) -> Value {
    json!({"verbs": [verb], "resources": [resource]})
}

/// Both Deployments as they are, to be put back.
struct Start(Vec<(String, Value)>);

impl Start {
    async fn of(shop: &Shop<'_>) -> Self {
        let mut all = Vec::new();
        for name in [STABLE, CANARY] {
            let mut object = shop.get("deployments", name).await.unwrap();
            let meta = object["metadata"].as_object_mut().unwrap();
            meta.retain(|key, _| ["name", "namespace", "labels", "annotations"].contains(&&**key));
            let group = format!("/apis/apps/v1/namespaces/{}/deployments", shop.namespace);
            all.push((format!("{group}/{name}"), object));
        }
        Self(all)
    }

    /// Puts them back, forgets the run, and waits until the pods are as at the beginning.
    async fn again(&self, shop: &Shop<'_>) {
        for (path, object) in &self.0 {
            shop.send("PUT", path, Some(object)).await;
        }
        if shop.get("configmaps", JOURNAL).await.is_some() {
            shop.delete("configmaps", JOURNAL).await;
        }
        shop.ready(STABLE, 9).await;
        shop.ready(CANARY, 1).await;
    }
}

#[tokio::test]
async fn every_rule_to_look_is_needed() {
    in_a_shop(HEALTHY, async |shop| {
        let lines = [
            ("status", "status"),
            ("monitor", "monitor --interval 1s --duration 2s"),
            ("check", "check"),
        ];
        let trials = lines.map(|(verb, line)| tried_at_once(shop, verb, line));
        futures::future::join_all(trials).await;
        // Something to tell.
        shop.run("set payment-api 20").await.ends(0);
        tried_at_once(shop, "history", "history").await;
    })
    .await;
}

#[tokio::test]
async fn every_rule_to_approve_is_needed() {
    in_a_shop(HEALTHY, async |shop| {
        let line = "auto --yes --steps 10:1s:approve,100:1s --until paused";
        shop.run(line).await.ends(0);
        tried(shop, "approve", "approve", async || {}).await;
    })
    .await;
}

#[tokio::test]
async fn who_may_approve_may_do_nothing_else() {
    in_a_shop(HEALTHY, async |shop| {
        let line = "auto --yes --steps 10:1s:approve,100:1s --until paused";
        shop.run(line).await.ends(0);
        let role = role(shop, "approve", PLAIN).await;
        let kubeconfig = bearer(shop, &role).await;
        let client = client_of(&kubeconfig).await;
        let maps = format!("/api/v1/namespaces/{}/configmaps", shop.namespace);
        let patch = |name: &str| {
            let body = json!({"data": {"release.json": "{}"}}).to_string();
            Request::patch(format!("{maps}/{name}"))
                .header("content-type", "application/merge-patch+json")
                .body(body.into_bytes())
                .unwrap()
        };
        let create = Request::post(maps.as_str())
            .header("content-type", "application/json")
            .body(
                json!({"metadata": {"name": "canaryctl-other"}})
                    .to_string()
                    .into_bytes(),
            )
            .unwrap();
        for refused in [patch(JOURNAL), patch("another"), create] {
            let what = format!("{} {}", refused.method(), refused.uri());
            let answer = client.request::<Value>(refused).await;
            let code = match answer {
                Err(kube::Error::Api(status)) => status.code,
                other => panic!("{what}: {other:?}"),
            };
            assert_eq!(code, 403, "{what}");
        }
        // What he may do is approve the step that waits, once.
        let approve = || shop.start_as(&kubeconfig, "approve").ended();
        approve().await.ends(0).says("is approved");
        shop.run("auto --yes").await.ends(0).says("PROMOTED");
        approve().await.ends(2).says("no step waits");
    })
    .await;
}

#[tokio::test]
async fn every_rule_to_set_a_weight_is_needed() {
    in_a_shop(HEALTHY, async |shop| {
        let start = Start::of(shop).await;
        let line = "set payment-api 20";
        tried(shop, "set", line, async || start.again(shop).await).await;
    })
    .await;
}

#[tokio::test]
async fn every_rule_to_roll_back_is_needed_or_missed() {
    in_a_shop(HEALTHY, async |shop| {
        let start = Start::of(shop).await;
        tried(shop, "rollback", "rollback", async || {
            start.again(shop).await;
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn every_rule_to_promote_is_needed() {
    in_a_shop(HEALTHY, async |shop| {
        let start = Start::of(shop).await;
        tried(shop, "promote", "promote --yes", async || {
            start.again(shop).await;
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn every_rule_to_release_is_needed() {
    in_a_shop(HEALTHY, async |shop| {
        let start = Start::of(shop).await;
        let line = "auto --yes --skip-preflight --steps 10:1s,50:1s,100:1s";
        tried(shop, "auto", line, async || start.again(shop).await).await;
    })
    .await;
}

#[tokio::test]
async fn a_release_does_not_begin_without_a_rule() {
    in_a_shop(HEALTHY, async |shop| {
        let role = role(shop, "auto", "--without usage,autoscaler,create,delete").await;
        let less = each_without_one(&role).into_iter();
        let parts = less.map(|(less, rule)| async move {
            let bearer = bearer(shop, &less).await;
            let ran = shop.start_as(&bearer, "auto --yes").ended().await;
            names(&ran, &rule, "auto");
            assert!([Some(1), Some(2)].contains(&ran.code), "{}", ran.text());
        });
        futures::future::join_all(parts).await;
        shop.is_at(OLD, 9, 1).await;
        assert!(shop.get("configmaps", JOURNAL).await.is_none());
    })
    .await;
}

#[tokio::test]
async fn what_only_some_releases_need_is_needed_there() {
    in_a_shop(HEALTHY, async |shop| {
        let start = Start::of(shop).await;
        let delete = ("rollback", "delete", "rollback --delete");
        let lacks = one("delete", "deployments");
        let ran = tried_case(shop, delete, &lacks, async || start.again(shop).await).await;
        ran.ends(0);
        assert!(shop.get("deployments", CANARY).await.is_none());
        shop.delete("configmaps", JOURNAL).await;
        // It is there no more, so a release has to create it.
        let line = format!("auto --yes --skip-preflight --image {NEW} --steps 10:1s,50:1s,100:1s");
        let lacks = one("create", "deployments");
        let create = ("auto", "create", line.as_str());
        let ran = tried_case(shop, create, &lacks, async || {}).await;
        ran.ends(0).says("PROMOTED");
    })
    .await;
}

#[tokio::test]
async fn an_autoscaler_needs_the_right_to_hold_it_still() {
    in_a_shop(HEALTHY, async |shop| {
        shop.autoscale(9, 15).await;
        let role = role(shop, "set", "").await;
        let line = "set payment-api 20";
        let all = each_without_one(&role);
        let holds = |(_, rule): &(Value, Value)| {
            rule["resources"][0] == "horizontalpodautoscalers" && rule["verbs"][0] == "patch"
        };
        let (less, lost) = all.into_iter().find(holds).unwrap();
        let some = bearer(shop, &less).await;
        names(&shop.start_as(&some, line).ended().await, &lost, "set");
        assert_eq!(shop.replicas(CANARY).await, 1);
        let bearer = bearer(shop, &role).await;
        let ran = shop.start_as(&bearer, line).ended().await;
        ran.ends(0).says("pin payment-api-stable");
    })
    .await;
}

/// The canary does well and stable does not with the same version, so that a promotion fails.
const NOT_FOR_STABLE: &str = "
versions: [{match: {image: ':2.', labels: {track: stable}}, ready: never}]
traffic: {service: x/payment-api-service, rate: 200}
";

#[tokio::test]
async fn a_promotion_that_fails_needs_the_right_to_restore() {
    in_a_shop(NOT_FOR_STABLE, async |shop| {
        let path = shop.folder.join(NAMED);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(
            &path,
            text.replace("promoteTimeout: 60s", "promoteTimeout: 5s"),
        )
        .unwrap();
        let start = Start::of(shop).await;
        let restore = ("promote", "restore", "promote --yes");
        let lacks = one("get", "replicasets");
        let ran = tried_case(shop, restore, &lacks, async || start.again(shop).await).await;
        assert_ne!(ran.code, Some(0), "{}", ran.text());
        assert_eq!(shop.image(STABLE).await, OLD, "{}", ran.text());
    })
    .await;
}

#[tokio::test]
async fn a_source_of_another_namespace_needs_its_role_there() {
    in_a_shop(HEALTHY, async |shop| {
        let prometheus = Prometheus::start(shop);
        let monitoring = Monitoring::open(shop, &prometheus).await;
        let secret = json!({
            "kind": "Secret",
            "metadata": {"name": "prometheus-token"},
            "stringData": {"token": "hunter2"},
        });
        shop.create(&secret).await;
        let auth = json!({"bearer": {"secret": {"name": "prometheus-token", "key": "token"}}});
        let options = json!({"url": monitoring.url(), "scrapeInterval": "1s", "auth": auth});
        count_by(shop, &json!({"prometheus": options}));
        seen(&prometheus).await;
        let line = "generate rbac payment-api --verb check --router replicas --strict";
        let ran = shop.run(line).await.ends(0);
        let roles = parse_objects(&ran.out).unwrap();
        let namespaces: Vec<&Value> = roles.iter().map(|r| &r["metadata"]["namespace"]).collect();
        assert_eq!(namespaces, [&shop.namespace, &monitoring.namespace]);
        let asks = |ran: Ran| ran.text().split_whitespace().collect::<Vec<_>>().join(" ");
        let check = async |roles: &[Value]| {
            let bearer = bearer_of(shop, roles).await;
            let run = shop.start_with(&bearer, "canary.yaml", "check");
            asks(run.ended().await)
        };
        let whole = check(&roles).await;
        let counted =
            r"works on stable: 0% of [0-9]+ requests failed, [1-9] asked \(check error rate\)";
        let counted = Regex::new(counted).unwrap();
        assert!(counted.is_match(&whole), "{whole}");
        let lacks_forward = format!(
            "permission to get and create pods/portforward in namespace {} is missing",
            monitoring.namespace
        );
        let lacks = |right: &str| {
            let namespace = &monitoring.namespace;
            format!("permission to {right} in namespace {namespace} is missing")
        };
        for (of, resource, said) in [
            (
                0,
                "secrets",
                "you may not get secrets prometheus-token".to_owned(),
            ),
            (1, "services", lacks("get services")),
            (1, "pods", lacks("list pods")),
            (1, "pods/portforward", lacks_forward),
        ] {
            let mut less = roles.clone();
            let kept = less[of]["rules"].as_array_mut().unwrap();
            let before = kept.len();
            kept.retain(|rule| rule["resources"] != json!([resource]));
            assert_eq!(kept.len(), before - 1, "{resource}: {roles:#?}");
            let text = check(&less).await;
            assert!(
                text.contains(&said),
                "without {resource}, no '{said}' in: {text}"
            );
            assert!(!text.contains("hunter2"), "{text}");
        }
        monitoring.close(shop).await;
    })
    .await;
}

// === and no more ===

/// What is asked of each Role: whether it allows any of [`VERBS`] on these.
const RESOURCES: [(&str, &str); 24] = [
    ("apps", "daemonsets"),
    ("apps", "deployments"),
    ("apps", "deployments/scale"),
    ("apps", "replicasets"),
    ("apps", "statefulsets"),
    ("autoscaling", "horizontalpodautoscalers"),
    ("batch", "jobs"),
    ("coordination.k8s.io", "leases"),
    ("events.k8s.io", "events"),
    ("networking.k8s.io", "ingresses"),
    ("networking.k8s.io", "networkpolicies"),
    ("policy", "poddisruptionbudgets"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("rbac.authorization.k8s.io", "roles"),
    ("", "configmaps"),
    ("", "endpoints"),
    ("", "pods"),
    ("", "pods/exec"),
    ("", "pods/log"),
    ("", "pods/portforward"),
    ("", "secrets"),
    ("", "serviceaccounts"),
    ("", "serviceaccounts/token"),
    ("", "services"),
];

const VERBS: [&str; 8] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
];

/// What whoever looks may do besides reading.
const LOOKS: &[(&str, &str)] = &[("create", "pods/portforward")];

/// What whoever releases may do besides reading.
const RELEASES: &[(&str, &str)] = &[
    ("create", "pods/portforward"),
    ("create", "configmaps"),
    ("update", "configmaps"),
    ("create", "deployments"),
    ("patch", "deployments"),
    ("delete", "deployments"),
    ("patch", "deployments/scale"),
    ("create", "events"),
    ("patch", "horizontalpodautoscalers"),
];

/// What nobody needs to read.
const UNREAD: [&str; 9] = [
    "daemonsets",
    "jobs",
    "pods/exec",
    "pods/log",
    "rolebindings",
    "roles",
    "secrets",
    "serviceaccounts",
    "statefulsets",
];

/// Panics unless somebody may change these and nothing else, read nothing that is nobody's concern, and do
/// nothing in another namespace.
async fn may_no_more(shop: &Shop<'_>, kubeconfig: &Path, changes: &[(&str, &str)], who: &str) {
    let client = client_of(kubeconfig).await;
    let asks = async |namespace: &str, verb: &str, group: &str, resource: &str| {
        let (plain, sub) = resource.split_once('/').unwrap_or((resource, ""));
        let attributes = json!({"namespace": namespace, "verb": verb, "group": group,
            "resource": plain, "subresource": sub});
        let question = json!({"spec": {"resourceAttributes": attributes}});
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let request = Request::post(path)
            .header("content-type", "application/json")
            .body(question.to_string().into_bytes());
        let answer = client.request::<Value>(request.unwrap()).await.unwrap();
        answer["status"]["allowed"] == true
    };
    let mut more = Vec::new();
    let mut used = 0;
    for (group, resource) in RESOURCES {
        for verb in VERBS {
            let reads = ["get", "list", "watch"].contains(&verb);
            let fine = if reads {
                !UNREAD.contains(&resource)
            } else {
                changes.contains(&(verb, resource))
            };
            let may = asks(&shop.namespace, verb, group, resource).await;
            used += u32::from(may);
            if may && !fine {
                more.push(format!("{verb} {resource}"));
            }
        }
        for verb in ["get", "list", "create", "patch"] {
            if asks("default", verb, group, resource).await {
                more.push(format!("{verb} {resource} in another namespace"));
            }
        }
    }
    assert_eq!(more, Vec::<String>::new(), "{who}");
    // Whoever has rights by name alone is asked by name elsewhere.
    assert!(used > 0 || changes.is_empty(), "{who} may do nothing");
    is_refused(&client, shop, who).await;
}

/// Panics unless the server refuses to somebody what no Role of the tool allows.
async fn is_refused(client: &Client, shop: &Shop<'_>, who: &str) {
    let core = |namespace: &str, rest: &str| format!("/api/v1/namespaces/{namespace}/{rest}");
    let label = json!({"metadata": {"labels": {"a": "b"}}}).to_string();
    let other = core("default", "configmaps/kube-root-ca.crt?dryRun=All");
    for (method, path, body) in [
        ("GET", core(&shop.namespace, "secrets"), String::new()),
        (
            "DELETE",
            core(&shop.namespace, "pods?dryRun=All"),
            String::new(),
        ),
        ("PATCH", other, label),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(&path)
            .header("content-type", "application/merge-patch+json")
            .body(body.into_bytes());
        match client.request::<Value>(request.unwrap()).await {
            Err(kube::Error::Api(status)) => assert_eq!(status.code, 403, "{who}: {path}"),
            other => panic!("{who}: {method} {path}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn no_generated_role_allows_more_than_its_verb_is_for() {
    in_a_shop(HEALTHY, async |shop| {
        let each = [
            ("status", LOOKS),
            ("monitor", LOOKS),
            ("check", LOOKS),
            ("history", &[]),
            ("approve", &[]),
            ("set", RELEASES),
            ("rollback", RELEASES),
            ("promote", RELEASES),
            ("auto", RELEASES),
        ];
        let tried = each.map(|(verb, changes)| async move {
            let kubeconfig = bearer(shop, &role(shop, verb, "").await).await;
            may_no_more(shop, &kubeconfig, changes, verb).await;
        });
        futures::future::join_all(tried).await;
    })
    .await;
}

#[tokio::test]
async fn the_roles_of_the_example_are_enough_and_allow_no_more() {
    in_a_shop(HEALTHY, async |shop| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/rbac.yaml");
        let mut roles = parse_objects(&fs::read_to_string(path).unwrap()).unwrap();
        for role in &mut roles {
            role["metadata"]["namespace"] = json!(shop.namespace);
        }
        let [look, release, approve] = roles.as_slice() else {
            panic!("{roles:#?}");
        };
        let looker = bearer(shop, look).await;
        let releaser = bearer_of(shop, &[look.clone(), release.clone()]).await;
        let approver = bearer(shop, approve).await;
        let as_whom = &|who: &Path, line: &str| shop.start_as(who, line).ended();

        as_whom(&looker, "status").await.ends(0);
        // It says what whoever releases needs besides.
        let check = as_whom(&looker, "check").await.ends(2);
        check.says("you may not patch deployments.apps/scale");
        let line = "monitor --interval 1s --duration 2s";
        as_whom(&looker, line).await.ends(0);
        let waits = "auto --yes --steps 10:1s:approve,100:1s --until paused";
        as_whom(&releaser, waits).await.ends(0);
        // A refusal is met with another try for a minute: all at once.
        let verbs = ["rollback", "promote --yes", "set payment-api 50"];
        let tried = verbs.into_iter().flat_map(|verb| {
            let each = [&looker, &approver].into_iter();
            each.map(move |who| async move {
                let ran = as_whom(who, verb).await;
                assert_ne!(ran.code, Some(0), "{verb}: {}", ran.text());
            })
        });
        futures::future::join_all(tried).await;
        shop.is_at(OLD, 9, 1).await;
        as_whom(&approver, "approve").await.ends(0);
        let line = "auto --yes --steps 10:1s:approve,100:1s";
        as_whom(&releaser, line).await.ends(0).says("PROMOTED");
        as_whom(&looker, "history").await.ends(0).says("promoted");
        shop.is_promoted().await;

        for (who, changes, named) in [
            (&looker, LOOKS, "look"),
            (&releaser, RELEASES, "release"),
            (&approver, &[], "approve"),
        ] {
            may_no_more(shop, who, changes, named).await;
        }
    })
    .await;
}
