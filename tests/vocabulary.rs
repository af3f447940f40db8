//! The words that users read are those of Kubernetes, Gateway API, Prometheus and SRE.
//!
//! Reads every string of `src` that is a sentence (two words or more), the help of the command line, and the pages
//! that users meet first. A private word there fails the test with what to say instead.

use std::{fs, path::Path};

use regex::Regex;

use crate::layering::{Source, sources};

/// What is not said, as a regular expression of whole words, and what is said instead.
const WORDS: &[(&str, &str)] = &[
    ("somebody|someone", "another client, on-call, or a person"),
    ("mend|mends|mended", "fix"),
    ("lets? go of", "release, unpin, or restore"),
    ("told to end", "interrupted"),
    (
        "looked at|looks? at|looks? in a row|looks failed|each look|every look",
        "evaluate, evaluation",
    ),
    ("put right", "re-applied"),
    ("sources? of metrics", "metrics provider"),
    ("numbers of pods", "replica counts"),
    ("anew", "again"),
    ("goes on|go on", "continues, resumes"),
    ("braked|no brake", "traffic paused"),
    ("rights|missing right|the right to", "permissions"),
    ("whoever", "name who"),
    ("nobody", "say what is missing"),
    ("stands? still", "stopped, or stale"),
];

/// Pages that users meet before any other.
const PAGES: &[&str] = &["docs/cli.md", "docs/canary.schema.json"];

fn stop_words() -> Vec<(Regex, &'static str)> {
    let word = |(word, instead): &(&str, &'static str)| {
        (Regex::new(&format!(r"(?i)\b({word})\b")).unwrap(), *instead)
    };
    WORDS.iter().map(word).collect()
}

/// Returns the strings of a source, without those of its tests.
fn strings(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let comments = Regex::new(r"(?m)^\s*//.*$").unwrap();
    let source = comments.replace_all(source, "").replace("'\"'", "' '");
    let string = Regex::new(r#"(?s)"((?:[^"\\]|\\.)*)""#).unwrap();
    let found = string.captures_iter(&source);
    found.map(|found| found[1].to_owned()).collect()
}

/// Returns the comments of a source that clap shows as help.
fn help(source: &str) -> Vec<String> {
    let shown = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("/// "));
    shown.map(str::to_owned).collect()
}

fn complaints(
    stop: &[(Regex, &str)],
    place: &str,
    texts: impl IntoIterator<Item = String>,
) -> Vec<String> {
    let mut complaints = Vec::new();
    for text in texts {
        for (word, instead) in stop {
            if text.contains(' ') && word.is_match(&text) {
                complaints.push(format!("{place}: {text:?}: say {instead}"));
            }
        }
    }
    complaints
}

#[test]
fn users_read_the_words_of_the_field() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let stop = stop_words();
    let mut found = Vec::new();
    for Source { path, text } in sources() {
        if path.starts_with("sim/") || path.contains("tests") {
            continue;
        }
        found.extend(complaints(&stop, &path, strings(&text)));
        if path == "cli/args.rs" {
            found.extend(complaints(&stop, &path, help(&text)));
        }
    }
    for page in PAGES {
        let text = fs::read_to_string(root.join(page)).unwrap();
        found.extend(complaints(&stop, page, text.lines().map(str::to_owned)));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_private_word_is_found() {
    let source = "// nobody\nlet text = \"nobody looks at it\"; let quote = '\"'; let other = \"all is well\";";
    assert_eq!(strings(source), ["nobody looks at it", "all is well"]);
    assert_eq!(complaints(&stop_words(), "here", strings(source)).len(), 2);
}
