//! A burst that is past does not spoil a step.

use super::*;
use crate::domain::check::Episode;

const STABLE: Option<(f64, f64)> = Some((900.0, 1.0));
const GOOD: (f64, f64) = (100.0, 0.0);
const BAD: (f64, f64) = (100.0, 12.0);

/// Good looks until the step is proven, 60 at most; returns how many, and the last result.
fn until_proven(stand: &mut Stand) -> (usize, CheckResult) {
    let mut last = stand.look(GOOD, STABLE);
    let mut took = 1;
    while last[0].verdict == Verdict::Unknown && took < 60 {
        last = stand.look(GOOD, STABLE);
        took += 1;
    }
    (took, last.remove(0))
}

fn burst(stand: &mut Stand, looks: usize) -> CheckResult {
    let results = (0..looks).map(|_| stand.look(BAD, STABLE).remove(0));
    results.last().unwrap()
}

#[test]
fn a_step_is_proven_anew_after_a_burst() {
    let mut stand = Stand::errors(Some(0.01), None);
    stand.look(GOOD, STABLE);
    let bad = burst(&mut stand, 2);
    assert_eq!(bad.verdict, Verdict::Unknown, "{}", bad.text);
    assert!(bad.against.is_some(), "{}", bad.text);
    let (took, result) = until_proven(&mut stand);
    assert_eq!(result.verdict, Verdict::Healthy, "{}", result.text);
    assert!((6..20).contains(&took), "{took} looks");
    let said = "enough to promote; counts restarted after a burst";
    assert!(result.text.ends_with(said), "{}", result.text);
}

#[test]
fn the_third_burst_of_a_run_counts() {
    let mut stand = Stand::errors(Some(0.01), None);
    for _ in 0..2 {
        // What a first look shows came before the step.
        stand.look(GOOD, STABLE);
        burst(&mut stand, 1);
        let (_, result) = until_proven(&mut stand);
        assert_eq!(result.verdict, Verdict::Healthy, "{}", result.text);
        stand.memories.values_mut().for_each(Memory::begin_step);
    }
    stand.look(GOOD, STABLE);
    burst(&mut stand, 1);
    for _ in 0..6 {
        let result = stand.look(GOOD, STABLE);
        assert!(result[0].against.is_some(), "{}", result[0].text);
    }
}

#[test]
fn failures_of_two_minutes_are_no_burst() {
    let mut stand = Stand::errors(Some(0.2), None);
    for _ in 0..12 {
        stand.look((100.0, 60.0), STABLE);
        if stand.look(GOOD, STABLE)[0].verdict == Verdict::Unhealthy {
            return;
        }
    }
    let passed = stand.memories["check"].requests.as_ref().unwrap().episode;
    assert_eq!(passed.passed, 0, "{passed:?}");
}

/// What is a little beyond its limit all the time has looks at which it is by chance more and less.
#[test]
fn what_chance_explains_is_no_burst() {
    let mut stand = Stand::errors(Some(0.01), None);
    for _ in 0..8 {
        stand.look((100.0, 5.0), STABLE);
        (0..4).for_each(|_| drop(stand.look(GOOD, STABLE)));
    }
    let episode = stand.memories["check"].requests.as_ref().unwrap().episode;
    assert_eq!(episode, Episode::default());
}
