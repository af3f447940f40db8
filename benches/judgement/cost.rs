//! CPU of one evaluation of all checks.
//!
//! Owns: eight checks over both sides, with counters of pods and histograms. Must not: count I/O.

use std::{hint::black_box, time::Instant};

use canaryctl::analysis::{
    counter::Counter,
    counts::{Counts, Look},
    decrease::Decrease,
    histogram::Histogram,
    interval,
    latency::{Slowdown, slow_requests},
    proof::BETA,
    rollout::{self, Pace, Standing, Weighed},
    share::{Dependence, Rules, Share},
    value::{Limit, Values},
    words,
};

use crate::table::say;

/// Pods of each side.
const PODS: usize = 10;

const BOUNDS: [f64; 11] = [
    5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0,
];

struct Checks {
    pods: [[Counter; PODS]; 2],
    errors: Share,
    p95: Share,
    p99: Share,
    saturation: Share,
    slowdown: Slowdown,
    values: [Values; 2],
    orders: Decrease,
}

impl Checks {
    fn evaluate(&mut self, at: f64) -> (rollout::Decision, String) {
        let side = |pods: &mut [Counter; PODS]| {
            pods.iter_mut()
                .filter_map(|pod| pod.advance(Some(100.0 * at), Some(0.1 * at)))
                .fold(Counts::NONE, Counts::plus)
        };
        let [canary, stable] = &mut self.pods;
        let look = Look::new(5.0, side(canary), side(stable));
        let buckets: Vec<f64> = (0_u8..12).map(|i| 90.0 * f64::from(i)).collect();
        let histogram = Histogram::new(&BOUNDS, &buckets).expect("a histogram");
        let rules = Rules::limit(0.01).with_ratio(2.0, 0.001);
        self.errors.observe(&rules, &look, 5);
        let slow = |limit| slow_requests(5.0, histogram, histogram, &BOUNDS, limit);
        self.p95.observe(&Rules::limit(0.05), &slow(500.0), 5);
        self.p99.observe(&Rules::limit(0.01), &slow(1000.0), 5);
        self.saturation.observe(&Rules::limit(0.2), &look, 5);
        self.slowdown.observe(5.0, &buckets, &buckets, 1.0, 5);
        for values in &mut self.values {
            values.observe(Limit::Share(0.05), Some(0.01), 5);
        }
        self.orders.observe(0.8, &look, 5);
        let text = words::rate(self.errors.canary());
        let ratio = interval::ratio(self.errors.canary(), self.errors.stable(), interval::DOUBT);
        (self.decide(), text + &words::times_interval(ratio))
    }

    fn decide(&self) -> rollout::Decision {
        let checks = [
            self.errors.absolute_value(),
            self.errors.relative_value(),
            self.p95.absolute_value(),
            self.p99.absolute_value(),
            self.saturation.absolute_value(),
            self.slowdown.log_value(),
            self.values[0].log_value(),
            self.values[1].log_value(),
            self.orders.log_value(),
        ];
        let weighed = checks.map(|log_value| Weighed {
            share: 1.0 / 9.0,
            log_value,
        });
        let standing = Standing {
            log_value: rollout::pooled(&weighed),
            proven: self.errors.is_proven(BETA),
            stable_fails: self.errors.stable_fails(),
            breaks: false,
        };
        let pace = Pace {
            elapsed: 30.0,
            least: 60.0,
            most: 1800.0,
            last: false,
        };
        rollout::decide(standing, pace)
    }
}

/// Prints microseconds for each evaluation; fails beyond a millisecond.
pub fn print(evaluations: u64) {
    let mut checks = Checks {
        pods: Default::default(),
        errors: Share::default(),
        p95: Share::default(),
        p99: Share::default(),
        saturation: Share::default(),
        slowdown: Slowdown::new(&BOUNDS, 1.5, Dependence::Look),
        values: Default::default(),
        orders: Decrease::default(),
    };
    checks.errors.begin_step(0.5, 0.02, false);
    let mut best = f64::INFINITY;
    let mut at = 0.0;
    for _ in 0..10 {
        let begun = Instant::now();
        for _ in 0..evaluations / 10 {
            at += 1.0;
            black_box(checks.evaluate(black_box(at)));
        }
        best = best.min(begun.elapsed().as_secs_f64() / (evaluations / 10) as f64);
    }
    let micros = best * 1e6;
    say(&format!(
        "One evaluation of 8 checks over {} pods, with intervals and text: {micros:.1} µs CPU",
        2 * PODS
    ));
    assert!(
        micros < 1000.0,
        "an evaluation takes more than a millisecond"
    );
}
