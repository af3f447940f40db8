//! Help and generated files.

use insta::assert_snapshot;

use super::Console;

#[tokio::test(start_paused = true)]
async fn scenarios_are_listed() {
    let console = Console::new();
    assert_snapshot!(console.shows("sandbox --list").await, @"");
    assert_snapshot!(console.shows("sandbox --list -o json").await, @"");
}

#[tokio::test(start_paused = true)]
async fn no_verb_shows_help() {
    let console = Console::new();
    assert_snapshot!(console.shows("").await, @"");
}

#[tokio::test(start_paused = true)]
async fn short_help() {
    let console = Console::new().columns(80);
    assert_snapshot!(console.shows("-h").await, @"");
    assert_snapshot!(console.shows("set -h").await, @"");
    assert_snapshot!(console.shows("auto -h").await, @"");
}

#[tokio::test(start_paused = true)]
async fn help_of_the_plugin() {
    let console = Console::new().columns(80).called("kubectl-canary");
    assert_snapshot!(console.shows("status --help").await, @"");
}

#[tokio::test(start_paused = true)]
async fn version() {
    let console = Console::new();
    assert_snapshot!(console.shows("--version").await, @"");
}

#[tokio::test(start_paused = true)]
async fn generated_text_begins_as_it_should() {
    let console = Console::new();
    let mut heads = String::new();
    for what in [
        "completions bash",
        "completions zsh",
        "completions fish",
        "man",
        "schema",
    ] {
        let ran = console.run(&format!("generate {what}")).await;
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{what}");
        let head: Vec<&str> = ran.out.lines().take(4).collect();
        heads.push_str(&format!("== {what}\n{}\n", head.join("\n")));
    }
    assert_snapshot!(heads, @"");
}

#[tokio::test(start_paused = true)]
async fn help_fits_eighty_columns() {
    let console = Console::new().columns(80);
    let verbs = "status set monitor rollback promote auto approve check history sandbox generate";
    for verb in verbs.split(' ').chain([""]) {
        for flag in ["-h", "--help"] {
            let ran = console.run(&format!("{verb} {flag}")).await;
            let wide = ran.out.lines().find(|line| line.chars().count() > 80);
            assert_eq!(wide, None, "{verb} {flag}");
            let example = ran.out.contains("Example") && ran.out.contains("canaryctl ");
            assert!(example, "{verb} {flag} has no example");
        }
    }
}
