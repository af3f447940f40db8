//! `tests/data/analysis-vectors.json`, made by an independent implementation: every increment, every
//! piece of evidence and every decision of it is reproduced.

#![expect(clippy::float_cmp, reason = "constants and counts are exact")]

use canaryctl::analysis::{
    background::Background,
    bet::{self, Gains},
    counter::{self, Counter},
    counts::{Counts, Look},
    dispersion::Dispersion,
    evidence::{ALPHA, Evidence, SUSPICION},
    forecast,
    histogram::{self, Histogram},
    incident::FAILING,
    interval,
    latency::Slowdown,
    proof::{AT_RISK, BETA, Proof, REACTION, rate_to_exclude},
    rollout::{self, Decision, Pace, Standing, Weighed},
    share::{Dependence, Rules, Share},
    split::Split,
    value::{Limit, Values},
};
use serde_json::Value;

/// Largest difference, absolute or relative.
const TOLERANCE: f64 = 1e-9;
/// The same for the ends of intervals, which are found by halving.
const END_TOLERANCE: f64 = 1e-7;

fn vectors(key: &str) -> Value {
    let text = include_str!("../data/analysis-vectors.json");
    let mut all: Value = serde_json::from_str(text).unwrap();
    all[key].take()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

fn numbers(value: &Value) -> Vec<f64> {
    list(value).iter().map(number).collect()
}

fn size(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn counts(all: &Value, bad: &Value) -> Counts {
    Counts::new(number(all), number(bad)).unwrap()
}

/// The look of a scrape with `nc`, `xc`, `ns`, `xs`.
fn look(scrape: &Value) -> Look {
    Look::new(
        number(&scrape["dt"]),
        counts(&scrape["nc"], &scrape["xc"]),
        counts(&scrape["ns"], &scrape["xs"]),
    )
}

#[track_caller]
fn close(got: f64, expected: &Value, place: &str) {
    let expected = number(expected);
    let far = (got - expected).abs();
    assert!(
        far <= TOLERANCE || far <= TOLERANCE * expected.abs(),
        "{place}: {got} is not {expected}"
    );
}

#[track_caller]
fn close_all(got: &[f64], expected: &Value, place: &str) {
    assert_eq!(got.len(), list(expected).len(), "{place}");
    for (got, expected) in got.iter().zip(list(expected)) {
        close(*got, expected, place);
    }
}

#[test]
fn constants_are_those_of_the_vectors() {
    let constants = vectors("constants");
    assert_eq!(number(&constants["alpha"]), ALPHA);
    assert_eq!(number(&constants["beta"]), BETA);
    assert_eq!(number(&constants["suspicion"]), SUSPICION);
    assert_eq!(numbers(&constants["alt_shift"]), bet::SHIFT);
    assert_eq!(numbers(&constants["safe_frac"]), bet::FRACTION);
}

#[test]
fn detectors() {
    let all = vectors("detectors");
    assert_eq!(list(&all).len(), 17);
    for vector in list(&all) {
        let (name, params) = (vector["name"].as_str().unwrap(), &vector["params"]);
        let kind = vector["kind"].as_str().unwrap();
        let steps = size(&params["stages"]);
        let mut evidence = Evidence::default();
        let mut split = Split::of(params["weight"].as_f64().unwrap_or(0.5));
        for (at, scrape) in list(&vector["scrapes"]).iter().enumerate() {
            let place = format!("{name}, scrape {at}");
            if scrape["stage_start"] == true {
                evidence.begin_step();
            }
            let gains = gains(kind, params, scrape, &mut split, &place);
            close_all(&gains, &scrape["inc"], &place);
            let limited = !kind.starts_with("block") && params["speed_limit"] != false;
            let most = if limited {
                (1.0 / number(&params["alpha"])).ln() * number(&scrape["dt"]) / 5.0
            } else {
                f64::INFINITY
            };
            evidence.update(&bet::at_most(gains, most), steps);
            close(evidence.log_value(), &scrape["log_e"], &place);
        }
    }
}

fn gains(kind: &str, params: &Value, scrape: &Value, split: &mut Split, place: &str) -> Gains {
    let phi = scrape["phi"].as_f64().unwrap_or(1.0);
    match kind {
        "absolute" | "block_absolute" => {
            let (canary, limit) = (counts(&scrape["n"], &scrape["x"]), number(&params["p0"]));
            if kind == "absolute" {
                bet::absolute_by_request(canary, limit, phi)
            } else {
                bet::absolute(canary, limit)
            }
        }
        _ => {
            split.observe(&look(scrape));
            let parts = [split.canary(), split.stable()];
            close_all(&parts, &scrape["split"], place);
            let (canary, stable) = (number(&scrape["xc"]), number(&scrape["xs"]));
            let ratio = number(&params["ratio"]);
            match kind {
                "relative" => bet::relative_by_request(canary, stable, *split, ratio, phi),
                "drop" => bet::decrease_by_request(canary, stable, *split, ratio, phi),
                "block_relative" => bet::relative(canary, stable, *split, ratio),
                other => panic!("{other} is not known"),
            }
        }
    }
}

#[test]
fn proofs() {
    for vector in list(&vectors("safe")) {
        let name = vector["name"].as_str().unwrap();
        let mut proof = Proof::default();
        for scrape in list(&vector["scrapes"]) {
            let canary = counts(&scrape["n"], &scrape["x"]);
            let phi = scrape["phi"].as_f64().unwrap_or(1.0);
            proof.update(&bet::safe(canary, number(&vector["u"]), phi));
            close(proof.log_value(), &scrape["log_e"], name);
            assert_eq!(proof.holds(BETA), scrape["safe"], "{name}");
        }
    }
}

#[test]
fn dispersions() {
    for vector in list(&vectors("dispersion")) {
        let name = vector["name"].as_str().unwrap();
        let mut dispersion = Dispersion::default();
        for scrape in list(&vector["scrapes"]) {
            let failing = scrape["incident"] == true;
            dispersion.observe(counts(&scrape["n"], &scrape["x"]), failing);
            close(dispersion.index(), &scrape["phi"], name);
        }
    }
}

#[test]
fn background_rates() {
    for vector in list(&vectors("base_rate")) {
        let mut background = Background::default();
        for scrape in list(&vector["scrapes"]) {
            let (canary, stable) = (number(&scrape["nc"]), number(&scrape["ns"]));
            let corrected = background.corrected(number(&vector["ratio"]), canary, stable);
            close(corrected, &scrape["corrected"], "background");
            background.observe(counts(&scrape["ns"], &scrape["xs"]));
        }
    }
}

#[test]
fn intervals() {
    let close = |got: f64, expected: &Value, vector: &Value| {
        let Some(expected) = expected.as_f64() else {
            assert!(
                expected.is_null() && got == f64::INFINITY,
                "{vector}: {got}"
            );
            return;
        };
        let far = (got - expected).abs();
        assert!(far <= END_TOLERANCE * expected.abs(), "{vector}: {got}");
    };
    for vector in list(&vectors("beta_cs")) {
        let counts = counts(&vector["n"], &vector["x"]);
        let interval = interval::rate(counts, number(&vector["alpha"]));
        close(interval.low, &vector["lo"], vector);
        close(interval.high, &vector["hi"], vector);
    }
    for vector in list(&vectors("ratio_cs")) {
        let canary = counts(&vector["nc"], &vector["xc"]);
        let stable = counts(&vector["ns"], &vector["xs"]);
        let interval = interval::ratio(canary, stable, interval::DOUBT);
        close(interval.low, &vector["lo"], vector);
        close(interval.high, &vector["hi"], vector);
    }
}

#[test]
fn counters() {
    let all = vectors("counters");
    for vector in list(&all["counter_delta"]) {
        let got = counter::delta(vector["prev"].as_f64(), vector["cur"].as_f64());
        assert_eq!(got, vector["expect"].as_f64(), "{vector}");
    }
    for vector in list(&all["error_delta"]) {
        let mut counter = Counter::default();
        counter.advance(vector["prev_total"].as_f64(), vector["prev_err"].as_f64());
        let got = counter.advance(vector["cur_total"].as_f64(), vector["cur_err"].as_f64());
        assert_eq!(got.map(Counts::bad), vector["expect"].as_f64(), "{vector}");
    }
}

#[test]
fn histograms() {
    let all = vectors("histogram");
    let bounds = numbers(&all["bounds"]);
    let position = |value: &Value| value.as_u64().map(|at| usize::try_from(at).unwrap());
    for vector in list(&all["bracket"]) {
        let got = histogram::bracket(&bounds, number(&vector["limit"]));
        assert_eq!(got.below, position(&vector["expect"][0]), "{vector}");
        assert_eq!(got.above, position(&vector["expect"][1]), "{vector}");
    }
    for vector in list(&all["tail_at"]) {
        let cumulative = numbers(&vector["cum"]);
        let histogram = Histogram::new(&bounds, &cumulative).unwrap();
        let got = histogram.slower_than(number(&vector["t"]));
        close(got, &vector["expect"], "slower than");
    }
    for vector in list(&all["pick_bucket"]) {
        let cumulative = numbers(&vector["cum"]);
        let histogram = Histogram::new(&bounds, &cumulative).unwrap();
        let got = histogram.comparable_bound(number(&vector["q"]), number(&vector["factor"]));
        assert_eq!(got, position(&vector["expect"]), "{vector}");
    }
}

#[test]
fn slowdowns() {
    for key in ["latency_relative", "latency_relative_request_mode"] {
        let vector = vectors(key);
        let dependence = if vector["block"] == true {
            Dependence::Look
        } else {
            Dependence::Request
        };
        let mut slowdown = Slowdown::new(&numbers(&vector["bounds"]), 1.5, dependence);
        let steps = size(&vector["stages"]);
        let mut later = false;
        for event in list(&vector["events"]) {
            if event["event"] == "start_stage" {
                slowdown.begin_step(number(&event["weight"]), later);
                later = true;
                continue;
            }
            let phi = event["phi"].as_f64().unwrap_or(1.0);
            let (canary, stable) = (numbers(&event["canary"]), numbers(&event["stable"]));
            slowdown.observe(number(&event["dt"]), &canary, &stable, phi, steps);
            close(slowdown.log_value(), &event["log_e"], key);
        }
    }
}

#[test]
fn values() {
    for vector in list(&vectors("values")) {
        let limit = number(&vector["limit"]);
        let limit = match vector["kind"].as_str().unwrap() {
            "ratio" => Limit::Share(limit),
            "exceeds" => Limit::Most {
                most: limit,
                tolerated: number(&vector["eps"]),
            },
            other => panic!("{other} is not known"),
        };
        let mut values = Values::default();
        for sample in list(&vector["samples"]) {
            values.observe(limit, sample["value"].as_f64(), size(&vector["stages"]));
            close(values.log_value(), &sample["log_e"], "value");
        }
    }
}

#[test]
fn forecasts() {
    let all = vectors("forecast");
    for vector in list(&all["detect"]) {
        let (rate, limit) = (number(&vector["p"]), number(&vector["p0"]));
        let got = forecast::requests_to_condemn(rate, limit, 0.3).unwrap();
        close(got, &vector["n"], "detect");
    }
    for vector in list(&all["prove"]) {
        let (rate, limit) = (number(&vector["p"]), number(&vector["u"]));
        let got = forecast::requests_to_prove(rate, limit).unwrap();
        close(got, &vector["n"], "prove");
    }
}

// === Whole rollouts ===

/// What a rollout is configured with; the vectors say where it differs from the defaults.
struct Plan {
    weights: Vec<f64>,
    rules: Rules,
    least: f64,
    most: f64,
    prove_ratio: bool,
}

impl Plan {
    fn of(config: &Value) -> Self {
        let or = |key: &str, default: f64| config[key].as_f64().unwrap_or(default);
        let known = [
            "block",
            "floor",
            "max_error",
            "max_stage",
            "min_stage",
            "prove_ratio",
            "ratio",
            "weights",
        ];
        for key in config.as_object().unwrap().keys() {
            assert!(known.contains(&key.as_str()), "{key} is not known");
        }
        let weights = match &config["weights"] {
            Value::Null => vec![0.01, 0.05, 0.10, 0.25, 0.50],
            given => numbers(given),
        };
        Self {
            weights,
            rules: Rules {
                limit: Some(or("max_error", 0.01)),
                ratio: Some(or("ratio", 2.0)),
                floor: or("floor", 0.001),
                dependence: if config["block"] == false {
                    Dependence::Request
                } else {
                    Dependence::Look
                },
                // The vectors were made without the benefit of the doubt.
                doubt: FAILING,
            },
            least: or("min_stage", 60.0),
            most: or("max_stage", 1800.0),
            prove_ratio: config["prove_ratio"] == true,
        }
    }
}

/// A rollout of the check of errors alone.
struct Rollout {
    plan: Plan,
    errors: Share,
    step: Option<usize>,
    elapsed: f64,
    log_value: f64,
}

impl Rollout {
    fn begin_step(&mut self, total: f64) {
        let step = self.step.map_or(0, |step| step + 1);
        let next = self.plan.weights.get(step + 1).map(|weight| total * weight);
        let limit = self.plan.rules.limit.unwrap();
        let to_exclude = rate_to_exclude(limit, next, AT_RISK, REACTION);
        self.errors
            .begin_step(self.plan.weights[step], to_exclude, step > 0);
        (self.step, self.elapsed) = (Some(step), 0.0);
    }

    fn observe(&mut self, look: &Look) -> Decision {
        self.elapsed += look.seconds;
        self.errors
            .observe(&self.plan.rules, look, self.plan.weights.len());
        let weighed = |share, log_value| Weighed { share, log_value };
        self.log_value = rollout::pooled(&[
            weighed(rollout::ERRORS_SHARE, self.errors.absolute_value()),
            weighed(rollout::ERRORS_RATIO_SHARE, self.errors.relative_value()),
        ]);
        rollout::decide(self.standing(), self.pace())
    }

    fn standing(&self) -> Standing {
        let ratio = self.plan.prove_ratio && self.pace().last;
        Standing {
            log_value: self.log_value,
            proven: self.errors.is_proven(BETA) && (!ratio || self.errors.is_ratio_proven(BETA)),
            stable_fails: self.errors.stable_fails(),
            breaks: self.errors.breaks(&self.plan.rules),
        }
    }

    fn pace(&self) -> Pace {
        Pace {
            elapsed: self.elapsed,
            least: self.plan.least,
            most: self.plan.most,
            last: self.step == Some(self.plan.weights.len() - 1),
        }
    }

    fn check(&self, expected: &Value, place: &str) {
        let errors = &self.errors;
        let split = [errors.split().canary(), errors.split().stable()];
        close_all(&split, &expected["split"], place);
        for (key, got) in [
            ("phi_next", errors.dispersion()),
            ("log_e_abs", errors.absolute_value()),
            ("log_e_rel", errors.ratio_value()),
            ("log_e_floor", errors.floor_value()),
            ("log_e_total", self.log_value),
            ("log_safe", errors.proof().log_value()),
            ("log_safe_rel", errors.ratio_proof().log_value()),
        ] {
            close(got, &expected[key], &format!("{place}: {key}"));
        }
        let suspicious = rollout::is_suspicious(self.standing(), self.pace());
        assert_eq!(suspicious, expected["suspicious"], "{place}");
        assert_eq!(errors.stable_fails(), expected["stable_failing"], "{place}");
    }
}

#[test]
fn whole_rollouts() {
    let all = vectors("analysis");
    assert_eq!(list(&all).len(), 15);
    let mut looks = 0;
    for vector in list(&all) {
        let name = vector["name"].as_str().unwrap();
        let mut rollout = Rollout {
            plan: Plan::of(&vector["config"]),
            errors: Share::default(),
            step: None,
            elapsed: 0.0,
            log_value: 0.0,
        };
        let mut last = Decision::Continue;
        for (at, event) in list(&vector["events"]).iter().enumerate() {
            let place = format!("{name}, event {at}");
            if event["event"] == "start_stage" {
                rollout.begin_step(number(&event["total_rps"]));
                close(rollout.errors.to_exclude(), &event["u"], &place);
                continue;
            }
            last = rollout.observe(&look(event));
            looks += 1;
            rollout.check(event, &place);
            assert_eq!(word(last), event["decision"], "{place}");
        }
        assert_eq!(word(last), vector["final"], "{name}");
    }
    assert!(looks > 900, "{looks} looks");
}

fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Continue => "continue",
        Decision::Advance => "advance",
        Decision::Rollback => "rollback",
        Decision::Inconclusive => "inconclusive",
    }
}
