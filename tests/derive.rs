//! What `#[derive(Shareable)]` and the implementations for the language's own types promise:
//!
//! - two programs that mean the same type compute the same fingerprint, also if one of them renamed
//!   its type or field and said so; whatever changes the layout or the meaning changes it;
//! - the fingerprints themselves never change: they are stored in segments;
//! - bytes that are no value of the type are told from those that are;
//! - names are written as people know them.
#![cfg(all(feature = "derive", not(loom)))]

use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::num::{NonZero, NonZeroU8, NonZeroU32, Wrapping};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use sharena::{Offset, Shareable, type_name};

/// Bytes aligned for anything.
#[repr(C, align(16))]
struct Bytes([u8; 64]);

/// Whether `bytes`, followed by zeroes, are a `T`.
fn valid<T: Shareable>(bytes: &[u8]) -> bool {
    assert!(size_of::<T>() <= 64 && align_of::<T>() <= 16 && bytes.len() <= 64);
    let mut place = Bytes([0; 64]);
    place.0[..bytes.len()].copy_from_slice(bytes);
    // SAFETY: aligned and large enough (asserted), initialized, and nobody else's.
    unsafe { T::is_valid((&raw const place.0).cast()) }
}

/// The fingerprint of a one-off type declared by the tokens.
macro_rules! fingerprint {
    ($(#[$repr:meta])* $kind:ident $name:ident $($body:tt)+) => {{
        #[derive(Shareable)]
        #[allow(dead_code)]
        $(#[$repr])*
        $kind $name $($body)+
        $name::FINGERPRINT
    }};
}

fn all_differ(fingerprints: &[u64]) {
    let mut sorted = fingerprints.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), fingerprints.len(), "two of {fingerprints:x?} are equal");
}

#[derive(Shareable)]
#[allow(dead_code)]
#[repr(C)]
struct Point<T> {
    x: T,
    y: T,
}

#[test]
fn the_scheme_of_fingerprints_does_not_change() {
    assert_eq!(u32::NAME, 0x485c_60eb_66c0_aa24);
    assert_eq!(u32::FINGERPRINT, 0x4d29_4f51_a16f_28af);
    assert_eq!(Point::<f64>::FINGERPRINT, 0x508b_4f8b_1753_f5a3);
    assert_eq!(Tree::<bool, 2>::FINGERPRINT, 0x9495_1fd7_1fe8_b678);
}

#[test]
fn types_of_one_size_differ() {
    all_differ(&[
        u32::FINGERPRINT,
        i32::FINGERPRINT,
        f32::FINGERPRINT,
        char::FINGERPRINT,
        AtomicU32::FINGERPRINT,
        NonZeroU32::FINGERPRINT,
        Option::<NonZeroU32>::FINGERPRINT,
        Wrapping::<u32>::FINGERPRINT,
        MaybeUninit::<u32>::FINGERPRINT,
        <[u32; 1]>::FINGERPRINT,
        <(u32,)>::FINGERPRINT,
        <[u16; 2]>::FINGERPRINT,
        <[u8; 4]>::FINGERPRINT,
        fingerprint!(
            struct Number(u32);
        ),
    ]);
    all_differ(&[u64::FINGERPRINT, usize::FINGERPRINT, i64::FINGERPRINT, isize::FINGERPRINT]);
    all_differ(&[<[u8; 0]>::FINGERPRINT, <[u16; 0]>::FINGERPRINT, <()>::FINGERPRINT]);
    all_differ(&[
        Offset::<u8>::FINGERPRINT,
        Offset::<i8>::FINGERPRINT,
        Option::<Offset<u8>>::FINGERPRINT,
        NonZero::<u64>::FINGERPRINT,
    ]);
}

#[test]
#[rustfmt::skip]
fn what_changes_the_layout_or_the_meaning_changes_the_fingerprint() {
    all_differ(&[
        fingerprint!(struct A { x: u32, y: u32 }),
        fingerprint!(struct A { y: u32, x: u32 }),
        fingerprint!(struct A { x: u32, z: u32 }),
        fingerprint!(struct A { x: u32, y: i32 }),
        fingerprint!(struct A { x: u32 }),
        fingerprint!(struct A { x: u32, y: u32, z: () }),
        fingerprint!(struct A { x: [u32; 1], y: u32 }),
        fingerprint!(#[repr(align(16))] struct A { x: u32, y: u32 }),
        fingerprint!(struct A(u32, u32);),
        fingerprint!(struct B { x: u32, y: u32 }),
        fingerprint!(struct A { x: (u32, u32) }),
        fingerprint!(#[repr(C)] struct A { x: u8, y: u32, z: u8 }),
        fingerprint!(#[repr(C)] struct A { x: u8, z: u8, y: u32 }),
    ]);
    all_differ(&[
        <(u8, u32)>::FINGERPRINT,
        <(u32, u8)>::FINGERPRINT,
        <(u8, (u32,))>::FINGERPRINT,
        <[u8; 16]>::FINGERPRINT,
        <[u8; 17]>::FINGERPRINT,
        <[[u8; 4]; 4]>::FINGERPRINT,
        <[[u8; 8]; 2]>::FINGERPRINT,
    ]);
    all_differ(&[
        fingerprint!(#[repr(u8)] enum E { A, B }),
        fingerprint!(#[repr(u8)] enum E { B, A }),
        fingerprint!(#[repr(u8)] enum E { A = 1, B }),
        fingerprint!(#[repr(u8)] enum E { A, B, C }),
        fingerprint!(#[repr(i8)] enum E { A, B }),
        fingerprint!(#[repr(u16)] enum E { A, B }),
        fingerprint!(#[repr(u8)] enum E { A, B(()) }),
        fingerprint!(#[repr(u8)] enum E { A(u8), B }),
        fingerprint!(#[repr(u8)] enum E { A, B(u8) }),
        fingerprint!(#[repr(u8)] enum E { A, B { x: u8 } }),
        fingerprint!(#[repr(u8)] enum E { A, B(i8) }),
        fingerprint!(#[repr(u8)] enum F { A, B }),
        fingerprint!(struct E;),
    ]);
}

#[test]
fn the_same_type_elsewhere_has_the_same_fingerprint() {
    mod other_program {
        #[derive(sharena::Shareable)]
        #[allow(dead_code)]
        #[repr(C)]
        pub struct Point<U> {
            x: U,
            y: U,
        }
    }
    assert_eq!(Point::<f64>::FINGERPRINT, other_program::Point::<f64>::FINGERPRINT);
    assert_eq!(Point::<f64>::NAME, other_program::Point::<f64>::NAME);
    all_differ(&[Point::<f64>::FINGERPRINT, Point::<u64>::FINGERPRINT]);
    all_differ(&[Point::<f64>::NAME, Point::<u64>::NAME, f64::NAME]);
}

#[test]
fn a_renamed_type_field_or_variant_keeps_its_fingerprint_if_it_says_so() {
    #[derive(Shareable)]
    #[shareable(name = "Point")]
    #[allow(dead_code)]
    #[repr(C)]
    struct Place<T> {
        #[shareable(name = "x")]
        east: T,
        #[shareable(name = "y")]
        north: T,
    }
    assert_eq!(Place::<f64>::FINGERPRINT, Point::<f64>::FINGERPRINT);
    assert_eq!(type_name::<Place<f64>>(), "Point<f64>");

    #[derive(Shareable)]
    #[shareable(name = "Shape")]
    #[allow(dead_code)]
    #[repr(u8)]
    enum Figure {
        #[shareable(name = "Nothing")]
        Void,
        Circle {
            #[shareable(name = "radius")]
            r: NonZeroU32,
        },
        Marked(bool, char) = 7,
        Deep(Colour, (bool, u64)),
    }
    assert_eq!(Figure::FINGERPRINT, Shape::FINGERPRINT);
}

#[derive(Shareable, Clone, Copy)]
#[repr(i16)]
enum Colour {
    Red = -2,
    Green,
    Blue = 0x102,
}

#[derive(Shareable)]
#[allow(dead_code)]
#[repr(u8)]
enum Shape {
    Nothing,
    Circle { radius: NonZeroU32 },
    Marked(bool, char) = 7,
    Deep(Colour, (bool, u64)),
}

#[test]
fn numbers_and_their_atomics_are_valid_whatever_the_bytes() {
    fn any<T: Shareable>() {
        assert!(
            T::ANY_BITS && valid::<T>(&[0xff; 16]) && valid::<T>(&[0; 16]),
            "{}",
            type_name::<T>()
        );
    }
    any::<u8>();
    any::<i128>();
    any::<f32>();
    any::<()>();
    any::<AtomicU64>();
    any::<[u16; 7]>();
    any::<(u8, i64)>();
    any::<Point<f64>>();
    any::<Option<NonZeroU8>>();
    any::<Option<Offset<bool>>>();
    any::<MaybeUninit<bool>>();
    any::<PhantomData<bool>>();
}

#[test]
fn bytes_that_are_no_value_are_found() {
    const { assert!(!bool::ANY_BITS && !char::ANY_BITS && !NonZeroU8::ANY_BITS) };
    const { assert!(!AtomicBool::ANY_BITS && !<[bool; 2]>::ANY_BITS && !<(u8, bool)>::ANY_BITS) };
    assert!(valid::<bool>(&[1]) && !valid::<bool>(&[2]) && !valid::<bool>(&[0x81]));
    assert!(valid::<AtomicBool>(&[1]) && !valid::<AtomicBool>(&[3]));
    let char_is_valid = |scalar: u32| valid::<char>(&scalar.to_ne_bytes());
    assert!(char_is_valid(0xd7ff) && char_is_valid(0xe000) && char_is_valid(0x10_ffff));
    assert!(!char_is_valid(0xd800) && !char_is_valid(0xdfff) && !char_is_valid(0x11_0000));
    assert!(valid::<NonZeroU32>(&[0, 0, 0, 1]) && !valid::<NonZeroU32>(&[0; 4]));
    assert!(valid::<Offset<u8>>(&[1]) && !valid::<Offset<u8>>(&[0]));
    assert!(valid::<[bool; 4]>(&[0, 1, 1, 0, 9]) && !valid::<[bool; 4]>(&[0, 1, 1, 2]));
    assert!(!valid::<[bool; 4]>(&[2]));
    assert!(valid::<Wrapping<bool>>(&[1]) && !valid::<Wrapping<bool>>(&[2]));
    assert!(valid::<Point<bool>>(&[1, 0]) && !valid::<Point<bool>>(&[1, 2]));
    let at = core::mem::offset_of!((u32, bool), 1);
    let mut pair = [0xff; 8];
    assert!(!valid::<(u32, bool)>(&pair));
    pair[at] = 1;
    assert!(valid::<(u32, bool)>(&pair));
}

#[test]
fn padding_does_not_count() {
    #[derive(Shareable)]
    #[allow(dead_code)]
    #[repr(C)]
    struct Gap {
        flag: bool,
        number: u32,
    }
    assert!(valid::<Gap>(&[1, 0xff, 0xff, 0xff, 9, 9, 9, 9]));
    assert!(!valid::<Gap>(&[2, 0, 0, 0, 9, 9, 9, 9]));
}

#[test]
fn an_enum_is_valid_by_its_tags_alone() {
    for tag in i16::MIN..=i16::MAX {
        let known = [Colour::Red, Colour::Green, Colour::Blue].iter().any(|&c| c as i16 == tag);
        assert_eq!(valid::<Colour>(&tag.to_ne_bytes()), known, "{tag}");
    }
    const { assert!(!Colour::ANY_BITS) };
}

#[test]
fn an_enum_with_payload_is_valid_by_its_tag_and_the_fields_of_that_variant() {
    // SAFETY: a value of the type, whose padding is not read.
    let ok = |value: Shape| unsafe { Shape::is_valid(&raw const value) };
    assert!(ok(Shape::Nothing));
    assert!(ok(Shape::Circle { radius: NonZeroU32::MIN }));
    assert!(ok(Shape::Marked(true, 'ß')));
    assert!(ok(Shape::Deep(Colour::Blue, (true, u64::MAX))));

    // The language's promise: each variant is a repr(C) struct that begins with the tag.
    let mut bytes = [0xff; 24];
    let mut check = |changes: &[(usize, &[u8])]| {
        for (at, new) in changes {
            bytes[*at..at + new.len()].copy_from_slice(new);
        }
        valid::<Shape>(&bytes)
    };
    assert!(check(&[(0, &[0])]), "Nothing, with rubbish behind");
    assert!(!check(&[(0, &[2])]), "no such tag");
    assert!(check(&[(0, &[1])]), "Circle");
    assert!(!check(&[(4, &[0; 4])]), "Circle of radius 0");
    assert!(!check(&[(0, &[7])]), "Marked, the flag 0xff");
    assert!(check(&[(1, &[1])]), "Marked");
    assert!(!check(&[(4, &0xd800_u32.to_ne_bytes())]), "Marked by a surrogate");
    assert!(!check(&[(0, &[8])]), "Deep, the colour's tag -1 over 0xffff, the pair's flag 0xff");
}

#[test]
fn names_are_written_as_people_know_them() {
    assert_eq!(type_name::<u32>(), "u32");
    assert_eq!(type_name::<()>(), "()");
    assert_eq!(type_name::<[u8; 16]>(), "[u8; 16]");
    assert_eq!(type_name::<(u8,)>(), "(u8,)");
    assert_eq!(type_name::<(u8, [bool; 2], (f32, char))>(), "(u8, [bool; 2], (f32, char))");
    assert_eq!(type_name::<Option<NonZeroU8>>(), "Option<NonZero<u8>>");
    assert_eq!(type_name::<Option<Offset<Point<i8>>>>(), "Option<Offset<Point<i8>>>");
    assert_eq!(type_name::<AtomicU64>(), "AtomicU64");
    assert_eq!(type_name::<Wrapping<MaybeUninit<u8>>>(), "Wrapping<MaybeUninit<u8>>");
    assert_eq!(type_name::<Point<Point<f64>>>(), "Point<Point<f64>>");
    assert_eq!(type_name::<Shape>(), "Shape");
}

#[test]
fn every_size_of_tuple() {
    type Twelve = (u8, u16, u32, u64, u8, u16, u32, u64, u8, u16, u32, bool);
    assert_eq!(type_name::<Twelve>(), "(u8, u16, u32, u64, u8, u16, u32, u64, u8, u16, u32, bool)");
    let mut bytes = [0; 64];
    assert!(valid::<Twelve>(&bytes));
    bytes[core::mem::offset_of!(Twelve, 11)] = 2;
    assert!(!valid::<Twelve>(&bytes));
}

/// A node reaches itself, and carries a mark of itself: no cycle of constants or bounds.
#[derive(Shareable)]
#[allow(dead_code)]
struct Node<T> {
    value: T,
    next: Option<Offset<Self>>,
    previous: Option<Offset<Node<T>>>,
    id: Id<Node<T>>,
}

#[derive(Shareable)]
#[allow(dead_code)]
struct Id<T>(u64, PhantomData<T>);

#[test]
fn a_type_may_reach_itself() {
    assert_eq!(type_name::<Node<u8>>(), "Node<u8>");
    assert_eq!(type_name::<Id<Node<u8>>>(), "Id<Node<u8>>");
    all_differ(&[Node::<u8>::FINGERPRINT, Node::<i8>::FINGERPRINT]);
    const { assert!(Node::<u8>::ANY_BITS) };
}

trait Unit {
    type Number;
}

#[derive(Shareable)]
struct Metre;

impl Unit for Metre {
    type Number = NonZeroU8;
}

#[derive(Shareable)]
#[allow(dead_code)]
struct Length<
    U: Unit = Metre,
    const SCALE: i8 = -3,
    const EXACT: bool = true,
    const SIGN: char = '+',
> where
    U: Clone,
{
    number: U::Number,
    unit: PhantomData<U>,
}

#[derive(Shareable)]
#[allow(dead_code)]
struct Area<U: Unit>([<U as Unit>::Number; 2]);

impl Clone for Metre {
    fn clone(&self) -> Self {
        Metre
    }
}

#[test]
fn parameters_of_every_kind() {
    assert_eq!(type_name::<Length>(), "Length<Metre, -3, true, '+'>");
    assert!(valid::<Length>(&[1]) && !valid::<Length>(&[0]));
    assert!(valid::<Area<Metre>>(&[1, 2]) && !valid::<Area<Metre>>(&[1, 0]));
    all_differ(&[
        Length::<Metre>::NAME,
        Length::<Metre, 3>::NAME,
        Length::<Metre, -3, false>::NAME,
        Length::<Metre, -3, true, '-'>::NAME,
    ]);
}

#[derive(Shareable)]
#[allow(dead_code)]
#[repr(u32)]
enum Tree<T, const N: usize> {
    Leaf([T; N]),
    Branch { left: Offset<Self>, right: Offset<Tree<T, N>> },
    r#Empty,
}

#[test]
fn a_generic_enum() {
    type T = Tree<bool, 2>;
    assert_eq!(type_name::<T>(), "Tree<bool, 2>");
    assert!(valid::<T>(&[0, 0, 0, 0, 1, 1]) && !valid::<T>(&[0, 0, 0, 0, 1, 2]));
    assert!(valid::<T>(&[2]) && !valid::<T>(&[3]) && !valid::<T>(&[0, 1]));
    assert!(!valid::<T>(&[1]), "a branch without children");
}

/// The crate is found where the attribute says.
mod re_exported {
    mod inner {
        pub use sharena as shared;
    }
    #[derive(sharena::Shareable)]
    #[shareable(crate = "inner::shared", name = "Elsewhere")]
    #[repr(u8)]
    pub enum Moved {
        One = 1,
        Two,
    }
    #[test]
    fn compiles() {
        assert_eq!(sharena::type_name::<Moved>(), "Elsewhere");
        assert!(super::valid::<Moved>(&[Moved::Two as u8]) && !super::valid::<Moved>(&[0]));
        assert!(super::valid::<Moved>(&[Moved::One as u8]));
    }
}

/// What the derive writes raises no lint, and needs nothing of the scope but its own crate.
pub mod strict {
    #![forbid(unsafe_code)]
    #![deny(
        warnings,
        missing_docs,
        unused_qualifications,
        clippy::all,
        clippy::pedantic,
        clippy::undocumented_unsafe_blocks,
        clippy::multiple_unsafe_ops_per_block,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::implicit_return
    )]
    #![no_implicit_prelude]

    /// Hides the language's names.
    #[allow(non_camel_case_types, dead_code)]
    mod names {
        pub struct u8;
        pub struct u64;
        pub struct bool;
        pub trait Shareable {}
        pub mod core {}
    }
    #[allow(unused_imports)]
    use names::*;

    /// A struct.
    #[derive(::sharena::Shareable)]
    pub struct Fields<T, const N: ::core::primitive::usize> {
        /// A field.
        pub at: T,
        /// Another.
        #[deprecated]
        pub out: [T; N],
    }

    const BASE: ::core::primitive::u16 = 3;

    /// An enum.
    #[derive(::sharena::Shareable)]
    #[repr(u16)]
    pub enum Variants<T> {
        /// A variant.
        A(T, ::core::primitive::u8) = { BASE * 2 },
        /// Another.
        B {
            /// A field.
            tag: ::core::primitive::bool,
        },
        /// The last.
        C,
    }

    /// No fields.
    #[derive(::sharena::Shareable)]
    pub struct Nothing;

    #[::core::prelude::v1::test]
    fn compiles() {
        ::core::assert!(super::valid::<Variants<::core::primitive::bool>>(&[8]));
        ::core::assert!(!super::valid::<Variants<::core::primitive::bool>>(&[9]));
    }
}

#[cfg(feature = "bytemuck")]
#[test]
fn bytemuck_types_in_a_wrapper() {
    use sharena::Pod;
    #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
    #[repr(C)]
    struct Foreign {
        a: u32,
        b: f32,
    }
    #[derive(Shareable)]
    #[allow(dead_code)]
    struct Named(Pod<Foreign>);
    assert_eq!(type_name::<Pod<Foreign>>(), "Pod<Foreign>");
    assert_eq!(type_name::<Pod<[Foreign; 2]>>(), "Pod<[Foreign; 2]>");
    assert!(Named::ANY_BITS && valid::<Pod<Foreign>>(&[0xff; 8]));
    // Size and alignment are all that is seen; a name tells more.
    assert_eq!(Pod::<Foreign>::FINGERPRINT, Pod::<[u32; 2]>::FINGERPRINT);
    all_differ(&[
        Pod::<Foreign>::FINGERPRINT,
        Pod::<u64>::FINGERPRINT,
        Pod::<u32>::FINGERPRINT,
        Named::FINGERPRINT,
        fingerprint!(
            struct Other(Pod<Foreign>);
        ),
    ]);
}

#[cfg(feature = "zerocopy")]
#[test]
fn zerocopy_types_in_a_wrapper() {
    use sharena::Plain;
    use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};
    #[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
    #[repr(C)]
    struct Foreign<T> {
        a: T,
        b: T,
    }
    assert_eq!(type_name::<Plain<Foreign<u16>>>(), "Plain<Foreign<u16>>");
    assert!(Plain::<Foreign<u16>>::ANY_BITS && valid::<Plain<Foreign<u16>>>(&[0xff; 4]));
    all_differ(&[Plain::<Foreign<u16>>::FINGERPRINT, Plain::<Foreign<u32>>::FINGERPRINT]);
}
