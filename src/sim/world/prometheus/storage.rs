//! Series and their samples.
//!
//! Owns: what is kept for how long, and which sample holds at a moment. Must not: know queries
//! beyond their matchers.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

/// Names and values of the labels of a series; the metric's name is `__name__`.
pub(super) type Labels = BTreeMap<String, String>;

/// Series with a value each, as a page of metrics has them.
pub(super) type Samples = Vec<(Labels, f64)>;

/// Label that holds a metric's name.
pub(super) const NAME: &str = "__name__";

/// Milliseconds a sample is kept.
const KEPT: i64 = 3_600_000;
/// Milliseconds after which a sample no longer holds.
const LOOKBACK: i64 = 300_000;

/// A moment in milliseconds, and the value at it; none marks a series that has ended.
type Point = (i64, Option<f64>);

/// The series of one Prometheus.
#[derive(Clone, Default)]
pub(super) struct Storage {
    series: BTreeMap<Labels, VecDeque<Point>>,
}

impl fmt::Debug for Storage {
    /// Shows how much there is and until when: samples follow from the time before.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let points: usize = self.series.values().map(VecDeque::len).sum();
        let newest = self.series.values().filter_map(|s| s.back()).map(|p| p.0);
        f.debug_struct("Storage")
            .field("series", &self.series.len())
            .field("points", &points)
            .field("newest", &newest.max())
            .finish()
    }
}

impl Storage {
    /// Appends a sample; one that is not newer than the last is left out.
    pub(super) fn append(&mut self, labels: Labels, at: i64, value: f64) {
        let points = self.series.entry(labels).or_default();
        if points.back().is_none_or(|last| last.0 < at) {
            points.push_back((at, Some(value)));
        }
    }

    /// Marks a series as ended.
    pub(super) fn end(&mut self, labels: &Labels, at: i64) {
        if let Some(points) = self.series.get_mut(labels)
            && points.back().is_some_and(|last| last.0 < at)
        {
            points.push_back((at, None));
        }
    }

    /// Forgets what is older than an hour.
    pub(super) fn trim(&mut self, now: i64) {
        self.series.retain(|_, points| {
            while points.front().is_some_and(|first| first.0 <= now - KEPT) {
                points.pop_front();
            }
            !points.is_empty()
        });
    }

    /// Returns the series that fit.
    pub(super) fn select<'a>(
        &'a self,
        fits: impl Fn(&Labels) -> bool + 'a,
    ) -> impl Iterator<Item = Series<'a>> + 'a {
        let hits = self.series.iter().filter(move |(labels, _)| fits(labels));
        hits.map(|(labels, points)| Series { labels, points })
    }
}

/// One series.
pub(super) struct Series<'a> {
    /// Its labels.
    pub(super) labels: &'a Labels,
    points: &'a VecDeque<Point>,
}

impl Series<'_> {
    /// Returns the value that holds at a moment: the newest of the five minutes before it.
    pub(super) fn at(&self, at: i64) -> Option<f64> {
        let end = self.points.partition_point(|p| p.0 <= at);
        let (when, value) = *self.points.get(end.checked_sub(1)?)?;
        value.filter(|_| when > at - LOOKBACK)
    }

    /// Returns the samples after `start` until `end`.
    pub(super) fn between(&self, start: i64, end: i64) -> Vec<(i64, f64)> {
        let from = self.points.partition_point(|p| p.0 <= start);
        let points = self.points.iter().skip(from).take_while(|p| p.0 <= end);
        points.filter_map(|(at, v)| Some((*at, (*v)?))).collect()
    }
}
