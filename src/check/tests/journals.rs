//! Laws: the journal of a dead process that says what can have been is a leftover; one by which
//! recovery would take something else is damage.

use super::*;
use crate::names::entry::{Entry, Value};

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

/// Whether check takes what the journal of a dead lane says for damage, where all blocks are in slabs of
/// that lane.
fn is_damage(busy: &Busy, intent: Intent, more: &[Plant<'_>]) -> bool {
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
    plants.iter().chain(more).for_each(|plant| (plant.apply)());
    let report = busy.segment.check().unwrap();
    plants.iter().chain(more).for_each(|plant| (plant.undo)());
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
