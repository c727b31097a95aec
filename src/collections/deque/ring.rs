//! Where the elements of a deque lie in its block.

use crate::heap::error::AllocError;
use crate::trace::map::LEAST_RING;
use core::alloc::Layout;
use core::ptr;

/// How many elements a block has room for in which `more` can be put beside `len`, and that block.
pub fn room_for<T>(len: usize, more: usize) -> Result<(usize, Layout), AllocError> {
    let too_large = AllocError::TooLarge { asked: usize::MAX, capacity: 0 };
    let wanted = len
        .checked_add(more)
        .ok_or(too_large)?
        .max((LEAST_RING as usize).div_ceil(size_of::<T>().max(1)));
    // Where one is full, this is twice as much at least: pushing costs the same however many there are.
    let capacity = wanted.checked_next_power_of_two().ok_or(too_large)?;
    Ok((capacity, Layout::array::<T>(capacity).map_err(|_| too_large)?))
}

/// The numbers of a deque, and the address of its block.
///
/// Its invariants: the block has room for `capacity` elements, a power of two; at each position from `first`
/// to before `end` there is one. Of an empty deque without a block the capacity is 0; of elements without
/// bytes it may be any number.
pub struct Ring<T> {
    pub start: *mut T,
    pub first: usize,
    pub end: usize,
    pub capacity: usize,
}

impl<T> Clone for Ring<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Ring<T> {}

impl<T> Ring<T> {
    #[inline(always)]
    pub fn len(self) -> usize {
        self.end.wrapping_sub(self.first)
    }

    #[inline(always)]
    fn place_of(self, position: usize) -> usize {
        position & self.capacity.saturating_sub(1)
    }

    /// Where the element with this position is or would be.
    #[inline(always)]
    pub fn at(self, position: usize) -> *mut T {
        self.start.wrapping_add(self.place_of(position))
    }

    /// Where `count` places are, from a position on: up to the end of the block, and from its start on.
    #[inline]
    pub fn runs(self, position: usize, count: usize) -> [(*mut T, usize); 2] {
        let ahead = count.min(self.capacity - self.place_of(position));
        [(self.at(position), ahead), (self.start, count - ahead)]
    }

    /// Where the elements are.
    #[inline]
    pub fn elements(self) -> [(*mut T, usize); 2] {
        self.runs(self.first, self.len())
    }

    /// Copies `count` values to the places from a position on.
    ///
    /// # Safety
    /// So many values are there, elsewhere, and so many places here.
    pub unsafe fn lay(self, position: usize, mut from: *const T, count: usize) {
        for (to, count) in self.runs(position, count) {
            // SAFETY: the caller's promise; a run lies within the block.
            unsafe { to.copy_from_nonoverlapping(from, count) };
            from = from.wrapping_add(count);
        }
    }

    /// Copies the elements, one behind the other.
    ///
    /// # Safety
    /// There is room for them at `to`, which is elsewhere.
    pub unsafe fn copy_to(self, mut to: *mut T) {
        for (from, count) in self.elements() {
            // SAFETY: the caller's promise; so many elements lie there.
            unsafe { to.copy_from_nonoverlapping(from, count) };
            to = to.wrapping_add(count);
        }
    }

    /// Moves `count` elements from a position on down by so many places.
    ///
    /// # Safety
    /// The places before them are in the block, and hold no element.
    pub unsafe fn move_down(self, position: usize, count: usize, by: usize) {
        for position in (0..count).map(|i| position.wrapping_add(i)) {
            // SAFETY: the caller's promise, and those before have moved.
            unsafe { ptr::copy(self.at(position), self.at(position.wrapping_sub(by)), 1) };
        }
    }

    /// Moves `count` elements that end before a position up by so many places.
    ///
    /// # Safety
    /// The places behind them are in the block, and hold no element.
    pub unsafe fn move_up(self, end: usize, count: usize, by: usize) {
        for position in (1..=count).map(|i| end.wrapping_sub(i)) {
            // SAFETY: the caller's promise, and those behind have moved.
            unsafe { ptr::copy(self.at(position), self.at(position.wrapping_add(by)), 1) };
        }
    }

    /// Drops `count` elements from a position on; all of them, also if one unwinds.
    ///
    /// # Safety
    /// They are elements, and nobody uses them any more.
    pub unsafe fn drop_from(self, position: usize, count: usize) {
        struct Rest<T>(*mut [T]);
        impl<T> Drop for Rest<T> {
            fn drop(&mut self) {
                // SAFETY: those that the promise below is about.
                unsafe { ptr::drop_in_place(self.0) };
            }
        }
        let runs = self.runs(position, count);
        let [ahead, behind] = runs.map(|(at, count)| ptr::slice_from_raw_parts_mut(at, count));
        let _rest = Rest(behind);
        // SAFETY: the caller's promise.
        unsafe { ptr::drop_in_place(ahead) };
    }
}
