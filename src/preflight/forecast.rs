//! How long the plan takes at stable's traffic.
//!
//! Owns: stable's rate from its counters, and what is said of the time. Must not: judge.

use std::time::Duration;

use super::{fine, found, ground::Ground};
use crate::{
    analysis::words::decimal,
    domain::{
        check::{CheckSpec, Reading, Sample},
        forecast::{Forecast, forecast},
        judge::duration,
        view::{Finding, Severity},
    },
};

/// Requests of stable from which its rate is known.
const ENOUGH: f64 = 20.0;

/// Requests/s that a load is proposed with.
const PROPOSED: f64 = 1.0;

/// What stable's counters say since its pods were started.
struct Seen {
    /// Requests/s of all pods.
    rate: f64,
    /// Share of them that failed.
    bad: f64,
}

/// Returns how long the plan takes, where stable's traffic is known and something counts requests.
pub(super) fn finding(ground: &Ground<'_>, read: &[(&CheckSpec, Vec<Reading>)]) -> Option<Finding> {
    let seen = read
        .iter()
        .find_map(|(_, readings)| seen(ground, readings))?;
    let plan = ground.subject.plan;
    let at = |rate: f64| forecast(plan, rate, seen.bad);
    // The plan's own load comes on top of what stable gets by itself.
    let load = plan.load.as_ref().map_or(0.0, |load| load.rate);
    let rate = seen.rate + load;
    let forecast = at(rate)?;
    let place = format!("plan of {}", ground.subject.app);
    let whole = duration(forecast.whole());
    let rate = format!("{} requests/s", decimal(rate));
    if !forecast.waits_for_traffic() {
        let what = format!("at {rate} the plan takes about {whole}");
        return Some(fine(place, what));
    }
    let step = forecast.longest();
    let what = format!(
        "at {rate} the plan takes about {whole}, {} of it in step {}",
        duration(forecast.steps[step]),
        step + 1
    );
    let holds = duration(forecast.holds);
    let why =
        format!("a step ends when the canary has had enough requests; the holds alone are {holds}");
    Some(found(
        Severity::Warning,
        place,
        what,
        why,
        way_out(&forecast, at(seen.rate + load + PROPOSED)),
    ))
}

fn way_out(now: &Forecast, loaded: Option<Forecast>) -> String {
    let loaded = loaded.map(|forecast| forecast.whole());
    match loaded.filter(|loaded| *loaded < 0.8 * now.whole()) {
        Some(loaded) => format!(
            "a `load` of {PROPOSED}/s would make it {}; so would greater first steps",
            duration(loaded)
        ),
        None => "greater first steps make it shorter".to_owned(),
    }
}

/// Returns stable's rate by counters that began with its pods.
fn seen(ground: &Ground<'_>, readings: &[Reading]) -> Option<Seen> {
    let now = ground.cluster.clock().now();
    let pods = &ground.stable_facts.pods;
    let age = |subject: &str| {
        let of = pods
            .iter()
            .filter(|pod| subject.is_empty() || pod.name == subject);
        let oldest = of.map(|pod| pod.created).min()?;
        let age = Duration::try_from(now.duration_since(oldest)).ok()?;
        Some(age.as_secs_f64())
    };
    let (mut all, mut bad, mut rate) = (0.0, 0.0, 0.0);
    for Reading { subject, sample } in readings {
        let (total, failed) = match sample {
            Sample::Totals { totals, .. } => (totals.all?, totals.bad.unwrap_or(0.0)),
            Sample::Counters { good, total, .. } => (*total, total - good),
            Sample::Missing(..)
            | Sample::Holds(..)
            | Sample::Number(_)
            | Sample::Numbers { .. }
            | Sample::Pod { .. }
            | Sample::Fatal(_)
            | Sample::Troubled(_)
            | Sample::Pending(_) => return None,
        };
        let age = age(subject).filter(|age| *age > 0.0)?;
        all += total;
        bad += failed;
        rate += total / age;
    }
    let known = all.is_finite() && all >= ENOUGH && rate > 0.0;
    known.then(|| Seen {
        rate,
        bad: (bad / all).clamp(0.0, 1.0),
    })
}
