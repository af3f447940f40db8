//! What pods use, as `metrics.k8s.io` says.
//!
//! Owns: reading the measurements of a namespace's pods by label, in one request. Must not: interpret
//! them, or take a pod that is not listed for one that uses nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::{api::ListParams, core::Request};
use serde::Deserialize;

use super::{
    Cluster, ClusterError,
    pods::{Meta, or_default, parse},
};

/// The one version of the group that metrics-server serves.
const API: &str = "/apis/metrics.k8s.io/v1beta1";

/// What a pod was measured to use.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PodUsage {
    metadata: Meta,
    /// When it was measured.
    pub timestamp: Option<Timestamp>,
    /// Its containers.
    #[serde(deserialize_with = "or_default")]
    pub containers: Vec<ContainerUsage>,
}

/// What a container was measured to use.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ContainerUsage {
    /// Its name.
    pub name: String,
    /// Quantities such as `12m` and `120Mi`, by `cpu` and `memory`.
    #[serde(deserialize_with = "or_default")]
    pub usage: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Page {
    #[serde(deserialize_with = "or_default")]
    items: Vec<PodUsage>,
}

impl Cluster {
    /// Reads what the pods with these labels use, by the pods' names.
    pub async fn pod_usage(
        &self,
        labels: &BTreeMap<&str, &str>,
    ) -> Result<BTreeMap<String, PodUsage>, ClusterError> {
        let what = format!("what pods use in namespace {}", self.namespace());
        let url = format!("{API}/namespaces/{}/pods", self.namespace());
        let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let params = ListParams::default().labels(&labels.join(","));
        let list = || async {
            let request = Request::new(&url).list(&params);
            let request = request.map_err(kube::Error::BuildRequest)?;
            self.client().request_text(request).await
        };
        let page: Page = parse(&what, &self.read(&what, list).await?)?;
        let named = |pod: PodUsage| (pod.metadata.name.clone(), pod);
        Ok(page.items.into_iter().map(named).collect())
    }
}
