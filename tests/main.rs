//! Everything that needs no cluster, in one binary.

mod cli;
mod crash;
mod decide;
mod documents;
mod examples;
mod generated;
mod incidents;
mod layering;
mod preflight;
mod releases;
mod rights;
mod safety;
mod support;
