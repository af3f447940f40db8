//! What `status` and `history` answer.
//!
//! Owns: the shape of the answers. Must not: render them. The JSON form is a contract: fields are
//! added, never renamed or removed.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{
    change::Change,
    group::{Group, Passed},
    release::{Entry, Holder, Outcome, Phase},
    served::Served,
    split::Split,
    verdict::CheckResult,
    weight::Percent,
    workload::Workload,
};

/// Version of the JSON documents.
pub const DOCUMENT: u32 = 1;

/// One release as `status APP` shows it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// Version of this document.
    pub version: u32,
    /// The app.
    pub app: String,
    /// Its namespace.
    pub namespace: String,
    /// Name of the router.
    pub router: String,
    /// How the names and the router were found.
    pub found_by: Vec<String>,
    /// The run, if there is or was one.
    pub run: Option<RunView>,
    /// Why the record of the run is not believed; `None` where a driver of the run signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
    /// The division of traffic.
    pub split: Option<Split>,
    /// What users get of it, as far as it is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served: Option<Served>,
    /// The stable workload.
    pub stable: Option<Workload>,
    /// The canary workload.
    pub canary: Option<Workload>,
    /// Every check as of now.
    pub checks: Vec<CheckResult>,
    /// What it waits for.
    pub waits_for: Option<String>,
    /// The next command worth running.
    pub next: String,
    /// The command that undoes the release.
    pub undo: Option<String>,
}

/// A group as `status` and `monitor` with its file show it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupView {
    /// Version of this document.
    pub version: u32,
    /// Name of the group.
    pub group: String,
    /// The namespace of its members.
    pub namespace: String,
    /// Name of the run, where the members are, or were, in one together.
    pub run: Option<String>,
    /// The members, in the order of the file.
    pub members: Vec<StatusView>,
    /// The next command worth running.
    pub next: String,
    /// The command that undoes the release.
    pub undo: Option<String>,
}

/// The run behind a status.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    /// Name of the run.
    pub id: String,
    /// The group that it is released with, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// The gate at which it waits for the other members of the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passed: Option<Passed>,
    /// Its phase.
    pub phase: Phase,
    /// The step, counted from 1.
    pub step: usize,
    /// Weights of all steps.
    pub steps: Vec<Percent>,
    /// The weight that is meant.
    pub target: Percent,
    /// The weight that the brake left, until it is returned to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub braked: Option<Percent>,
    /// When the phase began.
    pub since: Timestamp,
    /// When the run began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Why it is being ended or held.
    pub reason: Option<String>,
    /// Who drives it.
    pub holder: Option<Holder>,
}

/// One line of `status` without an app.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseLine {
    /// Namespace.
    pub namespace: String,
    /// The app.
    pub app: String,
    /// Its phase.
    pub phase: Phase,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The step, counted from 1.
    pub step: usize,
    /// All steps.
    pub steps: usize,
    /// The weight that is meant.
    pub target: Percent,
    /// When the phase began.
    pub since: Timestamp,
    /// Who drives it.
    pub holder: Option<String>,
    /// Why its record is not believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
}

/// The audit trail of an app.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryView {
    /// Version of this document.
    pub version: u32,
    /// The app.
    pub app: String,
    /// Its namespace.
    pub namespace: String,
    /// Runs, the latest first.
    pub runs: Vec<HistoryRun>,
}

/// One run in the audit trail.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryRun {
    /// Name of the run.
    pub id: String,
    /// From which images to which.
    pub change: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// What happened, oldest first.
    pub trail: Vec<Entry>,
    /// Whether nothing proves that it was so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unproven: bool,
}

/// What `check` found about one app.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckView {
    /// Version of this document.
    pub version: u32,
    /// The app.
    pub app: String,
    /// Its namespace.
    pub namespace: String,
    /// What was found, in the order it was looked at.
    pub findings: Vec<Finding>,
    /// The route that a release by weights would need, where there is none and `auto` could make it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteOffer>,
}

/// A route that `auto --create-route` would make.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteOffer {
    /// Name of the router that would move its weights.
    pub router: String,
    /// What it begins with, such as `Ingress web leads to Service web`.
    pub why: String,
    /// Objects that it would create.
    pub creates: Vec<Value>,
    /// Fields that it would change.
    pub changes: Vec<Change>,
}

/// One finding of `check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What was found, in a sentence.
    pub what: String,
    /// The object it was found at.
    pub place: String,
    /// Why it matters; empty where all is well.
    pub why: String,
    /// How to fix it; empty where nothing is to be done.
    pub fix: String,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It would break the release.
    Error,
    /// It may hurt the release.
    Warning,
    /// Worth knowing.
    Note,
    /// Looked at, and in order.
    Ok,
}
