//! Deployments and their pods.
//!
//! Owns: reading them as facts, and the few writes a release makes to them. Must not: decide. Every
//! write carries what it was based on, so that a change by somebody else makes it fail.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, GetParams, ListParams, Patch, PatchParams},
    core::{ApiResource, DynamicObject, Request, Resource},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Cluster, ClusterError, FIELD_MANAGER,
    pods::{ContainerStatus, LivePod, LiveSet, Pods},
    sent::{Apart, text_unless},
};
use crate::domain::workload::{Pod, Track, Tracks, Workload};

/// Where `managedFields` say who wrote the pod template.
pub(super) const TEMPLATE: &[&str] = &["f:spec", "f:template"];

/// Annotation by which the Deployment controller numbers its ReplicaSets.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// A Deployment as the server sent it, whole, so that a write loses nothing; cheap to clone.
#[derive(Debug, Clone)]
pub struct Live {
    /// The object.
    pub object: Arc<Value>,
    /// The same, typed, for reading.
    pub typed: Arc<Deployment>,
    /// The answer it was read from, where it was read alone.
    sent: Arc<str>,
}

impl Live {
    /// Returns a Deployment read from an object.
    pub fn new(object: Value) -> Result<Self, String> {
        let typed = Deployment::deserialize(&object).map_err(|e| e.to_string())?;
        Ok(Self {
            object: Arc::new(object),
            typed: Arc::new(typed),
            sent: Arc::default(),
        })
    }

    fn parse(sent: &str) -> Result<Self, String> {
        let object: Value = serde_json::from_str(sent).map_err(|e| e.to_string())?;
        if object["kind"] != "Deployment" {
            return Err("the answer is no Deployment".to_owned());
        }
        Ok(Self {
            sent: sent.into(),
            ..Self::new(object)?
        })
    }

    /// Returns whether both are the same reading: the server sent nothing else in between.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.object, &other.object)
    }

    /// Returns the pod template.
    pub fn template(&self) -> &Value {
        &self.object["spec"]["template"]
    }

    /// Returns the name.
    pub fn name(&self) -> String {
        self.typed.name_any()
    }

    /// Returns the labels of the pod template.
    pub fn pod_labels(&self) -> BTreeMap<String, String> {
        let spec = self.typed.spec.as_ref();
        let meta = spec.and_then(|s| s.template.metadata.as_ref());
        meta.and_then(|m| m.labels.clone()).unwrap_or_default()
    }

    /// Returns the label pairs by which the Deployment selects its pods.
    pub fn selector(&self) -> BTreeMap<String, String> {
        let spec = self.typed.spec.as_ref();
        spec.and_then(|s| s.selector.match_labels.clone())
            .unwrap_or_default()
    }

    /// Returns the replicas asked for.
    pub fn replicas(&self) -> u32 {
        let spec = self.typed.spec.as_ref();
        let replicas = spec.and_then(|s| s.replicas).unwrap_or(1);
        u32::try_from(replicas).unwrap_or(0)
    }

    /// Returns container name → image.
    pub fn images(&self) -> BTreeMap<String, String> {
        super::template::images(self.template())
    }
}

/// The Deployments, ReplicaSets and pods of a release at one moment; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Sides {
    /// Stable, if it exists.
    pub stable: Option<Live>,
    /// The canary, if it exists.
    pub canary: Option<Live>,
    /// ReplicaSets of both.
    pub replica_sets: Arc<Vec<LiveSet>>,
    /// Pods of both.
    pub pods: Pods,
}

impl Sides {
    /// Returns the Deployment of a track.
    pub fn live(&self, track: Track) -> Option<&Live> {
        match track {
            Track::Stable => self.stable.as_ref(),
            Track::Canary => self.canary.as_ref(),
        }
    }

    /// Returns whether nothing has changed from one reading to the other.
    pub fn are(&self, other: &Self) -> bool {
        let same = |one: &Option<Live>, two: &Option<Live>| match (one, two) {
            (Some(one), Some(two)) => one.is(two),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        same(&self.stable, &other.stable)
            && same(&self.canary, &other.canary)
            && Arc::ptr_eq(&self.replica_sets, &other.replica_sets)
            && self.pods.are(&other.pods)
    }

    /// Returns the facts about one side.
    pub fn workload(&self, track: Track, tracks: &Tracks) -> Option<Workload> {
        let live = self.live(track)?;
        let revision = tracks.digest(live.template(), track);
        Some(facts(live, revision, &self.replica_sets, &self.pods))
    }

    /// Returns the same, told with these `tracks` before of another reading: where the template is the
    /// same one, so is its digest.
    pub fn workload_after(
        &self,
        before: (&Self, Option<&Workload>),
        track: Track,
        tracks: &Tracks,
    ) -> Option<Workload> {
        let live = self.live(track)?;
        match (before.0.live(track), before.1) {
            (Some(then), Some(known)) if then.template() == live.template() => {
                let revision = known.revision.clone();
                Some(facts(live, revision, &self.replica_sets, &self.pods))
            }
            _ => self.workload(track, tracks),
        }
    }
}

impl Cluster {
    /// Reads both sides of a release in one parallel round. What the server sends as it did `before`
    /// is not taken apart again. ReplicaSets are read only when those of before lack the ones of the
    /// Deployments' present revisions: they change once in a release, or twice.
    pub async fn sides(
        &self,
        stable: &str,
        canary: &str,
        labels: &BTreeMap<String, String>,
        before: &Sides,
    ) -> Result<Sides, ClusterError> {
        let selector = selector_text(labels);
        let known = !before.replica_sets.is_empty();
        let sets = async {
            if known {
                return Ok(before.replica_sets.clone());
            }
            self.replica_sets(&selector).await.map(Arc::new)
        };
        let (stable, canary, replica_sets, pods) = futures::try_join!(
            self.deployment(stable, before.stable.as_ref()),
            self.deployment(canary, before.canary.as_ref()),
            sets,
            self.pods(&selector, &before.pods),
        )?;
        let mut sides = Sides {
            stable,
            canary,
            replica_sets,
            pods,
        };
        let unknown = |live: &Live| current_set(live, &sides.replica_sets).is_none();
        let mut both = sides.stable.iter().chain(&sides.canary);
        if known && both.any(unknown) {
            sides.replica_sets = Arc::new(self.replica_sets(&selector).await?);
        }
        Ok(sides)
    }

    /// Reads one Deployment; `None` when there is none. What it was `before` is returned when the
    /// server sends the same again.
    async fn deployment(
        &self,
        name: &str,
        before: Option<&Live>,
    ) -> Result<Option<Live>, ClusterError> {
        let what = self.named("Deployment", name);
        let known = before.map_or("", |live| &live.sent);
        let get = || async {
            let request = deployments_at(self.namespace()).get(name, &GetParams::default());
            let request = request.map_err(kube::Error::BuildRequest)?;
            text_unless(self.client(), request, known, Apart::Nothing).await
        };
        let Some(sent) = self.read_opt(&what, get).await? else {
            return Ok(None);
        };
        let Some(sent) = sent else {
            return Ok(before.cloned());
        };
        let live = Live::parse(&sent);
        live.map(Some)
            .map_err(|e| ClusterError::garbled("read", &what, e))
    }

    /// Reads all Deployments of the namespace.
    pub async fn deployments(&self) -> Result<Vec<Live>, ClusterError> {
        let what = format!("Deployments of namespace {}", self.namespace());
        let list = || async {
            let request = deployments_at(self.namespace()).list(&ListParams::default());
            let request = request.map_err(kube::Error::BuildRequest)?;
            self.client().request::<Value>(request).await
        };
        let mut list = self.read(&what, list).await?;
        let items = items_of(&mut list, &what)?;
        let live: Result<_, String> = items.into_iter().map(Live::new).collect();
        live.map_err(|e| ClusterError::garbled("read", &what, e))
    }

    /// Sets the number of replicas of a Deployment, unless it changed since `seen`.
    pub async fn scale(&self, seen: &Live, replicas: u32) -> Result<(), ClusterError> {
        let name = seen.name();
        let api = self.api::<Deployment>();
        let patch = json_patch(scale_patch(seen, replicas));
        let params = self.patch_params();
        let what = self.named("Deployment", &name);
        self.write("scale", &what, || api.patch_scale(&name, &params, &patch))
            .await
            .map(drop)
    }

    /// Sets labels of the Deployment itself (not of its pods), or removes those that are null, unless
    /// another Deployment has its name by now. An error also where admission would make another pod
    /// template of it on the way: labels must not restart anything.
    pub async fn label(&self, seen: &Live, labels: &Value) -> Result<(), ClusterError> {
        let name = seen.name();
        let api = self.api::<Deployment>();
        let uid = &seen.object["metadata"]["uid"];
        let patch = json!({"metadata": {"uid": uid, "labels": labels}});
        let (patch, params) = (Patch::Merge(patch), self.patch_params());
        let what = self.named("Deployment", &name);
        let raw = self.raw_deployments();
        let trial = PatchParams {
            dry_run: true,
            ..params.clone()
        };
        let would = self.write("label", &what, || raw.patch(&name, &trial, &patch));
        if would.await?.data["spec"]["template"] != *seen.template() {
            let text = "admission would change its pod template on the way";
            return Err(ClusterError::garbled("label", &what, text));
        }
        self.write("label", &what, || {
            api.patch_metadata(&name, &params, &patch)
        })
        .await
        .map(drop)
    }

    /// Deletes a Deployment with its pods; being gone already is fine.
    pub async fn delete_deployment(&self, seen: &Live) -> Result<(), ClusterError> {
        let name = seen.name();
        let api = self.raw_deployments();
        let params = DeleteParams {
            dry_run: self.is_dry(),
            ..DeleteParams::background()
        };
        let what = self.named("Deployment", &name);
        let outcome = self
            .write("delete", &what, || api.delete(&name, &params))
            .await;
        match outcome {
            Ok(_) => Ok(()),
            Err(error) if error.reason == super::Reason::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Returns `Kind namespace/name`, as messages name objects.
    pub fn named(&self, kind: &str, name: &str) -> String {
        format!("{kind} {}/{name}", self.namespace())
    }

    /// Returns the parameters of our patches.
    pub fn patch_params(&self) -> PatchParams {
        PatchParams {
            dry_run: self.is_dry(),
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        }
    }

    pub(super) fn raw_deployments(&self) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<Deployment>(&());
        Api::namespaced_with(self.client().clone(), self.namespace(), &resource)
    }
}

/// Returns the items of a list that was read.
pub(super) fn items_of(list: &mut Value, what: &str) -> Result<Vec<Value>, ClusterError> {
    match list.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => Ok(items),
        // Servers may send `null` for what is empty.
        Some(Value::Null) => Ok(Vec::new()),
        Some(_) | None => Err(ClusterError::garbled("read", what, "the answer is no list")),
    }
}

fn deployments_at(namespace: &str) -> Request {
    Request::new(Deployment::url_path(&(), Some(namespace)))
}

/// Returns the operations on `/scale` that set the number, unless it is another than was seen.
fn scale_patch(seen: &Live, replicas: u32) -> Value {
    // Status updates move the resource version all the time, so the number that was seen is the
    // precondition. A `Scale` of none has no such field and nothing else in its spec.
    let unchanged = match seen.replicas() {
        0 => json!({"op": "test", "path": "/spec", "value": {}}),
        some => json!({"op": "test", "path": "/spec/replicas", "value": some}),
    };
    let set = json!({"op": "add", "path": "/spec/replicas", "value": replicas});
    json!([unchanged, set])
}

/// Returns a JSON patch from its operations.
pub fn json_patch(operations: Value) -> Patch<()> {
    // Operations are built by this crate; a malformed one becomes an empty patch, which changes nothing.
    Patch::Json(serde_json::from_value(operations).unwrap_or_default())
}

/// Returns `a=b,c=d`.
pub fn selector_text(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    pairs.join(",")
}

/// Returns the label pairs that pods of both sides carry.
pub fn common_labels(stable: &Live, canary: Option<&Live>) -> BTreeMap<String, String> {
    let theirs = canary.map(Live::pod_labels);
    stable
        .selector()
        .into_iter()
        .filter(|(k, v)| theirs.as_ref().is_none_or(|t| t.get(k) == Some(v)))
        .collect()
}

fn facts(live: &Live, revision: String, sets: &[LiveSet], pods: &[LivePod]) -> Workload {
    let name = live.name();
    let meta = &live.typed.metadata;
    let status = live.typed.status.clone().unwrap_or_default();
    let count = |n: Option<i32>| u32::try_from(n.unwrap_or(0)).unwrap_or(0);
    let condition = |kind: &str| {
        let all = status.conditions.iter().flatten();
        all.into_iter().find(|c| c.type_ == kind)
    };
    let stalled = condition("Progressing")
        .filter(|c| c.reason.as_deref() == Some("ProgressDeadlineExceeded"))
        .map(|c| c.message.clone().unwrap_or_default());
    let failure = condition("ReplicaFailure").filter(|c| c.status == "True");
    let refused_since = failure.and_then(|c| Some(c.last_transition_time.as_ref()?.0));
    let refused = failure.map(|c| c.message.clone().unwrap_or_default());
    let replica_set = current_set(live, sets);
    let pods = pods
        .iter()
        .filter(|pod| belongs(pod, &name))
        .map(|pod| pod_facts(pod, replica_set.as_deref()))
        .collect();
    Workload {
        replicas: live.replicas(),
        existing: count(status.replicas),
        updated: count(status.updated_replicas),
        ready: count(status.ready_replicas),
        available: count(status.available_replicas),
        observed: status.observed_generation.unwrap_or(0) >= meta.generation.unwrap_or(0),
        images: live.images(),
        revision,
        replica_set,
        scaled_by: scaler_of(&live.object),
        template_by: manager_of(&live.object, TEMPLATE),
        template_ours: is_ours(&live.object, TEMPLATE),
        stalled,
        refused,
        refused_since,
        pods,
        name,
    }
}

/// Returns whether `managedFields` say that this tool wrote a field last, and nobody else in the same
/// second.
pub(super) fn is_ours(object: &Value, field: &[&str]) -> bool {
    let entries = object["metadata"]["managedFields"].as_array();
    let owns = |entry: &&Value| owns(entry, field);
    let (ours, others): (Vec<&Value>, Vec<&Value>) = entries
        .into_iter()
        .flatten()
        .filter(owns)
        .partition(|entry| entry["manager"] == FIELD_MANAGER);
    let last = |entries: &[&Value]| {
        let times = entries.iter().map(|entry| entry["time"].as_str());
        times.max().flatten().map(str::to_owned)
    };
    match (last(&ours), last(&others)) {
        (Some(ours), Some(others)) => ours > others,
        (Some(_), None) => others.is_empty(),
        (None, _) => false,
    }
}

fn owns(entry: &Value, field: &[&str]) -> bool {
    let mut at = Some(&entry["fieldsV1"]);
    for step in field {
        at = at.and_then(|v| v.get(step));
    }
    at.is_some()
}

/// Returns who wrote a field last, by `managedFields`, whose steps lead to it; `None` when it was this
/// tool, or is not known.
pub fn manager_of(object: &Value, field: &[&str]) -> Option<String> {
    let entries = object["metadata"]["managedFields"].as_array()?;
    let last = entries
        .iter()
        .filter(|entry| owns(entry, field))
        .max_by_key(|entry| entry["time"].as_str().unwrap_or_default())?;
    let manager = last["manager"].as_str()?;
    (manager != FIELD_MANAGER).then(|| manager.to_owned())
}

/// Returns who scaled a Deployment last. A server before 1.22 does not note who scales, nor that a
/// status is written as one: there the manager of `replicas` is whoever created the object, and it is
/// not known who scaled.
fn scaler_of(deployment: &Value) -> Option<String> {
    let entries = deployment["metadata"]["managedFields"].as_array()?;
    let unmarked = |entry: &Value| {
        entry["fieldsV1"].get("f:status").is_some() && entry["subresource"].is_null()
    };
    if entries.iter().any(unmarked) {
        return None;
    }
    manager_of(deployment, &["f:spec", "f:replicas"])
}

/// Returns the ReplicaSet of the Deployment's latest revision.
fn current_set(live: &Live, sets: &[LiveSet]) -> Option<String> {
    let revision = live.typed.annotations().get(REVISION)?;
    let uid = live.typed.metadata.uid.as_ref()?;
    let current = sets.iter().find(|set| {
        let meta = &set.metadata;
        meta.owner_references.iter().any(|o| o.uid == *uid)
            && meta.annotations.get(REVISION) == Some(revision)
    });
    current.map(|set| set.metadata.name.clone())
}

/// Returns whether a pod is of the Deployment: its ReplicaSet is named after it and the pod's hash.
fn belongs(pod: &LivePod, deployment: &str) -> bool {
    let Some(hash) = pod.metadata.labels.get("pod-template-hash") else {
        return false;
    };
    let owner = format!("{deployment}-{hash}");
    let mut owners = pod.metadata.owner_references.iter();
    owners.any(|o| o.kind == "ReplicaSet" && o.name == owner)
}

fn pod_facts(pod: &LivePod, current: Option<&str>) -> Pod {
    let (meta, status) = (&pod.metadata, &pod.status);
    let is = |kind: &str, value: &str| {
        let mut all = status.conditions.iter();
        all.find(|c| c.kind == kind && c.status == value)
    };
    let terminating = meta.deletion_timestamp.is_some();
    let containers = || {
        let first = status.init_container_statuses.iter();
        first.chain(&status.container_statuses)
    };
    let waiting = containers().filter_map(|c| {
        let waiting = c.state.waiting.clone()?;
        let reason = waiting.reason.unwrap_or_default();
        Some((c.name.clone(), reason, waiting.message.unwrap_or_default()))
    });
    let restarts: i32 = containers().map(|c| c.restart_count.max(0)).sum();
    let last_end = containers().find_map(|c| c.last_state.terminated.as_ref()?.reason.clone());
    let owner = meta.owner_references.first().map(|o| o.name.as_str());
    let running = |c: &&ContainerStatus| {
        !c.ready && c.state.waiting.is_none() && c.state.terminated.is_none()
    };
    let probed = status
        .container_statuses
        .iter()
        .filter(running)
        .find_map(|c| {
            let container = pod
                .spec
                .containers
                .iter()
                .find(|spec| spec.name == c.name)?;
            container.readiness_probe.words()
        });
    Pod {
        probed,
        name: meta.name.clone(),
        ready: pod.is_ready(),
        ready_since: is("Ready", "True").and_then(|ready| ready.since),
        terminating,
        current: current.is_none() || owner == current,
        created: meta.creation_timestamp.unwrap_or(Timestamp::UNIX_EPOCH),
        restarts: u32::try_from(restarts).unwrap_or(0),
        waiting: waiting.collect(),
        last_end,
        unschedulable: is("PodScheduled", "False")
            .filter(|c| c.reason.as_deref() == Some("Unschedulable"))
            .map(|c| c.message.clone().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies the patch that scales what was `seen` to the `Scale` a real API server keeps of a
    /// Deployment with `now` replicas: one of 0 leaves the field out.
    fn scaled(seen: u32, now: u32, version: &str, replicas: u32) -> Option<Value> {
        let live = Live::new(json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "resourceVersion": "7"},
            "spec": {"replicas": seen, "selector": {}, "template": {}},
        }))
        .unwrap();
        let mut scale = json!({"metadata": {"resourceVersion": version}, "spec": {}});
        if now > 0 {
            scale["spec"]["replicas"] = json!(now);
        }
        let patch: json_patch::Patch =
            serde_json::from_value(scale_patch(&live, replicas)).unwrap();
        json_patch::patch(&mut scale, &patch).ok()?;
        Some(scale["spec"]["replicas"].clone())
    }

    #[test]
    fn scales_from_none_and_to_none() {
        assert_eq!(scaled(0, 0, "7", 10), Some(json!(10)));
        assert_eq!(scaled(0, 0, "8", 10), Some(json!(10)), "the status moved");
        assert_eq!(scaled(10, 10, "8", 0), Some(json!(0)));
    }

    #[test]
    fn who_scaled_is_not_taken_from_a_server_that_does_not_note_it() {
        let deployment = |status: Value| {
            json!({"metadata": {"managedFields": [
                {"manager": "kubectl-create", "time": "2026-01-05T09:00:00Z",
                 "fieldsV1": {"f:spec": {"f:replicas": {}}}},
                status,
            ]}})
        };
        let controller = json!({"manager": "kube-controller-manager",
            "time": "2026-01-05T09:01:00Z", "fieldsV1": {"f:status": {"f:replicas": {}}}});
        assert_eq!(scaler_of(&deployment(controller.clone())), None);
        let mut marked = controller;
        marked["subresource"] = json!("status");
        let known = scaler_of(&deployment(marked));
        assert_eq!(known.as_deref(), Some("kubectl-create"));
    }

    #[test]
    fn a_container_that_runs_and_is_not_ready_is_told_with_its_probe() {
        let told = |probe: Value, state: Value, ready: bool| {
            let pod: LivePod = serde_json::from_value(json!({
                "metadata": {"name": "web-1"},
                "spec": {"containers": [{"name": "app", "readinessProbe": probe}, {"name": "proxy"}]},
                "status": {"containerStatuses": [
                    {"name": "proxy", "ready": true, "state": {"running": {}}},
                    {"name": "app", "ready": ready, "state": state},
                ]},
            }))
            .unwrap();
            let side = Workload {
                pods: vec![pod_facts(&pod, None)],
                ..Workload::default()
            };
            side.why_unready()
        };
        let (running, http) = (
            json!({"running": {}}),
            json!({"httpGet": {"path": "/health", "port": 8080}}),
        );
        let cases = [
            (
                http.clone(),
                ": the readiness probe fails: GET /health on port 8080",
            ),
            (
                json!({"tcpSocket": {"port": "web"}}),
                ": the readiness probe fails: a connection on port web",
            ),
            (
                json!({"grpc": {"port": 9000}}),
                ": the readiness probe fails: gRPC on port 9000",
            ),
            (
                json!({"exec": {"command": ["true"]}}),
                ": the readiness probe fails: a command in the container",
            ),
            (Value::Null, ""),
        ];
        for (probe, expected) in cases {
            assert_eq!(told(probe, running.clone(), false), expected);
        }
        assert_eq!(told(http.clone(), running, true), "");
        let waiting = json!({"waiting": {"reason": "ImagePullBackOff"}});
        assert_eq!(told(http, waiting, false), ": ImagePullBackOff");
        let waits = Workload {
            pods: vec![Pod {
                waiting: vec![("app".into(), "ContainerCreating".into(), String::new())],
                ..pod_facts(&LivePod::default(), None)
            }],
            ..Workload::default()
        };
        assert_eq!(waits.failing_probes(), "", "who waits for it says that");
    }

    #[test]
    fn refuses_to_scale_what_somebody_else_scaled() {
        assert_eq!(scaled(0, 3, "8", 10), None);
        assert_eq!(scaled(9, 3, "8", 10), None);
    }
}
