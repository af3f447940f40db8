//! Canary releases on Kubernetes from outside the cluster: see ARCHITECTURE.md for the map.

pub mod analysis;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod document;
pub mod domain;
pub mod engine;
pub mod escape;
pub mod health;
pub mod journal;
pub mod preflight;
pub mod report;
pub mod sim;
pub mod traffic;
