//! What `just fuzz` runs on random input holds for its seeds, and so builds and is true of something.

use std::{fs, path::Path};

#[path = "../fuzz/claims/cel.rs"]
mod cel;
#[path = "../fuzz/claims/config.rs"]
mod config;
#[path = "../fuzz/claims/exposition.rs"]
mod exposition;
#[path = "../fuzz/claims/journal.rs"]
mod journal;
#[path = "../fuzz/claims/kubeconfig.rs"]
mod kubeconfig;
#[path = "../fuzz/claims/prometheus_answer.rs"]
mod prometheus_answer;
#[path = "../fuzz/claims/routes.rs"]
mod routes;

/// What panics unless it is so of an input.
type Claim = fn(&[u8]);

/// Each target with what it claims.
const TARGETS: [(&str, Claim); 7] = [
    ("cel", cel::holds),
    ("config", config::holds),
    ("exposition", exposition::holds),
    ("journal", journal::holds),
    ("kubeconfig", kubeconfig::holds),
    ("prometheus_answer", prometheus_answer::holds),
    ("routes", routes::holds),
];

#[test]
fn what_is_fuzzed_holds_for_the_seeds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let known = fs::read_dir(&folder).unwrap().count();
    assert_eq!(known, TARGETS.len(), "a folder of seeds for each target");
    for (target, holds) in TARGETS {
        let seeds: Vec<_> = fs::read_dir(folder.join(target)).unwrap().collect();
        assert!(!seeds.is_empty(), "{target}");
        for seed in seeds {
            holds(&fs::read(seed.unwrap().path()).unwrap());
        }
    }
}
