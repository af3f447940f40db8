//! Who else believes to own the objects that a release changes.
//!
//! Owns: recognising `GitOps` tools, packagers and other release tools. Must not: suspend them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use serde::Deserialize;
use serde_json::Value;

use super::{Subject, fine, found};
use crate::{
    cluster::{Cluster, objects::Survey},
    domain::{
        plan::Strategy,
        route::{Make, Spot},
        view::{Finding, Severity},
    },
    traffic::{self, Target, Written},
};

/// Returns the objects that a route of the release's own changes, with the fields.
fn changed(survey: &Survey, subject: &Subject<'_>) -> Vec<Written> {
    let pieces = subject.route.iter().flat_map(|route| &route.route.pieces);
    let changed = pieces.filter_map(|piece| match &piece.make {
        Make::Create(_) => None,
        Make::Change(fields) => Some((&piece.at, fields)),
    });
    let object = |at: &Spot| {
        if at.group.is_empty() {
            return serde_json::to_value(survey.service(&at.name)?).ok();
        }
        let families = survey
            .routing
            .iter()
            .filter(|family| family.kind.plural == at.plural);
        let mut objects = families.flat_map(|family| family.objects.iter().flatten());
        let named = |object: &&Value| {
            object["kind"] == at.kind.as_str() && object["metadata"]["name"] == at.name.as_str()
        };
        objects.find(named).cloned()
    };
    let written = changed.filter_map(|(at, fields)| {
        Some(Written {
            object: object(at)?,
            pointers: fields.iter().map(|field| field.pointer.clone()).collect(),
        })
    });
    written.collect()
}

/// What the owners are looked for in.
struct Scope<'a> {
    cluster: &'a Cluster,
    survey: &'a Survey,
    subject: &'a Subject<'a>,
    /// The router's own objects, with the fields of them that a release writes.
    written: Vec<Written>,
}

impl<'a> Scope<'a> {
    fn of(cluster: &'a Cluster, survey: &'a Survey, subject: &'a Subject<'a>) -> Self {
        let target = Target {
            stable: subject.names.stable.clone(),
            canary: subject.names.canary.clone(),
            service: subject.names.service.clone(),
            total: 1,
        };
        let router = traffic::provider(&subject.router.name).and_then(|p| {
            p.bind(cluster, &target, &subject.router.options, survey)
                .ok()
        });
        Self {
            cluster,
            survey,
            subject,
            written: router
                .map(|r| r.written(&r.pick(survey)))
                .unwrap_or_default()
                .into_iter()
                .chain(changed(survey, subject))
                .collect(),
        }
    }

    fn place(&self, kind: &str, name: &str) -> String {
        self.cluster.named(kind, name)
    }

    fn kubectl(&self) -> String {
        format!("kubectl -n {}", self.cluster.namespace())
    }

    fn by_pods(&self) -> bool {
        self.subject.router.name == super::BY_PODS
    }
}

/// Somebody who may undo a change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    /// Argo CD, with the Application.
    ArgoCd(Option<String>),
    /// Flux's kustomize-controller, with the Kustomization and its namespace.
    Kustomization(Option<(String, String)>),
    /// Flux's helm-controller, with the `HelmRelease` and its namespace.
    HelmRelease(Option<(String, String)>),
    /// Helm, with the release.
    Helm(String),
    /// Flagger, with the Canary.
    Flagger(String),
    /// Argo Rollouts, with the Rollout.
    Rollouts(String),
    /// A controller, by kind and name.
    Controller(String, String),
}

/// Returns who else believes to own what a release of the subject changes.
pub fn findings(cluster: &Cluster, survey: &Survey, subject: &Subject<'_>) -> Vec<Finding> {
    let ground = &Scope::of(cluster, survey, subject);
    let mut owned: BTreeMap<Owner, Vec<(String, String)>> = BTreeMap::new();
    for (kind, meta) in objects(ground) {
        let name = meta.name.clone().unwrap_or_default();
        for owner in owners(&meta) {
            owned
                .entry(owner)
                .or_default()
                .push((kind.clone(), name.clone()));
        }
    }
    if owned.is_empty() {
        let place = ground.place("Deployment", &subject.names.stable);
        let text = if ground.written.is_empty() {
            "Deployments are not managed by GitOps, Helm or an operator"
        } else {
            "Deployments and routes are not managed by GitOps, Helm or an operator"
        };
        return vec![fine(place, text)];
    }
    let each = owned
        .into_iter()
        .map(|(owner, objects)| finding(ground, &owner, &objects));
    each.collect()
}

/// Returns what a release may change, and the Services, which other release tools mark.
fn objects(ground: &Scope<'_>) -> Vec<(String, ObjectMeta)> {
    let names = ground.subject.names;
    let mut all: Vec<(&str, &ObjectMeta)> = Vec::new();
    for name in [&names.stable, &names.canary] {
        let side = ground.survey.deployment(name);
        all.extend(side.map(|d| ("Deployment", &d.typed.metadata)));
    }
    // Flagger leaves its mark on the Deployment it makes, not on the one it was pointed at.
    let primary = ground
        .survey
        .deployment(&format!("{}-primary", names.stable));
    all.extend(primary.map(|d| ("Deployment", &d.typed.metadata)));
    let service = names
        .service
        .as_deref()
        .and_then(|s| ground.survey.service(s));
    all.extend(service.map(|s| ("Service", &s.metadata)));
    for name in [&names.stable, &names.canary] {
        let hpa = ground.survey.autoscaler(name);
        all.extend(hpa.map(|h| ("HorizontalPodAutoscaler", &h.metadata)));
    }
    let own = ground.written.iter().filter_map(|written| {
        let meta = ObjectMeta::deserialize(&written.object["metadata"]).ok()?;
        let kind = written.object["kind"].as_str().unwrap_or_default();
        Some((kind.to_owned(), meta))
    });
    let all = all.into_iter();
    let all = all.map(|(kind, meta)| (kind.to_owned(), meta.clone()));
    all.chain(own).collect()
}

fn owners(meta: &ObjectMeta) -> Vec<Owner> {
    let label = |key: &str| meta.labels.as_ref().and_then(|l| l.get(key)).cloned();
    let note = |key: &str| meta.annotations.as_ref().and_then(|a| a.get(key)).cloned();
    let entries = meta.managed_fields.iter().flatten();
    let managers: Vec<&str> = entries.filter_map(|m| m.manager.as_deref()).collect();
    let writes = |names: &[&str]| managers.iter().any(|m| names.contains(m));
    let mut all = Vec::new();
    let tracking = note("argocd.argoproj.io/tracking-id");
    let application = tracking
        .as_deref()
        .and_then(|id| id.split(':').next())
        .map(str::to_owned)
        .or_else(|| label("argocd.argoproj.io/instance"));
    if application.is_some() || writes(&["argocd-controller", "argocd-application-controller"]) {
        let application = application.or_else(|| label("app.kubernetes.io/instance"));
        all.push(Owner::ArgoCd(application));
    }
    let flux = |kind: &str| {
        let name = label(&format!("{kind}.toolkit.fluxcd.io/name"))?;
        let namespace = label(&format!("{kind}.toolkit.fluxcd.io/namespace"));
        Some((name, namespace.unwrap_or_default()))
    };
    let kustomization = flux("kustomize");
    if kustomization.is_some() || writes(&["kustomize-controller"]) {
        all.push(Owner::Kustomization(kustomization));
    }
    let helm_release = flux("helm");
    let by_flux = helm_release.is_some() || writes(&["helm-controller"]);
    if by_flux {
        all.push(Owner::HelmRelease(helm_release));
    }
    let packaged = label("app.kubernetes.io/managed-by").as_deref() == Some("Helm");
    let release = note("meta.helm.sh/release-name");
    if (packaged || release.is_some()) && !by_flux {
        all.push(Owner::Helm(release.unwrap_or_default()));
    }
    if let Some(rollout) = note("argo-rollouts.argoproj.io/managed-by-rollouts") {
        all.push(Owner::Rollouts(rollout));
    }
    for owner in meta.owner_references.iter().flatten() {
        let name = owner.name.clone();
        if owner.api_version.starts_with("flagger.app/") {
            all.push(Owner::Flagger(name));
        } else if owner.kind == "Rollout" {
            all.push(Owner::Rollouts(name));
        } else if owner.controller == Some(true) {
            all.push(Owner::Controller(owner.kind.clone(), name));
        }
    }
    all
}

fn finding(ground: &Scope<'_>, owner: &Owner, objects: &[(String, String)]) -> Finding {
    let names: Vec<String> = objects
        .iter()
        .map(|(kind, name)| format!("{kind} {name}"))
        .collect();
    let names = names.join(", ");
    let (kind, name) = objects.first().cloned().unwrap_or_default();
    let place = ground.place(&kind, &name);
    let is = if objects.len() == 1 { "is" } else { "are" };
    let undone = undone(ground);
    let (severity, what, why, fix) = match owner {
        Owner::ArgoCd(application) => (
            Severity::Warning,
            format!("{names} {is} synced by Argo CD{}", called(application.as_deref())),
            format!("a sync or self-heal during the release puts back what Git says: {undone}"),
            ignore_in_argo(ground),
        ),
        Owner::Kustomization(source) => (
            Severity::Warning,
            format!("{names} {is} applied by Flux{}", called(source.as_ref().map(|s| s.0.as_str()))),
            format!("the next reconciliation puts back what Git says: {undone}"),
            suspend("kustomization", source.as_ref()),
        ),
        Owner::HelmRelease(source) => (
            Severity::Warning,
            format!(
                "{names} {is} installed by Flux's HelmRelease{}",
                called(source.as_ref().map(|s| s.0.as_str()))
            ),
            format!("an upgrade or drift correction during the release puts back the chart's values: {undone}"),
            suspend("helmrelease", source.as_ref()),
        ),
        Owner::Helm(release) => (
            Severity::Warning,
            format!("{names} {is} installed by Helm{}", called(Some(release))),
            format!("the next `helm upgrade` puts back the chart's values: {undone}"),
            "do not upgrade during the release, and put the promoted image into the values afterwards".to_owned(),
        ),
        Owner::Flagger(canary) => (
            Severity::Error,
            format!("{names} {is} released by Flagger{}", called(Some(canary))),
            "two release tools would move the same traffic and pods against each other".to_owned(),
            format!("release with Flagger, or delete its Canary: {} delete canary {canary}", ground.kubectl()),
        ),
        Owner::Rollouts(rollout) => (
            Severity::Error,
            format!("{names} {is} released by Argo Rollouts{}", called(Some(rollout))),
            "two release tools would move the same traffic and pods against each other".to_owned(),
            "release with Argo Rollouts, or delete its Rollout".to_owned(),
        ),
        Owner::Controller(kind, name) => (
            Severity::Warning,
            format!("{names} {is} controlled by {kind} {name}"),
            format!("its operator may revert: {undone}"),
            format!("tell the operator of {kind} {name} to pause, or change the version there"),
        ),
    };
    found(severity, place, what, why, fix)
}

fn called(name: Option<&str>) -> String {
    match name {
        Some(name) if !name.is_empty() => format!(" ({name})"),
        Some(_) | None => String::new(),
    }
}

/// Returns what of a release somebody would undo.
fn undone(ground: &Scope<'_>) -> &'static str {
    let template = !matches!(
        ground.subject.plan.promote.strategy,
        Strategy::None | Strategy::Swap
    );
    match (ground.by_pods(), template) {
        (true, true) => "the replica counts, and the template of stable after the promotion",
        (true, false) => "the replica counts",
        (false, true) => "the weights, and the template of stable after the promotion",
        (false, false) => "the weights",
    }
}

fn ignore_in_argo(ground: &Scope<'_>) -> String {
    let names = ground.subject.names;
    let one = |name: &str| {
        format!(
            "{{group: apps, kind: Deployment, name: {name}, jsonPointers: [/spec/replicas, /spec/template]}}"
        )
    };
    let mut all = vec![one(&names.stable), one(&names.canary)];
    all.extend(ground.written.iter().map(ignored_fields));
    format!(
        "in the Application: `ignoreDifferences: [{}]` with `syncOptions: [RespectIgnoreDifferences=true]`, or switch auto-sync off during the release",
        all.join(", ")
    )
}

/// Returns the entry that makes Argo CD ignore the weights of an object.
fn ignored_fields(written: &Written) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let version = text(&written.object["apiVersion"]);
    let group = version.split_once('/').map_or("", |(group, _)| group);
    format!(
        "{{group: {group}, kind: {}, name: {}, jsonPointers: [{}]}}",
        text(&written.object["kind"]),
        text(&written.object["metadata"]["name"]),
        written.pointers.join(", ")
    )
}

fn suspend(kind: &str, source: Option<&(String, String)>) -> String {
    let (name, namespace) = match source {
        Some((name, namespace)) if !namespace.is_empty() => (name.as_str(), namespace.as_str()),
        Some((name, _)) => (name.as_str(), "NAMESPACE"),
        None => ("NAME", "NAMESPACE"),
    };
    format!(
        "`flux suspend {kind} {name} -n {namespace}` during the release; leave spec.replicas and the weights out of Git, and put the promoted image into it before `flux resume`"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn owners_of(meta: Value) -> Vec<Owner> {
        owners(&serde_json::from_value(meta).unwrap())
    }

    #[test]
    fn owners_are_recognised_by_their_marks() {
        let flux = Some(("apps".to_owned(), "flux-system".to_owned()));
        let flux_labels = |kind: &str| {
            json!({"labels": {
                format!("{kind}.toolkit.fluxcd.io/name"): "apps",
                format!("{kind}.toolkit.fluxcd.io/namespace"): "flux-system",
            }})
        };
        for (meta, expected) in [
            (
                json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:a/b"}}),
                Owner::ArgoCd(Some("shop".into())),
            ),
            (
                json!({"managedFields": [{"manager": "argocd-controller"}], "labels": {"app.kubernetes.io/instance": "shop"}}),
                Owner::ArgoCd(Some("shop".into())),
            ),
            (flux_labels("kustomize"), Owner::Kustomization(flux.clone())),
            (flux_labels("helm"), Owner::HelmRelease(flux.clone())),
            (
                json!({"managedFields": [{"manager": "kustomize-controller"}]}),
                Owner::Kustomization(None),
            ),
            (
                json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": {"meta.helm.sh/release-name": "shop"}}),
                Owner::Helm("shop".into()),
            ),
            (
                json!({"ownerReferences": [{"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "c", "uid": "u", "controller": true}]}),
                Owner::Flagger("c".into()),
            ),
            (
                json!({"annotations": {"argo-rollouts.argoproj.io/managed-by-rollouts": "r"}}),
                Owner::Rollouts("r".into()),
            ),
            (
                json!({"ownerReferences": [{"apiVersion": "x/v1", "kind": "App", "name": "a", "uid": "u", "controller": true}]}),
                Owner::Controller("App".into(), "a".into()),
            ),
        ] {
            assert_eq!(owners_of(meta.clone()), [expected], "{meta}");
        }
    }

    #[test]
    fn ordinary_labels_name_no_owner() {
        let meta = json!({
            "labels": {"app.kubernetes.io/instance": "shop", "app": "shop"},
            "managedFields": [{"manager": "kubectl-client-side-apply"}],
        });
        assert_eq!(owners_of(meta), []);
    }

    #[test]
    fn a_chart_installed_by_flux_is_told_once() {
        let meta = json!({"labels": {
            "helm.toolkit.fluxcd.io/name": "a",
            "app.kubernetes.io/managed-by": "Helm",
        }});
        assert_eq!(owners_of(meta).len(), 1);
    }
}
