//! Simulated traffic of a canary and stable.
//!
//! Owns: which requests come and which fail, with every kind of dependence the tables name. Must not:
//! know how they are judged.

use canaryctl::analysis::counts::{Counts, Look};
use fastrand::Rng;

use crate::random::{geometric, normal, pareto, poisson};

/// Pods of the whole service, shared out by weight.
const PODS: usize = 10;

/// Seconds over which what drifts forgets.
const DRIFT_SECONDS: f64 = 60.0;

/// How many errors one cause brings.
#[derive(Clone, Copy, PartialEq)]
pub enum Cluster {
    /// One.
    Single,
    /// A geometric number with this mean.
    Geometric(f64),
    /// A Pareto number, exponent 1.5, up to 500.
    HeavyTailed,
}

/// Failures of single pods that no version causes.
#[derive(Clone, Copy)]
pub struct Bursts {
    /// Their length.
    pub seconds: f64,
    /// How many each pod has in an hour.
    pub an_hour: f64,
    /// Share of the pod's requests that fail meanwhile.
    pub level: f64,
}

/// Failures of both sides at once.
#[derive(Clone, Copy)]
pub struct Outage {
    /// When the first begins.
    pub at: f64,
    /// When the next begins, after the one before; infinite for a single one.
    pub every: f64,
    /// Their length.
    pub seconds: f64,
    /// Share of the requests that fail meanwhile.
    pub level: f64,
}

/// What makes requests depend on each other.
#[derive(Clone, Copy)]
pub struct Shape {
    pub cluster: Cluster,
    pub bursts: Option<Bursts>,
    pub outage: Option<Outage>,
    /// Standard deviation of the logarithm of both sides' error rates, moving together.
    pub shared_drift: f64,
    /// The same of each side by itself.
    pub own_drift: f64,
    /// Half-width of the real split's wandering around the asked one, as a part of it.
    pub wander: f64,
}

/// Independent requests.
pub const IID: Shape = Shape {
    cluster: Cluster::Single,
    bursts: None,
    outage: None,
    shared_drift: 0.0,
    own_drift: 0.0,
    wander: 0.0,
};

/// A service during a release.
#[derive(Clone)]
pub struct World {
    /// Requests per second of the whole service.
    pub rps: f64,
    /// Stable's rate of errors.
    pub stable: f64,
    /// The canary's, from `onset` on; stable's before.
    pub canary: f64,
    /// Seconds until the canary turns bad.
    pub onset: f64,
    /// The canary's weight from which it is bad.
    pub above: f64,
    pub shape: Shape,
}

impl World {
    /// A world of independent requests and a canary that is as it is from the start.
    pub fn new(rps: f64, stable: f64, canary: f64) -> Self {
        Self {
            rps,
            stable,
            canary,
            onset: 0.0,
            above: 0.0,
            shape: IID,
        }
    }

    /// The same world with requests that depend on each other.
    pub fn shaped(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }
}

/// Traffic of one rollout in a world.
pub struct Traffic<'a> {
    world: &'a World,
    rng: Rng,
    now: f64,
    /// When each pod's last burst ends; the canary's pods first.
    burst_ends: [f64; 2 * PODS],
    shared: f64,
    own: [f64; 2],
    wander: f64,
}

impl<'a> Traffic<'a> {
    pub fn new(world: &'a World, mut rng: Rng) -> Self {
        let shared = normal(&mut rng);
        let own = [normal(&mut rng), normal(&mut rng)];
        let wander = normal(&mut rng);
        Self {
            world,
            rng,
            now: 0.0,
            burst_ends: [f64::NEG_INFINITY; 2 * PODS],
            shared,
            own,
            wander,
        }
    }

    /// Seconds since the rollout began.
    pub fn now(&self) -> f64 {
        self.now
    }

    /// Lets `seconds` pass with the canary's `weight` in [0, 1], and returns what came in.
    pub fn look(&mut self, seconds: f64, weight: f64) -> Look {
        let shape = &self.world.shape;
        self.drift(seconds);
        let real = (weight * (1.0 + shape.wander * self.wander.clamp(-1.0, 1.0))).min(1.0);
        let pods = |share: f64| ((share * 10.0).round() as usize).clamp(1, PODS);
        let burst = [
            self.bursting(0, pods(weight), seconds),
            self.bursting(PODS, pods(1.0 - weight), seconds),
        ];
        let outage = self.outage(seconds);
        let turned = (self.now + seconds - self.world.onset).clamp(0.0, seconds) / seconds;
        let turned = if weight >= self.world.above {
            turned
        } else {
            0.0
        };
        let base = [
            self.world.stable + turned * (self.world.canary - self.world.stable),
            self.world.stable,
        ];
        let shared = factor(shape.shared_drift, self.shared);
        let mut rates = [0.0; 2];
        for side in 0..2 {
            let drifted = base[side] * shared * factor(shape.own_drift, self.own[side]);
            let rate = drifted + burst[side] + outage;
            rates[side] = rate.min(1.0);
        }
        self.now += seconds;
        let requests = self.world.rps * seconds;
        let load = [requests * real, requests * (1.0 - real)];
        let bad = self.bad(load, rates);
        let mut side = |at: usize| {
            let good = poisson(&mut self.rng, load[at] * (1.0 - rates[at]));
            Counts::new(good + bad[at], bad[at]).expect("counts")
        };
        let canary = side(0);
        Look::new(seconds, canary, side(1))
    }

    fn drift(&mut self, seconds: f64) {
        let shape = &self.world.shape;
        if shape.shared_drift + shape.own_drift + shape.wander <= 0.0 {
            return;
        }
        let keep = (-seconds / DRIFT_SECONDS).exp();
        let noise = (1.0 - keep * keep).sqrt();
        for state in [&mut self.shared, &mut self.wander]
            .into_iter()
            .chain(&mut self.own)
        {
            *state = keep * *state + noise * normal(&mut self.rng);
        }
    }

    /// Share of the side's requests that fail because of bursts of its pods.
    fn bursting(&mut self, first: usize, pods: usize, seconds: f64) -> f64 {
        let Some(bursts) = self.world.shape.bursts else {
            return 0.0;
        };
        let mut sum = 0.0;
        for pod in first..first + pods {
            let mut from = self.now;
            if self.burst_ends[pod] <= self.now {
                if self.rng.f64() >= bursts.an_hour / 3600.0 * seconds {
                    continue;
                }
                from = self.now + self.rng.f64() * seconds;
                self.burst_ends[pod] = from + bursts.seconds;
            }
            let until = self.burst_ends[pod].min(self.now + seconds);
            sum += (until - from) / seconds * bursts.level;
        }
        sum / pods as f64
    }

    /// Share of all requests that fail because both sides do.
    fn outage(&self, seconds: f64) -> f64 {
        let Some(outage) = self.world.shape.outage else {
            return 0.0;
        };
        let until = self.now + seconds;
        if until <= outage.at {
            return 0.0;
        }
        let begun = if outage.every.is_finite() {
            ((until - outage.at) / outage.every).floor()
        } else {
            0.0
        };
        let shift = if begun > 0.0 {
            begun * outage.every
        } else {
            0.0
        };
        let from = outage.at + shift;
        let overlap = until.min(from + outage.seconds) - self.now.max(from);
        outage.level * overlap.max(0.0) / seconds
    }

    /// Bad requests of both sides.
    fn bad(&mut self, load: [f64; 2], rates: [f64; 2]) -> [f64; 2] {
        let expected = [load[0] * rates[0], load[1] * rates[1]];
        let mean = match self.world.shape.cluster {
            Cluster::Single => {
                return expected.map(|mean| poisson(&mut self.rng, mean));
            }
            Cluster::Geometric(mean) => mean,
            // The mean of the whole part of a Pareto number with exponent 1.5, cut at 500.
            Cluster::HeavyTailed => (1..=500).map(|k| f64::from(k).powf(-1.5)).sum(),
        };
        let mut bad = [0.0; 2];
        let both = expected[0] + expected[1];
        let causes = poisson(&mut self.rng, both / mean) as u64;
        for _ in 0..causes {
            let size = match self.world.shape.cluster {
                Cluster::Single => 1.0,
                Cluster::Geometric(mean) => geometric(&mut self.rng, mean),
                Cluster::HeavyTailed => pareto(&mut self.rng, 1.5, 500.0),
            };
            bad[usize::from(self.rng.f64() * both >= expected[0])] += size;
        }
        bad
    }
}

fn factor(deviation: f64, state: f64) -> f64 {
    if deviation > 0.0 {
        (deviation * state - deviation * deviation / 2.0).exp()
    } else {
        1.0
    }
}
