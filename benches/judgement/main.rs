//! What the statistics are worth: simulated rollouts, judged by them and by the rules of other tools.
//!
//! Prints the tables of `docs/analysis.md`. `cargo bench --bench judgement` takes minutes,
//! `-- --quick` a tenth of the rollouts; numbers name tables, as in `-- --quick 1 12`.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    clippy::too_many_lines,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark: counts are small, tables are long, and its items are for itself"
)]

mod bounds;
mod brake;
mod cost;
mod e2e;
mod evidence;
mod goals;
mod latency;
mod ours;
mod peers;
mod random;
mod table;
mod tables;
mod world;
#[path = "../../tests/worlds/mod.rs"]
mod worlds;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let quick = args.iter().any(|arg| arg == "--quick");
    let wanted: Vec<&str> = args
        .iter()
        .map(String::as_str)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let rollouts = |full: u64| if quick { full.div_ceil(10) } else { full };
    let print = |name: &str, table: &dyn Fn(u64), full: u64| {
        if wanted.is_empty() || wanted.contains(&name) {
            table(rollouts(full));
        }
    };
    print("0", &cost::print, 20_000);
    print("1", &tables::identical, 2000);
    print("2", &tables::boundary, 1000);
    print("3", &tables::dependent, 1000);
    print("5", &tables::bad, 500);
    print("6", &tables::late, 500);
    print("7", &latency::print, 200);
    print("8", &evidence::print, 500);
    print("9", &tables::knobs, 500);
    print("10", &tables::values, 500);
    print("13", &brake::print, 400);
    print("16", &brake::print_loads, 500);
    print("15", &tables::fault, 1000);
    print("14", &brake::print_held_out, 1000);
    print("12", &tables::held_out, 1000);
    print("17", &goals::print, 400);
    print("e2e", &e2e::print, 100);
}
