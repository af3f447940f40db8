//! Tables without borders, as kubectl prints them, and the table of all releases.
//!
//! Owns: column widths and which column gives way. Must not: wrap; a row is one line. The cells are
//! [`Line`]s because colours must not count as width; comfy-table measures them only together with
//! the feature that makes it look at the terminal itself.

use jiff::Timestamp;

use super::{
    human::headline,
    line::{Line, screen},
    style::{Style, Tone},
    time::{between, span},
};
use crate::domain::view::ReleaseLine;

/// Spaces between columns.
const GAP: usize = 2;

/// Columns that a column keeps when it gives way.
const LEAST: usize = 8;

/// A table under construction.
#[derive(Debug, Clone)]
pub struct Table {
    style: Style,
    indent: usize,
    rows: Vec<Vec<Line>>,
}

// === impl Table ===

impl Table {
    /// Returns a table with a header.
    pub fn new(style: Style, header: &[&str]) -> Self {
        let header = header.iter().map(|h| style.line().dim(h)).collect();
        Self {
            style,
            indent: 0,
            rows: vec![header],
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<Line>) {
        self.rows.push(cells);
    }

    /// Returns the lines, header first, cut so that none is wider than the style allows.
    pub fn lines(self) -> Vec<Line> {
        let widths = self.widths();
        let (style, indent) = (self.style, self.indent);
        let columns = style.columns();
        let rows = self.rows.into_iter().map(|row| {
            let mut line = style.line();
            let mut column = indent;
            for (cell, width) in row.into_iter().zip(&widths) {
                line = line.to_column(column).join(cell.cut(*width));
                column += width + GAP;
            }
            line.cut(columns)
        });
        rows.collect()
    }

    /// Returns the widths: natural ones, then the widest gives way until all fit.
    fn widths(&self) -> Vec<usize> {
        let count = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let of = |i: usize| {
            self.rows
                .iter()
                .filter_map(move |r| r.get(i))
                .map(Line::width)
        };
        let mut widths: Vec<usize> = (0..count).map(|i| of(i).max().unwrap_or(0)).collect();
        let columns = self.style.columns();
        let total = |widths: &[usize]| self.indent + widths.iter().map(|w| w + GAP).sum::<usize>();
        while total(&widths) > columns + GAP {
            let Some(widest) = widths.iter_mut().filter(|w| **w > LEAST).max() else {
                break;
            };
            *widest -= 1;
        }
        widths
    }
}

/// Returns the table of all releases; with the namespace only where several are shown.
pub fn releases(lines: &[ReleaseLine], all: bool, now: Timestamp, style: Style) -> String {
    let columns = [
        "NAMESPACE",
        "APP",
        "STATE",
        "STEP",
        "WEIGHT",
        "SINCE",
        "DRIVER",
    ];
    let skip = usize::from(!all);
    let mut table = Table::new(style, &columns[skip..]);
    for line in lines {
        let cells = vec![
            style.line().plain(&line.namespace),
            style.line().bold(&line.app),
            state(line, style),
            style
                .line()
                .plain(format!("{}/{}", line.step.min(line.steps), line.steps)),
            style.line().add(Tone::Weight, line.target.to_string()),
            style.line().plain(span(between(line.since, now))),
            style.line().plain(line.holder.as_deref().unwrap_or("-")),
        ];
        table.row(cells.into_iter().skip(skip).collect());
    }
    screen(table.lines())
}

fn state(line: &ReleaseLine, style: Style) -> Line {
    match line.outcome {
        Some(outcome) => {
            let (tone, _) = headline(outcome);
            style
                .line()
                .add(tone, super::status::outcome_words(outcome))
        }
        None if line.phase.is_retreat() => style.line().add(Tone::Bad, line.phase.words()),
        None => style.line().plain(line.phase.words()),
    }
}
