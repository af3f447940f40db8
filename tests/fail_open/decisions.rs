//! A7: a limit is compared the right way round, with fractions; one sample decides nothing; what only
//! warns does nothing; the limit that is given is the one that is used.

use canaryctl::domain::{
    check::{Memory, Number, Rule, Sample},
    judge::judge,
    release::{Cause, Outcome},
    verdict::{CheckResult, Unknown, Verdict},
};
use serde_json::json;

use super::{
    PAGES,
    arithmetic::{reading, spec, watching},
    asking, prometheus, release, scrape,
};
use crate::support::{Bench, auto, check};

/// Judges the same number, look after look, and returns the last word.
fn judged(number: Number, value: f64, looks: i64) -> CheckResult {
    let (spec, mut memory) = (spec(Rule::Number(number)), Memory::default());
    let seen = reading(Sample::Number(value));
    let mut last = None;
    for at in 1..=looks {
        last = Some(judge(&spec, &mut memory, &seen, watching(at * 10)));
    }
    last.unwrap()
}

#[test]
fn a7_exactly_at_the_limit_is_within_it() {
    let (max, min) = (0.05, 0.95);
    let most = Number {
        max: Some(max),
        consecutive: 1,
        ..Number::default()
    };
    let least = Number {
        min: Some(min),
        consecutive: 1,
        ..Number::default()
    };
    for (number, value, verdict) in [
        (most, 0.05, Verdict::Healthy),
        (most, 0.050_000_001, Verdict::Unhealthy),
        (most, 0.0, Verdict::Healthy),
        (most, 12.0, Verdict::Unhealthy),
        (most, 1e-05, Verdict::Healthy),
        (least, 0.95, Verdict::Healthy),
        (least, 0.949_999, Verdict::Unhealthy),
        (least, 1.0, Verdict::Healthy),
        (least, 0.0, Verdict::Unhealthy),
    ] {
        let result = judged(number, value, 1);
        assert_eq!(result.verdict, verdict, "{value}: {result:?}");
        assert_eq!(result.value, Some(value));
    }
}

#[test]
fn a7_fractions_are_compared_as_fractions() {
    for (value, max, verdict) in [
        (12.0, 5.0, Verdict::Unhealthy),
        (5.9, 5.0, Verdict::Unhealthy),
        (4.999_9, 5.0, Verdict::Healthy),
        (9.0, 10.0, Verdict::Healthy),
        (1e9, 5.0, Verdict::Unhealthy),
    ] {
        let number = Number {
            max: Some(max),
            consecutive: 1,
            ..Number::default()
        };
        let result = judged(number, value, 1);
        assert_eq!(result.verdict, verdict, "{value} and {max}: {result:?}");
        assert!(result.text.contains(&value.to_string()), "{}", result.text);
    }
}

#[test]
fn a7_one_bad_look_decides_nothing_unless_that_is_asked_for() {
    let number = Number {
        max: Some(5.0),
        consecutive: 3,
        ..Number::default()
    };
    for (looks, verdict) in [
        (1, Verdict::Unknown),
        (2, Verdict::Unknown),
        (3, Verdict::Unhealthy),
    ] {
        let result = judged(number, 6.0, looks);
        assert_eq!(result.verdict, verdict, "{looks}: {result:?}");
        let said = format!("6 is above 5 ({looks} evaluations in a row)");
        assert!(result.text.contains(&said), "{}", result.text);
    }
    assert_eq!(judged(number, 6.0, 1).unknown, Some(Unknown::Pending));
}

#[test]
fn a7_one_bad_look_among_good_ones_never_adds_up() {
    let spec = spec(Rule::Condition { consecutive: 2 });
    let mut memory = Memory::default();
    // One of six: as often as that, a look may fail for reasons of its own.
    for at in 1..=60 {
        let holds = at % 6 != 0;
        let seen = reading(Sample::Holds(holds, "status".into()));
        let result = judge(&spec, &mut memory, &seen, watching(at * 10));
        let wanted = if holds {
            Verdict::Healthy
        } else {
            Verdict::Unknown
        };
        assert_eq!(result.verdict, wanted, "look {at}: {result:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a7_a_check_that_warns_rolls_nothing_back() {
    for metrics in [prometheus(), scrape(PAGES)] {
        let bench = Bench::new("metrics-bad");
        let options = json!({"max": "0.5%", "severity": "warn"});
        let mut plan = asking(Some(metrics), vec![check("errorRate", &options)]);
        plan.checks.push(canaryctl::health::pods::default_check());
        for step in &mut plan.steps {
            step.hold = std::time::Duration::from_secs(600);
            step.deadline = std::time::Duration::from_secs(1200);
        }
        let (end, errors) = release(&bench, plan, "error rate").await;
        assert_eq!(end.outcome, Outcome::Promoted, "{}", bench.told());
        assert!(
            errors.iter().any(|r| r.verdict == Verdict::Unhealthy),
            "{errors:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a7_the_limit_that_is_given_is_the_one_that_is_used() {
    // The canary fails 3 %.
    for (max, outcome) in [("1%", Outcome::RolledBack), ("20%", Outcome::Promoted)] {
        for metrics in [prometheus(), scrape(PAGES)] {
            let bench = Bench::new("metrics-bad");
            let mut plan = asking(
                Some(metrics),
                vec![check("errorRate", &json!({"max": max}))],
            );
            for step in &mut plan.steps {
                step.deadline = std::time::Duration::from_secs(3600);
            }
            let (end, errors) = release(&bench, plan, "error rate").await;
            assert_eq!(end.outcome, outcome, "{max}: {}", bench.told());
            let limit = format!("≤ {max}");
            assert!(errors.iter().all(|r| r.limit == limit), "{errors:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a7_an_inverted_comparison_would_be_seen() {
    // A good canary passes and a bad one does not, by each way to say a limit.
    let share = |min: &str| {
        json!({
            "name": "share", "path": "/metrics", "min": min,
            "good": "body.successfulTransactions + body.fraudDetected",
            "total": "body.totalTransactions",
        })
    };
    let number = |key: &str, limit: f64| json!({"name": "share", "path": "/metrics", "value": "double(body.failedTransactions) / double(body.totalTransactions + 1)", key: limit});
    for (scenario, options, outcome) in [
        ("metrics", share("90%"), Outcome::Promoted),
        ("errors-at-25", share("95%"), Outcome::RolledBack),
        ("metrics", number("max", 0.2), Outcome::Promoted),
        ("metrics-bad", number("max", 0.001), Outcome::RolledBack),
        ("metrics-bad", number("min", 0.9), Outcome::RolledBack),
    ] {
        let bench = Bench::new(scenario);
        let mut plan = asking(None, vec![check("http", &options)]);
        for step in &mut plan.steps {
            step.deadline = std::time::Duration::from_secs(1800);
        }
        let end = bench.drive(auto(), plan).await.unwrap();
        assert_eq!(
            end.outcome,
            outcome,
            "{scenario} {options}: {}",
            bench.told()
        );
        assert!(bench.results("share").len() > 2, "{}", bench.told());
        if outcome == Outcome::RolledBack {
            assert_eq!(end.cause, Some(Cause::Unhealthy), "{}", end.text);
        }
    }
}
