//! What is written as a map with exactly one key of a table.
//!
//! Owns: finding the key and handing over its options. Must not: know any key.

use super::Keyed;
use crate::document::{At, Entry, Fault, Node, Path, Value, excerpt, found, listing};

/// Reads a node that is a map with exactly one key of a table, or just the key.
pub(super) fn read<T: Keyed>(at: At<'_>) -> Result<T, Fault> {
    at.failures.forget();
    let empty = |at| Node {
        at,
        value: Value::Map(Vec::new()),
    };
    let known = || T::keys().iter().map(|(key, _)| (*key).to_owned()).collect();
    let (key, place, options, given) = match &at.node.value {
        Value::Text(key) => (key, at.node.at, None, true),
        Value::Map(entries) => match entries.as_slice() {
            [entry] => (&entry.key, entry.at, Some(&entry.node), false),
            _ => return Err(at.fail(Fault::Other(number_of_keys(entries, &T::keys())))),
        },
        Value::Null | Value::Bool(..) | Value::Number(..) | Value::List(_) => {
            let keys = T::keys();
            let expected = format!("one of {}", listing(keys.iter().map(|(key, _)| *key)));
            let found = found(&at.node.value);
            return Err(at.fail(Fault::Mismatch { expected, found }));
        }
    };
    if !T::keys().iter().any(|(name, _)| name == key) {
        let fault = if let Some(why) = T::absent(key) {
            Fault::Other(format!("there is no '{}': {why}", excerpt(key)))
        } else if given {
            Fault::UnknownValue(key.clone(), known())
        } else {
            Fault::UnknownKey(key.clone(), known())
        };
        return Err(at.failures.record(place, &at.path, fault));
    }
    let nothing = empty(place);
    let options = options
        .filter(|node| node.value != Value::Null)
        .unwrap_or(&nothing);
    let inner = At {
        node: options,
        path: Path::Key(&at.path, key),
        failures: at.failures,
    };
    let mut erased = <dyn erased_serde::Deserializer<'_>>::erase(inner);
    T::parse(key, &mut erased).map_err(|error| inner.fail(Fault::Other(error.to_string())))
}

fn number_of_keys(entries: &[Entry], keys: &[(&'static str, &'static str)]) -> String {
    if entries.is_empty() {
        let known = listing(keys.iter().map(|(key, _)| *key));
        format!("exactly one key is needed, found none; known: {known}")
    } else {
        let given = listing(entries.iter().map(|entry| entry.key.as_str()));
        format!(
            "exactly one key is allowed, found {}: {given}",
            entries.len()
        )
    }
}
