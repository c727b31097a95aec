//! Growth of the table: a larger array takes the place of a full one, a chunk of slots at a time.
//!
//! Any process helps, any chunk may be moved twice, nobody waits. What is copied are pointers to
//! entries; names that have no object are left behind (Dead). An array is given back when it is the
//! oldest and no lane has it pinned: only the oldest, so that one pin protects all that follow.
//!
//! A **Dead** entry goes with the last array in which it stands: a slow helper may have copied it
//! into the successor after another declared it dead. An array says whether there may be any in it: who is about to
//! declare one says so first, and who finds one that stands in the successor as well says so there.

use super::array::{Array, CHUNK, SMALLEST, Slot};
use super::entry::{Entry, Value};
use super::{Names, Refused};
use crate::arena::Arena;
use crate::heap::run::units_for;
use crate::heap::unit::{State, UNIT};
use crate::heap::{Exhausted, Heap};
use crate::layout::{oldest_of, oldest_word};
use crate::process::journal::Intent;
use crate::process::pin::HazardIndex;
use crate::sync::{AcqRel, Acquire, Relaxed, Release, SeqCst, fence, prefetch};

/// Slots between two stages of a move: as many misses as a processor has under way.
const AHEAD: u64 = 8;
/// Slots of a table that is more than caches hold.
const LARGE: u64 = 1 << 16;

impl<'a> Names<'a> {
    /// The first array of a segment that nobody else can see yet.
    pub fn found(heap: Heap<'_>) -> Result<(), Exhausted> {
        let block = heap.allocate(Array::bytes(SMALLEST), 16)?;
        Array::write(heap.arena, block, SMALLEST, 0);
        Heap::set_state(heap.arena, block, State::Published);
        heap.arena.header().names_oldest.store(oldest_word(block, 0), Release);
        heap.arena.header().names_current.store(block, Release);
        Ok(())
    }

    /// `array` takes no new name: begins its migration, or ends the one that leads to it.
    pub(super) fn make_room(&self, array: Array<'a>) -> Result<(), Refused> {
        let current = self.current()?;
        if array.offset != current.offset || current.next().load(Acquire) != 0 {
            // A successor fills up while copies to it are missing: they go first.
            return self.help_migration(u64::MAX).map(|_| ());
        }
        // The names without object are left behind, and promises of who died are no names.
        let is_long_enough =
            self.is_mostly_absent(current) || 2 * current.occupied() < Array::limit(current.len());
        let len = if is_long_enough && self.is_oldest(current) {
            current.len()
        } else {
            2 * current.len()
        };
        self.begin_migration(current, len)
    }

    fn is_oldest(&self, array: Array<'_>) -> bool {
        oldest_of(self.heap.arena.header().names_oldest.load(Acquire)).0 == array.offset
    }

    /// By a sample: three of four entries have no object.
    fn is_mostly_absent(&self, array: Array<'a>) -> bool {
        let (mut absent, mut seen) = (0, 0);
        for i in 0..array.len().min(256) {
            let at = i * (array.len() / array.len().min(256));
            if let Slot::Entry { entry, .. } = Slot::of(array.slot(at).load(Acquire))
                && let Some(entry) = Entry::at(self.heap.arena, entry)
            {
                seen += 1;
                absent += u32::from(!matches!(entry.value(), Value::Live(_)));
            }
        }
        seen >= 8 && absent * 4 >= seen * 3
    }

    /// Hangs an empty array of at least `len` slots behind `array`, if nothing hangs there.
    ///
    /// Dead before the CAS: the new array is taken back by the journal. Dead after it: it is there,
    /// and whoever comes by helps.
    pub(crate) fn begin_migration(&self, array: Array<'a>, len: u64) -> Result<(), Refused> {
        // Of the promises that led to no name some may still do so, one of each lane at most; the others
        // are of lanes that died.
        let (promised, lanes) = (array.close(), self.heap.arena.header().lanes_high.load(Acquire));
        let expected = promised.min(array.occupied() + lanes);
        let mut len = len.max(SMALLEST);
        while Array::limit(len) <= expected {
            len *= 2;
        }
        let bytes = Array::bytes(len);
        let block = if bytes > UNIT / 2 {
            // Of a slab for such it would be the only block for long: a run goes as soon as the array does.
            self.heap.allocate_run(units_for(bytes))
        } else {
            self.heap.allocate(bytes, 16)
        };
        let block = block.map_err(|reason| Refused::Exhausted(reason, bytes))?;
        Array::write(self.heap.arena, block, len, expected);
        let journal = &self.record().journal;
        journal.open(Intent::Grow { array: array.offset, new: block });
        Heap::set_state(self.heap.arena, block, State::Published);
        // Release: partner of every Acquire of `next`; the new array is whole.
        let hung = array.next().compare_exchange(0, block, AcqRel, Acquire).is_ok();
        if !hung {
            Heap::set_state(self.heap.arena, block, State::Private);
        }
        journal.close();
        if !hung {
            self.heap.free_private(block);
        }
        Ok(())
    }

    /// Moves up to `chunks` chunks out of the current array, if a migration is under way; true: it
    /// ended by this. The caller has entered.
    pub(crate) fn help_migration(&self, chunks: u64) -> Result<bool, Refused> {
        let current = self.current()?;
        let next = current.next().load(Acquire);
        if next == 0 {
            return Ok(false);
        }
        let to = self.array(next)?;
        let is_large = current.len() >= LARGE;
        // Helpers begin at places of their own.
        let begin = u64::from(self.heap.lane.id().0).wrapping_mul(0x9e37_79b9) % current.chunks();
        let mut left = chunks;
        for i in 0..current.chunks() {
            if left == 0 {
                break;
            }
            let chunk = (begin + i) % current.chunks();
            let (word, bit) = current.done(chunk);
            if word.load(Acquire) & bit != 0 {
                continue;
            }
            for slot in chunk * CHUNK..((chunk + 1) * CHUNK).min(current.len()) {
                if is_large {
                    self.fetch_ahead(current, slot, to);
                }
                self.move_slot(current, slot, to)?;
            }
            // Release pairs with `all_done`. A bit per chunk: one moved twice is not counted twice.
            word.fetch_or(bit, AcqRel);
            left -= 1;
        }
        if !current.all_done() {
            return Ok(false);
        }
        // Release pairs with the Acquire of whoever enters: all copies are in.
        let _ = self.heap.arena.header().names_current.compare_exchange(
            current.offset,
            next,
            AcqRel,
            Acquire,
        );
        Ok(true)
    }

    /// Has the entries come to the cache that are moved soon, and a little later the places where they go.
    fn fetch_ahead(&self, from: Array<'a>, slot: u64, to: Array<'a>) {
        let arena = self.heap.arena;
        // Relaxed: hints.
        let entry_in = |slot| match Slot::of(from.slot(slot).load(Relaxed)) {
            Slot::Entry { tag, entry } if arena.holds(entry, 1) => Some((tag, entry)),
            _ => None,
        };
        if let Some((_, entry)) = entry_in(slot + 2 * AHEAD) {
            prefetch(arena.at(entry));
        }
        if let Some((tag, entry)) = entry_in(slot + AHEAD)
            && let Some(entry) = Entry::at(arena, entry)
        {
            prefetch(to.slot(entry.hash(tag)));
        }
    }

    fn move_slot(&self, from: Array<'a>, slot: u64, to: Array<'a>) -> Result<(), Refused> {
        let word = match from.slot(slot).load(Acquire) {
            0 => match from.slot(slot).compare_exchange(0, Slot::Frozen.word(), AcqRel, Acquire) {
                Ok(_) => return Ok(()),
                Err(now) => now,
            },
            word => word,
        };
        let Slot::Entry { tag, entry } = Slot::of(word) else { return Ok(()) };
        let entry = self.entry(entry)?;
        loop {
            match entry.value() {
                Value::Dead => return Ok(()),
                Value::Absent => {
                    // Left behind. Release pairs with the Acquire of who finds it dead: he sees `next`.
                    // Lost: it has an object again and must be copied.
                    from.note_dead();
                    if entry.word().compare_exchange(0, Value::Dead.word(), AcqRel, Acquire).is_ok()
                    {
                        return Ok(());
                    }
                }
                Value::Live(_) => break,
            }
        }
        let (hash, copy) = (entry.hash(tag), word);
        for i in 0..to.len() {
            let place = to.slot(hash.wrapping_add(i));
            let mut word = place.load(Acquire);
            if word == Slot::Empty.word() {
                to.promise_copy();
                // Release pairs with the Acquire of who comes from the old array: the entry is whole.
                match place.compare_exchange(0, copy, AcqRel, Acquire) {
                    Ok(_) => return Ok(()),
                    Err(now) => {
                        to.take_back_copy();
                        word = now;
                    }
                }
            }
            // A closed path in the successor: the migration out of `from` is over, and the entry
            // was copied by another helper before.
            if word == copy || word == Slot::Frozen.word() {
                return Ok(());
            }
        }
        // Full: the migration out of `from` is over, and new names have what room was left. This entry was
        // declared dead meanwhile, or it would have been copied: see the head of the file.
        if entry.value() == Value::Dead {
            return Ok(());
        }
        Err(Refused::Corrupt("an array of names has no room for the entries of its predecessor"))
    }

    /// Gives back the oldest arrays, as long as they are not current and no lane has one pinned.
    ///
    /// The caller has not entered. Lock-free; who finds another at it leaves it to that one.
    /// Dead inside: the root names the dead lane, whose recovery goes on.
    pub fn reap(&self) {
        let arena = self.heap.arena;
        let (oldest, me) = (&arena.header().names_oldest, self.heap.lane.id().0);
        loop {
            let (array, reaper) = oldest_of(oldest.load(Acquire));
            if reaper != 0 || array == arena.header().names_current.load(Acquire) {
                return;
            }
            let claimed = oldest.compare_exchange(
                oldest_word(array, 0),
                oldest_word(array, me),
                AcqRel,
                Acquire,
            );
            if claimed.is_err() {
                return;
            }
            // Under the claim, all is looked at anew: it may be another array at the same place.
            let is_current = arena.header().names_current.load(Acquire) == array;
            fence(SeqCst); // [1], partner: `enter`'s and `find_usual`'s, between pin and look at `current`
            let pinned = arena.lanes().any(|(_, lane)| lane.array.load(Acquire) == array);
            let Some(view) = Array::at(arena, array).filter(|_| !is_current && !pinned) else {
                oldest.store(oldest_word(array, 0), Release);
                return;
            };
            let next = Array::at(arena, view.next().load(Acquire));
            let hazard = self.heap.lane.pins.pin(self.record(), array);
            let (Some(next), Some(hazard)) = (next, hazard) else {
                if let Some(hazard) = hazard {
                    self.unpin(hazard);
                }
                oldest.store(oldest_word(array, 0), Release);
                return;
            };
            self.reap_dead_entries(view, next, hazard);
            self.unpin(hazard);
            // Until the root names its successor it names this one, so nobody takes it before.
            self.heap.retire(array);
            oldest.store(oldest_word(next.offset, 0), Release);
            self.heap.release_limbo_runs();
        }
    }

    fn reap_dead_entries(&self, array: Array<'a>, next: Array<'a>, hazard: HazardIndex) {
        if !array.may_have_dead() {
            return;
        }
        let arena: &Arena = self.heap.arena;
        let journal = &self.record().journal;
        for slot in 0..array.len() {
            let Slot::Entry { tag, entry } = Slot::of(array.slot(slot).load(Acquire)) else {
                continue;
            };
            let Some(dead) = Entry::at(arena, entry).filter(|entry| entry.value() == Value::Dead)
            else {
                continue;
            };
            // Final: no helper from this array to the next is left, as they all pin this one.
            if next.has(dead.hash(tag), entry) {
                next.note_dead();
                continue;
            }
            // The hazard keeps the block from being taken before the journal forgets it.
            let block = self.block_around(entry);
            self.heap.lane.pins.repin(self.record(), hazard, block);
            journal.open(Intent::Reap { entry, array: array.offset, slot });
            array.slot(slot).store(Slot::Frozen.word(), Release);
            self.heap.retire(block);
            journal.close();
        }
    }

    /// After a migration: makes the table small again if most names were left behind.
    ///
    /// A successor must have room for all entries of its predecessor, as each name may have an object
    /// again; so where names come and go every migration doubles the table, and only a second one,
    /// which knows how few were copied, can undo that. The caller has not entered.
    pub(super) fn settle(&self) -> Result<(), Refused> {
        let is_sparse = {
            let _entered = self.enter();
            let current = self.current()?;
            // Far fewer than would fill half of it, so that it does not double again at once.
            self.is_oldest(current) && 4 * current.occupied() < Array::limit(current.len() / 2)
        };
        if is_sparse { self.shed() } else { Ok(()) }
    }

    /// Leaves the names without object behind and makes the table as small as the rest allows.
    ///
    /// Not while an older array is kept by a lane that is still inside it: that lane follows all that
    /// came after, so only growth, which doubles, may make the chain longer.
    pub fn shed(&self) -> Result<(), Refused> {
        // One pass may have to end a migration of others, the next leaves the absent behind, after which
        // the count is that of the others.
        for _ in 0..4 {
            self.reap();
            let _entered = self.enter();
            if self.help_migration(u64::MAX)? {
                continue;
            }
            let current = self.current()?;
            let names = current.occupied();
            let mut fitting = SMALLEST;
            while Array::limit(fitting) <= names {
                fitting *= 2;
            }
            let has_absent = current
                .entries_in_slots(self.heap.arena)
                .any(|entry| entry.is_ok_and(|entry| !matches!(entry.value(), Value::Live(_))));
            if !self.is_oldest(current) || !(has_absent || fitting < current.len()) {
                break;
            }
            self.begin_migration(current, if has_absent { SMALLEST } else { fitting })?;
            self.help_migration(u64::MAX)?;
        }
        self.reap();
        Ok(())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::LARGE;
    use crate::layout::oldest_of;
    use crate::names::Names;
    use crate::names::array::{Array, SMALLEST, Slot};
    use crate::names::entry::{Key, Space};
    use crate::sync::Acquire;
    use crate::{Options, Segment};

    /// A segment with so many names, of which so many have lost their objects.
    fn with_names(count: usize, absent: usize) -> Segment {
        let segment = Options::new().capacity(4 << 20).create_anonymous().unwrap();
        for i in 0..count {
            segment.construct(&format!("name {i}"), i).unwrap();
        }
        for i in 0..absent {
            assert!(segment.destroy::<usize>(&format!("name {i}")).unwrap());
        }
        segment
    }

    /// The slots of the array that takes the place of one that is full of so many names, of which so
    /// many have lost their objects, and for the rest of promises of the dead.
    fn successor_of(count: usize, absent: usize) -> u64 {
        let segment = with_names(count, absent);
        let mut slots = 0;
        segment
            .with_names(|names| {
                let _entered = names.enter();
                let current = names.current().unwrap();
                assert_eq!(current.len(), SMALLEST);
                while current.promise(true) {}
                names.make_room(current).unwrap();
                let next = current.next().load(Acquire);
                slots = Array::at(names.heap.arena, next).unwrap().len();
                Ok(())
            })
            .unwrap();
        slots
    }

    #[test]
    fn a_full_table_doubles_where_names_fill_half_of_it() {
        // A constructed object brings the description of its type along: one more.
        let half = Array::limit(SMALLEST) as usize / 2 - 1;
        // Names stand elsewhere in each table.
        for _ in 0..8 {
            assert_eq!(successor_of(8, 0), SMALLEST, "promises of the dead take no room");
            assert_eq!(successor_of(half - 1, 0), SMALLEST);
            assert_eq!(successor_of(half, 0), 2 * SMALLEST);
            assert_eq!(successor_of(half + 8, 0), 2 * SMALLEST);
            assert_eq!(successor_of(half + 8, half + 6), SMALLEST, "most have no object");
            assert_eq!(successor_of(half + 8, 8), 2 * SMALLEST, "some have none");
            assert_eq!(successor_of(half + 8, 20), 2 * SMALLEST, "two of three have none");
        }
    }

    #[test]
    fn what_is_fetched_ahead_of_a_large_table_is_moved_all_the_same() {
        let count = Array::limit(LARGE) as usize + 1;
        let segment = Options::new().capacity(64 << 20).create_anonymous().unwrap();
        let name = |i: usize| format!("name {i}");
        (0..count).for_each(|i| drop(segment.construct(&name(i), i as u64).unwrap()));
        segment.trim().unwrap(); // which ends the move
        assert_eq!(segment.stats().unwrap().names.slots, 2 * LARGE);
        for i in (0..count).step_by(7) {
            assert_eq!(segment.find::<u64>(&name(i)).unwrap().as_deref(), Some(&(i as u64)));
        }
    }

    #[test]
    fn who_finds_a_table_full_that_moves_already_helps_it_to_the_end() {
        let segment = with_names(8, 0);
        let make_room_twice = |names: Names<'_>| {
            let _entered = names.enter();
            let current = names.current().unwrap();
            names.make_room(current).unwrap();
            assert_eq!(names.current().unwrap().offset, current.offset, "it only began");
            names.make_room(current).unwrap();
            assert_eq!(names.current().unwrap().offset, current.next().load(Acquire));
            Ok(())
        };
        segment.with_names(make_room_twice).unwrap();
        assert_eq!(segment.find::<usize>("name 7").unwrap().as_deref(), Some(&7));
    }

    #[test]
    fn a_name_that_came_while_the_table_moves_is_found_in_the_successor() {
        for i in 0..8 {
            let segment = with_names(300, 0);
            let name = format!("new {i}");
            let grow = |names: Names<'_>| {
                let _entered = names.enter();
                let current = names.current().unwrap();
                assert_eq!(current.chunks(), 2);
                names.make_room(current).unwrap();
                segment.construct(&name, 7usize).unwrap();
                assert_eq!(names.current().unwrap().offset, current.offset, "it moves still");
                let is_empty = |slot| current.slot(slot).load(Acquire) == Slot::Empty.word();
                assert!((0..current.len()).any(is_empty), "one slot of its path was closed");
                let mut met = Vec::new();
                names.for_each(|entry, _| met.push(entry.offset)).unwrap();
                let count = met.len();
                met.sort_unstable();
                met.dedup();
                assert_eq!((count, met.len()), (302, 302), "each once, the type among them");
                Ok(())
            };
            segment.with_names(grow).unwrap();
            assert_eq!(segment.find::<usize>(&name).unwrap().as_deref(), Some(&7), "{name}");
        }
    }

    #[test]
    fn a_table_that_moved_is_made_small_again_only_if_few_names_are_left() {
        let full = Array::limit(SMALLEST) as usize - 1;
        for (left, slots) in [(2, 1), (10, 1), (11, 2), (20, 2)] {
            let segment = with_names(full, full - left);
            segment.construct("one more", 0usize).unwrap();
            let found = segment.stats().unwrap().names.slots;
            assert_eq!(found, slots * SMALLEST, "{left} were left");
        }
    }

    #[test]
    fn an_array_is_kept_as_long_as_a_lane_is_inside_it() {
        let segment = with_names(8, 0);
        let grow = |names: Names<'_>| {
            let arena = names.heap.arena;
            let oldest = || oldest_of(arena.header().names_oldest.load(Acquire)).0;
            let entered = names.enter();
            let first = oldest();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    (0..100)
                        .for_each(|i| drop(segment.construct(&format!("more {i}"), i).unwrap()));
                    segment.trim().unwrap();
                });
            });
            assert_ne!(arena.header().names_current.load(Acquire), first);
            assert_eq!(oldest(), first, "it is read still");
            drop(entered);
            names.reap();
            assert_ne!(oldest(), first);
            Ok(())
        };
        segment.with_names(grow).unwrap();
    }

    #[test]
    fn a_table_that_fits_is_left_as_it_is() {
        for names in [0, 20, 40, 200] {
            let segment = with_names(names, 0);
            let current = || segment.attached().arena.header().names_current.load(Acquire);
            segment.trim().unwrap();
            let before = current();
            segment.trim().unwrap();
            assert_eq!(current(), before, "{names} names");
        }
    }

    #[test]
    fn copies_that_did_not_come_leave_their_room_to_new_names() {
        // Half of the names have no object and are left behind when the table grows.
        let segment = with_names(40, 30);
        let slots = || segment.stats().unwrap().names.slots;
        let mut more = 0;
        while slots() == SMALLEST {
            segment.construct(&format!("more {more}"), more).unwrap();
            more += 1;
        }
        let (grown, kept) = (slots(), segment.stats().unwrap().names.entries);
        let mut room = Array::limit(grown) - kept;
        while room > 1 {
            segment.construct(&format!("last {room}"), room).unwrap();
            room -= 1;
        }
        assert_eq!(slots(), grown, "with {} names", segment.stats().unwrap().names.entries);
    }

    #[test]
    fn trims_leave_few_arrays_to_who_stays_inside_an_operation() {
        let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
        segment.construct("kept", 7u64).unwrap();
        segment
            .with_names(|names| {
                let entered = names.enter();
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        for i in 0..100 {
                            segment.construct(&format!("name {i}"), i).unwrap();
                            assert!(segment.destroy::<i32>(&format!("name {i}")).unwrap());
                            segment.trim().unwrap();
                        }
                        let arrays = segment.stats().unwrap().names.arrays;
                        assert!(arrays <= 8, "{arrays} arrays to go through");
                    });
                });
                for (name, is_there) in [("kept", true), ("name 99", false)] {
                    let key = Key::new(names.heap.arena, Space::Named, name.as_bytes());
                    let found = names.find(&key).expect("no circle");
                    assert_eq!(found.is_some(), is_there, "{name}");
                    found.into_iter().for_each(|pinned| names.unpin(pinned.hazard));
                }
                drop(entered);
                Ok(())
            })
            .unwrap();
        segment.trim().unwrap();
        assert_eq!(segment.stats().unwrap().names.arrays, 1);
    }
}
