# Shortcuts; `just` lists them. CI itself is .ci/run and needs no just.

_default:
    @just --list --unsorted

# Once after cloning: checks the first line of each commit
setup:
    git config core.hooksPath .githooks

# Everything CI does
ci *steps:
    .ci/run {{ steps }}

# Format, lint
fmt:
    cargo fmt

lint:
    cargo clippy --all-targets --locked -- -D warnings
    cargo clippy --test live --bench live --locked -- -D warnings

# Tests; just test decide runs those with "decide" in their name
test *filter:
    cargo test {{ filter }}

# Take over what generated files and snapshots are now
accept:
    INSTA_UPDATE=always cargo test

# The example on a simulated cluster: just sandbox errors-at-25
sandbox scenario="healthy":
    cargo run --release -- auto payment-api --sandbox={{ scenario }}

# Size, speed and memory of the binary, and CPU of a whole release, beside their goals
bench:
    cargo bench --profile release --bench binary --bench engine --bench metrics

# Simulate rollouts and print what the judgement is worth; --quick takes seconds, numbers name tables
bench-judgement *options:
    cargo bench --bench judgement -- {{ options }}

# The same operations by canaryctl and by a kubectl script, in turns, on a real control plane
bench-live:
    tests/live/run --bench

# Random input, for some seconds, to journal, config, kubeconfig, routes, exposition, prometheus_answer or
# cel; needs cargo-fuzz
fuzz target seconds="60":
    mkdir -p fuzz/corpus/{{ target }}
    RUSTC_BOOTSTRAP=1 cargo fuzz run {{ target }} fuzz/corpus/{{ target }} fuzz/seeds/{{ target }} -- -max_total_time={{ seconds }}

# Seeded releases in a hostile world, and how many of them break a rule; one seed tells its release in full
hostile releases="2000" seed="0":
    CANARYCTL_HOSTILE={{ releases }} CANARYCTL_HOSTILE_FROM={{ seed }} \
        cargo test --test hostile -- --nocapture

# What is shipped: one static binary that needs nothing of the machine it runs on (Linux, glibc's gcc)
dist:
    .ci/run dist

# Documentation of the code, in a browser
doc:
    cargo doc --no-deps --open

# Licences, banned crates, sources, and known vulnerabilities (needs the network)
deny:
    cargo deny check

# The oldest Rust that is promised to work
msrv:
    cargo +1.90 check --all-targets --locked

# The suite against a real control plane; just live rollback runs those with "rollback" in their name
live *filter:
    tests/live/run {{ filter }}

# The same against Kubernetes 1.20, built from Debian's source package the first time
live-old *filter:
    CANARYCTL_LIVE_KUBERNETES=1.20 tests/live/run {{ filter }}
