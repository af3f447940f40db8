//! What is said when a command cannot do what was asked.
//!
//! Owns: every mapping from an error to an exit code, a sentence and a hint. Must not: print.

use crate::{
    cluster::{ClusterError, connect::ConnectError, discover::DiscoverError},
    config::ConfigError,
    domain::weight::WeightError,
    engine::EngineError,
    journal::JournalError,
    report::closing::Invocation,
    sim::SimError,
    traffic::TrafficError,
};

use super::exit::Code;

/// Indicates that a command failed: what to say, what to try, and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    /// The exit code.
    pub code: Code,
    /// One line: the object and the reason.
    pub text: String,
    /// The place in a file, if it is about one.
    pub snippet: Option<String>,
    /// The next things to try.
    pub hints: Vec<String>,
}

impl CliError {
    /// Returns an error about how the command was used.
    pub fn usage(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Code::Refused, text).hint(hint)
    }

    /// Returns an error with an exit code.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
            snippet: None,
            hints: Vec::new(),
        }
    }

    /// Returns the error with another hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Returns the error of a sitting that could not go on while traffic was on its way back: then
    /// somebody must look.
    #[must_use]
    pub fn in_retreat(self, finish: &str) -> Self {
        if self.code == Code::Conflict {
            return self;
        }
        Self {
            code: Code::Incomplete,
            ..self
        }
        .hint(format!("finish it with `{finish}`"))
    }
}

impl CliError {
    /// Writes commands out in full where hints name one as `canaryctl VERB APP`.
    #[must_use]
    pub fn for_app(mut self, invocation: &Invocation) -> Self {
        for hint in &mut self.hints {
            *hint = spelled_out(hint, invocation);
        }
        self
    }
}

impl CliError {
    /// Names the server that was asked, where the hint is to look at its address.
    #[must_use]
    pub fn at(mut self, server: Option<&String>) -> Self {
        if let Some(server) = server {
            let named = format!("the server address {server}");
            for hint in &mut self.hints {
                *hint = hint.replace("the server address in the kubeconfig", &named);
            }
        }
        self
    }
}

/// Returns a hint whose `canaryctl VERB APP` are the commands to be typed.
fn spelled_out(hint: &str, invocation: &Invocation) -> String {
    let pieces = hint.split('`').enumerate().map(|(i, piece)| {
        let verb = piece
            .strip_prefix("canaryctl ")
            .filter(|_| i % 2 == 1)
            .and_then(|rest| rest.split_once(" APP"));
        match verb {
            Some((verb, flags)) => format!("{}{flags}", invocation.command(verb)),
            None => piece.to_owned(),
        }
    });
    pieces.collect::<Vec<_>>().join("`")
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        let mut this = Self::new(Code::Refused, error.to_string());
        this.snippet = error.snippet().map(str::to_owned);
        this.hints.extend(error.hint().map(str::to_owned));
        this
    }
}

impl From<WeightError> for CliError {
    fn from(error: WeightError) -> Self {
        Self::usage(error.to_string(), "give a weight such as 25, 0.5% or +10")
    }
}

impl From<DiscoverError> for CliError {
    fn from(error: DiscoverError) -> Self {
        Self::usage(error.to_string(), error.hint())
    }
}

impl From<ClusterError> for CliError {
    fn from(error: ClusterError) -> Self {
        Self::new(Code::Failed, error.to_string()).hint(error.hint())
    }
}

impl From<ConnectError> for CliError {
    fn from(error: ConnectError) -> Self {
        let (code, hint) = match &error {
            ConnectError::NoConfig(_) => (
                Code::Failed,
                "point --kubeconfig or KUBECONFIG at one, or try it without a cluster: --sandbox",
            ),
            ConnectError::Kubeconfig(_) => (
                Code::Refused,
                "check the path given with --kubeconfig, and the file with `kubectl config view`",
            ),
            ConnectError::NoContext { .. } => (Code::Refused, "name one of them with --context"),
            ConnectError::Plugin { .. } => {
                (Code::Failed, "run the plugin by hand, or log in again")
            }
            ConnectError::Transport(_) => {
                (Code::Failed, "check the cluster entry of the kubeconfig")
            }
        };
        Self::new(code, error.to_string()).hint(hint)
    }
}

impl From<JournalError> for CliError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Cluster(error) => error.into(),
            JournalError::Held { .. } => Self::new(Code::Conflict, error.to_string())
                .hint(
                    "it lives: its record changed a moment ago; watch it with `canaryctl monitor APP`, or end it with `canaryctl rollback APP`",
                ),
            JournalError::Lost(_) => Self::new(Code::Conflict, error.to_string())
                .hint("this process changed nothing since; see `canaryctl status APP`"),
            JournalError::Newer(_) => Self::new(Code::Refused, error.to_string())
                .hint("install the version that wrote it"),
            JournalError::Unsigned(_) => Self::new(Code::Failed, error.to_string())
                .hint("this machine gives no random numbers; a rollback works without"),
            JournalError::Damaged { .. } => Self::new(Code::Failed, error.to_string())
                .hint("a rollback works without it; then delete the ConfigMap"),
        }
    }
}

impl From<TrafficError> for CliError {
    fn from(error: TrafficError) -> Self {
        match error {
            TrafficError::Cluster(error) => error.into(),
            TrafficError::Unknown { .. } | TrafficError::Options { .. } => {
                Self::usage(error.to_string(), "see `router` in the configuration file")
            }
            TrafficError::Refused(_) => Self::usage(
                error.to_string(),
                "`canaryctl check APP` says how to fix it",
            ),
        }
    }
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Journal(error) => error.into(),
            EngineError::Cluster(error) => error.into(),
            EngineError::Traffic(error) => error.into(),
            EngineError::Health(error) => {
                Self::usage(error.to_string(), "see `checks` in the configuration file")
            }
            EngineError::Refused { text, hint } => Self::usage(text, hint),
        }
    }
}

impl From<SimError> for CliError {
    fn from(error: SimError) -> Self {
        Self::usage(
            format!("sandbox: {error}"),
            "`canaryctl sandbox --list` shows the scenarios",
        )
    }
}
