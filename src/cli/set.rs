//! `set`: move the canary to a weight.

use crate::{domain::decide::Goal, engine::start::Intent};

use super::{
    Context,
    args::{PlanArgs, SetArgs},
    drive::{Ride, ride},
    error::CliError,
    exit::Code,
    session::work,
    signal::Signals,
    ui::Terminal,
};

pub(super) async fn run(
    context: &Context,
    args: &SetArgs,
    terminal: &mut Terminal,
    signals: Signals,
) -> Result<Code, CliError> {
    let plan = PlanArgs::default();
    let work = work(context, Some(&args.app), &args.names, &plan, terminal).await?;
    let order = Ride {
        intent: Intent::Set(args.weight),
        goal: Goal::Weight,
        once: false,
        request: None,
        dry: args.dry_run,
        journal: !args.no_journal,
    };
    Box::pin(ride(context, &work, order, terminal, signals)).await
}
