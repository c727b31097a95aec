//! The recovery of an image with changes: see [`targets::recovery`](sharena_fuzz::targets::recovery).
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| sharena_fuzz::targets::recovery(data));
libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, most: usize, seed: u32| {
    sharena_fuzz::mutator::script(data, size, most, seed, libfuzzer_sys::fuzzer_mutate)
});
