//! Several apps at once: a line of the plan, one screen for all, and one closing block.
//!
//! Owns: what is said of a group. Must not: gather it, or decide how it ended.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    bar,
    closing::Closing,
    human::headline,
    line::{Line, Painted, joined, screen},
    status::{outcome_words, row},
    style::{Style, Tone},
    table::Table,
    time::{clock, span},
};
use crate::domain::{
    group::{Ending, Part},
    release::{Outcome, Phase},
    verdict::{Verdict, overall},
    view::{GroupView, StatusView},
    weight::Percent,
    workload::Workload,
};

/// Column of the text of a closing block.
const TEXT: usize = 11;

/// Returns the lead of the lines of a member, where names take `width` columns.
pub fn lead(style: Style, app: &str, width: usize) -> Line {
    style.line().bold(app).plain(" ").to_column(width + 2)
}

/// Returns the heading over what is said of one member.
pub fn heading(style: Style, app: &str) -> Painted {
    style.line().bold(app).render()
}

/// Returns the plan of a group in one line.
pub fn plan(style: Style, (name, members): (&str, &[&str]), steps: &[Percent]) -> Painted {
    let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
    let line = style.line().plain("group ").bold(name);
    let line = line.plain(format!(": {}", members.join(", ")));
    let line = if steps.is_empty() {
        line
    } else {
        line.plain(format!("; steps {}, all together", steps.join(" → ")))
    };
    joined(line.wrap(2))
}

/// Returns how a group ended, member by member, and what to do next.
pub fn closing(
    style: Style,
    (name, ending): (&str, &Ending),
    (at, took): (Timestamp, Duration),
    parts: &[Part],
    hints: &Closing,
) -> Painted {
    let (tone, word) = headline(ending.outcome);
    let head = style.line().dim(clock(at)).to_column(TEXT);
    let head = head.add(tone, format!("{word} after {}", span(took)));
    let head = head.plain(format!(": group {name}: {}", ending.text));
    let mut lines = head.wrap(TEXT);
    let width = parts.iter().map(|part| part.app.len()).max().unwrap_or(0);
    let column = TEXT + width.max(4) + 2;
    let mut add = |label: &str, tone: Tone, text: &str| {
        let line = style.line().to_column(TEXT).dim(label).plain(" ");
        lines.extend(line.to_column(column).add(tone, text).wrap(column));
    };
    if ending.outcome == Outcome::Incomplete {
        let text = "on-call: this could not be finished or verified";
        add("page", Tone::Bad, text);
    }
    for part in parts {
        let tone = part
            .outcome
            .map_or(Tone::Dim, |outcome| headline(outcome).0);
        let word = part.outcome.map_or("no part in it", outcome_words);
        add(&part.app, tone, word);
    }
    add("next", Tone::Bold, &hints.next);
    if let Some(undo) = &hints.undo {
        add("undo", Tone::Bold, undo);
    }
    if let Some(note) = hints.note {
        add("note", Tone::Plain, note);
    }
    joined(lines)
}

/// Returns the screen of a group: a row for each member, then what is not well or waited for.
pub fn status(view: &GroupView, now: Timestamp, style: Style) -> Painted {
    let title = style.line().dim("group ").bold(&view.group);
    let title = title.dim("  namespace ").plain(&view.namespace);
    let title = match &view.run {
        Some(run) => title.dim("  run ").plain(run),
        None => title,
    };
    let mut lines = title.dim(format!("  {}", clock(now))).wrap(2);
    lines.push(style.line());
    let header = [
        "APP", "STATE", "STEP", "WEIGHT", "STABLE", "CANARY", "CHECKS",
    ];
    let mut table = Table::new(style, &header).giving(&[1]);
    for member in &view.members {
        table.row(cells(member, style));
    }
    lines.extend(table.lines());
    lines.push(style.line());
    for member in &view.members {
        lines.extend(notes(member, style));
    }
    lines.extend(row(style, "next", Tone::Bold, &view.next));
    if let Some(undo) = &view.undo {
        lines.extend(row(style, "undo", Tone::Bold, undo));
    }
    screen(lines)
}

fn cells(view: &StatusView, style: Style) -> Vec<Line> {
    let (state, step) = match &view.run {
        Some(run) => {
            let step = format!("{}/{}", run.step.min(run.steps.len()), run.steps.len());
            (state(run.phase, run.outcome, style), step)
        }
        None => (style.line().dim("no run"), "-".to_owned()),
    };
    let weight = match &view.split {
        Some(split) if split.actual == split.wanted => {
            style.line().add(Tone::Weight, bar::share(split.actual))
        }
        Some(split) => {
            let line = style.line().add(Tone::Weight, bar::share(split.actual));
            line.dim(format!(" → {}", split.wanted))
        }
        None => style.line().add(Tone::Unknown, "?"),
    };
    let verdict = overall(&view.checks);
    let checks = if view.checks.is_empty() {
        style.line().dim("none evaluated")
    } else {
        style.line().add(Tone::of(verdict), style.mark(verdict))
    };
    vec![
        style.line().bold(&view.app),
        state,
        style.line().plain(step),
        weight,
        ready(view.stable.as_ref(), style),
        ready(view.canary.as_ref(), style),
        checks,
    ]
}

/// Returns how many pods of a side are ready, of how many.
fn ready(side: Option<&Workload>, style: Style) -> Line {
    match side {
        Some(side) => {
            let well = side.ready >= side.replicas;
            let tone = if well { Tone::Plain } else { Tone::Unknown };
            let text = format!("{}/{}", side.ready, side.replicas);
            style.line().add(tone, text)
        }
        None => style.line().dim("none"),
    }
}

fn state(phase: Phase, outcome: Option<Outcome>, style: Style) -> Line {
    match outcome {
        Some(outcome) => style
            .line()
            .add(headline(outcome).0, outcome_words(outcome)),
        None if phase.is_retreat() => style.line().add(Tone::Bad, phase.words()),
        None => style.line().plain(phase.words()),
    }
}

/// Returns what is worth a line of its own: why it went back, checks that are not healthy, what it waits
/// for, and a record that is not believed.
fn notes(view: &StatusView, style: Style) -> Vec<Line> {
    let mut texts = Vec::new();
    if let Some(doubt) = &view.doubt {
        texts.push((Tone::Bad, format!("the journal is not authentic: {doubt}")));
    }
    if let Some(reason) = view.run.as_ref().and_then(|run| run.reason.clone()) {
        texts.push((Tone::Plain, reason));
    }
    for verdict in [Verdict::Unhealthy, Verdict::Unknown] {
        let of = view.checks.iter().filter(|r| r.verdict == verdict);
        let sign = style.sign(verdict);
        texts.extend(of.map(|r| (Tone::of(verdict), format!("{sign} {}", r.text))));
    }
    if let Some(waits) = &view.waits_for {
        texts.push((Tone::Plain, format!("waits for {waits}")));
    }
    let lines = texts.iter().flat_map(|(tone, text)| {
        let line = style.line().bold(&view.app).plain("  ");
        let column = line.width();
        line.add(*tone, text).wrap(column)
    });
    lines.collect()
}
