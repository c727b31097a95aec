//! Raw memory:
//!
//! - a block has the size and alignment asked for, zeroes if asked for, and grows and shrinks where
//!   it stands if there is room;
//! - one block can have nearly the whole capacity;
//! - any thread may free any block, also a thread that is ending; a thread that ends gives back all
//!   that it kept;
//! - every wrong free is told as what it is, and changes nothing;
//! - with nothing left, an error; with something freed, memory again;
//! - more threads than there are lanes: an error that says so;
//! - what was prepared ahead meets no page fault, also after it was given back, and is given back again.
mod common;

use common::{assert_like_fresh, at_rest};
use sharena::{AllocError, Block, FreeError, Handle, Offset, Options, Segment, Stats};
use std::alloc::Layout;
use std::cell::RefCell;
use std::sync::Barrier;

const UNIT: usize = 64 << 10;

fn new(capacity: u64) -> (Segment, Stats) {
    let segment = Options::new().capacity(capacity).create_anonymous().unwrap();
    let fresh = at_rest(&segment);
    (segment, fresh)
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, 8).unwrap()
}

#[allow(clippy::mut_from_ref)] // of a block that the test holds alone
fn bytes(segment: &Segment, block: Offset<u8>) -> &mut [u8] {
    let at = segment.address(block).unwrap().as_ptr();
    // SAFETY: the block is the test's alone, and all of it may be used.
    unsafe { std::slice::from_raw_parts_mut(at, segment.usable_size(block).unwrap()) }
}

#[test]
fn any_alignment_up_to_a_unit() {
    let (segment, fresh) = new(64 << 20);
    for shift in 0..=16 {
        let align = 1 << shift;
        let mut blocks = Vec::new();
        for size in [1, 7, 16, 100, 1000, align, align + 1, 3 * align, 70_000, 400_000] {
            let layout = Layout::from_size_align(size, align).unwrap();
            let block = segment.allocate(layout).unwrap();
            assert_eq!(segment.address(block).unwrap().as_ptr() as usize % align, 0);
            assert_eq!(
                block.to_bits() % align as u64,
                0,
                "in every process, as mappings start at pages"
            );
            let private = segment.allocate_block(layout).unwrap();
            assert_eq!(private.as_ptr().as_ptr() as usize % align, 0);
            assert!(private.usable_size() >= size);
            bytes(&segment, block).fill(shift as u8);
            blocks.push((block, private));
        }
        for (block, _) in blocks {
            assert!(bytes(&segment, block).iter().all(|byte| *byte == shift as u8));
            segment.deallocate(block).unwrap();
        }
    }
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn little_is_lost_by_rounding() {
    let (segment, _) = new(64 << 20);
    for size in (1..200_000).step_by(37) {
        let block = segment.allocate_block(layout(size)).unwrap();
        let usable = block.usable_size();
        assert!(
            usable >= size && usable <= (size + size / 4).max(size + 16),
            "{usable} bytes for {size}"
        );
    }
}

#[test]
fn zeroed_memory_is_zero_whatever_was_there() {
    let (segment, fresh) = new(64 << 20);
    for size in [1, 64, 1000, 10_000, 100_000, 1 << 20] {
        for _ in 0..20 {
            let dirty = segment.allocate(layout(size)).unwrap();
            bytes(&segment, dirty).fill(0xff);
            segment.deallocate(dirty).unwrap();
            let zeroed = segment.allocate_zeroed(layout(size)).unwrap();
            assert!(bytes(&segment, zeroed)[..size].iter().all(|byte| *byte == 0), "{size} bytes");
            bytes(&segment, zeroed).fill(0xff);
            segment.deallocate(zeroed).unwrap();
        }
    }
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn blocks_grow_and_shrink_where_they_stand() {
    let (segment, fresh) = new(64 << 20);
    // A block of a slab: within its class.
    let small = segment.allocate(layout(100)).unwrap();
    let usable = segment.usable_size(small).unwrap();
    assert_eq!(segment.resize_in_place(small, usable).unwrap(), Some(usable));
    assert_eq!(segment.resize_in_place(small, 1).unwrap(), Some(usable));
    assert_eq!(segment.resize_in_place(small, usable + 1).unwrap(), None);
    assert_eq!(segment.resize_in_place(small, usize::MAX).unwrap(), None);
    assert_eq!(segment.resize_in_place(small, 0).unwrap(), None);
    assert_eq!(segment.usable_size(small).unwrap(), usable);

    // A run of units: into what is free behind it.
    let run = segment.allocate(layout(8 * UNIT)).unwrap();
    bytes(&segment, run).fill(1);
    assert_eq!(
        segment.resize_in_place(run, 16 * UNIT).unwrap(),
        Some(16 * UNIT),
        "nothing stands behind it"
    );
    assert!(bytes(&segment, run)[..8 * UNIT].iter().all(|byte| *byte == 1));
    bytes(&segment, run).fill(2);
    assert_eq!(segment.resize_in_place(run, 6 * UNIT - 5).unwrap(), Some(6 * UNIT));
    assert_eq!(segment.usable_size(run).unwrap(), 6 * UNIT);
    // What was given back is somebody's, then.
    let mut behind = Vec::new();
    while behind
        .last()
        .is_none_or(|block: &Offset<u8>| block.to_bits() != run.to_bits() + 6 * UNIT as u64)
    {
        behind.push(segment.allocate(layout(5 * UNIT)).unwrap());
        bytes(&segment, *behind.last().unwrap()).fill(3);
    }
    assert_eq!(segment.resize_in_place(run, 6 * UNIT + 1).unwrap(), None, "it is in use behind");
    assert!(bytes(&segment, run).iter().all(|byte| *byte == 2));
    segment.deallocate(behind.pop().unwrap()).unwrap();
    assert_eq!(segment.resize_in_place(run, 7 * UNIT).unwrap(), Some(7 * UNIT));

    assert_eq!(segment.resize_in_place(small.cast(), 1).unwrap(), Some(usable));
    let inside = Offset::from_bits(run.to_bits() + 8).unwrap();
    assert!(matches!(segment.resize_in_place(inside, UNIT), Err(FreeError::Misaligned { .. })));
    for block in behind.into_iter().chain([small, run]) {
        segment.deallocate(block).unwrap();
    }
    assert!(segment.resize_in_place(run, UNIT).is_err());
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn one_block_of_nearly_everything() {
    let (segment, fresh) = new(64 << 20);
    for round in 0..3u8 {
        let large = segment.allocate(layout(64 << 20)).unwrap();
        let bytes = bytes(&segment, large);
        bytes[0] = round;
        bytes[(64 << 20) - 1] = round;
        segment.deallocate(large).unwrap();
    }
    // All of the room in one block, but for the units that something lies in.
    let most = fresh.free as usize / UNIT * UNIT - 2 * UNIT;
    let large = segment.allocate(layout(most)).unwrap();
    let refused = segment.allocate(layout(8 * UNIT)).unwrap_err();
    assert!(
        matches!(refused, AllocError::OutOfCapacity { asked, .. } if asked == 8 * UNIT),
        "{refused}"
    );
    segment.deallocate(large).unwrap();
    let refused = segment.allocate(layout(fresh.total as usize + 1)).unwrap_err();
    assert_eq!(
        refused,
        AllocError::TooLarge { asked: fresh.total as usize + 1, capacity: fresh.total }
    );
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn a_wrong_free_is_told_as_what_it_is() {
    let (segment, fresh) = new(64 << 20);
    let offset = |bits: u64| Offset::<u8>::from_bits(bits).unwrap();
    // Of another's blocks a thread is told the same as of its own.
    let told = |at: Offset<u8>| {
        let by_another =
            std::thread::scope(|scope| scope.spawn(|| segment.deallocate(at)).join().unwrap());
        assert_eq!(segment.deallocate(at), by_another);
        by_another
    };
    for size in [1, 48, 1000, 30_000, 200_000, 1 << 20] {
        let block = segment.allocate(layout(size)).unwrap();
        let start = block.to_bits();
        let usable = segment.usable_size(block).unwrap() as u64;
        for inside in
            [1, usable / 2, usable - 1].into_iter().filter(|inside| (1..usable).contains(inside))
        {
            let error = FreeError::Misaligned { offset: start + inside, start };
            assert_eq!(told(offset(start + inside)), Err(error), "{size} bytes");
            assert_eq!(segment.usable_size(offset(start + inside)), Err(error));
        }
        segment.deallocate(block).unwrap();
        let twice = segment.deallocate(block).unwrap_err();
        // A block at hand is private to the thread; what went back further is free, or gone.
        assert!(
            matches!(
                twice,
                FreeError::IsPrivate { .. }
                    | FreeError::DoubleFree { .. }
                    | FreeError::Foreign { .. }
            ),
            "{size} bytes: {twice}"
        );
        let by_another =
            std::thread::scope(|scope| scope.spawn(|| segment.deallocate(block)).join().unwrap());
        assert!(by_another.is_err());
    }
    let private = segment.allocate_block(layout(64)).unwrap();
    let at = segment.offset_of(private.as_ptr().as_ptr()).unwrap();
    assert_eq!(told(at), Err(FreeError::IsPrivate { offset: at.to_bits() }));
    let run = segment.allocate_block(layout(1 << 20)).unwrap();
    let at = segment.offset_of(run.as_ptr().as_ptr()).unwrap();
    assert_eq!(told(at), Err(FreeError::IsPrivate { offset: at.to_bits() }));

    for bytes in [8, 1 << 20] {
        let object = segment.construct_slice("object", bytes, |_| 7u8).unwrap();
        let info = segment.objects().unwrap().pop().unwrap();
        assert_eq!(told(offset(info.offset)), Err(FreeError::IsObject { offset: info.offset }));
        let value = object.offset().to_bits();
        assert_eq!(
            told(offset(value)),
            Err(FreeError::Misaligned { offset: value, start: info.offset })
        );
        assert!(object.iter().all(|byte| *byte == 7));
        drop(object);
        segment.destroy::<u8>("object").unwrap();
    }
    // The header, the tables, units never used, what is far outside.
    let size = segment.stats().unwrap().total;
    for bits in [1, 8, 4096, UNIT as u64, size, size * 2, 1 << 43, 1 << 44, u64::MAX] {
        let refused = segment.deallocate(offset(bits));
        assert_eq!(refused, Err(FreeError::Foreign { offset: bits }));
    }
    drop((private, run));
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn every_byte_of_a_unit_but_the_starts_of_blocks_is_refused() {
    let (segment, fresh) = new(64 << 20);
    for size in (0..20).flat_map(|step| [16 * (step + 1), 128 << (step / 2), 160 << (step / 2)]) {
        let full = 0x06; // what a state byte could be mistaken for
        let blocks: Vec<_> = (0..3)
            .map(|_| {
                let block = segment.allocate(layout(size)).unwrap();
                bytes(&segment, block).fill(full);
                block.to_bits()
            })
            .collect();
        let unit = blocks[0] & !(UNIT as u64 - 1);
        let refuse = || {
            for at in (unit..unit + UNIT as u64).filter(|at| !blocks.contains(at)) {
                let refused = segment.deallocate(Offset::from_bits(at).unwrap());
                assert!(
                    refused.is_err(),
                    "{size} bytes: {at:#x} was freed, {blocks:x?} are in use"
                );
            }
        };
        // By the thread whose slab it is, and by another.
        refuse();
        std::thread::scope(|scope| scope.spawn(refuse).join().unwrap());
        for block in &blocks {
            let block = Offset::from_bits(*block).unwrap();
            assert!(bytes(&segment, block).iter().all(|byte| *byte == full));
            segment.deallocate(block).unwrap();
        }
    }
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn a_double_free_by_another_thread_is_told() {
    let (segment, fresh) = new(64 << 20);
    let blocks: Vec<_> = (0..3000).map(|_| segment.allocate(layout(200)).unwrap()).collect();
    std::thread::scope(|scope| {
        scope
            .spawn(|| blocks.iter().for_each(|block| segment.deallocate(*block).unwrap()))
            .join()
            .unwrap();
    });
    // Nothing was taken since, so each is known to be free.
    for block in &blocks {
        let error = segment.deallocate(*block).unwrap_err();
        assert!(
            matches!(error, FreeError::DoubleFree { .. } | FreeError::IsPrivate { .. }),
            "{error}"
        );
    }
    // And none was put back twice.
    let again: std::collections::HashSet<_> =
        (0..6000).map(|_| segment.allocate(layout(200)).unwrap()).collect();
    assert_eq!(again.len(), 6000, "a block was given out twice");
    again.into_iter().for_each(|block| segment.deallocate(block).unwrap());
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn full_then_freed_then_usable() {
    let (segment, fresh) = new(1 << 20);
    for size in [32, 500, 6000, 60_000, 250_000, 1 << 20] {
        let mut counts = Vec::new();
        for _ in 0..3 {
            let mut blocks = Vec::new();
            let error = loop {
                match segment.allocate(layout(size)) {
                    Ok(block) => blocks.push(block),
                    Err(error) => break error,
                }
            };
            assert!(
                matches!(error, AllocError::OutOfCapacity { asked, .. } if asked == size),
                "{error}"
            );
            assert!(blocks.len() * size >= 1 << 20, "{} blocks of {size}", blocks.len());
            // Still full; then one fits, and no more.
            assert!(segment.allocate(layout(size)).is_err());
            segment.deallocate(blocks.pop().unwrap()).unwrap();
            blocks.push(segment.allocate(layout(size)).unwrap());
            // By another thread, while this one keeps its lane.
            std::thread::scope(|scope| {
                let segment = &segment;
                let half = blocks.split_off(blocks.len() / 2);
                scope
                    .spawn(move || {
                        half.into_iter().for_each(|block| segment.deallocate(block).unwrap())
                    })
                    .join()
                    .unwrap();
            });
            counts.push(blocks.len());
            let other = segment.allocate(layout(4000)).unwrap();
            segment.deallocate(other).unwrap();
            blocks.into_iter().for_each(|block| segment.deallocate(block).unwrap());
        }
        assert!(
            counts.iter().all(|count| count.abs_diff(counts[0]) <= counts[0] / 8 + 1),
            "{size}: {counts:?}"
        );
        assert_like_fresh(&segment, &fresh);
    }
}

#[test]
fn all_sizes_one_after_another_fit_each_time() {
    let (segment, fresh) = new(4 << 20);
    // Empty slabs of one class make room for those of the next.
    for _ in 0..3 {
        for shift in 4..22 {
            let size = 1usize << shift;
            let blocks: Vec<_> =
                (0..(4 << 20) / size).map(|_| segment.allocate(layout(size)).unwrap()).collect();
            blocks.into_iter().for_each(|block| segment.deallocate(block).unwrap());
        }
    }
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn private_blocks_may_be_dropped_by_any_thread() {
    let (segment, fresh) = new(64 << 20);
    for round in 0..20 {
        let blocks: Vec<Block<'_>> = (0..500)
            .map(|i| segment.allocate_block(layout(1 + (i * 37 + round) % 3000)).unwrap())
            .collect();
        let large = segment.allocate_block(layout(1 << 20)).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || drop((blocks, large))).join().unwrap();
        });
    }
    // Given from one to the next.
    let mut block = segment.allocate_block(layout(100)).unwrap();
    for i in 0..50u8 {
        let segment = &segment;
        block = std::thread::scope(|scope| {
            let pass = move || {
                // SAFETY: the block is this thread's now, and 100 bytes long.
                unsafe {
                    assert!(i == 0 || *block.as_ptr().as_ptr() == i);
                    *block.as_ptr().as_ptr() = i + 1;
                }
                let another = segment.allocate_block(layout(100)).unwrap();
                assert_ne!(another.as_ptr(), block.as_ptr());
                block
            };
            scope.spawn(pass).join().unwrap()
        });
    }
    drop(block);
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn handles_do_what_the_segment_does() {
    let (segment, fresh) = new(16 << 20);
    let one = segment.handle().unwrap();
    let two = segment.handle().unwrap();
    assert_eq!(one.segment().id(), segment.id());
    let a = one.allocate(layout(100)).unwrap();
    let b = one.allocate_block(layout(100)).unwrap();
    bytes(&segment, a).fill(1);
    assert_eq!(one.address(a), segment.address(a));
    assert_eq!(one.address(Offset::from_bits(1 << 43).unwrap()), None, "the segment has ended");
    segment.deallocate(a).unwrap();
    two.free_block(b);
    let c = segment.allocate(layout(1 << 20)).unwrap();
    one.deallocate(c).unwrap();
    assert!(one.deallocate(c).is_err());
    drop(one);
    let d = two.allocate_block(layout(1000)).unwrap();
    drop(two);
    drop(d);
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn a_thousand_threads_one_after_another_leave_nothing() {
    let (segment, fresh) = new(16 << 20);
    let mut published = Vec::new();
    for i in 0..1000usize {
        let work = || {
            let blocks: Vec<_> = (0..20)
                .map(|j| segment.allocate_block(layout(16 + (i + j * 61) % 5000)).unwrap())
                .collect();
            drop(blocks);
            segment.construct(&format!("{i}"), i).unwrap();
            segment.allocate(layout(16 + i % 700)).unwrap()
        };
        published.push(std::thread::scope(|scope| scope.spawn(work).join().unwrap()));
    }
    assert!(
        segment.stats().unwrap().lanes <= 4,
        "ended threads gave back their lanes: {}",
        segment.stats().unwrap().lanes
    );
    published.into_iter().for_each(|block| segment.deallocate(block).unwrap());
    assert_eq!(segment.clear().unwrap(), 1000);
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn two_hundred_threads_at_once_leave_nothing() {
    // Each thread has a slab of each size class that it uses.
    let (segment, fresh) = new(1 << 30);
    let barrier = Barrier::new(200);
    let published: Vec<_> = std::thread::scope(|scope| {
        let work = |i: usize| {
            let (segment, barrier) = (&segment, &barrier);
            scope.spawn(move || {
                let mine: Vec<_> = (0..50)
                    .map(|j| segment.allocate(layout(16 + (i * 7 + j * 61) % 900)).unwrap())
                    .collect();
                mine.iter().for_each(|block| bytes(segment, *block).fill(i as u8));
                barrier.wait(); // all hold theirs at once
                assert!(
                    mine.iter()
                        .all(|block| bytes(segment, *block).iter().all(|byte| *byte == i as u8))
                );
                mine
            })
        };
        let threads: Vec<_> = (0..200).map(work).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    published.into_iter().for_each(|block| segment.deallocate(block).unwrap());
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn more_threads_than_lanes_are_told_so() {
    let (segment, fresh) = new(1 << 30);
    let asked = 4200;
    // The parent thread has a lane as well.
    let hold = |segment: &Segment| {
        segment.allocate(layout(16)).map(|block| segment.deallocate(block).unwrap())
    };
    let barrier = Barrier::new(asked);
    let results: Vec<Result<(), AllocError>> = std::thread::scope(|scope| {
        let start = |_| {
            let (segment, barrier) = (&segment, &barrier);
            let work = move || {
                let result = hold(segment);
                barrier.wait();
                result
            };
            // Without optimization, as planted bugs are built, 64 KiB are not enough for a lane that is made.
            std::thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, work).unwrap()
        };
        let threads: Vec<_> = (0..asked).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let refused: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    let error = AllocError::TooManyThreads { limit: 4095 };
    assert_eq!(refused, vec![error; asked + 1 - 4095]);
    assert!(error.to_string().contains("4095"), "{error}");
    // They ended; there is room again.
    assert_eq!(std::thread::scope(|scope| scope.spawn(|| hold(&segment)).join().unwrap()), Ok(()));
    assert_like_fresh(&segment, &fresh);
}

/// Frees its block when the thread's values are destroyed: before or after those of the crate.
struct AtTheEnd(RefCell<Option<(Segment, Offset<u8>)>>);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        let (segment, block) = self.0.take().expect("set by the test");
        segment.deallocate(block).unwrap();
        let another = segment.allocate(layout(300)).unwrap();
        segment.deallocate(another).unwrap();
    }
}

thread_local! {
    static FIRST: AtTheEnd = const { AtTheEnd(RefCell::new(None)) };
    static LAST: AtTheEnd = const { AtTheEnd(RefCell::new(None)) };
}

#[test]
fn a_thread_that_is_ending_may_free() {
    let (segment, fresh) = new(16 << 20);
    for _ in 0..50 {
        let segment = segment.clone();
        std::thread::spawn(move || {
            // Registered before the crate's thread-local values, and after.
            FIRST.with(|at_end| at_end.0.take());
            let blocks =
                [segment.allocate(layout(100)).unwrap(), segment.allocate(layout(5000)).unwrap()];
            FIRST.with(|at_end| *at_end.0.borrow_mut() = Some((segment.clone(), blocks[0])));
            LAST.with(|at_end| *at_end.0.borrow_mut() = Some((segment, blocks[1])));
        })
        .join()
        .unwrap();
    }
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn what_threads_free_crosswise_is_all_there() {
    let (segment, fresh) = new(64 << 20);
    std::thread::scope(|scope| {
        let (to_free, freed) = std::sync::mpsc::sync_channel::<Vec<Offset<u8>>>(4);
        let segment = &segment;
        let maker = scope.spawn(move || {
            let handle: Handle<'_> = segment.handle().unwrap();
            for round in 0..400usize {
                let make = |i: usize| {
                    let block = handle.allocate(layout(16 + (round * 13 + i) % 600)).unwrap();
                    bytes(segment, block)[0] = round as u8;
                    block
                };
                to_free.send((0..200).map(make).collect()).unwrap();
            }
        });
        let breaker = scope.spawn(move || {
            for (round, blocks) in freed.into_iter().enumerate() {
                for block in blocks {
                    assert_eq!(bytes(segment, block)[0], round as u8);
                    segment.deallocate(block).unwrap();
                }
            }
        });
        maker.join().unwrap();
        breaker.join().unwrap();
    });
    // What was freed from afar was used again: a few rounds' worth, not four hundred.
    let units = segment.stats().unwrap().units;
    assert!(units.slabs < 400, "{units:?}");
    assert_like_fresh(&segment, &fresh);
}

/// Page faults of this thread.
fn faults() -> i64 {
    // SAFETY: all zero is a value, and the kernel writes one.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage), 0);
        usage.ru_minflt
    }
}

/// Faults while so many bytes are allocated in small blocks, and written to.
fn faults_of_use(segment: &Segment, all: usize) -> i64 {
    let mut blocks = Vec::with_capacity(all / 64);
    blocks.resize(all / 64, None); // its own pages are there before
    let before = faults();
    for place in &mut blocks {
        let block = segment.allocate(layout(64)).unwrap();
        bytes(segment, block)[0] = 1;
        *place = Some(block);
    }
    let took = faults() - before;
    blocks.into_iter().flatten().for_each(|block| segment.deallocate(block).unwrap());
    took
}

#[test]
fn what_is_prepared_ahead_meets_no_fault() {
    const BYTES: usize = 8 << 20;
    let pages = (BYTES / 4096) as i64;
    let (segment, fresh) = new(64 << 20);
    assert!(faults_of_use(&segment, BYTES) >= pages, "each page of what is new");
    segment.trim().unwrap();
    let room = segment.stats().unwrap().total;
    for asked in [BYTES as u64 * 2, 0, 1 << 20, BYTES as u64 * 2] {
        let there = segment.prepare(asked).unwrap();
        assert!((BYTES as u64 * 2..room).contains(&there), "{there} at {asked}");
        let took = faults_of_use(&segment, BYTES);
        assert!(took < pages / 50, "{took} faults");
        if asked == 0 {
            // What was given back is there again.
            assert!(segment.trim().unwrap() >= BYTES as u64);
        }
    }
    assert_eq!(segment.prepare(u64::MAX).unwrap(), room, "there is no more");
    assert!(segment.trim().unwrap() >= BYTES as u64 * 2);
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn each_process_prepares_for_itself() {
    const BYTES: usize = 8 << 20;
    let (segment, _) = new(64 << 20);
    segment.prepare(BYTES as u64 * 2).unwrap();
    let in_child = |prepares: bool| {
        // SAFETY: the child uses the segment, counts, and exits.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            if prepares {
                segment.prepare(0).unwrap();
            }
            let took = faults_of_use(&segment, BYTES);
            // SAFETY: exits without running what is its parent's.
            unsafe { libc::_exit(i32::from(took < (BYTES / 4096) as i64 / 10)) };
        }
        let mut status = 0;
        // SAFETY: a place to write to.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
        status
    };
    assert_eq!((in_child(false), in_child(true)), (0, 1 << 8));
}
