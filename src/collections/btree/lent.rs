//! Changing a tree that a lock guards.

use super::iter::Pairs;
use super::node::{LEAST, MOST, Node, Owner, Which};
use super::{BTreeMap, BTreeSet};
use crate::collections::pair::Pair;
use crate::collections::vec::lent::{Gap, insert, made, remove};
use crate::collections::{TryClone, Vec, or_panic, raw};
use crate::heap::error::AllocError;
use crate::lock::lent::{Change, Lend, Mut};
use crate::shareable::Shareable;
use crate::word::Word;
use core::borrow::Borrow;
use core::mem::{ManuallyDrop, offset_of};
use core::ptr::{self, NonNull};

/// What changes a [`BTreeMap`] that a guard or a place lends; std's names.
///
/// ```
/// use sharena::{Options, collections::{BTreeMap, BTreeMapMut}, lock::Mutex};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Options::new().capacity(1 << 20).create_anonymous()?;
/// let (due, _) = segment.find_or_construct("due", || Mutex::new(BTreeMap::new_in(&segment)))?;
/// let mut due = due.lock().unwrap();
/// due.insert(30, 1u32);
/// due.insert(10, 2u32);
/// assert_eq!(due.pop_first(), Some((10, 2)));
/// # Ok(())
/// # }
/// ```
///
/// Each call is all or nothing, as those of [`VecMut`](crate::collections::VecMut) are, and what takes
/// something out gives a copy of it. Most calls change one leaf; where nodes are split or merged, those on the
/// way there are made anew.
pub trait BTreeMapMut<K: Shareable + Ord, V: Shareable>: Lend<Value = BTreeMap<K, V>> {
    /// Puts a value at a key; a copy of the one that was there.
    ///
    /// # Panics
    /// Where [`try_insert`](Self::try_insert) is an error.
    #[track_caller]
    fn insert(&mut self, key: K, value: V) -> Option<V>
    where
        V: TryClone,
    {
        or_panic(self.try_insert(key, value))
    }

    /// Puts a value at a key; a copy of the one that was there.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was, key and value are dropped.
    fn try_insert(&mut self, key: K, value: V) -> Result<Option<V>, AllocError>
    where
        V: TryClone,
    {
        let mut place = self.lend();
        let Some(change) = Change::of(place.home()) else {
            return own(&mut place).try_insert(key, value);
        };
        if let Some(mut found) = place.get_mut(&key) {
            return found.try_replace(value).map(Some);
        }
        inserted(&place, change, Pair { key, value })?;
        Ok(None)
    }

    /// Takes out a key; a copy of its value.
    ///
    /// # Panics
    /// Where [`try_remove`](Self::try_remove) is an error.
    #[track_caller]
    fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        V: TryClone,
    {
        or_panic(self.try_remove(key))
    }

    /// Takes out a key; a copy of its value.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    fn try_remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Result<Option<V>, AllocError>
    where
        K: Borrow<Q>,
        V: TryClone,
    {
        let mut place = self.lend();
        let Some(change) = Change::of(place.home()) else {
            return Ok(own(&mut place).remove(key));
        };
        taken(&place, change, Which::Key(key), |pair| pair.value.try_clone())
    }

    /// Takes out the least key and its value; copies of them.
    ///
    /// # Panics
    /// Where [`try_pop_first`](Self::try_pop_first) is an error.
    #[track_caller]
    fn pop_first(&mut self) -> Option<(K, V)>
    where
        K: TryClone,
        V: TryClone,
    {
        or_panic(self.try_pop_first())
    }

    /// Takes out the least key and its value; copies of them.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    fn try_pop_first(&mut self) -> Result<Option<(K, V)>, AllocError>
    where
        K: TryClone,
        V: TryClone,
    {
        let mut place = self.lend();
        let Some(change) = Change::of(place.home()) else {
            return Ok(own(&mut place).pop_first());
        };
        taken(&place, change, Which::<K>::First, copy)
    }

    /// Takes out the greatest key and its value; copies of them.
    ///
    /// # Panics
    /// Where [`try_pop_last`](Self::try_pop_last) is an error.
    #[track_caller]
    fn pop_last(&mut self) -> Option<(K, V)>
    where
        K: TryClone,
        V: TryClone,
    {
        or_panic(self.try_pop_last())
    }

    /// Takes out the greatest key and its value; copies of them.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    fn try_pop_last(&mut self) -> Result<Option<(K, V)>, AllocError>
    where
        K: TryClone,
        V: TryClone,
    {
        let mut place = self.lend();
        let Some(change) = Change::of(place.home()) else {
            return Ok(own(&mut place).pop_last());
        };
        taken(&place, change, Which::<K>::Last, copy)
    }

    /// Keeps the pairs of which `keep` says so, asked in their order.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    fn try_retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) -> Result<(), AllocError> {
        let mut place = self.lend();
        let Some(change) = Change::of(place.home()) else {
            own(&mut place).retain(|key, value| keep(key, value));
            return Ok(());
        };
        retained(&place, change, keep)
    }

    /// Keeps the pairs of which `keep` says so, asked in their order.
    ///
    /// # Panics
    /// Where [`try_retain`](Self::try_retain) is an error.
    #[track_caller]
    fn retain(&mut self, keep: impl FnMut(&K, &V) -> bool) {
        or_panic(self.try_retain(keep));
    }

    /// Drops all pairs.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    fn try_clear(&mut self) -> Result<(), AllocError> {
        let mut place = self.lend();
        let Some(mut change) = Change::of(place.home()) else {
            own(&mut place).clear();
            return Ok(());
        };
        let empty = ManuallyDrop::new(BTreeMap::<K, V>::with_tag(change.tag()?));
        change.bury(place.as_ptr(), 1)?;
        change.write(place.as_ptr(), &raw const *empty, 1);
        change.make()
    }

    /// Drops all pairs.
    ///
    /// # Panics
    /// Where [`try_clear`](Self::try_clear) is an error.
    #[track_caller]
    fn clear(&mut self) {
        or_panic(self.try_clear());
    }

    /// Lends the value of a key.
    fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<Mut<'_, V>>
    where
        K: Borrow<Q>,
    {
        let place = self.lend();
        let pair = at(&place.root, Which::Key(key))?;
        let value = NonNull::new(pair.wrapping_byte_add(offset_of!(Pair<K, V>, value)).cast())?;
        // SAFETY: the value of a pair, of a map that we have alone.
        Some(unsafe { place.into_part_at(value) })
    }
}

impl<K: Shareable + Ord, V: Shareable, G: Lend<Value = BTreeMap<K, V>>> BTreeMapMut<K, V> for G {}

/// What changes a [`BTreeSet`] that a guard or a place lends; std's names.
///
/// As [`BTreeMapMut`].
pub trait BTreeSetMut<T: Shareable + Ord>: Lend<Value = BTreeSet<T>> {
    /// Puts a key in; whether it was not there.
    ///
    /// # Panics
    /// Where [`try_insert`](Self::try_insert) is an error.
    #[track_caller]
    fn insert(&mut self, key: T) -> bool {
        or_panic(self.try_insert(key))
    }

    /// Puts a key in; whether it was not there.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was, and the key is dropped.
    fn try_insert(&mut self, key: T) -> Result<bool, AllocError> {
        let mut place = self.lend();
        Ok(keys(&mut place).try_insert(key, ())?.is_none())
    }

    /// Takes a key out; whether it was there.
    ///
    /// # Panics
    /// Where [`try_remove`](Self::try_remove) is an error.
    #[track_caller]
    fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        or_panic(self.try_remove(key))
    }

    /// Takes a key out; whether it was there.
    ///
    /// # Errors
    /// [`AllocError`]; all is as it was.
    fn try_remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Result<bool, AllocError>
    where
        T: Borrow<Q>,
    {
        let mut place = self.lend();
        Ok(keys(&mut place).try_remove(key)?.is_some())
    }

    /// Takes out the least key; a copy of it.
    ///
    /// # Panics
    /// Where there is no memory; all is as it was.
    #[track_caller]
    fn pop_first(&mut self) -> Option<T>
    where
        T: TryClone,
    {
        let mut place = self.lend();
        keys(&mut place).pop_first().map(|(key, ())| key)
    }

    /// Takes out the greatest key; a copy of it.
    ///
    /// # Panics
    /// Where there is no memory; all is as it was.
    #[track_caller]
    fn pop_last(&mut self) -> Option<T>
    where
        T: TryClone,
    {
        let mut place = self.lend();
        keys(&mut place).pop_last().map(|(key, ())| key)
    }

    /// Keeps the keys of which `keep` says so, asked in their order.
    ///
    /// # Panics
    /// Where there is no memory; all is as it was.
    #[track_caller]
    fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let mut place = self.lend();
        keys(&mut place).retain(|key, ()| keep(key));
    }

    /// Drops all keys.
    ///
    /// # Panics
    /// Where there is no memory; all is as it was.
    #[track_caller]
    fn clear(&mut self) {
        let mut place = self.lend();
        keys(&mut place).clear();
    }
}

impl<T: Shareable + Ord, G: Lend<Value = BTreeSet<T>>> BTreeSetMut<T> for G {}

/// The map of which a set is the keys.
fn keys<'a, T: Shareable + Ord>(place: &'a mut Mut<'_, BTreeSet<T>>) -> Mut<'a, BTreeMap<T, ()>> {
    let at = NonNull::new(place.as_ptr().cast::<BTreeMap<T, ()>>()).expect("of a place");
    // SAFETY: a transparent wrapper of it.
    unsafe { place.part_at(at) }
}

/// A private one.
fn own<'a, K: Shareable, V: Shareable>(
    place: &'a mut Mut<'_, BTreeMap<K, V>>,
) -> &'a mut BTreeMap<K, V> {
    // SAFETY: it lives in memory of this process' own, and we have the place exclusively.
    unsafe { &mut *place.as_ptr() }
}

fn copy<K: Shareable + TryClone, V: Shareable + TryClone>(
    pair: &Pair<K, V>,
) -> Result<(K, V), AllocError> {
    Ok((pair.key.try_clone()?, pair.value.try_clone()?))
}

/// Where a pair is.
fn at<K: Shareable + Borrow<Q>, V: Shareable, Q: Ord + ?Sized>(
    root: &Node<K, V>,
    which: Which<'_, Q>,
) -> Option<*mut Pair<K, V>> {
    match which {
        Which::First => Pairs::all(root).next(),
        Which::Last => Pairs::all(root).next_back(),
        Which::Key(key) => {
            let mut node = root;
            loop {
                match node.search(key) {
                    Ok(i) => return Some(node.pairs.at(i)),
                    Err(i) => node = node.children.get(i)?,
                }
            }
        }
    }
}

/// The leaf in which a pair is or would be, and its number there; none, if it is in a node above.
fn leaf_of<'n, K: Shareable + Borrow<Q>, V: Shareable, Q: Ord + ?Sized>(
    root: &'n Node<K, V>,
    which: Which<'_, Q>,
) -> Option<(&'n Node<K, V>, usize)> {
    let mut node = root;
    loop {
        match which.of(node) {
            Ok(i) | Err(i) if node.is_leaf() => return Some((node, i)),
            Ok(_) => return None,
            Err(i) => node = node.children.get(i)?,
        }
    }
}

/// Levels of a tree at most: each but the last has two children or more. Only a damaged file has others.
const DEEPEST: usize = 64;

/// Whether a pair can be taken out, which goes from node to node by recursion.
fn is_shallow<K: Shareable + Borrow<Q>, V: Shareable, Q: Ord + ?Sized>(
    root: &Node<K, V>,
    which: Which<'_, Q>,
) -> bool {
    let (mut node, mut which) = (root, which);
    for _ in 0..DEEPEST {
        let at = which.of(node);
        if at.is_ok() {
            which = Which::Last; // the one before takes its place
        }
        let (Ok(i) | Err(i)) = at;
        match node.children.get(i) {
            Some(child) => node = child,
            None => return true,
        }
    }
    false
}

fn set_len<K: Shareable, V: Shareable>(
    change: &mut Change<'_>,
    map: *mut BTreeMap<K, V>,
    len: usize,
) {
    let at = map.wrapping_byte_add(offset_of!(BTreeMap<K, V>, len)).cast::<usize>();
    change.write(at, &raw const len, 1);
}

/// Of a published tree: its nodes are copied before they change, and only the root is written in the end.
struct Copies<'a>(Change<'a>);

impl<K: Shareable, V: Shareable> Owner<K, V> for Copies<'_> {
    fn own(&mut self, node: &mut Node<K, V>) -> Result<(), AllocError> {
        let Copies(change) = self;
        let tag = change.tag()?;
        let blocks = [node.pairs.block(), node.children.block()].into_iter().flatten();
        let (ours, others): (std::vec::Vec<Word>, _) =
            blocks.partition(|block| change.is_own(block.offset()));
        if others.is_empty() && (node.tag() == tag || !ours.is_empty()) {
            return Ok(());
        }
        let mut copy = Node::with_tag(tag);
        copy.pairs.try_reserve(MOST.max(node.pairs.len()))?;
        if !node.is_leaf() {
            copy.children.try_reserve((MOST + 1).max(node.children.len()))?;
        }
        // SAFETY: there is room. The other ones are seen no more once the change is made, and if it is not, the
        // copies are let go without being dropped.
        unsafe {
            copy.pairs.mirror(&node.pairs);
            copy.children.mirror(&node.children);
        }
        let others: std::vec::Vec<Word> = others;
        others.iter().for_each(|block| change.bury_block(block.offset()));
        // SAFETY: its blocks are others', which are not freed here.
        unsafe { ptr::write(node, copy) };
        Ok(())
    }
}

/// A tree that is to take a published one's place.
struct Shadow<'a, K: Shareable, V: Shareable> {
    root: ManuallyDrop<Node<K, V>>,
    owner: Copies<'a>,
}

impl<'a, K: Shareable, V: Shareable> Shadow<'a, K, V> {
    fn of(map: &BTreeMap<K, V>, change: Change<'a>) -> Self {
        // SAFETY: never dropped, and changed where it is copied alone.
        let root = unsafe { ptr::from_ref(&map.root).cast::<ManuallyDrop<Node<K, V>>>().read() };
        Shadow { root, owner: Copies(change) }
    }

    /// Takes a pair out, and what hangs on it; whether there was one.
    fn take<Q: Ord + ?Sized>(&mut self, which: Which<'_, Q>) -> Result<bool, AllocError>
    where
        K: Borrow<Q>,
    {
        if !is_shallow(&self.root, which) {
            return Err(AllocError::Corrupt);
        }
        let Some(pair) = self.root.take(&mut self.owner, which)? else { return Ok(false) };
        self.root.sink(&mut self.owner)?;
        // By what was taken, and not by where it was found: in a damaged file a key may stand twice.
        self.owner.0.bury_taken(pair)?;
        Ok(true)
    }

    /// What leads to the blocks that are our own.
    fn own_blocks(&self) -> std::vec::Vec<Word> {
        let (mut own, mut nodes) = (std::vec::Vec::new(), vec![&*self.root]);
        let is_own = |block: &Word| self.owner.0.is_own(block.offset());
        while let Some(node) = nodes.pop() {
            let children = node.children.block().filter(is_own);
            own.extend(node.pairs.block().filter(is_own).into_iter().chain(children));
            if children.is_some() {
                nodes.extend(node.children.iter());
            }
        }
        own
    }

    /// Takes the place of what `map` has, which has `len` pairs then.
    fn stand_in(self, map: *mut BTreeMap<K, V>, len: usize) -> Result<(), AllocError> {
        let own = self.own_blocks();
        let Shadow { root, owner: Copies(mut change) } = self;
        own.iter().for_each(|block| change.hang_block(block.offset()));
        let root = ManuallyDrop::into_inner(root);
        let whole = ManuallyDrop::new(BTreeMap { root, len });
        change.write(map, &raw const *whole, 1);
        change.make().inspect_err(|_| free(own))
    }

    fn let_go(self) {
        free(self.own_blocks());
    }
}

/// Gives back blocks of a shadow, whatever is in them.
fn free(blocks: std::vec::Vec<Word>) {
    // SAFETY: ours, and nobody has them but a shadow, which is gone.
    blocks.into_iter().for_each(|block| unsafe { raw::free(block) });
}

/// A pair whose key is not there. It is dropped if there is an error.
fn inserted<K: Shareable + Ord, V: Shareable>(
    place: &Mut<'_, BTreeMap<K, V>>,
    mut change: Change<'_>,
    pair: Pair<K, V>,
) -> Result<(), AllocError> {
    let (map, len) = (place.as_ptr(), place.len.saturating_add(1));
    if let Some((leaf, i)) = leaf_of(&place.root, Which::Key(&pair.key))
        && leaf.pairs.len() < MOST
    {
        let mut pair = ManuallyDrop::new(pair);
        let pairs: *const Vec<Pair<K, V>> = &raw const leaf.pairs;
        let room = insert(pairs.cast_mut(), &mut change, i, &pair);
        set_len(&mut change, map, len);
        return room.and_then(|room| made(change, room)).inspect_err(|_| {
            // SAFETY: it hangs nowhere.
            unsafe { ManuallyDrop::drop(&mut pair) };
        });
    }
    let mut shadow = Shadow::of(place, change);
    let value = match shadow.root.put(&mut shadow.owner, pair) {
        Ok((_, value)) => value,
        Err(error) => {
            shadow.let_go();
            return Err(error);
        }
    };
    let pair = value.as_ptr().wrapping_byte_sub(offset_of!(Pair<K, V>, value)).cast::<Pair<K, V>>();
    // SAFETY: it was just put there.
    let whole = || drop(unsafe { pair.read() });
    if let Err(error) = shadow.owner.0.hang(pair, 1) {
        whole();
        shadow.let_go();
        return Err(error);
    }
    // The pair's bytes, in case its block is free again.
    // SAFETY: as above.
    let mut pair = unsafe { pair.cast::<ManuallyDrop<Pair<K, V>>>().read() };
    shadow.stand_in(map, len).inspect_err(|_| {
        // SAFETY: it hangs nowhere.
        unsafe { ManuallyDrop::drop(&mut pair) };
    })
}

/// Takes a pair out; what `copy` makes of it before.
fn taken<K: Shareable + Ord + Borrow<Q>, V: Shareable, Q: Ord + ?Sized, T>(
    place: &Mut<'_, BTreeMap<K, V>>,
    mut change: Change<'_>,
    which: Which<'_, Q>,
    copy: impl FnOnce(&Pair<K, V>) -> Result<T, AllocError>,
) -> Result<Option<T>, AllocError> {
    let Some(pair) = at(&place.root, which) else { return Ok(None) };
    // SAFETY: a pair of a map that is lent.
    let copy = copy(unsafe { &*pair })?;
    let (map, len) = (place.as_ptr(), place.len.saturating_sub(1));
    if let Some((leaf, i)) = leaf_of(&place.root, which)
        && leaf.pairs.at(i) == pair
        && (leaf.pairs.len() > LEAST || ptr::eq(leaf, &place.root))
    {
        let pairs: *const Vec<Pair<K, V>> = &raw const leaf.pairs;
        remove(pairs.cast_mut(), &mut change, i, Gap::Closed)?;
        set_len(&mut change, map, len);
        change.make()?;
        return Ok(Some(copy));
    }
    let mut shadow = Shadow::of(place, change);
    match shadow.take(which) {
        Ok(true) => shadow.stand_in(map, len)?,
        Ok(false) => {
            shadow.let_go();
            return Ok(None);
        }
        Err(error) => {
            shadow.let_go();
            return Err(error);
        }
    }
    Ok(Some(copy))
}

/// Only the pairs of which `keep` says so.
fn retained<K: Shareable + Ord, V: Shareable>(
    place: &Mut<'_, BTreeMap<K, V>>,
    change: Change<'_>,
    mut keep: impl FnMut(&K, &V) -> bool,
) -> Result<(), AllocError> {
    // User code first: it may unwind.
    let go: std::vec::Vec<*mut Pair<K, V>> = Pairs::all(&place.root)
        .filter(|pair| {
            // SAFETY: a pair of a map that is lent.
            let Pair { key, value } = unsafe { &**pair };
            !keep(key, value)
        })
        .collect();
    if go.is_empty() {
        return Ok(());
    }
    let mut shadow = Shadow::of(place, change);
    let taken = go.iter().try_fold(0, |taken, pair| {
        // SAFETY: as above: what is changed is a copy.
        let key = unsafe { &(**pair).key };
        shadow.take(Which::Key(key)).map(|is_taken| taken + usize::from(is_taken))
    });
    match taken {
        Ok(taken) => shadow.stand_in(place.as_ptr(), place.len.saturating_sub(taken)),
        Err(error) => {
            shadow.let_go();
            Err(error)
        }
    }
}
