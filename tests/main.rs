//! Everything that needs no cluster, in one binary.

mod decide;
mod engine;
mod support;
