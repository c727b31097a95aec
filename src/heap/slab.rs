//! Slabs: refilling a magazine, flushing it, frees from other lanes. How they change their owner:
//! [`orphan`](super::orphan).
//!
//! ```text
//! remote_free(block), any lane                      refill(class), owner lane
//! f1  state := FREE          (Release)              r1  rings := bells.swap(0)            (Acquire)
//! then, for several of them in one slab:            r2  each slab with a ring: doorbell.swap(0) (Acquire)
//! f2  doorbell |= groups     (AcqRel)               r3  each announced group: FREE → PRIVATE
//! f3  was it silent: read the unit word AGAIN,      r4  nothing: one slab by cursor, all its groups
//!     ring its present owner, or show the orphan
//! ```
//!
//! **Most frees are told of late.** f1 alone makes a block free. f2 costs as much as all the rest, so that for RAW
//! blocks of an owned slab it is done once for several: when they are more than a group has, when the lane frees into
//! another slab, refills, trims or ends. Till then the owner may take other memory though this is free, of one group's
//! worth for each other lane; before it says that there is none, it looks at all bytes. Who is stopped or dies
//! meanwhile leaves out a hint, as between f2 and f3.
//!
//! **No free is lost.** f2 before r2 in the doorbell's order: r3 sees the byte. f2 after r2: the
//! doorbell was silent, so the freer rings. Against a change of owner: each new owner writes the
//! unit word, *then* swaps the doorbell, then looks at all bytes; f2 before that swap: it sees the
//! byte; f2 after: f3 reads the new owner. A freer that found the doorbell ringing leaves the rest
//! to who made it ring; if that one is stopped or dead, r4 comes by: before a lane takes a fresh
//! unit it looks at one slab that it owns, downwards in turn, so each is seen before the lane has three
//! times as many.
//!
//! **No block has two holders.** FREE → PRIVATE is done by the lane in the unit word alone, and that
//! changes by CAS. f1 is the freer's last touch of the unit's memory: a late ring goes to the dense
//! doorbell, where it is harmless whatever became of the unit.

mod groups;

use super::lane::{ClassBook, Notes};
use super::size_class::{ClassId, GROUP, LINE};
use super::unit::{
    LaneId, OWNER, State, UNIT, Unit, UnitIndex, class_code, is_owned_slab, slot_field,
};
use super::{Exhausted, Heap};
use crate::layout::SetId;
use crate::process::pin;
use crate::sync::{
    AcqRel, Acquire, AtomicU8, AtomicU64, Relaxed, Release, fence, load_eight, store_eight,
};
use groups::{begun_group, classify, first_group, flags, in_a_row};

/// A block of a slab.
#[derive(Clone, Copy)]
pub struct SlabBlock {
    pub head: UnitIndex,
    pub class: ClassId,
    pub index: u32,
}

impl SlabBlock {
    fn group(self) -> u32 {
        self.index / GROUP as u32
    }
}

/// The block at the front lies in a slab that says that it is ours, and is not: the segment is damaged.
/// It stays as it is.
#[cold]
#[inline(never)]
fn skip_foreign(blocks: &[u64]) -> &[u64] {
    &blocks[1..]
}

impl Heap<'_> {
    pub(crate) fn state(&self, block: SlabBlock) -> &AtomicU8 {
        debug_assert!(block.index < block.class.cut().count);
        // SAFETY: the unit word said that `head` is a slab of this class, so its state bytes lie
        // there and are backed; only indices below the class's count are made.
        unsafe { &*self.arena.states(block.head, block.class).add(block.index as usize) }
    }

    /// Brings blocks into the magazine of `class`, at least one.
    ///
    /// Lock-free: a step that fails has met another's success.
    pub fn refill(&self, class: ClassId) -> Result<(), Exhausted> {
        self.tell();
        let mut book = self.lane.book().borrow_mut();
        self.notice_recoveries(&mut book);
        let notes = &mut book.classes[class.index()];
        self.answer_bells(class, notes);
        if self.take_ready(class, notes) {
            return Ok(());
        }
        self.look_by_cursor(class, notes);
        if self.take_ready(class, notes) {
            return Ok(());
        }
        while self.adopt(class, notes, 0).is_some() {
            if self.take_ready(class, notes) {
                return Ok(());
            }
        }
        self.cut_fresh(class, notes)?;
        let took = self.take_ready(class, notes);
        debug_assert!(took, "a fresh slab has free blocks");
        Ok(())
    }

    /// After a recovery hints of dead freers may be missing: all slabs are looked at once.
    fn notice_recoveries(&self, book: &mut super::lane::Book) {
        // Acquire pairs with the Release of the recovery's increment: its frees are before.
        let epoch = self.arena.header().sweep_epoch.load(Acquire);
        if core::mem::replace(&mut book.sweep_epoch, epoch) == epoch {
            return;
        }
        for class in ClassId::all() {
            let notes = &mut book.classes[class.index()];
            (0..notes.slots.len() as u32)
                .for_each(|slot| notes.announce(slot, class.cut().groups()));
        }
    }

    fn answer_bells(&self, class: ClassId, notes: &mut ClassBook) {
        let bell = &self.lane.record().bells[class.index()];
        if bell.load(Relaxed) == 0 {
            return; // what rings now rings for the next refill
        }
        // Bells before doorbells: a ring after this swap stays for the next refill. Acquire pairs
        // with the Release of the ring, before which the doorbell was written.
        let mut rings = bell.swap(0, Acquire);
        while rings != 0 {
            let ring = rings.trailing_zeros();
            rings &= rings - 1;
            for slot in notes.slots_of_ring(ring) {
                let Some(slab) = &notes.slots[slot as usize] else { continue };
                let doorbell = self.arena.doorbell(slab.unit);
                if doorbell.load(Relaxed) == 0 {
                    continue;
                }
                // Acquire pairs with f2: the announced bytes are visible. What is not used up in
                // this refill stays in the notes, as the doorbell forgets it.
                notes.announce(slot, doorbell.swap(0, Acquire) & class.cut().groups());
                self.release_if_empty(class, notes, slot);
            }
        }
    }

    /// A slab all of whose groups were announced may be wholly free.
    fn release_if_empty(&self, class: ClassId, notes: &mut ClassBook, slot: u32) {
        let Some(slab) = &mut notes.slots[slot as usize] else { return };
        if slab.pending != class.cut().groups() || slab.outstanding == 0 {
            return;
        }
        self.recount(class, slab);
        if slab.outstanding == 0 {
            notes.count_empty(slot);
            self.release_empties(class, notes, 1);
        }
    }

    fn look_by_cursor(&self, class: ClassId, notes: &mut ClassBook) {
        let slots = notes.slots.len() as u32;
        // Downwards: upwards it would go ahead of the fresh slabs, one for each look, and never come round.
        let above = notes.cursor;
        let Some(slot) = (1..=slots)
            .map(|i| (above + slots - i) % slots)
            .find(|slot| notes.slots[*slot as usize].is_some())
        else {
            return;
        };
        notes.cursor = slot;
        let slab = notes.slots[slot as usize].as_ref().expect("found above");
        self.arena.doorbell(slab.unit).swap(0, Acquire);
        let (unit, groups) = (slab.unit, class.cut().groups());
        let found = (0..groups.count_ones() as usize)
            .filter(|group| self.look_at_group(class, unit, *group) != (0, 0))
            .fold(0, |found, group| found | 1 << group);
        notes.announce(slot, found);
    }

    /// Takes from the announced groups until a quarter of the magazine is full, and wholly free groups
    /// that follow in a row, which cost little, until all of it is; whether anything is in it.
    fn take_ready(&self, class: ClassId, notes: &mut ClassBook) -> bool {
        let magazine = self.lane.magazine(class);
        let want = class.cut().magazine.div_ceil(4);
        while magazine.at_hand() < want {
            let Some(slot) = notes.next_ready() else { break };
            let slab = notes.slots[slot as usize].as_mut().expect("a ready slot is owned");
            let was_empty = slab.outstanding == 0;
            let mut group = first_group(class, slab.unit, slab.pending);
            self.take_group(class, slab, group);
            loop {
                group += 1;
                let is_free = slab.known_free.get(group) == Some(&(GROUP as u8));
                let next =
                    slab.unit.offset() + group as u64 * GROUP as u64 * u64::from(class.cut().size);
                if !is_free
                    || magazine.at_hand() + GROUP as u32 > class.cut().magazine
                    || !magazine.row_ends_at(next, (group * GROUP) as u32)
                {
                    break;
                }
                self.take_group(class, slab, group);
            }
            match (was_empty, slab.outstanding == 0) {
                (true, false) => notes.empties -= 1,
                (false, true) => notes.count_empty(slot),
                _ => {}
            }
        }
        magazine.at_hand() != 0
    }

    /// FREE → PRIVATE in one group, as far as the magazine has room.
    fn take_group(&self, class: ClassId, slab: &mut Notes, group: usize) {
        let cut = class.cut();
        let first = group * GROUP;
        let states = self.arena.states(slab.unit, class);
        // A group of which every block is known to be FREE needs no look: only we change that.
        if usize::from(slab.known_free[group]) == GROUP && self.take_whole_group(class, slab, group)
        {
            return;
        }
        let (free, limbo) = self.look_at_group(class, slab.unit, group);
        if free | limbo == 0 {
            slab.pending &= !(1 << group);
            return;
        }
        let block = |i: u32| slab.unit.offset() + u64::from(first as u32 + i) * u64::from(cut.size);
        // FREE blocks that we did not know of were freed by others: they are out no longer.
        let found = free.count_ones();
        slab.outstanding -= found - found.min(u32::from(slab.known_free[group]));
        let mut takeable = free;
        let mut rest = limbo;
        // Looked up anew for each group, behind its look: an older answer knows nothing of who pinned
        // a block since, which was whole then and is LIMBO now.
        let named = if limbo == 0 { Vec::new() } else { pin::named(self.arena) };
        while rest != 0 {
            let i = rest.trailing_zeros();
            rest &= rest - 1;
            if named.binary_search(&block(i)).is_err() {
                takeable |= 1 << i;
            }
        }
        let magazine = self.lane.magazine(class);
        let mut taken = takeable;
        while taken.count_ones() > magazine.room() {
            taken &= !(1 << (63 - taken.leading_zeros()));
        }
        self.mark_private(states.wrapping_add(first), taken);
        let lowest = taken.trailing_zeros();
        let in_a_row = taken != 0 && (taken >> lowest).wrapping_add(1) & (taken >> lowest) == 0;
        if !in_a_row || !magazine.set_row(block(lowest), first as u32 + lowest, taken.count_ones())
        {
            let mut rest = taken;
            // From the top, so that the magazine hands them out in ascending order.
            while rest != 0 {
                let i = 63 - rest.leading_zeros();
                rest &= !(1 << i);
                let pushed = magazine.push(block(i));
                debug_assert!(pushed, "no more than its room is taken");
            }
        }
        let taken_free = (taken & free).count_ones();
        slab.outstanding += taken_free;
        slab.known_free[group] = (found - taken_free) as u8;
        if taken == takeable {
            // A Limbo that is named is found again by the cursor.
            slab.pending &= !(1 << group);
        }
    }

    /// Takes a group of which every block is FREE into the row; false: there is no room, or another row.
    fn take_whole_group(&self, class: ClassId, slab: &mut Notes, group: usize) -> bool {
        let (cut, magazine, first) = (class.cut(), self.lane.magazine(class), group * GROUP);
        let block = slab.unit.offset() + first as u64 * u64::from(cut.size);
        let taken =
            magazine.room() >= GROUP as u32 && magazine.set_row(block, first as u32, GROUP as u32);
        if taken {
            // SAFETY: FREE blocks are their owner's alone to write; a whole group's states.
            unsafe {
                self.set_group(self.arena.states(slab.unit, class).add(first), State::Private)
            };
            slab.outstanding += GROUP as u32;
            slab.known_free[group] = 0;
            slab.pending &= !(1 << group);
        }
        taken
    }

    /// Marks the blocks of a group, a bit each, that this lane takes.
    ///
    /// Relaxed: only the owner takes, and a later owner sees it by the unit word.
    fn mark_private(&self, states: *const AtomicU8, blocks: u64) {
        for eight in 0..8 {
            let mut rest = (blocks >> (8 * eight)) as u8;
            if rest == u8::MAX {
                // SAFETY: states of blocks, aligned to eight; FREE and LIMBO ones are their owner's
                // alone to write.
                unsafe { store_eight(states.add(8 * eight), State::Private as u8) };
                continue;
            }
            while rest != 0 {
                let i = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                // SAFETY: the state of a block.
                unsafe { (*states.add(8 * eight + i)).store(State::Private as u8, Relaxed) };
            }
        }
    }

    /// Gives all blocks of a group one state.
    ///
    /// # Safety
    /// `states` are those of a whole group, all of which are the caller's alone to write.
    #[inline(always)]
    unsafe fn set_group(&self, states: *const AtomicU8, state: State) {
        for eight in 0..GROUP / 8 {
            // SAFETY: the caller's promise; a group's states are aligned to eight.
            unsafe { store_eight(states.add(8 * eight), state as u8) };
        }
    }

    /// The blocks of a group that are FREE, and that are LIMBO, a bit each.
    fn look_at_group(&self, class: ClassId, unit: UnitIndex, group: usize) -> (u64, u64) {
        let count = class.cut().count as usize;
        let (first, end) = (group * GROUP, count.min(group * GROUP + GROUP));
        let states = self.arena.states(unit, class);
        if end - first == GROUP {
            // Mostly all are FREE, or none is.
            let (mut all, mut any) = (0, 0);
            for eight in 0..8 {
                // SAFETY: a whole group's state bytes, aligned to eight.
                let bytes = unsafe { load_eight(states.add(first + 8 * eight)) };
                let (free, limbo) = flags(bytes);
                (all, any) = (all | bytes, any | free | limbo);
            }
            if all == 0 || any == 0 {
                fence(Acquire); // as below
                return (if all == 0 { u64::MAX } else { 0 }, 0);
            }
        }
        let (mut free, mut limbo) = (0, 0);
        for at in (first..end).step_by(8) {
            // SAFETY: a slab's state bytes are aligned to eight and padded to a multiple of it.
            let (f, l) = classify(unsafe { load_eight(states.add(at)) });
            free |= u64::from(f) << (at - first);
            limbo |= u64::from(l) << (at - first);
        }
        // Behind the relaxed byte loads: pairs with f1, so that the last holder's use is over.
        fence(Acquire);
        let valid = u64::MAX >> (GROUP - (end - first));
        (free & valid, limbo & valid)
    }

    /// Counts a slab's blocks anew.
    pub(super) fn recount(&self, class: ClassId, slab: &mut Notes) {
        let mut free = 0;
        let mut groups = class.cut().groups();
        slab.pending = 0;
        while groups != 0 {
            let group = groups.trailing_zeros() as usize;
            groups &= groups - 1;
            let (found, limbo) = self.look_at_group(class, slab.unit, group);
            slab.known_free[group] = found.count_ones() as u8;
            free += found.count_ones();
            if found | limbo != 0 {
                slab.pending |= 1 << group;
            }
        }
        slab.outstanding = class.cut().count - free;
    }

    /// Cuts a slab of fresh units.
    fn cut_fresh(&self, class: ClassId, notes: &mut ClassBook) -> Result<(), Exhausted> {
        let cut = class.cut();
        let unit = self.claim_units(cut.span)?;
        let states = self.arena.states(unit, class);
        // One more than there are blocks, as far as a line goes: what lies behind the last one is FREE.
        let bytes = (cut.count as usize + 1).min(if cut.dense { LINE } else { UNIT });
        let whole = bytes - bytes % GROUP;
        for at in (0..whole).step_by(GROUP) {
            // SAFETY: the slab's state bytes, in units that this lane has claimed. Relaxed: the unit word, stored
            // below with Release, shows them.
            unsafe { self.set_group(states.add(at), State::Free) };
        }
        for at in (whole..bytes).step_by(8) {
            // SAFETY: as above; padded to a multiple of eight.
            unsafe { store_eight(states.add(at), State::Free as u8) };
        }
        if class == ClassId::LEASES {
            // None is one yet.
            for index in 0..cut.count as usize {
                let at = unit.offset() + (index * cut.size as usize) as u64;
                // SAFETY: a block of the slab, in a unit that this lane has claimed, and nobody else knows.
                unsafe { self.arena.at(at).cast::<AtomicU64>().write(AtomicU64::new(0)) };
            }
        }
        let slot = notes.reserve();
        // o1, o2: the word first, then the doorbell, which may still ring for what the unit was.
        let word = Unit::Slab { class, lane: self.lane.id(), slot };
        self.arena.unit_word(unit).store(word.word(), Release);
        self.arena.doorbell(unit).swap(0, AcqRel);
        let mut known_free = [0; 64];
        for (group, known) in known_free.iter_mut().enumerate() {
            *known = (cut.count as usize).saturating_sub(group * GROUP).min(GROUP) as u8;
        }
        notes.slots[slot as usize] = Some(Notes { unit, pending: 0, outstanding: 0, known_free });
        notes.count_empty(slot);
        notes.announce(slot, cut.groups());
        Ok(())
    }

    /// Gives back the units of a wholly free slab that this lane owns.
    pub(super) fn release(&self, class: ClassId, notes: &mut ClassBook, slot: u32) {
        let slab = notes.slots[slot as usize].as_ref().expect("an owned slab");
        debug_assert_eq!(slab.outstanding, 0);
        self.free_units(slab.unit, class.cut().span);
        notes.vacate(slot);
        notes.empties -= 1;
    }

    /// Gives back wholly free slabs of a class beyond `keep` of them.
    fn release_empties(&self, class: ClassId, notes: &mut ClassBook, keep: u32) {
        while notes.empties > keep {
            let Some(slot) = notes.next_empty() else {
                unreachable!("an empty slab is in the list of such")
            };
            self.release(class, notes, slot);
        }
    }

    /// Gives the oldest blocks of a full magazine back to their slabs: three quarters, but no part of a group of which
    /// the others would have to wait, if that is not most of them.
    #[cold]
    #[inline(never)]
    pub fn make_room(&self, class: ClassId) {
        let (cut, magazine) = (class.cut(), self.lane.magazine(class));
        let oldest = magazine.oldest((cut.magazine - cut.magazine.div_ceil(4)).max(1));
        let begun = begun_group(cut, oldest);
        let count = if 2 * begun > oldest.len() { oldest.len() } else { oldest.len() - begun };
        let mut book = self.lane.book().borrow_mut();
        self.flush_stack(class, &mut book.classes[class.index()], count as u32);
    }

    /// Gives all blocks of a magazine back.
    pub(super) fn flush_all(&self, class: ClassId) {
        let mut book = self.lane.book().borrow_mut();
        let notes = &mut book.classes[class.index()];
        while self.lane.magazine(class).at_hand() != 0 {
            self.flush_stack(class, notes, u32::MAX);
            self.lane.magazine(class).stack_row();
        }
    }

    fn flush_stack(&self, class: ClassId, notes: &mut ClassBook, count: u32) {
        let magazine = self.lane.magazine(class);
        let mut blocks = magazine.oldest(count);
        let count = blocks.len() as u32;
        // Release: a later owner, or the recovery of this process, sees our use of them end.
        fence(Release);
        while !blocks.is_empty() {
            blocks = self.free_in_slab(class, notes, blocks);
        }
        magazine.drop_oldest(count);
        self.release_empties(class, notes, 1);
    }

    /// PRIVATE → FREE: of blocks of this lane, those at the front that start in one unit; the rest.
    fn free_in_slab<'b>(
        &self,
        class: ClassId,
        notes: &mut ClassBook,
        blocks: &'b [u64],
    ) -> &'b [u64] {
        let cut = class.cut();
        let unit = UnitIndex::containing(blocks[0]);
        let Some((head, slot)) = self.own_slab(unit) else { return skip_foreign(blocks) };
        let Some(Some(slab)) = notes.slots.get_mut(slot as usize) else {
            return skip_foreign(blocks);
        };
        if slab.unit != head {
            return skip_foreign(blocks);
        }
        let first = head.offset();
        let states = self.arena.states(head, class);
        let (mut rest, mut groups) = (blocks, 0u64);
        while let Some(&block) = rest.first().filter(|block| UnitIndex::containing(**block) == unit)
        {
            let index = cut.index_of((block - first) as u32) as usize;
            groups |= 1 << (index / GROUP);
            let size = u64::from(cut.size);
            if let Some(lowest) = in_a_row::<GROUP>(rest, index, size) {
                // SAFETY: PRIVATE blocks are their holder's alone to write; a whole group's states.
                unsafe { self.set_group(states.add(lowest), State::Free) };
                slab.known_free[lowest / GROUP] = GROUP as u8;
                rest = &rest[GROUP..];
            } else if let Some(lowest) = in_a_row::<8>(rest, index, size) {
                // SAFETY: as above; aligned to eight.
                unsafe { store_eight(states.add(lowest), State::Free as u8) };
                slab.known_free[lowest / GROUP] += 8;
                rest = &rest[8..];
            } else {
                // SAFETY: a block of a slab that this lane owns.
                unsafe { (*states.add(index)).store(State::Free as u8, Relaxed) };
                slab.known_free[index / GROUP] += 1;
                rest = &rest[1..];
            }
        }
        slab.outstanding -= (blocks.len() - rest.len()) as u32;
        if slab.outstanding == 0 {
            notes.count_empty(slot);
        }
        notes.announce(slot, groups);
        rest
    }

    /// The head and the slot of the slab of this lane that `unit` is of; `None`: it is damaged.
    fn own_slab(&self, unit: UnitIndex) -> Option<(UnitIndex, u32)> {
        let word = self.arena.unit_word(unit).load(Relaxed);
        if word & OWNER == self.lane.tag() {
            return Some((unit, slot_field(word)));
        }
        let Some(Unit::Tail { back, .. }) = Unit::of(word) else { return None };
        let head = UnitIndex(unit.0.checked_sub(back)?);
        Some((head, slot_field(self.arena.unit_word(head).load(Relaxed))))
    }

    /// Frees a RAW block that is in the one unit of another lane's slab, as most are that others free; false: it is
    /// something else, of which the caller finds out what.
    ///
    /// What [`locate`](super::locate) and [`raw_place`](super::raw_place) ask, at less cost: of memory that may be
    /// touched, a block's first byte, in that state. Wait-free. Dead after the store: see
    /// [`remote_free`](Self::remote_free).
    #[inline]
    pub fn free_raw_elsewhere(self, offset: u64) -> bool {
        // Acquire pairs with the Release of who cut the slab, or took it over: its states are there. That of the
        // state, below, with `set_state`, as in `state_of`.
        let Some(word) = self.lane.unit_word(offset).map(|word| word.load(Acquire)) else {
            return false;
        };
        if !is_owned_slab(word) || word & OWNER == self.lane.tag() {
            return false;
        }
        // Of no class, only a damaged file has one; such a magazine knows no block.
        let magazine = self.lane.magazine(class_code(word));
        let Some((index, state)) = magazine.place_of(offset) else { return false };
        if !self.arena.holds(offset, 1) {
            return false;
        }
        // SAFETY: the word says that this unit is a slab of the class, so the states that the class has for a block
        // of it lie there, and are backed, as the unit is below the frontier.
        let state = unsafe { &*state.cast::<AtomicU8>() };
        if state.load(Acquire) != State::Raw as u8 {
            return false;
        }
        // f1, as in `remote_free`.
        state.store(State::Free as u8, Release);
        self.owe(UnitIndex::containing(offset), index / GROUP as u32)
    }

    /// Frees a block of a slab that this lane may not own: f1 to f3 at once.
    ///
    /// Wait-free. Dead after f1: the block is free, and a look by cursor finds it.
    pub fn remote_free(&self, block: SlabBlock) {
        // f1. Release pairs with the Acquire behind the owner's look. A plain store on x86-64.
        self.state(block).store(State::Free as u8, Release);
        self.ring(block.head, 1 << block.group());
    }

    /// Frees a block once nobody's hazard names it: LIMBO, which the slab's owner moves on.
    pub fn retire_block(&self, block: SlabBlock) {
        // Release pairs with the owner's Acquire: the object was unlinked before.
        self.state(block).store(State::Limbo as u8, Release);
        let group = 1 << block.group();
        // Relaxed: a word with our tag was written by ourselves.
        let word = self.arena.unit_word(block.head).load(Relaxed);
        if word & OWNER == self.lane.tag() {
            // Its owner has no need to ring at its own door. Dead with this note: its recovery looks at all states.
            let mut book = self.lane.book().borrow_mut();
            book.classes[block.class.index()].announce(slot_field(word), group);
        } else {
            self.ring(block.head, group);
        }
    }

    /// True, for who has freed a block by it.
    #[inline(always)]
    fn owe(self, head: UnitIndex, group: u32) -> bool {
        self.lane.owed.add(head, group) || self.tell_and_owe(head, group)
    }

    #[inline(never)]
    fn tell_and_owe(self, head: UnitIndex, group: u32) -> bool {
        self.tell();
        self.lane.owed.begin(head, group);
        true
    }

    /// Tells of the frees that this lane has not told of.
    #[inline(never)]
    pub fn tell(self) {
        if let Some((head, groups)) = self.lane.owed.take() {
            self.ring(head, groups);
        }
    }

    fn ring(self, head: UnitIndex, groups: u64) {
        // f2. Acquire and Release both: it reads the new owner's swap, or that swap reads it.
        if self.arena.doorbell(head).fetch_or(groups, AcqRel) != 0 {
            return;
        }
        // f3. Relaxed is enough for the word itself, as f2 orders it; Acquire keeps `unit` one thing.
        match self.arena.unit(head) {
            Some(Unit::Slab { class, lane, slot }) if lane != LaneId::NOBODY => {
                // Release pairs with r1. Between two read-modify-writes of one thread on different
                // words only this order keeps the doorbell before the bell.
                self.arena.lane(lane).bells[class.index()].fetch_or(1 << (slot % 64), Release);
            }
            Some(Unit::Orphan { class }) => {
                self.arena.set(SetId::Orphans(class)).insert(head.0 as usize)
            }
            _ => {} // it serves something else by now, or nothing: harmless
        }
    }

    /// LIMBO → FREE where no hazard names the block, in a slab that this lane owns.
    pub(super) fn take_limbo(&self, class: ClassId, notes: &ClassBook, slot: u32) {
        let unit = notes.slots[slot as usize].as_ref().expect("an owned slab").unit;
        let cut = class.cut();
        let state = |index| self.state(SlabBlock { head: unit, class, index });
        let is_limbo = |index: &u32| state(*index).load(Acquire) == State::Limbo as u8;
        let limbo: Vec<u32> = (0..cut.count).filter(is_limbo).collect();
        if limbo.is_empty() {
            return;
        }
        // Behind the looks at all of them, as in `take_group`.
        let named = pin::named(self.arena);
        for index in limbo {
            let block = unit.offset() + u64::from(index) * u64::from(cut.size);
            if named.binary_search(&block).is_err() {
                state(index).store(State::Free as u8, Release);
            }
        }
    }

    /// Gives back what this lane holds for speed: full magazines, empty slabs, unnamed Limbo.
    pub fn release_idle(&self) {
        self.tell();
        for class in ClassId::all() {
            self.flush_all(class);
            let mut book = self.lane.book().borrow_mut();
            let notes = &mut book.classes[class.index()];
            let slots: Vec<u32> = notes.owned().map(|(slot, _)| slot).collect();
            for slot in slots {
                self.take_limbo(class, notes, slot);
                let slab = notes.slots[slot as usize].as_mut().expect("an owned slab");
                self.arena.doorbell(slab.unit).swap(0, Acquire);
                let was_empty = slab.outstanding == 0;
                self.recount(class, slab);
                let (is_empty, pending) =
                    (slab.outstanding == 0, core::mem::take(&mut slab.pending));
                if is_empty && !was_empty {
                    notes.count_empty(slot);
                }
                notes.announce(slot, pending);
            }
            self.release_empties(class, notes, 0);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
