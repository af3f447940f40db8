//! Evidence against the canary from counts of requests, right at every peek.
//!
//! Owns: one running bet ("e-process") against "the canary's share of bad requests is at most p0".
//! While that is true, the bet's value exceeds 1/α with probability α at most, however often one
//! looks (Ville's inequality). One look counts as one bounded observation, whatever the number of
//! requests in it, so that a burst inside one look cannot decide alone.

use serde::{Deserialize, Serialize};

/// Probability of condemning a canary that is within its limit, over the whole run.
pub const ALPHA: f64 = 0.01;

/// Value of the bet from which a canary is under suspicion: it may not advance.
pub const SUSPICION: f64 = 5.0;

/// Number of alternatives the bet is spread over.
const K: usize = 8;

/// How much worse than the limit the alternatives are, as shifts of the log-odds.
const SHIFT: [f64; K] = [0.25, 0.5, 0.85, 1.3, 1.9, 2.8, 4.2, 6.5];

/// Prior weight of each alternative; they sum to 1.
const WEIGHT: [f64; K] = [0.15, 0.18, 0.16, 0.14, 0.12, 0.10, 0.08, 0.07];

/// Prior share of onsets at the start of the run.
const W_START: f64 = 0.60;
/// Prior share of onsets at the start of a later step.
const W_STEP: f64 = 0.15;
/// Prior share of onsets at any look.
const W_ANY: f64 = 0.25;

/// Half-life of the prior on a late onset, in looks.
const TAU: f64 = 120.0;

/// The running bet of one check; part of the journal, never reset during a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Evidence {
    /// Logarithm of the bet on each alternative; `None` where nothing is staked yet.
    log_r: [Option<f64>; K],
    /// Prior not staked yet.
    left: f64,
    /// Looks that brought requests.
    looks: u32,
    /// Whether a step began since the last look with requests.
    step_began: bool,
}

impl Default for Evidence {
    fn default() -> Self {
        Self {
            log_r: [None; K],
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

    /// Takes in one look: `bad` of `all` requests (both ≥ 0), against the limit `p0` in (0, 1), in a
    /// plan of `steps` steps. A look without requests changes nothing.
    pub fn observe(&mut self, bad: f64, all: f64, p0: f64, steps: usize) {
        let usable = all > 0.0 && bad.is_finite() && all.is_finite() && p0 > 0.0 && p0 < 1.0;
        if !usable {
            return;
        }
        let share = (bad / all).clamp(0.0, 1.0);
        let stake = self.stake(steps).ln();
        for (log_r, shift) in self.log_r.iter_mut().zip(SHIFT) {
            let worse = p0 / (p0 + (1.0 - p0) * (-shift).exp());
            let gain = (share * worse / p0 + (1.0 - share) * (1.0 - worse) / (1.0 - p0)).ln();
            *log_r = Some(log_add(log_r.unwrap_or(f64::NEG_INFINITY), stake) + gain)
                .filter(|r| r.is_finite());
        }
    }

    /// Returns the natural logarithm of the bet's value; 0 before any look.
    pub fn log_value(&self) -> f64 {
        let staked = self
            .log_r
            .iter()
            .zip(WEIGHT)
            .map(|(r, w)| w.ln() + r.unwrap_or(f64::NEG_INFINITY));
        staked.fold(self.left.ln(), log_add)
    }

    /// Returns whether the canary is worse than its limit, with at most [`ALPHA`] of error.
    pub fn condemns(&self) -> bool {
        self.log_value() >= (1.0 / ALPHA).ln()
    }

    /// Returns whether the canary is under suspicion.
    pub fn suspects(&self) -> bool {
        self.log_value() >= SUSPICION.ln()
    }

    /// Returns the part of the prior that this look stakes.
    fn stake(&mut self, steps: usize) -> f64 {
        self.looks += 1;
        let t = f64::from(self.looks);
        let mut stake = W_ANY * (TAU / (TAU + t - 1.0) - TAU / (TAU + t));
        if self.looks == 1 {
            stake += W_START;
        }
        if self.step_began && steps > 1 {
            let later = u32::try_from(steps - 1).unwrap_or(u32::MAX);
            stake += W_STEP / f64::from(later);
        }
        self.step_began = false;
        let stake = stake.min(self.left);
        self.left -= stake;
        stake
    }
}

/// Returns `ln(e^a + e^b)` without overflow.
fn log_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a >= b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY {
        high
    } else {
        high + (low - high).exp().ln_1p()
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
