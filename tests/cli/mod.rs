//! The command line, run in this process: arguments, exit code, stdout and stderr in one snapshot.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
#![expect(
    clippy::too_many_lines,
    reason = "what a command says is shown in full"
)]

mod auto;
mod checking;
mod ending;
mod generate;
mod groups;
mod hostile;
mod log;
mod looking;
mod misfits;
mod moving;
mod own_route;
mod refusals;
mod roles;
mod routers;
mod signals;
mod unattended;
mod unreachable;

use std::{
    ffi::OsString,
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use canaryctl::{
    cli::{Environment, Signal, Signals, Terminal, run_on},
    clock::Clock,
    sim::{
        Machine, SimCluster,
        fault::{self, Attempt, Fault},
        scenario::{Scenario, parse_objects},
    },
};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::support::Pipe;

/// The app of the built-in scenarios, and where it is.
pub(crate) const RELEASE: &str = "payment-api -n canary-release";

pub(crate) const NOW: &str = "2026-01-05T09:00:00Z";

/// A console to type commands at: a real one's properties, without a process.
#[derive(Clone)]
pub(crate) struct Console {
    program: &'static str,
    tty: bool,
    columns: usize,
    variables: Vec<(String, String)>,
    answers: Option<Vec<&'static str>>,
    signals: Vec<(Duration, Signal)>,
    closed: bool,
    sim: Option<Arc<SimCluster>>,
    faults: Option<fault::Plan>,
}

/// Reads an answer.
type Ask = Box<dyn FnMut(&str) -> Option<String> + Send>;

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) line: String,
    pub(crate) code: u8,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Console {
    /// Returns a console in a pipeline: no terminal, 100 columns, an empty environment.
    pub(crate) fn new() -> Self {
        let variable = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let variables = [
            ("CANARYCTL_NOW", NOW),
            ("USER", "ana"),
            ("HOSTNAME", "laptop"),
            ("LANG", "C.UTF-8"),
        ];
        Self {
            program: "canaryctl",
            tty: false,
            columns: 100,
            variables: variables.map(variable).to_vec(),
            answers: None,
            signals: Vec::new(),
            closed: false,
            sim: None,
            faults: None,
        }
    }

    /// Returns a console next to a simulated cluster that stays between commands.
    pub(crate) async fn on(scenario: &str) -> Self {
        let clock = Clock::simulated(NOW.parse().unwrap(), 1.0);
        let scenario = Scenario::builtin(scenario).unwrap();
        let sim = SimCluster::start(scenario, None, clock.clone()).unwrap();
        clock.sleep(Duration::from_secs(60)).await;
        Self {
            sim: Some(Arc::new(sim)),
            ..Self::new()
        }
    }

    /// Returns a console next to a cluster that holds an example's objects and stays between
    /// commands; those without a namespace are in `namespace`.
    pub(crate) async fn beside(example: &str, namespace: &str) -> Self {
        Self::beside_changed(example, namespace, |_| {}).await
    }

    /// The same, with the objects changed before they are put there.
    pub(crate) async fn beside_changed(
        example: &str,
        namespace: &str,
        change: impl Fn(&mut Vec<Value>),
    ) -> Self {
        let clock = Clock::simulated(NOW.parse().unwrap(), 1.0);
        let folder = format!("{}/examples/{example}", env!("CARGO_MANIFEST_DIR"));
        let mut paths: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|kind| kind == "yaml"))
            .filter(|path| !path.ends_with("canary.yaml"))
            .collect();
        paths.sort();
        let mut objects = Vec::new();
        for path in paths {
            objects.extend(parse_objects(&std::fs::read_to_string(path).unwrap()).unwrap());
        }
        for object in &mut objects {
            let meta = &mut object["metadata"];
            if meta["namespace"].is_null() {
                meta["namespace"] = namespace.into();
            }
        }
        change(&mut objects);
        let sim = SimCluster::start(Scenario::default(), Some(objects), clock.clone()).unwrap();
        clock.sleep(Duration::from_secs(60)).await;
        Self {
            sim: Some(Arc::new(sim)),
            ..Self::new()
        }
    }

    pub(crate) fn called(self, program: &'static str) -> Self {
        Self { program, ..self }
    }

    pub(crate) fn tty(self) -> Self {
        Self { tty: true, ..self }
    }

    pub(crate) fn columns(self, columns: usize) -> Self {
        Self { columns, ..self }
    }

    /// Somebody sits at the console and gives these answers, in order.
    pub(crate) fn answers(self, answers: &[&'static str]) -> Self {
        Self {
            answers: Some(answers.iter().rev().copied().collect()),
            ..self
        }
    }

    pub(crate) fn signal(mut self, after: u64, signal: Signal) -> Self {
        self.signals.push((Duration::from_secs(after), signal));
        self
    }

    pub(crate) fn var(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Nobody reads stdout any more.
    pub(crate) fn closed(self) -> Self {
        Self {
            closed: true,
            ..self
        }
    }

    /// Something is between the console and the cluster.
    pub(crate) fn behind(
        self,
        decide: impl Fn(&Attempt<'_>) -> Fault + Send + Sync + 'static,
    ) -> Self {
        let clock = self.sim().world().store().clock().clone();
        Self {
            faults: Some(fault::Plan::new(clock, decide)),
            ..self
        }
    }

    pub(crate) fn sim(&self) -> &Arc<SimCluster> {
        self.sim.as_ref().unwrap()
    }

    /// Lets time pass at the cluster.
    pub(crate) async fn wait(&self, seconds: u64) {
        let clock = self.sim().world().store().clock().clone();
        clock.sleep(Duration::from_secs(seconds)).await;
    }

    /// Runs a command line; words are split at spaces.
    pub(crate) async fn run(&self, line: &str) -> Ran {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        self.run_words(&words).await
    }

    pub(crate) async fn run_words(&self, words: &[&str]) -> Ran {
        let mut args = vec![OsString::from(self.program)];
        args.extend(words.iter().map(OsString::from));
        let (out, err) = (Pipe::default(), Pipe::default());
        let (sender, received) = mpsc::unbounded_channel();
        let mut answers = self.answers.clone();
        let ask = answers
            .take()
            .map(|mut answers| Box::new(move |_: &str| answers.pop().map(str::to_owned)) as Ask);
        let stdout: Box<dyn Write + Send> = if self.closed {
            Box::new(Closed)
        } else {
            Box::new(out.clone())
        };
        let terminal = Terminal::of(
            stdout,
            Box::new(err.clone()),
            (self.tty, self.tty),
            self.columns,
            ask,
        );
        let later = self.signals.clone();
        let clock = Clock::simulated(NOW.parse().unwrap(), 1.0);
        let sending = tokio::spawn(async move {
            for (after, signal) in later {
                clock.sleep(after).await;
                let Ok(()) = sender.send(signal) else {
                    return;
                };
            }
            // As in life, more could come: the channel stays open.
            std::future::pending::<()>().await;
        });
        let machine = self.sim.clone().map(Machine::beside);
        let machine = machine.map(|machine| match &self.faults {
            Some(faults) => machine.behind(faults.clone()),
            None => machine,
        });
        let code = run_on(
            machine,
            args,
            Environment::of(self.variables.clone()),
            terminal,
            Signals::from_channel(received),
        )
        .await;
        sending.abort();
        Ran {
            line: format!("{} {}", self.program, words.join(" ")),
            code: code.number(),
            out: out.text(),
            err: err.text(),
        }
    }

    /// Runs a command and returns everything about it as one text.
    pub(crate) async fn shows(&self, line: &str) -> String {
        self.run(line).await.text()
    }

    /// Runs a command that must be refused with nothing changed in the cluster.
    pub(crate) async fn refuses(&self, line: &str) -> String {
        let before = self.written();
        let ran = self.run(line).await;
        assert_eq!(before, self.written(), "{line} changed something");
        assert_ne!(ran.code, 0, "{}", ran.text());
        let said = ran.err.lines().any(|line| line.starts_with("error: "));
        assert!(said, "{}", ran.text());
        let helps = ran.err.contains("hint: ") || ran.err.contains(" | ");
        assert!(helps, "neither a hint nor the place: {}", ran.text());
        assert!(!ran.text().contains("Error {"), "raw: {}", ran.text());
        ran.text()
    }

    /// Returns what this tool wrote: the journal and its objects, as versions of the store.
    fn written(&self) -> Option<u64> {
        self.sim.as_ref().map(|sim| sim.world().store().version())
    }
}

impl Ran {
    pub(crate) fn text(&self) -> String {
        let mut text = format!("$ {}\nexit {}\n", self.line, self.code);
        for (name, stream) in [("stdout", &self.out), ("stderr", &self.err)] {
            if !stream.is_empty() {
                let lines: Vec<&str> = stream.lines().map(str::trim_end).collect();
                let shown = lines.join("\n").replace('\x1b', "␛");
                text += &["--- ", name, "\n", &shown, "\n"].concat();
            }
        }
        text
    }
}

/// A pipe whose reader has gone.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}
