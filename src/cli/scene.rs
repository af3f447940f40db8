//! What is shown while the runs of a group are driven.
//!
//! Owns: the lines of all members, each with its name in front, and the block at the end. Must not: decide.

use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::{
    clock::Clock,
    domain::{
        decide::elapsed,
        event::{Event, EventKind},
        group::{Ending, Part},
        release::{Cause, Outcome, Phase},
        weight::Percent,
    },
    engine::{Engine, start::Intent},
    report::{
        closing::{Invocation, closing},
        group,
        human::Narrator,
        json,
        line::Painted,
        progress::Progress,
        text::diff,
    },
};

use super::{
    exit::Code,
    group::{Team, of_app},
    signal::Signal,
    ui::Terminal,
};

/// What is shown of one member.
struct Shown {
    app: String,
    narrator: Narrator,
    progress: Progress,
    phase: Option<Phase>,
}

/// What is shown of a group.
pub(super) struct Scene<'t> {
    /// Where it is shown.
    pub(super) terminal: &'t mut Terminal,
    name: String,
    members: Vec<Shown>,
    /// Columns of the longest name.
    width: usize,
    steps: Vec<Percent>,
    clock: Clock,
    invocation: Invocation,
    began: Timestamp,
    dry: bool,
    would: usize,
    begun: bool,
}

impl<'t> Scene<'t> {
    pub(super) fn new(team: &Team, terminal: &'t mut Terminal, dry: bool) -> Self {
        let width = team.apps().iter().map(|app| app.len()).max().unwrap_or(0);
        let style = terminal.err_style();
        let narrow = crate::report::style::Style {
            width: style.width.saturating_sub(width + 2),
            ..style
        };
        if !terminal.is_json() {
            terminal.say(format!(
                "cluster {}, namespace {}",
                team.session.cluster_name,
                team.session.cluster.namespace()
            ));
            for work in &team.members {
                for how in &work.names.found_by {
                    terminal.say(format!("{}: found {how}", work.settings.app));
                }
            }
        }
        let members = team.members.iter().map(|work| {
            let app = work.settings.app.clone();
            let hints = of_app(&team.invocation, &app);
            Shown {
                narrator: Narrator::of_member(narrow, hints).verbose(terminal.is_verbose()),
                progress: Progress::new(&app, team.session.cluster.namespace(), &[], &[]),
                app,
                phase: None,
            }
        });
        let clock = team.session.cluster.clock().clone();
        Self {
            name: team.name.clone(),
            members: members.collect(),
            width,
            steps: Vec::new(),
            began: clock.now(),
            clock,
            invocation: team.invocation.clone(),
            terminal,
            dry,
            would: 0,
            begun: false,
        }
    }

    /// Takes in the plan of a member's run.
    pub(super) fn plan(&mut self, index: usize, engine: &Engine) {
        let release = engine.release();
        let steps: Vec<_> = release.plan.steps.iter().map(|s| s.weight).collect();
        let holds: Vec<_> = release.plan.steps.iter().map(|s| s.hold).collect();
        if let Some(member) = self.members.get_mut(index) {
            member.progress = Progress::new(&release.app, &release.namespace, &steps, &holds);
        }
        self.steps = steps;
    }

    /// Says what is about to be done with all of them.
    pub(super) fn begin(&mut self, intents: &[Intent]) {
        self.begun = true;
        if self.terminal.is_json() {
            return;
        }
        let by_steps = intents.iter().any(|i| matches!(i, Intent::Auto { .. }));
        let steps = if by_steps { self.steps.as_slice() } else { &[] };
        let apps: Vec<&str> = self.members.iter().map(|m| m.app.as_str()).collect();
        let style = self.terminal.err_style();
        self.terminal
            .say(group::plan(style, (&self.name, &apps), steps));
    }

    /// Waits until the runs begin, and shows what they wait for.
    pub(super) async fn beginning<T>(
        &mut self,
        begin: impl Future<Output = T>,
        events: &mut mpsc::UnboundedReceiver<(usize, Event)>,
    ) -> T {
        let mut begin = Box::pin(begin);
        loop {
            tokio::select! {
                biased;
                Some((index, event)) = events.recv() => self.event(index, &event),
                outcome = &mut begin => return outcome,
            }
        }
    }

    pub(super) fn event(&mut self, index: usize, event: &Event) {
        let style = self.terminal.err_style();
        let Some(member) = self.members.get_mut(index) else {
            return;
        };
        member.progress.update(event);
        if let EventKind::PhaseChanged { phase, .. } | EventKind::Resumed { phase, .. } =
            &event.kind
            && *phase != Phase::Ended
        {
            member.phase = Some(*phase);
        }
        if self.terminal.is_json() {
            match json::member_event(&self.name, &member.app, event) {
                Ok(line) => self.terminal.answer(line),
                Err(error) => self
                    .terminal
                    .warn(&format!("an event cannot be written: {error}")),
            }
            return;
        }
        let lead = group::lead(style, &member.app, self.width);
        if self.dry {
            if let EventKind::Acting { what, changes } = &event.kind {
                self.would += 1;
                let would = Painted::from(format!("would {what} (accepted by the API server)"));
                self.terminal.answer(would.after(&lead));
                for line in diff(changes) {
                    self.terminal.answer(line);
                }
            }
            return;
        }
        let quiet = self.begun && self.terminal.is_live() && !self.terminal.is_verbose();
        let noise = quiet
            && matches!(
                &event.kind,
                EventKind::Checked { .. } | EventKind::Waiting { .. } | EventKind::Acting { .. }
            );
        let line = member.narrator.line(event);
        if let Some(line) = line.filter(|_| !noise) {
            self.terminal.say(line.after(&lead));
        }
    }

    pub(super) fn frame(&mut self) {
        let style = self.terminal.err_style();
        let now = self.clock.now();
        let members = self.members.iter();
        let lines: Vec<Painted> = members
            .map(|member| member.progress.brief(self.width, now, &style))
            .collect();
        self.terminal.live(&lines);
    }

    pub(super) fn nothing(&mut self, app: &str, text: &str) {
        if self.terminal.is_json() {
            let document =
                serde_json::json!({"version": 1, "app": app, "outcome": "nothing", "text": text});
            match json::compact(&document) {
                Ok(line) => self.terminal.answer(line),
                Err(error) => self.terminal.warn(&error.to_string()),
            }
        } else {
            self.terminal.answer(format!("{app}: {text}"));
        }
    }

    /// Says that the runs were left at once, and returns the exit code.
    pub(super) fn left(&mut self, signal: Signal) -> Code {
        let finish = self.invocation.command("rollback");
        self.terminal.hide_live();
        self.terminal.warn(&format!(
            "stopped at once; the split may be live. Finish it with `{finish}`"
        ));
        signal.code()
    }

    pub(super) fn end(&mut self, ending: &Ending, parts: &[Part], once: bool) {
        self.terminal.hide_live();
        let now = self.clock.now();
        if self.terminal.is_json() {
            match json::group_end(&self.name, now, ending, parts) {
                Ok(line) => self.terminal.answer(line),
                Err(error) => self.terminal.warn(&error.to_string()),
            }
            return;
        }
        if self.dry {
            if self.would == 0 {
                self.terminal.answer("would change nothing at this moment");
            }
            return;
        }
        if once && ending.outcome == Outcome::AtWeight {
            for part in parts.iter().filter(|part| !part.text.is_empty()) {
                self.terminal
                    .answer(format!("{} waits for {}", part.app, part.text));
            }
            return;
        }
        let mut phases = self.members.iter().map(|member| member.phase);
        let phase = phases
            .find(|phase| *phase == Some(Phase::Approving))
            .flatten();
        let cause = match ending.outcome {
            // There is no history of a group; its status says what each did.
            Outcome::RolledBack => None,
            Outcome::Incomplete => Some(Cause::Promotion),
            Outcome::Promoted | Outcome::AtWeight | Outcome::Paused | Outcome::Conflict => {
                ending.cause
            }
        };
        let hints = closing(ending.outcome, cause, phase, &self.invocation);
        let style = self.terminal.style();
        let took = elapsed(self.began, now);
        let block = group::closing(style, (&self.name, ending), (now, took), parts, &hints);
        self.terminal.answer(block);
    }
}
