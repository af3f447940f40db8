//! What a verb must be allowed to do, as RBAC counts it.
//!
//! Owns: the words for it. Must not: say which right serves what; routers, probes and `preflight`
//! have tables of them.

use std::borrow::Cow;

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
}

/// When a right is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Always.
    Always,
    /// When checks, a metrics provider or a load ask pods over HTTP.
    Asking,
    /// When the name of a Service has no address where this tool runs, so that it is reached through the
    /// API server.
    Forwarded,
    /// When a check reads what pods use from `metrics.k8s.io`.
    Measuring,
    /// When an autoscaler scales either Deployment.
    Autoscaler,
    /// When the weights are in objects of this kind; the router knows several.
    Routed,
    /// When the canary Deployment is created.
    Create,
    /// When a run makes a route of its own.
    Route,
    /// When the plan deletes the canary at the end.
    Delete,
    /// When a promotion fails and stable gets its old template back.
    Restore,
    /// Never strictly: the verb works without, and says less or reacts later.
    Better,
}

/// One right: a verb of the API on a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// Verb of the API, such as `patch`.
    pub verb: &'static str,
    /// API group; empty for core.
    pub group: Cow<'static, str>,
    /// Plural of the resource.
    pub resource: Cow<'static, str>,
    /// Subresource; empty for none.
    pub subresource: &'static str,
    /// Namespace; `None` for that of the app.
    pub namespace: Option<String>,
    /// The objects alone that it is about; empty for all.
    pub names: Vec<String>,
    /// When it is needed.
    pub need: Need,
    /// What for.
    pub why: &'static str,
    /// The verbs of this tool that need it.
    pub verbs: &'static [Verb],
}

/// The verbs that find the objects of an app and look at them.
pub const READERS: &[Verb] = &[
    Verb::Status,
    Verb::Set,
    Verb::Monitor,
    Verb::Rollback,
    Verb::Promote,
    Verb::Auto,
    Verb::Check,
];

/// The verbs that look at checks.
pub const LOOKERS: &[Verb] = &[
    Verb::Status,
    Verb::Monitor,
    Verb::Promote,
    Verb::Auto,
    Verb::Check,
];

/// The verbs that move traffic.
pub const WRITERS: &[Verb] = &[Verb::Set, Verb::Rollback, Verb::Promote, Verb::Auto];

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 9] = [
        Self::Status,
        Self::Set,
        Self::Monitor,
        Self::Rollback,
        Self::Promote,
        Self::Auto,
        Self::Check,
        Self::Approve,
        Self::History,
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
        }
    }
}

impl Right {
    /// Returns a right to `(verb, group, resource, subresource)` in the app's namespace, to every object.
    pub const fn new(
        (verb, group, resource, subresource): (
            &'static str,
            &'static str,
            &'static str,
            &'static str,
        ),
        need: Need,
        why: &'static str,
        verbs: &'static [Verb],
    ) -> Self {
        Self {
            verb,
            group: Cow::Borrowed(group),
            resource: Cow::Borrowed(resource),
            subresource,
            namespace: None,
            names: Vec::new(),
            need,
            why,
            verbs,
        }
    }

    /// Returns the resource as a rule of a Role names it: `deployments/scale`.
    pub fn in_role(&self) -> String {
        if self.subresource.is_empty() {
            return self.resource.to_string();
        }
        format!("{}/{}", self.resource, self.subresource)
    }

    /// Returns the resource as `kubectl auth can-i` takes it: `deployments.apps/scale`.
    pub fn target(&self) -> String {
        let dotted = |text: &str| match text {
            "" => String::new(),
            group => format!(".{group}"),
        };
        let subresource = match self.subresource {
            "" => String::new(),
            subresource => format!("/{subresource}"),
        };
        format!("{}{}{subresource}", self.resource, dotted(&self.group))
    }
}
