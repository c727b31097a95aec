//! `#[derive(Shareable)]`: whatever follows it, it expands to what the compiler can parse, or says why
//! not; and what it expands to hangs on nothing but the tokens.

use proc_macro2::TokenStream;
use std::str::FromStr;
use syn::DeriveInput;

#[path = "../../derive/src/attributes.rs"]
mod attributes;
#[path = "../../derive/src/expand.rs"]
mod expand;
#[path = "../../derive/src/input.rs"]
mod input;

/// What sources of types are made of; a byte stands for one.
const PIECES: [&str; 64] = [
    "struct ",
    "enum ",
    "union ",
    "S ",
    "T ",
    "{ ",
    "} ",
    "( ",
    ") ",
    "< ",
    "> ",
    ", ",
    ": ",
    "; ",
    "= ",
    "u8 ",
    "u64 ",
    "bool ",
    "char ",
    "f32 ",
    "[",
    "]",
    "; 3 ",
    "a ",
    "b ",
    "r#type ",
    "r#fn ",
    "A ",
    "B ",
    "#[repr(u8)] ",
    "#[repr(C)] ",
    "#[repr(packed)] ",
    "#[repr(align(16))] ",
    "#[repr(i64, C)] ",
    "#[repr(transparent)] ",
    "#[shareable(name = \"x\")] ",
    "#[shareable(crate = \"q::r\")] ",
    "#[shareable(name = \"\")] ",
    "#[shareable] ",
    "#[shareable(other)] ",
    "#[repr = 3] ",
    "#[repr] ",
    "where ",
    "T: Copy ",
    "const N: usize ",
    "'a ",
    "<T as Iterator>::Item ",
    "T::Item ",
    "&",
    "*const ",
    "fn() ",
    "dyn Send ",
    "Option<Offset<S>> ",
    "pub ",
    "pub(crate) ",
    "-1 ",
    "1 ",
    "{ 1 + 1 } ",
    "!",
    "PhantomData<T> ",
    "..",
    "#[doc = \"d\"] ",
    "impl Send ",
    "_ ",
];

/// A first byte that is even: source text. Odd: pieces of such.
pub fn derive(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let text = match first % 2 {
        0 => String::from_utf8_lossy(rest).into_owned(),
        _ => rest.iter().take(200).map(|byte| PIECES[usize::from(*byte) % PIECES.len()]).collect(),
    };
    // Deeper nesting than the compiler itself takes is no input of a derive.
    let depth = text.matches(['(', '[', '{', '<', '&', '*', '-', '!']).count();
    if depth > 120 {
        return;
    }
    let Ok(tokens) = TokenStream::from_str(&text) else { return };
    let Ok(source) = syn::parse2::<DeriveInput>(tokens) else { return };
    let Some(expanded) = expanded(&source) else { return };
    let parsed = syn::parse2::<syn::File>(expanded.clone());
    assert!(parsed.is_ok(), "{text}\n{expanded}\n{:?}", parsed.err());
    let again = self::expanded(&source).expect("as before");
    assert_eq!(expanded.to_string(), again.to_string(), "{text}");
}

/// `None`: it is refused, with a reason.
fn expanded(source: &DeriveInput) -> Option<TokenStream> {
    match input::Input::new(source) {
        Ok(input) => Some(expand::implementation(&input)),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}
