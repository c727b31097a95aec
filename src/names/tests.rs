//! Laws of the table of names that one thread can show.

use super::entry::Space;
use super::*;
use crate::Options;

#[test]
fn of_all_who_pinned_an_object_one_destroys_it_and_the_others_see_that_it_is_gone() {
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    for round in 0..3 {
        segment.construct("name", round).unwrap();
        let destroy_twice = |names: Names<'_>| {
            let arena = names.heap.arena;
            let key = Key::new(arena, Space::Named, b"name");
            let mut pinned = [(); 3].map(|()| names.find(&key).unwrap().unwrap());
            let object = ObjectHeader::at(arena, pinned[0].object).unwrap();
            assert!(object.life().is_whole());
            pinned.rotate_left(round);
            let destroyed = pinned.map(|pinned| names.destroy_unnamed(pinned));
            assert_eq!(destroyed, [true, false, false]);
            assert!(!object.life().is_whole());
            assert!(names.find(&key).unwrap().is_none());
            Ok(())
        };
        segment.with_names(destroy_twice).unwrap();
    }
    assert!(segment.check().unwrap().is_clean());
}
#[test]
fn names_that_begin_at_one_slot_with_one_tag_are_two_names() {
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    let mut seen = std::collections::HashMap::new();
    let [one, other] = (0..)
        .find_map(|i: u32| {
            let name = i.to_string();
            let key = Key::new(&segment.attached().arena, Space::Named, name.as_bytes());
            let place = (tag(key.hash), key.hash % array::SMALLEST);
            seen.insert(place, name.clone()).map(|other| [name, other])
        })
        .unwrap();
    segment.construct(&one, 1u64).unwrap();
    assert!(segment.find::<u64>(&other).unwrap().is_none());
    segment.construct(&other, 2u64).unwrap();
    assert_eq!(segment.find::<u64>(&one).unwrap().as_deref(), Some(&1));
    assert_eq!(segment.find::<u64>(&other).unwrap().as_deref(), Some(&2));
    assert!(segment.destroy::<u64>(&one).unwrap());
    assert_eq!(segment.find::<u64>(&other).unwrap().as_deref(), Some(&2));
}

#[test]
fn in_an_array_without_an_empty_slot_what_is_not_there_is_absent() {
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    segment.construct("name", 1u64).unwrap();
    let close_all = |names: Names<'_>| {
        let array = names.current().unwrap();
        for slot in 0..array.len() {
            let (empty, frozen) = (Slot::Empty.word(), Slot::Frozen.word());
            let _ = array.slot(slot).compare_exchange(empty, frozen, AcqRel, Acquire);
        }
        Ok(())
    };
    segment.with_names(close_all).unwrap();
    assert_eq!(segment.find::<u64>("name").unwrap().as_deref(), Some(&1));
    assert!((0..50).all(|i| segment.find::<u64>(&format!("{i}")).unwrap().is_none()));
}

#[test]
fn a_retired_object_is_not_found_and_nobody_is_left_with_its_pin() {
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    segment.construct("name", 1u64).unwrap();
    let retire = |names: Names<'_>| {
        let (heap, pins) = (names.heap, &names.heap.lane.pins);
        let key = Key::new(heap.arena, Space::Named, b"name");
        let before = pins.count();
        let pinned = names.find(&key).unwrap().unwrap();
        let object = ObjectHeader::at(heap.arena, pinned.object).unwrap();
        // Its destroyer is stopped here, behind the point from which on it is destroyed.
        let retired = Life { retired_by: crate::heap::unit::LaneId(7), ..pinned.life() };
        object.life.store(retired.word(), Release);
        names.unpin(pinned.hazard);
        for _ in 0..3 {
            assert!(names.find(&key).unwrap().is_none());
            assert!(names.pin_unnamed(pinned.object).unwrap().is_none());
            assert_eq!(pins.count(), before);
        }
        Ok(())
    };
    segment.with_names(retire).unwrap();
    segment.construct("name", 2u64).unwrap();
    assert_eq!(segment.find::<u64>("name").unwrap().as_deref(), Some(&2));
    let none_is_pinned = |names: Names<'_>| Ok(names.heap.lane.pins.count() == 0);
    assert!(segment.with_names(none_is_pinned).unwrap());
}
