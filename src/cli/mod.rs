//! The command line: arguments, environment, terminal, exit codes.
//!
//! Owns: everything a person or a pipeline touches. Must not: decide anything about a release. It is
//! the only place that reads the environment, prints, or knows the simulator.

mod approve;
mod args;
mod auto;
mod check;
mod drive;
mod env;
mod error;
mod exit;
mod generate;
mod history;
mod monitor;
mod promote;
mod rollback;
mod sandbox;
mod session;
mod set;
mod signal;
mod status;
mod tables;
mod ui;

use std::{ffi::OsString, path::Path, process::ExitCode};

use clap::{CommandFactory as _, FromArgMatches as _};

pub use args::{Cli, Global, Output, Verb};
pub use env::Environment;
pub use error::CliError;
pub use exit::Code;
pub use signal::{Signal, Signals};
pub use tables::{CheckEntry, RouterEntry};
pub use ui::Terminal;

/// Runs the command with the process's own arguments, environment and streams.
pub fn main() -> ExitCode {
    let args: Vec<OsString> = env::arguments();
    let environment = Environment::of_process();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return ui::last_words(&format!("error: cannot start: {error}")),
    };
    let terminal = Terminal::of_process(&environment);
    let code = runtime.block_on(run(args, environment, terminal, Signals::of_process()));
    runtime.shutdown_background();
    ExitCode::from(code.number())
}

/// Runs the command; everything it touches is given, so that tests can run it inside their own
/// process and time.
pub async fn run(
    args: Vec<OsString>,
    environment: Environment,
    mut terminal: Terminal,
    signals: Signals,
) -> Code {
    let invoked_as = invoked_as(args.first());
    let matches = command(invoked_as).try_get_matches_from(&args);
    let parsed = matches.and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return terminal.usage(&error),
    };
    if let Err(error) = terminal.configure(&cli.global, &environment) {
        return terminal.fail(&error);
    }
    let context = Context {
        global: cli.global,
        environment,
        invoked_as,
    };
    let outcome = match cli.verb {
        Verb::Status(args) => status::run(&context, &args, &mut terminal).await,
        Verb::Set(args) => set::run(&context, &args, &mut terminal, signals).await,
        Verb::Monitor(args) => monitor::run(&context, &args, &mut terminal, signals).await,
        Verb::Rollback(args) => rollback::run(&context, &args, &mut terminal, signals).await,
        Verb::Promote(args) => promote::run(&context, &args, &mut terminal, signals).await,
        Verb::Auto(args) => auto::run(&context, &args, &mut terminal, signals).await,
        Verb::Approve(args) => approve::run(&context, &args, &mut terminal).await,
        Verb::Check(args) => check::run(&context, &args, &mut terminal).await,
        Verb::History(args) => history::run(&context, &args, &mut terminal).await,
        Verb::Sandbox(args) => sandbox::run(&context, &args, &mut terminal, signals).await,
        Verb::Generate(args) => generate::run(&args, &mut terminal),
    };
    match outcome {
        Ok(code) => terminal.finish(code),
        Err(error) => terminal.fail(&error),
    }
}

/// What every verb needs beside its own arguments.
pub struct Context {
    /// Flags that all verbs share.
    pub global: Global,
    /// The environment.
    pub environment: Environment,
    /// `canaryctl` or `kubectl canary`.
    pub invoked_as: &'static str,
}

/// Returns the command for clap, with the usage lines of how it was called.
pub fn command(invoked_as: &'static str) -> clap::Command {
    Cli::command().name("canaryctl").bin_name(invoked_as)
}

/// As a plugin of kubectl the binary is called `kubectl-canary`, but people type `kubectl canary`.
fn invoked_as(program: Option<&OsString>) -> &'static str {
    let name = program.map(Path::new).and_then(Path::file_stem);
    if name.is_some_and(|name| name == "kubectl-canary" || name == "kubectl_canary") {
        "kubectl canary"
    } else {
        "canaryctl"
    }
}
