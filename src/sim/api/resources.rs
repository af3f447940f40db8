//! What the simulated API server serves: the table of resources, and those that CRDs add.
//!
//! Owns: group, versions, kind, names, scope, subresources. Must not: know what a verb does.

use std::sync::{Arc, LazyLock};

use serde_json::Value;

use super::metrics;
use crate::sim::store::{Key, Store};

/// A kind of object that is served.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    /// API group; empty for core.
    pub(crate) group: String,
    /// Served versions, the preferred one first.
    pub(crate) versions: Vec<String>,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    /// Member of the category `all`, or of those a CRD names.
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    /// Status is a subresource of its own.
    pub(crate) status: bool,
    /// Where the replicas are, when there is a `/scale`.
    pub(crate) scale: Option<ScalePaths>,
    /// Part of Kubernetes itself; false for what a CRD adds.
    pub(crate) builtin: bool,
    /// Columns a CRD asks `kubectl get` to print.
    pub(crate) columns: Vec<Value>,
}

/// JSON pointers of the fields behind `/scale`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScalePaths {
    pub(crate) spec: String,
    pub(crate) status: String,
    /// Pointer to a selector in text form; `None` reads `spec.selector`.
    pub(crate) selector: Option<String>,
}

/// What a request names: a resource, one of its versions, and maybe one object and subresource.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) resource: Arc<Resource>,
    pub(crate) version: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) sub: Vec<String>,
}

impl Resource {
    /// Returns the group/version as objects carry it.
    pub(crate) fn api_version(&self, version: &str) -> String {
        join(&self.group, version)
    }

    /// Returns the version objects are kept in.
    pub(crate) fn stored_version(&self) -> String {
        self.api_version(self.versions.first().map_or("v1", String::as_str))
    }

    /// Returns the group objects are kept under: `events.k8s.io` shows the core events.
    pub(crate) fn stored_group(&self) -> &str {
        if self.group == "events.k8s.io" {
            ""
        } else {
            &self.group
        }
    }

    /// Returns the kind as `invalid` messages name it: `Deployment.apps`.
    pub(crate) fn qualified_kind(&self) -> String {
        if self.group.is_empty() {
            self.kind.clone()
        } else {
            format!("{}.{}", self.kind, self.group)
        }
    }

    /// Returns whether a kind is one of Kubernetes' own, in this version.
    pub(crate) fn knows(&self, group: &str, version: &str, kind: &str) -> bool {
        self.builtin
            && BUILTIN.iter().any(|r| {
                r.group == group && r.kind == kind && r.versions.iter().any(|v| v == version)
            })
    }

    /// Returns the verbs of the resource itself, as discovery lists them.
    pub(crate) fn verbs(&self) -> &'static [&'static str] {
        if self.is_review() {
            return &["create"];
        }
        if self.group == metrics::GROUP {
            return &["get", "list"];
        }
        if !self.builtin {
            return &[
                "delete",
                "deletecollection",
                "get",
                "list",
                "patch",
                "create",
                "update",
                "watch",
            ];
        }
        &[
            "create",
            "delete",
            "deletecollection",
            "get",
            "list",
            "patch",
            "update",
            "watch",
        ]
    }

    /// Returns whether objects of this kind are questions that are answered and not kept.
    pub(crate) fn is_review(&self) -> bool {
        self.group == "authorization.k8s.io"
    }

    /// Returns the subresources with the verbs and kind discovery lists for each.
    pub(crate) fn subresources(&self) -> Vec<Subresource> {
        let mut found = Vec::new();
        if self.scale.is_some() {
            found.push(Subresource {
                name: "scale",
                group: "autoscaling",
                version: "v1",
                kind: "Scale".to_owned(),
                verbs: &["get", "patch", "update"],
            });
        }
        if self.status {
            found.push(Subresource {
                name: "status",
                group: "",
                version: "",
                kind: self.kind.clone(),
                verbs: &["get", "patch", "update"],
            });
        }
        if self.group.is_empty() && self.plural == "pods" {
            found.push(Subresource {
                name: "portforward",
                group: "",
                version: "v1",
                kind: "PodPortForwardOptions".to_owned(),
                verbs: &["create", "get"],
            });
            found.push(Subresource {
                name: "proxy",
                group: "",
                version: "v1",
                kind: "PodProxyOptions".to_owned(),
                verbs: &["create", "delete", "get", "patch", "update"],
            });
        }
        found
    }
}

/// A subresource as discovery shows it.
#[derive(Debug, Clone)]
pub(crate) struct Subresource {
    pub(crate) name: &'static str,
    /// Group of the kind, when it differs from the resource's.
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: String,
    pub(crate) verbs: &'static [&'static str],
}

impl Target {
    /// Returns where the named object is kept.
    pub(crate) fn key(&self) -> Key {
        Key::new(
            self.resource.stored_group(),
            &self.resource.plural,
            &self.namespace,
            &self.name,
        )
    }

    /// Returns the group/version the client speaks.
    pub(crate) fn api_version(&self) -> String {
        self.resource.api_version(&self.version)
    }
}

/// Returns every resource that is served, built-in ones first.
pub(crate) fn catalog(store: &Store) -> Vec<Arc<Resource>> {
    let (definitions, _) = store.list("apiextensions.k8s.io", "customresourcedefinitions", "");
    let custom = definitions.iter().filter_map(|d| custom(d)).map(Arc::new);
    let measured = metrics::resources(store).iter();
    let own = BUILTIN.iter().chain(measured).cloned();
    own.chain(custom).collect()
}

/// Returns the resource that serves this plural in this group and version.
pub(crate) fn find(
    store: &Store,
    group: &str,
    version: &str,
    plural: &str,
) -> Option<Arc<Resource>> {
    let fits = |r: &Resource| {
        r.group == group && r.plural == plural && r.versions.iter().any(|v| v == version)
    };
    let own: &[Arc<Resource>] = if group == metrics::GROUP {
        metrics::resources(store)
    } else {
        &BUILTIN
    };
    if let Some(hit) = own.iter().find(|r| fits(r)) {
        return Some(hit.clone());
    }
    let (definitions, _) = store.list("apiextensions.k8s.io", "customresourcedefinitions", "");
    let mut custom = definitions.iter().filter_map(|d| custom(d));
    custom.find(|r| fits(r)).map(Arc::new)
}

/// Returns `group/version`, or the version alone for the core group.
pub(crate) fn join(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

/// Returns the resource as messages name it: `deployments.apps`, `pods`.
pub(crate) fn qualified(group: &str, plural: &str) -> String {
    if group.is_empty() {
        plural.to_owned()
    } else {
        format!("{plural}.{group}")
    }
}

/// Reads what a `CustomResourceDefinition` adds; `None` when it lacks names or versions.
fn custom(definition: &Value) -> Option<Resource> {
    let spec = &definition["spec"];
    let names = &spec["names"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let list = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items.filter_map(text).collect()
    };
    let kind = text(&names["kind"])?;
    let mut versions: Vec<&Value> = spec["versions"]
        .as_array()?
        .iter()
        .filter(|v| v["served"] != false)
        .collect();
    versions.sort_by_key(|v| std::cmp::Reverse(age(v["name"].as_str().unwrap_or_default())));
    let first = versions.first()?;
    let dotted = |path: &Value| text(path).map(|p| p.replace('.', "/"));
    let scale = &first["subresources"]["scale"];
    Some(Resource {
        group: text(&spec["group"])?,
        versions: versions.iter().filter_map(|v| text(&v["name"])).collect(),
        list_kind: text(&names["listKind"]).unwrap_or_else(|| format!("{kind}List")),
        singular: text(&names["singular"]).unwrap_or_else(|| kind.to_lowercase()),
        kind,
        plural: text(&names["plural"])?,
        short_names: list(&names["shortNames"]),
        categories: list(&names["categories"]),
        namespaced: spec["scope"] != "Cluster",
        status: first["subresources"]["status"].is_object(),
        scale: dotted(&scale["specReplicasPath"]).map(|spec| ScalePaths {
            spec,
            status: dotted(&scale["statusReplicasPath"]).unwrap_or_default(),
            selector: dotted(&scale["labelSelectorPath"]).or_else(|| Some(String::new())),
        }),
        builtin: false,
        columns: first["additionalPrinterColumns"]
            .as_array()
            .cloned()
            .unwrap_or_default(),
    })
}

/// Returns the rank of a version name: v2 before v1 before v1beta1 before v1alpha1.
fn age(version: &str) -> (u8, u32, u32) {
    let digits = |text: &str| -> (u32, usize) {
        let end = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        (text[..end].parse().unwrap_or(0), end)
    };
    let Some(rest) = version.strip_prefix('v') else {
        return (0, 0, 0);
    };
    let (major, end) = digits(rest);
    let tail = &rest[end..];
    let stage = |word: &str| tail.strip_prefix(word).map(|minor| digits(minor).0);
    if tail.is_empty() {
        (3, major, 0)
    } else if let Some(minor) = stage("beta") {
        (2, major, minor)
    } else if let Some(minor) = stage("alpha") {
        (1, major, minor)
    } else {
        (0, major, 0)
    }
}

/// Group, versions, kind, plural, short names, and marks: `n`amespaced, `s`tatus, scale (`c`),
/// category `a`ll.
type Row = (
    &'static str,
    &'static [&'static str],
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static str,
);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("", &["v1"], "ConfigMap", "configmaps", &["cm"], "n"),
    ("", &["v1"], "Endpoints", "endpoints", &["ep"], "n"),
    ("", &["v1"], "Event", "events", &["ev"], "n"),
    ("", &["v1"], "LimitRange", "limitranges", &["limits"], "n"),
    ("", &["v1"], "Namespace", "namespaces", &["ns"], "s"),
    ("", &["v1"], "Node", "nodes", &["no"], "s"),
    ("", &["v1"], "PersistentVolumeClaim", "persistentvolumeclaims", &["pvc"], "ns"),
    ("", &["v1"], "Pod", "pods", &["po"], "nsa"),
    ("", &["v1"], "ReplicationController", "replicationcontrollers", &["rc"], "nsca"),
    ("", &["v1"], "ResourceQuota", "resourcequotas", &["quota"], "ns"),
    ("", &["v1"], "Secret", "secrets", &[], "n"),
    ("", &["v1"], "ServiceAccount", "serviceaccounts", &["sa"], "n"),
    ("", &["v1"], "Service", "services", &["svc"], "nsa"),
    ("apps", &["v1"], "ControllerRevision", "controllerrevisions", &[], "n"),
    ("apps", &["v1"], "DaemonSet", "daemonsets", &["ds"], "nsa"),
    ("apps", &["v1"], "Deployment", "deployments", &["deploy"], "nsca"),
    ("apps", &["v1"], "ReplicaSet", "replicasets", &["rs"], "nsca"),
    ("apps", &["v1"], "StatefulSet", "statefulsets", &["sts"], "nsca"),
    ("authorization.k8s.io", &["v1"], "SelfSubjectAccessReview", "selfsubjectaccessreviews", &[], ""),
    ("authorization.k8s.io", &["v1"], "SelfSubjectRulesReview", "selfsubjectrulesreviews", &[], ""),
    ("autoscaling", &["v2", "v1"], "HorizontalPodAutoscaler", "horizontalpodautoscalers", &["hpa"], "nsa"),
    ("batch", &["v1"], "CronJob", "cronjobs", &["cj"], "nsa"),
    ("batch", &["v1"], "Job", "jobs", &[], "nsa"),
    ("networking.k8s.io", &["v1"], "Ingress", "ingresses", &["ing"], "ns"),
    ("networking.k8s.io", &["v1"], "NetworkPolicy", "networkpolicies", &["netpol"], "n"),
    ("policy", &["v1"], "PodDisruptionBudget", "poddisruptionbudgets", &["pdb"], "ns"),
    ("rbac.authorization.k8s.io", &["v1"], "RoleBinding", "rolebindings", &[], "n"),
    ("rbac.authorization.k8s.io", &["v1"], "Role", "roles", &[], "n"),
    ("apiextensions.k8s.io", &["v1"], "CustomResourceDefinition", "customresourcedefinitions", &["crd", "crds"], "s"),
    ("coordination.k8s.io", &["v1"], "Lease", "leases", &[], "n"),
    ("discovery.k8s.io", &["v1"], "EndpointSlice", "endpointslices", &[], "n"),
    ("events.k8s.io", &["v1"], "Event", "events", &["ev"], "n"),
];

static BUILTIN: LazyLock<Vec<Arc<Resource>>> = LazyLock::new(|| {
    let rows = ROWS.iter();
    rows.map(|(group, versions, kind, plural, short, marks)| {
        let owned = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect();
        let scale = marks.contains('c').then(|| ScalePaths {
            spec: "/spec/replicas".to_owned(),
            status: "/status/replicas".to_owned(),
            selector: None,
        });
        Arc::new(Resource {
            group: (*group).to_owned(),
            versions: owned(versions),
            kind: (*kind).to_owned(),
            list_kind: format!("{kind}List"),
            plural: (*plural).to_owned(),
            singular: kind.to_lowercase(),
            short_names: owned(short),
            categories: if marks.contains('a') {
                owned(&["all"])
            } else {
                Vec::new()
            },
            namespaced: marks.contains('n'),
            status: marks.contains('s'),
            scale,
            builtin: true,
            columns: Vec::new(),
        })
    })
    .collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_versions_are_preferred() {
        let mut names = ["v1alpha1", "v1", "v1beta1", "v2", "v1beta2"];
        names.sort_by_key(|name| std::cmp::Reverse(age(name)));
        assert_eq!(names, ["v2", "v1", "v1beta2", "v1beta1", "v1alpha1"]);
    }
}
