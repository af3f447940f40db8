//! Kubernetes Events on the canary Deployment.
//!
//! Owns: writing them. Must not: let their failure disturb a release; the caller turns it into a
//! warning.

use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event as KubernetesEvent},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::api::{ObjectMeta, PostParams};

use super::{Cluster, ClusterError, FIELD_MANAGER};

/// The API server refuses longer notes.
const LONGEST_NOTE: usize = 1000;

/// The API server refuses longer names of instances.
const LONGEST_INSTANCE: usize = 120;

/// One line for `kubectl get events`.
#[derive(Debug, Clone)]
pub struct AuditEvent<'a> {
    /// Name of the Deployment it is about.
    pub deployment: &'a str,
    /// uid of the Deployment, so that `kubectl describe` finds the event.
    pub uid: Option<&'a str>,
    /// When.
    pub at: Timestamp,
    /// One word, such as `WeightReached`.
    pub reason: &'a str,
    /// What, why, and the measurements.
    pub note: &'a str,
    /// User and host, or the URL of the CI job.
    pub who: &'a str,
    /// Whether it should alarm.
    pub warning: bool,
}

impl Cluster {
    /// Writes an Event; none when writes are only checked, since nothing has happened then.
    pub async fn audit(&self, event: &AuditEvent<'_>) -> Result<(), ClusterError> {
        if self.is_dry() {
            return Ok(());
        }
        let regarding = ObjectReference {
            api_version: Some("apps/v1".to_owned()),
            kind: Some("Deployment".to_owned()),
            name: Some(event.deployment.to_owned()),
            namespace: Some(self.namespace().to_owned()),
            uid: event.uid.map(str::to_owned),
            ..ObjectReference::default()
        };
        let kind = if event.warning { "Warning" } else { "Normal" };
        let note = format!("{} (by {})", event.note, event.who);
        let object = KubernetesEvent {
            metadata: ObjectMeta {
                generate_name: Some(format!("{}-canaryctl-", event.deployment)),
                namespace: Some(self.namespace().to_owned()),
                ..ObjectMeta::default()
            },
            action: Some(event.reason.to_owned()),
            reason: Some(event.reason.to_owned()),
            note: Some(shortened(&note, LONGEST_NOTE)),
            event_time: Some(MicroTime(event.at)),
            regarding: Some(regarding),
            reporting_controller: Some(format!("{FIELD_MANAGER}.dev/cli")),
            reporting_instance: Some(shortened(event.who, LONGEST_INSTANCE)),
            type_: Some(kind.to_owned()),
            ..KubernetesEvent::default()
        };
        let api = self.api::<KubernetesEvent>();
        let params = PostParams::default();
        let what = self.named("Event on Deployment", event.deployment);
        self.write("create", &what, || api.create(&params, &object))
            .await
            .map(drop)
    }
}

/// Returns the text cut to at most `limit` bytes, at a character.
fn shortened(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut end = limit - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}
