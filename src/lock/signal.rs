//! The condition variable without its mutex: one word, and the steps.
//!
//! ```text
//! bit 0       somebody may sleep
//! bits 1–63   how often it was notified
//! ```
//!
//! ```text
//! wait    c1  news := deaths                                 before the look at the condition
//!         c2  seen := word.fetch_or(1) | 1                   while the mutex is held
//!         c3  unlock; sleep while the word is seen and deaths is news; lock again
//! one     c4  word.fetch_add(2); bit 0 was set: wake one
//!         c5  nobody was there to be woken: as all, if the word is still the same
//! all     c6  word := (word + 2) without bit 0; bit 0 was set: wake all
//! ```
//!
//! **No notice is lost**: c2 comes before the unlock, so that a notifier who saw or made the condition true
//! in the mutex after that changes the word after c2, and the kernel compares it in the same step in which it
//! puts the sleeper to sleep. **Bit 0 goes only in a step that changes the count, and wakes all who slept on
//! the old one**: to clear it after a wake-up that found nobody would forget one who has gone to sleep in
//! between, as c2 leaves a word alone that has the bit.
//!
//! | dies | is left | who goes on |
//! |---|---|---|
//! | before c4 or c6, having made the condition true | sleepers | `deaths`: they look at the condition again |
//! | before its wake-up, or woken and not yet looking | likewise | likewise |
//! | asleep | bit 0: a needless wake-up | |
//!
//! 2³¹ notices between c2 and the kernel's compare would look like none.

use crate::lock::party::{Party, Patience, news_of};
use crate::sync::futex::{self, Heard, Moment, Woken, low_half};
use crate::sync::{AcqRel, AtomicU64, Relaxed};

const SLEEPERS: u64 = 1;
const ONE_NOTICE: u64 = 2;

/// The word. All zero: nobody sleeps.
#[repr(transparent)]
pub struct Signal(AtomicU64);

/// How a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// It was notified, or somebody died, or for no reason: look again.
    Woken,
    /// The time is over.
    TimedOut,
}

impl Signal {
    #[cfg(not(loom))]
    pub const fn new() -> Signal {
        Signal(AtomicU64::new(0))
    }

    #[cfg(loom)]
    pub fn new() -> Signal {
        Signal(AtomicU64::new(0))
    }

    /// c2 and c3, but for taking the mutex again: called while it is held, `unlock` gives it back. `news` are
    /// of before whatever was looked at to see that there is reason to wait.
    pub fn wait(
        &self,
        party: &impl Party,
        news: u64,
        until: Option<Moment>,
        unlock: impl FnOnce(),
    ) -> Ended {
        let mut patience = Patience::until(until);
        let seen = self.mark();
        unlock();
        loop {
            let woken = patience.sleep(party, self.heard(seen), news);
            let is_news = || self.0.load(Relaxed) | SLEEPERS != seen || news_of(party) != news;
            if woken == Woken::Perhaps || is_news() {
                return Ended::Woken;
            }
            if patience.is_over() {
                return Ended::TimedOut;
            }
            party.look_for_dead();
        }
    }

    /// c2: says that somebody will sleep; the word by which a notice after this is told.
    pub fn mark(&self) -> u64 {
        // Where a mutex is held, it orders this before whatever a notifier does in it; elsewhere this and
        // c4 are read-modify-writes of one word, with AcqRel: the later one sees what was before the other.
        self.0.fetch_or(SLEEPERS, AcqRel) | SLEEPERS
    }

    /// Whether somebody may sleep. Relaxed: who asks has a full fence before it, and so does who marked, behind
    /// that.
    #[inline(always)]
    pub fn is_marked(&self) -> bool {
        self.0.load(Relaxed) & SLEEPERS != 0
    }

    /// What to sleep on after `mark`.
    pub fn heard(&self, seen: u64) -> Heard<'_> {
        (&self.0, low_half(seen))
    }

    pub fn notify_one(&self) {
        // Release, and Acquire of the waiters' c2: the condition is looked at in the mutex, which orders
        // it; who notifies without it has what it did before seen all the same.
        let before = self.0.fetch_add(ONE_NOTICE, AcqRel);
        if before & SLEEPERS != 0 && futex::wake(&self.0, 1) == 0 {
            self.silence(before.wrapping_add(ONE_NOTICE));
        }
    }

    pub fn notify_all(&self) {
        let mut word = self.0.load(Relaxed);
        while !self.silence(word) {
            word = self.0.load(Relaxed);
        }
    }

    /// c6, if the word is `word`.
    fn silence(&self, word: u64) -> bool {
        let quiet = word.wrapping_add(ONE_NOTICE) & !SLEEPERS;
        let done = self.0.compare_exchange(word, quiet, AcqRel, Relaxed).is_ok();
        if done && word & SLEEPERS != 0 {
            futex::wake(&self.0, u32::MAX);
        }
        done
    }
}
