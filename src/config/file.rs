//! The file `canary.yaml`.
//!
//! Owns: its keys and what can be judged from the file alone. Must not: read it from disk, or
//! fill in defaults that flags or the environment could still change.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, de::IgnoredAny};

use super::{
    Keyed, Overrides,
    duration::{Pause, Span},
    error::ConfigError,
    keyed,
    load::Load,
    name::{LabelName, ObjectName},
    settings::{DEFAULT_HOLD, default_deadline},
    step::{StepSpec, check_rising, default_steps},
};
use crate::{
    document::{self, At, Failure, Failures, Fault, Hints, Node, Path},
    domain::plan::{Cleanup, OnTrouble, PlanError, Strategy},
};

/// What to try with a file that is none.
const HINTS: Hints = Hints {
    empty: "the least it needs is a line such as 'app: shop'",
    second: "write one file for each app and name it with -f",
};

/// The whole file, read and valid by itself. `R` is the table of routers, `C` that of checks, `M` that of
/// sources of metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct File<R, C, M> {
    /// What errors call the file.
    pub name: String,
    /// The app.
    pub app: String,
    /// What the environment and flags can override.
    pub overrides: Overrides,
    /// The router with its options; `None`: to be detected.
    pub router: Option<R>,
    /// The checks, with those of [`Keyed::defaults`] in front.
    pub checks: Vec<C>,
    /// What must hold before any user meets the canary.
    pub pre: Vec<C>,
    /// Where requests are counted; `None`: nowhere, or to be discovered.
    pub metrics: Option<M>,
    /// Time after which steps may end early that say none of their own.
    pub early: Option<Duration>,
    /// Deadline of steps that have none of their own.
    pub deadline: Option<Duration>,
    /// Whether early evidence takes the traffic off for a moment.
    pub brake: Option<bool>,
    /// Time that pods may take to become ready.
    pub ready_timeout: Option<Duration>,
    /// Time that stable may take to roll out the promoted version.
    pub promote_timeout: Option<Duration>,
    /// Time between the last request to a side and the removal of its pods.
    pub drain: Option<Duration>,
    /// What becomes of the canary's pods at the end.
    pub cleanup: Option<Cleanup>,
    /// Whether the last step promotes by itself.
    pub auto: Option<bool>,
    /// Whether `auto` makes a route for the release.
    pub create_route: Option<bool>,
    /// Requests to send during the release.
    pub load: Option<Load>,
}

/// A canary release by canaryctl: everything a team wants in Git. Only `app` is needed
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Keys {
    /// Name of the app
    app: ObjectName,
    /// Namespace; default: that of the kubeconfig's context
    namespace: Option<LabelName>,
    /// Name of the stable Deployment; default: discovered from the app's name
    stable: Option<ObjectName>,
    /// Name of the canary Deployment; default: discovered from the app's name
    canary: Option<ObjectName>,
    /// Name of the Service that both sides stand behind; default: discovered
    service: Option<LabelName>,
    /// What moves traffic, with its options; default: detected from the objects that name the Service
    #[schemars(with = "Option<serde_json::Value>")]
    router: Option<IgnoredAny>,
    /// Several routers that hold the same split: raised in this order, lowered in the reverse one
    #[schemars(with = "Option<serde_json::Value>")]
    routers: Option<Vec<IgnoredAny>>,
    /// Whether `auto` creates what a release by weights needs where no route leads to the canary, such as its
    /// Service and a canary Ingress, and takes it away at the end; default: false
    create_route: Option<bool>,
    /// Steps of the release, rising in weight; default: 10, 25, 50, 75, 100
    #[schemars(length(min = 1))]
    steps: Option<Vec<StepSpec>>,
    /// Time at each step that has no hold of its own; default: 5m
    hold: Option<Span>,
    /// Time after which a step may end before its hold is over, once what its requests must show is
    /// proven; default: never
    early: Option<Span>,
    /// Time until missing evidence ends a step; default: three times its hold, at least 10m more
    deadline: Option<Span>,
    /// Time between two looks at the checks; default: 10s
    interval: Option<Pause>,
    /// Time that pods may take to become ready; default: 5m
    ready_timeout: Option<Pause>,
    /// Time that stable may take to roll out the promoted version; default: 10m
    promote_timeout: Option<Pause>,
    /// Time between the last request to a side and the removal of its pods; default: 30s
    drain: Option<Span>,
    /// What must hold at every step
    #[schemars(with = "Option<serde_json::Value>")]
    checks: Option<Vec<IgnoredAny>>,
    /// What must hold, once, before any user meets the canary: checks of its state, such as an acceptance test
    #[schemars(with = "Option<serde_json::Value>")]
    pre: Option<Vec<IgnoredAny>>,
    /// Where requests of both sides are counted; default: nowhere
    #[schemars(with = "Option<serde_json::Value>")]
    metrics: Option<IgnoredAny>,
    /// Whether early evidence against the canary takes the traffic off for a minute, before it is sure, to see
    /// whether it is a burst; default: true, where a router divides traffic by weights
    brake: Option<bool>,
    /// What happens when a step ends without enough evidence; default: hold where a person is at a terminal,
    /// rollback where nobody is (CI, cron, --once)
    on_unknown: Option<OnTrouble>,
    /// What happens when a check is unhealthy; default: rollback
    on_failure: Option<OnTrouble>,
    /// What happens when the process is told to end; default: rollback
    on_interrupt: Option<OnTrouble>,
    /// How the canary's version becomes the stable one
    promote: Option<PromoteOptions>,
    /// Requests that are sent to the canary during the release; default: none
    load: Option<Load>,
}

/// How the canary's version becomes the stable one
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PromoteOptions {
    /// How the version gets into stable; default: template
    pub strategy: Option<Strategy>,
    /// What becomes of the canary's pods at the end; default: scale-down
    pub canary: Option<Cleanup>,
    /// Whether the last step promotes by itself; default: true
    pub auto: Option<bool>,
}

impl<R: Keyed, C: Keyed, M: Keyed> File<R, C, M> {
    /// Returns the file with the content `text`; `name` is what errors call it.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        let told = |failure| ConfigError::of(failure, name, text);
        let tree = document::parse(text, HINTS).map_err(told)?;
        let failures = Failures::default();
        let explain = |fault| told(failures.take(tree.at, &fault));
        let keys: Keys = document::read(&tree).map_err(told)?;
        let judge = |(at, what): (&Node, String)| told(Failure::new(at.at, what));
        keys.check(&tree).map_err(judge)?;
        let router = read_one(&tree, ("router", keys.router.is_some()), &failures);
        let router = router.map_err(explain)?;
        let routers =
            read_list(&tree, ("routers", keys.routers.as_ref()), &failures).map_err(explain)?;
        let router = keys
            .one(router, R::together(routers), &tree)
            .map_err(judge)?;
        let mut checks =
            read_list(&tree, ("checks", keys.checks.as_ref()), &failures).map_err(explain)?;
        let pre = read_list(&tree, ("pre", keys.pre.as_ref()), &failures).map_err(explain)?;
        let metrics = read_one(&tree, ("metrics", keys.metrics.is_some()), &failures);
        let metrics = metrics.map_err(explain)?;
        let mut all = C::defaults(&checks, metrics.is_some());
        all.append(&mut checks);
        Ok(keys.into_file(name, (router, all, pre, metrics)))
    }
}

/// Reads what stands under a key of the file, where it is given.
fn read_one<T: Keyed>(
    tree: &Node,
    (key, given): (&'static str, bool),
    failures: &Failures,
) -> Result<Option<T>, Fault> {
    let read = |node| {
        keyed::read(At {
            node,
            path: Path::Key(&Path::Top, key),
            failures,
        })
    };
    let node = tree.get(key).filter(|_| given);
    node.map(read).transpose()
}

/// Reads the items of a list of the file, each by the table it is of.
fn read_list<T: Keyed>(
    tree: &Node,
    (key, given): (&'static str, Option<&Vec<IgnoredAny>>),
    failures: &Failures,
) -> Result<Vec<T>, Fault> {
    let list = tree.get(key);
    let node = |index: usize| list.and_then(|list| list.item(index));
    let nodes = (0..given.map_or(0, Vec::len)).map_while(node);
    let read = |(index, node)| {
        keyed::read(At {
            node,
            path: Path::Item(&Path::Key(&Path::Top, key), index),
            failures,
        })
    };
    nodes.enumerate().map(read).collect()
}

impl Keys {
    /// Returns the router of the file: the one that is named, or several together.
    fn one<'a, R>(
        &self,
        router: Option<R>,
        together: Option<R>,
        tree: &'a Node,
    ) -> Result<Option<R>, (&'a Node, String)> {
        let node = tree.get("routers").unwrap_or(tree);
        match (router, together) {
            (Some(_), _) if self.routers.is_some() => {
                Err((node, "routers: give this or `router`, not both".to_owned()))
            }
            (None, None) if self.routers.is_some() => {
                let text = "routers: name two at least, or use `router`";
                Err((node, text.to_owned()))
            }
            (router, together) => Ok(router.or(together)),
        }
    }

    /// Returns the node that contradicts another, and how.
    fn check<'a>(&self, tree: &'a Node) -> Result<(), (&'a Node, String)> {
        let list = tree.get("steps");
        let step_node = |index: usize| list.and_then(|list| list.item(index));
        if let Some(steps) = &self.steps
            && let Err((index, error)) = check_rising(steps)
        {
            let node = step_node(index).or(list).unwrap_or(tree);
            let place = match error {
                PlanError::Empty => "steps".to_owned(),
                PlanError::NotRising(..)
                | PlanError::Zero
                | PlanError::Deadline { .. }
                | PlanError::Early { .. } => {
                    format!("steps[{index}]")
                }
            };
            return Err((node, format!("{place}: {error}")));
        }
        let steps = self.steps.clone().unwrap_or_else(default_steps);
        for (index, step) in steps.iter().enumerate() {
            let hold = step
                .hold
                .or(self.hold.map(|span| span.0))
                .unwrap_or(DEFAULT_HOLD);
            let own = step.deadline.or(self.deadline.map(|span| span.0));
            let deadline = own.unwrap_or_else(|| default_deadline(hold));
            if hold > deadline {
                let node = step_node(index)
                    .and_then(|node| node.get("deadline"))
                    .or(tree.get("deadline"))
                    .unwrap_or(tree);
                let error = PlanError::Deadline {
                    weight: step.weight,
                    hold,
                    deadline,
                };
                return Err((node, error.to_string()));
            }
            if let Some(early) = step.early.filter(|early| *early > hold) {
                let node = step_node(index).and_then(|node| node.get("early"));
                let error = PlanError::Early {
                    weight: step.weight,
                    early,
                    hold,
                };
                return Err((node.unwrap_or(tree), error.to_string()));
            }
        }
        Ok(())
    }

    fn into_file<R, C, M>(
        self,
        name: &str,
        (router, checks, pre, metrics): (Option<R>, Vec<C>, Vec<C>, Option<M>),
    ) -> File<R, C, M> {
        let promote = self.promote.unwrap_or_default();
        File {
            name: name.to_owned(),
            app: self.app.0,
            overrides: Overrides {
                namespace: self.namespace.map(|name| name.0),
                stable: self.stable.map(|name| name.0),
                canary: self.canary.map(|name| name.0),
                service: self.service.map(|name| name.0),
                steps: self.steps,
                hold: self.hold.map(|span| span.0),
                interval: self.interval.map(|pause| pause.0),
                on_unknown: self.on_unknown,
                on_failure: self.on_failure,
                on_interrupt: self.on_interrupt,
                promote: promote.strategy,
            },
            router,
            checks,
            pre,
            metrics,
            early: self.early.map(|span| span.0),
            deadline: self.deadline.map(|span| span.0),
            brake: self.brake,
            ready_timeout: self.ready_timeout.map(|pause| pause.0),
            promote_timeout: self.promote_timeout.map(|pause| pause.0),
            drain: self.drain.map(|span| span.0),
            cleanup: promote.canary,
            auto: promote.auto,
            create_route: self.create_route,
            load: self.load,
        }
    }
}
