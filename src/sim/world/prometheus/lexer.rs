//! The words of a query.
//!
//! Owns: taking the text apart, positions in it. Must not: know what words mean together.

use super::query::QueryError;

/// A word of a query.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name: of a metric, a label, a function, an operator.
    Word(String),
    /// A number.
    Number(f64),
    /// A span of time in milliseconds.
    Span(i64),
    /// A text in quotes.
    Text(String),
    /// A sign, such as `(` or `=~`.
    Sign(&'static str),
    /// The end of the query.
    End,
}

impl Token {
    /// Returns it as messages name it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Word(word) => format!("identifier \"{word}\""),
            Self::Number(number) => format!("number \"{number}\""),
            Self::Span(_) => "duration".to_owned(),
            Self::Text(text) => format!("string \"{text}\""),
            Self::Sign(sign) => format!("\"{sign}\""),
            Self::End => "end of input".to_owned(),
        }
    }
}

/// Signs, those of two characters first.
const SIGNS: [&str; 24] = [
    "==", "!=", "=~", "!~", ">=", "<=", "(", ")", "{", "}", "[", "]", ",", "=", ">", "<", "+", "-",
    "*", "/", "%", "^", "@", ":",
];

/// Returns an error at a byte of the query, in Prometheus' words.
pub(super) fn error(query: &str, at: usize, why: &str) -> QueryError {
    let before = &query[..at.min(query.len())];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    QueryError::BadData(format!("{line}:{column}: parse error: {why}"))
}

/// Returns the words of a query, each with the byte it begins at; the last one is the end.
pub(super) fn words(query: &str) -> Result<Vec<(usize, Token)>, QueryError> {
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        at += blank(&query[at..]);
        let rest = &query[at..];
        let Some(first) = rest.chars().next() else {
            words.push((at, Token::End));
            return Ok(words);
        };
        let (token, length) = if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
            (word(&rest[..end]), end)
        } else if first.is_ascii_digit() || first == '.' {
            number(rest).ok_or_else(|| {
                error(
                    query,
                    at,
                    &format!("bad number or duration syntax: {rest:?}"),
                )
            })?
        } else if matches!(first, '"' | '\'' | '`') {
            let (text, length) = quoted(rest, first).map_err(|why| error(query, at, why))?;
            (Token::Text(text), length)
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (Token::Sign(sign), sign.len())
        } else {
            return Err(error(
                query,
                at,
                &format!("unexpected character: {first:?}"),
            ));
        };
        words.push((at, token));
        at += length;
    }
}

/// Returns the bytes of blanks and comments at the beginning.
fn blank(text: &str) -> usize {
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if !rest.starts_with('#') {
            return text.len() - rest.len();
        }
        rest = rest.find('\n').map_or("", |end| &rest[end..]);
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

fn word(text: &str) -> Token {
    match text.to_ascii_lowercase().as_str() {
        "inf" => Token::Number(f64::INFINITY),
        "nan" => Token::Number(f64::NAN),
        _ => Token::Word(text.to_owned()),
    }
}

/// Reads `1`, `0.5`, `.5e3`, `5m`, `1h30m`.
fn number(text: &str) -> Option<(Token, usize)> {
    if let Some((millis, length)) = span(text) {
        return Some((Token::Span(millis), length));
    }
    let mut end = 0;
    let mut previous = ' ';
    for c in text.chars() {
        let sign = matches!(c, '+' | '-') && matches!(previous, 'e' | 'E');
        if !(c.is_ascii_alphanumeric() || c == '.' || sign) {
            break;
        }
        end += c.len_utf8();
        previous = c;
    }
    let value = text[..end].parse().ok()?;
    Some((Token::Number(value), end))
}

fn span(text: &str) -> Option<(i64, usize)> {
    const UNITS: [(&str, i64); 7] = [
        ("ms", 1),
        ("s", 1000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
        ("w", 604_800_000),
        ("y", 31_536_000_000),
    ];
    let (mut at, mut millis) = (0, 0_i64);
    while text[at..].starts_with(|c: char| c.is_ascii_digit()) {
        let rest = &text[at..];
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (unit, factor) = UNITS.iter().find(|(u, _)| rest[digits..].starts_with(u))?;
        let count: i64 = rest[..digits].parse().ok()?;
        millis = millis.checked_add(count.checked_mul(*factor)?)?;
        at += digits + unit.len();
    }
    let ends = !text[at..].starts_with(|c: char| is_name(c) && c != ':');
    (at > 0 && ends).then_some((millis, at))
}

/// Reads a text until its closing quote; returns it and the bytes it takes.
fn quoted(text: &str, quote: char) -> Result<(String, usize), &'static str> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Ok((value, at + c.len_utf8()));
        }
        if c != '\\' || quote == '`' {
            value.push(c);
            continue;
        }
        match chars.next().map(|(_, escaped)| escaped) {
            Some('n') => value.push('\n'),
            Some('t') => value.push('\t'),
            Some('r') => value.push('\r'),
            Some(escaped) if escaped == '\\' || escaped == quote => value.push(escaped),
            Some(_) => return Err("unknown escape sequence"),
            None => break,
        }
    }
    Err("unterminated quoted string")
}
