//! The findings of `check`: what in the cluster would break or hurt a release.
//!
//! Owns: looking at everything a release depends on before anything is changed, one file per family,
//! and saying what was found, where, why it matters and how to fix it. Must not: write anything
//! (questions about rights are the one POST), or judge the health of a canary.

mod autoscaling;
mod checks;
mod forecast;
mod ground;
mod journal;
mod metrics;
pub mod owners;
mod quota;
pub mod rights;
mod routes;
mod services;
mod shares;
mod workloads;

use std::collections::BTreeMap;

use self::ground::Ground;
use crate::{
    cluster::{Cluster, ClusterError, Reason, discover::Names, objects::Survey},
    domain::{
        plan::Plan,
        release::RouterSpec,
        view::{Finding, Severity},
    },
    traffic::blueprint::Blueprint,
};

/// The router by numbers of pods: the one that scales Deployments itself.
const BY_PODS: &str = "replicas";

/// Whom a release would be about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The app.
    pub app: &'a str,
    /// Its objects.
    pub names: &'a Names,
    /// The router and its options.
    pub router: &'a RouterSpec,
    /// What is to be done.
    pub plan: &'a Plan,
    /// Whether a canary that is absent will be created.
    pub create: bool,
    /// Images the canary gets first: container → image; empty when it has them already.
    pub images: &'a BTreeMap<String, String>,
    /// The route that the release would make for itself, if it would.
    pub route: Option<&'a Blueprint>,
}

/// Looks at everything a release of `subject` depends on; the worst findings come first.
pub async fn findings(
    cluster: &Cluster,
    survey: &Survey,
    subject: &Subject<'_>,
) -> Result<Vec<Finding>, ClusterError> {
    let (rights, ground, journal) = futures::join!(
        rights::findings(cluster, survey, subject),
        Ground::read(cluster, survey, subject),
        journal::findings(cluster, subject),
    );
    let mut all = Vec::new();
    match ground {
        Ok(Some(ground)) => {
            let running = journal.record.as_ref().is_some_and(|r| !r.is_over());
            all.extend(workloads::findings(&ground, running));
            all.extend(services::findings(&ground));
            all.extend(routes::findings(&ground));
            all.extend(shares::findings(&ground));
            all.extend(autoscaling::findings(&ground));
            all.extend(quota::findings(&ground));
            all.extend(owners::findings(cluster, survey, subject));
            all.extend(checks::findings(&ground).await);
            all.extend(journal::version(journal.record.as_ref(), &ground));
        }
        Ok(None) => all.push(workloads::no_stable(cluster, subject)),
        // Whoever may not look at the release still wants to know which rights are missing.
        Err(error) if error.reason == Reason::Forbidden => all.push(unreadable(cluster, &error)),
        Err(error) => return Err(error),
    }
    all.extend(rights?);
    all.extend(journal.findings);
    all.extend(journal::skew(cluster));
    all.sort_by_key(|finding| finding.severity);
    Ok(all)
}

/// Returns the severity of the worst finding; all is well when there is none.
pub fn worst(findings: &[Finding]) -> Severity {
    let severities = findings.iter().map(|f| f.severity);
    severities.min().unwrap_or(Severity::Ok)
}

fn unreadable(cluster: &Cluster, error: &ClusterError) -> Finding {
    found(
        Severity::Error,
        format!("namespace {}", cluster.namespace()),
        error.to_string(),
        "stable and canary must be readable; what else is wrong could not be checked",
        error.hint(),
    )
}

/// Returns a finding: how bad, where, what, why it matters, how to fix it.
fn found(
    severity: Severity,
    place: impl Into<String>,
    what: impl Into<String>,
    why: impl Into<String>,
    fix: impl Into<String>,
) -> Finding {
    Finding {
        severity,
        what: what.into(),
        place: place.into(),
        why: why.into(),
        fix: fix.into(),
    }
}

/// Returns a finding that all is well.
fn fine(place: impl Into<String>, what: impl Into<String>) -> Finding {
    found(Severity::Ok, place, what, "", "")
}

/// Returns `1 pod` or `3 pods`.
fn count(number: u32, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_counts() {
        let note = found(Severity::Note, "", "", "", "");
        let warning = found(Severity::Warning, "", "", "", "");
        let all = [fine("", ""), note, warning];
        assert_eq!(worst(&all), Severity::Warning);
        assert_eq!(worst(&all[..1]), Severity::Ok);
        assert_eq!(worst(&[]), Severity::Ok);
    }
}
