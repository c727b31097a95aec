//! Several processes on one segment:
//!
//! - what one allocates another can use and free, and every byte comes back;
//! - a process that ends gives back what it had not published, whether it says goodbye or not;
//! - one process may have several segments, and one segment several times;
//! - a child made by fork is a process of its own: nothing that it does touches what its parent
//!   holds, and what its parent published it may free;
//! - nobody waits for anybody: a stopped process hinders no other.
mod common;

use common::{Dice, Name, Process, arg, assert_like_fresh, at_rest, hear, pattern, role, say};
use sharena::{FreeError, Offset, Options, Segment, Shareable};
use std::alloc::Layout;
use std::sync::atomic::{AtomicU64, Ordering};

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, 8).unwrap()
}

/// A block of so many bytes, filled by its seed.
fn filled(segment: &Segment, bytes: usize, seed: u64) -> Offset<u8> {
    let block = segment.allocate(layout(bytes)).unwrap();
    fill(segment, block, bytes, seed);
    block
}

fn fill(segment: &Segment, block: Offset<u8>, bytes: usize, seed: u64) {
    let at = segment.address(block).unwrap().as_ptr();
    // SAFETY: the block is this test's, and so long.
    (0..bytes).for_each(|i| unsafe { at.add(i).write(pattern(seed, i)) });
}

fn is_kept(segment: &Segment, block: Offset<u8>, bytes: usize, seed: u64) -> bool {
    let at = segment.address(block).unwrap().as_ptr();
    // SAFETY: as above.
    (0..bytes).all(|i| unsafe { at.add(i).read() } == pattern(seed, i))
}

fn offset(bits: &str) -> Offset<u8> {
    Offset::from_bits(bits.parse().unwrap()).unwrap()
}

const SLOTS: usize = 512;
const EXCHANGES: usize = 20_000;

/// Each slot: a block's offset, or 0. Who swaps one out holds it.
#[derive(Shareable)]
struct Market {
    slots: [AtomicU64; SLOTS],
    exchanged: AtomicU64,
}

/// Puts blocks up for exchange and frees what others put up. The first 16 bytes of a block are its
/// size and seed.
fn trade(segment: &Segment, seed: u64, rounds: usize) {
    let market = segment.find::<Market>("market").unwrap().expect("the market");
    let mut dice = Dice::new(seed);
    for round in 0..rounds {
        let bytes = 16 + if round % 64 == 0 { dice.roll(600_000) } else { dice.roll(2000) };
        let looked_at = bytes.min(4096);
        let seed = dice.0;
        let block = segment.allocate(layout(bytes)).unwrap();
        let at = segment.address(block).unwrap().as_ptr();
        // SAFETY: the block is ours, aligned to 8, and at least 16 bytes long.
        unsafe {
            at.cast::<u64>().write(looked_at as u64);
            at.cast::<u64>().add(1).write(seed);
            (16..looked_at).for_each(|i| at.add(i).write(pattern(seed, i)));
        }
        let got = market.slots[dice.roll(SLOTS)].swap(block.to_bits(), Ordering::AcqRel);
        if let Some(got) = Offset::<u8>::from_bits(got) {
            free_traded(segment, got);
            market.exchanged.fetch_add(1, Ordering::Relaxed);
        }
        if round % 16 == 0 {
            // Named objects meanwhile, fought over.
            let name = format!("stall {}", dice.roll(8));
            let (stall, _) = segment.find_or_construct(&name, || [0u64; 5]).unwrap();
            assert_eq!(*stall, [0; 5]);
            drop(stall);
            segment.destroy::<[u64; 5]>(&name).unwrap();
        }
    }
}

fn free_traded(segment: &Segment, block: Offset<u8>) {
    let at = segment.address(block).unwrap().as_ptr();
    // SAFETY: swapped out of the market, so it is ours; written so by `trade`.
    unsafe {
        let (looked_at, seed) = (at.cast::<u64>().read(), at.cast::<u64>().add(1).read());
        for i in 16..looked_at as usize {
            assert_eq!(at.add(i).read(), pattern(seed, i), "byte {i} of {block:?} was overwritten");
        }
    }
    segment.deallocate(block).unwrap();
}

/// Opens a market, lets `processes` trade, and asserts that nothing is lost.
fn hold_market(test: &str, processes: usize, rounds: usize) {
    let name = Name::new(test);
    let segment = Segment::create(&name, 256 << 20).unwrap();
    let fresh = at_rest(&segment);
    let market =
        Market { slots: [const { AtomicU64::new(0) }; SLOTS], exchanged: AtomicU64::new(0) };
    let market = segment.construct("market", market).unwrap();
    let start =
        |i: usize| Process::start(test, "trader", &[&name, &i.to_string(), &rounds.to_string()]);
    let mut traders: Vec<_> = (0..processes).map(start).collect();
    for trader in &mut traders {
        assert_eq!(trader.listen(), "attached");
    }
    let stats = segment.stats().unwrap();
    assert_eq!(stats.participants.len(), processes + 1, "all are attached at once");
    traders.iter_mut().for_each(|trader| trader.tell("go"));
    traders.into_iter().for_each(Process::finish);
    assert!(market.exchanged.load(Ordering::Relaxed) > rounds as u64 / 2);
    for slot in &market.slots {
        if let Some(block) = Offset::from_bits(slot.swap(0, Ordering::AcqRel)) {
            free_traded(&segment, block);
        }
    }
    drop(market);
    assert!(segment.clear().unwrap() >= 1);
    assert_like_fresh(&segment, &fresh);
    assert_eq!(segment.stats().unwrap().participants.len(), 1, "the others are gone");
}

fn be_trader() {
    let segment = Segment::open(&arg(0)).unwrap();
    // A lane is taken with the first use.
    segment.contains("market").unwrap();
    say("attached");
    hear();
    trade(&segment, 1 + arg(1).parse::<u64>().unwrap(), arg(2).parse().unwrap());
}

#[test]
fn four_processes_exchange_blocks() {
    match role() {
        Some(_) => be_trader(),
        None => hold_market("four_processes_exchange_blocks", 4, EXCHANGES),
    }
}

#[test]
fn sixty_four_processes_exchange_blocks() {
    match role() {
        Some(_) => be_trader(),
        None => hold_market("sixty_four_processes_exchange_blocks", 64, 1000),
    }
}

#[test]
fn threads_of_one_process_exchange_blocks() {
    let segment = Options::new().capacity(256 << 20).create_anonymous().unwrap();
    let fresh = at_rest(&segment);
    let market =
        Market { slots: [const { AtomicU64::new(0) }; SLOTS], exchanged: AtomicU64::new(0) };
    let market = segment.construct("market", market).unwrap();
    std::thread::scope(|scope| {
        let segment = &segment;
        let traders: Vec<_> =
            (1..9).map(|i| scope.spawn(move || trade(segment, i, EXCHANGES / 2))).collect();
        traders.into_iter().for_each(|trader| trader.join().unwrap());
    });
    for slot in &market.slots {
        if let Some(block) = Offset::from_bits(slot.swap(0, Ordering::AcqRel)) {
            free_traded(&segment, block);
        }
    }
    drop(market);
    segment.clear().unwrap();
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn what_one_process_allocates_another_frees() {
    const TEST: &str = "what_one_process_allocates_another_frees";
    const SIZES: [usize; 8] = [1, 16, 100, 1000, 5000, 70_000, 300_000, 5_000_000];
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        for seed in 0.. {
            let line = hear();
            let Some((bytes, bits)) = line.split_once(' ') else { break };
            let (bytes, theirs) = (bytes.parse().unwrap(), offset(bits));
            assert!(is_kept(&segment, theirs, bytes, seed), "{bytes} bytes came over");
            segment.deallocate(theirs).unwrap();
            assert!(segment.deallocate(theirs).is_err(), "freed twice");
            say(filled(&segment, bytes, !seed).to_bits());
        }
        return;
    }
    let name = Name::new(TEST);
    let segment = Segment::create(&name, 64 << 20).unwrap();
    let fresh = at_rest(&segment);
    let mut other = Process::start(TEST, "other", &[&name]);
    let mut seed = 0;
    for _ in 0..50 {
        for bytes in SIZES {
            let ours = filled(&segment, bytes, seed);
            other.tell(format_args!("{bytes} {}", ours.to_bits()));
            let theirs = offset(&other.listen());
            assert!(is_kept(&segment, theirs, bytes, !seed), "{bytes} bytes came back");
            segment.deallocate(theirs).unwrap();
            seed += 1;
        }
    }
    other.tell("end");
    other.finish();
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn a_process_that_ends_keeps_only_what_it_published() {
    const TEST: &str = "a_process_that_ends_keeps_only_what_it_published";
    if let Some(role) = role() {
        let segment = Segment::open(&arg(0)).unwrap();
        let published = segment.own([7u64; 9]).unwrap().publish();
        let raw = filled(&segment, 3000, 3);
        segment.construct("kept", 5u32).unwrap();
        let private: Vec<_> = (0..500).map(|i| segment.own([i as u64; 20]).unwrap()).collect();
        let run = segment.allocate_block(layout(3 << 20)).unwrap();
        say(published.to_bits());
        say(raw.to_bits());
        match role.as_str() {
            "drops" => drop((private, run)),
            "forgets" => std::mem::forget((private, run)),
            // No destructor of anything runs.
            // SAFETY: ends the process.
            "exits" => unsafe { libc::_exit(0) },
            _ => unreachable!(),
        }
        return;
    }
    for role in ["drops", "forgets", "exits"] {
        let name = Name::new(TEST);
        let segment = Segment::create(&name, 64 << 20).unwrap();
        let fresh = at_rest(&segment);
        let mut other = Process::start(TEST, role, &[&name]);
        let object = Offset::<[u64; 9]>::from_bits(other.listen().parse().unwrap()).unwrap();
        let raw = offset(&other.listen());
        assert!(other.ended().success());
        assert_eq!(*segment.resolve(object).unwrap(), [7; 9], "{role}");
        assert!(is_kept(&segment, raw, 3000, 3), "{role}");
        assert_eq!(*segment.find::<u32>("kept").unwrap().unwrap(), 5, "{role}");
        segment.destroy_at(object).unwrap();
        segment.deallocate(raw).unwrap();
        segment.destroy::<u32>("kept").unwrap();
        if role == "exits" {
            // What it held at its end stays until it is recovered; everything else goes on.
            assert!(segment.check().unwrap().damages().next().is_none());
            let again = filled(&segment, 100_000, 1);
            segment.deallocate(again).unwrap();
        } else {
            assert_like_fresh(&segment, &fresh);
        }
    }
}

#[test]
fn a_segment_that_is_left_and_opened_again_is_as_it_was() {
    let name = Name::new("reattach");
    let segment = Segment::create(&name, 16 << 20).unwrap();
    let fresh = at_rest(&segment);
    let id = segment.id();
    let block = filled(&segment, 10_000, 1);
    segment.construct("object", 17u64).unwrap();
    std::mem::forget(segment.own(1u8).unwrap());
    drop(segment);
    for round in 0..200u64 {
        let segment = Segment::open(&name).unwrap();
        assert_eq!(segment.id(), id);
        assert!(is_kept(&segment, block, 10_000, 1));
        assert_eq!(*segment.find::<u64>("object").unwrap().unwrap(), 17);
        let more = filled(&segment, 500, round);
        assert!(is_kept(&segment, more, 500, round));
        segment.deallocate(more).unwrap();
    }
    let segment = Segment::open(&name).unwrap();
    segment.deallocate(block).unwrap();
    segment.destroy::<u64>("object").unwrap();
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn two_segments_in_one_process_are_apart() {
    let one = Options::new().capacity(16 << 20).create_anonymous().unwrap();
    let two = Options::new().capacity(16 << 20).create_anonymous().unwrap();
    let fresh = [at_rest(&one), at_rest(&two)];
    one.construct("name", 1u32).unwrap();
    two.construct("name", 2u32).unwrap();
    let handles = [one.handle().unwrap(), two.handle().unwrap()];
    let mut blocks = Vec::new();
    for i in 0..2000u64 {
        let (bytes, which) = (8 + i as usize % 900, i as usize % 2);
        let segment = [&one, &two][which];
        let block = handles[which].allocate(layout(bytes)).unwrap();
        fill(segment, block, bytes, i);
        // A private block of one, freed through the handle of the other.
        let private = handles[which].allocate_block(layout(bytes)).unwrap();
        handles[1 - which].free_block(private);
        blocks.push((block, bytes, which, i));
    }
    for (block, bytes, which, seed) in blocks {
        assert!(is_kept([&one, &two][which], block, bytes, seed));
        handles[which].deallocate(block).unwrap();
    }
    assert_eq!(*one.find::<u32>("name").unwrap().unwrap(), 1);
    assert_eq!(*two.find::<u32>("name").unwrap().unwrap(), 2);
    drop(handles);
    for (segment, fresh) in [&one, &two].into_iter().zip(&fresh) {
        assert!(segment.destroy::<u32>("name").unwrap());
        assert_like_fresh(segment, fresh);
    }
}

#[test]
fn one_segment_twice_in_one_process_is_one() {
    let name = Name::new("twice");
    let one = Segment::create(&name, 16 << 20).unwrap();
    let fresh = at_rest(&one);
    let two = Segment::open(&name).unwrap();
    assert_eq!(one.id(), two.id());
    assert_eq!(one.stats().unwrap().participants.len(), 2, "each is a participant");
    let block = filled(&one, 5000, 9);
    assert!(is_kept(&two, block, 5000, 9));
    assert_ne!(one.address(block), two.address(block), "two mappings");
    two.deallocate(block).unwrap();
    let private = one.allocate_block(layout(64)).unwrap();
    let at = one.offset_of(private.as_ptr().as_ptr()).unwrap();
    assert_eq!(two.deallocate(at), Err(FreeError::IsPrivate { offset: at.to_bits() }));
    two.handle().unwrap().free_block(private);
    let counted = one.construct("counted", AtomicU64::new(0)).unwrap();
    let same = two.find::<AtomicU64>("counted").unwrap().unwrap();
    std::thread::scope(|scope| {
        let count = |segment: &Segment| {
            let counted = segment.find::<AtomicU64>("counted").unwrap().unwrap();
            (0..1000).for_each(|_| {
                counted.fetch_add(1, Ordering::Relaxed);
            });
        };
        let threads = [&one, &two, &one, &two].map(|segment| scope.spawn(move || count(segment)));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    assert_eq!((counted.load(Ordering::Relaxed), same.load(Ordering::Relaxed)), (4000, 4000));
    drop((counted, same));
    assert!(two.destroy::<AtomicU64>("counted").unwrap());
    drop(two);
    assert_like_fresh(&one, &fresh);
}

/// Forks; the child runs `child`, and must return from it.
fn forked(child: impl FnOnce()) {
    // SAFETY: the child uses what fork leaves it: its own memory, and the segment.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            // SAFETY: sets a timer, which a fork does not inherit.
            unsafe { libc::alarm(60) };
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
            // SAFETY: ends the child, without the destructors that are its parent's.
            unsafe { libc::_exit(if done.is_ok() { 0 } else { 1 }) };
        }
        pid => {
            let mut status = 0;
            // SAFETY: waits for our own child.
            assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
            assert_eq!(status, 0, "the forked child failed");
        }
    }
}

#[test]
fn a_child_of_a_fork_inside_an_operation_does_not_go_on_with_it() {
    const TEST: &str = "a_child_of_a_fork_inside_an_operation_does_not_go_on_with_it";
    if role().is_none() {
        return Process::start(TEST, "parent", &[]).finish();
    }
    let name = Name::new(TEST);
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let mut pid = None;
    let write = |i| {
        // SAFETY: the child ends below, without the destructors that are its parent's.
        pid.get_or_insert_with(|| unsafe { libc::fork() });
        i as u64
    };
    let construct = || segment.construct_slice("slice", 3, write).map(drop);
    let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(construct));
    match pid.unwrap() {
        0 => {
            // Its block is the parent's.
            // SAFETY: as above.
            unsafe { libc::_exit(if made.is_err() { 0 } else { 1 }) }
        }
        pid => {
            let mut status = 0;
            // SAFETY: waits for our own child.
            assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
            assert_eq!(status, 0, "the child panics, and is not killed");
            assert!(matches!(made, Ok(Ok(()))));
        }
    }
    assert_eq!(segment.find_slice::<u64>("slice").unwrap().as_deref(), Some(&[0, 1, 2][..]));
    assert!(segment.check().unwrap().is_clean());
}

#[test]
fn a_forked_child_is_a_process_of_its_own() {
    const TEST: &str = "a_forked_child_is_a_process_of_its_own";
    if role().is_none() {
        // In a process with one test, so that no other test's thread is inside something.
        return Process::start(TEST, "parent", &[]).finish();
    }
    let name = Name::new(TEST);
    let segment = Segment::create(&name, 64 << 20).unwrap();
    let fresh = at_rest(&segment);

    let published: Vec<_> = (0..300).map(|i| filled(&segment, 200, i)).collect();
    let mut owned: Vec<_> = (0..300u64).map(|i| segment.own([i; 16]).unwrap()).collect();
    let blocks: Vec<_> = (0..300).map(|_| segment.allocate_block(layout(128)).unwrap()).collect();
    let run = segment.allocate_block(layout(2 << 20)).unwrap();
    let at = |block: &sharena::Block<'_>| segment.offset_of(block.as_ptr().as_ptr()).unwrap();
    blocks
        .iter()
        .chain([&run])
        .for_each(|block| fill(&segment, at(block), 128, at(block).to_bits()));
    segment.construct("object", 3u64).unwrap();
    let handle = segment.handle().unwrap();
    let kept = handle.allocate(layout(128)).unwrap();
    fill(&segment, kept, 128, 4);

    forked(|| {
        // Drops of copies of what is the parent's do nothing.
        drop(std::mem::take(&mut owned));
        // SAFETY: in this process nobody else uses these; the parent has its own copy.
        blocks.iter().chain([&run]).for_each(|block| drop(unsafe { std::ptr::read(block) }));
        // The handle works, for this process.
        let mine: Vec<_> = (0..1000).map(|_| handle.allocate_block(layout(128)).unwrap()).collect();
        for block in &mine {
            fill(&segment, at(block), 128, 0);
            assert!(!published.contains(&at(block)), "what the parent holds was given out");
        }
        drop(mine);
        // So does the default.
        for block in (0..1000).map(|i| filled(&segment, 200, 1000 + i)).collect::<Vec<_>>() {
            segment.deallocate(block).unwrap();
        }
        // What the parent published can be freed; what it did not cannot.
        for (i, block) in published.iter().enumerate() {
            assert!(is_kept(&segment, *block, 200, i as u64));
            segment.deallocate(*block).unwrap();
        }
        let private = at(&blocks[0]);
        assert_eq!(
            segment.deallocate(private),
            Err(FreeError::IsPrivate { offset: private.to_bits() })
        );
        assert_eq!(*segment.find::<u64>("object").unwrap().unwrap(), 3);
        segment.construct("child's", 4u64).unwrap();
        let pids: Vec<u32> =
            segment.stats().unwrap().participants.iter().map(|one| one.pid).collect();
        assert!(pids.contains(&std::process::id()), "the child is a participant of its own");
        // A thread of the child, too.
        let worker = segment.clone();
        std::thread::spawn(move || worker.deallocate(filled(&worker, 64, 1)).unwrap())
            .join()
            .unwrap();
        // And a fork in the fork.
        forked(|| {
            segment.deallocate(filled(&segment, 64, 1)).unwrap();
            // SAFETY: as below.
            drop(unsafe { std::ptr::read(&segment) });
        });
        handle.deallocate(kept).unwrap();
        // The child closes the segment, and so gives back what it kept at hand.
        // SAFETY: these copies are not used any more; the parent has its own.
        unsafe {
            drop(std::ptr::read(&handle));
            drop(std::ptr::read(&segment));
        }
    });

    // Nothing of the parent's was touched. It goes on.
    for (i, value) in owned.iter().enumerate() {
        assert_eq!(**value, [i as u64; 16]);
    }
    for block in blocks.iter().chain([&run]) {
        assert!(
            is_kept(&segment, at(block), 128, at(block).to_bits()),
            "the parent's private block was overwritten"
        );
    }
    assert_eq!(*segment.find::<u64>("child's").unwrap().unwrap(), 4);
    for block in published.iter().chain([&kept]) {
        assert!(segment.deallocate(*block).is_err(), "the child has freed it");
    }
    let more: Vec<_> = (0..2000).map(|i| filled(&segment, 200, i)).collect();
    for (i, block) in more.into_iter().enumerate() {
        assert!(is_kept(&segment, block, 200, i as u64));
        segment.deallocate(block).unwrap();
    }
    for value in &mut owned {
        value[0] = 99;
    }
    drop((owned, blocks, run, handle));
    assert!(
        segment.destroy::<u64>("object").unwrap() && segment.destroy::<u64>("child's").unwrap()
    );
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn a_fork_while_other_threads_work_harms_neither() {
    const TEST: &str = "a_fork_while_other_threads_work_harms_neither";
    if role().is_none() {
        return Process::start(TEST, "parent", &[]).finish();
    }
    let name = Name::new(TEST);
    let segment = Segment::create(&name, 64 << 20).unwrap();
    let fresh = at_rest(&segment);
    let market =
        Market { slots: [const { AtomicU64::new(0) }; SLOTS], exchanged: AtomicU64::new(0) };
    drop(segment.construct("market", market).unwrap());
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let traders: Vec<_> = (0..2)
            .map(|i| {
                let (segment, done) = (&segment, &done);
                scope.spawn(move || {
                    let mut seed = 2 * i + 1;
                    while !done.load(Ordering::Relaxed) {
                        trade(segment, seed, 500);
                        seed += 4;
                    }
                })
            })
            .collect();
        for i in 0..20 {
            forked(|| trade(&segment, 1000 + i, 300));
        }
        done.store(true, Ordering::Relaxed);
        traders.into_iter().for_each(|trader| trader.join().unwrap());
    });
    let market = segment.find::<Market>("market").unwrap().unwrap();
    for slot in &market.slots {
        if let Some(block) = Offset::from_bits(slot.swap(0, Ordering::AcqRel)) {
            free_traded(&segment, block);
        }
    }
    drop(market);
    segment.clear().unwrap();
    let report = segment.check().unwrap();
    assert!(report.damages().next().is_none(), "{:#?}", report.findings);
    // The children ended without closing the segment: what they kept at hand awaits recovery.
    let free = at_rest(&segment).free;
    assert!(free <= fresh.free && free > fresh.free / 2);
}

#[test]
fn programs_started_in_between_disturb_nothing() {
    let segment = Options::new().capacity(16 << 20).create_anonymous().unwrap();
    let fresh = at_rest(&segment);
    let owned = segment.own([5u64; 100]).unwrap();
    let blocks: Vec<_> = (0..100).map(|i| filled(&segment, 300, i)).collect();
    for _ in 0..20 {
        // By vfork or posix_spawn, then exec.
        assert!(std::process::Command::new("true").status().unwrap().success());
        segment.deallocate(filled(&segment, 300, 0)).unwrap();
    }
    assert_eq!(*owned, [5; 100]);
    assert_eq!(segment.stats().unwrap().participants.len(), 1);
    for (i, block) in blocks.into_iter().enumerate() {
        assert!(is_kept(&segment, block, 300, i as u64));
        segment.deallocate(block).unwrap();
    }
    drop(owned);
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn a_stopped_process_hinders_nobody() {
    const TEST: &str = "a_stopped_process_hinders_nobody";
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        say("trading");
        trade(&segment, 77, usize::MAX);
        return;
    }
    let name = Name::new(TEST);
    let segment = Segment::create(&name, 64 << 20).unwrap();
    let market =
        Market { slots: [const { AtomicU64::new(0) }; SLOTS], exchanged: AtomicU64::new(0) };
    drop(segment.construct("market", market).unwrap());
    let mut other = Process::start(TEST, "stopped", &[&name]);
    other.listen();
    let signal = |signal| {
        // SAFETY: our own child, not waited for yet.
        assert_eq!(unsafe { libc::kill(other.id() as i32, signal) }, 0);
    };
    for round in 0..20 {
        std::thread::sleep(std::time::Duration::from_millis(3));
        signal(libc::SIGSTOP);
        // It stands wherever it was. Everybody else gets on.
        trade(&segment, 500 + round, 2000);
        let attached = Segment::open(&name).unwrap();
        attached.construct("mine", round).unwrap();
        assert!(attached.destroy::<u64>("mine").unwrap());
        assert_eq!(segment.stats().unwrap().participants.len(), 3, "stopped is not dead");
        drop(attached);
        signal(libc::SIGCONT);
    }
    signal(libc::SIGKILL);
    assert!(!other.ended().success());
    assert!(segment.check().unwrap().damages().next().is_none());
}

#[test]
fn all_who_come_at_once_find_room_where_the_dead_have_every_place() {
    const PLACES: usize = 511;
    let name = Name::new("crowded");
    let segment = Segment::create(&name, 256 << 20).unwrap();
    for round in 0..4 {
        while segment.stats().unwrap().participants.len() < PLACES {
            // Dead without a word, each with a place.
            forked(|| {
                segment.allocate(layout(8)).unwrap();
            });
        }
        let child = || {
            // SAFETY: the child uses the segment and ends.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                let came =
                    segment.allocate(layout(64)).inspect_err(|error| eprintln!("{error}")).is_ok();
                // SAFETY: ends the child, and nothing of its parent's.
                unsafe { libc::_exit(i32::from(!came)) };
            }
            pid
        };
        let children: Vec<_> = (0..12).map(|_| child()).collect();
        for pid in children {
            let mut status = 0;
            // SAFETY: a place to write to.
            unsafe { libc::waitpid(pid, &raw mut status, 0) };
            assert_eq!(status, 0, "round {round}");
        }
    }
}
