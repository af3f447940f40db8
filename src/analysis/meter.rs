//! Counters of all pods of one side, and what came in between two looks.
//!
//! Owns: increments of every pod by itself, summed; histograms whose bounds differ. Must not: fetch, or
//! guess what a pod that says nothing would have said.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    counter::Counter,
    counts::Counts,
    histogram::{self, SAME},
};

/// Memory of vanished pods is dropped beyond this many series.
const SERIES: usize = 2000;

/// What one pod shows at a look: counters since it started.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Totals {
    /// All requests.
    pub all: Option<f64>,
    /// Bad ones among them; `None` where there is no series, which beside `all` means none.
    pub bad: Option<f64>,
    /// Upper bounds in seconds, ascending, each with the requests that took at most so long; the last
    /// bound is infinite. Empty without a histogram.
    pub buckets: Vec<(f64, f64)>,
}

impl Totals {
    /// Adds the counters of another pod; returns whether they can be added: both histograms have the same bounds.
    pub fn adds(&mut self, other: &Self) -> bool {
        let bounds = |totals: &Self| totals.buckets.iter().map(|(bound, _)| *bound).collect();
        let (ours, theirs): (Vec<f64>, Vec<f64>) = (bounds(self), bounds(other));
        let same = ours.len() == theirs.len();
        if !same || !ours.iter().zip(&theirs).all(|(a, b)| is_same(*a, *b)) {
            return false;
        }
        let sum = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0.0) + b.unwrap_or(0.0)),
        };
        self.all = sum(self.all, other.all);
        self.bad = sum(self.bad, other.bad);
        for (ours, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            ours.1 += theirs.1;
        }
        true
    }
}

/// What came in since the look before.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Increment {
    /// Requests, and bad ones among them.
    pub counts: Counts,
    /// Requests by latency, cumulative over the bounds of the meter, then all; empty without a
    /// histogram.
    pub buckets: Vec<f64>,
}

impl Increment {
    /// Returns what is left without a part of it.
    pub fn minus(&self, part: &Self) -> Self {
        let mut buckets = self.buckets.clone();
        for (sum, less) in buckets.iter_mut().zip(&part.buckets) {
            *sum = (*sum - less).max(0.0);
        }
        Self {
            counts: self.counts.minus(part.counts),
            buckets,
        }
    }

    /// Adds what came in later; a histogram over other bounds takes the place of this one.
    pub fn add(&mut self, more: &Self) {
        self.counts = self.counts.plus(more.counts);
        if self.buckets.len() != more.buckets.len() && !more.buckets.is_empty() {
            self.buckets = vec![0.0; more.buckets.len()];
        }
        for (sum, more) in self.buckets.iter_mut().zip(&more.buckets) {
            *sum += more;
        }
    }
}

/// What is remembered of one side's counters; part of the journal.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Meter {
    series: BTreeMap<String, Series>,
}

/// Counters of one pod at the last look that showed them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Series {
    #[serde(flatten)]
    counter: Counter,
    /// `None` before a histogram was seen; empty when its bounds changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    buckets: Option<Vec<f64>>,
}

impl Meter {
    /// Takes in what a pod shows, its histogram read at `bounds` (see [`common_bounds`]), and adds what
    /// came in to `sum`. Of a pod that was born during the run the counters began at 0. A pod without a
    /// name stands for the sum over all of them: where that falls, it is a new start. Returns whether
    /// anything was told.
    pub fn advance(
        &mut self,
        pod: &str,
        born: bool,
        totals: &Totals,
        bounds: &[f64],
        sum: &mut Increment,
    ) -> bool {
        let known = self.series.contains_key(pod);
        let series = self.series.entry(pod.to_owned()).or_default();
        if !known && born {
            series.counter = Counter::born_in_run();
        }
        let summed = pod.is_empty();
        let told = if summed {
            series.counter.advance_sum(totals.all, totals.bad)
        } else {
            series.counter.advance(totals.all, totals.bad)
        };
        if let Some(counts) = told {
            sum.counts = sum.counts.plus(counts);
        }
        let Some(now) = at_bounds(&totals.buckets, bounds) else {
            return told.is_some();
        };
        let before = series.buckets.replace(now.clone());
        let came = match before {
            None if born => now,
            Some(before) if before.len() == now.len() && before.last() > now.last() => {
                if summed {
                    return told.is_some();
                }
                now
            }
            Some(before) if before.len() == now.len() => {
                now.iter().zip(&before).map(|(n, b)| n - b).collect()
            }
            None | Some(_) => return told.is_some(),
        };
        sum.buckets.resize(came.len().max(sum.buckets.len()), 0.0);
        for (sum, came) in sum.buckets.iter_mut().zip(&came) {
            *sum += came.max(0.0);
        }
        histogram::tidy(&mut sum.buckets);
        true
    }

    /// Keeps the histograms when their bounds change from `before` to `now`: where a bound is gone its
    /// count is dropped, where one is new the histograms begin again.
    pub fn rebase(&mut self, before: &[f64], now: &[f64]) {
        for series in self.series.values_mut() {
            if let Some(buckets) = &mut series.buckets {
                *buckets = rebased(buckets, before, now).unwrap_or_default();
            }
        }
    }

    /// Forgets pods that are gone, when there are very many.
    pub fn forget(&mut self, present: &dyn Fn(&str) -> bool) {
        if self.series.len() > SERIES {
            self.series.retain(|pod, _| present(pod));
        }
    }

    /// Returns whether nothing was ever counted.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }
}

/// Returns a histogram over the bounds `before` (and its sum of all) as one over `now`; `None` where a
/// bound is new, or it was none over `before`.
pub fn rebased(buckets: &[f64], before: &[f64], now: &[f64]) -> Option<Vec<f64>> {
    let (all, counts) = buckets.split_last()?;
    if counts.len() != before.len() {
        return None;
    }
    let count = |bound: &f64| {
        let place = before.iter().position(|b| is_same(*b, *bound))?;
        Some(counts[place])
    };
    now.iter().map(count).chain([Some(*all)]).collect()
}

/// Returns the finite bounds that all histograms have in common: a cumulative histogram loses nothing
/// but detail with a bound. Those without a histogram are not asked.
pub fn common_bounds<'a>(all: impl Iterator<Item = &'a Totals>) -> Vec<f64> {
    let mut common: Option<Vec<f64>> = None;
    for totals in all.filter(|totals| !totals.buckets.is_empty()) {
        let has = |bound: &f64| totals.buckets.iter().any(|(b, _)| is_same(*b, *bound));
        if let Some(common) = &mut common {
            common.retain(has);
        } else {
            let bounds = totals.buckets.iter().map(|(bound, _)| *bound);
            common = Some(bounds.filter(|b| b.is_finite() && *b > 0.0).collect());
        }
    }
    common.unwrap_or_default()
}

fn is_same(a: f64, b: f64) -> bool {
    let both = [a, b].iter().all(|bound| bound.is_infinite());
    both || (a.is_finite() && (a - b).abs() <= SAME * a.abs())
}

/// Returns a histogram's counts at `bounds`, then all; `None` where it does not say.
fn at_bounds(buckets: &[(f64, f64)], bounds: &[f64]) -> Option<Vec<f64>> {
    let usable = |count: &f64| count.is_finite() && *count >= 0.0;
    let all = buckets.last().filter(|(bound, _)| bound.is_infinite())?.1;
    let count = |bound: &f64| {
        let found = buckets.iter().find(|(b, _)| is_same(*b, *bound));
        found.map(|(_, count)| *count)
    };
    let counts = bounds.iter().map(count).chain([Some(all)]);
    let mut counts: Vec<f64> = counts
        .map(|count| count.filter(usable))
        .collect::<Option<_>>()?;
    histogram::tidy(&mut counts);
    (!bounds.is_empty()).then_some(counts)
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

    const BOUNDS: [f64; 2] = [0.5, 1.0];

    fn totals(all: f64, bad: f64, quick: f64, middling: f64) -> Totals {
        Totals {
            all: Some(all),
            bad: Some(bad),
            buckets: vec![(0.5, quick), (1.0, middling), (f64::INFINITY, all)],
        }
    }

    fn advance(meter: &mut Meter, pod: &str, born: bool, seen: &Totals) -> Increment {
        let mut sum = Increment::default();
        meter.advance(pod, born, seen, &BOUNDS, &mut sum);
        sum
    }

    #[test]
    fn pods_are_counted_each_by_itself() {
        let mut meter = Meter::default();
        let mut sum = Increment::default();
        let mut look = |pod, seen: Totals, sum: &mut Increment| {
            meter.advance(pod, false, &seen, &BOUNDS, sum);
        };
        look("a", totals(100.0, 4.0, 90.0, 95.0), &mut sum);
        look("b", totals(10.0, 0.0, 9.0, 10.0), &mut sum);
        assert_eq!(sum, Increment::default(), "the first look is the start");
        // One goes on, the other restarted.
        look("a", totals(110.0, 5.0, 98.0, 104.0), &mut sum);
        look("b", totals(3.0, 1.0, 1.0, 2.0), &mut sum);
        assert_eq!((sum.counts.all(), sum.counts.bad()), (13.0, 2.0));
        assert_eq!(sum.buckets, [9.0, 11.0, 13.0]);
    }

    #[test]
    fn the_first_requests_of_a_new_pod_count() {
        let sum = advance(
            &mut Meter::default(),
            "new",
            true,
            &totals(5.0, 5.0, 0.0, 1.0),
        );
        assert_eq!((sum.counts.all(), sum.counts.bad()), (5.0, 5.0));
        assert_eq!(sum.buckets, [0.0, 1.0, 5.0]);
    }

    #[test]
    fn a_histogram_that_says_nothing_counts_nothing() {
        let mut meter = Meter::default();
        let odd = Totals {
            buckets: vec![(0.5, f64::NAN), (1.0, 1.0), (f64::INFINITY, 5.0)],
            ..totals(5.0, 0.0, 0.0, 0.0)
        };
        let torn = Totals {
            buckets: vec![(0.5, 1.0), (1.0, 1.0)],
            ..odd.clone()
        };
        for seen in [odd, torn] {
            let sum = advance(&mut meter, "p", true, &seen);
            assert_eq!(sum.buckets, [0.0; 0]);
        }
    }

    #[test]
    fn bounds_that_not_all_have_are_left_out() {
        let with = |bounds: &[f64]| Totals {
            buckets: bounds.iter().map(|b| (*b, 1.0)).collect(),
            ..Totals::default()
        };
        let sides = [
            with(&[0.1, 0.5, 1.0, f64::INFINITY]),
            Totals::default(),
            with(&[0.1, 1.0, 2.0, f64::INFINITY]),
        ];
        assert_eq!(common_bounds(sides.iter()), [0.1, 1.0]);
        assert_eq!(common_bounds([].iter()), [0.0; 0]);
    }

    #[test]
    fn histograms_survive_a_bound_that_goes_and_begin_again_with_a_new_one() {
        let mut meter = Meter::default();
        advance(&mut meter, "p", false, &totals(10.0, 0.0, 4.0, 8.0));
        meter.rebase(&BOUNDS, &[1.0]);
        let mut sum = Increment::default();
        let seen = totals(14.0, 0.0, 5.0, 10.0);
        meter.advance("p", false, &seen, &[1.0], &mut sum);
        assert_eq!(sum.buckets, [2.0, 4.0]);
        meter.rebase(&[1.0], &BOUNDS);
        let sum = advance(&mut meter, "p", false, &totals(20.0, 0.0, 5.0, 10.0));
        assert_eq!(sum.buckets, [0.0; 0], "no start to compare with");
        assert_eq!(sum.counts.all(), 6.0);
    }
}
