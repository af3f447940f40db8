#![no_main]

#[path = "../claims/cel.rs"]
mod cel;

libfuzzer_sys::fuzz_target!(|input: &[u8]| cel::holds(input));
