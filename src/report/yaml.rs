//! Objects as YAML, for people and for `kubectl apply`.
//!
//! Owns: block style, and quoting what would be read as something else. Must not: know kinds of objects.

use serde_json::Value;

/// Returns an object's lines.
pub fn yaml(value: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    block(value, 0, &mut lines);
    lines
}

/// Writes a value in lines of its own, so many columns in.
fn block(value: &Value, indent: usize, lines: &mut Vec<String>) {
    let gap = " ".repeat(indent);
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, value) in members {
                entry(&format!("{gap}{}:", text(key)), value, indent + 2, lines);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let from = lines.len();
                block(item, indent + 2, lines);
                // The dash takes the place of the first line's indent.
                if let Some(first) = lines.get_mut(from) {
                    let rest = first.trim_start().to_owned();
                    *first = format!("{gap}- {rest}");
                }
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => lines.push(format!("{gap}{}", scalar(value))),
    }
}

/// Writes a value after its key: beside it, or in lines below.
fn entry(head: &str, value: &Value, indent: usize, lines: &mut Vec<String>) {
    let nested = match value {
        Value::Object(members) => !members.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    if nested {
        lines.push(head.to_owned());
        block(value, indent, lines);
    } else {
        lines.push(format!("{head} {}", scalar(value)));
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(value) => text(value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// Returns a text as it is where it can be nothing else, and as JSON writes it otherwise, which YAML reads.
fn text(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/".contains(c);
    let word = value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let other = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if word && value.chars().all(plain) && !other.contains(&value.to_ascii_lowercase().as_str()) {
        return value.to_owned();
    }
    Value::from(value).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_written_as_kubectl_takes_them() {
        let object = json!({
            "metadata": {"name": "web", "annotations": {"a/b": "true", "w": "0", "empty": ""}},
            "spec": {
                "rules": [{"host": "*.example", "paths": [{"path": "/", "port": 1}, "x"]}, [1, null]],
                "none": {}, "list": [],
            },
        });
        assert_eq!(
            yaml(&object).join("\n"),
            "metadata:
  name: web
  annotations:
    a/b: \"true\"
    w: \"0\"
    empty: \"\"
spec:
  rules:
    - host: \"*.example\"
      paths:
        - path: /
          port: 1
        - x
    - - 1
      - null
  none: {}
  list: []"
        );
    }
}
