//! The table of latencies.
//!
//! Owns: lognormal latencies in buckets, five checks at once. Must not: average quantiles.

use canaryctl::analysis::{
    counts::{Counts, Look},
    histogram::Histogram,
    latency::{Slowdown, slow_requests},
    proof::{AT_RISK, BETA, REACTION, rate_to_exclude},
    rollout::{self, Decision, Pace, Standing, Weighed},
    share::{Dependence, Rules, Share},
};
use fastrand::Rng;

use crate::{
    ours::{End, Run},
    random::poisson,
    table::{heading, number, percent, row, runs, seconds, share},
};

/// Prometheus' default buckets, in milliseconds.
const BOUNDS: [f64; 11] = [
    5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0,
];

/// Stable's latency: median 80 ms, 95 % below 298 ms, 99 % below 514 ms.
const MEDIAN: f64 = 80.0;
const SIGMA: f64 = 0.8;

const WEIGHTS: [f64; 5] = [0.01, 0.05, 0.10, 0.25, 0.50];

/// How the canary's latency differs.
#[derive(Clone, Copy)]
struct Canary {
    times: f64,
    /// Share of its requests that take 2 seconds.
    stuck: f64,
    /// Seconds at which both sides are three times slower for a minute.
    shared: Option<f64>,
}

/// Increments of the cumulative buckets of one look.
fn buckets(rng: &mut Rng, requests: f64, times: f64, stuck: f64) -> Vec<f64> {
    let below = |bound: f64| {
        let normal = cumulative_normal((bound / (MEDIAN * times)).ln() / SIGMA);
        (1.0 - stuck) * normal + if bound > 2000.0 { stuck } else { 0.0 }
    };
    let (mut sum, mut last) = (0.0, 0.0);
    let mut cumulative: Vec<f64> = Vec::with_capacity(BOUNDS.len() + 1);
    for part in BOUNDS.iter().map(|bound| below(*bound)).chain([1.0]) {
        sum += poisson(rng, requests * (part - last));
        last = part;
        cumulative.push(sum);
    }
    cumulative
}

/// The normal distribution function (Abramowitz and Stegun 7.1.26; error below 2e-7).
fn cumulative_normal(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let terms = [
        0.254_829_592,
        -0.284_496_736,
        1.421_413_741,
        -1.453_152_027,
        1.061_405_429,
    ];
    let poly = terms.iter().rev().fold(0.0, |sum, term| (sum + term) * t);
    let upper = 0.5 * poly * (-x * x).exp();
    if z >= 0.0 { 1.0 - upper } else { upper }
}

struct Checks {
    errors: Share,
    p95: Share,
    p99: Share,
    slowdown: Slowdown,
}

impl Checks {
    fn limits() -> [Rules; 3] {
        [
            Rules::limit(0.01).with_ratio(2.0, 0.001),
            Rules::limit(0.05),
            Rules::limit(0.01),
        ]
    }

    fn begin_step(&mut self, step: usize, rps: f64) {
        let next = WEIGHTS.get(step + 1).map(|weight| rps * weight);
        let limits = Self::limits();
        let shares = [&mut self.errors, &mut self.p95, &mut self.p99];
        for (share, rules) in shares.into_iter().zip(limits) {
            let limit = rules.limit.unwrap_or(1.0);
            let to_exclude = rate_to_exclude(limit, next, AT_RISK, REACTION);
            share.begin_step(WEIGHTS[step], to_exclude, step > 0);
        }
        self.slowdown.begin_step(WEIGHTS[step], step > 0);
    }

    fn observe(&mut self, canary: &[f64], stable: &[f64], steps: usize) {
        let of = |cumulative| Histogram::new(&BOUNDS, cumulative).expect("a histogram");
        let (ours, theirs) = (of(canary), of(stable));
        let all = |side: Histogram<'_>| Counts::new(side.all(), 0.0).expect("counts");
        let [errors, p95, p99] = Self::limits();
        let look = Look::new(5.0, all(ours), all(theirs));
        self.errors.observe(&errors, &look, steps);
        let slow = |limit| slow_requests(5.0, ours, theirs, &BOUNDS, limit);
        self.p95.observe(&p95, &slow(500.0), steps);
        self.p99.observe(&p99, &slow(1000.0), steps);
        self.slowdown.observe(5.0, canary, stable, 1.0, steps);
    }

    fn standing(&self) -> Standing {
        let weighed = |share, log_value| Weighed { share, log_value };
        let shares = [&self.errors, &self.p95, &self.p99];
        Standing {
            log_value: rollout::pooled(&[
                weighed(rollout::ERRORS_SHARE, self.errors.absolute_value()),
                weighed(rollout::ERRORS_RATIO_SHARE, self.errors.relative_value()),
                weighed(rollout::LATENCY_SHARE, self.p95.absolute_value()),
                weighed(rollout::LATENCY_SHARE, self.p99.absolute_value()),
                weighed(rollout::SLOWDOWN_SHARE, self.slowdown.log_value()),
            ]),
            proven: shares.iter().all(|share| share.is_proven(BETA)),
            stable_fails: shares.iter().any(|share| share.stable_fails()),
            breaks: shares
                .iter()
                .zip(Self::limits())
                .any(|(s, rules)| s.breaks(&rules)),
        }
    }
}

fn ours(mut rng: Rng, rps: f64, canary: Canary) -> Run {
    let mut checks = Checks {
        errors: Share::default(),
        p95: Share::default(),
        p99: Share::default(),
        slowdown: Slowdown::new(&BOUNDS, 1.5, Dependence::Look),
    };
    let mut now = 0.0;
    for (step, weight) in WEIGHTS.iter().enumerate() {
        checks.begin_step(step, rps);
        let mut elapsed = 0.0;
        loop {
            let (ours, theirs) = look(&mut rng, now, 5.0, rps, *weight, canary);
            (now, elapsed) = (now + 5.0, elapsed + 5.0);
            checks.observe(&ours, &theirs, WEIGHTS.len());
            let pace = Pace {
                elapsed,
                least: 60.0,
                most: 1800.0,
                last: step + 1 == WEIGHTS.len(),
            };
            match rollout::decide(checks.standing(), pace) {
                Decision::Continue => {}
                Decision::Advance => break,
                Decision::Rollback => return ended(End::RolledBack, now),
                Decision::Inconclusive => return ended(End::Inconclusive, now),
            }
        }
    }
    ended(End::Promoted, now)
}

fn look(
    rng: &mut Rng,
    now: f64,
    seconds: f64,
    rps: f64,
    weight: f64,
    canary: Canary,
) -> (Vec<f64>, Vec<f64>) {
    let slow = canary.shared.is_some_and(|at| now >= at && now < at + 60.0);
    let times = if slow { 3.0 } else { 1.0 };
    let all = rps * seconds;
    let ours = buckets(rng, all * weight, canary.times * times, canary.stuck);
    (ours, buckets(rng, all * (1.0 - weight), times, 0.0))
}

fn ended(end: End, seconds: f64) -> Run {
    Run {
        end,
        seconds,
        requests: 0.0,
        hurt: 0.0,
    }
}

/// Flagger's success of "p99 ≤ 1 s" each minute, threshold 5, one minute for each step.
fn flagger(mut rng: Rng, rps: f64, canary: Canary) -> Run {
    let (mut now, mut failed, mut step) = (0.0, 0, 0);
    while step < WEIGHTS.len() {
        let (ours, _) = look(&mut rng, now, 60.0, rps, WEIGHTS[step], canary);
        now += 60.0;
        if failed >= 5 {
            return ended(End::RolledBack, now);
        }
        let p99 = Histogram::new(&BOUNDS, &ours).and_then(|h| h.quantile(0.99));
        if p99.is_some_and(|p99| p99 <= 1000.0) {
            step += 1;
        } else {
            failed += 1;
        }
    }
    ended(End::Promoted, now)
}

/// A script: p99 of 30 seconds above 1.5 times stable's, two minutes for each step.
fn naive(mut rng: Rng, rps: f64, canary: Canary) -> Run {
    let mut now = 0.0;
    for weight in WEIGHTS {
        for _ in 0..4 {
            let (ours, theirs) = look(&mut rng, now, 30.0, rps, weight, canary);
            now += 30.0;
            let p99 = |side: &[f64]| Histogram::new(&BOUNDS, side).and_then(|h| h.quantile(0.99));
            if p99(&ours)
                .zip(p99(&theirs))
                .is_some_and(|(ours, theirs)| ours > 1.5 * theirs)
            {
                return ended(End::RolledBack, now);
            }
        }
    }
    ended(End::Promoted, now)
}

/// Prints who is rolled back for being slow.
pub fn print(rollouts: u64) {
    heading(
        "7. Latency (p95 ≤ 500 ms, p99 ≤ 1 s, 1.5x stable): rolled back / seconds; first four rows: falsely",
        &[
            "canary",
            "rps",
            "ours",
            "ours inconclusive",
            "Flagger p99 ≤ 1 s",
            "naive 1.5x",
        ],
    );
    let as_stable = Canary {
        times: 1.0,
        stuck: 0.0,
        shared: None,
    };
    for (name, canary) in [
        ("identical", as_stable),
        (
            "identical, both 3x slower for 60 s",
            Canary {
                shared: Some(100.0),
                ..as_stable
            },
        ),
        (
            "1.3x slower (tolerated)",
            Canary {
                times: 1.3,
                ..as_stable
            },
        ),
        (
            "2x slower",
            Canary {
                times: 2.0,
                ..as_stable
            },
        ),
        (
            "3x slower",
            Canary {
                times: 3.0,
                ..as_stable
            },
        ),
        (
            "5 % of requests take 2 s",
            Canary {
                stuck: 0.05,
                ..as_stable
            },
        ),
    ] {
        for rps in [1.0, 10.0, 100.0, 1000.0] {
            let cell = format!("latency {name} {rps}");
            let all = runs(&cell, rollouts, |rng| ours(rng, rps, canary));
            let theirs = [
                runs(&cell, rollouts, |rng| flagger(rng, rps, canary)),
                runs(&cell, rollouts, |rng| naive(rng, rps, canary)),
            ];
            let of = |all: &[Run]| {
                let back = percent(share(all, End::RolledBack));
                format!("{back} / {} s", number(seconds(all, End::RolledBack)))
            };
            row(&[
                name.to_owned(),
                number(rps),
                of(&all),
                percent(share(&all, End::Inconclusive)),
                of(&theirs[0]),
                of(&theirs[1]),
            ]);
        }
    }
}
