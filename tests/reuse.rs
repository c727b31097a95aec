//! Memory that was freed is used again before the segment grows, whoever freed it and however:
//!
//! - what other threads free comes back to its owner, and slabs that are wholly free to everybody,
//!   without a trim;
//! - what is free in a slab whose thread ended, or that was trimmed, is found again;
//! - what objects stood in that were destroyed is used again as soon as nobody looks at them;
//! - the memory of a large object is free as soon as it is destroyed and nobody looks at it;
//! - what a process forgot is free when it closes the segment;
//! - a table of names stays as large as its names need.
mod common;

use common::{assert_like_fresh, at_rest};
use sharena::{Offset, Options, Segment, Stats};
use std::alloc::Layout;

const BYTES: usize = 256;
const MANY: usize = 20_000;

fn new() -> (Segment, Stats) {
    let segment = Options::new().capacity(32 << 20).create_anonymous().unwrap();
    let fresh = at_rest(&segment);
    (segment, fresh)
}

fn raw(segment: &Segment, bytes: usize) -> Offset<u8> {
    segment.allocate(Layout::from_size_align(bytes, 8).unwrap()).unwrap()
}

fn many(segment: &Segment) -> Vec<Offset<u8>> {
    (0..MANY).map(|_| raw(segment, BYTES)).collect()
}

/// Slabs of blocks for `bytes`.
fn slabs(segment: &Segment, bytes: usize) -> u64 {
    let stats = segment.stats().unwrap();
    let class = stats.classes.iter().find(|class| class.block as usize >= bytes);
    class.map_or(0, |class| class.slabs)
}

fn free(segment: &Segment, blocks: impl IntoIterator<Item = Offset<u8>>) {
    blocks.into_iter().for_each(|block| segment.deallocate(block).unwrap());
}

#[test]
fn what_others_free_comes_back_without_a_trim() {
    let (segment, fresh) = new();
    let blocks = many(&segment);
    let full = slabs(&segment, BYTES);
    assert!(full > 60, "{full}");
    std::thread::scope(|scope| {
        scope.spawn(|| free(&segment, blocks));
    });
    // The owner hears of it when it comes to its next refill.
    let again: Vec<_> = (0..600).map(|_| raw(&segment, BYTES)).collect();
    let left = slabs(&segment, BYTES);
    assert!(left <= 6, "{left} slabs of {full} are kept for {} blocks", again.len());
    free(&segment, again);
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn what_is_free_after_a_trim_is_found_again() {
    let (segment, fresh) = new();
    let blocks = many(&segment);
    let full = slabs(&segment, BYTES);
    let (kept, freed): (Vec<_>, Vec<_>) =
        blocks.into_iter().enumerate().partition(|(i, _)| i % 3 == 0);
    let count = freed.len();
    free(&segment, freed.into_iter().map(|(_, block)| block));
    segment.trim().unwrap();
    let again: Vec<_> = (0..count).map(|_| raw(&segment, BYTES)).collect();
    assert_eq!(slabs(&segment, BYTES), full, "there was room for as many");
    free(&segment, again);
    free(&segment, kept.into_iter().map(|(_, block)| block));
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn what_threads_leave_behind_is_used_by_others() {
    let (segment, fresh) = new();
    let kept = std::thread::scope(|scope| {
        let leave = || {
            let blocks = many(&segment);
            let (kept, freed): (Vec<_>, Vec<_>) =
                blocks.into_iter().enumerate().partition(|(i, _)| i % 2 == 0);
            free(&segment, freed.into_iter().map(|(_, block)| block));
            kept
        };
        scope.spawn(leave).join().unwrap()
    });
    let before = slabs(&segment, BYTES);
    let again: Vec<_> = (0..MANY / 2 - 600).map(|_| raw(&segment, BYTES)).collect();
    assert_eq!(slabs(&segment, BYTES), before, "there was room for as many");
    free(&segment, again);
    free(&segment, kept.into_iter().map(|(_, block)| block));
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn what_objects_stood_in_is_used_again() {
    let (segment, fresh) = new();
    let (mut first, object) = (0, [7u64; 30]);
    for round in 0..20 {
        let objects: Vec<_> = (0..1000).map(|_| segment.own(object).unwrap().publish()).collect();
        objects.into_iter().for_each(|object| assert!(segment.destroy_at(object).is_ok()));
        match round {
            0 => first = slabs(&segment, size_of_val(&object) + 16),
            _ => {
                assert!(slabs(&segment, size_of_val(&object) + 16) <= first + 2, "in round {round}")
            }
        }
    }
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn a_large_object_s_memory_is_free_at_once() {
    let (segment, fresh) = new();
    let runs = || segment.stats().unwrap().units.runs;
    for elements in [300_000, 1_000_000] {
        segment.construct_slice_default::<u8>("large", elements).unwrap();
        assert_eq!(runs(), elements.div_ceil(64 << 10) as u64);
        assert!(segment.destroy::<u8>("large").unwrap());
        assert_eq!(runs(), 0);
    }
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn what_was_forgotten_is_free_once_the_segment_is_closed() {
    let (segment, fresh) = new();
    for elements in [1, 30, 1000, 20_000, 50_000] {
        let other = Segment::open_fd(segment.as_fd().try_clone_to_owned().unwrap()).unwrap();
        std::mem::forget(other.own_slice(elements, |i| i as u64).unwrap());
        std::mem::forget(other.own_slice(elements, |i| i as u64).unwrap());
        drop(other);
        assert_like_fresh(&segment, &fresh);
    }
}

#[test]
fn a_run_is_where_there_is_room_for_it() {
    let (segment, fresh) = new();
    let unit = 64 << 10;
    let runs: Vec<_> = (0..40).map(|_| raw(&segment, 5 * unit)).collect();
    let used = segment.stats().unwrap().units;
    // Gaps of five units, of which none holds six, and two of which side by side hold ten.
    free(&segment, [runs[3], runs[10], runs[11], runs[20]]);
    let six = raw(&segment, 6 * unit);
    assert_eq!(six, runs[10], "the first gap of six");
    let five = raw(&segment, 5 * unit);
    assert_eq!(five, runs[3], "the first gap of five");
    let four = raw(&segment, 4 * unit);
    assert_eq!(four.to_bits(), runs[10].to_bits() + 6 * unit as u64, "the rest of the ten");
    let now = segment.stats().unwrap().units;
    assert_eq!(now.untouched, used.untouched, "the segment did not grow");
    let gone = [3, 10, 11, 20];
    let rest = runs.into_iter().enumerate().filter(|(i, _)| !gone.contains(i)).map(|(_, run)| run);
    free(&segment, rest.chain([six, five, four]));
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn a_table_is_as_large_as_its_names_need() {
    let (segment, fresh) = new();
    let slots = || segment.stats().unwrap().names.slots;
    let smallest = slots();
    for i in 0..3000u64 {
        let name = format!("only once {i}");
        segment.construct(&name, i).unwrap();
        assert!(segment.destroy::<u64>(&name).unwrap());
        assert!(slots() <= 2 * smallest, "{} slots for one name at a time, of {i}", slots());
    }
    for i in 0..3000u64 {
        segment.construct(&format!("stays {i}"), i).unwrap();
    }
    assert!((3000..=8192).contains(&slots()), "{}", slots());
    assert_eq!(segment.stats().unwrap().names.objects, 3000);
    for i in 0..3000u64 {
        assert_eq!(segment.find::<u64>(&format!("stays {i}")).unwrap().as_deref(), Some(&i));
    }
    (40..3000u64).for_each(|i| assert!(segment.destroy::<u64>(&format!("stays {i}")).unwrap()));
    segment.trim().unwrap();
    assert_eq!((slots(), segment.stats().unwrap().names.entries), (smallest, 40 + 1));
    (0..40u64).for_each(|i| assert!(segment.destroy::<u64>(&format!("stays {i}")).unwrap()));
    assert_like_fresh(&segment, &fresh);
}
