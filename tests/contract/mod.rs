//! The contract that every router of the table keeps, on a simulated cluster with pods of both
//! sides.

mod braking;
mod fixtures;
mod making;
mod moving;
mod readiness;
mod refusals;
mod releases;
mod stand;

use canaryctl::traffic::PROVIDERS;

use self::fixtures::{FIXTURES, Fixture};

/// Weights that every router is asked for, there and back.
const WEIGHTS: [u32; 7] = [0, 1, 5, 25, 50, 99, 100];

/// Returns the fixtures of routers whose objects hold weights.
fn by_weights() -> impl Iterator<Item = &'static Fixture> {
    FIXTURES.iter().filter(|f| f.router != "replicas")
}

#[test]
fn every_router_has_a_fixture() {
    let names = PROVIDERS.iter().map(|provider| provider.name());
    for name in names.chain(["several"]) {
        let there = FIXTURES.iter().any(|fixture| fixture.router == name);
        assert!(there, "no fixture of router {name}: add one to fixtures.rs");
    }
}
