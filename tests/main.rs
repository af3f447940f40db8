//! Everything that needs no cluster, in one binary.

mod engine;
mod layering;
mod support;
