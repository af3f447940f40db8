//! `auto`: the whole release, or the rest of one.

use std::collections::BTreeMap;

use crate::{
    domain::{
        decide::Goal,
        plan::Presence,
        view::Severity,
        workload::{Track, Tracks},
    },
    engine::start::{ImageOrder, Intent, containers},
    preflight::{self, owners},
};

use super::{
    Context,
    args::{AutoArgs, Until},
    drive::{Ride, ride},
    error::CliError,
    exit::Code,
    group::{Scope, Team, open_team, refuse_route},
    make_route::Making,
    metrics,
    router::Fitting,
    session::{Work, presence, work_with},
    signal::Signals,
    together::{Joint, ride_all},
    ui::Terminal,
};

pub(super) async fn run(
    context: &Context,
    args: &AutoArgs,
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
        refuse_route(args.create_route)?;
        return Box::pin(all(context, &mut team, args, (terminal, signals))).await;
    }
    let making = Making::asked(args.create_route);
    let with = (&mut *terminal, making);
    let mut work = work_with(context, app, &args.app.names, &args.plan, with).await?;
    if !work.goes_on() {
        metrics::discover(&mut work).await;
    }
    check_until(&work, args)?;
    preflight(&work, &args.image, args, terminal).await?;
    // Nobody waits for a person in a pipeline: the run stops, and goes on with the next call.
    let patient = presence(context, terminal) == Presence::Attended;
    if args.once {
        // Between two ticks nobody is there, whoever starts them.
        work.plan.attend(Presence::Unattended);
    }
    let goal = goal(args, patient);
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
    Ok(as_asked(args, code))
}

/// The same for all apps of a group.
async fn all(
    context: &Context,
    team: &mut Team,
    args: &AutoArgs,
    (terminal, signals): (&mut Terminal, Signals),
) -> Result<Code, CliError> {
    let images = team.images(&args.image)?;
    let patient = presence(context, terminal) == Presence::Attended;
    for (work, images) in team.members.iter_mut().zip(&images) {
        let app = work.settings.app.clone();
        if !work.goes_on() {
            metrics::discover(work).await;
        }
        check_until(work, args)?;
        let checked = preflight(work, images, args, terminal).await;
        checked.map_err(|error| error.of_member(&app))?;
        if args.once {
            work.plan.attend(Presence::Unattended);
        }
    }
    let intents = images.into_iter().map(|images| Intent::Auto {
        images,
        restart: args.restart,
    });
    let joint = Joint {
        intents: intents.collect(),
        goal: goal(args, patient),
        once: args.once,
        request: None,
        dry: args.dry_run,
        journal: true,
    };
    let code = Box::pin(ride_all(context, team, joint, terminal, signals)).await?;
    Ok(as_asked(args, code))
}

fn check_until(work: &Work, args: &AutoArgs) -> Result<(), CliError> {
    let steps = work.plan.steps.len();
    match args.until {
        Some(Until::Step(n)) if n > steps => {
            let text = format!("--until step={n}: the plan has {steps} steps");
            Err(CliError::usage(text, "count the steps from 1"))
        }
        Some(Until::Step(_) | Until::Paused | Until::Promoted) | None => Ok(()),
    }
}

/// Returns how far to go; who is `patient` waits for approvals.
fn goal(args: &AutoArgs, patient: bool) -> Goal {
    match args.until {
        Some(Until::Step(n)) => Goal::Step(n),
        Some(Until::Promoted) | None if patient => Goal::End,
        Some(Until::Paused | Until::Promoted) | None => Goal::Approval,
    }
}

/// Returns the exit code where a pause is what was asked for.
fn as_asked(args: &AutoArgs, code: Code) -> Code {
    let paused_as_asked = args.until == Some(Until::Paused) && code == Code::Unfinished;
    if paused_as_asked { Code::Done } else { code }
}

/// Looks for what would break a release that is about to begin; errors refuse it, warnings are said.
async fn preflight(
    work: &Work,
    images: &[ImageOrder],
    args: &AutoArgs,
    terminal: &mut Terminal,
) -> Result<(), CliError> {
    let images = by_container(work, images)?;
    if args.skip_preflight || work.goes_on() || has_one_version(work, &images) {
        return Ok(());
    }
    let subject = work.subject(!images.is_empty(), &images);
    let findings = preflight::findings(&work.session.cluster, &work.survey, &subject).await?;
    let of = |severity| findings.iter().filter(move |f| f.severity == severity);
    // Of other owners the driver tells, in full.
    let owners = owners::findings(&work.session.cluster, &work.survey, &subject);
    for warning in of(Severity::Warning).filter(|f| !owners.contains(f)) {
        terminal.warn(&format!("{} ({})", warning.what, warning.place));
    }
    let errors: Vec<_> = of(Severity::Error).collect();
    let Some(first) = errors.first() else {
        return Ok(());
    };
    let more = match errors.len() {
        1 => String::new(),
        n => format!(", and {} more", n - 1),
    };
    let text = format!("preflight: {} ({}){more}", first.what, first.place);
    let mut error = CliError::new(Code::Refused, text);
    if !first.fix.is_empty() {
        error = error.hint(first.fix.clone());
    }
    Err(error.hint("`check` lists everything; --skip-preflight begins all the same"))
}

fn by_container(work: &Work, orders: &[ImageOrder]) -> Result<BTreeMap<String, String>, CliError> {
    let canary = work.survey.deployment(&work.names.canary);
    match canary.or_else(|| work.survey.deployment(&work.names.stable)) {
        Some(pattern) => Ok(containers(pattern, orders)?),
        None => Ok(BTreeMap::new()),
    }
}

/// Returns whether there is nothing to release, which the engine says best.
fn has_one_version(work: &Work, images: &BTreeMap<String, String>) -> bool {
    let stable = work.survey.deployment(&work.names.stable);
    let canary = work.survey.deployment(&work.names.canary);
    let (Some(stable), Some(canary)) = (stable, canary) else {
        return canary.is_none() && images.is_empty();
    };
    let tracks = Tracks::between(&stable.object, &canary.object);
    let same = tracks.digest(stable.template(), Track::Stable)
        == tracks.digest(canary.template(), Track::Canary);
    same && images.is_empty()
}
