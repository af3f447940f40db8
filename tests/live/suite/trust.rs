//! What somebody reaches who may write ConfigMaps and nothing else, and what a release does where the
//! journal cannot be written: rows of docs/security.md on a real API server.
//!
//! Owns: the forger, his forgeries, and a policy that refuses the journal.

use std::path::PathBuf;

use http::Request;
use kube::Client;
use serde_json::{Value, json};

use super::{
    ground::{client_of, within},
    roles::bearer,
    shop::{CANARY, HEALTHY, JOURNAL, OLD, STABLE, Shop, in_a_shop},
};

/// ConfigMap of the approval.
const APPROVAL: &str = "canaryctl-payment-api-approval";

/// A Deployment that is none of the release's.
const OTHER: &str = "ledger";

/// A change of the record.
type Forgery = fn(&mut Value);

/// Somebody who may do everything with ConfigMaps and nothing else.
struct Forger {
    client: Client,
    maps: String,
}

impl Forger {
    async fn of(shop: &Shop<'_>) -> Self {
        let role = json!({
            "metadata": {"namespace": shop.namespace},
            "rules": [{
                "apiGroups": [""],
                "resources": ["configmaps"],
                "verbs": ["get", "list", "create", "update", "patch", "delete"],
            }],
        });
        Self {
            client: client_of(&bearer(shop, &role).await).await,
            maps: format!("/api/v1/namespaces/{}/configmaps", shop.namespace),
        }
    }

    async fn merge(&self, name: &str, patch: &Value) {
        let request = Request::patch(format!("{}/{name}", self.maps))
            .header("content-type", "application/merge-patch+json")
            .body(patch.to_string().into_bytes());
        let answer = self.client.request::<Value>(request.unwrap()).await;
        answer.unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    async fn text(&self, name: &str, key: &str) -> String {
        let request = Request::get(format!("{}/{name}", self.maps)).body(Vec::new());
        let map = self.client.request::<Value>(request.unwrap()).await;
        map.unwrap()["data"][key].as_str().unwrap().to_owned()
    }

    /// Changes the record of the run.
    async fn forge(&self, change: impl FnOnce(&mut Value)) {
        let mut record: Value =
            serde_json::from_str(&self.text(JOURNAL, "release.json").await).unwrap();
        change(&mut record);
        self.merge(
            JOURNAL,
            &json!({"data": {"release.json": record.to_string()}}),
        )
        .await;
    }
}

/// Leaves a release at a quarter of the traffic.
async fn left_at_25(shop: &Shop<'_>) {
    let line = "auto --yes --steps 25:1s,50:1s,100:1s --until step=1";
    shop.run(line).await.ends(0);
    shop.is_at(OLD, 7, 3).await;
}

/// What an operator does next, without a file: he is told, and nothing of the release is touched but by
/// his rollback, which ends at the old version.
async fn is_not_gone_on_with(shop: &Shop<'_>, forgery: &str) {
    let doubt = "not authentic";
    let status = shop.run_without_file("status payment-api").await;
    assert!(
        status.text().contains(doubt),
        "{forgery}: {}",
        status.text()
    );
    let line = "monitor payment-api --interval 1s --duration 2s";
    shop.run_without_file(line).await;
    for goes_on in ["auto payment-api --yes", "promote payment-api --yes"] {
        let ran = shop.run_without_file(goes_on).await;
        assert_eq!(ran.code, Some(2), "{forgery}: {}", ran.text());
        ran.says(doubt);
    }
    assert_eq!(shop.image(STABLE).await, OLD, "{forgery}");
    let sizes = (shop.replicas(STABLE).await, shop.replicas(CANARY).await);
    assert_eq!(sizes, (7, 3), "{forgery}");
    let ran = shop.run_without_file("rollback payment-api").await;
    ran.ends(0).says(doubt).says("ROLLED BACK");
    shop.is_at(OLD, 10, 0).await;
}

#[tokio::test]
async fn a_check_in_a_forged_record_is_not_run() {
    in_a_shop(HEALTHY, async |shop| {
        let trace: PathBuf = shop.folder.join("ran");
        left_at_25(shop).await;
        let forger = Forger::of(shop).await;
        let touch = format!("touch {}", trace.display());
        forger
            .forge(|record| {
                let checks = record["plan"]["checks"].as_array_mut().unwrap();
                let mut check = checks[0].clone();
                check["name"] = json!("smoke");
                check["probe"] = json!("command");
                check["options"] = json!({"run": ["sh", "-c", touch], "timeout": "5s"});
                checks.push(check);
            })
            .await;
        is_not_gone_on_with(shop, "a command").await;
        assert!(!trace.exists());
    })
    .await;
}

#[tokio::test]
async fn a_forged_router_moves_nothing_else() {
    in_a_shop(HEALTHY, async |shop| {
        let container = json!({"name": "a", "image": OLD});
        let labels = json!({"app": OTHER});
        shop.create(&json!({
            "kind": "Deployment",
            "metadata": {"name": OTHER},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        }))
        .await;
        shop.ready(OTHER, 2).await;
        let before = shop.get("deployments", OTHER).await.unwrap();
        left_at_25(shop).await;
        let forger = Forger::of(shop).await;
        forger
            .forge(|record| {
                record["router"] = json!({"name": "pointer", "options": {
                    "apiVersion": "apps/v1", "kind": "Deployment", "name": OTHER,
                    "stable": "/spec/replicas", "canary": "/spec/minReadySeconds", "total": 100,
                }});
            })
            .await;
        is_not_gone_on_with(shop, "a router").await;
        let after = shop.get("deployments", OTHER).await.unwrap();
        assert_eq!(
            before["metadata"]["generation"],
            after["metadata"]["generation"]
        );
        assert_eq!(before["spec"], after["spec"]);
    })
    .await;
}

#[tokio::test]
async fn a_forged_step_image_or_approval_is_not_gone_on_with() {
    let forgeries: [(&str, Forgery); 5] = [
        ("a step", |record| record["step"] = json!(2)),
        ("a phase", |record| {
            record["phase"] = json!("promote-template");
        }),
        ("an image", |record| {
            record["images"] = json!({"payment-api": "registry.example/evil:1"});
            record["canaryImages"] = record["images"].clone();
        }),
        ("an approval", |record| record["approved"] = json!(true)),
        ("sides", |record| {
            record["stable"] = json!(CANARY);
            record["canary"] = json!(STABLE);
        }),
    ];
    let tried = forgeries.map(|(name, forgery)| {
        in_a_shop(HEALTHY, async move |shop: &Shop<'_>| {
            left_at_25(shop).await;
            Forger::of(shop).await.forge(forgery).await;
            is_not_gone_on_with(shop, name).await;
        })
    });
    futures::future::join_all(tried).await;
}

/// It is said that he may: docs/security.md.
#[tokio::test]
async fn who_may_write_configmaps_approves_the_step_that_waits() {
    in_a_shop(HEALTHY, async |shop| {
        let forger = Forger::of(shop).await;
        let line = "auto --yes --steps 10:1s:approve,100:1s --until paused";
        shop.run(line).await.ends(0);
        let token = forger.text(APPROVAL, "token").await;
        forger
            .merge(
                APPROVAL,
                &json!({"data": {"approved": token, "by": "mallory"}}),
            )
            .await;
        shop.run("auto --yes --steps 10:1s:approve,100:1s")
            .await
            .ends(0)
            .says("PROMOTED");
        shop.is_promoted().await;
    })
    .await;
}

// === a journal that cannot be written ===

#[tokio::test]
async fn a_rollback_passes_over_an_immutable_journal() {
    in_a_shop(HEALTHY, async |shop| {
        left_at_25(shop).await;
        let forger = Forger::of(shop).await;
        forger.merge(JOURNAL, &json!({"immutable": true})).await;
        let kept = forger.text(JOURNAL, "release.json").await;
        shop.run("rollback")
            .await
            .ends(0)
            .says("ROLLED BACK")
            .says("without the journal");
        shop.is_at(OLD, 9, 0).await;
        assert_eq!(forger.text(JOURNAL, "release.json").await, kept);
        // What it says of the release is over.
        let again = shop.run("auto --yes").await.ends(2);
        again.says("an old record of this run");
        shop.is_at(OLD, 9, 0).await;
        shop.never_fell().await;
    })
    .await;
}

/// A policy of the cluster by which nobody writes the tool's ConfigMaps in one namespace.
struct Policy<'a> {
    shop: &'a Shop<'a>,
    name: String,
}

impl<'a> Policy<'a> {
    /// Makes it, and waits until it counts.
    async fn begins(shop: &'a Shop<'a>) -> Self {
        let name = format!("no-journal-{}", shop.namespace);
        let group = "/apis/admissionregistration.k8s.io/v1";
        let meta = json!({"name": name});
        let policy = json!({"metadata": meta, "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": shop.namespace}},
                "resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
                    "operations": ["CREATE", "UPDATE"],
                }],
            },
            "validations": [{
                "expression": "!object.metadata.name.startsWith('canaryctl-')",
                "message": "no journals here",
            }],
        }});
        let all = format!("{group}/validatingadmissionpolicies");
        shop.send("POST", &all, Some(&policy)).await;
        let binding = json!({"metadata": meta, "spec": {
            "policyName": name, "validationActions": ["Deny"],
        }});
        let all = format!("{group}/validatingadmissionpolicybindings");
        shop.send("POST", &all, Some(&binding)).await;
        let policy = Self { shop, name };
        within(60, "the policy to count", async || {
            (!policy.allows().await).then_some(())
        })
        .await;
        policy
    }

    /// Returns whether a journal may be written.
    async fn allows(&self) -> bool {
        let namespace = &self.shop.namespace;
        let maps = format!("/api/v1/namespaces/{namespace}/configmaps?dryRun=All");
        let map = json!({"metadata": {"name": "canaryctl-probe"}});
        self.shop.try_send("POST", &maps, Some(&map)).await.is_ok()
    }

    async fn ends(self) {
        for kind in [
            "validatingadmissionpolicybindings",
            "validatingadmissionpolicies",
        ] {
            let path = format!("/apis/admissionregistration.k8s.io/v1/{kind}/{}", self.name);
            self.shop.send("DELETE", &path, None).await;
        }
        within(60, "the policy to end", async || {
            self.allows().await.then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_rollback_passes_over_a_policy_against_the_journal() {
    in_a_shop(HEALTHY, async |shop| {
        left_at_25(shop).await;
        let policy = Policy::begins(shop).await;
        let ran = shop.run("rollback").await;
        policy.ends().await;
        ran.ends(0)
            .says("ROLLED BACK")
            .says("without the journal")
            .says("no journals here");
        shop.is_at(OLD, 9, 0).await;
        shop.never_fell().await;
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_begins_in_mid_run_takes_the_canary_out() {
    in_a_shop(HEALTHY, async |shop| {
        let mut run = shop.start("auto --yes --steps 10:1s,50:10m,100:1s");
        run.until("watching at 50%").await;
        let policy = Policy::begins(shop).await;
        let ran = run.ended().await;
        policy.ends().await;
        let text = ran.text();
        assert!(text.contains("no journals here"), "{text}");
        assert!(text.contains("ROLLED BACK"), "{text}");
        ran.ends(3);
        shop.is_at(OLD, 9, 0).await;
        shop.never_fell().await;
        // The record is the last that could be written, and says that the release goes on: it is not believed.
        assert_ne!(shop.journal().await["phase"], "ended");
        let again = shop.run("auto --yes").await.ends(2);
        again.says("an old record of this run");
        shop.run("rollback").await.ends(0);
        shop.is_at(OLD, 9, 0).await;
    })
    .await;
}
