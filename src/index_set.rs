//! A set of unit numbers as a hierarchical bitmap that many processes change at once.
//!
//! Bit `i` of a summary word means "word `i` of the level below may be non-zero". A set is a hint,
//! both ways: the truth about a unit stands in its own word, and whoever changes the truth changes
//! the set. *Appearing*: the truth first, then [`IndexSet::insert`]. *Vanishing*: a CAS of the truth
//! first, then [`IndexSet::remove`], by the one whose CAS won. Insert and remove are idempotent and
//! know no order, so that a death between the two loses a hint and nothing else.
//!
//! **At rest** each set leaf bit is visible from the top. It may be hidden only while somebody is
//! between two steps of [`IndexSet::find`] or [`IndexSet::insert`], or died or was stopped there:
//! [`IndexSet::repair`] brings it back.
//!
//! All operations are lock-free: `insert` and `remove` take a fixed number of steps, `find` goes
//! over each word at most once. Orderings: bits are set and cleared by read-modify-writes with
//! AcqRel and read with Acquire, so that a finder sees the truth that was written before the insert.

use crate::layout::{FANOUT, FANOUT_SHIFT};
use crate::sync::{AcqRel, Acquire, AtomicU64, Relaxed};

/// Levels of the largest segment.
pub const MAX_LEVELS: usize = 6;

/// Where the words of one level lie.
#[derive(Clone, Copy)]
pub struct Level {
    base: *const AtomicU64,
    words: usize,
    /// The words come in blocks of `1 << block_shift`, a block every `stride` bytes.
    block_shift: u32,
    stride: usize,
}

impl Level {
    /// A level of `words` words, in blocks of `1 << block_shift` words that start `stride` bytes apart.
    ///
    /// # Safety
    /// All those words stay valid for shared use while the level is.
    pub unsafe fn new(
        base: *const AtomicU64,
        words: usize,
        block_shift: u32,
        stride: usize,
    ) -> Level {
        Level { base, words, block_shift, stride }
    }

    #[inline]
    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.words, "word {index} of a level of {}", self.words);
        let (block, within) = (index >> self.block_shift, index & ((1 << self.block_shift) - 1));
        // SAFETY: `index` is in range, and `new`'s caller promised that such words are valid.
        unsafe { &*self.base.byte_add(block * self.stride).add(within) }
    }
}

/// A view of one set; any process may use it at any time.
#[derive(Clone, Copy)]
pub struct IndexSet {
    levels: [Level; MAX_LEVELS],
    count: usize,
}

impl IndexSet {
    /// A set over `levels`, leaves first; the last level is a single word.
    pub fn new(levels: &[Level]) -> IndexSet {
        assert!(levels.last().is_some_and(|top| top.words == 1));
        let mut all = [levels[0]; MAX_LEVELS];
        all[..levels.len()].copy_from_slice(levels);
        IndexSet { levels: all, count: levels.len() }
    }

    /// Puts `item` in. Wait-free.
    ///
    /// Dead after the leaf: hidden until the next insert under the same words, or repair.
    #[inline]
    pub fn insert(&self, item: usize) {
        self.insert_all(item >> FANOUT_SHIFT, 1 << (item & (FANOUT - 1)));
    }

    /// Puts in those of the items from `64 * word` on whose bits are set (in loom's world, as many as a
    /// word holds). Wait-free.
    #[inline]
    pub fn insert_all(&self, word: usize, bits: u64) {
        // A read-modify-write even if the bits are there already: who clears the summary above looks
        // again with one of his own, and of the two one sees the other.
        self.levels[0].word(word).fetch_or(bits, AcqRel);
        self.raise(0, word);
    }

    /// Takes `item` out. Wait-free; one step, so that dying leaves nothing to mend.
    pub fn remove(&self, item: usize) {
        self.levels[0].word(item >> FANOUT_SHIFT).fetch_and(!(1 << (item & (FANOUT - 1))), AcqRel);
    }

    /// Whether the leaf says so. No promise about the summaries.
    pub fn contains(&self, item: usize) -> bool {
        self.levels[0].word(item >> FANOUT_SHIFT).load(Acquire) >> (item & (FANOUT - 1)) & 1 == 1
    }

    /// Whether a finder sees `item`: the leaf and the bits above it say so.
    pub fn shows(&self, item: usize) -> bool {
        self.contains(item) && self.is_visible(item >> FANOUT_SHIFT)
    }

    /// The 64 items from `64 * word` on, a bit each (in loom's world, as many as a word holds).
    pub fn leaf(&self, word: usize) -> u64 {
        self.levels[0].word(word).load(Acquire)
    }

    /// Makes word `index` of `level` visible, at every level above, whatever these say already:
    /// someone may be clearing any of them.
    fn raise(&self, level: usize, index: usize) {
        let mut index = index;
        for above in &self.levels[level + 1..self.count] {
            let (word, bit) = (above.word(index >> FANOUT_SHIFT), 1 << (index & (FANOUT - 1)));
            // Relaxed: a stale "set" is a clearer's business, who looks again after he cleared.
            if word.load(Relaxed) & bit == 0 {
                word.fetch_or(bit, AcqRel);
            }
            index >>= FANOUT_SHIFT;
        }
    }

    /// The first item at or after `from` that the summaries show.
    ///
    /// `from` lies in a backed zone. Ends: the position only grows.
    pub fn find(&self, from: usize) -> Option<usize> {
        let (mut level, mut position) = (0, from);
        loop {
            let index = position >> FANOUT_SHIFT;
            if index >= self.levels[level].words {
                return None;
            }
            let bits = self.levels[level].word(index).load(Acquire)
                & (u64::MAX << (position & (FANOUT - 1)));
            if bits == 0 {
                if level + 1 == self.count {
                    return None;
                }
                (level, position) = (level + 1, index + 1);
                continue;
            }
            let hit = (index << FANOUT_SHIFT) + bits.trailing_zeros() as usize;
            if level == 0 {
                return Some(hit);
            }
            if hit >= self.levels[level - 1].words {
                return None; // only damage sets a bit for a word that is not there
            }
            if self.levels[level - 1].word(hit).load(Acquire) == 0 {
                self.lower(level, hit);
                position = hit + 1;
            } else {
                (level, position) = (level - 1, hit << FANOUT_SHIFT);
            }
        }
    }

    /// Clears the bit of word `below` in `level`, then looks again.
    fn lower(&self, level: usize, below: usize) {
        let (word, bit) =
            (self.levels[level].word(below >> FANOUT_SHIFT), 1u64 << (below & (FANOUT - 1)));
        word.fetch_and(!bit, AcqRel);
        // By read-modify-write: a load could still read the old zero while an inserter, who wrote
        // the word below before, read the old summary.
        if self.levels[level - 1].word(below).fetch_or(0, AcqRel) != 0 {
            self.raise(level - 1, below);
        }
    }

    /// A finder saw `item`, but its truth does not agree: takes it out, and puts it back if
    /// `is_in`, which reads the truth with Acquire, says so now.
    pub fn drop_stale(&self, item: usize, is_in: impl Fn() -> bool) {
        self.remove(item);
        if is_in() {
            self.insert(item);
        }
    }

    /// Makes every leaf word of `from..end` visible again, beside live users, any number of times.
    /// One read-modify-write per leaf word.
    pub fn repair(&self, from: usize, end: usize) {
        for word in from / FANOUT..end.div_ceil(FANOUT) {
            if self.levels[0].word(word).fetch_or(0, AcqRel) != 0 {
                self.raise(0, word);
            }
        }
    }

    /// At rest, for the models: the first item below `end` whose leaf bit cannot be seen from the top.
    #[cfg(loom)]
    pub fn first_hidden(&self, end: usize) -> Option<usize> {
        (0..end.div_ceil(FANOUT))
            .find(|word| self.leaf(*word) != 0 && !self.is_visible(*word))
            .map(|word| (word << FANOUT_SHIFT) + self.leaf(word).trailing_zeros() as usize)
    }

    fn is_visible(&self, leaf: usize) -> bool {
        let mut index = leaf;
        self.levels[1..self.count].iter().all(|level| {
            let seen =
                level.word(index >> FANOUT_SHIFT).load(Acquire) >> (index & (FANOUT - 1)) & 1 == 1;
            index >>= FANOUT_SHIFT;
            seen
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Blocks of leaf words, as zones have them, with a gap behind each that must stay as it is.
    const BLOCK: usize = 4;
    const GAP: usize = 3;
    const LEAVES: usize = 130;
    const GUARD: u64 = 0xfeed;

    /// The words of a set of three levels.
    struct Words {
        leaves: Vec<AtomicU64>,
        second: Vec<AtomicU64>,
        top: Vec<AtomicU64>,
    }

    impl Words {
        fn new() -> Words {
            let zeroed = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
            let blocks = LEAVES.div_ceil(BLOCK);
            let is_gap = |i: usize| i % (BLOCK + GAP) >= BLOCK;
            let leaves = (0..blocks * (BLOCK + GAP))
                .map(|i| AtomicU64::new(if is_gap(i) { GUARD } else { 0 }))
                .collect();
            Words { leaves, second: zeroed(LEAVES.div_ceil(FANOUT)), top: zeroed(1) }
        }

        fn set(&self) -> IndexSet {
            let stride = (BLOCK + GAP) * size_of::<AtomicU64>();
            // SAFETY: as many words as is said, which outlive the set in each test.
            let levels = unsafe {
                [
                    Level::new(self.leaves.as_ptr(), LEAVES, BLOCK.ilog2(), stride),
                    Level::new(self.second.as_ptr(), self.second.len(), 63, 0),
                    Level::new(self.top.as_ptr(), 1, 63, 0),
                ]
            };
            IndexSet::new(&levels)
        }
    }

    /// Numbers as from dice (xorshift).
    fn dice(state: &mut u64) -> usize {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state as usize
    }

    #[test]
    fn any_sequence_agrees_with_an_ordered_set() {
        let words = Words::new();
        let (set, mut model, mut state) = (words.set(), BTreeSet::new(), 0x9e37_79b9_7f4a_7c15);
        let end = LEAVES * FANOUT;
        for round in 0..5_000 {
            let item = dice(&mut state) % end;
            match dice(&mut state) % 8 {
                0 | 1 => {
                    set.insert(item);
                    model.insert(item);
                }
                2 => {
                    let bits = dice(&mut state) as u64 & dice(&mut state) as u64;
                    set.insert_all(item / FANOUT, bits);
                    let first = item / FANOUT * FANOUT;
                    model.extend((0..FANOUT).filter(|i| bits >> i & 1 == 1).map(|i| first + i));
                }
                3 => {
                    set.remove(item);
                    model.remove(&item);
                }
                4 if round % 3 == 0 => {
                    // Whole words become empty, so that finders lower summaries.
                    model.split_off(&item).iter().for_each(|item| set.remove(*item));
                }
                5 => {
                    let is_in = item.is_multiple_of(2);
                    set.drop_stale(item, || is_in);
                    if is_in {
                        model.insert(item)
                    } else {
                        model.remove(&item)
                    };
                }
                _ => {
                    let next = model.range(item..).next().copied();
                    assert_eq!(set.find(item), next, "from {item} in round {round}");
                }
            }
            let probe = dice(&mut state) % end;
            assert_eq!(set.contains(probe), model.contains(&probe), "{probe} in round {round}");
            assert_eq!(set.shows(probe), model.contains(&probe), "{probe} in round {round}");
            let leaf = (0..FANOUT).filter(|i| model.contains(&(probe / FANOUT * FANOUT + i)));
            assert_eq!(set.leaf(probe / FANOUT), leaf.map(|i| 1 << i).sum::<u64>());
        }
        let gaps = (0..words.leaves.len()).filter(|i| i % (BLOCK + GAP) >= BLOCK);
        gaps.for_each(|i| assert_eq!(words.leaves[i].load(Relaxed), GUARD, "a word of others"));
    }

    #[test]
    fn a_find_clears_what_leads_nowhere_and_no_more() {
        let words = Words::new();
        let set = words.set();
        let (one, other) = (70 * FANOUT, 71 * FANOUT);
        set.insert(one);
        set.insert(other);
        set.remove(one);
        assert_eq!(words.second[1].load(Relaxed), 1 << 6 | 1 << 7);
        assert_eq!(set.find(0), Some(other));
        assert_eq!(words.second[1].load(Relaxed), 1 << 7, "the summary of an empty word");
        set.remove(other);
        assert_eq!(set.find(0), None);
        assert_eq!((words.second[1].load(Relaxed), words.top[0].load(Relaxed)), (0, 1 << 1));
        assert_eq!(set.find(0), None);
        assert_eq!(words.top[0].load(Relaxed), 0);
        set.insert(one);
        assert_eq!(words.top[0].load(Relaxed), 1 << 1);
        assert_eq!(set.find(0), Some(one));
    }

    #[test]
    fn what_is_hidden_is_repaired_up_to_the_last_word() {
        let words = Words::new();
        let set = words.set();
        let items = [3, 70 * FANOUT + 1, 129 * FANOUT + 63];
        for from in [0, 2] {
            items.iter().for_each(|item| set.insert(*item));
            words.top[0].store(0, Relaxed);
            words.second.iter().for_each(|word| word.store(0, Relaxed));
            assert!(items.iter().all(|item| set.contains(*item) && !set.shows(*item)));
            set.repair(from, 129 * FANOUT + 1);
            assert!(items.iter().all(|item| set.shows(*item)), "from {from}");
        }
        // Words outside of the range are not touched, which may not be backed.
        words.second.iter().for_each(|word| word.store(0, Relaxed));
        set.repair(70 * FANOUT, 129 * FANOUT);
        assert_eq!(items.map(|item| set.shows(item)), [false, true, false]);
        assert!(words.second.iter().all(|word| word.load(Relaxed) & !(1 << 6) == 0));
    }

    #[test]
    fn damaged_summaries_lead_to_nothing() {
        let words = Words::new();
        let set = words.set();
        words.top[0].store(1 << 63, Relaxed);
        assert_eq!(set.find(0), None, "there is no such word in the second level");
        words.top[0].store(1 << 2, Relaxed);
        words.second[2].store(1 << 63, Relaxed);
        assert_eq!(set.find(0), None, "there is no such leaf");
        assert_eq!(set.find(LEAVES * FANOUT), None);
    }
}
