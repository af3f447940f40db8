//! `history APP`: who did what, when and why.
//!
//! Owns: the audit trail as text. Must not: drop entries; the record does that.

use jiff::Timestamp;

use super::{
    human::headline,
    line::{Line, Painted, screen},
    status::outcome_words,
    style::{Style, Tone},
    text::count,
    time::{between, clock, moment, span},
};
use crate::domain::{
    release::Entry,
    view::{HistoryRun, HistoryView},
};

/// Column of the word, after the time.
const WORD: usize = 13;

/// Column of the sentence.
const TEXT: usize = 28;

/// Returns the audit trail of an app, the latest run first.
pub fn history(view: &HistoryView, style: Style) -> Painted {
    let title = style
        .line()
        .bold(&view.app)
        .plain("  ")
        .plain(&view.namespace);
    let runs = count(view.runs.len() as u64, "recorded run");
    let mut lines = title.dim(format!("  {runs}")).wrap(2);
    for run in &view.runs {
        lines.push(style.line());
        lines.extend(run_lines(run, style));
    }
    screen(lines)
}

fn run_lines(run: &HistoryRun, style: Style) -> Vec<Line> {
    let mut head = style.line().plain("run ").bold(&run.id).plain("  ");
    head = match run.outcome {
        Some(outcome) => head.add(headline(outcome).0, outcome_words(outcome)),
        None => head.add(Tone::Weight, "not ended"),
    };
    if run.unproven {
        head = head.plain("  ").add(Tone::Unknown, "not verified");
    }
    let mut when = format!("  {}", moment(run.started));
    if let Some(ended) = run.ended {
        when.push_str(", took ");
        when.push_str(&span(between(run.started, ended)));
    }
    let mut lines = head.plain(when).wrap(2);
    lines.extend(style.line().plain("  ").plain(&run.change).wrap(4));
    let mut by = "";
    let mut day = date(run.started);
    for entry in &run.trail {
        if date(entry.at) != day {
            day = date(entry.at);
            lines.push(style.line().dim(format!("  {day}")));
        }
        if entry.who != by {
            by = &entry.who;
            lines.extend(style.line().dim("  by ").plain(by).wrap(4));
        }
        lines.extend(entry_lines(entry, style));
    }
    lines
}

fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

fn entry_lines(entry: &Entry, style: Style) -> Vec<Line> {
    let tone = match entry.what.as_str() {
        "RollingBack" | "RolledBack" | "Incomplete" => Tone::Bad,
        "Drift" | "Conflict" | "Paused" | "Warning" => Tone::Unknown,
        "Promoted" => Tone::Good,
        _ => Tone::Plain,
    };
    let line = style
        .line()
        .plain("  ")
        .dim(clock(entry.at))
        .to_column(WORD);
    let line = line.add(tone, &entry.what).plain(" ").to_column(TEXT);
    line.plain(&entry.text).wrap(TEXT)
}
