//! A YAML document as a tree with positions.
//!
//! Owns: reading the text with the strict rules (one document, no duplicate keys, `true` and
//! `false` only, bounded size). Must not: know any key.
//!
//! Numbers and booleans keep their text, so that a name such as `1.10` or `012` stays what was
//! written when it is wanted as text.

use serde_json::Number;
use serde_saphyr::{
    DuplicateKeyPolicy, Error as YamlError, Location, MessageFormatter, Spanned,
    UserMessageFormatter,
};

use super::{Failure, excerpt, raw::Raw};

/// Largest file that is read, in bytes.
pub const LARGEST: usize = 1024 * 1024;
/// Deepest nesting of lists and maps.
const DEEPEST: usize = 64;
/// Most nodes, repeated ones counted each time.
const MOST_NODES: usize = 50_000;

/// A place in a file; line and column count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

/// One value of the document.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub at: Position,
    /// What it is.
    pub value: Value,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where the key begins.
    pub at: Position,
    /// The key.
    pub key: String,
    /// The value.
    pub node: Node,
}

/// What a node is; plain scalars with another meaning than text keep their text.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool, String),
    /// A finite number.
    Number(Number, String),
    /// Text.
    Text(String),
    /// Values in order.
    List(Vec<Node>),
    /// Keys with their values, in order.
    Map(Vec<Entry>),
}

impl Node {
    /// Returns the value under `key` of a map.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries
                .iter()
                .find(|entry| entry.key == key)
                .map(|entry| &entry.node),
            Value::Null | Value::Bool(..) | Value::Number(..) | Value::Text(_) | Value::List(_) => {
                None
            }
        }
    }

    /// Returns the item at `index` of a list.
    pub fn item(&self, index: usize) -> Option<&Self> {
        match &self.value {
            Value::List(items) => items.get(index),
            Value::Null | Value::Bool(..) | Value::Number(..) | Value::Text(_) | Value::Map(_) => {
                None
            }
        }
    }
}

/// The next thing to try, by the mistake; it depends on what the document is for.
#[derive(Debug, Clone, Copy)]
pub struct Hints {
    /// There is nothing in the text.
    pub empty: &'static str,
    /// A second document follows.
    pub second: &'static str,
}

/// Returns the tree of the one document in `text`.
pub fn parse(text: &str, hints: Hints) -> Result<Node, Failure> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let start = Position { line: 1, column: 1 };
    if text.len() > LARGEST {
        return Err(Failure::new(start, "the file is larger than 1 MiB"));
    }
    let empty = || Failure::new(start, "the file is empty").with_hint(hints.empty);
    if text.lines().all(is_blank) {
        return Err(empty());
    }
    let tree =
        serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options()).map_err(|error| {
            let failure = explain(text, &error);
            if matches!(error.without_snippet(), YamlError::MultipleDocuments { .. }) {
                return failure.with_hint(hints.second);
            }
            failure
        })?;
    if matches!(tree.value, Raw::Null) {
        return Err(empty());
    }
    settle(tree, text).map_err(|(at, what)| Failure::new(at, what))
}

/// Returns the documents in `text`, without their places and with no bound but the library's: whole
/// collections of objects come so.
pub fn documents(text: &str) -> Result<Vec<serde_json::Value>, Failure> {
    serde_saphyr::from_multiple(text).map_err(|error| explain(text, &error))
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEEPEST,
            flow_nesting_limit: DEEPEST,
            max_nodes: MOST_NODES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MOST_NODES,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#') || line == "---"
}

/// Returns the error of the YAML library as ours.
fn explain(text: &str, error: &YamlError) -> Failure {
    let place = error.location().filter(|at| *at != Location::UNKNOWN);
    let at = place.map_or(Position { line: 1, column: 1 }, position);
    let fail = |what: &str| Failure::new(at, what);
    let mut inner = error.without_snippet();
    while let YamlError::AliasError { error, .. } = inner {
        inner = error.without_snippet();
    }
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the errors of a foreign crate; the others speak for themselves"
    )]
    match inner {
        YamlError::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().map_or_else(String::new, excerpt);
            fail(&format!("duplicate key '{key}'")).with_hint("keep one of the two")
        }
        YamlError::MultipleDocuments { .. } => fail("a second document begins here"),
        YamlError::NonFiniteFloat { value, .. } => {
            fail(&format!("'{}' is not a finite number", excerpt(value)))
        }
        YamlError::Budget { .. }
        | YamlError::AliasReplayLimitExceeded { .. }
        | YamlError::AliasExpansionLimitExceeded { .. }
        | YamlError::AliasReplayStackDepthExceeded { .. } => {
            fail("the file is too large or too deeply nested")
        }
        YamlError::RecursiveReferencesRequireWeakTypes { .. } => fail("an alias contains itself"),
        YamlError::UnknownAnchor { .. } => fail("the alias refers to no anchor above it"),
        other => {
            let what = UserMessageFormatter.format_message(other);
            fail(&format!("not valid YAML: {what}")).with_hint(yaml_hint(text, at))
        }
    }
}

fn yaml_hint(text: &str, at: Position) -> &'static str {
    let line = text.lines().nth(at.line.saturating_sub(1)).unwrap_or("");
    let indent = line.chars().take_while(|c| c.is_whitespace());
    if indent.into_iter().any(|c| c == '\t') {
        "indent with spaces; YAML does not allow tabs there"
    } else {
        "check the indentation, the quotes and the brackets of this line and the one before"
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "lines and columns of a file of at most 1 MiB"
)]
fn position(at: Location) -> Position {
    Position {
        line: (at.line() as usize).max(1),
        column: (at.column() as usize).max(1),
    }
}

fn settle(raw: Spanned<Raw>, text: &str) -> Result<Node, (Position, String)> {
    let at = position(raw.referenced);
    let written = written(raw.defined, text);
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Bool(value) => Value::Bool(value, written.unwrap_or_else(|| value.to_string())),
        Raw::Number(number) => {
            let text = written.unwrap_or_else(|| number.to_string());
            Value::Number(number, text)
        }
        Raw::Text(text) => Value::Text(text),
        Raw::List(items) => Value::List(
            items
                .into_iter()
                .map(|item| settle(item, text))
                .collect::<Result<_, _>>()?,
        ),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let key = settle(key, text)?;
                    Ok(Entry {
                        at: key.at,
                        key: key_text(key)?,
                        node: settle(value, text)?,
                    })
                })
                .collect::<Result<_, _>>()?,
        ),
    };
    Ok(Node { at, value })
}

fn key_text(key: Node) -> Result<String, (Position, String)> {
    match key.value {
        Value::Text(text) | Value::Bool(_, text) | Value::Number(_, text) => Ok(text),
        Value::Null | Value::List(_) | Value::Map(_) => {
            Err((key.at, "a key must be a word".to_owned()))
        }
    }
}

/// Returns a plain scalar as it stands in the file.
fn written(defined: Location, text: &str) -> Option<String> {
    let span = defined.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let end = start.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
    let slice = text.get(start..end)?.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_');
    (!slice.is_empty() && slice.chars().all(plain)).then(|| slice.to_owned())
}
