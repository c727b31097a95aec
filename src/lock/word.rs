//! The word of a lock: whose it is, and what is to be known beside.
//!
//! ```text
//! bits 0–11   the owner's slot in the table of participants + 1; 0: nobody's
//! bits 16–20  flags
//! bits 32–63  how often that slot had been given back when the owner attached
//! ```
//!
//! The owner is a *process*, never a thread: a guard, or what it leads to, may be in use by another
//! thread of the process when the thread that locked has ended, so that only the end of the process is
//! the end of an owner.
//!
//! The low half is what the kernel compares when somebody sleeps. It need not have the counter: the
//! condition of a sleeper is only that the lock is held, and that whoever unlocks knows of sleepers.

use crate::layout::MAX_PARTICIPANTS;
use crate::process::participant::{ParticipantId, Tenure};

/// A process as a lock's word names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Who(pub u64);

const SLOT: u64 = 0xfff;
const COUNTER_SHIFT: u32 = 32;
const WHO: u64 = SLOT | (u32::MAX as u64) << COUNTER_SHIFT;

const _: () = assert!((MAX_PARTICIPANTS as u64) < SLOT, "a slot, and one more for locks outside");

impl Who {
    pub const NOBODY: Who = Who(0);
    /// This process, in a lock that lies in no segment.
    pub const SELF_ALONE: Who = Who(SLOT);

    pub fn of(tenure: Tenure) -> Who {
        Who((u64::from(tenure.id.0) + 1) | u64::from(tenure.counter) << COUNTER_SHIFT)
    }

    /// The owner that `word` names.
    #[inline(always)]
    pub fn in_word(word: u64) -> Who {
        Who(word & WHO)
    }

    /// The attachment; `None`: no participant has such a name.
    pub fn tenure(self) -> Option<Tenure> {
        let slot = (self.0 & SLOT).checked_sub(1)?;
        let is_possible = slot < MAX_PARTICIPANTS as u64;
        is_possible.then(|| ParticipantId(slot as u16).since((self.0 >> COUNTER_SHIFT) as u32))
    }
}

/// Somebody may sleep. Set by who is going to, and by who takes the lock after having slept, for the
/// others; taken back by who unlocks, who then owes a wake-up.
pub const WAITERS: u64 = 1 << 16;
/// A thread panicked while it held the lock.
pub const PANICKED: u64 = 1 << 17;
/// A process died while it held the lock. Set by who takes the lock from it.
pub const DIED: u64 = 1 << 18;
/// Somebody waits too long: who has not slept yet sleeps before it takes a free lock.
pub const HUNGRY: u64 = 1 << 19;
/// The owner has not been at the value, and only keeps writers out: it waits for readers, or reads itself. Set
/// and taken back by the owner; its death is no news.
pub const UNTOUCHED: u64 = 1 << 20;
/// Not all that hangs on the value may be marked as such: who published it died in that, or is at it. Set before
/// anybody else can see the lock; taken back by the owner who has marked it. Nobody has been at the value.
pub const FRESH: u64 = 1 << 21;
/// What stays when a lock becomes free.
pub const KEPT: u64 = PANICKED | DIED | HUNGRY | FRESH;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn owners_come_back_as_they_went() {
        for (slot, counter) in [(0, 0), (511, u32::MAX), (7, 1)] {
            let tenure = ParticipantId(slot).since(counter);
            let word = Who::of(tenure).0 | WAITERS | KEPT;
            assert_eq!(Who::in_word(word), Who::of(tenure));
            assert_eq!(Who::of(tenure).tenure(), Some(tenure));
        }
        assert_eq!(Who::in_word(KEPT | WAITERS), Who::NOBODY, "flags name nobody");
        assert_eq!(Who::NOBODY.tenure(), None);
        assert_eq!(Who::SELF_ALONE.tenure(), None, "no participant");
        assert_eq!(Who(513).tenure(), None, "there are 512 participants");
    }
}
