//! `monitor`: stable and canary side by side, again and again. Reads only.

use std::{io::Write as _, path::Path};

use crate::{
    clock::Clock,
    domain::{
        decide::elapsed,
        release::{Outcome, Phase},
        view::StatusView,
    },
    report::{self, monitor::Rates},
};

use super::{
    Context,
    args::{MonitorArgs, MonitorUntil},
    error::CliError,
    exit::Code,
    signal::Signals,
    status::{look, prepare},
    ui::Terminal,
};

pub(super) async fn run(
    context: &Context,
    args: &MonitorArgs,
    terminal: &mut Terminal,
    mut signals: Signals,
) -> Result<Code, CliError> {
    let work = prepare(context, &args.app, terminal).await?;
    let clock = work.session.cluster.clock().clone();
    let started = clock.now();
    signals.catch();
    loop {
        let view = Box::pin(look(context, &work, true)).await?;
        show(&view, &clock, terminal);
        if terminal.is_gone() {
            return Ok(Code::Done);
        }
        if let Some(path) = &args.export {
            export(path, &view, &clock)?;
        }
        if let Some(code) = args.until.and_then(|until| reached(until, &view)) {
            return Ok(code);
        }
        let spent = elapsed(started, clock.now());
        if args
            .duration
            .is_some_and(|limit| spent + args.interval > limit)
        {
            return Ok(if args.until.is_some() {
                Code::Unfinished
            } else {
                Code::Done
            });
        }
        tokio::select! {
            biased;
            signal = signals.next() => return Ok(signal.code()),
            () = clock.sleep(args.interval) => {}
        }
    }
}

fn show(view: &StatusView, clock: &Clock, terminal: &mut Terminal) {
    let (now, rates, style) = (clock.now(), Rates::default(), terminal.style());
    if terminal.is_json() {
        let mut document = serde_json::to_value(view).unwrap_or_default();
        document["at"] = serde_json::json!(now);
        match report::json::compact(&document) {
            Ok(line) => terminal.answer(line),
            Err(error) => terminal.warn(&format!("a look cannot be written: {error}")),
        }
    } else if terminal.can_redraw() {
        terminal.redraw(report::monitor::screen_of(view, rates, now, style));
    } else {
        let wide = report::style::Style {
            width: 1000,
            ..style
        };
        terminal.answer(report::monitor::line_of(view, rates, now, wide));
    }
}

/// Returns the exit code when what is waited for is there, or cannot come any more.
fn reached(until: MonitorUntil, view: &StatusView) -> Option<Code> {
    let run = view.run.as_ref()?;
    let ended = run.phase == Phase::Ended;
    let waits = run.phase == Phase::Approving || (!ended && run.holder.is_none());
    match (until, run.outcome) {
        (MonitorUntil::Promoted, Some(Outcome::Promoted))
        | (MonitorUntil::RolledBack, Some(Outcome::RolledBack)) => Some(Code::Done),
        (MonitorUntil::Paused, None) if waits => Some(Code::Done),
        (MonitorUntil::Ended, Some(_)) if ended => Some(Code::Done),
        (_, Some(Outcome::RolledBack)) => Some(Code::RolledBack),
        (_, Some(Outcome::Incomplete)) => Some(Code::Incomplete),
        (_, Some(_)) if ended => Some(Code::Conflict),
        (_, Some(_) | None) => None,
    }
}

/// Appends a look to a file: CSV rows `timestamp,version,metric,value`, or a JSON object.
fn export(path: &Path, view: &StatusView, clock: &Clock) -> Result<(), CliError> {
    let fail = |error: std::io::Error| {
        let text = format!("{}: {error}", path.display());
        CliError::new(Code::Failed, text).hint("check the path given with --export")
    };
    let new = !path.exists();
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(fail)?;
    let now = clock.now();
    let text = if path.extension().is_some_and(|e| e == "csv") {
        let header = if new {
            "timestamp,version,metric,value\n"
        } else {
            ""
        };
        format!("{header}{}", rows(view, &now.to_string()))
    } else {
        let mut document = serde_json::to_value(view).unwrap_or_default();
        document["at"] = serde_json::json!(now);
        format!("{document}\n")
    };
    file.write_all(text.as_bytes()).map_err(fail)
}

fn rows(view: &StatusView, at: &str) -> String {
    let mut rows = String::new();
    let mut row = |track: &str, metric: &str, value: String| {
        let quoted = metric.replace('"', "\"\"");
        rows += &[at, ",", track, ",\"", &quoted, "\",", &value, "\n"].concat();
    };
    if let Some(split) = &view.split {
        row(
            "stable",
            "weight",
            (split.actual.rest().fraction() * 100.0).to_string(),
        );
        row(
            "canary",
            "weight",
            (split.actual.fraction() * 100.0).to_string(),
        );
    }
    for (track, side) in [("stable", &view.stable), ("canary", &view.canary)] {
        if let Some(side) = side {
            row(track, "replicas", side.replicas.to_string());
            row(track, "ready", side.ready.to_string());
            let restarts: u32 = side.pods.iter().map(|p| p.restarts).sum();
            row(track, "restarts", restarts.to_string());
        }
    }
    for check in &view.checks {
        row(
            "canary",
            &format!("{} verdict", check.name),
            check.verdict.word().to_owned(),
        );
        if let Some(value) = check.value {
            row("canary", &check.name, value.to_string());
        }
    }
    rows
}
