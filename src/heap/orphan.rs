//! Slabs without owner: given away by who ends or has too many, adopted by who needs one.
//!
//! ```text
//! orphan(slab), owner lane                          adopt(class), any lane
//! p1  doorbell.swap(0), look at all bytes           o1  CAS unit: Orphan → Slab(me)
//! p2  wholly free: back to the free units           o2  doorbell.swap(0)
//! p3  CAS unit: Slab(me) → Orphan                   o3  look at all bytes
//! p4  doorbell.fetch_or(0): touched, never cleared
//! p5  it rang, or there is room: show the orphan
//! ```
//!
//! A free beside this is seen by the bytes, or makes the doorbell ring, and then is seen by p4, by the
//! adopter, or by the freer itself, who reads the unit word again: see [`slab`](super::slab).

use super::Heap;
use super::lane::{ClassBook, Notes};
use super::size_class::ClassId;
use super::slab::SlabBlock;
use super::unit::{State, Unit, UnitIndex};
use crate::layout::SetId;
use crate::names::Names;
use crate::sync::{AcqRel, Acquire, Relaxed, Release};

impl Heap<'_> {
    /// Whether a slab of `class` at `head` has the further units that it must have.
    fn has_its_tails(&self, head: UnitIndex, class: ClassId) -> bool {
        let span = class.cut().span;
        u64::from(head.0) + u64::from(span) <= u64::from(self.arena.frontier().0)
            && (1..span).all(|distance| self.is_tail(head, distance))
    }

    /// Takes over an orphan of `class` at or after unit `from`; the unit, whose slot is announced.
    ///
    /// Dead after the CAS: the slab is the dead lane's like any other of its.
    pub(super) fn adopt(
        &self,
        class: ClassId,
        notes: &mut ClassBook,
        from: usize,
    ) -> Option<UnitIndex> {
        let orphans = self.arena.set(SetId::Orphans(class));
        let mut from = from.max(self.arena.first_unit().0 as usize);
        while let Some(unit) = self.arena.find_in(SetId::Orphans(class), from) {
            let item = unit.0 as usize;
            let orphan = Unit::Orphan { class }.word();
            let slot = notes.reserve();
            let mine = Unit::Slab { class, lane: self.lane.id(), slot }.word();
            let word = self.arena.unit_word(unit);
            let is_whole = || self.has_its_tails(unit, class);
            if !is_whole() || word.compare_exchange(orphan, mine, AcqRel, Acquire).is_err() {
                notes.vacate(slot);
                orphans.drop_stale(item, || word.load(Acquire) == orphan && is_whole());
                from = item + 1;
                continue;
            }
            orphans.remove(item);
            // o2: after the word. Who rang before is seen by the recount, who rings after finds us.
            self.arena.doorbell(unit).swap(0, AcqRel);
            let mut slab = Notes { unit, pending: 0, outstanding: 0, known_free: [0; 64] };
            self.recount(class, &mut slab);
            let (is_empty, pending) = (slab.outstanding == 0, core::mem::take(&mut slab.pending));
            notes.slots[slot as usize] = Some(slab);
            if is_empty {
                notes.count_empty(slot);
            }
            notes.announce(slot, pending);
            return Some(unit);
        }
        None
    }

    /// Gives a slab to whoever adopts it, unless a block of it is PRIVATE; wholly free, back to the
    /// free units. Whether it is this lane's no longer.
    ///
    /// Dead before the CAS: still the dead lane's. Dead after it: an orphan in no set, which
    /// recovery shows again, as does the first free into it.
    fn orphan(&self, class: ClassId, notes: &mut ClassBook, slot: u32) -> bool {
        let slab = notes.slots[slot as usize].as_mut().expect("an owned slab");
        let unit = slab.unit;
        // p1: drained; frees from here on make the doorbell ring, which p4 sees.
        self.arena.doorbell(unit).swap(0, Acquire);
        let was_empty = slab.outstanding == 0;
        self.recount(class, slab);
        match (was_empty, slab.outstanding == 0) {
            (true, false) => notes.empties -= 1,
            (false, true) => notes.count_empty(slot),
            _ => {}
        }
        let slab = notes.slots[slot as usize].as_ref().expect("an owned slab");
        let announced = slab.pending;
        if slab.outstanding == 0 {
            self.release(class, notes, slot);
            return true;
        }
        let states = self.arena.states(unit, class);
        let is_private = |i: u32| {
            // SAFETY: a block of a slab that this lane owns.
            unsafe { (*states.add(i as usize)).load(Acquire) == State::Private as u8 }
        };
        if (0..class.cut().count).any(is_private) {
            notes.announce(slot, announced);
            return false;
        }
        let mine = Unit::Slab { class, lane: self.lane.id(), slot }.word();
        let gave = self.arena.unit_word(unit).compare_exchange(
            mine,
            Unit::Orphan { class }.word(),
            AcqRel,
            Acquire,
        );
        assert!(gave.is_ok(), "only its owner changes the word of a slab");
        // The unit is another's from here on: dense tables only. p4 touches and never clears, as
        // the ring may be meant for an adopter who was quicker.
        let rang = self.arena.doorbell(unit).fetch_or(0, AcqRel);
        if announced != 0 || rang != 0 {
            self.arena.set(SetId::Orphans(class)).insert(unit.0 as usize);
        }
        notes.vacate(slot);
        true
    }

    /// Empties all magazines and gives away what can be given; whether nothing is left.
    ///
    /// `abandon`: nobody in this process holds a reference into the segment any more, so PRIVATE
    /// blocks (forgotten values) are freed first, as their owner.
    pub fn give_away_slabs(&self, abandon: bool) -> bool {
        let mut nothing_left = true;
        self.tell();
        if abandon {
            self.give_up_leases();
        }
        for class in ClassId::all() {
            self.flush_all(class);
            let mut book = self.lane.book().borrow_mut();
            let notes = &mut book.classes[class.index()];
            let slots: Vec<u32> = notes.owned().map(|(slot, _)| slot).collect();
            for slot in slots {
                if abandon {
                    self.free_private_blocks(class, notes, slot);
                }
                nothing_left &= self.orphan(class, notes, slot);
            }
        }
        nothing_left
    }

    /// Gives up the leases that this lane's slabs have, which nobody uses any more.
    fn give_up_leases(&self) {
        let (names, class) = (Names { heap: *self }, ClassId::LEASES);
        let slabs: Vec<UnitIndex> = {
            let book = self.lane.book().borrow();
            book.classes[class.index()].owned().map(|(_, slab)| slab.unit).collect()
        };
        for head in slabs {
            for index in 0..class.cut().count {
                let state = self.state(SlabBlock { head, class, index }).load(Relaxed);
                let at = u64::from(index * class.cut().size);
                if state == State::Private as u8 {
                    // Without a pin to spare what was its last waits for who looks for such.
                    let _ = names.end_lease(head.offset() + at);
                }
            }
        }
    }

    fn free_private_blocks(&self, class: ClassId, notes: &ClassBook, slot: u32) {
        let unit = notes.slots[slot as usize].as_ref().expect("an owned slab").unit;
        for index in 0..class.cut().count {
            let state = self.state(SlabBlock { head: unit, class, index });
            if state.load(Relaxed) == State::Private as u8 {
                state.store(State::Free as u8, Release);
            }
        }
    }

    /// Takes over each orphan once, gives back those that are wholly free, and the rest away again.
    pub fn release_empty_orphans(&self) {
        let mut book = self.lane.book().borrow_mut();
        for class in ClassId::all() {
            let notes = &mut book.classes[class.index()];
            let mut from = 0;
            while let Some(unit) = self.adopt(class, notes, from) {
                from = unit.0 as usize + 1;
                let Some((slot, _)) = notes.owned().find(|(_, slab)| slab.unit == unit) else {
                    continue;
                };
                self.take_limbo(class, notes, slot);
                self.orphan(class, notes, slot);
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::Options;
    use crate::attached::with_lane;

    #[test]
    fn a_hint_of_an_orphan_goes_when_it_proves_false() {
        let segment = Options::new().capacity(4 << 20).create_anonymous().unwrap();
        let arena = &segment.attached().arena;
        let class = ClassId::of(1024, 8).unwrap();
        with_lane(segment.attached(), |lane| {
            let heap = Heap { arena, lane };
            let block = heap.take_or_refill(class).unwrap();
            let unit = UnitIndex::containing(block);
            let orphans = arena.set(SetId::Orphans(class));
            orphans.insert(unit.0 as usize);
            for _ in 0..class.cut().count {
                assert_ne!(heap.take_or_refill(class), Ok(block), "it is held");
            }
            assert!(!orphans.contains(unit.0 as usize));
            assert!(matches!(arena.unit(unit), Some(Unit::Slab { .. })));
        })
        .unwrap();
    }
}
