//! Other options of a metrics provider, with which it would count what it does not count now.
//!
//! Owns: what such options see of stable, and which are better. Must not: ask, or word it for people.

use std::cmp::Reverse;

use super::Look;
use crate::domain::check::{Reading, Sample};

/// What a search for other options found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Search {
    /// Options that count stable's requests and not the canary's with them, the best first.
    pub suggestions: Vec<Suggestion>,
    /// Names of the presets that were tried.
    pub tried: Vec<&'static str>,
    /// Those of them that have series, of which no selector that was tried selects stable's.
    pub unselected: Vec<&'static str>,
    /// Those of them with series of stable that do not tell how requests ended.
    pub untold: Vec<&'static str>,
    /// Those of them with selectors that select series of both sides at once.
    pub mixed: Vec<&'static str>,
    /// Names of options that are given and that no suggestion repeats: they stay.
    pub kept: Vec<&'static str>,
    /// Why it is not complete, in a sentence without credentials.
    pub unfinished: Option<String>,
}

/// Options that count.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggestion {
    /// Name of the preset.
    pub preset: &'static str,
    /// The selector as it is to be written; `None` for the preset's own.
    pub selector: Option<String>,
    /// The line of `canary.yaml`; without credentials.
    pub line: String,
    /// What they see.
    pub seen: Seen,
}

/// What is seen of stable, and whether the canary is seen beside it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// Requests of stable since its pods began; `None` where their share of errors is recorded instead.
    pub requests: Option<f64>,
    /// Ready pods of stable with counters; `None` where others count, such as proxies.
    pub pods: Option<usize>,
    /// Ready pods of stable.
    pub ready: usize,
    /// Whether there is a histogram of latencies.
    pub histogram: bool,
    /// Whether the canary has counters of its own; `None` where it has no ready pod.
    pub canary: Option<bool>,
}

impl Seen {
    /// Returns what the counters of stable are; `None` where nothing is counted. Whether the canary is
    /// seen is left open.
    pub fn of(readings: &[Reading], look: &Look<'_>) -> Option<Self> {
        let mut seen = Self {
            ready: look.workload.pods.iter().filter(|pod| pod.ready).count(),
            ..Self::default()
        };
        let mut counted = Vec::new();
        for Reading { subject, sample } in readings {
            if let Sample::Totals { totals, .. } = sample {
                *seen.requests.get_or_insert(0.0) += totals.all.unwrap_or(0.0);
                seen.histogram |= !totals.buckets.is_empty();
                counted.push(subject.as_str());
            }
        }
        let is_own = |name: &&str| look.workload.pods.iter().any(|pod| pod.name == **name);
        let is_ready = |name: &&&str| {
            let mut pods = look.workload.pods.iter();
            pods.any(|pod| pod.ready && pod.name == ***name)
        };
        if counted.iter().any(is_own) {
            seen.pods = Some(counted.iter().filter(is_ready).count());
        }
        seen.requests.is_some().then_some(seen)
    }

    /// Returns ready pods of stable that nothing is known of, where pods are told apart.
    fn missed(&self) -> usize {
        let pods = self.pods.unwrap_or(self.ready);
        self.ready.saturating_sub(pods)
    }
}

impl Suggestion {
    /// Returns by what it is put in order, the best first: counted rather than recorded, with requests,
    /// with the canary's counters beside stable's, of every pod, with a histogram, of the preset that is
    /// configured.
    pub fn order(&self, configured: &str) -> impl Ord + use<> {
        let seen = &self.seen;
        (
            Reverse(seen.requests.is_some()),
            Reverse(seen.requests.is_none_or(|requests| requests > 0.0)),
            seen.canary == Some(false),
            seen.missed(),
            Reverse(seen.histogram),
            Reverse(self.preset == configured),
        )
    }
}

/// Puts the best first; what is alike stays as it came.
pub fn rank(suggestions: &mut [Suggestion], configured: &str) {
    suggestions.sort_by_key(|suggestion| suggestion.order(configured));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggestion(preset: &'static str, seen: Seen) -> Suggestion {
        Suggestion {
            preset,
            selector: None,
            line: String::new(),
            seen,
        }
    }

    #[test]
    fn the_best_comes_first() {
        let good = Seen {
            requests: Some(1000.0),
            pods: Some(9),
            ready: 9,
            histogram: true,
            canary: Some(true),
        };
        // Each is worse than the one before.
        let order = [
            suggestion("http", good.clone()),
            suggestion("istio", good.clone()),
            suggestion(
                "nginx",
                Seen {
                    pods: None,
                    ..good.clone()
                },
            ),
            suggestion(
                "no-histogram",
                Seen {
                    histogram: false,
                    ..good.clone()
                },
            ),
            suggestion(
                "not-all-pods",
                Seen {
                    pods: Some(3),
                    ..good.clone()
                },
            ),
            suggestion(
                "no-canary",
                Seen {
                    canary: Some(false),
                    ..good.clone()
                },
            ),
            suggestion(
                "idle",
                Seen {
                    requests: Some(0.0),
                    ..good.clone()
                },
            ),
            suggestion(
                "recorded",
                Seen {
                    requests: None,
                    ..good
                },
            ),
        ];
        let mut ranked = order.to_vec();
        // What is alike keeps its order, so only the two that are alike are told apart by it.
        ranked.reverse();
        ranked.swap(5, 6);
        rank(&mut ranked, "http");
        let names = |all: &[Suggestion]| all.iter().map(|s| s.preset).collect::<Vec<_>>();
        assert_eq!(names(&ranked), names(&order));
    }
}
