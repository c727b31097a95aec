//! A node of a tree: how pairs are put in and taken out. See [`btree`](super).

use crate::collections::Vec;
use crate::collections::pair::Pair;
use crate::heap::error::AllocError;
use crate::shareable::{LayoutHash, Shareable};
use crate::trace::map::Tracer;
use crate::word::Tag;
use core::borrow::Borrow;
use core::mem::{self, ManuallyDrop, offset_of};
use core::ptr::NonNull;
use core::{cmp, fmt};

/// Pairs of a node at most.
pub const MOST: usize = 15;
/// With fewer a node is small.
pub const LEAST: usize = 5;

#[repr(C)]
pub struct Node<K: Shareable, V: Shareable> {
    /// In their order.
    pub pairs: Vec<Pair<K, V>>,
    /// One more than pairs; of a leaf none.
    pub children: Vec<Node<K, V>>,
}

// SAFETY: two vectors of Shareable types, at the offsets that the fingerprint names.
unsafe impl<K: Shareable, V: Shareable> Shareable for Node<K, V> {
    const NAME: u64 = LayoutHash::of_name("BTreeNode").parameter::<K>().parameter::<V>().finish();
    const FINGERPRINT: u64 = LayoutHash::of_type::<Self>()
        .field("pairs", offset_of!(Self, pairs), Vec::<Pair<K, V>>::FINGERPRINT)
        .field("children", offset_of!(Self, children), Vec::<Self>::FINGERPRINT)
        .finish();
    const ANY_BITS: bool = false;
    const HAS_BLOCKS: bool = true;
    fn describe(out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("BTreeNode<")?;
        Pair::<K, V>::describe(out)?;
        out.write_str(">")
    }
    // SAFETY: the trait's. What the words lead to is looked at by whoever has the segment.
    unsafe fn is_valid(at: *const Self) -> bool {
        // SAFETY: the caller vouches for the aligned bytes; what is looked at are numbers.
        let (pairs, children) = unsafe {
            let (pairs, children) = (&raw const (*at).pairs, &raw const (*at).children);
            if !Vec::is_valid(pairs) || !Vec::is_valid(children) {
                return false;
            }
            ((*pairs).len(), (*children).len())
        };
        children == 0 || pairs.checked_add(1) == Some(children)
    }
    fn trace(map: &mut Tracer) {
        // That it has one child more than pairs; and the parts.
        map.opaque::<Self>();
        map.field(offset_of!(Self, pairs), Vec::<Pair<K, V>>::trace);
        map.field(offset_of!(Self, children), Vec::<Self>::trace);
    }
}

/// Which pair is meant.
pub enum Which<'q, Q: ?Sized> {
    Key(&'q Q),
    First,
    Last,
}

impl<Q: ?Sized> Clone for Which<'_, Q> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<Q: ?Sized> Copy for Which<'_, Q> {}

impl<Q: Ord + ?Sized> Which<'_, Q> {
    /// Its number in a node, or that of the child in which it is.
    #[inline]
    pub fn of<K: Shareable + Borrow<Q>, V: Shareable>(
        self,
        node: &Node<K, V>,
    ) -> Result<usize, usize> {
        match self {
            Which::Key(key) => node.search(key),
            Which::First if node.is_leaf() && !node.pairs.is_empty() => Ok(0),
            Which::First => Err(0),
            Which::Last if node.is_leaf() => node.pairs.len().checked_sub(1).ok_or(0),
            Which::Last => Err(node.pairs.len()),
        }
    }
}

/// Who changes a tree: makes a node its own before anything in it is changed.
pub trait Owner<K: Shareable, V: Shareable> {
    /// Of a node whose parent is its own, or of the root.
    fn own(&mut self, node: &mut Node<K, V>) -> Result<(), AllocError>;
}

/// Of a private tree: all of it is its own.
pub struct Private;

impl<K: Shareable, V: Shareable> Owner<K, V> for Private {
    #[inline(always)]
    fn own(&mut self, _: &mut Node<K, V>) -> Result<(), AllocError> {
        Ok(())
    }
}

/// What a private tree's owner got: it has no errors.
#[inline(always)]
pub fn sure<T>(taken: Result<T, AllocError>) -> T {
    taken.expect("all of a private tree is its owner's")
}

impl<K: Shareable, V: Shareable> Node<K, V> {
    #[inline]
    pub const fn with_tag(tag: Tag) -> Self {
        Node { pairs: Vec::with_tag(tag), children: Vec::with_tag(tag) }
    }

    #[inline(always)]
    pub fn is_leaf(&self) -> bool {
        self.children.is_empty()
    }

    pub fn tag(&self) -> Tag {
        self.pairs.tag()
    }

    /// The number of a key, or of the child in which it would be.
    #[inline]
    pub fn search<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        // One after the other: of so few that is no slower than halving.
        for (i, pair) in self.pairs.iter().enumerate() {
            match key.cmp(pair.key.borrow()) {
                cmp::Ordering::Greater => {}
                cmp::Ordering::Equal => return Ok(i),
                cmp::Ordering::Less => return Err(i),
            }
        }
        Err(self.pairs.len())
    }

    /// A node with room for what this one has; one of a file may have more than fits.
    fn room_like(&self) -> Result<Self, AllocError> {
        let mut room = Self::with_tag(self.tag());
        room.pairs.try_reserve(MOST.max(self.pairs.len()))?;
        if !self.is_leaf() {
            room.children.try_reserve((MOST + 1).max(self.children.len()))?;
        }
        Ok(room)
    }

    /// Makes two of a child that is full; the second begins behind its pair number `at`, which comes up.
    fn split(&mut self, child: usize, at: usize) -> Result<(), AllocError> {
        self.pairs.try_reserve(1)?;
        self.children.try_reserve(1)?;
        let left = &mut self.children[child];
        let mut right = left.room_like()?;
        // Nothing fails from here on.
        let is_moved = right.pairs.try_extend(left.pairs.drain(at + 1..)).is_ok();
        debug_assert!(is_moved, "there is room");
        let pair = left.pairs.pop().expect("it was full");
        if !left.is_leaf() {
            let is_moved = right.children.try_extend(left.children.drain(at + 1..)).is_ok();
            debug_assert!(is_moved, "there is room");
        }
        self.pairs.insert(child, pair);
        self.children.insert(child + 1, right);
        Ok(())
    }

    /// Puts a pair in whose key may be there; the value that was, and where the new one is.
    ///
    /// An error leaves what the tree has as it was.
    pub fn put(
        &mut self,
        owner: &mut impl Owner<K, V>,
        pair: Pair<K, V>,
    ) -> Result<(Option<V>, NonNull<V>), AllocError>
    where
        K: Ord,
    {
        owner.own(self)?;
        if self.pairs.len() >= MOST {
            let mut root = Self::with_tag(self.tag());
            root.pairs.try_reserve(1)?;
            root.children.try_reserve(2)?;
            let at = Self::middle(self.goes_last(&pair.key));
            root.children.push(mem::replace(self, Self::with_tag(Tag::NONE)));
            let split = root.split(0, at);
            *self = match split {
                Ok(()) => root,
                Err(_) => root.children.pop().expect("the old root"),
            };
            split?;
        }
        let mut node = self;
        loop {
            let i = match node.search(&pair.key) {
                Ok(i) => {
                    let value = &mut node.pairs[i].value;
                    let old = mem::replace(value, pair.value);
                    return Ok((Some(old), NonNull::from(value)));
                }
                Err(i) if node.is_leaf() => {
                    node.pairs.try_insert(i, pair)?;
                    return Ok((None, NonNull::from(&mut node.pairs[i].value)));
                }
                Err(i) => i,
            };
            owner.own(&mut node.children[i])?;
            if node.children[i].pairs.len() < MOST {
                node = &mut node.children[i];
                continue;
            }
            let goes_last = i == node.pairs.len() && node.children[i].goes_last(&pair.key);
            // Then this node is looked through again, which has a pair more.
            node.split(i, Self::middle(goes_last))?;
        }
    }

    fn goes_last(&self, key: &K) -> bool
    where
        K: Ord,
    {
        self.pairs.last().is_some_and(|last| *key > last.key)
    }

    /// Where a full node is split: who puts keys in in their order leaves full ones behind.
    fn middle(goes_last: bool) -> usize {
        if goes_last { MOST - 2 } else { MOST / 2 }
    }

    /// Takes a pair out.
    ///
    /// An error, of an owner who has some, leaves the tree in between.
    pub fn take<Q: Ord + ?Sized>(
        &mut self,
        owner: &mut impl Owner<K, V>,
        which: Which<'_, Q>,
    ) -> Result<Option<ManuallyDrop<Pair<K, V>>>, AllocError>
    where
        K: Borrow<Q>,
    {
        owner.own(self)?;
        match which.of(self) {
            Ok(i) if self.is_leaf() => Ok(Some(ManuallyDrop::new(self.pairs.remove(i)))),
            Ok(i) => {
                // The one before takes its place.
                let before = self.children[i].take(owner, Which::<Q>::Last)?;
                let Some(before) = before else { return Ok(Some(self.without_child(i, i))) };
                let before = ManuallyDrop::into_inner(before);
                let taken = ManuallyDrop::new(mem::replace(&mut self.pairs[i], before));
                self.mend(owner, i)?;
                Ok(Some(taken))
            }
            Err(i) if i < self.children.len() => {
                let taken = self.children[i].take(owner, which)?;
                if taken.is_some() {
                    self.mend(owner, i)?;
                    return Ok(taken);
                }
                // Below that child there is no pair: the next one is the pair beside it.
                Ok(match which {
                    Which::First if !self.pairs.is_empty() => Some(self.without_child(0, 0)),
                    Which::Last if i > 0 => Some(self.without_child(i, i - 1)),
                    _ => None,
                })
            }
            Err(_) => Ok(None),
        }
    }

    /// Takes out a pair, and the child beside it, below which there is none.
    fn without_child(&mut self, child: usize, pair: usize) -> ManuallyDrop<Pair<K, V>> {
        drop(self.children.remove(child));
        ManuallyDrop::new(self.pairs.remove(pair))
    }

    /// A child that may have become small is mended with a neighbour.
    fn mend(&mut self, owner: &mut impl Owner<K, V>, child: usize) -> Result<(), AllocError> {
        if self.children[child].pairs.len() >= LEAST || self.pairs.is_empty() {
            return Ok(());
        }
        let left = child.saturating_sub(1);
        for i in [left, left + 1] {
            owner.own(&mut self.children[i])?;
        }
        let [one, other] = self.children.get_disjoint_mut([left, left + 1]).expect("neighbours");
        let (goes_left, goes_right) = (child == left, child == left + 1);
        if one.pairs.len() + 1 + other.pairs.len() <= MOST {
            let has_room = one.pairs.try_reserve(1 + other.pairs.len()).is_ok()
                && one.children.try_reserve(other.children.len()).is_ok();
            if has_room {
                let mut other = self.children.remove(left + 1);
                let one = &mut self.children[left];
                one.pairs.push(self.pairs.remove(left));
                one.pairs.append(&mut other.pairs);
                one.children.append(&mut other.children);
            }
            return Ok(());
        }
        let small = if goes_left { &mut *one } else { &mut *other };
        let has_room = small.pairs.try_reserve(1).is_ok()
            && (small.is_leaf() || small.children.try_reserve(1).is_ok());
        if !has_room {
            return Ok(());
        }
        let between = &mut self.pairs[left];
        if goes_right {
            let last = one.pairs.pop().expect("the larger one");
            other.pairs.insert(0, mem::replace(between, last));
            if let Some(last) = one.children.pop() {
                other.children.insert(0, last);
            }
        } else {
            let first = other.pairs.remove(0);
            one.pairs.push(mem::replace(between, first));
            if !other.is_leaf() {
                one.children.push(other.children.remove(0));
            }
        }
        Ok(())
    }

    /// A root that has one child, and no pair, is that child.
    pub fn sink(&mut self, owner: &mut impl Owner<K, V>) -> Result<(), AllocError> {
        while self.pairs.is_empty() && self.children.len() == 1 {
            owner.own(self)?;
            *self = self.children.pop().expect("one");
        }
        Ok(())
    }

    /// Keeps the pairs of which `keep` says so; counts the others down.
    pub fn retain(&mut self, len: &mut usize, keep: &mut impl FnMut(&K, &mut V) -> bool)
    where
        K: Ord,
    {
        if self.is_leaf() {
            self.pairs.retain_mut(|pair| {
                let is_kept = keep(&pair.key, &mut pair.value);
                *len -= usize::from(!is_kept);
                is_kept
            });
            return;
        }
        let mut i = 0;
        while i < self.children.len() {
            self.children[i].retain(len, keep);
            let Some(pair) = self.pairs.get_mut(i) else { break };
            if keep(&pair.key, &mut pair.value) {
                i += 1;
                continue;
            }
            *len -= 1;
            match sure(self.children[i].take(&mut Private, Which::<K>::Last)) {
                Some(before) => {
                    self.pairs[i] = ManuallyDrop::into_inner(before);
                    i += 1;
                }
                None => drop(ManuallyDrop::into_inner(self.without_child(i, i))),
            }
        }
        for i in (0..self.children.len()).rev() {
            if i < self.children.len() {
                sure(self.mend(&mut Private, i));
            }
        }
    }
}
