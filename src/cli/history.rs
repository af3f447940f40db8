//! `history`: who released what, when and why. Reads only.

use crate::{
    domain::view::{DOCUMENT, HistoryRun, HistoryView},
    journal::{Journal, PastRun, past_run},
    report,
};

use super::{
    Context,
    args::{HistoryArgs, PlanArgs},
    error::CliError,
    exit::Code,
    session::{open, settings},
    ui::Terminal,
};

pub(super) async fn run(
    context: &Context,
    args: &HistoryArgs,
    terminal: &mut Terminal,
) -> Result<Code, CliError> {
    let plan = PlanArgs::default();
    let settings = settings(
        context,
        args.app.app.as_deref(),
        &args.app.names,
        &plan,
        terminal,
    )?;
    let session = open(context, settings.namespace.as_deref()).await?;
    let journal = Journal::new(session.cluster.clone(), &settings.app);
    let saved = journal.load().await?;
    let mut runs: Vec<PastRun> = Vec::new();
    if let Some(saved) = saved {
        let mut latest = past_run(&saved.release);
        latest.unproven = saved.doubt().is_some();
        runs.push(latest);
        let doubtful = saved.doubt().is_some();
        let past = saved.past.into_iter().rev();
        runs.extend(past.map(|run| PastRun {
            unproven: run.unproven || doubtful,
            ..run
        }));
    }
    let view = HistoryView {
        version: DOCUMENT,
        app: settings.app.clone(),
        namespace: session.cluster.namespace().to_owned(),
        runs: runs.into_iter().map(shown).collect(),
    };
    if terminal.is_json() {
        terminal.document(&view);
    } else {
        terminal.answer(report::history::history(&view, terminal.style()));
    }
    Ok(Code::Done)
}

fn shown(run: PastRun) -> HistoryRun {
    HistoryRun {
        id: run.id,
        change: run.change,
        started: run.started,
        ended: run.ended,
        outcome: run.outcome,
        trail: run.trail,
        unproven: run.unproven,
    }
}
