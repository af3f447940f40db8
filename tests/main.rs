//! Everything that needs no cluster, in one binary.

mod crash;
mod decide;
mod incidents;
mod releases;
mod safety;
mod support;
