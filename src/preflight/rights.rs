//! What each verb must be allowed to do.
//!
//! Owns: the table of rights, and asking the API server about them. Must not: try the rights out.

use futures::{StreamExt, stream};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::{Api, ResourceExt, api::PostParams};

use super::{Subject, fine, found};
use crate::{
    cluster::{Cluster, ClusterError, Reason, objects::Survey},
    domain::{
        plan::{Cleanup, Plan},
        view::{Finding, Severity},
    },
    journal::config_map,
};

/// Questions asked at the same time.
const AT_ONCE: usize = 8;

/// A verb of this tool that talks to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// `status`.
    Status,
    /// `set`.
    Set,
    /// `monitor`.
    Monitor,
    /// `rollback`.
    Rollback,
    /// `promote`.
    Promote,
    /// `auto`.
    Auto,
    /// `check`.
    Check,
    /// `approve`.
    Approve,
    /// `history`.
    History,
    /// `init`.
    Init,
}

/// When a right is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Always.
    Always,
    /// Never strictly: the verb works without, and says less or reacts later.
    Better,
    /// When checks or a load ask pods over HTTP.
    Asking,
    /// When an autoscaler scales either Deployment.
    Autoscaler,
    /// When the canary Deployment is created.
    Create,
    /// When the plan deletes the canary at the end.
    Delete,
}

/// One right: a verb of the API on a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// Verb of the API, such as `patch`.
    pub verb: &'static str,
    /// API group; empty for core.
    pub group: &'static str,
    /// Plural of the resource.
    pub resource: &'static str,
    /// Subresource; empty for none.
    pub subresource: &'static str,
    /// When it is needed.
    pub need: Need,
    /// What for.
    pub why: &'static str,
}

const READERS: &[Verb] = &[
    Verb::Status,
    Verb::Set,
    Verb::Monitor,
    Verb::Rollback,
    Verb::Promote,
    Verb::Auto,
    Verb::Check,
    Verb::Init,
];
const JOURNAL_READERS: &[Verb] = &[
    Verb::Status,
    Verb::Set,
    Verb::Monitor,
    Verb::Rollback,
    Verb::Promote,
    Verb::Auto,
    Verb::Check,
    Verb::Approve,
    Verb::History,
];
const WRITERS: &[Verb] = &[Verb::Set, Verb::Rollback, Verb::Promote, Verb::Auto];
const JOURNAL_WRITERS: &[Verb] = &[
    Verb::Set,
    Verb::Rollback,
    Verb::Promote,
    Verb::Auto,
    Verb::Approve,
];
const PROMOTERS: &[Verb] = &[Verb::Promote, Verb::Auto];
const LOOKERS: &[Verb] = &[
    Verb::Status,
    Verb::Monitor,
    Verb::Promote,
    Verb::Auto,
    Verb::Check,
];

/// Verb of the API, group, resource, subresource, when, what for, and the verbs that need it.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Need,
    &'static str,
    &'static [Verb],
);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("get", "apps", "deployments", "", Need::Always, "read both sides", READERS),
    ("list", "apps", "deployments", "", Need::Always, "find the Deployments of an app", READERS),
    ("list", "apps", "replicasets", "", Need::Always, "tell new pods from old ones", READERS),
    ("list", "", "pods", "", Need::Always, "read the state of the pods", READERS),
    ("list", "", "services", "", Need::Always, "find the Service of an app", READERS),
    ("get", "", "services", "", Need::Always, "find the ports of the app", READERS),
    ("list", "autoscaling", "horizontalpodautoscalers", "", Need::Better, "see autoscalers", READERS),
    ("get", "", "configmaps", "", Need::Always, "read the journal", JOURNAL_READERS),
    ("list", "", "configmaps", "", Need::Better, "list the releases of a namespace", &[Verb::Status]),
    ("watch", "apps", "deployments", "", Need::Better, "react at once instead of at the next look", WRITERS),
    ("watch", "", "pods", "", Need::Better, "react at once instead of at the next look", WRITERS),
    ("get", "", "pods", "portforward", Need::Asking, "ask pods over HTTP (port-forward needs get and create)", LOOKERS),
    ("create", "", "pods", "portforward", Need::Asking, "ask pods over HTTP (port-forward needs get and create)", LOOKERS),
    ("patch", "apps", "deployments", "scale", Need::Always, "change numbers of pods", WRITERS),
    ("create", "", "configmaps", "", Need::Always, "begin a journal", WRITERS),
    ("update", "", "configmaps", "", Need::Always, "keep the journal", JOURNAL_WRITERS),
    ("create", "events.k8s.io", "events", "", Need::Better, "leave a trail for `kubectl get events`", WRITERS),
    ("patch", "autoscaling", "horizontalpodautoscalers", "", Need::Autoscaler, "pin autoscalers and restore them", WRITERS),
    ("patch", "apps", "deployments", "", Need::Always, "set images and promote the template", PROMOTERS),
    ("get", "apps", "replicasets", "", Need::Always, "restore stable's old template when a promotion fails", &[Verb::Promote, Verb::Auto, Verb::Rollback]),
    ("patch", "apps", "deployments", "", Need::Better, "restore stable's old template when a promotion fails", &[Verb::Rollback]),
    ("create", "apps", "deployments", "", Need::Create, "create the canary", &[Verb::Auto]),
    ("delete", "apps", "deployments", "", Need::Delete, "delete the canary at the end", WRITERS),
    ("list", "", "resourcequotas", "", Need::Better, "see whether there is room for more pods", &[Verb::Check]),
    ("list", "policy", "poddisruptionbudgets", "", Need::Better, "see disruption budgets", &[Verb::Check]),
    ("list", "networking.k8s.io", "networkpolicies", "", Need::Better, "see policies that hold for one side only", &[Verb::Check]),
    ("list", "discovery.k8s.io", "endpointslices", "", Need::Better, "see which pods the Service reaches", &[Verb::Check]),
];

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 10] = [
        Self::Status,
        Self::Set,
        Self::Monitor,
        Self::Rollback,
        Self::Promote,
        Self::Auto,
        Self::Check,
        Self::Approve,
        Self::History,
        Self::Init,
    ];

    /// Returns the verb as it is typed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Set => "set",
            Self::Monitor => "monitor",
            Self::Rollback => "rollback",
            Self::Promote => "promote",
            Self::Auto => "auto",
            Self::Check => "check",
            Self::Approve => "approve",
            Self::History => "history",
            Self::Init => "init",
        }
    }

    /// Returns the rights the verb needs with the router by numbers of pods.
    pub fn rights(self) -> Vec<Right> {
        let rows = ROWS.iter().filter(|row| row.6.contains(&self));
        rows.map(right).collect()
    }
}

impl Right {
    /// Returns the resource as RBAC names it: `deployments.apps/scale`.
    pub fn target(&self) -> String {
        let group = if self.group.is_empty() {
            String::new()
        } else {
            format!(".{}", self.group)
        };
        let subresource = if self.subresource.is_empty() {
            String::new()
        } else {
            format!("/{}", self.subresource)
        };
        format!("{}{group}{subresource}", self.resource)
    }
}

fn right(row: &Row) -> Right {
    Right {
        verb: row.0,
        group: row.1,
        resource: row.2,
        subresource: row.3,
        need: row.4,
        why: row.5,
    }
}

/// What of the rights a release of the subject needs.
struct Circumstances {
    asking: bool,
    autoscalers: Vec<String>,
    create: bool,
    delete: bool,
}

impl Circumstances {
    fn of(survey: &Survey, subject: &Subject<'_>) -> Self {
        let names = subject.names;
        let autoscalers = [&names.stable, &names.canary]
            .into_iter()
            .filter_map(|name| survey.autoscaler(name))
            .map(ResourceExt::name_any);
        Self {
            asking: asks_pods(subject.plan),
            autoscalers: autoscalers.collect(),
            create: subject.create && survey.deployment(&names.canary).is_none(),
            delete: subject.plan.promote.canary == Cleanup::Delete,
        }
    }

    fn need(&self, need: Need) -> bool {
        match need {
            Need::Always | Need::Better => true,
            Need::Asking => self.asking,
            Need::Autoscaler => !self.autoscalers.is_empty(),
            Need::Create => self.create,
            Need::Delete => self.delete,
        }
    }
}

fn asks_pods(plan: &Plan) -> bool {
    plan.load.is_some() || plan.checks.iter().any(|c| c.probe == "http")
}

pub(super) async fn findings(
    cluster: &Cluster,
    survey: &Survey,
    subject: &Subject<'_>,
) -> Result<Vec<Finding>, ClusterError> {
    let circumstances = Circumstances::of(survey, subject);
    let rows: Vec<&Row> = ROWS
        .iter()
        .filter(|row| circumstances.need(row.4))
        .collect();
    let asked = rows.iter().map(|row| {
        let right = right(row);
        let names = objects(&right, subject, &circumstances);
        async move { may(cluster, &right, &names).await }
    });
    let answers: Vec<Result<bool, ClusterError>> =
        stream::iter(asked).buffered(AT_ONCE).collect().await;
    let namespace = format!("namespace {}", cluster.namespace());
    let mut missing = Vec::new();
    for (row, answer) in rows.into_iter().zip(answers) {
        match answer {
            Ok(true) => {}
            Ok(false) => missing.push(row),
            Err(e) if matches!(e.reason, Reason::Forbidden | Reason::NotServed) => {
                return Ok(vec![found(
                    Severity::Warning,
                    namespace,
                    "the rights could not be asked for",
                    format!("a missing right would show in the middle of a release: {e}"),
                    format!(
                        "`kubectl -n {} auth can-i --list` may tell",
                        cluster.namespace()
                    ),
                )]);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(report(cluster.namespace(), &missing))
}

/// Returns the objects a right is asked for; an empty name stands for all of the kind. A role may be
/// limited to the names of a release.
fn objects(right: &Right, subject: &Subject<'_>, circumstances: &Circumstances) -> Vec<String> {
    let names = subject.names;
    if !matches!(right.verb, "get" | "patch" | "update" | "delete") {
        return vec![String::new()];
    }
    match right.resource {
        "deployments" if right.verb == "delete" => vec![names.canary.clone()],
        "deployments" => vec![names.stable.clone(), names.canary.clone()],
        "services" => vec![names.service.clone().unwrap_or_default()],
        "configmaps" => vec![config_map(subject.app)],
        "horizontalpodautoscalers" => circumstances.autoscalers.clone(),
        _ => vec![String::new()],
    }
}

/// Asks whether a right is there, for every one of the objects.
async fn may(cluster: &Cluster, right: &Right, names: &[String]) -> Result<bool, ClusterError> {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let api: Api<SelfSubjectAccessReview> = Api::all(cluster.client().clone());
    let params = PostParams::default();
    let what = format!("the right to {} {}", right.verb, right.target());
    for name in names {
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    verb: some(right.verb),
                    group: some(right.group),
                    resource: some(right.resource),
                    subresource: some(right.subresource),
                    namespace: some(cluster.namespace()),
                    name: some(name),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let answer = cluster.read(&what, || api.create(&params, &review)).await?;
        if !answer.status.is_some_and(|s| s.allowed) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn report(namespace: &str, missing: &[&Row]) -> Vec<Finding> {
    let place = format!("namespace {namespace}");
    let mut all = Vec::new();
    for row in missing {
        let right = right(row);
        let verbs: Vec<&str> = row.6.iter().map(|v| v.word()).collect();
        let severity = match right.need {
            Need::Better => Severity::Warning,
            Need::Always | Need::Asking | Need::Autoscaler | Need::Create | Need::Delete
                if row.6.contains(&Verb::Auto) =>
            {
                Severity::Error
            }
            Need::Always | Need::Asking | Need::Autoscaler | Need::Create | Need::Delete => {
                Severity::Warning
            }
        };
        let effect = match right.need {
            Need::Better => "does less well without it",
            Need::Always | Need::Asking | Need::Autoscaler | Need::Create | Need::Delete => {
                "fails without it"
            }
        };
        all.push(found(
            severity,
            &place,
            format!("you may not {} {}", right.verb, right.target()),
            format!("it serves to {}; {} {effect}", right.why, verbs.join(", ")),
            format!(
                "kubectl -n {namespace} create role canaryctl-{}-{} --verb={} --resource={}, and bind it to the user",
                right.verb,
                right.resource,
                right.verb,
                right.target()
            ),
        ));
    }
    let lacks = |verb: &Verb| missing.iter().any(|row| row.6.contains(verb));
    let able: Vec<&str> = Verb::ALL
        .iter()
        .filter(|v| !lacks(v))
        .map(|v| v.word())
        .collect();
    if !able.is_empty() {
        all.push(fine(
            &place,
            format!("you have every right for {}", able.join(", ")),
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_forward_needs_get_and_create() {
        let rights = Verb::Auto.rights();
        let forward: Vec<&str> = rights
            .iter()
            .filter(|r| r.subresource == "portforward")
            .map(|r| r.verb)
            .collect();
        assert_eq!(forward, ["get", "create"]);
    }

    #[test]
    fn verbs_that_only_look_need_no_write() {
        for verb in [
            Verb::Status,
            Verb::Monitor,
            Verb::Check,
            Verb::History,
            Verb::Init,
        ] {
            let writes = verb.rights().into_iter().filter(|r| {
                !matches!(r.verb, "get" | "list" | "watch") && r.subresource != "portforward"
            });
            assert_eq!(writes.count(), 0, "{}", verb.word());
        }
    }

    #[test]
    fn every_verb_needs_something() {
        for verb in Verb::ALL {
            assert!(!verb.rights().is_empty(), "{}", verb.word());
        }
    }

    #[test]
    fn targets_are_named_as_rbac_does() {
        let rights = Verb::Set.rights();
        let scale = rights.iter().find(|r| r.subresource == "scale").unwrap();
        assert_eq!(scale.target(), "deployments.apps/scale");
    }

    #[test]
    fn a_right_that_auto_needs_is_an_error_and_the_verbs_without_it_are_fine() {
        let row = |verb: &str, resource: &str| {
            let mut rows = ROWS.iter();
            rows.find(|r| r.0 == verb && r.2 == resource && r.3.is_empty())
                .unwrap()
        };
        let all = report(
            "shop",
            &[row("patch", "deployments"), row("list", "resourcequotas")],
        );
        assert_eq!(all[0].severity, Severity::Error);
        assert_eq!(all[0].what, "you may not patch deployments.apps");
        assert_eq!(all[1].severity, Severity::Warning);
        assert_eq!(all[2].severity, Severity::Ok);
        assert!(all[2].what.contains("set") && !all[2].what.contains("auto"));
    }
}
