//! Names and types: see [`names::names`](sharena_fuzz::names::names).
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| sharena_fuzz::names::names(data));
