//! The ring of one producer and one consumer, through the public interface:
//!
//! - what is pushed is received once, in order, as by a `VecDeque`, one by one or several in a step;
//! - an end is one living process' at a time; a dead one's is taken over, and nothing is lost by that;
//! - what was looked at and is not done the next consumer has, and is told; what is done nobody has again;
//! - a producer that is killed has pushed or not;
//! - closing ends all waiting, and so does the death or the leaving of who is waited for, once;
//! - every wait has a form that ends; any bytes are a ring, and do no harm.

mod common;

use common::{Name, Process, arg, hear, long, role, say};
use proptest::prelude::*;
use sharena::queue::{ClaimError, Consumer, Producer, SpscPushError, SpscRecvError, SpscRing};
use sharena::{Options, Segment, Shareable};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

const MOMENT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(30);

fn anonymous() -> Segment {
    Options::new().capacity(1 << 20).create_anonymous().unwrap()
}

#[test]
fn it_is_zeros_and_as_large_as_it_says() {
    assert_eq!(size_of::<SpscRing<u64, 16>>(), 384 + 16 * 8);
    assert_eq!(align_of::<SpscRing<u8, 1>>(), 128);
    assert_eq!(sharena::type_name::<SpscRing<[u8; 4], 8>>(), "SpscRing<[u8; 4], 8>");
    assert_ne!(SpscRing::<u32, 8>::FINGERPRINT, SpscRing::<i32, 8>::FINGERPRINT);
    assert_ne!(SpscRing::<u32, 8>::FINGERPRINT, SpscRing::<u32, 7>::FINGERPRINT);
    let ring: SpscRing<u64, 4> = SpscRing::default();
    let words = [0, 1, 16, 17, 18, 32, 33, 48, 49, 50, 51];
    for word in words {
        // SAFETY: a word or a number of the ring, no padding.
        assert_eq!(unsafe { (&raw const ring).cast::<u64>().add(word).read() }, 0);
    }
    assert_eq!(format!("{ring:?}"), "SpscRing { len: 0, capacity: 4, closed: false, .. }");
}

#[test]
fn what_is_pushed_is_received_in_order() {
    let segment = anonymous();
    let ring = segment.construct("r", SpscRing::<u32, 3>::new()).unwrap();
    let (mut producer, mut consumer) = (ring.producer().unwrap(), ring.consumer().unwrap());
    assert_eq!(consumer.try_recv(), Err(SpscRecvError::Empty));
    for round in 0..10 {
        (0..3).for_each(|i| producer.push(round + i).unwrap());
        assert_eq!((ring.len(), ring.capacity(), ring.is_empty()), (3, 3, false));
        assert_eq!(producer.try_push(9), Err(SpscPushError::Full(9)));
        (0..3).for_each(|i| assert_eq!(consumer.recv(), Ok(round + i)));
        assert!(ring.is_empty());
    }
}

#[test]
fn several_go_in_one_step() {
    let segment = anonymous();
    let ring = segment.construct("r", SpscRing::<u32, 5>::new()).unwrap();
    let (mut producer, mut consumer) = (ring.producer().unwrap(), ring.consumer().unwrap());
    let mut to = [0; 8];
    assert_eq!(consumer.try_recv_slice(&mut to), Err(SpscRecvError::Empty));
    for first in 0..12 {
        let values: Vec<u32> = (first..first + 8).collect();
        assert_eq!(producer.try_push_slice(&values[..3]), Ok(3));
        assert_eq!(producer.try_push_slice(&values[3..]), Ok(2), "as many as there is room for");
        assert_eq!(producer.try_push_slice(&values), Err(SpscPushError::Full(())));
        assert_eq!(producer.try_push_slice(&[]), Ok(0));
        assert_eq!(consumer.try_recv_slice(&mut []), Ok(0));
        assert_eq!((consumer.try_recv_slice(&mut to[..2]), &to[..2]), (Ok(2), &values[..2]));
        assert_eq!((consumer.try_recv_slice(&mut to), &to[..3]), (Ok(3), &values[2..5]));
        // So that the next five begin elsewhere.
        producer.push(first).unwrap();
        assert_eq!(consumer.recv(), Ok(first));
    }
    producer.push(1).unwrap();
    ring.close();
    assert_eq!(producer.try_push_slice(&[2]), Err(SpscPushError::Closed(())));
    assert_eq!(consumer.try_recv_slice(&mut to), Ok(1));
    assert_eq!(consumer.try_recv_slice(&mut to), Err(SpscRecvError::Closed));
}

#[test]
fn every_wait_has_a_form_that_ends() {
    let segment = anonymous();
    let ring = segment.construct("r", SpscRing::<u32, 1>::new()).unwrap();
    let (mut producer, mut consumer) = (ring.producer().unwrap(), ring.consumer().unwrap());
    let ends = |wait: &mut dyn FnMut()| {
        let begin = Instant::now();
        wait();
        assert!(begin.elapsed() >= MOMENT, "it waits as long as it was told");
    };
    let soon = || Instant::now() + MOMENT;
    ends(&mut || assert_eq!(consumer.recv_for(MOMENT), Err(SpscRecvError::Empty)));
    ends(&mut || assert_eq!(consumer.recv_until(soon()), Err(SpscRecvError::Empty)));
    ends(&mut || assert_eq!(consumer.peek_for(MOMENT).unwrap_err(), SpscRecvError::Empty));
    ends(&mut || assert_eq!(consumer.peek_until(soon()).unwrap_err(), SpscRecvError::Empty));
    assert_eq!(producer.push_for(1, Duration::ZERO), Ok(()));
    ends(&mut || assert_eq!(producer.push_for(2, MOMENT), Err(SpscPushError::Full(2))));
    ends(&mut || assert_eq!(producer.push_until(2, soon()), Err(SpscPushError::Full(2))));
    assert_eq!(consumer.recv_for(Duration::MAX), Ok(1));
}

#[test]
fn an_end_is_had_by_one() {
    fn is_send<T: Send>(_: &T) {}
    let name = Name::new("spsc-ends");
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let other = Segment::open(&name).unwrap();
    let ring = segment.construct("r", SpscRing::<u32, 2>::new()).unwrap();
    let there = other.find::<SpscRing<u32, 2>>("r").unwrap().unwrap();
    let (producer, consumer) = (ring.producer().unwrap(), there.consumer().unwrap());
    is_send(&producer);
    is_send(&consumer);
    assert_eq!(ring.producer().unwrap_err(), ClaimError::ThisProcess);
    assert_eq!(there.producer().unwrap_err(), ClaimError::OtherProcess);
    assert_eq!(ring.consumer().unwrap_err(), ClaimError::OtherProcess);
    assert_eq!(there.consumer().unwrap_err(), ClaimError::ThisProcess);
    drop(producer);
    let mut producer = there.producer().unwrap();
    assert_eq!(ring.producer().unwrap_err(), ClaimError::OtherProcess);
    producer.push(7).unwrap();
    drop(consumer);
    assert_eq!(ring.consumer().unwrap().recv(), Ok(7));
}

#[test]
fn closing_is_told_to_both() {
    let segment = anonymous();
    let full = segment.construct("full", SpscRing::<u32, 1>::new()).unwrap();
    let empty = segment.construct("empty", SpscRing::<u32, 1>::new()).unwrap();
    let (mut producer, mut consumer) = (full.producer().unwrap(), empty.consumer().unwrap());
    producer.push(1).unwrap();
    std::thread::scope(|scope| {
        let pushes = scope.spawn(|| producer.push(2));
        let receives = scope.spawn(|| consumer.recv());
        std::thread::sleep(MOMENT);
        full.close();
        empty.close();
        assert_eq!(pushes.join().unwrap(), Err(SpscPushError::Closed(2)));
        assert_eq!(receives.join().unwrap(), Err(SpscRecvError::Closed));
    });
    assert!(full.is_closed());
    assert_eq!(producer.try_push(3), Err(SpscPushError::Closed(3)));
    let mut consumer = full.consumer().unwrap();
    assert_eq!(consumer.recv(), Ok(1));
    assert_eq!(consumer.try_recv(), Err(SpscRecvError::Closed));
}

/// Who has not come yet is waited for, who leaves is not.
#[test]
fn who_waits_for_one_who_leaves_is_told() {
    let segment = anonymous();
    let ring = segment.construct("r", SpscRing::<u32, 1>::new()).unwrap();
    let mut consumer = ring.consumer().unwrap();
    assert_eq!(consumer.recv_for(Duration::ZERO), Err(SpscRecvError::Empty), "none has come yet");
    let producer = std::thread::scope(|scope| {
        let receives = scope.spawn(|| (consumer.recv(), consumer.recv(), consumer.recv()));
        std::thread::sleep(MOMENT);
        let mut producer = ring.producer().unwrap();
        producer.push(1).unwrap();
        producer.push(2).unwrap();
        std::thread::sleep(MOMENT);
        drop(producer);
        assert_eq!(receives.join().unwrap(), (Ok(1), Ok(2), Err(SpscRecvError::ProducerGone)));
        let mut producer = ring.producer().unwrap();
        producer.push(3).unwrap();
        producer
    });
    drop(producer);
    assert_eq!(consumer.recv(), Ok(3), "what is there comes first");
    assert_eq!(consumer.try_recv(), Err(SpscRecvError::Empty), "who tries finds out nothing");
    assert_eq!(consumer.peek().unwrap_err(), SpscRecvError::ProducerGone);
    assert_eq!(consumer.recv_for(MOMENT), Err(SpscRecvError::Empty), "it is told once");

    let mut producer = ring.producer().unwrap();
    producer.push(4).unwrap();
    std::thread::scope(|scope| {
        let pushes = scope.spawn(|| (producer.push(5), producer.push(6)));
        std::thread::sleep(MOMENT);
        assert_eq!(consumer.recv(), Ok(4));
        std::thread::sleep(MOMENT);
        drop(consumer);
        assert_eq!(pushes.join().unwrap(), (Ok(()), Err(SpscPushError::ConsumerGone(6))));
    });
    assert_eq!(producer.push_for(6, MOMENT), Err(SpscPushError::Full(6)), "it is told once");
    assert_eq!(ring.consumer().unwrap().recv(), Ok(5));
    assert_eq!(producer.push(6), Ok(()), "there is room");
}

#[test]
fn what_is_looked_at_stays_until_it_is_done() {
    let segment = anonymous();
    let ring = segment.construct("r", SpscRing::<u32, 2>::new()).unwrap();
    let (mut producer, mut consumer) = (ring.producer().unwrap(), ring.consumer().unwrap());
    producer.push(1).unwrap();
    producer.push(2).unwrap();
    let front = consumer.peek().unwrap();
    assert_eq!(format!("{front:?}"), "Front { value: 1, redelivered: false, .. }");
    assert_eq!(producer.try_push(3), Err(SpscPushError::Full(3)), "its place is taken");
    drop(front);
    drop(consumer);
    let mut consumer = ring.consumer().unwrap();
    let front = consumer.try_peek().unwrap();
    assert_eq!((*front, front.is_redelivered()), (1, true));
    front.done();
    assert_eq!(producer.try_push(3), Ok(()));
    let front = consumer.peek_for(MOMENT).unwrap();
    assert_eq!((*front, front.is_redelivered()), (2, false));
    drop(front);
    assert_eq!(consumer.recv(), Ok(2));
    let front = consumer.peek_until(Instant::now() + MOMENT).unwrap();
    assert_eq!((*front, front.is_redelivered()), (3, false));
}

#[test]
fn in_no_segment_it_works_among_threads() {
    static RING: SpscRing<u64, 2> = SpscRing::new();
    let mut producer = RING.producer().unwrap();
    assert_eq!(RING.producer().unwrap_err(), ClaimError::ThisProcess);
    let sum = std::thread::scope(|scope| {
        let sum = scope.spawn(|| {
            let (mut sum, mut consumer) = (0, RING.consumer().unwrap());
            while let Ok(value) = consumer.recv() {
                sum += value;
            }
            sum
        });
        (1..=1000).for_each(|value| producer.push(value).unwrap());
        RING.close();
        sum.join().unwrap()
    });
    assert_eq!(sum, 500_500);
}

/// Who has detached has nothing left by which it could push.
#[test]
fn the_end_of_an_attachment_that_is_over_is_free() {
    let name = Name::new("spsc-detached");
    let segment = Segment::create(&name, 1 << 20).unwrap();
    let ring = segment.construct("r", SpscRing::<u32, 2>::new()).unwrap();
    let mut consumer = ring.consumer().unwrap();
    let other = Segment::open(&name).unwrap();
    let there = other.find::<SpscRing<u32, 2>>("r").unwrap().unwrap();
    let mut producer = there.producer().unwrap();
    producer.push(1).unwrap();
    std::mem::forget(producer);
    assert_eq!(ring.producer().unwrap_err(), ClaimError::OtherProcess, "it lives");
    drop(there);
    drop(other);
    assert_eq!((consumer.recv(), consumer.recv()), (Ok(1), Err(SpscRecvError::ProducerGone)));
    ring.producer().unwrap().push(2).unwrap();
    assert_eq!(consumer.recv(), Ok(2));
}

/// In the child of a fork the ends of its parent do nothing, nor are they given back.
#[test]
fn a_fork_inherits_no_end() {
    let segment = anonymous();
    let ring = segment.construct("r", SpscRing::<u32, 4>::new()).unwrap();
    let (mut producer, mut consumer) = (ring.producer().unwrap(), ring.consumer().unwrap());
    producer.push(1).unwrap();
    // SAFETY: the child uses what a child may use, and ends without running anything else.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = [
            producer.try_push(2) == Err(SpscPushError::NotOwner(2)),
            producer.push(2) == Err(SpscPushError::NotOwner(2)),
            producer.try_push_slice(&[2]) == Err(SpscPushError::NotOwner(())),
            consumer.try_recv() == Err(SpscRecvError::NotOwner),
            consumer.recv() == Err(SpscRecvError::NotOwner),
            matches!(consumer.peek(), Err(SpscRecvError::NotOwner)),
            matches!(consumer.try_peek(), Err(SpscRecvError::NotOwner)),
            consumer.try_recv_slice(&mut [0]) == Err(SpscRecvError::NotOwner),
        ];
        drop(producer);
        drop(consumer);
        let others = [
            matches!(ring.producer(), Err(ClaimError::OtherProcess)),
            matches!(ring.consumer(), Err(ClaimError::OtherProcess)),
        ];
        let all = refused.into_iter().chain(others).all(|it| it);
        // SAFETY: ends the child.
        unsafe { libc::_exit(if all { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: our child.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the child used its parent's ends, or gave them back");
    producer.push(2).unwrap();
    assert_eq!((consumer.recv(), consumer.recv()), (Ok(1), Ok(2)));
}

/// A front that a child inherits is not done by it.
#[test]
fn a_fork_does_not_do_what_its_parent_looks_at() {
    let segment = anonymous();
    let ring = segment.construct("r", SpscRing::<u32, 1>::new()).unwrap();
    let (mut producer, mut consumer) = (ring.producer().unwrap(), ring.consumer().unwrap());
    producer.push(1).unwrap();
    let front = consumer.peek().unwrap();
    // SAFETY: the child uses what a child may use, and ends without running anything else.
    let child = unsafe { libc::fork() };
    if child == 0 {
        front.done();
        // SAFETY: ends the child.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: our child.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0);
    assert_eq!(producer.try_push(2), Err(SpscPushError::Full(2)), "the child did it");
    front.done();
    assert_eq!(producer.try_push(2), Ok(()));
}

#[test]
fn what_is_no_value_is_not_given_out() {
    let segment = anonymous();
    let ring = segment.construct("r", SpscRing::<bool, 4>::new()).unwrap();
    let (mut producer, mut consumer) = (ring.producer().unwrap(), ring.consumer().unwrap());
    let damage = |cell: usize| {
        // SAFETY: the byte of a value, which nobody looks at meanwhile.
        unsafe { ring.as_ptr().cast::<u8>().add(384 + cell).write(2) };
    };
    producer.push(true).unwrap();
    damage(0);
    assert_eq!(consumer.recv(), Err(SpscRecvError::InvalidValue));
    producer.push(true).unwrap();
    damage(1);
    assert_eq!(consumer.peek().unwrap_err(), SpscRecvError::InvalidValue);
    assert_eq!(producer.try_push_slice(&[true, false, true, true]), Ok(4));
    damage(0);
    let mut to = [false; 4];
    assert_eq!((consumer.try_recv_slice(&mut to), to), (Ok(2), [true, false, false, false]));
    assert_eq!(consumer.try_recv_slice(&mut to), Err(SpscRecvError::InvalidValue));
    assert_eq!((consumer.recv(), consumer.try_recv()), (Ok(true), Err(SpscRecvError::Empty)));
}

/// Words of the ring.
const TAIL: usize = 0;
const HEAD: usize = 16;

#[test]
fn counters_that_cannot_be_are_told_and_mended() {
    let segment = anonymous();
    for (tail, head) in [(6, 1), (1, 2), (0, 5), (u64::MAX >> 1, 3), (3, u64::MAX - 9)] {
        let ring = segment.own(SpscRing::<u32, 4>::new()).unwrap();
        for (at, word) in [(TAIL, tail), (HEAD, head)] {
            // SAFETY: a word of the ring; nobody else knows it.
            unsafe { (&raw const *ring).cast::<u64>().cast_mut().add(at).write(word) };
        }
        let (mut producer, mut consumer) = (ring.producer().unwrap(), ring.consumer().unwrap());
        assert_eq!(producer.try_push(1), Err(SpscPushError::Full(1)));
        assert_eq!(ring.len(), 4);
        assert_eq!(consumer.recv(), Err(SpscRecvError::Damaged));
        assert_eq!(consumer.try_recv(), Err(SpscRecvError::Empty));
        for round in 0..9 {
            assert_eq!(producer.push(round), Ok(()));
            assert_eq!(consumer.recv(), Ok(round), "and on");
        }
    }
}

/// Behind the last position comes the first, whatever `N` is: cells that are in use are not written to.
#[test]
fn it_goes_on_where_the_counters_come_round() {
    let segment = anonymous();
    let ring = segment.construct("r", SpscRing::<u32, 5>::new()).unwrap();
    let last = (1 << 63) / 5 * 5 - 4;
    for at in [TAIL, HEAD] {
        // SAFETY: a word of the ring; nobody looks meanwhile.
        unsafe { ring.as_ptr().cast::<u64>().add(at).write(last) };
    }
    let (mut producer, mut consumer) = (ring.producer().unwrap(), ring.consumer().unwrap());
    for round in 0..3 {
        (0..5).for_each(|i| assert_eq!(producer.try_push(round + i), Ok(())));
        assert_eq!(producer.try_push(9), Err(SpscPushError::Full(9)));
        (0..5).for_each(|i| assert_eq!(consumer.try_recv(), Ok(round + i)));
        assert_eq!(consumer.try_recv(), Err(SpscRecvError::Empty));
    }
}

/// What any bytes in the place of a ring do: nothing but to be pushed to and received from, in time.
#[test]
fn any_bytes_are_a_ring() {
    let segment = anonymous();
    let ring = segment.construct("r", SpscRing::<bool, 5>::new()).unwrap();
    let mut number = 7u64;
    let mut next = || {
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        number
    };
    let words = size_of::<SpscRing<bool, 5>>() / 8;
    let begin = Instant::now();
    let (mut calls, mut values, mut ends) = (0u64, 0u64, 0u64);
    for _ in 0..if long() { 100_000 } else { 4_000 } {
        for word in 0..words {
            // Words as they could be, more often than others.
            let any = next();
            let value = match any % 4 {
                0 => any >> 8,
                1 => 0,
                2 => any >> 8 & 15,
                _ => any & 3 | (any >> 42 & 1) << 32 | (any >> 43 & 1) << 16,
            };
            // SAFETY: a word of the ring, of which any bytes are one; nobody looks meanwhile.
            unsafe { ring.as_ptr().cast::<u64>().add(word).write(value) };
        }
        let (mut producer, mut consumer) = (ring.producer(), ring.consumer());
        ends += u64::from(producer.is_ok()) + u64::from(consumer.is_ok());
        let mut to = [true; 3];
        for _ in 0..8 {
            calls += 1;
            match (next() % 7, &mut producer, &mut consumer) {
                (0, Ok(producer), _) => _ = producer.try_push(true),
                (1, Ok(producer), _) => _ = producer.push_for(true, Duration::ZERO),
                (2, Ok(producer), _) => _ = producer.try_push_slice(&[true, false]),
                (3, _, Ok(consumer)) => values += u64::from(consumer.try_recv().is_ok()),
                (4, _, Ok(consumer)) => drop(consumer.peek_for(Duration::ZERO)),
                (5, _, Ok(consumer)) => _ = consumer.try_recv_slice(&mut to),
                _ => assert!(ring.len() <= 5),
            }
        }
    }
    assert!(begin.elapsed() < LONG, "{calls} calls took {:?}", begin.elapsed());
    assert!(values > 0 && ends > 0, "it tests nothing");
}

#[derive(Clone, Debug)]
enum Act {
    Push,
    PushSlice(usize),
    Receive,
    ReceiveSlice(usize),
    Look,
    Done,
    ProducerLeaves,
    ConsumerLeaves,
    Close,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        40 => Just(Act::Push),
        10 => (0..9usize).prop_map(Act::PushSlice),
        20 => Just(Act::Receive),
        10 => (0..9usize).prop_map(Act::ReceiveSlice),
        10 => Just(Act::Look),
        10 => Just(Act::Done),
        4 => Just(Act::ProducerLeaves),
        4 => Just(Act::ConsumerLeaves),
        1 => Just(Act::Close),
    ]
}

const PLACES: usize = 5;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if long() { 400 } else { 100 }))]

    #[test]
    fn it_is_a_deque(acts in prop::collection::vec(act(), 1..500)) {
        let segment = anonymous();
        let ring = segment.construct("r", SpscRing::<u64, PLACES>::new()).unwrap();
        let (mut line, mut pushed, mut is_closed) = (VecDeque::new(), 0u64, false);
        let mut looked_at = None;
        let (mut producer, mut consumer) = (ring.producer().unwrap(), ring.consumer().unwrap());
        for act in acts {
            let room = PLACES - line.len();
            let nothing = if is_closed { SpscRecvError::Closed } else { SpscRecvError::Empty };
            match act {
                Act::Push => {
                    let expected = match room {
                        _ if is_closed => Err(SpscPushError::Closed(pushed)),
                        0 => Err(SpscPushError::Full(pushed)),
                        _ => Ok(()),
                    };
                    prop_assert_eq!(producer.try_push(pushed), expected);
                    if expected.is_ok() {
                        line.push_back(pushed);
                        pushed += 1;
                    }
                }
                Act::PushSlice(count) => {
                    let values: Vec<u64> = (pushed..).take(count).collect();
                    let expected = match room.min(count) {
                        _ if count == 0 => Ok(0),
                        _ if is_closed => Err(SpscPushError::Closed(())),
                        0 => Err(SpscPushError::Full(())),
                        some => Ok(some),
                    };
                    prop_assert_eq!(producer.try_push_slice(&values), expected);
                    let some = expected.unwrap_or(0);
                    line.extend(&values[..some]);
                    pushed += some as u64;
                }
                Act::Receive => {
                    prop_assert_eq!(consumer.try_recv(), line.pop_front().ok_or(nothing));
                }
                Act::ReceiveSlice(count) => {
                    let mut to = vec![0; count];
                    let some = line.len().min(count);
                    let expected = if some == 0 && count > 0 { Err(nothing) } else { Ok(some) };
                    prop_assert_eq!(consumer.try_recv_slice(&mut to), expected);
                    prop_assert!(line.drain(..some).eq(to.into_iter().take(some)));
                }
                Act::Look | Act::Done => {
                    let front = consumer.try_peek();
                    let again = looked_at == line.front().copied() && looked_at.is_some();
                    let is = front.as_ref().map(|front| (**front, front.is_redelivered()));
                    let expected = line.front().map(|value| (*value, again)).ok_or(nothing);
                    prop_assert_eq!(is.map_err(|error| *error), expected);
                    looked_at = line.front().copied().or(looked_at);
                    if let (Act::Done, Ok(front)) = (act, front) {
                        front.done();
                        line.pop_front();
                    }
                }
                Act::ProducerLeaves => {
                    drop(producer);
                    producer = ring.producer().unwrap();
                }
                Act::ConsumerLeaves => {
                    drop(consumer);
                    consumer = ring.consumer().unwrap();
                }
                Act::Close => {
                    ring.close();
                    is_closed = true;
                }
            }
            prop_assert_eq!(ring.len(), line.len());
        }
    }
}

const EACH: u64 = 40_000;

#[test]
fn among_threads_each_value_is_received_once_and_in_order() {
    let segment = anonymous();
    let ring = segment.construct("r", SpscRing::<(u64, u64), 4>::new()).unwrap();
    let (mut producer, mut consumer) = (ring.producer().unwrap(), ring.consumer().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| (0..EACH).for_each(|value| producer.push((value, !value)).unwrap()));
        for value in 0..EACH {
            assert_eq!(consumer.recv(), Ok((value, !value)));
        }
    });
    assert!(ring.is_empty());
}

const PRODUCERS: usize = 32;
const VALUES: usize = 1024;

#[derive(Shareable)]
struct Hall {
    ring: SpscRing<(u64, u64), 8>,
    /// Of each producer: how many it had pushed for sure.
    pushed: [AtomicU64; PRODUCERS],
    /// Of each value of producer 0: how often it was begun as one that nobody had before, and as one that comes back.
    fresh: [AtomicU64; VALUES],
    again: [AtomicU64; VALUES],
    /// Set before it was said to be done, and behind that.
    finishing: [AtomicU64; VALUES],
    finished: [AtomicU64; VALUES],
}

impl Hall {
    fn new() -> Hall {
        let zeros = || [const { AtomicU64::new(0) }; VALUES];
        Hall {
            ring: SpscRing::new(),
            pushed: [const { AtomicU64::new(0) }; PRODUCERS],
            fresh: zeros(),
            again: zeros(),
            finishing: zeros(),
            finished: zeros(),
        }
    }

    /// Pushes numbers as producer `producer`, until so many.
    fn push(&self, producer: usize, until: u64) {
        let mut end = self.producer();
        for number in 0..until {
            push(&mut end, (producer as u64, number));
            self.pushed[producer].store(number + 1, SeqCst);
        }
    }

    fn producer(&self) -> Producer<'_, (u64, u64), 8> {
        self.ring.producer().expect("who had it is dead")
    }

    fn consumer(&self) -> Consumer<'_, (u64, u64), 8> {
        self.ring.consumer().expect("who had it is dead")
    }

    /// Does what comes until nothing will.
    fn work(&self) {
        let mut consumer = self.consumer();
        loop {
            let front = match consumer.peek() {
                Ok(front) => front,
                Err(closed) => return assert_eq!(closed, SpscRecvError::Closed),
            };
            let number = front.1 as usize;
            assert_eq!(self.finished[number].load(SeqCst), 0, "done, and had again");
            let begun = if front.is_redelivered() { &self.again } else { &self.fresh };
            begun[number].fetch_add(1, SeqCst);
            std::thread::sleep(Duration::from_micros(if long() { 8000 } else { 250 }));
            self.finishing[number].fetch_add(1, SeqCst);
            front.done();
            self.finished[number].fetch_add(1, SeqCst);
        }
    }
}

/// Pushes, whoever takes it, as consumers come and go.
fn push(end: &mut Producer<'_, (u64, u64), 8>, value: (u64, u64)) {
    loop {
        match end.push(value) {
            Ok(()) => return,
            Err(SpscPushError::ConsumerGone(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

fn be_in() {
    let segment = Segment::open(&arg(0)).unwrap();
    let hall = segment.find::<Hall>("hall").unwrap().unwrap();
    match arg(1).as_str() {
        "work" => hall.work(),
        "push" => hall.push(arg(2).parse().unwrap(), u64::MAX),
        "produce" => {
            let mut end = hall.producer();
            push(&mut end, (0, 0));
            say("ready");
            hear();
            unreachable!("it was to be killed");
        }
        "consume" => {
            let mut end = hall.consumer();
            let front = end.peek().unwrap();
            say(front.1);
            hear();
            unreachable!("it was to be killed");
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
fn who_waits_for_a_producer_that_is_killed_is_told_soon() {
    in_hall("who_waits_for_a_producer_that_is_killed_is_told_soon", |hall, start| {
        let mut producer = start(&["produce"]);
        assert_eq!(producer.listen(), "ready");
        assert_eq!(hall.ring.producer().unwrap_err(), ClaimError::OtherProcess);
        let mut consumer = hall.consumer();
        assert_eq!(consumer.recv(), Ok((0, 0)));
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| (consumer.recv(), Instant::now()));
            std::thread::sleep(10 * MOMENT);
            let begin = Instant::now();
            producer.kill();
            let (told, when) = waits.join().unwrap();
            assert_eq!(told, Err(SpscRecvError::ProducerGone));
            let took = when - begin;
            assert!(took < LONG / 10, "it took {took:?}");
        });
        hall.producer().push((1, 1)).unwrap();
        assert_eq!(consumer.recv(), Ok((1, 1)));
    });
}

#[test]
fn who_waits_for_a_consumer_that_is_killed_is_told_soon_and_the_next_has_what_it_looked_at() {
    let test =
        "who_waits_for_a_consumer_that_is_killed_is_told_soon_and_the_next_has_what_it_looked_at";
    in_hall(test, |hall, start| {
        let mut producer = hall.producer();
        (0..8).for_each(|number| producer.push((0, number)).unwrap());
        let mut worker = start(&["consume"]);
        assert_eq!(worker.listen(), "0");
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| (producer.push((0, 8)), Instant::now()));
            std::thread::sleep(10 * MOMENT);
            let begin = Instant::now();
            worker.kill();
            let (told, when) = waits.join().unwrap();
            assert_eq!(told, Err(SpscPushError::ConsumerGone((0, 8))));
            let took = when - begin;
            assert!(took < LONG / 10, "it took {took:?}");
        });
        let mut consumer = hall.consumer();
        let front = consumer.peek().unwrap();
        assert_eq!((*front, front.is_redelivered()), ((0, 0), true));
        front.done();
        assert_eq!(consumer.recv(), Ok((0, 1)));
    });
}

#[test]
fn producers_are_killed_and_what_they_had_pushed_is_there() {
    in_hall("producers_are_killed_and_what_they_had_pushed_is_there", |hall, start| {
        let kills = if long() { PRODUCERS } else { 8 };
        let mut had = [0; PRODUCERS];
        std::thread::scope(|scope| {
            let receives = scope.spawn(|| {
                let (mut consumer, mut last) = (hall.consumer(), 0);
                loop {
                    match consumer.recv() {
                        Ok((producer, number)) => {
                            assert!(producer >= last, "one after the other");
                            last = producer;
                            let had = &mut had[producer as usize];
                            assert_eq!(number, *had, "in order, each once");
                            *had += 1;
                        }
                        Err(SpscRecvError::ProducerGone) => {}
                        Err(closed) => return assert_eq!(closed, SpscRecvError::Closed),
                    }
                }
            });
            for producer in 0..kills {
                let process = start(&["push", &producer.to_string()]);
                while hall.pushed[producer].load(SeqCst) == 0 {
                    std::thread::yield_now();
                }
                std::thread::sleep(Duration::from_millis(3 + producer as u64 % 4));
                process.kill();
            }
            hall.ring.close();
            receives.join().unwrap();
        });
        for (producer, had) in had.iter().enumerate().take(kills) {
            let pushed = hall.pushed[producer].load(SeqCst);
            assert!(pushed > 0, "it tests nothing");
            assert!((pushed..=pushed + 1).contains(had), "{producer}: {pushed} pushed, {had} had");
        }
    });
}

#[test]
fn consumers_are_killed_and_all_is_done() {
    in_hall("consumers_are_killed_and_all_is_done", |hall, start| {
        let kills = if long() { 200 } else { 10 };
        std::thread::scope(|scope| {
            let pushes = scope.spawn(|| hall.push(0, VALUES as u64));
            for _ in 0..kills {
                let mut worker = start(&["work"]);
                std::thread::sleep(Duration::from_millis(25));
                if !worker.has_ended() {
                    worker.kill();
                }
            }
            let last = start(&["work"]);
            pushes.join().unwrap();
            hall.ring.close();
            last.finish();
        });
        for number in 0..VALUES {
            let of = |counts: &[AtomicU64; VALUES]| counts[number].load(SeqCst);
            let all = (of(&hall.fresh), of(&hall.again), of(&hall.finishing), of(&hall.finished));
            let (fresh, again, finishing, finished) = all;
            assert!(fresh <= 1 && finished <= 1, "{number} had twice, and not told: {all:?}");
            assert!(fresh + again >= 1 && finishing >= 1, "{number} is lost: {all:?}");
        }
        let again: u64 = hall.again.iter().map(|again| again.load(SeqCst)).sum();
        assert!(again > 0, "nobody was killed at one, and this tests nothing");
    });
}
