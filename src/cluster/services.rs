//! From the name of a Service to a pod behind it.
//!
//! Owns: which host names mean a Service, and finding a ready pod and its port. Must not: open
//! connections; look at namespaces that no name leads to.

use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::api::ListParams;

use super::{
    Cluster, ClusterError, Reason,
    pods::{LivePod, Pods},
};

/// Label that ties an EndpointSlice to its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A Service of any namespace, as a host name says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceName {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
}

/// Indicates that no pod behind a Service can be named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BehindError {
    /// There is no such Service.
    #[error("there is no Service {0}")]
    NoService(String),
    /// A right is missing.
    #[error("permission to {right} in namespace {namespace} is missing")]
    Forbidden {
        /// The right, such as `get services`.
        right: &'static str,
        /// The namespace.
        namespace: String,
    },
    /// The Service leads to no pod that is ready, or not by this port.
    #[error("{0}")]
    Nobody(String),
    /// The API server did not answer.
    #[error("{0}")]
    Cluster(String),
}

impl ServiceName {
    /// Returns the Service that a host name means: `SERVICE.NAMESPACE`, also with `.svc` and with
    /// `.svc.cluster.local` behind it.
    pub fn of_host(host: &str) -> Option<Self> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let host = host.strip_suffix(".cluster.local").unwrap_or(&host);
        let host = host.strip_suffix(".svc").unwrap_or(host);
        let (name, namespace) = host.split_once('.')?;
        let is_label = |text: &str| {
            !text.is_empty()
                && text.len() <= 63
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !text.starts_with('-')
                && !text.ends_with('-')
        };
        let is_address = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        (is_label(name) && is_label(namespace) && !is_address).then(|| Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
        })
    }
}

impl std::fmt::Display for ServiceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Cluster {
    /// Returns a ready pod behind `port` of a Service, the first by name, and the pod's own port.
    pub async fn pod_behind(
        &self,
        service: &ServiceName,
        port: u16,
    ) -> Result<(String, u16), BehindError> {
        let there = self.in_namespace(&service.namespace);
        let object = there.service(service).await?;
        let spec = object.spec.clone().unwrap_or_default();
        if spec.type_.as_deref() == Some("ExternalName") {
            let to = spec.external_name.unwrap_or_default();
            let text = format!("Service {service} is of type ExternalName, another name of {to}");
            return Err(BehindError::Nobody(text));
        }
        // Nobody translates ports of a headless Service: its name stands for the pods themselves.
        let headless = spec.cluster_ip.as_deref() == Some("None");
        let asked = port.to_string();
        let ports = spec.ports.unwrap_or_default();
        let found = ports.iter().find(|p| p.port == i32::from(port));
        if found.is_none() && !headless {
            let known: Vec<String> = ports.iter().map(|p| p.port.to_string()).collect();
            let text = format!(
                "Service {service} has no port {port}; it has: {}",
                known.join(", ")
            );
            return Err(BehindError::Nobody(text));
        }
        let selector = spec.selector.unwrap_or_default();
        let behind = if selector.is_empty() {
            let name = found.and_then(|p| p.name.clone()).unwrap_or_default();
            let (pod, number) = there.endpoint(service, &name).await?;
            (pod, if headless { Some(port) } else { number })
        } else {
            let pairs: Vec<String> = selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let pod = there.ready_pod(service, &pairs.join(",")).await?;
            let number = if headless {
                Some(port)
            } else {
                pod.port_behind(&object, Some(&asked))
            };
            (pod.name().to_owned(), number)
        };
        let (pod, number) = behind;
        let number = number.ok_or_else(|| {
            let text = format!(
                "pod {}/{pod} has no port behind port {port} of Service {service}",
                service.namespace
            );
            BehindError::Nobody(text)
        })?;
        Ok((pod, number))
    }

    async fn service(&self, service: &ServiceName) -> Result<Service, BehindError> {
        let api = self.api::<Service>();
        let what = format!("Service {service}");
        let read = self.read_opt(&what, || api.get(&service.name)).await;
        let read = read.map_err(|e| failed(&e, "get services", &service.namespace))?;
        read.ok_or_else(|| BehindError::NoService(service.to_string()))
    }

    async fn ready_pod(
        &self,
        service: &ServiceName,
        selector: &str,
    ) -> Result<LivePod, BehindError> {
        let pods = self.pods(selector, &Pods::default()).await;
        let pods = pods.map_err(|e| failed(&e, "list pods", &service.namespace))?;
        let ready = pods.iter().filter(|pod| pod.is_ready());
        let first = ready.min_by(|a, b| a.name().cmp(b.name())).cloned();
        first.ok_or_else(|| {
            let count = pods.len();
            BehindError::Nobody(format!(
                "Service {service} has no ready pod ({count} with its labels)"
            ))
        })
    }

    /// Returns a pod of a Service without a selector, and the port of that name.
    async fn endpoint(
        &self,
        service: &ServiceName,
        port: &str,
    ) -> Result<(String, Option<u16>), BehindError> {
        let params = ListParams::default().labels(&format!("{SERVICE_NAME}={}", service.name));
        let what = format!("EndpointSlices of Service {service}");
        let slices = self.list_grown::<EndpointSlice>(&what, &params).await;
        let slices = slices.map_err(|e| failed(&e, "list endpointslices", &service.namespace))?;
        let mut found = Vec::new();
        for slice in slices {
            let mut ports = slice.ports.iter().flatten();
            let number = ports.find(|p| p.name.as_deref().unwrap_or_default() == port);
            let number = number.and_then(|p| u16::try_from(p.port?).ok());
            for endpoint in slice.endpoints {
                let conditions = endpoint.conditions.unwrap_or_default();
                let target = endpoint.target_ref.unwrap_or_default();
                if conditions.ready != Some(false) && target.kind.as_deref() == Some("Pod") {
                    found.push((target.name.unwrap_or_default(), number));
                }
            }
        }
        found.sort();
        found.into_iter().next().ok_or_else(|| {
            let text = format!(
                "Service {service} has neither a selector nor an endpoint that is a ready pod"
            );
            BehindError::Nobody(text)
        })
    }
}

fn failed(error: &ClusterError, right: &'static str, namespace: &str) -> BehindError {
    if error.reason == Reason::Forbidden {
        return BehindError::Forbidden {
            right,
            namespace: namespace.to_owned(),
        };
    }
    BehindError::Cluster(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_services_are_told_from_others() {
        let named = |host: &str| ServiceName::of_host(host).map(|s| s.to_string());
        let wanted = Some("monitoring/prometheus".to_owned());
        for host in [
            "prometheus.monitoring",
            "Prometheus.monitoring.",
            "prometheus.monitoring.svc",
            "prometheus.monitoring.svc.cluster.local",
        ] {
            assert_eq!(named(host), wanted, "{host}");
        }
        for host in [
            "localhost",
            "127.0.0.1",
            "10.0",
            "::1",
            "api.datadoghq.eu",
            "a.b.c.svc",
            "",
            ".monitoring",
            "-a.b",
        ] {
            assert_eq!(named(host), None, "{host}");
        }
    }
}
