//! Pods and ReplicaSets, as much of them as a release looks at.
//!
//! Owns: reading them, by label or those of a whole namespace, and which port of a pod is meant.
//! Must not: interpret their state beyond what is written here. They are read at every look, in
//! numbers, so only the fields in use are kept; what a cluster sends besides is skipped, not stored.

use std::{collections::BTreeMap, ops::Deref, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        apps::v1::ReplicaSet,
        core::v1::{Pod, Service},
    },
    apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString},
};
use kube::{api::ListParams, core::NamespaceResourceScope, core::Request, core::Resource};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use super::{
    Cluster, ClusterError,
    sent::{Apart, Items, text_unless},
};

/// Most objects of a kind that are read without knowing their labels.
pub const CROWD: u32 = 500;

/// Metadata of an object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// Name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Identity: another object of the same name has another one.
    #[serde(deserialize_with = "or_default")]
    pub uid: String,
    /// Labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
    /// What owns the object.
    #[serde(deserialize_with = "or_default")]
    pub owner_references: Vec<Owner>,
    /// When it was created.
    pub creation_timestamp: Option<Timestamp>,
    /// When it is to be gone, if it is being deleted.
    pub deletion_timestamp: Option<Timestamp>,
}

/// An owner of an object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Identity.
    pub uid: String,
}

/// A ReplicaSet, without its pod template.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct LiveSet {
    /// Metadata.
    pub metadata: Meta,
}

/// A pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct LivePod {
    /// Metadata.
    pub metadata: Meta,
    /// What was asked for.
    #[serde(deserialize_with = "or_default")]
    pub spec: PodSpec,
    /// What is.
    #[serde(deserialize_with = "or_default")]
    pub status: PodStatus,
}

/// The containers of a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Containers.
    #[serde(deserialize_with = "or_default")]
    pub containers: Vec<Container>,
    /// Containers that run before them, or beside them as sidecars.
    #[serde(deserialize_with = "or_default")]
    pub init_containers: Vec<Container>,
}

/// A container of a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Name.
    pub name: String,
    /// Ports.
    #[serde(deserialize_with = "or_default")]
    pub ports: Vec<ContainerPort>,
    /// `Always` makes a sidecar of an init container.
    pub restart_policy: Option<String>,
    /// What it may use.
    #[serde(deserialize_with = "or_default")]
    pub resources: Resources,
    /// What asks whether it is ready.
    #[serde(deserialize_with = "or_default")]
    pub readiness_probe: ReadinessProbe,
}

/// What asks whether a container is ready; of several ways there is one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReadinessProbe {
    /// A GET over HTTP.
    pub http_get: Option<ProbedPlace>,
    /// A connection.
    pub tcp_socket: Option<ProbedPlace>,
    /// The health service of gRPC.
    pub grpc: Option<ProbedPlace>,
    /// A command in the container.
    pub exec: Option<serde::de::IgnoredAny>,
}

/// Where a probe asks.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ProbedPlace {
    /// The path.
    pub path: Option<String>,
    /// The port, by number or name.
    pub port: Option<IntOrString>,
}

impl ReadinessProbe {
    /// Returns it in words, such as `GET /health on port 8080`; `None` where there is none.
    pub fn words(&self) -> Option<String> {
        let on = |place: &ProbedPlace| match &place.port {
            Some(IntOrString::Int(port)) => format!(" on port {port}"),
            Some(IntOrString::String(port)) => format!(" on port {port}"),
            None => String::new(),
        };
        let http = self.http_get.as_ref().map(|place| {
            let path = place.path.as_deref().unwrap_or("/");
            format!("GET {path}{}", on(place))
        });
        let tcp = || {
            self.tcp_socket
                .as_ref()
                .map(|place| format!("a connection{}", on(place)))
        };
        let grpc = || self.grpc.as_ref().map(|place| format!("gRPC{}", on(place)));
        let exec = || {
            self.exec
                .is_some()
                .then(|| "a command in the container".to_owned())
        };
        http.or_else(tcp).or_else(grpc).or_else(exec)
    }
}

/// What a container may use.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Its limits: quantities, by names such as `cpu` and `memory`.
    #[serde(deserialize_with = "or_default")]
    pub limits: BTreeMap<String, Quantity>,
}

/// A port of a container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    /// Name.
    pub name: Option<String>,
    /// Number.
    pub container_port: u16,
}

/// The state of a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// Conditions such as `Ready`.
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
    /// State of the containers.
    #[serde(deserialize_with = "or_default")]
    pub container_statuses: Vec<ContainerStatus>,
    /// State of the init containers.
    #[serde(deserialize_with = "or_default")]
    pub init_container_statuses: Vec<ContainerStatus>,
}

/// A condition of a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// Which, such as `Ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Since when.
    #[serde(rename = "lastTransitionTime")]
    pub since: Option<Timestamp>,
    /// Why, as one word.
    pub reason: Option<String>,
    /// Why, as a sentence.
    pub message: Option<String>,
}

/// The state of a container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// The container.
    pub name: String,
    /// Times it was started again.
    pub restart_count: i32,
    /// Whether it is ready.
    pub ready: bool,
    /// Its state.
    #[serde(deserialize_with = "or_default")]
    pub state: ContainerState,
    /// Its state before the last restart.
    #[serde(deserialize_with = "or_default")]
    pub last_state: ContainerState,
}

/// What a container does, or did.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// Why it waits, if it does.
    pub waiting: Option<Said>,
    /// How it ended, if it did.
    pub terminated: Option<Said>,
}

/// A reason and what was said about it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Said {
    /// Why, as one word.
    pub reason: Option<String>,
    /// Why, as a sentence.
    pub message: Option<String>,
}

/// Pods at one moment; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Pods {
    items: Arc<Items<LivePod>>,
    /// The answer they were read from, where it was one about them alone.
    sent: Arc<str>,
}

#[derive(Deserialize)]
struct Page<T> {
    #[serde(default)]
    metadata: PageMeta,
    #[serde(deserialize_with = "or_default", bound = "T: DeserializeOwned")]
    items: Vec<T>,
}

#[derive(Default, Deserialize)]
struct PageMeta {
    #[serde(rename = "continue")]
    more: Option<String>,
}

/// Servers may send `null` for what is empty.
pub(super) fn or_default<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(from).map(Option::unwrap_or_default)
}

// === impl Pods ===

impl Pods {
    /// Returns whether both are the same reading: the server sent nothing else in between.
    pub fn are(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.items, &other.items)
    }
}

impl Deref for Pods {
    type Target = [LivePod];

    fn deref(&self) -> &[LivePod] {
        &self.items.all
    }
}

impl FromIterator<LivePod> for Pods {
    fn from_iter<I: IntoIterator<Item = LivePod>>(pods: I) -> Self {
        Self {
            items: Arc::new(Items::whole(pods.into_iter().collect())),
            sent: Arc::default(),
        }
    }
}

impl Meta {
    /// Returns whether the object carries all of these labels.
    pub fn carries(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.iter().all(|(k, v)| self.labels.get(k) == Some(v))
    }
}

impl LivePod {
    /// Returns whether it is ready and not being deleted.
    pub fn is_ready(&self) -> bool {
        let mut conditions = self.status.conditions.iter();
        let ready = conditions.any(|c| c.kind == "Ready" && c.status == "True");
        ready && self.metadata.deletion_timestamp.is_none()
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// Returns the containers that run all the time: those of the app and the sidecars.
    pub fn running(&self) -> impl Iterator<Item = &Container> {
        let sidecars = self.spec.init_containers.iter();
        let sidecars = sidecars.filter(|c| c.restart_policy.as_deref() == Some("Always"));
        self.spec.containers.iter().chain(sidecars)
    }

    /// Returns the number of a named container port.
    pub fn named_port(&self, name: &str) -> Option<u16> {
        let mut ports = self.running().flat_map(|c| &c.ports);
        let port = ports.find(|p| p.name.as_deref() == Some(name))?;
        Some(port.container_port)
    }

    /// Returns the only container port, or the first.
    pub fn first_port(&self) -> Option<u16> {
        let mut ports = self.spec.containers.iter().flat_map(|c| &c.ports);
        ports.next().map(|p| p.container_port)
    }

    /// Returns the port at which the app answers: the one behind the Service where there is one, or
    /// else the first.
    pub fn app_port(&self, service: Option<&Service>) -> Option<u16> {
        service
            .and_then(|service| self.port_behind(service, None))
            .or_else(|| self.first_port())
    }

    /// Returns the port behind a port of a Service, or its only or first port when none is named.
    /// Names are looked up in the pod: two revisions may differ.
    pub fn port_behind(&self, service: &Service, port: Option<&str>) -> Option<u16> {
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
            Some(IntOrString::String(name)) => self.named_port(name),
        }
    }
}

impl Cluster {
    /// Reads the pods with these labels; those of `before` are returned when the server sends the
    /// same again, and each that it sends as before is not taken apart again.
    pub(super) async fn pods(&self, selector: &str, before: &Pods) -> Result<Pods, ClusterError> {
        let what = format!("Pods of namespace {}", self.namespace());
        let params = ListParams::default().labels(selector);
        let sent = self.list::<Pod>(&what, &params, &before.sent).await?;
        let Some(sent) = sent else {
            return Ok(before.clone());
        };
        let items = match Items::read(&sent, (&before.sent, &before.items)) {
            Some(items) => items,
            None => Items::whole(parse::<Page<LivePod>>(&what, &sent)?.items),
        };
        Ok(Pods {
            items: Arc::new(items),
            sent: sent.into(),
        })
    }

    /// Reads the ReplicaSets with these labels.
    pub async fn replica_sets(&self, selector: &str) -> Result<Vec<LiveSet>, ClusterError> {
        let params = ListParams::default().labels(selector);
        let page = self.page::<ReplicaSet, LiveSet>("ReplicaSets", &params);
        Ok(page.await?.items)
    }

    /// Reads all pods of the namespace; `None` when there are more than [`CROWD`].
    pub(super) async fn few_pods(&self) -> Result<Option<Vec<LivePod>>, ClusterError> {
        let params = ListParams::default().limit(CROWD);
        let page = self.page::<Pod, LivePod>("Pods", &params).await?;
        Ok(page.metadata.whole(page.items))
    }

    /// Reads all ReplicaSets of the namespace; `None` when there are more than [`CROWD`].
    pub(super) async fn few_replica_sets(&self) -> Result<Option<Vec<LiveSet>>, ClusterError> {
        let params = ListParams::default().limit(CROWD);
        let page = self.page::<ReplicaSet, LiveSet>("ReplicaSets", &params);
        let page = page.await?;
        Ok(page.metadata.whole(page.items))
    }

    async fn page<K, T>(&self, kinds: &str, params: &ListParams) -> Result<Page<T>, ClusterError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        T: DeserializeOwned,
    {
        let what = format!("{kinds} of namespace {}", self.namespace());
        let sent = self.list::<K>(&what, params, "").await?;
        parse(&what, &sent.unwrap_or_default())
    }

    /// Reads a list as text; `None` where it is what was sent `before`, but for its version.
    async fn list<K>(
        &self,
        what: &str,
        params: &ListParams,
        before: &str,
    ) -> Result<Option<String>, ClusterError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        let url = K::url_path(&(), Some(self.namespace()));
        let list = || async {
            let request = Request::new(&url).list(params);
            let request = request.map_err(kube::Error::BuildRequest)?;
            text_unless(self.client(), request, before, Apart::ListVersion).await
        };
        self.read(what, list).await
    }
}

pub(super) fn parse<T: DeserializeOwned>(what: &str, sent: &str) -> Result<T, ClusterError> {
    serde_json::from_str(sent).map_err(|e| ClusterError::garbled("read", what, e.to_string()))
}

impl PageMeta {
    fn whole<T>(&self, items: Vec<T>) -> Option<Vec<T>> {
        self.more
            .as_ref()
            .is_none_or(String::is_empty)
            .then_some(items)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> LivePod {
        serde_json::from_value(json!({
            "metadata": {"name": "web-1", "labels": null, "managedFields": [{"manager": "x"}]},
            "spec": {
                "containers": [{"name": "web", "ports": [{"name": "http", "containerPort": 8080}]}],
                "initContainers": [
                    {"name": "setup", "ports": [{"name": "early", "containerPort": 1}]},
                    {"name": "proxy", "restartPolicy": "Always",
                     "ports": [{"name": "metrics", "containerPort": 9000}]},
                ],
            },
            "status": null,
        }))
        .unwrap()
    }

    fn service(port: &serde_json::Value) -> Service {
        serde_json::from_value(json!({"spec": {"ports": [port]}})).unwrap()
    }

    #[test]
    fn empty_fields_may_be_null() {
        let pod = pod();
        assert!(pod.metadata.labels.is_empty());
        assert!(pod.status.conditions.is_empty());
    }

    #[test]
    fn ports_are_found_by_name_in_containers_and_sidecars_only() {
        let pod = pod();
        assert_eq!(pod.named_port("http"), Some(8080));
        assert_eq!(pod.named_port("metrics"), Some(9000));
        assert_eq!(pod.named_port("early"), None);
        assert_eq!(pod.first_port(), Some(8080));
    }

    #[test]
    fn a_port_of_a_service_leads_to_the_pods_own() {
        let pod = pod();
        for (port, asked, expected) in [
            (json!({"port": 80}), None, Some(80)),
            (json!({"port": 80, "targetPort": 8080}), None, Some(8080)),
            (
                json!({"port": 80, "targetPort": "http"}),
                Some("80"),
                Some(8080),
            ),
            (json!({"port": 80, "targetPort": "gone"}), None, None),
            (json!({"port": 80, "name": "web"}), Some("other"), None),
        ] {
            let service = service(&port);
            assert_eq!(pod.port_behind(&service, asked), expected, "{port}");
        }
    }
}
