//! Changing a vector that a lock guards.

use super::Vec;
use crate::collections::{TryClone, or_panic, raw};
use crate::heap::error::AllocError;
use crate::lock::lent::{Change, Lend, Mut, store, taken};
use crate::shareable::Shareable;
use crate::word::Word;
use core::alloc::Layout;
use core::mem::{self, ManuallyDrop, offset_of};
use core::ptr::{self, NonNull};

/// What changes a [`Vec`] that a guard or a place lends; std's names.
///
/// ```
/// use sharena::{Options, collections::{Vec, VecMut}, lock::Mutex};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Options::new().capacity(1 << 20).create_anonymous()?;
/// let (list, _) = segment.find_or_construct("list", || Mutex::new(Vec::new_in(&segment)))?;
/// let mut list = list.lock().unwrap();
/// list.push(3);
/// list.extend([1, 2]);
/// assert_eq!(list.remove(0), 3);
/// assert_eq!(*list, [1, 2]);
/// # Ok(())
/// # }
/// ```
///
/// **Each call is all or nothing**: whoever dies in the middle leaves the vector as it was, or as it should
/// be, and no block is lost. Calls of user code come before. What takes an element out gives a copy of it,
/// if it has blocks: the original's are of others, too.
///
/// Lock-free once the lock is held. An element without blocks is pushed and popped by one store; all else
/// costs a few hundred nanoseconds, and what moves elements takes time and memory in proportion to them.
pub trait VecMut<T: Shareable>: Lend<Value = Vec<T>> {
    /// Appends an element.
    ///
    /// # Panics
    /// Where [`try_push`](Self::try_push) is an error.
    #[track_caller]
    fn push(&mut self, value: T) {
        or_panic(self.try_push(value));
    }

    /// Appends an element.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was, and the value is dropped.
    fn try_push(&mut self, value: T) -> Result<(), AllocError> {
        let mut place = self.lend();
        let Some(change) = Change::of(place.home()) else { return own(&mut place).try_push(value) };
        let vec = place.as_ptr();
        let mut value = ManuallyDrop::new(value);
        pushed(vec, change, &value).inspect_err(|_| {
            // SAFETY: it hangs nowhere.
            unsafe { ManuallyDrop::drop(&mut value) };
        })
    }

    /// Appends them, one after the other.
    ///
    /// # Panics
    /// Where [`try_push`](Self::try_push) is an error; those before are there then.
    #[track_caller]
    fn extend(&mut self, values: impl IntoIterator<Item = T>) {
        values.into_iter().for_each(|value| self.push(value));
    }

    /// Appends a copy of each, all of them or none.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    fn try_extend_from_slice(&mut self, values: &[T]) -> Result<(), AllocError>
    where
        T: Copy,
    {
        self.try_reserve(values.len())?;
        let mut place = self.lend();
        if Change::of(place.home()).is_none() {
            let own = own(&mut place);
            values.iter().try_for_each(|value| own.try_push(*value))?;
            return Ok(());
        }
        let vec = place.as_ptr();
        let (first, len, _) = parts(vec);
        // SAFETY: there is room, where nobody looks yet; then it is shown, by one store.
        unsafe {
            first.add(len).copy_from_nonoverlapping(values.as_ptr(), values.len());
            store(len_at(vec), (len + values.len()) as u64);
        }
        Ok(())
    }

    /// Has room for at least so many more elements.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    fn try_reserve(&mut self, more: usize) -> Result<(), AllocError> {
        let mut place = self.lend();
        let Some(mut change) = Change::of(place.home()) else {
            return own(&mut place).try_reserve(more);
        };
        let vec = place.as_ptr();
        let (_, len, capacity) = parts(vec);
        if more <= capacity - len {
            return Ok(());
        }
        let room = Room::larger(vec, more, &change)?;
        room.moves_in(vec, &mut change, len);
        change.make()?;
        room.hangs();
        Ok(())
    }

    /// Takes out the last element, and gives a copy of it.
    ///
    /// # Panics
    /// Where [`try_pop`](Self::try_pop) is an error.
    #[track_caller]
    fn pop(&mut self) -> Option<T>
    where
        T: TryClone,
    {
        or_panic(self.try_pop())
    }

    /// Takes out the last element, and gives a copy of it.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    fn try_pop(&mut self) -> Result<Option<T>, AllocError>
    where
        T: TryClone,
    {
        let mut place = self.lend();
        if Change::of(place.home()).is_none() {
            return Ok(own(&mut place).pop());
        }
        let Some(last) = place.last() else { return Ok(None) };
        let copy = last.try_clone()?;
        let len = place.len() - 1;
        truncated(&mut place, len)?;
        Ok(Some(copy))
    }

    /// Puts an element at `index`; those from there on move up.
    ///
    /// # Panics
    /// If `index > len`, and where [`try_insert`](Self::try_insert) is an error.
    #[track_caller]
    fn insert(&mut self, index: usize, value: T) {
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
    fn try_insert(&mut self, index: usize, value: T) -> Result<(), AllocError> {
        let mut place = self.lend();
        let len = place.len();
        assert!(index <= len, "index {index} of {len} elements");
        let Some(mut change) = Change::of(place.home()) else {
            return own(&mut place).try_insert(index, value);
        };
        let vec = place.as_ptr();
        let mut value = ManuallyDrop::new(value);
        let inserted = match index < len {
            true => insert(vec, &mut change, index, &value).and_then(|room| made(change, room)),
            false => pushed(vec, change, &value),
        };
        inserted.inspect_err(|_| {
            // SAFETY: it hangs nowhere.
            unsafe { ManuallyDrop::drop(&mut value) };
        })
    }

    /// Takes out the element at `index`, and gives a copy of it; those behind it move down.
    ///
    /// # Panics
    /// If `index >= len`, and where [`try_remove`](Self::try_remove) is an error.
    #[track_caller]
    fn remove(&mut self, index: usize) -> T
    where
        T: TryClone,
    {
        or_panic(self.try_remove(index))
    }

    /// Takes out the element at `index`, and gives a copy of it; those behind it move down.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    ///
    /// # Panics
    /// If `index >= len`.
    #[track_caller]
    fn try_remove(&mut self, index: usize) -> Result<T, AllocError>
    where
        T: TryClone,
    {
        taken_out(&mut self.lend(), index, Gap::Closed)
    }

    /// Takes out the element at `index`, and gives a copy of it; the last one takes its place.
    ///
    /// # Panics
    /// If `index >= len`, and where [`try_swap_remove`](Self::try_swap_remove) is an error.
    #[track_caller]
    fn swap_remove(&mut self, index: usize) -> T
    where
        T: TryClone,
    {
        or_panic(self.try_swap_remove(index))
    }

    /// The same.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    ///
    /// # Panics
    /// If `index >= len`.
    #[track_caller]
    fn try_swap_remove(&mut self, index: usize) -> Result<T, AllocError>
    where
        T: TryClone,
    {
        taken_out(&mut self.lend(), index, Gap::FilledByLast)
    }

    /// Drops the elements from number `len` on.
    ///
    /// # Errors
    /// [`AllocError`], of elements that have blocks; all is as it was.
    fn try_truncate(&mut self, len: usize) -> Result<(), AllocError> {
        let mut place = self.lend();
        if Change::of(place.home()).is_none() {
            own(&mut place).truncate(len);
            return Ok(());
        }
        if len < place.len() { truncated(&mut place, len) } else { Ok(()) }
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
    /// # Panics
    /// Where [`try_truncate`](Self::try_truncate) is an error.
    #[track_caller]
    fn clear(&mut self) {
        self.truncate(0);
    }

    /// Keeps the elements of which `keep` says so, in their order.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    fn try_retain(&mut self, keep: impl FnMut(&T) -> bool) -> Result<(), AllocError> {
        let mut place = self.lend();
        let Some(mut change) = Change::of(place.home()) else {
            own(&mut place).retain(keep);
            return Ok(());
        };
        // User code first: it may unwind.
        let kept: std::vec::Vec<bool> = place.iter().map(keep).collect();
        let vec = place.as_ptr();
        let (first, len, _) = parts(vec);
        let Some(from) = kept.iter().position(|is| !is) else { return Ok(()) };
        let mut rest = std::vec::Vec::new();
        for (i, is_kept) in kept.iter().enumerate().skip(from) {
            let at = first.wrapping_add(i);
            match is_kept {
                true => rest.push(taken(at)),
                false => change.bury(at, 1)?,
            }
        }
        change.write(first.wrapping_add(from), rest.as_ptr().cast(), rest.len());
        set_len(&mut change, vec, from + rest.len());
        debug_assert!(from + rest.len() < len);
        change.make()
    }

    /// Keeps the elements of which `keep` says so, in their order.
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
        let (first, len, _) = parts(place.as_ptr());
        let at = NonNull::new(first.wrapping_add(index)).filter(|_| index < len)?;
        // SAFETY: an element, of a vector that we have alone.
        Some(unsafe { place.into_part_at(at) })
    }
}

impl<T: Shareable, G: Lend<Value = Vec<T>>> VecMut<T> for G {}

/// A private one.
fn own<'a, T: Shareable>(place: &'a mut Mut<'_, Vec<T>>) -> &'a mut Vec<T> {
    // SAFETY: it lives in memory of this process' own, and we have the place exclusively.
    unsafe { &mut *place.as_ptr() }
}

/// Where the first element is or would be, how many there are, and for how many there is room.
fn parts<T: Shareable>(vec: *const Vec<T>) -> (*mut T, usize, usize) {
    // SAFETY: the callers have it from a place.
    let vec = unsafe { &*vec };
    (vec.start(), vec.len(), vec.capacity())
}

/// Where its length stands.
fn len_at<T: Shareable>(vec: *mut Vec<T>) -> *mut usize {
    vec.wrapping_byte_add(offset_of!(Vec<T>, len)).cast()
}

fn set_len<T: Shareable>(change: &mut Change<'_>, vec: *mut Vec<T>, len: usize) {
    change.write(len_at(vec), &raw const len, 1);
}

/// A block of this process' own for the elements of a vector.
pub(in crate::collections) struct Room<T: Shareable> {
    word: Word,
    capacity: usize,
    first: *mut T,
}

impl<T: Shareable> Room<T> {
    /// For so many more than there are.
    fn larger(vec: *const Vec<T>, more: usize, change: &Change<'_>) -> Result<Room<T>, AllocError> {
        let (_, len, capacity) = parts(vec);
        let too_large = AllocError::TooLarge { asked: usize::MAX, capacity: 0 };
        let least = len.checked_add(more).ok_or(too_large)?;
        let first = (64 / size_of::<T>().max(1)).max(1);
        let wanted = least.max(capacity.saturating_mul(2)).max(first);
        let room = |capacity| {
            let layout = Layout::array::<T>(capacity).map_err(|_| too_large)?;
            let (word, bytes) = raw::allocate(change.tag()?, layout)?;
            Ok(Room { word, capacity: bytes / size_of::<T>(), first: word.address() })
        };
        // A nearly full segment may have room for what must be.
        room(wanted).or_else(|error| if least < wanted { room(least) } else { Err(error) })
    }

    /// The elements of `vec` are moved into it, and there are `len` then.
    fn moves_in(&self, vec: *mut Vec<T>, change: &mut Change<'_>, len: usize) {
        let (first, count, _) = parts(vec);
        // SAFETY: so many elements; the room has more.
        unsafe { self.first.copy_from_nonoverlapping(first, count) };
        self.replaces(vec, change, len);
    }

    /// It is the block of `vec`, which has `len` elements then.
    fn replaces(&self, vec: *mut Vec<T>, change: &mut Change<'_>, len: usize) {
        // SAFETY: a place's.
        let old = unsafe { (*vec).word.offset() };
        if old != 0 {
            change.bury_block(old);
        }
        change.hang_block(self.word.offset());
        let head = [self.word.bits(), len as u64, self.capacity as u64];
        change.write(vec.cast(), head.as_ptr(), head.len());
    }

    /// It hangs on the vector now.
    fn hangs(self) {
        mem::forget(self);
    }
}

impl<T: Shareable> Drop for Room<T> {
    fn drop(&mut self) {
        // SAFETY: it is ours, and hangs nowhere.
        unsafe { raw::free(self.word) };
    }
}

/// `value` at the end. It is still the caller's if there is an error.
fn pushed<T: Shareable>(
    vec: *mut Vec<T>,
    mut change: Change<'_>,
    value: &ManuallyDrop<T>,
) -> Result<(), AllocError> {
    let (first, len, capacity) = parts(vec);
    if len == capacity || T::HAS_BLOCKS {
        let room = insert(vec, &mut change, len, value)?;
        return made(change, room);
    }
    // SAFETY: there is room, where nobody looks yet; then it is shown, by one store.
    unsafe {
        first.add(len).copy_from_nonoverlapping(ptr::from_ref(&**value), 1);
        store(len_at(vec), len as u64 + 1);
    }
    Ok(())
}

/// Makes a change by which a vector got this room.
pub(in crate::collections) fn made<T: Shareable>(
    change: Change<'_>,
    room: Option<Room<T>>,
) -> Result<(), AllocError> {
    change.make()?;
    room.into_iter().for_each(Room::hangs);
    Ok(())
}

/// Adds to a change that `value` comes to lie at `index`; the room that it needs for that, if any. `value` is
/// still the caller's until the change is made.
pub(in crate::collections) fn insert<T: Shareable>(
    vec: *mut Vec<T>,
    change: &mut Change<'_>,
    index: usize,
    value: &ManuallyDrop<T>,
) -> Result<Option<Room<T>>, AllocError> {
    let (first, len, capacity) = parts(vec);
    let value = ptr::from_ref(&**value);
    if len == capacity {
        let room = Room::larger(vec, 1, change)?;
        // SAFETY: so many elements, into a block for more.
        unsafe {
            room.first.copy_from_nonoverlapping(first, index);
            room.first.add(index).copy_from_nonoverlapping(value, 1);
            room.first.add(index + 1).copy_from_nonoverlapping(first.add(index), len - index);
        }
        change.hang(room.first.wrapping_add(index), 1)?;
        room.replaces(vec, change, len + 1);
        return Ok(Some(room));
    }
    // Where nobody looks yet: its parts are found there.
    let spare = first.wrapping_add(len);
    // SAFETY: there is room.
    unsafe { spare.copy_from_nonoverlapping(value, 1) };
    change.hang(spare, 1)?;
    if index < len {
        let mut rest = std::vec::Vec::with_capacity(len - index + 1);
        rest.push(taken(value));
        rest.extend((index..len).map(|i| taken(first.wrapping_add(i))));
        change.write(first.wrapping_add(index), rest.as_ptr().cast(), rest.len());
    }
    set_len(change, vec, len + 1);
    Ok(None)
}

/// Adds to a change that the element at `index` is gone, and what hangs on it.
pub(in crate::collections) fn remove<T: Shareable>(
    vec: *mut Vec<T>,
    change: &mut Change<'_>,
    index: usize,
    gap: Gap,
) -> Result<(), AllocError> {
    let (first, len, _) = parts(vec);
    let (at, behind) = (first.wrapping_add(index), len - index - 1);
    change.bury(at, 1)?;
    match gap {
        Gap::Closed => change.write(at, at.wrapping_add(1), behind),
        Gap::FilledByLast => change.write(at, at.wrapping_add(behind), behind.min(1)),
    }
    set_len(change, vec, len - 1);
    Ok(())
}

/// What becomes of the place of an element that is taken out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::collections) enum Gap {
    /// Those behind it move down.
    Closed,
    /// The last one goes there.
    FilledByLast,
}

/// Takes out the element at `index`; a copy of it.
#[track_caller]
fn taken_out<T: Shareable + TryClone>(
    place: &mut Mut<'_, Vec<T>>,
    index: usize,
    gap: Gap,
) -> Result<T, AllocError> {
    let len = place.len();
    assert!(index < len, "index {index} of {len} elements");
    let Some(mut change) = Change::of(place.home()) else {
        return Ok(match gap {
            Gap::Closed => own(place).remove(index),
            Gap::FilledByLast => own(place).swap_remove(index),
        });
    };
    let copy = place[index].try_clone()?;
    remove(place.as_ptr(), &mut change, index, gap)?;
    change.make()?;
    Ok(copy)
}

/// Only the first `len`, of more.
fn truncated<T: Shareable>(place: &mut Mut<'_, Vec<T>>, len: usize) -> Result<(), AllocError> {
    let vec = place.as_ptr();
    let (first, count, _) = parts(vec);
    if !T::HAS_BLOCKS {
        // SAFETY: the length of a vector that we have alone.
        unsafe { store(len_at(vec), len as u64) };
        return Ok(());
    }
    let mut change = Change::of(place.home()).expect("it is published");
    change.bury(first.wrapping_add(len), count - len)?;
    set_len(&mut change, vec, len);
    change.make()
}
