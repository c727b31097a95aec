//! Locks that many may read, through the public interface:
//!
//! - many readers or one writer, among threads and processes; nothing that a writer did is lost;
//! - a reader's death is nobody's concern, and keeps nobody out; a writer's goes to the next, with the news;
//! - a thread that reads may read again; more locks than it has places for, it reads all the same;
//! - a forgotten guard keeps the lock as long as its process lives;
//! - every wait has a form that ends; what is no value is not given out.

mod common;

use common::{Name, Process, arg, hear, role, say};
use sharena::lock::{
    Cause, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError, TryLockResult,
};
use sharena::{Options, Segment, Shareable};
use std::cell::RefCell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

fn anonymous() -> Segment {
    Options::new().capacity(1 << 20).create_anonymous().unwrap()
}

const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(20);

fn is_refused<G>(tried: TryLockResult<G>) -> bool {
    matches!(tried, Err(TryLockError::WouldBlock))
}

/// Until somebody has the word to write, and waits for us.
fn await_writer<T: Shareable>(lock: &RwLock<T>) {
    let end = Instant::now() + 20 * SECOND;
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            while !is_refused(lock.try_read()) {
                assert!(Instant::now() < end, "nobody comes to write");
                thread::yield_now();
            }
        });
        other.join().unwrap();
    });
    thread::sleep(MOMENT); // it sleeps by now
}

#[test]
fn it_is_sixteen_bytes_and_zeros() {
    assert_eq!(size_of::<RwLock<u64>>(), 24);
    assert_eq!(size_of::<RwLock<()>>(), 16);
    assert_eq!(sharena::type_name::<RwLock<[u8; 4]>>(), "RwLock<[u8; 4]>");
    assert_ne!(RwLock::<u32>::FINGERPRINT, RwLock::<i32>::FINGERPRINT);
    let lock: RwLock<u32> = RwLock::default();
    // SAFETY: sixteen bytes of two words, and four of a number.
    let bytes = unsafe { (&raw const lock).cast::<[u8; 20]>().read() };
    assert_eq!(bytes, [0; 20]);
}

#[test]
fn many_read_or_one_writes() {
    let segment = anonymous();
    let lock: &RwLock<_> = &segment.construct("l", RwLock::new(1)).unwrap();
    let elsewhere =
        |act: &(dyn Fn() -> bool + Sync)| thread::scope(|s| s.spawn(act).join().unwrap());
    let (one, other) = (lock.read().unwrap(), lock.try_read().unwrap());
    assert_eq!(*one + *other, 2);
    assert!(elsewhere(&|| *lock.read().unwrap() == 1));
    assert!(is_refused(lock.try_write()));
    drop(one);
    let begin = Instant::now();
    assert!(is_refused(lock.try_write_for(MOMENT)));
    assert!(begin.elapsed() >= MOMENT, "it waits as long as it was told");
    let soon = Instant::now() + MOMENT;
    assert!(is_refused(lock.try_write_until(soon)));
    assert!(Instant::now() >= soon);
    assert!(elsewhere(&|| lock.try_read().is_ok()), "who gave up keeps nobody out");
    drop(other);
    let mut guard = lock.try_write().unwrap();
    *guard += 1;
    assert!(is_refused(lock.try_read()) && is_refused(lock.try_write()));
    let begin = Instant::now();
    assert!(is_refused(lock.try_read_for(MOMENT)));
    assert!(begin.elapsed() >= MOMENT);
    let soon = Instant::now() + MOMENT;
    assert!(is_refused(lock.try_read_until(soon)));
    assert!(Instant::now() >= soon);
    assert!(format!("{lock:?}").contains("<locked>"));
    drop(guard);
    assert_eq!(*lock.try_read_for(Duration::ZERO).unwrap(), 2);
    assert_eq!(*lock.try_write_for(Duration::MAX).unwrap(), 2);
    assert_eq!(*lock.write().unwrap(), 2);
    assert!(format!("{lock:?}").contains("data: 2"), "{lock:?}");
}

#[test]
fn a_private_one_can_be_taken_apart() {
    let segment = anonymous();
    let mut owned = segment.own(RwLock::new(5)).unwrap();
    *owned.write().unwrap() += 1;
    *owned.get_mut().unwrap() += 1;
    let inside = mem::take(&mut *owned);
    assert_eq!(inside.into_inner().unwrap(), 7);
    assert_eq!(*owned.read().unwrap(), 0);
}

#[test]
fn in_no_segment_it_works_among_threads() {
    static TOTAL: RwLock<[u64; 2]> = RwLock::new([0; 2]);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..3000 {
                    let mut total = TOTAL.write().unwrap();
                    total[0] += 1;
                    total[1] += 1;
                }
            });
            scope.spawn(|| {
                for _ in 0..3000 {
                    let total = TOTAL.read().unwrap();
                    assert_eq!(total[0], total[1], "a change is half there");
                }
            });
        }
    });
    assert_eq!(*TOTAL.read().unwrap(), [9000; 2]);
    let (one, other) = (TOTAL.read().unwrap(), TOTAL.read().unwrap());
    assert!(is_refused(TOTAL.try_write()));
    drop(one);
    assert!(is_refused(TOTAL.try_write()));
    drop(other);
    assert!(TOTAL.try_write().is_ok());
}

/// Guards that were forgotten outside of the segment do not keep the lock inside.
#[test]
fn a_forgotten_guard_from_outside_does_not_lock_inside() {
    let segment = anonymous();
    let lock = RwLock::new(3);
    mem::forget(lock.read().unwrap());
    assert!(is_refused(lock.try_write()), "it is read there");
    let lock = segment.construct("read", lock).unwrap();
    assert_eq!(*lock.try_write().unwrap(), 3);
    let lock = RwLock::new(4);
    mem::forget(lock.write().unwrap());
    assert!(is_refused(lock.try_read()), "it is written there");
    let lock = segment.construct("written", lock).unwrap();
    let error = lock.read().unwrap_err();
    assert_eq!(error.cause(), Cause::OwnerDied);
    assert_eq!(*error.into_inner(), 4);
}

#[test]
fn who_panics_writing_poisons_it_and_who_does_reading_does_not() {
    let segment = anonymous();
    let lock = segment.construct("l", RwLock::new(0)).unwrap();
    let panics = |act: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(act)).is_err());
    panics(&|| {
        let _guard = lock.read().unwrap();
        resume_unwind(Box::new(()));
    });
    assert!(!lock.is_poisoned());
    panics(&|| {
        let _guard = lock.write().unwrap();
        resume_unwind(Box::new(()));
    });
    assert!(lock.is_poisoned());
    assert_eq!(lock.read().unwrap_err().cause(), Cause::Panicked);
    let Err(TryLockError::Poisoned(error)) = lock.try_write() else { panic!("it stays poisoned") };
    *error.into_inner() = 1;
    lock.clear_poison();
    assert_eq!(*lock.read().unwrap(), 1);
    assert!(!lock.is_poisoned());
}

#[derive(Shareable, Clone, Copy, PartialEq, Debug)]
#[repr(u8)]
enum Light {
    Red = 1,
    Green = 2,
}

#[test]
fn what_is_no_value_is_not_given_out() {
    let segment = anonymous();
    let lock = segment.construct("l", RwLock::new([Light::Green, Light::Red])).unwrap();
    assert_eq!(lock.read().unwrap()[1], Light::Red);
    // SAFETY: the bytes behind the words, which nobody else is at.
    unsafe { lock.as_ptr().cast::<u8>().add(16).write(0) };
    let error = lock.read().unwrap_err();
    assert_eq!(error.cause(), Cause::InvalidValue);
    let looked = catch_unwind(AssertUnwindSafe(|| error.get_ref().len()));
    assert!(looked.is_err(), "a reference to what is no value was given out");
    drop(error);
    assert!(format!("{lock:?}").contains("<no value>"));
    lock.clear_poison(); // which makes it no value
    let error = lock.write().unwrap_err();
    assert_eq!(error.cause(), Cause::InvalidValue);
    assert_eq!(*error.repair([Light::Green; 2]), [Light::Green; 2]);
    assert_eq!(lock.read().unwrap()[0], Light::Green);
}

#[test]
fn who_writes_can_go_on_reading() {
    let segment = anonymous();
    let lock = segment.construct("l", RwLock::new(1)).unwrap();
    let outside = RwLock::new(1);
    for lock in [&*lock, &outside] {
        let mut guard = lock.write().unwrap();
        *guard = 2;
        let guard = RwLockWriteGuard::downgrade(guard);
        assert_eq!((*guard, *lock.try_read().unwrap()), (2, 2));
        assert!(is_refused(lock.try_write()));
        drop(guard);
        assert!(lock.try_write().is_ok());
    }
}

/// A waiting writer keeps new readers out, but not who reads already: one of the two would wait for ever.
#[test]
fn who_reads_may_read_again_beside_a_waiting_writer() {
    let segment = anonymous();
    let locks = ["l", "other"].map(|name| segment.construct(name, RwLock::new(1)).unwrap());
    let [lock, other]: [&RwLock<_>; 2] = [&locks[0], &locks[1]];
    for is_behind in [false, true] {
        thread::scope(|scope| {
            // The first place of this thread is free again while the second is this lock's.
            let before = is_behind.then(|| other.read().unwrap());
            let first = lock.read().unwrap();
            drop(before);
            let writer = scope.spawn(|| lock.try_write_for(20 * SECOND).is_ok());
            await_writer(lock);
            let second = lock.try_read().expect("it reads already");
            let third = lock.read().unwrap();
            drop(first);
            drop(second);
            assert!(!writer.is_finished());
            drop(third);
            assert!(writer.join().unwrap());
        });
    }
}

#[test]
fn more_locks_than_places_are_read_all_the_same() {
    let segment = anonymous();
    let locks: Vec<_> =
        (0..12).map(|i| segment.construct(&format!("l{i}"), RwLock::new(i)).unwrap()).collect();
    let locks: Vec<&RwLock<usize>> = locks.iter().map(|lock| &**lock).collect();
    let guards: Vec<_> = locks.iter().map(|lock| lock.read().unwrap()).collect();
    assert!(guards.iter().enumerate().all(|(i, guard)| **guard == i));
    // By another thread: eight may be read beside us, and none written.
    let others = || {
        let read = locks.iter().filter(|lock| lock.try_read().is_ok()).count();
        (read, locks.iter().filter(|lock| lock.try_write().is_ok()).count())
    };
    let others = || thread::scope(|scope| scope.spawn(others).join().unwrap());
    assert_eq!(others(), (8, 0));
    drop(guards);
    assert_eq!(others(), (12, 12));
    // Nor is any poisoned by one who reads alone and panics.
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _guards: Vec<_> = locks.iter().map(|lock| lock.read().unwrap()).collect();
        resume_unwind(Box::new(()));
    }));
    assert!(caught.is_err() && locks.iter().all(|lock| !lock.is_poisoned()));
}

/// The lane of a thread that has forgotten a guard is the next thread's, with the place that it keeps.
#[test]
fn a_forgotten_guard_keeps_writers_out_as_long_as_its_process_is_attached() {
    let name = Name::new("rwlocks-forgotten");
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let lock = segment.construct("l", RwLock::new(1)).unwrap();
    let second = Segment::open(&name).unwrap();
    let there = second.find::<RwLock<i32>>("l").unwrap().unwrap();
    let (lock, inner): (&RwLock<_>, &RwLock<_>) = (&lock, &there);
    let in_thread =
        |act: &(dyn Fn() + Sync)| thread::scope(|scope| scope.spawn(act).join().unwrap());
    in_thread(&|| mem::forget(inner.read().unwrap()));
    assert!(is_refused(lock.try_write()), "it was forgotten, not given back");
    for _ in 0..2 {
        in_thread(&|| {
            let again = inner.read().unwrap();
            assert!(is_refused(lock.try_write()));
            drop(again);
            assert!(is_refused(lock.try_write()), "another's guard was given back");
            drop(inner.read().unwrap());
        });
        assert!(is_refused(lock.try_write()));
        let report = segment.check().unwrap();
        assert!(report.is_clean(), "{report}");
    }
    drop(there);
    drop(second);
    assert!(lock.try_write_for(20 * SECOND).is_ok(), "who is attached no more reads nothing");
    let report = segment.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

thread_local! {
    static EARLY: RefCell<Option<RwLockReadGuard<'static, u64>>> = const { RefCell::new(None) };
    static LATE: RefCell<Option<RwLockReadGuard<'static, u64>>> = const { RefCell::new(None) };
}

/// Of two thread-local guards, one is dropped before the thread's lane is given back, one behind it.
#[test]
fn a_guard_may_end_with_its_thread() {
    let segment: &'static Segment = Box::leak(Box::new(anonymous()));
    let locks = ["a", "b"].map(|name| {
        let lock = segment.construct(name, RwLock::new(0u64)).unwrap();
        &**Box::leak(Box::new(lock))
    });
    let [early, late]: [&'static RwLock<u64>; 2] = locks;
    for _ in 0..3 {
        let body = move || {
            EARLY.with_borrow(|_| ()); // before the thread has a lane
            let guard = early.read().unwrap();
            EARLY.with_borrow_mut(|kept| *kept = Some(guard));
            LATE.with_borrow_mut(|kept| *kept = Some(late.read().unwrap()));
            assert!(is_refused(early.try_write()) && is_refused(late.try_write()));
        };
        thread::spawn(body).join().unwrap();
        assert!(early.try_write().is_ok() && late.try_write().is_ok(), "it ended with its thread");
    }
    let report = segment.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

/// Two attachments of one process are two participants, each with lanes of its own.
#[test]
fn a_process_may_have_a_segment_twice() {
    let name = Name::new("rwlocks-twice");
    let first = Segment::create(&name, 1 << 20).unwrap();
    let second = Segment::open(&name).unwrap();
    let here = first.construct("l", RwLock::new(0u64)).unwrap();
    let there = second.find::<RwLock<u64>>("l").unwrap().unwrap();
    for _ in 0..10 {
        let guard = here.read().unwrap();
        assert!(is_refused(there.try_write()) && is_refused(there.try_write_for(MOMENT / 20)));
        drop(there.read().unwrap());
        drop(guard);
        *there.write().unwrap() += 1;
    }
    assert_eq!(*here.read().unwrap(), 10);
}

/// Readers who are always inside do not keep a writer out, nor writers who always come a reader.
#[test]
fn nobody_starves() {
    let segment = anonymous();
    let lock: &RwLock<_> = &segment.construct("l", RwLock::new(0u64)).unwrap();
    let is_over = AtomicBool::new(false);
    let turns = |act: &(dyn Fn() + Sync), other: &dyn Fn() -> bool| {
        is_over.store(false, SeqCst);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !is_over.load(SeqCst) {
                        act()
                    }
                });
            }
            let had = (0..20).filter(|_| other()).count();
            is_over.store(true, SeqCst);
            assert_eq!(had, 20, "it starved");
        });
    };
    turns(&|| drop(lock.read().unwrap()), &|| lock.try_write_for(20 * SECOND).is_ok());
    turns(&|| *lock.write().unwrap() += 1, &|| lock.try_read_for(20 * SECOND).is_ok());
}

/// What the processes of the tests below share.
#[derive(Shareable)]
struct Ledger {
    writing: AtomicU64,
    sum: RwLock<[u64; 2]>,
}

impl Ledger {
    fn new() -> Ledger {
        Ledger { writing: AtomicU64::new(0), sum: RwLock::new([0; 2]) }
    }

    fn add(&self) {
        let mut sum = self.sum.write().unwrap();
        assert_eq!(self.writing.swap(1, SeqCst), 0, "two write");
        sum[0] += 1;
        assert_eq!(sum[0], sum[1] + 1, "somebody else's change is half there");
        sum[1] += 1;
        self.writing.store(0, SeqCst);
    }

    fn look(&self) {
        let sum = self.sum.read().unwrap();
        assert_eq!(self.writing.load(SeqCst), 0, "somebody writes");
        assert_eq!(sum[0], sum[1], "a change is half there");
    }
}

const PROCESSES: u64 = 8;
const ROUNDS: u64 = 5_000;

#[test]
fn eight_processes_read_and_write() {
    let test = "eight_processes_read_and_write";
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        let ledger = segment.find::<Ledger>("ledger").unwrap().unwrap();
        say("ready");
        hear();
        for round in 0..ROUNDS {
            if round % 4 == 0 { ledger.add() } else { ledger.look() }
        }
        return;
    }
    let name = Name::new(test);
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let ledger = segment.construct("ledger", Ledger::new()).unwrap();
    let start = |_| Process::start(test, "clerk", &[&name]);
    let mut clerks: Vec<_> = (0..PROCESSES).map(start).collect();
    clerks.iter_mut().for_each(|clerk| assert_eq!(clerk.listen(), "ready"));
    clerks.iter_mut().for_each(|clerk| clerk.tell("go"));
    clerks.into_iter().for_each(Process::finish);
    assert_eq!(*ledger.sum.read().unwrap(), [PROCESSES * ROUNDS / 4; 2]);
}

/// A process that has the lock, or waits for it, and does nothing more.
fn be(role: &str) {
    let segment = Segment::open(&arg(0)).unwrap();
    let ledger = segment.find::<Ledger>("ledger").unwrap().unwrap();
    match role {
        "reader" => {
            let _sum = ledger.sum.read().unwrap();
            say("inside");
            hear();
        }
        "writer" => {
            let mut sum = ledger.sum.write().unwrap_or_else(PoisonError::into_inner);
            sum[0] += 1;
            say("inside");
            hear();
        }
        _ => {
            say("comes");
            let _sum = ledger.sum.write().unwrap();
            say("inside");
        }
    }
    unreachable!("it was to be killed");
}

fn beside(test: &str, mortal: &str, with: impl FnOnce(&Ledger, Process, &Segment)) {
    if let Some(role) = role() {
        return be(&role);
    }
    let name = Name::new(test);
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let ledger = segment.construct("ledger", Ledger::new()).unwrap();
    let mut process = Process::start(test, mortal, &[&name]);
    assert_eq!(process.listen(), "inside");
    assert!(is_refused(ledger.sum.try_write()), "it is taken");
    with(&ledger, process, &segment);
}

#[test]
fn who_dies_reading_keeps_nobody_out_and_is_no_news() {
    let test = "who_dies_reading_keeps_nobody_out_and_is_no_news";
    beside(test, "reader", |ledger, reader, segment| {
        ledger.look();
        reader.kill();
        assert_eq!(*ledger.sum.try_write().expect("who was to give it back is dead"), [0; 2]);
        ledger.add();
        assert!(!ledger.sum.is_poisoned());
        segment.recover().unwrap();
        let report = segment.check().unwrap();
        assert!(report.is_clean(), "{report}");
        ledger.add();
    });
}

#[test]
fn who_waits_to_write_hears_of_a_readers_death() {
    let test = "who_waits_to_write_hears_of_a_readers_death";
    beside(test, "reader", |ledger, reader, _| {
        thread::scope(|scope| {
            let writers: Vec<_> = (0..3)
                .map(|_| scope.spawn(|| ledger.sum.try_write_for(20 * SECOND).is_ok()))
                .collect();
            await_writer(&ledger.sum);
            let begin = Instant::now();
            reader.kill();
            for writer in writers {
                assert!(writer.join().unwrap(), "it waits for the dead");
            }
            assert!(begin.elapsed() < 10 * SECOND, "{:?}", begin.elapsed());
        });
    });
}

#[test]
fn who_dies_writing_leaves_the_lock_to_readers_and_writers_with_the_news() {
    let test = "who_dies_writing_leaves_the_lock_to_readers_and_writers_with_the_news";
    beside(test, "writer", |ledger, writer, _| {
        assert!(is_refused(ledger.sum.try_read()), "it is written");
        thread::scope(|scope| {
            let reader = || ledger.sum.try_read_for(20 * SECOND).is_err_and(|e| is_of_the_dead(&e));
            let writer_too =
                || ledger.sum.try_write_for(20 * SECOND).is_err_and(|e| is_of_the_dead(&e));
            let waiting = [scope.spawn(reader), scope.spawn(reader), scope.spawn(writer_too)];
            thread::sleep(MOMENT);
            writer.kill();
            waiting.into_iter().for_each(|one| assert!(one.join().unwrap(), "it was not told"));
        });
        let error = ledger.sum.read().unwrap_err();
        assert_eq!(error.cause(), Cause::OwnerDied);
        assert_eq!(*error.into_inner(), [1, 0], "as the dead one left it");
        let Err(TryLockError::Poisoned(error)) = ledger.sum.try_write() else {
            panic!("it stays poisoned until somebody says that it is mended");
        };
        error.into_inner()[1] = 1;
        ledger.sum.clear_poison();
        ledger.look();
        ledger.add();
    });
}

fn is_of_the_dead<G>(error: &TryLockError<G>) -> bool {
    matches!(error, TryLockError::Poisoned(error) if error.cause() == Cause::OwnerDied)
}

/// The first to come is one who tries to read, and needs no writer to free the lock.
#[test]
fn who_tries_to_read_frees_what_the_dead_wrote() {
    let test = "who_tries_to_read_frees_what_the_dead_wrote";
    beside(test, "writer", |ledger, writer, _| {
        writer.kill();
        assert!(is_of_the_dead(&ledger.sum.try_read().unwrap_err()));
    });
}

#[test]
fn who_dies_waiting_to_write_is_no_news() {
    let test = "who_dies_waiting_to_write_is_no_news";
    if let Some(role) = role() {
        return be(&role);
    }
    let name = Name::new(test);
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let ledger: &Ledger = &segment.construct("ledger", Ledger::new()).unwrap();
    let guard = ledger.sum.read().unwrap();
    let mut waits = Process::start(test, "waits", &[&name]);
    assert_eq!(waits.listen(), "comes");
    await_writer(&ledger.sum);
    thread::scope(|scope| {
        let reader = scope.spawn(|| ledger.sum.try_read_for(20 * SECOND).is_ok());
        waits.kill();
        assert!(reader.join().unwrap(), "it waits for the dead, or was told of it");
    });
    drop(guard);
    ledger.add();
}

#[test]
fn a_stopped_reader_keeps_writers_out() {
    beside("a_stopped_reader_keeps_writers_out", "reader", |ledger, reader, segment| {
        reader.signal(libc::SIGSTOP);
        assert!(segment.recover().unwrap().is_nothing());
        assert!(is_refused(ledger.sum.try_write_for(SECOND / 2)), "slow is not dead");
        ledger.look();
    });
}

/// Recovery gives the lane of the dead to the next, whom nobody takes for a reader.
#[test]
fn a_dead_readers_lane_may_be_anothers() {
    beside("a_dead_readers_lane_may_be_anothers", "reader", |ledger, reader, segment| {
        reader.kill();
        segment.recover().unwrap();
        let report = segment.check().unwrap();
        assert!(report.is_clean(), "{report}");
        let next = Segment::open(segment.name().unwrap()).unwrap();
        next.construct("its own", 1u8).unwrap();
        assert_eq!(segment.stats().unwrap().participants.len(), 2);
        assert!(ledger.sum.try_write().is_ok());
        drop(next);
    });
}

/// In the child of a fork the guards of its parent do nothing, and the locks are its parent's.
#[test]
fn a_fork_inherits_no_lock() {
    let segment = anonymous();
    let [read, written] =
        ["read", "written"].map(|name| segment.construct(name, RwLock::new(1)).unwrap());
    let (reading, writing) = (read.read().unwrap(), written.write().unwrap());
    // SAFETY: the child uses what a child may use, and ends without running anything else.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let is_held = || {
            is_refused(read.try_write_for(MOMENT))
                && is_refused(written.try_write())
                && is_refused(written.try_read())
        };
        let held = is_held();
        drop(reading);
        drop(RwLockWriteGuard::downgrade(writing));
        let still = is_held();
        // It reads by a lane of its own.
        let reads = read.try_read().is_ok() && is_held();
        // SAFETY: ends the child.
        unsafe { libc::_exit(if held && still && reads { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: our child.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the child could take, or give back, its parent's lock");
    assert!(is_refused(read.try_write()) && is_refused(written.try_read()));
    drop((reading, writing));
    assert!(read.try_write().is_ok() && written.try_write().is_ok());
}
