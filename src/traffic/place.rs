//! Where a weight stands in an object, and writing it there.
//!
//! Owns: JSON pointers, numbers in text, quantities, and JSON inside an annotation. Must not: know
//! what the weight means. Everything else in the object stays as it is, byte by byte.

use serde_json::{Value, json};

/// The place of one weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// JSON pointer in the object.
    pub pointer: String,
    /// Where the field holds JSON in text: JSON pointer within that.
    pub inner: Option<String>,
    /// How the number is written.
    pub form: Form,
}

/// How a weight is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A number: `25`.
    Number,
    /// A number in text: `"25"`.
    Text,
    /// A quantity in thousandths: `"250m"`.
    Milli,
}

impl Place {
    /// Returns the place of a plain number.
    pub fn number(pointer: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            inner: None,
            form: Form::Number,
        }
    }

    /// Returns the weight that stands there, in the units of its form; `None` where there is none or
    /// what stands there is no whole number.
    pub fn read(&self, object: &Value) -> Option<u64> {
        let field = object.pointer(&self.pointer)?;
        match &self.inner {
            None => self.form.read(field),
            Some(inner) => {
                let document: Value = serde_json::from_str(field.as_str()?).ok()?;
                self.form.read(document.pointer(inner)?)
            }
        }
    }

    /// Returns the place as people read it.
    pub fn shown(&self) -> String {
        match &self.inner {
            None => self.pointer.clone(),
            Some(inner) => format!("{}{inner}", self.pointer),
        }
    }
}

impl Form {
    /// Returns the value as this form writes it.
    pub fn write(self, weight: u64) -> Value {
        match self {
            Self::Number => json!(weight),
            Self::Text => json!(weight.to_string()),
            Self::Milli => json!(format!("{weight}m")),
        }
    }

    fn read(self, value: &Value) -> Option<u64> {
        match (self, value) {
            (Self::Milli, Value::String(text)) => milli(text),
            (Self::Milli, Value::Number(number)) => milli(&number.to_string()),
            (Self::Number | Self::Text, Value::String(text)) => text.trim().parse().ok(),
            (Self::Number | Self::Text, Value::Number(_)) => whole(value),
            (_, Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => None,
        }
    }
}

/// Returns a number without a fraction; some clients write `50.0`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "checked to be whole and within a range where f64 is exact"
)]
pub fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let number = value.as_f64()?;
        let exact = (0.0..=1e15).contains(&number) && number.trunc() == number;
        exact.then_some(number as u64)
    })
}

/// Returns a quantity in thousandths: `500m`, `1`, `0.5`, `1e2`, `2k`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be positive and within a range where f64 is exact"
)]
fn milli(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, factor) = match text.chars().last()? {
        'm' => (text.strip_suffix('m')?, 1.0),
        'k' => (text.strip_suffix('k')?, 1_000_000.0),
        _ => (text, 1000.0),
    };
    let value = number.parse::<f64>().ok()? * factor;
    (0.0..=1e15)
        .contains(&value)
        .then_some(value.round() as u64)
}

/// Returns the operations of a JSON patch that write the weights to their places in the object, and
/// for each place what stands there now. Weights that are right already are left out.
///
/// # Errors
///
/// A place within an annotation that does not hold a number there cannot be written, nor one where an
/// object or a list stands, or that nothing is around.
pub fn patch(object: &Value, weights: &[(Place, u64)]) -> Result<Vec<Value>, String> {
    let mut operations = Vec::new();
    let mut texts: Vec<(&str, String)> = Vec::new();
    for (place, weight) in weights {
        if place.read(object) == Some(*weight) {
            continue;
        }
        let value = place.form.write(*weight);
        let Some(inner) = &place.inner else {
            let op = operation(object, &place.pointer)
                .ok_or_else(|| format!("{} is no place for a weight", place.shown()))?;
            operations.push(json!({"op": op, "path": place.pointer, "value": value}));
            continue;
        };
        let known = texts.iter().position(|(at, _)| *at == place.pointer);
        let at = known.unwrap_or_else(|| {
            let text = object.pointer(&place.pointer).and_then(Value::as_str);
            texts.push((&place.pointer, text.unwrap_or_default().to_owned()));
            texts.len() - 1
        });
        let text = &mut texts[at].1;
        let span = span(text, inner)
            .ok_or_else(|| format!("{} has no weight to be replaced", place.shown()))?;
        text.replace_range(span, &value.to_string());
    }
    for (path, text) in texts {
        operations.push(json!({"op": "replace", "path": path, "value": text}));
    }
    Ok(operations)
}

/// Returns how a scalar gets to its place: nothing else may stand there, and what is around it must.
fn operation(object: &Value, pointer: &str) -> Option<&'static str> {
    match object.pointer(pointer) {
        Some(Value::Object(_) | Value::Array(_)) => None,
        Some(_) => Some("replace"),
        None => {
            let (around, _) = pointer.rsplit_once('/')?;
            object.pointer(around)?.is_object().then_some("add")
        }
    }
}

/// Returns where in a JSON text the scalar at `pointer` stands, so that it can be replaced without
/// touching a byte around it. `None` when there is none, or the text is no JSON.
fn span(text: &str, pointer: &str) -> Option<std::ops::Range<usize>> {
    let document: Value = serde_json::from_str(text).ok()?;
    if !document.pointer(pointer)?.is_number() && !document.pointer(pointer)?.is_string() {
        return None;
    }
    let mut scanner = Scanner {
        text: text.as_bytes(),
        at: 0,
    };
    let steps = pointer.split('/').skip(1);
    for step in steps {
        let step = step.replace("~1", "/").replace("~0", "~");
        scanner.enter(&step)?;
    }
    scanner.blank();
    let start = scanner.at;
    scanner.skip()?;
    Some(start..scanner.at)
}

/// Walks over JSON that is known to be valid.
struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blank(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Goes to the value of a member or element; of members of one name the last counts.
    fn enter(&mut self, step: &str) -> Option<()> {
        self.blank();
        let open = self.peek()?;
        self.at += 1;
        let mut found = None;
        let mut index = 0_usize;
        loop {
            self.blank();
            if matches!(self.peek()?, b'}' | b']') {
                break;
            }
            let here = if open == b'{' {
                let start = self.at;
                self.skip()?;
                let name: String = serde_json::from_slice(&self.text[start..self.at]).ok()?;
                self.blank();
                self.at += 1;
                name == step
            } else {
                step.parse() == Ok(index)
            };
            if here {
                found = Some(self.at);
            }
            self.skip()?;
            index += 1;
            self.blank();
            if self.peek()? == b',' {
                self.at += 1;
            }
        }
        self.at = found?;
        Some(())
    }

    /// Goes past one value, or a member's name.
    fn skip(&mut self) -> Option<()> {
        self.blank();
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    while self.peek()? != b'"' {
                        self.at += if self.peek()? == b'\\' { 2 } else { 1 };
                    }
                    self.at += 1;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' => self.at += 1,
                b if b.is_ascii_whitespace() => self.at += 1,
                _ => {
                    let ends = |b: u8| b",:]}".contains(&b) || b.is_ascii_whitespace();
                    while self.peek().is_some_and(|b| !ends(b)) {
                        self.at += 1;
                    }
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn inner(pointer: &str) -> Place {
        Place {
            pointer: "/a".to_owned(),
            inner: Some(pointer.to_owned()),
            form: Form::Number,
        }
    }

    #[test]
    fn weights_are_read_in_every_form() {
        let at = |form| Place {
            pointer: "/w".to_owned(),
            inner: None,
            form,
        };
        for (value, form, expected) in [
            (json!(25), Form::Number, Some(25)),
            (json!(25.0), Form::Number, Some(25)),
            (json!(2.5), Form::Number, None),
            (json!(-1), Form::Number, None),
            (json!("25"), Form::Text, Some(25)),
            (json!("no"), Form::Text, None),
            (json!("500m"), Form::Milli, Some(500)),
            (json!("1"), Form::Milli, Some(1000)),
            (json!(1), Form::Milli, Some(1000)),
            (json!(0.5), Form::Milli, Some(500)),
            (json!("1e2"), Form::Milli, Some(100_000)),
            (json!("0.5"), Form::Milli, Some(500)),
            (json!(null), Form::Number, None),
        ] {
            assert_eq!(at(form).read(&json!({"w": value})), expected, "{value}");
        }
    }

    #[test]
    fn json_in_an_annotation_keeps_every_other_byte() {
        let text = "{ \"Type\":\"forward\",\n \"w\": [ {\"n\":\"a,\\\"}\", \"weight\" : 90 },{\"weight\":10}] , \"x\":1e3}";
        let object = json!({"a": text});
        let operations = patch(
            &object,
            &[(inner("/w/0/weight"), 75), (inner("/w/1/weight"), 25)],
        )
        .unwrap();
        let written = text.replace(": 90 ", ": 75 ").replace(":10}", ":25}");
        assert_eq!(
            operations,
            [json!({"op": "replace", "path": "/a", "value": written})]
        );
    }

    #[test]
    fn what_is_right_already_is_not_written() {
        let object = json!({"a": "{\"w\": 5}", "b": 7});
        let places = [(inner("/w"), 5), (Place::number("/b"), 7)];
        assert_eq!(patch(&object, &places), Ok(vec![]));
    }

    #[test]
    fn what_is_no_place_for_a_weight_is_not_written() {
        let object = json!({"a": {"b": 7}, "c": [1]});
        for pointer in ["/a", "/c", "/d/weight", "/c/0/weight", "/c/-", "a/b"] {
            let written = patch(&object, &[(Place::number(pointer), 5)]);
            assert!(written.is_err(), "{pointer}: {written:?}");
        }
    }

    #[test]
    fn an_absent_number_is_added_and_one_in_an_annotation_refused() {
        let object = json!({"a": "{}", "b": {}});
        assert_eq!(
            patch(&object, &[(Place::number("/b/weight"), 0)]).unwrap(),
            [json!({"op": "add", "path": "/b/weight", "value": 0})]
        );
        assert!(patch(&object, &[(inner("/w"), 5)]).is_err());
    }

    proptest! {
        /// In any JSON text, replacing a number changes that number and nothing else.
        #[test]
        fn a_number_is_replaced_alone(
            key in "[a-z\"\\\\/~ü]{1,6}",
            before in proptest::collection::vec("[ -~]{0,8}", 0..4),
            weight in 0u64..1000,
            pretty: bool,
        ) {
            let mut document = json!({"first": before, key.clone(): [{"weight": 5000}, before]});
            let text = if pretty {
                serde_json::to_string_pretty(&document)
            } else {
                serde_json::to_string(&document)
            };
            let text = text.unwrap();
            let escaped = key.replace('~', "~0").replace('/', "~1");
            let place = inner(&format!("/{escaped}/0/weight"));
            let operations = patch(&json!({"a": text}), &[(place, weight)]).unwrap();
            let written = operations[0]["value"].as_str().unwrap();
            prop_assert_eq!(written, text.replacen("5000", &weight.to_string(), 1));
            document[&key][0]["weight"] = json!(weight);
            prop_assert_eq!(serde_json::from_str::<Value>(written).unwrap(), document);
        }
    }
}
