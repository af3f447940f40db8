//! What speaks against a canary when the time of a step is over.

use super::*;

/// What a check that does not know has against the canary.
fn leaning(result: &CheckResult) -> Option<&str> {
    assert_eq!(result.verdict, Verdict::Unknown, "{}", result.text);
    result.against.as_deref()
}

#[test]
fn a_share_beyond_its_limit_leans_against_the_canary_once_there_are_requests_enough() {
    // Requests and bad ones at each of so many looks.
    // The first look begins the step: what it finds came before.
    for (looks, canary, against) in [
        (
            13,
            (1000.0, 52.0),
            Some("check: 5.2% fail (624 of 12,000), limit 5%"),
        ),
        (5, (10.0, 1.0), Some("check: 10% fail (4 of 40), limit 5%")),
        // At the limit, though that is not proven.
        (4, (20.0, 1.0), None),
        // Fewer requests than the check asks for, and fewer bad ones than mean something.
        (4, (6.0, 1.0), None),
        (3, (12.0, 1.0), None),
        (2, (30.0, 2.0), None),
        (1, (1000.0, 100.0), None),
    ] {
        let mut stand = Stand::errors(Some(0.05), None);
        let result = stand.after(looks, canary, Some((1000.0, 1.0)));
        let found = leaning(&result);
        assert_eq!(
            found.is_some(),
            against.is_some(),
            "{looks} {canary:?}: {found:?}"
        );
        if let Some(against) = against {
            let found = found.unwrap();
            assert!(found.starts_with(against), "{found}");
        }
    }
}

#[test]
fn what_stable_breaks_as_well_leans_against_nobody() {
    let mut stand = Stand::errors(Some(0.05), None);
    let result = stand.after(12, (1000.0, 200.0), Some((1000.0, 200.0)));
    assert_eq!(leaning(&result), None, "{}", result.text);
}

#[test]
fn a_comparison_leans_with_requests_of_both_sides_and_evidence() {
    let worse = (1000.0, 5.0);
    let result = Stand::errors(None, Some(2.0)).after(3, worse, Some((1000.0, 1.0)));
    let found = leaning(&result).unwrap_or_else(|| panic!("{}", result.text));
    assert!(
        found.starts_with("check: 0.50% fail (10 of 2,000), limit 2× stable's 0.10%"),
        "{found}"
    );
    // Stable has none, or too few.
    for stable in [None, Some((0.0, 0.0)), Some((5.0, 0.0))] {
        let result = Stand::errors(None, Some(2.0)).after(3, worse, stable);
        assert_eq!(leaning(&result), None, "{stable:?}: {}", result.text);
    }
}

#[test]
fn with_all_the_traffic_the_limit_alone_counts() {
    // 0.5 % of the requests fail: within the limit, and stable has none to compare with.
    let after = |weight, max| {
        let mut stand = Stand::errors(max, Some(2.0));
        stand.weight = weight;
        stand.after(20, (1000.0, 5.0), Some((0.0, 0.0))).verdict
    };
    assert_eq!(after(1.0, Some(0.05)), Verdict::Healthy);
    assert_eq!(after(0.5, Some(0.05)), Verdict::Unknown);
    assert_eq!(after(1.0, None), Verdict::Unknown, "nothing to judge by");
}

#[test]
fn what_was_seen_at_the_step_counts_on_when_the_source_goes_down() {
    let seen = |bad| {
        let mut stand = Stand::errors(Some(0.05), None);
        stand.after(13, (1000.0, bad), Some((1000.0, 1.0)));
        stand
    };
    let mut stand = seen(57.0);
    let result = stand.look_in_vain(Quiet::NoSamples).remove(0);
    assert_eq!(result.unknown, Some(Unknown::SourceDown));
    let found = leaning(&result).unwrap();
    assert!(
        found.starts_with("check: 5.7% fail (684 of 12,000), limit 5%"),
        "{found}"
    );
    let result = stand.look_in_vain(Quiet::TooLong).remove(0);
    assert!(result.hopeless);
    assert!(
        result
            .text
            .contains("nothing counted for 20s: connection refused"),
        "{}",
        result.text
    );
    // A new step has seen nothing yet.
    for memory in stand.memories.values_mut() {
        memory.begin_step();
    }
    let result = stand.look_in_vain(Quiet::NoSamples).remove(0);
    assert_eq!(leaning(&result), None, "{}", result.text);
    // A canary that was fine when it was seen last leans nowhere.
    let result = seen(1.0).look_in_vain(Quiet::TooLong).remove(0);
    assert_eq!(leaning(&result), None, "{}", result.text);
}

#[test]
fn a_known_verdict_leans_nowhere() {
    let healthy = Stand::errors(Some(0.05), None).after(12, (1000.0, 1.0), Some((1000.0, 1.0)));
    let unhealthy = Stand::errors(Some(0.05), None).after(12, (1000.0, 500.0), Some((1000.0, 1.0)));
    assert_eq!(healthy.verdict, Verdict::Healthy);
    assert_eq!(unhealthy.verdict, Verdict::Unhealthy);
    assert_eq!((healthy.against, unhealthy.against), (None, None));
}

#[test]
fn good_requests_of_the_pods_lean_as_errors_do() {
    let lean = |good: f64| {
        let (spec, mut memory) = (spec(SHARE), Memory::default());
        let (mut sum, mut all) = (0.0, 0.0);
        let mut last = judge(&spec, &mut memory, &counters(sum, all), WATCHING);
        for _ in 0..3 {
            (sum, all) = (sum + good, all + 20.0);
            last = judge(&spec, &mut memory, &counters(sum, all), WATCHING);
        }
        leaning(&last).map(str::to_owned)
    };
    let found = lean(18.0).unwrap();
    assert_eq!(found, "check: 90% good (54 of 60), minimum 95%");
    assert_eq!(lean(20.0), None);
}

#[test]
fn windows_lean_after_two_in_a_row_beyond_the_limit() {
    let stable = Some((1000.0, 1.0));
    let (good, bad) = ((100.0, 1.0), (100.0, 9.0));
    for (windows, leans) in [
        (&[bad][..], false),
        (&[good, bad], false),
        (&[bad, good], false),
        (&[good, bad, bad], true),
    ] {
        // Three failed ones would be unhealthy; the first look begins the first window.
        let mut stand = counting(Some(0.05), None);
        let mut result = stand.look(good, stable).remove(0);
        for window in windows {
            result = stand.look(*window, stable).remove(0);
        }
        if result.verdict == Verdict::Healthy {
            assert!(!leans && result.against.is_none(), "{result:?}");
            continue;
        }
        let found = leaning(&result);
        assert_eq!(found.is_some(), leans, "{windows:?}: {found:?}");
        if leans {
            let wanted = "beyond the limit in 2 windows in a row (limit ≤ 5%)";
            assert!(found.unwrap().ends_with(wanted), "{found:?}");
            let down = stand.look_in_vain(Quiet::NoSamples).remove(0);
            assert!(leaning(&down).is_some(), "{}", down.text);
        }
    }
}

#[test]
fn a_number_leans_after_two_looks_in_a_row_and_when_no_more_answers_come() {
    let rule = Rule::Number(Number {
        max: Some(5.0),
        consecutive: 3,
        ..Number::default()
    });
    let (spec, mut memory) = (spec(rule), Memory::default());
    let mut look = |sample| judge(&spec, &mut memory, &[reading("p", sample)], WATCHING);
    let down = || Sample::Missing(Unknown::SourceDown, "refused".into());
    assert_eq!(leaning(&look(Sample::Number(6.0))), None);
    assert_eq!(leaning(&look(down())), None);
    let result = look(Sample::Number(6.0));
    assert_eq!(
        leaning(&result),
        Some("check: p: 6 is above 5 (2 evaluations in a row)")
    );
    let result = look(down());
    let found = leaning(&result).unwrap();
    assert!(
        found.contains("bad in 2 evaluations in a row, and no answer since"),
        "{found}"
    );
    // One good look does not undo two bad ones of five.
    let against = look(Sample::Number(4.0)).against.unwrap();
    assert!(against.contains("2 of 5 evaluations failed"), "{against}");
    assert_eq!(leaning(&look(down())), None);
}
