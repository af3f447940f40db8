//! `auto`: the whole release, or the rest of one.

use crate::{domain::decide::Goal, engine::start::Intent};

use super::{
    Context,
    args::{AutoArgs, Until},
    drive::{Ride, ride},
    error::CliError,
    exit::Code,
    session::work,
    signal::Signals,
    ui::Terminal,
};

pub(super) async fn run(
    context: &Context,
    args: &AutoArgs,
    terminal: &mut Terminal,
    signals: Signals,
) -> Result<Code, CliError> {
    let app = args.app.app.as_deref();
    let work = work(context, app, &args.app.names, &args.plan, terminal).await?;
    if let Some(Until::Step(n)) = args.until
        && n > work.plan.steps.len()
    {
        let text = format!(
            "--until step={n}: the plan has {} steps",
            work.plan.steps.len()
        );
        return Err(CliError::usage(text, "count the steps from 1"));
    }
    // Nobody waits for a person in a pipeline: the run stops, and goes on with the next call.
    let patient = terminal.can_ask() && !context.environment.is_ci();
    let goal = match args.until {
        Some(Until::Step(n)) => Goal::Step(n),
        Some(Until::Promoted) | None if patient => Goal::End,
        Some(Until::Paused | Until::Promoted) | None => Goal::Approval,
    };
    let order = Ride {
        intent: Intent::Auto {
            images: args.image.clone(),
            restart: args.restart,
        },
        goal,
        once: args.once,
        request: None,
        dry: args.dry_run,
        journal: true,
    };
    let code = Box::pin(ride(context, &work, order, terminal, signals)).await?;
    let paused_as_asked = args.until == Some(Until::Paused) && code == Code::Unfinished;
    Ok(if paused_as_asked { Code::Done } else { code })
}
