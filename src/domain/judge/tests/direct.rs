//! What the pods themselves show before the metrics provider does.

use super::*;

/// A stand with the brake on, at whose pods is looked.
fn stand() -> Stand {
    let mut stand = Stand::errors(Some(0.01), None);
    stand.brakes = true;
    stand
}

fn direct(stand: &mut Stand, canary: (f64, f64)) -> CheckResult {
    stand.around.witness = Witness::Pods;
    let result = stand.after(1, canary, Some((900.0, 1.0)));
    stand.around.witness = Witness::Source;
    result
}

#[test]
fn what_the_pods_show_takes_the_traffic_off_and_what_is_shown_later_does_not_give_it_back() {
    let mut stand = stand();
    stand.look((20.0, 0.0), Some((900.0, 1.0)));
    direct(&mut stand, (20.0, 0.0));
    let bad = direct(&mut stand, (20.0, 10.0));
    assert!(bad.blamed, "{}", bad.text);
    assert_eq!(stand.braking.stage(), Stage::Probing, "never calm");
    stand.memories.values_mut().for_each(Memory::begin_step);
    let later = stand.look((20.0, 0.0), Some((900.0, 1.0)));
    assert_eq!(later[0].verdict, Verdict::Unknown, "{}", later[0].text);
    assert_eq!(stand.braking.stage(), Stage::Probing);
    let mut verdict = Verdict::Unknown;
    for _ in 0..4 {
        verdict = direct(&mut stand, (20.0, 10.0)).verdict;
    }
    assert_eq!(verdict, Verdict::Unhealthy);
}

/// The same requests come in twice, and are evidence once.
#[test]
fn both_ways_of_counting_share_one_probability_of_error() {
    let mut stand = stand();
    stand.brakes = false;
    let before = stand
        .after(3, (20.0, 1.0), Some((900.0, 1.0)))
        .evidence
        .unwrap();
    let mut both = Stand::errors(Some(0.01), None);
    direct(&mut both, (20.0, 1.0));
    let main = both
        .after(3, (20.0, 1.0), Some((900.0, 1.0)))
        .evidence
        .unwrap();
    let pods = direct(&mut both, (20.0, 1.0)).evidence.unwrap();
    assert!((main / before - 0.9).abs() < 1e-9, "{main} of {before}");
    assert!(pods < before / 5.0, "{pods} of {before}");
}

#[test]
fn what_the_pods_showed_is_divided_by_steps_too() {
    let mut stand = stand();
    direct(&mut stand, (20.0, 0.0));
    let memory = stand.memories.get_mut("check").unwrap();
    assert!(memory.direct.as_ref().unwrap().begun);
    memory.begin_step();
    assert!(!memory.direct.as_ref().unwrap().begun);
    assert!(memory.requests.is_none());
}

#[test]
fn an_excited_pod_is_not_taken_for_calm_because_the_source_is_behind() {
    let mut stand = stand();
    for _ in 0..4 {
        stand.look((20.0, 0.0), Some((900.0, 1.0)));
        direct(&mut stand, (20.0, 0.0));
    }
    direct(&mut stand, (20.0, 5.0));
    let kept = |stand: &Stand| {
        let direct = stand.memories["check"].direct.clone().unwrap();
        (direct.early.unwrap().calm, direct.share)
    };
    let (before, _) = kept(&stand);
    stand.look((20.0, 0.0), Some((900.0, 1.0)));
    let (after, share) = kept(&stand);
    assert_eq!(before, after);
    assert_ne!(after, share);
}
