//! Going over the pairs of a tree, from both ends.

use super::{BTreeMap, Node};
use crate::collections::pair::Pair;
use crate::collections::{IntoIter, Vec};
use crate::shareable::Shareable;
use core::borrow::Borrow;
use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::ops::{Bound, RangeBounds};
use core::ptr;

/// Between two pairs, or at an end: in the leaf that is there. Each place between two is in one leaf.
struct Gap<'a, K: Shareable, V: Shareable> {
    /// The nodes above, and by which child each is left.
    above: std::vec::Vec<(&'a Node<K, V>, usize)>,
    leaf: &'a Node<K, V>,
    /// The leaf's pairs, and how many there are.
    first: At<K, V>,
    len: usize,
    /// How many of them are before it.
    at: usize,
}

/// Where a pair is.
type At<K, V> = *mut Pair<K, V>;

impl<'a, K: Shareable, V: Shareable> Gap<'a, K, V> {
    /// Below `node`, going by the child that `child` names of each node; in the leaf that is its number.
    fn below(node: &'a Node<K, V>, child: impl FnMut(&Node<K, V>) -> usize) -> Self {
        let above = std::vec::Vec::new();
        let mut gap = Gap { above, leaf: node, first: node.pairs.at(0), len: 0, at: 0 };
        gap.go_down(node, child);
        gap
    }

    fn go_down(&mut self, node: &'a Node<K, V>, mut child: impl FnMut(&Node<K, V>) -> usize) {
        let mut node = node;
        loop {
            let at = child(node);
            if node.is_leaf() {
                (self.leaf, self.at) = (node, at);
                (self.first, self.len) = (node.pairs.at(0), node.pairs.len());
                return;
            }
            self.above.push((node, at));
            node = &node.children[at];
        }
    }

    /// Before all keys that are greater than `key`, and, unless it is `behind` it, before the key itself.
    fn beside<Q: Ord + ?Sized>(root: &'a Node<K, V>, key: &Q, behind: bool) -> Self
    where
        K: Borrow<Q>,
    {
        Gap::below(root, |node| match node.search(key) {
            Ok(i) => i + usize::from(behind),
            Err(i) => i,
        })
    }

    fn first(root: &'a Node<K, V>) -> Self {
        Gap::below(root, |_| 0)
    }

    fn last(root: &'a Node<K, V>) -> Self {
        Gap::below(root, |node| node.pairs.len())
    }

    #[inline(always)]
    fn is(&self, other: &Self) -> bool {
        self.at == other.at && ptr::eq(self.leaf, other.leaf)
    }

    /// Goes behind the next pair, which is in a node above.
    fn forward_above(&mut self) -> Option<At<K, V>> {
        while let Some((node, child)) = self.above.pop() {
            if child < node.pairs.len() {
                self.above.push((node, child + 1));
                self.go_down(&node.children[child + 1], |_| 0);
                return Some(node.pairs.at(child));
            }
        }
        None
    }

    /// Goes before the pair before.
    #[inline]
    fn back(&mut self) -> Option<At<K, V>> {
        if self.at > 0 {
            self.at -= 1;
            return Some(self.first.wrapping_add(self.at));
        }
        self.back_above()
    }

    #[inline(never)]
    fn back_above(&mut self) -> Option<At<K, V>> {
        while let Some((node, child)) = self.above.pop() {
            if child > 0 {
                self.above.push((node, child - 1));
                self.go_down(&node.children[child - 1], |node| node.pairs.len());
                return Some(node.pairs.at(child - 1));
            }
        }
        None
    }
}

/// The pairs between two gaps.
pub(super) struct Pairs<'a, K: Shareable, V: Shareable> {
    front: Gap<'a, K, V>,
    back: Gap<'a, K, V>,
    /// How many pairs of the front's leaf are before its end, or before the back.
    until: usize,
}

impl<'a, K: Shareable, V: Shareable> Pairs<'a, K, V> {
    pub fn all(root: &'a Node<K, V>) -> Self {
        Pairs::between(Gap::first(root), Gap::last(root))
    }

    fn between(front: Gap<'a, K, V>, back: Gap<'a, K, V>) -> Self {
        let mut pairs = Pairs { front, back, until: 0 };
        pairs.look_ahead();
        pairs
    }

    /// After one end has come into another leaf, or the back has moved in the front's.
    #[inline(always)]
    fn look_ahead(&mut self) {
        let is_last = ptr::eq(self.front.leaf, self.back.leaf);
        self.until = if is_last { self.back.at } else { self.front.len };
    }

    #[inline(never)]
    fn next_above(&mut self) -> Option<At<K, V>> {
        if self.front.is(&self.back) {
            return None;
        }
        let pair = self.front.forward_above();
        self.look_ahead();
        pair
    }

    #[track_caller]
    pub fn within<Q: Ord + ?Sized>(root: &'a Node<K, V>, range: &impl RangeBounds<Q>) -> Self
    where
        K: Borrow<Q>,
    {
        let (start, end) = (range.start_bound(), range.end_bound());
        if let (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) = (start, end)
        {
            let excludes_both = matches!((start, end), (Bound::Excluded(_), Bound::Excluded(_)));
            assert!(from <= to, "the start of a range is behind its end");
            assert!(from < to || !excludes_both, "a range of one key that it has not in it");
        }
        let front = match start {
            Bound::Included(key) => Gap::beside(root, key, false),
            Bound::Excluded(key) => Gap::beside(root, key, true),
            Bound::Unbounded => Gap::first(root),
        };
        let back = match end {
            Bound::Included(key) => Gap::beside(root, key, true),
            Bound::Excluded(key) => Gap::beside(root, key, false),
            Bound::Unbounded => Gap::last(root),
        };
        Pairs::between(front, back)
    }
}

impl<K: Shareable, V: Shareable> Iterator for Pairs<'_, K, V> {
    type Item = At<K, V>;
    #[inline]
    fn next(&mut self) -> Option<At<K, V>> {
        let at = self.front.at;
        if at < self.until {
            self.front.at = at + 1;
            return Some(self.front.first.wrapping_add(at));
        }
        self.next_above()
    }

    /// Leaf by leaf: where to stop is asked once for each.
    #[inline]
    fn fold<B, F: FnMut(B, At<K, V>) -> B>(self, init: B, mut each: F) -> B {
        let (mut done, Pairs { mut front, back, .. }) = (init, self);
        loop {
            let is_last = ptr::eq(front.leaf, back.leaf) && front.at <= back.at;
            let end = if is_last { back.at } else { front.len };
            for at in front.at..end {
                done = each(done, front.first.wrapping_add(at));
            }
            front.at = end;
            let above = if is_last { None } else { front.forward_above() };
            let Some(pair) = above else { return done };
            done = each(done, pair);
        }
    }
}

impl<K: Shareable, V: Shareable> DoubleEndedIterator for Pairs<'_, K, V> {
    #[inline]
    fn next_back(&mut self) -> Option<At<K, V>> {
        if self.front.is(&self.back) {
            return None;
        }
        let pair = self.back.back();
        self.look_ahead();
        pair
    }
}

/// Writes an iterator over all pairs of a map, and what it makes of the place of each.
macro_rules! all_pairs {
    ($(#[$doc:meta])* $name:ident, $map:ty, $item:ty, |$pair:ident| $made:expr) => {
        $(#[$doc])*
        pub struct $name<'a, K: Shareable, V: Shareable> {
            pairs: Pairs<'a, K, V>,
            left: usize,
            map: PhantomData<$map>,
        }

        impl<'a, K: Shareable, V: Shareable> $name<'a, K, V> {
            pub(super) fn of(map: $map) -> Self {
                $name { left: map.len, pairs: Pairs::all(&map.root), map: PhantomData }
            }
        }

        impl<'a, K: Shareable, V: Shareable> Iterator for $name<'a, K, V> {
            type Item = $item;
            #[inline]
            fn next(&mut self) -> Option<$item> {
                let $pair = self.pairs.next()?;
                self.left = self.left.saturating_sub(1);
                Some($made)
            }
            fn size_hint(&self) -> (usize, Option<usize>) {
                (self.left, Some(self.left))
            }
            #[inline]
            fn fold<B, F: FnMut(B, $item) -> B>(self, init: B, mut each: F) -> B {
                self.pairs.fold(init, |done, $pair| each(done, $made))
            }
        }

        impl<'a, K: Shareable, V: Shareable> DoubleEndedIterator for $name<'a, K, V> {
            #[inline]
            fn next_back(&mut self) -> Option<$item> {
                let $pair = self.pairs.next_back()?;
                self.left = self.left.saturating_sub(1);
                Some($made)
            }
        }

        impl<K: Shareable, V: Shareable> ExactSizeIterator for $name<'_, K, V> {}
        impl<K: Shareable, V: Shareable> FusedIterator for $name<'_, K, V> {}

        impl<'a, K: Shareable, V: Shareable> IntoIterator for $map {
            type Item = $item;
            type IntoIter = $name<'a, K, V>;
            fn into_iter(self) -> $name<'a, K, V> {
                $name::of(self)
            }
        }
    };
}

all_pairs!(
    /// The pairs of a [`BTreeMap`], in the order of their keys.
    BTreeIter, &'a BTreeMap<K, V>, (&'a K, &'a V), |pair| {
        // SAFETY: a pair of a map that is borrowed.
        let Pair { key, value } = unsafe { &*pair };
        (key, value)
    }
);

all_pairs!(
    /// The pairs of a [`BTreeMap`], in the order of their keys.
    BTreeIterMut, &'a mut BTreeMap<K, V>, (&'a K, &'a mut V), |pair| {
        // SAFETY: a pair, each once, of a map that is borrowed exclusively.
        let Pair { key, value } = unsafe { &mut *pair };
        (&*key, value)
    }
);

/// What is left of a node: a child, then a pair, and so on.
struct Left<K: Shareable, V: Shareable> {
    pairs: IntoIter<Pair<K, V>>,
    children: IntoIter<Node<K, V>>,
}

/// The pairs of a [`BTreeMap`] by value, in the order of their keys.
pub struct BTreeIntoIter<K: Shareable, V: Shareable> {
    /// From the root down; the last one's pair comes next.
    nodes: std::vec::Vec<Left<K, V>>,
    left: usize,
}

impl<K: Shareable, V: Shareable> BTreeIntoIter<K, V> {
    fn go_down(&mut self, node: Node<K, V>) {
        let mut below = Some(node);
        while let Some(Node { pairs, children }) = below {
            let (pairs, mut children) = (pairs.into_iter(), Vec::into_iter(children));
            below = children.next();
            self.nodes.push(Left { pairs, children });
        }
    }
}

impl<K: Shareable, V: Shareable> Iterator for BTreeIntoIter<K, V> {
    type Item = (K, V);
    fn next(&mut self) -> Option<(K, V)> {
        loop {
            let node = self.nodes.last_mut()?;
            let Some(Pair { key, value }) = node.pairs.next() else {
                self.nodes.pop();
                continue;
            };
            if let Some(child) = node.children.next() {
                self.go_down(child);
            }
            self.left = self.left.saturating_sub(1);
            return Some((key, value));
        }
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<K: Shareable, V: Shareable> ExactSizeIterator for BTreeIntoIter<K, V> {}
impl<K: Shareable, V: Shareable> FusedIterator for BTreeIntoIter<K, V> {}

impl<K: Shareable, V: Shareable> IntoIterator for BTreeMap<K, V> {
    type Item = (K, V);
    type IntoIter = BTreeIntoIter<K, V>;
    fn into_iter(self) -> BTreeIntoIter<K, V> {
        let mut pairs = BTreeIntoIter { nodes: std::vec::Vec::new(), left: self.len };
        pairs.go_down(self.root);
        pairs
    }
}
