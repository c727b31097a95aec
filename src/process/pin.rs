//! Pins: what a lane still looks at, so that nobody takes it again.
//!
//! A hazard word holds the offset of an object (after Michael, "Hazard Pointers", 2004). The pair:
//!
//! ```text
//! pinner:   hazard := o;  fence [P];  does the word that led to o still do so?
//! freer:    that word changed;  state of o := Limbo            (before, by whoever destroyed it)
//! owner:    sees Limbo (Acquire);  fence [O];  scans all hazards
//! ```
//!
//! If the pinner's second look saw the old word, its fence [P] stands before the owner's [O] in the
//! single order of SeqCst fences, so that the scan sees the hazard. All words here are written by
//! the lane's own thread; setting and clearing are wait-free.

use crate::arena::Arena;
use crate::process::lane::{HAZARDS, LaneRecord};
use crate::sync::{Acquire, Relaxed, Release, SeqCst, fence};
use core::cell::Cell;

/// Which hazard words of its lane a thread uses: process memory, the thread's alone; zero: none.
///
/// Those that are free are a list, the last that came free first, so that no more are ever set than are in use at once.
pub struct PinBook {
    /// The first free one; [`HAZARDS`]: all are in use.
    free: Cell<u16>,
    /// Of each free one, how far behind the word after it the next free one is: 0 of those that never were in use.
    next: [Cell<u16>; HAZARDS],
    /// Operations on the table of names that are under way, one inside the other.
    pub depth: Cell<u32>,
}

/// Number of a hazard word of its lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HazardIndex(u16);

impl HazardIndex {
    pub const FIRST: HazardIndex = HazardIndex(0);
}

/// A hazard word that a lane of some [birth](crate::heap::lane::Lane::birth) uses. One word, so that whoever moves it about
/// reads what was written as it was written.
#[derive(Clone, Copy)]
pub struct Held(u64);

impl Held {
    #[inline(always)]
    pub fn new(hazard: HazardIndex, birth: u32) -> Held {
        Held(u64::from(birth) << 32 | u64::from(hazard.0))
    }
    #[inline(always)]
    pub fn hazard(self) -> HazardIndex {
        HazardIndex(self.0 as u16)
    }
    #[inline(always)]
    pub fn birth(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl PinBook {
    /// Puts `offset` into a hazard word; `None`: all [`HAZARDS`] are in use.
    ///
    /// The fence is behind it: the caller looks again at the word that led to `offset`.
    #[inline]
    pub fn pin(&self, lane: &LaneRecord, offset: u64) -> Option<HazardIndex> {
        let index = self.free.get();
        let hazard = usize::from(index);
        let next = self.next.get(hazard)?.get();
        self.free.set(index.wrapping_add(1).wrapping_add(next));
        // Relaxed load: only this thread writes it. The new height and the hazard are both before
        // the fence, so a scan that is bound to see the one sees the other.
        if lane.hazards_high.load(Relaxed) <= hazard as u64 {
            lane.hazards_high.store(hazard as u64 + 1, Release);
        }
        lane.hazards[hazard].store(offset, Release);
        fence(SeqCst); // [P], partner: `named`'s [O]
        Some(HazardIndex(index))
    }

    /// Takes it out again.
    #[inline]
    pub fn unpin(&self, lane: &LaneRecord, index: HazardIndex) {
        let hazard = index.0 as usize;
        // Release, partner: the Acquire of the scan. Our reads of the object end before it is taken.
        lane.hazards[hazard].store(0, Release);
        self.next[hazard].set(self.free.get().wrapping_sub(index.0.wrapping_add(1)));
        self.free.set(index.0);
    }

    /// Points a hazard word that is in use at something else; the fence is behind it.
    pub fn repin(&self, lane: &LaneRecord, index: HazardIndex, offset: u64) {
        lane.hazards[index.0 as usize].store(offset, Release);
        fence(SeqCst); // as in `pin`
    }

    /// Hazard words in use.
    pub fn count(&self) -> u32 {
        let mut free = self.free.get();
        let mut left = 0;
        while let Some(next) = self.next.get(usize::from(free)) {
            left += 1;
            free = free.wrapping_add(1).wrapping_add(next.get());
        }
        HAZARDS as u32 - left
    }
}

/// In a hazard word: whoever set it does not look at the object, but only keeps its memory.
pub const REAPER: u64 = 1 << 63;

/// Whether anybody looks at the object at `offset`. Call it after it was seen with Acquire that nobody
/// new can.
pub fn has_readers(arena: &Arena, offset: u64) -> bool {
    fence(SeqCst); // [O], as in `named`
    arena.lanes().any(|(_, lane)| {
        let high = (lane.hazards_high.load(Acquire) as usize).min(HAZARDS);
        lane.hazards[..high].iter().any(|hazard| hazard.load(Acquire) == offset)
    })
}

/// All that is named by anyone's hazards, in order. Call it after the Limbo was seen with Acquire.
pub fn named(arena: &Arena) -> Vec<u64> {
    fence(SeqCst); // [O], partner: `pin`'s [P]
    let mut named: Vec<u64> = arena
        .lanes()
        .flat_map(|(_, lane)| {
            let high = (lane.hazards_high.load(Acquire) as usize).min(HAZARDS);
            lane.hazards[..high]
                .iter()
                .map(|hazard| hazard.load(Acquire) & !REAPER)
                .filter(|offset| *offset != 0)
        })
        .collect();
    // An array that is being reaped is named by the root, until the root names its successor.
    named.push(crate::layout::oldest_of(arena.header().names_oldest.load(Acquire)).0);
    named.sort_unstable();
    named
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn book() -> PinBook {
        PinBook { free: Cell::new(0), next: [const { Cell::new(0) }; HAZARDS], depth: Cell::new(0) }
    }

    #[test]
    fn each_pin_has_a_word_of_its_own_until_it_ends() {
        let segment = crate::Options::new().capacity(1 << 20).create_anonymous().unwrap();
        segment.construct("a lane", 1u8).unwrap();
        let arena = &segment.attached().arena;
        let lane = arena.lane(crate::heap::unit::LaneId(1));
        let (pins, before) = (book(), named(arena));
        let offset = |i: usize| (i as u64 + 1) * 16;
        let indices: Vec<_> = (0..HAZARDS).map(|i| pins.pin(lane, offset(i)).unwrap()).collect();
        assert_eq!(pins.pin(lane, 7), None, "all are in use");
        assert_eq!(
            (pins.count() as usize, lane.hazards_high.load(Relaxed) as usize),
            (HAZARDS, HAZARDS)
        );
        let all = named(arena);
        assert!(all.is_sorted());
        assert!((0..HAZARDS).all(|i| all.binary_search(&offset(i)).is_ok()));
        assert_eq!(all.len(), before.len() + HAZARDS);
        pins.unpin(lane, indices[70]);
        assert_eq!(pins.count() as usize, HAZARDS - 1);
        assert!(named(arena).binary_search(&offset(70)).is_err());
        assert_eq!(pins.pin(lane, 5), Some(indices[70]), "the one that is free");
        pins.repin(lane, indices[0], 3);
        let all = named(arena);
        assert!([3, 5].iter().all(|o| all.contains(o)) && !all.contains(&offset(0)));
        indices.into_iter().for_each(|index| pins.unpin(lane, index));
        assert_eq!((pins.count(), named(arena)), (0, before));
    }

    #[test]
    fn a_lane_is_scanned_as_far_as_it_has_hazards() {
        let segment = crate::Options::new().capacity(1 << 20).create_anonymous().unwrap();
        segment.construct("a lane", 1u8).unwrap();
        let arena = &segment.attached().arena;
        let lane = arena.lane(crate::heap::unit::LaneId(1));
        let high = lane.hazards_high.swap(u64::MAX, crate::sync::SeqCst);
        let oldest = crate::layout::oldest_of(arena.header().names_oldest.load(Acquire)).0;
        assert_eq!(named(arena), [oldest], "a height beyond the last is no more than all");
        lane.hazards_high.store(0, Release);
        let pins = book();
        let hazard = pins.pin(lane, 48).unwrap();
        assert!(named(arena).contains(&48), "the first pin of a lane");
        pins.unpin(lane, hazard);
        lane.hazards_high.store(high, Release);
    }
}
