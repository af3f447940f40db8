//! `rollback`: out of the traffic, from any state, without configuration.

use crate::{
    domain::{
        decide::{Goal, Request},
        plan::Cleanup,
    },
    engine::start::Intent,
};

use super::{
    Context,
    args::RollbackArgs,
    drive::{Ride, ride},
    error::CliError,
    exit::Code,
    session::work_back,
    signal::Signals,
    ui::Terminal,
};

pub(super) async fn run(
    context: &Context,
    args: &RollbackArgs,
    terminal: &mut Terminal,
    signals: Signals,
) -> Result<Code, CliError> {
    let app = args.app.app.as_deref();
    let mut work = work_back(context, app, &args.app.names, terminal).await?;
    if args.delete {
        work.plan.promote.canary = Cleanup::Delete;
    }
    let order = Ride {
        intent: Intent::Rollback,
        goal: if args.now { Goal::Weight } else { Goal::End },
        once: false,
        request: Some(if args.gradual {
            Request::StepBack
        } else {
            Request::Rollback
        }),
        dry: args.dry_run,
        journal: true,
    };
    Box::pin(ride(context, &work, order, terminal, signals)).await
}
