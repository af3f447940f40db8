//! Rendering: events and views become text, for people at 3 a.m. and for machines.
//!
//! Owns: words, layout, colours, JSON lines. Must not: print, read a clock, the environment or the
//! cluster. Everything here is a pure function or a small model fed by events. Text of the cluster
//! is escaped when it enters a [`line::Line`] or becomes [`line::Painted`], which is all that is printed.

pub mod bar;
pub mod check;
pub mod closing;
pub mod findings;
pub mod group;
pub mod history;
pub mod human;
pub mod image;
pub mod json;
pub mod line;
pub mod monitor;
pub mod progress;
pub mod role;
pub mod status;
pub mod style;
pub mod table;
#[cfg(test)]
mod tests;
pub mod text;
pub mod time;
pub mod yaml;
