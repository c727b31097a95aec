//! What the fuzzer knows of a segment's bytes: where its tables lie, and how their words are packed; and
//! how it gets rid of a segment. Nothing here is an algorithm.

use crate::heap::size_class::{CLASS_COUNT, ClassId, LINE};
use crate::heap::unit::{LaneId, State, UNIT_SHIFT, Unit};
use crate::layout::{self, Header, Layout, MAX_LANES, MAX_PARTICIPANTS, SetId};
use crate::names::array::Slot;
use crate::names::entry::Life;
use crate::process::lane::{self, LaneOwner};
use crate::process::participant::{HeldBy, ParticipantId, ParticipantWord, Tenure};
use crate::segment::Segment;
use core::mem::offset_of;

/// Words that mean something, side by side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Area {
    /// What they are.
    pub name: &'static str,
    /// The first one's offset.
    pub at: u64,
    /// Bytes of all.
    pub bytes: u64,
}

/// The tables of a segment of `units` units, and its units; `None`: there is no such segment.
pub fn areas(units: u64) -> Option<Vec<Area>> {
    let layout = Layout::for_units(units).filter(|layout| layout.first_unit < units)?;
    let (first, count) = (layout.first_unit, units - layout.first_unit);
    let area = |name, at, bytes| Area { name, at, bytes };
    let frontier = offset_of!(Header, frontier) as u64;
    let mut areas = vec![
        area("fixed", 0, frontier),
        area("counts", frontier, size_of::<Header>() as u64 - frontier),
        area("participants", layout.participants, MAX_PARTICIPANTS as u64 * 64),
        area("lanes", layout.lanes, MAX_LANES as u64 * Layout::lane_stride()),
        area("unit words", layout.unit_words + first * 8, count * 8),
        area("doorbells", layout.doorbells + first * 8, count * 8),
        area("state lines", layout.state_lines + first * LINE as u64, count * LINE as u64),
        area("units", first << UNIT_SHIFT, count << UNIT_SHIFT),
    ];
    for set in SetId::all() {
        for (at, words, shift, _) in layout.set_levels(set) {
            areas.push(area("sets", at, 8 * words.min(1 << shift.min(32)) as u64));
        }
    }
    Some(areas)
}

/// Offsets of the words that lead to the table of names: the current array's, the oldest one's.
pub fn roots() -> [u64; 2] {
    [offset_of!(Header, names_current) as u64, offset_of!(Header, names_oldest) as u64]
}

/// The word of the header that says which layout it is.
pub fn fingerprint() -> u64 {
    Layout::fingerprint()
}

/// What the first word of a segment is.
pub fn magic() -> u64 {
    layout::MAGIC
}

/// Which format it is, and where the header says so: half a word.
pub fn version() -> (u64, u32) {
    (offset_of!(Header, version) as u64, layout::VERSION)
}

/// A unit's word of this kind.
pub fn unit_word(kind: u8, lane: u16, middle: u8, rest: u32) -> u64 {
    let class = ClassId::new(usize::from(middle) % CLASS_COUNT).expect("below the count");
    let (lane, small) = (LaneId(lane), rest % (1 << 28));
    let states =
        [State::Private, State::Published, State::Limbo, State::Raw, State::Part, State::Doomed];
    match kind % 9 {
        0 => Unit::Free,
        1 => Unit::Decommitted,
        2 => Unit::Claimed { lane },
        3 => Unit::Slab { class, lane, slot: rest },
        4 => Unit::Orphan { class },
        5 => Unit::Run { len: small, lane, state: states[usize::from(middle) % 6] },
        6 => Unit::Freeing { len: small, lane },
        7 => Unit::Tail { back: small, lane },
        _ => Unit::Sweep { class, lane, of: LaneId(rest as u16) },
    }
    .word()
}

/// A participant's word.
pub fn participant_word(kind: u8, counter: u32) -> u64 {
    match kind % 5 {
        0 => ParticipantWord::Free { counter },
        1 => ParticipantWord::Live { counter, held_by: HeldBy::Mapping },
        2 => ParticipantWord::Live { counter, held_by: HeldBy::Descriptor },
        3 => ParticipantWord::Dead { counter },
        _ => ParticipantWord::Closed { counter },
    }
    .word()
}

/// What a lane's record says of its owner.
pub fn owner_word(kind: u8, slot: u16, counter: u32) -> u64 {
    let tenure = ParticipantId(slot).since(counter);
    match kind % 3 {
        0 => LaneOwner::Free,
        1 => LaneOwner::Active(tenure),
        _ => LaneOwner::Parked(tenure),
    }
    .word()
}

/// What a lane's record says of whom its thread is helping.
pub fn helping_word(slot: u16, counter: u32) -> u64 {
    lane::helping_word(Tenure { id: ParticipantId(slot), counter })
}

/// An object's life.
pub fn life_word(count: u64, named: bool, retired_by: u16) -> u64 {
    Life { retired_by: LaneId(retired_by), ..Life::new(count, named) }.word()
}

/// A slot that leads to an entry.
pub fn slot_word(hash: u64, entry: u64) -> u64 {
    Slot::entry(hash, entry).word()
}

/// The oldest array of names, and who gives it back.
pub fn oldest_word(array: u64, lane: u16) -> u64 {
    layout::oldest_word(array, lane)
}

/// As [`Segment::close`], whatever this process has in the segment: that is lost, as by its death.
///
/// # Errors
/// The segment again, if another handle to it is left.
///
/// # Safety
/// This process uses no collection of the segment from here on, dropping included.
pub unsafe fn abandon(segment: Segment) -> Result<(), Segment> {
    // SAFETY: the caller's promise.
    unsafe { segment.abandon() }
}
