//! Reading the page that an app shows to Prometheus.
//!
//! Owns: the text format 0.0.4 and OpenMetrics text 1.0, with names in UTF-8, to samples one after
//! the other. Must not: fetch, add up, or guess: one line that cannot be read makes the whole page an
//! error, because a page without its errors looks healthy. What a page says of types, units, times
//! and exemplars has to be well formed and is passed over.
//!
//! A page of 0.0.4 has no end mark. That all of it arrived is known from HTTP's framing alone, so the
//! body must be complete; an OpenMetrics page without its `# EOF` is refused here.

use std::borrow::Cow;

/// Longest piece of a page that a message shows, in characters.
const SHOWN: usize = 30;

/// One sample of a page.
#[derive(Debug, Clone)]
pub struct Sample<'a> {
    /// Name of the series, as `http_requests_total` or `http_request_duration_seconds_bucket`.
    pub name: Cow<'a, str>,
    /// The value; may be NaN or infinite.
    pub value: f64,
    labels: &'a str,
}

/// The labels of a sample, names and values, in the page's order.
#[derive(Debug, Clone)]
pub struct Labels<'a>(Cursor<'a>);

/// Indicates a body that is not a page of metrics, as a whole or in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpositionError {
    /// The body is something else.
    #[error("not Prometheus text: {0}")]
    Foreign(&'static str),
    /// A line cannot be read; nothing that was read before it counts.
    #[error("not Prometheus text in line {line}: {reason}")]
    Line {
        /// Which, counted from 1.
        line: usize,
        /// What is wrong, with the place.
        reason: String,
    },
}

/// Reads a complete page and gives each sample to `each`, in the page's order.
///
/// `content_type` is the header's value, empty where there is none. Samples before the line of an
/// error have already been given: on an error the caller throws away what it gathered.
pub fn read(
    content_type: &str,
    body: &[u8],
    each: &mut dyn FnMut(&Sample<'_>),
) -> Result<(), ExpositionError> {
    let content_type = content_type.to_ascii_lowercase();
    let text = text(&content_type, body)?;
    let mut ended = false;
    let mut begun = false;
    for (index, line) in text.split('\n').enumerate() {
        let fail = |reason: String| {
            let line = index + 1;
            foreign(text)
                .filter(|_| !begun)
                .map_or(ExpositionError::Line { line, reason }, |what| {
                    ExpositionError::Foreign(what)
                })
        };
        let line = line.strip_suffix('\r').unwrap_or(line);
        let mut cursor = Cursor { text: line, at: 0 };
        cursor.blanks();
        match cursor.peek() {
            None => {}
            Some(_) if ended => return Err(fail(cursor.expected("nothing after `# EOF`"))),
            Some(b'#') => ended = line.trim_end() == "# EOF",
            Some(_) => {
                each(&cursor.sample().map_err(fail)?);
                begun = true;
            }
        }
    }
    if !ended && content_type.contains("openmetrics") {
        return Err(ExpositionError::Foreign(
            "truncated OpenMetrics response: missing `# EOF`",
        ));
    }
    Ok(())
}

/// Reads a sample's value: a decimal number, `NaN` or `Inf` with or without a sign, in any case.
/// Returns nothing for anything else, as hexadecimal numbers and those too large for a float.
pub(crate) fn number(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    let overflown = value.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit());
    (!overflown).then_some(value)
}

/// Says what a body is that was compressed although nobody asked for it.
pub(crate) fn compressed(body: &[u8]) -> Option<&'static str> {
    match body {
        [0x1f, 0x8b, ..] => Some("it is compressed with gzip, although that was not asked for"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            Some("it is compressed with zstd, although that was not asked for")
        }
        _ => None,
    }
}

// === impl Sample ===

impl<'a> Sample<'a> {
    /// Returns the value of a label, without escapes; borrowed unless there were any.
    pub fn label(&self, name: &str) -> Option<Cow<'a, str>> {
        self.labels()
            .find_raw(|label| label.is(name))
            .map(|(_, value)| value.unescaped())
    }

    /// Returns all labels; no name comes twice.
    pub fn labels(&self) -> Labels<'a> {
        Labels(Cursor {
            text: self.labels,
            at: 0,
        })
    }
}

// === impl Labels ===

impl<'a> Labels<'a> {
    fn find_raw(&mut self, wanted: impl Fn(Raw<'a>) -> bool) -> Option<(Raw<'a>, Raw<'a>)> {
        // The text was read once already; an error cannot come up any more.
        while let Some(Entry { name, value }) = self.0.entry().ok()? {
            if let Some(value) = value.filter(|_| wanted(name)) {
                return Some((name, value));
            }
        }
        None
    }
}

impl<'a> Iterator for Labels<'a> {
    type Item = (Cow<'a, str>, Cow<'a, str>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.find_raw(|_| true)?;
        Some((name.unescaped(), value.unescaped()))
    }
}

// === Reading a line ===

/// A place in a line. It only ever stands before or behind an ASCII character, or at the end.
#[derive(Debug, Clone)]
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// Text as it stands on the page.
#[derive(Clone, Copy)]
struct Raw<'a> {
    text: &'a str,
    escaped: bool,
}

/// What stands between two commas in braces: a label, or a quoted metric's name, which has no value.
struct Entry<'a> {
    name: Raw<'a>,
    value: Option<Raw<'a>>,
}

impl<'a> Raw<'a> {
    fn is(self, plain: &str) -> bool {
        if self.escaped {
            self.unescaped() == plain
        } else {
            self.text == plain
        }
    }

    /// Undoes `\\`, `\"` and `\n`. Any other backslash stands for itself, as it does in Prometheus.
    fn unescaped(self) -> Cow<'a, str> {
        if !self.escaped {
            return Cow::Borrowed(self.text);
        }
        let mut plain = String::with_capacity(self.text.len());
        let mut rest = self.text;
        while let Some((before, after)) = rest.split_once('\\') {
            plain.push_str(before);
            let (put, skip) = match after.as_bytes().first() {
                Some(b'n') => ('\n', 1),
                Some(b'"') => ('"', 1),
                Some(b'\\') => ('\\', 1),
                _ => ('\\', 0),
            };
            plain.push(put);
            rest = &after[skip..];
        }
        plain.push_str(rest);
        Cow::Owned(plain)
    }
}

impl<'a> Cursor<'a> {
    /// Reads a line that is neither empty nor a comment.
    fn sample(&mut self) -> Result<Sample<'a>, String> {
        let outside = self.word(|byte| is_word(byte) || byte == b':');
        if !outside.is_empty() && !matches!(self.peek(), Some(b'{' | b' ' | b'\t')) {
            return Err(self.expected("a blank or `{` behind the name"));
        }
        self.blanks();
        let (inside, labels) = if self.take(b'{') {
            self.labels()?
        } else {
            (None, "")
        };
        let name = match (outside, inside) {
            ("", Some(name)) => name.unescaped(),
            ("", None) => return Err(self.expected("the name of a metric")),
            (name, None) => Cow::Borrowed(name),
            (_, Some(_)) => return Err("the metric has two names".to_owned()),
        };
        let value = self.number("a value")?;
        self.blanks();
        if !matches!(self.peek(), None | Some(b'#')) {
            self.time()?;
        }
        if self.take(b'#') {
            self.exemplar()?;
        }
        match self.peek() {
            None => Ok(Sample {
                name,
                value,
                labels,
            }),
            Some(_) => Err(self.expected("the end of the line")),
        }
    }

    /// Reads what follows the hash: labels, a value and perhaps a time.
    fn exemplar(&mut self) -> Result<(), String> {
        self.blanks();
        if !self.take(b'{') {
            return Err(self.expected("`{` of an exemplar"));
        }
        if self.labels()?.0.is_some() {
            return Err("a label of the exemplar has no value".to_owned());
        }
        self.number("the exemplar's value")?;
        self.blanks();
        if self.peek().is_some() {
            self.time()?;
        }
        Ok(())
    }

    /// Reads up to the closing brace: a name among the labels, and all of them as text.
    fn labels(&mut self) -> Result<(Option<Raw<'a>>, &'a str), String> {
        let from = self.at;
        let mut inside = None;
        let mut seen = 0_u64;
        while let Some(Entry { name, value }) = self.entry()? {
            if value.is_none() {
                if inside.replace(name).is_some() {
                    return Err("the metric has two names".to_owned());
                }
                continue;
            }
            // Looking at all labels before is dear; names seldom agree in length and both ends.
            let bytes = name.text.as_bytes();
            let sum = [bytes.first(), bytes.last()]
                .into_iter()
                .flatten()
                .fold(bytes.len(), |sum, byte| sum * 31 + usize::from(*byte));
            let bit = 1 << (sum % 64);
            if seen & bit != 0 || name.escaped {
                let before = &self.text[from..self.at];
                let plain = name.unescaped();
                let all = Labels(Cursor {
                    text: before,
                    at: 0,
                });
                if all.filter(|(other, _)| *other == plain).count() > 1 {
                    return Err(format!("the label {} comes twice", shown(&plain)));
                }
            }
            seen |= bit;
        }
        let labels = &self.text[from..self.at];
        if self.take(b'}') {
            Ok((inside, labels))
        } else {
            Err(self.expected("a label or `}`"))
        }
    }

    /// Reads one entry and the comma behind it; nothing where no name begins.
    fn entry(&mut self) -> Result<Option<Entry<'a>>, String> {
        self.blanks();
        let quoted = self.peek() == Some(b'"');
        let name = if quoted {
            self.quoted()?
        } else {
            Raw {
                text: self.word(is_word),
                escaped: false,
            }
        };
        if name.text.is_empty() {
            if quoted {
                return Err("a name is empty".to_owned());
            }
            return Ok(None);
        }
        self.blanks();
        let value = if self.take(b'=') {
            self.blanks();
            Some(self.quoted()?)
        } else if quoted {
            None
        } else {
            return Err(self.expected("`=` behind the label's name"));
        };
        self.blanks();
        if !self.take(b',') && !matches!(self.peek(), None | Some(b'}')) {
            return Err(self.expected("`,` or `}` behind a label"));
        }
        Ok(Some(Entry { name, value }))
    }

    /// Reads text in double quotes.
    fn quoted(&mut self) -> Result<Raw<'a>, String> {
        if !self.take(b'"') {
            return Err(self.expected("text in double quotes"));
        }
        let from = self.at;
        let mut escaped = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let Some(length) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) else {
                break;
            };
            self.at += length;
            if rest[length] == b'"' {
                let text = &self.text[from..self.at];
                self.at += 1;
                return Ok(Raw { text, escaped });
            }
            escaped = true;
            self.at += 2;
        }
        let text = shown(&self.text[from..]);
        Err(format!("the quotation mark before {text} is never closed"))
    }

    /// Reads a name in ASCII that does not begin with a digit; empty where there is none.
    fn word(&mut self, may_have: impl Fn(u8) -> bool) -> &'a str {
        let rest = &self.text[self.at..];
        if rest.as_bytes().first().is_some_and(u8::is_ascii_digit) {
            return "";
        }
        let length = rest.bytes().position(|byte| !may_have(byte));
        let word = &rest[..length.unwrap_or(rest.len())];
        self.at += word.len();
        word
    }

    fn time(&mut self) -> Result<(), String> {
        if !self.number("a time or nothing")?.is_finite() {
            return Err("the time of the sample is not a number".to_owned());
        }
        self.blanks();
        Ok(())
    }

    fn number(&mut self, what: &str) -> Result<f64, String> {
        self.blanks();
        let rest = &self.text[self.at..];
        let length = rest.bytes().position(|byte| matches!(byte, b' ' | b'\t'));
        let word = &rest[..length.unwrap_or(rest.len())];
        let value = number(word).ok_or_else(|| self.expected(what))?;
        self.at += word.len();
        Ok(value)
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expected(&self, what: &str) -> String {
        match self.text.get(self.at..) {
            None | Some("") => format!("expected {what}, found the end of the line"),
            Some(rest) => format!("expected {what}, found {}", shown(rest)),
        }
    }
}

fn is_word(byte: u8) -> bool {
    /// Every byte of a page is asked for; looking it up is quicker than comparing.
    const WORD: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            table[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'_';
            byte += 1;
        }
        table
    };
    WORD[usize::from(byte)]
}

/// Returns the start of a text from outside so that it can be printed.
fn shown(text: &str) -> String {
    let mut start: String = text.chars().take(SHOWN).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    format!("{start:?}")
}

// === What else a body may be ===

fn text<'a>(content_type: &str, body: &'a [u8]) -> Result<&'a str, ExpositionError> {
    let foreign = ExpositionError::Foreign;
    if let Some(what) = compressed(body) {
        return Err(foreign(what));
    }
    if content_type.contains("protobuf") {
        return Err(foreign("it is protobuf, although text was asked for"));
    }
    let text = std::str::from_utf8(body).map_err(|_| foreign("it is not text in UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_ascii().is_empty() {
        return Err(foreign("it is empty"));
    }
    Ok(text)
}

/// Says what a text is whose first sample cannot be read.
fn foreign(text: &str) -> Option<&'static str> {
    let text = text.trim_ascii_start();
    let start = text.as_bytes().first()?;
    let key = |rest: &str| {
        let quoted = rest.strip_prefix('"').and_then(|rest| rest.split_once('"'));
        quoted.is_some_and(|(_, rest)| rest.trim_ascii_start().starts_with(':'))
    };
    let json = match start {
        b'[' => true,
        b'{' => {
            let inside = text[1..].trim_ascii_start();
            inside.starts_with('}') || key(inside)
        }
        _ => text.trim_ascii_end() == "null",
    };
    if *start == b'<' {
        Some("it looks like a web page")
    } else if json {
        Some("it looks like JSON")
    } else if text.bytes().take(200).any(|byte| byte < b'\t') {
        Some("it is binary")
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
