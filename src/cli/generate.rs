//! `generate`: files made from the command line's own definition.

use crate::config;

use super::{
    args::{Generate, GenerateArgs},
    command,
    error::CliError,
    exit::Code,
    tables::{CheckEntry, RouterEntry},
    ui::Terminal,
};

pub(super) fn run(args: &GenerateArgs, terminal: &mut Terminal) -> Result<Code, CliError> {
    match &args.what {
        Generate::Completions { shell } => terminal.answer(&completions(*shell)),
        Generate::Man => terminal.answer(&man()?),
        Generate::Schema => terminal.document(&config::schema::<RouterEntry, CheckEntry>()),
    }
    Ok(Code::Done)
}

/// Returns the completion script of a shell.
fn completions(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command("canaryctl"), "canaryctl", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Returns the man page: the command, and every verb after it.
fn man() -> Result<String, CliError> {
    let fail = |e: std::io::Error| CliError::new(Code::Failed, format!("the man page: {e}"));
    let mut page = Vec::new();
    let mut command = command("canaryctl");
    command.build();
    let date = "";
    let roff = clap_mangen::Man::new(command.clone()).date(date);
    roff.render(&mut page).map_err(fail)?;
    for verb in command.get_subcommands().filter(|v| v.get_name() != "help") {
        let title = format!("canaryctl {}", verb.get_name());
        let verb = verb.clone().bin_name(title);
        let man = clap_mangen::Man::new(verb).date(date);
        man.render_name_section(&mut page).map_err(fail)?;
        man.render_synopsis_section(&mut page).map_err(fail)?;
        man.render_description_section(&mut page).map_err(fail)?;
        man.render_options_section(&mut page).map_err(fail)?;
    }
    Ok(String::from_utf8_lossy(&page).into_owned())
}
