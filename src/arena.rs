//! A mapped segment as typed tables: the one place where offsets become references.

use crate::heap::size_class::{ClassId, LINE};
use crate::heap::unit::{LaneId, UNIT_SHIFT, Unit, UnitIndex};
use crate::index_set::{IndexSet, Level, MAX_LEVELS};
use crate::layout::{Header, Layout, MAX_LANES, MAX_PARTICIPANTS, SetId};
use crate::mapping::Mapping;
use crate::process::lane::LaneRecord;
use crate::process::participant::ParticipantRecord;
use crate::sync::{Acquire, AtomicU8, AtomicU64};
use core::sync::atomic;

/// A segment mapped into this process. Any thread may use it.
///
/// **Invariants** (of the type, set up by [`Arena::new`]): `base` is valid for the layout's bytes
/// while the mapping lives; the head is backed; so are the tables of each zone that begins below the
/// frontier, the records of lanes below `lanes_high`, and all units below the frontier that are not
/// Decommitted.
pub struct Arena {
    base: *mut u8,
    layout: Layout,
    mapping: Mapping,
    unit_words: *const AtomicU64,
    doorbells: *const AtomicU64,
    state_lines: *const AtomicU8,
    free: IndexSet,
    /// Where units begin, and how many bytes of them there were up to the frontier, which only moves up, when this
    /// process looked last: its own memory, which nobody else writes.
    first: u64,
    seen: atomic::AtomicU64,
}

// SAFETY: the pointers lead into the mapping, whose words are all atomics or written before the
// segment has its name; the mapping belongs to the process, not to a thread.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

impl Arena {
    /// The tables of `layout` in `mapping`.
    ///
    /// # Safety
    /// The mapping has `layout.bytes()` bytes and its head is backed.
    pub unsafe fn new(mapping: Mapping, layout: Layout) -> Arena {
        let base = mapping.base();
        assert!(mapping.len() as u64 >= layout.bytes());
        let at = |offset: u64| base.wrapping_add(offset as usize);
        // SAFETY: the caller vouches for the mapping's length, and the layout keeps inside it.
        let free = unsafe { index_set(base, &layout, SetId::Free) };
        Arena {
            base,
            unit_words: at(layout.unit_words).cast(),
            doorbells: at(layout.doorbells).cast(),
            state_lines: at(layout.state_lines).cast(),
            first: layout.first_unit << UNIT_SHIFT,
            seen: atomic::AtomicU64::new(0),
            layout,
            mapping,
            free,
        }
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    #[inline]
    pub fn header(&self) -> &Header {
        // SAFETY: the header stands at the start of the head, which is backed and page-aligned; its
        // plain fields do not change once others can see the segment.
        unsafe { &*self.base.cast() }
    }

    /// One past the last unit that may be touched. Acquire pairs with the Release of the CAS that
    /// moved it, after the memory was backed.
    #[inline]
    pub fn frontier(&self) -> UnitIndex {
        UnitIndex(self.header().frontier.load(Acquire).min(self.layout.units) as u32)
    }

    pub fn first_unit(&self) -> UnitIndex {
        UnitIndex(self.layout.first_unit as u32)
    }

    /// All units below the frontier.
    pub fn units(&self) -> impl Iterator<Item = UnitIndex> + use<> {
        (self.first_unit().0..self.frontier().0).map(UnitIndex)
    }

    /// Whether `offset..offset + bytes` lies in units that may be touched.
    #[inline(always)]
    pub fn holds(&self, offset: u64, bytes: u64) -> bool {
        let at = offset.wrapping_sub(self.first);
        // Acquire pairs with the Release below: what was backed for one thread is for all.
        let seen = self.seen.load(atomic::Ordering::Acquire);
        at <= seen && bytes <= seen - at || self.holds_by_now(at, bytes)
    }

    #[cold]
    fn holds_by_now(&self, at: u64, bytes: u64) -> bool {
        let seen = self.frontier().offset().saturating_sub(self.first);
        // Release pairs with the Acquire in `holds`.
        self.seen.fetch_max(seen, atomic::Ordering::Release);
        at <= seen && bytes <= seen - at
    }

    /// The address of a byte of the segment.
    #[inline(always)]
    pub fn at(&self, offset: u64) -> *mut u8 {
        debug_assert!(offset < self.layout.bytes());
        self.base.wrapping_add(offset as usize)
    }

    /// The offset of an address inside the mapping.
    #[inline(always)]
    pub fn offset_of(&self, at: *const u8) -> u64 {
        at.addr().wrapping_sub(self.base.addr()) as u64
    }

    /// The word at an offset of a unit; `None`: none can be there.
    ///
    /// Whoever asks keeps the block that the word is in from being taken.
    pub fn word(&self, offset: u64) -> Option<&AtomicU64> {
        let word = size_of::<AtomicU64>() as u64;
        let fits = offset.is_multiple_of(word) && self.holds(offset, word);
        // SAFETY: inside units that may be touched, aligned; such words are atomics.
        fits.then(|| unsafe { &*self.at(offset).cast::<AtomicU64>() })
    }

    #[inline(always)]
    pub fn unit_word(&self, unit: UnitIndex) -> &AtomicU64 {
        assert!(u64::from(unit.0) < self.layout.units);
        // SAFETY: inside the table of unit words, which has a word for each unit; for a unit below
        // the frontier the zone's tables are backed, and no one asks for another.
        unsafe { &*self.unit_words.add(unit.0 as usize) }
    }

    /// What a unit is; `None`: its word makes no sense.
    #[inline]
    pub fn unit(&self, unit: UnitIndex) -> Option<Unit> {
        Unit::of(self.unit_word(unit).load(Acquire))
    }

    #[inline(always)]
    pub fn doorbell(&self, unit: UnitIndex) -> &AtomicU64 {
        assert!(u64::from(unit.0) < self.layout.units);
        // SAFETY: as for the unit words.
        unsafe { &*self.doorbells.add(unit.0 as usize) }
    }

    /// The first state byte of a slab of `class` whose head is `unit`.
    #[inline(always)]
    pub fn states(&self, unit: UnitIndex, class: ClassId) -> *const AtomicU8 {
        if class.cut().dense {
            self.state_lines.wrapping_add(unit.0 as usize * LINE)
        } else {
            self.at(unit.offset() + u64::from(class.cut().states)).cast()
        }
    }

    #[inline]
    pub fn set(&self, set: SetId) -> IndexSet {
        match set {
            SetId::Free => self.free,
            // SAFETY: `new`'s caller vouched for the mapping.
            _ => unsafe { index_set(self.base, &self.layout, set) },
        }
    }

    /// The first unit at or after `from` that a set names; damage may have it name units that are not
    /// in use.
    #[inline]
    pub fn find_in(&self, set: SetId, from: usize) -> Option<UnitIndex> {
        let found = self.set(set).find(from)?;
        (found < self.frontier().0 as usize).then_some(UnitIndex(found as u32))
    }

    /// The record of a lane; its page is backed if the lane is below `lanes_high` or just being taken.
    #[inline]
    pub fn lane(&self, lane: LaneId) -> &LaneRecord {
        assert!((lane.0 as usize) < MAX_LANES);
        // SAFETY: in the table of lane records by the check above; the records are atomics only.
        unsafe { &*self.at(self.layout.lanes + u64::from(lane.0) * Layout::lane_stride()).cast() }
    }

    /// Lanes that have been taken at some time.
    pub fn lanes(&self) -> impl Iterator<Item = (LaneId, &LaneRecord)> {
        let high = self.header().lanes_high.load(Acquire).min(MAX_LANES as u64) as u16;
        (1..high).map(|lane| (LaneId(lane), self.lane(LaneId(lane))))
    }

    pub fn participants(&self) -> &[ParticipantRecord] {
        // SAFETY: the table lies in the head, which is backed; the records are atomics only.
        unsafe {
            core::slice::from_raw_parts(self.at(self.layout.participants).cast(), MAX_PARTICIPANTS)
        }
    }

    /// Makes the words of fresh tables, for loom, whose atomics are not plain zeros.
    ///
    /// # Safety
    /// Nobody else uses the segment yet, and its head and the tables of all zones are backed and zero.
    #[cfg(loom)]
    pub unsafe fn construct_tables(&self) {
        use crate::sync::{construct_zeroed, construct_zeroed_bytes};
        // SAFETY: the caller's promises, and offsets from the layout.
        unsafe {
            let header = self.base.cast::<Header>();
            for word in [
                &raw mut (*header).frontier,
                &raw mut (*header).lanes_high,
                &raw mut (*header).participants_high,
                &raw mut (*header).sweep_epoch,
                &raw mut (*header).types_epoch,
                &raw mut (*header).attachments,
                &raw mut (*header).deaths,
                &raw mut (*header).names_current,
                &raw mut (*header).names_oldest,
            ] {
                construct_zeroed(word, 1);
            }
            let words_of = |bytes: usize| bytes / size_of::<AtomicU64>();
            construct_zeroed(
                self.at(self.layout.participants).cast(),
                words_of(MAX_PARTICIPANTS * size_of::<ParticipantRecord>()),
            );
            if cfg!(loom) {
                for lane in 0..MAX_LANES {
                    let record = self.at(self.layout.lanes + lane as u64 * Layout::lane_stride());
                    construct_zeroed(record.cast(), words_of(size_of::<LaneRecord>()));
                }
                for set in SetId::all() {
                    for (at, words, shift, stride) in self.layout.set_levels(set) {
                        let block = words.min(1 << shift.min(32));
                        for i in 0..words / block {
                            construct_zeroed(self.at(at + (i * stride) as u64).cast(), block);
                        }
                    }
                }
                let (units, first) = (self.layout.units as usize, self.layout.first_unit as usize);
                construct_zeroed(self.unit_words.cast_mut().add(first), units - first);
                construct_zeroed(self.doorbells.cast_mut().add(first), units - first);
                construct_zeroed_bytes(
                    self.state_lines.cast_mut().add(first * LINE),
                    (units - first) * LINE,
                );
            }
        }
    }
}

/// # Safety
/// `base` is valid for the layout's bytes as long as the set is used.
unsafe fn index_set(base: *mut u8, layout: &Layout, set: SetId) -> IndexSet {
    let mut levels = [None; MAX_LEVELS];
    let mut count = 0;
    for (level, (at, words, shift, stride)) in levels.iter_mut().zip(layout.set_levels(set)) {
        // SAFETY: the layout keeps its tables inside the bytes that the caller vouches for.
        *level = Some(unsafe {
            Level::new(base.wrapping_add(at as usize).cast(), words, shift, stride)
        });
        count += 1;
    }
    let first = levels[0].expect("a set has leaves");
    IndexSet::new(&levels.map(|level| level.unwrap_or(first))[..count])
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::Options;
    use crate::heap::unit::UNIT;

    #[test]
    fn what_it_holds_lies_between_the_first_unit_and_the_frontier() {
        let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
        let arena = &segment.attached().arena;
        let (first, end) = (arena.first_unit().offset(), arena.frontier().offset());
        assert!(first < end);
        for (offset, bytes, is_held) in [
            (first, end - first, true),
            (first, end - first + 1, false),
            (first - 1, 2, false),
            (first - 1, 1, false),
            (0, 1, false),
            (end - 1, 1, true),
            (end - 1, 2, false),
            (end, 0, true),
            (end, 1, false),
            (first, u64::MAX, false),
            (u64::MAX, 1, false),
        ] {
            assert_eq!(arena.holds(offset, bytes), is_held, "{bytes} bytes at {offset:#x}");
        }
        assert!(arena.word(end - 8).is_some());
        for offset in [end - 4, end, first - 8, 0] {
            assert!(arena.word(offset).is_none(), "{offset:#x}");
        }
    }

    #[test]
    fn counts_in_the_header_are_believed_up_to_what_there_is() {
        let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
        let arena = &segment.attached().arena;
        let header = arena.header();
        let frontier = header.frontier.swap(u64::MAX, crate::sync::SeqCst);
        assert_eq!(u64::from(arena.frontier().0), arena.layout().units);
        header.frontier.store(frontier, crate::sync::SeqCst);
        let lanes = header.lanes_high.swap(u64::MAX, crate::sync::SeqCst);
        assert_eq!(arena.lanes().last().map(|(lane, _)| lane), Some(LaneId(MAX_LANES as u16 - 1)));
        header.lanes_high.store(lanes, crate::sync::SeqCst);
        assert!(arena.units().all(|unit| unit.offset().is_multiple_of(UNIT as u64)));
    }
}
