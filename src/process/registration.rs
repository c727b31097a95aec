//! How a slot of the participant table is taken and given back: the protocol alone. The kernel's locks
//! are whatever [`Locks`] says, so that a model can have its own.
//!
//! ```text
//! a1  the slot's word says Free(c); take its lock           busy: the next slot
//! a2  the word still says Free(c)? else let go of the lock
//! a3  describe the process; raise the number of used slots
//! a4  CAS Free(c) → Live(c)                                  lost: let go of the lock
//!
//! d1  CAS Live(c) → Free(c + 1)                              lost: recovery has the slot
//! d2  let go of the lock
//! ```
//!
//! Whoever judges a Live word asks for the lock, and marks exactly the word that it judged: between a4
//! and d1 the lock is held, and when it is free under a Live word the process is dead.

use super::participant::{HeldBy, ParticipantId, ParticipantRecord, ParticipantWord, Tenure};
use crate::sync::{AcqRel, Acquire, AtomicU64, Relaxed, Release};
use std::ops::Range;

/// The lock of each slot, which falls when its holder's process is gone.
pub trait Locks {
    /// What holds a lock.
    type Hold;
    /// Why locking failed, other than that somebody has it.
    type Fault;
    /// Takes the lock of a slot.
    fn take(&self, slot: usize) -> Result<Taken<Self::Hold>, Self::Fault>;
    /// Lets go of it.
    fn release(&self, hold: Self::Hold);
}

/// What came of trying to lock.
pub enum Taken<H> {
    /// We have it, by what it says.
    Ours(H, HeldBy),
    /// Another participant has it, if only for a moment.
    Others,
    /// Something that is no participant is in the way: a record lock of this process.
    Foreign(i32),
}

/// Why no slot could be taken.
pub enum Refused<F> {
    /// All slots are taken.
    Full,
    /// A slot was left where something that is no participant was in the way.
    Foreign(i32),
    /// Locking failed.
    Fault(F),
}

/// A slot that is ours.
pub struct Registered<H> {
    pub tenure: Tenure,
    pub held_by: HeldBy,
    pub hold: H,
}

/// Times that the table is looked through while others are just attaching or detaching.
const SWEEPS: usize = 16;

/// Takes the first free one of `slots`, described by `describe`. `high` is the number below which slots
/// have been used; it is raised before the slot's word becomes Live, so that whoever looks at the slots
/// below it misses no live one.
///
/// Dead before a4: the slot stays Free, `high` may be larger than need be, and the lock falls. Dead
/// after it: a Live word whose lock is free, as after any other death.
pub fn register<L: Locks>(
    records: &[ParticipantRecord],
    slots: Range<usize>,
    high: &AtomicU64,
    locks: &L,
    describe: impl Fn(&ParticipantRecord),
) -> Result<Registered<L::Hold>, Refused<L::Fault>> {
    let mut foreign = None;
    for _ in 0..SWEEPS {
        let mut again = false;
        for slot in slots.clone() {
            let record = &records[slot];
            // Acquire pairs with the Release of `deregister` and of recovery's last step: what the
            // last user of the slot did is done.
            let seen = record.word.load(Acquire);
            let Some(free @ ParticipantWord::Free { .. }) = ParticipantWord::of(seen) else {
                continue;
            };
            let (hold, held_by) = match locks.take(slot).map_err(Refused::Fault)? {
                Taken::Ours(hold, by) => (hold, by),
                // Between lock and word of somebody else, or between his word and unlocking.
                Taken::Others => {
                    again = true;
                    continue;
                }
                Taken::Foreign(pid) => {
                    foreign = Some(pid);
                    continue;
                }
            };
            // Under the lock nobody else makes the slot Live. But somebody may have before, and lost
            // his lock by closing descriptors: the description must stay his.
            if record.word.load(Acquire) != seen {
                locks.release(hold);
                again = true;
                continue;
            }
            describe(record);
            raise(high, slot as u64 + 1);
            let live = free.attach(held_by).expect("it is Free").word();
            // Release publishes the description; Acquire as above.
            if record.word.compare_exchange(seen, live, AcqRel, Acquire).is_err() {
                locks.release(hold);
                again = true;
                continue;
            }
            let slot = u16::try_from(slot).expect("a table has far fewer slots");
            return Ok(Registered {
                tenure: ParticipantId(slot).since(free.counter()),
                held_by,
                hold,
            });
        }
        if !again {
            break;
        }
    }
    Err(foreign.map_or(Refused::Full, Refused::Foreign))
}

/// Gives back the slot of `tenure`, whose word says Live; then `release` lets go of the lock.
///
/// Dead between word and unlocking: the slot is Free, and the lock falls with the process.
pub fn deregister(
    records: &[ParticipantRecord],
    tenure: Tenure,
    held_by: HeldBy,
    release: impl FnOnce(),
) {
    let live = ParticipantWord::Live { counter: tenure.counter, held_by };
    let free = live.detach().expect("it is Live").word();
    // Release: what we did in the segment, before it can have a new user (Acquire in `register`).
    // It fails if the word is Dead: then the slot is recovery's.
    let word = &records[usize::from(tenure.id.0)].word;
    let _ = word.compare_exchange(live.word(), free, Release, Relaxed);
    release();
}

/// `high` becomes at least `at_least`. Release: a reader that sees it (Acquire) sees nothing newer
/// than that; the words themselves say who is live.
fn raise(high: &AtomicU64, at_least: u64) {
    let mut seen = high.load(Acquire);
    while seen < at_least {
        match high.compare_exchange(seen, at_least, AcqRel, Acquire) {
            Ok(_) => return,
            Err(now) => seen = now,
        }
    }
}
