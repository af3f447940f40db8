use crate::config::{
    Overrides, RESERVED, VARIABLES, parse_steps, parse_strategy, unknown_variables,
};

/// What the environment says when it has these variables.
pub(super) fn env(pairs: &[(&str, &str)]) -> Result<Overrides, String> {
    let get = |name: &str| {
        let pair = pairs.iter().find(|(key, _)| *key == name)?;
        Some(pair.1.to_owned())
    };
    Overrides::from_env(&get).map_err(|error| error.to_string())
}

#[test]
fn a_bad_variable_is_named() {
    for (name, value, error) in [
        (
            "CANARYCTL_STEPS",
            "50,10",
            "CANARYCTL_STEPS: steps must rise: 10% comes after 50%",
        ),
        (
            "CANARYCTL_HOLD",
            "5",
            "CANARYCTL_HOLD: '5' is not a duration: add a unit, such as 5s",
        ),
        (
            "CANARYCTL_INTERVAL",
            "1ms",
            "CANARYCTL_INTERVAL: '1ms' is too short: at least 1s is needed",
        ),
        (
            "CANARYCTL_ON_UNKNOWN",
            "advance",
            "CANARYCTL_ON_UNKNOWN: unknown value 'advance'; known: rollback, hold",
        ),
        (
            "CANARYCTL_PROMOTE",
            "Template",
            "CANARYCTL_PROMOTE: unknown value 'Template'; did you mean 'template'?",
        ),
        (
            "CANARYCTL_NAMESPACE",
            "a b",
            "CANARYCTL_NAMESPACE: 'a b' is not a name: lower-case letters, digits and '-' only",
        ),
    ] {
        assert_eq!(env(&[(name, value)]), Err(error.to_owned()));
    }
}

#[test]
fn every_variable_of_the_table_sets_something() {
    let values = [
        "orion", "a", "b", "c", "5:1m,50", "1m", "5s", "hold", "hold", "hold", "swap",
    ];
    assert_eq!(values.len(), VARIABLES.len());
    for (variable, value) in VARIABLES.iter().zip(values) {
        assert_ne!(
            env(&[(variable.name, value)]).unwrap(),
            Overrides::default()
        );
        assert!(variable.about.len() < 80 && !variable.about.ends_with('.'));
    }
    let all = env(&VARIABLES
        .iter()
        .map(|variable| variable.name)
        .zip(values)
        .collect::<Vec<_>>())
    .unwrap();
    assert_eq!(all.steps, Some(parse_steps("5:1m,50").unwrap()));
    assert_eq!(all.promote, Some(parse_strategy("swap").unwrap()));
    assert_eq!(all.clone().overlay(Overrides::default()), all);
    assert_eq!(Overrides::default().overlay(all.clone()), all);
}

#[test]
fn an_unknown_variable_is_a_warning_with_the_nearest_one() {
    let reserved = RESERVED.iter().map(|(name, _)| *name);
    let names = [
        "CANARYCTL_HOLDS",
        "CANARYCTL_XYZZY",
        "PATH",
        "CANARYCTL_STEPS",
    ];
    assert_eq!(
        unknown_variables(names.into_iter().chain(reserved)),
        [
            "unknown variable 'CANARYCTL_HOLDS' is ignored; did you mean 'CANARYCTL_HOLD'?",
            "unknown variable 'CANARYCTL_XYZZY' is ignored",
        ]
    );
}
