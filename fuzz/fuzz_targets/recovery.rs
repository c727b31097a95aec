//! The recovery of an image with changes: see [`targets::recovery`](sharena_fuzz::targets::recovery).
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| sharena_fuzz::targets::recovery(data));
