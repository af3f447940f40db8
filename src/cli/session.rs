//! From flags to a cluster: a real one, or the simulator.
//!
//! Owns: settings, the connection, names, router. Must not: run a verb.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use serde_json::Value;

use crate::{
    clock::Clock,
    cluster::{
        Cluster,
        connect::{self, Target},
        discover::{self, Names},
        objects::Survey,
    },
    config::{Document, File, GroupFile, Overrides, Settings, unknown_variables},
    document::{self, nearest},
    domain::{
        check::CheckSpec,
        group::Group,
        plan::{Plan, Presence, Strategy},
        release::RouterSpec,
        view::Finding,
    },
    engine::{
        Sink,
        start::{Intent, Order, Own},
    },
    health,
    journal::{self, Saved},
    preflight::Subject,
    report::closing::Invocation,
    sim::{
        Machine, SimCluster,
        scenario::{Scenario, ScenarioError, parse_objects},
    },
    traffic::{self, blueprint::Blueprint},
};

use super::{
    Context,
    args::{NameArgs, PlanArgs},
    env,
    error::CliError,
    make_route::{self, Making},
    router::{Fitting, find_router, reaches, sibling, strays},
    tables::{CheckEntry, MetricsEntry, RouterEntry},
    ui::Terminal,
};

/// Speed of a simulated cluster on which a command runs, unless another is asked for.
const SPEED: f64 = 20.0;

/// Longest wait for what only says whether a rollback is all: traffic moves first.
const MOST_BEFORE_A_ROLLBACK: Duration = Duration::from_secs(2);

/// Configuration of the simulated payment API.
const SANDBOX_CONFIG: &str = include_str!("../../examples/payment-api/canary.yaml");

/// Names under which a configuration is looked for in a folder of objects.
const CONFIG_NAME: &str = "canary.yaml";

/// The file with the program's tables.
pub(super) type ConfigFile = File<RouterEntry, CheckEntry, MetricsEntry>;

/// A file for several apps, with the program's tables.
pub(super) type GroupConfig = GroupFile<RouterEntry, CheckEntry, MetricsEntry>;

/// A file of either kind, with the program's tables.
type ConfigDocument = Document<RouterEntry, CheckEntry, MetricsEntry>;

/// The settings with the program's tables.
pub(super) type AppSettings = Settings<RouterEntry, CheckEntry, MetricsEntry>;

/// An open cluster.
#[derive(Clone)]
pub(super) struct Session {
    /// The connection, in the namespace in force.
    pub(super) cluster: Cluster,
    /// Name of the cluster, for people.
    pub(super) cluster_name: String,
    /// The simulator, which ends with the session.
    _machine: Option<Machine>,
}

/// What a verb works on: settings, cluster, objects.
pub(super) struct Work {
    /// The settings.
    pub(super) settings: AppSettings,
    /// The cluster.
    pub(super) session: Session,
    /// What was read of the namespace.
    pub(super) survey: Survey,
    /// Names of the app's objects.
    pub(super) names: Names,
    /// The router.
    pub(super) router: RouterSpec,
    /// Why another router may be the right one, or this one moves nothing, if that is so.
    pub(super) unsure: Option<Finding>,
    /// The route that could be made, and whether it is to be.
    pub(super) route: Option<(Blueprint, Making)>,
    /// The plan.
    pub(super) plan: Plan,
    /// How hints should call the tool.
    pub(super) invocation: Invocation,
    /// The run of the group that it is a member of, where it is released as one.
    pub(super) group: Option<Group>,
}

/// Reads the settings for `app`.
pub(super) fn settings(
    context: &Context,
    app: Option<&str>,
    names: &NameArgs,
    plan: &PlanArgs,
    terminal: &mut Terminal,
) -> Result<AppSettings, CliError> {
    let file = match file(context)? {
        Some(Document::Group(group)) => return Err(not_one_app(app, &group)),
        Some(Document::App(file)) => Some(*file),
        None => None,
    };
    warn_of_variables(context, terminal);
    settings_by(context, app, names, plan, file)
}

/// Says which variables mean nothing.
pub(super) fn warn_of_variables(context: &Context, terminal: &mut Terminal) {
    for unknown in unknown_variables(context.environment.names()) {
        terminal.warn(&unknown);
    }
}

/// Returns the error of a command about one app with a file for several.
pub(super) fn not_one_app(app: Option<&str>, group: &GroupConfig) -> CliError {
    let Some(app) = app else {
        let text = format!(
            "{} is for the group {}, and this is about one app",
            group.name, group.group
        );
        return CliError::usage(text, "leave -f out, and name the app");
    };
    let text = format!(
        "the command line names the app '{app}' but {} is for the group {}",
        group.name, group.group
    );
    let hint = format!("leave '{app}' out to take all its apps; for {app} alone leave -f out");
    CliError::usage(text, hint)
}

/// Returns the settings for an app by its file, if there is one.
pub(super) fn settings_by(
    context: &Context,
    app: Option<&str>,
    names: &NameArgs,
    plan: &PlanArgs,
    file: Option<ConfigFile>,
) -> Result<AppSettings, CliError> {
    let environment =
        Overrides::from_env(&|name| context.environment.get(name).map(str::to_owned))?;
    let plan = plan.clone();
    let flags = Overrides {
        namespace: context.global.namespace.clone(),
        stable: names.stable.clone(),
        canary: names.canary.clone(),
        service: names.service.clone(),
        steps: plan.steps.map(|steps| steps.0),
        hold: plan.hold,
        interval: plan.interval,
        on_unknown: plan.on_unknown,
        on_failure: plan.on_failure,
        on_interrupt: plan.on_interrupt,
        promote: plan.strategy,
    };
    let mut settings = AppSettings::resolve(app, flags, environment, file)?;
    if let Some(name) = &names.router {
        settings.router = Some(RouterEntry(named_router(name)?));
    }
    Ok(settings)
}

pub(super) fn named_router(name: &str) -> Result<RouterSpec, CliError> {
    if traffic::provider(name).is_none() {
        let known: Vec<&str> = traffic::PROVIDERS.iter().map(|p| p.name()).collect();
        let text = format!("no router '{name}'; there are: {}", known.join(", "));
        let hint = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean '{near}'? Leave --router out to have it detected"),
            None => "leave --router out to have it detected".to_owned(),
        };
        return Err(CliError::usage(text, hint));
    }
    Ok(RouterSpec {
        name: name.to_owned(),
        options: Value::Null,
    })
}

/// Returns the file for several apps, where one is given.
pub(super) fn group_file(context: &Context) -> Result<Option<GroupConfig>, CliError> {
    match file(context)? {
        Some(Document::Group(group)) => Ok(Some(group)),
        Some(Document::App(_)) | None => Ok(None),
    }
}

fn file(context: &Context) -> Result<Option<ConfigDocument>, CliError> {
    let named = context.global.file.as_deref();
    let named = named.or_else(|| context.environment.get("CANARYCTL_CONFIG").map(Path::new));
    if let Some(path) = named {
        return document(path).map(Some);
    }
    let Some(sandbox) = &context.global.sandbox else {
        return Ok(None);
    };
    let folder = Path::new(sandbox);
    if folder.is_dir() {
        let path = folder.join(CONFIG_NAME);
        return path.is_file().then(|| document(&path)).transpose();
    }
    Ok(Some(Document::parse(
        "the sandbox's canary.yaml",
        SANDBOX_CONFIG,
    )?))
}

/// Reads a configuration file of one app.
pub(super) fn read(path: &Path) -> Result<ConfigFile, CliError> {
    let (name, text) = named_text(path)?;
    Ok(File::parse(&name, &text)?)
}

/// Reads a configuration file.
fn document(path: &Path) -> Result<ConfigDocument, CliError> {
    let (name, text) = named_text(path)?;
    Ok(Document::parse(&name, &text)?)
}

fn named_text(path: &Path) -> Result<(String, String), CliError> {
    let name = path.display().to_string();
    let text = text_of(path).map_err(|error| {
        CliError::usage(format!("{name}: {error}"), "check the path given with -f")
    })?;
    Ok((name, text))
}

/// Returns the text of a file, and of a larger one than is taken only so much that this is seen.
fn text_of(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let most = u64::try_from(document::LARGEST).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() > document::LARGEST {
        // It may end within a character; its size is what counts.
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    let invalid = "stream did not contain valid UTF-8";
    String::from_utf8(bytes)
        .map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, invalid))
}

/// Opens the cluster.
pub(super) async fn open(context: &Context, namespace: Option<&str>) -> Result<Session, CliError> {
    let running = context.machine.clone();
    let running = running.map(|machine| (machine, "simulated".to_owned()));
    let sandbox = context.global.sandbox.as_deref();
    let started = || -> Result<_, CliError> {
        let sandbox = sandbox.map(|name| {
            let sim = simulate(context, name, namespace, SPEED)?;
            let machine = Machine::beside(Arc::new(sim));
            Ok::<_, CliError>((machine, format!("sandbox {name}")))
        });
        sandbox.transpose()
    };
    let simulated = match running {
        Some(running) => Some(running),
        None => started()?,
    };
    if let Some((machine, cluster_name)) = simulated {
        let namespace = namespace.unwrap_or("default");
        let client = machine.client(namespace);
        return Ok(Session {
            cluster: Cluster::new(client, namespace, machine.clock().clone())
                .with_variables(context.environment.variables()),
            cluster_name,
            _machine: Some(machine),
        });
    }
    let target = Target {
        kubeconfig: context.global.kubeconfig.clone(),
        files: context.environment.kubeconfigs(),
        context: context.global.context.clone(),
        namespace: namespace.map(str::to_owned),
    };
    let connection = connect::connect(&target, &Clock::System).await?;
    drop(context.server.set(connection.server));
    let cluster = Cluster::new(connection.client, connection.namespace, Clock::System);
    Ok(Session {
        cluster: cluster
            .with_request_timeout(context.global.timeout)
            .with_variables(context.environment.variables()),
        cluster_name: connection.cluster,
        _machine: None,
    })
}

/// Starts a simulated cluster: a built-in scenario, or a folder of objects; those that name no
/// namespace go where `-n` says, as with `kubectl apply -n`. It runs `speed` times as
/// fast as the clock unless the command line says otherwise.
pub(super) fn simulate(
    context: &Context,
    sandbox: &str,
    namespace: Option<&str>,
    speed: f64,
) -> Result<SimCluster, CliError> {
    let epoch = match context.environment.get("CANARYCTL_NOW") {
        Some(text) => text.parse().map_err(|_| {
            CliError::usage(
                format!("CANARYCTL_NOW: '{text}' is not a time"),
                "write 2026-01-05T09:00:00Z",
            )
        })?,
        None => Clock::System.now(),
    };
    let clock = Clock::simulated(epoch, context.global.speed.unwrap_or(speed));
    let folder = Path::new(sandbox);
    let unknown = |error: &dyn std::fmt::Display| {
        CliError::usage(
            format!("sandbox: {error}"),
            "`canaryctl sandbox --list` shows the scenarios; a folder must exist",
        )
    };
    if !folder.is_dir() {
        if sandbox.contains('/') {
            return Err(unknown(&format!("there is no folder {sandbox}")));
        }
        let scenario = Scenario::builtin(sandbox).map_err(|e| unknown(&e));
        let scenario = scenario.map_err(|error| nearest_scenario(error, sandbox))?;
        return Ok(SimCluster::start(scenario, None, clock)?);
    }
    let (scenario, mut objects) = from_folder(folder)?;
    for object in &mut objects {
        let meta = &mut object["metadata"];
        if let Some(namespace) = namespace.filter(|_| meta["namespace"].is_null()) {
            meta["namespace"] = Value::from(namespace);
        }
    }
    Ok(SimCluster::start(scenario, Some(objects), clock)?)
}

fn nearest_scenario(mut error: CliError, name: &str) -> CliError {
    let names = Scenario::names().iter().map(|(known, _)| *known);
    if let Some(known) = nearest(name, names) {
        error.hints.insert(0, format!("did you mean '{known}'?"));
    }
    error
}

fn from_folder(folder: &Path) -> Result<(Scenario, Vec<Value>), CliError> {
    let trouble = |path: &Path, error: &dyn std::fmt::Display| {
        CliError::usage(
            format!("{}: {error}", path.display()),
            "a sandbox folder holds YAML objects and an optional scenario.yaml",
        )
    };
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .map_err(|e| trouble(folder, &e))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|e| e == "yaml" || e == "yml" || e == "json")
        })
        .collect();
    paths.sort();
    let mut scenario = Scenario::builtin("healthy").map_err(|e| trouble(folder, &e))?;
    let mut objects = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).map_err(|e| trouble(&path, &e))?;
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or_default();
        if name == CONFIG_NAME {
            continue;
        }
        if name == "scenario.yaml" {
            scenario = Scenario::parse(&text).map_err(|error| {
                let mut told = trouble(&path, &error);
                if let ScenarioError::Text(failure) = error {
                    told.hints.splice(0..0, failure.hint);
                }
                told
            })?;
            continue;
        }
        objects.extend(parse_objects(&text).map_err(|e| trouble(&path, &e))?);
    }
    if objects.is_empty() {
        return Err(trouble(folder, &"there are no objects in it"));
    }
    Ok((scenario, objects))
}

/// Returns whether somebody is there who can decide: at a terminal, and not in a pipeline.
pub(super) fn presence(context: &Context, terminal: &Terminal) -> Presence {
    if terminal.can_ask() && !context.environment.is_ci() {
        Presence::Attended
    } else {
        Presence::Unattended
    }
}

/// Opens the cluster and finds the app's objects.
pub(super) async fn work(
    context: &Context,
    app: Option<&str>,
    names: &NameArgs,
    plan: &PlanArgs,
    terminal: &mut Terminal,
) -> Result<Work, CliError> {
    work_with(context, app, names, plan, (terminal, Making::Nothing)).await
}

/// The same for a verb that has to do with a route that is to be made.
pub(super) async fn work_with(
    context: &Context,
    app: Option<&str>,
    names: &NameArgs,
    plan: &PlanArgs,
    (terminal, making): (&mut Terminal, Making),
) -> Result<Work, CliError> {
    let settings = settings(context, app, names, plan, terminal)?;
    let making = match making {
        Making::Offer if settings.create_route => Making::Route,
        making @ (Making::Nothing | Making::Offer | Making::Route) => making,
    };
    let how = (terminal, Fitting::One, making);
    Box::pin(work_by(context, names, settings, how)).await
}

/// The same for a rollback, which lowers all that it finds.
pub(super) async fn work_back(
    context: &Context,
    app: Option<&str>,
    names: &NameArgs,
    terminal: &mut Terminal,
) -> Result<Work, CliError> {
    let plan = PlanArgs::default();
    let settings = settings(context, app, names, &plan, terminal)?;
    let how = (terminal, Fitting::All, Making::Nothing);
    Box::pin(work_by(context, names, settings, how)).await
}

async fn work_by(
    context: &Context,
    given: &NameArgs,
    settings: AppSettings,
    (terminal, fitting, making): (&mut Terminal, Fitting, Making),
) -> Result<Work, CliError> {
    let plan = planned(&settings, presence(context, terminal))?;
    let session = open(context, settings.namespace.as_deref()).await?;
    let invocation = context.invocation(&settings.app, session.cluster.namespace(), given);
    let mut work = work_in(settings, plan, session, invocation, (fitting, making)).await?;
    doubt(&mut work, &[], (fitting, terminal)).await?;
    Ok(work)
}

/// Returns the plan that settings make.
pub(super) fn planned(settings: &AppSettings, presence: Presence) -> Result<Plan, CliError> {
    let at_steps = settings.checks.iter().map(|check| check.0.clone());
    let before = settings.pre.iter().map(|check| CheckSpec {
        pre: true,
        ..check.0.clone()
    });
    let checks: Vec<CheckSpec> = at_steps.chain(before).collect();
    let metrics = settings.metrics.as_ref().map(|entry| entry.0.clone());
    let checks = health::source::fitted(checks, metrics.as_ref()).map_err(|error| {
        let hint = "choose another check or another preset of `metrics`";
        CliError::usage(error.to_string(), hint)
    })?;
    Ok(settings.plan(checks, metrics, presence)?)
}

/// Finds an app's objects in an open cluster.
pub(super) async fn work_in(
    settings: AppSettings,
    plan: Plan,
    session: Session,
    invocation: Invocation,
    (fitting, making): (Fitting, Making),
) -> Result<Work, CliError> {
    let record = journal::config_map(&settings.app);
    let namespace = session.cluster.namespace();
    let configured = settings.router.as_ref().map(|entry| &entry.0);
    let (wanted, knowledge) = traffic::wanted(configured);
    let survey = session.cluster.survey(&record, &wanted, knowledge).await;
    let survey = survey.map_err(|e| CliError::from(e).for_app(&invocation))?;
    session.cluster.go_by_server();
    let recorded = recorded(&survey, namespace, &settings.app);
    let mut names = find_names(&survey, namespace, &settings, recorded.as_ref())?;
    let goes_on = recorded
        .as_ref()
        .is_some_and(|saved| !saved.release.is_over());
    let found = match &settings.router {
        Some(router) => Ok((router.0.clone(), None)),
        None => find_router((&survey, namespace), &mut names, recorded.as_ref(), fitting),
    };
    let route = {
        let making = if goes_on { Making::Nothing } else { making };
        let place = make_route::Place {
            cluster: &session.cluster,
            survey: &survey,
            names: &names,
            named: configured,
            found: found.as_ref().ok().map(|(router, _)| router),
        };
        route_of(&place, making, plan.promote.strategy).map_err(|e| e.for_app(&invocation))?
    };
    let (router, unsure) = match (&route, found) {
        (Some((made, Making::Route)), _) => {
            names.found_by.retain(|how| !how.starts_with("router "));
            names.found_by.push(make_route::found_by(made));
            (made.router.clone(), None)
        }
        (Some(_), Err(error)) => return Err(error.hint(MAKES_ONE).for_app(&invocation)),
        (_, found) => found?,
    };
    Ok(Work {
        settings,
        session,
        survey,
        names,
        router,
        unsure,
        route,
        plan,
        invocation,
        group: None,
    })
}

/// What may help where no route leads to the canary.
pub(super) const MAKES_ONE: &str = "`canaryctl auto APP --create-route` creates a route to the canary for the release, and `canaryctl check APP` prints it";

/// Returns the route to be made, where one is missing.
fn route_of(
    place: &make_route::Place<'_>,
    making: Making,
    strategy: Strategy,
) -> Result<Option<(Blueprint, Making)>, CliError> {
    let route = match making {
        Making::Nothing => return Ok(None),
        // What could be made is worth a word, what could not is none.
        Making::Offer => place.route().ok().flatten(),
        Making::Route => place.route()?,
    };
    if making == Making::Route && route.is_some() {
        make_route::refuse_strategy(strategy)?;
    }
    Ok(route.map(|route| (route, making)))
}

/// Notes what keeps the router from being used, where nothing is noted yet: that it moves what is no part of
/// the release, nor of one of its siblings, or that somebody else's objects lead to the app.
pub(super) async fn doubt(
    work: &mut Work,
    siblings: &[&Work],
    (fitting, terminal): (Fitting, &mut Terminal),
) -> Result<(), CliError> {
    if work.made_route().is_some() {
        return Ok(());
    }
    let (cluster, ours) = (&work.session.cluster, (&work.names, &work.router));
    let siblings: Vec<_> = siblings
        .iter()
        .map(|work| sibling(&work.names, &work.router))
        .collect();
    if work.unsure.is_none() && fitting == Fitting::One {
        work.unsure = strays(cluster, &work.survey, ours, &siblings);
        let shares = work.unsure.is_none()
            && !siblings.is_empty()
            && strays(cluster, &work.survey, ours, &[]).is_some();
        if shares && work.plan.brake {
            // The others would put back the weight that it takes off.
            work.plan.brake = false;
            let how = "its weight moves users of other apps of the group as well: no traffic pause";
            work.names.found_by.push(how.to_owned());
        }
    }
    let detected = work.settings.router.is_none() && !work.goes_on();
    if work.unsure.is_none() && detected {
        work.unsure = from_elsewhere(work, (fitting, terminal)).await?;
    }
    Ok(())
}

/// Returns which object of another namespace leads to the app, where it is released by pods. What cannot be told
/// holds up whoever gives the canary users, not who takes them away.
async fn from_elsewhere(
    work: &Work,
    (fitting, terminal): (Fitting, &mut Terminal),
) -> Result<Option<Finding>, CliError> {
    let cluster = &work.session.cluster;
    let found = reaches(cluster, &work.survey, (&work.names, &work.router));
    if fitting == Fitting::One {
        let found = found.await;
        return found.map_err(|e| CliError::from(e).for_app(&work.invocation));
    }
    let found = cluster.clock().timeout(MOST_BEFORE_A_ROLLBACK, found).await;
    let found = match found {
        Ok(found) => found.map_err(|error| error.to_string()),
        Err(late) => Err(late.to_string()),
    };
    Ok(found.unwrap_or_else(|why| {
        let canary = &work.names.canary;
        terminal.warn(&format!(
            "whether a route of another namespace gives {canary} traffic is not known: {why}"
        ));
        None
    }))
}

/// Returns the record of an app, where it is authentic.
fn recorded(survey: &Survey, namespace: &str, app: &str) -> Option<Saved> {
    let saved = Saved::of(survey, namespace, app).ok().flatten();
    saved.and_then(Saved::authentic)
}

/// Finds the app's objects: as they were named here, else as the last run had them, else by convention.
fn find_names(
    survey: &Survey,
    namespace: &str,
    settings: &AppSettings,
    recorded: Option<&Saved>,
) -> Result<Names, CliError> {
    let names = discover::names(
        survey,
        namespace,
        &settings.app,
        settings.stable.as_deref(),
        settings.canary.as_deref(),
        settings.service.as_deref(),
    );
    if let (Ok(names), Some(saved)) = (&names, recorded)
        && (&names.stable, &names.canary) == (&saved.release.canary, &saved.release.stable)
    {
        // The last release changed the roles, whatever the names say.
        let found_by = format!("roles as recorded by run {}", saved.release.id);
        return Ok(Names {
            stable: names.canary.clone(),
            canary: names.stable.clone(),
            service: names.service.clone(),
            found_by: names.found_by.iter().cloned().chain([found_by]).collect(),
        });
    }
    let given = (&settings.stable, &settings.canary, &settings.service);
    if let ((None, None, None), Some(saved)) = (given, recorded)
        && survey.deployment(&saved.release.stable).is_some()
    {
        let run = &saved.release;
        let same = |names: &&Names| {
            (&names.stable, &names.canary, &names.service)
                == (&run.stable, &run.canary, &run.service)
        };
        if names.as_ref().is_ok_and(|names| same(&names)) {
            return Ok(names?);
        }
        return Ok(Names {
            stable: run.stable.clone(),
            canary: run.canary.clone(),
            service: run.service.clone(),
            found_by: vec![format!(
                "Deployments {} and {} by the record of run {}",
                run.stable, run.canary, run.id
            )],
        });
    }
    Ok(names?)
}

impl Work {
    /// Returns whom the findings of `check` are about.
    pub(super) fn subject<'w>(
        &'w self,
        create: bool,
        images: &'w BTreeMap<String, String>,
    ) -> Subject<'w> {
        Subject {
            app: &self.settings.app,
            names: &self.names,
            router: &self.router,
            plan: &self.plan,
            create,
            images,
            route: self.made_route(),
        }
    }

    /// Returns the route that the release is to make for itself, if it is.
    pub(super) fn made_route(&self) -> Option<&Blueprint> {
        let (route, making) = self.route.as_ref()?;
        (*making == Making::Route).then_some(route)
    }

    /// Returns the record of the app, where it is authentic.
    pub(super) fn record(&self) -> Option<Saved> {
        let namespace = self.session.cluster.namespace();
        recorded(&self.survey, namespace, &self.settings.app)
    }

    /// Returns whether an unfinished run is there to be resumed.
    pub(super) fn goes_on(&self) -> bool {
        self.record().is_some_and(|saved| !saved.release.is_over())
    }

    /// Returns the order to the engine.
    pub(super) fn order(&self, context: &Context, intent: Intent, sink: Sink) -> Order {
        Order {
            app: self.settings.app.clone(),
            names: self.names.clone(),
            router: self.router.clone(),
            route: self.made_route().cloned(),
            plan: self.plan.clone(),
            intent,
            group: self.group.clone(),
            who: context.environment.who(),
            holder: env::process_id(self.session.cluster.clock().now()),
            own: Own::new(context.environment.process(), env::is_gone),
            sink,
            journal: true,
            survey: Some(self.survey.clone()),
        }
    }
}
