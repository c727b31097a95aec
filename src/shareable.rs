//! What may live in shared memory, and how two programs agree that they mean the same type.

use crate::offset::Offset;
use crate::trace::map::{Part, Tracer};
use core::fmt;
use core::marker::PhantomData;
use core::mem::{MaybeUninit, align_of, offset_of, size_of};
use core::num::{NonZero, Saturating, Wrapping};
use core::sync::atomic;
use xxhash_rust::const_xxh3::xxh3_64_with_seed;

/// A type whose values may lie in memory that several processes share.
///
/// Derive it: `#[derive(Shareable)]` takes structs of shareable fields and enums with a fixed tag
/// (`#[repr(u8)]`), refuses what cannot be shared, and computes everything below.
///
/// | shareable | not shareable, because |
/// |---|---|
/// | numbers, `bool`, `char`, `NonZero`, `Option<NonZero>` | references, pointers, functions, trait objects: an address means something in one process only |
/// | core's atomics (not `AtomicPtr`) | `Cell`, `RefCell`, std's locks: not made for several processes |
/// | arrays, tuples, `PhantomData`, `MaybeUninit`, `Wrapping` of shareable types | `String`, `Vec`, `Box`, `Arc`: their memory is one process' own |
/// | [`Offset<T>`], `Option<Offset<T>>` | `Option<u32>` and the like: the language promises no layout; derive an enum |
/// | [`collections`](crate::collections) of shareable types, their `Arc` among them | |
///
/// Types with invisible fields in std (`Duration`, `Ipv4Addr`) are left out for the same reason:
/// their layout is private. Store the number that they stand for.
///
/// ```
/// # #[cfg(feature = "derive")] {
/// use sharena::{Offset, Shareable, type_name};
/// use std::sync::atomic::AtomicU64;
///
/// #[derive(Shareable)]
/// struct Job<const N: usize> {
///     name: [u8; N],
///     state: State,
///     attempts: AtomicU64,
///     next: Option<Offset<Job<N>>>,
/// }
///
/// #[derive(Shareable)]
/// #[repr(u8)]
/// enum State {
///     Waiting,
///     Running { since: u64 },
///     Failed(i32),
/// }
///
/// assert_eq!(type_name::<Job<16>>(), "Job<16>");
/// assert_ne!(Job::<16>::FINGERPRINT, Job::<32>::FINGERPRINT);
/// # }
/// ```
///
/// # What a derived type vouches for
/// Its fields, one by one. If `unsafe` code relies on more (that two fields agree, that a number is
/// even), bytes of an untrusted file may break it: write the implementation by hand, and check it in
/// [`is_valid`](Self::is_valid).
///
/// # Safety
/// Who implements this promises that
/// - **all of the value is in its bytes**, and they mean the same wherever they are mapped, at
///   several addresses at once: no pointer, reference, function, vtable, nothing that depends on
///   the value's own address;
/// - **nothing in it belongs to a process**: no descriptor, thread id, `TypeId`, `Instant` to be
///   acted on by `unsafe` code;
/// - **`Send` and `Sync` hold between processes**: behind `&Self` only lock-free atomics change, or
///   what such atomics guard;
/// - **there is no drop glue** but that of collections and locks: `needs_drop::<Self>()` is
///   [`HAS_BLOCKS`](Self::HAS_BLOCKS) or [`HAS_LOCKS`](Self::HAS_LOCKS). A process may die without a word, and whoever frees its objects
///   may know nothing of the type;
/// - [`trace`](Self::trace) names each part that has blocks;
/// - [`FINGERPRINT`](Self::FINGERPRINT) is equal in two programs only if they agree on the layout;
/// - [`ANY_BITS`](Self::ANY_BITS) is true only if every value of the bytes (those of padding aside)
///   is a value of the type;
/// - [`is_valid`](Self::is_valid) returns true only if a `&Self` may be made of the place, reads
///   nothing but the value's own bytes and no padding, and does not panic.
///
/// [`NAME`](Self::NAME) and [`describe`](Self::describe) carry no such promise.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot live in shared memory",
    label = "not `Shareable`",
    note = "no pointers, references, functions, boxes or process-local locks: each process maps the memory at another address",
    note = "`sharena::collections` has `String`, `Vec`, `Box`, `Arc` and maps for shared memory, `sharena::lock` has locks; a place in the segment is named by `Offset<T>`",
    note = "for a type of your own: `#[derive(Shareable)]`"
)]
pub unsafe trait Shareable: Sized + Send + Sync + 'static {
    /// A hash of the type's name and of its parameters' names; of no field.
    ///
    /// So a type that reaches itself (`next: Option<Offset<Node>>`) has one: [`Offset`] and
    /// `PhantomData` put this into their fingerprints, not the target's.
    const NAME: u64;

    /// A hash of the layout: [`NAME`](Self::NAME), size, alignment, and of each field, in the order
    /// of the source, its name, offset and fingerprint; of each variant also its number.
    ///
    /// Field names belong to it: two fields of one type that change places differ in nothing else,
    /// and would be read as each other. A renamed type, variant or field keeps its fingerprint by
    /// `#[shareable(name = "what it was")]`.
    ///
    /// Nothing else of a program goes in (module paths, crate versions, the compiler): what the
    /// compiler decides shows in offsets and sizes.
    const FINGERPRINT: u64;

    /// Whether all bytes are a value, whatever they are (integers, floats, atomics of integers,
    /// structs and arrays of such; padding does not count). Then nobody need ask
    /// [`is_valid`](Self::is_valid).
    const ANY_BITS: bool;

    /// Writes the type's name as people know it: `Point<f64>`, `[u8; 16]`.
    ///
    /// The same text in every program: no module path, for it differs between two programs that
    /// each declare the type, and changes when a module moves; no hash, no version. Two types of one
    /// name are told apart by their layout, or by `#[shareable(name = "…")]`.
    ///
    /// # Errors
    /// Those of `out`.
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result;

    /// Whether the bytes at `at` are a value of this type.
    ///
    /// Others may be changing the atomics in it: these are read by relaxed loads, all else by plain
    /// reads, each byte as a number, never as the type that is in question.
    ///
    /// # Safety
    /// `at` is aligned and valid for reads of `size_of::<Self>()` initialized bytes (padding aside),
    /// and nobody changes them meanwhile but through atomics of the type.
    unsafe fn is_valid(at: *const Self) -> bool;

    /// Whether values own blocks: [collections](crate::collections), and what has one in it.
    const HAS_BLOCKS: bool = false;

    /// Whether there is a [lock](crate::lock) in it that guards a value, which is dropped with it.
    const HAS_LOCKS: bool = false;

    /// Tells where in a value blocks hang, and of which parts not all bytes are values, for programs
    /// that do not know the type. Derived types tell it part by part; what is written by hand and has
    /// no blocks need not.
    fn trace(map: &mut Tracer) {
        if !Self::ANY_BITS {
            map.opaque::<Self>();
        }
    }
}

/// The type's name as [`Shareable::describe`] writes it.
#[must_use]
pub fn type_name<T: Shareable>() -> String {
    let mut name = String::new();
    // A string takes whatever is written; what an implementation gave up on is no name.
    let _ = T::describe(&mut name);
    name
}

/// Computes [`Shareable::NAME`] and [`Shareable::FINGERPRINT`] in constants: for implementations by
/// hand.
///
/// A chain: each word is hashed (XXH3) with what came before as the seed. The numbers are stored in
/// segments, so the scheme never changes.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct LayoutHash(u64);

impl LayoutHash {
    /// The beginning of a [`Shareable::NAME`]; a [`parameter`](Self::parameter) each may follow.
    pub const fn of_name(name: &str) -> Self {
        Self(0).text(name)
    }

    /// The beginning of a [`Shareable::FINGERPRINT`]: name, size, alignment.
    pub const fn of_type<T: Shareable>() -> Self {
        Self(T::NAME).word(size_of::<T>() as u64).word(align_of::<T>() as u64)
    }

    /// The name of a type parameter.
    pub const fn parameter<T: Shareable>(self) -> Self {
        self.word(T::NAME)
    }

    /// A field: its name (the number, in a tuple), its offset in the whole type, its fingerprint.
    pub const fn field(self, name: &str, offset: usize, fingerprint: u64) -> Self {
        self.text(name).word(offset as u64).word(fingerprint)
    }

    /// A variant of an enum, its number and how many fields follow.
    pub const fn variant(self, name: &str, number: u64, fields: usize) -> Self {
        self.text(name).word(number).word(fields as u64)
    }

    /// Any other number that the type depends on.
    pub const fn word(self, word: u64) -> Self {
        Self(xxh3_64_with_seed(&word.to_le_bytes(), self.0))
    }

    const fn text(self, text: &str) -> Self {
        Self(xxh3_64_with_seed(text.as_bytes(), self.word(text.len() as u64).0))
    }

    /// The hash of all so far.
    #[must_use]
    pub const fn finish(self) -> u64 {
        self.0
    }
}

/// What derived code refers to; not for use by hand.
#[doc(hidden)]
pub mod derive_support {
    pub use super::LayoutHash;
    pub use crate::trace::map::Tracer;

    /// Each derived type implements this, and so does whatever implements `Drop`: that both do is an
    /// error of the compiler, whose text names this trait.
    pub trait SharedTypesMustNotImplementDrop {}

    #[allow(
        drop_bounds,
        reason = "`T: Drop` says exactly what is meant: an implementation of Drop"
    )]
    impl<T: Drop> SharedTypesMustNotImplementDrop for T {}
}

/// Types without parts: a name, and which bytes are a value.
///
/// `do_not_recommend`, here and for `NonZero`: the compiler would list them under each error.
macro_rules! leaf {
    ($($type:ty, $name:literal $(, not any: $part:ident |$at:ident| $valid:expr)?;)+) => {$(
        // SAFETY: a number, or an atomic of one, as the processor knows it: no address, nothing of a
        // process, no drop glue. core's atomics are lock-free instructions, which work by the
        // memory and not by its address. What is not a value for every byte says which is.
        #[diagnostic::do_not_recommend]
        unsafe impl Shareable for $type {
            const NAME: u64 = LayoutHash::of_name($name).finish();
            const FINGERPRINT: u64 = LayoutHash::of_type::<Self>().finish();
            const ANY_BITS: bool = leaf!(@any $($at)?);
            fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
                out.write_str($name)
            }
            leaf!(@valid $($at, $valid)?);
            $(fn trace(map: &mut Tracer) {
                map.part(Part::$part);
            })?
        }
    )+};
    (@any) => { true };
    (@any $at:ident) => { false };
    (@valid) => {
        // SAFETY: relies on nothing that the trait has the caller promise.
        unsafe fn is_valid(_: *const Self) -> bool {
            true
        }
    };
    (@valid $at:ident, $valid:expr) => {
        // SAFETY: the trait's; each expression says which bytes it reads.
        unsafe fn is_valid($at: *const Self) -> bool {
            $valid
        }
    };
}

leaf! {
    (), "()";
    u8, "u8"; u16, "u16"; u32, "u32"; u64, "u64"; u128, "u128"; usize, "usize";
    i8, "i8"; i16, "i16"; i32, "i32"; i64, "i64"; i128, "i128"; isize, "isize";
    f32, "f32"; f64, "f64";
    bool, "bool", not any: Bool |at| {
        // SAFETY: the caller vouches for the byte; a `u8` may be any.
        let byte = unsafe { at.cast::<u8>().read() };
        byte < 2
    };
    char, "char", not any: Char |at| {
        // SAFETY: the caller vouches for the aligned bytes; a `char` has the size and alignment of
        // a `u32`, which may be any.
        let scalar = unsafe { at.cast::<u32>().read() };
        char::from_u32(scalar).is_some()
    };
}

#[cfg(target_has_atomic = "8")]
leaf! {
    atomic::AtomicU8, "AtomicU8"; atomic::AtomicI8, "AtomicI8";
    atomic::AtomicBool, "AtomicBool", not any: Bool |at| {
        // SAFETY: the caller vouches for the byte, which others change by atomics at most; an
        // `AtomicBool` has the size and alignment of an `AtomicU8`. Relaxed: the byte alone is
        // looked at, nothing behind it.
        let byte = unsafe { (*at.cast::<atomic::AtomicU8>()).load(atomic::Ordering::Relaxed) };
        byte < 2
    };
}

#[cfg(target_has_atomic = "16")]
leaf! { atomic::AtomicU16, "AtomicU16"; atomic::AtomicI16, "AtomicI16"; }

#[cfg(target_has_atomic = "32")]
leaf! { atomic::AtomicU32, "AtomicU32"; atomic::AtomicI32, "AtomicI32"; }

#[cfg(target_has_atomic = "64")]
leaf! { atomic::AtomicU64, "AtomicU64"; atomic::AtomicI64, "AtomicI64"; }

#[cfg(target_has_atomic = "ptr")]
leaf! { atomic::AtomicUsize, "AtomicUsize"; atomic::AtomicIsize, "AtomicIsize"; }

/// `NonZero<N>` and `Option<NonZero<N>>` for each integer `N`.
macro_rules! non_zero {
    ($($number:ident)+) => {$(
        // SAFETY: a number in the layout of `$number` (the language's promise), valid iff not zero.
        #[diagnostic::do_not_recommend]
        unsafe impl Shareable for NonZero<$number> {
            const NAME: u64 = LayoutHash::of_name("NonZero").parameter::<$number>().finish();
            const FINGERPRINT: u64 = LayoutHash::of_type::<Self>().finish();
            const ANY_BITS: bool = false;
            fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
                generic(out, "NonZero", $number::describe)
            }
            // SAFETY: the trait's: `at` is aligned, and valid for reads of the type's bytes.
            unsafe fn is_valid(at: *const Self) -> bool {
                // SAFETY: the caller vouches for the aligned bytes; a `$number` may be any.
                unsafe { at.cast::<$number>().read() != 0 }
            }
            fn trace(map: &mut Tracer) {
                map.part(Part::NonZero(size_of::<Self>() as u32));
            }
        }

        // SAFETY: the language promises the layout of `$number`, with `None` as zero: each value of
        // the bytes is one of the type.
        #[diagnostic::do_not_recommend]
        unsafe impl Shareable for Option<NonZero<$number>> {
            const NAME: u64 = LayoutHash::of_name("Option").parameter::<NonZero<$number>>().finish();
            const FINGERPRINT: u64 = LayoutHash::of_type::<Self>().finish();
            const ANY_BITS: bool = true;
            fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
                generic(out, "Option", NonZero::<$number>::describe)
            }
            unsafe fn is_valid(_: *const Self) -> bool {
                true
            }
        }
    )+};
}

non_zero! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize }

/// Writes `name<argument>`.
fn generic(
    out: &mut dyn fmt::Write,
    name: &str,
    argument: impl Fn(&mut dyn fmt::Write) -> fmt::Result,
) -> fmt::Result {
    out.write_str(name)?;
    out.write_str("<")?;
    argument(out)?;
    out.write_str(">")
}

// SAFETY: a number, transparently `NonZeroU64`, valid iff not zero. That it leads anywhere is not
// believed but checked by whoever follows it.
unsafe impl<T: Shareable> Shareable for Offset<T> {
    const NAME: u64 = LayoutHash::of_name("Offset").parameter::<T>().finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>().finish();
    const ANY_BITS: bool = false;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        generic(out, "Offset", T::describe)
    }
    unsafe fn is_valid(at: *const Self) -> bool {
        // SAFETY: the caller vouches for the aligned bytes; a `u64` may be any.
        unsafe { at.cast::<u64>().read() != 0 }
    }
    fn trace(map: &mut Tracer) {
        map.part(Part::NonZero(8));
    }
}

// SAFETY: the language promises for a transparent wrapper of `NonZeroU64` that the option has its
// layout, with `None` as zero: each value of the bytes is one of the type.
unsafe impl<T: Shareable> Shareable for Option<Offset<T>> {
    const NAME: u64 = LayoutHash::of_name("Option").parameter::<Offset<T>>().finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>().finish();
    const ANY_BITS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        generic(out, "Option", Offset::<T>::describe)
    }
    unsafe fn is_valid(_: *const Self) -> bool {
        true
    }
}

// SAFETY: no bytes. The name of `T` goes into the fingerprint, not its layout: a type may carry a
// mark of itself.
unsafe impl<T: Shareable> Shareable for PhantomData<T> {
    const NAME: u64 = LayoutHash::of_name("PhantomData").parameter::<T>().finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>().finish();
    const ANY_BITS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        generic(out, "PhantomData", T::describe)
    }
    unsafe fn is_valid(_: *const Self) -> bool {
        true
    }
}

// SAFETY: the bytes of a `T` (the language's promise), whose fingerprint vouches for what they may
// be once somebody calls them initialized; till then each value of them is one of the type.
unsafe impl<T: Shareable> Shareable for MaybeUninit<T> {
    const NAME: u64 = LayoutHash::of_name("MaybeUninit").parameter::<T>().finish();
    const FINGERPRINT: u64 = {
        assert!(!T::HAS_BLOCKS, "nobody could know whether it has blocks");
        LayoutHash::of_type::<Self>().field("0", 0, T::FINGERPRINT).finish()
    };
    const ANY_BITS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        generic(out, "MaybeUninit", T::describe)
    }
    unsafe fn is_valid(_: *const Self) -> bool {
        true
    }
}

/// std's wrappers of a number, with the layout of what they wrap.
macro_rules! wrapper {
    ($($wrapper:ident, $name:literal;)+) => {$(
        // SAFETY: std promises the layout of `T`, and nothing but a `T` is in it.
        unsafe impl<T: Shareable> Shareable for $wrapper<T> {
            const NAME: u64 = LayoutHash::of_name($name).parameter::<T>().finish();
            const FINGERPRINT: u64 = LayoutHash::of_type::<Self>().field("0", 0, T::FINGERPRINT).finish();
            const ANY_BITS: bool = T::ANY_BITS;
            fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
                generic(out, $name, T::describe)
            }
            unsafe fn is_valid(at: *const Self) -> bool {
                // SAFETY: the same bytes, the same layout.
                unsafe { T::is_valid(at.cast()) }
            }
            const HAS_BLOCKS: bool = T::HAS_BLOCKS;
            const HAS_LOCKS: bool = T::HAS_LOCKS;
            fn trace(map: &mut Tracer) {
                T::trace(map);
            }
        }
    )+};
}

wrapper! { Wrapping, "Wrapping"; Saturating, "Saturating"; }

// SAFETY: `N` times a `T`, one behind the other (the language's promise).
unsafe impl<T: Shareable, const N: usize> Shareable for [T; N] {
    const NAME: u64 = LayoutHash::of_name("[]").parameter::<T>().word(N as u64).finish();
    const FINGERPRINT: u64 =
        LayoutHash::of_type::<Self>().field("0", 0, T::FINGERPRINT).word(N as u64).finish();
    const ANY_BITS: bool = T::ANY_BITS;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("[")?;
        T::describe(out)?;
        write!(out, "; {N}]")
    }
    unsafe fn is_valid(at: *const Self) -> bool {
        let first = at.cast::<T>();
        // SAFETY: the caller vouches for `N` elements.
        T::ANY_BITS || (0..N).all(|i| unsafe { T::is_valid(first.add(i)) })
    }
    const HAS_BLOCKS: bool = T::HAS_BLOCKS;
    const HAS_LOCKS: bool = T::HAS_LOCKS;
    fn trace(map: &mut Tracer) {
        map.array::<T>(N);
    }
}

/// Tuples. The compiler may lay one out as it likes; where each part lies is in the fingerprint.
macro_rules! tuple {
    ($($part:ident $index:tt)+) => {
        // SAFETY: nothing is in it but its parts, each shareable, at the offsets that the
        // fingerprint names.
        unsafe impl<$($part: Shareable),+> Shareable for ($($part,)+) {
            const NAME: u64 = LayoutHash::of_name("()")$(.parameter::<$part>())+.finish();
            const FINGERPRINT: u64 = LayoutHash::of_type::<Self>()
                $(.field(stringify!($index), offset_of!(Self, $index), $part::FINGERPRINT))+
                .finish();
            const ANY_BITS: bool = true $(&& $part::ANY_BITS)+;
            fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
                out.write_str("(")?;
                $(
                    out.write_str(tuple!(@before $index))?;
                    $part::describe(out)?;
                )+
                out.write_str(if [$($index),+].len() == 1 { ",)" } else { ")" })
            }
            // SAFETY: the trait's: `at` is aligned, and valid for reads of the type's bytes.
            unsafe fn is_valid(at: *const Self) -> bool {
                // SAFETY: the caller vouches for the whole, each part is within and aligned in it.
                unsafe { true $(&& $part::is_valid(&raw const (*at).$index))+ }
            }
            const HAS_BLOCKS: bool = false $(|| $part::HAS_BLOCKS)+;
            const HAS_LOCKS: bool = false $(|| $part::HAS_LOCKS)+;
            fn trace(map: &mut Tracer) {
                $(map.field(offset_of!(Self, $index), $part::trace);)+
            }
        }
    };
    (@before 0) => { "" };
    (@before $index:tt) => { ", " };
}

tuple! { A 0 }
tuple! { A 0 B 1 }
tuple! { A 0 B 1 C 2 }
tuple! { A 0 B 1 C 2 D 3 }
tuple! { A 0 B 1 C 2 D 3 E 4 }
tuple! { A 0 B 1 C 2 D 3 E 4 F 5 }
tuple! { A 0 B 1 C 2 D 3 E 4 F 5 G 6 }
tuple! { A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 }
tuple! { A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 }
tuple! { A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 }
tuple! { A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 }
tuple! { A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11 }
