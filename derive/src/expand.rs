//! The implementation of `Shareable`.
//!
//! A struct is its fields at the offsets that the compiler says. An enum with `#[repr(u8)]` is, by
//! the language's promise (RFC 2195), a union of `repr(C)` structs, one a variant, each beginning
//! with the tag: such structs are declared beside the implementation, one for each number of fields,
//! and asked for the offsets.
//!
//! Paths are absolute; locals are hygienic (`mixed_site`), and lints do not look into code of that
//! origin (also not `unsafe_code`), but for `deprecated`. A field's type is named with the place of
//! the field, so that the compiler's complaint about it points there.
//!
//! Why the `unsafe` that is written here is sound, for whatever input: all of a value is its fields,
//! and each is asked for its own promise, by naming its constant; the tag is a number. `is_valid`
//! passes on what its caller vouches for, a field at a time, each within the whole and aligned
//! (packed types are refused); a variant's struct is no larger than the enum (asserted). There is no
//! drop glue: none in a field, and an implementation of `Drop` is a conflict. An attribute macro below
//! the derive may still change the type: so `is_valid` names all fields in a pattern, by reference
//! and with their types, which then no longer compiles.

use super::input::{Body, Field, Input, Variant};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{GenericParam, Index, Member, Path};

pub fn implementation(input: &Input<'_>) -> TokenStream {
    let Input { ident, krate, name, .. } = input;
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    let parts = match &input.body {
        Body::Struct(fields) => structure(krate, fields),
        Body::Enum(tag, variants) => enumeration(krate, tag, variants),
    };
    let Parts { items, complete, fingerprint, any_bits, is_valid, has_blocks, has_locks, trace } =
        parts;
    let (parameter_names, description) = parameters(input);
    quote_spanned! {Span::mixed_site()=>
        #[allow(deprecated)]
        const _: () = {
            #items

            #[doc(hidden)]
            #[automatically_derived]
            impl #generics #krate::derive_support::SharedTypesMustNotImplementDrop
                for #ident #arguments #bounds {}

            // SAFETY: part by part: each field's type makes the promises, the fingerprint hashes where the
            // fields lie, and the trait above makes sure that nothing drops.
            #[automatically_derived]
            unsafe impl #generics #krate::Shareable for #ident #arguments #bounds {
                const NAME: ::core::primitive::u64 =
                    #krate::derive_support::LayoutHash::of_name(#name) #parameter_names .finish();

                const FINGERPRINT: ::core::primitive::u64 = { #fingerprint };

                const ANY_BITS: ::core::primitive::bool = #any_bits;

                fn describe(out: &mut dyn ::core::fmt::Write) -> ::core::fmt::Result {
                    ::core::fmt::Write::write_str(out, #name)?;
                    #description
                    ::core::result::Result::Ok(())
                }

                // SAFETY: the trait's: `at` is aligned, and valid for reads of the type's bytes.
                unsafe fn is_valid(at: *const Self) -> ::core::primitive::bool {
                    let _ = |value: &Self| match value { #complete };
                    #is_valid
                }

                const HAS_BLOCKS: ::core::primitive::bool = #has_blocks;
                const HAS_LOCKS: ::core::primitive::bool = #has_locks;

                fn trace(map: &mut #krate::derive_support::Tracer) {
                    #trace
                }
            }
        };
    }
}

struct Parts {
    items: TokenStream,
    /// Arms that match each value of the type, naming all its fields.
    complete: TokenStream,
    fingerprint: TokenStream,
    any_bits: TokenStream,
    is_valid: TokenStream,
    has_blocks: TokenStream,
    has_locks: TokenStream,
    trace: TokenStream,
}

/// The generic parameters in `NAME`, and in `describe`.
fn parameters(input: &Input<'_>) -> (TokenStream, TokenStream) {
    let (krate, site) = (&input.krate, Span::mixed_site());
    let (mut names, mut description) = (TokenStream::new(), TokenStream::new());
    for (i, parameter) in input.generics.params.iter().enumerate() {
        let before = if i == 0 { "<" } else { ", " };
        description.extend(quote_spanned! {site=> ::core::fmt::Write::write_str(out, #before)?; });
        match parameter {
            GenericParam::Type(parameter) => {
                let ident = &parameter.ident;
                names.extend(quote_spanned! {site=> .parameter::<#ident>() });
                description.extend(
                    quote_spanned! {site=> <#ident as #krate::Shareable>::describe(out)?; },
                );
            }
            GenericParam::Const(parameter) => {
                let ident = &parameter.ident;
                // A number, `bool` or `char`, in 128 bits: two words.
                names.extend(quote_spanned! {site=>
                    .word(#ident as ::core::primitive::u128 as ::core::primitive::u64)
                    .word((#ident as ::core::primitive::u128 >> 64) as ::core::primitive::u64)
                });
                description.extend(quote_spanned! {site=>
                    ::core::fmt::Write::write_fmt(out, ::core::format_args!("{:?}", #ident))?;
                });
            }
            GenericParam::Lifetime(_) => unreachable!("refused with the input"),
        }
    }
    if !description.is_empty() {
        description.extend(quote_spanned! {site=> ::core::fmt::Write::write_str(out, ">")?; });
    }
    (names, description)
}

fn structure(krate: &Path, fields: &[Field<'_>]) -> Parts {
    let site = Span::mixed_site();
    let whole = quote_spanned!(site=> Self);
    let hashed = fields.iter().map(|field| hashed(krate, field, &whole, &field.member));
    let checked = checked(krate, fields, |i| fields[i].member.clone());
    Parts {
        items: TokenStream::new(),
        complete: arm(&whole, fields),
        fingerprint: quote_spanned! {site=>
            #krate::derive_support::LayoutHash::of_type::<Self>() #(#hashed)* .finish()
        },
        any_bits: any_bits(krate, fields),
        is_valid: checked,
        has_blocks: has("HAS_BLOCKS", krate, fields),
        has_locks: has("HAS_LOCKS", krate, fields),
        trace: traced(krate, fields, &whole, |i| fields[i].member.clone()),
    }
}

fn enumeration(krate: &Path, tag: &Ident, variants: &[Variant<'_>]) -> Parts {
    let site = Span::mixed_site();
    let tag = quote_spanned!(site=> ::core::primitive::#tag);

    let mut arities: Vec<usize> = variants.iter().map(|v| v.fields.len()).collect();
    arities.sort_unstable();
    arities.dedup();
    let payloads = arities.into_iter().filter(|&arity| arity > 0).map(|arity| {
        let (payload, parts) = (payload(arity), (0..arity).map(|i| format_ident!("T{i}")));
        let parts: Vec<Ident> = parts.collect();
        quote_spanned! {site=>
            #[repr(C)]
            struct #payload<#(#parts),*>(#tag, #(#parts),*);
        }
    });

    let number = |i: usize| Ident::new(&format!("number_{i}"), site);
    let numbers: TokenStream = (0..variants.len())
        .map(|i| {
            let this = number(i);
            let value = match (variants[i].number, i) {
                (Some(given), _) => quote_spanned!(site=> #given),
                (None, 0) => quote_spanned!(site=> 0),
                (None, _) => {
                    let before = number(i - 1);
                    quote_spanned!(site=> #before + 1)
                }
            };
            quote_spanned! {site=> let #this: #tag = #value; }
        })
        .collect();

    let (mut hashes, mut fits, mut checks) =
        (TokenStream::new(), TokenStream::new(), TokenStream::new());
    let (mut owned, mut locked) = (quote!(false), quote!(false));
    let mut traces = TokenStream::new();
    let map = Ident::new("map", site);
    for (i, Variant { name, fields, .. }) in variants.iter().enumerate() {
        let (this, count) = (number(i), fields.len());
        hashes.extend(
            quote_spanned! {site=> .variant(#name, #this as ::core::primitive::u64, #count) },
        );
        if fields.is_empty() {
            checks.extend(quote_spanned! {site=> if tag == #this { return true; } });
            traces.extend(quote_spanned! {site=>
                variants.variant(#this as ::core::primitive::u64, |_| {});
            });
            continue;
        }
        let (payload, types) = (payload(count), fields.iter().map(|field| field.ty));
        let whole = quote_spanned!(site=> #payload::<#(#types),*>);
        let place = |i: usize| Member::Unnamed(Index { index: i as u32 + 1, span: site });
        for (i, field) in fields.iter().enumerate() {
            hashes.extend(hashed(krate, field, &whole, &place(i)));
        }
        fits.extend(quote_spanned! {site=>
            ::core::assert!(::core::mem::size_of::<#whole>() <= ::core::mem::size_of::<Self>());
        });
        let traced = traced(krate, fields, &whole, place);
        let (has_blocks, has_locks) =
            (has("HAS_BLOCKS", krate, fields), has("HAS_LOCKS", krate, fields));
        owned.extend(quote_spanned! {site=> || #has_blocks });
        locked.extend(quote_spanned! {site=> || #has_locks });
        traces.extend(quote_spanned! {site=>
            variants.variant(#this as ::core::primitive::u64, |#map| { #traced });
        });
        let checked = checked(krate, fields, place);
        checks.extend(quote_spanned! {site=>
            if tag == #this {
                let at = at.cast::<#whole>();
                return #checked;
            }
        });
    }

    Parts {
        items: quote_spanned! {site=> #(#payloads)* },
        complete: variants
            .iter()
            .map(|Variant { ident, fields, .. }| arm(&quote_spanned!(site=> Self::#ident), fields))
            .collect(),
        fingerprint: quote_spanned! {site=>
            #numbers
            #fits
            #krate::derive_support::LayoutHash::of_type::<Self>()
                .word(<#tag as #krate::Shareable>::FINGERPRINT)
                #hashes
                .finish()
        },
        any_bits: quote_spanned!(site=> false),
        is_valid: quote_spanned! {site=>
            #numbers
            // SAFETY: the tag stands first in a type of such a repr, within what the caller vouches for.
            let tag = unsafe { at.cast::<#tag>().read() };
            #checks
            false
        },
        has_blocks: owned,
        has_locks: locked,
        trace: quote_spanned! {site=>
            #numbers
            #map.tagged::<Self>(::core::mem::size_of::<#tag>(), |variants| { #traces });
        },
    }
}

/// The struct that a variant of so many fields is.
fn payload(arity: usize) -> Ident {
    Ident::new(&format!("SharenaPayload{arity}"), Span::mixed_site())
}

/// The arm of `path { field, … }`: no field may be missing, each has its type and can be referred to.
fn arm(path: &TokenStream, fields: &[Field<'_>]) -> TokenStream {
    let site = Span::mixed_site();
    let locals: Vec<Ident> =
        (0..fields.len()).map(|i| Ident::new(&format!("field_{i}"), site)).collect();
    let (members, types) = (fields.iter().map(|f| &f.member), fields.iter().map(|f| f.ty));
    quote_spanned! {site=>
        #path { #(#members: #locals),* } => { #(let _: &#types = #locals;)* }
    }
}

/// `.field(name, offset, fingerprint)` of the hash.
fn hashed(krate: &Path, field: &Field<'_>, whole: &TokenStream, member: &Member) -> TokenStream {
    let name = &field.name;
    let fingerprint = constant(krate, field, "FINGERPRINT");
    quote_spanned! {at_type(field)=>
        .field(#name, ::core::mem::offset_of!(#whole, #member), #fingerprint)
    }
}

/// A constant or a function of the field's type.
fn constant(krate: &Path, field: &Field<'_>, name: &str) -> TokenStream {
    let (ty, constant) = (field.ty, Ident::new(name, at_type(field)));
    quote_spanned! {at_type(field)=> <#ty as #krate::Shareable>::#constant }
}

fn any_bits(krate: &Path, fields: &[Field<'_>]) -> TokenStream {
    let each = fields.iter().map(|field| {
        let constant = constant(krate, field, "ANY_BITS");
        quote_spanned! {at_type(field)=> && #constant }
    });
    quote_spanned! {Span::mixed_site()=> true #(#each)* }
}

/// Whether one of them says so of itself in the constant of this name.
fn has(name: &str, krate: &Path, fields: &[Field<'_>]) -> TokenStream {
    let each = fields.iter().map(|field| {
        let constant = constant(krate, field, name);
        quote_spanned! {at_type(field)=> || #constant }
    });
    quote_spanned! {Span::mixed_site()=> false #(#each)* }
}

/// Has `map` take down each field of a `whole`.
fn traced(
    krate: &Path,
    fields: &[Field<'_>],
    whole: &TokenStream,
    place: impl Fn(usize) -> Member,
) -> TokenStream {
    let map = Ident::new("map", Span::mixed_site());
    let each = fields.iter().enumerate().map(|(i, field)| {
        let (trace, member) = (constant(krate, field, "trace"), place(i));
        quote_spanned! {at_type(field)=>
            #krate::derive_support::Tracer::field(
                #map, ::core::mem::offset_of!(#whole, #member), #trace
            );
        }
    });
    quote_spanned! {Span::mixed_site()=> #(#each)* }
}

/// Whether each field of the struct at `at` is valid.
fn checked(krate: &Path, fields: &[Field<'_>], place: impl Fn(usize) -> Member) -> TokenStream {
    if fields.is_empty() {
        return quote!(true);
    }
    let at = Ident::new("at", Span::mixed_site());
    let each = fields.iter().enumerate().map(|(i, field)| {
        let (ty, member) = (field.ty, place(i));
        quote_spanned! {at_type(field)=>
            && <#ty as #krate::Shareable>::is_valid(&raw const (*#at).#member)
        }
    });
    // SAFETY: the caller vouches for the whole; each field is within and aligned in it.
    quote_spanned! {Span::mixed_site()=> unsafe { true #(#each)* } }
}

/// Hygienic, but shown to the user where the field's type stands.
fn at_type(field: &Field<'_>) -> Span {
    Span::mixed_site().located_at(field.ty.span())
}
