//! Everything that needs no cluster, in one binary.

mod crash;
mod decide;
mod releases;
mod safety;
mod support;
