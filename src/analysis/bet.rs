//! What one look wins or loses for a bet against the canary.
//!
//! Owns: the gains (logarithms of the factor) for each alternative "how much worse". Each bet is fair:
//! while the canary is acceptable its expected factor is at most 1. Must not: remember anything.
//!
//! The bets of [`absolute`] and [`relative`] take one look as one bounded observation, so that requests
//! of one look may depend on each other in any way. Those named `_by_request` multiply over requests.

use super::{counts::Counts, split::Split};

/// Number of alternatives a bet is spread over.
pub const ALTERNATIVES: usize = 8;

/// How much worse than tolerated the alternatives are: shifts of the log-odds, or of the log-ratio.
pub const SHIFT: [f64; ALTERNATIVES] = [0.25, 0.5, 0.85, 1.3, 1.9, 2.8, 4.2, 6.5];

/// Fractions of a limit that stand for "how much better" where safety is to be proven.
pub const FRACTION: [f64; 5] = [0.01, 0.10, 0.25, 0.45, 0.65];

/// Gain of each alternative, in nats.
pub type Gains = [f64; ALTERNATIVES];

/// Gain of each alternative of a proof of safety, in nats.
pub type SafeGains = [f64; FRACTION.len()];

/// A bet that was not placed.
pub const NO_GAIN: Gains = [0.0; ALTERNATIVES];

/// Bets on "the share of bad requests is above `limit`" from one look as one observation. Fair while
/// the expected share is at most `limit`, whatever the dependence inside the look. Nothing is won
/// without requests or with a limit outside (0, 1).
pub fn absolute(canary: Counts, limit: f64) -> Gains {
    let (Some(share), true) = (canary.share(), is_rate(limit)) else {
        return NO_GAIN;
    };
    SHIFT.map(|shift| {
        let worse = shift_odds(limit, shift);
        (share * worse / limit + (1.0 - share) * (1.0 - worse) / (1.0 - limit)).ln()
    })
}

/// Bets on "the canary's rate is above `ratio` times stable's" from one look as one observation: which
/// share of the bad requests is the canary's? `ratio` is corrected for small looks beforehand
/// ([`Background::corrected`](super::background::Background::corrected)).
pub fn relative(canary_bad: f64, stable_bad: f64, split: Split, ratio: f64) -> Gains {
    let bad = canary_bad + stable_bad;
    if !(bad > 0.0 && is_comparable(split, ratio)) {
        return NO_GAIN;
    }
    let share = canary_bad / bad;
    SHIFT.map(|shift| {
        let base = -elsewhere(split, ratio, shift.exp_m1());
        (share * (shift + base).exp() + (1.0 - share) * base.exp()).ln()
    })
}

/// Bets as [`absolute`] but on every request by itself: fair for independent requests, and for clusters
/// of at most `dispersion` (≥ 1) of them.
pub fn absolute_by_request(canary: Counts, limit: f64, dispersion: f64) -> Gains {
    if !is_rate(limit) {
        return NO_GAIN;
    }
    let good = canary.all() - canary.bad();
    SHIFT.map(|shift| {
        let worse = shift_odds(limit, shift);
        let gain =
            canary.bad() * (worse / limit).ln() + good * ((-worse).ln_1p() - (-limit).ln_1p());
        gain / dispersion.max(1.0)
    })
}

/// Bets as [`relative`] but on every bad request by itself; see [`absolute_by_request`].
pub fn relative_by_request(
    canary_bad: f64,
    stable_bad: f64,
    split: Split,
    ratio: f64,
    dispersion: f64,
) -> Gains {
    let bad = canary_bad + stable_bad;
    if !(bad > 0.0 && is_comparable(split, ratio)) {
        return NO_GAIN;
    }
    SHIFT.map(|shift| {
        let gain = canary_bad * shift - bad * elsewhere(split, ratio, shift.exp_m1());
        gain / dispersion.max(1.0)
    })
}

/// Bets on "the canary has fewer than `ratio` times stable's events", where more is better (orders,
/// conversions); on every event by itself.
pub fn decrease_by_request(
    canary_events: f64,
    stable_events: f64,
    split: Split,
    ratio: f64,
    dispersion: f64,
) -> Gains {
    let events = canary_events + stable_events;
    if !(events > 0.0 && is_comparable(split, ratio)) {
        return NO_GAIN;
    }
    SHIFT.map(|shift| {
        let gain = -canary_events * shift - events * elsewhere(split, ratio, (-shift).exp_m1());
        gain / dispersion.max(1.0)
    })
}

/// Bets on "the share of bad requests is below `limit`". Fair while it is at least `limit`, for
/// independent requests and clusters of at most `dispersion`.
pub fn safe(canary: Counts, limit: f64, dispersion: f64) -> SafeGains {
    if !is_rate(limit) {
        return [0.0; FRACTION.len()];
    }
    let good = canary.all() - canary.bad();
    FRACTION.map(|fraction| {
        let gain =
            canary.bad() * fraction.ln() + good * ((-limit * fraction).ln_1p() - (-limit).ln_1p());
        gain / dispersion.max(1.0)
    })
}

/// Bets on "the canary's rate is below `ratio` times stable's"; see [`safe`].
pub fn safe_relative(
    canary_bad: f64,
    stable_bad: f64,
    split: Split,
    ratio: f64,
    dispersion: f64,
) -> SafeGains {
    let bad = canary_bad + stable_bad;
    if !(bad > 0.0 && is_comparable(split, ratio)) {
        return [0.0; FRACTION.len()];
    }
    FRACTION.map(|fraction| {
        let gain = canary_bad * fraction.ln() - bad * elsewhere(split, ratio, fraction - 1.0);
        gain / dispersion.max(1.0)
    })
}

/// Returns the gains, each cut to `most`. A bet that is cut is still fair.
pub fn at_most(gains: Gains, most: f64) -> Gains {
    gains.map(|gain| gain.min(most))
}

/// Returns the rate whose odds are `e^shift` times those of `rate`, in (0, 1].
fn shift_odds(rate: f64, shift: f64) -> f64 {
    rate / (rate + (1.0 - rate) * (-shift).exp())
}

/// Returns the logarithm of the factor by which the expected number of bad requests, both sides
/// together, grows when the canary's grows by `1 + more` from `ratio`.
fn elsewhere(split: Split, ratio: f64, more: f64) -> f64 {
    let canary = split.canary() * ratio;
    (canary * more / (canary + split.stable())).ln_1p()
}

fn is_rate(limit: f64) -> bool {
    limit > 0.0 && limit < 1.0
}

fn is_comparable(split: Split, ratio: f64) -> bool {
    split.canary() > 0.0 && split.stable() > 0.0 && ratio > 0.0 && ratio.is_finite()
}
