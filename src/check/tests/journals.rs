//! Laws: the journal of a dead process that says what can have been is a leftover; one by which
//! recovery would take something else is damage.

use super::*;
use crate::ObjectError;
use crate::names::entry::{Entry, Life, ObjectHeader, Value};
use crate::process::lane::LaneRecord;
use crate::process::pin::REAPER;

/// What is at hand to be named by a journal.
struct Things {
    entry: u64,
    object: u64,
    /// The entry of another name, its object, and the slot that leads to it.
    other: u64,
    other_object: u64,
    slot: u64,
    /// A named object that no name leads to any more.
    unlinked: u64,
    unnamed: u64,
    array: u64,
    /// An array that hangs nowhere.
    loose: u64,
}

/// What a lane keeps pinned while its journal says so.
fn pins(busy: &Busy, intent: Intent) -> Vec<Plant<'_>> {
    let record = busy.arena().lane(busy.parked);
    let block = |word| set(&record.hazards[0], word);
    let array = || set(&record.array, busy.current().offset);
    match intent {
        Intent::Link { .. } | Intent::Intern { .. } | Intent::Grow { .. } => vec![array()],
        Intent::Destroy { entry: 0, object } => vec![block(object)],
        Intent::Destroy { object, .. } => vec![block(object), array()],
        Intent::Fall { object: it, .. } | Intent::Change { draft: it, .. } => {
            vec![block(it | REAPER)]
        }
        Intent::Reap { .. } => Vec::new(),
    }
}

/// Whether check takes what the journal of a dead lane says for damage, where all blocks are in slabs of
/// that lane.
pub(super) fn is_damage(busy: &Busy, intent: Intent, more: &[Plant<'_>]) -> bool {
    let pins = pins(busy, intent);
    let more: Vec<&Plant<'_>> = pins.iter().chain(more).collect();
    is_damage_beside(busy, intent, &more)
}

/// The same, where nothing more is kept for the journal.
fn is_damage_beside(busy: &Busy, intent: Intent, more: &[&Plant<'_>]) -> bool {
    let (arena, lane) = (busy.arena(), busy.parked);
    let journal = &arena.lane(lane).journal;
    let labels = arena.units().filter_map(|unit| match arena.unit(unit) {
        Some(Unit::Slab { class, lane: of, .. }) if of != lane => {
            Some(busy.unit(unit, Unit::Slab { class, lane, slot: 1000 + unit.0 }))
        }
        _ => None,
    });
    let mut plants = vec![
        set(busy.participant(1), ParticipantWord::Dead { counter: 1 }.word()),
        set(busy.owner(lane), LaneOwner::Active(ParticipantId(1).since(1)).word()),
        Plant { apply: Box::new(move || journal.open(intent)), undo: Box::new(|| journal.close()) },
    ];
    plants.extend(labels);
    plants.iter().chain(more.iter().copied()).for_each(|plant| (plant.apply)());
    let report = busy.segment.check().unwrap();
    plants.iter().chain(more.iter().copied()).for_each(|plant| (plant.undo)());
    let of_journals = |finding: &&Finding| finding.kind == FindingKind::Journal;
    assert!(report.findings.iter().any(|finding| of_journals(&finding)), "{report}");
    report.damages().any(|finding| of_journals(&finding))
}

fn things(busy: &Busy) -> Things {
    let array = busy.current();
    let other = busy.entry("n006");
    let leads = |slot: &u64| matches!(Slot::of(array.slot(*slot).load(Relaxed)), Slot::Entry { entry, .. } if entry == other);
    let bytes = crate::names::array::Array::bytes(64);
    let loose = raw(&busy.segment, bytes);
    crate::names::array::Array::write(busy.arena(), loose, 64, 0);
    let unlinked = busy.object("n007");
    busy.word_at(busy.entry("n007")).store(0, Relaxed);
    Things {
        entry: busy.entry("n005"),
        object: busy.object("n005"),
        other,
        other_object: busy.object("n006"),
        slot: (0..array.len()).find(leads).unwrap(),
        unlinked,
        unnamed: busy.unnamed,
        array: array.offset,
        loose,
    }
}

#[test]
fn a_journal_says_what_may_be_undone() {
    let busy = busy();
    let it = things(&busy);
    let Things { entry, object, other, other_object, slot, unlinked, unnamed, array, loose } = it;
    let fit = [
        Intent::Link { entry, object },
        Intent::Link { entry, object: unlinked },
        Intent::Intern { entry: other, object: other_object, array, slot },
        Intent::Intern { entry: other, object: unlinked, array, slot },
        Intent::Intern { entry: loose, object: unlinked, array, slot },
        Intent::Grow { array, new: loose },
        Intent::Destroy { entry, object },
        Intent::Destroy { entry, object: unlinked },
        Intent::Destroy { entry: 0, object: unnamed },
        // The root does not say that the lane gives it back: nothing is done.
        Intent::Reap { entry, array, slot },
    ];
    for intent in fit {
        assert!(!is_damage(&busy, intent, &[]), "{intent:x?}");
    }
    for intent in fit {
        let pins = pins(&busy, intent);
        for missing in 0..pins.len() {
            let kept: Vec<_> = pins.iter().enumerate().filter(|(i, _)| *i != missing).collect();
            let kept: Vec<_> = kept.into_iter().map(|(_, pin)| pin).collect();
            assert!(
                is_damage_beside(&busy, intent, &kept),
                "{missing} is not kept for {intent:x?}"
            );
        }
    }
    let next = set(busy.current().next(), loose);
    let newer = set(&busy.arena().lane(busy.parked).array, loose);
    for intent in [Intent::Link { entry, object }, Intent::Intern { entry, object, array, slot }] {
        assert!(is_damage_beside(&busy, intent, &[&next, &newer]), "older than what is kept");
    }
    let unfit = [
        Intent::Link { entry: 0, object: unlinked },
        Intent::Link { entry: unnamed, object: unlinked },
        Intent::Link { entry, object: other_object },
        Intent::Link { entry, object: other },
        Intent::Link { entry, object: array },
        Intent::Link { entry, object: unnamed },
        Intent::Intern { entry: other, object: other_object, array: 0, slot },
        Intent::Intern { entry: other, object: other_object, array: loose, slot },
        Intent::Intern { entry: other, object: other_object, array, slot: slot + 1 },
        Intent::Intern { entry: other, object: other_object, array, slot: 1 << 40 },
        Intent::Intern { entry: other, object, array, slot },
        Intent::Intern { entry: object, object: unlinked, array, slot },
        Intent::Intern { entry: array, object: unlinked, array, slot },
        Intent::Grow { array: loose, new: loose },
        Intent::Grow { array, new: array },
        Intent::Grow { array, new: object },
        Intent::Grow { array, new: entry },
        Intent::Destroy { entry: unnamed, object: unlinked },
        Intent::Destroy { entry, object: other_object },
        Intent::Destroy { entry: 0, object: other_object },
        Intent::Destroy { entry, object: array },
        Intent::Destroy { entry, object: other },
        Intent::Destroy { entry, object: busy.raw_block },
    ];
    for intent in unfit {
        assert!(is_damage(&busy, intent, &[]), "{intent:x?}");
    }
}

#[test]
fn who_destroyed_an_object_has_a_journal_that_says_so() {
    let busy = busy();
    let Things { entry, object, .. } = things(&busy);
    // Two at once, so that there is a lane beside the parked one.
    on_thread(&busy.segment, |segment| {
        let owned = segment.own(1u64).unwrap();
        on_thread(segment, |segment| drop(segment.own(2u64).unwrap()));
        drop(owned);
    });
    let is_in_use = |record: &LaneRecord| {
        matches!(LaneOwner::of(record.owner.load(Relaxed)), Some(LaneOwner::Active(_)))
    };
    let mut idle = busy.arena().lanes().filter(|(_, record)| !is_in_use(record));
    let (other, record) = idle.find(|(id, _)| *id != busy.parked).unwrap();
    let life = ObjectHeader::at(busy.arena(), object).unwrap().life();
    let destroyed_by = |by| set(busy.word_at(object), Life { retired_by: by, ..life }.word());
    let is_damage = |by, says: Option<u64>| {
        let mut more = vec![destroyed_by(by)];
        if let Some(object) = says {
            more.push(set(&record.owner, LaneOwner::Active(ParticipantId(1).since(1)).word()));
            more.push(set(&record.array, busy.current().offset));
            more.push(set(&record.hazards[0], object));
            more.push(Plant {
                apply: Box::new(move || record.journal.open(Intent::Destroy { entry, object })),
                undo: Box::new(|| record.journal.close()),
            });
        }
        is_damage(&busy, Intent::Destroy { entry, object }, &more)
    };
    assert!(!is_damage(busy.parked, None), "by the dead lane itself");
    assert!(is_damage(other, None), "by one that says nothing of it");
    assert!(!is_damage(other, Some(object)), "by another dead one, which says so, too");
    assert!(is_damage(other, Some(busy.object("n006"))), "by one that destroys another");
    // Another came to an end with it, if the block goes with the entry, which leads to it no more. What a name is
    // given later has a block of its own.
    assert!(busy.segment.destroy::<u64>("n008").unwrap());
    busy.segment.construct("n008", 8u64).unwrap();
    for (name, goes_with_entry) in [("n005", true), ("n008", false)] {
        let (entry, object) = (busy.entry(name), busy.object(name));
        let life = ObjectHeader::at(busy.arena(), object).unwrap().life();
        assert_eq!(life.with_entry, goes_with_entry);
        let retired = set(busy.word_at(object), Life { retired_by: other, ..life }.word());
        let more = [retired, set(busy.word_at(entry), 0)];
        let is_damage = self::is_damage(&busy, Intent::Destroy { entry, object }, &more);
        assert_eq!(is_damage, !goes_with_entry, "{name}");
    }
}

#[test]
fn who_holds_all_references_that_it_can_recovers_once_it_has_dropped_some() {
    let busy = busy();
    let intent = Intent::Destroy { entry: busy.entry("n005"), object: busy.object("n005") };
    let journal = &busy.arena().lane(busy.parked).journal;
    let mut plants = pins(&busy, intent);
    plants.extend([
        set(busy.participant(1), ParticipantWord::Dead { counter: 1 }.word()),
        set(busy.owner(busy.parked), LaneOwner::Active(ParticipantId(1).since(1)).word()),
        Plant { apply: Box::new(move || journal.open(intent)), undo: Box::new(|| journal.close()) },
    ]);
    plants.iter().for_each(|plant| (plant.apply)());
    let mut held = std::vec::Vec::new();
    let refused = loop {
        match busy.segment.find::<u64>("n100") {
            Ok(found) => held.push(found.unwrap()),
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, ObjectError::TooManyRefs { .. }), "{refused}");
    let refused = busy.segment.recover();
    assert!(matches!(refused, Err(ObjectError::TooManyRefs { .. })), "{refused:?}");
    drop(held);
    assert_eq!(busy.segment.recover().unwrap().processes, 1);
}

#[test]
fn a_name_that_is_given_back_is_dead_and_stands_where_its_journal_says() {
    let busy = busy();
    let Things { entry, other, slot, array, loose, .. } = things(&busy);
    let (header, current) = (busy.arena().header(), busy.current());
    let next = crate::names::array::Array::at(busy.arena(), loose).unwrap();
    let claimed = crate::layout::oldest_word(array, busy.parked.0);
    let reaper = || [set(&header.names_oldest, claimed), set(current.next(), loose)];
    let dead = || set(busy.word_at(other), Value::Dead.word());
    let is_damage = |intent, more: Vec<Plant<'_>>| {
        let plants: Vec<_> = reaper().into_iter().chain(more).collect();
        is_damage(&busy, intent, &plants)
    };
    let word = |value| set(current.slot(slot), value);
    let reap = Intent::Reap { entry: other, array, slot };
    assert!(!is_damage(reap, vec![dead()]));
    assert!(!is_damage(reap, vec![dead(), word(Slot::Frozen.word())]), "frozen before");
    assert!(is_damage(reap, vec![dead(), word(Slot::Empty.word())]));
    assert!(is_damage(reap, vec![]), "it is in use");
    assert!(is_damage(Intent::Reap { entry, array, slot }, vec![dead()]), "another is dead");
    let far = Intent::Reap { entry: other, array, slot: 1 << 40 | slot };
    assert!(is_damage(far, vec![dead()]));
    let raw = set_byte(busy.state(other), State::Raw as u8);
    assert!(is_damage(reap, vec![dead(), raw]));
    let key = Entry::at(busy.arena(), other).unwrap().key(busy.arena()).unwrap();
    let copy = set(next.slot(key.hash), current.slot(slot).load(Relaxed));
    assert!(is_damage(reap, vec![dead(), copy]), "it stands in the successor, too");
}

#[test]
fn a_journal_says_nothing_of_blocks_that_are_others() {
    let busy = busy();
    let Things { entry, other_object, .. } = things(&busy);
    let (lane, journal) = (busy.parked, &busy.arena().lane(busy.parked).journal);
    let plants = [
        pins(&busy, Intent::Link { entry, object: other_object }).remove(0),
        set(busy.participant(1), ParticipantWord::Dead { counter: 1 }.word()),
        set(busy.owner(lane), LaneOwner::Active(ParticipantId(1).since(1)).word()),
        Plant {
            apply: Box::new(|| journal.open(Intent::Link { entry, object: other_object })),
            undo: Box::new(|| journal.close()),
        },
    ];
    plants.iter().for_each(|plant| (plant.apply)());
    let report = busy.segment.check().unwrap();
    plants.iter().for_each(|plant| (plant.undo)());
    assert!(report.damages().all(|finding| finding.kind != FindingKind::Journal), "{report}");
}

#[test]
fn an_object_that_falls_takes_parts_of_no_other_along() {
    let busy = busy();
    let tree = crate::collections::Box::new_in(7u64, &busy.segment);
    busy.segment.construct("tree", tree).unwrap();
    let root = busy.object("tree");
    let part = crate::word::Word::from_bits(busy.word_at(root + 16).load(Relaxed)).offset();
    let Things { entry, object, other_object, array, .. } = things(&busy);
    let lane = busy.parked;
    let fall = |part| Intent::Fall { object, word_at: 0, part };
    let falls =
        |is_falling| busy.life(object, move |life| Life { is_falling, retired_by: lane, ..life });
    let doomed = || set_byte(busy.state(object), State::Doomed as u8);
    let unlinked = || set(busy.word_at(entry), 0);
    for part in [0, busy.raw_block] {
        assert!(!is_damage(&busy, fall(part), &[falls(true), doomed(), unlinked()]), "{part:#x}");
    }
    assert!(
        !is_damage(&busy, fall(part), &[falls(false), doomed(), unlinked()]),
        "nothing is done"
    );
    assert!(is_damage(&busy, fall(0), &[falls(true), unlinked()]), "it is published");
    for part in [part, entry, other_object, array] {
        assert!(is_damage(&busy, fall(part), &[falls(true), doomed(), unlinked()]), "{part:#x}");
    }
}

#[test]
fn the_part_that_goes_next_hangs_on_the_word_that_the_journal_says() {
    let (busy, object, [outer, _]) = with_tree();
    let lane = busy.parked;
    let (entry, word_at) = (busy.entry("tree"), object + 16);
    let falls = || {
        [
            busy.life(object, |life| Life { is_falling: true, retired_by: lane, ..life }),
            set_byte(busy.state(object), State::Doomed as u8),
            set(busy.word_at(entry), 0),
        ]
    };
    let fall = |word_at| Intent::Fall { object, word_at, part: outer };
    let gone = || set(busy.word_at(word_at), 0);
    assert!(!is_damage(&busy, fall(word_at), &falls()));
    assert!(is_damage(&busy, fall(word_at + 8), &falls()), "it hangs on another word");
    assert!(!is_damage(
        &busy,
        fall(word_at),
        &falls().into_iter().chain([gone()]).collect::<Vec<_>>()
    ));
    let word = busy.word_at(word_at).load(Relaxed);
    let copy = || set(busy.word_at(busy.raw_block), word);
    let by_another = |more: Vec<Plant<'_>>| {
        let plants: Vec<_> = falls().into_iter().chain(more).collect();
        is_damage(&busy, fall(busy.raw_block), &plants)
    };
    assert!(by_another(vec![copy()]), "its word stands there still");
    assert!(by_another(vec![copy(), gone()]), "its word is gone");
}

/// A segment with an object on which parts hang, and where it and its parts are, the outer one first.
fn with_tree() -> (Busy, u64, [u64; 2]) {
    use crate::collections::{String, Vec};
    let busy = busy();
    let mut tree = Vec::new_in(&busy.segment);
    tree.push(String::from_in("a part of a part", &busy.segment));
    busy.segment.construct("tree", tree).unwrap();
    let root = busy.object("tree");
    let part = |at| crate::word::Word::from_bits(busy.word_at(at).load(Relaxed)).offset();
    let outer = part(root + 16);
    let inner = part(outer);
    (busy, root, [outer, inner])
}

/// A part is private only while the process that has it is about to link what it hangs on.
#[test]
fn parts_that_recovery_would_free_are_missed_before() {
    let (busy, object, parts) = with_tree();
    let (arena, lane) = (busy.arena(), busy.parked);
    let journal = &arena.lane(lane).journal;
    let entry = busy.entry("tree");
    let damage = |plants: &[Plant<'_>]| {
        plants.iter().for_each(|plant| (plant.apply)());
        let report = busy.segment.check().unwrap();
        plants.iter().rev().for_each(|plant| (plant.undo)());
        report.damages().any(|finding| finding.kind == FindingKind::Part)
    };
    let head = UnitIndex::containing(parts[1]);
    let Some(Unit::Slab { class, .. }) = arena.unit(head) else { panic!("a small block") };
    let dies = |links: u64| {
        [
            set(busy.participant(1), ParticipantWord::Dead { counter: 1 }.word()),
            set(busy.owner(lane), LaneOwner::Active(ParticipantId(1).since(1)).word()),
            busy.unit(head, Unit::Slab { class, lane, slot: 1000 }),
            set_byte(busy.state(parts[1]), State::Private as u8),
            Plant {
                apply: Box::new(move || journal.open(Intent::Link { entry, object: links })),
                undo: Box::new(|| journal.close()),
            },
        ]
    };
    assert!(!damage(&dies(object)), "it is about to be marked");
    assert!(damage(&dies(busy.unnamed)), "another is about to be linked");
    assert!(damage(&dies(object)[..4]), "none is");
    let mut by_another: Vec<_> = dies(object).into();
    by_another.remove(2);
    assert!(damage(&by_another), "by a process that does not have it");
}

/// Of a tree that falls, what is left of it hangs on it; one part is on its way, and its lane says so.
#[test]
fn parts_that_nobody_would_give_back_are_missed() {
    let (busy, object, parts) = with_tree();
    let (arena, lane) = (busy.arena(), busy.parked);
    let record = arena.lane(lane);
    let outer = busy.word_at(object + 16);
    let kinds = |plants: Vec<Plant<'_>>| {
        let all = [
            set(busy.participant(1), ParticipantWord::Dead { counter: 1 }.word()),
            set(busy.owner(lane), LaneOwner::Active(ParticipantId(1).since(1)).word()),
            set(&record.hazards[0], object | REAPER),
            set(busy.word_at(busy.entry("tree")), 0),
            set_byte(busy.state(object), State::Doomed as u8),
            busy.life(object, |life| Life { is_falling: true, retired_by: lane, ..life }),
        ];
        let all: Vec<_> = all.into_iter().chain(plants).collect();
        all.iter().for_each(|plant| (plant.apply)());
        let report = busy.segment.check().unwrap();
        all.iter().rev().for_each(|plant| (plant.undo)());
        let of_parts = |finding: &&Finding| finding.kind == FindingKind::Part;
        let damages = report.damages().filter(of_parts).count();
        let leftovers = report.leftovers().filter(of_parts).count();
        (damages, leftovers)
    };
    let falls = |part| Plant {
        apply: Box::new(move || {
            let (object, word_at) = (object, object + 16);
            record.journal.open(Intent::Fall { object, word_at, part });
        }),
        undo: Box::new(|| record.journal.close()),
    };
    assert_eq!(kinds(vec![falls(0)]), (0, 0), "all hang on it still");
    let inner = || set(busy.word_at(parts[0]), 0);
    assert_eq!(kinds(vec![falls(parts[1]), inner()]), (0, 1), "the inner one goes");
    assert_eq!(kinds(vec![falls(0), inner()]), (1, 0), "and nobody remembers it");
    assert_eq!(kinds(vec![falls(0), set(outer, 0)]), (2, 0));
    assert_eq!(kinds(vec![falls(0), set(outer, 12)]), (3, 0), "its word leads nowhere");
}
