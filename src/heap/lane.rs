//! The private part of a lane: one thread's magazines and its notes on the slabs that it owns.
//!
//! It lies in memory that fork wipes, and all zero means "no lane": a forked child finds empty
//! magazines and a tag that matches no slab, falls into the slow path and takes a lane of its own,
//! at no cost to the hot path.

use super::size_class::{CLASS_COUNT, Class, ClassId, GROUP, LINE};
use super::unit::{LaneId, State, UNIT, UNIT_SHIFT, UnitIndex, owner_tag};
use crate::arena::Arena;
use crate::names::array::LastArray;
use crate::process::lane::LaneRecord;
use crate::process::pin::PinBook;
use crate::sync::{AtomicU8, AtomicU64, Release};
use crate::trace::map::Map;
use core::any::TypeId;
use core::cell::{Cell, RefCell};
use core::hash::{BuildHasherDefault, Hasher};
use core::hint::assert_unchecked;
use core::ptr::{self, NonNull};
use core::sync::atomic::AtomicU32;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// Blocks that a lane has at hand for one class, all PRIVATE: a stack, the last one in the first one
/// out, and below it a row of neighbours that have not been out since the last refill.
///
/// Beside them, what the hot paths need to know of the class, so that they touch one cache line, and a second one for
/// the row.
#[repr(C, align(64))]
pub struct Magazine {
    /// The stack: one past its last block, its first, one past its room.
    top: Cell<*mut u64>,
    bottom: Cell<*mut u64>,
    limit: Cell<*mut u64>,
    /// Where the state bytes are: those of unit u begin `u * stride` bytes behind.
    states: Cell<*mut u8>,
    stride: Cell<u64>,
    /// Of the class, if its slabs are single units: how many blocks there are (else none), and the
    /// [divisor](Class::divisor).
    count: Cell<u32>,
    divisor: Cell<u32>,
    /// The row: its next block, and from bit 48 on that one's index in its slab; what follows its
    /// last block, likewise.
    row: Cell<u64>,
    row_end: Cell<u64>,
    /// From one block of the row to the next.
    row_step: Cell<u64>,
    /// The state byte of the block with index 0 of the row's slab.
    row_states: Cell<*mut u8>,
}

/// Where a row's word has the index, above the offset.
const ROW_INDEX: u32 = 48;
const ROW_OFFSET: u64 = (1 << ROW_INDEX) - 1;
const _: () = assert!(crate::layout::MAX_CAPACITY <= 1 << ROW_INDEX);

/// What a state byte takes: a byte, but for loom's.
const STATE_SHIFT: u32 = size_of::<AtomicU8>().ilog2();

impl Magazine {
    fn begin(&self, arena: &Arena, cut: &Class, blocks: *mut u64) {
        self.top.set(blocks);
        self.bottom.set(blocks);
        self.limit.set(blocks.wrapping_add(cut.magazine as usize));
        let (states, stride) = if cut.dense {
            (arena.layout().state_lines, LINE << STATE_SHIFT)
        } else {
            (cut.states.into(), UNIT)
        };
        self.states.set(arena.at(states));
        self.stride.set(stride as u64);
        self.count.set(if cut.span > 1 { 0 } else { cut.count });
        self.divisor.set(cut.divisor());
        self.row_step.set(u64::from(cut.size) | 1 << ROW_INDEX);
        self.row.set(0);
        self.row_end.set(0);
    }

    /// A block, if one is at hand.
    #[inline(always)]
    pub fn pop(&self) -> Option<u64> {
        let top = self.top.get();
        if top == self.bottom.get() {
            return self.pop_row().map(|row| row & ROW_OFFSET);
        }
        // SAFETY: since `begin` bottom..limit is storage of the lane; those below `top` were written
        // by `push`.
        unsafe {
            let top = top.sub(1);
            self.top.set(top);
            Some(*top)
        }
    }

    /// False: the stack is full, and the block is still the caller's.
    #[inline(always)]
    pub fn push(&self, block: u64) -> bool {
        self.push_if(block, || true)
    }

    /// The same, if `proceed` says so, which is asked only if the stack is not full.
    #[inline(always)]
    pub fn push_if(&self, block: u64, proceed: impl FnOnce() -> bool) -> bool {
        let top = self.top.get();
        if top == self.limit.get() || !proceed() {
            return false;
        }
        // SAFETY: as in `pop`; below `limit`.
        unsafe {
            *top = block;
            self.top.set(top.add(1));
        }
        true
    }

    /// A block that is RAW, if one is at hand, of a class whose slabs are single units.
    #[inline(always)]
    pub fn pop_raw(&self) -> Option<u64> {
        // SAFETY: the state byte of a block that this lane holds, of a segment that is mapped.
        // Release: whoever sees the block by this state sees that its last holder is done with it.
        let mark = |state: *mut u8| unsafe {
            (*state.cast::<AtomicU8>()).store(State::Raw as u8, Release)
        };
        if self.top.get() == self.bottom.get() {
            let row = self.pop_row()?;
            let index = (row >> ROW_INDEX) as usize;
            mark(self.row_states.get().wrapping_add(index << STATE_SHIFT));
            return Some(row & ROW_OFFSET);
        }
        let block = self.pop()?;
        debug_assert!(self.index_of(block) < self.count.get());
        mark(self.state_at(block, self.index_of(block)));
        Some(block)
    }

    #[inline(always)]
    fn pop_row(&self) -> Option<u64> {
        let row = self.row.get();
        if row == self.row_end.get() {
            return None;
        }
        self.row.set(row + self.row_step.get());
        Some(row)
    }

    /// Makes `count` neighbours, of which the first has this index, the row, or the rest of the row
    /// that ends where they begin; false: there is another.
    pub fn set_row(&self, first: u64, index: u32, count: u32) -> bool {
        let row = first | u64::from(index) << ROW_INDEX;
        if self.row.get() == self.row_end.get() {
            self.row.set(row);
        } else if self.row_end.get() != row {
            return false;
        }
        self.row_end.set(row + u64::from(count) * self.row_step.get());
        self.row_states.set(self.state_at(first, 0));
        true
    }

    /// Whether there is a row, and the block at `next` with this index would continue it.
    pub fn row_ends_at(&self, next: u64, index: u32) -> bool {
        self.row.get() != self.row_end.get()
            && self.row_end.get() == next | u64::from(index) << ROW_INDEX
    }

    /// Takes the row out, block by block, into the stack; what does not fit stays.
    pub fn stack_row(&self) {
        while !self.is_full() {
            let Some(row) = self.pop_row() else { return };
            self.push(row & ROW_OFFSET);
        }
    }

    /// Blocks at hand.
    pub fn at_hand(&self) -> u32 {
        self.len() + ((self.row_end.get() - self.row.get()) >> ROW_INDEX) as u32
    }

    /// The index in its slab of the block at `offset`, and its state byte; `None`: its slab has more units, or no block
    /// of the class starts there.
    #[inline(always)]
    pub fn place_of(&self, offset: u64) -> Option<(u32, *mut u8)> {
        let index = self.index_of(offset);
        (index < self.count.get()).then(|| (index, self.state_at(offset, index)))
    }

    /// The index of the block at `offset`; where none starts, a number beyond them, see [`Class::divide`].
    #[inline(always)]
    fn index_of(&self, offset: u64) -> u32 {
        Class::divide(offset as u32 & (UNIT as u32 - 1), self.divisor.get())
    }

    /// The state byte of the block with this index in the slab of `offset`.
    #[inline(always)]
    fn state_at(&self, offset: u64, index: u32) -> *mut u8 {
        let of_unit = (offset >> UNIT_SHIFT) * self.stride.get();
        self.states
            .get()
            .wrapping_add(of_unit as usize)
            .wrapping_add((index as usize) << STATE_SHIFT)
    }

    /// Bytes of a block.
    #[inline(always)]
    pub fn size(&self) -> u32 {
        self.row_step.get() as u32
    }

    fn len(&self) -> u32 {
        ((self.top.get().addr() - self.bottom.get().addr()) / size_of::<u64>()) as u32
    }

    /// How many blocks the stack can still take.
    pub fn room(&self) -> u32 {
        ((self.limit.get().addr() - self.top.get().addr()) / size_of::<u64>()) as u32
    }

    #[inline(always)]
    pub fn is_full(&self) -> bool {
        self.top.get() == self.limit.get()
    }

    /// The `count` blocks that lay longest on the stack, or all of them.
    pub fn oldest(&self, count: u32) -> &[u64] {
        let count = count.min(self.len()) as usize;
        if count == 0 {
            return &[];
        }
        // SAFETY: those below `top` were written by `push`; a borrow of this thread, which neither
        // pushes nor pops while it looks at them.
        unsafe { core::slice::from_raw_parts(self.bottom.get(), count) }
    }

    /// Takes out the `count` blocks that lay longest on the stack.
    pub fn drop_oldest(&self, count: u32) {
        let (count, len) = (count as usize, self.len() as usize);
        assert!(count <= len);
        if count != 0 {
            let bottom = self.bottom.get();
            // SAFETY: both ranges lie below `top`.
            unsafe { ptr::copy(bottom.add(count), bottom, len - count) };
            self.top.set(bottom.wrapping_add(len - count));
        }
    }
}

/// Where each class's magazine begins in a lane's storage.
const STORAGE: ([usize; CLASS_COUNT], usize) = {
    let (mut starts, mut at, mut class) = ([0; CLASS_COUNT], 0, 0);
    while class < CLASS_COUNT {
        starts[class] = at;
        at += super::size_class::magazine_of(class);
        class += 1;
    }
    (starts, at)
};

/// One thread's end of the segment: process memory, used by one thread at a time (`busy`).
#[repr(C)]
pub struct Lane {
    /// By class; those behind the last class stay empty and have no blocks, so that six bits need no check. At the
    /// front, as each is found by adding to the lane's address.
    magazines: [Magazine; ClassId::CODES],
    /// What the unit words of its slabs have in their owner bits; 0: no lane (or wiped by fork).
    tag: Cell<u64>,
    /// Bytes of its segment, where that lies, and where its unit words do: for the hot paths.
    limit: Cell<u64>,
    base: Cell<*mut u8>,
    unit_words: Cell<*const AtomicU64>,
    /// Where its segment lies, and in the top bits, which an address leaves free, the birth number:
    /// it tells a process from its forked ancestors, whose blocks and pins are not ours.
    tagged_base: Cell<u64>,
    id: Cell<u16>,
    record: Cell<*const LaneRecord>,
    pub pins: PinBook,
    pub last_array: LastArray,
    book: Cell<*const RefCell<Book>>,
    /// 1 while a thread uses it.
    pub busy: AtomicU32,
    /// Handles and thread-local entries that lead to it; the last one parks it.
    pub users: Cell<u32>,
    /// Frees that it has not told of.
    pub owed: Owed,
    /// Whether it has ever made a run: only then must a look for PRIVATE ones be taken at its end.
    pub made_runs: Cell<bool>,
    /// The next of this process's lanes; written once, before the lane is in the list.
    pub next: Cell<*const Lane>,
    /// Types that this lane has described in the segment, and under which number of descriptions.
    pub types: Cell<*const RefCell<TypeBook>>,
    storage: [Cell<u64>; STORAGE.1],
}

/// Frees into one slab of other lanes' that nobody has been told of yet: f1 is done, f2 is owed.
pub struct Owed {
    /// The slab's first unit, above how many blocks they are; 0: none, as a slab begins at no unit 0.
    word: Cell<u64>,
    /// The groups of the blocks.
    groups: Cell<u64>,
}

impl Owed {
    /// So many frees are told of together, at most: a group's, so that its line of states moves but once from the
    /// freer to the owner.
    const MOST: u64 = GROUP as u64;
    const HEAD: u32 = 32;

    /// Adds one; false: what is owed is of another slab, or is as much as may be.
    #[inline(always)]
    pub fn add(&self, head: UnitIndex, group: u32) -> bool {
        let count = self.word.get().wrapping_sub(u64::from(head.0) << Self::HEAD);
        let goes_on = count < Self::MOST;
        if goes_on {
            self.word.set(self.word.get() + 1);
            self.groups.set(self.groups.get() | 1 << group);
        }
        goes_on
    }

    /// Nothing is owed but one in this slab.
    pub fn begin(&self, head: UnitIndex, group: u32) {
        self.word.set((u64::from(head.0) << Self::HEAD) + 1);
        self.groups.set(1 << group);
    }

    /// The slab and its groups; from here on nothing is owed.
    pub fn take(&self) -> Option<(UnitIndex, u64)> {
        let (word, groups) = (self.word.replace(0), self.groups.replace(0));
        (word != 0).then_some((UnitIndex((word >> Self::HEAD) as u32), groups))
    }
}

/// The hash of a fingerprint, which is one.
#[derive(Default)]
pub struct Itself(u64);

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write_u64(&mut self, fingerprint: u64) {
        self.0 = fingerprint;
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("fingerprints are whole words")
    }
}

/// Fingerprints of the types whose descriptions are known to stand in the table of names.
#[derive(Default)]
pub struct TypeBook {
    pub epoch: u64,
    pub known: HashSet<u64, BuildHasherDefault<Itself>>,
    /// Trace maps that stand in the segment, of types of this program. They are never removed.
    pub maps: HashMap<TypeId, Rc<Map>>,
    /// Those of this program's types, whether they stand there or not.
    pub own: HashMap<TypeId, Rc<Map>>,
}

impl Lane {
    /// Bits of a birth number.
    pub const BIRTH_BITS: u32 = 16;
    /// Where the birth number stands in a word, above an address.
    pub const BIRTH_SHIFT: u32 = u64::BITS - Self::BIRTH_BITS;

    /// Makes the all-zero lane the thread's end of lane `id`.
    pub fn begin(&self, arena: &Arena, id: LaneId, birth: u32) {
        assert!(birth != 0 && birth < 1 << Self::BIRTH_BITS);
        for class in ClassId::all() {
            self.magazine(class).begin(
                arena,
                class.cut(),
                self.storage[STORAGE.0[class.index()]].as_ptr(),
            );
        }
        self.book.set(Box::into_raw(Box::new(RefCell::new(Book::default()))));
        self.types.set(Box::into_raw(Box::default()));
        self.limit.set(arena.layout().bytes());
        self.last_array.forget();
        self.base.set(arena.at(0));
        self.unit_words.set(arena.unit_word(UnitIndex(0)));
        let base = arena.at(0).expose_provenance() as u64;
        assert!(base >> Self::BIRTH_SHIFT == 0, "the kernel gives such addresses only on request");
        self.tagged_base.set(base | u64::from(birth) << Self::BIRTH_SHIFT);
        self.id.set(id.0);
        self.record.set(arena.lane(id));
        self.tag.set(owner_tag(id));
    }

    /// The end of it: zero again. It owns no slab and no pin.
    pub fn end(&self) {
        for magazine in &self.magazines {
            assert_eq!(magazine.at_hand(), 0);
            magazine.limit.set(magazine.bottom.get());
            magazine.top.set(magazine.bottom.get());
        }
        self.owed.take();
        self.tag.set(0);
        self.limit.set(0);
        self.id.set(0);
        self.record.set(ptr::null());
        self.tagged_base.set(0);
        let (book, types) = (self.book.replace(ptr::null()), self.types.replace(ptr::null()));
        // SAFETY: made by `begin` from boxes, taken out here, once.
        unsafe {
            drop(Box::from_raw(book.cast_mut()));
            drop(Box::from_raw(types.cast_mut()));
        }
    }

    #[inline(always)]
    pub fn magazine(&self, class: ClassId) -> &Magazine {
        &self.magazines[class.index() & (ClassId::CODES - 1)]
    }

    /// Whether it is a lane: neither fresh nor wiped by a fork.
    #[inline(always)]
    pub fn is_live(&self) -> bool {
        self.tag.get() != 0
    }

    #[inline(always)]
    pub fn tag(&self) -> u64 {
        self.tag.get()
    }

    #[inline(always)]
    pub fn birth(&self) -> u32 {
        (self.tagged_base.get() >> Self::BIRTH_SHIFT) as u32
    }

    #[inline(always)]
    pub fn tagged_base(&self) -> u64 {
        self.tagged_base.get()
    }

    /// The unit word of the unit that holds `offset`; `None`: it is no offset of the segment, or the
    /// lane is not live.
    #[inline(always)]
    pub fn unit_word(&self, offset: u64) -> Option<&AtomicU64> {
        if offset >= self.limit.get() {
            return None;
        }
        // SAFETY: a live lane's segment is mapped, and has a word for each of its units. Of a unit
        // beyond the frontier it may be a hole, which reads as Free.
        Some(unsafe { &*self.unit_words.get().add((offset >> UNIT_SHIFT) as usize) })
    }

    /// The address of a byte of the lane's segment; `None`: it lies outside, or the lane is not live.
    #[inline(always)]
    pub fn address(&self, offset: u64) -> Option<NonNull<u8>> {
        // SAFETY: a segment does not lie at 0.
        (offset < self.limit.get()).then(|| unsafe { NonNull::new_unchecked(self.at(offset)) })
    }

    /// Tells the compiler that [`address`](Self::address) need not ask.
    ///
    /// # Safety
    /// The offset is one of the segment, and the lane is live.
    #[inline(always)]
    pub unsafe fn promise(&self, offset: u64) {
        // SAFETY: the caller's promise.
        unsafe { assert_unchecked(offset < self.limit.get()) };
    }

    /// The address of a byte of the live lane's segment.
    #[inline(always)]
    pub fn at(&self, offset: u64) -> *mut u8 {
        self.base.get().wrapping_add(offset as usize)
    }

    pub fn id(&self) -> LaneId {
        LaneId(self.id.get())
    }

    /// The shared record of a live lane.
    ///
    /// # Panics
    /// If it is not live any more: in a child of a fork inside an operation, which must not go on with that.
    #[inline(always)]
    pub fn record(&self) -> &LaneRecord {
        let Some(record) = self.live_record() else {
            panic!("the process was forked inside an operation");
        };
        record
    }

    /// The same, if it is live: for the hot paths, as a find took longer by a fifth where it could panic.
    #[inline(always)]
    pub fn live_record(&self) -> Option<&LaneRecord> {
        // SAFETY: set by `begin` to the record of a segment that is mapped while the lane is live; null otherwise.
        unsafe { self.record.get().as_ref() }
    }

    /// The notes on its slabs. Only the slow paths of the heap borrow them, never one inside another.
    pub fn book(&self) -> &RefCell<Book> {
        assert!(self.is_live());
        // SAFETY: a live lane's book was made by `begin` and is dropped by `end`.
        unsafe { &*self.book.get() }
    }

    pub fn types(&self) -> &RefCell<TypeBook> {
        assert!(self.is_live());
        // SAFETY: as for the book.
        unsafe { &*self.types.get() }
    }
}

/// What the owner knows of each slab that it owns.
pub struct Book {
    pub classes: [ClassBook; CLASS_COUNT],
    /// [`Header::sweep_epoch`](crate::layout::Header) when all slabs were last looked at.
    pub sweep_epoch: u64,
}

impl Default for Book {
    fn default() -> Self {
        Book { classes: core::array::from_fn(|_| ClassBook::default()), sweep_epoch: 0 }
    }
}

/// The owned slabs of one class.
#[derive(Default)]
pub struct ClassBook {
    /// By slot; a slab keeps its slot while it is owned, as its unit word names it.
    pub slots: Vec<Option<Notes>>,
    vacant: Vec<u32>,
    /// Slots whose slabs have a pending group, each once (`listed`).
    ready: Vec<u32>,
    listed: Vec<bool>,
    /// The slot above the one that a look by cursor goes to next.
    pub cursor: u32,
    /// Slabs in which every block is FREE, as far as is known.
    pub empties: u32,
    /// Slots of slabs that became empty at some time since they were last looked for, each once.
    emptied: Vec<u32>,
    seen_empty: Vec<bool>,
}

/// One owned slab.
#[derive(Clone)]
pub struct Notes {
    pub unit: UnitIndex,
    /// Groups that may hold FREE or LIMBO blocks: announced by the doorbell or freed by ourselves.
    pub pending: u64,
    /// Blocks that are not FREE as far as is known; never fewer than there are.
    pub outstanding: u32,
    /// FREE blocks by group, as far as is known; never more than there are.
    pub known_free: [u8; 64],
}

const _: () = assert!(GROUP <= u8::MAX as usize);

impl ClassBook {
    /// A slot for a slab that is about to be owned.
    pub fn reserve(&mut self) -> u32 {
        self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.listed.push(false);
            self.seen_empty.push(false);
            self.slots.len() as u32 - 1
        })
    }

    pub fn vacate(&mut self, slot: u32) {
        self.slots[slot as usize] = None;
        self.vacant.push(slot);
    }

    /// A slab is wholly free now.
    pub fn count_empty(&mut self, slot: u32) {
        self.empties += 1;
        if !core::mem::replace(&mut self.seen_empty[slot as usize], true) {
            self.emptied.push(slot);
        }
    }

    /// A slab that is wholly free.
    pub fn next_empty(&mut self) -> Option<u32> {
        while let Some(slot) = self.emptied.pop() {
            self.seen_empty[slot as usize] = false;
            if self.slots[slot as usize].as_ref().is_some_and(|slab| slab.outstanding == 0) {
                return Some(slot);
            }
        }
        None
    }

    /// Adds to a slab's pending groups; a slot that no slab has is that of a damaged unit word.
    pub fn announce(&mut self, slot: u32, groups: u64) {
        let Some(Some(notes)) = self.slots.get_mut(slot as usize) else { return };
        notes.pending |= groups;
        if notes.pending != 0 && !core::mem::replace(&mut self.listed[slot as usize], true) {
            self.ready.push(slot);
        }
    }

    /// A slab with a pending group, the last one announced.
    pub fn next_ready(&mut self) -> Option<u32> {
        while let Some(&slot) = self.ready.last() {
            if self.slots[slot as usize].as_ref().is_some_and(|notes| notes.pending != 0) {
                return Some(slot);
            }
            self.listed[slot as usize] = false;
            self.ready.pop();
        }
        None
    }

    /// The owned slabs, each with its slot.
    pub fn owned(&self) -> impl Iterator<Item = (u32, &Notes)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(slot, notes)| Some((slot as u32, notes.as_ref()?)))
    }

    /// The slabs whose ring bit is `ring`.
    pub fn slots_of_ring(&self, ring: u32) -> impl Iterator<Item = u32> + use<> {
        (ring..self.slots.len() as u32).step_by(64)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::Options;
    use crate::attached::with_lane;

    #[test]
    fn a_live_lane_knows_its_birth_and_each_byte_of_its_segment() {
        let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
        let (attached, end) = (segment.attached(), segment.attached().arena.layout().bytes());
        with_lane(attached, |lane| {
            assert!(lane.birth() != 0 && attached.is_own_birth(lane.birth()));
            for offset in [0, 1, end / 2, end - 1] {
                let address = lane.address(offset).map(NonNull::as_ptr);
                assert_eq!(address, Some(attached.arena.at(offset)), "{offset}");
                assert!(lane.unit_word(offset).is_some(), "{offset}");
            }
            for offset in [end, end + 1, 1 << Lane::BIRTH_SHIFT, u64::MAX] {
                assert!(lane.address(offset).is_none() && lane.unit_word(offset).is_none());
            }
        })
        .unwrap();
    }

    #[test]
    fn a_slot_of_no_slab_is_not_announced() {
        let mut book = ClassBook::default();
        book.announce(3, 1);
        assert_eq!(book.next_ready(), None);
    }

    #[test]
    fn a_lane_that_ended_is_as_one_that_never_was() {
        let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
        let arena = &segment.attached().arena;
        // SAFETY: all zero is a lane, as memory that fork has wiped is.
        let lane = unsafe { Box::<Lane>::new_zeroed().assume_init() };
        for id in [LaneId(7), LaneId(8)] {
            assert!(!lane.is_live() && lane.unit_word(0).is_none() && lane.address(0).is_none());
            assert_eq!((lane.id(), lane.birth(), lane.tag()), (LaneId::NOBODY, 0, 0));
            assert!(ClassId::all().all(|class| !lane.magazine(class).push(UNIT as u64)));
            lane.begin(arena, id, 5);
            assert_eq!((lane.id(), lane.birth(), lane.tag()), (id, 5, owner_tag(id)));
            assert!(lane.is_live() && lane.book().borrow().classes[0].slots.is_empty());
            // What it learns it knows, but for the next one.
            assert!(lane.types().borrow_mut().known.insert(3));
            assert!(!lane.types().borrow_mut().known.insert(3));
            lane.end();
        }
    }
}
