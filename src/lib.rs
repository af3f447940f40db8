//! Canary releases on Kubernetes from outside the cluster: see ARCHITECTURE.md for the map.

pub mod clock;
pub mod sim;
