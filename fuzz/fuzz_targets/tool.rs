//! The tool: see [`tool::tool`](sharena_fuzz::tool::tool).
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| sharena_fuzz::tool::tool(data));
