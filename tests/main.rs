//! Everything that needs no cluster, in one binary.

#![expect(
    clippy::unwrap_used,
    clippy::large_futures,
    reason = "helpers of tests fail like tests, and nobody counts their bytes"
)]

mod crash;
mod decide;
mod incidents;
mod releases;
mod safety;
mod support;
