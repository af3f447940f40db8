//! Objects as they are sent, kept as long as they are the same.
//!
//! Owns: writing an object as text once, however often it is asked for: a release lists the same
//! pods hundreds of times. Must not: know what is asked for, or keep what the store has let go.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use serde_json::Value;

use super::{convert, objects::listed, resources::Target};

/// From this many texts on, those of objects that are gone are looked for.
const MANY: usize = 512;

/// An object of the store, kept for its address to stay its own, with its text.
type Text = (Arc<Value>, Bytes);

/// The texts of objects, by version of the API and place (in a list or alone).
#[derive(Default)]
pub(crate) struct Written {
    texts: Mutex<HashMap<(String, bool), HashMap<usize, Text>>>,
}

impl Written {
    /// Returns the texts of objects as they stand in a list.
    pub(crate) fn in_list(&self, target: &Target, objects: &[&Arc<Value>]) -> Vec<Bytes> {
        let write = |object: &Value| listed(target, convert::outward(target, object)).to_string();
        self.texts(target, true, objects, write)
    }

    /// Returns the text of one object.
    pub(crate) fn alone(&self, target: &Target, object: &Arc<Value>) -> Bytes {
        let write = |object: &Value| convert::outward(target, object).to_string();
        let texts = self.texts(target, false, &[object], write);
        texts.into_iter().next().unwrap_or_default()
    }

    fn texts(
        &self,
        target: &Target,
        in_list: bool,
        objects: &[&Arc<Value>],
        write: impl Fn(&Value) -> String,
    ) -> Vec<Bytes> {
        // Nothing panics while it holds the lock.
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let texts = texts.entry((target.api_version(), in_list)).or_default();
        if texts.len() > MANY.max(2 * objects.len()) {
            texts.retain(|_, (object, _)| Arc::strong_count(object) > 1);
        }
        let text = |object: &&Arc<Value>| {
            let new = || ((*object).clone(), Bytes::from(write(object)));
            let address = Arc::as_ptr(object).addr();
            texts.entry(address).or_insert_with(new).1.clone()
        };
        objects.iter().map(text).collect()
    }
}
