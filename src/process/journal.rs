//! A lane's journal: what it was about to do where two words must change together.
//!
//! Only recovery of a dead process reads a journal, after the kernel's word that it is dead. The
//! fields go first and the kind last, each Release: whoever reads a kind reads its fields. To close
//! it the kind goes first, so that no kind ever stands over another's fields.

use crate::sync::{Acquire, AtomicU64, Release};

/// The steps that take more than one word. Offsets are bytes from the segment's start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Intent {
    /// Publish `object` by the word at `entry`: an entry's, a lease's, or that of a queue's cell.
    Link { entry: u64, object: u64 },
    /// Publish `entry`, which names `object`, by slot `slot` of `array`.
    Intern { entry: u64, object: u64, array: u64, slot: u64 },
    /// Retire `object`, unlink it from the word at `entry` (0: none leads to it), leave its block in Limbo.
    Destroy { entry: u64, object: u64 },
    /// Give back `entry`, a dead one that stands in slot `slot` of `array` alone.
    Reap { entry: u64, array: u64, slot: u64 },
    /// Hang `new` behind `array` as its successor.
    Grow { array: u64, new: u64 },
    /// Give back `object`, which is destroyed, and all that hangs on it; at the moment `part` (0: none),
    /// to which the word at `word_at` leads.
    Fall { object: u64, word_at: u64, part: u64 },
    /// Change what the lock at `lock` guards, as the block `draft` says: see [`trace::change`](crate::trace).
    Change { lock: u64, draft: u64 },
}

impl Intent {
    /// The blocks that it would link, which its lane holds until then; 0: none. An entry that stands behind its object
    /// begins no block, and goes with that.
    pub fn to_link(self) -> [u64; 2] {
        match self {
            Intent::Link { object, .. } => [object, 0],
            Intent::Intern { entry, object, .. } => [entry, object],
            Intent::Grow { new, .. } => [new, 0],
            Intent::Destroy { .. }
            | Intent::Reap { .. }
            | Intent::Fall { .. }
            | Intent::Change { .. } => [0, 0],
        }
    }
}

/// One intent at a time, written by the lane's thread alone.
#[repr(C)]
pub struct Journal {
    kind: AtomicU64,
    entry: AtomicU64,
    object: AtomicU64,
    array: AtomicU64,
    slot: AtomicU64,
    _spare: [AtomicU64; 3],
}

impl Journal {
    /// Opens the journal.
    pub fn open(&self, intent: Intent) {
        let (kind, entry, object, array, slot) = match intent {
            Intent::Link { entry, object } => (1, entry, object, 0, 0),
            Intent::Intern { entry, object, array, slot } => (2, entry, object, array, slot),
            Intent::Destroy { entry, object } => (3, entry, object, 0, 0),
            Intent::Reap { entry, array, slot } => (4, entry, 0, array, slot),
            Intent::Grow { array, new } => (5, 0, new, array, 0),
            Intent::Fall { object, word_at, part } => (6, word_at, object, 0, part),
            Intent::Change { lock, draft } => (7, 0, draft, lock, 0),
        };
        self.entry.store(entry, Release);
        self.object.store(object, Release);
        self.array.store(array, Release);
        self.slot.store(slot, Release);
        self.kind.store(kind, Release);
    }

    /// In an open [`Fall`](Intent::Fall): the part that goes next; 0: none.
    pub fn at(&self, word_at: u64, part: u64) {
        // None first: no part ever stands beside another's word.
        self.slot.store(0, Release);
        if part != 0 {
            self.entry.store(word_at, Release);
            self.slot.store(part, Release);
        }
    }

    /// In an open [`Change`](Intent::Change): it is made, and its draft falls, at no part yet.
    pub fn turn_to_fall(&self) {
        // The other fields stand as a fall's should.
        self.kind.store(6, Release);
    }

    /// Closes it: whatever stood in it is done or undone.
    pub fn close(&self) {
        self.kind.store(0, Release);
    }

    /// What it says; `None`: nothing. `Some(Err(kind))`: a kind that no version of this crate writes.
    pub fn read(&self) -> Option<Result<Intent, u64>> {
        let kind = self.kind.load(Acquire);
        let [entry, object, array, slot] =
            [&self.entry, &self.object, &self.array, &self.slot].map(|field| field.load(Acquire));
        Some(Ok(match kind {
            0 => return None,
            1 => Intent::Link { entry, object },
            2 => Intent::Intern { entry, object, array, slot },
            3 => Intent::Destroy { entry, object },
            4 => Intent::Reap { entry, array, slot },
            5 => Intent::Grow { array, new: object },
            6 => Intent::Fall { object, word_at: entry, part: slot },
            7 => Intent::Change { lock: array, draft: object },
            unknown => return Some(Err(unknown)),
        }))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::Relaxed;

    fn journal() -> Journal {
        // SAFETY: atomics of integers; zero is a value of each.
        unsafe { core::mem::zeroed() }
    }

    const INTENTS: [Intent; 7] = [
        Intent::Link { entry: 1, object: 2 },
        Intent::Intern { entry: 3, object: 4, array: 5, slot: 6 },
        Intent::Destroy { entry: 7, object: 8 },
        Intent::Reap { entry: 9, array: 10, slot: 11 },
        Intent::Grow { array: 12, new: 13 },
        Intent::Fall { object: 14, word_at: 15, part: 16 },
        Intent::Change { lock: 17, draft: 18 },
    ];

    #[test]
    fn intents_come_back_as_they_went() {
        let journal = journal();
        for intent in INTENTS {
            assert_eq!(journal.read(), None);
            journal.open(intent);
            assert_eq!(journal.read(), Some(Ok(intent)));
            journal.close();
        }
        journal.kind.store(8, Relaxed);
        assert_eq!(journal.read(), Some(Err(8)), "no version writes such a kind");
    }

    #[test]
    fn a_change_turns_to_the_fall_of_its_draft() {
        let journal = journal();
        journal.open(Intent::Fall { object: 1, word_at: 2, part: 3 });
        journal.close();
        journal.open(Intent::Change { lock: 4, draft: 5 });
        journal.turn_to_fall();
        let fall = Intent::Fall { object: 5, word_at: 0, part: 0 };
        assert_eq!(journal.read(), Some(Ok(fall)));
    }

    #[test]
    fn each_block_that_would_be_linked_is_told() {
        let told = INTENTS.map(Intent::to_link);
        assert_eq!(told, [[2, 0], [3, 4], [0, 0], [0, 0], [13, 0], [0, 0], [0, 0]]);
    }
}
