//! Requests, the pods that count them, and who reads the counters when.

use canaryctl::{
    analysis::meter::Totals,
    domain::{
        check::{Reading, Sample},
        meters::{Counting, Witness},
        workload::Track,
    },
};
use fastrand::Rng;

use crate::random::{normal, poisson};

/// Upper bounds of the histogram in seconds, those of the Prometheus client libraries.
const BOUNDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Standard deviation of the logarithm of a latency.
const SPREAD: f64 = 0.6;

/// Failures of single pods that no version causes.
#[derive(Debug, Clone, Copy)]
pub struct Bursts {
    pub seconds: f64,
    /// How many each pod has in an hour.
    pub an_hour: f64,
    /// Share of the pod's requests that fail meanwhile.
    pub level: f64,
}

/// Failures of both sides at once.
#[derive(Debug, Clone, Copy)]
pub struct Outage {
    /// When the first begins, in seconds.
    pub at: f64,
    /// When the next begins, after the one before; infinite for a single one.
    pub every: f64,
    pub seconds: f64,
    /// Share of the requests that fail meanwhile.
    pub level: f64,
}

/// Where the counters are read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Source {
    /// At the pods, at the moment of the look.
    Pods,
    /// At a Prometheus that scrapes each pod every so many seconds, at its own offset.
    Prometheus(f64),
}

/// A service during a release.
#[derive(Debug, Clone, Copy)]
pub struct World {
    /// Requests per second of the whole service.
    pub rps: f64,
    /// Share of stable's requests that fail.
    pub stable: f64,
    /// The same of the canary.
    pub canary: f64,
    /// Median latencies in seconds: stable's, the canary's.
    pub latency: (f64, f64),
    pub source: Source,
    /// Whether the pods say that they have a page of metrics, so that they can be read beside a Prometheus.
    pub announced: bool,
    /// Share of the scrapes that bring nothing.
    pub missed: f64,
    pub outage: Option<Outage>,
    pub bursts: Option<Bursts>,
    /// Seconds in which a new pod fails, and its share of failures then.
    pub warmup: (f64, f64),
    /// Standard deviation of the logarithm of both sides' error rates, each by itself, forgetting in a minute.
    pub drift: f64,
}

impl World {
    /// A service with this traffic and these shares of failed requests, scraped every 15 s.
    pub fn new(rps: f64, stable: f64, canary: f64) -> Self {
        Self {
            rps,
            stable,
            canary,
            latency: (0.08, 0.08),
            source: Source::Prometheus(15.0),
            announced: false,
            missed: 0.0,
            outage: None,
            bursts: None,
            warmup: (0.0, 0.0),
            drift: 0.0,
        }
    }

    /// The same, scraped every so many seconds; 0 reads the pods at each look.
    pub fn scraped(self, seconds: f64) -> Self {
        let source = if seconds > 0.0 {
            Source::Prometheus(seconds)
        } else {
            Source::Pods
        };
        Self { source, ..self }
    }

    /// The same with pods that announce their page.
    pub fn announced(self) -> Self {
        Self {
            announced: true,
            ..self
        }
    }
}

/// A pod and its counters.
struct Pod {
    name: String,
    track: Track,
    born: f64,
    /// Seconds after a multiple of the interval at which it is scraped.
    offset: f64,
    burst_until: f64,
    all: f64,
    bad: f64,
    buckets: [f64; BOUNDS.len() + 1],
    scraped: Option<Totals>,
}

impl Pod {
    fn totals(&self) -> Totals {
        let mut sum = 0.0;
        let mut buckets = Vec::new();
        for (bound, count) in BOUNDS.iter().chain([&f64::INFINITY]).zip(self.buckets) {
            sum += count;
            buckets.push((*bound, sum));
        }
        Totals {
            all: Some(self.all),
            bad: Some(self.bad),
            buckets,
        }
    }
}

/// What has happened in a world.
pub struct Traffic<'w> {
    world: &'w World,
    rng: Rng,
    pub now: f64,
    pods: Vec<Pod>,
    made: usize,
    drift: [f64; 2],
    /// Shares of each bucket, of both sides.
    shape: [[f64; BOUNDS.len() + 1]; 2],
    /// Requests that the canary got, and failed ones among them.
    pub got: f64,
    pub hurt: f64,
}

fn side(track: Track) -> usize {
    match track {
        Track::Stable => 0,
        Track::Canary => 1,
    }
}

impl<'w> Traffic<'w> {
    pub fn new(world: &'w World, mut rng: Rng) -> Self {
        let drift = [normal(&mut rng), normal(&mut rng)];
        let shape = [shape(world.latency.0), shape(world.latency.1)];
        Self {
            world,
            rng,
            now: 0.0,
            pods: Vec::new(),
            made: 0,
            drift,
            shape,
            got: 0.0,
            hurt: 0.0,
        }
    }

    /// Gives a side this many pods.
    pub fn scale(&mut self, track: Track, pods: u32) {
        let mine = |pod: &&Pod| pod.track == track;
        while self.pods.iter().filter(mine).count() < pods as usize {
            let interval = match self.world.source {
                Source::Pods => 1.0,
                Source::Prometheus(interval) => interval,
            };
            self.made += 1;
            self.pods.push(Pod {
                name: format!("{}-{}", ["stable", "canary"][side(track)], self.made),
                track,
                born: self.now,
                offset: self.rng.f64() * interval,
                burst_until: f64::NEG_INFINITY,
                all: 0.0,
                bad: 0.0,
                buckets: [0.0; BOUNDS.len() + 1],
                scraped: None,
            });
        }
        while self.pods.iter().filter(mine).count() > pods as usize {
            let last = self.pods.iter().rposition(|pod| pod.track == track);
            self.pods.remove(last.unwrap());
        }
    }

    /// Lets `seconds` pass, at most a second at once, with the canary's `weight` in [0, 1].
    pub fn pass(&mut self, seconds: f64, weight: f64) {
        let until = self.now + seconds;
        while self.now < until - 1e-9 {
            let next = (self.now.floor() + 1.0).min(until);
            let step = next - self.now;
            self.tick(step, weight);
            self.scrape(self.now, next);
            self.now = next;
        }
    }

    fn tick(&mut self, seconds: f64, weight: f64) {
        let world = self.world;
        if world.drift > 0.0 {
            let keep = (-seconds / 60.0).exp();
            for state in &mut self.drift {
                *state = keep * *state + (1.0 - keep * keep).sqrt() * normal(&mut self.rng);
            }
        }
        let outage = world.outage.map_or(0.0, |outage| failing(outage, self.now));
        let shares = [1.0 - weight, weight];
        let counts = [Track::Stable, Track::Canary]
            .map(|track| self.pods.iter().filter(|pod| pod.track == track).count());
        for at in 0..self.pods.len() {
            let of = side(self.pods[at].track);
            let load = world.rps * seconds * shares[of] / counts[of] as f64;
            let base = [world.stable, world.canary][of];
            let mut rate = base * (world.drift * self.drift[of] - world.drift.powi(2) / 2.0).exp();
            rate += outage + self.burst(at, seconds);
            if self.now - self.pods[at].born < world.warmup.0 && of == 1 {
                rate += world.warmup.1;
            }
            let rate = rate.min(1.0);
            let all = poisson(&mut self.rng, load);
            let bad = binomial(&mut self.rng, all, rate);
            let pod = &mut self.pods[at];
            pod.all += all;
            pod.bad += bad;
            if of == 1 {
                self.got += all;
                self.hurt += bad;
            }
            let (mut left, mut share_left) = (all, 1.0);
            for (bucket, share) in self.shape[of].iter().enumerate() {
                let came = binomial(&mut self.rng, left, (share / share_left).min(1.0));
                self.pods[at].buckets[bucket] += came;
                left -= came;
                share_left = (share_left - share).max(f64::MIN_POSITIVE);
            }
            self.pods[at].buckets[BOUNDS.len()] += left;
        }
    }

    /// Returns the share of a pod's requests that fail because of a burst of its own.
    fn burst(&mut self, at: usize, seconds: f64) -> f64 {
        let Some(bursts) = self.world.bursts else {
            return 0.0;
        };
        if self.pods[at].burst_until <= self.now
            && self.rng.f64() < bursts.an_hour / 3600.0 * seconds
        {
            self.pods[at].burst_until = self.now + bursts.seconds;
        }
        if self.pods[at].burst_until > self.now {
            bursts.level
        } else {
            0.0
        }
    }

    fn scrape(&mut self, from: f64, to: f64) {
        let Source::Prometheus(interval) = self.world.source else {
            return;
        };
        for pod in &mut self.pods {
            let due = |at: f64| ((at - pod.offset) / interval).floor();
            let is_due = due(to) > due(from);
            if is_due && self.rng.f64() >= self.world.missed {
                pod.scraped = Some(pod.totals());
            }
        }
    }

    /// Returns what the metrics provider shows, or what the pods themselves do where it is to be `direct`, for a
    /// release that began at `started`.
    pub fn count(&self, started: f64, direct: bool) -> Counting {
        let readings = |track: Track| {
            let pods = self.pods.iter().filter(move |pod| pod.track == track);
            let read = pods.filter_map(|pod| {
                let totals = match self.world.source {
                    Source::Prometheus(_) if !direct => pod.scraped.clone()?,
                    Source::Pods | Source::Prometheus(_) => pod.totals(),
                };
                let born = pod.born >= started;
                Some(Reading {
                    subject: pod.name.clone(),
                    sample: Sample::Totals { totals, born },
                })
            });
            let read: Vec<Reading> = read.collect();
            read
        };
        Counting {
            canary: readings(Track::Canary),
            stable: readings(Track::Stable),
            asked: "the world".to_owned(),
            witness: if direct {
                Witness::Pods
            } else {
                Witness::Source
            },
        }
    }

    /// Returns whether pods can be read beside the source.
    pub fn announced(&self) -> bool {
        self.world.announced
    }

    /// Returns how old may be what the source shows.
    pub fn lag(&self) -> f64 {
        match self.world.source {
            Source::Pods => 0.0,
            Source::Prometheus(interval) => interval,
        }
    }
}

/// Returns how many of `all` requests have something that each has with probability `share`; large numbers
/// by the normal distribution.
fn binomial(rng: &mut Rng, all: f64, share: f64) -> f64 {
    if all <= 0.0 || share <= 0.0 {
        return 0.0;
    }
    if share >= 1.0 {
        return all;
    }
    if all <= 40.0 {
        return (0..all as u32).filter(|_| rng.f64() < share).count() as f64;
    }
    let mean = all * share;
    if mean < 10.0 {
        return poisson(rng, mean).min(all);
    }
    let drawn = mean + (mean * (1.0 - share)).sqrt() * normal(rng);
    drawn.round().clamp(0.0, all)
}

/// Returns the share of requests that an outage fails.
fn failing(outage: Outage, now: f64) -> f64 {
    if now < outage.at {
        return 0.0;
    }
    let since = now - outage.at;
    let since = if outage.every.is_finite() {
        since % outage.every
    } else {
        since
    };
    if since < outage.seconds {
        outage.level
    } else {
        0.0
    }
}

/// Returns the share of the requests in each bucket, where half of them take `median` seconds at most.
fn shape(median: f64) -> [f64; BOUNDS.len() + 1] {
    let below = |bound: f64| {
        let z = (bound / median).ln() / SPREAD;
        // The logistic curve that is nearest to the normal one.
        1.0 / (1.0 + (-1.702 * z).exp())
    };
    let mut before = 0.0;
    let mut shape = [0.0; BOUNDS.len() + 1];
    for (share, bound) in shape.iter_mut().zip(BOUNDS) {
        *share = below(bound) - before;
        before = below(bound);
    }
    shape[BOUNDS.len()] = 1.0 - before;
    shape
}
