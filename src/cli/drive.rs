//! Driving a run from the command line: events to the terminal, signals to the run.
//!
//! Owns: what a person sees while a run goes, and what Ctrl-C does. Must not: decide.

use std::{collections::BTreeMap, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use crate::{
    clock::Clock,
    cluster::server_time,
    domain::{
        decide::{Goal, Request},
        event::{Event, EventKind},
        plan::OnTrouble,
        release::{Outcome, Phase},
        view::{Finding, Severity},
    },
    engine::{
        Drive, End, Engine,
        start::{Begun, Intent, begin},
    },
    preflight::owners,
    report::{closing::Invocation, human::Narrator, json, progress::Progress, text::diff},
};

use super::{
    Context,
    error::CliError,
    exit::Code,
    session::{MAKES_ONE, Work},
    signal::{Signal, Signals},
    ui::{Ask, Terminal},
};

/// How a verb wants its run driven.
pub(super) struct Ride {
    /// What the verb asks for.
    pub(super) intent: Intent,
    /// How far to go.
    pub(super) goal: Goal,
    /// A single tick.
    pub(super) once: bool,
    /// A request that holds from the start.
    pub(super) request: Option<Request>,
    /// Only say what would be done.
    pub(super) dry: bool,
    /// Keep a journal.
    pub(super) journal: bool,
}

/// Begins or resumes, drives to the end of the sitting, and returns the exit code.
pub(super) async fn ride(
    context: &Context,
    work: &Work,
    ride: Ride,
    terminal: &mut Terminal,
    signals: Signals,
) -> Result<Code, CliError> {
    if let Some(error) = refused_by(work) {
        return Err(error);
    }
    warn_of_owners(work, &ride.intent, terminal);
    let ahead = work.session.cluster.clock_ahead();
    if let Some(off) = ahead.and_then(server_time::off) {
        terminal.warn(&format!("{off}; the release goes by the server's"));
    }
    let (sender, mut events) = mpsc::unbounded_channel();
    let sink = Box::new(move |event: &Event| drop(sender.send(event.clone())));
    let is_rollback = ride.intent == Intent::Rollback;
    let mut order = work.order(context, ride.intent, sink);
    order.journal = ride.journal && !ride.dry;
    let cluster = if ride.dry {
        work.session.cluster.clone().dry()
    } else {
        work.session.cluster.clone()
    };
    let mut screen = Screen::new(work, terminal, ride.dry);
    let begun = screen.beginning(begin(&cluster, order), &mut events).await;
    let begun = begun.map_err(|e| CliError::from(e).for_app(&work.invocation))?;
    let mut engine = match begun {
        Begun::Run(engine) => engine,
        Begun::Nothing(text) => {
            screen.nothing(&text);
            return Ok(Code::Done);
        }
    };
    screen.plan(&engine);
    let (requests, received) = watch::channel(ride.request);
    let drive = Drive {
        goal: ride.goal,
        once: ride.once || ride.dry,
        requests: received,
    };
    let steered = steer(&mut engine, drive, requests, &mut screen, events, signals);
    let outcome = Box::pin(steered).await;
    match outcome {
        Ok((end, interrupted)) => {
            screen.end(&end, ride.once);
            let code = Code::of(&end, interrupted.map(Signal::code));
            let taken_back = end.outcome == Outcome::RolledBack;
            Ok(if taken_back && code == Code::Done && !is_rollback {
                // A release that somebody took back is not the release that was asked for.
                Code::RolledBack
            } else if taken_back && code == Code::RolledBack && is_rollback {
                // A rollback that ends what an unhealthy canary began is done as asked.
                Code::Done
            } else {
                code
            })
        }
        Err(Stopped::Twice(signal)) => {
            let finish = screen.invocation.command("rollback");
            screen.terminal.hide_live();
            screen.terminal.warn(&format!(
                "stopped at once; the split may be live. Finish it with `{finish}`"
            ));
            Ok(signal.code())
        }
        Err(Stopped::Error(error)) => {
            let error = error.for_app(&work.invocation);
            let phase = engine.release().phase;
            let retreat = phase.is_retreat() || phase >= Phase::PromoteTemplate;
            let finish = screen.invocation.command("rollback");
            Err(match engine.left_behind() {
                _ if retreat && !ride.dry => error.in_retreat(&finish),
                Some(seen) if error.code == Code::Failed => {
                    let again = screen.invocation.command("auto");
                    error.hint(format!(
                        "{seen}; resume with `{again}`, or end the run with `{finish}`"
                    ))
                }
                Some(_) | None => error,
            })
        }
    }
}

/// Returns the error of a router that may move nothing, or the wrong thing, if it is one.
pub(super) fn refused_by(work: &Work) -> Option<CliError> {
    let Finding {
        place,
        what,
        why,
        fix,
        ..
    } = work.unsure.as_ref()?;
    let error = CliError::usage(format!("{place}: {what}: {why}"), fix);
    Some(match &work.route {
        Some(_) => error.hint(MAKES_ONE).for_app(&work.invocation),
        None => error,
    })
}

/// Says before the first write who else may undo it, and how to keep them from it. A rollback is not
/// held up by it.
pub(super) fn warn_of_owners(work: &Work, intent: &Intent, terminal: &mut Terminal) {
    if *intent == Intent::Rollback || work.goes_on() || terminal.is_json() {
        return;
    }
    let images = BTreeMap::new();
    let subject = work.subject(false, &images);
    let findings = owners::findings(&work.session.cluster, &work.survey, &subject);
    for finding in findings.iter().filter(|f| f.severity < Severity::Note) {
        let Finding { what, why, fix, .. } = finding;
        terminal.warn(&format!("{what}: {why}; {fix}"));
    }
}

enum Stopped {
    Twice(Signal),
    Error(CliError),
}

async fn steer(
    engine: &mut Engine,
    drive: Drive,
    requests: watch::Sender<Option<Request>>,
    screen: &mut Screen<'_>,
    mut events: mpsc::UnboundedReceiver<Event>,
    mut signals: Signals,
) -> Result<(End, Option<Signal>), Stopped> {
    signals.catch();
    let on_interrupt = engine.release().plan.on_interrupt;
    let mut first: Option<Signal> = None;
    let mut question: Option<Question> = None;
    let run = engine.run(drive);
    tokio::pin!(run);
    let outcome = loop {
        tokio::select! {
            biased;
            Some(event) = events.recv() => screen.event(&event),
            outcome = &mut run => break outcome,
            signal = signals.next() => {
                if first.is_some() {
                    return Err(Stopped::Twice(signal));
                }
                first = Some(signal);
                match interrupted(screen.terminal, signal, on_interrupt) {
                    Interrupted::Request(request) => drop(requests.send_replace(Some(request))),
                    Interrupted::Asked(ask) => question = Some(put(ask)),
                }
            }
            answer = answered(&mut question) => {
                question = None;
                match decision(screen.terminal, answer) {
                    Some(request) => drop(requests.send_replace(Some(request))),
                    None => first = None,
                }
            }
            () = Clock::System.sleep(Terminal::frame()), if screen.terminal.is_live() => screen.frame(),
        }
    };
    while let Ok(event) = events.try_recv() {
        screen.event(&event);
    }
    match outcome {
        Ok(end) => Ok((end, first)),
        Err(error) => Err(Stopped::Error(error.into())),
    }
}

/// Puts the question to a person; the run goes on while they think.
pub(super) fn put(mut ask: Ask) -> Question {
    tokio::task::spawn_blocking(move || {
        let answer = ask(QUESTION);
        (ask, answer)
    })
}

/// What a person is asked at Ctrl-C.
const QUESTION: &str = "interrupted: [r]oll back, [h]old the split and leave, [c]ontinue?";

/// A question that waits for its answer.
pub(super) type Question = JoinHandle<(Ask, Option<String>)>;

/// What a signal leads to.
pub(super) enum Interrupted {
    /// A request to the run.
    Request(Request),
    /// A question to a person.
    Asked(Ask),
}

/// Returns the answer to the question; waits for ever when none was asked.
pub(super) async fn answered(question: &mut Option<Question>) -> (Option<Ask>, Option<String>) {
    match question {
        Some(question) => match question.await {
            Ok((ask, answer)) => (Some(ask), answer),
            Err(_) => (None, None),
        },
        None => std::future::pending().await,
    }
}

/// What is shown of a run.
struct Screen<'t> {
    terminal: &'t mut Terminal,
    narrator: Narrator,
    progress: Progress,
    clock: Clock,
    invocation: Invocation,
    dry: bool,
    would: usize,
    /// Whether the run has begun: then the live display says what is waited for.
    begun: bool,
}

impl<'t> Screen<'t> {
    fn new(work: &Work, terminal: &'t mut Terminal, dry: bool) -> Self {
        let invocation = work.invocation.clone();
        if !terminal.is_json() {
            let place = format!(
                "cluster {}, namespace {}",
                work.session.cluster_name,
                work.session.cluster.namespace()
            );
            terminal.say(&place);
            for how in &work.names.found_by {
                terminal.say(format!("found {how}"));
            }
        }
        let style = terminal.err_style();
        let progress = Progress::new(&invocation.app, &invocation.namespace, &[], &[]);
        Self {
            narrator: Narrator::new(style, invocation.clone()).verbose(terminal.is_verbose()),
            progress,
            clock: work.session.cluster.clock().clone(),
            invocation,
            terminal,
            dry,
            would: 0,
            begun: false,
        }
    }

    /// Takes in the plan of the run.
    fn plan(&mut self, engine: &Engine) {
        let release = engine.release();
        let steps: Vec<_> = release.plan.steps.iter().map(|s| s.weight).collect();
        let holds: Vec<Duration> = release.plan.steps.iter().map(|s| s.hold).collect();
        self.progress = Progress::new(&release.app, &release.namespace, &steps, &holds);
        self.begun = true;
    }

    /// Waits until a run begins, and shows what it waits for.
    async fn beginning<T>(
        &mut self,
        begin: impl Future<Output = T>,
        events: &mut mpsc::UnboundedReceiver<Event>,
    ) -> T {
        let mut begin = Box::pin(begin);
        loop {
            tokio::select! {
                biased;
                Some(event) = events.recv() => self.event(&event),
                outcome = &mut begin => return outcome,
            }
        }
    }

    fn event(&mut self, event: &Event) {
        self.progress.update(event);
        if self.terminal.is_json() {
            match json::event(event) {
                Ok(line) => self.terminal.answer(line),
                Err(error) => self
                    .terminal
                    .warn(&format!("an event cannot be written: {error}")),
            }
            return;
        }
        if self.dry {
            if let EventKind::Acting { what, changes } = &event.kind {
                self.would += 1;
                self.terminal
                    .answer(format!("would {what} (accepted by the API server)"));
                for line in diff(changes) {
                    self.terminal.answer(line);
                }
            }
            return;
        }
        let noise = match &event.kind {
            EventKind::Checked { .. } | EventKind::Waiting { .. } | EventKind::Acting { .. } => {
                self.begun && self.terminal.is_live() && !self.terminal.is_verbose()
            }
            EventKind::Ended { .. } => true,
            EventKind::Started { .. }
            | EventKind::Resumed { .. }
            | EventKind::PhaseChanged { .. }
            | EventKind::Reached { .. }
            | EventKind::Drift { .. }
            | EventKind::TrafficPaused { .. }
            | EventKind::TrafficResumed { .. }
            | EventKind::RollingBack { .. }
            | EventKind::Warning { .. } => false,
        };
        let line = self.narrator.line(event);
        if let EventKind::Ended { .. } = &event.kind {
            if let Some(line) = line {
                self.terminal.answer(line);
            }
            return;
        }
        if let Some(line) = line.filter(|_| !noise) {
            self.terminal.say(line);
        }
    }

    fn frame(&mut self) {
        let style = self.terminal.err_style();
        let lines = self.progress.lines(self.clock.now(), &style);
        self.terminal.live(&lines);
    }

    fn nothing(&mut self, text: &str) {
        if self.terminal.is_json() {
            let document = serde_json::json!({"version": 1, "outcome": "nothing", "text": text});
            self.terminal.document(&document);
        } else {
            self.terminal.answer(text);
        }
    }

    fn end(&mut self, end: &End, once: bool) {
        self.terminal.hide_live();
        if self.dry {
            if self.would == 0 && !self.terminal.is_json() {
                self.terminal.answer("would change nothing at this moment");
            }
            return;
        }
        if once
            && end.outcome == Outcome::AtWeight
            && !self.terminal.is_json()
            && !end.text.is_empty()
        {
            self.terminal.answer(format!("waits for {}", end.text));
        }
    }
}

/// Returns what a signal asks of the run; on a terminal a person is asked.
pub(super) fn interrupted(
    terminal: &mut Terminal,
    signal: Signal,
    policy: OnTrouble,
) -> Interrupted {
    let ask = match signal {
        Signal::Interrupt => terminal.take_ask(QUESTION),
        Signal::Terminate | Signal::HangUp => None,
    };
    let Some(ask) = ask else {
        let what = match policy {
            OnTrouble::Rollback => "rolling back",
            OnTrouble::Hold => "leaving the split as it is",
        };
        terminal.warn(&format!(
            "interrupted: {what} (press Ctrl-C again to exit immediately)"
        ));
        return Interrupted::Request(Request::Interrupt);
    };
    Interrupted::Asked(ask)
}

/// Returns what a person's answer asks of the run; nothing when it is to go on.
pub(super) fn decision(
    terminal: &mut Terminal,
    (ask, answer): (Option<Ask>, Option<String>),
) -> Option<Request> {
    if let Some(ask) = ask {
        terminal.give_ask(ask);
    }
    match answer.as_deref() {
        Some("c" | "continue") => None,
        Some("h" | "hold") => Some(Request::Hold),
        Some(_) | None => Some(Request::Rollback),
    }
}
