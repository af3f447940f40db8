//! A6: numbers mean what they say: resets, units, many series, nothing to compare with.

use canaryctl::{
    analysis::meter::Totals,
    domain::{
        check::{CheckSpec, Memory, Number, Reading, Rule, Sample, Severity},
        judge::{Circumstances, judge},
        meters::{Counted, Counting, Meters, Moment, Witness},
        release::Outcome,
        verdict::{Unknown, Verdict},
    },
    health::presets::preset,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{PAGES, asking, prometheus, read, release, scrape};
use crate::support::{Bench, check};

pub(super) fn second(s: i64) -> Timestamp {
    Timestamp::from_second(1_767_603_600 + s).unwrap()
}

/// A look in the middle of a step of a release that began at second 0.
pub(super) fn watching(at: i64) -> Circumstances {
    Circumstances {
        steps: 3,
        moving: false,
        steady: true,
        now: second(at),
        started: second(0),
        step: 0,
        later: false,
        brake: None,
        weight: 0.1,
        next: Some(0.5),
        #[expect(clippy::cast_precision_loss, reason = "seconds of a test")]
        elapsed: at as f64,
        lag: 0.0,
        patience: 600.0,
        warming: 0.0,
        witness: Witness::Source,
        load: None,
    }
}

pub(super) fn spec(rule: Rule) -> CheckSpec {
    CheckSpec {
        name: "check".into(),
        probe: "test".into(),
        options: Value::Null,
        rule,
        severity: Severity::Rollback,
        on_unknown: None,
        pre: false,
    }
}

pub(super) fn reading(sample: Sample) -> [Reading; 1] {
    [Reading {
        subject: "pod".into(),
        sample,
    }]
}

fn counters(pod: &str, all: f64, bad: f64, quick: f64) -> Reading {
    Reading {
        subject: pod.to_owned(),
        sample: Sample::Totals {
            totals: Totals {
                all: Some(all),
                bad: Some(bad),
                buckets: vec![(0.5, quick), (f64::INFINITY, all)],
            },
            born: false,
        },
    }
}

fn look(meters: &mut Meters, at: i64, canary: Vec<Reading>) -> Counted {
    let seen = Counting {
        canary,
        stable: Vec::new(),
        asked: "a test".into(),
        witness: Witness::Source,
    };
    let moment = Moment {
        now: second(at),
        started: second(0),
        weight: 0.1,
        lag: 0.0,
    };
    meters.count(&seen, moment)
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

#[test]
fn a6_what_was_counted_before_the_run_does_not_count() {
    let mut meters = Meters::default();
    // A pod that is a year old and has failed half of its million requests.
    let first = look(&mut meters, 10, vec![counters("a", 1e6, 5e5, 1e6)]);
    assert!(close(first.canary.counts.all(), 0.0), "{first:?}");
    let then = look(
        &mut meters,
        20,
        vec![counters("a", 1e6 + 100.0, 5e5 + 1.0, 1e6 + 90.0)],
    );
    assert!(close(then.canary.counts.all(), 100.0), "{then:?}");
    assert!(close(then.canary.counts.bad(), 1.0), "{then:?}");
    assert_eq!(then.canary.buckets, [90.0, 100.0]);
}

#[test]
fn a6_a_counter_that_was_reset_hides_no_error() {
    let mut meters = Meters::default();
    look(
        &mut meters,
        10,
        vec![
            counters("a", 1000.0, 10.0, 1000.0),
            counters("b", 500.0, 0.0, 500.0),
        ],
    );
    // `a` was started anew: 40 requests since, 30 of them failed. The difference of the sums is negative.
    let seen = vec![
        counters("a", 40.0, 30.0, 10.0),
        counters("b", 520.0, 0.0, 520.0),
    ];
    let then = look(&mut meters, 20, seen);
    assert!(close(then.canary.counts.all(), 60.0), "{then:?}");
    assert!(close(then.canary.counts.bad(), 30.0), "{then:?}");
    assert_eq!(then.canary.buckets, [30.0, 60.0]);
}

#[test]
fn a6_restarts_from_before_the_run_are_not_the_releases() {
    let pods = spec(Rule::Pods { max_restarts: 3 });
    let pod = |restarts| {
        reading(Sample::Pod {
            ready: true,
            restarts,
            created: second(-86_400),
            ended: None,
        })
    };
    let mut memory = Memory::default();
    let old = judge(&pods, &mut memory, &pod(7), watching(10));
    assert_eq!(old.verdict, Verdict::Healthy, "{old:?}");
    assert!(old.text.contains("0 restarts"), "{}", old.text);
    let three = judge(&pods, &mut memory, &pod(10), watching(20));
    assert_ne!(three.verdict, Verdict::Unhealthy, "{three:?}");
    let four = judge(&pods, &mut memory, &pod(11), watching(30));
    assert_eq!(four.verdict, Verdict::Unhealthy, "{four:?}");
    assert!(four.text.contains('4'), "{}", four.text);
}

#[tokio::test(start_paused = true)]
async fn a6_a_query_with_many_results_is_a_wrong_question() {
    let bench = Bench::new("metrics");
    let query = "rate(http_requests_total{namespace=\"{{namespace}}\",pod=~\"{{pods}}\"}[1m])";
    let options = json!({"name": "unsummed", "query": query, "max": 1e300, "window": "10s"});
    let plan = asking(Some(prometheus()), vec![check("value", &options)]);
    let (end, results) = release(&bench, plan, "unsummed").await;
    assert_eq!((end.outcome, end.release.step), (Outcome::Paused, 0));
    assert!(results.iter().all(|r| r.verdict == Verdict::Unknown));
    // A rate needs two scrapes: at first there is no series.
    let asked = results.iter().filter(|r| r.unknown == Some(Unknown::Query));
    for result in asked.clone() {
        let said = "3 series where one is wanted; aggregate them, as with sum()";
        assert!(result.text.contains(said), "{}", result.text);
    }
    assert!(asked.count() > 5, "{results:?}");
}

#[test]
fn a6_buckets_in_milliseconds_are_seconds() {
    for (name, milliseconds) in [
        ("http", false),
        ("spring", false),
        ("nginx", false),
        ("traefik", false),
        ("istio", true),
        ("linkerd", true),
        ("envoy", true),
    ] {
        let preset = preset(name).unwrap();
        let seconds = if milliseconds { 0.001 } else { 1.0 };
        assert!(close(preset.unit, seconds), "{name}");
        assert_eq!(
            preset.buckets.contains("seconds"),
            !milliseconds || name == "istio" && !preset.buckets.ends_with("_seconds_bucket"),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a6_a_limit_in_milliseconds_means_milliseconds() {
    // Stable's p95 is about 240 ms, the canary's about 570 ms.
    for (max, outcome) in [("2000ms", Outcome::Promoted), ("0.4s", Outcome::RolledBack)] {
        for metrics in [prometheus(), scrape(PAGES)] {
            let bench = Bench::new("metrics-bad");
            let mut plan = asking(Some(metrics), vec![check("latency", &json!({"max": max}))]);
            for step in &mut plan.steps {
                step.deadline = std::time::Duration::from_secs(900);
            }
            let (end, latency) = release(&bench, plan, "p95 latency").await;
            assert_eq!(end.outcome, outcome, "{max}: {}", bench.told());
            let seen = latency.iter().filter_map(|r| r.value);
            let fits = seen.filter(|value| (0.45..0.75).contains(value)).count();
            assert!(fits > 0, "{latency:?}");
        }
    }
}

#[test]
fn a6_nothing_on_stable_is_nothing_to_compare_with() {
    let rule = spec(Rule::Number(Number {
        max_ratio: Some(1.5),
        consecutive: 1,
        ..Number::default()
    }));
    for (canary, stable, verdict, said) in [
        (
            5.0,
            Some(0.0),
            Verdict::Unknown,
            "nothing to compare 5 with",
        ),
        (5.0, Some(-1.0), Verdict::Unknown, "nothing to compare"),
        (5.0, None, Verdict::Unknown, "stable has no value"),
        (5.0, Some(f64::NAN), Verdict::Unknown, "NaN"),
        (0.0, Some(0.0), Verdict::Healthy, "0 against 0 on stable"),
        (5.0, Some(4.0), Verdict::Healthy, "5 against 4 on stable"),
        (
            5.0,
            Some(3.0),
            Verdict::Unhealthy,
            "5 is more than 1.5× stable's 3",
        ),
    ] {
        let seen = reading(Sample::Numbers { canary, stable });
        let result = judge(&rule, &mut Memory::default(), &seen, watching(10));
        assert_eq!(result.verdict, verdict, "{canary} {stable:?}: {result:?}");
        assert!(result.text.contains(said), "{}", result.text);
    }
}

#[tokio::test(start_paused = true)]
async fn a6_one_error_beside_none_on_stable_is_no_verdict_and_many_are() {
    let stable = (
        "payment-api:1.5.\"}\n    errors: {base: 0.2%}",
        "payment-api:1.5.\"}\n    errors: {base: 0%}",
    );
    let bad = (
        "payment-api}\n    errors: {base: 0.2%}",
        "payment-api}\n    errors: {base: 20%}",
    );
    for (edits, outcome) in [
        // 0.05 %, below the floor under which the multiple does not matter.
        (
            vec![
                stable,
                (
                    "payment-api}\n    errors: {base: 0.2%}",
                    "payment-api}\n    errors: {base: 0.05%}",
                ),
            ],
            Outcome::Promoted,
        ),
        (vec![stable, bad], Outcome::RolledBack),
    ] {
        let bench = Bench::edited("metrics", &edits);
        let options = json!({"maxRatio": 2, "floor": "1%"});
        let mut plan = asking(Some(prometheus()), vec![check("errorRate", &options)]);
        for step in &mut plan.steps {
            step.deadline = std::time::Duration::from_secs(1800);
        }
        let (end, errors) = release(&bench, plan, "error rate").await;
        assert_eq!(end.outcome, outcome, "{}", bench.told());
        assert!(errors.iter().any(|r| r.stable == Some(0.0)), "{errors:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a6_a_number_with_an_exponent_is_that_number() {
    for (query, max, outcome) in [
        ("vector(1e-05)", 0.05, Outcome::Promoted),
        ("vector(0.00001)", 0.000_001, Outcome::RolledBack),
        ("vector(2e3)", 1999.0, Outcome::RolledBack),
    ] {
        let bench = Bench::new("metrics");
        let options = json!({"name": "tiny", "query": query, "max": max, "window": "10s"});
        let plan = asking(Some(prometheus()), vec![check("value", &options)]);
        let (end, results) = release(&bench, plan, "tiny").await;
        assert_eq!(end.outcome, outcome, "{query}: {}", bench.told());
        assert!(results.iter().any(|r| r.value.is_some()), "{results:?}");
    }
}

#[test]
fn a6_a_percentage_is_a_share_of_a_hundred_and_five_is_no_share() {
    let max = |text: &str| {
        let file = format!("app: a\nchecks: [errorRate: {{max: {text}}}]\n");
        read(&file).map(|settings| {
            let rules = settings.checks.iter().map(|c| c.0.rule);
            let found = rules.filter_map(|rule| match rule {
                Rule::Errors(limits) => limits.max,
                _ => None,
            });
            found.collect::<Vec<f64>>()
        })
    };
    assert_eq!(max("5%"), Ok(vec![0.05]));
    assert_eq!(max("0.05"), Ok(vec![0.05]));
    for text in ["5", "100%", "0", "-1%"] {
        let error = max(text).unwrap_err();
        assert!(error.contains("between 0% and 100%"), "{text}: {error}");
    }
}
