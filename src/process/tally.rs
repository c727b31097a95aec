//! A lane's tally: which count it was about to change, of an object that has leases.
//!
//! A count changes by one CAS, and beside it a word of a [lease](crate::trace::lease) does. Who dies between
//! the two leaves this, by which the next one tells whether the count was changed.
//!
//! **How it is told.** The CAS leaves a stamp in the count: the lane, and the number of its turn. Whoever changes
//! the count next wipes the stamp out; so he looks first whether that turn is still open, and says here that it
//! was done. After a death: the stamp stands in the count, or the tally says "done"; or it did not happen. (The
//! count is read first, and then the tally, as who wipes a stamp out has written before.) Announcements with help
//! are those of Attiya, Ben-Baruch and Hendler, "Nesting-Safe Recoverable Linearizability", PODC 2018.
//!
//! **Few bits of the turn are enough in a stamp.** A lane takes a turn whose bits do not stand in the count with
//! its own number when it begins. So that stamp comes there by this turn, or not at all, however often the bits
//! come round.

use crate::sync::{AcqRel, Acquire, AtomicU64, Relaxed};

/// What is done to a count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A lease more.
    Up,
    /// One less.
    Down,
}

/// A change of a count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn {
    pub number: u64,
    /// The object whose count it is.
    pub counted: u64,
    /// The lease that comes or goes.
    pub lease: u64,
    pub step: Step,
    /// Whether another has seen that it was made.
    pub is_done: bool,
}

/// One turn at a time, begun and ended by the lane's thread alone.
#[repr(C)]
pub struct Tally {
    /// `number << 2 | phase`.
    turn: AtomicU64,
    counted: AtomicU64,
    /// The lease's offset, and [`UP`].
    lease: AtomicU64,
}

const PHASE: u64 = 3;
const CLOSED: u64 = 0;
const OPEN: u64 = 1;
const DONE: u64 = 2;
/// In the word of the lease: it comes.
const UP: u64 = 1;

impl Tally {
    /// The number of the next turn. Only the lane's thread asks.
    pub fn next(&self) -> u64 {
        // Relaxed: the lane's thread wrote it, or one before it, whom taking the lane was behind.
        (self.turn.load(Relaxed) >> 2).wrapping_add(1)
    }

    /// Begins a turn, as [`next`](Self::next) numbered it, or later.
    pub fn open(&self, number: u64, counted: u64, lease: u64, step: Step) {
        // Relaxed: behind the end of the turn before, by whose word the fields were read; shown by the next.
        self.counted.store(counted, Relaxed);
        self.lease.store(lease | if step == Step::Up { UP } else { 0 }, Relaxed);
        // Release: whoever sees the turn, by this or by its stamp, sees its fields.
        self.turn.store_beside_rmw(number << 2 | OPEN);
    }

    /// The same, of a turn that was made already: another's, who is dead.
    pub fn open_done(&self, number: u64, counted: u64, lease: u64, step: Step) {
        // As in `open`.
        self.counted.store(counted, Relaxed);
        self.lease.store(lease | if step == Step::Up { UP } else { 0 }, Relaxed);
        self.turn.store_beside_rmw(number << 2 | DONE);
    }

    /// Lets a number be nobody's turn.
    pub fn skip(&self, number: u64) {
        self.turn.store_beside_rmw(number << 2 | CLOSED);
    }

    /// Ends it; what stands in the lease says all.
    pub fn close(&self) {
        // Release: the lease's word is written. Nobody else goes on to another turn.
        self.turn.store_beside_rmw(self.turn.load(Relaxed) & !PHASE | CLOSED);
    }

    /// The turn that is open, if one is.
    pub fn read(&self) -> Option<Turn> {
        // Acquire pairs with the Release of `open`.
        let word = self.turn.load(Acquire);
        let is_open = matches!(word & PHASE, OPEN | DONE);
        let lease = is_open.then(|| self.lease.load(Relaxed))?;
        Some(Turn {
            number: word >> 2,
            counted: self.counted.load(Relaxed),
            lease: lease & !UP,
            step: if lease & UP != 0 { Step::Up } else { Step::Down },
            is_done: word & PHASE == DONE,
        })
    }

    /// Says that an open turn was made, if it is still open: by who is about to wipe its stamp out.
    pub fn acknowledge(&self, turn: Turn) {
        let word = turn.number << 2;
        // AcqRel: before the stamp is wiped out.
        let _ = self.turn.compare_exchange(word | OPEN, word | DONE, AcqRel, Acquire);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn turns_come_back_as_they_went() {
        // SAFETY: atomics of integers; zero is a value of each.
        let tally: Tally = unsafe { core::mem::zeroed() };
        assert_eq!(tally.read(), None);
        for (step, lease) in [(Step::Up, 48), (Step::Down, 64)] {
            let number = tally.next();
            tally.open(number, 32, lease, step);
            let turn = Turn { number, counted: 32, lease, step, is_done: false };
            assert_eq!(tally.read(), Some(turn));
            tally.acknowledge(Turn { number: number - 1, ..turn });
            assert_eq!(tally.read(), Some(turn), "another turn");
            tally.acknowledge(turn);
            assert_eq!(tally.read(), Some(Turn { is_done: true, ..turn }));
            tally.close();
            assert_eq!(tally.read(), None);
            tally.acknowledge(turn);
            assert_eq!((tally.read(), tally.next()), (None, number + 1), "it is over");
        }
    }
}
