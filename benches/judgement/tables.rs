//! The tables of errors: who is rolled back, when, and who is hurt meanwhile.
//!
//! Owns: worlds and columns. Must not: judge.

use canaryctl::analysis::{
    incident::{DOUBT, FAILING},
    rollout::ERRORS_SHARE,
    value::{Limit, TOLERATED, Values},
};

use crate::{
    bounds,
    ours::{Course, End, Run},
    peers::Peer,
    table::{heading, hurt, number, percent, row, runs, say, seconds, share},
    world::{Bursts, Cluster, IID, Outage, Shape, Traffic, World},
};

/// Steps of the design worlds and of the held-out ones.
const DESIGN: [f64; 5] = [0.01, 0.05, 0.10, 0.25, 0.50];
pub const HELD_OUT: [f64; 4] = [0.05, 0.15, 0.40, 0.80];

/// The limit on errors for a stable side with this rate.
pub fn limit(stable: f64) -> f64 {
    if stable >= 0.01 { 0.05 } else { 0.01 }
}

fn ours(cell: &str, rollouts: u64, course: &Course, world: &World) -> Vec<Run> {
    runs(cell, rollouts, |rng| {
        course.run(&mut Traffic::new(world, rng), world.rps)
    })
}

fn peer(cell: &str, rollouts: u64, peer: Peer, weights: &[f64], world: &World) -> Vec<Run> {
    runs(cell, rollouts, |rng| {
        peer.run(&mut Traffic::new(world, rng), weights, limit(world.stable))
    })
}

fn rate(rate: f64) -> String {
    format!("{:.2}%", rate * 100.0)
}

/// Table 1: a canary that equals stable.
pub fn identical(rollouts: u64) {
    heading(
        "1. False rollbacks, canary identical to stable, independent errors",
        &[
            "stable",
            "rps",
            "ours",
            "ours inconclusive",
            "ours time",
            "Flagger 60s",
            "Flagger 30s",
            "Argo",
            "naive 2x",
            "Kayenta",
        ],
    );
    for stable in [0.0001, 0.001, 0.01] {
        for rps in [1.0, 10.0, 100.0, 1000.0] {
            let world = World::new(rps, stable, stable);
            let cell = format!("identical {stable} {rps}");
            let all = ours(&cell, rollouts, &Course::with_limit(limit(stable)), &world);
            let mut cells = vec![
                rate(stable),
                number(rps),
                percent(share(&all, End::RolledBack)),
                percent(share(&all, End::Inconclusive)),
                format!("{} s", number(seconds(&all, End::Promoted))),
            ];
            for other in [
                Peer::Flagger(60.0),
                Peer::Flagger(30.0),
                Peer::Argo,
                Peer::Naive,
                Peer::Kayenta,
            ] {
                let all = peer(&cell, rollouts, other, &DESIGN, &world);
                cells.push(percent(share(&all, End::RolledBack)));
            }
            row(&cells);
        }
    }
}

/// Table 2: a canary exactly at its limits, looked at 1200 times.
pub fn boundary(rollouts: u64) {
    heading(
        "2. False rollbacks at the boundary, 5 steps of 20 minutes, 1200 looks (guaranteed: 1 %)",
        &["case", "rps", "ours", "ours by request"],
    );
    for rps in [10.0, 100.0, 1000.0] {
        for (case, stable, canary) in [
            ("2x stable (0.2 %)", 0.001, 0.002),
            ("at the limit (1 %), stable 0.7 %", 0.007, 0.01),
            ("2x stable and at the limit", 0.005, 0.01),
        ] {
            let world = World::new(rps, stable, canary);
            let course = Course::with_limit(0.01).forced(1200.0);
            let cell = format!("boundary {case} {rps}");
            let looks = ours(&cell, rollouts, &course, &world);
            let requests = ours(&cell, rollouts, &course.by_request(), &world);
            row(&[
                case.to_owned(),
                number(rps),
                percent(share(&looks, End::RolledBack)),
                percent(share(&requests, End::RolledBack)),
            ]);
        }
    }
}

fn design_shapes() -> Vec<(&'static str, Shape)> {
    let incident = Outage {
        at: 100.0,
        every: f64::INFINITY,
        seconds: 30.0,
        level: 0.10,
    };
    let hiccups = Bursts {
        seconds: 3.0,
        an_hour: 1.0,
        level: 1.0,
    };
    vec![
        ("independent", IID),
        (
            "clusters, mean 5",
            Shape {
                cluster: Cluster::Geometric(5.0),
                ..IID
            },
        ),
        (
            "clusters, mean 20",
            Shape {
                cluster: Cluster::Geometric(20.0),
                ..IID
            },
        ),
        (
            "pod hiccups of 3 s, 1/h",
            Shape {
                bursts: Some(hiccups),
                ..IID
            },
        ),
        (
            "shared incident 30 s, 10 %",
            Shape {
                outage: Some(incident),
                ..IID
            },
        ),
        (
            "shared incident, split wandering ±50 %",
            Shape {
                outage: Some(incident),
                wander: 0.5,
                ..IID
            },
        ),
    ]
}

/// Table 3: the worlds of the design with dependent errors.
pub fn dependent(rollouts: u64) {
    heading(
        "3. False rollbacks when errors are not independent, canary identical to stable (0.1 %)",
        &[
            "errors",
            "rps",
            "ours",
            "ours, 5 min a step",
            "by request",
            "by request, 5 min",
            "Flagger 60s",
            "naive 2x",
            "Kayenta",
        ],
    );
    for (name, shape) in design_shapes() {
        for rps in [10.0, 100.0, 1000.0] {
            let world = World::new(rps, 0.001, 0.001).shaped(shape);
            let cell = format!("dependent {name} {rps}");
            let course = Course::with_limit(0.01);
            let mut cells = vec![name.to_owned(), number(rps)];
            for course in [
                course.clone(),
                course.clone().forced(300.0),
                course.clone().by_request(),
                course.by_request().forced(300.0),
            ] {
                let all = ours(&cell, rollouts, &course, &world);
                cells.push(percent(share(&all, End::RolledBack)));
            }
            for other in [Peer::Flagger(60.0), Peer::Naive, Peer::Kayenta] {
                let all = peer(&cell, rollouts, other, &DESIGN, &world);
                cells.push(percent(share(&all, End::RolledBack)));
            }
            row(&cells);
        }
    }
}

/// Tables 4 and 5: a canary that is bad from the first request.
pub fn bad(rollouts: u64) {
    heading(
        "4 and 5. Bad canaries: promoted / rolled back / inconclusive; seconds; requests hurt",
        &[
            "stable -> canary",
            "rps",
            "ours",
            "bound s",
            "ours s",
            "/ bound",
            "ours requests",
            "bound hurt",
            "ours hurt",
            "/ bound",
            "Flagger 60s promoted",
            "Flagger hurt",
            "Argo promoted",
            "Argo hurt",
            "naive hurt",
            "Kayenta hurt",
            "Flagger/ours",
        ],
    );
    for (stable, canary) in [
        (0.0001, 0.002),
        (0.0001, 0.5),
        (0.001, 0.005),
        (0.001, 0.02),
        (0.001, 0.5),
        (0.01, 0.05),
        (0.01, 0.2),
        (0.01, 0.5),
    ] {
        for rps in [1.0, 10.0, 100.0, 1000.0] {
            let course = Course::with_limit(limit(stable));
            bad_row(&World::new(rps, stable, canary), &course, &DESIGN, rollouts);
        }
    }
}

fn bad_row(world: &World, course: &Course, weights: &[f64], rollouts: u64) {
    let cell = format!("bad {} {} {}", world.stable, world.canary, world.rps);
    let an_hour = 3600.0 * world.rps * world.canary;
    let all = ours(&cell, rollouts, course, world);
    let of = |other| peer(&cell, rollouts, other, weights, world);
    let (flagger, argo) = (of(Peer::Flagger(60.0)), of(Peer::Argo));
    let (bound, bound_hurt) = (bounds::seconds(course, world), bounds::hurt(course, world));
    let (took, harm) = (seconds(&all, End::RolledBack), hurt(&all, an_hour));
    let mostly = share(&all, End::RolledBack) > 0.9;
    let quotient = |value: f64| {
        if mostly {
            number(value)
        } else {
            "-".to_owned()
        }
    };
    let requests = crate::table::mean(&all, |run| {
        (run.end == End::RolledBack).then_some(run.requests)
    });
    row(&[
        format!("{} -> {}", rate(world.stable), rate(world.canary)),
        number(world.rps),
        ends(&all),
        number(bound),
        number(took),
        quotient(took / bound),
        number(requests),
        number(bound_hurt),
        number(harm),
        quotient(harm / bound_hurt),
        percent(share(&flagger, End::Promoted)),
        number(hurt(&flagger, an_hour)),
        percent(share(&argo, End::Promoted)),
        number(hurt(&argo, an_hour)),
        number(hurt(&of(Peer::Naive), an_hour)),
        number(hurt(&of(Peer::Kayenta), an_hour)),
        number(hurt(&flagger, an_hour) / harm),
    ]);
}

fn ends(all: &[Run]) -> String {
    let part = |end| percent(share(all, end));
    format!(
        "{} / {} / {}",
        part(End::Promoted),
        part(End::RolledBack),
        part(End::Inconclusive)
    )
}

/// Table 6: a canary that turns bad after 150 seconds.
pub fn late(rollouts: u64) {
    heading(
        "6. Late onset (150 s, third step): seconds from onset to rollback, requests hurt",
        &[
            "stable -> canary",
            "rps",
            "bound s",
            "ours s",
            "by request s",
            "Flagger 60s s",
            "Argo s",
            "ours hurt",
            "Flagger hurt",
        ],
    );
    for canary in [0.02, 0.10, 0.50] {
        for rps in [10.0, 100.0, 1000.0] {
            let world = World {
                onset: 150.0,
                ..World::new(rps, 0.001, canary)
            };
            let course = Course::with_limit(0.01);
            let cell = format!("late {canary} {rps}");
            let all = ours(&cell, rollouts, &course, &world);
            let by_request = ours(&cell, rollouts, &course.clone().by_request(), &world);
            let of = |other| peer(&cell, rollouts, other, &DESIGN, &world);
            let (flagger, argo) = (of(Peer::Flagger(60.0)), of(Peer::Argo));
            let since = |all: &[Run]| number(seconds(all, End::RolledBack) - world.onset);
            row(&[
                format!("0.10% -> {}", rate(canary)),
                number(rps),
                number(bounds::seconds(&course, &world)),
                since(&all),
                since(&by_request),
                since(&flagger),
                since(&argo),
                number(hurt(&all, 0.0)),
                number(hurt(&flagger, 0.0)),
            ]);
        }
    }
}

/// Table 9: what each setting does.
pub fn knobs(rollouts: u64) {
    heading(
        "9. Settings (100 rps, hard failure 1000 rps): promoted / rolled back / inconclusive, seconds, hurt",
        &[
            "variant",
            "good 0.1 %",
            "s",
            "2x stable",
            "0.1 -> 0.5 %",
            "s",
            "hurt",
            "0.1 -> 50 %, s",
            "hurt",
        ],
    );
    let base = Course::with_limit(0.01);
    let variants = [
        ("default", base.clone()),
        (
            "look 1 s",
            Course {
                look: 1.0,
                ..base.clone()
            },
        ),
        (
            "look 15 s",
            Course {
                look: 15.0,
                ..base.clone()
            },
        ),
        (
            "step 30 s",
            Course {
                least: 30.0,
                ..base.clone()
            },
        ),
        (
            "step 5 min",
            Course {
                least: 300.0,
                ..base.clone()
            },
        ),
        ("by request", base.clone().by_request()),
        (
            "no hold",
            Course {
                hold: false,
                ..base.clone()
            },
        ),
        (
            "prove ratio",
            Course {
                prove_ratio: true,
                ..base.clone()
            },
        ),
        (
            "errors only",
            Course {
                shares: (0.5, 0.5),
                ..base
            },
        ),
    ];
    for (name, course) in variants {
        let of = |rps, canary| {
            let cell = format!("knobs {canary} {rps}");
            ours(&cell, rollouts, &course, &World::new(rps, 0.001, canary))
        };
        let (good, twice) = (of(100.0, 0.001), of(100.0, 0.002));
        let (five, hard) = (of(100.0, 0.005), of(1000.0, 0.5));
        row(&[
            name.to_owned(),
            ends(&good),
            number(seconds(&good, End::Promoted)),
            percent(share(&twice, End::RolledBack)),
            ends(&five),
            number(seconds(&five, End::RolledBack)),
            number(hurt(&five, 0.0)),
            number(seconds(&hard, End::RolledBack)),
            number(hurt(&hard, 0.0)),
        ]);
    }
}

/// Table 10: one number for each window, where there are no counts.
pub fn values(rollouts: u64) {
    heading(
        "10. One value for each window, share 0.3, 100 windows",
        &["world", "rolled back", "windows until rollback"],
    );
    // Share of bad windows, and how many in a row on average.
    for (bad, in_a_row) in [(0.2, 1.0), (0.1, 1.0), (0.1, 3.0), (0.05, 3.0), (1.0, 1.0)] {
        let all = runs(&format!("values {bad} {in_a_row}"), rollouts, |mut rng| {
            let limit = Limit::Most {
                most: 0.0,
                tolerated: TOLERATED,
            };
            let mut values = Values::default();
            let mut is_bad = rng.f64() < bad;
            let mut end = End::Promoted;
            let mut windows = 0.0;
            while windows < 100.0 {
                windows += 1.0;
                values.observe(limit, Some(f64::from(is_bad)), 5);
                if values.log_value() >= (100.0 / ERRORS_SHARE).ln() {
                    end = End::RolledBack;
                    break;
                }
                is_bad = if in_a_row <= 1.0 {
                    rng.f64() < bad
                } else if is_bad {
                    rng.f64() >= 1.0 / in_a_row
                } else {
                    rng.f64() < bad / (1.0 - bad) / in_a_row
                };
            }
            Run {
                end,
                seconds: windows,
                requests: 0.0,
                hurt: 0.0,
            }
        });
        row(&[
            format!(
                "{:.0} % of windows bad, {in_a_row:.0} in a row",
                bad * 100.0
            ),
            percent(share(&all, End::RolledBack)),
            number(seconds(&all, End::RolledBack)),
        ]);
    }
}

pub fn held_out_shapes() -> Vec<(&'static str, Shape)> {
    let bursts = |seconds| {
        let bursts = Bursts {
            seconds,
            an_hour: 1.0,
            level: 0.5,
        };
        Shape {
            bursts: Some(bursts),
            ..IID
        }
    };
    let outages = Outage {
        at: 60.0,
        every: 300.0,
        seconds: 20.0,
        level: 0.15,
    };
    vec![
        ("independent", IID),
        (
            "heavy-tailed clusters, up to 500",
            Shape {
                cluster: Cluster::HeavyTailed,
                ..IID
            },
        ),
        ("pod bursts of 12 s, 1 per pod-hour", bursts(12.0)),
        ("pod bursts of 30 s, 1 per pod-hour", bursts(30.0)),
        (
            "shared outages of 20 s, 15 %",
            Shape {
                outage: Some(outages),
                ..IID
            },
        ),
        (
            "both sides' level drifts together, sigma 1",
            Shape {
                shared_drift: 1.0,
                ..IID
            },
        ),
        (
            "each side's level drifts, sigma 0.5",
            Shape {
                own_drift: 0.5,
                ..IID
            },
        ),
    ]
}

/// Table 12: worlds that no default was chosen on.
pub fn held_out(rollouts: u64) {
    heading(
        "12. Held-out worlds (steps 5/15/40/80 %), false rollbacks, canary identical to stable",
        &[
            "errors",
            "stable",
            "rps",
            "ours",
            "inconclusive",
            "10 min a step",
            "by request",
        ],
    );
    for (name, shape) in held_out_shapes() {
        for stable in [0.0005, 0.02] {
            for rps in [7.0, 60.0, 600.0] {
                let world = World::new(rps, stable, stable).shaped(shape);
                let cell = format!("held-out {name} {stable} {rps}");
                let course = Course::with_limit(limit(stable)).with_weights(&HELD_OUT);
                let all = ours(&cell, rollouts, &course, &world);
                let forced = ours(&cell, rollouts / 2, &course.clone().forced(600.0), &world);
                let by_request = ours(&cell, rollouts, &course.by_request(), &world);
                row(&[
                    name.to_owned(),
                    rate(stable),
                    number(rps),
                    percent(share(&all, End::RolledBack)),
                    percent(share(&all, End::Inconclusive)),
                    percent(share(&forced, End::RolledBack)),
                    percent(share(&by_request, End::RolledBack)),
                ]);
            }
        }
    }
    say("\nBad canaries in the same worlds, independent errors:");
    heading(
        "12b. Held-out bad canaries",
        &[
            "stable -> canary",
            "rps",
            "ours",
            "bound s",
            "ours s",
            "/ bound",
            "ours requests",
            "bound hurt",
            "ours hurt",
            "/ bound",
            "Flagger 60s promoted",
            "Flagger hurt",
            "Argo promoted",
            "Argo hurt",
            "naive hurt",
            "Kayenta hurt",
            "Flagger/ours",
        ],
    );
    for (stable, canary) in [
        (0.0005, 0.004),
        (0.0005, 0.03),
        (0.0005, 0.8),
        (0.02, 0.1),
        (0.02, 0.6),
    ] {
        for rps in [7.0, 60.0, 600.0] {
            let course = Course::with_limit(limit(stable)).with_weights(&HELD_OUT);
            bad_row(
                &World::new(rps, stable, canary),
                &course,
                &HELD_OUT,
                rollouts / 2,
            );
        }
    }
}

/// Table 15: whose fault is it, where stable has few requests?
pub fn fault(rollouts: u64) {
    heading(
        "15. Shared outages and low traffic (steps 4/20/35/65 %): the limit blames nobody from 3 recent bad requests of stable on, or from 0.6",
        &[
            "world",
            "stable",
            "rps",
            "from 3",
            "from 0.6",
            "from 3, s",
            "from 0.6, s",
            "hurt",
            "hurt",
        ],
    );
    let weights = [0.04, 0.20, 0.35, 0.65];
    let outage = |seconds, every, level| Shape {
        outage: Some(Outage {
            at: 80.0,
            every,
            seconds,
            level,
        }),
        ..IID
    };
    let mut worlds = Vec::new();
    for rps in [2.0, 6.0, 15.0] {
        for (name, shape) in [
            ("outages of 60 s, 4 %", outage(60.0, 240.0, 0.04)),
            ("outages of 25 s, 12 %", outage(25.0, 130.0, 0.12)),
            (
                "one outage of 90 s, 30 %",
                outage(90.0, f64::INFINITY, 0.30),
            ),
            ("independent", IID),
        ] {
            worlds.push((name, World::new(rps, 0.003, 0.003).shaped(shape)));
        }
        for (stable, canary) in [(0.008, 0.05), (0.003, 0.05), (0.003, 0.5)] {
            worlds.push(("bad canary", World::new(rps, stable, canary)));
        }
    }
    for (name, world) in worlds {
        let course = Course::with_limit(0.01).with_weights(&weights);
        let cell = format!(
            "fault {name} {} {} {}",
            world.stable, world.canary, world.rps
        );
        let of = |doubt| ours(&cell, rollouts, &course.clone().doubting(doubt), &world);
        let (three, less) = (of(FAILING), of(DOUBT));
        let end = if world.canary > world.stable {
            End::RolledBack
        } else {
            End::Promoted
        };
        row(&[
            format!("{name} ({})", rate(world.canary)),
            rate(world.stable),
            number(world.rps),
            ends(&three),
            ends(&less),
            number(seconds(&three, end)),
            number(seconds(&less, end)),
            number(hurt(&three, 0.0)),
            number(hurt(&less, 0.0)),
        ]);
    }
}
