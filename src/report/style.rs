//! How a stream wants its text: colours, characters, width.
//!
//! Owns: the style, the tones and the marks of verdicts. Must not: find out what the terminal can
//! do; `cli` decides that once per stream. Meaning never rests on colour alone.

use anstyle::AnsiColor;

use super::line::Line;
use crate::domain::verdict::Verdict;

/// Below this width, lines may be longer than asked: there is no sense in a screen of ten columns.
pub const NARROWEST: usize = 40;

/// What the reader of a stream can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether colours and bold are understood.
    pub color: bool,
    /// Whether characters beyond ASCII are understood.
    pub unicode: bool,
    /// Columns.
    pub width: usize,
}

/// What a piece of text means; its colour follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// Healthy, reached, done.
    Good,
    /// Unhealthy, failed.
    Bad,
    /// Unknown, a warning, worth a second look.
    Unknown,
    /// Details for a second reading.
    Dim,
    /// What is read first.
    Bold,
    /// The canary's share.
    Weight,
}

// === impl Style ===

impl Default for Style {
    /// Returns the style of a log file: no colour, 80 columns.
    fn default() -> Self {
        Self {
            color: false,
            unicode: true,
            width: 80,
        }
    }
}

impl Style {
    /// Returns an empty line in this style.
    pub fn line(self) -> Line {
        Line::new(self)
    }

    /// Returns the columns to lay out for; at least [`NARROWEST`].
    pub fn columns(self) -> usize {
        self.width.max(NARROWEST)
    }

    /// Returns the sign of a verdict.
    pub fn sign(self, verdict: Verdict) -> &'static str {
        match (verdict, self.unicode) {
            (Verdict::Healthy, true) => "✓",
            (Verdict::Healthy, false) => "ok",
            (Verdict::Unhealthy, true) => "✗",
            (Verdict::Unhealthy, false) => "FAIL",
            (Verdict::Unknown, _) => "?",
        }
    }

    /// Returns the sign and the word of a verdict.
    pub fn mark(self, verdict: Verdict) -> String {
        match (verdict, self.unicode) {
            (Verdict::Healthy | Verdict::Unhealthy, false) => self.sign(verdict).to_owned(),
            _ => format!("{} {}", self.sign(verdict), verdict.word()),
        }
    }
}

// === impl Tone ===

impl Tone {
    /// Returns the tone of a verdict.
    pub fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Healthy => Self::Good,
            Verdict::Unhealthy => Self::Bad,
            Verdict::Unknown => Self::Unknown,
        }
    }

    /// Returns its escapes.
    pub(super) fn ansi(self) -> anstyle::Style {
        let style = anstyle::Style::new();
        match self {
            Self::Plain => style,
            Self::Good => style.fg_color(Some(AnsiColor::Green.into())),
            Self::Bad => style.fg_color(Some(AnsiColor::Red.into())).bold(),
            Self::Unknown => style.fg_color(Some(AnsiColor::Yellow.into())),
            Self::Dim => style.dimmed(),
            Self::Bold => style.bold(),
            Self::Weight => style.fg_color(Some(AnsiColor::Cyan.into())),
        }
    }
}
