//! Lanes: one thread's place in the segment. The shared record of each; taking and giving back.

use crate::arena::Arena;
use crate::heap::size_class::CLASS_COUNT;
use crate::heap::unit::LaneId;
use crate::layout::{Layout, MAX_LANES, MAX_PARTICIPANTS};
use crate::lock::read_slot::{READS, ReadSlot};
use crate::process::journal::{Intent, Journal};
use crate::process::participant::{ParticipantId, Tenure};
use crate::process::tally::Tally;
use crate::sync::{AcqRel, Acquire, AtomicU64, Relaxed, Release};
use core::mem::{offset_of, size_of};

/// Objects that one thread can hold pinned at once.
pub const HAZARDS: usize = if cfg!(sharena_shuttle) {
    6
} else if cfg!(loom) {
    4
} else {
    256
};

/// The shared part of a lane, on a page of its own. The lane's thread writes all of it but the
/// bells, which freers ring, and `owner` and `reads`, which change by CAS.
#[repr(C)]
pub struct LaneRecord {
    /// [`LaneOwner`].
    pub owner: AtomicU64,
    /// The oldest array of names that this lane may be reading; 0: none.
    pub array: AtomicU64,
    /// Hazards at and above this were never set.
    pub hazards_high: AtomicU64,
    /// Whose recovery the lane's thread is at ([`helping_word`]); 0: nobody's. It keeps the numbers of
    /// that participant and its lanes from being given out again.
    pub helping: AtomicU64,
    pub tally: Tally,
    _line: AtomicU64,
    /// The locks that are read by the lane's thread, or whose guards one before it has forgotten: a line of
    /// their own, at which every writer looks.
    pub reads: [ReadSlot; READS],
    pub journal: Journal,
    /// By size class: bit `slot % 64` says that a slab of the lane with this slot has had a free.
    pub bells: [AtomicU64; CLASS_COUNT],
    /// Offsets of objects that must not be taken again; 0: none.
    pub hazards: [AtomicU64; HAZARDS],
}

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<LaneRecord>() <= crate::layout::PAGE as usize);
    assert!(offset_of!(LaneRecord, reads) == 64 && offset_of!(LaneRecord, journal) == 128);
};

impl LaneRecord {
    /// Whose lane it is. Acquire: with the owner its journal.
    pub fn tenure(&self) -> Option<Tenure> {
        LaneOwner::of(self.owner.load(Acquire)).and_then(LaneOwner::tenure)
    }

    /// Whether its journal says that `object` is being linked: what hangs on that is marked before anything of its
    /// process is swept.
    pub fn links(&self, object: u64) -> bool {
        match self.journal.read() {
            Some(Ok(Intent::Link { object: it, .. } | Intent::Intern { object: it, .. })) => {
                it == object
            }
            _ => false,
        }
    }

    /// Makes it that of a lane at rest, by whoever just took it. That is what it says already, unless
    /// the segment is damaged: then what stands there would pin objects that nobody looks at.
    ///
    /// Dead inside: as dead with a lane that holds nothing.
    fn clear(&self) {
        self.journal.close();
        self.tally.close();
        let words = [&self.array, &self.hazards_high, &self.helping];
        let reads = self.reads.iter().map(ReadSlot::word);
        for word in words.into_iter().chain(&self.hazards).chain(reads) {
            // Relaxed: the lane's thread alone writes them, and that is us.
            if word.load(Relaxed) != 0 {
                word.store(0, Release);
            }
        }
    }

    /// Takes back that anything is read: nobody is left who could.
    pub fn forget_reads(&self) {
        // Release: whoever takes the lane next does not see them.
        self.reads.iter().for_each(|slot| slot.word().store(0, Release));
    }

    /// Whether a guard is left of any lock that its thread, or one before it, has read.
    pub fn has_reads(&self) -> bool {
        // Acquire pairs with the end of a guard that was dropped behind its thread's end.
        self.reads.iter().any(|slot| slot.word().load(Acquire) != 0)
    }

    /// What readers of the record must agree on.
    pub fn facts() -> impl Iterator<Item = u64> {
        [
            size_of::<LaneRecord>(),
            offset_of!(LaneRecord, reads),
            READS,
            offset_of!(LaneRecord, tally),
            offset_of!(LaneRecord, journal),
            offset_of!(LaneRecord, bells),
            offset_of!(LaneRecord, hazards),
            HAZARDS,
        ]
        .into_iter()
        .map(|fact| fact as u64)
    }
}

/// Whose a lane is: the value of [`LaneRecord::owner`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LaneOwner {
    /// Nobody's.
    Free,
    /// A thread of this participant uses it.
    Active(Tenure),
    /// Between two threads of this participant; some of its slabs are still its own.
    Parked(Tenure),
}

/// [`LaneRecord::helping`] of a thread that is at the recovery of `dead`.
pub fn helping_word(dead: Tenure) -> u64 {
    (u64::from(dead.id.0) + 1) | u64::from(dead.counter) << 32
}

impl LaneOwner {
    pub fn word(self) -> u64 {
        match self {
            LaneOwner::Free => 0,
            LaneOwner::Active(Tenure { id, counter }) => {
                1 | u64::from(id.0) << 8 | u64::from(counter) << 32
            }
            LaneOwner::Parked(Tenure { id, counter }) => {
                2 | u64::from(id.0) << 8 | u64::from(counter) << 32
            }
        }
    }

    /// `None`: no version of this crate writes such a word.
    pub fn of(word: u64) -> Option<LaneOwner> {
        let tenure = ParticipantId((word >> 8) as u16).since((word >> 32) as u32);
        let owner = match word & 0xff {
            0 => LaneOwner::Free,
            1 => LaneOwner::Active(tenure),
            2 => LaneOwner::Parked(tenure),
            _ => return None,
        };
        let is_possible = usize::from(tenure.id.0) < MAX_PARTICIPANTS;
        (is_possible && owner.word() == word).then_some(owner)
    }

    pub fn tenure(self) -> Option<Tenure> {
        match self {
            LaneOwner::Free => None,
            LaneOwner::Active(tenure) | LaneOwner::Parked(tenure) => Some(tenure),
        }
    }
}

/// Why no lane could be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoLane {
    /// All are taken.
    TooMany,
    /// The file system has no room for the lane's record.
    NoSpace,
}

/// Takes a lane for a thread of the participant `tenure`. Lock-free: a lost CAS means that another got
/// that one.
///
/// Dead after the CAS: the lane is the dead participant's, as its word says, and empty.
pub fn take(arena: &Arena, tenure: Tenure) -> Result<LaneId, NoLane> {
    let high = &arena.header().lanes_high;
    for lane in 1..MAX_LANES as u64 {
        let id = LaneId(lane as u16);
        let mut seen = high.load(Acquire);
        if lane >= seen {
            let record = arena.layout().lanes + lane * Layout::lane_stride();
            arena.mapping().back(record, Layout::lane_stride()).map_err(|_| NoLane::NoSpace)?;
            // Backed before the number is raised (Release; `Arena::lanes` reads it with Acquire):
            // who looks at lanes below it touches backed pages only.
            while seen <= lane {
                match high.compare_exchange(seen, lane + 1, AcqRel, Acquire) {
                    Ok(_) => break,
                    Err(now) => seen = now,
                }
            }
        }
        let record = arena.lane(id);
        let owner = &record.owner;
        // Acquire pairs with the Release of `give_back`: what the last holder left in the record.
        if owner.load(Acquire) == LaneOwner::Free.word()
            && owner
                .compare_exchange(
                    LaneOwner::Free.word(),
                    LaneOwner::Active(tenure).word(),
                    AcqRel,
                    Acquire,
                )
                .is_ok()
        {
            record.clear();
            return Ok(id);
        }
    }
    Err(NoLane::TooMany)
}

/// Gives back a lane that owns nothing any more: no slab, no pin, no journal.
pub fn give_back(arena: &Arena, lane: LaneId) {
    arena.lane(lane).owner.store(LaneOwner::Free.word(), Release);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn owners_come_back_as_they_went() {
        let p = ParticipantId(511).since(u32::MAX);
        for owner in [LaneOwner::Free, LaneOwner::Active(p), LaneOwner::Parked(p)] {
            assert_eq!(LaneOwner::of(owner.word()), Some(owner));
        }
        assert_eq!(LaneOwner::of(3), None);
        assert_eq!(LaneOwner::of(1 | 512 << 8), None, "there are 512 participants");
        assert_eq!(LaneOwner::of(1 << 8), None, "Free has no participant");
    }

    #[test]
    fn whom_a_helper_is_at_is_told_apart_from_everybody_else_and_from_nobody() {
        let slots = [0, 1, 2, 255, 511].map(ParticipantId);
        let tenures = slots.map(|slot| [0, 1, 2, 1 << 16, u32::MAX].map(|times| slot.since(times)));
        let words: Vec<u64> = tenures.into_iter().flatten().map(helping_word).collect();
        let all: std::collections::HashSet<u64> = words.iter().copied().chain([0]).collect();
        assert_eq!(all.len(), words.len() + 1);
    }
}
