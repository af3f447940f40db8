//! Finding the objects of an app by its name.
//!
//! Owns: the naming conventions, in order, and saying which was used. Must not: guess between two
//! that fit.

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;

use super::objects::{Survey, selects};

/// Naming conventions `(stable, canary)`; `{}` is the app.
const CONVENTIONS: [(&str, &str); 5] = [
    ("{}-stable", "{}-canary"),
    ("{}", "{}-canary"),
    ("{}-production", "{}-canary"),
    ("{}-primary", "{}"),
    ("{}-v1", "{}-v2"),
];

/// The conventions by which a canary that does not exist yet is named.
const CREATABLE: usize = 3;

/// Names of a release's objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The stable Deployment.
    pub stable: String,
    /// The canary Deployment; it may not exist yet.
    pub canary: String,
    /// The Service of both sides, where there is one.
    pub service: Option<String>,
    /// How each was found, for people.
    pub found_by: Vec<String>,
}

/// Indicates that the objects of an app cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoverError {
    /// Nothing fits.
    #[error("no Deployment of app '{app}' in namespace {namespace}")]
    Nothing {
        /// The app.
        app: String,
        /// The namespace.
        namespace: String,
        /// Apps that are there.
        near: Vec<String>,
    },
    /// A Deployment that was named does not exist.
    #[error("no Deployment {name} in namespace {namespace}")]
    Missing {
        /// The name.
        name: String,
        /// The namespace.
        namespace: String,
    },
    /// Several conventions fit.
    #[error("app '{app}' fits {}", .fits.join(" and "))]
    Several {
        /// The app.
        app: String,
        /// The pairs that fit.
        fits: Vec<String>,
    },
}

impl DiscoverError {
    /// Returns the next thing to try.
    pub fn hint(&self) -> String {
        match self {
            Self::Nothing { near, .. } if near.is_empty() => {
                "the namespace has no Deployments; check --namespace and --context".to_owned()
            }
            Self::Nothing { near, .. } => {
                format!(
                    "Deployments there are: {}; or name them with --stable and --canary",
                    near.join(", ")
                )
            }
            Self::Missing { .. } => "check --stable, --canary and --namespace".to_owned(),
            Self::Several { .. } => "say which with --stable and --canary".to_owned(),
        }
    }
}

/// Finds the objects of `app`; what is named already is taken as it is.
pub fn names(
    survey: &Survey,
    namespace: &str,
    app: &str,
    stable: Option<&str>,
    canary: Option<&str>,
    service: Option<&str>,
) -> Result<Names, DiscoverError> {
    let mut found_by = Vec::new();
    let (stable, canary) = if let (Some(stable), Some(canary)) = (stable, canary) {
        (stable.to_owned(), canary.to_owned())
    } else {
        let (stable, canary, how) = conventional(survey, namespace, app, stable, canary)?;
        found_by.push(how);
        (stable, canary)
    };
    if survey.deployment(&stable).is_none() {
        return Err(DiscoverError::Missing {
            name: stable,
            namespace: namespace.to_owned(),
        });
    }
    let service = match service {
        Some(named) => Some(named.to_owned()),
        None => find_service(survey, app, &stable, &canary).map(|(name, how)| {
            found_by.push(how);
            name
        }),
    };
    Ok(Names {
        stable,
        canary,
        service,
        found_by,
    })
}

fn conventional(
    survey: &Survey,
    namespace: &str,
    app: &str,
    stable: Option<&str>,
    canary: Option<&str>,
) -> Result<(String, String, String), DiscoverError> {
    let there = |name: &str| survey.deployment(name).is_some();
    let pair = |(s, c): &(&str, &str)| (s.replace("{}", app), c.replace("{}", app));
    let fits_flags = |(s, c): &(String, String)| {
        stable.is_none_or(|given| given == s) && canary.is_none_or(|given| given == c)
    };
    let pairs: Vec<(String, String)> = CONVENTIONS.iter().map(pair).filter(fits_flags).collect();
    let complete: Vec<&(String, String)> =
        pairs.iter().filter(|(s, c)| there(s) && there(c)).collect();
    let half: Vec<&(String, String)> = CONVENTIONS[..CREATABLE]
        .iter()
        .map(pair)
        .filter_map(|p| pairs.iter().find(|known| **known == p))
        .filter(|(s, _)| there(s))
        .collect();
    let fitting = if complete.is_empty() { half } else { complete };
    match fitting.as_slice() {
        [(s, c)] => {
            let how = format!("Deployments {s} and {c} by name");
            Ok((s.clone(), c.clone(), how))
        }
        [] => match (stable, canary) {
            (Some(s), None) => Ok((
                s.to_owned(),
                format!("{app}-canary"),
                format!("canary {app}-canary by name"),
            )),
            (None, Some(c)) if there(app) && c != app => Ok((
                app.to_owned(),
                c.to_owned(),
                format!("stable {app} by name"),
            )),
            (None | Some(_), _) => Err(DiscoverError::Nothing {
                app: app.to_owned(),
                namespace: namespace.to_owned(),
                near: survey
                    .deployments
                    .iter()
                    .map(super::workloads::Live::name)
                    .collect(),
            }),
        },
        several => Err(DiscoverError::Several {
            app: app.to_owned(),
            fits: several.iter().map(|(s, c)| format!("({s}, {c})")).collect(),
        }),
    }
}

/// Finds the Service that selects the pods of both sides: by its name, or because it is the only one.
fn find_service(
    survey: &Survey,
    app: &str,
    stable: &str,
    canary: &str,
) -> Option<(String, String)> {
    let stable = survey.deployment(stable)?.pod_labels();
    let canary = survey
        .deployment(canary)
        .map(super::workloads::Live::pod_labels);
    let both = |service: &&Service| {
        selects(service, &stable) && canary.as_ref().is_none_or(|c| selects(service, c))
    };
    let fitting: Vec<String> = survey
        .services
        .iter()
        .filter(both)
        .map(ResourceExt::name_any)
        .collect();
    let named = [
        app.to_owned(),
        format!("{app}-service"),
        format!("{app}-svc"),
    ];
    let by_name = named.iter().find(|name| fitting.contains(name));
    match (by_name, fitting.as_slice()) {
        (Some(name), _) => Some((name.clone(), format!("Service {name} by name and selector"))),
        (None, [only]) => Some((only.clone(), format!("Service {only} by selector"))),
        (None, _) => survey
            .service(app)
            .map(|s| (s.name_any(), format!("Service {app} by name"))),
    }
}
