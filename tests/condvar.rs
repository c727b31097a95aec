//! Condition variables, through the public interface:
//!
//! - who waits is woken by who changes what it waits for, in whatever process;
//! - a wait that is timed ends, and says so;
//! - a death is news to who asked for them, from when it asked, and nobody hangs for a notice that went to the
//!   dead.

mod common;

use common::{Name, Process, arg, hear, role, say};
use sharena::lock::{Cause, Condvar, LockResult, Mut, Mutex, MutexGuard, PoisonError, WaitError};
use sharena::{Options, Segment, Shareable};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

const MOMENT: Duration = Duration::from_millis(20);

/// A value that is handed over.
#[derive(Shareable)]
struct Hatch {
    value: Mutex<(bool, u64)>,
    changed: Condvar,
}

impl Hatch {
    fn new() -> Hatch {
        Hatch { value: Mutex::new((false, 0)), changed: Condvar::new() }
    }

    /// The lock; a death inside does no harm, as the value is written in one go.
    fn lock(&self) -> MutexGuard<'_, (bool, u64)> {
        self.mended(self.value.lock())
    }

    fn mended<'a>(
        &'a self,
        got: LockResult<MutexGuard<'a, (bool, u64)>>,
    ) -> MutexGuard<'a, (bool, u64)> {
        got.unwrap_or_else(|error| {
            self.value.clear_poison();
            error.into_inner()
        })
    }

    /// The lock, when a value is there, or not.
    fn lock_when(&self, is_there: bool) -> MutexGuard<'_, (bool, u64)> {
        let mut guard = self.lock();
        while guard.0 != is_there {
            guard = self.mended(self.changed.wait(guard));
        }
        guard
    }

    fn put(&self, value: u64) {
        *self.lock_when(false) = (true, value);
        self.changed.notify_all();
    }

    fn take(&self) -> u64 {
        let mut guard = self.lock_when(true);
        guard.0 = false;
        let value = guard.1;
        drop(guard);
        self.changed.notify_all();
        value
    }
}

fn anonymous() -> Segment {
    Options::new().capacity(1 << 20).create_anonymous().unwrap()
}

fn be_in(_role: &str) {
    let segment = Segment::open(&arg(0)).unwrap();
    let hatch = segment.find::<Hatch>("hatch").unwrap().unwrap();
    match arg(1).as_str() {
        "put" => (0..arg(2).parse().unwrap()).for_each(|value| hatch.put(value)),
        "wait" => {
            say("ready");
            hatch.take();
            unreachable!("it was to be killed");
        }
        "idle" => {
            say("ready");
            hear();
            unreachable!("it was to be killed");
        }
        "die inside" => {
            let mut guard = hatch.value.lock().unwrap_or_else(PoisonError::into_inner);
            *guard = (true, 5);
            say("ready");
            hear();
            unreachable!("it was to be killed");
        }
        other => unreachable!("{other}"),
    }
}

const VALUES: u64 = 2000;

#[test]
fn values_go_from_one_process_to_another() {
    let test = "values_go_from_one_process_to_another";
    if let Some(role) = role() {
        return be_in(&role);
    }
    let name = Name::new(test);
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let hatch = segment.construct("hatch", Hatch::new()).unwrap();
    let producer = Process::start(test, "producer", &[&name, "put", &VALUES.to_string()]);
    (0..VALUES).for_each(|value| assert_eq!(hatch.take(), value));
    producer.finish();
}

#[test]
fn a_notice_wakes_one_and_all() {
    let segment = anonymous();
    let hatch = segment.construct("hatch", Hatch::new()).unwrap();
    let hatch = &*hatch;
    std::thread::scope(|scope| {
        let wait = || {
            let guard = hatch.value.lock().unwrap();
            let none = |value: Mut<'_, (bool, u64)>| value.1 == 0;
            let waits = hatch.changed.wait_timeout_while(guard, Duration::from_secs(20), none);
            let (mut guard, ended) = waits.unwrap();
            assert!(!ended.timed_out());
            guard.1 -= 1;
        };
        let waiters: Vec<_> = (0..6).map(|_| scope.spawn(wait)).collect();
        std::thread::sleep(MOMENT);
        for _ in 0..3 {
            hatch.value.lock().unwrap().1 += 1;
            hatch.changed.notify_one();
        }
        hatch.value.lock().unwrap().1 += 3;
        hatch.changed.notify_all();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    });
    assert_eq!(hatch.value.lock().unwrap().1, 0);
}

#[test]
fn a_timed_wait_ends() {
    let segment = anonymous();
    let hatch = segment.construct("hatch", Hatch::new()).unwrap();
    let begin = Instant::now();
    let (guard, ended) = hatch.changed.wait_timeout(hatch.value.lock().unwrap(), MOMENT).unwrap();
    assert!(ended.timed_out() && begin.elapsed() >= MOMENT);
    let soon = Instant::now() + MOMENT;
    let (guard, ended) = hatch.changed.wait_until(guard, soon).unwrap();
    assert!(ended.timed_out() && Instant::now() >= soon);
    let waits = hatch.changed.wait_timeout_while(guard, MOMENT, |value| !value.0);
    assert!(waits.unwrap().1.timed_out());
}

/// Somebody who holds nothing dies: before the wait, in it, and without having been of interest.
#[test]
fn a_death_is_news_to_who_asked() {
    let test = "a_death_is_news_to_who_asked";
    if let Some(role) = role() {
        return be_in(&role);
    }
    let name = Name::new(test);
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let hatch = segment.construct("hatch", Hatch::new()).unwrap();
    let start = || {
        let mut other = Process::start(test, "other", &[&name, "idle"]);
        assert_eq!(other.listen(), "ready");
        other
    };
    let is_not_there = |value: Mut<'_, (bool, u64)>| !value.0;

    let mut partner = start();
    let mut deaths = segment.deaths();
    partner.signal(libc::SIGKILL);
    // Nobody recovers: who waits finds the death by itself.
    let ended = hatch.changed.wait_while_alive(hatch.value.lock().unwrap(), &deaths, is_not_there);
    assert!(matches!(ended, Err(WaitError::SomeoneDied(_))), "{ended:?}");
    drop(ended);
    assert!(deaths.have_died());
    partner = start();
    deaths.renew();
    assert!(!deaths.have_died());
    partner.kill();
    segment.recover().unwrap();
    // Before the wait.
    let ended = hatch.changed.wait_while_alive(hatch.value.lock().unwrap(), &deaths, is_not_there);
    assert!(matches!(ended, Err(WaitError::SomeoneDied(_))), "{ended:?}");
    drop(ended);
    // What is so needs no wait, whoever died.
    hatch.put(1);
    let ended = hatch.changed.wait_while_alive(hatch.value.lock().unwrap(), &deaths, is_not_there);
    assert_eq!(ended.unwrap().1, 1);
}

/// Half of those who wait are killed while notices go round: each value is had by one who lives.
#[test]
fn a_notice_that_went_to_the_dead_is_not_lost() {
    let test = "a_notice_that_went_to_the_dead_is_not_lost";
    if let Some(role) = role() {
        return be_in(&role);
    }
    let name = Name::new(test);
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let hatch = segment.construct("hatch", Hatch::new()).unwrap();
    let hatch = &*hatch;
    for round in 0..10 {
        let mut victim = Process::start(test, "victim", &[&name, "wait"]);
        assert_eq!(victim.listen(), "ready");
        std::thread::scope(|scope| {
            let taker = scope.spawn(|| hatch.take());
            std::thread::sleep(Duration::from_micros(500 * round));
            // A value for one of the two; if the victim has it, it dies with it, or after.
            victim.signal(libc::SIGKILL);
            *hatch.lock() = (true, round);
            hatch.changed.notify_one();
            let begin = Instant::now();
            while hatch.lock().0 {
                assert!(begin.elapsed() < Duration::from_secs(20), "the notice is lost");
                std::thread::yield_now();
            }
            if !taker.is_finished() {
                hatch.put(round);
            }
            assert_eq!(taker.join().unwrap(), round);
        });
        // It had the first one, and ended just after it was looked whether it has.
        if hatch.lock().0 {
            hatch.take();
        }
    }
}

/// One who dies with the mutex held, having made the condition true, without a notice.
#[test]
fn who_waits_hears_of_a_death_inside() {
    let test = "who_waits_hears_of_a_death_inside";
    if let Some(role) = role() {
        return be_in(&role);
    }
    let name = Name::new(test);
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let hatch = segment.construct("hatch", Hatch::new()).unwrap();
    let hatch = &*hatch;
    let is_waiting = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let taker = scope.spawn(|| {
            let guard = hatch.value.lock().unwrap();
            is_waiting.store(true, SeqCst);
            let error = hatch.changed.wait(guard).unwrap_err();
            (error.cause(), *error.into_inner())
        });
        // It waits when it has given the lock back: a death before that would be no news to it.
        while !is_waiting.load(SeqCst) {
            std::thread::yield_now();
        }
        drop(hatch.lock());
        let mut victim = Process::start(test, "victim", &[&name, "die inside"]);
        assert_eq!(victim.listen(), "ready");
        victim.kill();
        assert_eq!(taker.join().unwrap(), (Cause::OwnerDied, (true, 5)));
    });
}
