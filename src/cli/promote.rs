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
    session::work,
    signal::Signals,
    ui::Terminal,
};

pub(super) async fn run(
    context: &Context,
    args: &PromoteArgs,
    terminal: &mut Terminal,
    signals: Signals,
) -> Result<Code, CliError> {
    let app = args.app.app.as_deref();
    let work = work(context, app, &args.app.names, &args.plan, terminal).await?;
    let silent = args.yes || args.dry_run || context.global.sandbox.is_some();
    if !silent && !terminal.can_ask() {
        let text = format!(
            "promoting {} asks first, and nobody can answer here",
            work.settings.app
        );
        return Err(CliError::usage(text, "say --yes when it is meant"));
    }
    if !silent {
        let question = format!(
            "promote {} in {}: {} gets the version of {}? [y/N]",
            work.settings.app,
            work.session.cluster.namespace(),
            work.names.stable,
            work.names.canary
        );
        let answer = terminal.ask(&question).unwrap_or_default();
        if !matches!(answer.as_str(), "y" | "Y" | "yes") {
            terminal.say("nothing was changed");
            return Ok(Code::Unfinished);
        }
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
