use std::fmt::Write as _;

use serde_json::json;

use super::{assert_errors, parse};
use crate::domain::weight::Percent;

#[test]
fn words_that_yaml_takes_for_something_else_stay_names() {
    for (text, name) in [
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("true", "true"),
        ("012", "012"),
        ("1.10", "1.10"),
        ("1e3", "1e3"),
        ("0x1f", "0x1f"),
        ("'null'", "null"),
        ("!!str 7", "7"),
        ("7 # seven", "7"),
    ] {
        let file = parse(&format!("# café ☕\napp: {text}\n")).unwrap();
        assert_eq!(file.app, name);
    }
    assert_eq!(parse("{ app: 1.10 }").unwrap().app, "1.10");
    assert_eq!(
        parse("\u{feff}app: 1.10\r\nhold: 5m\r\n").unwrap().app,
        "1.10"
    );
}

#[test]
fn anchors_aliases_and_merges_work_within_bounds() {
    let file = parse(
        "app: &name 1.10\nstable: *name\ncanary: shop-canary\nsteps:\n  - &first { weight: 10, hold: 1m }\n  - { <<: *first, weight: 20 }\n",
    )
    .unwrap();
    assert_eq!(file.overrides.stable.as_deref(), Some("1.10"));
    let steps = file.overrides.steps.unwrap();
    assert_eq!(steps[1].weight, Percent::whole(20));
    assert_eq!(steps[1].hold, steps[0].hold);
    let mut bomb = "app: a\nload:\n  rate: 1\n  requests:\n  - path: /\n    body:\n      a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        writeln!(bomb, "      a{level}: &a{level} [{below}]").unwrap();
    }
    let error = parse(&bomb).unwrap_err().to_string();
    assert!(
        error.ends_with("the file is too large or too deeply nested"),
        "{error}"
    );
    let error = parse(&format!("app: {}", "[".repeat(100_000))).unwrap_err();
    assert!(!error.to_string().contains('\n'));
}

#[test]
fn what_is_not_one_valid_document_is_refused_in_one_line() {
    assert_errors(&[
        ("", "canary.yaml:1:1: the file is empty"),
        ("# only a comment\n\n", "canary.yaml:1:1: the file is empty"),
        ("---\n", "canary.yaml:1:1: the file is empty"),
        ("null\n", "canary.yaml:1:1: the file is empty"),
        (
            "shop\n",
            "canary.yaml:1:1: expected a map, found the text 'shop'",
        ),
        (
            "- app: shop\n",
            "canary.yaml:1:1: expected a map, found a list",
        ),
        (
            "app: shop\n---\napp: cart\n",
            "canary.yaml:3:1: a second document begins here",
        ),
        (
            "app: shop\nhold: 5m\napp: cart\n",
            "canary.yaml:3:1: duplicate key 'app'",
        ),
        (
            "app: shop\npromote:\n\tauto: true\n",
            "canary.yaml:3:2: not valid YAML: tabs disallowed within this context (block indentation)",
        ),
        (
            "app: [shop\n",
            "canary.yaml:1:6: not valid YAML: unclosed bracket '['",
        ),
        (
            "app: 'shop\n",
            "canary.yaml:2:1: not valid YAML: invalid indentation in multiline quoted scalar",
        ),
        (
            "app: *nobody\n",
            "canary.yaml:1:6: the alias refers to no anchor above it",
        ),
        (
            "app: &a [*a]\n",
            "canary.yaml:1:10: an alias contains itself",
        ),
        (
            "app: !secret x\n",
            "canary.yaml:1:14: not valid YAML: unsupported tag `!secret`",
        ),
        ("? [a]\n: b\n", "canary.yaml:1:3: a key must be a word"),
        (
            "app: shop\nhold: 5m\n  drain: 1s\n",
            "canary.yaml:3:8: not valid YAML: mapping values are not allowed in this context",
        ),
        (
            "app: a\0b\n",
            "canary.yaml:1:7: not valid YAML: unexpected character: `\\u{0}'",
        ),
    ]);
}

#[test]
fn a_body_keeps_what_was_meant() {
    let file = parse(
        "app: a\nload:\n  rate: 1\n  requests:\n  - { path: /, body: { n: 1.50, on: on, no: no, yes: true, id: '012', none: null } }\n  - { path: /, body: '{\"raw\": 1}' }\n  - { path: /, body: [1, -2, 3.5] }\n",
    )
    .unwrap();
    let requests = file.load.unwrap().requests;
    assert_eq!(
        requests[0].body,
        Some(json!({"n": 1.5, "on": "on", "no": "no", "yes": true, "id": "012", "none": null}))
    );
    assert_eq!(
        requests[1].payload(),
        Some(("{\"raw\": 1}".to_owned(), "text/plain; charset=utf-8"))
    );
    assert_eq!(
        requests[2].payload(),
        Some(("[1,-2,3.5]".to_owned(), "application/json"))
    );
    assert_eq!(requests[2].method, "GET");
}
