//! Locks, among processes of which one dies before any of its writes, or before it wakes whom it owes that.
//!
//! The kernel of these models has no time: who sleeps and is not woken is a deadlock, which loom reports. The
//! real thing looks again by itself after a while; nothing here rests on that.

use crate::harness::{Cells, Death, Model, each_death, explore};
use loom::model::Builder;
use loom::thread::spawn;
use sharena::model::{
    AtGate, Count, Fellow, Gate, Happening, Lock, Notice, Pass, Sheet, Task, World,
};
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
        model(
            "lock/semaphore",
            "each who waits has one of those that were released",
            3,
            Some(2),
            |b| explore(b, || takers(2)),
        ),
        model(
            "lock/semaphore-late-sleeper",
            "who clears the mark of sleepers forgets none who went to sleep since it looked",
            4,
            Some(2),
            |b| explore(b, late_taker),
        ),
        model(
            "lock/semaphore-taker-dies",
            "one who waits dies; the other has the one that is left, though it was woken for the dead",
            3,
            Some(1),
            |b| each_death(b, taker_dies),
        ),
        model(
            "lock/semaphore-releaser-dies",
            "who waits has one, or hears of the death of who was to release it",
            2,
            Some(3),
            |b| each_death(b, releaser_dies),
        ),
        model(
            "lock/barrier",
            "who passes sees what the others did before, each time",
            2,
            None,
            |b| explore(b, || meetings(2, 1)),
        ),
        model("lock/barrier-three", "the same with three", 3, Some(2), |b| {
            explore(b, || meetings(3, 1));
        }),
        model(
            "lock/barrier-one-dies",
            "the others all pass with the dead one, or each hears of the death; mended, it lets those who are left pass",
            3,
            Some(1),
            |b| each_death(b, partner_dies),
        ),
        model(
            "lock/barrier-mended",
            "who sleeps while another mends the barrier does not take that for passing it",
            3,
            Some(2),
            |b| explore(b, mended_beside_a_sleeper),
        ),
        model(
            "lock/event-for-all",
            "who waits when it is set passes, and sees what was done before, though it is reset at once",
            3,
            Some(3),
            |b| explore(b, happens_for_all),
        ),
        model(
            "lock/event-for-one",
            "each time that it is set one passes, who sees what was done before",
            3,
            Some(2),
            |b| explore(b, happens_for_one),
        ),
        model(
            "lock/event-late-sleeper",
            "who clears the mark of sleepers forgets none who went to sleep since it looked",
            3,
            Some(3),
            |b| explore(b, late_waiter),
        ),
        model(
            "lock/event-setter-dies",
            "who waits passes, or hears of the death of who was to set it",
            2,
            Some(3),
            |b| each_death(b, setter_dies),
        ),
        model(
            "lock/event-waiter-dies",
            "one who waits dies; the other passes, though the wake-up went to the dead",
            3,
            Some(2),
            |b| each_death(b, waiter_dies),
        ),
        model(
            "lock/rwlock",
            "who reads sees no change that is half there; who writes waits for readers, and they for it",
            2,
            Some(4),
            |b| explore(b, || sheet_of(1, 1)),
        ),
        model("lock/rwlock-writers", "one writes at a time", 2, None, |b| {
            explore(b, || sheet_of(0, 2));
        }),
        model("lock/rwlock-two-readers", "the same with two who read", 3, Some(2), |b| {
            explore(b, || sheet_of(2, 1));
        }),
        model("lock/rwlock-two-writers", "the same with two who write", 3, Some(2), |b| {
            explore(b, || sheet_of(1, 2));
        }),
        model(
            "lock/rwlock-try",
            "who only tries to read or to write has a free lock, or is told",
            2,
            Some(3),
            |b| explore(b, sheet_tries),
        ),
        model(
            "lock/rwlock-twice",
            "who reads already reads again, though a writer waits",
            2,
            Some(3),
            |b| explore(b, reads_twice),
        ),
        model(
            "lock/rwlock-no-slot",
            "who has no slot left for a second lock reads it all the same, beside another and a writer",
            3,
            Some(2),
            |b| explore(b, reads_alone),
        ),
        model(
            "lock/rwlock-downgrade",
            "who wrote goes on reading, and nobody writes in between",
            3,
            Some(2),
            |b| explore(b, downgrades),
        ),
        model(
            "lock/rwlock-outside",
            "of a lock in no segment: the same as rwlock",
            2,
            Some(4),
            |b| explore(b, sheet_outside),
        ),
        model(
            "lock/rwlock-reader-dies",
            "who writes does not wait for one who died reading, and is told of no death",
            2,
            Some(3),
            |b| each_death(b, |death| reader_dies(death, 0)),
        ),
        model(
            "lock/rwlock-reader-dies-of-three",
            "the same with one more who reads",
            3,
            Some(1),
            |b| each_death(b, |death| reader_dies(death, 1)),
        ),
        model(
            "lock/rwlock-next-in-lane",
            "who writes waits neither for the dead nor for who has its lane next",
            3,
            Some(2),
            |b| each_death(b, next_in_lane),
        ),
        model(
            "lock/rwlock-writer-dies",
            "who reads hears that a writer died, if a change is half there, and does not wait for it",
            2,
            Some(3),
            |b| each_death(b, |death| writer_dies(death, &[false])),
        ),
        model(
            "lock/rwlock-writer-dies-of-three",
            "the same with one more who reads",
            3,
            Some(1),
            |b| each_death(b, |death| writer_dies(death, &[false, false])),
        ),
        model(
            "lock/rwlock-writer-dies-beside-one",
            "the same with one more who writes",
            3,
            Some(1),
            |b| each_death(b, |death| writer_dies(death, &[false, true])),
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

fn takers(takers: u16) {
    let (world, count, cells) = (World::new(1), Count::new(), Cells::new(1));
    let takers: Vec<_> = (1..=takers)
        .map(|participant| {
            let (fellow, count, cells) = (world.fellow(participant), count.clone(), cells.clone());
            spawn(move || {
                assert!(fellow.take(&count, 0), "nobody died");
                assert_eq!(cells.read(0), 7, "what was done before it was released");
            })
        })
        .collect();
    cells.write(0, 7);
    for _ in 0..takers.len() {
        count.add();
    }
    takers.into_iter().for_each(|taker| taker.join().unwrap());
    assert!(!count.try_take(), "one is left over");
}

/// One may be taken by who does not sleep, while who released it finds nobody asleep: two sleep by the time
/// that he takes the mark away.
fn late_taker() {
    let (world, count) = (World::new(1), Count::marked());
    let sleepers = [1, 2].map(|participant| {
        let (fellow, count) = (world.fellow(participant), count.clone());
        spawn(move || assert!(fellow.take(&count, 0), "nobody died"))
    });
    let its_count = count.clone();
    let quick = spawn(move || {
        if its_count.try_take() {
            its_count.add();
        }
    });
    count.add();
    count.add();
    quick.join().unwrap();
    sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
    assert!(!count.try_take(), "one is left over");
}

fn taker_dies(death: &Death) {
    let (world, count) = (World::new(1), Count::new());
    let heir = world.worker_of(HEIR, 1);
    let (mortal, taker) = (world.fellow(MORTAL), world.fellow(1));
    let its_count = count.clone();
    // It goes on waiting when it hears of a death: there is one for it.
    let waits = spawn(move || {
        let mut deaths = 0;
        while !taker.take(&its_count, deaths) {
            deaths = Fellow::deaths_in(taker.news());
        }
    });
    let its_count = count.clone();
    let releases = spawn(move || (0..2).for_each(|_| its_count.add()));
    death.of(MORTAL, &world, || mortal.take(&count, 0));
    heir.recover();
    waits.join().unwrap();
    releases.join().unwrap();
}

fn releaser_dies(death: &Death) {
    let (world, count) = (World::new(1), Count::new());
    let heir = world.worker_of(HEIR, 1);
    let (mortal, taker) = (world.fellow(MORTAL), world.fellow(1));
    let its_count = count.clone();
    let waits = spawn(move || taker.take(&its_count, 0));
    let done = death.of(MORTAL, &world, || {
        mortal.step();
        count.add();
    });
    heir.recover();
    let got = waits.join().unwrap();
    assert!(got || done.is_none(), "there was one, and it heard of a death instead");
}

/// Each counts in a cell of its own how often it came, and sees that the others came as often.
fn meet(fellow: &Fellow, gate: &Gate, cells: &Cells, me: usize, all: usize, rounds: u64) -> u64 {
    let mut led = 0;
    for round in 1..=rounds {
        cells.write(me, round);
        let came = fellow.meet(gate, 0);
        assert!(matches!(came, AtGate::Last | AtGate::Passed), "nobody died");
        led += u64::from(came == AtGate::Last);
        (0..all).for_each(|other| assert!(cells.read(other) >= round, "{other} has not come"));
        // Nobody comes again before all have looked.
        fellow.meet(gate, 0);
    }
    led
}

fn meetings(threads: u16, rounds: u64) {
    let all = usize::from(threads);
    let (world, gate, cells) = (World::new(1), Gate::new(threads), Cells::new(all));
    let others: Vec<_> = (1..threads)
        .map(|participant| {
            let (fellow, gate, cells) = (world.fellow(participant), gate.clone(), cells.clone());
            spawn(move || meet(&fellow, &gate, &cells, usize::from(participant), all, rounds))
        })
        .collect();
    let mine = meet(&world.fellow(0), &gate, &cells, 0, all, rounds);
    let led = others.into_iter().map(|other| other.join().unwrap()).sum::<u64>() + mine;
    assert_eq!(led, rounds, "one leads, each time");
}

fn partner_dies(death: &Death) {
    let (world, gate, cells) = (World::new(1), Gate::new(3), Cells::new(3));
    let heir = world.worker_of(HEIR, 1);
    let mortal = world.fellow(MORTAL);
    let others = [1, 2].map(|me| {
        let (fellow, gate, cells) = (world.fellow(me), gate.clone(), cells.clone());
        spawn(move || {
            let (mine, its) = (usize::from(me), usize::from(3 - me));
            let mut came = fellow.meet(&gate, 0);
            if matches!(came, AtGate::Broken(_)) {
                cells.write(mine, 1);
                gate.mend(came, 2);
                came = fellow.meet(&gate, Fellow::deaths_in(fellow.news()));
            }
            assert!(matches!(came, AtGate::Last | AtGate::Passed), "nobody else died");
            let was_mended = cells.read(mine) == 1 || cells.read(its) == 1;
            assert!(was_mended || cells.read(0) == 1, "it opened without the one that died");
            was_mended
        })
    });
    death.of(MORTAL, &world, || {
        cells.write(0, 1);
        mortal.step();
        mortal.meet(&gate, 0)
    });
    heir.recover();
    let mended = others.map(|other| other.join().unwrap());
    assert_eq!(mended[0], mended[1], "one passed, and the other was told of a death");
}

/// One hears of a death from before, mends, and comes again, while the other, which has not heard, waits.
fn mended_beside_a_sleeper() {
    let (world, gate) = (World::new(1), Gate::new(3));
    let sleeper = world.fellow(1);
    let its_gate = gate.clone();
    let waits = spawn(move || {
        let came = sleeper.meet(&its_gate, 0);
        // Or it comes when all is over.
        if !matches!(came, AtGate::Broken(_)) {
            return came;
        }
        assert!(!its_gate.mend(came, 7), "it was mended");
        sleeper.meet(&its_gate, 0)
    });
    let mine = world.fellow(0);
    let broken = mine.meet(&gate, 1); // as if one had died that it knows of
    assert!(gate.mend(broken, 2));
    let came = [mine.meet(&gate, 0), waits.join().unwrap()];
    assert!(came.contains(&AtGate::Last) && came.contains(&AtGate::Passed), "{came:?}");
}

fn happens_for_all() {
    let (world, event, cells) = (World::new(1), Happening::new(false), Cells::new(1));
    let waits = [1, 2].map(|participant| {
        let (fellow, event, cells) = (world.fellow(participant), event.clone(), cells.clone());
        spawn(move || {
            assert!(fellow.await_it(&event, 0), "nobody died");
            assert_eq!(cells.read(0), 7, "what was done before it was set");
        })
    });
    cells.write(0, 7);
    event.set();
    event.reset();
    // Who comes later waits for the next time.
    event.set();
    waits.into_iter().for_each(|waits| waits.join().unwrap());
    assert!(event.try_wait() && event.try_wait(), "it stays set");
}

fn happens_for_one() {
    let (world, event, cells) = (World::new(1), Happening::new(true), Cells::new(1));
    let passed = Happening::new(true);
    let waits = [1, 2].map(|participant| {
        let fellow = world.fellow(participant);
        let (event, passed, cells) = (event.clone(), passed.clone(), cells.clone());
        spawn(move || {
            assert!(fellow.await_it(&event, 0), "nobody died");
            cells.write(0, cells.read(0) + 1);
            passed.set();
        })
    });
    let mine = world.fellow(0);
    for times in [1, 2] {
        event.set();
        assert!(mine.await_it(&passed, 0), "nobody died");
        assert_eq!(cells.read(0), times, "one passes each time");
    }
    waits.into_iter().for_each(|waits| waits.join().unwrap());
    assert!(!event.try_wait(), "it is reset by who passed");
}

/// It may be taken by one who does not sleep, while who set it finds nobody asleep; one sleeps by the time that he
/// takes the mark away.
fn late_waiter() {
    let (world, event) = (World::new(1), Happening::marked());
    let (fellow, its) = (world.fellow(1), event.clone());
    let sleeps = spawn(move || assert!(fellow.await_it(&its, 0), "nobody died"));
    let its = event.clone();
    let quick = spawn(move || {
        if its.try_wait() {
            its.set();
        }
    });
    event.set();
    quick.join().unwrap();
    sleeps.join().unwrap();
    assert!(!event.try_wait(), "it was set for one");
}

fn setter_dies(death: &Death) {
    let (world, event) = (World::new(1), Happening::new(true));
    let heir = world.worker_of(HEIR, 1);
    let (mortal, waiter) = (world.fellow(MORTAL), world.fellow(1));
    let its = event.clone();
    let waits = spawn(move || waiter.await_it(&its, 0));
    let done = death.of(MORTAL, &world, || {
        mortal.step();
        event.set();
    });
    heir.recover();
    let passed = waits.join().unwrap();
    assert!(passed || done.is_none(), "it was set, and it heard of a death instead");
}

fn waiter_dies(death: &Death) {
    let (world, event) = (World::new(1), Happening::new(true));
    let heir = world.worker_of(HEIR, 1);
    let (mortal, waiter) = (world.fellow(MORTAL), world.fellow(1));
    let its = event.clone();
    // It goes on waiting when it hears of a death. Who passes sets it for the other.
    let waits = spawn(move || {
        let mut deaths = 0;
        while !waiter.await_it(&its, deaths) {
            deaths = Fellow::deaths_in(waiter.news());
        }
        its.set();
    });
    let its = event.clone();
    let sets = spawn(move || its.set());
    let passed = Rc::new(std::cell::Cell::new(false));
    death.of(MORTAL, &world, || {
        mortal.await_it(&event, 0);
        passed.set(true);
        event.set();
    });
    heir.recover();
    if passed.get() {
        // What it had nobody else has.
        event.set();
    }
    waits.join().unwrap();
    sets.join().unwrap();
}

/// Reads two cells, which are alike unless a writer died.
fn look(fellow: &Fellow, sheet: &Sheet, cells: &Cells) {
    let reading = fellow.read(sheet);
    see(cells, reading.died);
    fellow.step();
    see(cells, reading.died);
    fellow.leave(sheet, reading);
}

fn see(cells: &Cells, died: bool) {
    let alike = cells.read(0) == cells.read(1);
    assert!(alike || died, "a change that is half there, without the news of a death");
}

/// Changes them.
fn change(fellow: &Fellow, sheet: &Sheet, cells: &Cells) {
    let died = fellow.write(sheet);
    inside(fellow, cells, died);
    fellow.written(sheet);
}

/// Processes that read or write at once, the first one of them in this thread.
fn sheet_of(readers: u16, writers: u16) {
    let (world, sheet, cells) = (World::new(1), Sheet::new(), Cells::new(2));
    let mine = world.reader(0, 1);
    let act = |at: u16| -> fn(&Fellow, &Sheet, &Cells) { if at < readers { look } else { change } };
    let others: Vec<_> = (1..readers + writers)
        .map(|at| {
            let (fellow, sheet, cells) = (world.reader(at, at + 1), sheet.clone(), cells.clone());
            let act = act(at);
            spawn(move || act(&fellow, &sheet, &cells))
        })
        .collect();
    act(0)(&mine, &sheet, &cells);
    others.into_iter().for_each(|other| other.join().unwrap());
    assert_eq!(mine.try_write(&sheet), Some(false), "it is free");
    assert_eq!(cells.read(0), u64::from(writers), "a change is lost");
}

fn sheet_tries() {
    let (world, sheet, cells) = (World::new(1), Sheet::new(), Cells::new(2));
    let (one, other) = (world.reader(0, 1), world.reader(1, 2));
    let (its_sheet, its_cells) = (sheet.clone(), cells.clone());
    let other = spawn(move || {
        let wrote = other.try_write(&its_sheet);
        if let Some(died) = wrote {
            inside(&other, &its_cells, died);
            other.written(&its_sheet);
        }
        wrote.is_some()
    });
    let read = one.try_read(&sheet);
    if let Some(reading) = read {
        see(&cells, reading.died);
        one.leave(&sheet, reading);
    }
    // Neither may have had it: each saw the other try.
    let wrote = other.join().unwrap();
    assert_eq!(cells.read(0), u64::from(wrote), "a change is lost");
    let again = one.try_read(&sheet).expect("a free lock was not taken");
    assert_eq!(one.try_write(&sheet), None, "it is read");
    one.leave(&sheet, again);
    assert_eq!(one.try_write(&sheet), Some(false), "a free lock was not taken");
    assert!(one.try_read(&sheet).is_none(), "it is written");
}

fn reads_twice() {
    let (world, sheet, cells) = (World::new(1), Sheet::new(), Cells::new(2));
    let (one, other) = (world.reader(0, 1), world.reader(1, 2));
    let (its_sheet, its_cells) = (sheet.clone(), cells.clone());
    let other = spawn(move || change(&other, &its_sheet, &its_cells));
    let first = one.read(&sheet);
    let second = one.read(&sheet);
    see(&cells, second.died);
    one.leave(&sheet, first);
    see(&cells, second.died);
    one.leave(&sheet, second);
    other.join().unwrap();
    assert_eq!(one.try_write(&sheet), Some(false), "it is free");
}

fn reads_alone() {
    let (world, sheet, cells) = (World::new(1), Sheet::new(), Cells::new(2));
    let others = [1, 2].map(|at| {
        let (fellow, sheet, cells) = (world.reader(at, at + 1), sheet.clone(), cells.clone());
        spawn(move || if at == 1 { look } else { change }(&fellow, &sheet, &cells))
    });
    let (mine, first) = (world.reader(0, 1), Sheet::new());
    let slot = mine.read(&first);
    let reading = mine.read(&sheet);
    assert!(reading.is_alone() && !slot.is_alone(), "a slot for each lock");
    see(&cells, reading.died);
    mine.leave(&sheet, reading);
    mine.leave(&first, slot);
    others.into_iter().for_each(|other| other.join().unwrap());
    assert_eq!(mine.try_write(&sheet), Some(false), "it is free");
}

fn downgrades() {
    let (world, sheet, cells) = (World::new(1), Sheet::new(), Cells::new(2));
    let mine = world.reader(0, 1);
    let others = [1, 2].map(|at| {
        let (fellow, sheet, cells) = (world.reader(at, at + 1), sheet.clone(), cells.clone());
        spawn(move || if at == 1 { look } else { change }(&fellow, &sheet, &cells))
    });
    let died = mine.write(&sheet);
    inside(&mine, &cells, died);
    let count = cells.read(0);
    let reading = mine.downgrade(&sheet);
    assert_eq!(cells.read(0), count, "somebody wrote in between");
    mine.leave(&sheet, reading);
    others.into_iter().for_each(|other| other.join().unwrap());
    assert_eq!(cells.read(0), 2, "a change is lost");
}

fn sheet_outside() {
    let (world, sheet, cells) = (World::new(1), Sheet::new(), Cells::new(2));
    let (one, other) = (world.outsider(), world.outsider());
    let (its_sheet, its_cells) = (sheet.clone(), cells.clone());
    let other = spawn(move || change(&other, &its_sheet, &its_cells));
    look(&one, &sheet, &cells);
    other.join().unwrap();
    assert_eq!(one.try_write(&sheet), Some(false), "it is free");
}

/// One dies reading; another writes, and `others` read; the heir recovers when the mortal is dead.
fn reader_dies(death: &Death, others: u16) {
    let (world, sheet, cells) = (World::new(1), Sheet::new(), Cells::new(2));
    let heir = world.worker_of(HEIR, 1);
    let mortal = world.reader(MORTAL, 2);
    let others: Vec<_> = (1..=others + 1)
        .map(|at| {
            let (fellow, sheet, cells) = (world.reader(at, at + 2), sheet.clone(), cells.clone());
            spawn(move || if at == 1 { change } else { look }(&fellow, &sheet, &cells))
        })
        .collect();
    death.of(MORTAL, &world, || look(&mortal, &sheet, &cells));
    heir.recover();
    others.into_iter().for_each(|other| other.join().unwrap());
    let last = world.reader(HEIR, 1);
    assert_eq!(
        last.try_write(&sheet),
        Some(false),
        "one who only read leaves no news, and no count"
    );
}

fn next_in_lane(death: &Death) {
    let (world, sheet, cells) = (World::new(1), Sheet::new(), Cells::new(2));
    let heir = world.worker_of(HEIR, 1);
    let mortal = world.reader(MORTAL, 2);
    let writer = world.reader(1, 3);
    let (its_sheet, its_cells) = (sheet.clone(), cells.clone());
    let other = spawn(move || change(&writer, &its_sheet, &its_cells));
    death.of(MORTAL, &world, || {
        let reading = mortal.read(&sheet);
        see(&cells, reading.died);
        mortal.leave(&sheet, reading);
    });
    heir.recover();
    let next = world.newcomer(MORTAL);
    other.join().unwrap();
    drop(next);
}

/// One dies writing; each of `others` writes, or reads.
fn writer_dies(death: &Death, others: &[bool]) {
    let (world, sheet, cells) = (World::new(1), Sheet::new(), Cells::new(2));
    let heir = world.worker_of(HEIR, 1);
    let mortal = world.reader(MORTAL, 2);
    let others: Vec<_> = others
        .iter()
        .zip(1..)
        .map(|(writes, at)| {
            let act = if *writes { change } else { look };
            let (fellow, sheet, cells) = (world.reader(at, at + 2), sheet.clone(), cells.clone());
            spawn(move || act(&fellow, &sheet, &cells))
        })
        .collect();
    death.of(MORTAL, &world, || change(&mortal, &sheet, &cells));
    heir.recover();
    others.into_iter().for_each(|other| other.join().unwrap());
    let last = world.reader(HEIR, 1);
    let died = last.try_write(&sheet).expect("the lock of the dead is lost");
    see(&cells, died);
}
