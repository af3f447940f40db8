//! What the users saw.
//!
//! Owns: totals and a timeline by second and track. Must not: know pods.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// Requests and how they went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Requests that reached a pod.
    pub requests: u64,
    /// Those of them that failed with a server error or a broken connection.
    pub failed: u64,
}

/// One second of the timeline; seconds without requests are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Second {
    /// Its beginning.
    pub at: Timestamp,
    /// Requests by track.
    pub tracks: BTreeMap<String, Count>,
    /// Requests that found no ready endpoint.
    pub refused: u64,
}

/// What the users saw since the simulation began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users {
    /// All requests that reached a pod.
    pub total: Count,
    /// Requests that found no ready endpoint.
    pub refused: u64,
    /// Requests by track.
    pub tracks: BTreeMap<String, Count>,
    /// The same by second.
    pub timeline: Vec<Second>,
}

impl Users {
    /// Counts requests that reached pods of a track.
    pub(super) fn served(&mut self, at: Timestamp, track: &str, count: Count) {
        if count.requests == 0 {
            return;
        }
        add(&mut self.total, count);
        add(entry(&mut self.tracks, track), count);
        add(entry(&mut self.second(at).tracks, track), count);
    }

    /// Counts requests that nobody was there for.
    pub(super) fn refuse(&mut self, at: Timestamp, requests: u64) {
        if requests > 0 {
            self.refused += requests;
            self.second(at).refused += requests;
        }
    }

    fn second(&mut self, at: Timestamp) -> &mut Second {
        let at = Timestamp::from_second(at.as_second()).unwrap_or(at);
        if self.timeline.last().is_none_or(|last| last.at != at) {
            self.timeline.push(Second {
                at,
                tracks: BTreeMap::new(),
                refused: 0,
            });
        }
        let last = self.timeline.len() - 1;
        &mut self.timeline[last]
    }
}

fn entry<'a>(tracks: &'a mut BTreeMap<String, Count>, track: &str) -> &'a mut Count {
    if !tracks.contains_key(track) {
        tracks.insert(track.to_owned(), Count::default());
    }
    tracks.entry(track.to_owned()).or_default()
}

fn add(to: &mut Count, count: Count) {
    to.requests += count.requests;
    to.failed += count.failed;
}
