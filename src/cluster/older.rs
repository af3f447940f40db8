//! Kinds that older servers have in another version only.
//!
//! Owns: which two versions there are, asking for the older where the present one is not served, and
//! remembering that. Must not: know what the objects are for, or take a version that is missing for
//! objects that are.

use std::fmt::Debug;

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        autoscaling::v2::HorizontalPodAutoscaler, discovery::v1::EndpointSlice,
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{
    Api, Resource,
    api::{ListParams, Patch},
    core::{ApiResource, DynamicObject},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Cluster, ClusterError, Reason};

/// A kind whose present version is younger than servers that are still met. What is read and written
/// of it here has the same names in both versions.
pub trait Grown:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug
{
    /// The version that every server has which has not got the present one.
    const OLDER: &'static str;

    /// Returns what an object of the older version says in the words of the present one.
    fn lifted(object: Value) -> Value {
        object
    }
}

/// `autoscaling/v2` came with 1.23; v1 has been there since 1.2.
impl Grown for HorizontalPodAutoscaler {
    const OLDER: &'static str = "v1";
}

/// `discovery.k8s.io/v1` came with 1.21.
impl Grown for EndpointSlice {
    const OLDER: &'static str = "v1beta1";
}

/// `policy/v1` came with 1.21.
impl Grown for PodDisruptionBudget {
    const OLDER: &'static str = "v1beta1";

    /// An empty selector selected nothing then; now it selects everything.
    fn lifted(mut object: Value) -> Value {
        let selector = &mut object["spec"]["selector"];
        let fields = selector.as_object().into_iter().flatten();
        let parts = fields.filter(|(_, part)| !is_empty(part));
        if parts.count() == 0 {
            *selector = Value::Null;
        }
        object
    }
}

fn is_empty(part: &Value) -> bool {
    part.is_null()
        || part.as_object().is_some_and(serde_json::Map::is_empty)
        || part.as_array().is_some_and(Vec::is_empty)
}

impl Cluster {
    /// Reads the objects of a kind in the namespace, named `what`, in the version that is served;
    /// [`Reason::NotServed`] where neither is.
    pub async fn list_grown<K: Grown>(
        &self,
        what: &str,
        params: &ListParams,
    ) -> Result<Vec<K>, ClusterError> {
        if !self.is_older::<K>() {
            let api = self.api::<K>();
            match self.read(what, || api.list(params)).await {
                Err(error) if error.reason == Reason::NotServed => {}
                read => return Ok(read?.items),
            }
        }
        let api = self.api_of_older::<K>();
        let list = self.read(what, || api.list(params)).await?;
        self.note_older::<K>();
        let typed = |object| present(object).map_err(|e| ClusterError::garbled("read", what, e));
        list.items.into_iter().map(typed).collect()
    }

    /// Changes an object of a kind, named `what`, in the version that is served; `action` is a verb
    /// such as `pin`. A version that is not served has changed nothing.
    pub async fn patch_grown<K: Grown>(
        &self,
        action: &'static str,
        what: &str,
        name: &str,
        patch: &Patch<Value>,
    ) -> Result<(), ClusterError> {
        let params = self.patch_params();
        if !self.is_older::<K>() {
            let api = self.api::<K>();
            let write = self.write(action, what, || api.patch(name, &params, patch));
            match write.await {
                Err(error) if error.reason == Reason::NotServed => {}
                written => return written.map(drop),
            }
        }
        let api = self.api_of_older::<K>();
        let write = self.write(action, what, || api.patch(name, &params, patch));
        write.await.map(drop)
    }

    fn api_of_older<K: Grown>(&self) -> Api<DynamicObject> {
        let group = K::group(&());
        let resource = ApiResource {
            api_version: format!("{group}/{}", K::OLDER),
            version: K::OLDER.to_owned(),
            kind: K::kind(&()).into_owned(),
            plural: K::plural(&()).into_owned(),
            group: group.into_owned(),
        };
        Api::namespaced_with(self.client().clone(), self.namespace(), &resource)
    }

    fn is_older<K: Grown>(&self) -> bool {
        self.older
            .lock()
            .is_ok_and(|older| older.contains(K::kind(&()).as_ref()))
    }

    fn note_older<K: Grown>(&self) {
        if let Ok(mut older) = self.older.lock() {
            older.insert(K::kind(&()).into_owned());
        }
    }
}

fn present<K: Grown>(object: DynamicObject) -> Result<K, String> {
    // The type's own version is another.
    let object = DynamicObject {
        types: None,
        ..object
    };
    let value = serde_json::to_value(object).map_err(|e| e.to_string())?;
    serde_json::from_value(K::lifted(value)).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lift<K: Grown>(value: Value) -> K {
        present(serde_json::from_value(value).unwrap()).unwrap()
    }

    #[test]
    fn an_old_autoscaler_keeps_its_bounds_and_target() {
        let hpa: HorizontalPodAutoscaler = lift(json!({
            "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "web", "resourceVersion": "7"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "minReplicas": 2, "maxReplicas": 9, "targetCPUUtilizationPercentage": 60,
            },
            "status": {"currentReplicas": 2, "desiredReplicas": 2},
        }));
        let spec = hpa.spec.unwrap();
        assert_eq!((spec.min_replicas, spec.max_replicas), (Some(2), 9));
        assert_eq!(spec.scale_target_ref.name, "web");
        assert_eq!(hpa.metadata.resource_version.as_deref(), Some("7"));
    }

    #[test]
    fn an_old_slice_keeps_its_endpoints() {
        let slice: EndpointSlice = lift(json!({
            "metadata": {"name": "web-1"}, "addressType": "IPv4",
            "endpoints": [{
                "addresses": ["10.0.0.1"], "conditions": {"ready": false},
                "targetRef": {"kind": "Pod", "name": "web-a"},
                "topology": {"kubernetes.io/hostname": "node-1"},
            }],
            "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        }));
        let [endpoint] = slice.endpoints.as_slice() else {
            panic!("{slice:?}");
        };
        assert_eq!(endpoint.conditions.as_ref().unwrap().ready, Some(false));
        let name = endpoint.target_ref.as_ref().unwrap().name.as_deref();
        assert_eq!(name, Some("web-a"));
        let none: EndpointSlice =
            lift(json!({"metadata": {"name": "web-2"}, "addressType": "IPv4", "endpoints": null}));
        assert!(none.endpoints.is_empty());
    }

    #[test]
    fn the_empty_selector_of_an_old_budget_selects_nothing() {
        let selector = |selector: Value| {
            let object = json!({"metadata": {"name": "web"}, "spec": {"selector": selector}});
            lift::<PodDisruptionBudget>(object).spec.unwrap().selector
        };
        assert_eq!(selector(json!({})), None);
        assert_eq!(selector(json!({"matchLabels": {}})), None);
        let some = selector(json!({"matchLabels": {"app": "web"}})).unwrap();
        assert_eq!(some.match_labels.unwrap()["app"], "web");
    }
}
