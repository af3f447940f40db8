//! One pod as its kubelet remembers it.
//!
//! Owns: the pod's containers, address, environment, counters and the status they add up to.
//! Must not: write to the store.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    container::Container,
    counters::Counters,
    object::{self, stamp},
};
use crate::sim::{
    scenario::{Match, Scenario},
    store::{Key, Store},
};

/// A pod on a node.
#[derive(Debug, Clone)]
pub(super) struct Pod {
    /// Its uid.
    pub(super) uid: String,
    /// The node it is on.
    pub(super) node: String,
    /// The node's address.
    pub(super) host: String,
    /// Its own address.
    pub(super) address: String,
    /// When the kubelet took it.
    pub(super) taken: Timestamp,
    /// Its containers.
    pub(super) containers: Vec<Container>,
    /// Which container is the app.
    pub(super) main: usize,
    /// Position of its version in the scenario; none behaves well.
    pub(super) version: Option<usize>,
    /// How long its containers take to end after SIGTERM, if they are given the time.
    pub(super) stop: Duration,
    /// Ports its containers listen on.
    pub(super) ports: Vec<u16>,
    /// What its environment says about it.
    pub(super) identity: Identity,
    /// What the app counts.
    pub(super) counters: Counters,
    /// CPU milliseconds used since an autoscaler looked.
    pub(super) work: f64,
    /// CPU milliseconds its requests cost since the app's start.
    pub(super) used: f64,
    /// What the app is.
    pub(super) program: Program,
    /// Whether it was running long before the simulation began.
    pub(super) warm: bool,
    /// When it vanishes.
    pub(super) stopping: Option<Timestamp>,
    /// Whether its node is cut off.
    pub(super) unreachable: bool,
    /// Whether the node controller has given it up.
    pub(super) lost: bool,
    /// Whether it was ready at the last look, and since when that has been so.
    pub(super) was: (bool, Timestamp),
}

/// The programs that are simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    /// The payment API, or whatever else answers as it does.
    PaymentApi,
    /// Prometheus.
    Prometheus,
}

/// The names an app gives itself in its answers.
#[derive(Debug, Clone, Default)]
pub(super) struct Identity {
    /// `API_VERSION`, or the image's tag.
    pub(super) version: String,
    /// `DEPLOYMENT_TRACK`, or a label.
    pub(super) track: String,
    /// `NODE_ENV`.
    pub(super) environment: String,
}

impl Pod {
    /// Returns whether all its containers are ready and it is not on its way out.
    pub(super) fn is_ready(&self) -> bool {
        self.stopping.is_none() && !self.lost && self.containers.iter().all(|c| c.ready)
    }

    /// Returns whether its status says that it is ready: so it does until its containers have ended.
    pub(super) fn shows_ready(&self) -> bool {
        !self.lost && self.containers.iter().all(|c| c.ready)
    }

    /// Returns the container that is the app.
    pub(super) fn app(&self) -> Option<&Container> {
        self.containers.get(self.main)
    }

    /// Returns its status; `self.was` must be up to date.
    pub(super) fn status(&self, object: &Value) -> Value {
        let (ready, since) = self.was;
        let ready_text = if ready { "True" } else { "False" };
        let taken = stamp(self.taken);
        let generation = &object["metadata"]["generation"];
        let bound = json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": taken});
        let yes = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": taken, "observedGeneration": generation});
        let readiness = |kind: &str| {
            let mut c = json!({"type": kind, "status": ready_text, "lastTransitionTime": stamp(since), "observedGeneration": generation});
            if !ready {
                let unready: Vec<&str> = self
                    .containers
                    .iter()
                    .filter(|c| !c.ready)
                    .map(|c| c.name.as_str())
                    .collect();
                c["reason"] = json!("ContainersNotReady");
                c["message"] = json!(format!(
                    "containers with unready status: [{}]",
                    unready.join(" ")
                ));
            }
            c
        };
        let running = self.containers.iter().all(Container::was_started);
        let statuses: Vec<Value> = self
            .containers
            .iter()
            .map(|c| c.status(&self.uid))
            .collect();
        let status = json!({
            "phase": if running { "Running" } else { "Pending" },
            "conditions": [yes("PodReadyToStartContainers"), yes("Initialized"), readiness("Ready"), readiness("ContainersReady"), bound],
            "observedGeneration": generation,
            "hostIP": self.host,
            "hostIPs": [{"ip": self.host}],
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "startTime": taken,
            "containerStatuses": statuses,
            "qosClass": object["status"]["qosClass"].as_str().unwrap_or("Burstable"),
        });
        status
    }
}

/// Returns the position of the first version that describes a pod, and of the container it is
/// about.
pub(super) fn version_of(
    scenario: &Scenario,
    pod: &Value,
    identity: &Identity,
) -> (Option<usize>, usize) {
    for (at, version) in scenario.versions.iter().enumerate() {
        if let Some(container) = matching(&version.matches, pod, identity) {
            return (Some(at), container);
        }
    }
    (None, 0)
}

fn matching(wanted: &Match, pod: &Value, identity: &Identity) -> Option<usize> {
    let labels = &pod["metadata"]["labels"];
    if wanted
        .labels
        .iter()
        .any(|(k, v)| labels[k.as_str()] != v.as_str())
    {
        return None;
    }
    if wanted
        .env
        .as_ref()
        .is_some_and(|env| *env != identity.version)
    {
        return None;
    }
    let Some(part) = &wanted.image else {
        return Some(0);
    };
    let containers = pod["spec"]["containers"].as_array()?;
    containers.iter().position(|c| {
        c["image"]
            .as_str()
            .is_some_and(|i| i.contains(part.as_str()))
    })
}

/// Returns the names a pod gives itself.
pub(super) fn identity(store: &Store, pod: &Value) -> Identity {
    let containers = pod["spec"]["containers"].as_array();
    let variable = |name: &str| {
        containers.into_iter().flatten().find_map(|container| {
            let mut all = container["env"].as_array()?.iter();
            let entry = all.find(|e| e["name"] == name)?;
            value_of(store, object::namespace(pod), entry)
        })
    };
    let image = pod["spec"]["containers"][0]["image"]
        .as_str()
        .unwrap_or_default();
    let tag = image.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    let label = |name: &str| pod["metadata"]["labels"][name].as_str().map(str::to_owned);
    Identity {
        version: variable("API_VERSION").unwrap_or_else(|| tag.to_owned()),
        track: variable("DEPLOYMENT_TRACK")
            .or_else(|| label("track"))
            .or_else(|| label("version"))
            .unwrap_or_else(|| "unknown".to_owned()),
        environment: variable("NODE_ENV").unwrap_or_default(),
    }
}

fn value_of(store: &Store, namespace: &str, entry: &Value) -> Option<String> {
    if let Some(value) = entry["value"].as_str() {
        return Some(value.to_owned());
    }
    let from = &entry["valueFrom"]["configMapKeyRef"];
    let map = store.get(&Key::new(
        "",
        "configmaps",
        namespace,
        from["name"].as_str()?,
    ))?;
    Some(map["data"][from["key"].as_str()?].as_str()?.to_owned())
}

/// Returns why a container's environment cannot be built, in the kubelet's words.
pub(super) fn missing_config(store: &Store, namespace: &str, container: &Value) -> Option<String> {
    let look = |kind: &str, from: &Value, key: Option<&str>| -> Option<String> {
        if !from.is_object() || from["optional"] == true {
            return None;
        }
        let name = from["name"].as_str().unwrap_or_default();
        let plural = format!("{}s", kind.to_lowercase());
        let Some(object) = store.get(&Key::new("", &plural, namespace, name)) else {
            return Some(format!("{} \"{name}\" not found", kind.to_lowercase()));
        };
        let key = key?;
        let known = ["data", "binaryData", "stringData"]
            .iter()
            .any(|part| object[*part].get(key).is_some());
        (!known).then(|| format!("couldn't find key {key} in {kind} {namespace}/{name}"))
    };
    let env = container["env"].as_array();
    let single = env.into_iter().flatten().find_map(|entry| {
        let from = &entry["valueFrom"];
        let key = |part: &str| from[part]["key"].as_str();
        look(
            "ConfigMap",
            &from["configMapKeyRef"],
            key("configMapKeyRef"),
        )
        .or_else(|| look("Secret", &from["secretKeyRef"], key("secretKeyRef")))
    });
    single.or_else(|| {
        let all = container["envFrom"].as_array();
        all.into_iter().flatten().find_map(|entry| {
            look("ConfigMap", &entry["configMapRef"], None)
                .or_else(|| look("Secret", &entry["secretRef"], None))
        })
    })
}

/// Returns the ports a pod's containers listen on.
pub(super) fn ports(pod: &Value) -> Vec<u16> {
    let containers = pod["spec"]["containers"].as_array();
    let declared = containers.into_iter().flatten().flat_map(|container| {
        container["ports"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|p| p["containerPort"].as_u64())
    });
    declared
        .filter_map(|port| u16::try_from(port).ok())
        .collect()
}
