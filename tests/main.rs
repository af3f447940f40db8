//! Everything that needs no cluster, in one binary.

mod documents;
mod engine;
mod examples;
mod layering;
mod rights;
mod support;
