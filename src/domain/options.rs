//! Options of checks, sources and routers, as a plan records them.
//!
//! Owns: reading them back as their type. Must not: check them; whoever took them from a
//! configuration did.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Returns recorded options as their type; the error says which of them another version wrote.
///
/// It goes by way of the deserializer that reads configuration, so that each type is compiled for
/// one only.
pub fn read<T: DeserializeOwned>(options: &Value) -> Result<T, String> {
    let mut options = <dyn erased_serde::Deserializer<'_>>::erase(options);
    erased_serde::deserialize(&mut options).map_err(|error| error.to_string())
}
