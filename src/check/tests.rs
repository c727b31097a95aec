//! Laws: a segment that only this crate wrote to is clean, whatever it went through. Each invariant
//! that is broken, by one word that is changed, is found and named; with the word as it was, the
//! segment is clean again.

use super::*;
use crate::heap::unit::{State, UNIT, Unit};
use crate::layout::{Header, MAX_PARTICIPANTS, SetId};
use crate::names::array::Slot;
use crate::names::entry::{Life, ObjectHeader};
use crate::process::journal::Intent;
use crate::process::lane::LaneOwner;
use crate::process::participant::{ParticipantId, ParticipantWord};
use crate::sync::{AtomicU8, AtomicU64, Relaxed};
use crate::{Offset, Options};
use core::alloc::Layout;
use core::mem::{forget, offset_of};

mod changes;
mod journals;
mod led;
mod moved;

/// A segment with something of everything in it.
struct Busy {
    segment: Segment,
    /// A raw run with a free unit behind it.
    raw_run: UnitIndex,
    private_run: UnitIndex,
    limbo_run: UnitIndex,
    raw_block: u64,
    unnamed: u64,
    /// Of a slab with room that nobody owns.
    orphan: UnitIndex,
    /// Of a thread that has ended, with a private block.
    parked: LaneId,
    /// An object that has a count, and its one lease.
    shared: u64,
    lease: u64,
}

fn anonymous() -> Segment {
    Options::new().capacity(1 << 20).create_anonymous().unwrap()
}

pub(super) fn raw(segment: &Segment, bytes: usize) -> u64 {
    segment.allocate(Layout::from_size_align(bytes, 8).unwrap()).unwrap().to_bits()
}

/// Runs `work` on a thread of its own, until that has parked its lane.
fn on_thread(segment: &Segment, work: impl FnOnce(&Segment) + Send + 'static) {
    let segment = segment.clone();
    std::thread::spawn(move || work(&segment)).join().unwrap();
}

fn busy() -> Busy {
    let segment = anonymous();
    for i in 0..300 {
        segment.construct(&format!("n{i:03}"), i as u64).unwrap();
    }
    for i in 250..260 {
        assert!(segment.destroy::<u64>(&format!("n{i:03}")).unwrap());
    }
    segment.construct_slice_default::<u8>("slice", 5000).unwrap();
    segment.construct_slice_default::<u8>("run", 300_000).unwrap();
    segment.construct_unique(7u32).unwrap();
    let unnamed = segment.own(7u64).unwrap().publish().to_bits() - 16;
    segment.own_slice(100_000, |i| i as u8).unwrap().publish();
    segment.own_slice(1_000_000, |i| i as u8).unwrap().publish();
    forget(segment.own(9u64).unwrap());
    let private = segment.own_slice(300_000, |_| 1u8).unwrap();
    let private_run = UnitIndex::containing(segment.offset_of(private.as_ptr()).unwrap().to_bits());
    forget(private);
    for _ in 0..5000 {
        raw(&segment, 64);
    }
    let raw_block = raw(&segment, 100);
    // SAFETY: a block of so many bytes.
    unsafe { segment.attached().arena.at(raw_block).write_bytes(0xff, 100) };
    let raw_run = UnitIndex::containing(raw(&segment, 5 * UNIT));
    raw(&segment, 6 * UNIT);
    let limbo = segment.construct_slice_default::<u8>("limbo", 300_000).unwrap();
    let limbo_run = UnitIndex::containing(limbo.offset().to_bits());
    forget(limbo); // its pin stays
    assert!(segment.destroy::<u8>("limbo").unwrap());
    let small = segment.construct("small-limbo", 1u8).unwrap();
    forget(small);
    assert!(segment.destroy::<u8>("small-limbo").unwrap());
    on_thread(&segment, |segment| drop((0..10).map(|_| raw(segment, 400)).collect::<Vec<_>>()));
    on_thread(&segment, |segment| forget(segment.own([1u64; 100]).unwrap()));
    // Another participant, that has gone.
    let descriptor = segment.as_fd().try_clone_to_owned().unwrap();
    drop(Segment::open_fd(descriptor).unwrap());
    let shared = crate::collections::Arc::new_in(7u64, &segment);
    let [shared, lease] = {
        let lease = crate::word::Word::from_bits(
            // SAFETY: it is a word.
            unsafe { core::mem::transmute::<crate::collections::Arc<u64>, u64>(shared) },
        );
        // SAFETY: the block of a lease that nobody gives up.
        [unsafe { (*lease.address::<AtomicU64>()).load(Relaxed) }, lease.offset()]
    };
    let arena = &segment.attached().arena;
    let orphan =
        arena.units().find(|unit| matches!(arena.unit(*unit), Some(Unit::Orphan { .. }))).unwrap();
    let is_parked = |owner: &AtomicU64| {
        matches!(LaneOwner::of(owner.load(Relaxed)), Some(LaneOwner::Parked(_)))
    };
    let parked = arena.lanes().find(|(_, record)| is_parked(&record.owner)).unwrap().0;
    let freed = Offset::from_bits(raw(&segment, 12 * UNIT)).unwrap();
    segment.deallocate(freed).unwrap();
    let shrunk = Offset::from_bits(raw_run.offset()).unwrap();
    assert!(segment.resize_in_place(shrunk, 4 * UNIT).unwrap().is_some());
    Busy {
        raw_run,
        private_run,
        limbo_run,
        raw_block,
        unnamed,
        orphan,
        parked,
        shared,
        lease,
        segment,
    }
}

/// A change of one word or set, and how it is undone.
struct Plant<'b> {
    apply: Box<dyn Fn() + 'b>,
    undo: Box<dyn Fn() + 'b>,
}

impl Busy {
    fn arena(&self) -> &Arena {
        &self.segment.attached().arena
    }

    fn word_at(&self, offset: u64) -> &AtomicU64 {
        // SAFETY: inside the mapping and aligned, as each caller chooses it.
        unsafe { &*self.arena().at(offset).cast() }
    }

    fn unit(&self, unit: UnitIndex, now: Unit) -> Plant<'_> {
        set(self.arena().unit_word(unit), now.word())
    }

    fn free_unit(&self) -> UnitIndex {
        let arena = self.arena();
        let behind_the_run = self.raw_run.plus(4);
        let is_free =
            |unit: &UnitIndex| arena.unit(*unit) == Some(Unit::Free) && *unit != behind_the_run;
        arena.units().find(is_free).unwrap()
    }

    /// An owned slab whose states lie in it, with its class.
    fn slabs(&self) -> Vec<(UnitIndex, Unit)> {
        let arena = self.arena();
        let is_slab = |unit: Option<Unit>| {
            unit.filter(|unit| matches!(unit, Unit::Slab { class, .. } if !class.cut().dense))
        };
        arena.units().filter_map(|unit| Some((unit, is_slab(arena.unit(unit))?))).collect()
    }

    fn state(&self, block: u64) -> &AtomicU8 {
        let crate::heap::PlaceKind::Slab(block, _) =
            crate::heap::locate(self.arena(), block).unwrap().kind
        else {
            panic!("a block of a slab")
        };
        // SAFETY: the state of a block of a slab.
        unsafe { &*self.arena().states(block.head, block.class).add(block.index as usize) }
    }

    fn current(&self) -> crate::names::array::Array<'_> {
        crate::names::array::Array::at(
            self.arena(),
            self.arena().header().names_current.load(Relaxed),
        )
        .unwrap()
    }

    /// The entry of a name.
    fn entry(&self, name: &str) -> u64 {
        let mut entries = self.current().entries_in_slots(self.arena());
        entries
            .find_map(|entry| entry.ok().filter(|entry| entry.name() == name.as_bytes()))
            .unwrap()
            .offset
    }

    fn object(&self, name: &str) -> u64 {
        self.word_at(self.entry(name)).load(Relaxed)
    }

    fn slot_of(&self, name: &str) -> &AtomicU64 {
        let (array, wanted) = (self.current(), self.entry(name));
        let leads = |slot: &u64| matches!(Slot::of(array.slot(*slot).load(Relaxed)), Slot::Entry { entry, .. } if entry == wanted);
        array.slot((0..array.len()).find(leads).unwrap())
    }

    fn life(&self, object: u64, change: impl Fn(Life) -> Life) -> Plant<'_> {
        let word = self.word_at(object + offset_of!(ObjectHeader, life) as u64);
        set(word, change(Life::of(word.load(Relaxed))).word())
    }

    fn removed(&self, id: SetId, unit: UnitIndex) -> Plant<'_> {
        let (set, unit) = (self.arena().set(id), unit.0 as usize);
        assert!(set.contains(unit));
        Plant {
            apply: Box::new(move || set.remove(unit)),
            undo: Box::new(move || set.insert(unit)),
        }
    }

    fn participant(&self, slot: usize) -> &AtomicU64 {
        &self.arena().participants()[slot].word
    }

    fn owner(&self, lane: LaneId) -> &AtomicU64 {
        &self.arena().lane(lane).owner
    }

    fn journal(&self, lane: LaneId) -> &AtomicU64 {
        // SAFETY: the journal's first word is its kind.
        unsafe { &*(&raw const self.arena().lane(lane).journal).cast() }
    }
}

fn set(word: &AtomicU64, value: u64) -> Plant<'_> {
    let was = word.load(Relaxed);
    assert_ne!(was, value);
    let store = move |value| move || word.store(value, crate::sync::SeqCst);
    Plant { apply: Box::new(store(value)), undo: Box::new(store(was)) }
}

fn set_byte(byte: &AtomicU8, value: u8) -> Plant<'_> {
    let was = byte.load(Relaxed);
    assert_ne!(was, value);
    let store = move |value| move || byte.store(value, crate::sync::SeqCst);
    Plant { apply: Box::new(store(value)), undo: Box::new(store(was)) }
}

pub(super) fn assert_clean(segment: &Segment, when: &str) {
    let report = segment.check().unwrap();
    assert!(report.is_clean(), "{when}: {report}");
}

const NOT_TAKEN: LaneId = LaneId(4000);

/// By kind, each way in which it is broken.
fn plants(busy: &Busy) -> Vec<(FindingKind, Vec<Plant<'_>>)> {
    use FindingKind as K;
    let arena = busy.arena();
    let header = arena.header();
    let (raw_run, free) = (busy.raw_run, busy.free_unit());
    let run = |len| Unit::Run { len, lane: LaneId(1), state: State::Raw };
    let (slab, Unit::Slab { class, lane, slot }) = busy.slabs()[0] else { panic!("a slab") };
    let twin = busy.slabs().into_iter().find_map(|(unit, other)| match other {
        Unit::Slab { class: c, lane: l, slot: s } if (l, s) != (lane, slot) || c != class => busy
            .slabs()
            .into_iter()
            .find(|(at, third)| {
                *at != unit
                    && matches!(third, Unit::Slab { class: d, lane: m, .. } if *d == c && *m == l)
            })
            .map(|(at, _)| (at, Unit::Slab { class: c, lane: l, slot: s })),
        _ => None,
    });
    let (twin, twin_word) = twin.expect("two slabs of a class");
    let Some(Unit::Orphan { class: orphan_class }) = arena.unit(busy.orphan) else {
        panic!("an orphan")
    };
    let orphan_states = arena.states(busy.orphan, orphan_class);
    // SAFETY: states of blocks of these slabs; behind the last one there is one more.
    let (behind, in_orphan) = unsafe {
        let free = (0..orphan_class.cut().count as usize)
            .find(|i| (*orphan_states.add(*i)).load(Relaxed) == 0);
        (
            &*arena.states(slab, class).add(class.cut().count as usize),
            &*orphan_states.add(free.unwrap()),
        )
    };
    let array = busy.current();
    let displaced = (0..array.len()).find(|slot| {
        let home = |slot: u64| match Slot::of(array.slot(slot).load(Relaxed)) {
            Slot::Entry { entry, .. } => Some(
                crate::names::entry::Entry::at(arena, entry).unwrap().key(arena).unwrap().hash
                    & (array.len() - 1),
            ),
            _ => None,
        };
        home(*slot) == Some(slot.wrapping_sub(1) & (array.len() - 1))
            && home(slot.wrapping_sub(1)).is_some()
    });
    let displaced = displaced.expect("a table with collisions");
    let vacant = (0..array.len()).find(|slot| array.slot(*slot).load(Relaxed) == 0).unwrap();
    let (one, other) = (busy.entry("n001"), busy.entry("n002"));
    let top = arena.layout().set_levels(SetId::Free).nth(2).unwrap().0;
    let dead = |slot| set(busy.participant(slot), ParticipantWord::Dead { counter: 1 }.word());
    let lock = busy.object("n003");
    let u64_count = |count| busy.life(busy.object("n003"), move |life| Life { count, ..life });
    let count = busy.word_at(busy.shared + crate::trace::lease::COUNT);
    // The block beside it is at hand, or free.
    let free_lease = || {
        let state = busy.state(busy.lease + 16);
        let was = state.load(Relaxed);
        let store = move |value| move || state.store(value, crate::sync::SeqCst);
        Plant { apply: Box::new(store(State::Free as u8)), undo: Box::new(store(was)) }
    };
    // SAFETY: the tally's first word is its turn.
    let tally = unsafe { &*(&raw const arena.lane(busy.parked).tally).cast::<AtomicU64>() };
    vec![
        (K::Header, vec![set(busy.word_at(offset_of!(Header, asked) as u64), 0)]),
        (K::Header, vec![set(busy.word_at(offset_of!(Header, fingerprint) as u64), 1)]),
        (K::Header, vec![set(&header.participants_high, MAX_PARTICIPANTS as u64 + 1)]),
        (K::Header, vec![set(&header.lanes_high, 0)]),
        (K::Header, vec![set(&header.frontier, arena.layout().units + 1)]),
        (
            K::Header,
            vec![set(&header.names_oldest, crate::layout::oldest_word(array.offset, 9999))],
        ),
        (K::Participant, vec![set(busy.participant(1), 0xf)]),
        (
            K::Participant,
            vec![set(busy.participant(40), ParticipantWord::Dead { counter: 1 }.word())],
        ),
        (K::DeadProcess, vec![dead(1)]),
        (K::LaneOwner, vec![set(busy.owner(busy.parked), 0x77)]),
        (
            K::LaneOwner,
            vec![set(
                busy.owner(busy.parked),
                LaneOwner::Active(ParticipantId(40).since(0)).word(),
            )],
        ),
        (
            K::LaneOwner,
            vec![set(
                busy.owner(busy.parked),
                LaneOwner::Active(ParticipantId(9999).since(0)).word(),
            )],
        ),
        (K::Hazard, vec![set(&arena.lane(busy.parked).hazards[255], 0x1230)]),
        (K::Hazard, vec![set(&arena.lane(busy.parked).hazards_high, 300)]),
        (K::Hazard, vec![set(&arena.lane(LaneId(1)).hazards[200], busy.unnamed)]),
        (K::Hazard, vec![set(&arena.lane(busy.parked).array, array.offset)]),
        (K::Reading, vec![set(arena.lane(busy.parked).reads[0].word(), 1 << 44 | 0x1230)]),
        (K::Reading, vec![set(arena.lane(busy.parked).reads[7].word(), 1 << 44 | (lock + 4))]),
        (K::Reading, vec![set(arena.lane(busy.parked).reads[3].word(), lock)]),
        (
            K::Reading,
            vec![
                set(busy.owner(busy.parked), LaneOwner::Free.word()),
                set(arena.lane(busy.parked).reads[1].word(), 1 << 44 | lock),
            ],
        ),
        (K::Journal, vec![set(busy.journal(busy.parked), 9)]),
        (K::Journal, vec![set(busy.journal(busy.parked), 1)]),
        (K::UnitWord, vec![set(arena.unit_word(free), 0xf)]),
        (K::UnitWord, vec![set(arena.unit_word(arena.frontier().plus(3)), 0x12)]),
        (K::Extent, vec![busy.unit(raw_run, run(1 << 27))]),
        (K::Extent, vec![busy.unit(raw_run, run(0))]),
        (K::Overlap, vec![busy.unit(raw_run, run(5))]),
        (K::Overlap, vec![busy.unit(raw_run.plus(2), Unit::Free)]),
        (K::Tail, vec![busy.unit(raw_run.plus(2), Unit::Tail { back: 1, lane: LaneId(1) })]),
        (K::Claim, vec![busy.unit(free, Unit::Claimed { lane: NOT_TAKEN })]),
        (K::Claim, vec![busy.unit(raw_run, run(3))]),
        (K::Claim, vec![busy.unit(free, Unit::Claimed { lane: busy.parked })]),
        (K::Claim, vec![busy.unit(free, Unit::Freeing { len: 1, lane: NOT_TAKEN })]),
        (
            K::Claim,
            vec![busy.unit(free, Unit::Run { len: 1, lane: NOT_TAKEN, state: State::Limbo })],
        ),
        (K::Owner, vec![busy.unit(slab, Unit::Slab { class, lane: NOT_TAKEN, slot })]),
        (K::Owner, vec![busy.unit(twin, twin_word)]),
        (
            K::Owner,
            vec![busy.unit(
                busy.private_run,
                Unit::Run { len: 5, lane: NOT_TAKEN, state: State::Private },
            )],
        ),
        (
            K::Owner,
            vec![busy.unit(free, Unit::Run { len: 1, lane: NOT_TAKEN, state: State::Private })],
        ),
        (K::BlockState, vec![set_byte(busy.state(busy.raw_block), 9)]),
        (K::BlockState, vec![set_byte(in_orphan, State::Private as u8)]),
        (K::BlockState, vec![set_byte(behind, State::Raw as u8)]),
        (K::FreeSet, vec![busy.removed(SetId::Free, free)]),
        (K::FreeSet, vec![set(busy.word_at(top), 0)]),
        (K::FreeSet, vec![busy.unit(raw_run.plus(3), Unit::Free), busy.unit(raw_run, run(3))]),
        (K::OrphanSet, vec![busy.removed(SetId::Orphans(orphan_class), busy.orphan)]),
        (K::LimboSet, vec![busy.removed(SetId::LimboRuns, busy.limbo_run)]),
        (K::ForeignHint, vec![foreign(arena, SetId::Free, arena.frontier().0 as usize)]),
        (K::ForeignHint, vec![foreign(arena, SetId::LimboRuns, arena.first_unit().0 as usize - 1)]),
        (K::Array, vec![set(&header.names_current, array.offset + 16)]),
        (K::Array, vec![set(array.next(), array.offset)]),
        (K::Array, vec![set(array.next(), 12)]),
        (K::Array, vec![set_byte(busy.state(array.offset), State::Raw as u8)]),
        (K::Slot, vec![set(busy.slot_of("n001"), busy.slot_of("n001").load(Relaxed) ^ 1 << 50)]),
        (K::Slot, vec![set(busy.slot_of("n001"), busy.slot_of("n001").load(Relaxed) + 8)]),
        (K::Slot, vec![set(array.slot(vacant), busy.slot_of("n001").load(Relaxed))]),
        (K::Slot, vec![set_byte(busy.state(one), State::Limbo as u8)]),
        (K::Path, vec![set(array.slot(displaced.wrapping_sub(1)), 0)]),
        (K::Entry, vec![set(busy.word_at(one + 8), busy.word_at(one + 8).load(Relaxed) ^ 1 << 20)]),
        (K::Entry, vec![set(busy.word_at(one + 8), busy.word_at(one + 8).load(Relaxed) | 3 << 14)]),
        (K::Entry, vec![set(busy.word_at(one + 16), busy.word_at(one + 16).load(Relaxed) ^ 1)]),
        (
            K::TwoEntries,
            vec![
                set(busy.word_at(other + 8), busy.word_at(one + 8).load(Relaxed)),
                set(busy.word_at(other + 16), busy.word_at(one + 16).load(Relaxed)),
            ],
        ),
        (K::Value, vec![set(busy.word_at(one), busy.object("n001") + 8)]),
        (K::Value, vec![set(busy.word_at(one), u64::MAX)]),
        (K::Value, vec![set_byte(busy.state(busy.object("slice")), State::Raw as u8)]),
        (K::Object, vec![busy.life(busy.object("n003"), |life| Life { named: false, ..life })]),
        (
            K::Object,
            vec![busy.life(busy.object("n003"), |life| Life { retired_by: LaneId(1), ..life })],
        ),
        (
            K::Object,
            vec![busy.life(busy.object("n003"), |life| Life { retired_by: LaneId(9999), ..life })],
        ),
        (K::Object, vec![u64_count(5)]),
        // Its entry stands there.
        (K::Object, vec![u64_count(2)]),
        (
            K::Object,
            vec![busy.life(busy.object("slice"), |life| Life { with_entry: true, ..life })],
        ),
        (K::Slot, vec![busy.life(busy.object("n003"), |life| Life { with_entry: false, ..life })]),
        // Of its object nothing is left but the block, which is the entry's.
        (K::Block, vec![set(busy.slot_of("n255"), 1)]),
        (K::Object, vec![u64_count((1 << 47) - 1)]),
        (K::TwoNames, vec![set(busy.word_at(other), busy.object("n001"))]),
        (K::Block, vec![set(busy.word_at(one), 0)]),
        (K::Block, vec![set_byte(busy.state(busy.raw_block), State::Published as u8)]),
        (K::Block, vec![busy.life(busy.unnamed, |life| Life { named: true, ..life })]),
        (K::Block, vec![busy.life(busy.unnamed, |life| Life { retired_by: LaneId(1), ..life })]),
        (K::Block, vec![set(busy.slot_of("n001"), 1)]),
        (K::Part, vec![set_byte(busy.state(busy.raw_block), State::Part as u8)]),
        (
            K::Part,
            vec![busy.unit(raw_run, Unit::Run { len: 4, lane: LaneId(1), state: State::Part })],
        ),
        (K::Part, vec![busy.life(busy.object("n003"), |life| Life { has_parts: true, ..life })]),
        (K::Lease, vec![set(count, count.load(Relaxed) + (1 << 36))]),
        (K::Lease, vec![set(count, count.load(Relaxed) - (1 << 36))]),
        (K::Lease, vec![set(busy.word_at(busy.lease), 0)]),
        (K::Lease, vec![set(busy.word_at(busy.lease), busy.unnamed)]),
        (K::Lease, vec![set(busy.word_at(busy.lease), u64::MAX)]),
        (K::Lease, vec![set(busy.word_at(busy.lease + 16), busy.shared), free_lease()]),
        (K::Lease, vec![set_byte(busy.state(busy.lease), State::Published as u8)]),
        (K::Lease, vec![set(tally, tally.load(Relaxed) | 1)]),
        (K::Object, vec![busy.life(busy.object("n003"), |life| Life { counted: true, ..life })]),
        (K::Accounting, vec![busy.unit(raw_run, run(5))]),
    ]
}

fn foreign(arena: &Arena, id: SetId, unit: usize) -> Plant<'_> {
    let set = arena.set(id);
    Plant { apply: Box::new(move || set.insert(unit)), undo: Box::new(move || set.remove(unit)) }
}

#[test]
fn each_broken_invariant_is_named() {
    let busy = busy();
    assert_clean(&busy.segment, "before");
    let plants = plants(&busy);
    for (number, (kind, plants)) in plants.iter().enumerate() {
        plants.iter().for_each(|plant| (plant.apply)());
        let report = busy.segment.check().unwrap();
        plants.iter().rev().for_each(|plant| (plant.undo)());
        let severity =
            if *kind == FindingKind::DeadProcess { Severity::Leftover } else { Severity::Damage };
        let is_named =
            report.findings.iter().any(|found| found.kind == *kind && found.severity == severity);
        assert!(is_named, "{kind:?}, planted as number {number}: {report}");
        assert!(!report.is_clean());
        assert_clean(&busy.segment, &format!("after {kind:?}, number {number}"));
    }
    for kind in FindingKind::ALL {
        assert!(plants.iter().any(|(planted, _)| planted == kind), "{kind:?} is never planted");
    }
}

#[test]
fn findings_say_where() {
    let busy = busy();
    let find = |plants: Vec<Plant<'_>>, kind: FindingKind| {
        plants.iter().for_each(|plant| (plant.apply)());
        let report = busy.segment.check().unwrap();
        plants.iter().rev().for_each(|plant| (plant.undo)());
        report.findings.into_iter().find(|found| found.kind == kind).expect("a finding").place
    };
    let free = busy.free_unit();
    assert_eq!(
        find(vec![set(busy.arena().unit_word(free), 0xf)], FindingKind::UnitWord),
        FindingPlace::Unit(free.0)
    );
    let hazard = &busy.arena().lane(busy.parked).hazards[3];
    assert_eq!(find(vec![set(hazard, 16)], FindingKind::Hazard), FindingPlace::Lane(busy.parked.0));
    let value = busy.word_at(busy.entry("n007"));
    assert_eq!(find(vec![set(value, 8)], FindingKind::Value), FindingPlace::Name("n007".into()));
    let unlinked = busy.object("n007");
    assert_eq!(find(vec![set(value, 0)], FindingKind::Block), FindingPlace::Offset(unlinked));
}

#[test]
fn what_the_dead_left_is_no_damage() {
    let busy = busy();
    let (free, parked) = (busy.free_unit(), busy.parked);
    let tail = busy.raw_run.plus(4);
    assert_eq!(busy.arena().unit(tail), Some(Unit::Free));
    // The lane of the thread that ended becomes that of a dead process, with all kinds of things.
    let journal = &busy.arena().lane(parked).journal;
    let plants = [
        set(busy.participant(1), ParticipantWord::Dead { counter: 1 }.word()),
        set(busy.owner(parked), LaneOwner::Active(ParticipantId(1).since(1)).word()),
        busy.unit(free, Unit::Claimed { lane: parked }),
        busy.unit(tail, Unit::Tail { back: 4, lane: parked }),
        set(&busy.arena().lane(parked).hazards_high, 2),
        set(&busy.arena().lane(parked).hazards[0], busy.unnamed),
        set(&busy.arena().lane(parked).hazards[1], busy.object("n005")),
        set(&busy.arena().lane(parked).array, busy.current().offset),
        busy.removed(SetId::LimboRuns, busy.limbo_run),
        Plant {
            apply: Box::new(|| {
                journal.open(Intent::Destroy {
                    entry: busy.entry("n005"),
                    object: busy.object("n005"),
                })
            }),
            undo: Box::new(|| journal.close()),
        },
        busy.life(busy.object("n005"), |life| Life { retired_by: parked, ..life }),
    ];
    plants.iter().for_each(|plant| (plant.apply)());
    let report = busy.segment.check().unwrap();
    plants.iter().rev().for_each(|plant| (plant.undo)());
    assert_eq!(report.damages().count(), 0, "{report}");
    let mut kinds: Vec<_> = report.leftovers().map(|finding| finding.kind).collect();
    kinds.dedup();
    for kind in [
        FindingKind::DeadProcess,
        FindingKind::Claim,
        FindingKind::Journal,
        FindingKind::LimboSet,
        FindingKind::Object,
    ] {
        assert!(kinds.contains(&kind), "{kind:?}: {report}");
    }
    assert_clean(&busy.segment, "after");
}

#[test]
fn what_is_under_way_is_a_note() {
    let busy = busy();
    let free = busy.free_unit();
    let object = busy.object("n009");
    // As if the thread that ended were in the middle of something.
    let lane = busy.parked;
    let journal = &busy.arena().lane(lane).journal;
    let plants = [
        set(busy.owner(lane), LaneOwner::Active(ParticipantId(0).since(0)).word()),
        busy.unit(free, Unit::Claimed { lane }),
        busy.life(object, |life| Life { retired_by: lane, ..life }),
        Plant {
            apply: Box::new(|| journal.open(Intent::Destroy { entry: busy.entry("n009"), object })),
            undo: Box::new(|| journal.close()),
        },
    ];
    plants.iter().for_each(|plant| (plant.apply)());
    let report = busy.segment.check().unwrap();
    plants.iter().rev().for_each(|plant| (plant.undo)());
    assert!(report.is_clean(), "{report}");
    for kind in
        [FindingKind::Claim, FindingKind::Journal, FindingKind::Object, FindingKind::ForeignHint]
    {
        assert!(report.notes.iter().any(|note| note.kind == kind), "{kind:?}: {report}");
    }
}

#[test]
fn what_is_given_back_may_have_units_of_others_in_it_already() {
    let busy = busy();
    let (head, lane) = (busy.raw_run, busy.parked);
    assert_eq!(busy.arena().unit(head).map(Unit::length), Some(4));
    let whose = LaneOwner::Active(ParticipantId(0).since(0)).word();
    let others = Unit::Run { len: 1, lane: LaneId(1), state: State::Raw };
    // Its maker is gone, and who goes on with it after that one's death has come to the second tail.
    let plants = [
        set(busy.owner(lane), whose),
        busy.unit(head, Unit::Freeing { len: 4, lane }),
        busy.unit(head.plus(1), others),
        busy.unit(head.plus(2), Unit::Tail { back: 2, lane: NOT_TAKEN }),
        busy.unit(head.plus(3), Unit::Tail { back: 3, lane: NOT_TAKEN }),
    ];
    plants.iter().for_each(|plant| (plant.apply)());
    let report = busy.segment.check().unwrap();
    plants.iter().rev().for_each(|plant| (plant.undo)());
    assert!(report.is_clean(), "{report}");
    assert!(report.notes.iter().any(|note| note.kind == FindingKind::Claim), "{report}");
}

#[test]
fn fresh_busy_trimmed_and_emptied_segments_are_clean() {
    let segment = anonymous();
    assert_clean(&segment, "fresh");
    let fresh = segment.stats().unwrap();
    for round in 0..3 {
        for i in 0..2000 {
            segment.construct(&format!("{round}-{i}"), [i as u64; 5]).unwrap();
        }
        assert_clean(&segment, "full");
        for i in 0..2000 {
            assert!(segment.destroy::<[u64; 5]>(&format!("{round}-{i}")).unwrap());
        }
        assert_clean(&segment, "emptied");
        segment.trim().unwrap();
        assert_clean(&segment, "trimmed");
    }
    let now = segment.stats().unwrap();
    assert_eq!(now.names.entries, 0);
    assert_eq!(now.total, fresh.total);
}

#[test]
fn nothing_false_is_found_beside_threads_at_work() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let segment = anonymous();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (segment, stop) = (&segment, &stop);
            scope.spawn(move || {
                let mut round = 0u64;
                while !stop.load(Ordering::Relaxed) {
                    round += 1;
                    let name = format!("{}", round % 97 * 3 + thread);
                    let _ = segment.find_or_construct(&name, || round).unwrap();
                    let big = segment
                        .own_slice(100_000 + (round % 7) as usize * 40_000, |_| 0u8)
                        .unwrap();
                    let small = segment.own(round).unwrap().publish();
                    drop(big);
                    let _ = segment.destroy::<u64>(&name).unwrap();
                    segment.destroy_at(small).unwrap();
                    if round.is_multiple_of(50) {
                        segment.trim().unwrap();
                    }
                }
            });
        }
        for _ in 0..40 {
            let report = segment.check().unwrap();
            assert!(report.is_clean(), "{report}");
            let stats = segment.stats().unwrap();
            assert_eq!(stats.free + stats.used, stats.total);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_clean(&segment, "at rest");
}
