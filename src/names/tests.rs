//! Laws of the table of names that one thread can show.

use super::entry::Space;
use super::error::ObjectError;
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

/// What the usual way of a find says of a name.
fn usual(names: Names<'_>, name: &str) -> &'static str {
    let key = Key::new(names.heap.arena, Space::Named, name.as_bytes());
    let seen = names.find_usual(&key);
    assert_eq!(names.record().array.load(Acquire), 0, "no array is left pinned");
    match seen {
        Seen::There { hazard, .. } => {
            names.unpin(hazard);
            "there"
        }
        Seen::Absent => "absent",
        Seen::Unusual => "unusual",
    }
}

#[test]
fn the_usual_way_of_a_find_leaves_the_rest_to_the_other() {
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    segment.construct("name", 1u64).unwrap();
    segment.construct("gone", 1u64).unwrap();
    segment.destroy::<u64>("gone").unwrap();
    let look = |names: Names<'_>| {
        let (arena, lane) = (names.heap.arena, names.heap.lane);
        let all = || ["name", "gone", "nobody"].map(|name| usual(names, name));
        assert_eq!(all(), ["there", "absent", "absent"]);
        // Inside another operation, whose pin must stay.
        let entered = names.enter();
        let pinned = names.record().array.load(Acquire);
        let key = Key::new(arena, Space::Named, b"name");
        assert!(matches!(names.find_usual(&key), Seen::Unusual));
        assert_eq!(names.record().array.load(Acquire), pinned);
        drop(entered);
        // A lane that knows no array, or another one.
        let current = &arena.header().names_current;
        lane.last_array.forget();
        assert_eq!(all(), ["unusual"; 3]);
        assert!(names.find(&key).unwrap().map(|it| names.unpin(it.hazard)).is_some());
        assert_eq!(all(), ["there", "absent", "absent"]);
        let was = current.swap(16, AcqRel);
        assert_eq!(all(), ["unusual"; 3]);
        current.store(was, Release);
        // All hazards are in use.
        let pins: Vec<_> = core::iter::from_fn(|| lane.pins.pin(names.record(), 16)).collect();
        assert_eq!(all(), ["unusual", "absent", "absent"]);
        assert!(matches!(names.find(&key), Err(Refused::TooManyPins)));
        pins.into_iter().for_each(|pin| names.unpin(pin));
        // A name that a migration has left behind; a path that one has closed; one without end.
        let array = names.current().unwrap();
        let Ok(Spot::Found(gone)) = names.locate(&Key::new(arena, Space::Named, b"gone"), false)
        else {
            panic!("it was interned")
        };
        gone.word().store(Value::Dead.word(), Release);
        assert_eq!(all(), ["there", "unusual", "absent"]);
        for filler in [Slot::Frozen.word(), Slot::Entry { tag: 1, entry: 16 }.word()] {
            for slot in 0..array.len() {
                let word = array.slot(slot).load(Acquire);
                if word <= Slot::Frozen.word() {
                    array.slot(slot).store(filler, Release);
                }
            }
            assert_eq!(all(), ["there", "unusual", "unusual"]);
        }
        Ok(())
    };
    segment.with_names(look).unwrap();
}

#[test]
fn an_object_that_is_none_of_the_usual_is_found_or_refused_all_the_same() {
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    segment.construct("one", 7u64).unwrap();
    segment.construct_slice("two", 2, |i| i as u64).unwrap();
    segment.construct("large", [1u64; 4096]).unwrap();
    let refused = |name| format!("{:?}", segment.find::<u64>(name).unwrap_err());
    assert!(refused("two").starts_with("WrongCount"), "{}", refused("two"));
    assert!(refused("large").starts_with("WrongType"), "{}", refused("large"));
    assert_eq!(segment.find_slice::<u64>("one").unwrap().as_deref(), Some(&[7][..]));
    assert_eq!(segment.find_slice::<u64>("two").unwrap().as_deref(), Some(&[0, 1][..]));
    assert_eq!(segment.find::<[u64; 4096]>("large").unwrap().unwrap()[4095], 1);
    // Its life says that an entry stands behind it, which no type of this size has.
    let lies = |names: Names<'_>| {
        let key = Key::new(names.heap.arena, Space::Named, b"large");
        let pinned = names.find(&key).unwrap().unwrap();
        let header = ObjectHeader::at(names.heap.arena, pinned.object).unwrap();
        let life = Life { with_entry: true, ..pinned.life() };
        header.life.store(life.word(), Release);
        names.unpin(pinned.hazard);
        Ok(())
    };
    segment.with_names(lies).unwrap();
    let lied = segment.find::<[u64; 4096]>("large").map(drop);
    assert!(matches!(lied, Err(ObjectError::Corrupt { .. })), "{lied:?}");
    // A name leads into the middle of a block, where something looks like an object, and to one too small for what it says.
    let leads = |to: u64, life: Life| {
        let at = |names: Names<'_>| {
            let arena = names.heap.arena;
            let Ok(Spot::Found(one)) = names.locate(&Key::new(arena, Space::Named, b"one"), false)
            else {
                panic!("it is there")
            };
            let header = ObjectHeader::at(arena, to).unwrap();
            header.fingerprint.store(<u64 as crate::Shareable>::FINGERPRINT, Release);
            header.life.store(life.word(), Release);
            one.word().store(to, Release);
            Ok(())
        };
        segment.with_names(at).unwrap();
    };
    let small = segment.allocate(core::alloc::Layout::new::<u128>()).unwrap().to_bits();
    let long = segment.allocate(core::alloc::Layout::new::<[u64; 40]>()).unwrap().to_bits();
    for to in [small, long + 64] {
        leads(to, Life::new(1, true));
        let found = segment.find::<u64>("one").map(drop);
        assert!(matches!(found, Err(ObjectError::Corrupt { .. })), "{found:?}");
    }
    leads(long, Life::new(1, true));
    assert!(segment.find::<u64>("one").unwrap().is_some(), "by all that can be seen it is one");
    let none_is_pinned = |names: Names<'_>| Ok(names.heap.lane.pins.count() == 0);
    assert!(segment.with_names(none_is_pinned).unwrap());
}

/// A value that is aligned further than a block of most classes.
#[repr(C, align(64))]
struct Wide([u8; 64]);

// SAFETY: all of its bytes are values, which nobody changes.
unsafe impl crate::Shareable for Wide {
    const NAME: u64 = crate::LayoutHash::of_name("Wide").finish();
    const FINGERPRINT: u64 = crate::LayoutHash::of_type::<Self>().finish();
    const ANY_BITS: bool = true;
    fn describe(out: &mut dyn core::fmt::Write) -> core::fmt::Result {
        out.write_str("Wide")
    }
    unsafe fn is_valid(_: *const Self) -> bool {
        true
    }
}

#[test]
fn an_object_that_is_not_aligned_for_its_type_is_refused() {
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    segment.construct("wide", Wide([7; 64])).unwrap();
    let layout = core::alloc::Layout::new::<[u64; 18]>();
    let blocks: Vec<u64> = (0..4).map(|_| segment.allocate(layout).unwrap().to_bits()).collect();
    let is_aligned = |block: &u64| block.is_multiple_of(align_of::<Wide>() as u64);
    let block = *blocks.iter().find(|block| !is_aligned(block)).unwrap();
    let leads = |names: Names<'_>| {
        let arena = names.heap.arena;
        let Ok(Spot::Found(wide)) = names.locate(&Key::new(arena, Space::Named, b"wide"), false)
        else {
            panic!("it is there")
        };
        ObjectHeader::write(
            arena,
            block,
            <Wide as crate::Shareable>::FINGERPRINT,
            Life::new(1, true),
        );
        wide.word().store(block, Release);
        Ok(())
    };
    assert_eq!(segment.find::<Wide>("wide").unwrap().unwrap().0, [7; 64]);
    segment.with_names(leads).unwrap();
    let by_name =
        [segment.find::<Wide>("wide").map(drop), segment.find_slice::<Wide>("wide").map(drop)];
    assert!(segment.resolve(crate::Offset::<Wide>::from_bits(block + 64).unwrap()).is_err());
    for refused in by_name {
        assert!(matches!(refused, Err(ObjectError::Corrupt { .. })), "{refused:?}");
    }
}
