//! Everything that needs no cluster, in one binary.

mod cli;
mod crash;
mod decide;
mod examples;
mod generated;
mod layering;
mod releases;
mod support;
