//! What the brake goes by in a check of requests.
//!
//! Owns: evidence by request beside that by look, and what is fresh since the last rest. Must not: decide
//! what the brake does.

use jiff::Timestamp;

use super::{
    Circumstances,
    case::{Case, parts, staked},
    words::{self, Subject},
};
use crate::{
    analysis::{
        counts::Look,
        latency::Slowdown,
        proof::BETA,
        rollout::Weighed,
        share::{Dependence, Rules, Share},
        silence::Quiet,
    },
    domain::{
        braking::Stage,
        check::{Apart, Early, Memory, Requests},
        meters::seconds,
    },
};

/// Seconds for which what the other way of counting has shown keeps a canary from being calm.
const LATELY: f64 = 20.0;

/// What the brake goes by in one check.
pub(super) struct Signs {
    /// Evidence by request.
    pub(super) quick: Vec<Weighed>,
    /// Evidence by look since the last rest.
    pub(super) fresh: Vec<Weighed>,
    /// Evidence by look with what was forgiven.
    pub(super) whole: Option<Vec<Weighed>>,
    /// Whether all is proven since the last rest, and nothing in the way.
    pub(super) settled: bool,
    /// Whether the look brought requests of the canary.
    pub(super) heard: bool,
}

/// Begins to remember what the brake goes by, where it is on; before the look is taken in.
pub(super) fn prepare(requests: &mut Requests, circumstances: Circumstances) {
    if circumstances.brake.is_none() {
        requests.early = None;
        return;
    }
    if requests.early.is_none() {
        requests.early = Some(Box::new(Early {
            quick: requests.share.clone(),
            calm: requests.share.clone(),
            calm_slowdown: requests.slowdown.clone(),
            ..Early::default()
        }));
    }
}

/// Takes in a look.
pub(super) fn observe(
    requests: &mut Requests,
    rules: &Rules,
    look: &Look,
    circumstances: Circumstances,
) {
    let steps = circumstances.steps;
    let Some(early) = &mut requests.early else {
        return;
    };
    let by_request = Rules {
        dependence: Dependence::Request,
        ..*rules
    };
    let unlimited = Look {
        seconds: f64::MAX,
        ..*look
    };
    early.quick.observe(&by_request, &unlimited, steps);
    if circumstances.warming > 0.0 {
        return;
    }
    if let Some(whole) = early.whole.as_mut().filter(|_| at_step(circumstances)) {
        whole.share.observe(rules, look, steps);
    }
    if let Some(fresh) = early.fresh.as_mut().filter(|_| requests.begun) {
        fresh.share.observe(rules, look, steps);
    }
}

/// Takes in the histograms of a look: `(bounds, canary, stable)`, cumulative.
pub(super) fn compare(
    requests: &mut Requests,
    (bounds, canary, stable): (&[f64], &[f64], &[f64]),
    (factor, dependence): (f64, Dependence),
    seconds: f64,
    circumstances: Circumstances,
) {
    let dispersion = requests.share.dispersion();
    let Some(early) = &mut requests.early else {
        return;
    };
    let fresh = early.fresh.as_mut().filter(|_| requests.begun);
    let whole = early.whole.as_mut().filter(|_| at_step(circumstances));
    for apart in whole.into_iter().chain(fresh) {
        let slowdown = apart
            .slowdown
            .get_or_insert_with(|| Slowdown::new(bounds, factor, dependence));
        slowdown.rebase(bounds);
        slowdown.observe(seconds, canary, stable, dispersion, circumstances.steps);
    }
}

/// Returns whether a step is looked at, and not what a probe brings, which has less traffic.
fn at_step(circumstances: Circumstances) -> bool {
    circumstances.brake == Some(Stage::Ordinary)
}

/// Begins a step, or a probe, with the canary's `weight` and the share `demanded` to be excluded.
pub(super) fn begin_step(requests: &mut Requests, demanded: f64, circumstances: Circumstances) {
    let weight = circumstances.weight;
    let Some(early) = &mut requests.early else {
        return;
    };
    early
        .quick
        .begin_step(weight, demanded, circumstances.later);
    if early.whole_step != circumstances.step {
        early.whole = None;
    }
    if let Some(whole) = early.whole.as_mut().filter(|_| at_step(circumstances)) {
        whole
            .share
            .begin_step(weight, demanded, circumstances.later);
        if let Some(slowdown) = &mut whole.slowdown {
            slowdown.begin_step(weight, circumstances.later);
        }
    }
    early.fresh = (circumstances.brake == Some(Stage::Probing)).then(|| {
        let mut share = Share::default();
        share.begin_step(weight, demanded, false);
        Apart {
            share,
            slowdown: None,
        }
    });
}

/// Changes the share that a probe has to exclude.
pub(super) fn demand(requests: &mut Requests, demanded: f64) {
    let early = requests.early.as_mut();
    if let Some(fresh) = early.and_then(|early| early.fresh.as_mut()) {
        fresh.share.demand(demanded);
    }
}

/// Returns what the other way of counting has against the canary by request, where it showed something lately: the pods
/// themselves, or the metrics provider.
pub(super) fn others(
    memory: &Memory,
    subject: &Subject,
    rules: &Rules,
    circumstances: Circumstances,
) -> Vec<Weighed> {
    let late = |at: Timestamp| seconds(at, circumstances.now) > LATELY;
    let other = memory.told(circumstances.witness.other());
    let lately = other.filter(|other| other.at.is_some_and(|at| !late(at)));
    lately.map_or_else(Vec::new, |other| quick(other, subject, rules))
}

/// Returns what a check has against the canary by request; nothing where the brake is off.
fn quick(requests: &Requests, subject: &Subject, rules: &Rules) -> Vec<Weighed> {
    let sides = |early: &Early| parts((&early.quick, requests.slowdown.as_ref()), subject, rules);
    requests.early.as_deref().map(sides).unwrap_or_default()
}

/// Returns what the brake goes by after a look; `None` where it is off. `others` is what the other way of counting has by
/// request, `stake` the logarithm of the share that the evidence of this one has.
pub(super) fn signs(
    requests: &Requests,
    (others, stake): (&[Weighed], f64),
    subject: &Subject,
    rules: &Rules,
) -> Option<Signs> {
    let early = requests.early.as_ref()?;
    let of = |apart: &Apart| parts((&apart.share, apart.slowdown.as_ref()), subject, rules);
    let mut quick = quick(requests, subject, rules);
    for (part, other) in quick.iter_mut().zip(others) {
        part.log_value = part.log_value.max(other.log_value);
    }
    Some(Signs {
        quick,
        fresh: early.fresh.as_ref().map(of).unwrap_or_default(),
        whole: early.whole.as_ref().map(|whole| staked(of(whole), stake)),
        settled: false,
        heard: false,
    })
}

/// Returns whether a check that was begun anew after a rest is proven, and nothing in the way but the
/// evidence of all checks.
pub(super) fn is_settled(case: &Case, requests: &Requests) -> bool {
    let early = requests.early.as_ref();
    let Some(fresh) = early.and_then(|early| early.fresh.as_ref()) else {
        return false;
    };
    let share = &fresh.share;
    case.missing.is_none()
        && requests.begun
        && case.quiet == Quiet::No
        && case.nothing_compared().is_none()
        && !share.stable_fails()
        && words::rounded(share.canary().all()) >= case.least(requests).max(1)
        && !share.breaks(&case.rules)
        && share.is_proven(BETA)
}
