//! The other objects a release has to know: Services, autoscalers, and the whole namespace at once.
//!
//! Owns: reading them. Must not: interpret them beyond what is written here.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{Pod, Service},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{ResourceExt, api::ListParams};

use super::{Cluster, ClusterError, Reason, workloads::Live};

/// Everything discovery and preflight look at, read in one parallel round.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// Deployments.
    pub deployments: Vec<Live>,
    /// Services.
    pub services: Vec<Service>,
    /// Autoscalers; empty where they may not be read.
    pub autoscalers: Vec<HorizontalPodAutoscaler>,
    /// Whether autoscalers could be read.
    pub autoscalers_known: bool,
}

impl Survey {
    /// Returns a Deployment by name.
    pub fn deployment(&self, name: &str) -> Option<&Live> {
        self.deployments.iter().find(|d| d.name() == name)
    }

    /// Returns a Service by name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|s| s.name_any() == name)
    }

    /// Returns the autoscaler of a Deployment.
    pub fn autoscaler(&self, deployment: &str) -> Option<&HorizontalPodAutoscaler> {
        self.autoscalers.iter().find(|hpa| scales(hpa, deployment))
    }
}

impl Cluster {
    /// Reads Deployments, Services and autoscalers of the namespace.
    pub async fn survey(&self) -> Result<Survey, ClusterError> {
        let params = ListParams::default();
        let services = self.api::<Service>();
        let what = format!("Services of namespace {}", self.namespace());
        let (deployments, services, autoscalers) = futures::try_join!(
            self.deployments(),
            self.read(&what, || services.list(&params)),
            self.autoscalers(),
        )?;
        Ok(Survey {
            deployments,
            services: services.items,
            autoscalers_known: autoscalers.is_some(),
            autoscalers: autoscalers.unwrap_or_default(),
        })
    }

    /// Reads the autoscalers of the namespace; `None` when they may not be read or are not served.
    pub async fn autoscalers(&self) -> Result<Option<Vec<HorizontalPodAutoscaler>>, ClusterError> {
        let api = self.api::<HorizontalPodAutoscaler>();
        let what = format!("HorizontalPodAutoscalers of namespace {}", self.namespace());
        let params = ListParams::default();
        match self.read(&what, || api.list(&params)).await {
            Ok(list) => Ok(Some(list.items)),
            Err(e) if matches!(e.reason, Reason::Forbidden | Reason::NotServed) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Returns whether an autoscaler scales the Deployment.
pub fn scales(hpa: &HorizontalPodAutoscaler, deployment: &str) -> bool {
    let target = hpa.spec.as_ref().map(|s| &s.scale_target_ref);
    target.is_some_and(|t| t.kind == "Deployment" && t.name == deployment)
}

/// Returns whether a Service selects pods with these labels; a Service without selector selects none.
pub fn selects(service: &Service, labels: &BTreeMap<String, String>) -> bool {
    let selector = service.spec.as_ref().and_then(|s| s.selector.as_ref());
    selector.is_some_and(|s| !s.is_empty() && s.iter().all(|(k, v)| labels.get(k) == Some(v)))
}

/// Returns the port of a pod behind a port of a Service, or the only or first port when none is
/// named. Names are looked up in the pod: two revisions may differ.
pub fn pod_port(service: &Service, port: Option<&str>, pod: &Pod) -> Option<u16> {
    let ports = service.spec.as_ref()?.ports.as_ref()?;
    let found = match port {
        None => ports.first(),
        Some(asked) => ports
            .iter()
            .find(|p| p.name.as_deref() == Some(asked) || p.port.to_string() == asked),
    }?;
    match &found.target_port {
        None => u16::try_from(found.port).ok(),
        Some(IntOrString::Int(number)) => u16::try_from(*number).ok(),
        Some(IntOrString::String(name)) => named_port(pod, name),
    }
}

/// Returns the number of a named container port of a pod.
pub fn named_port(pod: &Pod, name: &str) -> Option<u16> {
    let spec = pod.spec.as_ref()?;
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let mut ports = spec
        .containers
        .iter()
        .chain(sidecars)
        .flat_map(|c| c.ports.iter().flatten());
    let port = ports.find(|p| p.name.as_deref() == Some(name))?;
    u16::try_from(port.container_port).ok()
}

/// Returns the only container port of a pod, or the first.
pub fn first_port(pod: &Pod) -> Option<u16> {
    let containers = &pod.spec.as_ref()?.containers;
    let port = containers
        .iter()
        .flat_map(|c| c.ports.iter().flatten())
        .next()?;
    u16::try_from(port.container_port).ok()
}
