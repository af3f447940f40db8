//! What the metrics provider counts on both sides, between two looks.
//!
//! Owns: increments of both sides over common bounds, silence. Must not: fetch, or judge a check.

use std::{collections::BTreeMap, mem::take};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    check::{Reading, Sample},
    served::{Lately, Served},
    verdict::Unknown,
};
use crate::analysis::{
    meter::{Increment, Meter, Totals, common_bounds, rebased},
    silence::{Quiet, Silence},
};

/// Seconds between two looks that count at most, as silence or as anything else: beyond, nobody looked.
pub(super) const LONGEST_SILENCE: f64 = 60.0;

/// Who tells of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Witness {
    /// The metrics provider, or whom a check asks.
    #[default]
    Source,
    /// The pods themselves, sooner than a source that is behind.
    Pods,
}

impl Witness {
    /// Returns the other one.
    pub fn other(self) -> Self {
        match self {
            Self::Source => Self::Pods,
            Self::Pods => Self::Source,
        }
    }
}

/// What a metrics provider sees at one look.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counting {
    /// Of the canary: totals of each pod, or why there are none.
    pub canary: Vec<Reading>,
    /// The same of stable.
    pub stable: Vec<Reading>,
    /// Where it was asked: a query or an address, for people.
    pub asked: String,
    /// Who was asked.
    pub witness: Witness,
}

/// What is remembered of both sides' counters; part of the journal.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meters {
    canary: Meter,
    stable: Meter,
    bounds: Vec<f64>,
    /// When a look brought new samples last.
    at: Option<Timestamp>,
    /// When it was looked last.
    looked: Option<Timestamp>,
    silence: Silence,
    lately: Lately,
    #[serde(skip_serializing_if = "Waiting::is_empty")]
    waiting: Waiting,
    /// What the pods themselves showed: the same requests at other moments, so that each is counted by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    direct: Option<Box<Self>>,
}

/// What came in on one side and waits for its other half: a source that is behind shows pods at different
/// moments, and only what covers the same time can be compared.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Waiting {
    canary: Increment,
    /// The canary's, by pod.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pods: BTreeMap<String, Increment>,
    stable: Increment,
    /// When the first of it was seen.
    since: Option<Timestamp>,
    /// The canary's share of the traffic while it came.
    weight: f64,
}

/// Times that a source may be behind, after which a side that has not moved has had no request.
const UNPAIRED: f64 = 1.5;

impl Waiting {
    fn is_empty(&self) -> bool {
        self.canary == Increment::default() && self.stable == Increment::default()
    }

    /// Takes in what came, and returns what can be compared now.
    fn pair(&mut self, canary: &Side, stable: &Increment, moment: Moment) -> (Side, Increment) {
        let Moment {
            now, weight, lag, ..
        } = moment;
        let same = self.is_empty() || (self.weight - weight).abs() < f64::EPSILON;
        self.weight = weight;
        self.canary.add(&canary.sum);
        for (pod, came) in &canary.pods {
            self.pods.entry(pod.clone()).or_default().add(came);
        }
        self.stable.add(stable);
        if self.is_empty() {
            return Default::default();
        }
        let since = *self.since.get_or_insert(now);
        let moved = |side: &Increment, share: f64| share <= 0.0 || side.counts.all() > 0.0;
        let both = moved(&self.canary, weight) && moved(&self.stable, 1.0 - weight);
        let goes = lag <= 0.0 || !same || both || seconds(since, now) >= UNPAIRED * lag;
        if !goes {
            return Default::default();
        }
        self.since = None;
        let canary = Side {
            sum: take(&mut self.canary),
            pods: take(&mut self.pods),
        };
        (canary, take(&mut self.stable))
    }

    fn rebase(&mut self, before: &[f64], now: &[f64]) {
        let both = [&mut self.canary, &mut self.stable];
        for side in both.into_iter().chain(self.pods.values_mut()) {
            side.buckets = rebased(&side.buckets, before, now).unwrap_or_default();
        }
    }
}

/// What came in since the look before.
#[derive(Debug, Clone, PartialEq)]
pub struct Counted {
    /// Seconds since the look before that brought new samples.
    pub seconds: f64,
    /// The canary's requests.
    pub canary: Increment,
    /// The same by pod, of those without requests too, where pods are counted each by itself.
    pub pods: BTreeMap<String, Increment>,
    /// Stable's requests.
    pub stable: Increment,
    /// Bounds of both histograms, in seconds; empty without histograms.
    pub bounds: Vec<f64>,
    /// Why the canary, or one of its pods, could not be counted.
    pub missing: Option<(Unknown, String)>,
    /// Why stable could not be counted.
    pub stable_missing: Option<String>,
    /// What the silence means, where no request was counted.
    pub quiet: Quiet,
    /// Where it was asked.
    pub asked: String,
}

/// Under which circumstances counters are read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// The moment of the look.
    pub now: Timestamp,
    /// When the run began.
    pub started: Timestamp,
    /// The canary's share of the traffic, between 0 and 1.
    pub weight: f64,
    /// Seconds that the source may lag behind.
    pub lag: f64,
}

impl Meters {
    /// Returns whether nothing was ever counted.
    pub fn is_empty(&self) -> bool {
        self.looked.is_none()
    }

    /// Returns which share of the requests each side gets; `None` where it is not known.
    pub fn served(&self, now: Timestamp) -> Option<Served> {
        self.lately.served(now)
    }

    /// Takes in one look.
    pub fn count(&mut self, seen: &Counting, moment: Moment) -> Counted {
        if seen.witness == Witness::Pods {
            self.direct.get_or_insert_default().take_in(seen, moment)
        } else {
            self.take_in(seen, moment)
        }
    }

    fn take_in(&mut self, seen: &Counting, moment: Moment) -> Counted {
        let Moment {
            now,
            started,
            weight,
            lag,
        } = moment;
        self.adopt(common_bounds(
            totals(&seen.canary).chain(totals(&seen.stable)),
        ));
        let bounds = &self.bounds;
        let (canary, missing) = side(&mut self.canary, &seen.canary, bounds, "the canary");
        let (stable, stable_missing) = side(&mut self.stable, &seen.stable, bounds, "stable");
        let since = |at: Option<Timestamp>| seconds(at.unwrap_or(started), now);
        // Nobody looked in between; that is no silence.
        let lasted = since(self.looked).min(LONGEST_SILENCE);
        let came = |side: &Side| side.sum.counts.all();
        let requests = came(&canary) + came(&stable);
        let quiet = if missing.is_some() && came(&canary) <= 0.0 {
            self.silence.miss(lasted)
        } else {
            let total = if lasted > 0.0 { requests / lasted } else { 0.0 };
            let seen = came(&canary);
            let quiet = self.silence.observe((lasted, lag), total, weight, seen);
            if quiet == Quiet::No && self.silence.is_still(lag) {
                Quiet::Still
            } else {
                quiet
            }
        };
        let between = (self.looked.unwrap_or(started), now);
        let sides = (came(&stable), came(&canary));
        if missing.is_none() && stable_missing.is_none() {
            self.lately.add(between, (weight, lag), sides);
        }
        let (canary, stable) = self.waiting.pair(&canary, &stable.sum, moment);
        let seconds = since(self.at);
        let news = came(&canary) + stable.counts.all() > 0.0;
        if news || self.at.is_none() {
            self.at = Some(now);
        }
        self.looked = Some(now);
        Counted {
            seconds,
            canary: canary.sum,
            pods: canary.pods,
            stable,
            bounds: bounds.clone(),
            missing,
            stable_missing: stable_missing.map(|(_, text)| text),
            quiet,
            asked: seen.asked.clone(),
        }
    }

    /// Goes on with other bounds; none at all are no news.
    fn adopt(&mut self, bounds: Vec<f64>) {
        if bounds.is_empty() || bounds == self.bounds {
            return;
        }
        self.canary.rebase(&self.bounds, &bounds);
        self.stable.rebase(&self.bounds, &bounds);
        self.waiting.rebase(&self.bounds, &bounds);
        self.bounds = bounds;
    }
}

fn totals(readings: &[Reading]) -> impl Iterator<Item = &Totals> {
    readings.iter().filter_map(|reading| {
        if let Sample::Totals { totals, .. } = &reading.sample {
            Some(totals)
        } else {
            None
        }
    })
}

/// What came in on one side.
#[derive(Debug, Clone, PartialEq, Default)]
struct Side {
    sum: Increment,
    /// By pod.
    pods: BTreeMap<String, Increment>,
}

/// Counts one side: every pod by itself, and summed.
fn side(
    meter: &mut Meter,
    readings: &[Reading],
    bounds: &[f64],
    whose: &str,
) -> (Side, Option<(Unknown, String)>) {
    let mut side = Side::default();
    let mut missing = None;
    for Reading { subject, sample } in readings {
        let named = |text: &str| {
            if subject.is_empty() {
                text.to_owned()
            } else {
                format!("{subject}: {text}")
            }
        };
        match sample {
            Sample::Totals { totals, born } => {
                let usable = totals.all.is_some_and(|all| all.is_finite() && all >= 0.0);
                if !usable {
                    let text = "the number of requests is not a number".to_owned();
                    missing = Some((Unknown::NoData, named(&text)));
                    continue;
                }
                let mut came = Increment::default();
                meter.advance(subject, *born, totals, bounds, &mut came);
                side.sum.add(&came);
                if !subject.is_empty() {
                    side.pods.entry(subject.clone()).or_default().add(&came);
                }
            }
            Sample::Missing(why, text) => missing = Some((*why, named(text))),
            Sample::Holds(..)
            | Sample::Number(_)
            | Sample::Numbers { .. }
            | Sample::Counters { .. }
            | Sample::Pod { .. }
            | Sample::Fatal(_)
            | Sample::Troubled(_)
            | Sample::Pending(_) => missing = Some((Unknown::Query, named("not counters"))),
        }
    }
    if readings.is_empty() {
        missing = Some((Unknown::NoData, format!("nothing is counted of {whose}")));
    }
    let present = |pod: &str| readings.iter().any(|reading| reading.subject == pod);
    meter.forget(&present);
    (side, missing)
}

/// Returns the seconds from `from` to `to`; 0 when it is negative.
pub fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, all: f64, bad: f64) -> Reading {
        let totals = Totals {
            all: Some(all),
            bad: Some(bad),
            buckets: Vec::new(),
        };
        Reading {
            subject: name.to_owned(),
            sample: Sample::Totals {
                totals,
                born: false,
            },
        }
    }

    fn look(meters: &mut Meters, at: i64, canary: Vec<Reading>, stable: Vec<Reading>) -> Counted {
        let second = |s| Timestamp::from_second(s).unwrap();
        let moment = Moment {
            now: second(at),
            started: second(0),
            weight: 0.5,
            lag: 0.0,
        };
        let seen = Counting {
            canary,
            stable,
            asked: "the metrics".to_owned(),
            witness: Witness::Source,
        };
        meters.count(&seen, moment)
    }

    #[test]
    fn unchanged_counters_are_no_news_and_time_goes_on() {
        let mut meters = Meters::default();
        look(
            &mut meters,
            10,
            vec![pod("c", 5.0, 0.0)],
            vec![pod("s", 50.0, 1.0)],
        );
        let same = (vec![pod("c", 5.0, 0.0)], vec![pod("s", 50.0, 1.0)]);
        look(&mut meters, 20, same.0.clone(), same.1.clone());
        let counted = look(&mut meters, 30, vec![pod("c", 9.0, 1.0)], same.1);
        assert!((counted.seconds - 20.0).abs() < 1e-9);
        assert!((counted.canary.counts.all() - 4.0).abs() < 1e-9);
    }

    #[test]
    fn a_side_that_says_nothing_is_missing_with_its_reason() {
        let mut meters = Meters::default();
        let down = Reading {
            subject: "c-1".to_owned(),
            sample: Sample::Missing(Unknown::SourceDown, "no answer within 5s".to_owned()),
        };
        let counted = look(&mut meters, 10, vec![pod("c-2", 5.0, 0.0), down], vec![]);
        assert_eq!(
            counted.missing,
            Some((Unknown::SourceDown, "c-1: no answer within 5s".to_owned()))
        );
        assert_eq!(
            counted.stable_missing.as_deref(),
            Some("nothing is counted of stable")
        );
        let odd = look(&mut meters, 20, vec![pod("c", f64::NAN, 0.0)], vec![]);
        assert_eq!(odd.missing.unwrap().0, Unknown::NoData);
    }

    #[test]
    fn a_pause_between_two_sittings_is_no_silence() {
        let mut meters = Meters::default();
        let down = || {
            vec![Reading {
                subject: String::new(),
                sample: Sample::Missing(Unknown::SourceDown, "refused".to_owned()),
            }]
        };
        look(&mut meters, 10, vec![pod("c", 5.0, 0.0)], vec![]);
        let counted = look(&mut meters, 36_000, down(), vec![]);
        assert_eq!(counted.quiet, Quiet::NoSamples);
    }

    #[test]
    fn numbers_that_stand_still_are_missed_on_both_sides() {
        let mut meters = Meters::default();
        let at = |meters: &mut Meters, second: u32, shown: u32| {
            let shown = f64::from(shown);
            let (canary, stable) = (vec![pod("c", shown, 0.0)], vec![pod("s", shown, 0.0)]);
            look(meters, i64::from(second), canary, stable).quiet
        };
        for second in (0..=100).step_by(10) {
            assert_eq!(at(&mut meters, second, second), Quiet::No);
        }
        assert_eq!(at(&mut meters, 130, 100), Quiet::No);
        assert_eq!(at(&mut meters, 170, 100), Quiet::Still);
        assert_eq!(at(&mut meters, 900, 100), Quiet::Still, "it says nothing");
        assert_eq!(at(&mut meters, 910, 101), Quiet::No);
    }

    #[test]
    fn requests_that_should_have_come_are_missed() {
        let mut meters = Meters::default();
        let mut quiet = Quiet::No;
        for at in 0..40_u32 {
            let stable = vec![pod("s", f64::from(at) * 100.0, 0.0)];
            let at = i64::from(at) * 10;
            quiet = look(&mut meters, at, vec![pod("c", 0.0, 0.0)], stable).quiet;
            let expected = if at == 0 { Quiet::No } else { Quiet::NoTraffic };
            assert!(at > 20 || quiet == expected, "{at} s: {quiet:?}");
        }
        assert_eq!(quiet, Quiet::TooLong);
    }
}
