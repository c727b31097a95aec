//! Locks, through the public interface:
//!
//! - one holder at a time, among threads and processes; nothing that a holder did is lost;
//! - of many who want it all the time each gets it;
//! - a holder's death goes to the next taker, with the news, and nobody hangs;
//! - a lock is where its bytes are: in a segment, in several, in none;
//! - every wait has a form that ends;
//! - what is no value is not given out.

mod common;

use common::{Name, Process, arg, hear, role, say};
use sharena::lock::{Cause, Mutex, PoisonError, TryLockError};
use sharena::{Options, Segment, Shareable};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

fn anonymous() -> Segment {
    Options::new().capacity(1 << 20).create_anonymous().unwrap()
}

const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(20);

#[test]
fn a_mutex_is_eight_bytes_and_zeros() {
    assert_eq!(size_of::<Mutex<u64>>(), 16);
    assert_eq!(size_of::<Mutex<()>>(), 8);
    assert_eq!(sharena::type_name::<Mutex<[u8; 4]>>(), "Mutex<[u8; 4]>");
    assert_ne!(Mutex::<u32>::FINGERPRINT, Mutex::<i32>::FINGERPRINT);
    let mutex: Mutex<u32> = Mutex::default();
    // SAFETY: eight bytes of a word, and four of a number.
    let bytes = unsafe { (&raw const mutex).cast::<[u8; 12]>().read() };
    assert_eq!(bytes, [0; 12]);
}

#[test]
fn it_is_held_by_one_guard_at_a_time() {
    let segment = anonymous();
    let mutex = segment.construct("m", Mutex::new(1)).unwrap();
    let mut guard = mutex.lock().unwrap();
    *guard += 1;
    assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
    let begin = Instant::now();
    assert!(matches!(mutex.try_lock_for(MOMENT), Err(TryLockError::WouldBlock)));
    assert!(begin.elapsed() >= MOMENT, "it waits as long as it was told");
    let soon = Instant::now() + MOMENT;
    assert!(matches!(mutex.try_lock_until(soon), Err(TryLockError::WouldBlock)));
    assert!(Instant::now() >= soon);
    assert!(format!("{mutex:?}").contains("<locked>"));
    drop(guard);
    assert_eq!(*mutex.try_lock().unwrap(), 2);
    assert_eq!(*mutex.try_lock_for(Duration::ZERO).unwrap(), 2);
    assert_eq!(*mutex.try_lock_for(Duration::MAX).unwrap(), 2);
    assert!(format!("{mutex:?}").contains("data: 2"), "{mutex:?}");
}

#[test]
fn a_private_one_can_be_taken_apart() {
    let segment = anonymous();
    let mut owned = segment.own(Mutex::new(5)).unwrap();
    *owned.lock().unwrap() += 1;
    *owned.get_mut().unwrap() += 1;
    let inside = std::mem::take(&mut *owned);
    assert_eq!(inside.into_inner().unwrap(), 7);
    assert_eq!(*owned.lock().unwrap(), 0);
}

#[test]
fn in_no_segment_it_works_among_threads() {
    static TOTAL: Mutex<u64> = Mutex::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10_000).for_each(|_| *TOTAL.lock().unwrap() += 1));
        }
    });
    assert_eq!(*TOTAL.lock().unwrap(), 40_000);
}

/// A guard that was forgotten outside of the segment cannot keep the lock inside.
#[test]
fn a_forgotten_guard_from_outside_does_not_lock_inside() {
    let segment = anonymous();
    let mutex = Mutex::new(3);
    std::mem::forget(mutex.lock().unwrap());
    assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)), "it is held there");
    let mutex = segment.construct("m", mutex).unwrap();
    let error = mutex.lock().unwrap_err();
    assert_eq!(error.cause(), Cause::OwnerDied);
    assert_eq!(*error.into_inner(), 3);
}

#[test]
fn a_panic_poisons_it_until_it_is_cleared() {
    let segment = anonymous();
    let mutex = segment.construct("m", Mutex::new(0)).unwrap();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _guard = mutex.lock().unwrap();
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(caught.is_err());
    assert!(mutex.is_poisoned());
    let error = mutex.lock().unwrap_err();
    assert_eq!(error.cause(), Cause::Panicked);
    drop(error);
    let Err(TryLockError::Poisoned(error)) = mutex.try_lock() else { panic!("it stays poisoned") };
    *error.into_inner() = 1;
    mutex.clear_poison();
    assert_eq!(*mutex.lock().unwrap(), 1);
    assert!(!mutex.is_poisoned());
}

/// Two attachments of one process, and two segments: the address says which.
#[test]
fn a_process_may_have_a_segment_twice() {
    let name = Name::new("locks-twice");
    let first = Segment::create(&name, 1 << 20).unwrap();
    let second = Segment::open(&name).unwrap();
    let other = anonymous();
    let here = first.construct("m", Mutex::new(0u64)).unwrap();
    let there = second.find::<Mutex<u64>>("m").unwrap().unwrap();
    let elsewhere = other.construct("m", Mutex::new(0u64)).unwrap();
    for _ in 0..10 {
        let mut guard = here.lock().unwrap();
        *guard += 1;
        *elsewhere.lock().unwrap() += 1;
        assert!(matches!(there.try_lock(), Err(TryLockError::WouldBlock)));
        drop(guard);
        *there.lock().unwrap() += 1;
    }
    assert_eq!((*here.lock().unwrap(), *elsewhere.lock().unwrap()), (20, 10));
    // Who is attached no more has no lock.
    std::mem::forget(there.lock().unwrap());
    drop(there);
    drop(second);
    let third = Segment::open(&name).unwrap();
    let there = third.find::<Mutex<u64>>("m").unwrap().unwrap();
    let error = there.lock().unwrap_err();
    assert_eq!(error.cause(), Cause::OwnerDied, "an attachment that is over holds no lock");
    assert_eq!(*error.into_inner(), 20);
}

/// What can be cut in half by a death in the middle of a store.
#[derive(Shareable, Clone, Copy, PartialEq, Debug)]
#[repr(u8)]
enum Light {
    Green = 1,
    Red = 2,
}

#[test]
fn what_is_no_value_is_not_given_out() {
    let segment = anonymous();
    let mutex = segment.construct("m", Mutex::new([Light::Green, Light::Red])).unwrap();
    assert_eq!(mutex.lock().unwrap()[1], Light::Red);
    // SAFETY: the bytes behind the word, which nobody else is at.
    unsafe { mutex.as_ptr().cast::<u8>().add(8).write(0) };
    let mut error = mutex.lock().unwrap_err();
    assert_eq!(error.cause(), Cause::InvalidValue);
    for look in
        [(|error| _ = error.get_ref()) as fn(&mut PoisonError<_>), |error| _ = error.get_mut()]
    {
        let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| look(&mut error)));
        assert!(looked.is_err(), "a reference to what is no value was given out");
    }
    drop(error);
    assert!(format!("{mutex:?}").contains("<no value>"));
    // Clearing the poison makes it no value.
    mutex.clear_poison();
    let error = mutex.lock().unwrap_err();
    assert_eq!(error.cause(), Cause::InvalidValue);
    assert_eq!(*error.repair([Light::Green; 2]), [Light::Green; 2]);
    assert_eq!(mutex.lock().unwrap()[0], Light::Green);
}

/// What the processes of the tests below share.
#[derive(Shareable)]
struct Account {
    inside: AtomicU64,
    sum: Mutex<[u64; 2]>,
}

impl Account {
    fn new() -> Account {
        Account { inside: AtomicU64::new(0), sum: Mutex::new([0; 2]) }
    }

    fn add(&self) {
        let mut sum = self.sum.lock().unwrap();
        assert_eq!(self.inside.swap(1, SeqCst), 0, "two are inside");
        sum[0] += 1;
        assert_eq!(sum[0], sum[1] + 1, "somebody else's change is half there");
        sum[1] += 1;
        self.inside.store(0, SeqCst);
    }
}

const ADDERS: u64 = 8;
const ADDITIONS: u64 = 20_000;

#[test]
fn eight_processes_count_exactly() {
    let test = "eight_processes_count_exactly";
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        let account = segment.find::<Account>("account").unwrap().unwrap();
        say("ready");
        hear();
        (0..ADDITIONS).for_each(|_| account.add());
        return;
    }
    let name = Name::new(test);
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let account = segment.construct("account", Account::new()).unwrap();
    let start = |_| Process::start(test, "adder", &[&name]);
    let mut adders: Vec<_> = (0..ADDERS).map(start).collect();
    adders.iter_mut().for_each(|adder| assert_eq!(adder.listen(), "ready"));
    adders.iter_mut().for_each(|adder| adder.tell("go"));
    adders.into_iter().for_each(Process::finish);
    assert_eq!(*account.sum.lock().unwrap(), [ADDERS * ADDITIONS; 2]);
}

/// How long processes want the lock all the time, each as often as it gets it.
const GREEDY_FOR: Duration = Duration::from_secs(3);
/// What each does with it.
const BITE: Duration = Duration::from_micros(50);

#[test]
fn none_of_eight_greedy_processes_starves() {
    let test = "none_of_eight_greedy_processes_starves";
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        let account = segment.find::<Account>("account").unwrap().unwrap();
        say("ready");
        hear();
        let (begin, mut bites, mut longest) = (Instant::now(), 0, Duration::ZERO);
        while begin.elapsed() < GREEDY_FOR {
            let asked = Instant::now();
            let guard = account.sum.lock().unwrap();
            longest = longest.max(asked.elapsed());
            let had = Instant::now();
            while had.elapsed() < BITE {}
            drop(guard);
            bites += 1;
        }
        say(format!("{bites} {}", longest.as_micros()));
        return;
    }
    let name = Name::new(test);
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let _account = segment.construct("account", Account::new()).unwrap();
    let start = |_| Process::start(test, "greedy", &[&name]);
    let mut greedy: Vec<_> = (0..ADDERS).map(start).collect();
    greedy.iter_mut().for_each(|one| assert_eq!(one.listen(), "ready"));
    greedy.iter_mut().for_each(|one| one.tell("go"));
    let heard = |one: &mut Process| -> (u64, u64) {
        let said = one.listen();
        let (bites, longest) = said.split_once(' ').unwrap();
        (bites.parse().unwrap(), longest.parse().unwrap())
    };
    let told: Vec<_> = greedy.iter_mut().map(heard).collect();
    greedy.into_iter().for_each(Process::finish);
    let fair = told.iter().map(|(bites, _)| bites).sum::<u64>() / ADDERS;
    for (bites, longest) in &told {
        assert!(*bites >= fair / 4, "{bites} times, where {fair} were its part: {told:?}");
        assert!(*longest < 500_000, "one waited {longest} us: {told:?}");
    }
}

/// A process that holds the lock, says so, and does nothing more.
fn be_holder() {
    let segment = Segment::open(&arg(0)).unwrap();
    let account = segment.find::<Account>("account").unwrap().unwrap();
    let mut sum = account.sum.lock().unwrap_or_else(PoisonError::into_inner);
    sum[0] += 1;
    say("inside");
    hear();
    unreachable!("it was to be killed");
}

fn hold_and_be_killed(test: &str, with: impl FnOnce(&Account, Process, &Segment)) {
    if role().is_some() {
        return be_holder();
    }
    let name = Name::new(test);
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let account = segment.construct("account", Account::new()).unwrap();
    let mut holder = Process::start(test, "holder", &[&name]);
    assert_eq!(holder.listen(), "inside");
    assert!(matches!(account.sum.try_lock(), Err(TryLockError::WouldBlock)), "it is held");
    with(&account, holder, &segment);
}

#[test]
fn a_dead_holders_lock_goes_to_the_next_with_the_news() {
    hold_and_be_killed(
        "a_dead_holders_lock_goes_to_the_next_with_the_news",
        |account, holder, _| {
            holder.kill();
            let error = account.sum.lock().unwrap_err();
            assert_eq!(error.cause(), Cause::OwnerDied);
            assert_eq!(*error.into_inner(), [1, 0], "as the dead one left it");
            let Err(TryLockError::Poisoned(error)) = account.sum.try_lock() else {
                panic!("it stays poisoned until somebody says that it is mended");
            };
            error.into_inner()[1] = 1;
            account.sum.clear_poison();
            account.add();
        },
    );
}

#[test]
fn who_waits_hears_of_the_holders_death() {
    hold_and_be_killed("who_waits_hears_of_the_holders_death", |account, holder, _| {
        std::thread::scope(|scope| {
            let waiters: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| account.sum.try_lock_for(20 * SECOND).is_err()))
                .collect();
            std::thread::sleep(MOMENT);
            let begin = Instant::now();
            holder.kill();
            for waiter in waiters {
                assert!(waiter.join().unwrap(), "it was not told");
            }
            assert!(begin.elapsed() < 10 * SECOND, "{:?}", begin.elapsed());
        });
        assert!(account.sum.is_poisoned());
    });
}

#[test]
fn a_stopped_holder_keeps_the_lock() {
    hold_and_be_killed("a_stopped_holder_keeps_the_lock", |account, holder, segment| {
        holder.signal(libc::SIGSTOP);
        assert!(segment.recover().unwrap().is_nothing());
        let got = account.sum.try_lock_for(SECOND / 2);
        assert!(matches!(got, Err(TryLockError::WouldBlock)), "slow is not dead");
    });
}

/// Recovery gives the place of the dead to the next; the lock does not take that one for its holder.
#[test]
fn a_dead_holders_place_may_be_anothers() {
    hold_and_be_killed("a_dead_holders_place_may_be_anothers", |account, holder, segment| {
        holder.kill();
        segment.recover().unwrap();
        let next = Segment::open(segment.name().unwrap()).unwrap();
        assert_eq!(segment.stats().unwrap().participants.len(), 2);
        let error = account.sum.try_lock().unwrap_err();
        assert!(
            matches!(error, TryLockError::Poisoned(error) if error.cause() == Cause::OwnerDied)
        );
        drop(next);
    });
}

/// In the child of a fork the guard of its parent does nothing, and the lock is its parent's.
#[test]
fn a_fork_inherits_no_lock() {
    let segment = anonymous();
    let mutex = segment.construct("m", Mutex::new(1)).unwrap();
    let guard = mutex.lock().unwrap();
    // SAFETY: the child uses what a child may use, and ends without running anything else.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let held = matches!(mutex.try_lock_for(MOMENT), Err(TryLockError::WouldBlock));
        drop(guard);
        let still = matches!(mutex.try_lock(), Err(TryLockError::WouldBlock));
        // SAFETY: ends the child.
        unsafe { libc::_exit(if held && still { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: our child.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the child could take, or give back, its parent's lock");
    assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
    drop(guard);
    assert_eq!(*mutex.lock().unwrap(), 1);
}
