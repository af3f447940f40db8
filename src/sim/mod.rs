//! A simulated Kubernetes cluster: API server, controllers, kubelets, traffic.
//!
//! Owns: everything behind the wire when there is no real cluster. Must not: be named by anything
//! but the command line and the tests; know how releases are decided.

pub mod api;
pub mod cluster;
pub mod fault;
pub mod fields;
mod hash;
pub mod meter;
mod replies;
pub mod scenario;
pub mod store;
pub mod world;

pub use api::Server;
pub use cluster::{Machine, SimCluster, SimError, Snapshot};
