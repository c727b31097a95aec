//! A number of permits, without their guards: a slot for each, which names who has it, and a
//! [`Signal`](crate::lock::signal).
//!
//! ```text
//! acquire  s1  look at each slot: free   CAS 0 → me
//!                                 dead   CAS exactly this word → me
//!          s2  all taken: mark the signal, look at all slots again, sleep
//! release  s3  CAS me → 0
//!          s4  the signal: one notice
//! ```
//!
//! **No notice is lost**: the second look comes behind the mark, so that who releases either is seen in it, or
//! finds the mark. **What the dead had comes back by itself**: whoever looks next takes it from them.

use crate::lock::party::{Party, Patience, news_of};
use crate::lock::raw::Held;
use crate::lock::signal::Signal;
use crate::lock::word::Who;
use crate::sync::futex::{Moment, Woken};
use crate::sync::{AcqRel, Acquire, AtomicU64, Relaxed, Release};

/// The slots of some permits, and their signal.
#[derive(Clone, Copy)]
pub struct RawPermits<'a> {
    pub slots: &'a [AtomicU64],
    pub signal: &'a Signal,
}

/// A permit that was had: its slot, and whether who had it before is dead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Had {
    pub slot: usize,
    pub was_abandoned: bool,
}

impl RawPermits<'_> {
    /// Takes one that is free, or whose holder is dead.
    pub fn try_acquire(&self, party: &impl Party) -> Result<Had, Held> {
        let me = party.me();
        self.take_free(me).or_else(|| self.take_any(party, me, false)).ok_or(Held)
    }

    /// Takes one, waiting `until` then at most.
    pub fn acquire(&self, party: &impl Party, until: Option<Moment>) -> Result<Had, Held> {
        let me = party.me();
        if let Some(had) = self.take_free(me) {
            return Ok(had);
        }
        let mut patience = Patience::until(until);
        let mut thoroughly = false;
        loop {
            let news = news_of(party);
            let seen = self.signal.mark();
            if let Some(had) = self.take_any(party, me, thoroughly) {
                return Ok(had);
            }
            if patience.is_over() {
                return Err(Held);
            }
            // One of them: the others are heard of when their deaths are announced, or after the slice.
            patience.wait_for(Who::in_word(self.slots[0].load(Relaxed)));
            thoroughly = patience.sleep(party, self.signal.heard(seen), news) == Woken::TimedOut;
        }
    }

    fn take_free(&self, me: Who) -> Option<Had> {
        let slot =
            self.slots.iter().position(|slot| slot.load(Relaxed) == 0 && take(slot, 0, me))?;
        Some(Had { slot, was_abandoned: false })
    }

    /// The same, or one of the dead.
    fn take_any(&self, party: &impl Party, me: Who, thoroughly: bool) -> Option<Had> {
        let take_it = |slot: &AtomicU64| loop {
            // Acquire pairs with the CAS by which its holder took it: whoever judges that one sees that it
            // had attached before.
            let word = slot.load(Acquire);
            let owner = Who::in_word(word);
            let is_abandoned = word != 0 && owner != me && party.is_dead(owner, thoroughly);
            if word != 0 && !is_abandoned {
                return None;
            }
            // A lost one: it may be free again, and nobody would wake us for it.
            if take(slot, word, me) {
                return Some(is_abandoned);
            }
        };
        self.slots
            .iter()
            .enumerate()
            .find_map(|(slot, word)| Some(Had { slot, was_abandoned: take_it(word)? }))
    }

    /// Gives back what `me` has in `slot`.
    pub fn release(&self, slot: usize, me: Who) {
        // Release pairs with who takes it next: what was done with it is done.
        if self.slots[slot].compare_exchange(me.0, 0, Release, Relaxed).is_ok() {
            self.signal.notify_one();
        }
    }
}

fn take(slot: &AtomicU64, word: u64, me: Who) -> bool {
    // Acquire pairs with the Release of `release`. Of the dead all came before the verdict.
    slot.compare_exchange(word, me.0, AcqRel, Relaxed).is_ok()
}
