//! The open-addressed arrays of slots that lead to entries.
//!
//! A slot never changes once it holds something: `Empty` → `Entry`, or `Empty` → `Frozen`, which
//! closes its probe path: whoever wants to go on there goes to the array's successor.

use super::entry::Entry;
use crate::arena::Arena;
use crate::sync::{Acquire, AtomicU64, Relaxed};
use core::cell::Cell;
use core::mem::size_of;

/// Slots of the first array.
pub const SMALLEST: u64 = if cfg!(loom) { 2 } else { 64 };
/// Slots that one helper of a migration moves at a time.
pub const CHUNK: u64 = if cfg!(loom) { 1 } else { 256 };

/// Slots at the start of a path that a find looks at together: how far it has to go differs from name to name, so that of
/// branches for each, one would mostly be predicted wrong.
const NEAR: u64 = if cfg!(loom) { 2 } else { 4 };

const OFFSET_BITS: u32 = 44;
/// Bits of a hash below those that a slot shows.
pub const TAG_SHIFT: u32 = OFFSET_BITS;

/// What a slot holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slot {
    Empty,
    Frozen,
    /// The entry's block, and the top bits of its hash.
    Entry {
        tag: u64,
        entry: u64,
    },
}

impl Slot {
    pub fn entry(hash: u64, entry: u64) -> Slot {
        Slot::Entry { tag: tag(hash), entry }
    }
    pub fn word(self) -> u64 {
        match self {
            Slot::Empty => 0,
            Slot::Frozen => 1,
            Slot::Entry { tag, entry } => tag << TAG_SHIFT | entry,
        }
    }
    /// The tag that a word shows if it is an entry's.
    #[inline(always)]
    pub fn tag_of(word: u64) -> u64 {
        word >> TAG_SHIFT
    }
    #[inline]
    pub fn of(word: u64) -> Slot {
        match word {
            0 => Slot::Empty,
            1 => Slot::Frozen,
            _ => Slot::Entry { tag: Self::tag_of(word), entry: word & ((1 << OFFSET_BITS) - 1) },
        }
    }
}

/// The bits of a hash that a slot shows: the top ones, as the path starts from the low ones.
#[inline]
pub fn tag(hash: u64) -> u64 {
    hash >> TAG_SHIFT
}

#[repr(C)]
struct ArrayHead {
    /// Slots; a power of two. Never changes.
    len: AtomicU64,
    /// The successor's block; 0 → once.
    next: AtomicU64,
    /// Slots promised to new names, and [`CLOSED`].
    fresh: AtomicU64,
    /// Slots promised to copies from the predecessor.
    copied: AtomicU64,
    /// How many copies may still come, counted when this became a successor. Never changes.
    expected: AtomicU64,
    /// 1: no entry in its slots is dead. Else some may be.
    none_dead: AtomicU64,
    _spare: [AtomicU64; 2],
}

/// In `fresh`: no new names any more; the bound on the copies is final.
const CLOSED: u64 = 1 << 63;

/// An array in its block.
#[derive(Clone, Copy)]
pub struct Array<'a> {
    head: &'a ArrayHead,
    done: *const AtomicU64,
    slots: *const AtomicU64,
    len: u64,
    pub offset: u64,
}

impl<'a> Array<'a> {
    #[inline]
    fn done_words(len: u64) -> u64 {
        len.div_ceil(CHUNK).div_ceil(64)
    }

    /// Bytes of the block of an array with so many slots.
    #[inline]
    pub fn bytes(len: u64) -> usize {
        size_of::<ArrayHead>() + (Self::done_words(len) + len) as usize * size_of::<AtomicU64>()
    }

    /// Writes an empty array into a block that the caller holds PRIVATE.
    pub fn write(arena: &'a Arena, block: u64, len: u64, expected: u64) -> Array<'a> {
        let at = arena.at(block);
        let words = (Self::bytes(len) / size_of::<AtomicU64>()) as u64;
        for i in 0..words {
            // SAFETY: the block is the caller's alone and has `bytes(len)` bytes.
            unsafe { at.cast::<AtomicU64>().add(i as usize).write(AtomicU64::new(0)) };
        }
        // SAFETY: as above.
        let head = unsafe { &*at.cast::<ArrayHead>() };
        head.len.store(len, Relaxed);
        head.expected.store(expected, Relaxed);
        head.none_dead.store(1, Relaxed);
        Self::at(arena, block).expect("a block that was just allocated lies in the segment")
    }

    /// The array at `offset`; `None`: the segment is corrupt, none can be there.
    ///
    /// The caller has pinned it, or an older one, or holds its block.
    pub fn at(arena: &'a Arena, offset: u64) -> Option<Array<'a>> {
        if !offset.is_multiple_of(16) || !arena.holds(offset, size_of::<ArrayHead>() as u64) {
            return None;
        }
        // SAFETY: inside units that may be touched, aligned; the words are atomics.
        let head = unsafe { &*arena.at(offset).cast::<ArrayHead>() };
        let len = head.len.load(Relaxed);
        if !len.is_power_of_two()
            || len >= 1 << OFFSET_BITS
            || !arena.holds(offset, Self::bytes(len) as u64)
        {
            return None;
        }
        let words =
            size_of::<ArrayHead>() / size_of::<AtomicU64>() + Self::done_words(len) as usize;
        let slots = arena.at(offset).cast::<AtomicU64>().wrapping_add(words);
        // SAFETY: it fits.
        Some(unsafe { Self::unchecked(arena, offset, len, slots) })
    }

    /// # Safety
    /// `offset` is a multiple of 16, `len` a power of two, and [`bytes(len)`](Self::bytes) from there on lie in units
    /// that may be touched, the last of them the slots.
    #[inline(always)]
    unsafe fn unchecked(
        arena: &'a Arena,
        offset: u64,
        len: u64,
        slots: *const AtomicU64,
    ) -> Array<'a> {
        // SAFETY: the caller's promises; the words are atomics.
        let head = unsafe { &*arena.at(offset).cast::<ArrayHead>() };
        let done =
            arena.at(offset).wrapping_add(size_of::<ArrayHead>()).cast::<AtomicU64>().cast_const();
        Array { head, done, slots, len, offset }
    }

    #[inline]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Slot `index`, modulo the length.
    #[inline]
    pub fn slot(&self, index: u64) -> &'a AtomicU64 {
        // SAFETY: `at` checked that all slots lie in the segment; the mask keeps below the length.
        unsafe { &*self.slots.add((index & (self.len - 1)) as usize) }
    }

    /// The first word on the path of `hash` that shows its tag; if none does, [`Slot::Empty`]'s where that ends the path,
    /// [`Slot::Frozen`]'s where it goes on in the successor.
    #[inline(always)]
    pub fn first_like(&self, hash: u64) -> u64 {
        let near = self.first_of_near(hash);
        if near > Slot::Frozen.word() { near } else { self.first_of_all(hash) }
    }

    /// The same of the [`NEAR`] first slots, if they stand in a row; [`Slot::Empty`]'s: of none. All of them are read,
    /// whatever they hold, the last one first: what stood on the path before the first look stands there at each, as no
    /// slot is emptied, and of what comes meanwhile either may be said.
    #[inline(always)]
    fn first_of_near(&self, hash: u64) -> u64 {
        let start = hash & (self.len - 1);
        if start + NEAR > self.len {
            return Slot::Empty.word();
        }
        (0..NEAR).rev().fold(Slot::Empty.word(), |near, i| {
            // SAFETY: as in `slot`; it is below the length.
            let slot = unsafe { &*self.slots.add((start + i) as usize) };
            // Acquire pairs with the CAS that put the entry there: it is whole.
            let word = slot.load(Acquire);
            if Slot::tag_of(word) == tag(hash) { word } else { near }
        })
    }

    /// The same, slot by slot. Not inlined: it would take registers from the way that most go.
    #[inline(never)]
    fn first_of_all(&self, hash: u64) -> u64 {
        for i in 0..self.len {
            // Acquire, as above.
            let word = self.slot(hash.wrapping_add(i)).load(Acquire);
            if Slot::tag_of(word) == tag(hash) || word <= Slot::Frozen.word() {
                return word;
            }
        }
        Slot::Frozen.word()
    }

    /// The successor's block, 0 if there is none. Its word; Acquire pairs with the CAS that hung it there.
    #[inline]
    pub fn next(&self) -> &'a AtomicU64 {
        &self.head.next
    }

    /// Entries that an array of `len` slots takes: thirteen of sixteen.
    pub fn limit(len: u64) -> u64 {
        len - 3 * len / 16
    }

    /// Promises a slot to a new name; false: there is room for none. `is_current`: all copies are in.
    pub fn promise(&self, is_current: bool) -> bool {
        // Relaxed throughout: the counts only bound each other.
        let fresh = self.head.fresh.fetch_add(1, Relaxed);
        let copies = if is_current { &self.head.copied } else { &self.head.expected }.load(Relaxed);
        // A closed array's count is far beyond any limit.
        if fresh.saturating_add(copies) < Self::limit(self.len) {
            return true;
        }
        self.take_back_promise();
        false
    }

    /// The promised slot was not used.
    pub fn take_back_promise(&self) {
        self.head.fresh.fetch_sub(1, Relaxed);
    }

    /// Lets no new names in any more; how many entries the array can have in the end.
    pub fn close(&self) -> u64 {
        let fresh = self.head.fresh.fetch_or(CLOSED, Relaxed) & !CLOSED;
        fresh + self.head.copied.load(Relaxed).min(self.len)
    }

    /// Slots that hold an entry. Goes over all of them.
    pub fn occupied(&self) -> u64 {
        let holds = |i: &u64| self.slot(*i).load(Acquire) > Slot::Frozen.word();
        (0..self.len).filter(holds).count() as u64
    }

    /// Counts a copy that is about to be tried; `take_back_copy` if it was not needed.
    pub fn promise_copy(&self) {
        self.head.copied.fetch_add(1, Relaxed);
    }

    pub fn take_back_copy(&self) {
        self.head.copied.fetch_sub(1, Relaxed);
    }

    /// An entry in a slot is about to be declared dead, or may be already.
    pub fn note_dead(&self) {
        // Relaxed: who asks has seen the end of the pins of all who could say so (Release in `Entered::drop`, Acquire
        // in `reap`), and the root name this array as the oldest, by who gave back its predecessor.
        if self.may_have_dead() {
            return;
        }
        self.head.none_dead.store(0, Relaxed);
    }

    /// Whether dead entries may stand in its slots.
    pub fn may_have_dead(&self) -> bool {
        // Relaxed: see `note_dead`.
        self.head.none_dead.load(Relaxed) != 1
    }

    pub fn chunks(&self) -> u64 {
        self.len.div_ceil(CHUNK)
    }

    /// The word of the done bits that holds `chunk`'s, and the bit.
    pub fn done(&self, chunk: u64) -> (&'a AtomicU64, u64) {
        assert!(chunk < self.chunks());
        // SAFETY: below the count of done words, which `at` checked to lie in the segment.
        (unsafe { &*self.done.add((chunk / 64) as usize) }, 1 << (chunk % 64))
    }

    /// Whether each chunk was moved.
    pub fn all_done(&self) -> bool {
        (0..self.chunks()).all(|chunk| self.is_done(chunk))
    }

    /// Whether any chunk was moved.
    #[cfg(not(loom))]
    pub fn any_done(&self) -> bool {
        (0..self.chunks()).any(|chunk| self.is_done(chunk))
    }

    /// Whether the chunk with this slot was moved.
    pub fn was_moved(&self, slot: u64) -> bool {
        self.is_done(slot / CHUNK)
    }

    /// Acquire: then each move is visible.
    fn is_done(&self, chunk: u64) -> bool {
        let (word, bit) = self.done(chunk);
        word.load(Acquire) & bit != 0
    }

    /// The entries in the slots, each once; `Err` with the slot's number: nothing can be there.
    pub fn entries_in_slots(
        self,
        arena: &'a Arena,
    ) -> impl Iterator<Item = Result<Entry<'a>, u64>> {
        (0..self.len).filter_map(move |i| match Slot::of(self.slot(i).load(Acquire)) {
            Slot::Entry { entry, .. } => Some(Entry::at(arena, entry).ok_or(i)),
            _ => None,
        })
    }

    /// Whether an entry stands in a slot on the path of `hash`.
    pub fn has(&self, hash: u64, entry: u64) -> bool {
        let wanted = Slot::entry(hash, entry).word();
        for i in 0..self.len {
            match self.slot(hash.wrapping_add(i)).load(Acquire) {
                word if word == wanted => return true,
                0 | 1 => return false,
                _ => {}
            }
        }
        false
    }
}

/// The array that a lane found where one can be when it looked last: process memory, the thread's alone; zero: none.
#[derive(Default)]
pub struct LastArray {
    offset: Cell<u64>,
    len: Cell<u64>,
    slots: Cell<*const AtomicU64>,
}

impl LastArray {
    /// As [`Array::at`], which is asked only if an array of another length was at `offset`, or another was seen last.
    #[inline(always)]
    pub fn look<'a>(&self, arena: &'a Arena, offset: u64) -> Option<Array<'a>> {
        if offset != self.offset.get() || offset == 0 {
            return self.look_anew(arena, offset);
        }
        // SAFETY: an array's head was there, so all of it lies in units that may be touched.
        let len = unsafe { &*arena.at(offset).cast::<ArrayHead>() }.len.load(Relaxed);
        if len != self.len.get() {
            return self.look_anew(arena, offset);
        }
        // SAFETY: an array of this length was there, in a segment that is mapped.
        Some(unsafe { Array::unchecked(arena, offset, len, self.slots.get()) })
    }

    /// Where it is; 0: none is known.
    #[inline(always)]
    pub fn offset(&self) -> u64 {
        self.offset.get()
    }

    /// The same one; `None`: none is known, or another is there by now.
    #[inline(always)]
    pub fn again<'a>(&self, arena: &'a Arena) -> Option<Array<'a>> {
        let (offset, len) = (self.offset.get(), self.len.get());
        if offset == 0 {
            return None;
        }
        // SAFETY: as in `look`.
        let array = unsafe { Array::unchecked(arena, offset, len, self.slots.get()) };
        if array.head.len.load(Relaxed) == len { Some(array) } else { None }
    }

    /// Nothing is known any more.
    pub fn forget(&self) {
        self.offset.set(0);
    }

    #[cold]
    fn look_anew<'a>(&self, arena: &'a Arena, offset: u64) -> Option<Array<'a>> {
        let array = Array::at(arena, offset)?;
        self.offset.set(offset);
        self.len.set(array.len);
        self.slots.set(array.slots);
        Some(array)
    }
}

/// What readers of the table must agree on.
pub fn facts() -> [u64; 4] {
    [size_of::<ArrayHead>() as u64, CHUNK, SMALLEST, u64::from(TAG_SHIFT)]
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::heap::size_class::ClassId;
    use crate::sync::Release;

    fn with_array(len: u64, test: impl Fn(&Arena, Array<'_>)) {
        let segment = crate::Options::new().capacity(1 << 20).create_anonymous().unwrap();
        let layout = core::alloc::Layout::from_size_align(Array::bytes(len), 16).unwrap();
        let block = segment.allocate(layout).unwrap().to_bits();
        let arena = &segment.attached().arena;
        test(arena, Array::write(arena, block, len, 5));
    }

    #[test]
    fn slots_come_back_as_they_went() {
        for slot in [
            Slot::Empty,
            Slot::Frozen,
            Slot::Entry { tag: 0, entry: 16 },
            Slot::Entry { tag: (1 << 20) - 1, entry: (1 << 44) - 16 },
        ] {
            assert_eq!(Slot::of(slot.word()), slot);
        }
        let hash = 0xfedc_ba98_7654_3210;
        assert_eq!(Slot::entry(hash, 32), Slot::Entry { tag: 0xfedcb, entry: 32 });
    }

    #[test]
    fn an_array_has_its_slots_and_done_bits_inside_its_bytes() {
        for len in [64, 256, 512, 1 << 15, 1 << 16] {
            with_array(len, |arena, array| {
                assert_eq!((array.len(), array.chunks()), (len, len.div_ceil(CHUNK)));
                let start = arena.at(array.offset).addr();
                let end = start + Array::bytes(len);
                let inside = |word: &AtomicU64| (&raw const *word).addr();
                let (mut last, head) = (start + size_of::<ArrayHead>() - 8, size_of::<ArrayHead>());
                let mut bits = 0;
                for chunk in 0..array.chunks() {
                    let (word, bit) = array.done(chunk);
                    assert_eq!(inside(word), start + head + (chunk / 64 * 8) as usize);
                    assert_eq!(bit.count_ones(), 1);
                    assert_eq!(bits & bit, if chunk % 64 == 0 { bits & bit } else { 0 });
                    bits = if chunk % 64 == 0 { bit } else { bits | bit };
                    last = last.max(inside(word));
                }
                for slot in 0..len {
                    assert_eq!(inside(array.slot(slot)), last + 8 * (slot as usize + 1));
                }
                assert_eq!(inside(array.slot(len - 1)) + 8, end, "no byte is wasted");
                assert_eq!(inside(array.slot(len)), inside(array.slot(0)), "the path goes round");
            });
        }
    }

    #[test]
    fn on_a_path_the_first_of_a_tag_is_met() {
        with_array(64, |_, array| {
            let entry = |hash: u64, at: u64| Slot::entry(hash, 16 * (at + 1)).word();
            let (own, other) = (5 << TAG_SHIFT, 6 << TAG_SHIFT);
            // What is behind the last slot is none; the block has room there.
            let room = ClassId::of(Array::bytes(64), 16).unwrap().cut().size as usize;
            assert!(Array::bytes(64) + NEAR as usize * size_of::<AtomicU64>() <= room);
            for behind in 0..NEAR {
                // SAFETY: inside the block, of which nobody else has anything.
                let word = unsafe { &*array.slots.add((array.len + behind) as usize) };
                word.store(entry(own, 1000), Release);
            }
            for (start, before) in
                (0..64).flat_map(|start| (0..64).map(move |before| (start, before)))
            {
                let fill = |at: u64, word: u64| array.slot(start + at).store(word, Release);
                let met = || array.first_like(own | start);
                (0..64).for_each(|at| fill(at, entry(other, at)));
                assert_eq!(met(), Slot::Frozen.word(), "not here; it may be in the successor");
                fill(before, entry(own, before));
                if before < 63 {
                    fill(before + 1, entry(own, before + 1));
                }
                assert_eq!(met(), entry(own, before), "from {start}, behind {before}");
                fill(before, Slot::Empty.word());
                if before + 1 >= NEAR {
                    assert_eq!(met(), Slot::Empty.word(), "behind the path's end is nothing of it");
                    fill(before, Slot::Frozen.word());
                    assert_eq!(met(), Slot::Frozen.word());
                }
            }
        });
    }

    #[test]
    fn an_array_stands_only_where_one_can() {
        with_array(64, |arena, array| {
            let offset = array.offset;
            let at = |len: u64| {
                array.head.len.store(len, Relaxed);
                let found = Array::at(arena, offset).map(|array| array.len());
                array.head.len.store(64, Relaxed);
                found
            };
            assert_eq!(at(64), Some(64));
            assert_eq!(at(32), Some(32));
            for none in [0, 63, 65, 96, 1 << 20, 1 << 44, 1 << 63] {
                assert_eq!(at(none), None, "{none}");
            }
            array.next().store(32, Relaxed); // as the length of what would begin there
            assert!(Array::at(arena, offset + 8).is_none(), "arrays lie at multiples of 16");
            array.next().store(0, Relaxed);
            assert!(Array::at(arena, arena.frontier().offset() - 16).is_none());
            assert!(Array::at(arena, arena.first_unit().offset() - 64).is_none());
        });
    }

    #[test]
    fn what_was_an_array_is_looked_at_anew_if_it_says_another_length() {
        with_array(64, |arena, array| {
            let last = LastArray::default();
            let look = |len: u64| {
                array.head.len.store(len, Relaxed);
                last.look(arena, array.offset).map(|array| array.len())
            };
            for len in [64, 32, 64] {
                assert_eq!(look(len), Some(len));
            }
            for none in [0, 63, 1 << 20, 1 << 44, 1 << 63] {
                assert_eq!((look(64), look(none)), (Some(64), None), "{none}");
            }
            assert!(last.look(arena, 0).is_none() && last.look(arena, array.offset + 8).is_none());
            last.forget();
            assert_eq!((look(63), look(64)), (None, Some(64)));
            let again = || last.again(arena).map(|array| (array.offset, array.len(), array.slots));
            assert_eq!(again(), Some((array.offset, 64, array.slots)));
            for other in [0, 32, 63, 128] {
                array.head.len.store(other, Relaxed);
                assert_eq!(again(), None, "it says {other}");
            }
            array.head.len.store(64, Relaxed);
            assert!(again().is_some() && last.offset() == array.offset);
            last.forget();
            assert_eq!((again(), last.offset()), (None, 0));
        });
    }

    #[test]
    fn thirteen_of_sixteen_slots_are_promised_and_none_when_closed() {
        with_array(64, |_, array| {
            assert_eq!((Array::limit(64), Array::limit(2)), (52, 2));
            // Five copies may still come.
            let mut promised = 0;
            while array.promise(false) {
                promised += 1;
            }
            assert_eq!(promised, 52 - 5);
            assert!(array.promise(true), "all copies are in, and there was none");
            array.take_back_promise();
            array.promise_copy();
            array.promise_copy();
            array.take_back_copy();
            assert_eq!(array.close(), promised + 1);
            assert!(!array.promise(true) && !array.promise(false));
            assert_eq!(array.close(), promised + 1, "closing twice changes nothing");
        });
    }

    #[test]
    fn an_entry_is_on_the_path_of_its_hash_until_that_ends() {
        with_array(64, |_, array| {
            let (hash, entry) = (61, 0x20_0000);
            let put = |at: u64, slot: Slot| array.slot(at).store(slot.word(), Relaxed);
            assert!(!array.has(hash, entry) && array.occupied() == 0);
            put(61, Slot::entry(61, 16));
            put(62, Slot::entry(62, 32));
            put(63, Slot::entry(63, 48));
            put(0, Slot::entry(hash, entry));
            assert!(array.has(hash, entry));
            assert!(!array.has(hash, entry + 16) && !array.has(1, entry));
            put(62, Slot::Frozen);
            assert!(!array.has(hash, entry), "a path ends where it is closed");
            assert_eq!(array.occupied(), 3);
            (0..64).for_each(|at| put(at, Slot::entry(at, 64)));
            assert!(!array.has(hash, entry), "a full array is gone round once");
            assert_eq!(array.occupied(), 64);
            let done =
                |chunk| array.done(chunk).0.fetch_or(array.done(chunk).1, crate::sync::AcqRel);
            assert!(!array.all_done());
            done(0);
            assert!(array.all_done());
        });
    }
}
