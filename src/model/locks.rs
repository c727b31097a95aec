//! Locks, for the models: a [`Fellow`] is a process at a lock, without thread-locals.

use super::World;
use crate::arena::Arena;
use crate::heap::unit::LaneId;
use crate::lock::party::{Party, deaths_in, news_of};
use crate::lock::raw::{RawMutex, Taken};
use crate::lock::raw_barrier::{NotPassed, Passed, RawBarrier};
use crate::lock::raw_event::RawEvent;
use crate::lock::raw_once::RawOnce;
use crate::lock::raw_permits::RawPermits;
use crate::lock::raw_rwlock::{Hold, RawRwLock, Reader};
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
    /// What it reads by, if it does.
    lane: Option<u16>,
    /// Whether its locks lie in no segment.
    is_outside: bool,
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

/// A lock that many may read.
pub struct Sheet(RawRwLock);

impl Sheet {
    /// One that nobody has.
    pub fn new() -> Rc<Sheet> {
        Rc::new(Sheet(RawRwLock::new()))
    }
}

/// A [`Sheet`] that is read.
#[derive(Clone, Copy)]
#[must_use]
pub struct Reading {
    hold: Hold,
    /// Whether one who wrote died.
    pub died: bool,
}

impl Reading {
    /// Whether its reader has the lock alone, as it had no slot to say that it reads.
    pub fn is_alone(&self) -> bool {
        self.hold == Hold::ALONE
    }
}

impl World {
    /// The process of `participant`, which is attached from here on.
    pub fn fellow(self: &Rc<World>, participant: u16) -> Fellow {
        self.make_live(participant);
        Fellow { world: self.clone(), participant, lane: None, is_outside: false }
    }

    /// The same with a lane, from 1, which nobody else uses.
    pub fn reader(self: &Rc<World>, participant: u16, lane: u16) -> Fellow {
        self.claim(participant, lane);
        Fellow { lane: Some(lane), ..self.fellow(participant) }
    }

    /// A thread of a process whose locks lie in no segment.
    pub fn outsider(self: &Rc<World>) -> Fellow {
        Fellow { is_outside: true, ..self.fellow(0) }
    }
}

impl Party for Fellow {
    fn me(&self) -> Who {
        if self.is_outside {
            return Who::SELF_ALONE;
        }
        Who::of(ParticipantId(self.participant).since(0))
    }

    fn deaths(&self) -> Option<&AtomicU64> {
        (!self.is_outside).then(|| &self.world.arena.header().deaths)
    }

    fn is_dead(&self, who: Who, _thoroughly: bool) -> bool {
        let tenure = who.tenure().expect("a participant's word");
        let slot = usize::from(tenure.id.0);
        let is_over = || {
            let word = self.world.arena.participants()[slot].word.load(Acquire);
            let word = ParticipantWord::of(word).expect("a word that makes sense");
            word.counter() != tenure.counter || !matches!(word, ParticipantWord::Live { .. })
        };
        // Acquire: the kernel frees a lock after the process did its last. If it is held, it may be so by the
        // next one in the slot.
        is_over() || self.world.locks[slot].load(Acquire) == 0 || is_over()
    }

    fn look_for_dead(&self) {}
}

impl Reader for Fellow {
    fn key(&self, lock: &RawRwLock) -> u64 {
        // The locks of the models lie in no segment: by what tells them apart.
        core::ptr::from_ref(lock).addr() as u64 >> 3
    }

    fn lane_at_hand(&self) -> Option<LaneId> {
        self.lane.filter(|_| !self.is_outside).map(LaneId)
    }

    fn in_lane<R>(&self, _act: impl FnOnce(LaneId) -> R) -> Option<R> {
        None // where there is one, it is at hand
    }

    fn arena(&self) -> &Arena {
        &self.world.arena
    }
}

impl Fellow {
    /// Takes the lock to read.
    pub fn read(&self, sheet: &Sheet) -> Reading {
        let (hold, taken) = sheet.0.read(self, None).expect("it waits for ever");
        assert!(!taken.panicked, "nobody panicked");
        Reading { hold, died: taken.died }
    }

    /// The same, if it can be had now.
    pub fn try_read(&self, sheet: &Sheet) -> Option<Reading> {
        let (hold, taken) = sheet.0.try_read(self).ok()?;
        Some(Reading { hold, died: taken.died })
    }

    /// Gives it back.
    pub fn leave(&self, sheet: &Sheet, reading: Reading) {
        sheet.0.unlock_read(self, reading.hold);
    }

    /// Takes the lock to write; whether one who wrote before died.
    pub fn write(&self, sheet: &Sheet) -> bool {
        let taken = sheet.0.write(self, None).expect("it waits for ever");
        assert!(!taken.panicked, "nobody panicked");
        taken.died
    }

    /// The same, if it can be had now.
    pub fn try_write(&self, sheet: &Sheet) -> Option<bool> {
        sheet.0.try_write(self).ok().map(|taken| taken.died)
    }

    /// Gives it back.
    pub fn written(&self, sheet: &Sheet) {
        sheet.0.unlock_write(self.me(), false);
    }

    /// Goes on reading what it has written.
    pub fn downgrade(&self, sheet: &Sheet) -> Reading {
        Reading { hold: sheet.0.downgrade(self), died: false }
    }
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
