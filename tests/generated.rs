//! Files made from the command line's own definition: they must say what it says today.
//! `UPDATE_GENERATED=1 cargo test --test main generated` writes them anew.

use std::path::Path;

use canaryctl::cli::command;
use clap::Command;

use crate::cli::Console;

#[tokio::test(start_paused = true)]
async fn generated_files_are_up_to_date() {
    let console = Console::new();
    let files = [
        ("completions/canaryctl.bash", "completions bash"),
        ("completions/canaryctl.zsh", "completions zsh"),
        ("completions/canaryctl.fish", "completions fish"),
        ("man/canaryctl.1", "man"),
        ("docs/canary.schema.json", "schema"),
    ];
    let mut old = Vec::new();
    for (path, what) in files {
        let ran = console.run(&format!("generate {what}")).await;
        assert_eq!(ran.code, 0, "{}", ran.text());
        old.extend(compare(path, &ran.out));
    }
    old.extend(compare("docs/cli.md", &reference()));
    assert!(
        old.is_empty(),
        "{old:?} are not up to date: UPDATE_GENERATED=1 cargo test --test main generated"
    );
}

#[expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
/// Returns the path when the file differs; writes it where that is asked for.
fn compare(path: &str, text: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a switch of this test, not of the product"
    )]
    let update = std::env::var_os("UPDATE_GENERATED").is_some();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if update {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    (kept != text).then(|| path.to_owned())
}

/// Returns the help of every verb as one page; what all verbs share is said once.
fn reference() -> String {
    let mut page = "# Command line\n\nMade from the tool's own help; do not edit.\n".to_owned();
    let mut whole = command("canaryctl").term_width(80);
    whole.build();
    section(&mut page, "canaryctl", whole.clone());
    for verb in whole.get_subcommands().filter(|v| v.get_name() != "help") {
        let alone = verb.clone().term_width(80).mut_args(|arg| {
            let shared = arg.is_global_set();
            arg.hide(shared)
        });
        section(&mut page, &format!("canaryctl {}", verb.get_name()), alone);
    }
    page
}

fn section(page: &mut String, name: &str, mut command: Command) {
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let help = lines.join("\n");
    *page += &["\n## ", name, "\n\n```text\n", help.trim_end(), "\n```\n"].concat();
}
