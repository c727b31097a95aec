//! The derive macro: see [`derive::derive`](sharena_fuzz::derive::derive).
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| sharena_fuzz::derive::derive(data));
