//! Reading the answer to an instant query, `/api/v1/query`.
//!
//! Owns: telling an answer from an error, and an error in the query from a server that is down, shut
//! or not a Prometheus. Must not: fetch; follow a redirect; replace a value that is missing or odd;
//! repeat more of a server's text than a short, printable line without credentials and query strings.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor, value},
};

use crate::health::exposition;

/// Longest text of a server that is repeated, in characters.
const LONGEST: usize = 300;

/// Most warnings that are kept of one answer.
const WARNINGS: usize = 10;

/// An HTTP response as it came.
#[derive(Debug, Clone, Copy)]
pub struct Reply<'a> {
    /// The status code.
    pub status: u16,
    /// The header `Content-Type`, empty where there is none.
    pub content_type: &'a str,
    /// The header `Location`, empty where there is none.
    pub location: &'a str,
    /// The complete body.
    pub body: &'a [u8],
}

/// What a query returned; no series is an answer, too.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// The series of a vector, or one without labels for a scalar.
    pub series: Vec<Series>,
    /// What the server says is missing or doubtful, as a store of Thanos that did not answer.
    pub warnings: Vec<String>,
}

/// One series with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The labels, with `__name__` where the query kept it.
    pub labels: BTreeMap<String, String>,
    /// The value; may be NaN or infinite.
    pub value: f64,
    /// The time it is of, in seconds since 1970.
    pub at: f64,
}

/// Indicates that there is no answer; each text is a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The query is wrong: it will not work the next time either.
    #[error("{0}")]
    Query(String),
    /// The server cannot answer now: overload, timeout, an error of its own.
    #[error("{0}")]
    Down(String),
    /// The server wants to know who asks, or does not let them.
    #[error("{0}")]
    Refused(String),
    /// Something else answered, or less than a whole answer came.
    #[error("{0}")]
    NotPrometheus(String),
}

/// Reads a response.
pub fn read(reply: &Reply<'_>) -> Result<Answer, AnswerError> {
    let code = reply.status;
    let http = format!("the server answers HTTP {code}");
    match code {
        300..=399 => Err(AnswerError::NotPrometheus(redirected(code, reply.location))),
        401 => Err(AnswerError::Refused(reply.told(
            "the server wants authentication (HTTP 401): credentials are missing or wrong",
        ))),
        403 => Err(AnswerError::Refused(reply.told(
            "the server does not allow this query (HTTP 403): these credentials, or none, do not suffice",
        ))),
        407 => Err(AnswerError::Refused(reply.told(
            "a proxy on the way wants authentication (HTTP 407)",
        ))),
        408 | 429 | 500.. => Err(AnswerError::Down(reply.told(&http))),
        200..=299 => answer(reply),
        _ => match reply.failure() {
            Some(failure) if code != 404 => Err(failure.error(code)),
            _ => {
                let hint = if code == 404 {
                    ": there is no query API at this address; is a path like /prometheus missing?"
                } else {
                    ""
                };
                Err(AnswerError::NotPrometheus(
                    reply.told(&format!("{http}{hint}")),
                ))
            }
        },
    }
}

fn answer(reply: &Reply<'_>) -> Result<Answer, AnswerError> {
    let not = |what: &str| AnswerError::NotPrometheus(format!("no answer of a Prometheus: {what}"));
    if let Some(what) = exposition::compressed(reply.body) {
        return Err(not(what));
    }
    if reply.body.trim_ascii().is_empty() {
        return Err(not("the body is empty"));
    }
    if reply.is_page() {
        return Err(not("it is a web page, perhaps of a login or of a proxy"));
    }
    let envelope: Envelope = match serde_json::from_slice(reply.body) {
        Ok(envelope) => envelope,
        Err(error) if error.is_eof() => {
            let length = reply.body.len();
            return Err(not(&format!("truncated after {length} bytes")));
        }
        Err(error) if error.is_syntax() => return Err(not(&format!("it is not JSON: {error}"))),
        Err(error) => return Err(not(&clean(&error.to_string()))),
    };
    match envelope.status.as_deref() {
        Some("success") => {}
        Some("error") => return Err(Failure::from(envelope).error(reply.status)),
        _ => return Err(not("it is JSON, but has no status `success` or `error`")),
    }
    let Some(Data { kind, result }) = envelope.data else {
        return Err(not("it has no data"));
    };
    let mut warnings: Vec<String> = envelope.warnings.unwrap_or_default();
    warnings.truncate(WARNINGS);
    let mut warnings: Vec<String> = warnings.iter().map(|text| clean(text)).collect();
    if envelope.partial == Some(true) {
        warnings.push("the answer is partial: not every storage node answered".to_owned());
    }
    Ok(Answer {
        series: series(&kind, result)?,
        warnings,
    })
}

fn series(kind: &str, result: Vec<Item>) -> Result<Vec<Series>, AnswerError> {
    let not = |what: &str| AnswerError::NotPrometheus(format!("no answer of a Prometheus: {what}"));
    match kind {
        "vector" => result
            .into_iter()
            .map(|item| match item {
                Item::Series(Element {
                    metric: Some(labels),
                    value: Some(Point(at, Number(value))),
                    ..
                }) => Ok(Series { labels, value, at }),
                Item::Series(Element {
                    histogram: Some(_), ..
                }) => Err(AnswerError::Query(
                    "the query returns native histograms; take a number of them with \
                     histogram_quantile, histogram_count or histogram_fraction"
                        .to_owned(),
                )),
                Item::Series(_) | Item::Number(_) | Item::Text(_) | Item::List => {
                    Err(not("a series has no labels or no value"))
                }
            })
            .collect(),
        "scalar" => match result.as_slice() {
            [Item::Number(at), Item::Text(value)] => {
                let value = exposition::number(value)
                    .ok_or_else(|| not("the value of the scalar is not a number"))?;
                Ok(vec![Series {
                    labels: BTreeMap::new(),
                    value,
                    at: *at,
                }])
            }
            _ => Err(not("the scalar is not a time and a value")),
        },
        "matrix" => Err(AnswerError::Query(
            "the query returns a range (matrix), a vector or scalar was expected: \
             take a range like [5m] away, or put rate() or the like around it"
                .to_owned(),
        )),
        other => Err(AnswerError::Query(format!(
            "the query returns a {}, a vector or scalar was expected",
            clean(other)
        ))),
    }
}

/// Says where a redirect leads, by its host alone.
fn redirected(code: u16, location: &str) -> String {
    let path = &location[..location.find(['?', '#']).unwrap_or(location.len())];
    let host = path
        .split_once("//")
        .filter(|(scheme, _)| !scheme.contains('/'))
        .and_then(|(_, rest)| rest.split('/').next());
    let to = match host {
        _ if path.is_empty() => String::new(),
        None => " to another path".to_owned(),
        Some(host) if is_host(host) && !path.contains('@') => format!(" to {host}"),
        Some(_) => " to another address".to_owned(),
    };
    format!("the server redirects{to} (HTTP {code}), perhaps to a login: no query API is here")
}

/// Returns whether text is a host, perhaps with a port, and cannot be part of a credential.
fn is_host(text: &str) -> bool {
    let (name, port) = text.split_once(':').unwrap_or((text, ""));
    let named = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    !name.is_empty() && name.chars().all(named) && port.chars().all(|c| c.is_ascii_digit())
}

// === impl Reply ===

impl Reply<'_> {
    /// Adds what the server says of the reason, where that is text for people.
    fn told(&self, what: &str) -> String {
        let own = match self.failure() {
            Some(failure) => clean(&failure.text),
            // Pages and other JSON are not made for a line of text.
            None if self.is_page() || matches!(self.body.first(), Some(b'{' | b'[')) => {
                String::new()
            }
            None => clean(std::str::from_utf8(self.body).unwrap_or_default()),
        };
        if own.is_empty() {
            what.to_owned()
        } else {
            format!("{what}: {own}")
        }
    }

    /// Returns the error that a Prometheus describes in its own way.
    fn failure(&self) -> Option<Failure> {
        let envelope: Envelope = serde_json::from_slice(self.body).ok()?;
        (envelope.status.as_deref() == Some("error")).then(|| envelope.into())
    }

    fn is_page(&self) -> bool {
        let html = self.content_type.to_ascii_lowercase().contains("html");
        match self.body.trim_ascii_start().first() {
            Some(b'<') => true,
            first => html && first != Some(&b'{'),
        }
    }
}

// === The server's own errors ===

/// An error as the server tells it.
struct Failure {
    kind: String,
    text: String,
}

impl From<Envelope> for Failure {
    fn from(envelope: Envelope) -> Self {
        Self {
            kind: envelope.error_type.unwrap_or_default(),
            text: envelope.error.unwrap_or_default(),
        }
    }
}

impl Failure {
    /// Says whose fault it is: by the kind where it is known, else by the status code.
    fn error(&self, code: u16) -> AnswerError {
        let mut text = clean(&self.text);
        if text.is_empty() {
            text = format!("no reason given (HTTP {code})");
        }
        let wrong = match self.kind.as_str() {
            "timeout" | "canceled" | "internal" | "unavailable" | "too_many_requests" => false,
            "bad_data" | "execution" => true,
            // VictoriaMetrics gives the status code as kind.
            _ => matches!(code, 400 | 413 | 422) || self.kind.starts_with('4'),
        };
        if wrong {
            AnswerError::Query(format!("the server rejects the query: {text}"))
        } else {
            AnswerError::Down(format!("the server could not run the query: {text}"))
        }
    }
}

/// Returns text of a server as one short line without control characters, and its URLs without
/// credentials and query strings.
fn clean(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if line.len() > 4 * LONGEST {
            break;
        }
        if !line.is_empty() && !word.is_empty() {
            line.push(' ');
        }
        bare(word, &mut line);
    }
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Adds a word to a line, without what may be secret in the URLs of it.
fn bare(word: &str, line: &mut String) {
    let mut rest = word;
    while let Some((before, after)) = rest.split_once("://") {
        line.push_str(before);
        line.push_str("://");
        let end = after.find(['"', '\'', '`', '<', '>']);
        let (url, next) = after.split_at(end.unwrap_or(after.len()));
        // Where a password ends is anybody's guess if it was not encoded: nothing of it is shown.
        let kept = if url.contains('@') {
            "…"
        } else {
            &url[..url.find(['?', '#']).unwrap_or(url.len())]
        };
        line.push_str(kept);
        rest = next;
    }
    line.push_str(rest);
}

// === The JSON ===

#[derive(Deserialize)]
#[serde(expecting = "an object with status and data")]
struct Envelope {
    status: Option<String>,
    data: Option<Data>,
    #[serde(rename = "errorType")]
    error_type: Option<String>,
    error: Option<String>,
    warnings: Option<Vec<String>>,
    /// VictoriaMetrics says so where a storage node is missing.
    #[serde(rename = "isPartial")]
    partial: Option<bool>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with resultType and result")]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Vec<Item>,
}

/// An element of the result, whose type may be told before or after it.
enum Item {
    Series(Element),
    Number(f64),
    Text(String),
    List,
}

/// A series of any type.
#[derive(Deserialize)]
struct Element {
    metric: Option<BTreeMap<String, String>>,
    value: Option<Point>,
    histogram: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(expecting = "a time and a value")]
struct Point(f64, Number);

/// A number as text, as JSON has no NaN.
struct Number(f64);

struct ItemVisitor;
struct NumberVisitor;

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor)
    }
}

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a series, or the time and value of a scalar")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Item, A::Error> {
        Element::deserialize(value::MapAccessDeserializer::new(map)).map(Item::Series)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Item, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Item::List)
    }

    fn visit_f64<E>(self, number: f64) -> Result<Item, E> {
        Ok(Item::Number(number))
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds stay far below 2^53")]
    fn visit_u64<E>(self, number: u64) -> Result<Item, E> {
        Ok(Item::Number(number as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds stay far below 2^53")]
    fn visit_i64<E>(self, number: i64) -> Result<Item, E> {
        Ok(Item::Number(number as f64))
    }

    fn visit_str<E>(self, text: &str) -> Result<Item, E> {
        Ok(Item::Text(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NumberVisitor)
    }
}

impl Visitor<'_> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number as text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
        exposition::number(text)
            .map(Number)
            .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests;
