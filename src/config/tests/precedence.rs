use std::time::Duration;

use super::{Check, FULL, Metrics, Router, TestFile, check, parse, variables::env};
use crate::{
    config::{Overrides, Settings},
    domain::{
        plan::{Cleanup, OnTrouble, Presence, Promotion, Step, Strategy},
        weight::Percent,
    },
};
use serde_json::json;

type TestSettings = Settings<Router, Check, Metrics>;

fn resolve(
    flags: Overrides,
    env: Overrides,
    file: Option<TestFile>,
) -> Result<TestSettings, String> {
    Settings::resolve(Some("shop"), flags, env, file).map_err(|error| error.to_string())
}

fn none() -> Overrides {
    Overrides::default()
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

#[test]
fn without_any_source_the_defaults_hold() {
    let settings = resolve(none(), none(), None).unwrap();
    let weights: Vec<_> = settings.steps.iter().map(|step| step.weight).collect();
    assert_eq!(weights, [10, 25, 50, 75, 100].map(Percent::whole));
    for step in &settings.steps {
        assert_eq!((step.hold, step.deadline), (minutes(5), minutes(15)));
        assert!(!step.approve);
    }
    assert_eq!(settings.interval, Duration::from_secs(10));
    assert_eq!(settings.ready_timeout, minutes(5));
    assert_eq!(settings.promote_timeout, minutes(10));
    assert_eq!(settings.drain, Duration::from_secs(30));
    assert_eq!(settings.warmup, Duration::from_secs(10));
    assert!(settings.patient, "no deadline was given");
    assert_eq!(settings.on_unknown, None);
    assert_eq!(settings.on_failure, OnTrouble::Rollback);
    assert_eq!(settings.on_interrupt, OnTrouble::Rollback);
    assert_eq!(
        settings.promote,
        Promotion {
            strategy: Strategy::Template,
            canary: Cleanup::ScaleDown,
            auto: true
        }
    );
    assert_eq!(settings.router, None);
    assert_eq!(settings.namespace, None);
    assert_eq!(settings.load, None);
    let names: Vec<_> = settings.checks.iter().map(|check| &check.0.name).collect();
    assert_eq!(names, ["pods"]);
}

#[test]
fn a_file_with_only_the_app_means_the_defaults() {
    let bare = resolve(none(), none(), None).unwrap();
    let file = parse("app: shop\n").unwrap();
    assert_eq!(resolve(none(), none(), Some(file)).unwrap(), bare);
    let file = parse("app: shop\nchecks: []\n").unwrap();
    assert_eq!(resolve(none(), none(), Some(file)).unwrap(), bare);
}

#[test]
fn every_key_of_the_file_arrives() {
    let file = parse(FULL).unwrap();
    let settings = resolve(none(), none(), Some(file)).unwrap();
    assert_eq!(settings.namespace.as_deref(), Some("orion"));
    assert_eq!(settings.stable.as_deref(), Some("shop-stable"));
    assert_eq!(settings.canary.as_deref(), Some("shop-canary"));
    assert_eq!(settings.service.as_deref(), Some("shop"));
    assert_eq!(settings.router.as_ref().unwrap().0.name, "istio");
    assert!(settings.create_route);
    let steps: Vec<_> = settings
        .steps
        .iter()
        .map(|step| {
            (
                step.weight.to_string(),
                step.hold,
                step.deadline,
                step.approve,
            )
        })
        .collect();
    assert_eq!(
        steps,
        [
            ("5%".to_owned(), minutes(2), minutes(20), false),
            ("25%".to_owned(), minutes(2), minutes(20), false),
            ("50%".to_owned(), minutes(10), minutes(60), true),
            ("100%".to_owned(), minutes(2), minutes(20), false),
        ]
    );
    assert_eq!(settings.interval, Duration::from_secs(15));
    assert_eq!(settings.ready_timeout, minutes(4));
    assert_eq!(settings.promote_timeout, minutes(9));
    assert_eq!(settings.drain, Duration::from_secs(45));
    assert_eq!(settings.warmup, Duration::from_secs(20));
    let names: Vec<_> = settings.checks.iter().map(|check| &check.0.name).collect();
    assert_eq!(names, ["pods", "latency"]);
    assert_eq!(settings.on_unknown, Some(OnTrouble::Rollback));
    assert_eq!(settings.on_failure, OnTrouble::Hold);
    assert_eq!(settings.on_interrupt, OnTrouble::Hold);
    assert_eq!(settings.promote.strategy, Strategy::Swap);
    assert_eq!(settings.promote.canary, Cleanup::Delete);
    assert!(!settings.promote.auto);
    let load = settings.load.as_ref().unwrap();
    assert!((load.rate - 10.0).abs() < f64::EPSILON);
    assert_eq!(load.requests.len(), 2);
    let checks = vec![check("pods", json!({}))];
    assert_eq!(
        settings
            .plan(checks, None, Presence::Attended)
            .unwrap()
            .steps,
        settings.steps
    );
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let file = || parse(FULL).unwrap();
    let variables = env(&[
        ("CANARYCTL_NAMESPACE", "from-env"),
        ("CANARYCTL_STABLE", "stable-env"),
        ("CANARYCTL_STEPS", "10,30"),
        ("CANARYCTL_ON_FAILURE", "rollback"),
        ("CANARYCTL_PROMOTE", "none"),
        ("CANARYCTL_HOLD", ""),
    ])
    .unwrap();
    let flags = Overrides {
        namespace: Some("from-flag".to_owned()),
        interval: Some(Duration::from_secs(3)),
        ..none()
    };
    let settings = resolve(flags, variables, Some(file())).unwrap();
    assert_eq!(settings.namespace.as_deref(), Some("from-flag"));
    assert_eq!(settings.stable.as_deref(), Some("stable-env"));
    assert_eq!(settings.canary.as_deref(), Some("shop-canary"));
    assert_eq!(settings.interval, Duration::from_secs(3));
    assert_eq!(settings.on_failure, OnTrouble::Rollback);
    assert_eq!(settings.promote.strategy, Strategy::None);
    assert_eq!(settings.promote.canary, Cleanup::Delete);
    assert_eq!(settings.steps.len(), 2);
    assert_eq!(settings.steps[0].hold, minutes(2));
}

#[test]
fn a_hold_from_a_stronger_source_replaces_the_holds_of_steps() {
    let settings = resolve(none(), none(), Some(parse(FULL).unwrap())).unwrap();
    let early: Vec<_> = settings.steps.iter().map(|step| step.early).collect();
    let two = Some(minutes(2));
    assert_eq!(early, [two, two, Some(minutes(3)), two]);
    let flags = Overrides {
        hold: Some(minutes(1)),
        ..none()
    };
    let settings = resolve(flags.clone(), none(), Some(parse(FULL).unwrap())).unwrap();
    let in_time = |step: &Step| step.early == Some(minutes(1));
    assert!(settings.steps.iter().all(in_time));
    assert!(settings.steps.iter().all(|step| step.hold == minutes(1)));
    assert!(settings.steps[2].approve);
    let steps = env(&[("CANARYCTL_STEPS", "10:7m,20"), ("CANARYCTL_HOLD", "3m")]).unwrap();
    let settings = resolve(none(), steps.clone(), None).unwrap();
    assert_eq!(settings.steps[0].hold, minutes(7));
    assert_eq!(settings.steps[1].hold, minutes(3));
    let settings = resolve(flags, steps, None).unwrap();
    assert_eq!(settings.steps[0].hold, minutes(1));
}

#[test]
fn deadlines_leave_at_least_ten_minutes_after_the_hold() {
    for (hold, deadline) in [(0, 10), (1, 11), (5, 15), (6, 18), (60, 180)] {
        let flags = Overrides {
            hold: Some(minutes(hold)),
            ..none()
        };
        let settings = resolve(flags, none(), None).unwrap();
        assert_eq!(settings.steps[0].deadline, minutes(deadline));
    }
}

#[test]
fn an_app_named_twice_must_be_the_same() {
    let file = || parse("app: cart\n").unwrap();
    let error = TestSettings::resolve(Some("shop"), none(), none(), Some(file())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the command line names the app 'shop' but canary.yaml is for 'cart'"
    );
    assert!(error.hint().is_some());
    let settings = TestSettings::resolve(None, none(), none(), Some(file())).unwrap();
    assert_eq!(settings.app, "cart");
    assert_eq!(
        TestSettings::resolve(None, none(), none(), None)
            .unwrap_err()
            .to_string(),
        "no app is named"
    );
    assert_eq!(
        TestSettings::resolve(Some("a/b"), none(), none(), None)
            .unwrap_err()
            .to_string(),
        "app: 'a/b' is not a name: lower-case letters, digits, '-' and '.' only"
    );
}

#[test]
fn what_contradicts_itself_only_together_is_refused_when_resolved_or_planned() {
    let flags = Overrides {
        stable: Some("same".to_owned()),
        ..none()
    };
    let variables = env(&[("CANARYCTL_CANARY", "same")]).unwrap();
    assert_eq!(
        resolve(flags, variables, None),
        Err("stable and canary are both 'same'".to_owned())
    );
    let flags = Overrides {
        service: Some("a.b".to_owned()),
        ..none()
    };
    assert_eq!(
        resolve(flags, none(), None),
        Err("service: 'a.b' is not a name: lower-case letters, digits and '-' only".to_owned())
    );
    let flags = Overrides {
        hold: Some(minutes(90)),
        ..none()
    };
    let settings = resolve(flags, none(), Some(parse(FULL).unwrap())).unwrap();
    assert_eq!(
        settings
            .plan(Vec::new(), None, Presence::Attended)
            .unwrap_err()
            .to_string(),
        "the step at 5% holds for 1h 30m but has a deadline of 20m"
    );
    let flags = Overrides {
        steps: Some(Vec::new()),
        ..none()
    };
    let settings = resolve(flags, none(), None).unwrap();
    assert_eq!(
        settings
            .plan(Vec::new(), None, Presence::Attended)
            .unwrap_err()
            .to_string(),
        "the list of steps is empty"
    );
    let twice = vec![check("pods", json!({})), check("pods", json!({}))];
    let settings = resolve(none(), none(), None).unwrap();
    assert_eq!(
        settings
            .plan(twice, None, Presence::Attended)
            .unwrap_err()
            .to_string(),
        "two checks are called 'pods'"
    );
}

#[test]
fn without_evidence_a_person_decides_and_where_nobody_is_the_canary_goes_out() {
    use OnTrouble::{Hold, Rollback};
    let given = |on_unknown| Overrides {
        on_unknown,
        ..none()
    };
    for (flag, variable, presence, wanted, unset) in [
        (None, None, Presence::Attended, Hold, true),
        (None, None, Presence::Unattended, Rollback, true),
        (None, Some(Hold), Presence::Unattended, Hold, false),
        (None, Some(Rollback), Presence::Attended, Rollback, false),
        (
            Some(Hold),
            Some(Rollback),
            Presence::Unattended,
            Hold,
            false,
        ),
        (
            Some(Rollback),
            Some(Hold),
            Presence::Attended,
            Rollback,
            false,
        ),
    ] {
        let settings = resolve(given(flag), given(variable), None).unwrap();
        let mut plan = settings.plan(Vec::new(), None, presence).unwrap();
        assert_eq!((plan.on_unknown, plan.on_unknown_unset), (wanted, unset));
        // A tick has nobody, whoever starts it; what was given stays.
        plan.attend(Presence::Unattended);
        let expected = if unset { Rollback } else { wanted };
        assert_eq!(plan.on_unknown, expected, "{flag:?} {variable:?}");
    }
}

#[test]
fn who_goes_on_with_a_run_brings_what_was_never_given() {
    use OnTrouble::{Hold, Rollback};
    let plan = |on_unknown, presence| {
        let given = Overrides {
            on_unknown,
            ..none()
        };
        let settings = resolve(given, none(), None).unwrap();
        settings.plan(Vec::new(), None, presence).unwrap()
    };
    for (recorded, resuming, wanted) in [
        (
            plan(None, Presence::Attended),
            plan(None, Presence::Unattended),
            Rollback,
        ),
        (
            plan(None, Presence::Unattended),
            plan(None, Presence::Attended),
            Hold,
        ),
        (
            plan(None, Presence::Attended),
            plan(Some(Hold), Presence::Unattended),
            Hold,
        ),
        (
            plan(Some(Hold), Presence::Attended),
            plan(None, Presence::Unattended),
            Hold,
        ),
        (
            plan(Some(Hold), Presence::Attended),
            plan(Some(Rollback), Presence::Unattended),
            Hold,
        ),
    ] {
        let mut run = recorded;
        run.hand_over(&resuming);
        assert_eq!(run.on_unknown, wanted, "{resuming:?}");
    }
}
