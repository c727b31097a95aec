//! Walking a tree by its map, from part to part.
//!
//! Nothing that stands in the tree or in the map is believed: each word leads to the start of a block of
//! this segment, in a state that the caller names, large enough for what it should hold, or the walk ends
//! there. Its stack is in process memory, however deep the tree is.

use super::lease;
use super::map::{LEAST_RING, Map, Part};
use crate::arena::Arena;
use crate::heap::unit::State;
use crate::heap::{self, Place};
use crate::lock::word::Who;
use crate::names::entry::{Key, ObjectHeader, Space};
use crate::names::{Names, Refused};
use crate::process::pin::HazardIndex;
use crate::sync::{AtomicU64, Relaxed};
use crate::word::{Tag, Word};
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32};
use std::collections::{HashMap, HashSet};

/// An object and its parts.
pub struct Tree<'a> {
    pub arena: &'a Arena,
    pub map: &'a Map,
    /// Where the object's first value is, and how many it has.
    pub at: u64,
    pub count: u64,
    /// Values that words will have, for one who looks ahead.
    pub changes: Option<&'a HashMap<u64, u64>>,
}

/// Why a walk ended early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A block of another segment.
    Foreign,
    /// Something that was changed meanwhile, or could not be kept from that.
    Moved,
    /// Something that cannot be.
    Damaged(&'static str),
}

/// A part, as a walk comes by.
#[derive(Clone, Copy)]
pub struct Limb {
    /// Where the word is that leads to it.
    pub word_at: u64,
    pub word: Word,
}

/// A word that leads to an object of its own, as a walk comes by.
#[derive(Clone, Copy)]
pub struct Led {
    /// Where the word is.
    pub word_at: u64,
    /// 0: it leads to none.
    pub object: u64,
}

/// What a lock guards, as a walk comes by.
#[derive(Clone, Copy)]
pub struct Guarded {
    /// Where the lock is.
    pub lock: u64,
    /// Its word.
    pub word: u64,
    node: u32,
    value: u64,
}

/// What a walk does about what a lock guards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtLock {
    /// Leaves it alone: its holders may be changing it.
    Skip,
    /// Goes on inside: nobody can be there.
    Enter,
}

/// What a walk looks for.
pub trait Walker {
    /// Whether it goes into objects to which leases lead, each once. They are trees of their own.
    fn enters_counted(&self) -> bool {
        false
    }

    /// Whether blocks of this state belong to the tree.
    fn accepts(&self, state: Option<State>, place: &Place) -> bool;

    /// Before anything of the part is looked at: keeps its memory from being given back; whether it did, so
    /// that the word must be looked at again.
    fn keep(&mut self, _: Limb) -> Result<bool, Fault> {
        Ok(false)
    }

    /// Before the part's own parts.
    fn enter(&mut self, limb: Limb) -> Result<(), Fault>;

    /// After them.
    fn leave(&mut self, _: Limb) -> Result<(), Fault> {
        Ok(())
    }

    /// Whether each value is looked at, also where no parts can be: does it have bytes that it may?
    fn looks_at_values(&self) -> bool {
        false
    }

    /// Whether safe code of this process made the tree, so that no block can have two owners.
    fn trusts(&self) -> bool {
        false
    }

    /// Whether parts may be gone already.
    fn resumes(&self) -> bool {
        false
    }

    /// A word that leads to an object of its own, or is null.
    fn at_object(&mut self, _: Led) -> Result<(), Fault> {
        Ok(())
    }

    /// What is done about what a lock guards.
    fn at_lock(&mut self, _: Guarded) -> AtLock {
        AtLock::Skip
    }
}

/// Values of one node, one behind the other, that the walk is at.
struct Frame {
    node: u32,
    /// The value that it is at, and how many are left, it among them.
    at: u64,
    left: u64,
    /// The item of that value that comes next.
    item: usize,
    /// The part that they lie in, if that ends with them.
    limb: Option<Limb>,
    /// Of buckets: where the control byte of the one is that it is at. Else 0.
    control: u64,
}

impl<'a> Tree<'a> {
    /// The tree of a pinned object of which this is the map; `None`: it does not fit its block.
    pub fn of(arena: &'a Arena, map: &'a Map, object: u64) -> Option<Tree<'a>> {
        let header = ObjectHeader::at(arena, object)?;
        let root = map.nodes.first()?;
        let (count, first) = (header.life().count, ObjectHeader::value_at(root.align as usize));
        let bytes = count.checked_mul(u64::from(root.size))?.checked_add(first as u64)?;
        let place = heap::locate(arena, object)?;
        let fits = place.start == object
            && bytes <= place.bytes
            && header.fingerprint.load(Relaxed) == root.fingerprint;
        fits.then_some(Tree { arena, map, at: object + first as u64, count, changes: None })
    }

    /// Goes over all parts.
    pub fn walk<W: Walker>(&self, walker: &mut W) -> Result<(), Fault> {
        self.walk_from(0, self.at, self.count, walker)
    }

    /// Goes over all parts of what a lock in it guards.
    pub fn walk_inside<W: Walker>(&self, it: Guarded, walker: &mut W) -> Result<(), Fault> {
        self.walk_from(it.node, it.value, 1, walker)
    }

    /// The same, of `count` values of `node`.
    fn walk_from<W: Walker>(
        &self,
        node: u32,
        at: u64,
        count: u64,
        walker: &mut W,
    ) -> Result<(), Fault> {
        let tag = Tag::of_header(self.arena.header().tag).ok_or(Fault::Damaged("it has no tag"))?;
        let mut stack = vec![self.frame(node, at, count, None)];
        let (mut owned, mut shared) = (HashSet::new(), HashSet::new());
        // A block with two owners could be its own ancestor.
        let mut enter = |walker: &mut W, limb: Limb| {
            if !walker.trusts() && !owned.insert(limb.word.offset()) {
                return Err(Fault::Damaged("a block has two owners"));
            }
            walker.enter(limb)
        };
        while let Some(frame) = stack.last_mut() {
            let node = &self.map.nodes[frame.node as usize];
            if frame.left == 0 {
                let done = stack.pop().and_then(|frame| frame.limb);
                done.map_or(Ok(()), |limb| walker.leave(limb))?;
                continue;
            }
            let is_vacant = frame.control != 0 && self.number(frame.control, 1) >= 0x80;
            let item = node.items.get(frame.item).filter(|_| !is_vacant);
            let Some(item) = item else {
                (frame.left, frame.item) = (frame.left - 1, 0);
                frame.at += u64::from(node.size);
                frame.control += u64::from(frame.control != 0);
                continue;
            };
            frame.item += 1;
            let at = frame.at + u64::from(item.at);
            match item.part {
                Part::Bool | Part::Char | Part::NonZero(_) | Part::Opaque(_) => {
                    if walker.looks_at_values() && !self.is_value(item.part, at) {
                        return Err(Fault::Damaged("a part is no value of its type"));
                    }
                }
                Part::Array { node, count } => {
                    stack.push(self.frame(node, at, u64::from(count), None));
                }
                Part::Enum { width, variants } => {
                    let first = frame.item;
                    frame.item += variants as usize;
                    let tag = self.number(at, width);
                    let mask = u64::MAX >> (64 - 8 * width);
                    let is =
                        node.items[first..frame.item].iter().find_map(|item| match item.part {
                            Part::Variant { node, number } if number & mask == tag => Some(node),
                            _ => None,
                        });
                    let node = is.ok_or(Fault::Damaged("the tag of an enum is none of it"))?;
                    stack.push(self.frame(node, at, 1, None));
                }
                Part::Variant { .. } => unreachable!("skipped with its enum"),
                Part::Lock { node, at: inside } => {
                    let (word, value) = (self.number(at, 8), at + u64::from(inside));
                    if walker.at_lock(Guarded { lock: at, word, node, value }) == AtLock::Enter {
                        stack.push(self.frame(node, value, 1, None));
                    }
                }
                Part::Box { node, null } => {
                    let limb = Limb { word_at: at, word: Word::from_bits(self.number(at, 8)) };
                    if limb.word.bits() == 0 && (null || walker.resumes()) {
                        continue;
                    }
                    self.keep(walker, limb)?;
                    self.check_block(tag, limb.word, node, (1, 0), walker)?;
                    enter(walker, limb)?;
                    stack.push(self.frame(node, limb.word.offset(), 1, Some(limb)));
                }
                Part::Buffer { node, text } => {
                    let limb = Limb { word_at: at, word: Word::from_bits(self.number(at, 8)) };
                    let (len, capacity) = (self.number(at + 8, 8), self.number(at + 16, 8));
                    if len > capacity {
                        return Err(Fault::Damaged("a vector is longer than its room"));
                    }
                    let has_bytes = self.map.nodes[node as usize].size != 0;
                    if limb.word.offset() == 0 || !has_bytes {
                        if limb.word.offset() != 0 || (has_bytes && len != 0 && !walker.resumes()) {
                            return Err(Fault::Damaged("a vector has elements and no block"));
                        }
                        continue;
                    }
                    self.keep(walker, limb)?;
                    self.check_block(tag, limb.word, node, (capacity, 0), walker)?;
                    if text && walker.looks_at_values() && !self.is_text(limb.word.offset(), len) {
                        return Err(Fault::Damaged("a string is not UTF-8"));
                    }
                    enter(walker, limb)?;
                    stack.push(self.frame(node, limb.word.offset(), len, Some(limb)));
                }
                Part::Table { node } => {
                    let limb = Limb { word_at: at, word: Word::from_bits(self.number(at, 8)) };
                    let (len, buckets) = (self.number(at + 8, 8), self.number(at + 16, 8));
                    if limb.word.offset() == 0 {
                        if (len != 0 || buckets != 0) && !walker.resumes() {
                            return Err(Fault::Damaged("a map has keys and no block"));
                        }
                        continue;
                    }
                    if !buckets.is_power_of_two() || buckets < 8 || len > buckets {
                        return Err(Fault::Damaged("a map has a size that is none"));
                    }
                    self.keep(walker, limb)?;
                    self.check_block(tag, limb.word, node, (buckets, 1), walker)?;
                    enter(walker, limb)?;
                    let mut frame = self.frame(node, limb.word.offset(), buckets, Some(limb));
                    frame.control = limb.word.offset()
                        + buckets * u64::from(self.map.nodes[node as usize].size);
                    stack.push(frame);
                }
                Part::Lease { node, null } => {
                    let limb = Limb { word_at: at, word: Word::from_bits(self.number(at, 8)) };
                    if limb.word.bits() == 0 && (null || walker.resumes()) {
                        continue;
                    }
                    self.keep(walker, limb)?;
                    self.check_lease(tag, limb.word, walker)?;
                    enter(walker, limb)?;
                    walker.leave(limb)?;
                    if walker.enters_counted() {
                        let object = self.check_counted(limb.word, node)?;
                        if shared.insert(object) {
                            let first = object + lease::COUNT;
                            stack.push(self.frame(node, first, 1, None));
                        }
                    }
                }
                Part::Leads => {
                    walker.at_object(Led { word_at: at, object: self.number(at, 8) })?;
                }
                Part::Ring { node } => {
                    let limb = Limb { word_at: at, word: Word::from_bits(self.number(at, 8)) };
                    let (first, end) = (self.number(at + 8, 8), self.number(at + 16, 8));
                    let (len, capacity) = (end.wrapping_sub(first), self.number(at + 24, 8));
                    if len > capacity {
                        return Err(Fault::Damaged("a deque is longer than its room"));
                    }
                    let size = u64::from(self.map.nodes[node as usize].size);
                    if limb.word.offset() == 0 || size == 0 {
                        let is_empty = size == 0 || capacity == 0 || walker.resumes();
                        if limb.word.offset() != 0 || !is_empty {
                            return Err(Fault::Damaged("a deque has room and no block"));
                        }
                        continue;
                    }
                    // Whether it is too large its block says.
                    let bytes = capacity.saturating_mul(size);
                    if !capacity.is_power_of_two() || bytes < LEAST_RING {
                        return Err(Fault::Damaged("a deque has a room that is none"));
                    }
                    self.keep(walker, limb)?;
                    self.check_block(tag, limb.word, node, (capacity, 0), walker)?;
                    enter(walker, limb)?;
                    // Up to the end of the block, then from its start; the part ends with both. Within a block
                    // that was checked nothing overflows.
                    let place = first & (capacity - 1);
                    let ahead = len.min(capacity - place);
                    let start = limb.word.offset();
                    stack.push(self.frame(node, start, len - ahead, Some(limb)));
                    stack.push(self.frame(node, start + place * size, ahead, None));
                }
            }
        }
        Ok(())
    }

    /// `count` values of `node`; none where nothing is to be looked at in them.
    fn frame(&self, node: u32, at: u64, count: u64, limb: Option<Limb>) -> Frame {
        let is_plain = self.map.nodes[node as usize].items.is_empty();
        Frame { node, at, left: if is_plain { 0 } else { count }, item: 0, limb, control: 0 }
    }

    fn keep(&self, walker: &mut impl Walker, limb: Limb) -> Result<(), Fault> {
        // Behind the walker's fence: while the word leads there, the part was not given back before it.
        let is_moved = walker.keep(limb)? && self.number(limb.word_at, 8) != limb.word.bits();
        if is_moved { Err(Fault::Moved) } else { Ok(()) }
    }

    /// Whether a word leads to a block for `count` values of `node`, and `more` bytes for each.
    fn check_block(
        &self,
        tag: Tag,
        word: Word,
        node: u32,
        (count, more): (u64, u64),
        walker: &impl Walker,
    ) -> Result<(), Fault> {
        if word.tag() != tag {
            return Err(Fault::Foreign);
        }
        let place = heap::locate(self.arena, word.offset())
            .filter(|place| place.start == word.offset())
            .ok_or(Fault::Damaged("a word leads to no block"))?;
        let bytes = count.checked_mul(u64::from(self.map.nodes[node as usize].size) + more);
        if bytes.is_none_or(|bytes| bytes > place.bytes) {
            return Err(Fault::Damaged("a block is too small for what it should hold"));
        }
        if !word.offset().is_multiple_of(u64::from(self.map.nodes[node as usize].align)) {
            return Err(Fault::Damaged("a block is not aligned for what it should hold"));
        }
        if !walker.accepts(heap::state_of(self.arena, &place), &place) {
            return Err(Fault::Damaged("a word leads to a block that is no part of its object"));
        }
        Ok(())
    }

    /// Whether a word leads to a block for a lease.
    fn check_lease(&self, tag: Tag, word: Word, walker: &impl Walker) -> Result<(), Fault> {
        if word.tag() != tag {
            return Err(Fault::Foreign);
        }
        let place = heap::locate(self.arena, word.offset())
            .filter(|place| place.start == word.offset())
            .filter(|_| lease::is_lease(self.arena, word.offset()))
            .ok_or(Fault::Damaged("a word leads to no lease"))?;
        if !walker.accepts(heap::state_of(self.arena, &place), &place) {
            return Err(Fault::Damaged("a word leads to a lease that is no part of its object"));
        }
        Ok(())
    }

    /// The object to which a lease leads that was checked: one value of `node`, which has a count.
    fn check_counted(&self, lease: Word, node: u32) -> Result<u64, Fault> {
        let object = self.number(lease.offset(), 8);
        let node = &self.map.nodes[node as usize];
        let fits = |place: &Place| {
            place.start == object && lease::COUNT + u64::from(node.size) <= place.bytes
        };
        let place = heap::locate(self.arena, object).filter(fits);
        let header = place.and_then(|place| {
            let is_there = heap::state_of(self.arena, &place) == Some(State::Published);
            is_there.then(|| ObjectHeader::at(self.arena, object))?
        });
        let is_it = header.is_some_and(|header| {
            let life = header.life();
            let is_one = life.counted && life.is_whole() && life.count == 1;
            is_one && header.fingerprint.load(Relaxed) == node.fingerprint
        });
        let is_it = is_it && u64::from(node.align) <= lease::COUNT;
        is_it.then_some(object).ok_or(Fault::Damaged("a lease leads to no object of its type"))
    }

    /// The number in `width` bytes, which lie in the object or in a block that was checked.
    fn number(&self, at: u64, width: u32) -> u64 {
        let ahead = self.changes.and_then(|changes| changes.get(&(at & !7)));
        if let Some(word) = ahead.filter(|_| at % 8 + u64::from(width) <= 8) {
            return word >> (8 * (at % 8)) & (u64::MAX >> (64 - 8 * width));
        }
        // SAFETY: inside of a block of the tree, as the map keeps its parts in their values. Words of a tree
        // that falls change meanwhile, and all those behind a lock that is held: as atomics, where they are
        // aligned, and only a damaged map has others.
        unsafe {
            let at = self.arena.at(at);
            match width {
                1 => u64::from((*at.cast::<AtomicU8>()).load(Relaxed)),
                _ if !at.addr().is_multiple_of(width as usize) => {
                    (0..width).fold(0, |number, byte| {
                        let byte_at = at.wrapping_add(byte as usize).cast::<AtomicU8>();
                        number | u64::from((*byte_at).load(Relaxed)) << (8 * byte)
                    })
                }
                2 => u64::from((*at.cast::<AtomicU16>()).load(Relaxed)),
                4 => u64::from((*at.cast::<AtomicU32>()).load(Relaxed)),
                _ => (*at.cast::<AtomicU64>()).load(Relaxed),
            }
        }
    }

    /// Whether the bytes of a part that has no parts are a value.
    fn is_value(&self, part: Part, at: u64) -> bool {
        match part {
            // SAFETY: as in `number`; it may be an atomic, which others change.
            Part::Bool => unsafe { (*self.arena.at(at).cast::<AtomicU8>()).load(Relaxed) < 2 },
            Part::Char => char::from_u32(self.number(at, 4) as u32).is_some(),
            Part::NonZero(width) => {
                (0..u64::from(width)).any(|byte| self.number(at + byte, 1) != 0)
            }
            // SAFETY: a value of the check's type would lie there, as the map is of this process.
            Part::Opaque(check) => unsafe {
                let check = self.map.checks.get(check as usize);
                check.is_some_and(|check| check(self.arena.at(at)))
            },
            _ => true, // not without parts
        }
    }

    fn is_text(&self, at: u64, len: u64) -> bool {
        // SAFETY: inside of a block that was checked, of a published value, which does not change.
        let bytes = unsafe { core::slice::from_raw_parts(self.arena.at(at), len as usize) };
        core::str::from_utf8(bytes).is_ok()
    }
}

/// Lists the parts of a published object, marked or not.
struct List(Vec<u64>);

impl Walker for List {
    fn accepts(&self, state: Option<State>, _: &Place) -> bool {
        matches!(state, Some(State::Private | State::Part))
    }
    fn enter(&mut self, limb: Limb) -> Result<(), Fault> {
        self.0.push(limb.word.offset());
        Ok(())
    }
}

impl Tree<'_> {
    /// The parts of a published object, some of which may not be marked yet, in order; of a damaged one
    /// those that a walk comes to.
    fn parts(&self) -> Vec<u64> {
        let mut list = List(Vec::new());
        let _ = self.walk(&mut list);
        list.0.sort_unstable();
        list.0
    }
}

/// What hangs on an object.
pub struct Checked {
    pub parts: Vec<u64>,
    /// Where the locks are that guard something with blocks.
    pub locks: Vec<u64>,
    /// Words that lead to objects of their own, or to none.
    pub led: Vec<Led>,
    pub whole: Result<(), &'static str>,
    /// Whether more may hang on it, behind a lock that is held or was just taken.
    pub has_more: bool,
}

/// How one who judges looks at a tree.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Some of it may be gone.
    pub falls: bool,
    /// Words that will have other values when what the dead had begun is made.
    pub changes: &'a HashMap<u64, u64>,
    /// Whether the process that a lock names may be at what that guards.
    pub is_alive: &'a dyn Fn(Who) -> bool,
}

struct CheckedList<'a> {
    names: &'a Names<'a>,
    parts: Vec<u64>,
    locks: Vec<u64>,
    led: Vec<Led>,
    has_more: bool,
    view: View<'a>,
    /// Pins of the parts that the walk is in, where a lock lets others give parts back meanwhile.
    pins: Option<Vec<HazardIndex>>,
}

impl Walker for CheckedList<'_> {
    fn accepts(&self, state: Option<State>, _: &Place) -> bool {
        matches!(state, Some(State::Private | State::Part))
    }
    fn keep(&mut self, limb: Limb) -> Result<bool, Fault> {
        let Some(pins) = &mut self.pins else { return Ok(false) };
        pins.push(self.names.pinned(limb.word.offset()).map_err(|_| Fault::Moved)?);
        Ok(true)
    }
    fn enter(&mut self, limb: Limb) -> Result<(), Fault> {
        self.parts.push(limb.word.offset());
        Ok(())
    }
    fn leave(&mut self, _: Limb) -> Result<(), Fault> {
        self.pins.as_mut().and_then(Vec::pop).into_iter().for_each(|pin| self.names.unpin(pin));
        Ok(())
    }
    fn at_object(&mut self, it: Led) -> Result<(), Fault> {
        self.led.push(it);
        Ok(())
    }
    fn at_lock(&mut self, it: Guarded) -> AtLock {
        self.locks.push(it.lock);
        let who = Who::in_word(it.word);
        if who == Who::NOBODY || !(self.view.is_alive)(who) {
            return AtLock::Enter;
        }
        self.has_more = true;
        AtLock::Skip
    }
    fn resumes(&self) -> bool {
        self.view.falls
    }
}

impl<'a> Names<'a> {
    /// The trace map of the type with this fingerprint; `None`: there is none that can be followed.
    pub fn map_of(&self, fingerprint: u64) -> Result<Option<Map>, Refused> {
        let name = fingerprint.to_le_bytes();
        let key = Key::new(self.heap.arena, Space::Maps, &name);
        let Some(pinned) = self.find(&key)? else { return Ok(None) };
        let words = self.words_of(pinned.object, pinned.life().count);
        self.unpin(pinned.hazard);
        Ok(words.and_then(|words| Map::read(&words)))
    }

    /// The `count` numbers in a pinned object; `None`: they do not fit its block.
    pub fn words_of(&self, object: u64, count: u64) -> Option<Vec<u32>> {
        let arena = self.heap.arena;
        let (place, first) =
            (heap::locate(arena, object)?, ObjectHeader::value_at(align_of::<u32>()) as u64);
        let room = place.bytes.checked_sub(first)? / size_of::<u32>() as u64;
        if place.start != object || count > room {
            return None;
        }
        // SAFETY: so many words are in the block, which is pinned; they do not change.
        let words =
            unsafe { core::slice::from_raw_parts(arena.at(object + first).cast(), count as usize) };
        Some(words.to_vec())
    }

    /// The parts of a pinned object that are marked, or not yet. Of a damaged one those that a walk
    /// comes to.
    pub fn parts_of(&self, object: u64) -> Result<Vec<u64>, Refused> {
        let Some(header) = ObjectHeader::at(self.heap.arena, object) else { return Ok(Vec::new()) };
        if !header.life().has_parts {
            return Ok(Vec::new());
        }
        let map = self.map_of(header.fingerprint.load(Relaxed))?;
        let tree = map.as_ref().and_then(|map| Tree::of(self.heap.arena, map, object));
        Ok(tree.map_or(Vec::new(), |tree| tree.parts()))
    }

    /// What hangs on an object that is held, and what of it does not fit.
    pub fn check_parts_of(&self, object: u64, view: View<'_>) -> Result<Checked, Refused> {
        let fingerprint = ObjectHeader::at(self.heap.arena, object)
            .map_or(0, |header| header.fingerprint.load(Relaxed));
        let map = self.map_of(fingerprint)?;
        let tree = map.as_ref().and_then(|map| Tree::of(self.heap.arena, map, object));
        let Some(mut tree) = tree else {
            let whole = Err("there is no map of its type");
            let (parts, locks, led) = (Vec::new(), Vec::new(), Vec::new());
            return Ok(Checked { parts, locks, led, whole, has_more: false });
        };
        tree.changes = Some(view.changes);
        let pins = tree.map.has_locks().then(Vec::new);
        let (parts, locks, led) = (Vec::new(), Vec::new(), Vec::new());
        let mut list = CheckedList { names: self, parts, locks, led, has_more: false, view, pins };
        let walked = tree.walk(&mut list);
        list.pins.into_iter().flatten().for_each(|pin| self.unpin(pin));
        let whole = match walked {
            Ok(()) => Ok(()),
            Err(Fault::Moved) => {
                list.has_more = true;
                Ok(())
            }
            Err(Fault::Foreign) => Err("a block is of another segment"),
            Err(Fault::Damaged(what)) => Err(what),
        };
        let CheckedList { parts, locks, led, has_more, .. } = list;
        Ok(Checked { parts, locks, led, whole, has_more })
    }

    pub(crate) fn pinned(&self, offset: u64) -> Result<HazardIndex, Refused> {
        self.heap.lane.pins.pin(self.record(), offset).ok_or(Refused::TooManyPins)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::collections::{String, Vec, VecMut};
    use crate::lock::Mutex;
    use crate::sync::Release;
    use crate::{Options, Segment};

    type List = Mutex<Vec<String>>;

    fn with_list() -> Segment {
        let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
        let list = segment.construct::<List>("list", Mutex::new(Vec::new())).unwrap();
        let mut guard = list.lock().unwrap();
        guard.push(String::from_in("a text that has a block", &segment));
        drop(guard);
        drop(list);
        segment
    }

    /// Calls `act` with the table of names and the object.
    fn look<R>(segment: &Segment, act: impl FnOnce(Names<'_>, u64) -> R) -> R {
        let done = segment.with_names(|names| {
            let key = Key::new(names.heap.arena, Space::Named, b"list");
            let pinned = names.find(&key).unwrap().unwrap();
            let done = act(names, pinned.object);
            names.unpin(pinned.hazard);
            Ok(done)
        });
        done.unwrap()
    }

    /// Keeps each part, but the word that leads to the last of `parts` changes before that.
    struct Keeps<'a> {
        arena: &'a Arena,
        left: u32,
    }

    impl Walker for Keeps<'_> {
        fn accepts(&self, _: Option<State>, _: &Place) -> bool {
            true
        }
        fn keep(&mut self, limb: Limb) -> Result<bool, Fault> {
            self.left = self.left.wrapping_sub(1);
            if self.left == 0 {
                self.arena.word(limb.word_at).unwrap().store(0, Release);
            }
            Ok(true)
        }
        fn enter(&mut self, _: Limb) -> Result<(), Fault> {
            Ok(())
        }
        fn at_lock(&mut self, _: Guarded) -> AtLock {
            AtLock::Enter
        }
    }

    #[test]
    fn a_part_is_not_looked_at_if_its_word_changed_before_it_was_kept() {
        for (left, expected) in [(0, Ok(())), (2, Err(Fault::Moved)), (1, Err(Fault::Moved))] {
            let segment = with_list();
            look(&segment, |names, object| {
                let map = Map::of::<List>();
                let tree = Tree::of(names.heap.arena, &map, object).unwrap();
                assert_eq!(tree.walk(&mut Keeps { arena: names.heap.arena, left }), expected);
            });
        }
    }

    #[test]
    fn what_can_be_given_back_meanwhile_is_kept_while_it_is_looked_at_and_no_longer() {
        let segment = with_list();
        look(&segment, |names, object| {
            let (changes, is_alive) = (HashMap::new(), |_| true);
            let view = View { falls: false, changes: &changes, is_alive: &is_alive };
            let pins = &names.heap.lane.pins;
            let before = pins.count();
            let checked = names.check_parts_of(object, view).unwrap();
            assert_eq!((checked.parts.len(), checked.has_more), (2, false));
            assert_eq!(pins.count(), before);
            // Without pins to spare nothing is said of what hangs there.
            let taken: std::vec::Vec<_> =
                std::iter::from_fn(|| pins.pin(names.record(), 16)).collect();
            taken[..1].iter().for_each(|pin| names.unpin(*pin));
            let checked = names.check_parts_of(object, view).unwrap();
            assert!(checked.has_more && checked.whole.is_ok());
            assert_eq!(pins.count() as usize, crate::process::lane::HAZARDS - 1);
            taken[1..].iter().for_each(|pin| names.unpin(*pin));
        });
    }
}
