//! The terminal: the only place that prints.
//!
//! Owns: the streams, their style, the live display, questions. The answer goes to stdout,
//! everything else to stderr. Must not: print anything but [`Painted`] text, which holds no escapes
//! but those of colours, and help, of which the same is left.

use std::{
    io::{IsTerminal as _, Write},
    panic::{Location, PanicHookInfo},
    process::ExitCode,
    time::Duration,
};

use clap::error::ErrorKind;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::{
    args::{Global, Output, When},
    env::Environment,
    error::CliError,
    exit::Code,
    help,
};
use crate::report::{
    json,
    line::Painted,
    style::{Style, Tone},
};

/// Width of a stream that is no terminal.
const PLAIN_WIDTH: usize = 100;

/// Moves the cursor to the top of an empty screen.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Asks a question and returns the answer.
pub(super) type Ask = Box<dyn FnMut(&str) -> Option<String> + Send>;

/// The streams of a command and how to write to them.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a property of its own"
)]
pub struct Terminal {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    ask: Option<Ask>,
    out_tty: bool,
    err_tty: bool,
    columns: usize,
    unicode: bool,
    color: (bool, bool),
    output: Output,
    quiet: bool,
    verbose: bool,
    live_allowed: bool,
    invoked_as: &'static str,
    bar: Option<ProgressBar>,
    broken_pipe: bool,
}

impl Terminal {
    /// Returns the streams of the process.
    pub fn of_process(environment: &Environment) -> Self {
        let (out_tty, err_tty) = (
            std::io::stdout().is_terminal(),
            std::io::stderr().is_terminal(),
        );
        let size = console_width().filter(|_| out_tty || err_tty);
        let columns = environment
            .get("COLUMNS")
            .and_then(|columns| columns.parse().ok())
            .or(size)
            .unwrap_or(PLAIN_WIDTH);
        let ask: Option<Ask> = (std::io::stdin().is_terminal() && err_tty).then(|| {
            let ask: Ask = Box::new(|_| {
                let mut line = String::new();
                std::io::stdin().read_line(&mut line).ok()?;
                Some(line.trim().to_owned())
            });
            ask
        });
        Self {
            live_allowed: err_tty && !environment.is_ci(),
            ..Self::of(
                Box::new(std::io::stdout()),
                Box::new(std::io::stderr()),
                (out_tty, err_tty),
                columns,
                ask,
            )
        }
    }

    /// Returns a terminal over given streams: whether stdout and stderr are terminals, and their
    /// width.
    pub fn of(
        out: Box<dyn Write + Send>,
        err: Box<dyn Write + Send>,
        (out_tty, err_tty): (bool, bool),
        columns: usize,
        ask: Option<Ask>,
    ) -> Self {
        Self {
            out,
            err,
            ask,
            out_tty,
            err_tty,
            columns,
            unicode: true,
            color: (false, false),
            output: Output::Human,
            quiet: false,
            verbose: false,
            live_allowed: false,
            invoked_as: "canaryctl",
            bar: None,
            broken_pipe: false,
        }
    }

    /// Takes in the flags and variables that say how to print.
    pub(super) fn configure(&mut self, global: &Global, environment: &Environment) {
        self.output = global.output;
        self.quiet = global.quiet;
        self.verbose = global.verbose > 0;
        let dumb = environment.get("TERM") == Some("dumb");
        let wanted = |tty: bool| match global.color {
            When::Always => true,
            When::Never => false,
            When::Auto => tty && !dumb && environment.get("NO_COLOR").is_none(),
        };
        self.color = (wanted(self.out_tty), wanted(self.err_tty));
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|name| environment.get(name));
        let locale = locale.map(str::to_ascii_uppercase);
        self.unicode = locale.is_none_or(|l| l.contains("UTF") || l == "C.UTF-8");
        self.live_allowed &= !dumb && !global.quiet && global.output == Output::Human;
    }

    /// Takes in how the tool was called, for what it says about itself.
    pub(super) fn call(&mut self, invoked_as: &'static str) {
        self.invoked_as = invoked_as;
    }

    /// Returns the width in columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Returns whether answers are JSON.
    pub fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    /// Returns whether every look and wait is wanted.
    pub fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Returns whether somebody can be asked.
    pub fn can_ask(&self) -> bool {
        self.ask.is_some()
    }

    /// Returns whether stdout is a terminal that can be redrawn.
    pub fn can_redraw(&self) -> bool {
        self.out_tty && self.live_allowed
    }

    /// Returns the style of stdout.
    pub fn style(&self) -> Style {
        Style {
            color: self.color.0,
            unicode: self.unicode,
            width: self.columns,
        }
    }

    /// Returns the style of stderr.
    pub fn err_style(&self) -> Style {
        Style {
            color: self.color.1,
            ..self.style()
        }
    }

    /// Prints an answer for people.
    pub fn answer(&mut self, answer: impl Into<Painted>) {
        self.put("", &answer.into());
    }

    /// Prints an answer as a JSON document.
    pub fn document(&mut self, document: &impl Serialize) {
        match json::pretty(document) {
            Ok(text) => self.answer(text),
            Err(error) => {
                self.note(&format!("the answer cannot be written as JSON: {error}").into());
            }
        }
    }

    /// Clears the screen and prints an answer at its top.
    pub fn redraw(&mut self, answer: impl Into<Painted>) {
        self.put(CLEAR, &answer.into());
    }

    /// Prints what goes on, unless only the answer is wanted.
    pub fn say(&mut self, text: impl Into<Painted>) {
        if !self.quiet {
            self.tell(&text.into());
        }
    }

    /// Prints a warning.
    pub fn warn(&mut self, warning: &str) {
        let text = self.labelled(Tone::Unknown, "warning:", warning);
        self.tell(&text);
    }

    /// Shows the live display; does nothing where there can be none.
    pub fn live(&mut self, lines: &[Painted]) {
        if !self.live_allowed {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            bar.set_style(
                ProgressStyle::with_template("{msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar
        });
        bar.set_message(lines.join("\n"));
        bar.tick();
    }

    /// Returns whether there can be a live display.
    pub fn is_live(&self) -> bool {
        self.live_allowed
    }

    /// Takes the live display away.
    pub fn hide_live(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Asks a question and waits for the answer; `None` when nobody can be asked.
    pub fn ask(&mut self, question: &str) -> Option<String> {
        let mut ask = self.take_ask(question)?;
        let answer = ask(question);
        self.ask = Some(ask);
        answer
    }

    /// Prints a question and returns what reads the answer, so that somebody else can wait for it.
    pub fn take_ask(&mut self, question: &str) -> Option<Ask> {
        self.hide_live();
        let ask = self.ask.take()?;
        let question = Painted::from(question);
        let outcome = write!(self.err, "{question} ").and_then(|()| self.err.flush());
        self.broken_pipe |= outcome.is_err();
        Some(ask)
    }

    /// Gives back what [`Terminal::take_ask`] returned.
    pub fn give_ask(&mut self, ask: Ask) {
        self.ask = Some(ask);
    }

    /// Prints why the command was not understood, or help, and returns the exit code.
    pub(super) fn usage(
        &mut self,
        error: &clap::Error,
        called: &str,
        environment: &Environment,
    ) -> Code {
        let rendered = error.render();
        let text = |tty: bool| {
            let dumb = environment.get("TERM") == Some("dumb");
            if tty && !dumb && environment.get("NO_COLOR").is_none() {
                only_colors(&rendered.ansi().to_string())
            } else {
                only_colors(&rendered.to_string())
            }
        };
        if !error.use_stderr() {
            let text = text(self.out_tty);
            let outcome = write!(self.out, "{text}").and_then(|()| self.out.flush());
            self.broken_pipe |= outcome.is_err();
            return self.finish(Code::Done);
        }
        if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            let text = text(self.err_tty);
            // Nobody can be told that stderr is gone.
            drop(writeln!(self.err, "{}", text.trim_end()).and_then(|()| self.err.flush()));
            return Code::Refused;
        }
        self.fail(&help::misuse(&rendered.to_string(), called))
    }

    /// Prints why the command failed, and returns the exit code.
    pub(super) fn fail(&mut self, error: &CliError) -> Code {
        self.hide_live();
        let canonical = "`canaryctl ";
        let called = format!("`{} ", self.invoked_as);
        // Hints name the tool by its own name; people type what they called it by.
        let said = |text: &str| text.replace(canonical, &called);
        self.note(&self.labelled(Tone::Bad, "error:", &said(&error.text)));
        if let Some(snippet) = &error.snippet {
            let lines = snippet.lines().map(|line| format!("  {}", said(line)));
            self.note(&Painted::lines(lines));
        }
        for hint in &error.hints {
            self.note(&self.labelled(Tone::Bold, "hint:", &said(hint)));
        }
        error.code
    }

    /// Returns whether the reader of the answers has gone away.
    pub fn is_gone(&self) -> bool {
        self.broken_pipe
    }

    /// Ends the output; a reader that has gone away is no error.
    pub(super) fn finish(&mut self, code: Code) -> Code {
        self.hide_live();
        self.broken_pipe |= self.out.flush().is_err();
        code
    }

    /// Writes to stdout, on lines of its own.
    fn put(&mut self, before: &'static str, answer: &Painted) {
        self.hide_live();
        let end = if answer.ends_with('\n') { "" } else { "\n" };
        let outcome = write!(self.out, "{before}{answer}{end}").and_then(|()| self.out.flush());
        self.broken_pipe |= outcome.is_err();
    }

    /// Writes to stderr, above the live display where there is one.
    fn tell(&mut self, text: &Painted) {
        match &self.bar {
            Some(bar) => bar.println(text.as_str()),
            None => self.note(text),
        }
    }

    /// Writes to stderr.
    fn note(&mut self, text: &Painted) {
        // Nobody can be told that stderr is gone.
        drop(writeln!(self.err, "{text}").and_then(|()| self.err.flush()));
    }

    /// Returns a line for stderr after a label.
    fn labelled(&self, tone: Tone, label: &str, text: &str) -> Painted {
        let line = self.err_style().line().add(tone, label).plain(" ");
        line.plain(text).render()
    }

    /// Returns how often the live display is worth redrawing.
    pub const fn frame() -> Duration {
        Duration::from_millis(100)
    }
}

/// Says why not even a terminal could be set up.
#[expect(clippy::print_stderr, reason = "there is no terminal yet")]
pub(super) fn last_words(text: impl Into<Painted>) -> ExitCode {
    eprintln!("{}", text.into());
    ExitCode::from(Code::Failed.number())
}

/// Has a defect of this program reported as everything else is: the text that led to it may come
/// from anywhere.
pub(super) fn escape_panics() {
    std::panic::set_hook(Box::new(print_defect));
}

#[expect(clippy::print_stderr, reason = "the terminal is somewhere in between")]
fn print_defect(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    eprintln!("{}", defect(info.location(), text));
}

/// Returns what is said of a defect, on one line.
fn defect(place: Option<&Location<'_>>, text: Option<&str>) -> Painted {
    let place = place.map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let text = text.unwrap_or("no reason was given");
    format!("error: a defect of canaryctl, at {place}: {text}").into()
}

/// Returns help with its colours and line breaks, and anything else escaped that a terminal obeys.
fn only_colors(help: &str) -> String {
    let mut out = String::with_capacity(help.len());
    for line in help.split_inclusive('\n') {
        let (text, end) = match line.strip_suffix('\n') {
            Some(text) => (text, "\n"),
            None => (line, ""),
        };
        let mut parts = text.split("\x1b[");
        out += &Painted::from(parts.next().unwrap_or_default());
        for part in parts {
            let is_code = |c: char| c.is_ascii_digit() || c == ';';
            let (codes, rest) = part.split_at(part.find(|c| !is_code(c)).unwrap_or(part.len()));
            match rest.strip_prefix('m') {
                Some(rest) => {
                    out.extend(["\x1b[", codes, "m"]);
                    out += &Painted::from(rest);
                }
                None => out += &Painted::from(&*format!("\x1b[{part}")),
            }
        }
        out += end;
    }
    out
}

fn console_width() -> Option<usize> {
    let (_, columns) = indicatif_size()?;
    Some(usize::from(columns))
}

/// Returns rows and columns of the terminal.
fn indicatif_size() -> Option<(u16, u16)> {
    console::Term::stderr().size_checked()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Returns what is printed of a terminal with colours.
    fn printed(print: impl Fn(&mut Terminal)) -> String {
        let kept = Kept::default();
        let streams = || Box::new(kept.clone());
        let mut terminal = Terminal::of(streams(), streams(), (true, true), 80, None);
        terminal.color = (true, true);
        print(&mut terminal);
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    /// Whoever writes a new line of output need not think of it.
    #[test]
    fn text_as_it_comes_is_printed_escaped() {
        let image = "evil\u{1b}[2J\u{9b}1m\r\nerror: forged\u{202e}";
        let shown = "evil\\x1b[2J\\u{9b}1m\\r\\nerror: forged\\u{202e}";
        let says: [fn(&mut Terminal, &str); 6] = [
            |terminal, image| terminal.answer(format!("image {image}")),
            |terminal, image| terminal.say(format!("image {image}")),
            |terminal, image| terminal.warn(image),
            |terminal, image| terminal.redraw(image),
            |terminal, image| {
                assert_eq!(terminal.fail(&CliError::usage(image, image)), Code::Refused);
            },
            |terminal, image| {
                terminal.ask = Some(Box::new(|_| None));
                drop(terminal.ask(image));
            },
        ];
        for say in says {
            let text = printed(|terminal| say(terminal, image));
            assert!(text.contains(shown), "{text:?}");
            assert!(!text.contains(image), "{text:?}");
            assert!(text.lines().all(|line| !line.starts_with("error: forged")));
        }
    }

    #[test]
    fn help_keeps_its_colours_alone() {
        let help = "\u{1b}[1mUsage\u{1b}[0m: x\n  \u{1b}[2J\u{1b}]0;t\u{7}\u{1b}[1;4mb\u{1b}[0m\n";
        assert_eq!(
            only_colors(help),
            "\u{1b}[1mUsage\u{1b}[0m: x\n  \\x1b[2J\\x1b]0;t\\x07\u{1b}[1;4mb\u{1b}[0m\n"
        );
    }

    #[test]
    fn a_defect_is_told_on_one_line() {
        let text = defect(None, Some("no char boundary in `\u{1b}[2J\nx`"));
        assert_eq!(
            &*text,
            "error: a defect of canaryctl, at an unknown place: no char boundary in `\\x1b[2J\\nx`"
        );
    }
}
