//! What cannot be shared is refused by the compiler, in words that say what to do.
//!
//! The words are those of the toolchain that the project is built with. After a change of it, or of
//! a message: `TRYBUILD=overwrite cargo test --test refused`, and read the difference.
#![cfg(all(feature = "derive", not(loom)))]

#[test]
fn what_cannot_be_shared_is_refused() {
    trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
}
