//! The statistics against fixed vectors, exact enumeration and random input.

mod fairness;
mod properties;
mod vectors;
