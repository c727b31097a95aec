//! Call sequences against a reference: see [`calls::calls`](sharena_fuzz::calls::calls).
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| sharena_fuzz::calls::calls(data));
