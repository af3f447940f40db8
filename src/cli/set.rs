//! `set`: move the canary to a weight.

use crate::{
    domain::{decide::Goal, weight::WeightChange},
    engine::start::Intent,
};

use super::{
    Context,
    args::{PlanArgs, SetArgs},
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
    args: &SetArgs,
    terminal: &mut Terminal,
    signals: Signals,
) -> Result<Code, CliError> {
    let plan = PlanArgs::default();
    let (app, weight) = app_and_weight(args)?;
    let scope = Scope {
        app,
        names: &args.names,
        plan: &plan,
        fitting: Fitting::One,
    };
    if let Some(mut team) = open_team(context, scope, terminal).await? {
        let joint = Joint {
            intents: vec![Intent::Set(weight); team.members.len()],
            goal: Goal::Weight,
            once: false,
            request: None,
            dry: args.dry_run,
            journal: !args.no_journal,
        };
        return Box::pin(ride_all(context, &mut team, joint, terminal, signals)).await;
    }
    let work = work(context, app, &args.names, &plan, terminal).await?;
    let order = Ride {
        intent: Intent::Set(weight),
        goal: Goal::Weight,
        once: false,
        request: None,
        dry: args.dry_run,
        journal: !args.no_journal,
    };
    Box::pin(ride(context, &work, order, terminal, signals)).await
}

/// Returns the app, where it is named, and the weight.
fn app_and_weight(args: &SetArgs) -> Result<(Option<&str>, WeightChange), CliError> {
    if let Some(weight) = args.weight {
        return Ok((Some(&args.first), weight));
    }
    match args.first.parse() {
        Ok(weight) => Ok((None, weight)),
        Err(_) => Err(CliError::usage(
            format!("no weight is given for {}", args.first),
            format!("give one, such as `canaryctl set {} 25`", args.first),
        )),
    }
}
