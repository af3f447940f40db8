//! Requests that are sent to the canary when there is not enough traffic.
//!
//! Owns: what is sent and how often, as written in the file. Must not: send anything.

use std::{borrow::Cow, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de, de::Visitor};
use serde_json::Value;

use crate::document::{excerpt, listing};

/// Highest rate, in requests per second.
pub const MAX_RATE: f64 = crate::domain::plan::HIGHEST_LOAD;

/// Methods that a request may have.
pub const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Requests that are sent to the canary during the release
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Load {
    /// How often, over all requests: 10/s, 300/m, or a number per second
    #[serde(deserialize_with = "rate")]
    #[schemars(with = "Rate")]
    pub rate: f64,
    /// What is sent, in turn; at least one
    #[serde(deserialize_with = "requests")]
    #[schemars(length(min = 1))]
    pub requests: Vec<LoadRequest>,
}

/// One request
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LoadRequest {
    /// Method; default: GET
    #[serde(default = "get", deserialize_with = "method")]
    #[schemars(extend("enum" = METHODS))]
    pub method: String,
    /// Path with query, beginning with /
    #[serde(deserialize_with = "path")]
    #[schemars(regex(pattern = r"^/\S*$"))]
    pub path: String,
    /// Body: text is sent as it is, any other value as JSON; default: none
    pub body: Option<Value>,
    /// Content type of the body; default: application/json, or text/plain where the body is text
    pub content_type: Option<String>,
}

/// Only for the schema.
struct Rate;

impl LoadRequest {
    /// Returns the body as it is sent, with its content type; `None` when there is none.
    pub fn payload(&self) -> Option<(String, &str)> {
        let body = self.body.as_ref()?;
        let (text, default) = match body {
            Value::String(text) => (text.clone(), "text/plain; charset=utf-8"),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => (body.to_string(), "application/json"),
        };
        Some((text, self.content_type.as_deref().unwrap_or(default)))
    }
}

/// Returns requests per second for `10/s`, `300/m`, `3600/h` or a bare number, above 0 and up to
/// [`MAX_RATE`]. The error says in one line what is wrong.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    let fail = |why: &str| format!("'{}' is not a rate: {why}", excerpt(text));
    let form = "write requests per second, minute or hour, such as 10/s or 300/m";
    let (number, unit) = text.trim().split_once('/').unwrap_or((text.trim(), "s"));
    let seconds = match unit.trim() {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(fail(form)),
    };
    let number: f64 = number.trim().parse().map_err(|_| fail(form))?;
    let rate = number / seconds;
    if rate > 0.0 && rate <= MAX_RATE {
        Ok(rate)
    } else {
        Err(fail("it must be above 0 and at most 200/s"))
    }
}

fn get() -> String {
    "GET".to_owned()
}

fn rate<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    struct RateVisitor;
    impl Visitor<'_> for RateVisitor {
        type Value = f64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a rate such as 10/s")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<f64, E> {
            parse_rate(text).map_err(E::custom)
        }
    }
    from.deserialize_str(RateVisitor)
}

fn requests<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<LoadRequest>, D::Error> {
    let requests = Vec::deserialize(from)?;
    if requests.is_empty() {
        return Err(de::Error::custom("at least one request is needed"));
    }
    Ok(requests)
}

fn method<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if METHODS.contains(&text.as_str()) {
        return Ok(text);
    }
    Err(de::Error::custom(format!(
        "'{}' is not a method; known: {}",
        excerpt(&text),
        listing(METHODS)
    )))
}

fn path<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    let good = |c: char| c.is_ascii_graphic();
    if text.starts_with('/') && text.chars().all(good) {
        return Ok(text);
    }
    Err(de::Error::custom(format!(
        "'{}' is not a path: it begins with / and has no spaces (write them as %20)",
        excerpt(&text)
    )))
}

impl JsonSchema for Rate {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Requests per second, minute or hour: 10/s, 300/m; a number is per second",
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_RATE},
                {"type": "string", "pattern": "^\\s*[0-9]+(\\.[0-9]+)?\\s*(/\\s*[smh])?\\s*$"}
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_second() {
        for (text, rate) in [
            ("10/s", 10.0),
            ("300/m", 5.0),
            ("1800/h", 0.5),
            ("2.5", 2.5),
        ] {
            assert_eq!(parse_rate(text), Ok(rate));
        }
        for text in [
            "0", "-1/s", "NaN", "inf", "10001/s", "10/d", "/s", "", "ten", "1e9",
        ] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
        assert_eq!(
            parse_rate("0/s"),
            Err("'0/s' is not a rate: it must be above 0 and at most 200/s".to_owned())
        );
    }
}
