//! Approvals: an object of their own, so that the right to approve can be given alone.
//!
//! Owns: opening the gate of a step that waits, approving it, and reading whether it was. Must not: change
//! the journal.
//!
//! The driver of a run writes the object when a step begins to wait, with a token that nobody could know
//! before. Approving is writing the token back, so that nobody approves a step ahead of its time, another
//! run's, or one twice; and whoever may do only that needs the right to patch this one object, nothing else.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    ResourceExt,
    api::{ObjectMeta, Patch, PostParams},
};
use serde_json::json;

use super::{Journal, JournalError, name::approval, seal};
use crate::{
    cluster::{Cluster, ClusterError, FIELD_MANAGER, Reason},
    domain::release::{Gate, Phase, Release},
};

/// Key that names the run.
const RUN: &str = "run";

/// Key of the number of the step, counted from 1.
const STEP: &str = "step";

/// Key of what would be released further, for people.
const CHANGE: &str = "change";

/// Key of the token of the step that waits.
const TOKEN: &str = "token";

/// Key under which the token is written back.
const APPROVED: &str = "approved";

/// Key that says who approved.
const BY: &str = "by";

/// What the object says of a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It waits, and nobody has approved it.
    Waiting,
    /// Somebody has approved it; who, as he says himself.
    Approved(String),
    /// The object is missing, or is about another step.
    Closed,
}

/// Returns the gate of a step, counted from 0, that begins to wait.
pub fn gate(step: usize) -> Result<Gate, JournalError> {
    let token = seal::token().map_err(JournalError::Unsigned)?;
    Ok(Gate { step, token })
}

/// Writes the object of the gate that a run waits at, whatever was there before.
pub async fn open(cluster: &Cluster, release: &Release, gate: &Gate) -> Result<(), JournalError> {
    let name = approval(&release.app);
    let what = cluster.named("ConfigMap", &name);
    let api = cluster.api::<ConfigMap>();
    let there = cluster.read_opt(&what, || api.get(&name)).await?;
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let step = (gate.step + 1).to_string();
    let change = release.change();
    let data = [
        (RUN, release.id.as_str()),
        (STEP, &step),
        (CHANGE, &change),
        (TOKEN, &gate.token),
    ];
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            labels: Some(BTreeMap::from([owned((
                "app.kubernetes.io/managed-by",
                FIELD_MANAGER,
            ))])),
            resource_version: there.as_ref().and_then(ResourceExt::resource_version),
            ..ObjectMeta::default()
        },
        data: Some(data.map(owned).into()),
        ..ConfigMap::default()
    };
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    let written = if there.is_some() {
        let put = || api.replace(&name, &params, &map);
        cluster.write("open", &what, put).await
    } else {
        cluster
            .write("create", &what, || api.create(&params, &map))
            .await
    };
    written.map(drop).map_err(JournalError::from)
}

/// Returns whether the gate that a run waits at was approved.
pub async fn answer(cluster: &Cluster, app: &str, gate: &Gate) -> Result<Answer, JournalError> {
    let data = data(cluster, app).await?.unwrap_or_default();
    Ok(match (data.get(TOKEN), data.get(APPROVED)) {
        (Some(token), _) if *token != gate.token => Answer::Closed,
        (None, _) => Answer::Closed,
        (Some(_), Some(approved)) if *approved == gate.token => {
            Answer::Approved(data.get(BY).cloned().unwrap_or_default())
        }
        (Some(_), Some(_) | None) => Answer::Waiting,
    })
}

/// Returns the number of the step that waits, counted from 1, and whether it is approved already; an error
/// where none waits.
pub async fn waiting(cluster: &Cluster, app: &str) -> Result<(usize, bool), JournalError> {
    let gate = open_gate(cluster, app).await?;
    let approved = matches!(answer(cluster, app, &gate).await?, Answer::Approved(_));
    Ok((gate.step.saturating_add(1), approved))
}

/// Approves the step that waits, and returns its number, counted from 1.
pub async fn grant(cluster: &Cluster, app: &str, who: &str) -> Result<usize, JournalError> {
    let gate = open_gate(cluster, app).await?;
    let name = approval(app);
    let what = cluster.named("ConfigMap", &name);
    let api = cluster.api::<ConfigMap>();
    let patch = Patch::Merge(json!({"data": {APPROVED: gate.token, BY: who}}));
    let params = cluster.patch_params();
    cluster
        .write("patch", &what, || api.patch(&name, &params, &patch))
        .await?;
    Ok(gate.step.saturating_add(1))
}

/// Returns the gate at which a release waits.
async fn open_gate(cluster: &Cluster, app: &str) -> Result<Gate, JournalError> {
    let saved = Journal::new(cluster.clone(), app).load().await?;
    let release = saved.map(|saved| saved.release);
    let gate = release
        .filter(|release| release.phase == Phase::Approving)
        .and_then(|release| release.gate);
    let Some(gate) = gate else {
        return Err(nothing_waits(cluster, app));
    };
    if answer(cluster, app, &gate).await? == Answer::Closed {
        return Err(nothing_waits(cluster, app));
    }
    Ok(gate)
}

/// Returns whether an error says that no step waits.
pub fn is_idle(error: &JournalError) -> bool {
    matches!(error, JournalError::Cluster(e) if e.reason == Reason::Garbled && e.action == "approve")
}

fn nothing_waits(cluster: &Cluster, app: &str) -> JournalError {
    let what = cluster.named("release", app);
    ClusterError::garbled("approve", &what, "no step waits for approval").into()
}

async fn data(
    cluster: &Cluster,
    app: &str,
) -> Result<Option<BTreeMap<String, String>>, ClusterError> {
    let name = approval(app);
    let api = cluster.api::<ConfigMap>();
    let what = cluster.named("ConfigMap", &name);
    let map = cluster.read_opt(&what, || api.get(&name)).await?;
    Ok(map.and_then(|map| map.data))
}
