//! Units of 64 KiB and the word that says what each is.
//!
//! The word is the whole truth about its unit; each change of ownership is one CAS of it. The truth
//! about a run, or about a slab of several units, is its head's length: a tail's label only says
//! "not free, my head lies so far below, claimed by that lane".

use super::size_class::ClassId;
use crate::layout::MAX_LANES;
use core::fmt;

pub const UNIT_SHIFT: u32 = 16;
/// Bytes of a unit.
pub const UNIT: usize = 1 << UNIT_SHIFT;

/// Number of a unit, counted from the segment's start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct UnitIndex(pub u32);

impl UnitIndex {
    #[inline(always)]
    pub fn containing(offset: u64) -> UnitIndex {
        UnitIndex((offset >> UNIT_SHIFT) as u32)
    }
    /// Bytes from the segment's start.
    #[inline(always)]
    pub fn offset(self) -> u64 {
        u64::from(self.0) << UNIT_SHIFT
    }
    pub fn plus(self, units: u32) -> UnitIndex {
        UnitIndex(self.0 + units)
    }
}

impl fmt::Display for UnitIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unit {}", self.0)
    }
}

/// Number of a lane, from 1; 0 is nobody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LaneId(pub u16);

impl LaneId {
    pub const NOBODY: LaneId = LaneId(0);
}

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lane {}", self.0)
    }
}

/// What a block of a run is to its holder; a slab's blocks say it in a state byte each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum State {
    /// The slab's owner may take it.
    Free = 0,
    /// Its process' alone; a death makes it Free.
    Private = 1,
    /// A typed object that was given to everybody.
    Published = 2,
    /// Freed, but not to be taken while any lane's hazard names it.
    Limbo = 3,
    /// Raw memory that was given to everybody.
    Raw = 6,
    /// A block that hangs on a published object: words in that one lead to it, and nothing else.
    Part = 10,
    /// An object with parts that was destroyed: they go when nobody looks at it any more.
    Doomed = 14,
}

impl State {
    #[inline(always)]
    pub fn of(byte: u8) -> Option<State> {
        match byte {
            0 => Some(State::Free),
            1 => Some(State::Private),
            2 => Some(State::Published),
            3 => Some(State::Limbo),
            6 => Some(State::Raw),
            10 => Some(State::Part),
            14 => Some(State::Doomed),
            _ => None,
        }
    }
}

/// What a unit is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Backed and nobody's (also what fresh memory says).
    Free,
    /// Nobody's, and its memory was given back: to be backed before use.
    Decommitted,
    /// A lane is making something of it.
    Claimed { lane: LaneId },
    /// The head of a slab that `lane` owns; `slot` is where the lane keeps its notes on it.
    Slab { class: ClassId, lane: LaneId, slot: u32 },
    /// The head of a slab that nobody owns.
    Orphan { class: ClassId },
    /// The head of a slab of the dead lane `of`, which `lane` is sweeping: nobody takes a block of it
    /// meanwhile, and the journals of the dead say what becomes of which block.
    Sweep { class: ClassId, lane: LaneId, of: LaneId },
    /// The head of a block of `len` units; `lane` made it (nobody: an ownerless Limbo).
    Run { len: u32, lane: LaneId, state: State },
    /// The head of a run or slab that `lane` is giving back.
    Freeing { len: u32, lane: LaneId },
    /// A further unit of what begins `back` units below; `lane` claimed it.
    Tail { back: u32, lane: LaneId },
}

const KIND: u64 = 0xf;
const LANE_SHIFT: u32 = 4;
const CLASS_SHIFT: u32 = 20;
const REST_SHIFT: u32 = 28;
/// The bits that say "slab of this lane": all that a holder who frees must compare.
pub const OWNER: u64 = (1 << CLASS_SHIFT) - 1;
const SLAB: u64 = 3;
const RUNS: [State; 6] =
    [State::Private, State::Published, State::Limbo, State::Raw, State::Part, State::Doomed];
const _: () = assert!(REST_SHIFT + 28 <= 64, "a run may span every unit");

/// The owner bits of a slab of `lane`.
pub const fn owner_tag(lane: LaneId) -> u64 {
    SLAB | (lane.0 as u64) << LANE_SHIFT
}

/// Whether a word names a slab that somebody owns.
#[inline(always)]
pub fn is_owned_slab(word: u64) -> bool {
    word & KIND == SLAB
}

/// The class field of a word that is known to name a slab.
#[inline(always)]
pub fn class_field(word: u64) -> Option<ClassId> {
    ClassId::new((word >> CLASS_SHIFT & 0xff) as usize)
}

/// The class field of a word that this lane wrote.
#[inline(always)]
pub fn class_code(word: u64) -> ClassId {
    ClassId::from_code((word >> CLASS_SHIFT) as u8)
}

/// The slot field of a word that is known to name a slab.
#[inline(always)]
pub fn slot_field(word: u64) -> u32 {
    (word >> REST_SHIFT) as u32
}

impl Unit {
    pub fn word(self) -> u64 {
        let pack = |kind: u64, lane: LaneId, class: usize, rest: u32| {
            kind | u64::from(lane.0) << LANE_SHIFT
                | (class as u64) << CLASS_SHIFT
                | u64::from(rest) << REST_SHIFT
        };
        match self {
            Unit::Free => 0,
            Unit::Decommitted => 1,
            Unit::Claimed { lane } => pack(2, lane, 0, 0),
            Unit::Slab { class, lane, slot } => pack(SLAB, lane, class.index(), slot),
            Unit::Orphan { class } => pack(4, LaneId::NOBODY, class.index(), 0),
            Unit::Run { len, lane, state } => {
                let state =
                    RUNS.iter().position(|s| *s == state).expect("a run is never in state Free");
                pack(5, lane, state, len)
            }
            Unit::Freeing { len, lane } => pack(6, lane, 0, len),
            Unit::Tail { back, lane } => pack(7, lane, 0, back),
            Unit::Sweep { class, lane, of } => pack(8, lane, class.index(), u32::from(of.0)),
        }
    }

    /// `None`: no version of this crate writes such a word.
    #[inline]
    pub fn of(word: u64) -> Option<Unit> {
        if word == 0 {
            return Some(Unit::Free); // most units of a large segment
        }
        let lane = LaneId((word >> LANE_SHIFT) as u16);
        let middle = (word >> CLASS_SHIFT & 0xff) as usize;
        let rest = u32::try_from(word >> REST_SHIFT).ok()?;
        // Fields that a kind does not have are 0.
        let unit = match word & KIND {
            1 if word == 1 => Unit::Decommitted,
            2 if word >> CLASS_SHIFT == 0 => Unit::Claimed { lane },
            SLAB => Unit::Slab { class: ClassId::new(middle)?, lane, slot: rest },
            4 if lane == LaneId::NOBODY && rest == 0 => {
                Unit::Orphan { class: ClassId::new(middle)? }
            }
            5 => Unit::Run { len: rest, lane, state: *RUNS.get(middle)? },
            6 if middle == 0 => Unit::Freeing { len: rest, lane },
            7 if middle == 0 => Unit::Tail { back: rest, lane },
            8 => {
                let of =
                    LaneId(u16::try_from(rest).ok().filter(|of| usize::from(*of) < MAX_LANES)?);
                Unit::Sweep { class: ClassId::new(middle)?, lane, of }
            }
            _ => return None,
        };
        ((lane.0 as usize) < MAX_LANES).then_some(unit)
    }

    /// Units that this head covers, itself among them; 0 if it is no head.
    pub fn length(self) -> u32 {
        match self {
            Unit::Slab { class, .. } | Unit::Orphan { class } | Unit::Sweep { class, .. } => {
                class.cut().span
            }
            Unit::Run { len, .. } | Unit::Freeing { len, .. } => len,
            _ => 0,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_as_they_went() {
        let (lane, class) = (LaneId(4095), ClassId::new(51).unwrap());
        let mut units = vec![
            Unit::Free,
            Unit::Decommitted,
            Unit::Claimed { lane },
            Unit::Slab { class, lane, slot: u32::MAX },
            Unit::Orphan { class },
            Unit::Freeing { len: 1 << 28, lane },
            Unit::Tail { back: (1 << 28) - 1, lane },
            Unit::Sweep { class, lane, of: LaneId(4094) },
        ];
        units.extend(RUNS.map(|state| Unit::Run { len: 1 << 28, lane, state }));
        for unit in units {
            assert_eq!(Unit::of(unit.word()), Some(unit));
        }
    }

    #[test]
    fn what_is_read_is_what_was_written_or_nothing() {
        let mut random = 1u64;
        for kind in 0..=KIND {
            for _ in 0..20_000 {
                // xorshift64 (Marsaglia, 2003)
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                // Few bits, each in some field or between them.
                for word in [random, random & random >> 9, random & random >> 9 & random << 21] {
                    let word = word & !KIND | kind;
                    assert!(Unit::of(word).is_none_or(|unit| unit.word() == word), "{word:#x}");
                }
            }
            for bit in 4..64 {
                let word = 1 << bit | kind;
                assert!(Unit::of(word).is_none_or(|unit| unit.word() == word), "{word:#x}");
            }
        }
    }

    #[test]
    fn no_other_word_is_a_unit() {
        for kind in 9..16 {
            assert_eq!(Unit::of(kind), None);
        }
        assert_eq!(Unit::of(1 << 4), None, "Free has no lane");
        assert_eq!(Unit::of(3 | 53 << 20), None, "there are 53 classes");
        assert_eq!(Unit::of(3 | 4096 << 4), None, "there are 4096 lanes");
        assert_eq!(Unit::of(8 | 4096 << 28), None, "there are 4096 lanes");
    }
}
