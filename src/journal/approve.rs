//! Approvals: an object of their own, so that the right to approve can be given alone.
//!
//! Owns: granting and reading them. Must not: change the journal. An approval names the run and the
//! step, so that an old one opens nothing.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, Patch, PostParams};
use serde_json::json;

use super::{Journal, JournalError};
use crate::{
    cluster::{Cluster, ClusterError, FIELD_MANAGER, Reason},
    domain::release::Phase,
};

/// Key of the ConfigMap that names run and step.
const APPROVED: &str = "approved";

/// Key that says who approved.
const BY: &str = "by";

/// Returns the name of the ConfigMap that holds an app's approval.
pub fn approval(app: &str) -> String {
    format!("{FIELD_MANAGER}-{app}-approval")
}

/// Approves the step that waits, and returns its number, counted from 1.
pub async fn grant(cluster: &Cluster, app: &str, who: &str) -> Result<usize, JournalError> {
    let what = cluster.named("release", app);
    let saved = Journal::new(cluster.clone(), app).load().await?;
    let release = saved.map(|saved| saved.release);
    let Some(release) = release.filter(|r| r.phase == Phase::Approving) else {
        let text = "no step waits for approval";
        return Err(ClusterError::garbled("approve", &what, text).into());
    };
    let name = approval(app);
    let step = release.step + 1;
    let data = BTreeMap::from([
        (APPROVED.to_owned(), format!("{} {step}", release.id)),
        (BY.to_owned(), who.to_owned()),
    ]);
    let api = cluster.api::<ConfigMap>();
    let what = cluster.named("ConfigMap", &name);
    let patch = Patch::Merge(json!({"data": data}));
    let params = cluster.patch_params();
    let outcome = cluster
        .write("save", &what, || api.patch(&name, &params, &patch))
        .await;
    match outcome {
        Ok(_) => Ok(step),
        Err(error) if error.reason == Reason::NotFound => {
            let map = ConfigMap {
                metadata: ObjectMeta {
                    name: Some(name.clone()),
                    ..ObjectMeta::default()
                },
                data: Some(data),
                ..ConfigMap::default()
            };
            let params = PostParams::default();
            cluster
                .write("create", &what, || api.create(&params, &map))
                .await?;
            Ok(step)
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns who approved `step` (counted from 1) of the run `id`, if somebody did.
pub async fn granted(
    cluster: &Cluster,
    app: &str,
    id: &str,
    step: usize,
) -> Result<Option<String>, JournalError> {
    let name = approval(app);
    let api = cluster.api::<ConfigMap>();
    let what = cluster.named("ConfigMap", &name);
    let map = cluster.read_opt(&what, || api.get(&name)).await?;
    let data = map.and_then(|map| map.data).unwrap_or_default();
    let fits = data.get(APPROVED) == Some(&format!("{id} {step}"));
    Ok(fits.then(|| data.get(BY).cloned().unwrap_or_default()))
}
