//! What a look is about, in the words that sources outside the pods are asked with.
//!
//! Owns: the names of a release, placeholders for them, and text of others made fit to be shown.
//! Must not: ask anything.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::domain::{
    weight::Percent,
    workload::{Track, Workload},
};

/// What may stand in a URL as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The names of a release, and the side that is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Name of the app.
    pub app: &'a str,
    /// Name of stable's Deployment.
    pub stable: &'a str,
    /// Name of the canary's Deployment.
    pub canary: &'a str,
    /// Service that selects stable and canary sides, where known.
    pub service: Option<&'a str>,
    /// The side that is looked at.
    pub track: Track,
    /// The weight wanted for the canary, where a release is under way.
    pub weight: Option<Percent>,
}

/// Where a placeholder is filled in, which says how values are escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A URL.
    Url,
    /// Text.
    Text,
    /// A regular expression, in which the value stands for itself.
    Regex,
}

/// Every placeholder, with a value for one look.
pub struct Filling<'a> {
    values: [(&'static str, Cow<'a, str>); NAMES.len()],
}

/// Names of the placeholders.
const NAMES: [&str; 9] = [
    "app",
    "namespace",
    "track",
    "stable",
    "canary",
    "image",
    "deployment",
    "service",
    "pods",
];

impl<'a> Filling<'a> {
    /// Returns the values for a look at `workload`.
    pub fn new(facts: &Facts<'a>, namespace: &'a str, workload: &'a Workload) -> Self {
        let values: [Cow<'a, str>; NAMES.len()] = [
            facts.app.into(),
            namespace.into(),
            facts.track.word().into(),
            facts.stable.into(),
            facts.canary.into(),
            image(facts.app, workload).into(),
            workload.name.as_str().into(),
            facts.service.unwrap_or(facts.app).into(),
            pods(&workload.name).into(),
        ];
        let mut values = NAMES.into_iter().zip(values);
        Self {
            values: std::array::from_fn(|_| values.next().unwrap_or(("", "".into()))),
        }
    }

    /// Fills in all placeholders of a text that [`check`] has passed.
    pub fn fill(&self, text: &str, place: Place) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, name, after)) = next(rest) {
            filled.push_str(before);
            let value = self.values.iter().find(|(known, _)| *known == name.trim());
            let value = value.map_or("", |(_, value)| value);
            match place {
                Place::Url => filled.extend(utf8_percent_encode(value, PLAIN)),
                Place::Text => filled.push_str(value),
                Place::Regex => {
                    for c in value.chars() {
                        if r"\.+*?()|[]{}^$".contains(c) {
                            filled.push('\\');
                        }
                        filled.push(c);
                    }
                }
            }
            rest = after;
        }
        filled.push_str(rest);
        filled
    }

    /// Fills in all placeholders in the strings of a JSON value.
    pub fn fill_json(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.fill(text, Place::Text)),
            Value::Array(items) => items.iter().map(|item| self.fill_json(item)).collect(),
            Value::Object(map) => {
                let filled = map.iter().map(|(k, v)| (k.clone(), self.fill_json(v)));
                Value::Object(filled.collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }
}

/// Returns an error that names a placeholder nobody fills in.
pub fn check(text: &str) -> Result<(), String> {
    let mut rest = text;
    while let Some((_, name, after)) = next(rest) {
        if !NAMES.contains(&name.trim()) {
            let known: Vec<String> = NAMES.iter().map(|n| format!("{{{{{n}}}}}")).collect();
            return Err(format!(
                "nothing is known for {{{{{name}}}}}; there are: {}",
                known.join(", ")
            ));
        }
        rest = after;
    }
    Ok(())
}

/// Returns an error that names a placeholder in the strings of a JSON value that nobody fills in.
pub fn check_json(value: &Value) -> Result<(), String> {
    match value {
        Value::String(text) => check(text),
        Value::Array(items) => items.iter().try_for_each(check_json),
        Value::Object(map) => map.values().try_for_each(check_json),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// Returns a URL with a letter in place of each placeholder: one with braces is none.
pub fn blank(url: &str) -> String {
    blank_but(url, "x")
}

/// Returns a URL with the namespace of the release filled in, and a letter in place of each other
/// placeholder.
pub fn blank_but(url: &str, namespace: &str) -> String {
    let mut blank = String::with_capacity(url.len());
    let mut rest = url;
    while let Some((before, name, after)) = next(rest) {
        blank.push_str(before);
        blank.push_str(if name.trim() == "namespace" {
            namespace
        } else {
            "x"
        });
        rest = after;
    }
    blank.push_str(rest);
    blank
}

/// Returns the host of a URL, as it is written.
pub fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Returns what is before the next placeholder, its name, and what is behind it.
fn next(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{{")?;
    let (name, after) = rest.split_once("}}")?;
    Some((before, name, after))
}

/// Returns a regular expression of the names of the pods of a Deployment, and of no other's: the hash and
/// the suffix that the controllers give them are made of letters and digits that form no words.
pub fn pods(deployment: &str) -> String {
    const ALPHABET: &str = "[bcdfghjklmnpqrstvwxz2456789]";
    // A dot stands for itself; in a class it needs no escape that another language would eat.
    let name = deployment.replace('.', "[.]");
    format!("{name}-{ALPHABET}{{1,10}}-{ALPHABET}{{5}}")
}

/// Returns the image of a side: of the container that has the app's or the Deployment's name, or of
/// the first by name.
pub fn image<'a>(app: &str, workload: &'a Workload) -> &'a str {
    let images = &workload.images;
    let named = [app, workload.name.as_str()]
        .into_iter()
        .find_map(|name| images.get(name));
    named
        .or_else(|| images.values().next())
        .map_or("", String::as_str)
}

/// Returns the first line with text in it, at most `most` characters of it and without anything that
/// a terminal would obey.
pub fn plain(text: &str, most: usize) -> String {
    let mut lines = text.lines().map(str::trim);
    let line = lines.find(|line| !line.is_empty()).unwrap_or_default();
    let safe = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut said: String = line.chars().filter(safe).take(most + 1).collect();
    if said.chars().count() > most {
        said.pop();
        said.push('…');
    }
    said
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const FACTS: Facts<'static> = Facts {
        service: None,
        app: "payment-api",
        stable: "payment-api-stable",
        canary: "payment-api-canary",
        track: Track::Canary,
        weight: None,
    };

    pub(crate) fn workload() -> Workload {
        let images = [("app", "r.example/pay:2 b"), ("payment-api", "r/pay:2&x")];
        Workload {
            name: "payment-api-canary".into(),
            images: images.map(|(k, v)| (k.into(), v.into())).into(),
            revision: "abc".into(),
            ..Workload::default()
        }
    }

    #[test]
    fn placeholders_are_filled_and_escaped() {
        let workload = workload();
        let filling = Filling::new(&FACTS, "shop", &workload);
        let url = "http://x/{{namespace}}?v={{ image }}&t={{track}}";
        assert_eq!(
            filling.fill(url, Place::Url),
            "http://x/shop?v=r%2Fpay%3A2%26x&t=canary"
        );
        let body = serde_json::json!({"q": ["{{app}} {{stable}} {{canary}}", 1, null]});
        let filled = serde_json::json!({"q": ["payment-api payment-api-stable payment-api-canary", 1, null]});
        assert_eq!(filling.fill_json(&body), filled);
        assert_eq!(filling.fill("{{ {x}} {{", Place::Text), " {{");
        assert_eq!(filling.fill("^{{image}}$", Place::Regex), "^r/pay:2&x$");
        let dotted = Facts {
            app: "a.b",
            ..FACTS
        };
        let filling = Filling::new(&dotted, "shop", &workload);
        assert_eq!(filling.fill("{{app}}.*", Place::Regex), r"a\.b.*");
    }

    #[test]
    fn a_placeholder_nobody_fills_is_an_error() {
        assert_eq!(check("{{app}} {{ image }} {x} }} {{"), Ok(()));
        let error = check("http://x/{{pod}}").unwrap_err();
        assert!(
            error.contains("{{pod}}") && error.contains("{{track}}"),
            "{error}"
        );
        assert!(check_json(&serde_json::json!({"a": ["{{b}}"]})).is_err());
    }

    #[test]
    fn text_of_others_is_made_fit_to_be_shown() {
        assert_eq!(plain("\n\u{1b}[31mred\u{202e}\r\nnext", 80), "[31mred");
        assert_eq!(plain("abcdef", 3), "abc…");
        assert_eq!(plain("abc", 3), "abc");
        assert_eq!(plain("", 3), "");
    }
}
