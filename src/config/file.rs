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
    document::{self, At, Entry, Failure, Failures, Fault, Hints, Node, Path, Value},
    domain::plan::{Cleanup, OnTrouble, PlanError, Strategy},
};

/// What to try with a file that is none.
const HINTS: Hints = Hints {
    empty: "the least it needs is a line such as 'app: shop'",
    second: "write one file for each app and name it with -f",
};

/// Keys that hold for all apps of a group, so that they are none of a single one.
const OF_THE_GROUP: [&str; 17] = [
    "group",
    "apps",
    "namespace",
    "steps",
    "hold",
    "early",
    "deadline",
    "interval",
    "readyTimeout",
    "promoteTimeout",
    "drain",
    "warmup",
    "brake",
    "onUnknown",
    "onFailure",
    "onInterrupt",
    "promote",
];

/// Keys that name the objects of one app, so that they cannot hold for several.
const OF_ONE_APP: [&str; 3] = ["stable", "canary", "service"];

/// A file for one app, or for several that are released together.
#[derive(Debug, Clone, PartialEq)]
pub enum Document<R, C, M> {
    /// One app.
    App(Box<File<R, C, M>>),
    /// Several.
    Group(GroupFile<R, C, M>),
}

/// A file for several apps.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupFile<R, C, M> {
    /// What errors call the file.
    pub name: String,
    /// Name of the group.
    pub group: String,
    /// One file for each app, each with the plan that all share.
    pub members: Vec<File<R, C, M>>,
}

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
    /// Time for which requests of new pods are shown and not judged.
    pub warmup: Option<Duration>,
    /// What becomes of the canary's pods at the end.
    pub cleanup: Option<Cleanup>,
    /// Whether the last step promotes by itself.
    pub auto: Option<bool>,
    /// Whether `auto` makes a route for the release.
    pub create_route: Option<bool>,
    /// Requests to send during the release.
    pub load: Option<Load>,
}

/// A canary release by canaryctl: everything a team wants in Git. Only `app`, or `apps`, is needed
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Keys {
    /// Name of the app
    app: Option<ObjectName>,
    /// Several apps that are released together, by one plan: none advances before all have passed, and one
    /// that goes back takes the others with it
    #[schemars(length(min = 2))]
    apps: Option<Vec<Member>>,
    /// Name of the group of `apps`; default: their names
    group: Option<ObjectName>,
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
    /// Time after which a step without enough data ends; default: three times its hold, at least 10m more
    deadline: Option<Span>,
    /// Interval between check evaluations; default: 10s
    interval: Option<Pause>,
    /// Time that pods may take to become ready; default: 5m
    ready_timeout: Option<Pause>,
    /// Time that stable may take to roll out the promoted version; default: 10m
    promote_timeout: Option<Pause>,
    /// Time between the last request to a side and the removal of its pods; default: 30s
    drain: Option<Span>,
    /// Time for which requests of pods that are new at a step are shown and not judged; default: 10s
    warmup: Option<Span>,
    /// What must hold at every step
    #[schemars(with = "Option<serde_json::Value>")]
    checks: Option<Vec<IgnoredAny>>,
    /// What must hold, once, before any user meets the canary: checks of its state, such as an acceptance test
    #[schemars(with = "Option<serde_json::Value>")]
    pre: Option<Vec<IgnoredAny>>,
    /// Where requests of both sides are counted; default: nowhere
    #[schemars(with = "Option<serde_json::Value>")]
    metrics: Option<IgnoredAny>,
    /// Whether early evidence against the canary pauses its traffic for a minute, to rule out a short burst;
    /// default: true, where a router splits traffic by weights
    brake: Option<bool>,
    /// What happens when a step ends without enough data; default: hold where a person is at a terminal,
    /// rollback elsewhere (CI, cron, --once)
    on_unknown: Option<OnTrouble>,
    /// What happens when a check is unhealthy; default: rollback
    on_failure: Option<OnTrouble>,
    /// What happens on SIGINT or SIGTERM; default: rollback
    on_interrupt: Option<OnTrouble>,
    /// How the canary's version becomes the stable one
    promote: Option<PromoteOptions>,
    /// Requests that are sent to the canary during the release; default: none
    load: Option<Load>,
}

/// One app of a group: what it is called, and what it has beside the plan that all share
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Member {
    /// Name of the app
    app: ObjectName,
    /// Name of the stable Deployment; default: discovered from the app's name
    stable: Option<ObjectName>,
    /// Name of the canary Deployment; default: discovered from the app's name
    canary: Option<ObjectName>,
    /// Name of the Service that both sides stand behind; default: discovered
    service: Option<LabelName>,
    /// What moves its traffic, with its options; default: that of the group, or detected
    #[schemars(with = "Option<serde_json::Value>")]
    router: Option<IgnoredAny>,
    /// Several routers that hold the same split: raised in this order, lowered in the reverse one
    #[schemars(with = "Option<serde_json::Value>")]
    routers: Option<Vec<IgnoredAny>>,
    /// Checks of every step, in addition to those of the group
    #[schemars(with = "Option<serde_json::Value>")]
    checks: Option<Vec<IgnoredAny>>,
    /// Checks before the first users, in addition to those of the group
    #[schemars(with = "Option<serde_json::Value>")]
    pre: Option<Vec<IgnoredAny>>,
    /// Where its requests are counted; default: where those of the group are
    #[schemars(with = "Option<serde_json::Value>")]
    metrics: Option<IgnoredAny>,
    /// Requests that are sent to its canary; default: those of the group
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

impl<R: Keyed, C: Keyed, M: Keyed> Document<R, C, M> {
    /// Returns the file with the content `text`; `name` is what errors call it.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        let told = |failure| ConfigError::of(failure, name, text);
        let tree = document::parse(text, HINTS).map_err(told)?;
        let failures = Failures::default();
        let explain = |fault| told(failures.take(tree.at, &fault));
        check_members(&tree).map_err(told)?;
        let keys: Keys = document::read(&tree).map_err(told)?;
        let judge = |(at, what): (&Node, String)| told(Failure::new(at.at, what));
        keys.check(&tree).map_err(judge)?;
        let source = Source {
            name,
            text,
            tree: &tree,
            failures: &failures,
        };
        let Some(members) = &keys.apps else {
            let Some(app) = keys.app.clone() else {
                let missing = Fault::Missing("app".to_owned());
                return Err(explain(failures.record(tree.at, &Path::Top, missing)));
            };
            return Ok(Self::App(Box::new(source.file(&keys, app.0, None)?)));
        };
        check_group(members, &tree).map_err(judge)?;
        let names: Vec<&str> = members.iter().map(|member| member.app.0.as_str()).collect();
        let group = keys.group.as_ref().map(|group| group.0.clone());
        let group = group.unwrap_or_else(|| names.join("+"));
        let members = members.iter().enumerate();
        let members = members
            .map(|(index, member)| source.file(&keys, member.app.0.clone(), Some((index, member))))
            .collect::<Result<_, _>>()?;
        Ok(Self::Group(GroupFile {
            name: name.to_owned(),
            group,
            members,
        }))
    }
}

impl<R: Keyed, C: Keyed, M: Keyed> File<R, C, M> {
    /// Returns the file of one app with the content `text`; `name` is what errors call it.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        match Document::parse(name, text)? {
            Document::App(file) => Ok(*file),
            Document::Group(group) => Err(ConfigError::new(format!(
                "{name} is for the group {}, and this is about one app",
                group.group
            ))
            .with_hint("leave -f out, and name the app")),
        }
    }
}

/// A file that is being read.
struct Source<'s> {
    name: &'s str,
    text: &'s str,
    tree: &'s Node,
    failures: &'s Failures,
}

impl Source<'_> {
    /// Returns the file of one app: what stands at the top, and over or beside it what stands at the member.
    fn file<R: Keyed, C: Keyed, M: Keyed>(
        &self,
        keys: &Keys,
        app: String,
        member: Option<(usize, &Member)>,
    ) -> Result<File<R, C, M>, ConfigError> {
        let Self { tree, failures, .. } = *self;
        let told = |failure| ConfigError::of(failure, self.name, self.text);
        let explain = |fault| told(failures.take(tree.at, &fault));
        let judge = |(at, what): (&Node, String)| told(Failure::new(at.at, what));
        let top = Table {
            node: tree,
            path: Path::Top,
            failures,
        };
        let lists = [
            keys.routers.as_ref(),
            keys.checks.as_ref(),
            keys.pre.as_ref(),
        ];
        let ones = [keys.router.is_some(), keys.metrics.is_some()];
        let shared: Tables<R, C, M> = top.read(lists, ones).map_err(explain)?;
        let apps = Path::Key(&Path::Top, "apps");
        let own: Tables<R, C, M> = match member {
            None => Tables::default(),
            Some((index, member)) => {
                let item = tree.get("apps").and_then(|apps| apps.item(index));
                let table = Table {
                    node: item.unwrap_or(tree),
                    path: Path::Item(&apps, index),
                    failures,
                };
                let lists = [
                    member.routers.as_ref(),
                    member.checks.as_ref(),
                    member.pre.as_ref(),
                ];
                let ones = [member.router.is_some(), member.metrics.is_some()];
                let own = table.read(lists, ones).map_err(explain)?;
                one(own, member.routers.is_some(), table.node).map_err(judge)?
            }
        };
        let shared = one(shared, keys.routers.is_some(), tree).map_err(judge)?;
        let metrics = own.metrics.or(shared.metrics);
        let mut given = shared.checks;
        given.extend(own.checks);
        let mut checks = C::defaults(&given, metrics.is_some());
        checks.append(&mut given);
        let mut pre = shared.pre;
        pre.extend(own.pre);
        let router = own.router.or(shared.router);
        let tables = (router, checks, pre, metrics);
        let mut file = keys.clone().into_file(self.name, app, tables);
        if let Some((_, member)) = member {
            let names = &mut file.overrides;
            names.stable = member.stable.clone().map(|name| name.0);
            names.canary = member.canary.clone().map(|name| name.0);
            names.service = member.service.clone().map(|name| name.0);
            file.load = member.load.clone().or(file.load);
        }
        Ok(file)
    }
}

/// What stands under the keys of tables, at the top or at a member.
struct Tables<R, C, M> {
    router: Option<R>,
    routers: Vec<R>,
    checks: Vec<C>,
    pre: Vec<C>,
    metrics: Option<M>,
}

impl<R, C, M> Default for Tables<R, C, M> {
    fn default() -> Self {
        Self {
            router: None,
            routers: Vec::new(),
            checks: Vec::new(),
            pre: Vec::new(),
            metrics: None,
        }
    }
}

/// A map with keys of tables.
struct Table<'t> {
    node: &'t Node,
    path: Path<'t>,
    failures: &'t Failures,
}

impl Table<'_> {
    /// Reads them: lists of routers, checks and those before the first user; a router and a source of
    /// metrics.
    fn read<R: Keyed, C: Keyed, M: Keyed>(
        &self,
        [routers, checks, pre]: [Option<&Vec<IgnoredAny>>; 3],
        [router, metrics]: [bool; 2],
    ) -> Result<Tables<R, C, M>, Fault> {
        Ok(Tables {
            router: self.one("router", router)?,
            routers: self.list("routers", routers)?,
            checks: self.list("checks", checks)?,
            pre: self.list("pre", pre)?,
            metrics: self.one("metrics", metrics)?,
        })
    }

    /// Reads what stands under a key, where it is given.
    fn one<T: Keyed>(&self, key: &'static str, given: bool) -> Result<Option<T>, Fault> {
        let read = |node| {
            keyed::read(At {
                node,
                path: Path::Key(&self.path, key),
                failures: self.failures,
            })
        };
        let node = self.node.get(key).filter(|_| given);
        node.map(read).transpose()
    }

    /// Reads the items of a list, each by the table it is of.
    fn list<T: Keyed>(
        &self,
        key: &'static str,
        given: Option<&Vec<IgnoredAny>>,
    ) -> Result<Vec<T>, Fault> {
        let list = self.node.get(key);
        let node = |index: usize| list.and_then(|list| list.item(index));
        let nodes = (0..given.map_or(0, Vec::len)).map_while(node);
        let path = Path::Key(&self.path, key);
        let read = |(index, node)| {
            keyed::read(At {
                node,
                path: Path::Item(&path, index),
                failures: self.failures,
            })
        };
        nodes.enumerate().map(read).collect()
    }
}

/// Returns the tables with one router: the one that is named, or several together.
fn one<R: Keyed, C, M>(
    mut tables: Tables<R, C, M>,
    several: bool,
    tree: &Node,
) -> Result<Tables<R, C, M>, (&Node, String)> {
    let node = tree.get("routers").unwrap_or(tree);
    let together = R::together(std::mem::take(&mut tables.routers));
    let router = match (tables.router.take(), together) {
        (Some(_), _) if several => {
            return Err((node, "routers: give this or `router`, not both".to_owned()));
        }
        (None, None) if several => {
            let text = "routers: name two at least, or use `router`";
            return Err((node, text.to_owned()));
        }
        (router, together) => router.or(together),
    };
    Ok(Tables { router, ..tables })
}

/// Says of a key that holds for all apps of a group, and stands at one of them, where it belongs.
fn check_members(tree: &Node) -> Result<(), Failure> {
    let Some(Value::List(members)) = tree.get("apps").map(|apps| &apps.value) else {
        return Ok(());
    };
    for (index, member) in members.iter().enumerate() {
        let Value::Map(entries) = &member.value else {
            continue;
        };
        let shared = |entry: &&Entry| OF_THE_GROUP.contains(&entry.key.as_str());
        if let Some(entry) = entries.iter().find(shared) {
            let what = format!(
                "apps[{index}]: '{}' holds for all apps of the group",
                entry.key
            );
            let hint = format!("write `{}` once, at the top of the file", entry.key);
            return Err(Failure::new(entry.at, what).with_hint(hint));
        }
    }
    Ok(())
}

/// Returns the node that keeps the apps from being a group, and how.
fn check_group<'a>(members: &[Member], tree: &'a Node) -> Result<(), (&'a Node, String)> {
    let apps = tree.get("apps").unwrap_or(tree);
    if let Some(node) = tree.get("app") {
        return Err((node, "app: give this or `apps`, not both".to_owned()));
    }
    let mut given = OF_ONE_APP.into_iter();
    if let Some((key, node)) = given.find_map(|key| Some((key, tree.get(key)?))) {
        let text = format!("{key}: give this at the app that it belongs to, in `apps`");
        return Err((node, text));
    }
    if members.len() < 2 {
        let text = "apps: a group has two apps at least; for one use `app`";
        return Err((apps, text.to_owned()));
    }
    for (index, member) in members.iter().enumerate() {
        let name = &member.app.0;
        if members[..index].iter().any(|before| before.app.0 == *name) {
            let node = apps.item(index).and_then(|item| item.get("app"));
            let text = format!("apps[{index}].app: '{name}' is in the group already");
            return Err((node.unwrap_or(apps), text));
        }
    }
    Ok(())
}

impl Keys {
    /// Returns the node that contradicts another, and how.
    fn check<'a>(&self, tree: &'a Node) -> Result<(), (&'a Node, String)> {
        if let (Some(node), None) = (tree.get("group"), &self.apps) {
            return Err((
                node,
                "group: it is the name of `apps`, which are missing".to_owned(),
            ));
        }
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
        app: String,
        (router, checks, pre, metrics): (Option<R>, Vec<C>, Vec<C>, Option<M>),
    ) -> File<R, C, M> {
        let promote = self.promote.unwrap_or_default();
        File {
            name: name.to_owned(),
            app,
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
            warmup: self.warmup.map(|span| span.0),
            cleanup: promote.canary,
            auto: promote.auto,
            create_route: self.create_route,
            load: self.load,
        }
    }
}
