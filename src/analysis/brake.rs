//! The brake: what early evidence does before it is sure.
//!
//! Owns: when the traffic is taken off for a moment, when the canary is looked at again, what settles
//! it. Must not: roll back on less evidence than the ordinary rule; change traffic.
//!
//! Evidence by request is quick and is misled by bursts; evidence by look is neither. So the first only
//! takes the traffic off (*rest*), long enough for a burst that no version causes to end; then the
//! canary is looked at again at a low weight (*probe*). One that was never calm before is in no burst, and is
//! looked at again at once. A canary that is still bad is rolled back, on
//! all the evidence of the run and some that is fresh. One that is proven good goes on where it was,
//! and what was won since it was last calm is forgiven. If it is as bad again at the step that it returned
//! to, it was no burst: some versions fail only under more traffic than a probe brings. Then what was
//! seen at that step counts on from where it was. Evidence that built up for longer than a burst lasts is left to
//! the ordinary rule, and so is everything after the second time.

use serde::{Deserialize, Serialize};

use super::evidence::ALPHA;

/// When to brake and for how long. Evidence is given as it is, not as a logarithm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Evidence by request that takes the traffic off.
    pub quick: f64,
    /// Evidence below which the canary is calm.
    pub calm: f64,
    /// Seconds since it was calm, beyond which the evidence is no burst's.
    pub window: f64,
    /// Seconds without traffic.
    pub rest: f64,
    /// Least and most seconds of looking again.
    pub probe: (f64, f64),
    /// Evidence since the rest that a rollback needs besides the ordinary one.
    pub fresh: f64,
    /// Times in one run.
    pub times: u32,
    /// Seconds of calm requests before which a canary is bad from the start: it is looked at again at once.
    pub calmed: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            quick: 100.0,
            calm: 2.0,
            window: 60.0,
            rest: 60.0,
            probe: (30.0, 1800.0),
            fresh: 2.0,
            times: 2,
            calmed: 30.0,
        }
    }
}

/// Canary requests that one look of a probe should bring.
const PROBE_REQUESTS: f64 = 5.0;

/// Where the brake is; part of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Brake {
    state: State,
    used: u32,
    /// Seconds since the canary was calm.
    excited: f64,
    /// Seconds for which the canary had requests and was calm.
    calmed: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum State {
    #[default]
    Off,
    /// For so many seconds.
    Resting(f64),
    /// For so many seconds.
    Probing(f64),
}

/// What is known after a look; evidence as logarithms, of all checks together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signal {
    /// Seconds since the look before.
    pub seconds: f64,
    /// Whether the canary had requests in them.
    pub heard: bool,
    /// Evidence by request
    /// ([`Dependence::Request`](super::share::Dependence::Request), no limit to its speed).
    pub quick: f64,
    /// Evidence by look, of the whole run.
    pub total: f64,
    /// Evidence by look since the last rest.
    pub fresh: f64,
    /// Evidence by look at a step that was returned to: as it was when it was left, and what came since.
    /// Nothing of it is forgiven, and what the probe brought is no part of it. `None` elsewhere.
    pub whole: Option<f64>,
    /// Whether the checks that began with the probe are proven and nothing is suspected.
    pub settled: bool,
}

/// What to do until the next look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// What the ordinary rule says.
    Ordinary,
    /// No traffic to the canary, and no evidence from the look.
    Rest,
    /// A low weight ([`probe_weight`]); at the first such order fresh evidence begins.
    Probe,
    /// Back to the step that was left, from its beginning; evidence since the canary was calm is
    /// forgiven.
    Resume,
    /// The canary is worse than tolerated.
    Rollback,
    /// Looking again did not settle it.
    Inconclusive,
}

impl Brake {
    /// Takes in what a look said.
    pub fn observe(&mut self, settings: &Settings, signal: &Signal) -> Order {
        let (state, order) = match self.state {
            State::Off => self.watch(settings, signal),
            State::Resting(seconds) if seconds + signal.seconds < settings.rest => {
                (State::Resting(seconds + signal.seconds), Order::Rest)
            }
            State::Resting(_) => (State::Probing(0.0), Order::Probe),
            State::Probing(seconds) => self.probe(settings, signal, seconds + signal.seconds),
        };
        self.state = state;
        order
    }

    /// Returns whether the look just taken in found the canary calm: the moment to keep a copy of its
    /// evidence, which it is forgiven down to.
    pub fn is_calm(&self) -> bool {
        self.state == State::Off && self.excited <= 0.0
    }

    /// Ends a rest whose length somebody else measures.
    pub fn begin_probe(&mut self) {
        self.state = State::Probing(0.0);
    }

    /// Lets go: what happens next is not the brake's.
    pub fn let_go(&mut self) {
        self.state = State::Off;
    }

    /// Returns whether the canary is to have no traffic.
    pub fn is_resting(&self) -> bool {
        matches!(self.state, State::Resting(_))
    }

    /// Returns whether the canary is looked at again.
    pub fn is_probing(&self) -> bool {
        matches!(self.state, State::Probing(_))
    }

    /// Returns how often the brake was used in this run.
    pub fn used(&self) -> u32 {
        self.used
    }

    fn watch(&mut self, settings: &Settings, signal: &Signal) -> (State, Order) {
        let most = signal.quick.max(signal.total);
        if most < settings.calm.ln() {
            self.excited = 0.0;
            if signal.heard {
                self.calmed += signal.seconds;
            }
            return (State::Off, Order::Ordinary);
        }
        self.excited += signal.seconds;
        let is_bad = signal.quick >= settings.quick.ln() || is_enough(signal);
        if is_bad && signal.whole.is_some_and(condemns) {
            return (State::Off, Order::Rollback);
        }
        let is_burst = self.excited <= settings.window && self.used < settings.times;
        if !(is_burst && is_bad) {
            return (State::Off, Order::Ordinary);
        }
        self.used += 1;
        // Who was never calm is in no burst that could be waited for.
        if settings.rest > 0.0 && self.calmed >= settings.calmed {
            (State::Resting(0.0), Order::Rest)
        } else {
            (State::Probing(0.0), Order::Probe)
        }
    }

    fn probe(&mut self, settings: &Settings, signal: &Signal, seconds: f64) -> (State, Order) {
        if is_enough(signal) && signal.fresh >= settings.fresh.ln() {
            (State::Probing(seconds), Order::Rollback)
        } else if seconds >= settings.probe.0 && signal.settled {
            self.excited = 0.0;
            (State::Off, Order::Resume)
        } else if seconds >= settings.probe.1 {
            (State::Probing(seconds), Order::Inconclusive)
        } else {
            (State::Probing(seconds), Order::Probe)
        }
    }
}

/// Returns whether the ordinary rule would roll back.
fn is_enough(signal: &Signal) -> bool {
    condemns(signal.total)
}

fn condemns(log_value: f64) -> bool {
    log_value >= (1.0 / ALPHA).ln()
}

/// Returns the weight of a probe: the lowest of `weights` (those of the steps up to the one that was
/// left, ascending) at which a look of `seconds` brings about five canary requests of `total` ones per
/// second; the last of them where none does. 0 without any.
pub fn probe_weight(weights: &[f64], total: f64, seconds: f64) -> f64 {
    let enough = |weight: &&f64| **weight * total * seconds >= PROBE_REQUESTS;
    let weight = weights.iter().find(enough).or(weights.last());
    weight.copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Signal = Signal {
        seconds: 5.0,
        heard: true,
        quick: 0.0,
        total: 0.0,
        fresh: 0.0,
        whole: None,
        settled: false,
    };

    /// Evidence as odds.
    fn signal(quick: f64, total: f64) -> Signal {
        Signal {
            quick: quick.ln(),
            total: total.ln(),
            ..CALM
        }
    }

    /// A canary that was calm for long enough.
    fn calmed() -> Brake {
        let mut brake = Brake::default();
        for _ in 0..6 {
            let order = brake.observe(&Settings::default(), &CALM);
            assert_eq!(order, Order::Ordinary);
        }
        brake
    }

    #[test]
    fn who_was_never_calm_is_looked_at_again_at_once() {
        let settings = Settings::default();
        let bad = signal(200.0, 4.0);
        let silent = Signal {
            heard: false,
            ..CALM
        };
        for (before, expected) in [
            (vec![], Order::Probe),
            (vec![CALM; 5], Order::Probe),
            (vec![silent; 60], Order::Probe),
            (vec![CALM; 6], Order::Rest),
        ] {
            let mut brake = Brake::default();
            for signal in &before {
                brake.observe(&settings, signal);
            }
            let order = brake.observe(&settings, &bad);
            assert_eq!((order, brake.used()), (expected, 1), "{}", before.len());
        }
    }

    fn after_rest() -> Brake {
        let (mut brake, settings) = (calmed(), Settings::default());
        assert_eq!(brake.observe(&settings, &signal(200.0, 4.0)), Order::Rest);
        for _ in 0..11 {
            assert_eq!(brake.observe(&settings, &signal(200.0, 4.0)), Order::Rest);
        }
        assert_eq!(brake.observe(&settings, &signal(200.0, 4.0)), Order::Probe);
        brake
    }

    #[test]
    fn quick_evidence_alone_never_rolls_back() {
        let (mut brake, settings) = (after_rest(), Settings::default());
        let probing = Signal {
            fresh: 50.0_f64.ln(),
            ..signal(1e9, 99.0)
        };
        assert_eq!(brake.observe(&settings, &probing), Order::Probe);
        let sure = Signal {
            total: 101.0_f64.ln(),
            ..probing
        };
        assert_eq!(brake.observe(&settings, &sure), Order::Rollback);
    }

    #[test]
    fn old_evidence_alone_does_not_roll_back_after_a_rest() {
        let (mut brake, settings) = (after_rest(), Settings::default());
        for _ in 0..20 {
            let order = brake.observe(&settings, &signal(1e9, 1e9));
            assert_eq!(order, Order::Probe);
        }
        let settled = Signal {
            settled: true,
            ..signal(1e9, 1e9)
        };
        assert_eq!(brake.observe(&settings, &settled), Order::Resume);
        assert!(brake.is_calm());
    }

    #[test]
    fn what_is_as_bad_where_it_returned_to_is_no_burst() {
        let settings = Settings::default();
        let back = |whole: f64| Signal {
            whole: Some(whole.ln()),
            ..signal(200.0, 4.0)
        };
        let observe = |signal| calmed().observe(&settings, &signal);
        assert_eq!(observe(back(101.0)), Order::Rollback);
        assert_eq!(observe(back(99.0)), Order::Rest, "not sure yet");
        let calm = Signal {
            whole: Some(1e6_f64.ln()),
            ..CALM
        };
        assert_eq!(observe(calm), Order::Ordinary, "the past alone is nothing");
    }

    #[test]
    fn who_measures_the_rest_ends_it() {
        let (mut brake, settings) = (calmed(), Settings::default());
        brake.observe(&settings, &signal(200.0, 4.0));
        assert!(brake.is_resting() && !brake.is_probing());
        brake.begin_probe();
        assert!(brake.is_probing() && !brake.is_resting());
        let order = brake.observe(&settings, &signal(1.0, 1.0));
        assert_eq!(order, Order::Probe);
        brake.let_go();
        assert_eq!((brake.is_probing(), brake.used()), (false, 1));
    }

    #[test]
    fn a_probe_that_settles_nothing_ends() {
        let (mut brake, settings) = (after_rest(), Settings::default());
        let orders: Vec<Order> = (0..360)
            .map(|_| brake.observe(&settings, &signal(1e9, 1e9)))
            .collect();
        assert_eq!(orders[358], Order::Probe);
        assert_eq!(orders[359], Order::Inconclusive);
    }

    #[test]
    fn what_built_up_slowly_is_no_burst() {
        let (mut brake, settings) = (Brake::default(), Settings::default());
        for _ in 0..12 {
            brake.observe(&settings, &signal(50.0, 50.0));
        }
        assert!(!brake.is_calm());
        let order = brake.observe(&settings, &signal(1e6, 1e6));
        assert_eq!((order, brake.used()), (Order::Ordinary, 0));
    }

    #[test]
    fn a_third_burst_is_left_to_the_ordinary_rule() {
        let settings = Settings::default();
        let mut brake = Brake {
            used: 2,
            ..Brake::default()
        };
        let order = brake.observe(&settings, &signal(1e6, 1e6));
        assert_eq!(order, Order::Ordinary);
    }

    #[test]
    fn a_probe_brings_some_requests() {
        let weights = [0.01, 0.05, 0.25];
        let of = |total| probe_weight(&weights, total, 5.0);
        assert!((of(1000.0) - 0.01).abs() < 1e-12);
        assert!((of(30.0) - 0.05).abs() < 1e-12);
        assert!((of(0.1) - 0.25).abs() < 1e-12);
        assert!(probe_weight(&[], 1.0, 5.0).abs() < 1e-12);
    }
}
