//! Verdicts in worlds as they are: each pod is scraped at its own moments, steps end at 100 %, stable fails, traffic
//! is low. What is asserted here of a few releases, `just bench-judgement 17` measures on many.

use canaryctl::{domain::plan::Plan, health::requests::default_checks};
use serde_json::json;

use crate::{
    random::seeded,
    worlds::{Bursts, Ended, How, Outage, Release, World, checks, plan},
};

/// The default plan of the product, 25 minutes long.
const DEFAULT: &[u32] = &[10, 25, 50, 75, 100];
const WHOLE: f64 = 1500.0;

fn default() -> Plan {
    plan(DEFAULT, 300, default_checks())
}

/// A short plan with a limit of 5 % on errors alone.
fn errors() -> Plan {
    plan(
        &[10, 50],
        300,
        checks(&[("errorRate", json!({"max": "5%"}))]),
    )
}

/// Runs the same release in this many worlds that differ by chance.
fn runs(name: &str, times: u64, plan: &Plan, world: &World) -> Vec<Ended> {
    let release = Release::new(plan.clone());
    let run = |at| release.run(world, seeded(name, at));
    (0..times).map(run).collect()
}

/// Fails unless all releases end this way, each within so many seconds.
fn all(how: How, seconds: f64, ended: &[Ended]) {
    let other = ended.iter().find(|e| e.how != how || e.seconds > seconds);
    assert!(
        other.is_none(),
        "not {how:?} within {seconds} s: {other:#?}"
    );
}

/// W1: a comparison needs stable's requests, and a step at 100 % ends.
#[test]
fn a_healthy_release_is_promoted_at_every_base_rate() {
    for base in [0.0005, 0.002, 0.007, 0.02] {
        let world = World::new(20.0, base, base);
        let ended = runs("base rate", 5, &default(), &world);
        all(How::Promoted, WHOLE + 120.0, &ended);
    }
}

/// W2: what both sides count is compared over the same time, although one canary pod shows news only every third
/// look and stable's nine at every look.
#[test]
fn errors_beyond_stables_are_found_whatever_the_scrapes() {
    for scrape in [0.0, 15.0, 30.0] {
        let world = World::new(50.0, 0.007, 0.035).scraped(scrape);
        let ended = runs("five times", 6, &default(), &world);
        all(How::RolledBack, 900.0, &ended);
    }
    let slow = World {
        latency: (0.12, 0.24),
        ..World::new(50.0, 0.001, 0.001)
    };
    all(How::RolledBack, 900.0, &runs("slow", 6, &default(), &slow));
}

/// W2 and W8: a pod that shows nothing new at a look does not leave its requests out of the comparison, so that no
/// pod is blamed alone for what all of them do.
#[test]
fn errors_of_every_pod_are_found_where_each_is_scraped_at_its_own_moments() {
    let release = Release::new(plan(&[20, 50, 100], 180, default_checks())).by_pods();
    for (scrape, seconds) in [(15.0, 480.0), (30.0, 600.0)] {
        let world = World::new(200.0, 0.007, 0.035).scraped(scrape);
        let run = |at| release.run(&world, seeded("every pod", at));
        let ended: Vec<Ended> = (0..6).map(run).collect();
        all(How::RolledBack, seconds, &ended);
    }
}

/// W3: nobody is blamed while stable fails, and a canary that surely keeps the limit is let on.
#[test]
fn a_hotfix_beside_a_failing_stable_is_promoted() {
    let hotfix = World::new(20.0, 0.08, 0.0005);
    all(How::Promoted, 660.0, &runs("hotfix", 6, &errors(), &hotfix));
    let both = World::new(20.0, 0.08, 0.08);
    all(How::Paused, 960.0, &runs("both", 6, &errors(), &both));
    // A canary that does not keep the limit is not promoted because stable is worse.
    let better = World::new(20.0, 0.2, 0.08);
    all(How::Paused, 960.0, &runs("better", 6, &errors(), &better));
}

/// W4: between two scrapes nothing is missing.
#[test]
fn slow_scrapes_are_no_silence() {
    let world = World {
        missed: 0.2,
        ..World::new(20.0, 0.002, 0.002).scraped(60.0)
    };
    let ended = runs("60 s", 6, &default(), &world);
    all(How::Promoted, WHOLE + 600.0, &ended);
}

/// W6: a shared outage delays a good release by about its own length.
#[test]
fn a_recurring_outage_of_both_sides_delays_and_does_not_end_a_release() {
    let outage = Outage {
        at: 400.0,
        every: 300.0,
        seconds: 60.0,
        level: 0.2,
    };
    let world = World {
        outage: Some(outage),
        ..World::new(50.0, 0.002, 0.002)
    };
    let plan = plan(&[10, 50], 300, default_checks());
    all(How::Promoted, 900.0, &runs("outage", 6, &plan, &world));
}

/// W7: who was never calm is in no burst; what is condemned gets no users back, and what has to be seen again is
/// seen at the least weight.
#[test]
fn a_canary_that_is_bad_from_the_start_is_out_within_a_minute_and_a_half() {
    let world = World::new(100.0, 0.001, 0.4);
    let ended = runs("bad", 8, &default(), &world);
    all(How::RolledBack, 90.0, &ended);
    let hurt = ended.iter().map(|e| e.hurt).sum::<f64>() / 8.0;
    assert!(hurt < 130.0, "{hurt} users hurt");
}

/// Twenty releases by pods with such a first step in percent, with and without scrapes, while each pod fails half of its
/// requests for 30 s once an hour.
fn with_bursts(name: &str, first: u32) -> [(World, Vec<Ended>); 2] {
    let bursts = Bursts {
        seconds: 30.0,
        an_hour: 1.0,
        level: 0.5,
    };
    let limits = checks(&[("errorRate", json!({"max": "1%", "maxRatio": 2}))]);
    let release = Release::new(plan(&[first, 50, 100], 300, limits)).by_pods();
    let scraped = World {
        bursts: Some(bursts),
        ..World::new(50.0, 0.001, 0.001)
    };
    [scraped, scraped.scraped(0.0)].map(|world| {
        let run = |at| release.run(&world, seeded(name, at));
        (world, (0..20).map(run).collect())
    })
}

/// W8: a pod that fails for a while by itself condemns no version, where the traffic cannot be taken off.
#[test]
fn bursts_of_single_pods_roll_nothing_back_without_the_brake() {
    for (world, ended) in with_bursts("bursts", 20) {
        let back: Vec<&Ended> = ended.iter().filter(|e| e.how == How::RolledBack).collect();
        assert!(back.len() <= 1, "{:?} {back:#?}", world.source);
    }
}

/// The same from one pod on, where no other tells what is of a pod and what of the version: a burst that is past does
/// not spoil the proof of its step.
#[test]
fn a_burst_that_is_past_does_not_spoil_a_step() {
    for (world, ended) in with_bursts("past", 10) {
        let count = |how: How| ended.iter().filter(|e| e.how == how).count();
        assert!(count(How::Promoted) >= 18, "{:?} {ended:#?}", world.source);
        assert!(count(How::RolledBack) <= 1, "{:?} {ended:#?}", world.source);
    }
}

/// W6: without stable as a witness, at the last step, an outage of a minute is a burst.
#[test]
fn a_recurring_outage_does_not_end_a_release_whose_last_step_has_all_the_traffic() {
    let outage = Outage {
        at: 400.0,
        every: 300.0,
        seconds: 60.0,
        level: 0.2,
    };
    let world = World {
        outage: Some(outage),
        ..World::new(50.0, 0.002, 0.002)
    };
    for release in [Release::new(default()), Release::new(default()).by_pods()] {
        let ended: Vec<Ended> = (0..10)
            .map(|at| release.run(&world, seeded("at 100", at)))
            .collect();
        let promoted = ended.iter().filter(|e| e.how == How::Promoted).count();
        assert!(promoted >= 9, "{ended:#?}");
    }
}

/// W9: beside a Prometheus the pods' own pages show within seconds what a scrape shows later.
#[test]
fn a_canary_that_fails_at_once_is_out_before_the_next_scrape() {
    let world = World::new(1000.0, 0.001, 0.5);
    let hurt = |world: World| {
        let ended = runs("at once", 8, &default(), &world);
        all(How::RolledBack, 90.0, &ended);
        ended.iter().map(|e| e.hurt).sum::<f64>() / 8.0
    };
    let (scraped, announced) = (hurt(world), hurt(world.announced()));
    assert!(
        announced < 250.0,
        "{announced} users hurt, {scraped} by scrapes alone"
    );
    let healthy = World::new(100.0, 0.002, 0.002).announced();
    all(
        How::Promoted,
        WHOLE + 120.0,
        &runs("announced", 4, &default(), &healthy),
    );
}
