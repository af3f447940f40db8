#![no_main]

#[path = "../claims/routes.rs"]
mod routes;

libfuzzer_sys::fuzz_target!(|input: &[u8]| routes::holds(input));
