//! `monitor`: stable and canary side by side, again and again. Reads only.

use std::{io::Write as _, path::Path};

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    clock::Clock,
    domain::{
        decide::elapsed,
        release::{Outcome, Phase},
        view::{GroupView, StatusView},
    },
    report::{self, monitor::Rates},
};

use super::{
    Context,
    args::{MonitorArgs, MonitorUntil},
    error::CliError,
    exit::Code,
    group::Team,
    session::Work,
    signal::Signals,
    status::{look, look_at_all, prepare, team},
    ui::Terminal,
};

/// What is watched.
enum Watched {
    /// One app.
    App(Box<Work>),
    /// All apps of a group.
    Group(Box<Team>),
}

/// What was seen.
enum Seen {
    /// Of one app.
    App(Box<StatusView>),
    /// Of a group.
    Group(GroupView),
}

impl Watched {
    async fn look(&self, context: &Context) -> Result<Seen, CliError> {
        match self {
            Self::App(work) => {
                let view = Box::pin(look(context, work, true)).await?;
                Ok(Seen::App(Box::new(view)))
            }
            Self::Group(team) => Ok(Seen::Group(look_at_all(context, team, true).await?)),
        }
    }

    fn clock(&self) -> Clock {
        let cluster = match self {
            Self::App(work) => &work.session.cluster,
            Self::Group(team) => &team.session.cluster,
        };
        cluster.clock().clone()
    }
}

impl Seen {
    fn views(&self) -> &[StatusView] {
        match self {
            Self::App(view) => std::slice::from_ref(view),
            Self::Group(view) => &view.members,
        }
    }
}

pub(super) async fn run(
    context: &Context,
    args: &MonitorArgs,
    terminal: &mut Terminal,
    mut signals: Signals,
) -> Result<Code, CliError> {
    let watched = match team(context, &args.app, terminal).await? {
        Some(team) => Watched::Group(Box::new(team)),
        None => Watched::App(Box::new(prepare(context, &args.app, terminal).await?)),
    };
    let clock = watched.clock();
    let started = clock.now();
    signals.catch();
    loop {
        let seen = Box::pin(watched.look(context)).await?;
        match &seen {
            Seen::App(view) => show(view, &clock, terminal),
            Seen::Group(view) => show_all(view, &clock, terminal),
        }
        if terminal.is_gone() {
            return Ok(Code::Done);
        }
        if let Some(path) = &args.export {
            let several = matches!(seen, Seen::Group(_));
            for view in seen.views() {
                export(path, (view, several), &clock)?;
            }
        }
        if let Some(code) = args
            .until
            .and_then(|until| all_reached(until, seen.views()))
        {
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

/// Writes a look as one line of JSON, with its moment.
fn answer_json(view: &impl Serialize, now: Timestamp, terminal: &mut Terminal) {
    let mut document = serde_json::to_value(view).unwrap_or_default();
    document["at"] = serde_json::json!(now);
    match report::json::compact(&document) {
        Ok(line) => terminal.answer(line),
        Err(error) => terminal.warn(&format!("failed to serialize the status: {error}")),
    }
}

/// Shows a group: one screen, or a line for each member.
fn show_all(view: &GroupView, clock: &Clock, terminal: &mut Terminal) {
    let (now, style) = (clock.now(), terminal.style());
    if terminal.is_json() {
        answer_json(view, now, terminal);
    } else if terminal.can_redraw() {
        terminal.redraw(report::group::status(view, now, style));
    } else {
        let wide = report::style::Style {
            width: 1000,
            ..style
        };
        let width = view.members.iter().map(|m| m.app.len()).max().unwrap_or(0);
        for member in &view.members {
            let line = report::monitor::line_of(member, Rates::default(), now, wide);
            let lead = report::group::lead(style, &member.app, width);
            terminal.answer(line.after(&lead));
        }
    }
}

/// Returns the exit code when all are where is waited for, or one cannot come there any more.
fn all_reached(until: MonitorUntil, views: &[StatusView]) -> Option<Code> {
    let codes: Vec<Option<Code>> = views.iter().map(|view| reached(until, view)).collect();
    let gone = codes.iter().flatten().find(|code| **code != Code::Done);
    match gone {
        Some(code) => Some(*code),
        None => codes.iter().all(Option::is_some).then_some(Code::Done),
    }
}

fn show(view: &StatusView, clock: &Clock, terminal: &mut Terminal) {
    let (now, rates, style) = (clock.now(), Rates::default(), terminal.style());
    if terminal.is_json() {
        answer_json(view, now, terminal);
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
fn export(
    path: &Path,
    (view, several): (&StatusView, bool),
    clock: &Clock,
) -> Result<(), CliError> {
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
        // The rows have no column for the app.
        let app = if several {
            format!("{} ", view.app)
        } else {
            String::new()
        };
        format!("{header}{}", rows(view, &app, &now.to_string()))
    } else {
        let mut document = serde_json::to_value(view).unwrap_or_default();
        document["at"] = serde_json::json!(now);
        format!("{document}\n")
    };
    file.write_all(text.as_bytes()).map_err(fail)
}

fn rows(view: &StatusView, app: &str, at: &str) -> String {
    let mut rows = String::new();
    let mut row = |track: &str, metric: &str, value: String| {
        let quoted = metric.replace('"', "\"\"");
        rows += &[at, ",", track, ",\"", app, &quoted, "\",", &value, "\n"].concat();
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
