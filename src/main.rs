//! The `canaryctl` command, also known as `kubectl canary`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // One TLS provider for the whole process; a second call would be refused, which is fine.
    drop(rustls::crypto::ring::default_provider().install_default());
    canaryctl::cli::main()
}
