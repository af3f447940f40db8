use proptest::prelude::*;

use super::{FULL, parse};

proptest! {
    #[test]
    fn any_text_is_a_file_or_a_one_line_error(text in "\\PC{0,80}|[-a-z0-9:,\\[\\]{}&*!|>'\"%#@`~?<. \t\n]{0,80}") {
        assert_one_line(&text);
    }

    #[test]
    fn a_mutated_file_is_a_file_or_a_one_line_error(
        at in 0..FULL.len(),
        length in 0usize..12,
        put in "[-a-z0-9:,\\[\\]{}&*!|>'\"%#~?. \t\n\u{0}é]{0,6}",
    ) {
        let end = (at + length).min(FULL.len());
        let text = format!("{}{put}{}", &FULL[..at], &FULL[end..]);
        assert_one_line(&text);
    }

    #[test]
    fn a_value_put_anywhere_is_accepted_or_refused_at_a_line_of_the_file(
        line in 1usize..34,
        value in proptest::sample::select(vec![
            "", "[]", "{}", "~", "0", "-1", "1e9", ".inf", "true", "no", "'x'", "[[1]]", "{a: 1}",
            "\"\n\"", "99999999999999999999", "5m",
        ]),
    ) {
        let mut lines: Vec<_> = FULL.lines().map(str::to_owned).collect();
        if let Some((key, _)) = lines.get(line).and_then(|line| line.split_once(": ")) {
            lines[line] = format!("{key}: {value}");
        }
        assert_one_line(&lines.join("\n"));
    }
}

fn assert_one_line(text: &str) {
    let Err(error) = parse(text) else { return };
    let shown = error.to_string();
    let place = shown.strip_prefix("canary.yaml:").unwrap();
    let (line, rest) = place.split_once(':').unwrap();
    let (column, what) = rest.split_once(": ").unwrap();
    let line: usize = line.parse().unwrap();
    assert!(
        line >= 1 && line <= text.lines().count().max(1) + 1,
        "{shown}"
    );
    assert!(column.parse::<usize>().unwrap() >= 1);
    assert!(
        !what.is_empty() && !shown.contains(char::is_control),
        "{shown:?}"
    );
    if let Some(snippet) = error.snippet() {
        assert_eq!(snippet.lines().count(), 2, "{snippet}");
    }
}
