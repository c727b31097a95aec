//! The ring of one producer and one consumer, of whom one dies before any of its writes, or before it wakes whom it
//! owes that.
//!
//! As for locks, the kernel of these models has no time. Behind each place lies a plain cell, the value: loom reports
//! one who reads it before it is written, or writes it before it is read, as a race. Behind each end lies one, too,
//! which is written to by whoever has that.

use crate::harness::{Cells, Death, Model, each_death, each_two_deaths, explore};
use loom::model::Builder;
use loom::thread::{JoinHandle, spawn};
use sharena::model::{Fellow, NoFront, NoRoom, Stream, StreamEnd, World};
use std::cell::Cell;
use std::rc::Rc;

pub fn models() -> Vec<Model> {
    let model = |name, law, threads, bound: Option<usize>, check: fn(Builder)| Model {
        name,
        law,
        threads,
        bound,
        long: bound.map(|bound| bound + 1),
        check,
    };
    vec![
        model("spsc/full-and-empty", "what is pushed is had, in order", 2, Some(3), |b| {
            explore(b, full_and_empty);
        }),
        model(
            "spsc/goes-round",
            "the same of two places, which are written again",
            2,
            Some(2),
            |b| {
                explore(b, goes_round);
            },
        ),
        model("spsc/several", "several that go in one step are all there", 2, Some(3), |b| {
            explore(b, several);
        }),
        model(
            "spsc/closed-is-final",
            "what was pushed is had by who takes until it is told that it is closed",
            3,
            Some(2),
            |b| explore(b, closed_is_final),
        ),
        model(
            "spsc/closed-wakes",
            "closing wakes who waits for room, and who waits for something",
            3,
            Some(2),
            |b| explore(b, closed_wakes),
        ),
        model(
            "spsc/producer-leaves",
            "who waits for one who leaves has all, and is told",
            2,
            Some(3),
            |b| explore(b, producer_leaves),
        ),
        model(
            "spsc/consumer-leaves",
            "who waits for room is told by one who leaves, and what is left another has",
            2,
            Some(3),
            |b| explore(b, consumer_leaves),
        ),
        model(
            "spsc/next-producer",
            "who is told that one has left, and goes on waiting, has what the next one pushes",
            2,
            Some(3),
            |b| explore(b, next_producer),
        ),
        model(
            "spsc/one-has-an-end",
            "an end is had by one, and handed on whole",
            3,
            Some(2),
            |b| {
                explore(b, one_has_an_end);
            },
        ),
        model(
            "spsc/end-of-the-dead",
            "one of two has the end of a dead one, and goes on where that ended",
            3,
            Some(2),
            |b| each_death(b, end_of_the_dead),
        ),
        model(
            "spsc/producer-dies",
            "who waits for one who pushes, leaves and dies has what it pushed, and is told",
            2,
            Some(2),
            |b| each_death(b, producer_dies),
        ),
        model(
            "spsc/consumer-dies",
            "what a dead one had not done another has, and is told; who waits for room is not left asleep",
            2,
            Some(3),
            |b| each_death(b, consumer_dies),
        ),
        model(
            "spsc/closer-dies",
            "one who closes and dies leaves nobody asleep",
            3,
            Some(2),
            |b| each_death(b, closer_dies),
        ),
        model(
            "spsc/both-die",
            "producer and consumer die: nothing is lost, nothing had twice, no place is lost",
            2,
            Some(3),
            |b| each_two_deaths(b, both_die),
        ),
    ]
}

const MORTAL: u16 = 0;
const HEIR: u16 = 3;

/// A ring, the values of its places, and what belongs to who has the producer's end.
struct Line<const N: usize> {
    ring: Rc<Stream<N>>,
    cells: Cells,
    desk: Cells,
}

impl<const N: usize> Clone for Line<N> {
    fn clone(&self) -> Self {
        Line { ring: self.ring.clone(), cells: self.cells.clone(), desk: self.desk.clone() }
    }
}

impl<const N: usize> Line<N> {
    fn new() -> Line<N> {
        Line { ring: Stream::new(), cells: Cells::new(N), desk: Cells::new(1) }
    }

    fn produce(&self, fellow: &Fellow) -> StreamEnd<N> {
        self.ring.produce(fellow).expect("nobody has it")
    }

    fn consume(&self, fellow: &Fellow) -> StreamEnd<N> {
        self.ring.consume(fellow).expect("nobody has it")
    }

    fn push(&self, fellow: &Fellow, end: &mut StreamEnd<N>, value: u64) -> Result<(), NoRoom> {
        self.ring.push(fellow, end, |place| self.cells.write(place, value))
    }

    fn try_push(&self, end: &mut StreamEnd<N>, value: u64) -> Result<u64, NoRoom> {
        self.ring.try_push(end, 1, |place, _| self.cells.write(place, value))
    }

    /// Takes what is next, waiting for it.
    fn pop(&self, fellow: &Fellow, end: &mut StreamEnd<N>) -> Result<u64, NoFront> {
        let front = self.ring.front(fellow, end)?;
        let value = self.cells.read(self.ring.place(front));
        self.ring.done(end, front);
        Ok(value)
    }

    fn try_pop(&self, end: &mut StreamEnd<N>) -> Result<u64, NoFront> {
        let front = self.ring.try_front(end)?;
        let value = self.cells.read(self.ring.place(front));
        self.ring.done(end, front);
        Ok(value)
    }

    /// All that is to be had until it is told that nothing comes; and what it was told.
    fn pop_until(&self, fellow: &Fellow, end: &mut StreamEnd<N>) -> (Vec<u64>, NoFront) {
        let mut had = Vec::new();
        loop {
            match self.pop(fellow, end) {
                Ok(value) => had.push(value),
                Err(told) => return (had, told),
            }
        }
    }

    /// Nobody else is there: what is left, and that as many can be pushed and had as there are places.
    fn drain(&self, fellow: &Fellow) -> Vec<u64> {
        let (mut producer, mut consumer) = (self.produce(fellow), self.consume(fellow));
        let left = std::iter::from_fn(|| self.try_pop(&mut consumer).ok()).collect();
        for value in 0..N as u64 {
            assert_eq!(self.try_push(&mut producer, 100 + value), Ok(1), "a place is lost");
        }
        for value in 0..N as u64 {
            assert_eq!(self.try_pop(&mut consumer), Ok(100 + value), "a place is lost");
        }
        left
    }
}

fn in_thread<T: 'static>(act: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    spawn(act)
}

fn full_and_empty() {
    let (world, line) = (World::new(1), Line::<1>::new());
    let [pusher, popper] = [0, 1].map(|participant| world.fellow(participant));
    let its = line.clone();
    let pops = in_thread(move || {
        let mut end = its.consume(&popper);
        [its.pop(&popper, &mut end), its.pop(&popper, &mut end)]
    });
    let mut end = line.produce(&pusher);
    for value in [1, 2] {
        assert_eq!(line.push(&pusher, &mut end, value), Ok(()));
    }
    assert_eq!(pops.join().unwrap(), [Ok(1), Ok(2)]);
}

fn goes_round() {
    let (world, line) = (World::new(1), Line::<2>::new());
    let [pusher, popper] = [0, 1].map(|participant| world.fellow(participant));
    let its = line.clone();
    let pops = in_thread(move || {
        let mut end = its.consume(&popper);
        [(); 4].map(|()| its.pop(&popper, &mut end))
    });
    let mut end = line.produce(&pusher);
    for value in 1..=4 {
        assert_eq!(line.push(&pusher, &mut end, value), Ok(()));
    }
    assert_eq!(pops.join().unwrap(), [Ok(1), Ok(2), Ok(3), Ok(4)]);
}

fn several() {
    let (world, line) = (World::new(1), Line::<2>::new());
    let [pusher, popper] = [0, 1].map(|participant| world.fellow(participant));
    let its = line.clone();
    let pops = in_thread(move || {
        let mut end = its.consume(&popper);
        [(); 3].map(|()| its.pop(&popper, &mut end))
    });
    let mut end = line.produce(&pusher);
    let mut pushed = 0;
    while pushed < 3 {
        let write = |place, i| line.cells.write(place, 1 + pushed + i);
        match line.ring.try_push(&mut end, 3 - pushed, write) {
            Ok(count) => pushed += count,
            Err(_) => {
                assert_eq!(line.push(&pusher, &mut end, 1 + pushed), Ok(()));
                pushed += 1;
            }
        }
    }
    assert_eq!(pops.join().unwrap(), [Ok(1), Ok(2), Ok(3)]);
}

fn closed_is_final() {
    let (world, line) = (World::new(1), Line::<1>::new());
    let (pusher, its) = (world.fellow(1), line.clone());
    let pushes = in_thread(move || {
        let mut end = its.produce(&pusher);
        [1, 2].map(|value| its.push(&pusher, &mut end, value))
    });
    let (popper, its) = (world.fellow(2), line.clone());
    let pops = in_thread(move || {
        let mut end = its.consume(&popper);
        let (had, told) = its.pop_until(&popper, &mut end);
        assert_eq!(told, NoFront::Closed);
        assert_eq!(its.try_pop(&mut end), Err(NoFront::Closed), "it was told");
        had
    });
    line.ring.close();
    let pushed = pushes.join().unwrap().into_iter().filter(Result::is_ok).count() as u64;
    assert_eq!(pops.join().unwrap(), (1..=pushed).collect::<Vec<_>>(), "pushed, and not had");
}

/// One who is told goes on waiting, and the next one comes.
fn next_producer() {
    let (world, line) = (World::new(1), Line::<1>::new());
    let [first, second, popper] = [0, 1, 2].map(|participant| world.fellow(participant));
    let end = line.produce(&first);
    let its = line.clone();
    let pops = in_thread(move || {
        let mut end = its.consume(&popper);
        let told = its.pop(&popper, &mut end);
        if told == Err(NoFront::Gone) { its.pop(&popper, &mut end) } else { told }
    });
    line.ring.stop_producing(&end);
    let mut end = line.produce(&second);
    assert_eq!(line.try_push(&mut end, 1), Ok(1));
    assert_eq!(pops.join().unwrap(), Ok(1), "told of the first one alone, and once");
}

fn closed_wakes() {
    let (world, empty, full) = (World::new(1), Line::<1>::new(), Line::<1>::new());
    let mine = world.fellow(0);
    let mut producer = full.produce(&mine);
    full.push(&mine, &mut producer, 1).expect("there is room");
    full.ring.stop_producing(&producer);
    let (fellow, its) = (world.fellow(1), empty.clone());
    let pops = in_thread(move || its.pop(&fellow, &mut its.consume(&fellow)));
    let (fellow, its) = (world.fellow(2), full.clone());
    let pushes = in_thread(move || its.push(&fellow, &mut its.produce(&fellow), 2));
    empty.ring.close();
    full.ring.close();
    assert_eq!(pops.join().unwrap(), Err(NoFront::Closed));
    assert_eq!(pushes.join().unwrap(), Err(NoRoom::Closed));
    let mut consumer = full.consume(&mine);
    assert_eq!(full.pop_until(&mine, &mut consumer), (vec![1], NoFront::Closed));
}

fn producer_leaves() {
    let (world, line) = (World::new(1), Line::<1>::new());
    let [pusher, popper] = [0, 1].map(|participant| world.fellow(participant));
    let mut end = line.produce(&pusher);
    let its = line.clone();
    let pops = in_thread(move || its.pop_until(&popper, &mut its.consume(&popper)));
    assert_eq!(line.try_push(&mut end, 1), Ok(1));
    line.ring.stop_producing(&end);
    assert_eq!(pops.join().unwrap(), (vec![1], NoFront::Gone));
}

fn consumer_leaves() {
    let (world, line) = (World::new(1), Line::<1>::new());
    let [pusher, popper] = [0, 1].map(|participant| world.fellow(participant));
    let mut end = line.consume(&popper);
    let its = line.clone();
    let pushes = in_thread(move || {
        let mut end = its.produce(&pusher);
        [1, 2, 3].map(|value| its.push(&pusher, &mut end, value))
    });
    assert_eq!(line.pop(&popper, &mut end), Ok(1));
    line.ring.stop_consuming(&end);
    assert_eq!(pushes.join().unwrap(), [Ok(()), Ok(()), Err(NoRoom::Gone)]);
    assert_eq!(line.try_pop(&mut line.consume(&popper)), Ok(2));
}

/// Pushes one as the producer, if the end is to be had.
fn push_in_turn(line: &Line<2>, fellow: &Fellow, value: u64) -> bool {
    let Some(mut end) = line.ring.produce(fellow) else { return false };
    assert_eq!(line.try_push(&mut end, value), Ok(1), "there is room for both");
    // Behind the push, which has fences of its own.
    line.desk.write(0, value);
    line.ring.stop_producing(&end);
    true
}

fn one_has_an_end() {
    let (world, line) = (World::new(1), Line::<2>::new());
    let others = [1, 2].map(|participant| {
        let (fellow, line) = (world.fellow(participant), line.clone());
        in_thread(move || push_in_turn(&line, &fellow, participant.into()))
    });
    let pushed = others.map(|other| other.join().unwrap());
    let mut left = line.drain(&world.fellow(HEIR));
    left.sort_unstable();
    let expected: Vec<u64> = [1, 2].into_iter().filter(|i| pushed[*i as usize - 1]).collect();
    assert_eq!(left, expected, "pushed by one after the other");
    assert!(!left.is_empty(), "nobody had it");
}

/// A mortal pushes one as the producer and dies, two others want the end.
fn end_of_the_dead(death: &Death) {
    let (world, line) = (World::new(1), Line::<3>::new());
    let mortal = world.fellow(MORTAL);
    let want = |participant: u16| {
        let (fellow, line) = (world.fellow(participant), line.clone());
        move || {
            let Some(mut end) = line.ring.produce(&fellow) else { return false };
            line.desk.write(0, 1);
            assert_eq!(line.try_push(&mut end, participant.into()), Ok(1));
            line.ring.stop_producing(&end);
            true
        }
    };
    let (first, second) = (want(1), want(2));
    let other = in_thread(second);
    let pushed = Rc::new(Cell::new(false));
    death.of(MORTAL, &world, || {
        let Some(mut end) = line.ring.produce(&mortal) else { return };
        line.desk.write(0, 1);
        mortal.step();
        if line.try_push(&mut end, 7).is_ok() {
            pushed.set(true);
        }
        mortal.step();
    });
    let first = first();
    let second = other.join().unwrap();
    let left = line.drain(&world.fellow(HEIR));
    for (value, has) in [(1, first), (2, second), (7, pushed.get())] {
        let times = left.iter().filter(|left| **left == value).count();
        assert!(times <= 1 && (times == 1 || !has), "{value} is lost: {left:?}");
        assert!(times == 0 || has || value == 7, "{value} was not pushed: {left:?}");
    }
    assert!(first || second, "who comes when it is dead has it, or another has");
}

fn producer_dies(death: &Death) {
    let (world, line) = (World::new(1), Line::<2>::new());
    let heir = world.worker_of(HEIR, 1);
    let mortal = world.fellow(MORTAL);
    let mut end = line.produce(&mortal);
    let (fellow, its) = (world.fellow(1), line.clone());
    let pops = in_thread(move || {
        let mut end = its.consume(&fellow);
        let had = its.pop_until(&fellow, &mut end);
        its.ring.stop_consuming(&end);
        had
    });
    let pushed = Rc::new(Cell::new(0));
    death.of(MORTAL, &world, || {
        for value in [1, 2] {
            line.try_push(&mut end, value).expect("there is room for both");
            pushed.set(value);
            mortal.step();
        }
        line.ring.stop_producing(&end);
    });
    heir.recover();
    let (had, told) = pops.join().unwrap();
    assert_eq!(told, NoFront::Gone);
    let last = had.len() as u64;
    assert!((pushed.get()..=pushed.get() + 1).contains(&last), "lost, or made up: {had:?}");
    assert_eq!(had, (1..=last).collect::<Vec<_>>(), "the order");
    assert_eq!(line.drain(&world.fellow(HEIR)), [0; 0], "pushed, and not had");
}

/// A mortal looks at one value, does it, and the same with the next; another pushes three into one place.
fn consumer_dies(death: &Death) {
    let (world, line) = (World::new(1), Line::<1>::new());
    let heir = world.worker_of(HEIR, 1);
    let mortal = world.fellow(MORTAL);
    let mut end = line.consume(&mortal);
    let (fellow, its) = (world.fellow(1), line.clone());
    let pushes = in_thread(move || {
        let mut end = its.produce(&fellow);
        let told = (1..=3).map(|value| its.push(&fellow, &mut end, value));
        let told: Vec<_> = told.take_while(|pushed| *pushed != Err(NoRoom::Gone)).collect();
        assert!(told.iter().all(|pushed| *pushed == Ok(())), "{told:?}");
        told.len()
    });
    let (looked_at, finishes) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let done = death.of(MORTAL, &world, || {
        for _ in 0..2 {
            let Ok(front) = line.ring.try_front(&mut end) else { return };
            assert!(!line.ring.show(front), "nobody looked at it");
            let value = line.cells.read(line.ring.place(front));
            looked_at.set(value);
            mortal.step();
            finishes.set(value);
            line.ring.done(&mut end, front);
        }
        line.ring.stop_consuming(&end);
    });
    heir.recover();
    let count = pushes.join().unwrap();
    let mut end = line.consume(&world.fellow(HEIR));
    let mut left = Vec::new();
    while let Ok(front) = line.ring.try_front(&mut end) {
        let value = line.cells.read(line.ring.place(front));
        assert_eq!(line.ring.show(front), looked_at.get() == value, "whether it was looked at");
        line.ring.done(&mut end, front);
        left.push(value);
    }
    let first = count as u64 + 1 - left.len() as u64;
    assert_eq!(left, (first..=count as u64).collect::<Vec<_>>(), "the order");
    let is_done = |value: u64| first > value;
    assert!(is_done(finishes.get()) || done.is_none(), "done, and had again: {left:?}");
    assert!(!is_done(finishes.get() + 1), "not done, and lost: {left:?}");
}

fn closer_dies(death: &Death) {
    let (world, empty, full) = (World::new(1), Line::<1>::new(), Line::<1>::new());
    let heir = world.worker_of(HEIR, 1);
    let mortal = world.fellow(MORTAL);
    let mut producer = full.produce(&mortal);
    full.push(&mortal, &mut producer, 1).expect("there is room");
    full.ring.stop_producing(&producer);
    let (fellow, its) = (world.fellow(1), empty.clone());
    let pops = in_thread(move || its.pop(&fellow, &mut its.consume(&fellow)));
    let (fellow, its) = (world.fellow(2), full.clone());
    let pushes = in_thread(move || its.push(&fellow, &mut its.produce(&fellow), 2));
    death.of(MORTAL, &world, || {
        empty.ring.close();
        full.ring.close();
    });
    heir.recover();
    for line in [&empty, &full] {
        if !line.ring.is_closed() {
            line.ring.close();
        }
    }
    assert_eq!(pops.join().unwrap(), Err(NoFront::Closed));
    assert_eq!(pushes.join().unwrap(), Err(NoRoom::Closed));
}

/// A value that is there, and one that a mortal pushes, while another mortal takes one.
fn both_die(pushing: &Death, taking: &Death) {
    const TAKER: u16 = 1;
    let (world, line) = (World::new(1), Line::<2>::new());
    let heir = world.worker_of(HEIR, 1);
    let (pusher, taker) = (world.fellow(MORTAL), world.fellow(TAKER));
    let mut producer = line.produce(&pusher);
    line.push(&pusher, &mut producer, 1).expect("there is room");
    let finishes = Rc::new(Cell::new(false));
    let (its, its_world, taking, its_finishes) =
        (line.clone(), world.clone(), taking.clone(), finishes.clone());
    let takes = in_thread(move || {
        taking.of(TAKER, &its_world, || {
            let mut end = its.consume(&taker);
            let front = its.ring.try_front(&mut end).expect("one is there");
            taker.step();
            its_finishes.set(true);
            assert_eq!(its.cells.read(its.ring.place(front)), 1);
            its.ring.done(&mut end, front);
        })
    });
    let pushed = Rc::new(Cell::new(false));
    pushing.of(MORTAL, &world, || {
        line.push(&pusher, &mut producer, 2).expect("there is room");
        pushed.set(true);
        pusher.step();
    });
    let done = takes.join().unwrap();
    heir.recover();
    let left = line.drain(&world.fellow(HEIR));
    let times = |value: u64| left.iter().filter(|left| **left == value).count();
    assert!(left.is_sorted() && times(1) <= 1 && times(2) <= 1, "had twice: {left:?}");
    assert!(times(1) == 1 || finishes.get(), "not done, and lost: {left:?}");
    assert!(times(1) == 0 || done.is_none(), "done, and had again: {left:?}");
    assert!(times(2) == 1 || !pushed.get(), "pushed, and lost: {left:?}");
}
