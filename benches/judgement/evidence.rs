//! Requests until a verdict against Wald's bound: the evidence by itself.
//!
//! Owns: one check, request by request, without steps. Must not: use more than one error in a look.

use canaryctl::analysis::{
    bet,
    counts::Counts,
    evidence::{ALPHA, Evidence},
    forecast::divergence,
    proof::{BETA, Proof},
    split::Split,
};
use fastrand::Rng;

use crate::{
    ours::{End, Run},
    table::{heading, mean, number, row, runs},
};

/// Most requests of one rollout.
const MOST: f64 = 3e6;

/// Prints requests until rollback, and until proof.
pub fn print(rollouts: u64) {
    heading(
        "8. Canary requests until rollback, against Wald's bound and the test that knows both rates",
        &[
            "test",
            "case",
            "bound",
            "oracle",
            "ours",
            "/ bound",
            "/ oracle",
            "ours, 0.3 of alpha",
            "/ bound",
        ],
    );
    for rate in [0.015, 0.02, 0.03, 0.05, 0.10, 0.20, 0.50] {
        absolute(rate, rollouts);
    }
    for weight in [0.01, 0.10, 0.50] {
        for times in [5.0, 20.0, 100.0] {
            relative(weight, times, rollouts);
        }
    }
    heading(
        "8b. Canary requests until 'below 1 %' is proven",
        &["true rate", "bound", "ours", "/ bound"],
    );
    for rate in [0.0, 0.0003, 0.001, 0.003, 0.005, 0.007] {
        let bound = (1.0 / BETA).ln() / divergence(rate, 0.01);
        let name = format!("proof {rate}");
        let ours = requests(&runs(&name, rollouts, |rng| prove(rng, rate)));
        row(&[
            format!("{:.2}%", rate * 100.0),
            number(bound),
            number(ours),
            number(ours / bound),
        ]);
    }
}

fn requests(runs: &[Run]) -> f64 {
    mean(runs, |run| Some(run.requests))
}

fn done(requests: f64) -> Run {
    Run {
        end: End::RolledBack,
        seconds: 0.0,
        requests,
        hurt: 0.0,
    }
}

/// Requests up to and with the next bad one.
fn until_bad(rng: &mut Rng, rate: f64) -> f64 {
    ((1.0 - rng.f64()).ln() / (-rate).ln_1p()).floor() + 1.0
}

fn print_row(test: &str, case: String, bound: f64, means: [f64; 3]) {
    let [oracle, whole, part] = means;
    row(&[
        test.to_owned(),
        case,
        number(bound),
        number(oracle),
        number(whole),
        number(whole / bound),
        number(whole / oracle),
        number(part),
        number(part / bound),
    ]);
}

fn absolute(rate: f64, rollouts: u64) {
    let limit: f64 = 0.01;
    let bound = (1.0 / ALPHA).ln() / divergence(rate, limit);
    let name = format!("evidence absolute {rate}");
    let ours = |share: f64| {
        let wanted = (1.0 / (ALPHA * share)).ln();
        let all = runs(&name, rollouts, |mut rng| {
            let mut evidence = Evidence::default();
            let mut all = 0.0;
            while evidence.log_value() < wanted && all < MOST {
                // A look for each bad request, or for each 50 good ones.
                let gap = until_bad(&mut rng, rate);
                let (seen, bad) = if gap <= 50.0 { (gap, 1.0) } else { (50.0, 0.0) };
                all += seen;
                let counts = Counts::new(seen, bad).expect("counts");
                evidence.update(&bet::absolute_by_request(counts, limit, 1.0), 1);
            }
            done(all)
        });
        requests(&all)
    };
    let oracle = runs(&name, rollouts, |mut rng| {
        let (mut log, mut all) = (0.0, 0.0);
        while log < (1.0 / ALPHA).ln() {
            let gap = until_bad(&mut rng, rate);
            all += gap;
            log += (rate / limit).ln() + (gap - 1.0) * ((-rate).ln_1p() - (-limit).ln_1p());
        }
        done(all)
    });
    let means = [requests(&oracle), ours(1.0), ours(0.3)];
    print_row(
        "absolute ≤ 1 %",
        format!("{:.1}%", rate * 100.0),
        bound,
        means,
    );
}

/// Only the bad requests count: whose is the next one?
fn relative(weight: f64, times: f64, rollouts: u64) {
    let (ratio, stable) = (2.0, 0.001);
    let canary = times * stable;
    let share = |ratio: f64| weight * ratio / (weight * ratio + 1.0 - weight);
    let (p, q) = (share(times), share(ratio));
    let bad_per_request = (weight * canary + (1.0 - weight) * stable) / weight;
    let bound = (1.0 / ALPHA).ln() / divergence(p, q) / bad_per_request;
    let name = format!("evidence relative {weight} {times}");
    let split = Split::of(weight);
    let ours = |share: f64| {
        let wanted = (1.0 / (ALPHA * share)).ln();
        let all = runs(&name, rollouts, |mut rng| {
            let mut evidence = Evidence::default();
            let mut bad = 0.0;
            while evidence.log_value() < wanted && bad < MOST {
                bad += 1.0;
                let ours = f64::from(rng.f64() < p);
                let gains = bet::relative_by_request(ours, 1.0 - ours, split, ratio, 1.0);
                evidence.update(&gains, 1);
            }
            done(bad / bad_per_request)
        });
        requests(&all)
    };
    let oracle = runs(&name, rollouts, |mut rng| {
        let (mut log, mut bad) = (0.0, 0.0);
        while log < (1.0 / ALPHA).ln() {
            bad += 1.0;
            log += if rng.f64() < p {
                (p / q).ln()
            } else {
                ((1.0 - p) / (1.0 - q)).ln()
            };
        }
        done(bad / bad_per_request)
    });
    let means = [requests(&oracle), ours(1.0), ours(0.3)];
    let case = format!("weight {:.0}%, {times:.0}×", weight * 100.0);
    print_row("relative ≤ 2×", case, bound, means);
}

fn prove(mut rng: Rng, rate: f64) -> Run {
    let mut proof = Proof::default();
    let mut all = 0.0;
    while !proof.holds(BETA) && all < MOST {
        all += 1.0;
        let bad = f64::from(rng.f64() < rate);
        let counts = Counts::new(1.0, bad).expect("counts");
        proof.update(&bet::safe(counts, 0.01, 1.0));
    }
    done(all)
}
