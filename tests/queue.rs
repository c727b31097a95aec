//! The queue, through the public interface:
//!
//! - what is pushed is received once, in order, as by a `VecDeque` with places that may come back (10⁵
//!   operations in the long form);
//! - what is acknowledged nobody receives again; what a dead process had and did not acknowledge another receives,
//!   and is told; nothing is lost;
//! - a pusher that is killed has pushed or not, and is in nobody's way;
//! - closing ends all waiting, and is told only when nothing can come any more;
//! - every wait has a form that ends; any bytes are a queue, and do no harm.

mod common;

use common::{Name, Process, arg, hear, long, role, say};
use proptest::prelude::*;
use sharena::queue::{Delivery, PushError, Queue, RecvError, TryPushError, TryRecvError};
use sharena::{Options, Segment, Shareable};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

const MOMENT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(30);

fn anonymous() -> Segment {
    Options::new().capacity(1 << 20).create_anonymous().unwrap()
}

#[test]
fn it_is_zeros_and_as_large_as_it_says() {
    assert_eq!(size_of::<Queue<u64, 4>>(), 192 + 4 * 16);
    assert_eq!(sharena::type_name::<Queue<[u8; 4], 8>>(), "Queue<[u8; 4], 8>");
    assert_ne!(Queue::<u32, 8>::FINGERPRINT, Queue::<i32, 8>::FINGERPRINT);
    assert_ne!(Queue::<u32, 8>::FINGERPRINT, Queue::<u32, 7>::FINGERPRINT);
    let queue: Queue<u64, 4> = Queue::default();
    // SAFETY: words and numbers, without padding but in the last of the three lines, which is not looked at.
    let bytes = unsafe { (&raw const queue).cast::<[u8; 8]>().read() };
    assert_eq!(bytes, [0; 8]);
    assert_eq!(format!("{queue:?}"), "Queue { len: 0, capacity: 4, closed: false, .. }");
}

#[test]
fn what_is_pushed_is_received_in_order() {
    let segment = anonymous();
    let queue = segment.construct("q", Queue::<u32, 3>::new()).unwrap();
    assert_eq!(queue.try_recv(), Err(TryRecvError::Empty));
    for round in 0..10 {
        (0..3).for_each(|i| queue.push(round + i).unwrap());
        assert_eq!((queue.len(), queue.capacity(), queue.is_empty()), (3, 3, false));
        assert_eq!(queue.try_push(9), Err(TryPushError::Full(9)));
        (0..3).for_each(|i| assert_eq!(queue.recv(), Ok(round + i)));
        assert!(queue.is_empty());
    }
}

#[test]
fn every_wait_has_a_form_that_ends() {
    let segment = anonymous();
    let queue = segment.construct("q", Queue::<u32, 1>::new()).unwrap();
    let ends = |wait: &dyn Fn()| {
        let begin = Instant::now();
        wait();
        assert!(begin.elapsed() >= MOMENT, "it waits as long as it was told");
    };
    ends(&|| assert_eq!(queue.recv_for(MOMENT), Err(TryRecvError::Empty)));
    ends(&|| assert_eq!(queue.recv_until(Instant::now() + MOMENT), Err(TryRecvError::Empty)));
    ends(&|| assert_eq!(queue.recv_job_for(MOMENT).unwrap_err(), TryRecvError::Empty));
    let soon = || Instant::now() + MOMENT;
    ends(&|| assert_eq!(queue.recv_job_until(soon()).unwrap_err(), TryRecvError::Empty));
    assert_eq!(queue.push_for(1, Duration::ZERO), Ok(()));
    ends(&|| assert_eq!(queue.push_for(2, MOMENT), Err(TryPushError::Full(2))));
    ends(&|| assert_eq!(queue.push_until(2, soon()), Err(TryPushError::Full(2))));
    assert_eq!(queue.recv_for(Duration::MAX), Ok(1));
}

#[test]
fn closing_is_told_to_all_and_when_nothing_can_come() {
    let segment = anonymous();
    let full = segment.construct("full", Queue::<u32, 1>::new()).unwrap();
    let empty = segment.construct("empty", Queue::<u32, 1>::new()).unwrap();
    let (full, empty) = (&*full, &*empty);
    full.push(1).unwrap();
    std::thread::scope(|scope| {
        let pushes = scope.spawn(|| full.push(2));
        let receives = scope.spawn(|| empty.recv());
        std::thread::sleep(MOMENT);
        full.close();
        empty.close();
        assert_eq!(pushes.join().unwrap(), Err(PushError(2)));
        assert_eq!(receives.join().unwrap(), Err(RecvError::Closed));
    });
    assert!(full.is_closed());
    assert_eq!(full.try_push(3), Err(TryPushError::Closed(3)));
    assert_eq!(full.recv(), Ok(1));
    assert_eq!(full.try_recv(), Err(TryRecvError::Closed));
}

/// As long as another process (here: another attachment) has something, it may come back.
#[test]
fn a_closed_queue_waits_for_what_others_have() {
    let name = Name::new("queue-closed");
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let other = Segment::open(&name).unwrap();
    let queue = segment.construct("q", Queue::<u32, 2>::new()).unwrap();
    let there = other.find::<Queue<u32, 2>>("q").unwrap().unwrap();
    queue.push(1).unwrap();
    queue.push(2).unwrap();
    queue.close();
    let (job, second) = (there.recv_job().unwrap(), there.recv_job().unwrap());
    assert_eq!(queue.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(
        there.try_recv(),
        Err(TryRecvError::Closed),
        "what it has itself it need not wait for"
    );
    second.done();
    drop(job);
    let job = queue.recv_job().unwrap();
    assert_eq!((*job, job.is_redelivered()), (1, true));
    let there = &*there;
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| there.recv());
        std::thread::sleep(MOMENT);
        job.done();
        assert_eq!(waits.join().unwrap(), Err(RecvError::Closed));
    });
}

#[test]
fn a_job_is_somebodys_until_it_is_acknowledged_or_given_back() {
    fn is_send<T: Send>(_: &T) {}
    let segment = anonymous();
    let queue = segment.construct("q", Queue::<u32, 2>::new()).unwrap();
    queue.push(1).unwrap();
    queue.push(2).unwrap();
    let job = queue.recv_job().unwrap();
    is_send(&job);
    assert_eq!(format!("{job:?}"), "Delivery { value: 1, redelivered: false, .. }");
    assert_eq!(queue.try_push(3), Err(TryPushError::Full(3)), "its place is taken");
    assert_eq!(queue.recv(), Ok(2), "others go before it");
    assert_eq!(queue.try_push(3), Err(TryPushError::Full(3)));
    drop(job);
    assert_eq!(queue.try_push(3), Err(TryPushError::Full(3)));
    let again = queue.try_recv_job().unwrap();
    assert_eq!((*again, again.is_redelivered()), (1, true));
    drop(again);
    let again = queue.recv_job_for(MOMENT).unwrap();
    assert_eq!((again.is_redelivered(), again.into_inner()), (true, 1));
    assert_eq!(queue.try_recv(), Err(TryRecvError::Empty));
    queue.push(3).unwrap();
    assert!(!queue.recv_job().unwrap().is_redelivered(), "another in its place");
}

#[test]
fn in_no_segment_it_works_among_threads() {
    static QUEUE: Queue<u64, 2> = Queue::new();
    let sum = std::thread::scope(|scope| {
        let sums = [0, 1].map(|_| {
            scope.spawn(|| {
                let mut sum = 0;
                while let Ok(value) = QUEUE.recv() {
                    sum += value;
                }
                sum
            })
        });
        (1..=1000).for_each(|value| QUEUE.push(value).unwrap());
        QUEUE.close();
        sums.into_iter().map(|sum| sum.join().unwrap()).sum::<u64>()
    });
    assert_eq!(sum, 500_500);
}

/// Who has detached has nothing left by which it could acknowledge.
#[test]
fn what_an_attachment_that_is_over_had_comes_back() {
    let name = Name::new("queue-detached");
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let queue = segment.construct("q", Queue::<u32, 2>::new()).unwrap();
    let other = Segment::open(&name).unwrap();
    let there = other.find::<Queue<u32, 2>>("q").unwrap().unwrap();
    queue.push(1).unwrap();
    std::mem::forget(there.recv_job().unwrap());
    assert_eq!(queue.recv_job_for(MOMENT).unwrap_err(), TryRecvError::Empty, "it lives");
    drop(there);
    drop(other);
    let job = queue.recv_job_for(LONG).unwrap();
    assert_eq!((*job, job.is_redelivered()), (1, true));
}

/// In the child of a fork the job of its parent is not acknowledged, nor given back.
#[test]
fn a_fork_inherits_no_job() {
    let segment = anonymous();
    let queue = segment.construct("q", Queue::<u32, 3>::new()).unwrap();
    (1..=3).for_each(|value| queue.push(value).unwrap());
    let (job, other) = (queue.recv_job().unwrap(), queue.recv_job().unwrap());
    // SAFETY: the child uses what a child may use, and ends without running anything else.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(job);
        other.done();
        let is_next = queue.recv() == Ok(3);
        let is_last = queue.try_recv() == Err(TryRecvError::Empty);
        // SAFETY: ends the child.
        unsafe { libc::_exit(if is_next && is_last { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: our child.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the child gave its parent's job back, or is no process of its own");
    assert_eq!(queue.try_push(4), Err(TryPushError::Full(4)), "the child acknowledged it");
    other.done();
    drop(job);
    assert_eq!(queue.recv(), Ok(1));
}

#[test]
fn what_is_no_value_is_not_given_out() {
    let segment = anonymous();
    let queue = segment.construct("q", Queue::<bool, 2>::new()).unwrap();
    let damage = |cell: usize| {
        // SAFETY: the byte of a value, which nobody looks at meanwhile.
        unsafe { queue.as_ptr().cast::<u8>().add(192 + cell * 16 + 8).write(2) };
    };
    queue.push(true).unwrap();
    damage(0);
    assert_eq!(queue.recv(), Err(RecvError::InvalidValue));
    queue.push(true).unwrap();
    damage(1);
    assert_eq!(queue.recv_job().unwrap_err(), RecvError::InvalidValue);
    queue.push(true).unwrap();
    assert_eq!(queue.recv(), Ok(true), "and on");
}

/// What any bytes in the place of a queue do: nothing but to be pushed to and received from, in time.
#[test]
fn any_bytes_are_a_queue() {
    let segment = anonymous();
    let queue = segment.construct("q", Queue::<bool, 5>::new()).unwrap();
    let mut number = 7u64;
    let mut next = || {
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        number
    };
    let words = size_of::<Queue<bool, 5>>() / 8;
    let begin = Instant::now();
    let (mut calls, mut values) = (0u64, 0u64);
    for _ in 0..if long() { 100_000 } else { 4_000 } {
        for word in 0..words {
            // Words as they could be, more often than others.
            let any = next();
            let lap = any >> 20 & 3;
            let value = match any % 4 {
                0 => any >> 8,
                1 => 0,
                2 => any >> 8 & 15,
                _ => lap << 15 | (any >> 30 & 7) << 12 | any >> 40 & 3 | (any >> 42 & 1) << 32,
            };
            // SAFETY: a word of the queue, of which any bytes are one; nobody looks meanwhile.
            unsafe { queue.as_ptr().cast::<u64>().add(word).write(value) };
        }
        for _ in 0..8 {
            calls += 1;
            match next() % 6 {
                0 | 1 => _ = queue.try_push(true),
                2 => values += u64::from(queue.try_recv().is_ok()),
                3 => values += u64::from(queue.try_recv_job().map(Delivery::done).is_ok()),
                4 => drop(queue.try_recv_job()),
                _ => assert!(queue.len() <= 5),
            }
        }
    }
    assert!(begin.elapsed() < LONG, "{calls} calls took {:?}", begin.elapsed());
    assert!(values > 0, "it tests nothing");
}

#[derive(Clone, Debug)]
enum Act {
    Push,
    Receive,
    ReceiveJob,
    Done(usize),
    GiveBack(usize),
    Close,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        40 => Just(Act::Push),
        20 => Just(Act::Receive),
        20 => Just(Act::ReceiveJob),
        12 => (0..8usize).prop_map(Act::Done),
        12 => (0..8usize).prop_map(Act::GiveBack),
        1 => Just(Act::Close),
    ]
}

const PLACES: usize = 5;

/// What the queue should be: those to be received, and those that came back, by their place in the ring.
#[derive(Default)]
struct Model {
    line: VecDeque<u64>,
    back: BTreeMap<usize, u64>,
    pushed: u64,
    is_taken: [bool; PLACES],
    is_closed: bool,
}

impl Model {
    fn push(&mut self) -> Result<(), TryPushError<u64>> {
        let value = self.pushed;
        let place = value as usize % PLACES;
        if self.is_closed {
            return Err(TryPushError::Closed(value));
        }
        if std::mem::replace(&mut self.is_taken[place], true) {
            return Err(TryPushError::Full(value));
        }
        self.line.push_back(value);
        self.pushed += 1;
        Ok(())
    }

    fn receive(&mut self) -> Result<(u64, bool), TryRecvError> {
        if let Some((_, value)) = self.back.pop_first() {
            return Ok((value, true));
        }
        let none = if self.is_closed { TryRecvError::Closed } else { TryRecvError::Empty };
        self.line.pop_front().map(|value| (value, false)).ok_or(none)
    }

    fn done(&mut self, value: u64) {
        self.is_taken[value as usize % PLACES] = false;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if long() { 400 } else { 100 }))]

    #[test]
    fn it_is_a_deque_with_places_that_come_back(acts in prop::collection::vec(act(), 1..500)) {
        let segment = anonymous();
        let queue = segment.construct("q", Queue::<u64, PLACES>::new()).unwrap();
        let mut model = Model::default();
        let mut jobs: Vec<Delivery<'_, u64, PLACES>> = Vec::new();
        for act in acts {
            match act {
                Act::Push => {
                    let value = model.pushed;
                    prop_assert_eq!(queue.try_push(value), model.push());
                }
                Act::Receive => {
                    let expected = model.receive();
                    prop_assert_eq!(queue.try_recv(), expected.map(|(value, _)| value));
                    expected.into_iter().for_each(|(value, _)| model.done(value));
                }
                Act::ReceiveJob => match queue.try_recv_job() {
                    Ok(job) => {
                        prop_assert_eq!(Ok((*job, job.is_redelivered())), model.receive());
                        jobs.push(job);
                    }
                    Err(nothing) => prop_assert_eq!(Err(nothing), model.receive()),
                },
                Act::Done(which) if which < jobs.len() => {
                    model.done(jobs.remove(which).into_inner());
                }
                Act::GiveBack(which) if which < jobs.len() => {
                    let job = jobs.remove(which);
                    model.back.insert(*job as usize % PLACES, *job);
                }
                Act::Done(_) | Act::GiveBack(_) => {}
                Act::Close => {
                    queue.close();
                    model.is_closed = true;
                }
            }
            prop_assert_eq!(queue.len(), model.line.len());
        }
    }
}

const EACH: u64 = 20_000;

#[test]
fn among_threads_each_value_is_received_once_and_in_its_pushers_order() {
    let segment = anonymous();
    let queue = segment.construct("q", Queue::<(u64, u64), 4>::new()).unwrap();
    let queue = &*queue;
    let mut all: Vec<(u64, u64)> = std::thread::scope(|scope| {
        let pushers = [0, 1].map(|pusher| {
            scope.spawn(move || (0..EACH).for_each(|value| queue.push((pusher, value)).unwrap()))
        });
        let receivers = [0, 1].map(|_| {
            scope.spawn(|| {
                let mut had: Vec<(u64, u64)> = Vec::new();
                let mut last = [None; 2];
                while let Ok((pusher, value)) = queue.recv() {
                    assert!(last[pusher as usize] < Some(value), "the order of one pusher");
                    last[pusher as usize] = Some(value);
                    had.push((pusher, value));
                }
                had
            })
        });
        pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
        queue.close();
        receivers.into_iter().flat_map(|receiver| receiver.join().unwrap()).collect()
    });
    all.sort_unstable();
    let expected: Vec<_> = [0, 1].iter().flat_map(|p| (0..EACH).map(|v| (*p, v))).collect();
    assert!(all == expected, "each once");
}

const JOBS: usize = 4096;

#[derive(Shareable)]
struct Hall {
    queue: Queue<u64, 8>,
    /// Of each job: how often it was begun as one that nobody had before, and as one that comes back.
    fresh: [AtomicU64; JOBS],
    again: [AtomicU64; JOBS],
    /// Set before it was acknowledged, behind that, and behind its push.
    acknowledging: [AtomicU64; JOBS],
    acknowledged: [AtomicU64; JOBS],
    pushed: [AtomicU64; JOBS],
}

impl Hall {
    fn new() -> Hall {
        let zeros = || [const { AtomicU64::new(0) }; JOBS];
        Hall {
            queue: Queue::new(),
            fresh: zeros(),
            again: zeros(),
            acknowledging: zeros(),
            acknowledged: zeros(),
            pushed: zeros(),
        }
    }

    fn work(&self) {
        loop {
            let job = match self.queue.recv_job() {
                Ok(job) => job,
                Err(closed) => return assert_eq!(closed, RecvError::Closed),
            };
            let number = *job as usize;
            assert_eq!(self.acknowledged[number].load(SeqCst), 0, "acknowledged, and had again");
            let begun = if job.is_redelivered() { &self.again } else { &self.fresh };
            begun[number].fetch_add(1, SeqCst);
            std::thread::sleep(Duration::from_micros(if long() { 4000 } else { 50 }));
            self.acknowledging[number].fetch_add(1, SeqCst);
            job.done();
            self.acknowledged[number].fetch_add(1, SeqCst);
        }
    }

    /// Pushes jobs from `from` on.
    fn push(&self, from: usize, until: usize) {
        for number in from..until {
            self.queue.push(number as u64).unwrap();
            self.pushed[number].store(1, SeqCst);
        }
    }

    /// The laws, when all is over.
    fn check(&self) {
        for number in 0..JOBS {
            let of = |counts: &[AtomicU64; JOBS]| counts[number].load(SeqCst);
            let (fresh, again) = (of(&self.fresh), of(&self.again));
            let all = (fresh, again, of(&self.acknowledging), of(&self.acknowledged));
            assert!(fresh <= 1, "job {number} had twice, and not told: {all:?}");
            assert!(of(&self.acknowledged) <= 1, "job {number} acknowledged twice: {all:?}");
            if of(&self.pushed) == 1 {
                assert!(fresh + again >= 1, "job {number} is lost: {all:?}");
                assert!(of(&self.acknowledging) >= 1, "job {number} was never done: {all:?}");
            }
        }
    }
}

fn be_in() {
    let segment = Segment::open(&arg(0)).unwrap();
    let hall = segment.find::<Hall>("hall").unwrap().unwrap();
    match arg(1).as_str() {
        "work" => hall.work(),
        "push" => hall.push(arg(2).parse().unwrap(), arg(3).parse().unwrap()),
        "die at a job" => {
            let job = hall.queue.recv_job().unwrap();
            say(*job);
            hear();
            unreachable!("it was to be killed");
        }
        "wait for room" => {
            say("ready");
            assert_eq!(hall.queue.push(99), Ok(()));
            say("done");
        }
        other => unreachable!("{other}"),
    }
}

fn in_hall(test: &str, with: impl FnOnce(&Hall, &dyn Fn(&[&str]) -> Process)) {
    if role().is_some() {
        return be_in();
    }
    let name = Name::new(test);
    let segment = Segment::create(&name, 4 << 20).unwrap();
    let hall = segment.construct("hall", Hall::new()).unwrap();
    with(&hall, &|what| {
        let args: Vec<&str> = [&*name].into_iter().chain(what.iter().copied()).collect();
        Process::start(test, what[0], &args)
    });
}

#[test]
fn the_job_of_a_killed_process_goes_to_another() {
    in_hall("the_job_of_a_killed_process_goes_to_another", |hall, start| {
        (0..3).for_each(|number| hall.queue.push(number).unwrap());
        let mut worker = start(&["die at a job"]);
        assert_eq!(worker.listen(), "0");
        assert_eq!(hall.queue.recv(), Ok(1));
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| {
                assert_eq!(hall.queue.recv(), Ok(2));
                let job = hall.queue.recv_job_for(LONG).unwrap();
                (job.is_redelivered(), job.into_inner())
            });
            std::thread::sleep(MOMENT);
            worker.kill();
            let begin = Instant::now();
            assert_eq!(waits.join().unwrap(), (true, 0));
            assert!(begin.elapsed() < LONG / 10, "it took {:?}", begin.elapsed());
        });
        assert_eq!(hall.queue.try_recv(), Err(TryRecvError::Empty), "once");
    });
}

#[test]
fn what_the_dead_had_comes_before_what_was_pushed_since() {
    in_hall("what_the_dead_had_comes_before_what_was_pushed_since", |hall, start| {
        hall.queue.push(0).unwrap();
        let mut worker = start(&["die at a job"]);
        assert_eq!(worker.listen(), "0");
        worker.kill();
        // Another comes, and recovers; all that he had and did is over.
        let mut other = start(&["die at a job"]);
        assert_eq!(other.listen(), "0");
        other.kill();
        start(&["push", "1", "3"]).finish();
        let received = || hall.queue.try_recv_job().unwrap().into_inner();
        assert_eq!([received(), received(), received()], [0, 1, 2]);
    });
}

/// A place that a dead one had is room again when another has done its job.
#[test]
fn who_waits_for_room_waits_for_the_next_who_has_the_job_of_the_dead() {
    in_hall("who_waits_for_room_waits_for_the_next_who_has_the_job_of_the_dead", |hall, start| {
        (0..8).for_each(|number| hall.queue.push(number).unwrap());
        let mut worker = start(&["die at a job"]);
        assert_eq!(worker.listen(), "0");
        let mut waits = start(&["wait for room"]);
        assert_eq!(waits.listen(), "ready");
        worker.kill();
        // The others are had first, as long as the death is not known: none of them is the room.
        let mut job = hall.queue.recv_job_for(LONG).unwrap();
        while !job.is_redelivered() {
            job.done();
            job = hall.queue.recv_job_for(LONG).unwrap();
        }
        assert_eq!(job.into_inner(), 0);
        assert_eq!(waits.listen(), "done");
        waits.finish();
    });
}

#[test]
fn workers_are_killed_and_each_job_is_done() {
    in_hall("workers_are_killed_and_each_job_is_done", |hall, start| {
        let kills = if long() { 300 } else { 12 };
        std::thread::scope(|scope| {
            let pushes = scope.spawn(|| hall.push(0, JOBS));
            let mut workers: VecDeque<_> = (0..2).map(|_| start(&["work"])).collect();
            for _ in 0..kills {
                std::thread::sleep(Duration::from_millis(if long() { 30 } else { 25 }));
                let mut oldest = workers.pop_front().expect("two");
                if !oldest.has_ended() {
                    oldest.kill();
                }
                workers.push_back(start(&["work"]));
            }
            pushes.join().unwrap();
            hall.queue.close();
            workers.into_iter().for_each(Process::finish);
        });
        assert_eq!(hall.queue.recv(), Err(RecvError::Closed));
        hall.check();
        let again: u64 = hall.again.iter().map(|again| again.load(SeqCst)).sum();
        assert!(again > 0, "nobody was killed at a job, and this tests nothing");
    });
}

#[test]
fn pushers_are_killed_and_what_they_had_pushed_is_there() {
    in_hall("pushers_are_killed_and_what_they_had_pushed_is_there", |hall, start| {
        let kills = 8;
        std::thread::scope(|scope| {
            let works = scope.spawn(|| hall.work());
            let each = JOBS / (kills + 1);
            for killed in 0..kills {
                let (from, until) =
                    ((killed * each).to_string(), ((killed + 1) * each).to_string());
                let pusher = start(&["push", &from, &until]);
                while hall.pushed[killed * each].load(SeqCst) == 0 {
                    std::thread::yield_now();
                }
                std::thread::sleep(Duration::from_millis(3));
                // It may have ended by itself: what follows is the same.
                pusher.signal(libc::SIGKILL);
                pusher.ended();
            }
            hall.push(kills * each, JOBS);
            hall.queue.close();
            works.join().unwrap();
        });
        hall.check();
        let of = |counts: &[AtomicU64; JOBS]| counts.iter().map(|n| n.load(SeqCst)).sum::<u64>();
        assert_eq!(of(&hall.again), 0, "nobody died who had one");
        assert!(of(&hall.fresh) >= of(&hall.pushed));
    });
}
