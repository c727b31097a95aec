//! The queue of objects, through the public interface:
//!
//! - what is pushed is received once, in order, where it lies, with all that hangs on it;
//! - what is acknowledged is free, and so is what is in a queue that is destroyed: not a byte is lost;
//! - what is not acknowledged comes back, also from the dead;
//! - who cannot push has his object back; any segment says why;
//! - it is as a `VecDeque` with places that may come back (10⁵ operations in the long form).

mod common;

use common::{Name, Process, arg, hear, long, role, say};
use proptest::prelude::*;
use sharena::collections::{String, Vec};
use sharena::lock::{Mutex, RwLock};
use sharena::queue::{ObjectDelivery, ObjectPushError, ObjectQueue, ObjectRecvError};
use sharena::{Options, Ref, Segment, Shareable};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

const MOMENT: Duration = Duration::from_millis(20);

type Frames<const N: usize> = ObjectQueue<Vec<String>, N>;

fn anonymous() -> Segment {
    Options::new().capacity(4 << 20).create_anonymous().unwrap()
}

fn push<const N: usize>(segment: &Segment, queue: &Frames<N>, texts: &[&str]) {
    let mut frame = segment.own(Vec::new_in(segment)).unwrap();
    texts.iter().for_each(|text| frame.push(String::from_in(text, segment)));
    queue.push(frame).unwrap();
}

fn free(segment: &Segment) -> u64 {
    segment.trim().unwrap();
    let report = segment.check().unwrap();
    assert!(report.is_clean(), "{report}");
    segment.stats().unwrap().free
}

const LONG_TEXT: &str = "a text that is too long for a word, and for two";

#[test]
fn what_is_pushed_is_received_in_order_where_it_lies() {
    let segment = anonymous();
    let queue = segment.construct("frames", Frames::<3>::new()).unwrap();
    assert_eq!(queue.try_recv_job().err(), Some(ObjectRecvError::Empty));
    push(&segment, &queue, &["warm", LONG_TEXT]);
    queue.recv_job().unwrap().done();
    let before = free(&segment);
    for round in 0..10 {
        for i in 0..3 {
            push(&segment, &queue, &[&format!("{round} {i}"), LONG_TEXT]);
        }
        assert_eq!((queue.len(), queue.capacity(), queue.is_empty()), (3, 3, false));
        let more = segment.own(Vec::new_in(&segment)).unwrap();
        let refused = queue.try_push(more);
        assert!(matches!(refused, Err(ObjectPushError::Full(_))));
        let refused = queue.push_for(refused.unwrap_err().into_inner(), MOMENT);
        assert!(matches!(&refused, Err(ObjectPushError::Full(object)) if object.is_empty()));
        drop(refused);
        assert!(segment.check().unwrap().is_clean());
        for i in 0..3 {
            let frame = queue.recv_job().unwrap();
            assert!(!frame.is_redelivered());
            assert_eq!((frame.len(), frame[0].as_str()), (2, format!("{round} {i}").as_str()));
            assert_eq!(frame[1].as_str(), LONG_TEXT);
            frame.done();
        }
        assert!(queue.is_empty());
    }
    assert_eq!(free(&segment), before);
}

#[test]
fn what_is_not_acknowledged_comes_back_and_says_so() {
    let segment = anonymous();
    let queue = segment.construct("frames", Frames::<2>::new()).unwrap();
    push(&segment, &queue, &["one"]);
    push(&segment, &queue, &["two"]);
    drop(queue.recv_job().unwrap());
    let again = queue.recv_job().unwrap();
    assert_eq!((again[0].as_str(), again.is_redelivered()), ("one", true));
    let next = queue.recv_job().unwrap();
    assert_eq!((next[0].as_str(), next.is_redelivered()), ("two", false));
    assert_eq!(format!("{again:?}"), r#"ObjectDelivery { value: ["one"], redelivered: true, .. }"#);
    again.done();
    queue.close();
    assert_eq!(queue.recv_job_for(MOMENT).err(), Some(ObjectRecvError::Closed));
    next.done();
    let late = segment.own(Vec::new_in(&segment)).unwrap();
    assert!(matches!(queue.push(late), Err(ObjectPushError::Closed(_))));
}

#[test]
fn what_is_in_a_queue_goes_with_it() {
    let segment = anonymous();
    let make = || segment.construct("frames", Frames::<4>::new()).unwrap();
    let fill = |queue: &Frames<4>| {
        (0..4).for_each(|_| push(&segment, queue, &[LONG_TEXT, LONG_TEXT]));
    };
    fill(&make());
    assert!(segment.destroy::<Frames<4>>("frames").unwrap());
    assert_eq!(
        segment.check().unwrap().looked.parts,
        0,
        "nothing waits for somebody to look for it"
    );
    let before = free(&segment);
    fill(&make());
    let queue = segment.find::<Frames<4>>("frames").unwrap().unwrap();
    let job = queue.recv_job().unwrap();
    assert!(segment.destroy::<Frames<4>>("frames").unwrap());
    assert_eq!(job[1].as_str(), LONG_TEXT, "what is held stays");
    assert!(segment.check().unwrap().is_clean());
    drop(job);
    drop(queue);
    assert_eq!(free(&segment), before);
}

/// Objects of a run of units, with locks in them, and queues in queues.
#[test]
fn objects_are_large_have_locks_and_queues_in_them() {
    #[derive(Shareable)]
    struct Large {
        bytes: [u8; 300_000],
        notes: Mutex<Vec<String>>,
        inner: ObjectQueue<RwLock<Vec<u64>>, 2>,
    }
    let segment = Options::new().capacity(16 << 20).create_anonymous().unwrap();
    let queue = segment.construct("large", ObjectQueue::<Large, 2>::new()).unwrap();
    let pass = || {
        let notes = Mutex::new(Vec::new_in(&segment));
        let inner = ObjectQueue::new();
        let large = segment.own(Large { bytes: [7; 300_000], notes, inner }).unwrap();
        let refused = large.inner.try_push(segment.own(RwLock::new(Vec::new())).unwrap());
        assert!(matches!(refused, Err(ObjectPushError::NotNamed(_))), "it is nobody's but ours");
        queue.push(large).unwrap();
        let job = queue.recv_job().unwrap();
        job.notes.lock().unwrap().push(String::from_in(LONG_TEXT, &segment));
        let mut list = Vec::new_in(&segment);
        list.push(1);
        job.inner.push(segment.own(RwLock::new(list)).unwrap()).unwrap();
        drop(job);
        let job = queue.recv_job().unwrap();
        assert_eq!((job.bytes[299_999], job.notes.lock().unwrap().len()), (7, 1));
        assert!(segment.check().unwrap().is_clean());
        let inner = job.inner.recv_job().unwrap();
        inner.write().unwrap().push(2);
        assert_eq!(*inner.read().unwrap(), [1, 2]);
        drop(inner);
        job.done();
    };
    use sharena::collections::VecMut;
    pass();
    let before = free(&segment);
    pass();
    assert_eq!(free(&segment), before);
}

#[test]
fn an_object_of_another_thread_is_pushed_too() {
    let segment = anonymous();
    let queue = segment.construct("frames", Frames::<8>::new()).unwrap();
    let numbers = segment.construct("numbers", ObjectQueue::<[u64; 20_000], 2>::new()).unwrap();
    std::thread::scope(|scope| {
        let (queue, numbers, segment) = (&*queue, &*numbers, &segment);
        let made = scope.spawn(move || {
            let mut frame = segment.own(Vec::new_in(segment)).unwrap();
            frame.push(String::from_in(LONG_TEXT, segment));
            (frame, segment.own([5; 20_000]).unwrap())
        });
        let (frame, number) = made.join().unwrap();
        queue.push(frame).unwrap();
        numbers.push(number).unwrap();
    });
    assert!(segment.check().unwrap().is_clean());
    assert_eq!(queue.recv_job().unwrap()[0].as_str(), LONG_TEXT);
    assert_eq!(numbers.recv_job().unwrap()[19_999], 5);
    assert!(segment.clear().is_ok());
    free(&segment);
}

#[test]
fn many_threads_have_each_object_once() {
    const EACH: u64 = 2000;
    let segment = anonymous();
    let queue = segment.construct("numbers", ObjectQueue::<[u64; 3], 4>::new()).unwrap();
    let before = free(&segment);
    let (sum, many) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let (queue, segment, sum, many) = (&*queue, &segment, &sum, &many);
        let pushers: std::vec::Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(move || {
                    (1..=EACH).for_each(|i| queue.push(segment.own([i; 3]).unwrap()).unwrap());
                })
            })
            .collect();
        for _ in 0..2 {
            scope.spawn(move || {
                while let Ok(job) = queue.recv_job() {
                    assert_eq!([job[0]; 3], *job);
                    sum.fetch_add(job[0], SeqCst);
                    many.fetch_add(1, SeqCst);
                    job.done();
                }
            });
        }
        pushers.into_iter().for_each(|it| it.join().unwrap());
        queue.close();
    });
    assert_eq!((many.into_inner(), sum.into_inner()), (2 * EACH, EACH * (EACH + 1)));
    drop(queue);
    assert!(free(&segment) >= before - (64 << 10), "but a slab at hand");
}

#[test]
fn only_queues_of_named_objects_of_its_segment_take_an_object() {
    let (segment, other) = (anonymous(), anonymous());
    let queue = segment.construct("frames", ObjectQueue::<u64, 2>::new()).unwrap();
    let refused = queue.push(other.own(7).unwrap());
    let Err(refused @ ObjectPushError::NotNamed(_)) = refused else { panic!("it is of another") };
    assert!(refused.to_string().contains("named object of their segment"));
    assert_eq!(*refused.into_inner(), 7);
    let alone = ObjectQueue::<u64, 2>::new();
    assert!(matches!(alone.push(segment.own(7).unwrap()), Err(ObjectPushError::NotNamed(_))));
    assert_eq!(alone.try_recv_job().err(), Some(ObjectRecvError::Empty));
    // In a part it could be moved, and what is in it lost.
    let boxed = segment.construct("boxed", sharena::collections::Box::new_in(alone, &segment));
    let boxed = boxed.unwrap();
    assert!(matches!(boxed.push(segment.own(7).unwrap()), Err(ObjectPushError::NotNamed(_))));
    // A value with a block of another segment.
    let mut list = segment.own(Vec::new_in(&segment)).unwrap();
    list.push(String::from_in(LONG_TEXT, &other));
    let frames = segment.construct("lists", Frames::<2>::new()).unwrap();
    let Err(refused) = frames.push(list) else { panic!("it has a block of another") };
    assert!(matches!(refused, ObjectPushError::Object(..)), "{refused:?}");
    drop(refused);
    free(&segment);
    free(&other);
}

#[test]
fn who_is_killed_with_an_object_leaves_it_to_the_next() {
    const TEST: &str = "who_is_killed_with_an_object_leaves_it_to_the_next";
    if role().is_some() {
        let segment = Segment::open(&arg(0)).unwrap();
        let queue: Ref<'_, Frames<4>> = segment.find("frames").unwrap().unwrap();
        push(&segment, &queue, &["by the victim", LONG_TEXT]);
        let job = queue.recv_job().unwrap();
        assert_eq!(job[0].as_str(), "by the survivor");
        say("received");
        hear();
        panic!("it was to be killed with {job:?}");
    }
    let name = Name::new("object-queue-killed");
    let segment = Options::new().capacity(4 << 20).create(&name).unwrap();
    let queue = segment.construct("frames", Frames::<4>::new()).unwrap();
    push(&segment, &queue, &["by the survivor"]);
    let mut victim = Process::start(TEST, "victim", &[&name]);
    assert_eq!(victim.listen(), "received");
    victim.kill();
    segment.recover().unwrap();
    let job = queue.recv_job().unwrap();
    assert_eq!((job[0].as_str(), job.is_redelivered()), ("by the survivor", true));
    job.done();
    let job = queue.recv_job().unwrap();
    assert_eq!((job[0].as_str(), job.is_redelivered()), ("by the victim", false));
    assert_eq!(job[1].as_str(), LONG_TEXT);
    job.done();
    free(&segment);
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Push,
    Receive,
    Done(usize),
    GiveBack(usize),
    Close,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        40 => Just(Act::Push),
        40 => Just(Act::Receive),
        24 => (0..8usize).prop_map(Act::Done),
        12 => (0..8usize).prop_map(Act::GiveBack),
        1 => Just(Act::Close),
    ]
}

const PLACES: usize = 5;

/// What the queue should be: numbers to be received, those that came back, by their place in the ring, and which
/// places are taken.
#[derive(Default)]
struct Model {
    line: VecDeque<usize>,
    back: BTreeMap<usize, usize>,
    pushed: usize,
    is_taken: [bool; PLACES],
    is_closed: bool,
}

impl Model {
    /// The number, if there is room.
    fn push(&mut self) -> Option<usize> {
        let number = self.pushed;
        if self.is_closed || std::mem::replace(&mut self.is_taken[number % PLACES], true) {
            return None;
        }
        self.line.push_back(number);
        self.pushed += 1;
        Some(number)
    }

    fn receive(&mut self) -> Result<(usize, bool), ObjectRecvError> {
        if let Some((_, number)) = self.back.pop_first() {
            return Ok((number, true));
        }
        let none = if self.is_closed { ObjectRecvError::Closed } else { ObjectRecvError::Empty };
        self.line.pop_front().map(|number| (number, false)).ok_or(none)
    }
}

/// A list of so many texts says its number by them.
fn list(segment: &Segment, number: usize) -> sharena::Owned<'_, Vec<String>> {
    let mut list = segment.own(Vec::new_in(segment)).unwrap();
    let text = |i| String::from_in(&format!("{number} {:i$}", ""), segment);
    (0..1 + number % 7).for_each(|i| list.push(text(i * 9)));
    list
}

fn number_of(list: &Vec<String>) -> usize {
    let number = list[0].trim().parse().unwrap();
    assert_eq!(list.len(), 1 + number % 7, "all of it is there");
    let is_its = |(i, text): (usize, &String)| *text == *format!("{number} {:1$}", "", i * 9);
    assert!(list.iter().enumerate().all(is_its), "{list:?}");
    number
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if long() { 400 } else { 60 }))]

    #[test]
    fn it_is_a_deque_with_places_that_come_back(acts in prop::collection::vec(act(), 1..500)) {
        let segment = anonymous();
        let make = || segment.construct("q", ObjectQueue::<Vec<String>, PLACES>::new()).unwrap();
        make().push(list(&segment, 0)).unwrap();
        prop_assert!(segment.clear().is_ok());
        let before = free(&segment);
        let queue = make();
        let mut model = Model::default();
        let mut jobs: std::vec::Vec<ObjectDelivery<'_, Vec<String>, PLACES>> = Default::default();
        for act in acts {
            match act {
                Act::Push => {
                    let pushed = queue.try_push(list(&segment, model.pushed));
                    prop_assert_eq!(pushed.is_ok(), model.push().is_some());
                }
                Act::Receive => match queue.try_recv_job() {
                    Ok(job) => {
                        prop_assert_eq!(Ok((number_of(&job), job.is_redelivered())), model.receive());
                        jobs.push(job);
                    }
                    Err(nothing) => prop_assert_eq!(Err(nothing), model.receive()),
                },
                Act::Done(which) if which < jobs.len() => {
                    let job = jobs.remove(which);
                    model.is_taken[number_of(&job) % PLACES] = false;
                    job.done();
                }
                Act::GiveBack(which) if which < jobs.len() => {
                    let number = number_of(&jobs.remove(which));
                    model.back.insert(number % PLACES, number);
                }
                Act::Done(_) | Act::GiveBack(_) => {}
                Act::Close => {
                    queue.close();
                    model.is_closed = true;
                }
            }
            prop_assert_eq!(queue.len(), model.line.len());
        }
        prop_assert!(segment.check().unwrap().is_clean());
        drop(jobs);
        drop(queue);
        prop_assert!(segment.clear().is_ok());
        prop_assert_eq!(free(&segment), before);
    }
}
