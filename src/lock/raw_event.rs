//! An event: one word, and the steps.
//!
//! ```text
//! bit 0       somebody may sleep
//! bit 1       it is set
//! bit 2       who waited for it resets it
//! bits 3–63   how often it was set
//! ```
//!
//! ```text
//! wait   e1  news := deaths; look at the word
//!            set         if who waits resets it: CAS word → not set
//!            set since the first look, and reset by another than who waits:   it was waited for all the same
//!            not set     CAS word → SLEEPERS; sleep while the word is that and deaths is news
//! set    e2  CAS word → set, once more; without SLEEPERS, if it is for all
//!        e3  SLEEPERS was set: wake all; or, if it is for one: wake one
//!        e4  nobody was there to be woken: CAS the word of e2 → without SLEEPERS
//! reset  e5  the word without the bit
//! ```
//!
//! **No wake-up is lost**: who sleeps has seen the event not set, with SLEEPERS in the word, and the kernel compares
//! that in the step in which it puts him to sleep; e2 changes it and finds the bit in one step. The bit goes with
//! a wake-up for all, or where none was asleep and the word is still that of e2: set, so that nobody went to sleep
//! since. **Who waited when it was set for all has it**, though it is reset
//! before he looks: the count is another.
//!
//! | dies | is left | who goes on |
//! |---|---|---|
//! | having had what is for one | not set: nobody else has it | who waits asks for deaths |
//! | between e2 and e3, or woken and not yet at e1 | set, and others asleep | `deaths`, and the slice of each sleeper |

use crate::lock::party::{Party, Patience, news_of};
use crate::lock::raw::Held;
use crate::sync::futex::{self, Moment, Woken, low_half};
use crate::sync::{Acquire, AtomicU64, Relaxed, Release};

const SLEEPERS: u64 = 1;
const SET: u64 = 2;
const FOR_ONE: u64 = 4;
const ONE_MORE: u64 = 8;

/// The word. All zero: not set, and for all.
#[repr(transparent)]
pub struct RawEvent(AtomicU64);

impl RawEvent {
    #[cfg(not(loom))]
    pub const fn new(is_for_one: bool) -> RawEvent {
        RawEvent(AtomicU64::new(if is_for_one { FOR_ONE } else { 0 }))
    }

    #[cfg(loom)]
    pub fn new(is_for_one: bool) -> RawEvent {
        RawEvent(AtomicU64::new(if is_for_one { FOR_ONE } else { 0 }))
    }

    /// For one, not set, and as who has waited and gone leaves it.
    #[cfg(loom)]
    pub fn marked() -> RawEvent {
        RawEvent(AtomicU64::new(FOR_ONE | SLEEPERS))
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Relaxed) & SET != 0
    }

    /// Resets it, if that is for who waits; whether it was set.
    pub fn try_wait(&self) -> Result<(), Held> {
        let mut word = self.look();
        while word & SET != 0 {
            match self.have(word) {
                Ok(()) => return Ok(()),
                Err(now) => word = now,
            }
        }
        Err(Held)
    }

    /// Waits until it is set, or the time is over, or `is_news` of the news of deaths from before the last look.
    pub fn wait(
        &self,
        party: &impl Party,
        until: Option<Moment>,
        is_news: impl Fn(u64) -> bool,
    ) -> Result<(), Held> {
        let mut patience = Patience::until(until);
        let mut first = None;
        loop {
            let news = news_of(party);
            let word = self.look();
            if word & SET != 0 {
                if self.have(word).is_ok() {
                    return Ok(());
                }
                continue;
            }
            let count = word / ONE_MORE;
            if word & FOR_ONE == 0 && *first.get_or_insert(count) != count {
                return Ok(());
            }
            if is_news(news) || patience.is_over() {
                return Err(Held);
            }
            let waiting = word | SLEEPERS;
            // Relaxed: it tells who sets it to wake, and nothing else.
            if waiting != word && self.0.compare_exchange(word, waiting, Relaxed, Relaxed).is_err()
            {
                continue;
            }
            if patience.sleep(party, (&self.0, low_half(waiting)), news) == Woken::TimedOut {
                party.look_for_dead();
            }
        }
    }

    /// e1, the look. Acquire pairs with e2, of which what comes behind it continues the release: what was done
    /// before it was set is seen.
    fn look(&self) -> u64 {
        self.0.load(Acquire)
    }

    /// e1, of a word that is set: has it.
    fn have(&self, word: u64) -> Result<(), u64> {
        if word & FOR_ONE == 0 {
            return Ok(());
        }
        self.0.compare_exchange(word, word & !SET, Acquire, Acquire).map(|_| ())
    }

    pub fn set(&self) {
        let mut word = self.0.load(Relaxed);
        let now = loop {
            let next = word.wrapping_add(ONE_MORE) | SET;
            let next = if next & FOR_ONE == 0 { next & !SLEEPERS } else { next };
            // Release pairs with who has it.
            match self.0.compare_exchange(word, next, Release, Relaxed) {
                Ok(_) => break next,
                Err(now) => word = now,
            }
        };
        if word & SLEEPERS == 0 {
            return;
        }
        if now & FOR_ONE == 0 {
            futex::wake(&self.0, u32::MAX);
        } else if futex::wake(&self.0, 1) == 0 {
            // Relaxed, and lost if anything happened since. Otherwise it is set, and nobody sleeps.
            let _ = self.0.compare_exchange(now, now & !SLEEPERS, Relaxed, Relaxed);
        }
    }

    pub fn reset(&self) {
        // Relaxed: a read-modify-write, which continues the release of who set it.
        self.0.fetch_and(!SET, Relaxed);
    }
}
