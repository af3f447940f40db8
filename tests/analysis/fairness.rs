//! No bet is expected to win while the canary is acceptable: every outcome is enumerated, with its
//! exact probability.

use canaryctl::analysis::{
    background::Background,
    bet,
    counts::{Counts, Look},
    split::Split,
};

/// Largest expected factor, over rounding.
const FAIR: f64 = 1.0 + 1e-12;

fn choose(n: u32, k: u32) -> f64 {
    (0..k)
        .map(|i| f64::from(n - i) / f64::from(i + 1))
        .product()
}

fn binomial(n: u32, p: f64, k: u32) -> f64 {
    let power = |p: f64, k: u32| (0..k).map(|_| p).product::<f64>();
    choose(n, k) * power(p, k) * power(1.0 - p, n - k)
}

/// Expected factor of the best alternative when `n` requests fail with probability `p` each.
fn expected<const N: usize>(n: u32, p: f64, gains: impl Fn(f64) -> [f64; N]) -> f64 {
    let outcomes = (0..=n).map(|bad| (binomial(n, p, bad), gains(f64::from(bad))));
    best(outcomes.collect())
}

fn best<const N: usize>(outcomes: Vec<(f64, [f64; N])>) -> f64 {
    let total: f64 = outcomes.iter().map(|(probability, _)| probability).sum();
    assert!((total - 1.0).abs() < 1e-9, "probabilities sum to {total}");
    (0..N)
        .map(|k| outcomes.iter().map(|(p, gains)| p * gains[k].exp()).sum())
        .fold(0.0, f64::max)
}

/// Expected factor over both sides' independent bad requests.
fn expected_of_two<const N: usize>(
    canary: (u32, f64),
    stable: (u32, f64),
    gains: impl Fn(f64, f64) -> [f64; N],
) -> f64 {
    let mut outcomes = Vec::new();
    for ours in 0..=canary.0 {
        for theirs in 0..=stable.0 {
            let probability =
                binomial(canary.0, canary.1, ours) * binomial(stable.0, stable.1, theirs);
            outcomes.push((probability, gains(f64::from(ours), f64::from(theirs))));
        }
    }
    best(outcomes)
}

fn counts(all: u32, bad: f64) -> Counts {
    Counts::new(f64::from(all), bad).unwrap()
}

/// The split of exactly these requests.
fn split(canary: u32, stable: u32) -> Split {
    let weight = f64::from(canary) / f64::from(canary + stable);
    Split::of(weight)
}

#[track_caller]
fn fair(expected: f64) {
    assert!(expected <= FAIR, "the expected factor is {expected}");
}

#[test]
fn absolute_bets() {
    for limit in [0.001, 0.01, 0.05, 0.5] {
        for rate in [limit, 0.5 * limit] {
            for n in [1, 7, 40] {
                fair(expected(n, rate, |bad| {
                    bet::absolute(counts(n, bad), limit)
                }));
                for phi in [1.0, 3.7] {
                    fair(expected(n, rate, |bad| {
                        bet::absolute_by_request(counts(n, bad), limit, phi)
                    }));
                }
            }
        }
    }
}

#[test]
fn bets_on_requests_against_stable() {
    for ratio in [1.0, 1.25, 2.0] {
        for stable in [0.001, 0.05, 0.3, 0.5] {
            for part in [1.0, 0.5] {
                let canary = f64::min(1.0, ratio * stable * part);
                for (ours, theirs) in [(1, 30), (5, 7), (12, 12), (20, 3)] {
                    for phi in [1.0, 2.5] {
                        let sides = split(ours, theirs);
                        fair(expected_of_two((ours, canary), (theirs, stable), |a, b| {
                            bet::relative_by_request(a, b, sides, ratio, phi)
                        }));
                    }
                }
            }
        }
    }
}

#[test]
fn bets_on_looks_against_stable_with_the_correction() {
    let mut uncorrected: f64 = 0.0;
    for ratio in [1.1, 1.25, 1.5, 2.0, 3.0, 5.0] {
        for rate in [0.0005, 0.002, 0.01, 0.03, 0.07, 0.15, 0.3, 0.5] {
            if ratio * rate > 0.97 {
                continue;
            }
            for (ours, theirs) in [
                (1, 1),
                (1, 4),
                (1, 60),
                (3, 30),
                (10, 10),
                (30, 5),
                (25, 25),
            ] {
                let mut background = Background::default();
                for _ in 0..400 {
                    background.observe(Counts::new(1e9, rate * 1e9).unwrap());
                }
                let corrected = background.corrected(ratio, f64::from(ours), f64::from(theirs));
                let sides = split(ours, theirs);
                let of = |ratio: f64, canary: f64| {
                    expected_of_two((ours, canary), (theirs, rate), |a, b| {
                        bet::relative(a, b, sides, ratio)
                    })
                };
                fair(of(corrected, ratio * rate));
                uncorrected = uncorrected.max(of(ratio, ratio * rate));
            }
        }
    }
    // The enumeration can fail: without the correction it does.
    assert!(uncorrected > 1.01, "{uncorrected}");
}

#[test]
fn bets_on_looks_with_any_dependence_inside() {
    for limit in [0.01, 0.05] {
        let all_or_nothing = [(limit, 50.0), (1.0 - limit, 0.0)];
        let outcomes = all_or_nothing.map(|(p, bad)| (p, bet::absolute(counts(50, bad), limit)));
        fair(best(outcomes.to_vec()));
        let by_request = all_or_nothing
            .map(|(p, bad)| (p, bet::absolute_by_request(counts(50, bad), limit, 1.0)));
        assert!(best(by_request.to_vec()) > 1e3, "bets by request are not");
    }
    // The whole burst goes to one side, with the probability that the ratio and the split allow.
    let canary = 2.0 * 10.0 / (2.0 * 10.0 + 90.0);
    let outcomes = [(canary, 30.0, 0.0), (1.0 - canary, 0.0, 30.0)]
        .map(|(p, ours, theirs)| (p, bet::relative(ours, theirs, split(10, 90), 2.0)));
    fair(best(outcomes.to_vec()));
}

#[test]
fn tempered_bets_with_clusters_up_to_the_index() {
    for cluster in [2, 5] {
        let (size, phi) = (f64::from(cluster), f64::from(cluster));
        let all = 4 * cluster;
        fair(expected(4, 0.05, |bad| {
            bet::absolute_by_request(counts(all, bad * size), 0.05, phi)
        }));
        let untempered = expected(4, 0.05, |bad| {
            bet::absolute_by_request(counts(all, bad * size), 0.05, 1.0)
        });
        assert!(untempered > 1.1, "{untempered}");
        let canary = 2.0 * 10.0 / (2.0 * 10.0 + 90.0);
        fair(expected(3, canary, |ours| {
            let theirs = (3.0 - ours) * size;
            bet::relative_by_request(ours * size, theirs, split(10, 90), 2.0, phi)
        }));
    }
}

#[test]
fn bets_on_a_decrease() {
    for ratio in [0.5, 0.8] {
        for stable in [0.03, 0.3] {
            for part in [1.0, 1.2] {
                fair(expected_of_two(
                    (6, ratio * stable * part),
                    (20, stable),
                    |a, b| bet::decrease_by_request(a, b, split(6, 20), ratio, 1.0),
                ));
            }
        }
    }
}

#[test]
fn proofs_of_safety() {
    for limit in [0.01, 0.2] {
        for rate in [limit, 2.0 * limit] {
            fair(expected(30, rate, |bad| {
                bet::safe(counts(30, bad), limit, 1.0)
            }));
        }
    }
    for (stable, times) in [(0.05, 2.0), (0.05, 4.0), (0.3, 2.0)] {
        fair(expected_of_two(
            (6, stable * times),
            (20, stable),
            |a, b| bet::safe_relative(a, b, split(6, 20), 2.0, 1.0),
        ));
    }
}

#[test]
fn a_split_of_many_requests_is_the_look_itself() {
    let mut split = Split::of(0.5);
    split.observe(&Look::new(5.0, counts(25, 0.0), counts(75, 0.0)));
    assert_eq!((split.canary(), split.stable()), (25.0, 75.0));
}
