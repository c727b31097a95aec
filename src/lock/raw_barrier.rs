//! A barrier: one word, and the steps.
//!
//! ```text
//! bits 0–15    how often it opened        the two together: the round, on which sleepers sleep
//! bits 16–31   how often it was mended
//! bits 32–47   who has arrived
//! bits 48–63   how many there must be
//! ```
//!
//! ```text
//! wait  b1  CAS word → one more has arrived; the last: the next round, and nobody has arrived; wake all
//!       b2  news := deaths; look at the word
//!           another round: opened, or mended
//!           somebody died, or the time is over: CAS word → one less has arrived
//!           else sleep while the round is that and deaths is news
//! mend  b3  the round is that in which somebody died: CAS word → mended once more, nobody has arrived, so many
//!           must; wake all
//! ```
//!
//! **Who withdraws has not passed, and who passed has not withdrawn**: both are a CAS of the word that has the
//! round and the count in it. **It is mended once**, by whoever comes first: the others name a round that is
//! over. Who sleeps through that wakes in a round of which they know that it was mended, not opened, and are
//! told what the others were.
//!
//! | dies | is left | who goes on |
//! |---|---|---|
//! | before b1 | one who does not come | the others hear of the death, and withdraw |
//! | behind it | one who has arrived | the others pass, or hear of the death |
//! | as the last, or the mender, before the wake-up | another round, and others asleep | `deaths`, and the slice of each sleeper |
//!
//! A round of which 2¹⁶ others have gone by looks like the present one: who has arrived in it is one of those
//! that each of them waited for, unless it was mended so often meanwhile.

use crate::lock::party::{Party, Patience, news_of};
use crate::sync::futex::{self, Moment, Woken, low_half};
use crate::sync::{AcqRel, Acquire, AtomicU64, Relaxed};

/// The word. All zero: a barrier for nobody, which is always open.
#[repr(transparent)]
pub struct RawBarrier(AtomicU64);

/// Opened so often, mended so often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Round(u32);

/// A word of a barrier, taken apart.
#[derive(Clone, Copy)]
struct State {
    opened: u16,
    mended: u16,
    arrived: u16,
    parties: u16,
}

impl State {
    const fn word(self) -> u64 {
        self.opened as u64
            | (self.mended as u64) << 16
            | (self.arrived as u64) << 32
            | (self.parties as u64) << 48
    }

    fn of(word: u64) -> State {
        let part = |shift: u32| (word >> shift) as u16;
        State { opened: part(0), mended: part(16), arrived: part(32), parties: part(48) }
    }

    fn round(self) -> Round {
        Round(low_half(self.word()))
    }
}

/// How one passed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Passed {
    /// As the last to arrive.
    Last,
    /// As one of the others.
    WithOthers,
}

/// Why one did not pass it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotPassed {
    /// Somebody died before it opened, in this round.
    SomeoneDied(Round),
    /// The time was over.
    TimedOut,
}

impl RawBarrier {
    #[cfg(not(loom))]
    pub const fn new(parties: u16) -> RawBarrier {
        RawBarrier(AtomicU64::new(State { opened: 0, mended: 0, arrived: 0, parties }.word()))
    }

    #[cfg(loom)]
    pub fn new(parties: u16) -> RawBarrier {
        RawBarrier(AtomicU64::new(State { opened: 0, mended: 0, arrived: 0, parties }.word()))
    }

    /// How many must arrive.
    pub fn parties(&self) -> u16 {
        State::of(self.0.load(Relaxed)).parties
    }

    /// Arrives, and waits for the others: until the time is over, or `is_news` of the news of deaths.
    pub fn wait(
        &self,
        party: &impl Party,
        until: Option<Moment>,
        is_news: impl Fn(u64) -> bool,
    ) -> Result<Passed, NotPassed> {
        let mut patience = Patience::until(until);
        let (round, is_last) = self.arrive();
        if is_last {
            futex::wake(&self.0, u32::MAX);
            return Ok(Passed::Last);
        }
        loop {
            let news = news_of(party);
            // Acquire pairs with the last one's CAS, which continues the releases of all before it: what
            // everybody did before they arrived is seen.
            let word = self.0.load(Acquire);
            let now = State::of(word);
            if now.round() != round {
                let was_mended = now.mended != (round.0 >> 16) as u16;
                return match was_mended {
                    true => Err(NotPassed::SomeoneDied(round)),
                    false => Ok(Passed::WithOthers),
                };
            }
            let why = if is_news(news) {
                Some(NotPassed::SomeoneDied(round))
            } else {
                patience.is_over().then_some(NotPassed::TimedOut)
            };
            if let Some(why) = why {
                let without = State { arrived: now.arrived.saturating_sub(1), ..now };
                // Relaxed: who arrives or withdraws after this learns nothing from it.
                let left = self.0.compare_exchange(word, without.word(), Relaxed, Relaxed);
                if left.is_ok() {
                    return Err(why);
                }
                continue;
            }
            if patience.sleep(party, (&self.0, round.0), news) == Woken::TimedOut {
                party.look_for_dead();
            }
        }
    }

    /// b1: the round in which it arrived, and whether it was the last.
    fn arrive(&self) -> (Round, bool) {
        let mut word = self.0.load(Relaxed);
        loop {
            let now = State::of(word);
            let arrived = now.arrived.saturating_add(1);
            let is_last = arrived >= now.parties;
            let next = if is_last {
                State { opened: now.opened.wrapping_add(1), arrived: 0, ..now }
            } else {
                State { arrived, ..now }
            };
            // Release: what was done before arriving; Acquire: what the others did, for the last.
            match self.0.compare_exchange(word, next.word(), AcqRel, Relaxed) {
                Ok(_) => return (now.round(), is_last),
                Err(now) => word = now,
            }
        }
    }

    /// b3: begins anew for `parties`, unless that was done since `round`; whether it was this call.
    pub fn mend(&self, round: Round, parties: u16) -> bool {
        let mut word = self.0.load(Relaxed);
        loop {
            let now = State::of(word);
            if now.round() != round {
                return false;
            }
            let mended = now.mended.wrapping_add(1);
            let next = State { mended, arrived: 0, parties, ..now };
            match self.0.compare_exchange(word, next.word(), AcqRel, Relaxed) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        futex::wake(&self.0, u32::MAX);
        true
    }
}
