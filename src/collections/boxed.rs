//! `Box`: one value in a block.

use super::as_value::as_its_value;
use super::{TryClone, or_panic, raw};
use crate::heap::error::AllocError;
use crate::segment::Segment;
use crate::shareable::{LayoutHash, Shareable};
use crate::trace::map::{Part, Tracer};
use crate::word::{Tag, Word};
use core::alloc::Layout;
use core::marker::PhantomData;
use core::mem;
use core::num::NonZeroU64;
use core::ops::{Deref, DerefMut};
use core::{fmt, ptr};

/// std's `Box`, in a segment. `Option<Box<T>>` has the same eight bytes.
///
/// ```
/// # use sharena::{Options, Shareable, collections::Box};
/// # let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
/// #[derive(Shareable)]
/// struct Node {
///     value: u32,
///     next: Option<Box<Node>>,
/// }
///
/// let last = Box::new_in(Node { value: 2, next: None }, &segment);
/// let first = Box::new_in(Node { value: 1, next: Some(last) }, &segment);
/// assert_eq!(first.next.as_ref().unwrap().value, 2);
/// ```
#[repr(transparent)]
pub struct Box<T: Shareable> {
    /// Of a block: not null.
    bits: NonZeroU64,
    value: PhantomData<T>,
}

// SAFETY: a word, which means the same in every process that has the segment open. The value is
// Shareable. The drop glue is a collection's, and `trace` names the block.
unsafe impl<T: Shareable> Shareable for Box<T> {
    const NAME: u64 = LayoutHash::of_name("Box").parameter::<T>().finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>().parameter::<T>().finish();
    const ANY_BITS: bool = false;
    const HAS_BLOCKS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("Box<")?;
        T::describe(out)?;
        out.write_str(">")
    }
    // SAFETY: the trait's. What the word leads to is looked at by whoever has the segment.
    unsafe fn is_valid(at: *const Self) -> bool {
        // SAFETY: the caller vouches for the aligned bytes; a `u64` may be any.
        unsafe { at.cast::<u64>().read() != 0 }
    }
    fn trace(map: &mut Tracer) {
        let node = map.node_of::<T>();
        map.part(Part::Box { node, null: false });
    }
}

// SAFETY: as above; the language promises for a transparent wrapper of `NonZeroU64` that the option
// has its layout, with `None` as zero.
unsafe impl<T: Shareable> Shareable for Option<Box<T>> {
    const NAME: u64 = LayoutHash::of_name("Option").parameter::<Box<T>>().finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>().parameter::<T>().finish();
    const ANY_BITS: bool = false;
    const HAS_BLOCKS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("Option<")?;
        Box::<T>::describe(out)?;
        out.write_str(">")
    }
    // SAFETY: relies on nothing that the trait has the caller promise.
    unsafe fn is_valid(_: *const Self) -> bool {
        true
    }
    fn trace(map: &mut Tracer) {
        let node = map.node_of::<T>();
        map.part(Part::Box { node, null: true });
    }
}

impl<T: Shareable> Box<T> {
    /// `value`, in a block of a segment.
    ///
    /// # Panics
    /// Where [`try_new_in`](Self::try_new_in) is an error.
    #[track_caller]
    pub fn new_in(value: T, segment: &Segment) -> Self {
        or_panic(Self::try_new_in(value, segment))
    }

    /// `value`, in a block of a segment.
    ///
    /// # Errors
    /// [`AllocError`]; the value is dropped.
    pub fn try_new_in(value: T, segment: &Segment) -> Result<Self, AllocError> {
        Self::try_with_tag(value, segment.tag()?)
    }

    /// `value`, in a block of the segment that the thread has [entered](Segment::enter).
    ///
    /// # Panics
    /// Where [`try_new`](Self::try_new) is an error.
    #[track_caller]
    pub fn new(value: T) -> Self {
        or_panic(Self::try_new(value))
    }

    /// `value`, in a block of the segment that the thread has [entered](Segment::enter).
    ///
    /// # Errors
    /// [`AllocError`]; the value is dropped.
    pub fn try_new(value: T) -> Result<Self, AllocError> {
        Self::try_with_tag(value, Tag::NONE)
    }

    fn try_with_tag(value: T, tag: Tag) -> Result<Self, AllocError> {
        // A value without bytes has a block all the same: the word must not be null.
        let bytes = size_of::<T>().max(1);
        let layout = Layout::from_size_align(bytes, align_of::<T>())
            .map_err(|_| AllocError::TooLarge { asked: bytes, capacity: 0 })?;
        let (word, _) = raw::allocate(tag, layout)?;
        // SAFETY: a new block for a `T`, ours alone.
        unsafe { word.address::<T>().write(value) };
        let bits = NonZeroU64::new(word.bits()).expect("the header stands at 0");
        Ok(Box { bits, value: PhantomData })
    }

    fn word(&self) -> Word {
        Word::from_bits(self.bits.get())
    }

    /// The value; its block is free.
    pub fn into_inner(self) -> T {
        let word = self.word();
        mem::forget(self);
        // SAFETY: read once, and the block is not used after.
        unsafe {
            let value = word.address::<T>().read();
            raw::free(word);
            value
        }
    }
}

impl<T: Shareable> Deref for Box<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: a `T` was written there, and the block is ours.
        unsafe { &*self.word().address() }
    }
}

impl<T: Shareable> DerefMut for Box<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above; `&mut` exists of private boxes only.
        unsafe { &mut *self.word().address() }
    }
}

impl<T: Shareable> Drop for Box<T> {
    fn drop(&mut self) {
        // SAFETY: dropped once, and the block is not used after.
        unsafe {
            ptr::drop_in_place(self.word().address::<T>());
            raw::free(self.word());
        }
    }
}

impl<T: Shareable + TryClone> TryClone for Box<T> {
    fn try_clone(&self) -> Result<Self, AllocError> {
        Self::try_with_tag((**self).try_clone()?, self.word().tag())
    }
}

impl<T: Shareable + TryClone> Clone for Box<T> {
    /// # Panics
    /// Where there is no memory.
    #[track_caller]
    fn clone(&self) -> Self {
        or_panic(self.try_clone())
    }
}

as_its_value!(Box);
