//! Failures that are past: a burst of a minute does not spoil the proof of a step for good.
//!
//! Owns: when such a time began and ended, and how often one was passed over. Must not: take back evidence against the
//! canary, or decide what follows.
//!
//! What a step has to prove is proven anew from the end of the failures on. Each proof is another chance to be wrong, so
//! that a later one has a smaller probability of error. The brake, where it is on, takes the traffic off meanwhile.

use super::Circumstances;
use crate::{
    analysis::{
        counts::{Counts, Look},
        forecast,
        proof::BETA,
        share::{LEAST_BAD, Rules},
    },
    domain::{check::Requests, meters::seconds},
};

/// Longest time of failures that is passed over, in seconds.
const LONGEST: f64 = 90.0;

/// Seconds without failures beyond the limit after which they are past.
const PAST: f64 = 30.0;

/// Times in one run.
const TIMES: u32 = 2;

/// Probability at which so many failures among the requests of one look at the limit are chance; a canary that is a
/// little beyond its limit all the time has no burst.
const CHANCE: f64 = 1e-6;

/// Takes in a look at the step.
pub(super) fn observe(
    requests: &mut Requests,
    rules: &Rules,
    look: &Look,
    circumstances: Circumstances,
) {
    let Some(limit) = rules.limit else {
        return;
    };
    let now = circumstances.now;
    let canary = look.canary;
    let episode = &mut requests.episode;
    if is_beyond(canary, limit) && (episode.began.is_some() || is_no_chance(canary, limit)) {
        episode.began.get_or_insert(now);
        episode.last = Some(now);
        return;
    }
    let Some((began, last)) = episode.began.zip(episode.last) else {
        return;
    };
    if canary.all() <= 0.0 || seconds(last, now) < PAST {
        return;
    }
    (episode.began, episode.last) = (None, None);
    if seconds(began, last) + look.seconds <= LONGEST && episode.passed < TIMES {
        episode.passed += 1;
        episode.anew = true;
        requests.share.prove_anew();
        let others = requests.without.values_mut();
        others.for_each(|others| others.share.prove_anew());
    }
}

fn is_beyond(canary: Counts, limit: f64) -> bool {
    canary.bad() >= LEAST_BAD && canary.share().is_some_and(|share| share > limit)
}

/// Returns whether independent requests at the limit show so many failures less often than [`CHANCE`], by Chernoff's
/// bound of the binomial tail.
fn is_no_chance(canary: Counts, limit: f64) -> bool {
    let nats = |share| canary.all() * forecast::divergence(share, limit);
    canary.share().map_or(0.0, nats) >= -CHANCE.ln()
}

/// Returns the probability of error that a proof of the step has: half of it with each time that was passed over.
pub(super) fn beta(requests: &Requests) -> f64 {
    BETA / 2f64.powf(f64::from(requests.episode.passed))
}
