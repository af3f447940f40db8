//! The routing objects that the simulated traffic obeys.
//!
//! Owns: reading weights out of each kind of object, one function per kind. Must not: pick pods.

use super::split::Route;

/// All readers, in the order they are asked.
pub(super) const ALL: [Route; 0] = [];
