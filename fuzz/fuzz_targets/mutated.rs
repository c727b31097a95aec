//! A valid image with changes: see [`targets::mutated`](sharena_fuzz::targets::mutated).
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| sharena_fuzz::targets::mutated(data));
libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, most: usize, seed: u32| {
    sharena_fuzz::mutator::script(data, size, most, seed, libfuzzer_sys::fuzzer_mutate)
});
