//! Worlds as they are: pods with real counters, each scraped at its own moment, in virtual time.
//!
//! Owns: traffic, counters, a Prometheus that is behind, and a whole release driven by the product's own meters,
//! judge, brake and `decide`, unchanged. Must not: know what is right; whoever runs a world says what it expects.
//! Used by the tests and by `benches/judgement`.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "a world is for itself, and serves both tests and benchmarks"
)]

mod drive;
mod traffic;

pub use drive::{Ended, How, Release, checks, plan};
#[allow(unused_imports, reason = "what only the benchmarks use")]
pub use traffic::{Bursts, Outage, Source, World};
