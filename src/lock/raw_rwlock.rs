//! The reader-writer lock without its value: the writer's word, a bell, and the steps.
//!
//! Who writes takes the word as that of a [mutex](crate::lock::raw), and waits for the readers. Who reads
//! says so in a [slot](crate::lock::read_slot) of its own lane, and so writes to no line that another
//! reader wants.
//!
//! ```text
//! read    r1  slot := lock                                   SeqCst
//!         r2  look at the word                               SeqCst
//!             nobody's, or we read this lock already: in
//!         r3  else leave, and wait as for a mutex:
//!             dead   CAS exactly this word → free | DIED; wake all
//!             held   CAS word → word | WAITERS; sleep while the word is that and deaths is news; again
//! leave   r4  slot := 0, or one less                         SeqCst
//!         r5  look at the word: somebody's: gate + 1, wake   SeqCst
//! write   w1  take the word as m1 to m3
//!         w2  fence
//!         w3  news := deaths; seen := gate                   before the look
//!         w4  look at the slots of all lanes: of none of the living: in
//!             else sleep while gate is seen and deaths is news; w3 again
//! unlock  w5  CAS me → 0, else CAS word → its flags without WAITERS
//!         w6  there were WAITERS: wake all                   readers and writers sleep on one word
//! ```
//!
//! **A reader keeps writers out, a writer readers**: of r1 and w2 the later one is seen by the look
//! behind it: in r2 the word is somebody's, or in w4 the slot is the lock's. **No wake-up is lost, of the
//! writer**: if w4 saw the slot, then r4 came behind w2, and r5 sees the word; what r5 adds to the gate
//! comes behind r4, and so behind w3. That is so for a reader who only gives way, too. **Of readers**: as
//! in the mutex. Outside of segments, where nobody has a lane, the upper half of the gate counts readers,
//! in the place of the slots.
//!
//! A lane is looked at with its owner before and behind: what a dead one had may be another's by now, who does
//! not read.
//!
//! | dies | is left | who goes on |
//! |---|---|---|
//! | reader, from r1 to r4 | the slot | a writer's verdict on the lane's owner; recovery clears it |
//! | reader, between r4 and r5, or in r5 before it wakes | a writer asleep | `deaths` |
//! | writer in w1 to w4 | the word, or with it UNTOUCHED, if it has slept | who comes next, as for a mutex; with UNTOUCHED there is no news |
//! | writer inside | the word | the next: a writer takes it, a reader frees it; DIED |
//! | writer between w5 and w6 | others asleep | `deaths`, and the slice of each sleeper |
//!
//! A thread that reads more locks at once than it has slots, or has no lane, reads as owner of the word, with
//! UNTOUCHED: alone, but safe. If it reads that one again, it waits for itself.
//!
//! **Hunger**: writers cannot starve, as the word keeps new readers out. A reader that has waited long
//! sets HUNGRY, so that a writer who has not slept does so once before it takes a free word; the reader
//! takes it back when it is in, and wakes whoever stood back.

use crate::arena::Arena;
use crate::heap::unit::LaneId;
use crate::lock::party::{Party, Patience, news_of};
use crate::lock::raw::{Held, RawMutex, Taken};
use crate::lock::read_slot::{READS, ReadSlot};
use crate::lock::word::{HUNGRY, UNTOUCHED, WAITERS, Who};
use crate::process::lane::{LaneOwner, LaneRecord};
use crate::sync::futex::{self, Moment, Woken, low_half};
use crate::sync::{AcqRel, Acquire, AtomicU64, Relaxed, Release, SeqCst, fence, fence_in_models};

/// A process at a lock that it may read.
pub trait Reader: Party {
    /// What the slots of lanes call the lock: not 0, and less than 2⁴⁴.
    fn key(&self, lock: &RawRwLock) -> u64;
    /// This thread's lane, if that is known at once.
    fn lane_at_hand(&self) -> Option<LaneId>;
    /// Has `act` at this thread's lane, which stays its own meanwhile, and afterwards this process', if it
    /// says by then that it reads. `None`: no lane can be had.
    fn in_lane<R>(&self, act: impl FnOnce(LaneId) -> R) -> Option<R>;
    /// The segment; asked only where there is a word of `deaths`.
    fn arena(&self) -> &Arena;
}

/// The writer's word and the gate. All zero: free.
#[repr(C)]
pub struct RawRwLock {
    writer: RawMutex,
    /// Low half: what the writer sleeps on who waits for readers; changed by each who may be the last of them.
    /// High half: readers, if the lock lies in no segment.
    gate: AtomicU64,
}

const ONE_COUNTED: u64 = 1 << 32;

/// By what a reader keeps writers out: one word, as it goes through memory on the way from the lock to its
/// guard, and one of several parts would be written by parts and read whole, for which the processor waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hold(u64);

impl Hold {
    /// The count of a lock that lies in no segment.
    const COUNTED: Hold = Hold(u64::MAX);
    /// The writer's word.
    pub const ALONE: Hold = Hold(u64::MAX - 1);

    /// A slot of a lane.
    fn slot(lane: LaneId, index: usize) -> Hold {
        Hold(u64::from(lane.0) << 8 | index as u64)
    }

    fn lane(self) -> LaneId {
        LaneId((self.0 >> 8) as u16)
    }

    fn index(self) -> usize {
        usize::from(self.0 as u8)
    }
}

/// Why a reader is not in.
enum NotIn {
    /// There is a writer.
    Written,
    /// All its slots say that it reads other locks.
    NoSlot,
}

/// How a lock was taken to read what may have had to be mended.
pub struct Mended<M> {
    pub hold: Hold,
    pub taken: Taken,
    /// What was said by who mended; `None`: nothing had to be.
    pub said: Option<M>,
}

impl RawRwLock {
    #[cfg(not(loom))]
    pub const fn new() -> RawRwLock {
        RawRwLock { writer: RawMutex::new(), gate: AtomicU64::new(0) }
    }

    #[cfg(loom)]
    pub fn new() -> RawRwLock {
        RawRwLock { writer: RawMutex::new(), gate: AtomicU64::new(0) }
    }

    /// Takes the lock to read, waiting `until` then at most.
    #[inline(always)]
    pub fn read(&self, party: &impl Reader, until: Option<Moment>) -> Result<(Hold, Taken), Held> {
        match self.enter(party) {
            Ok((hold, word)) => Ok((hold, Taken::of(word))),
            Err(_) => self.read_slow(party, until),
        }
    }

    /// The same if nobody writes.
    pub fn try_read(&self, party: &impl Reader) -> Result<(Hold, Taken), Held> {
        loop {
            match self.enter(party) {
                Ok((hold, word)) => return Ok((hold, Taken::of(word))),
                Err(NotIn::NoSlot) => return Ok(self.alone(self.writer.try_lock(party)?)),
                Err(NotIn::Written) => {}
            }
            let word = self.writer.look();
            let owner = Who::in_word(word);
            if owner == Who::NOBODY {
                continue; // by now
            }
            if owner == party.me() || !party.is_dead(owner, false) {
                return Err(Held);
            }
            self.writer.bury(word);
        }
    }

    /// Takes the lock to read what a dead writer may have left half changed, or this process has not looked at yet:
    /// then `mend` is called by the owner of the word, who goes on as a reader, with nobody in between. `until`:
    /// `Some(None)`: as long as it takes; `None`: it only tries.
    ///
    /// Who reads already, and does once more, has the value as it is: since it came in nobody has written.
    #[inline(always)]
    pub fn read_whole<M>(
        &self,
        party: &impl Reader,
        until: Option<Option<Moment>>,
        is_known: impl FnOnce() -> bool,
        mend: impl FnOnce(Taken) -> Result<M, Held>,
    ) -> Result<Mended<M>, Held> {
        let (hold, taken) = match until {
            Some(until) => self.read(party, until),
            None => self.try_read(party),
        }?;
        let is_whole = !taken.died && !self.writer.is_fresh() && is_known();
        if is_whole || self.reads_already(party, hold) {
            return Ok(Mended { hold, taken, said: None });
        }
        self.unlock_read(party, hold);
        self.read_by_word(party, until, mend)
    }

    #[cold]
    fn read_by_word<M>(
        &self,
        party: &impl Reader,
        until: Option<Option<Moment>>,
        mend: impl FnOnce(Taken) -> Result<M, Held>,
    ) -> Result<Mended<M>, Held> {
        let taken = match until {
            Some(until) => self.writer.lock(party, until),
            None => self.writer.try_lock(party),
        }?;
        // Our death is no news: what we mend another mends, and who died before is in the word.
        self.mark_untouched();
        match mend(taken) {
            Ok(said) => Ok(Mended { hold: self.downgrade(party), taken, said: Some(said) }),
            Err(Held) => {
                self.writer.remember_death();
                self.unlock_write(party.me(), false);
                Err(Held)
            }
        }
    }

    /// Whether who has just come in by `hold` read the lock before.
    #[cold]
    fn reads_already(&self, party: &impl Reader, hold: Hold) -> bool {
        if matches!(hold, Hold::COUNTED | Hold::ALONE) {
            return false;
        }
        let (slots, key) = (&party.arena().lane(hold.lane()).reads, party.key(self));
        slots.iter().enumerate().any(|(index, slot)| {
            let least = if index == hold.index() { 2 } else { 1 };
            // Relaxed: what it says is of our own making.
            let (of, count) = ReadSlot::parts(slot.word().load(Relaxed));
            of == key && count >= least
        })
    }

    #[cold]
    fn read_slow(&self, party: &impl Reader, until: Option<Moment>) -> Result<(Hold, Taken), Held> {
        let me = party.me();
        self.writer.spin();
        let mut patience = Patience::until(until);
        // As in the mutex.
        let mut lives = (Who::NOBODY, 0);
        let mut thoroughly = false;
        loop {
            let news = news_of(party);
            let word = self.writer.look();
            let owner = Who::in_word(word);
            if owner == Who::NOBODY {
                match self.enter(party) {
                    Ok((hold, word)) => {
                        self.sate(word);
                        return Ok((hold, Taken::of(word)));
                    }
                    Err(NotIn::NoSlot) => {
                        return Ok(self.alone(self.writer.lock(party, until)?));
                    }
                    // Another has come to write.
                    Err(NotIn::Written) if !patience.is_over() => continue,
                    Err(NotIn::Written) => return Err(Held),
                }
            }
            if owner != me && (lives != (owner, news) || thoroughly) {
                if party.is_dead(owner, thoroughly) {
                    self.writer.bury(word);
                    continue;
                }
                (lives, thoroughly) = ((owner, news), false);
            }
            patience.wait_for(owner);
            if patience.is_over() {
                return Err(Held);
            }
            let waiting = word | WAITERS | if patience.is_hungry() { HUNGRY } else { 0 };
            // Relaxed: it tells who unlocks to wake, and nothing else.
            if waiting != word
                && self.writer.0.compare_exchange(word, waiting, Relaxed, Relaxed).is_err()
            {
                continue;
            }
            let heard = (&self.writer.0, low_half(waiting));
            thoroughly = patience.sleep(party, heard, news) == Woken::TimedOut;
        }
    }

    /// r1 to r3: the word in which there was no writer.
    #[inline(always)]
    fn enter(&self, party: &impl Reader) -> Result<(Hold, u64), NotIn> {
        match party.lane_at_hand() {
            Some(lane) => self.enter_by(party, lane),
            None => self.enter_elsewhere(party),
        }
    }

    /// Out of the way of the rest, which so keeps in registers what it has.
    #[cold]
    #[inline(never)]
    fn enter_elsewhere(&self, party: &impl Reader) -> Result<(Hold, u64), NotIn> {
        if party.deaths().is_none() {
            return self.enter_counted(party);
        }
        party.in_lane(|lane| self.enter_by(party, lane)).unwrap_or(Err(NotIn::NoSlot))
    }

    /// The same by the slots of a lane that is this thread's.
    #[inline(always)]
    fn enter_by(&self, party: &impl Reader, lane: LaneId) -> Result<(Hold, u64), NotIn> {
        let (slots, key) = (&party.arena().lane(lane).reads, party.key(self));
        let reads_beside = |but: usize| {
            slots.iter().enumerate().any(|(index, slot)| index != but && slot.is_of(key))
        };
        // Relaxed: only not to disturb a writer for nothing.
        if is_written(self.writer.0.load(Relaxed)) && !reads_beside(READS) {
            return Err(NotIn::Written);
        }
        let Some((index, again)) = ReadSlot::enter(slots, key) else {
            return Err(NotIn::NoSlot);
        };
        let hold = Hold::slot(lane, index);
        // SeqCst: see `ReadSlot::enter`. Acquire pairs with the Release of unlock: what the last writer did.
        let word = self.writer.0.load(SeqCst);
        // With a guard of ours there, a writer only waits.
        if !is_written(word) || again || reads_beside(index) {
            return Ok((hold, word));
        }
        self.unlock_read(party, hold);
        Err(NotIn::Written)
    }

    /// The same where nobody has a lane.
    #[cold]
    fn enter_counted(&self, party: &impl Reader) -> Result<(Hold, u64), NotIn> {
        if is_written(self.writer.0.load(Relaxed)) {
            return Err(NotIn::Written);
        }
        self.change_gate(|gate| {
            gate.checked_add(ONE_COUNTED).expect("a lock has four thousand million readers")
        });
        fence_in_models();
        let word = self.writer.0.load(SeqCst); // as above
        if is_written(word) {
            self.unlock_read(party, Hold::COUNTED);
            return Err(NotIn::Written);
        }
        Ok((Hold::COUNTED, word))
    }

    /// What one has who took the word to read.
    #[cold]
    fn alone(&self, taken: Taken) -> (Hold, Taken) {
        self.mark_untouched();
        (Hold::ALONE, taken)
    }

    /// Has those look again who stood back for a reader who is in now and saw `word`.
    fn sate(&self, mut word: u64) {
        while !is_written(word) && word & HUNGRY != 0 {
            let sated = word & !(HUNGRY | WAITERS);
            // Relaxed: it tells who comes not to stand back, and nothing else.
            match self.writer.0.compare_exchange(word, sated, Relaxed, Relaxed) {
                Ok(_) if word & WAITERS != 0 => {
                    futex::wake(&self.writer.0, u32::MAX);
                    return;
                }
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    /// r4 and r5: the end of what was read by `hold`.
    #[inline(always)]
    pub fn unlock_read(&self, party: &impl Reader, hold: Hold) {
        match hold {
            Hold::COUNTED => {
                self.change_gate(|gate| gate.saturating_sub(ONE_COUNTED));
                fence_in_models();
            }
            Hold::ALONE => return self.unlock_write(party.me(), false),
            _ => party.arena().lane(hold.lane()).reads[hold.index()].leave(party.key(self)),
        }
        // SeqCst: see `ReadSlot::leave`.
        if is_written(self.writer.0.load(SeqCst)) {
            self.tell();
        }
    }

    /// Has the writer look again.
    #[cold]
    fn tell(&self) {
        self.change_gate(|gate| {
            let bell = low_half(gate).wrapping_add(1);
            gate & !u64::from(u32::MAX) | u64::from(bell)
        });
        futex::wake(&self.gate, u32::MAX);
    }

    /// SeqCst: see `ReadSlot::enter`; of that, Release pairs with w3: who sees the new gate sees the slot
    /// as well.
    fn change_gate(&self, change: impl Fn(u64) -> u64) {
        let mut gate = self.gate.load(Relaxed);
        while let Err(now) = self.gate.compare_exchange(gate, change(gate), SeqCst, Relaxed) {
            gate = now;
        }
    }

    /// Takes the lock to write, waiting `until` then at most.
    #[inline]
    pub fn write(&self, party: &impl Reader, until: Option<Moment>) -> Result<Taken, Held> {
        let taken = self.writer.lock(party, until)?;
        fence(SeqCst); // w2, partners: r1 and r4
        if self.is_read(party, false) {
            self.await_readers(party, until)?;
        }
        Ok(taken)
    }

    /// The same if nobody has it.
    pub fn try_write(&self, party: &impl Reader) -> Result<Taken, Held> {
        let taken = self.writer.try_lock(party)?;
        fence(SeqCst); // w2
        if self.is_read(party, false) {
            self.unlock_write(party.me(), false);
            return Err(Held);
        }
        Ok(taken)
    }

    /// w3 and w4, by the owner of the word. If the time is over it is given back.
    #[cold]
    fn await_readers(&self, party: &impl Reader, until: Option<Moment>) -> Result<(), Held> {
        self.mark_untouched();
        let mut patience = Patience::until(until);
        let mut thoroughly = false;
        loop {
            let news = news_of(party);
            // Acquire pairs with `tell`: if this is the new one, the look behind it sees why.
            let seen = low_half(self.gate.load(Acquire));
            if !self.is_read(party, thoroughly) {
                // Acquire: the value is written behind it, so that a death in between is news.
                self.writer.0.fetch_and(!UNTOUCHED, AcqRel);
                return Ok(());
            }
            if patience.is_over() {
                self.unlock_write(party.me(), false);
                return Err(Held);
            }
            thoroughly = patience.sleep(party, (&self.gate, seen), news) == Woken::TimedOut;
        }
    }

    /// Says of the word, which is ours, that its owner is not at the value, or not any more.
    fn mark_untouched(&self) {
        // Release: what was done to the value was done before.
        self.writer.0.fetch_or(UNTOUCHED, Release);
    }

    /// w4: whether anybody reads who is not dead.
    #[inline]
    fn is_read(&self, party: &impl Reader, thoroughly: bool) -> bool {
        if party.deaths().is_none() {
            // Acquire pairs with the end of a reader.
            return self.gate.load(Acquire) >= ONE_COUNTED;
        }
        let key = party.key(self);
        party
            .arena()
            .lanes()
            .any(|(_, lane)| is_read_in(lane, key) && reader_of(lane, key, party, thoroughly))
    }

    /// Gives the lock back, if it is `me` who writes.
    #[inline(always)]
    pub fn unlock_write(&self, me: Who, panicked: bool) {
        // Release pairs with who takes it next: what we did is done.
        if panicked || self.writer.0.compare_exchange(me.0, 0, Release, Relaxed).is_err() {
            self.unlock_write_slow(me, panicked);
        }
    }

    #[cold]
    fn unlock_write_slow(&self, me: Who, panicked: bool) {
        let word = self.writer.release(me, panicked);
        if word & WAITERS != 0 {
            futex::wake(&self.writer.0, u32::MAX);
        }
    }

    /// Makes a reader of the one who writes, with nobody in between.
    pub fn downgrade(&self, party: &impl Reader) -> Hold {
        let hold = if party.deaths().is_none() {
            self.change_gate(|gate| gate + ONE_COUNTED);
            Hold::COUNTED
        } else {
            let enter = |lane| {
                let slots = &party.arena().lane(lane).reads;
                let (index, _) = ReadSlot::enter(slots, party.key(self))?;
                Some(Hold::slot(lane, index))
            };
            party.in_lane(enter).flatten().unwrap_or(Hold::ALONE)
        };
        match hold {
            Hold::ALONE => self.mark_untouched(),
            // Behind the slot: whoever takes the word next sees it.
            _ => self.unlock_write(party.me(), false),
        }
        hold
    }

    /// Whether a writer panicked or died, and nobody has cleared it since.
    pub fn poison(&self) -> Taken {
        self.writer.poison()
    }

    /// The writer's word.
    #[inline(always)]
    pub fn writer(&self) -> &RawMutex {
        &self.writer
    }
}

fn is_written(word: u64) -> bool {
    Who::in_word(word) != Who::NOBODY
}

fn is_read_in(lane: &LaneRecord, key: u64) -> bool {
    lane.reads.iter().any(|slot| slot.is_of(key))
}

/// Whether who reads in `lane` is alive; a lane changes its owner meanwhile as often as threads come and go.
#[cold]
fn reader_of(lane: &LaneRecord, key: u64, party: &impl Reader, thoroughly: bool) -> bool {
    let tenure = || {
        // Acquire pairs with the CAS that took the lane: what the last owner left in its slots is gone.
        let word = lane.owner.load(Acquire);
        LaneOwner::of(word).and_then(LaneOwner::tenure)
    };
    let mut owner = tenure();
    loop {
        if !is_read_in(lane, key) {
            return false;
        }
        // Behind the slot, whose Acquire shows the owner that set it, or a later one.
        let now = tenure();
        if now == owner {
            break;
        }
        owner = now;
    }
    let reader = owner.map(Who::of);
    reader.is_some_and(|who| who == party.me() || !party.is_dead(who, thoroughly))
}
