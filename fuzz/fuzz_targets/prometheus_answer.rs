#![no_main]

#[path = "../claims/prometheus_answer.rs"]
mod prometheus_answer;

libfuzzer_sys::fuzz_target!(|input: &[u8]| prometheus_answer::holds(input));
