#![no_main]

#[path = "../claims/kubeconfig.rs"]
mod kubeconfig;

libfuzzer_sys::fuzz_target!(|input: &[u8]| kubeconfig::holds(input));
