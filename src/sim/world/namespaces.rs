//! What every namespace has: an account for its pods, and the certificate of the API server.
//!
//! Owns: both objects, in every namespace. Must not: touch what users put into one.

use serde_json::json;

use super::{object, pass::Pass};
use crate::sim::{api::finish_namespace, store::Key};

const ACCOUNT: &str = "default";
const CERTIFICATE: &str = "kube-root-ca.crt";
const ABOUT: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";
/// Stands for a certificate; nobody verifies the simulated API server with it.
const TEXT: &str = "-----BEGIN CERTIFICATE-----\nc2ltdWxhdGVk\n-----END CERTIFICATE-----\n";

/// Completes every namespace.
pub(super) fn sync(pass: &Pass<'_>) {
    for namespace in pass.list("", "namespaces") {
        if object::is_terminating(&namespace) {
            finish_namespace(pass.store, object::name(&namespace));
            continue;
        }
        let name = object::name(&namespace);
        let account = Key::new("", "serviceaccounts", name, ACCOUNT);
        if pass.store.get(&account).is_none() {
            let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {}});
            drop(pass.store.create(account, object, false));
        }
        let certificate = Key::new("", "configmaps", name, CERTIFICATE);
        if pass.store.get(&certificate).is_none() {
            let object = json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"annotations": {"kubernetes.io/description": ABOUT}},
                "data": {"ca.crt": TEXT},
            });
            drop(pass.create(certificate, object));
        }
    }
}
