//! Evidence without one pod: what is bad on a single one of several is no bad version.
//!
//! Owns: one share of bad requests for each pod that is left out. Must not: decide what follows.
//!
//! That *some* pod is bad for reasons of its own is a union of possibilities, so that the least of the values counts,
//! and no further probability of error is spent. Where there is a brake, a pause of the traffic outlasts such pods.

use std::{collections::BTreeMap, ops::RangeInclusive};

use super::Circumstances;
use crate::{
    analysis::{
        counts::{Counts, Look},
        evidence::SUSPICION,
        share::{Rules, Share},
    },
    domain::check::{Others, Requests},
};

/// Numbers of pods of which each is left out: of more, a single one has so small a part of the requests that it is not
/// worth remembering.
pub const LEFT_OUT: RangeInclusive<u32> = 2..=8;

/// Part of the requests of evenly loaded pods that the others need before one is left out.
const LEAST_PART: f64 = 0.5;

/// Returns a look without each of the pods, as `rest` makes it of what the pod itself brought; `None` where none is left
/// out: the brake is on, or there are too many.
pub(super) fn each_of<T>(
    pods: &BTreeMap<String, T>,
    circumstances: Circumstances,
    rest: impl Fn(&T) -> Option<Look>,
) -> Option<Vec<(String, Look)>> {
    let many = u32::try_from(pods.len()).map_or(true, |pods| pods > *LEFT_OUT.end());
    if many || circumstances.brake.is_some() {
        return None;
    }
    let without = |(pod, own): (&String, &T)| Some((pod.clone(), rest(own)?));
    Some(pods.iter().filter_map(without).collect())
}

/// Takes in a look: as a whole, and without each pod of the canary. Before the whole is taken in.
pub(super) fn observe(
    requests: &mut Requests,
    rules: &Rules,
    (look, without): (&Look, Option<&[(String, Look)]>),
    circumstances: Circumstances,
) {
    let Some(without) = without else {
        requests.without.clear();
        return;
    };
    leave(requests, without);
    for (pod, _) in without {
        // Before a pod had its first request, all were without it.
        if !requests.without.contains_key(pod) {
            let others = Others {
                share: requests.share.clone(),
                ..Others::default()
            };
            requests.without.insert(pod.clone(), others);
        }
    }
    for (pod, others) in &mut requests.without {
        let of = without.iter().find(|(name, _)| name == pod);
        let look = of.map_or(look, |(_, look)| look);
        if let Some(look) = pair(others, look) {
            others.share.observe(rules, &look, circumstances.steps);
        }
    }
}

/// Returns the look with what waited for it; `None` where the others have shown nothing that stable's requests can be
/// compared with.
fn pair(others: &mut Others, look: &Look) -> Option<Look> {
    let (stable, seconds) = (
        others.stable.plus(look.stable),
        others.seconds + look.seconds,
    );
    let waits = look.canary.all() <= 0.0;
    (others.stable, others.seconds) = if waits {
        (stable, seconds)
    } else {
        (Counts::NONE, 0.0)
    };
    (!waits).then_some(Look {
        seconds,
        stable,
        ..*look
    })
}

/// Forgets pods that are gone; with one that alone was suspected goes what it had done.
fn leave(requests: &mut Requests, without: &[(String, Look)]) {
    if without.is_empty() {
        return;
    }
    let gone = |pod: &&String| !without.iter().any(|(name, _)| name == *pod);
    let gone: Vec<String> = requests.without.keys().filter(gone).cloned().collect();
    for pod in gone {
        let several = requests.without.len() > 1;
        let Some(others) = requests.without.remove(&pod) else {
            continue;
        };
        let suspected = |share: &Share| value(share) >= SUSPICION.ln();
        if several && suspected(&requests.share) && !suspected(&others.share) {
            requests.share = others.share;
        }
    }
}

/// Changes the share that this step has to exclude.
pub(super) fn demand(requests: &mut Requests, demanded: f64) {
    let others = requests.without.values_mut();
    others.for_each(|others| others.share.demand(demanded));
}

fn value(share: &Share) -> f64 {
    share.absolute_value().max(share.relative_value())
}

/// Begins a step.
pub(super) fn begin_step(requests: &mut Requests, demanded: f64, circumstances: Circumstances) {
    for others in requests.without.values_mut() {
        let share = &mut others.share;
        share.begin_step(circumstances.weight, demanded, circumstances.later);
        (others.stable, others.seconds) = (Counts::NONE, 0.0);
    }
}

/// Returns the evidence without each pod that can be left out: there are others, and they had at least half as many
/// requests as pods have that share them evenly. Of pods without requests nobody knows whether they are fine.
fn each(requests: &Requests) -> impl Iterator<Item = (&String, &Share)> {
    let pods = requests.without.len();
    #[expect(clippy::cast_precision_loss, reason = "pods are few")]
    let even = pods.saturating_sub(1) as f64 / pods.max(1) as f64;
    let least = requests.share.canary().all() * even * LEAST_PART;
    let told = move |share: &Share| pods > 1 && share.canary().all() >= least;
    let without = requests.without.iter();
    without
        .map(|(pod, others)| (pod, &others.share))
        .filter(move |(_, share)| told(share))
}

/// Returns the least evidence, against the limit and against the quotient, that is left without one pod; `None` where
/// none can be left out.
pub(super) fn least(requests: &Requests) -> Option<(f64, f64)> {
    let values = each(requests).map(|(_, share)| (share.absolute_value(), share.relative_value()));
    values.reduce(|a, b| (a.0.min(b.0), a.1.min(b.1)))
}

/// Returns whether what was seen at the step breaks the rules because of a single pod of several.
pub(super) fn is_of_one_pod(requests: &Requests, rules: &Rules) -> bool {
    each(requests).any(|(_, others)| !others.breaks(rules))
}

/// Returns whether the share that this step has to exclude is excluded without one pod, whichever it is: each has its
/// part of the probability of error.
pub(super) fn is_proven(requests: &Requests, beta: f64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "pods are few")]
    let pods = requests.without.len().max(1) as f64;
    each(requests).any(|(_, others)| others.is_proven(beta / pods))
}

/// Returns the pod without which the least is left, its own requests at the step, and how many others there are;
/// `None` where what the others show breaks the rules too, sure or not.
pub(super) fn suspect<'a>(
    requests: &'a Requests,
    rules: &Rules,
) -> Option<(&'a str, Counts, usize)> {
    let least = each(requests).min_by(|(_, a), (_, b)| value(a).total_cmp(&value(b)));
    let (pod, others) = least.filter(|(_, others)| !others.breaks(rules))?;
    let own = requests.share.canary().minus(others.canary());
    Some((pod, own, requests.without.len() - 1))
}
