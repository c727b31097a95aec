//! The elements of a deque, one after the other.

use super::VecDeque;
use crate::shareable::Shareable;
use core::iter::{Chain, FusedIterator};
use core::slice;

/// The elements of a [`VecDeque`], from front to back.
pub struct VecDequeIter<'a, T>(Chain<slice::Iter<'a, T>, slice::Iter<'a, T>>);

impl<'a, T> VecDequeIter<'a, T> {
    pub(super) fn of((ahead, behind): (&'a [T], &'a [T])) -> Self {
        VecDequeIter(ahead.iter().chain(behind))
    }
}

impl<T> Clone for VecDequeIter<'_, T> {
    fn clone(&self) -> Self {
        VecDequeIter(self.0.clone())
    }
}

/// The elements of a [`VecDeque`], from front to back, to be changed.
pub struct VecDequeIterMut<'a, T>(Chain<slice::IterMut<'a, T>, slice::IterMut<'a, T>>);

impl<'a, T> VecDequeIterMut<'a, T> {
    pub(super) fn of((ahead, behind): (&'a mut [T], &'a mut [T])) -> Self {
        VecDequeIterMut(ahead.iter_mut().chain(behind))
    }
}

macro_rules! of_two_slices {
    ($($name:ident of $item:ty;)+) => {$(
        impl<'a, T> Iterator for $name<'a, T> {
            type Item = $item;
            #[inline]
            fn next(&mut self) -> Option<$item> {
                self.0.next()
            }
            fn size_hint(&self) -> (usize, Option<usize>) {
                self.0.size_hint()
            }
            fn nth(&mut self, n: usize) -> Option<$item> {
                self.0.nth(n)
            }
            #[inline]
            fn fold<B, F: FnMut(B, $item) -> B>(self, start: B, with: F) -> B {
                self.0.fold(start, with)
            }
        }

        impl<'a, T> DoubleEndedIterator for $name<'a, T> {
            #[inline]
            fn next_back(&mut self) -> Option<$item> {
                self.0.next_back()
            }
        }

        impl<T> ExactSizeIterator for $name<'_, T> {}
        impl<T> FusedIterator for $name<'_, T> {}
    )+};
}

of_two_slices! { VecDequeIter of &'a T; VecDequeIterMut of &'a mut T; }

/// The elements of a [`VecDeque`], by value.
pub struct VecDequeIntoIter<T: Shareable>(VecDeque<T>);

impl<T: Shareable> Iterator for VecDequeIntoIter<T> {
    type Item = T;
    #[inline]
    fn next(&mut self) -> Option<T> {
        self.0.pop_front()
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}

impl<T: Shareable> DoubleEndedIterator for VecDequeIntoIter<T> {
    fn next_back(&mut self) -> Option<T> {
        self.0.pop_back()
    }
}

impl<T: Shareable> ExactSizeIterator for VecDequeIntoIter<T> {}
impl<T: Shareable> FusedIterator for VecDequeIntoIter<T> {}

impl<T: Shareable> IntoIterator for VecDeque<T> {
    type Item = T;
    type IntoIter = VecDequeIntoIter<T>;
    fn into_iter(self) -> VecDequeIntoIter<T> {
        VecDequeIntoIter(self)
    }
}

impl<'a, T: Shareable> IntoIterator for &'a VecDeque<T> {
    type Item = &'a T;
    type IntoIter = VecDequeIter<'a, T>;
    fn into_iter(self) -> VecDequeIter<'a, T> {
        self.iter()
    }
}

impl<'a, T: Shareable> IntoIterator for &'a mut VecDeque<T> {
    type Item = &'a mut T;
    type IntoIter = VecDequeIterMut<'a, T>;
    fn into_iter(self) -> VecDequeIterMut<'a, T> {
        self.iter_mut()
    }
}

/// A deque without its elements from one position to another, and for now without those behind, which it
/// does not count while others are taken out. Dropped, it closes up.
pub(super) struct Gap<'a, T: Shareable> {
    of: &'a mut VecDeque<T>,
    /// Positions of the first element behind, and behind the last one.
    to: usize,
    end: usize,
}

impl<'a, T: Shareable> Gap<'a, T> {
    /// The elements from position `from` to before `to` are the caller's.
    pub(super) fn of(of: &'a mut VecDeque<T>, from: usize, to: usize) -> Gap<'a, T> {
        let end = core::mem::replace(&mut of.end, from);
        Gap { of, to, end }
    }
}

impl<T: Shareable> Drop for Gap<'_, T> {
    fn drop(&mut self) {
        let (ring, behind) = (self.of.ring(), self.end.wrapping_sub(self.to));
        let by = self.to.wrapping_sub(ring.end);
        // SAFETY: the fewer move, over what was taken out, to where the others are.
        unsafe {
            if ring.len() < behind {
                ring.move_up(ring.end, ring.len(), by);
                (self.of.first, self.of.end) = (ring.first.wrapping_add(by), self.end);
            } else {
                ring.move_down(self.to, behind, by);
                self.of.end = ring.end.wrapping_add(behind);
            }
        }
    }
}

/// What [`VecDeque::drain`] takes out.
pub struct VecDequeDrain<'a, T: Shareable> {
    /// Positions of those that are left.
    next: usize,
    end: usize,
    gap: Gap<'a, T>,
}

impl<'a, T: Shareable> VecDequeDrain<'a, T> {
    /// Those that are missing.
    pub(super) fn of(gap: Gap<'a, T>) -> Self {
        VecDequeDrain { next: gap.of.end, end: gap.to, gap }
    }
}

impl<T: Shareable> Iterator for VecDequeDrain<'_, T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        if self.next == self.end {
            return None;
        }
        let position = self.next;
        self.next = position.wrapping_add(1);
        // SAFETY: one of the range, not taken yet.
        Some(unsafe { self.gap.of.ring().at(position).read() })
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end.wrapping_sub(self.next);
        (left, Some(left))
    }
}

impl<T: Shareable> DoubleEndedIterator for VecDequeDrain<'_, T> {
    fn next_back(&mut self) -> Option<T> {
        if self.next == self.end {
            return None;
        }
        self.end = self.end.wrapping_sub(1);
        // SAFETY: as above.
        Some(unsafe { self.gap.of.ring().at(self.end).read() })
    }
}

impl<T: Shareable> ExactSizeIterator for VecDequeDrain<'_, T> {}
impl<T: Shareable> FusedIterator for VecDequeDrain<'_, T> {}

impl<T: Shareable> Drop for VecDequeDrain<'_, T> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}
