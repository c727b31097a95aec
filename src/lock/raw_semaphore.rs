//! A plain count for which many wait: one word, and the steps.
//!
//! ```text
//! bit 0       somebody may sleep
//! bits 1–31   the count
//! ```
//!
//! ```text
//! acquire  n1  news := deaths; look at the word
//!              count > 0   CAS word → one less
//!              0           CAS word → SLEEPERS; sleep while the word is that and deaths is news
//! release  n2  CAS word → word + n
//!          n3  SLEEPERS was set: wake n
//!          n4  nobody was there to be woken: CAS the word of n2 → without SLEEPERS; wake all
//! ```
//!
//! **No wake-up is lost**: who sleeps has seen a count of 0 with SLEEPERS set, and the kernel compares that in
//! the step in which it puts him to sleep; n2 changes it and finds the bit in one step. **The bit goes only in a
//! step behind which all are woken**: who went to sleep since n3, behind another who took the count, would be
//! forgotten.
//!
//! | dies | is left | who goes on |
//! |---|---|---|
//! | having taken one | a count of one less: nobody owns it | who waits for it asks for deaths |
//! | between n2 and n3, or woken and not yet at n1 | a count, and others asleep | `deaths`, and the slice of each sleeper |
//! | between the two halves of n4 | others asleep, and no bit | likewise |

use crate::lock::party::{Party, Patience, news_of};
use crate::lock::raw::Held;
use crate::sync::futex::{self, Moment, Woken, low_half};
use crate::sync::{AcqRel, AtomicU64, Relaxed};

const SLEEPERS: u64 = 1;
const ONE: u64 = 2;

/// The largest count.
pub const MOST: u32 = u32::MAX >> 1;

/// The word. All zero: a count of 0.
#[repr(transparent)]
pub struct RawSemaphore(AtomicU64);

/// The count would be larger than [`MOST`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooMany;

impl RawSemaphore {
    /// A count of `count`, of which only 31 bits are looked at.
    #[cfg(not(loom))]
    pub const fn new(count: u32) -> RawSemaphore {
        RawSemaphore(AtomicU64::new((count as u64 & MOST as u64) * ONE))
    }

    #[cfg(loom)]
    pub fn new(count: u32) -> RawSemaphore {
        RawSemaphore(AtomicU64::new(u64::from(count) * ONE))
    }

    /// A count of 0, as who has waited and gone leaves it.
    #[cfg(loom)]
    pub fn marked() -> RawSemaphore {
        RawSemaphore(AtomicU64::new(SLEEPERS))
    }

    /// The count. The high half, which only damage can have changed, is nothing to anybody.
    pub fn count(&self) -> u32 {
        count_in(self.0.load(Relaxed))
    }

    /// Takes one, if there is one.
    pub fn try_acquire(&self) -> Result<(), Held> {
        let mut word = self.0.load(Relaxed);
        while count_in(word) != 0 {
            match self.take(word) {
                Ok(()) => return Ok(()),
                Err(now) => word = now,
            }
        }
        Err(Held)
    }

    /// Takes one, waiting until there is one, or the time is over, or `is_news` of the news of deaths from
    /// before the last look at the count.
    pub fn acquire(
        &self,
        party: &impl Party,
        until: Option<Moment>,
        is_news: impl Fn(u64) -> bool,
    ) -> Result<(), Held> {
        let mut patience = Patience::until(until);
        loop {
            let news = news_of(party);
            let word = self.0.load(Relaxed);
            if count_in(word) != 0 {
                if self.take(word).is_ok() {
                    return Ok(());
                }
                continue;
            }
            if is_news(news) || patience.is_over() {
                return Err(Held);
            }
            let waiting = word | SLEEPERS;
            // Relaxed: it tells who releases to wake, and nothing else.
            if waiting != word && self.0.compare_exchange(word, waiting, Relaxed, Relaxed).is_err()
            {
                continue;
            }
            if patience.sleep(party, (&self.0, low_half(waiting)), news) == Woken::TimedOut {
                party.look_for_dead();
            }
        }
    }

    /// n1: one less, if the word is still `word`, whose count is not 0.
    fn take(&self, word: u64) -> Result<(), u64> {
        // Acquire pairs with n2 of whoever made the count what it is: what they did before is seen.
        self.0.compare_exchange(word, word - ONE, AcqRel, Relaxed).map(|_| ())
    }

    /// Adds `more` to the count.
    pub fn release(&self, more: u32) -> Result<(), TooMany> {
        let mut word = self.0.load(Relaxed);
        let now = loop {
            let count = count_in(word).checked_add(more).filter(|count| *count <= MOST);
            let count = count.ok_or(TooMany)?;
            let next = (u64::from(count) * ONE) | (word & SLEEPERS);
            // Release pairs with who takes it.
            match self.0.compare_exchange(word, next, AcqRel, Relaxed) {
                Ok(_) => break next,
                Err(now) => word = now,
            }
        };
        if now & SLEEPERS != 0 && futex::wake(&self.0, more) == 0 {
            let quiet = now & !SLEEPERS;
            if self.0.compare_exchange(now, quiet, AcqRel, Relaxed).is_ok() {
                futex::wake(&self.0, u32::MAX);
            }
        }
        Ok(())
    }
}

fn count_in(word: u64) -> u32 {
    low_half(word) >> 1
}
