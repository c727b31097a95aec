//! Units: claiming them, giving them back, backing more of the capacity, returning memory.

use super::Heap;
use super::unit::{LaneId, State, UNIT_SHIFT, Unit, UnitIndex};
use crate::arena::Arena;
use crate::index_set::IndexSet;
use crate::layout::{FANOUT, SetId, ZONE_UNITS};
use crate::mapping::HUGE_PAGE;
use crate::process::pin;
use crate::sync::{AcqRel, Acquire, Release};
use core::ops::Range;
use core::ptr;
use rustix::io::Errno;

/// Units that growth backs at once at most: half a millisecond where the file system zeroes.
const STEP: u32 = 16;
/// Units of a huge page, which takes half of that.
const HUGE_STEP: u32 = (HUGE_PAGE >> UNIT_SHIFT) as u32;
/// Sweeps by the truth before a claimer that meets others at every one gives up.
const SWEEPS: u32 = 8;

/// Why there are no units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exhausted {
    /// The segment's capacity is in use, or no free part of it is long enough.
    Capacity,
    /// The file system (or the limit on its use) has no room to back more.
    FileSystem,
}

fn is_claimable(unit: Option<Unit>) -> bool {
    matches!(unit, Some(Unit::Free | Unit::Decommitted))
}

/// Free units, side by side as they lie, on their way into their set: a word of it at a time.
///
/// Dead with some of them: hints are missing, which recovery makes again.
pub struct FreeRow {
    set: IndexSet,
    word: usize,
    bits: u64,
}

impl FreeRow {
    pub fn new(arena: &Arena) -> FreeRow {
        FreeRow { set: arena.set(SetId::Free), word: 0, bits: 0 }
    }

    /// `unit` says by now that it is free.
    pub fn add(&mut self, unit: UnitIndex) {
        let (word, bit) = (unit.0 as usize / FANOUT, unit.0 as usize % FANOUT);
        if word != self.word {
            self.show();
            self.word = word;
        }
        self.bits |= 1 << bit;
    }

    fn show(&mut self) {
        if self.bits != 0 {
            self.set.insert_all(self.word, core::mem::take(&mut self.bits));
        }
    }
}

impl Drop for FreeRow {
    fn drop(&mut self) {
        self.show();
    }
}

impl Heap<'_> {
    /// Claims `len` neighbouring units: the head is Claimed by this lane, the others are its tails,
    /// all are backed. The caller writes the head's word, which is the commit.
    ///
    /// Lock-free: a round that fails has met another's success, or the claim is given up: with
    /// `len` > 1 two claimers can make each other roll back, so the rounds are bounded.
    ///
    /// Dead before the commit: the head says Claimed, each tail names a head that does not cover it;
    /// both carry the dead lane, so recovery gives them back.
    pub fn claim_units(&self, len: u32) -> Result<UnitIndex, Exhausted> {
        loop {
            if let Some(head) = self.claim_by_hints(len)? {
                return Ok(head);
            }
            match self.grow(len) {
                Ok(()) => {}
                // Hints may hide what others, stopped or dead, have not shown: the words decide.
                Err(reason) => return self.claim_by_words(len)?.ok_or(reason),
            }
        }
    }

    fn claim_by_hints(&self, len: u32) -> Result<Option<UnitIndex>, Exhausted> {
        let free = self.arena.set(SetId::Free);
        let mut from = self.arena.first_unit().0;
        while let Some(hit) = self.find_hinted(from, len) {
            match self.try_claim(hit, 0..len)? {
                Ok(()) => return Ok(Some(hit)),
                Err(conflict) => {
                    let unit = || is_claimable(self.arena.unit(conflict));
                    if !unit() {
                        free.drop_stale(conflict.0 as usize, unit);
                    }
                    from = conflict.0 + 1;
                }
            }
        }
        Ok(None)
    }

    /// The first place from `from` on where the set of free units shows `len` in a row.
    fn find_hinted(&self, from: u32, len: u32) -> Option<UnitIndex> {
        let free = self.arena.set(SetId::Free);
        let mut head = free.find(from as usize)?;
        let end = self.arena.frontier().0 as usize;
        let mut at = head;
        while at < end {
            if !free.contains(at) {
                head = free.find(at)?;
                at = head;
                continue;
            }
            if at + 1 - head == len as usize {
                return Some(UnitIndex(head as u32));
            }
            at += 1;
        }
        None
    }

    /// Claims the units `len..wanted` behind a head that this lane holds; false: they are not free.
    pub(super) fn claim_behind(&self, head: UnitIndex, len: u32, wanted: u32) -> bool {
        let frontier = self.arena.frontier();
        if head.0 + wanted > frontier.0 {
            let missing = head.0 + wanted - frontier.0;
            // Growth counts the free units below the frontier in; a run that ends there has none.
            if head.0 + len < frontier.0
                || self.grow(missing).is_err()
                || head.0 + wanted > self.arena.frontier().0
            {
                return false;
            }
        }
        matches!(self.try_claim(head, len..wanted), Ok(Ok(())))
    }

    /// Claims the units of `range`, counted from `head`, ascending. `Err`: the unit at which it
    /// failed; nothing is claimed then.
    fn try_claim(
        &self,
        head: UnitIndex,
        range: Range<u32>,
    ) -> Result<Result<(), UnitIndex>, Exhausted> {
        let lane = self.lane.id();
        let mut decommitted = Vec::new();
        for back in range.clone() {
            let unit = head.plus(back);
            let label = if back == 0 { Unit::Claimed { lane } } else { Unit::Tail { back, lane } };
            let word = self.arena.unit_word(unit);
            let found = word.load(Acquire);
            let claimed = is_claimable(Unit::of(found))
                // Acquire pairs with the Release of who gave the unit back: his use of it is over.
                && word.compare_exchange(found, label.word(), AcqRel, Acquire).is_ok();
            if !claimed {
                self.roll_back(head, range.start..back, &decommitted);
                return Ok(Err(unit));
            }
            if found == Unit::Decommitted.word() {
                decommitted.push(unit);
            }
        }
        for unit in &decommitted {
            if self.arena.mapping().back(unit.offset(), super::unit::UNIT as u64).is_err() {
                self.roll_back(head, range, &decommitted);
                return Err(Exhausted::FileSystem);
            }
        }
        let free = self.arena.set(SetId::Free);
        range.for_each(|back| free.remove((head.0 + back) as usize));
        Ok(Ok(()))
    }

    /// Gives back the claimed units of `range`, the last one first: each as it was, and always into
    /// the set, from which a finder may have dropped it meanwhile.
    fn roll_back(&self, head: UnitIndex, range: Range<u32>, decommitted: &[UnitIndex]) {
        for back in range.rev() {
            let unit = head.plus(back);
            let was = if decommitted.contains(&unit) { Unit::Decommitted } else { Unit::Free };
            self.give_unit(unit, was);
        }
    }

    fn give_unit(&self, unit: UnitIndex, label: Unit) {
        // Release pairs with the Acquire of the next claimer's CAS.
        self.arena.unit_word(unit).store(label.word(), Release);
        self.arena.set(SetId::Free).insert(unit.0 as usize);
    }

    /// Sweeps the unit words themselves, whatever the sets say.
    fn claim_by_words(&self, len: u32) -> Result<Option<UnitIndex>, Exhausted> {
        for _ in 0..SWEEPS {
            let (mut row, mut transient) = (0, false);
            for unit in self.arena.units() {
                match self.arena.unit(unit) {
                    Some(Unit::Free | Unit::Decommitted) => row += 1,
                    Some(Unit::Claimed { .. } | Unit::Freeing { .. }) => {
                        (row, transient) = (0, true)
                    }
                    _ => row = 0,
                }
                if row == len {
                    let head = UnitIndex(unit.0 + 1 - len);
                    if self.try_claim(head, 0..len)?.is_ok() {
                        return Ok(Some(head));
                    }
                    (row, transient) = (0, true);
                }
            }
            // A label that its lane is about to change may hide room: look again.
            if !transient {
                break;
            }
        }
        Ok(None)
    }

    /// Backs more units, so that `len` in a row may be found at the frontier, and shows them.
    ///
    /// Dead after backing: the next one backs the same again. Dead after the CAS: the words say
    /// Free, the sets do not show it; a sweep by the words or recovery does.
    fn grow(&self, len: u32) -> Result<(), Exhausted> {
        let frontier = self.arena.frontier();
        let first = self.arena.first_unit();
        let below = (1..len.min(frontier.0 - first.0 + 1))
            .take_while(|back| is_claimable(self.arena.unit(UnitIndex(frontier.0 - back))))
            .count() as u32;
        let must = len - below;
        let left = self.arena.layout().units as u32 - frontier.0;
        if must > left {
            return Err(Exhausted::Capacity);
        }
        let mut ample = ((frontier.0 - first.0) / 8).clamp(1, STEP).max(must);
        if self.arena.mapping().wants_huge_pages() {
            ample = (frontier.0 + ample).next_multiple_of(HUGE_STEP) - frontier.0;
        }
        let ample = ample.min(left);
        let more = match self.back_units(frontier, ample) {
            Ok(()) => ample,
            // A file system that is nearly full may have room for what must be.
            Err(full) if ample == must => return Err(full),
            Err(_) => self.back_units(frontier, must).map(|()| must)?,
        };
        self.show_units(frontier, more);
        Ok(())
    }

    /// Moves the frontier over units that are backed, if it is still there.
    fn show_units(&self, frontier: UnitIndex, more: u32) {
        // Release pairs with the Acquire of `Arena::frontier`: who sees it may touch the units.
        let (from, to) = (u64::from(frontier.0), u64::from(frontier.0 + more));
        if self.arena.header().frontier.compare_exchange(from, to, AcqRel, Acquire).is_ok() {
            let free = self.arena.set(SetId::Free);
            (0..more).for_each(|i| free.insert((frontier.0 + i) as usize));
        }
    }

    /// Backs at least so many units ahead, if the segment has so many, those of them included that are in use; how many
    /// there are below the frontier then.
    ///
    /// Lock-free, but for the kernel. Dead inside: as in growth and in claiming.
    pub fn back_ahead(&self, units: u32) -> Result<u32, Exhausted> {
        let first = self.arena.first_unit().0;
        for unit in self.arena.units() {
            // Claiming backs it; if it is another's by now, that one has backed it.
            if self.arena.unit(unit) == Some(Unit::Decommitted)
                && self.try_claim(unit, 0..1)?.is_ok()
            {
                self.give_unit(unit, Unit::Free);
            }
        }
        let wanted = units.min(self.arena.layout().units as u32 - first);
        loop {
            let frontier = self.arena.frontier();
            // Below the first unit it is in a damaged file alone.
            let there = frontier.0.saturating_sub(first);
            let missing = wanted.saturating_sub(there);
            if missing == 0 {
                return Ok(there);
            }
            let mut step = missing.min(STEP);
            if self.arena.mapping().wants_huge_pages() {
                step = missing.min(HUGE_STEP - frontier.0 % HUGE_STEP);
            }
            self.back_units(frontier, step)?;
            self.show_units(frontier, step);
        }
    }

    /// Enters all units that are backed, and all tables, into this process' page tables. What another gives back
    /// meanwhile may be backed again by that, until somebody claims it or gives it back.
    pub fn populate(&self) -> Result<(), Errno> {
        let (arena, mapping) = (self.arena, self.arena.mapping());
        let (head, bytes) = arena.layout().head();
        mapping.populate(head, bytes)?;
        for (_, lane) in arena.lanes() {
            mapping
                .populate(arena.offset_of(ptr::from_ref(lane).cast()), size_of_val(lane) as u64)?;
        }
        let (first, frontier) = (arena.first_unit(), arena.frontier());
        let zone = |unit: u32| u64::from(unit) / ZONE_UNITS as u64;
        for zone in zone(first.0)..=zone(frontier.0.max(first.0 + 1) - 1) {
            for (at, bytes) in arena.layout().tables_of_zone(zone) {
                mapping.populate(at, bytes)?;
            }
        }
        // What was given back would be backed by this, and nobody would give it back again.
        let is_backed = |unit: &UnitIndex| arena.unit(*unit) != Some(Unit::Decommitted);
        let mut units = arena.units().peekable();
        while let Some(from) = units.by_ref().find(is_backed) {
            let mut end = from.plus(1);
            while let Some(unit) = units.next_if(is_backed) {
                end = unit.plus(1);
            }
            mapping.populate(from.offset(), end.offset() - from.offset())?;
        }
        Ok(())
    }

    fn back_units(&self, from: UnitIndex, count: u32) -> Result<(), Exhausted> {
        let mapping = self.arena.mapping();
        let full = |_| Exhausted::FileSystem;
        for zone in crossed_zones(from, count) {
            for (at, bytes) in self.arena.layout().tables_of_zone(zone) {
                mapping.back(at, bytes).map_err(full)?;
            }
        }
        mapping.back(from.offset(), u64::from(count) << UNIT_SHIFT).map_err(full)
    }

    /// Whether the unit so far behind `head` says that it is a part of what begins there: always, but
    /// where damage has a head say that it covers what is others'.
    pub(super) fn is_tail(&self, head: UnitIndex, distance: u32) -> bool {
        let unit = self.arena.unit(head.plus(distance));
        matches!(unit, Some(Unit::Tail { back, .. }) if back == distance)
    }

    /// Gives back the units that `head` covers: `len` of them, which this lane holds alone.
    ///
    /// Dead inside: the head says Freeing, so recovery goes on; the head is the last to go.
    pub fn free_units(&self, head: UnitIndex, len: u32) {
        if len > 1 {
            let freeing = Unit::Freeing { len, lane: self.lane.id() };
            self.arena.unit_word(head).store(freeing.word(), Release);
            let tails = (1..len).filter(|back| self.is_tail(head, *back));
            tails.for_each(|back| self.give_unit(head.plus(back), Unit::Free));
        }
        self.give_unit(head, Unit::Free);
    }

    /// Makes every hint again from the truth, beside live users, any number of times: of who died or
    /// was stopped between a unit's word and its set, or between two levels of a set.
    pub fn remake_hints(&self) {
        let mut free = FreeRow::new(self.arena);
        for unit in self.arena.units() {
            let item = unit.0 as usize;
            match self.arena.unit(unit) {
                Some(Unit::Free | Unit::Decommitted) => free.add(unit),
                Some(Unit::Orphan { class }) => {
                    self.arena.set(SetId::Orphans(class)).insert(item);
                }
                Some(Unit::Run { lane: LaneId::NOBODY, state: State::Limbo, .. }) => {
                    self.arena.set(SetId::LimboRuns).insert(item);
                }
                _ => {}
            }
        }
        drop(free);
        for set in SetId::all() {
            self.arena
                .set(set)
                .repair(self.arena.first_unit().0 as usize, self.arena.frontier().0 as usize);
        }
    }

    /// Returns the memory of free units to the system; the number of units.
    ///
    /// Dead inside: units that say Claimed by the dead lane, which recovery makes Decommitted.
    pub fn decommit_free_units(&self) -> u32 {
        let lane = self.lane.id();
        let mut returned = 0;
        let mut from = self.arena.first_unit().0 as usize;
        while let Some(unit) = self.arena.find_in(SetId::Free, from) {
            from = unit.0 as usize + 1;
            let word = self.arena.unit_word(unit);
            let claimed = Unit::Claimed { lane }.word();
            if word.compare_exchange(Unit::Free.word(), claimed, AcqRel, Acquire).is_err() {
                continue;
            }
            // Whoever looks into a unit by a possibly stale offset holds a hazard on it, and looks
            // at the unit word behind his fence: after our claim he turns away.
            let named = pin::named(self.arena);
            let kept = named.iter().any(|offset| UnitIndex::containing(*offset) == unit);
            let bytes = super::unit::UNIT as u64;
            let label = if !kept && self.arena.mapping().punch(unit.offset(), bytes).is_ok() {
                returned += 1;
                Unit::Decommitted
            } else {
                Unit::Free
            };
            self.give_unit(unit, label);
        }
        returned
    }
}

/// The zones that begin in `from..from + count`.
fn crossed_zones(from: UnitIndex, count: u32) -> impl Iterator<Item = u64> {
    let zone = ZONE_UNITS as u64;
    u64::from(from.0).div_ceil(zone)..(u64::from(from.0) + u64::from(count)).div_ceil(zone)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::heap::unit::UNIT;
    use crate::{Offset, Options, Segment};
    use core::alloc::Layout;

    fn new() -> Segment {
        Options::new().capacity(16 << 20).create_anonymous().unwrap()
    }

    fn run(segment: &Segment, units: usize) -> Offset<u8> {
        segment.allocate(Layout::from_size_align(units * UNIT, 8).unwrap()).unwrap()
    }

    /// Bytes that the file has from the file system.
    fn backed(segment: &Segment) -> u64 {
        rustix::fs::fstat(segment.as_fd()).unwrap().st_blocks as u64 * 512
    }

    #[test]
    fn what_is_allocated_is_backed_before_anybody_touches_it() {
        let segment = new();
        let before = backed(&segment);
        run(&segment, 50);
        assert!(backed(&segment) >= before + 50 * UNIT as u64);
    }

    #[test]
    fn the_last_run_grows_where_it_stands_and_the_segment_with_it() {
        let room = new().attached().arena.layout().units as u32;
        for units in [51, 60, room] {
            let segment = new();
            let arena = &segment.attached().arena;
            let offset = run(&segment, 50);
            let head = UnitIndex::containing(offset.to_bits());
            assert_eq!(arena.frontier(), head.plus(50), "no unit is behind it");
            let (units, bytes) = (units.min(room - head.0), |units| units as usize * UNIT);
            let more = bytes(room - head.0 + 1);
            assert_eq!(segment.resize_in_place(offset, more).unwrap(), None);
            let resized = segment.resize_in_place(offset, bytes(units)).unwrap();
            assert_eq!(resized, Some(bytes(units)));
            assert!(arena.frontier() >= head.plus(units));
            segment.deallocate(offset).unwrap();
            assert!(segment.check().unwrap().is_clean());
        }
    }

    #[test]
    fn a_run_grows_into_what_is_free_behind_it_up_to_the_frontier() {
        for units in [51, 59, 60] {
            let segment = new();
            let (first, second) = (run(&segment, 50), run(&segment, 10));
            let arena = &segment.attached().arena;
            let end = UnitIndex::containing(second.to_bits()).plus(10);
            assert_eq!(arena.frontier(), end);
            segment.deallocate(second).unwrap();
            let resized = segment.resize_in_place(first, units * UNIT).unwrap();
            assert_eq!((resized, arena.frontier()), (Some(units * UNIT), end));
        }
    }

    #[test]
    fn a_segment_grows_by_an_eighth_of_what_it_has() {
        let segment = new();
        let arena = &segment.attached().arena;
        segment
            .with_names(|names| {
                for _ in 0..40 {
                    let before = arena.frontier().0;
                    names.heap.grow(1).unwrap();
                    let used = before - arena.first_unit().0;
                    assert_eq!(arena.frontier().0 - before, (used / 8).clamp(1, STEP));
                }
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn with_huge_pages_a_segment_grows_and_is_prepared_up_to_the_end_of_one() {
        let segment =
            Options::new().capacity(64 << 20).huge_pages(true).create_anonymous().unwrap();
        let arena = &segment.attached().arena;
        for units in [1, 31, 40, 33] {
            let before = arena.frontier().0;
            segment
                .with_names(|names| {
                    let head = names.heap.claim_units(units).unwrap();
                    names.heap.free_units(head, units);
                    Ok(())
                })
                .unwrap();
            let after = arena.frontier().0;
            assert!(after.is_multiple_of(HUGE_STEP), "{units} units");
            assert!(after <= (before + units).next_multiple_of(HUGE_STEP));
        }
        // But no more than is asked for is prepared.
        let there = arena.frontier().0 - arena.first_unit().0;
        let asked = u64::from(there + 70) * UNIT as u64;
        assert_eq!(segment.prepare(asked).unwrap(), asked);
        assert!(segment.check().unwrap().is_clean());
        segment.trim().unwrap();
        let left = backed(&segment);
        assert!(left < u64::from(there) * UNIT as u64 / 2, "{left} bytes are left");
    }

    #[test]
    fn room_is_looked_for_below_the_frontier_alone_up_to_the_last_unit_of_a_zone() {
        let zone = ZONE_UNITS as u64;
        let first = crate::layout::Layout::for_units(zone).unwrap().first_unit;
        // A segment has room for a quarter and 32 MiB more than what is asked for.
        let asked = ((zone - first) * UNIT as u64 - (32 << 20)) / 5 * 4;
        let segment = Options::new().capacity(asked).create_anonymous().unwrap();
        let arena = &segment.attached().arena;
        assert_eq!(arena.layout().units, zone);
        // Sets and words alone are looked at, which are backed.
        let frontier = arena.header().frontier.swap(zone, AcqRel);
        let last = [zone - 2, zone - 1].map(|unit| unit as usize);
        last.iter().for_each(|unit| arena.set(SetId::Free).insert(*unit));
        segment
            .with_names(|names| {
                let find = |len| names.heap.find_hinted(last[0] as u32, len);
                assert_eq!(find(2), Some(UnitIndex(last[0] as u32)));
                assert_eq!(find(3), None);
                Ok(())
            })
            .unwrap();
        last.iter().for_each(|unit| arena.set(SetId::Free).remove(*unit));
        arena.header().frontier.store(frontier, Release);
    }

    #[test]
    fn a_hint_of_a_free_unit_goes_when_it_proves_false() {
        let segment = new();
        let used = UnitIndex::containing(run(&segment, 10).to_bits()).plus(3);
        let free = segment.attached().arena.set(SetId::Free);
        free.insert(used.0 as usize);
        assert_ne!(UnitIndex::containing(run(&segment, 5).to_bits()), used);
        let claimed = segment.with_names(|names| Ok(names.heap.claim_units(1).unwrap())).unwrap();
        assert!(claimed != used && !free.contains(used.0 as usize));
    }

    #[test]
    fn room_that_no_set_shows_is_found_by_the_words() {
        let segment = new();
        let (gap, _used) = (run(&segment, 20), run(&segment, 10));
        segment.deallocate(gap).unwrap();
        let arena = &segment.attached().arena;
        let (first, free) = (UnitIndex::containing(gap.to_bits()), arena.set(SetId::Free));
        let hide = || arena.units().for_each(|unit| free.remove(unit.0 as usize));
        segment
            .with_names(|names| {
                for len in [1, 2, 7, 20] {
                    hide();
                    assert_eq!(names.heap.claim_by_words(len), Ok(Some(first)), "{len} units");
                    names.heap.free_units(first, len);
                }
                hide();
                assert_eq!(names.heap.claim_by_words(21), Ok(None));
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn hints_that_were_lost_are_made_anew() {
        let segment = new();
        let freed = run(&segment, 150);
        segment.deallocate(freed).unwrap();
        let arena = &segment.attached().arena;
        let free = arena.set(SetId::Free);
        let is_free = |unit: &UnitIndex| is_claimable(arena.unit(*unit));
        let units = || arena.units().filter(is_free).map(|unit| unit.0 as usize);
        assert!(units().count() >= 150);
        units().for_each(|unit| free.remove(unit));
        segment
            .with_names(|names| {
                names.heap.remake_hints();
                Ok(())
            })
            .unwrap();
        assert!(units().all(|unit| free.shows(unit)));
        let used = arena.units().filter(|unit| !is_free(unit));
        assert!(used.into_iter().all(|unit| !free.contains(unit.0 as usize)));
    }

    #[test]
    fn free_memory_goes_back_to_the_system_but_for_what_somebody_looks_at() {
        let segment = new();
        let (freed, kept) = (run(&segment, 20), run(&segment, 5));
        segment.deallocate(freed).unwrap();
        segment.deallocate(kept).unwrap();
        let arena = &segment.attached().arena;
        let kept = UnitIndex::containing(kept.to_bits());
        let returned = segment
            .with_names(|names| {
                let (pins, record) = (&names.heap.lane.pins, names.record());
                let hazard = pins.pin(record, kept.offset() + 100).unwrap();
                let before = backed(&segment);
                assert!(names.heap.decommit_free_units() >= 20);
                assert_eq!(arena.unit(kept), Some(Unit::Free), "it is looked at");
                pins.unpin(record, hazard);
                Ok(before - backed(&segment))
            })
            .unwrap();
        assert!(returned >= 20 * UNIT as u64, "{returned}");
        let first = UnitIndex::containing(freed.to_bits());
        assert_eq!(arena.unit(first), Some(Unit::Decommitted));
    }

    #[test]
    fn a_zone_is_crossed_where_it_begins() {
        let zones = |from, count| crossed_zones(UnitIndex(from), count).collect::<Vec<_>>();
        let zone = ZONE_UNITS as u32;
        assert!(zones(10, 100).is_empty());
        assert!(zones(zone - 1, 1).is_empty());
        assert_eq!(zones(zone - 1, 2), [1]);
        assert_eq!(zones(zone, 1), [1]);
        assert_eq!(zones(5, 3 * zone), [1, 2, 3]);
    }
}
