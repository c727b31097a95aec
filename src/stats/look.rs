//! Looking at what others own and change: the state bytes of their slabs, and all arrays of names.

use crate::arena::Arena;
use crate::heap::size_class::ClassId;
use crate::heap::unit::{LaneId, UnitIndex};
use crate::layout::oldest_of;
use crate::names::array::Array;
use crate::names::error::ObjectError;
use crate::names::{Entered, Names};
use crate::process::pin::HazardIndex;
use crate::sync::{Acquire, Relaxed, Release, SeqCst, fence};

/// Looks into units that others own, on one hazard word of the calling thread's lane.
///
/// What is read may be of no meaning any more, but it is memory of the segment that is backed: who
/// punches a unit claims it first, and leaves it alone if a hazard is on it.
pub(crate) struct Looker<'a> {
    names: Names<'a>,
    hazard: HazardIndex,
}

impl<'a> Looker<'a> {
    pub(crate) fn new(names: Names<'a>) -> Result<Looker<'a>, ObjectError> {
        let record = names.record();
        let hazard = names
            .heap
            .lane
            .pins
            .pin(record, 0)
            .ok_or(ObjectError::TooManyRefs { limit: crate::process::lane::HAZARDS })?;
        Ok(Looker { names, hazard })
    }

    /// Keeps the unit of `offset` from being punched, and the block there from being taken again if
    /// it is in Limbo, until the next call. The fence is behind it: the caller looks again at the word
    /// that led there.
    pub(crate) fn hold(&self, offset: u64) {
        let lane = self.names.heap.lane;
        lane.pins.repin(lane.record(), self.hazard, offset);
    }

    /// Calls `each` with the number and the state byte of each block of the slab at `head`, whose
    /// unit word was `word`; not at all if that has changed. Whether it was still `word` afterwards.
    pub(crate) fn states(
        &self,
        head: UnitIndex,
        word: u64,
        class: ClassId,
        mut each: impl FnMut(u32, u8),
    ) -> bool {
        let arena = self.names.heap.arena;
        let is_same = || arena.unit_word(head).load(Acquire) == word;
        // Lines in the dense table are never given back; state bytes in the unit may be.
        if !class.cut().dense {
            self.names.heap.lane.pins.repin(self.names.record(), self.hazard, head.offset());
        }
        // Behind the hazard's fence: who claims the unit to punch it from here on sees the hazard.
        if !is_same() {
            return false;
        }
        let states = arena.states(head, class);
        for index in 0..class.cut().count {
            // SAFETY: state bytes of a slab of this class lie in its unit or line, inside the
            // segment, and are backed, as said above; they are read as what they are, atomics.
            each(index, unsafe { (*states.add(index as usize)).load(Relaxed) });
        }
        // Pairs with the Release stores of the state bytes, as the word's load does with the owner's.
        fence(Acquire);
        is_same()
    }
}

impl Drop for Looker<'_> {
    fn drop(&mut self) {
        let lane = self.names.heap.lane;
        lane.pins.unpin(lane.record(), self.hazard);
    }
}

/// Arrays that follow each other at most; more can only be a circle.
const CHAIN: usize = 64;

/// All arrays of names, kept while it lives.
pub(crate) struct Arrays<'a> {
    _entered: Entered<'a>,
    /// From the oldest to the newest.
    pub(crate) arrays: Vec<Array<'a>>,
    /// Who was giving back the first of them, and the word of the root that said so: it may be
    /// looked at only as long as that stands there.
    pub(crate) reaping: Option<(LaneId, u64)>,
    /// An offset at which an array should be, but cannot; or the one where a circle closes.
    pub(crate) broken: Option<u64>,
}

impl<'a> Arrays<'a> {
    /// Pins the oldest array, and so all that follow it; if a lane is just giving that one back, its
    /// successor. Inside another operation of the lane: from the current one on.
    ///
    /// Bounded: where arrays are given back again and again, older ones are left out.
    pub(crate) fn pin(names: Names<'a>) -> Arrays<'a> {
        const TRIES: usize = 8;
        let arena = names.heap.arena;
        let (oldest, record) = (&arena.header().names_oldest, names.record());
        for _ in 0..TRIES {
            let entered = names.enter();
            if names.heap.lane.pins.depth.get() != 1 {
                break;
            }
            let word = oldest.load(Acquire);
            let (array, reaper) = oldest_of(word);
            let pinned = match reaper {
                0 => array,
                _ => Array::at(arena, array).map_or(0, |first| first.next().load(Acquire)),
            };
            record.array.store(pinned, Release);
            fence(SeqCst); // partner: the reaper's, between its claim of the root and its scan
            if pinned != 0 && oldest.load(Acquire) == word {
                let reaping = (reaper != 0).then_some((LaneId(reaper), word));
                return Self::follow(arena, entered, array, reaping);
            }
        }
        let entered = names.enter();
        Self::follow(arena, entered, arena.header().names_current.load(Acquire), None)
    }

    fn follow(
        arena: &'a Arena,
        entered: Entered<'a>,
        first: u64,
        reaping: Option<(LaneId, u64)>,
    ) -> Arrays<'a> {
        let mut chain = Arrays { _entered: entered, arrays: Vec::new(), reaping, broken: None };
        let mut next = first;
        while next != 0 {
            let is_known = chain.arrays.iter().any(|array| array.offset == next);
            match Array::at(arena, next).filter(|_| !is_known && chain.arrays.len() < CHAIN) {
                Some(array) => chain.arrays.push(array),
                None => {
                    chain.broken = Some(next);
                    break;
                }
            }
            next = chain.arrays.last().map_or(0, |array| array.next().load(Acquire));
        }
        chain
    }

    /// Whether array `number` may still be looked at.
    pub(crate) fn is_kept(&self, arena: &Arena, number: usize) -> bool {
        let is_claimed = |(_, word)| arena.header().names_oldest.load(Acquire) == word;
        number != 0 || self.reaping.is_none_or(is_claimed)
    }
}
