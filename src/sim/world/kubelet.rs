//! The scheduler and the kubelets: pods get a node, run, stop.
//!
//! Owns: what every pod does at this moment, the nodes, pod status. Must not: decide how many pods
//! there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    container::{Container, Surroundings},
    counters::Counters,
    object::{self, Condition, int, set_condition},
    pass::{Pass, Report, later},
    pod::{self, Pod, Program},
    prometheus,
    replicaset::is_over,
};
use crate::sim::{
    scenario::{Scenario, Version},
    store::{Key, Store},
};

const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];
/// Time a container takes to stop after SIGTERM.
const STOP: Duration = Duration::from_secs(2);
/// How long the node controller waits for a silent node, and its pods for an eviction.
const SILENT: Duration = Duration::from_secs(40);
const EVICTION: Duration = Duration::from_secs(340);

/// Namespace and name of a pod.
pub(super) type PodName = (String, String);

/// All nodes and what runs on them.
#[derive(Debug, Clone, Default)]
pub(super) struct Kubelet {
    /// The pods that have a node.
    pub(super) pods: BTreeMap<PodName, Pod>,
    pulled: BTreeSet<(String, String)>,
    cut_off: BTreeMap<String, Timestamp>,
    addresses: u32,
}

impl Kubelet {
    /// Creates the nodes unless the cluster has some.
    pub(super) fn ensure_nodes(store: &Store) {
        if !store.list("", "nodes", "").0.is_empty() {
            return;
        }
        for (i, name) in NODES.iter().enumerate() {
            let size = json!({"cpu": "16", "memory": "64Gi", "pods": "250"});
            let node = json!({
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}},
                "spec": {},
                "status": {
                    "capacity": size,
                    "allocatable": size,
                    "addresses": [
                        {"type": "InternalIP", "address": format!("198.19.0.{}", i + 1)},
                        {"type": "Hostname", "address": name},
                    ],
                    "conditions": [{
                        "type": "Ready", "status": "True", "reason": "KubeletReady",
                        "message": "kubelet is posting ready status",
                    }],
                    "nodeInfo": {"kubeletVersion": "v1.33.0", "operatingSystem": "linux"},
                },
            });
            drop(store.create(Key::new("", "nodes", "", name), node, false));
        }
    }

    /// Returns whether a pod counts as one of its ReplicaSet's.
    pub(super) fn is_active(&self, object: &Value) -> bool {
        !is_over(object)
            && object["metadata"]["deletionTimestamp"].is_null()
            && self
                .pods
                .get(&name_of(object))
                .is_none_or(|pod| pod.stopping.is_none())
    }

    /// Begins to stop a pod: it is being deleted and not ready from now on, and vanishes a little
    /// later.
    pub(super) fn terminate(&mut self, pass: &mut Pass<'_>, object: &Value) {
        let key = object::key("", "pods", object);
        let Some(pod) = self
            .pods
            .get_mut(&name_of(object))
            .filter(|_| !pass.settling)
        else {
            self.pods.remove(&name_of(object));
            drop(pass.store.delete(&key, false));
            return;
        };
        let grace = int(object, "/spec/terminationGracePeriodSeconds", 30);
        if let Ok(marked) = pass.store.terminate(&key, grace, false) {
            stop(pass, pod, &marked);
        }
    }

    /// Cuts a node off, or brings it back.
    pub(super) fn cut(&mut self, pass: &mut Pass<'_>, node: &str, off: bool) {
        if off {
            self.cut_off.insert(node.to_owned(), pass.now);
        } else {
            self.cut_off.remove(node);
        }
        let back = !off;
        for pod in self.pods.values_mut().filter(|pod| pod.node == node) {
            pod.unreachable = off;
            pod.lost &= !back;
        }
        if back {
            Self::mark_node(pass, node, true);
        }
    }

    /// Lets everything happen that is due.
    pub(super) fn sync(&mut self, pass: &mut Pass<'_>, scenario: &Scenario) {
        let objects = pass.list("", "pods");
        let known: BTreeMap<PodName, &str> = objects
            .iter()
            .map(|o| (name_of(o), object::uid(o)))
            .collect();
        self.pods
            .retain(|name, pod| known.get(name) == Some(&pod.uid.as_str()));
        self.watch_nodes(pass);
        for object in &objects {
            if is_over(object) {
                continue;
            }
            let name = name_of(object);
            let mut moved = false;
            if !self.pods.contains_key(&name) {
                let Some(pod) = self.admit(pass, scenario, object) else {
                    continue;
                };
                self.pods.insert(name.clone(), pod);
                moved = true;
            }
            if let Some(pod) = self.pods.get_mut(&name) {
                let gone = run(pass, scenario, pod, object, moved);
                if gone {
                    self.pods.remove(&name);
                }
            }
        }
    }

    /// Notices after a while that a node is silent, and evicts its pods after another.
    fn watch_nodes(&mut self, pass: &mut Pass<'_>) {
        for (node, since) in self.cut_off.clone() {
            let noticed = later(since, SILENT);
            let evicted = later(since, EVICTION);
            for at in [noticed, evicted] {
                if at > pass.now {
                    pass.wake(at);
                }
            }
            if pass.now >= noticed {
                Self::mark_node(pass, &node, false);
            }
            let mut gone = Vec::new();
            for (name, pod) in self.pods.iter_mut().filter(|(_, pod)| pod.node == node) {
                pod.lost |= pass.now >= noticed;
                if pass.now >= evicted && pod.stopping.is_none() {
                    gone.push(Key::new("", "pods", &name.0, &name.1));
                }
            }
            for key in gone {
                if let Some(object) = pass.store.get(&key) {
                    self.terminate(pass, &object);
                }
            }
        }
    }

    fn mark_node(pass: &mut Pass<'_>, node: &str, ready: bool) {
        let key = Key::new("", "nodes", "", node);
        let Some(object) = pass.store.get(&key) else {
            return;
        };
        let mut conditions = object["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let condition = if ready {
            Condition {
                kind: "Ready",
                status: "True",
                reason: "KubeletReady",
                message: "kubelet is posting ready status".into(),
            }
        } else {
            Condition {
                kind: "Ready",
                status: "Unknown",
                reason: "NodeStatusUnknown",
                message: "Kubelet stopped posting node status.".into(),
            }
        };
        set_condition(&mut conditions, &condition, pass.now);
        let mut status = object["status"].clone();
        status["conditions"] = json!(conditions);
        pass.set_status(&key, &object, status);
    }

    /// Gives a pod a node and makes its containers; none when no node takes it.
    fn admit(&mut self, pass: &mut Pass<'_>, scenario: &Scenario, object: &Value) -> Option<Pod> {
        let identity = pod::identity(pass.store, object);
        let (version, mut main) = pod::version_of(scenario, object, &identity);
        let mut ports = pod::ports(object);
        let mut program = Program::PaymentApi;
        if let Some(at) = prometheus::container_of(object) {
            program = Program::Prometheus;
            main = at;
            ports = vec![prometheus::PORT];
        }
        let node = match object["spec"]["nodeName"].as_str() {
            Some(node) => node.to_owned(),
            None => self.schedule(pass, behaviour(scenario, version), object)?,
        };
        let host = pass
            .store
            .get(&Key::new("", "nodes", "", &node))
            .and_then(|n| {
                n["status"]["addresses"][0]["address"]
                    .as_str()
                    .map(str::to_owned)
            })
            .unwrap_or_default();
        self.addresses += 1;
        let address = format!(
            "198.18.{}.{}",
            self.addresses / 250,
            self.addresses % 250 + 1
        );
        let specs = object["spec"]["containers"].as_array();
        let mut containers = Vec::new();
        for spec in specs.into_iter().flatten() {
            let image = spec["image"].as_str().unwrap_or_default().to_owned();
            // A first pull takes seconds; an image on the node only the making of the container.
            let fresh = self.pulled.insert((node.clone(), image));
            let pull = if fresh {
                1500 + pass.rng.u64(..1500)
            } else {
                300 + pass.rng.u64(..400)
            };
            containers.push(Container::new(
                spec,
                pass.after(Duration::from_millis(pull)),
            ));
        }
        let now = pass.now;
        Some(Pod {
            uid: object::uid(object).to_owned(),
            node: node.clone(),
            host,
            address,
            taken: now,
            containers,
            main,
            version,
            stop: behaviour(scenario, version)
                .stop
                .map_or(STOP, |stop| stop.0),
            ports,
            identity,
            counters: Counters::default(),
            work: 0.0,
            used: 0.0,
            program,
            warm: pass.settling,
            stopping: None,
            unreachable: self.cut_off.contains_key(&node),
            lost: false,
            was: (false, now),
        })
    }

    fn schedule(&self, pass: &mut Pass<'_>, version: &Version, object: &Value) -> Option<String> {
        let key = object::key("", "pods", object);
        let nodes = pass.list("", "nodes");
        let free: Vec<&str> = nodes
            .iter()
            .filter(|n| object::holds(n, "Ready") && n["spec"]["unschedulable"] != true)
            .map(|n| object::name(n))
            .filter(|n| !self.cut_off.contains_key(*n))
            .collect();
        let load = |node: &str| self.pods.values().filter(|p| p.node == node).count();
        let best = free
            .iter()
            .min_by_key(|node| load(node))
            .filter(|_| !version.unschedulable);
        let Some(node) = best else {
            if !object["status"]["conditions"].is_null() {
                return None;
            }
            let count = nodes.len();
            let message = format!("0/{count} nodes are available: {count} Insufficient cpu.");
            let report = Report::warning("default-scheduler", "FailedScheduling", message.clone());
            pass.report("Pod", object, &report);
            let mut conditions = Vec::new();
            let condition = Condition {
                kind: "PodScheduled",
                status: "False",
                reason: "Unschedulable",
                message,
            };
            set_condition(&mut conditions, &condition, pass.now);
            pass.set_status(
                &key,
                object,
                json!({"phase": "Pending", "conditions": conditions}),
            );
            return None;
        };
        let now = object::stamp(pass.now);
        pass.bind(&key, |pod| {
            pod["spec"]["nodeName"] = json!(node);
            pod["status"]["conditions"] =
                json!([{"type": "PodScheduled", "status": "True", "lastTransitionTime": now}]);
        });
        let message = format!(
            "Successfully assigned {}/{} to {node}",
            key.namespace, key.name
        );
        pass.report(
            "Pod",
            object,
            &Report::normal("default-scheduler", "Scheduled", message),
        );
        Some((*node).to_owned())
    }
}

/// Returns namespace and name of a pod.
pub(super) fn name_of(object: &Value) -> PodName {
    (
        object::namespace(object).to_owned(),
        object::name(object).to_owned(),
    )
}

/// Returns how a version behaves; pods of no version behave well.
pub(super) fn behaviour(scenario: &Scenario, version: Option<usize>) -> &Version {
    static WELL: std::sync::LazyLock<Version> = std::sync::LazyLock::new(Version::default);
    version
        .and_then(|at| scenario.versions.get(at))
        .unwrap_or(&WELL)
}

/// Sends SIGTERM: the containers go on until they are done or the grace period is over.
fn stop(pass: &mut Pass<'_>, pod: &mut Pod, object: &Value) {
    let grace = int(object, "/metadata/deletionGracePeriodSeconds", 30);
    let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
    let end = later(pass.now, grace.min(pod.stop));
    pod.stopping = Some(end);
    pass.wake(end);
    for container in &pod.containers {
        let message = format!("Stopping container {}", container.name);
        let report = Report {
            part: part_of(container),
            ..Report::normal("kubelet", "Killing", message)
        };
        pass.report("Pod", object, &report);
    }
    write_status(pass, pod, object);
}

/// Lets one pod live until now; returns whether it has vanished.
fn run(
    pass: &mut Pass<'_>,
    scenario: &Scenario,
    pod: &mut Pod,
    object: &Value,
    fresh: bool,
) -> bool {
    if pod.stopping.is_none() && !object["metadata"]["deletionTimestamp"].is_null() {
        stop(pass, pod, object);
    }
    if let Some(end) = pod.stopping {
        if end > pass.now && !pass.settling {
            pass.wake(end);
            return false;
        }
        drop(pass.store.delete(&object::key("", "pods", object), false));
        return true;
    }
    let mut happened = Vec::new();
    let mut told = Vec::new();
    let mut moved = fresh;
    for at in 0..pod.containers.len() {
        let due = pod.containers[at].due().is_some_and(|due| due <= pass.now);
        if pod.unreachable || !(due || pass.settling) {
            continue;
        }
        let version = behaviour(scenario, pod.version.filter(|_| at == pod.main));
        let problem = match pod.containers[at].running_since() {
            Some(_) => None,
            None => pod::missing_config(
                pass.store,
                object::namespace(object),
                &object["spec"]["containers"][at],
            ),
        };
        let mut around = Surroundings {
            version,
            problem,
            happened: &mut happened,
            rng: pass.rng,
        };
        let before = pod.containers[at].running_since();
        if pass.settling {
            pod.containers[at].settle(pass.now, &mut around);
        } else {
            pod.containers[at].advance(pass.now, &mut around);
        }
        let part = part_of(&pod.containers[at]);
        told.extend(happened.drain(..).map(|event| (event, part.clone())));
        let started = pod.containers[at].running_since();
        if at == pod.main && before != started {
            pod.counters = Counters::default();
            pod.used = 0.0;
            pod.warm = pass.settling;
        }
        moved = true;
    }
    for (event, part) in told {
        let kind = if event.warning { "Warning" } else { "Normal" };
        let report = Report {
            from: "kubelet",
            kind,
            reason: event.reason,
            message: event.message,
            part,
        };
        pass.report("Pod", object, &report);
    }
    if !pod.unreachable
        && let Some(due) = pod.containers.iter().filter_map(Container::due).min()
    {
        pass.wake(due);
    }
    if moved || pod.was.0 != pod.shows_ready() {
        write_status(pass, pod, object);
    }
    false
}

/// Returns how events name a container.
fn part_of(container: &Container) -> String {
    format!("spec.containers{{{}}}", container.name)
}

fn write_status(pass: &Pass<'_>, pod: &mut Pod, object: &Value) {
    if pod.was.0 != pod.shows_ready() {
        pod.was = (pod.shows_ready(), pass.now);
    }
    let status = pod.status(object);
    pass.set_status(&object::key("", "pods", object), object, status);
}
