//! The `canaryctl` command.

fn main() {}
