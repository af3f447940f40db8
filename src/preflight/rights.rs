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
        check::CheckSpec,
        plan::{Cleanup, MetricsSpec, Plan},
        release::RouterSpec,
        right::{LOOKERS, Need, READERS, Right, Verb, WRITERS},
        route::{Make, Piece},
        view::{Finding, Severity},
    },
    health::{self, ProbeKind},
    journal::name::{approval, config_map},
    traffic,
};

/// Questions asked at the same time.
const AT_ONCE: usize = 8;

const JOURNAL_READERS: &[Verb] = &Verb::ALL;
const PROMOTERS: &[Verb] = &[Verb::Promote, Verb::Auto];
const BEGINNERS: &[Verb] = &[Verb::Set, Verb::Rollback, Verb::Promote, Verb::Auto];

/// What every release needs, whatever moves its traffic.
#[rustfmt::skip]
const RIGHTS: &[Right] = &[
    Right::new(("list", "apps", "deployments", ""), Need::Always, "find the Deployments of an app", READERS),
    Right::new(("get", "apps", "deployments", ""), Need::Always, "read both sides", WRITERS),
    Right::new(("list", "apps", "replicasets", ""), Need::Always, "tell new pods from old ones", READERS),
    Right::new(("list", "", "pods", ""), Need::Always, "read the state of the pods", READERS),
    Right::new(("list", "", "services", ""), Need::Always, "find the Service of an app and its ports", READERS),
    Right::new(("list", "autoscaling", "horizontalpodautoscalers", ""), Need::Better, "see autoscalers", READERS),
    Right::new(("list", "networking.k8s.io", "ingresses", ""), Need::Better, "find the router where none is named", READERS),
    Right::new(("get", "", "configmaps", ""), Need::Always, "read the journal", JOURNAL_READERS),
    Right::new(("list", "", "configmaps", ""), Need::Better, "list the releases of a namespace", &[Verb::Status]),
    Right::new(("watch", "apps", "deployments", ""), Need::Better, "react at once instead of at the next look", WRITERS),
    Right::new(("watch", "", "pods", ""), Need::Better, "react at once instead of at the next look", WRITERS),
    Right::new(("get", "", "pods", "portforward"), Need::Asking, "ask pods over HTTP (port-forward needs get and create)", LOOKERS),
    Right::new(("create", "", "pods", "portforward"), Need::Asking, "ask pods over HTTP (port-forward needs get and create)", LOOKERS),
    Right::new(("list", "metrics.k8s.io", "pods", ""), Need::Measuring, "read what pods use of CPU and memory", LOOKERS),
    Right::new(("patch", "apps", "deployments", "scale"), Need::Always, "change replica counts", WRITERS),
    Right::new(("create", "", "configmaps", ""), Need::Always, "begin a journal", BEGINNERS),
    Right::new(("update", "", "configmaps", ""), Need::Always, "keep the journal", WRITERS),
    Right::new(("patch", "", "configmaps", ""), Need::Always, "approve the step that waits", &[Verb::Approve]),
    Right::new(("create", "events.k8s.io", "events", ""), Need::Better, "leave a trail for `kubectl get events`", WRITERS),
    Right::new(("patch", "apps", "deployments", ""), Need::Always, "set images and promote the template", PROMOTERS),
    Right::new(("get", "apps", "replicasets", ""), Need::Restore, "restore stable's old template when a promotion fails", &[Verb::Promote, Verb::Auto, Verb::Rollback]),
    Right::new(("patch", "apps", "deployments", ""), Need::Restore, "restore stable's old template when a promotion fails", &[Verb::Rollback]),
    Right::new(("patch", "apps", "deployments", ""), Need::Better, "sign the journal, so that others may take the run over", &[Verb::Set, Verb::Rollback]),
    Right::new(("get", "apps", "deployments", ""), Need::Better, "tell whether the journal is authentic", &[Verb::History]),
    Right::new(("create", "apps", "deployments", ""), Need::Create, "create the canary", &[Verb::Auto]),
    Right::new(("delete", "apps", "deployments", ""), Need::Delete, "delete the canary at the end", WRITERS),
    Right::new(("list", "", "resourcequotas", ""), Need::Better, "see whether there is room for more pods", &[Verb::Check]),
    Right::new(("list", "policy", "poddisruptionbudgets", ""), Need::Better, "see disruption budgets", &[Verb::Check]),
    Right::new(("list", "networking.k8s.io", "networkpolicies", ""), Need::Better, "see policies that hold for one side only", &[Verb::Check]),
    Right::new(("list", "discovery.k8s.io", "endpointslices", ""), Need::Better, "see which pods the Service reaches", &[Verb::Check]),
];

/// Returns every right that any verb needs with a router.
pub fn rights(router: &RouterSpec) -> Vec<Right> {
    let provider = traffic::provider(&router.name);
    let own = provider.map(|p| p.rights(&router.options));
    let own: Vec<Right> = own.unwrap_or_default();
    let is_own = |right: &&Right| {
        own.iter()
            .any(|o| o.verb == right.verb && o.target() == right.target())
    };
    let shared = RIGHTS.iter().filter(|right| !is_own(right));
    shared.chain(&own).cloned().collect()
}

/// Returns the rights that a verb needs with a router.
pub fn of_verb(verb: Verb, router: &RouterSpec) -> Vec<Right> {
    let all = rights(router).into_iter();
    all.filter(|right| right.verbs.contains(&verb)).collect()
}

/// What of the rights a release of the subject needs.
struct Circumstances {
    /// What the checks and the load need.
    looking: Vec<Need>,
    autoscalers: Vec<String>,
    create: bool,
    delete: bool,
    route: bool,
}

impl Circumstances {
    fn of(survey: &Survey, subject: &Subject<'_>) -> Self {
        let (names, plan) = (subject.names, subject.plan);
        let autoscalers = [&names.stable, &names.canary]
            .into_iter()
            .filter_map(|name| survey.autoscaler(name))
            .map(ResourceExt::name_any);
        Self {
            looking: looking(subject.plan),
            autoscalers: autoscalers.collect(),
            create: subject.create && survey.deployment(&names.canary).is_none(),
            // A canary that is made beside a route of its own goes with it.
            delete: plan.promote.canary == Cleanup::Delete
                || subject.route.is_some() && survey.deployment(&names.canary).is_none(),
            route: subject.route.is_some(),
        }
    }

    fn need(&self, need: Need) -> bool {
        match need {
            Need::Always | Need::Better | Need::Restore => true,
            // Asked for when it is read: which kind it is, and which way leads there, shows then.
            Need::Routed | Need::Forwarded => false,
            Need::Asking | Need::Measuring => self.looking.contains(&need),
            Need::Autoscaler => !self.autoscalers.is_empty(),
            Need::Create => self.create,
            Need::Delete => self.delete,
            Need::Route => self.route,
        }
    }
}

/// Returns whether checks or a metrics provider ask pods over HTTP.
pub fn asks_pods(checks: &[CheckSpec], metrics: Option<&MetricsSpec>) -> bool {
    metrics.is_some_and(|m| m.name == "scrape") || checks.iter().any(|c| c.probe == "http")
}

/// Returns what the checks and the load of a plan need.
fn looking(plan: &Plan) -> Vec<Need> {
    let usage = health::saturation::Saturation.name();
    let asks = plan.load.is_some() || asks_pods(&plan.checks, plan.metrics.as_ref());
    let measures = plan.checks.iter().any(|c| c.probe == usage);
    let asks = asks.then_some(Need::Asking);
    let measures = measures.then_some(Need::Measuring);
    asks.into_iter().chain(measures).collect()
}

pub(super) async fn findings(
    cluster: &Cluster,
    survey: &Survey,
    subject: &Subject<'_>,
) -> Result<Vec<Finding>, ClusterError> {
    let circumstances = Circumstances::of(survey, subject);
    let plan = subject.plan;
    let mut rights = rights(subject.router);
    let own = Some(cluster.namespace());
    let sources = health::rights::rights(&plan.checks, plan.metrics.as_ref(), own);
    // Which way leads to a source shows when it is asked.
    rights.extend(sources.into_iter().filter(|r| r.need == Need::Always));
    rights.retain(|right| circumstances.need(right.need));
    rights.retain(|right| right.need != Need::Route || !pieces(right, subject).is_empty());
    let asked = rights.iter().map(|right| {
        let names = objects(right, subject, &circumstances);
        async move { may(cluster, right, &names).await }
    });
    let answers: Vec<Result<bool, ClusterError>> =
        stream::iter(asked).buffered(AT_ONCE).collect().await;
    let namespace = format!("namespace {}", cluster.namespace());
    let mut missing = Vec::new();
    for (right, answer) in rights.iter().zip(answers) {
        match answer {
            Ok(true) => {}
            Ok(false) => missing.push(right),
            Err(e) if matches!(e.reason, Reason::Forbidden | Reason::NotServed) => {
                return Ok(vec![found(
                    Severity::Warning,
                    namespace,
                    "permissions could not be checked",
                    format!("a missing permission would show in the middle of a release: {e}"),
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
    if !right.names.is_empty() {
        return right.names.clone();
    }
    if !matches!(right.verb, "get" | "patch" | "update" | "delete") {
        return vec![String::new()];
    }
    if right.need == Need::Route {
        return pieces(right, subject);
    }
    match right.resource.as_ref() {
        "deployments" if right.verb == "delete" => vec![names.canary.clone()],
        "deployments" => vec![names.stable.clone(), names.canary.clone()],
        "services" => vec![names.service.clone().unwrap_or_default()],
        "configmaps" if right.verb == "patch" => vec![approval(subject.app)],
        "configmaps" => vec![config_map(subject.app), approval(subject.app)],
        "horizontalpodautoscalers" => circumstances.autoscalers.clone(),
        _ => vec![String::new()],
    }
}

/// Returns the names of the objects of the release's own route that a right is about.
fn pieces(right: &Right, subject: &Subject<'_>) -> Vec<String> {
    let pieces = subject.route.iter().flat_map(|route| &route.route.pieces);
    let needs = |piece: &&Piece| {
        let verbs: &[&str] = match piece.make {
            Make::Create(_) => &["get", "create", "delete"],
            Make::Change(_) => &["get", "patch"],
        };
        verbs.contains(&right.verb)
            && piece.at.plural == right.resource
            && piece.at.group == right.group
    };
    let names = pieces.filter(needs).map(|piece| piece.at.name.clone());
    names.collect()
}

/// Asks whether a right is there, for every one of the objects.
async fn may(cluster: &Cluster, right: &Right, names: &[String]) -> Result<bool, ClusterError> {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let api: Api<SelfSubjectAccessReview> = Api::all(cluster.client().clone());
    let params = PostParams::default();
    let namespace = right.namespace.as_deref().unwrap_or(cluster.namespace());
    let what = format!("permission to {} {}", right.verb, right.target());
    for name in names {
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    verb: some(right.verb),
                    group: some(&right.group),
                    resource: some(&right.resource),
                    subresource: some(right.subresource),
                    namespace: some(namespace),
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

/// Returns what a right is about: the resource, and the objects where it is about some alone.
fn whole(right: &Right) -> String {
    match right.names.as_slice() {
        [] => right.target(),
        names => format!("{} {}", right.target(), names.join(", ")),
    }
}

fn report(own: &str, missing: &[&Right]) -> Vec<Finding> {
    let mut all = Vec::new();
    for right in missing {
        let namespace = right.namespace.as_deref().unwrap_or(own);
        let place = format!("namespace {namespace}");
        let names = right.names.iter();
        let names: String = names.flat_map(|name| [" --resource-name=", name]).collect();
        let verbs: Vec<&str> = right.verbs.iter().map(|v| v.word()).collect();
        let vital = right.need != Need::Better;
        let severity = if vital && right.verbs.contains(&Verb::Auto) {
            Severity::Error
        } else {
            Severity::Warning
        };
        let effect = match (vital, verbs.len()) {
            (true, 1) => "fails without it",
            (true, _) => "fail without it",
            (false, 1) => "does less well without it",
            (false, _) => "do less well without it",
        };
        all.push(found(
            severity,
            &place,
            format!("you may not {} {}", right.verb, whole(right)),
            format!("it serves to {}; {} {effect}", right.why, verbs.join(", ")),
            format!(
                "kubectl -n {namespace} create role canaryctl-{}-{} --verb={} --resource={}{names}, and bind it to the user",
                right.verb,
                right.resource,
                right.verb,
                right.target()
            ),
        ));
    }
    let lacks = |verb: &Verb| missing.iter().any(|right| right.verbs.contains(verb));
    let able: Vec<&str> = Verb::ALL
        .iter()
        .filter(|v| !lacks(v))
        .map(|v| v.word())
        .collect();
    if !able.is_empty() {
        all.push(fine(
            format!("namespace {own}"),
            format!("you have all permissions for {}", able.join(", ")),
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router() -> RouterSpec {
        RouterSpec {
            name: traffic::PROVIDERS[0].name().to_owned(),
            options: serde_json::Value::Null,
        }
    }

    #[test]
    fn port_forward_needs_get_and_create() {
        let rights = of_verb(Verb::Auto, &router());
        let forward: Vec<&str> = rights
            .iter()
            .filter(|r| r.subresource == "portforward")
            .map(|r| r.verb)
            .collect();
        assert_eq!(forward, ["get", "create"]);
    }

    #[test]
    fn verbs_that_only_look_need_no_write() {
        for verb in [Verb::Status, Verb::Monitor, Verb::Check, Verb::History] {
            let writes = of_verb(verb, &router()).into_iter().filter(|r| {
                !matches!(r.verb, "get" | "list" | "watch") && r.subresource != "portforward"
            });
            assert_eq!(writes.count(), 0, "{}", verb.word());
        }
    }

    #[test]
    fn every_verb_needs_something() {
        for verb in Verb::ALL {
            assert!(!of_verb(verb, &router()).is_empty(), "{}", verb.word());
        }
    }

    #[test]
    fn targets_are_named_as_rbac_does() {
        let rights = of_verb(Verb::Set, &router());
        let scale = rights.iter().find(|r| r.subresource == "scale").unwrap();
        assert_eq!(scale.target(), "deployments.apps/scale");
        assert_eq!(scale.in_role(), "deployments/scale");
    }

    #[test]
    fn a_right_that_auto_needs_is_an_error_and_the_verbs_without_it_are_fine() {
        let right = |verb: &str, resource: &str| {
            let mut rights = RIGHTS.iter();
            let found = rights
                .find(|r| r.verb == verb && r.resource == resource && r.subresource.is_empty());
            found.unwrap()
        };
        let missing = [
            right("patch", "deployments"),
            right("list", "resourcequotas"),
        ];
        let all = report("shop", &missing);
        assert_eq!(all[0].severity, Severity::Error);
        assert_eq!(all[0].what, "you may not patch deployments.apps");
        assert_eq!(all[1].severity, Severity::Warning);
        assert_eq!(all[2].severity, Severity::Ok);
        assert!(all[2].what.contains("set") && !all[2].what.contains("auto"));
    }
}
