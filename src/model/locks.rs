//! Locks, for the models: a [`Fellow`] is a process at a lock, without thread-locals.

use super::World;
use crate::lock::party::{Party, deaths_in, news_of};
use crate::lock::raw::{RawMutex, Taken};
use crate::lock::raw_barrier::{NotPassed, Passed, RawBarrier};
use crate::lock::raw_event::RawEvent;
use crate::lock::raw_once::RawOnce;
use crate::lock::raw_permits::RawPermits;
use crate::lock::raw_semaphore::RawSemaphore;
use crate::lock::signal::Signal;
use crate::lock::word::Who;
use crate::process::participant::{ParticipantId, ParticipantRecord, ParticipantWord};
use crate::sync::{Acquire, AtomicU64, Release};
use std::rc::Rc;

/// A process, as the locks of a segment know it. Its sleeps have no end but being woken.
pub struct Fellow {
    world: Rc<World>,
    participant: u16,
}

/// A lock. Share one among the threads of an execution.
pub struct Lock(RawMutex);

impl Lock {
    /// One that nobody has.
    pub fn new() -> Rc<Lock> {
        Rc::new(Lock(RawMutex::new()))
    }

    /// Whether somebody has it.
    pub fn is_held(&self) -> bool {
        self.0.owner() != Who::NOBODY
    }
}

/// A condition variable.
pub struct Notice(Signal);

impl Notice {
    /// One that nobody waits for.
    pub fn new() -> Rc<Notice> {
        Rc::new(Notice(Signal::new()))
    }
}

/// What is done once.
pub struct Task(RawOnce);

impl Task {
    /// One that nobody has begun.
    pub fn new() -> Rc<Task> {
        Rc::new(Task(RawOnce::new()))
    }
}

/// One permit.
pub struct Pass {
    slots: [AtomicU64; 1],
    signal: Signal,
}

impl Pass {
    /// One that nobody has.
    pub fn new() -> Rc<Pass> {
        Rc::new(Pass { slots: [AtomicU64::new(0)], signal: Signal::new() })
    }

    fn raw(&self) -> RawPermits<'_> {
        RawPermits { slots: &self.slots, signal: &self.signal }
    }
}

/// A semaphore.
pub struct Count(RawSemaphore);

impl Count {
    /// With a count of 0.
    pub fn new() -> Rc<Count> {
        Rc::new(Count(RawSemaphore::new(0)))
    }

    /// With a count of 0, and marked as if somebody slept.
    pub fn marked() -> Rc<Count> {
        Rc::new(Count(RawSemaphore::marked()))
    }

    /// Takes one, if there is one.
    pub fn try_take(&self) -> bool {
        self.0.try_acquire().is_ok()
    }

    /// Adds one.
    pub fn add(&self) {
        self.0.release(1).expect("a small count");
    }
}

/// An event.
pub struct Happening(RawEvent);

impl Happening {
    /// Not set; for one who waits, or for all.
    pub fn new(is_for_one: bool) -> Rc<Happening> {
        Rc::new(Happening(RawEvent::new(is_for_one)))
    }

    /// For one who waits, not set, and marked as if somebody slept.
    pub fn marked() -> Rc<Happening> {
        Rc::new(Happening(RawEvent::marked()))
    }

    /// Sets it.
    pub fn set(&self) {
        self.0.set();
    }

    /// Resets it.
    pub fn reset(&self) {
        self.0.reset();
    }

    /// Passes, if it is set.
    pub fn try_wait(&self) -> bool {
        self.0.try_wait().is_ok()
    }
}

/// A barrier.
pub struct Gate(RawBarrier);

/// What came of waiting at a [`Gate`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtGate {
    /// It opened, and this one was the last to come.
    Last,
    /// It opened.
    Passed,
    /// Somebody died: to be mended.
    Broken(crate::lock::raw_barrier::Round),
}

impl Gate {
    /// For so many.
    pub fn new(parties: u16) -> Rc<Gate> {
        Rc::new(Gate(RawBarrier::new(parties)))
    }

    /// Begins anew for so many, if it is the first to do so.
    pub fn mend(&self, broken: AtGate, parties: u16) -> bool {
        let AtGate::Broken(round) = broken else { panic!("it was passed") };
        self.0.mend(round, parties)
    }
}

impl World {
    /// The process of `participant`, which is attached from here on.
    pub fn fellow(self: &Rc<World>, participant: u16) -> Fellow {
        self.make_live(participant);
        Fellow { world: self.clone(), participant }
    }
}

impl Party for Fellow {
    fn me(&self) -> Who {
        Who::of(ParticipantId(self.participant).since(0))
    }

    fn deaths(&self) -> Option<&AtomicU64> {
        Some(&self.world.arena.header().deaths)
    }

    fn is_dead(&self, who: Who, _thoroughly: bool) -> bool {
        let tenure = who.tenure().expect("a participant's word");
        let slot = usize::from(tenure.id.0);
        let word = self.world.arena.participants()[slot].word.load(Acquire);
        let word = ParticipantWord::of(word).expect("a word that makes sense");
        let is_live = matches!(word, ParticipantWord::Live { .. });
        // Acquire: the kernel frees a lock after the process did its last.
        word.counter() != tenure.counter || !is_live || self.world.locks[slot].load(Acquire) == 0
    }

    fn look_for_dead(&self) {}
}

impl Fellow {
    fn record(&self) -> &ParticipantRecord {
        &self.world.arena.participants()[usize::from(self.participant)]
    }

    /// A write of its own, before which it may die.
    pub fn step(&self) {
        self.record().attached_at.store(1, Release);
    }

    /// Takes the lock; whether a holder died.
    pub fn lock(&self, lock: &Lock) -> bool {
        let Taken { died, panicked } = lock.0.lock(self, None).expect("it waits for ever");
        assert!(!panicked, "nobody panicked");
        died
    }

    /// The same, if it can be had now.
    pub fn try_lock(&self, lock: &Lock) -> Option<bool> {
        lock.0.try_lock(self).ok().map(|taken| taken.died)
    }

    /// Gives it back.
    pub fn unlock(&self, lock: &Lock) {
        lock.0.unlock(self.me(), false);
    }
}

impl Fellow {
    /// News of deaths.
    pub fn news(&self) -> u64 {
        news_of(self)
    }

    /// How many deaths they are.
    pub fn deaths_in(news: u64) -> u64 {
        deaths_in(news)
    }

    /// Gives the lock back, sleeps until there is notice, or other news, and takes it again; whether a holder
    /// died.
    pub fn wait(&self, notice: &Notice, news: u64, lock: &Lock) -> bool {
        notice.0.wait(self, news, None, || self.unlock(lock));
        self.lock(lock)
    }

    /// Wakes one who waits.
    pub fn notify_one(&self, notice: &Notice) {
        notice.0.notify_one();
    }

    /// Wakes all who wait.
    pub fn notify_all(&self, notice: &Notice) {
        notice.0.notify_all();
    }

    /// Has it done, by `act` or by another.
    pub fn once(&self, task: &Task, act: impl FnOnce()) {
        task.0.call(self, None, act).expect("it waits for ever");
    }

    /// Takes the permit; whether who had it before is dead.
    pub fn acquire(&self, pass: &Pass) -> bool {
        pass.raw().acquire(self, None).expect("it waits for ever").was_abandoned
    }

    /// The same, if it can be had now.
    pub fn try_acquire(&self, pass: &Pass) -> Option<bool> {
        pass.raw().try_acquire(self).ok().map(|had| had.was_abandoned)
    }

    /// Gives it back.
    pub fn release(&self, pass: &Pass) {
        pass.raw().release(0, self.me());
    }

    /// Takes one, waiting for it; false: there is none, and `deaths` is not how many have died.
    pub fn take(&self, count: &Count, deaths: u64) -> bool {
        count.0.acquire(self, None, |news| deaths_in(news) != deaths).is_ok()
    }

    /// Waits until it is set; false: it is not, and `deaths` is not how many have died.
    pub fn await_it(&self, event: &Happening, deaths: u64) -> bool {
        event.0.wait(self, None, |news| deaths_in(news) != deaths).is_ok()
    }

    /// Waits for the others at `gate`, unless `deaths` is not how many have died.
    pub fn meet(&self, gate: &Gate, deaths: u64) -> AtGate {
        match gate.0.wait(self, None, |news| deaths_in(news) != deaths) {
            Ok(Passed::Last) => AtGate::Last,
            Ok(Passed::WithOthers) => AtGate::Passed,
            Err(NotPassed::SomeoneDied(round)) => AtGate::Broken(round),
            Err(NotPassed::TimedOut) => unreachable!("it has no time"),
        }
    }
}
