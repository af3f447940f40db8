//! The simulated cluster answers the parity script as a real one did.
//!
//! The transcripts in `tests/parity` are those of a real cluster: what differs is mended in
//! `src/sim`, never there. `tests/live/run parity` holds them to a real cluster, and writes them.

#[path = "live/suite/parity/mod.rs"]
mod script;

use std::sync::Arc;

use canaryctl::{
    clock::Clock,
    sim::{
        SimCluster,
        api::{NoApps, Rules, Server},
        scenario::{Base, Scenario},
    },
};

use self::script::{Chapter, Stage, chapters, differences, known, play};

/// The rows of a chapter's transcript that differ on the simulated cluster.
async fn replay(name: &str, chapter: &Chapter) -> Vec<String> {
    let scenario = match &chapter.scenario {
        Some(scenario) => Scenario::parse(&scenario.to_string()).unwrap(),
        None => Scenario::default(),
    };
    let scenario = Scenario {
        base: Base::None,
        ..scenario
    };
    let clock = Clock::simulated("2026-01-05T09:00:00Z".parse().unwrap(), 1.0);
    let sim = SimCluster::start(scenario, None, clock.clone()).unwrap();
    let stranger = Server::new(sim.server().store().clone(), Arc::new(NoApps));
    stranger.set_rules(Rules::new("nobody").deny("*", "*", "*"));
    let namespace = format!("parity-{name}-5eed5eed");
    let stage = Stage {
        client: sim.client(&namespace),
        stranger: stranger.client(&namespace),
        clock,
        namespace,
    };
    match play(&stage, chapter).await {
        Ok(transcript) => differences(&known(name), &transcript),
        Err(why) => vec![why],
    }
}

#[tokio::test(start_paused = true)]
async fn the_simulated_cluster_answers_as_a_real_one() {
    let mut bad = Vec::new();
    for (name, chapter) in chapters() {
        for line in replay(&name, &chapter).await {
            bad.push(format!("{name} {line}"));
        }
    }
    assert!(
        bad.is_empty(),
        "{} differences\n{}",
        bad.len(),
        bad.join("\n")
    );
}
