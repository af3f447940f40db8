//! What the documents and the help say can be done: every command is one, every link leads somewhere.

use std::{
    fs,
    path::{Path, PathBuf},
};

use canaryctl::cli;

#[test]
fn every_command_in_the_documents_is_one() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for command in commands(&text) {
            count += 1;
            wrong.extend(trouble(&command).map(|why| format!("{}: {why}", path.display())));
        }
    }
    assert!(count > 20, "only {count} commands were found");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_command_in_the_help_is_one() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for verb in cli::command("canaryctl").get_subcommands() {
        let help = verb.get_after_help().map(ToString::to_string);
        for line in help.unwrap_or_default().lines().filter_map(shell) {
            count += 1;
            wrong.extend(trouble(&line));
        }
    }
    assert!(count > 5, "only {count} commands were found");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for (before, rest) in text
            .match_indices("](")
            .map(|(at, _)| text.split_at(at + 2))
        {
            let target = rest.split(')').next().unwrap_or_default();
            let file = path.parent().unwrap().join(target);
            let is_picture = before
                .rfind('[')
                .is_some_and(|at| before[..at].ends_with('!'));
            if !target.starts_with("https://") && !is_picture && !file.exists() {
                wrong.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn commands_are_found_where_people_read_them() {
    let text = "Run `canaryctl status\npayment-api`, or:\n```sh\n\
        canaryctl auto payment-api --once   # from cron\n\
        cargo run --release -- auto payment-api --sandbox &\nkubectl get pods\n```\n\
        and `canaryctl-APP` or `canaryctl generate …` are none.";
    let found = commands(text);
    let wanted = [
        "canaryctl status payment-api",
        "canaryctl auto payment-api --once",
        "canaryctl auto payment-api --sandbox",
    ];
    assert_eq!(found, wanted);
    assert!(trouble("canaryctl status --sandbox").is_none());
    assert!(trouble("canaryctl auto payment-api --no-such-flag").is_some());
}

/// Returns the documents at the root and all those of the examples.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    let mut folders = vec![root.join("examples"), root.join("docs")];
    let mut entries: Vec<PathBuf> = listed(root).into_iter().filter(|p| p.is_file()).collect();
    while let Some(folder) = folders.pop() {
        for path in listed(&folder) {
            if path.is_dir() {
                folders.push(path);
            } else {
                entries.push(path);
            }
        }
    }
    files.extend(
        entries
            .into_iter()
            .filter(|path| path.extension().is_some_and(|kind| kind == "md")),
    );
    files.sort();
    files
}

fn listed(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Returns the commands in a text: lines of shell blocks, and code within a sentence.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (index, part) in text.split("```").enumerate() {
        let is_block = index % 2 == 1;
        if is_block {
            let lines = part.strip_prefix("sh\n").unwrap_or_default().lines();
            found.extend(lines.filter_map(shell));
        } else {
            let code = part.split('`').skip(1).step_by(2);
            found.extend(code.filter_map(shell));
        }
    }
    found
}

/// Returns the command in a line, without comment, redirection or placeholder.
fn shell(line: &str) -> Option<String> {
    // A comment, a remark, and where the shell sends the answer are no part of the command.
    let line = line.split(" #").next()?.split("   (").next()?;
    let line = line.split(" > ").next()?;
    let words: Vec<&str> = line
        .split_whitespace()
        .filter(|word| *word != "&")
        .collect();
    let words = match words.as_slice() {
        ["cargo", "run", "--release", "--", words @ ..] => words,
        [first, words @ ..] if *first == "canaryctl" => words,
        [first, "canaryctl", words @ ..] if first.contains('=') => words,
        _ => return None,
    };
    let is_placeholder = words.is_empty() || words.contains(&"…") || words.contains(&"APP");
    (!is_placeholder).then(|| format!("canaryctl {}", words.join(" ")))
}

/// Returns what is wrong with a command, if anything is.
fn trouble(command: &str) -> Option<String> {
    let parsed = cli::command("canaryctl").try_get_matches_from(command.split_whitespace());
    let error = parsed.err()?.to_string();
    Some(format!("{command}\n    {}", error.lines().next()?))
}
