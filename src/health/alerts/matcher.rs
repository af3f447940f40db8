//! Matchers on the labels of alerts.
//!
//! Owns: reading them as Prometheus writes them, and writing them with placeholders filled in. Must
//! not: match anything; the source does.

use crate::health::facts::{Filling, Place};

/// One condition on the labels of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Matcher {
    label: String,
    /// `=`, `!=`, `=~` or `!~`.
    operator: &'static str,
    /// The value, without quotes and escapes.
    pub(super) value: String,
}

impl Matcher {
    /// Reads a matcher as a query of Prometheus writes it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let shape = || "a matcher is LABEL=\"VALUE\", or with !=, =~ or !~".to_owned();
        let text = text.trim();
        let end = text.find(['=', '!']).ok_or_else(shape)?;
        let (label, rest) = text.split_at(end);
        let label = label.trim_end();
        let operators = ["=~", "!~", "!=", "="];
        let operator = operators.into_iter().find(|o| rest.starts_with(o));
        let operator = operator.ok_or_else(shape)?;
        let value = unquoted(rest[operator.len()..].trim()).ok_or_else(shape)?;
        let mut letters = label.bytes();
        let first = letters
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        if !first || !letters.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(format!("'{label}' is not a label"));
        }
        if ["alertstate", "__name__"].contains(&label) {
            return Err(format!("{label} is asked for anyway"));
        }
        Ok(Self {
            label: label.to_owned(),
            operator,
            value,
        })
    }

    /// Returns whether it leaves out the alerts of others.
    pub(super) fn narrows(&self) -> bool {
        match self.operator {
            "=" => !self.value.is_empty(),
            "=~" => !matches!(self.value.trim_matches(['^', '$']), "" | ".*" | ".+"),
            _ => false,
        }
    }

    /// Returns it as text, the placeholders filled in.
    pub(super) fn filled(&self, filling: &Filling<'_>) -> String {
        let value = if self.operator.ends_with('~') {
            filling.fill(&self.value, Place::Regex)
        } else {
            filling.fill(&self.value, Place::Text)
        };
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        let value = value.replace('\n', "\\n");
        format!("{}{}\"{value}\"", self.label, self.operator)
    }
}

/// Returns what stands between quotes, its escapes resolved.
fn unquoted(text: &str) -> Option<String> {
    let mut letters = text.chars();
    let quote = letters.next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
    let mut value = String::new();
    loop {
        match letters.next()? {
            c if c == quote => break,
            '\\' if quote != '`' => match letters.next()? {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                c @ ('\\' | '"' | '\'') => value.push(c),
                _ => return None,
            },
            c => value.push(c),
        }
    }
    letters.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_are_read_as_promql_writes_them() {
        let matcher = |label: &str, operator, value: &str| Matcher {
            label: label.into(),
            operator,
            value: value.into(),
        };
        for (text, wanted) in [
            ("a=\"b\"", matcher("a", "=", "b")),
            (" a =~ 'b|c' ", matcher("a", "=~", "b|c")),
            ("a!=`\\d`", matcher("a", "!=", "\\d")),
            (r#"_a1!~"\\d\"""#, matcher("_a1", "!~", "\\d\"")),
        ] {
            assert_eq!(Matcher::parse(text), Ok(wanted), "{text}");
        }
        for text in [
            "",
            "a",
            "a=b",
            "a=\"b",
            "a=\"b\" c",
            "1a=\"b\"",
            "a==\"b\"",
            "a=\"\\x\"",
            "=\"b\"",
            "alertstate=\"firing\"",
        ] {
            assert!(Matcher::parse(text).is_err(), "{text}");
        }
    }
}
