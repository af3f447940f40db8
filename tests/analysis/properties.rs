//! What holds for any input, silly ones among them.

use canaryctl::analysis::{
    bet,
    brake::{Brake, Order, Settings, Signal},
    counter::Counter,
    counts::{Counts, Look},
    decrease::Decrease,
    evidence::Evidence,
    forecast,
    histogram::{self, Histogram},
    interval::{self, DOUBT},
    latency::{Slowdown, slow_requests},
    proof::{self, BETA, Proof},
    rollout::{self, Pace, Standing, Weighed},
    share::{Dependence, Rules, Share},
    silence::Silence,
    split::{self, Split},
    value::{Limit, Values},
    words,
};
use proptest::{
    collection::vec,
    num::f64::ANY,
    prelude::{Just, ProptestConfig, Strategy, any, prop_oneof},
    prop_assert, proptest,
};

/// Any bit pattern, and more often numbers that occur.
fn silly() -> impl Strategy<Value = f64> {
    prop_oneof![
        ANY,
        Just(0.0),
        Just(1.0),
        Just(-1.0),
        Just(1e12),
        Just(f64::MAX),
        Just(f64::INFINITY),
        Just(f64::NAN),
        0.0..1.0,
        0.0..1e6,
    ]
}

/// Counts from none to 1e12.
fn counts() -> impl Strategy<Value = Counts> {
    let all = prop_oneof![
        Just(0.0),
        0.0..50.0,
        (0.0..12.0_f64).prop_map(|e| 10_f64.powf(e))
    ];
    (all, prop_oneof![Just(0.0), Just(1.0), 0.0..1.0])
        .prop_map(|(all, share)| Counts::new(all, all * share).unwrap())
}

fn look() -> impl Strategy<Value = Look> {
    (0.1..300.0, counts(), counts())
        .prop_map(|(seconds, canary, stable)| Look::new(seconds, canary, stable))
}

fn rules() -> impl Strategy<Value = Rules> {
    (silly(), silly(), silly(), any::<(bool, bool, bool)>()).prop_map(
        |(limit, ratio, floor, (absolute, relative, by_look))| Rules {
            limit: absolute.then_some(limit),
            ratio: relative.then_some(ratio),
            floor,
            dependence: if by_look {
                Dependence::Look
            } else {
                Dependence::Request
            },
            doubt: floor,
        },
    )
}

fn sane_rules(dependence: Dependence) -> Rules {
    Rules {
        dependence,
        ..Rules::limit(0.01).with_ratio(2.0, 0.001)
    }
}

fn evidence_of(looks: &[Look]) -> f64 {
    let mut evidence = Evidence::default();
    for look in looks {
        evidence.update(&bet::absolute(look.canary, 0.01), 5);
    }
    evidence.log_value()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_share_is_never_nan(
        rules in rules(),
        looks in vec(look(), 1..40),
        weight in silly(),
        to_exclude in silly(),
        steps in 0..9_usize,
    ) {
        let mut share = Share::default();
        share.begin_step(weight, to_exclude, false);
        for look in looks {
            share.observe(&rules, &look, steps);
            for value in [
                share.absolute_value(),
                share.relative_value(),
                share.proof().log_value(),
                share.ratio_proof().log_value(),
                share.dispersion(),
                share.split().canary(),
                share.split().stable(),
            ] {
                prop_assert!(!value.is_nan());
            }
            share.breaks(&rules);
        }
        share.begin_step(weight, to_exclude, true);
    }

    #[test]
    fn a_share_survives_the_journal(looks in vec(look(), 1..40)) {
        let rules = sane_rules(Dependence::Request);
        let mut kept = Share::default();
        kept.begin_step(0.1, 0.02, false);
        let mut saved = kept.clone();
        for look in looks {
            kept.observe(&rules, &look, 5);
            let text = serde_json::to_string(&saved).unwrap();
            saved = serde_json::from_str(&text).unwrap();
            saved.observe(&rules, &look, 5);
            let far = (kept.absolute_value() - saved.absolute_value()).abs();
            prop_assert!(far <= 1e-9 * kept.absolute_value().abs().max(1.0));
        }
    }

    #[test]
    fn silly_numbers_do_no_harm(a in silly(), b in silly(), c in silly(), d in silly()) {
        if let Some(counts) = Counts::new(a, b) {
            prop_assert!(counts.bad() <= counts.all() && counts.all().is_finite());
            let interval = interval::rate(counts, DOUBT);
            prop_assert!(0.0 <= interval.low && interval.low <= interval.high && interval.high <= 1.0);
            words::rate(counts);
            let other = Counts::new(c, d).unwrap_or(Counts::NONE);
            let ratio = interval::ratio(counts, other, DOUBT);
            prop_assert!(0.0 <= ratio.low && ratio.low <= ratio.high);
            words::times_interval(ratio);
            prop_assert!(bet::absolute(counts, c).iter().all(|gain| !gain.is_nan()));
            prop_assert!(bet::absolute_by_request(counts, c, d).iter().all(|gain| !gain.is_nan()));
            prop_assert!(bet::safe(counts, c, d).iter().all(|gain| !gain.is_nan()));
        }
        for number in [a, b] {
            words::percent(number);
            words::count(number);
            words::odds(number);
            words::times(number);
            words::comparison(number, b);
        }
        let mut counter = Counter::default();
        for reading in [(a, b), (c, d), (b, a)] {
            counter.advance(Some(reading.0), Some(reading.1));
            counter.advance_sum(Some(reading.1), Some(reading.0));
        }
        let mut silence = Silence::default();
        silence.observe((a, b), b, c, d);
        silence.miss(a);
        let rate = proof::rate_to_exclude(0.01, Some(a), b, c);
        prop_assert!((0.0..=1.0).contains(&rate));
        for estimate in [
            forecast::requests_to_condemn(a, b, c),
            forecast::requests_to_prove(a, b),
            forecast::seconds(a, b, c),
        ] {
            prop_assert!(estimate.is_none_or(|n| n >= 0.0 && n.is_finite()));
        }
        split::agreement(a, b, c, d);
        let mut values = Values::default();
        for limit in [
            Limit::Share(a),
            Limit::Most { most: a, tolerated: b },
            Limit::Least { least: a, tolerated: b },
        ] {
            values.observe(limit, Some(c), 5);
            values.compare(d, Some(a), Some(b), 5);
            prop_assert!(!values.log_value().is_nan());
        }
        let pooled = rollout::pooled(&[
            Weighed { share: a, log_value: 1.0 },
            Weighed { share: 0.5, log_value: 2.0 },
        ]);
        prop_assert!(!pooled.is_nan());
    }

    #[test]
    fn silly_histograms_do_no_harm(
        bounds in vec(silly(), 0..6),
        mut cumulative in vec(silly(), 0..7),
        limit in silly(),
        q in silly(),
    ) {
        histogram::tidy(&mut cumulative);
        histogram::bracket(&bounds, limit);
        let mut slowdown = Slowdown::new(&bounds, limit, Dependence::Look);
        slowdown.observe(5.0, &cumulative, &cumulative, 1.0, 5);
        prop_assert!(!slowdown.log_value().is_nan());
        if let Some(histogram) = Histogram::new(&bounds, &cumulative) {
            prop_assert!(!histogram.slower_than(limit).is_nan());
            histogram.comparable_bound(q, limit);
            let interval = histogram.quantile_interval(q, DOUBT);
            prop_assert!(interval.low <= interval.high);
            slow_requests(5.0, histogram, histogram, &bounds, limit);
        }
    }

    #[test]
    fn a_histogram_says_the_same_of_tails_and_quantiles(
        parts in vec(1_u32..1000, 4),
        q in 0.01..0.99_f64,
    ) {
        let bounds = [10.0, 100.0, 1000.0];
        let mut sum = 0.0;
        let cumulative: Vec<f64> = parts
            .iter()
            .map(|n| {
                sum += f64::from(*n);
                sum
            })
            .collect();
        let histogram = Histogram::new(&bounds, &cumulative).unwrap();
        let quantile = histogram.quantile(q).unwrap();
        if quantile.is_finite() {
            let tail = histogram.slower_than(quantile) / histogram.all();
            prop_assert!((tail - (1.0 - q)).abs() < 1e-9, "{tail} slower than quantile {q}");
        }
        prop_assert!(histogram.quantile_interval(q, DOUBT).contains(quantile));
    }

    #[test]
    fn more_bad_requests_are_more_evidence(
        before in vec(look(), 0..10),
        all in 1.0..1e12_f64,
        shares in (0.0..1.0, 0.0..1.0),
    ) {
        let (less, more) = if shares.0 <= shares.1 { shares } else { (shares.1, shares.0) };
        let with = |share: f64| {
            let mut looks = before.clone();
            let canary = Counts::new(all, all * share).unwrap();
            looks.push(Look::new(5.0, canary, Counts::NONE));
            evidence_of(&looks)
        };
        prop_assert!(with(less) <= with(more) + 1e-12);
        let proof = |share: f64| {
            let mut proof = Proof::default();
            proof.update(&bet::safe(Counts::new(all, all * share).unwrap(), 0.05, 1.0));
            proof.log_value()
        };
        prop_assert!(proof(less) >= proof(more));
    }

    #[test]
    fn more_bad_requests_of_the_canary_tell_it_apart(
        bad in (0.0..1e6, 0.0..1e6, 0.01..1e6),
        weight in 0.001..0.999_f64,
        ratio in 1.0..5.0_f64,
    ) {
        let (less, more) = if bad.0 <= bad.1 { (bad.0, bad.1) } else { (bad.1, bad.0) };
        let split = Split::of(weight);
        for (low, high) in bet::relative(less, bad.2, split, ratio)
            .iter()
            .zip(bet::relative(more, bad.2, split, ratio))
        {
            prop_assert!(*low <= high + 1e-12);
        }
        // A looser limit is broken less.
        for (loose, strict) in bet::relative(more, bad.2, split, ratio * 1.5)
            .iter()
            .zip(bet::relative(more, bad.2, split, ratio))
        {
            prop_assert!(*loose <= strict + 1e-12);
        }
    }

    #[test]
    fn one_look_wins_little_however_large(counts in counts(), limit in 0.001..0.5_f64) {
        for gain in bet::absolute(counts, limit) {
            prop_assert!(gain <= (1.0 / limit).ln() + 1e-12);
        }
    }

    #[test]
    fn the_scale_of_a_look_does_not_matter(
        all in 1.0..1e6_f64,
        share in 0.0..1.0_f64,
        scale in 1.0..1e6_f64,
    ) {
        let one = bet::absolute(Counts::new(all, all * share).unwrap(), 0.01);
        let other = bet::absolute(Counts::new(all * scale, all * share * scale).unwrap(), 0.01);
        for (one, other) in one.iter().zip(other) {
            prop_assert!((one - other).abs() < 1e-9);
        }
    }

    #[test]
    fn the_order_of_requests_inside_a_proof_does_not_matter(
        looks in vec((0.0..1000.0, 0.0..1.0), 1..20),
    ) {
        let value = |looks: &[(f64, f64)]| {
            let mut proof = Proof::default();
            for (all, share) in looks {
                proof.update(&bet::safe(Counts::new(*all, all * share).unwrap(), 0.02, 1.0));
            }
            proof.log_value()
        };
        let reversed: Vec<_> = looks.iter().copied().rev().collect();
        prop_assert!((value(&looks) - value(&reversed)).abs() <= 1e-9 * value(&looks).abs().max(1.0));
    }

    #[test]
    fn evidence_can_be_lowered_to_one_look_but_never_raised(
        before in vec(look(), 0..10),
        since in vec(look(), 0..10),
    ) {
        let mut evidence = Evidence::default();
        for look in &before {
            evidence.update(&bet::absolute(look.canary, 0.01), 5);
        }
        let earlier = evidence.clone();
        for look in &since {
            evidence.update(&bet::absolute(look.canary, 0.01), 5);
        }
        let now = evidence.log_value();
        evidence.forgive(&earlier);
        prop_assert!(evidence.log_value() <= now + 1e-9);
    }

    #[test]
    fn pooled_evidence_lies_between_the_checks(values in vec(-5.0..50.0_f64, 1..8)) {
        let count = f64::from(u32::try_from(values.len()).unwrap());
        let weighed: Vec<Weighed> = values
            .iter()
            .map(|log_value| Weighed { share: 1.0 / count, log_value: *log_value })
            .collect();
        let pooled = rollout::pooled(&weighed);
        let most = values.iter().copied().fold(f64::MIN, f64::max);
        let least = values.iter().copied().fold(f64::MAX, f64::min);
        prop_assert!(least - 1e-9 <= pooled && pooled <= most + 1e-9);
    }

    #[test]
    fn what_fails_or_is_suspected_never_advances(
        log_value in -5.0..10.0_f64,
        flags in any::<(bool, bool, bool, bool)>(),
        times in (0.0..4000.0_f64, 0.0..600.0_f64, 0.0..4000.0_f64),
    ) {
        let standing = Standing {
            log_value,
            proven: flags.0,
            stable_fails: flags.1,
            breaks: flags.2,
        };
        let pace = Pace {
            elapsed: times.0,
            least: times.1,
            most: times.2,
            last: flags.3,
        };
        if rollout::decide(standing, pace) == rollout::Decision::Advance {
            prop_assert!(flags.0 && !flags.1 && log_value < 5.0_f64.ln() && times.0 >= times.1);
            prop_assert!(!(flags.2 && flags.3));
        }
    }

    #[test]
    fn a_brake_never_condemns_on_less_than_the_ordinary_rule(
        signals in vec(
            (0.1..60.0_f64, silly(), silly(), silly(), any::<bool>(), proptest::option::of(silly())),
            1..400,
        ),
    ) {
        let (mut brake, settings) = (Brake::default(), Settings::default());
        let mut rests = 0;
        for (seconds, quick, total, fresh, settled, whole) in signals {
            let used = brake.used();
            let signal = Signal { seconds, heard: true, quick, total, fresh, whole, settled };
            let order = brake.observe(&settings, &signal);
            rests += brake.used() - used;
            if order == Order::Rollback {
                let enough = 100.0_f64.ln();
                let probed = total >= enough && fresh >= 2.0_f64.ln() && rests > 0;
                // What was forgiven is evidence of the run like any other.
                let again = whole.is_some_and(|whole| whole >= enough);
                prop_assert!(probed || again);
                break;
            }
            prop_assert!(rests <= settings.times);
        }
    }

    #[test]
    fn a_decrease_is_never_nan(looks in vec(look(), 1..20), ratio in silly()) {
        let mut check = Decrease::default();
        check.begin_step(0.1, false);
        for look in looks {
            check.observe(ratio, &look, 5);
            prop_assert!(!check.log_value().is_nan());
        }
    }
}

/// Runs of a canary exactly at its limit, looked at after every request: the interval and the evidence
/// are wrong in few of them, at whatever moment one looks.
#[test]
fn peeking_does_not_break_the_bounds() {
    let (runs, looks, rate) = (1000, 400, 0.05);
    let mut random = fastrand::Rng::with_seed(11);
    let (mut condemned, mut missed) = (0, 0);
    for _ in 0..runs {
        let mut evidence = Evidence::default();
        let mut seen = Counts::NONE;
        let (mut is_condemned, mut is_missed) = (false, false);
        for look in 0..looks {
            let bad = (0..4).filter(|_| random.f64() < rate).count();
            let counts = Counts::new(4.0, f64::from(u8::try_from(bad).unwrap())).unwrap();
            evidence.update(&bet::absolute(counts, rate), 1);
            seen = seen.plus(counts);
            is_condemned |= evidence.condemns();
            // Finding its ends is the slow part of this test.
            is_missed |= look % 8 == 0 && !interval::rate(seen, DOUBT).contains(rate);
        }
        condemned += u32::from(is_condemned);
        missed += u32::from(is_missed);
    }
    let share = |n: u32| f64::from(n) / f64::from(runs);
    // Three standard deviations above the promised probabilities.
    assert!(
        share(condemned) <= 0.01 + 3.0 * (0.01 / 1000.0_f64).sqrt(),
        "{condemned}"
    );
    assert!(
        share(missed) <= DOUBT + 3.0 * (DOUBT / 1000.0).sqrt(),
        "{missed}"
    );
    assert!(missed > 0, "the bound is not tested by these runs");
}

/// The same for a proof: a canary exactly at the limit is called proven in few runs.
#[test]
fn peeking_does_not_prove_what_is_not_so() {
    let (runs, limit) = (1000, 0.05);
    let mut random = fastrand::Rng::with_seed(12);
    let mut proven = 0;
    for _ in 0..runs {
        let mut proof = Proof::default();
        let mut ever = false;
        for _ in 0..1000 {
            let bad = f64::from(random.f64() < limit);
            proof.update(&bet::safe(Counts::new(1.0, bad).unwrap(), limit, 1.0));
            ever |= proof.holds(BETA);
        }
        proven += u32::from(ever);
    }
    let share = f64::from(proven) / f64::from(runs);
    assert!(share <= BETA + 3.0 * (BETA / 1000.0).sqrt(), "{proven}");
    assert!(proven > 0, "the bound is not tested by these runs");
}

#[test]
fn huge_counts_keep_their_digits() {
    let canary = Counts::new(1e12, 5e9).unwrap();
    let interval = interval::rate(canary, DOUBT);
    assert!(interval.contains(0.005) && interval.high - interval.low < 1e-5);
    let mut share = Share::default();
    share.begin_step(0.5, 0.02, false);
    for _ in 0..100 {
        share.observe(
            &sane_rules(Dependence::Look),
            &Look::new(5.0, canary, canary),
            5,
        );
    }
    assert!(share.absolute_value() < 0.0 && share.is_proven(BETA));
}
