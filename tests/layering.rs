//! Who may name whom: reads every file of `src` and compares what it names with the table of layers.
//!
//! A crate for each layer would have the compiler do this; one crate and this test is lighter. The
//! table is the one in ARCHITECTURE.md.

use std::{fs, path::Path};

use canaryctl::{health::PROBES, traffic::PROVIDERS};

/// A module and the other modules of the crate that it may name.
const LAYERS: &[(&str, &[&str])] = &[
    ("domain", &["analysis"]),
    ("analysis", &[]),
    ("clock", &[]),
    ("document", &["escape"]),
    ("escape", &[]),
    ("config", &["domain", "document"]),
    ("report", &["domain", "escape"]),
    ("cluster", &["domain", "clock"]),
    ("traffic", &["domain", "cluster", "clock"]),
    ("journal", &["domain", "cluster", "clock"]),
    ("health", &["domain", "cluster", "clock", "analysis"]),
    ("engine", DRIVERS),
    ("preflight", DRIVERS),
    ("sim", &["domain", "document", "clock"]),
    ("cli", EVERYTHING),
];

/// What the loop and the findings of `check` are made of.
const DRIVERS: &[&str] = &[
    "domain", "traffic", "health", "journal", "cluster", "clock", "analysis",
];

/// The command line puts all of it together.
const EVERYTHING: &[&str] = &["*"];

/// Unit tests may run what they test on the simulated cluster.
const ALSO_IN_TESTS: &[&str] = &["sim", "clock"];

/// Paths that pure modules must not name: the world outside.
const OUTSIDE: &[&str] = &[
    "anstream",
    "hyper",
    "k8s_openapi",
    "kube",
    "reqwest",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
    "tokio",
];

/// Paths that only the command line may name: the process and its terminal.
const PROCESS: &[&str] = &[
    "anstream",
    "std::env",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "std::process::abort",
    "std::process::exit",
    "std::process::id",
];

/// Macros that print.
const PRINTING: &[&str] = &["dbg", "eprint", "eprintln", "print", "println"];

/// The only file that prints.
const PRINTER: &str = "cli/ui.rs";

/// Paths that lead to the terminal past the type that is printed: only [`PRINTER`] may name them.
const STREAMS: &[&str] = &[
    "anstream",
    "console",
    "indicatif",
    "std::io::stderr",
    "std::io::stdout",
    "std::panic::set_hook",
];

/// Files that may write a terminal's escapes: what prints, and where colours are applied (those come
/// from `anstyle`, which [`STYLES`] alone names).
const STYLES: &[&str] = &["cli/ui.rs", "report/style.rs"];

#[test]
fn no_module_names_one_above_it() {
    let mut violations = Vec::new();
    for file in sources() {
        violations.extend(judge(&file.path, &file.text));
    }
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn every_module_has_its_layer() {
    for file in sources() {
        let top = module(&file.path)[0].clone();
        let known = ["main", "lib"].contains(&top.as_str());
        assert!(known || layer(&top).is_some(), "{top} is not in the table");
    }
}

/// The tables of routers and probes are the only places that know their names, so that a new one is
/// one file and one line.
#[test]
fn routers_and_probes_are_named_in_their_own_files_only() {
    let names: Vec<&str> = PROVIDERS
        .iter()
        .map(|router| router.name())
        .chain(PROBES.iter().map(|probe| probe.name()))
        .collect();
    let mut violations = Vec::new();
    for file in sources() {
        let top = &module(&file.path)[0];
        if !["config", "domain", "engine", "journal", "report"].contains(&top.as_str())
            || is_test_file(&file.path)
        {
            continue;
        }
        let code = file.text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            let said = names.iter().find(|n| line.contains(&format!("\"{n}\"")));
            if let Some(name) = said.filter(|_| !line.trim_start().starts_with("//")) {
                violations.push(format!("src/{}:{}: names {name}", file.path, number + 1));
            }
        }
    }
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

/// Text for the terminal is of a type that is escaped where it is made; what would get round that is a
/// stream of one's own, or an escape written by hand.
#[test]
fn escapes_are_written_where_it_is_printed() {
    let mut violations = Vec::new();
    for file in sources() {
        let code = file.text.split("#[cfg(test)]").next().unwrap_or_default();
        if STYLES.contains(&file.path.as_str()) || is_test_file(&file.path) {
            continue;
        }
        for (number, line) in code.lines().enumerate() {
            if writes_escapes(line) {
                violations.push(format!("src/{}:{}: writes escapes", file.path, number + 1));
            }
        }
    }
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

/// Returns whether a line of code holds an escape of a terminal, or what makes one.
fn writes_escapes(line: &str) -> bool {
    let line = line.split("//").next().unwrap_or_default().to_lowercase();
    let signs = ["\\x1b", "\\u{1b}", "\\u{001b}", "\\u{9b}", "anstyle::"];
    signs.iter().any(|sign| line.contains(sign))
}

/// Painted text is made in one file, where its text is escaped: nobody else gets inside.
#[test]
fn what_is_printed_is_made_in_one_place() {
    let line = sources().into_iter().find(|f| f.path == "report/line.rs");
    let code = line.unwrap().text;
    assert!(
        code.contains("pub struct Painted(String);"),
        "the text is private"
    );
    assert!(!code.contains("&mut self.0"), "the text cannot be changed");
    let ui = sources()
        .into_iter()
        .find(|f| f.path == PRINTER)
        .unwrap()
        .text;
    let shown = ui
        .lines()
        .filter(|line| line.trim_start().starts_with("pub"));
    let raw: Vec<&str> = shown
        .filter(|line| {
            let takes = [
                "fn answer(",
                "fn say(",
                "fn redraw(",
                "fn live(",
                "fn last_words(",
            ];
            takes.iter().any(|name| line.contains(name)) && !line.contains("Painted")
        })
        .collect();
    assert!(raw.is_empty(), "these take more than painted text: {raw:?}");
}

/// The test itself can fail: each kind of violation is seen, and nothing else.
#[test]
fn violations_are_seen() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("domain/plan.rs", "use crate::analysis::bet;", &[]),
        (
            "domain/plan.rs",
            "use crate::cluster::Cluster;",
            &["cluster"],
        ),
        (
            "domain/plan.rs",
            "use crate::{\n    analysis,\n    sim::{a, b::{c}},\n};",
            &["sim"],
        ),
        ("domain/plan.rs", "// crate::cli\n/* crate::cli */", &[]),
        (
            "domain/plan.rs",
            "let x = \"crate::cli \\\" \"; let c = '\"';",
            &[],
        ),
        ("domain/plan.rs", "let x = r#\"crate::cli \" \"#;", &[]),
        ("domain/mod.rs", "use super::engine::Engine;", &["engine"]),
        ("domain/plan.rs", "use super::weight::Percent;", &[]),
        ("domain/mod.rs", "mod tests { use super::weight; }", &[]),
        (
            "domain/plan.rs",
            "use super::super::weight;",
            &["super::super"],
        ),
        ("domain/plan.rs", "use std::{fmt, fs::File};", &["std::fs"]),
        ("domain/plan.rs", "tokio::spawn(f());", &["tokio"]),
        ("domain/plan.rs", "my::tokio::spawn(f());", &[]),
        ("domain/plan.rs", "println!(\"x\");", &["println!"]),
        ("report/line.rs", "std::io::stdout()", &["std::io::stdout"]),
        ("engine/mod.rs", "use crate::report;", &["report"]),
        ("engine/mod.rs", "use crate::sim::Server;", &["sim"]),
        (
            "engine/mod.rs",
            "mod tests { use crate::sim::Server; }",
            &[],
        ),
        ("engine/tests/x.rs", "use crate::sim::Server;", &[]),
        (
            "engine/mod.rs",
            "fn f<'a>(x: &'a str) { crate::cli::x() }",
            &["cli"],
        ),
        (
            "cli/ui.rs",
            "eprintln!(\"x\"); crate::sim::x(); std::env::var(x)",
            &[],
        ),
        ("cli/set.rs", "println!(\"x\");", &["println!"]),
        (
            "cli/set.rs",
            "use std::io::{stdout, Write};",
            &["std::io::stdout"],
        ),
        ("cli/set.rs", "console::Term::stderr()", &["console"]),
        (
            "cli/ui.rs",
            "console::Term::stderr(); std::io::stdout()",
            &[],
        ),
        ("document/words.rs", "use crate::escape::escaped;", &[]),
        ("escape.rs", "use crate::report;", &["report"]),
        ("main.rs", "canaryctl::cli::main()", &[]),
        ("main.rs", "canaryctl::engine::start()", &["engine"]),
    ];
    for (path, text, wanted) in cases {
        let seen = judge(path, text);
        let fits = seen.len() == wanted.len()
            && seen
                .iter()
                .zip(*wanted)
                .all(|(seen, word)| seen.contains(word));
        assert!(fits, "{path}: {text}\nwanted {wanted:?}, saw {seen:?}");
    }
    assert_eq!(
        judge("domain/plan.rs", "//\n//\nuse crate::cli;"),
        ["src/domain/plan.rs:3: domain must not name cli"]
    );
}

// === What is allowed ===

/// Returns the violations in one file, each with its place.
fn judge(path: &str, text: &str) -> Vec<String> {
    let own = module(path);
    let top = own[0].as_str();
    let pure = ["domain", "analysis"].contains(&top);
    let mut violations = Vec::new();
    for Mention {
        line,
        path: said,
        within,
    } in mentions(text)
    {
        let is = |prefix: &&&str| {
            let prefix: Vec<&str> = prefix.split("::").collect();
            said.len() >= prefix.len() && prefix.iter().zip(&said).all(|(a, b)| a == b)
        };
        let in_tests = is_test_file(path) || within.iter().any(|module| module == "tests");
        let mut blame = |what: String| {
            let violation = format!("src/{path}:{line}: {what}");
            if !violations.contains(&violation) {
                violations.push(violation);
            }
        };
        if said[0] == "super" && said.get(1).is_some_and(|next| next == "super") {
            blame("super::super: name it from the crate's root".to_owned());
            continue;
        }
        let other = named(&said, &own, &within).filter(|other| other != top);
        if let Some(other) = other {
            let named_in_tests = in_tests && ALSO_IN_TESTS.contains(&other.as_str());
            if !may_name(top, &other) && !named_in_tests {
                blame(format!("{top} must not name {other}"));
            }
        }
        let outside = OUTSIDE.iter().find(is).filter(|_| pure);
        let process = PROCESS
            .iter()
            .find(is)
            .filter(|_| top != "cli" && top != "main");
        if let Some(world) = outside.or(process) {
            blame(format!("{top} must not name {world}"));
        }
        let stream = STREAMS.iter().find(is).filter(|_| path != PRINTER);
        if let Some(stream) = stream.filter(|_| process.is_none()) {
            blame(format!(
                "{top} must not name {stream}; only src/{PRINTER} does"
            ));
        }
        if said[0].ends_with('!') && path != PRINTER {
            blame(format!("{} prints; only src/{PRINTER} does", said[0]));
        }
    }
    violations
}

fn layer(name: &str) -> Option<&'static [&'static str]> {
    LAYERS
        .iter()
        .find(|(module, _)| *module == name)
        .map(|(_, may)| *may)
}

fn may_name(top: &str, other: &str) -> bool {
    match top {
        // The list of modules.
        "lib" => true,
        "main" => other == "cli",
        _ => layer(top).is_some_and(|may| may == EVERYTHING || may.contains(&other)),
    }
}

/// Returns the top module of this crate that a path leads to, if it leads to one.
fn named(said: &[String], own: &[String], within: &[String]) -> Option<String> {
    let from_root = match said[0].as_str() {
        "crate" | "canaryctl" => true,
        // One level up from a top module is the crate's root.
        "super" => own.len() + within.len() == 1,
        _ => false,
    };
    let word = said.get(1).filter(|_| from_root)?;
    layer(word).map(|_| word.clone())
}

// === Reading the source ===

/// A file of `src`; its path is relative to it.
pub(super) struct Source {
    /// Within `src`.
    pub(super) path: String,
    pub(super) text: String,
}

/// A path or a printing macro that a file mentions.
struct Mention {
    line: usize,
    path: Vec<String>,
    /// The inline modules around it.
    within: Vec<String>,
}

pub(super) fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&root).unwrap();
                let path = path.to_str().unwrap().replace('\\', "/");
                files.push(Source { path, text });
            }
        }
    }
    assert!(files.len() > 10, "src was not found");
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// Returns the module a file is, from the crate's root.
fn module(path: &str) -> Vec<String> {
    let mut parts: Vec<String> = path
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    if parts.len() > 1 && parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

fn is_test_file(path: &str) -> bool {
    module(path).iter().skip(1).any(|part| part == "tests")
}

/// Returns every path with `::` and every printing macro, groups in braces taken apart.
fn mentions(text: &str) -> Vec<Mention> {
    let tokens = tokens(text);
    let word = |at: usize| {
        tokens
            .get(at)
            .map_or("", |t: &(usize, String)| t.1.as_str())
    };
    let mut found = Vec::new();
    let (mut depth, mut within): (usize, Vec<(usize, String)>) = (0, Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        let names = || {
            within
                .iter()
                .map(|(_, name)| name.clone())
                .collect::<Vec<_>>()
        };
        match word(at) {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                within.retain(|(opened, _)| *opened < depth + 1);
            }
            "mod" if word(at + 2) == "{" => {
                depth += 1;
                within.push((depth, word(at + 1).to_owned()));
                at += 2;
            }
            name if PRINTING.contains(&name) && word(at + 1) == "!" => found.push(Mention {
                line: tokens[at].0,
                path: vec![format!("{name}!")],
                within: names(),
            }),
            name if is_word(name) && word(at + 1) == "::" => {
                let mut paths = Vec::new();
                at = expand(&tokens, at, &[], &mut paths);
                let inside = names();
                found.extend(paths.into_iter().map(|(line, path)| Mention {
                    line,
                    path,
                    within: inside.clone(),
                }));
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Reads the path that begins at `at`, adds it (for a group: each of its paths) to `paths`, and
/// returns where it ends.
fn expand(
    tokens: &[(usize, String)],
    mut at: usize,
    prefix: &[String],
    paths: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let word = |at: usize| tokens.get(at).map_or("", |t| t.1.as_str());
    let line = tokens[at].0;
    let mut path = prefix.to_vec();
    loop {
        match word(at) {
            "{" => {
                at += 1;
                while at < tokens.len() && word(at) != "}" {
                    at = expand(tokens, at, &path, paths);
                    if word(at) == "as" {
                        at += 2;
                    }
                    if word(at) == "," {
                        at += 1;
                    }
                }
                return at + 1;
            }
            name if is_word(name) || name == "*" => {
                path.push(name.to_owned());
                at += 1;
            }
            // Something that is no path, such as the type of `Vec::<u8>::new`: past it.
            _ => {
                paths.push((line, path));
                return at.max(1) + usize::from(word(at) != "}" && word(at) != ",");
            }
        }
        if word(at) != "::" {
            paths.push((line, path));
            return at;
        }
        at += 1;
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Returns words and signs with their lines; comments and literals are left out.
fn tokens(text: &str) -> Vec<(usize, String)> {
    let code = blanked(text);
    let mut tokens = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let is_part = |c: char| c.is_alphanumeric() || c == '_';
            let length = if is_part(first) {
                rest.find(|c| !is_part(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            let (token, after) = rest.split_at(length);
            if !first.is_whitespace() {
                tokens.push((number + 1, token.to_owned()));
            }
            rest = after;
        }
    }
    tokens
}

/// Returns the text with comments, strings and characters blanked out, line breaks kept.
fn blanked(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = literal(rest, code.chars().next_back());
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            let (gone, after) = rest.split_at(length);
            code.push(' ');
            code.extend(gone.chars().filter(|c| *c == '\n'));
            rest = after;
        }
    }
    code
}

/// Returns the length of the comment or literal that `rest` begins with, 0 when it does not.
fn literal(rest: &str, before: Option<char>) -> usize {
    let until = |end: &str, from: usize| {
        rest.get(from..)
            .and_then(|tail| tail.find(end))
            .map_or(rest.len(), |at| from + at + end.len())
    };
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return until("*/", 2);
    }
    if !in_word && (rest.starts_with("r\"") || rest.starts_with("r#")) {
        let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
        if rest[1 + hashes..].starts_with('"') {
            return until(&format!("\"{}", "#".repeat(hashes)), 2 + hashes);
        }
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    // A character, not a lifetime: it is closed after one character or an escape.
    let mut ahead = rest.chars();
    if ahead.next() == Some('\'') {
        let (one, two) = (ahead.next(), ahead.next());
        if one == Some('\\') || two == Some('\'') {
            return quoted(rest, '\'');
        }
    }
    0
}

fn quoted(rest: &str, end: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == end => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}
