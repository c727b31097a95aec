//! `BTreeSet`: the keys of a tree.

use super::{BTreeIter, BTreeMap};
use crate::collections::{TryClone, or_panic};
use crate::heap::error::AllocError;
use crate::segment::Segment;
use crate::shareable::{LayoutHash, Shareable};
use crate::trace::map::Tracer;
use core::borrow::Borrow;
use core::iter::Peekable;
use core::ops::RangeBounds;
use core::{cmp, fmt, hash};

/// std's `BTreeSet`, in a segment.
///
/// ```
/// # use sharena::{Options, collections::BTreeSet};
/// # let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
/// let mut seen = BTreeSet::new_in(&segment);
/// assert!(seen.insert(7) && seen.insert(3) && !seen.insert(7));
/// assert_eq!(seen.iter().copied().collect::<Vec<_>>(), [3, 7]);
/// ```
#[repr(transparent)]
pub struct BTreeSet<T: Shareable> {
    keys: BTreeMap<T, ()>,
}

// SAFETY: a transparent wrapper of a Shareable type.
unsafe impl<T: Shareable> Shareable for BTreeSet<T> {
    const NAME: u64 = LayoutHash::of_name("BTreeSet").parameter::<T>().finish();
    const FINGERPRINT: u64 =
        LayoutHash::of_type::<Self>().field("keys", 0, BTreeMap::<T, ()>::FINGERPRINT).finish();
    const ANY_BITS: bool = false;
    const HAS_BLOCKS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("BTreeSet<")?;
        T::describe(out)?;
        out.write_str(">")
    }
    // SAFETY: the trait's: `at` is aligned, and valid for reads of the type's bytes.
    unsafe fn is_valid(at: *const Self) -> bool {
        // SAFETY: the caller's promise, of the same bytes.
        unsafe { BTreeMap::<T, ()>::is_valid(at.cast()) }
    }
    fn trace(map: &mut Tracer) {
        map.field(0, BTreeMap::<T, ()>::trace);
    }
}

impl<T: Shareable> BTreeSet<T> {
    /// Empty, and of no segment: it grows in the one that the thread has
    /// [entered](Segment::enter) then.
    pub const fn new() -> Self {
        BTreeSet { keys: BTreeMap::new() }
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
        Ok(BTreeSet { keys: BTreeMap::try_new_in(segment)? })
    }

    /// How many keys it has.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Drops all keys, and gives their room back.
    pub fn clear(&mut self) {
        self.keys.clear();
    }

    /// The keys, in their order.
    pub fn iter(&self) -> BTreeSetIter<'_, T> {
        BTreeSetIter(self.keys.iter())
    }

    /// The least key.
    pub fn first(&self) -> Option<&T> {
        self.iter().next()
    }

    /// The greatest key.
    pub fn last(&self) -> Option<&T> {
        self.iter().next_back()
    }

    /// The key that equals `key`.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&T>
    where
        T: Borrow<Q>,
    {
        self.keys.get_key_value(key).map(|(key, ())| key)
    }

    /// Whether it has a key.
    pub fn contains<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.keys.contains_key(key)
    }

    /// The keys of a range, in their order.
    ///
    /// # Panics
    /// As [`BTreeMap::range`].
    #[track_caller]
    pub fn range<Q: Ord + ?Sized, R: RangeBounds<Q>>(
        &self,
        range: R,
    ) -> impl DoubleEndedIterator<Item = &T>
    where
        T: Borrow<Q>,
    {
        self.keys.range(range).map(|(key, ())| key)
    }
}

impl<T: Shareable + Ord> BTreeSet<T> {
    /// Puts a key in; whether it was not there.
    ///
    /// # Panics
    /// Where [`try_insert`](Self::try_insert) is an error.
    #[track_caller]
    pub fn insert(&mut self, key: T) -> bool {
        or_panic(self.try_insert(key))
    }

    /// Puts a key in; whether it was not there.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was, and the key is dropped.
    pub fn try_insert(&mut self, key: T) -> Result<bool, AllocError> {
        Ok(self.keys.try_insert(key, ())?.is_none())
    }

    /// Takes a key out; whether it was there.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.take(key).is_some()
    }

    /// Takes a key out.
    pub fn take<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<T>
    where
        T: Borrow<Q>,
    {
        self.keys.remove_entry(key).map(|(key, ())| key)
    }

    /// Takes out the least key.
    pub fn pop_first(&mut self) -> Option<T> {
        self.keys.pop_first().map(|(key, ())| key)
    }

    /// Takes out the greatest key.
    pub fn pop_last(&mut self) -> Option<T> {
        self.keys.pop_last().map(|(key, ())| key)
    }

    /// Keeps the keys of which `keep` says so, asked in their order.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.keys.retain(|key, ()| keep(key));
    }

    /// Moves all keys of `other` into this one.
    ///
    /// # Panics
    /// As [`BTreeMap::append`].
    #[track_caller]
    pub fn append(&mut self, other: &mut Self) {
        self.keys.append(&mut other.keys);
    }

    /// The keys that this or `other` has, in their order, each once.
    pub fn union<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a T> {
        self.beside(other).map(|(ours, theirs)| ours.or(theirs).expect("one of them has it"))
    }

    /// The keys that both have, in their order.
    pub fn intersection<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a T> {
        self.beside(other).filter_map(|(ours, theirs)| theirs.and(ours))
    }

    /// The keys that this has and `other` has not, in their order.
    pub fn difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a T> {
        self.beside(other).filter_map(|(ours, theirs)| ours.filter(|_| theirs.is_none()))
    }

    /// The keys that one of them has and the other has not, in their order.
    pub fn symmetric_difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a T> {
        self.beside(other).filter_map(|(ours, theirs)| ours.xor(theirs))
    }

    /// Whether `other` has all keys that this has.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.difference(other).next().is_none()
    }

    /// Whether this has all keys that `other` has.
    pub fn is_superset(&self, other: &Self) -> bool {
        other.is_subset(self)
    }

    /// Whether they have no key in common.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        self.intersection(other).next().is_none()
    }

    fn beside<'a>(&'a self, other: &'a Self) -> Beside<'a, T> {
        Beside { ours: self.iter().peekable(), theirs: other.iter().peekable() }
    }
}

/// The keys of two sets, those that are equal together.
struct Beside<'a, T: Shareable> {
    ours: Peekable<BTreeSetIter<'a, T>>,
    theirs: Peekable<BTreeSetIter<'a, T>>,
}

impl<'a, T: Shareable + Ord> Iterator for Beside<'a, T> {
    type Item = (Option<&'a T>, Option<&'a T>);
    fn next(&mut self) -> Option<Self::Item> {
        let order = match (self.ours.peek(), self.theirs.peek()) {
            (Some(ours), Some(theirs)) => ours.cmp(theirs),
            (Some(_), None) => cmp::Ordering::Less,
            (None, Some(_)) => cmp::Ordering::Greater,
            (None, None) => return None,
        };
        let ours = if order.is_le() { self.ours.next() } else { None };
        let theirs = if order.is_ge() { self.theirs.next() } else { None };
        Some((ours, theirs))
    }
}

/// The keys of a [`BTreeSet`], in their order.
pub struct BTreeSetIter<'a, T: Shareable>(BTreeIter<'a, T, ()>);

impl<'a, T: Shareable> Iterator for BTreeSetIter<'a, T> {
    type Item = &'a T;
    fn next(&mut self) -> Option<&'a T> {
        self.0.next().map(|(key, ())| key)
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<T: Shareable> DoubleEndedIterator for BTreeSetIter<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|(key, ())| key)
    }
}

impl<T: Shareable> ExactSizeIterator for BTreeSetIter<'_, T> {}

impl<'a, T: Shareable> IntoIterator for &'a BTreeSet<T> {
    type Item = &'a T;
    type IntoIter = BTreeSetIter<'a, T>;
    fn into_iter(self) -> BTreeSetIter<'a, T> {
        self.iter()
    }
}

impl<T: Shareable> IntoIterator for BTreeSet<T> {
    type Item = T;
    type IntoIter = BTreeSetIntoIter<T>;
    fn into_iter(self) -> BTreeSetIntoIter<T> {
        BTreeSetIntoIter(self.keys.into_iter())
    }
}

/// The keys of a [`BTreeSet`] by value, in their order.
pub struct BTreeSetIntoIter<T: Shareable>(super::BTreeIntoIter<T, ()>);

impl<T: Shareable> Iterator for BTreeSetIntoIter<T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.0.next().map(|(key, ())| key)
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<T: Shareable> ExactSizeIterator for BTreeSetIntoIter<T> {}

impl<T: Shareable> Default for BTreeSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Shareable + Ord> Extend<T> for BTreeSet<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, keys: I) {
        self.keys.extend(keys.into_iter().map(|key| (key, ())));
    }
}

impl<T: Shareable + Ord> FromIterator<T> for BTreeSet<T> {
    /// In the segment that the thread has [entered](Segment::enter).
    fn from_iter<I: IntoIterator<Item = T>>(keys: I) -> Self {
        let mut made = Self::new();
        made.extend(keys);
        made
    }
}

impl<T: Shareable + Ord + TryClone> TryClone for BTreeSet<T> {
    fn try_clone(&self) -> Result<Self, AllocError> {
        Ok(BTreeSet { keys: self.keys.try_clone()? })
    }
}

impl<T: Shareable + Ord + TryClone> Clone for BTreeSet<T> {
    /// # Panics
    /// Where there is no memory.
    #[track_caller]
    fn clone(&self) -> Self {
        or_panic(self.try_clone())
    }
}

impl<T: Shareable + PartialEq> PartialEq for BTreeSet<T> {
    fn eq(&self, other: &Self) -> bool {
        self.keys == other.keys
    }
}

impl<T: Shareable + Eq> Eq for BTreeSet<T> {}

impl<T: Shareable + PartialOrd> PartialOrd for BTreeSet<T> {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        self.iter().partial_cmp(other)
    }
}

impl<T: Shareable + Ord> Ord for BTreeSet<T> {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        self.iter().cmp(other)
    }
}

impl<T: Shareable + hash::Hash> hash::Hash for BTreeSet<T> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.keys.hash(state);
    }
}

impl<T: Shareable + fmt::Debug> fmt::Debug for BTreeSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self).finish()
    }
}
