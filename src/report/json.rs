//! Machine-readable output.
//!
//! Owns: the envelope of events and the safety of JSON on a terminal. Must not: shape documents;
//! `domain::{event, view}` do. Errors are never JSON: they are text on the other stream.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use super::line::Painted;
use crate::{
    domain::{
        event::Event,
        group::{Ending, Part},
        release::Outcome,
        view::DOCUMENT,
    },
    escape::is_unsafe,
};

/// An event with the version of its format.
#[derive(Serialize)]
struct Line<'a> {
    version: u32,
    #[serde(flatten)]
    event: &'a Event,
}

/// An event of a member of a group.
#[derive(Serialize)]
struct MemberLine<'a> {
    version: u32,
    group: &'a str,
    app: &'a str,
    #[serde(flatten)]
    event: &'a Event,
}

/// The end of a group's run.
#[derive(Serialize)]
struct GroupLine<'a> {
    version: u32,
    group: &'a str,
    at: Timestamp,
    event: &'static str,
    outcome: Outcome,
    text: &'a str,
    members: &'a [Part],
}

/// Returns an event of a member of a group as one line of JSON, without a newline.
pub fn member_event(group: &str, app: &str, event: &Event) -> serde_json::Result<Painted> {
    compact(&MemberLine {
        version: DOCUMENT,
        group,
        app,
        event,
    })
}

/// Returns the end of a group's run as one line of JSON, without a newline.
pub fn group_end(
    group: &str,
    at: Timestamp,
    ending: &Ending,
    members: &[Part],
) -> serde_json::Result<Painted> {
    compact(&GroupLine {
        version: DOCUMENT,
        group,
        at,
        event: "group-ended",
        outcome: ending.outcome,
        text: &ending.text,
        members,
    })
}

/// Returns an event as one line of JSON, without a newline.
pub fn event(event: &Event) -> serde_json::Result<Painted> {
    let line = Line {
        version: DOCUMENT,
        event,
    };
    compact(&line)
}

/// Returns a document on one line, without a newline.
pub fn compact(document: &impl Serialize) -> serde_json::Result<Painted> {
    serde_json::to_string(document).map(|json| escape(&json))
}

/// Returns a document for people to read, without a newline at the end.
pub fn pretty(document: &impl Serialize) -> serde_json::Result<Painted> {
    serde_json::to_string_pretty(document).map(|json| escape(&json))
}

/// Escapes what JSON allows but a terminal would obey, as JSON does it, so that readers get the same
/// text. Such characters stand only inside strings; line breaks only between them.
fn escape(json: &str) -> Painted {
    let harmless = |c: char| c == '\n' || !is_unsafe(c);
    if json.chars().all(harmless) {
        return Painted::lines(json.split('\n'));
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if harmless(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    Painted::lines(out.split('\n'))
}
