use std::time::Duration;

use proptest::prelude::*;

use super::{FULL, parse};
use crate::{config::StepSpec, domain::weight::Percent};

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

proptest! {
    #[test]
    fn steps_and_names_survive_the_way_through_the_file(
        names in ("[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?", "[a-z0-9]{1,3}(\\.[a-z0-9]{1,3}){0,2}"),
        steps in proptest::collection::btree_map(
            1u32..=100,
            (proptest::option::of(0u64..86_400), any::<bool>(), 0u64..86_400),
            1..6,
        ),
    ) {
        prop_assume!(names.0 != "null" && names.1 != "null");
        let mut text = format!("namespace: {}\napp: {}\nsteps:\n", names.0, names.1);
        let mut expected = Vec::new();
        for (weight, (hold, approve, more)) in steps {
            let deadline = hold.map(|hold| hold + more);
            let early = hold.map(|hold| hold / 2);
            expected.push(StepSpec {
                hold: hold.map(Duration::from_secs),
                early: early.map(Duration::from_secs),
                approve,
                deadline: deadline.map(Duration::from_secs),
                ..StepSpec::at(Percent::whole(weight))
            });
            text.push_str("- { weight: ");
            text.push_str(&weight.to_string());
            for (key, value) in [("hold", hold), ("early", early), ("deadline", deadline)] {
                if let Some(seconds) = value {
                    text.extend([", ", key, ": ", &seconds.to_string(), "s"]);
                }
            }
            text.extend([", approve: ", &approve.to_string(), " }\n"]);
        }
        match parse(&text) {
            Ok(file) => {
                prop_assert_eq!(file.overrides.namespace, Some(names.0));
                prop_assert_eq!(file.app, names.1);
                prop_assert_eq!(file.overrides.steps, Some(expected));
            }
            // A name such as 9e999 is a number too large to be one.
            Err(error) => prop_assert!(error.to_string().ends_with("is not a finite number")),
        }
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
