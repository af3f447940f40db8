//! One odd answer is not the end of a run, and whatever ends it says which split is live.

mod admission;
mod bounded;
mod patience;
