//! The product as a user runs it, against a real Kubernetes: `tests/live/run`.
//!
//! Every test has a random namespace with the payment API in it. A test that disturbs the control
//! plane has a cluster of its own. Nothing here may name the tool's own modules for what it asserts:
//! the tool is a process, the cluster is asked by a client of the tests. Only `presets`, `answers` and
//! `suggestions` hold the tool's sources of metrics, without a cluster, against a real Prometheus.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::needless_pass_by_value,
    reason = "helpers of tests fail like tests, and match what they look for"
)]

mod answers;
mod control_plane;
mod dataplane;
mod floor;
mod ground;
mod groups;
mod identities;
mod incidents;
mod looking;
mod loopback;
mod metrics;
mod moving;
mod parity;
mod presets;
mod prometheus;
mod releases;
mod roles;
mod routers;
mod sandbox;
mod shop;
mod suggestions;
mod tool;
mod transcripts;
mod trust;
mod users;
