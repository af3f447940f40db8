//! The log of `CANARYCTL_LOG`, on stderr: what each round decides, and each request to the API server.
//!
//! Owns: its filter. Must not: log headers or bodies, where secrets are.

use std::io;

use tracing::subscriber;
use tracing_subscriber::{EnvFilter, fmt};

/// Starts to log what passes the filter, such as `debug` or `canaryctl=debug,kube=info`; without one nothing is logged.
/// The error says what is wrong with the filter.
pub(super) fn start(filter: Option<&str>) -> Result<(), String> {
    let Some(filter) = filter else {
        return Ok(());
    };
    let filter = EnvFilter::builder()
        .parse(filter)
        .map_err(|error| format!("CANARYCTL_LOG: {error}"))?;
    let log = fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(false)
        .finish();
    // A second one in the same process is refused, which is fine.
    drop(subscriber::set_global_default(log));
    Ok(())
}
