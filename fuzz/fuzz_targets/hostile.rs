//! Any bytes as a segment's file: see [`targets::hostile`](sharena_fuzz::targets::hostile).
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| sharena_fuzz::targets::hostile(data));
libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, most: usize, seed: u32| {
    sharena_fuzz::mutator::file(data, size, most, seed, libfuzzer_sys::fuzzer_mutate)
});
