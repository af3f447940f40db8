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
mod group;
mod help;
mod history;
mod log;
mod make_route;
mod metrics;
mod monitor;
mod promote;
mod rollback;
mod router;
mod sandbox;
mod scene;
mod session;
mod set;
mod signal;
mod status;
mod tables;
mod together;
mod ui;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::OnceLock,
};

use clap::CommandFactory as _;

use crate::{report::closing::Invocation, sim::Machine};

use args::NameArgs;
pub use args::{Cli, Global, Output, Verb};
pub use env::Environment;
pub use error::CliError;
pub use exit::Code;
pub use signal::{Signal, Signals};
pub use tables::{CheckEntry, MetricsEntry, RouterEntry};
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
        Err(error) => return ui::last_words(format!("error: cannot start: {error}")),
    };
    ui::escape_panics();
    if let Err(error) = log::start(environment.get("CANARYCTL_LOG")) {
        ui::last_words(format!("error: {error}"));
        return ExitCode::from(Code::Refused.number());
    }
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
    terminal: Terminal,
    signals: Signals,
) -> Code {
    run_on(None, args, environment, terminal, signals).await
}

/// Runs the command on a machine beside a simulated cluster that is running already, so that several
/// commands meet on the same one; without one, the flags say where.
pub async fn run_on(
    machine: Option<Machine>,
    args: Vec<OsString>,
    environment: Environment,
    mut terminal: Terminal,
    signals: Signals,
) -> Code {
    let invoked_as = invoked_as(args.first());
    terminal.call(invoked_as);
    let mut command = command(invoked_as).term_width(terminal.columns().min(help::WIDEST));
    let topic = help::topic(&command, &args, invoked_as);
    let cli = match help::parse(&mut command, &args) {
        Ok(cli) => cli,
        Err(error) => return terminal.usage(&error, &topic, &environment),
    };
    terminal.configure(&cli.global, &environment);
    let context = Context {
        global: cli.global,
        environment,
        invoked_as,
        machine,
        server: OnceLock::new(),
    };
    let outcome = match cli.verb {
        Verb::Status(args) => Box::pin(status::run(&context, &args, &mut terminal)).await,
        Verb::Set(args) => Box::pin(set::run(&context, &args, &mut terminal, signals)).await,
        Verb::Monitor(args) => {
            Box::pin(monitor::run(&context, &args, &mut terminal, signals)).await
        }
        Verb::Rollback(args) => {
            Box::pin(rollback::run(&context, &args, &mut terminal, signals)).await
        }
        Verb::Promote(args) => {
            Box::pin(promote::run(&context, &args, &mut terminal, signals)).await
        }
        Verb::Auto(args) => Box::pin(auto::run(&context, &args, &mut terminal, signals)).await,
        Verb::Approve(args) => Box::pin(approve::run(&context, &args, &mut terminal)).await,
        Verb::Check(args) => Box::pin(check::run(&context, &args, &mut terminal)).await,
        Verb::History(args) => Box::pin(history::run(&context, &args, &mut terminal)).await,
        Verb::Sandbox(args) => {
            Box::pin(sandbox::run(&context, &args, &mut terminal, signals)).await
        }
        Verb::Generate(args) => generate::run(&context, &args, &mut terminal),
    };
    match outcome {
        Ok(code) => terminal.finish(code),
        Err(error) => terminal.fail(&error.at(context.server.get())),
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
    /// Where the command runs, when the cluster is in this process already.
    pub machine: Option<Machine>,
    /// Address of the API server, once it is known.
    pub server: OnceLock<String>,
}

impl Context {
    /// Returns how hints should call the tool for an app: with the flags that lead to the same
    /// objects, so that a pasted line cannot hit another cluster.
    fn invocation(&self, app: &str, namespace: &str, names: &NameArgs) -> Invocation {
        let mut flags = Vec::new();
        let mut flag = |name: &str, value: Option<String>| {
            flags.extend(value.map(|value| (name.to_owned(), value)));
        };
        let path = |path: &Option<PathBuf>| path.as_ref().map(|p| p.display().to_string());
        let global = &self.global;
        flag("--kubeconfig", path(&global.kubeconfig));
        flag("--context", global.context.clone());
        flag("-f", path(&global.file));
        flag("--stable", names.stable.clone());
        flag("--canary", names.canary.clone());
        flag("--service", names.service.clone());
        flag("--router", names.router.clone());
        Invocation {
            app: app.to_owned(),
            namespace: namespace.to_owned(),
            invoked_as: self.invoked_as.to_owned(),
            flags,
            sandbox: global.sandbox.clone(),
        }
    }
}

/// Returns the command for clap, with the usage lines and examples of how it was called.
pub fn command(invoked_as: &'static str) -> clap::Command {
    help::complete(Cli::command(), invoked_as)
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
