//! Whole releases in worlds as they are, beside what they should come to.
//!
//! Owns: the worlds, the goals, and whether each is met. Must not: judge: the product's own meters, judge, brake
//! and `decide` do, unchanged.

use canaryctl::health::requests::default_checks;
use serde_json::json;

use crate::{
    table::{heading, number, percent, quantile, row, runs},
    worlds::{Bursts, Ended, How, Outage, Release, World, checks, plan},
};

/// The default plan of the product.
const DEFAULT: &[u32] = &[10, 25, 50, 75, 100];
const SHORT: &[u32] = &[10, 50];
const HOLD: u64 = 300;

/// What is asked of the releases in a world.
#[derive(Clone, Copy)]
enum Goal {
    /// At least this percentage is promoted, 95 % of them within so many seconds.
    Promoted(f64, f64),
    /// At most this percentage is rolled back.
    RolledBack(f64),
    /// At most this percentage is promoted.
    NotPromoted(f64),
    /// All are rolled back, half of them within so many seconds and with so many users hurt.
    Found(f64, f64),
}

impl Goal {
    fn words(self) -> String {
        match self {
            Self::Promoted(share, seconds) => format!("≥ {share}% promoted, ≤ {seconds} s"),
            Self::RolledBack(share) => format!("≤ {share}% rolled back"),
            Self::NotPromoted(share) => format!("≤ {share}% promoted"),
            Self::Found(seconds, hurt) => format!("100% found, ≤ {seconds} s, ≤ {hurt} hurt"),
        }
    }

    fn met(self, seen: &Seen) -> bool {
        match self {
            Self::Promoted(share, seconds) => seen.promoted >= share && seen.late <= seconds,
            Self::RolledBack(share) => seen.back <= share,
            Self::NotPromoted(share) => seen.promoted <= share,
            Self::Found(seconds, hurt) => {
                seen.back >= 100.0 && seen.middle <= seconds && seen.hurt <= hurt
            }
        }
    }
}

/// What the releases of a world came to.
struct Seen {
    promoted: f64,
    back: f64,
    paused: f64,
    middle: f64,
    late: f64,
    hurt: f64,
}

impl Seen {
    fn of(ended: &[Ended]) -> Self {
        let all = ended.len() as f64;
        let share = |how| ended.iter().filter(|e| e.how == how).count() as f64 / all * 100.0;
        let mut seconds: Vec<f64> = ended.iter().map(|e| e.seconds).collect();
        Self {
            promoted: share(How::Promoted),
            back: share(How::RolledBack),
            paused: share(How::Paused),
            middle: quantile(&mut seconds, 0.5),
            late: quantile(&mut seconds, 0.95),
            hurt: ended.iter().map(|e| e.hurt).sum::<f64>() / all,
        }
    }
}

/// A world, a release in it, and the goal.
struct Row(String, Release, World, Goal);

fn rows() -> Vec<Row> {
    let default = || Release::new(plan(DEFAULT, HOLD, default_checks()));
    let of = |weights: &[u32], list: &[(&str, serde_json::Value)]| {
        Release::new(plan(weights, HOLD, checks(list)))
    };
    let five = [("errorRate", json!({"max": "5%"}))];
    let one = [("errorRate", json!({"max": "1%", "maxRatio": 2}))];
    let whole = DEFAULT.len() as f64 * HOLD as f64 + 60.0;
    let short = SHORT.len() as f64 * HOLD as f64 + 60.0;
    let mut rows = Vec::new();
    let mut add = |name: &str, release: Release, world: World, goal: Goal| {
        rows.push(Row(name.to_owned(), release, world, goal));
    };
    for (rps, base, scrape) in [
        (0.5, 0.0005, 15.0),
        (1.0, 0.0005, 15.0),
        (20.0, 0.0005, 15.0),
        (20.0, 0.002, 0.0),
        (20.0, 0.002, 15.0),
        (20.0, 0.002, 30.0),
        (20.0, 0.007, 15.0),
        (20.0, 0.02, 15.0),
        (20.0, 0.04, 15.0),
        (1000.0, 0.007, 15.0),
    ] {
        let name = format!(
            "healthy, {rps} rps, {} % errors, scraped every {scrape} s",
            base * 100.0
        );
        let world = World::new(rps, base, base).scraped(scrape);
        add(&name, default(), world, Goal::Promoted(99.0, whole));
    }
    let missed = World {
        missed: 0.2,
        ..World::new(20.0, 0.002, 0.002).scraped(60.0)
    };
    add(
        "healthy, 60 s scrapes, a fifth missed",
        default(),
        missed,
        Goal::Promoted(99.0, whole + 240.0),
    );
    for (rps, share) in [(0.2, 98.0), (0.1, 90.0)] {
        add(
            &format!("healthy, errors ≤ 5 % alone, {rps} rps"),
            of(DEFAULT, &five),
            World::new(rps, 0.0005, 0.0005),
            Goal::Promoted(share, 3.0 * whole),
        );
    }
    add(
        "hotfix: stable 8 %, canary 0.05 %, limit 5 %",
        of(SHORT, &five),
        World::new(20.0, 0.08, 0.0005),
        Goal::Promoted(99.0, short),
    );
    add(
        "a dependency of both is down: 8 %, limit 5 %",
        of(SHORT, &five),
        World::new(20.0, 0.08, 0.08),
        Goal::NotPromoted(0.0),
    );
    let outage = Outage {
        at: 400.0,
        every: 300.0,
        seconds: 60.0,
        level: 0.2,
    };
    add(
        "shared outage of 60 s every 5 min, identical canary",
        default(),
        World {
            outage: Some(outage),
            ..World::new(50.0, 0.002, 0.002)
        },
        Goal::Promoted(95.0, 2.0 * whole),
    );
    for (weights, scrape) in [(DEFAULT, 15.0), (DEFAULT, 0.0), (&[20, 50, 100], 15.0)] {
        let first = weights[0];
        add(
            &format!(
                "bursts of 30 s on single pods, by pods from {first} % on, {scrape} s scrapes"
            ),
            of(weights, &one).by_pods(),
            World {
                bursts: Some(Bursts {
                    seconds: 30.0,
                    an_hour: 1.0,
                    level: 0.5,
                }),
                ..World::new(50.0, 0.001, 0.001).scraped(scrape)
            },
            Goal::RolledBack(1.0),
        );
    }
    for (drift, most) in [(0.5, 0.5), (0.7, 2.0)] {
        add(
            &format!("each side drifts by {drift}, identical canary"),
            of(
                DEFAULT,
                &[("errorRate", json!({"max": "5%", "maxRatio": 2}))],
            ),
            World {
                drift,
                ..World::new(50.0, 0.007, 0.007)
            },
            Goal::RolledBack(most),
        );
    }
    add(
        "warm-up of 60 s with 10 % errors",
        default(),
        World {
            warmup: (60.0, 0.1),
            ..World::new(50.0, 0.001, 0.001)
        },
        Goal::RolledBack(30.0),
    );
    add(
        "errors 6 % beyond a limit of 5 %",
        of(DEFAULT, &five),
        World::new(50.0, 0.001, 0.06),
        Goal::NotPromoted(0.1),
    );
    for scrape in [15.0, 30.0] {
        add(
            &format!("latency 2× where 1.5× is tolerated, {scrape} s scrapes"),
            default(),
            World {
                latency: (0.12, 0.24),
                ..World::new(50.0, 0.001, 0.001).scraped(scrape)
            },
            Goal::NotPromoted(1.0),
        );
    }
    add(
        "0.7 → 3.5 % errors, at most twice stable's, 50 rps",
        default(),
        World::new(50.0, 0.007, 0.035),
        Goal::Found(200.0, 40.0),
    );
    for (scrape, hurt) in [(15.0, 200.0), (0.0, 150.0)] {
        let world = World::new(1000.0, 0.001, 0.5).scraped(scrape);
        let name = format!("0.1 → 50 % errors, 1,000 rps, scraped every {scrape} s");
        add(&name, default(), world, Goal::Found(60.0, hurt));
        if scrape > 0.0 {
            let name = format!("{name}, pages announced");
            add(&name, default(), world.announced(), Goal::Found(60.0, hurt));
        }
    }
    for (rps, errors, seconds, hurt) in [(100.0, 0.5, 15.0, 60.0), (1000.0, 0.1, 60.0, 150.0)] {
        let world = World::new(rps, 0.001, errors).scraped(5.0);
        let percent = errors * 100.0;
        let name = format!("0.1 → {percent} % errors, {rps} rps, 5 s scrapes");
        add(&name, default(), world, Goal::Found(seconds, hurt));
        let name = format!("{name}, pages announced");
        add(
            &name,
            default(),
            world.announced(),
            Goal::Found(seconds, hurt),
        );
    }
    rows
}

/// Prints what releases come to in worlds as they are.
pub fn print(times: u64) {
    heading(
        &format!("17. Whole releases in worlds as they are ({times} each)"),
        &[
            "world",
            "promoted",
            "rolled back",
            "paused",
            "p50 s",
            "p95 s",
            "hurt",
            "goal",
            "",
        ],
    );
    for Row(name, release, world, goal) in rows() {
        let ended = runs(&name, times, |rng| release.run(&world, rng));
        let seen = Seen::of(&ended);
        let met = if goal.met(&seen) {
            "met"
        } else {
            "**not met**"
        };
        row(&[
            name,
            percent(seen.promoted / 100.0),
            percent(seen.back / 100.0),
            percent(seen.paused / 100.0),
            number(seen.middle),
            number(seen.late),
            number(seen.hurt),
            goal.words(),
            met.to_owned(),
        ]);
    }
}
