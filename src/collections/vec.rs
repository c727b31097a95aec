//! `Vec`: elements one behind the other in a block.

pub(super) mod lent;

pub use lent::VecMut;

use super::{TryClone, bounds_of, or_panic, raw};
use crate::heap::error::AllocError;
use crate::segment::Segment;
use crate::shareable::{LayoutHash, Shareable};
use crate::trace::map::{Part, Tracer};
use crate::word::{Tag, Word};
use core::alloc::Layout;
use core::marker::PhantomData;
use core::mem;
use core::ops::{Deref, DerefMut, RangeBounds};
use core::ptr::{self, NonNull};
use core::{cmp, fmt, hash, slice};

/// std's `Vec`, in a segment.
///
/// ```
/// # use sharena::{Options, collections::Vec};
/// # let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
/// let mut squares = Vec::new_in(&segment);
/// squares.extend((0..10).map(|i| i * i));
/// squares.retain(|square| square % 2 == 0);
/// assert_eq!(squares, [0, 4, 16, 36, 64]);
/// assert_eq!(squares.pop(), Some(64));
/// ```
#[repr(C)]
pub struct Vec<T: Shareable> {
    word: Word,
    len: usize,
    /// Elements that the block has room for; of types without bytes there is no block.
    capacity: usize,
    elements: PhantomData<T>,
}

// SAFETY: a word, which means the same in every process that has the segment open, and two numbers; no
// address. The elements are Shareable. The drop glue is a collection's, and `trace` names the block.
unsafe impl<T: Shareable> Shareable for Vec<T> {
    const NAME: u64 = LayoutHash::of_name("Vec").parameter::<T>().finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>().parameter::<T>().finish();
    const ANY_BITS: bool = false;
    const HAS_BLOCKS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("Vec<")?;
        T::describe(out)?;
        out.write_str(">")
    }
    // SAFETY: the trait's. What the word leads to is looked at by whoever has the segment.
    unsafe fn is_valid(at: *const Self) -> bool {
        // SAFETY: the caller vouches for the aligned bytes; the fields are numbers.
        unsafe { (*at).len <= (*at).capacity }
    }
    fn trace(map: &mut Tracer) {
        let node = map.node_of::<T>();
        map.part(Part::Buffer { node, text: false });
    }
}

const IS_EMPTY_TYPE: [usize; 2] = [0, usize::MAX];

impl<T: Shareable> Vec<T> {
    /// Whether elements have no bytes, and so need no block.
    const NO_BYTES: bool = size_of::<T>() == 0;

    /// Empty, and of no segment: it grows in the one that the thread has
    /// [entered](Segment::enter) then.
    #[inline]
    pub const fn new() -> Self {
        Self::with_tag(Tag::NONE)
    }

    #[inline]
    pub(super) const fn with_tag(tag: Tag) -> Self {
        let capacity = IS_EMPTY_TYPE[Self::NO_BYTES as usize];
        Vec { word: Word::of_tag(tag), len: 0, capacity, elements: PhantomData }
    }

    /// Empty, of a segment.
    ///
    /// # Panics
    /// Where [`try_new_in`](Self::try_new_in) is an error.
    #[track_caller]
    pub fn new_in(segment: &Segment) -> Self {
        or_panic(Self::try_new_in(segment))
    }

    /// Empty, of a segment.
    ///
    /// # Errors
    /// [`AllocError::TagTaken`]; [`AllocError::Corrupt`] as for [`find`](Segment::find).
    pub fn try_new_in(segment: &Segment) -> Result<Self, AllocError> {
        segment.tag().map(Self::with_tag)
    }

    /// Empty, with room for so many elements.
    ///
    /// # Panics
    /// Where [`try_with_capacity_in`](Self::try_with_capacity_in) is an error.
    #[track_caller]
    pub fn with_capacity_in(capacity: usize, segment: &Segment) -> Self {
        or_panic(Self::try_with_capacity_in(capacity, segment))
    }

    /// Empty, with room for so many elements.
    ///
    /// # Errors
    /// [`AllocError`].
    pub fn try_with_capacity_in(capacity: usize, segment: &Segment) -> Result<Self, AllocError> {
        let mut made = Self::try_new_in(segment)?;
        made.try_reserve(capacity)?;
        Ok(made)
    }

    /// Of its segment.
    pub(super) fn tag(&self) -> Tag {
        self.word.tag()
    }

    /// What leads to its block, if there is one.
    pub(super) fn block(&self) -> Option<Word> {
        Some(self.word).filter(|word| word.offset() != 0)
    }

    /// Where element `index` is.
    #[inline(always)]
    pub(super) fn at(&self, index: usize) -> *mut T {
        self.start().wrapping_add(index)
    }

    /// Has the elements of `other`, byte by byte, which are those of both then.
    ///
    /// # Safety
    /// There is room for them, and none here. They are dropped or changed as those of one alone.
    pub(super) unsafe fn mirror(&mut self, other: &Self) {
        // SAFETY: the caller's promise.
        unsafe { self.start().copy_from_nonoverlapping(other.start(), other.len) };
        self.len = other.len;
    }

    /// Elements that it has room for.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many elements it has.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the first element is, or would be.
    #[inline(always)]
    fn start(&self) -> *mut T {
        if Self::NO_BYTES || self.word.offset() == 0 {
            return NonNull::dangling().as_ptr();
        }
        self.word.address()
    }

    /// The elements.
    #[inline]
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: `len` elements were written there, and the block is ours.
        unsafe { slice::from_raw_parts(self.start(), self.len) }
    }

    /// The elements.
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as above; `&mut` exists of private vectors only.
        unsafe { slice::from_raw_parts_mut(self.start(), self.len) }
    }

    /// Has room for at least so many more elements.
    ///
    /// # Panics
    /// Where [`try_reserve`](Self::try_reserve) is an error.
    #[track_caller]
    pub fn reserve(&mut self, more: usize) {
        or_panic(self.try_reserve(more));
    }

    /// Has room for at least so many more elements.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    #[inline]
    pub fn try_reserve(&mut self, more: usize) -> Result<(), AllocError> {
        if more <= self.capacity - self.len { Ok(()) } else { self.grow(more) }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, more: usize) -> Result<(), AllocError> {
        let too_large = AllocError::TooLarge { asked: usize::MAX, capacity: 0 };
        let least = self.len.checked_add(more).ok_or(too_large)?;
        // Doubling, as std does, so that pushing costs the same however many there are.
        let first = (64 / size_of::<T>().max(1)).max(1);
        let wanted = least.max(self.capacity.saturating_mul(2)).max(first);
        // What is asked for as it is, say by who collects so many, will perhaps never grow.
        let is_growing = wanted > least;
        let allocate = if is_growing { raw::allocate_to_grow } else { raw::allocate };
        self.resize_block(wanted, allocate).or_else(|error| {
            // A nearly full segment may have room for what must be.
            if least > self.capacity { self.resize_block(least, raw::allocate) } else { Err(error) }
        })
    }

    /// Moves the elements into a block for `capacity`, which is enough for them and not 0.
    fn resize_block(
        &mut self,
        capacity: usize,
        allocate: fn(Tag, Layout) -> Result<(Word, usize), AllocError>,
    ) -> Result<(), AllocError> {
        let layout = Layout::array::<T>(capacity)
            .map_err(|_| AllocError::TooLarge { asked: usize::MAX, capacity: 0 })?;
        if self.word.offset() != 0 && capacity > self.capacity {
            // SAFETY: the block is ours alone.
            if let Some(bytes) = unsafe { raw::grow_in_place(self.word, layout.size()) } {
                self.capacity = bytes / size_of::<T>();
                return Ok(());
            }
        }
        let (word, bytes) = allocate(self.word.tag(), layout)?;
        // SAFETY: `len` elements, into a new block with room for `capacity`.
        unsafe { word.address::<T>().copy_from_nonoverlapping(self.start(), self.len) };
        self.free_block();
        self.word = word;
        self.capacity = bytes / size_of::<T>();
        Ok(())
    }

    /// Gives the block back, whatever is in it.
    fn free_block(&mut self) {
        if self.word.offset() != 0 {
            // SAFETY: ours; and it is not used any more, as its word goes.
            unsafe { raw::free(self.word) };
            self.word = Word::of_tag(self.word.tag());
        }
    }

    /// Gives back room that no element needs, as far as blocks come in that size.
    ///
    /// Does nothing where there is no memory for the smaller block.
    pub fn shrink_to_fit(&mut self) {
        if Self::NO_BYTES || self.capacity == self.len {
            return;
        }
        if self.len == 0 {
            self.free_block();
            self.capacity = 0;
        } else {
            let _ = self.resize_block(self.len, raw::allocate);
        }
    }

    /// Appends an element.
    ///
    /// # Panics
    /// Where [`try_push`](Self::try_push) is an error; the value is dropped.
    #[inline]
    #[track_caller]
    pub fn push(&mut self, value: T) {
        // Read once: else each push waits for the store of the one before.
        let len = self.len;
        if len == self.capacity {
            or_panic(self.grow(1));
        }
        // SAFETY: there is room.
        unsafe { self.push_at(len, value) };
    }

    /// Appends an element.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was, and the value is dropped. Who must keep it calls
    /// [`try_reserve`](Self::try_reserve) first.
    #[inline]
    pub fn try_push(&mut self, value: T) -> Result<(), AllocError> {
        self.try_reserve(1)?;
        // SAFETY: there is room.
        unsafe { self.push_at(self.len, value) };
        Ok(())
    }

    /// # Safety
    /// There is room for one more; `len` is the length.
    #[inline(always)]
    unsafe fn push_at(&mut self, len: usize, value: T) {
        // Room for what has bytes is in a block: `start` need not ask whether there is one.
        let start = if Self::NO_BYTES { self.start() } else { self.word.address() };
        // SAFETY: the caller's promise.
        unsafe { start.add(len).write(value) };
        self.len = len + 1;
    }

    /// Takes out the last element.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: it was the last element, and is none any more.
        Some(unsafe { self.start().add(self.len).read() })
    }

    /// Puts an element at `index`; those from there on move up.
    ///
    /// # Panics
    /// If `index > len`, and where [`try_insert`](Self::try_insert) is an error.
    #[track_caller]
    pub fn insert(&mut self, index: usize, value: T) {
        or_panic(self.try_insert(index, value));
    }

    /// Puts an element at `index`; those from there on move up.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was, and the value is dropped.
    ///
    /// # Panics
    /// If `index > len`.
    #[track_caller]
    pub fn try_insert(&mut self, index: usize, value: T) -> Result<(), AllocError> {
        assert!(index <= self.len, "index {index} of {} elements", self.len);
        self.try_reserve(1)?;
        // SAFETY: within the elements and the room behind them.
        unsafe {
            let at = self.start().add(index);
            ptr::copy(at, at.add(1), self.len - index);
            at.write(value);
        }
        self.len += 1;
        Ok(())
    }

    /// Takes out the element at `index`; those behind it move down.
    ///
    /// # Panics
    /// If `index >= len`.
    #[track_caller]
    pub fn remove(&mut self, index: usize) -> T {
        assert!(index < self.len, "index {index} of {} elements", self.len);
        self.len -= 1;
        // SAFETY: within the elements; the one that is read is overwritten or behind the end.
        unsafe {
            let at = self.start().add(index);
            let value = at.read();
            ptr::copy(at.add(1), at, self.len - index);
            value
        }
    }

    /// Takes out the element at `index`; the last one takes its place.
    ///
    /// # Panics
    /// If `index >= len`.
    #[track_caller]
    pub fn swap_remove(&mut self, index: usize) -> T {
        assert!(index < self.len, "index {index} of {} elements", self.len);
        let last = self.len - 1;
        self.as_mut_slice().swap(index, last);
        self.pop().expect("there is one")
    }

    /// Drops the elements from number `len` on.
    pub fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        let behind = ptr::slice_from_raw_parts_mut(self.start().wrapping_add(len), self.len - len);
        self.len = len;
        // SAFETY: they were elements, and are none any more.
        unsafe { ptr::drop_in_place(behind) };
    }

    /// Drops all elements.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Keeps the elements of which `keep` says so, in their order.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.retain_mut(|element| keep(element));
    }

    /// The same, where `keep` may change them.
    pub fn retain_mut(&mut self, mut keep: impl FnMut(&mut T) -> bool) {
        // While user code runs those that are kept are the elements, whatever it does.
        let mut rest = Tail { whole: mem::replace(&mut self.len, 0), next: 0, of: self };
        while rest.next < rest.whole {
            // SAFETY: element `next` has not been moved or dropped yet.
            let element = unsafe { &mut *rest.of.start().add(rest.next) };
            let is_kept = keep(element);
            rest.next += 1;
            // SAFETY: moved down into a place that holds none, or dropped, once.
            unsafe {
                if is_kept {
                    let to = rest.of.start().add(rest.of.len);
                    ptr::copy(element, to, 1);
                    rest.of.len += 1;
                } else {
                    ptr::drop_in_place(element);
                }
            }
        }
    }

    /// Drops all but the first of neighbours that are equal.
    pub fn dedup(&mut self)
    where
        T: PartialEq,
    {
        let mut before: *const T = ptr::null();
        self.retain_mut(|element| {
            // SAFETY: null, or the last that was kept, which moves only down to `to`, below: it lies
            // where it was when it was kept, or was moved there right after.
            let is_same = !before.is_null() && unsafe { &*before } == element;
            if !is_same {
                before = match before.is_null() {
                    true => element,
                    // It is moved behind the one before.
                    false => before.wrapping_add(1),
                };
            }
            !is_same
        });
    }

    /// Moves all elements of `other` behind these.
    ///
    /// # Panics
    /// Where [`try_append`](Self::try_append) is an error.
    #[track_caller]
    pub fn append(&mut self, other: &mut Self) {
        or_panic(self.try_append(other));
    }

    /// Moves all elements of `other` behind these.
    ///
    /// # Errors
    /// [`AllocError`]; both are as they were.
    pub fn try_append(&mut self, other: &mut Self) -> Result<(), AllocError> {
        self.try_reserve(other.len)?;
        // SAFETY: there is room; `other` has them no more.
        unsafe {
            self.start().add(self.len).copy_from_nonoverlapping(other.start(), other.len);
        }
        self.len += mem::take(&mut other.len);
        Ok(())
    }

    /// Takes out the elements from `at` on.
    ///
    /// # Panics
    /// If `at > len`, and where [`try_split_off`](Self::try_split_off) is an error.
    #[track_caller]
    pub fn split_off(&mut self, at: usize) -> Self {
        or_panic(self.try_split_off(at))
    }

    /// Takes out the elements from `at` on.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    ///
    /// # Panics
    /// If `at > len`.
    #[track_caller]
    pub fn try_split_off(&mut self, at: usize) -> Result<Self, AllocError> {
        assert!(at <= self.len, "index {at} of {} elements", self.len);
        let mut behind = Self::with_tag(self.word.tag());
        behind.try_reserve(self.len - at)?;
        // SAFETY: there is room; we have them no more.
        unsafe {
            behind.start().copy_from_nonoverlapping(self.start().add(at), self.len - at);
        }
        behind.len = self.len - at;
        self.len = at;
        Ok(behind)
    }

    /// Takes out the elements of a range, which are dropped if they are not used.
    ///
    /// Those behind it stand in the vector again when the result is dropped; if it is forgotten, they
    /// are leaked, until the process ends.
    ///
    /// # Panics
    /// If the range does not lie within the elements.
    #[track_caller]
    pub fn drain(&mut self, range: impl RangeBounds<usize>) -> Drain<'_, T> {
        let (from, to) = bounds_of(range, self.len);
        let whole = mem::replace(&mut self.len, from);
        Drain { next: from, end: to, tail: Tail { whole, next: to, of: self } }
    }

    /// Has `len` elements, those that are new from `value`.
    ///
    /// # Panics
    /// Where there is no memory.
    #[track_caller]
    pub fn resize_with(&mut self, len: usize, mut value: impl FnMut() -> T) {
        self.truncate(len);
        self.reserve(len - self.len);
        while self.len < len {
            self.push(value());
        }
    }

    /// Appends what `values` yields: all of it, or, where there is no memory, nothing.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    pub fn try_extend(&mut self, values: impl IntoIterator<Item = T>) -> Result<(), AllocError> {
        let before = self.len;
        for value in values {
            if let Err(error) = self.try_push(value) {
                self.truncate(before);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Appends copies of `values`.
    ///
    /// # Panics
    /// Where [`try_extend_from_slice`](Self::try_extend_from_slice) is an error.
    #[track_caller]
    pub fn extend_from_slice(&mut self, values: &[T])
    where
        T: TryClone,
    {
        or_panic(self.try_extend_from_slice(values));
    }

    /// Appends copies of `values`.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    pub fn try_extend_from_slice(&mut self, values: &[T]) -> Result<(), AllocError>
    where
        T: TryClone,
    {
        self.try_reserve(values.len())?;
        let before = self.len;
        for value in values {
            match value.try_clone() {
                // SAFETY: there is room for all of them.
                Ok(value) => unsafe { self.push_at(self.len, value) },
                Err(error) => {
                    self.truncate(before);
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// The elements of a vector from number `next` to `whole`, which it does not count while others are
/// taken out; dropped, they close up.
struct Tail<'a, T: Shareable> {
    of: &'a mut Vec<T>,
    next: usize,
    whole: usize,
}

impl<T: Shareable> Drop for Tail<'_, T> {
    fn drop(&mut self) {
        let left = self.whole - self.next;
        // SAFETY: moved down, from behind what was taken out to behind what is there.
        unsafe {
            let start = self.of.start();
            ptr::copy(start.add(self.next), start.add(self.of.len), left);
        }
        self.of.len += left;
    }
}

/// What [`Vec::drain`] takes out.
pub struct Drain<'a, T: Shareable> {
    next: usize,
    end: usize,
    tail: Tail<'a, T>,
}

impl<T: Shareable> Iterator for Drain<'_, T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        if self.next == self.end {
            return None;
        }
        self.next += 1;
        // SAFETY: one of the range, not taken yet.
        Some(unsafe { self.tail.of.start().add(self.next - 1).read() })
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.end - self.next, Some(self.end - self.next))
    }
}

impl<T: Shareable> DoubleEndedIterator for Drain<'_, T> {
    fn next_back(&mut self) -> Option<T> {
        if self.next == self.end {
            return None;
        }
        self.end -= 1;
        // SAFETY: as above.
        Some(unsafe { self.tail.of.start().add(self.end).read() })
    }
}

impl<T: Shareable> ExactSizeIterator for Drain<'_, T> {}

impl<T: Shareable> Drop for Drain<'_, T> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

impl<T: Shareable> Drop for Vec<T> {
    /// Writes nothing: where the vector is an element itself, its bytes are in a block, and of a child
    /// made by fork that block is its parent's.
    #[inline]
    fn drop(&mut self) {
        if mem::needs_drop::<T>() {
            // SAFETY: the elements, dropped once.
            unsafe { ptr::drop_in_place(ptr::slice_from_raw_parts_mut(self.start(), self.len)) };
        }
        if self.word.offset() != 0 {
            // SAFETY: ours, and not used any more.
            unsafe { raw::free(self.word) };
        }
    }
}

impl<T: Shareable> Deref for Vec<T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        self.as_slice()
    }
}

impl<T: Shareable> DerefMut for Vec<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        self.as_mut_slice()
    }
}

impl<T: Shareable> Default for Vec<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Shareable + fmt::Debug> fmt::Debug for Vec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

impl<T: Shareable + TryClone> TryClone for Vec<T> {
    fn try_clone(&self) -> Result<Self, AllocError> {
        let mut copy = Self::with_tag(self.word.tag());
        copy.try_extend_from_slice(self)?;
        Ok(copy)
    }
}

impl<T: Shareable + TryClone> Clone for Vec<T> {
    /// # Panics
    /// Where there is no memory.
    #[track_caller]
    fn clone(&self) -> Self {
        or_panic(self.try_clone())
    }
}

impl<T: Shareable> Extend<T> for Vec<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
        let values = values.into_iter();
        self.reserve(values.size_hint().0);
        values.for_each(|value| self.push(value));
    }
}

impl<'a, T: Shareable + Copy> Extend<&'a T> for Vec<T> {
    fn extend<I: IntoIterator<Item = &'a T>>(&mut self, values: I) {
        self.extend(values.into_iter().copied());
    }
}

impl<T: Shareable> FromIterator<T> for Vec<T> {
    /// In the segment that the thread has [entered](Segment::enter).
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut made = Self::new();
        made.extend(values);
        made
    }
}

/// The elements of a vector, by value.
pub struct IntoIter<T: Shareable> {
    /// Counts none: those from `next` to `end` are its elements.
    of: Vec<T>,
    next: usize,
    end: usize,
}

impl<T: Shareable> Iterator for IntoIter<T> {
    type Item = T;
    #[inline]
    fn next(&mut self) -> Option<T> {
        if self.next == self.end {
            return None;
        }
        self.next += 1;
        // SAFETY: an element that has not been taken yet.
        Some(unsafe { self.of.start().add(self.next - 1).read() })
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.end - self.next, Some(self.end - self.next))
    }
}

impl<T: Shareable> DoubleEndedIterator for IntoIter<T> {
    fn next_back(&mut self) -> Option<T> {
        if self.next == self.end {
            return None;
        }
        self.end -= 1;
        // SAFETY: as above.
        Some(unsafe { self.of.start().add(self.end).read() })
    }
}

impl<T: Shareable> ExactSizeIterator for IntoIter<T> {}

impl<T: Shareable> Drop for IntoIter<T> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

impl<T: Shareable> IntoIterator for Vec<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;
    fn into_iter(mut self) -> IntoIter<T> {
        let end = mem::replace(&mut self.len, 0);
        IntoIter { of: self, next: 0, end }
    }
}

impl<'a, T: Shareable> IntoIterator for &'a Vec<T> {
    type Item = &'a T;
    type IntoIter = slice::Iter<'a, T>;
    fn into_iter(self) -> slice::Iter<'a, T> {
        self.iter()
    }
}

impl<'a, T: Shareable> IntoIterator for &'a mut Vec<T> {
    type Item = &'a mut T;
    type IntoIter = slice::IterMut<'a, T>;
    fn into_iter(self) -> slice::IterMut<'a, T> {
        self.iter_mut()
    }
}

macro_rules! compared {
    ($([$($parameter:tt)*] $with:ty;)+) => {$(
        impl<T: Shareable + PartialEq<U>, U, $($parameter)*> PartialEq<$with> for Vec<T> {
            fn eq(&self, other: &$with) -> bool {
                self.as_slice() == &other[..]
            }
        }
    )+};
}

compared! { [] [U]; [] &[U]; [const N: usize] [U; N]; [] std::vec::Vec<U>; }

impl<T: Shareable + PartialEq> PartialEq for Vec<T> {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<T: Shareable + Eq> Eq for Vec<T> {}

impl<T: Shareable + PartialOrd> PartialOrd for Vec<T> {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        self.as_slice().partial_cmp(other.as_slice())
    }
}

impl<T: Shareable + Ord> Ord for Vec<T> {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl<T: Shareable + hash::Hash> hash::Hash for Vec<T> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl<T: Shareable> AsRef<[T]> for Vec<T> {
    fn as_ref(&self) -> &[T] {
        self
    }
}
