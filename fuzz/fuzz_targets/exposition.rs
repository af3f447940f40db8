#![no_main]

#[path = "../claims/exposition.rs"]
mod exposition;

libfuzzer_sys::fuzz_target!(|input: &[u8]| exposition::holds(input));
