//! Somebody's input in messages, and the known word that is nearest to it.
//!
//! Owns: how input is repeated (on one line, short, harmless to a terminal) and the search for what
//! was meant. Must not: word what is wrong.

use super::Position;
use crate::escape::escaped;

/// Longest piece of somebody's input repeated in a message, in characters.
const EXCERPT: usize = 60;

/// Returns `"; did you mean 'x'?"`, or nothing when no known word is near.
pub fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map_or_else(String::new, |near| format!("; did you mean '{near}'?"))
}

/// Returns the known word that is nearest to `word`, if it is near enough to be meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = fold(word);
    let limit = (plain.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&plain, &fold(candidate));
            (distance, candidate)
        })
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Returns words separated by commas.
pub fn listing<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().collect::<Vec<_>>().join(", ")
}

/// Returns input as it may be repeated in a message: on one line, and not too long.
pub fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(EXCERPT).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    one_line(&short)
}

fn fold(word: &str) -> String {
    word.chars()
        .take(EXCERPT)
        .filter(|c| !matches!(c, '-' | '_' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Returns a text on one line, with whatever could move a terminal's cursor made visible.
pub fn one_line(text: &str) -> String {
    escaped(text).into_owned()
}

/// Returns the line of a place with a mark under it, as two lines.
pub fn snippet(text: &str, at: Position) -> Option<String> {
    let line = text.lines().nth(at.line.checked_sub(1)?)?;
    let shown = one_line(&line.replace('\t', " "));
    let number = at.line.to_string();
    let indent = " ".repeat(number.len() + 2 + at.column);
    Some(format!("{number} | {shown}\n{indent}^"))
}
