//! What a process leaves that is killed, and that others get it back.
//!
//! Laws: what was not published is free again, to the byte; what was published stays, whole; what the
//! dead pinned can be taken again; its place and its threads' places are free; recovery says what it
//! did, and a second one finds nothing; nobody who lives is recovered.

mod common;

use common::{Name, Process, arg, assert_like_fresh, at_rest, hear, role, say};
use sharena::{Options, Segment};
use std::alloc::Layout;

/// What the killed process has in its segment.
const SMALL: usize = 200;
const RUNS: usize = 3;

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, 16).unwrap()
}

fn kill(process: Process) {
    // SAFETY: a signal to a child of ours that was not waited for.
    unsafe { libc::kill(process.id() as i32, libc::SIGKILL) };
    assert!(!process.ended().success());
}

/// Opens without recovering, as one who only looks.
fn look_at(name: &str) -> Segment {
    Options::new().recover_at_open(false).open(name).unwrap()
}

#[test]
fn what_the_dead_had_comes_back_and_what_they_gave_stays() {
    const TEST: &str = "what_the_dead_had_comes_back_and_what_they_gave_stays";
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        let mut blocks = Vec::new();
        for i in 0..SMALL {
            blocks.push(segment.allocate_block(layout(16 + i * 37 % 3000)).unwrap());
        }
        for i in 0..RUNS {
            blocks.push(segment.allocate_block(layout((i + 5) << 16)).unwrap());
        }
        segment.construct("given", 7u64).unwrap();
        let offset = segment.own_slice(100, |i| i as u32).unwrap().publish();
        segment.construct("pinned", 1u64).unwrap();
        let pinned = segment.find::<u64>("pinned").unwrap();
        say(offset.to_bits());
        hear();
        drop((blocks, pinned));
        unreachable!("it is killed");
    }
    let name = Name::new("dead-had");
    let segment = Segment::create(&name, 8 << 20).unwrap();
    segment.construct("before", 0u64).unwrap();
    let fresh = at_rest(&segment);
    let mut child = Process::start(TEST, "victim", &[&name]);
    let offset: u64 = child.listen().parse().unwrap();
    let nothing = segment.recover().unwrap();
    assert!(nothing.is_nothing(), "it lives: {nothing}");
    kill(child);

    let report = look_at(&name).check().unwrap();
    assert_eq!(report.damages().count(), 0, "{report}");
    assert!(report.leftovers().count() > 0, "{report}");
    assert!(segment.destroy::<u64>("pinned").unwrap());

    let found = segment.recover().unwrap();
    assert_eq!((found.processes, found.pending), (1, 0), "{found}");
    assert!(found.blocks as usize >= SMALL && found.units as usize >= 5 * RUNS, "{found}");
    assert!(segment.recover().unwrap().is_nothing());
    let report = segment.check().unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(segment.stats().unwrap().participants.len(), 1);

    assert_eq!(*segment.find::<u64>("given").unwrap().unwrap(), 7);
    let given = sharena::Offset::<[u32]>::from_bits(offset).unwrap();
    assert!(segment.resolve_slice(given).unwrap().iter().enumerate().all(|(i, v)| *v == i as u32));
    segment.destroy_slice_at(given).unwrap();
    assert!(segment.destroy::<u64>("given").unwrap());
    assert_like_fresh(&segment, &fresh);
}

#[test]
fn who_opens_recovers_unless_told_otherwise() {
    const TEST: &str = "who_opens_recovers_unless_told_otherwise";
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        let block = segment.allocate_block(layout(100)).unwrap();
        say("ready");
        hear();
        drop(block);
        unreachable!("it is killed");
    }
    let name = Name::new("opens");
    drop(Segment::create(&name, 1 << 20).unwrap());
    let mut child = Process::start(TEST, "victim", &[&name]);
    child.listen();
    kill(child);
    let looker = look_at(&name);
    assert_eq!(looker.stats().unwrap().participants.len(), 2);
    let opener = Segment::open(&name).unwrap();
    assert_eq!(opener.stats().unwrap().participants.len(), 2, "the dead one is gone");
    assert!(opener.check().unwrap().is_clean());
}

#[test]
fn an_allocation_that_would_fail_takes_from_the_dead_first() {
    const TEST: &str = "an_allocation_that_would_fail_takes_from_the_dead_first";
    const HALF: usize = 20 << 20;
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        let block = segment.allocate_block(layout(HALF)).unwrap();
        say("ready");
        hear();
        drop(block);
        unreachable!("it is killed");
    }
    let name = Name::new("would-fail");
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let mut child = Process::start(TEST, "victim", &[&name]);
    child.listen();
    assert!(segment.allocate_block(layout(HALF)).is_err(), "it lives, and has the room");
    kill(child);
    drop(segment.allocate_block(layout(HALF)).unwrap());
}

#[test]
fn who_finds_all_places_taken_takes_those_of_the_dead() {
    const TEST: &str = "who_finds_all_places_taken_takes_those_of_the_dead";
    if role().is_some() {
        // Each opening is an attachment of its own, as if of another process.
        let all: Vec<Segment> = (0..510).map(|_| look_at(&arg(0))).collect();
        let block = all[99].allocate_block(layout(1000)).unwrap();
        say("ready");
        hear();
        drop(block);
        unreachable!("it is killed");
    }
    let name = Name::new("places");
    let first = Segment::create(&name, 1 << 20).unwrap();
    let mut child = Process::start(TEST, "victim", &[&name]);
    child.listen();
    assert!(matches!(Segment::open(&name), Err(sharena::Error::TooManyProcesses { dead: 0, .. })));
    kill(child);
    let more: Vec<Segment> = (0..3).map(|_| Segment::open(&name).unwrap()).collect();
    assert_eq!(first.stats().unwrap().participants.len(), 1 + more.len());
    assert!(first.check().unwrap().is_clean());
}

#[test]
fn a_watcher_recovers_who_dies_without_being_asked() {
    const TEST: &str = "a_watcher_recovers_who_dies_without_being_asked";
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        let block = segment.allocate_block(layout(1000)).unwrap();
        say("ready");
        hear();
        drop(block);
        return; // one of them is killed here, the other ends well
    }
    let name = Name::new("watcher");
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let mut before = Process::start(TEST, "attached before", &[&name]);
    before.listen();
    let (tell, told) = std::sync::mpsc::channel();
    let watcher = segment.watch(move |recovered| tell.send(*recovered).unwrap()).unwrap();
    let mut later: Vec<Process> =
        (0..3).map(|_| Process::start(TEST, "attached later", &[&name])).collect();
    later.iter_mut().for_each(|process| drop(process.listen()));
    let patience = std::time::Duration::from_secs(60);
    let mut last = later.pop().unwrap();
    for process in [before].into_iter().chain(later) {
        kill(process);
        let recovered = told.recv_timeout(patience).unwrap();
        assert_eq!((recovered.processes, recovered.pending), (1, 0), "{recovered}");
        assert!(recovered.blocks >= 1, "{recovered}");
    }
    last.tell("end");
    last.finish();
    drop(watcher);
    assert!(told.try_recv().is_err(), "who ends well leaves nothing to recover");
    assert_eq!(segment.stats().unwrap().participants.len(), 1);
}
