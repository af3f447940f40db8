//! Which share of the requests each side gets, as the metrics provider counts them.
//!
//! Owns: requests of both sides over the last minute at one weight. Must not: judge the canary by them: requests
//! that come past the route are counted, too.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::meters::seconds;

/// Seconds that are looked back on.
const WINDOW: f64 = 60.0;

/// Seconds of one entry: a minute is at most a handful of them, however often is looked.
const SLICE: f64 = 10.0;

/// Seconds after which the latest count is too old to speak of the present.
const FRESH: f64 = 120.0;

/// Standard errors within which a share may differ from the weight by chance: rarer than one in ten thousand.
const CHANCE: f64 = 4.0;

/// How far the share may be from the weight beyond chance, as a part of the smaller side's weight, and at least in
/// parts of 1: routes hash and round, and pods get requests that come past the route.
const NEAR: (f64, f64) = (0.2, 0.01);

/// What both sides got lately, at one weight.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lately {
    /// The canary's share of the traffic since `since`, between 0 and 1.
    weight: f64,
    /// When that weight was seen first.
    since: Option<Timestamp>,
    slices: Vec<Slice>,
}

/// Requests that came in between two moments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Slice {
    from: Timestamp,
    to: Timestamp,
    stable: f64,
    canary: f64,
}

/// What users get, beside what was asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Served {
    /// The canary's share of the requests, in percent.
    pub canary_percent: f64,
    /// Requests that the canary got.
    pub canary_requests: f64,
    /// Requests of both sides.
    pub requests: f64,
    /// Seconds in which they came.
    pub seconds: f64,
    /// When they were counted last.
    pub at: Timestamp,
    /// Whether the share is the one of the weight, as near as routes are.
    pub as_weighted: bool,
}

impl Lately {
    /// Takes in what came between two looks, at the weight that was seen at the later one. What came while the
    /// weight changed, or may be `lag` seconds older than the look says, belongs to no weight.
    pub fn add(
        &mut self,
        (from, to): (Timestamp, Timestamp),
        (weight, lag): (f64, f64),
        (stable, canary): (f64, f64),
    ) {
        let since = match self.since {
            Some(since) if (self.weight - weight).abs() < f64::EPSILON => since,
            Some(_) | None => {
                (self.weight, self.since) = (weight, Some(to));
                self.slices.clear();
                return;
            }
        };
        if seconds(since, from) < lag {
            return;
        }
        self.slices
            .retain(|slice| seconds(slice.from, to) <= WINDOW);
        match self.slices.last_mut() {
            Some(last) if seconds(last.from, to) <= SLICE => {
                last.to = to;
                last.stable += stable;
                last.canary += canary;
            }
            Some(_) | None => self.slices.push(Slice {
                from,
                to,
                stable,
                canary,
            }),
        }
    }

    /// Returns what users get; `None` where nothing was counted at the present weight, or long ago.
    pub fn served(&self, now: Timestamp) -> Option<Served> {
        let (first, last) = (self.slices.first()?, self.slices.last()?);
        let sum = |side: fn(&Slice) -> f64| self.slices.iter().map(side).sum::<f64>();
        let (stable, canary) = (sum(|slice| slice.stable), sum(|slice| slice.canary));
        let requests = stable + canary;
        if !requests.is_finite() || requests <= 0.0 || seconds(last.to, now) > FRESH {
            return None;
        }
        let share = canary / requests;
        Some(Served {
            canary_percent: share * 100.0,
            canary_requests: canary,
            requests,
            seconds: seconds(first.from, last.to),
            at: last.to,
            as_weighted: (share - self.weight).abs() <= margin(self.weight, requests),
        })
    }
}

/// Returns how far the share of `requests` requests may be from a weight.
fn margin(weight: f64, requests: f64) -> f64 {
    let (part, least) = NEAR;
    let near = (weight.min(1.0 - weight) * part).max(least);
    let error = (weight * (1.0 - weight) / requests).sqrt();
    near + CHANCE * error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// Looks every five seconds until `until`, with this many requests of stable and the canary each.
    fn looked(until: i64, weight: f64, each: (f64, f64)) -> Lately {
        let mut lately = Lately::default();
        for to in (5..=until).step_by(5) {
            lately.add((at(to - 5), at(to)), (weight, 0.0), each);
        }
        lately
    }

    #[test]
    fn a_minute_is_looked_back_on() {
        let served = looked(300, 0.25, (75.0, 25.0)).served(at(300)).unwrap();
        assert!((served.canary_percent - 25.0).abs() < 1e-9);
        assert!(
            (50.0..=60.0).contains(&served.seconds),
            "{}",
            served.seconds
        );
        assert!((served.requests / served.seconds - 20.0).abs() < 1e-9);
        assert!(served.as_weighted);
    }

    #[test]
    fn what_came_at_another_weight_is_not_counted() {
        let mut lately = looked(60, 0.25, (75.0, 25.0));
        lately.add((at(60), at(65)), (0.5, 0.0), (75.0, 25.0));
        assert_eq!(lately.served(at(65)), None);
        // A source that lags still brings requests of before.
        lately.add((at(65), at(70)), (0.5, 10.0), (75.0, 25.0));
        assert_eq!(lately.served(at(70)), None);
        lately.add((at(75), at(80)), (0.5, 10.0), (50.0, 50.0));
        let served = lately.served(at(80)).unwrap();
        assert!((served.canary_percent - 50.0).abs() < 1e-9);
    }

    #[test]
    fn a_share_that_chance_does_not_explain_is_not_as_weighted() {
        for (weight, each, near) in [
            (0.25, (75.0, 25.0), true),
            (0.25, (99.0, 1.0), false),
            (0.25, (50.0, 50.0), false),
            (0.0, (100.0, 0.0), true),
            (0.0, (90.0, 10.0), false),
            (1.0, (0.0, 100.0), true),
            // Few requests say little.
            (0.25, (0.2, 0.0), true),
        ] {
            let served = looked(60, weight, each).served(at(60)).unwrap();
            assert_eq!(served.as_weighted, near, "{weight} {each:?}");
        }
    }

    #[test]
    fn nothing_is_said_of_long_ago_or_of_no_requests() {
        assert_eq!(looked(60, 0.5, (1.0, 1.0)).served(at(181)), None);
        assert_eq!(looked(60, 0.5, (0.0, 0.0)).served(at(60)), None);
        assert_eq!(looked(60, 0.5, (f64::NAN, 0.0)).served(at(60)), None);
    }
}
