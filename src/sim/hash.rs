//! Numbers that look drawn by lot and are the same in every run.
//!
//! Owns: one hash of words. Must not: guard anything; whoever wants to can find words with the same number.

/// Returns a number that belongs to some words (FNV-1a, 32 bits).
pub(super) fn hash_of<'w>(words: impl Iterator<Item = &'w str>) -> u32 {
    let words: Vec<&str> = words.collect();
    let bytes = words.join("/");
    bytes.bytes().fold(2_166_136_261, |hash: u32, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(16_777_619)
    })
}
