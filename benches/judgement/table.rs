//! Many rollouts of one cell, and the text of a table.
//!
//! Owns: seeds, threads, means, columns. Must not: know what is simulated.

use std::thread;

use fastrand::Rng;

use crate::{
    ours::{End, Run},
    random::seeded,
};

/// Runs `rollouts` of a cell, on all cores; its name is the seed.
pub fn runs<T: Send>(cell: &str, rollouts: u64, run: impl Fn(Rng) -> T + Sync) -> Vec<T> {
    let threads = thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let part = |first: u64| {
        let run = &run;
        move || -> Vec<T> {
            (first..rollouts)
                .step_by(threads as usize)
                .map(|at| run(seeded(cell, at)))
                .collect()
        }
    };
    thread::scope(|scope| {
        let parts: Vec<_> = (0..threads).map(|first| scope.spawn(part(first))).collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().expect("a rollout"))
            .collect()
    })
}

/// What share of the runs ended so.
pub fn share(runs: &[Run], end: End) -> f64 {
    runs.iter().filter(|run| run.end == end).count() as f64 / runs.len() as f64
}

/// Mean over those runs that `of` has a value for; NaN without any.
pub fn mean(runs: &[Run], of: impl Fn(&Run) -> Option<f64>) -> f64 {
    let values: Vec<f64> = runs.iter().filter_map(of).collect();
    values.iter().sum::<f64>() / values.len() as f64
}

/// Mean seconds of the runs that ended so.
pub fn seconds(runs: &[Run], end: End) -> f64 {
    mean(runs, |run| (run.end == end).then_some(run.seconds))
}

/// The value below which a `part` in [0, 1] of all lies; sorts them.
pub fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part).round() as usize]
}

/// Mean number of requests hurt; a wrong promotion counts an hour of all traffic, at `an_hour`.
pub fn hurt(runs: &[Run], an_hour: f64) -> f64 {
    mean(runs, |run| {
        Some(
            run.hurt
                + if run.end == End::Promoted {
                    an_hour
                } else {
                    0.0
                },
        )
    })
}

/// A share as a percentage; `0` where none was seen.
pub fn percent(share: f64) -> String {
    match share {
        s if s.is_nan() => "-".to_owned(),
        s if s <= 0.0 => "0".to_owned(),
        s if s >= 0.9995 => "100%".to_owned(),
        s if s < 0.01 => format!("{:.2}%", s * 100.0),
        s => format!("{:.1}%", s * 100.0),
    }
}

/// A number with about three digits; `-` for none.
pub fn number(value: f64) -> String {
    match value {
        v if !v.is_finite() => "-".to_owned(),
        v if v.abs() >= 100.0 => format!("{v:.0}"),
        v if v.abs() >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

/// Prints a heading and the header of a table.
pub fn heading(title: &str, columns: &[&str]) {
    say(&format!("\n### {title}\n\n| {} |", columns.join(" | ")));
    say(&format!("|{}", "---|".repeat(columns.len())));
}

/// Prints one line of a table.
pub fn row(cells: &[String]) {
    say(&format!("| {} |", cells.join(" | ")));
}

#[expect(clippy::print_stdout, reason = "a benchmark prints")]
pub fn say(line: &str) {
    println!("{line}");
}
