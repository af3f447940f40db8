//! Errors of bad input, one line each, with the place and the next thing to try.
//!
//! Owns: their wording. Must not: contain text of the YAML library that spans lines.

use std::fmt;

use crate::document::{Failure, Position, one_line, snippet};

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

    /// Returns a failure as an error in the file called `name` with the content `text`.
    pub(super) fn of(failure: Failure, name: &str, text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self {
            place: Place::File(one_line(name), failure.at),
            snippet: snippet(text, failure.at),
            hint: failure.hint.as_deref().map(one_line),
            ..Self::new(failure.what)
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
