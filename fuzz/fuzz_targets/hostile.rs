//! Any bytes as a segment's file: see [`targets::hostile`](sharena_fuzz::targets::hostile).
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| sharena_fuzz::targets::hostile(data));
