//! What a run goes by, resolved from every source.
//!
//! Owns: the defaults, and the order flags > environment > file > discovery (what stays `None` is
//! to be discovered). Must not: discover anything.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Keyed,
    error::ConfigError,
    file::File,
    load::Load,
    name::{parse_label_name, parse_object_name},
    overrides::Overrides,
    step::{StepSpec, default_steps},
};
use crate::domain::{
    check::CheckSpec,
    plan::{self, Cleanup, MetricsSpec, OnTrouble, Plan, Presence, Promotion, Step, Strategy},
};

/// Time at a step when none is given.
pub(super) const DEFAULT_HOLD: Duration = Duration::from_secs(5 * 60);
/// Interval between evaluations when none is given.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);
/// Time for pods to become ready when none is given.
const DEFAULT_READY_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// Time for stable to roll out when none is given.
const DEFAULT_PROMOTE_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// Time for the last requests when none is given.
const DEFAULT_DRAIN: Duration = Duration::from_secs(30);
const DEFAULT_WARMUP: Duration = Duration::from_secs(10);
/// Least time that a step's default deadline leaves after its hold.
const GRACE: Duration = Duration::from_secs(10 * 60);

/// What a run goes by.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings<R, C, M> {
    /// The app.
    pub app: String,
    /// Its namespace; `None`: that of the kubeconfig's context.
    pub namespace: Option<String>,
    /// Name of the stable Deployment; `None`: to be discovered.
    pub stable: Option<String>,
    /// Name of the canary Deployment; `None`: to be discovered.
    pub canary: Option<String>,
    /// Name of the Service that both sides stand behind; `None`: to be discovered.
    pub service: Option<String>,
    /// The router with its options; `None`: to be detected.
    pub router: Option<R>,
    /// The steps, each with its hold and deadline.
    pub steps: Vec<Step>,
    /// The checks, those by default in front.
    pub checks: Vec<C>,
    /// What must hold before any user meets the canary.
    pub pre: Vec<C>,
    /// Where requests are counted; `None`: nowhere, or to be discovered.
    pub metrics: Option<M>,
    /// Interval between check evaluations.
    pub interval: Duration,
    /// Whether early evidence takes the traffic off for a moment.
    pub brake: bool,
    /// Whether no deadline was given.
    pub patient: bool,
    /// What happens when a step ends without enough evidence; `None`: it depends on who drives the run.
    pub on_unknown: Option<OnTrouble>,
    /// What happens when a check is unhealthy.
    pub on_failure: OnTrouble,
    /// What happens when the process is told to end.
    pub on_interrupt: OnTrouble,
    /// How the canary's version becomes the stable one.
    pub promote: Promotion,
    /// Time between the last request to a side and the removal of its pods.
    pub drain: Duration,
    /// Time for which requests of new pods are shown and not judged.
    pub warmup: Duration,
    /// Time that pods may take to become ready.
    pub ready_timeout: Duration,
    /// Time that stable may take to roll out the promoted version.
    pub promote_timeout: Duration,
    /// Whether `auto` makes a route for the release.
    pub create_route: bool,
    /// Requests to send during the release.
    pub load: Option<Load>,
}

impl<R, C: Keyed, M> Settings<R, C, M> {
    /// Returns the settings of one run: flags win over the environment, the environment over the
    /// file. It is an error when no source names the app, when the command line and the file name
    /// different ones, or when a name cannot be one in Kubernetes.
    pub fn resolve(
        app_from_command_line: Option<&str>,
        flags: Overrides,
        env: Overrides,
        file: Option<File<R, C, M>>,
    ) -> Result<Self, ConfigError> {
        let app = app(app_from_command_line, file.as_ref())?;
        let mut stronger = flags.overlay(env);
        if let Some(file) = &file {
            stronger = stronger.overlay(file.overrides.clone());
        }
        let wanted = stronger;
        check_names(&wanted)?;
        let times = Times {
            hold: wanted.hold.unwrap_or(DEFAULT_HOLD),
            early: file.as_ref().and_then(|file| file.early),
            deadline: file.as_ref().and_then(|file| file.deadline),
        };
        let steps = wanted.steps.unwrap_or_else(default_steps);
        let from_file = |get: fn(&File<R, C, M>) -> Option<Duration>| file.as_ref().and_then(get);
        Ok(Self {
            app,
            namespace: wanted.namespace,
            stable: wanted.stable,
            canary: wanted.canary,
            service: wanted.service,
            steps: steps.iter().map(|step| times.complete(step)).collect(),
            interval: wanted.interval.unwrap_or(DEFAULT_INTERVAL),
            patient: times.deadline.is_none() && steps.iter().all(|step| step.deadline.is_none()),
            brake: file.as_ref().and_then(|file| file.brake).unwrap_or(true),
            on_unknown: wanted.on_unknown,
            on_failure: wanted.on_failure.unwrap_or(OnTrouble::Rollback),
            on_interrupt: wanted.on_interrupt.unwrap_or(OnTrouble::Rollback),
            promote: Promotion {
                strategy: wanted.promote.unwrap_or(Strategy::Template),
                canary: file
                    .as_ref()
                    .and_then(|file| file.cleanup)
                    .unwrap_or(Cleanup::ScaleDown),
                auto: file.as_ref().and_then(|file| file.auto).unwrap_or(true),
            },
            drain: from_file(|file| file.drain).unwrap_or(DEFAULT_DRAIN),
            warmup: from_file(|file| file.warmup).unwrap_or(DEFAULT_WARMUP),
            ready_timeout: from_file(|file| file.ready_timeout).unwrap_or(DEFAULT_READY_TIMEOUT),
            promote_timeout: from_file(|file| file.promote_timeout)
                .unwrap_or(DEFAULT_PROMOTE_TIMEOUT),
            create_route: file
                .as_ref()
                .and_then(|file| file.create_route)
                .unwrap_or(false),
            load: file.as_ref().and_then(|file| file.load.clone()),
            router: None,
            checks: Vec::new(),
            pre: Vec::new(),
            metrics: None,
        }
        .with_tables(file))
    }

    fn with_tables(self, file: Option<File<R, C, M>>) -> Self {
        let (router, checks, pre, metrics) = match file {
            Some(file) => (file.router, file.checks, file.pre, file.metrics),
            None => (None, C::defaults(&[], false), Vec::new(), None),
        };
        Self {
            router,
            checks,
            pre,
            metrics,
            ..self
        }
    }
}

impl<R, C, M> Settings<R, C, M> {
    /// Returns the plan with `checks` and `metrics`, which the caller made from [`Settings::checks`] and
    /// [`Settings::metrics`], for a run with that `presence`; an error when the steps contradict each
    /// other, two checks have one name, one before the first step needs users, or a check counts requests and
    /// nothing says where.
    pub fn plan(
        &self,
        checks: Vec<CheckSpec>,
        metrics: Option<MetricsSpec>,
        presence: Presence,
    ) -> Result<Plan, ConfigError> {
        let mut names = BTreeSet::new();
        for check in &checks {
            if !names.insert(check.name.as_str()) {
                let what = format!("two checks are called '{}'", check.name);
                return Err(ConfigError::new(what).with_hint("give one of them another name"));
            }
        }
        let mut pre = checks.iter().filter(|check| check.pre);
        if let Some(check) = pre.find(|check| !check.rule.judges_state()) {
            let what = format!(
                "pre: check '{}' judges users' requests or compares with stable, and before the first step there \
                 are no requests",
                check.name
            );
            let hint =
                "move it to `checks`, or ask the canary itself: `http`, `command`, `webhook`";
            return Err(ConfigError::new(what).with_hint(hint));
        }
        if let Some(check) = checks.iter().find(|c| metrics.is_none() && c.rule.counts()) {
            let what = format!(
                "check '{}' needs `metrics` to say where requests are counted",
                check.name
            );
            let hint = "add `metrics:` to the file, such as `metrics: {scrape: {}}` or \
                        `metrics: {prometheus: {url: …}}`";
            return Err(ConfigError::new(what).with_hint(hint));
        }
        let plan = Plan {
            steps: self.steps.clone(),
            checks,
            metrics,
            load: self.load.as_ref().map(planned),
            interval: self.interval,
            brake: self.brake,
            patient: self.patient,
            on_unknown: self.on_unknown.unwrap_or_else(|| presence.on_unknown()),
            on_unknown_unset: self.on_unknown.is_none(),
            on_failure: self.on_failure,
            on_interrupt: self.on_interrupt,
            promote: self.promote,
            drain: self.drain,
            warmup: self.warmup,
            ready_timeout: self.ready_timeout,
            promote_timeout: self.promote_timeout,
        };
        plan.validate().map_err(|error| {
            ConfigError::new(error.to_string())
                .with_hint("check the steps, hold and deadline in flags, environment and file")
        })?;
        Ok(plan)
    }
}

/// Returns a load as the plan holds it.
fn planned(load: &Load) -> plan::Load {
    let request = |request: &super::load::LoadRequest| plan::LoadRequest {
        method: request.method.clone(),
        path: request.path.clone(),
        body: request
            .payload()
            .map(|(body, kind)| (body, kind.to_owned())),
    };
    plan::Load {
        rate: load.rate,
        requests: load.requests.iter().map(request).collect(),
    }
}

/// Returns the deadline of a step that has none: three times its hold, at least ten minutes more.
pub(super) fn default_deadline(hold: Duration) -> Duration {
    hold.saturating_mul(3).max(hold.saturating_add(GRACE))
}

/// What steps take over that do not say it themselves.
struct Times {
    hold: Duration,
    early: Option<Duration>,
    deadline: Option<Duration>,
}

impl Times {
    fn complete(&self, step: &StepSpec) -> Step {
        let hold = step.hold.unwrap_or(self.hold);
        let deadline = step.deadline.or(self.deadline);
        Step {
            weight: step.weight,
            hold,
            // A step that is shorter anyway ends when its hold does.
            early: step.early.or(self.early).map(|early| early.min(hold)),
            approve: step.approve,
            deadline: deadline.unwrap_or_else(|| default_deadline(hold)),
        }
    }
}

fn app<R, C, M>(given: Option<&str>, file: Option<&File<R, C, M>>) -> Result<String, ConfigError> {
    match (given, file) {
        (Some(given), Some(file)) if given != file.app => Err(ConfigError::new(format!(
            "the command line names the app '{given}' but {} is for '{}'",
            file.name, file.app
        ))
        .with_hint("leave one out, or pass the right file with -f")),
        (Some(given), _) => {
            parse_object_name(given).map_err(|what| ConfigError::new(format!("app: {what}")))
        }
        (None, Some(file)) => Ok(file.app.clone()),
        (None, None) => Err(ConfigError::new("no app is named")
            .with_hint("name it on the command line, or in a file passed with -f")),
    }
}

fn check_names(wanted: &Overrides) -> Result<(), ConfigError> {
    let check = |key: &str, name: &Option<String>, parse: fn(&str) -> Result<String, String>| {
        name.as_deref().map_or(Ok(()), |name| {
            parse(name)
                .map(drop)
                .map_err(|what| ConfigError::new(format!("{key}: {what}")))
        })
    };
    check("namespace", &wanted.namespace, parse_label_name)?;
    check("stable", &wanted.stable, parse_object_name)?;
    check("canary", &wanted.canary, parse_object_name)?;
    check("service", &wanted.service, parse_label_name)?;
    match (&wanted.stable, &wanted.canary) {
        (Some(stable), Some(canary)) if stable == canary => Err(ConfigError::new(format!(
            "stable and canary are both '{stable}'"
        ))
        .with_hint("they must be two Deployments")),
        _ => Ok(()),
    }
}
