//! Locks, among processes of which one dies before any of its writes, or before it wakes whom it owes that.
//!
//! The kernel of these models has no time: who sleeps and is not woken is a deadlock, which loom reports. The
//! real thing looks again by itself after a while; nothing here rests on that.

use crate::harness::{Cells, Death, Model, each_death, explore};
use loom::model::Builder;
use loom::thread::spawn;
use sharena::model::{Fellow, Lock, Notice, Pass, Task, World};
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
        model("lock/mutex-two", "one is inside at a time; nobody sleeps for ever", 2, None, |b| {
            explore(b, || all_work(2));
        }),
        model("lock/mutex-three", "the same with three", 3, Some(2), |b| {
            explore(b, || all_work(3));
        }),
        model("lock/mutex-try", "who only tries gets a free lock, or is told", 2, None, |b| {
            explore(b, tries);
        }),
        model(
            "lock/mutex-one-dies",
            "the lock of the dead goes on with the news, and nobody sleeps for ever",
            2,
            Some(3),
            |b| each_death(b, |death| one_dies(death, 1)),
        ),
        model(
            "lock/mutex-one-dies-of-three",
            "the same with one more, who may sleep for a wake-up that the dead one swallowed",
            3,
            Some(2),
            |b| each_death(b, |death| one_dies(death, 2)),
        ),
        model(
            "lock/mutex-two-locks",
            "one dies with two locks; each has a sleeper: both wake",
            3,
            Some(2),
            |b| each_death(b, two_locks),
        ),
        model(
            "lock/condvar",
            "who waits for a value has it, though the notice comes when it will",
            2,
            None,
            |b| explore(b, || producer_and_consumers(1, false)),
        ),
        model(
            "lock/condvar-two-wait",
            "the same with two who wait and a notice for each",
            3,
            Some(2),
            |b| explore(b, || producer_and_consumers(2, false)),
        ),
        model(
            "lock/condvar-all",
            "the same with two who wait and one notice for all",
            3,
            Some(2),
            |b| explore(b, || producer_and_consumers(2, true)),
        ),
        model(
            "lock/condvar-late-sleeper",
            "a notice that finds nobody asleep does not make the next one be forgotten",
            3,
            Some(3),
            |b| explore(b, late_sleeper),
        ),
        model(
            "lock/condvar-producer-dies",
            "who waits has the value, or hears of the death of who was to bring it",
            2,
            Some(3),
            |b| each_death(b, producer_dies),
        ),
        model(
            "lock/condvar-consumer-dies",
            "one who waits dies; the other has the value that is left, though the notice went to the dead",
            3,
            Some(1),
            |b| each_death(b, consumer_dies),
        ),
        model("lock/once", "it is done once, and all see it done", 3, Some(2), |b| {
            explore(b, || all_need(2));
        }),
        model(
            "lock/once-doer-dies",
            "who dies while doing it has not done it; all others see it done",
            3,
            Some(1),
            |b| each_death(b, doer_dies),
        ),
        model("lock/permit", "a permit has one holder, and nobody sleeps for ever", 2, None, |b| {
            explore(b, || all_use(2));
        }),
        model("lock/permit-three", "the same with three", 3, Some(2), |b| {
            explore(b, || all_use(3));
        }),
        model(
            "lock/permit-holder-dies",
            "the permit of the dead comes back, once",
            3,
            Some(1),
            |b| each_death(b, holder_dies),
        ),
    ]
}

const MORTAL: u16 = 0;
const HEIR: u16 = 3;

/// Takes the lock and changes two cells that are alike when nobody is inside.
fn work(fellow: &Fellow, lock: &Lock, cells: &Cells) {
    let died = fellow.lock(lock);
    inside(fellow, cells, died);
    fellow.unlock(lock);
}

fn inside(fellow: &Fellow, cells: &Cells, died: bool) {
    let count = cells.read(0);
    if died {
        cells.write(1, count);
    }
    assert_eq!(count, cells.read(1), "a change that is half there, without the news of a death");
    cells.write(0, count + 1);
    fellow.step();
    cells.write(1, count + 1);
}

fn all_work(threads: u16) {
    let (world, lock, cells) = (World::new(1), Lock::new(), Cells::new(2));
    let fellows: Vec<_> = (0..threads).map(|participant| world.fellow(participant)).collect();
    let mut fellows = fellows.into_iter();
    let mine = fellows.next().expect("at least one");
    let others: Vec<_> = fellows
        .map(|fellow| {
            let (lock, cells) = (lock.clone(), cells.clone());
            spawn(move || work(&fellow, &lock, &cells))
        })
        .collect();
    work(&mine, &lock, &cells);
    others.into_iter().for_each(|other| other.join().unwrap());
    assert_eq!(cells.read(0), u64::from(threads), "a change is lost");
    assert!(!lock.is_held(), "nobody has it");
}

fn tries() {
    let (world, lock, cells) = (World::new(1), Lock::new(), Cells::new(2));
    let [one, other] = [0, 1].map(|participant| world.fellow(participant));
    let (its_lock, its_cells) = (lock.clone(), cells.clone());
    let other = spawn(move || work(&other, &its_lock, &its_cells));
    let got = one.try_lock(&lock);
    if let Some(died) = got {
        inside(&one, &cells, died);
        one.unlock(&lock);
    }
    other.join().unwrap();
    assert_eq!(cells.read(0), 1 + u64::from(got.is_some()), "a change is lost");
    assert_eq!(one.try_lock(&lock), Some(false), "a free lock was not taken");
}

/// One dies, `others` work; the heir recovers when the mortal is dead.
fn one_dies(death: &Death, others: u16) {
    let (world, lock, cells) = (World::new(1), Lock::new(), Cells::new(2));
    let heir = world.worker_of(HEIR, 1);
    let mortal = world.fellow(MORTAL);
    let others: Vec<_> = (1..=others)
        .map(|participant| {
            let (fellow, lock, cells) = (world.fellow(participant), lock.clone(), cells.clone());
            spawn(move || work(&fellow, &lock, &cells))
        })
        .collect();
    death.of(MORTAL, &world, || work(&mortal, &lock, &cells));
    heir.recover();
    others.into_iter().for_each(|other| other.join().unwrap());
    let last = world.fellow(HEIR);
    assert!(last.try_lock(&lock).is_some(), "the lock of the dead is lost");
}

fn two_locks(death: &Death) {
    let world = World::new(1);
    let locks = [Lock::new(), Lock::new()];
    let heir = world.worker_of(HEIR, 1);
    let mortal = world.fellow(MORTAL);
    locks.iter().for_each(|lock| assert!(!mortal.lock(lock)));
    let others = [1, 2].map(|participant| {
        let fellow = world.fellow(participant);
        let lock: Rc<Lock> = locks[usize::from(participant) - 1].clone();
        spawn(move || {
            fellow.lock(&lock);
            fellow.unlock(&lock);
        })
    });
    death.of(MORTAL, &world, || locks.iter().for_each(|lock| mortal.unlock(lock)));
    heir.recover();
    others.into_iter().for_each(|other| other.join().unwrap());
}

/// A count of values in a cell, a lock for it, and the notice that there are some.
#[derive(Clone)]
struct Store {
    lock: Rc<Lock>,
    notice: Rc<Notice>,
    cells: Cells,
}

impl Store {
    fn new() -> Store {
        Store { lock: Lock::new(), notice: Notice::new(), cells: Cells::new(1) }
    }

    fn put(&self, fellow: &Fellow, values: u64) {
        fellow.lock(&self.lock);
        self.cells.write(0, self.cells.read(0) + values);
        fellow.unlock(&self.lock);
    }

    /// Takes a value, waiting for it; false: `deaths` and more have died, and there is none.
    fn take(&self, fellow: &Fellow, deaths: u64) -> bool {
        fellow.lock(&self.lock);
        let took = loop {
            let news = fellow.news();
            let values = self.cells.read(0);
            if values > 0 {
                self.cells.write(0, values - 1);
                break true;
            }
            if Fellow::deaths_in(news) != deaths {
                break false;
            }
            fellow.wait(&self.notice, news, &self.lock);
        };
        fellow.unlock(&self.lock);
        took
    }
}

fn producer_and_consumers(consumers: u16, for_all: bool) {
    let (world, store) = (World::new(1), Store::new());
    let producer = world.fellow(0);
    let consumers: Vec<_> = (1..=consumers)
        .map(|participant| {
            let (fellow, store) = (world.fellow(participant), store.clone());
            spawn(move || assert!(store.take(&fellow, 0), "nobody died"))
        })
        .collect();
    let count = consumers.len() as u64;
    if for_all {
        store.put(&producer, count);
        producer.notify_all(&store.notice);
    } else {
        for _ in 0..count {
            store.put(&producer, 1);
            producer.notify_one(&store.notice);
        }
    }
    consumers.into_iter().for_each(|consumer| consumer.join().unwrap());
    assert_eq!(store.cells.read(0), 0, "a value is left over");
}

/// One notice may find nobody asleep, and take the mark away by which others are known to sleep, beside one
/// who is about to.
fn late_sleeper() {
    let (world, store) = (World::new(1), Store::new());
    let notifiers = [0, 1].map(|participant| world.fellow(participant));
    let consumer = world.fellow(2);
    let [first, second] = notifiers;
    // As one who has waited and gone leaves it: marked, and nobody asleep.
    let its_store = store.clone();
    let early = spawn(move || {
        first.notify_one(&its_store.notice);
    });
    let its_store = store.clone();
    let waits = spawn(move || assert!(its_store.take(&consumer, 0), "nobody died"));
    store.put(&second, 1);
    second.notify_one(&store.notice);
    early.join().unwrap();
    waits.join().unwrap();
}

fn producer_dies(death: &Death) {
    let (world, store) = (World::new(1), Store::new());
    let heir = world.worker_of(HEIR, 1);
    let mortal = world.fellow(MORTAL);
    let (consumer, its_store) = (world.fellow(1), store.clone());
    let waits = spawn(move || its_store.take(&consumer, 0));
    let done = death.of(MORTAL, &world, || {
        store.put(&mortal, 1);
        mortal.notify_one(&store.notice);
    });
    heir.recover();
    let got = waits.join().unwrap();
    assert!(got || done.is_none(), "it had a value, and heard of a death instead");
}

fn consumer_dies(death: &Death) {
    let (world, store) = (World::new(1), Store::new());
    let heir = world.worker_of(HEIR, 1);
    let (mortal, consumer, producer) = (world.fellow(MORTAL), world.fellow(1), world.fellow(2));
    let its_store = store.clone();
    // It goes on waiting when it hears of a death: there is a value for it.
    let waits = spawn(move || {
        let mut deaths = 0;
        while !its_store.take(&consumer, deaths) {
            deaths = Fellow::deaths_in(consumer.news());
        }
    });
    let its_store = store.clone();
    let puts = spawn(move || {
        for _ in 0..2 {
            its_store.put(&producer, 1);
            producer.notify_one(&its_store.notice);
        }
    });
    death.of(MORTAL, &world, || store.take(&mortal, 0));
    heir.recover();
    waits.join().unwrap();
    puts.join().unwrap();
}

/// Writes two cells, if nobody has, and sees both written.
fn need(fellow: &Fellow, task: &Task, cells: &Cells) {
    fellow.once(task, || {
        cells.write(0, cells.read(0) + 1);
        fellow.step();
        cells.write(1, 7);
    });
    assert_eq!(cells.read(1), 7, "it is said to be done, and is not");
}

fn all_need(others: u16) {
    let (world, task, cells) = (World::new(1), Task::new(), Cells::new(2));
    let others: Vec<_> = (1..=others)
        .map(|participant| {
            let (fellow, task, cells) = (world.fellow(participant), task.clone(), cells.clone());
            spawn(move || need(&fellow, &task, &cells))
        })
        .collect();
    need(&world.fellow(0), &task, &cells);
    others.into_iter().for_each(|other| other.join().unwrap());
    assert_eq!(cells.read(0), 1, "it was done twice");
}

fn doer_dies(death: &Death) {
    let (world, task, cells) = (World::new(1), Task::new(), Cells::new(2));
    let heir = world.worker_of(HEIR, 1);
    let mortal = world.fellow(MORTAL);
    let others = [1, 2].map(|participant| {
        let (fellow, task, cells) = (world.fellow(participant), task.clone(), cells.clone());
        spawn(move || need(&fellow, &task, &cells))
    });
    death.of(MORTAL, &world, || need(&mortal, &task, &cells));
    heir.recover();
    others.into_iter().for_each(|other| other.join().unwrap());
}

fn use_it(fellow: &Fellow, pass: &Pass, cells: &Cells) {
    fellow.acquire(pass);
    cells.write(0, cells.read(0) + 1);
    fellow.release(pass);
}

fn all_use(threads: u16) {
    let (world, pass, cells) = (World::new(1), Pass::new(), Cells::new(1));
    let others: Vec<_> = (1..threads)
        .map(|participant| {
            let (fellow, pass, cells) = (world.fellow(participant), pass.clone(), cells.clone());
            spawn(move || use_it(&fellow, &pass, &cells))
        })
        .collect();
    let mine = world.fellow(0);
    use_it(&mine, &pass, &cells);
    others.into_iter().for_each(|other| other.join().unwrap());
    assert_eq!(cells.read(0), u64::from(threads), "two had it at once");
    assert_eq!(mine.try_acquire(&pass), Some(false), "the permit is lost");
}

fn holder_dies(death: &Death) {
    let (world, pass, cells) = (World::new(1), Pass::new(), Cells::new(1));
    let heir = world.worker_of(HEIR, 1);
    let mortal = world.fellow(MORTAL);
    let others = [1, 2].map(|participant| {
        let (fellow, pass, cells) = (world.fellow(participant), pass.clone(), cells.clone());
        spawn(move || use_it(&fellow, &pass, &cells))
    });
    death.of(MORTAL, &world, || use_it(&mortal, &pass, &cells));
    heir.recover();
    others.into_iter().for_each(|other| other.join().unwrap());
    assert!(world.fellow(HEIR).try_acquire(&pass).is_some(), "the permit of the dead is lost");
}
