//! Expressions over an app's answer, in the Common Expression Language.
//!
//! Owns: compiling them once, and evaluating them to a condition or a number. Must not: turn an
//! error, null, NaN or infinity into a value.

use std::collections::HashMap;

use cel::{Context, Program, Value as Cel};
use serde_json::Value;

use crate::domain::verdict::Unknown;

/// Longest expression that is compiled, in bytes.
const LONGEST: usize = 2000;

/// Deepest nesting of brackets that is compiled: the parser is recursive.
const DEEPEST: usize = 32;

/// A compiled expression over `status` (int), `body` (parsed JSON, or null) and `text`.
pub struct Expression {
    program: Program,
    source: String,
}

/// Indicates text that is not an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{source_text}' is not a CEL expression: {reason}")]
pub struct ExpressionError {
    /// The text.
    pub source_text: String,
    /// What is wrong.
    pub reason: String,
}

/// Why an expression has no value.
pub type NoValue = (Unknown, String);

impl Expression {
    /// Returns the text of the expression.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Compiles an expression.
    pub fn compile(source: &str) -> Result<Self, ExpressionError> {
        let fail = |reason: String| ExpressionError {
            source_text: source.to_owned(),
            reason,
        };
        if source.len() > LONGEST {
            return Err(fail(format!("longer than {LONGEST} bytes")));
        }
        if depth(source) > DEEPEST {
            return Err(fail(format!("brackets nested deeper than {DEEPEST}")));
        }
        let program = Program::compile(source).map_err(|e| {
            let text = e.to_string();
            fail(text.lines().next().unwrap_or("cannot be parsed").to_owned())
        })?;
        Ok(Self {
            program,
            source: source.to_owned(),
        })
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other kind of value is the same mistake"
    )]
    /// Evaluates to a condition.
    pub fn condition(&self, status: u16, body: &[u8]) -> Result<bool, NoValue> {
        match self.value(status, body)? {
            Cel::Bool(holds) => Ok(holds),
            Cel::Null => Err((Unknown::NoData, format!("{} is null", self.source))),
            other => {
                let text = format!(
                    "{} is {:?}, not true or false",
                    self.source,
                    other.type_of()
                );
                Err((Unknown::Query, text))
            }
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other kind of value is the same mistake"
    )]
    /// Evaluates to a finite number.
    pub fn number(&self, status: u16, body: &[u8]) -> Result<f64, NoValue> {
        #[expect(clippy::cast_precision_loss, reason = "counters stay far below 2^53")]
        let number = match self.value(status, body)? {
            Cel::Int(n) => n as f64,
            Cel::UInt(n) => n as f64,
            Cel::Float(n) => n,
            Cel::Null => return Err((Unknown::NoData, format!("{} is null", self.source))),
            other => {
                let text = format!("{} is {:?}, not a number", self.source, other.type_of());
                return Err((Unknown::Query, text));
            }
        };
        if number.is_finite() {
            Ok(number)
        } else {
            Err((Unknown::NoData, format!("{} is {number}", self.source)))
        }
    }

    fn value(&self, status: u16, body: &[u8]) -> Result<Cel, NoValue> {
        let json: Value = if body.is_empty() {
            Value::Null
        } else if let Ok(json) = serde_json::from_slice(body) {
            json
        } else if self.source.contains("body") {
            let start = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
            return Err((
                Unknown::NoData,
                format!("the answer is not JSON: {start:?}"),
            ));
        } else {
            Value::Null
        };
        let mut context = Context::default();
        context.add_variable_from_value("status", i64::from(status));
        context.add_variable_from_value("body", to_cel(&json));
        let text = String::from_utf8_lossy(body).into_owned();
        context.add_variable_from_value("text", text);
        self.program.execute(&context).map_err(|error| {
            let (why, text) = if json.is_null() && self.source.contains("body") {
                let is = if body.is_empty() { "empty" } else { "null" };
                (Unknown::NoData, format!("the body is {is}"))
            } else {
                why_failed(&error)
            };
            (why, format!("{}: {text}", self.source))
        })
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library's errors grow; all others are mistakes in the expression"
)]
fn why_failed(error: &cel::ExecutionError) -> (Unknown, String) {
    let text = error.to_string();
    match error {
        cel::ExecutionError::NoSuchKey(key) => (Unknown::NoData, format!("the body has no {key}")),
        cel::ExecutionError::DivisionByZero(_) => (Unknown::NoTraffic, text),
        cel::ExecutionError::UnsupportedBinaryOperator(_, left, right)
        | cel::ExecutionError::ValuesNotComparable(left, right)
            if [left, right].contains(&&Cel::Null) =>
        {
            (Unknown::NoData, "a value in it is null".to_owned())
        }
        // The library names the types it met, and this one is no mistake of the expression.
        _ if text.contains("null_type") => (Unknown::NoData, "a value in it is null".to_owned()),
        _ => (Unknown::Query, text),
    }
}

/// Returns JSON as a CEL value; whole numbers are ints, whatever their sign, so that they compare.
fn to_cel(json: &Value) -> Cel {
    match json {
        Value::Null => Cel::Null,
        Value::Bool(b) => Cel::Bool(*b),
        Value::Number(n) => n
            .as_i64()
            .map(Cel::Int)
            .or_else(|| n.as_f64().map(Cel::Float))
            .unwrap_or(Cel::Null),
        Value::String(s) => Cel::from(s.as_str()),
        Value::Array(items) => Cel::from(items.iter().map(to_cel).collect::<Vec<_>>()),
        Value::Object(map) => {
            let map: HashMap<String, Cel> =
                map.iter().map(|(k, v)| (k.clone(), to_cel(v))).collect();
            Cel::from(map)
        }
    }
}

fn depth(source: &str) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => now += 1,
            b')' | b']' | b'}' => now = now.saturating_sub(1),
            b'!' | b'-' | b'?' => most = most.max(now + 1),
            _ => {}
        }
        most = most.max(now);
    }
    most
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(source: &str, body: &str) -> Result<f64, Unknown> {
        let expression = Expression::compile(source).unwrap();
        expression
            .number(200, body.as_bytes())
            .map_err(|(why, _)| why)
    }

    fn condition(source: &str, body: &str) -> Result<bool, Unknown> {
        let expression = Expression::compile(source).unwrap();
        expression
            .condition(200, body.as_bytes())
            .map_err(|(why, _)| why)
    }

    #[test]
    fn the_examples_of_the_documentation_work() {
        assert_eq!(
            condition(r#"body.status == "healthy""#, r#"{"status":"healthy"}"#),
            Ok(true)
        );
        assert_eq!(
            condition(r#"body.status == "healthy""#, r#"{"status":"sick"}"#),
            Ok(false)
        );
        let rate = "double(body.successfulTransactions) / double(body.totalTransactions)";
        let body = r#"{"successfulTransactions":97,"totalTransactions":100}"#;
        assert_eq!(number(rate, body), Ok(0.97));
    }

    #[test]
    fn zero_by_zero_is_not_a_number() {
        let rate = "double(body.good) / double(body.total)";
        assert_eq!(
            number(rate, r#"{"good":0,"total":0}"#),
            Err(Unknown::NoData)
        );
        assert!(number("body.good / body.total", r#"{"good":0,"total":0}"#).is_err());
    }

    #[test]
    fn what_is_not_there_has_no_value() {
        for body in [
            "",
            "null",
            "{}",
            r#"{"n":null}"#,
            "<html>",
            "NaN",
            "Inf",
            "[]",
            "\"text\"",
        ] {
            assert!(number("body.n", body).is_err(), "{body}");
            assert!(
                condition("body.n == 1", body).is_err() || body.contains("null"),
                "{body}"
            );
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let said = |source: &str, body: &str| {
            let expression = Expression::compile(source).unwrap();
            expression.number(200, body.as_bytes()).unwrap_err()
        };
        let no_data = |text: &str| (Unknown::NoData, text.to_owned());
        assert_eq!(said("body.n", "null"), no_data("body.n: the body is null"));
        assert_eq!(said("body.n", ""), no_data("body.n: the body is empty"));
        assert_eq!(said("body.n", "{}"), no_data("body.n: the body has no n"));
        assert_eq!(said("body.n", r#"{"n":null}"#), no_data("body.n is null"));
        for source in ["body.n.m", "double(body.n)", "body.n + 1"] {
            let wanted = no_data(&format!("{source}: a value in it is null"));
            assert_eq!(said(source, r#"{"n":null}"#), wanted);
        }
    }

    #[test]
    fn text_where_a_number_should_be_is_a_wrong_question() {
        assert_eq!(number("body.n", r#"{"n":"12"}"#), Err(Unknown::Query));
        assert_eq!(number("body.n", r#"{"n":"NaN"}"#), Err(Unknown::Query));
    }

    #[test]
    fn small_and_large_numbers_are_read_exactly() {
        assert_eq!(number("body.n", r#"{"n":1e-05}"#), Ok(1e-05));
        assert_eq!(
            number("body.n", r#"{"n":9007199254740993}"#),
            Ok(9_007_199_254_740_992.0)
        );
        assert!(number("body.n", r#"{"n":1e999}"#).is_err());
    }

    #[test]
    fn ints_compare_with_ints_of_either_sign() {
        assert_eq!(condition("body.n + 1 > 5", r#"{"n":7}"#), Ok(true));
        assert_eq!(
            condition("status == 200 && body.n < 0", r#"{"n":-7}"#),
            Ok(true)
        );
    }

    #[test]
    fn nonsense_is_refused_when_it_is_compiled() {
        assert!(Expression::compile("body.").is_err());
        assert!(Expression::compile("").is_err());
        assert!(Expression::compile(&"(".repeat(5000)).is_err());
    }

    /// Has a value or a reason for none, and says the same each time.
    fn assert_sound(source: &str, body: &[u8]) -> Result<(), TestCaseError> {
        let Ok(expression) = Expression::compile(source) else {
            return Ok(());
        };
        drop(expression.condition(200, body));
        let number = expression.number(200, body);
        if let Ok(number) = number {
            prop_assert!(number.is_finite(), "{source}: {number}");
        }
        prop_assert_eq!(number, expression.number(200, body));
        Ok(())
    }

    proptest! {
        #[test]
        fn any_text_is_an_expression_or_an_error(
            source in "[a-z0-9bru.()\\[\\]{}?:!&|<>=+*/%,'\"\\\\ é-]{0,24}|\\PC{0,12}",
            body in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            assert_sound(&source, &body)?;
        }

        #[test]
        fn any_expression_over_any_body_has_a_value_or_a_reason(
            left in "body|body\\.n|body\\[0\\]|body\\.n\\.m|status|text|size\\(text\\)|-9223372036854775808|0|1e308",
            operator in "[-+*/%<>]|==|in|&&|\\?2:",
            right in "body|body\\.n|double\\(body\\.n\\)|int\\(body\\)|-1|0|0\\.0|'x'|null|\\[1\\]",
            body in "[\\[{\"n:1e.0,\\]}-]{0,12}|\\{\"n\":(-?[0-9]{1,20}|1e308|null|\"x\"|\\[\\]|\\{\"m\":0\\})\\}|\\[-?[0-9]\\]",
        ) {
            assert_sound(&format!("{left} {operator} {right}"), body.as_bytes())?;
            assert_sound(&format!("-({left}) {operator} {right}"), body.as_bytes())?;
        }
    }
}
