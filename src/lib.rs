//! Canary releases on Kubernetes from outside the cluster: see ARCHITECTURE.md for the map.

pub mod analysis;
pub mod clock;
pub mod config;
pub mod domain;
pub mod sim;
