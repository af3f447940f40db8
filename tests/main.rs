//! Everything that needs no cluster, in one binary.

#![expect(
    clippy::unwrap_used,
    clippy::large_futures,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests fail like tests, and match what they look for"
)]

mod crash;
mod decide;
mod incidents;
mod releases;
mod safety;
mod support;
