//! Laws: who opens a damaged segment follows nothing that it says to where nothing is, and takes away
//! nothing of others. Each is one that a fuzz target found broken, or would have.

use super::tests::raw;
use super::*;
use crate::Options;
use crate::heap::size_class::ClassId;
use crate::heap::unit::{State, UNIT, Unit};
use crate::layout::SetId;
use crate::names::entry::{ObjectHeader, Value};
use crate::sync::Relaxed;
use core::alloc::Layout;

/// A segment that one has damaged, and another opens.
fn damaged(damage: impl FnOnce(&Segment, &Arena)) -> Segment {
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    damage(&segment, &segment.attached().arena);
    let file = segment.as_fd().try_clone_to_owned().unwrap();
    core::mem::forget(segment); // it would act upon what it says now
    Segment::open_fd(file).unwrap()
}

fn finds(segment: &Segment, kind: FindingKind) -> bool {
    segment.check().unwrap().damages().any(|finding| finding.kind == kind)
}

/// A block of 80 KiB is of a slab of some units.
const WIDE: usize = 80 << 10;

#[test]
fn an_object_is_not_where_its_slab_has_no_units() {
    // Its head says that it is a slab of large blocks; the last unit in use is the one before the last.
    let class = ClassId::of(WIDE, 16).unwrap();
    let mut at = 0;
    let segment = damaged(|segment, arena| {
        let run = segment.own_slice(300_000, |_| 0u8).unwrap().publish();
        at = run.to_bits() - 16;
        let head = UnitIndex::containing(at);
        arena.header().frontier.store(u64::from(head.0) + 1, Relaxed);
        arena.unit_word(head).store(Unit::Orphan { class }.word(), Relaxed);
        arena.set(SetId::Orphans(class)).insert(head.0 as usize);
        let states = arena.states(head, class);
        // SAFETY: the states of blocks of that slab.
        unsafe { (*states).store(State::Published as u8, Relaxed) };
    });
    let offset = crate::Offset::from_bits(at + 16).unwrap();
    assert!(segment.resolve_slice::<u8>(offset).is_err(), "it has 300,000 bytes of 65,536");
    let arena = &segment.attached().arena;
    let block = segment.allocate_block(Layout::from_size_align(WIDE, 16).unwrap()).unwrap();
    let unit = UnitIndex::containing(block.offset());
    assert!(arena.holds(block.offset(), WIDE as u64), "the block is in units that may be touched");
    assert_ne!(unit, UnitIndex::containing(at), "who adopts a slab looks whether it is whole");
}

#[test]
fn sets_that_name_units_that_are_not_there_lead_nowhere() {
    let segment = damaged(|segment, arena| {
        segment.construct("kept", 1u64).unwrap();
        for set in SetId::all() {
            for unit in [arena.frontier().0, arena.layout().units as u32, 4095] {
                arena.set(set).insert(unit as usize);
            }
        }
    });
    raw(&segment, 64);
    raw(&segment, WIDE);
    segment.construct_slice_default::<u8>("run", 300_000).unwrap();
    assert!(segment.destroy::<u8>("run").unwrap());
    segment.trim().unwrap();
    assert_eq!(*segment.find::<u64>("kept").unwrap().unwrap(), 1);
    assert!(finds(&segment, FindingKind::ForeignHint));
}

#[test]
fn a_name_that_leads_into_a_block_of_another_takes_nothing_from_it() {
    let mut whole = 0;
    let segment = damaged(|segment, arena| {
        whole = segment.own_slice(100, |i| i as u64).unwrap().publish().to_bits() - 16;
        // What looks like an object, inside of another and where no block is.
        let life = crate::names::entry::Life::new(1, true);
        let free = raw(segment, 5 * UNIT);
        segment.deallocate(crate::Offset::from_bits(free).unwrap()).unwrap();
        for (name, object) in [("inside", whole + 32), ("nowhere", free)] {
            drop(segment.construct(name, 7u64).unwrap());
            arena.word(object).unwrap().store(life.word(), Relaxed);
            let current = arena.header().names_current.load(Relaxed);
            let array = crate::names::array::Array::at(arena, current).unwrap();
            let mut entries = array.entries_in_slots(arena).map(|entry| entry.ok().unwrap());
            let entry = entries.find(|entry| entry.name() == name.as_bytes()).unwrap();
            entry.word().store(Value::Live(object).word(), Relaxed);
        }
    });
    segment.clear().unwrap();
    let place = crate::heap::locate(&segment.attached().arena, whole).unwrap();
    let state = crate::heap::state_of(&segment.attached().arena, &place);
    assert_eq!(state, Some(State::Published), "the block of another is still its own");
}

#[test]
fn slabs_that_say_that_they_are_ours_are_not() {
    let mut block = 0;
    let segment = damaged(|segment, arena| {
        block = raw(segment, 64);
        let head = UnitIndex::containing(block);
        let Some(Unit::Slab { class, slot, .. }) = arena.unit(head) else { panic!("a slab") };
        // Of the lane that the next one to come takes.
        let word = Unit::Slab { class, lane: LaneId(2), slot: slot + 5 }.word();
        arena.unit_word(head).store(word, Relaxed);
        let run = UnitIndex::containing(raw(segment, 5 * UNIT));
        let private = Unit::Run { len: 5, lane: LaneId(2), state: State::Private };
        arena.unit_word(run).store(private.word(), Relaxed);
    });
    assert_eq!(segment.attached().arena.lanes().count(), 1);
    let report = segment.check().unwrap();
    let owners = report.damages().filter(|finding| finding.kind == FindingKind::Owner);
    assert_eq!(owners.count(), 2, "{report}");
    segment.deallocate(crate::Offset::from_bits(block).unwrap()).unwrap();
    segment.trim().unwrap(); // flushes the magazines
}

#[test]
fn a_run_that_says_that_it_is_longer_takes_no_units_of_others() {
    for shrinks in [false, true] {
        let (mut long, mut other) = (0, 0);
        let segment = damaged(|segment, arena| {
            long = raw(segment, 5 * UNIT);
            other = raw(segment, 6 * UNIT);
            assert_eq!(other, long + 5 * UNIT as u64, "neighbours");
            let run = Unit::Run { len: 11, lane: LaneId(1), state: State::Raw };
            arena.unit_word(UnitIndex::containing(long)).store(run.word(), Relaxed);
        });
        let offset = crate::Offset::from_bits(long).unwrap();
        if shrinks {
            segment.resize_in_place(offset, UNIT).unwrap();
        } else {
            segment.deallocate(offset).unwrap();
        }
        let other = crate::Offset::from_bits(other).unwrap();
        assert_eq!(segment.usable_size(other).unwrap(), 6 * UNIT);
        segment.deallocate(other).unwrap();
        let report = segment.check().unwrap();
        assert!(report.is_clean(), "{report}");
    }
}

#[test]
fn one_that_is_recovered_has_nothing_left() {
    use crate::process::participant::ParticipantWord;
    let segment = damaged(|segment, arena| {
        raw(segment, 64);
        let closed = ParticipantWord::Closed { counter: 0 };
        arena.participants()[0].word.store(closed.word(), Relaxed);
    });
    assert!(finds(&segment, FindingKind::Owner), "its slabs are nobody's");
}

#[test]
fn the_only_array_of_names_is_not_given_back() {
    let segment = damaged(|_, arena| {
        let (array, _) = crate::layout::oldest_of(arena.header().names_oldest.load(Relaxed));
        arena.header().names_oldest.store(crate::layout::oldest_word(array, 9), Relaxed);
    });
    assert!(finds(&segment, FindingKind::Array));
}

#[test]
fn a_lane_begins_with_a_record_at_rest() {
    let segment = damaged(|_, arena| {
        let first = arena.lane(LaneId(1));
        first.hazards_high.store(9999, Relaxed);
        let record = arena.lane(LaneId(2));
        record.hazards_high.store(9999, Relaxed);
        record.hazards[77].store(0x1230, Relaxed);
        record.reads[5].word().store(1 << 44 | 0x1230, Relaxed);
        record.array.store(0x1230, Relaxed);
    });
    assert!(finds(&segment, FindingKind::Hazard), "that of the lane that is in use");
    let arena = &segment.attached().arena;
    arena.lane(LaneId(1)).hazards_high.store(9, Relaxed);
    let report = segment.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_journal_takes_no_blocks_of_other_lanes() {
    use crate::process::journal::Intent;
    use crate::process::lane::LaneOwner;
    use crate::process::participant::{ParticipantId, ParticipantWord};
    let long = |i: usize| i as u8;
    // By a thread that has ended: nobody acts upon what is damaged below.
    let make = move || {
        let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
        drop(segment.construct("other", 2u64).unwrap());
        let small = segment.construct("small", 1u64).unwrap().offset().to_bits() - 16;
        let run = segment.construct_slice("run", 300_000, long).unwrap().offset().to_bits() - 16;
        let file = segment.as_fd().try_clone_to_owned().unwrap();
        core::mem::forget(segment);
        (file, small, run)
    };
    let (file, small, run) = std::thread::spawn(make).join().unwrap();
    let segment = Segment::open_fd(file).unwrap();
    let arena = &segment.attached().arena;
    let current = arena.header().names_current.load(Relaxed);
    let array = crate::names::array::Array::at(arena, current).unwrap();
    let mut entries = array.entries_in_slots(arena).map(|entry| entry.ok().unwrap());
    let entry = entries.find(|entry| entry.name() == b"other").unwrap().offset;
    // What the dead one has is of a lane of its own.
    let [slab, head] = [small, run].map(UnitIndex::containing);
    let lane = LaneId(10);
    let Some(Unit::Orphan { class }) = arena.unit(slab) else { panic!("its thread has ended") };
    arena.unit_word(slab).store(Unit::Slab { class, lane, slot: 0 }.word(), Relaxed);
    let len = arena.unit(head).unwrap().length();
    let published = Unit::Run { len, lane, state: State::Published };
    arena.unit_word(head).store(published.word(), Relaxed);
    // Two more lanes of the same process say that they were about to link blocks of that one.
    let owner = LaneOwner::Active(ParticipantId(0).since(0)).word();
    arena.lane(lane).owner.store(owner, Relaxed);
    for (lane, object) in [(11, small), (12, run)] {
        arena.lane(LaneId(lane)).owner.store(owner, Relaxed);
        arena.lane(LaneId(lane)).journal.open(Intent::Link { entry, object });
    }
    arena.header().lanes_high.store(13, Relaxed);
    arena.participants()[0].word.store(ParticipantWord::Dead { counter: 0 }.word(), Relaxed);
    assert_eq!(segment.recover().unwrap().lanes, 3);
    assert_eq!(*segment.find::<u64>("small").unwrap().unwrap(), 1);
    let run = segment.find_slice::<u8>("run").unwrap().unwrap();
    assert!(run.iter().enumerate().all(|(i, byte)| *byte == long(i)));
    let report = segment.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_value_that_must_be_valid_is_not_read_where_an_entry_may_overlap_it() {
    use crate::names::error::ObjectError;
    use crate::shareable::Shareable;
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    let object = segment.construct("flag", 1u8).unwrap().offset().to_bits() - 16;
    let header = ObjectHeader::at(&segment.attached().arena, object).unwrap();
    assert!(header.life().with_entry);
    header.fingerprint.store(bool::FINGERPRINT, Relaxed);
    for found in [
        segment.find::<bool>("flag").map(|found| found.is_some()),
        segment.find_slice::<bool>("flag").map(|found| found.is_some()),
    ] {
        assert!(matches!(found, Err(ObjectError::Corrupt { .. })), "{found:?}");
    }
    // As it is when it was constructed as that.
    segment.construct("true", true).unwrap();
    assert_eq!(segment.find::<bool>("true").unwrap().as_deref(), Some(&true));
}

#[test]
fn closing_gives_back_no_more_units_than_there_are() {
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    let arena = &segment.attached().arena;
    let private = segment.own_slice(300_000, |_| 0u8).unwrap();
    let head = UnitIndex::containing(segment.offset_of(private.as_ptr()).unwrap().to_bits());
    core::mem::forget(private);
    let run = Unit::Run { len: 1 << 26, lane: LaneId(1), state: State::Private };
    assert!(matches!(arena.unit(head), Some(Unit::Run { lane: LaneId(1), .. })));
    arena.unit_word(head).store(run.word(), Relaxed);
    let file = segment.as_fd().try_clone_to_owned().unwrap();
    drop(segment);
    assert!(finds(&Segment::open_fd(file).unwrap(), FindingKind::Extent));
}
