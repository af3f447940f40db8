//! Everything that needs no cluster, in one binary.

mod engine;
mod examples;
mod layering;
mod rights;
mod support;
