//! What a check says: what was measured, the limit, what happens next and when.
//!
//! Owns: the sentences that people met in real runs and took for something else, and what is said instead; none is
//! longer than a line of 120 columns.

use super::*;

/// A step at a tenth of the traffic, a quarter comes next.
fn at_a_step(elapsed: f64) -> Circumstances {
    Circumstances {
        elapsed,
        next: Some(0.25),
        ..WATCHING
    }
}

fn errors(max: Option<f64>, max_ratio: Option<f64>, around: Circumstances) -> Stand {
    let mut stand = Stand::errors(max, max_ratio);
    stand.weight = around.weight;
    stand.around = around;
    stand
}

/// Fails unless the check says this, and nothing that people take for something else.
fn says(result: &CheckResult, sentence: &str) {
    let text = result.text.strip_prefix("check: ").unwrap();
    assert_eq!(text, sentence);
    // With a name as long as those of the usual checks.
    assert!(text.chars().count() <= 120 - 13, "{text}");
    for word in [":1", "chance", "evidence", "surely (", "p <", "excluded, "] {
        assert!(!text.contains(word), "{word:?} in {text}");
    }
}

/// 1–3: what is bad and not sure yet says what happens if it continues, and when; odds are in JSON alone.
#[test]
fn what_is_not_sure_yet_says_when_it_will_be() {
    let mut stand = errors(Some(0.01), None, at_a_step(10.0));
    let calm = Some((1340.0, 0.0));
    stand.look((74.0, 0.0), calm);
    let first = stand.after(1, (148.0, 42.0), calm);
    says(
        &first,
        "28% fail (42 of 148), limit 1%, stable 0%: not sure yet, rollback in about 20s if it continues",
    );
    let second = stand.after(1, (165.0, 32.0), calm);
    says(
        &second,
        "24% fail (74 of 313), limit 1%, stable 0%: not sure yet, rollback in about 10s if it continues",
    );
}

/// 4, 5: who is rolled back is told by what: the share, the limit, stable.
#[test]
fn a_rollback_says_the_numbers() {
    let mut stand = errors(Some(0.01), None, at_a_step(60.0));
    let result = stand.after(12, (100.0, 25.0), Some((900.0, 0.5)));
    assert_eq!(result.verdict, Verdict::Unhealthy);
    says(&result, "25% fail (275 of 1,100), limit 1%, stable 0.056%");
    let mut stand = errors(None, Some(2.0), at_a_step(60.0));
    let result = stand.after(60, (19.0, 8.0), Some((1000.0, 6.0)));
    assert_eq!(result.verdict, Verdict::Unhealthy);
    says(&result, "42% fail (472 of 1,121), limit 2× stable's 0.60%");
}

/// 6, 7: what is good so far says how much more it takes, and before what.
#[test]
fn what_is_good_so_far_says_what_it_still_takes() {
    let mut stand = errors(Some(0.01), None, at_a_step(60.0));
    let result = stand.after(2, (100.0, 0.0), Some((900.0, 0.0)));
    says(
        &result,
        "no errors in 100 requests, limit 1%, stable 0%; about 178 more requests (18s) before 25%",
    );
}

/// 8: of few errors nobody can tell how many more there will be.
#[test]
fn few_errors_have_no_exact_forecast() {
    let mut stand = errors(Some(0.01), None, at_a_step(60.0));
    stand.after(2, (100.0, 0.0), Some((900.0, 0.0)));
    let result = stand.after(1, (100.0, 1.0), Some((900.0, 0.0)));
    says(
        &result,
        "0.50% fail (1 of 200), limit 1%, stable 0%; more requests needed before 25%, 40s to 3m",
    );
}

/// So near the limit that each failure changes the forecast, there is none.
#[test]
fn near_the_limit_nobody_says_how_many_requests_are_enough() {
    let around = Circumstances {
        next: None,
        ..at_a_step(60.0)
    };
    let mut stand = errors(Some(0.01), None, around);
    let result = stand.after(101, (101.0, 1.0), Some((900.0, 0.9)));
    says(
        &result,
        "0.99% fail (100 of 10,100), limit 1%, stable 0.10%; too close to the limit to say how long it takes",
    );
}

/// 9: where stable has no traffic, nothing is compared, and that is said.
#[test]
fn at_the_whole_traffic_nothing_is_compared() {
    let around = Circumstances {
        weight: 1.0,
        next: None,
        elapsed: 300.0,
        ..WATCHING
    };
    let mut stand = errors(Some(0.05), Some(2.0), around);
    let result = stand.after(30, (1500.0, 3.0), Some((0.0, 0.0)));
    assert_eq!(result.verdict, Verdict::Healthy, "{}", result.text);
    says(
        &result,
        "0.20% fail (87 of 43,500), limit 5% and 2× stable: enough to promote; not compared, stable has \
         no traffic",
    );
}

/// 11: a canary without requests while stable has some.
#[test]
fn a_canary_without_requests_is_named() {
    let mut stand = errors(Some(0.05), None, at_a_step(60.0));
    stand.after(3, (10.0, 0.0), Some((90.0, 0.0)));
    let counted = Counted {
        quiet: Quiet::NoTraffic,
        ..nothing_counted()
    };
    let result = stand.take_in(&counted).remove(0);
    says(
        &result,
        "stable gets requests, the canary none: its traffic or its metrics are missing",
    );
}

/// 12: stable itself is beyond the limit.
#[test]
fn a_stable_that_fails_is_named() {
    let mut stand = errors(Some(0.05), None, at_a_step(60.0));
    let result = stand.after(4, (10.0, 1.0), Some((900.0, 72.0)));
    says(
        &result,
        "10% fail (4 of 40), limit 5%, stable 8.0% (whole run): stable itself is beyond the limit, canary not blamed",
    );
}

/// 13: a source that is behind.
#[test]
fn a_new_step_waits_for_its_first_samples() {
    let around = Circumstances {
        lag: 15.0,
        weight: 0.3,
        ..at_a_step(5.0)
    };
    let mut stand = errors(Some(0.05), None, around);
    let result = stand.after(1, (10.0, 0.0), Some((90.0, 0.0)));
    says(&result, "waiting for the first samples at 30% (up to 15s)");
}

/// 15, 16: the traffic pause and what follows it.
#[test]
fn a_traffic_pause_says_how_long_and_why() {
    let (mut stand, result) = braked();
    says(
        &result,
        "10% fail (60 of 600), limit 5% and 2× stable's 0.10%: traffic paused for 1m to see whether it is a burst",
    );
    stand.goes_on(true);
    let result = stand.after(1, (10.0, 1.0), STABLE);
    assert!(
        result.text.contains("evaluated again at 50%"),
        "{}",
        result.text
    );
}

/// 17, 18: what is good says for what it is good enough.
#[test]
fn what_is_good_says_for_what() {
    let mut stand = errors(Some(0.01), None, at_a_step(60.0));
    let result = stand.after(30, (100.0, 0.1), Some((900.0, 0.5)));
    assert_eq!(result.verdict, Verdict::Healthy, "{}", result.text);
    says(
        &result,
        "0.10% fail (3 of 2,900), limit 1%, stable 0.056%: enough for 25%",
    );
}

/// 23: too little traffic says how long it will take, and what makes it shorter.
#[test]
fn low_traffic_says_how_long_and_what_makes_it_shorter() {
    let around = Circumstances {
        weight: 0.5,
        next: None,
        elapsed: 60.0,
        ..WATCHING
    };
    let mut stand = errors(Some(0.2), None, around);
    let result = stand.after(5, (0.2, 0.0), Some((0.2, 0.0)));
    says(
        &result,
        "no errors in 1 request, limit 20%, stable 0%; 20 needed, about 16m more at 0.02/s (shorter with `load`)",
    );
}

/// A small service ends by time, and says what that leaves open.
#[test]
fn a_small_service_says_what_is_not_excluded() {
    let around = Circumstances {
        weight: 1.0,
        next: None,
        elapsed: 600.0,
        ..WATCHING
    };
    let mut stand = errors(Some(0.01), None, around);
    let result = stand.after(40, (2.0, 0.0), Some((0.0, 0.0)));
    assert_eq!(result.verdict, Verdict::Healthy, "{}", result.text);
    says(
        &result,
        "no errors in 78 requests, limit 1%: enough for so little traffic; error rates up to 8% are not excluded",
    );
    // One error asks for proof.
    let mut stand = errors(Some(0.01), None, around);
    stand.after(1, (2.0, 0.0), Some((0.0, 0.0)));
    stand.after(1, (2.0, 1.0), Some((0.0, 0.0)));
    let result = stand.after(40, (2.0, 0.0), Some((0.0, 0.0)));
    assert_ne!(result.verdict, Verdict::Healthy, "{}", result.text);
}

/// Requests of new pods are shown to come, and not judged.
#[test]
fn new_pods_warm_up() {
    let around = Circumstances {
        warming: 7.2,
        ..at_a_step(3.0)
    };
    let mut stand = errors(Some(0.01), None, around);
    let result = stand.after(3, (100.0, 50.0), Some((900.0, 0.0)));
    says(&result, "new pods warm up, their requests count in 8s");
    stand.around.warming = 0.0;
    let result = stand.after(6, (100.0, 0.0), Some((900.0, 0.0)));
    assert!(result.evidence.unwrap() < 5.0, "{result:?}");
}

/// 19–21: pods that were started again are said first; the requests that they do not get are nobody's fault yet.
#[test]
fn pods_come_before_the_traffic() {
    let traffic = Rule::Traffic {
        tolerance: 0.05,
        min_requests: 100,
    };
    let named = |name: &str, rule| CheckSpec {
        name: name.into(),
        ..spec(rule)
    };
    let mut stand = Stand::new(vec![
        named("pods", Rule::Pods { max_restarts: 3 }),
        named("traffic", traffic),
    ]);
    stand.checks[0].1 = vec![pod(true, 0)];
    let few = ((18.0, 0.0), Some((982.0, 0.0)));
    stand.look(few.0, few.1);
    let results = stand.look(few.0, few.1);
    assert_eq!(results[1].verdict, Verdict::Unhealthy, "{results:#?}");
    assert_eq!(
        results[1].text,
        "traffic: 1.8% of the requests (18 of 1,000), asked 50%: more than 5 points off"
    );
    let sample = Sample::Pod {
        ready: true,
        restarts: 2,
        created: Timestamp::UNIX_EPOCH,
        ended: Some("OOMKilled".into()),
    };
    stand.checks[0].1 = vec![reading("p", sample)];
    let results = stand.look(few.0, few.1);
    assert_eq!(
        results[0].text,
        "pods: 1 of 1 ready, 2 restarts (OOMKilled), the last 0s ago: waiting for 60s without"
    );
    assert_eq!(results[1].unknown, Some(Unknown::Pending), "{results:#?}");
    assert!(
        results[1]
            .text
            .ends_with("; not judged while pods are not ready"),
        "{}",
        results[1].text
    );
}

fn nothing_counted() -> Counted {
    Counted {
        seconds: 10.0,
        canary: Increment::default(),
        pods: BTreeMap::new(),
        stable: Increment::default(),
        bounds: Vec::new(),
        missing: None,
        stable_missing: None,
        quiet: Quiet::No,
        asked: "the metrics".to_owned(),
    }
}

/// Requests of the plan's own are evidence, and nobody takes them for users'.
#[test]
fn evidence_of_a_load_is_labelled() {
    let mut stand = Stand::errors(Some(0.01), None);
    stand.around.load = Some(1.5);
    let unsure = stand.after(1, (100.0, 0.0), Some((900.0, 1.0)));
    assert!(!unsure.text.contains("load"), "{}", unsure.text);
    let enough = stand.after(9, (100.0, 0.0), Some((900.0, 1.0)));
    assert!(
        enough.text.ends_with("enough to promote, counting `load`"),
        "{}",
        enough.text
    );
    let bad = stand.after(20, (100.0, 50.0), Some((900.0, 1.0)));
    assert!(
        bad.text.ends_with("stable 0.11%, counting `load`"),
        "{}",
        bad.text
    );
}
