use super::{assert_errors, parse};

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_known_one() {
    assert_errors(&[
        (
            "app: shop\nstep: [10]\n",
            "canary.yaml:2:1: unknown key 'step'; did you mean 'steps'?",
        ),
        (
            "app: shop\non_unknown: hold\n",
            "canary.yaml:2:1: unknown key 'on_unknown'; did you mean 'onUnknown'?",
        ),
        ("app: shop\nfoo: 1\n", "canary.yaml:2:1: unknown key 'foo'"),
        (
            "app: shop\nhold: 5m\nchecks:\n  - latency: { quantile: 0.5 }\n  - pods:\n      maxRestart: 3\n",
            "canary.yaml:6:7: unknown key 'maxRestart' in checks[1].pods; did you mean 'maxRestarts'?",
        ),
        (
            "app: shop\nsteps:\n  - { weight: 10, holt: 5m }\n",
            "canary.yaml:3:19: unknown key 'holt' in steps[0]; did you mean 'hold'?",
        ),
        (
            "app: shop\npromote: { stategy: swap }\n",
            "canary.yaml:2:12: unknown key 'stategy' in promote; did you mean 'strategy'?",
        ),
        (
            "app: shop\nload: { rate: 1/s, requests: [{ path: /, boddy: 1 }] }\n",
            "canary.yaml:2:42: unknown key 'boddy' in load.requests[0]; did you mean 'body'?",
        ),
        (
            "app: shop\nrouter: { isto: { virtualService: a } }\n",
            "canary.yaml:2:11: unknown key 'isto' in router; did you mean 'istio'?",
        ),
        (
            "app: shop\nrouter: replica\n",
            "canary.yaml:2:9: router: unknown value 'replica'; did you mean 'replicas'?",
        ),
        (
            "app: shop\nchecks: [latency: { quantile: 1, source: { ulr: { at: x } } }]\n",
            "canary.yaml:2:44: checks[0].latency.source: unknown value 'ulr'; did you mean 'url'?",
        ),
        (
            "app: shop\nchecks: [latency: { quantile: 1, source: { url: { to: x } } }]\n",
            "canary.yaml:2:51: unknown key 'to' in checks[0].latency.source.url",
        ),
        (
            "app: shop\nonFailure: holt\n",
            "canary.yaml:2:12: onFailure: unknown value 'holt'; did you mean 'hold'?",
        ),
    ]);
}

#[test]
fn a_missing_or_empty_key_is_named() {
    assert_errors(&[
        ("steps: [10]\n", "canary.yaml:1:1: missing key 'app'"),
        (
            "app: shop\nsteps: [{ hold: 5m }]\n",
            "canary.yaml:2:9: missing key 'weight' in steps[0]",
        ),
        (
            "app: shop\nrouter: istio\n",
            "canary.yaml:2:9: missing key 'virtualService' in router.istio",
        ),
        (
            "app: shop\nrouter: { istio: }\n",
            "canary.yaml:2:11: missing key 'virtualService' in router.istio",
        ),
        (
            "app: shop\nload: { rate: 1/s }\n",
            "canary.yaml:2:7: missing key 'requests' in load",
        ),
        (
            "app: shop\nsteps:\n  # - 10\nhold: 5m\n",
            "canary.yaml:2:6: steps: no value is given: write one, or remove the key",
        ),
        (
            "app: shop\nrouter: ~\n",
            "canary.yaml:2:9: router: no value is given: write one, or remove the key",
        ),
        (
            "app:\n",
            "canary.yaml:1:4: app: no value is given: write one, or remove the key",
        ),
        (
            "app: shop\nrouter: {}\n",
            "canary.yaml:2:9: router: exactly one key is needed, found none; known: replicas, istio",
        ),
        (
            "app: shop\nrouter:\n  replicas: {}\n  istio: { virtualService: a }\n",
            "canary.yaml:3:3: router: exactly one key is allowed, found 2: replicas, istio",
        ),
        (
            "app: shop\nrouter: [replicas]\n",
            "canary.yaml:2:9: router: expected one of replicas, istio, found a list",
        ),
        (
            "app: shop\nchecks: { pods: {} }\n",
            "canary.yaml:2:9: checks: expected a list, found a map",
        ),
        (
            "app: shop\nchecks: [3]\n",
            "canary.yaml:2:10: checks[0]: expected one of pods, latency, found the number 3",
        ),
    ]);
}

#[test]
fn steps_that_cannot_be_are_refused_where_they_stand() {
    assert_errors(&[
        (
            "app: a\nsteps: []\n",
            "canary.yaml:2:8: steps: the list of steps is empty",
        ),
        (
            "app: a\nsteps: [10, 50, 20]\n",
            "canary.yaml:2:17: steps[2]: steps must rise: 20% comes after 50%",
        ),
        (
            "app: a\nsteps: [10, 10]\n",
            "canary.yaml:2:13: steps[1]: steps must rise: 10% comes after 10%",
        ),
        (
            "app: a\nsteps: [0, 10]\n",
            "canary.yaml:2:9: steps[0]: a step of 0% does nothing",
        ),
        (
            "app: a\nsteps: [101]\n",
            "canary.yaml:2:9: steps[0]: '101' is not a weight: must be from 0 to 100",
        ),
        (
            "app: a\nsteps: [-1]\n",
            "canary.yaml:2:9: steps[0]: '-1' is not a weight: write a number such as 25, 25% or 0.5%",
        ),
        (
            "app: a\nsteps: [abc]\n",
            "canary.yaml:2:9: steps[0]: 'abc' is not a weight: write a number such as 25, 25% or 0.5%",
        ),
        (
            "app: a\nsteps: [{ weight: 101% }]\n",
            "canary.yaml:2:19: steps[0].weight: '101%' is not a weight: must be from 0 to 100",
        ),
        (
            "app: a\nsteps: [[10]]\n",
            "canary.yaml:2:9: steps[0]: expected a weight such as 25%, or a map with 'weight', found a list",
        ),
        (
            "app: a\nsteps: 10,50\n",
            "canary.yaml:2:8: steps: expected a list, found the text '10,50'",
        ),
        (
            "app: a\nsteps: [.nan]\n",
            "canary.yaml:2:9: '.nan' is not a finite number",
        ),
        (
            "app: a\nsteps: [010]\n",
            "canary.yaml:2:9: steps[0]: '010' can be read as decimal and as octal: drop the leading zero, or quote it",
        ),
        (
            "app: a\nhold: 1h\ndeadline: 30m\n",
            "canary.yaml:3:11: the step at 10% holds for 1h but has a deadline of 30m",
        ),
        (
            "app: a\nsteps:\n- { weight: 50, hold: 1m, early: 2m }\n",
            "canary.yaml:3:34: the step at 50% may end early after 2m but holds for 1m",
        ),
        (
            "app: a\nsteps:\n- 10\n- { weight: 50, hold: 1h, deadline: 30m }\n",
            "canary.yaml:4:37: the step at 50% holds for 1h but has a deadline of 30m",
        ),
    ]);
}

#[test]
fn a_value_of_the_wrong_form_is_refused_where_it_stands() {
    assert_errors(&[
        (
            "app: Shop\n",
            "canary.yaml:1:6: app: 'Shop' is not a name: lower-case letters, digits, '-' and '.' only",
        ),
        (
            "app: a\nnamespace: 1.10\n",
            "canary.yaml:2:12: namespace: '1.10' is not a name: lower-case letters, digits and '-' only",
        ),
        (
            "app: a\nhold: 30\n",
            "canary.yaml:2:7: hold: '30' is not a duration: add a unit, such as 30s",
        ),
        (
            "app: a\nhold: 1M\n",
            "canary.yaml:2:7: hold: '1M' is not a duration: 'M' means month and more than 30 days is refused; a minute is 'm'",
        ),
        (
            "app: a\nhold: -5s\n",
            "canary.yaml:2:7: hold: '-5s' is not a duration: it must not be negative",
        ),
        (
            "app: a\nhold: .NaN\n",
            "canary.yaml:2:7: '.NaN' is not a finite number",
        ),
        (
            "app: a\nhold: [5m]\n",
            "canary.yaml:2:7: hold: expected text, found a list",
        ),
        (
            "app: a\ninterval: 0s\n",
            "canary.yaml:2:11: interval: '0s' is too short: at least 1s is needed",
        ),
        (
            "app: a\npromote: { auto: yes }\n",
            "canary.yaml:2:18: promote.auto: expected true or false, found the text 'yes'",
        ),
        (
            "app: a\nchecks: [pods: { maxRestarts: three }]\n",
            "canary.yaml:2:31: checks[0].pods.maxRestarts: expected a whole number from 0 to 4294967295, found the text 'three'",
        ),
        (
            "app: a\nchecks: [pods: { maxRestarts: -1 }]\n",
            "canary.yaml:2:31: checks[0].pods.maxRestarts: expected a whole number from 0 to 4294967295, found the number -1",
        ),
        (
            "app: a\nchecks: [pods: { maxRestarts: 1.5 }]\n",
            "canary.yaml:2:31: checks[0].pods.maxRestarts: expected a whole number from 0 to 4294967295, found the number 1.5",
        ),
        (
            "app: a\npromote: [swap]\n",
            "canary.yaml:2:10: promote: expected a map, found a list",
        ),
        (
            "app: a\nchecks: [pods: [3]]\n",
            "canary.yaml:2:16: checks[0].pods: expected a map, found a list",
        ),
        (
            "app: a\nchecks: [latency: { quantile: 1, severity: wrn }]\n",
            "canary.yaml:2:44: checks[0].latency.severity: unknown value 'wrn'; did you mean 'warn'?",
        ),
        (
            "app: a\nchecks: [latency: { quantile: 1, source: url }]\n",
            "canary.yaml:2:42: checks[0].latency.source: 'url' needs options: write url: { … }",
        ),
        (
            "app: a\nchecks: [pods: 3]\n",
            "canary.yaml:2:16: checks[0].pods: expected a map, found the number 3",
        ),
        (
            "app: a\nchecks:\n- latency: { quantile: 95 }\n",
            "canary.yaml:3:12: checks[0].latency: quantile is not between 0 and 1",
        ),
    ]);
}

#[test]
fn a_load_that_cannot_be_sent_is_refused_where_it_stands() {
    assert_errors(&[
        (
            "app: a\nload: { rate: fast, requests: [{ path: / }] }\n",
            "canary.yaml:2:15: load.rate: 'fast' is not a rate: write requests per second, minute or hour, such as 10/s or 300/m",
        ),
        (
            "app: a\nload: { rate: 1, requests: [] }\n",
            "canary.yaml:2:28: load.requests: at least one request is needed",
        ),
        (
            "app: a\nload: { rate: 1, requests: [{ path: health }] }\n",
            "canary.yaml:2:37: load.requests[0].path: 'health' is not a path: it begins with / and has no spaces (write them as %20)",
        ),
        (
            "app: a\nload: { rate: 1, requests: [{ path: /, method: get }] }\n",
            "canary.yaml:2:48: load.requests[0].method: 'get' is not a method; known: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
        ),
    ]);
}

#[test]
fn several_routers_are_two_at_least_and_instead_of_one() {
    assert_errors(&[
        (
            "app: a\nrouters: [replicas]\n",
            "canary.yaml:2:10: routers: name two at least, or use `router`",
        ),
        (
            "app: a\nrouter: replicas\nrouters: [replicas, replicas]\n",
            "canary.yaml:3:10: routers: give this or `router`, not both",
        ),
        (
            "app: a\nrouters:\n  - replicas\n  - isto: {}\n",
            "canary.yaml:4:5: unknown key 'isto' in routers[1]; did you mean 'istio'?",
        ),
    ]);
    let file = parse("app: a\nrouters: [istio: { virtualService: a }, replicas]\n").unwrap();
    assert_eq!(file.router.unwrap().0.name, "istio+replicas");
}

#[test]
fn an_error_knows_the_next_thing_to_try_and_the_line() {
    let error = parse("app: shop\nrouter: { isto: {} }\n").unwrap_err();
    assert_eq!(error.hint(), Some("known: replicas, istio"));
    assert_eq!(
        error.snippet(),
        Some("2 | router: { isto: {} }\n              ^")
    );
}

#[test]
fn text_from_the_file_cannot_break_the_line_or_fill_the_screen() {
    let long = "x".repeat(500);
    for text in [
        "app: \"a\\nb\\e[31m\"\n".to_owned(),
        format!("app: a\n\"{long}\\n\": 1\n"),
        format!("app: a\nhold: \"{long}\\u202e\"\n"),
        format!("app: {long}\n"),
    ] {
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.chars().all(|c| !c.is_control()), "{error:?}");
        assert!(!error.contains('\u{202e}'));
        assert!(error.len() < 250, "{error}");
    }
}
