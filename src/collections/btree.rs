//! `BTreeMap`: keys in their order, in a tree of short vectors.
//!
//! After Bayer and McCreight, *Organization and Maintenance of Large Ordered Indices* (1972), and the
//! one-way descents of Cormen, Leiserson, Rivest and Stein, *Introduction to Algorithms*, chapter 18: who
//! puts something in splits what is full on the way down, so that there is room wherever it arrives.
//!
//! ```text
//! node:  pairs [ p0 p1 … pn-1 ]   children [ c0 c1 … cn ], a leaf has none
//!        c0 < p0 < c1 < p1 < … < pn-1 < cn,  all leaves equally deep
//! ```
//!
//! A node is two vectors, which lie in the children of the node above, or in the map itself. So a tree is
//! made of what trace maps, walks and falls know already, and no code but this knows that it is one.
//!
//! **Few pairs are no fault.** A node that has become small takes pairs from its neighbour, or is merged
//! with it. All nodes but the root have room for that, so taking out needs no memory; but nothing rests on
//! it: a node without room stays as it is, and a file may have nodes without a pair.

mod entry;
mod iter;
mod lent;
mod node;
mod set;

pub use entry::{BTreeEntry, BTreeOccupiedEntry, BTreeVacantEntry};
pub use iter::{BTreeIntoIter, BTreeIter, BTreeIterMut};
pub use lent::{BTreeMapMut, BTreeSetMut};
pub use set::{BTreeSet, BTreeSetIntoIter, BTreeSetIter};

use super::pair::Pair;
use super::{TryClone, or_panic};
use crate::heap::error::AllocError;
use crate::segment::Segment;
use crate::shareable::{LayoutHash, Shareable};
use crate::trace::map::Tracer;
use crate::word::Tag;
use core::borrow::Borrow;
use core::mem::{self, ManuallyDrop, offset_of};
use core::ops::{Index, RangeBounds};
use core::ptr::NonNull;
use core::{cmp, fmt, hash};
use node::{Node, Private, Which, sure};

/// std's `BTreeMap`, in a segment.
///
/// ```
/// # use sharena::{Options, collections::{BTreeMap, String}};
/// # let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
/// let mut prices = BTreeMap::new_in(&segment);
/// prices.insert(101, String::from_in("ask", &segment));
/// prices.insert(99, String::from_in("bid", &segment));
/// assert_eq!(prices.first_key_value().unwrap().0, &99);
/// assert_eq!(prices.range(100..).map(|(price, _)| *price).collect::<Vec<_>>(), [101]);
/// ```
#[repr(C)]
pub struct BTreeMap<K: Shareable, V: Shareable> {
    root: Node<K, V>,
    len: usize,
}

// SAFETY: a node and a number, at the offsets that the fingerprint names.
unsafe impl<K: Shareable, V: Shareable> Shareable for BTreeMap<K, V> {
    const NAME: u64 = LayoutHash::of_name("BTreeMap").parameter::<K>().parameter::<V>().finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>()
        .field("root", offset_of!(Self, root), Node::<K, V>::FINGERPRINT)
        .field("len", offset_of!(Self, len), usize::FINGERPRINT)
        .finish();
    const ANY_BITS: bool = false;
    const HAS_BLOCKS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("BTreeMap<")?;
        Pair::<K, V>::describe(out)?;
        out.write_str(">")
    }
    // SAFETY: the trait's: `at` is aligned, and valid for reads of the type's bytes.
    unsafe fn is_valid(at: *const Self) -> bool {
        // SAFETY: the caller vouches for the whole, the node is within and aligned in it.
        unsafe { Node::is_valid(&raw const (*at).root) }
    }
    fn trace(map: &mut Tracer) {
        map.field(offset_of!(Self, root), Node::<K, V>::trace);
    }
}

impl<K: Shareable, V: Shareable> BTreeMap<K, V> {
    /// Empty, and of no segment: it grows in the one that the thread has
    /// [entered](Segment::enter) then.
    pub const fn new() -> Self {
        Self::with_tag(Tag::NONE)
    }

    const fn with_tag(tag: Tag) -> Self {
        BTreeMap { root: Node::with_tag(tag), len: 0 }
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

    /// How many keys it has.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Drops all pairs, and gives their room back.
    pub fn clear(&mut self) {
        let empty = Self::with_tag(self.root.tag());
        drop(mem::replace(self, empty));
    }

    /// The pairs, in the order of their keys.
    pub fn iter(&self) -> BTreeIter<'_, K, V> {
        BTreeIter::of(self)
    }

    /// The pairs, in the order of their keys.
    pub fn iter_mut(&mut self) -> BTreeIterMut<'_, K, V> {
        BTreeIterMut::of(self)
    }

    /// The keys, in their order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + ExactSizeIterator {
        self.iter().map(|(key, _)| key)
    }

    /// The values, in the order of their keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + ExactSizeIterator {
        self.iter().map(|(_, value)| value)
    }

    /// The values, in the order of their keys.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut V> + ExactSizeIterator {
        self.iter_mut().map(|(_, value)| value)
    }

    /// The least key, and its value.
    pub fn first_key_value(&self) -> Option<(&K, &V)> {
        self.iter().next()
    }

    /// The greatest key, and its value.
    pub fn last_key_value(&self) -> Option<(&K, &V)> {
        self.iter().next_back()
    }

    #[inline]
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&Pair<K, V>>
    where
        K: Borrow<Q>,
    {
        let mut node = &self.root;
        loop {
            match node.search(key) {
                Ok(i) => return Some(&node.pairs[i]),
                Err(i) => node = node.children.get(i)?,
            }
        }
    }

    /// The value of a key.
    #[inline]
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.find(key).map(|pair| &pair.value)
    }

    /// The key that equals `key`, and its value.
    pub fn get_key_value<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        self.find(key).map(|pair| (&pair.key, &pair.value))
    }

    /// The value of a key.
    #[inline]
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let mut node = &mut self.root;
        loop {
            match node.search(key) {
                Ok(i) => return Some(&mut node.pairs[i].value),
                Err(i) => node = node.children.get_mut(i)?,
            }
        }
    }

    /// Whether it has a key.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_some()
    }

    /// The pairs with keys of a range, in their order.
    ///
    /// # Panics
    /// If its start is behind its end, or both are one key that neither has in it.
    #[track_caller]
    pub fn range<Q: Ord + ?Sized, R: RangeBounds<Q>>(
        &self,
        range: R,
    ) -> impl DoubleEndedIterator<Item = (&K, &V)>
    where
        K: Borrow<Q>,
    {
        iter::Pairs::within(&self.root, &range).map(|pair| {
            // SAFETY: a pair of a map that is borrowed.
            let Pair { key, value } = unsafe { &*pair };
            (key, value)
        })
    }

    /// The pairs with keys of a range, in their order.
    ///
    /// # Panics
    /// As [`range`](Self::range).
    #[track_caller]
    pub fn range_mut<Q: Ord + ?Sized, R: RangeBounds<Q>>(
        &mut self,
        range: R,
    ) -> impl DoubleEndedIterator<Item = (&K, &mut V)>
    where
        K: Borrow<Q>,
    {
        iter::Pairs::within(&self.root, &range).map(|pair| {
            // SAFETY: a pair, each once, of a map that is borrowed exclusively.
            let Pair { key, value } = unsafe { &mut *pair };
            (&*key, value)
        })
    }
}

impl<K: Shareable + Ord, V: Shareable> BTreeMap<K, V> {
    /// Puts a value at a key; the one that was there.
    ///
    /// # Panics
    /// Where [`try_insert`](Self::try_insert) is an error.
    #[track_caller]
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        or_panic(self.try_insert(key, value))
    }

    /// Puts a value at a key; the one that was there.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was, key and value are dropped.
    pub fn try_insert(&mut self, key: K, value: V) -> Result<Option<V>, AllocError> {
        self.put(key, value).map(|(old, _)| old)
    }

    /// The value that was there, and where the new one is.
    fn put(&mut self, key: K, value: V) -> Result<(Option<V>, NonNull<V>), AllocError> {
        let done = self.root.put(&mut Private, Pair { key, value })?;
        self.len += usize::from(done.0.is_none());
        Ok(done)
    }

    fn take<Q: Ord + ?Sized>(&mut self, which: Which<'_, Q>) -> Option<(K, V)>
    where
        K: Borrow<Q>,
    {
        let taken = sure(self.root.take(&mut Private, which))?;
        let Pair { key, value } = ManuallyDrop::into_inner(taken);
        self.len -= 1;
        sure(self.root.sink(&mut Private));
        Some((key, value))
    }

    /// Takes out a key and its value.
    pub fn remove_entry<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<(K, V)>
    where
        K: Borrow<Q>,
    {
        self.take(Which::Key(key))
    }

    /// Takes out the value of a key.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.remove_entry(key).map(|(_, value)| value)
    }

    /// Takes out the least key and its value.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        self.take(Which::<K>::First)
    }

    /// Takes out the greatest key and its value.
    pub fn pop_last(&mut self) -> Option<(K, V)> {
        self.take(Which::<K>::Last)
    }

    /// Keeps the pairs of which `keep` says so, asked in their order.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.root.retain(&mut self.len, &mut keep);
        sure(self.root.sink(&mut Private));
    }

    /// Moves all pairs of `other` into this one; where both have a key, its value replaces this one's.
    ///
    /// # Panics
    /// Where there is no memory; what was moved is here then, what was not is dropped.
    #[track_caller]
    pub fn append(&mut self, other: &mut Self) {
        let empty = Self::with_tag(other.root.tag());
        self.extend(mem::replace(other, empty));
    }

    /// The place of a key, there or not.
    pub fn entry(&mut self, key: K) -> BTreeEntry<'_, K, V> {
        BTreeEntry::of(self, key)
    }
}

impl<K: Shareable, V: Shareable> Default for BTreeMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Shareable + Ord, V: Shareable> Extend<(K, V)> for BTreeMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, pairs: I) {
        pairs.into_iter().for_each(|(key, value)| drop(self.insert(key, value)));
    }
}

impl<K: Shareable + Ord, V: Shareable> FromIterator<(K, V)> for BTreeMap<K, V> {
    /// In the segment that the thread has [entered](Segment::enter).
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut made = Self::new();
        made.extend(pairs);
        made
    }
}

impl<K: Shareable + Ord + TryClone, V: Shareable + TryClone> TryClone for BTreeMap<K, V> {
    fn try_clone(&self) -> Result<Self, AllocError> {
        let mut copy = Self::with_tag(self.root.tag());
        for (key, value) in self {
            copy.try_insert(key.try_clone()?, value.try_clone()?)?;
        }
        Ok(copy)
    }
}

impl<K: Shareable + Ord + TryClone, V: Shareable + TryClone> Clone for BTreeMap<K, V> {
    /// # Panics
    /// Where there is no memory.
    #[track_caller]
    fn clone(&self) -> Self {
        or_panic(self.try_clone())
    }
}

impl<K: Shareable + PartialEq, V: Shareable + PartialEq> PartialEq for BTreeMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other)
    }
}

impl<K: Shareable + Eq, V: Shareable + Eq> Eq for BTreeMap<K, V> {}

impl<K: Shareable + PartialOrd, V: Shareable + PartialOrd> PartialOrd for BTreeMap<K, V> {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        self.iter().partial_cmp(other)
    }
}

impl<K: Shareable + Ord, V: Shareable + Ord> Ord for BTreeMap<K, V> {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        self.iter().cmp(other)
    }
}

impl<K: Shareable + hash::Hash, V: Shareable + hash::Hash> hash::Hash for BTreeMap<K, V> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.len.hash(state);
        self.iter().for_each(|pair| pair.hash(state));
    }
}

impl<K: Shareable + fmt::Debug, V: Shareable + fmt::Debug> fmt::Debug for BTreeMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<K: Shareable + Borrow<Q>, V: Shareable, Q: Ord + ?Sized> Index<&Q> for BTreeMap<K, V> {
    type Output = V;
    /// # Panics
    /// If the key is not there.
    #[track_caller]
    fn index(&self, key: &Q) -> &V {
        self.get(key).expect("the map has the key")
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// A tree of so many keys, of which those in some leaves are gone, and the keys that are left.
    fn with_gaps(
        segment: &Segment,
        is_emptied: impl Fn(usize, usize) -> bool,
    ) -> (BTreeMap<u32, u32>, std::collections::BTreeMap<u32, u32>) {
        let mut map = BTreeMap::new_in(segment);
        map.extend((0..100).map(|key| (key, key)));
        let leaves = map.root.children.len();
        assert!(leaves > 4 && map.root.children[0].is_leaf());
        for i in (0..leaves).filter(|i| is_emptied(*i, leaves)) {
            map.len -= map.root.children[i].pairs.len();
            map.root.children[i].pairs.clear();
        }
        let left = map.iter().map(|(key, value)| (*key, *value)).collect();
        (map, left)
    }

    #[test]
    fn nodes_without_a_pair_are_no_end() {
        let segment = crate::Options::new().capacity(1 << 20).create_anonymous().unwrap();
        let shapes: [fn(usize, usize) -> bool; 5] =
            [|i, _| i == 0, |i, all| i == all - 1, |i, _| i % 2 == 1, |i, _| i < 3, |_, _| true];
        for is_emptied in shapes {
            let made = || with_gaps(&segment, is_emptied);
            let (map, left) = made();
            let add = |sum: u32, (key, _): (&u32, &u32)| sum.wrapping_mul(31).wrapping_add(*key);
            assert_eq!(map.iter().fold(0, add), left.iter().fold(0, add));
            assert!(map.iter().eq(&left) && map.iter().rev().eq(left.iter().rev()));
            assert_eq!(map.len(), left.len());
            assert!((0..100).all(|key| map.get(&key) == left.get(&key)));
            assert!(map.into_iter().eq(left));
            let (mut map, mut left) = made();
            while let Some(first) = left.pop_first() {
                assert_eq!(map.pop_first(), Some(first));
                assert!(map.iter().eq(&left));
            }
            assert_eq!((map.pop_first(), map.len()), (None, 0));
            let (mut map, mut left) = made();
            while let Some(last) = left.pop_last() {
                assert_eq!(map.pop_last(), Some(last));
                assert!(map.iter().eq(&left));
            }
            assert_eq!((map.pop_last(), map.len()), (None, 0));
            let (mut map, mut left) = made();
            for key in (0..100).map(|i| i * 37 % 100) {
                assert_eq!(map.remove(&key), left.remove(&key));
                assert!(map.iter().eq(&left));
            }
            let (mut map, mut left) = made();
            map.retain(|key, _| key % 3 == 0);
            left.retain(|key, _| key % 3 == 0);
            map.extend((40..60).map(|key| (key, 1)));
            left.extend((40..60).map(|key| (key, 1)));
            assert!(map.iter().eq(&left) && map.len() == left.len());
        }
    }

    type Shared = crate::lock::Mutex<BTreeMap<u32, Text>>;
    use crate::collections::String as Text;

    /// Puts a tree behind a lock that no code makes, only a file may have, and calls `act` with it.
    fn behind_a_lock(
        tree: impl FnOnce(&dyn Fn(u32) -> Pair<u32, Text>, Tag) -> BTreeMap<u32, Text>,
        act: impl FnOnce(&mut crate::lock::MutexGuard<'_, BTreeMap<u32, Text>>),
    ) {
        let segment = crate::Options::new().capacity(64 << 20).create_anonymous().unwrap();
        let map = segment.construct::<Shared>("map", Shared::new(BTreeMap::new())).unwrap();
        let text = |key| Text::from_in(&format!("{key}, with a block of its own"), &segment);
        let pair = |key| Pair { key, value: text(key) };
        let tree = tree(&pair, segment.attached().tag().unwrap());
        let mut guard = map.lock().unwrap();
        guard.as_mut().set(tree);
        act(&mut guard);
        let is_clean = || {
            let report = segment.check().unwrap();
            assert!(report.is_clean(), "{report}");
            report.looked.parts
        };
        drop(guard);
        is_clean();
        BTreeMapMut::clear(&mut map.lock().unwrap());
        assert_eq!(is_clean(), 0);
    }

    #[test]
    fn a_key_that_stands_twice_takes_nothing_from_another() {
        // In no order, so that searches pass by some; the number of keys is no number of them.
        let tree = |pair: &dyn Fn(u32) -> Pair<u32, Text>, tag| {
            let mut map = BTreeMap::with_tag(tag);
            (0..60).for_each(|key| drop(map.insert(key, pair(key).value)));
            for (i, leaf) in map.root.children.iter_mut().enumerate() {
                leaf.pairs.iter_mut().for_each(|pair| pair.key = pair.key * 7 % (3 + i as u32));
            }
            map.len = usize::MAX;
            map
        };
        behind_a_lock(tree, |map| BTreeMapMut::retain(map, |key, _| key % 2 == 0));
        behind_a_lock(tree, |map| BTreeMapMut::retain(map, |_, _| false));
        behind_a_lock(tree, |map| (0..70).for_each(|key| drop(BTreeMapMut::remove(map, &key))));
        behind_a_lock(tree, |map| (0..70).for_each(|_| drop(BTreeMapMut::pop_last(map))));
        behind_a_lock(tree, |map| {
            let value = map.values().next().unwrap().try_clone().unwrap();
            assert!(BTreeMapMut::insert(map, 1000, value).is_none());
        });
    }

    #[test]
    fn a_node_with_more_than_fits_is_split() {
        let tree = |pair: &dyn Fn(u32) -> Pair<u32, Text>, tag| {
            let mut map = BTreeMap::with_tag(tag);
            map.root.pairs.extend((0..100).map(|key| pair(2 * key)));
            map.len = 100;
            map
        };
        behind_a_lock(tree, |map| {
            for key in [1, 77, 199, 201] {
                let value = map[&0].try_clone().unwrap();
                assert!(BTreeMapMut::insert(map, key, value).is_none());
            }
            assert_eq!((map.len(), map.iter().count()), (104, 104));
            assert!(map.keys().is_sorted());
        });
    }

    #[test]
    fn a_tree_too_deep_for_the_stack_is_an_error() {
        let tree = |pair: &dyn Fn(u32) -> Pair<u32, Text>, tag| {
            let mut map = BTreeMap::with_tag(tag);
            map.root.pairs.push(pair(7));
            map.len = 1;
            for _ in 0..100_000 {
                let below = mem::replace(&mut map.root, Node::with_tag(tag));
                map.root.children.push(below);
            }
            map
        };
        behind_a_lock(tree, |map| {
            assert_eq!(map[&7], "7, with a block of its own");
            assert_eq!(map.try_remove(&7), Err(AllocError::Corrupt));
            assert_eq!(map.try_pop_first(), Err(AllocError::Corrupt));
            assert_eq!(map.try_retain(|_, _| false), Err(AllocError::Corrupt));
            assert_eq!(map.try_clone().unwrap().len(), 1);
        });
    }
}
