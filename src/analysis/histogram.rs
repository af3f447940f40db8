//! Cumulative histograms of latencies.
//!
//! Owns: bounds, buckets, what can and cannot be said of a limit between two bounds, quantiles with
//! intervals. Must not: judge. The unit of bounds is the caller's.

use super::{
    counts::Counts,
    interval::{self, Interval},
};

/// Relative difference up to which a limit is a bound.
pub(super) const SAME: f64 = 1e-9;

/// Requests by latency: for each bound how many took at most so long, then all of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Histogram<'a> {
    bounds: &'a [f64],
    cumulative: &'a [f64],
}

/// The bounds around a limit, by their positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bracket {
    /// Largest bound up to the limit: whoever was quicker was surely quick enough.
    pub below: Option<usize>,
    /// Smallest bound from the limit on: whoever was slower was surely too slow.
    pub above: Option<usize>,
}

impl Bracket {
    /// Returns whether the limit is itself a bound, so that nothing is in doubt.
    pub fn is_exact(self) -> bool {
        self.below.is_some() && self.below == self.above
    }
}

impl<'a> Histogram<'a> {
    /// Returns the histogram. `bounds` are finite, above 0 and ascending, `cumulative` has one entry
    /// more, finite, not negative, not descending (see [`tidy`]); `None` otherwise.
    pub fn new(bounds: &'a [f64], cumulative: &'a [f64]) -> Option<Self> {
        let ascending = bounds.windows(2).all(|pair| pair[0] < pair[1]);
        let usable = bounds.iter().all(|b| b.is_finite() && *b > 0.0) && !bounds.is_empty();
        let counted = cumulative.iter().all(|c| c.is_finite() && *c >= 0.0)
            && cumulative.windows(2).all(|pair| pair[0] <= pair[1]);
        (ascending && usable && counted && cumulative.len() == bounds.len() + 1)
            .then_some(Self { bounds, cumulative })
    }

    /// Returns all requests.
    pub fn all(self) -> f64 {
        self.cumulative.last().copied().unwrap_or(0.0)
    }

    /// Returns the requests that took longer than the bound at `index`; 0 beyond the last bound.
    pub fn slower_than_bound(self, index: usize) -> f64 {
        let quick = self.cumulative.get(index).copied();
        quick.map_or(0.0, |quick| (self.all() - quick).max(0.0))
    }

    /// Returns how many requests took longer than `limit`, as if latencies were spread evenly, on a
    /// logarithmic scale, inside each bucket. Beyond the last bound: those slower than it.
    pub fn slower_than(self, limit: f64) -> f64 {
        let (mut below, mut quick) = (0.0, 0.0);
        for (bound, cumulative) in self.bounds.iter().zip(self.cumulative) {
            if limit < *bound {
                let part = position(below, *bound, limit);
                let quicker = quick + part * (cumulative - quick);
                return (self.all() - quicker).max(0.0);
            }
            (below, quick) = (*bound, *cumulative);
        }
        (self.all() - quick).max(0.0)
    }

    /// Returns the position of the bound to compare the canary at for quantile `q` in (0, 1): the one
    /// of which, divided by `factor`, stable's share of slower requests is closest to `1 - q`. `None`
    /// without requests.
    pub fn comparable_bound(self, q: f64, factor: f64) -> Option<usize> {
        if self.all() <= 0.0 {
            return None;
        }
        let distance = |bound: f64| {
            let tail = (self.slower_than(bound / factor) + 0.5) / (self.all() + 1.0);
            (tail / (1.0 - q)).ln().abs()
        };
        let mut best: Option<(usize, f64)> = None;
        for (index, bound) in self.bounds.iter().enumerate() {
            let far = distance(*bound);
            if best.is_none_or(|(_, least)| far < least) {
                best = Some((index, far));
            }
        }
        best.map(|(index, _)| index)
    }

    /// Returns the latency that the share `q` in (0, 1) of the requests does not exceed, read between
    /// bounds as [`Histogram::slower_than`] does; infinite beyond the last bound, `None` without
    /// requests.
    pub fn quantile(self, q: f64) -> Option<f64> {
        let wanted = q * self.all();
        let (mut below, mut quick) = (0.0, 0.0);
        if self.all() <= 0.0 {
            return None;
        }
        for (bound, cumulative) in self.bounds.iter().zip(self.cumulative) {
            if *cumulative >= wanted && *cumulative > quick {
                let part = ((wanted - quick) / (cumulative - quick)).clamp(0.0, 1.0);
                return Some(value_at(below, *bound, part));
            }
            (below, quick) = (*bound, *cumulative);
        }
        Some(f64::INFINITY)
    }

    /// Returns between which bounds the quantile `q` in (0, 1) lies, 0 and infinity where no bound
    /// says; wrong with probability `doubt` at most, at every peek. Nothing is read between bounds.
    pub fn quantile_interval(self, q: f64, doubt: f64) -> Interval {
        let mut interval = Interval {
            low: 0.0,
            high: f64::INFINITY,
        };
        for (index, bound) in self.bounds.iter().enumerate() {
            let Some(slower) = Counts::new(self.all(), self.slower_than_bound(index)) else {
                continue;
            };
            // Either end errs with half of the doubt.
            let tail = interval::rate(slower, doubt / 2.0);
            if tail.low > 1.0 - q {
                interval.low = *bound;
            }
            if tail.high <= 1.0 - q {
                interval.high = *bound;
                break;
            }
        }
        interval
    }
}

/// Returns the bounds around `limit`.
pub fn bracket(bounds: &[f64], limit: f64) -> Bracket {
    Bracket {
        below: bounds.iter().rposition(|b| *b <= limit * (1.0 + SAME)),
        above: bounds.iter().position(|b| *b >= limit * (1.0 - SAME)),
    }
}

/// Makes the counts of buckets that were not read at one instant usable: none below the one before it,
/// unusable numbers as the one before.
pub fn tidy(cumulative: &mut [f64]) {
    let mut most = 0.0;
    for count in cumulative {
        if count.is_finite() && *count > most {
            most = *count;
        }
        *count = most;
    }
}

/// Returns where `value` lies between two bounds, from 0 to 1, on a logarithmic scale.
fn position(low: f64, high: f64, value: f64) -> f64 {
    let part = if low > 0.0 {
        (value / low).ln() / (high / low).ln()
    } else {
        value / high
    };
    if part.is_nan() {
        1.0
    } else {
        part.clamp(0.0, 1.0)
    }
}

/// Returns the value at a part between two bounds; the inverse of [`position`].
fn value_at(low: f64, high: f64, part: f64) -> f64 {
    if low > 0.0 {
        low * (high / low).powf(part)
    } else {
        high * part
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

    const BOUNDS: [f64; 3] = [100.0, 500.0, 1000.0];

    #[test]
    fn histograms_that_make_no_sense_are_refused() {
        for (bounds, cumulative) in [
            (&[][..], &[1.0][..]),
            (&[1.0, 1.0], &[0.0, 1.0, 1.0]),
            (&[0.0, 1.0], &[0.0, 1.0, 1.0]),
            (&[1.0, f64::INFINITY], &[0.0, 1.0, 1.0]),
            (&[1.0], &[0.0]),
            (&[1.0], &[2.0, 1.0]),
            (&[1.0], &[0.0, f64::NAN]),
        ] {
            assert_eq!(Histogram::new(bounds, cumulative), None);
        }
        let mut torn = [5.0, 3.0, f64::NAN, 9.0];
        tidy(&mut torn);
        assert_eq!(torn, [5.0, 5.0, 5.0, 9.0]);
        assert!(Histogram::new(&BOUNDS, &torn).is_some());
    }

    #[test]
    fn a_quantile_lies_inside_its_interval() {
        let cumulative = [900.0, 960.0, 990.0, 1000.0];
        let histogram = Histogram::new(&BOUNDS, &cumulative).unwrap();
        let p95 = histogram.quantile(0.95).unwrap();
        let between = 100.0 * 5.0_f64.powf(50.0 / 60.0);
        assert!((p95 - between).abs() < 1e-9, "{p95}");
        assert_eq!(
            histogram.quantile_interval(0.95, 0.05),
            Interval {
                low: 100.0,
                high: 1000.0
            }
        );
        assert_eq!(histogram.quantile(0.999), Some(f64::INFINITY));
        assert_eq!(histogram.quantile_interval(0.999, 0.05).low, 1000.0);
        let none = Histogram::new(&BOUNDS, &[0.0; 4]).unwrap();
        assert_eq!(none.quantile(0.5), None);
        assert_eq!(none.quantile_interval(0.5, 0.05).high, f64::INFINITY);
    }

    #[test]
    fn a_limit_between_bounds_is_not_exact() {
        assert!(bracket(&BOUNDS, 500.0).is_exact());
        let between = bracket(&BOUNDS, 700.0);
        assert_eq!((between.below, between.above), (Some(1), Some(2)));
        assert!(!between.is_exact());
    }
}
