//! What the operator wants: file, environment and flags, resolved and validated once.
//!
//! Owns: the format of `canary.yaml`, the `CANARYCTL_*` variables, precedence, defaults, the errors
//! of bad input. Must not: read files or the environment itself, print, or name a router or a
//! probe: those come in through [`Keyed`] tables.

mod duration;
mod error;
mod file;
mod keyed;
mod load;
mod name;
mod overrides;
mod schema;
mod settings;
mod step;
#[cfg(test)]
mod tests;

pub use duration::{LONGEST, parse_duration};
pub use error::ConfigError;
pub use file::{Document, File, GroupFile, PromoteOptions};
pub use load::{Load, LoadRequest, MAX_RATE, METHODS, parse_rate};
pub use name::{parse_label_name, parse_object_name};
pub use overrides::{
    Overrides, RESERVED, VARIABLES, Variable, parse_on_trouble, parse_strategy, unknown_variables,
};
pub use schema::schema;
pub use settings::Settings;
pub use step::{DEFAULT_WEIGHTS, StepSpec, parse_steps};

/// A table of things that are written in the file as a map with exactly one key, such as
/// `istio: { virtualService: shop }`, or as the plain key when no option is needed.
pub trait Keyed: Sized {
    /// Reads the options under `key`, which is one of [`Keyed::keys`]; without options in the file
    /// they are an empty map. Errors from `from` must be passed on: they carry the position.
    fn parse(
        key: &str,
        from: &mut dyn erased_serde::Deserializer<'_>,
    ) -> Result<Self, erased_serde::Error>;

    /// Returns the keys, each with one line about it, in the order to show them.
    fn keys() -> Vec<(&'static str, &'static str)>;

    /// Returns the JSON Schema of the options under `key`.
    fn schema(key: &str, generator: &mut schemars::SchemaGenerator) -> schemars::Schema;

    /// Returns why there is no such key, where people look for one and another way leads there.
    fn absent(key: &str) -> Option<&'static str> {
        let _ = key;
        None
    }

    /// Returns several entries as one that keeps them in step; `None` where fewer than two are given,
    /// or there is no such thing.
    fn together(entries: Vec<Self>) -> Option<Self> {
        drop(entries);
        None
    }

    /// Returns what is put in front of `given`, the items of the file, by default; usually nothing.
    /// `counted` says whether there is a metrics provider.
    fn defaults(given: &[Self], counted: bool) -> Vec<Self> {
        let _ = (given, counted);
        Vec::new()
    }
}
