//! Safe text in ASCII, and how wide it is.
//!
//! Owns: folding to ASCII, widths, plurals, differences. Must not: know about colours.

use std::{borrow::Cow, fmt::Write as _};

use unicode_width::UnicodeWidthChar;

use crate::{domain::change::Change, escape::escaped};

/// Returns `text` in ASCII: signs that this tool uses by a likeness, anything else escaped.
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut ascii = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            c if c.is_ascii() => ascii.push(c),
            '→' => ascii.push_str("->"),
            '≥' => ascii.push_str(">="),
            '≤' => ascii.push_str("<="),
            '…' => ascii.push_str("..."),
            '×' => ascii.push('x'),
            '–' | '—' | '−' => ascii.push('-'),
            '‘' | '’' => ascii.push('\''),
            '“' | '”' => ascii.push('"'),
            '·' => ascii.push('|'),
            '█' | '▰' => ascii.push('#'),
            '░' | '▱' => ascii.push('.'),
            '\u{a0}' | '\u{202f}' => ascii.push(' '),
            c => push(&mut ascii, format_args!("\\u{{{:x}}}", u32::from(c))),
        }
    }
    Cow::Owned(ascii)
}

/// Returns the columns of safe text; never fewer than a terminal needs.
pub fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// Returns the columns of one character.
pub fn char_width(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// Returns the plural of a countable noun with its number: `1 pod`, `3 pods`.
pub fn count(number: u64, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// Returns what a sentence says apart from its numbers and generated names, to tell repeats from news.
///
/// `29s more at 25%` and `1m 3s more at 25%` are the same thing said twice.
pub fn class(sentence: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in sentence.split_whitespace() {
        let word = if word.bytes().any(|b| b.is_ascii_digit()) {
            "#"
        } else {
            word
        };
        if !(word == "#" && words.last() == Some(&"#")) {
            words.push(word);
        }
    }
    words.join(" ")
}

/// Returns the fields that change, one line for each, under a line for every object.
pub fn diff(changes: &[Change]) -> Vec<String> {
    let paths = changes.iter().map(|change| width(&change.path)).max();
    let paths = paths.unwrap_or(0);
    let mut lines = Vec::new();
    let mut object = "";
    for change in changes {
        if change.object != object {
            object = &change.object;
            lines.push(format!("  {}", escaped(object)));
        }
        let gap = " ".repeat(paths - width(&change.path));
        let line = format!("    {}{gap}  {} → {}", change.path, change.from, change.to);
        lines.push(escaped(&line).into_owned());
    }
    lines
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_terminals_get_a_likeness() {
        assert_eq!(fold("5% → 25%, ≥ 1 …"), "5% -> 25%, >= 1 ...");
        assert_eq!(fold("é"), "\\u{e9}");
    }

    #[test]
    fn the_class_of_a_sentence_ignores_its_numbers() {
        assert_eq!(class("29s more at 25%"), class("1m 3s more at 50%"));
        assert_ne!(class("29s more at 25%"), class("approval of step 2"));
    }
}
