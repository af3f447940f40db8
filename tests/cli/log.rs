//! The log of `CANARYCTL_LOG`: a process has one, so these run the program itself.

use std::process::{Command, Output};

fn set(filter: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_canaryctl"));
    let line = "set payment-api 25 --sandbox --speed 1000";
    command.args(line.split(' ')).env("CANARYCTL_LOG", filter);
    command.output().unwrap()
}

#[test]
fn each_round_is_logged_with_what_it_decides() {
    let ran = set("canaryctl=debug");
    let log = String::from_utf8(ran.stderr).unwrap();
    assert!(ran.status.success(), "{log}");
    let decided = |line: &&str| line.contains("round{run=") && line.contains("decided");
    assert!(log.lines().filter(decided).count() >= 2, "{log}");
    assert!(log.contains("target=25% actual="), "{log}");
}

#[test]
fn a_filter_that_is_none_is_refused() {
    let ran = set("canaryctl=loud");
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(2), "{said}");
    assert!(said.starts_with("error: CANARYCTL_LOG: "), "{said}");
}
