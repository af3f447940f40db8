//! `monitor APP`: stable and canary side by side, and the same in one line.
//!
//! Owns: one observation as a table or a line. Must not: keep more than one.

use jiff::Timestamp;

use super::{
    bar, check,
    line::{Line, Painted, joined, screen},
    status,
    style::{Style, Tone},
    table::Table,
    time::clock,
};
use crate::domain::{
    check::Severity,
    verdict::{CheckResult, Verdict, overall},
    view::StatusView,
    workload::Workload,
};

/// What names of checks on stable begin with.
const STABLE: &str = "stable/";

/// Requests per second of both sides, where known.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rates {
    /// Stable's.
    pub stable: Option<f64>,
    /// The canary's.
    pub canary: Option<f64>,
}

/// Returns one observation as a table with a column for each side.
pub fn screen_of(view: &StatusView, rates: Rates, now: Timestamp, style: Style) -> Painted {
    let title = style
        .line()
        .bold(&view.app)
        .plain("  ")
        .plain(&view.namespace);
    let mut lines = title.dim(format!("  {}", clock(now))).wrap(2);
    if let Some(run) = &view.run {
        let step = format!(
            ", step {} of {}",
            run.step.min(run.steps.len()),
            run.steps.len()
        );
        let text = format!("{}{step}", run.phase.words());
        lines.extend(status::row(style, "state", Tone::Plain, &text));
    }
    let lead = style.line().dim("split").to_column(8);
    lines.extend(match &view.split {
        Some(split) => {
            let mut lines = bar::lines(style, lead, split);
            lines.extend(status::users(view, split, style));
            lines
        }
        None => vec![lead.add(Tone::Unknown, "? unknown: the route could not be read")],
    });
    lines.push(style.line());
    lines.extend(table(view, rates, style));
    lines.push(style.line());
    lines.extend(advice(view, style));
    screen(lines)
}

/// Returns one observation as a line for a log; what is not well is named, the rest is counted.
pub fn line_of(view: &StatusView, rates: Rates, now: Timestamp, style: Style) -> Painted {
    let mut line = style.line().dim(clock(now)).plain("  canary ");
    line = match &view.split {
        Some(split) => line.add(Tone::Weight, bar::share(split.actual)),
        None => line.add(Tone::Unknown, "?"),
    };
    if let Some(served) = &view.served {
        let tone = if served.as_weighted {
            Tone::Plain
        } else {
            Tone::Unknown
        };
        line = line.add(tone, format!(" (users {})", bar::served_share(served)));
    }
    for (side, workload) in [("stable", &view.stable), ("canary", &view.canary)] {
        line = line.plain(format!("  {side} {}", ready(workload.as_ref())));
        if let Some(restarts) = workload.as_ref().map(restarts).filter(|n| *n > 0) {
            line = line.add(Tone::Unknown, format!(" {restarts} restarts"));
        }
    }
    if let (Some(stable), Some(canary)) = (rates.stable, rates.canary) {
        let (stable, canary) = (check::number(stable), check::number(canary));
        line = line.plain(format!("  {stable} and {canary} req/s"));
    }
    for verdict in [Verdict::Unhealthy, Verdict::Unknown] {
        for result in view.checks.iter().filter(|r| r.verdict == verdict) {
            line = line.plain("  ").add(Tone::of(verdict), style.sign(verdict));
            line = line.plain(format!(" {}: {}", result.name, check::brief(result)));
        }
    }
    let well = view
        .checks
        .iter()
        .filter(|r| r.verdict == Verdict::Healthy)
        .count();
    if well > 0 {
        line = line
            .plain("  ")
            .add(Tone::Good, style.sign(Verdict::Healthy));
        line = line.plain(format!(" {well} healthy"));
    }
    joined(line.wrap(11))
}

fn table(view: &StatusView, rates: Rates, style: Style) -> Vec<Line> {
    let mut table = Table::new(style, &["", "STABLE", "CANARY"]);
    let (stable, canary) = (view.stable.as_ref(), view.canary.as_ref());
    let plain = |text: String| style.line().plain(text);
    let name = |w: Option<&Workload>| plain(w.map_or("none".into(), |w| w.name.clone()));
    table.row(vec![
        style.line().dim("deployment"),
        name(stable),
        name(canary),
    ]);
    let cells = [stable, canary].map(|w| plain(ready(w)));
    table.row(labelled(style, "pods ready", cells));
    let cells = [stable, canary].map(|w| {
        let restarts = w.map(restarts);
        let tone = if restarts.unwrap_or(0) > 0 {
            Tone::Unknown
        } else {
            Tone::Plain
        };
        style
            .line()
            .add(tone, restarts.map_or("-".into(), |n| n.to_string()))
    });
    table.row(labelled(style, "restarts", cells));
    if rates != Rates::default() {
        let rate = |r: Option<f64>| plain(r.map_or("-".into(), check::number));
        let cells = [rate(rates.stable), rate(rates.canary)];
        table.row(labelled(style, "requests/s", cells));
    }
    for name in check_names(&view.checks) {
        let on = |full: &str| view.checks.iter().find(|r| r.name == full);
        let stable = check_cell(on(&format!("{STABLE}{name}")), style);
        let cells = [stable, check_cell(on(name), style)];
        table.row(labelled(style, name, cells));
    }
    table.lines()
}

fn labelled(style: Style, label: &str, [stable, canary]: [Line; 2]) -> Vec<Line> {
    vec![style.line().dim(label), stable, canary]
}

/// Returns the names without the side, each once, in the order of the plan.
fn check_names(results: &[CheckResult]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for result in results {
        let name = result.name.strip_prefix(STABLE).unwrap_or(&result.name);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn check_cell(result: Option<&CheckResult>, style: Style) -> Line {
    let Some(result) = result else {
        return style.line().dim("-");
    };
    let line = style
        .line()
        .add(Tone::of(result.verdict), style.sign(result.verdict));
    let line = line.plain(" ").plain(check::brief(result));
    if result.verdict == Verdict::Healthy {
        return line;
    }
    let warns = if result.severity == Severity::Warn {
        ", only warns"
    } else {
        ""
    };
    line.dim(format!(" (limit {}{warns})", result.limit))
}

fn advice(view: &StatusView, style: Style) -> Vec<Line> {
    let verdict = overall(&view.checks);
    let head = style.line().dim("verdict").to_column(8);
    let mut lines = vec![if view.checks.is_empty() {
        head.add(Tone::Unknown, "? unknown: nothing was checked")
    } else {
        head.add(Tone::of(verdict), style.mark(verdict))
    }];
    if let Some(waits) = &view.waits_for {
        lines.extend(status::row(style, "waiting", Tone::Plain, waits));
    }
    lines.extend(status::row(style, "next", Tone::Bold, &view.next));
    if let Some(undo) = &view.undo {
        lines.extend(status::row(style, "undo", Tone::Bold, undo));
    }
    lines
}

fn ready(workload: Option<&Workload>) -> String {
    workload.map_or_else(
        || "none".to_owned(),
        |w| format!("{}/{}", w.ready, w.replicas),
    )
}

fn restarts(workload: &Workload) -> u32 {
    workload.pods.iter().map(|p| p.restarts).sum()
}
