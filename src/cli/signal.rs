//! Signals: the first is a request, the second ends the process.
//!
//! Owns: receiving them. Must not: act on them.

use tokio::sync::mpsc;

use super::exit::Code;

/// A signal that asks the process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// Told to end by the system, a CI runner, a service manager.
    Terminate,
    /// The terminal is gone.
    HangUp,
}

impl Signal {
    /// Returns the exit code once the policy was carried out.
    pub fn code(self) -> Code {
        match self {
            Self::Interrupt => Code::Interrupted,
            Self::Terminate | Self::HangUp => Code::Terminated,
        }
    }
}

/// Where signals come from.
pub struct Signals {
    source: mpsc::UnboundedReceiver<Signal>,
}

impl Signals {
    /// Returns the signals of the process, caught from the first call of [`Signals::next`] on.
    pub fn of_process() -> Self {
        let (sender, source) = mpsc::unbounded_channel();
        // Caught lazily: `--help` needs no handlers.
        drop(sender);
        let mut this = Self { source };
        this.source.close();
        this
    }

    /// Returns signals that a test sends.
    pub fn from_channel(source: mpsc::UnboundedReceiver<Signal>) -> Self {
        Self { source }
    }

    /// Starts catching the process's signals, unless they come from a channel.
    pub fn catch(&mut self) {
        if !self.source.is_closed() {
            return;
        }
        let (sender, source) = mpsc::unbounded_channel();
        self.source = source;
        tokio::spawn(forward(sender));
    }

    /// Returns the next signal; waits for ever when none can come any more.
    pub async fn next(&mut self) -> Signal {
        match self.source.recv().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}

#[cfg(unix)]
async fn forward(sender: mpsc::UnboundedSender<Signal>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hang_up)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
        signal(SignalKind::hangup()),
    ) else {
        return;
    };
    loop {
        let signal = tokio::select! {
            Some(()) = interrupt.recv() => Signal::Interrupt,
            Some(()) = terminate.recv() => Signal::Terminate,
            Some(()) = hang_up.recv() => Signal::HangUp,
            else => return,
        };
        if sender.send(signal).is_err() {
            return;
        }
    }
}

#[cfg(not(unix))]
async fn forward(sender: mpsc::UnboundedSender<Signal>) {
    while tokio::signal::ctrl_c().await.is_ok() {
        if sender.send(Signal::Interrupt).is_err() {
            return;
        }
    }
}
