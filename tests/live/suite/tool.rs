//! The binary as a process.
//!
//! Owns: starting it, what it says while it runs, signals, how it ends. Must not: look into it.

use std::{
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use canaryctl::clock::Clock;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    task::JoinHandle,
};

use super::ground::{variable, within};

/// Longest time a command may take.
const LONGEST: Duration = Duration::from_secs(240);

/// A command that ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Exit code; `None` when it was killed.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A command that runs. Dropped, it is killed.
pub(crate) struct Running {
    child: Child,
    out: Stream,
    err: Stream,
}

struct Stream {
    text: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

/// Starts a program with nothing of the test's own environment; `folder` is its home.
pub(crate) fn start(
    program: &str,
    words: &[&str],
    folder: &Path,
    kubeconfig: &Path,
    variables: &[(&str, &str)],
) -> Running {
    let mut child = Command::new(program)
        .args(words)
        .current_dir(folder)
        .env_clear()
        .env("PATH", variable("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("KUBECONFIG", kubeconfig)
        .env("USER", "ana")
        .env("HOSTNAME", "laptop")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
    let out = Stream::of(child.stdout.take().unwrap());
    let err = Stream::of(child.stderr.take().unwrap());
    Running { child, out, err }
}

impl Running {
    /// Waits until it has said `part`; panics when it ends before.
    pub(crate) async fn until(&mut self, part: &str) {
        let begin = std::time::Instant::now();
        while !self.said().contains(part) {
            let ended = self.child.try_wait().unwrap();
            let late = begin.elapsed() > LONGEST;
            // What it said last may still be on its way.
            let said = ended.is_some() && self.is_read();
            assert!(
                !late && !said || self.said().contains(part),
                "it never said '{part}' (ended: {ended:?}):\n{}",
                self.said()
            );
            super::ground::pause(20).await;
        }
    }

    /// Returns everything it has said.
    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.err.text(), self.out.text())
    }

    /// Sends a signal by its name, such as `TERM`.
    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it has ended").to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.await.unwrap().success(), "kill -s {name} {pid}");
    }

    /// Waits until it ends.
    pub(crate) async fn ended(self) -> Ran {
        self.ended_within(LONGEST).await
    }

    /// Waits until it ends, at most for so long.
    pub(crate) async fn ended_within(mut self, longest: Duration) -> Ran {
        let status = Clock::System.timeout(longest, self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("it does not end:\n{}", self.said()));
        within(10, "what it said last", async || {
            self.is_read().then_some(())
        })
        .await;
        Ran {
            code: status.unwrap().code(),
            out: self.out.text(),
            err: self.err.text(),
        }
    }

    fn is_read(&self) -> bool {
        self.out.reader.is_finished() && self.err.reader.is_finished()
    }
}

impl Stream {
    fn of(pipe: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let text = Arc::<Mutex<String>>::default();
        let kept = Arc::clone(&text);
        let reader = tokio::spawn(async move {
            let mut lines = BufReader::new(pipe).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        Self { text, reader }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }
}

impl Ran {
    /// Panics unless it ended with `code`.
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.text());
        self
    }

    /// Panics unless it said `part`.
    pub(crate) fn says(self, part: &str) -> Self {
        assert!(
            self.text().contains(part),
            "no '{part}' in: {}",
            self.text()
        );
        self
    }

    /// Returns all of it.
    pub(crate) fn text(&self) -> String {
        format!(
            "exit {:?}\n--- stdout\n{}--- stderr\n{}",
            self.code, self.out, self.err
        )
    }
}
