//! `auto`: the whole release, or the rest of one.

use std::collections::BTreeMap;

use crate::{
    domain::{
        decide::Goal,
        plan::Presence,
        view::Severity,
        workload::{Track, Tracks},
    },
    engine::start::{Intent, containers},
    preflight::{self, owners},
};

use super::{
    Context,
    args::{AutoArgs, Until},
    drive::{Ride, ride},
    error::CliError,
    exit::Code,
    make_route::Making,
    metrics,
    session::{Work, presence, work_with},
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
    let making = Making::asked(args.create_route);
    let with = (&mut *terminal, making);
    let mut work = work_with(context, app, &args.app.names, &args.plan, with).await?;
    if !work.goes_on() {
        metrics::discover(&mut work).await;
    }
    if let Some(Until::Step(n)) = args.until
        && n > work.plan.steps.len()
    {
        let text = format!(
            "--until step={n}: the plan has {} steps",
            work.plan.steps.len()
        );
        return Err(CliError::usage(text, "count the steps from 1"));
    }
    preflight(&work, args, terminal).await?;
    // Nobody waits for a person in a pipeline: the run stops, and goes on with the next call.
    let patient = presence(context, terminal) == Presence::Attended;
    if args.once {
        // Between two ticks nobody is there, whoever starts them.
        work.plan.attend(Presence::Unattended);
    }
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

/// Looks for what would break a release that is about to begin; errors refuse it, warnings are said.
async fn preflight(work: &Work, args: &AutoArgs, terminal: &mut Terminal) -> Result<(), CliError> {
    let images = images(work, args)?;
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
    if !first.mend.is_empty() {
        error = error.hint(first.mend.clone());
    }
    Err(error.hint("`check` lists everything; --skip-preflight begins all the same"))
}

fn images(work: &Work, args: &AutoArgs) -> Result<BTreeMap<String, String>, CliError> {
    let canary = work.survey.deployment(&work.names.canary);
    match canary.or_else(|| work.survey.deployment(&work.names.stable)) {
        Some(pattern) => Ok(containers(pattern, &args.image)?),
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
