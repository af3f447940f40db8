#![no_main]

#[path = "../claims/journal.rs"]
mod journal;

libfuzzer_sys::fuzz_target!(|input: &[u8]| journal::holds(input));
