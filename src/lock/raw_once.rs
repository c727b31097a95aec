//! What is done once, without its value: the word of a lock, which ends in a state that stays.
//!
//! ```text
//! o1  news := deaths; look at the word
//!     complete        done
//!     free, or dead   CAS exactly this word → me | its WAITERS;  do it;  swap → COMPLETE;  wake all
//!     held            CAS word → word | WAITERS; sleep while the word is that and deaths is news
//! ```
//!
//! Dead while doing it: the next begins afresh, over whatever the dead one had written: nobody else has seen
//! it. Dead between the swap and the wake-up: `deaths`, and the slice of each sleeper.

use crate::lock::party::{Party, Patience, news_of};
use crate::lock::raw::Held;
use crate::lock::word::{WAITERS, Who};
use crate::sync::futex::{self, Moment, Woken, low_half};
use crate::sync::{AcqRel, Acquire, AtomicU64, Relaxed};

/// It is done, for good.
const COMPLETE: u64 = 1 << 20;

/// The word. All zero: nobody has begun.
#[repr(transparent)]
pub struct RawOnce(AtomicU64);

impl RawOnce {
    #[cfg(not(loom))]
    pub const fn new() -> RawOnce {
        RawOnce(AtomicU64::new(0))
    }

    #[cfg(loom)]
    pub fn new() -> RawOnce {
        RawOnce(AtomicU64::new(0))
    }

    /// Whether it is done: then all that the doer did is seen.
    #[inline(always)]
    pub fn is_complete(&self) -> bool {
        // Acquire pairs with the swap of who completed it.
        self.0.load(Acquire) & COMPLETE != 0
    }

    /// Has it done, by `act`, or by another who is at it, for whom it waits `until` then at most.
    ///
    /// If `act` unwinds the word is free again: the next begins afresh.
    pub fn call(
        &self,
        party: &impl Party,
        until: Option<Moment>,
        act: impl FnOnce(),
    ) -> Result<(), Held> {
        let me = party.me();
        let mut patience = Patience::until(until);
        let mut thoroughly = false;
        loop {
            let news = news_of(party);
            // Acquire also pairs with the CAS by which another began: whoever judges that one sees that it
            // had attached before.
            let word = self.0.load(Acquire);
            if word & COMPLETE != 0 {
                return Ok(());
            }
            let owner = Who::in_word(word);
            let is_free = owner == Who::NOBODY
                || owner != me && party.is_dead(owner, std::mem::take(&mut thoroughly));
            if is_free {
                let begun = me.0 | word & WAITERS;
                // Acquire pairs with the swap of one that unwound. Of a dead one all came before the verdict.
                if self.0.compare_exchange(word, begun, AcqRel, Relaxed).is_ok() {
                    let mut doing = Doing { once: self, then: 0 };
                    act();
                    doing.then = COMPLETE;
                    return Ok(());
                }
                continue;
            }
            if patience.is_over() {
                return Err(Held);
            }
            let waiting = word | WAITERS;
            if waiting != word && self.0.compare_exchange(word, waiting, Relaxed, Relaxed).is_err()
            {
                continue;
            }
            patience.wait_for(owner);
            let heard = (&self.0, low_half(waiting));
            thoroughly = patience.sleep(party, heard, news) == Woken::TimedOut;
        }
    }
}

/// Who does it; dropped when it is done, or when it unwound.
struct Doing<'a> {
    once: &'a RawOnce,
    then: u64,
}

impl Drop for Doing<'_> {
    fn drop(&mut self) {
        // A thread of a model that died has nothing to undo.
        #[cfg(loom)]
        if self.then == 0 {
            return;
        }
        // Release: what was done is seen by who sees that it is.
        let word = self.once.0.swap(self.then, AcqRel);
        if word & WAITERS != 0 {
            futex::wake(&self.once.0, u32::MAX);
        }
    }
}
