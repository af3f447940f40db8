//! Admission: what a webhook or a policy does to an object before it is stored.
//!
//! Owns: the hook and the words of its refusal. Must not: know what it is used for.

use std::{fmt, sync::Arc};

use serde_json::Value;

use crate::sim::store::{Key, Refusal};

type Review = dyn Fn(&Key, &mut Value, Option<&Value>) -> Result<(), String> + Send + Sync;

/// Changes objects before they are stored, or refuses them with a message; every clone is the same.
#[derive(Clone)]
pub struct Admission {
    review: Arc<Review>,
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").finish_non_exhaustive()
    }
}

impl Admission {
    /// Returns an admission that asks `review` about every object that a client creates or changes, beside
    /// what it was before; of a new one the key has no name where the server has to make it.
    pub fn new(
        review: impl Fn(&Key, &mut Value, Option<&Value>) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            review: Arc::new(review),
        }
    }

    /// Lets it change an object, or refuse it.
    pub(crate) fn review(
        &self,
        key: &Key,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<(), Refusal> {
        (self.review)(key, object, old).map_err(|why| {
            let text = format!("admission webhook \"policy.example\" denied the request: {why}");
            Refusal::new(422, "Invalid", text)
        })
    }
}
