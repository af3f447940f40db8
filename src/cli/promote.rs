//! `promote`: the canary's version becomes the stable one.

use crate::{
    domain::decide::{Goal, Request},
    engine::start::Intent,
};

use super::{
    Context,
    args::PromoteArgs,
    drive::{Ride, ride},
    error::CliError,
    exit::Code,
    group::{Scope, open_team},
    router::Fitting,
    session::work,
    signal::Signals,
    together::{Joint, ride_all},
    ui::Terminal,
};

pub(super) async fn run(
    context: &Context,
    args: &PromoteArgs,
    terminal: &mut Terminal,
    signals: Signals,
) -> Result<Code, CliError> {
    let app = args.app.app.as_deref();
    let scope = Scope {
        app,
        names: &args.app.names,
        plan: &args.plan,
        fitting: Fitting::One,
    };
    if let Some(mut team) = open_team(context, scope, terminal).await? {
        let what = format!(
            "all apps of group {} ({})",
            team.name,
            team.apps().join(", ")
        );
        let question = format!(
            "promote {what} in {}: each stable gets the version of its canary? [y/N]",
            team.session.cluster.namespace()
        );
        if let Some(code) = confirm(context, args, terminal, (&what, &question))? {
            return Ok(code);
        }
        let joint = Joint {
            intents: vec![Intent::Promote; team.members.len()],
            goal: Goal::End,
            once: false,
            request: Some(Request::Promote { force: args.force }),
            dry: args.dry_run,
            journal: true,
        };
        return Box::pin(ride_all(context, &mut team, joint, terminal, signals)).await;
    }
    let work = work(context, app, &args.app.names, &args.plan, terminal).await?;
    let question = format!(
        "promote {} in {}: {} gets the version of {}? [y/N]",
        work.settings.app,
        work.session.cluster.namespace(),
        work.names.stable,
        work.names.canary
    );
    let asked = (work.settings.app.as_str(), question.as_str());
    if let Some(code) = confirm(context, args, terminal, asked)? {
        return Ok(code);
    }
    let order = Ride {
        intent: Intent::Promote,
        goal: Goal::End,
        once: false,
        request: Some(Request::Promote { force: args.force }),
        dry: args.dry_run,
        journal: true,
    };
    Box::pin(ride(context, &work, order, terminal, signals)).await
}

/// Asks before a promotion, where somebody can answer; returns the exit code of one that is not wanted.
fn confirm(
    context: &Context,
    args: &PromoteArgs,
    terminal: &mut Terminal,
    (what, question): (&str, &str),
) -> Result<Option<Code>, CliError> {
    if args.yes || args.dry_run || context.global.sandbox.is_some() {
        return Ok(None);
    }
    if !terminal.can_ask() {
        let text = format!("promoting {what} needs confirmation and stdin is not a terminal");
        return Err(CliError::usage(text, "pass --yes to confirm"));
    }
    let answer = terminal.ask(question).unwrap_or_default();
    if matches!(answer.as_str(), "y" | "Y" | "yes") {
        return Ok(None);
    }
    terminal.say("nothing was changed");
    Ok(Some(Code::Unfinished))
}
