//! What stands in `#[shareable(…)]` and `#[repr(…)]`.

use proc_macro2::{Ident, Span};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, Error, LitStr, Path, Result};

/// `#[shareable(…)]` of a type, a variant or a field.
#[derive(Default)]
pub struct Shareable {
    pub name: Option<String>,
    pub krate: Option<Path>,
}

impl Shareable {
    /// Reads them all. `crate` is for types only.
    pub fn read(attributes: &[Attribute], on_type: bool) -> Result<Self> {
        let mut found = Self::default();
        for attribute in attributes.iter().filter(|a| a.path().is_ident("shareable")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("name") {
                    let name: LitStr = meta.value()?.parse()?;
                    if name.value().is_empty() {
                        return Err(Error::new(name.span(), "a name has at least one letter"));
                    }
                    if found.name.replace(name.value()).is_some() {
                        return Err(meta.error("named twice"));
                    }
                } else if on_type && meta.path.is_ident("crate") {
                    let path: LitStr = meta.value()?.parse()?;
                    found.krate = Some(path.parse_with(Path::parse_mod_style)?);
                } else if on_type {
                    return Err(meta.error("expected `name = \"…\"` or `crate = \"…\"`"));
                } else {
                    return Err(meta.error("expected `name = \"…\"`"));
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// The name that programs agree on: the given one, else the one in the source.
    pub fn name_or(self, source: &Ident) -> String {
        self.name.unwrap_or_else(|| source.unraw().to_string())
    }
}

/// `#[repr(…)]` of a type.
#[derive(Default)]
pub struct Repr {
    /// `u8` and the like: a tag of the same width on every target.
    pub tag: Option<Ident>,
    /// Where `packed` stands.
    pub packed: Option<Span>,
    /// Where `C`, `usize` or another one stands that does not fix an enum's layout as `tag` does.
    pub other: Option<Span>,
}

const TAGS: [&str; 8] = ["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"];

impl Repr {
    /// Reads them all; what the compiler refuses is left to it.
    pub fn read(attributes: &[Attribute]) -> Result<Self> {
        let mut found = Self::default();
        for attribute in attributes.iter().filter(|a| a.path().is_ident("repr")) {
            attribute.parse_nested_meta(|meta| {
                let span = meta.path.span();
                match meta.path.get_ident() {
                    Some(tag) if TAGS.iter().any(|t| tag == t) => found.tag = Some(tag.clone()),
                    Some(packed) if packed == "packed" => found.packed = Some(span),
                    Some(align) if align == "align" => {}
                    _ => found.other = Some(span),
                }
                if meta.input.peek(syn::token::Paren) {
                    let argument;
                    syn::parenthesized!(argument in meta.input);
                    argument.parse::<proc_macro2::TokenStream>()?;
                }
                Ok(())
            })?;
        }
        Ok(found)
    }
}
