//! The pure core: what a release is, and what to do next.
//!
//! Owns: the words of the product as types, and `decide`. Must not: do I/O, read a clock, print,
//! or panic; it is total, so that it can be tested exhaustively and run again at any moment.

pub mod braking;
pub mod change;
pub mod check;
pub mod decide;
pub mod event;
pub mod forecast;
pub mod group;
pub mod judge;
pub mod look;
pub mod meters;
pub mod options;
pub mod plan;
pub mod release;
pub mod right;
pub mod route;
pub mod served;
pub mod split;
pub mod stored;
pub mod unit;
pub mod verdict;
pub mod view;
pub mod weight;
pub mod workload;
