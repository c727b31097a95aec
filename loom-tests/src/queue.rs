//! The queue, among processes of which one dies before any of its writes, or before it wakes whom it owes that.
//!
//! As for locks, the kernel of these models has no time. Behind the words of each place lies a plain cell, the
//! value: loom reports two who have it at once, or one who does not see what was written, as a race.

use crate::harness::{Cells, Death, Model, each_death, each_two_deaths, explore};
use loom::model::Builder;
use loom::thread::{JoinHandle, spawn};
use sharena::model::{Fellow, Job, NotPushed, NothingThere, Ring, World};
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
        model("queue/full-and-empty", "what is pushed is had, in order", 2, Some(3), |b| {
            explore(b, full_and_empty);
        }),
        model("queue/two-pushers", "what two push is had, each once", 3, Some(2), |b| {
            explore(b, two_pushers);
        }),
        model("queue/two-poppers", "what one pushes two have, each once", 3, Some(2), |b| {
            explore(b, two_poppers);
        }),
        model(
            "queue/room-out-of-order",
            "places that are emptied in another order are room for as many who wait",
            3,
            Some(2),
            |b| explore(b, room_out_of_order),
        ),
        model(
            "queue/items-out-of-order",
            "places that are filled in another order are had by as many who wait",
            3,
            Some(2),
            |b| explore(b, items_out_of_order),
        ),
        model(
            "queue/laps-go-by",
            "who tries while something is always there has it, though the ring comes round meanwhile",
            2,
            Some(2),
            |b| explore(b, laps_go_by),
        ),
        model(
            "queue/closed-wakes",
            "closing wakes who waits for room, and who waits for something",
            3,
            Some(2),
            |b| explore(b, closed_wakes),
        ),
        model(
            "queue/closed-is-final",
            "what was pushed is had by who takes until it is told that it is closed",
            3,
            Some(2),
            |b| explore(b, closed_is_final),
        ),
        model(
            "queue/closed-is-final-for-two",
            "the same of two who push, when who closes takes",
            3,
            Some(2),
            |b| explore(b, closed_is_final_for_two),
        ),
        model(
            "queue/given-back",
            "what is given back is had again, and says so; it is waited for though the queue is closed",
            2,
            Some(2),
            |b| explore(b, given_back),
        ),
        model("queue/given-back-open", "the same while it is open", 2, Some(3), |b| {
            explore(b, given_back_open);
        }),
        model(
            "queue/pusher-dies",
            "what a dead one was pushing is had once or never, and in nobody's way",
            3,
            Some(1),
            |b| each_death(b, |death| pusher_dies(death, false)),
        ),
        model(
            "queue/pusher-dies-having-said",
            "what a dead one said is there is had once, before its cell is full, too",
            2,
            Some(1),
            |b| each_death(b, pusher_dies_having_said),
        ),
        model("queue/pusher-dies-at-closing", "the same beside one who closes", 3, Some(1), |b| {
            each_death(b, |death| pusher_dies(death, true))
        }),
        model(
            "queue/popper-dies",
            "what a dead one had and did not acknowledge another has, and is told; nothing else twice",
            2,
            Some(2),
            |b| each_death(b, |death| popper_dies(death, 1)),
        ),
        model(
            "queue/popper-dies-beside-two",
            "the same of one value and two, who sweep at once",
            3,
            Some(1),
            |b| each_death(b, |death| popper_dies(death, 2)),
        ),
        model(
            "queue/popper-dies-owing",
            "who waits for room has it, though the dead one was to wake him",
            2,
            Some(2),
            |b| each_death(b, popper_dies_owing),
        ),
        model(
            "queue/pusher-dies-in-the-way",
            "who waits for the room that a dead one was writing to has it",
            2,
            Some(2),
            |b| each_death(b, pusher_dies_in_the_way),
        ),
        model(
            "queue/both-die",
            "one who pushes and one who takes die: nothing is lost, nothing had twice, no place is lost",
            2,
            Some(4),
            |b| each_two_deaths(b, both_die),
        ),
    ]
}

const MORTAL: u16 = 0;
const HEIR: u16 = 3;

/// A queue and the values of its places.
struct Line<const N: usize> {
    ring: Rc<Ring<N>>,
    cells: Cells,
}

impl<const N: usize> Clone for Line<N> {
    fn clone(&self) -> Self {
        Line { ring: self.ring.clone(), cells: self.cells.clone() }
    }
}

impl<const N: usize> Line<N> {
    fn new() -> Line<N> {
        Line { ring: Ring::new(), cells: Cells::new(N) }
    }

    fn push(&self, fellow: &Fellow, value: u64) -> Result<(), NotPushed> {
        self.ring.push(fellow, |place| self.cells.write(place, value))
    }

    /// What there is to read of it.
    fn read(&self, job: &Job) -> u64 {
        self.cells.read(job.place)
    }

    fn done(&self, job: Job) -> u64 {
        let value = self.read(&job);
        self.ring.done(job);
        value
    }

    /// Takes what is next, waiting for it.
    fn pop(&self, fellow: &Fellow) -> Result<u64, NothingThere> {
        self.ring.take(fellow).map(|job| self.done(job))
    }

    /// All that is to be had until it is told that nothing will be; with what it was told of each.
    fn pop_until_closed(&self, fellow: &Fellow) -> Vec<(u64, bool)> {
        let mut had = Vec::new();
        loop {
            match self.ring.take(fellow) {
                Ok(job) => {
                    let again = job.is_again();
                    had.push((self.done(job), again));
                }
                Err(NothingThere::Closed) => return had,
                Err(NothingThere::Empty) => panic!("it waits for ever"),
            }
        }
    }

    /// Nobody else is there: what is left, and that as many can be pushed and had as there are places.
    fn drain(&self, fellow: &Fellow) -> Vec<u64> {
        let mut left = Vec::new();
        while let Ok(job) = self.ring.try_take(fellow) {
            left.push(self.done(job));
        }
        for value in 0..N as u64 {
            let room = self.ring.try_push(fellow, |place| self.cells.write(place, 100 + value));
            assert_eq!(room, Ok(()), "a place is lost");
        }
        for value in 0..N as u64 {
            let job = self.ring.try_take(fellow).expect("a place is lost");
            assert!(!job.is_again(), "nobody had it");
            assert_eq!(self.done(job), 100 + value, "the order");
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
    let pops = in_thread(move || [its.pop(&popper), its.pop(&popper)]);
    for value in [1, 2] {
        assert_eq!(line.push(&pusher, value), Ok(()));
    }
    assert_eq!(pops.join().unwrap(), [Ok(1), Ok(2)]);
    assert_eq!(line.drain(&pusher), [0; 0]);
}

fn two_pushers() {
    let (world, line) = (World::new(1), Line::<2>::new());
    let pushers = [1, 2].map(|participant| {
        let (fellow, line) = (world.fellow(participant), line.clone());
        in_thread(move || line.push(&fellow, participant.into()))
    });
    let mine = world.fellow(0);
    let mut had = [line.pop(&mine), line.pop(&mine)].map(|had| had.expect("nobody closes it"));
    had.sort_unstable();
    assert_eq!(had, [1, 2], "each once");
    pushers.into_iter().for_each(|pusher| assert_eq!(pusher.join().unwrap(), Ok(())));
    assert_eq!(line.drain(&mine), [0; 0]);
}

fn two_poppers() {
    let (world, line) = (World::new(1), Line::<2>::new());
    let poppers = [1, 2].map(|participant| {
        let (fellow, line) = (world.fellow(participant), line.clone());
        in_thread(move || line.pop(&fellow).expect("nobody closes it"))
    });
    let mine = world.fellow(0);
    for value in [1, 2] {
        assert_eq!(line.push(&mine, value), Ok(()));
    }
    let mut had = poppers.map(|popper| popper.join().unwrap());
    had.sort_unstable();
    assert_eq!(had, [1, 2], "each once");
    assert_eq!(line.drain(&mine), [0; 0]);
}

fn room_out_of_order() {
    let (world, line) = (World::new(1), Line::<2>::new());
    let mine = world.fellow(0);
    let jobs = [1, 2].map(|value| {
        line.push(&mine, value).expect("there is room");
        line.ring.try_take_job(&mine).expect("it is there")
    });
    let pushers = [1, 2].map(|participant| {
        let (fellow, line) = (world.fellow(participant), line.clone());
        in_thread(move || line.push(&fellow, 7))
    });
    jobs.into_iter().rev().for_each(|job| _ = line.done(job));
    pushers.into_iter().for_each(|pusher| assert_eq!(pusher.join().unwrap(), Ok(())));
    assert_eq!(line.drain(&mine), [7, 7]);
}

/// Two threads of one process push: the one is in the middle of its value while the other does all of its push.
fn items_out_of_order() {
    let (world, line) = (World::new(1), Line::<2>::new());
    let poppers = [1, 2].map(|participant| {
        let (fellow, line) = (world.fellow(participant), line.clone());
        in_thread(move || {
            if participant == 1 {
                return line.pop(&fellow).expect("nobody closes it");
            }
            let job = line.ring.take_job(&fellow).expect("nobody closes it");
            line.done(job)
        })
    });
    let mine = world.fellow(0);
    let pushed = line.ring.push(&mine, |place| {
        assert_eq!(line.push(&mine, 2), Ok(()));
        line.cells.write(place, 1);
    });
    assert_eq!(pushed, Ok(()));
    let mut had = poppers.map(|popper| popper.join().unwrap());
    had.sort_unstable();
    assert_eq!(had, [1, 2], "each once");
}

/// One of two places is full at any time, and the next that is to be had.
fn laps_go_by() {
    let (world, line) = (World::new(1), Line::<2>::new());
    let [mine, other] = [0, 1].map(|participant| world.fellow(participant));
    for value in [1, 2] {
        line.push(&mine, value).expect("there is room");
    }
    let its = line.clone();
    let goes_round = in_thread(move || {
        for _ in 0..3 {
            if let Ok(job) = its.ring.try_take(&other) {
                its.done(job);
                its.push(&other, 3).expect("nobody closes it");
            }
        }
    });
    let job = line.ring.try_take(&mine).expect("something is always there");
    line.done(job);
    goes_round.join().unwrap();
}

fn closed_wakes() {
    let (world, empty, full) = (World::new(1), Line::<1>::new(), Line::<1>::new());
    let mine = world.fellow(0);
    full.push(&mine, 1).expect("there is room");
    let (fellow, its) = (world.fellow(1), empty.clone());
    let pops = in_thread(move || its.pop(&fellow));
    let (fellow, its) = (world.fellow(2), full.clone());
    let pushes = in_thread(move || its.push(&fellow, 2));
    empty.ring.close();
    full.ring.close();
    assert_eq!(pops.join().unwrap(), Err(NothingThere::Closed));
    assert_eq!(pushes.join().unwrap(), Err(NotPushed::Closed));
    assert_eq!(full.pop(&mine), Ok(1), "what was there before");
    assert_eq!(full.pop(&mine), Err(NothingThere::Closed));
}

fn closed_is_final() {
    let (world, line) = (World::new(1), Line::<1>::new());
    let (fellow, its) = (world.fellow(1), line.clone());
    let pushes = in_thread(move || [its.push(&fellow, 1), its.push(&fellow, 2)]);
    let (fellow, its) = (world.fellow(2), line.clone());
    let pops = in_thread(move || its.pop_until_closed(&fellow));
    line.ring.close();
    let pushed = pushes.join().unwrap().into_iter().filter(Result::is_ok).count() as u64;
    let had: Vec<u64> = pops.join().unwrap().into_iter().map(|(value, _)| value).collect();
    assert_eq!(had, (1..=pushed).collect::<Vec<_>>(), "pushed, and not had");
}

fn closed_is_final_for_two() {
    let (world, line) = (World::new(1), Line::<2>::new());
    let pushers = [1, 2].map(|participant| {
        let (fellow, line) = (world.fellow(participant), line.clone());
        in_thread(move || line.push(&fellow, participant.into()).map(|()| u64::from(participant)))
    });
    line.ring.close();
    let mut had: Vec<u64> =
        line.pop_until_closed(&world.fellow(0)).into_iter().map(|(value, _)| value).collect();
    had.sort_unstable();
    let pushed: Vec<u64> =
        pushers.into_iter().filter_map(|pusher| pusher.join().unwrap().ok()).collect();
    assert_eq!(had, pushed, "pushed, and not had");
}

fn given_back() {
    let (world, line) = (World::new(1), Line::<1>::new());
    let [mine, fellow] = [0, 1].map(|participant| world.fellow(participant));
    line.push(&mine, 1).expect("there is room");
    line.ring.close();
    let its = line.clone();
    let pops = in_thread(move || its.pop_until_closed(&fellow));
    let mut had = Vec::new();
    let mut was_given_back = false;
    match line.ring.take_job(&mine) {
        Ok(job) => {
            assert!(!job.is_again(), "nobody had it before");
            line.ring.give_back(job);
            was_given_back = true;
            had = line.pop_until_closed(&mine);
        }
        Err(nothing) => assert_eq!(nothing, NothingThere::Closed),
    }
    had.extend(pops.join().unwrap());
    assert_eq!(had, [(1, was_given_back)], "once, and it says that somebody had it");
}

/// Who sleeps is woken for it.
fn given_back_open() {
    let (world, line) = (World::new(1), Line::<1>::new());
    let [mine, fellow] = [0, 1].map(|participant| world.fellow(participant));
    let its = line.clone();
    let pops = in_thread(move || {
        let job = its.ring.take_job(&fellow).expect("nobody closes it");
        (job.is_again(), its.done(job))
    });
    line.push(&mine, 1).expect("there is room");
    let had = line.ring.try_take_job(&mine);
    let was_had = had.is_ok();
    had.into_iter().for_each(|job| line.ring.give_back(job));
    assert_eq!(pops.join().unwrap(), (was_had, 1));
    assert_eq!(line.drain(&mine), [0; 0]);
}

/// Values that one pushes who dies, and one that another pushes, for whom a third waits.
fn pusher_dies(death: &Death, closes: bool) {
    let (world, line) = (World::new(1), Line::<2>::new());
    let heir = world.worker_of(HEIR, 1);
    let mortal = world.fellow(MORTAL);
    let (fellow, its) = (world.fellow(1), line.clone());
    let pops = in_thread(move || {
        if closes {
            return its.pop_until_closed(&fellow).into_iter().map(|(value, _)| value).collect();
        }
        let mut had = Vec::new();
        while had.last() != Some(&7) {
            had.push(its.pop(&fellow).expect("nobody closes it"));
        }
        had
    });
    let (fellow, its) = (world.fellow(2), line.clone());
    let other = in_thread(move || {
        if closes {
            its.ring.close();
        } else {
            its.push(&fellow, 7).expect("nobody closes it");
        }
    });
    let pushed = Rc::new(Cell::new(0));
    death.of(MORTAL, &world, || {
        mortal.step();
        if line.push(&mortal, 1).is_ok() {
            pushed.set(1);
        }
        mortal.step();
    });
    heir.recover();
    let mut had: Vec<u64> = pops.join().unwrap();
    other.join().unwrap();
    if !closes {
        had.extend(line.drain(&world.fellow(HEIR)));
        assert_eq!(had.iter().filter(|value| **value == 7).count(), 1, "{had:?}");
    }
    let ones = had.iter().filter(|value| **value == 1).count();
    assert!(ones <= 1, "had twice: {had:?}");
    assert!(ones == 1 || pushed.get() == 0, "pushed, and not had: {had:?}");
}

/// One says that a value is there, and may die before its cell is full; the ring has come round once.
fn pusher_dies_having_said(death: &Death) {
    let (world, line) = (World::new(1), Line::<1>::new());
    let heir = world.worker_of(HEIR, 1);
    let mortal = world.fellow(MORTAL);
    let said = Rc::new(Cell::new(false));
    let (fellow, its) = (world.fellow(1), line.clone());
    let pops = in_thread(move || {
        let mut had = Vec::new();
        while had.last() != Some(&7) {
            let job = its.ring.take_job(&fellow).expect("nobody closes it");
            assert!(!job.is_again(), "nobody had it");
            its.ring.unsay(&job);
            had.push(its.done(job));
        }
        had
    });
    death.of(MORTAL, &world, || {
        mortal.step();
        let write = |place| line.cells.write(place, 1);
        line.ring.push_said(&mortal, write, || said.set(true)).expect("nobody closes it");
        mortal.step();
    });
    heir.recover();
    let last = world.fellow(2);
    let write = |place| line.cells.write(place, 7);
    line.ring.push_said(&last, write, || ()).expect("nobody closes it");
    let had = pops.join().unwrap();
    let expected: &[u64] = if said.get() { &[1, 7] } else { &[7] };
    assert_eq!(had, expected);
    assert_eq!(line.drain(&last), [0; 0]);
}

/// Values in a closed queue, two for one other, one for two, of which a mortal takes the first; `others` take what
/// there is until they are told that there is no more.
fn popper_dies(death: &Death, others: u16) {
    let (world, line) = (World::new(1), Line::<2>::new());
    let heir = world.worker_of(HEIR, 1);
    let mortal = world.fellow(MORTAL);
    let values = 1..=u64::from(3 - others);
    for value in values.clone() {
        line.push(&mortal, value).expect("there is room");
    }
    line.ring.close();
    let others: Vec<_> = (1..=others)
        .map(|participant| {
            let (fellow, line) = (world.fellow(participant), line.clone());
            in_thread(move || line.pop_until_closed(&fellow))
        })
        .collect();
    let (took, acknowledges) = (Rc::new(Cell::new(None)), Rc::new(Cell::new(false)));
    let done = death.of(MORTAL, &world, || {
        let Ok(job) = line.ring.try_take_job(&mortal) else { return };
        assert!(!job.is_again(), "nobody died yet");
        took.set(Some(line.read(&job)));
        mortal.step();
        acknowledges.set(true);
        line.ring.done(job);
    });
    heir.recover();
    let mut had: Vec<_> = others.into_iter().flat_map(|other| other.join().unwrap()).collect();
    had.sort_unstable();
    for value in values {
        let times: Vec<bool> =
            had.iter().filter(|(had, _)| *had == value).map(|(_, again)| *again).collect();
        assert!(times.len() <= 1, "had twice: {had:?}");
        if took.get() == Some(value) && acknowledges.get() {
            assert!(times.is_empty() || done.is_none(), "acknowledged, and had again: {had:?}");
            assert!(times != [false], "had again, and not told");
        } else if took.get() == Some(value) {
            assert_eq!(times, [true], "not acknowledged, and lost, or not told");
        } else {
            // It may have died between taking it and knowing which it is.
            assert_eq!(times.len(), 1, "lost: {had:?}");
            assert!(times == [false] || done.is_none(), "nobody had it");
        }
    }
}

/// Who waits for the one place that a mortal empties.
fn popper_dies_owing(death: &Death) {
    let (world, line) = (World::new(1), Line::<1>::new());
    let heir = world.worker_of(HEIR, 1);
    let mortal = world.fellow(MORTAL);
    line.push(&mortal, 1).expect("there is room");
    let (fellow, its) = (world.fellow(1), line.clone());
    let pushes = in_thread(move || its.push(&fellow, 2));
    death.of(MORTAL, &world, || {
        if let Ok(job) = line.ring.try_take(&mortal) {
            line.done(job);
        }
    });
    heir.recover();
    let last = world.fellow(HEIR);
    let mut had = Vec::new();
    while let Ok(job) = line.ring.try_take(&last) {
        had.push(line.done(job));
    }
    assert_eq!(pushes.join().unwrap(), Ok(()));
    had.extend(line.drain(&last));
    assert_eq!(had.iter().filter(|value| **value == 2).count(), 1, "{had:?}");
}

fn pusher_dies_in_the_way(death: &Death) {
    let (world, line) = (World::new(1), Line::<1>::new());
    let heir = world.worker_of(HEIR, 1);
    let mortal = world.fellow(MORTAL);
    let (fellow, its) = (world.fellow(1), line.clone());
    let pushes = in_thread(move || its.push(&fellow, 2));
    death.of(MORTAL, &world, || line.ring.try_push(&mortal, |place| line.cells.write(place, 1)));
    heir.recover();
    let last = world.fellow(HEIR);
    while line.pop(&last) != Ok(2) {}
    assert_eq!(pushes.join().unwrap(), Ok(()));
}

/// A value that is there, and one that a mortal pushes, while another mortal takes one.
fn both_die(pushing: &Death, taking: &Death) {
    const TAKER: u16 = 1;
    let (world, line) = (World::new(1), Line::<2>::new());
    let heir = world.worker_of(HEIR, 1);
    let (pusher, taker) = (world.fellow(MORTAL), world.fellow(TAKER));
    line.push(&pusher, 1).expect("there is room");
    let acknowledges = Rc::new(Cell::new(None));
    let (its, its_world, taking) = (line.clone(), world.clone(), taking.clone());
    let acknowledged = acknowledges.clone();
    let takes = in_thread(move || {
        taking.of(TAKER, &its_world, || {
            let job = its.ring.try_take_job(&taker).expect("one is there");
            assert!(!job.is_again(), "nobody had it");
            taker.step();
            acknowledged.set(Some(its.read(&job)));
            its.ring.done(job);
        })
    });
    let pushed = Rc::new(Cell::new(false));
    pushing.of(MORTAL, &world, || {
        line.push(&pusher, 2).expect("nobody closes it");
        pushed.set(true);
        pusher.step();
    });
    let done = takes.join().unwrap();
    heir.recover();
    let left = line.drain(&world.fellow(HEIR));
    for value in [1, 2] {
        let times = left.iter().filter(|left| **left == value).count();
        assert!(times <= 1, "had twice: {left:?}");
        if acknowledges.get() == Some(value) {
            assert!(times == 0 || done.is_none(), "acknowledged, and had again: {left:?}");
        } else if value == 1 || pushed.get() {
            assert_eq!(times, 1, "lost: {left:?}");
        }
    }
}
