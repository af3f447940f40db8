//! Statistics of canary judgement, pure and allocation-light.
//!
//! Owns: turning counts into evidence. Must not: fetch, print, or decide what to do about it.

pub mod bet;
