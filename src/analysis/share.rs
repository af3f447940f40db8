//! The check of a share of bad requests: errors, or requests slower than a limit.
//!
//! Owns: what is remembered between looks, the absolute limit, the comparison with stable, proof. Must
//! not: know what made a request bad.

use serde::{Deserialize, Serialize};

use super::{
    background::Background,
    bet,
    counts::{Counts, Look},
    dispersion::Dispersion,
    evidence::{ALPHA, Evidence},
    incident::{self, Incident},
    proof::Proof,
    split::Split,
};

/// Share of errors below which a ratio never matters.
pub const FLOOR: f64 = 0.001;

/// Seconds of failure that evidence by request needs at least to become complete.
const BURST_SECONDS: f64 = 5.0;

/// Bad requests at a step before what was observed can hold the release.
pub const LEAST_BAD: f64 = 3.0;

/// How far requests may depend on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dependence {
    /// In any way inside one look.
    #[default]
    Look,
    /// Hardly: each request is evidence of its own, tempered by what stable shows of bursts.
    Request,
}

/// The limits of a check of a share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Highest tolerated share of bad requests, in (0, 1).
    pub limit: Option<f64>,
    /// Highest tolerated quotient of the canary's share and stable's, above 0.
    pub ratio: Option<f64>,
    /// Share below which the quotient does not matter.
    pub floor: f64,
    /// How far requests may depend on each other.
    pub dependence: Dependence,
    /// Recent bad requests of stable from which the absolute limit blames nobody
    /// ([`DOUBT`](super::incident::DOUBT)).
    pub doubt: f64,
}

impl Rules {
    /// Returns rules with a limit alone, as for "95 % of the requests take 500 ms at most".
    pub fn limit(limit: f64) -> Self {
        Self {
            limit: Some(limit),
            ratio: None,
            floor: FLOOR,
            dependence: Dependence::Look,
            doubt: incident::DOUBT,
        }
    }

    /// Returns the same rules with a highest quotient, above `floor`.
    pub fn with_ratio(self, ratio: f64, floor: f64) -> Self {
        Self {
            ratio: Some(ratio),
            floor,
            ..self
        }
    }
}

/// What a check of a share remembers; part of the journal.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Share {
    absolute: Evidence,
    ratio: Evidence,
    floor: Evidence,
    split: Split,
    background: Background,
    dispersion: Dispersion,
    incident: Incident,
    stable_fails: bool,
    proof: Proof,
    /// That the limit is kept, with all requests, those of looks at which stable failed among them.
    alone: Proof,
    ratio_proof: Proof,
    /// Share that has to be excluded at this step; 1 asks for no proof.
    to_exclude: Excluded,
    /// Requests of this step that tell the versions apart.
    canary: Counts,
    stable: Counts,
}

/// A share that has to be excluded; 1 by default, so that nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Excluded(f64);

impl Default for Excluded {
    fn default() -> Self {
        Self(1.0)
    }
}

impl Share {
    /// Begins a step with the canary's `weight` in (0, 1]; before it is left, the share `to_exclude` has
    /// to be excluded ([`rate_to_exclude`](super::proof::rate_to_exclude)). `later` is false at the
    /// first step. Evidence is kept, proof begins again.
    pub fn begin_step(&mut self, weight: f64, to_exclude: f64, later: bool) {
        if later {
            self.absolute.begin_step();
            self.ratio.begin_step();
            self.floor.begin_step();
        }
        self.split = Split::of(weight);
        self.to_exclude = Excluded(to_exclude);
        self.prove_anew();
    }

    /// Changes the share that this step has to exclude, where the traffic at stake was not known when
    /// it began. Proof begins again; nothing else does.
    pub fn demand(&mut self, to_exclude: f64) {
        self.proof = Proof::default();
        self.alone = Proof::default();
        self.to_exclude = Excluded(to_exclude);
    }

    /// Begins the step's proof and its counts anew; evidence stays.
    pub fn prove_anew(&mut self) {
        self.proof = Proof::default();
        self.alone = Proof::default();
        self.ratio_proof = Proof::default();
        (self.canary, self.stable) = (Counts::NONE, Counts::NONE);
    }

    /// Takes in one look, in a plan of `steps` steps.
    pub fn observe(&mut self, rules: &Rules, look: &Look, steps: usize) {
        self.split.observe(look);
        if let Some(limit) = rules.limit {
            self.incident.observe(look.stable, limit);
            self.stable_fails = self.incident.is_beyond(limit, incident::FAILING);
        }
        if look.canary.all() > 0.0 || look.stable.bad() > 0.0 {
            self.bet(rules, look, steps);
            self.prove(rules, look);
        }
        self.dispersion.observe(look.stable, self.stable_fails);
        self.background.observe(look.stable);
    }

    fn bet(&mut self, rules: &Rules, look: &Look, steps: usize) {
        let (canary, stable) = (look.canary, look.stable);
        let by_request = rules.dependence == Dependence::Request;
        let index = self.dispersion.index();
        let most = (1.0 / ALPHA).ln() * look.seconds / BURST_SECONDS;
        let absolute = |limit| {
            if by_request {
                bet::at_most(bet::absolute_by_request(canary, limit, index), most)
            } else {
                bet::absolute(canary, limit)
            }
        };
        if let Some(limit) = rules.limit {
            let gains = if self.incident.is_beyond(limit, rules.doubt) {
                bet::NO_GAIN
            } else {
                absolute(limit)
            };
            self.absolute.update(&gains, steps);
        }
        if let Some(ratio) = rules.ratio {
            let gains = if by_request {
                let gains =
                    bet::relative_by_request(canary.bad(), stable.bad(), self.split, ratio, index);
                bet::at_most(gains, most)
            } else {
                let corrected = self.background.corrected(ratio, canary.all(), stable.all());
                bet::relative(canary.bad(), stable.bad(), self.split, corrected)
            };
            self.ratio.update(&gains, steps);
            self.floor.update(&absolute(rules.floor), steps);
        }
    }

    fn prove(&mut self, rules: &Rules, look: &Look) {
        let index = self.dispersion.index();
        if let Some(limit) = rules.limit {
            self.alone.update(&bet::safe(look.doubtful, limit, index));
        }
        if !self.stable_fails {
            self.proof
                .update(&bet::safe(look.doubtful, self.to_exclude.0, index));
            self.canary = self.canary.plus(look.canary);
            self.stable = self.stable.plus(look.stable);
        }
        if let Some(ratio) = rules.ratio {
            let (canary, stable) = (look.doubtful.bad(), look.stable.bad());
            self.ratio_proof.update(&bet::safe_relative(
                canary, stable, self.split, ratio, index,
            ));
        }
    }

    /// Takes back the evidence that was won since `earlier`, a state of the same check in this run; see
    /// [`Evidence::forgive`].
    pub fn forgive(&mut self, earlier: &Self) {
        self.absolute.forgive(&earlier.absolute);
        self.ratio.forgive(&earlier.ratio);
        self.floor.forgive(&earlier.floor);
    }

    /// Returns by how much a look like the whole step adds to the logarithm of the evidence at most: against the limit,
    /// and against the quotient.
    pub fn growth(&self, rules: &Rules) -> (f64, f64) {
        let most = |gains: bet::Gains| gains.into_iter().fold(0.0, f64::max);
        let absolute = |limit| most(bet::absolute(self.canary, limit));
        let relative = |ratio| {
            let (canary, stable) = (self.canary.bad(), self.stable.bad());
            most(bet::relative(canary, stable, self.split, ratio)).min(absolute(rules.floor))
        };
        (
            rules.limit.map_or(0.0, absolute),
            rules.ratio.map_or(0.0, relative),
        )
    }

    /// Returns the logarithm of the evidence that the limit is broken.
    pub fn absolute_value(&self) -> f64 {
        self.absolute.log_value()
    }

    /// Returns the logarithm of the evidence that the quotient is broken, and that it matters: both
    /// have to be shown, so that the lesser counts.
    pub fn relative_value(&self) -> f64 {
        self.ratio_value().min(self.floor_value())
    }

    /// Returns the logarithm of the evidence that the quotient is broken.
    pub fn ratio_value(&self) -> f64 {
        self.ratio.log_value()
    }

    /// Returns the logarithm of the evidence that the share is above the floor.
    pub fn floor_value(&self) -> f64 {
        self.floor.log_value()
    }

    /// Returns whether the share that this step has to exclude is excluded, with at most `beta` of
    /// error.
    pub fn is_proven(&self, beta: f64) -> bool {
        self.to_exclude.0 >= 1.0 || self.proof.holds(beta)
    }

    /// Returns whether the canary is proven to keep the limit whatever stable does: all requests of the step are
    /// counted, and where something that both sides need fails, the canary's fail with it.
    pub fn is_acquitted(&self, beta: f64) -> bool {
        self.alone.holds(beta)
    }

    /// Returns whether the canary's share is proven to be below the tolerated multiple of stable's.
    pub fn is_ratio_proven(&self, beta: f64) -> bool {
        self.ratio_proof.holds(beta)
    }

    /// Returns whether what was seen at this step breaks the rules, proven or not: a reason to wait,
    /// never one to roll back.
    pub fn breaks(&self, rules: &Rules) -> bool {
        let Some(canary) = self
            .canary
            .share()
            .filter(|_| self.canary.bad() >= LEAST_BAD)
        else {
            return false;
        };
        let stable = self.stable.share().unwrap_or(0.0);
        let worse = |ratio: f64| canary > rules.floor.max(ratio * stable);
        let beyond = |limit: f64| canary > limit && stable <= limit;
        rules.ratio.is_some_and(worse) || rules.limit.is_some_and(beyond)
    }

    /// Returns whether stable itself is beyond the limit, so that the version is not to blame.
    pub fn stable_fails(&self) -> bool {
        self.stable_fails
    }

    /// Returns the share that this step has to exclude; 1 asks for no proof.
    pub fn to_exclude(&self) -> f64 {
        self.to_exclude.0
    }

    /// Returns the proof that the share to exclude is excluded.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// Returns the proof that the quotient is kept.
    pub fn ratio_proof(&self) -> &Proof {
        &self.ratio_proof
    }

    /// Returns the split that the sides are compared under.
    pub fn split(&self) -> Split {
        self.split
    }

    /// Returns the index of dispersion of stable's bad requests, 1 where they come one by one.
    pub fn dispersion(&self) -> f64 {
        self.dispersion.index()
    }

    /// Returns the canary's requests at this step, without those of looks at which stable failed.
    pub fn canary(&self) -> Counts {
        self.canary
    }

    /// Returns stable's requests at this step; see [`Share::canary`].
    pub fn stable(&self) -> Counts {
        self.stable
    }
}
