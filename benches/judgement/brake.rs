//! What else can be done with early evidence: the brake, and rules that were tried beside it.
//!
//! Owns: the loop with rests and probes, the worlds they are compared in. Must not: choose anything on
//! the last held-out set.

use std::sync::atomic::{AtomicU64, Ordering};

use canaryctl::analysis::{
    brake::{Brake, Order, Settings, Signal, probe_weight},
    counts::{Counts, Look},
    rollout::Decision,
    share::Share,
};

use crate::{
    ours::{Course, End, Run},
    table::{heading, hurt, number, percent, row, runs, seconds, share},
    tables::{HELD_OUT, held_out_shapes, limit},
    world::{Bursts, Cluster, IID, Outage, Shape, Traffic, World},
};

/// A rule for early evidence.
#[derive(Clone, Copy)]
struct Rule {
    brake: Option<Settings>,
    /// Looks that are one observation.
    block: u32,
    /// Whether what was forgiven counts again at the step that was returned to.
    again: bool,
}

const ORDINARY: Rule = Rule {
    brake: None,
    block: 1,
    again: true,
};

/// A release under a rule.
struct Release<'a> {
    course: &'a Course,
    settings: Settings,
    brake: Brake,
    slow: Share,
    quick: Share,
    /// Evidence when the canary was last calm.
    calm: Share,
    /// Evidence since the last rest.
    fresh: Share,
    /// Evidence at the step that was left, without what is forgiven and without the probe.
    whole: Option<Share>,
    /// Whether what was forgiven counts again where it returned to.
    again: bool,
    probed: f64,
    seen: Counts,
    rps: f64,
}

impl Release<'_> {
    fn begin(&mut self, weight: f64, to_exclude: f64, later: bool) {
        self.slow.begin_step(weight, to_exclude, later);
        self.quick.begin_step(weight, to_exclude, later);
    }

    fn observe(&mut self, look: &Look) {
        let steps = self.course.weights.len();
        let by_request = self.course.clone().by_request().rules;
        let unlimited = Look {
            seconds: f64::MAX,
            ..*look
        };
        self.slow.observe(&self.course.rules, look, steps);
        self.quick.observe(&by_request, &unlimited, steps);
    }

    fn signal(&self, seconds: f64) -> Signal {
        let settled = Course {
            least: 0.0,
            ..self.course.clone()
        };
        let pace = self.course.pace(0, self.probed);
        Signal {
            seconds,
            heard: true,
            quick: self.course.pooled(&self.quick),
            total: self.course.pooled(&self.slow),
            fresh: self.course.pooled(&self.fresh),
            whole: self.whole.as_ref().map(|whole| self.course.pooled(whole)),
            settled: settled.decide(&self.fresh, pace) == Decision::Advance,
        }
    }

    /// Rests and probes; `None` when the release goes on.
    fn stop(&mut self, traffic: &mut Traffic<'_>, step: usize, mut order: Order) -> Option<End> {
        let weights = &self.course.weights[..=step];
        let weight = probe_weight(weights, self.rps, self.course.look);
        // As much has to be excluded as before the step that was left was entered.
        let to_exclude = self.course.to_exclude(step.saturating_sub(1), self.rps);
        let mut begun = false;
        loop {
            if order == Order::Probe && !begun {
                begun = true;
                (self.fresh, self.probed) = (Share::default(), 0.0);
                self.fresh.begin_step(weight, to_exclude, false);
                self.begin(weight, to_exclude, true);
            }
            let look = traffic.look(self.course.look, if begun { weight } else { 0.0 });
            if begun {
                self.probed += self.course.look;
                self.seen = self.seen.plus(look.canary);
                self.observe(&look);
                let steps = self.course.weights.len();
                self.fresh.observe(&self.course.rules, &look, steps);
            }
            let signal = self.signal(self.course.look);
            order = self.brake.observe(&self.settings, &signal);
            match order {
                Order::Rest | Order::Probe => {}
                Order::Rollback => return Some(End::RolledBack),
                Order::Inconclusive => return Some(End::Inconclusive),
                Order::Resume | Order::Ordinary => break,
            }
        }
        self.slow.forgive(&self.calm);
        self.quick = self.slow.clone();
        None
    }

    /// Goes through one step; `None` when the next begins.
    fn step(&mut self, traffic: &mut Traffic<'_>, step: usize, block: u32) -> Option<End> {
        let (weight, to_exclude) = (
            self.course.weights[step],
            self.course.to_exclude(step, self.rps),
        );
        self.whole = None;
        self.begin(weight, to_exclude, step > 0);
        let mut elapsed = 0.0;
        loop {
            let mut look = traffic.look(self.course.look, weight);
            for _ in 1..block {
                look = joined(&look, &traffic.look(self.course.look, weight));
            }
            elapsed += look.seconds;
            self.seen = self.seen.plus(look.canary);
            self.observe(&look);
            if let Some(whole) = &mut self.whole {
                whole.observe(&self.course.rules, &look, self.course.weights.len());
            }
            let order = self
                .brake
                .observe(&self.settings, &self.signal(look.seconds));
            if order == Order::Rollback {
                return Some(End::RolledBack);
            }
            if matches!(order, Order::Rest | Order::Probe) {
                if self.again {
                    self.whole.get_or_insert_with(|| self.slow.clone());
                }
                if let Some(end) = self.stop(traffic, step, order) {
                    return Some(end);
                }
                self.begin(weight, to_exclude, true);
                if let Some(whole) = &mut self.whole {
                    whole.begin_step(weight, to_exclude, true);
                }
                elapsed = 0.0;
                continue;
            }
            if self.brake.is_calm() {
                self.calm = self.slow.clone();
            }
            match self
                .course
                .decide(&self.slow, self.course.pace(step, elapsed))
            {
                Decision::Continue => {}
                Decision::Advance => return None,
                Decision::Rollback => return Some(End::RolledBack),
                Decision::Inconclusive => return Some(End::Inconclusive),
            }
        }
    }
}

/// Runs a release; the second value says whether the brake was used.
fn run(course: &Course, rule: Rule, traffic: &mut Traffic<'_>, rps: f64) -> (Run, bool) {
    let never = Settings {
        times: 0,
        ..Settings::default()
    };
    let mut release = Release {
        course,
        settings: rule.brake.unwrap_or(never),
        brake: Brake::default(),
        slow: Share::default(),
        quick: Share::default(),
        calm: Share::default(),
        fresh: Share::default(),
        whole: None,
        again: rule.again,
        probed: 0.0,
        seen: Counts::NONE,
        rps,
    };
    let mut steps = 0..course.weights.len();
    let end = steps.find_map(|step| release.step(traffic, step, rule.block));
    let run = Run {
        end: end.unwrap_or(End::Promoted),
        seconds: traffic.now(),
        requests: release.seen.all(),
        hurt: release.seen.bad(),
    };
    (run, release.brake.used() > 0)
}

fn joined(a: &Look, b: &Look) -> Look {
    let (canary, stable) = (a.canary.plus(b.canary), a.stable.plus(b.stable));
    Look::new(a.seconds + b.seconds, canary, stable)
}

fn rules() -> Vec<(&'static str, Rule)> {
    let default = Settings::default();
    let brake = |settings| Rule {
        brake: Some(settings),
        ..ORDINARY
    };
    let infinite = f64::INFINITY;
    vec![
        ("ordinary", ORDINARY),
        (
            "looks joined to 30 s",
            Rule {
                block: 6,
                ..ORDINARY
            },
        ),
        ("brake", brake(default)),
        (
            "forgiven for good",
            Rule {
                again: false,
                ..brake(default)
            },
        ),
        (
            "no rest",
            brake(Settings {
                rest: 0.0,
                fresh: 0.0,
                ..default
            }),
        ),
        (
            "by look only",
            brake(Settings {
                quick: infinite,
                ..default
            }),
        ),
        (
            "quick 20",
            brake(Settings {
                quick: 20.0,
                ..default
            }),
        ),
        (
            "no window",
            brake(Settings {
                window: infinite,
                ..default
            }),
        ),
        (
            "rest 30 s",
            brake(Settings {
                rest: 30.0,
                ..default
            }),
        ),
        (
            "rest 120 s",
            brake(Settings {
                rest: 120.0,
                ..default
            }),
        ),
        (
            "fresh 5",
            brake(Settings {
                fresh: 5.0,
                ..default
            }),
        ),
    ]
}

const COLUMNS: [&str; 9] = [
    "rule",
    "world",
    "stable",
    "rps",
    "rolled back",
    "inconclusive",
    "braked",
    "s",
    "hurt",
];

/// Prints every rule in the worlds that it was chosen on.
pub fn print(rollouts: u64) {
    heading(
        "13. Early evidence, canary identical to stable; seconds until promoted",
        &COLUMNS,
    );
    let wanted = ["heavy", "pod bursts", "each side"];
    for (what, shape) in held_out_shapes() {
        if !wanted.iter().any(|w| what.starts_with(w)) {
            continue;
        }
        for (stable, rps) in [(0.0005, 7.0), (0.0005, 600.0), (0.02, 600.0)] {
            let world = World::new(rps, stable, stable).shaped(shape);
            let course = Course::with_limit(limit(stable)).with_weights(&HELD_OUT);
            for (name, rule) in rules() {
                line(name, what, &course, rule, &world, rollouts);
            }
        }
    }
    heading(
        "13b. Early evidence, bad canaries; seconds from onset",
        &COLUMNS,
    );
    for (canary, rps, onset) in [
        (0.005, 100.0, 0.0),
        (0.02, 10.0, 0.0),
        (0.02, 100.0, 0.0),
        (0.02, 1000.0, 0.0),
        (0.5, 1.0, 0.0),
        (0.5, 10.0, 0.0),
        (0.5, 100.0, 0.0),
        (0.5, 1000.0, 0.0),
        (0.02, 100.0, 150.0),
        (0.1, 1000.0, 150.0),
        (0.5, 100.0, 150.0),
        (0.5, 1000.0, 150.0),
    ] {
        let world = World {
            onset,
            ..World::new(rps, 0.001, canary)
        };
        for (name, rule) in rules() {
            let what = format!("-> {} % from {onset} s", canary * 100.0);
            line(
                name,
                &what,
                &Course::with_limit(0.01),
                rule,
                &world,
                rollouts,
            );
        }
    }
}

/// Prints what the brake costs where a canary fails only from a share of the traffic on: a probe brings less.
pub fn print_loads(rollouts: u64) {
    let wanted = ["ordinary", "brake", "forgiven for good"];
    heading(
        "16. A canary that is bad from 20 % of the traffic on (steps 1/5/10/25/50 %)",
        &COLUMNS,
    );
    for (canary, rps) in [
        (0.02, 100.0),
        (0.1, 10.0),
        (0.1, 1000.0),
        (0.5, 10.0),
        (0.5, 100.0),
        (0.5, 1000.0),
    ] {
        let world = World {
            above: 0.2,
            ..World::new(rps, 0.001, canary)
        };
        let what = format!("-> {} %", canary * 100.0);
        for (name, rule) in rules() {
            if wanted.contains(&name) {
                let course = Course::with_limit(0.01);
                line(name, &what, &course, rule, &world, rollouts);
            }
        }
    }
}

/// Prints the brake that was chosen in worlds that nothing was chosen on.
pub fn print_held_out(rollouts: u64) {
    let weights = [0.03, 0.12, 0.30, 0.70];
    let rules = [
        ("ordinary", ORDINARY),
        (
            "brake",
            Rule {
                brake: Some(Settings::default()),
                ..ORDINARY
            },
        ),
    ];
    heading(
        "14. Second held-out set (steps 3/12/30/70 %), canary identical to stable",
        &COLUMNS,
    );
    for (what, shape) in last_shapes() {
        for (stable, rps) in [
            (0.0015, 4.0),
            (0.0015, 40.0),
            (0.0015, 400.0),
            (0.01, 40.0),
            (0.01, 2500.0),
        ] {
            let world = World::new(rps, stable, stable).shaped(shape);
            let course = Course::with_limit(limit(stable)).with_weights(&weights);
            for (name, rule) in rules {
                line(name, what, &course, rule, &world, rollouts);
            }
        }
    }
    heading(
        "14b. Second held-out set, bad canaries; seconds from onset",
        &COLUMNS,
    );
    for (stable, canary) in [(0.0015, 0.04), (0.0015, 0.3), (0.01, 0.9)] {
        for rps in [4.0, 40.0, 400.0, 2500.0] {
            for onset in [0.0, 130.0] {
                let world = World {
                    onset,
                    ..World::new(rps, stable, canary)
                };
                let course = Course::with_limit(limit(stable)).with_weights(&weights);
                for (name, rule) in rules {
                    let what = format!("-> {} % from {onset} s", canary * 100.0);
                    line(name, &what, &course, rule, &world, rollouts);
                }
            }
        }
    }
}

fn last_shapes() -> Vec<(&'static str, Shape)> {
    let bursts = |seconds, an_hour, level| Shape {
        bursts: Some(Bursts {
            seconds,
            an_hour,
            level,
        }),
        ..IID
    };
    let outage = Outage {
        at: 45.0,
        every: 170.0,
        seconds: 40.0,
        level: 0.06,
    };
    vec![
        ("independent", IID),
        (
            "clusters, mean 12",
            Shape {
                cluster: Cluster::Geometric(12.0),
                ..IID
            },
        ),
        ("pod bursts of 20 s, 80 %, 2/h", bursts(20.0, 2.0, 0.8)),
        ("pod bursts of 45 s, 30 %, 1/h", bursts(45.0, 1.0, 0.3)),
        ("pod bursts of 90 s, 80 %, 0.5/h", bursts(90.0, 0.5, 0.8)),
        (
            "shared outages of 40 s, 6 %",
            Shape {
                outage: Some(outage),
                ..IID
            },
        ),
        (
            "each side's level drifts, sigma 0.7",
            Shape {
                own_drift: 0.7,
                ..IID
            },
        ),
        (
            "everything: clusters, drift, wandering split",
            Shape {
                cluster: Cluster::Geometric(4.0),
                shared_drift: 0.5,
                own_drift: 0.3,
                wander: 0.3,
                outage: Some(outage),
                ..IID
            },
        ),
    ]
}

fn line(name: &str, what: &str, course: &Course, rule: Rule, world: &World, rollouts: u64) {
    let cell = format!("brake {what} {} {}", world.stable, world.rps);
    let braked = AtomicU64::new(0);
    let all = runs(&cell, rollouts, |rng| {
        let (run, used) = run(course, rule, &mut Traffic::new(world, rng), world.rps);
        braked.fetch_add(u64::from(used), Ordering::Relaxed);
        run
    });
    let is_bad = world.canary > world.stable;
    let (end, from) = if is_bad {
        (End::RolledBack, world.onset)
    } else {
        (End::Promoted, 0.0)
    };
    row(&[
        name.to_owned(),
        what.to_owned(),
        format!("{:.2}%", world.stable * 100.0),
        number(world.rps),
        percent(share(&all, End::RolledBack)),
        percent(share(&all, End::Inconclusive)),
        percent(braked.into_inner() as f64 / rollouts as f64),
        number(seconds(&all, end) - from),
        number(hurt(&all, 0.0)),
    ]);
}
