//! The plan's checks, asked of stable: what gives no answer there gives none of the canary.
//!
//! Owns: trying every check and the load's paths once. Must not: judge the canary, or make a look that
//! its probe says has an effect.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{
    FutureExt,
    future::{BoxFuture, Shared, join_all},
};
use http::Method;
use k8s_openapi::api::core::v1::Service;

use super::{fine, forecast, found, ground::Ground, metrics};
use crate::{
    analysis::{counts::Counts, histogram::bracket, interval, meter::Totals},
    cluster::{forward::AppRequest, pods::LivePod},
    domain::{
        check::{self, CheckSpec, Limits, Reading, Rule, Sample},
        judge::{limit, percent, span},
        plan::LoadRequest,
        verdict::Unknown,
        view::{Finding, Severity},
        workload::Track,
    },
    health::{
        self, Binding,
        source::{self, Source},
    },
};

/// Longest time a path of the load may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Probability of calling a stable broken that is at the limit.
const DOUBT: f64 = 0.001;

pub(super) async fn findings(ground: &Ground<'_>) -> Vec<Finding> {
    let plan = ground.subject.plan;
    let mut all = Vec::new();
    all.extend(nothing_but_pods(ground));
    let source = plan.metrics.as_ref();
    let source = source.map(|spec| source::bind(spec, ground.cluster));
    let source = match source.transpose() {
        Ok(source) => source,
        Err(error) => {
            let place = format!("plan of {}", ground.subject.app);
            let why = "nothing can be counted";
            let fix = "fix `metrics` in canary.yaml";
            return vec![found(Severity::Error, place, error.to_string(), why, fix)];
        }
    };
    let tell = |note| {
        let place = "metrics".to_owned();
        found(Severity::Note, place, note, "", "")
    };
    let notes = source.iter().flat_map(|source| source.notes());
    all.extend(notes.map(tell));
    // Asked when the first check waits for it, and once for all of them.
    let counted = source.clone();
    let counted = counted.map(|source| metrics::counted(ground, source).boxed().shared());
    // What the canary must pass before the first step may be what stable cannot do yet.
    let at_steps: Vec<&CheckSpec> = plan.at_steps().collect();
    let asked = at_steps
        .iter()
        .map(|check| one(ground, check, (source.as_ref(), counted.as_ref())));
    // Bodies are not sent: requests that differ in them alone are one.
    let mut known = BTreeSet::new();
    let requests = plan.load.iter().flat_map(|load| &load.requests);
    let sent = requests
        .filter(|request| known.insert((&request.method, &request.path)))
        .map(|request| path(ground, request));
    let (checks, paths) = futures::join!(join_all(asked), join_all(sent));
    let (checks, read): (Vec<_>, Vec<_>) = checks.into_iter().unzip();
    let read: Vec<_> = at_steps.into_iter().zip(read).collect();
    all.extend(forecast::finding(ground, &read));
    if let Some(source) = &source {
        all.extend(metrics::findings(ground, source.as_ref(), &read).await);
    }
    all.extend(together(checks.into_iter().flatten()));
    all.extend(paths);
    all
}

/// The readings of stable that all checks of requests share.
type Counted<'a> = Shared<BoxFuture<'a, Vec<Reading>>>;

/// Says once what was found alike of several checks, as of those that share a question.
fn together(all: impl Iterator<Item = Finding>) -> Vec<Finding> {
    let mut told: Vec<Finding> = Vec::new();
    for one in all {
        let alike = |other: &&mut Finding| {
            (other.severity, &other.what, &other.why, &other.fix)
                == (one.severity, &one.what, &one.why, &one.fix)
        };
        match told.iter_mut().find(alike) {
            Some(other) => other.place = format!("{}, {}", other.place, one.place),
            None => told.push(one),
        }
    }
    told
}

fn nothing_but_pods(ground: &Ground<'_>) -> Option<Finding> {
    let checks: Vec<&CheckSpec> = ground.subject.plan.at_steps().collect();
    let counts = |c: &&&CheckSpec| c.severity != check::Severity::Warn;
    let telling = checks
        .iter()
        .filter(counts)
        .any(|c| !matches!(c.rule, Rule::Pods { .. }));
    if telling {
        return None;
    }
    let what = if checks.iter().any(|c| counts(&c)) {
        "nothing but the pods is checked"
    } else {
        "nothing is checked"
    };
    Some(found(
        Severity::Warning,
        format!("plan of {}", ground.subject.app),
        what,
        "a version that runs and answers every request with an error would be promoted",
        "add a check to canary.yaml, such as `- http: {path: /health}` or one of the success rate",
    ))
}

/// Asks one check of stable; returns what was found, and what was read.
async fn one(
    ground: &Ground<'_>,
    check: &CheckSpec,
    (source, counted): (Option<&Arc<dyn Source>>, Option<&Counted<'_>>),
) -> (Vec<Finding>, Vec<Reading>) {
    let place = format!("check {}", check.name);
    let binding = Binding {
        cluster: ground.cluster,
        source,
    };
    let probe = match health::bind(check, &binding) {
        Ok(probe) => probe,
        Err(error) => {
            let why = "the check cannot be made";
            let fix = "fix the check in canary.yaml";
            let finding = found(Severity::Error, place, error.to_string(), why, fix);
            return (vec![finding], Vec::new());
        }
    };
    let mut all: Vec<Finding> = probe
        .notes()
        .into_iter()
        .map(|note| found(Severity::Note, place.clone(), note, "", ""))
        .collect();
    if let Some(effect) = probe.effect() {
        all.push(found(
            Severity::Note,
            place,
            format!("not tried, because {effect}"),
            "this check is read-only, also for the app",
            "",
        ));
        return (all, Vec::new());
    }
    if !ground.stable_facts.pods.iter().any(|p| p.ready) {
        all.push(found(
            Severity::Note,
            place,
            "not tried: stable has no ready pod to ask",
            "whether the check gives data is not known",
            "",
        ));
        return (all, Vec::new());
    }
    let look = metrics::look(ground, Track::Stable, &ground.stable_facts);
    let readings = match counted {
        Some(counted) if check.rule.counts() => counted.clone().await,
        _ => probe.look(&look).await,
    };
    let loaded = ground.subject.plan.load.is_some();
    all.extend(buckets(check, &place, &readings));
    all.push(weigh(check, &place, &readings, loaded));
    (all, readings)
}

fn is_harmless(method: &str) -> bool {
    method.eq_ignore_ascii_case("GET") || method.eq_ignore_ascii_case("HEAD")
}

fn service<'g>(ground: &'g Ground<'_>) -> Option<&'g Service> {
    let name = ground.subject.names.service.as_deref()?;
    ground.survey.service(name)
}

/// What one reading of stable says about the check.
enum Word {
    Fine(String),
    /// No data: the check would be unknown for ever.
    Empty(String),
    /// Stable itself breaks the limit.
    Broken(String),
    /// Data, but none to go by yet.
    Idle,
}

/// Says what the answers of stable mean for a check; `loaded` when the plan sends requests itself.
fn weigh(check: &CheckSpec, place: &str, readings: &[Reading], loaded: bool) -> Finding {
    let asked = readings.len();
    let summed = summed(readings);
    let readings = summed.as_slice();
    let answers = |number: usize| match readings.len() {
        1 => String::new(),
        all => format!(" ({number} of {all} answers)"),
    };
    let (mut empty, mut broken, mut idle, mut seen) = (Vec::new(), Vec::new(), 0, None);
    for Reading { subject, sample } in readings {
        let of = |text: String| match subject.as_str() {
            "" => text,
            subject => format!("{subject}: {text}"),
        };
        match word(check.rule, sample) {
            Word::Fine(text) => seen = Some(text),
            Word::Empty(text) => empty.push(of(text)),
            Word::Broken(text) => broken.push(of(text)),
            Word::Idle => idle += 1,
        }
    }
    if asked == 0 {
        return no_data(weight_of(check), check, place, "no pod to ask");
    }
    if let Some(first) = empty.first() {
        let text = format!("{first}{}", answers(empty.len()));
        let is_silence = |r: &Reading| matches!(r.sample, Sample::Missing(Unknown::NoData, _));
        let weight = if readings.iter().all(is_silence) {
            weight_of_silence(check)
        } else {
            weight_of(check)
        };
        return no_data(weight, check, place, &text);
    }
    if let Some(first) = broken.first() {
        let text = format!("{first}{}", answers(broken.len()));
        return breaks(check, place, &text);
    }
    if idle == readings.len() {
        // The plan's own requests come with the first step.
        let severity = if loaded {
            Severity::Note
        } else {
            Severity::Warning
        };
        return found(
            severity,
            place,
            "the counters are there and have counted no request",
            "without requests the share of good ones is unknown, and unknown never advances",
            "send traffic, or give the plan a `load`",
        );
    }
    let seen = seen.unwrap_or_default();
    fine(
        place,
        format!("the check works on stable: {seen}, {asked} asked"),
    )
}

/// Says where stable's buckets cannot prove the limit of a latency: what lies in the bucket that the limit divides may be
/// slower.
fn buckets(check: &CheckSpec, place: &str, readings: &[Reading]) -> Option<Finding> {
    let Rule::Latency { quantile, limits } = check.rule else {
        return None;
    };
    let max = limits.max.filter(|_| check.rule.is_sequential())?;
    let summed = summed(readings);
    let totals = summed.iter().find_map(|reading| match &reading.sample {
        Sample::Totals { totals, .. } => Some(totals),
        Sample::Missing(..)
        | Sample::Holds(..)
        | Sample::Number(_)
        | Sample::Numbers { .. }
        | Sample::Counters { .. }
        | Sample::Pod { .. }
        | Sample::Fatal(_)
        | Sample::Troubled(_)
        | Sample::Pending(_) => None,
    })?;
    let all = totals.all.filter(|all| *all > 0.0)?;
    let bounds: Vec<f64> = totals.buckets.iter().map(|(bound, _)| *bound).collect();
    let around = bracket(&bounds, max);
    if around.is_exact() {
        return None;
    }
    let (below, above) = (
        around.below.map(|at| totals.buckets[at]),
        around.above.map(|at| bounds[at]),
    );
    let slower = all - below.map_or(0.0, |(_, quick)| quick);
    let near: Vec<String> = below
        .map(|(bound, _)| bound)
        .into_iter()
        .chain(above)
        .filter(|bound| bound.is_finite())
        .map(span)
        .collect();
    let surely = surely_above(Counts::new(all, slower)?, 1.0 - quantile);
    let what = format!("no bucket of the histogram ends at {}", span(max));
    let fix = format!(
        "take {} as the limit, or give the histogram a bucket that ends at {}",
        near.join(" or "),
        span(max)
    );
    Some(if surely {
        let why = format!(
            "{} of stable's requests are slower than {}, so that no version as quick as stable proves the limit: the release would stop at its last step",
            percent(slower / all),
            below.map_or_else(|| "the first bucket".to_owned(), |(bound, _)| span(bound))
        );
        found(Severity::Warning, place, what, why, fix)
    } else {
        let why = "requests in the bucket that the limit divides count as slow where the limit has to be proven";
        found(Severity::Note, place, what, why, fix)
    })
}

/// Returns whether a share is surely above a limit; right at every number of requests, one of them as well.
fn surely_above(counts: Counts, max: f64) -> bool {
    interval::rate(counts, DOUBT).low > max
}

/// Returns the counters of all pods as one, where they are counters: few requests of a single pod say little.
fn summed(readings: &[Reading]) -> Vec<Reading> {
    let mut sum: Option<Totals> = None;
    let mut others = Vec::new();
    for reading in readings {
        let Sample::Totals { totals, .. } = &reading.sample else {
            others.push(reading.clone());
            continue;
        };
        let Some(sum) = &mut sum else {
            sum = Some(totals.clone());
            continue;
        };
        if !sum.adds(totals) {
            others.push(reading.clone());
        }
    }
    let sum = sum.map(|totals| Reading {
        subject: String::new(),
        sample: Sample::Totals {
            totals,
            born: false,
        },
    });
    others.into_iter().chain(sum).collect()
}

fn weight_of(check: &CheckSpec) -> Severity {
    match check.severity {
        check::Severity::Rollback | check::Severity::Hold => Severity::Error,
        check::Severity::Warn => Severity::Warning,
    }
}

/// Returns how bad it is that a check has nothing of stable.
pub(super) fn weight_of_silence(check: &CheckSpec) -> Severity {
    if check.rule.counts() && !check.rule.needs_stable() {
        // What the canary is held to by itself is seen once it has requests.
        Severity::Warning
    } else {
        weight_of(check)
    }
}

fn no_data(weight: Severity, check: &CheckSpec, place: &str, reason: &str) -> Finding {
    let fix = if check.rule.counts() {
        "fix `metrics`: its preset and selector must count the requests of the version that runs now"
    } else {
        "fix path, port or expression of the check; it must work on the version that runs now"
    };
    found(
        weight,
        place,
        format!("the check gives no data on stable: {reason}"),
        "without data the verdict is unknown, and unknown never advances: the release would stop at its first step",
        fix,
    )
}

fn breaks(check: &CheckSpec, place: &str, reason: &str) -> Finding {
    let compares = matches!(check.rule, Rule::Errors(_) | Rule::Latency { .. });
    if compares && check.rule.is_sequential() {
        return found(
            Severity::Warning,
            place,
            format!("stable itself breaks the check: {reason}"),
            format!(
                "the limit is: {}; while stable is beyond it no version is blamed, and only one that surely keeps it advances",
                limit(check.rule)
            ),
            "continue if the new version is the fix; else fix stable first, or choose a limit that it keeps",
        );
    }
    found(
        weight_of(check),
        place,
        format!("stable itself breaks the check: {reason}"),
        format!(
            "the limit is: {}; a version as good as stable would be rolled back, and a promotion undone",
            limit(check.rule)
        ),
        "fix stable first, or choose a limit that stable keeps",
    )
}

fn word(rule: Rule, sample: &Sample) -> Word {
    match (sample, rule) {
        (Sample::Missing(_, text), _) => Word::Empty(text.clone()),
        (Sample::Holds(true, text), _) => Word::Fine(text.clone()),
        (Sample::Holds(false, text) | Sample::Fatal(text) | Sample::Troubled(text), _) => {
            Word::Broken(text.clone())
        }
        (Sample::Pending(text), _) => Word::Broken(text.clone()),
        (Sample::Number(n) | Sample::Numbers { canary: n, .. }, _) if !n.is_finite() => {
            Word::Empty(n.to_string())
        }
        (Sample::Number(n) | Sample::Numbers { canary: n, .. }, Rule::Number(limits)) => {
            let low = limits.min.is_some_and(|min| *n < min);
            let high = limits.max.is_some_and(|max| *n > max);
            if low || high {
                Word::Broken(limits.unit.say(*n))
            } else {
                Word::Fine(limits.unit.say(*n))
            }
        }
        (Sample::Number(n) | Sample::Numbers { canary: n, .. }, _) => Word::Fine(n.to_string()),
        (Sample::Totals { totals, .. }, rule) => counted(rule, totals),
        (Sample::Counters { total, .. }, _) if *total <= 0.0 => Word::Idle,
        (Sample::Counters { good, total, .. }, Rule::Share { min, .. }) => {
            let share = good / total;
            let text = format!("{} of {total} requests good", percent(share));
            if surely_below(share, min, *total) {
                Word::Broken(text)
            } else {
                Word::Fine(text)
            }
        }
        (Sample::Counters { total, .. }, _) => Word::Fine(format!("{total} requests")),
        (Sample::Pod { ready: true, .. }, _) => Word::Fine("pods ready".to_owned()),
        (Sample::Pod { ready: false, .. }, _) => Word::Broken("not ready".to_owned()),
    }
}

/// Says what stable's counters since its pods' start mean: surely beyond a limit, or not.
fn counted(rule: Rule, totals: &Totals) -> Word {
    let Some(all) = totals.all.filter(|all| all.is_finite()) else {
        return Word::Empty("the number of requests is not a number".to_owned());
    };
    if all <= 0.0 {
        return Word::Idle;
    }
    let surely_above =
        |bad: f64, max: f64| Counts::new(all, bad).is_some_and(|counts| surely_above(counts, max));
    match rule {
        Rule::Errors(Limits { max, .. }) => {
            let bad = totals.bad.unwrap_or(0.0);
            let text = format!("{} of {all} requests failed", percent(bad / all));
            if max.is_some_and(|max| surely_above(bad, max)) {
                Word::Broken(text)
            } else {
                Word::Fine(text)
            }
        }
        Rule::Latency { quantile, limits } => {
            if totals.buckets.is_empty() {
                return Word::Empty("no histogram of latencies".to_owned());
            }
            let Some(max) = limits.max else {
                return Word::Fine(format!("latencies of {all} requests"));
            };
            let quick = totals.buckets.iter().find(|(bound, _)| *bound >= max);
            let slow = quick.map_or(0.0, |(_, quick)| (all - quick).max(0.0));
            let text = format!(
                "{} of {all} requests slower than {}",
                percent(slow / all),
                span(max)
            );
            if surely_above(slow, 1.0 - quantile) {
                Word::Broken(text)
            } else {
                Word::Fine(text)
            }
        }
        Rule::Condition { .. }
        | Rule::Number(_)
        | Rule::Share { .. }
        | Rule::Traffic { .. }
        | Rule::Pods { .. } => Word::Fine(format!("{all} requests")),
    }
}

/// Returns whether a share of good requests is below the limit by more than chance explains: by
/// three standard deviations of a share that is just at the limit, over `total` requests.
fn surely_below(share: f64, min: f64, total: f64) -> bool {
    share + 3.0 * (min * (1.0 - min) / total).sqrt() < min
}

/// Sends one request of the load to a pod of stable.
async fn path(ground: &Ground<'_>, request: &LoadRequest) -> Finding {
    let place = format!("load {} {}", request.method, request.path);
    if !is_harmless(&request.method) {
        return found(
            Severity::Note,
            place,
            format!("not tried, because it sends {}", request.method),
            "this check is read-only, also for the app; the release sends it to both sides",
            "make sure that the app takes it without harm",
        );
    }
    let Some((pod, port)) = someone(ground) else {
        return found(
            Severity::Note,
            place,
            "not tried: no ready pod of stable with a port",
            "",
            "",
        );
    };
    let asked = AppRequest {
        method: if request.method.eq_ignore_ascii_case("HEAD") {
            Method::HEAD
        } else {
            Method::GET
        },
        path: request.path.clone(),
        headers: BTreeMap::new(),
        body: Bytes::new(),
    };
    let answer = ground.cluster.ask_pod(&pod, port, &asked, TIMEOUT).await;
    let why = "requests of the load that fail on stable count as failed on the canary too";
    let fix = "choose a path that the app answers without harm";
    match answer {
        Ok(answer) if answer.status < 400 => fine(
            place,
            format!("stable answers with status {}", answer.status),
        ),
        Ok(answer) => {
            let severity = if answer.status < 500 {
                Severity::Note
            } else {
                Severity::Warning
            };
            let what = format!("stable answers with status {}", answer.status);
            found(severity, place, what, why, fix)
        }
        Err(error) => found(Severity::Warning, place, error.to_string(), why, fix),
    }
}

/// Returns a ready pod of stable and its port.
fn someone(ground: &Ground<'_>) -> Option<(String, u16)> {
    let ready = |pod: &&LivePod| {
        let name = pod.name();
        let mut pods = ground.stable_facts.pods.iter();
        pods.any(|p| p.ready && p.name == name)
    };
    let pod = ground.pods.iter().find(ready)?;
    let port = pod.app_port(service(ground));
    Some((pod.name().to_owned(), port?))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn said(rule: Rule, severity: check::Severity, samples: Vec<Sample>) -> Severity {
        let check = CheckSpec {
            name: "c".into(),
            probe: "http".into(),
            options: Value::Null,
            rule,
            severity,
            on_unknown: None,
            pre: false,
        };
        let reading = |sample| Reading {
            subject: "p".into(),
            sample,
        };
        let readings: Vec<Reading> = samples.into_iter().map(reading).collect();
        weigh(&check, "check c", &readings, false).severity
    }

    #[test]
    fn what_stable_says_decides_how_bad_a_check_is() {
        let share = Rule::Share {
            min: 0.95,
            min_requests: 20,
        };
        let condition = Rule::Condition { consecutive: 3 };
        let number = Rule::Number(check::Number {
            min: None,
            max: Some(5.0),
            consecutive: 1,
            ..check::Number::default()
        });
        let counters = |good, total| Sample::Counters {
            good,
            total,
            born: false,
        };
        let missing = Sample::Missing(Unknown::NoData, "null".into());
        for (rule, samples, expected) in [
            (
                condition,
                vec![Sample::Holds(true, "ok".into())],
                Severity::Ok,
            ),
            (
                condition,
                vec![Sample::Holds(false, "503".into())],
                Severity::Error,
            ),
            (
                condition,
                vec![Sample::Holds(true, "ok".into()), missing.clone()],
                Severity::Error,
            ),
            (condition, vec![], Severity::Error),
            (number, vec![Sample::Number(5.0)], Severity::Ok),
            (number, vec![Sample::Number(5.1)], Severity::Error),
            (number, vec![Sample::Number(f64::NAN)], Severity::Error),
            (share, vec![counters(99.0, 100.0)], Severity::Ok),
            // A few bad requests may be chance; many are not.
            (share, vec![counters(13.0, 14.0)], Severity::Ok),
            (share, vec![counters(900.0, 1000.0)], Severity::Error),
            (share, vec![counters(60.0, 100.0)], Severity::Error),
            (share, vec![counters(0.0, 0.0)], Severity::Warning),
            (
                share,
                vec![counters(0.0, 0.0), counters(9.9, 10.0)],
                Severity::Ok,
            ),
        ] {
            let shown = format!("{rule:?} {samples:?}");
            assert_eq!(
                said(rule, check::Severity::Rollback, samples),
                expected,
                "{shown}"
            );
        }
    }

    #[test]
    fn a_check_that_only_warns_is_no_error() {
        let samples = vec![Sample::Holds(false, "503".into())];
        let rule = Rule::Condition { consecutive: 1 };
        assert_eq!(
            said(rule, check::Severity::Warn, samples),
            Severity::Warning
        );
    }

    #[test]
    fn a_limit_within_a_bucket_is_named_with_the_bounds_to_use() {
        let check = |max| CheckSpec {
            name: "p95 latency".into(),
            probe: "latency".into(),
            options: Value::Null,
            rule: Rule::Latency {
                quantile: 0.95,
                limits: Limits {
                    max: Some(max),
                    max_ratio: None,
                    floor: 0.001,
                    min_requests: 20,
                    mode: check::Mode::Sequential,
                    dependence: crate::analysis::share::Dependence::Look,
                },
            },
            severity: check::Severity::Rollback,
            on_unknown: None,
            pre: false,
        };
        let stable = |quick: f64| {
            let totals = Totals {
                all: Some(1000.0),
                bad: Some(0.0),
                buckets: vec![(0.25, quick), (1.0, 1000.0), (f64::INFINITY, 1000.0)],
            };
            vec![Reading {
                subject: String::new(),
                sample: Sample::Totals {
                    totals,
                    born: false,
                },
            }]
        };
        let said = |max, quick| buckets(&check(max), "check p95 latency", &stable(quick));
        assert!(said(1.0, 900.0).is_none(), "it is a bound");
        let fine = said(0.5, 990.0).unwrap();
        assert_eq!(fine.severity, Severity::Note, "{fine:?}");
        assert!(
            fine.fix.starts_with("take 250 ms or 1 s as the limit"),
            "{fine:?}"
        );
        let never = said(0.5, 800.0).unwrap();
        assert_eq!(never.severity, Severity::Warning, "{never:?}");
        assert!(
            never
                .why
                .starts_with("20% of stable's requests are slower than 250 ms"),
            "{never:?}"
        );
    }

    #[test]
    fn what_is_alike_is_said_once() {
        let no_data = |place: &str, what: &str| found(Severity::Error, place, what, "why", "fix");
        let all = [
            no_data("check a", "no series"),
            no_data("check b", "no page"),
            no_data("check c", "no series"),
        ];
        let told = together(all.into_iter());
        let places: Vec<&str> = told.iter().map(|f| f.place.as_str()).collect();
        assert_eq!(places, ["check a, check c", "check b"]);
    }

    #[test]
    fn only_reading_methods_are_sent() {
        assert!(is_harmless("get") && is_harmless("HEAD"));
        assert!(!is_harmless("POST") && !is_harmless("DELETE"));
    }
}
