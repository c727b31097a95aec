//! Collections whose memory is a segment's: `Vec`, `VecDeque`, `String`, `Box`, `HashMap`, `BTreeMap`,
//! `BTreeSet`; and `Arc`, `Weak`, by which several own a value.
//!
//! They have std's methods. What allocates has a second form, `try_…`, that returns an error instead of
//! a panic; where there is no memory, either leaves all as it was.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use sharena::{Options, collections::{String, Vec}};
//!
//! let segment = Options::new().capacity(1 << 20).create_anonymous()?;
//! let mut names = Vec::new_in(&segment);
//! names.push(String::from_in("Alice", &segment));
//! names.try_push(String::try_from_in("Bob", &segment)?)?;
//! assert_eq!(names.iter().map(String::as_str).collect::<std::vec::Vec<_>>(), ["Alice", "Bob"]);
//! # Ok(())
//! # }
//! ```
//!
//! # Two worlds
//! A collection that a program holds by value, or as `&mut`, is **private**: its blocks are its
//! process' alone, and nothing is done for others or against deaths; when the process dies they are
//! free. **Published** ones are reached as `&`, through a [`Ref`](crate::Ref), and do not change, unless a
//! [`Mutex`](crate::lock::Mutex) or [`RwLock`](crate::lock::RwLock) guards them. No `&mut` of the one world is ever of the other: `mem::swap`
//! moves words between values without this crate's knowing, and could move a private block into an object.
//!
//! # Changing what is published
//! The guard of a `Mutex`, or one that writes of an `RwLock`, changes the collection in it by the methods of
//! [`VecMut`], [`VecDequeMut`], [`StringMut`], [`HashMapMut`], [`BTreeMapMut`], [`BTreeSetMut`], which have std's
//! names and must be in scope; what else lies in the value is [lent](crate::lock::Mut). **Each call is all or
//! nothing**, whoever dies in it: what was there, or what should be, whole, and no block is lost. What locks in a
//! value guard is published with it, however deep they lie; nobody gets behind one before that is done.
//!
//! # Shared ownership
//! What an [`Arc`] shares is published from the beginning, and goes with its last handle, wherever that is. A
//! handle is private or published like any value: one that is cloned under a lock keeps what it shares after the
//! lock is given back, whatever becomes of the place where it was found.
//!
//! # Speed
//! [A table](crate::docs::collections_speed): private ones are about as fast as std's; a change under a lock, which
//! a death does not tear, takes some tens of nanoseconds, and of a map some hundreds.
//!
//! # Which segment
//! A collection finds its segment by a tag in its word. One that is made without a segment (`new()`,
//! `default()`, `collect()`) grows in the one that its thread has [entered](crate::Segment::enter).
//! Values of different segments may be moved into each other as long as all is private.
//!
//! The first use of a segment's collections keeps the process attached until it ends: collections name
//! no lifetime, so nobody could say when the last one is gone. Who opens the segment again gets the same
//! attachment. [`Segment::close`](crate::Segment::close) ends it earlier.
//!
//! # serde
//! With the feature `serde` all of them are serialized as std's are, and deserialized into the segment that
//! the thread has entered. Where there is no memory, or no segment was entered, that is an error of the
//! format, and what was made until then is free again.
//!
//! # fork
//! A child has copies of its parent's private collections, which lead to the same memory. Dropping them
//! does nothing; the child must not change them.

mod arc;
mod as_value;
mod boxed;
mod btree;
mod deque;
mod key;
mod map;
mod pair;
mod raw;
#[cfg(feature = "serde")]
mod serde;
mod string;
mod vec;

pub use arc::{Arc, Weak};
pub use boxed::Box;
pub use btree::{
    BTreeEntry, BTreeIntoIter, BTreeIter, BTreeIterMut, BTreeMap, BTreeMapMut, BTreeOccupiedEntry,
    BTreeSet, BTreeSetIntoIter, BTreeSetIter, BTreeSetMut, BTreeVacantEntry,
};
pub use deque::{
    VecDeque, VecDequeDrain, VecDequeIntoIter, VecDequeIter, VecDequeIterMut, VecDequeMut,
};
pub use key::HashKey;
pub use map::{Entry, HashMap, HashMapMut, OccupiedEntry, VacantEntry};
pub use string::{String, StringMut};
pub use vec::{Drain, IntoIter, Vec, VecMut};

use crate::heap::error::AllocError;
use core::ops::{Bound, RangeBounds};

/// A copy, or an error where there is no memory for it.
pub trait TryClone: Sized {
    /// A deep copy: what has blocks has blocks of its own, private, in the same segment.
    ///
    /// # Errors
    /// [`AllocError`]; nothing was made.
    fn try_clone(&self) -> Result<Self, AllocError>;
}

/// Types whose copy needs no memory.
macro_rules! copies {
    ($($type:ty)+) => {$(
        impl TryClone for $type {
            #[inline]
            fn try_clone(&self) -> Result<Self, AllocError> {
                Ok(*self)
            }
        }
    )+};
}

copies! { () u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 bool char }

impl<T> TryClone for crate::Offset<T> {
    fn try_clone(&self) -> Result<Self, AllocError> {
        Ok(*self)
    }
}

impl<T: TryClone> TryClone for Option<T> {
    fn try_clone(&self) -> Result<Self, AllocError> {
        self.as_ref().map(T::try_clone).transpose()
    }
}

macro_rules! tuples {
    ($($($part:ident $index:tt)+;)+) => {$(
        impl<$($part: TryClone),+> TryClone for ($($part,)+) {
            fn try_clone(&self) -> Result<Self, AllocError> {
                Ok(($(self.$index.try_clone()?,)+))
            }
        }
    )+};
}

tuples! { A 0; A 0 B 1; A 0 B 1 C 2; A 0 B 1 C 2 D 3; }

/// A range of indices of `len` elements: from the one, to before the other.
#[track_caller]
fn bounds_of(range: impl RangeBounds<usize>, len: usize) -> (usize, usize) {
    let from = match range.start_bound() {
        Bound::Included(from) => *from,
        Bound::Excluded(before) => before + 1,
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(last) => last + 1,
        Bound::Excluded(to) => *to,
        Bound::Unbounded => len,
    };
    assert!(from <= to && to <= len, "range {from}..{to} of {len} elements");
    (from, to)
}

/// The form of an operation that panics: as std's collections do where there is no memory.
#[cold]
#[inline(never)]
#[track_caller]
fn refused(error: AllocError) -> ! {
    panic!("{error}")
}

/// The value, or the panic of [`refused`].
#[inline(always)]
#[track_caller]
fn or_panic<T>(result: Result<T, AllocError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => refused(error),
    }
}
