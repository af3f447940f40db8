//! What every family of findings looks at, read in one parallel round.
//!
//! Owns: reading, and matching label selectors. Must not: find fault.

use std::collections::BTreeMap;

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::ResourceQuota, discovery::v1::EndpointSlice, networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::{Resource, api::ListParams};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Subject;
use crate::{
    cluster::{
        Cluster, ClusterError, Reason,
        objects::Survey,
        older::Grown,
        pods::LivePod,
        template,
        workloads::{Live, common_labels},
    },
    domain::workload::{Track, Tracks, Workload},
    traffic::{self, replicas::Goals},
};

/// Both sides and what surrounds them, at one moment.
pub(super) struct Ground<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) survey: &'a Survey,
    pub(super) subject: &'a Subject<'a>,
    pub(super) stable: Live,
    /// Absent when there is no canary Deployment yet.
    pub(super) canary: Option<Live>,
    /// The canary as the release would have it: with the given images, or made from stable.
    pub(super) wanted: Value,
    pub(super) tracks: Tracks,
    pub(super) stable_facts: Workload,
    pub(super) canary_facts: Option<Workload>,
    /// Pods of both sides.
    pub(super) pods: Vec<LivePod>,
    /// `None` where they may not be read.
    pub(super) slices: Option<Vec<EndpointSlice>>,
    /// `None` where they may not be read.
    pub(super) quotas: Option<Vec<ResourceQuota>>,
    /// `None` where they may not be read.
    pub(super) budgets: Option<Vec<PodDisruptionBudget>>,
    /// `None` where they may not be read.
    pub(super) policies: Option<Vec<NetworkPolicy>>,
}

impl<'a> Ground<'a> {
    /// Reads it; `None` when there is no stable Deployment.
    pub(super) async fn read(
        cluster: &'a Cluster,
        survey: &'a Survey,
        subject: &'a Subject<'a>,
    ) -> Result<Option<Self>, ClusterError> {
        let names = subject.names;
        let Some(known) = survey.deployment(&names.stable) else {
            return Ok(None);
        };
        let labels = common_labels(known, survey.deployment(&names.canary));
        let (sides, slices, quotas, budgets, policies) = futures::try_join!(
            cluster.sides_in(survey, &names.stable, &names.canary, &labels),
            list_grown(cluster, "EndpointSlices"),
            list(cluster, "ResourceQuotas"),
            list_grown(cluster, "PodDisruptionBudgets"),
            list(cluster, "NetworkPolicies"),
        )?;
        let Some(stable) = sides.stable.clone() else {
            return Ok(None);
        };
        let tracks = if let Some(canary) = &sides.canary {
            Tracks::between(&stable.object, &canary.object)
        } else {
            let mut tracks = Tracks::invented(&stable.object);
            let more = subject.route.iter().flat_map(|route| route.labels.clone());
            tracks.labels.extend(more);
            tracks
        };
        let mut wanted = match &sides.canary {
            Some(canary) => Value::clone(&canary.object),
            None => tracks.canary_of(&stable.object, &names.canary, subject.images),
        };
        template::set_images(&mut wanted["spec"]["template"], subject.images);
        Ok(Some(Self {
            cluster,
            survey,
            subject,
            stable_facts: sides.workload(Track::Stable, &tracks).unwrap_or_default(),
            canary_facts: sides.workload(Track::Canary, &tracks),
            stable,
            canary: sides.canary,
            wanted,
            tracks,
            pods: sides.pods.to_vec(),
            slices,
            quotas,
            budgets,
            policies,
        }))
    }

    /// Returns `Kind namespace/name`.
    pub(super) fn place(&self, kind: &str, name: &str) -> String {
        self.cluster.named(kind, name)
    }

    /// Returns the place of the stable Deployment.
    pub(super) fn stable_place(&self) -> String {
        self.place("Deployment", &self.subject.names.stable)
    }

    /// Returns the place of the canary Deployment.
    pub(super) fn canary_place(&self) -> String {
        self.place("Deployment", &self.subject.names.canary)
    }

    /// Returns whether traffic is moved by numbers of pods.
    pub(super) fn by_pods(&self) -> bool {
        self.subject.router.name == super::BY_PODS
    }

    /// Returns the pod template the canary would have.
    pub(super) fn canary_template(&self) -> &Value {
        &self.wanted["spec"]["template"]
    }

    /// Returns the labels of a side's pods.
    pub(super) fn labels(&self, track: Track) -> BTreeMap<String, String> {
        match track {
            Track::Stable => self.stable.pod_labels(),
            Track::Canary => texts(&self.canary_template()["metadata"]["labels"]),
        }
    }

    /// Returns the label pairs by which a side's Deployment selects its pods.
    pub(super) fn selector(&self, track: Track) -> BTreeMap<String, String> {
        match track {
            Track::Stable => self.stable.selector(),
            Track::Canary => texts(&self.wanted["spec"]["selector"]["matchLabels"]),
        }
    }

    /// Returns pods of both sides together: the total of the router by pods.
    pub(super) fn total(&self) -> u32 {
        let canary = self.canary.as_ref().map_or(0, Live::replicas);
        (self.stable.replicas() + canary).max(1)
    }

    /// Returns how the router by pods divides them.
    pub(super) fn goals(&self) -> Goals {
        let surge = traffic::adds_pods(self.subject.router);
        Goals {
            total: if surge {
                self.stable.replicas().max(1)
            } else {
                self.total()
            },
            surge,
        }
    }

    /// Returns `kubectl -n namespace` for commands.
    pub(super) fn kubectl(&self) -> String {
        format!("kubectl -n {}", self.cluster.namespace())
    }
}

fn texts(map: &Value) -> BTreeMap<String, String> {
    let pairs = map.as_object().into_iter().flatten();
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    pairs.filter_map(text).collect()
}

/// Reads all objects of a kind; `None` when they may not be read or are not served.
async fn list<K>(cluster: &Cluster, kinds: &str) -> Result<Option<Vec<K>>, ClusterError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api = cluster.api::<K>();
    let what = format!("{kinds} of namespace {}", cluster.namespace());
    let params = ListParams::default();
    let list = cluster.read(&what, || api.list(&params)).await;
    known(list.map(|list| list.items))
}

/// The same of a kind that older servers have in another version.
async fn list_grown<K: Grown>(
    cluster: &Cluster,
    kinds: &str,
) -> Result<Option<Vec<K>>, ClusterError> {
    let what = format!("{kinds} of namespace {}", cluster.namespace());
    known(cluster.list_grown(&what, &ListParams::default()).await)
}

fn known<T>(read: Result<T, ClusterError>) -> Result<Option<T>, ClusterError> {
    match read {
        Ok(list) => Ok(Some(list)),
        Err(e) if matches!(e.reason, Reason::Forbidden | Reason::NotServed) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns whether a selector fits the labels; one that is empty fits all.
pub(super) fn fits(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let pairs = selector.match_labels.iter().flatten();
    let mut expressions = selector.match_expressions.iter().flatten();
    pairs.into_iter().all(|(k, v)| labels.get(k) == Some(v))
        && expressions.all(|e| {
            let value = labels.get(&e.key);
            let listed = value.is_some_and(|v| e.values.iter().flatten().any(|known| known == v));
            match e.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_fit_as_kubernetes_says() {
        let labels = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
        for (selector, expected) in [
            (json!({}), true),
            (json!({"matchLabels": {"app": "web"}}), true),
            (json!({"matchLabels": {"app": "db"}}), false),
            (
                json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}),
                true,
            ),
            (
                json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}),
                false,
            ),
            (
                json!({"matchExpressions": [{"key": "track", "operator": "DoesNotExist"}]}),
                true,
            ),
            (
                json!({"matchExpressions": [{"key": "track", "operator": "Exists"}]}),
                false,
            ),
        ] {
            let parsed: LabelSelector = serde_json::from_value(selector.clone()).unwrap();
            assert_eq!(fits(&parsed, &labels), expected, "{selector}");
        }
    }
}
