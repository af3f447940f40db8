//! Objects of any kind that may route traffic.
//!
//! Owns: which versions of a kind are served, reading such objects whole, and changing single fields
//! of one. Must not: interpret them; routers do.

use std::collections::BTreeSet;

use futures::{FutureExt, future::Shared};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PostParams, Preconditions},
    core::{ApiResource, DynamicObject, GroupVersionKind, Request},
};
use serde_json::{Value, json};

use super::{Cluster, ClusterError, FIELD_MANAGER, Reason, workloads::items_of};

/// A kind of object, with the versions this tool can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// API group; empty for core.
    pub group: String,
    /// Versions, the preferred one first.
    pub versions: Vec<String>,
    /// The kind, such as `VirtualService`.
    pub kind: String,
    /// Plural of the resource, such as `virtualservices`.
    pub plural: String,
}

/// A kind to be read, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The kind.
    pub kind: Kind,
    /// The namespace; `None` is the app's.
    pub namespace: Option<String>,
}

/// All objects of one kind in one namespace.
#[derive(Debug, Clone)]
pub struct Family {
    /// The kind.
    pub kind: Kind,
    /// The namespace.
    pub namespace: String,
    /// The version that is served.
    pub version: String,
    /// The objects, or why they could not be read.
    pub objects: Result<Vec<Value>, ClusterError>,
}

/// How much is known of what a cluster serves before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knowledge {
    /// The kinds are in use here: ask for them at once.
    Named,
    /// Any of them may be missing: ask first which groups there are.
    Any,
}

/// One object that was picked out to be read again and changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its kind.
    pub kind: Kind,
    /// The version that is served.
    pub version: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The groups and versions that a cluster serves, as `group/version`.
type Groups = BTreeSet<String>;

impl Kind {
    /// Returns a kind.
    pub fn new(group: &str, versions: &[&str], kind: &str, plural: &str) -> Self {
        Self {
            group: group.to_owned(),
            versions: versions.iter().map(|v| (*v).to_owned()).collect(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        }
    }

    /// Returns the kind of an `apiVersion` and `kind`, with the plural that names it by the usual
    /// rule unless another is given.
    pub fn named(api_version: &str, kind: &str, plural: Option<&str>) -> Self {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let guessed = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind)).plural;
        Self::new(group, &[version], kind, plural.unwrap_or(&guessed))
    }

    /// Returns whether an object is of this kind, in any version.
    pub fn is(&self, object: &Value) -> bool {
        let version = object["apiVersion"].as_str().unwrap_or_default();
        let group = version.split_once('/').map_or("", |(group, _)| group);
        group == self.group && object["kind"] == self.kind.as_str()
    }

    /// Returns whether Kubernetes itself serves it.
    fn is_builtin(&self) -> bool {
        let own = [
            "apps",
            "autoscaling",
            "batch",
            "policy",
            "networking.k8s.io",
        ];
        self.group.is_empty() || own.contains(&self.group.as_str())
    }

    fn resource(&self, version: &str) -> ApiResource {
        let api_version = if self.group.is_empty() {
            version.to_owned()
        } else {
            format!("{}/{version}", self.group)
        };
        ApiResource {
            group: self.group.clone(),
            version: version.to_owned(),
            api_version,
            kind: self.kind.clone(),
            plural: self.plural.clone(),
        }
    }
}

impl Family {
    /// Returns the place of one of its objects.
    pub fn place(&self, name: &str) -> Place {
        Place {
            kind: self.kind.clone(),
            version: self.version.clone(),
            namespace: self.namespace.clone(),
            name: name.to_owned(),
        }
    }
}

impl Place {
    /// Returns the object as messages name it: `VirtualService shop/web`.
    pub fn named(&self) -> String {
        format!("{} {}/{}", self.kind.kind, self.namespace, self.name)
    }

    /// Returns whether this is the place of the object.
    pub fn holds(&self, object: &Value) -> bool {
        let meta = &object["metadata"];
        self.kind.is(object)
            && meta["name"] == self.name.as_str()
            && meta["namespace"] == self.namespace.as_str()
    }
}

impl Cluster {
    /// Reads every object of the wanted kinds that are served, in parallel. With
    /// [`Knowledge::Any`] kinds of groups that are not served are not asked for.
    pub async fn families(
        &self,
        wanted: &[Wanted],
        knowledge: Knowledge,
    ) -> Result<Vec<Family>, ClusterError> {
        let groups = self.groups().boxed().shared();
        let families = wanted
            .iter()
            .map(|wanted| self.family(wanted, knowledge, groups.clone()));
        let families = futures::future::try_join_all(families).await?;
        Ok(families.into_iter().flatten().collect())
    }

    async fn family(
        &self,
        wanted: &Wanted,
        knowledge: Knowledge,
        groups: Shared<impl Future<Output = Result<Option<Groups>, ClusterError>>>,
    ) -> Result<Option<Family>, ClusterError> {
        let Wanted { kind, namespace } = wanted;
        let namespace = namespace.as_deref().unwrap_or(self.namespace()).to_owned();
        let mut versions = kind.versions.clone();
        if knowledge == Knowledge::Any
            && !kind.is_builtin()
            && let Some(served) = groups.await?
        {
            versions.retain(|version| served.contains(&format!("{}/{version}", kind.group)));
        }
        for version in versions {
            let objects = match self.list_of(kind, &version, &namespace).await {
                Ok(objects) => Ok(objects),
                Err(error) if error.reason == Reason::NotServed => continue,
                Err(error) if error.reason == Reason::Forbidden => Err(error),
                Err(error) => return Err(error),
            };
            return Ok(Some(Family {
                kind: kind.clone(),
                namespace,
                version,
                objects,
            }));
        }
        Ok(None)
    }

    /// Reads which groups are served; `None` where that may not be asked.
    async fn groups(&self) -> Result<Option<Groups>, ClusterError> {
        let what = "the API groups of the cluster";
        let read = self.read(what, || self.client().list_api_groups()).await;
        let list = match read {
            Ok(list) => list,
            Err(error) if error.reason == Reason::Forbidden => return Ok(None),
            Err(error) => return Err(error),
        };
        let versions = list.groups.into_iter().flat_map(|group| group.versions);
        Ok(Some(versions.map(|v| v.group_version).collect()))
    }

    async fn list_of(
        &self,
        kind: &Kind,
        version: &str,
        namespace: &str,
    ) -> Result<Vec<Value>, ClusterError> {
        let resource = kind.resource(version);
        let plural = plural_kind(&kind.kind);
        let what = match namespace {
            "" => format!("{plural} of all namespaces"),
            namespace => format!("{plural} of namespace {namespace}"),
        };
        let path = path_of(&resource, namespace);
        let list = || async {
            let request = Request::new(path.clone()).list(&ListParams::default());
            let request = request.map_err(kube::Error::BuildRequest)?;
            self.client().request::<Value>(request).await
        };
        let mut list = self.read(&what, list).await?;
        let mut items = items_of(&mut list, &what)?;
        for item in &mut items {
            // Items of a list may leave out what the list says already.
            if item["kind"].is_null() {
                item["apiVersion"] = json!(resource.api_version);
                item["kind"] = json!(resource.kind);
            }
        }
        Ok(items)
    }

    /// Reads the objects of the same kinds in other namespaces: their routes can lead here. Kinds that may not be
    /// listed there are left out, for most roles end at their namespace. Whatever else keeps one from being read is
    /// an error: nobody knows then what leads here.
    pub async fn elsewhere(&self, known: &[Family]) -> Result<Vec<Value>, ClusterError> {
        let mut kinds: Vec<(&Kind, &str)> = Vec::new();
        for Family { kind, version, .. } in known.iter().filter(|f| !f.kind.is_builtin()) {
            if !kinds.contains(&(kind, version.as_str())) {
                kinds.push((kind, version));
            }
        }
        let lists = kinds.into_iter().map(|(kind, version)| async move {
            match self.list_of(kind, version, "").await {
                Err(error) if matches!(error.reason, Reason::Forbidden | Reason::NotServed) => {
                    Ok(Vec::new())
                }
                list => list,
            }
        });
        let lists = futures::future::try_join_all(lists).await?;
        let objects = lists.into_iter().flatten();
        let own = self.namespace();
        Ok(objects
            .filter(|object| object["metadata"]["namespace"] != own)
            .collect())
    }

    /// Reads the objects at the given places again; those that are gone are left out.
    pub async fn objects_at(&self, places: &[Place]) -> Result<Vec<Value>, ClusterError> {
        let read = places.iter().map(|place| async move {
            let api = self.api_at(place);
            let object = self
                .read_opt(&place.named(), || api.get(&place.name))
                .await?;
            let value = object.map(serde_json::to_value).transpose();
            value.map_err(|e| ClusterError::garbled("read", &place.named(), e.to_string()))
        });
        let read = futures::future::try_join_all(read).await?;
        Ok(read.into_iter().flatten().collect())
    }

    /// Changes single fields of an object by a JSON patch, unless the object changed since it was
    /// read with `version` as its resource version. Returns it as the server has stored it.
    pub async fn change_fields(
        &self,
        place: &Place,
        version: &str,
        operations: Vec<Value>,
    ) -> Result<Value, ClusterError> {
        let mut guarded = vec![
            // The server compares a version that a patch sets: another one is a conflict.
            json!({"op": "replace", "path": "/metadata/resourceVersion", "value": version}),
        ];
        guarded.extend(operations);
        let patch: Patch<()> = super::workloads::json_patch(Value::Array(guarded));
        let api = self.api_at(place);
        let params = self.patch_params();
        let stored = self
            .write("change", &place.named(), || {
                api.patch(&place.name, &params, &patch)
            })
            .await?;
        serde_json::to_value(stored)
            .map_err(|e| ClusterError::garbled("change", &place.named(), e.to_string()))
    }

    /// Creates an object at its place.
    pub async fn create_at(&self, place: &Place, object: &Value) -> Result<(), ClusterError> {
        let object: DynamicObject = serde_json::from_value(object.clone())
            .map_err(|e| ClusterError::garbled("create", &place.named(), e.to_string()))?;
        let api = self.api_at(place);
        let params = PostParams {
            dry_run: self.is_dry(),
            field_manager: Some(FIELD_MANAGER.to_owned()),
        };
        self.write("create", &place.named(), || api.create(&params, &object))
            .await
            .map(drop)
    }

    /// Deletes an object as it was seen; being gone already is fine.
    pub async fn delete_at(&self, place: &Place, seen: &Value) -> Result<(), ClusterError> {
        let api = self.api_at(place);
        let params = DeleteParams {
            dry_run: self.is_dry(),
            preconditions: Some(Preconditions {
                uid: seen["metadata"]["uid"].as_str().map(str::to_owned),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let what = place.named();
        let delete = self.write("delete", &what, || api.delete(&place.name, &params));
        match delete.await {
            Ok(_) => Ok(()),
            Err(error) if error.reason == Reason::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Returns the API at which objects like the one at `place` are read and written.
    pub fn api_at(&self, place: &Place) -> Api<DynamicObject> {
        let resource = place.kind.resource(&place.version);
        Api::namespaced_with(self.client().clone(), &place.namespace, &resource)
    }
}

/// Returns the operation of a JSON patch that gives a field another value, or takes it away.
pub fn field_patch(pointer: &str, now: Option<&Value>, to: Option<&Value>) -> Value {
    match (now, to) {
        (None, Some(value)) => json!({"op": "add", "path": pointer, "value": value}),
        (Some(_), Some(value)) => json!({"op": "replace", "path": pointer, "value": value}),
        (_, None) => json!({"op": "remove", "path": pointer}),
    }
}

/// Returns the path of a list; that of all namespaces where the name of one is empty.
fn path_of(resource: &ApiResource, namespace: &str) -> String {
    let root = if resource.group.is_empty() {
        "/api"
    } else {
        "/apis"
    };
    let within = match namespace {
        "" => String::new(),
        namespace => format!("namespaces/{namespace}/"),
    };
    format!(
        "{root}/{}/{within}{}",
        resource.api_version, resource.plural
    )
}

/// Returns the kind in the plural, for people: `VirtualServices`, `Ingresses`, `HTTPProxies`.
pub fn plural_kind(kind: &str) -> String {
    if let Some(stem) = kind.strip_suffix('y') {
        return format!("{stem}ies");
    }
    if kind.ends_with('s') || kind.ends_with('x') {
        return format!("{kind}es");
    }
    format!("{kind}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_group_and_kind() {
        let kind = Kind::new("a.io", &["v1"], "Route", "routes");
        assert!(kind.is(&json!({"apiVersion": "a.io/v1beta1", "kind": "Route"})));
        assert!(!kind.is(&json!({"apiVersion": "b.io/v1", "kind": "Route"})));
        assert!(!kind.is(&json!({"apiVersion": "a.io/v1", "kind": "Gateway"})));
    }

    #[test]
    fn plurals_follow_the_usual_rule() {
        let kind = Kind::named("projectcontour.io/v1", "HTTPProxy", None);
        assert_eq!(
            (kind.group.as_str(), kind.plural.as_str()),
            ("projectcontour.io", "httpproxies")
        );
        assert_eq!(plural_kind("HTTPProxy"), "HTTPProxies");
        assert_eq!(plural_kind("Ingress"), "Ingresses");
        let kind = Kind::named("v1", "Service", Some("services"));
        assert_eq!(
            (kind.group.as_str(), kind.plural.as_str()),
            ("", "services")
        );
    }
}
