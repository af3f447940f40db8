//! Serde over a tree of nodes, remembering where it failed.
//!
//! Owns: the conversion of nodes to types, the path of keys, the sentence of each failure. Must
//! not: know any key.

use std::{cell::RefCell, fmt};

use serde::de::{self, DeserializeOwned};

use super::{Node, Position, Value, excerpt, listing, one_line, suggestion};

/// The keys from the top of the file to a node.
#[derive(Debug, Clone, Copy)]
pub enum Path<'a> {
    /// The top of the file.
    Top,
    /// What stands under a key.
    Key(&'a Self, &'a str),
    /// An item of a list; the first is 0.
    Item(&'a Self, usize),
}

/// A node together with the way to it.
#[derive(Clone, Copy)]
pub struct At<'a> {
    /// The node.
    pub node: &'a Node,
    /// The way to it.
    pub path: Path<'a>,
    /// Where mistakes are noted.
    pub failures: &'a Failures,
}

/// The first failure that has not been recovered from. Kept beside the errors of serde because
/// type erasure drops their places.
#[derive(Default)]
pub struct Failures(RefCell<Option<Failure>>);

/// A failure in words, with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {}: {what}", at.line)]
pub struct Failure {
    /// The place.
    pub at: Position,
    /// What is wrong; input in it is on one line, short and harmless.
    pub what: String,
    /// The next thing to try.
    pub hint: Option<String>,
}

/// Indicates that a node does not have the wanted form.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Fault {
    /// A key that is not known, and those that are.
    #[error("unknown key '{0}'")]
    UnknownKey(String, Vec<String>),
    /// A word that is not known, and those that are.
    #[error("unknown value '{0}'")]
    UnknownValue(String, Vec<String>),
    /// A key that is needed.
    #[error("missing key '{0}'")]
    Missing(String),
    /// Something of another kind.
    #[error("expected {expected}, found {found}")]
    Mismatch {
        /// What is wanted, in words.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

impl Failures {
    /// Returns the failure, or `fault` at `at` when none was recorded.
    pub fn take(&self, at: Position, fault: &Fault) -> Failure {
        self.0
            .take()
            .unwrap_or_else(|| fault.at(at, &Path::Top.to_string()))
    }

    /// Forgets what was recorded: it was recovered from.
    pub fn forget(&self) {
        self.0.replace(None);
    }

    /// Records the first failure, and returns it.
    pub fn record(&self, at: Position, path: &Path<'_>, fault: Fault) -> Fault {
        let mut slot = self.0.borrow_mut();
        if slot.is_none() {
            *slot = Some(fault.at(at, &path.to_string()));
        }
        fault
    }
}

impl Failure {
    /// Returns a failure without the next thing to try.
    pub fn new(at: Position, what: impl Into<String>) -> Self {
        let what = one_line(&what.into());
        let hint = None;
        Self { at, what, hint }
    }

    /// Adds the next thing to try.
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        let hint = Some(hint.into());
        Self { hint, ..self }
    }
}

impl Fault {
    fn at(&self, at: Position, path: &str) -> Failure {
        let within = if path.is_empty() {
            String::new()
        } else {
            format!(" in {path}")
        };
        let (what, hint) = match self {
            Self::UnknownKey(key, known) => {
                let near = suggestion(key, known.iter().map(String::as_str));
                (
                    format!("unknown key '{}'{within}{near}", excerpt(key)),
                    Some(known),
                )
            }
            Self::UnknownValue(value, known) => {
                let near = suggestion(value, known.iter().map(String::as_str));
                let what = format!("{path}: unknown value '{}'{near}", excerpt(value));
                (what, Some(known))
            }
            Self::Missing(key) => (format!("missing key '{key}'{within}"), None),
            Self::Mismatch { .. } | Self::Other(_) if path.is_empty() => (self.to_string(), None),
            Self::Mismatch { .. } | Self::Other(_) => (format!("{path}: {self}"), None),
        };
        let hint = hint
            .filter(|known| !known.is_empty())
            .map(|known| format!("known: {}", listing(known.iter().map(String::as_str))));
        Failure {
            hint,
            ..Failure::new(at, what)
        }
    }
}

impl At<'_> {
    /// Records `fault` at this node and returns it.
    pub fn fail(&self, fault: Fault) -> Fault {
        self.failures.record(self.node.at, &self.path, fault)
    }

    /// Runs `read` on this node; a failure in it is one at this node, unless it knows better.
    pub(super) fn tracked<T>(
        self,
        read: impl FnOnce(Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.failures.forget();
        read(self).map_err(|fault| self.fail(fault))
    }
}

/// Reads a node as a type.
///
/// The type is compiled for one deserializer only, whatever it is read from.
pub fn read<T: DeserializeOwned>(node: &Node) -> Result<T, Failure> {
    let failures = Failures::default();
    let top = At {
        node,
        path: Path::Top,
        failures: &failures,
    };
    let mut erased = <dyn erased_serde::Deserializer<'_>>::erase(top);
    erased_serde::deserialize(&mut erased)
        .map_err(|error| failures.take(node.at, &Fault::Other(error.to_string())))
}

/// Returns what a value is, in words.
pub fn found(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(_, text) => format!("'{}'", excerpt(text)),
        Value::Number(_, text) => format!("the number {}", excerpt(text)),
        Value::Text(text) => format!("the text '{}'", excerpt(text)),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a map".to_owned(),
    }
}

/// Returns whether a number is written with leading zeros, which some readers take as octal.
pub(super) fn is_ambiguous(text: &str) -> bool {
    let digits = text.trim_start_matches(['+', '-']);
    digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit())
}

// === impl Display for Path ===

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top => Ok(()),
            Self::Key(Self::Top, key) => f.write_str(&excerpt(key)),
            Self::Key(parent, key) => write!(f, "{parent}.{}", excerpt(key)),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

// === impl serde::de::Error for Fault ===

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Other(message.to_string())
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::Mismatch {
            expected: wanted(&expected.to_string()),
            found: unexpected(&found),
        }
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn invalid_length(length: usize, expected: &dyn de::Expected) -> Self {
        Self::Mismatch {
            expected: wanted(&expected.to_string()),
            found: format!("{length} items"),
        }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::UnknownValue(variant.to_owned(), owned(expected))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::UnknownKey(field.to_owned(), owned(expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field.to_owned())
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::Other(format!("duplicate key '{field}'"))
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Returns what serde expects in words of the file's author.
fn wanted(expected: &str) -> String {
    let words = match expected {
        "a string" | "a borrowed string" => "text",
        "a boolean" => "true or false",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a sequence" => "a list",
        _ if expected.starts_with("struct ") => "a map",
        _ if expected.starts_with("enum ") => "a word",
        _ => expected,
    };
    words.to_owned()
}

fn unexpected(found: &de::Unexpected<'_>) -> String {
    match found {
        de::Unexpected::Bool(value) => format!("'{value}'"),
        de::Unexpected::Unsigned(number) => format!("the number {number}"),
        de::Unexpected::Signed(number) => format!("the number {number}"),
        de::Unexpected::Float(number) => format!("the number {number}"),
        de::Unexpected::Str(text) => format!("the text '{}'", excerpt(text)),
        de::Unexpected::Unit | de::Unexpected::Option => "nothing".to_owned(),
        de::Unexpected::Seq => "a list".to_owned(),
        de::Unexpected::Map => "a map".to_owned(),
        de::Unexpected::Char(_)
        | de::Unexpected::Bytes(_)
        | de::Unexpected::NewtypeStruct
        | de::Unexpected::Enum
        | de::Unexpected::UnitVariant
        | de::Unexpected::NewtypeVariant
        | de::Unexpected::TupleVariant
        | de::Unexpected::StructVariant
        | de::Unexpected::Other(_) => found.to_string(),
    }
}
