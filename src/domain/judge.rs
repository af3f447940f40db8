//! The judgement of one check after one look.
//!
//! Owns: readings + memory → verdict and sentence. Must not: fetch, or decide about the release.
//! Missing, odd or scarce data is *unknown*, never healthy.

use std::fmt::Write as _;

use super::{
    check::{CheckSpec, Memory, Reading, Rule, Sample},
    verdict::{CheckResult, Unknown, Verdict},
};

/// Looks that a passing trouble (an image pull error, say) may last before it is unhealthy.
const TROUBLE_LOOKS: u32 = 3;

/// Looks at the pods before the share of good ones counts.
const LEAST_LOOKS: u32 = 6;

/// Memory of vanished pods is dropped beyond this many subjects.
const SUBJECTS: usize = 200;

/// What one look yields before it is dressed as a [`CheckResult`].
struct Finding {
    verdict: Verdict,
    unknown: Option<Unknown>,
    value: Option<f64>,
    samples: u64,
    text: String,
}

impl Finding {
    fn new(verdict: Verdict, samples: usize, text: impl Into<String>) -> Self {
        Self {
            verdict,
            unknown: None,
            value: None,
            samples: samples as u64,
            text: text.into(),
        }
    }

    fn unknown(why: Unknown, samples: usize, text: impl Into<String>) -> Self {
        Self {
            unknown: Some(why),
            ..Self::new(Verdict::Unknown, samples, text)
        }
    }

    fn with_value(self, value: f64) -> Self {
        Self {
            value: Some(value),
            ..self
        }
    }
}

/// Under which circumstances a look is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// Number of steps of the plan.
    pub steps: usize,
    /// Whether pods are meant to come and go now: then a pod that is not ready yet is no evidence,
    /// and the phase's own deadline decides.
    pub moving: bool,
}

/// Judges one look at one check and remembers what the next look needs.
pub fn judge(
    spec: &CheckSpec,
    memory: &mut Memory,
    readings: &[Reading],
    circumstances: Circumstances,
) -> CheckResult {
    let Circumstances { steps, moving } = circumstances;
    if !moving {
        memory.looks = memory.looks.saturating_add(1);
    }
    let finding = match spec.rule {
        Rule::Condition { consecutive } => state(memory, readings, consecutive, &|_| None),
        Rule::Number {
            min,
            max,
            consecutive,
        } => state(memory, readings, consecutive, &|n| outside(n, min, max)),
        Rule::Share { min, min_requests } => share(memory, readings, min, min_requests, steps),
        Rule::Pods { max_restarts } => pods(memory, readings, max_restarts, moving),
    };
    CheckResult {
        name: spec.name.clone(),
        probe: spec.probe.clone(),
        verdict: finding.verdict,
        unknown: finding.unknown,
        value: finding.value,
        limit: limit(spec.rule),
        samples: finding.samples,
        severity: spec.severity,
        text: format!("{}: {}", spec.name, finding.text),
    }
}

/// Returns the limit of a rule in words.
pub fn limit(rule: Rule) -> String {
    match rule {
        Rule::Condition { .. } => "holds".to_owned(),
        Rule::Number { min, max, .. } => match (min, max) {
            (Some(min), Some(max)) => format!("{min} to {max}"),
            (Some(min), None) => format!("≥ {min}"),
            (None, Some(max)) => format!("≤ {max}"),
            (None, None) => "is a number".to_owned(),
        },
        Rule::Share { min, .. } => format!("≥ {}", percent(min)),
        Rule::Pods { max_restarts } => format!("ready, ≤ {max_restarts} restarts"),
    }
}

/// Returns a fraction as a percentage with at most two decimals.
pub fn percent(fraction: f64) -> String {
    let text = format!("{:.2}", fraction * 100.0);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} %")
}

fn outside(number: f64, min: Option<f64>, max: Option<f64>) -> Option<String> {
    match (min.filter(|m| number < *m), max.filter(|m| number > *m)) {
        (Some(min), _) => Some(format!("{number} is below {min}")),
        (None, Some(max)) => Some(format!("{number} is above {max}")),
        (None, None) => None,
    }
}

/// Judges conditions and numbers: every subject must be in order at every look.
fn state(
    memory: &mut Memory,
    readings: &[Reading],
    consecutive: u32,
    breaks: &dyn Fn(f64) -> Option<String>,
) -> Finding {
    let mut fatal = Vec::new();
    let mut broken = Vec::new();
    let mut missing = None;
    let mut seen = String::new();
    let mut worst: Option<f64> = None;
    let mut asked = 0;
    for Reading { subject, sample } in readings {
        asked += 1;
        match sample {
            Sample::Fatal(text) => fatal.push(format!("{subject}: {text}")),
            Sample::Troubled(text) | Sample::Holds(false, text) => {
                broken.push(format!("{subject}: {text}"));
            }
            Sample::Holds(true, text) => seen.clone_from(text),
            Sample::Number(number) if !number.is_finite() => {
                missing = Some((Unknown::NoData, format!("{subject}: {number}")));
            }
            Sample::Number(number) => match breaks(*number) {
                Some(text) => {
                    worst = Some(*number);
                    broken.push(format!("{subject}: {text}"));
                }
                None => worst = worst.or(Some(*number)),
            },
            Sample::Missing(why, text) => missing = Some((*why, format!("{subject}: {text}"))),
            Sample::Pending(text) => {
                missing = Some((Unknown::Pending, format!("{subject}: {text}")));
            }
            Sample::Counters { .. } | Sample::Pod { .. } => {
                missing = Some((
                    Unknown::Query,
                    format!("{subject}: not a condition or number"),
                ));
            }
        }
    }
    if readings.is_empty() {
        return Finding::unknown(Unknown::NoData, 0, "no pods to ask");
    }
    let mut finding = if !fatal.is_empty() {
        Finding::new(Verdict::Unhealthy, asked, fatal.join(", "))
    } else if !broken.is_empty() {
        memory.streak = memory.streak.saturating_add(1);
        let text = format!("{} ({} looks in a row)", broken.join(", "), memory.streak);
        if memory.streak >= consecutive.max(1) {
            Finding::new(Verdict::Unhealthy, asked, text)
        } else {
            let text = format!("{text}; {consecutive} would be unhealthy");
            Finding::unknown(Unknown::Pending, asked, text)
        }
    } else if let Some((why, text)) = missing {
        Finding::unknown(why, asked, text)
    } else {
        memory.streak = 0;
        memory.good_looks = memory.good_looks.saturating_add(1);
        let seen = worst.map_or(seen, |n| n.to_string());
        let text = format!("{seen} on {asked} of {asked} pods");
        Finding::new(Verdict::Healthy, asked, text)
    };
    finding.value = worst;
    finding
}

/// Judges the pods themselves.
fn pods(memory: &mut Memory, readings: &[Reading], max_restarts: u32, moving: bool) -> Finding {
    let mut fatal = Vec::new();
    let mut troubled = Vec::new();
    let mut pending = Vec::new();
    let (mut ready, mut all) = (0_usize, 0_usize);
    for Reading { subject, sample } in readings {
        match sample {
            Sample::Pod {
                ready: is_ready,
                restarts,
                ..
            } => {
                all += 1;
                ready += usize::from(*is_ready);
                remember_restarts(memory, subject, *restarts, *is_ready);
            }
            Sample::Fatal(text) => fatal.push(format!("{subject}: {text}")),
            Sample::Troubled(text) => troubled.push(format!("{subject}: {text}")),
            Sample::Pending(text) => pending.push(format!("{subject}: {text}")),
            Sample::Missing(why, text) => {
                return Finding::unknown(*why, all, format!("{subject}: {text}"));
            }
            Sample::Holds(..) | Sample::Number(_) | Sample::Counters { .. } => {
                return Finding::unknown(Unknown::Query, all, "not the state of a pod");
            }
        }
    }
    let restarts: u32 = memory
        .subjects
        .values()
        .map(|s| s.restarts.saturating_sub(s.restarts_before))
        .sum();
    let facts = format!("{ready} of {all} ready, {restarts} restarts");
    if !fatal.is_empty() {
        return Finding::new(
            Verdict::Unhealthy,
            all,
            format!("{} ({facts})", fatal.join(", ")),
        );
    }
    if restarts > max_restarts {
        let text = format!("{facts} since the run began, limit {max_restarts}");
        return Finding::new(Verdict::Unhealthy, all, text);
    }
    if !troubled.is_empty() {
        memory.streak = memory.streak.saturating_add(1);
        let text = format!("{} ({facts})", troubled.join(", "));
        return if memory.streak >= TROUBLE_LOOKS {
            Finding::new(Verdict::Unhealthy, all, text)
        } else {
            Finding::unknown(Unknown::Pending, all, text)
        };
    }
    memory.streak = 0;
    if all == 0 {
        return Finding::unknown(Unknown::NoData, 0, "no pods");
    }
    if moving && ready < all || !pending.is_empty() {
        let mut texts = pending;
        texts.push(facts);
        return Finding::unknown(Unknown::Pending, all, texts.join("; "));
    }
    if ready == all {
        memory.good_looks = memory.good_looks.saturating_add(1);
        return Finding::new(Verdict::Healthy, all, facts);
    }
    let text = format!(
        "{facts}, all ready in {} of {} looks",
        memory.good_looks, memory.looks
    );
    if memory.looks >= LEAST_LOOKS && memory.good_looks * 2 < memory.looks {
        Finding::new(Verdict::Unhealthy, all, text)
    } else {
        Finding::unknown(Unknown::Pending, all, text)
    }
}

/// Notes a pod's restarts. Those before the run, and those before the pod was first ready, do not
/// count: a pod that waits for its database is not a sick version.
fn remember_restarts(memory: &mut Memory, subject: &str, restarts: u32, ready: bool) {
    let known = memory.subjects.contains_key(subject);
    let pod = memory.subjects.entry(subject.to_owned()).or_default();
    if !known || !pod.was_ready {
        pod.restarts_before = restarts;
    }
    pod.was_ready |= ready;
    pod.restarts = restarts;
    while memory.subjects.len() > SUBJECTS && memory.subjects.pop_first().is_some() {}
}

/// Judges the share of good requests from the increments of every pod's counters.
fn share(
    memory: &mut Memory,
    readings: &[Reading],
    min: f64,
    min_requests: u64,
    steps: usize,
) -> Finding {
    let mut missing = None;
    let (mut good, mut total) = (0.0, 0.0);
    for Reading { subject, sample } in readings {
        match sample {
            Sample::Counters { good: g, total: t } if counts(*g, *t) => {
                let (more_good, more) = increment(memory, subject, *g, *t);
                good += more_good;
                total += more;
            }
            Sample::Missing(why, text) => missing = Some((*why, format!("{subject}: {text}"))),
            Sample::Counters { good: g, total: t } => {
                let text = format!("{subject}: {g} of {t} are not counts");
                missing = Some((Unknown::NoData, text));
            }
            Sample::Fatal(text)
            | Sample::Troubled(text)
            | Sample::Pending(text)
            | Sample::Holds(_, text) => {
                missing = Some((Unknown::Query, format!("{subject}: {text}")));
            }
            Sample::Number(_) | Sample::Pod { .. } => {
                missing = Some((Unknown::Query, format!("{subject}: not counters")));
            }
        }
    }
    if readings.is_empty() {
        return Finding::unknown(Unknown::NoData, 0, "no pods to ask");
    }
    // What the first look at a step finds came in before it, at another weight: it is evidence
    // against the version, but it proves nothing at this step.
    if memory.looks > 1 {
        memory.good += good;
        memory.total += total;
    }
    memory
        .evidence
        .observe(total - good, total, 1.0 - min, steps);
    weigh(memory, min, min_requests, missing)
}

fn counts(good: f64, total: f64) -> bool {
    good.is_finite() && total.is_finite() && good >= 0.0 && total >= 0.0
}

/// Returns how far a pod's counters moved since the last look; a counter that fell was reset, and
/// what it shows now is what came since.
fn increment(memory: &mut Memory, subject: &str, good: f64, total: f64) -> (f64, f64) {
    let before = memory.subjects.get(subject).copied();
    let pod = memory.subjects.entry(subject.to_owned()).or_default();
    (pod.good, pod.total) = (good, total);
    let Some(before) = before else {
        return (0.0, 0.0);
    };
    let (more_good, more) = if total < before.total || good < before.good {
        (good, total)
    } else {
        (good - before.good, total - before.total)
    };
    (more_good.min(more), more)
}

fn weigh(
    memory: &Memory,
    min: f64,
    min_requests: u64,
    missing: Option<(Unknown, String)>,
) -> Finding {
    let (good, total) = (memory.good, memory.total);
    let requests = rounded(total);
    let observed = if total > 0.0 { good / total } else { 0.0 };
    let mut text = if total > 0.0 {
        format!(
            "{} ({} of {requests} requests)",
            percent(observed),
            rounded(good)
        )
    } else {
        "no requests".to_owned()
    };
    if memory.evidence.condemns() {
        let odds = memory.evidence.log_value().exp().min(1e6);
        let _ = write!(text, ", below {} with evidence {odds:.0}:1", percent(min));
        let finding = Finding::new(Verdict::Unhealthy, 0, text);
        return Finding {
            samples: requests,
            ..finding.with_value(observed)
        };
    }
    let unknown = if let Some((why, what)) = missing {
        let _ = write!(text, "; {what}");
        Some(why)
    } else if total <= 0.0 {
        let _ = write!(text, ", {min_requests} wanted");
        Some(Unknown::NoTraffic)
    } else if requests < min_requests {
        let _ = write!(text, ", {min_requests} wanted");
        Some(Unknown::TooFew)
    } else if observed < min || memory.evidence.suspects() {
        let odds = memory.evidence.log_value().exp();
        let _ = write!(
            text,
            ", limit {}, evidence {odds:.1}:1, need 100:1",
            percent(min)
        );
        Some(Unknown::Pending)
    } else {
        None
    };
    let verdict = unknown.map_or(Verdict::Healthy, |_| Verdict::Unknown);
    Finding {
        verdict,
        unknown,
        value: (total > 0.0).then_some(observed),
        samples: requests,
        text,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are finite, not negative and far below 2^53"
)]
fn rounded(count: f64) -> u64 {
    count.round() as u64
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const WATCHING: Circumstances = Circumstances {
        steps: 4,
        moving: false,
    };
    use crate::domain::check::Severity;

    fn spec(rule: Rule) -> CheckSpec {
        CheckSpec {
            name: "check".into(),
            probe: "test".into(),
            options: Value::Null,
            rule,
            severity: Severity::Rollback,
        }
    }

    fn reading(subject: &str, sample: Sample) -> Reading {
        Reading {
            subject: subject.into(),
            sample,
        }
    }

    fn pod(ready: bool, restarts: u32) -> Reading {
        let created = jiff::Timestamp::UNIX_EPOCH;
        let sample = Sample::Pod {
            ready,
            restarts,
            created,
        };
        reading("p", sample)
    }

    fn counters(good: f64, total: f64) -> Vec<Reading> {
        vec![reading("p", Sample::Counters { good, total })]
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
            Rule::Number {
                min: None,
                max: Some(1.0),
                consecutive: 1,
            },
            Rule::Pods { max_restarts: 3 },
        ];
        for rule in rules {
            let result = judge(&spec(rule), &mut Memory::default(), &[], WATCHING);
            assert_eq!(result.verdict, Verdict::Unknown, "{rule:?}");
        }
    }

    #[test]
    fn nan_and_infinite_numbers_are_unknown() {
        let number_spec = spec(Rule::Number {
            min: Some(0.0),
            max: None,
            consecutive: 1,
        });
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
        assert_eq!((memory.good, memory.total), (0.0, 0.0));
    }

    #[test]
    fn a_very_small_number_is_a_number() {
        let spec = spec(Rule::Number {
            min: None,
            max: Some(0.05),
            consecutive: 1,
        });
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
        let mut verdict =
            |readings: &[Reading]| judge(&spec, &mut memory, readings, WATCHING).verdict;
        assert_eq!(verdict(&bad), Verdict::Unknown);
        assert_eq!(verdict(&bad), Verdict::Unknown);
        assert_eq!(verdict(&good), Verdict::Healthy);
        assert_eq!(verdict(&bad), Verdict::Unknown);
        assert_eq!(verdict(&bad), Verdict::Unknown);
        assert_eq!(verdict(&bad), Verdict::Unhealthy);
    }

    #[test]
    fn restarts_before_the_run_do_not_count() {
        let spec = spec(Rule::Pods { max_restarts: 3 });
        let mut memory = Memory::default();
        assert_eq!(
            judge(&spec, &mut memory, &[pod(true, 40)], WATCHING).verdict,
            Verdict::Healthy
        );
        assert_eq!(
            judge(&spec, &mut memory, &[pod(true, 43)], WATCHING).verdict,
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
            steps: 4,
            moving: true,
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
        assert_eq!((memory.good, memory.total), (30.0, 30.0));
    }

    #[test]
    fn too_few_requests_are_unknown_however_good() {
        let mut memory = Memory::default();
        judge(&spec(SHARE), &mut memory, &counters(0., 0.), WATCHING);
        let result = judge(&spec(SHARE), &mut memory, &counters(19., 19.), WATCHING);
        assert_eq!(result.unknown, Some(Unknown::TooFew));
        let result = judge(&spec(SHARE), &mut memory, &counters(20., 20.), WATCHING);
        assert_eq!(result.verdict, Verdict::Healthy);
    }

    #[test]
    fn a_share_below_the_limit_is_held_until_it_is_proven() {
        let mut memory = Memory::default();
        let (mut good, mut total) = (0.0, 0.0);
        let mut verdicts = Vec::new();
        for _ in 0..12 {
            judge(&spec(SHARE), &mut memory, &counters(good, total), WATCHING);
            (good, total) = (good + 7.0, total + 10.0);
            verdicts
                .push(judge(&spec(SHARE), &mut memory, &counters(good, total), WATCHING).verdict);
        }
        assert!(!verdicts.contains(&Verdict::Healthy));
        assert_eq!(verdicts.last(), Some(&Verdict::Unhealthy));
    }
}
