//! Text from outside, made visible: the one set of characters that no terminal may get as they are.
//!
//! Owns: the set, and how its characters are written instead. Must not: know where the text comes
//! from, or where it goes.

use std::{borrow::Cow, fmt::Write as _};

/// Returns `text` on one line, with everything escaped that could move the cursor, colour, hide or
/// reorder text. Escaping what was escaped changes nothing.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        // Writing to a String cannot fail.
        let _ = match c {
            '\n' => safe.write_str("\\n"),
            '\r' => safe.write_str("\\r"),
            '\t' => safe.write_str("\\t"),
            // A variation selector alone changes only the width of what is before it.
            c if is_selector(c) => Ok(()),
            c if c.is_ascii_control() => write!(safe, "\\x{:02x}", u32::from(c)),
            c if is_unsafe(c) => write!(safe, "\\u{{{:x}}}", u32::from(c)),
            c => safe.write_char(c),
        };
    }
    Cow::Owned(safe)
}

/// Returns whether a character must not reach a terminal as it is: controls, line separators, what
/// reorders text, and what is not seen.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || is_selector(c)
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

fn is_selector(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_escaped_and_plain_text_is_left_alone() {
        for (raw, shown) in [
            ("payment-api:1.4.2", "payment-api:1.4.2"),
            ("größer ≥ 5 %", "größer ≥ 5 %"),
            ("\u{1b}[31mred", "\\x1b[31mred"),
            ("a\nb\tc\r", "a\\nb\\tc\\r"),
            ("\u{202e}gpj.exe", "\\u{202e}gpj.exe"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("a\u{200b}b\u{7f}", "a\\u{200b}b\\x7f"),
            ("\u{2764}\u{fe0f}", "\u{2764}"),
        ] {
            assert_eq!(escaped(raw), shown);
            assert_eq!(escaped(shown), shown);
        }
    }
}
