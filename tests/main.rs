//! Everything that needs no cluster, in one binary.

mod engine;
mod preflight;
mod support;
