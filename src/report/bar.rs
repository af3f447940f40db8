//! The split as a bar.
//!
//! Owns: cells and the words beside them. Must not: round a live canary down to nothing.

use std::time::Duration;

use super::{
    line::Line,
    style::{Style, Tone},
    text::width,
    time::span,
};
use crate::domain::{served::Served, split::Split, weight::Percent};

/// Cells of a bar that has the room.
const CELLS: usize = 40;

/// Cells below which the explanation goes to a line of its own.
const FEWEST: usize = 24;

/// Returns a share with at most one decimal, as people say it: `33.3%`; small ones in full.
pub fn share(percent: Percent) -> String {
    let value = percent.fraction() * 100.0;
    if value < 1.0 {
        return percent.to_string();
    }
    let text = format!("{value:.1}");
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Returns the split in words: `canary at 25% (wanted 5%, 1 of 4 pods = 25%)`.
pub fn words(split: &Split) -> String {
    format!("canary at {} ({})", share(split.actual), basis(split))
}

/// Returns what users get: `24.8% of the requests reach the canary (612 of 2468 in 58s)`.
pub fn served(served: &Served, split: &Split) -> String {
    let lasted = Duration::try_from_secs_f64(served.seconds).unwrap_or_default();
    let text = format!(
        "{} of the requests reach the canary ({:.0} of {:.0} in {})",
        served_share(served),
        served.canary_requests,
        served.requests,
        span(lasted)
    );
    if served.as_weighted {
        text
    } else {
        format!("{text}, not {}", share(split.actual))
    }
}

/// Returns the canary's share of the requests: `24.8%`.
pub fn served_share(served: &Served) -> String {
    format!("{:.1}%", served.canary_percent)
}

/// Returns what a share rests on, and what was wanted where that differs.
pub fn basis(split: &Split) -> String {
    let mut parts = Vec::new();
    if split.wanted != split.actual {
        parts.push(format!("wanted {}", split.wanted));
    }
    if split.set != split.wanted && split.set != split.actual {
        parts.push(format!("set to {}", split.set));
    }
    if !split.detail.is_empty() {
        let share = share(split.actual);
        let equals = split.wanted != split.actual && !split.detail.contains(&share);
        let equals = if equals {
            format!(" = {share}")
        } else {
            String::new()
        };
        parts.push(format!("{}{equals}", split.detail));
    }
    if parts.is_empty() {
        parts.push("as wanted".to_owned());
    }
    parts.join(", ")
}

/// Returns the split as one or two lines: `stable ███████░░░ canary 25% (3 of 12 pods)`.
pub fn lines(style: Style, lead: Line, split: &Split) -> Vec<Line> {
    let left = lead.width() + width("stable ") + width(" canary ") + width(&share(split.actual));
    let basis = format!("({})", basis(split));
    let columns = style.columns();
    let one_line = columns.saturating_sub(left + 1 + width(&style.line().plain(&basis).text()));
    let indent = lead.width();
    let tone = if split.settled {
        Tone::Dim
    } else {
        Tone::Unknown
    };
    if one_line >= FEWEST {
        let line = draw(lead, split, one_line.min(CELLS));
        return vec![line.plain(" ").add(tone, basis)];
    }
    let cells = columns.saturating_sub(left).clamp(1, CELLS);
    let mut lines = vec![draw(lead, split, cells)];
    let basis = style.line().to_column(indent).add(tone, basis);
    lines.extend(basis.wrap(indent));
    lines
}

fn draw(lead: Line, split: &Split, cells: usize) -> Line {
    let canary = cells_of(split.actual, cells);
    lead.plain("stable ")
        .plain("█".repeat(cells.saturating_sub(canary)))
        .add(Tone::Weight, "░".repeat(canary))
        .plain(" canary ")
        .bold(share(split.actual))
}

/// Returns the cells of a share: at least one for some traffic, never all for less than all.
pub fn cells_of(share: Percent, cells: usize) -> usize {
    let total = u32::try_from(cells).unwrap_or(u32::MAX);
    let rounded = share.of(total) as usize;
    if share == Percent::ZERO {
        0
    } else if share == Percent::FULL {
        cells
    } else {
        rounded.clamp(1, cells.saturating_sub(1).max(1))
    }
}
