//! Help: what clap cannot know from the flags alone.
//!
//! Owns: the exit codes and variables in the long help, examples in the words of how the tool was
//! called, and the one-line form of clap's errors.

use std::fmt::Write as _;

use clap::Command;

use super::{error::CliError, exit};
use crate::config;

/// Columns that help takes at most.
pub(super) const WIDEST: usize = 100;

/// Variables that are not settings of a release.
const OTHER_VARIABLES: &[(&str, &str)] = &[
    ("CANARYCTL_CONFIG", "path of the configuration file, as -f"),
    ("KUBECONFIG", "path of the kubeconfig, as --kubeconfig"),
    ("NO_COLOR", "any value: no colours"),
    (
        "CI",
        "any value but false: no live display, nobody waits at an approval",
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
    let mut text = "Environment (flags win over it, it wins over the file):\n".to_owned();
    for (name, about) in all {
        writeln!(text, "  {name:widest$}  {about}").ok();
    }
    text
}

/// Returns what clap says about a misuse as one line, a hint and where to read on.
pub(super) fn misuse(rendered: &str, invoked_as: &str) -> CliError {
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
    let mut usage = None;
    for paragraph in paragraphs {
        for line in paragraph.lines().map(str::trim) {
            if let Some(tip) = line.strip_prefix("tip: ") {
                hints.push(tip.to_owned());
            } else if let Some(line) = line.strip_prefix("Usage: ") {
                usage = Some(line.to_owned());
            }
        }
    }
    let text = text.join(" ").replace(" found", "");
    let error = CliError::usage(
        text,
        usage.map_or_else(
            || format!("`{invoked_as} --help` shows what there is"),
            |usage| format!("usage: {usage}"),
        ),
    );
    hints.into_iter().rev().fold(error, |mut error, hint| {
        error.hints.insert(0, hint);
        error
    })
}
