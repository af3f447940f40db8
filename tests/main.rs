//! Everything that needs no cluster, in one binary.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::needless_pass_by_value,
    reason = "helpers of tests fail like tests, and match what they look for"
)]

mod analysis;
mod answers;
mod capacity;
mod cli;
mod contract;
mod crash;
mod decide;
mod documents;
mod examples;
mod fail_open;
mod fuzzed;
mod generated;
mod incidents;
mod judgement;
mod layering;
mod metrics;
mod older;
mod parity;
mod preflight;
#[path = "../benches/judgement/random.rs"]
mod random;
mod releases;
mod rights;
mod round_trips;
mod safety;
mod saturation;
mod simulated_metrics;
mod sources;
mod suggestions;
mod support;
mod time;
mod trust;
mod unattended;
mod vocabulary;
mod worlds;
