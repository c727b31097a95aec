//! Positions inside a segment: bytes from its start, the same in every process.

use core::fmt;
use core::marker::PhantomData;
use core::num::NonZeroU64;

/// Where a `T` stands in a segment, as bytes from the segment's start: the same number in every
/// process, at whatever address each has mapped it.
///
/// Eight bytes (`Option<Offset<T>>` too); may itself be stored in the segment, sent through a pipe
/// as [`to_bits`](Self::to_bits), and turned into a reference by
/// [`Segment::resolve`](crate::Segment::resolve), which checks it.
/// An offset owns nothing and keeps nothing alive.
#[repr(transparent)]
pub struct Offset<T: ?Sized> {
    bits: NonZeroU64,
    target: PhantomData<fn() -> *const T>,
}

impl<T: ?Sized> Offset<T> {
    /// The offset of `bits` bytes from the segment's start; `None` for 0, where the header stands.
    /// Any number is safe: using it is what checks it.
    pub const fn from_bits(bits: u64) -> Option<Offset<T>> {
        match NonZeroU64::new(bits) {
            Some(bits) => Some(Offset { bits, target: PhantomData }),
            None => None,
        }
    }

    /// Bytes from the segment's start.
    pub const fn to_bits(self) -> u64 {
        self.bits.get()
    }

    /// The same place, thought to hold a `U`.
    pub const fn cast<U>(self) -> Offset<U> {
        Offset { bits: self.bits, target: PhantomData }
    }
}

impl<T: ?Sized> Clone for Offset<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: ?Sized> Copy for Offset<T> {}
impl<T: ?Sized> PartialEq for Offset<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bits == other.bits
    }
}
impl<T: ?Sized> Eq for Offset<T> {}
impl<T: ?Sized> PartialOrd for Offset<T> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T: ?Sized> Ord for Offset<T> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.bits.cmp(&other.bits)
    }
}
impl<T: ?Sized> core::hash::Hash for Offset<T> {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.bits.hash(state);
    }
}
impl<T: ?Sized> fmt::Debug for Offset<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Offset<{}>({:#x})", core::any::type_name::<T>(), self.bits)
    }
}
