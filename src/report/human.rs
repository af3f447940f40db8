//! Events as lines: one for each change, for logs and for the scroll-back.
//!
//! Owns: what is said, and what was said already. Must not: print. A line that repeats itself hides
//! the one that matters, so waiting and checks are said when they change.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::{
    bar, check,
    closing::{Invocation, closing},
    line::{Line, Painted, joined},
    style::{Style, Tone},
    text::class,
    time::{between, clock, span},
};
use crate::domain::{
    event::{Event, EventKind},
    release::{Cause, Outcome, Phase},
    split::Split,
    verdict::{CheckResult, Verdict},
    weight::Percent,
    workload::Track,
};

/// What was said so lately is not said again as what is waited for.
const JUST: Duration = Duration::from_secs(5);

/// A wait is said again after this long, so that a log shows that somebody is still there.
const REMIND: Duration = Duration::from_secs(60);

/// Column of the label, after the time.
const LABEL: usize = 11;

/// Column of the text, after the label.
const TEXT: usize = 24;

/// Turns events into lines, remembering what was said.
#[derive(Debug, Clone)]
pub struct Narrator {
    style: Style,
    invocation: Invocation,
    began: Option<Timestamp>,
    phase: Option<Phase>,
    cause: Option<Cause>,
    split: Option<(Timestamp, Split)>,
    path: Vec<Percent>,
    waits: BTreeMap<String, Timestamp>,
    checks: BTreeMap<(Track, String), (Verdict, String)>,
    acted: Option<String>,
    news: Vec<(Timestamp, String)>,
    /// Whether it is one of several, so that the end is told for all of them.
    member: bool,
    /// Whether every look and every wait is said, with how sure it is.
    verbose: bool,
}

// === impl Narrator ===

impl Narrator {
    /// Returns a narrator that has said nothing yet.
    pub fn new(style: Style, invocation: Invocation) -> Self {
        Self {
            style,
            invocation,
            began: None,
            phase: None,
            cause: None,
            split: None,
            path: Vec::new(),
            waits: BTreeMap::new(),
            checks: BTreeMap::new(),
            acted: None,
            news: Vec::new(),
            member: false,
            verbose: false,
        }
    }

    /// Returns it so that every look and every wait is said, with odds and intervals.
    pub fn verbose(self, verbose: bool) -> Self {
        Self { verbose, ..self }
    }

    /// Returns a narrator of one member of a group: its end is a line, the commands come for all.
    pub fn of_member(style: Style, invocation: Invocation) -> Self {
        Self {
            member: true,
            ..Self::new(style, invocation)
        }
    }

    /// Returns the event as one or more lines without a newline at the end, or nothing when it says
    /// nothing new.
    pub fn line(&mut self, event: &Event) -> Option<Painted> {
        let at = event.at;
        self.began.get_or_insert(at);
        let lines = match &event.kind {
            EventKind::Started {
                id,
                steps,
                change,
                live,
            } => {
                self.path.push(live.unwrap_or(Percent::ZERO));
                let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
                let text = format!("run {id}: {change}, steps {}", steps.join(" → "));
                self.said(at, Tone::Bold, "started", &text)
            }
            EventKind::Resumed { id, phase, from } => {
                self.phase = Some(*phase);
                let from = from.as_ref().map(|f| format!(", after {f}"));
                let text = format!("run {id}{}: {}", from.unwrap_or_default(), phase.words());
                self.said(at, Tone::Bold, "resumed", &text)
            }
            EventKind::PhaseChanged {
                phase,
                step,
                steps,
                weight,
            } => {
                self.enter(*phase);
                self.entered(at, (*phase, *weight), (*step, *steps))
            }
            EventKind::Acting { what, .. } => {
                if self.acted.as_ref() == Some(what) {
                    return None;
                }
                self.acted = Some(what.clone());
                let line = self.head(at, Tone::Dim, "apply").dim(what);
                line.wrap(TEXT)
            }
            EventKind::Reached { split } => {
                self.observe(at, split);
                self.said(at, Tone::Good, "reached", &bar::words(split))
            }
            EventKind::Checked { track, results } => self.checked(at, *track, results),
            EventKind::Waiting { what, since } => return self.waiting(at, what, *since),
            EventKind::Drift { text, reasserted } => {
                let done = if *reasserted {
                    "re-applied"
                } else {
                    "left as it is"
                };
                self.said(at, Tone::Unknown, "drift", &format!("{text}: {done}"))
            }
            EventKind::Warning { text } => self.said(at, Tone::Unknown, "warning", text),
            EventKind::TrafficPaused { from, text } => {
                let text = format!("from {from}: {text}");
                self.said(at, Tone::Unknown, "TRAFFIC OFF", &text)
            }
            EventKind::TrafficResumed { .. } => {
                let text = event.kind.sentence();
                self.said(at, Tone::Good, "recovered", &text)
            }
            EventKind::RollingBack { cause, reason } => {
                self.cause = Some(*cause);
                self.rolling_back(at, reason)
            }
            EventKind::Ended {
                outcome,
                text,
                split,
            } => {
                if let Some(split) = split {
                    self.split = Some((at, split.clone()));
                }
                self.ended(at, *outcome, text)
            }
        };
        (!lines.is_empty()).then(|| joined(lines))
    }

    /// Takes in a split as read between two events, so that the closing block tells the latest one.
    pub fn observe(&mut self, at: Timestamp, split: &Split) {
        if self.path.last() != Some(&split.actual) {
            self.path.push(split.actual);
        }
        self.split = Some((at, split.clone()));
    }

    fn head(&self, at: Timestamp, tone: Tone, label: &str) -> Line {
        let line = self.style.line().dim(clock(at));
        line.to_column(LABEL)
            .add(tone, label)
            .plain(" ")
            .to_column(TEXT)
    }

    fn said(&self, at: Timestamp, tone: Tone, label: &str, text: &str) -> Vec<Line> {
        self.head(at, tone, label).plain(text).wrap(TEXT)
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = Some(phase);
        self.waits.clear();
        self.acted = None;
        if phase == Phase::Holding {
            // Every step counts from nothing, so it is worth saying that the checks pass here too.
            self.checks.clear();
        }
    }

    fn entered(&self, at: Timestamp, to: (Phase, Percent), step: (usize, usize)) -> Vec<Line> {
        let ((phase, weight), (step, steps)) = (to, step);
        let label = format!("step {step} of {steps}");
        match phase {
            Phase::Shifting => {
                let text = format!("moving traffic to {weight}");
                self.said(at, Tone::Bold, &label, &text)
            }
            Phase::Holding => self.said(at, Tone::Bold, &label, &format!("watching at {weight}")),
            Phase::Resting => self.said(at, Tone::Bold, &label, "canary traffic paused"),
            Phase::Approving => {
                let text = format!("waiting for approval at {weight}");
                self.said(at, Tone::Bold, &label, &text)
            }
            // The end has its own block.
            Phase::Ended => Vec::new(),
            Phase::RollingBack => self.said(at, Tone::Bold, "rollback", "moving traffic to stable"),
            Phase::Preparing
            | Phase::Testing
            | Phase::PromoteShift
            | Phase::PromoteTemplate
            | Phase::PromoteScale
            | Phase::PromoteCheck
            | Phase::PromoteReturn
            | Phase::UndoShift
            | Phase::UndoTemplate
            | Phase::Draining
            | Phase::Cleaning => {
                let words = phase.words();
                let (label, text) = words.split_once(": ").unwrap_or(("phase", words));
                let label = if label == "undoing the promotion" {
                    "undoing"
                } else {
                    label
                };
                self.said(at, Tone::Bold, label, text)
            }
        }
    }

    fn checked(&mut self, at: Timestamp, track: Track, results: &[CheckResult]) -> Vec<Line> {
        let mut healthy = Vec::new();
        let mut lines = Vec::new();
        self.news.clear();
        for result in results {
            let kind = if result.verdict == Verdict::Healthy {
                String::new()
            } else {
                class(&result.text)
            };
            let said = (result.verdict, kind);
            let key = (track, result.name.clone());
            if self.checks.get(&key) == Some(&said) && !self.verbose {
                continue;
            }
            self.news.push((at, class(&result.text)));
            self.checks.insert(key, said);
            if result.verdict == Verdict::Healthy && !self.verbose {
                healthy.push(result);
            } else {
                lines.extend(self.check_line(at, track, result));
            }
        }
        let good = match healthy.as_slice() {
            [] => Vec::new(),
            [one] => self.check_line(at, track, one),
            many => {
                let names: Vec<&str> = many.iter().map(|r| r.name.as_str()).collect();
                let mark = self.style.mark(Verdict::Healthy);
                let text = format!("{}{}", side(track), names.join(", "));
                self.said(at, Tone::Good, &mark, &text)
            }
        };
        lines.splice(0..0, good);
        lines
    }

    fn check_line(&self, at: Timestamp, track: Track, result: &CheckResult) -> Vec<Line> {
        let mark = self.style.mark(result.verdict);
        let text = format!(
            "{}{}: {}",
            side(track),
            result.name,
            check::sentence(result)
        );
        let sure = check::sure(result).filter(|_| self.verbose);
        let sure = sure.map_or_else(String::new, |sure| format!(" [{sure}]"));
        self.said(
            at,
            Tone::of(result.verdict),
            &mark,
            &format!("{text}{sure}"),
        )
    }

    fn waiting(&mut self, at: Timestamp, what: &str, since: Timestamp) -> Option<Painted> {
        let kind = class(what);
        let before = self.waits.get(&kind);
        let again = before.is_some();
        if before.is_some_and(|said| !self.verbose && between(*said, at) < REMIND) {
            return None;
        }
        // A wait for evidence repeats the sentence of a check that was just said.
        let told = |(when, text): &(Timestamp, String)| {
            between(*when, at) < JUST && kind.contains(text.as_str())
        };
        if self.news.iter().any(told) && !self.verbose {
            self.waits.insert(kind, at);
            return None;
        }
        self.waits.insert(kind, at);
        let line = self.head(at, Tone::Plain, "waiting").plain(what);
        let line = if again {
            line.dim(format!(" (for {})", span(between(since, at))))
        } else {
            line
        };
        Some(joined(line.wrap(TEXT)))
    }

    fn rolling_back(&self, at: Timestamp, reason: &str) -> Vec<Line> {
        let from = self
            .split
            .as_ref()
            .map(|(_, s)| format!("from {}: ", bar::share(s.actual)));
        let head = self.head(at, Tone::Bad, "ROLLING BACK");
        head.bold(from.unwrap_or_default()).bold(reason).wrap(TEXT)
    }

    fn ended(&self, at: Timestamp, outcome: Outcome, text: &str) -> Vec<Line> {
        let took = span(between(self.began.unwrap_or(at), at));
        let (tone, word) = headline(outcome);
        let text = text.strip_prefix("rolled back, ").unwrap_or(text);
        let text = text.strip_prefix("promoted: ").unwrap_or(text);
        let headline = format!("{word} after {took}");
        let head = self.style.line().dim(clock(at)).to_column(LABEL);
        let mut lines = head.add(tone, headline).plain(": ").plain(text).wrap(LABEL);
        if self.member {
            return lines;
        }
        let mut row = |label: &str, tone: Tone, text: &str| {
            let line = self.style.line().to_column(LABEL).dim(label);
            lines.extend(line.to_column(LABEL + 9).add(tone, text).wrap(LABEL + 9));
        };
        if outcome == Outcome::Incomplete {
            row(
                "page",
                Tone::Bad,
                "on-call: this could not be finished or verified",
            );
        }
        if let Some(path) = self.weights() {
            row("weights", Tone::Plain, &path);
        }
        if let Some((when, split)) = &self.split {
            // What was read before the trouble is not what is live: say when it was read.
            let proven = matches!(
                outcome,
                Outcome::Promoted | Outcome::RolledBack | Outcome::AtWeight
            );
            if proven {
                row("live", Tone::Plain, &live(split));
            } else {
                let text = format!("at {}: {}", clock(*when), live(split));
                row("was", Tone::Plain, &text);
            }
        }
        let hints = closing(
            outcome,
            self.cause,
            self.phase_before_end(),
            &self.invocation,
        );
        row("next", Tone::Bold, &hints.next);
        if let Some(undo) = &hints.undo {
            row("undo", Tone::Bold, undo);
        }
        if let Some(note) = hints.note {
            row("note", Tone::Plain, note);
        }
        lines
    }

    fn phase_before_end(&self) -> Option<Phase> {
        self.phase.filter(|p| *p != Phase::Ended)
    }

    fn weights(&self) -> Option<String> {
        let steps: Vec<String> = self.path.iter().map(|p| bar::share(*p)).collect();
        (!steps.is_empty()).then(|| steps.join(" → "))
    }
}

/// Returns how an outcome is announced.
pub fn headline(outcome: Outcome) -> (Tone, &'static str) {
    match outcome {
        Outcome::Promoted => (Tone::Good, "PROMOTED"),
        Outcome::RolledBack => (Tone::Bad, "ROLLED BACK"),
        Outcome::AtWeight => (Tone::Good, "WEIGHT REACHED"),
        Outcome::Paused => (Tone::Unknown, "PAUSED with the split live"),
        Outcome::Conflict => (Tone::Unknown, "STOPPED on a conflict"),
        Outcome::Incomplete => (Tone::Bad, "INCOMPLETE"),
    }
}

/// Returns what serves users now.
fn live(split: &Split) -> String {
    let pods = |ready: u32| super::text::count(u64::from(ready), "ready pod");
    format!(
        "stable {} on {}, canary {} on {}",
        bar::share(split.actual.rest()),
        pods(split.stable_ready),
        bar::share(split.actual),
        pods(split.canary_ready)
    )
}

fn side(track: Track) -> &'static str {
    match track {
        Track::Stable => "stable, ",
        Track::Canary => "",
    }
}
