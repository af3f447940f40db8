//! Which router divides the app's traffic, and what keeps it from being used.
//!
//! Owns: choosing it where none is named, and the objects that make another one the right one. Must not: read or
//! move a split.

use serde_json::Value;

use crate::{
    cluster::{Cluster, ClusterError, discover::Names, objects::Survey},
    domain::{
        release::RouterSpec,
        view::{Finding, Severity},
    },
    journal::Saved,
    traffic::{self, Provider, Sibling},
};

use super::error::CliError;

/// What follows where several routers fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fitting {
    /// A person has to say which: a weight that is raised must be the right one.
    One,
    /// All together: what takes the canary out lowers whatever gives it traffic.
    All,
}

/// Finds the router of a run under way, or the one that fits; two that fit are an error, none is as
/// well. Returns beside it what may make another one the right one.
pub(super) fn find_router(
    (survey, namespace): (&Survey, &str),
    names: &mut Names,
    recorded: Option<&Saved>,
    fitting: Fitting,
) -> Result<(RouterSpec, Option<Finding>), CliError> {
    let recorded = recorded.map(|saved| &saved.release);
    if let Some(run) = recorded.filter(|release| !release.is_over()) {
        let how = format!("router {} from the run in progress", run.router.name);
        names.found_by.push(how);
        return Ok((run.router.clone(), None));
    }
    match detect(survey, namespace, names, fitting) {
        // What moved the traffic before can at least be looked at, and taken back.
        Err(_) if recorded.is_some() => {
            let router = recorded.map(|release| release.router.clone());
            let router = router.unwrap_or_default();
            let how = format!("router {} by the last run", router.name);
            names.found_by.push(how);
            Ok((router, None))
        }
        outcome => outcome,
    }
}

fn detect(
    survey: &Survey,
    namespace: &str,
    names: &mut Names,
    wanted: Fitting,
) -> Result<(RouterSpec, Option<Finding>), CliError> {
    let target = target(names);
    let mut fitting: Vec<(&dyn Provider, String, Value)> = traffic::PROVIDERS
        .iter()
        .filter_map(|p| {
            let (why, options) = p.detect(survey, namespace, &target)?;
            Some((*p, why, options))
        })
        .collect();
    if fitting.iter().any(|(p, ..)| !p.yields()) {
        fitting.retain(|(p, ..)| !p.yields());
    }
    match fitting.as_slice() {
        [(provider, why, options)] => {
            let name = provider.name();
            names.found_by.push(format!("router {name}: {why}"));
            // Weights that nobody may read would make numbers of pods the wrong thing to change.
            let others = traffic::PROVIDERS.iter().filter(|_| provider.yields());
            let unsure = others.clone().find_map(|other| {
                let why = other.blind(survey, namespace)?;
                Some(blind(namespace, &why))
            });
            // What leads to one side alone is not divided by them.
            let misfit = || {
                others
                    .clone()
                    .find_map(|other| other.misfit(survey, namespace, &target))
            };
            let unsure = unsure.or_else(misfit);
            let router = RouterSpec {
                name: name.to_owned(),
                options: options.clone(),
            };
            Ok((router, unsure))
        }
        [] => Err(CliError::usage(
            format!(
                "no router fits: no Service selects the pods of both {} and {}, and no route leads to both",
                names.stable, names.canary
            ),
            "name the router with --router, or in the configuration file",
        )),
        several => {
            let reasons = several
                .iter()
                .map(|(p, why, _)| format!("{} ({why})", p.name()));
            let reasons: Vec<String> = reasons.collect();
            let specs = several.iter().map(|(p, _, options)| RouterSpec {
                name: p.name().to_owned(),
                options: options.clone(),
            });
            let specs: Vec<RouterSpec> = specs.collect();
            if let Some(all) = traffic::together(&specs).filter(|_| wanted == Fitting::All) {
                let how = format!("routers {}: all are lowered", reasons.join(" and "));
                names.found_by.push(how);
                return Ok((all, None));
            }
            Err(CliError::usage(
                format!("several routers fit: {}", reasons.join(", ")),
                "say which with --router",
            ))
        }
    }
}

/// Returns what a weight of the router would move that is no part of the release, nor of its siblings.
pub(super) fn strays(
    cluster: &Cluster,
    survey: &Survey,
    (names, router): (&Names, &RouterSpec),
    siblings: &[Sibling],
) -> Option<Finding> {
    let provider = traffic::provider(&router.name)?;
    provider.strays(cluster, &target(names), &router.options, survey, siblings)
}

/// Returns which object of another namespace leads to the app's pods, where they are released by their
/// numbers. An error says that it cannot be told.
pub(super) async fn reaches(
    cluster: &Cluster,
    survey: &Survey,
    (names, router): (&Names, &RouterSpec),
) -> Result<Option<Finding>, ClusterError> {
    let provider = traffic::provider(&router.name);
    if !provider.is_some_and(Provider::yields) {
        return Ok(None);
    }
    let objects = cluster.elsewhere(&survey.routing).await?;
    let namespace = cluster.namespace();
    let mut others = traffic::PROVIDERS.iter();
    Ok(others.find_map(|other| other.reaches(&objects, survey, namespace, &target(names))))
}

/// Returns an app as a sibling of those that are released with it.
pub(super) fn sibling(names: &Names, router: &RouterSpec) -> Sibling {
    Sibling {
        target: target(names),
        router: router.clone(),
    }
}

pub(super) fn target(names: &Names) -> traffic::Target {
    traffic::Target {
        stable: names.stable.clone(),
        canary: names.canary.clone(),
        service: names.service.clone(),
        total: 0,
    }
}

fn blind(namespace: &str, why: &str) -> Finding {
    Finding {
        severity: Severity::Error,
        place: format!("namespace {namespace}"),
        what: format!("cannot determine the router: {why}"),
        why: "an object that may not be read may divide the traffic".to_owned(),
        fix: "name the router with --router or in the configuration file, or ask for the missing permission".to_owned(),
    }
}
