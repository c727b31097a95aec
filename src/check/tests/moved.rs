//! Laws: while names are moved from one array to the next, and after, each is where searches come by.

use super::*;
use crate::names::array::Array;
use crate::names::entry::{Entry, Value};

/// What two arrays of names must be to each other is broken, one word at a time: which kinds of damage
/// are found.
fn damages(segment: &Segment, plants: &[Plant<'_>]) -> Vec<FindingKind> {
    plants.iter().for_each(|plant| (plant.apply)());
    let report = segment.check().unwrap();
    plants.iter().rev().for_each(|plant| (plant.undo)());
    assert_clean(segment, "after");
    report.damages().map(|finding| finding.kind).collect()
}

#[test]
fn names_that_were_not_moved_are_missed() {
    use FindingKind as K;
    let segment = anonymous();
    for i in 0..40 {
        segment.construct(&format!("n{i:03}"), i as u64).unwrap();
    }
    let (entered, is_entered) = std::sync::mpsc::channel();
    let (leaves, left) = std::sync::mpsc::channel::<()>();
    let keeper = segment.clone();
    let keeps = std::thread::spawn(move || {
        let keep = |names: Names<'_>| {
            let _old_one = names.enter();
            entered.send(()).unwrap();
            Ok(left.recv().unwrap_err())
        };
        keeper.with_names(keep).map(drop)
    });
    is_entered.recv().unwrap();
    let arena = &segment.attached().arena;
    let current = &arena.header().names_current;
    let old = Array::at(arena, current.load(Relaxed)).unwrap();
    for i in 40..80 {
        segment.construct(&format!("n{i:03}"), i as u64).unwrap();
    }
    let new = Array::at(arena, current.load(Relaxed)).unwrap();
    assert_eq!(old.next().load(Relaxed), new.offset);
    let slot_with = |array: Array<'_>, what: &dyn Fn(u64) -> bool| {
        (0..array.len()).find(|slot| what(array.slot(*slot).load(Relaxed))).unwrap()
    };
    let is_live = |word| match Slot::of(word) {
        Slot::Entry { entry, .. } => {
            matches!(Entry::at(arena, entry).unwrap().value(), Value::Live(_))
        }
        _ => false,
    };
    let there = old.slot(slot_with(old, &is_live)).load(Relaxed);
    let frozen = old.slot(slot_with(old, &|word| word == Slot::Frozen.word()));
    let copy = new.slot(slot_with(new, &|word| word == there));
    let vacant = new.slot(slot_with(new, &|word| word == Slot::Empty.word()));
    let lost = || set(copy, 0);
    let not_done = || set(old.done(0).0, 0);
    let is_moving = || set(current, old.offset);
    assert_clean(&segment, "before");
    let damages = |plants: &[Plant<'_>]| damages(&segment, plants);
    assert!(damages(&[lost()]).contains(&K::Path));
    assert_eq!(damages(&[not_done()]), [K::Array]);
    assert_eq!(damages(&[set(frozen, 0)]), [K::Slot]);
    assert_eq!(damages(&[set(vacant, 1)]), [K::Slot], "closed too early");
    // As if the last step of the migration were missing, and some before it.
    assert_eq!(damages(&[is_moving()]), []);
    assert_eq!(damages(&[is_moving(), not_done()]), []);
    assert_eq!(damages(&[is_moving(), not_done(), set(frozen, 0)]), []);
    assert!(damages(&[is_moving(), lost()]).contains(&K::Path));
    assert_eq!(damages(&[is_moving(), set(vacant, 1)]), [K::Slot]);
    assert!(damages(&[is_moving(), set(new.next(), 12)]).contains(&K::Array));
    // The last one has not been left: what stands in it would be, by who believes that it was moved.
    let is_moved = || set(new.done(0).0, 1);
    assert_eq!(damages(&[is_moved()]), [K::Array]);
    drop(leaves);
    keeps.join().unwrap().unwrap();
}
