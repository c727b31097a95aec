//! A valid image with changes: see [`targets::mutated`](sharena_fuzz::targets::mutated).
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| sharena_fuzz::targets::mutated(data));
