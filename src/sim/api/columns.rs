//! The columns `kubectl get` prints for each kind.
//!
//! Owns: which columns a resource has and what stands in them. Must not: build tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    cells::{self, at, text},
    metrics,
    resources::Resource,
};

/// How a cell is read from an object.
type Read = fn(&Value, Timestamp) -> Value;

/// One column.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    name: String,
    kind: &'static str,
    /// Shown with `-o wide` only.
    wide: bool,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Read(Read),
    /// JSON path of a column a CRD asks for, and whether it is a date.
    Path(String, bool),
}

impl Column {
    fn new(name: &str, kind: &'static str, read: Read) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            wide: false,
            source: Source::Read(read),
        }
    }

    fn wide(mut self) -> Self {
        self.wide = true;
        self
    }

    /// Returns the cell of an object.
    pub(crate) fn cell(&self, object: &Value, now: Timestamp) -> Value {
        match &self.source {
            Source::Read(read) => read(object, now),
            Source::Path(path, date) => {
                let found = cells::json_path(object, path);
                match found {
                    Some(Value::String(moment)) if *date => json!(cells::since(&moment, now)),
                    Some(value) => value,
                    None => Value::Null,
                }
            }
        }
    }

    /// Returns the definition of the column.
    pub(crate) fn definition(&self) -> Value {
        json!({
            "name": self.name,
            "type": self.kind,
            "format": if self.name == "Name" { "name" } else { "" },
            "description": "",
            "priority": i32::from(self.wide),
        })
    }
}

fn number(name: &str, read: Read) -> Column {
    Column::new(name, "integer", read)
}

fn word(name: &str, read: Read) -> Column {
    Column::new(name, "string", read)
}

fn name() -> Column {
    word("Name", |o, _| json!(text(at(o, "/metadata/name"))))
}

fn age() -> Column {
    word("Age", |o, now| {
        json!(cells::since(
            text(at(o, "/metadata/creationTimestamp")),
            now
        ))
    })
}

/// Returns the columns of a resource.
pub(crate) fn of(resource: &Resource) -> Vec<Column> {
    if !resource.builtin {
        return custom(resource);
    }
    if resource.group == metrics::GROUP {
        return measured();
    }
    match resource.plural.as_str() {
        "pods" => pods(),
        "deployments" | "replicasets" | "statefulsets" | "daemonsets" => workloads(resource),
        "services" | "endpoints" | "endpointslices" | "ingresses" | "networkpolicies" => {
            network(resource)
        }
        "events" => events(),
        "horizontalpodautoscalers" | "poddisruptionbudgets" => policies(resource),
        "jobs" | "cronjobs" => batch(resource),
        _ => rest(resource),
    }
}

fn custom(resource: &Resource) -> Vec<Column> {
    let mut columns = vec![name()];
    for asked in &resource.columns {
        let kind = match text(&asked["type"]) {
            "integer" => "integer",
            "number" => "number",
            "boolean" => "boolean",
            "date" => "date",
            _ => "string",
        };
        columns.push(Column {
            name: text(&asked["name"]).to_owned(),
            kind,
            wide: asked["priority"].as_i64().unwrap_or(0) > 0,
            source: Source::Path(text(&asked["jsonPath"]).to_owned(), kind == "date"),
        });
    }
    if columns.len() == 1 {
        columns.push(age());
    }
    columns
}

fn measured() -> Vec<Column> {
    vec![
        name(),
        word("cpu", |o, _| json!(metrics::total(o, "cpu"))),
        word("memory", |o, _| json!(metrics::total(o, "memory"))),
        word("Window", |o, _| json!(text(at(o, "/window")))),
    ]
}

fn pods() -> Vec<Column> {
    vec![
        name(),
        word("Ready", |o, _| json!(cells::pod_ready(o))),
        word("Status", |o, _| json!(cells::pod_status(o))),
        word("Restarts", |o, now| json!(cells::pod_restarts(o, now))),
        age(),
        word("IP", |o, _| cells::or_none(at(o, "/status/podIP"))).wide(),
        word("Node", |o, _| cells::or_none(at(o, "/spec/nodeName"))).wide(),
        word("Nominated Node", |o, _| {
            cells::or_none(at(o, "/status/nominatedNodeName"))
        })
        .wide(),
        word("Readiness Gates", |_, _| json!("<none>")).wide(),
    ]
}

fn containers() -> [Column; 2] {
    [
        word("Containers", |o, _| json!(cells::of_containers(o, "name"))).wide(),
        word("Images", |o, _| json!(cells::of_containers(o, "image"))).wide(),
    ]
}

fn selector() -> Column {
    word("Selector", |o, _| {
        let shown = super::scale::selector_text(at(o, "/spec/selector"));
        json!(if shown.is_empty() {
            "<none>".to_owned()
        } else {
            shown
        })
    })
    .wide()
}

fn workloads(resource: &Resource) -> Vec<Column> {
    let mut columns = vec![name()];
    let ready = || {
        word("Ready", |o, _| {
            let ready = cells::count(o, "/status/readyReplicas");
            json!(format!("{ready}/{}", cells::count(o, "/spec/replicas")))
        })
    };
    match resource.plural.as_str() {
        "deployments" => columns.extend([
            ready(),
            word("Up-to-date", |o, _| {
                json!(cells::count(o, "/status/updatedReplicas"))
            }),
            word("Available", |o, _| {
                json!(cells::count(o, "/status/availableReplicas"))
            }),
            age(),
        ]),
        "replicasets" => columns.extend([
            number("Desired", |o, _| json!(cells::count(o, "/spec/replicas"))),
            number("Current", |o, _| json!(cells::count(o, "/status/replicas"))),
            number("Ready", |o, _| {
                json!(cells::count(o, "/status/readyReplicas"))
            }),
            age(),
        ]),
        "daemonsets" => columns.extend([
            number("Desired", |o, _| {
                json!(cells::count(o, "/status/desiredNumberScheduled"))
            }),
            number("Current", |o, _| {
                json!(cells::count(o, "/status/currentNumberScheduled"))
            }),
            number("Ready", |o, _| {
                json!(cells::count(o, "/status/numberReady"))
            }),
            number("Up-to-date", |o, _| {
                json!(cells::count(o, "/status/updatedNumberScheduled"))
            }),
            number("Available", |o, _| {
                json!(cells::count(o, "/status/numberAvailable"))
            }),
            word("Node Selector", |o, _| {
                let labels = super::scale::selector_text(at(o, "/spec/template/spec/nodeSelector"));
                json!(if labels.is_empty() {
                    "<none>".to_owned()
                } else {
                    labels
                })
            }),
            age(),
        ]),
        _ => columns.extend([ready(), age()]),
    }
    columns.extend(containers());
    if resource.plural != "statefulsets" {
        columns.push(selector());
    }
    columns
}

fn network(resource: &Resource) -> Vec<Column> {
    let mut columns = vec![name()];
    match resource.plural.as_str() {
        "services" => columns.extend([
            word("Type", |o, _| json!(text(at(o, "/spec/type")))),
            word("Cluster-IP", |o, _| {
                cells::or_none(at(o, "/spec/clusterIP"))
            }),
            word("External-IP", |o, _| json!(cells::external_address(o))),
            word("Port(s)", |o, _| json!(cells::service_ports(o))),
            age(),
            selector(),
        ]),
        "endpoints" => {
            columns.extend([word("Endpoints", |o, _| json!(cells::endpoints(o))), age()]);
        }
        "endpointslices" => columns.extend([
            word("AddressType", |o, _| json!(text(at(o, "/addressType")))),
            word("Ports", |o, _| {
                json!(cells::joined(at(o, "/ports"), |p| p["port"].to_string(), 3))
            }),
            word("Endpoints", |o, _| {
                let address = |e: &Value| text(at(e, "/addresses/0")).to_owned();
                json!(cells::joined(at(o, "/endpoints"), address, 3))
            }),
            age(),
        ]),
        "ingresses" => columns.extend([
            word("Class", |o, _| {
                cells::or_none(at(o, "/spec/ingressClassName"))
            }),
            word("Hosts", |o, _| {
                let host = |r: &Value| match text(&r["host"]) {
                    "" => "*".to_owned(),
                    host => host.to_owned(),
                };
                let hosts = cells::joined(at(o, "/spec/rules"), host, 3);
                json!(if hosts == "<unset>" {
                    "*".to_owned()
                } else {
                    hosts
                })
            }),
            word("Address", |o, _| json!(cells::balancer(o))),
            word("Ports", |o, _| {
                json!(if at(o, "/spec/tls").is_array() {
                    "80, 443"
                } else {
                    "80"
                })
            }),
            age(),
        ]),
        _ => columns.extend([
            word("Pod-Selector", |o, _| {
                let shown = super::scale::selector_text(at(o, "/spec/podSelector"));
                json!(if shown.is_empty() {
                    "<none>".to_owned()
                } else {
                    shown
                })
            }),
            age(),
        ]),
    }
    columns
}

fn events() -> Vec<Column> {
    vec![
        word("Last Seen", |o, now| {
            json!(cells::event_seen(o, "lastTimestamp", now))
        }),
        word("Type", |o, _| json!(text(&o["type"]))),
        word("Reason", |o, _| json!(text(&o["reason"]))),
        word("Object", |o, _| {
            let about = cells::first(o, &["involvedObject", "regarding"]);
            json!(format!(
                "{}/{}",
                text(&about["kind"]).to_lowercase(),
                text(&about["name"])
            ))
        }),
        word("Subobject", |o, _| {
            json!(text(
                &cells::first(o, &["involvedObject", "regarding"])["fieldPath"]
            ))
        })
        .wide(),
        word("Source", |o, _| json!(cells::event_source(o))).wide(),
        word("Message", |o, _| {
            json!(text(cells::first(o, &["message", "note"])).trim())
        }),
        word("First Seen", |o, now| {
            json!(cells::event_seen(o, "firstTimestamp", now))
        })
        .wide(),
        word("Count", |o, _| {
            json!(
                cells::first(o, &["count", "deprecatedCount"])
                    .as_i64()
                    .unwrap_or(1)
            )
        })
        .wide(),
        name().wide(),
    ]
}

fn policies(resource: &Resource) -> Vec<Column> {
    let mut columns = vec![name()];
    if resource.plural == "poddisruptionbudgets" {
        columns.push(word("Min Available", |o, _| limit(o, "/spec/minAvailable")));
        columns.push(word("Max Unavailable", |o, _| {
            limit(o, "/spec/maxUnavailable")
        }));
        columns.push(number("Allowed Disruptions", |o, _| {
            json!(cells::count(o, "/status/disruptionsAllowed"))
        }));
    } else {
        columns.extend([
            word("Reference", |o, _| {
                let target = at(o, "/spec/scaleTargetRef");
                json!(format!(
                    "{}/{}",
                    text(&target["kind"]),
                    text(&target["name"])
                ))
            }),
            word("Targets", |o, _| json!(cells::autoscaler_targets(o))),
            word("MinPods", |o, _| {
                json!(cells::count(o, "/spec/minReplicas").to_string())
            }),
            word("MaxPods", |o, _| {
                json!(cells::count(o, "/spec/maxReplicas"))
            }),
            word("Replicas", |o, _| {
                json!(cells::count(o, "/status/currentReplicas"))
            }),
        ]);
    }
    columns.push(age());
    columns
}

fn batch(resource: &Resource) -> Vec<Column> {
    let mut columns = vec![name()];
    if resource.plural == "jobs" {
        columns.extend([
            word("Status", |o, _| json!(cells::job_status(o))),
            word("Completions", |o, _| {
                let done = cells::count(o, "/status/succeeded");
                json!(format!(
                    "{done}/{}",
                    cells::count(o, "/spec/completions").max(1)
                ))
            }),
            age(),
        ]);
    } else {
        columns.extend([
            word("Schedule", |o, _| json!(text(at(o, "/spec/schedule")))),
            word("Timezone", |o, _| cells::or_none(at(o, "/spec/timeZone"))),
            Column::new("Suspend", "boolean", |o, _| {
                json!(*at(o, "/spec/suspend") == true)
            }),
            number("Active", |o, _| {
                json!(at(o, "/status/active").as_array().map_or(0, Vec::len))
            }),
            word("Last Schedule", |o, now| {
                let moment = text(at(o, "/status/lastScheduleTime"));
                json!(if moment.is_empty() {
                    "<none>".to_owned()
                } else {
                    cells::since(moment, now)
                })
            }),
            age(),
        ]);
    }
    columns
}

fn rest(resource: &Resource) -> Vec<Column> {
    let mut columns = vec![name()];
    match resource.plural.as_str() {
        "configmaps" => columns.push(word("Data", |o, _| {
            json!(size(o, "/data") + size(o, "/binaryData"))
        })),
        "secrets" => columns.extend([
            word("Type", |o, _| json!(text(at(o, "/type")))),
            word("Data", |o, _| json!(size(o, "/data"))),
        ]),
        "namespaces" => columns.push(word("Status", |o, _| json!(text(at(o, "/status/phase"))))),
        "nodes" => columns.extend([
            word("Status", |o, _| json!(cells::node_status(o))),
            word("Roles", |_, _| json!("<none>")),
        ]),
        "serviceaccounts" => columns.push(number("Secrets", |o, _| {
            json!(at(o, "/secrets").as_array().map_or(0, Vec::len))
        })),
        "leases" => columns.push(word("Holder", |o, _| {
            json!(text(at(o, "/spec/holderIdentity")))
        })),
        "persistentvolumeclaims" => {
            columns.push(word("Status", |o, _| json!(text(at(o, "/status/phase")))));
        }
        "roles" | "rolebindings" | "customresourcedefinitions" => {
            columns.push(word("Created At", |o, _| {
                json!(text(at(o, "/metadata/creationTimestamp")))
            }));
            return columns;
        }
        _ => {}
    }
    columns.push(age());
    if resource.plural == "nodes" {
        columns.extend(node_details());
    }
    columns
}

/// Returns the columns of a node after its age.
fn node_details() -> Vec<Column> {
    fn address(o: &Value, kind: &str) -> Value {
        let all = at(o, "/status/addresses").as_array().into_iter().flatten();
        let mut fitting = all.filter(|a| a["type"] == kind);
        fitting
            .next()
            .map_or(json!("<none>"), |a| a["address"].clone())
    }
    fn info(o: &Value, field: &str) -> Value {
        match text(&at(o, "/status/nodeInfo")[field]) {
            "" => json!("<unknown>"),
            known => json!(known),
        }
    }
    vec![
        word("Version", |o, _| {
            json!(text(at(o, "/status/nodeInfo/kubeletVersion")))
        }),
        word("Internal-IP", |o, _| address(o, "InternalIP")).wide(),
        word("External-IP", |o, _| address(o, "ExternalIP")).wide(),
        word("OS-Image", |o, _| info(o, "osImage")).wide(),
        word("Kernel-Version", |o, _| info(o, "kernelVersion")).wide(),
        word("Container-Runtime", |o, _| {
            info(o, "containerRuntimeVersion")
        })
        .wide(),
    ]
}

/// Returns how many members the map at a pointer has.
fn size(o: &Value, pointer: &str) -> usize {
    at(o, pointer).as_object().map_or(0, serde_json::Map::len)
}

/// Returns one limit of a disruption budget.
fn limit(o: &Value, pointer: &str) -> Value {
    match at(o, pointer) {
        Value::Null => json!("N/A"),
        Value::String(share) => json!(share),
        Value::Number(pods) => json!(pods.to_string()),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => json!(""),
    }
}
