use super::*;
use crate::attached::with_lane;
use crate::heap::unit::UNIT;
use crate::heap::{PlaceKind, locate, state_of};
use crate::{Options, Segment};
use core::alloc::Layout;

#[test]
fn eight_bytes_are_told_apart() {
    use State::{Doomed, Free, Limbo, Part, Private, Published, Raw};
    let states = [Free, Private, Published, Limbo, Raw, Part, Doomed];
    for (i, low) in states.into_iter().enumerate() {
        for (j, high) in states.into_iter().enumerate() {
            let bytes = u64::from_le_bytes([low as u8, 1, 1, 2, high as u8, 6, 2, low as u8]);
            let expect = |state: State| {
                u8::from(low == state) | u8::from(high == state) << 4 | u8::from(low == state) << 7
            };
            assert_eq!(classify(bytes), (expect(State::Free), expect(State::Limbo)), "{i} {j}");
        }
    }
}

#[test]
fn blocks_are_in_a_row_if_each_is_the_next_one_up_or_down() {
    let up: Vec<u64> = (0..9).map(|i| 4096 + i * 48).collect();
    let down: Vec<u64> = (0..9).map(|i| 4096 - i * 48).collect();
    assert_eq!(in_a_row::<8>(&up, 16, 48), Some(16));
    assert_eq!(in_a_row::<8>(&down, 23, 48), Some(16));
    assert_eq!(in_a_row::<8>(&up[..7], 16, 48), None, "too few");
    for index in [15, 17, 22] {
        assert_eq!(in_a_row::<8>(&up, index, 48), None, "states that are not aligned");
    }
    assert_eq!((in_a_row::<8>(&up, 23, 48), in_a_row::<8>(&down, 16, 48)), (None, None));
    assert_eq!(in_a_row::<8>(&up, 16, 64), None);
    for swapped in [(1, 2), (3, 6), (0, 7)] {
        let mut blocks = up.clone();
        blocks.swap(swapped.0, swapped.1);
        assert_eq!(in_a_row::<8>(&blocks, 16, 48), None, "{swapped:?} stand elsewhere");
    }
    let mut last = up;
    last[7] += 48;
    assert_eq!(in_a_row::<8>(&last, 16, 48), None);
}

/// A segment of which so many units are in use.
fn with_used(units: usize) -> Segment {
    let segment = Options::new().capacity(64 << 20).create_anonymous().unwrap();
    let layout = core::alloc::Layout::from_size_align(units * UNIT, 8).unwrap();
    segment.allocate(layout).unwrap();
    segment
}

/// So many blocks, as a thread that allocates gets them.
fn taken(heap: &Heap<'_>, class: ClassId, count: u32) -> Vec<u64> {
    (0..count).map(|_| heap.take_or_refill(class).unwrap()).collect()
}

#[test]
fn a_refill_of_fresh_blocks_is_one_row_as_long_as_the_magazine_takes() {
    let mut seen = 0;
    for segment in (5..9).map(with_used) {
        let arena = &segment.attached().arena;
        with_lane(segment.attached(), |lane| {
            for class in ClassId::all().filter(|class| class.cut().span == 1) {
                let (cut, magazine) = (class.cut(), lane.magazine(class));
                Heap { arena, lane }.refill(class).unwrap();
                let (count, first) = (magazine.at_hand(), magazine.pop().unwrap());
                // Whole groups, where it takes more than one.
                let (group, unit) = (GROUP as u32, UnitIndex::containing(first));
                let (full, end) = if cut.magazine < group {
                    (cut.magazine, cut.count)
                } else {
                    (cut.magazine - cut.magazine % group, cut.count - cut.count % group)
                };
                let from = first_group(class, unit, cut.groups()) as u32 * group;
                if from + full <= end {
                    assert_eq!(count, full, "{class}, from block {from} of {}", cut.count);
                    assert_eq!(magazine.room(), cut.magazine, "{class}: on the stack");
                    seen += 1;
                }
            }
        })
        .unwrap();
    }
    assert!(seen > 80, "{seen} refills with room for a row");
}

#[test]
fn neighbours_in_the_midst_of_a_group_are_a_row_too() {
    let segment = with_used(5);
    let arena = &segment.attached().arena;
    let class = ClassId::of(1024, 8).unwrap();
    with_lane(segment.attached(), |lane| {
        let (heap, magazine) = (Heap { arena, lane }, lane.magazine(class));
        let count = class.cut().count as usize;
        assert_eq!(count, GROUP);
        let blocks: Vec<u64> = taken(&heap, class, count as u32);
        let midst = &blocks[20..50];
        midst.iter().for_each(|block| assert!(Heap::free_own(lane, *block, State::Private)));
        heap.flush_all(class);
        heap.refill(class).unwrap();
        assert_eq!((magazine.at_hand(), magazine.room()), (30, class.cut().magazine));
        let again: Vec<u64> = (0..30).map(|_| Heap::take(lane, class).unwrap()).collect();
        assert_eq!(again, midst);
    })
    .unwrap();
}

#[test]
fn neighbours_with_gaps_come_one_by_one_and_nothing_between_them() {
    let segment = with_used(5);
    let arena = &segment.attached().arena;
    let class = ClassId::of(1024, 8).unwrap();
    with_lane(segment.attached(), |lane| {
        let (heap, magazine) = (Heap { arena, lane }, lane.magazine(class));
        let blocks = taken(&heap, class, GROUP as u32);
        for indices in [vec![10, 12], vec![0, 2], vec![20, 21, 63], vec![1, 2, 4, 5], vec![33]] {
            let mut wanted: Vec<u64> = indices.iter().map(|i| blocks[*i]).collect();
            wanted.iter().for_each(|block| assert!(magazine.push(*block)));
            heap.flush_all(class);
            heap.refill(class).unwrap();
            let mut found = Vec::from_iter(core::iter::from_fn(|| magazine.pop()));
            found.sort_unstable();
            wanted.sort_unstable();
            assert_eq!(found, wanted, "{indices:?}");
        }
    })
    .unwrap();
}

#[test]
fn a_refill_takes_more_than_it_must_only_where_that_goes_on_in_the_row() {
    let segment = with_used(5);
    let arena = &segment.attached().arena;
    let class = ClassId::of(64, 8).unwrap();
    with_lane(segment.attached(), |lane| {
        let (heap, magazine) = (Heap { arena, lane }, lane.magazine(class));
        let mut blocks = taken(&heap, class, class.cut().count);
        blocks.sort_unstable();
        let group = |group: usize| group * GROUP..(group + 1) * GROUP;
        let refill = |from: core::ops::Range<usize>| {
            let free: Vec<u64> = [&blocks[from], &blocks[group(3)], &blocks[group(4)]].concat();
            let mut book = lane.book().borrow_mut();
            let notes = &mut book.classes[class.index()];
            assert!(heap.free_in_slab(class, notes, &free).is_empty());
            notes.slots[0].as_mut().unwrap().pending = 1 << 2;
            assert!(heap.take_ready(class, notes));
            let count = magazine.at_hand();
            drop(book);
            let at_hand = core::iter::from_fn(|| magazine.pop()).collect::<Vec<_>>();
            assert_eq!(at_hand.len() as u32, count);
            // The next one begins as this one did.
            let mut book = lane.book().borrow_mut();
            let rest = book.classes[class.index()].slots[0].as_mut().unwrap();
            for group in [3, 4] {
                if core::mem::take(&mut rest.known_free[group]) != 0 {
                    heap.mark_private(
                        arena.states(rest.unit, class).wrapping_add(group * GROUP),
                        u64::MAX,
                    );
                    rest.outstanding += GROUP as u32;
                }
            }
            count as usize
        };
        assert_eq!(refill(2 * GROUP + 10..2 * GROUP + 30), 20, "a row that ends in the midst");
        assert_eq!(refill(2 * GROUP + 10..3 * GROUP), 3 * GROUP - 10, "one that goes on");
    })
    .unwrap();
}

#[test]
fn what_a_lane_gives_back_to_a_slab_is_in_its_notes_by_group() {
    let segment = with_used(5);
    let arena = &segment.attached().arena;
    let class = ClassId::of(64, 8).unwrap();
    with_lane(segment.attached(), |lane| {
        let heap = Heap { arena, lane };
        let blocks = taken(&heap, class, class.cut().count);
        heap.flush_all(class);
        let mut book = lane.book().borrow_mut();
        let notes = &mut book.classes[class.index()];
        let mut back = |blocks: &[u64]| {
            notes.slots[0].as_mut().unwrap().pending = 0;
            assert!(heap.free_in_slab(class, notes, blocks).is_empty());
            notes.slots[0].as_ref().unwrap().pending
        };
        let mut blocks = blocks;
        blocks.sort_unstable();
        assert_eq!(back(&blocks[70..71]), 1 << 1);
        assert_eq!(back(&[blocks[0], blocks[200], blocks[130]]), 1 << 0 | 1 << 3 | 1 << 2);
        assert_eq!(back(&blocks[64 * 5..64 * 7]), 1 << 5 | 1 << 6);
        assert_eq!(back(&blocks[64 * 8..64 * 8 + 8]), 1 << 8);
    })
    .unwrap();
}

#[test]
fn the_first_to_free_into_a_slab_rings_for_its_group_and_the_others_leave_it_at_that() {
    let segment = with_used(5);
    let arena = &segment.attached().arena;
    let class = ClassId::of(64, 8).unwrap();
    with_lane(segment.attached(), |lane| {
        let heap = Heap { arena, lane };
        let mut blocks = taken(&heap, class, class.cut().count);
        blocks.sort_unstable();
        blocks.iter().for_each(|block| Heap::set_state(arena, *block, State::Raw));
        let bell = &arena.lane(lane.id()).bells[class.index()];
        let doorbell = arena.doorbell(UnitIndex::containing(blocks[0]));
        let free = |index: usize| {
            let (segment, block) = (&segment, blocks[index]);
            let block = crate::Offset::from_bits(block).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(move || segment.deallocate(block).unwrap()).join().unwrap();
            });
            (bell.swap(0, Acquire), doorbell.load(Acquire))
        };
        assert_eq!(free(70), (1, 1 << 1));
        assert_eq!(free(71), (0, 1 << 1));
        assert_eq!(free(200), (0, 1 << 1 | 1 << 3));
        doorbell.swap(0, Acquire);
        assert_eq!(free(0), (1, 1 << 0));
        let mut book = lane.book().borrow_mut();
        let notes = &mut book.classes[class.index()];
        notes.slots[0].as_mut().unwrap().pending = 0;
        bell.fetch_or(1, Release);
        heap.answer_bells(class, notes);
        assert_eq!(notes.slots[0].as_ref().unwrap().pending, 1 << 0, "this group alone");
    })
    .unwrap();
}

#[test]
fn frees_of_one_slab_are_told_of_together_and_before_anything_else_is_done() {
    let segment = with_used(5);
    let arena = &segment.attached().arena;
    let class = ClassId::of(64, 8).unwrap();
    let owner = with_lane(segment.attached(), |lane| {
        let heap = Heap { arena, lane };
        let mut blocks = taken(&heap, class, 2 * class.cut().count);
        blocks.sort_unstable();
        blocks.iter().for_each(|block| Heap::set_state(arena, *block, State::Raw));
        blocks
    })
    .unwrap();
    let second = owner
        .partition_point(|block| UnitIndex::containing(*block) == UnitIndex::containing(owner[0]));
    let told = |index: usize| arena.doorbell(UnitIndex::containing(owner[index])).swap(0, AcqRel);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            with_lane(segment.attached(), |lane| {
                let heap = Heap { arena, lane };
                heap.take_or_refill(class).unwrap();
                let free = |index: usize| heap.free_raw(owner[index]).unwrap();
                (0..64).for_each(free);
                assert_eq!(told(0), 0, "a group's worth");
                free(64);
                assert_eq!(told(0), 1 << 0, "and one more");
                free(128);
                assert_eq!(told(0), 0);
                free(second);
                assert_eq!((told(0), told(second)), (1 << 1 | 1 << 2, 0), "of another slab");
                free(second + 64);
                heap.refill(ClassId::of(1024, 8).unwrap()).unwrap();
                assert_eq!((told(0), told(second)), (0, 1 << 0 | 1 << 1), "by a refill");
                free(second + 1);
                heap.release_idle();
                assert_eq!(told(second), 1, "by a trim");
                free(second + 2);
            })
            .unwrap();
        });
    });
    // Its thread may still be about to end.
    let begin = std::time::Instant::now();
    while told(second) != 1 {
        assert!(begin.elapsed().as_secs() < 20, "its end");
        std::thread::yield_now();
    }
}

#[test]
fn a_late_ring_of_an_empty_slab_does_not_make_two_of_it() {
    let segment = with_used(5);
    let arena = &segment.attached().arena;
    let class = ClassId::of(1024, 8).unwrap();
    with_lane(segment.attached(), |lane| {
        let heap = Heap { arena, lane };
        let block = heap.take_or_refill(class).unwrap();
        assert!(lane.magazine(class).push(block));
        heap.flush_all(class);
        let mut book = lane.book().borrow_mut();
        let notes = &mut book.classes[class.index()];
        assert_eq!(notes.empties, 1);
        arena.doorbell(UnitIndex::containing(block)).fetch_or(1, AcqRel);
        arena.lane(lane.id()).bells[class.index()].fetch_or(1, Release);
        heap.answer_bells(class, notes);
        assert_eq!((notes.empties, notes.owned().count()), (1, 1));
    })
    .unwrap();
}

#[test]
fn after_a_recovery_the_next_refill_looks_at_all_slabs() {
    let class = ClassId::of(1024, 8).unwrap();
    for nth in [0, 1, 4] {
        let segment = with_used(5);
        let arena = &segment.attached().arena;
        with_lane(segment.attached(), |lane| {
            let heap = Heap { arena, lane };
            let take = || heap.take_or_refill(class).unwrap();
            let count = class.cut().count;
            let blocks = taken(&heap, class, 6 * count);
            let hide = |index: u32| {
                let place = locate(arena, blocks[index as usize]).unwrap();
                let PlaceKind::Slab(block, _) = place.kind else { panic!() };
                heap.state(block).store(State::Free as u8, Release);
                blocks[index as usize]
            };
            let lost = [hide(nth * count + 7), hide(nth * count + 9)];
            arena.header().sweep_epoch.fetch_add(1, Release);
            assert_eq!([take(), take()], lost, "of slab {nth}");
        })
        .unwrap();
    }
}

#[test]
fn the_first_free_block_of_an_orphan_shows_it() {
    let segment = with_used(5);
    let arena = &segment.attached().arena;
    let class = ClassId::of(1024, 8).unwrap();
    let fill = || {
        let layout = core::alloc::Layout::new::<[u64; 128]>();
        (0..class.cut().count).map(|_| segment.allocate(layout).unwrap()).collect::<Vec<_>>()
    };
    let blocks = std::thread::scope(|scope| scope.spawn(fill).join().unwrap());
    let unit = UnitIndex::containing(blocks[0].to_bits());
    let is_shown = || arena.set(SetId::Orphans(class)).shows(unit.0 as usize);
    while arena.unit(unit) != Some(Unit::Orphan { class }) {
        std::thread::yield_now(); // its thread is ending
    }
    assert!(!is_shown(), "it is full");
    segment.deallocate(blocks[3]).unwrap();
    assert!(is_shown());
    let again = segment.allocate(core::alloc::Layout::new::<[u64; 128]>()).unwrap();
    assert_eq!((again, is_shown()), (blocks[3], false));
}

#[test]
fn a_block_whose_freer_told_nobody_is_found_before_the_lane_has_three_times_its_slabs() {
    let class = ClassId::of(1024, 8).unwrap();
    for (slabs, nth) in [(1, 0), (2, 0), (2, 1), (5, 0), (5, 3), (5, 4), (6, 2)] {
        let segment = with_used(5);
        let arena = &segment.attached().arena;
        with_lane(segment.attached(), |lane| {
            let heap = Heap { arena, lane };
            let take = || heap.take_or_refill(class).unwrap();
            let blocks = taken(&heap, class, slabs * class.cut().count);
            // f1, and nothing after it: the freer is stopped.
            let lost = blocks[(nth * class.cut().count + 7) as usize];
            let PlaceKind::Slab(block, _) = locate(arena, lost).unwrap().kind else { panic!() };
            heap.state(block).store(State::Free as u8, Release);
            let mut more = (0..2 * slabs * class.cut().count).map(|_| take());
            assert!(more.any(|block| block == lost), "of slab {nth} of {slabs}");
        })
        .unwrap();
    }
}

#[test]
fn the_first_group_is_one_that_was_announced() {
    for class in ClassId::all() {
        let groups = class.cut().groups();
        for unit in (0..200).map(UnitIndex) {
            for pending in [groups, groups & 0x5555_5555_5555_5555, 1] {
                let first = first_group(class, unit, pending);
                assert_eq!(pending >> first & 1, 1, "{class}, {unit}, {pending:#x}");
            }
        }
    }
}

#[test]
fn a_fresh_slab_of_leases_has_none() {
    let segment = Options::new().capacity(1 << 20).create_anonymous().unwrap();
    let arena = &segment.attached().arena;
    with_lane(segment.attached(), |lane| {
        let heap = Heap { arena, lane };
        // What will be their unit was written to, up to the last byte.
        let run = heap.allocate_run(1).unwrap();
        // SAFETY: a unit of ours.
        unsafe { arena.at(run).write_bytes(0xff, UNIT) };
        heap.free_private(run);
        let mut units = std::collections::HashSet::new();
        for _ in 0..ClassId::LEASES.cut().count {
            let lease = heap.take_lease().unwrap();
            assert_eq!(arena.word(lease).unwrap().load(Relaxed), 0);
            units.insert(UnitIndex::containing(lease).0);
        }
        assert!(units.contains(&UnitIndex::containing(run).0), "another unit was taken");
    })
    .unwrap();
}

#[test]
fn nothing_is_freed_where_no_memory_was_claimed_yet() {
    let segment = with_used(1);
    let arena = &segment.attached().arena;
    // Damage: the unit behind the frontier says that it is another lane's slab, with a block.
    let (head, class) = (arena.frontier(), ClassId::of(64, 8).unwrap());
    let word = Unit::Slab { class, lane: LaneId(77), slot: 0 };
    arena.unit_word(head).store(word.word(), Release);
    let state = arena.states(head, class);
    // SAFETY: inside the mapping; nobody else is at it.
    unsafe { (*state).store(State::Raw as u8, Release) };
    let offset = head.offset();
    with_lane(segment.attached(), |lane| {
        let heap = Heap { arena, lane };
        assert_eq!(heap.free_raw(offset), Err(crate::FreeError::Foreign { offset }));
    })
    .unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { (*state).load(Relaxed) }, State::Raw as u8);
}

#[test]
fn a_block_starts_where_one_can_and_nowhere_else() {
    let segment = with_used(1);
    let arena = &segment.attached().arena;
    let class = ClassId::of(48, 8).unwrap();
    let cut = class.cut();
    let block = segment.allocate(Layout::from_size_align(48, 8).unwrap()).unwrap().to_bits();
    // What is behind it can be touched.
    segment.allocate(Layout::from_size_align(4 * UNIT, 8).unwrap()).unwrap();
    let (head, bytes) = (UnitIndex::containing(block), u64::from(cut.size));
    assert!(arena.holds(head.plus(1).offset(), 1));
    let (first, states) = (head.offset(), head.offset() + u64::from(cut.states));
    let behind = first + u64::from(cut.count) * bytes;
    assert!(UnitIndex::containing(behind) == head, "there is a rest");
    with_lane(segment.attached(), |lane| {
        let heap = Heap { arena, lane };
        let starts = |at| heap.starts_block(at, bytes);
        assert!(starts(first) && starts(block) && starts(behind - bytes));
        assert!(heap.starts_block(block, 1) && !heap.starts_block(block, bytes + 1));
        for at in [first - 16, first + 16, behind - 16, behind, states, states + 16, 0, u64::MAX] {
            assert!(!starts(at), "{at:#x}");
        }
        // What holds a byte: nothing behind the last block.
        let around = |at| heap.block_around(at);
        assert_eq!([around(block), around(block + bytes - 1)], [Some(block); 2]);
        assert_eq!([around(behind - 1), around(behind)], [Some(behind - bytes), None]);
        assert_eq!(around(states), None);
        // Damage: beyond the frontier, a unit that nobody claimed says that it is a slab, too.
        let beyond = arena.frontier();
        let word = Unit::Slab { class, lane: LaneId(77), slot: 0 }.word();
        arena.unit_word(beyond).store(word, Release);
        assert!(!starts(beyond.offset()));
        // The one that holds it says that it is of a class that is none, but for its low bits.
        let own = arena.unit_word(head).fetch_or(64 << 20, crate::sync::AcqRel);
        assert!(!starts(block) && crate::heap::locate(arena, block).is_none());
        arena.unit_word(head).store(own, Release);
        assert!(starts(block));
        // The last one below it says that it covers more than there is.
        let last = UnitIndex(beyond.0 - 1);
        let long = ClassId::all().find(|it| it.cut().span > 1 && it.cut().size as usize > UNIT);
        let was = arena.unit_word(last).swap(
            Unit::Slab { class: long.unwrap(), lane: LaneId(77), slot: 0 }.word(),
            crate::sync::AcqRel,
        );
        assert!(!heap.starts_block(last.offset(), 16));
        arena.unit_word(last).store(was, Release);
        arena.unit_word(beyond).store(0, Release);
    })
    .unwrap();
}

#[test]
fn who_retires_its_own_block_notes_it_and_retires_nothing_else() {
    let segment = with_used(1);
    let arena = &segment.attached().arena;
    with_lane(segment.attached(), |lane| {
        let heap = Heap { arena, lane };
        let class = ClassId::of(64, 8).unwrap();
        let block = heap.take_or_refill(class).unwrap();
        let place = locate(arena, block).unwrap();
        let pending = || {
            let word = arena.unit_word(UnitIndex::containing(block)).load(Relaxed);
            let mut book = lane.book().borrow_mut();
            let slab = &mut book.classes[class.index()].slots[slot_field(word) as usize];
            core::mem::take(&mut slab.as_mut().unwrap().pending)
        };
        pending();
        for state in [State::Private, State::Raw, State::Part, State::Limbo] {
            Heap::set_state(arena, block, state);
            heap.retire(block);
            assert_eq!(state_of(arena, &place), Some(state), "it is not published");
            assert_eq!(pending(), 0);
        }
        Heap::set_state(arena, block, State::Published);
        heap.retire(block);
        assert_eq!(state_of(arena, &place), Some(State::Limbo));
        assert_eq!(pending().count_ones(), 1);
        assert_eq!(arena.doorbell(UnitIndex::containing(block)).load(Relaxed), 0);
        Heap::set_state(arena, block, State::Private);
        heap.free_private(block);
    })
    .unwrap();
}

#[test]
fn only_a_group_that_is_begun_and_not_ended_is_kept_back() {
    for class in
        [ClassId::of(16, 1).unwrap(), ClassId::of(112, 1).unwrap(), ClassId::of(512, 1).unwrap()]
    {
        let cut = class.cut();
        let block = |index: u32| UNIT as u64 * 7 + u64::from(index * cut.size);
        let up = |range: core::ops::Range<u32>| range.map(block).collect::<Vec<u64>>();
        let down = |range: core::ops::Range<u32>| range.rev().map(block).collect::<Vec<u64>>();
        for (blocks, begun) in [
            (up(5..64), 0),
            (up(5..65), 1),
            (up(5..100), 36),
            (up(64..127), 63),
            (up(0..128), 0),
            (up(70..80), 0),
            (down(64..100), 0),
            (down(63..100), 1),
            (down(20..100), 44),
            (down(1..64), 63),
            (down(0..128), 0),
            (down(20..40), 0),
            (vec![block(64), block(30), block(17)], 0),
            (vec![block(3), block(69), block(70)], 0),
            (vec![block(69), block(70)], 0),
            (vec![], 0),
        ] {
            assert_eq!(begun_group(cut, &blocks), begun, "{class}: {blocks:x?}");
        }
    }
}

#[test]
fn a_full_magazine_of_any_class_gives_back_a_third_at_least() {
    let segment = Options::new().capacity(1 << 30).create_anonymous().unwrap();
    let arena = &segment.attached().arena;
    with_lane(segment.attached(), |lane| {
        let heap = Heap { arena, lane };
        for class in ClassId::all().filter(|class| class.cut().magazine > 1) {
            let (most, magazine) = (class.cut().magazine, lane.magazine(class));
            let blocks: Vec<u64> =
                (0..3 * most).map(|_| heap.take_or_refill(class).unwrap()).collect();
            let mut blocks = blocks.into_iter();
            while magazine.room() != 0 {
                assert!(magazine.push(blocks.next().unwrap()));
            }
            heap.make_room(class);
            let room = magazine.room();
            assert!(room >= most.div_ceil(3) && room < most, "{class}: {room} of {most}");
        }
    })
    .unwrap();
}
