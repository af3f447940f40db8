//! One line of output, built from pieces that each have a tone.
//!
//! Owns: escaping on entry, measuring, cutting, wrapping, painting. Must not: know what is said.
//! Escapes for colours exist only in [`Line::render`], so a cut can never fall inside one, and
//! text of the cluster cannot get in without being made safe. What comes out is [`Painted`], the
//! only thing that is printed.

use std::{
    borrow::{Borrow, Cow},
    fmt::{self, Write as _},
    ops::Deref,
};

use super::{
    style::{Style, Tone},
    text::{char_width, fold, width},
};
use crate::escape::escaped;

/// Text that a terminal may get: whatever came from outside is escaped in it, and the only escapes
/// are the colours of a [`Style`].
///
/// Made of plain text it is one line; a line break in that is shown, not made. There is no way to
/// make one of text that stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Painted(String);

// === impl Painted ===

impl Painted {
    /// Returns a line of text for each of the given ones.
    pub fn lines<T: AsRef<str>>(lines: impl IntoIterator<Item = T>) -> Self {
        let lines = lines.into_iter();
        let safe: Vec<String> = lines
            .map(|line| escaped(line.as_ref()).into_owned())
            .collect();
        Self(safe.join("\n"))
    }

    /// Returns the lines with another one in front of each.
    #[must_use]
    pub fn after(&self, lead: &Line) -> Self {
        let lead = lead.render();
        let lines = self.0.split('\n').map(|line| format!("{lead}{line}"));
        Self(lines.collect::<Vec<_>>().join("\n"))
    }

    /// Returns what is printed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Painted {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// So that lines can be joined to text; what is made of them is text again.
impl Borrow<str> for Painted {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Painted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Painted {
    fn from(text: &str) -> Self {
        Self(escaped(text).into_owned())
    }
}

impl From<String> for Painted {
    fn from(text: String) -> Self {
        match escaped(&text) {
            Cow::Borrowed(_) => Self(text),
            Cow::Owned(safe) => Self(safe),
        }
    }
}

impl From<&String> for Painted {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

/// A line before it is painted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    style: Style,
    pieces: Vec<(Tone, String)>,
}

// === impl Line ===

impl Line {
    /// Returns an empty line.
    pub fn new(style: Style) -> Self {
        Self {
            style,
            pieces: Vec::new(),
        }
    }

    /// Adds text, made safe.
    #[must_use]
    pub fn add(mut self, tone: Tone, text: impl AsRef<str>) -> Self {
        self.push(tone, text.as_ref());
        self
    }

    /// Adds plain text, made safe.
    #[must_use]
    pub fn plain(self, text: impl AsRef<str>) -> Self {
        self.add(Tone::Plain, text)
    }

    /// Adds dimmed text, made safe.
    #[must_use]
    pub fn dim(self, text: impl AsRef<str>) -> Self {
        self.add(Tone::Dim, text)
    }

    /// Adds bold text, made safe.
    #[must_use]
    pub fn bold(self, text: impl AsRef<str>) -> Self {
        self.add(Tone::Bold, text)
    }

    /// Adds spaces up to the column.
    #[must_use]
    pub fn to_column(mut self, column: usize) -> Self {
        let gap = column.saturating_sub(self.width());
        if gap > 0 {
            self.pieces.push((Tone::Plain, " ".repeat(gap)));
        }
        self
    }

    /// Adds the pieces of another line.
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        self.pieces.extend(other.pieces);
        self
    }

    /// Adds text, made safe.
    pub fn push(&mut self, tone: Tone, text: &str) {
        let safe = escaped(text);
        let safe = if self.style.unicode {
            safe
        } else {
            fold(&safe).into_owned().into()
        };
        if !safe.is_empty() {
            self.pieces.push((tone, safe.into_owned()));
        }
    }

    /// Returns the columns it takes.
    pub fn width(&self) -> usize {
        self.pieces.iter().map(|(_, text)| width(text)).sum()
    }

    /// Returns the text without tones.
    pub fn text(&self) -> String {
        self.pieces.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// Returns whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Returns the line cut to `columns`, ending in `…` where something is missing.
    #[must_use]
    pub fn cut(self, columns: usize) -> Self {
        if self.width() <= columns {
            return self;
        }
        let more = if self.style.unicode { "…" } else { "..." };
        let room = columns.saturating_sub(width(more));
        let mut cells = self.cells();
        let mut used = 0;
        let keep = cells
            .iter()
            .take_while(|(_, c)| {
                used += char_width(*c);
                used <= room
            })
            .count();
        cells.truncate(keep);
        while cells.last().is_some_and(|(_, c)| *c == ' ') {
            cells.pop();
        }
        let tone = cells.last().map_or(Tone::Plain, |(tone, _)| *tone);
        cells.extend(more.chars().map(|c| (tone, c)));
        cells.truncate(columns.max(1));
        Self::from_cells(self.style, &cells)
    }

    /// Returns the line as lines of at most the style's columns, continuations indented.
    pub fn wrap(self, indent: usize) -> Vec<Self> {
        let columns = self.style.columns();
        let indent = indent.min(columns / 2);
        let style = self.style;
        let mut lines = Vec::new();
        let mut rest = self.cells();
        let mut lead = 0;
        while lead + cells_width(&rest) > columns {
            let at = break_at(&rest, columns - lead, if lead == 0 { indent } else { 0 });
            let mut next = rest.split_off(at);
            trim_end(&mut rest);
            let skip = next.iter().take_while(|(_, c)| *c == ' ').count();
            next.drain(..skip);
            lines.push(Self::indented(style, lead, &rest));
            rest = next;
            lead = indent;
        }
        trim_end(&mut rest);
        if lines.is_empty() || !rest.is_empty() {
            lines.push(Self::indented(style, lead, &rest));
        }
        lines
    }

    /// Returns the line with the escapes of its colours.
    pub fn render(&self) -> Painted {
        let mut out = String::new();
        for (tone, text) in &self.pieces {
            let ansi = tone.ansi();
            if self.style.color && *tone != Tone::Plain && !text.is_empty() {
                // Writing to a String cannot fail.
                let _ = write!(out, "{ansi}{text}{ansi:#}");
            } else {
                out.push_str(text);
            }
        }
        Painted(out)
    }

    fn cells(&self) -> Vec<(Tone, char)> {
        self.pieces
            .iter()
            .flat_map(|(tone, text)| text.chars().map(move |c| (*tone, c)))
            .collect()
    }

    fn from_cells(style: Style, cells: &[(Tone, char)]) -> Self {
        let mut pieces: Vec<(Tone, String)> = Vec::new();
        for (tone, c) in cells {
            match pieces.last_mut() {
                Some((last, text)) if last == tone => text.push(*c),
                _ => pieces.push((*tone, c.to_string())),
            }
        }
        Self { style, pieces }
    }

    fn indented(style: Style, indent: usize, cells: &[(Tone, char)]) -> Self {
        let line = Self::from_cells(style, cells);
        if indent == 0 {
            return line;
        }
        style.line().plain(" ".repeat(indent)).join(line)
    }
}

/// Returns lines painted and joined, each ended by a newline.
pub fn screen(lines: impl IntoIterator<Item = Line>) -> Painted {
    let mut out = String::new();
    for line in lines {
        out.push_str(line.render().trim_end_matches(' '));
        out.push('\n');
    }
    Painted(out)
}

/// Returns lines painted and joined, without a newline at the end.
pub fn joined(lines: impl IntoIterator<Item = Line>) -> Painted {
    let Painted(mut text) = screen(lines);
    text.truncate(text.trim_end_matches('\n').len());
    Painted(text)
}

fn cells_width(cells: &[(Tone, char)]) -> usize {
    cells.iter().map(|(_, c)| char_width(*c)).sum()
}

fn trim_end(cells: &mut Vec<(Tone, char)>) {
    while cells.last().is_some_and(|(_, c)| *c == ' ') {
        cells.pop();
    }
}

/// Returns where to break: at the last space that fits beyond `after` columns, else in the word.
fn break_at(cells: &[(Tone, char)], room: usize, after: usize) -> usize {
    let mut used = 0;
    let mut space = None;
    for (index, (_, c)) in cells.iter().enumerate() {
        if *c == ' ' && used > after {
            space = Some(index);
        }
        used += char_width(*c);
        if used > room {
            // A break that leaves most of the line empty reads worse than a broken word.
            return space
                .filter(|at| cells_width(&cells[..*at]) * 3 >= room || index <= *at)
                .unwrap_or(index)
                .max(1);
        }
    }
    cells.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style(width: usize) -> Style {
        Style {
            color: true,
            unicode: true,
            width,
        }
    }

    #[test]
    fn a_cut_never_falls_inside_an_escape() {
        let line = style(80)
            .line()
            .add(Tone::Bad, "unhealthy")
            .plain(" and more");
        for columns in 1..20 {
            let text = line.clone().cut(columns).render();
            assert_eq!(
                text.matches("\u{1b}[31m").count(),
                text.matches("\u{1b}[0m").count(),
                "{text:?}"
            );
        }
        assert_eq!(line.cut(6).width(), 6);
    }

    #[test]
    fn long_lines_wrap_at_spaces_and_long_words_break() {
        let line = style(40)
            .line()
            .plain("09:14  a few words that do not fit into one line of forty");
        let lines = joined(line.wrap(7));
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(
            lines,
            [
                "09:14  a few words that do not fit into",
                "       one line of forty"
            ]
        );
        let line = style(40).line().plain("x".repeat(100));
        assert!(line.wrap(4).iter().all(|l| l.width() <= 40));
    }

    #[test]
    fn painted_text_holds_no_escapes_but_colours_and_no_line_breaks_of_others() {
        let image = "a\u{1b}[2J\n\u{9b}b\u{202e}";
        let shown = "a\\x1b[2J\\n\\u{9b}b\\u{202e}";
        assert_eq!(&*Painted::from(image), shown);
        assert_eq!(&*Painted::from(image.to_owned()), shown);
        assert_eq!(&*Painted::lines([image, "c"]), format!("{shown}\nc"));
        let line = style(80).line().add(Tone::Good, image).render();
        assert_eq!(&*line, format!("\u{1b}[32m{shown}\u{1b}[0m"));
        // What is taken out of it is text again.
        assert!(!Painted::from(line.to_string()).contains('\u{1b}'));
    }
}
