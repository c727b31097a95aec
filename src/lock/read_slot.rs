//! Where a lane says which locks its thread reads.
//!
//! ```text
//! bits 0–43   which lock: its offset; 0: none
//! bits 44–63  how often
//! ```
//!
//! A slot is its lane's: when the lane's process is dead, what stands in it counts no more, so that no count in
//! a lock is ever wrong because of a death. It is written by its lane's thread, by one that had the lane before
//! and drops a guard at its end, and by whoever recovers the dead; so each change is a CAS.

use crate::layout::MAX_CAPACITY;
use crate::sync::{Acquire, AtomicU64, Relaxed, SeqCst, fence_in_models};

/// Locks that one thread can be known to read at once.
pub const READS: usize = if cfg!(loom) { 1 } else { 8 };

const KEY_BITS: u32 = 44;
const KEY: u64 = (1 << KEY_BITS) - 1;
const ONCE: u64 = 1 << KEY_BITS;

const _: () = assert!(MAX_CAPACITY <= 1 << KEY_BITS, "an offset has room");

/// One lock that a lane reads. All zero: none.
#[repr(transparent)]
pub struct ReadSlot(AtomicU64);

impl ReadSlot {
    /// Says in the first of `slots` that has room for it that `key` is read, once more; which one, and
    /// whether it said so before. `None`: all of them are for other locks.
    #[inline(always)]
    pub fn enter(slots: &[ReadSlot; READS], key: u64) -> Option<(usize, bool)> {
        slots.iter().enumerate().find_map(|(index, slot)| Some((index, slot.add(key)?)))
    }

    #[inline(always)]
    fn add(&self, key: u64) -> Option<bool> {
        loop {
            // Relaxed: what it says is of our own making.
            let word = self.0.load(Relaxed);
            let more = if word == 0 { key | ONCE } else { more(word, key)? };
            // SeqCst, and the SeqCst load of the writer's word behind it: of this and the writer's fence
            // between its word and its look at the slots, the one that comes later sees what the other
            // did.
            if self.0.compare_exchange(word, more, SeqCst, Relaxed).is_ok() {
                fence_in_models();
                return Some(word != 0);
            }
        }
    }

    /// Says that it is read once less.
    #[inline(always)]
    pub fn leave(&self, key: u64) {
        // Relaxed: what it says is of our own making.
        let mut word = self.0.load(Relaxed);
        // Otherwise the segment is damaged, and there is nothing to take back.
        while word & KEY == key && word > key {
            let less = if word == key | ONCE { 0 } else { word - ONCE };
            // SeqCst: Release pairs with the writer's look, so that our reads end before it writes; and, as in
            // `add`, either that look comes behind this, or the load behind this sees the writer's word.
            match self.0.compare_exchange(word, less, SeqCst, Relaxed) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        fence_in_models();
    }

    /// Whether it says that `key` is read.
    #[inline(always)]
    pub fn is_of(&self, key: u64) -> bool {
        // Acquire pairs with `leave`; and with `add`: whoever judges the lane's owner sees who it is.
        self.0.load(Acquire) & KEY == key
    }

    /// The word, for who clears and who checks it.
    pub fn word(&self) -> &AtomicU64 {
        &self.0
    }

    /// What a word says: the offset of the lock, and how often it is read.
    pub fn parts(word: u64) -> (u64, u64) {
        (word & KEY, word >> KEY_BITS)
    }
}

/// The word of one who reads `key` already, and does once more; `None`: it is another lock's.
fn more(word: u64, key: u64) -> Option<u64> {
    (word & KEY == key)
        .then(|| word.checked_add(ONCE).expect("a thread reads a lock a million times"))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn slots() -> [ReadSlot; READS] {
        [const { ReadSlot(AtomicU64::new(0)) }; READS]
    }

    #[test]
    fn a_slot_counts_how_often_its_lock_is_read() {
        let slots = slots();
        assert_eq!(ReadSlot::enter(&slots, 64), Some((0, false)));
        assert_eq!(ReadSlot::enter(&slots, 128), Some((1, false)));
        assert_eq!(ReadSlot::enter(&slots, 64), Some((0, true)));
        assert_eq!(ReadSlot::parts(slots[0].word().load(Relaxed)), (64, 2));
        slots[0].leave(64);
        assert!(slots[0].is_of(64) && slots[1].is_of(128));
        slots[0].leave(64);
        assert_eq!(slots[0].word().load(Relaxed), 0);
        assert_eq!(ReadSlot::enter(&slots, 128), Some((0, false)), "the first that has room");
    }

    #[test]
    fn more_locks_than_slots_find_none() {
        let slots = slots();
        for key in 1..=READS as u64 {
            assert_eq!(ReadSlot::enter(&slots, key * 8), Some((key as usize - 1, false)));
        }
        assert_eq!(ReadSlot::enter(&slots, 8000), None);
        assert_eq!(ReadSlot::enter(&slots, READS as u64 * 8), Some((READS - 1, true)));
    }

    #[test]
    fn what_is_not_there_is_not_taken_back() {
        let slot = ReadSlot(AtomicU64::new(0));
        for word in [0, 64, 8 | ONCE] {
            slot.word().store(word, Relaxed);
            slot.leave(64);
            assert_eq!(slot.word().load(Relaxed), word);
        }
    }

    #[test]
    #[should_panic(expected = "a million times")]
    fn a_count_does_not_run_over() {
        let slots = slots();
        slots[0].word().store(64 | !KEY, Relaxed);
        ReadSlot::enter(&slots, 64);
    }
}
