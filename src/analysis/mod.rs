//! Statistics of canary judgement: pure, small, the same on every machine.
//!
//! Owns: turning counts into evidence, proof, intervals, forecasts and the words for them. Must not:
//! fetch, read the time, print, or change traffic.
//!
//! | module | holds |
//! | --- | --- |
//! | [`counts`], [`counter`], [`meter`], [`histogram`] | what was seen between two looks |
//! | [`bet`], [`evidence`] | evidence against the canary, right at every peek |
//! | [`proof`] | evidence for the canary |
//! | [`split`], [`background`], [`incident`], [`dispersion`] | what the bets have to know about stable |
//! | [`share`], [`latency`], [`value`], [`decrease`], [`threshold`] | the checks |
//! | [`silence`] | no requests, no metrics |
//! | [`rollout`], [`brake`] | all checks together: advance, roll back, wait |
//! | [`interval`], [`forecast`], [`words`] | what people read |
//!
//! A *look* is one reading of all counters; every count is an increment since the look before.
//! `docs/analysis.md` explains the methods, their guarantees and what was measured.

pub mod background;
pub mod bet;
pub mod brake;
pub mod counter;
pub mod counts;
pub mod decrease;
pub mod dispersion;
pub mod evidence;
pub mod forecast;
pub mod histogram;
pub mod incident;
pub mod interval;
pub mod latency;
mod logarithm;
pub mod meter;
pub mod proof;
pub mod rollout;
pub mod share;
pub mod silence;
pub mod split;
pub mod threshold;
pub mod value;
pub mod words;
