//! Screens as people see them, and what holds for all of them.

mod samples;
mod screens;
mod whole;
