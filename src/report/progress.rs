//! What a live display shows: a small model fed by events.
//!
//! Owns: the block of at most [`HEIGHT`] lines. Must not: draw it, or know the time but as `now`.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    bar, check,
    human::headline,
    line::{Line, Painted},
    style::{Style, Tone},
    text::class,
    time::{between, clock, span},
};
use crate::domain::{
    event::{Event, EventKind},
    release::{Outcome, Phase},
    split::Split,
    verdict::{CheckResult, Verdict},
    weight::Percent,
};

/// Lines of the block at most.
pub const HEIGHT: usize = 12;

/// Column after the labels.
const BODY: usize = 8;

/// Cells of the bar of a hold.
const CELLS: u32 = 10;

/// Checks shown one by one.
const CHECKS: usize = 6;

/// The state of a run as far as the events told it.
#[derive(Debug, Clone)]
pub struct Progress {
    app: String,
    namespace: String,
    steps: Vec<Percent>,
    holds: Vec<Duration>,
    run: Option<String>,
    began: Option<Timestamp>,
    phase: Option<Phase>,
    step: usize,
    held_since: Option<Timestamp>,
    /// Whether the canary is looked at again, or about to be.
    braked: bool,
    split: Option<Split>,
    checks: Vec<CheckResult>,
    waits: Option<String>,
    doing: Option<String>,
    note: Option<String>,
    reason: Option<String>,
    outcome: Option<Outcome>,
}

// === impl Progress ===

impl Progress {
    /// Returns the state before the first event; `holds` are the times to hold, one for each step.
    pub fn new(app: &str, namespace: &str, steps: &[Percent], holds: &[Duration]) -> Self {
        Self {
            app: app.to_owned(),
            namespace: namespace.to_owned(),
            steps: steps.to_vec(),
            holds: holds.to_vec(),
            run: None,
            began: None,
            phase: None,
            step: 0,
            held_since: None,
            braked: false,
            split: None,
            checks: Vec::new(),
            waits: None,
            doing: None,
            note: None,
            reason: None,
            outcome: None,
        }
    }

    /// Takes in what happened.
    pub fn update(&mut self, event: &Event) {
        self.began.get_or_insert(event.at);
        match &event.kind {
            EventKind::Started { id, steps, .. } => {
                self.run = Some(id.clone());
                self.steps.clone_from(steps);
            }
            EventKind::Resumed { id, phase, .. } => {
                self.run = Some(id.clone());
                self.phase = Some(*phase);
            }
            EventKind::PhaseChanged { phase, step, .. } => {
                if *step != self.step {
                    self.note = None;
                }
                self.phase = Some(*phase);
                self.step = *step;
                self.held_since = (*phase == Phase::Holding).then_some(event.at);
                (self.waits, self.doing) = (None, None);
            }
            EventKind::Acting { what, .. } => self.doing = Some(what.clone()),
            EventKind::Reached { split } => {
                self.doing = None;
                self.split = Some(split.clone());
            }
            EventKind::Checked { results, .. } => self.checks.clone_from(results),
            EventKind::Waiting { what, since } => {
                self.doing = None;
                self.waits = Some(what.clone());
                if self.phase == Some(Phase::Holding) {
                    self.held_since.get_or_insert(*since);
                }
            }
            EventKind::Drift { text, .. } | EventKind::Warning { text } => {
                self.note = Some(format!("{} {text}", clock(event.at)));
            }
            EventKind::TrafficPaused { text, .. } => {
                self.braked = true;
                self.note = Some(format!("{} {text}", clock(event.at)));
            }
            EventKind::TrafficResumed { .. } => (self.braked, self.note) = (false, None),
            EventKind::RollingBack { reason, .. } => self.reason = Some(reason.clone()),
            EventKind::Ended { outcome, .. } => {
                self.outcome = Some(*outcome);
                (self.waits, self.doing) = (None, None);
            }
        }
    }

    /// Takes in the split as read between two events, so that the bar moves while pods start.
    pub fn observe(&mut self, split: &Split) {
        self.split = Some(split.clone());
    }

    /// Returns the block as painted lines, none wider than the style, at most [`HEIGHT`] of them.
    pub fn lines(&self, now: Timestamp, style: &Style) -> Vec<Painted> {
        let style = *style;
        let mut lines = vec![self.title(now, style), self.step_line(style)];
        if let Some(split) = &self.split {
            lines.extend(bar::lines(style, label(style, "split"), split));
        }
        lines.push(self.phase_line(now, style));
        if let Some(reason) = &self.reason {
            lines.push(label(style, "why").add(Tone::Bad, reason));
        }
        let mut last = Vec::new();
        if let Some(note) = &self.note {
            last.push(label(style, "note").add(Tone::Unknown, note));
        }
        if let Some(doing) = &self.doing {
            last.push(label(style, "apply").plain(doing));
        } else if let Some(waits) = &self.waits {
            last.push(label(style, "waiting").plain(self.waits_text(waits, now)));
        }
        let room = HEIGHT.saturating_sub(lines.len() + last.len());
        lines.extend(self.check_lines(style, room.min(CHECKS)));
        lines.extend(last);
        let columns = style.columns();
        let lines = lines.into_iter().take(HEIGHT);
        lines.map(|l| l.cut(columns).render()).collect()
    }

    /// Returns the state in one line, for one of several runs: `width` columns are for their names.
    pub fn brief(&self, width: usize, now: Timestamp, style: &Style) -> Painted {
        let style = *style;
        let mut line = style.line().bold(&self.app).to_column(width + 2);
        let weight = self.split.as_ref().map(|split| bar::share(split.actual));
        let weight = weight.unwrap_or_else(|| "-".to_owned());
        line = line.add(Tone::Weight, weight).plain(" ");
        line = line.to_column(width + 8);
        let back = self.phase.is_some_and(Phase::is_retreat);
        let going = if back { Tone::Bad } else { Tone::Plain };
        let words = (going, self.phase.map_or("starting", Phase::words));
        let (tone, word) = self.outcome.map_or(words, headline);
        line = line.add(tone, word);
        let bad = self.checks.iter().find(|r| r.verdict == Verdict::Unhealthy);
        // On the way back it is known why, and what is done counts.
        if let Some(result) = bad.filter(|_| self.reason.is_none()) {
            line = line.plain("  ").add(Tone::Bad, check::sentence(result));
        } else if let Some(doing) = &self.doing {
            line = line.plain("  ").plain(doing);
        } else if let Some(waits) = &self.waits {
            let text = self.waits_text(waits, now);
            line = line.dim("  waiting  ").plain(text);
        }
        line.cut(style.columns()).render()
    }

    /// Returns what it waits for, as of `now`, and without what the checks below say anyway.
    fn waits_text(&self, waits: &str, now: Timestamp) -> String {
        let kind = class(waits);
        let hold = self.holds.get(self.step.saturating_sub(1));
        let weight = self.steps.get(self.step.saturating_sub(1));
        if let (true, Some(hold), Some(weight), Some(since)) =
            (kind == "# more at #", hold, weight, self.held_since)
        {
            let left = hold.saturating_sub(between(since, now));
            return format!("{} more at {weight}", span(left));
        }
        let unsure = self.checks.iter().filter(|r| r.verdict != Verdict::Healthy);
        let names: Vec<&str> = unsure
            .filter(|r| kind.contains(&class(&r.text)))
            .map(|r| r.name.as_str())
            .collect();
        if names.is_empty() {
            return waits.to_owned();
        }
        format!("more requests for {}", names.join(", "))
    }

    fn title(&self, now: Timestamp, style: Style) -> Line {
        let mut line = style
            .line()
            .bold(&self.app)
            .plain("  ")
            .plain(&self.namespace);
        if let Some(run) = &self.run {
            line = line.dim("  run ").plain(run);
        }
        let began = self.began.unwrap_or(now);
        line.plain("  ").plain(span(between(began, now)))
    }

    fn step_line(&self, style: Style) -> Line {
        let back = self.is_back();
        let mut line = label(style, "steps");
        for (index, weight) in self.steps.iter().enumerate() {
            let number = index + 1;
            let past_steps = self.phase.is_some_and(|p| p >= Phase::PromoteShift);
            let done = number < self.step || (!back && past_steps);
            let (tone, sign, word) = if done {
                (Tone::Good, "✓", " done")
            } else if number == self.step && back {
                (Tone::Bad, "✗", " failed")
            } else if number == self.step {
                (Tone::Bold, "▶", " now")
            } else {
                (Tone::Dim, "·", "")
            };
            if index > 0 {
                line = line.plain("  ");
            }
            let text = if style.unicode {
                format!("{sign}{weight}")
            } else {
                format!("{weight}{word}")
            };
            line = line.add(tone, text);
        }
        line
    }

    /// Returns whether the run went, or goes, back.
    fn is_back(&self) -> bool {
        self.reason.is_some() || self.phase.is_some_and(Phase::is_retreat)
    }

    fn phase_line(&self, now: Timestamp, style: Style) -> Line {
        if let Some(outcome) = self.outcome {
            let (tone, word) = headline(outcome);
            return label(style, "now").add(tone, word);
        }
        let hold = self.holds.get(self.step.saturating_sub(1));
        if self.braked && self.phase == Some(Phase::Holding) {
            return label(style, "now").add(Tone::Unknown, "traffic paused: re-evaluating");
        }
        match (self.phase, self.held_since, hold) {
            (Some(Phase::Holding), Some(since), Some(hold)) => {
                hold_line(between(since, now), *hold, style)
            }
            (Some(phase), _, _) => {
                let tone = if phase.is_retreat() {
                    Tone::Bad
                } else {
                    Tone::Bold
                };
                label(style, "now").add(tone, phase.words())
            }
            (None, _, _) => label(style, "now").plain("starting"),
        }
    }

    fn check_lines(&self, style: Style, room: usize) -> Vec<Line> {
        let mut results: Vec<&CheckResult> = self.checks.iter().collect();
        let hidden = results.len().saturating_sub(room);
        if hidden > 0 {
            // Only what is well may be left out; the sort keeps the plan's order otherwise.
            results.sort_by_key(|r| match r.verdict {
                Verdict::Unhealthy => 0,
                Verdict::Unknown => 1,
                Verdict::Healthy => 2,
            });
        }
        let shown = if hidden > 0 {
            room.saturating_sub(1)
        } else {
            room
        };
        let marks = if style.unicode { 2 } else { 5 };
        let names = results
            .iter()
            .map(|r| style.line().plain(&r.name).width())
            .max();
        let names = names.unwrap_or(0).clamp(14, 14.max(style.columns() / 3));
        let mut lines: Vec<Line> = results
            .iter()
            .take(shown)
            .map(|result| {
                let line = style
                    .line()
                    .add(Tone::of(result.verdict), style.sign(result.verdict));
                let name = style.line().plain(&result.name).cut(names);
                let line = line.to_column(marks).join(name);
                line.to_column(marks + names + 2)
                    .plain(check::sentence(result))
            })
            .collect();
        if let Some(rest) = results.get(shown..).filter(|r| !r.is_empty() && room > 0) {
            let all_well = rest.iter().all(|r| r.verdict == Verdict::Healthy);
            let word = if all_well { "healthy" } else { "not shown" };
            lines.push(
                style
                    .line()
                    .dim(format!("  and {} more {word}", rest.len())),
            );
        }
        lines
    }
}

fn label(style: Style, text: &str) -> Line {
    style.line().dim(text).to_column(BODY)
}

fn hold_line(spent: Duration, hold: Duration, style: Style) -> Line {
    let spent = spent.min(hold);
    let whole = hold.as_millis().max(1);
    let cells = spent.as_millis() * u128::from(CELLS) / whole;
    let full = usize::try_from(cells).unwrap_or(0).min(CELLS as usize);
    let empty = CELLS as usize - full;
    let line = label(style, "hold").add(Tone::Good, "▰".repeat(full));
    let line = line.dim("▱".repeat(empty));
    line.plain(format!(" {} of {}", span(spent), span(hold)))
}
