//! Prometheus' text format, as a scrape reads it.
//!
//! Owns: taking a body apart into samples. Must not: add labels.

use super::storage::{Labels, NAME, Samples};

/// Returns the samples of a body; the error tells the line that is none, as one broken line spoils
/// a scrape.
pub(super) fn parse(body: &str) -> Result<Samples, String> {
    let lines = body.lines().map(str::trim);
    let rows = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    rows.map(|line| row(line).ok_or_else(|| format!("not a sample: {line}")))
        .collect()
}

fn row(line: &str) -> Option<(Labels, f64)> {
    let end = line.find(|c: char| !is_name(c)).unwrap_or(line.len());
    let (name, mut rest) = line.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut labels = Labels::from([(NAME.to_owned(), name.to_owned())]);
    if let Some(inner) = rest.trim_start().strip_prefix('{') {
        rest = pairs(inner, &mut labels)?;
    }
    let mut words = rest.split_whitespace();
    let value = number(words.next()?)?;
    // A sample may carry its own moment; the simulated one takes that of the scrape.
    let moment = words.next().map(str::parse::<i64>);
    if moment.is_some_and(|m| m.is_err()) || words.next().is_some() {
        return None;
    }
    if name.ends_with("_bucket")
        && let Some(bound) = labels.get_mut("le")
        && bound.parse::<u64>().is_ok()
    {
        // Bounds are kept as floats, whatever the program wrote.
        bound.push_str(".0");
    }
    Some((labels, value))
}

/// Reads labels until the closing brace; returns what follows it.
fn pairs<'a>(mut rest: &'a str, labels: &mut Labels) -> Option<&'a str> {
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return Some(after);
        }
        let (name, after) = rest.split_once('=')?;
        let name = name.trim();
        if name.is_empty() || !name.chars().all(is_name) {
            return None;
        }
        let (value, after) = quoted(after.trim_start().strip_prefix('"')?)?;
        labels.insert(name.to_owned(), value);
        rest = after.trim_start();
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None if rest.starts_with('}') => {}
            None => return None,
        }
    }
}

/// Reads a label's value until its closing quote.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                escaped @ ('\\' | '"') => value.push(escaped),
                _ => return None,
            },
            other => value.push(other),
        }
    }
    None
}

fn number(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        _ => text.parse().ok(),
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_names_labels_and_values() {
        let body = "# HELP up x\n# TYPE up gauge\nup 1\n\nhttp_total{code=\"500\",path=\"/a\\\"b\\\\\\n\"} 2.5e3 1700000000000\nlatency_bucket{le=\"1\",} 3\nlatency_bucket{le=\"+Inf\"} +Inf\n";
        let shown: Vec<String> = parse(body)
            .unwrap()
            .iter()
            .map(|(labels, value)| format!("{labels:?} {value}"))
            .collect();
        assert_eq!(
            shown,
            [
                r#"{"__name__": "up"} 1"#,
                r#"{"__name__": "http_total", "code": "500", "path": "/a\"b\\\n"} 2500"#,
                r#"{"__name__": "latency_bucket", "le": "1.0"} 3"#,
                r#"{"__name__": "latency_bucket", "le": "+Inf"} inf"#,
            ]
        );
    }

    #[test]
    fn a_line_that_is_no_sample_spoils_all() {
        for line in [
            "null",
            "up",
            "up one",
            "{\"totalTransactions\":1}",
            "up{a=1} 1",
            "up{a=\"1\" 1",
            "up{a=\"1\" b=\"2\"} 1",
            "1up 1",
            "up 1 2 3",
            "<html>",
        ] {
            assert!(parse(&format!("ok 1\n{line}\n")).is_err(), "{line}");
        }
    }
}
