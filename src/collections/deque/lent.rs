//! Changing a deque that a lock guards.

use super::VecDeque;
use super::ring::{Ring, room_for};
use crate::collections::{TryClone, or_panic, raw};
use crate::heap::error::AllocError;
use crate::lock::lent::{Change, Lend, Mut, store, taken};
use crate::shareable::Shareable;
use crate::word::Word;
use core::mem::{self, ManuallyDrop, offset_of};
use core::ptr::{self, NonNull};

/// What changes a [`VecDeque`] that a guard or a place lends; std's names.
///
/// ```
/// use sharena::{Options, collections::{VecDeque, VecDequeMut}, lock::Mutex};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Options::new().capacity(1 << 20).create_anonymous()?;
/// let (line, _) = segment.find_or_construct("line", || Mutex::new(VecDeque::new_in(&segment)))?;
/// let mut line = line.lock().unwrap();
/// line.extend([1, 2]);
/// line.push_front(0);
/// assert_eq!(line.pop_front(), Some(0));
/// assert_eq!(*line, [1, 2]);
/// # Ok(())
/// # }
/// ```
///
/// **Each call is all or nothing**: whoever dies in the middle leaves the deque as it was, or as it should
/// be, and no block is lost. Calls of user code come before. What takes an element out gives a copy of it,
/// if it has blocks: the original's are of others, too.
///
/// Lock-free once the lock is held. An element without blocks is put in and taken out at either end by one
/// store; all else costs a few hundred nanoseconds, and what moves elements takes time and memory in
/// proportion to those that move: at most half of them, or, to a larger block, all.
pub trait VecDequeMut<T: Shareable>: Lend<Value = VecDeque<T>> {
    /// Appends an element.
    ///
    /// # Panics
    /// Where [`try_push_back`](Self::try_push_back) is an error.
    #[track_caller]
    fn push_back(&mut self, value: T) {
        or_panic(self.try_push_back(value));
    }

    /// Appends an element.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was, and the value is dropped.
    fn try_push_back(&mut self, value: T) -> Result<(), AllocError> {
        let mut place = self.lend();
        let len = place.len();
        put(&mut place, len, value)
    }

    /// Puts an element before all others.
    ///
    /// # Panics
    /// Where [`try_push_front`](Self::try_push_front) is an error.
    #[track_caller]
    fn push_front(&mut self, value: T) {
        or_panic(self.try_push_front(value));
    }

    /// Puts an element before all others.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was, and the value is dropped.
    fn try_push_front(&mut self, value: T) -> Result<(), AllocError> {
        put(&mut self.lend(), 0, value)
    }

    /// Appends them, one after the other.
    ///
    /// # Panics
    /// Where [`try_push_back`](Self::try_push_back) is an error; those before are there then.
    #[track_caller]
    fn extend(&mut self, values: impl IntoIterator<Item = T>) {
        values.into_iter().for_each(|value| self.push_back(value));
    }

    /// Has room for at least so many more elements.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    fn try_reserve(&mut self, more: usize) -> Result<(), AllocError> {
        let mut place = self.lend();
        let Some(change) = Change::of(place.home()) else {
            return own(&mut place).try_reserve(more);
        };
        let deque = place.as_ptr();
        let ring = ring_of(deque);
        if more <= ring.capacity - ring.len() {
            return Ok(());
        }
        let room = Room::<T>::with(ring.len(), more, &change)?;
        // SAFETY: a new block with room for more than the elements.
        unsafe { ring.copy_to(room.start) };
        room.replaces(deque, change, ring.len())
    }

    /// Takes out the last element, and gives a copy of it.
    ///
    /// # Panics
    /// Where [`try_pop_back`](Self::try_pop_back) is an error.
    #[track_caller]
    fn pop_back(&mut self) -> Option<T>
    where
        T: TryClone,
    {
        or_panic(self.try_pop_back())
    }

    /// Takes out the last element, and gives a copy of it.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    fn try_pop_back(&mut self) -> Result<Option<T>, AllocError>
    where
        T: TryClone,
    {
        let mut place = self.lend();
        let last = place.len().checked_sub(1);
        last.map_or(Ok(None), |last| taken_out(&mut place, last))
    }

    /// Takes out the first element, and gives a copy of it.
    ///
    /// # Panics
    /// Where [`try_pop_front`](Self::try_pop_front) is an error.
    #[track_caller]
    fn pop_front(&mut self) -> Option<T>
    where
        T: TryClone,
    {
        or_panic(self.try_pop_front())
    }

    /// Takes out the first element, and gives a copy of it.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    fn try_pop_front(&mut self) -> Result<Option<T>, AllocError>
    where
        T: TryClone,
    {
        taken_out(&mut self.lend(), 0)
    }

    /// Puts an element at `index`; of those on its two sides the fewer move.
    ///
    /// # Panics
    /// If `index > len`, and where [`try_insert`](Self::try_insert) is an error.
    #[track_caller]
    fn insert(&mut self, index: usize, value: T) {
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
    fn try_insert(&mut self, index: usize, value: T) -> Result<(), AllocError> {
        let mut place = self.lend();
        let len = place.len();
        assert!(index <= len, "index {index} of {len} elements");
        put(&mut place, index, value)
    }

    /// Takes out the element at `index`, if there is one, and gives a copy of it; of those on its two
    /// sides the fewer move.
    ///
    /// # Panics
    /// Where [`try_remove`](Self::try_remove) is an error.
    #[track_caller]
    fn remove(&mut self, index: usize) -> Option<T>
    where
        T: TryClone,
    {
        or_panic(self.try_remove(index))
    }

    /// Takes out the element at `index`, if there is one, and gives a copy of it; of those on its two
    /// sides the fewer move.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    fn try_remove(&mut self, index: usize) -> Result<Option<T>, AllocError>
    where
        T: TryClone,
    {
        taken_out(&mut self.lend(), index)
    }

    /// Drops the elements from number `len` on.
    ///
    /// # Errors
    /// [`AllocError`], of elements that have blocks; all is as it was.
    fn try_truncate(&mut self, len: usize) -> Result<(), AllocError> {
        let mut place = self.lend();
        let Some(change) = Change::of(place.home()) else {
            own(&mut place).truncate(len);
            return Ok(());
        };
        truncated(place.as_ptr(), change, len)
    }

    /// Drops the elements from number `len` on.
    ///
    /// # Panics
    /// Where [`try_truncate`](Self::try_truncate) is an error.
    #[track_caller]
    fn truncate(&mut self, len: usize) {
        or_panic(self.try_truncate(len));
    }

    /// Drops all elements.
    ///
    /// # Errors
    /// As [`try_truncate`](Self::try_truncate).
    fn try_clear(&mut self) -> Result<(), AllocError> {
        self.try_truncate(0)
    }

    /// Drops all elements.
    ///
    /// # Panics
    /// Where [`try_clear`](Self::try_clear) is an error.
    #[track_caller]
    fn clear(&mut self) {
        or_panic(self.try_clear());
    }

    /// Keeps the elements of which `keep` says so, in their order: they move to a block of their own.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    fn try_retain(&mut self, keep: impl FnMut(&T) -> bool) -> Result<(), AllocError> {
        let mut place = self.lend();
        let Some(change) = Change::of(place.home()) else {
            own(&mut place).retain(keep);
            return Ok(());
        };
        // User code first: it may unwind.
        let kept: std::vec::Vec<bool> = place.iter().map(keep).collect();
        retained(place.as_ptr(), change, &kept)
    }

    /// Keeps the elements of which `keep` says so, in their order: they move to a block of their own.
    ///
    /// # Panics
    /// Where [`try_retain`](Self::try_retain) is an error.
    #[track_caller]
    fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        or_panic(self.try_retain(keep));
    }

    /// Lends the element at `index`, if there is one.
    fn get_mut(&mut self, index: usize) -> Option<Mut<'_, T>> {
        let place = self.lend();
        let ring = ring_of(place.as_ptr());
        let at = ring.at(ring.first.wrapping_add(index));
        let at = NonNull::new(at).filter(|_| index < ring.len())?;
        // SAFETY: an element, of a deque that we have alone.
        Some(unsafe { place.into_part_at(at) })
    }

    /// Lends the first element.
    fn front_mut(&mut self) -> Option<Mut<'_, T>> {
        self.get_mut(0)
    }

    /// Lends the last element.
    fn back_mut(&mut self) -> Option<Mut<'_, T>> {
        let last = self.lend().len().checked_sub(1)?;
        self.get_mut(last)
    }
}

impl<T: Shareable, G: Lend<Value = VecDeque<T>>> VecDequeMut<T> for G {}

/// A private one.
fn own<'a, T: Shareable>(place: &'a mut Mut<'_, VecDeque<T>>) -> &'a mut VecDeque<T> {
    // SAFETY: it lives in memory of this process' own, and we have the place exclusively.
    unsafe { &mut *place.as_ptr() }
}

fn ring_of<T: Shareable>(deque: *const VecDeque<T>) -> Ring<T> {
    // SAFETY: the callers have it from a place.
    unsafe { (*deque).ring() }
}

/// One of the two numbers that say where elements are.
#[derive(Clone, Copy)]
enum Which {
    First,
    End,
}

impl Which {
    /// Where it stands.
    fn at<T: Shareable>(self, deque: *mut VecDeque<T>) -> *mut usize {
        let at = match self {
            Which::First => offset_of!(VecDeque<T>, first),
            Which::End => offset_of!(VecDeque<T>, end),
        };
        deque.wrapping_byte_add(at).cast()
    }

    fn set<T: Shareable>(self, change: &mut Change<'_>, deque: *mut VecDeque<T>, number: usize) {
        change.write(self.at(deque), &raw const number, 1);
    }

    /// The same by one store: all or nothing without a change.
    fn store<T: Shareable>(self, deque: *mut VecDeque<T>, number: usize) {
        // SAFETY: a number of a deque that the callers have from a place.
        unsafe { store(self.at(deque), number as u64) };
    }
}

/// A block of this process' own for the elements of a deque.
struct Room<T: Shareable> {
    word: Word,
    capacity: usize,
    start: *mut T,
}

impl<T: Shareable> Room<T> {
    /// For so many more than `len`.
    fn with(len: usize, more: usize, change: &Change<'_>) -> Result<Room<T>, AllocError> {
        let (capacity, layout) = room_for::<T>(len, more)?;
        let (word, _) = raw::allocate(change.tag()?, layout)?;
        Ok(Room { word, capacity, start: word.address() })
    }

    /// Makes a change by which it becomes the block of `deque`, which has its first `len` elements then.
    fn replaces(
        self,
        deque: *mut VecDeque<T>,
        mut change: Change<'_>,
        len: usize,
    ) -> Result<(), AllocError> {
        // SAFETY: a place's.
        let old = unsafe { (*deque).word.offset() };
        if old != 0 {
            change.bury_block(old);
        }
        change.hang_block(self.word.offset());
        let head = [self.word.bits(), 0, len as u64, self.capacity as u64];
        change.write(deque.cast(), head.as_ptr(), head.len());
        change.make()?;
        mem::forget(self);
        Ok(())
    }
}

impl<T: Shareable> Drop for Room<T> {
    fn drop(&mut self) {
        // SAFETY: it is ours, and hangs nowhere.
        unsafe { raw::free(self.word) };
    }
}

/// `value` at `index`.
fn put<T: Shareable>(
    place: &mut Mut<'_, VecDeque<T>>,
    index: usize,
    value: T,
) -> Result<(), AllocError> {
    let Some(change) = Change::of(place.home()) else { return own(place).try_insert(index, value) };
    let mut value = ManuallyDrop::new(value);
    inserted(place.as_ptr(), change, index, &value).inspect_err(|_| {
        // SAFETY: it hangs nowhere.
        unsafe { ManuallyDrop::drop(&mut value) };
    })
}

/// `value` at `index`. It is still the caller's if there is an error.
fn inserted<T: Shareable>(
    deque: *mut VecDeque<T>,
    mut change: Change<'_>,
    index: usize,
    value: &ManuallyDrop<T>,
) -> Result<(), AllocError> {
    let ring = ring_of(deque);
    let (len, position) = (ring.len(), ring.first.wrapping_add(index));
    let value = ptr::from_ref(&**value);
    if len == ring.capacity {
        let room = Room::<T>::with(len, 1, &change)?;
        let at = room.start.wrapping_add(index);
        // SAFETY: so many elements, into a block for more.
        unsafe {
            Ring { end: position, ..ring }.copy_to(room.start);
            at.copy_from_nonoverlapping(value, 1);
            Ring { first: position, ..ring }.copy_to(at.wrapping_add(1));
        }
        change.hang(at, 1)?;
        return room.replaces(deque, change, len + 1);
    }
    let (which, number, spare) = match index < len - index {
        true => (Which::First, ring.first.wrapping_sub(1), ring.first.wrapping_sub(1)),
        false => (Which::End, ring.end.wrapping_add(1), ring.end),
    };
    // SAFETY: there is room, where nobody looks yet: its parts are found there.
    unsafe { ring.at(spare).copy_from_nonoverlapping(value, 1) };
    let moving = index.min(len - index);
    if moving == 0 && !T::HAS_BLOCKS {
        which.store(deque, number);
        return Ok(());
    }
    change.hang(ring.at(spare), 1)?;
    if moving > 0 {
        let elements = |from: usize| {
            (0..moving).map(move |i| taken(ring.at(from.wrapping_add(i)).cast_const()))
        };
        let (from, laid): (_, std::vec::Vec<_>) = match which {
            Which::First => (spare, elements(ring.first).chain([taken(value)]).collect()),
            Which::End => {
                (position, [taken(value)].into_iter().chain(elements(position)).collect())
            }
        };
        write(&mut change, ring, from, &laid);
    }
    which.set(&mut change, deque, number);
    change.make()
}

/// Takes out the element at `index`, if there is one; a copy of it.
fn taken_out<T: Shareable + TryClone>(
    place: &mut Mut<'_, VecDeque<T>>,
    index: usize,
) -> Result<Option<T>, AllocError> {
    let Some(change) = Change::of(place.home()) else { return Ok(own(place).remove(index)) };
    let Some(element) = place.get(index) else { return Ok(None) };
    let copy = element.try_clone()?;
    removed(place.as_ptr(), change, index)?;
    Ok(Some(copy))
}

/// Without the element at `index`.
fn removed<T: Shareable>(
    deque: *mut VecDeque<T>,
    mut change: Change<'_>,
    index: usize,
) -> Result<(), AllocError> {
    let ring = ring_of(deque);
    let behind = ring.len() - index - 1;
    let (which, number) = match index < behind {
        true => (Which::First, ring.first.wrapping_add(1)),
        false => (Which::End, ring.end.wrapping_sub(1)),
    };
    let moving = index.min(behind);
    if moving == 0 && !T::HAS_BLOCKS {
        which.store(deque, number);
        return Ok(());
    }
    let position = ring.first.wrapping_add(index);
    change.bury(ring.at(position), 1)?;
    let (from, to) = match which {
        Which::First => (ring.first, number),
        Which::End => (position.wrapping_add(1), position),
    };
    let moved: std::vec::Vec<_> =
        (0..moving).map(|i| taken(ring.at(from.wrapping_add(i)).cast_const())).collect();
    write(&mut change, ring, to, &moved);
    which.set(&mut change, deque, number);
    change.make()
}

/// Only the first `len`.
fn truncated<T: Shareable>(
    deque: *mut VecDeque<T>,
    mut change: Change<'_>,
    len: usize,
) -> Result<(), AllocError> {
    let ring = ring_of(deque);
    if len >= ring.len() {
        return Ok(());
    }
    let end = ring.first.wrapping_add(len);
    if !T::HAS_BLOCKS {
        Which::End.store(deque, end);
        return Ok(());
    }
    for (at, count) in ring.runs(end, ring.len() - len) {
        change.bury(at, count)?;
    }
    Which::End.set(&mut change, deque, end);
    change.make()
}

/// Only those that are `kept`.
///
/// More than half may move, and where they lie may be all of the block: so they get another.
fn retained<T: Shareable>(
    deque: *mut VecDeque<T>,
    mut change: Change<'_>,
    kept: &[bool],
) -> Result<(), AllocError> {
    let (ring, len) = (ring_of(deque), kept.iter().filter(|is_kept| **is_kept).count());
    // They are the first, or all are the same.
    if size_of::<T>() == 0 || kept[..len].iter().all(|is_kept| *is_kept) {
        return truncated(deque, change, len);
    }
    let room = Room::<T>::with(len, 0, &change)?;
    let mut to = room.start;
    for (i, is_kept) in kept.iter().enumerate() {
        let at = ring.at(ring.first.wrapping_add(i));
        match is_kept {
            true => {
                // SAFETY: one of `len` elements, into a block for as many.
                unsafe { to.copy_from_nonoverlapping(at, 1) };
                to = to.wrapping_add(1);
            }
            false => change.bury(at, 1)?,
        }
    }
    room.replaces(deque, change, len)
}

/// Adds to a change that `values` come to lie at the places from a position on.
///
/// Where that goes beyond the end of the block, it is two writes, of which no word may be in both. It is of at
/// most half of the places, so that between the two at least half lie, which are 32 bytes or more.
fn write<T>(change: &mut Change<'_>, ring: Ring<T>, position: usize, values: &[ManuallyDrop<T>]) {
    debug_assert!(values.len() <= ring.capacity / 2, "{} of {}", values.len(), ring.capacity);
    let mut from = values.as_ptr().cast::<T>();
    for (to, count) in ring.runs(position, values.len()) {
        change.write(to, from, count);
        from = from.wrapping_add(count);
    }
}
