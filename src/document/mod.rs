//! YAML documents that people write: as trees with positions, and as types.
//!
//! Owns: the strict rules of reading, the place and the sentence of each mistake, the search for the
//! word that was meant. Must not: know any key, or what a document is for.

mod node;
mod raw;
mod read;
mod variant;
mod walk;
mod words;

pub use node::{Entry, Hints, LARGEST, Node, Position, Value, documents, parse};
pub use read::{At, Failure, Failures, Fault, Path, found, read};
pub use words::{excerpt, listing, nearest, one_line, snippet, suggestion};
