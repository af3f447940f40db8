//! What holds for every screen, whatever the cluster says.

use std::time::Duration;

use proptest::prelude::*;
use unicode_width::UnicodeWidthStr;

use super::samples::{self, at};
use crate::{
    domain::{
        event::{Event, EventKind},
        release::{Cause, Outcome, Phase},
        verdict::Verdict,
        view::{CheckView, Finding, HistoryView, Severity, StatusView},
        workload::Track,
    },
    report::{
        closing::Invocation,
        findings::findings,
        history::history,
        human::Narrator,
        json, monitor,
        progress::{HEIGHT, Progress},
        status::status,
        style::Style,
        table::releases,
    },
};

/// Returns whether a terminal acts on the character instead of showing it; a list of its own, so
/// that a hole in the one under test shows.
fn is_obeyed(c: char) -> bool {
    let reorders = "\u{200e}\u{200f}\u{61c}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
    let hides = "\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}\u{ad}\u{2028}\u{2029}\u{e0001}";
    c.is_control() || reorders.contains(c) || hides.contains(c)
}

/// Returns the text without the escapes that a style may write: `ESC [ digits m`.
fn unpainted(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit() && c != ';');
        let (codes, rest) = part.split_at(end.unwrap_or(part.len()));
        assert!(
            !codes.is_empty() && rest.starts_with('m'),
            "not a colour: {part:?}"
        );
        out.push_str(&rest[1..]);
    }
    out
}

fn holds(screen: &str, style: Style) {
    let text = if style.color {
        unpainted(screen)
    } else {
        screen.to_owned()
    };
    for line in text.lines() {
        assert!(
            line.width() <= style.width,
            "{} columns: {line:?}",
            line.width()
        );
        assert!(!line.chars().any(is_obeyed), "{line:?}");
        assert!(style.unicode || line.is_ascii(), "{line:?}");
    }
}

fn all_screens(view: &StatusView, words: &str, style: Style) -> Vec<String> {
    let mut record: HistoryView = samples::history();
    record.runs[0].trail[1].text = words.to_owned();
    record.runs[0].trail[2].who = words.to_owned();
    record.runs[0].trail[2].what = words.to_owned();
    let mut check: CheckView = samples::findings();
    check.findings.push(Finding {
        severity: Severity::Note,
        what: words.into(),
        place: words.into(),
        why: words.into(),
        fix: words.into(),
    });
    let mut lines = samples::releases();
    lines[0].app = words.into();
    lines[1].holder = Some(words.into());
    let mut screens: Vec<String> = [
        status(view, at(130), style),
        releases(&lines, true, at(130), style),
        history(&record, style),
        findings(&check, style),
        monitor::screen_of(view, monitor::Rates::default(), at(130), style),
        monitor::line_of(view, monitor::Rates::default(), at(130), style),
    ]
    .iter()
    .map(ToString::to_string)
    .collect();
    let mut narrator = Narrator::new(
        style,
        Invocation {
            app: words.into(),
            namespace: words.into(),
            invoked_as: "canaryctl".into(),
            flags: Vec::new(),
            sandbox: None,
        },
    );
    let mut progress = Progress::new(words, words, &[], &[Duration::from_secs(60)]);
    for event in events(view, words) {
        progress.update(&event);
        screens.extend(narrator.line(&event).map(|line| line.to_string()));
        let block = progress.lines(event.at, &style);
        assert!(block.len() <= HEIGHT, "{block:#?}");
        assert!(block.iter().all(|l| !l.contains('\n')));
        screens.push(block.join("\n"));
    }
    screens
}

/// Returns one event of every kind, full of `words`.
fn events(view: &StatusView, words: &str) -> Vec<Event> {
    let text = || words.to_owned();
    let mut results = view.checks.clone();
    results.extend((0..9).map(|n| {
        let name = format!("{words} {n}");
        samples::result(&name, Verdict::Healthy, words)
    }));
    let mut split = samples::split(50, 7, 2);
    split.detail = text();
    let kinds = vec![
        EventKind::Started {
            id: text(),
            steps: vec![split.wanted; 4],
            change: text(),
            live: Some(split.actual),
        },
        EventKind::Resumed {
            id: text(),
            phase: Phase::Holding,
            from: Some(text()),
        },
        EventKind::PhaseChanged {
            phase: Phase::Holding,
            step: 1,
            steps: 4,
            weight: split.wanted,
        },
        EventKind::Acting {
            what: text(),
            changes: Vec::new(),
        },
        EventKind::Reached { split },
        EventKind::Checked {
            track: Track::Canary,
            results,
        },
        EventKind::Waiting {
            what: text(),
            since: at(0),
        },
        EventKind::Drift {
            text: text(),
            reasserted: false,
        },
        EventKind::Warning { text: text() },
        EventKind::RollingBack {
            cause: Cause::Unhealthy,
            reason: text(),
        },
        EventKind::Ended {
            outcome: Outcome::Incomplete,
            text: text(),
            split: None,
        },
    ];
    let moments = kinds.into_iter().zip(0..);
    moments
        .map(|(kind, n)| Event {
            at: at(n * 61),
            kind,
        })
        .collect()
}

#[test]
fn every_screen_fits_and_carries_nothing_a_terminal_obeys() {
    let words = "\u{1b}]0;owned\u{7}\u{202e} a\nb 試験試験試験 \u{2066}ok\u{fe0f} — …";
    for style in samples::styles() {
        for view in [
            samples::view(),
            samples::hostile(),
            samples::bare(),
            samples::ended(),
            samples::doubtful(),
        ] {
            for screen in all_screens(&view, words, style) {
                holds(&screen, style);
            }
        }
    }
}

#[test]
fn the_narrowest_terminal_ends_no_loop() {
    for width in 0..60 {
        let style = Style {
            width,
            ..samples::plain(0)
        };
        assert!(!all_screens(&samples::hostile(), "words", style).is_empty());
    }
}

#[test]
fn json_lines_are_one_line_and_survive_hostile_text() {
    let words = "\u{1b}[2J\n\u{202e}x\u{9b}\u{e0001}";
    for event in events(&samples::view(), words) {
        let line = json::event(&event).unwrap();
        assert!(!line.chars().any(is_obeyed), "{line:?}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["version"], 1);
        if let Some(text) = read.get("reason") {
            assert_eq!(text, words);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn json_is_safe_on_a_terminal_and_the_same_to_a_reader(text in "\\PC{0,30}|[\\x00-\\x9f]{0,30}|.{0,30}|[\u{2028}-\u{202e}\u{fe00}-\u{fe0f}\u{e0000}-\u{e00ff}]{0,9}") {
        let document = serde_json::json!({ text.clone(): [text.clone(), {"text": text.clone()}] });
        for json in [json::pretty(&document).unwrap(), json::compact(&document).unwrap()] {
            prop_assert!(!json.chars().any(|c| c != '\n' && is_obeyed(c)), "{:?}", &*json);
            let read: serde_json::Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(&read, &document);
        }
    }

    #[test]
    fn any_text_of_the_cluster_fits(words in "\\PC{0,90}|[\\x00-\\x7f]{0,60}|.{0,90}", name in ".{0,70}", width in 60_usize..140, unicode: bool, color: bool) {
        let style = Style { color, unicode, width };
        let mut view = samples::hostile();
        view.app.clone_from(&name);
        view.namespace.clone_from(&words);
        view.router.clone_from(&words);
        view.next.clone_from(&words);
        view.checks[0].name.clone_from(&name);
        view.checks[1].text.clone_from(&words);
        view.checks[2].limit.clone_from(&words);
        if let Some(canary) = &mut view.canary {
            canary.revision.clone_from(&words);
            canary.images.insert(name.clone(), words.clone());
        }
        for screen in all_screens(&view, &words, style) {
            holds(&screen, style);
        }
    }
}
