//! Names of objects.
//!
//! Owns: the rules of Kubernetes for names (RFC 1123). Must not: know which objects exist.

use std::borrow::Cow;

use serde::Deserialize;

use crate::document::excerpt;

/// Longest name of an object, in bytes.
const OBJECT: usize = 253;
/// Longest name of a namespace or Service, in bytes.
const LABEL: usize = 63;

/// The name of an app or Deployment in the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct ObjectName(pub(super) String);

/// The name of a namespace or Service in the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct LabelName(pub(super) String);

/// Returns `text` if it can name an app or a Deployment: up to 253 lower-case letters, digits,
/// `-` and `.`, each part between dots with a letter or digit at both ends.
pub fn parse_object_name(text: &str) -> Result<String, String> {
    let fail = |why: &str| Err(format!("'{}' is not a name: {why}", excerpt(text)));
    if text.len() > OBJECT {
        return fail("at most 253 characters");
    }
    for part in text.split('.') {
        if let Err(why) = part_of_name(part, "lower-case letters, digits, '-' and '.' only") {
            return fail(why);
        }
    }
    Ok(text.to_owned())
}

/// Returns `text` if it can name a namespace or a Service: up to 63 lower-case letters, digits
/// and `-`, with a letter or digit at both ends.
pub fn parse_label_name(text: &str) -> Result<String, String> {
    let fail = |why: &str| Err(format!("'{}' is not a name: {why}", excerpt(text)));
    if text.len() > LABEL {
        return fail("at most 63 characters");
    }
    match part_of_name(text, "lower-case letters, digits and '-' only") {
        Ok(()) => Ok(text.to_owned()),
        Err(why) => fail(why),
    }
}

fn part_of_name(part: &str, alphabet: &'static str) -> Result<(), &'static str> {
    let bytes = part.as_bytes();
    let good = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    match (bytes.first(), bytes.last()) {
        _ if !bytes.iter().all(|b| good(b) || *b == b'-') => Err(alphabet),
        (Some(first), Some(last)) if good(first) && good(last) => Ok(()),
        (Some(_), Some(_)) => Err("it must begin and end with a letter or digit"),
        _ => Err("a part of it is empty"),
    }
}

// === impl ObjectName, LabelName ===

impl TryFrom<String> for ObjectName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_object_name(&text).map(Self)
    }
}

impl TryFrom<String> for LabelName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_label_name(&text).map(Self)
    }
}

impl schemars::JsonSchema for ObjectName {
    fn schema_name() -> Cow<'static, str> {
        "ObjectName".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Name of an app or Deployment (RFC 1123 subdomain)",
            "type": "string",
            "maxLength": OBJECT,
            "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
        })
    }
}

impl schemars::JsonSchema for LabelName {
    fn schema_name() -> Cow<'static, str> {
        "LabelName".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Name of a namespace or Service (RFC 1123 label)",
            "type": "string",
            "maxLength": LABEL,
            "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_kubernetes() {
        for name in ["a", "shop", "shop-2", "2048", "v1.2.shop"] {
            assert_eq!(parse_object_name(name), Ok(name.to_owned()));
        }
        assert!(parse_object_name(&"a".repeat(253)).is_ok());
        assert!(parse_label_name(&"a".repeat(63)).is_ok());
        for (name, why) in [
            ("", "a part of it is empty"),
            ("a..b", "a part of it is empty"),
            ("-a", "it must begin and end with a letter or digit"),
            ("a-.b", "it must begin and end with a letter or digit"),
            ("Shop", "lower-case letters, digits, '-' and '.' only"),
            ("shop_2", "lower-case letters, digits, '-' and '.' only"),
            ("shop\n", "lower-case letters, digits, '-' and '.' only"),
            ("šhop", "lower-case letters, digits, '-' and '.' only"),
            ("a/b", "lower-case letters, digits, '-' and '.' only"),
        ] {
            let error = parse_object_name(name).unwrap_err();
            assert!(error.ends_with(why), "{name}: {error}");
            assert!(!error.contains('\n'));
        }
        assert!(parse_object_name(&"a".repeat(254)).is_err());
        assert_eq!(
            parse_label_name("1.10"),
            Err("'1.10' is not a name: lower-case letters, digits and '-' only".to_owned())
        );
        assert!(parse_label_name(&"a".repeat(64)).is_err());
    }
}
