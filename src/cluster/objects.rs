//! The other objects a release has to know: Services, autoscalers, and the whole namespace at once.
//!
//! Owns: reading them. Must not: interpret them beyond what is written here.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::{
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, Service},
};
use kube::{ResourceExt, api::ListParams};

use super::{
    Cluster, ClusterError, Reason,
    pods::{LivePod, LiveSet},
    routing::{Family, Kind, Knowledge, Wanted},
    workloads::{Live, Sides},
};

/// Everything a look at an app begins with, read in one parallel round before any name but the
/// app's is known.
#[derive(Debug, Clone)]
pub struct Survey {
    /// When it was read.
    pub at: Timestamp,
    /// Deployments.
    pub deployments: Vec<Live>,
    /// Services.
    pub services: Vec<Service>,
    /// Autoscalers; empty where they may not be read.
    pub autoscalers: Vec<HorizontalPodAutoscaler>,
    /// Whether autoscalers could be read.
    pub autoscalers_known: bool,
    /// Pods; `None` where there are too many to read without knowing whose, an error where they may
    /// not be read: discovery does without them.
    pub pods: Result<Option<Vec<LivePod>>, ClusterError>,
    /// ReplicaSets, likewise.
    pub replica_sets: Result<Option<Vec<LiveSet>>, ClusterError>,
    /// The ConfigMap that was asked for, if it exists; only some verbs need it.
    pub record: Result<Option<ConfigMap>, ClusterError>,
    /// The kinds of objects that may route traffic which were asked for.
    pub asked: Vec<Wanted>,
    /// What was read of them; kinds that are not served are left out.
    pub routing: Vec<Family>,
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

    /// Returns what was read of a kind in a namespace, if the kind is served.
    pub fn family(&self, kind: &Kind, namespace: &str) -> Option<&Family> {
        let mut all = self.routing.iter();
        all.find(|family| family.kind == *kind && family.namespace == namespace)
    }

    /// Returns both sides of a release; `None` when there are too many pods or ReplicaSets.
    fn sides(
        &self,
        stable: &str,
        canary: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<Option<Sides>, ClusterError> {
        let sets = self.replica_sets.as_ref().map_err(Clone::clone)?;
        let pods = self.pods.as_ref().map_err(Clone::clone)?;
        let (Some(sets), Some(pods)) = (sets, pods) else {
            return Ok(None);
        };
        let sets = sets.iter().filter(|s| s.metadata.carries(labels));
        let pods = pods.iter().filter(|p| p.metadata.carries(labels));
        Ok(Some(Sides {
            stable: self.deployment(stable).cloned(),
            canary: self.deployment(canary).cloned(),
            replica_sets: Arc::new(sets.cloned().collect()),
            pods: pods.cloned().collect(),
        }))
    }
}

impl Default for Survey {
    fn default() -> Self {
        Self {
            at: Timestamp::UNIX_EPOCH,
            deployments: Vec::new(),
            services: Vec::new(),
            autoscalers: Vec::new(),
            autoscalers_known: false,
            pods: Ok(None),
            replica_sets: Ok(None),
            record: Ok(None),
            asked: Vec::new(),
            routing: Vec::new(),
        }
    }
}

impl Cluster {
    /// Returns both sides of a release as surveyed; where the namespace is too crowded to be surveyed
    /// whole, reads them.
    pub async fn sides_in(
        &self,
        survey: &Survey,
        stable: &str,
        canary: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<Sides, ClusterError> {
        match survey.sides(stable, canary, labels)? {
            Some(sides) => Ok(sides),
            None => self.sides(stable, canary, labels, &Sides::default()).await,
        }
    }

    /// Reads the namespace, the ConfigMap named `record`, and what of the `wanted` kinds there is.
    pub async fn survey(
        &self,
        record: &str,
        wanted: &[Wanted],
        knowledge: Knowledge,
    ) -> Result<Survey, ClusterError> {
        let at = self.clock().now();
        let params = ListParams::default();
        let services = self.api::<Service>();
        let records = self.api::<ConfigMap>();
        let what = format!("Services of namespace {}", self.namespace());
        let what_record = self.named("ConfigMap", record);
        // All are awaited, so that of several errors the same one is told each time: the one of what
        // comes first here.
        let (deployments, services, autoscalers, pods, replica_sets, record, routing) = futures::join!(
            self.deployments(),
            self.read(&what, || services.list(&params)),
            self.autoscalers(),
            async { passing(self.few_pods().await) },
            async { passing(self.few_replica_sets().await) },
            self.read_opt(&what_record, || records.get(record)),
            self.families(wanted, knowledge),
        );
        let (deployments, services, autoscalers) = (deployments?, services?, autoscalers?);
        Ok(Survey {
            at,
            deployments,
            services: services.items,
            autoscalers_known: autoscalers.is_some(),
            autoscalers: autoscalers.unwrap_or_default(),
            pods: pods?,
            replica_sets: replica_sets?,
            record,
            asked: wanted.to_vec(),
            routing: routing?,
        })
    }

    /// Adds to a survey what it was not asked for yet of the `wanted` kinds.
    pub async fn complete(
        &self,
        survey: &mut Survey,
        wanted: &[Wanted],
    ) -> Result<(), ClusterError> {
        let missing = wanted.iter().filter(|kind| !survey.asked.contains(kind));
        let missing: Vec<Wanted> = missing.cloned().collect();
        survey
            .routing
            .extend(self.families(&missing, Knowledge::Named).await?);
        survey.asked.extend(missing);
        Ok(())
    }

    /// Reads the autoscalers of the namespace; `None` when they may not be read or are
    /// served in no version that is known here.
    pub async fn autoscalers(&self) -> Result<Option<Vec<HorizontalPodAutoscaler>>, ClusterError> {
        let what = format!("HorizontalPodAutoscalers of namespace {}", self.namespace());
        let list = self.list_grown(&what, &ListParams::default()).await;
        readable(list.map(Some))
    }
}

/// Keeps a refusal for whoever needs what was refused; any other error counts at once.
fn passing<T>(read: Result<T, ClusterError>) -> Result<Result<T, ClusterError>, ClusterError> {
    match read {
        Err(error) if error.reason != Reason::Forbidden => Err(error),
        Ok(_) | Err(_) => Ok(read),
    }
}

/// Takes what may not be read, or is not served, for unread.
fn readable<T>(read: Result<Option<T>, ClusterError>) -> Result<Option<T>, ClusterError> {
    match read {
        Err(e) if matches!(e.reason, Reason::Forbidden | Reason::NotServed) => Ok(None),
        Ok(_) | Err(_) => read,
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
