//! Trace maps: where in a value blocks hang, and what lies in those.
//!
//! A value of a type that [has blocks](crate::Shareable::HAS_BLOCKS) is the root of a tree: its words
//! name blocks, in which values lie whose words name blocks. The types' code knows the tree; but who
//! recovers a dead process, or destroys and checks what others constructed, may not have that code. So
//! before the first value of a type is published its map stands in the segment.
//!
//! A map is a list of **nodes**, each a type of values that lie in a block (node 0: the root's own), and
//! each a list of **items**: parts of such a value that lead on, or of which not all bytes are values.
//! Fields of fields are items of the whole; a part of which nothing is to be said is none.
//!
//! ```text
//! struct Line { points: Vec<Point>, name: Option<Box<String>>, closed: bool }
//!
//! node 0  Line     buffer at 0 of node 1, box at 24 of node 2 or null, bool at 32
//! node 1  Point    nothing
//! node 2  String   text at 0
//! ```
//!
//! Two programs agree on a type if their maps are equal, word for word: nodes have their types'
//! fingerprints.

use crate::shareable::Shareable;
use core::any::TypeId;
use std::collections::HashMap;

/// Bytes of elements that the block of a ring has room for at least: so that elements that are no words, and
/// of which at most half are written, leave whole words between the two ends of what is written.
pub const LEAST_RING: u64 = 64;

/// A part of a value; `at`: bytes from the value's start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// A byte that is 0 or 1.
    Bool,
    /// A scalar value of Unicode, of four bytes.
    Char,
    /// So many bytes that are not all 0.
    NonZero(u32),
    /// Something of which only its type's code knows which bytes are values: check number so many.
    Opaque(u32),
    /// `count` values of a node, one behind the other.
    Array { node: u32, count: u32 },
    /// A tag of `width` bytes, which the next `variants` items name.
    Enum { width: u32, variants: u32 },
    /// The value of the tag and what the whole is then: a node that begins where the tag does.
    Variant { node: u32, number: u64 },
    /// The word of a block with one value of a node; `null`: it may be null.
    Box { node: u32, null: bool },
    /// Word, length and capacity of a block with so many values of a node; `text`: they are UTF-8.
    Buffer { node: u32, text: bool },
    /// Word, length and number of buckets of a block with so many buckets of a node, and behind them a
    /// control byte for each: below 0x80 if there is a value.
    Table { node: u32 },
    /// The word of a [lock](crate::lock), and `at` bytes from there the value of a node that it guards.
    Lock { node: u32, at: u32 },
    /// Word, two positions and capacity of a block with so many places for values of a node: there is one at
    /// each position from the first to before the second, in the place of that number modulo the capacity.
    Ring { node: u32 },
    /// The word of a [lease](super::lease), by which it shares an object that is one value of a node; `null`: it
    /// may be null.
    Lease { node: u32, null: bool },
    /// A word that leads to an object of its own, as an entry's does; or null.
    Leads,
}

/// A part, and where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Item {
    pub at: u32,
    pub part: Part,
}

/// A type of values that lie in a block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    pub fingerprint: u64,
    pub size: u32,
    pub align: u32,
    pub items: Vec<Item>,
}

/// What hangs on values of a type.
#[derive(Clone, Debug)]
pub struct Map {
    pub nodes: Vec<Node>,
    /// Of a map that was made in this process, what knows [opaque](Part::Opaque) parts.
    pub checks: Vec<Check>,
}

/// Whether the bytes there are a value.
///
/// # Safety
/// As of [`Shareable::is_valid`].
pub type Check = unsafe fn(*const u8) -> bool;

/// Nodes and items that a map has at most, so that a damaged one costs little.
const LIMIT: usize = 1 << 12;
/// Bytes of a value at most.
const MAX_SIZE: u32 = 1 << 30;
/// Words of a node before its items, and of an item.
const NODE: usize = 5;
const ITEM: usize = 5;
/// First word of a map: the format.
const FORMAT: u32 = 1;

impl Map {
    /// That of `T`.
    pub fn of<T: Shareable>() -> Map {
        let mut tracer = Tracer::default();
        tracer.node_of::<T>();
        Map { nodes: tracer.nodes, checks: tracer.checks }
    }

    /// Whether anything hangs on what a lock guards.
    pub fn has_locks(&self) -> bool {
        let is_lock = |item: &Item| matches!(item.part, Part::Lock { .. });
        self.nodes.iter().any(|node| node.items.iter().any(is_lock))
    }

    /// As it stands in a segment.
    pub fn words(&self) -> Vec<u32> {
        let mut words = vec![FORMAT, self.nodes.len() as u32];
        for node in &self.nodes {
            words.extend([
                node.fingerprint as u32,
                (node.fingerprint >> 32) as u32,
                node.size,
                node.align,
                node.items.len() as u32,
            ]);
            words.extend(node.items.iter().flat_map(|item| item.words()));
        }
        words
    }

    /// What `words` say; `None`: nothing that can be followed. They may be any.
    ///
    /// Of what it returns: all indices are of nodes; each part lies in its value; parts that are values
    /// themselves do not overlap, and no value lies in itself; variants stand behind their enum alone.
    pub fn read(words: &[u32]) -> Option<Map> {
        let [FORMAT, count, rest @ ..] = words else { return None };
        let (count, mut rest) = (*count as usize, rest);
        if count == 0 || count > LIMIT {
            return None;
        }
        let mut nodes = Vec::with_capacity(count);
        for _ in 0..count {
            let (head, behind) = rest.split_first_chunk::<NODE>()?;
            let (size, align, items) = (head[2], head[3], head[4] as usize);
            let fits = align.is_power_of_two() && align <= 1 << 16 && size.is_multiple_of(align);
            if items > LIMIT || size > MAX_SIZE || !fits {
                return None;
            }
            let (items, behind) = behind.split_at_checked(items * ITEM)?;
            let items: Option<Vec<Item>> =
                items.as_chunks::<ITEM>().0.iter().map(Item::of_words).collect();
            let fingerprint = u64::from(head[0]) | u64::from(head[1]) << 32;
            nodes.push(Node { fingerprint, size, align, items: items? });
            rest = behind;
        }
        let map = Map { nodes, checks: Vec::new() };
        (rest.is_empty() && map.nodes.iter().all(|node| map.fits(node)) && map.is_finite())
            .then_some(map)
    }

    /// Whether the parts of a node are where they can be.
    fn fits(&self, node: &Node) -> bool {
        let size_of = |node: u32| self.nodes.get(node as usize).map(|node| u64::from(node.size));
        let (mut end, mut variants, mut whole) = (0, 0, (0, 0));
        for Item { at, part } in &node.items {
            let at = u64::from(*at);
            if (variants > 0) != matches!(part, Part::Variant { .. }) {
                return false;
            }
            let bytes = match part {
                Part::Bool => Some(1),
                Part::Char => Some(4),
                Part::NonZero(width @ (1 | 2 | 4 | 8 | 16)) => Some(u64::from(*width)),
                Part::NonZero(_) => None,
                Part::Opaque(_) => Some(0),
                Part::Array { node, count } => size_of(*node).map(|size| size * u64::from(*count)),
                Part::Enum { width: width @ (1 | 2 | 4 | 8), variants: some } => {
                    // The variants' values begin here, too, and end where the next part may begin.
                    (variants, whole) = (*some, (at, u64::from(*width)));
                    Some(u64::from(*width))
                }
                Part::Enum { .. } => None,
                Part::Variant { node, .. } => {
                    variants -= 1;
                    size_of(*node).filter(|size| at == whole.0 && *size >= whole.1)
                }
                Part::Box { node, .. } => size_of(*node).map(|_| 8),
                Part::Buffer { node, .. } => size_of(*node).map(|_| 24),
                Part::Table { node } => size_of(*node).map(|_| 40),
                Part::Lock { node, at } => {
                    size_of(*node).filter(|_| *at >= 8).map(|size| u64::from(*at) + size)
                }
                Part::Ring { node } => size_of(*node).map(|_| 32),
                Part::Lease { node, .. } => size_of(*node).map(|_| 8),
                Part::Leads => Some(8),
            };
            let Some(bytes) = bytes else { return false };
            let is_variant = matches!(part, Part::Variant { .. });
            if (at < end && !is_variant) || at + bytes > u64::from(node.size) {
                return false;
            }
            end = end.max(at + bytes);
        }
        variants == 0
    }

    /// Whether no value lies in itself.
    fn is_finite(&self) -> bool {
        let inside = |item: &Item| match item.part {
            Part::Array { node, .. } | Part::Variant { node, .. } | Part::Lock { node, .. } => {
                Some(node as usize)
            }
            _ => None,
        };
        let mut finite = vec![false; self.nodes.len()];
        loop {
            let mut has_more = false;
            for (i, node) in self.nodes.iter().enumerate() {
                if !finite[i] && node.items.iter().filter_map(inside).all(|node| finite[node]) {
                    (finite[i], has_more) = (true, true);
                }
            }
            if !has_more {
                return finite.into_iter().all(|is| is);
            }
        }
    }
}

impl Item {
    fn words(self) -> [u32; ITEM] {
        let (kind, a, b, c) = match self.part {
            Part::Bool => (0, 0, 0, 0),
            Part::Char => (1, 0, 0, 0),
            Part::NonZero(width) => (2, width, 0, 0),
            Part::Opaque(check) => (3, check, 0, 0),
            Part::Array { node, count } => (4, node, count, 0),
            Part::Enum { width, variants } => (5, width, variants, 0),
            Part::Variant { node, number } => (6, node, number as u32, (number >> 32) as u32),
            Part::Box { node, null } => (7, node, u32::from(null), 0),
            Part::Buffer { node, text } => (8, node, u32::from(text), 0),
            Part::Table { node } => (9, node, 0, 0),
            Part::Lock { node, at } => (10, node, at, 0),
            Part::Ring { node } => (11, node, 0, 0),
            Part::Lease { node, null } => (12, node, u32::from(null), 0),
            Part::Leads => (13, 0, 0, 0),
        };
        [kind, self.at, a, b, c]
    }

    fn of_words(words: &[u32; ITEM]) -> Option<Item> {
        let &[kind, at, a, b, c] = words;
        let flag = || (b < 2).then_some(b == 1);
        let part = match kind {
            0 => Part::Bool,
            1 => Part::Char,
            2 => Part::NonZero(a),
            3 => Part::Opaque(a),
            4 => Part::Array { node: a, count: b },
            5 => Part::Enum { width: a, variants: b },
            6 => Part::Variant { node: a, number: u64::from(b) | u64::from(c) << 32 },
            7 => Part::Box { node: a, null: flag()? },
            8 => Part::Buffer { node: a, text: flag()? },
            9 => Part::Table { node: a },
            10 => Part::Lock { node: a, at: b },
            11 => Part::Ring { node: a },
            12 => Part::Lease { node: a, null: flag()? },
            13 => Part::Leads,
            _ => return None,
        };
        let item = Item { at, part };
        (item.words() == *words).then_some(item)
    }
}

/// Takes down the map of a type, part by part: what [`Shareable::trace`] is called with.
#[derive(Default)]
pub struct Tracer {
    nodes: Vec<Node>,
    checks: Vec<Check>,
    known: HashMap<TypeId, u32>,
    /// Of which node the parts are that come, and where in it the value begins that tells them.
    node: u32,
    base: u32,
}

impl Tracer {
    /// A part that is a value itself, so many bytes from the start of the one that is being told;
    /// `tell` is its type's [`Shareable::trace`].
    pub fn field(&mut self, at: usize, tell: fn(&mut Tracer)) {
        let base = self.base;
        self.base = base + at as u32;
        tell(self);
        self.base = base;
    }

    /// The node of `T`, told now if it is new.
    pub(crate) fn node_of<T: Shareable>(&mut self) -> u32 {
        // By the type itself: two of one name have one fingerprint where they stand behind a word.
        if let Some(known) = self.known.get(&TypeId::of::<T>()) {
            return *known;
        }
        let node = self.begin::<T>();
        self.known.insert(TypeId::of::<T>(), node);
        self.within(node, T::trace);
        node
    }

    fn begin<T: Shareable>(&mut self) -> u32 {
        let (size, align) = (size_of::<T>(), align_of::<T>());
        assert!(size <= MAX_SIZE as usize && self.nodes.len() < LIMIT, "no type is so large");
        self.nodes.push(Node {
            fingerprint: T::FINGERPRINT,
            size: size as u32,
            align: align as u32,
            items: Vec::new(),
        });
        self.nodes.len() as u32 - 1
    }

    fn within(&mut self, node: u32, tell: impl FnOnce(&mut Tracer)) {
        let before = (self.node, self.base);
        (self.node, self.base) = (node, 0);
        tell(self);
        self.nodes[node as usize].items.sort_by_key(|item| item.at); // stable: variants stay in place
        (self.node, self.base) = before;
    }

    /// A part where the value begins that is being told.
    pub(crate) fn part(&mut self, part: Part) {
        self.nodes[self.node as usize].items.push(Item { at: self.base, part });
    }

    /// `count` values of `T`.
    pub(crate) fn array<T: Shareable>(&mut self, count: usize) {
        let node = self.node_of::<T>();
        if count != 0 && size_of::<T>() != 0 && !self.nodes[node as usize].items.is_empty() {
            self.part(Part::Array { node, count: count as u32 });
        }
    }

    /// An enum with a tag of `width` bytes at its start, all of whose variants [`Variants`] names.
    pub fn tagged<T: Shareable>(&mut self, width: usize, tell: impl FnOnce(&mut Variants<'_, T>)) {
        let mut variants =
            Variants { tracer: self, told: Vec::new(), whole: core::marker::PhantomData };
        tell(&mut variants);
        let told = variants.told;
        self.part(Part::Enum { width: width as u32, variants: told.len() as u32 });
        told.into_iter().for_each(|variant| self.part(variant));
    }

    /// Something of which only its own code knows which bytes are values.
    pub fn opaque<T: Shareable>(&mut self) {
        /// # Safety
        /// As of [`Shareable::is_valid`].
        unsafe fn check<T: Shareable>(at: *const u8) -> bool {
            // SAFETY: what the caller vouches for, of a `T`.
            unsafe { T::is_valid(at.cast()) }
        }
        self.checks.push(check::<T>);
        self.part(Part::Opaque(self.checks.len() as u32 - 1));
    }
}

/// The variants of an enum `T`, as they are told.
pub struct Variants<'a, T> {
    tracer: &'a mut Tracer,
    told: Vec<Part>,
    whole: core::marker::PhantomData<T>,
}

impl<T: Shareable> Variants<'_, T> {
    /// The variant of this number, whose fields `tell` tells.
    pub fn variant(&mut self, number: u64, tell: impl FnOnce(&mut Tracer)) {
        let node = self.tracer.begin::<T>();
        self.tracer.within(node, tell);
        self.told.push(Part::Variant { node, number });
    }
}
