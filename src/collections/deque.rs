//! `VecDeque`: elements in a block that is a ring.
//!
//! Each element has a **position**: one more than that of the element before it. Positions are never
//! turned back, so that they come round at 2⁶⁴; where an element lies is its position modulo the capacity,
//! which therefore is a power of two.
//!
//! ```text
//! first = 6, end = 10, capacity = 8       8  9  .  .  .  .  6  7
//! ```
//!
//! So what is put in or taken out at either end changes one number, and moves nothing.

mod iter;
mod lent;
mod ring;

pub use iter::{VecDequeDrain, VecDequeIntoIter, VecDequeIter, VecDequeIterMut};
pub use lent::VecDequeMut;

use super::{TryClone, bounds_of, or_panic, raw};
use crate::heap::error::AllocError;
use crate::segment::Segment;
use crate::shareable::{LayoutHash, Shareable};
use crate::trace::map::{Part, Tracer};
use crate::word::{Tag, Word};
use core::marker::PhantomData;
use core::ops::{Index, IndexMut, RangeBounds};
use core::ptr::{self, NonNull};
use core::{cmp, fmt, hash, mem, slice};
use iter::Gap;
use ring::{Ring, room_for};

/// std's `VecDeque`, in a segment.
///
/// ```
/// # use sharena::{Options, collections::VecDeque};
/// # let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
/// let mut line = VecDeque::new_in(&segment);
/// line.extend(["b", "c"].map(|name| name.as_bytes()[0]));
/// line.push_front(b'a');
/// assert_eq!(line, *b"abc");
/// assert_eq!((line.pop_front(), line.pop_back()), (Some(b'a'), Some(b'c')));
/// ```
#[repr(C)]
pub struct VecDeque<T: Shareable> {
    word: Word,
    /// Position of the first element.
    first: usize,
    /// Position behind the last one.
    end: usize,
    /// Elements that the block has room for: a power of two, or 0 without a block. Of types without
    /// bytes there is no block.
    capacity: usize,
    elements: PhantomData<T>,
}

// SAFETY: a word, which means the same in every process that has the segment open, and three numbers; no
// address. The elements are Shareable. The drop glue is a collection's, and `trace` names the block.
unsafe impl<T: Shareable> Shareable for VecDeque<T> {
    const NAME: u64 = LayoutHash::of_name("VecDeque").parameter::<T>().finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>().parameter::<T>().finish();
    const ANY_BITS: bool = false;
    const HAS_BLOCKS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("VecDeque<")?;
        T::describe(out)?;
        out.write_str(">")
    }
    // SAFETY: the trait's. What the word leads to is looked at by whoever has the segment.
    unsafe fn is_valid(at: *const Self) -> bool {
        // SAFETY: the caller vouches for the aligned bytes; the fields are numbers.
        let (len, capacity) = unsafe { ((*at).len(), (*at).capacity) };
        len <= capacity && (Self::NO_BYTES || capacity == 0 || capacity.is_power_of_two())
    }
    fn trace(map: &mut Tracer) {
        let node = map.node_of::<T>();
        map.part(Part::Ring { node });
    }
}

const IS_EMPTY_TYPE: [usize; 2] = [0, usize::MAX];

impl<T: Shareable> VecDeque<T> {
    /// Whether elements have no bytes, and so need no block.
    const NO_BYTES: bool = size_of::<T>() == 0;

    /// Empty, and of no segment: it grows in the one that the thread has
    /// [entered](Segment::enter) then.
    #[inline]
    pub const fn new() -> Self {
        Self::with_tag(Tag::NONE)
    }

    #[inline]
    const fn with_tag(tag: Tag) -> Self {
        let capacity = IS_EMPTY_TYPE[Self::NO_BYTES as usize];
        VecDeque { word: Word::of_tag(tag), first: 0, end: 0, capacity, elements: PhantomData }
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

    /// Elements that it has room for.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many elements it has.
    #[inline]
    pub fn len(&self) -> usize {
        self.end.wrapping_sub(self.first)
    }

    /// Whether it has none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.end == self.first
    }

    /// Where its elements lie.
    #[inline(always)]
    fn ring(&self) -> Ring<T> {
        let has_block = !Self::NO_BYTES && self.word.offset() != 0;
        let start = if has_block { self.word.address() } else { NonNull::dangling().as_ptr() };
        Ring { start, first: self.first, end: self.end, capacity: self.capacity }
    }

    /// The elements: those up to the end of the block, and the others, at its start.
    #[inline]
    pub fn as_slices(&self) -> (&[T], &[T]) {
        let [(ahead, few), (behind, others)] = self.ring().elements();
        // SAFETY: at each position of the ring an element was written, and the block is ours.
        unsafe { (slice::from_raw_parts(ahead, few), slice::from_raw_parts(behind, others)) }
    }

    /// The elements: those up to the end of the block, and the others, at its start.
    #[inline]
    pub fn as_mut_slices(&mut self) -> (&mut [T], &mut [T]) {
        let [(ahead, few), (behind, others)] = self.ring().elements();
        // SAFETY: as above, and no place is in both; `&mut` exists of private deques only.
        unsafe {
            (slice::from_raw_parts_mut(ahead, few), slice::from_raw_parts_mut(behind, others))
        }
    }

    /// Moves the elements so that all are in the first of the slices, which is this.
    pub fn make_contiguous(&mut self) -> &mut [T] {
        let ring = self.ring();
        let [(ahead, few), (start, others)] = ring.elements();
        if others != 0 {
            // SAFETY: down to right behind the others, within the block.
            unsafe { ptr::copy(ahead, start.add(others), few) };
            (self.first, self.end) = (0, few + others);
            self.as_mut_slices().0.rotate_left(others);
        }
        self.as_mut_slices().0
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
        if more <= self.capacity - self.len() { Ok(()) } else { self.grow(more) }
    }

    /// Moves the elements to the start of a block with room for so many more.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, more: usize) -> Result<(), AllocError> {
        let (capacity, layout) = room_for::<T>(self.len(), more)?;
        let (word, _) = raw::allocate(self.word.tag(), layout)?;
        let len = self.len();
        // SAFETY: a new block with room for more than the elements.
        unsafe { self.ring().copy_to(word.address()) };
        if self.word.offset() != 0 {
            // SAFETY: ours; and it is not used any more, as its word goes.
            unsafe { raw::free(self.word) };
        }
        (self.word, self.first, self.end, self.capacity) = (word, 0, len, capacity);
        Ok(())
    }

    /// Appends an element.
    ///
    /// # Panics
    /// Where [`try_push_back`](Self::try_push_back) is an error; the value is dropped.
    #[inline]
    #[track_caller]
    pub fn push_back(&mut self, value: T) {
        if self.len() == self.capacity {
            or_panic(self.grow(1));
        }
        // SAFETY: there is room.
        unsafe { self.push_back_within(value) };
    }

    /// Appends an element.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was, and the value is dropped. Who must keep it calls
    /// [`try_reserve`](Self::try_reserve) first.
    #[inline]
    pub fn try_push_back(&mut self, value: T) -> Result<(), AllocError> {
        self.try_reserve(1)?;
        // SAFETY: there is room.
        unsafe { self.push_back_within(value) };
        Ok(())
    }

    /// # Safety
    /// There is room for one more.
    #[inline(always)]
    unsafe fn push_back_within(&mut self, value: T) {
        // SAFETY: the caller's promise.
        unsafe { self.ring().at(self.end).write(value) };
        self.end = self.end.wrapping_add(1);
    }

    /// Puts an element before all others.
    ///
    /// # Panics
    /// Where [`try_push_front`](Self::try_push_front) is an error; the value is dropped.
    #[inline]
    #[track_caller]
    pub fn push_front(&mut self, value: T) {
        if self.len() == self.capacity {
            or_panic(self.grow(1));
        }
        // SAFETY: there is room.
        unsafe { self.push_front_within(value) };
    }

    /// Puts an element before all others.
    ///
    /// # Errors
    /// As [`try_push_back`](Self::try_push_back).
    #[inline]
    pub fn try_push_front(&mut self, value: T) -> Result<(), AllocError> {
        self.try_reserve(1)?;
        // SAFETY: there is room.
        unsafe { self.push_front_within(value) };
        Ok(())
    }

    /// # Safety
    /// There is room for one more.
    #[inline(always)]
    unsafe fn push_front_within(&mut self, value: T) {
        self.first = self.first.wrapping_sub(1);
        // SAFETY: the caller's promise.
        unsafe { self.ring().at(self.first).write(value) };
    }

    /// Takes out the last element.
    #[inline]
    pub fn pop_back(&mut self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        self.end = self.end.wrapping_sub(1);
        // SAFETY: it was the last element, and is none any more.
        Some(unsafe { self.ring().at(self.end).read() })
    }

    /// Takes out the first element.
    #[inline]
    pub fn pop_front(&mut self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let position = self.first;
        self.first = position.wrapping_add(1);
        // SAFETY: it was the first element, and is none any more.
        Some(unsafe { self.ring().at(position).read() })
    }

    /// The element at `index`, if there is one.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&T> {
        let at = self.ring().at(self.first.wrapping_add(index));
        // SAFETY: an element, if it is one of so many.
        (index < self.len()).then(|| unsafe { &*at })
    }

    /// The element at `index`, if there is one.
    #[inline]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let at = self.ring().at(self.first.wrapping_add(index));
        // SAFETY: as above; `&mut` exists of private deques only.
        (index < self.len()).then(|| unsafe { &mut *at })
    }

    /// The first element.
    pub fn front(&self) -> Option<&T> {
        self.get(0)
    }

    /// The first element.
    pub fn front_mut(&mut self) -> Option<&mut T> {
        self.get_mut(0)
    }

    /// The last element.
    pub fn back(&self) -> Option<&T> {
        self.get(self.len().checked_sub(1)?)
    }

    /// The last element.
    pub fn back_mut(&mut self) -> Option<&mut T> {
        self.get_mut(self.len().checked_sub(1)?)
    }

    /// Whether an element equals `value`.
    pub fn contains(&self, value: &T) -> bool
    where
        T: PartialEq,
    {
        let (ahead, behind) = self.as_slices();
        ahead.contains(value) || behind.contains(value)
    }

    /// The elements, from front to back.
    #[inline]
    pub fn iter(&self) -> VecDequeIter<'_, T> {
        VecDequeIter::of(self.as_slices())
    }

    /// The elements, from front to back.
    #[inline]
    pub fn iter_mut(&mut self) -> VecDequeIterMut<'_, T> {
        VecDequeIterMut::of(self.as_mut_slices())
    }

    /// Puts an element at `index`; of those on its two sides the fewer move.
    ///
    /// # Panics
    /// If `index > len`, and where [`try_insert`](Self::try_insert) is an error.
    #[track_caller]
    pub fn insert(&mut self, index: usize, value: T) {
        or_panic(self.try_insert(index, value));
    }

    /// Puts an element at `index`; of those on its two sides the fewer move.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was, and the value is dropped.
    ///
    /// # Panics
    /// If `index > len`.
    #[track_caller]
    pub fn try_insert(&mut self, index: usize, value: T) -> Result<(), AllocError> {
        let len = self.len();
        assert!(index <= len, "index {index} of {len} elements");
        self.try_reserve(1)?;
        let (ring, position) = (self.ring(), self.first.wrapping_add(index));
        let position = if index < len - index {
            self.first = self.first.wrapping_sub(1);
            // SAFETY: there is room before the first; each goes where none is any more.
            unsafe { ring.move_down(ring.first, index, 1) };
            position.wrapping_sub(1)
        } else {
            self.end = self.end.wrapping_add(1);
            // SAFETY: there is room behind the last; as above.
            unsafe { ring.move_up(ring.end, len - index, 1) };
            position
        };
        // SAFETY: what was there has moved.
        unsafe { ring.at(position).write(value) };
        Ok(())
    }

    /// Takes out the element at `index`, if there is one; of those on its two sides the fewer move.
    pub fn remove(&mut self, index: usize) -> Option<T> {
        let (ring, position) = (self.ring(), self.first.wrapping_add(index));
        if index >= ring.len() {
            return None;
        }
        // SAFETY: an element, whose place the gap closes over.
        let value = unsafe { ring.at(position).read() };
        drop(Gap::of(self, position, position.wrapping_add(1)));
        Some(value)
    }

    /// Has two elements change places.
    ///
    /// # Panics
    /// If one of them is not there.
    #[track_caller]
    pub fn swap(&mut self, one: usize, other: usize) {
        let len = self.len();
        assert!(one < len && other < len, "indices {one} and {other} of {len} elements");
        let at = |index| self.ring().at(self.first.wrapping_add(index));
        // SAFETY: two elements, or one.
        unsafe { ptr::swap(at(one), at(other)) };
    }

    /// Drops the elements from number `len` on.
    pub fn truncate(&mut self, len: usize) {
        let ring = self.ring();
        let Some(count) = ring.len().checked_sub(len) else { return };
        self.end = self.first.wrapping_add(len);
        // SAFETY: they were elements, and are none any more.
        unsafe { ring.drop_from(self.end, count) };
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
        let mut kept = 0;
        // All of them are elements all the time, so that `keep` may unwind.
        for index in 0..self.len() {
            if keep(&mut self[index]) {
                self.swap(kept, index);
                kept += 1;
            }
        }
        self.truncate(kept);
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
        self.try_reserve(other.len())?;
        for (from, count) in other.ring().elements() {
            // SAFETY: there is room; `other` has them no more.
            unsafe { self.ring().lay(self.end, from, count) };
            self.end = self.end.wrapping_add(count);
        }
        other.end = other.first;
        Ok(())
    }

    /// Appends what `values` yields: all of it, or, where there is no memory, nothing.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    pub fn try_extend(&mut self, values: impl IntoIterator<Item = T>) -> Result<(), AllocError> {
        let before = self.len();
        for value in values {
            if let Err(error) = self.try_push_back(value) {
                self.truncate(before);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes out the elements of a range, which are dropped if they are not used.
    ///
    /// Those behind it stand in the deque again when the result is dropped; if it is forgotten, they
    /// are leaked, until the process ends.
    ///
    /// # Panics
    /// If the range does not lie within the elements.
    #[track_caller]
    pub fn drain(&mut self, range: impl RangeBounds<usize>) -> VecDequeDrain<'_, T> {
        let (from, to) = bounds_of(range, self.len());
        let (from, to) = (self.first.wrapping_add(from), self.first.wrapping_add(to));
        VecDequeDrain::of(Gap::of(self, from, to))
    }

    /// The first `count` elements come to stand behind the others, in their order.
    ///
    /// # Panics
    /// If there are fewer.
    #[track_caller]
    pub fn rotate_left(&mut self, count: usize) {
        let len = self.len();
        assert!(count <= len, "{count} of {len} elements");
        self.rotate(count, len - count);
    }

    /// The last `count` elements come to stand before the others, in their order.
    ///
    /// # Panics
    /// If there are fewer.
    #[track_caller]
    pub fn rotate_right(&mut self, count: usize) {
        let len = self.len();
        assert!(count <= len, "{count} of {len} elements");
        self.rotate(len - count, count);
    }

    /// Has the first `ahead` elements, and the `behind` others, change sides.
    fn rotate(&mut self, ahead: usize, behind: usize) {
        for _ in 0..ahead.min(behind) {
            // SAFETY: there is room, as one was taken out before.
            unsafe {
                if ahead < behind {
                    self.pop_front().into_iter().for_each(|value| self.push_back_within(value));
                } else {
                    self.pop_back().into_iter().for_each(|value| self.push_front_within(value));
                }
            }
        }
    }
}

impl<T: Shareable> Drop for VecDeque<T> {
    /// Writes nothing: where the deque is an element itself, its bytes are in a block, and of a child
    /// made by fork that block is its parent's.
    #[inline]
    fn drop(&mut self) {
        if mem::needs_drop::<T>() {
            // SAFETY: the elements, dropped once.
            unsafe { self.ring().drop_from(self.first, self.len()) };
        }
        if self.word.offset() != 0 {
            // SAFETY: ours, and not used any more.
            unsafe { raw::free(self.word) };
        }
    }
}

impl<T: Shareable> Index<usize> for VecDeque<T> {
    type Output = T;
    #[inline]
    #[track_caller]
    fn index(&self, index: usize) -> &T {
        match self.get(index) {
            Some(element) => element,
            None => panic!("index {index} of {} elements", self.len()),
        }
    }
}

impl<T: Shareable> IndexMut<usize> for VecDeque<T> {
    #[inline]
    #[track_caller]
    fn index_mut(&mut self, index: usize) -> &mut T {
        let len = self.len();
        match self.get_mut(index) {
            Some(element) => element,
            None => panic!("index {index} of {len} elements"),
        }
    }
}

impl<T: Shareable> Default for VecDeque<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Shareable + fmt::Debug> fmt::Debug for VecDeque<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<T: Shareable + TryClone> TryClone for VecDeque<T> {
    fn try_clone(&self) -> Result<Self, AllocError> {
        let mut copy = Self::with_tag(self.word.tag());
        copy.try_reserve(self.len())?;
        for element in self {
            let element = element.try_clone()?;
            // SAFETY: there is room for all of them.
            unsafe { copy.push_back_within(element) };
        }
        Ok(copy)
    }
}

impl<T: Shareable + TryClone> Clone for VecDeque<T> {
    /// # Panics
    /// Where there is no memory.
    #[track_caller]
    fn clone(&self) -> Self {
        or_panic(self.try_clone())
    }
}

impl<T: Shareable> Extend<T> for VecDeque<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
        let values = values.into_iter();
        self.reserve(values.size_hint().0);
        values.for_each(|value| self.push_back(value));
    }
}

impl<'a, T: Shareable + Copy> Extend<&'a T> for VecDeque<T> {
    fn extend<I: IntoIterator<Item = &'a T>>(&mut self, values: I) {
        self.extend(values.into_iter().copied());
    }
}

impl<T: Shareable> FromIterator<T> for VecDeque<T> {
    /// In the segment that the thread has [entered](Segment::enter).
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut made = Self::new();
        made.extend(values);
        made
    }
}

macro_rules! compared {
    ($([$($parameter:tt)*] $with:ty;)+) => {$(
        impl<T: Shareable + PartialEq<U>, U, $($parameter)*> PartialEq<$with> for VecDeque<T> {
            fn eq(&self, other: &$with) -> bool {
                self.len() == other.len() && self.iter().zip(other.iter()).all(|(a, b)| a == b)
            }
        }
    )+};
}

compared! {
    [] [U]; [] &[U]; [const N: usize] [U; N]; [] std::vec::Vec<U>; [] std::collections::VecDeque<U>;
}

impl<T: Shareable + PartialEq> PartialEq for VecDeque<T> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other)
    }
}

impl<T: Shareable + Eq> Eq for VecDeque<T> {}

impl<T: Shareable + PartialOrd> PartialOrd for VecDeque<T> {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        self.iter().partial_cmp(other)
    }
}

impl<T: Shareable + Ord> Ord for VecDeque<T> {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        self.iter().cmp(other)
    }
}

impl<T: Shareable + hash::Hash> hash::Hash for VecDeque<T> {
    /// Whatever slices the elements lie in.
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        state.write_usize(self.len());
        self.iter().for_each(|element| element.hash(state));
    }
}
