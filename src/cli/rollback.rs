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
    args::{PlanArgs, RollbackArgs},
    drive::{Ride, ride},
    error::CliError,
    exit::Code,
    group::{Scope, open_team},
    router::Fitting,
    session::{Work, work_back},
    signal::Signals,
    together::{Joint, ride_all},
    ui::Terminal,
};

pub(super) async fn run(
    context: &Context,
    args: &RollbackArgs,
    terminal: &mut Terminal,
    signals: Signals,
) -> Result<Code, CliError> {
    let app = args.app.app.as_deref();
    let plan = PlanArgs::default();
    let scope = Scope {
        app,
        names: &args.app.names,
        plan: &plan,
        fitting: Fitting::All,
    };
    if let Some(mut team) = open_team(context, scope, terminal).await? {
        if args.gradual {
            let hint = "leave --gradual out, or walk one app back by its name, without -f";
            return Err(CliError::usage(
                "--gradual: a group goes back at once",
                hint,
            ));
        }
        for work in team.members.iter_mut().filter(|_| args.delete) {
            work.plan.promote.canary = Cleanup::Delete;
        }
        let joint = Joint {
            intents: vec![Intent::Rollback; team.members.len()],
            goal: if args.now { Goal::Weight } else { Goal::End },
            once: false,
            request: Some(Request::Rollback),
            dry: args.dry_run,
            journal: true,
        };
        return Box::pin(ride_all(context, &mut team, joint, terminal, signals)).await;
    }
    let mut work = work_back(context, app, &args.app.names, terminal).await?;
    if args.delete {
        work.plan.promote.canary = Cleanup::Delete;
    }
    tell_of_group(&work, terminal);
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

/// Says what becomes of the other members where one of a group is taken back alone.
fn tell_of_group(work: &Work, terminal: &mut Terminal) {
    let record = work.record().filter(|saved| !saved.release.is_over());
    let Some(group) = record.and_then(|saved| saved.release.group) else {
        return;
    };
    let app = &work.settings.app;
    let others: Vec<&str> = group
        .members
        .iter()
        .map(String::as_str)
        .filter(|member| member != app)
        .collect();
    let text = format!(
        "{app} is a member of group {}: its run rolls back {} as well; if no run is active, roll them back, too",
        group.name,
        others.join(", ")
    );
    terminal.warn(&text);
}
