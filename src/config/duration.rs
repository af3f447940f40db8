//! Lengths of time as people write them.
//!
//! Owns: the notation and its bounds. Must not: know what a length is for.

use std::{borrow::Cow, time::Duration};

use serde::Deserialize;

use crate::document::excerpt;

/// Longest time that can be asked for: 30 days.
pub const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A length of time in the file: a number with a unit, up to [`LONGEST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Span(pub(super) Duration);

/// A length of time that is at least a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Pause(pub(super) Duration);

/// Returns the length of time that `text` means, from nothing to [`LONGEST`]: `30s`, `5m`,
/// `1h 30m`. The error says in one line what is wrong.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let fail = |why: &str| format!("'{}' is not a duration: {why}", excerpt(text));
    let trimmed = text.trim();
    if trimmed == "0" {
        return Ok(Duration::ZERO);
    }
    if trimmed.starts_with('-') {
        return Err(fail("it must not be negative"));
    }
    if !trimmed.is_empty() && trimmed.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(fail(&format!("add a unit, such as {trimmed}s")));
    }
    let duration = humantime::parse_duration(trimmed)
        .map_err(|_| fail("write a number with a unit, such as 30s, 5m or 1h30m"))?;
    if duration <= LONGEST {
        return Ok(duration);
    }
    let unit = trimmed.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
    Err(fail(if unit == "M" {
        "'M' means month and more than 30 days is refused; a minute is 'm'"
    } else {
        "more than 30 days is refused"
    }))
}

/// Returns the length of time that `text` means, at least one second.
pub(super) fn parse_pause(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text)?;
    if duration < Duration::from_secs(1) {
        return Err(format!(
            "'{}' is too short: at least 1s is needed",
            excerpt(text)
        ));
    }
    Ok(duration)
}

// === impl Span, Pause ===

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_duration(&text).map(Self)
    }
}

impl TryFrom<String> for Pause {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_pause(&text).map(Self)
    }
}

impl schemars::JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Length of time with a unit, up to 30 days: 30s, 5m, 1h30m",
            "type": ["string", "integer"],
            "pattern": "^\\s*(0|([0-9]+(\\.[0-9]+)?\\s*[A-Za-zµ]+\\s*)+)\\s*$",
            "maximum": 0,
            "minimum": 0
        })
    }
}

impl schemars::JsonSchema for Pause {
    fn schema_name() -> Cow<'static, str> {
        "Pause".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Length of time with a unit, from 1s to 30 days: 30s, 5m, 1h30m",
            "type": "string",
            "pattern": "^\\s*([0-9]+(\\.[0-9]+)?\\s*[A-Za-zµ]+\\s*)+$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("30s", 30),
            ("5m", 300),
            ("1h30m", 5400),
            ("1h 30m", 5400),
            ("0", 0),
            ("0s", 0),
            ("30d", 2_592_000),
            (" 2min ", 120),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
    }

    #[test]
    fn what_is_not_a_duration_is_refused_with_the_reason() {
        for (text, error) in [
            ("30", "'30' is not a duration: add a unit, such as 30s"),
            ("1.5", "'1.5' is not a duration: add a unit, such as 1.5s"),
            ("-5s", "'-5s' is not a duration: it must not be negative"),
            (
                "1M",
                "'1M' is not a duration: 'M' means month and more than 30 days is refused; a minute is 'm'",
            ),
            (
                "31d",
                "'31d' is not a duration: more than 30 days is refused",
            ),
            (
                "99999999999y",
                "'99999999999y' is not a duration: more than 30 days is refused",
            ),
            (
                "NaN",
                "'NaN' is not a duration: write a number with a unit, such as 30s, 5m or 1h30m",
            ),
            (
                "PT5M",
                "'PT5M' is not a duration: write a number with a unit, such as 30s, 5m or 1h30m",
            ),
            (
                "",
                "'' is not a duration: write a number with a unit, such as 30s, 5m or 1h30m",
            ),
        ] {
            assert_eq!(parse_duration(text), Err(error.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_pause_is_at_least_a_second() {
        assert_eq!(parse_pause("1s"), Ok(Duration::from_secs(1)));
        assert_eq!(
            parse_pause("999ms"),
            Err("'999ms' is too short: at least 1s is needed".to_owned())
        );
    }
}
