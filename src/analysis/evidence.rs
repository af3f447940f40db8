//! Evidence against the canary over a whole run, right at every peek.
//!
//! Owns: a running bet ("e-process") over alternatives of how much worse the canary is, and since when.
//! While the canary is acceptable, the bet's value ever reaches 1/α with probability α at most, however
//! often one looks (Ville's inequality). Must not: be reset during a run.

use serde::{Deserialize, Serialize};

use super::{
    bet::{self, ALTERNATIVES, Gains},
    counts::Counts,
    logarithm::{log_add, log_sum},
};

/// Probability of condemning a canary that is within its limits, over the whole run.
pub const ALPHA: f64 = 0.01;

/// Value of the evidence from which a canary is under suspicion: it may not advance.
pub const SUSPICION: f64 = 5.0;

/// Prior weight of each alternative; they sum to 1.
const WEIGHT: [f64; ALTERNATIVES] = [0.15, 0.18, 0.16, 0.14, 0.12, 0.10, 0.08, 0.07];

/// Prior share of onsets at the start of the run.
const ONSET_START: f64 = 0.60;
/// Prior share of onsets at the start of a later step.
const ONSET_STEP: f64 = 0.15;
/// Prior share of onsets at any look.
const ONSET_ANY: f64 = 0.25;

/// Looks after which half of the prior on a late onset is staked.
const HALF: f64 = 120.0;

/// The running bet of one check; part of the journal, never reset during a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Evidence {
    /// Logarithm of the bet on each alternative; `None` where nothing is staked yet.
    log_r: [Option<f64>; ALTERNATIVES],
    /// Prior not staked yet.
    left: f64,
    /// Looks that brought data.
    looks: u32,
    /// Whether a step began since the last look with data.
    step_began: bool,
}

impl Default for Evidence {
    fn default() -> Self {
        Self {
            log_r: [None; ALTERNATIVES],
            left: 1.0,
            looks: 0,
            step_began: false,
        }
    }
}

impl Evidence {
    /// Notes that a later step began: a likely moment for a canary to turn bad.
    pub fn begin_step(&mut self) {
        self.step_began = true;
    }

    /// Takes in the gains of one look with data, in a plan of `steps` steps. Gains that are no numbers
    /// are taken as nothing won.
    pub fn update(&mut self, gains: &Gains, steps: usize) {
        let stake = self.stake(steps).ln();
        for (log_r, gain) in self.log_r.iter_mut().zip(gains) {
            let gain = if gain.is_nan() { 0.0 } else { *gain };
            let value = log_add(log_r.unwrap_or(f64::NEG_INFINITY), stake) + gain;
            *log_r = Some(value.min(f64::MAX)).filter(|r| r.is_finite());
        }
    }

    /// Takes in one look: `bad` of `all` requests (both ≥ 0), against the limit `p0` in (0, 1), in a
    /// plan of `steps` steps. A look without requests changes nothing.
    pub fn observe(&mut self, bad: f64, all: f64, p0: f64, steps: usize) {
        let counts = Counts::new(all, bad).filter(|c| c.all() > 0.0);
        let Some(counts) = counts.filter(|_| all > 0.0 && p0 > 0.0 && p0 < 1.0) else {
            return;
        };
        self.update(&bet::absolute(counts, p0), steps);
    }

    /// Returns the natural logarithm of the bet's value; 0 before any look.
    pub fn log_value(&self) -> f64 {
        let staked = self
            .log_r
            .iter()
            .zip(WEIGHT)
            .map(|(r, weight)| r.map_or(f64::NEG_INFINITY, |r| weight.ln() + r));
        log_sum(staked.chain([self.left.ln()]))
    }

    /// Returns whether the canary is worse than its limit, with at most [`ALPHA`] of error, where this
    /// is the run's only check.
    pub fn condemns(&self) -> bool {
        self.log_value() >= (1.0 / ALPHA).ln()
    }

    /// Returns whether the canary is under suspicion.
    pub fn suspects(&self) -> bool {
        self.log_value() >= SUSPICION.ln()
    }

    /// Takes back what was won since `earlier`: no bet is worth more than it was then. Evidence that is
    /// lowered keeps its guarantee.
    pub fn forgive(&mut self, earlier: &Self) {
        let staked = |r: Option<f64>| r.unwrap_or(f64::NEG_INFINITY);
        let fresh = (earlier.left - self.left).max(0.0).ln();
        for (now, then) in self.log_r.iter_mut().zip(earlier.log_r) {
            let most = log_add(staked(then), fresh);
            *now = now.map(|r| r.min(most)).filter(|r| r.is_finite());
        }
    }

    /// Returns the part of the prior that this look stakes.
    fn stake(&mut self, steps: usize) -> f64 {
        self.looks = self.looks.saturating_add(1);
        let t = f64::from(self.looks);
        let mut stake = ONSET_ANY * (HALF / (HALF + t - 1.0) - HALF / (HALF + t));
        if self.looks == 1 {
            stake += ONSET_START;
        }
        if self.step_began && steps > 1 {
            let later = u32::try_from(steps - 1).unwrap_or(u32::MAX);
            stake += ONSET_STEP / f64::from(later);
        }
        self.step_began = false;
        let stake = stake.min(self.left);
        self.left -= stake;
        stake
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    /// Looks as `(bad, all)`; `None` begins a step.
    fn values(looks: &[Option<(f64, f64)>]) -> Vec<f64> {
        let mut evidence = Evidence::default();
        let mut values = Vec::new();
        for look in looks {
            match look {
                Some((bad, all)) => {
                    evidence.observe(*bad, *all, 0.05, 4);
                    values.push(evidence.log_value());
                }
                None => evidence.begin_step(),
            }
        }
        values
    }

    fn assert_close(got: &[f64], expected: &[f64]) {
        assert_eq!(got.len(), expected.len());
        for (g, e) in got.iter().zip(expected) {
            assert!((g - e).abs() <= 1e-9, "{g} is not {e}");
        }
    }

    #[test]
    fn values_equal_the_reference() {
        let looks = [(0., 50.), (1., 40.), (3., 60.), (0., 10.), (20., 40.)].map(Some);
        let expected = [
            -0.151_642_665_462_284_78,
            -0.185_079_195_130_138_04,
            -0.185_079_195_130_138_15,
            -0.244_645_501_362_812_16,
            0.086_683_227_020_542_43,
        ];
        assert_close(&values(&looks), &expected);
    }

    #[test]
    fn a_new_step_stakes_more() {
        let looks = [
            Some((0., 50.)),
            Some((0., 50.)),
            None,
            Some((10., 10.)),
            Some((9., 10.)),
            Some((10., 10.)),
        ];
        let expected = [
            -0.151_642_665_462_284_78,
            -0.219_672_516_925_308_43,
            0.560_095_188_020_163_7,
            2.054_944_563_863_502_4,
            4.331_603_614_794_182,
        ];
        assert_close(&values(&looks), &expected);
    }

    #[test]
    fn one_terrible_look_cannot_condemn_alone() {
        let mut evidence = Evidence::default();
        evidence.observe(1e6, 1e6, 0.05, 4);
        assert!(!evidence.condemns());
        evidence.observe(1e6, 1e6, 0.05, 4);
        evidence.observe(1e6, 1e6, 0.05, 4);
        assert!(evidence.condemns());
    }

    #[test]
    fn a_look_without_usable_counts_changes_nothing() {
        let mut evidence = Evidence::default();
        for (bad, all) in [
            (0., 0.),
            (f64::NAN, 5.),
            (1., f64::INFINITY),
            (1., f64::NAN),
        ] {
            evidence.observe(bad, all, 0.05, 4);
        }
        assert_eq!(evidence, Evidence::default());
    }

    #[test]
    fn evidence_survives_the_journal() {
        let mut evidence = Evidence::default();
        evidence.observe(3.0, 40.0, 0.05, 4);
        let text = serde_json::to_string(&evidence).unwrap();
        assert_eq!(serde_json::from_str::<Evidence>(&text).unwrap(), evidence);
    }
}
