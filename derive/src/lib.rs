//! `#[derive(Shareable)]`, which the crate `sharena` re-exports beside the trait.
//!
//! - `attributes`: what stands in `#[shareable(…)]` and `#[repr(…)]`
//! - `input`: the type as the rest needs it, and what is refused
//! - `expand`: the implementation

mod attributes;
mod expand;
mod input;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `sharena::Shareable` for a type of shareable fields.
///
/// Takes structs of any kind and enums with a tag of fixed width (`#[repr(u8)]`; `u16`, `u32`,
/// `u64`, `i8`, `i16`, `i32`, `i64`), with payload or without. Type parameters get the bound
/// `Shareable`; so does each field that is an associated type of one.
///
/// Refused: fields that are not shareable, types that implement `Drop`, lifetimes, unions,
/// `#[repr(packed)]`, enums of no variant or of no fixed tag.
///
/// | attribute | on | means |
/// |---|---|---|
/// | `#[shareable(name = "Old")]` | type, variant, field | the name that other programs know: keeps the fingerprint when the source is renamed |
/// | `#[shareable(crate = "path")]` | type | where `sharena` is found, if not at `::sharena` |
///
/// The fingerprint is that of `Shareable::FINGERPRINT`: names, offsets and fingerprints of the
/// fields in the order of the source, so the compiler's choice of a layout is no promise that
/// anybody relies on, but a number that is compared.
#[proc_macro_derive(Shareable, attributes(shareable))]
pub fn derive_shareable(tokens: TokenStream) -> TokenStream {
    let source = parse_macro_input!(tokens as DeriveInput);
    match input::Input::new(&source) {
        Ok(input) => expand::implementation(&input).into(),
        Err(error) => error.into_compile_error().into(),
    }
}
