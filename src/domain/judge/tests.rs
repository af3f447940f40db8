//! Judgement of single looks.
//!
//! Owns: verdicts of readings made by hand. Must not: repeat the statistics' own tests.

mod direct;
mod episode;
mod leaning;
mod sentences;
mod without;

use serde_json::Value;

use super::*;

use crate::{
    analysis::{
        counts::Counts, meter::Increment, share::Dependence, silence::Quiet, threshold::Threshold,
    },
    domain::check::{Limits, Mode, Sample},
};

const WATCHING: Circumstances = Circumstances {
    steps: 4,
    moving: false,
    steady: true,
    now: Timestamp::UNIX_EPOCH,
    started: Timestamp::UNIX_EPOCH,
    step: 0,
    later: false,
    brake: None,
    weight: 0.1,
    next: Some(0.25),
    elapsed: 0.0,
    lag: 0.0,
    patience: 600.0,
    warming: 0.0,
    witness: Witness::Source,
    load: None,
};

fn spec(rule: Rule) -> CheckSpec {
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

fn reading(subject: &str, sample: Sample) -> Reading {
    Reading {
        subject: subject.into(),
        sample,
    }
}

fn pod(ready: bool, restarts: u32) -> Reading {
    let created = Timestamp::UNIX_EPOCH;
    let sample = Sample::Pod {
        ready,
        restarts,
        created,
        ended: None,
    };
    reading("p", sample)
}

fn counters(good: f64, total: f64) -> Vec<Reading> {
    vec![reading(
        "p",
        Sample::Counters {
            good,
            total,
            born: false,
        },
    )]
}

/// Good and all requests at the step.
fn counted(memory: &Memory) -> (f64, f64) {
    let canary = memory.requests.as_ref().unwrap().share.canary();
    (canary.all() - canary.bad(), canary.all())
}

const SHARE: Rule = Rule::Share {
    min: 0.95,
    min_requests: 20,
};

#[test]
fn nothing_to_ask_is_unknown_under_every_rule() {
    let rules = [
        SHARE,
        Rule::Condition { consecutive: 1 },
        Rule::Number(Number {
            min: None,
            max: Some(1.0),
            consecutive: 1,
            ..Number::default()
        }),
        Rule::Pods { max_restarts: 3 },
    ];
    for rule in rules {
        let result = judge(&spec(rule), &mut Memory::default(), &[], WATCHING);
        assert_eq!(result.verdict, Verdict::Unknown, "{rule:?}");
    }
}

#[test]
fn nan_and_infinite_numbers_are_unknown() {
    let number_spec = spec(Rule::Number(Number {
        min: Some(0.0),
        max: None,
        consecutive: 1,
        ..Number::default()
    }));
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let readings = [reading("p", Sample::Number(number))];
        let result = judge(&number_spec, &mut Memory::default(), &readings, WATCHING);
        assert_eq!(result.unknown, Some(Unknown::NoData), "{number}");
    }
    let mut memory = Memory::default();
    let result = judge(
        &spec(SHARE),
        &mut memory,
        &counters(f64::NAN, 5.0),
        WATCHING,
    );
    assert_eq!(result.verdict, Verdict::Unknown);
    assert_eq!(counted(&memory), (0.0, 0.0));
}

#[test]
fn a_very_small_number_is_a_number() {
    let spec = spec(Rule::Number(Number {
        min: None,
        max: Some(0.05),
        consecutive: 1,
        ..Number::default()
    }));
    let readings = [reading("p", Sample::Number(1e-05))];
    let result = judge(&spec, &mut Memory::default(), &readings, WATCHING);
    assert_eq!(result.verdict, Verdict::Healthy);
}

#[test]
fn a_single_failing_look_is_not_a_verdict() {
    let spec = spec(Rule::Condition { consecutive: 3 });
    let mut memory = Memory::default();
    let bad = [reading("p", Sample::Holds(false, "status 500".into()))];
    let good = [reading("p", Sample::Holds(true, "status 200".into()))];
    let mut verdict = |readings: &[Reading]| judge(&spec, &mut memory, readings, WATCHING).verdict;
    assert_eq!(verdict(&bad), Verdict::Unknown);
    assert_eq!(verdict(&bad), Verdict::Unknown);
    // Two of three looks failed: that is not healthy yet.
    assert_eq!(verdict(&good), Verdict::Unknown);
    for _ in 0..6 {
        assert_eq!(verdict(&good), Verdict::Unknown);
    }
    for _ in 0..20 {
        assert_eq!(verdict(&good), Verdict::Healthy, "two of ten and more");
    }
    assert_eq!(verdict(&bad), Verdict::Unknown);
    assert_eq!(verdict(&bad), Verdict::Unknown);
    assert_eq!(verdict(&bad), Verdict::Unhealthy);
}

#[test]
fn looks_that_fail_often_are_unhealthy_though_never_in_a_row() {
    let spec = spec(Rule::Condition { consecutive: 3 });
    let mut memory = Memory::default();
    let bad = [reading("p", Sample::Holds(false, "status 500".into()))];
    let good = [reading("p", Sample::Holds(true, "status 200".into()))];
    let mut said = Vec::new();
    for at in 0_usize..27 {
        let readings = if at.is_multiple_of(4) { &bad } else { &good };
        said.push(judge(&spec, &mut memory, readings, WATCHING).verdict);
    }
    assert!(!said[4..].contains(&Verdict::Healthy), "{said:?}");
    assert_eq!(said[26], Verdict::Unhealthy, "7 of 27 looks failed");
    let mut memory = Memory::default();
    let alternating = |at: usize| if at.is_multiple_of(2) { &bad } else { &good };
    let verdicts = (0..9).map(|at| judge(&spec, &mut memory, alternating(at), WATCHING));
    let last = verdicts.last().unwrap();
    assert_eq!(last.verdict, Verdict::Unhealthy, "{}", last.text);
    assert!(
        last.text.contains("of 9 evaluations failed"),
        "{}",
        last.text
    );
}

#[test]
fn restarts_before_the_run_do_not_count() {
    let spec = spec(Rule::Pods { max_restarts: 3 });
    let mut memory = Memory::default();
    assert_eq!(
        judge(&spec, &mut memory, &[pod(true, 40)], WATCHING).verdict,
        Verdict::Healthy
    );
    // Started again within the limit: whether it stays is seen a minute later.
    let restarted = judge(&spec, &mut memory, &[pod(true, 43)], WATCHING);
    assert_eq!(restarted.verdict, Verdict::Unknown);
    assert!(
        restarted
            .text
            .contains("the last 0s ago: waiting for 60s without"),
        "{}",
        restarted.text
    );
    let later = Circumstances {
        now: WATCHING.now + jiff::SignedDuration::from_secs(60),
        ..WATCHING
    };
    assert_eq!(
        judge(&spec, &mut memory, &[pod(true, 43)], later).verdict,
        Verdict::Healthy
    );
    assert_eq!(
        judge(&spec, &mut memory, &[pod(true, 44)], WATCHING).verdict,
        Verdict::Unhealthy
    );
}

#[test]
fn restarts_before_a_pod_was_first_ready_do_not_count() {
    let spec = spec(Rule::Pods { max_restarts: 0 });
    let mut memory = Memory::default();
    assert_eq!(
        judge(&spec, &mut memory, &[pod(false, 0)], WATCHING).verdict,
        Verdict::Unknown
    );
    assert_eq!(
        judge(&spec, &mut memory, &[pod(true, 2)], WATCHING).verdict,
        Verdict::Healthy
    );
    assert_eq!(
        judge(&spec, &mut memory, &[pod(true, 3)], WATCHING).verdict,
        Verdict::Unhealthy
    );
}

#[test]
fn pods_that_are_mostly_not_ready_are_unhealthy() {
    let spec = spec(Rule::Pods { max_restarts: 3 });
    let mut memory = Memory::default();
    let verdicts: Vec<Verdict> = (0..6)
        .map(|look| judge(&spec, &mut memory, &[pod(look == 0, 0)], WATCHING).verdict)
        .collect();
    assert_eq!(verdicts[1], Verdict::Unknown);
    assert_eq!(verdicts[5], Verdict::Unhealthy);
}

#[test]
fn pods_that_take_their_time_to_start_are_not_unhealthy() {
    let spec = spec(Rule::Pods { max_restarts: 3 });
    let mut memory = Memory::default();
    let moving = Circumstances {
        moving: true,
        ..WATCHING
    };
    for _ in 0..60 {
        let result = judge(&spec, &mut memory, &[pod(false, 0)], moving);
        assert_eq!(result.verdict, Verdict::Unknown);
    }
    assert_eq!(memory.looks, 0);
}

#[test]
fn counters_that_reset_are_not_negative_rates() {
    let mut memory = Memory::default();
    for (good, total) in [(990., 1000.), (1000., 1010.), (15., 15.), (20., 20.)] {
        judge(&spec(SHARE), &mut memory, &counters(good, total), WATCHING);
    }
    assert_eq!(counted(&memory), (30.0, 30.0));
}

#[test]
fn too_few_requests_are_unknown_however_good() {
    let mut memory = Memory::default();
    judge(&spec(SHARE), &mut memory, &counters(0., 0.), WATCHING);
    let result = judge(&spec(SHARE), &mut memory, &counters(19., 19.), WATCHING);
    assert_eq!(result.unknown, Some(Unknown::TooFew));
    // Enough to say something, not enough to exclude 5 %.
    let result = judge(&spec(SHARE), &mut memory, &counters(20., 20.), WATCHING);
    assert_eq!(result.unknown, Some(Unknown::TooFew));
    let result = judge(&spec(SHARE), &mut memory, &counters(90., 90.), WATCHING);
    assert_eq!(result.verdict, Verdict::Healthy, "{}", result.text);
}

#[test]
fn a_share_below_the_limit_is_held_until_it_is_proven() {
    let mut memory = Memory::default();
    let (mut good, mut total) = (0.0, 0.0);
    let mut verdicts = Vec::new();
    for _ in 0..12 {
        judge(&spec(SHARE), &mut memory, &counters(good, total), WATCHING);
        (good, total) = (good + 7.0, total + 10.0);
        verdicts.push(judge(&spec(SHARE), &mut memory, &counters(good, total), WATCHING).verdict);
    }
    assert!(!verdicts.contains(&Verdict::Healthy));
    assert_eq!(verdicts.last(), Some(&Verdict::Unhealthy));
}

// === requests of both sides ===

/// The checks by default, and what they remember.
struct Stand {
    checks: Vec<(CheckSpec, Vec<Reading>)>,
    memories: BTreeMap<String, Memory>,
    braking: Braking,
    brakes: bool,
    weight: f64,
    looks: i64,
    /// What is the same at all its looks.
    around: Circumstances,
}

impl Stand {
    fn new(checks: Vec<CheckSpec>) -> Self {
        Self {
            checks: checks
                .into_iter()
                .map(|check| (check, Vec::new()))
                .collect(),
            memories: BTreeMap::new(),
            braking: Braking::default(),
            brakes: false,
            weight: 0.5,
            looks: 0,
            around: Circumstances {
                next: None,
                elapsed: 1.0,
                ..WATCHING
            },
        }
    }

    fn errors(max: Option<f64>, max_ratio: Option<f64>) -> Self {
        let rule = Rule::Errors(Limits {
            max,
            max_ratio,
            floor: 0.001,
            min_requests: 20,
            mode: Mode::Sequential,
            dependence: Dependence::Look,
        });
        Self::new(vec![spec(rule)])
    }

    /// Takes in one look of 10 s: `(requests, bad)` of the canary, and of stable where it is counted.
    fn look(&mut self, canary: (f64, f64), stable: Option<(f64, f64)>) -> Vec<CheckResult> {
        self.look_by_pod(canary, &[], stable)
    }

    /// The same, with what each of some pods of the canary had.
    fn look_by_pod(
        &mut self,
        canary: (f64, f64),
        pods: &[(&str, (f64, f64))],
        stable: Option<(f64, f64)>,
    ) -> Vec<CheckResult> {
        self.looks += 1;
        let increment = |(all, bad)| Increment {
            counts: Counts::new(all, bad).unwrap(),
            buckets: Vec::new(),
        };
        let by_pod = |(pod, had): &(&str, (f64, f64))| ((*pod).to_owned(), increment(*had));
        let counted = Counted {
            seconds: 10.0,
            canary: increment(canary),
            pods: pods.iter().map(by_pod).collect(),
            stable: increment(stable.unwrap_or_default()),
            bounds: Vec::new(),
            missing: None,
            stable_missing: stable.is_none().then(|| "no series".to_owned()),
            quiet: Quiet::No,
            asked: "the metrics".to_owned(),
        };
        self.take_in(&counted)
    }

    /// Takes in a look at which the metrics provider is down.
    fn look_in_vain(&mut self, quiet: Quiet) -> Vec<CheckResult> {
        self.looks += 1;
        let down = (Unknown::SourceDown, "connection refused".to_owned());
        self.take_in(&Counted {
            seconds: 10.0,
            canary: Increment::default(),
            pods: BTreeMap::new(),
            stable: Increment::default(),
            bounds: Vec::new(),
            missing: Some(down),
            stable_missing: Some("connection refused".to_owned()),
            quiet,
            asked: "the metrics".to_owned(),
        })
    }

    fn take_in(&mut self, counted: &Counted) -> Vec<CheckResult> {
        let now = Timestamp::from_second(10 * self.looks).unwrap();
        let circumstances = Circumstances {
            now,
            weight: self.weight,
            brake: self.brakes.then(|| self.braking.stage()),
            ..self.around
        };
        let name = |check: &CheckSpec| check.name.clone();
        judge_all(
            &self.checks,
            Some(counted),
            (&mut self.memories, &mut self.braking),
            &name,
            circumstances,
        )
    }

    /// The result of the only check after so many equal looks.
    fn after(
        &mut self,
        looks: usize,
        canary: (f64, f64),
        stable: Option<(f64, f64)>,
    ) -> CheckResult {
        let mut last = Vec::new();
        for _ in 0..looks {
            last = self.look(canary, stable);
        }
        last.remove(0)
    }
}

#[test]
fn a_canary_worse_than_stable_is_condemned_within_the_limit() {
    let mut stand = Stand::errors(Some(0.5), Some(2.0));
    let result = stand.after(30, (1000.0, 30.0), Some((1000.0, 3.0)));
    assert_eq!(result.verdict, Verdict::Unhealthy, "{}", result.text);
    assert!(
        result.text.ends_with("limit 50% and 2× stable's 0.30%"),
        "{}",
        result.text
    );
    assert_eq!(
        result.confidence.as_deref(),
        Some("almost surely (p < 0.01)")
    );
    assert!(result.evidence.unwrap() >= 100.0);
}

#[test]
fn while_stable_fails_too_nobody_is_blamed_and_nothing_advances() {
    let mut stand = Stand::errors(Some(0.01), None);
    let result = stand.after(30, (1000.0, 200.0), Some((1000.0, 200.0)));
    assert_eq!(result.unknown, Some(Unknown::Pending), "{}", result.text);
    assert!(result.text.contains("canary not blamed"), "{}", result.text);
}

#[test]
fn without_stable_the_limit_alone_is_judged_and_that_is_said() {
    let mut stand = Stand::errors(Some(0.05), Some(2.0));
    let result = stand.after(10, (1000.0, 1.0), None);
    assert_eq!(result.verdict, Verdict::Healthy, "{}", result.text);
    assert!(
        result.text.contains("not compared with stable: no series"),
        "{}",
        result.text
    );
    let mut stand = Stand::errors(Some(0.05), Some(2.0));
    let result = stand.after(10, (1000.0, 500.0), None);
    assert_eq!(result.verdict, Verdict::Unhealthy, "{}", result.text);
}

#[test]
fn what_is_not_proven_says_what_it_takes() {
    let mut stand = Stand::errors(Some(0.01), None);
    let result = stand.after(4, (20.0, 0.0), Some((20.0, 0.0)));
    assert_eq!(result.unknown, Some(Unknown::TooFew));
    assert!(
        result.text.contains("no errors in 60 requests, limit 1%"),
        "{}",
        result.text
    );
    assert!(
        result.text.contains("more requests (") && result.text.ends_with("to promote"),
        "{}",
        result.text
    );
}

#[test]
fn checks_share_one_probability_of_error() {
    let share = |max| {
        Rule::Errors(Limits {
            max: Some(max),
            max_ratio: None,
            floor: 0.001,
            min_requests: 20,
            mode: Mode::Sequential,
            dependence: Dependence::Look,
        })
    };
    let named = |name: &str, max| CheckSpec {
        name: name.into(),
        ..spec(share(max))
    };
    // One broken limit among three pays for the other two: it takes more looks than alone.
    let looks = |checks: Vec<CheckSpec>| {
        let mut stand = Stand::new(checks);
        (1..100)
            .find(|_| {
                let results = stand.look((100.0, 30.0), Some((100.0, 0.0)));
                results.iter().any(|r| r.verdict == Verdict::Unhealthy)
            })
            .unwrap()
    };
    let alone = looks(vec![named("a", 0.1)]);
    let among = looks(vec![named("a", 0.1), named("b", 0.9), named("c", 0.9)]);
    assert!(alone < among, "{alone} and {among}");
    let mut stand = Stand::new(vec![named("a", 0.1), named("b", 0.9)]);
    let mut results = Vec::new();
    for _ in 0..among {
        results = stand.look((100.0, 30.0), Some((100.0, 0.0)));
    }
    assert_eq!(results[0].verdict, Verdict::Unhealthy);
    assert_eq!(results[1].verdict, Verdict::Healthy, "{}", results[1].text);
}

#[test]
fn a_check_that_only_warns_condemns_nobody_else() {
    let warn = CheckSpec {
        name: "warn".into(),
        severity: Severity::Warn,
        ..Stand::errors(Some(0.001), None).checks.remove(0).0
    };
    let mut stand = Stand::new(vec![
        warn,
        Stand::errors(Some(0.9), None).checks.remove(0).0,
    ]);
    let mut results = Vec::new();
    for _ in 0..50 {
        results = stand.look((100.0, 30.0), Some((100.0, 0.0)));
    }
    assert_eq!(results[0].verdict, Verdict::Unhealthy);
    assert_eq!(results[1].verdict, Verdict::Healthy, "{}", results[1].text);
}

#[test]
fn a_comparison_without_stable_is_unknown() {
    let mut stand = Stand::errors(None, Some(2.0));
    let result = stand.after(10, (1000.0, 1.0), None);
    assert_eq!(result.unknown, Some(Unknown::NoData), "{}", result.text);
    assert!(
        result.text.contains("not compared with stable: no series"),
        "{}",
        result.text
    );
}

/// A check of errors that counts failed windows of 10 s.
fn counting(max: Option<f64>, max_ratio: Option<f64>) -> Stand {
    Stand::new(vec![spec(Rule::Errors(Limits {
        max,
        max_ratio,
        floor: 0.001,
        min_requests: 20,
        mode: Mode::Threshold(Threshold::flagger(10, 3)),
        dependence: Dependence::Look,
    }))])
}

#[test]
fn windows_without_stable_are_unknown_where_only_stable_is_a_limit() {
    let result = counting(None, Some(2.0)).after(4, (1000.0, 1.0), None);
    assert_eq!(result.verdict, Verdict::Unknown, "{}", result.text);
    let result = counting(Some(0.05), Some(2.0)).after(4, (1000.0, 1.0), None);
    assert_eq!(result.verdict, Verdict::Healthy, "{}", result.text);
}

#[test]
fn windows_after_the_last_request_are_no_good_windows() {
    let mut stand = counting(Some(0.05), None);
    let busy = (1000.0, 1.0);
    assert_eq!(stand.after(4, busy, Some(busy)).verdict, Verdict::Healthy);
    let quiet = stand.after(1, (0.0, 0.0), Some(busy));
    assert_eq!(quiet.unknown, Some(Unknown::TooFew), "{}", quiet.text);
    assert_eq!(stand.after(1, busy, Some(busy)).verdict, Verdict::Healthy);
}

// === the brake ===

const STABLE: Option<(f64, f64)> = Some((1000.0, 1.0));
const CALM: (f64, f64) = (100.0, 0.0);
const BAD: (f64, f64) = (100.0, 60.0);

/// A canary that was calm for a minute, with the brake on; then it was bad at one look.
fn braked() -> (Stand, CheckResult) {
    let mut stand = Stand::errors(Some(0.05), Some(2.0));
    stand.brakes = true;
    let calm = stand.after(6, CALM, STABLE);
    assert_eq!(calm.verdict, Verdict::Healthy, "{}", calm.text);
    let result = stand.after(1, BAD, STABLE);
    (stand, result)
}

impl Stand {
    /// Begins to look again, as after a rest; or goes on at the step.
    fn goes_on(&mut self, probing: bool) {
        if probing {
            let now = Timestamp::from_second(10 * self.looks).unwrap();
            self.braking.begin_probe(now);
        }
        self.memories.values_mut().for_each(Memory::begin_step);
    }
}

#[test]
fn one_bad_look_takes_the_traffic_off_and_condemns_nobody() {
    let (mut stand, result) = braked();
    assert_eq!(stand.braking.stage(), Stage::Resting);
    assert_eq!(result.unknown, Some(Unknown::Pending));
    assert!(
        result.text.contains("traffic paused for 1m"),
        "{}",
        result.text
    );
    let during = stand.after(3, (0.0, 0.0), STABLE);
    assert_eq!(during.unknown, Some(Unknown::Pending), "{}", during.text);
    let mut without = Stand::errors(Some(0.05), Some(2.0));
    without.after(6, CALM, STABLE);
    assert_eq!(
        without.after(1, BAD, STABLE).unknown,
        Some(Unknown::Pending)
    );
    assert_eq!(without.braking, Braking::default());
}

#[test]
fn who_is_calm_after_a_rest_goes_on_and_is_forgiven() {
    let (mut stand, _) = braked();
    stand.goes_on(true);
    let mut verdicts = Vec::new();
    for _ in 0..12 {
        let result = stand.after(1, CALM, STABLE);
        verdicts.push(result.verdict);
        if result.verdict == Verdict::Healthy {
            assert!(result.text.contains("it was a burst"), "{}", result.text);
            break;
        }
        assert!(
            result.text.contains("evaluated again at 50%"),
            "{}",
            result.text
        );
    }
    assert_eq!(verdicts.last(), Some(&Verdict::Healthy), "{verdicts:?}");
    assert!(verdicts.len() >= 3, "half a minute at least");
    assert_eq!(stand.braking.stage(), Stage::Ordinary);
    stand.goes_on(false);
    let after = stand.after(4, CALM, STABLE);
    assert_eq!(after.verdict, Verdict::Healthy, "{}", after.text);
    assert!(after.evidence.unwrap() < 5.0, "{:?}", after.evidence);
}

#[test]
fn who_is_bad_after_a_rest_is_taken_back() {
    let (mut stand, _) = braked();
    stand.goes_on(true);
    let bad = |result: &CheckResult| result.verdict == Verdict::Unhealthy;
    let result = (0..12)
        .map(|_| stand.after(1, (10.0, 6.0), STABLE))
        .find(bad)
        .unwrap();
    assert!(
        result.text.contains("60% fail (18 of 30)"),
        "{}",
        result.text
    );
    assert!(result.evidence.unwrap() >= 100.0);
}

/// A version may fail only under more traffic than a probe brings: what was seen at the step adds up.
#[test]
fn who_is_bad_again_at_the_step_is_taken_back_in_the_end() {
    let (mut stand, _) = braked();
    let (mut bad_looks, mut rests) = (1, 1);
    loop {
        stand.goes_on(true);
        while stand.braking.stage() == Stage::Probing {
            let result = stand.after(1, CALM, STABLE);
            assert_ne!(result.verdict, Verdict::Unhealthy, "{}", result.text);
        }
        stand.goes_on(false);
        let mut result = stand.after(1, BAD, STABLE);
        bad_looks += 1;
        while stand.braking.stage() == Stage::Ordinary && result.verdict != Verdict::Unhealthy {
            result = stand.after(1, BAD, STABLE);
            bad_looks += 1;
        }
        if result.verdict == Verdict::Unhealthy {
            assert!(result.text.contains("60% fail"), "{}", result.text);
            break;
        }
        rests += 1;
    }
    let mut ordinary = Stand::errors(Some(0.05), Some(2.0));
    ordinary.after(6, CALM, STABLE);
    let condemned = |_: &i32| ordinary.after(1, BAD, STABLE).verdict == Verdict::Unhealthy;
    let looks = (1..20).find(condemned).unwrap();
    assert!(
        rests == 2 && bad_looks <= looks,
        "{bad_looks} bad looks, {looks} without a brake"
    );
}
