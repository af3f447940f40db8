//! `status`: one release, or all of them. Reads only.

use crate::{
    domain::view::{DOCUMENT, GroupView, ReleaseLine, StatusView},
    engine::start::{Begun, Intent, begin},
    journal::{self, JournalError, Saved},
    report,
};

use super::{
    Context,
    args::{AppArgs, PlanArgs, StatusArgs},
    error::CliError,
    exit::Code,
    group::{Scope, Team, open_team},
    router::Fitting,
    session::{Work, open, work},
    ui::Terminal,
};

pub(super) async fn run(
    context: &Context,
    args: &StatusArgs,
    terminal: &mut Terminal,
) -> Result<Code, CliError> {
    if args.app.app.is_none() && context.global.file.is_none() {
        return all(context, args.all_namespaces, terminal).await;
    }
    if let Some(team) = team(context, &args.app, terminal).await? {
        return group(context, &team, args, terminal).await;
    }
    if args.all_namespaces {
        let hint = "leave out the app, or -A";
        return Err(CliError::usage("-A shows all releases, not one app", hint));
    }
    let work = prepare(context, &args.app, terminal).await?;
    if let Some(unsure) = &work.unsure {
        terminal.warn(&format!(
            "{}: {}; {}",
            unsure.place, unsure.what, unsure.why
        ));
    }
    let view = Box::pin(look(context, &work, !args.quick)).await?;
    if terminal.is_json() {
        terminal.document(&view);
    } else {
        let now = work.session.cluster.clock().now();
        terminal.answer(report::status::status(&view, now, terminal.style()));
    }
    Ok(Code::Done)
}

/// Opens what a look at the apps of a group needs; `None` where it is about one app.
pub(super) async fn team(
    context: &Context,
    app: &AppArgs,
    terminal: &mut Terminal,
) -> Result<Option<Team>, CliError> {
    let plan = PlanArgs::default();
    let scope = Scope {
        app: app.app.as_deref(),
        names: &app.names,
        plan: &plan,
        fitting: Fitting::One,
    };
    Box::pin(open_team(context, scope, terminal)).await
}

async fn group(
    context: &Context,
    team: &Team,
    args: &StatusArgs,
    terminal: &mut Terminal,
) -> Result<Code, CliError> {
    for work in &team.members {
        if let Some(unsure) = &work.unsure {
            let app = &work.settings.app;
            terminal.warn(&format!(
                "{app}: {}: {}; {}",
                unsure.place, unsure.what, unsure.why
            ));
        }
    }
    let view = look_at_all(context, team, !args.quick).await?;
    if terminal.is_json() {
        terminal.document(&view);
    } else {
        let now = team.session.cluster.clock().now();
        terminal.answer(report::group::status(&view, now, terminal.style()));
    }
    Ok(Code::Done)
}

/// Looks at all apps of a group without changing anything.
pub(super) async fn look_at_all(
    context: &Context,
    team: &Team,
    checks: bool,
) -> Result<GroupView, CliError> {
    let looking = team.members.iter().map(|work| async move {
        let app = &work.settings.app;
        Box::pin(look(context, work, checks))
            .await
            .map_err(|error| error.of_member(app))
    });
    let mut members = futures::future::try_join_all(looking).await?;
    let runs = members.iter().filter_map(|view| view.run.as_ref());
    let latest = runs
        .max_by_key(|run| run.started)
        .and_then(|run| run.group.as_ref());
    let run = latest.map(|group| group.run.clone());
    tell_waits(&mut members);
    let active = |view: &StatusView| view.run.as_ref().is_some_and(|run| run.ended.is_none());
    let driven = |view: &StatusView| {
        let run = view.run.as_ref();
        run.is_some_and(|run| run.ended.is_none() && run.holder.is_some())
    };
    let next = if members.iter().any(driven) {
        team.invocation.command("monitor")
    } else if members.iter().any(active) {
        team.invocation.command("auto")
    } else {
        format!("{} --image APP=IMAGE", team.invocation.command("auto"))
    };
    let undo = members.iter().any(|view| view.undo.is_some());
    Ok(GroupView {
        version: DOCUMENT,
        group: team.name.clone(),
        namespace: team.session.cluster.namespace().to_owned(),
        run,
        members,
        next,
        undo: undo.then(|| team.invocation.command("rollback")),
    })
}

/// Says of members that have passed a gate for whom they wait.
fn tell_waits(members: &mut [StatusView]) {
    let passed = |view: &StatusView| {
        let run = view.run.as_ref().filter(|run| run.ended.is_none())?;
        Some(run.passed?.gate)
    };
    let apps: Vec<(String, Option<usize>)> = members
        .iter()
        .map(|view| (view.app.clone(), passed(view)))
        .collect();
    for view in members.iter_mut() {
        let Some(gate) = passed(view).filter(|_| view.waits_for.is_none()) else {
            continue;
        };
        let others = apps.iter().filter(|(app, _)| *app != view.app);
        let behind = others.filter(|(_, passed)| passed.is_none_or(|passed| passed < gate));
        let behind: Vec<&str> = behind.map(|(app, _)| app.as_str()).collect();
        if !behind.is_empty() {
            view.waits_for = Some(behind.join(", "));
        }
    }
}

/// Opens what a look at one app needs.
pub(super) async fn prepare(
    context: &Context,
    app: &AppArgs,
    terminal: &mut Terminal,
) -> Result<Work, CliError> {
    let plan = PlanArgs::default();
    work(context, app.app.as_deref(), &app.names, &plan, terminal).await
}

/// Looks at a release without changing anything.
pub(super) async fn look(
    context: &Context,
    work: &Work,
    checks: bool,
) -> Result<StatusView, CliError> {
    let order = work.order(context, Intent::Look, Box::new(|_| {}));
    let command = |verb: &str| work.invocation.command(verb);
    let looked = async {
        match Box::pin(begin(&work.session.cluster, order)).await? {
            Begun::Run(mut engine) => {
                let found_by = work.names.found_by.clone();
                let doubt = doubt(work);
                Ok(Box::pin(engine.view((found_by, doubt), checks, &command)).await?)
            }
            Begun::Nothing(text) => Err(CliError::new(Code::Failed, text)),
        }
    };
    looked.await.map_err(|e| e.for_app(&work.invocation))
}

/// Returns why the record is not believed, or cannot be read, if that is so.
fn doubt(work: &Work) -> Option<String> {
    let namespace = work.session.cluster.namespace();
    match Saved::of(&work.survey, namespace, &work.settings.app) {
        Ok(saved) => saved?.doubt().map(ToString::to_string),
        Err(error) => Some(error.to_string()),
    }
}

async fn all(
    context: &Context,
    everywhere: bool,
    terminal: &mut Terminal,
) -> Result<Code, CliError> {
    let namespace = context.global.namespace.as_deref();
    let session = open(context, namespace).await?;
    let journals = journal::all(&session.cluster, everywhere).await?;
    let lines: Vec<ReleaseLine> = journals.saved.iter().map(line).collect();
    for (namespace, error) in &journals.damaged {
        terminal.warn(&format!("namespace {namespace}: {error}"));
    }
    if terminal.is_json() {
        let mut document = serde_json::json!({"version": DOCUMENT, "releases": lines});
        if !journals.damaged.is_empty() {
            document["unreadable"] = journals.damaged.iter().map(unreadable).collect();
        }
        terminal.document(&document);
    } else if lines.is_empty() {
        let place = if everywhere {
            "in any namespace".to_owned()
        } else {
            format!("in namespace {}", session.cluster.namespace())
        };
        terminal.answer(format!("no releases {place}"));
        let start = format!(
            "start one with `{} auto APP --image IMAGE`",
            context.invoked_as
        );
        terminal.say(start);
    } else {
        let now = session.cluster.clock().now();
        let table = report::table::releases(&lines, everywhere, now, terminal.style());
        terminal.answer(table);
    }
    Ok(Code::Done)
}

fn unreadable((namespace, error): &(String, JournalError)) -> serde_json::Value {
    serde_json::json!({"namespace": namespace, "reason": error.to_string()})
}

fn line(saved: &Saved) -> ReleaseLine {
    let release = &saved.release;
    ReleaseLine {
        namespace: release.namespace.clone(),
        app: release.app.clone(),
        phase: release.phase,
        outcome: release.ending.filter(|_| release.is_over()),
        step: release.step_number(),
        steps: release.plan.steps.len(),
        target: release.target,
        since: release.since,
        holder: release.holder.as_ref().map(|h| h.who.clone()),
        doubt: saved.doubt().map(ToString::to_string),
    }
}
