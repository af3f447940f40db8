//! The arithmetic of queries.
//!
//! Owns: growth of counters with resets, aggregations, quantiles of buckets, as Prometheus computes
//! them. Must not: know labels.

use super::query::Aggregation;

/// Returns milliseconds in seconds.
pub(super) fn seconds(millis: i64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "moments in milliseconds are below 2^52"
    )]
    let millis = millis as f64;
    millis / 1000.0
}

/// Returns by how much a counter grew from `start` to `end`; none with fewer than two points.
///
/// A value below the one before is a reset: it began again at zero. Growth is extended to the
/// edges of the range where the points come close to them, but not to before the counter was zero.
pub(super) fn increase(points: &[(i64, f64)], start: i64, end: i64) -> Option<f64> {
    let [(first_at, first), .., (last_at, last)] = points else {
        return None;
    };
    let resets: f64 = points
        .windows(2)
        .filter(|pair| pair[1].1 < pair[0].1)
        .map(|pair| pair[0].1)
        .sum();
    let grown = last - first + resets;
    let sampled = seconds(last_at - first_at);
    let gaps = u32::try_from(points.len() - 1).unwrap_or(u32::MAX);
    let between = sampled / f64::from(gaps);
    // An edge this far from the next point is taken to be outside the life of the series.
    let near = between * 1.1;
    let edge = |distance: f64| {
        if distance < near {
            distance
        } else {
            between / 2.0
        }
    };
    let mut before = edge(seconds(first_at - start));
    if grown > 0.0 && *first >= 0.0 {
        before = before.min(sampled * (first / grown));
    }
    let after = edge(seconds(end - last_at));
    Some(grown * (sampled + before + after) / sampled)
}

/// Returns an aggregation of at least one value.
pub(super) fn aggregate(aggregation: Aggregation, values: &[f64]) -> f64 {
    let count = f64::from(u32::try_from(values.len()).unwrap_or(u32::MAX));
    match aggregation {
        Aggregation::Sum => values.iter().sum(),
        Aggregation::Avg => values.iter().sum::<f64>() / count,
        // These pass over NaN unless there is nothing else.
        Aggregation::Min => values.iter().copied().fold(f64::NAN, f64::min),
        Aggregation::Max => values.iter().copied().fold(f64::NAN, f64::max),
        Aggregation::Count => count,
    }
}

/// Returns the quantile of a histogram of upper bounds and cumulative counts, as if observations
/// were spread evenly in each bucket.
pub(super) fn quantile(quantile: f64, mut buckets: Vec<(f64, f64)>) -> f64 {
    if quantile.is_nan() {
        return f64::NAN;
    }
    if quantile < 0.0 {
        return f64::NEG_INFINITY;
    }
    if quantile > 1.0 {
        return f64::INFINITY;
    }
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    buckets.dedup_by(|next, kept| {
        #[expect(clippy::float_cmp, reason = "bounds that are written alike")]
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
    let Some(&(highest, _)) = buckets.last().filter(|_| buckets.len() >= 2) else {
        return f64::NAN;
    };
    if highest != f64::INFINITY {
        return f64::NAN;
    }
    // Counts of buckets scraped at different moments may go down.
    for at in 1..buckets.len() {
        buckets[at].1 = buckets[at].1.max(buckets[at - 1].1);
    }
    let total = buckets[buckets.len() - 1].1;
    if total == 0.0 || total.is_nan() {
        return f64::NAN;
    }
    let rank = quantile * total;
    let last = buckets.len() - 1;
    let at = buckets[..last].iter().position(|b| b.1 >= rank);
    let Some(at) = at else {
        return buckets[last - 1].0;
    };
    let (end, count) = buckets[at];
    if at == 0 && end <= 0.0 {
        return end;
    }
    let (start, below) = match at {
        0 => (0.0, 0.0),
        _ => buckets[at - 1],
    };
    start + (end - start) * ((rank - below) / (count - below))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(value: f64, wanted: f64) {
        assert!((value - wanted).abs() < 1e-9, "{value}, not {wanted}");
    }

    /// A point each 15 s, the first at 15 s.
    fn points(values: &[f64]) -> Vec<(i64, f64)> {
        (1..)
            .map(|i| i * 15_000)
            .zip(values.iter().copied())
            .collect()
    }

    #[test]
    fn a_counter_grows_over_its_resets() {
        // 10 → 30, then from zero to 5, then to 20.
        let points = points(&[10.0, 30.0, 5.0, 20.0]);
        // 20 + 5 + 15 within 45 s; both edges are 15 s away, which is a gap: they are filled, but
        // the first only until the counter was zero, 45 × 10/40 s before.
        close(
            increase(&points, 0, 75_000).unwrap(),
            40.0 * (45.0 + 11.25 + 15.0) / 45.0,
        );
    }

    #[test]
    fn edges_far_from_the_points_are_filled_by_half_a_gap() {
        let points = points(&[100.0, 110.0, 120.0]);
        close(
            increase(&points, -60_000, 120_000).unwrap(),
            20.0 * (30.0 + 7.5 + 7.5) / 30.0,
        );
    }

    #[test]
    fn one_point_is_no_growth() {
        assert_eq!(increase(&points(&[1.0]), 0, 60_000), None);
        assert_eq!(increase(&[], 0, 60_000), None);
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let inf = f64::INFINITY;
        let buckets = vec![(inf, 100.0), (0.1, 50.0), (0.2, 90.0), (0.5, 100.0)];
        close(quantile(0.25, buckets.clone()), 0.05);
        close(quantile(0.5, buckets.clone()), 0.1);
        close(quantile(0.7, buckets.clone()), 0.15);
        close(quantile(0.95, buckets.clone()), 0.35);
        // What is slower than all bounds is only known to be so.
        close(quantile(0.99, vec![(0.1, 1.0), (inf, 100.0)]), 0.1);
        let outside = [quantile(1.5, buckets.clone()), quantile(-0.5, buckets)];
        assert_eq!(outside.map(|v| v.to_string()), ["inf", "-inf"]);
    }

    #[test]
    fn no_quantile_without_observations_or_the_last_bucket() {
        let inf = f64::INFINITY;
        assert!(quantile(0.5, vec![(0.1, 0.0), (inf, 0.0)]).is_nan());
        assert!(quantile(0.5, vec![(0.1, 5.0), (0.2, 6.0)]).is_nan());
        assert!(quantile(0.5, vec![(inf, 5.0)]).is_nan());
        assert!(quantile(f64::NAN, vec![(0.1, 5.0), (inf, 6.0)]).is_nan());
    }

    #[test]
    fn least_and_greatest_pass_over_nan() {
        let values = [f64::NAN, 2.0, 1.0];
        close(aggregate(Aggregation::Min, &values), 1.0);
        close(aggregate(Aggregation::Max, &values), 2.0);
        assert!(aggregate(Aggregation::Sum, &values).is_nan());
        assert!(aggregate(Aggregation::Max, &[f64::NAN]).is_nan());
        close(aggregate(Aggregation::Count, &values), 3.0);
    }
}
