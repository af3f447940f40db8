//! One script of API calls, for the simulated cluster and for a real one.
//!
//! Owns: the chapters of the script, playing them, what of an answer is compared. Must not: know
//! which of the two clusters answers.

mod chapter;
mod normal;
mod player;

use std::path::PathBuf;

use serde_json::Value;

pub(crate) use self::{
    chapter::Chapter,
    player::{Stage, play},
};

/// Returns the folder of the transcripts of a real cluster.
pub(crate) fn transcripts() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/parity")
}

/// Returns all chapters in the order of their names, each with its name.
pub(crate) fn chapters() -> Vec<(String, Chapter)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/live/suite/parity/chapters");
    let mut found: Vec<(String, Chapter)> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let chapter = Chapter::parse(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
            (name, chapter)
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// Returns the transcript of a chapter that a real cluster wrote; null when there is none.
pub(crate) fn known(name: &str) -> Value {
    let path = transcripts().join(format!("{name}.json"));
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).unwrap(),
        Err(_) => Value::Null,
    }
}

/// Returns where two transcripts differ, a line for each place; empty when they are equal.
pub(crate) fn differences(known: &Value, seen: &Value) -> Vec<String> {
    let none = Vec::new();
    let steps = |transcript: &Value| transcript.as_array().unwrap_or(&none).clone();
    let (known, seen) = (steps(known), steps(seen));
    let mut found = Vec::new();
    for at in 0..known.len().max(seen.len()) {
        let step = |all: &[Value]| all.get(at).cloned().unwrap_or_default();
        let (one, other) = (step(&known), step(&seen));
        let mut here = Vec::new();
        compare("", &one, &other, &mut here);
        let name = |step: &Value| step["step"].as_str().unwrap_or("no such step").to_owned();
        let title = if one.is_null() {
            name(&other)
        } else {
            name(&one)
        };
        found.extend(here.into_iter().map(|line| format!("{at} {title}: {line}")));
    }
    found
}

fn compare(path: &str, known: &Value, seen: &Value, found: &mut Vec<String>) {
    match (known, seen) {
        (Value::Object(one), Value::Object(other)) => {
            let both = one
                .keys()
                .chain(other.keys().filter(|k| !one.contains_key(*k)));
            for key in both {
                let part = |map: &serde_json::Map<String, Value>| map.get(key).cloned();
                match (part(one), part(other)) {
                    (Some(one), Some(other)) => {
                        compare(&format!("{path}/{key}"), &one, &other, found);
                    }
                    (Some(one), None) => found.push(format!("{path}/{key} is missing: {one}")),
                    (_, other) => {
                        let other = other.unwrap_or_default();
                        found.push(format!("{path}/{key} should not be: {other}"));
                    }
                }
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (at, (one, other)) in one.iter().zip(other).enumerate() {
                compare(&format!("{path}/{at}"), one, other, found);
            }
        }
        (one, other) if one == other => {}
        (one, other) => found.push(format!(
            "{path}\n    transcript {one}\n    seen       {other}"
        )),
    }
}
