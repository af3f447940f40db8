//! Tables without borders, as kubectl prints them, and the table of all releases.
//!
//! Owns: column widths and which column gives way. Must not: wrap; a row is one line. The cells are
//! [`Line`]s because colours must not count as width; comfy-table measures them only together with
//! the feature that makes it look at the terminal itself.

use jiff::Timestamp;

use super::{
    human::headline,
    line::{Line, Painted, screen},
    style::{Style, Tone},
    time::{between, span},
};
use crate::domain::{release::Phase, view::ReleaseLine};

/// Spaces between columns.
const GAP: usize = 2;

/// Columns that a column keeps when it gives way.
const LEAST: usize = 16;

/// A table under construction.
#[derive(Debug, Clone)]
pub struct Table {
    style: Style,
    giving: Vec<usize>,
    rows: Vec<Vec<Line>>,
}

// === impl Table ===

impl Table {
    /// Returns a table with a header.
    pub fn new(style: Style, header: &[&str]) -> Self {
        let header = header.iter().map(|h| style.line().dim(h)).collect();
        Self {
            style,
            giving: Vec::new(),
            rows: vec![header],
        }
    }

    /// Names the columns that give way first when the table is too wide.
    #[must_use]
    pub fn giving(mut self, columns: &[usize]) -> Self {
        self.giving = columns.to_vec();
        self
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<Line>) {
        self.rows.push(cells);
    }

    /// Returns the lines, header first, cut so that none is wider than the style allows.
    pub fn lines(self) -> Vec<Line> {
        let widths = self.widths();
        let style = self.style;
        let columns = style.columns();
        let rows = self.rows.into_iter().map(|row| {
            let mut line = style.line();
            let mut column = 0;
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
        let gaps = GAP * count.saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > columns {
            let widest = |of: &dyn Fn(usize) -> bool| {
                let wide = (0..count).filter(|i| of(*i) && widths[*i] > LEAST);
                wide.max_by_key(|i| widths[*i])
            };
            let first = widest(&|i| self.giving.contains(&i));
            let Some(index) = first.or_else(|| widest(&|_| true)) else {
                break;
            };
            widths[index] -= 1;
        }
        widths
    }
}

/// Returns the table of all releases; with the namespace only where several are shown.
pub fn releases(lines: &[ReleaseLine], all: bool, now: Timestamp, style: Style) -> Painted {
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
    // The driver, then the app, are still known by their beginnings.
    let mut table = Table::new(style, &columns[skip..]).giving(&[1 - skip, 6 - skip]);
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
    if line.doubt.is_some() {
        return style.line().add(Tone::Unknown, "not authentic");
    }
    match line.outcome {
        Some(outcome) => {
            let (tone, _) = headline(outcome);
            style
                .line()
                .add(tone, super::status::outcome_words(outcome))
        }
        None if line.phase.is_retreat() => style.line().add(Tone::Bad, brief(line.phase)),
        None => style.line().plain(brief(line.phase)),
    }
}

/// Returns a phase without its details: `promoting` for every part of a promotion.
fn brief(phase: Phase) -> &'static str {
    let words = phase.words();
    words.split_once(':').map_or(words, |(brief, _)| brief)
}
