//! Errors of bad input, one line each, with the place and the next thing to try.
//!
//! Owns: their wording and the search for the nearest known word. Must not: contain text of the
//! YAML library that spans lines.

use std::fmt;

use super::node::Position;

/// Longest piece of somebody's input repeated in a message, in characters.
const EXCERPT: usize = 60;

/// Indicates a file, variable, flag or combination of them that cannot be used.
///
/// `Display` is exactly one line: the place, then what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    place: Place,
    what: String,
    hint: Option<String>,
    snippet: Option<String>,
}

/// Where the bad input is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Nowhere,
    Variable(&'static str),
    File(String, Position),
}

impl ConfigError {
    /// Returns an error that belongs to no single place.
    pub(super) fn new(what: impl AsRef<str>) -> Self {
        Self {
            place: Place::Nowhere,
            what: one_line(what.as_ref()),
            hint: None,
            snippet: None,
        }
    }

    /// Returns an error at a place in the file called `name` with the content `text`.
    pub(super) fn in_file(name: &str, text: &str, at: Position, what: impl AsRef<str>) -> Self {
        Self {
            place: Place::File(one_line(name), at),
            snippet: snippet(text, at),
            ..Self::new(what)
        }
    }

    /// Returns the error as one of an environment variable.
    pub(super) fn of_variable(self, name: &'static str) -> Self {
        Self {
            place: Place::Variable(name),
            ..self
        }
    }

    /// Adds the next thing to try.
    pub(super) fn with_hint(self, hint: impl AsRef<str>) -> Self {
        Self {
            hint: Some(one_line(hint.as_ref())),
            ..self
        }
    }

    /// Returns the next thing to try, as one line.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Returns the line of the file with a mark under the place, as two lines; `None` when the
    /// error is not in a file.
    pub fn snippet(&self) -> Option<&str> {
        self.snippet.as_deref()
    }
}

// === impl Display, Error ===

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Nowhere => f.write_str(&self.what),
            Place::Variable(name) => write!(f, "{name}: {}", self.what),
            Place::File(name, at) => write!(f, "{name}:{}:{}: {}", at.line, at.column, self.what),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Returns `"; did you mean 'x'?"`, or nothing when no known word is near.
pub(super) fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map_or_else(String::new, |near| format!("; did you mean '{near}'?"))
}

/// Returns the known word that is nearest to `word`, if it is near enough to be meant.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = fold(word);
    let limit = (plain.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&plain, &fold(candidate));
            (distance, candidate)
        })
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns words in quotes, separated by commas.
pub(super) fn listing<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().collect::<Vec<_>>().join(", ")
}

/// Returns input as it may be repeated in a message: on one line, and not too long.
pub(super) fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(EXCERPT).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    one_line(&short)
}

fn fold(word: &str) -> String {
    word.chars()
        .take(EXCERPT)
        .filter(|c| !matches!(c, '-' | '_' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// Control characters, line separators and characters that reorder text on a terminal.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn snippet(text: &str, at: Position) -> Option<String> {
    let line = text.lines().nth(at.line.checked_sub(1)?)?;
    let shown = one_line(&line.replace('\t', " "));
    let number = at.line.to_string();
    let indent = " ".repeat(number.len() + 2 + at.column);
    Some(format!("{number} | {shown}\n{indent}^"))
}
