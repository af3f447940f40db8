//! One bad pod of several is no bad version.

use super::*;

const PODS: [&str; 5] = ["c-1", "c-2", "c-3", "c-4", "c-5"];

/// Looks until the canary is condemned, 60 at most, with 20 requests for each pod and so many failed ones for each;
/// returns how many looks it took, and the last result.
fn looks(stand: &mut Stand, bad: [f64; 5]) -> (usize, CheckResult) {
    let pods: Vec<(&str, (f64, f64))> = PODS.into_iter().zip(bad.map(|bad| (20.0, bad))).collect();
    let sum = (100.0, bad.iter().sum());
    let mut last = Vec::new();
    for look in 1..=60 {
        last = stand.look_by_pod(sum, &pods, Some((900.0, 1.0)));
        if last[0].verdict == Verdict::Unhealthy {
            return (look, last.remove(0));
        }
    }
    (60, last.remove(0))
}

#[test]
fn a_single_bad_pod_is_named_and_nobody_is_rolled_back() {
    for (max, ratio) in [(Some(0.01), None), (Some(0.5), Some(2.0))] {
        let mut stand = Stand::errors(max, ratio);
        let (_, result) = looks(&mut stand, [0.0, 0.0, 16.0, 0.0, 0.0]);
        assert_eq!(result.unknown, Some(Unknown::Pending), "{}", result.text);
        let named = ": pod c-3 alone fails 80%, the other 4 are fine; delete it to continue";
        assert!(result.text.ends_with(named), "{}", result.text);
    }
}

#[test]
fn two_bad_pods_are_a_bad_version() {
    let mut stand = Stand::errors(Some(0.01), None);
    let (_, result) = looks(&mut stand, [0.0, 16.0, 16.0, 0.0, 0.0]);
    assert_eq!(result.verdict, Verdict::Unhealthy, "{}", result.text);
}

#[test]
fn a_version_whose_pods_all_fail_is_found_as_soon_as_before() {
    for bad in [2.0, 10.0, 20.0] {
        let (mut by_pod, mut whole) = (
            Stand::errors(Some(0.01), Some(2.0)),
            Stand::errors(Some(0.01), Some(2.0)),
        );
        let (took, result) = looks(&mut by_pod, [bad; 5]);
        assert_eq!(result.verdict, Verdict::Unhealthy, "{}", result.text);
        let mut before = 0;
        while before < 60 {
            before += 1;
            let result = whole.look((100.0, 5.0 * bad), Some((900.0, 1.0)));
            if result[0].verdict == Verdict::Unhealthy {
                break;
            }
        }
        assert_eq!(took, before, "{bad} of 20");
    }
}

/// A source that is behind shows each pod at its own moments: a look that brings stable's requests and those of the
/// pod left out alone says nothing of the others.
#[test]
fn a_version_whose_pods_all_fail_is_found_where_they_are_seen_in_turn() {
    let mut stand = Stand::errors(None, Some(2.0));
    let pods = |own: [f64; 2]| {
        [
            ("c-1", (own[0], own[0] * 0.04)),
            ("c-2", (own[1], own[1] * 0.04)),
        ]
    };
    let mut last = Vec::new();
    for look in 1..=60 {
        let turn = [[300.0, 300.0], [300.0, 0.0], [0.0, 300.0]][look % 3];
        let all = turn[0] + turn[1];
        last = stand.look_by_pod((all, all * 0.04), &pods(turn), Some((1600.0, 13.0)));
        assert!(!last[0].text.contains("alone"), "{}", last[0].text);
    }
    assert_eq!(last[0].verdict, Verdict::Unhealthy, "{}", last[0].text);
}

#[test]
fn a_pod_that_failed_at_an_earlier_step_is_said_to_have_failed() {
    let mut stand = Stand::errors(Some(0.01), None);
    looks(&mut stand, [0.0, 0.0, 16.0, 0.0, 0.0]);
    stand.memories.values_mut().for_each(Memory::begin_step);
    let (_, result) = looks(&mut stand, [0.0; 5]);
    let named = ": pod c-3 alone failed earlier, the other 4 are fine; delete it to continue";
    assert!(result.text.ends_with(named), "{}", result.text);
}

#[test]
fn a_pod_that_takes_the_place_of_a_bad_one_is_judged_by_itself() {
    let mut stand = Stand::errors(Some(0.01), None);
    looks(&mut stand, [0.0, 0.0, 16.0, 0.0, 0.0]);
    let pods = ["c-1", "c-2", "c-6", "c-4", "c-5"];
    let pods: Vec<(&str, (f64, f64))> = pods.into_iter().map(|pod| (pod, (20.0, 0.0))).collect();
    let mut last = Vec::new();
    for _ in 0..60 {
        last = stand.look_by_pod((100.0, 0.0), &pods, Some((900.0, 1.0)));
    }
    assert_eq!(last[0].verdict, Verdict::Healthy, "{}", last[0].text);
}

/// Where the traffic can be taken off for a moment, that outlasts such a pod.
#[test]
fn with_the_brake_no_pod_is_left_out() {
    let mut stand = Stand::errors(Some(0.01), None);
    stand.brakes = true;
    looks(&mut stand, [0.0, 0.0, 16.0, 0.0, 0.0]);
    let requests = stand.memories["check"].requests.as_ref().unwrap();
    assert!(requests.without.is_empty());
}

/// What is seen and not proven speaks against a canary at the deadline, unless it is that of one pod.
#[test]
fn at_the_deadline_one_pod_does_not_speak_against_the_version() {
    for (bad, speaks) in [
        ([0.0, 0.0, 0.0, 0.0, 4.0], false),
        ([0.0, 0.0, 3.0, 0.0, 3.0], true),
    ] {
        let mut stand = Stand::errors(Some(0.01), None);
        let pods: Vec<(&str, (f64, f64))> =
            PODS.into_iter().zip(bad.map(|bad| (20.0, bad))).collect();
        for _ in 0..2 {
            stand.look_by_pod(
                (100.0, 0.0),
                &PODS.map(|pod| (pod, (20.0, 0.0))),
                Some((900.0, 1.0)),
            );
            stand.look_by_pod((100.0, bad.iter().sum()), &pods, Some((900.0, 1.0)));
        }
        let last = stand.look_by_pod(
            (100.0, 0.0),
            &PODS.map(|pod| (pod, (20.0, 0.0))),
            Some((900.0, 1.0)),
        );
        assert_eq!(last[0].verdict, Verdict::Unknown, "{}", last[0].text);
        assert_eq!(last[0].against.is_some(), speaks, "{:?}", last[0].against);
    }
}

#[test]
fn a_pod_without_requests_is_not_said_to_be_fine() {
    let mut stand = Stand::errors(Some(0.01), None);
    let pods = [("c-1", (100.0, 30.0)), ("c-2", (0.0, 0.0))];
    let mut last = Vec::new();
    for _ in 0..6 {
        last = stand.look_by_pod((100.0, 30.0), &pods, Some((900.0, 1.0)));
    }
    assert_eq!(last[0].verdict, Verdict::Unhealthy, "{}", last[0].text);
}

/// A burst of one pod is past: the others have proven the version, and the pod is calm.
#[test]
fn a_burst_of_one_pod_that_is_past_does_not_hold_the_step() {
    let mut stand = Stand::errors(Some(0.01), None);
    let fails = |pod: &str| if pod == "c-3" { 10.0 } else { 0.0 };
    let pods = PODS.map(|pod| (pod, (20.0, fails(pod))));
    let burst = stand.look_by_pod((100.0, 10.0), &pods, Some((900.0, 1.0)));
    assert_eq!(burst[0].verdict, Verdict::Unknown, "{}", burst[0].text);
    let mut took = 0;
    while took < 60 {
        took += 1;
        let result = stand.look_by_pod(
            (100.0, 0.0),
            &PODS.map(|pod| (pod, (20.0, 0.0))),
            Some((900.0, 1.0)),
        );
        if result[0].verdict == Verdict::Healthy {
            break;
        }
    }
    assert!(took <= 8, "{took} looks");
}

/// Shortly before the others alone are enough, nobody says that they are fine.
#[test]
fn pods_that_are_suspected_themselves_are_not_said_to_be_fine() {
    let mut stand = Stand::errors(Some(0.01), None);
    let pods = PODS.map(|pod| (pod, (20.0, 2.0)));
    for _ in 0..60 {
        let result = stand.look_by_pod((100.0, 10.0), &pods, Some((900.0, 1.0)));
        assert!(!result[0].text.contains("fine"), "{}", result[0].text);
        if result[0].verdict == Verdict::Unhealthy {
            return;
        }
    }
    panic!("never condemned");
}
