//! Help: what clap cannot know from the flags alone.
//!
//! Owns: the exit codes and variables in the long help, examples in the words of how the tool was
//! called, and the one-line form of clap's errors.

use std::{ffi::OsString, fmt::Write as _};

use clap::{Command, FromArgMatches as _};

use super::{args::Cli, error::CliError, exit};
use crate::{config, escape::escaped};

/// Columns that help takes at most.
pub(super) const WIDEST: usize = 100;

/// Variables that are not settings of a release.
const OTHER_VARIABLES: &[(&str, &str)] = &[
    ("CANARYCTL_CONFIG", "path of the configuration file, as -f"),
    (
        "CANARYCTL_LOG",
        "log on stderr: a level or directives, such as debug or kube=debug",
    ),
    ("KUBECONFIG", "path of the kubeconfig, as --kubeconfig"),
    ("NO_COLOR", "any value: no colours"),
    (
        "CI",
        "any value but false: no live display, exit at approval steps instead of waiting",
    ),
];

/// Returns the command with its help complete, in the words of how it was called.
pub(super) fn complete(command: Command, invoked_as: &'static str) -> Command {
    let command = command.name("canaryctl").bin_name(invoked_as);
    let command = command.after_help(called(EXAMPLES, invoked_as));
    let long = format!(
        "{}\n\n{}\n{}",
        called(EXAMPLES, invoked_as),
        variables(),
        codes()
    );
    renamed(command.after_long_help(long), invoked_as)
}

const EXAMPLES: &str = "Examples:
  canaryctl auto payment-api --sandbox        a whole release, without a cluster
  canaryctl auto payment-api --image IMAGE    the same on your cluster
  canaryctl status payment-api                where it is
  canaryctl rollback payment-api              out of the traffic, from any state";

fn renamed(mut command: Command, invoked_as: &'static str) -> Command {
    let verbs: Vec<String> = command
        .get_subcommands()
        .map(|verb| verb.get_name().to_owned())
        .collect();
    for verb in verbs {
        command = command.mut_subcommand(verb, |verb| {
            let help = verb.get_after_help().map(ToString::to_string);
            let verb = match help {
                Some(help) => verb.after_help(called(&help, invoked_as)),
                None => verb,
            };
            renamed(verb, invoked_as)
        });
    }
    command
}

fn called(text: &str, invoked_as: &str) -> String {
    text.replace("canaryctl ", &format!("{invoked_as} "))
}

fn codes() -> String {
    let mut text = "Exit codes:\n".to_owned();
    for (code, meaning) in exit::CODES {
        writeln!(text, "  {:<4} {meaning}", code.number()).ok();
    }
    text
}

fn variables() -> String {
    let settings = config::VARIABLES.iter().map(|v| (v.name, v.about));
    let all: Vec<(&str, &str)> = settings.chain(OTHER_VARIABLES.iter().copied()).collect();
    let widest = all.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = "Environment (precedence: flags > environment > file):\n".to_owned();
    for (name, about) in all {
        writeln!(text, "  {name:widest$}  {about}").ok();
    }
    text
}

/// Returns the command line taken apart. What clap says of a misuse repeats what was typed, and is
/// read line by line: so what was typed is escaped in it.
pub(super) fn parse(command: &mut Command, args: &[OsString]) -> clap::error::Result<Cli> {
    let mut parsed = |args: &[OsString]| {
        let matches = command.try_get_matches_from_mut(args)?;
        Cli::from_arg_matches(&matches)
    };
    let escape = |arg: &OsString| OsString::from(&*escaped(&arg.to_string_lossy()));
    parsed(args).map_err(|error| {
        let harmless: Vec<OsString> = args.iter().map(escape).collect();
        if harmless == args {
            return error;
        }
        match parsed(&harmless) {
            Err(error) => error,
            Ok(_) => unseen(&error),
        }
    })
}

/// Returns an error about characters that cannot be seen: without them all would be well.
fn unseen(error: &clap::Error) -> clap::Error {
    let text = "an argument holds characters that cannot be seen, or is no UTF-8";
    clap::Error::raw(error.kind(), text)
}

/// Returns what clap says about a misuse as one line, a hint and where to read on.
pub(super) fn misuse(rendered: &str, called: &str) -> CliError {
    let mut paragraphs = rendered.split("\n\n");
    let first = paragraphs.next().unwrap_or_default();
    let mut text = Vec::new();
    let mut hints = Vec::new();
    for line in first.lines().map(str::trim) {
        match line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            Some(values) => hints.push(values.to_owned()),
            None => text.push(line.trim_start_matches("error: ")),
        }
    }
    let text = text.join(" ").replace("' found", "'");
    let text = plainer(&text);
    let mut usage = None;
    for line in paragraphs.flat_map(str::lines).map(str::trim) {
        if let Some(tip) = line.strip_prefix("tip: ") {
            hints.extend(Some(tip.to_owned()).filter(|tip| is_near(&text, tip)));
        } else if let Some(line) = line.strip_prefix("Usage: ") {
            usage = Some(line.to_owned());
        }
    }
    let missing = text.starts_with("missing");
    let read_on = usage.filter(|_| missing).map_or_else(
        || format!("`{called} -h` shows how it is used"),
        |usage| format!("usage: {usage}"),
    );
    hints.push(read_on);
    CliError {
        hints,
        ..CliError::usage(text, "")
    }
}

/// Returns clap's sentence without the value said twice.
fn plainer(text: &str) -> String {
    if let Some(names) = text.strip_prefix("the following required arguments were not provided: ") {
        return format!("missing {names}");
    }
    let parts = text.strip_prefix("invalid value '").and_then(|rest| {
        let (value, rest) = rest.split_once("' for '")?;
        let (flag, reason) = rest.split_once("': ")?;
        let flag = flag.split_once(" <").map_or(flag, |(flag, _)| flag);
        Some((value, flag, reason))
    });
    match parts {
        Some((value, flag, reason)) if reason.contains(&format!("'{value}'")) => {
            format!("{flag}: {reason}")
        }
        Some((value, flag, reason)) => format!("{flag} '{value}': {reason}"),
        None => text.to_owned(),
    }
}

/// Returns whether a tip is worth saying: a word it offers must look like the one that was typed.
fn is_near(text: &str, tip: &str) -> bool {
    let quoted = |text: &str| text.split('\'').nth(1).map(str::to_owned);
    let (Some(typed), Some(offered)) = (quoted(text), quoted(tip)) else {
        return true;
    };
    let limit = (typed.trim_start_matches('-').len() / 3).max(1);
    !tip.contains("similar") || strsim::damerau_levenshtein(&typed, &offered) <= limit
}

/// Returns the command whose help explains a command line: the tool, and its verb if there is one.
pub(super) fn topic(command: &Command, args: &[OsString], invoked_as: &str) -> String {
    let verb = args
        .iter()
        .skip(1)
        .filter_map(|arg| arg.to_str())
        .find(|arg| {
            command
                .get_subcommands()
                .any(|verb| verb.get_name() == *arg)
        });
    match verb {
        Some(verb) => format!("{invoked_as} {verb}"),
        None => invoked_as.to_owned(),
    }
}
